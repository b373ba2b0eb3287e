//! Building the loaded pack from its file: interning, child lookup, compiled expressions.

use std::collections::HashMap;

use super::file::{PackFile, RuleFact};
use super::{
    ElemId, Element, Known, NameId, Pack, PackError, ParamInfo, ParamKind, Part, Rule, Type,
    TypeId, ValueSet,
};
use crate::finding::Severity;
use crate::path::{Expr, Resolver};
use crate::validate::grammar::Grammar;

/// Strings ↔ small numbers.
#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: HashMap<Box<str>, u16>,
}

impl Interner {
    fn add(&mut self, name: &str) -> u16 {
        let next = u16::try_from(self.ids.len()).unwrap_or(u16::MAX - 1);
        *self.ids.entry(Box::from(name)).or_insert(next)
    }

    pub(super) fn get(&self, name: &str) -> Option<u16> {
        self.ids.get(name).copied()
    }
}

#[derive(Debug, Clone)]
struct Slot {
    name: Box<[u8]>,
    parent: u16,
    elem: u16,
    ty: u16,
    base_name: NameId,
}

/// Open-addressing table (parent type, JSON name) → (element, type): the hottest lookup of the crate.
#[derive(Debug, Default)]
pub(super) struct ChildIndex {
    slots: Vec<Option<Slot>>,
}

#[inline]
fn hash(parent: u16, name: &[u8]) -> usize {
    let mut h = u64::from(parent)
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut chunks = name.chunks_exact(8);
    for c in &mut chunks {
        let mut word = [0u8; 8];
        word.copy_from_slice(c);
        h = (h ^ u64::from_le_bytes(word))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29);
    }
    let mut word = [0u8; 8];
    for (d, s) in word.iter_mut().zip(chunks.remainder()) {
        *d = *s;
    }
    h = (h ^ u64::from_le_bytes(word) ^ ((name.len() as u64) << 56))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(h >> 32).unwrap_or(0)
}

impl ChildIndex {
    fn build(items: Vec<Slot>) -> ChildIndex {
        let size = (items.len() * 2).next_power_of_two().max(16);
        let mut slots: Vec<Option<Slot>> = vec![None; size];
        for item in items {
            let mut i = hash(item.parent, &item.name);
            loop {
                match slots.get_mut(i & (size - 1)) {
                    Some(s @ None) => {
                        *s = Some(item);
                        break;
                    }
                    Some(Some(s)) if s.parent == item.parent && s.name == item.name => break,
                    _ => i += 1,
                }
            }
        }
        ChildIndex { slots }
    }

    #[inline]
    pub(super) fn get(&self, parent: TypeId, name: &[u8]) -> Option<(ElemId, TypeId, NameId)> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut i = hash(parent.0, name);
        loop {
            match self.slots.get(i & mask) {
                Some(Some(s)) if s.parent == parent.0 && *s.name == *name => {
                    return Some((ElemId(s.elem), TypeId(s.ty), s.base_name));
                }
                Some(Some(_)) => i += 1,
                _ => return None,
            }
        }
    }
}

/// With a capital first letter, as a type stands in the name of a choice.
pub(crate) fn capitalised(name: &str) -> String {
    let mut c = name.chars();
    c.next()
        .map(|f| f.to_ascii_uppercase())
        .into_iter()
        .chain(c)
        .collect()
}

struct Names<'a> {
    names: &'a Interner,
    types: &'a HashMap<Box<str>, TypeId>,
}

impl Resolver for Names<'_> {
    fn name(&self, name: &str) -> Option<NameId> {
        self.names.get(name).map(NameId)
    }
    fn ty(&self, name: &str) -> Option<TypeId> {
        self.types.get(name).copied()
    }
}

fn rules(facts: &[RuleFact], names: &Names<'_>) -> Vec<Rule> {
    facts
        .iter()
        .map(|r| Rule {
            key: Box::from(r.key.as_str()),
            severity: match r.severity.as_str() {
                "error" => Severity::Error,
                "warning" => Severity::Warning,
                _ => Severity::Information,
            },
            expr: Expr::compile_with(&r.expression, names).ok(),
            human: Box::from(r.human.as_str()),
        })
        .collect()
}

