//! The person service in a process of its own, on the hub's listener with the hub's store.

use crate::served::Where;
use anyhow::{Context, Result};
use axum::Router;
use edge::listen::{Limits, Shutdown, serve as listen};
use grunndata::persons::{Persontjenesten, PersontjenestenParts, access};
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::rs::ResourceServer;
use jose::{Alg, Claims, MemoryState, names, system_clock};
use registers::RegisterTable;
use registers::persons::register::Options as RegisterOptions;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use store::{Filter, Seq, Store};

const ISSUER: &str = "https://localhost:8444";
/// Tokens of each kind: a client has few, a service meets many.
const TOKENS: usize = 64;

/// The registers of a folder.
pub(crate) fn open(folder: &Path, place: &Where) -> Result<Arc<RegisterTable>> {
    open_store(folder, place).map(|(table, _)| table)
}

fn open_store(folder: &Path, place: &Where) -> Result<(Arc<RegisterTable>, Store)> {
    let (store, mint) = Store::open(place.store(folder, registers::repositories())?)?;
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let options = RegisterOptions {
        resident: true,
        ..RegisterOptions::new(crate::served::read_forms(folder))
    };
    let clock = Arc::new(edge::clock::real_now_us);
    let table = RegisterTable::open_in(store.clone(), grant, options, clock)?;
    Ok((Arc::new(table), store))
}

/// Answers until killed.
///
/// # Errors
/// When it cannot start.
pub(crate) fn serve(folder: &Path, place: &Where, thumbprint: &str) -> Result<()> {
    let (table, store) = open_store(folder, place)?;
    // A hub does it soon after its start: rows are read into memory.
    table.persons().maintain()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let now_s = super::now_s();
    let ring = Keyring::generate(KeyKind::Rsa2048, Alg::Rs256, "bench", now_s)?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let token = |n: usize, bound: bool| -> Result<String> {
            let mut claims = json!({"iss": ISSUER, "aud": access::AUDIENCE, "iat": now_s, "nbf": now_s,
                "exp": now_s + 36_000, "client_id": format!("bench-{n}"), "scope": [access::WITH_LEGAL_BASIS],
                "jti": uuid::Uuid::new_v4(), names::ORGNR_PARENT: "315900077"});
            if bound {
                claims["cnf"] = json!({"jkt": thumbprint});
            }
            let claims = claims.as_object().context("claims")?.clone();
            Ok(ring.sign("at+jwt", &Claims(claims))?)
        };
        let all = |bound| (0..TOKENS).map(|n| token(n, bound)).collect::<Result<Vec<_>>>();
        let word = json!({"origin": origin, "bearer": all(false)?, "bound": all(true)?});
        let replay = Arc::new(MemoryState::new(system_clock(), 4_000_000));
        let origins = [origin];
        let server =
            ResourceServer::new(ISSUER, access::AUDIENCE, &origins, Arc::new(ring.clone()), replay);
        let journal = store.clone();
        let service = Persontjenesten::start(PersontjenestenParts {
            register: table.persons().clone(),
            server,
            journal: Arc::new(move |entry, durability| journal.audit(entry, durability)),
            directory: table,
            clock: Arc::new(edge::clock::real_now_us),
            now_s: Arc::new(super::now_s),
        })?;
        let router: Router = service
            .router()
            .layer(axum::middleware::from_fn(edge::headers::request_id));
        println!("{word}");
        listen(listener, None, router, Limits::default(), Shutdown::default()).await;
        Ok(())
    })
}
