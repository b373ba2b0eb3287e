//! Resources that come along with what was found: those it refers to (`_include`), and those that refer to it
//! (`_revinclude`). Only along references between public resources, and from a patient to her GP, whom the patient's
//! resource names to those who may know (spec/privacy.md §7.6).

use super::directory::Registers;
use super::elements::Elements;
use super::kinds::Kind;
use super::query::Query;
use super::refusal::Refusal;
use registers::kernel::period::Moment;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most `_include` and `_revinclude` of one search.
const MAX_ASKED: usize = 20;
/// Most resources that come along on a page.
const MAX_INCLUDED: usize = 1_000;
/// Ids in one search for what refers to them.
const IDS_AT_ONCE: usize = 100;

/// A reference that can be followed.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// The type it stands in.
    pub kind: Kind,
    /// Name of the search parameter.
    pub param: &'static str,
    /// The element.
    element: &'static str,
    /// Types it leads to.
    pub targets: &'static [Kind],
    /// It can be followed backwards: the type is found by the parameter.
    pub is_reversible: bool,
}

const fn link(
    kind: Kind,
    param: &'static str,
    element: &'static str,
    target: &'static [Kind],
    is_reversible: bool,
) -> Link {
    Link {
        kind,
        param,
        element,
        targets: target,
        is_reversible,
    }
}

/// All of them.
pub const LINKS: &[Link] = &[
    link(
        Kind::Patient,
        "general-practitioner",
        "generalPractitioner",
        &[Kind::PractitionerRole],
        false,
    ),
    link(
        Kind::PractitionerRole,
        "practitioner",
        "practitioner",
        &[Kind::Practitioner],
        true,
    ),
    link(
        Kind::PractitionerRole,
        "organization",
        "organization",
        &[Kind::Organization],
        true,
    ),
    link(
        Kind::PractitionerRole,
        "service",
        "healthcareService",
        &[Kind::HealthcareService],
        false,
    ),
    link(
        Kind::PractitionerRole,
        "location",
        "location",
        &[Kind::Location],
        false,
    ),
    link(
        Kind::PractitionerRole,
        "endpoint",
        "endpoint",
        &[Kind::Endpoint],
        false,
    ),
    link(
        Kind::Organization,
        "partof",
        "partOf",
        &[Kind::Organization],
        true,
    ),
    link(
        Kind::Organization,
        "endpoint",
        "endpoint",
        &[Kind::Endpoint],
        false,
    ),
    link(
        Kind::HealthcareService,
        "organization",
        "providedBy",
        &[Kind::Organization],
        true,
    ),
    link(
        Kind::HealthcareService,
        "location",
        "location",
        &[Kind::Location],
        false,
    ),
    link(
        Kind::HealthcareService,
        "endpoint",
        "endpoint",
        &[Kind::Endpoint],
        false,
    ),
    link(
        Kind::Endpoint,
        "organization",
        "managingOrganization",
        &[Kind::Organization],
        true,
    ),
    link(
        Kind::Location,
        "organization",
        "managingOrganization",
        &[Kind::Organization],
        true,
    ),
];

impl Link {
    /// `Type:parameter`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.kind.name(), self.param)
    }
}

/// Links that lead away from a type.
pub fn from(kind: Kind) -> impl Iterator<Item = &'static Link> {
    LINKS.iter().filter(move |link| link.kind == kind)
}

/// Links that lead to a type and can be followed backwards.
pub fn towards(kind: Kind) -> impl Iterator<Item = &'static Link> {
    let leads = move |link: &&Link| link.is_reversible && link.targets.contains(&kind);
    LINKS.iter().filter(leads)
}

/// What comes along.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    include: Vec<&'static Link>,
    reverse: Vec<&'static Link>,
}

impl Wanted {
    /// Reads values of `_include` and `_revinclude`: `Type:parameter`, `Type:parameter:Target` or `*`.
    pub(super) fn read<'a>(
        kind: Kind,
        include: impl Iterator<Item = &'a str>,
        reverse: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            include: chosen("_include", include, &from(kind).collect::<Vec<_>>())?,
            reverse: chosen("_revinclude", reverse, &towards(kind).collect::<Vec<_>>())?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.include.is_empty() && self.reverse.is_empty()
    }
}

fn chosen<'a>(
    name: &str,
    values: impl Iterator<Item = &'a str>,
    known: &[&'static Link],
) -> Result<Vec<&'static Link>, Refusal> {
    let mut found: Vec<&'static Link> = Vec::new();
    for (i, value) in values.enumerate() {
        if i >= MAX_ASKED {
            return Err(Refusal::too_costly(format!(
                "{name} may stand {MAX_ASKED} times"
            )));
        }
        let meant: Vec<&'static Link> = known.iter().copied().filter(|l| means(value, l)).collect();
        if meant.is_empty() {
            let names: Vec<String> = known.iter().map(|link| link.name()).collect();
            return Err(Refusal::unsupported(if names.is_empty() {
                format!("this type has no {name}")
            } else {
                format!("{name} is one of {}", names.join(", "))
            }));
        }
        for link in meant {
            if !found.contains(&link) {
                found.push(link);
            }
        }
    }
    Ok(found)
}

