//! References between the entries of a transaction, and conditional ones, made into references to records
//! (R4 http §3.1.0.11.2; spec/fhir-server.md §4, "Reference rewriting").
//!
//! Only the texts that change are replaced; every other byte of a resource stays as it came.

use super::identity::Identities;
use super::{Item, Verb, inner_doc};
use crate::outcome::Failure;
use crate::params;
use crate::plan::Plan;
use crate::render;
use crate::repository::Repository;
use bytes::Bytes;
use fhir::json::value::Value;
use fhir::pack::TypeId;
use fhir::{Doc, Limits, Node, Pack};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use store::IndexKey;

/// Matches of one conditional reference that are looked at.
const MAX_MATCHES: usize = 10;

/// One rewriting of a Bundle.
pub(super) struct Rewriter<'t, 'd> {
    pub repository: &'t Repository,
    pub at: Plan<'t>,
    pub items: &'t [Item<'d>],
    pub identities: &'t Identities,
    /// What conditional references came to: Synthea's repeat a few of them thousands of times.
    resolved: Mutex<HashMap<String, Result<String, Failure>>>,
    /// What entries make, by type.
    made: Mutex<HashMap<String, Arc<Vec<Made>>>>,
    /// `oid` and `uuid` stay: an address here is no value of theirs.
    uri_types: [TypeId; 2],
    xhtml: TypeId,
}

/// A record that an entry makes.
struct Made {
    id: String,
    doc: Doc,
    keys: Vec<IndexKey>,
}

/// Spans and what comes in their place.
type Edits = Vec<(usize, usize, Vec<u8>)>;

