//! A batch: what the writer puts into one transaction. A commit is first *planned* (expectations and all it implies are
//! checked against the open transaction, which holds the accepted part of the batch already), then *applied*; a refused
//! one leaves nothing but its audit entries, so no savepoints are needed.

use super::Inner;
use super::claims::{self, Held};
use super::codec::{self, RawHead};
use super::db::unavailable;
use super::inbox::{Prepared, UNKNOWN_PERSON, invalid};
use super::lens::{Lens, NEWEST, Placed};
use super::memtable::{Row, RowKey, Superseded};
use super::shared::{Aliases, Load, Loads, Names};
use super::walk::{Span, walk};
use crate::{
    Alias, CommitError, Expect, Filter, Head, IndexKey, Op, PersonKey, PersonRef, Put, PutId,
    Refusal, RepoId, Rid, Seq, StoreError, Vno,
};
use rusqlite::{Connection, OptionalExtension};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

/// Next free numbers, kept with every batch. None is ever used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub seq: u64,
    pub rid: u64,
    pub person: u64,
    pub message: u64,
    pub audit: u64,
    pub mirror: u64,
    pub load: u64,
    /// The last commit time given.
    pub last_at: i64,
    /// Commit time of the last place given.
    pub seq_at: i64,
}

impl Default for Next {
    fn default() -> Self {
        Self {
            seq: 1,
            rid: 1,
            person: 1,
            message: 1,
            audit: 1,
            mirror: 1,
            load: 1,
            last_at: 0,
            seq_at: 0,
        }
    }
}

impl Next {
    pub(super) fn pack(&self) -> Vec<u8> {
        codec::pack_numbers(&[
            self.seq,
            self.rid,
            self.person,
            self.message,
            self.audit,
            self.mirror,
            self.load,
            self.last_at.max(0) as u64,
            self.seq_at.max(0) as u64,
        ])
    }

    pub(super) fn unpack(bytes: &[u8]) -> Result<Self, StoreError> {
        match *codec::unpack_numbers(bytes)?.as_slice() {
            [seq, rid, person, message, audit, mirror, load, at, seq_at] => Ok(Self {
                seq,
                rid,
                person,
                message,
                audit,
                mirror,
                load,
                last_at: at as i64,
                seq_at: seq_at as i64,
            }),
            _ => Err(codec::damaged("counters")),
        }
    }
}

/// Keys of persons that the writer has seen lately, by system and value.
#[derive(Default)]
pub(super) struct PersonCache {
    by_system: HashMap<String, HashMap<String, u64>>,
    entries: usize,
}

/// More than any one commit can name.
const MAX_CACHED_PERSONS: usize = 400_000;

impl PersonCache {
    fn get(&self, system: &str, value: &str) -> Option<u64> {
        self.by_system.get(system)?.get(value).copied()
    }

    pub(super) fn put(&mut self, system: &str, value: &str, key: u64) {
        if self.entries >= MAX_CACHED_PERSONS {
            *self = Self::default();
        }
        let new = match self.by_system.get_mut(system) {
            Some(values) => values.insert(value.to_owned(), key),
            None => self
                .by_system
                .entry(system.to_owned())
                .or_default()
                .insert(value.to_owned(), key),
        };
        self.entries += usize::from(new.is_none());
    }
}

/// The running batch.
pub(super) struct Batch<'a> {
    pub inner: &'a Inner,
    /// In the open transaction.
    pub log: &'a Connection,
    /// Reads `index.db`.
    pub index: &'a Connection,
    pub persons: &'a mut PersonCache,
    pub next: Next,
    /// Time of the commit that is being worked on.
    pub at: i64,
    pub rows: Vec<Row>,
    pub superseded: Vec<Superseded>,
    /// Repositories that are not read by index at an earlier place.
    pub internal: Vec<u16>,
    /// Rows of this batch by key, kept only when something in the batch asks by key.
    pub overlay: Option<HashMap<RowKey, Vec<(u64, u64)>>>,
    pub loads: &'a Loads,
    pub types: Arc<Names>,
    pub queue_names: Arc<Names>,
    pub aliases: Arc<Aliases>,
    /// Queues in which something became visible.
    pub wake: BTreeSet<u32>,
    /// Queues in which something came to stand before what came earlier.
    pub lowered: BTreeSet<u32>,
    /// Leases pinned by accepted commits: (message, settled).
    pub pins: Vec<(u64, bool)>,
    /// Messages that came, to be written before the batch is flushed.
    pub fresh: super::bodies::Fresh,
    /// Messages that went, and where they stood.
    pub freed: Vec<(u64, Option<super::bodies::Place>)>,
    /// Start a new generation after this batch.
    pub rotate: bool,
    /// Entries for the second place, stored in this transaction; how many.
    pub mirror: usize,
    /// A purge was accepted.
    pub purged: bool,
    /// Loads begun, finished or taken away in this batch.
    pub load_changes: Vec<(u64, Option<Load>)>,
}

