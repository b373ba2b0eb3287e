//! Rows about APIs and keys: A28-A34. The API is one that knows the issuer by its key only.

use std::sync::Arc;

use jose::encoding::{b64url, hmac_sha256};
use jose::jwk::KeyKind;
use jose::rs::{Advice, CachedKeys, Presented, Requirement, ResourceServer, RsError};
use jose::{Alg, JwkSet, MemoryState, PrivateJwk, PublicJwk, dpop, names};
use serde_json::{Value, json};

use super::{compact, new_key};
use crate::ISSUER;

const API: &str = "https://api.example";
const NOW: i64 = 1_760_000_000;

struct Api {
    issuer: PrivateJwk,
    client: PrivateJwk,
    replay: Arc<MemoryState>,
    keys: Arc<CachedKeys>,
}

fn with_kid(key: &PrivateJwk, kid: &str) -> PrivateJwk {
    let mut members = key.to_secret_members();
    members.insert("kid".to_owned(), kid.into());
    PrivateJwk::from_members(&members).unwrap()
}

impl Api {
    fn new() -> Self {
        let issuer = with_kid(&new_key(), "k1");
        let set = JwkSet::new(vec![issuer.public().clone()]);
        Self {
            issuer,
            client: new_key(),
            replay: Arc::new(MemoryState::new(Arc::new(|| NOW), 1_000)),
            keys: Arc::new(CachedKeys::new(set, NOW, 30)),
        }
    }

    fn server(&self) -> ResourceServer {
        let origins = [API.to_owned()];
        ResourceServer::new(
            ISSUER,
            "nhn:pps",
            &origins,
            self.keys.clone(),
            self.replay.clone(),
        )
    }

    /// A token with header and claims changed.
    fn token(&self, header: Value, change: Value) -> String {
        let mut head = json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"});
        let mut claims = json!({"iss": ISSUER, "aud": "nhn:pps", "iat": NOW, "nbf": NOW, "exp": NOW + 60, "client_id": "epj", "jti": "j",
            "scope": ["nhn:pps/provesvar-read"], "cnf": {"jkt": self.client.public().thumbprint()}, "sub": "s",
            (names::PID): "06828399789", (names::SECURITY_LEVEL): "4"});
        for (target, change) in [(&mut head, header), (&mut claims, change)] {
            for (name, value) in change.as_object().unwrap() {
                if value.is_null() {
                    target.as_object_mut().unwrap().shift_remove(name);
                } else {
                    target[name] = value.clone();
                }
            }
        }
        compact(&head, claims.to_string().as_bytes(), |input| {
            self.issuer.sign(Alg::Es256, input).unwrap()
        })
    }

    fn proof(&self, token: &str, method: &str, url: &str) -> String {
        dpop::make_proof(&self.client, method, url, Some(token), None, NOW).unwrap()
    }

    fn ask(&self, authorization: &[&str], proofs: &[&str]) -> Result<(), RsError> {
        let presented = Presented {
            method: "GET",
            path: "/x",
            authorization,
            dpop: proofs,
            now_s: NOW,
        };
        let requirement = Requirement {
            user: true,
            min_level: Some(4),
            only_audience: true,
            ..Requirement::scope(&["nhn:pps/provesvar-read"])
        };
        self.server().check(&presented, &requirement).map(|_| ())
    }

    /// The token with a sound proof.
    fn judge(&self, token: &str) -> Result<(), RsError> {
        let proof = self.proof(token, "GET", &format!("{API}/x"));
        self.ask(&[&format!("DPoP {token}")], &[&proof])
    }

    fn good(&self) -> String {
        self.token(json!({}), json!({}))
    }
}

fn status(result: &Result<(), RsError>) -> u16 {
    result.as_ref().map_or_else(RsError::status, |()| 200)
}

pub async fn a28() {
    let api = Api::new();
    let token = api.good();
    let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let proof = api.proof(&token, "GET", &format!("{API}/x"));
    for (authorization, proofs) in [
        (vec![bearer.as_str()], vec![]),
        (vec![bearer.as_str()], vec![proof.as_str()]),
        (vec![dpop.as_str()], vec![]),
        (vec![dpop.as_str(), dpop.as_str()], vec![proof.as_str()]),
        (vec![dpop.as_str(), bearer.as_str()], vec![proof.as_str()]),
        (vec![dpop.as_str()], vec![proof.as_str(), proof.as_str()]),
        (vec![], vec![proof.as_str()]),
    ] {
        assert_eq!(
            status(&api.ask(&authorization, &proofs)),
            401,
            "{authorization:?}"
        );
    }
    // The proof is still good.
    assert_eq!(api.ask(&[&dpop], &[&proof]), Ok(()));
}

pub async fn a29() {
    let api = Api::new();
    let (token, other) = (api.good(), api.token(json!({}), json!({"jti": "other"})));
    let authorization = format!("DPoP {token}");
    let url = format!("{API}/x");
    let no_hash = dpop::make_proof(&api.client, "GET", &url, None, None, NOW).unwrap();
    let stranger = dpop::make_proof(&new_key(), "GET", &url, Some(&token), None, NOW).unwrap();
    let old = dpop::make_proof(&api.client, "GET", &url, Some(&token), None, NOW - 60).unwrap();
    for proof in [
        api.proof(&other, "GET", &url),
        no_hash,
        stranger,
        old,
        api.proof(&token, "POST", &url),
        api.proof(&token, "GET", &format!("{API}/y")),
        api.proof(&token, "GET", "https://other.example/x"),
        api.proof(&token, "GET", "http://api.example/x"),
    ] {
        assert_eq!(status(&api.ask(&[&authorization], &[&proof])), 401);
    }
    // Replay, also at a second node that shares the marks: `ask` makes a server anew each time.
    let proof = api.proof(&token, "GET", &url);
    assert_eq!(api.ask(&[&authorization], &[&proof]), Ok(()));
    let again = api.ask(&[&authorization], &[&proof]);
    assert_eq!(again, Err(RsError::ReplayedProof));
}

