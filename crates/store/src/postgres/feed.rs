//! The feed: versions and events in order of their place, never past a gap.

use super::link::Params;
use super::pack;
use super::rows::{RawHead, column, version_columns};
use super::shared::Shared;
use super::world::{EVENT_EPOCH, EVENT_GENERATION};
use crate::{FeedEntry, FeedEvent, Op, Seq, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const VERSIONS: &str = concat!(
    "SELECT ",
    version_columns!(),
    " FROM version v JOIN head h ON h.rid = v.rid WHERE v.seq > $1 AND v.seq > 0 ORDER BY v.seq LIMIT $2"
);
const EVENTS: &str = "SELECT seq, at, kind, data FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
/// Most entries of one call.
const MAX_ENTRIES: usize = 20_000;
/// Without any sign of life, waiters look again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(1_000);

/// Data of a generation event.
#[derive(Serialize, Deserialize)]
pub(super) struct Generation {
    pub(super) target: String,
    pub(super) generation: u64,
}

/// An event row as the feed shows it.
pub(super) fn event(kind: i16, data: &[u8]) -> Result<FeedEvent, StoreError> {
    match kind {
        EVENT_EPOCH => Ok(FeedEvent::Epoch {
            persons: pack::read_persons(data),
        }),
        EVENT_GENERATION => {
            let found: Generation = serde_json::from_slice(data)
                .map_err(|_| StoreError::Corrupt("a generation event cannot be read".to_owned()))?;
            Ok(FeedEvent::Generation {
                target: found.target,
                generation: found.generation,
            })
        }
        _ => Err(StoreError::Corrupt("unknown kind of event".to_owned())),
    }
}

/// Entries after a place.
pub(super) fn entries(
    shared: &Shared,
    after: Seq,
    limit: usize,
) -> Result<Vec<FeedEntry>, StoreError> {
    let most = limit.min(MAX_ENTRIES) as i64;
    let place = column(after);
    shared.read(async |conn| {
        // the names are read last: they are at least as new as the rows
        let params: Params<'_> = &[&place, &most];
        let (versions, events, (_, names)) = futures_util::try_join!(
            conn.query(VERSIONS, params),
            conn.query(EVENTS, params),
            shared.tip(conn),
        )?;
        let mut found: BTreeMap<u64, FeedEntry> = BTreeMap::new();
        for row in versions {
            let raw = RawHead::of(&row, 0)?;
            let erased = raw.vno.0 <= raw.purged || raw.op == Op::Purge;
            // a type that is newer than the names belongs to a later call
            let Ok(head) = raw.head(&names.aliases, &names) else {
                break;
            };
            let event = FeedEvent::Version {
                repo: head.repo,
                rtype: head.rtype,
                rid: head.rid,
                id: head.id,
                vno: head.vno,
                op: head.op,
                persons: if erased { Vec::new() } else { head.persons },
            };
            found.insert(
                head.seq.0,
                FeedEntry {
                    seq: head.seq,
                    at: head.at,
                    event,
                },
            );
        }
        for row in events {
            let seq = Seq(row.get::<_, i64>(0) as u64);
            let event = event(row.get(2), row.get(3))?;
            found.insert(
                seq.0,
                FeedEntry {
                    seq,
                    at: row.get(1),
                    event,
                },
            );
        }
        // the two statements may have seen different moments: stop before the first gap
        let gapless = found
            .into_values()
            .zip(after.0.saturating_add(1)..)
            .take_while(|(e, n)| e.seq.0 == *n);
        Ok(gapless.map(|(entry, _)| entry).take(limit).collect())
    })
}

/// Blocks until the feed is beyond a place; its end.
pub(super) fn wait(shared: &Shared, after: Seq, timeout: Duration) -> Seq {
    let until = Instant::now() + timeout;
    loop {
        let beat = shared.wake.now();
        if beat.seq > after.0 {
            return Seq(beat.seq);
        }
        let end = shared
            .read(async |conn| shared.tip(conn).await)
            .map_or(Seq(0), |(tip, _)| tip.seq);
        let now = Instant::now();
        if end > after || beat.closed || now >= until {
            return end;
        }
        shared
            .wake
            .wait_feed(beat.count, until.min(now + LOOK_AGAIN));
    }
}
