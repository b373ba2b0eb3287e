//! Housekeeping: expired messages and claims, unused blobs, superseded index rows, erasures, sealing. One thread per
//! process; what must not run twice at a time takes a lock in the database.

use super::link::{Conn, NO_TIMEOUT, transaction};
use super::mirror;
use super::pack;
use super::schema::LOCK_KEEPER;
use super::shared::{Shared, count};
use super::world::{IdxRow, compartment_key, current, key, param_of, place, rid_of};
use crate::{PurgeState, RepoId, Rid, StoreError, Vno};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Unreferenced blobs are kept this long, microseconds.
const BLOB_GRACE: i64 = 3_600_000_000;
/// Versions looked at in one step.
const WINDOW: i64 = 2_000;

/// Everything that is due. Returns without doing anything when another process is at it.
pub(super) fn maintain(shared: &Arc<Shared>) -> Result<(), StoreError> {
    shared.open()?;
    let conn = &shared.link.connect_here(NO_TIMEOUT)?;
    conn.block_on(async {
        let lock: super::link::Params<'_> = &[&LOCK_KEEPER, &shared.link.schema];
        conn.execute("SELECT pg_advisory_lock($1, hashtext($2))", lock)
            .await?;
        let result = rounds(shared, conn).await;
        if conn
            .execute("SELECT pg_advisory_unlock($1, hashtext($2))", lock)
            .await
            .is_err()
        {
            tracing::debug!("the keeper's connection broke; its lock ends with it");
        }
        result
    })
}

/// Processes that have written nothing for a day: whoever of them lives asks for its batch within seconds.
const FORGET_COMMITTERS: &str = "DELETE FROM committer WHERE at < now_us() - 86400000000";

async fn rounds(shared: &Shared, conn: &Conn) -> Result<(), StoreError> {
    sweep_messages(conn).await?;
    conn.execute("DELETE FROM claim WHERE until <= now_us()", &[])
        .await?;
    conn.execute(FORGET_COMMITTERS, &[]).await?;
    move_floor(shared, conn).await?;
    prune(conn).await?;
    erase(shared, conn).await?;
    sweep_blobs(shared, conn).await?;
    mirror::drain(shared, conn).await
}

/// Moves spent messages to the dead letters.
pub(super) async fn sweep_messages(conn: &Conn) -> Result<(), StoreError> {
    let columns = "id, queue, enqueued, max_deliveries, deliveries, headers, body";
    for (reason, due) in [
        (
            "expired",
            "expires <= now_us() AND leased_until <= now_us()",
        ),
        (
            "max-delivery",
            "max_deliveries > 0 AND deliveries >= max_deliveries AND leased_until <= now_us()",
        ),
    ] {
        let sql = format!(
            "WITH gone AS (DELETE FROM message WHERE id IN
               (SELECT id FROM message WHERE {due} LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING {columns})
             INSERT INTO dead (id, queue, at, reason, enqueued, max_deliveries, deliveries, headers, body)
             SELECT id, queue, now_us(), '{reason}', enqueued, max_deliveries, deliveries, headers, body FROM gone"
        );
        while conn.execute(&sql, &[]).await? == 500 {}
    }
    Ok(())
}

/// The floor: snapshots below it are expired. It is the newest place whose commit is older than the retention.
async fn move_floor(shared: &Shared, conn: &Conn) -> Result<(), StoreError> {
    let row = conn
        .query_opt("SELECT seq, floor, now_us() FROM clock", &[])
        .await?;
    let Some(row) = row else { return Ok(()) };
    let (end, floor, now): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let keep = i64::try_from(shared.retention.as_micros()).unwrap_or(i64::MAX);
    let (mut low, mut high) = (floor, end);
    // commit times ascend with places: the last place that is old enough, by halving
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let sql = "SELECT at FROM version WHERE seq = $1 AND seq > 0 UNION ALL SELECT at FROM event WHERE seq = $1 LIMIT 1";
        let at: Option<i64> = conn.query_opt(sql, &[&middle]).await?.map(|r| r.get(0));
        if at.is_some_and(|at| at <= now.saturating_sub(keep)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if low > floor {
        // announced first, cleared afterwards: readers look at the floor after they have read
        conn.execute("UPDATE clock SET floor = $1 WHERE floor < $1", &[&low])
            .await?;
        // of each person raised since, only the newest epoch up to the floor is still asked for
        let sql = "DELETE FROM epoch e USING (SELECT person, max(seq) AS newest FROM epoch WHERE seq > $1 AND seq <= $2
            GROUP BY person) n WHERE e.person = n.person AND e.seq < n.newest";
        conn.execute(sql, &[&floor, &low]).await?;
    }
    Ok(())
}

