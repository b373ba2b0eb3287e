//! What installations and clients do by themselves: drafts, their confirmation, replacement of the own registration.

use jose::encoding::equal_secret;
use serde_json::json;

use super::Registry;
use super::change::{Plan, blank, find, key_of, new_id, unwritable};
use super::input::{Draft, Update};
use super::model::{
    Configuration, ConfigurationState, DRAFT_LIFE_S, Origin, System, api_key_digest,
};
use super::rules::{self, Actor, RegistryError};

/// Drafts of one system that wait at the same time.
const MAX_WAITING_DRAFTS: usize = 200;

impl Registry {
    /// Makes a draft for the holder of an API key.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when no system has the key.
    pub fn draft(&self, api_key: &str, draft: &Draft) -> Result<String, RegistryError> {
        let digest = api_key_digest(api_key);
        let is_it = |system: &&System| {
            let known = system.api_key_sha256.as_deref().unwrap_or_default();
            equal_secret(known.as_bytes(), digest.as_bytes())
        };
        let system_id = self
            .read()
            .systems
            .values()
            .find(is_it)
            .map(|system| system.id.clone())
            .ok_or(RegistryError::NotFound)?;
        let actor = Actor::ApiKey {
            system: system_id.clone(),
        };
        let key = rules::read_key(&draft.key)?;
        let organisation_name =
            rules::check_organisation(&draft.organisation, self.parts.directory.as_ref())?;
        let client_id = new_id();
        let now_s = self.now_s();
        self.act(&actor, "client.draft", |held| {
            // The key may have been replaced since it was looked up.
            let system = held.systems.get(&system_id);
            let system = system.filter(is_it).ok_or(RegistryError::NotFound)?;
            rules::check_draft(system, &draft.organisation)?;
            rules::check_has_keys(system)?;
            let drafts = |c: &&Configuration| {
                c.system == system.id && c.state == ConfigurationState::Draft
            };
            let (stale, waiting): (Vec<&Configuration>, Vec<_>) = held
                .configurations
                .values()
                .filter(drafts)
                .partition(|c| c.is_stale(now_s));
            if waiting.len() >= MAX_WAITING_DRAFTS {
                return Err(RegistryError::Forbidden(
                    "200 drafts of this client system wait already; have them confirmed, or wait until they expire",
                ));
            }
            let name = format!("{} – {organisation_name}", system.name);
            let name: String = name.chars().take(100).collect();
            let mut made = blank(&client_id, &system.id, &name, &draft.organisation, now_s);
            self.fill(held, system, &mut made, now_s, &draft.scopes)?;
            self.scope_rules(held, |rules| rules.replace_claims(&mut made, &draft.claims))?;
            let redirect_uris = draft.redirect_uris.clone().unwrap_or_default();
            self.set_places(
                system,
                &mut made,
                Some(&redirect_uris),
                &draft.post_logout_redirect_uris,
                &draft.children,
            )?;
            if let Some(uri) = &draft.confirmation_redirect_uri {
                rules::check_uris("postClientConfirmationRedirectUri", std::slice::from_ref(uri), true)?;
                made.confirmation_redirect_uri = Some(uri.clone());
            }
            rules::add_key(&mut made, &key, Origin::Api, now_s)?;
            let write = held.configurations.put(&made).map_err(unwritable)?;
            let mut plan = Plan::of(write, &client_id, ());
            plan.writes.extend(stale.iter().take(50).map(|c| held.configurations.delete(c)));
            plan.new_keys = key_of(Some(&key), &client_id);
            Ok(plan.with("organisation", draft.organisation.clone()).with("life_s", DRAFT_LIFE_S))
        })?;
        Ok(client_id)
    }

    /// Confirms a draft; gives where the browser should go, if the draft said so.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for anybody but its organisation.
    pub fn confirm(&self, actor: &Actor, client_id: &str) -> Result<Option<String>, RegistryError> {
        let now_s = self.now_s();
        self.act(actor, "client.confirm", |held| {
            let (configuration, _) = find(held, client_id)?;
            let mut next = configuration.clone();
            rules::confirm(&mut next, actor, now_s)?;
            let write = held.configurations.put(&next).map_err(unwritable)?;
            Ok(Plan::of(
                write,
                client_id,
                next.confirmation_redirect_uri.clone(),
            ))
        })
    }

    /// Says no to a draft: it is removed.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for anybody but its organisation.
    pub fn decline(&self, actor: &Actor, client_id: &str) -> Result<Option<String>, RegistryError> {
        let now_s = self.now_s();
        self.act(actor, "client.decline", |held| {
            let (configuration, _) = find(held, client_id)?;
            rules::check_waiting(configuration, actor, now_s)?;
            let write = held.configurations.delete(configuration);
            let back = configuration.confirmation_redirect_uri.clone();
            Ok(Plan::of(write, client_id, back))
        })
    }

    /// Replaces a client's own registration (spec §14).
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing is changed then.
    pub fn update(&self, client_id: &str, update: &Update) -> Result<(), RegistryError> {
        let actor = Actor::Client {
            client_id: client_id.to_owned(),
        };
        let now_s = self.now_s();
        self.edit(&actor, client_id, "client.update", |held, system, next| {
            self.scope_rules(held, |rules| {
                rules.replace(next, system, &update.scopes, now_s)?;
                rules.replace_claims(next, &update.claims)
            })?;
            self.set_places(
                system,
                next,
                update.redirect_uris.as_ref(),
                &update.post_logout_redirect_uris,
                &update.children,
            )?;
            let write = held.configurations.put(next).map_err(unwritable)?;
            Ok(Plan::of(write, client_id, ()).with("scopes", json!(update.scopes)))
        })
    }
}
