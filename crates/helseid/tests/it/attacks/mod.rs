//! The attack table (spec §19), all forty rows: each refused for its own reason, at the right endpoint, using up nothing that
//! the rightful owner still needs. Finer variants of single rows are beside this folder.

mod clients;
mod grants;
mod logins;
mod resources;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use jose::PrivateJwk;
use jose::encoding::b64url;
use jose::jwk::KeyKind;
use serde_json::Value;

use crate::{AUTH, Answer, World, client_with};

type Row = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! rows {
    ($($name:literal $function:path,)*) => {
        &[$(($name, || Box::pin($function()))),*]
    };
}

const TABLE: &[Row] = rows![
    "A1" clients::a1, "A2" clients::a2, "A3" clients::a3, "A4" clients::a4, "A5" clients::a5,
    "A6" clients::a6, "A7" clients::a7, "A8" clients::a8,
    "A9" logins::a9, "A10" logins::a10, "A11" logins::a11, "A12" logins::a12, "A13" logins::a13,
    "A14" logins::a14, "A15" logins::a15,
    "A16" grants::a16, "A17" grants::a17, "A18" grants::a18, "A19" grants::a19, "A20" grants::a20,
    "A21" grants::a21, "A22" grants::a22, "A23" grants::a23, "A24" grants::a24,
    "A25" clients::a25, "A26" clients::a26, "A27" clients::a27,
    "A28" resources::a28, "A29" resources::a29, "A30" resources::a30, "A31" resources::a31,
    "A32" resources::a32, "A33" resources::a33, "A34" resources::a34,
    "A35" logins::a35, "A36" crate::self_service::a36, "A37" logins::a37, "A38" logins::a38,
    "A39" clients::a39, "A40" clients::a40,
];

#[tokio::test]
async fn the_attack_table() {
    let names: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    let all: Vec<String> = (1..=40).map(|number| format!("A{number}")).collect();
    assert!(all.iter().all(|name| names.contains(name.as_str())));
    assert_eq!(TABLE.len(), 40);
    for (name, row) in TABLE {
        // Shown when the row fails.
        println!("row {name}");
        row().await;
    }
}

fn new_key() -> PrivateJwk {
    PrivateJwk::generate(KeyKind::P256, None).unwrap()
}

/// A second client of the world, with its key.
fn second(world: &World) -> PrivateJwk {
    let key = new_key();
    world.helseid.put_client(client_with(&key, "second"));
    key
}

/// A compact token put together by hand.
fn compact(header: &Value, payload: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!(
        "{}.{}",
        b64url(header.to_string().as_bytes()),
        b64url(payload)
    );
    format!("{input}.{}", b64url(&sign(input.as_bytes())))
}

/// A token request with that assertion and a sound proof of the world's key.
async fn token_with(world: &World, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let nonce = world.nonce().await;
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let mut form = vec![AUTH, ("client_assertion", assertion)];
    if more.iter().all(|(name, _)| *name != "grant_type") {
        form.push(("grant_type", "client_credentials"));
    }
    form.extend(more);
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
}
