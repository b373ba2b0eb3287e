//! One state of the store, given as items.
//!
//! The log is read in one transaction, taken first. Then everything that waits is sealed, and sealing pauses until the
//! backup ends: so the journal holds at least the entries of the commits that the log holds, and the persons, which only
//! grow and are read last, hold everybody that either of them names.

use crate::backup::{ClaimItem, Header, Item, MessageItem, PurgeItem, Source, VersionItem};
use crate::sqlite::apply::unpack_blobs;
use crate::sqlite::batch::Next;
use crate::sqlite::bodies::Reading as Bodies;
use crate::sqlite::codec::{self, CODEC_ERASED, Unpacker, damaged, op};
use crate::sqlite::db::unavailable;
use crate::sqlite::pool::Reading;
use crate::sqlite::queue::message_at;
use crate::sqlite::shared::{Names, locked, now_micros};
use crate::sqlite::{Inner, RULES, erase, feed, open};
use crate::{
    FeedEvent, PersonKey, PurgeState, QueueMessageId, RepoId, RepositoryDecl, Rid, Seq, StoreError,
    Vno,
};
use bytes::Bytes;
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, HashSet};
use std::sync::MutexGuard;

/// A state of the store, held for a backup.
pub(super) struct Stand<'a> {
    inner: &'a Inner,
    /// In a read transaction.
    state: Reading,
    /// In a later one.
    later: Reading,
    next: Next,
    later_next: Next,
    bodies: Bodies<'a>,
    _no_sealing: MutexGuard<'a, ()>,
}

impl<'a> Stand<'a> {
    pub(super) fn take(inner: &'a Inner) -> Result<Self, StoreError> {
        let no_sealing = locked(&inner.sealing);
        let bodies = inner.bodies.reading();
        let state = inner.pool.fresh()?;
        state.log.execute_batch("BEGIN").map_err(unavailable)?;
        let next = open::next(&state.log)?;
        inner.seal_now()?;
        let later = inner.pool.fresh()?;
        later.log.execute_batch("BEGIN").map_err(unavailable)?;
        let later_next = open::next(&later.log)?;
        Ok(Self {
            inner,
            state,
            later,
            next,
            later_next,
            bodies,
            _no_sealing: no_sealing,
        })
    }
}

type Emit<'e> = &'e mut dyn FnMut(Item) -> Result<(), StoreError>;

/// Calls `f` for every row.
fn each(
    conn: &Connection,
    sql: &str,
    mut f: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare(sql).map_err(unavailable)?;
    let mut rows = statement.query([]).map_err(unavailable)?;
    while let Some(row) = rows.next().map_err(unavailable)? {
        f(row)?;
    }
    Ok(())
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, i: usize) -> Result<T, StoreError> {
    row.get(i).map_err(unavailable)
}

fn bytes(row: &Row<'_>, i: usize) -> Result<Bytes, StoreError> {
    get::<Vec<u8>>(row, i).map(Bytes::from)
}

