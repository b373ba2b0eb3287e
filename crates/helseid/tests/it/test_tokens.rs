//! The test-token service over HTTP (spec §15): sound and purposely broken tokens, judged by the check that APIs make.

use axum::body::Body;
use axum::http::Request;
use jose::rs::{Presented, Requirement, RsError};
use jose::{PrivateJwk, dpop, names};
use serde_json::{Value, json};

use crate::people::DOCTOR;
use crate::{Answer, ISSUER, World, claims};

pub const KEY: &str = "test-token-key";
const API: &str = "https://api.example";

pub fn start() -> World {
    World::with(|config| config.test_token_keys = vec![KEY.to_owned()])
}

pub async fn ask(world: &World, key: &str, request: &Value) -> Answer {
    let request = Request::post("/v2/create-test-token-with-key")
        .header("X-Auth-Key", key)
        .header("Content-Type", "application/json")
        .body(Body::from(request.to_string()))
        .unwrap();
    world.send(request).await
}

async fn made(world: &World, request: &Value) -> (String, Option<String>) {
    let answer = ask(world, KEY, request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["isError"], false);
    let text = |name: &str| body["successResponse"][name].as_str().map(str::to_owned);
    (text("accessTokenJwt").unwrap(), text("dPoPProof"))
}

/// What an API with that audience says to the token, with or without proof.
fn judged(world: &World, token: &str, proof: Option<&str>) -> Result<(), RsError> {
    let replay = std::sync::Arc::new(jose::MemoryState::new(jose::system_clock(), 100));
    let server = world
        .helseid
        .resource_server("nhn:pps", &[API.to_owned()], replay);
    let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
    let authorization = format!("{scheme} {token}");
    let proofs: Vec<&str> = proof.into_iter().collect();
    let presented = Presented {
        method: "GET",
        path: "/x",
        authorization: &[&authorization],
        dpop: &proofs,
        now_s: world.now(),
    };
    let requirement = Requirement {
        scheme: if proof.is_some() {
            jose::rs::Scheme::Dpop
        } else {
            jose::rs::Scheme::Bearer
        },
        user: true,
        min_level: Some(4),
        ..Requirement::scope(&["nhn:pps/provesvar-read"])
    };
    server.check(&presented, &requirement).map(|_| ())
}

#[tokio::test]
async fn a_default_token_passes_at_an_api() {
    let world = start();
    let (token, proof) = made(&world, &json!({"audience": "nhn:pps"})).await;
    assert!(proof.is_none());
    assert_eq!(judged(&world, &token, None), Ok(()));
    let found = claims(&token);
    assert_eq!(found["iss"], ISSUER);
    assert_eq!(found["aud"], "nhn:pps");
    assert_eq!(found["exp"], world.now() + 600);
    assert_eq!(found[names::PID], DOCTOR);
    assert_eq!(found[names::SECURITY_LEVEL], "4");
    assert_eq!(found["sub"], found["sub"].as_str().unwrap());
    let (plain, _) = made(&world, &json!({})).await;
    assert_eq!(claims(&plain)["aud"], "nhn:some:api");
}

#[tokio::test]
async fn broken_tokens_are_refused_each_for_its_reason() {
    let world = start();
    let ask = |change: Value| {
        let mut request = json!({"audience":"nhn:pps"});
        for (name, value) in change.as_object().unwrap() {
            request[name] = value.clone();
        }
        request
    };
    let table: [(Value, &str); 9] = [
        (json!({"signJwtWithInvalidSigningKey":true}), "signature"),
        (json!({"setInvalidIssuer":true}), "another issuer"),
        (json!({"issuerEnvironment":"IntTest"}), "another issuer"),
        (json!({"setInvalidAudience":true}), "another audience"),
        (
            json!({"expirationParameters":{"setExpirationTimeAsExpired":true}}),
            "expired",
        ),
        (
            json!({"clientClaimsParameters":{"scope":["nhn:pps/other"]}}),
            "scope",
        ),
        (
            json!({"userClaimsParameters":{"securityLevel":"3"}}),
            "level",
        ),
        (json!({"withoutDefaultUserClaims":true}), "user"),
        (json!({"clientClaimsParameters":{"cnfJkt":"x"}}), "bound"),
    ];
    for (change, reason) in table {
        let (token, _) = made(&world, &ask(change.clone())).await;
        let refused = judged(&world, &token, None).unwrap_err().to_string();
        assert!(
            refused.to_lowercase().contains(reason),
            "{change}: {refused}"
        );
    }
}

