use std::sync::Arc;

use jose::alg::HELSEID_CLIENT_ALGS;
use jose::dpop::make_proof;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::rs::{CachedKeys, Presented, Requirement, ResourceServer, RsError, Scheme};
use jose::{Alg, Claims, JwkSet, MemoryState, PrivateJwk, names};
use serde_json::{Value, json};

use crate::{NOW, key, with};

const ISSUER: &str = "https://localhost:8444";
const SCOPES: &[&str] = &["nhn:kjernejournal/api"];

struct Api {
    ring: Keyring,
    server: ResourceServer,
    client: PrivateJwk,
}

impl Api {
    fn new() -> Self {
        let ring = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW).unwrap();
        let origins = [
            "https://api.no".to_owned(),
            "http://127.0.0.1:8080".to_owned(),
        ];
        let replay = Arc::new(MemoryState::new(Arc::new(|| NOW), 1_000));
        let keys = Arc::new(ring.clone());
        let server = ResourceServer::new(ISSUER, "nhn:kjernejournal", &origins, keys, replay);
        Self {
            ring,
            server,
            client: key(),
        }
    }

    fn claims(&self) -> Value {
        json!({"iss":ISSUER,"aud":"nhn:kjernejournal","iat":NOW,"nbf":NOW,"exp":NOW+600,"client_id":"c",
            "scope":["openid","nhn:kjernejournal/api"],"cnf":{"jkt":self.client.public().thumbprint()},
            names::PID:"05898597468",names::SECURITY_LEVEL:"4",names::ORGNR_PARENT:"100100126"})
    }

    fn token(&self, change: Value) -> String {
        let claims = with(&self.claims(), change);
        self.ring
            .sign("at+jwt", &Claims(claims.as_object().unwrap().clone()))
            .unwrap()
    }

    fn proof(&self, token: &str) -> String {
        make_proof(
            &self.client,
            "GET",
            "https://api.no/fhir/x",
            Some(token),
            Some("ignored"),
            NOW,
        )
        .unwrap()
    }

    fn call(
        &self,
        authorization: &[&str],
        dpop: &[&str],
        requirement: Requirement<'_>,
    ) -> Option<RsError> {
        let presented = Presented {
            method: "GET",
            path: "/fhir/x",
            authorization,
            dpop,
            now_s: NOW,
        };
        self.server.check(&presented, &requirement).err()
    }

    fn dpop(&self, token: &str, requirement: Requirement<'_>) -> Option<RsError> {
        self.call(
            &[&format!("DPoP {token}")],
            &[&self.proof(token)],
            requirement,
        )
    }
}

fn doctor() -> Requirement<'static> {
    Requirement::scope(SCOPES)
        .user_at_level(4)
        .with_organisation()
}

#[test]
fn a_good_request_passes_once() {
    let api = Api::new();
    let token = api.token(json!({}));
    let proof = api.proof(&token);
    let header = format!("dpop {token}");
    assert_eq!(api.call(&[&header], &[&proof], doctor()), None);
    assert_eq!(
        api.call(&[&header], &[&proof], doctor()),
        Some(RsError::ReplayedProof)
    );
}

