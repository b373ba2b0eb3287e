//! What an operation is given: parameters of the URL, of a form and of a `Parameters` body, as one list.

use crate::http::Call;
use crate::outcome::{Failure, Issue};
use axum::http::{Method, StatusCode};
use fhir::{Doc, Node};

/// Most parameters of one call.
const MAX_PARAMETERS: usize = 1_000;

/// Parameters, read.
pub(crate) struct Input {
    /// Name and text of each primitive parameter, in order.
    values: Vec<(String, String)>,
    /// The body, when it is a `Parameters` resource.
    body: Option<Doc>,
}

/// Parameters of the URL and of a form, and the resource in the body of a POST.
pub(super) type Given = (Vec<(String, String)>, Option<Doc>);

/// Reads them; a POST may come without body.
pub(super) fn given(call: &Call) -> Result<Given, Failure> {
    let mut values: Vec<(String, String)> = call
        .query
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "_format" | "_pretty"))
        .cloned()
        .collect();
    if call.method != Method::POST || call.body.is_empty() {
        return Ok((values, None));
    }
    if call.media_type() == "application/x-www-form-urlencoded" {
        values.extend(crate::params::decode(&call.body));
        return Ok((values, None));
    }
    Ok((values, Some(call.document()?)))
}

impl Input {
    /// Reads the call. A POST may come without body.
    ///
    /// Errors: 400 for a body that is not `Parameters` or is not readable, 415 for another kind of body.
    pub fn read(call: &Call) -> Result<Self, Failure> {
        let (mut values, body) = given(call)?;
        if let Some(doc) = &body {
            if doc.resource_type() != "Parameters" {
                return Err(Failure::bad("invalid", "the body must be Parameters"));
            }
            for parameter in doc.root().all("parameter") {
                values.extend(primitive(parameter));
            }
        }
        if values.len() > MAX_PARAMETERS {
            return Err(Failure::too_costly(format!(
                "an operation takes at most {MAX_PARAMETERS} parameters"
            )));
        }
        Ok(Self { values, body })
    }

    /// From parameters alone (a page link).
    pub fn of(values: Vec<(String, String)>) -> Self {
        Self { values, body: None }
    }

    /// All of them, in order.
    pub fn into_values(self) -> Vec<(String, String)> {
        self.values
    }

    /// All values of a parameter.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.values
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The value of a parameter that comes at most once.
    pub fn one<'s>(&'s self, name: &'s str) -> Result<Option<&'s str>, Failure> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Failure::bad("invalid", format!("{name} is given twice")).on(name));
        }
        Ok(first)
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.one(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Failure::bad("value", format!("{name} must be true or false")).on(name)),
        }
    }

    /// A number from `least` on.
    pub fn number(&self, name: &str, least: usize) -> Result<Option<usize>, Failure> {
        self.one(name)?
            .map(|text| {
                text.parse::<usize>()
                    .ok()
                    .filter(|n| *n >= least && text.bytes().all(|b| b.is_ascii_digit()))
                    .ok_or_else(|| {
                        Failure::bad("value", format!("{name} must be a number from {least} on"))
                            .on(name)
                    })
            })
            .transpose()
    }

    /// All values, comma lists taken apart.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .flat_map(|v| v.split(','))
            .map(str::trim)
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Refuses parameters that the operation does not have; a lenient caller gets warnings instead.
    pub fn only(&self, names: &[&str], is_lenient: bool) -> Result<Vec<Issue>, Failure> {
        let mut ignored = Vec::new();
        for (name, _) in &self.values {
            if names.contains(&name.as_str()) {
                continue;
            }
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let text = format!("this operation has no parameter {shown}");
            if !is_lenient {
                return Err(Failure::new(StatusCode::BAD_REQUEST, "not-supported", text));
            }
            ignored.push(Issue::warning("not-supported", text));
        }
        Ok(ignored)
    }

    /// The parameter of the body with this name.
    pub fn part(&self, name: &str) -> Option<Node<'_>> {
        self.body
            .as_ref()?
            .root()
            .all("parameter")
            .find(|p| p.str_at("name") == Some(name))
    }

    /// All parameters of the body with this name.
    pub fn parts<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Node<'s>> {
        self.body
            .iter()
            .flat_map(|body| body.root().all("parameter"))
            .filter(move |p| p.str_at("name") == Some(name))
    }

    /// The resource given under this name.
    pub fn resource(&self, name: &str) -> Option<Node<'_>> {
        self.part(name)?.get("resource")
    }
}

fn primitive(parameter: Node<'_>) -> Option<(String, String)> {
    let name = parameter.str_at("name")?;
    let value = parameter
        .fields()
        .find(|f| f.name().starts_with("value"))?
        .value_text()?;
    Some((name.to_owned(), value.to_owned()))
}
