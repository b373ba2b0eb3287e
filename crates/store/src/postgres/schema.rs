//! Tables, schema version 3, and the checks at open.
//!
//! Shape: `clock` is the one feed row that every batch locks first; it holds the last seq, the last commit time and all
//! number counters. `version` is the log, its `content` and `keys` packed as `form` says ([`super::pack`]); `head` the
//! newest version without body; `idx` the index rows: `key` is repository, parameter and value in one byte string
//! (compartments have a parameter of their own), `place` record and version in one number ([`super::world`]): a row stands
//! in the heap and in the B-tree, so every byte of it counts twice. Rows of a bulk load carry `seq = -generation`;
//! `generation` tells the real place. No two indexes begin alike: the planner, which knows nothing of a young table, must
//! have no choice. `committer` has a row per process: the time of its last batch, by which it learns what became of a batch
//! whose COMMIT was not answered. The transaction number would not do: a server that is killed before anything of the
//! transaction reached its log gives the number out again.
//!
//! `head` begins with its widest columns, so nothing is lost to alignment, and the index of names with the id: ids that are
//! given here ascend, so that index grows at its end instead of splitting in the middle of every type. Stores made earlier
//! have other orders; every statement names its columns, so both do.

use super::link::{Conn, down};
use crate::{RepoId, RepoKind, RepositoryDecl, StoreError};
use std::collections::BTreeMap;

/// Version of the tables below.
pub(super) const SCHEMA_VERSION: i32 = 3;

/// Advisory lock classes; the second half of the key is the schema's hash.
pub(super) const LOCK_OPEN: i32 = 0x484e_0001;
pub(super) const LOCK_SEALER: i32 = 0x484e_0002;
pub(super) const LOCK_KEEPER: i32 = 0x484e_0003;
pub(super) const LOCK_MIRROR: i32 = 0x484e_0004;
pub(super) const LOCK_HOLDER: i32 = 0x484e_0005;

const TABLES: &str = "
CREATE FUNCTION now_us() RETURNS bigint LANGUAGE sql STABLE AS
  'SELECT (extract(epoch from statement_timestamp()) * 1000000)::bigint';
CREATE TABLE meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  schema_version integer NOT NULL,
  incarnation bytea NOT NULL,
  log_id text COLLATE \"C\" NOT NULL,
  stream text COLLATE \"C\" NOT NULL);
CREATE TABLE clock (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  seq bigint NOT NULL DEFAULT 0,
  seq_at bigint NOT NULL DEFAULT 0,
  at bigint NOT NULL DEFAULT 0,
  rid bigint NOT NULL DEFAULT 0,
  person bigint NOT NULL DEFAULT 0,
  message bigint NOT NULL DEFAULT 0,
  mirror bigint NOT NULL DEFAULT 0,
  names bigint NOT NULL DEFAULT 0,
  floor bigint NOT NULL DEFAULT 0,
  pruned bigint NOT NULL DEFAULT 0) WITH (fillfactor = 20);
