//! The citizens' issuer: Helsenorge's security token service (spec helseid §18, helsenorge §2).
//!
//! It stands on the machinery of HelseID (pushed requests, codes, refresh families, assertions, replay marks, logins at
//! providers outside, logout), but shares nothing else with it: another issuer, other keys, clients, sessions and cookies,
//! and its own part of the state. A citizen's token opens nothing that expects personnel, and the reverse.
//!
//! Read first: [`Citizens`], [`CitizenClient`], [`Representation`]; then `request` (what a login may ask for), `tokens`
//! (what stands in tokens), `choose` (for whom somebody acts).
//!
//! Invariants, guarded by `tests/it/citizens`:
//! 1. A token names two persons: the one whose things it opens (`sub`, `pid`) and the one who logged in (`act`).
//! 2. Who may act for whom is asked again whenever a token is made or looked at: no token outlives the right.
//! 3. A national identity number leaves only by the right `oidcfodselsnummer`, and never in an address.
//! 4. What a client may do beyond `openid` and `offline_access` stands in its registration, not in its request.
//! 5. A public client pushes, proves its code by PKCE and itself by its instance's certificate; codes, refresh tokens and
//!    access tokens are bound to that certificate.

mod attorney;
mod authorize;
mod caller;
pub(crate) mod choose;
mod discovery;
mod endpoints;
pub(crate) mod login;
mod request;
mod state;
mod texts;
pub(crate) mod tokens;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use jose::client::Transport;
use jose::keyring::{KeyPhase, RotationPolicy};
use serde_json::Value;

use crate::config::{Client, Mode, SigningKeyKind};
use crate::edge::{end_session, per_address, upstream, upstream_logout, wrong_method};
use crate::error::OAuthError;
use crate::idp::IdpConfig;
use crate::limits::Limits;
use crate::realm;
use crate::{Config, Helseid, Parts, StartError};

pub use tokens::LoginTokenError;

/// Where the endpoints lie below the citizens' base (the table of spec §18, in its listed versions).
pub mod path {
    /// Path of the issuer.
    pub const ISSUER: &str = "/sts/oidcprov/v3";
    /// Login.
    pub const AUTHORIZE: &str = "/sts/oidcprov/v2/authorize";
    /// Logout.
    pub const LOGOUT: &str = "/sts/oidcprov/v2/logout";
    /// Tokens.
    pub const TOKEN: &str = "/sts/oidcprov/v3/token";
    /// Pushed requests.
    pub const PAR: &str = "/sts/oidcprov/v1/par";
    /// Revocation.
    pub const REVOKE: &str = "/sts/oidcprov/v1/revoke";
    /// Prolonging a refresh token.
    pub const EXTEND: &str = "/sts/oidcprov/v1/extend";
    /// Introspection.
    pub const INTROSPECT: &str = "/sts/oidcprov/v1/introspect";
    /// The power of attorney behind a login, as a token.
    pub const ATTORNEY_TOKEN: &str = "/personvern/FullmaktToken/v1";
    /// Metadata, below a version.
    pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
    /// Keys, below a version.
    pub(crate) const JWKS: &str = "/.well-known/openid-configuration/jwks";
    /// Keys that signed once, below a version.
    pub(crate) const EXPIRED_JWKS: &str = "/.well-known/openid-configuration/expiredjwks";
    /// Everything of this issuer lies below.
    pub(crate) const ROOT: &str = "/sts/oidcprov";
    /// Versions that are accepted alike.
    pub(crate) const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

    /// All paths of an endpoint: its name after each version, and before it.
    pub(crate) fn versions(canonical: &str) -> Vec<String> {
        let name = canonical.rsplit('/').next().unwrap_or_default();
        VERSIONS
            .iter()
            .flat_map(|version| {
                [
                    format!("{ROOT}/{version}/{name}"),
                    format!("{ROOT}/{name}/{version}"),
                ]
            })
            .collect()
    }
}

/// The right to the name of the represented person.
pub const RIGHT_NAME: &str = "oidcnavn";
/// The right to her birth date.
pub const RIGHT_BIRTH_DATE: &str = "oidcfodselsdatoinformasjon";
/// The right to her national identity number, and to that of whoever acts for her.
pub const RIGHT_PID: &str = "oidcfodselsnummer";
/// The right to fetch the power of attorney as a token.
pub const RIGHT_ATTORNEY: &str = "nhn:helsenorge/fullmakt/read";

