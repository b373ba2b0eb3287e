//! The definition pack: what the official R4 definitions say, as compact facts with fast lookups.
//!
//! The file is made by `cargo xtask definitions` (see `pack/PROVENANCE.md`); nothing here is written per resource type.

pub mod file;
mod index;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::finding::Severity;
use crate::path::Expr;
use crate::validate::grammar::Grammar;
use file::{PackFile, TypeKind};
pub(crate) use index::capitalised;
use index::{ChildIndex, Interner};

/// Number of a type in the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub(crate) u16);

/// Number of an element definition in the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElemId(pub(crate) u16);

/// Number of an element base name (without `[x]` and type suffix).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameId(pub(crate) u16);

impl TypeId {
    /// No type known.
    pub const NONE: TypeId = TypeId(u16::MAX);
}

impl NameId {
    /// No name of the definitions.
    pub const NONE: NameId = NameId(u16::MAX);
}

impl ElemId {
    /// No element known.
    pub const NONE: ElemId = ElemId(u16::MAX);
}

/// A type.
#[derive(Debug)]
pub struct Type {
    /// Name; nested structures have their path (`Observation.component`).
    pub name: Box<str>,
    /// Kind.
    pub kind: TypeKind,
    /// Base type.
    pub base: TypeId,
    /// Cannot be instantiated.
    pub is_abstract: bool,
    /// Elements in definition order.
    pub elements: Vec<ElemId>,
    /// Invariants.
    pub rules: Vec<Rule>,
}

/// An element definition within one type.
#[derive(Debug)]
pub struct Element {
    /// Base name.
    pub name: Box<str>,
    /// Interned base name.
    pub name_id: NameId,
    /// Least number.
    pub min: u32,
    /// Greatest number; `None` = unbounded.
    pub max: Option<u32>,
    /// A choice `[x]`: the JSON name carries the type.
    pub choice: bool,
    /// Types.
    pub types: Vec<TypeId>,
    /// Resource types that a reference may point to; empty = any.
    pub targets: Vec<TypeId>,
    /// In the summary.
    pub summary: bool,
    /// Modifier element.
    pub modifier: bool,
    /// Value set of a required binding, when its members are known.
    pub required: Option<u32>,
    /// Value set of an extensible binding, when its members are known.
    pub extensible: Option<u32>,
    /// Value set of a required binding that is a grammar or a registry rather than a list ([`crate::validate::grammar`]).
    pub grammar: Option<Grammar>,
    /// Invariants.
    pub rules: Vec<Rule>,
}

/// A compiled invariant.
#[derive(Debug)]
pub struct Rule {
    /// Key, e.g. `obs-6`.
    pub key: Box<str>,
    /// What breaking it means.
    pub severity: Severity,
    /// The expression; `None` when it does not compile.
    pub expr: Option<Expr>,
    /// What it means.
    pub human: Box<str>,
}

/// Members of a value set.
#[derive(Debug)]
pub struct ValueSet {
    /// Canonical URL.
    pub url: Box<str>,
    systems: Vec<Box<str>>,
    codes: HashMap<Box<str>, u16>,
    shared: Vec<(Box<str>, u16)>,
}

impl ValueSet {
    /// System of a code, the first when several systems have it.
    pub fn system_of(&self, code: &str) -> Option<&str> {
        self.codes
            .get(code)
            .and_then(|s| self.systems.get(usize::from(*s)))
            .map(AsRef::as_ref)
    }

    /// Whether (system, code) is a member.
    pub fn contains(&self, system: &str, code: &str) -> bool {
        let is = |s: u16| {
            self.systems
                .get(usize::from(s))
                .is_some_and(|n| n.as_ref() == system)
        };
        self.codes.get(code).is_some_and(|s| is(*s))
            || self
                .shared
                .iter()
                .any(|(c, s)| c.as_ref() == code && is(*s))
    }
}

/// Search parameter types (value set `search-param-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Text, folded.
    String,
    /// Code with system.
    Token,
    /// Reference to a resource.
    Reference,
    /// Point or period in time.
    Date,
    /// Plain number.
    Number,
    /// Number with unit.
    Quantity,
    /// URI.
    Uri,
    /// Tuple of the others.
    Composite,
    /// With rules of its own (`Location.near`).
    Special,
}

impl ParamKind {
    fn parse(text: &str) -> Option<ParamKind> {
        Some(match text {
            "string" => ParamKind::String,
            "token" => ParamKind::Token,
            "reference" => ParamKind::Reference,
            "date" => ParamKind::Date,
            "number" => ParamKind::Number,
            "quantity" => ParamKind::Quantity,
            "uri" => ParamKind::Uri,
            "composite" => ParamKind::Composite,
            "special" => ParamKind::Special,
            _ => return None,
        })
    }

    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ParamKind::String => "string",
            ParamKind::Token => "token",
            ParamKind::Reference => "reference",
            ParamKind::Date => "date",
            ParamKind::Number => "number",
            ParamKind::Quantity => "quantity",
            ParamKind::Uri => "uri",
            ParamKind::Composite => "composite",
            ParamKind::Special => "special",
        }
    }
}