impl Pack {
    /// Loads facts.
    pub fn from_file(file: &PackFile) -> Result<Pack, PackError> {
        let bad = |what: String| PackError::Inconsistent(what);
        let mut by_name: HashMap<Box<str>, TypeId> = HashMap::new();
        for (i, t) in file.types.iter().enumerate() {
            let id = TypeId(u16::try_from(i).map_err(|_| bad("too many types".into()))?);
            by_name.insert(Box::from(t.name.as_str()), id);
        }
        let find = |name: &str| {
            by_name
                .get(name)
                .copied()
                .ok_or_else(|| bad(format!("type {name} is missing")))
        };

        let sets: HashMap<&str, u32> = file
            .value_sets
            .iter()
            .zip(0u32..)
            .map(|(v, i)| (v.url.as_str(), i))
            .collect();
        let mut names = Interner::default();
        for e in file.types.iter().flat_map(|t| &t.elements) {
            names.add(&e.name);
        }
        let resolver = Names {
            names: &names,
            types: &by_name,
        };
        let mut elements: Vec<Element> = Vec::new();
        let mut types: Vec<Type> = Vec::with_capacity(file.types.len());
        let mut slots = Vec::new();
        for (ti, t) in file.types.iter().enumerate() {
            let parent = u16::try_from(ti).unwrap_or(u16::MAX);
            let mut own = Vec::with_capacity(t.elements.len());
            for e in &t.elements {
                let elem = u16::try_from(elements.len())
                    .ok()
                    .filter(|n| *n < u16::MAX)
                    .ok_or_else(|| bad("too many elements".into()))?;
                let ids = e
                    .types
                    .iter()
                    .map(|n| find(n))
                    .collect::<Result<Vec<_>, _>>()?;
                let base_name = resolver.name(&e.name).unwrap_or(NameId::NONE);
                for ty in &ids {
                    let json = if e.choice {
                        format!(
                            "{}{}",
                            e.name,
                            capitalised(file.types.get(usize::from(ty.0)).map_or("", |t| &t.name))
                        )
                    } else {
                        e.name.clone()
                    };
                    slots.push(Slot {
                        name: json.into_bytes().into_boxed_slice(),
                        parent,
                        elem,
                        ty: ty.0,
                        base_name,
                    });
                }
                elements.push(Element {
                    name: Box::from(e.name.as_str()),
                    name_id: base_name,
                    min: e.min,
                    max: (e.max > 0).then_some(e.max),
                    choice: e.choice,
                    types: ids,
                    targets: e
                        .targets
                        .iter()
                        .filter_map(|n| by_name.get(n.as_str()).copied())
                        .collect(),
                    summary: e.summary,
                    modifier: e.modifier,
                    required: sets.get(e.required.as_str()).copied(),
                    extensible: sets.get(e.extensible.as_str()).copied(),
                    grammar: Grammar::of(&e.required),
                    rules: rules(&e.rules, &resolver),
                });
                own.push(ElemId(elem));
            }
            types.push(Type {
                name: Box::from(t.name.as_str()),
                kind: t.kind,
                base: if t.base.is_empty() {
                    TypeId::NONE
                } else {
                    find(&t.base)?
                },
                is_abstract: t.is_abstract,
                elements: own,
                rules: rules(&t.rules, &resolver),
            });
        }
        let known = known(&by_name).map_err(bad)?;
        let mut pack = Pack {
            fhir_version: Box::from(file.fhir_version.as_str()),
            source: Box::from(file.source.as_str()),
            types,
            elements,
            names,
            by_name,
            children: ChildIndex::build(slots),
            value_sets: file.value_sets.iter().map(value_set).collect(),
            params: Vec::new(),
            param_of: HashMap::new(),
            params_of_type: HashMap::new(),
            param_by_id: HashMap::new(),
            compartments: HashMap::new(),
            known,
        };
        pack.load_params(file)?;
        pack.load_compartments(file);
        Ok(pack)
    }

