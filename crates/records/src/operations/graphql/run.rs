//! Carrying a query out on documents: fields by the definitions, references followed, searches run, all on one budget.

mod narrow;
mod search;
mod select;

use super::out::{Object, Out};
use super::parse::{Document, Field, Query, Selection, Value};
use crate::operations::local;
use crate::outcome::Failure;
use crate::read::{is_deleted, is_id};
use crate::repository::Repository;
use fhir::{Doc, Limits, Node};
use select::{Picked, of_json};
use std::cell::Cell;
use std::collections::HashMap;
use store::{Granted, Record, Snapshot};

/// Most fields and values that one query may visit.
const MAX_STEPS: usize = 500_000;
/// Most resources that one query may read.
const MAX_RESOURCES: usize = 5_000;
/// Most searches of one query.
const MAX_SEARCHES: usize = 100;
/// Deepest walk, resources behind references included.
const MAX_WALK: usize = 40;
/// Matches of a list when `_count` does not say.
const DEFAULT_COUNT: usize = 50;

/// A query under way.
pub(super) struct Runner<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    granted: &'a Granted,
    document: &'a Document,
    query: &'a Query,
    variables: HashMap<String, Value>,
    steps: Cell<usize>,
    resources: Cell<usize>,
    searches: Cell<usize>,
}

/// Where in the answer the fields of an element go.
#[derive(Clone, Copy)]
struct Place<'s> {
    /// Something above is a list: values join it.
    in_list: bool,
    /// What `@slice` puts behind the names.
    suffix: &'s str,
    /// Steps walked so far.
    depth: usize,
}

impl Place<'_> {
    /// In an object of its own.
    fn at(depth: usize) -> Self {
        Self {
            in_list: false,
            suffix: "",
            depth,
        }
    }

    fn deeper(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    fn key(self, field: &Field) -> String {
        format!("{}{}", field.key(), self.suffix)
    }
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::bad("invalid", text)
}

/// A name of the query as an error may show it: it was read as letters, digits and `_`.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

