//! HelseID's registrations as records of the store: one commit per change, with its line in the access journal.

use bytes::Bytes;
use helseid::Helseid;
use helseid::registry::model::Kind;
use helseid::registry::{
    Act, ActError, Actor, Journal, Registry, RegistryParts, RegistryStore, Stored, Write,
};
use registers::Directory;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{
    AuditEntry, Claim, Commit, CommitError, Expect, FeedEvent, Granted, Op, Privacy, Put, PutId,
    Refusal, RepoId, Rid, Seq, Store, StoreError, Vno,
};

/// Repository of the registrations.
pub const REPOSITORY: &str = "helseid-registry";
/// Name space of thumbprints: a key belongs to the client that brought it first, for ever.
const KEY_SPACE: &str = "helseid-client-key";
/// Controller of the journal's lines: they are about no citizen.
const CONTROLLER: &str = "HELSEID";
const PAGE: usize = 1_000;

/// The registrations of one store.
pub struct RegistryRecords {
    store: Store,
    repo: RepoId,
    grant: Granted,
    seen: Mutex<Seq>,
}

impl RegistryRecords {
    /// Over a store; `grant` is the hub job's own right to the repository.
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(REPOSITORY)?;
        Ok(Self {
            store,
            repo,
            grant,
            seen: Mutex::new(Seq(0)),
        })
    }

    fn read_all(&self) -> Result<(Vec<Stored>, Seq), StoreError> {
        let snapshot = self.store.snapshot()?;
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let mut after = Rid(0);
            loop {
                let rids = snapshot.type_rids(&self.grant, self.repo, kind.word(), after, PAGE)?;
                let Some(last) = rids.last() else { break };
                after = *last;
                for record in snapshot.fetch(&self.grant, &rids)? {
                    all.push(Stored {
                        kind,
                        id: record.head.id,
                        version: u64::from(record.head.vno.0),
                        body: Some(record.body.to_vec()),
                    });
                }
            }
        }
        Ok((all, snapshot.seq()))
    }

    fn read_news(&self, seen: &mut Seq) -> Result<Vec<Stored>, StoreError> {
        let mut news = Vec::new();
        loop {
            let entries = self.store.feed(*seen, PAGE)?;
            let Some(last) = entries.last().map(|entry| entry.seq) else {
                return Ok(news);
            };
            let snapshot = self.store.snapshot()?;
            for entry in entries {
                let FeedEvent::Version {
                    repo,
                    rtype,
                    rid,
                    id,
                    vno,
                    op,
                    ..
                } = entry.event
                else {
                    continue;
                };
                let Some(kind) = Kind::from_word(&rtype).filter(|_| repo == self.repo) else {
                    continue;
                };
                if matches!(op, Op::Delete | Op::Purge) {
                    news.push(Stored {
                        kind,
                        id,
                        version: u64::from(vno.0),
                        body: None,
                    });
                    continue;
                }
                // Deleted since: its deletion comes later in the feed.
                for record in snapshot.fetch(&self.grant, &[rid])? {
                    news.push(Stored {
                        kind,
                        id: record.head.id,
                        version: u64::from(record.head.vno.0),
                        body: Some(record.body.to_vec()),
                    });
                }
            }
            *seen = last;
        }
    }

    fn expect(&self, write: &Write) -> Result<Expect, ActError> {
        let (repo, rtype, id) = (self.repo, write.kind.word().to_owned(), write.id.clone());
        Ok(match write.was {
            None => Expect::Absent { repo, rtype, id },
            Some(version) => Expect::Version {
                repo,
                rtype,
                id,
                vno: Vno(u32::try_from(version).map_err(|_| ActError::Conflict)?),
            },
        })
    }

    fn put(&self, write: Write) -> Put {
        Put {
            repo: self.repo,
            rtype: write.kind.word().to_owned(),
            id: PutId::Given(write.id),
            op: if write.body.is_some() {
                Op::Update
            } else {
                Op::Delete
            },
            body: Bytes::from(write.body.unwrap_or_default()),
            keys: Vec::new(),
            pack: 0,
            persons: Vec::new(),
            privacy: Privacy::default(),
            blobs: Vec::new(),
        }
    }
}

