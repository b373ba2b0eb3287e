//! Queues: durable messages in `log.db`, leases in memory (one process owns the store).
//!
//! A lease lives in [`Leases`]; while a commit that settles it is on its way it is *pinned*, so that nobody else can get
//! the message even when the lease runs out meanwhile. Delivery counts are written when a lease has lasted a moment
//! ([`COUNT_AGE`]): most messages are settled by then, and a row costs as much to change as to write.
//!
//! A look at a queue begins at its [`Floor`], not at its oldest message: many receivers of one queue would otherwise each
//! pass everything that the others have in their hands.

use super::Inner;
use super::batch::Batch;
use super::bodies::{Place, Reading};
use super::db::{ReadTx, number, unavailable};
use super::shared::{Alarm, locked, now_micros};
use crate::{DeadLetter, Leased, QueueMessageId, QueueStats, StoreError};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Reason of a dead letter that was delivered too often.
const MAX_DELIVERY: &str = "max-delivery";
/// Reason of a dead letter that nobody took in time.
const EXPIRED: &str = "expired";
/// Messages one lease may take.
const MAX_LEASE: usize = 10_000;
/// Bytes of payload after which it takes no more.
const MAX_LEASE_BYTES: u64 = 32 << 20;

#[derive(Clone, Copy, Debug)]
struct Lease {
    token: u64,
    until: i64,
    queue: u32,
    deliveries: u32,
    /// A commit that settles it or counts on it is on its way; how many.
    pins: u32,
    /// Settled by a commit of the running batch.
    settled: bool,
}

/// A delivery count waits so long for its message to be settled before it is written.
const COUNT_AGE: Duration = Duration::from_millis(200);

/// Where the next look at a queue begins: every message up to this place is in somebody's hands.
#[derive(Clone, Copy, Debug)]
struct Floor {
    due: i64,
    id: u64,
    /// Until then; the first of their leases may end at that time.
    until: i64,
}

impl Floor {
    const LOWEST: Self = Self {
        due: i64::MIN,
        id: 0,
        until: i64::MAX,
    };
}

/// Who holds what.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<u64, Lease>,
    next_token: u64,
    /// Delivery counts not written yet, and since when.
    counts: HashMap<u64, (u32, Instant)>,
    /// By number of the queue. Taken away under the same lock when something comes back below it.
    floors: HashMap<u32, Floor>,
}

/// Leases, sleepers.
#[derive(Debug, Default)]
pub(super) struct Queues {
    leases: Mutex<Leases>,
    sleepers: Mutex<HashMap<String, Vec<Arc<Alarm>>>>,
}

impl Queues {
    /// Tokens start anew at each open; they begin at a random place so that one from before never fits.
    pub(super) fn new() -> Self {
        let queues = Self::default();
        locked(&queues.leases).next_token = u64::from(rand::random::<u32>()) << 24;
        queues
    }

    /// Whether the lease is held at `at`; if so, pins it. With `settle`, only once per batch.
    pub(super) fn pin(&self, id: u64, token: u64, at: i64, settle: bool) -> bool {
        let mut leases = locked(&self.leases);
        match leases.held.get_mut(&id) {
            Some(l) if l.token == token && !l.settled && (l.until > at || l.pins > 0) => {
                l.pins += 1;
                l.settled |= settle;
                true
            }
            _ => false,
        }
    }

    /// Takes pins back: the commit was refused, or its batch failed.
    pub(super) fn unpin(&self, ids: &[(u64, bool)]) {
        let mut leases = locked(&self.leases);
        for (id, settle) in ids {
            if let Some(l) = leases.held.get_mut(id) {
                l.pins = l.pins.saturating_sub(1);
                l.settled &= !settle;
            }
        }
    }

    /// The batch is flushed: settled leases end, other pins are taken back. `lowered`: queues in which something has come
    /// to stand at a place of before.
    pub(super) fn flushed(&self, ids: &[(u64, bool)], lowered: &BTreeSet<u32>) {
        if ids.is_empty() && lowered.is_empty() {
            return;
        }
        let mut leases = locked(&self.leases);
        for queue in lowered {
            leases.floors.remove(queue);
        }
        for (id, settle) in ids {
            if *settle {
                leases.held.remove(id);
                leases.counts.remove(id);
            } else if let Some(l) = leases.held.get_mut(id) {
                l.pins = l.pins.saturating_sub(1);
            }
        }
    }

