//! All members of a value set, in its order.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Asked, Engine, Item, Stack, Tri, same_system};
use crate::terminology::code_system::{CodeSystem, Content};
use crate::terminology::filter::Prepared;
use crate::terminology::value_set::{Contained, Listed, Part, ValueSet};
use crate::terminology::{MAX_ITEMS, TerminologyError};

impl Engine<'_> {
    /// All members, each once, in the order of the value set.
    pub(in crate::terminology) fn items(
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
