//! Carrying a query out on documents: fields by the definitions, references followed, searches run, all on one budget.

use super::out::{Object, Out};
use super::parse::{Directive, Document, Field, Query, Selection, Value};
use crate::operations::local;
use crate::outcome::Failure;
use crate::params::{MAX_COUNT, RawCondition, SortKey};
use crate::planner::{Compiler, Evaluator, check_sort};
use crate::read::{is_deleted, is_id};
use crate::repository::Repository;
use fhir::path::{Expr, Item};
use fhir::{Doc, Limits, Node, Pack};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use store::{Granted, Record, Rid, Snapshot};

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

/// Fields of one name in the answer, their selections joined.
struct Picked<'q> {
    field: &'q Field,
    selections: Vec<&'q [Selection]>,
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
                false,
                "",
                0,
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

    /// Selections that apply to a type, fragments opened, fields of one name joined.
    fn pick<'q>(
        &'q self,
        lists: &[&'q [Selection]],
        node: Option<Node<'_>>,
    ) -> Result<Vec<Picked<'q>>, Failure> {
        let mut out: Vec<Picked<'q>> = Vec::new();
        for list in lists {
            self.pick_into(list, node, &mut out, 0)?;
        }
        Ok(out)
    }

    fn pick_into<'q>(
        &'q self,
        list: &'q [Selection],
        node: Option<Node<'_>>,
        out: &mut Vec<Picked<'q>>,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth > MAX_WALK {
            return Err(bad(
                "fragments are nested too deeply, or contain themselves",
            ));
        }
        for selection in list {
            self.step()?;
            let (directives, on, inner) = match selection {
                Selection::Field(field) => {
                    if !self.is_included(&field.directives)? {
                        continue;
                    }
                    let same = out.iter_mut().find(|p| p.field.key() == field.key());
                    match same {
                        Some(picked) => {
                            if picked.field.name != field.name
                                || picked.field.arguments != field.arguments
                                || picked.field.directives != field.directives
                            {
                                return Err(bad(format!(
                                    "two different fields are called {}",
                                    shown(field.key())
                                )));
                            }
                            picked.selections.push(&field.selections);
                        }
                        None => out.push(Picked {
                            field,
                            selections: vec![&field.selections],
                        }),
                    }
                    continue;
                }
                Selection::Spread { name, directives } => {
                    let fragment = self
                        .document
                        .fragments
                        .iter()
                        .find(|f| f.name == *name)
                        .ok_or_else(|| bad(format!("there is no fragment {}", shown(name))))?;
                    (directives, Some(fragment.on.as_str()), &fragment.selections)
                }
                Selection::Inline {
                    on,
                    directives,
                    selections,
                } => (directives, on.as_deref(), selections),
            };
            if self.is_included(directives)? && applies(on, node) {
                self.pick_into(inner, node, out, depth + 1)?;
            }
        }
        Ok(())
    }

    /// `@skip` and `@include`.
    fn is_included(&self, directives: &[Directive]) -> Result<bool, Failure> {
        for directive in directives {
            let wish = match directive.name.as_str() {
                "skip" => false,
                "include" => true,
                "flatten" | "first" | "singleton" | "slice" => continue,
                other => return Err(bad(format!("there is no directive @{}", shown(other)))),
            };
            let given = directive.arguments.iter().find(|(name, _)| name == "if");
            match given.map(|(_, value)| self.value(value)).transpose()? {
                Some(Value::Bool(b)) if b != wish => return Ok(false),
                Some(Value::Bool(_)) => {}
                _ => return Err(bad("@skip and @include take if: true or false")),
            }
        }
        Ok(true)
    }

    /// A value with its variables filled in.
    fn value(&self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::Variable(name) => self
                .variables
                .get(name)
                .cloned()
                .ok_or_else(|| bad(format!("the variable {} is not declared", shown(name))))?,
            Value::List(list) => Value::List(
                list.iter()
                    .map(|v| self.value(v))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        })
    }

    /// An argument as text; lists joined by commas (OR). `None`: not given, or null.
    fn argument(&self, field: &Field, name: &str) -> Result<Option<String>, Failure> {
        match field.arguments.iter().find(|(n, _)| n == name) {
            None => Ok(None),
            Some((_, value)) => text_of(&self.value(value)?),
        }
    }

    fn number(&self, field: &Field, name: &str) -> Result<Option<usize>, Failure> {
        self.argument(field, name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| Failure::bad("value", format!("{name} must be a number")))
            })
            .transpose()
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
            Some(doc) => self.complex(doc.root(), picked, out, false, "", 0),
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
        in_list: bool,
        suffix: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth > MAX_WALK {
            return Err(Failure::too_costly(format!(
                "the query walks more than {MAX_WALK} steps deep"
            )));
        }
        for picked in self.pick(lists, Some(node))? {
            self.field(node, &picked, out, in_list, suffix, depth)?;
        }
        Ok(())
    }

    fn field(
        &self,
        node: Node<'_>,
        picked: &Picked<'_>,
        out: &mut Object,
        in_list: bool,
        suffix: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        self.step()?;
        let field = picked.field;
        let name = field.name.as_str();
        let key = format!("{}{suffix}", field.key());
        let is_single = field.directive("singleton").is_some();
        if name == "__typename" || (name == "resourceType" && node.resource_type().is_some()) {
            let text = node.resource_type().unwrap_or(node.type_name());
            return out.add(&key, vec![Out::text(text)], in_list, is_single);
        }
        let known = &node.doc().pack().known;
        if name == "resource" && node.type_id() == known.reference {
            return self.follow(node, picked, out, in_list, suffix, depth);
        }
        if node.resource_type().is_some() && self.search_field(picked, Some(node), out, depth)? {
            return Ok(());
        }
        let (values, is_list) = self.children(node, field)?;
        let mut values = self.filtered(node, field, values)?;
        if field.directive("first").is_some() {
            values.truncate(1);
        }
        let is_list = in_list || is_list;
        if values.is_empty() {
            // Absent elements are absent, as everywhere in FHIR.
            return Ok(());
        }
        for (index, value) in values.into_iter().enumerate() {
            let suffix = match field.directive("slice") {
                Some(slice) => format!("{suffix}{}", self.slice(slice, value, index)?),
                None => suffix.to_owned(),
            };
            self.step()?;
            let is_primitive = value.doc().pack().is_primitive(value.type_id());
            if is_primitive && !name.starts_with('_') {
                if !field.selections.is_empty() {
                    return Err(bad(format!("{} has no fields of its own", shown(name))));
                }
                let key = format!("{}{suffix}", field.key());
                if let Some(text) = primitive(value) {
                    out.add(&key, vec![text], is_list, is_single)?;
                }
            } else {
                self.complex(value, picked, out, is_list, &suffix, depth)?;
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
        is_list: bool,
        suffix: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        let field = picked.field;
        if picked.selections.iter().all(|s| s.is_empty()) {
            return Err(bad(format!("say which fields of {}", shown(&field.name))));
        }
        if field.directive("flatten").is_some() {
            return self.object(node, &picked.selections, out, is_list, suffix, depth + 1);
        }
        let mut inner = Object::default();
        self.object(node, &picked.selections, &mut inner, false, "", depth + 1)?;
        out.add(
            &format!("{}{suffix}", field.key()),
            vec![Out::Object(inner)],
            is_list,
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

    /// Elements that the arguments let through: `fhirpath`, `_offset`, `_count`, and values of their own elements.
    fn filtered<'d>(
        &self,
        node: Node<'d>,
        field: &Field,
        mut values: Vec<Node<'d>>,
    ) -> Result<Vec<Node<'d>>, Failure> {
        for (name, _) in &field.arguments {
            let Some(wanted) = self.argument(field, name)? else {
                continue;
            };
            match name.as_str() {
                "_offset" | "_count" => {}
                "fhirpath" => values = by_path(&wanted, values)?,
                _ => {
                    if values.iter().any(|v| !is_element(*v, name)) {
                        return Err(bad(format!(
                            "{}.{} has no element {}",
                            node.resource_type().unwrap_or(node.type_name()),
                            shown(&field.name),
                            shown(name)
                        )));
                    }
                    values.retain(|v| v.all(name).any(|n| n.value_text() == Some(&wanted)));
                }
            }
        }
        if let Some(offset) = self.number(field, "_offset")? {
            values.drain(..offset.min(values.len()));
        }
        if let Some(count) = self.number(field, "_count")? {
            values.truncate(count);
        }
        Ok(values)
    }

    /// What `@slice(path:)` puts behind the names.
    fn slice(&self, slice: &Directive, value: Node<'_>, index: usize) -> Result<String, Failure> {
        let path = slice.arguments.iter().find(|(name, _)| name == "path");
        let path = match path.map(|(_, v)| self.value(v)).transpose()? {
            Some(Value::Text(path)) => path,
            _ => return Err(bad("@slice takes path, a string")),
        };
        if path == "$index" {
            return Ok(format!(".{index}"));
        }
        let expr = compiled(&path)?;
        let items = evaluated(&expr, value)?;
        match items.as_slice() {
            [] => Ok(String::new()),
            [one] => Ok(one
                .as_text()
                .map_or_else(String::new, |text| format!(".{text}"))),
            _ => Err(bad(
                "@slice: the path yields several values for one element",
            )),
        }
    }

    /// `Reference.resource`.
    fn follow(
        &self,
        node: Node<'_>,
        picked: &Picked<'_>,
        out: &mut Object,
        in_list: bool,
        suffix: &str,
        depth: usize,
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
                    self.complex(c, picked, out, in_list, suffix, depth)
                }
                Some(_) => Ok(()),
                None if optional => Ok(()),
                None => Err(unresolved()),
            };
        }
        match local(self.repository, text) {
            Some((rtype, _)) if !is_wanted(rtype) => Ok(()),
            Some((rtype, id)) => match self.resource(rtype, id)? {
                Some(doc) => self.complex(doc.root(), picked, out, in_list, suffix, depth),
                None if optional => Ok(()),
                None => Err(unresolved()),
            },
            None if optional => Ok(()),
            None => Err(unresolved()),
        }
    }

    /// `[Type]List` and `[Type]Connection`; false when the field is neither. `around`: the resource that the matches must
    /// refer to by `_reference`.
    fn search_field(
        &self,
        picked: &Picked<'_>,
        around: Option<Node<'_>>,
        out: &mut Object,
        depth: usize,
    ) -> Result<bool, Failure> {
        let field = picked.field;
        let (rtype, is_connection) = match (
            field.name.strip_suffix("List"),
            field.name.strip_suffix("Connection"),
        ) {
            (Some(rtype), _) if self.repository.has_type(rtype) => (rtype, false),
            (_, Some(rtype)) if self.repository.has_type(rtype) => (rtype, true),
            _ => return Ok(false),
        };
        spend(&self.searches, 1, || {
            format!("the query makes more than {MAX_SEARCHES} searches")
        })?;
        if picked.selections.iter().all(|s| s.is_empty()) {
            return Err(bad(format!("say which fields of {}", shown(&field.name))));
        }
        let search = self.search(rtype, field, around)?;
        let is_single = field.directive("singleton").is_some();
        if is_connection {
            let connection = self.connection(picked, &search, depth)?;
            out.add(field.key(), vec![Out::Object(connection)], false, is_single)?;
            return Ok(true);
        }
        let mut records = self.page(&search)?;
        if field.directive("first").is_some() {
            records.truncate(1);
        }
        let is_flat = field.directive("flatten").is_some();
        if !is_flat {
            out.add(field.key(), Vec::new(), true, is_single)?;
        }
        for (index, record) in records.iter().enumerate() {
            let doc = self.doc(record)?;
            let suffix = match field.directive("slice") {
                Some(slice) => self.slice(slice, doc.root(), index)?,
                None => String::new(),
            };
            self.complex(doc.root(), picked, out, true, &suffix, depth + 1)?;
        }
        Ok(true)
    }

    fn search(
        &self,
        rtype: &str,
        field: &Field,
        around: Option<Node<'_>>,
    ) -> Result<Search, Failure> {
        let mut conditions = Vec::new();
        let mut sort = Vec::new();
        for (name, _) in &field.arguments {
            let Some(value) = self.argument(field, name)? else {
                continue;
            };
            match name.as_str() {
                "_count" | "_offset" | "_cursor" | "_reference" => {}
                "_sort" => {
                    for key in value.split(',') {
                        sort.push(SortKey {
                            code: key.trim_start_matches('-').to_owned(),
                            descending: key.starts_with('-'),
                        });
                    }
                }
                _ => conditions.push(RawCondition::new(parameter(rtype, name), value)),
            }
        }
        if let Some(node) = around {
            let code = self.argument(field, "_reference")?.ok_or_else(|| {
                Failure::bad("required", "inside a resource a search takes _reference")
            })?;
            let id = node.str_at("id").unwrap_or_default();
            let kind = node.resource_type().unwrap_or_default();
            conditions.push(RawCondition::new(
                parameter(rtype, &code),
                format!("{kind}/{id}"),
            ));
        }
        check_sort(rtype, &sort)?;
        let has_type = |t: &str| self.repository.has_type(t);
        let compiler = Compiler {
            options: &self.repository.options,
            has_type: &has_type,
            patient: None,
        };
        let conds = conditions
            .iter()
            .map(|raw| compiler.compile(rtype, raw))
            .collect::<Result<Vec<_>, _>>()?;
        let evaluator = Evaluator::new(
            self.snapshot,
            self.granted,
            self.repository.config.repo,
            &self.repository.options,
        );
        let rids = evaluator.matching(rtype, &conds)?;
        let rids = evaluator.sorted(&BTreeMap::from([(rtype.to_owned(), rids)]), &sort)?;
        let offset = match self.argument(field, "_cursor")? {
            Some(cursor) => cursor
                .parse()
                .map_err(|_| Failure::bad("value", "_cursor is none of this list"))?,
            None => self.number(field, "_offset")?.unwrap_or(0),
        };
        Ok(Search {
            offset: offset.min(rids.len()),
            count: self
                .number(field, "_count")?
                .unwrap_or(DEFAULT_COUNT)
                .clamp(1, MAX_COUNT),
            rids,
        })
    }

    fn page(&self, search: &Search) -> Result<Vec<Record>, Failure> {
        let end = search.rids.len().min(search.offset + search.count);
        let rids = search.rids.get(search.offset..end).unwrap_or_default();
        Ok(self.snapshot.fetch(self.granted, rids)?)
    }

    /// A page with its place and its neighbours.
    fn connection(
        &self,
        picked: &Picked<'_>,
        search: &Search,
        depth: usize,
    ) -> Result<Object, Failure> {
        let total = search.rids.len();
        let mut out = Object::default();
        for inner in self.pick(&picked.selections, None)? {
            let key = inner.field.key();
            let number = |n: usize| vec![Out::Raw(n.to_string())];
            let cursor = |n: Option<usize>| match n {
                Some(n) => vec![Out::text(&n.to_string())],
                None => vec![Out::Null],
            };
            let last = (total.max(1) - 1) / search.count * search.count;
            let values = match inner.field.name.as_str() {
                "count" => number(total),
                "offset" => number(search.offset),
                "pagesize" => number(search.count),
                "first" => cursor((total > 0).then_some(0)),
                "previous" => {
                    cursor((search.offset > 0).then(|| search.offset.saturating_sub(search.count)))
                }
                "next" => cursor(Some(search.offset + search.count).filter(|next| *next < total)),
                "last" => cursor((total > 0).then_some(last)),
                "__typename" => vec![Out::text(&picked.field.name)],
                "edges" => {
                    let mut edges = Vec::new();
                    for record in self.page(search)? {
                        edges.push(Out::Object(self.edge(&inner, &record, depth)?));
                    }
                    out.add(key, edges, true, false)?;
                    continue;
                }
                other => {
                    return Err(bad(format!("a connection has no field {}", shown(other))));
                }
            };
            out.add(key, values, false, false)?;
        }
        Ok(out)
    }

    fn edge(&self, picked: &Picked<'_>, record: &Record, depth: usize) -> Result<Object, Failure> {
        let mut out = Object::default();
        for inner in self.pick(&picked.selections, None)? {
            let key = inner.field.key();
            match inner.field.name.as_str() {
                "mode" => out.add(key, vec![Out::text("match")], false, false)?,
                "score" => out.add(key, vec![Out::Null], false, false)?,
                "resource" => {
                    let doc = self.doc(record)?;
                    self.complex(doc.root(), &inner, &mut out, false, "", depth + 1)?;
                }
                other => return Err(bad(format!("an edge has no field {}", shown(other)))),
            }
        }
        Ok(out)
    }
}

