//! `ds:Signature` as a value: strict about its structure, before any cryptography.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DsigError, Hash, NAMESPACE, SignatureMethod};
use crate::c14n::{self, Method, Selection};
use crate::xml::{Document, Kind, NodeId, XML_NAMESPACE};

/// Most references of one signature: a message with its attachments.
const MAX_REFERENCES: usize = 64;
/// Most of them into the document itself, since each canonicalises it anew.
const MAX_OWN_REFERENCES: usize = 8;
const MAX_CERTIFICATES: usize = 8;

const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const WSU: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const ACTORS: [&str; 2] = [
    "urn:oasis:names:tc:ebxml-msg:actor:nextMSH",
    "http://schemas.xmlsoap.org/soap/actor/next",
];

/// The expression of the ebXML message filter (spec messaging §5.2), for the prefix `SOAP-ENV`.
pub const EBXML_ACTOR_FILTER: &str = "not(ancestor-or-self::node()[@SOAP-ENV:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"] | ancestor-or-self::node()[@SOAP-ENV:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"])";

/// What is done to the signed nodes before they are digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transform {
    /// The signature itself is left out.
    Enveloped,
    /// Parts for the next SOAP node are left out ([`EBXML_ACTOR_FILTER`]).
    EbXmlActors,
    /// How the rest becomes octets. The last one; Canonical XML 1.0 when there is none.
    Canonicalize(Method),
}

impl Transform {
    pub(super) fn write(&self) -> String {
        match self {
            Self::Enveloped => format!("<Transform Algorithm=\"{ENVELOPED}\"></Transform>"),
            Self::EbXmlActors => format!(
                "<Transform Algorithm=\"{XPATH}\"><XPath xmlns:SOAP-ENV=\"{SOAP}\">{EBXML_ACTOR_FILTER}</XPath></Transform>"
            ),
            Self::Canonicalize(method) => format!(
                "<Transform Algorithm=\"{}\">{}</Transform>",
                method.uri(),
                prefix_list(method)
            ),
        }
    }
}

/// The `InclusiveNamespaces` element of an exclusive method with prefixes, else nothing.
pub(super) fn prefix_list(method: &Method) -> String {
    match &method.scope {
        c14n::Scope::Exclusive(prefixes) if !prefixes.is_empty() => {
            let listed: Vec<&str> = prefixes
                .iter()
                .map(|prefix| {
                    if prefix.is_empty() {
                        "#default"
                    } else {
                        prefix
                    }
                })
                .collect();
            format!(
                "<InclusiveNamespaces xmlns=\"{}\" PrefixList=\"{}\"></InclusiveNamespaces>",
                c14n::EXCLUSIVE,
                listed.join(" ")
            )
        }
        _ => String::new(),
    }
}

/// A signature as read.
pub(super) struct Parsed {
    pub signed_info: NodeId,
    pub canonicalization: Method,
    pub method: SignatureMethod,
    pub value: Vec<u8>,
    pub references: Vec<Reference>,
    /// DER, as they stand in `KeyInfo`.
    pub certificates: Vec<Vec<u8>>,
}

pub(super) struct Reference {
    pub uri: String,
    pub transforms: Vec<Transform>,
    pub hash: Hash,
    pub digest: Vec<u8>,
}

pub(super) fn parse(document: &Document, signature: NodeId) -> Result<Parsed, DsigError> {
    if !document.is(signature, NAMESPACE, "Signature") {
        return Err(DsigError::Missing);
    }
    let mut parts = Children::of(document, signature)?;
    let signed_info = parts.need("SignedInfo")?;
    let value = base64_text(document, parts.need("SignatureValue")?)?;
    let key_info = parts.optional("KeyInfo");
    while parts.optional("Object").is_some() {}
    parts.end()?;

    let mut parts = Children::of(document, signed_info)?;
    let canonicalization = method_of(
        document,
        parts.need("CanonicalizationMethod")?,
        "canonicalisation",
    )?;
    let method = parts.need("SignatureMethod")?;
    if document.elements(method).next().is_some() {
        return Err(DsigError::Malformed(
            "parameters in SignatureMethod are not read here",
        ));
    }
    let uri = algorithm(document, method)?;
    let method = SignatureMethod::from_uri(uri)
        .ok_or_else(|| DsigError::refused("signature method", uri))?;
    let mut references = Vec::new();
    while let Some(reference) = parts.optional("Reference") {
        if references.len() == MAX_REFERENCES {
            return Err(DsigError::Malformed("more references than are read here"));
        }
        references.push(read_reference(document, reference, references.len() + 1)?);
    }
    parts.end()?;
    if references.is_empty() {
        return Err(DsigError::Malformed("SignedInfo without Reference"));
    }
    let is_own =
        |reference: &&Reference| reference.uri.is_empty() || reference.uri.starts_with('#');
    if references.iter().filter(is_own).count() > MAX_OWN_REFERENCES {
        return Err(DsigError::Malformed("more references than are read here"));
    }
    Ok(Parsed {
        signed_info,
        canonicalization,
        method,
        value,
        references,
        certificates: key_info.map_or(Ok(Vec::new()), |node| certificates(document, node))?,
    })
}

