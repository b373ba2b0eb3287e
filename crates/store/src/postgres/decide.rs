//! Decides one commit against a [`World`]: pure, all or nothing. Accepted commits change the world, so that the next one
//! of the batch sees them; refused ones leave nothing but their audit entries.

use super::aliases::Aliases;
use super::load::matches;
use super::pack::{self, Meta};
use super::rows::stricter;
use super::world::{
    ClaimState, Clock, EVENT_EPOCH, IdxRow, MessageRow, Packed, Plan, RecordName, RecordState,
    VersionRow, World, compartment_key, key, place,
};
use crate::journal::Appended;
use crate::{
    Alias, BlobHash, Commit, CommitError, Committed, Expect, Filter, IndexKey, MicrosUtc, Op,
    PersonKey, PersonRef, Privacy, Put, PutId, PutReceipt, QueueMessageId, Refusal, RepoId, Rid,
    Seq, Settle, Settlement, Vno,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What one commit would change, until it is accepted.
struct Draft<'w> {
    world: &'w World,
    clock: Clock,
    records: HashMap<RecordName, RecordState>,
    claims: HashMap<(String, Vec<u8>), Option<ClaimState>>,
    gone: HashSet<u64>,
    positions: HashMap<String, u64>,
    idents: HashMap<(String, String), PersonKey>,
    blobs: HashSet<BlobHash>,
    aliases: Option<Aliases>,
    raised: BTreeSet<PersonKey>,
    plan: Plan,
}

/// Why a commit is not accepted.
enum Stop {
    Refused(usize, Refusal),
    Invalid(String),
}

type Checked<T> = Result<T, Stop>;

fn invalid<T>(what: impl Into<String>) -> Checked<T> {
    Err(Stop::Invalid(what.into()))
}

/// Decides commit number `number` of the batch; `Committed::snapshot` is the last place of this commit for now.
pub(super) fn decide(
    world: &mut World,
    plan: &mut Plan,
    number: usize,
    commit: &Commit,
    packed: &[Packed],
) -> Result<Committed, CommitError> {
    let at = world.clock.now.max(world.clock.at + 1);
    let mut draft = Draft::new(world, at);
    let result = draft.run(number, commit, packed);
    let Draft {
        clock,
        records,
        claims,
        gone,
        positions,
        idents,
        blobs,
        aliases,
        plan: own,
        ..
    } = draft;
    match result {
        Ok((puts, messages)) => {
            world.clock = clock;
            for (name, state) in records {
                world.written.insert(state.rid, name.clone());
                world.records.insert(name, Some(state));
            }
            world.changed_claims.extend(claims.keys().cloned());
            world.claims.extend(claims);
            world.messages.retain(|id, _| !gone.contains(id));
            world.moved.extend(positions.keys().cloned());
            world.positions.extend(positions);
            world.idents.extend(idents);
            world.blobs.extend(blobs);
            if let Some(aliases) = aliases {
                Arc::make_mut(&mut world.names).aliases = Arc::new(aliases);
                world.renamed = true;
            }
            plan.append(own);
            note(plan, commit, at);
            Ok(Committed {
                snapshot: Seq(world.clock.seq),
                at,
                puts,
                messages,
            })
        }
        Err(Stop::Refused(index, refusal)) => {
            world.clock.at = at;
            note(plan, commit, at);
            Err(CommitError::Refused { index, refusal })
        }
        Err(Stop::Invalid(what)) => Err(CommitError::Invalid(what)),
    }
}

/// Keeps the audit entries of an accepted or refused commit.
fn note(plan: &mut Plan, commit: &Commit, at: MicrosUtc) {
    for entry in &commit.audit {
        let appended = Appended {
            entry: entry.clone(),
            recorded_at: at,
        };
        // its members are JSON values and its keys text: this cannot fail
        if let Ok(data) = serde_json::to_vec(&appended) {
            plan.audit.push((entry.id, at, data));
        }
    }
}

