//! Persons read and searched: by id, by national id, by name and birth date, by relation.

use super::bundle::Answer;
use super::elements::Elements;
use super::kinds::Kind;
use super::persons::{self, Shown, View};
use super::query::{Query, Token};
use super::refusal::Refusal;
use super::service::GrunndataFhir;
use super::{patient, person, related};
use crate::persons::lookups::Seen;
use registers::kernel::identifiers::Packed;
use registers::kernel::{EntryId, EntryNo};
use registers::persons::document::Identifier;
use registers::persons::search::{Query as PersonQuery, Raw, Violation};
use serde_json::Value;
use std::collections::BTreeSet;
use std::str::FromStr;
use trust::register::PersonGround;

/// Most persons of a search.
const MAX_FOUND: usize = 100;
/// Most relations of one person that are looked at.
const MAX_RELATED: usize = 200;

/// Persons found, and what of them goes into the journal.
pub(super) type Made = (Answer, Seen);

fn none() -> Answer {
    Answer {
        resources: Vec::new(),
        total: Some(0),
        remark: None,
        included: Vec::new(),
    }
}

fn of(resources: Vec<Value>, has_more: bool) -> Answer {
    Answer {
        total: (!has_more).then_some(resources.len()),
        remark: has_more.then_some("more than 100 persons fit: narrow the search down"),
        included: Vec::new(),
        resources,
    }
}

impl GrunndataFhir {
    fn shown(
        &self,
        no: EntryNo,
        elements: &Elements,
        view: View,
    ) -> Result<Option<Shown>, Refusal> {
        let parts = elements.parts(view.ground.shows_confidential_parts());
        persons::read(&self.persons, no, parts, view.now)
    }

    pub(super) fn read_person(
        &self,
        kind: Kind,
        id: &str,
        elements: &Elements,
        view: View,
    ) -> Result<Made, Refusal> {
        let mut seen = Seen::default();
        if kind == Kind::RelatedPerson {
            let found = match related::pair(id) {
                Some((patient, other)) => self.pair(patient, other, elements, view, &mut seen)?,
                None => None,
            };
            return Ok((of(found.into_iter().collect(), false), seen));
        }
        let entry = EntryId::from_str(id).ok();
        let no = entry
            .map(|id| self.persons.number(id))
            .transpose()?
            .flatten();
        let Some(shown) = no
            .map(|no| self.shown(no, elements, view))
            .transpose()?
            .flatten()
        else {
            return Ok((none(), seen));
        };
        shown.seen(&mut seen);
        let resource = match (kind, shown.merged_from) {
            (Kind::Patient, Some(old)) => patient::replaced(old, shown.id),
            _ => self.made(kind, &shown, elements, view),
        };
        Ok((of(vec![resource], false), seen))
    }

    fn made(&self, kind: Kind, shown: &Shown, elements: &Elements, view: View) -> Value {
        if kind == Kind::Person {
            return person::resource(shown, elements, view);
        }
        patient::resource(shown, elements, view, || {
            patient::gp(&self.registers.lists, shown, self.norwegian_now())
        })
    }

    pub(super) fn search_persons(&self, query: &Query, view: View) -> Result<Made, Refusal> {
        let by_name = person_query(query, view.ground)?;
        let (entries, has_more) = match (self.named(query)?, by_name) {
            (Some(entries), None) => (entries, false),
            (Some(_), Some(_)) => {
                return Err(Refusal::unsupported(
                    "_id and identifier stand without name and birthdate",
                ));
            }
            (None, Some(found)) => {
                let found = self
                    .persons
                    .search(&found, view.now, EntryNo(0), MAX_FOUND + 1)?;
                let has_more = found.entries.len() > MAX_FOUND;
                let mut entries = found.entries;
                entries.truncate(MAX_FOUND);
                (entries, has_more)
            }
            (None, None) => {
                return Err(Refusal::required(
                    "search by _id, by identifier in the body of POST, or by a name and birthdate",
                ));
            }
        };
        let (mut seen, mut resources) = (Seen::default(), Vec::new());
        for no in entries {
            if let Some(shown) = self.shown(no, &query.elements, view)?
                && !seen.persons.contains(&shown.no)
            {
                shown.seen(&mut seen);
                resources.push(self.made(query.kind, &shown, &query.elements, view));
            }
        }
        Ok((of(resources, has_more), seen))
    }