#[test]
fn contents_of_the_token() {
    let api = Api::new();
    let strict = Requirement {
        only_audience: true,
        ..doctor()
    };
    let table: Vec<(Value, u16)> = vec![
        (json!({}), 200),
        (json!({"aud":["nhn:kjernejournal"]}), 200),
        (json!({"aud":["nhn:kjernejournal","b"]}), 401),
        (json!({"aud":"nhn:kjernejournal2"}), 401),
        (
            json!({"iss":"https://tjenester.helsenorge.example/sts/oidcprov/v3"}),
            401,
        ),
        (json!({"exp":NOW-5}), 401),
        (json!({"nbf":NOW+6}), 401),
        (json!({"client_id":null}), 401),
        (json!({"cnf":null}), 401),
        (json!({"cnf":{"jkt":"x"}}), 401),
        (json!({"scope":["nhn:kjernejournal/api2"]}), 403),
        (json!({"scope":"openid nhn:kjernejournal/api"}), 403),
        (json!({"scope":{"a":1}}), 401),
        (json!({names::SECURITY_LEVEL:"3"}), 403),
        (json!({names::SECURITY_LEVEL:4}), 403),
        (json!({names::SECURITY_LEVEL:null}), 403),
        (json!({names::PID:null}), 403),
        (json!({names::PID:null,names::HPR_NUMBER:"565505933"}), 200),
        (json!({names::ORGNR_PARENT:null}), 403),
    ];
    for (change, expected) in table {
        let token = api.token(change.clone());
        let found = api.dpop(&token, strict).map_or(200, |error| error.status());
        assert_eq!(found, expected, "{change}");
    }
}

#[test]
fn presentation_of_the_token() {
    let api = Api::new();
    let token = api.token(json!({}));
    let unbound = api.token(json!({"cnf":null}));
    let dpop = format!("DPoP {token}");
    let bearer = format!("Bearer {token}");
    let unbound_bearer = format!("Bearer {unbound}");
    let one = |header: &str, requirement| api.call(&[header], &[], requirement);
    let any = Requirement {
        scheme: Scheme::DpopOrBoundBearer,
        ..doctor()
    };
    let plain = Requirement {
        scheme: Scheme::Bearer,
        ..doctor()
    };
    assert_eq!(api.call(&[], &[], doctor()), Some(RsError::NoToken));
    assert_eq!(
        api.call(&[&dpop, &dpop], &[], doctor()),
        Some(RsError::SeveralHeaders)
    );
    assert_eq!(one("Basic eDp5", doctor()), Some(RsError::WrongScheme));
    assert_eq!(one(&dpop, doctor()), Some(RsError::NoProof));
    assert_eq!(
        api.call(&[&dpop], &["a", "b"], doctor()),
        Some(RsError::SeveralHeaders)
    );
    assert_eq!(one(&bearer, doctor()), Some(RsError::BoundTokenAsBearer));
    assert_eq!(one(&bearer, plain), Some(RsError::BoundTokenAsBearer));
    assert_eq!(one(&bearer, any), None);
    assert_eq!(one(&unbound_bearer, plain), None);
    assert_eq!(one(&unbound_bearer, doctor()), Some(RsError::WrongScheme));
    assert_eq!(api.dpop(&unbound, any), Some(RsError::Unbound));
}

#[test]
fn proofs_at_an_api() {
    let api = Api::new();
    let token = api.token(json!({}));
    let header = format!("DPoP {token}");
    let made = |key: &PrivateJwk, method, address, for_token: &str| {
        make_proof(key, method, address, Some(for_token), None, NOW).unwrap()
    };
    let table = [
        (
            made(&api.client, "GET", "http://127.0.0.1:8080/fhir/x", &token),
            None,
        ),
        (
            made(&key(), "GET", "https://api.no/fhir/x", &token),
            Some(RsError::WrongKey),
        ),
        (
            made(&api.client, "POST", "https://api.no/fhir/x", &token),
            Some(RsError::Proof(jose::dpop::ProofError::WrongMethod)),
        ),
        (
            made(&api.client, "GET", "https://api.no/fhir/y", &token),
            Some(RsError::Proof(jose::dpop::ProofError::WrongAddress)),
        ),
        (
            made(&api.client, "GET", "https://evil.no/fhir/x", &token),
            Some(RsError::Proof(jose::dpop::ProofError::WrongAddress)),
        ),
        (
            made(&api.client, "GET", "https://api.no/fhir/x", "other"),
            Some(RsError::Proof(jose::dpop::ProofError::WrongToken)),
        ),
    ];
    for (proof, expected) in table {
        assert_eq!(api.call(&[&header], &[&proof], doctor()), expected);
    }
}

