//! Rows about client authentication, proofs and parsing: A1-A8, A25-A27, A39, A40.

use helseid::{Client, ClientKey};
use jose::encoding::{b64url, hmac_sha256};
use jose::{Alg, dpop};
use serde_json::{Value, json};

use super::{compact, new_key, second, token_with};
use crate::{AUTH, ISSUER, World, claims, compatible, redeem_form};

fn assertion_claims(world: &World) -> Value {
    Value::Object(claims(&world.assertion(json!({}))))
}

/// Refused at both endpoints.
async fn refused(world: &World, assertion: &str) {
    token_with(world, assertion, &[])
        .await
        .refused("invalid_client");
    world
        .push_with(&[], assertion, &[])
        .await
        .refused("invalid_client");
}

pub async fn a1() {
    let world = World::start();
    let payload = assertion_claims(&world).to_string();
    let typ = "client-authentication+jwt";
    let public = Value::Object(world.key.public().to_members()).to_string();
    for alg in ["none", "None", "nOnE"] {
        let header = json!({"alg": alg, "typ": typ});
        refused(
            &world,
            &compact(&header, payload.as_bytes(), |_| Vec::new()),
        )
        .await;
        refused(&world, &compact(&header, payload.as_bytes(), |_| vec![1])).await;
    }
    let header = json!({"alg": "HS256", "typ": typ});
    let symmetric = compact(&header, payload.as_bytes(), |input| {
        hmac_sha256(public.as_bytes(), input).to_vec()
    });
    refused(&world, &symmetric).await;
}

pub async fn a2() {
    let world = World::start();
    let other = second(&world);
    // Another client's key, an unknown key, and one's own key after its end.
    for key in [other, new_key()] {
        refused(&world, &world.assertion_by(&key, "epj", json!({}))).await;
    }
    let mut client: Client = world.client.clone();
    let kept = new_key();
    client.keys = vec![
        ClientKey {
            key: world.key.public().clone(),
            expires_s: Some(world.now() - 1),
        },
        ClientKey {
            key: kept.public().clone(),
            expires_s: Some(world.now() + 60),
        },
    ];
    world.helseid.put_client(client);
    let expired = world.assertion(json!({}));
    let answer = world.push_with(&[], &expired, &[]).await;
    answer.refused("invalid_client");
    let fresh = world.assertion_by(&kept, "epj", json!({}));
    assert_eq!(world.push_with(&[], &fresh, &[]).await.status, 201);
}

pub async fn a3() {
    let world = World::start();
    let assertion = world.assertion(json!({}));
    // What is refused for another reason has not used the assertion up; a success has.
    world
        .push_with(&[("scope", "openid nhn:none/x")], &assertion, &[])
        .await
        .refused("invalid_scope");
    assert_eq!(world.push_with(&[], &assertion, &[]).await.status, 201);
    refused(&world, &assertion).await;
    // The same jti under another signature is the same jti.
    let jti = claims(&assertion)["jti"].clone();
    refused(&world, &world.assertion(json!({ "jti": jti }))).await;
}

pub async fn a4() {
    let (strict, lenient) = (World::start(), World::with(compatible));
    for aud in [
        json!("https://other.example"),
        json!(format!("{ISSUER}/")),
        json!("https://localhost:8444.evil.example"),
        json!([ISSUER, "https://other.example"]),
        json!([]),
        json!(null),
    ] {
        for world in [&strict, &lenient] {
            refused(world, &world.assertion(json!({ "aud": aud }))).await;
        }
    }
    let one = json!({ "aud": [ISSUER] });
    refused(&strict, &strict.assertion(one.clone())).await;
    let accepted = token_with(&lenient, &lenient.assertion(one), &[]).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
}

pub async fn a5() {
    let world = World::start();
    let now = world.now();
    for change in [
        json!({"exp": now + 71}),
        json!({"exp": now + 86_400}),
        json!({"exp": null}),
        json!({"exp": now - 10}),
        json!({"exp": "tomorrow"}),
        json!({"nbf": now + 11}),
        json!({"iat": now + 11}),
    ] {
        refused(&world, &world.assertion(change)).await;
    }
    let edge = world.assertion(json!({"exp": now + 70, "nbf": now + 10}));
    assert_eq!(world.push_with(&[], &edge, &[]).await.status, 201);
}

pub async fn a6() {
    let world = World::start();
    second(&world);
    for change in [
        json!({"iss": "second"}),
        json!({"sub": "second"}),
        json!({"iss": "second", "sub": "second"}),
        json!({"iss": null}),
        json!({"sub": null}),
    ] {
        refused(&world, &world.assertion(change)).await;
    }
    let assertion = world.assertion(json!({}));
    token_with(&world, &assertion, &[("client_id", "second")])
        .await
        .refused("invalid_client");
    let answer = token_with(&world, &assertion, &[("client_id", "epj")]).await;
    assert_eq!(answer.status, 200, "not used up by the refusal");
}