impl RegistryStore for RegistryRecords {
    fn load(&self) -> Result<Vec<Stored>, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, at) = self.read_all().map_err(|error| error.to_string())?;
        *seen = at;
        Ok(all)
    }

    fn news(&self) -> Result<Vec<Stored>, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_news(&mut seen).map_err(|error| error.to_string())
    }

    fn commit(&self, act: Act) -> Result<Vec<u64>, ActError> {
        let mut commit = Commit {
            audit: vec![audit_entry(act.journal)],
            ..Commit::default()
        };
        // The keys first: of two clients that bring the same key the later one is to learn why it was refused.
        for (thumbprint, client_id) in act.new_keys {
            commit.expect.push(Expect::Claim(Claim {
                space: KEY_SPACE.to_owned(),
                key: thumbprint.into_bytes(),
                value: client_id.into_bytes(),
                until: None,
            }));
        }
        for write in act.writes {
            commit.expect.push(self.expect(&write)?);
            commit.put.push(self.put(write));
        }
        match self.store.commit(commit) {
            Ok(done) => Ok(done.puts.iter().map(|put| u64::from(put.vno.0)).collect()),
            Err(CommitError::Refused {
                refusal: Refusal::ClaimTaken { .. },
                ..
            }) => Err(ActError::KeyUsed),
            Err(CommitError::Refused { .. }) => Err(ActError::Conflict),
            Err(error) => Err(ActError::Unavailable(error.to_string())),
        }
    }
}

/// The line of a change. Neither keys nor national ids stand in it: who acted is named by HPR number and organisation.
fn audit_entry(journal: Journal) -> AuditEntry {
    let mut members: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    match journal.actor {
        Actor::Operator { name } => {
            set("actor.kind", json!("operator"));
            set("actor.name", json!(name));
        }
        Actor::Console => {
            set("actor.kind", json!("console"));
        }
        Actor::Organisation { orgnr, hpr } => {
            set("actor.kind", json!("party"));
            set("actor.orgnr_parent", json!(orgnr));
            set("actor.hpr", json!(hpr));
        }
        Actor::Client { client_id } => {
            set("actor.kind", json!("client"));
            set("client_id", json!(client_id));
        }
        Actor::ApiKey { system } => {
            set("actor.kind", json!("client-system"));
            set("actor.system", json!(system));
        }
    }
    set("action", json!(journal.action));
    set("item_ids", json!(journal.on));
    for (name, value) in journal.details {
        set(&format!("details.{name}"), value);
    }
    AuditEntry {
        id: uuid::Uuid::now_v7(),
        persons: Vec::new(),
        controller: CONTROLLER.to_owned(),
        occurred_at: edge::clock::real_now_us(),
        imported: false,
        citizen_visible: false,
        members,
    }
}

