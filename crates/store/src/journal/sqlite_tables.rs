//! `journal.db`: the sealed journal's rows in SQLite. Schema version 1.

use super::tables::{DayStream, HeadRow, LineState, Node, RowColumns, SealedRow, StreamState};
use super::{Hash, Tables, merkle};
use crate::{MicrosUtc, PersonKey, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use uuid::Uuid;

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry(
  n INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, day TEXT NOT NULL, idx INTEGER NOT NULL,
  id BLOB NOT NULL, recorded_at INTEGER NOT NULL, leaf BLOB NOT NULL, chain BLOB NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX entry_place ON entry(stream, seq);
CREATE UNIQUE INDEX entry_append ON entry(id, recorded_at);
CREATE TABLE person(person INTEGER, recorded_at INTEGER, n INTEGER, PRIMARY KEY(person, recorded_at, n)) WITHOUT ROWID;
CREATE TABLE line(person INTEGER, controller TEXT, pn INTEGER NOT NULL, hash BLOB NOT NULL, joined INTEGER,
  PRIMARY KEY(person, controller)) WITHOUT ROWID;
CREATE TABLE day(day TEXT, stream TEXT, first INTEGER NOT NULL, size INTEGER NOT NULL, chain BLOB NOT NULL,
  PRIMARY KEY(day, stream)) WITHOUT ROWID;
CREATE TABLE node(stream TEXT, day TEXT, level INTEGER, idx INTEGER, hash BLOB NOT NULL,
  PRIMARY KEY(stream, day, level, idx)) WITHOUT ROWID;
CREATE TABLE head(n INTEGER PRIMARY KEY, day TEXT NOT NULL, closed INTEGER NOT NULL, jws TEXT NOT NULL);
CREATE INDEX head_day ON head(day, n);
";

/// SQLite's own errors, told apart by whose fault they are.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        // No code: a column does not hold what we wrote there.
        None | Some(DatabaseCorrupt | NotADatabase) => {
            StoreError::Corrupt(format!("journal.db: {error}"))
        }
        _ => StoreError::Unavailable(format!("journal.db: {error}")),
    }
}

/// Opens a connection; the first one makes the tables.
pub(super) fn open(path: &Path, unsafe_no_sync: bool) -> Result<Connection, StoreError> {
    let cannot = |e: rusqlite::Error| StoreError::CannotOpen(format!("journal.db: {e}"));
    let mut db = Connection::open(path).map_err(cannot)?;
    let sync = if unsafe_no_sync { "OFF" } else { "FULL" };
    db.execute_batch(&format!(
        "PRAGMA busy_timeout=10000; PRAGMA journal_mode=WAL; PRAGMA synchronous={sync}; PRAGMA secure_delete=ON;"
    ))
    .map_err(cannot)?;
    let level: i64 = db
        .query_row("PRAGMA synchronous", [], |r| r.get(0))
        .map_err(cannot)?;
    if level < 2 && !unsafe_no_sync {
        return Err(StoreError::CannotOpen(
            "journal.db would not survive power loss".to_owned(),
        ));
    }
    db.set_prepared_statement_cache_capacity(64);
    crate::sqlite::keep_plans(&db).map_err(cannot)?;
    let tx = db
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(cannot)?;
    let version: i64 = tx
        .query_row("PRAGMA user_version", [], |r| r.get(0))
        .map_err(cannot)?;
    match version {
        0 => {
            tx.execute_batch(SCHEMA).map_err(cannot)?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)
                .map_err(cannot)?;
            let id = || Uuid::new_v4().simple().to_string();
            let short = id().chars().take(12).collect::<String>();
            for (name, value) in [("log", id()), ("stream", format!("s{short}"))] {
                tx.execute("INSERT INTO meta VALUES(?1,?2)", [name, &value])
                    .map_err(cannot)?;
            }
        }
        SCHEMA_VERSION => {}
        other => {
            return Err(StoreError::CannotOpen(format!(
                "journal.db has schema version {other}; this program knows {SCHEMA_VERSION}"
            )));
        }
    }
    tx.commit().map_err(cannot)?;
    Ok(db)
}

