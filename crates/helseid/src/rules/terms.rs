//! Terms of use: an API may have terms, and organisations that accept them (spec §7 `rejected_scope`, §14).
//!
//! A multi-tenant client acts for many organisations; scopes of an API whose terms the represented one has not accepted
//! are left out of the token and named in the answer. Single-tenant clients are judged when their scopes are approved.
//! A token made by exchange is for the organisation of the first one; whose acceptance that needs says
//! [`super::exchange::judged_by_terms`].

use std::collections::{BTreeMap, BTreeSet};

use super::scopes::{Chosen, api_of};
use crate::config::Api;
use crate::error::{Code, OAuthError};

/// Which APIs have terms, and who has accepted those of today.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TermsOfUse {
    /// Audience → organisations that have accepted its present terms. APIs without terms are not here.
    accepted: BTreeMap<String, BTreeSet<String>>,
}

impl TermsOfUse {
    /// An API has terms, accepted by these organisations.
    pub fn require(&mut self, audience: &str, accepted_by: BTreeSet<String>) {
        self.accepted.insert(audience.to_owned(), accepted_by);
    }

    /// Whether a token for this API may be made for this organisation.
    #[must_use]
    pub fn allow(&self, audience: &str, organisation: Option<&str>) -> bool {
        self.accepted.get(audience).is_none_or(|accepted| {
            organisation.is_some_and(|organisation| accepted.contains(organisation))
        })
    }

    /// Takes the scopes out whose API's terms the organisation has not accepted; gives them.
    ///
    /// # Errors
    /// `access_denied` when an API is needed and none is left.
    pub fn apply(
        &self,
        chosen: &mut Chosen<'_>,
        organisation: Option<&str>,
        apis: &[Api],
        needs_api: bool,
    ) -> Result<Vec<String>, OAuthError> {
        let refused = |audience: &str| !self.allow(audience, organisation);
        let Some(first) = chosen.apis.iter().find(|api| refused(&api.audience)) else {
            return Ok(Vec::new());
        };
        let first = first.audience.clone();
        chosen.apis.retain(|api| !refused(&api.audience));
        if needs_api && chosen.apis.is_empty() {
            return Err(OAuthError::new(
                Code::AccessDenied,
                match organisation {
                    Some(_) => format!(
                        "the organisation has not accepted the terms of use of {first}; somebody of it does so at /drift/api"
                    ),
                    None => format!(
                        "{first} has terms of use, and the token is for no organisation that could have accepted them"
                    ),
                },
            ));
        }
        let (left_out, kept) = std::mem::take(&mut chosen.scopes)
            .into_iter()
            .partition(|scope| api_of(scope, apis).is_some_and(|api| refused(&api.audience)));
        chosen.scopes = kept;
        Ok(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::national_apis;
    use crate::rules::scopes::choose;

    const PPS: &str = "nhn:pps/provesvar-read";
    const CORE: &str = "nhn:kjernejournal/api";
    const MSH: &str = "nhn:msh/api";

    #[test]
    fn scopes_without_accepted_terms_are_left_out() {
        let apis = national_apis();
        let mut terms = TermsOfUse::default();
        terms.require("nhn:pps", BTreeSet::from(["100000001".to_owned()]));
        terms.require("nhn:msh", BTreeSet::new());
        let (accepted, other) = (Some("100000001"), Some("100000002"));
        for (asked, organisation, kept, left_out) in [
            ("openid PPS CORE", accepted, "openid PPS CORE", ""),
            ("openid PPS CORE", other, "openid CORE", "PPS"),
            ("openid PPS CORE", None, "openid CORE", "PPS"),
            ("PPS MSH", accepted, "PPS", "MSH"),
            ("CORE", other, "CORE", ""),
            ("openid PPS", other, "openid", "PPS"),
            ("openid profile", None, "openid profile", ""),
        ] {
            let written = |short: &str| -> Vec<String> {
                let all = short.split_whitespace();
                all.map(|one| match one {
                    "PPS" => PPS.to_owned(),
                    "CORE" => CORE.to_owned(),
                    "MSH" => MSH.to_owned(),
                    other => other.to_owned(),
                })
                .collect()
            };
            for needs_api in [false, true] {
                let mut chosen = choose(&written(asked), &[], &[], &apis).unwrap();
                let is_left = kept.contains(char::is_uppercase) || left_out.is_empty();
                let found = terms.apply(&mut chosen, organisation, &apis, needs_api);
                if needs_api && !is_left {
                    assert_eq!(found.unwrap_err().code, Code::AccessDenied, "{asked}");
                    continue;
                }
                assert_eq!(
                    found.unwrap(),
                    written(left_out),
                    "{asked} {organisation:?}"
                );
                assert_eq!(chosen.scopes, written(kept), "{asked} {organisation:?}");
                let is_allowed = |api: &&Api| terms.allow(&api.audience, organisation);
                assert!(chosen.apis.iter().all(is_allowed), "{asked}");
            }
        }
    }
}
