//! National code lists (crate `codes`) as code systems, under each of their names.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use super::TerminologyError;
use super::code_system::{
    CodeSystem, Concept, Content, Designation, Head, Property, PropertyValue,
};
use super::concept_map::ConceptMap;
use super::source::Source;
use super::value_set::ValueSet;
use codes::lists::{self, CodeList};

/// The lists as a source. A list answers to `urn:oid:…` and to its `no-kodeverk` URL, and says the name it was asked by.
pub struct National;

/// Compiled lists by the name they were asked by. Bounded: names come in few spellings, others are made anew each time.
static MADE: LazyLock<Mutex<HashMap<String, Arc<CodeSystem>>>> = LazyLock::new(Mutex::default);
const MAX_MADE: usize = 300;

/// Whether two names mean the same list.
pub(super) fn same(a: &str, b: &str) -> bool {
    let is_candidate = |s: &str| {
        s.starts_with("urn:oid:")
            || s.contains("no-kodeverk-")
            || s.contains("whocc.no")
            || s.contains("/sid/ic")
    };
    if !is_candidate(a) || !is_candidate(b) {
        return false;
    }
    codes::oid::canonical(a) == codes::oid::canonical(b)
}

/// Names of all lists, as `urn:oid:…`.
pub fn urls() -> Vec<String> {
    let mut out: Vec<String> = lists::all().map(|l| format!("urn:oid:{}", l.oid)).collect();
    out.sort();
    out
}

/// Other names that codes of the system are stored under.
pub(super) fn aliases(system: &str) -> Vec<String> {
    let Some(list) = lists::list(system) else {
        return Vec::new();
    };
    let number = list.number;
    let own = match number {
        7110 => Some(codes::oid::ICD10_URI),
        7170 => Some(codes::oid::ICPC2_URI),
        7180 => Some(codes::oid::ATC_URI),
        _ => None,
    };
    [
        format!("urn:oid:{}", list.oid),
        format!("http://helsedir.no/fhir/CodeSystem/no-kodeverk-{number}"),
        format!("http://ehelse.no/fhir/CodeSystem/no-kodeverk-{number}"),
    ]
    .into_iter()
    .chain(own.map(str::to_owned))
    .filter(|name| name != system)
    .collect()
}

impl Source for National {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        let Some(list) = lists::list(url) else {
            return Ok(Vec::new());
        };
        if let Some(made) = MADE.lock().ok().and_then(|m| m.get(url).cloned()) {
            return Ok(vec![made]);
        }
        let made = Arc::new(system(list, url)?);
        if let Ok(mut all) = MADE.lock()
            && all.len() < MAX_MADE
        {
            all.insert(url.to_owned(), made.clone());
        }
        Ok(vec![made])
    }

    /// `…/ValueSet/no-kodeverk-<number>` is the value set of all codes of the list.
    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        if !url.contains("/ValueSet/no-kodeverk-") {
            return Ok(Vec::new());
        }
        let system = url.replacen("/ValueSet/", "/CodeSystem/", 1);
        Ok(match lists::list(&system) {
            Some(_) => vec![Arc::new(ValueSet::all_of(&system, None, url))],
            None => Vec::new(),
        })
    }

    fn concept_maps(
        &self,
        _: Option<&str>,
        _: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        Ok(Vec::new())
    }
}

/// Lists whose codes show their place: a code is below another that it starts with (ICD-10, ATC).
const LEXICAL: [u32; 2] = [7110, 7180];

/// Whether the codes of a system show their place in its hierarchy.
pub(super) fn is_lexical(system: &str) -> bool {
    let canonical = codes::oid::canonical(system);
    codes::oid::list_number(&canonical).is_some_and(|n| LEXICAL.contains(&n))
}

/// The nearest code of the list that a code starts with.
fn above(list: &CodeList, code: &str) -> Option<&'static str> {
    let mut shorter = code;
    while let Some((at, _)) = shorter.char_indices().next_back() {
        shorter = shorter.get(..at)?;
        if let Some(entry) = list.get(shorter) {
            return Some(entry.code);
        }
    }
    None
}

fn system(list: &CodeList, url: &str) -> Result<CodeSystem, TerminologyError> {
    let head = Head {
        url: Box::from(url),
        name: format!("Kodeverk{}", list.number).into(),
        title: Box::from(list.name),
        status: Box::from("active"),
        language: Some(Box::from("nb")),
        ..Head::default()
    };
    let content = if list.complete {
        Content::Complete
    } else {
        Content::Fragment
    };
    CodeSystem::made(
        head,
        content,
        list.entries.iter().map(|entry| Concept {
            code: Box::from(entry.code),
            display: Some(Box::from(entry.display)),
            designations: entry
                .display_en
                .map(|text| Designation {
                    language: Some(Box::from("en")),
                    value: Box::from(text),
                    ..Designation::default()
                })
                .into_iter()
                .collect(),
            // A last day of validity says that the code is not for new use.
            properties: entry
                .valid_to
                .map(|day| {
                    [
                        ("inactive", PropertyValue::Boolean(true)),
                        ("validTo", PropertyValue::DateTime(day.to_string().into())),
                    ]
                })
                .into_iter()
                .flatten()
                .chain(
                    entry
                        .successor
                        .map(|code| ("successor", PropertyValue::Code(Box::from(code)))),
                )
                .chain(
                    Some(list.number)
                        .filter(|n| LEXICAL.contains(n))
                        .and_then(|_| above(list, entry.code))
                        .map(|code| ("parent", PropertyValue::Code(Box::from(code)))),
                )
                .map(|(code, value)| Property {
                    code: Box::from(code),
                    value,
                })
                .collect(),
            ..Concept::default()
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_answers_to_both_of_its_names() {
        let oid = "urn:oid:2.16.578.1.12.4.1.1.3101";
        let url = "http://helsedir.no/fhir/CodeSystem/no-kodeverk-3101";
        for name in [oid, url] {
            let systems = National.code_systems(name).unwrap();
            assert_eq!(systems.len(), 1, "{name}");
            assert_eq!(systems[0].head.url.as_ref(), name);
            assert_eq!(
                systems[0].get("1").unwrap().display.as_deref(),
                Some("Mann")
            );
        }
        assert!(same(oid, url));
        assert!(!same(oid, "urn:oid:2.16.578.1.12.4.1.1.3108"));
        assert!(!same("http://loinc.org", "http://loinc.org/x"));
        assert!(National.code_systems("urn:oid:1.2.3").unwrap().is_empty());
    }
}
