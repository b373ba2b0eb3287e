//! The SOAP service `ICPPAService` at `/v1/CPPA`.

use super::held::{Agreement, Profile, Side};
use super::{Cppa, CppaError, agreement_xml};
use edge::soap::contract::ContractError;
use edge::soap::{
    Call, Contract, DateTime, Fault, Mount, Object, Ports, Reply, RequestLimits, Service, User,
    Value,
};
use edi::cppa::{Channel, Process, Role, Taken, processes};
use registers::kernel::period::Moment;
use std::sync::Arc;

/// Facts of the description.
pub const CONTRACT: &str = include_str!("contract.txt");
/// Roles that may change every profile.
const OWNER_ROLES: &[&str] = &["Administrator", "CppaWrite"];
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

struct CppaService(Arc<Cppa>);

impl Service for CppaService {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            let work = move || self.answer(&call);
            match edge::blocking(work).await {
                Ok(answer) => answer,
                Err(_) => Err(Fault::internal()),
            }
        })
    }
}

fn refused(error: CppaError) -> Fault {
    match error {
        CppaError::NotFound => crate::ar::unknown_her_id(),
        CppaError::UnknownProcess => Fault::generic(
            "UnknownProcess",
            "Prosessen, versjonen eller rollen er ukjent.",
        ),
        CppaError::TooMany => Fault::generic(
            "TooManyProcesses",
            "Profilen kan ikke ha så mange prosesser.",
        ),
        other => {
            tracing::error!(error = %other, "the agreement register could not be used");
            Fault::internal()
        }
    }
}

fn no_profile() -> Fault {
    Fault::generic(
        "CppNotFound",
        "Kommunikasjonsparten har ingen samhandlingsprofil.",
    )
}

fn no_agreement() -> Fault {
    Fault::generic("CpaNotFound", "Samhandlingsavtalen finnes ikke.")
}

fn her_id(request: &Object, name: &str) -> u32 {
    let given = request.int(name).unwrap_or(0);
    u32::try_from(given).unwrap_or(0)
}

fn time(at: Moment) -> DateTime {
    DateTime::of_instant(at.timestamp())
}

fn code(value: &'static str, text: &'static str) -> Object {
    Object::new()
        .with("Active", true)
        .with("CodeText", text)
        .with("CodeValue", value)
        .with("LongDescription", None::<String>)
        .with("OID", 0)
        .with("SimpleType", "cpa_status")
}

fn status(agreement: &Agreement) -> Object {
    if agreement.is_current() {
        code("A", "Aktiv")
    } else if agreement.revoked.is_some() {
        code("R", "Tilbakekalt")
    } else {
        code("T", "Terminert")
    }
}

fn role_object(process: &Process, role: &Role, certificates: Option<u32>) -> Object {
    let messages = |sends: bool| -> Vec<Object> {
        role.actions
            .iter()
            .filter(|a| a.sends == sends)
            .map(|a| {
                let channel = match a.channel {
                    Channel::Async => "async",
                    Channel::Sync => "sync",
                };
                let channels: Vec<Value> = vec![channel.into()];
                Object::new()
                    .with("DeliveryChannelIds", channels)
                    .with("Id", a.package)
                    .with("Name", a.name)
                    .with("OtherPartyMessageId", None::<String>)
                    .with("Version", process.version)
            })
            .collect()
    };
    let certificate = |kind: &str| certificates.map(|her_id| format!("{kind}_cert_{her_id}"));
    Object::new()
        .with("CanReceive", messages(false))
        .with("CanSend", messages(true))
        .with("EncryptionCertificateId", certificate("enc"))
        .with("Id", NOBODY)
        .with(
            "ProcessSpecification",
            Object::new()
                .with("ChannelMessageCombinations", Vec::<Object>::new())
                .with("Name", process.name)
                .with("Uuid", process.uuid)
                .with("Version", process.version),
        )
        .with("RoleName", role.name)
        .with("SignatureCertificateId", certificate("sign"))
}

