//! Which codes are in a value set: one code asked for, or all of them.
//!
//! Every step costs from one budget, value sets that include themselves are refused, and a code of a system whose codes
//! are not here is neither in nor out.

mod items;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::terminology::code_system::{CodeSystem, Content, Designation, Property};
use crate::terminology::filter::Prepared;
use crate::terminology::source::{Source, split_canonical, version_fits};
use crate::terminology::value_set::{Contained, Listed, Part, ValueSet};
use crate::terminology::{MAX_DEPTH, MAX_STEPS, TerminologyError, grammar};

/// Steps that following a reference to a value set costs.
const REFERRAL: usize = 200;

/// Canonical URLs, each with a version.
pub type Versions = Vec<(Box<str>, Box<str>)>;

/// What a request says about versions and states.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Version of a system where a value set names none: `url`, version.
    pub system_version: Versions,
    /// Version that a system must have.
    pub check_system_version: Versions,
    /// Version of a system whatever the value set says.
    pub force_system_version: Versions,
    /// Version of a value set where a reference names none.
    pub valueset_version: Versions,
    /// Supplements to take into account.
    pub supplements: Vec<Box<str>>,
    /// Active codes only.
    pub active_only: bool,
    /// Systems to leave out (`url` or `url|version`).
    pub exclude_systems: Vec<Box<str>>,
}

fn setting<'s>(list: &'s [(Box<str>, Box<str>)], url: &str) -> Option<&'s str> {
    list.iter()
        .find(|(u, _)| u.as_ref() == url)
        .map(|(_, v)| v.as_ref())
}

/// In, out, or not to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::terminology) enum Tri {
    Yes,
    No,
    Unknown,
}

impl Tri {
    fn of(is: bool) -> Tri {
        if is { Tri::Yes } else { Tri::No }
    }

    fn and(self, other: Tri) -> Tri {
        match (self, other) {
            (Tri::No, _) | (_, Tri::No) => Tri::No,
            (Tri::Unknown, _) | (_, Tri::Unknown) => Tri::Unknown,
            _ => Tri::Yes,
        }
    }
}

/// A code asked for. An empty system stands for any.
#[derive(Clone, Copy, Debug)]
pub(in crate::terminology) struct Asked<'a> {
    pub system: &'a str,
    pub code: &'a str,
}

/// A member of a value set.
#[derive(Clone, Debug)]
pub(in crate::terminology) struct Item {
    /// System as the value set names it.
    pub system: Arc<str>,
    /// Definition of the system, when it is here.
    pub definition: Option<Arc<CodeSystem>>,
    /// Place in it.
    pub place: Option<u32>,
    /// Code.
    pub code: Box<str>,
    /// What the value set itself says of it.
    pub listed: Option<Box<Listed>>,
    pub inactive: bool,
    pub is_abstract: bool,
    /// Drawn from another value set: stands beside the others, whatever its system's hierarchy.
    pub is_drawn: bool,
}

impl Item {
    pub fn concept(&self) -> Option<&crate::terminology::code_system::Concept> {
        self.definition.as_ref()?.at(self.place?)
    }

    /// Version of the definition.
    pub fn version(&self) -> Option<&str> {
        self.definition.as_ref()?.head.version.as_deref()
    }

    /// The system's text, else the one the value set gives.
    pub fn display(&self) -> Option<&str> {
        self.listed
            .as_ref()
            .and_then(|l| l.display.as_deref())
            .or_else(|| self.concept()?.display.as_deref())
    }

    /// Order, label and weight: what the value set says of them, else the system.
    pub fn told(&self) -> impl Iterator<Item = &Property> {
        let listed = self.listed.as_deref().map_or(&[][..], |l| &l.told);
        let own = self.concept().map_or(&[][..], |c| &c.told);
        let is_new = move |p: &&Property| listed.iter().all(|l| l.code != p.code);
        listed.iter().chain(own.iter().filter(is_new))
    }

    /// Designations of the value set and of the system.
    pub fn designations(&self) -> Vec<Designation> {
        let own = self.listed.iter().flat_map(|l| &l.designations);
        own.chain(self.concept().into_iter().flat_map(|c| &c.designations))
            .cloned()
            .collect()
    }
}

