//! Reads what a batch needs in order to be decided, in one pipelined round trip, under the lock of the feed row.

use super::link::{Conn, down};
use super::names::Names;
use super::rows::{RawHead, head_columns};
use super::shared::Idents;
use super::world::{ClaimState, Clock, MessageState, RecordName, RecordState, World, current, key};
use crate::{
    Alias, BlobHash, Commit, Expect, Filter, Head, IndexKey, PersonKey, PersonRef, PutId, RepoId,
    StoreError,
};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

const CLOCK: &str = "SELECT seq, seq_at, at, rid, person, message, mirror, names, now_us(),
  pg_backend_pid() FROM clock FOR UPDATE";
const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM unnest($1::smallint[], $2::integer[], $3::text[]) k(repo, rtype, id)
      JOIN head h ON h.repo = k.repo AND h.rtype = k.rtype AND h.id = k.id"
);
const CLAIMS: &str = "SELECT c.space, c.key, c.value, c.until
  FROM unnest($1::text[], $2::bytea[]) k(space, key) JOIN claim c ON c.space = k.space AND c.key = k.key";
const MESSAGES: &str =
    "SELECT id, token, leased_until FROM message WHERE id = ANY($1) ORDER BY id FOR UPDATE";
const POSITIONS: &str = "SELECT consumer, seq FROM position WHERE consumer = ANY($1)";
const IDENTS: &str = "SELECT i.system, i.value, i.person
  FROM unnest($1::text[], $2::text[]) k(system, value) JOIN ident i ON i.system = k.system AND i.value = k.value";
const BLOBS: &str = "SELECT hash FROM blob WHERE hash = ANY($1)";

/// Begins the transaction and locks the feed row: from here on no other batch of any process decides or writes.
pub(super) async fn begin(conn: &Conn) -> Result<Clock, StoreError> {
    let statement = conn.prepare(CLOCK).await.map_err(down)?;
    let (begun, row) = futures_util::join!(
        conn.client.batch_execute("BEGIN"),
        conn.client.query_one(&statement, &[])
    );
    begun.map_err(down)?;
    Ok(clock(&row.map_err(down)?))
}

/// Locks the feed row inside a transaction that has begun already.
pub(super) async fn begin_locked(conn: &Conn) -> Result<Clock, StoreError> {
    let row = conn.query_opt(CLOCK, &[]).await?;
    row.map(|r| clock(&r))
        .ok_or_else(|| StoreError::Corrupt("the feed row is missing".to_owned()))
}

fn clock(row: &Row) -> Clock {
    let number = |i: usize| row.get::<_, i64>(i) as u64;
    Clock {
        seq: number(0),
        seq_at: row.get(1),
        at: row.get(2),
        rid: number(3),
        person: number(4),
        message: number(5),
        mirror: number(6),
        names: row.get(7),
        now: row.get(8),
        process: row.get(9),
    }
}

/// What the commits ask for.
#[derive(Default)]
struct Wanted {
    records: BTreeSet<RecordName>,
    claims: BTreeSet<(String, Vec<u8>)>,
    messages: BTreeSet<i64>,
    positions: BTreeSet<String>,
    idents: BTreeSet<(String, String)>,
    blobs: BTreeSet<BlobHash>,
}

impl Wanted {
    fn person(&mut self, person: &PersonRef) {
        if let PersonRef::Id { system, value } = person {
            self.idents.insert((system.clone(), value.clone()));
        }
    }

    fn commit(&mut self, commit: &Commit) {
        for expect in &commit.expect {
            match expect {
                Expect::Version {
                    repo, rtype, id, ..
                }
                | Expect::Absent { repo, rtype, id } => {
                    self.records.insert((*repo, rtype.clone(), id.clone()));
                }
                Expect::Claim(claim) => {
                    self.claims.insert((claim.space.clone(), claim.key.clone()));
                }
                Expect::ClaimHeld { space, key, .. } => {
                    self.claims.insert((space.clone(), key.clone()));
                }
                Expect::Lease { message, .. } => {
                    self.messages.insert(message.0 as i64);
                }
                Expect::Position { consumer, .. } => {
                    self.positions.insert(consumer.clone());
                }
                Expect::NoMatch { .. } => {}
            }
        }
        for put in &commit.put {
            if let PutId::Given(id) = &put.id {
                self.records
                    .insert((put.repo, put.rtype.clone(), id.clone()));
            }
            let privacy = &put.privacy;
            for person in put
                .persons
                .iter()
                .chain(&privacy.author_person)
                .chain(&privacy.owner)
            {
                self.person(person);
            }
            self.blobs.extend(&put.blobs);
        }
        for purge in &commit.purge {
            let name = (purge.repo, purge.rtype.clone(), purge.id.clone());
            self.records.insert(name);
        }
        self.messages
            .extend(commit.settle.iter().map(|s| s.id.0 as i64));
        self.blobs.extend(commit.blob.iter().map(|b| b.hash));
        commit.raise.iter().for_each(|p| self.person(p));
        for alias in &commit.alias {
            match alias {
                Alias::Merge { from, to } => {
                    self.person(from);
                    self.person(to);
                }
                Alias::Split { from } => self.person(from),
                Alias::AlsoKnownAs {
                    person,
                    system,
                    value,
                } => {
                    self.person(person);
                    self.idents.insert((system.clone(), value.clone()));
                }
            }
        }
    }
}

