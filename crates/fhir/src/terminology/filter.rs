//! One filter of a value set, made ready for many concepts of one system.

use regex::{Regex, RegexBuilder};

use super::TerminologyError;
use super::code_system::{CodeSystem, Concept};
use super::value_set::Filter;

/// Longest regular expression taken.
const MAX_REGEX: usize = 500;
/// Memory of one compiled regular expression.
const REGEX_BYTES: usize = 1 << 20;

enum Test {
    /// Concepts at these places.
    Places(Vec<bool>, bool),
    /// Concepts below this one, itself too; only few of them will be asked for.
    Below(u32, bool),
    /// The same without itself, and when told so without those that have others below.
    Under(u32, bool),
    /// Concepts above this one, itself too.
    Above(u32),
    /// Concepts directly below this one.
    Child(u32),
    /// No concept.
    Nothing,
    /// A value of the property is one of these (or none is).
    OneOf(Vec<Box<str>>, bool),
    /// A value of the property matches.
    Matches(Box<Regex>),
    /// The property is there (or not).
    Exists(bool),
    /// No concept below.
    Leaf(Vec<bool>),
}

/// A filter ready for use.
pub(super) struct Prepared<'f> {
    property: &'f str,
    test: Test,
    /// Steps that making it ready and asking it once cost.
    pub cost: usize,
}

fn bad(code: &'static str, system: &CodeSystem, filter: &Filter, why: &str) -> TerminologyError {
    TerminologyError::Unprocessable {
        code,
        text: format!(
            "the filter of code system {} with property {} and operator {} {why}",
            system.head.url, filter.property, filter.op
        ),
    }
}

impl<'f> Prepared<'f> {
    /// Makes a filter ready; `many` when it will be asked about all concepts.
    pub fn new(
        system: &CodeSystem,
        filter: &'f Filter,
        many: bool,
    ) -> Result<Prepared<'f>, TerminologyError> {
        let property = filter.property.as_ref();
        let value = filter.value.as_ref();
        if value.is_empty() {
            return Err(bad("invalid", system, filter, "has no value"));
        }
        if property.is_empty() {
            return Err(bad("invalid", system, filter, "has no property"));
        }
        let is_concept = matches!(property, "concept" | "code");
        let is_hierarchy = matches!(
            filter.op.as_ref(),
            "is-a" | "descendent-of" | "is-not-a" | "generalizes" | "child-of" | "descendent-leaf"
        );
        if is_hierarchy {
            if !is_concept {
                return Err(bad(
                    "not-supported",
                    system,
                    filter,
                    "asks for a hierarchy that only concepts have",
                ));
            }
            return Ok(Prepared {
                property,
                test: hierarchy(system, filter.op.as_ref(), value, many),
                cost: 10,
            });
        }
        if !is_concept && !knows(system, property) {
            return Err(bad(
                "not-found",
                system,
                filter,
                "asks for a property that the system does not have",
            ));
        }
        let list = || value.split(',').map(|v| Box::from(v.trim())).collect();
        let test = match filter.op.as_ref() {
            "=" => Test::OneOf(vec![Box::from(value)], true),
            "in" => Test::OneOf(list(), true),
            "not-in" => Test::OneOf(list(), false),
            "regex" => Test::Matches(Box::new(regex(value).ok_or_else(|| {
                bad(
                    "invalid",
                    system,
                    filter,
                    "has a regular expression that cannot be used",
                )
            })?)),
            "exists" => match value {
                "true" => Test::Exists(true),
                "false" => Test::Exists(false),
                _ => return Err(bad("invalid", system, filter, "takes true or false")),
            },
            _ => return Err(bad("not-supported", system, filter, "is not known here")),
        };
        let is_searched = !is_concept && !is_declared(system, property);
        let cost = 10 + is_searched as usize * system.concepts().len() / 16;
        Ok(Prepared {
            property,
            test,
            cost,
        })
    }

    /// Whether it holds for the concept at a place.
    pub fn holds(&self, system: &CodeSystem, place: u32) -> bool {
        let Some(concept) = system.at(place) else {
            return false;
        };
        let at = |places: &[bool]| places.get(place as usize).copied().unwrap_or(false);
        match &self.test {
            Test::Nothing => false,
            Test::Places(places, wanted) => at(places) == *wanted,
            Test::Below(top, wanted) => system.subsumes(*top, place) == *wanted,
            Test::Under(top, only_leaves) => {
                place != *top
                    && system.subsumes(*top, place)
                    && (!*only_leaves || concept.children.is_empty())
            }
            Test::Above(bottom) => system.subsumes(place, *bottom),
            Test::Child(top) => concept.parents.contains(top),
            Test::Leaf(places) => at(places) && concept.children.is_empty(),
            Test::OneOf(values, wanted) => {
                self.any(system, concept, |v| values.iter().any(|x| x.as_ref() == v)) == *wanted
            }
            Test::Matches(regex) => self.any(system, concept, |v| regex.is_match(v)),
            Test::Exists(wanted) => self.any(system, concept, |_| true) == *wanted,
        }
    }

    /// Whether any value of the property passes.
    fn any(&self, system: &CodeSystem, concept: &Concept, pass: impl Fn(&str) -> bool) -> bool {
        let linked = |places: &[u32]| {
            places
                .iter()
                .filter_map(|p| system.at(*p))
                .any(|c| pass(&c.code))
        };
        match self.property {
            "concept" | "code" => pass(&concept.code),
            "display" => {
                concept.display.as_deref().is_some_and(&pass)
                    || concept.designations.iter().any(|d| pass(&d.value))
            }
            "definition" => concept.definition.as_deref().is_some_and(pass),
            "parent" => linked(&concept.parents),
            "child" => linked(&concept.children),
            name => {
                let mut said = concept
                    .properties
                    .iter()
                    .filter(|p| p.code.as_ref() == name);
                let mut is_said = false;
                let holds = said.any(|p| {
                    is_said = true;
                    pass(&p.value.text())
                });
                holds
                    || (!is_said
                        && name == "inactive"
                        && pass(if concept.inactive { "true" } else { "false" }))
            }
        }
    }
}

