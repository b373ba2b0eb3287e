//! From the bytes of an envelope to an operation and its parameters.

use super::contract::{Builtin, Contract, Field, Kind, Operation, Ref, TypeId, XSI};
use super::fault::{Fault, Subcode};
use super::lexical;
use super::value::{Object, Value};
use std::borrow::Cow;
use xmlsec::xml::{Document, Element, Limits, NodeId};

/// Namespace of SOAP 1.1.
pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Namespace of SOAP 1.2.
pub const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// Namespace of WS-Addressing 1.0.
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";

/// Version of SOAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.1, path `…/Basic`.
    V11,
    /// 1.2 with WS-Addressing.
    V12,
}

impl Version {
    /// Namespace of the envelope.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            Self::V11 => SOAP11,
            Self::V12 => SOAP12,
        }
    }

    /// Content type of envelopes.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V11 => "text/xml; charset=utf-8",
            Self::V12 => "application/soap+xml; charset=utf-8",
        }
    }
}

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Largest body in bytes.
    pub max_bytes: usize,
    /// Deepest nesting.
    pub max_depth: usize,
    /// Most nodes.
    pub max_nodes: usize,
    /// Most items of one list.
    pub max_items: usize,
}

impl Default for RequestLimits {
    /// 8 MiB, 48 levels, 400 000 nodes, 50 000 items.
    fn default() -> Self {
        Self {
            max_bytes: 8 << 20,
            max_depth: 48,
            max_nodes: 400_000,
            max_items: 50_000,
        }
    }
}

/// Addressing headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// `Action`.
    pub action: Option<String>,
    /// `MessageID`.
    pub message_id: Option<String>,
    /// `To`.
    pub to: Option<String>,
}

/// An envelope that was read so far that its sender can be answered.
#[derive(Debug)]
pub struct Envelope {
    /// Addressing headers.
    pub addressing: Addressing,
    document: Document,
    body: NodeId,
}

/// A fault, with what is known of the envelope that it answers.
pub type Refusal = (Addressing, Box<Fault>);

fn refuse<T>(addressing: &Addressing, fault: Fault) -> Result<T, Refusal> {
    Err((addressing.clone(), Box::new(fault)))
}

/// Reads an envelope.
///
/// # Errors
/// The fault that answers it.
pub fn envelope(
    bytes: &[u8],
    version: Version,
    limits: &RequestLimits,
) -> Result<Envelope, Refusal> {
    let nobody = Addressing::default();
    let xml = Limits {
        max_bytes: limits.max_bytes,
        max_depth: limits.max_depth,
        max_nodes: limits.max_nodes,
        max_attributes: 64,
        max_namespaces: 64,
    };
    let document = match Document::from_utf8(bytes, &xml) {
        Ok(document) => document,
        Err(error) => return refuse(&nobody, Fault::malformed(format!("Ugyldig XML: {error}"))),
    };
    let root = document.root();
    let namespace = version.namespace();
    if !document.is(root, namespace, "Envelope") {
        let is_envelope = document
            .element(root)
            .is_some_and(|e| &*e.name.local == "Envelope");
        let fault = if is_envelope {
            Fault::version(format!(
                "Konvolutten må være i navnerommet {namespace} på denne adressen."
            ))
        } else {
            Fault::malformed("Meldingen er ingen SOAP-konvolutt.")
        };
        return refuse(&nobody, fault);
    }
    let mut header = None;
    let mut body = None;
    for part in document.elements(root) {
        if document.is(part, namespace, "Header") && header.is_none() && body.is_none() {
            header = Some(part);
        } else if document.is(part, namespace, "Body") && body.is_none() {
            body = Some(part);
        } else {
            return refuse(
                &nobody,
                Fault::malformed(format!(
                    "Konvolutten har et element som ikke hører hjemme der (linje {}).",
                    document.line(part)
                )),
            );
        }
    }
    let mut addressing = Addressing::default();
    if let Some(header) = header {
        headers(&document, header, version, &mut addressing)?;
    }
    let Some(body) = body else {
        return refuse(&addressing, Fault::malformed("Konvolutten har ingen Body."));
    };
    Ok(Envelope {
        addressing,
        document,
        body,
    })
}