/// Matches of a search and the page wanted.
struct Search {
    rids: Vec<Rid>,
    offset: usize,
    count: usize,
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

/// GraphQL names have no dash: `value_quantity` means `value-quantity` where that is the parameter.
fn parameter(rtype: &str, name: &str) -> String {
    let dashed = match name.strip_prefix('_') {
        Some(rest) => format!("_{}", rest.replace('_', "-")),
        None => name.replace('_', "-"),
    };
    if Pack::r4().param(rtype, name).is_none() && Pack::r4().param(rtype, &dashed).is_some() {
        dashed
    } else {
        name.to_owned()
    }
}

fn applies(on: Option<&str>, node: Option<Node<'_>>) -> bool {
    let (Some(on), Some(node)) = (on, node) else {
        return true;
    };
    let pack = node.doc().pack();
    node.resource_type() == Some(on)
        || node.type_name() == on
        || pack
            .type_id(on)
            .is_some_and(|base| pack.is_a(node.type_id(), base))
}

fn is_element(node: Node<'_>, name: &str) -> bool {
    node.doc()
        .pack()
        .child(node.type_id(), name.as_bytes())
        .is_some()
}

fn compiled(path: &str) -> Result<Expr, Failure> {
    Expr::compile(path).map_err(|_| bad("the FHIRPath expression cannot be read"))
}

fn evaluated<'d>(expr: &'d Expr, node: Node<'d>) -> Result<Vec<Item<'d>>, Failure> {
    expr.eval(node, edge::clock::real_now_us())
        .map_err(|_| bad("the FHIRPath expression cannot be evaluated here"))
}

/// Elements for which the expression holds.
fn by_path<'d>(path: &str, values: Vec<Node<'d>>) -> Result<Vec<Node<'d>>, Failure> {
    let expr = compiled(path)?;
    let mut kept = Vec::with_capacity(values.len());
    for value in values {
        let env = fhir::path::Env::new(value, edge::clock::real_now_us());
        let holds = expr
            .test(&env)
            .map_err(|_| bad("the FHIRPath expression cannot be evaluated here"))?;
        if holds == Some(true) {
            kept.push(value);
        }
    }
    Ok(kept)
}

/// A primitive as JSON, numbers as written.
fn primitive(node: Node<'_>) -> Option<Out> {
    if let Some(text) = node.as_str() {
        return Some(Out::text(text));
    }
    node.value_text().map(|text| Out::Raw(text.to_owned()))
}

/// A variable's value.
fn of_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as J;
    match value {
        J::Null => Value::Null,
        J::Bool(b) => Value::Bool(*b),
        J::Number(n) => Value::Number(n.to_string()),
        J::String(s) => Value::Text(s.clone()),
        J::Array(list) => Value::List(list.iter().map(of_json).collect()),
        J::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), of_json(value)))
                .collect(),
        ),
    }
}

fn text_of(value: &Value) -> Result<Option<String>, Failure> {
    Ok(match value {
        Value::Null => None,
        Value::Number(text) | Value::Text(text) | Value::Enum(text) => Some(text.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::List(list) => {
            let mut parts = Vec::with_capacity(list.len());
            for item in list {
                parts.extend(text_of(item)?);
            }
            Some(parts.join(","))
        }
        Value::Object(_) | Value::Variable(_) => {
            return Err(bad("an argument takes a value or a list of values"));
        }
    })
}
