//! Walks over index rows: by value, by type, by compartment. A row counts when its version was the newest of its record
//! at the snapshot, the record was live, and the filter lets it through.

use super::check::RESERVED_PARAMS;
use super::link::Conn;
use super::reader::PgReader;
use super::rows::{RawHead, head_columns};
use super::shared::Shared;
use super::world::{before, compartment_key, end, is_of, key, rid_of, value_of};
use crate::{
    Direction, Granted, IndexRow, KeyRange, MAX_KEY_BYTES, PersonKey, RepoId, Rid, StoreError, Vno,
};
use std::collections::{BTreeSet, HashMap};

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// Up to this many compartment rows, a filter's persons lead the walk instead of the range.
const SMALL_COMPARTMENT: i64 = 3_000;
/// Ranges up to this size are walked directly.
const SMALL_RANGE: u64 = 256;

const ASCENDING: &str = concat!(
    "SELECT i.key, i.place, ",
    head_columns!(),
    " FROM idx i JOIN head h ON h.rid = (i.place >> 20)
      WHERE (i.key, i.place) > ($1, $2) AND i.key < $3 ORDER BY i.key, i.place LIMIT $4"
);
const DESCENDING: &str = concat!(
    "SELECT i.key, i.place, ",
    head_columns!(),
    " FROM idx i JOIN head h ON h.rid = (i.place >> 20)
      WHERE (i.key, i.place) < ($1, $2) AND i.key >= $3 ORDER BY i.key DESC, i.place DESC LIMIT $4"
);
/// As a range in the order of the index `head_type`, and not as "equal to": then the planner may take the primary key instead
/// and pass by all other records, millions of them, in search of the few of a rare type.
const OF_TYPE: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM head h WHERE (((h.repo::bigint << 32) | h.rtype), h.rid) > ($1, $2)
        AND ((h.repo::bigint << 32) | h.rtype) < $1 + 1
      ORDER BY ((h.repo::bigint << 32) | h.rtype), h.rid LIMIT $3"
);
const OF_PERSON: &str = concat!(
    "SELECT i.place, ",
    head_columns!(),
    " FROM idx i JOIN head h ON h.rid = (i.place >> 20)
      WHERE i.key = $1 AND i.place > $2 ORDER BY i.place LIMIT $3"
);

/// Key and place of the row that was seen last.
type Place = (Vec<u8>, i64);

/// Key beyond every value of the parameter.
fn beyond(repo: RepoId, param: u32) -> Vec<u8> {
    key(repo, param, &[u8::MAX; MAX_KEY_BYTES + 1])
}

/// First key of a range and the first one beyond it.
pub(super) fn bounds(repo: RepoId, range: &KeyRange) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    if range.param >= RESERVED_PARAMS {
        let what = format!("parameter {} is reserved", range.param);
        return Err(StoreError::Invalid(what));
    }
    let to = match &range.to {
        Some(to) => key(repo, range.param, to),
        None => beyond(repo, range.param),
    };
    Ok((key(repo, range.param, &range.from), to))
}

fn number(rid: Rid) -> i64 {
    i64::try_from(rid.0).unwrap_or(i64::MAX)
}

