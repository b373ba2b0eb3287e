//! Values inside attributes: HL7 v3 fragments as text, patient ids in CX form.

use std::borrow::Cow;

use super::XSI;
use crate::xml::{Document, Limits, NodeId};

const HL7: &str = "urn:hl7-org:v3";

/// A coded value (`CE`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coded {
    /// Code.
    pub code: String,
    /// Code system as written, with or without `urn:oid:`.
    pub system: String,
    /// Name of the code system.
    pub system_name: Option<String>,
    /// Text of the code.
    pub display: Option<String>,
    /// Who assigns the codes.
    pub assigner: Option<String>,
}

impl Coded {
    /// The same code of the same system, whatever the texts say.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.code == other.code && bare_oid(&self.system) == bare_oid(&other.system)
    }
}

/// An identifier (`II`). `Debug` shows its system only, since it may be a national id.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Instance {
    /// The number.
    pub extension: String,
    /// OID of its system, without `urn:oid:`.
    pub root: String,
    /// Who assigns the numbers.
    pub assigner: Option<String>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instance({})", self.root)
    }
}

/// A patient's id with its system (`CX`). Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientId {
    /// The number.
    pub id: String,
    /// OID of its system, without `urn:oid:`.
    pub system: String,
}

impl std::fmt::Debug for PatientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PatientId({})", self.system)
    }
}

/// An OID without `urn:oid:`.
pub(super) fn bare_oid(system: &str) -> &str {
    system.strip_prefix("urn:oid:").unwrap_or(system)
}

pub(super) fn escape(text: &str) -> Cow<'_, str> {
    quick_xml::escape::escape(text)
}

pub(super) fn write_coded(element: &str, coded: &Coded) -> String {
    let mut out = format!(
        "<{element} xmlns=\"{HL7}\" xsi:type=\"CE\" code=\"{}\" codeSystem=\"{}\"",
        escape(&coded.code),
        escape(&coded.system)
    );
    for (name, value) in [
        ("codeSystemName", &coded.system_name),
        ("displayName", &coded.display),
        ("assigningAuthorityName", &coded.assigner),
    ] {
        if let Some(value) = value {
            out.push_str(&format!(" {name}=\"{}\"", escape(value)));
        }
    }
    out + "/>"
}

/// The citizens' issuer writes `type` without prefix.
pub(super) fn write_citizen_purpose(purpose: &Coded) -> String {
    write_coded("PurposeOfUse", purpose).replacen(" xsi:type=", " type=", 1)
}

pub(super) fn write_instance(instance: &Instance) -> String {
    let assigner = instance.assigner.as_ref().map_or(String::new(), |name| {
        format!(" assigningAuthorityName=\"{}\"", escape(name))
    });
    format!(
        "<id xmlns=\"{HL7}\" xsi:type=\"II\" extension=\"{}\" root=\"urn:oid:{}\"{assigner} displayable=\"true\"/>",
        escape(&instance.extension),
        escape(&instance.root)
    )
}

/// The form of provider-identifier: no prefix on `type`, no `urn:oid:`, not displayable.
pub(super) fn write_provider(instance: &Instance) -> String {
    format!(
        "<id xmlns=\"{HL7}\" type=\"II\" extension=\"{}\" root=\"{}\" displayable=\"false\"/>",
        escape(&instance.extension),
        escape(&instance.root)
    )
}

pub(super) fn write_decision(id: &str, user_selected: bool) -> String {
    let selected = if user_selected { "True" } else { "False" };
    format!(
        "<decision-ref><id value=\"{}\" /><user-selected value=\"{selected}\" /></decision-ref>",
        escape(id)
    )
}

pub(super) fn write_patient(patient: &PatientId) -> String {
    format!("{}^^^&{}&ISO", patient.id, patient.system)
}

/// The fragment in a text: undeclared `xsi` is declared around it, and one escape too many is taken off.
fn parse(text: &str) -> Option<Document> {
    let text = text.trim_ascii();
    let text = if text.starts_with("&lt;") {
        quick_xml::escape::unescape(text).ok()?
    } else {
        Cow::Borrowed(text)
    };
    if !text.starts_with('<') {
        return None;
    }
    let limits = Limits {
        max_bytes: 16 << 10,
        max_depth: 6,
        max_nodes: 64,
        max_attributes: 24,
        max_namespaces: 24,
    };
    let wrapped = format!("<fragment xmlns:xsi=\"{XSI}\">{text}</fragment>");
    Document::parse_within(&wrapped, &limits).ok()
}

fn only_element(document: &Document) -> Option<NodeId> {
    let mut elements = document.elements(document.root());
    let first = elements.next()?;
    elements.next().is_none().then_some(first)
}

fn own(document: &Document, node: NodeId, name: &str) -> Option<String> {
    document
        .attribute(node, "", name)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

pub(super) fn read_coded(text: &str) -> Option<Coded> {
    let document = parse(text)?;
    let node = only_element(&document)?;
    Some(Coded {
        code: own(&document, node, "code")?,
        system: own(&document, node, "codeSystem").unwrap_or_default(),
        system_name: own(&document, node, "codeSystemName"),
        display: own(&document, node, "displayName"),
        assigner: own(&document, node, "assigningAuthorityName"),
    })
}

pub(super) fn read_instance(text: &str) -> Option<Instance> {
    let document = parse(text)?;
    let node = only_element(&document)?;
    let root = own(&document, node, "root").unwrap_or_default();
    Some(Instance {
        extension: own(&document, node, "extension")?,
        root: bare_oid(&root).to_owned(),
        assigner: own(&document, node, "assigningAuthorityName"),
    })
}

/// Id and whether the user chose; the boolean in any case.
pub(super) fn read_decision(text: &str) -> Option<(String, bool)> {
    let document = parse(text)?;
    let node = only_element(&document)?;
    let value = |local: &str| {
        let mut found = document.elements(node).filter(|child| {
            document
                .element(*child)
                .is_some_and(|e| *e.name.local == *local)
        });
        let first = found.next()?;
        found
            .next()
            .is_none()
            .then(|| own(&document, first, "value"))?
    };
    let selected = value("user-selected")?;
    let selected = if selected.eq_ignore_ascii_case("true") {
        true
    } else if selected.eq_ignore_ascii_case("false") {
        false
    } else {
        return None;
    };
    Some((value("id")?, selected))
}

/// `<id>^^^&<oid>&ISO`, escaped up to twice too often.
pub(super) fn read_patient(text: &str) -> Option<PatientId> {
    let mut text = Cow::Borrowed(text.trim_ascii());
    for _ in 0..2 {
        if text.contains("&amp;") {
            text = Cow::Owned(text.replace("&amp;", "&"));
        }
    }
    let mut components = text.split('^');
    let id = components.next().filter(|id| !id.is_empty())?;
    let authority = components.nth(2)?;
    if components.next().is_some() {
        return None;
    }
    let mut parts = authority.split('&');
    let (namespace, oid, kind) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || kind != "ISO" || !namespace.is_empty() {
        return None;
    }
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let oid = bare_oid(oid);
    (is_plain(id) && is_plain(oid) && !oid.is_empty()).then(|| PatientId {
        id: id.to_owned(),
        system: oid.to_owned(),
    })
}
