//! What an operator registers: clients, APIs, and how strict the issuer is.

use std::collections::{BTreeMap, BTreeSet};

use edge::proxy::TrustedProxies;
use jose::jwk::KeyKind;
use jose::{PublicJwk, names};
use serde::{Deserialize, Serialize};

/// The whole configuration of the issuer.
#[derive(Debug, Clone)]
pub struct Config {
    /// Issuer: a bare https origin without path and trailing slash, byte-equal to what clients have configured.
    pub issuer: String,
    /// Further origins under which the same service is reached, for DPoP addresses and cookies.
    pub extra_origins: Vec<String>,
    /// Registered clients.
    pub clients: Vec<Client>,
    /// Registered APIs.
    pub apis: Vec<Api>,
    /// Whether the test identity provider and `test_pid` exist. Never in production (attack A37).
    pub test_idp: bool,
    /// Rules for clients that do not set their own.
    pub mode: Mode,
    /// Kind of the signing key made at first start. RSA for RS256, the one algorithm every known verifier takes.
    pub signing_key: SigningKeyKind,
    /// Access token life unless the API or client sets another, seconds.
    pub access_token_s: i64,
    /// Life of a refresh family and of a login session, seconds; absolute.
    pub session_s: i64,
    /// Whether UserInfo takes a bound token as plain `Bearer`, as the ASP.NET handler sends it (spec §12).
    pub userinfo_bearer: bool,
    /// Identity providers users log in at, besides the test provider (spec §6.2).
    pub idps: Vec<crate::idp::IdpConfig>,
    /// API keys of the test-token service; without one the service does not exist. Never in production (spec §15).
    pub test_token_keys: Vec<String>,
    /// How much one client and one address may ask for.
    pub limits: crate::limits::Limits,
    /// Proxies whose word about a request's address is believed, so that limits count clients and not the proxy.
    pub proxies: TrustedProxies,
}

impl Config {
    /// A configuration with the defaults of the specification and nothing registered but the national APIs.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            extra_origins: Vec::new(),
            clients: Vec::new(),
            apis: national_apis(),
            test_idp: false,
            mode: Mode::Strict,
            signing_key: SigningKeyKind::Rsa2048,
            access_token_s: 600,
            session_s: 8 * 3_600,
            userinfo_bearer: true,
            idps: Vec::new(),
            test_token_keys: Vec::new(),
            limits: crate::limits::Limits::default(),
            proxies: TrustedProxies::default(),
        }
    }
}

/// Signing key kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SigningKeyKind {
    Rsa2048,
    Rsa3072,
    P256,
}

impl SigningKeyKind {
    pub(crate) const fn kind(self) -> KeyKind {
        match self {
            Self::Rsa2048 => KeyKind::Rsa2048,
            Self::Rsa3072 => KeyKind::Rsa3072,
            Self::P256 => KeyKind::P256,
        }
    }

    pub(crate) const fn alg(self) -> jose::Alg {
        match self {
            Self::Rsa2048 | Self::Rsa3072 => jose::Alg::Rs256,
            Self::P256 => jose::Alg::Es256,
        }
    }
}

/// Strict is for production, compatible lets stock OAuth libraries pass (spec §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Mode {
    Strict,
    Compatible,
}

/// A key of a client.
#[derive(Debug, Clone)]
pub struct ClientKey {
    /// The public key.
    pub key: PublicJwk,
    /// Last second of its validity, since 1970; `None` only for keys the operator renews by hand.
    pub expires_s: Option<i64>,
}

/// Which organisations a client may act for (spec §8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenancy {
    /// No organisation.
    None,
    /// One legal entity, and those of its sub-units.
    Single {
        /// Organisation number of the legal entity.
        parent: String,
        /// Sub-units the client may name.
        children: BTreeSet<String>,
    },
    /// A supplier acting for many.
    Multi {
        /// Organisation number of the supplier.
        supplier: String,
        /// Organisations that have delegated to the supplier.
        delegations: BTreeSet<String>,
    },
}