impl<'a> Runner<'a> {
    pub fn new(
        repository: &'a Repository,
        snapshot: &'a Snapshot,
        granted: &'a Granted,
        document: &'a Document,
        operation: Option<&str>,
        given: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, Failure> {
        let query = match (document.queries.as_slice(), operation) {
            ([one], None) => one,
            (many, Some(name)) => many
                .iter()
                .find(|q| q.name.as_deref() == Some(name))
                .ok_or_else(|| bad("operationName names no query of the document"))?,
            _ => return Err(bad("there are several queries: name one by operationName")),
        };
        let mut variables = HashMap::new();
        for variable in &query.variables {
            let value = match given.get(&variable.name) {
                Some(value) => Some(of_json(value)),
                None => variable.default.clone(),
            };
            match value {
                None | Some(Value::Null) if variable.is_required => {
                    return Err(Failure::bad(
                        "required",
                        format!("the variable {} is missing", shown(&variable.name)),
                    ));
                }
                value => {
                    variables.insert(variable.name.clone(), value.unwrap_or(Value::Null));
                }
            }
        }
        Ok(Self {
            repository,
            snapshot,
            granted,
            document,
            query,
            variables,
            steps: Cell::new(MAX_STEPS),
            resources: Cell::new(MAX_RESOURCES),
            searches: Cell::new(MAX_SEARCHES),
        })
    }

    /// The whole answer. `focus`: the resource that the query is about; none = the base.
    pub fn run(&self, focus: Option<&Doc>) -> Result<Out, Failure> {
        let mut out = Object::default();
        match focus {
            Some(doc) => self.object(
                doc.root(),
                &[&self.query.selections],
                &mut out,
                Place::at(0),
            )?,
            None => {
                for picked in self.pick(&[&self.query.selections], None)? {
                    self.root_field(&picked, &mut out)?;
                }
            }
        }
        Ok(Out::Object(out))
    }

    fn step(&self) -> Result<(), Failure> {
        spend(&self.steps, 1, || {
            format!("the query visits more than {MAX_STEPS} values")
        })
    }

    /// A field of the base: a resource by id, or a search.
    fn root_field(&self, picked: &Picked<'_>, out: &mut Object) -> Result<(), Failure> {
        let field = picked.field;
        if field.name == "__typename" {
            return out.add(field.key(), vec![Out::text("Query")], false, false);
        }
        if self.search_field(picked, None, out, 0)? {
            return Ok(());
        }
        if !self.repository.has_type(&field.name) {
            return Err(bad(format!("the base has no field {}", shown(&field.name))));
        }
        let id = match (self.argument(field, "id")?, self.argument(field, "_id")?) {
            (Some(id), _) | (None, Some(id)) => id,
            _ => return Err(Failure::bad("required", "a resource is named by id")),
        };
        match self.resource(&field.name, &id)? {
            None => out.add(field.key(), vec![Out::Null], false, false),
            Some(doc) => self.complex(doc.root(), picked, out, Place::at(0)),
        }
    }

    fn resource(&self, rtype: &str, id: &str) -> Result<Option<Doc>, Failure> {
        if !is_id(id) {
            return Ok(None);
        }
        let repo = self.repository.config.repo;
        let found = self.snapshot.read(self.granted, repo, rtype, id)?;
        found
            .filter(|r| !is_deleted(r))
            .map(|record| self.doc(&record))
            .transpose()
    }

    fn doc(&self, record: &Record) -> Result<Doc, Failure> {
        spend(&self.resources, 1, || {
            format!("the query reads more than {MAX_RESOURCES} resources")
        })?;
        let body = self
            .repository
            .rendered(record, None, &crate::render::Subset::default())?;
        Doc::parse_json(body, &Limits::default()).map_err(|_| Failure::internal())
    }

    /// Members of an object.
    fn object(
        &self,
        node: Node<'_>,
        lists: &[&[Selection]],
        out: &mut Object,
        place: Place<'_>,
    ) -> Result<(), Failure> {
        if place.depth > MAX_WALK {
            return Err(Failure::too_costly(format!(
                "the query walks more than {MAX_WALK} steps deep"
            )));
        }
        for picked in self.pick(lists, Some(node))? {
            self.field(node, &picked, out, place)?;
        }
        Ok(())
    }

    fn field(
        &self,
        node: Node<'_>,
        picked: &Picked<'_>,
        out: &mut Object,
        place: Place<'_>,
    ) -> Result<(), Failure> {
        self.step()?;
        let field = picked.field;
        let name = field.name.as_str();
        let key = place.key(field);
        let is_single = field.directive("singleton").is_some();
        if name == "__typename" || (name == "resourceType" && node.resource_type().is_some()) {
            let text = node.resource_type().unwrap_or(node.type_name());
            return out.add(&key, vec![Out::text(text)], place.in_list, is_single);
        }
        let known = &node.doc().pack().known;
        if name == "resource" && node.type_id() == known.reference {
            return self.follow(node, picked, out, place);
        }
        if node.resource_type().is_some()
            && self.search_field(picked, Some(node), out, place.depth)?
        {
            return Ok(());
        }
        let (values, is_list) = self.children(node, field)?;
        let mut values = self.filtered(node, field, values)?;
        if field.directive("first").is_some() {
            values.truncate(1);
        }
        let in_list = place.in_list || is_list;
        if values.is_empty() {
            // Absent elements are absent, as everywhere in FHIR.
            return Ok(());
        }
        for (index, value) in values.into_iter().enumerate() {
            let suffix = match field.directive("slice") {
                Some(slice) => format!("{}{}", place.suffix, self.slice(slice, value, index)?),
                None => place.suffix.to_owned(),
            };
            let place = Place {
                in_list,
                suffix: &suffix,
                ..place
            };
            self.step()?;
            let is_primitive = value.doc().pack().is_primitive(value.type_id());
            if is_primitive && !name.starts_with('_') {
                if !field.selections.is_empty() {
                    return Err(bad(format!("{} has no fields of its own", shown(name))));
                }
                if let Some(text) = primitive(value) {
                    out.add(&place.key(field), vec![text], in_list, is_single)?;
                }
            } else {
                self.complex(value, picked, out, place)?;
            }
        }
        Ok(())
    }

    /// An object under its name, or (`@flatten`) its members in the parent.
    fn complex(
        &self,
        node: Node<'_>,
        picked: &Picked<'_>,
        out: &mut Object,
        place: Place<'_>,
    ) -> Result<(), Failure> {
        let field = picked.field;
        if picked.selections.iter().all(|s| s.is_empty()) {
            return Err(bad(format!("say which fields of {}", shown(&field.name))));
        }
        if field.directive("flatten").is_some() {
            return self.object(node, &picked.selections, out, place.deeper());
        }
        let mut inner = Object::default();
        self.object(
            node,
            &picked.selections,
            &mut inner,
            Place::at(place.depth + 1),
        )?;
        out.add(
            &place.key(field),
            vec![Out::Object(inner)],
            place.in_list,
            field.directive("singleton").is_some(),
        )
    }

    /// Child elements of a name, and whether the definitions allow several.
    fn children<'d>(
        &self,
        node: Node<'d>,
        field: &Field,
    ) -> Result<(Vec<Node<'d>>, bool), Failure> {
        let pack = node.doc().pack();
        let name = field.name.strip_prefix('_').unwrap_or(&field.name);
        let element = pack
            .child(node.type_id(), name.as_bytes())
            .and_then(|(elem, _, _)| pack.element(elem));
        if let Some(element) = element {
            let is_list = element.max.is_none_or(|max| max > 1);
            return Ok((node.all(name).collect(), is_list));
        }
        // The base name of a choice stands for whichever type is there.
        let choice = pack.type_of(node.type_id()).and_then(|ty| {
            ty.elements
                .iter()
                .filter_map(|e| pack.element(*e))
                .find(|e| e.choice && e.name.as_ref() == name)
        });
        if choice.is_some() {
            let values = node
                .fields()
                .filter(|n| {
                    pack.element(n.elem())
                        .is_some_and(|e| e.name.as_ref() == name)
                })
                .collect();
            return Ok((values, false));
        }
        Err(bad(format!(
            "{} has no field {}",
            node.resource_type().unwrap_or(node.type_name()),
            shown(&field.name)
        )))
    }