/// An ordered walk over a range.
pub(super) struct Walk<'a> {
    reader: &'a PgReader,
    conn: &'a Conn,
    grant: &'a Granted,
    repo: RepoId,
    range: &'a KeyRange,
    direction: Direction,
    from: Vec<u8>,
    to: Vec<u8>,
    place: Place,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        reader: &'a PgReader,
        conn: &'a Conn,
        grant: &'a Granted,
        repo: RepoId,
        range: &'a KeyRange,
        direction: Direction,
        after: Option<&IndexRow>,
    ) -> Result<Self, StoreError> {
        let (from, to) = bounds(repo, range)?;
        let after = after.map(|row| (key(repo, range.param, &row.value), row.rid));
        let place = match (direction, after) {
            (Direction::Ascending, Some((value, rid))) if value >= from => (value, end(rid)),
            (Direction::Ascending, _) => (from.clone(), -1),
            (Direction::Descending, Some((value, rid))) if value < to => (value, before(rid)),
            (Direction::Descending, _) => (to.clone(), -1),
        };
        Ok(Self {
            reader,
            conn,
            grant,
            repo,
            range,
            direction,
            from,
            to,
            place,
        })
    }

    /// The first `limit` rows that count.
    pub(super) async fn first(&mut self, limit: usize) -> Result<Vec<IndexRow>, StoreError> {
        let mut rows: Vec<IndexRow> = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        if let Some(leg) = self.compartment_leg().await? {
            rows = self.by_compartment(leg).await?;
            rows.truncate(limit);
            return Ok(rows);
        }
        // a few more than asked for: superseded versions stand among them for an hour
        let page = (limit as i64)
            .saturating_add(limit as i64 / 16 + 1)
            .min(PAGE);
        loop {
            let (found, _, more) = self.page(page).await?;
            for row in found {
                rows.push(row);
                if rows.len() == limit {
                    return Ok(rows);
                }
            }
            if !more {
                return Ok(rows);
            }
        }
    }

    /// All rows that count; `Invalid` when more than `limit` had to be visited.
    pub(super) async fn all(
        &mut self,
        limit: usize,
        take: &mut dyn FnMut(IndexRow),
    ) -> Result<(), StoreError> {
        let too_costly = || StoreError::Invalid(format!("more than {limit} index rows to visit"));
        if let Some(leg) = self.compartment_leg().await? {
            let rows = self.by_compartment(leg).await?;
            if rows.len() > limit {
                return Err(too_costly());
            }
            rows.into_iter().for_each(take);
            return Ok(());
        }
        let mut visited = 0;
        loop {
            let (found, current, more) = self.page(PAGE).await?;
            visited += current;
            if visited > limit {
                return Err(too_costly());
            }
            found.into_iter().for_each(&mut *take);
            if !more {
                return Ok(());
            }
        }
    }

    /// The next rows: those that count, how many were current at the snapshot, whether there may be more.
    async fn page(&mut self, size: i64) -> Result<(Vec<IndexRow>, usize, bool), StoreError> {
        crate::Patience::check()?;
        let (key, place) = &self.place;
        let (sql, other) = match self.direction {
            Direction::Ascending => (ASCENDING, &self.to),
            Direction::Descending => (DESCENDING, &self.from),
        };
        let rows = self.conn.query(sql, &[key, place, other, &size]).await?;
        let more = rows.len() as i64 == size;
        if let Some(last) = rows.last() {
            self.place = (last.get(0), last.get(1));
        }
        let newest = rows
            .iter()
            .map(|row| RawHead::of(row, 2))
            .collect::<Result<_, _>>()?;
        let states = self.reader.states(self.conn, newest).await?;
        let mut admitted: HashMap<Rid, bool> = HashMap::new();
        let (mut found, mut heads) = (Vec::new(), Vec::new());
        let mut current = 0;
        for row in &rows {
            let place: i64 = row.get(1);
            let rid = rid_of(place);
            let is_current = |s: &&RawHead| is_of(place, s.vno) && s.live();
            let Some(state) = states.get(&rid).filter(is_current) else {
                continue;
            };
            current += 1;
            let seen = match admitted.get(&rid) {
                Some(seen) => *seen,
                None => {
                    let head = self.reader.admitted(self.grant, state.clone())?;
                    admitted.insert(rid, head.is_some());
                    heads.extend(head);
                    admitted.get(&rid).is_some_and(|seen| *seen)
                }
            };
            if seen {
                let value = value_of(row.get(0)).to_vec();
                found.push(IndexRow { value, rid });
            }
        }
        self.reader.met(heads);
        Ok((found, current, more))
    }

    /// The filter's persons, when their few records are a shorter way than the range.
    async fn compartment_leg(&self) -> Result<Option<Vec<(Rid, Vno)>>, StoreError> {
        let Some(persons) = self.grant.filter().compartments() else {
            return Ok(None);
        };
        let shared = &self.reader.shared;
        if guessed(shared, self.repo, self.range, SMALL_RANGE)?.is_none()
            && counted(shared, self.conn, self.repo, self.range, SMALL_RANGE).await? < SMALL_RANGE
        {
            return Ok(None);
        }
        small_compartment(self.reader, self.conn, self.grant, self.repo, persons).await
    }

    /// Rows of the range by way of a few records and their keys.
    async fn by_compartment(&self, leg: Vec<(Rid, Vno)>) -> Result<Vec<IndexRow>, StoreError> {
        let keys = self.reader.keys_of(self.conn, &leg).await?;
        let inside = |value: &Vec<u8>| {
            *value >= self.range.from && self.range.to.as_ref().is_none_or(|to| value < to)
        };
        let mut rows = BTreeSet::new();
        for (rid, keys) in keys {
            for key in keys {
                if key.param == self.range.param && inside(&key.value) {
                    rows.insert(IndexRow {
                        value: key.value,
                        rid,
                    });
                }
            }
        }
        let (value, place) = (value_of(&self.place.0), self.place.1);
        let ahead = |row: &IndexRow| {
            // between the places before and at the end of its record, which is where a walk stands
            let here = (&row.value[..], before(row.rid) | 1);
            let place = (value, place);
            match self.direction {
                Direction::Ascending => here > place,
                Direction::Descending => here < place,
            }
        };
        let mut rows: Vec<IndexRow> = rows.into_iter().filter(ahead).collect();
        if self.direction == Direction::Descending {
            rows.reverse();
        }
        Ok(rows)
    }
}