impl Source for Stand<'_> {
    fn header(&self) -> Result<Header, StoreError> {
        let numbers = [
            ("rid", self.next.rid),
            ("person", self.later_next.person),
            ("message", self.next.message),
            ("last_at", self.next.last_at.max(0) as u64),
        ];
        Ok(Header {
            engine: "sqlite".to_owned(),
            incarnation: *self.inner.incarnation.get(),
            seq: Seq(self.next.seq - 1),
            at: self.next.seq_at,
            mirror: self.inner.mirrored.then(|| self.next.mirror - 1),
            next: BTreeMap::from(numbers.map(|(name, n)| (name.to_owned(), n))),
            made_at: now_micros(),
        })
    }

    fn items(&self, _header: &Header, emit: Emit<'_>) -> Result<(), StoreError> {
        let log = &self.state.log;
        for (name, id, kind) in open::all_repositories(log)? {
            let decl = RepositoryDecl { name, kind };
            emit(Item::Repository(RepoId(id), decl))?;
        }
        each(
            &self.later.log,
            "SELECT key, system, value FROM person ORDER BY key",
            |r| {
                let identifier = Some((get(r, 1)?, get(r, 2)?));
                emit(Item::Person(PersonKey(get(r, 0)?), identifier))
            },
        )?;
        each(log, "SELECT person, leads_to FROM alias", |r| {
            emit(Item::Alias(PersonKey(get(r, 0)?), PersonKey(get(r, 1)?)))
        })?;
        each(log, "SELECT hash, bytes FROM blob WHERE refs > 0", |r| {
            emit(Item::Blob(get(r, 0)?, bytes(r, 1)?))
        })?;
        log_items(log, emit)?;
        each(
            log,
            "SELECT person, max(seq) FROM epoch GROUP BY person",
            |r| {
                let person: u64 = get(r, 0)?;
                let person = (person != RULES).then_some(PersonKey(person));
                emit(Item::Epoch(person, Seq(get(r, 1)?)))
            },
        )?;
        purges(log, emit)?;
        messages(log, &self.bodies, emit)?;
        each(log, "SELECT consumer, seq FROM position", |r| {
            emit(Item::Position(get(r, 0)?, Seq(get(r, 1)?)))
        })?;
        each(log, "SELECT k, value, until FROM claim", |r| {
            let k: Vec<u8> = get(r, 0)?;
            let mut u = Unpacker(&k);
            let space = u.string()?;
            emit(Item::Claim(ClaimItem {
                space,
                key: u.0.to_vec(),
                value: get(r, 1)?,
                until: get(r, 2)?,
            }))
        })?;
        self.inner.journal.export(emit)
    }
}

/// The log in order; records of a bulk load come before its switch-in. Of purged records only the name goes along.
fn log_items(log: &Connection, emit: Emit<'_>) -> Result<(), StoreError> {
    let types = open::names(log, "rtype")?;
    let mut purged: HashSet<u64> = HashSet::new();
    each(log, "SELECT rid FROM purge", |r| {
        purged.insert(get(r, 0)?);
        Ok(())
    })?;
    let loads = open::loads(log)?;
    each(
        log,
        "SELECT seq, at, op, rid, pack, head, keys, blobs, codec, body FROM version ORDER BY seq",
        |r| {
            let (seq, at, code): (u64, i64, u8) = (get(r, 0)?, get(r, 1)?, get(r, 2)?);
            match code {
                op::EPOCH => {
                    let persons = codec::unpack_numbers(&get::<Vec<u8>>(r, 5)?)?;
                    let persons = persons.into_iter().map(PersonKey).collect();
                    emit(Item::Event(Seq(seq), at, FeedEvent::Epoch { persons }))
                }
                op::GENERATION => {
                    if let Some(number) = loads.number_at(seq) {
                        loaded_items(log, number, seq, &types, &purged, emit)?;
                    }
                    let (target, generation) = feed::unpack_generation(&get::<Vec<u8>>(r, 5)?)?;
                    let event = FeedEvent::Generation { target, generation };
                    emit(Item::Event(Seq(seq), at, event))
                }
                _ => emit(Item::Version(Box::new(version(
                    r, seq, &types, &purged, false,
                )?))),
            }
        },
    )
}

fn loaded_items(
    log: &Connection,
    number: u64,
    seq: u64,
    types: &Names,
    purged: &HashSet<u64>,
    emit: Emit<'_>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT 0, 0, 0, rid, pack, head, keys, blobs, codec, body FROM loaded WHERE load = {number} ORDER BY rid"
    );
    each(log, &sql, |r| {
        emit(Item::Version(Box::new(version(
            r, seq, types, purged, true,
        )?)))
    })
}

