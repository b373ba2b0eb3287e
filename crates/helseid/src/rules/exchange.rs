//! Token exchange (RFC 8693, spec §11): which token may be exchanged by whom, for what, and what remains of it.
//!
//! The actor is the authenticated client itself: it got a token sent to its API and calls the next API for the same user
//! or system. Rights never grow on the way: the target's scopes must be granted to the actor, the new token ends no
//! later than the old one, and everybody who acted stays written in `act`.

use jose::{Claims, names};
use serde_json::{Map, Value};

use super::organisation::Organisations;
use super::scopes;
use crate::config::{Api, Client, Tenancy};
use crate::error::{Code, OAuthError};

/// The `grant_type`.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The one token type taken and given.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TOKEN_TYPE_PREFIX: &str = "urn:ietf:params:oauth:token-type:";
/// Most actors in a row.
pub const MAX_ACTORS: usize = 5;

/// Checks the parameters that name kinds of tokens.
///
/// # Errors
/// `invalid_request`; `invalid_grant` for a subject token of another known kind (attack A24).
pub fn check_types(
    subject_token_type: Option<&str>,
    requested_token_type: Option<&str>,
    has_actor_token: bool,
) -> Result<(), OAuthError> {
    match subject_token_type {
        Some(ACCESS_TOKEN) => {}
        Some(other) if other.starts_with(TOKEN_TYPE_PREFIX) => {
            return Err(OAuthError::grant(
                "only access tokens can be exchanged: subject_token_type must be urn:ietf:params:oauth:token-type:access_token",
            ));
        }
        _ => {
            return Err(OAuthError::request(
                "subject_token_type must be urn:ietf:params:oauth:token-type:access_token",
            ));
        }
    }
    if requested_token_type.is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(OAuthError::request(
            "requested_token_type can only be urn:ietf:params:oauth:token-type:access_token",
        ));
    }
    if has_actor_token {
        return Err(OAuthError::request(
            "actor_token is not taken: the actor is the client that authenticates",
        ));
    }
    Ok(())
}

/// Checks that a verified token was meant for the actor and still lives; gives its end, seconds since 1970.
///
/// # Errors
/// `unauthorized_client` for a client that may not exchange; `invalid_grant` otherwise.
pub fn check_subject(subject: &Claims, actor: &Client, now_s: i64) -> Result<i64, OAuthError> {
    if actor.acts_for.is_empty() {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for token exchange",
        ));
    }
    let audiences = subject.text_list("aud").unwrap_or_default();
    if !audiences.iter().any(|one| actor.acts_for.contains(*one)) {
        return Err(OAuthError::grant(
            "the subject_token was not issued for an API of this client",
        ));
    }
    if actors(subject) >= MAX_ACTORS {
        return Err(OAuthError::grant(
            "the subject_token has been exchanged too many times",
        ));
    }
    let expires_s = subject.time("exp").ok().flatten().unwrap_or(0);
    if expires_s <= now_s {
        return Err(OAuthError::grant("the subject_token has expired"));
    }
    Ok(expires_s)
}

/// How many have acted already.
fn actors(subject: &Claims) -> usize {
    let mut depth = 0;
    let mut at = subject.0.get("act");
    while let Some(act) = at {
        depth += 1;
        at = act.get("act");
    }
    depth
}

/// The scopes of the new token: those asked for, or all the actor has of the APIs named in `resource`.
///
/// # Errors
/// `invalid_request` when neither is named; `invalid_scope` for identity scopes, unknown scopes and scopes that the
/// actor has not been granted (attack A19); `invalid_target` when it has none of the API named.
pub fn target_scopes(
    scope: Option<&str>,
    resources: &[String],
    actor: &Client,
    apis: &[Api],
) -> Result<Vec<String>, OAuthError> {
    let requested = match scope {
        Some(scope) => scopes::split(scope)?,
        None if resources.is_empty() => {
            return Err(OAuthError::request(
                "name the scopes of the API to call in scope, or the API in resource",
            ));
        }
        None => actor
            .scopes
            .iter()
            .filter(|scope| {
                scopes::api_of(scope, apis).is_some_and(|api| resources.contains(&api.audience))
            })
            .cloned()
            .collect(),
    };
    if requested.iter().any(|scope| scopes::is_identity(scope)) {
        return Err(OAuthError::new(
            Code::InvalidScope,
            "identity scopes belong to logins; an exchange asks for the scopes of an API",
        ));
    }
    scopes::check_granted(&requested, actor, apis)?;
    if !requested
        .iter()
        .any(|one| scopes::api_of(one, apis).is_some())
    {
        return Err(OAuthError::new(
            if scope.is_none() {
                Code::InvalidTarget
            } else {
                Code::InvalidScope
            },
            "the client has no scope of the API named",
        ));
    }
    Ok(requested)
}