    /// Deliveries of a leased message.
    pub(super) fn deliveries(&self, id: u64) -> u32 {
        locked(&self.leases)
            .held
            .get(&id)
            .map_or(0, |l| l.deliveries)
    }

    /// Delivery counts to write with the next batch; `all` of them when it is the last.
    pub(super) fn take_counts(&self, all: bool) -> HashMap<u64, (u32, Instant)> {
        let counts = &mut locked(&self.leases).counts;
        if all {
            return std::mem::take(counts);
        }
        counts
            .extract_if(|_, (_, since)| since.elapsed() >= COUNT_AGE)
            .collect()
    }

    /// Gives counts back that were not written.
    pub(super) fn return_counts(&self, counts: HashMap<u64, (u32, Instant)>) {
        let mut leases = locked(&self.leases);
        for (id, count) in counts {
            leases.counts.entry(id).or_insert(count);
        }
    }

    /// Whether counts wait to be written; `all`: however young.
    pub(super) fn has_counts(&self, all: bool) -> bool {
        locked(&self.leases)
            .counts
            .values()
            .any(|(_, since)| all || since.elapsed() >= COUNT_AGE)
    }

    /// Wakes who waits for these queues.
    pub(super) fn wake<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let sleepers = locked(&self.sleepers);
        for alarm in names.filter_map(|n| sleepers.get(n)).flatten() {
            alarm.ring();
        }
    }

    pub(super) fn wake_all(&self) {
        for alarm in locked(&self.sleepers).values().flatten() {
            alarm.ring();
        }
    }

    fn lie_down(&self, names: &[String]) -> Arc<Alarm> {
        let alarm = Arc::new(Alarm::default());
        let mut sleepers = locked(&self.sleepers);
        for name in names {
            sleepers
                .entry(name.clone())
                .or_default()
                .push(Arc::clone(&alarm));
        }
        alarm
    }

    fn get_up(&self, names: &[String], alarm: &Arc<Alarm>) {
        let mut sleepers = locked(&self.sleepers);
        for name in names {
            if let Some(list) = sleepers.get_mut(name) {
                list.retain(|a| !Arc::ptr_eq(a, alarm));
                if list.is_empty() {
                    sleepers.remove(name);
                }
            }
        }
    }
}

impl Floor {
    /// The next message is in somebody's hands as well, until then.
    fn raised(self, message: &Waiting, until: i64) -> Self {
        Self {
            due: message.due,
            id: message.id,
            until: self.until.min(until),
        }
    }
}

/// A waiting message without its payload.
struct Waiting {
    id: u64,
    at: i64,
    expires: Option<i64>,
    max_deliveries: u32,
    deliveries: u32,
    due: i64,
    /// Of a payload in the row.
    bytes: u64,
    place: Option<Vec<u8>>,
}

impl Waiting {
    fn bytes(&self) -> Result<u64, StoreError> {
        match &self.place {
            Some(place) => Ok(Place::unpack(place)?.len.into()),
            None => Ok(self.bytes),
        }
    }
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        id: row.get(0)?,
        at: row.get(1)?,
        expires: row.get(2)?,
        max_deliveries: row.get(3)?,
        deliveries: row.get(4)?,
        due: row.get(5)?,
        bytes: row.get(6)?,
        place: row.get(7)?,
    })
}

const VISIBLE: &str =
    "SELECT id, at, expires, max_deliveries, deliveries, due, length(body), place FROM message
  WHERE queue = ?1 AND due <= ?2 AND (due, id) > (?3, ?4) ORDER BY due, id";

/// Headers and payload of a message, if it is still there.
fn payload(
    bodies: &Reading<'_>,
    log: &Connection,
    id: u64,
) -> Result<Option<(Bytes, Bytes)>, StoreError> {
    if let Some(recent) = bodies.recent(id) {
        return Ok(Some(recent));
    }
    let row = log
        .prepare_cached("SELECT headers, body, place FROM message WHERE id = ?1")
        .and_then(|mut s| {
            s.query_row([id], |r| Ok((blob(r, 0)?, blob(r, 1)?, r.get(2)?)))
                .optional()
        })
        .map_err(unavailable)?;
    let Some((headers, body, place)) = row else {
        return Ok(None);
    };
    message_at(bodies, (headers, body), place).map(Some)
}

