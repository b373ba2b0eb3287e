//! The sealed journal's rows in PostgreSQL.

use super::link::Conn;
use crate::journal::{
    DayStream, Hash, HeadRow, LineState, Node, RowColumns, SealedRow, StreamState, Tables,
};
use crate::{MicrosUtc, PersonKey, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use uuid::Uuid;

macro_rules! columns {
    () => {
        "j.stream, j.seq, j.day, j.ix, j.id, j.recorded_at, j.leaf, j.chain, j.data"
    };
}

/// Operations inside a transaction that the caller has begun on `conn`.
pub(super) struct PgTables<'a> {
    pub(super) conn: &'a Conn,
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    Hash::try_from(bytes)
        .map_err(|_| StoreError::Corrupt("a journal hash has the wrong size".to_owned()))
}

fn uint(row: &Row, i: usize) -> u64 {
    row.get::<_, i64>(i) as u64
}

fn sealed(row: &Row) -> Result<SealedRow, StoreError> {
    SealedRow::of(RowColumns {
        stream: row.get(0),
        seq: uint(row, 1),
        day: row.get(2),
        index: uint(row, 3),
        id: Uuid::from_slice(row.get(4))
            .map_err(|_| StoreError::Corrupt("a journal id is no UUID".to_owned()))?,
        recorded_at: row.get(5),
        leaf: hash(row.get(6))?,
        chain: hash(row.get(7))?,
        data: row.get(8),
    })
}

fn head(row: &Row) -> HeadRow {
    HeadRow {
        n: uint(row, 0),
        day: row.get(1),
        closed: row.get(2),
        jws: row.get(3),
    }
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl PgTables<'_> {
    fn query(&self, sql: &str, params: super::link::Params<'_>) -> Result<Vec<Row>, StoreError> {
        self.conn.block_on(self.conn.query(sql, params))
    }

    fn one(&self, sql: &str, params: super::link::Params<'_>) -> Result<Option<Row>, StoreError> {
        self.conn.block_on(self.conn.query_opt(sql, params))
    }

    fn run(&self, sql: &str, params: super::link::Params<'_>) -> Result<(), StoreError> {
        self.conn
            .block_on(self.conn.execute(sql, params))
            .map(|_| ())
    }

    /// The stream that this store seals into.
    pub(super) fn own_stream(&self) -> Result<String, StoreError> {
        let row = self.one("SELECT stream FROM meta", &[])?;
        row.map(|r| r.get(0))
            .ok_or_else(|| StoreError::Corrupt("meta is empty".to_owned()))
    }

    /// Takes over the id of a restored log.
    pub(super) fn set_log_id(&self, id: &str) -> Result<(), StoreError> {
        self.run("UPDATE meta SET log_id = $1", &[&id])
    }

    /// All lines, for a backup.
    pub(super) fn all_lines(
        &self,
        each: &mut dyn FnMut(PersonKey, String, LineState) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut person, mut controller) = (-1i64, String::new());
        loop {
            let rows = self.query(
                "SELECT person, controller, state FROM journal_line WHERE (person, controller) > ($1, $2)
                 ORDER BY person, controller LIMIT 2000",
                &[&person, &controller],
            )?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                (person, controller) = (row.get(0), row.get(1));
                each(
                    PersonKey(person as u64),
                    controller.clone(),
                    line(row.get(2))?,
                )?;
            }
        }
    }
}

fn line(bytes: &[u8]) -> Result<LineState, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|_| StoreError::Corrupt("the end of a journal line cannot be read".to_owned()))
}

