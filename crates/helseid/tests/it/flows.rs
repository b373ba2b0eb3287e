//! Whole flows with our own client.

use std::sync::{Arc, Mutex};

use helseid::client::{ClientError, LoginRequest};
use helseid::{Config, Helseid, KeyStore, Parts, StartError};
use jose::names;
use jose::rs::{Presented, Requirement};
use jose::{MemoryState, dpop, system_clock};
use serde_json::json;

use crate::people::{self, DOCTOR, MUNICIPALITY, NURSING_HOME};
use crate::{ISSUER, LOGIN_SCOPES, World, claims};

fn login() -> LoginRequest<'static> {
    LoginRequest {
        scopes: LOGIN_SCOPES,
        resources: &["nhn:kjernejournal", "nhn:pps"],
        ..LoginRequest::default()
    }
}

fn organisation(child: &str) -> serde_json::Value {
    json!({"type":"helseid_authorization","practitioner_role":{"organization":{"identifier":{
        "system":"urn:oid:2.16.578.1.12.4.1.4.101","type":"ENH","value":child}}}})
}

#[tokio::test]
async fn a_doctor_logs_in_and_calls_an_api() {
    let world = World::start();
    let party = world.party();
    let request = LoginRequest {
        parameters: &[
            ("acr_values", "idp:testidp-oidc Level4"),
            ("test_pid", DOCTOR),
        ],
        authorization_details: Some(organisation(NURSING_HOME)),
        ..login()
    };
    let (url, attempt) = party.begin(&request).await.unwrap();
    let back = world.get(&url, &[]).await;
    assert_eq!(back.status, 303);
    assert_eq!(back.callback("iss").as_deref(), Some(ISSUER));
    let tokens = party
        .finish(&attempt, back.query().unwrap(), Some("nhn:kjernejournal"))
        .await
        .unwrap();

    let id = &tokens.id_claims.0;
    assert_eq!(id[names::PID], DOCTOR);
    assert_eq!(id[names::SECURITY_LEVEL], "4");
    assert_eq!(id[names::HPR_NUMBER], "565505933");
    assert_eq!(id["amr"], json!(["pwd"]));
    assert_eq!(
        (&id["name"], &id["middle_name"]),
        (&json!("KVART GREVLING"), &json!(""))
    );
    assert_eq!(id["acr"], "idp:testidp-oidc");
    assert_eq!(id["sub"].as_str().unwrap().len(), 44);
    assert_eq!(
        id["exp"].as_i64().unwrap() - id["iat"].as_i64().unwrap(),
        300
    );

    let access = claims(&tokens.access_token);
    let names: Vec<&String> = access.keys().collect();
    assert_eq!(
        names,
        [
            "iss",
            "nbf",
            "iat",
            "exp",
            "aud",
            "cnf",
            "scope",
            "amr",
            "client_id",
            "client_amr",
            names::ORGNR_PARENT,
            names::ORGNR_CHILD,
            "sub",
            "auth_time",
            "idp",
            names::PID,
            names::SECURITY_LEVEL,
            names::HPR_NUMBER,
            "name",
            "given_name",
            "middle_name",
            "family_name",
            names::NETWORK,
            names::CLIENT_NAME,
            names::CLIENT_TENANCY,
            "sid",
            "jti"
        ]
    );
    assert_eq!(access["aud"], "nhn:kjernejournal");
    assert_eq!(access["scope"], json!(LOGIN_SCOPES[..7]));
    assert_eq!(
        (&access[names::ORGNR_PARENT], &access[names::ORGNR_CHILD]),
        (&json!(MUNICIPALITY), &json!(NURSING_HOME))
    );
    assert_eq!(access[names::CLIENT_NAME], "Granfjelldal kommune - EPJ");
    assert_eq!((&access["sub"], &access["sid"]), (&id["sub"], &id["sid"]));

    let replay = Arc::new(MemoryState::new(system_clock(), 100));
    let api = world.helseid.resource_server(
        "nhn:kjernejournal",
        &["https://localhost:8443".to_owned()],
        replay,
    );
    let proof = party
        .proof(
            "GET",
            "https://localhost:8443/fhir/kjernejournal/Patient",
            &tokens.access_token,
        )
        .unwrap();
    let presented = Presented {
        method: "GET",
        path: "/fhir/kjernejournal/Patient",
        authorization: &[&format!("DPoP {}", tokens.access_token)],
        dpop: &[&proof],
        now_s: world.now(),
    };
    let needs = Requirement::scope(&["nhn:kjernejournal/api"])
        .user_at_level(4)
        .with_organisation();
    let token = api.check(&presented, &needs).unwrap();
    assert_eq!(
        (token.pid(), token.hpr_number()),
        (Some(DOCTOR), Some("565505933"))
    );

    // The same session gives a token for the other API; the child stays, because it came with the pushed request.
    let refreshed = party
        .refresh(
            tokens.refresh_token.as_deref().unwrap(),
            Some("nhn:pps"),
            None,
        )
        .await
        .unwrap();
    let second = claims(&refreshed.access_token);
    assert_eq!(second["aud"], "nhn:pps");
    assert_eq!(second[names::ORGNR_CHILD], NURSING_HOME);
    assert!(
        refreshed.scope.ends_with("nhn:pps/provesvar-read")
            && !refreshed.scope.contains("kjernejournal")
    );
    assert!(refreshed.id_token.is_some());
}

