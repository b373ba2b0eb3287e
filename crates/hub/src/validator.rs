//! The message validator with what the hub knows: registers, agreements, official schemas when they were imported.

use crate::standards::Standards;
use edge::Problem;
use edi::check::{AgreementFacts, Checked, Envelope, Lookups, Options, PartyFacts};
use edi::report::{Language, explain};
use grunndata::cppa::Cppa;
use records::intake::RegisterLookups;
use registers::Directory;
use serde_json::Value;
use std::sync::Arc;

/// Explains messages. What it is given is not kept.
pub struct Validator {
    directory: Arc<dyn Directory>,
    cppa: Arc<Cppa>,
    standards: Standards,
}

impl Validator {
    /// With these registers and official schemas; there need be none of the latter.
    pub fn new(directory: Arc<dyn Directory>, cppa: Arc<Cppa>, standards: Standards) -> Self {
        Self {
            directory,
            cppa,
            standards,
        }
    }

    /// Everything the rules say of some bytes, within an envelope or without.
    pub fn check(&self, bytes: &[u8], envelope: Option<Envelope>) -> Checked {
        let lookups = HubLookups {
            registers: RegisterLookups(self.directory.as_ref()),
            cppa: &self.cppa,
        };
        let schemas = self.standards.current();
        let options = Options {
            schemas: schemas.as_deref(),
            lookups: &lookups,
            envelope,
            ..Options::default()
        };
        edi::check::run(bytes, &options)
    }

    /// The report as JSON, with its text in the language under `text`.
    ///
    /// # Errors
    /// When the report cannot be written.
    pub fn explain(&self, bytes: &[u8], language: &str) -> Result<Value, Problem> {
        let lookups = HubLookups {
            registers: RegisterLookups(self.directory.as_ref()),
            cppa: &self.cppa,
        };
        let schemas = self.standards.current();
        let options = Options {
            schemas: schemas.as_deref(),
            lookups: &lookups,
            ..Options::default()
        };
        let report = explain(bytes, &options);
        let words = match language {
            "en" => Language::En,
            _ => Language::Nb,
        };
        let text = report.to_text(words);
        let mut value = serde_json::to_value(&report).map_err(|_| Problem::internal())?;
        if let Some(members) = value.as_object_mut() {
            members.insert("text".to_owned(), Value::from(text));
        }
        Ok(value)
    }
}

/// Registers and agreements.
struct HubLookups<'a> {
    registers: RegisterLookups<'a>,
    cppa: &'a Cppa,
}

impl Lookups for HubLookups<'_> {
    fn person_exists(&self, id: &codes::ident::Nin) -> Option<bool> {
        self.registers.person_exists(id)
    }

    fn party_exists(&self, her_id: u32) -> Option<bool> {
        self.registers.party_exists(her_id)
    }

    fn party(&self, her_id: u32) -> Option<Option<PartyFacts>> {
        Lookups::party(&self.registers, her_id)
    }

    fn agreement(&self, cpa_id: &str) -> Option<Option<AgreementFacts>> {
        let id = uuid::Uuid::try_parse(cpa_id).ok();
        let found = id.and_then(|id| self.cppa.agreement(id));
        Some(found.map(|a| {
            let end = a.ended.unwrap_or(a.end);
            AgreementFacts {
                her_ids: [a.first.her_id, a.second.her_id],
                start_s: a.created.timestamp().as_second(),
                end_s: end.timestamp().as_second(),
            }
        }))
    }
}