/// Loads everything the commits refer to.
pub(super) async fn load(
    conn: &Conn,
    clock: Clock,
    names: Arc<Names>,
    idents: &Idents,
    commits: &[&Commit],
) -> Result<World, StoreError> {
    let mut wanted = Wanted::default();
    commits.iter().for_each(|c| wanted.commit(c));
    let met = idents.known(wanted.idents.iter());
    for (name, _) in &met {
        wanted.idents.remove(name);
    }
    let names = if names.count == clock.names {
        names
    } else {
        Arc::new(Names::load(conn, clock.names).await?)
    };
    let mut world = World {
        began: clock.seq,
        clock,
        names,
        idents: met.into_iter().collect(),
        ..World::default()
    };
    fetch(conn, &wanted, idents, &mut world).await?;
    // an expectation may lose as many matches as the batch has puts before it still finds two
    let enough = 2 + commits.iter().map(|c| c.put.len()).sum::<usize>();
    let mut searches = Vec::new();
    for (i, commit) in commits.iter().enumerate() {
        for (j, expect) in commit.expect.iter().enumerate() {
            let Expect::NoMatch {
                repo,
                keys,
                author_org,
                filter,
            } = expect
            else {
                continue;
            };
            let search = Search {
                repo: *repo,
                keys,
                author_org: author_org.as_deref(),
                filter,
            };
            let names = &world.names;
            searches.push(async move { ((i, j), search.run(conn, names, enough).await) });
        }
    }
    for (place, found) in join_all(searches).await {
        world.matches.insert(place, found?);
    }
    Ok(world)
}

async fn rows(
    conn: &Conn,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
    statement: Option<Statement>,
) -> Result<Vec<Row>, StoreError> {
    let Some(statement) = statement else {
        return Ok(Vec::new());
    };
    let refs: Vec<&(dyn ToSql + Sync)> =
        params.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect();
    conn.client.query(&statement, &refs).await.map_err(down)
}

async fn fetch(
    conn: &Conn,
    wanted: &Wanted,
    idents: &Idents,
    world: &mut World,
) -> Result<(), StoreError> {
    let (mut repos, mut types, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for name in &wanted.records {
        world.records.insert(name.clone(), None);
        if let Some(number) = world.names.number(&name.1) {
            repos.push(name.0.0 as i16);
            types.push(number);
            ids.push(name.2.clone());
        }
    }
    let (spaces, keys): (Vec<String>, Vec<Vec<u8>>) = wanted.claims.iter().cloned().unzip();
    let messages: Vec<i64> = wanted.messages.iter().copied().collect();
    let positions: Vec<String> = wanted.positions.iter().cloned().collect();
    let (systems, values): (Vec<String>, Vec<String>) = wanted.idents.iter().cloned().unzip();
    let blobs: Vec<Vec<u8>> = wanted.blobs.iter().map(|b| b.to_vec()).collect();
    let empty = [
        ids.is_empty(),
        keys.is_empty(),
        messages.is_empty(),
        positions.is_empty(),
        values.is_empty(),
        blobs.is_empty(),
    ];
    let sqls = [HEADS, CLAIMS, MESSAGES, POSITIONS, IDENTS, BLOBS];
    let params: [Vec<Box<dyn ToSql + Sync + Send>>; 6] = [
        vec![Box::new(repos), Box::new(types), Box::new(ids)],
        vec![Box::new(spaces), Box::new(keys)],
        vec![Box::new(messages)],
        vec![Box::new(positions)],
        vec![Box::new(systems), Box::new(values)],
        vec![Box::new(blobs)],
    ];
    let mut queries = Vec::new();
    for ((sql, params), empty) in sqls.into_iter().zip(params).zip(empty) {
        let statement = if empty {
            None
        } else {
            Some(conn.prepare(sql).await.map_err(down)?)
        };
        queries.push(rows(conn, params, statement));
    }
    let mut results = join_all(queries).await.into_iter();
    let mut next = || results.next().unwrap_or(Ok(Vec::new()));
    for row in next()? {
        let raw = RawHead::of(&row, 0)?;
        let name = (raw.repo, world.names.rtype(raw.rtype)?.to_owned(), raw.id);
        let (seq, at) = world.names.place(raw.seq, raw.at).unwrap_or_default();
        let state = RecordState {
            rid: raw.rid,
            vno: raw.vno.0,
            seq: seq.0,
            at,
            op: raw.op,
            purged: raw.purged,
            meta: Arc::new(raw.meta),
            keys: None,
            stored: true,
        };
        world.records.insert(name, Some(state));
    }
    for row in next()? {
        let state = ClaimState {
            value: row.get(2),
            until: row.get(3),
        };
        world.claims.insert((row.get(0), row.get(1)), Some(state));
    }
    for row in next()? {
        let state = MessageState {
            token: row.get(1),
            leased_until: row.get(2),
        };
        world.messages.insert(row.get::<_, i64>(0) as u64, state);
    }
    for row in next()? {
        world
            .positions
            .insert(row.get(0), row.get::<_, i64>(1) as u64);
    }
    let person = |row: &Row| {
        let name: (String, String) = (row.get(0), row.get(1));
        (name, PersonKey(row.get::<_, i64>(2) as u64))
    };
    let met: Vec<_> = next()?.iter().map(person).collect();
    world.idents.extend(met.iter().cloned());
    idents.learn(met);
    for row in next()? {
        let hash: Vec<u8> = row.get(0);
        world.blobs.extend(BlobHash::try_from(hash).ok());
    }
    Ok(())
}

/// A conditional expectation against the stored index.
struct Search<'a> {
    repo: RepoId,
    keys: &'a [IndexKey],
    author_org: Option<&'a str>,
    filter: &'a Filter,
}