/// Headers and payload from their row, or from the place that the row names.
pub(super) fn message_at(
    bodies: &Reading<'_>,
    in_row: (Bytes, Bytes),
    place: Option<Vec<u8>>,
) -> Result<(Bytes, Bytes), StoreError> {
    match place {
        Some(place) => bodies.read(Place::unpack(&place)?),
        None => Ok(in_row),
    }
}

fn blob(row: &Row<'_>, i: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(i).map(Bytes::from)
}

impl Inner {
    pub(super) fn lease(
        &self,
        queue: &str,
        limit: usize,
        lease_ms: u64,
    ) -> Result<Vec<Leased>, StoreError> {
        self.running()?;
        let limit = limit.min(MAX_LEASE);
        let Some(number) = self.queue_names.get().number(queue) else {
            return Ok(Vec::new());
        };
        let mut dying = Vec::new();
        let bodies = self.bodies.reading();
        let leased = self.pool.with(|reading| {
            let taken = self.take_leases(&reading.log, number, limit, lease_ms, &mut dying)?;
            let mut out = Vec::with_capacity(taken.len());
            if taken.is_empty() {
                return Ok(out);
            }
            let _tx = ReadTx::begin(&reading.log)?;
            for (message, lease) in taken {
                // Gone only if so short a lease ran out at once and somebody else settled.
                let Some((headers, body)) = payload(&bodies, &reading.log, message.id)? else {
                    continue;
                };
                out.push(Leased {
                    id: QueueMessageId(message.id),
                    token: lease.token,
                    queue: queue.to_owned(),
                    enqueued_at: message.at,
                    deliveries: lease.deliveries,
                    leased_until: lease.until,
                    headers,
                    body,
                });
            }
            Ok(out)
        })?;
        drop(bodies);
        if !dying.is_empty() {
            self.in_writer(move |batch| batch.bury(&dying))?;
        }
        Ok(leased)
    }

    /// Chooses messages and notes their leases. The rows are looked at while the leases are locked: a settled message
    /// keeps its lease until its removal is flushed, so it is either still leased or no longer there.
    fn take_leases(
        &self,
        log: &Connection,
        queue: u32,
        limit: usize,
        lease_ms: u64,
        dying: &mut Vec<u64>,
    ) -> Result<Vec<(Waiting, Lease)>, StoreError> {
        let mut leases = locked(&self.queues.leases);
        let now = now_micros();
        let until = now.saturating_add_unsigned(lease_ms.saturating_mul(1_000));
        let from = leases.floors.get(&queue).copied();
        let mut floor = from.filter(|f| f.until > now).unwrap_or(Floor::LOWEST);
        let mut statement = log.prepare_cached(VISIBLE).map_err(unavailable)?;
        let mut rows = statement
            .query_map(params![queue, now, floor.due, floor.id], waiting)
            .map_err(unavailable)?;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < limit && bytes < MAX_LEASE_BYTES {
            let Some(message) = rows.next() else { break };
            let message = message.map_err(unavailable)?;
            let before = match leases.held.get(&message.id) {
                Some(l) if l.until > now || l.pins > 0 => {
                    if dying.is_empty() {
                        floor = floor.raised(&message, l.until);
                    }
                    continue;
                }
                Some(l) => l.deliveries,
                None => leases
                    .counts
                    .get(&message.id)
                    .map_or(0, |(n, _)| *n)
                    .max(message.deliveries),
            };
            if message.expires.is_some_and(|t| t <= now)
                || (message.max_deliveries > 0 && before >= message.max_deliveries)
            {
                dying.push(message.id);
                continue;
            }
            if dying.is_empty() {
                floor = floor.raised(&message, until);
            }
            leases.next_token += 1;
            let lease = Lease {
                token: leases.next_token,
                until,
                queue,
                deliveries: before.saturating_add(1),
                pins: 0,
                settled: false,
            };
            leases
                .counts
                .insert(message.id, (lease.deliveries, Instant::now()));
            leases.held.insert(message.id, lease);
            bytes += message.bytes()?;
            taken.push((message, lease));
        }
        leases.floors.insert(queue, floor);
        Ok(taken)
    }

