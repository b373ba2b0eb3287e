//! Token exchange over HTTP (spec §11, attack A24).

use helseid::Client;
use jose::jwk::KeyKind;
use jose::{PrivateJwk, names};
use serde_json::{Value, json};

use crate::people::{self, MUNICIPALITY, OFFICE};
use crate::{AUTH, Answer, ISSUER, World, claims, client_with};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A world with the backends of two APIs: kjernejournal's may call pps, that of pps may call parek.
pub struct Chain {
    pub world: World,
    pub first: PrivateJwk,
    pub second: PrivateJwk,
}

pub fn actor(key: &PrivateJwk, client_id: &str, acts_for: &str, scope: &str) -> Client {
    let mut client = client_with(key, client_id);
    client.acts_for = [acts_for.to_owned()].into();
    client.scopes = [scope.to_owned()].into();
    client.tenancy = helseid::Tenancy::Single {
        parent: OFFICE.to_owned(),
        children: [].into(),
    };
    client
}

impl Chain {
    pub fn start() -> Self {
        let world = World::start();
        let key = || PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let (first, second) = (key(), key());
        for client in [
            actor(
                &first,
                "kj-backend",
                "nhn:kjernejournal",
                "nhn:pps/provesvar-read",
            ),
            actor(&second, "pps-backend", "nhn:pps", "nhn:parek/rekvisisjon"),
        ] {
            world.helseid.put_client(client);
        }
        Self {
            world,
            first,
            second,
        }
    }

    /// The doctor's token for kjernejournal, and his ID token.
    pub async fn user_tokens(&self) -> (String, String) {
        let code = self.world.code(&[]).await;
        let mut form = crate::redeem_form(&code).to_vec();
        form.push(("resource", "nhn:kjernejournal"));
        let answer = self.world.token(&form).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        (text("access_token"), text("id_token"))
    }

    pub async fn machine_token(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "nhn:kjernejournal/api"),
        ];
        let answer = self.world.token(&form).await;
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// An exchange by one of the backends, with parameters changed (empty value: left out).
    pub async fn exchange(
        &self,
        (key, client_id): (&PrivateJwk, &str),
        subject_token: &str,
        change: &[(&str, &str)],
        details: Value,
    ) -> Answer {
        let world = &self.world;
        let nonce = world.nonce().await;
        let proof = world.proof(key, "/connect/token", Some(&nonce));
        let assertion = world.assertion_by(key, client_id, details);
        let mut form = vec![
            ("grant_type", GRANT),
            ("subject_token", subject_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("scope", "nhn:pps/provesvar-read"),
        ];
        form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        form.extend([AUTH, ("client_assertion", assertion.as_str())]);
        world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await
    }

    pub async fn by_first(&self, subject_token: &str, change: &[(&str, &str)]) -> Answer {
        let actor = (&self.first, "kj-backend");
        self.exchange(actor, subject_token, change, json!({})).await
    }
}

#[tokio::test]
async fn a_users_token_travels_on_with_everybody_who_acted() {
    let chain = Chain::start();
    let (subject, _) = chain.user_tokens().await;
    chain.world.wait(200);
    let answer = chain.by_first(&subject, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["issued_token_type"], ACCESS_TOKEN);
    assert_eq!(body["token_type"], "DPoP");
    assert_eq!(body["scope"], "nhn:pps/provesvar-read");
    assert_eq!(body["expires_in"], 400);
    assert!(body.get("refresh_token").is_none() && body.get("id_token").is_none());

    let (old, new) = (
        claims(&subject),
        claims(body["access_token"].as_str().unwrap()),
    );
    for kept in [
        "sub",
        "sid",
        "auth_time",
        "idp",
        "amr",
        names::PID,
        names::SECURITY_LEVEL,
        names::HPR_NUMBER,
        names::ORGNR_PARENT,
    ] {
        assert_eq!(new.get(kept), old.get(kept), "{kept}");
    }
    assert_eq!(new["helseid://claims/identity/pid"], people::DOCTOR);
    assert_eq!(new["aud"], "nhn:pps");
    assert_eq!(new["client_id"], "kj-backend");
    assert_eq!(new["exp"], old["exp"]);
    assert_eq!(new["cnf"]["jkt"], chain.first.public().thumbprint());
    assert_eq!(new[names::ORIGINAL_CLIENT_ID], "epj");
    assert_eq!(
        new["act"],
        json!({"iss": ISSUER, "client_id": "kj-backend", (names::ORGNR_PARENT): OFFICE})
    );

    let actor = (&chain.second, "pps-backend");
    let scope = [("scope", "nhn:parek/rekvisisjon")];
    let token = body["access_token"].as_str().unwrap();
    let answer = chain.exchange(actor, token, &scope, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let third = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(third["act"]["client_id"], "pps-backend");
    assert_eq!(third["act"]["act"]["client_id"], "kj-backend");
    assert_eq!(third[names::ORIGINAL_CLIENT_ID], "epj");
    assert_eq!(third["exp"], old["exp"]);
    assert_eq!(third[names::ORGNR_PARENT], MUNICIPALITY);
}

#[tokio::test]
async fn a_machine_token_stays_one() {
    let chain = Chain::start();
    let subject = chain.machine_token().await;
    let answer = chain
        .by_first(&subject, &[("scope", ""), ("resource", "nhn:pps")])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let new = claims(answer.json()["access_token"].as_str().unwrap());
    assert!(new.get("sub").is_none() && new.get(names::PID).is_none());
    assert_eq!(new[names::ORGNR_PARENT], MUNICIPALITY);
    assert_eq!(new["act"]["client_id"], "kj-backend");
}

#[tokio::test]
async fn a_bound_actor_without_proof_gets_nothing() {
    let chain = Chain::start();
    let subject = chain.machine_token().await;
    let assertion = chain
        .world
        .assertion_by(&chain.first, "kj-backend", json!({}));
    let form = [
        ("grant_type", GRANT),
        ("subject_token", subject.as_str()),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "nhn:pps/provesvar-read"),
        AUTH,
        ("client_assertion", &assertion),
    ];
    let answer = chain.world.post("/connect/token", &form, &[]).await;
    assert!(answer.refused("invalid_request").contains("DPoP"));
}

