//! Rows about codes, refresh tokens, scopes, resources, organisations and exchange: A16-A24.

use helseid::Tenancy;
use jose::names;
use serde_json::{Value, json};

use super::second;
use crate::exchange::Chain;
use crate::people::{MUNICIPALITY, NURSING_HOME, OFFICE, SUPPLIER};
use crate::{AUTH, Answer, World, claims, redeem_form};

fn text(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[name].as_str().unwrap().to_owned()
}

fn refresh(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// A token request of the second client.
async fn by_second(world: &World, key: &jose::PrivateJwk, form: &[(&str, &str)]) -> Answer {
    let nonce = world.nonce().await;
    let proof = world.proof(key, "/connect/token", Some(&nonce));
    let assertion = world.assertion_by(key, "second", json!({}));
    let mut form = form.to_vec();
    form.extend([AUTH, ("client_assertion", assertion.as_str())]);
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
}

async fn is_active(world: &World, token: &str) -> bool {
    let assertion = world.assertion(json!({}));
    let form = [("token", token), AUTH, ("client_assertion", &assertion)];
    let answer = world.post("/connect/introspect", &form, &[]).await;
    answer.json()["active"] == true
}

pub async fn a16() {
    let world = World::start();
    let other = second(&world);
    let code = world.code(&[]).await;
    by_second(&world, &other, &redeem_form(&code))
        .await
        .refused("invalid_grant");
    let first = world.redeem(&code).await;
    let (access, refresh_token) = (text(&first, "access_token"), text(&first, "refresh_token"));
    assert!(is_active(&world, &access).await);
    // The second use is refused, and ends what the first one gave.
    world.redeem(&code).await.refused("invalid_grant");
    assert!(!is_active(&world, &access).await);
    world
        .token(&refresh(&refresh_token))
        .await
        .refused("invalid_grant");
    let late = world.code(&[]).await;
    world.wait(61);
    world.redeem(&late).await.refused("invalid_grant");
}

pub async fn a17() {
    let world = World::start();
    let first = text(&world.redeem(&world.code(&[]).await).await, "refresh_token");
    let second = text(&world.token(&refresh(&first)).await, "refresh_token");
    world.wait(11);
    // A used token comes again: the thief and the owner both lose the family.
    world.token(&refresh(&first)).await.refused("invalid_grant");
    world
        .token(&refresh(&second))
        .await
        .refused("invalid_grant");
}

pub async fn a18() {
    let world = World::start();
    let other = second(&world);
    let token = text(&world.redeem(&world.code(&[]).await).await, "refresh_token");
    by_second(&world, &other, &refresh(&token))
        .await
        .refused("invalid_grant");
    // The owner's family lives on.
    assert_eq!(world.token(&refresh(&token)).await.status, 200);
}

pub async fn a19() {
    let world = World::start();
    let scope = [("scope", "openid offline_access nhn:pps/provesvar-read")];
    let token = text(
        &world.redeem(&world.code(&scope).await).await,
        "refresh_token",
    );
    for wider in ["nhn:kjernejournal/api", "openid profile"] {
        let mut form = refresh(&token).to_vec();
        form.push(("scope", wider));
        world.token(&form).await.refused("invalid_scope");
    }
    assert_eq!(
        world.token(&refresh(&token)).await.status,
        200,
        "not used up"
    );
    for scope in [
        "openid",
        "profile nhn:pps/provesvar-read",
        "helseid://scopes/identity/pid",
        "nhn:msh/api",
    ] {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        world.token(&form).await.refused("invalid_scope");
    }
    let chain = Chain::start();
    let subject = chain.machine_token().await;
    for scope in ["openid nhn:pps/provesvar-read", "nhn:kjernejournal/api"] {
        chain
            .by_first(&subject, &[("scope", scope)])
            .await
            .refused("invalid_scope");
    }
}

pub async fn a20() {
    let world = World::start();
    world
        .push(&[("resource", "nhn:msh")])
        .await
        .refused("invalid_target");
    let code = world.code(&[("resource", "nhn:pps")]).await;
    let mut form = redeem_form(&code).to_vec();
    form.push(("resource", "nhn:kjernejournal"));
    world.token(&form).await.refused("invalid_target");
    let tokens = world.redeem(&code).await;
    assert_eq!(claims(&text(&tokens, "access_token"))["aud"], "nhn:pps");
    let token = text(&tokens, "refresh_token");
    let mut form = refresh(&token).to_vec();
    form.push(("resource", "nhn:kjernejournal"));
    world.token(&form).await.refused("invalid_target");
    assert_eq!(
        world.token(&refresh(&token)).await.status,
        200,
        "not used up"
    );
}

fn organisation(system: &str, value: &str) -> Value {
    json!({"type":"helseid_authorization","practitioner_role":{"organization":{"identifier":{
        "system":system,"type":"ENH","value":value}}}})
}

const SINGLE: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
const MULTI: &str = "urn:oid:1.0.6523";

fn tenant(world: &World, delegations: &[&str]) {
    let mut client = world.client.clone();
    client.tenancy = Tenancy::Multi {
        supplier: SUPPLIER.to_owned(),
        delegations: delegations.iter().map(|one| (*one).to_owned()).collect(),
    };
    world.helseid.put_client(client);
}

async fn machine(world: &World, details: &Value) -> Answer {
    let nonce = world.nonce().await;
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let assertion = world.assertion(json!({ "assertion_details": details }));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "nhn:pps/provesvar-read"),
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
}

