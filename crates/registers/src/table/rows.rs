//! Rows on their way into the registers, and what is known of persons besides the person register.

use crate::directory::{GpRelation, Organisation, Party, Person, Practitioner};
use crate::kernel::identifiers::Packed;
use crate::organisations::Business;
use crate::parties::PartyRecord;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use store::StoreError;

/// One register row on its way into the table.
#[derive(Clone, Debug)]
pub enum Row {
    /// A person.
    Person(Box<Person>),
    /// Personnel.
    Practitioner(Box<Practitioner>),
    /// An organisation with its units, as services see it.
    Organisation(Box<Organisation>),
    /// A communication party, as services see it.
    Party(Box<Party>),
    /// An organisation or unit with all that its register holds.
    Business(Box<Business>),
    /// A communication party with all that the address register holds.
    CommunicationParty(Box<PartyRecord>),
}

impl Row {
    pub(super) fn rtype(&self) -> &'static str {
        match self {
            Self::Person(_) => "Person",
            Self::Practitioner(_) => "Practitioner",
            Self::Organisation(_) => "Organisation",
            Self::Party(_) => "Party",
            Self::Business(_) => "Business",
            Self::CommunicationParty(_) => "CommunicationParty",
        }
    }

    /// Natural ids would put national ids into record ids; a digest of them does not.
    pub(super) fn id(&self) -> String {
        let natural = match self {
            Self::Person(p) => &p.nin,
            Self::Practitioner(p) => &p.nin,
            Self::Organisation(o) => &o.orgnr,
            Self::Party(p) => return format!("her-{}", p.her_id),
            Self::Business(b) => &b.orgnr,
            Self::CommunicationParty(p) => return format!("her-{}", p.her_id),
        };
        store::sha256(format!("{}|{natural}", self.rtype()).as_bytes())
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    pub(super) fn body(&self) -> Result<Bytes, StoreError> {
        fn json(value: &impl Serialize) -> Result<Bytes, StoreError> {
            serde_json::to_vec(value)
                .map(Bytes::from)
                .map_err(|e| StoreError::Invalid(e.to_string()))
        }
        match self {
            Self::Person(p) => json(p),
            Self::Practitioner(p) => json(p),
            Self::Organisation(o) => json(o),
            Self::Party(p) => json(p),
            Self::Business(b) => json(b),
            Self::CommunicationParty(p) => json(p),
        }
    }
}

/// What is known of persons besides the person register: patients of one GP list, or a person of the story. Rows are
/// added, never changed; of several that name a person the last one counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Beside {
    /// These persons are on this list (on none, when it is absent).
    GpList {
        relation: Option<GpRelation>,
        patients: Vec<u64>,
    },
    /// This person plays in the demo story.
    Story { nin: String, story: String },
}

impl Beside {
    /// Whether a body is that of a GP list, without reading its thousands of patients.
    pub(super) fn is_list(body: &[u8]) -> bool {
        body.starts_with(b"{\"GpList\"")
    }
}

pub(super) const BESIDE: &str = "Beside";
/// Patients in one row.
const PATIENTS_PER_ROW: usize = 2_000;

/// Rows of [`Beside`] in the making.
#[derive(Default)]
pub(super) struct BesideRows {
    pub(super) lists: HashMap<Option<GpRelation>, Vec<u64>>,
    stories: Vec<Beside>,
}

impl BesideRows {
    pub(super) fn on_list(&mut self, relation: Option<GpRelation>, person: Packed) {
        self.lists.entry(relation).or_default().push(person.0);
    }

    pub(super) fn story(&mut self, nin: &str, story: &str) {
        self.stories.push(Beside::Story {
            nin: nin.to_owned(),
            story: story.to_owned(),
        });
    }

    pub(super) fn rows(self) -> Vec<Beside> {
        let mut rows = self.stories;
        for (relation, patients) in self.lists {
            rows.extend(
                patients
                    .chunks(PATIENTS_PER_ROW)
                    .map(|some| Beside::GpList {
                        relation: relation.clone(),
                        patients: some.to_vec(),
                    }),
            );
        }
        rows
    }
}

pub(super) fn decode(rtype: &str, body: &[u8]) -> Result<Row, StoreError> {
    fn row<T: DeserializeOwned>(
        body: &[u8],
        wrap: impl Fn(Box<T>) -> Row,
    ) -> Result<Row, StoreError> {
        serde_json::from_slice(body)
            .map(|v| wrap(Box::new(v)))
            .map_err(|e| StoreError::Corrupt(format!("register row: {e}")))
    }
    match rtype {
        "Person" => row(body, Row::Person),
        "Practitioner" => row(body, Row::Practitioner),
        "Organisation" => row(body, Row::Organisation),
        "Party" => row(body, Row::Party),
        other => Err(StoreError::Corrupt(format!(
            "unknown register row type {other}"
        ))),
    }
}
