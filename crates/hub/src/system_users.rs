//! System users: who may use the message bus, the mailboxes and the registers' SOAP services for a communication party
//! (spec/messaging.md §4, spec/grunndata.md §1). Records of the hub's own repository, one per HER-id.
//!
//! On the bus and the mail ports a user is named by its HER-id; the organisation's own is known as `OrgUsr<orgnr>` too, the
//! name that it has at the SOAP services. Passwords are made by the hub, long and random, and kept as salted hashes.
//!
//! Every process looks whether somebody has changed them ([`EVERY`]): who is taken away can log in nowhere from then on, and
//! what it has open can send and receive nothing more.

use crate::address_register::organisations_own_name;
use crate::own_records::{self, Change};
use edge::listen::Shutdown;
use edge::soap::users::{User, Users as SoapUsers, hash_random};
use meldinger::{AmqpUser, Users as BusUsers};
use registers::table::RegisterTable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Granted, HistoryScope, Op, RepoId, Rid, Seq, Store, StoreError, Vno};

const TYPE: &str = "SystemUser";
/// How often a process looks for changes.
const EVERY: Duration = Duration::from_secs(5);
/// How often the organisation numbers of parties are looked up again.
const PARTIES_EVERY: Duration = Duration::from_secs(60);
/// Most system users: more than there are communication parties.
const MAX_USERS: usize = 200_000;
/// Users read at once.
const AT_ONCE: usize = 2_000;

/// Rights that can be given, as role names (spec/grunndata.md §1).
pub const ROLES: [&str; 12] = [
    "Administrator",
    "ArRead",
    "CppaWrite",
    "FlrLookup",
    "FlrRead",
    "FlrReadAllPatients",
    "FlrReadExtended",
    "FlrWrite",
    "HprRead",
    "HprWrite",
    "LsrRead",
    "LsrWrite",
];
/// Rights of every system user.
pub const BASIC_ROLES: [&str; 5] = ["ArRead", "FlrLookup", "FlrRead", "HprRead", "LsrRead"];

/// A system user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemUser {
    /// HER-id of the party; the queues and the mailbox are those of its organisation.
    #[serde(skip)]
    pub her_id: u32,
    /// Rights at the SOAP services.
    pub roles: BTreeSet<String>,
    /// For the bus and the mail ports.
    bus: String,
    /// For HTTP Basic.
    soap: String,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum SystemUserError {
    /// The HER-id is none.
    #[error("a HER-id is a number above 0")]
    HerId,
    /// Nobody knows that right.
    #[error("there is no right {0:?}; there are {list}", list = ROLES.join(", "))]
    Role(String),
    /// There is one already.
    #[error("there is a system user of that HER-id already")]
    Taken,
    /// There is none.
    #[error("there is no system user of that HER-id")]
    Unknown,
    /// There are too many.
    #[error("there are {MAX_USERS} system users already; remove one first")]
    TooMany,
    /// Somebody else changed the same user.
    #[error("the system user was changed by somebody else just now; look and try again")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The system users of one store.
pub struct SystemUsers {
    store: Store,
    repo: RepoId,
    grant: Granted,
}

impl SystemUsers {
    /// Over a store; `grant` is the hub's own right to its repository.
    ///
    /// # Errors
    /// The store does not declare the repository.
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(crate::secrets::REPOSITORY)?;
        Ok(Self { store, repo, grant })
    }

    /// Adds a user with the basic rights and these, and returns its password, which is kept nowhere.
    ///
    /// # Errors
    /// [`SystemUserError`].
    pub fn add(&self, her_id: u32, roles: &[String]) -> Result<String, SystemUserError> {
        if her_id == 0 {
            return Err(SystemUserError::HerId);
        }
        if let Some(unknown) = roles.iter().find(|role| !ROLES.contains(&role.as_str())) {
            return Err(SystemUserError::Role(unknown.chars().take(40).collect()));
        }
        if self.list()?.len() >= MAX_USERS {
            return Err(SystemUserError::TooMany);
        }
        let basic = BASIC_ROLES.iter().map(|role| (*role).to_owned());
        let roles = basic.chain(roles.iter().cloned()).collect();
        let (user, password) = SystemUser::made(her_id, roles);
        match self.write("system-user.add", her_id, None, Some(&user)) {
            Err(SystemUserError::Conflict) => Err(SystemUserError::Taken),
            other => other.map(|()| password),
        }
    }

    /// Gives another password, and returns it.
    ///
    /// # Errors
    /// [`SystemUserError`].
    pub fn renew(&self, her_id: u32) -> Result<String, SystemUserError> {
        let (vno, user) = self.find(her_id)?.ok_or(SystemUserError::Unknown)?;
        let (user, password) = SystemUser::made(her_id, user.roles);
        self.write("system-user.password", her_id, Some(vno), Some(&user))?;
        Ok(password)
    }

    /// Takes a user away.
    ///
    /// # Errors
    /// [`SystemUserError`].
    pub fn remove(&self, her_id: u32) -> Result<(), SystemUserError> {
        let (vno, _) = self.find(her_id)?.ok_or(SystemUserError::Unknown)?;
        self.write("system-user.remove", her_id, Some(vno), None)
    }

    /// All users, by HER-id.
    ///
    /// # Errors
    /// The store failed.
    pub fn list(&self) -> Result<Vec<SystemUser>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let (mut all, mut after) = (Vec::new(), Rid(0));
        loop {
            let rids = snapshot.type_rids(&self.grant, self.repo, TYPE, after, AT_ONCE)?;
            let Some(last) = rids.last() else { break };
            after = *last;
            for record in snapshot.fetch(&self.grant, &rids)? {
                all.push(read(&record.head.id, &record.body)?);
            }
            if all.len() > MAX_USERS {
                break;
            }
        }
        all.sort_by_key(|user| user.her_id);
        Ok(all)
    }

    /// The place in the log of the last change of a user.
    fn changed_at(&self) -> Result<Option<Seq>, StoreError> {
        let scope = HistoryScope::Type {
            repo: self.repo,
            rtype: TYPE.to_owned(),
        };
        let newest = self
            .store
            .snapshot()?
            .history(&self.grant, &scope, None, 1)?;
        Ok(newest.first().map(|record| record.head.seq))
    }

    fn find(&self, her_id: u32) -> Result<Option<(Vno, SystemUser)>, StoreError> {
        let id = her_id.to_string();
        let snapshot = self.store.snapshot()?;
        let record = snapshot.read(&self.grant, self.repo, TYPE, &id)?;
        record
            .filter(|record| record.head.op != Op::Delete)
            .map(|record| Ok((record.head.vno, read(&id, &record.body)?)))
            .transpose()
    }

    fn write(
        &self,
        what: &'static str,
        her_id: u32,
        was: Option<Vno>,
        user: Option<&SystemUser>,
    ) -> Result<(), SystemUserError> {
        let body = user
            .map(serde_json::to_vec)
            .transpose()
            .map_err(|_| StoreError::Invalid("system user".to_owned()))?;
        let change = Change {
            what,
            rtype: TYPE,
            id: &her_id.to_string(),
            was,
            body,
        };
        if own_records::write(&self.store, self.repo, change)? {
            Ok(())
        } else {
            Err(SystemUserError::Conflict)
        }
    }
}

