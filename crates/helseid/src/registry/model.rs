//! What is kept: client systems, their configurations, delegations and who owns an API. One record each, as JSON.
//!
//! Times are seconds since 1970 on the real clock. Only public keys are kept, and of an API key its SHA-256.

use std::collections::{BTreeMap, BTreeSet};

use jose::PublicJwk;
use jose::encoding::{b64url, hex_upper, sha256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::citizen::CitizenClient;
use crate::config::{Client, ClientKey, Mode, Tenancy};

/// How long a new key is valid, seconds.
pub const KEY_LIFE_S: i64 = 365 * 86_400;
/// How long the old keys live on after a client has renewed its key by the API, seconds (spec §14).
pub const OVERLAP_S: i64 = 86_400;
/// How long a draft waits for its organisation, seconds.
pub const DRAFT_LIFE_S: i64 = 7 * 86_400;

/// Kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`System`].
    System,
    /// [`Configuration`].
    Configuration,
    /// [`Delegation`].
    Delegation,
    /// [`ApiOwner`].
    ApiOwner,
    /// [`Acceptance`].
    Acceptance,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::System,
        Self::Configuration,
        Self::Delegation,
        Self::ApiOwner,
        Self::Acceptance,
    ];

    /// Type of its records in the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "ClientSystem",
            Self::Configuration => "ClientConfiguration",
            Self::Delegation => "ClientDelegation",
            Self::ApiOwner => "ApiOwner",
            Self::Acceptance => "TermsAcceptance",
        }
    }

    /// From the type of a record.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Something that is kept as a record.
pub trait Kept: Serialize + DeserializeOwned + Clone {
    /// Its kind.
    const KIND: Kind;
    /// What identifies it among its kind.
    fn natural_id(&self) -> String;
    /// Its record id: made of the natural one, because client ids are free text.
    fn record_id(&self) -> String {
        record_id(Self::KIND, &self.natural_id())
    }
}

/// Record id of a natural id.
#[must_use]
pub fn record_id(kind: Kind, natural: &str) -> String {
    let digest = sha256(format!("{}|{natural}", kind.word()).as_bytes());
    hex_upper(digest.get(..16).unwrap_or_default()).to_ascii_lowercase()
}

/// Strict or compatible, as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Rules {
    Strict,
    Compatible,
}

impl Rules {
    const fn mode(self) -> Mode {
        match self {
            Self::Strict => Mode::Strict,
            Self::Compatible => Mode::Compatible,
        }
    }
}

/// Whom the configurations of a system act for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemTenancy {
    /// Each for one legal entity.
    Single,
    /// Each for all that have delegated to the supplier.
    Multi,
}

/// Whom the configurations of a system log in, and so at which issuer they are clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemUsers {
    /// Health personnel, at HelseID.
    #[default]
    Personnel,
    /// Citizens, at their own issuer (spec §18), with a key.
    Citizens,
    /// Citizens, by an application without a key: its instances show certificates.
    CitizensApp,
}

impl SystemUsers {
    /// Whether they are clients of HelseID.
    #[must_use]
    pub fn is_personnel(&self) -> bool {
        *self == Self::Personnel
    }
}

/// What a vendor registers once: the product from which configurations are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a registration"
)]
pub struct System {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Organisation number of the supplier.
    pub supplier: String,
    /// Whom its configurations log in.
    #[serde(default, skip_serializing_if = "SystemUsers::is_personnel")]
    pub users: SystemUsers,
    /// Whom its configurations act for.
    pub tenancy: SystemTenancy,
    /// Whether users log in with it.
    pub user_login: bool,
    /// Whether it may use client credentials.
    pub machine: bool,
    /// Whether it may get refresh tokens.
    pub refresh: bool,
    /// Native application: any port on a loopback redirect URI.
    pub native: bool,
    /// Own rules; absent for the issuer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Scopes its configurations may ask for; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<String>>,
    /// Redirect URIs of every configuration, when the system fixes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uris: Option<Vec<String>>,
    /// Organisations that drafts may be made for; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customers: Option<BTreeSet<String>>,
    /// SHA-256 of the key with which its installations make drafts, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_sha256: Option<String>,
    /// When it was made.
    pub created_s: i64,
}

