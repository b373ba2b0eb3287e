//! Finding a patient and choosing the ground, before anything clinical is shown (spec/portals.md §4.1).

use crate::Kjernejournal;
use edge::Problem;
use registers::{FNR_SYSTEM, Person, Protection};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use store::{AuditEntry, Durability, PersonRef};
use trust::gather::{SubjectRef, oslo_date};
use trust::{Access, Ask, Basis, Controller, Decision, DenyClass, Interface, Principal};

/// Most hits of a search by name.
pub const MAX_HITS: usize = 20;

/// A person found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// National id: names the person in the next request's body, never in a URL.
    pub nin: String,
    /// Name.
    pub name: String,
    /// Birth date.
    pub born: Option<jiff::civil::Date>,
    /// Municipality; absent for protected persons.
    pub municipality: Option<String>,
    /// The address is protected.
    pub is_protected: bool,
}

/// What the page offers once a person is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The person.
    pub patient: PatientHeader,
    /// UNNTAK holds (the GP by list, or a rule): no question is asked.
    pub exception: bool,
    /// The one who asks is the patient's GP or substitute.
    pub is_gp: bool,
    /// It is the caller's own record: refused here.
    pub is_own_record: bool,
}

/// The header of every patient page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatientHeader {
    /// National id.
    pub nin: String,
    /// Name.
    pub name: String,
    /// Birth date.
    pub born: Option<jiff::civil::Date>,
    /// Completed years today.
    pub age: Option<i16>,
    /// `female` or `male`.
    pub sex: &'static str,
    /// Name of the GP; hidden for kode 6/7 from all but the GP's own office.
    pub gp: Option<String>,
    /// The address is protected.
    pub is_protected: bool,
    /// Date of death.
    pub died: Option<jiff::civil::Date>,
}

impl Kjernejournal {
    /// Finds by national id (exact) or by name and birth year; every person found stands in the log of look-ups.
    pub fn find(&self, principal: &Principal, query: &str) -> Result<Vec<Hit>, Problem> {
        let query = query.trim();
        let directory = self.trust.directory();
        let people: Vec<Person> = if query.len() == 11 && query.bytes().all(|b| b.is_ascii_digit())
        {
            let nin = codes::ident::Nin::parse(query).map_err(|_| {
                Problem::bad_request("the number is not a valid national id; check the 11 digits")
            })?;
            directory.person(nin.as_str()).into_iter().collect()
        } else {
            let (year, words): (Vec<&str>, Vec<&str>) = query
                .split_whitespace()
                .partition(|w| w.len() == 4 && w.bytes().all(|b| b.is_ascii_digit()));
            let year = year.first().and_then(|y| y.parse::<i16>().ok());
            let (Some(year), false) = (year, words.is_empty()) else {
                return Err(Problem::bad_request(
                    "search by 11 digits, or by family name and birth year",
                ));
            };
            directory.find_persons(&words.join(" "), Some(year), MAX_HITS)
        };
        self.log_register_lookup(principal, "finn-pasient", &people)?;
        Ok(people.iter().map(hit).collect())
    }

    /// What is offered for a chosen person. Reads no clinical data, tells nothing of settings.
    pub fn choose(&self, principal: &Principal, nin: &str) -> Result<Choice, Problem> {
        let person = self
            .trust
            .directory()
            .person(nin)
            .ok_or_else(Problem::not_found)?;
        // The header tells name and GP: a look-up in the register, also when no search came before.
        self.log_register_lookup(principal, "velg-pasient", std::slice::from_ref(&person))?;
        let snapshot = self.trust.store().snapshot()?;
        let ask = Ask::read(Interface::PersonnelPortal, Controller::KJ, Basis::Exception);
        let access = Access::new(
            principal.clone(),
            Some(SubjectRef::Nin(person.nin.clone())),
            ask,
            "kjernejournal",
        );
        let decided = self.trust.decide(&snapshot, &access)?;
        let subject = decided.facts.subject.as_ref();
        let is_own_record = matches!(
            decided.decision,
            Decision::Deny {
                class: DenyClass::None,
                reason: "own-record-in-personnel-portal"
            }
        );
        let is_gp = subject.is_some_and(|s| s.actor_is_gp);
        Ok(Choice {
            patient: self.header(&person, is_gp),
            // Whether a title exists, not whether the record would open: a block must not show here.
            exception: is_gp || subject.is_some_and(|s| s.actor_is_entitled),
            is_gp,
            is_own_record,
        })
    }

    pub(crate) fn header(&self, person: &Person, is_own_office: bool) -> PatientHeader {
        let directory = self.trust.directory();
        let hides_gp = person.protection >= Protection::Confidential && !is_own_office;
        let gp = person
            .gp
            .as_ref()
            .filter(|_| !hides_gp)
            .and_then(|gp| gp.hpr.as_ref())
            .and_then(|hpr| directory.practitioner_by_hpr(hpr))
            .map(|p| p.name.full());
        PatientHeader {
            nin: person.nin.clone(),
            name: person.name.full(),
            born: person.born,
            age: person.age_on(oslo_date(self.trust.now())),
            sex: match person.sex {
                registers::Sex::Female => "female",
                registers::Sex::Male => "male",
            },
            gp,
            is_protected: person.protection > Protection::Unclassified,
            died: person.died,
        }
    }

    /// Register look-ups are counted for the citizen, not shown as lines (spec/privacy.md §9.1).
    fn log_register_lookup(
        &self,
        principal: &Principal,
        api: &str,
        people: &[Person],
    ) -> Result<(), Problem> {
        if people.is_empty() {
            return Ok(());
        }
        let mut members = BTreeMap::new();
        members.insert("service".to_owned(), json!("kjernejournal"));
        members.insert("api".to_owned(), json!(api));
        members.insert("action".to_owned(), json!("RegisterLookup"));
        if let Principal::Personnel {
            hpr,
            orgnr_parent,
            client_id,
            ..
        } = principal
        {
            members.insert("actor.kind".to_owned(), json!("personnel"));
            members.insert("actor.hpr".to_owned(), json!(hpr));
            members.insert("actor.orgnr_parent".to_owned(), json!(orgnr_parent));
            members.insert("client_id".to_owned(), json!(client_id));
        }
        let entry = AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: people
                .iter()
                .map(|p| PersonRef::id(FNR_SYSTEM, &p.nin))
                .collect(),
            controller: Controller::PT.code().to_owned(),
            occurred_at: self.trust.now(),
            imported: false,
            citizen_visible: false,
            members,
        };
        let is_protected = people
            .iter()
            .any(|p| p.protection > Protection::Unclassified);
        let durability = if is_protected {
            Durability::BeforeAnswer
        } else {
            Durability::WithinOneSecond
        };
        Ok(self.trust.store().audit(entry, durability)?)
    }
}

fn hit(person: &Person) -> Hit {
    let is_protected = person.protection > Protection::Unclassified;
    Hit {
        nin: person.nin.clone(),
        name: person.name.full(),
        born: person.born,
        municipality: person
            .address
            .as_ref()
            .filter(|_| !is_protected)
            .map(|a| a.place.clone()),
        is_protected,
    }
}
