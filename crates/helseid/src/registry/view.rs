//! What the pages and commands show: one view per page, of what the caller may see.

use jose::PublicJwk;
use serde::Serialize;
use serde_json::Value;

use super::Registry;
use super::change::{audience_of, find};
use super::held::Held;
use super::model::{
    Claim, Configuration, ConfigurationState, Key, Origin, Rules, Scope, ScopeState, System,
    SystemTenancy, SystemUsers,
};
use super::rules::{self, Actor, RegistryError, may_change, may_decide};
use crate::citizen;
use crate::rules::scopes::is_identity;

/// Rows of a list.
const MAX_ROWS: usize = 1_000;
/// A key that ends within this time is remarked on, seconds.
const ENDS_SOON_S: i64 = 30 * 86_400;

/// A time as pages take it: RFC 3339, UTC.
#[must_use]
pub fn time(at_s: i64) -> String {
    jiff::Timestamp::from_second(at_s)
        .unwrap_or_default()
        .to_string()
}

/// An organisation by number and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Organisation number.
    pub orgnr: String,
    /// Name.
    pub name: String,
}

/// A system in lists.
#[derive(Debug, Clone, Serialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a registration"
)]
pub struct SystemView {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Supplier.
    pub supplier: Named,
    /// `personnel`, `citizens`, or `citizens-app` for applications without keys.
    pub users: SystemUsers,
    /// `single` or `multi`.
    pub tenancy: SystemTenancy,
    /// Users log in.
    pub user_login: bool,
    /// Client credentials.
    pub machine: bool,
    /// Refresh tokens.
    pub refresh: bool,
    /// Native application.
    pub native: bool,
    /// `strict`, `compatible`, or absent for the issuer's.
    pub rules: Option<Rules>,
    /// Whether its installations have an API key.
    pub has_api_key: bool,
    /// Whether it fixes the redirect URIs.
    pub fixes_redirect_uris: bool,
    /// Whether it is the caller's: API keys, new clients.
    pub is_own: bool,
}

/// A client in the list.
#[derive(Debug, Clone, Serialize)]
pub struct ClientRow {
    /// Client id.
    pub client_id: String,
    /// Name.
    pub name: String,
    /// Who uses it.
    pub organisation: Named,
    /// Name of its system; absent for clients of the configuration.
    pub system: Option<String>,
    /// `draft`, `active`, `keyless` (active, but without a valid key), `blocked`, or `configured` for clients of the
    /// configuration file.
    pub state: &'static str,
    /// Keys valid now.
    pub keys: usize,
    /// When the last of them ends.
    pub keys_until: Option<String>,
    /// `ok`, `ends_soon`, `none`, or `not_needed` for applications without keys.
    pub keys_state: &'static str,
    /// Scopes of APIs approved, asked for, refused.
    pub scopes: [usize; 3],
}

/// A decision that waits.
#[derive(Debug, Clone, Serialize)]
pub struct Waiting {
    /// Client id.
    pub client_id: String,
    /// Name of the client.
    pub client: String,
    /// Who uses it.
    pub organisation: Named,
    /// The scope, or the claim type.
    pub subject: String,
    /// The API.
    pub audience: String,
    /// Value of a claim.
    pub value: Option<String>,
    /// Since when.
    pub since: String,
}

/// A delegation.
#[derive(Debug, Clone, Serialize)]
pub struct DelegationView {
    /// Who delegated.
    pub organisation: Named,
    /// To whom.
    pub supplier: Named,
    /// Since when.
    pub since: String,
    /// Whether the caller may withdraw it.
    pub is_own: bool,
}

/// Who decides on the scopes of an API.
#[derive(Debug, Clone, Serialize)]
pub struct ApiView {
    /// Audience.
    pub audience: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its owner; absent for the operator.
    pub owner: Option<Named>,
    /// Scopes are approved at once.
    pub is_automatic: bool,
}

