//! Stored bytes as answers: server `meta`, references to the Patient view, subsets, bundles.
//!
//! Bodies are never parsed and printed again: decimals, order and unknown extensions stay as they came.

use crate::outcome::Failure;
use crate::params::Summary;
use crate::planner::PatientScope;
use bytes::Bytes;
use fhir::{Doc, Limits, Node, Pack};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use store::{Granted, MicrosUtc, Record, RepoId, Snapshot};

/// An instant as FHIR writes it, with the store's whole precision.
pub fn instant(at: MicrosUtc) -> String {
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or_default();
    format!("{at:.6}")
}

/// An HTTP date (RFC 9110 §5.6.7).
pub fn http_date(at: MicrosUtc) -> String {
    jiff::Timestamp::from_microsecond(at)
        .unwrap_or_default()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Reads an HTTP date; microseconds.
pub fn parse_http_date(text: &str) -> Option<MicrosUtc> {
    let text = text.trim().strip_suffix(" GMT")?;
    let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", text).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

/// The stored resource with the server's `id` and `meta`.
pub fn resource(record: &Record) -> Result<Bytes, Failure> {
    let head = &record.head;
    fhir::build::splice_meta(
        &record.body,
        &head.id,
        &head.vno.0.to_string(),
        &instant(head.at),
    )
    .map_err(|error| {
        tracing::error!(rid = head.rid.0, %error, "stored body is not readable");
        Failure::internal()
    })
}

/// What references of a clinical record are rendered with.
pub struct Sight<'a> {
    /// State that is read.
    pub snapshot: &'a Snapshot,
    /// What the reader may see.
    pub granted: &'a Granted,
    /// The repository.
    pub repo: RepoId,
    /// The patient of the request.
    pub scope: &'a PatientScope,
    /// The reader's organisation: her own records keep their references as they were written.
    pub organisation: Option<&'a str>,
    /// Types that the repository holds.
    pub has_type: &'a dyn Fn(&str) -> bool,
}

/// References as the reader may see them (spec/privacy.md §4.2): logical references to the patient get her id here;
/// references to records that are hidden, or not there, lose `reference` and `display`.
pub fn references(body: Bytes, record: &Record, sight: &Sight<'_>) -> Result<Bytes, Failure> {
    let Ok(doc) = Doc::parse_json(body.clone(), &Limits::default()) else {
        return Ok(body);
    };
    let reference_type = Pack::r4().known.reference;
    let is_own = record.head.privacy.author_org.is_some()
        && record.head.privacy.author_org.as_deref() == sight.organisation;
    let mut edits: Vec<(usize, usize, Vec<u8>)> = Vec::new();
    for node in doc.nodes().filter(|n| n.type_id() == reference_type) {
        let raw = node.raw_json();
        let Some(at) = (raw.as_ptr() as usize).checked_sub(doc.bytes().as_ptr() as usize) else {
            continue;
        };
        match node.str_at("reference") {
            None if sight.names_patient(node) => {
                if let Some(id) = &sight.scope.id {
                    let text = format!("\"reference\":\"Patient/{id}\",");
                    edits.push((at + 1, at + 1, text.into_bytes()));
                }
            }
            Some(text) if !is_own && !sight.shows(text)? => {
                edits.push((at, at + raw.len(), without_target(&raw)?));
            }
            _ => {}
        }
    }
    Ok(splice(&body, edits))
}

impl Sight<'_> {
    fn names_patient(&self, node: Node<'_>) -> bool {
        let value = node.str_at("identifier.value");
        let system = node.str_at("identifier.system");
        self.scope
            .identifiers
            .iter()
            .any(|(s, v)| Some(v.as_str()) == value && Some(s.as_str()) == system)
    }

    /// Whether the reader may see what a reference's text points to. What is not a record of this repository is not hidden.
    fn shows(&self, text: &str) -> Result<bool, Failure> {
        let target = match fhir::refs::split(text, Pack::r4()) {
            Some(("", rtype, id, _)) if (self.has_type)(rtype) => (rtype, id),
            _ => return Ok(true),
        };
        if target.0 == "Patient" {
            return Ok(self.scope.id.as_deref() == Some(target.1));
        }
        let found = self
            .snapshot
            .read(self.granted, self.repo, target.0, target.1)?;
        Ok(found.is_some_and(|r| !crate::read::is_deleted(&r)))
    }
}

/// A Reference without what leads to its target.
fn without_target(raw: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut value: serde_json::Map<String, Value> =
        serde_json::from_slice(raw).map_err(|_| Failure::internal())?;
    for name in ["reference", "_reference", "display", "_display"] {
        value.shift_remove(name);
    }
    if value.is_empty() {
        value.insert(
            "extension".to_owned(),
            serde_json::json!([{ "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked" }]),
        );
    }
    Ok(Value::Object(value).to_string().into_bytes())
}

