//! The register of GP lists on the wire: SOAP `IFlrReadOperations` (`/v2/flr`, `/v2/flr/Basic`), `IFlrWriteOperations`
//! (`/v2/flrwrite`, …) and `IFlrExportOperations` (`/v2/flrexport`, SOAP 1.1 only).
//!
//! Look-ups of patients go to the access journal before the answer. Roles limit what is answered; the list of a contract
//! goes to its own office. The published sources hold no description of the write service: its contract is written here
//! after the operations of spec/grunndata.md §5.3.
//!
//! Read first: [`Flr`], [`view`]. Rules: spec/grunndata.md §5.

mod codes;
pub mod events;
mod export;
pub mod import;
mod offices;
mod reads;
#[cfg(test)]
mod tests;
pub mod view;
mod writes;

use crate::hpr::{NowFn, moment};
use crate::persons::lookups::Append;
use edge::soap::contract::ContractError;
use edge::soap::{
    Call, Contract, DateTime, Fault, Mount, Ports, Reply, RequestLimits, Service, User, Value,
};
use jiff::Timestamp;
use registers::FNR_SYSTEM;
use registers::directory::{Directory, Protection};
use registers::gplists::GpLists;
use registers::gplists::register::WriteError;
use registers::kernel::period::Moment;
use registers::organisations::Businesses;
use std::sync::Arc;
use store::{AuditEntry, Durability, PersonRef};

/// Facts of the read service.
pub const READ_CONTRACT: &str = include_str!("contract-read.txt");
/// Facts of the write service.
pub const WRITE_CONTRACT: &str = include_str!("contract-write.txt");
/// Facts of the export.
pub const EXPORT_CONTRACT: &str = include_str!("contract-export.txt");

/// Everything.
pub const ADMINISTRATOR: &str = "Administrator";
/// Reads.
pub const READ: &str = "FlrRead";
/// Look-ups of one patient's GP.
pub const LOOKUP: &str = "FlrLookup";
/// Reads of the labour and welfare administration.
pub const EXTENDED: &str = "FlrReadExtended";
/// Whole lists and exports.
pub const ALL_PATIENTS: &str = "FlrReadAllPatients";
/// The one writer.
pub const WRITE: &str = "FlrWrite";

/// Persons named in one entry of the journal.
const PERSONS_PER_ENTRY: usize = 500;

/// What the services stand on.
pub struct FlrParts {
    /// The register.
    pub lists: Arc<GpLists>,
    /// Persons, organisations and parties.
    pub directory: Arc<dyn Directory>,
    /// Organisations, for the addresses of offices.
    pub businesses: Arc<Businesses>,
    /// The clock of rules.
    pub now: NowFn,
    /// The access journal.
    pub journal: Append,
}

/// The register's edge.
pub struct Flr {
    pub(crate) parts: FlrParts,
}

#[derive(Clone, Copy)]
enum Face {
    Read,
    Write,
    Export,
}

struct Served {
    flr: Arc<Flr>,
    face: Face,
}

impl Service for Served {
    fn call(self: Arc<Self>, call: Call) -> Reply {
        Box::pin(async move {
            let work = move || self.flr.answer(self.face, &call);
            let done = edge::blocking(work).await;
            done.unwrap_or_else(|_| Err(Fault::internal()))
        })
    }
}

