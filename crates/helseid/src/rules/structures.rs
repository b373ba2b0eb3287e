//! The structured claims a client sends as `authorization_details` or `assertion_details` (spec §8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Code, OAuthError};

/// Type of the organisation structure.
pub const ORGANISATION: &str = "helseid_authorization";
/// Type of the SFM instance structure, and name of its claim.
pub const JOURNAL_ID: &str = "nhn:sfm:journal-id";
/// Type of the attest, and name of its claim.
pub const ATTEST: &str = "nhn:tillitsrammeverk:parameters";

const MAX_STRUCTURES: usize = 10;

/// The structures of one JWT by type. Each type at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structures(BTreeMap<String, Map<String, Value>>);

impl Structures {
    /// Reads them from the claims of a request object or client assertion.
    ///
    /// # Errors
    /// `invalid_request` when both spellings are there (attack A8), the form is wrong or a type unknown.
    pub fn read(claims: &Map<String, Value>) -> Result<Self, OAuthError> {
        let value = match (
            claims.get("assertion_details"),
            claims.get("authorization_details"),
        ) {
            (Some(_), Some(_)) => {
                return Err(OAuthError::request(
                    "send assertion_details or authorization_details, not both",
                ));
            }
            (Some(value), None) | (None, Some(value)) => value,
            (None, None) => return Ok(Self::default()),
        };
        let elements = match value {
            Value::Array(elements) => elements.as_slice(),
            one => std::slice::from_ref(one),
        };
        if elements.len() > MAX_STRUCTURES {
            return Err(malformed("has too many elements"));
        }
        let mut structures = BTreeMap::new();
        for element in elements {
            let map = element
                .as_object()
                .ok_or_else(|| malformed("must be an object or an array of objects"))?;
            let kind = map
                .get("type")
                .and_then(Value::as_str)
                .ok_or_else(|| malformed("has an element without type"))?;
            if ![ORGANISATION, JOURNAL_ID, ATTEST].contains(&kind) {
                return Err(malformed("has an element of unknown type"));
            }
            if structures.insert(kind.to_owned(), map.clone()).is_some() {
                return Err(malformed("has the same type twice"));
            }
        }
        Ok(Self(structures))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The structure of a type.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Map<String, Value>> {
        self.0.get(kind)
    }

    /// The structures of the session and those of this token request together.
    ///
    /// # Errors
    /// `access_denied` when a type came both ways.
    pub fn joined(&self, of_this_request: &Self) -> Result<Self, OAuthError> {
        let mut all = self.0.clone();
        for (kind, structure) in &of_this_request.0 {
            if all.insert(kind.clone(), structure.clone()).is_some() {
                return Err(OAuthError::new(
                    Code::AccessDenied,
                    format!(
                        "HID-DOUBLE-STRUCTURE: {kind} came with the pushed request and again with the assertion"
                    ),
                ));
            }
        }
        Ok(Self(all))
    }

    /// The SFM instance.
    ///
    /// # Errors
    /// `invalid_request` when it is no UUID.
    pub fn journal_id(&self) -> Result<Option<String>, OAuthError> {
        let Some(structure) = self.get(JOURNAL_ID) else {
            return Ok(None);
        };
        let id = structure
            .get("value")
            .and_then(|value| value.get("journal_id"))
            .and_then(Value::as_str);
        let id = id.and_then(|id| {
            Uuid::try_parse(id)
                .ok()
                .filter(|_| id.len() == 36)
                .map(|_| id)
        });
        id.map(|id| Some(id.to_owned()))
            .ok_or_else(|| malformed("needs a UUID in value.journal_id"))
    }
}

pub(crate) fn malformed(what: &str) -> OAuthError {
    OAuthError::request(format!("HID-1007: the structured claim {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: Value) -> Result<Structures, OAuthError> {
        Structures::read(claims.as_object().unwrap())
    }

    #[test]
    fn one_object_or_an_array_under_either_name() {
        let journal = json!({"type":JOURNAL_ID,"value":{"journal_id":"7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"}});
        let organisation = json!({"type":ORGANISATION});
        for claims in [
            json!({"assertion_details":journal}),
            json!({"authorization_details":[journal, organisation]}),
        ] {
            let id = read(claims).unwrap().journal_id().unwrap();
            assert_eq!(id.as_deref(), Some("7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"));
        }
        assert!(read(json!({})).unwrap().is_empty());
    }

    #[test]
    fn refusals() {
        for claims in [
            json!({"assertion_details":[],"authorization_details":[]}),
            json!({"assertion_details":"x"}),
            json!({"assertion_details":[1]}),
            json!({"assertion_details":{}}),
            json!({"assertion_details":{"type":"other"}}),
            json!({"assertion_details":[{"type":JOURNAL_ID},{"type":JOURNAL_ID}]}),
        ] {
            assert_eq!(
                read(claims.clone()).unwrap_err().code,
                Code::InvalidRequest,
                "{claims}"
            );
        }
        for id in [
            json!(1),
            json!("7fbfbcbd6f084e959f7a9d69c40f6a35"),
            json!("x"),
        ] {
            let structures =
                read(json!({"assertion_details":{"type":JOURNAL_ID,"value":{"journal_id":id}}}))
                    .unwrap();
            assert!(structures.journal_id().is_err());
        }
    }

    #[test]
    fn the_same_type_both_ways_is_refused() {
        let one = read(json!({"assertion_details":{"type":ATTEST}})).unwrap();
        let other = read(json!({"assertion_details":{"type":JOURNAL_ID}})).unwrap();
        assert!(one.joined(&other).is_ok());
        let error = one.joined(&one).unwrap_err();
        assert_eq!(error.code, Code::AccessDenied);
        assert!(error.description.starts_with("HID-DOUBLE-STRUCTURE"));
    }
}