/// The tables on a connection; the caller holds the transaction.
pub(super) struct SqliteTables<'a>(pub(super) &'a Connection);

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn uint(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn key(person: PersonKey) -> i64 {
    person.0.cast_signed()
}

const COLUMNS: &str = "e.stream, e.seq, e.day, e.idx, e.id, e.recorded_at, e.leaf, e.chain, e.data";

fn columns(row: &Row<'_>) -> rusqlite::Result<RowColumns> {
    Ok(RowColumns {
        stream: row.get(0)?,
        seq: uint(row, 1)?,
        day: row.get(2)?,
        index: uint(row, 3)?,
        id: Uuid::from_bytes(row.get(4)?),
        recorded_at: row.get(5)?,
        leaf: row.get(6)?,
        chain: row.get(7)?,
        data: row.get(8)?,
    })
}

fn head(row: &Row<'_>) -> rusqlite::Result<HeadRow> {
    Ok(HeadRow {
        n: uint(row, 0)?,
        day: row.get(1)?,
        closed: row.get(2)?,
        jws: row.get(3)?,
    })
}

impl SqliteTables<'_> {
    fn meta(&self, name: &str) -> Result<String, StoreError> {
        self.0
            .query_row("SELECT value FROM meta WHERE name=?1", [name], |r| r.get(0))
            .map_err(failed)
    }

    /// Name of this journal's own stream.
    pub(super) fn own_stream(&self) -> Result<String, StoreError> {
        self.meta("stream")
    }

    /// Takes over the id of a restored log.
    pub(super) fn set_log_id(&mut self, id: &str) -> Result<(), StoreError> {
        let set = self
            .0
            .execute("UPDATE meta SET value=?1 WHERE name='log'", [id]);
        set.map(|_| ()).map_err(failed)
    }

    /// Whether nothing was ever sealed.
    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        self.0
            .query_row(
                "SELECT NOT EXISTS(SELECT 1 FROM entry) AND NOT EXISTS(SELECT 1 FROM head)",
                [],
                |r| r.get(0),
            )
            .map_err(failed)
    }

    /// Newest `recorded_at` of a sealed entry.
    pub(super) fn last_recorded(&self) -> Result<MicrosUtc, StoreError> {
        let newest = self.0.query_row(
            "SELECT max(recorded_at) FROM (SELECT recorded_at FROM entry ORDER BY n DESC LIMIT 10000)",
            [],
            |r| r.get::<_, Option<i64>>(0),
        );
        newest.map(Option::unwrap_or_default).map_err(failed)
    }

    /// All lines, for a backup.
    pub(super) fn all_lines(
        &self,
        each: &mut dyn FnMut(PersonKey, String, LineState) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut query = self
            .0
            .prepare_cached("SELECT person, controller, pn, hash, joined FROM line ORDER BY 1, 2")
            .map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let person = PersonKey(uint(row, 0).map_err(failed)?);
            each(
                person,
                row.get(1).map_err(failed)?,
                line(row, 2).map_err(failed)?,
            )?;
        }
        Ok(())
    }

    fn list<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        params: P,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut query = self.0.prepare_cached(sql).map_err(failed)?;
        let rows = query.query_map(params, read).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn one<T, P: rusqlite::Params>(
        &self,
        sql: &str,
        params: P,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut query = self.0.prepare_cached(sql).map_err(failed)?;
        query.query_row(params, read).optional().map_err(failed)
    }

    fn run<P: rusqlite::Params>(&self, sql: &str, params: P) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.execute(params).map(|_| ()).map_err(failed)
    }

    fn append_one(&mut self, row: &SealedRow) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO entry(stream,seq,day,idx,id,recorded_at,leaf,chain,data) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
            params![
                row.stream,
                int(row.seq),
                row.day,
                int(row.index),
                row.id.as_bytes(),
                row.recorded_at,
                row.leaf,
                row.chain,
                row.data()?
            ],
        )?;
        let n = self.0.last_insert_rowid();
        for person in &row.persons {
            self.run(
                "INSERT OR IGNORE INTO person VALUES(?1,?2,?3)",
                params![key(*person), row.recorded_at, n],
            )?;
        }
        self.run(
            "INSERT INTO day VALUES(?1,?2,?3,?4,?5)
             ON CONFLICT(day, stream) DO UPDATE SET size=excluded.size, chain=excluded.chain",
            params![
                row.day,
                row.stream,
                int(row.seq - row.index),
                int(row.index + 1),
                row.chain
            ],
        )
    }
}

