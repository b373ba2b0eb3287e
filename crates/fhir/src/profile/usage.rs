//! What R4 says of its types in words rather than in constraints, and what a sender wants to hear before others do: forms
//! of references, addresses of code systems, codes that their system does not have, entries that are not what their
//! `fullUrl` names. For `$validate`; a write is not refused for any of it.

use std::collections::HashMap;

use super::validator::Run;
use crate::doc::Node;
use crate::finding::{IssueCode, Severity};
use crate::keys::encode::UCUM;
use crate::pack::Pack;
use crate::refs;
use crate::ucum::Unit;

/// Different codes of one document that are looked up.
const MAX_LOOKED_UP: usize = 200;
/// Code systems of the definitions themselves: what they lack does not exist. Those of terminology.hl7.org have grown since.
const OWN_SYSTEMS: &str = "http://hl7.org/fhir/";
const LATER_SYSTEMS: &str = "http://terminology.hl7.org/";

/// System and code to whether the system has the code.
type LookedUp<'d> = HashMap<(&'d str, &'d str), Option<bool>>;

/// The scheme of an absolute URI stands before its first colon.
fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// Whether a `urn:uuid:` holds one, in lower case.
fn is_sound_urn(uri: &str) -> bool {
    uri.strip_prefix("urn:uuid:")
        .is_none_or(|id| is_uuid(id.split('#').next().unwrap_or_default()))
}

/// Whether a reference's text has one of the forms of R4, and the type that it names.
fn form<'t>(text: &'t str, pack: &Pack) -> Result<Option<&'t str>, ()> {
    if text.starts_with('#') {
        return Ok(None);
    }
    if is_absolute(text) {
        let named = refs::split(text, pack).map(|(_, rtype, ..)| rtype);
        return if is_sound_urn(text) {
            Ok(named)
        } else {
            Err(())
        };
    }
    if let Some((rtype, criteria)) = text.split_once('?') {
        let is_search = pack.resource_type(rtype).is_some() && !criteria.is_empty();
        return if is_search { Ok(Some(rtype)) } else { Err(()) };
    }
    match refs::split(text, pack) {
        Some(("", rtype, ..)) => Ok(Some(rtype)),
        _ => Err(()),
    }
}

/// Bytes that base64 text stands for.
fn decoded_length(base64: &str) -> usize {
    let digits = base64
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
        .count();
    digits * 3 / 4
}

/// Tokens of SampledData.data: decimals, `E`, `L`, `U`.
fn is_sampled(data: &str) -> bool {
    data.split_ascii_whitespace()
        .all(|t| matches!(t, "E" | "L" | "U") || crate::decimal::Num::parse(t).is_some())
}