impl SystemUser {
    fn made(her_id: u32, roles: BTreeSet<String>) -> (Self, String) {
        let password = edge::cookie::random_token();
        let user = Self {
            her_id,
            roles,
            bus: AmqpUser::new("", &password, her_id).kept(),
            soap: hash_random(&password),
        };
        (user, password)
    }
}

fn read(id: &str, body: &[u8]) -> Result<SystemUser, StoreError> {
    let unreadable = || StoreError::Corrupt("a system user's record cannot be read".to_owned());
    let user: SystemUser = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let her_id = id.parse().map_err(|_| unreadable())?;
    Ok(SystemUser { her_id, ..user })
}

/// Where system users log in.
#[derive(Clone)]
pub struct Doors {
    bus: Arc<BusUsers>,
    soap: Arc<SoapUsers>,
    others: Vec<(User, String)>,
    registers: Arc<RegisterTable>,
}

impl Doors {
    /// The bus with the mail ports, and the SOAP services, where `others` are known otherwise (those of the demo).
    #[must_use]
    pub fn new(
        bus: Arc<BusUsers>,
        others: Vec<(User, String)>,
        registers: Arc<RegisterTable>,
    ) -> Self {
        Self {
            bus,
            soap: Arc::new(SoapUsers::new(others.clone())),
            others,
            registers,
        }
    }

    /// Users of the SOAP services.
    #[must_use]
    pub fn soap(&self) -> Arc<SoapUsers> {
        self.soap.clone()
    }

