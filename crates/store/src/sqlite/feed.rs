//! The feed, consumer positions and identities: reads outside snapshots.

use super::Inner;
use super::batch;
use super::codec::{self, damaged, op};
use super::db::{ReadTx, unavailable};
use crate::{FeedEntry, FeedEvent, PersonKey, PurgeState, RepoId, Rid, Seq, StoreError, Vno};
use rusqlite::{OptionalExtension, Row, params};
use std::time::{Duration, Instant};

/// Entries of one call.
const MAX_FEED: usize = 100_000;

/// Content of a generation event.
pub(super) fn pack_generation(target: &str, generation: u64) -> Vec<u8> {
    let mut p = codec::Packer::default();
    p.u64(generation);
    p.bytes(target.as_bytes());
    p.0
}

/// (target, generation).
pub(super) fn unpack_generation(bytes: &[u8]) -> Result<(String, u64), StoreError> {
    let mut u = codec::Unpacker(bytes);
    let generation = u.u64()?;
    Ok((u.string()?, generation))
}

impl Inner {
    pub(super) fn feed(&self, after: Seq, limit: usize) -> Result<Vec<FeedEntry>, StoreError> {
        self.running()?;
        let end = self.published.get().seq;
        let types = self.types.get();
        let aliases = self.aliases.get();
        self.pool.with(|reading| {
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT seq, at, rid, vno, op, head, EXISTS(SELECT 1 FROM head h WHERE h.rid = v.rid)
                     FROM version v WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
                )
                .map_err(unavailable)?;
            let after = after.0.min(end);
            let mut rows = statement
                .query(params![after, end, limit.min(MAX_FEED)])
                .map_err(unavailable)?;
            let mut out = Vec::new();
            while let Some(row) = rows.next().map_err(unavailable)? {
                let event = event(row, &types, &aliases)?;
                out.push(FeedEntry {
                    seq: Seq(row.get(0).map_err(unavailable)?),
                    at: row.get(1).map_err(unavailable)?,
                    event,
                });
            }
            Ok(out)
        })
    }

    pub(super) fn wait_feed(&self, after: Seq, timeout: Duration) -> Seq {
        if self.running().is_err() {
            return Seq(self.published.get().seq);
        }
        Seq(self.tide.wait_beyond(after.0, Instant::now() + timeout))
    }

    pub(super) fn position(&self, consumer: &str) -> Result<Seq, StoreError> {
        self.running()?;
        self.pool.with(|r| batch::position(&r.log, consumer))
    }

    pub(super) fn person(
        &self,
        system: &str,
        value: &str,
    ) -> Result<Option<PersonKey>, StoreError> {
        self.running()?;
        let key = self
            .pool
            .with(|r| batch::person_key(&r.log, system, value))?;
        Ok(key.map(|k| PersonKey(self.aliases.get().end(k))))
    }

    pub(super) fn person_identifiers(
        &self,
        key: PersonKey,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.running()?;
        let aliases = self.aliases.get();
        self.identifiers_of(aliases.all_to(aliases.end(key.0)).into_iter())
    }

    /// Identifiers that stand directly under these keys.
    pub(super) fn identifiers_of(
        &self,
        keys: impl Iterator<Item = u64>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.pool.with(|reading| {
            let _tx = ReadTx::begin(&reading.log)?;
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT system, value FROM person WHERE key = ?1 ORDER BY system, value",
                )
                .map_err(unavailable)?;
            let mut out = Vec::new();
            for key in keys {
                let rows = statement
                    .query_map([key], |r| Ok((r.get(0)?, r.get(1)?)))
                    .map_err(unavailable)?;
                for row in rows {
                    out.push(row.map_err(unavailable)?);
                }
            }
            Ok(out)
        })
    }

    pub(super) fn purge_state(
        &self,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<PurgeState>, StoreError> {
        self.running()?;
        let Some(number) = self.types.get().number(rtype) else {
            return Ok(None);
        };
        let state: Option<u8> = self.pool.with(|r| {
            r.log
                .prepare_cached("SELECT state FROM purge WHERE repo = ?1 AND type = ?2 AND id = ?3")
                .and_then(|mut s| {
                    s.query_row(params![repo.0, number, id], |r| r.get(0))
                        .optional()
                })
                .map_err(unavailable)
        })?;
        Ok(state.map(|s| {
            if s == super::erase::ERASED {
                PurgeState::Erased
            } else {
                PurgeState::Hidden
            }
        }))
    }
}

/// The event of a log row (seq, at, rid, vno, op, head, has a head). Versions of purged records keep their name, but no
/// persons.
pub(super) fn event(
    row: &Row<'_>,
    types: &super::shared::Names,
    aliases: &super::shared::Aliases,
) -> Result<FeedEvent, StoreError> {
    let code: u8 = row.get(4).map_err(unavailable)?;
    let content = row
        .get_ref(5)
        .map_err(unavailable)?
        .as_blob()
        .map_err(|_| damaged("event"))?;
    let end = |k: u64| PersonKey(aliases.end(k));
    match code {
        op::EPOCH => {
            let persons = codec::unpack_numbers(content)?.into_iter().map(end);
            Ok(FeedEvent::Epoch {
                persons: persons.collect(),
            })
        }
        op::GENERATION => {
            let (target, generation) = unpack_generation(content)?;
            Ok(FeedEvent::Generation { target, generation })
        }
        _ => {
            let head = codec::unpack_head(content)?;
            let known: bool = row.get(6).map_err(unavailable)?;
            let persons = if known {
                head.persons.iter().map(|k| end(*k)).collect()
            } else {
                Vec::new()
            };
            Ok(FeedEvent::Version {
                repo: RepoId(head.repo),
                rtype: types
                    .name(head.rtype)
                    .ok_or_else(|| damaged("type number"))?
                    .to_string(),
                rid: Rid(row.get(2).map_err(unavailable)?),
                id: head.id,
                vno: Vno(row.get(3).map_err(unavailable)?),
                op: codec::op_of(code)?,
                persons,
            })
        }
    }
}