/// What an evaluation drew on.
#[derive(Default)]
pub(in crate::terminology) struct Used {
    /// `url|version` of code systems.
    pub systems: BTreeSet<String>,
    /// `url|version` of value sets that were referred to.
    pub value_sets: BTreeSet<String>,
    /// `url|version` of supplements.
    pub supplements: BTreeSet<String>,
    /// (status, canonical) of definitions that are deprecated, withdrawn, draft or experimental.
    pub warnings: BTreeSet<(String, String)>,
    /// `system-version` settings that decided something.
    pub defaults: BTreeSet<String>,
    /// Part of a system was taken for the whole.
    pub is_open: bool,
}

type ChosenSets = HashMap<(Box<str>, Option<Box<str>>), Option<Arc<ValueSet>>>;
type Chosen = HashMap<(Box<str>, Option<Box<str>>), Option<Arc<CodeSystem>>>;

/// Definitions and what one request says about them.
pub struct Engine<'s> {
    pub(in crate::terminology) source: &'s dyn Source,
    pub(in crate::terminology) settings: Settings,
    steps: Cell<u64>,
    pub(in crate::terminology) used: RefCell<Used>,
    /// Definitions already chosen, by URL and version.
    systems: RefCell<Chosen>,
    /// The same of value sets.
    sets: RefCell<ChosenSets>,
}

/// Value sets being evaluated, outermost first.
pub(in crate::terminology) struct Stack<'v> {
    names: Vec<String>,
    contained: Vec<&'v ValueSet>,
}