/// All rights a client of citizens can have.
pub const RIGHTS: [&str; 4] = [RIGHT_NAME, RIGHT_BIRTH_DATE, RIGHT_PID, RIGHT_ATTORNEY];

/// On what ground somebody acts for another (spec privacy §6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// Parental responsibility.
    Parent,
    /// Power of attorney for these service areas (code list 7618).
    Attorney(Vec<u8>),
    /// Assigned, because the person cannot consent.
    Assigned,
}

impl Ground {
    /// The value of `act.relation` (spec helsenorge §2.3).
    #[must_use]
    pub const fn relation(&self) -> &'static str {
        match self {
            Self::Parent => "foreldre",
            Self::Attorney(_) => "fullmakt",
            Self::Assigned => "tildelt_fullmakt",
        }
    }
}

/// A person somebody may act for.
#[derive(Clone, PartialEq, Eq)]
pub struct Represented {
    /// National identity number.
    pub pid: String,
    /// Name for the page.
    pub name: String,
    /// On what ground.
    pub ground: Ground,
}

impl std::fmt::Debug for Represented {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Represented({:?})", self.ground)
    }
}

/// Why a citizen may not log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLogin {
    /// The person register has nobody with this number.
    Unknown,
    /// Registered as deceased.
    Deceased,
    /// Too young for an own login.
    TooYoung,
}

/// What is asked about many: an answer that may take a look at the store.
pub type Asked<T> = Pin<Box<dyn Future<Output = Result<T, OAuthError>> + Send>>;

/// Who may log in, and for whom; answered by the hub from registers and settings, on the rules' clock.
pub trait Representation: Send + Sync + 'static {
    /// Whether a person may log in now. In memory; never blocks.
    ///
    /// # Errors
    /// [`NoLogin`] when not.
    fn may_log_in(&self, pid: &str) -> Result<(), NoLogin>;
    /// Everybody this person may act for now.
    fn represented_by(&self, pid: &str) -> Asked<Vec<Represented>>;
}

/// A client of citizens.
#[derive(Debug, Clone)]
pub struct CitizenClient {
    /// Keys, addresses and names. `scopes` are its rights; `refresh` allows `offline_access`; `introspects` is for APIs.
    pub client: Client,
    /// An application without a key of its own (phone, browser): proves itself by its instance's certificate.
    pub public: bool,
    /// Audiences of its access tokens; none: the issuer itself.
    pub audiences: Vec<String>,
}

impl CitizenClient {
    /// A confidential client that can do nothing but log citizens in.
    #[must_use]
    pub fn confidential(client_id: &str, name: &str) -> Self {
        let mut client = Client::new(client_id, name);
        client.user_login = true;
        client.bearer_allowed = true;
        Self {
            client,
            public: false,
            audiences: Vec::new(),
        }
    }

    /// A public client.
    #[must_use]
    pub fn public(client_id: &str, name: &str) -> Self {
        let mut made = Self::confidential(client_id, name);
        made.client.native = true;
        made.public = true;
        made
    }
}

/// How the citizens' issuer is set up.
#[derive(Debug, Clone)]
pub struct CitizenConfig {
    /// The citizens' base: a bare https origin; the issuer is this and [`path::ISSUER`].
    pub base: String,
    /// Further origins under which the same service is reached.
    pub extra_origins: Vec<String>,
    /// Origin of the listener that asks for certificates, if there is one; public clients need it.
    pub mtls_origin: Option<String>,
    /// Registered clients.
    pub clients: Vec<CitizenClient>,
    /// Whether the test page and `test_pid` exist. Never in production.
    pub test_login: bool,
    /// Rules for clients that do not set their own.
    pub mode: Mode,
    /// Kind of the signing key made at first start.
    pub signing_key: SigningKeyKind,
    /// Life of access tokens, and of refresh tokens until they are prolonged; seconds.
    pub access_token_s: i64,
    /// How far ahead a refresh token is prolonged, and how long an unused browser stays logged in (own; the half hour of
    /// spec helsenorge §2.1); seconds.
    pub idle_s: i64,
    /// Longest life of a login, however often it is prolonged; seconds.
    pub login_s: i64,
    /// Identity providers outside; their logins count at level 4 only.
    pub idps: Vec<IdpConfig>,
    /// How much one client and one address may ask for.
    pub limits: Limits,
    /// Proxies whose word about a request's address is believed.
    pub proxies: edge::proxy::TrustedProxies,
}