/// The list page.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Clients that the caller may see.
    pub clients: Vec<ClientRow>,
    /// Decisions that wait for the caller.
    pub waiting: Vec<Waiting>,
    /// Systems that the caller may make clients of.
    pub systems: Vec<SystemView>,
    /// Delegations to and from the caller's organisation.
    pub delegations: Vec<DelegationView>,
    /// Whether there are more clients than are shown.
    pub is_cut: bool,
}

/// A key of the client page.
#[derive(Debug, Clone, Serialize)]
pub struct KeyView {
    /// Key id.
    pub kid: Option<String>,
    /// Thumbprint.
    pub thumbprint: String,
    /// `RSA 4096`, `EC P-256`.
    pub kind: String,
    /// Algorithm it is pinned to.
    pub alg: Option<String>,
    /// `Api` or `Gui`.
    pub origin: Origin,
    /// When it came.
    pub created: String,
    /// Its last second.
    pub expires: String,
    /// `ok`, `ends_soon`, `expired`.
    pub state: &'static str,
}

/// A scope of the client page.
#[derive(Debug, Clone, Serialize)]
pub struct ScopeView {
    /// The scope.
    pub scope: String,
    /// The API; absent for scopes about the user.
    pub audience: Option<String>,
    /// Owner of the API; absent for the operator.
    pub owner: Option<Named>,
    /// State.
    pub state: ScopeState,
    /// Why.
    pub reason: Option<String>,
    /// When it was asked for.
    pub requested: String,
    /// When it was decided.
    pub decided: Option<String>,
    /// Whether the caller decides.
    pub may_decide: bool,
}

/// An API-specific claim of the client page.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimView {
    /// What is kept.
    #[serde(flatten)]
    pub claim: Claim,
    /// Whether the caller decides.
    pub may_decide: bool,
}

/// The page of one client.
#[derive(Debug, Clone, Serialize)]
pub struct ClientView {
    /// As in the list.
    #[serde(flatten)]
    pub row: ClientRow,
    /// Its system.
    pub about: Option<SystemView>,
    /// Issuer to configure in the client.
    pub issuer: Option<String>,
    /// `single-tenant`, `multi-tenant`, `none`, or `citizens` for clients of the citizens' issuer.
    pub tenancy: &'static str,
    /// Sub-units it may name.
    pub children: Vec<Named>,
    /// Organisations that have delegated (multi-tenant).
    pub delegations: Vec<Named>,
    /// Keys, newest first.
    pub key_list: Vec<KeyView>,
    /// Scopes.
    pub scope_list: Vec<ScopeView>,
    /// API-specific claims.
    pub claims: Vec<ClaimView>,
    /// Redirect URIs.
    pub redirect_uris: Vec<String>,
    /// After logout.
    pub post_logout_redirect_uris: Vec<String>,
    /// Scopes that can be asked for.
    pub offered_scopes: Vec<String>,
    /// When it was registered.
    pub created: Option<String>,
    /// Whether the caller may change it.
    pub may_change: bool,
    /// Whether the caller may confirm the draft.
    pub may_confirm: bool,
    /// Whether the caller may block it.
    pub may_block: bool,
}

impl Registry {
    pub(super) fn named(&self, orgnr: &str) -> Named {
        Named {
            orgnr: orgnr.to_owned(),
            name: self.name_of(orgnr),
        }
    }

