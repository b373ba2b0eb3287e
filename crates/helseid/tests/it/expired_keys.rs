//! A key that is no longer used is kept: under `expired_jwks_uri`, for documents signed long ago (spec §3).

use jose::JwkSet;
use jose::jws::{Compact, MAX_COMPACT_BYTES};
use jose::keyring::RotationPolicy;

use crate::World;

async fn keys(world: &World, path: &str) -> JwkSet {
    let answer = world.get(path, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("Content-Type").as_deref(),
        Some("application/json")
    );
    JwkSet::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn old_tokens_can_be_verified_for_ever() {
    const PUBLISHED: &str = "/.well-known/openid-configuration/jwks";
    const EXPIRED: &str = "/connect/expiredjwks";
    let world = World::start();
    let tokens = world.redeem(&world.code(&[]).await).await.json();
    let old = tokens["id_token"].as_str().unwrap();
    let signed = Compact::parse(old, MAX_COMPACT_BYTES).unwrap();
    let kid = signed.kid.clone().unwrap();
    assert!(keys(&world, PUBLISHED).await.find(&kid).is_some());
    assert!(keys(&world, EXPIRED).await.keys().is_empty());

    // Three years, a step of rotation each day.
    for _ in 0..3 * 365 {
        world.wait(86_400);
        world
            .helseid
            .rotate_keys(&RotationPolicy::default())
            .unwrap();
    }
    let published = keys(&world, PUBLISHED).await;
    assert!(!published.keys().is_empty() && published.find(&kid).is_none());
    let expired = keys(&world, EXPIRED).await;
    let key = expired.find(&kid).unwrap();
    assert!(signed.verify(key).is_ok());
    // New tokens are signed by a key that is published.
    let tokens = world.redeem(&world.code(&[]).await).await.json();
    let fresh = tokens["access_token"].as_str().unwrap();
    let fresh = Compact::parse(fresh, MAX_COMPACT_BYTES).unwrap();
    let key = published.find(fresh.kid.as_deref().unwrap()).unwrap();
    assert!(fresh.verify(key).is_ok());
}