fn line(row: &Row<'_>, at: usize) -> rusqlite::Result<LineState> {
    Ok(LineState {
        pn: uint(row, at)?,
        commit: row.get(at + 1)?,
        joined: row
            .get::<_, Option<i64>>(at + 2)?
            .map(|k| PersonKey(k.cast_unsigned())),
    })
}

impl Tables for SqliteTables<'_> {
    fn log_id(&mut self) -> Result<String, StoreError> {
        self.meta("log")
    }

    fn sealed_already(
        &mut self,
        appends: &[(Uuid, MicrosUtc)],
    ) -> Result<BTreeSet<(Uuid, MicrosUtc)>, StoreError> {
        let mut found = BTreeSet::new();
        for (id, at) in appends {
            let known = self.one(
                "SELECT 1 FROM entry WHERE id=?1 AND recorded_at=?2",
                params![id.as_bytes(), at],
                |_| Ok(()),
            )?;
            if known.is_some() {
                found.insert((*id, *at));
            }
        }
        Ok(found)
    }

    fn stream_state(&mut self, stream: &str) -> Result<Option<StreamState>, StoreError> {
        self.one(
            "SELECT seq, chain FROM entry WHERE stream=?1 ORDER BY seq DESC LIMIT 1",
            [stream],
            |r| {
                Ok(StreamState {
                    seq: uint(r, 0)?,
                    chain: r.get(1)?,
                })
            },
        )
    }

    fn streams(&mut self) -> Result<Vec<String>, StoreError> {
        self.list("SELECT DISTINCT stream FROM day ORDER BY 1", [], |r| {
            r.get(0)
        })
    }

    fn last_day(&mut self) -> Result<Option<String>, StoreError> {
        let newest =
            "SELECT max(d) FROM (SELECT max(day) d FROM day UNION ALL SELECT max(day) FROM head)";
        Ok(self.one(newest, [], |r| r.get(0))?.flatten())
    }

    fn day_streams(&mut self, day: &str) -> Result<Vec<DayStream>, StoreError> {
        self.list(
            "SELECT stream, first, size, chain FROM day WHERE day=?1 ORDER BY stream",
            [day],
            |r| {
                Ok(DayStream {
                    stream: r.get(0)?,
                    first: uint(r, 1)?,
                    size: uint(r, 2)?,
                    chain: r.get(3)?,
                })
            },
        )
    }

    fn open_day_before(&mut self, day: &str) -> Result<Option<String>, StoreError> {
        self.one(
            "SELECT day FROM day d WHERE day<?1 AND NOT EXISTS(SELECT 1 FROM head h WHERE h.day=d.day AND h.closed)
             ORDER BY day LIMIT 1",
            [day],
            |r| r.get(0),
        )
    }

    fn lines(
        &mut self,
        of: &[(PersonKey, String)],
    ) -> Result<BTreeMap<(PersonKey, String), LineState>, StoreError> {
        let mut found = BTreeMap::new();
        for (person, controller) in of {
            let state = self.one(
                "SELECT pn, hash, joined FROM line WHERE person=?1 AND controller=?2",
                params![key(*person), controller],
                |r| line(r, 0),
            )?;
            if let Some(state) = state {
                found.insert((*person, controller.clone()), state);
            }
        }
        Ok(found)
    }

    fn put_lines(
        &mut self,
        lines: &BTreeMap<(PersonKey, String), LineState>,
    ) -> Result<(), StoreError> {
        for ((person, controller), state) in lines {
            self.run(
                "INSERT OR REPLACE INTO line VALUES(?1,?2,?3,?4,?5)",
                params![
                    key(*person),
                    controller,
                    int(state.pn),
                    state.commit,
                    state.joined.map(key)
                ],
            )?;
        }
        Ok(())
    }

    fn append(&mut self, rows: &[SealedRow]) -> Result<(), StoreError> {
        rows.iter().try_for_each(|row| self.append_one(row))
    }

    fn put_nodes(&mut self, nodes: &[Node]) -> Result<(), StoreError> {
        nodes.iter().try_for_each(|n| {
            self.run(
                "INSERT INTO node VALUES(?1,?2,?3,?4,?5)",
                params![n.stream, n.day, n.level, int(n.index), n.hash],
            )
        })
    }

    fn nodes(
        &mut self,
        stream: &str,
        day: &str,
        level: u32,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        if level > 0 {
            return self.list(
                "SELECT hash FROM node WHERE stream=?1 AND day=?2 AND level=?3 AND idx>=?4 AND idx<?5 ORDER BY idx",
                params![stream, day, level, int(from), int(to)],
                |r| r.get(0),
            );
        }
        self.list(
            "SELECT e.leaf FROM day d JOIN entry e ON e.stream=d.stream AND e.seq>=d.first+?3 AND e.seq<d.first+?4
             WHERE d.day=?2 AND d.stream=?1 AND e.day=?2 ORDER BY e.seq",
            params![stream, day, int(from), int(to)],
            |r| r.get(0),
        )
    }

    fn rows(
        &mut self,
        stream: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entry e WHERE stream=?1 AND seq>=?2 ORDER BY seq LIMIT ?3"
        );
        let found = self.list(&sql, params![stream, int(from), int(limit as u64)], columns)?;
        found.into_iter().map(SealedRow::of).collect()
    }

    fn row_by_id(&mut self, id: Uuid) -> Result<Option<SealedRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM entry e WHERE id=?1 ORDER BY n LIMIT 1");
        self.one(&sql, [id.as_bytes()], columns)?
            .map(SealedRow::of)
            .transpose()
    }

    fn rows_of(
        &mut self,
        persons: &BTreeSet<PersonKey>,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let mut places: BTreeSet<(MicrosUtc, i64)> = BTreeSet::new();
        for person in persons {
            places.extend(self.list(
                "SELECT recorded_at, n FROM person WHERE person=?1 AND recorded_at<?2
                 ORDER BY recorded_at DESC, n DESC LIMIT ?3",
                params![
                    key(*person),
                    before.unwrap_or(MicrosUtc::MAX),
                    int(limit as u64)
                ],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?);
        }
        // What lies at the edge of the page comes whole; what lies beyond it goes.
        let edge = limit
            .checked_sub(1)
            .and_then(|i| places.iter().rev().nth(i))
            .map(|p| p.0);
        if let Some(edge) = edge {
            places.retain(|p| p.0 >= edge);
            for person in persons {
                places.extend(self.list(
                    "SELECT recorded_at, n FROM person WHERE person=?1 AND recorded_at=?2",
                    params![key(*person), edge],
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )?);
            }
        }
        let sql = format!("SELECT {COLUMNS} FROM entry e WHERE n=?1");
        let mut rows = Vec::with_capacity(places.len());
        for (_, n) in places.into_iter().rev() {
            if let Some(found) = self.one(&sql, [n], columns)? {
                rows.push(SealedRow::of(found)?);
            }
        }
        Ok(rows)
    }

    fn replace_members(&mut self, row: &SealedRow) -> Result<(), StoreError> {
        self.run(
            "UPDATE entry SET data=?3 WHERE stream=?1 AND seq=?2",
            params![row.stream, int(row.seq), row.data()?],
        )
    }

    fn put_head(&mut self, head: &HeadRow) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO head VALUES(?1,?2,?3,?4)",
            params![int(head.n), head.day, head.closed, head.jws],
        )
    }

    fn remove_interim_heads(&mut self, day: &str) -> Result<(), StoreError> {
        self.run("DELETE FROM head WHERE day=?1 AND NOT closed", [day])
    }

    fn heads(&mut self, day: Option<&str>, limit: usize) -> Result<Vec<HeadRow>, StoreError> {
        let limit = int(limit as u64);
        match day {
            Some(day) => self.list(
                "SELECT n, day, closed, jws FROM head WHERE day=?1 ORDER BY n DESC LIMIT ?2",
                params![day, limit],
                head,
            ),
            None => self.list(
                "SELECT n, day, closed, jws FROM head ORDER BY n DESC LIMIT ?1",
                [limit],
                head,
            ),
        }
    }

    fn last_closed_head(&mut self) -> Result<Option<HeadRow>, StoreError> {
        self.one(
            "SELECT n, day, closed, jws FROM head WHERE closed ORDER BY n DESC LIMIT 1",
            [],
            head,
        )
    }

    fn closed_heads_after(&mut self, after: u64, limit: usize) -> Result<Vec<HeadRow>, StoreError> {
        self.list(
            "SELECT n, day, closed, jws FROM head WHERE closed AND n>?1 ORDER BY n LIMIT ?2",
            params![int(after), int(limit as u64)],
            head,
        )
    }
}

/// Nodes of the tree are on levels that [`merkle::STORED_STEP`] names; written down here because the schema depends on it.
const _: () = assert!(merkle::STORED_STEP == 4);
