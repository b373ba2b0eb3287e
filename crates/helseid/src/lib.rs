//! HelseID: the OpenID provider and OAuth authorization server of health personnel and their systems.
//!
//! Existing HelseID clients run against it unmodified: pushed authorization requests, PKCE, `private_key_jwt`, DPoP with
//! the nonce order real clients need, signed JWT access tokens with the national claims, test identity provider.
//! Data controller nationally: Norsk helsenett. **Deliberately does not know** what the APIs behind its tokens do.
//! [`citizen`] is the other issuer, the citizens': it uses the same machinery (pushed requests, codes, refresh families,
//! assertions, marks, logins at providers outside) and shares nothing else: other keys, clients, sessions and state.
//!
//! Read first: [`Helseid`] (the service), [`Config`] with [`config::Client`] and [`config::Api`] (what is registered),
//! `edge::token` (the order of checks), `rules::claims` (what stands in tokens); [`client`] is the other side, for our
//! own portals (its protocol part, [`jose::client`], serves any issuer of this kind).
//!
//! Invariants, guarded by `tests/it`:
//! 1. A request answered with `use_dpop_nonce` has consumed nothing (spec helseid §4.1).
//! 2. Codes, pushed requests, assertion ids and proofs are good for one use each, also when used at the same moment.
//! 3. Tokens and discovery always carry the https issuer, whatever listener was used.
//! 4. The API decides which claims its tokens carry; organisation, authorisation and name are looked up at issue time.
//! 5. No token, assertion or national id reaches a log, an address or an error text (but the ID token hint with which a
//!    browser logs out at an identity provider outside is that provider's own, in its own address).
//! 6. The test identity provider and the test-token service do not exist unless configured; their routes are not there.
//! 7. A login at a provider outside counts only in the browser that began it, once, and for the level the provider names.
//!
//! Under attack: bodies end at 64 KiB, cheap checks come before signatures, all short-lived state is bounded and a full
//! store refuses. What survives a restart and is shared by several processes is what the [`State`] given keeps: the hub's
//! lies on its store and loses nothing; signing keys change by compare and swap, so that processes agree on the next one.
//!
//! Rules: spec helseid §1-§19, §21; spec tillitsrammeverk §2-§4. Not built: device flow, CIBA, session iframe. The
//! attack table of §19 is one test, `tests/it/attacks`.
//! Tests: `cargo test -p helseid`. To try it by hand: `cargo run -p helseid --example standalone`.

pub mod citizen;
pub mod client;
pub mod config;
mod edge;
mod error;
mod grants;
pub mod idp;
mod issue;
mod keys;
pub mod limits;
mod nonce;
mod realm;
pub mod registry;
pub mod rules;

pub use self::edge::self_service;
pub use config::{Api, Client, ClientKey, Config, Mode, SigningKeyKind, Tenancy, Wanted};
pub use error::{Code, OAuthError};
pub use keys::{ForgetfulKeyStore, KeyStore, StartError};

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use jose::client::Transport;
use jose::dpop;
use jose::keyring::{KeyPhase, RotationPolicy};
use jose::rs::{KeySource, ResourceServer};
use jose::state::{Clock, ReplayCache, State, StateError};
use registers::directory::Directory;
use serde_json::Value;

use grants::Grants;
use idp::Upstream;
use keys::Secrets;
use limits::Limiter;
use realm::Realm;
use rules::terms::TermsOfUse;

/// What the issuer stands on.
pub struct Parts {
    /// Persons, personnel and organisations.
    pub directory: Arc<dyn Directory>,
    /// Short-lived state.
    pub state: Arc<dyn State>,
    /// Replay marks of DPoP proofs at UserInfo.
    pub replay: Arc<dyn ReplayCache>,
    /// Keeper of signing keys and secrets.
    pub keys: Arc<dyn KeyStore>,
    /// Real time; tokens never follow the demo clock.
    pub clock: Clock,
}

/// The issuer. Cheap to clone.
#[derive(Clone)]
pub struct Helseid {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    realm: &'static Realm,
    /// What only the citizens' issuer has.
    citizens: Option<citizen::Registrations>,
    config: Config,
    clients: RwLock<HashMap<String, Arc<Client>>>,
    secrets: Secrets,
    directory: Arc<dyn Directory>,
    state: Arc<dyn State>,
    checker: ResourceServer,
    proof_keys: dpop::ProofKeys,
    endpoints: edge::Endpoints,
    clock: Clock,
    upstreams: Vec<Arc<Upstream>>,
    /// The way to identity providers.
    to_idps: OnceLock<Arc<dyn Transport>>,
    /// The way to clients that are told of logouts.
    to_clients: OnceLock<Arc<dyn Transport>>,
    limiter: Limiter,
    terms: RwLock<Arc<TermsOfUse>>,
}

