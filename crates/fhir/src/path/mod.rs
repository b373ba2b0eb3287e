//! FHIRPath (N1, with the FHIR additions of R4): compiled once, evaluated over [`crate::doc::Doc`] nodes.
//!
//! Paths, `where`, `exists`, `ofType` and friends stream items to a callback and allocate nothing; functions that need a
//! whole collection gather it. Every evaluation has a step budget, so that no document or expression runs away.

pub mod ast;
mod boundary;
mod cache;
pub mod check;
mod coded;
mod convert;
mod eval;
pub mod func;
mod funcs;
mod host;
mod math;
mod ops;
mod parse;
mod text;
mod value;

pub use cache::compiled;
pub use convert::to_text;
pub(crate) use eval::resolve_reference;
pub use eval::{Env, EvalError, Flow};
pub use host::{Docs, Host};
pub use parse::CompileError;
pub(crate) use parse::Resolver;
pub use value::{Item, Quantity};

use crate::pack::{NameId, Pack, TypeId};
use ast::Ast;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expr {
    text: Box<str>,
    ast: Ast,
}

struct PackNames<'p>(&'p Pack);

impl Resolver for PackNames<'_> {
    fn name(&self, name: &str) -> Option<NameId> {
        self.0.name_id(name)
    }
    fn ty(&self, name: &str) -> Option<TypeId> {
        self.0.type_id(name)
    }
}

impl Expr {
    /// Compiles an expression against the built-in definitions.
    pub fn compile(text: &str) -> Result<Expr, CompileError> {
        Expr::compile_with(text, &PackNames(Pack::r4()))
    }

    pub(crate) fn compile_with(text: &str, resolver: &dyn Resolver) -> Result<Expr, CompileError> {
        Ok(Expr {
            text: Box::from(text),
            ast: parse::parse(text, resolver)?,
        })
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The syntax tree.
    pub fn ast(&self) -> &Ast {
        &self.ast
    }
}

/// Parses without resolving names: for tools that look at an expression's shape.
pub fn parse_shape(text: &str) -> Result<Ast, CompileError> {
    parse::parse(text, &parse::NoNames)
}

/// Calendar duration keyword → its singular form.
pub(crate) fn calendar_unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "year" | "years" => "year",
        "month" | "months" => "month",
        "week" | "weeks" => "week",
        "day" | "days" => "day",
        "hour" | "hours" => "hour",
        "minute" | "minutes" => "minute",
        "second" | "seconds" => "second",
        "millisecond" | "milliseconds" => "millisecond",
        _ => return None,
    })
}

/// Order of two primitive or quantity elements; `None` when they have none.
pub(crate) fn compare_nodes(
    a: crate::doc::Node<'_>,
    b: crate::doc::Node<'_>,
) -> Option<std::cmp::Ordering> {
    value::compare(&Item::Node(a), &Item::Node(b)).ok()
}

#[cfg(test)]
mod tests;