/// A search parameter of one resource type.
#[derive(Debug)]
pub struct ParamInfo {
    /// Stable id with sub-kind 0; the index forms of the parameter are `id | sub` with sub < 16.
    pub id: u32,
    /// Type that defines it: the resource type, `Resource` or `DomainResource`.
    pub base: Box<str>,
    /// The name in the URL.
    pub code: Box<str>,
    /// Kind.
    pub kind: ParamKind,
    /// Data types that the expression yields.
    pub types: Vec<TypeId>,
    /// Resource types that a reference may point to; empty = any.
    pub targets: Vec<Box<str>>,
    /// FHIRPath text.
    pub expression: Box<str>,
    /// Compiled expression; `None` for parameters that are not computed from the resource (`_text`, `_query`).
    pub expr: Option<Expr>,
    /// Parts of a composite.
    pub parts: Vec<Part>,
}

impl ParamInfo {
    /// Whether values compare without regard to case (Identifier and ContactPoint; R4 leaves it to the server).
    pub fn folds_case(&self, pack: &Pack) -> bool {
        !self.types.is_empty()
            && self
                .types
                .iter()
                .all(|t| *t == pack.known.identifier || *t == pack.known.contact_point)
    }

    /// Whether any value may span a range rather than be a point.
    pub fn yields(&self, ty: TypeId) -> bool {
        self.types.contains(&ty)
    }
}

/// One part of a composite parameter.
#[derive(Debug)]
pub struct Part {
    /// Code of the parameter that it behaves like.
    pub code: Box<str>,
    /// Kind of that parameter.
    pub kind: ParamKind,
    /// Whether its tokens compare without regard to case.
    pub folds_case: bool,
    /// Expression within the composite's element.
    pub expr: Expr,
}

/// Types that code names directly because they have rules of their own.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Known {
    pub resource: TypeId,
    pub domain_resource: TypeId,
    pub element: TypeId,
    pub backbone: TypeId,
    pub extension: TypeId,
    pub coding: TypeId,
    pub codeable_concept: TypeId,
    pub identifier: TypeId,
    pub contact_point: TypeId,
    pub human_name: TypeId,
    pub address: TypeId,
    pub reference: TypeId,
    pub quantity: TypeId,
    pub money: TypeId,
    pub range: TypeId,
    pub period: TypeId,
    pub timing: TypeId,
    pub sampled_data: TypeId,
    pub string: TypeId,
    pub markdown: TypeId,
    pub code: TypeId,
    pub id: TypeId,
    pub uri: TypeId,
    pub url: TypeId,
    pub canonical: TypeId,
    pub oid: TypeId,
    pub uuid: TypeId,
    pub boolean: TypeId,
    pub integer: TypeId,
    pub positive_int: TypeId,
    pub unsigned_int: TypeId,
    pub decimal: TypeId,
    pub date: TypeId,
    pub date_time: TypeId,
    pub instant: TypeId,
    pub time: TypeId,
    pub base64: TypeId,
    pub xhtml: TypeId,
}

/// The loaded pack.
#[derive(Debug)]
pub struct Pack {
    /// FHIR version, `4.0.1`.
    pub fhir_version: Box<str>,
    /// Where the facts come from.
    pub source: Box<str>,
    types: Vec<Type>,
    elements: Vec<Element>,
    names: Interner,
    by_name: HashMap<Box<str>, TypeId>,
    children: ChildIndex,
    value_sets: Vec<ValueSet>,
    params: Vec<ParamInfo>,
    param_of: HashMap<(TypeId, Box<str>), u32>,
    params_of_type: HashMap<TypeId, Vec<u32>>,
    param_by_id: HashMap<u32, u32>,
    compartments: HashMap<Box<str>, HashMap<Box<str>, Vec<u32>>>,
    /// Frequently named types.
    pub known: Known,
}

/// Why a pack could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The compressed file is damaged.
    #[error("definition pack cannot be decompressed: {0}")]
    Zstd(#[from] std::io::Error),
    /// The content is not a pack.
    #[error("definition pack cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Written for another layout.
    #[error(
        "definition pack has format {0}; this program reads {1}; run `cargo xtask definitions`"
    )]
    Format(u32, u32),
    /// A fact does not hold together.
    #[error("definition pack is inconsistent: {0}")]
    Inconsistent(String),
}

static R4_BYTES: &[u8] = include_bytes!("../../pack/r4.json.zst");