CREATE TABLE committer (process bytea PRIMARY KEY, at bigint NOT NULL) WITH (fillfactor = 20);
CREATE TABLE repository (id smallint PRIMARY KEY, name text COLLATE \"C\" NOT NULL UNIQUE, kind smallint NOT NULL);
CREATE TABLE rtype (id integer PRIMARY KEY, name text COLLATE \"C\" NOT NULL UNIQUE);
CREATE TABLE generation (
  number bigint PRIMARY KEY,
  seq bigint,
  at bigint,
  target text COLLATE \"C\" NOT NULL);
CREATE TABLE head (
  rid bigint PRIMARY KEY,
  seq bigint NOT NULL,
  at bigint NOT NULL,
  rtype integer NOT NULL,
  vno integer NOT NULL,
  purged integer NOT NULL DEFAULT 0,
  repo smallint NOT NULL,
  op smallint NOT NULL,
  id text COLLATE \"C\" NOT NULL,
  meta bytea NOT NULL) WITH (fillfactor = 90);
CREATE UNIQUE INDEX head_name ON head (id, rtype, repo);
CREATE INDEX head_type ON head (((repo::bigint << 32) | rtype), rid) WITH (deduplicate_items = off);
CREATE TABLE version (
  rid bigint NOT NULL,
  seq bigint NOT NULL,
  at bigint NOT NULL,
  pack bigint NOT NULL,
  vno integer NOT NULL,
  repo smallint NOT NULL,
  op smallint NOT NULL,
  form smallint NOT NULL,
  meta bytea NOT NULL,
  content bytea NOT NULL,
  keys bytea NOT NULL,
  blobs bytea NOT NULL,
  PRIMARY KEY (rid, vno));
ALTER TABLE version ALTER content SET STORAGE EXTERNAL, ALTER keys SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX version_feed ON version (seq) WHERE seq > 0;
CREATE INDEX version_repo ON version (repo, seq, rid) WITH (deduplicate_items = off);
CREATE TABLE idx (place bigint NOT NULL, key bytea NOT NULL);
CREATE INDEX idx_order ON idx (key, place) WITH (deduplicate_items = off);
CREATE TABLE event (seq bigint PRIMARY KEY, at bigint NOT NULL, kind smallint NOT NULL, data bytea NOT NULL);
CREATE TABLE epoch (person bigint NOT NULL, seq bigint NOT NULL, PRIMARY KEY (person, seq));
CREATE INDEX epoch_seq ON epoch (seq);
CREATE TABLE ident (system text COLLATE \"C\" NOT NULL, value text COLLATE \"C\" NOT NULL, person bigint NOT NULL, PRIMARY KEY (system, value));
CREATE INDEX ident_person ON ident (person);
CREATE TABLE alias (source bigint PRIMARY KEY, target bigint NOT NULL);
CREATE TABLE claim (space text COLLATE \"C\" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, until bigint, PRIMARY KEY (space, key));
CREATE INDEX claim_until ON claim (until) WHERE until IS NOT NULL;
CREATE TABLE position (consumer text COLLATE \"C\" PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE message (
  id bigint PRIMARY KEY,
  queue text COLLATE \"C\" NOT NULL,
  due bigint NOT NULL,
  timer boolean NOT NULL,
  enqueued bigint NOT NULL,
  expires bigint,
  max_deliveries bigint NOT NULL,
  deliveries bigint NOT NULL DEFAULT 0,
  token bigint NOT NULL DEFAULT 0,
  leased_until bigint NOT NULL DEFAULT 0,
  headers bytea NOT NULL,
  body bytea NOT NULL) WITH (fillfactor = 80);
CREATE INDEX message_order ON message (queue, due, id);
CREATE INDEX message_expires ON message (expires) WHERE expires IS NOT NULL;
CREATE INDEX message_spent ON message (id) WHERE max_deliveries > 0 AND deliveries >= max_deliveries;
CREATE TABLE dead (
  id bigint PRIMARY KEY,
  queue text COLLATE \"C\" NOT NULL,
  at bigint NOT NULL,
  reason text COLLATE \"C\" NOT NULL,
  enqueued bigint NOT NULL,
  max_deliveries bigint NOT NULL,
  deliveries bigint NOT NULL,
  headers bytea NOT NULL,
  body bytea NOT NULL);
CREATE INDEX dead_order ON dead (queue, at, id);
CREATE TABLE blob (hash bytea PRIMARY KEY, at bigint NOT NULL, bytes bytea NOT NULL);
ALTER TABLE blob ALTER bytes SET STORAGE EXTERNAL;
CREATE INDEX blob_at ON blob (at);
CREATE TABLE blob_ref (hash bytea NOT NULL, rid bigint NOT NULL, PRIMARY KEY (hash, rid));
CREATE INDEX blob_ref_rid ON blob_ref (rid);
CREATE TABLE purge (rid bigint PRIMARY KEY, seq bigint NOT NULL, erased boolean NOT NULL DEFAULT false);
CREATE INDEX purge_waiting ON purge (seq) WHERE NOT erased;
CREATE TABLE mirror_outbox (n bigint PRIMARY KEY, data bytea NOT NULL);
CREATE TABLE audit_pending (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id bytea NOT NULL,
  recorded_at bigint NOT NULL,
  data bytea NOT NULL);
CREATE INDEX audit_pending_id ON audit_pending (id);
CREATE TABLE journal (
  stream text COLLATE \"C\" NOT NULL,
  seq bigint NOT NULL,
  day text COLLATE \"C\" NOT NULL,
  ix bigint NOT NULL,
  id bytea NOT NULL,
  recorded_at bigint NOT NULL,
  leaf bytea NOT NULL,
  chain bytea NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (stream, seq));
CREATE INDEX journal_id ON journal (id);
CREATE UNIQUE INDEX journal_day_ix ON journal (stream, day, ix);
CREATE TABLE journal_person (
  person bigint NOT NULL,
  recorded_at bigint NOT NULL,
  stream text COLLATE \"C\" NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (person, recorded_at, stream, seq));
CREATE TABLE journal_day (
  day text COLLATE \"C\" NOT NULL,
  stream text COLLATE \"C\" NOT NULL,
  first bigint NOT NULL,
  size bigint NOT NULL,
  chain bytea NOT NULL,
  PRIMARY KEY (day, stream));
CREATE TABLE journal_node (
  stream text COLLATE \"C\" NOT NULL,
  day text COLLATE \"C\" NOT NULL,
  level bigint NOT NULL,
  ix bigint NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (stream, day, level, ix));
CREATE TABLE journal_line (
  person bigint NOT NULL,
  controller text COLLATE \"C\" NOT NULL,
  state bytea NOT NULL,
  PRIMARY KEY (person, controller));
CREATE TABLE journal_head (n bigint PRIMARY KEY, day text COLLATE \"C\" NOT NULL, closed boolean NOT NULL, jws text COLLATE \"C\" NOT NULL);
CREATE INDEX journal_head_day ON journal_head (day, n);
";

/// From version 1: what stood in `body` and `keys` stays as it is (form 0), index rows are made anew from the old ones.
/// The column's new name makes a process of an earlier program, should one still run, fail instead of misreading.
const FROM_1: &str = "
ALTER TABLE version ADD COLUMN form smallint NOT NULL DEFAULT 0;
ALTER TABLE version RENAME COLUMN body TO content;
ALTER TABLE version ALTER content SET STORAGE EXTERNAL, ALTER keys SET STORAGE EXTERNAL;
ALTER TABLE idx RENAME TO idx_1;
ALTER INDEX idx_order RENAME TO idx_1_order;
CREATE TABLE idx (place bigint NOT NULL, key bytea NOT NULL);
INSERT INTO idx (place, key)
  SELECT (rid << 20) | (vno & 1048575),
    int2send((field >> 33)::smallint) || substring(int8send((field & 8589934591) - 1) FROM 5) || value
  FROM idx_1 ORDER BY field, value, rid, vno;
DROP TABLE idx_1;
CREATE INDEX idx_order ON idx (key, place) WITH (deduplicate_items = off);
UPDATE meta SET schema_version = 2;
";

/// From version 2.
const FROM_2: &str = "
CREATE TABLE committer (process bytea PRIMARY KEY, at bigint NOT NULL) WITH (fillfactor = 20);
UPDATE meta SET schema_version = 3;
";

/// Refuses a server that would lose acknowledged commits at a power loss.
pub(super) async fn check_settings(conn: &Conn, unsafe_no_sync: bool) -> Result<(), StoreError> {
    let row = conn
        .client
        .query_one(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),
                    current_setting('full_page_writes'), current_setting('server_version_num')::int,
                    current_setting('server_encoding')",
            &[],
        )
        .await
        .map_err(down)?;
    let version: i32 = row.get(3);
    if version < 130_000 {
        let old = format!(
            "PostgreSQL 13 or newer is needed, this is {}",
            version / 10_000
        );
        return Err(StoreError::CannotOpen(old));
    }
    if row.get::<_, String>(4) != "UTF8" {
        let what = "the database's encoding must be UTF8".to_owned();
        return Err(StoreError::CannotOpen(what));
    }
    let off = |name: &str| {
        StoreError::CannotOpen(format!(
            "the server has {name}: it would not survive power loss; please turn it on"
        ))
    };
    if unsafe_no_sync {
        return Ok(());
    }
    for (i, name) in [
        (0, "fsync = off"),
        (1, "synchronous_commit = off"),
        (2, "full_page_writes = off"),
    ] {
        if row.get::<_, String>(i) == "off" {
            return Err(off(name));
        }
    }
    Ok(())
}

/// Makes the tables when absent; checks their version; adds repositories. Returns incarnation and repositories.
pub(super) async fn prepare(
    conn: &Conn,
    schema: &str,
    declared: &[RepositoryDecl],
) -> Result<Opened, StoreError> {
    let client = &conn.client;
    client.batch_execute("BEGIN").await.map_err(down)?;
    client
        .execute(
            "SELECT pg_advisory_xact_lock($1, hashtext($2))",
            &[&LOCK_OPEN, &schema],
        )
        .await
        .map_err(down)?;
    let result = prepare_locked(conn, schema, declared).await;
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(down)?;
    result
}

/// What [`prepare`] found.
pub(super) struct Opened {
    pub(super) incarnation: uuid::Uuid,
    pub(super) repositories: BTreeMap<String, (RepoId, RepoKind)>,
}

async fn prepare_locked(
    conn: &Conn,
    schema: &str,
    declared: &[RepositoryDecl],
) -> Result<Opened, StoreError> {
    let client = &conn.client;
    let there: bool = client
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL",
            &[&format!("{schema}.meta")],
        )
        .await
        .map_err(down)?
        .get(0);
    if !there {
        let make = format!("CREATE SCHEMA IF NOT EXISTS {schema}; {TABLES}");
        client.batch_execute(&make).await.map_err(down)?;
        let incarnation = uuid::Uuid::new_v4();
        let log_id = uuid::Uuid::new_v4().to_string();
        let stream: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(12)
            .collect();
        client
            .execute(
                "INSERT INTO meta (schema_version, incarnation, log_id, stream) VALUES ($1, $2, $3, $4)",
                &[&SCHEMA_VERSION, &&incarnation.as_bytes()[..], &log_id, &stream],
            )
            .await
            .map_err(down)?;
        client
            .execute("INSERT INTO clock DEFAULT VALUES", &[])
            .await
            .map_err(down)?;
    }
    let meta = client
        .query_one("SELECT schema_version, incarnation FROM meta", &[])
        .await
        .map_err(down)?;
    let mut version: i32 = meta.get(0);
    let missing = match version {
        1 => {
            tracing::info!("the tables are brought to version 2: every index row is made anew");
            format!("{FROM_1} {FROM_2}")
        }
        2 => FROM_2.to_owned(),
        _ => String::new(),
    };
    if !missing.is_empty() {
        // a store of millions of records takes minutes, and another process may be at the end of its last batch
        let patience = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0";
        let steps = format!("{patience}; SET LOCAL search_path TO {schema}; {missing}");
        client.batch_execute(&steps).await.map_err(down)?;
        version = SCHEMA_VERSION;
    }
    if version != SCHEMA_VERSION {
        let what =
            format!("tables have schema version {version}, this program knows {SCHEMA_VERSION}");
        return Err(StoreError::CannotOpen(what));
    }
    let incarnation = uuid::Uuid::from_slice(meta.get(1))
        .map_err(|_| StoreError::Corrupt("incarnation is no UUID".to_owned()))?;
    let mut repositories = repositories(conn).await?;
    for decl in declared {
        if let Some((_, kind)) = repositories.get(&decl.name) {
            if *kind != decl.kind {
                let name = &decl.name;
                let what = format!(
                    "repository {name} is stored as {kind:?}, declared as {:?}",
                    decl.kind
                );
                return Err(StoreError::CannotOpen(what));
            }
            continue;
        }
        let next = repositories.values().map(|(id, _)| id.0).max().unwrap_or(0) + 1;
        client
            .execute(
                "INSERT INTO repository (id, name, kind) VALUES ($1, $2, $3)",
                &[&(next as i16), &decl.name, &kind_number(decl.kind)],
            )
            .await
            .map_err(down)?;
        repositories.insert(decl.name.clone(), (RepoId(next), decl.kind));
    }
    Ok(Opened {
        incarnation,
        repositories,
    })
}

/// Stored repositories by name.
pub(super) async fn repositories(
    conn: &Conn,
) -> Result<BTreeMap<String, (RepoId, RepoKind)>, StoreError> {
    let rows = conn
        .client
        .query("SELECT name, id, kind FROM repository", &[])
        .await
        .map_err(down)?;
    rows.iter()
        .map(|row| {
            let kind = match row.get::<_, i16>(2) {
                0 => RepoKind::Patient,
                1 => RepoKind::Open,
                2 => RepoKind::Internal,
                _ => return Err(StoreError::Corrupt("unknown kind of repository".to_owned())),
            };
            Ok((row.get(0), (RepoId(row.get::<_, i16>(1) as u16), kind)))
        })
        .collect()
}

/// Kind as stored.
pub(super) fn kind_number(kind: RepoKind) -> i16 {
    match kind {
        RepoKind::Patient => 0,
        RepoKind::Open => 1,
        RepoKind::Internal => 2,
    }
}