/// The organisations of the subject token, which the new one keeps.
#[must_use]
pub fn kept_organisations(subject: &Claims) -> Organisations {
    let text = |name| subject.text(name).ok().flatten().map(str::to_owned);
    let tenancy = match subject.text(names::CLIENT_TENANCY) {
        Ok(Some("single-tenant")) => "single-tenant",
        Ok(Some("multi-tenant")) => "multi-tenant",
        _ if subject.0.contains_key(names::ORGNR_SUPPLIER) => "multi-tenant",
        _ if subject.0.contains_key(names::ORGNR_PARENT) => "single-tenant",
        _ => "none",
    };
    Organisations {
        parent: text(names::ORGNR_PARENT),
        child: text(names::ORGNR_CHILD),
        supplier: text(names::ORGNR_SUPPLIER),
        tenancy,
    }
}

/// Whose acceptance of an API's terms of use decides about an exchanged token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Nobody's: the organisation was judged when the actor's scopes were approved, or there is none.
    Nobody,
    /// That of this organisation.
    Organisation(String),
    /// That of an organisation which the token does not name: nobody can have accepted.
    Unknown,
}

/// Whose acceptance decides: the represented organisation's, unless the actor is registered for it alone. The subject
/// token may not name it (its API did not want the number); then the registration of the first client does.
#[must_use]
pub fn judged_by_terms(kept: &Organisations, original: Option<&Client>, actor: &Client) -> Judged {
    let registered = match original.map(|client| &client.tenancy) {
        Some(Tenancy::Single { parent, .. }) => Judged::Organisation(parent.clone()),
        Some(Tenancy::None) => Judged::Nobody,
        Some(Tenancy::Multi { .. }) | None => Judged::Unknown,
    };
    let named = kept.parent.clone().map(Judged::Organisation);
    match (named.unwrap_or(registered), &actor.tenancy) {
        (Judged::Organisation(orgnr), Tenancy::Single { parent, .. }) if orgnr == *parent => {
            Judged::Nobody
        }
        (Judged::Nobody, Tenancy::Multi { .. }) => Judged::Unknown,
        (judged, _) => judged,
    }
}

/// The `act` claim: who acts now, and inside it who acted before.
#[must_use]
pub fn act(issuer: &str, actor: &Client, of_actor: &Organisations, subject: &Claims) -> Value {
    let mut act = Map::new();
    act.insert("iss".to_owned(), issuer.into());
    act.insert("client_id".to_owned(), actor.client_id.as_str().into());
    for (name, value) in [
        (names::ORGNR_PARENT, &of_actor.parent),
        (names::ORGNR_CHILD, &of_actor.child),
        (names::ORGNR_SUPPLIER, &of_actor.supplier),
    ] {
        if let Some(value) = value {
            act.insert(name.to_owned(), value.as_str().into());
        }
    }
    if let Some(before) = subject.0.get("act").filter(|before| before.is_object()) {
        act.insert("act".to_owned(), before.clone());
    }
    Value::Object(act)
}