impl Pack {
    /// The pack built into the program: R4 4.0.1. Loaded at first use (tens of milliseconds).
    ///
    /// # Panics
    /// When the embedded pack is damaged, which its test excludes.
    pub fn r4() -> &'static Pack {
        static PACK: LazyLock<Pack> = LazyLock::new(|| match Pack::read(R4_BYTES) {
            Ok(p) => p,
            #[allow(clippy::panic)]
            Err(e) => panic!("{e}"),
        });
        &PACK
    }

    /// Facts of the embedded pack as written, for the test against the source.
    pub fn r4_file() -> Result<PackFile, PackError> {
        Pack::decode(R4_BYTES)
    }

    fn decode(bytes: &[u8]) -> Result<PackFile, PackError> {
        let text = zstd::decode_all(bytes)?;
        let file: PackFile = serde_json::from_slice(&text)?;
        if file.format != file::FORMAT {
            return Err(PackError::Format(file.format, file::FORMAT));
        }
        Ok(file)
    }

    /// Reads a compressed pack.
    pub fn read(bytes: &[u8]) -> Result<Pack, PackError> {
        Pack::from_file(&Pack::decode(bytes)?)
    }

    /// Type by name.
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// Type by number.
    pub fn type_of(&self, id: TypeId) -> Option<&Type> {
        self.types.get(usize::from(id.0))
    }

    /// Name of a type, empty for [`TypeId::NONE`].
    pub fn type_name(&self, id: TypeId) -> &str {
        self.type_of(id).map_or("", |t| &t.name)
    }

    /// Element definition by number.
    pub fn element(&self, id: ElemId) -> Option<&Element> {
        self.elements.get(usize::from(id.0))
    }

    /// Element, type and base name of the child with this JSON name (`valueQuantity`).
    #[inline]
    pub fn child(&self, parent: TypeId, json_name: &[u8]) -> Option<(ElemId, TypeId, NameId)> {
        self.children.get(parent, json_name)
    }

    /// Number of a base name that occurs in the definitions.
    pub fn name_id(&self, name: &str) -> Option<NameId> {
        self.names.get(name).map(NameId)
    }

    /// Whether `ty` is `base` or derives from it.
    pub fn is_a(&self, ty: TypeId, base: TypeId) -> bool {
        let mut t = ty;
        while t != TypeId::NONE {
            if t == base {
                return true;
            }
            t = self.type_of(t).map_or(TypeId::NONE, |x| x.base);
        }
        false
    }

    /// Whether the type is a primitive.
    pub fn is_primitive(&self, ty: TypeId) -> bool {
        self.type_of(ty)
            .is_some_and(|t| t.kind == TypeKind::Primitive)
    }

    /// A concrete resource type by name.
    pub fn resource_type(&self, name: &str) -> Option<TypeId> {
        let id = self.type_id(name)?;
        self.type_of(id)
            .filter(|t| t.kind == TypeKind::Resource && !t.is_abstract)
            .map(|_| id)
    }

    /// All concrete resource type names, in definition order.
    pub fn resource_types(&self) -> impl Iterator<Item = &str> {
        self.types
            .iter()
            .filter(|t| t.kind == TypeKind::Resource && !t.is_abstract)
            .map(|t| t.name.as_ref())
    }

    /// All types.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types
            .iter()
            .enumerate()
            .map(|(i, t)| (TypeId(u16::try_from(i).unwrap_or(u16::MAX)), t))
    }

    /// Value set by number.
    pub fn value_set(&self, index: u32) -> Option<&ValueSet> {
        self.value_sets.get(usize::try_from(index).ok()?)
    }

    /// Value set by URL, with or without version.
    pub fn value_set_by_url(&self, url: &str) -> Option<&ValueSet> {
        let url = url.split('|').next().unwrap_or_default();
        self.value_sets.iter().find(|v| v.url.as_ref() == url)
    }

    /// Search parameter of a resource type by its code; common ones (`_id`, `_tag`) are found on every type.
    pub fn param(&self, resource_type: &str, code: &str) -> Option<&ParamInfo> {
        let ty = self.type_id(resource_type)?;
        self.param_of
            .get(&(ty, Box::from(code)))
            .and_then(|i| self.params.get(usize::try_from(*i).ok()?))
    }

    /// Search parameter by id (any sub-kind).
    pub fn param_by_id(&self, id: u32) -> Option<&ParamInfo> {
        self.param_by_id
            .get(&(id & !0xF))
            .and_then(|i| self.params.get(usize::try_from(*i).ok()?))
    }

    /// All search parameters of a resource type, common ones included.
    pub fn params(&self, ty: TypeId) -> impl Iterator<Item = &ParamInfo> {
        self.params_of_type
            .get(&ty)
            .into_iter()
            .flatten()
            .filter_map(|i| self.params.get(usize::try_from(*i).ok()?))
    }

    /// Parameters that put a resource of a type into a compartment, in definition order (subject first).
    pub fn compartment(
        &self,
        compartment: &str,
        resource_type: &str,
    ) -> impl Iterator<Item = &ParamInfo> {
        self.compartments
            .get(compartment)
            .and_then(|m| m.get(resource_type))
            .into_iter()
            .flatten()
            .filter_map(|i| self.params.get(usize::try_from(*i).ok()?))
    }

    /// Resource types that can be in a compartment.
    pub fn compartment_types(&self, compartment: &str) -> impl Iterator<Item = &str> {
        self.compartments
            .get(compartment)
            .into_iter()
            .flat_map(|m| m.keys().map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests;