    pub(super) fn renew(
        &self,
        id: QueueMessageId,
        token: u64,
        lease_ms: u64,
    ) -> Result<bool, StoreError> {
        self.running()?;
        let now = now_micros();
        let mut leases = locked(&self.queues.leases);
        let Leases { held, floors, .. } = &mut *leases;
        Ok(match held.get_mut(&id.0) {
            Some(l) if l.token == token && l.until > now && !l.settled => {
                let until = now.saturating_add_unsigned(lease_ms.saturating_mul(1_000));
                if until < l.until {
                    floors.remove(&l.queue);
                }
                l.until = until;
                true
            }
            _ => false,
        })
    }

    pub(super) fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Leased>, StoreError> {
        self.running()?;
        let Some(number) = self.queue_names.get().number(queue) else {
            return Ok(Vec::new());
        };
        let now = now_micros();
        let bodies = self.bodies.reading();
        self.pool.with(|reading| {
            let _tx = ReadTx::begin(&reading.log)?;
            let mut statement = reading.log.prepare_cached(VISIBLE).map_err(unavailable)?;
            let rows = statement
                .query_map(params![number, now, i64::MIN, 0], waiting)
                .map_err(unavailable)?;
            let mut out = Vec::new();
            for message in rows {
                if out.len() >= limit {
                    break;
                }
                let message = message.map_err(unavailable)?;
                if message.expires.is_some_and(|t| t <= now) || self.queues.leased(message.id, now)
                {
                    continue;
                }
                if let Some((headers, body)) = payload(&bodies, &reading.log, message.id)? {
                    out.push(Leased {
                        id: QueueMessageId(message.id),
                        token: 0,
                        queue: queue.to_owned(),
                        enqueued_at: message.at,
                        deliveries: self.queues.count(message.id).max(message.deliveries),
                        leased_until: 0,
                        headers,
                        body,
                    });
                }
            }
            Ok(out)
        })
    }