    fn load_params(&mut self, file: &PackFile) -> Result<(), PackError> {
        let kind_of: HashMap<(&str, &str), (&str, &[String])> = file
            .params
            .iter()
            .map(|p| {
                (
                    (p.base.as_str(), p.code.as_str()),
                    (p.kind.as_str(), p.types.as_slice()),
                )
            })
            .collect();
        for p in &file.params {
            let kind = ParamKind::parse(&p.kind).ok_or_else(|| {
                PackError::Inconsistent(format!("search parameter kind {}", p.kind))
            })?;
            let resolver = Names {
                names: &self.names,
                types: &self.by_name,
            };
            let compile = |text: &str| {
                Expr::compile_with(text, &resolver)
                    .map_err(|e| PackError::Inconsistent(format!("{}.{}: {e}", p.base, p.code)))
            };
            let parts = p
                .parts
                .iter()
                .map(|(code, text)| {
                    let (kind, types) = kind_of
                        .get(&(p.base.as_str(), code.as_str()))
                        .copied()
                        .ok_or_else(|| {
                            PackError::Inconsistent(format!("{}.{}: part {code}", p.base, p.code))
                        })?;
                    Ok(Part {
                        code: Box::from(code.as_str()),
                        kind: ParamKind::parse(kind).unwrap_or(ParamKind::Special),
                        folds_case: !types.is_empty()
                            && types
                                .iter()
                                .all(|t| t == "Identifier" || t == "ContactPoint"),
                        expr: compile(text)?,
                    })
                })
                .collect::<Result<Vec<_>, PackError>>()?;
            self.params.push(ParamInfo {
                id: p.id << 4,
                base: Box::from(p.base.as_str()),
                code: Box::from(p.code.as_str()),
                kind,
                types: p.types.iter().filter_map(|t| self.type_id(t)).collect(),
                targets: p.targets.iter().map(|t| Box::from(t.as_str())).collect(),
                expression: Box::from(p.expression.as_str()),
                expr: if p.expression.is_empty() {
                    None
                } else {
                    Some(compile(&p.expression)?)
                },
                parts,
            });
        }
        let concrete: Vec<TypeId> = self
            .resource_types()
            .filter_map(|n| self.type_id(n))
            .collect();
        for ty in concrete {
            let mut list = Vec::new();
            for (p, i) in self.params.iter().zip(0u32..) {
                if self
                    .type_id(&p.base)
                    .is_some_and(|base| self.is_a(ty, base))
                {
                    list.push(i);
                }
            }
            for i in &list {
                if let Some(p) = self.params.get(usize::try_from(*i).unwrap_or(usize::MAX)) {
                    self.param_of.insert((ty, p.code.clone()), *i);
                }
            }
            self.params_of_type.insert(ty, list);
        }
        for common in [self.known.resource, self.known.domain_resource] {
            for (p, i) in self.params.iter().zip(0u32..) {
                if self
                    .type_id(&p.base)
                    .is_some_and(|base| self.is_a(common, base))
                {
                    self.param_of.insert((common, p.code.clone()), i);
                }
            }
        }
        self.param_by_id = self
            .params
            .iter()
            .zip(0u32..)
            .map(|(p, i)| (p.id, i))
            .collect();
        Ok(())
    }

    fn load_compartments(&mut self, file: &PackFile) {
        for c in &file.compartments {
            let mut members = HashMap::new();
            for (ty, codes) in &c.members {
                let Some(id) = self.type_id(ty) else { continue };
                let list: Vec<u32> = codes
                    .iter()
                    .filter_map(|code| self.param_of.get(&(id, Box::from(code.as_str()))).copied())
                    .collect();
                members.insert(Box::from(ty.as_str()), list);
            }
            self.compartments
                .insert(Box::from(c.code.as_str()), members);
        }
    }
}

fn value_set(v: &super::file::ValueSetFact) -> ValueSet {
    let mut set = ValueSet {
        url: Box::from(v.url.as_str()),
        systems: Vec::new(),
        codes: HashMap::new(),
        shared: Vec::new(),
    };
    for (system, codes) in &v.systems {
        let index = u16::try_from(set.systems.len()).unwrap_or(u16::MAX);
        set.systems.push(Box::from(system.as_str()));
        for code in codes {
            let key: Box<str> = Box::from(code.as_str());
            match set.codes.entry(key) {
                std::collections::hash_map::Entry::Occupied(o) => {
                    set.shared.push((o.key().clone(), index));
                }
                std::collections::hash_map::Entry::Vacant(v) => {
                    v.insert(index);
                }
            }
        }
    }
    set
}

fn known(by_name: &HashMap<Box<str>, TypeId>) -> Result<Known, String> {
    let t = |name: &str| {
        by_name
            .get(name)
            .copied()
            .ok_or_else(|| format!("type {name} is missing"))
    };
    Ok(Known {
        resource: t("Resource")?,
        domain_resource: t("DomainResource")?,
        element: t("Element")?,
        backbone: t("BackboneElement")?,
        extension: t("Extension")?,
        coding: t("Coding")?,
        codeable_concept: t("CodeableConcept")?,
        identifier: t("Identifier")?,
        contact_point: t("ContactPoint")?,
        human_name: t("HumanName")?,
        address: t("Address")?,
        reference: t("Reference")?,
        quantity: t("Quantity")?,
        money: t("Money")?,
        range: t("Range")?,
        period: t("Period")?,
        timing: t("Timing")?,
        sampled_data: t("SampledData")?,
        string: t("string")?,
        markdown: t("markdown")?,
        code: t("code")?,
        id: t("id")?,
        uri: t("uri")?,
        url: t("url")?,
        canonical: t("canonical")?,
        oid: t("oid")?,
        uuid: t("uuid")?,
        boolean: t("boolean")?,
        integer: t("integer")?,
        positive_int: t("positiveInt")?,
        unsigned_int: t("unsignedInt")?,
        decimal: t("decimal")?,
        date: t("date")?,
        date_time: t("dateTime")?,
        instant: t("instant")?,
        time: t("time")?,
        base64: t("base64Binary")?,
        xhtml: t("xhtml")?,
    })
}