impl Plan {
    fn append(&mut self, mut other: Plan) {
        self.versions.append(&mut other.versions);
        self.idx.append(&mut other.idx);
        self.events.append(&mut other.events);
        self.epochs.append(&mut other.epochs);
        self.idents.append(&mut other.idents);
        self.aliases.append(&mut other.aliases);
        self.blobs.append(&mut other.blobs);
        self.purges.append(&mut other.purges);
        self.messages.append(&mut other.messages);
        self.done.append(&mut other.done);
        self.released.append(&mut other.released);
        self.dead.append(&mut other.dead);
        self.audit.append(&mut other.audit);
        self.mirror.append(&mut other.mirror);
    }
}

impl<'w> Draft<'w> {
    fn new(world: &'w World, at: MicrosUtc) -> Self {
        Self {
            world,
            clock: Clock {
                at,
                ..world.clock.clone()
            },
            records: HashMap::new(),
            claims: HashMap::new(),
            gone: HashSet::new(),
            positions: HashMap::new(),
            idents: HashMap::new(),
            blobs: HashSet::new(),
            aliases: None,
            raised: BTreeSet::new(),
            plan: Plan::default(),
        }
    }

    fn run(
        &mut self,
        number: usize,
        commit: &Commit,
        packed: &[Packed],
    ) -> Checked<(Vec<PutReceipt>, Vec<QueueMessageId>)> {
        for (index, expect) in commit.expect.iter().enumerate() {
            if let Some(refusal) = self.expect(number, index, expect) {
                return Err(Stop::Refused(index, refusal));
            }
        }
        let implied = commit.expect.len();
        for blob in &commit.blob {
            if !self.world.blobs.contains(&blob.hash) && self.blobs.insert(blob.hash) {
                self.plan.blobs.push((blob.hash, blob.bytes.clone()));
            }
        }
        for alias in &commit.alias {
            self.alias(alias)?;
        }
        let mut puts = Vec::with_capacity(commit.put.len());
        for (i, (put, packed)) in commit.put.iter().zip(packed).enumerate() {
            puts.push(self.put(implied + i, put, packed)?);
        }
        for purge in &commit.purge {
            self.purge((purge.repo, purge.rtype.clone(), purge.id.clone()));
        }
        for (i, settle) in commit.settle.iter().enumerate() {
            self.settle(implied + commit.put.len() + i, settle)?;
        }
        let mut messages = Vec::with_capacity(commit.enqueue.len());
        for message in &commit.enqueue {
            self.clock.message += 1;
            self.plan.messages.push(MessageRow {
                id: self.clock.message,
                queue: message.queue.clone(),
                due: message.due_at.unwrap_or(self.clock.now),
                timer: message.due_at.is_some(),
                enqueued: self.clock.at,
                expires: message.expires_at,
                max_deliveries: message.max_deliveries,
                headers: message.headers.clone(),
                body: message.body.clone(),
            });
            messages.push(QueueMessageId(self.clock.message));
        }
        for position in &commit.position {
            self.positions
                .insert(position.consumer.clone(), position.to.0);
        }
        for person in &commit.raise {
            let key = self.person(person)?;
            self.raise(key);
        }
        self.epochs(commit);
        Ok((puts, messages))
    }

    fn aliases(&self) -> &Aliases {
        self.aliases.as_ref().unwrap_or(&self.world.names.aliases)
    }

    fn record(&self, name: &RecordName) -> Option<&RecordState> {
        match self.records.get(name) {
            Some(state) => Some(state),
            None => self.world.records.get(name)?.as_ref(),
        }
    }