/// A put with its numbers.
pub(super) struct PlannedPut {
    pub rid: u64,
    pub prev_seq: u64,
    pub new_record: bool,
    pub head: RawHead,
}

/// What an accepted commit will write.
#[derive(Default)]
pub(super) struct Plan {
    pub puts: Vec<PlannedPut>,
    /// Identifiers to be given keys: (system, value, key).
    pub persons: Vec<(String, String, u64)>,
    pub claims: Vec<(Vec<u8>, Option<Held>)>,
    pub pins: Vec<(u64, bool)>,
    /// Records to purge: (repo, type, id, newest place, record, next version).
    pub purges: Vec<PlannedPurge>,
    pub raise: BTreeSet<u64>,
    pub raise_explicitly: BTreeSet<u64>,
    pub aliases: Vec<PlannedAlias>,
    /// State of records that this commit has touched: newest version, or `None` = purged.
    touched: HashMap<(u16, String, String), Option<(u64, Placed)>>,
    known: PersonCache,
    next_person: u64,
    new_records: u64,
}

pub(super) struct PlannedPurge {
    pub repo: u16,
    pub rtype: u32,
    pub id: String,
    pub rid: u64,
    pub last_seq: u64,
    pub vno: u32,
}

pub(super) enum PlannedAlias {
    Merge {
        from: u64,
        to: u64,
    },
    Split {
        from: u64,
    },
    Known {
        system: String,
        value: String,
        key: u64,
    },
}

/// Why a commit is not accepted.
pub(super) enum Stop {
    Refused(usize, Refusal),
    Invalid(String),
    /// The engine failed: the whole batch falls.
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(e: StoreError) -> Self {
        Self::Failed(e)
    }
}

impl From<CommitError> for Stop {
    fn from(e: CommitError) -> Self {
        match e {
            CommitError::Refused { index, refusal } => Self::Refused(index, refusal),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl<'a> Batch<'a> {
    pub(super) fn lens(&self) -> Lens<'a> {
        Lens {
            log: self.log,
            loads: self.loads,
            seq: NEWEST,
        }
    }

    pub(super) fn execute(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        self.log
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params))
            .map(drop)
            .map_err(unavailable)
    }

    /// Gives the next commit time.
    pub(super) fn tick(&mut self) {
        self.at = super::shared::now_micros().max(self.next.last_at + 1);
        self.next.last_at = self.at;
    }

    /// Checks everything that could stop the commit, in order, and chooses its numbers.
    pub(super) fn plan(&mut self, prepared: &Prepared) -> Result<Plan, Stop> {
        let commit = &prepared.commit;
        let mut plan = Plan {
            next_person: self.next.person,
            ..Plan::default()
        };
        let checked = self.plan_into(&mut plan, prepared);
        if checked.is_err() {
            self.inner.queues.unpin(&plan.pins);
        }
        checked?;
        debug_assert_eq!(plan.puts.len(), commit.put.len());
        Ok(plan)
    }

