//! The ID token of a provider outside: verified, then translated into what our tokens say (spec §6.2, §12.2).

use jose::alg::HELSEID_CLIENT_ALGS;
use jose::encoding::equal_secret;
use jose::jws::Compact;
use jose::jwt::Validation;
use jose::{Claims, JwkSet};

use super::{IdpConfig, LoggedIn, UpstreamError};
use crate::rules::claims::half_hash;

/// Longest ID token read, in bytes.
const MAX_ID_TOKEN_BYTES: usize = 32 * 1024;
/// Clock difference forgiven.
const LEEWAY_S: i64 = 10;
/// Oldest `iat`: the token was made for this login, not kept from an earlier one.
const MAX_AGE_S: i64 = 600;

/// What the token must belong to.
pub struct Expected<'a> {
    pub nonce: &'a str,
    pub access_token: Option<&'a str>,
    /// Oldest `auth_time` that is still this login, when a fresh one was demanded.
    pub authenticated_after_s: Option<i64>,
    pub now_s: i64,
}

/// The key id a token names, before anything is believed.
pub fn claimed_kid(token: &str) -> Option<String> {
    Compact::parse(token, MAX_ID_TOKEN_BYTES).ok()?.kid
}

/// Verifies the token and reads person and level from it.
///
/// # Errors
/// [`UpstreamError::IdToken`] with what is wrong, [`UpstreamError::UnknownKey`] when the key set may be old.
pub fn verify(
    token: &str,
    idp: &IdpConfig,
    keys: &JwkSet,
    expected: &Expected<'_>,
) -> Result<LoggedIn, UpstreamError> {
    let wrong = UpstreamError::IdToken;
    let compact =
        Compact::parse(token, MAX_ID_TOKEN_BYTES).map_err(|error| wrong(error.to_string()))?;
    if !HELSEID_CLIENT_ALGS.contains(&compact.alg) {
        return Err(wrong("its algorithm is not approved".to_owned()));
    }
    if compact.carries_key()
        && compact
            .header
            .keys()
            .any(|name| name == "jwk" || name == "jku")
    {
        return Err(wrong("it brings its own key".to_owned()));
    }
    let claims = Claims::parse(&compact.payload).map_err(|error| wrong(error.to_string()))?;
    let validation = Validation {
        now_s: expected.now_s,
        leeway_s: LEEWAY_S,
        issuer: &idp.issuer,
        audience: Some(&idp.client_id),
        only_audience: true,
    };
    validation
        .check(&claims)
        .map_err(|error| wrong(error.to_string()))?;
    let fitting = |key: &&jose::PublicJwk| {
        key.accepts(compact.alg) && (compact.kid.is_none() || key.kid() == compact.kid.as_deref())
    };
    let mut candidates = keys.keys().iter().filter(fitting).peekable();
    if candidates.peek().is_none() {
        return Err(UpstreamError::UnknownKey);
    }
    if !candidates.any(|key| compact.verify(key).is_ok()) {
        return Err(wrong("its signature does not verify".to_owned()));
    }
    check_binding(&claims, &compact, expected)?;
    read(&claims, token, idp, expected)
}

fn check_binding(
    claims: &Claims,
    compact: &Compact<'_>,
    expected: &Expected<'_>,
) -> Result<(), UpstreamError> {
    let wrong = |what: &str| UpstreamError::IdToken(what.to_owned());
    let text = |name| claims.text(name).ok().flatten().unwrap_or_default();
    if !equal_secret(text("nonce").as_bytes(), expected.nonce.as_bytes()) {
        return Err(wrong("its nonce is another login's"));
    }
    let issued_s = claims
        .time("iat")
        .ok()
        .flatten()
        .ok_or_else(|| wrong("it has no iat"))?;
    if issued_s + MAX_AGE_S < expected.now_s {
        return Err(wrong("it was issued too long ago"));
    }
    // Other hash lengths belong to other algorithms; what is not sent is not needed in the code flow.
    let sha256 = compact.alg.name().ends_with("256");
    if let (Some(access_token), true) = (expected.access_token, sha256)
        && claims.0.contains_key("at_hash")
        && text("at_hash") != half_hash(access_token)
    {
        return Err(wrong("its at_hash belongs to another access token"));
    }
    Ok(())
}

