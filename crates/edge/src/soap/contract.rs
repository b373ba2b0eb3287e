//! What a SOAP service takes and gives, as a value: read from a compact text, and the one source of reading, writing and
//! describing (`?wsdl`).
//!
//! The text, line by line (one that begins with `#` is a comment):
//!
//! ```text
//! service HPRService2 IHPR2Service            service and contract
//! namespace hpr http://schemas.nhn.no/...     prefix and namespace; the first one holds the operations
//! operation HentPerson !common:GenericFault   an operation and the types of its faults
//!   hprNummer int                             parameter: name, type; `?` = nillable, `!` = must be there
//!   -> Person?                                result; none = nothing comes back
//! in hpr                                      the types below are of this namespace
//! type Person : Base                          an object, its base, its fields in order
//!   Fornavn string?
//! struct TimePeriod                           an object that .NET holds by value
//! list ArrayOfPerson Person Person?           list: name, element, type of the element
//! enum DayOfWeek Sunday Monday                one of these
//! flags Kind None=0 Person=1                  some of these
//! simple StreamBody base64Binary              another name for a type of XML Schema
//! ```

use std::collections::HashMap;

/// Namespace of XML Schema.
pub const XSD: &str = "http://www.w3.org/2001/XMLSchema";
/// Namespace of `nil` and `type`.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Namespace of the types that .NET adds to those of XML Schema.
pub const SERIALIZATION: &str = "http://schemas.microsoft.com/2003/10/Serialization/";

/// Simple types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Builtin {
    String,
    Boolean,
    Byte,
    UnsignedByte,
    Short,
    UnsignedShort,
    Int,
    UnsignedInt,
    Long,
    UnsignedLong,
    Decimal,
    Float,
    Double,
    DateTime,
    Base64Binary,
    AnyUri,
    AnyType,
    Guid,
    Duration,
    Char,
}

impl Builtin {
    const NAMES: [(Self, &'static str); 20] = [
        (Self::String, "string"),
        (Self::Boolean, "boolean"),
        (Self::Byte, "byte"),
        (Self::UnsignedByte, "unsignedByte"),
        (Self::Short, "short"),
        (Self::UnsignedShort, "unsignedShort"),
        (Self::Int, "int"),
        (Self::UnsignedInt, "unsignedInt"),
        (Self::Long, "long"),
        (Self::UnsignedLong, "unsignedLong"),
        (Self::Decimal, "decimal"),
        (Self::Float, "float"),
        (Self::Double, "double"),
        (Self::DateTime, "dateTime"),
        (Self::Base64Binary, "base64Binary"),
        (Self::AnyUri, "anyURI"),
        (Self::AnyType, "anyType"),
        (Self::Guid, "guid"),
        (Self::Duration, "duration"),
        (Self::Char, "char"),
    ];

    /// Name in its namespace.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(builtin, _)| *builtin == self)
            .map_or("anyType", |(_, name)| name)
    }

    /// Whether it is one of .NET's own.
    #[must_use]
    pub fn is_serialization(self) -> bool {
        matches!(self, Self::Guid | Self::Duration | Self::Char)
    }

    fn named(name: &str) -> Option<Self> {
        let (is_ser, local) = match name.split_once(':') {
            Some(("ser", local)) => (true, local),
            Some(_) => return None,
            None => (false, name),
        };
        Self::NAMES
            .iter()
            .find(|(builtin, known)| *known == local && builtin.is_serialization() == is_ser)
            .map(|(builtin, _)| *builtin)
    }
}

/// Number of a type in its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub(super) usize);

/// Number of a namespace in its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId(pub(super) usize);

/// What an element holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ref {
    /// A simple type.
    Builtin(Builtin),
    /// A type of the contract.
    Type(TypeId),
}

/// An element of an object, a parameter or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the element.
    pub name: String,
    /// What it holds.
    pub of: Ref,
    /// May be nil.
    pub nillable: bool,
    /// Must be there.
    pub required: bool,
}