    fn plan_into(&mut self, plan: &mut Plan, prepared: &Prepared) -> Result<(), Stop> {
        let commit = &prepared.commit;
        for (index, expect) in commit.expect.iter().enumerate() {
            self.check(plan, expect)?
                .map_or(Ok(()), |refusal| Err(Stop::Refused(index, refusal)))?;
        }
        for (i, put) in commit.put.iter().enumerate() {
            if self.load_running(put.repo.0) {
                return Err(invalid("a bulk load of this repository is running").into());
            }
            let index = commit.expect.len() + i;
            self.plan_put(plan, put, index, i as u64)?;
        }
        self.check_blobs(commit)?;
        for (i, settle) in commit.settle.iter().enumerate() {
            let index = commit.expect.len() + commit.put.len() + i;
            if !self
                .inner
                .queues
                .pin(settle.id.0, settle.token, self.at, true)
            {
                return Err(Stop::Refused(index, Refusal::LeaseLost));
            }
            plan.pins.push((settle.id.0, true));
        }
        for purge in &commit.purge {
            self.plan_purge(plan, purge)?;
        }
        for person in &commit.raise {
            let key = self.person(plan, person)?;
            plan.raise_explicitly.insert(key);
        }
        for alias in &commit.alias {
            self.plan_alias(plan, alias)?;
        }
        Ok(())
    }

    fn check(&self, plan: &mut Plan, expect: &Expect) -> Result<Option<Refusal>, Stop> {
        Ok(match expect {
            Expect::Version {
                repo,
                rtype,
                id,
                vno,
            } => {
                let newest = self.newest_live(plan, repo.0, rtype, id)?;
                (newest != Some(*vno)).then_some(Refusal::Version { newest })
            }
            Expect::Absent { repo, rtype, id } => self
                .newest_live(plan, repo.0, rtype, id)?
                .map(|_| Refusal::Exists),
            Expect::NoMatch {
                repo,
                keys,
                author_org,
                filter,
            } => {
                let ids = self.matching(*repo, keys, author_org.as_deref(), filter)?;
                (!ids.is_empty()).then_some(Refusal::Match { ids })
            }
            Expect::Claim(claim) => {
                let k = codec::claim_key(&claim.space, &claim.key);
                match self.claim(plan, &k)? {
                    Some(held) => Some(Refusal::ClaimTaken { value: held.value }),
                    None => {
                        let held = Held {
                            value: claim.value.clone(),
                            until: claim.until,
                        };
                        plan.claims.push((k, Some(held)));
                        None
                    }
                }
            }
            Expect::ClaimHeld {
                space,
                key,
                value,
                release,
            } => {
                let k = codec::claim_key(space, key);
                let held = self.claim(plan, &k)?;
                if held.is_some_and(|h| value.as_ref().is_none_or(|v| *v == h.value)) {
                    if *release {
                        plan.claims.push((k, None));
                    }
                    None
                } else {
                    Some(Refusal::ClaimMissing)
                }
            }
            Expect::Lease { message, token } => {
                if self.inner.queues.pin(message.0, *token, self.at, false) {
                    plan.pins.push((message.0, false));
                    None
                } else {
                    Some(Refusal::LeaseLost)
                }
            }
            Expect::Position { consumer, at } => {
                let stands = position(self.log, consumer)?;
                (stands != *at).then_some(Refusal::Position { at: stands })
            }
        })
    }

    /// The claim as this commit sees it, if held now.
    fn claim(&self, plan: &Plan, k: &[u8]) -> Result<Option<Held>, StoreError> {
        let held = match plan.claims.iter().rev().find(|(other, _)| other == k) {
            Some((_, held)) => held.clone(),
            None => claims::read(self.log, k)?,
        };
        Ok(held.filter(|h| h.until.is_none_or(|t| t > self.at)))
    }