    /// Lets system users in, and keeps the doors as somebody changes them, until shutdown. The first look is over when
    /// this returns.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn follow(
        self,
        users: SystemUsers,
        shutdown: Shutdown,
    ) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let both = Arc::new((users, self));
        let first = both.clone();
        let open = move || {
            let seen = first.0.changed_at()?;
            first.1.open_to(&first.0.list()?);
            Ok::<_, StoreError>(seen)
        };
        let mut seen = (tokio::task::spawn_blocking(open).await??, Instant::now());
        Ok(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = shutdown.wait() => return,
                }
                let both = both.clone();
                let look = move || look(&both.0, &both.1, seen);
                match tokio::task::spawn_blocking(look).await {
                    Ok(Ok(now)) => seen = now,
                    Ok(Err(error)) => tracing::warn!(%error, "system users could not be looked at"),
                    Err(error) => tracing::error!(%error, "the look at system users died"),
                }
            }
        }))
    }

    /// Lets in these users, and nobody any more whom an earlier call let in.
    fn open_to(&self, users: &[SystemUser]) {
        let (mut on_the_bus, mut at_soap) = (Vec::new(), self.others.clone());
        for user in users {
            let of_bus = |name: &str| AmqpUser::of_kept(name, &user.bus, user.her_id);
            on_the_bus.extend(of_bus(&user.her_id.to_string()));
            let own = organisations_own_name(&self.registers, user.her_id);
            on_the_bus.extend(own.as_deref().and_then(of_bus));
            let Some(party) = self.registers.parties().get(user.her_id) else {
                continue;
            };
            let name = format!("OrgUsr{}", party.content.orgnr);
            let roles = user.roles.iter().cloned().collect();
            at_soap.push((User { name, roles }, user.soap.clone()));
        }
        self.bus.set_kept(on_the_bus);
        self.soap.replace(at_soap);
    }
}

/// Opens the doors anew when a user has changed since, or may have got another organisation number.
fn look(
    users: &SystemUsers,
    doors: &Doors,
    (seen, at): (Option<Seq>, Instant),
) -> Result<(Option<Seq>, Instant), StoreError> {
    let now = users.changed_at()?;
    if now == seen && (now.is_none() || at.elapsed() < PARTIES_EVERY) {
        return Ok((seen, at));
    }
    doors.open_to(&users.list()?);
    Ok((now, Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Filter, RepoKind, RepositoryDecl, StoreConfig};

    fn world(folder: &std::path::Path) -> (Store, SystemUsers) {
        let declared = vec![RepositoryDecl::new(
            crate::secrets::REPOSITORY,
            RepoKind::Internal,
        )];
        let mut config = StoreConfig::sqlite(folder, declared);
        config.unsafe_no_sync = true;
        let (store, mint) = Store::open(config).unwrap();
        let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let users = SystemUsers::new(store.clone(), grant).unwrap();
        (store, users)
    }

    #[test]
    fn a_life_of_a_system_user() {
        let folder = tempfile::tempdir().unwrap();
        let (store, users) = world(folder.path());
        assert_eq!(users.changed_at().unwrap(), None);
        let first = users.add(8_094_866, &["FlrWrite".to_owned()]).unwrap();
        let added = users.changed_at().unwrap();
        assert!(added.is_some() && first.len() >= 40);
        assert!(matches!(
            users.add(8_094_866, &[]),
            Err(SystemUserError::Taken)
        ));
        let bus_of = |all: &[SystemUser]| {
            let kept = all
                .iter()
                .filter_map(|u| AmqpUser::of_kept("a", &u.bus, u.her_id));
            BusUsers::new(kept)
        };
        let all = users.list().unwrap();
        assert_eq!(all.len(), 1);
        assert!(all[0].roles.contains("FlrWrite") && all[0].roles.contains("ArRead"));
        let found = bus_of(&all).log_in("a", &first);
        assert_eq!(found.map(|user| user.her_id), Some(8_094_866));
        let second = users.renew(8_094_866).unwrap();
        let all = users.list().unwrap();
        assert!(bus_of(&all).log_in("a", &first).is_none());
        assert!(bus_of(&all).log_in("a", &second).is_some());
        assert!(all[0].roles.contains("FlrWrite"));
        let renewed = users.changed_at().unwrap();
        assert!(renewed > added);
        users.remove(8_094_866).unwrap();
        assert!(users.changed_at().unwrap() != renewed && users.list().unwrap().is_empty());
        assert!(matches!(
            users.renew(8_094_866),
            Err(SystemUserError::Unknown)
        ));
        users.add(8_094_866, &[]).unwrap();
        // No password stands in what is kept, and every change left its line.
        let kept = serde_json::to_string(&users.list().unwrap()).unwrap();
        assert!(!kept.contains(&first) && !kept.contains(&second));
        store.seal().unwrap();
        let lines = |stream: &String| store.journal_after(stream, 0, 100).unwrap().len();
        let streams = store.journal_streams().unwrap();
        assert_eq!(streams.iter().map(lines).sum::<usize>(), 5);
        store.close();
    }

    #[test]
    fn what_is_no_system_user() {
        let folder = tempfile::tempdir().unwrap();
        let (store, users) = world(folder.path());
        assert!(matches!(users.add(0, &[]), Err(SystemUserError::HerId)));
        for role in ["", "flrread", "Root"] {
            let refused = users.add(1, &[role.to_owned()]);
            assert!(matches!(refused, Err(SystemUserError::Role(_))), "{role}");
        }
        assert!(BASIC_ROLES.iter().all(|role| ROLES.contains(role)));
        assert!(users.list().unwrap().is_empty());
        store.close();
    }
}