fn means(value: &str, link: &Link) -> bool {
    let mut words = value.splitn(3, ':');
    let (kind, param, target) = (words.next(), words.next(), words.next());
    if kind == Some("*") {
        return param.is_none();
    }
    kind == Some(link.kind.name())
        && param.is_some_and(|param| param == link.param || param == "*")
        && target.is_none_or(|target| link.targets.iter().any(|kind| kind.name() == target))
}

/// What comes along with a page.
#[derive(Default)]
pub(super) struct Along {
    pub(super) resources: Vec<Value>,
    /// There is more than fits.
    pub(super) is_cut: bool,
}

/// Collects, each resource once.
struct Collected {
    seen: BTreeSet<(String, String)>,
    along: Along,
}

impl Collected {
    fn offer(&mut self, kind: &str, id: &str, make: impl FnOnce() -> Option<Value>) {
        if !self.seen.insert((kind.to_owned(), id.to_owned())) {
            return;
        }
        if self.along.resources.len() >= MAX_INCLUDED {
            self.along.is_cut = true;
            return;
        }
        self.along.resources.extend(make());
    }
}

/// Finds what comes along with `matches`.
pub(super) fn collect(
    registers: &Registers,
    wanted: &Wanted,
    matches: &[Value],
    now: Moment,
) -> Result<Along, Refusal> {
    let mut collected = Collected {
        seen: matches.iter().map(name_of).collect(),
        along: Along::default(),
    };
    for link in &wanted.include {
        for reference in matches.iter().flat_map(|m| references(m, link.element)) {
            let Some((kind, id)) = reference.split_once('/') else {
                continue;
            };
            let target = link.targets.iter().find(|target| target.name() == kind);
            let Some(target) = target else { continue };
            collected.offer(kind, id, || {
                registers.read(*target, id, &Elements::whole(*target), now)
            });
        }
    }
    let own: Vec<(String, String)> = matches.iter().map(name_of).collect();
    for link in &wanted.reverse {
        for some in own.chunks(IDS_AT_ONCE) {
            let ids: Vec<String> = some
                .iter()
                .map(|(kind, id)| format!("{kind}/{id}"))
                .collect();
            let query = Query::by_reference(link.kind, link.param, &ids);
            let found = registers.search(&query, now)?;
            collected.along.is_cut |= found.total > found.resources.len();
            for resource in found.resources {
                let (kind, id) = name_of(&resource);
                collected.offer(&kind, &id, || Some(resource));
            }
        }
    }
    Ok(collected.along)
}

fn name_of(resource: &Value) -> (String, String) {
    let text = |name: &str| {
        let value = resource.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    (text("resourceType"), text("id"))
}

/// References in an element that holds one or several.
fn references<'a>(resource: &'a Value, element: &str) -> Vec<&'a str> {
    let text = |value: &'a Value| value.get("reference").and_then(Value::as_str);
    match resource.get(element) {
        Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(kind: Kind, include: &[&str], reverse: &[&str]) -> Result<Wanted, Refusal> {
        Wanted::read(kind, include.iter().copied(), reverse.iter().copied())
    }

    #[test]
    fn links_are_search_parameters_of_r4() {
        let pack = ::fhir::Pack::r4();
        for link in LINKS {
            assert!(
                pack.param(link.kind.name(), link.param).is_some(),
                "{link:?}"
            );
            let is_known = link.kind.params().iter().any(|p| p.name == link.param);
            assert!(is_known || !link.is_reversible, "{link:?}");
        }
    }

    #[test]
    fn what_can_come_along() {
        let role = Kind::PractitionerRole;
        let all = read(role, &["*"], &[]).unwrap();
        assert_eq!(all.include.len(), from(role).count());
        let twice = [
            "PractitionerRole:practitioner",
            "PractitionerRole:practitioner:Practitioner",
        ];
        assert_eq!(read(role, &twice, &[]).unwrap().include.len(), 1);
        let back = read(Kind::Organization, &[], &["HealthcareService:organization"]);
        assert!(!back.unwrap().is_empty());
        for bad in [
            "PractitionerRole:practitioner:Person",
            "Practitioner:practitioner",
            "practitioner",
            "PractitionerRole:supervisor",
            "*:organization",
        ] {
            assert!(read(role, &[bad], &[]).is_err(), "{bad}");
        }
        assert!(
            read(Kind::Person, &["*"], &[]).is_err(),
            "persons refer to nothing here"
        );
        assert!(read(role, &["PractitionerRole:practitioner"; 21], &[]).is_err());
    }

    #[test]
    fn references_of_one_and_of_several() {
        let resource =
            json!({"a": {"reference": "X/1"}, "b": [{"reference": "X/2"}, {"display": "x"}]});
        assert_eq!(references(&resource, "a"), ["X/1"]);
        assert_eq!(references(&resource, "b"), ["X/2"]);
        assert!(references(&resource, "c").is_empty());
    }
}
