//! Writes an accepted batch: one statement per table over `unnest`, all of them and the COMMIT sent without waiting.
//! Where there are many rows they go in by `COPY` ([`super::copy`]).

use super::copy;
use super::link::{Conn, down};
use super::pack;
use super::world::{HeadRow, IdxRow, Plan, VersionRow, World};
use crate::StoreError;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt as _;
use futures_util::future::{BoxFuture, join_all};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

type Column = Box<dyn ToSql + Sync + Send>;

/// Statements of one batch, in order.
#[derive(Default)]
pub(super) struct Script {
    steps: Vec<Step>,
}

enum Step {
    /// A statement and its parameters.
    Run(&'static str, Vec<Column>),
    /// A `COPY` and its rows.
    Copy(&'static str, Bytes),
}

impl Step {
    fn sql(&self) -> &'static str {
        match self {
            Self::Run(sql, _) | Self::Copy(sql, _) => sql,
        }
    }

    async fn run(self, conn: &Conn, statement: &Statement) -> Result<(), Error> {
        match self {
            Self::Run(_, columns) => {
                let refs: Vec<&(dyn ToSql + Sync)> = columns
                    .iter()
                    .map(|c| &**c as &(dyn ToSql + Sync))
                    .collect();
                conn.client.execute(statement, &refs).await.map(|_| ())
            }
            Self::Copy(_, rows) => {
                let sink = conn.client.copy_in(statement).await?;
                let mut sink = std::pin::pin!(sink);
                sink.send(rows).await?;
                sink.finish().await.map(|_| ())
            }
        }
    }
}

impl Script {
    fn add(&mut self, sql: &'static str, columns: Vec<Column>) {
        self.steps.push(Step::Run(sql, columns));
    }

    /// Runs the statements one after the other, inside whatever transaction the connection is in.
    pub(super) async fn run(self, conn: &Conn) -> Result<(), StoreError> {
        for step in self.steps {
            let statement = conn.prepare(step.sql()).await.map_err(down)?;
            step.run(conn, &statement).await.map_err(down)?;
        }
        Ok(())
    }
}

/// A column as an array parameter.
macro_rules! column {
    ($rows:expr, |$row:ident| $value:expr) => {
        Box::new($rows.iter().map(|$row| $value).collect::<Vec<_>>()) as Column
    };
}

/// Heads of new records.
macro_rules! insert_heads {
    () => {
        "INSERT INTO head (rid, repo, rtype, id, vno, seq, at, op, purged, meta)
         SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::integer[], $4::text[], $5::integer[], $6::bigint[],
           $7::bigint[], $8::smallint[], $9::integer[], $10::bytea[])"
    };
}

/// Where a failed write leaves the transaction.
pub(super) enum WriteError {
    /// The server answered with an error: nothing was committed.
    RolledBack(Error),
    /// The connection broke: only the server knows.
    Unknown(Error),
}

/// Who writes a batch.
pub(super) struct By<'a> {
    /// This process, as the table `committer` knows it.
    pub(super) process: uuid::Uuid,
    /// Where other processes are told.
    pub(super) channel: &'a str,
}

/// Writes the plan and commits. `Ok` = flushed by the server.
pub(super) async fn write(
    conn: &Conn,
    world: &mut World,
    plan: Plan,
    by: &By<'_>,
) -> Result<(), WriteError> {
    let script = script(world, plan, by);
    let mut prepared: Vec<(Statement, Step)> = Vec::with_capacity(script.steps.len());
    for step in script.steps {
        let statement = conn.prepare(step.sql()).await;
        prepared.push((statement.map_err(WriteError::RolledBack)?, step));
    }
    let mut sent: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::with_capacity(prepared.len() + 1);
    for (statement, step) in prepared {
        sent.push(Box::pin(async move { step.run(conn, &statement).await }));
    }
    sent.push(Box::pin(conn.client.batch_execute("COMMIT")));
    // join_all polls its parts in order as long as they are fewer than 30: the requests go out in this order
    debug_assert!(sent.len() <= 30, "{} statements in a batch", sent.len());
    for result in join_all(sent).await {
        if let Err(error) = result {
            let answered = error
                .as_db_error()
                .is_some_and(|d| !d.code().code().starts_with("57P"));
            return Err(match answered {
                true => WriteError::RolledBack(error),
                false => WriteError::Unknown(error),
            });
        }
    }
    Ok(())
}