    /// The list page.
    #[must_use]
    pub fn overview(&self, actor: &Actor) -> Overview {
        let held = self.read();
        let now_s = self.now_s();
        let mut clients: Vec<ClientRow> = held
            .configurations
            .values()
            .filter(|c| !c.is_stale(now_s))
            .filter(|c| {
                held.systems
                    .get(&c.system)
                    .is_some_and(|s| may_change(actor, c, s))
            })
            .map(|c| self.row(&held, c, now_s))
            .collect();
        clients.extend(self.configured_rows(actor, now_s));
        clients.sort_by(|a, b| (&a.name, &a.client_id).cmp(&(&b.name, &b.client_id)));
        let is_cut = clients.len() > MAX_ROWS;
        clients.truncate(MAX_ROWS);
        Overview {
            clients,
            waiting: self.waiting(&held, actor, now_s),
            systems: held
                .systems
                .values()
                .filter(|s| {
                    actor.is_operator() || s.tenancy == SystemTenancy::Single || is_own(actor, s)
                })
                .filter(|s| {
                    let own = actor.orgnr();
                    is_own(actor, s)
                        || own
                            .is_some_and(|own| s.customers.as_ref().is_none_or(|c| c.contains(own)))
                })
                .take(MAX_ROWS)
                .map(|s| self.system_view(actor, s))
                .collect(),
            delegations: held
                .delegations
                .values()
                .filter(|d| {
                    actor.is_operator()
                        || actor
                            .orgnr()
                            .is_some_and(|own| d.organisation == own || d.supplier == own)
                })
                .take(MAX_ROWS)
                .map(|d| DelegationView {
                    organisation: self.named(&d.organisation),
                    supplier: self.named(&d.supplier),
                    since: time(d.since_s),
                    is_own: actor.is_operator() || actor.orgnr() == Some(d.organisation.as_str()),
                })
                .collect(),
            is_cut,
        }
    }

    /// The APIs with those who decide on their scopes.
    #[must_use]
    pub fn api_list(&self) -> Vec<ApiView> {
        let held = self.read();
        self.parts
            .apis
            .iter()
            .map(|api| {
                let owner = held.owners.get(&api.audience);
                ApiView {
                    audience: api.audience.clone(),
                    scopes: api.scopes.iter().cloned().collect(),
                    owner: owner
                        .and_then(|o| o.organisation.as_deref())
                        .map(|o| self.named(o)),
                    is_automatic: owner.is_some_and(|o| o.automatic)
                        || api.audience == rules::SELF_SERVICE,
                }
            })
            .collect()
    }

    /// What is kept of a client, for itself (spec §14).
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn configuration(&self, client_id: &str) -> Result<(Configuration, System), RegistryError> {
        let held = self.read();
        let (configuration, system) = find(&held, client_id)?;
        Ok((configuration.clone(), system.clone()))
    }

    /// The page of one client.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for strangers too.
    pub fn client_view(&self, actor: &Actor, client_id: &str) -> Result<ClientView, RegistryError> {
        let now_s = self.now_s();
        if self.is_configured(client_id) {
            return self.configured_view(actor, client_id, now_s);
        }
        let held = self.read();
        let (configuration, system) = find(&held, client_id)?;
        let is_changeable = may_change(actor, configuration, system);
        let decides = |subject: &str| {
            let owner = audience_of(subject, &self.parts.apis).and_then(|a| held.owners.get(a));
            may_decide(actor, owner)
        };
        let is_awaited = configuration.scopes.iter().any(|s| {
            !is_identity(&s.scope) && s.state == ScopeState::Requested && decides(&s.scope)
        });
        if configuration.is_stale(now_s) || !(is_changeable || is_awaited) {
            return Err(RegistryError::NotFound);
        }
        let mut key_list: Vec<KeyView> = configuration
            .keys
            .iter()
            .map(|key| key_view(key, now_s))
            .collect();
        key_list.reverse();
        let scope_view = |scope: &Scope| {
            let audience = audience_of(&scope.scope, &self.parts.apis).map(str::to_owned);
            let owner = audience.as_deref().and_then(|a| held.owners.get(a));
            ScopeView {
                scope: scope.scope.clone(),
                owner: owner
                    .and_then(|o| o.organisation.as_deref())
                    .map(|o| self.named(o)),
                may_decide: audience.is_some() && may_decide(actor, owner),
                audience,
                state: scope.state,
                reason: scope.reason.clone(),
                requested: time(scope.requested_s),
                decided: scope.decided_s.map(time),
            }
        };
        let is_multi = system.tenancy == SystemTenancy::Multi;
        Ok(ClientView {
            row: self.row(&held, configuration, now_s),
            about: Some(self.system_view(actor, system)),
            issuer: self.issuer_of(system.users),
            tenancy: match system.users {
                SystemUsers::Personnel if is_multi => "multi-tenant",
                SystemUsers::Personnel => "single-tenant",
                _ => "citizens",
            },
            children: configuration
                .children
                .iter()
                .map(|c| self.unit(c))
                .collect(),
            delegations: if is_multi {
                held.delegated_to(&system.supplier)
                    .iter()
                    .map(|o| self.named(o))
                    .collect()
            } else {
                Vec::new()
            },
            key_list,
            scope_list: configuration.scopes.iter().map(scope_view).collect(),
            claims: configuration
                .claims
                .iter()
                .map(|claim| ClaimView {
                    may_decide: claim.pending.is_some() && decides(&claim.claim_type),
                    claim: claim.clone(),
                })
                .collect(),
            redirect_uris: system
                .redirect_uris
                .clone()
                .unwrap_or_else(|| configuration.redirect_uris.clone()),
            post_logout_redirect_uris: configuration.post_logout_redirect_uris.clone(),
            offered_scopes: self.offered(configuration, system),
            created: Some(time(configuration.created_s)),
            may_change: is_changeable,
            may_confirm: rules::check_waiting(configuration, actor, now_s).is_ok(),
            may_block: actor.is_operator() && configuration.state != ConfigurationState::Draft,
        })
    }