/// Columns (…, rid 3, pack, head, keys, blobs, codec, body).
fn version(
    r: &Row<'_>,
    seq: u64,
    types: &Names,
    purged: &HashSet<u64>,
    bulk: bool,
) -> Result<VersionItem, StoreError> {
    let rid: u64 = get(r, 3)?;
    let head = codec::unpack_head(&get::<Vec<u8>>(r, 5)?)?;
    let codec: u8 = get(r, 8)?;
    let bare = codec == CODEC_ERASED || purged.contains(&rid);
    let mut item = VersionItem {
        seq: Seq(seq),
        rid: Rid(rid),
        vno: Vno(head.vno),
        repo: RepoId(head.repo),
        rtype: types
            .name(head.rtype)
            .ok_or_else(|| damaged("type number"))?
            .to_string(),
        id: head.id,
        op: codec::op_of(head.op)?,
        at: head.at,
        pack: get(r, 4)?,
        body: Bytes::new(),
        keys: Vec::new(),
        persons: Vec::new(),
        author_person: None,
        owner: None,
        privacy: Default::default(),
        blobs: Vec::new(),
        bulk,
    };
    if !bare {
        item.body = codec::unpack_body(codec, &get::<Vec<u8>>(r, 9)?)?;
        item.keys = codec::unpack_keys(&get::<Vec<u8>>(r, 6)?)?;
        item.persons = head.persons.into_iter().map(PersonKey).collect();
        item.author_person = head.author_person.map(PersonKey);
        item.owner = head.owner.map(PersonKey);
        item.privacy = head.privacy;
        item.blobs = unpack_blobs(&get::<Vec<u8>>(r, 7)?).collect();
    }
    Ok(item)
}

fn purges(log: &Connection, emit: Emit<'_>) -> Result<(), StoreError> {
    let types = open::names(log, "rtype")?;
    each(
        log,
        "SELECT repo, type, id, rid, seq, state FROM purge ORDER BY seq",
        |r| {
            let state: u8 = get(r, 5)?;
            emit(Item::Purge(PurgeItem {
                repo: RepoId(get(r, 0)?),
                rtype: types
                    .name(get(r, 1)?)
                    .ok_or_else(|| damaged("type number"))?
                    .to_string(),
                id: get(r, 2)?,
                rid: Rid(get(r, 3)?),
                seq: Seq(get(r, 4)?),
                state: if state == erase::ERASED {
                    PurgeState::Erased
                } else {
                    PurgeState::Hidden
                },
            }))
        },
    )
}

fn messages(log: &Connection, bodies: &Bodies<'_>, emit: Emit<'_>) -> Result<(), StoreError> {
    let queues = open::names(log, "queue")?;
    let queue = |n: u32| {
        let name = queues.name(n).ok_or_else(|| damaged("queue number"))?;
        Ok::<_, StoreError>(name.to_string())
    };
    each(
        log,
        "SELECT id, queue, due, at, expires, max_deliveries, deliveries, headers, body, place FROM message ORDER BY id",
        |r| {
            let (due, at): (i64, i64) = (get(r, 2)?, get(r, 3)?);
            let (headers, body) = message_at(bodies, (bytes(r, 7)?, bytes(r, 8)?), get(r, 9)?)?;
            emit(Item::Message(Box::new(MessageItem {
                id: QueueMessageId(get(r, 0)?),
                queue: queue(get(r, 1)?)?,
                enqueued_at: at,
                due_at: (due != at).then_some(due),
                expires_at: get(r, 4)?,
                max_deliveries: get(r, 5)?,
                deliveries: get(r, 6)?,
                headers,
                body,
            })))
        },
    )?;
    each(
        log,
        "SELECT id, queue, at, max_deliveries, deliveries, headers, body, died, reason, place FROM dead ORDER BY id",
        |r| {
            let (headers, body) = message_at(bodies, (bytes(r, 5)?, bytes(r, 6)?), get(r, 9)?)?;
            let item = MessageItem {
                id: QueueMessageId(get(r, 0)?),
                queue: queue(get(r, 1)?)?,
                enqueued_at: get(r, 2)?,
                due_at: None,
                expires_at: None,
                max_deliveries: get(r, 3)?,
                deliveries: get(r, 4)?,
                headers,
                body,
            };
            emit(Item::DeadLetter(Box::new(item), get(r, 7)?, get(r, 8)?))
        },
    )
}