    /// Entries that `_id` and `identifier` lead to; both must hold when both are given.
    fn named(&self, query: &Query) -> Result<Option<Vec<EntryNo>>, Refusal> {
        let mut found: Option<Vec<EntryNo>> = None;
        if let Some(ids) = query.any_of("_id")? {
            let mut entries = Vec::new();
            for id in Query::entries(&ids) {
                entries.extend(self.persons.number(id)?);
            }
            found = Some(entries);
        }
        if let Some(numbers) = self.numbers(query)? {
            found = Some(match found {
                None => numbers,
                Some(ids) => ids.into_iter().filter(|no| numbers.contains(no)).collect(),
            });
        }
        Ok(found)
    }

    fn numbers(&self, query: &Query) -> Result<Option<Vec<EntryNo>>, Refusal> {
        let Some(tokens) = query.tokens("identifier")? else {
            return Ok(None);
        };
        let mut entries = Vec::new();
        for token in tokens {
            let code: String = token.code.chars().filter(|c| *c != ' ').collect();
            let identifier = Identifier::parse(&code);
            let identifier = identifier.filter(|i| token.is_of(super::values::system(i.kind)));
            if let Some(identifier) = identifier {
                entries.extend(persons::find(&self.persons, identifier.number)?);
            }
        }
        Ok(Some(entries))
    }

    pub(super) fn search_related(&self, query: &Query, view: View) -> Result<Made, Refusal> {
        let kinds = query.tokens("relationship")?;
        let mut pairs: Vec<(EntryId, EntryId)> = Vec::new();
        let patients = query.references("patient", &["Patient", "Person"])?;
        let others = self.numbers(query)?;
        if let Some(ids) = query.any_of("_id")? {
            pairs.extend(ids.into_iter().filter_map(related::pair));
        } else if let Some(patients) = &patients {
            for id in Query::entries(patients) {
                let no = self.persons.number(id)?;
                self.pairs_of(no, &query.elements, view, |one, other| {
                    pairs.push((one, other))
                })?;
            }
        } else if let Some(others) = &others {
            for no in others {
                self.pairs_of(Some(*no), &query.elements, view, |one, other| {
                    pairs.push((other, one))
                })?;
            }
        } else {
            return Err(Refusal::required(
                "search by patient, by _id, or by identifier in the body of POST",
            ));
        }
        let patients = patients.map(|ids| Query::entries(&ids));
        let mut wanted: BTreeSet<EntryNo> = BTreeSet::new();
        wanted.extend(others.iter().flatten());
        let (mut seen, mut resources) = (Seen::default(), Vec::new());
        for (patient, other) in pairs {
            let fits_patient = patients.as_ref().is_none_or(|ids| ids.contains(&patient));
            let no = self.persons.number(other)?;
            let fits_other = others.is_none() || no.is_some_and(|no| wanted.contains(&no));
            if !fits_patient || !fits_other || resources.len() >= MAX_FOUND {
                continue;
            }
            let mut both = Seen::default();
            // Chosen by what the relations are, whether or not they are shown.
            let whole = Elements::read(Kind::RelatedPerson, ["relationship", "name"].into_iter());
            let found = self.pair(patient, other, &whole, view, &mut both)?;
            let is_kind = |resource: &Value| {
                kinds
                    .as_ref()
                    .is_none_or(|kinds| kinds.iter().any(|kind| has_kind(resource, kind)))
            };
            if found.is_some_and(|resource| is_kind(&resource))
                && let Some(resource) =
                    self.pair(patient, other, &query.elements, view, &mut seen)?
            {
                resources.push(resource);
            }
        }
        Ok((of(resources, false), seen))
    }

