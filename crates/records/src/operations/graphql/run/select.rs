//! What of a query applies: fragments, directives, variables, arguments.

use super::{MAX_WALK, Runner, bad, shown};
use crate::operations::graphql::parse::{Directive, Field, Selection, Value};
use crate::outcome::Failure;
use fhir::Node;

/// Fields of one name in the answer, their selections joined.
pub(super) struct Picked<'q> {
    pub(super) field: &'q Field,
    pub(super) selections: Vec<&'q [Selection]>,
}

impl Runner<'_> {
    /// Selections that apply to a type, fragments opened, fields of one name joined.
    pub(super) fn pick<'q>(
        &'q self,
        lists: &[&'q [Selection]],
        node: Option<Node<'_>>,
    ) -> Result<Vec<Picked<'q>>, Failure> {
        let mut out: Vec<Picked<'q>> = Vec::new();
        for list in lists {
            self.pick_into(list, node, &mut out, 0)?;
        }
        Ok(out)
    }

    fn pick_into<'q>(
        &'q self,
        list: &'q [Selection],
        node: Option<Node<'_>>,
        out: &mut Vec<Picked<'q>>,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth > MAX_WALK {
            return Err(bad(
                "fragments are nested too deeply, or contain themselves",
            ));
        }
        for selection in list {
            self.step()?;
            let (directives, on, inner) = match selection {
                Selection::Field(field) => {
                    if !self.is_included(&field.directives)? {
                        continue;
                    }
                    let same = out.iter_mut().find(|p| p.field.key() == field.key());
                    match same {
                        Some(picked) => {
                            if picked.field.name != field.name
                                || picked.field.arguments != field.arguments
                                || picked.field.directives != field.directives
                            {
                                return Err(bad(format!(
                                    "two different fields are called {}",
                                    shown(field.key())
                                )));
                            }
                            picked.selections.push(&field.selections);
                        }
                        None => out.push(Picked {
                            field,
                            selections: vec![&field.selections],
                        }),
                    }
                    continue;
                }
                Selection::Spread { name, directives } => {
                    let fragment = self
                        .document
                        .fragments
                        .iter()
                        .find(|f| f.name == *name)
                        .ok_or_else(|| bad(format!("there is no fragment {}", shown(name))))?;
                    (directives, Some(fragment.on.as_str()), &fragment.selections)
                }
                Selection::Inline {
                    on,
                    directives,
                    selections,
                } => (directives, on.as_deref(), selections),
            };
            if self.is_included(directives)? && applies(on, node) {
                self.pick_into(inner, node, out, depth + 1)?;
            }
        }
        Ok(())
    }

    /// `@skip` and `@include`.
    fn is_included(&self, directives: &[Directive]) -> Result<bool, Failure> {
        for directive in directives {
            let wish = match directive.name.as_str() {
                "skip" => false,
                "include" => true,
                "flatten" | "first" | "singleton" | "slice" => continue,
                other => return Err(bad(format!("there is no directive @{}", shown(other)))),
            };
            let given = directive.arguments.iter().find(|(name, _)| name == "if");
            match given.map(|(_, value)| self.value(value)).transpose()? {
                Some(Value::Bool(b)) if b != wish => return Ok(false),
                Some(Value::Bool(_)) => {}
                _ => return Err(bad("@skip and @include take if: true or false")),
            }
        }
        Ok(true)
    }

    /// A value with its variables filled in.
    pub(super) fn value(&self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::Variable(name) => self
                .variables
                .get(name)
                .cloned()
                .ok_or_else(|| bad(format!("the variable {} is not declared", shown(name))))?,
            Value::List(list) => Value::List(
                list.iter()
                    .map(|v| self.value(v))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        })
    }

    /// An argument as text; lists joined by commas (OR). `None`: not given, or null.
    pub(super) fn argument(&self, field: &Field, name: &str) -> Result<Option<String>, Failure> {
        match field.arguments.iter().find(|(n, _)| n == name) {
            None => Ok(None),
            Some((_, value)) => text_of(&self.value(value)?),
        }
    }

    pub(super) fn number(&self, field: &Field, name: &str) -> Result<Option<usize>, Failure> {
        self.argument(field, name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| Failure::bad("value", format!("{name} must be a number")))
            })
            .transpose()
    }
}

fn applies(on: Option<&str>, node: Option<Node<'_>>) -> bool {
    let (Some(on), Some(node)) = (on, node) else {
        return true;
    };
    let pack = node.doc().pack();
    node.resource_type() == Some(on)
        || node.type_name() == on
        || pack
            .type_id(on)
            .is_some_and(|base| pack.is_a(node.type_id(), base))
}

/// A variable's value.
pub(super) fn of_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as J;
    match value {
        J::Null => Value::Null,
        J::Bool(b) => Value::Bool(*b),
        J::Number(n) => Value::Number(n.to_string()),
        J::String(s) => Value::Text(s.clone()),
        J::Array(list) => Value::List(list.iter().map(of_json).collect()),
        J::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), of_json(value)))
                .collect(),
        ),
    }
}

fn text_of(value: &Value) -> Result<Option<String>, Failure> {
    Ok(match value {
        Value::Null => None,
        Value::Number(text) | Value::Text(text) | Value::Enum(text) => Some(text.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::List(list) => {
            let mut parts = Vec::with_capacity(list.len());
            for item in list {
                parts.extend(text_of(item)?);
            }
            Some(parts.join(","))
        }
        Value::Object(_) | Value::Variable(_) => {
            return Err(bad("an argument takes a value or a list of values"));
        }
    })
}
