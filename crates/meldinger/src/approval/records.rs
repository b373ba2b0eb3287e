//! Systems and runs in the store: one record each, found through index keys of our own.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{
    Commit, CommitError, Direction as Order, Expect, Granted, IndexKey, KeyRange, Op, Privacy, Put,
    PutId, RepoId, Store, StoreError, Vno,
};

use super::ApprovalError;
use super::model::{Run, System};
use super::standard::Direction;
use crate::exchange::ATTEMPTS;
use crate::tracks::time_key;

const SYSTEM: &str = "ApprovalSystem";
const RUN: &str = "ApprovalRun";
const PACK: u32 = 1;
/// Longest list that is read.
pub(super) const MAX_LIST: usize = 500;

/// Index parameters of this repository. Stable: they stand in stored keys.
mod param {
    /// Time, of systems.
    pub const SYSTEMS: u32 = 1;
    /// Level-1 HER-id, then time, of systems.
    pub const SYSTEMS_OF: u32 = 2;
    /// Time, of runs.
    pub const RUNS: u32 = 3;
    /// Level-1 HER-id, then time, of runs.
    pub const RUNS_OF: u32 = 4;
    /// HER-id of level 2 and direction, of open runs.
    pub const OPEN: u32 = 5;
    /// Time of approval.
    pub const APPROVED: u32 = 6;
}

/// Reads and writes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Records {
    store: Store,
    grant: Granted,
    repo: RepoId,
}

/// A record with the version it had.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub value: T,
    pub vno: Vno,
}

/// What both kinds of record have.
trait Kept: Serialize + DeserializeOwned {
    const RTYPE: &'static str;
    fn id(&self) -> &str;
    fn set_id(&mut self, id: &str);
    fn keys(&self) -> Vec<IndexKey>;
}

fn key(param: u32, parts: &[&[u8]]) -> IndexKey {
    IndexKey {
        param,
        value: parts.concat(),
    }
}

fn open_key(her_id: u32, direction: Direction) -> [u8; 5] {
    let [a, b, c, d] = her_id.to_be_bytes();
    [a, b, c, d, u8::from(direction == Direction::Send)]
}

impl Kept for System {
    const RTYPE: &'static str = SYSTEM;
    fn id(&self) -> &str {
        &self.id
    }
    fn set_id(&mut self, id: &str) {
        id.clone_into(&mut self.id);
    }
    fn keys(&self) -> Vec<IndexKey> {
        let at = time_key(self.registered_at_us);
        vec![
            key(param::SYSTEMS, &[&at]),
            key(param::SYSTEMS_OF, &[&self.organisation.to_be_bytes(), &at]),
        ]
    }
}

impl Kept for Run {
    const RTYPE: &'static str = RUN;
    fn id(&self) -> &str {
        &self.id
    }
    fn set_id(&mut self, id: &str) {
        id.clone_into(&mut self.id);
    }
    fn keys(&self) -> Vec<IndexKey> {
        let at = time_key(self.started_at_us);
        let mut keys = vec![
            key(param::RUNS, &[&at]),
            key(
                param::RUNS_OF,
                &[&self.system.organisation.to_be_bytes(), &at],
            ),
        ];
        match self.finished_at_us {
            Some(finished) => keys.push(key(param::APPROVED, &[&time_key(finished)])),
            None => keys.push(key(
                param::OPEN,
                &[&open_key(self.system.her_id, self.direction)],
            )),
        }
        keys
    }
}

impl Records {
    pub fn new(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let repo = store.repo(super::REPOSITORY)?;
        Ok(Self { store, grant, repo })
    }

    pub fn system(&self, id: &str) -> Result<Option<System>, StoreError> {
        Ok(self.get::<System>(id)?.map(|stored| stored.value))
    }

    pub fn run(&self, id: &str) -> Result<Option<Stored<Run>>, StoreError> {
        self.get(id)
    }

    fn get<T: Kept>(&self, id: &str) -> Result<Option<Stored<T>>, StoreError> {
        let record = self
            .store
            .snapshot()?
            .read(&self.grant, self.repo, T::RTYPE, id)?;
        Ok(record.as_ref().and_then(decode))
    }

    /// Systems, newest first: of one organisation, or of all.
    pub fn systems(&self, organisation: Option<u32>) -> Result<Vec<System>, StoreError> {
        self.list(organisation, param::SYSTEMS, param::SYSTEMS_OF)
    }

