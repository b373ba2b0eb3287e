//! The compiled form of a profile.

use std::sync::Arc;

use super::value::Value;
use crate::finding::{Finding, Severity};
use crate::pack::TypeId;
use crate::path::Expr;

/// A profile or extension definition, ready to be applied.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Canonical URL without version.
    pub url: Box<str>,
    /// Business version, empty when the definition has none.
    pub version: Box<str>,
    /// The type it constrains.
    pub ty: TypeId,
    /// Derives from another profile that is not R4's own.
    pub is_derived: bool,
    /// What was left out of the compiled form, and why.
    pub notes: Vec<Finding>,
    /// Where an extension may stand; empty for other profiles.
    pub(super) contexts: Vec<Context>,
    /// An extension that changes the meaning of what it stands on.
    pub(super) is_modifier: bool,
    pub(super) root: Constraint,
}

/// Where an extension may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Context {
    /// Element or type, by its path in the definitions.
    Element(Box<str>),
    /// Inside another extension.
    Extension(Box<str>),
    /// On what an expression selects from the resource.
    Path(Box<str>),
}

/// What a profile says of one element. `None` and empty mean: nothing beyond the base.
#[derive(Debug, Clone, Default)]
pub(super) struct Constraint {
    /// Base name of the element, without `[x]`; the slice's name in a slice; empty for the root.
    pub name: Box<str>,
    pub min: Option<u32>,
    /// `Some(None)` = unbounded.
    pub max: Option<Option<u32>>,
    pub types: Vec<TypeRef>,
    pub fixed: Option<Value>,
    pub pattern: Option<Value>,
    pub least: Option<Value>,
    pub greatest: Option<Value>,
    pub max_length: Option<u32>,
    pub binding: Option<Binding>,
    pub rules: Vec<ProfileRule>,
    pub slicing: Option<Slicing>,
    /// Named parts of a repeating element (or the types of a choice), in definition order.
    pub slices: Vec<Constraint>,
    pub children: Vec<Constraint>,
    /// The definition has a row for the element itself.
    pub is_explicit: bool,
    /// A choice element: its slices are told apart by type.
    pub is_choice: bool,
}

/// An allowed type.
#[derive(Debug, Clone)]
pub(super) struct TypeRef {
    /// `NONE` for the system types of `id` and `url`, which every text fits.
    pub ty: TypeId,
    /// The element conforms to one of them.
    pub profiles: Vec<Box<str>>,
    /// A reference leads to one of them.
    pub targets: Vec<Box<str>>,
    /// Where the target is: `contained`, `bundled`, `referenced`; empty = anywhere.
    pub aggregation: Vec<Box<str>>,
}

/// A binding that is checked.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    /// Required, else extensible.
    pub required: bool,
    pub value_set: Box<str>,
}

/// An invariant.
#[derive(Debug, Clone)]
pub(super) struct ProfileRule {
    pub key: Box<str>,
    pub severity: Severity,
    pub human: Box<str>,
    pub expr: Arc<Expr>,
}

/// How an element is cut into slices.
#[derive(Debug, Clone)]
pub(super) struct Slicing {
    pub discriminators: Vec<Discriminator>,
    pub rules: Openness,
    pub ordered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Openness {
    Open,
    Closed,
    OpenAtEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `value` and `pattern`, which R4 tells apart by name only.
    Value,
    Exists,
    Type,
    Profile,
}

#[derive(Debug, Clone)]
pub(super) struct Discriminator {
    pub kind: Kind,
    pub path: Vec<Walk>,
}

/// One step of a discriminator path: the restricted FHIRPath of R4 profiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Walk {
    Member(Box<str>),
    Extension(Box<str>),
    OfType(Box<str>),
    Resolve,
}

impl Constraint {
    pub fn named(name: &str) -> Constraint {
        Constraint {
            name: Box::from(name),
            ..Constraint::default()
        }
    }

    pub fn child(&self, name: &str) -> Option<&Constraint> {
        self.children.iter().find(|c| &*c.name == name)
    }

    pub fn child_mut(&mut self, name: &str) -> Option<&mut Constraint> {
        let at = match self.children.iter().position(|c| &*c.name == name) {
            Some(at) => at,
            None => {
                self.children.push(Constraint::named(name));
                self.children.len() - 1
            }
        };
        self.children.get_mut(at)
    }

    pub fn slice_mut(&mut self, name: &str) -> Option<&mut Constraint> {
        let at = match self.slices.iter().position(|c| &*c.name == name) {
            Some(at) => at,
            None => {
                self.slices.push(Constraint::named(name));
                self.slices.len() - 1
            }
        };
        self.slices.get_mut(at)
    }

    /// Nothing but a name.
    pub fn says_nothing(&self) -> bool {
        self.min.is_none()
            && self.max.is_none()
            && self.types.is_empty()
            && self.fixed.is_none()
            && self.pattern.is_none()
            && self.least.is_none()
            && self.greatest.is_none()
            && self.max_length.is_none()
            && self.binding.is_none()
            && self.rules.is_empty()
            && self.slicing.is_none()
            && self.slices.is_empty()
            && self.children.is_empty()
    }

    /// Drops parts that say nothing.
    pub fn prune(&mut self) {
        for c in self.children.iter_mut().chain(&mut self.slices) {
            c.prune();
        }
        self.children.retain(|c| !c.says_nothing());
    }
}