impl System {
    /// Whether its configurations prove themselves by keys.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.users != SystemUsers::CitizensApp
    }
}

impl Kept for System {
    const KIND: Kind = Kind::System;
    fn natural_id(&self) -> String {
        self.id.clone()
    }
}

/// The digest under which an API key is kept.
#[must_use]
pub fn api_key_digest(key: &str) -> String {
    b64url(&sha256(key.as_bytes()))
}

/// State of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigurationState {
    /// Made by an installation; its organisation has not confirmed it.
    Draft,
    /// In use.
    Active,
    /// Closed by an operator.
    Blocked,
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The self-service API.
    Api,
    /// The pages, or the command line.
    Gui,
}

/// A key of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The public JWK.
    pub jwk: Map<String, Value>,
    /// RFC 7638 thumbprint (SHA-256, base64url).
    pub thumbprint: String,
    /// Where it came from.
    pub origin: Origin,
    /// When it came.
    pub created_s: i64,
    /// Its last second.
    pub expires_s: i64,
}

impl Key {
    /// Whether it is valid at that time.
    #[must_use]
    pub const fn is_live(&self, now_s: i64) -> bool {
        now_s <= self.expires_s
    }

    /// Its key id, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.jwk.get("kid").and_then(Value::as_str)
    }
}

/// State of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ScopeState {
    Requested,
    Approved,
    Rejected,
}

/// A scope of a configuration. Only approved ones stand in tokens (attack A36).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The scope.
    pub scope: String,
    /// Its state.
    pub state: ScopeState,
    /// Why, in the words of whoever decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    pub requested_s: i64,
    /// When it was decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_s: Option<i64>,
}

/// An API-specific claim of a configuration (spec §8.2): the active value stands in tokens, the pending one does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `<audience>/client/claims/<key>`.
    pub claim_type: String,
    /// Value in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    /// Value asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
}

/// One installation: what HelseID knows as a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Client id: a GUID unless somebody chose another.
    pub client_id: String,
    /// Its system.
    pub system: String,
    /// Name.
    pub name: String,
    /// Organisation number of the legal entity that uses it; the supplier's for multi-tenant systems.
    pub organisation: String,
    /// State.
    pub state: ConfigurationState,
    /// Sub-units it may name.
    #[serde(default)]
    pub children: BTreeSet<String>,
    /// Keys.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Scopes.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// API-specific claims.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// Redirect URIs.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where the browser may go after logout.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where the browser goes after a draft was confirmed, when the page was opened without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation_redirect_uri: Option<String>,
    /// When it was made.
    pub created_s: i64,
    /// What an operator has given it besides.
    #[serde(default, skip_serializing_if = "Roles::is_none")]
    pub roles: Roles,
}

/// What only an operator gives a client: whose tokens it may exchange, where it is told of logouts, for whom the tokens of
/// a citizens' client are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Audiences of the APIs it calls other APIs for (token exchange, spec §11).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub acts_for: BTreeSet<String>,
    /// Told by the browser when a login ends (spec §13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontchannel_logout_uri: Option<String>,
    /// Told by the issuer when a login ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Audiences of the access tokens of a citizens' client; none: the issuer.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audiences: BTreeSet<String>,
}

impl Roles {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Kept for Configuration {
    const KIND: Kind = Kind::Configuration;
    fn natural_id(&self) -> String {
        self.client_id.clone()
    }
}

impl Configuration {
    /// Whether it is a draft whose time is over.
    #[must_use]
    pub fn is_stale(&self, now_s: i64) -> bool {
        self.state == ConfigurationState::Draft && now_s > self.created_s + DRAFT_LIFE_S
    }