#[test]
fn forged_tokens() {
    let api = Api::new();
    let claims = Claims(api.claims().as_object().unwrap().clone());
    let other = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW).unwrap();
    assert_eq!(
        api.dpop(&other.sign("at+jwt", &claims).unwrap(), doctor()),
        Some(RsError::UnknownKey)
    );
    let proof_type = api.ring.sign("dpop+jwt", &claims).unwrap();
    assert_eq!(api.dpop(&proof_type, doctor()), Some(RsError::WrongTyp));
    let mut id_token = claims.clone();
    id_token.0.shift_remove("client_id");
    id_token.0.shift_remove("scope");
    let id_token = api.ring.sign("JWT", &id_token).unwrap();
    assert_eq!(api.dpop(&id_token, doctor()), Some(RsError::WrongTyp));
    let good = api.token(json!({}));
    let (input, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        api.dpop(&format!("{input}."), doctor()).unwrap().status(),
        401
    );
    for name in ["jwk", "jku", "x5u", "x5c"] {
        let header = json!({"alg":"ES256","typ":"at+jwt","kid":"k",name:"x"});
        assert_eq!(
            api.dpop(&crate::reheaded(&good, &header), doctor()),
            Some(RsError::CarriesKey)
        );
    }
}

#[test]
fn answers_name_the_error_but_never_the_token() {
    let api = Api::new();
    let token = api.token(json!({names::SECURITY_LEVEL:"3"}));
    let error = api.dpop(&token, doctor()).unwrap();
    assert_eq!(
        error.www_authenticate(&[Alg::Es256, Alg::Rs256]),
        "DPoP error=\"insufficient_user_authentication\", error_description=\"the call needs a login at security level 4\", algs=\"ES256 RS256\""
    );
    assert_eq!(
        RsError::NoToken
            .www_authenticate(HELSEID_CLIENT_ALGS)
            .matches('"')
            .count(),
        2
    );
}

#[test]
fn a_remembered_token_is_checked_for_everything_but_its_signature() {
    let world = Api::new();
    let token = world.token(json!({}));
    let server = &world.server;
    let at = |now_s| server.verify_token(&token, now_s, false);
    assert!(at(NOW).is_ok());
    assert_eq!(at(NOW), at(NOW + 1));
    let expires_s = at(NOW).unwrap().expires_s();
    assert!(at(expires_s + 4).is_ok());
    assert!(matches!(at(expires_s + 5), Err(RsError::Claims(_))));
    assert!(matches!(
        server
            .for_audience("other")
            .verify_token(&token, NOW, false),
        Err(RsError::Claims(_))
    ));
    // Nothing about a token is remembered but for exactly its bytes.
    let mut changed = token.clone();
    let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
    changed.push(last);
    assert!(server.verify_token(&changed, NOW, false).is_err());
}

#[test]
fn a_remembered_token_ends_with_its_key() {
    let first = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW).unwrap();
    let second = Keyring::generate(KeyKind::P256, Alg::Es256, "test", NOW).unwrap();
    let set = |ring: &Keyring| JwkSet::from_slice(ring.jwks().to_string().as_bytes()).unwrap();
    let keys = Arc::new(CachedKeys::new(set(&first), NOW, 30));
    let replay = Arc::new(MemoryState::new(Arc::new(|| NOW), 1_000));
    let server = ResourceServer::new("https://i", "a", &[], keys.clone(), replay);
    let mut claims = Claims::default();
    claims.set("iss", "https://i").set("aud", "a");
    claims.set("exp", NOW + 100).set("client_id", "c");
    claims.set("scope", json!(["a/x"]));
    let token = first.sign("at+jwt", &claims).unwrap();
    for _ in 0..2 {
        assert!(server.verify_token(&token, NOW, false).is_ok());
    }
    keys.fetched(set(&second), second.phases()[0].0, NOW);
    assert_eq!(
        server.verify_token(&token, NOW, false),
        Err(RsError::UnknownKey)
    );
}
