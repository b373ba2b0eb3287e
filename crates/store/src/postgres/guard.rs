//! Who holds leases is alive: each process holds a lock of its own in the database for as long as its connection stands. When
//! the lock of a process that is known by name is free, the process is gone, and its leases are ended by whoever sees it
//! first; its messages are visible again within seconds, whatever the leases were for.
//!
//! A process whose connection broke takes its lock again with the next one. Leases it lost meanwhile are lost like any other:
//! settling them is refused, and the messages are delivered again. A machine that vanishes is noticed by the server's probes
//! of this one connection.

use super::link::{Conn, transaction};
use super::schema::LOCK_HOLDER;
use super::shared::{Shared, count};
use crate::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// How often others are looked after.
const BEAT: Duration = Duration::from_secs(2);
/// Bits of a lease's token that are chance; those above name the holder.
const CHANCE_BITS: u32 = 32;

/// Probes of a silent connection: gone after eight seconds or so.
const PROBES: &str =
    "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 2";
/// Two processes that start at once may both make it: who comes second is told that it is there, and tries again.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS holder (name integer PRIMARY KEY, since bigint NOT NULL)";
const KNOWN: &str = "INSERT INTO holder (name, since) VALUES ($1, now_us()) ON CONFLICT DO NOTHING";
/// Holders whose lock nobody has.
const GONE: &str = "SELECT name FROM holder h WHERE name <> $1 AND NOT EXISTS (SELECT 1 FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = $2::oid AND l.objid = h.name::oid
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted)";
/// Ends what it held.
const FREE: &str =
    "UPDATE message SET leased_until = 0 WHERE leased_until > now_us() AND token >> $2 = $1";

/// A name for this process among the holders of leases.
pub(super) fn name() -> i32 {
    rand::random_range(1..=i32::MAX)
}

/// A new token of this process: never zero, never negative.
pub(super) fn token(name: i32) -> i64 {
    (i64::from(name) << CHANCE_BITS) | i64::from(rand::random::<u32>())
}

/// Runs until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    while shared.open().is_ok() {
        if let Err(error) = watch(&shared).await {
            tracing::debug!(%error, "not looking after leases of other processes; trying again");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn watch(shared: &Shared) -> Result<(), StoreError> {
    let conn = &shared.link.connect().await?;
    conn.batch(PROBES).await?;
    conn.batch(TABLE).await?;
    let me = shared.holder;
    conn.execute("SELECT pg_advisory_lock($1, $2)", &[&LOCK_HOLDER, &me])
        .await?;
    while shared.open().is_ok() {
        // again at each beat: somebody may have thought us gone
        conn.execute(KNOWN, &[&me]).await?;
        let class = LOCK_HOLDER as u32;
        for row in conn.query(GONE, &[&me, &class]).await? {
            let freed = free(conn, row.get(0)).await?;
            if freed > 0 {
                tracing::info!(freed, "leases of a process that is gone were ended");
                count(&shared.counters.freed, freed);
                shared.wake.queues();
                conn.execute("SELECT pg_notify($1, '')", &[&shared.channel])
                    .await?;
            }
        }
        tokio::time::sleep(BEAT).await;
    }
    Ok(())
}

/// Ends the leases of a holder, unless it has come back or somebody else is at it.
async fn free(conn: &Conn, name: i32) -> Result<u64, StoreError> {
    transaction(conn, "BEGIN", async |conn: &Conn| {
        let sql = "SELECT pg_try_advisory_xact_lock($1, $2)";
        let row = conn.query_opt(sql, &[&LOCK_HOLDER, &name]).await?;
        if !row.is_some_and(|row| row.get(0)) {
            return Ok(0);
        }
        let bits = i32::try_from(CHANCE_BITS).unwrap_or(32);
        let freed = conn.execute(FREE, &[&i64::from(name), &bits]).await?;
        conn.execute("DELETE FROM holder WHERE name = $1", &[&name])
            .await?;
        Ok(freed)
    })
    .await
}
