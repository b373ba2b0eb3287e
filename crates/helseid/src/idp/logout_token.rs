//! The logout token of a provider outside (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6).

use jose::alg::HELSEID_CLIENT_ALGS;
use jose::jws::Compact;
use jose::jwt::Validation;
use jose::{Claims, JwkSet};
use serde_json::Value;

use super::{IdpConfig, UpstreamError};

/// Longest logout token read, in bytes.
const MAX_LOGOUT_TOKEN_BYTES: usize = 16 * 1024;
/// Clock difference forgiven.
const LEEWAY_S: i64 = 10;
/// Oldest `iat`, and longest life that is remembered against a second use.
const MAX_AGE_S: i64 = 600;
/// Longest id of a session or a person.
const MAX_ID_BYTES: usize = 512;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a provider says has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// Its session.
    pub sid: Option<String>,
    /// Its name for the person.
    pub subject: Option<String>,
    /// Id of the token, good once.
    pub jti: String,
    /// Until when the id has to be remembered.
    pub remember_until_s: i64,
}

/// Verifies a logout token.
///
/// # Errors
/// [`UpstreamError::IdToken`] with what is wrong, [`UpstreamError::UnknownKey`] when the key set may be old.
pub fn verify(
    token: &str,
    idp: &IdpConfig,
    keys: &JwkSet,
    now_s: i64,
) -> Result<LogoutNotice, UpstreamError> {
    let wrong = |what: &str| UpstreamError::IdToken(what.to_owned());
    let compact = Compact::parse(token, MAX_LOGOUT_TOKEN_BYTES)
        .map_err(|error| UpstreamError::IdToken(error.to_string()))?;
    if compact.typ.is_some() && !compact.is_typ(&["logout+jwt", "JWT"]) {
        return Err(wrong("its typ is not logout+jwt"));
    }
    if !HELSEID_CLIENT_ALGS.contains(&compact.alg) {
        return Err(wrong("its algorithm is not approved"));
    }
    let claims = Claims::parse(&compact.payload)
        .map_err(|error| UpstreamError::IdToken(error.to_string()))?;
    Validation {
        now_s,
        leeway_s: LEEWAY_S,
        issuer: &idp.issuer,
        audience: Some(&idp.client_id),
        only_audience: true,
    }
    .check(&claims)
    .map_err(|error| UpstreamError::IdToken(error.to_string()))?;
    let issued_s = claims.time("iat").ok().flatten();
    let issued_s = issued_s.ok_or_else(|| wrong("it has no iat"))?;
    let expires_s = claims.time("exp").ok().flatten().unwrap_or(issued_s);
    if issued_s + MAX_AGE_S < now_s || expires_s - now_s > MAX_AGE_S {
        return Err(wrong("it was issued too long ago, or lives too long"));
    }
    // What tells it from an ID token, which must never end a session (attack A7's kind of confusion).
    if claims.0.contains_key("nonce") {
        return Err(wrong("it has a nonce"));
    }
    let events = claims.0.get("events").and_then(Value::as_object);
    if !events.is_some_and(|events| events.get(EVENT).is_some_and(Value::is_object)) {
        return Err(wrong("it does not tell of a logout"));
    }
    let text = |name: &'static str| -> Result<Option<String>, UpstreamError> {
        let found = claims.text(name).ok();
        match found.ok_or_else(|| wrong("sid, sub and jti must be texts"))? {
            Some(text) if text.len() > MAX_ID_BYTES => Err(wrong("an id is too long")),
            text => Ok(text.filter(|text| !text.is_empty()).map(str::to_owned)),
        }
    };
    let (sid, subject, jti) = (text("sid")?, text("sub")?, text("jti")?);
    if sid.is_none() && subject.is_none() {
        return Err(wrong("it names neither a session nor a person"));
    }
    let jti = jti.ok_or_else(|| wrong("it has no jti"))?;
    check_signature(&compact, keys)?;
    Ok(LogoutNotice {
        sid,
        subject,
        jti,
        remember_until_s: expires_s + LEEWAY_S + 1,
    })
}

