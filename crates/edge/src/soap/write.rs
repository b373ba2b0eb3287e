//! Answers and faults as envelopes, in the form of .NET: every element of a type, in the order of the contract, nil
//! where nothing is known.

use super::contract::{Builtin, Contract, Field, Kind, NamespaceId, Operation, Ref, TypeId, XSI};
use super::fault::{Code, DISPATCHER, Fault, Subcode};
use super::lexical::{unset, write_text, write_time};
use super::read::{ADDRESSING, Addressing, Version};
use super::value::{HOLE, Object, Value};
use base64::Engine;
use std::fmt::Write as _;

/// Language of the faults' texts.
const LANGUAGE: &str = "nb-NO";
/// Namespace of addressing codes in SOAP 1.1 without addressing, as .NET writes them.
const NO_ADDRESSING: &str = "http://schemas.microsoft.com/ws/2005/05/addressing/none";

/// An answer does not fit its contract: our own fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not fit the contract at {0}")]
pub struct Misfit(pub String);

fn open(out: &mut String, version: Version, addressing: &Addressing, action: &str) {
    let _ = write!(out, r#"<s:Envelope xmlns:s="{}""#, version.namespace());
    if version == Version::V12 {
        let _ = write!(out, r#" xmlns:a="{ADDRESSING}"><s:Header>"#);
        out.push_str(r#"<a:Action s:mustUnderstand="1">"#);
        write_text(out, action);
        out.push_str("</a:Action>");
        if let Some(id) = &addressing.message_id {
            out.push_str("<a:RelatesTo>");
            write_text(out, id);
            out.push_str("</a:RelatesTo>");
        }
        out.push_str("</s:Header>");
    } else {
        out.push('>');
    }
    out.push_str("<s:Body>");
}

/// Prefixes by how many namespaces are in scope; `a` is addressing, `i` the schema instance, `s` SOAP.
const PREFIXES: &str = "abcdefghjklmnopqrtuvwxyz";

const CLOSE: &str = "</s:Body></s:Envelope>";

/// The envelope of an answer.
///
/// # Errors
/// [`Misfit`] when the service answers what its contract does not have.
pub fn answer(
    contract: &Contract,
    operation: &Operation,
    version: Version,
    addressing: &Addressing,
    result: &Value,
) -> Result<String, Misfit> {
    let mut out = String::with_capacity(1024);
    let action = format!("{}Response", operation.action);
    open(&mut out, version, addressing, &action);
    let _ = write!(out, "<{}Response xmlns=\"", operation.name);
    write_text(&mut out, contract.target());
    out.push('"');
    match &operation.result {
        None => out.push_str("/>"),
        Some(field) => {
            out.push('>');
            match result {
                Value::Ready(ready) => ready.write(&mut out),
                other => write_field(&mut out, contract, field, other)?,
            }
            let _ = write!(out, "</{}Response>", operation.name);
        }
    }
    out.push_str(CLOSE);
    Ok(out)
}

fn write_field(
    out: &mut String,
    contract: &Contract,
    field: &Field,
    value: &Value,
) -> Result<(), Misfit> {
    let mut writer = Writer::new(out, contract);
    writer.declare_xsi = true;
    writer.field(NamespaceId(0), field, Some(value))
}

/// The content of an operation's answer, the same in every version of SOAP, to be sent many times: as
/// [`super::value::Ready`].
///
/// # Errors
/// [`Misfit`] when the contract has no such operation, it answers nothing, or something else.
pub fn content(contract: &Contract, operation: &str, result: &Value) -> Result<String, Misfit> {
    let of = contract.operations().iter().find(|o| o.name == operation);
    let field = of.and_then(|o| o.result.as_ref());
    let field = field.ok_or_else(|| Misfit(operation.to_owned()))?;
    let mut out = String::with_capacity(4_096);
    write_field(&mut out, contract, field, result)?;
    Ok(out)
}

/// A value as a document of its own, its root named after its type (for services that hand out files).
///
/// # Errors
/// [`Misfit`] when the contract has no such type, or the value does not fit it.
pub fn document(contract: &Contract, type_name: &str, value: &Value) -> Result<String, Misfit> {
    let unknown = || Misfit(type_name.to_owned());
    let id = contract.find_name(type_name).ok_or_else(unknown)?;
    let namespace = contract.get(id).ok_or_else(unknown)?.namespace;
    let mut out = String::with_capacity(1024);
    let _ = write!(out, "<{type_name} xmlns=\"");
    write_text(&mut out, contract.uri(namespace));
    let _ = write!(out, "\" xmlns:i=\"{XSI}\">");
    let mut writer = Writer::new(&mut out, contract);
    writer.scope = vec![(namespace, None)];
    writer.content(Ref::Type(id), value)?;
    let _ = write!(out, "</{type_name}>");
    Ok(out)
}

/// The envelope of a fault.
///
/// # Errors
/// [`Misfit`] when the detail does not fit the contract.
pub fn fault(
    contract: &Contract,
    operation: Option<&Operation>,
    version: Version,
    addressing: &Addressing,
    fault: &Fault,
) -> Result<String, Misfit> {
    let mut out = String::with_capacity(512);
    open(
        &mut out,
        version,
        addressing,
        &fault_action(operation, fault),
    );
    out.push_str("<s:Fault>");
    let subcode = fault.subcode.map(Subcode::name);
    match version {
        Version::V12 => {
            let code = match fault.code {
                Code::Sender => "Sender",
                Code::Receiver => "Receiver",
                Code::VersionMismatch => "VersionMismatch",
                Code::MustUnderstand => "MustUnderstand",
            };
            let _ = write!(out, "<s:Code><s:Value>s:{code}</s:Value>");
            match subcode {
                Some((None, name)) => {
                    let _ = write!(out, "<s:Subcode><s:Value>a:{name}</s:Value></s:Subcode>");
                }
                Some((Some(uri), name)) => {
                    let _ = write!(
                        out,
                        r#"<s:Subcode><s:Value xmlns:b="{uri}">b:{name}</s:Value></s:Subcode>"#
                    );
                }
                None => {}
            }
            let _ = write!(out, r#"</s:Code><s:Reason><s:Text xml:lang="{LANGUAGE}">"#);
            write_text(&mut out, &fault.reason);
            out.push_str("</s:Text></s:Reason>");
        }
        Version::V11 => {
            match (subcode, fault.code) {
                (Some((uri, name)), _) => {
                    let uri = uri.unwrap_or(NO_ADDRESSING);
                    let _ = write!(out, r#"<faultcode xmlns:a="{uri}">a:{name}</faultcode>"#);
                }
                (None, code) => {
                    let code = match code {
                        Code::Sender => "Client",
                        Code::Receiver => "Server",
                        Code::VersionMismatch => "VersionMismatch",
                        Code::MustUnderstand => "MustUnderstand",
                    };
                    let _ = write!(out, "<faultcode>s:{code}</faultcode>");
                }
            }
            let _ = write!(out, r#"<faultstring xml:lang="{LANGUAGE}">"#);
            write_text(&mut out, &fault.reason);
            out.push_str("</faultstring>");
        }
    }
    if let Some(detail) = &fault.detail {
        let tag = match version {
            Version::V12 => "s:Detail",
            Version::V11 => "detail",
        };
        let id = contract
            .find(&detail.namespace, &detail.name)
            .ok_or_else(|| Misfit(detail.name.to_string()))?;
        let namespace = contract.get(id).map_or(NamespaceId(0), |t| t.namespace);
        let _ = write!(out, "<{tag}><{} xmlns=\"", detail.name);
        write_text(&mut out, &detail.namespace);
        let _ = write!(out, "\" xmlns:i=\"{XSI}\">");
        let mut writer = Writer::new(&mut out, contract);
        writer.scope = vec![(namespace, None)];
        writer.members(id, &detail.object)?;
        let _ = write!(out, "</{}></{tag}>", detail.name);
    }
    out.push_str("</s:Fault>");
    out.push_str(CLOSE);
    Ok(out)
}

fn fault_action(operation: Option<&Operation>, fault: &Fault) -> String {
    if let (Some(operation), Some(name)) = (operation, fault.contract_name()) {
        return format!("{}{name}Fault", operation.action);
    }
    match fault.subcode.map(Subcode::name) {
        Some((None, _)) => format!("{ADDRESSING}/fault"),
        Some((Some(uri), _)) if uri == DISPATCHER => format!("{DISPATCHER}/fault"),
        _ => format!("{ADDRESSING}/soap/fault"),
    }
}

struct Writer<'a> {
    out: &'a mut String,
    contract: &'a Contract,
    /// Namespaces in scope, each with its prefix (none: the default namespace).
    scope: Vec<(NamespaceId, Option<char>)>,
    /// The next element must declare the prefix `i`.
    declare_xsi: bool,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut String, contract: &'a Contract) -> Self {
        Self {
            out,
            contract,
            scope: vec![(NamespaceId(0), None)],
            declare_xsi: false,
        }
    }

    fn prefix(&self, namespace: NamespaceId) -> Option<Option<char>> {
        self.scope
            .iter()
            .find(|(known, _)| *known == namespace)
            .map(|(_, prefix)| *prefix)
    }

    fn name(&mut self, namespace: NamespaceId, name: &str) {
        if let Some(Some(prefix)) = self.prefix(namespace) {
            self.out.push(prefix);
            self.out.push(':');
        }
        self.out.push_str(name);
    }

    /// Declares a namespace on the element that is being opened, unless it is in scope.
    fn declare(&mut self, namespace: NamespaceId) {
        if self.prefix(namespace).is_some() {
            return;
        }
        let prefix = PREFIXES.chars().nth(self.scope.len()).unwrap_or('z');
        let _ = write!(self.out, " xmlns:{prefix}=\"");
        write_text(self.out, self.contract.uri(namespace));
        self.out.push('"');
        self.scope.push((namespace, Some(prefix)));
    }

    /// Declares what an element's children are in: the namespaces of an object and its bases, or of a list.
    fn declare_inner(&mut self, of: Ref) {
        let mut at = match of {
            Ref::Type(id) => Some(id),
            Ref::Builtin(_) => None,
        };
        let contract = self.contract;
        while let Some(of) = at.and_then(|id| contract.get(id)) {
            at = match &of.kind {
                Kind::Object { base, .. } => {
                    self.declare(of.namespace);
                    *base
                }
                Kind::List(_) => {
                    self.declare(of.namespace);
                    None
                }
                _ => None,
            };
        }
    }

    fn field(
        &mut self,
        namespace: NamespaceId,
        field: &Field,
        value: Option<&Value>,
    ) -> Result<(), Misfit> {
        let misfit = || Misfit(field.name.clone());
        let outer = self.scope.len();
        self.out.push('<');
        self.name(namespace, &field.name);
        let value = value.unwrap_or(&Value::Nil);
        let actual = self.actual(field, value)?;
        if std::mem::take(&mut self.declare_xsi) {
            let _ = write!(self.out, " xmlns:i=\"{XSI}\"");
        }
        self.declare_inner(actual);
        let says_type = matches!(value, Value::Object(object) if object.says_type);
        if (says_type || actual != field.of)
            && let Ref::Type(id) = actual
            && let Some(of) = self.contract.get(id)
        {
            self.out.push_str(" i:type=\"");
            self.name(of.namespace, &of.name);
            self.out.push('"');
        }
        if matches!(value, Value::Nil) && field.nillable {
            self.out.push_str(" i:nil=\"true\"/>");
        } else {
            self.out.push('>');
            self.content(actual, value).map_err(|deeper| match deeper {
                Misfit(at) if at.is_empty() => misfit(),
                Misfit(at) => Misfit(format!("{}/{at}", field.name)),
            })?;
            self.out.push_str("</");
            self.name(namespace, &field.name);
            self.out.push('>');
        }
        self.scope.truncate(outer);
        Ok(())
    }

    fn actual(&self, field: &Field, value: &Value) -> Result<Ref, Misfit> {
        let (Ref::Type(declared), Value::Object(object)) = (field.of, value) else {
            return Ok(field.of);
        };
        let Some(name) = &object.type_name else {
            return Ok(field.of);
        };
        if self
            .contract
            .get(declared)
            .is_some_and(|t| t.name == **name)
        {
            return Ok(field.of);
        }
        self.contract
            .types()
            .iter()
            .enumerate()
            .filter(|(_, t)| t.name == **name)
            .map(|(at, _)| TypeId(at))
            .find(|id| self.contract.is_a(*id, declared))
            .map(Ref::Type)
            .ok_or_else(|| Misfit(format!("{} (type {name})", field.name)))
    }

    fn content(&mut self, of: Ref, value: &Value) -> Result<(), Misfit> {
        let here = || Misfit(String::new());
        let id = match of {
            Ref::Builtin(of) => return self.simple(of, value),
            Ref::Type(id) => id,
        };
        let contract = self.contract;
        let of = contract.get(id).ok_or_else(here)?;
        match (&of.kind, value) {
            (Kind::Object { .. }, Value::Object(object)) => self.members(id, object),
            (Kind::Object { .. }, Value::Nil) => self.members(id, &Object::new()),
            (Kind::List(item), Value::List(items)) => {
                for value in items {
                    self.field(of.namespace, item, Some(value))?;
                }
                Ok(())
            }
            (Kind::List(_), Value::Nil) => Ok(()),
            (Kind::Enum(values), Value::Text(text)) => {
                if !values.iter().any(|(name, _)| name == text) {
                    return Err(here());
                }
                write_text(self.out, text);
                Ok(())
            }
            (Kind::Flags(values), Value::Text(text)) => {
                let known = |word: &str| values.iter().any(|(name, _)| name == word);
                if !text.split_whitespace().all(known) {
                    return Err(here());
                }
                write_text(self.out, text);
                Ok(())
            }
            (Kind::Enum(values) | Kind::Flags(values), Value::Nil) => {
                if let Some((first, _)) = values.first() {
                    write_text(self.out, first);
                }
                Ok(())
            }
            (Kind::Simple(of), value) => self.simple(*of, value),
            _ => Err(here()),
        }
    }

    fn members(&mut self, id: TypeId, object: &Object) -> Result<(), Misfit> {
        let mut next = 0;
        let mut used = 0;
        for (namespace, field) in self.contract.fields(id) {
            // Usually they come in the order of the contract.
            let in_turn = object
                .fields
                .get(next)
                .is_some_and(|(name, _)| *name == field.name);
            let at = if in_turn {
                Some(next)
            } else {
                object
                    .fields
                    .iter()
                    .position(|(name, _)| *name == field.name)
            };
            let value = at.and_then(|at| object.fields.get(at)).map(|(_, v)| v);
            if let Some(at) = at {
                next = at + 1;
                used += 1;
            }
            self.field(namespace, field, value)?;
        }
        if used < object.fields.len() {
            let known: Vec<&str> = self
                .contract
                .fields(id)
                .into_iter()
                .map(|(_, field)| field.name.as_str())
                .collect();
            let unknown = object.fields.iter().find(|(n, _)| !known.contains(&&**n));
            if let Some((name, _)) = unknown {
                return Err(Misfit(format!("{name} (not in the contract)")));
            }
        }
        Ok(())
    }

    fn simple(&mut self, of: Builtin, value: &Value) -> Result<(), Misfit> {
        match (of, value) {
            (_, Value::Hole) => self.out.push(HOLE),
            (_, Value::Nil) => self.out.push_str(unset(of)),
            (Builtin::Boolean, Value::Bool(value)) => {
                self.out.push_str(if *value { "true" } else { "false" });
            }
            (Builtin::DateTime, Value::Time(time)) => write_time(self.out, *time),
            (Builtin::Base64Binary, Value::Bytes(bytes)) => {
                base64::engine::general_purpose::STANDARD.encode_string(bytes, self.out);
            }
            (Builtin::Decimal | Builtin::Float | Builtin::Double, Value::Number(number)) => {
                let _ = write!(self.out, "{number}");
            }
            (
                Builtin::String
                | Builtin::AnyUri
                | Builtin::AnyType
                | Builtin::Guid
                | Builtin::Duration,
                Value::Text(text),
            ) => write_text(self.out, text),
            (
                Builtin::Byte
                | Builtin::UnsignedByte
                | Builtin::Short
                | Builtin::UnsignedShort
                | Builtin::Int
                | Builtin::UnsignedInt
                | Builtin::Long
                | Builtin::UnsignedLong
                | Builtin::Decimal
                | Builtin::Double
                | Builtin::Char,
                Value::Int(number),
            ) => {
                let _ = write!(self.out, "{number}");
            }
            _ => return Err(Misfit(String::new())),
        }
        Ok(())
    }
}