fn script(world: &mut World, mut plan: Plan, by: &By<'_>) -> Script {
    let mut script = Script::default();
    types(world, &mut script);
    versions(&plan.versions, &mut script);
    references(&plan.versions, &mut script);
    heads(world, &mut script);
    index(std::mem::take(&mut plan.idx), &mut script);
    people(&plan.epochs, &plan.idents, &plan.aliases, &mut script);
    if !plan.events.is_empty() {
        let e = &plan.events;
        script.add(
            "INSERT INTO event (seq, at, kind, data) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bytea[])",
            vec![
                column!(e, |r| r.0 as i64),
                column!(e, |r| r.1),
                column!(e, |r| r.2),
                column!(e, |r| r.3.clone()),
            ],
        );
    }
    blobs(&plan, &mut script);
    if !plan.purges.is_empty() {
        let p = &plan.purges;
        script.add(
            "INSERT INTO purge (rid, seq) SELECT * FROM unnest($1::bigint[], $2::bigint[])
             ON CONFLICT (rid) DO UPDATE SET seq = excluded.seq, erased = false",
            vec![column!(p, |r| r.0 as i64), column!(p, |r| r.1 as i64)],
        );
    }
    queues(&plan, &mut script);
    claims_and_positions(world, &mut script);
    if !plan.audit.is_empty() {
        let a = &plan.audit;
        script.add(
            "INSERT INTO audit_pending (id, recorded_at, data) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])",
            vec![
                column!(a, |r| r.0.as_bytes().to_vec()),
                column!(a, |r| r.1),
                column!(a, |r| r.2.clone()),
            ],
        );
    }
    if !plan.mirror.is_empty() {
        let m = &plan.mirror;
        script.add(
            "INSERT INTO mirror_outbox (n, data) SELECT * FROM unnest($1::bigint[], $2::bytea[])",
            vec![column!(m, |r| r.0 as i64), column!(m, |r| r.1.clone())],
        );
    }
    clock(world, plan.shows_messages(), by.channel, &mut script);
    script.add(
        "INSERT INTO committer (process, at) VALUES ($1, $2) ON CONFLICT (process) DO UPDATE SET at = excluded.at",
        vec![
            Box::new(by.process.as_bytes().to_vec()),
            Box::new(world.clock.at),
        ],
    );
    script
}

/// Types seen for the first time get their numbers here, still under the lock of the feed row.
fn types(world: &mut World, script: &mut Script) {
    let mut fresh: Vec<(i32, String)> = Vec::new();
    let mut next = world.names.last_number();
    let unknown: HashSet<String> = world
        .written
        .values()
        .filter(|name| world.names.number(&name.1).is_none())
        .map(|name| name.1.clone())
        .collect();
    for name in unknown {
        next += 1;
        Arc::make_mut(&mut world.names).add_rtype(next, name.clone());
        fresh.push((next, name));
    }
    if !fresh.is_empty() {
        world.renamed = true;
        script.add(
            "INSERT INTO rtype (id, name) SELECT * FROM unnest($1::integer[], $2::text[])",
            vec![column!(fresh, |r| r.0), column!(fresh, |r| r.1.clone())],
        );
    }
}

/// Rows of the log.
pub(super) fn versions(v: &[VersionRow], script: &mut Script) {
    if v.is_empty() {
        return;
    }
    if v.len() >= copy::MANY {
        script
            .steps
            .push(Step::Copy(copy::VERSION, copy::versions(v)));
        return;
    }
    script.add(
        "INSERT INTO version (rid, vno, seq, at, repo, op, pack, form, meta, content, keys, blobs)
         SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[],
           $7::bigint[], $8::smallint[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[])",
        vec![
            column!(v, |r| r.rid as i64),
            column!(v, |r| r.vno as i32),
            column!(v, |r| r.seq),
            column!(v, |r| r.at),
            column!(v, |r| r.repo as i16),
            column!(v, |r| pack::op_number(r.op)),
            column!(v, |r| i64::from(r.pack)),
            column!(v, |r| r.form),
            column!(v, |r| r.meta.clone()),
            column!(v, |r| Wire(r.content.clone())),
            column!(v, |r| r.keys.clone()),
            column!(v, |r| pack::blobs(&r.blobs)),
        ],
    );
}