fn headers(
    document: &Document,
    header: NodeId,
    version: Version,
    addressing: &mut Addressing,
) -> Result<(), Refusal> {
    let namespace = version.namespace();
    let doubled = |what: &str| {
        Fault::addressing(
            Subcode::InvalidAddressingHeader,
            format!("Hodet {what} finnes flere ganger."),
        )
    };
    for block in document.elements(header) {
        let Some(element) = document.element(block) else {
            continue;
        };
        if &*element.name.namespace == ADDRESSING {
            let local = &*element.name.local;
            let place = match local {
                "Action" => Some(&mut addressing.action),
                "MessageID" => Some(&mut addressing.message_id),
                "To" => Some(&mut addressing.to),
                "ReplyTo" | "FaultTo" => {
                    let known = addressing.clone();
                    anonymous(document, block).or_else(|fault| refuse(&known, fault))?;
                    None
                }
                _ => None,
            };
            if let Some(place) = place {
                if place.is_some() {
                    return refuse(&Addressing::default(), doubled(local));
                }
                *place = Some(document.text(block).trim().to_owned());
            }
            continue;
        }
        let role = match version {
            Version::V11 => document.attribute(block, namespace, "actor"),
            Version::V12 => document.attribute(block, namespace, "role"),
        };
        let is_ours = role.is_none_or(|role| {
            role.is_empty() || role.ends_with("/next") || role.ends_with("/ultimateReceiver")
        });
        let must = document.attribute(block, namespace, "mustUnderstand");
        if is_ours && matches!(must, Some("1" | "true")) {
            let name = &element.name.local;
            return refuse(
                addressing,
                Fault::not_understood(format!(
                    "Hodet {name} må forstås, men forstås ikke her (linje {}).",
                    document.line(block)
                )),
            );
        }
    }
    Ok(())
}

fn anonymous(document: &Document, endpoint: NodeId) -> Result<(), Fault> {
    let address = document
        .named(endpoint, ADDRESSING, "Address")
        .next()
        .map(|address| document.text(address));
    let allowed = [
        "http://www.w3.org/2005/08/addressing/anonymous",
        "http://www.w3.org/2005/08/addressing/none",
    ];
    match address {
        Some(address) if allowed.contains(&address.trim()) => Ok(()),
        _ => Err(Fault::addressing(
            Subcode::InvalidAddressingHeader,
            "Svar sendes bare tilbake på forbindelsen: ReplyTo og FaultTo må være anonyme.",
        )),
    }
}

/// Whether an action as HTTP carried it is this one: clients that cannot write Norwegian letters in a header send
/// question marks in their place.
fn is_same_action(sent: &str, action: &str) -> bool {
    sent.chars().count() == action.chars().count()
        && sent
            .chars()
            .zip(action.chars())
            .all(|(s, a)| s == a || (!a.is_ascii() && matches!(s, '?' | '\u{fffd}')))
}

impl Envelope {
    /// Which operation is asked for. `action` is what HTTP says (SOAPAction, or the parameter `action`).
    ///
    /// # Errors
    /// When there is none, or HTTP, header and body do not say the same.
    pub fn operation<'c>(
        &self,
        contract: &'c Contract,
        version: Version,
        action: Option<&str>,
    ) -> Result<&'c Operation, Fault> {
        let in_header = match version {
            Version::V11 => None,
            Version::V12 => self.addressing.action.as_deref(),
        };
        let action = action.filter(|a| !a.is_empty());
        if let (Some(header), Some(http)) = (in_header, action)
            && !is_same_action(http, header)
        {
            return Err(Fault::addressing(
                Subcode::InvalidAddressingHeader,
                "Action i hodet og i HTTP er ikke den samme.",
            ));
        }
        let named = self.body_element().and_then(|(_, element)| {
            (*element.name.namespace == *contract.target())
                .then(|| contract.by_element(&element.name.local))
                .flatten()
        });
        let Some(action) = in_header.or(action) else {
            return named.ok_or_else(|| {
                Fault::addressing(
                    Subcode::ActionNotSupported,
                    "Meldingen sier ikke hvilken operasjon den gjelder, og innholdet er ingen av tjenestens.",
                )
            });
        };
        let found = contract.by_action(action).or_else(|| {
            let mut all = contract.operations().iter();
            all.find(|o| is_same_action(action, &o.action))
        });
        let Some(operation) = found else {
            return Err(Fault::addressing(
                Subcode::ActionNotSupported,
                "Tjenesten har ingen operasjon med denne Action.",
            ));
        };
        match named {
            Some(named) if named.name == operation.name => Ok(operation),
            _ => Err(Fault::unreadable(format!(
                "Innholdet må være elementet {} i navnerommet {}.",
                operation.name,
                contract.target()
            ))),
        }
    }

    fn body_element(&self) -> Option<(NodeId, &Element)> {
        let mut inside = self.document.elements(self.body);
        let first = inside.next()?;
        if inside.next().is_some() {
            return None;
        }
        self.document.element(first).map(|element| (first, element))
    }

    /// The parameters of an operation.
    ///
    /// # Errors
    /// The first parameter that cannot be read, with its line.
    pub fn parameters(
        &self,
        contract: &Contract,
        operation: &Operation,
        limits: &RequestLimits,
    ) -> Result<Object, Fault> {
        let Some((node, _)) = self.body_element() else {
            return Err(Fault::unreadable("Body må ha nøyaktig ett element."));
        };
        let reader = Reader {
            document: &self.document,
            contract,
            max_items: limits.max_items,
        };
        let fields: Vec<(&str, &Field)> = operation
            .parameters
            .iter()
            .map(|field| (contract.target(), field))
            .collect();
        reader.fields(node, &fields)
    }
}