#[tokio::test]
async fn proofs_are_right_or_wrong_in_one_way() {
    let world = start();
    for (number, name) in [
        "None",
        "DontSetHtuClaimValue",
        "DontSetHtmClaimValue",
        "SetIatValueInThePast",
        "SetIatValueInTheFuture",
        "DontSetAthClaimValue",
        "DontSetAlgHeader",
        "DontSetJwkHeader",
        "DontSetJtiClaim",
        "SetAlgHeaderToASymmetricAlgorithm",
        "SetPrivateKeyInJwkHeader",
        "SetInvalidTypHeaderValue",
        "SetAnInvalidSignature",
        "SetAnInvalidJktValueInToken",
    ]
    .into_iter()
    .enumerate()
    {
        for flaw in [json!(name), json!(number)] {
            let request = json!({
                "Audience": "nhn:pps", "CreateDPoPTokenWithDPoPProof": true,
                "DPoPProofParameters": {"HtuClaimValue": format!("{API}/x"), "HtmClaimValue": "GET", "InvalidDPoPProofParameters": flaw},
            });
            let (token, proof) = made(&world, &request).await;
            let judged = judged(&world, &token, proof.as_deref());
            assert_eq!(judged.is_ok(), number == 0, "{name}: {judged:?}");
        }
    }
    let missing =
        json!({"createDPoPTokenWithDPoPProof":true,"dPoPProofParameters":{"htmClaimValue":"GET"}});
    let answer = ask(&world, KEY, &missing).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["errorResponse"]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("htuClaimValue")
    );
    let own = PrivateJwk::generate(jose::jwk::KeyKind::P256, None).unwrap();
    let request = json!({"createDPoPTokenWithDPoPProof":true,"dPoPProofParameters":{"htmClaimValue":"GET","htuClaimValue":"https://a.example/",
        "privateKeyForProofCreation": Value::Object(own.to_secret_members()).to_string()}});
    let (token, proof) = made(&world, &request).await;
    assert_eq!(claims(&token)["cnf"]["jkt"], own.public().thumbprint());
    let check = dpop::ProofCheck {
        method: "GET",
        addresses: &["https://a.example/".to_owned()],
        token_hash: Some(&dpop::token_hash(&token)),
        now_s: world.now(),
        max_age_s: 5,
        max_ahead_s: 5,
        algs: jose::alg::HELSEID_CLIENT_ALGS,
    };
    assert!(dpop::verify_proof(&proof.unwrap(), &check).is_ok());
}

