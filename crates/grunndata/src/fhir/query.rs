//! What a search asks: parameters of the address and of the body, read within bounds. Unknown parameters are refused:
//! passing over one would find more than was asked for.

use super::elements::Elements;
use super::include::Wanted;
use super::kinds::Kind;
use super::refusal::Refusal;
use crate::persons::form::Fields;
use registers::kernel::EntryId;
use std::str::FromStr;

/// Resources of a page, usually and at most.
const COUNT: usize = 50;
const MAX_COUNT: usize = 500;
/// Furthest place in a list.
const MAX_OFFSET: usize = 1_000_000;
/// Most values of one parameter.
const MAX_VALUES: usize = 100;
/// Where in the list of what was found a page begins.
pub(super) const OFFSET: &str = "_offset";
/// Parameters that every type takes, and that do not choose.
const COMMON: [&str; 10] = [
    "_elements",
    "_count",
    OFFSET,
    "_format",
    "_pretty",
    "_total",
    "_summary",
    "_contained",
    "_include",
    "_revinclude",
];

/// A value of a token parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// `None`: any system.
    pub(super) system: Option<&'a str>,
    pub(super) code: &'a str,
}

impl<'a> Token<'a> {
    fn read(text: &'a str) -> Self {
        match text.split_once('|') {
            Some((system, code)) => Self {
                system: Some(system),
                code,
            },
            None => Self {
                system: None,
                code: text,
            },
        }
    }

    /// Whether a coding fits.
    pub(super) fn fits(&self, system: &str, code: &str) -> bool {
        self.is_of(system) && (self.code.is_empty() || self.code == code)
    }

    /// Whether a system is meant, however it is spelt.
    pub(super) fn is_of(&self, system: &str) -> bool {
        use codes::oid::canonical;
        self.system
            .is_none_or(|asked| canonical(asked) == canonical(system))
    }
}

/// A search or the read of one.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) kind: Kind,
    pub(super) pairs: Vec<(String, String)>,
    pub(super) elements: Elements,
    pub(super) count: usize,
    pub(super) offset: usize,
    /// What comes along.
    pub(super) wanted: Wanted,
}

impl Query {
    /// Reads a request. `body`: fields of a POST search.
    pub(super) fn read(kind: Kind, address: &Fields, body: &Fields) -> Result<Self, Refusal> {
        for (name, value) in address.pairs() {
            if name.split([':', '.']).any(|part| part == "identifier") && holds_national_id(value) {
                return Err(Refusal::invalid(
                    "a national id does not belong in an address: send it in the body of POST [type]/_search",
                ));
            }
        }
        let mut pairs = Vec::new();
        for (name, value) in address.pairs().chain(body.pairs()) {
            if !COMMON.contains(&name) && !kind.params().iter().any(|p| p.name == name) {
                return Err(unknown(kind, name));
            }
            if !value.trim().is_empty() {
                pairs.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let elements = pairs.iter().filter(|(name, _)| name == "_elements");
        let elements = Elements::read(kind, elements.map(|(_, value)| value.as_str()));
        let values = |asked: &'static str| {
            let named = pairs.iter().filter(move |(name, _)| name == asked);
            named.map(|(_, value)| value.as_str())
        };
        let wanted = Wanted::read(kind, values("_include"), values("_revinclude"))?;
        let mut query = Self {
            kind,
            pairs,
            elements,
            count: COUNT,
            offset: 0,
            wanted,
        };
        query.count = query.number("_count", MAX_COUNT)?.unwrap_or(COUNT);
        query.offset = query.number(OFFSET, MAX_OFFSET)?.unwrap_or(0);
        if let Some(summary) = query.one("_summary")? {
            match summary {
                "false" => {}
                "count" => query.count = 0,
                _ => {
                    return Err(Refusal::unsupported(
                        "_summary is count or false here; use _elements for parts of resources",
                    ));
                }
            }
        }
        Ok(query)
    }

    /// A search for everything that refers to one of these, whole.
    pub(super) fn by_reference(kind: Kind, param: &str, to: &[String]) -> Self {
        Self {
            kind,
            pairs: vec![(param.to_owned(), to.join(","))],
            elements: Elements::whole(kind),
            count: MAX_COUNT,
            offset: 0,
            wanted: Wanted::default(),
        }
    }

    /// The same search with other elements shown.
    pub(super) fn with_elements(self, elements: Elements) -> Self {
        Self { elements, ..self }
    }

    fn number(&self, name: &str, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let number = text.parse::<usize>();
        let number =
            number.map_err(|_| Refusal::invalid(format!("{name} must be a whole number")))?;
        if name == OFFSET && number > most {
            return Err(Refusal::invalid(format!("{name} is at most {most}")));
        }
        Ok(Some(number.min(most)))
    }

    /// The value of a parameter that stands once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.pairs.iter().filter(|(known, _)| known == name);
        let found = values.next();
        if values.next().is_some() {
            return Err(Refusal::unsupported(format!("{name} may stand once only")));
        }
        Ok(found.map(|(_, value)| value.as_str()))
    }

