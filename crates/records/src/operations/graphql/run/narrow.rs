//! Elements that arguments and directives let through, by FHIRPath, place or value.

use super::{Runner, bad, shown};
use crate::operations::graphql::parse::{Directive, Field, Value};
use crate::outcome::Failure;
use fhir::Node;
use fhir::path::{Expr, Item};

impl Runner<'_> {
    /// Elements that the arguments let through: `fhirpath`, `_offset`, `_count`, and values of their own elements.
    pub(super) fn filtered<'d>(
        &self,
        node: Node<'d>,
        field: &Field,
        mut values: Vec<Node<'d>>,
    ) -> Result<Vec<Node<'d>>, Failure> {
        for (name, _) in &field.arguments {
            let Some(wanted) = self.argument(field, name)? else {
                continue;
            };
            match name.as_str() {
                "_offset" | "_count" => {}
                "fhirpath" => values = by_path(&wanted, values)?,
                _ => {
                    if values.iter().any(|v| !is_element(*v, name)) {
                        return Err(bad(format!(
                            "{}.{} has no element {}",
                            node.resource_type().unwrap_or(node.type_name()),
                            shown(&field.name),
                            shown(name)
                        )));
                    }
                    values.retain(|v| v.all(name).any(|n| n.value_text() == Some(&wanted)));
                }
            }
        }
        if let Some(offset) = self.number(field, "_offset")? {
            values.drain(..offset.min(values.len()));
        }
        if let Some(count) = self.number(field, "_count")? {
            values.truncate(count);
        }
        Ok(values)
    }

    /// What `@slice(path:)` puts behind the names.
    pub(super) fn slice(
        &self,
        slice: &Directive,
        value: Node<'_>,
        index: usize,
    ) -> Result<String, Failure> {
        let path = slice.arguments.iter().find(|(name, _)| name == "path");
        let path = match path.map(|(_, v)| self.value(v)).transpose()? {
            Some(Value::Text(path)) => path,
            _ => return Err(bad("@slice takes path, a string")),
        };
        if path == "$index" {
            return Ok(format!(".{index}"));
        }
        let expr = compiled(&path)?;
        let items = evaluated(&expr, value)?;
        match items.as_slice() {
            [] => Ok(String::new()),
            [one] => Ok(one
                .as_text()
                .map_or_else(String::new, |text| format!(".{text}"))),
            _ => Err(bad(
                "@slice: the path yields several values for one element",
            )),
        }
    }
}

fn is_element(node: Node<'_>, name: &str) -> bool {
    node.doc()
        .pack()
        .child(node.type_id(), name.as_bytes())
        .is_some()
}

fn compiled(path: &str) -> Result<Expr, Failure> {
    Expr::compile(path).map_err(|_| bad("the FHIRPath expression cannot be read"))
}

fn evaluated<'d>(expr: &'d Expr, node: Node<'d>) -> Result<Vec<Item<'d>>, Failure> {
    expr.eval(node, edge::clock::real_now_us())
        .map_err(|_| bad("the FHIRPath expression cannot be evaluated here"))
}

/// Elements for which the expression holds.
fn by_path<'d>(path: &str, values: Vec<Node<'d>>) -> Result<Vec<Node<'d>>, Failure> {
    let expr = compiled(path)?;
    let mut kept = Vec::with_capacity(values.len());
    for value in values {
        let env = fhir::path::Env::new(value, edge::clock::real_now_us());
        let holds = expr
            .test(&env)
            .map_err(|_| bad("the FHIRPath expression cannot be evaluated here"))?;
        if holds == Some(true) {
            kept.push(value);
        }
    }
    Ok(kept)
}
