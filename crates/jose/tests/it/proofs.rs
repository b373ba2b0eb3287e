use jose::alg::HELSEID_CLIENT_ALGS;
use jose::dpop::{
    self, ProofCheck, ProofError, make_proof, normalise_htu, token_hash, verify_proof,
};
use jose::jwk::JwkError;
use jose::jws::JwsError;
use jose::jwt::JwtError;
use proptest::prelude::*;
use serde_json::json;

use crate::{NOW, key, reheaded, signed, with};

const TOKEN_ENDPOINT: &str = "https://localhost:8444/connect/token";

fn addresses() -> Vec<String> {
    vec![
        TOKEN_ENDPOINT.to_owned(),
        "http://127.0.0.1:8084/connect/token".to_owned(),
    ]
}

fn check<'a>(addresses: &'a [String]) -> ProofCheck<'a> {
    ProofCheck {
        method: "POST",
        addresses,
        token_hash: None,
        now_s: NOW,
        max_age_s: 60,
        max_ahead_s: 10,
        algs: HELSEID_CLIENT_ALGS,
    }
}

#[test]
fn rfc_9449_example() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let addresses = ["https://server.example.com/token".to_owned()];
    let check = ProofCheck {
        now_s: 1_562_262_616,
        ..check(&addresses)
    };
    let verified = verify_proof(proof, &check).unwrap();
    assert_eq!(verified.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(
        (verified.jti.as_str(), verified.nonce),
        ("-BwC3ESc6acc2lTc", None)
    );
}

#[test]
fn addresses_are_compared_normalised() {
    let table = [
        ("https://localhost:8444/connect/token", Some(TOKEN_ENDPOINT)),
        (
            "HTTPS://LOCALHOST:8444/connect/token?a=b#c",
            Some(TOKEN_ENDPOINT),
        ),
        (
            "https://localhost:8444/x/../connect/./token",
            Some(TOKEN_ENDPOINT),
        ),
        ("https://h.no:443/a", Some("https://h.no/a")),
        ("http://h.no:80", Some("http://h.no/")),
        ("https://u@h.no/a", None),
        ("ftp://h.no/a", None),
        ("/connect/token", None),
        ("", None),
    ];
    for (input, expected) in table {
        assert_eq!(normalise_htu(input).as_deref(), expected, "{input}");
    }
}

