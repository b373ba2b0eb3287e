//! The changes: each reads what is held, decides by [`super::rules`], commits, and puts the result in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use jose::encoding::random_b64url;
use serde_json::{Value, json};

use super::Registry;
use super::held::Held;
use super::input::{NewClient, NewSystem};
use super::model::{
    ApiOwner, Configuration, ConfigurationState, Delegation, Origin, Roles, Rules, System,
    SystemTenancy, api_key_digest,
};
use super::rules::{self, Actor, RegistryError, ScopeRules};
use super::store::{Act, ActError, Journal, Stored, Write};

/// How often a change is decided anew when others were faster.
const ATTEMPTS: usize = 4;

/// What a change wants committed.
pub(super) struct Plan<T> {
    pub(super) writes: Vec<Write>,
    pub(super) new_keys: Vec<(String, String)>,
    on: Vec<String>,
    details: BTreeMap<&'static str, Value>,
    answer: T,
}

impl<T> Plan<T> {
    pub(super) fn of(write: Write, on: &str, answer: T) -> Self {
        Self {
            writes: vec![write],
            new_keys: Vec::new(),
            on: vec![on.to_owned()],
            details: BTreeMap::new(),
            answer,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name, value.into());
        self
    }
}

pub(super) fn unwritable(error: serde_json::Error) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}

pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Registry {
    /// Decides, commits and puts in force; decides anew when another process was faster.
    pub(super) fn act<T>(
        &self,
        actor: &Actor,
        action: &'static str,
        plan: impl Fn(&Held) -> Result<Plan<T>, RegistryError>,
    ) -> Result<T, RegistryError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let planned = plan(&self.read())?;
            let act = Act {
                writes: planned.writes.clone(),
                new_keys: planned.new_keys,
                journal: Journal {
                    action,
                    actor: actor.clone(),
                    on: planned.on,
                    details: planned.details,
                },
            };
            match self.parts.store.commit(act) {
                Ok(versions) => {
                    let news: Vec<Stored> = planned
                        .writes
                        .into_iter()
                        .zip(versions)
                        .map(|(write, version)| Stored {
                            kind: write.kind,
                            id: write.id,
                            version,
                            body: write.body,
                        })
                        .collect();
                    self.take_over(&news);
                    metrics::counter!("helseid_registry_changes_total", "action" => action)
                        .increment(1);
                    return Ok(planned.answer);
                }
                Err(ActError::Conflict) => self.follow()?,
                Err(ActError::KeyUsed) => return Err(RegistryError::KeyUsed),
                Err(ActError::Unavailable(why)) => return Err(RegistryError::Unavailable(why)),
            }
        }
        Err(RegistryError::Conflict)
    }

    /// Changes one configuration that is the caller's.
    pub(super) fn edit<T>(
        &self,
        actor: &Actor,
        client_id: &str,
        action: &'static str,
        edit: impl Fn(&Held, &System, &mut Configuration) -> Result<Plan<T>, RegistryError>,
    ) -> Result<T, RegistryError> {
        self.act(actor, action, |held| {
            let (configuration, system) = find(held, client_id)?;
            if !rules::may_change(actor, configuration, system) {
                return Err(RegistryError::NotFound);
            }
            let mut next = configuration.clone();
            edit(held, system, &mut next)
        })
    }

    /// Registers a client system.
    ///
    /// # Errors
    /// See [`RegistryError`]. An organisation registers systems of its own.
    pub fn create_system(&self, actor: &Actor, new: &NewSystem) -> Result<String, RegistryError> {
        if !actor.is_operator() && actor.orgnr() != Some(new.supplier.as_str()) {
            return Err(RegistryError::Forbidden(
                "an organisation registers client systems of its own only",
            ));
        }
        let name = rules::check_name(&new.name)?;
        rules::check_organisation(&new.supplier, self.parts.directory.as_ref())?;
        let redirect_uris = new
            .redirect_uris
            .as_ref()
            .map(|uris| rules::check_uris("redirectUris", uris, new.native))
            .transpose()?;
        rules::check_users(new.users, new.tenancy, new.user_login, new.machine)?;
        if !new.user_login && !new.machine {
            return Err(RegistryError::Invalid {
                place: "grants",
                what: "choose login of users, machine tokens, or both".to_owned(),
            });
        }
        let system = System {
            id: new_id(),
            name,
            supplier: new.supplier.clone(),
            users: new.users,
            tenancy: new.tenancy,
            user_login: new.user_login,
            machine: new.machine,
            refresh: new.refresh,
            native: new.native,
            // Lenient rules are for sandboxes; only an operator grants them.
            rules: if actor.is_operator() {
                new.rules
            } else {
                new.rules.filter(|rules| *rules == Rules::Strict)
            },
            scopes: new.scopes.clone(),
            redirect_uris,
            customers: new.customers.clone(),
            api_key_sha256: None,
            created_s: self.now_s(),
        };
        self.act(actor, "client-system.create", |held| {
            let write = held.systems.put(&system).map_err(unwritable)?;
            Ok(Plan::of(write, &system.id, system.id.clone()))
        })
    }

    /// Makes a new API key for a system, for its installations; the old one ends at once. Shown this once.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn new_api_key(&self, actor: &Actor, system_id: &str) -> Result<String, RegistryError> {
        let key =
            random_b64url::<32>().map_err(|error| RegistryError::Unavailable(error.to_string()))?;
        self.act(actor, "client-system.api-key", |held| {
            let system = held.systems.get(system_id);
            let system = system
                .filter(|s| actor.is_operator() || actor.orgnr() == Some(s.supplier.as_str()))
                .ok_or(RegistryError::NotFound)?;
            if system.tenancy != SystemTenancy::Single {
                return Err(RegistryError::Forbidden(
                    "drafts are for single-tenant client systems",
                ));
            }
            let mut next = system.clone();
            next.api_key_sha256 = Some(api_key_digest(&key));
            let write = held.systems.put(&next).map_err(unwritable)?;
            Ok(Plan::of(write, system_id, ()))
        })?;
        Ok(key)
    }

    /// Registers a client. Of an organisation's own systems for itself it is active at once, for another organisation
    /// it waits until that one confirms it.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn create(&self, actor: &Actor, new: &NewClient) -> Result<String, RegistryError> {
        let client_id = match &new.client_id {
            Some(chosen) => {
                rules::check_client_id(chosen)?;
                chosen.clone()
            }
            None => new_id(),
        };
        let name = rules::check_name(&new.name)?;
        let key = new.key.as_ref().map(rules::read_key).transpose()?;
        let now_s = self.now_s();
        self.act(actor, "client.create", |held| {
            let system = held
                .systems
                .get(&new.system)
                .ok_or(RegistryError::NotFound)?;
            let organisation = match system.tenancy {
                SystemTenancy::Single => new.organisation.clone(),
                SystemTenancy::Multi => system.supplier.clone(),
            };
            let is_supplier = actor.orgnr() == Some(system.supplier.as_str());
            let is_user = actor.orgnr() == Some(organisation.as_str());
            if !(actor.is_operator() || is_supplier || is_user) {
                return Err(RegistryError::NotFound);
            }
            rules::check_organisation(&organisation, self.parts.directory.as_ref())?;
            if is_user && !is_supplier {
                rules::check_draft(system, &organisation)?;
            }
            if self.is_configured(&client_id) || held.configurations.get(&client_id).is_some() {
                return Err(RegistryError::Invalid {
                    place: "client_id",
                    what: "another client has this id; leave it out and one is made".to_owned(),
                });
            }
            let mut made = blank(&client_id, &system.id, &name, &organisation, now_s);
            if actor.is_operator() || is_user {
                made.state = ConfigurationState::Active;
            }
            self.fill(held, system, &mut made, now_s, &new.scopes)?;
            self.set_places(
                system,
                &mut made,
                Some(&new.redirect_uris),
                &new.post_logout_redirect_uris,
                &new.children,
            )?;
            if let Some(key) = &key {
                rules::check_has_keys(system)?;
                rules::add_key(&mut made, key, Origin::Gui, now_s)?;
            }
            let write = held.configurations.put(&made).map_err(unwritable)?;
            let mut plan = Plan::of(write, &client_id, ());
            plan.new_keys = key_of(key.as_ref(), &client_id);
            Ok(plan.with("organisation", organisation))
        })?;
        Ok(client_id)
    }

    /// Scopes of the user that follow from how the system logs in, and those asked for.
    pub(super) fn fill(
        &self,
        held: &Held,
        system: &System,
        made: &mut Configuration,
        now_s: i64,
        wanted: &[String],
    ) -> Result<(), RegistryError> {
        const OF_LOGIN: [&str; 5] = [
            "openid",
            "profile",
            "helseid://scopes/identity/pid",
            "helseid://scopes/identity/security_level",
            "helseid://scopes/hpr/hpr_number",
        ];
        let mut all: Vec<String> = Vec::new();
        let personnel = system.users.is_personnel();
        if system.user_login && personnel {
            all.extend(OF_LOGIN.map(str::to_owned));
        }
        if system.refresh && personnel {
            all.push("offline_access".to_owned());
        }
        all.extend_from_slice(wanted);
        self.scope_rules(held, |rules| rules.request(made, system, &all, now_s))
    }

    pub(super) fn scope_rules<T>(&self, held: &Held, with: impl FnOnce(ScopeRules<'_>) -> T) -> T {
        with(ScopeRules {
            apis: &self.parts.apis,
            automatic: &|audience| held.is_automatic(audience),
        })
    }

    pub(super) fn set_places(
        &self,
        system: &System,
        made: &mut Configuration,
        redirect_uris: Option<&Vec<String>>,
        post_logout: &[String],
        children: &[String],
    ) -> Result<(), RegistryError> {
        made.redirect_uris = match (redirect_uris, &system.redirect_uris) {
            // What the system fixes cannot be chosen; saying the same is no mistake.
            (Some(uris), Some(fixed)) if uris.iter().any(|uri| !fixed.contains(uri)) => {
                return Err(RegistryError::Invalid {
                    place: "redirectUris",
                    what: "the client system fixes them; leave them out".to_owned(),
                });
            }
            (_, Some(_)) => Vec::new(),
            (Some(uris), None) => rules::check_uris("redirectUris", uris, system.native)?,
            (None, None) => {
                return Err(RegistryError::Invalid {
                    place: "redirectUris",
                    what: "null is allowed only when the client system fixes the redirect URIs; send a list, empty if there are none".to_owned(),
                });
            }
        };
        made.post_logout_redirect_uris =
            rules::check_uris("postLogoutRedirectUris", post_logout, system.native)?;
        made.children =
            rules::check_children(children, &made.organisation, self.parts.directory.as_ref())?;
        Ok(())
    }

    /// Adds a public key; gives its last second.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn add_key(
        &self,
        actor: &Actor,
        client_id: &str,
        key: &Value,
        origin: Origin,
    ) -> Result<i64, RegistryError> {
        let key = rules::read_key(key)?;
        let now_s = self.now_s();
        self.edit(actor, client_id, "client.key.add", |held, system, next| {
            rules::check_has_keys(system)?;
            let expires_s = rules::add_key(next, &key, origin, now_s)?;
            let write = held.configurations.put(next).map_err(unwritable)?;
            let mut plan = Plan::of(write, client_id, expires_s);
            plan.new_keys = key_of(Some(&key), client_id);
            Ok(plan.with("thumbprint", key.thumbprint()))
        })
    }

    /// Removes a key at once.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn remove_key(
        &self,
        actor: &Actor,
        client_id: &str,
        thumbprint: &str,
    ) -> Result<(), RegistryError> {
        self.edit(actor, client_id, "client.key.remove", |held, _, next| {
            rules::remove_key(next, thumbprint)?;
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()).with("thumbprint", thumbprint))
        })
    }

    /// Asks for scopes.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn request_scopes(
        &self,
        actor: &Actor,
        client_id: &str,
        wanted: &[String],
    ) -> Result<(), RegistryError> {
        let now_s = self.now_s();
        self.edit(
            actor,
            client_id,
            "client.scope.request",
            |held, system, next| {
                self.scope_rules(held, |rules| rules.request(next, system, wanted, now_s))?;
                let write = held.configurations.put(next).map_err(unwritable)?;
                Ok(Plan::of(write, client_id, ()).with("scopes", json!(wanted)))
            },
        )
    }

    /// Gives a scope up.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn remove_scope(
        &self,
        actor: &Actor,
        client_id: &str,
        scope: &str,
    ) -> Result<(), RegistryError> {
        self.edit(actor, client_id, "client.scope.remove", |held, _, next| {
            let before = next.scopes.len();
            next.scopes.retain(|s| s.scope != scope);
            if next.scopes.len() == before {
                return Err(RegistryError::NotFound);
            }
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()).with("scope", scope))
        })
    }

    /// The word of an API's owner on a scope or an API-specific claim.
    ///
    /// # Errors
    /// [`RegistryError::Forbidden`] for anybody but the owner and operators.
    pub fn decide(
        &self,
        actor: &Actor,
        client_id: &str,
        subject: &str,
        is_approved: bool,
        reason: Option<&str>,
    ) -> Result<(), RegistryError> {
        let now_s = self.now_s();
        let action = if is_approved {
            "client.scope.approve"
        } else {
            "client.scope.reject"
        };
        self.act(actor, action, |held| {
            let (configuration, system) = find(held, client_id)?;
            let audience = audience_of(subject, &self.parts.apis);
            let owner = audience.and_then(|audience| held.owners.get(audience));
            if !rules::may_decide(actor, owner) {
                // Who may see the registration is told why; a stranger is not told that it exists.
                return Err(if rules::may_change(actor, configuration, system) {
                    RegistryError::Forbidden("only the owner of the API decides on its scopes")
                } else {
                    RegistryError::NotFound
                });
            }
            let mut next = configuration.clone();
            if subject.contains("/client/claims/") {
                rules::decide_claim(&mut next, subject, is_approved)?;
            } else {
                rules::decide(&mut next, subject, is_approved, reason, now_s)?;
            }
            let write = held.configurations.put(&next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()).with("scope", subject))
        })
    }

    /// Replaces the addresses.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn set_uris(
        &self,
        actor: &Actor,
        client_id: &str,
        redirect_uris: &[String],
        post_logout: &[String],
    ) -> Result<(), RegistryError> {
        self.edit(actor, client_id, "client.uris", |held, system, next| {
            let children: Vec<String> = next.children.iter().cloned().collect();
            self.set_places(
                system,
                next,
                Some(&redirect_uris.to_vec()),
                post_logout,
                &children,
            )?;
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()))
        })
    }

    /// Replaces what an operator gives a client besides: exchange of tokens, notices of logouts.
    ///
    /// # Errors
    /// For operators only; unknown audiences, addresses that are not https.
    pub fn set_roles(
        &self,
        actor: &Actor,
        client_id: &str,
        roles: &Roles,
    ) -> Result<(), RegistryError> {
        if !actor.is_operator() {
            return Err(RegistryError::Forbidden("only an operator may do this"));
        }
        let known = |audience: &String| self.parts.apis.iter().any(|api| &api.audience == audience);
        if !roles.acts_for.iter().all(known) {
            return Err(RegistryError::Invalid {
                place: "actsFor",
                what: "an audience that no API has".to_owned(),
            });
        }
        let uris = [
            &roles.frontchannel_logout_uri,
            &roles.backchannel_logout_uri,
        ];
        let uris: Vec<String> = uris.into_iter().flatten().cloned().collect();
        if uris.iter().any(|uri| !uri.starts_with("https://")) {
            return Err(RegistryError::Invalid {
                place: "logoutUris",
                what: "an address must begin with https://".to_owned(),
            });
        }
        rules::check_uris("logoutUris", &uris, false)?;
        self.edit(actor, client_id, "client.roles", |held, system, next| {
            rules::check_roles(system, roles)?;
            next.roles = roles.clone();
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()))
        })
    }

    /// Closes a client, or opens it again.
    ///
    /// # Errors
    /// For operators only.
    pub fn block(
        &self,
        actor: &Actor,
        client_id: &str,
        is_blocked: bool,
    ) -> Result<(), RegistryError> {
        if !actor.is_operator() {
            return Err(RegistryError::Forbidden("only an operator may do this"));
        }
        let action = if is_blocked {
            "client.block"
        } else {
            "client.unblock"
        };
        self.edit(actor, client_id, action, |held, _, next| {
            if next.state == ConfigurationState::Draft {
                return Err(RegistryError::NotFound);
            }
            next.state = if is_blocked {
                ConfigurationState::Blocked
            } else {
                ConfigurationState::Active
            };
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()))
        })
    }

    /// Removes a client; its tokens run out by themselves.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn remove(&self, actor: &Actor, client_id: &str) -> Result<(), RegistryError> {
        self.edit(actor, client_id, "client.remove", |held, _, next| {
            Ok(Plan::of(held.configurations.delete(next), client_id, ()))
        })
    }

    /// An organisation lets a supplier act for it, or no longer.
    ///
    /// # Errors
    /// See [`RegistryError`]. Only the organisation itself (or an operator) may.
    pub fn delegate(
        &self,
        actor: &Actor,
        organisation: &str,
        supplier: &str,
        is_on: bool,
    ) -> Result<(), RegistryError> {
        if !actor.is_operator() && actor.orgnr() != Some(organisation) {
            return Err(RegistryError::Forbidden(
                "an organisation delegates for itself only",
            ));
        }
        let directory = self.parts.directory.as_ref();
        if is_on {
            rules::check_organisation(organisation, directory)?;
            rules::check_organisation(supplier, directory)?;
            if organisation == supplier {
                return Err(RegistryError::Invalid {
                    place: "supplier",
                    what: "an organisation needs no delegation to itself".to_owned(),
                });
            }
        }
        let delegation = Delegation {
            organisation: organisation.to_owned(),
            supplier: supplier.to_owned(),
            since_s: self.now_s(),
        };
        let action = if is_on {
            "delegation.give"
        } else {
            "delegation.withdraw"
        };
        self.act(actor, action, |held| {
            let write = if is_on {
                held.delegations.put(&delegation).map_err(unwritable)?
            } else {
                let known = held.delegations.get(&format!("{organisation}|{supplier}"));
                held.delegations
                    .delete(known.ok_or(RegistryError::NotFound)?)
            };
            Ok(Plan::of(write, organisation, ()).with("supplier", supplier))
        })
    }

    /// Says who decides on the scopes of an API.
    ///
    /// # Errors
    /// For operators only.
    pub fn set_owner(&self, actor: &Actor, owner: &ApiOwner) -> Result<(), RegistryError> {
        if !actor.is_operator() {
            return Err(RegistryError::Forbidden("only an operator may do this"));
        }
        if self
            .parts
            .apis
            .iter()
            .all(|api| api.audience != owner.audience)
        {
            return Err(RegistryError::Invalid {
                place: "audience",
                what: "no API has this audience".to_owned(),
            });
        }
        if let Some(organisation) = &owner.organisation {
            rules::check_organisation(organisation, self.parts.directory.as_ref())?;
        }
        self.act(actor, "api.owner", |held| {
            // The terms are the API's own: whoever decides about it, they stay.
            let mut next = owner.clone();
            next.terms = held
                .owners
                .get(&owner.audience)
                .and_then(|known| known.terms.clone());
            let write = held.owners.put(&next).map_err(unwritable)?;
            Ok(Plan::of(write, &owner.audience, ()).with("automatic", owner.automatic))
        })
    }
}

