//! The compiled form of a FHIRPath expression.

use rust_decimal::Decimal;

use crate::datetime::{Clock, Moment};
use crate::pack::{NameId, TypeId};

use super::func::Func;

/// An identifier in a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// As written.
    pub text: Box<str>,
    /// Interned element name, when the definitions know it.
    pub id: Option<NameId>,
    /// Resource or data type of that name, when there is one (`Patient.name`: the first step names the context's type).
    pub ty: Option<TypeId>,
}

/// A type specifier (`FHIR.Quantity`, `System.String`, `Patient`).
#[derive(Debug, Clone, PartialEq)]
pub struct TypeSpec {
    /// `FHIR`, `System` or empty.
    pub namespace: Box<str>,
    /// Type name.
    pub name: Box<str>,
    /// The FHIR type, when the definitions know it.
    pub ty: Option<TypeId>,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Dec(Decimal),
    Str(Box<str>),
    Date(Moment),
    DateTime(Moment),
    Time(Clock),
    Quantity(Decimal, Box<str>),
}

/// Binary operators other than `is` and `as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Mul,
    Div,
    IntDiv,
    Mod,
    Add,
    Sub,
    Concat,
    Union,
    Lt,
    Gt,
    Le,
    Ge,
    Eq,
    Equiv,
    Ne,
    NotEquiv,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

/// An expression. `base` is what stands left of the dot; without one the expression starts at `$this`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Ast {
    Empty,
    Literal(Literal),
    This,
    Index,
    Total,
    Constant(Box<str>),
    Member {
        base: Option<Box<Ast>>,
        name: Name,
    },
    Call {
        base: Option<Box<Ast>>,
        func: Func,
        args: Vec<Ast>,
    },
    Item {
        base: Box<Ast>,
        index: Box<Ast>,
    },
    Negate(Box<Ast>),
    Plus(Box<Ast>),
    Is(Box<Ast>, TypeSpec),
    As(Box<Ast>, TypeSpec),
    Binary(Op, Box<Ast>, Box<Ast>),
}

impl Ast {
    /// The alternatives of a top-level union, left to right (`a | b | c`).
    pub fn alternatives(&self) -> Vec<&Ast> {
        match self {
            Ast::Binary(Op::Union, a, b) => {
                let mut v = a.alternatives();
                v.extend(b.alternatives());
                v
            }
            other => vec![other],
        }
    }
}