/// A type of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Its namespace.
    pub namespace: NamespaceId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Elements in order.
    Object {
        /// The type whose elements come first.
        base: Option<TypeId>,
        /// Its own elements.
        fields: Vec<Field>,
        /// .NET holds it by value.
        by_value: bool,
    },
    /// Elements of one name.
    List(Field),
    /// One of these, with its number where .NET says one.
    Enum(Vec<(String, Option<String>)>),
    /// Some of these.
    Flags(Vec<(String, Option<String>)>),
    /// Another name for a simple type.
    Simple(Builtin),
}

/// An operation. Its request is an element of its own name, its answer one with `Response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Name.
    pub name: String,
    /// Parameters in order.
    pub parameters: Vec<Field>,
    /// Result; its name is `<operation>Result`.
    pub result: Option<Field>,
    /// Types of its faults.
    pub faults: Vec<TypeId>,
    /// Action of the request.
    pub action: String,
}

/// The text of a contract is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contract, line {line}: {what}")]
pub struct ContractError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A service's contract.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Name of the service.
    pub service: String,
    /// Name of the contract (the interface).
    pub interface: String,
    pub(super) namespaces: Vec<(String, String)>,
    pub(super) types: Vec<Type>,
    pub(super) operations: Vec<Operation>,
    types_by_name: HashMap<(NamespaceId, String), TypeId>,
    by_action: HashMap<String, usize>,
    by_element: HashMap<String, usize>,
}

impl Contract {
    /// Reads the compact text.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, ContractError> {
        Parser::default().parse(text)
    }

    /// Namespace of the operations.
    #[must_use]
    pub fn target(&self) -> &str {
        self.uri(NamespaceId(0))
    }

    /// A namespace.
    #[must_use]
    pub fn uri(&self, id: NamespaceId) -> &str {
        self.namespaces.get(id.0).map_or("", |(_, uri)| uri)
    }

    /// A type.
    #[must_use]
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(id.0)
    }

    /// A type by namespace and name.
    #[must_use]
    pub fn find(&self, uri: &str, name: &str) -> Option<TypeId> {
        let namespace = self.namespaces.iter().position(|(_, known)| known == uri)?;
        self.types_by_name
            .get(&(NamespaceId(namespace), name.to_owned()))
            .copied()
    }

    /// A type by name alone: the first of that name, those of the operations' namespace before others.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<TypeId> {
        (0..self.namespaces.len()).find_map(|namespace| {
            self.types_by_name
                .get(&(NamespaceId(namespace), name.to_owned()))
                .copied()
        })
    }

    /// All types.
    #[must_use]
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// All operations.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation of an action.
    #[must_use]
    pub fn by_action(&self, action: &str) -> Option<&Operation> {
        self.operations.get(*self.by_action.get(action)?)
    }

    /// The operation of a request element in the operations' namespace.
    #[must_use]
    pub fn by_element(&self, name: &str) -> Option<&Operation> {
        self.operations.get(*self.by_element.get(name)?)
    }

    /// Elements of an object in order, those of its bases first, each with its namespace.
    pub(super) fn fields(&self, id: TypeId) -> Vec<(NamespaceId, &Field)> {
        let mut chain = Vec::new();
        let mut at = Some(id);
        while let Some(Type {
            namespace,
            kind: Kind::Object { base, fields, .. },
            ..
        }) = at.and_then(|id| self.get(id))
        {
            chain.push((*namespace, fields));
            at = *base;
        }
        chain
            .into_iter()
            .rev()
            .flat_map(|(namespace, fields)| fields.iter().map(move |f| (namespace, f)))
            .collect()
    }

    /// Whether `id` is `ancestor` or has it as a base.
    pub(super) fn is_a(&self, id: TypeId, ancestor: TypeId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = match self.get(id).map(|t| &t.kind) {
                Some(Kind::Object { base, .. }) => *base,
                _ => None,
            };
        }
        false
    }
}

/// What stands after a name until the types are all known.
#[derive(Clone)]
struct Raw {
    line: usize,
    name: String,
    of: String,
    nillable: bool,
    required: bool,
    within: NamespaceId,
}

enum RawKind {
    Object(Option<(usize, String)>, Vec<Raw>, bool),
    List(Raw),
    Done(Kind),
}

struct RawOperation {
    name: String,
    parameters: Vec<Raw>,
    result: Option<Raw>,
    faults: Vec<(usize, String)>,
}