#[tokio::test]
async fn a_machine_gets_a_token_without_user() {
    let world = World::start();
    let party = world.party();
    let tokens = party
        .client_credentials(
            &["nhn:pps/provesvar-read"],
            Some(organisation(NURSING_HOME)),
        )
        .await
        .unwrap();
    let access = claims(&tokens.access_token);
    for absent in ["sub", "sid", "amr", "idp", "auth_time", names::PID, "name"] {
        assert!(!access.contains_key(absent), "{absent}");
    }
    assert_eq!(access["scope"], json!(["nhn:pps/provesvar-read"]));
    assert_eq!(access[names::ORGNR_CHILD], NURSING_HOME);
    assert!(tokens.refresh_token.is_none() && tokens.id_token.is_none());
    // A structure of an assertion counts for its own answer only.
    let next = party
        .client_credentials(&["nhn:pps/provesvar-read"], None)
        .await
        .unwrap();
    assert!(!claims(&next.access_token).contains_key(names::ORGNR_CHILD));
}

#[tokio::test]
async fn user_info_takes_get_and_post_dpop_and_bearer() {
    let world = World::start();
    let tokens = world.log_in(&login()).await;
    let url = format!("{ISSUER}/connect/userinfo");
    let dpop = format!("DPoP {}", tokens.access_token);
    let bearer = format!("Bearer {}", tokens.access_token);
    let proof = |method| {
        dpop::make_proof(
            &world.key,
            method,
            &url,
            Some(&tokens.access_token),
            None,
            world.now(),
        )
        .unwrap()
    };
    let get = world
        .get(&url, &[("Authorization", &dpop), ("DPoP", &proof("GET"))])
        .await;
    assert_eq!(get.status, 200, "{}", get.text());
    let body = get.json();
    assert_eq!(body["sub"], tokens.id_claims.0["sub"]);
    assert_eq!(body[names::HPR_DETAILS]["approvals"][0]["profession"], "LE");
    assert!(body["userinfo_issued_at"].is_i64());
    let post = world
        .post(
            "/connect/userinfo",
            &[],
            &[("Authorization", &dpop), ("DPoP", &proof("POST"))],
        )
        .await;
    assert_eq!(post.status, 200);
    assert_eq!(
        world.get(&url, &[("Authorization", &bearer)]).await.status,
        200
    );
    let none = world.get(&url, &[]).await;
    assert_eq!((none.status, none.headers.get("DPoP-Nonce")), (401, None));
    assert!(
        none.header("WWW-Authenticate")
            .unwrap()
            .starts_with("DPoP ")
    );
    assert_eq!(
        world.get(&url, &[("Authorization", &dpop)]).await.status,
        401
    );

    let strict = World::with(|config| config.userinfo_bearer = false);
    let tokens = strict.log_in(&login()).await;
    let bearer = format!("Bearer {}", tokens.access_token);
    assert_eq!(
        strict.get(&url, &[("Authorization", &bearer)]).await.status,
        401
    );
}

#[tokio::test]
async fn the_client_refuses_a_foreign_callback() {
    let world = World::start();
    let party = world.party();
    let (_, attempt) = party.begin(&login()).await.unwrap();
    let iss = "iss=https%3A%2F%2Flocalhost%3A8444";
    for query in [
        "code=x&state=y".to_owned(),
        format!("code=x&state=y&{iss}"),
        format!("code=x&state={}&iss=https%3A%2F%2Fevil.no", attempt.state),
    ] {
        assert!(matches!(
            party.finish(&attempt, &query, None).await,
            Err(ClientError::WrongCallback(_))
        ));
    }
    let denied = format!(
        "error=access_denied&error_description=no&state={}&{iss}",
        attempt.state
    );
    assert!(
        matches!(party.finish(&attempt, &denied, None).await, Err(ClientError::Refused { error, .. }) if error == "access_denied")
    );
}

