//! A sandbox and nothing else, in a process of its own: what the FHIR server costs without the hub around it, and a
//! profile that is built in a tenth of the time. The hub's own layers (request ids) stand before it as they do there.

use anyhow::{Context, Result};
use edge::front::Front;
use edge::listen::{Limits, Shutdown, serve};
use records::RepositoryConfig;
use records::gate::OpenGate;
use records::profiles::Checks;
use std::path::Path;
use std::sync::Arc;
use store::{Filter, RepoKind, RepositoryDecl, Seq, Store, StoreConfig};

/// Serves an empty sandbox out of `data` until killed, and tells its address in `facts.json` as the hub does.
/// `through_router`: nothing is answered before the router.
///
/// # Errors
/// When the store cannot be opened.
pub fn run(data: &Path, through_router: bool) -> Result<()> {
    std::fs::create_dir_all(data)?;
    let declared = vec![RepositoryDecl {
        name: "sandbox".to_owned(),
        kind: RepoKind::Open,
    }];
    let of = std::env::var;
    let (store, mint) = Store::open(match of("HELSENAV_STORE_URL") {
        Ok(url) => StoreConfig::postgres(url, of("HELSENAV_STORE_SCHEMA")?, declared),
        Err(_) => StoreConfig::sqlite(data.join("store"), declared),
    })?;
    let grant = mint.grant(Filter::Open, Seq(0), 0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let config = RepositoryConfig {
            can_reset: true,
            checks: Checks {
                invariants: true,
                profiles: true,
                ..Checks::default()
            },
            ..RepositoryConfig::new(
                "sandbox",
                store.repo("sandbox")?,
                store.clone(),
                vec![format!("{base}/fhir/sandbox")],
                Arc::new(OpenGate::new(grant)),
                vec![7; 32],
            )
        };
        let (router, at_once) = records::mount_with_front(config, "/fhir/sandbox")?;
        let router = router.layer(axum::middleware::from_fn(edge::headers::request_id));
        let front = Front::from(router).with((!through_router).then_some(at_once));
        let facts = serde_json::json!({ "base": base });
        std::fs::write(data.join("facts.json"), facts.to_string()).context("facts.json")?;
        let shutdown = Shutdown::default();
        let serving = serve(listener, None, front, Limits::default(), shutdown.clone());
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            () = serving => {}
            _ = term.recv() => shutdown.trigger(),
        }
        tokio::task::spawn_blocking(move || store.close()).await?;
        Ok(())
    })
}
