//! Lists and connections: fields that are searches.

use super::select::Picked;
use super::{DEFAULT_COUNT, MAX_SEARCHES, Place, Runner, bad, shown, spend};
use crate::operations::graphql::out::{Object, Out};
use crate::operations::graphql::parse::Field;
use crate::outcome::Failure;
use crate::params::{MAX_COUNT, RawCondition, SortKey};
use crate::planner::{Compiler, Evaluator, check_sort};
use fhir::{Node, Pack};
use std::collections::BTreeMap;
use store::{Record, Rid};

impl Runner<'_> {
    /// `[Type]List` and `[Type]Connection`; false when the field is neither. `around`: the resource that the matches must
    /// refer to by `_reference`.
    pub(super) fn search_field(
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
            let place = Place {
                in_list: true,
                suffix: &suffix,
                depth: depth + 1,
            };
            self.complex(doc.root(), picked, out, place)?;
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

    pub(super) fn edge(
        &self,
        picked: &Picked<'_>,
        record: &Record,
        depth: usize,
    ) -> Result<Object, Failure> {
        let mut out = Object::default();
        for inner in self.pick(&picked.selections, None)? {
            let key = inner.field.key();
            match inner.field.name.as_str() {
                "mode" => out.add(key, vec![Out::text("match")], false, false)?,
                "score" => out.add(key, vec![Out::Null], false, false)?,
                "resource" => {
                    let doc = self.doc(record)?;
                    self.complex(doc.root(), &inner, &mut out, Place::at(depth + 1))?;
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
