//! What signatures and the check of an API request cost, the least of many short rounds, so that other work on the machine
//! counts little: `cargo run --release -p jose --example speed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jose::dpop::make_proof;
use jose::jwk::KeyKind;
use jose::rs::{CachedKeys, Presented, Requirement, ResourceServer};
use jose::{Alg, Claims, JwkSet, MemoryState, PrivateJwk, jws, system_clock};
use serde_json::json;

const NOW_S: i64 = 1_800_000_000;
const CALLS: usize = 30_000;
/// Calls of one round of checks.
const ROUND: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let message = [7_u8; 600];
    for (kind, alg) in [(KeyKind::P256, Alg::Es256), (KeyKind::Rsa2048, Alg::Rs256)] {
        let key = PrivateJwk::generate(kind, Some(alg))?;
        let signature = key.sign(alg, &message)?;
        let sign_us = least_us(|| key.sign(alg, &message).is_ok());
        let verify_us = least_us(|| key.public().verify(alg, &message, &signature));
        println!(
            "{}: sign {sign_us:.1} us, verify {verify_us:.1} us",
            alg.name()
        );
    }
    check()
}

fn least_us(mut work: impl FnMut() -> bool) -> f64 {
    let (began, mut least) = (Instant::now(), Duration::MAX);
    while began.elapsed() < Duration::from_secs(2) {
        let round = Instant::now();
        assert!(work());
        least = least.min(round.elapsed());
    }
    least.as_secs_f64() * 1e6
}

fn check() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = PrivateJwk::generate(KeyKind::P256, None)?;
    let client = PrivateJwk::generate(KeyKind::P256, None)?;
    let claims = json!({
        "iss": "https://localhost:8444", "nbf": NOW_S, "iat": NOW_S, "exp": NOW_S + 600,
        "aud": ["nhn:kjernejournal"], "scope": ["nhn:kjernejournal/api"],
        "client_id": "d9e3b5c7-5a94-4f0c-a47e-1f4b3a5a2c11",
        "helseid://claims/client/claims/orgnr_parent": "994598759",
        "helseid://claims/client/claims/orgnr_child": "994598760",
        "helseid://claims/client/client_name": "A system of an office",
        "helseid://claims/client/amr": "private_key_jwt", "client_amr": "private_key_jwt",
        "cnf": { "jkt": client.public().thumbprint() }, "jti": "0123456789ABCDEF0123456789ABCDEF",
    });
    let claims = Claims(claims.as_object().cloned().unwrap_or_default());
    let payload = serde_json::to_vec(&claims.0)?;
    let token = jws::sign_compact("at+jwt", &payload, &issuer)?;
    let keys = CachedKeys::new(JwkSet::new(vec![issuer.public().clone()]), NOW_S, 30);
    let replay = Arc::new(MemoryState::new(system_clock(), 4_000_000));
    let origin = "https://api.example.no";
    let origins = [origin.to_owned()];
    let audience = "nhn:kjernejournal";
    let server = ResourceServer::new(
        "https://localhost:8444",
        audience,
        &origins,
        Arc::new(keys),
        replay,
    );
    let authorization = format!("DPoP {token}");
    let url = format!("{origin}/persons/17");
    let proofs = (0..CALLS)
        .map(|_| make_proof(&client, "GET", &url, Some(&token), None, NOW_S))
        .collect::<Result<Vec<_>, _>>()?;
    let requirement = Requirement::scope(&["nhn:kjernejournal/api"]);
    let mut least = Duration::MAX;
    for round in proofs.chunks(ROUND) {
        let began = Instant::now();
        for proof in round {
            let presented = Presented {
                method: "GET",
                path: "/persons/17",
                authorization: &[&authorization],
                dpop: &[proof],
                now_s: NOW_S,
            };
            server.check(&presented, &requirement)?;
        }
        least = least.min(began.elapsed());
    }
    println!(
        "API request, token and proof: {:.1} us",
        least.as_secs_f64() * 1e6 / ROUND as f64
    );
    Ok(())
}