pub async fn a7() {
    let world = World::start();
    // An assertion sent as request object too, in one request and in two.
    let assertion = world.assertion(json!({}));
    world
        .push_with(&[("request", &assertion)], &assertion, &[])
        .await
        .refused("invalid_request_object");
    let used = world.assertion(json!({}));
    assert_eq!(world.push_with(&[], &used, &[]).await.status, 201);
    let answer = world.push(&[("request", &used)]).await;
    answer.refused("invalid_request_object");
    // A request object that authenticates: never, whatever it carries.
    for name in ["redirect_uri", "scope", "response_type", "code_challenge"] {
        refused(&world, &world.assertion(json!({ name: "x" }))).await;
    }
    let object = world.assertion(json!({}));
    let answer = world.push(&[("request", &object)]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    refused(&world, &object).await;
    // Its ids are counted apart: the assertion with the same jti is still good.
    let jti = claims(&object)["jti"].clone();
    let same_id = world.assertion(json!({ "jti": jti, "exp": world.now() + 40 }));
    assert_eq!(world.push_with(&[], &same_id, &[]).await.status, 201);
}

pub async fn a8() {
    let world = World::start();
    let both = json!({"assertion_details": [], "authorization_details": []});
    let assertion = world.assertion(both);
    let answer = token_with(&world, &assertion, &[]).await;
    assert!(answer.refused("invalid_request").contains("not both"));
}

async fn proof_refused(world: &World, proof: &str, code: &str) {
    let assertion = world.assertion(json!({}));
    let form = [
        ("grant_type", "client_credentials"),
        AUTH,
        ("client_assertion", &assertion),
    ];
    let answer = world
        .post("/connect/token", &form, &[("DPoP", proof)])
        .await;
    answer.refused(code);
    // The assertion is still good.
    let nonce = world.nonce().await;
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let answer = world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

pub async fn a25() {
    let (world, other) = (World::start(), World::start());
    let old = world.nonce().await;
    world.wait(400);
    other.wait(400);
    let foreign = other.nonce().await;
    let proof = |nonce: Option<&str>| world.proof(&world.key, "/connect/token", nonce);
    for nonce in [
        None,
        Some(""),
        Some("guessed"),
        Some(old.as_str()),
        Some(foreign.as_str()),
    ] {
        proof_refused(&world, &proof(nonce), "use_dpop_nonce").await;
    }
}

pub async fn a26() {
    let world = World::start();
    let nonce = world.nonce().await;
    let now = world.now();
    let good = json!({"jti": "a-good-identifier", "htm": "POST", "htu": format!("{ISSUER}/connect/token"), "iat": now, "nonce": nonce});
    let public = Value::Object(world.key.public().to_members());
    let sign = |header: Value, payload: Value| {
        compact(&header, payload.to_string().as_bytes(), |input| {
            world.key.sign(Alg::Es256, input).unwrap()
        })
    };
    let header = |change: Value| {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": public});
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let private = Value::Object(world.key.to_secret_members());
    let symmetric = json!({"kty": "oct", "k": b64url(b"0123456789012345")});
    for change in [
        json!({"jwk": private}),
        json!({"jwk": symmetric}),
        json!({"jwk": null}),
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"typ": "JWT"}),
        json!({"typ": "at+jwt"}),
    ] {
        let proof = sign(header(change), good.clone());
        proof_refused(&world, &proof, "invalid_dpop_proof").await;
    }
    for (name, value) in [
        ("htm", json!("GET")),
        ("htu", json!(format!("{ISSUER}/connect/par"))),
        ("htu", json!("https://evil.example/connect/token")),
        ("iat", json!(now - 61)),
        ("iat", json!(now + 61)),
        ("iat", json!(null)),
        ("jti", json!("")),
    ] {
        let mut payload = good.clone();
        payload[name] = value;
        let proof = sign(header(json!({})), payload);
        proof_refused(&world, &proof, "invalid_dpop_proof").await;
    }
    // Signed by another key than the one it names.
    let other = compact(&header(json!({})), good.to_string().as_bytes(), |input| {
        new_key().sign(Alg::Es256, input).unwrap()
    });
    proof_refused(&world, &other, "invalid_dpop_proof").await;
    // Replay: good once.
    let proof = sign(header(json!({})), good);
    let send = async |assertion: String| {
        let form = [
            ("grant_type", "client_credentials"),
            AUTH,
            ("client_assertion", assertion.as_str()),
        ];
        world
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await
    };
    assert_eq!(send(world.assertion(json!({}))).await.status, 200);
    send(world.assertion(json!({})))
        .await
        .refused("invalid_dpop_proof");
}

pub async fn a27() {
    let world = World::start();
    let bound = new_key();
    let code = world
        .code(&[("dpop_jkt", bound.public().thumbprint())])
        .await;
    world.redeem(&code).await.refused("invalid_grant");
    // Refused, not used up: the rightful key still redeems it.
    let answer = world.token_by(&redeem_form(&code), &bound).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A proof at PAR binds as well, and must agree with the parameter.
    let proof = world.proof(&bound, "/connect/par", None);
    let assertion = world.assertion(json!({}));
    let jkt = [("dpop_jkt", new_key().public().thumbprint().to_owned())];
    let change: Vec<(&str, &str)> = jkt
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = world
        .push_with(&change, &assertion, &[("DPoP", &proof)])
        .await;
    answer.refused("invalid_dpop_proof");
}

pub async fn a39() {
    let world = World::start();
    let payload = assertion_claims(&world).to_string();
    let header = r#"{"alg":"ES256","typ":"client-authentication+jwt"}"#;
    let sign = |header: &str, payload: &str| {
        let input = format!(
            "{}.{}",
            b64url(header.as_bytes()),
            b64url(payload.as_bytes())
        );
        let signature = world.key.sign(Alg::Es256, input.as_bytes()).unwrap();
        (input, b64url(&signature))
    };
    let joined = |header: &str, payload: &str| {
        let (input, signature) = sign(header, payload);
        format!("{input}.{signature}")
    };
    let doubled = payload.replacen('{', "{\"iss\":\"second\",", 1);
    let nested = payload.replacen(
        '{',
        &format!("{{\"x\":{}1{},", "[".repeat(2_000), "]".repeat(2_000)),
        1,
    );
    let double_header = header.replacen('{', "{\"alg\":\"none\",", 1);
    let (input, signature) = sign(header, &payload);
    let (head, body) = input.split_once('.').unwrap();
    // The last character of 64 signature bytes has bits to spare.
    let last = signature.chars().last().unwrap();
    let twin = if last == 'A' {
        'B'
    } else {
        char::from(last as u8 + 1)
    };
    let twisted = format!("{}{twin}", &signature[..signature.len() - 1]);
    for assertion in [
        joined(header, &doubled),
        joined(header, &nested),
        joined(&double_header, &payload),
        joined(header, &format!("{payload}{{}}")),
        joined(header, &payload.replace('"', "'")),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}=.{signature}"),
        format!("{input}.{signature}="),
        format!("{head}.{body}\n.{signature}"),
        format!(" {input}.{signature}"),
        format!("{input}.{twisted}"),
        format!("{input}.{signature}."),
        input.clone(),
        ".".to_owned(),
        String::new(),
    ] {
        let answer = world.push_with(&[], &assertion, &[]).await;
        answer.refused("invalid_client");
    }
    let good = format!("{input}.{signature}");
    assert_eq!(world.push_with(&[], &good, &[]).await.status, 201);
}