    fn held(&self, name: &(String, Vec<u8>)) -> Option<&ClaimState> {
        let found = match self.claims.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.world.claims.get(name).and_then(Option::as_ref),
        };
        found.filter(|c| c.until.is_none_or(|until| until > self.clock.now))
    }

    fn leased(&self, id: QueueMessageId, token: u64) -> bool {
        !self.gone.contains(&id.0)
            && self.world.messages.get(&id.0).is_some_and(|m| {
                m.token == token as i64 && token != 0 && m.leased_until > self.clock.now
            })
    }

    fn expect(&mut self, number: usize, index: usize, expect: &Expect) -> Option<Refusal> {
        match expect {
            Expect::Version {
                repo,
                rtype,
                id,
                vno,
            } => {
                let state = self.record(&(*repo, rtype.clone(), id.clone()));
                let newest = state.filter(|s| s.live()).map(|s| Vno(s.vno));
                (newest != Some(*vno)).then_some(Refusal::Version { newest })
            }
            Expect::Absent { repo, rtype, id } => {
                let state = self.record(&(*repo, rtype.clone(), id.clone()));
                state
                    .is_some_and(RecordState::live)
                    .then_some(Refusal::Exists)
            }
            Expect::NoMatch {
                repo,
                keys,
                author_org,
                filter,
            } => {
                let ids =
                    self.matching((number, index), *repo, keys, author_org.as_deref(), filter);
                (!ids.is_empty()).then_some(Refusal::Match { ids })
            }
            Expect::Claim(claim) => {
                let name = (claim.space.clone(), claim.key.clone());
                if let Some(held) = self.held(&name) {
                    return Some(Refusal::ClaimTaken {
                        value: held.value.clone(),
                    });
                }
                let state = ClaimState {
                    value: claim.value.clone(),
                    until: claim.until,
                };
                self.claims.insert(name, Some(state));
                None
            }
            Expect::ClaimHeld {
                space,
                key,
                value,
                release,
            } => {
                let name = (space.clone(), key.clone());
                let fits = self
                    .held(&name)
                    .is_some_and(|c| value.as_ref().is_none_or(|v| *v == c.value));
                if fits && *release {
                    self.claims.insert(name, None);
                }
                (!fits).then_some(Refusal::ClaimMissing)
            }
            Expect::Lease { message, token } => {
                (!self.leased(*message, *token)).then_some(Refusal::LeaseLost)
            }
            Expect::Position { consumer, at } => {
                let is = self
                    .positions
                    .get(consumer)
                    .or(self.world.positions.get(consumer));
                let is = Seq(is.copied().unwrap_or(0));
                (is != *at).then_some(Refusal::Position { at: is })
            }
        }
    }

    /// Ids of records that match, at most two: those of the store that this batch has not changed, then the batch's own.
    fn matching(
        &self,
        place: (usize, usize),
        repo: RepoId,
        keys: &[IndexKey],
        author_org: Option<&str>,
        filter: &Filter,
    ) -> Vec<String> {
        let world = self.world;
        let stored = world.matches.get(&place).into_iter().flatten();
        let untouched = stored
            .filter(|h| !world.written.contains_key(&h.rid))
            .map(|h| h.id.clone());
        let own = world.written.values().filter_map(|name| {
            let state = world.records.get(name)?.as_ref()?;
            let carried = state.keys.as_ref()?;
            let fits = name.0 == repo
                && state.live()
                && keys.iter().all(|k| carried.contains(k))
                && matches(&state.head(name, &world.names), author_org, filter);
            fits.then(|| name.2.clone())
        });
        untouched.chain(own).take(2).collect()
    }

    fn person(&mut self, person: &PersonRef) -> Checked<PersonKey> {
        match person {
            PersonRef::Key(key) if key.0 == 0 || key.0 > self.clock.person => {
                invalid(format!("person key {} is unknown", key.0))
            }
            PersonRef::Key(key) => Ok(*key),
            PersonRef::Id { system, value } => self.intern(system, value, None),
        }
    }

    /// Key of an identifier; `key` (or a new one) becomes its key when it has none.
    fn intern(&mut self, system: &str, value: &str, key: Option<PersonKey>) -> Checked<PersonKey> {
        const MAX_BYTES: usize = 512;
        let name = (system.to_owned(), value.to_owned());
        if let Some(known) = self.idents.get(&name).or(self.world.idents.get(&name)) {
            return Ok(*known);
        }
        if system.len() > MAX_BYTES
            || value.len() > MAX_BYTES
            || system.contains('\0')
            || value.contains('\0')
        {
            return invalid("a person's identifier is too long or contains NUL");
        }
        let key = key.unwrap_or_else(|| {
            self.clock.person += 1;
            PersonKey(self.clock.person)
        });
        self.plan
            .idents
            .push((name.0.clone(), name.1.clone(), key.0));
        self.idents.insert(name, key);
        Ok(key)
    }

    fn raise(&mut self, key: PersonKey) {
        self.raised.insert(self.aliases().root(key));
        self.raised.insert(key);
    }

    fn alias(&mut self, alias: &Alias) -> Checked<()> {
        match alias {
            Alias::Merge { from, to } => {
                let (from, to) = (self.person(from)?, self.person(to)?);
                self.merge(from, to);
                Ok(())
            }
            Alias::Split { from } => {
                let from = self.person(from)?;
                let mut aliases = self.aliases().clone();
                if let Some(old) = aliases.remove(from) {
                    let left = aliases.root(old);
                    self.aliases = Some(aliases);
                    self.plan.aliases.push((from, None));
                    self.raise(from);
                    self.raise(left);
                }
                Ok(())
            }
            Alias::AlsoKnownAs {
                person,
                system,
                value,
            } => {
                let key = self.person(person)?;
                let known = self.intern(system, value, Some(key))?;
                if self.aliases().root(known) == self.aliases().root(key) {
                    return Ok(());
                }
                self.merge(known, key);
                Ok(())
            }
        }
    }

    /// The ends of both chains are joined, so that no merge ever leads in a circle; those that are one already stay so.
    fn merge(&mut self, from: PersonKey, to: PersonKey) {
        self.raise(from);
        self.raise(to);
        let (ends, stays) = (self.aliases().root(from), self.aliases().root(to));
        if ends != stays {
            let mut aliases = self.aliases().clone();
            aliases.set(ends, stays);
            self.aliases = Some(aliases);
            self.plan.aliases.push((ends, Some(stays)));
        }
    }

    fn meta(&mut self, put: &Put) -> Checked<Meta> {
        let mut persons = Vec::with_capacity(put.persons.len());
        for person in &put.persons {
            let key = self.person(person)?;
            if !persons.contains(&key) {
                persons.push(key);
            }
        }
        let privacy = &put.privacy;
        let one = |draft: &mut Self, person: &Option<PersonRef>| match person {
            Some(person) => draft.person(person).map(Some),
            None => Ok(None),
        };
        let author_person = one(self, &privacy.author_person)?;
        let owner = one(self, &privacy.owner)?;
        let privacy = Privacy {
            author_person: None,
            owner: None,
            ..privacy.clone()
        };
        Ok(Meta {
            persons,
            author_person,
            owner,
            privacy,
        })
    }

    fn put(&mut self, index: usize, put: &Put, packed: &Packed) -> Checked<PutReceipt> {
        let id = match &put.id {
            PutId::Given(id) => id.clone(),
            PutId::New => uuid::Uuid::now_v7().to_string(),
        };
        let name = (put.repo, put.rtype.clone(), id.clone());
        let before = self.record(&name).cloned();
        let live = before.as_ref().is_some_and(RecordState::live);
        let unknown = Stop::Refused(index, Refusal::Version { newest: None });
        let op = match put.op {
            Op::Create if live => return Err(Stop::Refused(index, Refusal::Exists)),
            Op::Update if put.id == PutId::New => return Err(unknown),
            Op::Delete if !live => return Err(unknown),
            Op::Delete => Op::Delete,
            _ if live => Op::Update,
            _ => Op::Create,
        };
        for hash in &put.blobs {
            if !self.world.blobs.contains(hash) && !self.blobs.contains(hash) {
                return invalid(
                    "a version refers to a blob that is neither stored, staged nor in the commit",
                );
            }
        }
        let meta = Arc::new(self.meta(put)?);
        self.clock.seq += 1;
        let rid = before.as_ref().map_or_else(
            || {
                self.clock.rid += 1;
                Rid(self.clock.rid)
            },
            |b| b.rid,
        );
        let vno = before.as_ref().map_or(1, |b| b.vno + 1);
        if let Some(old) = before
            .as_ref()
            .filter(|b| b.live() && stricter(&b.meta, &meta))
        {
            for key in old.meta.persons.iter().chain(&meta.persons) {
                self.raise(*key);
            }
        }
        if op != Op::Delete {
            self.index(name.0, place(rid, Vno(vno)), &meta, &packed.keys);
        }
        self.plan.versions.push(VersionRow {
            seq: self.clock.seq as i64,
            rid: rid.0,
            vno,
            at: self.clock.at,
            repo: put.repo.0,
            op,
            pack: put.pack,
            meta: pack::meta(&meta),
            form: packed.form,
            content: packed.content.clone(),
            keys: packed.packed_keys.clone(),
            blobs: put.blobs.clone(),
        });
        let state = RecordState {
            rid,
            vno,
            seq: self.clock.seq,
            at: self.clock.at,
            op,
            purged: before.as_ref().map_or(0, |b| b.purged),
            meta,
            keys: Some(packed.keys.clone()),
            stored: before.as_ref().is_some_and(|b| b.stored),
        };
        self.records.insert(name, state);
        Ok(PutReceipt {
            rid,
            id,
            vno: Vno(vno),
            seq: Seq(self.clock.seq),
        })
    }

    fn index(&mut self, repo: RepoId, place: i64, meta: &Meta, keys: &[IndexKey]) {
        let by_key = keys.iter().map(|k| key(repo, k.param, &k.value));
        let by_person = meta.persons.iter().map(|p| compartment_key(repo, *p));
        let rows = by_key.chain(by_person);
        self.plan.idx.extend(rows.map(|key| IdxRow { key, place }));
    }

    /// Hides a record for good. An unknown or erased one is left as it is.
    fn purge(&mut self, name: RecordName) {
        let Some(before) = self.record(&name).filter(|b| b.op != Op::Purge).cloned() else {
            return;
        };
        self.clock.seq += 1;
        let vno = before.vno + 1;
        let meta = Arc::new(Meta::default());
        for key in &before.meta.persons {
            self.raise(*key);
        }
        self.plan.versions.push(VersionRow {
            seq: self.clock.seq as i64,
            rid: before.rid.0,
            vno,
            at: self.clock.at,
            repo: name.0.0,
            op: Op::Purge,
            pack: 0,
            meta: pack::meta(&meta),
            form: pack::body(&bytes::Bytes::new()).0,
            content: bytes::Bytes::new(),
            keys: Vec::new(),
            blobs: Vec::new(),
        });
        self.plan.purges.push((before.rid.0, self.clock.seq));
        let state = RecordState {
            vno,
            seq: self.clock.seq,
            at: self.clock.at,
            op: Op::Purge,
            purged: vno,
            meta,
            keys: Some(Arc::default()),
            ..before
        };
        self.records.insert(name, state);
    }

    fn settle(&mut self, index: usize, settle: &Settle) -> Checked<()> {
        if !self.leased(settle.id, settle.token) {
            return Err(Stop::Refused(index, Refusal::LeaseLost));
        }
        let id = settle.id.0;
        self.gone.insert(id);
        match &settle.outcome {
            Settlement::Done => self.plan.done.push(id),
            Settlement::Release { due_at } => self.plan.released.push((id, *due_at)),
            Settlement::DeadLetter { reason } => {
                let reason: String = reason.chars().filter(|c| *c != '\0').take(1_000).collect();
                self.plan.dead.push((id, self.clock.at, reason));
            }
        }
        Ok(())
    }

    /// Epochs of everybody raised; a commit without versions takes a place of its own for them.
    fn epochs(&mut self, commit: &Commit) {
        let versions = !self.plan.versions.is_empty();
        if !self.raised.is_empty() {
            let persons: Vec<PersonKey> = self.raised.iter().copied().collect();
            if !versions {
                self.event(pack::persons(&persons));
            }
            let seq = self.clock.seq;
            self.plan.epochs.extend(persons.iter().map(|p| (p.0, seq)));
        }
        if commit.raise_rules {
            if !versions {
                self.event(Vec::new());
            }
            self.plan.epochs.push((0, self.clock.seq));
        }
        if self.clock.seq != self.world.clock.seq {
            self.clock.seq_at = self.clock.at;
        }
    }

    fn event(&mut self, data: Vec<u8>) {
        self.clock.seq += 1;
        self.plan
            .events
            .push((self.clock.seq, self.clock.at, EVENT_EPOCH, data));
    }
}

#[cfg(test)]
mod tests;
