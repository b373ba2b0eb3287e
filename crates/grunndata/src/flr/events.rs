//! Events of the GP lists for subscribers (source `Flr`, spec/grunndata.md §5.4): the name, the contract and the part it is
//! about, and the object as it is now, as XML in the words of the contract.
//!
//! What tells who is whose patient goes to the contract's own office only, and leaves a line in the access journal.

use super::{Flr, READ_CONTRACT};
use crate::subscriptions::feed::{Confidence, EventSource, Happened};
use crate::subscriptions::held::Source;
use amqp::port::Simple;
use edge::soap::contract::ContractError;
use edge::soap::{Contract, Object, write};
use registers::gplists::record::{GpListEvent, PatientPage};
use registers::gplists::{GpContract, GpLists, OnList, Record};
use registers::kernel::EntryNo;
use registers::kernel::events::Event;
use registers::kernel::identifiers::Packed;
use std::sync::Arc;
use store::{AuditEntry, MicrosUtc, StoreError};

/// The register as a source of events.
pub struct ListEvents {
    flr: Arc<Flr>,
    contract: Contract,
}

impl ListEvents {
    /// Over the register's edge.
    ///
    /// # Errors
    /// When the contract of the read service cannot be read.
    pub fn new(flr: Arc<Flr>) -> Result<Self, ContractError> {
        Ok(Self {
            flr,
            contract: Contract::parse(READ_CONTRACT)?,
        })
    }

    fn happened(&self, event: &Event<GpListEvent>) -> Happened {
        let GpListEvent(what, part) = event.kind;
        let mut happened = Happened {
            number: event.number,
            name: what.name(),
            ..Happened::default()
        };
        let Some(entry) = self.flr.parts.lists.entry(event.entry) else {
            return happened;
        };
        match &entry.content {
            Record::Contract(contract) => self.of_contract(&mut happened, entry.no, contract, part),
            Record::Patients(page) => {
                self.of_patients(&mut happened, entry.no, page, part);
            }
            Record::Languages(hpr, _) => {
                let number = Simple::Signed((*hpr).into(), 32);
                happened.properties.push(("hprNumber", number));
            }
            Record::Office(office) => {
                let number = Simple::Signed(office.orgnr.into(), 32);
                happened.properties.push(("organizationNumber", number));
            }
            Record::Team(_) => {}
        }
        happened
    }

    fn of_contract(&self, to: &mut Happened, no: EntryNo, contract: &GpContract, part: u16) {
        to.properties.push(("gpContractId", number(contract.id)));
        let doctor = contract.doctors.iter().find(|d| d.no == part);
        let away = contract.away.iter().find(|a| a.no == part);
        let (name, object) = match (part, doctor, away) {
            (0, ..) => ("GPContract", self.flr.contract(no, contract, None)),
            (_, Some(doctor), _) => (
                "GPOnContractAssociation",
                self.flr.cycle(no, contract, doctor),
            ),
            (_, None, Some(away)) => ("OutOfOfficeLocation", self.flr.away(no, contract, away)),
            // It is gone: a pointer is all there is.
            (_, None, None) => {
                let id = GpLists::part_number(no, part);
                to.properties.push(("id", number(id)));
                return;
            }
        };
        if part > 0 {
            let id = GpLists::part_number(no, part);
            to.properties.push(("id", number(id)));
        }
        to.document = self.document(name, object);
    }
}

impl ListEvents {
    fn of_patients(&self, to: &mut Happened, no: EntryNo, page: &PatientPage, part: u16) {
        to.properties.push(("gpContractId", number(page.contract)));
        let office = self.flr.parts.lists.contract(page.contract);
        let office = office.map(|c| c.office.to_string()).unwrap_or_default();
        let mut confidence = Confidence {
            orgnrs: self.flr.of_office(&office),
            nin: None,
        };
        if let Some(line) = page.lines.iter().find(|line| line.no == part) {
            let id = GpLists::part_number(no, part);
            let on = OnList {
                contract: page.contract,
                id,
                line: line.clone(),
                updated: page.updated,
            };
            to.properties.push(("id", number(id)));
            confidence.nin = Some(Packed(line.nin).text(11));
            let object = self.flr.on_list(&on, None, false, false, false);
            to.document = self.document("PatientToGPContractAssociation", object);
        }
        to.only_for = Some(confidence);
    }

    fn document(&self, name: &str, object: Object) -> Option<String> {
        write::document(&self.contract, name, &object.into())
            .inspect_err(|misfit| {
                tracing::error!(%misfit, "an event of the GP lists does not fit its contract");
            })
            .ok()
    }
}

impl Flr {
    /// Organisation numbers under which an office asks: its own, and that of the main unit above it.
    pub(crate) fn of_office(&self, office: &str) -> Vec<String> {
        let above = self.parts.directory.organisation(office);
        let above = above.map(|main| main.orgnr).filter(|orgnr| orgnr != office);
        std::iter::once(office.to_owned()).chain(above).collect()
    }
}

/// Numbers of contracts and their parts have 64 bits.
fn number(of: i64) -> Simple {
    Simple::Signed(of, 64)
}

impl EventSource for ListEvents {
    fn consumer(&self) -> &'static str {
        "subscriptions/gplists"
    }

    fn source(&self) -> Source {
        Source::Flr
    }

    fn events(&self, from: u64, limit: usize) -> Result<Vec<Happened>, StoreError> {
        let events = self.flr.parts.lists.events(from, limit)?;
        Ok(events.iter().map(|event| self.happened(event)).collect())
    }

    fn line(&self, happened: &Happened, user: &str, now_us: MicrosUtc) -> Option<AuditEntry> {
        let nin = happened.only_for.as_ref()?.nin.as_ref()?;
        let orgnr = user.strip_prefix("OrgUsr");
        let mut entry = self.flr.entry(orgnr, happened.name, &[nin]);
        entry.occurred_at = now_us;
        Some(entry)
    }
}
