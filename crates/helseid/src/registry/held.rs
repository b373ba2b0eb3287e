//! The registry's records in memory, as last seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::{
    Acceptance, ApiOwner, Configuration, Delegation, Kept, Kind, System, SystemTenancy,
};
use super::store::{Stored, Write};
use crate::rules::terms::TermsOfUse;

/// Records of one kind by natural id.
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: BTreeMap<String, (u64, T)>,
    natural: HashMap<String, String>,
    /// Newest version seen per record id, deletions included: news may come late.
    versions: HashMap<String, u64>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            natural: HashMap::new(),
            versions: HashMap::new(),
        }
    }
}

impl<T: Kept> Table<T> {
    pub(super) fn get(&self, natural: &str) -> Option<&T> {
        self.rows.get(natural).map(|(_, row)| row)
    }

    pub(super) fn versioned(&self, natural: &str) -> Option<(u64, &T)> {
        self.rows.get(natural).map(|(version, row)| (*version, row))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.values().map(|(_, row)| row)
    }

    /// Takes a record over; gives its natural id when it was newer than what was held.
    fn take_over(&mut self, stored: &Stored) -> Option<String> {
        let known = self.versions.get(&stored.id).copied();
        if known.is_some_and(|known| known >= stored.version) {
            return None;
        }
        self.versions.insert(stored.id.clone(), stored.version);
        let Some(body) = &stored.body else {
            let natural = self.natural.remove(&stored.id)?;
            self.rows.remove(&natural);
            return Some(natural);
        };
        match serde_json::from_slice::<T>(body) {
            Ok(row) => {
                let natural = row.natural_id();
                self.natural.insert(stored.id.clone(), natural.clone());
                self.rows.insert(natural.clone(), (stored.version, row));
                Some(natural)
            }
            Err(error) => {
                // A record of a newer program: what this one does not understand it does not use.
                tracing::error!(kind = stored.kind.word(), id = %stored.id, %error, "helseid: a registration cannot be read");
                None
            }
        }
    }

    /// The write that puts a row in place of what is held.
    pub(super) fn put(&self, row: &T) -> Result<Write, serde_json::Error> {
        Ok(Write {
            kind: T::KIND,
            id: row.record_id(),
            was: self
                .versioned(&row.natural_id())
                .map(|(version, _)| version),
            body: Some(serde_json::to_vec(row)?),
        })
    }

    /// The write that deletes a row.
    pub(super) fn delete(&self, row: &T) -> Write {
        Write {
            kind: T::KIND,
            id: row.record_id(),
            was: self
                .versioned(&row.natural_id())
                .map(|(version, _)| version),
            body: None,
        }
    }
}

/// All records.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) systems: Table<System>,
    pub(super) configurations: Table<Configuration>,
    pub(super) delegations: Table<Delegation>,
    pub(super) owners: Table<ApiOwner>,
    pub(super) acceptances: Table<Acceptance>,
}

impl Held {
    /// Takes records over; gives the client ids whose clients may look different now.
    pub(super) fn take_over(&mut self, news: &[Stored]) -> BTreeSet<String> {
        let mut touched = BTreeSet::new();
        for stored in news {
            match stored.kind {
                Kind::Configuration => touched.extend(self.configurations.take_over(stored)),
                Kind::System => {
                    if let Some(system) = self.systems.take_over(stored) {
                        touched.extend(self.clients_where(|c, _| c.system == system));
                    }
                }
                Kind::Delegation => {
                    if let Some(natural) = self.delegations.take_over(stored) {
                        let supplier = natural.rsplit('|').next().unwrap_or_default().to_owned();
                        touched.extend(self.clients_where(|_, s| {
                            s.is_some_and(|s| {
                                s.tenancy == SystemTenancy::Multi && s.supplier == supplier
                            })
                        }));
                    }
                }
                Kind::ApiOwner => {
                    self.owners.take_over(stored);
                }
                Kind::Acceptance => {
                    self.acceptances.take_over(stored);
                }
            }
        }
        touched
    }

    fn clients_where(
        &self,
        wanted: impl Fn(&Configuration, Option<&System>) -> bool,
    ) -> BTreeSet<String> {
        self.configurations
            .values()
            .filter(|c| wanted(c, self.systems.get(&c.system)))
            .map(|c| c.client_id.clone())
            .collect()
    }

    /// A configuration with its system, when it logs in those users.
    pub(super) fn registered(
        &self,
        client_id: &str,
        personnel: bool,
    ) -> Option<(&Configuration, &System)> {
        let configuration = self.configurations.get(client_id)?;
        let system = self.systems.get(&configuration.system)?;
        (system.users.is_personnel() == personnel).then_some((configuration, system))
    }

    /// Organisations that have delegated to a supplier.
    pub(super) fn delegated_to(&self, supplier: &str) -> BTreeSet<String> {
        self.delegations
            .values()
            .filter(|d| d.supplier == supplier)
            .map(|d| d.organisation.clone())
            .collect()
    }

    /// Which APIs have terms of use, and who has accepted those of today.
    pub(super) fn terms_of_use(&self) -> TermsOfUse {
        let mut all = TermsOfUse::default();
        for owner in self.owners.values() {
            if let Some(terms) = &owner.terms {
                let accepted = self.acceptances_of(&owner.audience);
                let current = accepted.filter(|one| one.version == terms.version);
                let organisations = current.map(|one| one.organisation.clone()).collect();
                all.require(&owner.audience, organisations);
            }
        }
        all
    }

    /// Who has accepted terms of an API, of whatever version.
    pub(super) fn acceptances_of<'a>(
        &'a self,
        audience: &'a str,
    ) -> impl Iterator<Item = &'a Acceptance> {
        self.acceptances
            .values()
            .filter(move |one| one.audience == audience)
    }

    /// Whether scopes of an audience are approved at once.
    pub(super) fn is_automatic(&self, audience: &str) -> bool {
        self.owners
            .get(audience)
            .is_some_and(|owner| owner.automatic)
    }
}
