//! Where a reader begins: at the newest flushed state, asked for alone or together with the record that is read first.

use super::super::check::askable;
use super::super::crowd::{Crowd, Name, RangeName};
use super::super::met::Met;
use super::super::names::Names;
use super::super::shared::{Shared, Tip};
use super::super::walk::bounds;
use super::PgReader;
use super::ahead::Ahead;
use crate::{FirstLook, RepoId, Snapshot, SnapshotSoon, StoreError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The newest flushed state.
pub(in crate::postgres) fn newest(shared: &Arc<Shared>) -> Result<Snapshot, StoreError> {
    let (tip, names) = shared.crowd.tip(shared)?;
    Ok(at_tip(shared, tip, names, None))
}

/// The newest flushed state, for somebody who reads this record first: one round trip instead of two.
pub(in crate::postgres) fn newest_for(
    shared: &Arc<Shared>,
    repo: RepoId,
    rtype: &str,
    id: &str,
) -> Result<Snapshot, StoreError> {
    let Some(name) = name_of(shared, repo, rtype, id) else {
        return newest(shared);
    };
    let (tip, names, found) = shared.crowd.tip_and_record(shared, name.clone())?;
    Ok(at_tip(shared, tip, names, Some(Ahead::Record(name, found))))
}

/// The same for a task.
pub(in crate::postgres) fn newest_soon(
    shared: &Arc<Shared>,
    repo: RepoId,
    rtype: &str,
    id: &str,
) -> Option<SnapshotSoon> {
    let name = name_of(shared, repo, rtype, id)?;
    let asked = Crowd::tip_and_record_soon(shared, name.clone());
    let shared = shared.clone();
    Some(Box::pin(async move {
        let (tip, names, found) = asked.await?;
        let ahead = Ahead::Record(name, found);
        Ok(at_tip(&shared, tip, names, Some(ahead)))
    }))
}

/// Most rows that come along.
const MOST_ROWS: usize = 1_000;

/// The same for a task that first looks at a range.
pub(in crate::postgres) fn newest_at_soon(
    shared: &Arc<Shared>,
    repo: RepoId,
    look: &FirstLook<'_>,
) -> Option<SnapshotSoon> {
    let (from, to) = bounds(repo, look.range).ok()?;
    let is_many = shared
        .guesses
        .reach(&[from.clone(), to.clone()], look.estimate);
    let counted = usize::try_from(look.estimate).unwrap_or(usize::MAX);
    // a few more than asked for: superseded versions stand among them for an hour
    let rows = look.limit.saturating_add(look.limit / 16 + 1);
    let rows = if is_many { rows } else { rows.max(counted) };
    let most = u32::try_from(rows).ok().filter(|_| rows <= MOST_ROWS)?;
    let range = RangeName { from, to, most };
    let asked = Crowd::tip_and_rows_soon(shared, range.clone());
    let shared = shared.clone();
    Some(Box::pin(async move {
        let (tip, names, rows) = asked.await?;
        let ahead = Ahead::Rows(range, rows);
        Ok(at_tip(&shared, tip, names, Some(ahead)))
    }))
}

/// A record's name in the tables; `None` for a type of which this process has not heard yet: that has a number when the
/// feed row has been read.
fn name_of(shared: &Shared, repo: RepoId, rtype: &str, id: &str) -> Option<Name> {
    let number = shared.names().number(rtype).filter(|_| askable(id))?;
    Some((repo.0 as i16, number, id.to_owned()))
}

fn at_tip(shared: &Arc<Shared>, tip: Tip, names: Arc<Names>, ahead: Option<Ahead>) -> Snapshot {
    Arc::new(PgReader {
        shared: shared.clone(),
        seq: tip.seq,
        at: tip.at,
        names,
        old: false,
        made: Instant::now(),
        met: Met::default(),
        ahead: Mutex::new(ahead),
    })
}