/// One installation of a system: always confidential, authenticated by its own key.
#[derive(Debug, Clone)]
pub struct Client {
    /// Normally a GUID.
    pub client_id: String,
    /// Name of the configuration, shown on the login page.
    pub name: String,
    /// Name of the organisation that owns it.
    pub organisation_name: String,
    /// Active and recent keys.
    pub keys: Vec<ClientKey>,
    /// Scopes granted (API and identity scopes).
    pub scopes: BTreeSet<String>,
    /// Redirect URIs, matched exactly.
    pub redirect_uris: Vec<String>,
    /// Where the browser may go after logout, matched exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// Whether users log in with it (authorization code).
    pub user_login: bool,
    /// Whether it may use client credentials.
    pub machine: bool,
    /// Whether it may get refresh tokens.
    pub refresh: bool,
    /// Native application: any port matches on a loopback redirect URI.
    pub native: bool,
    /// Organisations it may act for.
    pub tenancy: Tenancy,
    /// API-specific claims: claim type (`<audience>/client/claims/<key>`) to value.
    pub api_claims: BTreeMap<String, String>,
    /// Identity providers its users may come from; empty for any.
    pub idps: BTreeSet<String>,
    /// Whether it may get tokens bound to no key (APIs must allow it too).
    pub bearer_allowed: bool,
    /// Own rules; `None` for the issuer's.
    pub mode: Option<Mode>,
    /// Own access token life in seconds.
    pub access_token_s: Option<i64>,
    /// May ask introspection about any token (an API does; a client only about its own).
    pub introspects: bool,
    /// Audiences of the APIs this client calls other APIs for: it may exchange tokens that were sent to them (spec §11).
    /// Empty: it may not exchange tokens.
    pub acts_for: BTreeSet<String>,
    /// Told by the browser when a login ends (OpenID Connect Front-Channel Logout).
    pub frontchannel_logout_uri: Option<String>,
    /// Told by this server when a login ends (OpenID Connect Back-Channel Logout).
    pub backchannel_logout_uri: Option<String>,
}

impl Client {
    /// A client that can do nothing yet.
    #[must_use]
    pub fn new(client_id: &str, name: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            name: name.to_owned(),
            organisation_name: String::new(),
            keys: Vec::new(),
            scopes: BTreeSet::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            user_login: false,
            machine: false,
            refresh: false,
            native: false,
            tenancy: Tenancy::None,
            api_claims: BTreeMap::new(),
            idps: BTreeSet::new(),
            bearer_allowed: false,
            mode: None,
            access_token_s: None,
            introspects: false,
            acts_for: BTreeSet::new(),
            frontchannel_logout_uri: None,
            backchannel_logout_uri: None,
        }
    }

    /// The keys valid at that time.
    #[must_use]
    pub fn active_keys(&self, now_s: i64) -> Vec<PublicJwk> {
        self.keys
            .iter()
            .filter(|key| key.expires_s.is_none_or(|expires_s| now_s <= expires_s))
            .map(|key| key.key.clone())
            .collect()
    }
}

/// A claim an API may want in its access tokens (spec §9): the API decides, not the client. Its word in files is that of
/// the variant in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Wanted {
    Pid,
    PidPseudonym,
    SecurityLevel,
    AssuranceLevel,
    Network,
    HprNumber,
    Names,
    ClientName,
    ClientTenancy,
    OrgnrParent,
    OrgnrChild,
    OrgnrSupplier,
    SfmJournalId,
    /// The attest of the trust framework.
    #[serde(rename = "tillitsrammeverk")]
    Attest,
    /// The legal entity under the name that kjernejournal used once.
    KjOrgnr,
    /// `rsa_private_key`, for clients with an RSA key: how clients authenticated once.
    ClientAmr,
}

impl Wanted {
    /// The claims it puts into tokens.
    #[must_use]
    pub const fn claims(self) -> &'static [&'static str] {
        match self {
            Self::Pid => &[names::PID],
            Self::PidPseudonym => &[names::PID_PSEUDONYM],
            Self::SecurityLevel => &[names::SECURITY_LEVEL],
            Self::AssuranceLevel => &[names::ASSURANCE_LEVEL],
            Self::Network => &[names::NETWORK],
            Self::HprNumber => &[names::HPR_NUMBER],
            Self::Names => &["name", "given_name", "middle_name", "family_name"],
            Self::ClientName => &[names::CLIENT_NAME],
            Self::ClientTenancy => &[names::CLIENT_TENANCY],
            Self::OrgnrParent => &[names::ORGNR_PARENT],
            Self::OrgnrChild => &[names::ORGNR_CHILD],
            Self::OrgnrSupplier => &[names::ORGNR_SUPPLIER],
            Self::SfmJournalId => &[names::SFM_JOURNAL_ID],
            Self::Attest => &[names::ATTEST],
            Self::KjOrgnr => &[names::KJ_ORGNR],
            Self::ClientAmr => &[names::CLIENT_AMR_LEGACY],
        }
    }
}

/// A registered API.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its audience, `prefix:name`.
    pub audience: String,
    /// Its scopes, each `audience/…`; a scope belongs to one API.
    pub scopes: BTreeSet<String>,
    /// Claims it wants.
    pub wants: BTreeSet<Wanted>,
    /// Whether it refuses tokens that are for other APIs too.
    pub alone: bool,
    /// Whether it takes tokens bound to no key.
    pub bearer_allowed: bool,
    /// Access token life in seconds, if not the issuer's default.
    pub access_token_s: Option<i64>,
}