fn read_reference(
    document: &Document,
    node: NodeId,
    number: usize,
) -> Result<Reference, DsigError> {
    let uri = document
        .attribute(node, "", "URI")
        .ok_or(DsigError::Reference {
            number,
            what: "it has no URI",
        })?;
    let mut parts = Children::of(document, node)?;
    let transforms = parts
        .optional("Transforms")
        .map_or(Ok(Vec::new()), |node| read_transforms(document, node))?;
    let method = parts.need("DigestMethod")?;
    if document.elements(method).next().is_some() {
        return Err(DsigError::Malformed("parameters in DigestMethod"));
    }
    let algorithm = algorithm(document, method)?;
    let hash = Hash::from_uri(algorithm).ok_or_else(|| DsigError::refused("digest", algorithm))?;
    let digest = base64_text(document, parts.need("DigestValue")?)?;
    parts.end()?;
    Ok(Reference {
        uri: uri.to_owned(),
        transforms,
        hash,
        digest,
    })
}

fn read_transforms(document: &Document, node: NodeId) -> Result<Vec<Transform>, DsigError> {
    let mut parts = Children::of(document, node)?;
    let mut transforms: Vec<Transform> = Vec::new();
    while let Some(node) = parts.optional("Transform") {
        let transform = read_transform(document, node)?;
        let is_after_octets = matches!(transforms.last(), Some(Transform::Canonicalize(_)));
        if is_after_octets || transforms.contains(&transform) {
            return Err(DsigError::Malformed(
                "a transform after canonicalisation, or the same one twice",
            ));
        }
        transforms.push(transform);
    }
    parts.end()?;
    Ok(transforms)
}

fn read_transform(document: &Document, node: NodeId) -> Result<Transform, DsigError> {
    match algorithm(document, node)? {
        ENVELOPED => {
            Children::of(document, node)?.end()?;
            Ok(Transform::Enveloped)
        }
        XPATH => {
            let mut parts = Children::of(document, node)?;
            let expression = parts.need("XPath")?;
            parts.end()?;
            if is_actor_filter(document, expression)? {
                Ok(Transform::EbXmlActors)
            } else {
                Err(DsigError::refused(
                    "transform",
                    "XPath, other than the actor filter of ebXML,",
                ))
            }
        }
        _ => method_of(document, node, "transform").map(Transform::Canonicalize),
    }
}

/// Whether an `XPath` element holds [`EBXML_ACTOR_FILTER`], in any prefix for SOAP, quotes and spacing.
fn is_actor_filter(document: &Document, node: NodeId) -> Result<bool, DsigError> {
    let text = only_text(document, node)?;
    let compact: String = text
        .split_ascii_whitespace()
        .collect::<String>()
        .replace('\'', "\"");
    let Some(prefix) = compact
        .split_once("[@")
        .and_then(|(_, after)| after.split_once(":actor="))
        .map(|(prefix, _)| prefix)
    else {
        return Ok(false);
    };
    let [first, second] =
        ACTORS.map(|actor| format!("ancestor-or-self::node()[@{prefix}:actor=\"{actor}\"]"));
    let wanted = format!("not({first}|{second})");
    Ok(compact == wanted && document.namespace_of(node, prefix) == Some(SOAP))
}

fn method_of(document: &Document, node: NodeId, kind: &'static str) -> Result<Method, DsigError> {
    let uri = algorithm(document, node)?;
    let mut elements = document.elements(node);
    let list = elements.next();
    if elements.next().is_some()
        || list.is_some_and(|list| !document.is(list, c14n::EXCLUSIVE, "InclusiveNamespaces"))
    {
        return Err(DsigError::Malformed("unknown parameters of an algorithm"));
    }
    let prefixes = list.and_then(|list| document.attribute(list, "", "PrefixList"));
    Method::from_uri(uri, prefixes).ok_or_else(|| DsigError::refused(kind, uri))
}

fn algorithm(document: &Document, node: NodeId) -> Result<&str, DsigError> {
    document
        .attribute(node, "", "Algorithm")
        .ok_or(DsigError::Malformed("an algorithm without identifier"))
}

fn certificates(document: &Document, key_info: NodeId) -> Result<Vec<Vec<u8>>, DsigError> {
    let mut found = Vec::new();
    for data in document.named(key_info, NAMESPACE, "X509Data") {
        for node in document.named(data, NAMESPACE, "X509Certificate") {
            if found.len() == MAX_CERTIFICATES {
                return Err(DsigError::Malformed("more certificates than are read here"));
            }
            found.push(base64_text(document, node)?);
        }
    }
    Ok(found)
}

