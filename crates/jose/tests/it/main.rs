//! The edge of the crate: vectors of the RFCs, Wycheproof's JWS vectors, and the attack tables of assertions, proofs
//! and resource servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod assertions;
mod proofs;
mod resource_server;
mod skew;
mod vectors;

use jose::jwk::KeyKind;
use jose::{PrivateJwk, jws};
use serde_json::{Map, Value};

pub const NOW: i64 = 1_760_000_000;

pub fn key() -> PrivateJwk {
    PrivateJwk::generate(KeyKind::P256, None).unwrap()
}

/// Signs `claims` with a header given whole (besides `alg`).
pub fn signed(header: Value, claims: &Value, key: &PrivateJwk) -> String {
    let header: Map<String, Value> = header.as_object().cloned().unwrap_or_default();
    jws::sign(
        &header,
        claims.to_string().as_bytes(),
        key,
        key.default_alg(),
    )
    .unwrap()
}

/// `base` with members replaced; `null` removes.
pub fn with(base: &Value, changes: Value) -> Value {
    let mut changed = base.clone();
    for (name, value) in changes.as_object().cloned().unwrap_or_default() {
        if value.is_null() {
            changed.as_object_mut().unwrap().shift_remove(&name);
        } else {
            changed[name] = value;
        }
    }
    changed
}

/// Replaces the header of a token without touching payload and signature.
pub fn reheaded(token: &str, header: &Value) -> String {
    let rest = token.split_once('.').unwrap().1;
    format!(
        "{}.{rest}",
        jose::encoding::b64url(header.to_string().as_bytes())
    )
}