#[tokio::test]
async fn every_claim_can_be_asked_for() {
    let world = start();
    let request = json!({
        "audience": "e-helse:sfm.api", "clientClaimsParametersGeneration": 2, "userClaimsParametersGeneration": "ParameterValues",
        "createTillitsrammeverkClaims": true, "setPidPseudonym": true, "setSubject": true, "createTokenExchangeClaims": true,
        "expirationParameters": {"expirationTimeInDays": 2}, "headerParameters": {"typ": "jwt"},
        "clientClaimsParameters": {"scope": ["a", "b"], "clientId": "c", "sfmJournalId": "7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35",
            "orgnrParent": "1", "orgnrChild": "2", "orgnrSupplier": "3", "clientTenancy": true, "clientTenancyType": 0,
            "authenticationMethodsReferences": ["rsa_private_key"], "clientAuthenticationMethodsReferences": "x", "clientName": "n", "jti": "j"},
        "userClaimsParameters": {"pid": DOCTOR, "hprNumber": "9", "name": "N", "identityProvider": "i", "securityLevel": "3",
            "assuranceLevel": "substantial", "network": "helsenett", "amr": "x", "sid": "s"},
        "tillitsrammeverkClaimsParameters": {"practitionerAuthorizationCode": "SP", "practitionerLegalEntityId": "999977774",
            "dontSetPractitionerDepartment": true, "patientsPointOfCareId": "999977776", "careRelationshipDecisionRefUserSelected": false},
        "apiSpecificClaims": [{"type": "nhn:msh/client/claims/herid", "value": "0"}],
        "tokenExchangeParameters": {"clientId": "actor", "orgnrParent": "4"},
    });
    let (token, _) = made(&world, &request).await;
    let found = claims(&token);
    let expected = json!({
        "aud": "e-helse:sfm.api", "scope": ["a", "b"], "client_id": "c", "nhn:sfm:journal-id": "7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35",
        (names::ORGNR_PARENT): "1", (names::ORGNR_CHILD): "2", (names::ORGNR_SUPPLIER): "3", (names::CLIENT_TENANCY): "multi-tenant",
        "helseid://claims/client/amr": "rsa_private_key", "client_amr": "x", (names::CLIENT_NAME): "n", "jti": "j",
        (names::PID): DOCTOR, (names::HPR_NUMBER): "9", "name": "N", "idp": "i", (names::SECURITY_LEVEL): "3",
        (names::ASSURANCE_LEVEL): "substantial", (names::NETWORK): "helsenett", "amr": ["x"], "sid": "s",
        "nhn:msh/client/claims/herid": "0", "act": {"iss": ISSUER, "client_id": "actor", (names::ORGNR_PARENT): "4"},
        "exp": world.now() + 2 * 86_400,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    assert_eq!(found["sub"], found[names::PID_PSEUDONYM]);
    assert!(found.get("auth_time").is_none());
    let attest = &found[names::ATTEST];
    assert_eq!(attest["practitioner"]["authorization"]["code"], "SP");
    assert_eq!(attest["practitioner"]["identifier"]["id"], DOCTOR);
    assert!(attest["practitioner"].get("department").is_none());
    assert_eq!(attest["patients"][0]["point_of_care"]["id"], "999977776");
    assert_eq!(
        attest["care_relationship"]["decision_ref"]["user_selected"],
        false
    );
    assert_eq!(
        attest["care_relationship"]["purpose_of_use"]["code"],
        "TREAT"
    );

    let from_registers = json!({"withoutDefaultUserClaims": true, "getPersonFromPersontjenesten": true, "getHprNumberFromHprregisteret": true,
        "onlySetNameForPerson": true, "userClaimsParameters": {"pid": DOCTOR}});
    let (token, _) = made(&world, &from_registers).await;
    let found = claims(&token);
    assert_eq!(found["name"], "KVART GREVLING");
    assert_eq!(found[names::HPR_NUMBER], "565505933");
    assert!(found.get("given_name").is_none());
    let nobody = json!({"getPersonFromPersontjenesten": true, "userClaimsParameters": {"pid": "00000000000"}});
    assert_eq!(ask(&world, KEY, &nobody).await.status, 400);
}

#[tokio::test]
async fn who_has_no_key_gets_nothing_and_production_has_no_such_service() {
    let world = start();
    for key in ["", "wrong", "test-token-keyx"] {
        let answer = ask(&world, key, &json!({})).await;
        assert_eq!(
            (answer.status, answer.json()["isError"].clone()),
            (401, json!(true)),
            "{key}"
        );
    }
    for bad in [
        "",
        "[]",
        "{\"audience\":1e400}",
        "{\"a\":1,\"A\":1}",
        "{\"audience\":{}}",
    ] {
        let request = Request::post("/create-test-token-with-key")
            .header("X-Auth-Key", KEY)
            .body(Body::from(bad.to_owned()))
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(
            (answer.status, answer.json()["isError"].clone()),
            (400, json!(true)),
            "{bad}"
        );
    }
    let production = World::with(|config| {
        config.test_token_keys = vec![KEY.to_owned()];
        config.test_idp = false;
    });
    assert_eq!(ask(&production, KEY, &json!({})).await.status, 404);
    assert_eq!(ask(&World::start(), KEY, &json!({})).await.status, 404);
}
