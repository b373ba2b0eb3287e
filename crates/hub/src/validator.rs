//! The message validator with what the hub knows: registers, agreements, official schemas when they were imported.

use edge::Problem;
use edi::check::{AgreementFacts, Lookups, Options, PartyFacts};
use edi::report::{Language, explain};
use edi::xsd::SchemaSet;
use grunndata::cppa::Cppa;
use records::intake::RegisterLookups;
use registers::Directory;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Explains messages. What it is given is not kept.
pub struct Validator {
    directory: Arc<dyn Directory>,
    cppa: Arc<Cppa>,
    folder: PathBuf,
    schemas: Mutex<Loaded>,
}

/// Schemas as they were when the folder was last changed.
#[derive(Default)]
struct Loaded {
    stamp: Option<SystemTime>,
    set: Option<Arc<SchemaSet>>,
}

/// Name of the file that an import writes last.
pub const IMPORTED: &str = "imported";

impl Validator {
    /// `folder`: where imported schemas lie; there need be none.
    pub fn new(directory: Arc<dyn Directory>, cppa: Arc<Cppa>, folder: PathBuf) -> Self {
        Self {
            directory,
            cppa,
            folder,
            schemas: Mutex::default(),
        }
    }

    /// The schemas, read anew after an import.
    fn schemas(&self) -> Option<Arc<SchemaSet>> {
        let folder = &self.folder;
        let stamp = [folder.join(IMPORTED), folder.clone()]
            .iter()
            .find_map(|path| std::fs::metadata(path).ok()?.modified().ok())?;
        let mut loaded = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamp != Some(stamp) {
            let set = SchemaSet::load(folder)
                .inspect_err(|error| tracing::warn!(%error, "schemas could not be loaded"))
                .ok();
            *loaded = Loaded {
                stamp: Some(stamp),
                set: set.map(Arc::new),
            };
        }
        loaded.set.clone()
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
        let schemas = self.schemas();
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
