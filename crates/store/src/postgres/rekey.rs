//! Keys made anew for versions that stay as they are: keys and index rows change in one transaction.

use super::check::RESERVED_PARAMS;
use super::keeper::{columns, remove};
use super::link::{Conn, NO_TIMEOUT, transaction};
use super::pack;
use super::shared::Shared;
use super::world::{IdxRow, key, place};
use crate::{IndexKey, MAX_KEY_BYTES, MAX_KEYS, MAX_REKEY, Rekey, RepoId, Rid, StoreError, Vno};
use std::collections::BTreeSet;

/// A repository with no more versions than this is looked through by itself.
const SMALL: usize = 20_000;
/// Records of a small repository: as a range in the order of the index `version_repo`, so that no plan passes by others.
const OF_SMALL: &str =
    "SELECT rid FROM version WHERE repo >= $1 AND repo < $1 + 1 ORDER BY repo, seq, rid LIMIT $2";
const OUTDATED_AMONG: &str =
    "SELECT h.rid FROM unnest($1::bigint[]) u(rid) JOIN head h ON h.rid = u.rid
    JOIN version v ON v.rid = h.rid AND v.vno = h.vno
    WHERE h.op < 2 AND h.purged = 0 AND v.pack <> $2 ORDER BY h.rid LIMIT $3";
const OUTDATED: &str = "SELECT h.rid FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
    WHERE h.rid > $1 AND h.repo = $2 AND h.op < 2 AND h.purged = 0 AND v.pack <> $3 ORDER BY h.rid LIMIT $4";

pub(super) fn outdated(
    shared: &Shared,
    repo: RepoId,
    pack: u32,
    after: Rid,
    limit: usize,
) -> Result<Vec<Rid>, StoreError> {
    shared.open()?;
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let conn = &shared.link.connect_here(NO_TIMEOUT)?;
    conn.block_on(async {
        let (repo, pack) = (repo.0 as i16, i64::from(pack));
        let most = i64::try_from(SMALL + 1).unwrap_or(i64::MAX);
        let all = conn.query(OF_SMALL, &[&repo, &most]).await?;
        let rows = if all.len() <= SMALL {
            let of_repo: BTreeSet<i64> = all.iter().map(|row| row.get(0)).collect();
            let left: Vec<i64> = of_repo.into_iter().filter(|rid| *rid > after).collect();
            conn.query(OUTDATED_AMONG, &[&left, &pack, &limit]).await?
        } else {
            conn.query(OUTDATED, &[&after, &repo, &pack, &limit])
                .await?
        };
        Ok(rows
            .iter()
            .map(|r| Rid(r.get::<_, i64>(0) as u64))
            .collect())
    })
}

pub(super) fn rekey(shared: &Shared, repo: RepoId, changes: &[Rekey]) -> Result<usize, StoreError> {
    shared.open()?;
    let is_wrong = changes.len() > MAX_REKEY
        || changes.iter().any(|c| {
            let is_wrong =
                |k: &IndexKey| k.value.len() > MAX_KEY_BYTES || k.param >= RESERVED_PARAMS;
            c.keys.len() > MAX_KEYS || c.keys.iter().any(is_wrong)
        });
    if is_wrong {
        return Err(StoreError::Invalid(format!(
            "at most {MAX_REKEY} versions at once, of at most {MAX_KEYS} keys of at most {MAX_KEY_BYTES} bytes, \
             of parameters below {RESERVED_PARAMS}"
        )));
    }
    let conn = &shared.link.connect_here(NO_TIMEOUT)?;
    conn.block_on(async {
        transaction(conn, "BEGIN", async |conn: &Conn| {
            // batches hold this row: nothing of the records changes meanwhile
            conn.query("SELECT 1 FROM clock FOR UPDATE", &[]).await?;
            change(conn, repo, changes).await
        })
        .await
    })
}

async fn change(conn: &Conn, repo: RepoId, changes: &[Rekey]) -> Result<usize, StoreError> {
    let rids: Vec<i64> = changes.iter().map(|c| c.rid.0 as i64).collect();
    let vnos: Vec<i32> = changes.iter().map(|c| c.vno.0 as i32).collect();
    let sql =
        "SELECT v.rid, v.vno, v.form, v.keys FROM unnest($1::bigint[], $2::integer[]) u(rid, vno)
        JOIN head h ON h.rid = u.rid AND h.vno = u.vno AND h.repo = $3 AND h.op < 2 AND h.purged = 0
        JOIN version v ON v.rid = h.rid AND v.vno = h.vno";
    let found = conn.query(sql, &[&rids, &vnos, &(repo.0 as i16)]).await?;
    let (mut added, mut gone) = (Vec::new(), Vec::new());
    let (mut of_rid, mut of_vno, mut packs, mut keys) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &found {
        let (rid, vno, form): (i64, i32, i16) = (row.get(0), row.get(1), row.get(2));
        let Some(change) = changes.iter().find(|c| c.rid.0 as i64 == rid) else {
            continue;
        };
        let old_keys = pack::read_keys(form, row.get(3))?;
        let mut new_keys = change.keys.clone();
        new_keys.sort_unstable();
        new_keys.dedup();
        let as_row = |k: &IndexKey| IdxRow {
            key: key(repo, k.param, &k.value),
            place: place(Rid(rid as u64), Vno(vno as u32)),
        };
        let old: BTreeSet<_> = old_keys.iter().collect();
        let new: BTreeSet<_> = new_keys.iter().collect();
        added.extend(new.difference(&old).map(|k| as_row(k)));
        gone.extend(old.difference(&new).map(|k| as_row(k)));
        of_rid.push(rid);
        of_vno.push(vno);
        packs.push(i64::from(change.pack));
        keys.push(pack::keys(form, &new_keys));
    }
    if of_rid.is_empty() {
        return Ok(0);
    }
    conn.execute(
        "UPDATE version v SET keys = u.keys, pack = u.pack
           FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[]) u(rid, vno, pack, keys)
          WHERE v.rid = u.rid AND v.vno = u.vno",
        &[&of_rid, &of_vno, &packs, &keys],
    )
    .await?;
    remove(conn, &gone).await?;
    insert(conn, &added).await?;
    Ok(of_rid.len())
}

async fn insert(conn: &Conn, rows: &[IdxRow]) -> Result<(), StoreError> {
    for part in rows.chunks(5_000) {
        let (keys, places) = columns(part);
        conn.execute(
            "INSERT INTO idx (key, place) SELECT * FROM unnest($1::bytea[], $2::bigint[])",
            &[&keys, &places],
        )
        .await?;
    }
    Ok(())
}