    fn offered(&self, configuration: &Configuration, system: &System) -> Vec<String> {
        let is_open = |scope: &&String| {
            let known = configuration.scopes.iter().find(|s| s.scope == **scope);
            known.is_none_or(|s| s.state == ScopeState::Rejected)
        };
        let is_allowed = |scope: &&String| {
            scope.as_str() == rules::SELF_SERVICE_SCOPE
                || system
                    .scopes
                    .as_ref()
                    .is_none_or(|allowed| allowed.contains(*scope))
        };
        let rights = citizen::RIGHTS.map(str::to_owned);
        let all: Vec<&String> = match system.users {
            SystemUsers::Personnel => self.parts.apis.iter().flat_map(|api| &api.scopes).collect(),
            _ => rights.iter().collect(),
        };
        all.into_iter()
            .filter(is_open)
            .filter(is_allowed)
            .cloned()
            .collect()
    }

    /// The issuer that the clients of a system use.
    pub(super) fn issuer_of(&self, users: SystemUsers) -> Option<String> {
        match users {
            SystemUsers::Personnel => self.helseid().map(|h| h.config().issuer.clone()),
            _ => self.citizens.get().map(|c| c.citizens.issuer().to_owned()),
        }
    }

    fn row(&self, held: &Held, configuration: &Configuration, now_s: i64) -> ClientRow {
        let live = configuration.keys.iter().filter(|key| key.is_live(now_s));
        let until = live.clone().map(|key| key.expires_s).max();
        let count = |state| {
            let of_api = |s: &&Scope| !is_identity(&s.scope) && s.state == state;
            configuration.scopes.iter().filter(of_api).count()
        };
        let system = held.systems.get(&configuration.system);
        let has_keys = system.is_none_or(System::has_keys);
        ClientRow {
            client_id: configuration.client_id.clone(),
            name: configuration.name.clone(),
            organisation: self.named(&configuration.organisation),
            system: system.map(|s| s.name.clone()),
            state: match configuration.state {
                ConfigurationState::Draft => "draft",
                ConfigurationState::Active if until.is_none() && has_keys => "keyless",
                ConfigurationState::Active => "active",
                ConfigurationState::Blocked => "blocked",
            },
            keys: live.count(),
            keys_until: until.map(time),
            keys_state: match until {
                _ if !has_keys => "not_needed",
                None => "none",
                Some(until) if until < now_s + ENDS_SOON_S => "ends_soon",
                Some(_) => "ok",
            },
            scopes: [
                count(ScopeState::Approved),
                count(ScopeState::Requested),
                count(ScopeState::Rejected),
            ],
        }
    }