impl<'a> Run<'a, '_> {
    /// Checks every element of the document by its type.
    pub(super) fn usage(&mut self) {
        let known = &self.pack().known;
        let attachment = self.pack().type_id("Attachment");
        let mut looked_up = LookedUp::new();
        for node in self.doc().nodes() {
            if !self.spend() {
                return;
            }
            let ty = node.type_id();
            if ty == known.reference {
                self.form_of_reference(node);
            } else if ty == known.coding {
                self.coding(node, &mut looked_up);
            } else if ty == known.identifier {
                self.system(node, "Identifier.system");
            } else if self.pack().is_a(ty, known.quantity) {
                self.unit(node);
            } else if ty == known.sampled_data {
                self.sampled(node);
            } else if Some(ty) == attachment {
                self.attachment(node);
            } else if ty == known.xhtml {
                self.narrative(node);
            } else if ty == known.string {
                self.blanks(node);
            } else if node.resource_type() == Some("Bundle") {
                self.entries(node);
            }
        }
    }

    fn form_of_reference(&mut self, node: Node<'a>) {
        let Some(text) = node.get("reference").and_then(|r| Some((r, r.as_str()?))) else {
            return;
        };
        let (at, text) = text;
        let Ok(named) = form(text, self.pack()) else {
            return self.error(
                at,
                IssueCode::Value,
                "reference-form",
                "a reference is Type/id, Type?criteria, #id, or an absolute address",
            );
        };
        let declared = node.str_at("type").filter(|t| !t.contains(':'));
        if let (Some(named), Some(declared)) = (named, declared)
            && named != declared
        {
            self.error(
                node,
                IssueCode::Structure,
                "reference-type",
                "the reference leads to another type than its element type says",
            );
        }
    }

    fn system(&mut self, node: Node<'a>, name: &str) -> bool {
        let Some((at, system)) = node.get("system").and_then(|s| Some((s, s.as_str()?))) else {
            return false;
        };
        if !is_absolute(system) {
            self.error(
                at,
                IssueCode::Value,
                "system-absolute",
                format!("{name} must be an absolute URI"),
            );
            return false;
        }
        true
    }

    fn coding(&mut self, node: Node<'a>, looked_up: &mut LookedUp<'a>) {
        if !self.system(node, "Coding.system") {
            return;
        }
        let system = node.str_at("system").unwrap_or_default();
        if system.starts_with("http://hl7.org/fhir/ValueSet/") {
            // Published national questionnaires do it, so it is no error.
            return self.add(
                node,
                Severity::Warning,
                IssueCode::Value,
                "system-value-set",
                "Coding.system is the address of a value set, not of a code system".to_owned(),
            );
        }
        let (Some(code), Some(terminology)) = (node.str_at("code"), self.terminology()) else {
            return;
        };
        if system == UCUM {
            return;
        }
        if looked_up.len() >= MAX_LOOKED_UP && !looked_up.contains_key(&(system, code)) {
            return;
        }
        let has = *looked_up.entry((system, code)).or_insert_with(|| {
            let version = node.str_at("version").map(|v| format!("|{v}"));
            if version.is_some() {
                return None;
            }
            let all = format!("{system}?fhir_vs");
            terminology
                .contains(&all, Some(system), code)
                .unwrap_or(None)
        });
        if has != Some(false) {
            return;
        }
        let severity = if system.starts_with(LATER_SYSTEMS) && !system.starts_with(OWN_SYSTEMS) {
            Severity::Warning
        } else {
            Severity::Error
        };
        self.add(
            node,
            severity,
            IssueCode::CodeInvalid,
            "unknown-code",
            "the code system has no such code".to_owned(),
        );
    }

    fn unit(&mut self, node: Node<'a>) {
        let is_unknown = node.str_at("system") == Some(UCUM)
            && node
                .str_at("code")
                .is_some_and(|c| Unit::parse(c).is_none());
        if is_unknown {
            self.add(
                node,
                Severity::Warning,
                IssueCode::CodeInvalid,
                "ucum",
                "the unit is not one of UCUM that is known here".to_owned(),
            );
        }
    }

    fn sampled(&mut self, node: Node<'a>) {
        if node.str_at("data").is_some_and(|d| !is_sampled(d)) {
            self.error(
                node,
                IssueCode::Value,
                "sampled-data",
                "data are decimals, E, L and U, with blanks between",
            );
        }
    }

    fn attachment(&mut self, node: Node<'a>) {
        let size = node.get("size").and_then(|s| s.as_i64());
        let Some((size, data)) = size.zip(node.str_at("data")) else {
            return;
        };
        if usize::try_from(size).ok() != Some(decoded_length(data)) {
            self.error(
                node,
                IssueCode::Value,
                "attachment-size",
                "size is not the number of bytes in data",
            );
        }
    }

    fn narrative(&mut self, node: Node<'a>) {
        if node
            .as_str()
            .is_some_and(|t| t.starts_with("<div") && !crate::xml::names_namespace(t))
        {
            self.error(
                node,
                IssueCode::Invalid,
                "narrative-namespace",
                "the div of a narrative must name the namespace http://www.w3.org/1999/xhtml",
            );
        }
    }

    fn blanks(&mut self, node: Node<'a>) {
        if node.as_str().is_some_and(|t| t.trim() != t) {
            self.add(
                node,
                Severity::Warning,
                IssueCode::Value,
                "string-blanks",
                "the text begins or ends with white space".to_owned(),
            );
        }
    }

    /// The resource of an entry is what its `fullUrl` names; in a batch or transaction it need not be yet.
    fn entries(&mut self, bundle: Node<'a>) {
        let is_request = matches!(bundle.str_at("type"), Some("batch" | "transaction"));
        for entry in bundle.all("entry") {
            let Some(url) = entry.str_at("fullUrl") else {
                continue;
            };
            if !is_sound_urn(url) {
                self.error(
                    entry,
                    IssueCode::Value,
                    "full-url",
                    "urn:uuid: is followed by a UUID in lower case",
                );
            }
            let Some(resource) = entry.get("resource").filter(|_| !is_request) else {
                continue;
            };
            if let Some((base, rtype, id, _)) = refs::split(url, self.pack())
                && !base.is_empty()
                && (resource.resource_type() != Some(rtype)
                    || resource.str_at("id").is_some_and(|own| own != id))
            {
                self.error(
                    entry,
                    IssueCode::Value,
                    "full-url",
                    "fullUrl names another resource than the entry holds",
                );
            }
        }
    }
}
