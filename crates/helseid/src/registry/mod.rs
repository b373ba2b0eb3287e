//! The registry: client systems, their configurations (what HelseID knows as clients), keys, scopes with the word of the
//! API's owner, delegations (spec §14).
//!
//! A change is one commit with its line in the access journal; it is in force in this process when it returns, and in
//! others as soon as [`Registry::follow`] has run there (every half second). What the caller may do is decided in
//! [`rules`], by the same functions for the API, the pages and the commands.
//!
//! Invariants, guarded by `tests`:
//! 1. Only approved scopes and active claim values reach the issuer (attack A36).
//! 2. A key belongs to the first client that brought it, for ever; private and weak keys are refused.
//! 3. Every key has an expiry.
//! 4. A stranger does not learn whether a registration exists.
//! 5. A client of citizens is never known to HelseID, one of personnel never to the citizens' issuer.

#[cfg(test)]
mod api_tests;
mod apis;
mod change;
#[cfg(test)]
mod citizen_tests;
mod configured;
mod draft;
mod held;
mod input;
pub mod model;
pub mod rules;
pub mod store;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use jose::state::Clock;
use registers::directory::Directory;

pub use apis::{ApiPage, ApiRow};
pub use input::{Draft, NewClient, NewSystem, Update};
pub use rules::{Actor, RegistryError};
pub use store::{Act, ActError, Journal, MemoryRegistryStore, RegistryStore, Stored, Write};

use crate::Helseid;
use crate::citizen::Citizens;
use crate::config::Api;
use held::Held;

/// What the registry stands on.
pub struct RegistryParts {
    /// Keeper of the records.
    pub store: Arc<dyn RegistryStore>,
    /// Organisations and their names.
    pub directory: Arc<dyn Directory>,
    /// Registered APIs.
    pub apis: Vec<Api>,
    /// Real time.
    pub clock: Clock,
}

/// The registrations of one process.
pub struct Registry {
    parts: RegistryParts,
    held: RwLock<Held>,
    /// One change at a time; other processes are met by versions.
    changing: Mutex<()>,
    /// What is handed to the issuer is made and handed over by one thread at a time: an old state never comes last.
    handing: Mutex<()>,
    issuer: OnceLock<Issuer>,
    citizens: OnceLock<CitizenIssuer>,
}

struct Issuer {
    helseid: Helseid,
    /// Clients of the configuration: the registry never replaces them.
    configured: BTreeSet<String>,
}

struct CitizenIssuer {
    citizens: Citizens,
    /// As with [`Issuer`].
    configured: BTreeSet<String>,
}

impl Registry {
    /// Reads the records. Call from a blocking thread.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`].
    pub fn open(parts: RegistryParts) -> Result<Self, RegistryError> {
        let stored = parts.store.load().map_err(RegistryError::Unavailable)?;
        let mut held = Held::default();
        held.take_over(&stored);
        Ok(Self {
            parts,
            held: RwLock::new(held),
            changing: Mutex::new(()),
            handing: Mutex::new(()),
            issuer: OnceLock::new(),
            citizens: OnceLock::new(),
        })
    }

    /// Hands every active client to the issuer, now and after each change.
    pub fn serve(&self, helseid: Helseid) {
        let configured = helseid.client_ids();
        let issuer = Issuer {
            helseid,
            configured,
        };
        let _one = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.issuer.set(issuer).is_ok() {
            self.hand_over(&self.all_client_ids());
        }
    }

    /// Hands every active client of citizens to their issuer, now and after each change.
    pub fn serve_citizens(&self, citizens: Citizens) {
        let configured = citizens.client_ids();
        let issuer = CitizenIssuer {
            citizens,
            configured,
        };
        let _one = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.citizens.set(issuer).is_ok() {
            self.hand_over(&self.all_client_ids());
        }
    }

    fn all_client_ids(&self) -> BTreeSet<String> {
        let held = self.read();
        let all = held.configurations.values();
        all.map(|configuration| configuration.client_id.clone())
            .collect()
    }

    /// Takes over what other processes committed. Call now and then from a blocking thread.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`].
    pub fn follow(&self) -> Result<(), RegistryError> {
        let news = self
            .parts
            .store
            .news()
            .map_err(RegistryError::Unavailable)?;
        if !news.is_empty() {
            self.take_over(&news);
        }
        Ok(())
    }

    /// The APIs that clients may ask for.
    #[must_use]
    pub fn apis(&self) -> &[Api] {
        &self.parts.apis
    }

    /// The issuer, once [`Registry::serve`] was called.
    #[must_use]
    pub fn helseid(&self) -> Option<&Helseid> {
        self.issuer.get().map(|issuer| &issuer.helseid)
    }

    pub(crate) fn now_s(&self) -> i64 {
        (self.parts.clock)()
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, news: &[Stored]) {
        let _one = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.take_over(news)
        };
        self.hand_over(&touched);
    }

    fn hand_over(&self, client_ids: &BTreeSet<String>) {
        let held = self.read();
        if let Some(issuer) = self.issuer.get() {
            for client_id in of_registry(client_ids, &issuer.configured) {
                let client = held.registered(client_id, true).and_then(|(c, system)| {
                    let delegations = held.delegated_to(&system.supplier);
                    c.to_client(system, &self.name_of(&c.organisation), delegations)
                });
                match client {
                    Some(client) => issuer.helseid.put_client(client),
                    None => issuer.helseid.remove_client(client_id),
                }
            }
            issuer.helseid.set_terms(held.terms_of_use());
        }
        if let Some(issuer) = self.citizens.get() {
            for client_id in of_registry(client_ids, &issuer.configured) {
                let client = held.registered(client_id, false).and_then(|(c, system)| {
                    c.to_citizen_client(system, &self.name_of(&c.organisation))
                });
                match client {
                    Some(client) => issuer.citizens.put_client(client),
                    None => issuer.citizens.remove_client(client_id),
                }
            }
        }
    }

    fn name_of(&self, orgnr: &str) -> String {
        let found = self.parts.directory.organisation(orgnr);
        found.map_or_else(|| orgnr.to_owned(), |organisation| organisation.name)
    }

    /// Whether the id belongs to a client of the configuration, at either issuer.
    fn is_configured(&self, client_id: &str) -> bool {
        let issuer = self.issuer.get();
        let citizens = self.citizens.get();
        issuer.is_some_and(|issuer| issuer.configured.contains(client_id))
            || citizens.is_some_and(|citizens| citizens.configured.contains(client_id))
    }
}

/// Without the clients of the configuration, which the registry leaves alone.
fn of_registry<'a>(
    client_ids: &'a BTreeSet<String>,
    configured: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a String> {
    client_ids.iter().filter(move |client_id| {
        let is_taken = configured.contains(*client_id);
        if is_taken {
            tracing::warn!(
                client_id,
                "helseid: a registration has the id of a client of the configuration; the configuration counts"
            );
        }
        !is_taken
    })
}
