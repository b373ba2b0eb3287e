//! The pack as it lies in its file: plain serde structs written by `cargo xtask definitions` and read once at start.

use serde::{Deserialize, Serialize};

/// Layout number of the pack file; raised when the structs below change meaning.
pub const FORMAT: u32 = 2;

/// Everything derived from the definitions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct PackFile {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// FHIR version of the facts, `4.0.1`.
    pub fhir_version: String,
    /// Package and version that the facts come from.
    pub source: String,
    /// All types, parents before their backbone children.
    pub types: Vec<TypeFact>,
    /// Value sets of required and extensible bindings whose members can be listed.
    pub value_sets: Vec<ValueSetFact>,
    /// Search parameters, one per resource type and code.
    pub params: Vec<ParamFact>,
    /// The five compartments.
    pub compartments: Vec<CompartmentFact>,
}

/// What kind of type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TypeKind {
    /// A primitive data type (`string`).
    #[serde(rename = "p")]
    Primitive,
    /// A complex data type (`HumanName`).
    #[serde(rename = "c")]
    Complex,
    /// A resource type, abstract ones included.
    #[serde(rename = "r")]
    Resource,
    /// A nested structure (`Observation.component`).
    #[serde(rename = "b")]
    Backbone,
}

/// One type.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct TypeFact {
    /// Name; nested structures have their path.
    pub name: String,
    /// Kind.
    pub kind: TypeKind,
    /// Base type name, empty for the roots.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
    /// Cannot be instantiated.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_abstract: bool,
    /// Elements in definition order, inherited ones included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<ElementFact>,
    /// Invariants on the whole type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleFact>,
}

/// One element of a type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct ElementFact {
    /// Name without `[x]`.
    pub name: String,
    /// Least number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min: u32,
    /// Greatest number; 0 stands for `*`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max: u32,
    /// A choice `[x]`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub choice: bool,
    /// Type names (or the nested structure's name).
    pub types: Vec<String>,
    /// Resource types that a Reference or canonical may point to; empty = any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// In the summary.
    #[serde(default, skip_serializing_if = "is_false")]
    pub summary: bool,
    /// Modifier element.
    #[serde(default, skip_serializing_if = "is_false")]
    pub modifier: bool,
    /// URL of the value set of a required binding.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub required: String,
    /// URL of the value set of an extensible binding.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub extensible: String,
    /// Invariants on the element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleFact>,
}

/// An invariant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct RuleFact {
    /// Key, e.g. `obs-6`.
    pub key: String,
    /// `error`, `warning`, or `advice` for what the definitions call best practice.
    pub severity: String,
    /// FHIRPath.
    pub expression: String,
    /// What it means, as the definitions put it.
    pub human: String,
}

/// The members of a value set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct ValueSetFact {
    /// Canonical URL without version.
    pub url: String,
    /// (system, codes) in definition order.
    pub systems: Vec<(String, Vec<String>)>,
}

/// A search parameter on one resource type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct ParamFact {
    /// Stable number of (type, code); never reused.
    pub id: u32,
    /// Resource type, or `Resource` / `DomainResource` for the common ones.
    pub base: String,
    /// The name in the URL.
    pub code: String,
    /// `string`, `token`, …
    pub kind: String,
    /// FHIRPath, already cut down to this type.
    pub expression: String,
    /// Data types that the expression yields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Target resource types of a reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Parts of a composite: (code of the part's parameter, expression).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(String, String)>,
}

/// A compartment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct CompartmentFact {
    /// `Patient`, …
    pub code: String,
    /// Resource type → parameter codes (never empty).
    pub members: Vec<(String, Vec<String>)>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(b: &bool) -> bool {
    !*b
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
