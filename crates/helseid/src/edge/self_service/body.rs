//! Bodies of the self-service API (spec §14): camelCase; what is absent, null or empty counts alike unless said.

use serde_json::{Value, json};

use crate::registry::model::{Configuration, Origin, ScopeState};
use crate::registry::view::time;
use crate::registry::{Draft, Update};
use crate::rules::scopes::is_identity;

const MAX_TEXT_BYTES: usize = 8_192;
const MAX_LIST: usize = 1_000;

/// Reads a body strictly: one JSON value, no repeated members, bounded depth.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    // Some clients begin their JSON with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    jose::strict_json::value(bytes).map_err(|error| format!("the body is {error}"))
}

/// A member whatever the case of its first letters: .NET's serialisers write both.
fn member<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let members = body.as_object()?;
    members
        .get(name)
        .or_else(|| {
            let same = members
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value)
        })
        .filter(|value| !value.is_null())
}

fn text(body: &Value, name: &str) -> Result<Option<String>, String> {
    match member(body, name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES => {
            Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
        }
        Some(_) => Err(format!(
            "{name} must be a text of at most {MAX_TEXT_BYTES} bytes"
        )),
    }
}

fn texts(body: &Value, name: &str) -> Result<Option<Vec<String>>, String> {
    let wrong = || format!("{name} must be a list of texts, at most {MAX_LIST}");
    match member(body, name) {
        None => Ok(None),
        Some(Value::Array(list)) if list.len() <= MAX_LIST => list
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        Some(_) => Err(wrong()),
    }
}

