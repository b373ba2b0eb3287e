//! Small tables that every read needs, kept in memory: type names, bulk generations, merges. `clock.names` counts their
//! changes, so that each process knows when to read them again.

use super::aliases::Aliases;
use super::link::Conn;
use crate::{MicrosUtc, PersonKey, Seq, StoreError};
use std::collections::HashMap;
use std::sync::Arc;

/// A generation that was switched in.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) seq: Seq,
    pub(super) at: MicrosUtc,
}

/// The tables at one count.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// `clock.names` they were read at (or later).
    pub(super) count: i64,
    by_name: HashMap<String, i32>,
    by_number: HashMap<i32, String>,
    generations: HashMap<i64, Generation>,
    /// Merges.
    pub(super) aliases: Arc<Aliases>,
}

impl Names {
    /// None yet: older than any that were read.
    pub(super) fn unread() -> Self {
        Self {
            count: -1,
            ..Self::default()
        }
    }

    /// Reads the tables; `count` was read before them.
    pub(super) async fn load(conn: &Conn, count: i64) -> Result<Self, StoreError> {
        let mut names = Self {
            count,
            ..Self::default()
        };
        for row in conn.query("SELECT id, name FROM rtype", &[]).await? {
            names.add_rtype(row.get(0), row.get(1));
        }
        let sql = "SELECT number, seq, at FROM generation WHERE seq IS NOT NULL";
        for row in conn.query(sql, &[]).await? {
            let seq = Seq(row.get::<_, i64>(1) as u64);
            names.generations.insert(
                row.get(0),
                Generation {
                    seq,
                    at: row.get(2),
                },
            );
        }
        let mut aliases = Aliases::default();
        for row in conn.query("SELECT source, target FROM alias", &[]).await? {
            let key = |i: usize| PersonKey(row.get::<_, i64>(i) as u64);
            aliases.set(key(0), key(1));
        }
        names.aliases = Arc::new(aliases);
        Ok(names)
    }

    /// Adds a type.
    pub(super) fn add_rtype(&mut self, number: i32, name: String) {
        self.by_name.insert(name.clone(), number);
        self.by_number.insert(number, name);
    }

    /// Number of a type.
    pub(super) fn number(&self, rtype: &str) -> Option<i32> {
        self.by_name.get(rtype).copied()
    }

    /// Greatest number in use.
    pub(super) fn last_number(&self) -> i32 {
        self.by_number.keys().copied().max().unwrap_or(0)
    }

    /// Name of a type.
    pub(super) fn rtype(&self, number: i32) -> Result<&str, StoreError> {
        let found = self.by_number.get(&number);
        found
            .map(String::as_str)
            .ok_or_else(|| StoreError::Corrupt(format!("type number {number} has no name")))
    }

    /// Real place and time of a stored `seq`; `None` for a generation that is newer than these names.
    pub(super) fn place(&self, seq: i64, at: MicrosUtc) -> Option<(Seq, MicrosUtc)> {
        if seq >= 0 {
            return Some((Seq(seq as u64), at));
        }
        self.generations
            .get(&-seq)
            .map(|generation| (generation.seq, generation.at))
    }
}
