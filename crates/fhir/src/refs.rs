//! References: what their text points to, and all of them in a document (R4 references page).

use crate::doc::{Doc, Node};
use crate::pack::{Pack, ParamInfo, TypeId};

/// What a reference points to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `Patient/1`, possibly versioned: a resource of this base.
    Local {
        /// Resource type.
        resource_type: String,
        /// Logical id.
        id: String,
        /// Version, when the reference names one.
        version: Option<String>,
    },
    /// An absolute URL or URN of another base, or a canonical without its version.
    Absolute {
        /// The URL without `|version`.
        url: String,
        /// Version of a canonical.
        version: Option<String>,
    },
    /// `#id`: a contained resource (empty id: the container).
    Contained(String),
    /// Only an identifier is given (logical reference).
    Identifier {
        /// Declared resource type, may be empty.
        resource_type: String,
        /// Identifier.system, may be empty.
        system: String,
        /// Identifier.value.
        value: String,
    },
}

/// A reference found in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Simple FHIRPath of the Reference or canonical element.
    pub path: String,
    /// What it points to. A Reference with text and identifier gives two entries.
    pub target: Target,
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// Resource type and the rest of a URL that ends in `Type/id` or `Type/id/_history/v`: (base, type, id, version).
pub fn split<'t>(
    url: &'t str,
    pack: &Pack,
) -> Option<(&'t str, &'t str, &'t str, Option<&'t str>)> {
    let (head, version) = match url.rsplit_once("/_history/") {
        Some((h, v)) if is_id(v) => (h, Some(v)),
        _ => (url, None),
    };
    let (rest, id) = head.rsplit_once('/')?;
    let (base, ty) = rest.rsplit_once('/').unwrap_or(("", rest));
    (is_id(id) && pack.resource_type(ty).is_some()).then_some((base, ty, id, version))
}

/// Resource type named by a reference's text.
pub(crate) fn type_in_url<'t>(url: &'t str, pack: &Pack) -> Option<&'t str> {
    split(url, pack).map(|(_, ty, _, _)| ty)
}

/// Reads a reference's text. `own_bases` (without trailing slash) make absolute URLs of this server local.
pub fn parse(text: &str, own_bases: &[String], pack: &Pack) -> Target {
    if let Some(id) = text.strip_prefix('#') {
        return Target::Contained(id.to_owned());
    }
    if let Some((base, ty, id, version)) = split(text, pack)
        && (base.is_empty() || own_bases.iter().any(|b| b == base))
    {
        return Target::Local {
            resource_type: ty.to_owned(),
            id: id.to_owned(),
            version: version.map(str::to_owned),
        };
    }
    let (url, version) = match text.split_once('|') {
        Some((u, v)) => (u, Some(v.to_owned())),
        None => (text, None),
    };
    Target::Absolute {
        url: url.to_owned(),
        version,
    }
}

/// Targets of one Reference, canonical or uri element.
pub fn targets(node: Node<'_>, own_bases: &[String], out: &mut Vec<Target>) {
    let pack = node.doc().pack();
    if let Some(text) = node.as_str() {
        out.push(parse(text, own_bases, pack));
        return;
    }
    if let Some(text) = node.str_at("reference") {
        out.push(parse(text, own_bases, pack));
    }
    if let Some(i) = node.get("identifier")
        && let Some(value) = i.str_at("value")
    {
        out.push(Target::Identifier {
            resource_type: node.str_at("type").unwrap_or_default().to_owned(),
            system: i.str_at("system").unwrap_or_default().to_owned(),
            value: value.to_owned(),
        });
    }
}

/// All references (Reference and canonical elements) of a document, contained resources included.
pub fn references(doc: &Doc, own_bases: &[String]) -> Vec<Ref> {
    let known = &doc.pack().known;
    let mut out = Vec::new();
    let mut found = Vec::new();
    for node in doc.nodes() {
        if node.type_id() == known.reference || node.type_id() == known.canonical {
            targets(node, own_bases, &mut found);
            if !found.is_empty() {
                let path = node.path();
                out.extend(found.drain(..).map(|target| Ref {
                    path: path.clone(),
                    target,
                }));
            }
        }
    }
    out
}

/// Targets of a reference parameter on a document: what `_include` follows.
pub fn param_targets(param: &ParamInfo, doc: &Doc, own_bases: &[String]) -> Vec<Target> {
    let mut out = Vec::new();
    if let Some(expr) = &param.expr {
        let env = crate::path::Env::new(doc.root(), 0);
        // An expression that fails on odd data yields what it found until then.
        let _ = expr.for_each(&env, &mut |i| {
            if let Some(n) = i.node() {
                targets(n, own_bases, &mut out);
            }
        });
    }
    out
}

