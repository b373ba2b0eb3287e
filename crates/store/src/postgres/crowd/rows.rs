//! The first rows of ranges of the index with the heads of their records, for many callers in one statement.

use super::super::link::Conn;
use super::super::rows::{RawHead, head_columns};
use crate::StoreError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio_postgres::Row;

const ONE: &str = concat!(
    "SELECT i.key, i.place, ",
    head_columns!(),
    " FROM idx i JOIN head h ON h.rid = (i.place >> 20)
      WHERE i.key >= $1 AND i.key < $2 ORDER BY i.key, i.place LIMIT $3"
);
const MANY: &str = concat!(
    "SELECT w.*, k.n FROM unnest($1::bytea[], $2::bytea[], $3::bigint[])
       WITH ORDINALITY k(low, high, most, n)
     CROSS JOIN LATERAL (SELECT i.key, i.place, ",
    head_columns!(),
    " FROM idx i JOIN head h ON h.rid = (i.place >> 20)
      WHERE i.key >= k.low AND i.key < k.high ORDER BY i.key, i.place LIMIT k.most) w"
);
/// Column of the range's number in [`MANY`].
const NUMBER: usize = 12;

/// A range of keys, and how many rows of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::postgres) struct RangeName {
    /// First key.
    pub(in crate::postgres) from: Vec<u8>,
    /// First key outside.
    pub(in crate::postgres) to: Vec<u8>,
    /// Most rows.
    pub(in crate::postgres) most: u32,
}

/// A row of the index, and the newest version of its record.
pub(in crate::postgres) struct FirstRow {
    pub(in crate::postgres) key: Vec<u8>,
    pub(in crate::postgres) place: i64,
    pub(in crate::postgres) raw: RawHead,
}

/// The first rows of a range, in order.
pub(in crate::postgres) struct FirstRows {
    pub(in crate::postgres) rows: Vec<FirstRow>,
    /// There may be more of them.
    pub(in crate::postgres) more: bool,
}

/// Rows of each range.
pub(super) type Found = HashMap<RangeName, Arc<FirstRows>>;

fn row(row: &Row) -> Result<FirstRow, StoreError> {
    Ok(FirstRow {
        key: row.get(0),
        place: row.get(1),
        raw: RawHead::of(row, 2)?,
    })
}

fn found(range: &RangeName, mut rows: Vec<FirstRow>) -> (RangeName, Arc<FirstRows>) {
    // they come in order; only, of a join nobody promises it
    if !rows.is_sorted_by(|a, b| (&a.key, a.place) <= (&b.key, b.place)) {
        rows.sort_by(|a, b| (&a.key, a.place).cmp(&(&b.key, b.place)));
    }
    let more = rows.len() as u64 >= u64::from(range.most);
    (range.clone(), Arc::new(FirstRows { rows, more }))
}

/// Asks for all ranges at once.
pub(super) async fn first(conn: &Conn, ranges: &BTreeSet<RangeName>) -> Result<Found, StoreError> {
    let mut all = ranges.iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return many(conn, ranges).await;
    };
    let most = i64::from(only.most);
    let rows = conn.query(ONE, &[&only.from, &only.to, &most]).await?;
    let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Found::from([found(only, rows)]))
}

async fn many(conn: &Conn, ranges: &BTreeSet<RangeName>) -> Result<Found, StoreError> {
    if ranges.is_empty() {
        return Ok(Found::new());
    }
    let from: Vec<&[u8]> = ranges.iter().map(|r| r.from.as_slice()).collect();
    let to: Vec<&[u8]> = ranges.iter().map(|r| r.to.as_slice()).collect();
    let most: Vec<i64> = ranges.iter().map(|r| i64::from(r.most)).collect();
    let mut parts: Vec<Vec<FirstRow>> = ranges.iter().map(|_| Vec::new()).collect();
    for sent in conn.query(MANY, &[&from, &to, &most]).await? {
        let number = usize::try_from(sent.get::<_, i64>(NUMBER) - 1).ok();
        if let Some(part) = number.and_then(|n| parts.get_mut(n)) {
            part.push(row(&sent)?);
        }
    }
    let named = ranges.iter().zip(parts);
    Ok(named.map(|(range, rows)| found(range, rows)).collect())
}