    /// As the issuer uses it; `None` unless it is active.
    #[must_use]
    pub fn to_client(
        &self,
        system: &System,
        organisation_name: &str,
        delegations: BTreeSet<String>,
    ) -> Option<Client> {
        if self.state != ConfigurationState::Active {
            return None;
        }
        let mut client = Client::new(&self.client_id, &self.name);
        organisation_name.clone_into(&mut client.organisation_name);
        client.keys = self
            .keys
            .iter()
            .filter_map(|key| {
                Some(ClientKey {
                    key: PublicJwk::from_members(&key.jwk).ok()?,
                    expires_s: Some(key.expires_s),
                })
            })
            .collect();
        client.scopes = self
            .scopes
            .iter()
            .filter(|scope| scope.state == ScopeState::Approved)
            .map(|scope| scope.scope.clone())
            .collect();
        client.redirect_uris = system
            .redirect_uris
            .clone()
            .unwrap_or_else(|| self.redirect_uris.clone());
        client
            .post_logout_redirect_uris
            .clone_from(&self.post_logout_redirect_uris);
        client.user_login = system.user_login;
        client.machine = system.machine;
        client.refresh = system.refresh;
        client.native = system.native;
        client.mode = system.rules.map(Rules::mode);
        client.tenancy = match system.tenancy {
            SystemTenancy::Single => Tenancy::Single {
                parent: self.organisation.clone(),
                children: self.children.clone(),
            },
            SystemTenancy::Multi => Tenancy::Multi {
                supplier: system.supplier.clone(),
                delegations,
            },
        };
        client.api_claims = self
            .claims
            .iter()
            .filter_map(|claim| Some((claim.claim_type.clone(), claim.active.clone()?)))
            .collect::<BTreeMap<_, _>>();
        client.acts_for.clone_from(&self.roles.acts_for);
        client
            .frontchannel_logout_uri
            .clone_from(&self.roles.frontchannel_logout_uri);
        client
            .backchannel_logout_uri
            .clone_from(&self.roles.backchannel_logout_uri);
        Some(client)
    }

    /// As the citizens' issuer uses it; `None` unless it is active.
    #[must_use]
    pub fn to_citizen_client(
        &self,
        system: &System,
        organisation_name: &str,
    ) -> Option<CitizenClient> {
        let mut client = self.to_client(system, organisation_name, BTreeSet::new())?;
        let public = !system.has_keys();
        // It acts for no organisation, gets no machine tokens, and its tokens are bound by certificates if at all.
        client.tenancy = Tenancy::None;
        client.machine = false;
        // Until an operator has granted it a right it logs nobody in.
        client.user_login &= !client.scopes.is_empty();
        client.bearer_allowed = true;
        client.native |= public;
        Some(CitizenClient {
            client,
            public,
            audiences: self.roles.audiences.iter().cloned().collect(),
        })
    }
}

/// An organisation lets a supplier act for it in HelseID (spec §8.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Organisation number of the legal entity.
    pub organisation: String,
    /// Organisation number of the supplier.
    pub supplier: String,
    /// Since when.
    pub since_s: i64,
}

impl Kept for Delegation {
    const KIND: Kind = Kind::Delegation;
    fn natural_id(&self) -> String {
        format!("{}|{}", self.organisation, self.supplier)
    }
}

/// Who decides on the scopes of an API; without a record the operator does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiOwner {
    /// The API.
    pub audience: String,
    /// Organisation number of its owner; absent for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Whether its scopes are approved as soon as they are asked for.
    pub automatic: bool,
    /// Its terms of use; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
}

/// Terms of use of an API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What an organisation accepts.
    pub text: String,
    /// Changed terms are accepted anew.
    pub version: u32,
    /// Since when.
    pub since_s: i64,
}

impl Kept for ApiOwner {
    const KIND: Kind = Kind::ApiOwner;
    fn natural_id(&self) -> String {
        self.audience.clone()
    }
}

/// An organisation has accepted an API's terms of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The API.
    pub audience: String,
    /// Organisation number of the legal entity.
    pub organisation: String,
    /// Version of the terms.
    pub version: u32,
    /// When.
    pub accepted_s: i64,
}

impl Kept for Acceptance {
    const KIND: Kind = Kind::Acceptance;
    fn natural_id(&self) -> String {
        format!("{}|{}", self.audience, self.organisation)
    }
}