impl Helseid {
    /// Starts the issuer: reads its secrets, or makes them at first start.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        check_issuer(&config.issuer)?;
        Self::build(config, parts, &realm::PERSONNEL, None)
    }

    /// An issuer of either kind; citizens come with what is registered about their clients.
    fn build(
        mut config: Config,
        parts: Parts,
        realm: &'static Realm,
        citizens: Option<citizen::Registrations>,
    ) -> Result<Self, StartError> {
        let now_s = (parts.clock)();
        let secrets = Secrets::load_or_make(parts.keys, &config, now_s)?;
        let clients = std::mem::take(&mut config.clients)
            .into_iter()
            .map(|client| (client.client_id.clone(), Arc::new(client)))
            .collect();
        // In the form in which addresses are compared.
        for origin in &mut config.extra_origins {
            if let Some(normal) = dpop::normalise_htu(origin) {
                normal.trim_end_matches('/').clone_into(origin);
            }
        }
        let own = realm.origin(&config.issuer);
        let mut origins = vec![own.to_owned()];
        origins.extend(config.extra_origins.iter().cloned());
        let upstreams = std::mem::take(&mut config.idps)
            .into_iter()
            .map(|idp| match idp.has_usable_id() {
                true => Ok(Arc::new(Upstream::new(idp))),
                false => Err(StartError::BadIdp(idp.id)),
            })
            .collect::<Result<_, _>>()?;
        let limiter = Limiter::new(config.limits);
        let endpoints = edge::Endpoints::new(origins.iter().map(String::as_str), realm);
        let checker =
            ResourceServer::new(&config.issuer, "", &origins, secrets.source(), parts.replay)
                .any_audience();
        Ok(Self {
            inner: Arc::new(Inner {
                realm,
                citizens,
                config,
                clients: RwLock::new(clients),
                secrets,
                directory: parts.directory,
                state: parts.state,
                checker,
                proof_keys: dpop::ProofKeys::default(),
                endpoints,
                clock: parts.clock,
                upstreams,
                to_idps: OnceLock::new(),
                to_clients: OnceLock::new(),
                limiter,
                terms: RwLock::default(),
            }),
        })
    }

    /// Gives the ways out to identity providers and to clients that are told of logouts; once. Without them neither exists.
    /// A transport decides which addresses it calls, follows no redirects and has its own time limits.
    #[must_use]
    pub fn with_transports(
        self,
        to_idps: Arc<dyn Transport>,
        to_clients: Arc<dyn Transport>,
    ) -> Self {
        let _ = self.inner.to_idps.set(to_idps);
        let _ = self.inner.to_clients.set(to_clients);
        self
    }

    /// The HTTP service. The same router may be served on several listeners.
    pub fn router(&self) -> Router {
        edge::router(self.clone())
    }

    /// The configuration, without its clients (they may change while running).
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// A registered client.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Option<Arc<Client>> {
        self.inner
            .clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }

    /// Ids of all registered clients.
    #[must_use]
    pub fn client_ids(&self) -> std::collections::BTreeSet<String> {
        self.inner
            .clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Registers a client, or replaces its registration; in force at once.
    pub fn put_client(&self, client: Client) {
        self.inner
            .clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(client.client_id.clone(), Arc::new(client));
    }

    /// Removes a client; its tokens run out by themselves.
    pub fn remove_client(&self, client_id: &str) {
        self.inner
            .clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(client_id);
    }

    /// Says which APIs have terms of use and who has accepted them; in force at once.
    pub fn set_terms(&self, terms: TermsOfUse) {
        let mut held = self
            .inner
            .terms
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if **held != terms {
            *held = Arc::new(terms);
        }
    }

    /// The issuer's public keys, for APIs in the same process.
    #[must_use]
    pub fn key_source(&self) -> Arc<dyn KeySource> {
        self.inner.secrets.source()
    }

    /// A checker for an API in the same process: `audience` as registered, `origins` under which clients call it.
    #[must_use]
    pub fn resource_server(
        &self,
        audience: &str,
        origins: &[String],
        replay: Arc<dyn ReplayCache>,
    ) -> ResourceServer {
        ResourceServer::new(
            &self.inner.config.issuer,
            audience,
            origins,
            self.key_source(),
            replay,
        )
    }

    /// The published key set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.inner.secrets.with_ring(jose::keyring::Keyring::jwks)
    }

    /// One step of key rotation, to be called now and then (hourly is plenty); says whether a key changed phase.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn rotate_keys(&self, policy: &RotationPolicy) -> Result<bool, StartError> {
        self.inner.secrets.rotate(self.inner.now_s(), policy)
    }

    /// Key ids with their phases, for the operator's page.
    #[must_use]
    pub fn key_phases(&self) -> Vec<(String, KeyPhase)> {
        self.inner.secrets.with_ring(|ring| {
            ring.phases()
                .into_iter()
                .map(|(kid, phase)| (kid.to_owned(), phase))
                .collect()
        })
    }
}

