//! The pages about APIs: for their owners who has asked, who uses them and who has accepted the terms; for every
//! organisation the terms it may accept. And the changes that belong to them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Registry;
use super::change::{Plan, unwritable};
use super::held::Held;
use super::model::{
    Acceptance, ApiOwner, Configuration, ConfigurationState, ScopeState, SystemTenancy, Terms,
};
use super::rules::{self, Actor, RegistryError, SELF_SERVICE, may_decide};
use super::view::{Named, time};
use crate::config::Api;

/// Longest terms of use, in characters.
const MAX_TERMS_CHARS: usize = 8_000;
/// Rows of a list.
const MAX_ROWS: usize = 1_000;

/// An API in the list.
#[derive(Debug, Clone, Serialize)]
pub struct ApiRow {
    /// Audience.
    pub audience: String,
    /// Its owner; absent for the operator.
    pub owner: Option<Named>,
    /// Scopes are approved at once.
    pub is_automatic: bool,
    /// Whether the caller decides on its scopes.
    pub may_decide: bool,
    /// Clients with an approved scope of it; absent for those who do not decide.
    pub users: Option<usize>,
    /// Scopes asked for and not decided; absent for those who do not decide.
    pub waiting: Option<usize>,
    /// `none` (the API has no terms), `accepted`, `changed` (others were accepted), `open`: as to the caller's
    /// organisation; for an operator `none` or `open`.
    pub terms: &'static str,
}

/// A client at a scope.
#[derive(Debug, Clone, Serialize)]
pub struct ScopeUser {
    /// Client id.
    pub client_id: String,
    /// Name of the client.
    pub client: String,
    /// Who uses it.
    pub organisation: Named,
    /// Whether it acts for many organisations.
    pub is_multi: bool,
    /// Whether the client can get tokens at all: it is in use and has a valid key.
    pub is_usable: bool,
    /// State of the scope.
    pub state: ScopeState,
    /// Why.
    pub reason: Option<String>,
    /// When it was decided, or else asked for; absent for clients of the configuration.
    pub since: Option<String>,
    /// Whether it stands in the configuration file, where this page changes nothing.
    pub is_configured: bool,
}

/// A scope of an API.
#[derive(Debug, Clone, Serialize)]
pub struct ApiScope {
    /// The scope.
    pub scope: String,
    /// Who has it, asked for it or was refused it: of all clients for whoever decides, else the caller's own.
    pub clients: Vec<ScopeUser>,
}

/// Terms of use as shown.
#[derive(Debug, Clone, Serialize)]
pub struct TermsView {
    /// The text.
    pub text: String,
    /// Its version.
    pub version: u32,
    /// Since when.
    pub since: String,
}

/// Who has accepted.
#[derive(Debug, Clone, Serialize)]
pub struct AcceptanceView {
    /// Who.
    pub organisation: Named,
    /// When.
    pub accepted: String,
    /// Whether the present version was accepted.
    pub is_current: bool,
}

/// The page of one API.
#[derive(Debug, Clone, Serialize)]
pub struct ApiPage {
    /// As in the list.
    #[serde(flatten)]
    pub row: ApiRow,
    /// Its scopes.
    pub scopes: Vec<ApiScope>,
    /// Claims that its tokens carry besides those every token has.
    pub claims: Vec<&'static str>,
    /// Its terms of use.
    pub terms_of_use: Option<TermsView>,
    /// Who has accepted them: all for whoever decides, else the caller's own organisation.
    pub acceptances: Vec<AcceptanceView>,
    /// Whether the caller may say who owns it.
    pub may_set_owner: bool,
    /// Whether the caller may accept the terms for an organisation.
    pub may_accept: bool,
}

impl Registry {
    /// All APIs, those of the caller first.
    #[must_use]
    pub fn api_rows(&self, actor: &Actor) -> Vec<ApiRow> {
        let held = self.read();
        let apis = self.parts.apis.iter();
        let mut rows: Vec<ApiRow> = apis.map(|api| self.api_row(&held, actor, api)).collect();
        rows.sort_by(|a, b| (!a.may_decide, &a.audience).cmp(&(!b.may_decide, &b.audience)));
        rows
    }