/// Bytes as a parameter without copying them first.
#[derive(Debug)]
struct Wire(Bytes);

impl ToSql for Wire {
    fn to_sql(
        &self,
        ty: &tokio_postgres::types::Type,
        out: &mut BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.as_ref().to_sql(ty, out)
    }

    fn accepts(ty: &tokio_postgres::types::Type) -> bool {
        <&[u8] as ToSql>::accepts(ty)
    }

    tokio_postgres::types::to_sql_checked!();
}

fn heads(world: &World, script: &mut Script) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for name in world.written.values() {
        let Some(state) = world.records.get(name).and_then(Option::as_ref) else {
            continue;
        };
        let Some(rtype) = world.names.number(&name.1) else {
            continue;
        };
        let row = HeadRow {
            rid: state.rid.0,
            repo: name.0.0,
            rtype,
            id: name.2.clone(),
            vno: state.vno,
            seq: state.seq as i64,
            at: state.at,
            op: state.op,
            purged: state.purged,
            meta: pack::meta(&state.meta),
        };
        if state.stored {
            old.push(row)
        } else {
            new.push(row)
        }
    }
    // in their order, so that the ends of the indexes grow instead of splitting in the middle
    new.sort_unstable_by_key(|row| row.rid);
    if new.len() >= copy::MANY {
        script.steps.push(Step::Copy(copy::HEAD, copy::heads(&new)));
    } else {
        insert_heads(&new, insert_heads!(), script);
    }
    if !old.is_empty() {
        script.add(
            "UPDATE head h SET vno = u.vno, seq = u.seq, at = u.at, op = u.op, purged = u.purged, meta = u.meta
             FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::smallint[], $6::integer[],
               $7::bytea[]) u(rid, vno, seq, at, op, purged, meta) WHERE h.rid = u.rid",
            vec![
                column!(old, |r| r.rid as i64),
                column!(old, |r| r.vno as i32),
                column!(old, |r| r.seq),
                column!(old, |r| r.at),
                column!(old, |r| pack::op_number(r.op)),
                column!(old, |r| r.purged as i32),
                column!(old, |r| r.meta.clone()),
            ],
        );
    }
}

/// Heads of new records; of known ones (a restore) they are replaced.
pub(super) fn new_heads(new: &[HeadRow], script: &mut Script) {
    let upsert = concat!(
        insert_heads!(),
        " ON CONFLICT (rid) DO UPDATE SET vno = excluded.vno, seq = excluded.seq, at = excluded.at, op = excluded.op,
           purged = greatest(head.purged, excluded.purged), meta = excluded.meta"
    );
    insert_heads(new, upsert, script);
}

fn insert_heads(new: &[HeadRow], sql: &'static str, script: &mut Script) {
    if new.is_empty() {
        return;
    }
    script.add(
        sql,
        vec![
            column!(new, |r| r.rid as i64),
            column!(new, |r| r.repo as i16),
            column!(new, |r| r.rtype),
            column!(new, |r| r.id.clone()),
            column!(new, |r| r.vno as i32),
            column!(new, |r| r.seq),
            column!(new, |r| r.at),
            column!(new, |r| pack::op_number(r.op)),
            column!(new, |r| r.purged as i32),
            column!(new, |r| r.meta.clone()),
        ],
    );
}

/// Index rows.
pub(super) fn index(mut rows: Vec<IdxRow>, script: &mut Script) {
    if rows.is_empty() {
        return;
    }
    rows.sort();
    if rows.len() >= copy::MANY_SMALL {
        script.steps.push(Step::Copy(copy::IDX, copy::idx(&rows)));
        return;
    }
    script.add(
        "INSERT INTO idx (key, place) SELECT * FROM unnest($1::bytea[], $2::bigint[])",
        vec![column!(rows, |r| r.key.clone()), column!(rows, |r| r.place)],
    );
}

