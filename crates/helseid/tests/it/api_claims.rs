//! The API decides what its tokens say (spec §1, §9): also claims of the past, for those who ask for them only.

use helseid::config::{Api, Wanted};
use jose::jwk::KeyKind;
use jose::{PrivateJwk, names};
use serde_json::json;

use crate::people::MUNICIPALITY;
use crate::{World, claims, client_with};

#[tokio::test]
async fn claims_of_the_past_stand_only_where_they_are_wanted() {
    let world = World::with(|config| {
        let wants = [Wanted::KjOrgnr, Wanted::ClientAmr];
        config.apis.push(Api::new("test:gammel", &["api"], &wants));
    });
    let grant = |scope| [("grant_type", "client_credentials"), ("scope", scope)];
    let mut client = world.client.clone();
    client.scopes.insert("test:gammel/api".to_owned());
    world.helseid.put_client(client.clone());
    let token = async |scope: &'static str| {
        let answer = world.token(&grant(scope)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        claims(answer.json()["access_token"].as_str().unwrap())
    };
    let old = token("test:gammel/api").await;
    assert_eq!(old[names::KJ_ORGNR], MUNICIPALITY);
    assert!(old.get(names::ORGNR_PARENT).is_none());
    // The client's key is an EC key; that word is about RSA.
    assert!(old.get(names::CLIENT_AMR_LEGACY).is_none());
    let today = token("nhn:kjernejournal/api").await;
    assert_eq!(today[names::ORGNR_PARENT], MUNICIPALITY);
    assert!(today.get(names::KJ_ORGNR).is_none());

    let rsa = PrivateJwk::generate(KeyKind::Rsa2048, None).unwrap();
    client.keys.extend(client_with(&rsa, "x").keys);
    world.helseid.put_client(client);
    let old = token("test:gammel/api").await;
    assert_eq!(old[names::CLIENT_AMR_LEGACY], json!("rsa_private_key"));
    let today = token("nhn:kjernejournal/api").await;
    assert!(today.get(names::CLIENT_AMR_LEGACY).is_none());
}