    /// The page of one API.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn api_page(&self, actor: &Actor, audience: &str) -> Result<ApiPage, RegistryError> {
        let api = self.api(audience)?;
        let held = self.read();
        let row = self.api_row(&held, actor, api);
        let is_seen = |organisation: &str, supplier: Option<&str>| {
            row.may_decide
                || actor
                    .orgnr()
                    .is_some_and(|own| own == organisation || supplier == Some(own))
        };
        let scopes = api
            .scopes
            .iter()
            .map(|scope| ApiScope {
                scope: scope.clone(),
                clients: self.users_of(&held, scope, &is_seen),
            })
            .collect();
        let terms = held.owners.get(audience).and_then(|o| o.terms.as_ref());
        let mut accepted: Vec<&Acceptance> = held
            .acceptances_of(audience)
            .filter(|one| is_seen(&one.organisation, None))
            .collect();
        accepted.sort_by_key(|one| std::cmp::Reverse(one.accepted_s));
        let acceptances = accepted
            .into_iter()
            .take(MAX_ROWS)
            .map(|one| AcceptanceView {
                organisation: self.named(&one.organisation),
                accepted: time(one.accepted_s),
                is_current: terms.is_some_and(|terms| terms.version == one.version),
            });
        let claims = api.wants.iter().flat_map(|wanted| wanted.claims());
        Ok(ApiPage {
            scopes,
            claims: claims.copied().collect(),
            acceptances: acceptances.collect(),
            terms_of_use: terms.map(|terms| TermsView {
                text: terms.text.clone(),
                version: terms.version,
                since: time(terms.since_s),
            }),
            may_set_owner: actor.is_operator() && audience != SELF_SERVICE,
            may_accept: terms.is_some() && (actor.is_operator() || actor.orgnr().is_some()),
            row,
        })
    }

    fn api(&self, audience: &str) -> Result<&Api, RegistryError> {
        let found = self.parts.apis.iter().find(|api| api.audience == audience);
        found.ok_or(RegistryError::NotFound)
    }

    fn api_row(&self, held: &Held, actor: &Actor, api: &Api) -> ApiRow {
        let owner = held.owners.get(&api.audience);
        let decides = may_decide(actor, owner);
        let mut users: BTreeSet<&str> = BTreeSet::new();
        let mut waiting = 0;
        for configuration in self.confirmed(held) {
            for scope in configuration
                .scopes
                .iter()
                .filter(|s| api.scopes.contains(&s.scope))
            {
                match scope.state {
                    ScopeState::Approved => {
                        users.insert(&configuration.client_id);
                    }
                    ScopeState::Requested => waiting += 1,
                    ScopeState::Rejected => {}
                }
            }
        }
        let configured = self.configured_clients();
        let has_one = |client: &crate::Client| client.scopes.iter().any(|s| api.scopes.contains(s));
        let of_file = configured.iter().filter(|client| has_one(client)).count();
        let terms = owner.and_then(|o| o.terms.as_ref());
        let own = actor.orgnr().and_then(|orgnr| {
            let natural = format!("{}|{orgnr}", api.audience);
            held.acceptances.get(&natural)
        });
        ApiRow {
            audience: api.audience.clone(),
            owner: owner
                .and_then(|o| o.organisation.as_deref())
                .map(|o| self.named(o)),
            is_automatic: owner.is_some_and(|o| o.automatic) || api.audience == SELF_SERVICE,
            may_decide: decides,
            users: decides.then_some(users.len() + of_file),
            waiting: decides.then_some(waiting),
            terms: match (terms, own) {
                (None, _) => "none",
                (Some(terms), Some(own)) if own.version == terms.version => "accepted",
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "open",
            },
        }
    }

    /// Configurations that somebody has confirmed: a draft troubles no API owner.
    fn confirmed<'a>(&self, held: &'a Held) -> impl Iterator<Item = &'a Configuration> {
        held.configurations
            .values()
            .filter(|c| c.state != ConfigurationState::Draft)
    }

    fn configured_clients(&self) -> Vec<std::sync::Arc<crate::Client>> {
        let Some(issuer) = self.issuer.get() else {
            return Vec::new();
        };
        let ids = issuer.configured.iter();
        ids.filter_map(|id| issuer.helseid.client(id)).collect()
    }

    fn users_of(
        &self,
        held: &Held,
        scope: &str,
        is_seen: &dyn Fn(&str, Option<&str>) -> bool,
    ) -> Vec<ScopeUser> {
        let now_s = self.now_s();
        let mut users: Vec<ScopeUser> = Vec::new();
        for configuration in self.confirmed(held) {
            let Some(found) = configuration.scopes.iter().find(|s| s.scope == scope) else {
                continue;
            };
            let system = held.systems.get(&configuration.system);
            let supplier = system.map(|s| s.supplier.as_str());
            if !is_seen(&configuration.organisation, supplier) {
                continue;
            }
            let has_key = configuration.keys.iter().any(|key| key.is_live(now_s));
            users.push(ScopeUser {
                client_id: configuration.client_id.clone(),
                client: configuration.name.clone(),
                organisation: self.named(&configuration.organisation),
                is_multi: system.is_some_and(|s| s.tenancy == SystemTenancy::Multi),
                is_usable: has_key && configuration.state == ConfigurationState::Active,
                state: found.state,
                reason: found.reason.clone(),
                since: Some(time(found.decided_s.unwrap_or(found.requested_s))),
                is_configured: false,
            });
        }
        for client in self.configured_clients() {
            let organisation = super::configured::parent_of(&client).unwrap_or_default();
            if !client.scopes.contains(scope) || !is_seen(organisation, None) {
                continue;
            }
            let is_nobody = organisation.is_empty();
            users.push(ScopeUser {
                client_id: client.client_id.clone(),
                client: client.name.clone(),
                organisation: Named {
                    orgnr: organisation.to_owned(),
                    name: match is_nobody {
                        true => client.organisation_name.clone(),
                        false => self.name_of(organisation),
                    },
                },
                is_multi: matches!(client.tenancy, crate::Tenancy::Multi { .. }),
                is_usable: !client.active_keys(now_s).is_empty(),
                state: ScopeState::Approved,
                reason: None,
                since: None,
                is_configured: true,
            });
        }
        let order = |user: &ScopeUser| match user.state {
            ScopeState::Requested => 0,
            ScopeState::Approved => 1,
            ScopeState::Rejected => 2,
        };
        users.sort_by(|a, b| {
            (order(a), &a.client, &a.client_id).cmp(&(order(b), &b.client, &b.client_id))
        });
        users.truncate(MAX_ROWS);
        users
    }

    /// Gives an API terms of use, new ones, or none any more. Changed terms have to be accepted anew.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for an API that does not exist, [`RegistryError::Forbidden`] for anybody but its owner
    /// and operators.
    pub fn set_terms(
        &self,
        actor: &Actor,
        audience: &str,
        text: Option<&str>,
    ) -> Result<(), RegistryError> {
        self.api(audience)?;
        let text = text.map(check_terms).transpose()?;
        if audience == SELF_SERVICE {
            return Err(RegistryError::Forbidden(
                "the API of this page is open to every client",
            ));
        }
        let now_s = self.now_s();
        self.act(actor, "api.terms", |held| {
            let known = held.owners.get(audience);
            if !may_decide(actor, known) {
                return Err(RegistryError::Forbidden(
                    "only the owner of the API sets its terms of use",
                ));
            }
            let mut next = known.cloned().unwrap_or_else(|| ApiOwner {
                audience: audience.to_owned(),
                organisation: None,
                automatic: false,
                terms: None,
            });
            let before = next.terms.take();
            next.terms = match (&text, before) {
                // The same words are the same terms.
                (Some(text), Some(before)) if before.text == *text => Some(before),
                (Some(text), before) => Some(Terms {
                    text: text.clone(),
                    version: before
                        .map_or(0, |before| before.version)
                        .max(held.newest(audience))
                        + 1,
                    since_s: now_s,
                }),
                (None, _) => None,
            };
            let version = next.terms.as_ref().map(|terms| terms.version);
            let write = held.owners.put(&next).map_err(unwritable)?;
            Ok(Plan::of(write, audience, ()).with("version", version))
        })
    }

    /// An organisation accepts an API's terms of use, those that it was shown; or no longer does.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] when the terms were changed meanwhile. Only the organisation itself (or an operator) may.
    pub fn accept_terms(
        &self,
        actor: &Actor,
        audience: &str,
        organisation: &str,
        version: u32,
        is_on: bool,
    ) -> Result<(), RegistryError> {
        self.api(audience)?;
        if !actor.is_operator() && actor.orgnr() != Some(organisation) {
            return Err(RegistryError::Forbidden(
                "an organisation accepts terms for itself only",
            ));
        }
        if is_on {
            rules::check_organisation(organisation, self.parts.directory.as_ref())?;
        }
        let acceptance = Acceptance {
            audience: audience.to_owned(),
            organisation: organisation.to_owned(),
            version,
            accepted_s: self.now_s(),
        };
        let action = if is_on {
            "terms.accept"
        } else {
            "terms.withdraw"
        };
        self.act(actor, action, |held| {
            let terms = held.owners.get(audience).and_then(|o| o.terms.as_ref());
            let write = if is_on {
                let terms = terms.ok_or(RegistryError::NotFound)?;
                if terms.version != version {
                    return Err(RegistryError::Conflict);
                }
                held.acceptances.put(&acceptance).map_err(unwritable)?
            } else {
                let known = held.acceptances.get(&format!("{audience}|{organisation}"));
                held.acceptances
                    .delete(known.ok_or(RegistryError::NotFound)?)
            };
            Ok(Plan::of(write, audience, ())
                .with("organisation", organisation)
                .with("version", version))
        })
    }
}

impl Held {
    /// The newest version of an API's terms that anybody has accepted: a later one needs a higher number, also when the
    /// API had no terms in between.
    fn newest(&self, audience: &str) -> u32 {
        let versions = self.acceptances_of(audience).map(|one| one.version);
        versions.max().unwrap_or(0)
    }
}

fn check_terms(text: &str) -> Result<String, RegistryError> {
    let text = text.trim();
    let is_right = !text.is_empty()
        && text.chars().count() <= MAX_TERMS_CHARS
        && !text.chars().any(|c| c.is_control() && c != '\n');
    if is_right {
        Ok(text.to_owned())
    } else {
        Err(RegistryError::Invalid {
            place: "terms",
            what: format!("give a text of 1 to {MAX_TERMS_CHARS} characters"),
        })
    }
}
