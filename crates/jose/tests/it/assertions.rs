use jose::alg::HELSEID_CLIENT_ALGS;
use jose::assertion::{
    AssertionError, AssertionRules, Leniency, Unverified, make_client_assertion,
    verify_client_assertion, verify_request_object,
};
use jose::jwk::KeyKind;
use jose::jws::JwsError;
use jose::jwt::JwtError;
use jose::{Alg, PrivateJwk, PublicJwk};
use serde_json::{Value, json};

use crate::{NOW, key, reheaded, signed, with};

const ISSUER: &str = "https://localhost:8444";
const CLIENT: &str = "2141d734-7604-42ca-a377-27f1b712f4e6";

fn endpoints() -> Vec<String> {
    vec![
        format!("{ISSUER}/connect/token"),
        format!("{ISSUER}/connect/par"),
    ]
}

fn rules(endpoints: &[String], compatible: bool) -> AssertionRules<'_> {
    AssertionRules {
        issuer: ISSUER,
        endpoints,
        compatible,
        now_s: NOW,
        algs: HELSEID_CLIENT_ALGS,
    }
}

fn strict_claims() -> Value {
    json!({"iss":CLIENT,"sub":CLIENT,"aud":ISSUER,"iat":NOW,"nbf":NOW,"exp":NOW+30,"jti":"0123456789abcdef"})
}

#[test]
fn attack_table_a1_to_a7() {
    let key = key();
    let keys = [key.public().clone()];
    let endpoints = endpoints();
    let header = json!({"typ":"client-authentication+jwt"});
    let token = |head: Value, change: Value| {
        signed(with(&header, head), &with(&strict_claims(), change), &key)
    };
    let none = json!({});
    use AssertionError as E;
    // (token, refusal in strict mode, refusal in compatible mode)
    let both = |error: AssertionError| (Some(error.clone()), Some(error));
    let strict_only = |error: AssertionError| (Some(error), None);
    type Refusals = (Option<AssertionError>, Option<AssertionError>);
    let table: Vec<(String, Refusals)> = vec![
        (token(none.clone(), none.clone()), (None, None)),
        (
            token(none.clone(), json!({"iat":NOW.to_string()})),
            (None, None),
        ),
        (token(none.clone(), json!({"exp":NOW+70})), (None, None)),
        (token(none.clone(), json!({"exp":NOW-9})), (None, None)),
        (
            token(json!({"typ":null}), none.clone()),
            strict_only(E::WrongTyp("client-authentication+jwt")),
        ),
        (
            token(json!({"typ":"JWT"}), none.clone()),
            strict_only(E::WrongTyp("client-authentication+jwt")),
        ),
        (
            token(json!({"typ":"dpop+jwt"}), none.clone()),
            both(E::WrongTyp("client-authentication+jwt")),
        ),
        (
            token(json!({"typ":"oauth-authz-req+jwt"}), none.clone()),
            both(E::WrongTyp("client-authentication+jwt")),
        ),
        (
            token(
                none.clone(),
                json!({"aud":format!("{ISSUER}/connect/token")}),
            ),
            strict_only(E::WrongAudience),
        ),
        (
            token(none.clone(), json!({"aud":format!("{ISSUER}/connect/par")})),
            strict_only(E::WrongAudience),
        ),
        (
            token(none.clone(), json!({"aud":format!("{ISSUER}/")})),
            both(E::WrongAudience),
        ),
        (
            token(none.clone(), json!({"aud":"https://other.no"})),
            both(E::WrongAudience),
        ),
        (
            token(none.clone(), json!({"aud":[ISSUER]})),
            strict_only(E::SeveralAudiences),
        ),
        (
            token(none.clone(), json!({"aud":[ISSUER,"https://other.no"]})),
            both(E::SeveralAudiences),
        ),
        (
            token(none.clone(), json!({"aud":null})),
            both(E::Claims(JwtError::Missing("aud"))),
        ),
        (
            token(none.clone(), json!({"nbf":null})),
            strict_only(E::Claims(JwtError::Missing("nbf"))),
        ),
        (
            token(none.clone(), json!({"iat":null})),
            strict_only(E::Claims(JwtError::Missing("iat"))),
        ),
        (
            token(none.clone(), json!({"nbf":NOW+11})),
            both(E::Claims(JwtError::NotYetValid(11))),
        ),
        (
            token(none.clone(), json!({"iat":NOW+11})),
            both(E::Claims(JwtError::IssuedInFuture(11))),
        ),
        (
            token(none.clone(), json!({"iat":true})),
            both(E::Claims(JwtError::WrongType("iat"))),
        ),
        (
            token(none.clone(), json!({"exp":null})),
            both(E::Claims(JwtError::Missing("exp"))),
        ),
        (
            token(none.clone(), json!({"exp":NOW-10})),
            both(E::Claims(JwtError::Expired(10))),
        ),
        (
            token(none.clone(), json!({"exp":NOW+71})),
            both(E::TooLongLived(71)),
        ),
        (
            token(none.clone(), json!({"iss":"other"})),
            both(E::WrongIssuer),
        ),
        (
            token(none.clone(), json!({"sub":"other"})),
            both(E::WrongSubject),
        ),
        (
            token(none.clone(), json!({"jti":null})),
            both(E::Claims(JwtError::Missing("jti"))),
        ),
        (token(none.clone(), json!({"jti":"short"})), both(E::BadJti)),
        (
            token(none.clone(), json!({"redirect_uri":"https://x"})),
            both(E::RequestObject),
        ),
        (
            token(json!({"kid":"unknown"}), none.clone()),
            both(E::NoKey),
        ),
        (
            reheaded(
                &token(none.clone(), none.clone()),
                &json!({"alg":"none","typ":"client-authentication+jwt"}),
            ),
            both(E::Jws(JwsError::AlgNone)),
        ),
        (
            reheaded(
                &token(none.clone(), none.clone()),
                &json!({"alg":"HS256","typ":"client-authentication+jwt"}),
            ),
            both(E::Jws(JwsError::AlgUnknown)),
        ),
        (
            reheaded(
                &token(none.clone(), none.clone()),
                &json!({"alg":"EdDSA","typ":"client-authentication+jwt"}),
            ),
            both(E::WrongAlg),
        ),
        (
            reheaded(
                &token(none.clone(), none.clone()),
                &json!({"alg":"RS256","typ":"client-authentication+jwt"}),
            ),
            both(E::NoKey),
        ),
        (
            signed(header.clone(), &strict_claims(), &self::key()),
            both(E::Jws(JwsError::BadSignature)),
        ),
    ];
    for (number, (token, (strict, compatible))) in table.into_iter().enumerate() {
        let found = verify_client_assertion(&token, CLIENT, &keys, &rules(&endpoints, false));
        assert_eq!(found.err(), strict, "strict, row {number}");
        let found = verify_client_assertion(&token, CLIENT, &keys, &rules(&endpoints, true));
        assert_eq!(found.err(), compatible, "compatible, row {number}");
    }
}

