//! The portals' backend: sessions, and one view model per page. The browser never sees a token (DESIGN §9).
//!
//! It deliberately holds no rules: what is shown and refused is decided by the services; what it says is in `web/`.
//!
//! Read first: [`PortalState`], [`session::Sessions`], [`citizen`], [`personnel`], [`drift`].
//!
//! Invariants: unsafe methods need the session's CSRF token in a header; national ids stand in bodies, never in URLs; every
//! answer is `no-store`; each of the three portals has its own session cookie.
//!
//! Rules: spec/portals.md, DESIGN §4, §9.

mod apis;
pub mod approvals;
pub mod assets;
pub mod citizen;
pub mod clients;
pub mod counts;
pub mod drift;
pub mod personnel;
pub mod session;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use dokumenter::Dokumenter;
use helsenorge::Helsenorge;
use kjernejournal::Kjernejournal;
use provesvar::Provesvar;
use registers::Directory;
use std::sync::Arc;
use trust::Trust;

pub use session::{Session, Sessions, Who};

/// Everything the pages need.
#[derive(Clone)]
pub struct PortalState {
    /// The decision maker.
    pub trust: Arc<Trust>,
    /// Registers.
    pub directory: Arc<dyn Directory>,
    /// Citizens.
    pub helsenorge: Arc<Helsenorge>,
    /// The core record.
    pub kjernejournal: Arc<Kjernejournal>,
    /// Results.
    pub provesvar: Arc<Provesvar>,
    /// Letters.
    pub dokumenter: Arc<Dokumenter>,
    /// The citizens' issuer: a login on the portal's own page is proven by an ID token with its keys and claims.
    pub issuer: helseid::citizen::Citizens,
    /// Login of personnel through HelseID.
    pub personnel_login: Arc<dyn personnel::PersonnelLogin>,
    /// Messages, validator, story, health.
    pub operations: Arc<dyn drift::Operations>,
    /// Registrations of HelseID clients.
    pub clients: Arc<helseid::registry::Registry>,
    /// Sessions, on the hub's state.
    pub sessions: Arc<Sessions>,
    /// Public keys of the log heads.
    pub log_jwks: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// The demo nation: ready logins are shown.
    pub is_demo: bool,
}

/// Pages and their API.
pub fn router(state: PortalState) -> Router {
    let login = helsenorge::login::Login {
        directory: state.directory.clone(),
        clock: {
            let trust = state.trust.clone();
            Arc::new(move || trust.now())
        },
        on_login: citizen::on_login(state.clone()),
    };
    let api = Router::new()
        .merge(session::router())
        .merge(citizen::router())
        .merge(personnel::router())
        .merge(drift::router())
        .merge(counts::router())
        .merge(approvals::router())
        .merge(clients::router())
        .merge(apis::router())
        .with_state(state)
        .layer(middleware::map_response(no_store));
    Router::new()
        .merge(api)
        .merge(helsenorge::login::router(login))
        .merge(assets::router())
}

async fn no_store<B>(mut response: axum::http::Response<B>) -> axum::http::Response<B> {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