fn people(
    epochs: &[(u64, u64)],
    idents: &[(String, String, u64)],
    aliases: &[(crate::PersonKey, Option<crate::PersonKey>)],
    script: &mut Script,
) {
    if !epochs.is_empty() {
        script.add(
            "INSERT INTO epoch (person, seq) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING",
            vec![column!(epochs, |r| r.0 as i64), column!(epochs, |r| r.1 as i64)],
        );
    }
    if !idents.is_empty() {
        script.add(
            "INSERT INTO ident (system, value, person) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])",
            vec![
                column!(idents, |r| r.0.clone()),
                column!(idents, |r| r.1.clone()),
                column!(idents, |r| r.2 as i64),
            ],
        );
    }
    if !aliases.is_empty() {
        // the last word of the batch on each key
        let last: HashMap<_, _> = aliases.iter().copied().collect();
        let sources: Vec<i64> = last.keys().map(|k| k.0 as i64).collect();
        script.add(
            "DELETE FROM alias WHERE source = ANY($1::bigint[])",
            vec![Box::new(sources)],
        );
        let set: Vec<(i64, i64)> = last
            .into_iter()
            .filter_map(|(from, to)| Some((from.0 as i64, to?.0 as i64)))
            .collect();
        if !set.is_empty() {
            script.add(
                "INSERT INTO alias (source, target) SELECT * FROM unnest($1::bigint[], $2::bigint[])",
                vec![column!(set, |r| r.0), column!(set, |r| r.1)],
            );
        }
    }
}

fn blobs(plan: &Plan, script: &mut Script) {
    if !plan.blobs.is_empty() {
        let b = &plan.blobs;
        script.add(
            "INSERT INTO blob (hash, at, bytes) SELECT h, now_us(), b FROM unnest($1::bytea[], $2::bytea[]) u(h, b)
             ON CONFLICT (hash) DO NOTHING",
            vec![column!(b, |r| r.0.to_vec()), column!(b, |r| Wire(r.1.clone()))],
        );
    }
}

/// Which records refer to which blobs.
pub(super) fn references(versions: &[VersionRow], script: &mut Script) {
    let refs: HashSet<(&[u8; 32], u64)> = versions
        .iter()
        .flat_map(|v| v.blobs.iter().map(|hash| (hash, v.rid)))
        .collect();
    if !refs.is_empty() {
        script.add(
            "INSERT INTO blob_ref (hash, rid) SELECT * FROM unnest($1::bytea[], $2::bigint[]) ON CONFLICT DO NOTHING",
            vec![column!(refs, |r| r.0.to_vec()), column!(refs, |r| r.1 as i64)],
        );
    }
}

fn queues(plan: &Plan, script: &mut Script) {
    let m = &plan.messages;
    if !m.is_empty() {
        script.add(
            "INSERT INTO message (id, queue, due, timer, enqueued, expires, max_deliveries, headers, body)
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[],
               $7::bigint[], $8::bytea[], $9::bytea[])",
            vec![
                column!(m, |r| r.id as i64),
                column!(m, |r| r.queue.clone()),
                column!(m, |r| r.due),
                column!(m, |r| r.timer),
                column!(m, |r| r.enqueued),
                column!(m, |r| r.expires),
                column!(m, |r| i64::from(r.max_deliveries)),
                column!(m, |r| Wire(r.headers.clone())),
                column!(m, |r| Wire(r.body.clone())),
            ],
        );
    }
    if !plan.done.is_empty() {
        let d = &plan.done;
        script.add(
            "DELETE FROM message WHERE id = ANY($1::bigint[])",
            vec![column!(d, |r| *r as i64)],
        );
    }
    if !plan.released.is_empty() {
        let r = &plan.released;
        script.add(
            "UPDATE message m SET due = coalesce(u.due, m.due), timer = m.timer OR u.due IS NOT NULL, token = 0,
               leased_until = 0
             FROM unnest($1::bigint[], $2::bigint[]) u(id, due) WHERE m.id = u.id",
            vec![column!(r, |r| r.0 as i64), column!(r, |r| r.1)],
        );
    }
    if !plan.dead.is_empty() {
        let d = &plan.dead;
        script.add(
            "WITH gone AS (DELETE FROM message WHERE id = ANY($1::bigint[])
               RETURNING id, queue, enqueued, max_deliveries, deliveries, headers, body)
             INSERT INTO dead (id, queue, at, reason, enqueued, max_deliveries, deliveries, headers, body)
             SELECT g.id, g.queue, u.at, u.reason, g.enqueued, g.max_deliveries, g.deliveries, g.headers, g.body
             FROM gone g, unnest($1::bigint[], $2::bigint[], $3::text[]) u(id, at, reason) WHERE u.id = g.id",
            vec![
                column!(d, |r| r.0 as i64),
                column!(d, |r| r.1),
                column!(d, |r| r.2.clone()),
            ],
        );
    }
}