    /// Values of a parameter that stands once, of which one must fit; `None` when it does not stand.
    pub(super) fn any_of(&self, name: &str) -> Result<Option<Vec<&str>>, Refusal> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        let values: Vec<&str> = value
            .split(',')
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect();
        if values.len() > MAX_VALUES {
            return Err(Refusal::too_costly(format!(
                "{name} has at most {MAX_VALUES} values"
            )));
        }
        Ok(Some(values))
    }

    /// Token values.
    pub(super) fn tokens(&self, name: &str) -> Result<Option<Vec<Token<'_>>>, Refusal> {
        let values = self.any_of(name)?;
        Ok(values.map(|values| values.into_iter().map(Token::read).collect()))
    }

    /// Logical ids of a reference parameter; the type before the id must be one of `types`.
    pub(super) fn references(
        &self,
        name: &str,
        types: &[&str],
    ) -> Result<Option<Vec<&str>>, Refusal> {
        let Some(values) = self.any_of(name)? else {
            return Ok(None);
        };
        let ids = values.into_iter().map(|value| {
            let mut parts = value.rsplit('/');
            let id = parts.next().unwrap_or_default();
            match parts.next() {
                Some(other) if !types.contains(&other) => Err(Refusal::invalid(format!(
                    "{name} refers to {}",
                    types.join(" or ")
                ))),
                _ => Ok(id),
            }
        });
        ids.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Entries of a reference or id parameter that can be ids of persons.
    pub(super) fn entries(values: &[&str]) -> Vec<EntryId> {
        let ids = values.iter().filter_map(|id| EntryId::from_str(id).ok());
        ids.collect()
    }

    /// Whether nothing is searched by but this parameter.
    pub(super) fn is_only(&self, only: &str) -> bool {
        let mut names = self.pairs.iter().map(|(name, _)| name.as_str());
        names.all(|name| name == only || COMMON.contains(&name))
    }

    /// The same search as an address, from another place on. Of personal types there are no further pages.
    pub(super) fn address(&self, offset: usize) -> String {
        let mut text = String::from(self.kind.name());
        let kept = self.pairs.iter().filter(|(name, _)| name != OFFSET);
        let mut sign = '?';
        for (name, value) in kept {
            text.push(sign);
            sign = '&';
            text.push_str(&encoded(name));
            text.push('=');
            text.push_str(&encoded(value));
        }
        if offset > 0 {
            text.push(sign);
            text.push_str(&format!("{OFFSET}={offset}"));
        }
        text
    }
}

fn unknown(kind: Kind, name: &str) -> Refusal {
    let known: Vec<&str> = kind.params().iter().map(|p| p.name).collect();
    let is_modified = name
        .split_once([':', '.'])
        .is_some_and(|(plain, _)| known.contains(&plain));
    let what = if is_modified {
        "modifiers and chains"
    } else {
        "a parameter"
    };
    Refusal::unsupported(format!(
        "{what} of this search that the server does not have; {} is found by {}",
        kind.name(),
        known.join(", ")
    ))
}

/// Eleven or twelve digits, with or without a system before.
fn holds_national_id(value: &str) -> bool {
    value.split(',').any(|value| {
        let code = Token::read(value.trim()).code;
        let digits = code.bytes().filter(u8::is_ascii_digit).count();
        let others = code.bytes().any(|b| !b.is_ascii_digit() && b != b' ');
        matches!(digits, 11 | 12) && !others
    })
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use proptest::prelude::*;

    fn read(kind: Kind, address: &str, body: &str) -> Result<Query, Refusal> {
        let fields = |text: &str| Fields::parse(text.as_bytes()).unwrap();
        Query::read(kind, &fields(address), &fields(body))
    }

    #[test]
    fn national_ids_are_taken_in_bodies_only() {
        for bad in [
            "identifier=14896849817",
            "identifier=urn:oid:2.16.578.1.12.4.1.4.1%7C14896849817",
            "identifier=x,148968%2049817",
            "identifier:of-type=a%7C14896849817",
        ] {
            let refusal = read(Kind::Patient, bad, "").err().unwrap();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert!(!refusal.outcome().to_string().contains("49817"), "{bad}");
        }
        assert!(read(Kind::Patient, "", "identifier=14896849817").is_ok());
        assert!(read(Kind::Practitioner, "identifier=9144900", "").is_ok());
    }

    #[test]
    fn what_the_server_does_not_have_is_refused() {
        for bad in [
            "phonetic=x",
            "name:exact=x",
            "organization.name=x",
            "_sort=name",
        ] {
            assert!(read(Kind::Person, bad, "").is_err(), "{bad}");
        }
        assert!(read(Kind::Organization, "_count=x", "").is_err());
        assert_eq!(
            read(Kind::Organization, "_count=9999", "").unwrap().count,
            500
        );
        assert_eq!(
            read(Kind::Organization, "_summary=count", "")
                .unwrap()
                .count,
            0
        );
    }

    #[test]
    fn references_and_tokens() {
        let query = read(
            Kind::PractitionerRole,
            "practitioner=http://x/Practitioner/hpr-1,hpr-2&_format=json",
            "",
        )
        .unwrap();
        let ids = query.references("practitioner", &["Practitioner"]).unwrap();
        assert_eq!(ids, Some(vec!["hpr-1", "hpr-2"]));
        assert!(query.references("practitioner", &["Person"]).is_err());
        let token = Token::read("urn:x|4");
        assert!(token.fits("urn:x", "4") && !token.fits("urn:y", "4") && !token.fits("urn:x", "5"));
        assert!(Token::read("4").fits("urn:y", "4") && Token::read("urn:x|").fits("urn:x", "9"));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(address in "[ -~]{0,80}", body in "\\PC{0,80}") {
            for kind in Kind::ALL {
                if let (Ok(a), Ok(b)) = (Fields::parse(address.as_bytes()), Fields::parse(body.as_bytes()))
                    && let Ok(query) = Query::read(kind, &a, &b)
                {
                    prop_assert!(query.count <= MAX_COUNT && query.offset <= MAX_OFFSET);
                    let again = query.address(7);
                    let (_, again) = again.split_once('?').unwrap();
                    prop_assert!(Fields::parse(again.as_bytes()).is_ok());
                }
            }
        }
    }
}