fn party_info(side: &Side, roles: &[Taken]) -> Object {
    let roles: Vec<Object> = roles
        .iter()
        .filter_map(|taken| {
            let (process, role) = taken.resolve()?;
            Some(role_object(process, role, Some(side.her_id)))
        })
        .collect();
    let addresses = [
        ("async", &side.bus_async),
        ("sync", &side.bus_sync),
        ("mail", &side.mail),
    ];
    let channels: Vec<Object> = addresses
        .into_iter()
        .filter_map(|(id, address)| {
            Some(
                Object::new()
                    .with("Address", address.clone()?)
                    .with("ChannelType", None::<Object>)
                    .with("Id", id)
                    .with("RetrySettingsReceiver", None::<Object>)
                    .with("RetrySettingsSender", None::<Object>),
            )
        })
        .collect();
    let certificates: Vec<Object> = ["enc", "sign"]
        .into_iter()
        .map(|kind| {
            Object::new()
                .with("Id", format!("{kind}_cert_{}", side.her_id))
                .with("X509Certificate", None::<Object>)
        })
        .collect();
    Object::new()
        .with("HerId", side.her_id)
        .with("PartyName", side.name.clone())
        .with("Certificates", certificates)
        .with("DeliveryChannels", channels)
        .with("CollaborationRoles", roles)
}

fn details(agreement: &Agreement) -> Object {
    let inner = Object::new()
        .with("ApprovedByPartyA", true)
        .with("ApprovedByPartyB", true)
        .with("CreatedOn", time(agreement.created))
        .with("Id", agreement.id.clone())
        .with(
            "PartyA",
            party_info(&agreement.first, &agreement.first.roles),
        )
        .with(
            "PartyB",
            party_info(&agreement.second, &agreement.second.roles),
        )
        .with("Revoked", agreement.revoked.map(time))
        .with("ValidFrom", time(agreement.created))
        .with("ValidTo", time(agreement.end))
        .with("Version", "1.0");
    Object::new()
        .with("CollaborationProtocolAgreement", inner)
        .with("Status", status(agreement))
}

fn xml_details(agreement: &Agreement) -> Object {
    Object::new()
        .with(
            "CollaborationProtocolAgreementXml",
            agreement_xml(agreement),
        )
        .with("Status", status(agreement))
}

impl CppaService {
    fn agreement(&self, request: &Object) -> Result<Agreement, Fault> {
        let id = request.text("cpaId").unwrap_or_default();
        let id: uuid::Uuid = id.parse().map_err(|_| no_agreement())?;
        self.0.agreement(id).ok_or_else(no_agreement)
    }

    fn between(&self, request: &Object, user: &User) -> Result<Agreement, Fault> {
        let first = her_id(request, "communicationPartAHerId");
        let second = her_id(request, "communicationPartBHerId");
        for party in [first, second] {
            self.0.orgnr(party).ok_or_else(crate::ar::unknown_her_id)?;
        }
        // Everyone may look, only the parties themselves make agreements.
        let is_own = self.own(user, first).is_ok() || self.own(user, second).is_ok();
        let found = if is_own {
            self.0.agree(first, second).map_err(refused)?
        } else {
            self.0.look(first, second)
        };
        found.ok_or_else(no_agreement)
    }

    fn profile(&self, request: &Object) -> Result<Profile, Fault> {
        let her_id = her_id(request, "herId");
        self.0.orgnr(her_id).ok_or_else(crate::ar::unknown_her_id)?;
        self.0.profile(her_id).ok_or_else(no_profile)
    }

    fn own(&self, user: &User, her_id: u32) -> Result<(), Fault> {
        let orgnr = self.0.orgnr(her_id).ok_or_else(crate::ar::unknown_her_id)?;
        if user.has_any(OWNER_ROLES) || user.orgnr() == Some(&orgnr) {
            Ok(())
        } else {
            Err(Fault::denied())
        }
    }

    /// Roles named by a process parameter: all of the process when it names none.
    fn named(request: &Object) -> Result<(u32, Vec<Taken>), Fault> {
        let unknown = || refused(CppaError::UnknownProcess);
        let given = request.object("processParameter").ok_or_else(unknown)?;
        let process = given.object("Process").ok_or_else(unknown)?;
        let uuid = process.text("Guid").unwrap_or_default();
        let version = process.text("VersionNumber").unwrap_or_default();
        let known = edi::cppa::process(uuid, version).ok_or_else(unknown)?;
        let wanted: Vec<&str> = process
            .objects("Roles")
            .filter_map(|role| role.text("Name"))
            .collect();
        let roles: Vec<Taken> = known
            .roles
            .iter()
            .filter(|role| wanted.is_empty() || wanted.contains(&role.name))
            .map(|role| Taken {
                uuid: known.uuid.to_owned(),
                version: known.version.to_owned(),
                role: role.name.to_owned(),
            })
            .collect();
        if roles.is_empty() {
            return Err(unknown());
        }
        Ok((her_id(given, "HerId"), roles))
    }