impl<'t, 'd> Rewriter<'t, 'd> {
    pub fn new(
        repository: &'t Repository,
        at: Plan<'t>,
        items: &'t [Item<'d>],
        identities: &'t Identities,
    ) -> Self {
        let id = |name: &str| Pack::r4().type_id(name).unwrap_or(TypeId::NONE);
        Self {
            repository,
            at,
            items,
            identities,
            resolved: Mutex::default(),
            made: Mutex::default(),
            uri_types: ["uri", "url"].map(id),
            xhtml: id("xhtml"),
        }
    }

    /// The resource of an entry as it will be stored.
    pub fn rewritten(&self, doc: Doc, item: &Item<'_>) -> Result<Doc, Failure> {
        if doc.resource_type() == "Bundle" {
            // Its references are its own: they lead to its own entries.
            return Ok(doc);
        }
        match self.edits(&doc, item)? {
            Some(edits) if edits.is_empty() => Ok(doc),
            Some(edits) => inner_doc(render::splice(doc.bytes(), edits)),
            None => {
                // Escapes in the middle of an array: written plainly, every text has a place of its own.
                let plain = Value::parse(doc.bytes(), &Limits::default())
                    .map_err(|f| Failure::findings(&f))?;
                let doc = inner_doc(Bytes::from(plain.to_vec()))?;
                match self.edits(&doc, item)? {
                    Some(edits) => inner_doc(render::splice(doc.bytes(), edits)),
                    None => Err(Failure::bad(
                        "value",
                        "a reference to another entry is written with escapes; write it plainly",
                    )),
                }
            }
        }
    }

    /// What is to be replaced; `None` when a text that is to be replaced has no place of its own.
    fn edits(&self, doc: &Doc, item: &Item<'_>) -> Result<Option<Edits>, Failure> {
        let reference_type = Pack::r4().known.reference;
        let mut edits = Edits::new();
        for node in doc.nodes() {
            let ty = node.type_id();
            let (at, new) = if ty == reference_type {
                let Some(at) = node.get("reference") else {
                    continue;
                };
                let Some(text) = at.as_str() else { continue };
                match self.reference(text, item, node)? {
                    Some(new) => (at, new),
                    None => continue,
                }
            } else if self.identities.has_no_urls() {
                continue;
            } else if self.uri_types.contains(&ty) {
                match node.as_str().and_then(|t| self.identities.of_url(t)) {
                    Some(new) => (node, new.to_owned()),
                    None => continue,
                }
            } else if ty == self.xhtml {
                let Some(text) = node.as_str() else { continue };
                match links(text, |url| self.link(url)) {
                    Some(new) => (node, new),
                    None => continue,
                }
            } else {
                continue;
            };
            let Some(span) = at.literal_span() else {
                return Ok(None);
            };
            let quoted = serde_json::Value::from(new).to_string();
            let inner = quoted
                .strip_prefix('"')
                .and_then(|q| q.strip_suffix('"'))
                .unwrap_or_default();
            edits.push((span.start, span.end, inner.as_bytes().to_vec()));
        }
        Ok(Some(edits))
    }

    /// The new text of a Reference; `None` = as it is.
    fn reference(
        &self,
        text: &str,
        item: &Item<'_>,
        node: Node<'_>,
    ) -> Result<Option<String>, Failure> {
        let (plain, fragment) = match text.split_once('#') {
            Some(("", _)) => return Ok(None),
            Some((plain, fragment)) => (plain, Some(fragment)),
            None => (text, None),
        };
        let target = if let Some(target) = self.identities.target(plain, item.full_url.as_deref()) {
            target.to_owned()
        } else if let Some((rtype, criteria)) = self.conditional(plain) {
            self.resolve(rtype, criteria)
                .map_err(|f| f.on(node.path()))?
        } else if plain.starts_with("urn:uuid:") {
            return Err(
                Failure::bad("not-found", "the reference leads to no entry of the Bundle")
                    .on(node.path()),
            );
        } else {
            return Ok(None);
        };
        let new = match fragment {
            Some(fragment) => format!("{target}#{fragment}"),
            None => target,
        };
        Ok((new != text).then_some(new))
    }

    /// A link of a narrative that is an entry's fullUrl.
    fn link(&self, url: &str) -> Option<String> {
        let (plain, fragment) = match url.split_once('#') {
            Some((plain, fragment)) => (plain, Some(fragment)),
            None => (url, None),
        };
        let target = self.identities.of_url(plain)?;
        Some(match fragment {
            Some(fragment) => format!("{target}#{fragment}"),
            None => target.to_owned(),
        })
    }

    /// Type and criteria of a conditional reference (`Patient?identifier=…`), of this server.
    fn conditional<'u>(&self, text: &'u str) -> Option<(&'u str, &'u str)> {
        let bases = &self.repository.config.bases;
        let local = bases
            .iter()
            .find_map(|base| text.strip_prefix(base.as_str())?.strip_prefix('/'))
            .unwrap_or(text);
        local
            .split_once('?')
            .filter(|(rtype, _)| self.repository.has_type(rtype))
    }

    /// A conditional reference: exactly one match in the store or among what this transaction makes.
    fn resolve(&self, rtype: &str, criteria: &str) -> Result<String, Failure> {
        let key = format!("{rtype}?{criteria}");
        let known = |of: &Self| {
            let resolved = of.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.get(&key).cloned()
        };
        if let Some(known) = known(self) {
            return known;
        }
        let found = self.search(rtype, criteria);
        self.resolved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, found.clone());
        found
    }

    fn search(&self, rtype: &str, criteria: &str) -> Result<String, Failure> {
        let parameters = params::decode(criteria.as_bytes());
        let (records, conds) = self.repository.matching_up_to(
            self.at.snapshot,
            self.at.granted,
            rtype,
            &parameters,
            MAX_MATCHES,
        )?;
        let mut targets: BTreeSet<String> = records
            .iter()
            .map(|r| format!("{rtype}/{}", r.head.id))
            .filter(|target| !self.identities.changed.contains(target))
            .collect();
        let options = &self.repository.options;
        for made in self.made_of(rtype).iter() {
            if conds
                .iter()
                .all(|c| c.holds_for(&made.id, &made.keys, &made.doc, options))
            {
                targets.insert(format!("{rtype}/{}", made.id));
            }
        }
        let create = format!("{rtype}?{}", params::encode(&params::criteria(criteria)));
        if targets.is_empty()
            && let Some(id) = self
                .identities
                .creates
                .get(&create)
                .and_then(|entry| self.identities.ids.get(entry))
        {
            targets.insert(format!("{rtype}/{id}"));
        }
        match (targets.pop_first(), targets.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Err(Failure::bad(
                "not-found",
                "a conditional reference matches nothing",
            )),
            _ => Err(Failure::bad(
                "multiple-matches",
                "a conditional reference matches more than one resource",
            )),
        }
    }

    /// What the transaction makes of a type, read once. An entry that cannot be read is told of by its own plan.
    fn made_of(&self, rtype: &str) -> Arc<Vec<Made>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(rtype) {
            return known.clone();
        }
        let all = self.items.iter().filter(|item| item.rtype() == rtype);
        let new = Arc::new(
            all.filter_map(|item| self.made_by(item))
                .collect::<Vec<_>>(),
        );
        made.insert(rtype.to_owned(), new.clone());
        new
    }

    fn made_by(&self, item: &Item<'_>) -> Option<Made> {
        let makes = matches!(item.verb, Some(Verb::Post | Verb::Put))
            && !self.identities.repeats.contains_key(&item.index);
        let resource = item.resource.filter(|_| makes)?;
        let id = self.identities.ids.get(&item.index)?.clone();
        let doc = inner_doc(resource.raw_json()).ok()?;
        let keys = crate::write::keys_for(&doc, &self.repository.options).ok()?;
        Some(Made { id, doc, keys })
    }
}

