//! Collaboration protocols (CPPA): which processes a party takes part in, and the agreements between two parties.
//!
//! A profile (CPP) is what a party says it can do; an agreement (CPA) is worked out from two profiles, the parties'
//! addresses and their certificates, and is made anew, with a new id, when any of these change. Everyone may read, a
//! party's own organisation edits its profile.
//!
//! Read first: [`Cppa`], [`held`]. Rules: spec/messaging.md §7, §11.3.

pub mod held;
pub mod rest;
pub mod soap;

use crate::ar::NowFn;
use base64::Engine;
use edi::cppa::Taken;
use edi::cppa::document::{self, Party, Terms, Transport};
use held::{Agreement, AgreementEvent, Profile, ProfileEvent, Side};
use registers::kernel::EntryId;
use registers::kernel::change::ChangeError;
use registers::kernel::events::Event;
use registers::kernel::identifiers::Packed;
use registers::kernel::log::Version;
use registers::kernel::memory::MemoryRegister;
use registers::kernel::period::Moment;
use registers::parties::record::PartyRecord;
use registers::parties::register::Held as HeldParty;
use registers::parties::{CertificateUse, Parties, rules};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Granted, Store, StoreError};

/// Most roles of a profile.
pub const MAX_ROLES: usize = 500;
/// Most agreements listed of one party.
pub const MAX_LISTED: usize = 1_000;
/// An agreement ends with the first certificate, but after ten years at the latest.
const LONGEST_S: i64 = 10 * 365 * 86_400;

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CppaError {
    /// There is no such party, profile or agreement.
    #[error("not found")]
    NotFound,
    /// The process or role is not in the catalogue.
    #[error("the process, version or role is not known")]
    UnknownProcess,
    /// The profile has too many roles.
    #[error("a profile has at most {MAX_ROLES} roles")]
    TooMany,
    /// The register.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Profiles and agreements of one process of the hub.
pub struct Cppa {
    parties: Arc<Parties>,
    profiles: MemoryRegister<Profile>,
    agreements: MemoryRegister<Agreement>,
    now: NowFn,
    /// Looking at an agreement and making it anew belong together.
    turn: Mutex<()>,
}

impl Cppa {
    /// Reads both registers. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Store,
        grant: Granted,
        parties: Arc<Parties>,
        now: NowFn,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            parties,
            profiles: MemoryRegister::open(store.clone(), grant.clone())?,
            agreements: MemoryRegister::open(store, grant)?,
            now,
            turn: Mutex::new(()),
        })
    }

    fn moment(&self) -> Moment {
        Moment((self.now)().div_euclid(1_000))
    }

    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.profiles.follow()?;
        self.agreements.follow()?;
        Ok(())
    }

    /// Whether no party has a profile.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// A party's profile.
    #[must_use]
    pub fn profile(&self, her_id: u32) -> Option<Profile> {
        let entry = self.profiles.find(Packed(her_id.into()))?;
        (!entry.content.roles.is_empty()).then(|| entry.content.clone())
    }

    /// Versions of a profile, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history(&self, her_id: u32) -> Result<Vec<Version<Profile>>, StoreError> {
        match self.profiles.find(Packed(her_id.into())) {
            Some(entry) => self.profiles.log().versions(entry.id, 100),
            None => Ok(Vec::new()),
        }
    }

    /// Gives a party these roles in place of those it has. Without roles it has no profile.
    ///
    /// # Errors
    /// An unknown party or role, or the register's.
    pub fn set_roles(&self, her_id: u32, mut roles: Vec<Taken>) -> Result<(), CppaError> {
        if self.parties.get(her_id).is_none() {
            return Err(CppaError::NotFound);
        }
        roles.sort();
        roles.dedup();
        if roles.len() > MAX_ROLES {
            return Err(CppaError::TooMany);
        }
        if roles.iter().any(|role| role.resolve().is_none()) {
            return Err(CppaError::UnknownProcess);
        }
        let at = self.moment();
        let there = self.profiles.find(Packed(her_id.into()));
        let (id, mut profile) = match &there {
            Some(entry) => (entry.id, entry.content.clone()),
            None => (
                EntryId::random(),
                Profile {
                    her_id,
                    cppid: uuid::Uuid::new_v4().to_string(),
                    roles: Vec::new(),
                    changed: at,
                },
            ),
        };
        if profile.roles != roles {
            profile.roles = roles;
            profile.changed = at;
            profile.cppid = uuid::Uuid::new_v4().to_string();
            self.profiles.change(&[(id, profile)])?;
        }
        Ok(())
    }

    /// A party as its profile and its addresses make it today.
    fn side(&self, her_id: u32) -> Option<(HeldParty, Side)> {
        let party = self.parties.get(her_id)?;
        let now = self.moment();
        let parent = self.parties.parent(&party.content);
        let parent = parent.as_ref().map(|p| &p.content);
        let address = |code| rules::address(&party.content, parent, code, now).map(str::to_owned);
        let certificate = |purpose| {
            rules::certificate(&party.content, parent, purpose, now)
                .map(|c| (c.value.der.clone(), c.value.not_after_s))
        };
        let encryption = certificate(CertificateUse::Encryption);
        let signing = certificate(CertificateUse::Signing);
        let ends_s = [&encryption, &signing]
            .into_iter()
            .flatten()
            .map(|(_, not_after_s)| *not_after_s)
            .min();
        let side = Side {
            her_id,
            name: party.content.shown_name().to_owned(),
            bus_async: address("E_SB_ASYNC"),
            bus_sync: address("E_SB_SYNC"),
            mail: address("E_EDI"),
            encryption: encryption.map(|(der, _)| encoded(&der)),
            signing: signing.map(|(der, _)| encoded(&der)),
            ends_s,
            roles: Vec::new(),
        };
        Some((party, side))
    }

    /// The profile document; `None` without a profile.
    #[must_use]
    pub fn profile_xml(&self, her_id: u32) -> Option<String> {
        let profile = self.profile(her_id)?;
        let (_, side) = self.side(her_id)?;
        let party = side.party(profile.roles);
        Some(document::profile(&profile.cppid, &party))
    }

    /// The agreement between two parties that there is, looked at by somebody who can make none.
    #[must_use]
    pub fn look(&self, first: u32, second: u32) -> Option<Agreement> {
        let entry = self.agreements.find(pair(first, second))?;
        entry.content.is_current().then(|| entry.content.clone())
    }

    /// The agreement between two parties as things stand today: the one there is, or a new one where there is none or
    /// something has changed. `None`: they have no process or no transport in common.
    ///
    /// # Errors
    /// The registers'.
    pub fn agree(&self, first: u32, second: u32) -> Result<Option<Agreement>, CppaError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let key = pair(first, second);
        let there = self.agreements.find(key);
        let current = there
            .as_ref()
            .map(|e| &e.content)
            .filter(|a| a.is_current());
        let wanted = self.wanted(first.min(second), first.max(second));
        let now = self.moment();
        let unchanged = match (&wanted, current) {
            (Some(wanted), Some(current)) => {
                current.first == wanted.first
                    && current.second == wanted.second
                    && current.transport() == wanted.transport()
                    && now < current.end
            }
            (None, None) => return Ok(None),
            _ => false,
        };
        if unchanged {
            return Ok(current.cloned());
        }
        // A revoked agreement is not made again by looking for it; a changed profile makes a new one.
        if let (Some(wanted), Some(entry), None) = (&wanted, &there, current)
            && entry.content.revoked.is_some()
            && entry.content.first.roles == wanted.first.roles
            && entry.content.second.roles == wanted.second.roles
        {
            return Ok(None);
        }
        let mut changes = Vec::new();
        if let (Some(entry), Some(current)) = (&there, current) {
            let ended = Agreement {
                ended: Some(now),
                ..current.clone()
            };
            changes.push((entry.id, ended));
        }
        if let Some(wanted) = &wanted {
            changes.push((EntryId::random(), wanted.clone()));
        }
        self.agreements.change(&changes)?;
        Ok(wanted)
    }

    fn wanted(&self, first: u32, second: u32) -> Option<Agreement> {
        let ((a, mut first), (b, mut second)) = (self.side(first)?, self.side(second)?);
        let now = self.moment();
        let lives = |p: &PartyRecord| {
            let parent = self.parties.parent(p);
            rules::is_valid_party(p, parent.as_ref().map(|p| &p.content), now)
        };
        if !lives(&a.content) || !lives(&b.content) {
            return None;
        }
        let roles = |her_id| self.profile(her_id).map(|p| p.roles);
        let (ours, theirs) = edi::cppa::common_roles(&roles(first.her_id)?, &roles(second.her_id)?);
        if ours.is_empty() || theirs.is_empty() {
            return None;
        }
        first.roles = ours;
        second.roles = theirs;
        let transport = document::common_transport(&[
            &first.party(first.roles.clone()),
            &second.party(second.roles.clone()),
        ])?;
        let longest = now.0.saturating_add(LONGEST_S * 1_000);
        let end = [first.ends_s, second.ends_s]
            .into_iter()
            .flatten()
            .map(|s| s.saturating_mul(1_000))
            .min()
            .map_or(longest, |end| end.min(longest));
        Some(Agreement {
            id: uuid::Uuid::new_v4().to_string(),
            first,
            second,
            over_bus: transport == Transport::Amqp,
            created: now,
            end: Moment(end),
            ended: None,
            revoked: None,
        })
    }

    /// An agreement by its id, ended ones included.
    #[must_use]
    pub fn agreement(&self, id: uuid::Uuid) -> Option<Agreement> {
        // The low half of the id leads to it; of several with the same half the one in use or the later is found.
        let id = id.to_string();
        let entry = self.agreements.find(Packed(held::low(&id)))?;
        (entry.content.id == id).then(|| entry.content.clone())
    }

    /// Agreements of a party, newest first, at most [`MAX_LISTED`].
    #[must_use]
    pub fn agreements_of(&self, her_id: u32) -> Vec<Agreement> {
        let mut found = Vec::new();
        let mut from = registers::kernel::EntryNo(0);
        loop {
            let page = self.agreements.page(from, 1_000);
            let Some(last) = page.last() else { break };
            from = registers::kernel::EntryNo(last.no.0.saturating_add(1));
            found.extend(
                page.iter()
                    .map(|e| &e.content)
                    .filter(|a| a.first.her_id == her_id || a.second.her_id == her_id)
                    .cloned(),
            );
        }
        found.reverse();
        found.truncate(MAX_LISTED);
        found
    }

    /// Ends an agreement at the wish of one of its parties.
    ///
    /// # Errors
    /// An unknown agreement, or the register's.
    pub fn revoke(&self, id: uuid::Uuid) -> Result<Agreement, CppaError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.agreement(id).ok_or(CppaError::NotFound)?;
        let key = pair(found.first.her_id, found.second.her_id);
        let entry = self
            .agreements
            .find(key)
            .filter(|e| e.content.id == found.id && e.content.is_current())
            .ok_or(CppaError::NotFound)?;
        let now = self.moment();
        let revoked = Agreement {
            revoked: Some(now),
            ended: Some(now),
            ..found
        };
        self.agreements.change(&[(entry.id, revoked.clone())])?;
        Ok(revoked)
    }

    /// Makes the agreements of a party anew whose parties, profiles or certificates have changed.
    ///
    /// # Errors
    /// The registers'.
    pub fn reconcile(&self, her_id: u32) -> Result<(), CppaError> {
        let children = self.parties.children(her_id);
        let mut touched = vec![her_id];
        touched.extend(children.iter().map(|c| c.content.her_id));
        for her_id in touched {
            for agreement in self.agreements_of(her_id) {
                if agreement.is_current() {
                    self.agree(agreement.first.her_id, agreement.second.her_id)?;
                }
            }
        }
        Ok(())
    }

    /// Follows the address register: agreements whose parties have changed are made anew. Call again and again; what was
    /// done twice leaves no trace. Blocks.
    ///
    /// # Errors
    /// The registers'.
    pub fn keep(&self) -> Result<(), CppaError> {
        const CONSUMER: &str = "cppa/parties";
        loop {
            let store = self.agreements.log().store();
            let at = store.position(CONSUMER)?;
            let events = self.parties.events(at.0 + 1, 500)?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            let touched: std::collections::BTreeSet<u32> =
                events.iter().map(|e| e.kind.her_id).collect();
            if !self.agreements.is_empty() {
                for her_id in touched {
                    self.reconcile(her_id)?;
                }
            }
            let commit = store::Commit {
                expect: vec![store::Expect::Position {
                    consumer: CONSUMER.to_owned(),
                    at,
                }],
                position: vec![store::Position {
                    consumer: CONSUMER.to_owned(),
                    to: store::Seq(last.number),
                }],
                ..store::Commit::default()
            };
            if let Err(error) = store.commit(commit) {
                // Another process was faster; it has done the same.
                tracing::debug!(%error, "the position of the agreements was moved by another process");
                return Ok(());
            }
        }
    }

    /// Events of profiles from a number on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn profile_events(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Event<ProfileEvent>>, StoreError> {
        self.profiles.events(from, limit)
    }

    /// Events of agreements from a number on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn agreement_events(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Event<AgreementEvent>>, StoreError> {
        self.agreements.events(from, limit)
    }

    /// Organisation number of a party.
    pub(crate) fn orgnr(&self, her_id: u32) -> Option<String> {
        self.parties.get(her_id).map(|p| p.content.orgnr.clone())
    }
}