/// Removes index rows that no snapshot above the floor needs.
async fn prune(conn: &Conn) -> Result<(), StoreError> {
    loop {
        let row = conn
            .query_opt("SELECT pruned, floor FROM clock", &[])
            .await?;
        let Some((pruned, floor)) = row.map(|r| (r.get::<_, i64>(0), r.get::<_, i64>(1))) else {
            return Ok(());
        };
        if pruned >= floor {
            return Ok(());
        }
        let to = floor.min(pruned.saturating_add(WINDOW));
        transaction(conn, "BEGIN", async |conn: &Conn| {
            let sql = "SELECT o.repo, o.rid, o.vno, o.form, o.keys, o.meta FROM version v
                JOIN version o ON o.rid = v.rid AND o.vno = v.vno - 1 WHERE v.seq > $1 AND v.seq <= $2 AND v.seq > 0";
            let mut rows = Vec::new();
            for row in conn.query(sql, &[&pruned, &to]).await? {
                rows.extend(index_rows(&row)?);
            }
            remove(conn, &rows).await?;
            conn.execute("UPDATE clock SET pruned = $1", &[&to]).await
        })
        .await?;
    }
}

/// Index rows of a version, from its keys and persons: columns repo, rid, vno, form, keys, meta.
pub(super) fn index_rows(row: &tokio_postgres::Row) -> Result<Vec<IdxRow>, StoreError> {
    let repo = RepoId(row.get::<_, i16>(0) as u16);
    let place = place(
        Rid(row.get::<_, i64>(1) as u64),
        Vno(row.get::<_, i32>(2) as u32),
    );
    let keys = pack::read_keys(row.get(3), row.get(4))?;
    let meta = pack::read_meta(row.get(5))?;
    let by_key = keys.iter().map(|k| key(repo, k.param, &k.value));
    let by_person = meta.persons.iter().map(|p| compartment_key(repo, *p));
    let all = by_key.chain(by_person);
    Ok(all.map(|key| IdxRow { key, place }).collect())
}

pub(super) async fn remove(conn: &Conn, rows: &[IdxRow]) -> Result<(), StoreError> {
    for part in rows.chunks(5_000) {
        let (keys, places) = columns(part);
        conn.execute(
            "DELETE FROM idx i USING unnest($1::bytea[], $2::bigint[]) u(key, place)
             WHERE i.key = u.key AND i.place = u.place",
            &[&keys, &places],
        )
        .await?;
    }
    Ok(())
}

/// Index rows as columns of `unnest`.
pub(super) fn columns(rows: &[IdxRow]) -> (Vec<&[u8]>, Vec<i64>) {
    rows.iter().map(|r| (r.key.as_slice(), r.place)).unzip()
}

/// Erases what is hidden: index rows, bodies, keys, privacy columns, references to blobs and blobs that nothing else
/// refers to; then lets the server reclaim the space.
async fn erase(shared: &Shared, conn: &Conn) -> Result<(), StoreError> {
    let sql = "SELECT p.rid, h.purged FROM purge p JOIN head h ON h.rid = p.rid WHERE NOT p.erased ORDER BY p.seq LIMIT 1000";
    let waiting = conn.query(sql, &[]).await?;
    for row in &waiting {
        let (rid, purged): (i64, i32) = (row.get(0), row.get(1));
        transaction(conn, "BEGIN", async |conn: &Conn| {
            // batches hold this row: nothing of the record changes meanwhile
            conn.query("SELECT 1 FROM clock FOR UPDATE", &[]).await?;
            let sql = "SELECT repo, rid, vno, form, keys, meta FROM version WHERE rid = $1 AND vno <= $2";
            let mut rows = Vec::new();
            for row in conn.query(sql, &[&rid, &purged]).await? {
                rows.extend(index_rows(&row)?);
            }
            remove(conn, &rows).await?;
            let empty = pack::meta(&pack::Meta::default());
            conn.execute(
                "UPDATE version SET content = '', keys = '', blobs = '', meta = $3 WHERE rid = $1 AND vno <= $2",
                &[&rid, &purged, &empty],
            )
            .await?;
            let sql = "DELETE FROM blob_ref r WHERE r.rid = $1
                AND NOT EXISTS (SELECT 1 FROM version v WHERE v.rid = $1 AND position(r.hash in v.blobs) > 0) RETURNING r.hash";
            let gone = conn.query(sql, &[&rid]).await?;
            let hashes: Vec<Vec<u8>> = gone.iter().map(|r| r.get(0)).collect();
            let sql = "DELETE FROM blob b WHERE b.hash = ANY($1) AND NOT EXISTS (SELECT 1 FROM blob_ref r WHERE r.hash = b.hash)";
            conn.execute(sql, &[&hashes]).await?;
            conn.execute("UPDATE purge SET erased = true WHERE rid = $1", &[&rid]).await
        })
        .await?;
        count(&shared.counters.erased, 1);
    }
    if !waiting.is_empty() {
        // dead rows keep the old bytes until they are vacuumed
        for table in ["version", "idx", "blob", "head"] {
            conn.batch(&format!("VACUUM {table}")).await?;
        }
    }
    Ok(())
}