#[derive(Default)]
struct Parser {
    service: Option<(String, String)>,
    namespaces: Vec<(String, String)>,
    operations: Vec<RawOperation>,
    types: Vec<(NamespaceId, String, RawKind)>,
    within: Option<NamespaceId>,
}

fn wrong<T>(line: usize, what: impl Into<String>) -> Result<T, ContractError> {
    Err(ContractError {
        line,
        what: what.into(),
    })
}

fn values(words: &[&str]) -> Vec<(String, Option<String>)> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, number)) => (name.to_owned(), Some(number.to_owned())),
            None => ((*word).to_owned(), None),
        })
        .collect()
}

impl Parser {
    fn parse(mut self, text: &str) -> Result<Contract, ContractError> {
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with("  ") {
                self.indented(at + 1, line.trim())?;
            } else {
                self.heading(at + 1, line)?;
            }
        }
        self.finish()
    }

    fn raw(&self, line: usize, name: &str, of: &str) -> Result<Raw, ContractError> {
        let required = of.contains('!');
        let nillable = of.contains('?');
        let within = self.within.unwrap_or(NamespaceId(0));
        if name.is_empty() || of.is_empty() {
            return wrong(line, "a name and a type are needed");
        }
        Ok(Raw {
            line,
            name: name.to_owned(),
            of: of.trim_end_matches(['!', '?']).to_owned(),
            nillable,
            required,
            within,
        })
    }

    fn indented(&mut self, line: usize, text: &str) -> Result<(), ContractError> {
        let (name, of) = text.split_once(' ').unwrap_or((text, ""));
        let raw = self.raw(line, name, of.trim())?;
        if self.within.is_none() {
            let Some(operation) = self.operations.last_mut() else {
                return wrong(line, "a parameter without operation");
            };
            if name == "->" {
                operation.result = Some(Raw {
                    name: format!("{}Result", operation.name),
                    ..raw
                });
            } else {
                operation.parameters.push(raw);
            }
            return Ok(());
        }
        match self.types.last_mut() {
            Some((_, _, RawKind::Object(_, fields, _))) => {
                fields.push(raw);
                Ok(())
            }
            _ => wrong(line, "an element without type"),
        }
    }

    fn heading(&mut self, line: usize, text: &str) -> Result<(), ContractError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["service", service, interface] => {
                self.service = Some(((*service).to_owned(), (*interface).to_owned()));
            }
            ["namespace", prefix, uri] => {
                self.namespaces
                    .push(((*prefix).to_owned(), (*uri).to_owned()));
            }
            ["operation", name, faults @ ..] => {
                let faults = faults
                    .iter()
                    .map(|f| (line, f.trim_start_matches('!').to_owned()));
                self.operations.push(RawOperation {
                    name: (*name).to_owned(),
                    parameters: Vec::new(),
                    result: None,
                    faults: faults.collect(),
                });
            }
            ["in", prefix] => self.within = Some(self.namespace(line, prefix)?),
            ["type", name] => self.object(line, name, None, false)?,
            ["type", name, ":", base] => self.object(line, name, Some(base), false)?,
            ["struct", name] => self.object(line, name, None, true)?,
            ["list", name, item, of] => {
                let raw = self.raw(line, item, of)?;
                self.add(line, name, RawKind::List(raw))?;
            }
            ["enum", name, rest @ ..] => {
                self.add(line, name, RawKind::Done(Kind::Enum(values(rest))))?;
            }
            ["flags", name, rest @ ..] => {
                self.add(line, name, RawKind::Done(Kind::Flags(values(rest))))?;
            }
            ["simple", name, of] => match Builtin::named(of) {
                Some(of) => self.add(line, name, RawKind::Done(Kind::Simple(of)))?,
                None => return wrong(line, format!("{of} is no simple type")),
            },
            _ => return wrong(line, "not understood"),
        }
        Ok(())
    }

    fn object(
        &mut self,
        line: usize,
        name: &str,
        base: Option<&str>,
        by_value: bool,
    ) -> Result<(), ContractError> {
        let base = base.map(|b| (line, b.to_owned()));
        self.add(line, name, RawKind::Object(base, Vec::new(), by_value))
    }

    fn add(&mut self, line: usize, name: &str, kind: RawKind) -> Result<(), ContractError> {
        let Some(within) = self.within else {
            return wrong(line, "a type before the first `in`");
        };
        self.types.push((within, name.to_owned(), kind));
        Ok(())
    }

    fn namespace(&self, line: usize, prefix: &str) -> Result<NamespaceId, ContractError> {
        match self.namespaces.iter().position(|(p, _)| p == prefix) {
            Some(at) => Ok(NamespaceId(at)),
            None => wrong(line, format!("the prefix {prefix} stands for no namespace")),
        }
    }

    fn finish(self) -> Result<Contract, ContractError> {
        let Some((service, interface)) = self.service.clone() else {
            return wrong(1, "no service");
        };
        let Some((_, target)) = self.namespaces.first().cloned() else {
            return wrong(1, "no namespace");
        };
        let mut types_by_name = HashMap::new();
        for (at, (namespace, name, _)) in self.types.iter().enumerate() {
            if types_by_name
                .insert((*namespace, name.clone()), TypeId(at))
                .is_some()
            {
                return wrong(1, format!("the type {name} twice"));
            }
        }
        let resolve = |raw: &Raw| -> Result<Field, ContractError> {
            Ok(Field {
                name: raw.name.clone(),
                of: self.reference(&types_by_name, raw.line, raw.within, &raw.of)?,
                nillable: raw.nillable,
                required: raw.required,
            })
        };
        let of_type = |line: usize, within: NamespaceId, name: &str| match self.reference(
            &types_by_name,
            line,
            within,
            name,
        )? {
            Ref::Type(id) => Ok(id),
            Ref::Builtin(_) => wrong(line, format!("{name} is no type of the contract")),
        };
        let mut types = Vec::new();
        for (namespace, name, kind) in &self.types {
            let kind = match kind {
                RawKind::Object(base, fields, by_value) => Kind::Object {
                    base: match base {
                        Some((line, base)) => Some(of_type(*line, *namespace, base)?),
                        None => None,
                    },
                    fields: fields.iter().map(resolve).collect::<Result<_, _>>()?,
                    by_value: *by_value,
                },
                RawKind::List(raw) => Kind::List(resolve(raw)?),
                RawKind::Done(kind) => kind.clone(),
            };
            types.push(Type {
                namespace: *namespace,
                name: name.clone(),
                kind,
            });
        }
        let mut operations = Vec::new();
        for raw in &self.operations {
            let faults = raw.faults.iter();
            let ids = faults.map(|(line, fault)| of_type(*line, NamespaceId(0), fault));
            operations.push(Operation {
                action: format!("{}/{interface}/{}", target.trim_end_matches('/'), raw.name),
                name: raw.name.clone(),
                parameters: raw
                    .parameters
                    .iter()
                    .map(resolve)
                    .collect::<Result<_, _>>()?,
                result: raw.result.as_ref().map(resolve).transpose()?,
                faults: ids.collect::<Result<_, _>>()?,
            });
        }
        let index = |key: fn(&Operation) -> &String| -> HashMap<String, usize> {
            operations
                .iter()
                .enumerate()
                .map(|(at, operation)| (key(operation).clone(), at))
                .collect()
        };
        Ok(Contract {
            by_action: index(|o| &o.action),
            by_element: index(|o| &o.name),
            service,
            interface,
            namespaces: self.namespaces,
            types,
            operations,
            types_by_name,
        })
    }

    fn reference(
        &self,
        types: &HashMap<(NamespaceId, String), TypeId>,
        line: usize,
        within: NamespaceId,
        of: &str,
    ) -> Result<Ref, ContractError> {
        if let Some(builtin) = Builtin::named(of) {
            return Ok(Ref::Builtin(builtin));
        }
        let (namespace, local) = match of.split_once(':') {
            Some((prefix, local)) => (self.namespace(line, prefix)?, local),
            None => (within, of),
        };
        match types.get(&(namespace, local.to_owned())) {
            Some(id) => Ok(Ref::Type(*id)),
            None => wrong(line, format!("the type {of} is not described")),
        }
    }
}