    pub(super) fn dead_letters(
        &self,
        queue: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.running()?;
        let Some(number) = self.queue_names.get().number(queue) else {
            return Ok(Vec::new());
        };
        let bodies = self.bodies.reading();
        self.pool.with(|reading| {
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT id, died, reason, deliveries, headers, body, place FROM dead
                     WHERE queue = ?1 ORDER BY died DESC, id DESC LIMIT ?2",
                )
                .map_err(unavailable)?;
            let rows = statement
                .query_map(params![number, limit.min(i64::MAX as usize)], |r| {
                    let letter = DeadLetter {
                        id: QueueMessageId(r.get(0)?),
                        queue: queue.to_owned(),
                        at: r.get(1)?,
                        reason: r.get(2)?,
                        deliveries: r.get(3)?,
                        headers: blob(r, 4)?,
                        body: blob(r, 5)?,
                    };
                    Ok((letter, r.get(6)?))
                })
                .map_err(unavailable)?;
            rows.map(|row| {
                let (letter, place) = row.map_err(unavailable)?;
                let in_row = (letter.headers, letter.body);
                let (headers, body) = message_at(&bodies, in_row, place)?;
                Ok(DeadLetter {
                    headers,
                    body,
                    ..letter
                })
            })
            .collect()
        })
    }

    pub(super) fn queue_stats(&self, queue: &str) -> Result<QueueStats, StoreError> {
        self.running()?;
        let Some(number) = self.queue_names.get().number(queue) else {
            return Ok(QueueStats::default());
        };
        let now = now_micros();
        self.pool.with(|reading| {
            let _tx = ReadTx::begin(&reading.log)?;
            let ask = |sql: &str| -> Result<u64, StoreError> {
                reading
                    .log
                    .prepare_cached(sql)
                    .and_then(|mut s| s.query_row(params![number, now], |r| r.get(0)))
                    .map_err(unavailable)
            };
            let visible = ask("SELECT count(*) FROM message WHERE queue = ?1 AND due <= ?2")?;
            let delayed = ask("SELECT count(*) FROM message WHERE queue = ?1 AND due > ?2")?;
            let dead = ask("SELECT count(*) FROM dead WHERE queue = ?1 AND ?2 = ?2")?;
            let leased = self.queues.leased_in(number, now);
            Ok(QueueStats {
                ready: visible.saturating_sub(leased),
                delayed,
                leased,
                dead,
            })
        })
    }

    pub(super) fn queues(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.running()?;
        let names = self.queue_names.get();
        let mut wanted: Vec<(&str, u32)> = names
            .iter()
            .filter(|(n, _)| n.starts_with(prefix))
            .collect();
        wanted.sort_unstable();
        self.pool.with(|reading| {
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT EXISTS(SELECT 1 FROM message WHERE queue = ?1) OR EXISTS(SELECT 1 FROM dead WHERE queue = ?1)",
                )
                .map_err(unavailable)?;
            let mut out = Vec::new();
            for (name, number) in wanted {
                if out.len() >= limit {
                    break;
                }
                if statement
                    .query_row([number], |r| r.get(0))
                    .map_err(unavailable)?
                {
                    out.push(name.to_owned());
                }
            }
            Ok(out)
        })
    }

    pub(super) fn wait_queue(&self, queues: &[String], timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let alarm = self.queues.lie_down(queues);
        // What is visible already counts; anything later rings the alarm or has a known time.
        let wake_at = self.next_visible(queues).unwrap_or(Some(now_micros()));
        let until_visible = wake_at.map_or(Duration::MAX, |t| {
            Duration::from_micros(u64::try_from(t.saturating_sub(now_micros())).unwrap_or(0))
        });
        let left = deadline.saturating_duration_since(Instant::now());
        if !until_visible.is_zero() && !left.is_zero() {
            alarm.sleep(left.min(until_visible));
        }
        self.queues.get_up(queues, &alarm);
    }

    /// When a message of the queues becomes visible by itself: now, at a due time, at a lease's end, or never.
    fn next_visible(&self, queues: &[String]) -> Result<Option<i64>, StoreError> {
        self.running()?;
        let names = self.queue_names.get();
        let now = now_micros();
        self.pool.with(|reading| {
            let mut soonest: Option<i64> = None;
            let mut sooner = |t: i64| soonest = Some(soonest.map_or(t, |s: i64| s.min(t)));
            for number in queues.iter().filter_map(|q| names.number(q)) {
                let mut statement = reading
                    .log
                    .prepare_cached("SELECT id, due FROM message WHERE queue = ?1 ORDER BY due, id")
                    .map_err(unavailable)?;
                let mut rows = statement.query([number]).map_err(unavailable)?;
                while let Some(row) = rows.next().map_err(unavailable)? {
                    let (id, due): (u64, i64) = (
                        row.get(0).map_err(unavailable)?,
                        row.get(1).map_err(unavailable)?,
                    );
                    match self.queues.held_until(id, now) {
                        Some(until) => sooner(until.max(due)),
                        None => {
                            sooner(due);
                            break;
                        }
                    }
                }
            }
            Ok(soonest)
        })
    }

    pub(super) fn revive(&self, id: QueueMessageId) -> Result<bool, StoreError> {
        self.running()?;
        self.in_writer(move |batch| {
            let queue: Option<u32> = batch
                .log
                .prepare_cached("SELECT queue FROM dead WHERE id = ?1")
                .and_then(|mut s| s.query_row([number(id.0)], |r| r.get(0)).optional())
                .map_err(unavailable)?;
            let Some(queue) = queue else { return Ok(false) };
            batch.execute(
                "INSERT INTO message(id, queue, due, at, expires, max_deliveries, deliveries, headers, body, place)
                 SELECT id, queue, ?2, at, NULL, max_deliveries, 0, headers, body, place FROM dead WHERE id = ?1",
                params![id.0, batch.at],
            )?;
            batch.execute("DELETE FROM dead WHERE id = ?1", [id.0])?;
            batch.wake.insert(queue);
            Ok(true)
        })
    }
}