fn base64_text(document: &Document, node: NodeId) -> Result<Vec<u8>, DsigError> {
    let compact: String = only_text(document, node)?
        .split_ascii_whitespace()
        .collect();
    STANDARD
        .decode(compact)
        .map_err(|_| DsigError::Malformed("a value that is not base64"))
}

/// The text of a leaf. Comments and instructions are refused: readers have disagreed about values cut in two by them.
fn only_text(document: &Document, node: NodeId) -> Result<&str, DsigError> {
    let mut children = document.children(node);
    let text = match children.next().map(|child| document.kind(child)) {
        None => "",
        Some(Kind::Text(text)) => text,
        Some(_) => return Err(DsigError::Malformed("markup inside a value")),
    };
    if children.next().is_some() {
        return Err(DsigError::Malformed("markup inside a value"));
    }
    Ok(text)
}

/// The child elements of an element of the signature, taken one by one in the order of the schema.
struct Children<'a> {
    document: &'a Document,
    rest: std::collections::VecDeque<NodeId>,
}

impl<'a> Children<'a> {
    fn of(document: &'a Document, node: NodeId) -> Result<Self, DsigError> {
        let has_text = document.children(node).any(|child| {
            matches!(document.kind(child), Kind::Text(text) if !text.trim_ascii().is_empty())
        });
        if has_text {
            return Err(DsigError::Malformed("text between its elements"));
        }
        Ok(Self {
            document,
            rest: document.elements(node).collect(),
        })
    }

    fn optional(&mut self, local: &str) -> Option<NodeId> {
        let next = *self.rest.front()?;
        if !self.document.is(next, NAMESPACE, local) {
            return None;
        }
        self.rest.pop_front()
    }

    fn need(&mut self, local: &'static str) -> Result<NodeId, DsigError> {
        self.optional(local).ok_or(DsigError::Malformed(
            "an element is missing or in the wrong place",
        ))
    }

    fn end(&self) -> Result<(), DsigError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DsigError::Malformed(
                "an element that does not belong there",
            ))
        }
    }
}

/// The selection a same-document reference means, before transforms; comments never belong to it.
pub(super) fn resolve(document: &Document, uri: &str, number: usize) -> Result<NodeId, DsigError> {
    let wrong = |what| DsigError::Reference { number, what };
    if uri.is_empty() {
        return Ok(NodeId::DOCUMENT);
    }
    let Some(id) = uri.strip_prefix('#') else {
        return Err(wrong(
            "it leaves the document, and no such attachment came along",
        ));
    };
    if id.is_empty() || id.contains('(') {
        return Err(wrong("it is an XPointer, which is not read here"));
    }
    let mut found = document
        .subtree(NodeId::DOCUMENT)
        .filter(|node| has_id(document, *node, id));
    let first = found.next().ok_or(wrong("no element has its id"))?;
    if found.next().is_some() {
        return Err(wrong("several elements have its id"));
    }
    Ok(first)
}

/// Without schemas any attribute that some profile calls an id counts as one, so that an id given twice is always seen.
fn has_id(document: &Document, node: NodeId, id: &str) -> bool {
    document.element(node).is_some_and(|element| {
        element.attributes.iter().any(|attribute| {
            let name = &attribute.name;
            let is_id = match (&*name.namespace, &*name.local) {
                ("", "ID" | "Id" | "id") => true,
                (namespace, "id") => namespace == XML_NAMESPACE,
                (namespace, "Id") => namespace == WSU,
                _ => false,
            };
            is_id && *attribute.value == *id
        })
    })
}

/// What is left after the transforms, and how it becomes octets. `signature` is absent while one is being made.
pub(super) fn transformed(
    document: &Document,
    apex: NodeId,
    transforms: &[Transform],
    signature: Option<NodeId>,
    number: usize,
) -> Result<(Selection, Method), DsigError> {
    let mut selection = Selection::all_of(apex);
    let mut method = Method::INCLUSIVE;
    for transform in transforms {
        match transform {
            Transform::Enveloped => match signature {
                Some(signature) if document.is_within(signature, apex) && signature != apex => {
                    selection.leave_out(signature);
                }
                Some(_) => {
                    return Err(DsigError::Reference {
                        number,
                        what: "it is said to envelop the signature, but does not",
                    });
                }
                None => {}
            },
            Transform::EbXmlActors => {
                for node in document.subtree(apex) {
                    let actor = document.attribute(node, SOAP, "actor");
                    if actor.is_some_and(|actor| ACTORS.contains(&actor)) {
                        selection.leave_out(node);
                    }
                }
            }
            Transform::Canonicalize(chosen) => method = chosen.clone(),
        }
    }
    // A same-document reference never takes comments along (XML Signature §4.4.3.3).
    method.comments = false;
    Ok((selection, method))
}
