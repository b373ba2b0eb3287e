//! Queues: rows with leases; `SKIP LOCKED` keeps consumers out of each other's way. A lease itself is not flushed: should
//! the server lose it, the message is only visible again a little earlier.

use super::guard;
use super::link::{Conn, transaction};
use super::shared::Shared;
use crate::{DeadLetter, Leased, MicrosUtc, QueueMessageId, QueueStats, StoreError};
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// Longest lease: a day.
const MAX_LEASE_MS: u64 = 86_400_000;
/// Messages in one answer.
const MAX_LEASED: usize = 1_000;
/// Without any sign of life, waiters look again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(1_000);

/// What may be handed out now.
macro_rules! visible {
    () => {
        "due <= now_us() AND leased_until <= now_us() AND (expires IS NULL OR expires > now_us())
         AND (max_deliveries = 0 OR deliveries < max_deliveries)"
    };
}

fn leased(row: &Row) -> Leased {
    let copied = |i: usize| Bytes::copy_from_slice(row.get(i));
    Leased {
        id: QueueMessageId(row.get::<_, i64>(0) as u64),
        token: row.get::<_, i64>(1) as u64,
        queue: row.get(2),
        enqueued_at: row.get(3),
        deliveries: u32::try_from(row.get::<_, i64>(4)).unwrap_or(u32::MAX),
        leased_until: row.get(5),
        headers: copied(6),
        body: copied(7),
    }
}

/// Leases visible messages, oldest first.
pub(super) fn lease(
    shared: &Shared,
    queue: &str,
    limit: usize,
    lease_ms: u64,
) -> Result<Vec<Leased>, StoreError> {
    let sql = concat!(
        "WITH picked AS (SELECT id FROM message WHERE queue = $1 AND ",
        visible!(),
        " ORDER BY due, id LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE message m SET token = $3, leased_until = now_us() + $4, deliveries = m.deliveries + 1
         FROM picked p WHERE m.id = p.id
         RETURNING m.id, m.token, m.queue, m.enqueued, m.deliveries, m.leased_until, m.headers, m.body, m.due"
    );
    let token = guard::token(shared.holder);
    let micros = lease_ms.min(MAX_LEASE_MS) as i64 * 1_000;
    let most = limit.min(MAX_LEASED) as i64;
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut rows = shared.once(async |conn| {
        let begin = "BEGIN; SET LOCAL synchronous_commit = off";
        transaction(conn, begin, async |conn: &Conn| {
            conn.query(sql, &[&queue, &most, &token, &micros]).await
        })
        .await
    })?;
    rows.sort_by_key(|row| (row.get::<_, i64>(8), row.get::<_, i64>(0)));
    Ok(rows.iter().map(leased).collect())
}

/// Prolongs a lease that is still held.
pub(super) fn renew(
    shared: &Shared,
    id: QueueMessageId,
    token: u64,
    lease_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE message SET leased_until = now_us() + $3 WHERE id = $1 AND token = $2 AND leased_until > now_us()";
    let micros = lease_ms.min(MAX_LEASE_MS) as i64 * 1_000;
    let (id, token) = (id.0 as i64, token as i64);
    Ok(shared.once(async |conn| conn.execute(sql, &[&id, &token, &micros]).await)? == 1)
}

/// Looks at visible messages.
pub(super) fn peek(shared: &Shared, queue: &str, limit: usize) -> Result<Vec<Leased>, StoreError> {
    let sql = concat!(
        "SELECT id, 0::bigint, queue, enqueued, deliveries, 0::bigint, headers, body FROM message WHERE queue = $1 AND ",
        visible!(),
        " ORDER BY due, id LIMIT $2"
    );
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = shared.read(async |conn| conn.query(sql, &[&queue, &most]).await)?;
    Ok(rows.iter().map(leased).collect())
}

/// Dead letters, newest first.
pub(super) fn dead_letters(
    shared: &Shared,
    queue: &str,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let sql = "SELECT id, queue, at, reason, deliveries, headers, body FROM dead WHERE queue = $1
      ORDER BY at DESC, id DESC LIMIT $2";
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = shared.read(async |conn| conn.query(sql, &[&queue, &most]).await)?;
    let letter = |row: &Row| DeadLetter {
        id: QueueMessageId(row.get::<_, i64>(0) as u64),
        queue: row.get(1),
        at: row.get(2),
        reason: row.get(3),
        deliveries: u32::try_from(row.get::<_, i64>(4)).unwrap_or(u32::MAX),
        headers: Bytes::copy_from_slice(row.get(5)),
        body: Bytes::copy_from_slice(row.get(6)),
    };
    Ok(rows.iter().map(letter).collect())
}