fn read(
    claims: &Claims,
    token: &str,
    idp: &IdpConfig,
    expected: &Expected<'_>,
) -> Result<LoggedIn, UpstreamError> {
    let wrong = |what: &str| UpstreamError::IdToken(what.to_owned());
    let text = |name: &str| claims.0.get(name).and_then(serde_json::Value::as_str);
    let pid = text(&idp.pid_claim)
        .filter(|pid| pid.len() == 11 && pid.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| wrong("it has no national identity number"))?;
    let level = idp
        .level_of(text(&idp.level_claim))
        .ok_or_else(|| wrong("it says no level that is known"))?;
    let id = |name: &str| text(name).filter(|id| (1..=512).contains(&id.len()));
    let auth_time_s = claims
        .time("auth_time")
        .map_err(|_| wrong("its auth_time is no time"))?;
    if let Some(after_s) = expected.authenticated_after_s
        && auth_time_s.is_none_or(|at_s| at_s + LEEWAY_S < after_s)
    {
        return Err(wrong("the user was not asked to log in again"));
    }
    Ok(LoggedIn {
        pid: pid.to_owned(),
        level,
        auth_time_s: auth_time_s.unwrap_or(expected.now_s).min(expected.now_s),
        id_token: token.to_owned(),
        sid: id("sid").map(str::to_owned),
        subject: id("sub").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use jose::jwk::KeyKind;
    use jose::{Alg, PrivateJwk, jws};
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::idp::IdpAuth;
    use crate::rules::levels::Level;

    const NOW: i64 = 1_760_000_000;

    fn idp() -> IdpConfig {
        IdpConfig::idporten(
            "idporten-oidc",
            "ID-porten",
            "https://idp.example",
            "hub",
            IdpAuth::Secret(String::new()),
        )
    }

    fn claims(change: &Value) -> Value {
        let mut claims = json!({"iss":"https://idp.example","aud":"hub","iat":NOW,"exp":NOW+120,"nonce":"n",
            "sub":"x","pid":"06828399789","acr":"idporten-loa-high","auth_time":NOW-5,"at_hash":half_hash("at")});
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().shift_remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn expected() -> Expected<'static> {
        Expected {
            nonce: "n",
            access_token: Some("at"),
            authenticated_after_s: None,
            now_s: NOW,
        }
    }

    fn key(kid: &str) -> PrivateJwk {
        let made = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
        let mut members = made.to_secret_members();
        members.insert("kid".to_owned(), kid.into());
        PrivateJwk::from_members(&members).unwrap()
    }

    #[test]
    fn each_wrong_token_is_refused() {
        let (own, other) = (key("k1"), key("k1"));
        let keys = JwkSet::new(vec![own.public().clone()]);
        let sign = |claims: &Value, key: &PrivateJwk| {
            jws::sign_compact("JWT", claims.to_string().as_bytes(), key).unwrap()
        };
        let check = |token: &str| verify(token, &idp(), &keys, &expected());
        let good = check(&sign(&claims(&json!({})), &own)).unwrap();
        assert_eq!(
            (good.pid.as_str(), good.level, good.auth_time_s),
            ("06828399789", Level::High, NOW - 5)
        );
        let low = check(&sign(
            &claims(&json!({"acr":"Level3","auth_time":null,"at_hash":null})),
            &own,
        ))
        .unwrap();
        assert_eq!((low.level, low.auth_time_s), (Level::Substantial, NOW));
        for change in [
            json!({"iss":"https://evil.example"}),
            json!({"iss":null}),
            json!({"aud":"other"}),
            json!({"aud":["hub","other"]}),
            json!({"aud":null}),
            json!({"exp":NOW-11}),
            json!({"exp":null}),
            json!({"iat":NOW+60}),
            json!({"iat":NOW-700}),
            json!({"iat":null}),
            json!({"nbf":NOW+60}),
            json!({"nonce":"other"}),
            json!({"nonce":null}),
            json!({"nonce":1}),
            json!({"pid":null}),
            json!({"pid":"0682839978"}),
            json!({"pid":6_828_399_789_i64}),
            json!({"acr":"idporten-loa-higher"}),
            json!({"acr":null}),
            json!({"acr":4}),
            json!({"at_hash":half_hash("other")}),
            json!({"auth_time":"now"}),
        ] {
            let refused = check(&sign(&claims(&change), &own));
            assert!(
                matches!(refused, Err(UpstreamError::IdToken(_))),
                "{change}"
            );
        }
        assert!(matches!(
            check(&sign(&claims(&json!({})), &other)),
            Err(UpstreamError::IdToken(_))
        ));
        assert!(matches!(
            check(&sign(&claims(&json!({})), &key("k2"))),
            Err(UpstreamError::UnknownKey)
        ));
        assert!(check("a.b.c").is_err());
        let none = format!(
            "{}.{}.",
            jose::encoding::b64url(br#"{"alg":"none"}"#),
            jose::encoding::b64url(claims(&json!({})).to_string().as_bytes())
        );
        assert!(check(&none).is_err());
        let mut header = Map::new();
        header.insert("kid".to_owned(), "k1".into());
        header.insert("jwk".to_owned(), Value::Object(own.public().to_members()));
        let own_key = jws::sign(
            &header,
            claims(&json!({})).to_string().as_bytes(),
            &own,
            Alg::Es256,
        )
        .unwrap();
        assert!(check(&own_key).is_err());
    }

    #[test]
    fn a_fresh_login_is_proved_by_auth_time() {
        let own = key("k1");
        let keys = JwkSet::new(vec![own.public().clone()]);
        let check = |auth_time: Value| {
            let token = jws::sign_compact(
                "JWT",
                claims(&json!({"auth_time":auth_time}))
                    .to_string()
                    .as_bytes(),
                &own,
            )
            .unwrap();
            let expected = Expected {
                authenticated_after_s: Some(NOW - 30),
                ..expected()
            };
            verify(&token, &idp(), &keys, &expected).is_ok()
        };
        assert!(check(json!(NOW - 30)) && check(json!(NOW - 40)));
        assert!(!check(json!(NOW - 41)) && !check(json!(null)));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(token in "[A-Za-z0-9_.-]{0,200}") {
            let _ = claimed_kid(&token);
            let _ = verify(&token, &idp(), &JwkSet::default(), &expected());
        }
    }
}