pub async fn a40() {
    let world = World::start();
    // Large, unknown and stale things are refused before a signature is looked at: here there is none that could verify.
    let large = "x".repeat(70_000);
    let answer = world
        .post("/connect/token", &[("grant_type", &large)], &[])
        .await;
    answer.refused("invalid_request");
    let unsigned = |change: Value| {
        let mut claims = assertion_claims(&world);
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "typ": "client-authentication+jwt"});
        compact(&header, claims.to_string().as_bytes(), |_| vec![0; 64])
    };
    let table = [
        (json!({"iss": "nobody", "sub": "nobody"}), "no client"),
        (json!({"exp": world.now() - 60}), "expired"),
        (json!({"aud": "https://other.example"}), "aud"),
        (json!({"x": "y".repeat(40_000)}), "longer than"),
        (json!({}), "signature"),
    ];
    for (change, reason) in table {
        let answer = world
            .push_with(&[("client_id", "")], &unsigned(change), &[])
            .await;
        let text = answer.refused("invalid_client");
        assert!(text.contains(reason), "{reason}: {text}");
    }
    let long_proof = dpop::make_proof(
        &world.key,
        "POST",
        ISSUER,
        None,
        Some(&"n".repeat(9_000)),
        world.now(),
    )
    .unwrap();
    let answer = world
        .post(
            "/connect/token",
            &[
                ("grant_type", "client_credentials"),
                AUTH,
                ("client_assertion", &world.assertion(json!({}))),
            ],
            &[("DPoP", &long_proof)],
        )
        .await;
    answer.refused("invalid_dpop_proof");
}
