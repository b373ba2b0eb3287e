//! The SOAP services: `ICommunicationPartyService` in two generations, and `IARExportService`.

use super::ready::Answers;
use super::view::{Depth, with_offset};
use super::{AddressRegister, Dialect, unknown_her_id};
use edge::soap::contract::ContractError;
use edge::soap::lexical::time_text;
use edge::soap::value::Ready;
use edge::soap::{
    Call, Contract, Fault, Mount, Object, Ports, Reply, RequestLimits, Service, Value, write,
};
use registers::directory::PartyKind;
use registers::parties::CertificateUse::{Encryption, Signing};
use std::sync::Arc;

/// Facts of the description of 2016.
pub const CONTRACT_2016: &str = include_str!("contract-2016.txt");
/// Facts of the description of 2025.
pub const CONTRACT_2025: &str = include_str!("contract-2025.txt");
/// Facts of the export's description.
pub const CONTRACT_EXPORT: &str = "\
service ARExportService IARExportService
namespace ar http://register.nhn.no/CommunicationParty
namespace message http://schemas.microsoft.com/Message
operation GetAllCommunicationPartiesXml
  -> message:StreamBody!
in message
simple StreamBody base64Binary
";

/// `ICommunicationPartyService` in one generation.
struct Parties {
    register: Arc<AddressRegister>,
    contract: Arc<Contract>,
    dialect: Dialect,
    answers: Answers,
}

/// Bytes of answers kept by each generation of the service, twice.
const KEPT_BYTES: usize = 96 << 20;
const KEPT_BYTES_2016: usize = 16 << 20;

/// Operations that look up one party in memory: done before they could be handed to another thread.
const QUICK: [&str; 8] = [
    "Ping",
    "GetCommunicationPartyDetails",
    "GetServiceDetails",
    "GetOrganizationPersonDetails",
    "GetCertificateForEncryption",
    "GetCertificateForValidatingSignature",
    "GetCertificateDetailsForEncryption",
    "GetCertificateDetailsForValidatingSignature",
];

impl Service for Parties {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            if QUICK.contains(&call.operation.as_str()) {
                return self.answer(&call);
            }
            let work = move || self.answer(&call);
            match edge::blocking(work).await {
                Ok(answer) => answer,
                Err(_) => Err(Fault::internal()),
            }
        })
    }
}

fn no_departments() -> Fault {
    Fault::generic(
        "DepartmentsRemoved",
        "Avdelinger finnes ikke lenger i Adresseregisteret. Bruk tjenester.",
    )
}

impl Parties {
    fn answer(&self, call: &Call) -> Result<Value, Fault> {
        let (register, dialect) = (&self.register, self.dialect);
        let (request, user) = (&call.request, &call.user);
        match call.operation.as_str() {
            "Ping" => Ok("Pong".into()),
            "Search" => register.search(request, dialect),
            "SearchById" => register.search_by_id(request, dialect),
            "GetCommunicationPartyDetails" => self.details(call, None),
            "GetOrganizationDetails" => self.details(call, Some(PartyKind::Organisation)),
            "GetServiceDetails" => self.details(call, Some(PartyKind::Service)),
            "GetOrganizationPersonDetails" => self.details(call, Some(PartyKind::Person)),
            "GetChangedCommunicationPartiesInfo" => register.changed_info(request),
            "GetOrganizationsHavingCode" => register.having_code(request, dialect),
            "GetOrganizationsOwnedBy" => register.owned_by(request, dialect),
            "GetAssosiatedIKSChildOrganizations" => register.iks_children(request, dialect),
            "GetAssosiatedIKSParentOrganizations" => register.iks_parents(request, dialect),
            "GetChangeLog" => register.change_log(request, dialect),
            "GetCommunicationPartyStatistics" => Ok(register.counts()),
            "GetOrganizationUpdateStatistics" => {
                register.updates(request, dialect == Dialect::Soap2016)
            }
            "GetAllHFCommpartiesCsv" => Ok(register.hospitals_csv()),
            "GetCustomAttributes" => register.attributes(request, dialect),
            "GetCertificateForEncryption" => register.certificate(request, Encryption),
            "GetCertificateForValidatingSignature" => register.certificate(request, Signing),
            "GetCertificateForEncryptionByOrganizationNumber" => {
                register.certificate_of_organisation(request, Encryption)
            }
            "GetCertificateForValidatingSignatureByOrganizationNumber" => {
                register.certificate_of_organisation(request, Signing)
            }
            "GetCertificate" => register.certificate_at(request, None),
            "GetCertificateForEncryptionLdap" => register.certificate_at(request, Some(Encryption)),
            "GetCertificateForValidatingSignatureLdap" => {
                register.certificate_at(request, Some(Signing))
            }
            "GetCertificateDetailsForEncryption" => {
                register.certificate_details(request, Encryption)
            }
            "GetCertificateDetailsForValidatingSignature" => {
                register.certificate_details(request, Signing)
            }
            "SearchCertificatesForEncryption" => register.search_certificates(request, Encryption),
            "SearchCertificatesForValidatingSignature" => {
                register.search_certificates(request, Signing)
            }
            "SearchCertificatesByLdapUrl" => register.candidates_at(request),
            "GetFallbackCertificates" => register.fallback(request),
            "GetLdapSearchProviders" => Ok(register.directories()),
            "CreateOrganization" => register.create_organisation(request, user, dialect),
            "CreateService" => register.create_service(request, user, dialect),
            "CreateOrganizationPerson" => register.create_person(request, user, dialect),
            "UpdateOrganizationDetails" => register.update_organisation(request, user),
            "UpdateServiceDetails" => register.update_service(request, user),
            "UpdateOrganizationPersonDetails" => register.update_person(request, user),
            "SetCommunicationPartyValid" => register.set_valid(request, user),
            "EnableTransportOnOrganization" => register.enable_transport(request, user),
            "UpdateCoverageAreas" => register.update_coverage(request, user),
            "UpdateOrganizationIKSAssociations" => register.update_iks(request, user),
            "AddCustomAttribute" => register.add_attribute(request, user, dialect),
            "RemoveCustomAttribute" => register.remove_attribute(request, user),
            // Of 2016 only.
            "GetDepartmentDetails" => Err(unknown_her_id()),
            "CreateDepartment" | "UpdateDepartmentDetails" => Err(no_departments()),
            "GetGPCommunicationParty" => Err(Fault::generic(
                "OperationRemoved",
                "Fastlegen slås opp i Fastlegeregisteret: GetPatientGPDetails.",
            )),
            _ => Err(Fault::internal()),
        }
    }
}