impl Flr {
    /// Over its parts.
    #[must_use]
    pub fn new(parts: FlrParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    /// The services at their paths.
    ///
    /// # Errors
    /// When a contract's text is wrong.
    pub fn mounts(self: &Arc<Self>) -> Result<Vec<Mount>, ContractError> {
        let both = |path: &str| Ports {
            v12: Some(path.to_owned()),
            v11: Some(format!("{path}/Basic")),
            mtom: false,
        };
        let streamed = Ports {
            v12: None,
            v11: Some("/v2/flrexport".to_owned()),
            mtom: true,
        };
        let all = [
            (READ_CONTRACT, both("/v2/flr"), Face::Read),
            (WRITE_CONTRACT, both("/v2/flrwrite"), Face::Write),
            (EXPORT_CONTRACT, streamed, Face::Export),
        ];
        let mount = |(text, ports, face)| {
            Ok(Mount {
                contract: Arc::new(Contract::parse(text)?),
                ports,
                limits: RequestLimits::default(),
                service: Arc::new(Served {
                    flr: self.clone(),
                    face,
                }),
            })
        };
        all.into_iter().map(mount).collect()
    }

    fn answer(&self, face: Face, call: &Call) -> Result<Value, Fault> {
        match face {
            Face::Read => self.read(call),
            Face::Write => self.write(call),
            Face::Export => self.export(call),
        }
    }

    /// Now, on the clocks of Norway.
    pub(crate) fn now(&self) -> Moment {
        let now = Timestamp::from_microsecond((self.parts.now)()).unwrap_or_default();
        moment(DateTime::of_instant(now))
    }

    /// Leaves a look-up of patients in the access journal: durable within a second, before the answer where one of them
    /// has a protected address.
    pub(crate) fn journal(
        &self,
        user: &User,
        operation: &str,
        nins: &[String],
    ) -> Result<(), Fault> {
        let is_protected = |nin: &String| {
            let person = self.parts.directory.person(nin);
            // Client addresses too (spec/privacy.md §9.1).
            person.is_some_and(|p| p.protection != Protection::Unclassified)
        };
        let (protected, open): (Vec<&String>, Vec<&String>) =
            nins.iter().partition(|nin| is_protected(nin));
        let groups = [
            (protected, Durability::BeforeAnswer),
            (open, Durability::WithinOneSecond),
        ];
        for (nins, durability) in groups {
            for some in nins.chunks(PERSONS_PER_ENTRY) {
                let entry = self.entry(user.orgnr(), operation, some);
                if let Err(error) = (self.parts.journal)(entry, durability) {
                    tracing::error!(%error, "look-ups of GPs cannot be written to the access journal");
                    return Err(Fault::internal());
                }
            }
        }
        Ok(())
    }

    /// Leaves the line of a request that is refused because the user has no role for it.
    pub(crate) fn journal_refusal(&self, user: &User, operation: &str) -> Result<(), Fault> {
        let mut entry = self.entry(user.orgnr(), operation, &[]);
        entry
            .members
            .insert("outcome".to_owned(), serde_json::json!("deny"));
        (self.parts.journal)(entry, Durability::WithinOneSecond).map_err(|error| {
            tracing::error!(%error, "refusals cannot be written to the access journal");
            Fault::internal()
        })
    }

    pub(crate) fn entry(
        &self,
        orgnr: Option<&str>,
        operation: &str,
        nins: &[&String],
    ) -> AuditEntry {
        let organisation = orgnr.and_then(|orgnr| self.parts.directory.organisation(orgnr));
        let members = [
            ("service", serde_json::json!("flr")),
            ("api", serde_json::json!("flr/2")),
            ("action", serde_json::json!("LookUp")),
            ("outcome", serde_json::json!("allow")),
            ("operation", serde_json::json!(operation)),
            ("actor.kind", serde_json::json!("system")),
            ("actor.orgnr_parent", serde_json::json!(orgnr)),
            (
                "actor.organisation",
                serde_json::json!(organisation.map(|o| o.name)),
            ),
            ("shown", serde_json::json!(nins.len())),
        ];
        AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: nins
                .iter()
                .map(|nin| PersonRef::id(FNR_SYSTEM, nin.as_str()))
                .collect(),
            controller: "FLR".to_owned(),
            occurred_at: (self.parts.now)(),
            imported: false,
            citizen_visible: false,
            members: members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }
}

/// A refusal of the register as a fault.
pub(crate) fn refused(error: WriteError) -> Fault {
    use crate::hpr::wrong;
    match error {
        WriteError::NotFound => wrong("Fastlegeavtalen eller pasienten finnes ikke i registeret"),
        WriteError::Taken => wrong("Nummeret er allerede i bruk"),
        WriteError::Cycle(rule) => wrong(rule),
        WriteError::Invalid(what) => wrong(what),
        other => {
            tracing::error!(error = %other, "the register of GP lists cannot be written");
            Fault::internal()
        }
    }
}
