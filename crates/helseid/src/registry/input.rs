//! What callers send to the registry.

use std::collections::BTreeSet;

use serde_json::Value;

use super::model::{Rules, SystemTenancy, SystemUsers};

/// A client system to be registered.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a registration"
)]
pub struct NewSystem {
    /// Name.
    pub name: String,
    /// Organisation number of the supplier.
    pub supplier: String,
    /// Whom its configurations log in.
    pub users: SystemUsers,
    /// Whom its configurations act for.
    pub tenancy: SystemTenancy,
    /// Whether users log in with it.
    pub user_login: bool,
    /// Whether it may use client credentials.
    pub machine: bool,
    /// Whether it may get refresh tokens.
    pub refresh: bool,
    /// Native application.
    pub native: bool,
    /// Own rules.
    pub rules: Option<Rules>,
    /// Scopes its configurations may ask for.
    pub scopes: Option<BTreeSet<String>>,
    /// Redirect URIs of every configuration.
    pub redirect_uris: Option<Vec<String>>,
    /// Organisations that drafts may be made for.
    pub customers: Option<BTreeSet<String>>,
}

/// A client to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewClient {
    /// Client id; made when absent.
    pub client_id: Option<String>,
    /// Its system.
    pub system: String,
    /// Name.
    pub name: String,
    /// Organisation number of the legal entity; of a multi-tenant system's client, ignored: it is the supplier's.
    pub organisation: String,
    /// Sub-units.
    pub children: Vec<String>,
    /// First public key.
    pub key: Option<Value>,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// Redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Where the browser may go after logout.
    pub post_logout_redirect_uris: Vec<String>,
}

/// What an installation sends to have itself registered (spec §14).
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Organisation number of the legal entity.
    pub organisation: String,
    /// Public key.
    pub key: Value,
    /// Scopes.
    pub scopes: Vec<String>,
    /// API-specific claims.
    pub claims: Vec<(String, String)>,
    /// Redirect URIs.
    pub redirect_uris: Option<Vec<String>>,
    /// Where the browser may go after logout.
    pub post_logout_redirect_uris: Vec<String>,
    /// Sub-units.
    pub children: Vec<String>,
    /// Where the browser goes after the confirmation.
    pub confirmation_redirect_uri: Option<String>,
}

/// What a client sends to replace its own registration (spec §14).
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Scopes.
    pub scopes: Vec<String>,
    /// API-specific claims.
    pub claims: Vec<(String, String)>,
    /// Redirect URIs; `None` only where the system fixes them.
    pub redirect_uris: Option<Vec<String>>,
    /// Where the browser may go after logout.
    pub post_logout_redirect_uris: Vec<String>,
    /// Sub-units.
    pub children: Vec<String>,
}
