//! Clocks differ: what is forgiven, to the second, on every check that looks at a time.

use std::sync::Arc;

use jose::alg::HELSEID_CLIENT_ALGS;
use jose::assertion::{AssertionRules, verify_client_assertion};
use jose::dpop::{self, ProofCheck};
use jose::keyring::Keyring;
use jose::rs::{Presented, Requirement, ResourceServer};
use jose::{Alg, Claims, MemoryState, PrivateJwk};
use serde_json::{Value, json};

use crate::{NOW, key, signed, with};

const ISSUER: &str = "https://localhost:8444";
const URL: &str = "https://api.no/x";

/// Offsets from now that are accepted; `None` = no bound on that side.
struct Window {
    what: &'static str,
    from: Option<i64>,
    to: Option<i64>,
}

impl Window {
    fn check(&self, accepts: impl Fn(i64) -> bool) {
        assert!(accepts(0), "{} now", self.what);
        let bounds = [(self.from, -1), (self.to, 1)];
        for (bound, outwards) in bounds {
            let Some(bound) = bound else { continue };
            for (offset, expected) in [
                (bound, true),
                (bound + outwards, false),
                (bound + 100 * outwards, false),
            ] {
                assert_eq!(accepts(offset), expected, "{} {offset:+} s", self.what);
            }
        }
    }
}

#[test]
fn client_assertions() {
    let key = key();
    let keys = [key.public().clone()];
    let accepts = |change: Value| {
        let claims = json!({"iss":"c","sub":"c","aud":ISSUER,"iat":NOW,"nbf":NOW,"exp":NOW+30,"jti":"0123456789abcdef"});
        let header = json!({"typ":"client-authentication+jwt"});
        let token = signed(header, &with(&claims, change), &key);
        let rules = AssertionRules {
            issuer: ISSUER,
            endpoints: &[],
            compatible: false,
            now_s: NOW,
            algs: HELSEID_CLIENT_ALGS,
        };
        verify_client_assertion(&token, "c", &keys, &rules).is_ok()
    };
    // Ten seconds both ways; a minute of life.
    for (what, from, to) in [
        ("exp", Some(-9), Some(70)),
        ("nbf", None, Some(10)),
        ("iat", None, Some(10)),
    ] {
        let window = Window { what, from, to };
        window.check(|offset| accepts(json!({ what: NOW + offset })));
    }
}

fn proof(key: &PrivateJwk, token: Option<&str>, issued_s: i64) -> String {
    dpop::make_proof(key, "GET", URL, token, None, issued_s).unwrap()
}

#[test]
fn proofs_at_the_issuer() {
    let (key, addresses) = (key(), [URL.to_owned()]);
    let check = ProofCheck {
        method: "GET",
        addresses: &addresses,
        token_hash: None,
        now_s: NOW,
        max_age_s: 60,
        max_ahead_s: 60,
        algs: HELSEID_CLIENT_ALGS,
    };
    let window = Window {
        what: "iat of a proof at the issuer",
        from: Some(-60),
        to: Some(60),
    };
    window.check(|offset| dpop::verify_proof(&proof(&key, None, NOW + offset), &check).is_ok());
}

#[test]
fn tokens_and_proofs_at_an_api() {
    let ring = Keyring::generate(jose::jwk::KeyKind::P256, Alg::Es256, "test", NOW).unwrap();
    let key = key();
    let replay = Arc::new(MemoryState::new(Arc::new(|| NOW), 1_000));
    let origins = ["https://api.no".to_owned()];
    let server = ResourceServer::new(ISSUER, "a", &origins, Arc::new(ring.clone()), replay);
    let accepts = |change: Value, proof_offset: i64| {
        let claims = json!({"iss":ISSUER,"aud":"a","iat":NOW,"nbf":NOW,"exp":NOW+600,"client_id":"c","scope":["a/x"],
            "cnf":{"jkt":key.public().thumbprint()}});
        let claims = Claims(with(&claims, change).as_object().unwrap().clone());
        let token = ring.sign("at+jwt", &claims).unwrap();
        let proof = proof(&key, Some(&token), NOW + proof_offset);
        let presented = Presented {
            method: "GET",
            path: "/x",
            authorization: &[&format!("DPoP {token}")],
            dpop: &[&proof],
            now_s: NOW,
        };
        // Twice, because a remembered token is judged by its times all the same.
        let first = server.verify_token(&token, NOW, true).is_ok();
        let whole = server
            .check(&presented, &Requirement::scope(&["a/x"]))
            .is_ok();
        assert!(first || !whole);
        whole
    };
    for (what, from, to) in [("exp", Some(-4), None), ("nbf", None, Some(5))] {
        let window = Window { what, from, to };
        window.check(|offset| accepts(json!({ what: NOW + offset }), 0));
    }
    let window = Window {
        what: "iat of a proof at an API",
        from: Some(-15),
        to: Some(5),
    };
    window.check(|offset| accepts(json!({}), offset));
}
