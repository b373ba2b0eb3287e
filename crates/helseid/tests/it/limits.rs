//! Too much is refused with 429, per client that authenticated and per address (spec §7, attack A34).

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use edge::proxy::{ForwardedBy, TrustedProxies};
use helseid::limits::Limits;
use jose::PrivateJwk;
use jose::jwk::KeyKind;

use crate::{Answer, World, client_with};

async fn post_from(world: &World, address: &str) -> Answer {
    post_through(world, address, "").await
}

/// By way of a proxy that says where it came from.
async fn post_through(world: &World, address: &str, forwarded_for: &str) -> Answer {
    let address: SocketAddr = address.parse().unwrap();
    let mut request = Request::post("/connect/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Forwarded-For", forwarded_for)
        .body(Body::from("grant_type=client_credentials"))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    world.send(request).await
}

#[tokio::test]
async fn a_client_has_its_share_and_nobody_elses() {
    let world = World::with(|config| {
        config.limits = Limits {
            client_per_minute: Some(4),
            ..Limits::default()
        };
    });
    let other = PrivateJwk::generate(KeyKind::P256, None).unwrap();
    world.helseid.put_client(client_with(&other, "other"));
    // Each token costs two requests: the nonce, and the token.
    let machine = [("grant_type", "client_credentials")];
    for _ in 0..2 {
        let nonce = world.nonce().await;
        let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
        let assertion = world.assertion(serde_json::json!({}));
        let mut form = machine.to_vec();
        form.extend([crate::AUTH, ("client_assertion", assertion.as_str())]);
        let answer = world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let ask = |key: PrivateJwk, client_id: &'static str| {
        let world = &world;
        async move {
            let assertion = world.assertion_by(&key, client_id, serde_json::json!({}));
            let form = [
                ("grant_type", "client_credentials"),
                crate::AUTH,
                ("client_assertion", assertion.as_str()),
            ];
            let proof = world.proof(&key, "/connect/token", None);
            world
                .post("/connect/token", &form, &[("DPoP", &proof)])
                .await
        }
    };
    let answer = ask(world.key.clone(), "epj").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(
        answer
            .header("Retry-After")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            <= 60
    );
    assert!(answer.header("DPoP-Nonce").is_none());
    // Another client, and somebody who only claims to be the first: neither is counted there.
    ask(other.clone(), "other").await.refused("use_dpop_nonce");
    ask(other, "epj").await.refused("invalid_client");
    world.wait(60);
    ask(world.key.clone(), "epj")
        .await
        .refused("use_dpop_nonce");
}

#[tokio::test]
async fn an_address_that_is_refused_often_has_to_wait() {
    let world = World::with(|config| {
        config.limits = Limits {
            refusals_per_minute: Some(3),
            ..Limits::default()
        };
    });
    for _ in 0..3 {
        assert_eq!(post_from(&world, "192.0.2.1:1000").await.status, 400);
    }
    assert_eq!(post_from(&world, "192.0.2.1:2000").await.status, 429);
    assert_eq!(post_from(&world, "192.0.2.2:1000").await.status, 400);
    // Being asked for a nonce is no refusal; reading metadata is not counted.
    world.wait(60);
    for _ in 0..5 {
        world.nonce().await;
        assert_eq!(
            world
                .get("/.well-known/openid-configuration", &[])
                .await
                .status,
            200
        );
    }
    assert_eq!(post_from(&world, "192.0.2.1:1000").await.status, 400);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_and_nobody_else_is_believed() {
    let world = World::with(|config| {
        config.limits = Limits {
            refusals_per_minute: Some(2),
            ..Limits::default()
        };
        let proxies = ["192.0.2.0/24".to_owned()];
        config.proxies = TrustedProxies::new(&proxies, ForwardedBy::XForwardedFor).unwrap();
    });
    let through = |address, forwarded_for| post_through(&world, address, forwarded_for);
    for _ in 0..2 {
        assert_eq!(through("192.0.2.1:1", "198.51.100.7").await.status, 400);
    }
    assert_eq!(through("192.0.2.1:1", "198.51.100.7").await.status, 429);
    // What the client itself wrote stands before what the proxy added.
    assert_eq!(
        through("192.0.2.1:1", "9.9.9.9, 198.51.100.7").await.status,
        429
    );
    assert_eq!(through("192.0.2.2:1", "198.51.100.8").await.status, 400);
    // Not by way of the proxy: the header is nobody's word.
    for other in ["1.1.1.1", "2.2.2.2"] {
        assert_eq!(through("203.0.113.9:1", other).await.status, 400);
    }
    assert_eq!(through("203.0.113.9:1", "3.3.3.3").await.status, 429);
}