    /// Runs, newest first: of one organisation, or of all.
    pub fn runs(&self, organisation: Option<u32>) -> Result<Vec<Run>, StoreError> {
        self.list(organisation, param::RUNS, param::RUNS_OF)
    }

    /// Approved runs, newest first.
    pub fn approved(&self) -> Result<Vec<Run>, StoreError> {
        self.list(None, param::APPROVED, param::APPROVED)
    }

    fn list<T: Kept>(
        &self,
        organisation: Option<u32>,
        all: u32,
        of: u32,
    ) -> Result<Vec<T>, StoreError> {
        let range = match organisation {
            None => KeyRange::prefix(all, &[]),
            Some(organisation) => KeyRange::prefix(of, &organisation.to_be_bytes()),
        };
        Ok(self.scan(&range)?.into_iter().map(|s| s.value).collect())
    }

    /// Open runs of a HER-id in a direction, newest first.
    pub fn open_runs(
        &self,
        her_id: u32,
        direction: Direction,
    ) -> Result<Vec<Stored<Run>>, StoreError> {
        let exact = key(param::OPEN, &[&open_key(her_id, direction)]);
        self.scan(&KeyRange::exact(&exact))
    }

    fn scan<T: Kept>(&self, range: &KeyRange) -> Result<Vec<Stored<T>>, StoreError> {
        let snapshot = self.store.snapshot()?;
        let rows = snapshot.scan(
            &self.grant,
            self.repo,
            range,
            Order::Descending,
            None,
            MAX_LIST,
        )?;
        let rids: Vec<_> = rows.into_iter().map(|row| row.rid).collect();
        let records = snapshot.fetch(&self.grant, &rids)?;
        Ok(records.iter().filter_map(decode).collect())
    }

    /// A new record.
    pub fn create_system(&self, system: &System) -> Result<(), ApprovalError> {
        self.create(system)
    }

    pub fn create_run(&self, run: &Run) -> Result<(), ApprovalError> {
        self.create(run)
    }

    fn create<T: Kept>(&self, value: &T) -> Result<(), ApprovalError> {
        let commit = Commit {
            expect: vec![Expect::Absent {
                repo: self.repo,
                rtype: T::RTYPE.to_owned(),
                id: value.id().to_owned(),
            }],
            put: vec![self.put(value, Op::Create)],
            ..Commit::default()
        };
        self.store.commit(commit)?;
        Ok(())
    }

    /// The change of a run as a commit that holds only if nobody else changed it meanwhile.
    pub fn change_run(&self, stored: &Stored<Run>) -> Commit {
        Commit {
            expect: vec![Expect::Version {
                repo: self.repo,
                rtype: RUN.to_owned(),
                id: stored.value.id.clone(),
                vno: stored.vno,
            }],
            put: vec![self.put(&stored.value, Op::Update)],
            ..Commit::default()
        }
    }

    /// Reads, changes and writes a run; decided anew when somebody else was first. `change` answers whether there is something to write.
    pub fn update_run<T>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Run) -> Result<T, ApprovalError>,
    ) -> Result<T, ApprovalError> {
        for _ in 0..2 * ATTEMPTS {
            let mut stored = self.run(id)?.ok_or(ApprovalError::NotFound)?;
            let answer = change(&mut stored.value)?;
            match self.store.commit(self.change_run(&stored)) {
                Ok(_) => return Ok(answer),
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApprovalError::Conflict)
    }

    fn put<T: Kept>(&self, value: &T, op: Op) -> Put {
        Put {
            repo: self.repo,
            rtype: T::RTYPE.to_owned(),
            id: PutId::Given(value.id().to_owned()),
            op,
            body: Bytes::from(serde_json::to_vec(value).unwrap_or_default()),
            keys: value.keys(),
            pack: PACK,
            persons: Vec::new(),
            privacy: Privacy {
                controller: "MELDINGER".to_owned(),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        }
    }
}

fn decode<T: Kept>(record: &store::Record) -> Option<Stored<T>> {
    if record.head.op == Op::Delete {
        return None;
    }
    let mut value: T = serde_json::from_slice(&record.body).ok()?;
    value.set_id(&record.head.id);
    Some(Stored {
        value,
        vno: record.head.vno,
    })
}