    /// Everybody in the register to whom an entry is related.
    fn pairs_of(
        &self,
        no: Option<EntryNo>,
        elements: &Elements,
        view: View,
        mut each: impl FnMut(EntryId, EntryId),
    ) -> Result<(), Refusal> {
        let Some(shown) = no
            .map(|no| self.shown(no, elements, view))
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        let numbers: BTreeSet<Packed> = related::others(&shown, view);
        let mut told = BTreeSet::new();
        for number in numbers.into_iter().take(MAX_RELATED) {
            let Some(other) = persons::find(&self.persons, number)? else {
                continue;
            };
            let other = self.shown(other, elements, view)?;
            if let Some(other) = other.filter(|other| other.id != shown.id && told.insert(other.id))
            {
                each(shown.id, other.id);
            }
        }
        Ok(())
    }

    fn pair(
        &self,
        patient: EntryId,
        other: EntryId,
        elements: &Elements,
        view: View,
        seen: &mut Seen,
    ) -> Result<Option<Value>, Refusal> {
        let one = |id| -> Result<Option<Shown>, Refusal> {
            let no = self.persons.number(id)?;
            Ok(no
                .map(|no| self.shown(no, elements, view))
                .transpose()?
                .flatten())
        };
        let (Some(patient), Some(other)) = (one(patient)?, one(other)?) else {
            return Ok(None);
        };
        let resource = related::resource(&patient, &other, elements, view);
        if resource.is_some() {
            patient.seen(seen);
            other.seen(seen);
        }
        Ok(resource)
    }
}

fn has_kind(resource: &Value, kind: &Token<'_>) -> bool {
    let relations = resource["relationship"].as_array();
    let codings = relations.into_iter().flatten();
    let mut codings =
        codings.flat_map(|relation| relation["coding"].as_array().into_iter().flatten());
    codings.any(|coding| {
        let text = |name: &str| coding[name].as_str().unwrap_or_default();
        kind.fits(text("system"), text("code"))
    })
}

/// The search by name and birth date, when there is one.
fn person_query(query: &Query, ground: PersonGround) -> Result<Option<PersonQuery>, Refusal> {
    let names = [
        "name",
        "given",
        "family",
        "middlename",
        "birthdate",
        "gender",
    ];
    let mut values = [None; 6];
    for (value, name) in values.iter_mut().zip(names) {
        *value = query.one(name)?;
    }
    if values.iter().all(Option::is_none) {
        return Ok(None);
    }
    let [name, given, family, middle, birthdate, gender] = values;
    let gender = match gender {
        None => None,
        Some("female" | "http://hl7.org/fhir/administrative-gender|female") => Some("Female"),
        Some("male" | "http://hl7.org/fhir/administrative-gender|male") => Some("Male"),
        Some(_) => return Err(Refusal::invalid("gender is male or female")),
    };
    let birthdate = birthdate.map(|text| text.strip_prefix("eq").unwrap_or(text));
    if birthdate.is_some_and(|text| text.starts_with(|c: char| c.is_alphabetic())) {
        return Err(Refusal::unsupported(
            "birthdate has no prefixes here: give a year, a month or a day",
        ));
    }
    let raw = Raw {
        given_name: given,
        middle_name: middle,
        family_name: family,
        full_name: name,
        birth_date: birthdate,
        gender,
        ..Raw::default()
    };
    let broken = |rules: Vec<Violation>| {
        let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
        Refusal::invalid(format!(
            "{} (GivenName = given, MiddleName = middlename, FamilyName = family, FullName = name, BirthDate = birthdate)",
            rules.join("; ")
        ))
    };
    let mut found = PersonQuery::search(&raw).map_err(broken)?;
    found.legal_basis = ground.shows_confidential_parts();
    Ok(Some(found))
}