struct Reader<'a> {
    document: &'a Document,
    contract: &'a Contract,
    max_items: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, node: NodeId, what: &str) -> Result<T, Fault> {
        let name = self
            .document
            .element(node)
            .map_or_else(String::new, |e| e.name.local.to_string());
        Err(Fault::unreadable(format!(
            "Elementet {name} {what} (linje {}).",
            self.document.line(node)
        )))
    }

    /// Elements that the contract does not have are passed over, as .NET does: newer clients have more.
    fn fields(&self, node: NodeId, fields: &[(&str, &Field)]) -> Result<Object, Fault> {
        let mut object = Object::new();
        for child in self.document.elements(node) {
            let Some(element) = self.document.element(child) else {
                continue;
            };
            let is_it = |(uri, field): &&(&str, &Field)| element.name.is(uri, &field.name);
            let Some((_, field)) = fields.iter().find(is_it) else {
                continue;
            };
            if object.has(&field.name) {
                return self.wrong(child, "finnes flere ganger");
            }
            let value = self.value(child, field)?;
            object.push(field.name.clone(), value);
        }
        if let Some((_, missing)) = fields
            .iter()
            .find(|(_, field)| field.required && !object.has(&field.name))
        {
            return self.wrong(node, &format!("mangler {}", missing.name));
        }
        Ok(object)
    }

    fn value(&self, node: NodeId, field: &Field) -> Result<Value, Fault> {
        let nil = self.document.attribute(node, XSI, "nil").map(str::trim);
        match nil {
            Some("true" | "1") if field.nillable => return Ok(Value::Nil),
            Some("true" | "1") => return self.wrong(node, "kan ikke være nil"),
            Some("false" | "0") | None => {}
            Some(_) => return self.wrong(node, "har en nil som verken er true eller false"),
        }
        match field.of {
            Ref::Builtin(of) => self.simple(node, of),
            Ref::Type(id) => self.typed(node, self.actual(node, id)?),
        }
    }

    /// The type that `i:type` names: the declared one or one derived from it.
    fn actual(&self, node: NodeId, declared: TypeId) -> Result<TypeId, Fault> {
        let Some(written) = self.document.attribute(node, XSI, "type").map(str::trim) else {
            return Ok(declared);
        };
        let (prefix, local) = written.split_once(':').unwrap_or(("", written));
        let named = self
            .document
            .namespace_of(node, prefix)
            .and_then(|uri| self.contract.find(uri, local));
        match named {
            Some(id) if self.contract.is_a(id, declared) => Ok(id),
            _ => self.wrong(node, "har en type som ikke kan stå der"),
        }
    }

    fn typed(&self, node: NodeId, id: TypeId) -> Result<Value, Fault> {
        let Some(of) = self.contract.get(id) else {
            return self.wrong(node, "har ingen type");
        };
        match &of.kind {
            Kind::Object { .. } => {
                let fields: Vec<(&str, &Field)> = self
                    .contract
                    .fields(id)
                    .into_iter()
                    .map(|(namespace, field)| (self.contract.uri(namespace), field))
                    .collect();
                let mut object = self.fields(node, &fields)?;
                object.type_name = Some(Cow::Owned(of.name.clone()));
                Ok(Value::Object(object))
            }
            Kind::List(item) => {
                let uri = self.contract.uri(of.namespace);
                let mut items = Vec::new();
                for child in self.document.named(node, uri, &item.name) {
                    if items.len() >= self.max_items {
                        return self
                            .wrong(node, &format!("har flere enn {} verdier", self.max_items));
                    }
                    items.push(self.value(child, item)?);
                }
                Ok(Value::List(items))
            }
            Kind::Enum(values) => {
                let text = self.text(node)?;
                let text = text.trim();
                match values.iter().any(|(name, _)| name == text) {
                    true => Ok(Value::Text(Cow::Owned(text.to_owned()))),
                    false => self.wrong(node, "har en verdi som ikke finnes"),
                }
            }
            Kind::Flags(values) => {
                let text = self.text(node)?;
                let known = |word: &str| values.iter().any(|(name, _)| name == word);
                match text.split_whitespace().all(known) {
                    true => Ok(Value::Text(Cow::Owned(text.trim().to_owned()))),
                    false => self.wrong(node, "har en verdi som ikke finnes"),
                }
            }
            Kind::Simple(of) => self.simple(node, *of),
        }
    }

    fn text(&self, node: NodeId) -> Result<String, Fault> {
        if self.document.elements(node).next().is_some() {
            return self.wrong(node, "skal være tekst, uten elementer i seg");
        }
        Ok(self.document.text(node))
    }

    fn simple(&self, node: NodeId, of: Builtin) -> Result<Value, Fault> {
        if of == Builtin::AnyType {
            return Ok(Value::Text(Cow::Owned(self.document.text(node))));
        }
        match lexical::read(of, self.text(node)?) {
            Some(value) => Ok(value),
            None => self.wrong(node, &format!("er ikke av typen {}", of.name())),
        }
    }
}
