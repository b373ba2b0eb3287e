//! Which codes are in a value set: one code asked for, or all of them.
//!
//! Every step costs from one budget, value sets that include themselves are refused, and a code of a system whose codes
//! are not here is neither in nor out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::code_system::{CodeSystem, Content, Designation};
use super::filter::Prepared;
use super::source::{Source, split_canonical, version_fits};
use super::value_set::{Contained, Listed, Part, ValueSet};
use super::{MAX_DEPTH, MAX_ITEMS, MAX_STEPS, TerminologyError, grammar};

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
pub(super) enum Tri {
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
pub(super) struct Asked<'a> {
    pub system: &'a str,
    pub code: &'a str,
}

/// A member of a value set.
#[derive(Clone, Debug)]
pub(super) struct Item {
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
    pub fn concept(&self) -> Option<&super::code_system::Concept> {
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
pub(super) struct Used {
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

type Chosen = HashMap<(Box<str>, Option<Box<str>>), Option<Arc<CodeSystem>>>;

/// Definitions and what one request says about them.
pub struct Engine<'s> {
    pub(super) source: &'s dyn Source,
    pub(super) settings: Settings,
    steps: Cell<u64>,
    pub(super) used: RefCell<Used>,
    /// Definitions already chosen, by URL and version.
    systems: RefCell<Chosen>,
}

/// Value sets being evaluated, outermost first.
pub(super) struct Stack<'v> {
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
        }
    }

    pub(super) fn step(&self, cost: usize) -> Result<(), TerminologyError> {
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
    pub(super) fn wished_version<'a>(
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
    pub(super) fn check_circles(&self, set: &ValueSet) -> Result<(), TerminologyError> {
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
    pub(super) fn check_version(
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
    pub(super) fn supplement(&self, canonical: &str) -> Result<Arc<CodeSystem>, TerminologyError> {
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
    pub(super) fn note_system(&self, system: &CodeSystem) {
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
        let found = self
            .source
            .value_sets(url)?
            .into_iter()
            .find(|v| version.is_none_or(|wish| version_fits(wish, v.head.version.as_deref())));
        if found.is_some() {
            return Ok(found);
        }
        self.implied(url, version)
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
    pub(super) fn contains(
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

    pub(super) fn is_active_only(&self, set: &ValueSet) -> bool {
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
            self.step(4)?;
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

    /// All members, each once, in the order of the value set.
    pub(super) fn items(
        &self,
        set: &ValueSet,
        stack: &mut Stack<'_>,
    ) -> Result<Vec<Item>, TerminologyError> {
        let mut out = Gathered::default();
        if !set.has_compose {
            for contained in &set.expansion {
                if contained.inactive && self.settings.active_only {
                    continue;
                }
                out.add(self.contained_item(contained)?)?;
            }
            return Ok(out.items);
        }
        let is_active_only = self.is_active_only(set);
        for part in &set.include {
            let mut items = self.part_items(part, stack)?;
            self.step(items.len())?;
            if is_active_only {
                items.retain(|item| !item.inactive);
            }
            for excluded in &set.exclude {
                items = self.sifted(items, excluded, false, stack)?;
            }
            for item in items {
                out.add(item)?;
            }
        }
        Ok(out.items)
    }

    /// Items that a part has (or has not). A part that cannot tell is an error.
    fn sifted(
        &self,
        items: Vec<Item>,
        part: &Part,
        wanted: bool,
        stack: &mut Stack<'_>,
    ) -> Result<Vec<Item>, TerminologyError> {
        let told = self.tell(&items, part, stack)?;
        let mut out = Vec::with_capacity(items.len());
        for (item, tri) in items.into_iter().zip(told) {
            match tri {
                Tri::Unknown => return Err(not_here(part)),
                tri if (tri == Tri::Yes) == wanted => out.push(item),
                _ => {}
            }
        }
        Ok(out)
    }

    /// What [`Engine::part_contains`] says of many items, with the work for the part done once.
    fn tell(
        &self,
        items: &[Item],
        part: &Part,
        stack: &mut Stack<'_>,
    ) -> Result<Vec<Tri>, TerminologyError> {
        let mut out = match part.system.as_deref() {
            Some(system) => self.tell_system(items, system, part)?,
            None if part.value_sets.is_empty() => vec![Tri::No; items.len()],
            None => vec![Tri::Yes; items.len()],
        };
        for reference in &part.value_sets {
            self.referred(reference, stack, |engine, set, stack| {
                for (item, tri) in items.iter().zip(&mut out) {
                    if *tri != Tri::No {
                        let asked = Asked {
                            system: &item.system,
                            code: &item.code,
                        };
                        *tri = tri.and(engine.contains(set, asked, stack)?);
                    }
                }
                Ok(())
            })?;
        }
        Ok(out)
    }

    fn tell_system(
        &self,
        items: &[Item],
        system: &str,
        part: &Part,
    ) -> Result<Vec<Tri>, TerminologyError> {
        let definition = self.code_system(system, part.version.as_deref())?;
        let filters = match &definition {
            Some(d) => part
                .filters
                .iter()
                .map(|f| Prepared::new(d, f, true))
                .collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        let folds = definition
            .as_ref()
            .is_some_and(|d| d.case_sensitive == Some(false));
        let key = |code: &str| {
            if folds {
                code.to_lowercase()
            } else {
                code.to_owned()
            }
        };
        self.step(items.len() * (1 + filters.len()) + part.concepts.len())?;
        let listed: HashSet<String> = part.concepts.iter().map(|l| key(&l.code)).collect();
        let plain = Part {
            system: part.system.clone(),
            version: part.version.clone(),
            ..Part::default()
        };
        items
            .iter()
            .map(|item| {
                if !same_system(system, &item.system) {
                    return Ok(Tri::No);
                }
                if !part.concepts.is_empty() {
                    return Ok(Tri::of(listed.contains(&key(&item.code))));
                }
                let place = definition.as_ref().and_then(|d| d.place(&item.code));
                match (&definition, place) {
                    (Some(d), Some(place))
                        if !self.is_excluded(system, part.version.as_deref()) =>
                    {
                        Ok(Tri::of(filters.iter().all(|f| f.holds(d, place))))
                    }
                    (None, _) if !part.filters.is_empty() => Ok(Tri::Unknown),
                    _ => self.system_contains(system, &plain, &item.code),
                }
            })
            .collect()
    }

    fn contained_item(&self, contained: &Contained) -> Result<Item, TerminologyError> {
        let definition = self.code_system(&contained.system, contained.version.as_deref())?;
        Ok(Item {
            system: Arc::from(contained.system.as_ref()),
            place: definition
                .as_ref()
                .and_then(|d| d.place(&contained.listed.code)),
            definition,
            code: contained.listed.code.clone(),
            listed: Some(Box::new(contained.listed.clone())),
            inactive: contained.inactive,
            is_abstract: contained.is_abstract,
            is_drawn: true,
        })
    }

    fn part_items(
        &self,
        part: &Part,
        stack: &mut Stack<'_>,
    ) -> Result<Vec<Item>, TerminologyError> {
        self.step(1)?;
        let mut references = part.value_sets.iter();
        let mut items = match part.system.as_deref() {
            Some(system) => self.system_items(system, part)?,
            None => match references.next() {
                Some(first) => {
                    let mut drawn =
                        self.referred(first, stack, |engine, set, stack| engine.items(set, stack))?;
                    drawn.iter_mut().for_each(|item| item.is_drawn = true);
                    drawn
                }
                None => {
                    return Err(TerminologyError::Unprocessable {
                        code: "invalid",
                        text: "an include of the value set has neither a system nor a value set"
                            .to_owned(),
                    });
                }
            },
        };
        let rest = Part {
            value_sets: references.cloned().collect(),
            ..Part::default()
        };
        if !rest.value_sets.is_empty() {
            items = self.sifted(items, &rest, true, stack)?;
        }
        Ok(items)
    }

    fn system_items(&self, system: &str, part: &Part) -> Result<Vec<Item>, TerminologyError> {
        if self.is_excluded(system, part.version.as_deref()) {
            return Ok(Vec::new());
        }
        let definition = self.code_system(system, part.version.as_deref())?;
        if let Some(d) = &definition {
            self.check_version(system, d)?;
            self.note_system(d);
        }
        let name: Arc<str> = Arc::from(system);
        if !part.concepts.is_empty() {
            self.step(part.concepts.len())?;
            return Ok(part
                .concepts
                .iter()
                .filter_map(|listed| self.listed_item(&name, definition.as_ref(), listed))
                .collect());
        }
        let known = definition.filter(|d| d.content != Content::NotPresent);
        let Some(definition) = known else {
            return Err(not_here(part));
        };
        let filters = part
            .filters
            .iter()
            .map(|f| Prepared::new(&definition, f, true))
            .collect::<Result<Vec<_>, _>>()?;
        self.step(definition.concepts().len() * (1 + filters.len()))?;
        let mut out = Vec::new();
        for (concept, place) in definition.concepts().iter().zip(0u32..) {
            if !filters.iter().all(|f| f.holds(&definition, place)) {
                continue;
            }
            if out.len() >= MAX_ITEMS {
                return Err(too_many());
            }
            out.push(Item {
                system: name.clone(),
                definition: Some(definition.clone()),
                place: Some(place),
                code: concept.code.clone(),
                listed: None,
                inactive: concept.inactive,
                is_abstract: concept.is_abstract,
                is_drawn: false,
            });
        }
        Ok(out)
    }

    fn listed_item(
        &self,
        system: &Arc<str>,
        definition: Option<&Arc<CodeSystem>>,
        listed: &Listed,
    ) -> Option<Item> {
        let place = definition.and_then(|d| d.place(&listed.code));
        // A listed code that its whole system does not have is no code.
        if place.is_none() && definition.is_some_and(|d| d.is_complete()) {
            return None;
        }
        let concept = definition.zip(place).and_then(|(d, p)| d.at(p));
        Some(Item {
            system: system.clone(),
            definition: definition.cloned(),
            place,
            code: concept.map_or_else(|| listed.code.clone(), |c| c.code.clone()),
            listed: Some(Box::new(listed.clone())),
            inactive: concept.is_some_and(|c| c.inactive),
            is_abstract: concept.is_some_and(|c| c.is_abstract),
            is_drawn: false,
        })
    }
}

/// Standing of a definition that the answer must tell: a system's in any state but active, a value set's only when it is no
/// longer to be used.
fn note_status(used: &mut Used, head: &super::code_system::Head, is_system: bool) {
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
pub(super) fn note_own_status(used: &RefCell<Used>, set: &ValueSet) {
    note_status(&mut used.borrow_mut(), &set.head, false);
}

#[derive(Default)]
struct Gathered {
    items: Vec<Item>,
    seen: HashSet<(Arc<str>, Box<str>)>,
}

impl Gathered {
    fn add(&mut self, item: Item) -> Result<(), TerminologyError> {
        if self.items.len() >= MAX_ITEMS {
            return Err(too_many());
        }
        if self.seen.insert((item.system.clone(), item.code.clone())) {
            self.items.push(item);
        }
        Ok(())
    }
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

fn too_many() -> TerminologyError {
    TerminologyError::TooCostly(format!("the value set has more than {MAX_ITEMS} codes"))
}

/// Codes of a system were asked for that are not here.
fn not_here(part: &Part) -> TerminologyError {
    let system = part.system.as_deref().unwrap_or_default();
    let canonical = match &part.version {
        Some(version) => format!("{system}|{version}"),
        None => system.to_owned(),
    };
    TerminologyError::Unprocessable {
        code: "not-found",
        text: format!("the codes of code system {canonical} are not known here"),
    }
}

/// Whether two names mean one system: equal, or two spellings of one national list.
pub(super) fn same_system(a: &str, b: &str) -> bool {
    a == b || super::national::same(a, b)
}