pub async fn a30() {
    let api = Api::new();
    for change in [
        json!({"aud": "nhn:other"}),
        json!({"aud": ["nhn:pps", "nhn:other"]}),
        json!({"aud": null}),
        json!({"aud": "nhn:pps/provesvar-read"}),
        json!({"iss": "https://eksternapi.example/sts/oidcprov/v3"}),
        json!({"iss": format!("{ISSUER}/")}),
        // An ID token has neither client_id nor scope.
        json!({"client_id": null, "scope": null, "nonce": "n"}),
    ] {
        assert_eq!(
            status(&api.judge(&api.token(json!({}), change.clone()))),
            401,
            "{change}"
        );
    }
    for typ in [
        json!("dpop+jwt"),
        json!("logout+jwt"),
        json!("client-authentication+jwt"),
        json!(null),
    ] {
        let token = api.token(json!({ "typ": typ }), json!({}));
        assert_eq!(api.judge(&token), Err(RsError::WrongTyp), "{typ}");
    }
    for typ in ["at+jwt", "JWT", "application/at+jwt"] {
        assert_eq!(
            api.judge(&api.token(json!({ "typ": typ }), json!({}))),
            Ok(())
        );
    }
}

pub async fn a31() {
    let api = Api::new();
    for change in [
        json!({"exp": NOW - 6}),
        json!({"exp": null}),
        json!({"nbf": NOW + 6}),
        json!({"iat": NOW + 6}),
    ] {
        assert_eq!(
            status(&api.judge(&api.token(json!({}), change.clone()))),
            401,
            "{change}"
        );
    }
    let good = api.good();
    let (signed, _) = good.rsplit_once('.').unwrap();
    for token in [
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{}", b64url(&[0; 64])),
    ] {
        assert_eq!(status(&api.judge(&token)), 401);
    }
    assert_eq!(
        api.judge(&api.token(json!({"kid": "k2"}), json!({}))),
        Err(RsError::UnknownKey)
    );
    assert_eq!(
        status(&api.judge(&api.token(json!({"alg": "none"}), json!({})))),
        401
    );
    // A key in the header is never used, not even the right one.
    let own = Value::Object(api.issuer.public().to_members());
    for header in [
        json!({ "jwk": own }),
        json!({"jku": "https://evil.example/jwks"}),
        json!({"x5u": "https://evil.example/c"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        assert_eq!(
            api.judge(&api.token(header, json!({}))),
            Err(RsError::CarriesKey)
        );
    }
    assert_eq!(api.judge(&good), Ok(()));
}

pub async fn a32() {
    let api = Api::new();
    for level in [
        json!("3"),
        json!("2"),
        json!(4),
        json!(["4"]),
        json!("04"),
        json!("high"),
        json!(null),
    ] {
        let token = api.token(json!({}), json!({ (names::SECURITY_LEVEL): level }));
        let judged = api.judge(&token);
        assert_eq!(status(&judged), 403, "{level}: {judged:?}");
    }
}

pub async fn a33() {
    let api = Api::new();
    for scope in [
        json!(["nhn:pps/provesvar-read-all"]),
        json!(["nhn:pps/provesvar"]),
        json!(["x nhn:pps/provesvar-read y"]),
        json!("x nhn:pps/provesvar-read y"),
        json!([]),
    ] {
        let token = api.token(json!({}), json!({ "scope": scope }));
        assert_eq!(api.judge(&token), Err(RsError::MissingScope), "{scope}");
    }
}

pub async fn a34() {
    // An RSA key's public half as the secret of HS256.
    let rsa = PrivateJwk::generate(KeyKind::Rsa2048, Some(Alg::Rs256)).unwrap();
    let api = Api::new();
    let public = Value::Object(rsa.public().to_members()).to_string();
    let payload = br#"{"iss":"x"}"#;
    for alg in ["HS256", "HS512"] {
        let token = compact(
            &json!({"alg": alg, "kid": "k1", "typ": "at+jwt"}),
            payload,
            |input| hmac_sha256(public.as_bytes(), input).to_vec(),
        );
        assert_eq!(status(&api.judge(&token)), 401, "{alg}");
    }
    // Oversized and odd keys are refused before any arithmetic.
    let rsa_with = |n: &[u8], e: &[u8]| {
        let jwk = json!({"kty": "RSA", "n": b64url(n), "e": b64url(e)});
        PublicJwk::from_slice(jwk.to_string().as_bytes())
    };
    assert!(rsa_with(&[0xff; 1_025], &[1, 0, 1]).is_err());
    assert!(rsa_with(&[0xff; 256], &[0xff; 32]).is_err());
    assert!(rsa_with(&[0xff; 256], &[1]).is_err());
    assert!(rsa_with(&[0xff; 128], &[1, 0, 1]).is_err());
    // A flood of unknown key ids leads to one look at the key set per interval.
    let mut looks = 0;
    for number in 0..1_000 {
        let kid = format!("k{number}-unknown");
        let token = api.token(json!({ "kid": kid }), json!({}));
        assert_eq!(api.judge(&token), Err(RsError::UnknownKey));
        looks += u32::from(api.keys.advise(&kid, NOW + 31) == Advice::Fetch);
    }
    assert_eq!(looks, 1);
}