/// The client for which the first token of the chain was issued.
#[must_use]
pub fn original_client(subject: &Claims) -> Option<&str> {
    let text = |name| subject.text(name).ok().flatten();
    text(names::ORIGINAL_CLIENT_ID).or_else(|| text("client_id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::national_apis;
    use serde_json::json;

    fn actor() -> Client {
        let mut client = Client::new("actor", "Actor");
        client.acts_for = ["nhn:kjernejournal".to_owned()].into();
        client.scopes = ["nhn:pps/provesvar-read", "nhn:kjernejournal/api"]
            .map(str::to_owned)
            .into();
        client
    }

    fn claims(value: Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn kinds_of_tokens() {
        let table = [
            (Some(ACCESS_TOKEN), None, false, None),
            (Some(ACCESS_TOKEN), Some(ACCESS_TOKEN), false, None),
            (None, None, false, Some(Code::InvalidRequest)),
            (
                Some("access_token"),
                None,
                false,
                Some(Code::InvalidRequest),
            ),
            (
                Some("urn:ietf:params:oauth:token-type:id_token"),
                None,
                false,
                Some(Code::InvalidGrant),
            ),
            (
                Some("urn:ietf:params:oauth:token-type:refresh_token"),
                None,
                false,
                Some(Code::InvalidGrant),
            ),
            (
                Some(ACCESS_TOKEN),
                Some("urn:ietf:params:oauth:token-type:refresh_token"),
                false,
                Some(Code::InvalidRequest),
            ),
            (Some(ACCESS_TOKEN), None, true, Some(Code::InvalidRequest)),
        ];
        for (subject, requested, actor, refused) in table {
            let found = check_types(subject, requested, actor)
                .err()
                .map(|error| error.code);
            assert_eq!(found, refused, "{subject:?} {requested:?} {actor}");
        }
    }

    #[test]
    fn a_token_is_exchanged_only_by_whom_it_was_sent_to() {
        let check = |subject: Value, actor: &Client| {
            check_subject(&claims(subject), actor, 1_000).map_err(|error| error.code)
        };
        let nested = |depth: usize| {
            (0..depth).fold(
                json!({"aud":"nhn:kjernejournal","exp":1_100}),
                |inner, _| {
                    let mut outer = json!({"aud":"nhn:kjernejournal","exp":1_100});
                    outer["act"] = if inner.get("act").is_some() {
                        json!({"client_id":"x","act":inner["act"]})
                    } else {
                        json!({"client_id":"x"})
                    };
                    outer
                },
            )
        };
        assert_eq!(
            check(json!({"aud":"nhn:kjernejournal","exp":1_001}), &actor()),
            Ok(1_001)
        );
        assert_eq!(
            check(
                json!({"aud":["nhn:x","nhn:kjernejournal"],"exp":1_100}),
                &actor()
            ),
            Ok(1_100)
        );
        assert_eq!(check(nested(4), &actor()), Ok(1_100));
        for refused in [
            json!({"aud":"nhn:pps","exp":1_100}),
            json!({"aud":"nhn:kjernejournal/api","exp":1_100}),
            json!({"aud":[],"exp":1_100}),
            json!({"exp":1_100}),
            json!({"aud":"nhn:kjernejournal","exp":1_000}),
            json!({"aud":"nhn:kjernejournal"}),
            nested(5),
        ] {
            assert_eq!(
                check(refused.clone(), &actor()),
                Err(Code::InvalidGrant),
                "{refused}"
            );
        }
        let nobody = Client::new("x", "x");
        assert_eq!(
            check(json!({"aud":"nhn:kjernejournal","exp":1_100}), &nobody),
            Err(Code::UnauthorizedClient)
        );
    }

    #[test]
    fn scopes_are_the_actors_own() {
        let apis = national_apis();
        let target = |scope: Option<&str>, resources: &[&str]| {
            let resources: Vec<String> = resources.iter().map(|one| (*one).to_owned()).collect();
            target_scopes(scope, &resources, &actor(), &apis)
                .map(|scopes| scopes.join(" "))
                .map_err(|error| error.code)
        };
        assert_eq!(
            target(Some("nhn:pps/provesvar-read"), &[]).unwrap(),
            "nhn:pps/provesvar-read"
        );
        assert_eq!(
            target(None, &["nhn:pps"]).unwrap(),
            "nhn:pps/provesvar-read"
        );
        let narrowed = "nhn:pps/provesvar-read user/Observation.rs";
        assert_eq!(target(Some(narrowed), &[]).unwrap(), narrowed);
        assert_eq!(target(None, &[]), Err(Code::InvalidRequest));
        assert_eq!(target(None, &["nhn:msh"]), Err(Code::InvalidTarget));
        for scope in [
            "nhn:msh/api",
            "nhn:none/x",
            "openid nhn:pps/provesvar-read",
            "offline_access",
            "helseid://scopes/identity/pid",
            "user/Observation.rs",
        ] {
            assert_eq!(target(Some(scope), &[]), Err(Code::InvalidScope), "{scope}");
        }
    }

    #[test]
    fn everybody_who_acted_stays_visible() {
        let organisations = Organisations {
            parent: Some("999977774".to_owned()),
            ..Organisations::default()
        };
        let first = claims(json!({"client_id":"epj"}));
        let one = act("https://i", &actor(), &organisations, &first);
        assert_eq!(
            one,
            json!({"iss":"https://i","client_id":"actor",(names::ORGNR_PARENT):"999977774"})
        );
        assert_eq!(original_client(&first), Some("epj"));
        let second =
            claims(json!({"client_id":"actor","act":one,(names::ORIGINAL_CLIENT_ID):"epj"}));
        let two = act(
            "https://i",
            &Client::new("next", ""),
            &Organisations::default(),
            &second,
        );
        assert_eq!(two["client_id"], "next");
        assert_eq!(two["act"]["client_id"], "actor");
        assert_eq!(original_client(&second), Some("epj"));
    }

    #[test]
    fn whose_terms_count() {
        let (own, other) = ("100000001", "100000002");
        let client = |tenancy: Tenancy| {
            let mut client = Client::new("x", "");
            client.tenancy = tenancy;
            client
        };
        let single = |parent: &str| {
            client(Tenancy::Single {
                parent: parent.to_owned(),
                children: [].into(),
            })
        };
        let multi = client(Tenancy::Multi {
            supplier: own.to_owned(),
            delegations: [].into(),
        });
        let none = client(Tenancy::None);
        let named = |orgnr: &str| Judged::Organisation(orgnr.to_owned());
        // What the subject names, the first client, the actor.
        for (parent, original, actor, judged) in [
            (Some(own), Some(&multi), &single(own), Judged::Nobody),
            (Some(other), Some(&multi), &single(own), named(other)),
            (
                Some(other),
                Some(&single(other)),
                &single(own),
                named(other),
            ),
            (Some(other), Some(&single(other)), &multi, named(other)),
            (Some(own), Some(&single(own)), &multi, named(own)),
            (Some(other), Some(&multi), &none, named(other)),
            (None, Some(&single(other)), &single(own), named(other)),
            (None, Some(&single(own)), &single(own), Judged::Nobody),
            (None, Some(&multi), &single(own), Judged::Unknown),
            (None, Some(&multi), &multi, Judged::Unknown),
            (None, None, &single(own), Judged::Unknown),
            (None, Some(&none), &single(own), Judged::Nobody),
            (None, Some(&none), &none, Judged::Nobody),
            (None, Some(&none), &multi, Judged::Unknown),
        ] {
            let kept = Organisations {
                parent: parent.map(str::to_owned),
                ..Organisations::default()
            };
            let found = judged_by_terms(&kept, original, actor);
            assert_eq!(found, judged, "{parent:?} {original:?} {actor:?}");
        }
    }

    #[test]
    fn organisations_are_those_of_the_subject() {
        let kept = kept_organisations(&claims(
            json!({(names::ORGNR_PARENT):"1",(names::ORGNR_CHILD):"2"}),
        ));
        assert_eq!(
            (kept.parent.as_deref(), kept.child.as_deref(), kept.tenancy),
            (Some("1"), Some("2"), "single-tenant")
        );
        let kept = kept_organisations(&claims(
            json!({(names::ORGNR_PARENT):"1",(names::ORGNR_SUPPLIER):"3"}),
        ));
        assert_eq!(
            (kept.supplier.as_deref(), kept.tenancy),
            (Some("3"), "multi-tenant")
        );
        assert_eq!(kept_organisations(&Claims::default()).tenancy, "none");
    }
}