/// Bytes with some spans replaced; spans inside a replaced one are passed over.
pub fn splice(body: &Bytes, mut edits: Vec<(usize, usize, Vec<u8>)>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(from, _, _)| *from);
    let grown: usize = edits.iter().map(|(_, _, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    let mut done = 0;
    for (from, to, text) in edits {
        if from < done {
            continue;
        }
        out.extend_from_slice(body.get(done..from).unwrap_or_default());
        out.extend_from_slice(&text);
        done = to;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    Bytes::from(out)
}

/// Top-level members of an object, values as written.
pub(crate) struct Members(pub Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut out = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    out.push(entry);
                }
                Ok(Members(out))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Which elements an answer carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// `_summary`.
    pub summary: Summary,
    /// `_elements`.
    pub elements: Vec<String>,
}

impl Subset {
    /// Everything.
    pub fn is_whole(&self) -> bool {
        matches!(self.summary, Summary::Full | Summary::Count) && self.elements.is_empty()
    }

    /// Whether the named elements exist on a type.
    pub fn check(&self, rtype: &str) -> Result<(), Failure> {
        if self.elements.is_empty() {
            return Ok(());
        }
        let pack = Pack::r4();
        let Some(ty) = pack.type_id(rtype) else {
            return Ok(());
        };
        let names: BTreeSet<&str> = pack
            .type_of(ty)
            .into_iter()
            .flat_map(|t| &t.elements)
            .filter_map(|e| pack.element(*e))
            .map(|e| e.name.as_ref())
            .collect();
        for element in &self.elements {
            let name = element
                .strip_prefix(rtype)
                .map_or(element.as_str(), |rest| {
                    rest.strip_prefix('.').unwrap_or(element)
                });
            let is_known = names.contains(name)
                || pack.child(ty, name.as_bytes()).is_some()
                || matches!(name, "id" | "meta" | "resourceType");
            if !is_known {
                return Err(Failure::bad(
                    "value",
                    format!("_elements names an element that {rtype} does not have at its top"),
                )
                .on("_elements"));
            }
        }
        Ok(())
    }

    /// The resource with these elements only, tagged SUBSETTED.
    pub fn apply(&self, body: Bytes) -> Result<Bytes, Failure> {
        if self.is_whole() {
            return Ok(body);
        }
        let Members(members) = serde_json::from_slice(&body).map_err(|_| Failure::internal())?;
        let pack = Pack::r4();
        let rtype: String = members
            .iter()
            .find(|(name, _)| name == "resourceType")
            .and_then(|(_, v)| serde_json::from_str(v.get()).ok())
            .unwrap_or_default();
        let ty = pack.type_id(&rtype);
        let mut kept: Vec<(String, Box<RawValue>)> = Vec::new();
        for (name, value) in members {
            let plain = name.strip_prefix('_').unwrap_or(&name);
            let element = ty
                .and_then(|ty| pack.child(ty, plain.as_bytes()))
                .and_then(|(elem, _, _)| pack.element(elem));
            let is_mandatory = element.is_some_and(|e| e.min > 0);
            let is_asked = match self.summary {
                Summary::True => element.is_some_and(|e| e.summary),
                Summary::Text => plain == "text",
                Summary::Data => plain != "text",
                Summary::Full | Summary::Count => self.elements.iter().any(|e| {
                    let e = e
                        .strip_prefix(rtype.as_str())
                        .and_then(|r| r.strip_prefix('.'))
                        .unwrap_or(e);
                    e == plain || element.is_some_and(|x| x.name.as_ref() == e)
                }),
            };
            if matches!(plain, "resourceType" | "id" | "meta") || is_mandatory || is_asked {
                kept.push((name, value));
            }
        }
        tag_subsetted(&mut kept)?;
        let mut out = Vec::with_capacity(body.len());
        out.push(b'{');
        for (index, (name, value)) in kept.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Ok(Bytes::from(out))
    }
}

/// System of the tag that marks subsets.
pub const SUBSETTED_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

fn tag_subsetted(members: &mut Vec<(String, Box<RawValue>)>) -> Result<(), Failure> {
    let tag = serde_json::json!({ "system": SUBSETTED_SYSTEM, "code": "SUBSETTED" });
    let place = members.iter().position(|(name, _)| name == "meta");
    let mut meta: Value = match place.and_then(|p| members.get(p)) {
        Some((_, raw)) => serde_json::from_str(raw.get()).map_err(|_| Failure::internal())?,
        None => serde_json::json!({}),
    };
    if let Some(object) = meta.as_object_mut() {
        match object.get_mut("tag").and_then(Value::as_array_mut) {
            Some(tags) => tags.push(tag),
            None => {
                object.insert("tag".to_owned(), Value::Array(vec![tag]));
            }
        }
    }
    let raw = RawValue::from_string(meta.to_string()).map_err(|_| Failure::internal())?;
    match place.and_then(|p| members.get_mut(p)) {
        Some(member) => member.1 = raw,
        None => members.push(("meta".to_owned(), raw)),
    }
    Ok(())
}

/// One entry of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Absolute URL without version.
    pub full_url: Option<String>,
    /// The resource as JSON.
    pub resource: Option<Bytes>,
    /// `match`, `include`, `outcome`.
    pub search_mode: Option<&'static str>,
    /// `request` of a history.
    pub request: Option<Value>,
    /// `response` of a history, batch or transaction.
    pub response: Option<Value>,
}