impl Tables for PgTables<'_> {
    fn log_id(&mut self) -> Result<String, StoreError> {
        let row = self.one("SELECT log_id FROM meta", &[])?;
        row.map(|r| r.get(0))
            .ok_or_else(|| StoreError::Corrupt("meta is empty".to_owned()))
    }

    fn sealed_already(
        &mut self,
        appends: &[(Uuid, MicrosUtc)],
    ) -> Result<BTreeSet<(Uuid, MicrosUtc)>, StoreError> {
        let ids: Vec<Vec<u8>> = appends
            .iter()
            .map(|(id, _)| id.as_bytes().to_vec())
            .collect();
        let rows = self.query(
            "SELECT j.id, j.recorded_at FROM unnest($1::bytea[]) k(id) JOIN journal j ON j.id = k.id",
            &[&ids],
        )?;
        let known = |row: &Row| Some((Uuid::from_slice(row.get(0)).ok()?, row.get(1)));
        let found: BTreeSet<(Uuid, MicrosUtc)> = rows.iter().filter_map(known).collect();
        Ok(appends
            .iter()
            .filter(|a| found.contains(a))
            .copied()
            .collect())
    }

    fn stream_state(&mut self, stream: &str) -> Result<Option<StreamState>, StoreError> {
        let sql = "SELECT seq, chain FROM journal WHERE stream = $1 ORDER BY seq DESC LIMIT 1";
        let row = self.one(sql, &[&stream])?;
        row.map(|r| {
            Ok(StreamState {
                seq: uint(&r, 0),
                chain: hash(r.get(1))?,
            })
        })
        .transpose()
    }

    fn streams(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = self.query(
            "SELECT DISTINCT stream FROM journal_day ORDER BY stream",
            &[],
        )?;
        Ok(rows.iter().map(|r| r.get(0)).collect())
    }

    fn last_day(&mut self) -> Result<Option<String>, StoreError> {
        let row = self.one(
            "SELECT max(day) FROM (SELECT max(day) AS day FROM journal_day UNION ALL SELECT max(day) FROM journal_head) d",
            &[],
        )?;
        Ok(row.and_then(|r| r.get(0)))
    }

    fn day_streams(&mut self, day: &str) -> Result<Vec<DayStream>, StoreError> {
        let sql =
            "SELECT stream, first, size, chain FROM journal_day WHERE day = $1 ORDER BY stream";
        let rows = self.query(sql, &[&day])?;
        rows.iter()
            .map(|r| {
                Ok(DayStream {
                    stream: r.get(0),
                    first: uint(r, 1),
                    size: uint(r, 2),
                    chain: hash(r.get(3))?,
                })
            })
            .collect()
    }

    fn open_day_before(&mut self, day: &str) -> Result<Option<String>, StoreError> {
        let row = self.one(
            "SELECT min(d.day) FROM journal_day d WHERE d.day < $1
               AND NOT EXISTS (SELECT 1 FROM journal_head h WHERE h.day = d.day AND h.closed)",
            &[&day],
        )?;
        Ok(row.and_then(|r| r.get(0)))
    }

    fn lines(
        &mut self,
        of: &[(PersonKey, String)],
    ) -> Result<BTreeMap<(PersonKey, String), LineState>, StoreError> {
        let persons: Vec<i64> = of.iter().map(|(p, _)| p.0 as i64).collect();
        let controllers: Vec<&str> = of.iter().map(|(_, c)| c.as_str()).collect();
        let rows = self.query(
            "SELECT l.person, l.controller, l.state FROM unnest($1::bigint[], $2::text[]) k(person, controller)
               JOIN journal_line l ON l.person = k.person AND l.controller = k.controller",
            &[&persons, &controllers],
        )?;
        rows.iter()
            .map(|r| Ok(((PersonKey(uint(r, 0)), r.get(1)), line(r.get(2))?)))
            .collect()
    }

    fn put_lines(
        &mut self,
        lines: &BTreeMap<(PersonKey, String), LineState>,
    ) -> Result<(), StoreError> {
        let persons: Vec<i64> = lines.keys().map(|(p, _)| p.0 as i64).collect();
        let controllers: Vec<&str> = lines.keys().map(|(_, c)| c.as_str()).collect();
        let states: Vec<Vec<u8>> = lines
            .values()
            .map(|s| {
                serde_json::to_vec(s).map_err(|e| StoreError::Invalid(format!("journal line: {e}")))
            })
            .collect::<Result<_, _>>()?;
        self.run(
            "INSERT INTO journal_line (person, controller, state)
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])
             ON CONFLICT (person, controller) DO UPDATE SET state = excluded.state",
            &[&persons, &controllers, &states],
        )
    }

    fn append(&mut self, rows: &[SealedRow]) -> Result<(), StoreError> {
        let ints = |of: fn(&SealedRow) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
        let bytes = |of: fn(&SealedRow) -> Vec<u8>| rows.iter().map(of).collect::<Vec<Vec<u8>>>();
        let streams: Vec<&str> = rows.iter().map(|r| r.stream.as_str()).collect();
        let days: Vec<&str> = rows.iter().map(|r| r.day.as_str()).collect();
        let data: Vec<Vec<u8>> = rows.iter().map(SealedRow::data).collect::<Result<_, _>>()?;
        self.run(
            "INSERT INTO journal (stream, seq, day, ix, id, recorded_at, leaf, chain, data)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[], $6::bigint[],
               $7::bytea[], $8::bytea[], $9::bytea[])",
            &[
                &streams,
                &ints(|r| r.seq as i64),
                &days,
                &ints(|r| r.index as i64),
                &bytes(|r| r.id.as_bytes().to_vec()),
                &ints(|r| r.recorded_at),
                &bytes(|r| r.leaf.to_vec()),
                &bytes(|r| r.chain.to_vec()),
                &data,
            ],
        )?;
        let mut people: BTreeSet<(i64, i64, &str, i64)> = BTreeSet::new();
        let mut parts: BTreeMap<(&str, &str), (i64, i64, Hash)> = BTreeMap::new();
        for row in rows {
            let seq = row.seq as i64;
            let place = |p: &PersonKey| (p.0 as i64, row.recorded_at, row.stream.as_str(), seq);
            people.extend(row.persons.iter().map(place));
            let part = parts
                .entry((&row.day, &row.stream))
                .or_insert((seq, 0, row.chain));
            part.1 += 1;
            part.2 = row.chain;
        }
        let column =
            |of: fn(&(i64, i64, &str, i64)) -> i64| people.iter().map(of).collect::<Vec<i64>>();
        let streams: Vec<&str> = people.iter().map(|p| p.2).collect();
        self.run(
            "INSERT INTO journal_person (person, recorded_at, stream, seq)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])",
            &[
                &column(|p| p.0),
                &column(|p| p.1),
                &streams,
                &column(|p| p.3),
            ],
        )?;
        for ((day, stream), (first, size, chain)) in parts {
            self.run(
                "INSERT INTO journal_day (day, stream, first, size, chain) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (day, stream) DO UPDATE SET size = journal_day.size + excluded.size, chain = excluded.chain",
                &[&day, &stream, &first, &size, &&chain[..]],
            )?;
        }
        Ok(())
    }

    fn put_nodes(&mut self, nodes: &[Node]) -> Result<(), StoreError> {
        let streams: Vec<&str> = nodes.iter().map(|n| n.stream.as_str()).collect();
        let days: Vec<&str> = nodes.iter().map(|n| n.day.as_str()).collect();
        let levels: Vec<i64> = nodes.iter().map(|n| i64::from(n.level)).collect();
        let indexes: Vec<i64> = nodes.iter().map(|n| n.index as i64).collect();
        let hashes: Vec<&[u8]> = nodes.iter().map(|n| &n.hash[..]).collect();
        self.run(
            "INSERT INTO journal_node (stream, day, level, ix, hash)
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
             ON CONFLICT DO NOTHING",
            &[&streams, &days, &levels, &indexes, &hashes],
        )
    }

    fn nodes(
        &mut self,
        stream: &str,
        day: &str,
        level: u32,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        let (from, to) = (from as i64, to as i64);
        let rows = if level == 0 {
            self.query(
                "SELECT leaf FROM journal WHERE stream = $1 AND day = $2 AND ix >= $3 AND ix < $4 ORDER BY ix",
                &[&stream, &day, &from, &to],
            )?
        } else {
            self.query(
                "SELECT hash FROM journal_node WHERE stream = $1 AND day = $2 AND level = $3 AND ix >= $4 AND ix < $5
                 ORDER BY ix",
                &[&stream, &day, &i64::from(level), &from, &to],
            )?
        };
        rows.iter().map(|r| hash(r.get(0))).collect()
    }

    fn rows(
        &mut self,
        stream: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM journal j WHERE j.stream = $1 AND j.seq >= $2 ORDER BY j.seq LIMIT $3"
        );
        self.query(sql, &[&stream, &(from as i64), &most(limit)])?
            .iter()
            .map(sealed)
            .collect()
    }

    fn row_by_id(&mut self, id: Uuid) -> Result<Option<SealedRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM journal j WHERE j.id = $1 ORDER BY j.recorded_at, j.seq LIMIT 1"
        );
        self.one(sql, &[&&id.as_bytes()[..]])?
            .as_ref()
            .map(sealed)
            .transpose()
    }

    fn rows_of(
        &mut self,
        persons: &BTreeSet<PersonKey>,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<SealedRow>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let before = before.unwrap_or(MicrosUtc::MAX);
        let keys: Vec<i64> = persons.iter().map(|p| p.0 as i64).collect();
        // the places of each person's page, then the edge, then everything down to the edge
        let edges = self.query(
            "SELECT DISTINCT x.recorded_at, x.stream, x.seq FROM unnest($1::bigint[]) k(person) CROSS JOIN LATERAL
               (SELECT recorded_at, stream, seq FROM journal_person WHERE person = k.person AND recorded_at < $2
                ORDER BY recorded_at DESC, stream DESC, seq DESC LIMIT $3) x
             ORDER BY 1 DESC LIMIT $3",
            &[&keys, &before, &most(limit)],
        )?;
        let Some(edge) = edges.last().map(|r| r.get::<_, i64>(0)) else {
            return Ok(Vec::new());
        };
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT DISTINCT p.stream, p.seq FROM unnest($1::bigint[]) k(person)
                JOIN journal_person p ON p.person = k.person AND p.recorded_at < $2 AND p.recorded_at >= $3) x
              JOIN journal j ON j.stream = x.stream AND j.seq = x.seq
              ORDER BY j.recorded_at DESC, j.stream DESC, j.seq DESC"
        );
        self.query(sql, &[&keys, &before, &edge])?
            .iter()
            .map(sealed)
            .collect()
    }

    fn replace_members(&mut self, row: &SealedRow) -> Result<(), StoreError> {
        self.run(
            "UPDATE journal SET data = $3 WHERE stream = $1 AND seq = $2",
            &[&row.stream, &(row.seq as i64), &row.data()?],
        )
    }

    fn put_head(&mut self, head: &HeadRow) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO journal_head (n, day, closed, jws) VALUES ($1, $2, $3, $4)",
            &[&(head.n as i64), &head.day, &head.closed, &head.jws],
        )
    }

    fn remove_interim_heads(&mut self, day: &str) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM journal_head WHERE day = $1 AND NOT closed",
            &[&day],
        )
    }

    fn heads(&mut self, day: Option<&str>, limit: usize) -> Result<Vec<HeadRow>, StoreError> {
        let rows = match day {
            Some(day) => self.query(
                "SELECT n, day, closed, jws FROM journal_head WHERE day = $1 ORDER BY n DESC LIMIT $2",
                &[&day, &most(limit)],
            )?,
            None => self.query(
                "SELECT n, day, closed, jws FROM journal_head ORDER BY n DESC LIMIT $1",
                &[&most(limit)],
            )?,
        };
        Ok(rows.iter().map(head).collect())
    }

    fn last_closed_head(&mut self) -> Result<Option<HeadRow>, StoreError> {
        let sql =
            "SELECT n, day, closed, jws FROM journal_head WHERE closed ORDER BY n DESC LIMIT 1";
        Ok(self.one(sql, &[])?.as_ref().map(head))
    }

    fn closed_heads_after(&mut self, after: u64, limit: usize) -> Result<Vec<HeadRow>, StoreError> {
        let rows = self.query(
            "SELECT n, day, closed, jws FROM journal_head WHERE closed AND n > $1 ORDER BY n LIMIT $2",
            &[&(after as i64), &most(limit)],
        )?;
        Ok(rows.iter().map(head).collect())
    }
}