/// Visible live records of a few persons with their versions; `None` when they are many.
async fn small_compartment(
    reader: &PgReader,
    conn: &Conn,
    grant: &Granted,
    repo: RepoId,
    persons: &BTreeSet<PersonKey>,
) -> Result<Option<Vec<(Rid, Vno)>>, StoreError> {
    let keys: Vec<Vec<u8>> = own_keys(reader, persons)
        .into_iter()
        .map(|person| compartment_key(repo, person))
        .collect();
    let sql = "SELECT count(*) FROM (SELECT 1 FROM idx WHERE key = ANY($1) LIMIT $2) c";
    let few = SMALL_COMPARTMENT + 1;
    let row = conn.query_opt(sql, &[&keys, &few]).await?;
    if row.is_none_or(|r| r.get::<_, i64>(0) >= few) {
        return Ok(None);
    }
    let rids = compartment(reader, conn, grant, repo, persons, usize::MAX).await?;
    let heads = reader.live(conn, grant, &rids).await?;
    Ok(Some(heads.values().map(|h| (h.rid, h.vno)).collect()))
}

fn own_keys(reader: &PgReader, persons: &BTreeSet<PersonKey>) -> BTreeSet<PersonKey> {
    persons
        .iter()
        .flat_map(|p| reader.names.aliases.same(*p))
        .collect()
}

/// Live visible records in which one of the persons stands, ascending.
pub(super) async fn compartment(
    reader: &PgReader,
    conn: &Conn,
    grant: &Granted,
    repo: RepoId,
    persons: &BTreeSet<PersonKey>,
    limit: usize,
) -> Result<Vec<Rid>, StoreError> {
    let mut found: BTreeSet<Rid> = BTreeSet::new();
    for person in own_keys(reader, persons) {
        let key = compartment_key(repo, person);
        let mut place = -1i64;
        let mut of_this = 0;
        loop {
            let rows = conn.query(OF_PERSON, &[&key, &place, &PAGE]).await?;
            let more = rows.len() as i64 == PAGE;
            if let Some(last) = rows.last() {
                place = last.get(0);
            }
            let newest = rows
                .iter()
                .map(|row| RawHead::of(row, 1))
                .collect::<Result<_, _>>()?;
            let states = reader.states(conn, newest).await?;
            for row in &rows {
                let place: i64 = row.get(0);
                let rid = rid_of(place);
                let is_current = |s: &&RawHead| is_of(place, s.vno) && s.live();
                let Some(state) = states.get(&rid).filter(is_current) else {
                    continue;
                };
                if reader.admitted(grant, state.clone())?.is_some() && found.insert(rid) {
                    of_this += 1;
                }
            }
            // rows ascend by rid: the first `limit` of this person are complete
            if !more || of_this >= limit {
                break;
            }
        }
    }
    Ok(found.into_iter().take(limit).collect())
}