/// Puts a dead letter back, with a new life: no deliveries, no expiry.
pub(super) fn revive(shared: &Shared, id: QueueMessageId) -> Result<bool, StoreError> {
    let sql = "WITH back AS (DELETE FROM dead WHERE id = $1
        RETURNING id, queue, enqueued, max_deliveries, headers, body)
      INSERT INTO message (id, queue, due, timer, enqueued, expires, max_deliveries, headers, body)
      SELECT id, queue, now_us(), false, enqueued, NULL, max_deliveries, headers, body FROM back";
    let revived = shared.once(async |conn| conn.execute(sql, &[&(id.0 as i64)]).await)? == 1;
    if revived {
        shared.wake.queues();
    }
    Ok(revived)
}

/// Numbers of a queue.
pub(super) fn stats(shared: &Shared, queue: &str) -> Result<QueueStats, StoreError> {
    let sql = "SELECT count(*) FILTER (WHERE leased_until <= now_us() AND due <= now_us()),
        count(*) FILTER (WHERE leased_until <= now_us() AND due > now_us()),
        count(*) FILTER (WHERE leased_until > now_us()),
        (SELECT count(*) FROM dead WHERE queue = $1) FROM message WHERE queue = $1";
    let row = shared.read(async |conn| conn.query_opt(sql, &[&queue]).await)?;
    let number = |row: &Row, i: usize| row.get::<_, i64>(i) as u64;
    Ok(row.map_or_else(QueueStats::default, |row| QueueStats {
        ready: number(&row, 0),
        delayed: number(&row, 1),
        leased: number(&row, 2),
        dead: number(&row, 3),
    }))
}

/// Names of queues that hold something. Walks from name to name over the index.
pub(super) fn names(
    shared: &Shared,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT min(queue) FROM (
        (SELECT queue FROM message WHERE queue > $1 OR (queue = $1 AND $2) ORDER BY queue LIMIT 1) UNION ALL
        (SELECT queue FROM dead WHERE queue > $1 OR (queue = $1 AND $2) ORDER BY queue LIMIT 1)) q";
    shared.read(async |conn| {
        let mut found: Vec<String> = Vec::new();
        let (mut place, mut inclusive) = (prefix.to_owned(), true);
        while found.len() < limit {
            let row = conn.query_opt(sql, &[&place, &inclusive]).await?;
            let next: Option<String> = row.and_then(|r| r.get(0));
            match next.filter(|n| n.starts_with(prefix)) {
                Some(next) => {
                    place.clone_from(&next);
                    inclusive = false;
                    found.push(next);
                }
                None => break,
            }
        }
        Ok(found)
    })
}

/// Blocks until something may be visible in one of the queues.
pub(super) fn wait(shared: &Shared, queues: &[String], timeout: Duration) {
    let visible = concat!(
        "SELECT EXISTS (SELECT 1 FROM message WHERE queue = ANY($1) AND ",
        visible!(),
        ")"
    );
    // when the first timer comes due, microseconds from now; leases that run out are seen by looking again
    let timer = "SELECT min(x.due) - now_us() FROM unnest($1::text[]) k(queue) CROSS JOIN LATERAL
        (SELECT due FROM message WHERE queue = k.queue AND due > now_us() ORDER BY due LIMIT 1) x";
    let until = Instant::now() + timeout;
    loop {
        let beat = shared.wake.now();
        let found = shared.read(async |conn| {
            let row = conn.query_opt(visible, &[&queues]).await?;
            if row.is_some_and(|r| r.get(0)) {
                return Ok(Some(0));
            }
            let row = conn.query_opt(timer, &[&queues]).await?;
            Ok(row.and_then(|r| r.get::<_, Option<MicrosUtc>>(0)))
        });
        let now = Instant::now();
        // an unreachable database is looked for again like an empty queue
        let next = found.ok().flatten();
        if beat.closed || now >= until || next.is_some_and(|micros| micros <= 0) {
            return;
        }
        let due = next.map_or(LOOK_AGAIN, |micros| Duration::from_micros(micros as u64));
        shared
            .wake
            .wait_queues(beat.queues, until.min(now + due.min(LOOK_AGAIN)));
    }
}