/// Roles that an ordinary party of health care takes: both sides of the newest version of the common clinical processes.
#[must_use]
pub fn usual_roles() -> Vec<Taken> {
    const USUAL: [&str; 6] = [
        "Epikrise",
        "Henvisning",
        "Rekvisisjon-",
        "Svarrapport-",
        "Innleggelsesrapport",
        "Dialog_Innbygger_Digitalbruker",
    ];
    let mut newest: std::collections::BTreeMap<&str, &'static edi::cppa::Process> =
        std::collections::BTreeMap::new();
    // The catalogue has versions in ascending order.
    for process in edi::cppa::processes() {
        let is_usual = |name: &&str| {
            process.name == *name || (name.ends_with('-') && process.name.starts_with(*name))
        };
        if USUAL.iter().any(is_usual) {
            newest.insert(process.name, process);
        }
    }
    let of = |process: &'static edi::cppa::Process| {
        process.roles.iter().map(|role| Taken {
            uuid: process.uuid.to_owned(),
            version: process.version.to_owned(),
            role: role.name.to_owned(),
        })
    };
    let all: Vec<&'static edi::cppa::Process> = newest.into_values().collect();
    all.into_iter().flat_map(of).collect()
}

fn encoded(der: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(der)
}

/// The identifier of a pair of parties.
pub(crate) fn pair(first: u32, second: u32) -> Packed {
    let (low, high) = (first.min(second), first.max(second));
    Packed(u64::from(low) << 32 | u64::from(high))
}

/// The document of an agreement.
#[must_use]
pub fn agreement_xml(agreement: &Agreement) -> String {
    let terms = Terms {
        id: agreement.id.clone(),
        status: "proposed",
        start: agreement.created.timestamp().to_string(),
        end: agreement.end.timestamp().to_string(),
    };
    let party = |side: &Side| -> Party { side.party(side.roles.clone()) };
    document::agreement(
        &terms,
        &party(&agreement.first),
        &party(&agreement.second),
        agreement.transport(),
    )
}

#[cfg(test)]
mod tests;