/// Removes blobs that no version has come to refer to within an hour. Older ones were looked at before: once a blob is
/// referred to, only an erasure ends that, and it removes the blob itself.
async fn sweep_blobs(shared: &Shared, conn: &Conn) -> Result<(), StoreError> {
    let from = shared.swept_to.load(Ordering::Relaxed);
    let now: i64 = conn
        .query_opt("SELECT now_us()", &[])
        .await?
        .map_or(0, |r| r.get(0));
    let to = now.saturating_sub(BLOB_GRACE);
    let unused =
        "b.at >= $1 AND b.at < $2 AND NOT EXISTS (SELECT 1 FROM blob_ref r WHERE r.hash = b.hash)";
    let find = format!("SELECT 1 FROM blob b WHERE {unused} LIMIT 1");
    if !conn.query(&find, &[&from, &to]).await?.is_empty() {
        transaction(conn, "BEGIN", async |conn: &Conn| {
            // a batch that is about to refer to one of them holds this row
            conn.query("SELECT 1 FROM clock FOR UPDATE", &[]).await?;
            conn.execute(&format!("DELETE FROM blob b WHERE {unused}"), &[&from, &to])
                .await
        })
        .await?;
    }
    shared.swept_to.store(to, Ordering::Relaxed);
    Ok(())
}

/// How far a purge has come.
pub(super) fn purge_state(
    shared: &Shared,
    repo: RepoId,
    rtype: &str,
    id: &str,
) -> Result<Option<PurgeState>, StoreError> {
    let sql =
        "SELECT p.erased FROM head h JOIN rtype t ON t.id = h.rtype JOIN purge p ON p.rid = h.rid
        WHERE h.repo = $1 AND t.name = $2 AND h.id = $3";
    let row =
        shared.read(async |conn| conn.query_opt(sql, &[&(repo.0 as i16), &rtype, &id]).await)?;
    Ok(row.map(|r| match r.get::<_, bool>(0) {
        true => PurgeState::Erased,
        false => PurgeState::Hidden,
    }))
}

/// Recomputes the index rows of every version that is not superseded and compares. Number of rows.
pub(super) fn verify_index(shared: &Shared) -> Result<u64, StoreError> {
    shared.open()?;
    let conn = &shared.link.connect_here(NO_TIMEOUT)?;
    conn.block_on(async {
        transaction(conn, super::journal::SNAPSHOT, async |conn: &Conn| {
            verify(conn).await
        })
        .await
    })
}

async fn verify(conn: &Conn) -> Result<u64, StoreError> {
    let sql = "SELECT h.repo, h.rid, h.vno, v.form, v.keys, v.meta FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
        WHERE h.rid > $1 AND h.op < 2 ORDER BY h.rid LIMIT $2";
    let (mut after, mut rows_seen) = (0i64, 0u64);
    loop {
        let rows = conn.query(sql, &[&after, &WINDOW]).await?;
        let Some(last) = rows.last() else { break };
        after = last.get(1);
        let mut expected = Vec::new();
        for row in &rows {
            expected.extend(index_rows(row)?);
        }
        rows_seen += expected.len() as u64;
        for part in expected.chunks(5_000) {
            if let Some((rid, param)) = first_missing(conn, part).await? {
                let what =
                    format!("record {rid} has a key of parameter {param} that the index lacks");
                return Err(StoreError::Corrupt(what));
            }
        }
    }
    let current = concat!("SELECT count(*) FROM idx i JOIN head h ON ", current!());
    let found = conn
        .query_opt(current, &[])
        .await?
        .map_or(0, |r| r.get::<_, i64>(0)) as u64;
    if found != rows_seen {
        let what = format!("the index has {found} current rows, the log {rows_seen}");
        return Err(StoreError::Corrupt(what));
    }
    Ok(rows_seen)
}

/// Record and parameter of the first row that the index lacks.
async fn first_missing(conn: &Conn, part: &[IdxRow]) -> Result<Option<(u64, u32)>, StoreError> {
    let (keys, places) = columns(part);
    let sql = "SELECT u.key, u.place FROM unnest($1::bytea[], $2::bigint[]) u(key, place)
        WHERE NOT EXISTS (SELECT 1 FROM idx i WHERE i.key = u.key AND i.place = u.place) LIMIT 1";
    let row = conn.query_opt(sql, &[&keys, &places]).await?;
    Ok(row.map(|r| (rid_of(r.get(1)).0, param_of(r.get(0)))))
}
