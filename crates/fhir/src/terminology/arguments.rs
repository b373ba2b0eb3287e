//! Parameters of an operation, from a query string or a Parameters resource, under one face.

use super::TerminologyError;
use super::compose::{Settings, Versions};
use super::language::Languages;
use super::source::{Held, split_canonical};
use crate::doc::Node;

/// Most parameters of one call.
const MAX_ARGUMENTS: usize = 1_000;

#[derive(Clone, Copy)]
enum Given<'d> {
    Text(&'d str),
    Node(Node<'d>),
}

/// What an operation was called with.
#[derive(Clone, Default)]
pub struct Arguments<'d> {
    list: Vec<(&'d str, Given<'d>)>,
    /// `Accept-Language` of the request.
    pub accept_language: Option<&'d str>,
}

/// A code with what was said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coding {
    pub system: Option<String>,
    pub version: Option<String>,
    pub code: Option<String>,
    pub display: Option<String>,
}

fn wrong(name: &str, expected: &str) -> TerminologyError {
    TerminologyError::Invalid {
        code: "value",
        text: format!("parameter {name} must be {expected}"),
    }
}

/// A parameter that must be there is not.
pub(super) fn missing(text: impl Into<String>) -> TerminologyError {
    TerminologyError::Invalid {
        code: "required",
        text: text.into(),
    }
}

impl Coding {
    pub fn read(node: Node<'_>) -> Coding {
        let text = |name: &str| node.str_at(name).map(str::to_owned);
        Coding {
            system: text("system"),
            version: text("version"),
            code: text("code"),
            display: text("display"),
        }
    }
}

impl<'d> Arguments<'d> {
    /// Parameters of a query string.
    pub fn from_query(query: &'d [(String, String)]) -> Result<Arguments<'d>, TerminologyError> {
        let mut out = Arguments::default();
        for (name, value) in query {
            out.push(name, Given::Text(value))?;
        }
        Ok(out)
    }

    /// Adds the parameters of a Parameters resource.
    pub fn add_parameters(&mut self, parameters: Node<'d>) -> Result<(), TerminologyError> {
        if parameters.resource_type() != Some("Parameters") {
            return Err(TerminologyError::Invalid {
                code: "structure",
                text: "the body must be a Parameters resource".to_owned(),
            });
        }
        for parameter in parameters.all("parameter") {
            let name = parameter.str_at("name").unwrap_or_default();
            self.push(name, Given::Node(parameter))?;
        }
        Ok(())
    }

    fn push(&mut self, name: &'d str, given: Given<'d>) -> Result<(), TerminologyError> {
        if self.list.len() >= MAX_ARGUMENTS {
            return Err(TerminologyError::TooCostly(format!(
                "an operation takes at most {MAX_ARGUMENTS} parameters"
            )));
        }
        self.list.push((name, given));
        Ok(())
    }

    fn given(&self, name: &str) -> impl Iterator<Item = Given<'d>> {
        self.list
            .iter()
            .filter(move |(n, _)| *n == name)
            .map(|(_, g)| *g)
    }