/// The members of a compartment that a document belongs to by its own references (R4 compartments): for `Patient`,
/// the patients it is about, subject first. A Patient document belongs to its own compartment besides.
pub fn compartment(compartment: &str, doc: &Doc, own_bases: &[String]) -> Vec<Target> {
    let pack = doc.pack();
    let mut out: Vec<Target> = Vec::new();
    if doc.resource_type() == compartment
        && let Some(id) = doc.id()
    {
        out.push(Target::Local {
            resource_type: compartment.to_owned(),
            id: id.to_owned(),
            version: None,
        });
    }
    let wanted = pack.type_id(compartment);
    for param in pack.compartment(compartment, doc.resource_type()) {
        let only = only_target(param, wanted, pack);
        for t in param_targets(param, doc, own_bases) {
            let fits = match &t {
                Target::Local { resource_type, .. } => resource_type == compartment,
                Target::Absolute { url, .. } => type_in_url(url, pack) == Some(compartment),
                // A logical reference without a type counts when nothing else could be meant.
                Target::Identifier { resource_type, .. } => {
                    resource_type == compartment || (resource_type.is_empty() && only)
                }
                Target::Contained(_) => false,
            };
            let t = match t {
                Target::Local {
                    resource_type, id, ..
                } => Target::Local {
                    resource_type,
                    id,
                    version: None,
                },
                other => other,
            };
            if fits && !out.contains(&t) {
                out.push(t);
            }
        }
    }
    out
}

fn only_target(param: &ParamInfo, wanted: Option<TypeId>, pack: &Pack) -> bool {
    param.targets.len() == 1
        && wanted.is_some()
        && param.targets.first().and_then(|t| pack.type_id(t)) == wanted
}

/// The patients that a document is about, subject first: its Patient compartment.
pub fn compartment_patients(doc: &Doc, own_bases: &[String]) -> Vec<Target> {
    compartment("Patient", doc, own_bases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use bytes::Bytes;

    fn doc(text: &str) -> Doc {
        Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    fn local(ty: &str, id: &str) -> Target {
        Target::Local {
            resource_type: ty.into(),
            id: id.into(),
            version: None,
        }
    }

    #[test]
    fn texts_and_what_they_point_to() {
        let own = ["https://own/fhir".to_owned()];
        let pack = Pack::r4();
        let url = |u: &str, v: Option<&str>| Target::Absolute {
            url: u.into(),
            version: v.map(str::to_owned),
        };
        for (text, want) in [
            ("Patient/1", local("Patient", "1")),
            ("https://own/fhir/Patient/1", local("Patient", "1")),
            (
                "Patient/1/_history/2",
                Target::Local {
                    resource_type: "Patient".into(),
                    id: "1".into(),
                    version: Some("2".into()),
                },
            ),
            (
                "https://else/fhir/Patient/1",
                url("https://else/fhir/Patient/1", None),
            ),
            ("urn:uuid:1", url("urn:uuid:1", None)),
            (
                "http://x/ValueSet/y|1.0",
                url("http://x/ValueSet/y", Some("1.0")),
            ),
            ("#a", Target::Contained("a".into())),
            ("patient/1", url("patient/1", None)),
            ("Patient/a b", url("Patient/a b", None)),
        ] {
            assert_eq!(parse(text, &own, pack), want, "{text}");
        }
    }

    #[test]
    fn compartment_of_a_patient() {
        let d = doc(
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"performer":[{"reference":"Patient/2"},{"reference":"Practitioner/9"},{"reference":"Patient/1"}],
            "subject":{"type":"Patient","reference":"Patient/1","identifier":{"system":"urn:f","value":"77"}}}"#,
        );
        let ident = Target::Identifier {
            resource_type: "Patient".into(),
            system: "urn:f".into(),
            value: "77".into(),
        };
        assert_eq!(
            compartment_patients(&d, &[]),
            [local("Patient", "1"), ident, local("Patient", "2")]
        );
        let p = doc(
            r#"{"resourceType":"Patient","id":"p","link":[{"other":{"reference":"Patient/q"},"type":"seealso"}]}"#,
        );
        assert_eq!(
            compartment_patients(&p, &[]),
            [local("Patient", "p"), local("Patient", "q")]
        );
        // Consent.patient can only be a patient, so an identifier without a type counts.
        let c = doc(
            r#"{"resourceType":"Consent","status":"active","scope":{"text":"x"},"category":[{"text":"x"}],"patient":{"identifier":{"system":"urn:f","value":"1"}}}"#,
        );
        assert_eq!(compartment_patients(&c, &[]).len(), 1);
    }

    #[test]
    fn all_references_of_a_document() {
        let d = doc(
            r##"{"resourceType":"Observation","meta":{"profile":["http://p|1"]},"status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"},"hasMember":[{"reference":"#c"}],"contained":[{"resourceType":"Observation","id":"c","subject":{"reference":"Patient/2"}}]}"##,
        );
        let found: Vec<String> = references(&d, &[]).into_iter().map(|r| r.path).collect();
        assert_eq!(
            found,
            [
                "Observation.meta.profile[0]",
                "Observation.subject",
                "Observation.hasMember[0]",
                "Observation.contained[0].subject"
            ]
        );
    }
}