pub async fn a21() {
    let world = World::start();
    tenant(&world, &[OFFICE]);
    let other = organisation(MULTI, &format!("NO:ORGNR:{MUNICIPALITY}"));
    let refused = machine(&world, &other).await.refused("access_denied");
    assert!(refused.starts_with("HID-1001"), "{refused}");
    // Delegated when the login began, no longer at the refresh.
    let details = organisation(MULTI, &format!("NO:ORGNR:{OFFICE}"));
    let object = world.assertion(json!({ "authorization_details": details }));
    let code = world.code(&[("request", &object)]).await;
    let tokens = world.redeem(&code).await;
    let access = claims(&text(&tokens, "access_token"));
    assert_eq!(access[names::ORGNR_PARENT], OFFICE);
    tenant(&world, &[]);
    let answer = world.token(&refresh(&text(&tokens, "refresh_token"))).await;
    assert!(answer.refused("access_denied").starts_with("HID-1001"));
}

pub async fn a22() {
    let world = World::start();
    // Single-tenant: a unit outside the client's own list.
    let stranger = machine(&world, &organisation(SINGLE, OFFICE)).await;
    assert!(stranger.refused("access_denied").starts_with("HID-1002"));
    // Multi-tenant: a unit of somebody else's.
    tenant(&world, &[OFFICE]);
    let value = format!("NO:ORGNR:{OFFICE}:{NURSING_HOME}");
    let foreign = machine(&world, &organisation(MULTI, &value)).await;
    let text = foreign.refused("access_denied");
    assert!(
        text.starts_with("HID-1003") || text.starts_with("HID-1002"),
        "{text}"
    );
}

pub async fn a23() {
    let world = World::start();
    let journal = json!({"type":"nhn:sfm:journal-id","value":{"journal_id":"7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"}});
    let answer = machine(&world, &journal).await;
    let access = claims(&text(&answer, "access_token"));
    assert!(!access.contains_key(names::SFM_JOURNAL_ID));
}

pub async fn a24() {
    let chain = Chain::start();
    let (subject, id_token) = chain.user_tokens().await;
    let second = (&chain.second, "pps-backend");
    let parek = [("scope", "nhn:parek/rekvisisjon")];
    // Not meant for this actor; an ID token; nobody's actor; wider than the actor.
    chain
        .exchange(second, &subject, &parek, json!({}))
        .await
        .refused("invalid_grant");
    chain
        .by_first(&id_token, &[])
        .await
        .refused("invalid_grant");
    chain
        .exchange((&chain.world.key, "epj"), &subject, &[], json!({}))
        .await
        .refused("unauthorized_client");
    chain
        .by_first(&subject, &[("resource", "nhn:parek")])
        .await
        .refused("invalid_target");
    // Along the chain nothing grows: neither scopes nor time, and the first actor cannot act on what it made.
    let made = text(&chain.by_first(&subject, &[]).await, "access_token");
    chain.by_first(&made, &[]).await.refused("invalid_grant");
    chain
        .exchange(
            second,
            &made,
            &[("scope", "nhn:kjernejournal/api")],
            json!({}),
        )
        .await
        .refused("invalid_scope");
    let next = text(
        &chain.exchange(second, &made, &parek, json!({})).await,
        "access_token",
    );
    assert_eq!(claims(&next)["exp"], claims(&subject)["exp"]);
    chain.world.wait(601);
    chain.by_first(&subject, &[]).await.refused("invalid_grant");
}
