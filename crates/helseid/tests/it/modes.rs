//! Strict and compatible mode (spec §16), row by row: what each takes of a client that is otherwise right.

use helseid::Mode;
use jose::jws;
use serde_json::{Map, Value, json};

use crate::{AUTH, ISSUER, World, claims, compatible};

/// An assertion with that typ (null: none) and claims changed.
fn assertion(world: &World, typ: &Value, change: Value) -> String {
    let sound = claims(&world.assertion(change));
    let mut header = Map::new();
    if let Some(typ) = typ.as_str() {
        header.insert("typ".to_owned(), typ.into());
    }
    let payload = Value::Object(sound).to_string();
    jws::sign(
        &header,
        payload.as_bytes(),
        &world.key,
        world.key.default_alg(),
    )
    .unwrap()
}

async fn passes(world: &World, path: &str, assertion: &str) -> bool {
    let answer = match path {
        "/connect/par" => world.push_with(&[], assertion, &[]).await,
        path => {
            let nonce = world.nonce().await;
            let proof = world.proof(&world.key, path, Some(&nonce));
            let form = [
                ("grant_type", "client_credentials"),
                AUTH,
                ("client_assertion", assertion),
            ];
            world.post(path, &form, &[("DPoP", &proof)]).await
        }
    };
    let passed = matches!(answer.status, 200 | 201);
    if !passed {
        answer.refused("invalid_client");
    }
    passed
}

#[tokio::test]
async fn strict_and_compatible_row_by_row() {
    const TYP: &str = "client-authentication+jwt";
    let now = World::start().now();
    let (token, par) = ("/connect/token", "/connect/par");
    let at = |path: &str| json!({ "aud": format!("{ISSUER}{path}") });
    // typ, claims changed, endpoint, strict, compatible
    let table: Vec<(Value, Value, &str, bool, bool)> = vec![
        (json!(TYP), json!({}), token, true, true),
        (json!(TYP), json!({}), par, true, true),
        (json!("JWT"), json!({}), token, false, true),
        (json!(null), json!({}), token, false, true),
        (json!(null), json!({}), par, false, true),
        (json!("at+jwt"), json!({}), token, false, false),
        (json!("dpop+jwt"), json!({}), par, false, false),
        (json!(TYP), at(token), token, false, true),
        (json!(TYP), at(token), par, false, true),
        (json!(TYP), at(par), par, false, true),
        (json!(TYP), at(par), token, false, false),
        (json!(TYP), at("/connect/userinfo"), token, false, false),
        (json!(TYP), json!({ "aud": [ISSUER] }), token, false, true),
        (json!(TYP), json!({"nbf": null}), token, false, true),
        (
            json!(TYP),
            json!({"iat": now.to_string()}),
            token,
            true,
            true,
        ),
        (json!(TYP), json!({"iat": null}), token, false, true),
        (json!(TYP), json!({"exp": null}), token, false, false),
        (json!(TYP), json!({"jti": null}), token, false, false),
        // What a stock Python and a stock Node library send.
        (
            json!("JWT"),
            json!({"aud": format!("{ISSUER}/connect/token"), "nbf": null}),
            token,
            false,
            true,
        ),
        (json!(null), json!({"exp": now + 60}), token, false, true),
    ];
    for (typ, change, path, strict, lenient) in table {
        for (mode, expected) in [(Mode::Strict, strict), (Mode::Compatible, lenient)] {
            let world = World::with(|config| config.mode = mode);
            let sent = assertion(&world, &typ, change.clone());
            let passed = passes(&world, path, &sent).await;
            assert_eq!(passed, expected, "{mode:?} {typ} {change} {path}");
        }
    }
}

#[tokio::test]
async fn a_clients_own_mode_counts_more_than_the_issuers() {
    for (issuer, own, expected) in [
        (Mode::Strict, Some(Mode::Compatible), true),
        (Mode::Compatible, Some(Mode::Strict), false),
        (Mode::Compatible, None, true),
        (Mode::Strict, None, false),
    ] {
        let world = World::with(|config| {
            config.mode = issuer;
            config.clients[0].mode = own;
        });
        let sent = assertion(&world, &json!("JWT"), json!({}));
        assert_eq!(
            passes(&world, "/connect/token", &sent).await,
            expected,
            "{issuer:?} {own:?}"
        );
    }
}

/// Rows that are the same in both modes.
#[tokio::test]
async fn what_no_mode_allows() {
    for change in [|_: &mut helseid::Config| {}, compatible] {
        let world = World::with(change);
        let inline = "/connect/authorize?client_id=epj&response_type=code&scope=openid&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcallback";
        let answer = world.get(inline, &[]).await;
        assert_eq!((answer.status, answer.header("Location")), (400, None));
        let sent = world.assertion(json!({}));
        let form = [
            ("grant_type", "client_credentials"),
            AUTH,
            ("client_assertion", sent.as_str()),
        ];
        let answer = world.post("/connect/token", &form, &[]).await;
        assert!(answer.refused("invalid_request").contains("DPoP"));
        // A request object may name the client in sub, client_id or both; never another one.
        for (claims, accepted) in [
            (json!({"client_id": "epj"}), true),
            (json!({"client_id": "epj", "sub": null}), true),
            (json!({"sub": "epj"}), true),
            (json!({"client_id": "other"}), false),
            (json!({"sub": "other"}), false),
        ] {
            let object = world.assertion(claims.clone());
            let answer = world.push(&[("request", &object)]).await;
            assert_eq!(
                answer.status == 201,
                accepted,
                "{claims}: {}",
                answer.text()
            );
        }
    }
}