/// A narrative with the targets of `href` and `src` replaced where `new` says so; `None` when it says so nowhere.
fn links(text: &str, new: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let (mut done, mut from) = (0, 0);
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('=')) {
        let sign = from + found;
        from = sign + 1;
        let name = text.get(..sign).unwrap_or_default().trim_end();
        if !name.ends_with("href") && !name.ends_with("src") {
            continue;
        }
        let Some((start, end)) = quoted(text, from) else {
            continue;
        };
        from = end;
        let url = text.get(start..end).unwrap_or_default();
        let plain: Cow<'_, str> = if url.contains("&amp;") {
            Cow::Owned(url.replace("&amp;", "&"))
        } else {
            Cow::Borrowed(url)
        };
        if let Some(target) = new(&plain) {
            out.push_str(text.get(done..start).unwrap_or_default());
            out.push_str(&target.replace('&', "&amp;"));
            done = end;
        }
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Some(out)
}

/// Span of the value in quotes that begins at a place, white space aside.
fn quoted(text: &str, from: usize) -> Option<(usize, usize)> {
    let value = text.get(from..)?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = value.strip_prefix(quote)?;
    let start = text.len() - inner.len();
    Some((start, start + inner.find(quote)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_of_a_narrative() {
        let new = |url: &str| (url == "urn:uuid:1" || url == "u?a&b").then(|| "Basic/9".to_owned());
        for (text, expected) in [
            (
                "<div><a href=\"urn:uuid:1\">urn:uuid:1</a></div>",
                Some("<div><a href=\"Basic/9\">urn:uuid:1</a></div>"),
            ),
            (
                "<img alt='x' src = 'urn:uuid:1'/><a href=\"urn:uuid:2\"/>",
                Some("<img alt='x' src = 'Basic/9'/><a href=\"urn:uuid:2\"/>"),
            ),
            ("<a href=\"u?a&amp;b\"/>", Some("<a href=\"Basic/9\"/>")),
            ("href src urn:uuid:1", None),
            ("<a href=urn:uuid:1>", None),
            ("<a href=\"urn:uuid:1", None),
        ] {
            assert_eq!(links(text, new).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn links_never_panic(text in "(href|src|=|\"|'|æ| |x){0,20}") {
            let _ = links(&text, |_| Some("y".to_owned()));
        }
    }
}