/// Live visible records of a type, ascending.
pub(super) async fn types(
    reader: &PgReader,
    conn: &Conn,
    grant: &Granted,
    repo: RepoId,
    rtype: i32,
    after: Rid,
    limit: usize,
) -> Result<Vec<Rid>, StoreError> {
    if let Some(persons) = grant.filter().compartments()
        && let Some(leg) = small_compartment(reader, conn, grant, repo, persons).await?
    {
        let rids: Vec<Rid> = leg.iter().map(|(rid, _)| *rid).collect();
        let name = reader.names.rtype(rtype)?.to_owned();
        let heads = reader.live(conn, grant, &rids).await?;
        let of_type = heads
            .values()
            .filter(|h| h.rtype == name && h.rid > after)
            .map(|h| h.rid);
        let sorted: BTreeSet<Rid> = of_type.collect();
        return Ok(sorted.into_iter().take(limit).collect());
    }
    let mut found = Vec::new();
    let kind = i64::from(repo.0) << 32 | i64::from(rtype);
    let mut place = number(after);
    let page = (limit as i64)
        .saturating_add(limit as i64 / 4)
        .clamp(32, PAGE);
    while found.len() < limit {
        let rows = conn.query(OF_TYPE, &[&kind, &place, &page]).await?;
        let more = rows.len() as i64 == page;
        let newest: Vec<RawHead> = rows
            .iter()
            .map(|row| RawHead::of(row, 0))
            .collect::<Result<_, _>>()?;
        let order: Vec<Rid> = newest.iter().map(|raw| raw.rid).collect();
        place = order.last().map_or(place, |rid| number(*rid));
        let mut states = reader.states(conn, newest).await?;
        for rid in order {
            let Some(state) = states.remove(&rid).filter(RawHead::live) else {
                continue;
            };
            if reader.admitted(grant, state)?.is_some() {
                found.push(rid);
            }
        }
        if !more {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Rows of a range, counted up to `most`.
pub(super) async fn counted(
    shared: &Shared,
    conn: &Conn,
    repo: RepoId,
    range: &KeyRange,
    most: u64,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM idx WHERE key >= $1 AND key < $2 LIMIT $3) c";
    let (from, to) = bounds(repo, range)?;
    let row = conn.query_opt(sql, &[&from, &to, &(most as i64)]).await?;
    let rows = row.map_or(0, |r| r.get::<_, i64>(0) as u64);
    if rows >= most {
        shared.guesses.learn([from, to], rows);
    }
    Ok(rows)
}

/// Rows of a range up to `most`, when they were counted a moment ago and were that many.
pub(super) fn guessed(
    shared: &Shared,
    repo: RepoId,
    range: &KeyRange,
    most: u64,
) -> Result<Option<u64>, StoreError> {
    let (from, to) = bounds(repo, range)?;
    Ok(shared.guesses.reach(&[from, to], most).then_some(most))
}

/// Rough number of rows: counted up to 2 000, beyond that the planner's guess.
pub(super) async fn estimate(
    shared: &Shared,
    conn: &Conn,
    repo: RepoId,
    range: &KeyRange,
) -> Result<u64, StoreError> {
    const COUNTED: u64 = 2_000;
    let exact = counted(shared, conn, repo, range, COUNTED).await?;
    if exact < COUNTED {
        return Ok(exact);
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (from, to) = bounds(repo, range)?;
    let sql = format!(
        "EXPLAIN (FORMAT JSON) SELECT 1 FROM idx WHERE key >= '\\x{}'::bytea AND key < '\\x{}'::bytea",
        hex(&from),
        hex(&to)
    );
    let answer = conn
        .client
        .simple_query(&sql)
        .await
        .map_err(super::link::down)?;
    let guess = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            let plan: serde_json::Value = serde_json::from_str(row.get(0)?).ok()?;
            plan.pointer("/0/Plan/Plan Rows")?.as_f64()
        }
        _ => None,
    });
    Ok(guess.map_or(COUNTED, |g| (g as u64).max(COUNTED)))
}