    /// What is found is kept for the put that mostly follows.
    fn newest_live(
        &self,
        plan: &mut Plan,
        repo: u16,
        rtype: &str,
        id: &str,
    ) -> Result<Option<Vno>, StoreError> {
        let found = match plan.touched.entry((repo, rtype.to_owned(), id.to_owned())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.stored(repo, rtype, id)?),
        };
        let live = found.as_ref().filter(|(_, placed)| placed.head.live());
        Ok(live.map(|(_, placed)| Vno(placed.head.vno)))
    }

    /// Newest version of a record before this commit.
    fn stored(
        &self,
        repo: u16,
        rtype: &str,
        id: &str,
    ) -> Result<Option<(u64, Placed)>, StoreError> {
        let Some(number) = self.types.number(rtype) else {
            return Ok(None);
        };
        self.lens().named_head(repo, number, id)
    }

    /// Ids of at most two live records that carry all keys and are visible under the filter.
    fn matching(
        &self,
        repo: RepoId,
        keys: &[IndexKey],
        author_org: Option<&str>,
        filter: &Filter,
    ) -> Result<Vec<String>, StoreError> {
        let pinned = self.inner.published.get();
        let wanted: Vec<Vec<u8>> = keys
            .iter()
            .map(|k| codec::index_key(repo.0, k.param, &k.value))
            .collect();
        // The key with the fewest rows leads.
        let mut leading: Option<(usize, &Vec<u8>)> = None;
        for k in &wanted {
            let most = leading.map_or(1_000, |(n, _)| n);
            let mut n = 0;
            if wanted.len() > 1 {
                walk(
                    &pinned.generations,
                    self.index,
                    &Span::exact(k),
                    |_, _, _| {
                        n += 1;
                        Ok(if n >= most { Break(()) } else { Continue(()) })
                    },
                )?;
            }
            if leading.is_none() || n < most {
                leading = Some((n, k));
            }
        }
        let Some((_, leading)) = leading else {
            return Ok(Vec::new());
        };
        let mut ids = Vec::new();
        let mut consider = |rid: u64, stored: u64| -> Result<bool, StoreError> {
            let Some(seq) = self.loads.place(stored) else {
                return Ok(false);
            };
            let Some(placed) = self.lens().head_if(rid, |newest| newest == seq)? else {
                return Ok(false);
            };
            let head = self.head(rid, placed)?;
            if author_org.is_some_and(|org| head.privacy.author_org.as_deref() != Some(org))
                || !filter.admits(&head)
            {
                return Ok(false);
            }
            if keys.len() > 1 {
                let carried = self.lens().keys(rid, seq)?;
                if !keys.iter().all(|k| carried.binary_search(k).is_ok()) {
                    return Ok(false);
                }
            }
            if !ids.contains(&head.id) {
                ids.push(head.id);
            }
            Ok(ids.len() >= 2)
        };
        walk(
            &pinned.generations,
            self.index,
            &Span::exact(leading),
            |_, rid, seq| {
                Ok(if consider(rid, seq)? {
                    Break(())
                } else {
                    Continue(())
                })
            },
        )?;
        let here = self
            .overlay
            .as_ref()
            .and_then(|rows| rows.get(&RowKey::new(leading)));
        for (rid, seq) in here.into_iter().flatten() {
            if consider(*rid, *seq)? {
                break;
            }
        }
        ids.truncate(2);
        Ok(ids)
    }

    /// A head as filters see it.
    fn head(&self, rid: u64, placed: Placed) -> Result<Head, StoreError> {
        let raw = placed.head;
        let end = |k: u64| PersonKey(self.aliases.end(k));
        Ok(Head {
            rid: Rid(rid),
            repo: RepoId(raw.repo),
            rtype: self
                .types
                .name(raw.rtype)
                .ok_or_else(|| codec::damaged("type number"))?
                .to_string(),
            id: raw.id,
            vno: Vno(raw.vno),
            seq: Seq(placed.seq),
            at: raw.at,
            op: codec::op_of(raw.op)?,
            persons: raw.persons.into_iter().map(end).collect(),
            author_person: raw.author_person.map(end),
            owner: raw.owner.map(end),
            privacy: raw.privacy,
        })
    }

    fn plan_put(
        &mut self,
        plan: &mut Plan,
        put: &Put,
        index: usize,
        offset: u64,
    ) -> Result<(), Stop> {
        let (id, before) = match &put.id {
            PutId::New => (uuid::Uuid::now_v7().to_string(), None),
            PutId::Given(id) => {
                let touched = (put.repo.0, put.rtype.clone(), id.clone());
                let before = match plan.touched.get(&touched) {
                    Some(state) => state.clone(),
                    None => self.stored(put.repo.0, &put.rtype, id)?,
                };
                (id.clone(), before)
            }
        };
        let live = before.as_ref().is_some_and(|(_, p)| p.head.live());
        let op = match (put.op, live) {
            (Op::Create, true) => return Err(Stop::Refused(index, Refusal::Exists)),
            (Op::Create | Op::Update, false) => codec::op::CREATE,
            (Op::Update, true) => codec::op::UPDATE,
            (Op::Delete, true) => codec::op::DELETE,
            (Op::Delete | Op::Purge, _) => {
                return Err(Stop::Refused(index, Refusal::Version { newest: None }));
            }
        };
        let mut persons = Vec::with_capacity(put.persons.len());
        for person in &put.persons {
            let key = self.person(plan, person)?;
            if !persons.contains(&key) {
                persons.push(key);
            }
        }
        let mut optional = |person: &Option<PersonRef>| -> Result<Option<u64>, Stop> {
            person.as_ref().map(|p| self.person(plan, p)).transpose()
        };
        let author_person = optional(&put.privacy.author_person)?;
        let owner = optional(&put.privacy.owner)?;
        let rtype = self.type_number(&put.rtype)?;
        let (rid, prev_seq, vno, new_record) = match &before {
            Some((rid, placed)) => (*rid, placed.seq, placed.head.vno + 1, false),
            None => (self.next.rid + plan.new_records, 0, 1, true),
        };
        let head = RawHead {
            repo: put.repo.0,
            rtype,
            op,
            vno,
            at: self.at,
            id: id.clone(),
            persons,
            author_person,
            owner,
            privacy: crate::Privacy {
                author_person: None,
                owner: None,
                ..put.privacy.clone()
            },
        };
        if let Some((_, placed)) = &before
            && op == codec::op::UPDATE
            && stricter(&placed.head, &head)
        {
            plan.raise.extend(&placed.head.persons);
            plan.raise.extend(&head.persons);
        }
        if matches!(put.id, PutId::Given(_)) {
            let placed = Placed {
                seq: self.next.seq + offset,
                head: head.clone(),
            };
            plan.touched
                .insert((put.repo.0, put.rtype.clone(), id), Some((rid, placed)));
        }
        plan.new_records += u64::from(new_record);
        plan.puts.push(PlannedPut {
            rid,
            prev_seq,
            new_record,
            head,
        });
        Ok(())
    }

    fn check_blobs(&self, commit: &crate::Commit) -> Result<(), Stop> {
        for hash in commit.put.iter().flat_map(|p| &p.blobs) {
            let here = commit.blob.iter().any(|b| b.hash == *hash);
            if !here && super::blobs::find(self.log, hash)?.is_none() {
                return Err(invalid("a blob is neither in the commit, staged nor stored").into());
            }
        }
        Ok(())
    }

    fn plan_purge(&mut self, plan: &mut Plan, purge: &crate::Purge) -> Result<(), Stop> {
        let touched = (purge.repo.0, purge.rtype.clone(), purge.id.clone());
        let before = match plan.touched.get(&touched) {
            Some(state) => state.clone(),
            None => self.stored(purge.repo.0, &purge.rtype, &purge.id)?,
        };
        // Nothing to erase (any more): done already.
        let Some((rid, placed)) = before else {
            return Ok(());
        };
        plan.purges.push(PlannedPurge {
            repo: purge.repo.0,
            rtype: placed.head.rtype,
            id: purge.id.clone(),
            rid,
            last_seq: placed.seq,
            vno: placed.head.vno + 1,
        });
        plan.touched.insert(touched, None);
        Ok(())
    }

    fn plan_alias(&mut self, plan: &mut Plan, alias: &Alias) -> Result<(), Stop> {
        match alias {
            Alias::Merge { from, to } => {
                let (from, to) = (self.person(plan, from)?, self.person(plan, to)?);
                plan.raise_explicitly.extend([from, to]);
                plan.aliases.push(PlannedAlias::Merge { from, to });
            }
            Alias::Split { from } => {
                let from = self.person(plan, from)?;
                plan.raise_explicitly.extend([from, self.aliases.end(from)]);
                plan.aliases.push(PlannedAlias::Split { from });
            }
            Alias::AlsoKnownAs {
                person,
                system,
                value,
            } => {
                let key = self.person(plan, person)?;
                match self.known(plan, system, value)? {
                    // The identifier was seen before under a key of its own: both lead to the named person.
                    Some(other) if self.aliases.end(other) != self.aliases.end(key) => {
                        plan.raise_explicitly.extend([other, key]);
                        plan.aliases.push(PlannedAlias::Merge {
                            from: other,
                            to: key,
                        });
                    }
                    Some(_) => {}
                    None => {
                        plan.known.put(system, value, key);
                        plan.aliases.push(PlannedAlias::Known {
                            system: system.clone(),
                            value: value.clone(),
                            key,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Number of a type, made when new. Types stay even when the commit is refused: they are names only.
    pub(super) fn type_number(&mut self, name: &str) -> Result<u32, StoreError> {
        if let Some(n) = self.types.number(name) {
            return Ok(n);
        }
        let n = self.types.next();
        self.execute(
            "INSERT INTO rtype(id, name) VALUES(?1, ?2)",
            rusqlite::params![n, name],
        )?;
        Arc::make_mut(&mut self.types).insert(n, name);
        Ok(n)
    }

    /// Key of a person, chosen (and later made) when unknown.
    fn person(&self, plan: &mut Plan, person: &PersonRef) -> Result<u64, Stop> {
        match person {
            PersonRef::Key(key) if key.0 > 0 && key.0 < self.next.person => Ok(key.0),
            PersonRef::Key(_) => Err(invalid(UNKNOWN_PERSON).into()),
            PersonRef::Id { system, value } => match self.known(plan, system, value)? {
                Some(key) => Ok(key),
                None => {
                    let key = plan.next_person;
                    plan.next_person += 1;
                    plan.known.put(system, value, key);
                    plan.persons.push((system.clone(), value.clone(), key));
                    Ok(key)
                }
            },
        }
    }

    fn known(&self, plan: &Plan, system: &str, value: &str) -> Result<Option<u64>, StoreError> {
        if let Some(key) = self.persons.get(system, value) {
            return Ok(Some(key));
        }
        match plan.known.get(system, value) {
            Some(key) => Ok(Some(key)),
            None => person_key(self.log, system, value),
        }
    }

    /// Gives a key to a person outside a commit (the sealer).
    pub(super) fn intern(&mut self, system: &str, value: &str) -> Result<u64, StoreError> {
        if let Some(key) = self.known(&Plan::default(), system, value)? {
            return Ok(key);
        }
        let key = self.next.person;
        self.next.person += 1;
        self.write_person(system, value, key)?;
        Ok(key)
    }

    pub(super) fn write_person(
        &mut self,
        system: &str,
        value: &str,
        key: u64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO person(system, value, key) VALUES(?1, ?2, ?3)",
            rusqlite::params![system, value, key],
        )?;
        self.persons.put(system, value, key);
        Ok(())
    }
}

/// Own key of an identifier; follows no alias.
pub(super) fn person_key(
    log: &Connection,
    system: &str,
    value: &str,
) -> Result<Option<u64>, StoreError> {
    log.prepare_cached("SELECT key FROM person WHERE system = ?1 AND value = ?2")
        .and_then(|mut s| s.query_row([system, value], |r| r.get(0)).optional())
        .map_err(unavailable)
}

/// Where a consumer stands.
pub(super) fn position(log: &Connection, consumer: &str) -> Result<Seq, StoreError> {
    log.prepare_cached("SELECT seq FROM position WHERE consumer = ?1")
        .and_then(|mut s| s.query_row([consumer], |r| r.get(0)).optional())
        .map(|seq| Seq(seq.unwrap_or(0)))
        .map_err(unavailable)
}

/// Whether a record became harder to see for somebody (DESIGN §3.1): its persons' epochs rise then.
fn stricter(old: &RawHead, new: &RawHead) -> bool {
    let (a, b) = (&old.privacy, &new.privacy);
    let sorted = |persons: &[u64]| persons.iter().copied().collect::<BTreeSet<_>>();
    b.labels & !a.labels != 0
        || b.conf > a.conf
        || b.disclose_at.unwrap_or(i64::MIN) > a.disclose_at.unwrap_or(i64::MIN)
        || a.class != b.class
        || sorted(&old.persons) != sorted(&new.persons)
}