/// A bundle as JSON.
pub fn bundle(
    kind: &str,
    total: Option<u64>,
    links: &[(&str, String)],
    entries: &[Entry],
) -> Bytes {
    let size: usize = entries
        .iter()
        .map(|e| e.resource.as_ref().map_or(0, Bytes::len) + 256)
        .sum();
    let mut out = Vec::with_capacity(size + 512);
    out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":");
    push_string(&mut out, kind);
    if let Some(total) = total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    if !links.is_empty() {
        out.extend_from_slice(b",\"link\":[");
        for (index, (relation, url)) in links.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"relation\":");
            push_string(&mut out, relation);
            out.extend_from_slice(b",\"url\":");
            push_string(&mut out, url);
            out.push(b'}');
        }
        out.push(b']');
    }
    if !entries.is_empty() {
        out.extend_from_slice(b",\"entry\":[");
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_entry(&mut out, entry);
        }
        out.push(b']');
    }
    out.push(b'}');
    Bytes::from(out)
}

fn push_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(b'{');
    let mut is_first = true;
    // The names are ours: nothing in them is to be escaped.
    let mut name = |out: &mut Vec<u8>, name: &str| {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    };
    if let Some(url) = &entry.full_url {
        name(out, "fullUrl");
        push_string(out, url);
    }
    if let Some(resource) = &entry.resource {
        name(out, "resource");
        out.extend_from_slice(resource);
    }
    if let Some(mode) = entry.search_mode {
        name(out, "search");
        out.extend_from_slice(b"{\"mode\":\"");
        out.extend_from_slice(mode.as_bytes());
        out.extend_from_slice(b"\"}");
    }
    for (key, value) in [("request", &entry.request), ("response", &entry.response)] {
        if let Some(value) = value {
            name(out, key);
            out.extend_from_slice(value.to_string().as_bytes());
        }
    }
    out.push(b'}');
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// JSON laid out for people; values stay as written.
pub fn pretty(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for b in json.iter().copied() {
        if in_string {
            out.push(b);
            (in_string, escaped) = match b {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            continue;
        }
        match b {
            b'"' => {
                in_string = true;
                out.push(b);
            }
            b'{' | b'[' => {
                out.push(b);
                depth += 1;
                line(&mut out, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(b);
            }
            b',' => {
                out.push(b);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            other => out.push(other),
        }
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        assert_eq!(instant(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(instant(1_500_001), "1970-01-01T00:00:01.500001Z");
        let date = http_date(784_111_777_000_000);
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_http_date(&date), Some(784_111_777_000_000));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn subsets_keep_values_as_written() {
        let body = Bytes::from_static(
            br#"{"resourceType":"Observation","id":"a","text":{"status":"empty"},"status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00},"note":[{"text":"n"}]}"#,
        );
        let elements = Subset {
            elements: vec!["value".to_owned()],
            ..Subset::default()
        };
        let out = String::from_utf8(elements.apply(body.clone()).unwrap().to_vec()).unwrap();
        assert!(out.contains(r#""valueQuantity":{"value":1.00}"#), "{out}");
        assert!(
            out.contains("SUBSETTED") && out.contains(r#""status":"final""#),
            "{out}"
        );
        assert!(
            !out.contains("note") && !out.contains("\"text\":{\"status\""),
            "{out}"
        );
        let text = Subset {
            summary: Summary::Text,
            ..Subset::default()
        };
        let out = String::from_utf8(text.apply(body).unwrap().to_vec()).unwrap();
        assert!(
            out.contains("\"text\":{\"status\"") && !out.contains("valueQuantity"),
            "{out}"
        );
    }

    #[test]
    fn a_bundle_is_json() {
        let entries = [Entry {
            full_url: Some("http://x/A/1".to_owned()),
            resource: Some(Bytes::from_static(b"{\"resourceType\":\"Basic\"}")),
            search_mode: Some("match"),
            ..Entry::default()
        }];
        let json = bundle(
            "searchset",
            Some(1),
            &[("self", "http://x/\"".to_owned())],
            &entries,
        );
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["entry"][0]["search"]["mode"], "match");
        let laid_out: Value = serde_json::from_slice(&pretty(&json)).unwrap();
        assert_eq!(value, laid_out);
        let none: Value = serde_json::from_slice(&bundle("searchset", None, &[], &[])).unwrap();
        assert!(none.get("entry").is_none());
    }
}