#[tokio::test]
async fn logging_out_ends_session_refresh_and_user_info() {
    let world = World::start();
    let tokens = world.log_in(&login()).await;
    let party = world.party();
    let url = party.end_session_url(
        tokens.id_token.as_deref().unwrap(),
        "http://localhost:3000/out",
    );
    world.wait(3_600);
    let out = world
        .get(&format!("{url}&state=s1&client_id=epj"), &[])
        .await;
    assert_eq!(
        out.header("Location").as_deref(),
        Some("http://localhost:3000/out?state=s1")
    );
    let refreshed = party
        .refresh(tokens.refresh_token.as_deref().unwrap(), None, None)
        .await;
    assert!(
        matches!(refreshed, Err(ClientError::Refused { error, .. }) if error == "invalid_grant")
    );
}

#[tokio::test]
async fn logout_never_redirects_to_strangers() {
    let world = World::start();
    let tokens = world.log_in(&login()).await;
    let party = world.party();
    let id_token = tokens.id_token.unwrap();
    let evil = world
        .get(&party.end_session_url(&id_token, "https://evil.no/"), &[])
        .await;
    assert_eq!((evil.status, evil.header("Location")), (400, None));
    let foreign = World::start().log_in(&login()).await.id_token.unwrap();
    let foreign = world
        .get(
            &party.end_session_url(&foreign, "http://localhost:3000/out"),
            &[],
        )
        .await;
    assert_eq!((foreign.status, foreign.header("Location")), (400, None));
    let access = world
        .get(
            &party.end_session_url(&tokens.access_token, "http://localhost:3000/out"),
            &[],
        )
        .await;
    assert_eq!(access.status, 400);
    let other_client = world
        .get(
            &format!(
                "{}&client_id=x",
                party.end_session_url(&id_token, "http://localhost:3000/out")
            ),
            &[],
        )
        .await;
    assert_eq!(other_client.status, 400);
    let asked = world.get("/connect/endsession", &[]).await;
    assert!(asked.status == 200 && asked.text().contains("<form"));
}

/// A key store in memory, to start twice from.
#[derive(Default)]
struct Kept(Mutex<Option<Vec<u8>>>);

impl KeyStore for Kept {
    fn load(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn keep_first(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .get_or_insert_with(|| bytes.to_vec())
            .clone())
    }

    fn replace(&self, old: &[u8], bytes: &[u8]) -> Result<bool, String> {
        let mut kept = self.0.lock().unwrap();
        let same = kept.as_deref() == Some(old);
        if same {
            *kept = Some(bytes.to_vec());
        }
        Ok(same)
    }
}

fn start(keys: Arc<dyn KeyStore>, issuer: &str) -> Result<Helseid, StartError> {
    let state = Arc::new(MemoryState::new(system_clock(), 100));
    let parts = Parts {
        directory: Arc::new(people::People),
        state: state.clone(),
        replay: state,
        keys,
        clock: system_clock(),
    };
    Helseid::new(Config::new(issuer), parts)
}

#[tokio::test]
async fn keys_survive_a_restart_and_rotation_is_saved() {
    let kept = Arc::new(Kept::default());
    let first = start(kept.clone(), ISSUER).unwrap();
    let jwks = first.jwks();
    assert_eq!(jwks["keys"][0]["alg"], "RS256");
    let second = start(kept.clone(), ISSUER).unwrap();
    assert_eq!(second.jwks(), jwks);
    let due_now = jose::keyring::RotationPolicy {
        active_s: 0,
        announce_s: 0,
        overlap_s: 100,
    };
    assert!(second.rotate_keys(&due_now).unwrap());
    assert_eq!(second.jwks()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(start(kept.clone(), ISSUER).unwrap().jwks(), second.jwks());
    *kept.0.lock().unwrap() = Some(b"{}".to_vec());
    assert!(matches!(start(kept, ISSUER), Err(StartError::Damaged)));
}

#[tokio::test]
async fn the_issuer_is_a_bare_https_origin() {
    for issuer in [
        "http://localhost:8444",
        "https://localhost:8444/",
        "https://localhost:8444/x",
        "https://u@h.no",
        "localhost",
        "https://H.no",
    ] {
        assert!(
            matches!(
                start(Arc::new(Kept::default()), issuer),
                Err(StartError::BadIssuer(_))
            ),
            "{issuer}"
        );
    }
}