impl<'v> Stack<'v> {
    pub fn new(set: &'v ValueSet) -> Stack<'v> {
        Stack {
            names: vec![set.head.canonical()],
            contained: vec![set],
        }
    }
}

impl<'s> Engine<'s> {
    /// An engine for one request.
    pub fn new(source: &'s dyn Source, settings: Settings) -> Engine<'s> {
        Engine {
            source,
            settings,
            steps: Cell::new(0),
            used: RefCell::default(),
            systems: RefCell::default(),
            sets: RefCell::default(),
        }
    }

    pub(in crate::terminology) fn step(&self, cost: usize) -> Result<(), TerminologyError> {
        let steps = self.steps.get().saturating_add(cost as u64);
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return Err(TerminologyError::TooCostly(
                "the value set takes more steps than one question may cost; ask for a part of it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The version of a system that counts when a value set (or a request) names `named`.
    pub(in crate::terminology) fn wished_version<'a>(
        &'a self,
        url: &str,
        named: Option<&'a str>,
    ) -> Option<&'a str> {
        setting(&self.settings.force_system_version, url)
            .or(named)
            .or_else(|| {
                let default = setting(&self.settings.system_version, url)?;
                self.used
                    .borrow_mut()
                    .defaults
                    .insert(format!("{url}|{default}"));
                Some(default)
            })
            .or_else(|| setting(&self.settings.check_system_version, url))
    }

    /// Refuses value sets that refer to themselves, also where an evaluation would not come by.
    pub(in crate::terminology) fn check_circles(
        &self,
        set: &ValueSet,
    ) -> Result<(), TerminologyError> {
        self.walk(set, &mut vec![set.head.canonical()])
    }

    fn walk(&self, set: &ValueSet, path: &mut Vec<String>) -> Result<(), TerminologyError> {
        let parts = set.include.iter().chain(&set.exclude);
        for reference in parts.flat_map(|p| &p.value_sets) {
            self.step(REFERRAL)?;
            if reference.starts_with('#') || path.len() > MAX_DEPTH {
                continue;
            }
            let Some(next) = self.value_set(reference, None)? else {
                continue;
            };
            let name = next.head.canonical();
            if path.contains(&name) {
                return Err(circle(&name, path));
            }
            path.push(name);
            self.walk(&next, path)?;
            path.pop();
        }
        Ok(())
    }

    /// The definition of a system, with the supplements of the request; `None` when it is not here.
    pub fn code_system(
        &self,
        url: &str,
        named: Option<&str>,
    ) -> Result<Option<Arc<CodeSystem>>, TerminologyError> {
        let version = self.wished_version(url, named).map(Box::<str>::from);
        let key = (Box::from(url), version.clone());
        if let Some(known) = self.systems.borrow().get(&key) {
            return Ok(known.clone());
        }
        let found = self.source.code_systems(url)?.into_iter().find(|c| {
            c.content != Content::Supplement
                && version
                    .as_deref()
                    .is_none_or(|v| version_fits(v, c.head.version.as_deref()))
        });
        let found = match found {
            Some(system) => Some(self.with_supplements(system)?),
            None => None,
        };
        self.systems.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    /// Refuses a definition in a version that `check-system-version` does not allow.
    pub(in crate::terminology) fn check_version(
        &self,
        url: &str,
        system: &CodeSystem,
    ) -> Result<(), TerminologyError> {
        match setting(&self.settings.check_system_version, url) {
            Some(wish) if !version_fits(wish, system.head.version.as_deref()) => {
                Err(TerminologyError::Unprocessable {
                    code: "exception",
                    text: format!(
                        "the version of code system {url} is {}, which check-system-version {wish} does not allow",
                        system.head.version.as_deref().unwrap_or("not given")
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    fn with_supplements(
        &self,
        system: Arc<CodeSystem>,
    ) -> Result<Arc<CodeSystem>, TerminologyError> {
        let mut out = system;
        for canonical in &self.settings.supplements {
            let supplement = self.supplement(canonical)?;
            let of = supplement.supplements.as_deref().unwrap_or_default();
            let (url, version) = split_canonical(of);
            if url == out.head.url.as_ref()
                && version.is_none_or(|v| version_fits(v, out.head.version.as_deref()))
            {
                self.step(out.concepts().len())?;
                self.used
                    .borrow_mut()
                    .supplements
                    .insert(supplement.head.canonical());
                out = Arc::new(out.supplemented(&supplement));
            }
        }
        Ok(out)
    }

    /// A supplement by its canonical; not having it is an error, since it must not be left out in silence.
    pub(in crate::terminology) fn supplement(
        &self,
        canonical: &str,
    ) -> Result<Arc<CodeSystem>, TerminologyError> {
        let (url, version) = split_canonical(canonical);
        self.source
            .code_systems(url)?
            .into_iter()
            .find(|c| {
                c.content == Content::Supplement
                    && version.is_none_or(|v| version_fits(v, c.head.version.as_deref()))
            })
            .ok_or_else(|| TerminologyError::Unprocessable {
                code: "not-found",
                text: format!("the supplement {canonical} is needed and not known here"),
            })
    }

    /// Notes what the answer must say about a definition that it drew on.
    pub(in crate::terminology) fn note_system(&self, system: &CodeSystem) {
        let mut used = self.used.borrow_mut();
        used.systems.insert(system.head.canonical());
        note_status(&mut used, &system.head, true);
        if system.content == Content::Fragment {
            used.is_open = true;
        }
    }

    /// A value set by canonical, with the version that the request fixes for it.
    pub fn value_set(
        &self,
        canonical: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<ValueSet>>, TerminologyError> {
        let (url, named) = split_canonical(canonical);
        let version = version
            .or(named)
            .or_else(|| setting(&self.settings.valueset_version, url));
        let key = (Box::from(url), version.map(Box::from));
        if let Some(known) = self.sets.borrow().get(&key) {
            return Ok(known.clone());
        }
        let found = self
            .source
            .value_sets(url)?
            .into_iter()
            .find(|v| version.is_none_or(|wish| version_fits(wish, v.head.version.as_deref())));
        let found = match found {
            Some(found) => Some(found),
            None => self.implied(url, version)?,
        };
        self.sets.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    /// `system?fhir_vs` and `system?fhir_vs=isa/code`: value sets that every code system has.
    fn implied(
        &self,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<ValueSet>>, TerminologyError> {
        let Some((system, query)) = url.split_once("?fhir_vs") else {
            return Ok(None);
        };
        let Some(definition) = self.code_system(system, version)? else {
            return Ok(None);
        };
        let version = definition.head.version.as_deref();
        if query.is_empty() {
            return Ok(Some(Arc::new(ValueSet::all_of(system, version, url))));
        }
        let Some(code) = query.strip_prefix("=isa/") else {
            return Ok(None);
        };
        if definition.place(code).is_none() {
            return Ok(None);
        }
        let mut set = ValueSet::all_of(system, version, url);
        let part = Part {
            filters: vec![super::value_set::Filter {
                property: Box::from("concept"),
                op: Box::from("is-a"),
                value: Box::from(code),
            }],
            ..std::mem::take(&mut set.include).pop().unwrap_or_default()
        };
        Ok(Some(Arc::new(ValueSet::of(set.head, part))))
    }

    /// A value set that another refers to, evaluated by `work` under the cycle check.
    fn referred<T>(
        &self,
        reference: &str,
        stack: &mut Stack<'_>,
        work: impl FnOnce(&Self, &ValueSet, &mut Stack<'_>) -> Result<T, TerminologyError>,
    ) -> Result<T, TerminologyError> {
        self.step(REFERRAL)?;
        if reference.starts_with('#') {
            let inner = stack
                .contained
                .iter()
                .rev()
                .find_map(|v| v.contained.iter().find(|(id, _)| id.as_ref() == reference))
                .map(|(_, v)| v);
            let Some(inner) = inner else {
                return Err(TerminologyError::Unknown {
                    kind: "ValueSet",
                    url: reference.to_owned(),
                });
            };
            let name = format!("{reference} in {}", stack.names.last().map_or("", |n| n));
            return self.entered(inner, name, stack, work);
        }
        let set = self.value_set(reference, None)?.ok_or_else(|| {
            let (url, version) = split_canonical(reference);
            let version = version.or_else(|| setting(&self.settings.valueset_version, url));
            TerminologyError::Unknown {
                kind: "ValueSet",
                url: version.map_or_else(|| url.to_owned(), |v| format!("{url}|{v}")),
            }
        })?;
        {
            let mut used = self.used.borrow_mut();
            used.value_sets.insert(set.head.canonical());
            note_status(&mut used, &set.head, false);
        }
        let name = set.head.canonical();
        self.entered(&set, name, stack, work)
    }

    fn entered<T>(
        &self,
        set: &ValueSet,
        name: String,
        stack: &mut Stack<'_>,
        work: impl FnOnce(&Self, &ValueSet, &mut Stack<'_>) -> Result<T, TerminologyError>,
    ) -> Result<T, TerminologyError> {
        if stack.names.contains(&name) {
            return Err(circle(&name, &stack.names));
        }
        if stack.names.len() >= MAX_DEPTH {
            return Err(TerminologyError::TooCostly(format!(
                "value sets may refer to each other over at most {MAX_DEPTH} steps"
            )));
        }
        stack.names.push(name);
        let mut inner = Stack {
            names: std::mem::take(&mut stack.names),
            contained: stack.contained.clone(),
        };
        inner.contained.push(set);
        let result = work(self, set, &mut inner);
        stack.names = inner.names;
        stack.names.pop();
        result
    }

    /// Whether a code is in a value set.
    pub(in crate::terminology) fn contains(
        &self,
        set: &ValueSet,
        asked: Asked<'_>,
        stack: &mut Stack<'_>,
    ) -> Result<Tri, TerminologyError> {
        self.step(1)?;
        if !set.has_compose {
            let is = |c: &Contained| {
                (asked.system.is_empty() || same_system(&c.system, asked.system))
                    && c.listed.code.as_ref() == asked.code
                    && !(c.inactive && self.settings.active_only)
            };
            return Ok(Tri::of(set.expansion.iter().any(is)));
        }
        let mut found = Tri::No;
        for part in &set.include {
            match self.part_contains(part, asked, stack)? {
                Tri::Yes => {
                    found = Tri::Yes;
                    break;
                }
                Tri::Unknown => found = Tri::Unknown,
                Tri::No => {}
            }
        }
        if found == Tri::No {
            return Ok(Tri::No);
        }
        if self.is_active_only(set) && self.is_inactive(set, asked)? {
            return Ok(Tri::No);
        }
        for part in &set.exclude {
            match self.part_contains(part, asked, stack)? {
                Tri::Yes => return Ok(Tri::No),
                Tri::Unknown => found = Tri::Unknown,
                Tri::No => {}
            }
        }
        Ok(found)
    }

    pub(in crate::terminology) fn is_active_only(&self, set: &ValueSet) -> bool {
        self.settings.active_only || set.inactive == Some(false)
    }

    fn is_inactive(&self, set: &ValueSet, asked: Asked<'_>) -> Result<bool, TerminologyError> {
        for part in &set.include {
            let Some(system) = part.system.as_deref() else {
                continue;
            };
            if !asked.system.is_empty() && !same_system(system, asked.system) {
                continue;
            }
            if let Some(definition) = self.code_system(system, part.version.as_deref())?
                && let Some(concept) = definition.get(asked.code)
            {
                return Ok(concept.inactive);
            }
        }
        if asked.system.is_empty() {
            return Ok(false);
        }
        Ok(self
            .code_system(asked.system, None)?
            .and_then(|d| d.get(asked.code).map(|c| c.inactive))
            .unwrap_or(false))
    }

    fn part_contains(
        &self,
        part: &Part,
        asked: Asked<'_>,
        stack: &mut Stack<'_>,
    ) -> Result<Tri, TerminologyError> {
        self.step(1)?;
        let mut result = Tri::Yes;
        if let Some(system) = part.system.as_deref() {
            if !asked.system.is_empty() && !same_system(system, asked.system) {
                return Ok(Tri::No);
            }
            result = self.system_contains(system, part, asked.code)?;
        } else if part.value_sets.is_empty() {
            return Ok(Tri::No);
        }
        for reference in &part.value_sets {
            if result == Tri::No {
                break;
            }
            let inner = self.referred(reference, stack, |engine, set, stack| {
                engine.contains(set, asked, stack)
            })?;
            result = result.and(inner);
        }
        Ok(result)
    }

    fn system_contains(
        &self,
        system: &str,
        part: &Part,
        code: &str,
    ) -> Result<Tri, TerminologyError> {
        if self.is_excluded(system, part.version.as_deref()) {
            return Ok(Tri::No);
        }
        let definition = self.code_system(system, part.version.as_deref())?;
        if !part.concepts.is_empty() {
            self.step(part.concepts.len() / 16)?;
            let folds = definition
                .as_ref()
                .is_some_and(|d| d.case_sensitive == Some(false));
            let is = |l: &Listed| {
                l.code.as_ref() == code || (folds && l.code.to_lowercase() == code.to_lowercase())
            };
            // A listed code that its whole system does not have is no code.
            let exists = definition
                .as_ref()
                .is_none_or(|d| !d.is_complete() || d.place(code).is_some());
            return Ok(Tri::of(exists && part.concepts.iter().any(is)));
        }
        let Some(definition) = definition else {
            return Ok(if part.filters.is_empty() {
                grammar::has(system, code).map_or(Tri::Unknown, Tri::of)
            } else {
                Tri::Unknown
            });
        };
        let Some(place) = definition.place(code) else {
            return Ok(if definition.is_complete() {
                Tri::No
            } else {
                Tri::Unknown
            });
        };
        for filter in &part.filters {
            let prepared = Prepared::new(&definition, filter, false)?;
            self.step(prepared.cost)?;
            if !prepared.holds(&definition, place) {
                return Ok(Tri::No);
            }
        }
        Ok(Tri::Yes)
    }

    fn is_excluded(&self, system: &str, version: Option<&str>) -> bool {
        self.settings.exclude_systems.iter().any(|canonical| {
            let (url, wish) = split_canonical(canonical);
            url == system && wish.is_none_or(|w| version.is_none_or(|v| version_fits(w, Some(v))))
        })
    }
}

/// Standing of a definition that the answer must tell: a system's in any state but active, a value set's only when it is no
/// longer to be used.
fn note_status(used: &mut Used, head: &crate::terminology::code_system::Head, is_system: bool) {
    let standing = match (head.standards_status.as_deref(), head.status.as_ref()) {
        (Some("deprecated"), _) => "deprecated",
        (Some("withdrawn"), _) => "withdrawn",
        (_, "retired") => "retired",
        (_, "draft") if is_system => "draft",
        _ if is_system && head.experimental => "experimental",
        _ => return,
    };
    used.warnings
        .insert((standing.to_owned(), head.canonical()));
}

/// What a value set itself is said to be.
pub(in crate::terminology) fn note_own_status(used: &RefCell<Used>, set: &ValueSet) {
    note_status(&mut used.borrow_mut(), &set.head, false);
}

fn circle(name: &str, path: &[String]) -> TerminologyError {
    TerminologyError::Unprocessable {
        code: "processing",
        text: format!(
            "value set {name} refers to itself, by way of {}",
            path.join(", ")
        ),
    }
}

/// Whether two names mean one system: equal, or two spellings of one national list.
pub(in crate::terminology) fn same_system(a: &str, b: &str) -> bool {
    a == b || crate::terminology::national::same(a, b)
}