/// What is asked, with which parameters, and the error.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn what_must_not_be_exchanged() {
    let chain = Chain::start();
    let (subject, id_token) = chain.user_tokens().await;
    let code = chain.world.code(&[]).await;
    let mut form = crate::redeem_form(&code).to_vec();
    form.push(("resource", "nhn:pps"));
    let other = chain.world.token(&form).await.json();
    let other = other["access_token"].as_str().unwrap();
    let broken = format!("{}x", &subject[..subject.len() - 1]);
    let table: [Case<'_>; 15] = [
        // Meant for another API than the actor's.
        (other, &[], "invalid_grant"),
        (&id_token, &[], "invalid_grant"),
        (
            &id_token,
            &[(
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            )],
            "invalid_grant",
        ),
        (&broken, &[], "invalid_grant"),
        ("nonsense", &[], "invalid_grant"),
        (&subject, &[("subject_token", "")], "invalid_request"),
        (&subject, &[("subject_token_type", "")], "invalid_request"),
        (&subject, &[("actor_token", "x")], "invalid_request"),
        (
            &subject,
            &[(
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:refresh_token",
            )],
            "invalid_request",
        ),
        (&subject, &[("scope", "")], "invalid_request"),
        // Wider than the actor.
        (
            &subject,
            &[("scope", "nhn:kjernejournal/api")],
            "invalid_scope",
        ),
        (
            &subject,
            &[("scope", "openid nhn:pps/provesvar-read")],
            "invalid_scope",
        ),
        (&subject, &[("scope", "offline_access")], "invalid_scope"),
        (
            &subject,
            &[("resource", "nhn:kjernejournal")],
            "invalid_target",
        ),
        (
            &subject,
            &[("scope", ""), ("resource", "nhn:msh")],
            "invalid_target",
        ),
    ];
    for (token, change, code) in table {
        let answer = chain.by_first(token, change).await;
        answer.refused(code);
    }
    // A client that acts for no API.
    let answer = chain
        .exchange((&chain.world.key, "epj"), &subject, &[], json!({}))
        .await;
    answer.refused("unauthorized_client");
    // The backend of pps cannot exchange what was sent to kjernejournal.
    let answer = chain
        .exchange(
            (&chain.second, "pps-backend"),
            &subject,
            &[("scope", "nhn:parek/rekvisisjon")],
            json!({}),
        )
        .await;
    answer.refused("invalid_grant");
    // None of that has used the token up.
    assert_eq!(chain.by_first(&subject, &[]).await.status, 200);
    chain.world.wait(601);
    chain.by_first(&subject, &[]).await.refused("invalid_grant");
}

#[tokio::test]
async fn a_login_that_ended_is_not_exchanged() {
    let chain = Chain::start();
    let (subject, id_token) = chain.user_tokens().await;
    let logout = format!("/connect/endsession?id_token_hint={id_token}");
    assert_eq!(chain.world.get(&logout, &[]).await.status, 200);
    let answer = chain.by_first(&subject, &[]).await;
    assert!(answer.refused("invalid_grant").contains("ended"));

    let subject = chain.machine_token().await;
    let assertion = chain.world.assertion(json!({}));
    let form = [
        ("token", subject.as_str()),
        AUTH,
        ("client_assertion", &assertion),
    ];
    let revoked = chain.world.post("/connect/revocation", &form, &[]).await;
    assert_eq!(revoked.status, 200);
    chain.by_first(&subject, &[]).await.refused("invalid_grant");
}