fn claims_and_positions(world: &World, script: &mut Script) {
    let changed: Vec<_> = world
        .claims
        .iter()
        .filter(|(name, _)| world.changed_claims.contains(*name))
        .collect();
    let (held, free): (Vec<_>, Vec<_>) =
        changed.into_iter().partition(|(_, state)| state.is_some());
    if !free.is_empty() {
        script.add(
            "DELETE FROM claim c USING unnest($1::text[], $2::bytea[]) u(space, key) WHERE c.space = u.space AND c.key = u.key",
            vec![column!(free, |r| r.0.0.clone()), column!(free, |r| r.0.1.clone())],
        );
    }
    if !held.is_empty() {
        script.add(
            "INSERT INTO claim (space, key, value, until)
             SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[])
             ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, until = excluded.until",
            vec![
                column!(held, |r| r.0.0.clone()),
                column!(held, |r| r.0.1.clone()),
                column!(held, |r| r
                    .1
                    .as_ref()
                    .map(|c| c.value.clone())
                    .unwrap_or_default()),
                column!(held, |r| r.1.as_ref().and_then(|c| c.until)),
            ],
        );
    }
    let moved: Vec<_> = world
        .positions
        .iter()
        .filter(|(name, _)| world.moved.contains(*name))
        .collect();
    if !moved.is_empty() {
        script.add(
            "INSERT INTO position (consumer, seq) SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq",
            vec![
                column!(moved, |r| r.0.clone()),
                column!(moved, |r| *r.1 as i64),
            ],
        );
    }
}

fn clock(world: &mut World, queues: bool, channel: &str, script: &mut Script) {
    if world.renamed {
        world.clock.names += 1;
        Arc::make_mut(&mut world.names).count = world.clock.names;
    }
    let c = &world.clock;
    script.add(
        "UPDATE clock SET seq = $1, seq_at = $2, at = $3, rid = $4, person = $5, message = $6, mirror = $7, names = $8",
        vec![
            Box::new(c.seq as i64),
            Box::new(c.seq_at),
            Box::new(c.at),
            Box::new(c.rid as i64),
            Box::new(c.person as i64),
            Box::new(c.message as i64),
            Box::new(c.mirror as i64),
            Box::new(c.names),
        ],
    );
    // a batch of claims only is nobody's news
    if c.seq != world.began || queues {
        script.add(
            "SELECT pg_notify($1, $2)",
            vec![Box::new(channel.to_owned()), Box::new(note(c.seq, queues))],
        );
    }
}

/// What other processes are told of a batch: how far the feed is, and `q` when messages became visible.
fn note(seq: u64, queues: bool) -> String {
    format!("{seq}{}", if queues { " q" } else { "" })
}

/// Reads a note. One that says nothing (of a load, of an earlier program) may mean anything.
pub(super) fn read_note(payload: &str) -> (Option<u64>, bool) {
    let (seq, rest) = payload.split_once(' ').unwrap_or((payload, ""));
    let seq = seq.parse().ok();
    (seq, seq.is_none() || rest == "q")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        for (seq, queues) in [(0, false), (7, true), (u64::MAX, false)] {
            assert_eq!(read_note(&note(seq, queues)), (Some(seq), queues));
        }
        for unknown in ["", "q", "x y"] {
            assert_eq!(read_note(unknown), (None, true), "{unknown:?}");
        }
    }
}