/// Opens the registry and puts its clients in force. Call from a blocking thread.
pub fn open(
    store: Store,
    grant: Granted,
    directory: Arc<dyn Directory>,
    helseid: &Helseid,
) -> anyhow::Result<Arc<Registry>> {
    let registry = Registry::open(RegistryParts {
        store: Arc::new(RegistryRecords::new(store, grant)?),
        directory,
        apis: helseid.config().apis.clone(),
        clock: jose::system_clock(),
    })?;
    registry.serve(helseid.clone());
    Ok(Arc::new(registry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use helseid::registry::model::{ConfigurationState, Origin, SystemTenancy, SystemUsers};
    use helseid::registry::{NewClient, NewSystem, RegistryError};
    use jose::jwk::KeyKind;
    use jose::{Alg, PrivateJwk, system_clock};
    use registers::RegisterTable;
    use registers::directory::Organisation;
    use registers::table::Row;
    use store::{Filter, Mint, RepoKind, RepositoryDecl, StoreConfig};

    const OFFICE: &str = "313325016";

    fn open(folder: &std::path::Path) -> (Store, Mint) {
        let mut declared = registers::repositories();
        declared.push(RepositoryDecl::new(REPOSITORY, RepoKind::Internal));
        let mut config = StoreConfig::sqlite(folder, declared);
        config.unsafe_no_sync = true;
        Store::open(config).unwrap()
    }

    fn registry(store: &Store, mint: &Mint) -> Registry {
        let grant = || mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let table = Arc::new(RegisterTable::open(store.clone(), grant()).unwrap());
        let office = Organisation {
            orgnr: OFFICE.to_owned(),
            name: "Legekontoret".to_owned(),
            kinds: Vec::new(),
            type_code: "1".to_owned(),
            her_id: 1,
            units: Vec::new(),
            approved: true,
            story: None,
        };
        table
            .import(vec![Row::Organisation(Box::new(office))])
            .unwrap();
        Registry::open(RegistryParts {
            store: Arc::new(RegistryRecords::new(store.clone(), grant()).unwrap()),
            directory: table,
            apis: helseid::config::national_apis(),
            clock: system_clock(),
        })
        .unwrap()
    }

    fn key() -> Value {
        let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
        Value::Object(key.public().to_members())
    }

    fn register(registry: &Registry) -> String {
        let system = NewSystem {
            name: "EPJ".to_owned(),
            supplier: OFFICE.to_owned(),
            users: SystemUsers::Personnel,
            tenancy: SystemTenancy::Single,
            user_login: false,
            machine: true,
            refresh: false,
            native: false,
            rules: None,
            scopes: None,
            redirect_uris: None,
            customers: None,
        };
        let system = registry.create_system(&Actor::Console, &system).unwrap();
        let client = NewClient {
            system,
            name: "EPJ".to_owned(),
            organisation: OFFICE.to_owned(),
            key: Some(key()),
            scopes: vec!["nhn:msh/api".to_owned()],
            ..NewClient::default()
        };
        registry.create(&Actor::Console, &client).unwrap()
    }

    #[test]
    fn registrations_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let client_id = {
            let (store, mint) = open(folder.path());
            let client_id = register(&registry(&store, &mint));
            store.close();
            client_id
        };
        let (store, mint) = open(folder.path());
        let again = registry(&store, &mint);
        let (configuration, _) = again.configuration(&client_id).unwrap();
        assert_eq!(configuration.state, ConfigurationState::Active);
        assert_eq!(configuration.keys.len(), 1);
        again.remove(&Actor::Console, &client_id).unwrap();
        store.close();
        drop((again, store, mint));
        let (store, mint) = open(folder.path());
        let gone = registry(&store, &mint).configuration(&client_id);
        assert_eq!(gone.unwrap_err(), RegistryError::NotFound);
        store.close();
    }

    #[test]
    fn changes_reach_a_second_process_by_the_feed() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mint) = open(folder.path());
        let (one, two) = (registry(&store, &mint), registry(&store, &mint));
        let client_id = register(&one);
        assert!(two.configuration(&client_id).is_err());
        two.follow().unwrap();
        assert_eq!(
            two.configuration(&client_id).unwrap(),
            one.configuration(&client_id).unwrap()
        );
        // Each changes without knowing of the other's change: versions tell, and nothing is lost.
        one.add_key(&Actor::Console, &client_id, &key(), Origin::Gui)
            .unwrap();
        two.add_key(&Actor::Console, &client_id, &key(), Origin::Gui)
            .unwrap();
        one.follow().unwrap();
        assert_eq!(one.configuration(&client_id).unwrap().0.keys.len(), 3);
        let stolen = key();
        one.add_key(&Actor::Console, &client_id, &stolen, Origin::Gui)
            .unwrap();
        let other = register(&two);
        let refused = two.add_key(&Actor::Console, &other, &stolen, Origin::Gui);
        assert_eq!(refused, Err(RegistryError::KeyUsed));
        two.remove(&Actor::Console, &client_id).unwrap();
        one.follow().unwrap();
        assert_eq!(
            one.configuration(&client_id).unwrap_err(),
            RegistryError::NotFound
        );
        store.close();
    }

    #[test]
    fn every_change_leaves_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mint) = open(folder.path());
        register(&registry(&store, &mint));
        // Some may have been sealed meanwhile.
        store.seal().unwrap();
        let lines = |stream: &String| store.journal_after(stream, 0, 100).unwrap().len();
        let streams = store.journal_streams().unwrap();
        assert_eq!(streams.iter().map(lines).sum::<usize>(), 2);
        let line = audit_entry(Journal {
            action: "client.key.add",
            actor: Actor::Organisation {
                orgnr: OFFICE.to_owned(),
                hpr: Some("565505933".to_owned()),
            },
            on: vec!["epj".to_owned()],
            details: [("scope", json!("nhn:msh/api"))].into(),
        });
        assert_eq!(line.members["actor.orgnr_parent"], OFFICE);
        assert_eq!(line.members["action"], "client.key.add");
        assert_eq!(line.members["details.scope"], "nhn:msh/api");
        assert!(line.persons.is_empty() && !line.citizen_visible);
        store.close();
    }
}