fn check_signature(compact: &Compact<'_>, keys: &JwkSet) -> Result<(), UpstreamError> {
    let fitting = |key: &&jose::PublicJwk| {
        key.accepts(compact.alg) && (compact.kid.is_none() || key.kid() == compact.kid.as_deref())
    };
    let mut candidates = keys.keys().iter().filter(fitting).peekable();
    if candidates.peek().is_none() {
        return Err(UpstreamError::UnknownKey);
    }
    if candidates.any(|key| compact.verify(key).is_ok()) {
        Ok(())
    } else {
        let what = "its signature does not verify";
        Err(UpstreamError::IdToken(what.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use jose::jwk::KeyKind;
    use jose::{Alg, PrivateJwk, jws};
    use serde_json::json;

    use super::*;
    use crate::idp::IdpAuth;

    const NOW: i64 = 1_760_000_000;

    fn idp() -> IdpConfig {
        let auth = IdpAuth::Secret(String::new());
        IdpConfig::idporten(
            "idporten-oidc",
            "ID-porten",
            "https://idp.example",
            "hub",
            auth,
        )
    }

    fn claims(change: &Value) -> Value {
        let mut claims = json!({"iss": "https://idp.example", "aud": "hub", "iat": NOW, "exp": NOW + 120,
            "jti": "j1", "sid": "s1", "sub": "p1", "events": {EVENT: {}}});
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().shift_remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn sign(typ: &str, claims: &Value, key: &PrivateJwk) -> String {
        jws::sign_compact(typ, claims.to_string().as_bytes(), key).unwrap()
    }

    #[test]
    fn each_wrong_token_is_refused() {
        let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
        let other = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
        let keys = JwkSet::new(vec![key.public().clone()]);
        let check = |token: &str| verify(token, &idp(), &keys, NOW);
        let good = check(&sign("logout+jwt", &claims(&json!({})), &key)).unwrap();
        assert_eq!(
            (
                good.sid.as_deref(),
                good.subject.as_deref(),
                good.jti.as_str()
            ),
            (Some("s1"), Some("p1"), "j1")
        );
        assert_eq!(good.remember_until_s, NOW + 131);
        for change in [
            json!({"sid": null}),
            json!({"sub": null}),
            json!({"aud": ["hub"]}),
        ] {
            assert!(
                check(&sign("JWT", &claims(&change), &key)).is_ok(),
                "{change}"
            );
        }
        for change in [
            json!({"iss": "https://evil.example"}),
            json!({"iss": null}),
            json!({"aud": "other"}),
            json!({"aud": ["hub", "other"]}),
            json!({"aud": null}),
            json!({"exp": NOW - 11}),
            json!({"exp": NOW + 601}),
            json!({"exp": null}),
            json!({"iat": NOW + 60}),
            json!({"iat": NOW - 601}),
            json!({"iat": null}),
            json!({"jti": null}),
            json!({"jti": ""}),
            json!({"jti": 1}),
            json!({"sid": null, "sub": null}),
            json!({"sid": 1}),
            json!({"sid": "x".repeat(600)}),
            json!({"nonce": "n"}),
            json!({"events": null}),
            json!({"events": {EVENT: true}}),
            json!({"events": {"http://schemas.openid.net/event/other": {}}}),
            json!({"events": [EVENT]}),
        ] {
            let refused = check(&sign("logout+jwt", &claims(&change), &key));
            assert!(
                matches!(refused, Err(UpstreamError::IdToken(_))),
                "{change}"
            );
        }
        let token = claims(&json!({}));
        assert!(check(&sign("at+jwt", &token, &key)).is_err());
        let foreign = check(&sign("logout+jwt", &token, &other));
        assert!(matches!(foreign, Err(UpstreamError::UnknownKey)));
        let none = format!(
            "{}.{}.",
            jose::encoding::b64url(br#"{"alg":"none"}"#),
            jose::encoding::b64url(token.to_string().as_bytes())
        );
        assert!(check(&none).is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(token in "[A-Za-z0-9_.-]{0,200}") {
            let _ = verify(&token, &idp(), &JwkSet::default(), NOW);
        }
    }
}