impl Api {
    /// Whether an operator may register it like this; says what is wrong.
    ///
    /// # Errors
    /// Audience not `prefix:name`, no scope, scopes with characters that OAuth does not know, a life outside 30 s to a day.
    pub fn check(&self) -> Result<(), String> {
        let is_word = |text: &str, more: &[u8]| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !text.is_empty() && text.bytes().all(|byte| known(byte) || more.contains(&byte))
        };
        let parts = self.audience.split_once(':');
        if self.audience.len() > 100
            || !parts.is_some_and(|(a, b)| is_word(a, b"") && is_word(b, b""))
        {
            return Err(
                "the audience has the form prefix:name, of letters, digits, -, . and _".to_owned(),
            );
        }
        let own = |scope: &String| {
            scope
                .strip_prefix(&self.audience)?
                .strip_prefix('/')
                .map(str::to_owned)
        };
        let is_scope = |scope: &String| {
            own(scope).is_some_and(|rest| rest.len() <= 100 && is_word(&rest, b"/*:"))
        };
        if self.scopes.is_empty() || self.scopes.len() > 100 || !self.scopes.iter().all(is_scope) {
            return Err(
                "an API has 1 to 100 scopes, of letters, digits, -, ., _, :, * and /".to_owned(),
            );
        }
        if self
            .access_token_s
            .is_some_and(|life_s| !(30..=86_400).contains(&life_s))
        {
            return Err("access_token_s is 30 to 86400".to_owned());
        }
        Ok(())
    }

    /// An API with these scopes (the part after the audience) and wanted claims.
    #[must_use]
    pub fn new(audience: &str, scopes: &[&str], wants: &[Wanted]) -> Self {
        Self {
            audience: audience.to_owned(),
            scopes: scopes
                .iter()
                .map(|scope| format!("{audience}/{scope}"))
                .collect(),
            wants: wants.iter().copied().collect(),
            alone: false,
            bearer_allowed: false,
            access_token_s: None,
        }
    }
}

/// The national APIs with the claims they demand (spec §9.1), as the sandbox registers them.
///
/// Organisation numbers, tenancy and client name are wanted by all that use them in decisions or logs.
#[must_use]
pub fn national_apis() -> Vec<Api> {
    use Wanted as W;
    const USER: &[Wanted] = &[
        W::Pid,
        W::SecurityLevel,
        W::HprNumber,
        W::Names,
        W::Network,
        W::ClientName,
        W::ClientTenancy,
        W::OrgnrParent,
        W::OrgnrChild,
        W::OrgnrSupplier,
        W::Attest,
    ];
    const ORGANISATION: &[Wanted] = &[
        W::OrgnrParent,
        W::OrgnrChild,
        W::OrgnrSupplier,
        W::ClientName,
        W::ClientTenancy,
    ];
    let mut sfm = Api::new(
        "e-helse:sfm.api",
        &["sfm.api", "sfm-migrering.api"],
        &[
            W::Pid,
            W::SecurityLevel,
            W::AssuranceLevel,
            W::HprNumber,
            W::Names,
            W::OrgnrParent,
            W::OrgnrChild,
            W::OrgnrSupplier,
            W::ClientTenancy,
            W::ClientName,
            W::SfmJournalId,
        ],
    );
    sfm.alone = true;
    vec![
        Api::new(
            "nhn:kjernejournal",
            &["api", "innlogging", "tillitsrammeverk"],
            USER,
        ),
        Api::new(
            "nhn:phr",
            &[
                "mhd/read-documentreferences",
                "mhd/read-document",
                "mhd/read-documentreferences/kjernejournalforskriften",
                "mhd/read-document/kjernejournalforskriften",
                "mhd/*",
            ],
            USER,
        ),
        Api::new("nhn:pps", &["provesvar-read", "provesvar"], USER),
        Api::new("nhn:parek", &["rekvisisjon"], USER),
        Api::new("nhn:critical-information", &["api"], USER),
        sfm,
        Api::new(
            "nhn:hgd-persontjenesten-api",
            &[
                "restricted-access",
                "read-with-legal-basis",
                "read-no-legal-basis",
                "full-access",
            ],
            ORGANISATION,
        ),
        Api::new("nhn:cp-api", &["access-v2-dpop"], ORGANISATION),
        Api::new("nhn:cppa", &["access", "access-with-dpop"], ORGANISATION),
        Api::new("nhn:msh", &["api"], ORGANISATION),
        Api::new("nhn:deft", &["api"], ORGANISATION),
        Api::new("nhn:selvbetjening", &["client"], ORGANISATION),
        Api::new(
            "nav:sign-message",
            &["msghead"],
            &[W::Pid, W::SecurityLevel, W::HprNumber],
        ),
    ]
}