#[test]
fn stock_python_client_passes_in_compatible_mode_with_every_departure_named() {
    let key = key();
    let claims = with(
        &strict_claims(),
        json!({"nbf":null,"aud":format!("{ISSUER}/connect/par"),"exp":NOW+60}),
    );
    let token = signed(json!({"typ":"JWT","kid":key.public().kid()}), &claims, &key);
    let endpoints = endpoints();
    let asserted = verify_client_assertion(
        &token,
        CLIENT,
        &[key.public().clone()],
        &rules(&endpoints, true),
    )
    .unwrap();
    assert_eq!(
        asserted.leniencies,
        [Leniency::Typ, Leniency::Audience, Leniency::NoNbf]
    );
}

#[test]
fn any_active_key_may_sign_and_our_own_assertions_are_strict() {
    let (old, new) = (
        key(),
        PrivateJwk::generate(KeyKind::Rsa2048, Some(Alg::Ps512)).unwrap(),
    );
    let keys: Vec<PublicJwk> = [&old, &new].map(|key| key.public().clone()).into();
    for key in [&old, &new] {
        let token = make_client_assertion(key, CLIENT, ISSUER, &Default::default(), NOW).unwrap();
        assert_eq!(
            Unverified::read(&token)
                .unwrap()
                .claimed_client_id()
                .unwrap(),
            CLIENT
        );
        let asserted = verify_client_assertion(&token, CLIENT, &keys, &rules(&[], false)).unwrap();
        assert_eq!(asserted.key_thumbprint, key.public().thumbprint());
        assert!(asserted.leniencies.is_empty());
    }
}

#[test]
fn request_objects_and_assertions_keep_separate_ids() {
    let key = key();
    let keys = [key.public().clone()];
    let claims = with(
        &strict_claims(),
        json!({"authorization_details":{"type":"x"}}),
    );
    let token = signed(json!({"typ":"client-authentication+jwt"}), &claims, &key);
    let assertion = verify_client_assertion(&token, CLIENT, &keys, &rules(&[], false)).unwrap();
    let object = verify_request_object(&token, CLIENT, &keys, &rules(&[], false)).unwrap();
    assert_ne!(assertion.replay_key(), object.replay_key());
    assert_eq!(assertion.role_key(), object.role_key());
    assert!(object.is_request_object() && !assertion.is_request_object());
    let no_sub = signed(
        json!({}),
        &with(&claims, json!({"sub":null,"client_id":CLIENT})),
        &key,
    );
    assert!(verify_request_object(&no_sub, CLIENT, &keys, &rules(&[], false)).is_ok());
    let other = signed(
        json!({}),
        &with(&claims, json!({"client_id":"other"})),
        &key,
    );
    let refused = verify_request_object(&other, CLIENT, &keys, &rules(&[], false));
    assert_eq!(refused.unwrap_err(), AssertionError::WrongSubject);
}