impl Parties {
    /// Details of a party, of one kind or any; another kind's HER-id is no such party.
    fn details(&self, call: &Call, kind: Option<PartyKind>) -> Result<Value, Fault> {
        let register = &self.register;
        let party = register.get(call.request.int("herId").unwrap_or(0))?;
        if kind.is_some_and(|kind| party.content.kind != kind) {
            return Err(unknown_her_id());
        }
        // Content begins with the result's name, so each operation has its own.
        let form = match kind {
            None => 0,
            Some(PartyKind::Organisation) => 1,
            Some(PartyKind::Service) => 2,
            Some(PartyKind::Person) => 3,
        };
        let now = register.moment();
        let write = || {
            let mut object = register.object(&party.content, self.dialect, Depth::Whole);
            object.punch("ServerTime");
            let text = write::content(&self.contract, &call.operation, &object.into());
            text.map_err(|misfit| {
                tracing::error!(%misfit, "a party does not fit its contract");
                Fault::internal()
            })
        };
        let key = (party.content.her_id, form);
        let content = self.answers.answer(register, key, &party, now, write)?;
        Ok(Value::Ready(Ready {
            content,
            filling: time_text(with_offset(now)),
        }))
    }
}

/// `IARExportService`: every party in one document.
struct Export {
    register: Arc<AddressRegister>,
    contract: Arc<Contract>,
}

impl Service for Export {
    fn call(self: Arc<Self>, _call: Call) -> Reply {
        Box::pin(async move {
            let work = move || self.document();
            match edge::blocking(work).await {
                Ok(Ok(bytes)) => Ok(bytes.into()),
                _ => Err(Fault::internal()),
            }
        })
    }
}

impl Export {
    fn document(&self) -> Result<Vec<u8>, Fault> {
        let register = &self.register;
        let objects: Vec<Object> = register
            .parties
            .her_ids()
            .into_iter()
            .filter_map(|her_id| register.parties.get(her_id))
            .map(|party| register.object(&party.content, Dialect::Soap2025, Depth::Alone))
            .collect();
        write::document(
            &self.contract,
            "ArrayOfCommunicationParty",
            &Value::from(objects),
        )
        .map(String::into_bytes)
        .map_err(|misfit| {
            tracing::error!(%misfit, "the export of the address register does not fit its contract");
            Fault::internal()
        })
    }
}

fn ports(v12: Option<&str>, v11: &str) -> Ports {
    Ports {
        v12: v12.map(str::to_owned),
        v11: Some(v11.to_owned()),
        mtom: false,
    }
}

/// The services at their paths: `/v1/AR` as of 2025, `/v1/AR/2016` as of 2016, `/v1/ARExport`.
///
/// # Errors
/// Never, as long as the contracts of this crate can be read.
pub fn mounts(register: &Arc<AddressRegister>) -> Result<Vec<Mount>, ContractError> {
    let contract_2025 = Arc::new(Contract::parse(CONTRACT_2025)?);
    let contract_2016 = Arc::new(Contract::parse(CONTRACT_2016)?);
    let parties = |dialect, contract: &Arc<Contract>, budget| -> Arc<dyn Service> {
        Arc::new(Parties {
            register: register.clone(),
            contract: contract.clone(),
            dialect,
            answers: Answers::new(budget),
        })
    };
    Ok(vec![
        Mount {
            contract: contract_2025.clone(),
            ports: ports(Some("/v1/AR"), "/v1/AR/Basic"),
            limits: RequestLimits::default(),
            service: parties(Dialect::Soap2025, &contract_2025, KEPT_BYTES),
        },
        Mount {
            contract: contract_2016.clone(),
            ports: ports(Some("/v1/AR/2016"), "/v1/AR/2016/Basic"),
            limits: RequestLimits::default(),
            service: parties(Dialect::Soap2016, &contract_2016, KEPT_BYTES_2016),
        },
        Mount {
            contract: Arc::new(Contract::parse(CONTRACT_EXPORT)?),
            ports: ports(None, "/v1/ARExport"),
            limits: RequestLimits::default(),
            service: Arc::new(Export {
                register: register.clone(),
                contract: contract_2025,
            }),
        },
    ])
}