#[test]
fn proofs_are_refused_each_for_its_reason() {
    let key = key();
    let addresses = addresses();
    let jwk = json!(key.public().to_members());
    let header = json!({"typ":"dpop+jwt","jwk":jwk,"kid":"tolerated"});
    let claims = json!({"jti":"0123456789","htm":"POST","htu":TOKEN_ENDPOINT,"iat":NOW,"nbf":NOW,"exp":NOW+60});
    let proof = |head: serde_json::Value, change: serde_json::Value| {
        signed(with(&header, head), &with(&claims, change), &key)
    };
    let none = json!({});
    let private = json!(key.to_secret_members());
    let table = vec![
        (proof(none.clone(), none.clone()), None),
        (
            proof(
                json!({"typ":"application/dpop+jwt"}),
                json!({"htu":"http://127.0.0.1:8084/connect/token"}),
            ),
            None,
        ),
        (proof(none.clone(), json!({"iat":NOW-60})), None),
        (
            proof(json!({"typ":"JWT"}), none.clone()),
            Some(ProofError::WrongTyp),
        ),
        (
            proof(json!({"typ":null}), none.clone()),
            Some(ProofError::WrongTyp),
        ),
        (
            proof(json!({"jwk":null}), none.clone()),
            Some(ProofError::NoKey),
        ),
        (
            proof(json!({"jwk":"x"}), none.clone()),
            Some(ProofError::NoKey),
        ),
        (
            proof(json!({"jwk":private}), none.clone()),
            Some(ProofError::BadKey(JwkError::PrivateMember("d"))),
        ),
        (
            proof(json!({"jwk":{"kty":"oct","k":"AAAA"}}), none.clone()),
            Some(ProofError::BadKey(JwkError::Symmetric)),
        ),
        (
            proof(
                json!({"jwk":self::key().public().to_members()}),
                none.clone(),
            ),
            Some(ProofError::Jws(JwsError::BadSignature)),
        ),
        (
            reheaded(
                &proof(none.clone(), none.clone()),
                &with(&header, json!({"alg":"none"})),
            ),
            Some(ProofError::Jws(JwsError::AlgNone)),
        ),
        (
            reheaded(
                &proof(none.clone(), none.clone()),
                &with(&header, json!({"alg":"HS256"})),
            ),
            Some(ProofError::Jws(JwsError::AlgUnknown)),
        ),
        (
            reheaded(
                &proof(none.clone(), none.clone()),
                &with(&header, json!({"alg":"EdDSA"})),
            ),
            Some(ProofError::WrongAlg),
        ),
        (
            proof(none.clone(), json!({"htm":"GET"})),
            Some(ProofError::WrongMethod),
        ),
        (
            proof(none.clone(), json!({"htm":"post"})),
            Some(ProofError::WrongMethod),
        ),
        (
            proof(none.clone(), json!({"htm":null})),
            Some(ProofError::Claims(JwtError::Missing("htm"))),
        ),
        (
            proof(
                none.clone(),
                json!({"htu":"https://localhost:8444/connect/par"}),
            ),
            Some(ProofError::WrongAddress),
        ),
        (
            proof(none.clone(), json!({"htu":"https://evil.no/connect/token"})),
            Some(ProofError::WrongAddress),
        ),
        (
            proof(none.clone(), json!({"htu":null})),
            Some(ProofError::Claims(JwtError::Missing("htu"))),
        ),
        (
            proof(none.clone(), json!({"iat":NOW-61})),
            Some(ProofError::TooOld(61)),
        ),
        (
            proof(none.clone(), json!({"iat":NOW+11})),
            Some(ProofError::InFuture(11)),
        ),
        (
            proof(none.clone(), json!({"iat":null})),
            Some(ProofError::Claims(JwtError::Missing("iat"))),
        ),
        (
            proof(none.clone(), json!({"exp":NOW-11})),
            Some(ProofError::Expired),
        ),
        (
            proof(none.clone(), json!({"jti":null})),
            Some(ProofError::Claims(JwtError::Missing("jti"))),
        ),
        (
            proof(none.clone(), json!({"jti":""})),
            Some(ProofError::Claims(JwtError::Missing("jti"))),
        ),
        (
            proof(none.clone(), json!({"jti":"x".repeat(300)})),
            Some(ProofError::BadJti),
        ),
        (
            "x".repeat(9_000),
            Some(ProofError::Jws(JwsError::TooLarge(dpop::MAX_PROOF_BYTES))),
        ),
    ];
    for (number, (proof, expected)) in table.into_iter().enumerate() {
        assert_eq!(
            verify_proof(&proof, &check(&addresses)).err(),
            expected,
            "row {number}"
        );
    }
}

#[test]
fn a_proof_belongs_to_one_access_token() {
    let key = key();
    let addresses = ["https://api.no/x".to_owned()];
    let hash = token_hash("token-1");
    let check = ProofCheck {
        method: "GET",
        token_hash: Some(&hash),
        ..check(&addresses)
    };
    let made =
        |token| make_proof(&key, "GET", "https://api.no/x?page=2", token, Some(""), NOW).unwrap();
    let verified = verify_proof(&made(Some("token-1")), &check).unwrap();
    assert_eq!(verified.nonce, None);
    assert_eq!(
        verify_proof(&made(Some("token-2")), &check).unwrap_err(),
        ProofError::WrongToken
    );
    assert_eq!(
        verify_proof(&made(None), &check).unwrap_err(),
        ProofError::Claims(JwtError::Missing("ath"))
    );
}

proptest! {
    #[test]
    fn never_panics(header in "[ -~]{0,80}", payload in "[ -~]{0,80}") {
        let addresses = addresses();
        let token = format!("{}.{}.AA", jose::encoding::b64url(header.as_bytes()), jose::encoding::b64url(payload.as_bytes()));
        prop_assert!(verify_proof(&token, &check(&addresses)).is_err());
        let _ = normalise_htu(&payload);
    }
}