impl CitizenConfig {
    /// The defaults, with nobody registered.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            extra_origins: Vec::new(),
            mtls_origin: None,
            clients: Vec::new(),
            test_login: false,
            mode: Mode::Strict,
            signing_key: SigningKeyKind::Rsa2048,
            access_token_s: 600,
            idle_s: 30 * 60,
            login_s: 8 * 3_600,
            idps: Vec::new(),
            limits: Limits::default(),
            proxies: edge::proxy::TrustedProxies::default(),
        }
    }
}

/// What only this issuer has, besides what it shares with HelseID.
pub(crate) struct Registrations {
    clients: RwLock<HashMap<String, Arc<Extra>>>,
    pub(crate) representation: Arc<dyn Representation>,
    pub(crate) idle_s: i64,
    mtls_origin: Option<String>,
}

/// What a citizens' client has besides [`Client`].
pub(crate) struct Extra {
    pub(crate) public: bool,
    pub(crate) audiences: Vec<String>,
}

impl Registrations {
    pub(crate) fn extra(&self, client_id: &str) -> Option<Arc<Extra>> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(client_id)
            .cloned()
    }

    fn register(&self, client: &CitizenClient) {
        let extra = Extra {
            public: client.public,
            audiences: client.audiences.clone(),
        };
        self.clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(client.client.client_id.clone(), Arc::new(extra));
    }

    fn remove(&self, client_id: &str) {
        self.clients
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(client_id);
    }
}

/// What only the citizens' issuer has; asked in its own handlers alone.
pub(crate) fn registrations(helseid: &Helseid) -> Result<&Registrations, OAuthError> {
    helseid
        .inner
        .citizens
        .as_ref()
        .ok_or_else(OAuthError::internal)
}

/// The citizens' issuer. Cheap to clone.
#[derive(Clone)]
pub struct Citizens {
    core: Helseid,
}