    /// `Reference.resource`.
    fn follow(
        &self,
        node: Node<'_>,
        picked: &Picked<'_>,
        out: &mut Object,
        place: Place<'_>,
    ) -> Result<(), Failure> {
        let field = picked.field;
        let optional = self.argument(field, "optional")?.as_deref() == Some("true");
        let wanted = self.argument(field, "type")?;
        let text = node.str_at("reference").unwrap_or_default();
        let is_wanted = |rtype: &str| wanted.as_deref().is_none_or(|w| w == rtype);
        if let Some(id) = text.strip_prefix('#') {
            let root = node.doc().root();
            let inner = root.all("contained").find(|c| c.str_at("id") == Some(id));
            return match inner {
                Some(c) if is_wanted(c.resource_type().unwrap_or_default()) => {
                    self.complex(c, picked, out, place)
                }
                Some(_) => Ok(()),
                None if optional => Ok(()),
                None => Err(unresolved()),
            };
        }
        match local(self.repository, text) {
            Some((rtype, _)) if !is_wanted(rtype) => Ok(()),
            Some((rtype, id)) => match self.resource(rtype, id)? {
                Some(doc) => self.complex(doc.root(), picked, out, place),
                None if optional => Ok(()),
                None => Err(unresolved()),
            },
            None if optional => Ok(()),
            None => Err(unresolved()),
        }
    }
}

fn unresolved() -> Failure {
    Failure::bad(
        "not-found",
        "a reference leads to nothing here; say resource(optional: true) where that may be",
    )
}

fn spend(left: &Cell<usize>, n: usize, limit: impl Fn() -> String) -> Result<(), Failure> {
    match left.get().checked_sub(n) {
        Some(rest) => {
            left.set(rest);
            Ok(())
        }
        None => Err(Failure::too_costly(limit())),
    }
}

/// A primitive as JSON, numbers as written.
fn primitive(node: Node<'_>) -> Option<Out> {
    if let Some(text) = node.as_str() {
        return Some(Out::text(text));
    }
    node.value_text().map(|text| Out::Raw(text.to_owned()))
}