impl Queues {
    fn leased(&self, id: u64, now: i64) -> bool {
        self.held_until(id, now).is_some()
    }

    fn held_until(&self, id: u64, now: i64) -> Option<i64> {
        locked(&self.leases)
            .held
            .get(&id)
            .filter(|l| l.until > now || l.pins > 0)
            .map(|l| l.until)
    }

    fn leased_in(&self, queue: u32, now: i64) -> u64 {
        locked(&self.leases)
            .held
            .values()
            .filter(|l| l.queue == queue && l.until > now)
            .count() as u64
    }

    fn count(&self, id: u64) -> u32 {
        let leases = locked(&self.leases);
        let held = leases.held.get(&id).map_or(0, |l| l.deliveries);
        leases.counts.get(&id).map_or(0, |(n, _)| *n).max(held)
    }

    /// Forgets leases that ran out; their counts stay noted until written.
    pub(super) fn forget_lost(&self, now: i64) {
        locked(&self.leases)
            .held
            .retain(|_, l| l.until > now || l.pins > 0);
    }
}

impl Batch<'_> {
    /// Moves messages that expired or were delivered too often to the dead letters; leased ones stay.
    pub(super) fn bury(&mut self, ids: &[u64]) -> Result<(), StoreError> {
        for id in ids {
            if self.inner.queues.leased(*id, self.at) {
                continue;
            }
            let row: Option<(Option<i64>, u32, u32)> = self
                .log
                .prepare_cached(
                    "SELECT expires, max_deliveries, deliveries FROM message WHERE id = ?1",
                )
                .and_then(|mut s| {
                    s.query_row([*id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                        .optional()
                })
                .map_err(unavailable)?;
            let Some((expires, max_deliveries, written)) = row else {
                continue;
            };
            let deliveries = self.inner.queues.count(*id).max(written);
            if max_deliveries > 0 && deliveries >= max_deliveries {
                self.dead_letter(*id, MAX_DELIVERY, deliveries)?;
            } else if expires.is_some_and(|t| t <= self.at) {
                self.dead_letter(*id, EXPIRED, deliveries)?;
            }
        }
        Ok(())
    }

    pub(super) fn dead_letter(
        &mut self,
        id: u64,
        reason: &str,
        deliveries: u32,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO dead(id, queue, died, reason, at, max_deliveries, deliveries, headers, body, place)
             SELECT id, queue, ?2, ?3, at, max_deliveries, ?4, headers, body, place FROM message WHERE id = ?1",
            params![id, self.at, reason, deliveries],
        )?;
        self.execute("DELETE FROM message WHERE id = ?1", [id])
    }

    /// A released message goes back to its place, unless it was delivered often enough already.
    pub(super) fn release(&mut self, id: u64, due_at: Option<i64>) -> Result<(), StoreError> {
        let deliveries = self.inner.queues.deliveries(id);
        let row: Option<(u32, u32)> = self
            .log
            .prepare_cached("SELECT queue, max_deliveries FROM message WHERE id = ?1")
            .and_then(|mut s| s.query_row([id], |r| Ok((r.get(0)?, r.get(1)?))).optional())
            .map_err(unavailable)?;
        let Some((queue, max_deliveries)) = row else {
            return Ok(());
        };
        if max_deliveries > 0 && deliveries >= max_deliveries {
            return self.dead_letter(id, MAX_DELIVERY, deliveries);
        }
        self.wake.insert(queue);
        self.lowered.insert(queue);
        self.execute(
            "UPDATE message SET due = coalesce(?2, due), deliveries = ?3 WHERE id = ?1",
            params![id, due_at, deliveries],
        )
    }

    /// Messages past their end of life, found by the clock; at most `limit`.
    pub(super) fn bury_expired(&mut self, limit: usize) -> Result<usize, StoreError> {
        let ids: Vec<u64> = self
            .log
            .prepare_cached("SELECT id FROM message WHERE expires <= ?1 ORDER BY expires LIMIT ?2")
            .and_then(|mut s| {
                s.query_map(params![self.at, limit], |r| r.get(0))?
                    .collect::<Result<_, _>>()
            })
            .map_err(unavailable)?;
        self.bury(&ids)?;
        Ok(ids.len())
    }
}