fn hierarchy(system: &CodeSystem, op: &str, value: &str, many: bool) -> Test {
    let Some(top) = system.place(value) else {
        return match op {
            "is-not-a" => Test::Places(vec![false; system.concepts().len()], false),
            _ => Test::Nothing,
        };
    };
    let marked = |list: Vec<u32>| {
        let mut places = vec![false; system.concepts().len()];
        for p in list {
            if let Some(slot) = places.get_mut(p as usize) {
                *slot = true;
            }
        }
        places
    };
    let below = |with_top: bool| {
        let mut list = system.closure(top, true);
        if !with_top {
            list.retain(|p| *p != top);
        }
        list
    };
    match op {
        "is-a" if !many => Test::Below(top, true),
        "is-not-a" if !many => Test::Below(top, false),
        "descendent-of" if !many => Test::Under(top, false),
        "descendent-leaf" if !many => Test::Under(top, true),
        "generalizes" if !many => Test::Above(top),
        "child-of" => Test::Child(top),
        "is-a" => Test::Places(marked(below(true)), true),
        "is-not-a" => Test::Places(marked(below(true)), false),
        "descendent-of" => Test::Places(marked(below(false)), true),
        "generalizes" => Test::Places(marked(system.closure(top, false)), true),
        _ => Test::Leaf(marked(below(false))),
    }
}

/// Whether a system has a property: by definition, by use, or as one that every system has.
fn knows(system: &CodeSystem, property: &str) -> bool {
    is_declared(system, property)
        || system
            .concepts()
            .iter()
            .any(|c| c.properties.iter().any(|p| p.code.as_ref() == property))
}

fn is_declared(system: &CodeSystem, property: &str) -> bool {
    matches!(
        property,
        "display" | "definition" | "parent" | "child" | "inactive" | "status" | "notSelectable"
    ) || system
        .properties
        .iter()
        .any(|p| p.code.as_ref() == property)
}

/// A regular expression that must match the whole value. Linear in time by its engine; bounded in size here.
fn regex(text: &str) -> Option<Regex> {
    if text.len() > MAX_REGEX {
        return None;
    }
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .nest_limit(50)
        .build()
        .ok()
}
