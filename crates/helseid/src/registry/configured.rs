//! What the pages show of clients that stand in the configuration: to be looked at, not to be changed.

use std::sync::Arc;

use super::Registry;
use super::change::audience_of;
use super::model::{Origin, Rules, ScopeState, SystemTenancy, SystemUsers};
use super::rules::{Actor, RegistryError};
use super::view::{ClientRow, ClientView, KeyView, Named, ScopeView, SystemView, kind_of, time};
use crate::config::{Client, Mode, Tenancy};
use crate::rules::scopes::is_identity;

impl Registry {
    /// The clients of the configuration of both issuers.
    fn all_configured(&self) -> impl Iterator<Item = (Arc<Client>, SystemUsers)> {
        let personnel = self.issuer.get().into_iter().flat_map(|issuer| {
            let ids = issuer.configured.iter();
            ids.filter_map(|id| Some((issuer.helseid.client(id)?, SystemUsers::Personnel)))
        });
        let citizens = self.citizens.get().into_iter().flat_map(|issuer| {
            let ids = issuer.configured.iter();
            ids.filter_map(|id| {
                let client = issuer.citizens.client(id)?;
                let users = if client.keys.is_empty() {
                    SystemUsers::CitizensApp
                } else {
                    SystemUsers::Citizens
                };
                Some((client, users))
            })
        });
        personnel.chain(citizens)
    }

    /// Those that the caller may see.
    pub(super) fn configured_rows(
        &self,
        actor: &Actor,
        now_s: i64,
    ) -> impl Iterator<Item = ClientRow> {
        self.all_configured()
            .filter(move |(client, _)| sees(actor, client))
            .map(move |(client, users)| self.configured_row(&client, users, now_s))
    }

    fn configured_row(&self, client: &Client, users: SystemUsers, now_s: i64) -> ClientRow {
        let live = client.active_keys(now_s);
        let organisation = match parent_of(client) {
            Some(orgnr) => self.named(orgnr),
            None => Named {
                orgnr: String::new(),
                name: client.organisation_name.clone(),
            },
        };
        ClientRow {
            client_id: client.client_id.clone(),
            name: client.name.clone(),
            organisation,
            system: None,
            state: "configured",
            keys: live.len(),
            keys_until: None,
            keys_state: match (users, live.is_empty()) {
                (SystemUsers::CitizensApp, _) => "not_needed",
                (_, true) => "none",
                (_, false) => "ok",
            },
            scopes: [
                client.scopes.iter().filter(|s| !is_identity(s)).count(),
                0,
                0,
            ],
        }
    }

    /// The page of one of them.
    pub(super) fn configured_view(
        &self,
        actor: &Actor,
        client_id: &str,
        now_s: i64,
    ) -> Result<ClientView, RegistryError> {
        let (client, users) = self
            .all_configured()
            .find(|(client, _)| client.client_id == client_id && sees(actor, client))
            .ok_or(RegistryError::NotFound)?;
        let children = match &client.tenancy {
            Tenancy::Single { children, .. } => children.iter().map(|c| self.unit(c)).collect(),
            _ => Vec::new(),
        };
        Ok(ClientView {
            row: self.configured_row(&client, users, now_s),
            about: Some(SystemView {
                id: String::new(),
                name: String::new(),
                supplier: self.configured_row(&client, users, now_s).organisation,
                users,
                tenancy: SystemTenancy::Single,
                user_login: client.user_login,
                machine: client.machine,
                refresh: client.refresh,
                native: client.native,
                rules: client.mode.map(|mode| match mode {
                    Mode::Strict => Rules::Strict,
                    Mode::Compatible => Rules::Compatible,
                }),
                has_api_key: false,
                fixes_redirect_uris: true,
                is_own: false,
            }),
            issuer: self.issuer_of(users),
            tenancy: match client.tenancy {
                _ if !users.is_personnel() => "citizens",
                Tenancy::None => "none",
                Tenancy::Single { .. } => "single-tenant",
                Tenancy::Multi { .. } => "multi-tenant",
            },
            children,
            delegations: Vec::new(),
            key_list: client
                .keys
                .iter()
                .map(|key| KeyView {
                    kid: key.key.kid().map(str::to_owned),
                    thumbprint: key.key.thumbprint().to_owned(),
                    kind: kind_of(&key.key),
                    alg: key.key.alg().map(|alg| alg.name().to_owned()),
                    origin: Origin::Gui,
                    created: String::new(),
                    expires: key.expires_s.map(time).unwrap_or_default(),
                    state: match key.expires_s {
                        Some(expires_s) if expires_s < now_s => "expired",
                        _ => "ok",
                    },
                })
                .collect(),
            scope_list: client
                .scopes
                .iter()
                .map(|scope| ScopeView {
                    scope: scope.clone(),
                    audience: audience_of(scope, &self.parts.apis).map(str::to_owned),
                    owner: None,
                    state: ScopeState::Approved,
                    reason: None,
                    requested: String::new(),
                    decided: None,
                    may_decide: false,
                })
                .collect(),
            claims: Vec::new(),
            redirect_uris: client.redirect_uris.clone(),
            post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
            offered_scopes: Vec::new(),
            created: None,
            may_change: false,
            may_confirm: false,
            may_block: false,
        })
    }
}

fn sees(actor: &Actor, client: &Client) -> bool {
    let own = actor.orgnr();
    actor.is_operator() || own.is_some_and(|own| parent_of(client) == Some(own))
}

pub(super) fn parent_of(client: &Client) -> Option<&str> {
    match &client.tenancy {
        Tenancy::None => None,
        Tenancy::Single { parent, .. } => Some(parent),
        Tenancy::Multi { supplier, .. } => Some(supplier),
    }
}