pub(crate) fn check_issuer(issuer: &str) -> Result<(), StartError> {
    let bare = url::Url::parse(issuer)
        .is_ok_and(|url| url.scheme() == "https" && url.origin().ascii_serialization() == issuer);
    if bare {
        Ok(())
    } else {
        Err(StartError::BadIssuer(issuer.to_owned()))
    }
}

impl Inner {
    fn now_s(&self) -> i64 {
        (self.clock)()
    }

    fn grants(&self) -> Grants<'_> {
        Grants(self.state.as_ref())
    }

    fn upstream(&self, id: &str) -> Option<Arc<Upstream>> {
        self.upstreams
            .iter()
            .find(|upstream| upstream.config.id == id)
            .cloned()
    }

    fn own_checker(&self) -> &ResourceServer {
        &self.checker
    }

    /// Which APIs have terms of use now, and who has accepted them.
    fn terms(&self) -> Arc<TermsOfUse> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the scopes out whose API's terms the organisation of a multi-tenant client has not accepted; gives them.
    /// Refuses when an API is needed and none is left.
    fn apply_terms(
        &self,
        client: &Client,
        structures: &rules::structures::Structures,
        chosen: &mut rules::scopes::Chosen<'_>,
        needs_api: bool,
    ) -> Result<Vec<String>, OAuthError> {
        if !matches!(client.tenancy, Tenancy::Multi { .. }) {
            return Ok(Vec::new());
        }
        let terms = self.terms();
        if *terms == TermsOfUse::default() {
            return Ok(Vec::new());
        }
        let organisations = self.organisations(client, structures)?;
        terms.apply(
            chosen,
            organisations.parent.as_deref(),
            &self.config.apis,
            needs_api,
        )
    }

    fn current_nonce(&self) -> String {
        nonce::current(&self.secrets.nonce_key, self.now_s())
    }

    fn origins(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.realm.origin(&self.config.issuer))
            .chain(self.config.extra_origins.iter().map(String::as_str))
    }

    /// The addresses of an endpoint that clients post to.
    fn endpoints(&self, path: &str) -> &edge::Addresses {
        self.endpoints.of(path)
    }

    /// How long a browser stays logged in here without being used, seconds.
    fn browser_session_s(&self) -> i64 {
        match &self.citizens {
            None => self.config.session_s,
            Some(citizens) => citizens.idle_s,
        }
    }

    /// How long a new refresh token lives, seconds.
    fn family_life_s(&self, client: &Client) -> i64 {
        match &self.citizens {
            None => self.config.session_s,
            // As long as the access token; it is then prolonged (spec §18).
            Some(_) => self.access_token_life_s(client, &[]),
        }
    }

    /// When a family ends after a refresh.
    fn family_end_s(&self, client: &Client, family: &grants::Family) -> i64 {
        match &self.citizens {
            None => family.expires_s,
            Some(_) => (self.now_s() + self.family_life_s(client))
                .min(family.latest_s)
                .max(family.expires_s),
        }
    }

    async fn mark_session_ended(&self, sid: &str) -> Result<(), OAuthError> {
        let expires_s = self.now_s() + self.config.session_s;
        Ok(self.state.note(&format!("ended/{sid}"), expires_s).await?)
    }

    async fn session_ended(&self, sid: &str) -> Result<bool, StateError> {
        self.state.is_noted(&format!("ended/{sid}")).await
    }

    async fn revoke_access_token(&self, jti: &str) -> Result<(), OAuthError> {
        // No access token of ours lives longer than a day.
        let expires_s = self.now_s() + 86_400;
        Ok(self
            .state
            .note(&format!("revoked/{jti}"), expires_s)
            .await?)
    }

    async fn is_revoked(&self, jti: &str) -> Result<bool, StateError> {
        self.state.is_noted(&format!("revoked/{jti}")).await
    }
}