impl Citizens {
    /// Starts the issuer: reads its secrets, or makes them at first start. `parts.keys` must be its own; its part of
    /// `parts.state` is kept apart from HelseID's.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(
        mut config: CitizenConfig,
        mut parts: Parts,
        representation: Arc<dyn Representation>,
    ) -> Result<Self, StartError> {
        crate::check_issuer(&config.base)?;
        let registrations = Registrations {
            clients: RwLock::default(),
            representation,
            idle_s: config.idle_s,
            mtls_origin: config.mtls_origin.clone(),
        };
        let mut core = Config::new(&format!("{}{}", config.base, path::ISSUER));
        core.apis = Vec::new();
        core.extra_origins = std::mem::take(&mut config.extra_origins);
        core.extra_origins.extend(config.mtls_origin.take());
        core.test_idp = config.test_login;
        core.mode = config.mode;
        core.signing_key = config.signing_key;
        core.access_token_s = config.access_token_s;
        core.session_s = config.login_s;
        core.idps = std::mem::take(&mut config.idps);
        core.limits = config.limits;
        core.proxies = config.proxies;
        for client in config.clients {
            registrations.register(&client);
            core.clients.push(client.client);
        }
        parts.state = Arc::new(state::Apart(parts.state));
        let core = Helseid::build(core, parts, &realm::CITIZENS, Some(registrations))?;
        Ok(Self { core })
    }

    /// Gives the ways out to identity providers and to clients that are told of logouts; once.
    #[must_use]
    pub fn with_transports(
        self,
        to_idps: Arc<dyn Transport>,
        to_clients: Arc<dyn Transport>,
    ) -> Self {
        Self {
            core: self.core.with_transports(to_idps, to_clients),
        }
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.core.inner.config.issuer
    }

    /// Registers a client, or replaces its registration; in force at once.
    pub fn put_client(&self, client: CitizenClient) {
        if let Some(registrations) = &self.core.inner.citizens {
            registrations.register(&client);
        }
        self.core.put_client(client.client);
    }

    /// A registered client.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Option<Arc<Client>> {
        self.core.client(client_id)
    }

    /// Ids of all registered clients.
    #[must_use]
    pub fn client_ids(&self) -> std::collections::BTreeSet<String> {
        self.core.client_ids()
    }

    /// Removes a client; its tokens run out by themselves.
    pub fn remove_client(&self, client_id: &str) {
        self.core.remove_client(client_id);
        if let Some(registrations) = &self.core.inner.citizens {
            registrations.remove(client_id);
        }
    }

    /// The published key set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.core.jwks()
    }

    /// One step of key rotation; says whether a key changed phase.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn rotate_keys(&self, policy: &RotationPolicy) -> Result<bool, StartError> {
        self.core.rotate_keys(policy)
    }

    /// Key ids with their phases.
    #[must_use]
    pub fn key_phases(&self) -> Vec<(String, KeyPhase)> {
        self.core.key_phases()
    }

    /// An ID token for a citizen who has logged in on the portal's own page: the same keys and claims as every other, for
    /// a client in this process. `nonce` ties it to the login.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn login_token(
        &self,
        pid: &str,
        client_id: &str,
        nonce: &str,
    ) -> Result<String, LoginTokenError> {
        tokens::login_token(&self.core, pid, client_id, nonce)
    }

    /// The national identity number in such a token.
    ///
    /// # Errors
    /// When it is not this issuer's for that client and login, or expired.
    pub fn verify_login_token(
        &self,
        token: &str,
        client_id: &str,
        nonce: &str,
    ) -> Result<String, LoginTokenError> {
        tokens::verify_login_token(&self.core, token, client_id, nonce)
    }

    /// The HTTP service, to be merged into the router of the citizens' base.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for version in path::VERSIONS {
            let at = |rest: &str| format!("{}/{version}{rest}", path::ROOT);
            router = router
                .route(&at(path::DISCOVERY), get(discovery::metadata))
                .route(&at(path::JWKS), get(crate::edge::discovery::jwks))
                .route(
                    &at(path::EXPIRED_JWKS),
                    get(crate::edge::discovery::expired_jwks),
                );
        }
        let endpoints = [
            (path::AUTHORIZE, get(authorize::authorize)),
            (path::LOGOUT, get(end_session::ask).post(end_session::act)),
            (path::TOKEN, post(endpoints::token)),
            (path::PAR, post(endpoints::push)),
            (path::REVOKE, post(endpoints::revoke)),
            (path::EXTEND, post(endpoints::extend)),
            (path::INTROSPECT, post(endpoints::introspect)),
        ];
        for (canonical, method) in endpoints {
            for one in path::versions(canonical) {
                router = router.route(&one, method.clone());
            }
        }
        let below = |rest: &str| format!("{}{rest}", path::ROOT);
        router = router
            .route(path::ATTORNEY_TOKEN, post(attorney::token))
            .route(&below("/signout/done"), get(end_session::done))
            .route(
                &below("/login/{id}/for"),
                get(choose::show).post(choose::submit),
            )
            .route(&below("/login/{id}/idp"), get(upstream::choose))
            .route(&below("/login/{id}/idp/{idp}"), get(upstream::go))
            .route(&below("/login/{id}/cancel"), get(upstream::cancel))
            .route(&below("/signin/{idp}"), get(upstream::callback))
            .route(
                &below("/signout/backchannel/{idp}"),
                post(upstream_logout::back_channel),
            )
            .route(
                &below("/signout/frontchannel/{idp}"),
                get(upstream_logout::front_channel),
            );
        // Without the test page there is nothing to see.
        if self.core.inner.config.test_idp {
            router = router.route(&below("/login/{id}"), get(login::show).post(login::submit));
        }
        let router = router
            .method_not_allowed_fallback(wrong_method)
            .with_state(self.core.clone());
        if self.core.inner.limiter.counts_addresses() {
            router.layer(from_fn_with_state(self.core.clone(), per_address))
        } else {
            router
        }
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn every_version_before_and_after_the_name() {
        let all = path::versions(path::INTROSPECT);
        for one in [
            "/sts/oidcprov/v1/introspect",
            "/sts/oidcprov/introspect/v1",
            "/sts/oidcprov/v2/introspect",
            "/sts/oidcprov/introspect/v3",
        ] {
            assert!(all.iter().any(|path| path == one), "{one}");
        }
        assert_eq!(all.len(), 6);
    }
}