    fn edit(&self, request: &Object, user: &User, adds: bool) -> Result<Value, Fault> {
        let (her_id, named) = Self::named(request)?;
        self.own(user, her_id)?;
        let mut roles = self.0.profile(her_id).map(|p| p.roles).unwrap_or_default();
        if adds {
            roles.extend(named);
        } else {
            roles.retain(|role| !named.contains(role));
        }
        self.0.set_roles(her_id, roles).map_err(refused)?;
        self.0.reconcile(her_id).map_err(refused)?;
        Ok(Value::Nil)
    }

    fn answer(&self, call: &Call) -> Result<Value, Fault> {
        let (request, user) = (&call.request, &call.user);
        match call.operation.as_str() {
            "GetCppXmlForCommunicationParty" => {
                let profile = self.profile(request)?;
                let text = self.0.profile_xml(profile.her_id);
                Ok(text.ok_or_else(no_profile)?.into())
            }
            "GetCppForCommunicationParty" => {
                let profile = self.profile(request)?;
                let (_, side) = self.0.side(profile.her_id).ok_or_else(no_profile)?;
                let end = jiff::civil::date(9999, 12, 31);
                Ok(Object::new()
                    .with("Id", profile.cppid.clone())
                    .with("PartyInfo", party_info(&side, &profile.roles))
                    .with("ValidFrom", time(profile.changed))
                    .with("ValidTo", DateTime::of_day(end))
                    .into())
            }
            "GetCpa" => Ok(details(&self.agreement(request)?).into()),
            "GetCpaXml" => Ok(xml_details(&self.agreement(request)?).into()),
            "GetCpaForCommunicationParties" => Ok(details(&self.between(request, user)?).into()),
            "GetCpaForCommunicationPartiesXml" => {
                Ok(xml_details(&self.between(request, user)?).into())
            }
            "GetCpasForCommunicationParty" => {
                let all = self.0.agreements_of(her_id(request, "herId"));
                let rows: Vec<Object> = all.iter().map(details).collect();
                Ok(rows.into())
            }
            "GetCpasForCommunicationPartyXml" => {
                let all = self.0.agreements_of(her_id(request, "herId"));
                let rows: Vec<Object> = all.iter().map(xml_details).collect();
                Ok(rows.into())
            }
            "GetAllCollaborationRoles" => {
                let rows: Vec<Object> = processes()
                    .iter()
                    .flat_map(|p| p.roles.iter().map(move |r| role_object(p, r, None)))
                    .collect();
                Ok(rows.into())
            }
            "RevokeCpa" => {
                let found = self.agreement(request)?;
                let by = her_id(request, "herId");
                if by != found.first.her_id && by != found.second.her_id {
                    return Err(no_agreement());
                }
                self.own(user, by)?;
                let id = found.id.parse().map_err(|_| no_agreement())?;
                let revoked = self.0.revoke(id).map_err(|e| match e {
                    CppaError::NotFound => no_agreement(),
                    other => refused(other),
                })?;
                Ok(details(&revoked).into())
            }
            "AddProcessToCpp" => self.edit(request, user, true),
            "RemoveProcessFromCpp" => self.edit(request, user, false),
            "GetProcessesInCpp" => {
                let profile = self.profile(request)?;
                let rows: Vec<Object> = profile
                    .roles
                    .iter()
                    .filter_map(|taken| {
                        let (process, role) = taken.resolve()?;
                        let roles = vec![Object::new().with("Name", role.name)];
                        Some(
                            Object::new()
                                .with("HerId", profile.her_id)
                                .with("Name", process.name)
                                .with(
                                    "Process",
                                    Object::new()
                                        .with("Channels", Vec::<Object>::new())
                                        .with("Guid", process.uuid)
                                        .with("Roles", roles)
                                        .with("VersionNumber", process.version),
                                ),
                        )
                    })
                    .collect();
                Ok(rows.into())
            }
            _ => Err(Fault::internal()),
        }
    }
}

/// The service at `/v1/CPPA` and `/v1/CPPA/Basic`.
///
/// # Errors
/// Never, as long as the contract of this crate can be read.
pub fn mount(cppa: &Arc<Cppa>) -> Result<Mount, ContractError> {
    Ok(Mount {
        contract: Arc::new(Contract::parse(CONTRACT)?),
        ports: Ports {
            v12: Some("/v1/CPPA".to_owned()),
            v11: Some("/v1/CPPA/Basic".to_owned()),
            mtom: false,
        },
        limits: RequestLimits::default(),
        service: Arc::new(CppaService(cppa.clone())),
    })
}