    /// A sub-unit with its own name.
    pub(super) fn unit(&self, orgnr: &str) -> Named {
        let found = self
            .parts
            .directory
            .organisation(orgnr)
            .and_then(|organisation| {
                let unit = organisation
                    .units
                    .into_iter()
                    .find(|unit| unit.orgnr == orgnr);
                unit.map(|unit| unit.name)
            });
        Named {
            name: found.unwrap_or_else(|| self.name_of(orgnr)),
            orgnr: orgnr.to_owned(),
        }
    }

    fn system_view(&self, actor: &Actor, system: &System) -> SystemView {
        SystemView {
            id: system.id.clone(),
            name: system.name.clone(),
            supplier: self.named(&system.supplier),
            users: system.users,
            tenancy: system.tenancy,
            user_login: system.user_login,
            machine: system.machine,
            refresh: system.refresh,
            native: system.native,
            rules: system.rules,
            has_api_key: system.api_key_sha256.is_some(),
            fixes_redirect_uris: system.redirect_uris.is_some(),
            is_own: is_own(actor, system),
        }
    }

    fn waiting(&self, held: &Held, actor: &Actor, now_s: i64) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        let decides = |audience: &str| may_decide(actor, held.owners.get(audience));
        // A draft that nobody has confirmed troubles no API owner.
        let confirmed = held
            .configurations
            .values()
            .filter(|c| c.state == ConfigurationState::Active && !c.is_stale(now_s));
        for configuration in confirmed {
            let mut add = |subject: &str, value: Option<&String>, since_s| {
                let audience = audience_of(subject, &self.parts.apis);
                if let Some(audience) = audience.filter(|audience| decides(audience)) {
                    waiting.push(Waiting {
                        client_id: configuration.client_id.clone(),
                        client: configuration.name.clone(),
                        organisation: self.named(&configuration.organisation),
                        subject: subject.to_owned(),
                        audience: audience.to_owned(),
                        value: value.cloned(),
                        since: time(since_s),
                    });
                }
            };
            for scope in &configuration.scopes {
                if scope.state == ScopeState::Requested {
                    add(&scope.scope, None, scope.requested_s);
                }
            }
            for claim in configuration
                .claims
                .iter()
                .filter(|claim| claim.pending.is_some())
            {
                add(
                    &claim.claim_type,
                    claim.pending.as_ref(),
                    configuration.created_s,
                );
            }
        }
        waiting.sort_by(|a, b| {
            (&a.since, &a.client_id, &a.subject).cmp(&(&b.since, &b.client_id, &b.subject))
        });
        waiting.truncate(MAX_ROWS);
        waiting
    }
}

fn is_own(actor: &Actor, system: &System) -> bool {
    actor.is_operator() || actor.orgnr() == Some(system.supplier.as_str())
}

fn key_view(key: &Key, now_s: i64) -> KeyView {
    let parsed = PublicJwk::from_members(&key.jwk).ok();
    KeyView {
        kid: key.kid().map(str::to_owned),
        thumbprint: key.thumbprint.clone(),
        kind: parsed.as_ref().map(kind_of).unwrap_or_default(),
        alg: key
            .jwk
            .get("alg")
            .and_then(Value::as_str)
            .map(str::to_owned),
        origin: key.origin,
        created: time(key.created_s),
        expires: time(key.expires_s),
        state: if !key.is_live(now_s) {
            "expired"
        } else if key.expires_s < now_s + ENDS_SOON_S {
            "ends_soon"
        } else {
            "ok"
        },
    }
}

/// `RSA 4096`, `EC P-256`.
pub(super) fn kind_of(key: &PublicJwk) -> String {
    match key.rsa_bits() {
        Some(bits) => format!("RSA {bits}"),
        None => {
            let members = key.to_members();
            let text = |name| {
                members
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            format!("{} {}", text("kty"), text("crv"))
        }
    }
}
