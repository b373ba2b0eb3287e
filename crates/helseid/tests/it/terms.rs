//! Terms of use of an API: what a multi-tenant client gets for an organisation that has not accepted them (spec §7
//! `rejected_scope`).

use std::collections::BTreeSet;

use helseid::Tenancy;
use helseid::rules::terms::TermsOfUse;
use serde_json::{Value, json};

use crate::exchange::Chain;
use crate::people::{MUNICIPALITY, OFFICE, SUPPLIER};
use crate::{AUTH, Answer, World, claims, redeem_form};

const PPS: &str = "nhn:pps/provesvar-read";
const CORE: &str = "nhn:kjernejournal/api";

/// A multi-tenant client, and terms of the API of results that one organisation has accepted.
fn world() -> World {
    let world = World::start();
    let mut client = world.client.clone();
    client.tenancy = Tenancy::Multi {
        supplier: SUPPLIER.to_owned(),
        delegations: [MUNICIPALITY.to_owned(), OFFICE.to_owned()].into(),
    };
    world.helseid.put_client(client);
    let mut terms = TermsOfUse::default();
    terms.require("nhn:pps", BTreeSet::from([OFFICE.to_owned()]));
    world.helseid.set_terms(terms);
    world
}

fn acting_for(orgnr: &str) -> Value {
    json!({"type":"helseid_authorization","practitioner_role":{"organization":{"identifier":{
        "system":"urn:oid:1.0.6523","type":"ENH","value":format!("NO:ORGNR:{orgnr}")}}}})
}

async fn ask(world: &World, form: &[(&str, &str)], orgnr: &str) -> Answer {
    let nonce = world.nonce().await;
    let assertion = world.assertion(json!({"assertion_details": acting_for(orgnr)}));
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let mut form = form.to_vec();
    form.extend([AUTH, ("client_assertion", assertion.as_str())]);
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
}

#[tokio::test]
async fn a_machine_gets_what_its_organisation_has_accepted() {
    let world = world();
    let both = format!("{PPS} {CORE}");
    let machine = |scope| [("grant_type", "client_credentials"), ("scope", scope)];
    let accepted = ask(&world, &machine(both.as_str()), OFFICE).await.json();
    assert_eq!(accepted["scope"], both);
    assert!(accepted.get("rejected_scope").is_none());

    let other = ask(&world, &machine(both.as_str()), MUNICIPALITY)
        .await
        .json();
    assert_eq!(
        (&other["scope"], &other["rejected_scope"]),
        (&json!(CORE), &json!(PPS))
    );
    let access = claims(other["access_token"].as_str().unwrap());
    assert_eq!(
        (&access["scope"], &access["aud"]),
        (&json!([CORE]), &json!("nhn:kjernejournal"))
    );

    let refused = ask(&world, &machine(PPS), MUNICIPALITY)
        .await
        .refused("access_denied");
    assert!(
        refused.contains("nhn:pps") && refused.contains("terms"),
        "{refused}"
    );

    world.helseid.set_terms(TermsOfUse::default());
    let free = ask(&world, &machine(PPS), MUNICIPALITY).await;
    assert_eq!(free.status, 200, "{}", free.text());
}

#[tokio::test]
async fn a_login_goes_on_without_the_api() {
    let world = world();
    let code = world
        .code(&[("scope", &format!("openid offline_access {PPS}"))])
        .await;
    let first = ask(&world, &redeem_form(&code), MUNICIPALITY).await.json();
    assert_eq!(
        (&first["scope"], &first["rejected_scope"]),
        (&json!("openid offline_access"), &json!(PPS))
    );
    let refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let by_name = [form[0], form[1], ("resource", "nhn:pps")];
    // Nothing is used up by the refusal.
    ask(&world, &by_name, MUNICIPALITY)
        .await
        .refused("access_denied");
    let next = ask(&world, &form, OFFICE).await.json();
    assert_eq!(next["scope"], format!("openid offline_access {PPS}"));
    assert!(next.get("rejected_scope").is_none());
}

#[tokio::test]
async fn single_tenant_clients_are_judged_at_approval_only() {
    let world = world();
    world.helseid.put_client(world.client.clone());
    let form = [("grant_type", "client_credentials"), ("scope", PPS)];
    let answer = world.token(&form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json().get("rejected_scope").is_none());
}

/// The terms of results, accepted by some; kjernejournal's backend (of the office) exchanges tokens of the municipality.
async fn exchanged(accepted_by: &[&str], change: &[(&str, &str)]) -> Answer {
    let chain = Chain::start();
    let subject = chain.machine_token().await;
    let mut terms = TermsOfUse::default();
    let accepted_by = accepted_by.iter().map(|one| (*one).to_owned());
    terms.require("nhn:pps", accepted_by.collect());
    chain.world.helseid.set_terms(terms);
    chain.by_first(&subject, change).await
}

#[tokio::test]
async fn an_exchange_does_not_go_round_the_terms() {
    let accepted = exchanged(&[MUNICIPALITY], &[]).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    assert!(accepted.json().get("rejected_scope").is_none());
    // That the backend's own organisation has accepted says nothing about the one in the token.
    for accepted_by in [&[][..], &[OFFICE]] {
        let refused = exchanged(accepted_by, &[]).await.refused("access_denied");
        assert!(refused.contains("nhn:pps"), "{refused}");
        let by_name = [("scope", ""), ("resource", "nhn:pps")];
        exchanged(accepted_by, &by_name)
            .await
            .refused("access_denied");
    }
}

#[tokio::test]
async fn an_exchange_for_several_apis_goes_on_without_one() {
    let chain = Chain::start();
    let mut actor = chain.world.helseid.client("kj-backend").unwrap();
    std::sync::Arc::make_mut(&mut actor)
        .scopes
        .insert("nhn:msh/api".to_owned());
    chain.world.helseid.put_client((*actor).clone());
    let subject = chain.machine_token().await;
    let mut terms = TermsOfUse::default();
    terms.require("nhn:pps", BTreeSet::new());
    chain.world.helseid.set_terms(terms);
    let both = format!("{PPS} nhn:msh/api");
    let answer = chain.by_first(&subject, &[("scope", &both)]).await.json();
    assert_eq!(
        (&answer["scope"], &answer["rejected_scope"]),
        (&json!("nhn:msh/api"), &json!(PPS))
    );
    let access = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(access["aud"], "nhn:msh");
}