pub(super) fn find<'a>(
    held: &'a Held,
    client_id: &str,
) -> Result<(&'a Configuration, &'a System), RegistryError> {
    let configuration = held
        .configurations
        .get(client_id)
        .ok_or(RegistryError::NotFound)?;
    let system = held
        .systems
        .get(&configuration.system)
        .ok_or(RegistryError::NotFound)?;
    Ok((configuration, system))
}

pub(super) fn blank(
    client_id: &str,
    system: &str,
    name: &str,
    organisation: &str,
    now_s: i64,
) -> Configuration {
    Configuration {
        client_id: client_id.to_owned(),
        system: system.to_owned(),
        name: name.to_owned(),
        organisation: organisation.to_owned(),
        state: ConfigurationState::Draft,
        children: BTreeSet::new(),
        keys: Vec::new(),
        scopes: Vec::new(),
        claims: Vec::new(),
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        confirmation_redirect_uri: None,
        created_s: now_s,
        roles: Roles::default(),
    }
}

pub(super) fn key_of(key: Option<&jose::PublicJwk>, client_id: &str) -> Vec<(String, String)> {
    key.map(|key| (key.thumbprint().to_owned(), client_id.to_owned()))
        .into_iter()
        .collect()
}

/// The API that a scope or an API-specific claim type belongs to; Helsenorge for a right of citizens' clients.
pub(super) fn audience_of<'a>(subject: &'a str, apis: &'a [crate::Api]) -> Option<&'a str> {
    match subject.split_once("/client/claims/") {
        Some((audience, _)) => Some(audience),
        None if crate::citizen::RIGHTS.contains(&subject) => Some(rules::CITIZENS),
        None => crate::rules::scopes::api_of(subject, apis).map(|api| api.audience.as_str()),
    }
}