fn claims(body: &Value) -> Result<Vec<(String, String)>, String> {
    let name = "audienceSpecificClientClaims";
    let wrong = || format!("{name} must be a list of objects with key and value");
    match member(body, name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_LIST => list
            .iter()
            .map(|one| {
                let key = text(one, "key")?
                    .or(text(one, "claimType")?)
                    .ok_or_else(wrong)?;
                Ok((key, text(one, "value")?.ok_or_else(wrong)?))
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn object(body: &Value) -> Result<(), String> {
    if body.is_object() {
        Ok(())
    } else {
        Err("the body must be a JSON object".to_owned())
    }
}

/// `POST /v1/client-drafts`.
pub(super) fn draft(body: &Value) -> Result<Draft, String> {
    object(body)?;
    let required = |name: &str| text(body, name)?.ok_or_else(|| format!("{name} is missing"));
    Ok(Draft {
        organisation: required("organizationNumber")?,
        key: member(body, "publicJwk")
            .cloned()
            .ok_or("publicJwk is missing")?,
        scopes: texts(body, "apiScopes")?.ok_or("apiScopes is missing")?,
        claims: claims(body)?,
        redirect_uris: texts(body, "redirectUris")?,
        post_logout_redirect_uris: texts(body, "postLogoutRedirectUris")?.unwrap_or_default(),
        children: texts(body, "childOrganizationNumbers")?.unwrap_or_default(),
        confirmation_redirect_uri: text(body, "postClientConfirmationRedirectUri")?,
    })
}

/// `PUT /v1/client`: a whole replacement, where absent members empty what was there.
pub(super) fn update(body: &Value) -> Result<Update, String> {
    object(body)?;
    Ok(Update {
        scopes: texts(body, "apiScopes")?.ok_or("apiScopes is missing")?,
        claims: claims(body)?,
        redirect_uris: texts(body, "redirectUris")?,
        post_logout_redirect_uris: texts(body, "postLogoutRedirectUris")?.unwrap_or_default(),
        children: texts(body, "childOrganizationNumbers")?.unwrap_or_default(),
    })
}

/// `GET /v1/client`. A refused scope is `pending` with a reason: clients know no third word.
pub(super) fn current(configuration: &Configuration, fixed_uris: Option<&[String]>) -> Value {
    let scopes = configuration
        .scopes
        .iter()
        .filter(|s| !is_identity(&s.scope));
    let scopes: Vec<Value> = scopes
        .map(|s| {
            let (status, reason) = match s.state {
                ScopeState::Approved => ("ok", None),
                ScopeState::Requested => {
                    let waits = "The owner of the API has not decided yet.";
                    ("pending", Some(waits.to_owned()))
                }
                ScopeState::Rejected => {
                    let why = s.reason.as_deref().unwrap_or("No reason was given.");
                    (
                        "pending",
                        Some(format!("The owner of the API has rejected it. {why}")),
                    )
                }
            };
            json!({ "scope": s.scope, "status": status, "statusReason": reason })
        })
        .collect();
    let claims: Vec<Value> = configuration
        .claims
        .iter()
        .map(|claim| {
            let status = match (&claim.active, &claim.pending) {
                (_, None) => "ok",
                (None, Some(_)) => "pending",
                (Some(_), Some(_)) => "updatePending",
            };
            let waits = "The owner of the API has not approved the value yet.";
            json!({
                "claimType": claim.claim_type,
                "activeClaimValue": claim.active,
                "pendingClaimValue": claim.pending,
                "status": status,
                "statusReason": claim.pending.as_ref().map(|_| waits),
            })
        })
        .collect();
    json!({
        "apiScopes": scopes,
        "audienceSpecificClientClaims": claims,
        "redirectUris": fixed_uris.unwrap_or(&configuration.redirect_uris),
        "postLogoutRedirectUris": configuration.post_logout_redirect_uris,
        "childOrganizationNumbers": configuration.children,
    })
}

/// What `GET /v1/client-status` says besides: the form that the registration sample reads.
pub(super) fn overall(configuration: &Configuration) -> Value {
    let scopes = configuration
        .scopes
        .iter()
        .filter(|s| !is_identity(&s.scope));
    let is_whole = scopes.clone().all(|s| s.state == ScopeState::Approved);
    let access: Vec<Value> = scopes
        .map(|s| {
            let reason = match s.state {
                ScopeState::Approved => None,
                ScopeState::Requested => Some("apiScopeAccessPending"),
                ScopeState::Rejected => Some("apiScopeAccessRejected"),
            };
            json!({ "scope": s.scope, "granted": reason.is_none(), "reason": reason })
        })
        .collect();
    json!({
        "status": if is_whole { "active" } else { "limited" },
        "details": {
            "clientStatus": { "active": true, "reason": null },
            "apiScopeAccessStatuses": access,
        },
    })
}

/// `GET /v1/client-secret`.
pub(super) fn keys(configuration: &Configuration) -> Value {
    configuration
        .keys
        .iter()
        .map(|key| {
            json!({
                "expiration": time(key.expires_s),
                "kid": key.kid(),
                "jwkThumbprint": key.thumbprint,
                "origin": match key.origin { Origin::Api => "Api", Origin::Gui => "Gui" },
                "publicJwk": null,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_clients_write_them() {
        let sent = br#"{"OrganizationNumber":"999977774","publicJwk":"{}","apiScopes":["a"],"redirectUris":null,
            "audienceSpecificClientClaims":[{"key":"k","value":"v"}]}"#;
        let read = draft(&parse(sent).unwrap()).unwrap();
        assert_eq!(read.organisation, "999977774");
        assert_eq!(read.claims, [("k".to_owned(), "v".to_owned())]);
        assert_eq!(read.redirect_uris, None);
        for (wrong, place) in [
            (r#"{"publicJwk":"x","apiScopes":[]}"#, "organizationNumber"),
            (r#"{"organizationNumber":"9","apiScopes":[]}"#, "publicJwk"),
            (r#"{"organizationNumber":"9","publicJwk":{}}"#, "apiScopes"),
            (
                r#"{"organizationNumber":9,"publicJwk":{},"apiScopes":[]}"#,
                "organizationNumber",
            ),
            (
                r#"{"organizationNumber":"9","publicJwk":{},"apiScopes":[1]}"#,
                "apiScopes",
            ),
            (r#"["x"]"#, "object"),
        ] {
            let error = draft(&parse(wrong.as_bytes()).unwrap()).unwrap_err();
            assert!(error.contains(place), "{wrong}: {error}");
        }
        assert!(parse(b"{\"a\":1,\"a\":2}").is_err());
        assert!(parse(b"\xEF\xBB\xBF{}").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), text in ".{0,80}") {
            for body in [parse(&bytes), parse(text.as_bytes()), Ok(Value::String(text.clone()))].into_iter().flatten() {
                let _ = draft(&body);
                let _ = update(&body);
                let _ = crate::registry::rules::read_key(&body);
            }
        }
    }
}