    /// Whether the parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(n, _)| *n == name)
    }

    /// All values of a parameter, as text.
    pub fn texts(&self, name: &str) -> Vec<&'d str> {
        self.given(name).filter_map(|g| g.text()).collect()
    }

    /// The value of a parameter, as text. Given twice or with a value of another kind: an error.
    pub fn text(&self, name: &str) -> Result<Option<&'d str>, TerminologyError> {
        let mut given = self.given(name);
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some(g), None) => match g.text() {
                Some("") | None => Err(wrong(name, "a single value")),
                some => Ok(some),
            },
            _ => Err(wrong(name, "given once")),
        }
    }

    /// The first of several names that is given.
    pub fn text_of(&self, names: &[&str]) -> Result<Option<&'d str>, TerminologyError> {
        for name in names {
            if let Some(text) = self.text(name)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// A truth value.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, TerminologyError> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A whole number that is not negative.
    pub fn number(&self, name: &str) -> Result<Option<usize>, TerminologyError> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => text
                .parse::<u32>()
                .map(|n| Some(n as usize))
                .map_err(|_| wrong(name, "a whole number that is not negative")),
        }
    }

    /// A Coding: a Coding of a Parameters resource, or `system|code` in a query string.
    pub(super) fn coding(&self, name: &str) -> Result<Option<Coding>, TerminologyError> {
        match self.given(name).next() {
            None => Ok(None),
            Some(Given::Text(text)) => {
                let (system, code) = match text.split_once('|') {
                    Some((system, code)) => (Some(system.to_owned()), code),
                    None => (None, text),
                };
                Ok(Some(Coding {
                    system: system.filter(|s| !s.is_empty()),
                    code: Some(code.to_owned()).filter(|c| !c.is_empty()),
                    ..Coding::default()
                }))
            }
            Some(Given::Node(node)) => match node.get("valueCoding") {
                Some(coding) => Ok(Some(Coding::read(coding))),
                None => Err(wrong(name, "a Coding")),
            },
        }
    }

    /// A CodeableConcept of a Parameters resource.
    pub(super) fn concept(&self, name: &str) -> Result<Option<Node<'d>>, TerminologyError> {
        match self.given(name).next() {
            None => Ok(None),
            Some(Given::Node(node)) => node
                .get("valueCodeableConcept")
                .map(Some)
                .ok_or_else(|| wrong(name, "a CodeableConcept")),
            Some(Given::Text(_)) => Err(wrong(name, "sent in a Parameters resource")),
        }
    }

    /// A resource of a Parameters resource, of the type expected.
    pub(super) fn resource(
        &self,
        name: &str,
        rtype: &str,
    ) -> Result<Option<Node<'d>>, TerminologyError> {
        match self.given(name).next() {
            None => Ok(None),
            Some(Given::Node(node)) => node
                .get("resource")
                .filter(|r| r.resource_type() == Some(rtype))
                .map(Some)
                .ok_or_else(|| wrong(name, &format!("a {rtype} resource"))),
            Some(Given::Text(_)) => Err(wrong(name, "sent in a Parameters resource")),
        }
    }

    /// Parts of a repeating parameter.
    pub(super) fn nodes(&self, name: &str) -> Vec<Node<'d>> {
        self.given(name)
            .filter_map(|g| match g {
                Given::Node(node) => Some(node),
                Given::Text(_) => None,
            })
            .collect()
    }

    /// Definitions sent along (`tx-resource`).
    pub fn sent_along(&self) -> Result<Held, TerminologyError> {
        let mut held = Held::default();
        for node in self.nodes("tx-resource") {
            if let Some(resource) = node.get("resource") {
                held.add(resource)?;
            }
        }
        Ok(held)
    }

    /// What the call says about versions and states.
    pub fn settings(&self) -> Result<Settings, TerminologyError> {
        let pairs = |name: &str| -> Result<Versions, TerminologyError> {
            self.texts(name)
                .into_iter()
                .map(|text| match split_canonical(text) {
                    (url, Some(version)) => Ok((Box::from(url), Box::from(version))),
                    _ => Err(wrong(name, "a canonical with a version: url|version")),
                })
                .collect()
        };
        Ok(Settings {
            system_version: pairs("system-version")?,
            check_system_version: pairs("check-system-version")?,
            force_system_version: pairs("force-system-version")?,
            valueset_version: pairs("default-valueset-version")?,
            supplements: self
                .texts("useSupplement")
                .into_iter()
                .map(Box::from)
                .collect(),
            active_only: self.flag("activeOnly")?.unwrap_or(false),
            exclude_systems: self
                .texts("exclude-system")
                .into_iter()
                .map(Box::from)
                .collect(),
        })
    }

    /// Languages: `displayLanguage`, else what the value set says, else `Accept-Language`.
    pub(super) fn languages(
        &self,
        of_value_set: Option<&str>,
    ) -> Result<Languages, TerminologyError> {
        let given = match self.text("displayLanguage")? {
            Some(text) => Some(text),
            None => of_value_set.or(self.accept_language),
        };
        Ok(given.map(Languages::parse).unwrap_or_default())
    }
}

impl<'d> Given<'d> {
    fn text(self) -> Option<&'d str> {
        match self {
            Given::Text(text) => Some(text),
            Given::Node(node) => node
                .fields()
                .find(|f| f.name().starts_with("value"))
                .and_then(|f| f.value_text()),
        }
    }
}