impl Search<'_> {
    /// Heads of live records that match, at most `enough`.
    async fn run(
        &self,
        conn: &Conn,
        names: &Names,
        enough: usize,
    ) -> Result<Vec<Head>, StoreError> {
        const PAGE: i64 = 500;
        let mut keys: Vec<&IndexKey> = self.keys.iter().collect();
        keys.sort();
        keys.dedup();
        let lead = self.rarest(conn, &keys).await?;
        let sql = search_sql(keys.len());
        let asked: Vec<Vec<u8>> = keys
            .iter()
            .map(|k| key(self.repo, k.param, &k.value))
            .collect();
        let Some(lead) = asked.get(lead) else {
            return Ok(Vec::new());
        };
        let mut after = -1i64;
        let mut found = Vec::new();
        loop {
            let rows = conn.query(&sql, &[lead, &asked, &after, &PAGE]).await?;
            let full = rows.len() as i64 == PAGE;
            for row in rows {
                let raw = RawHead::of(&row, 0)?;
                after = row.get(10);
                if !raw.live() {
                    continue;
                }
                let head = raw.head(&names.aliases, names)?;
                if matches(&head, self.author_org, self.filter) {
                    found.push(head);
                }
                if found.len() >= enough {
                    return Ok(found);
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }

    /// Index of the key with the fewest rows: it leads the search.
    async fn rarest(&self, conn: &Conn, keys: &[&IndexKey]) -> Result<usize, StoreError> {
        let (mut best, mut fewest) = (0, i64::MAX);
        if keys.len() > 1 {
            for (i, key) in keys.iter().enumerate() {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM idx WHERE key = $1 LIMIT 200) c";
                let asked = self::key(self.repo, key.param, &key.value);
                let row = conn.query_opt(sql, &[&asked]).await?;
                let count = row.map_or(0, |r| r.get(0));
                if count < fewest {
                    (best, fewest) = (i, count);
                }
            }
        }
        Ok(best)
    }
}

/// Whether a head counts for a conditional expectation.
pub(super) fn matches(head: &Head, author_org: Option<&str>, filter: &Filter) -> bool {
    author_org.is_none_or(|org| head.privacy.author_org.as_deref() == Some(org))
        && filter.admits(head)
}

fn search_sql(keys: usize) -> String {
    let columns = head_columns!();
    let all = if keys > 1 {
        "AND NOT EXISTS (SELECT 1 FROM unnest($2::bytea[]) k(key)
           WHERE NOT EXISTS (SELECT 1 FROM idx o WHERE o.key = k.key AND o.place = i.place))"
    } else {
        "AND $2::bytea[] IS NOT NULL"
    };
    let current = current!();
    format!(
        "SELECT {columns}, i.place FROM idx i JOIN head h ON {current}
         WHERE i.key = $1 AND i.place > $3 {all} ORDER BY i.key, i.place LIMIT $4"
    )
}
