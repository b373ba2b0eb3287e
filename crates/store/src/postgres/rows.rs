//! Rows as values: the head of a record or version as it is read everywhere.

use super::aliases::Aliases;
use super::names::Names;
use super::pack::{self, Meta};
use crate::{Head, MicrosUtc, Op, Privacy, RecordId, RepoId, Rid, Seq, StoreError, Vno};
use bytes::Bytes;
use std::collections::BTreeSet;
use tokio_postgres::Row;

/// Columns of [`RawHead`] from `head h`.
macro_rules! head_columns {
    () => {
        "h.rid, h.repo, h.rtype, h.id, h.vno, h.seq, h.at, h.op, h.purged, h.meta"
    };
}
/// The same columns of a version `v` beside its `head h`.
macro_rules! version_columns {
    () => {
        "h.rid, h.repo, h.rtype, h.id, v.vno, v.seq, v.at, v.op, h.purged, v.meta"
    };
}
pub(super) use {head_columns, version_columns};

/// A head as stored.
#[derive(Clone, Debug)]
pub(super) struct RawHead {
    pub(super) rid: Rid,
    pub(super) repo: RepoId,
    pub(super) rtype: i32,
    pub(super) id: RecordId,
    pub(super) vno: Vno,
    /// Place; bulk-loaded versions have `-generation` here.
    pub(super) seq: i64,
    pub(super) at: MicrosUtc,
    pub(super) op: Op,
    /// Versions up to this one are erased.
    pub(super) purged: u32,
    pub(super) meta: Meta,
}

impl RawHead {
    /// Reads the ten columns that begin at `from`.
    pub(super) fn of(row: &Row, from: usize) -> Result<Self, StoreError> {
        Ok(Self {
            rid: Rid(row.get::<_, i64>(from) as u64),
            repo: RepoId(row.get::<_, i16>(from + 1) as u16),
            rtype: row.get(from + 2),
            id: row.get(from + 3),
            vno: Vno(row.get::<_, i32>(from + 4) as u32),
            seq: row.get(from + 5),
            at: row.get(from + 6),
            op: pack::read_op(row.get(from + 7))?,
            purged: row.get::<_, i32>(from + 8) as u32,
            meta: pack::read_meta(row.get(from + 9))?,
        })
    }

    /// The body in the columns `form`, `content` that begin at `from`.
    pub(super) fn body(row: &Row, from: usize) -> Result<Bytes, StoreError> {
        pack::read_body(row.get(from), row.get(from + 1))
    }

    /// Whether this version is a live record.
    pub(super) fn live(&self) -> bool {
        self.op != Op::Delete && self.vno.0 > self.purged && self.op != Op::Purge
    }

    /// As the interface shows it: aliases followed, the type by name, the real place.
    pub(super) fn head(self, aliases: &Aliases, names: &Names) -> Result<Head, StoreError> {
        let unknown = || StoreError::Corrupt(format!("generation {} is unknown", -self.seq));
        let (seq, at) = names.place(self.seq, self.at).ok_or_else(unknown)?;
        Ok(Head {
            rid: self.rid,
            repo: self.repo,
            rtype: names.rtype(self.rtype)?.to_owned(),
            id: self.id,
            vno: self.vno,
            seq,
            at,
            op: self.op,
            persons: aliases.roots(&self.meta.persons),
            author_person: self.meta.author_person.map(|p| aliases.root(p)),
            owner: self.meta.owner.map(|p| aliases.root(p)),
            privacy: self.meta.privacy,
        })
    }
}

/// Whether a version of a record lets fewer see it than the one before (DESIGN §3.1).
pub(super) fn stricter(old: &Meta, new: &Meta) -> bool {
    let (o, n): (&Privacy, &Privacy) = (&old.privacy, &new.privacy);
    let later = match (o.disclose_at, n.disclose_at) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after > before,
    };
    let people = |m: &Meta| m.persons.iter().copied().collect::<BTreeSet<_>>();
    n.labels & !o.labels != 0
        || n.conf > o.conf
        || later
        || n.class != o.class
        || people(old) != people(new)
}

/// A place as stored.
pub(super) fn column(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PersonKey;

    #[test]
    fn stricter_is_fewer_readers() {
        let base = Meta {
            persons: vec![PersonKey(1), PersonKey(2)],
            privacy: Privacy {
                labels: 0b10,
                conf: 1,
                class: 3,
                disclose_at: Some(50),
                ..Privacy::default()
            },
            ..Meta::default()
        };
        type Change = fn(&mut Meta);
        let table: [(&str, Change, bool); 11] = [
            ("nothing", |_| {}, false),
            ("one more label", |m| m.privacy.labels = 0b11, true),
            ("a label less", |m| m.privacy.labels = 0, false),
            ("another label", |m| m.privacy.labels = 0b100, true),
            ("higher confidentiality", |m| m.privacy.conf = 2, true),
            ("lower confidentiality", |m| m.privacy.conf = 0, false),
            (
                "later disclosure",
                |m| m.privacy.disclose_at = Some(51),
                true,
            ),
            ("disclosed at once", |m| m.privacy.disclose_at = None, false),
            ("another class", |m| m.privacy.class = 2, true),
            ("persons in another order", |m| m.persons.reverse(), false),
            ("another person", |m| m.persons = vec![PersonKey(1)], true),
        ];
        for (what, change, expected) in table {
            let mut new = base.clone();
            change(&mut new);
            assert_eq!(stricter(&base, &new), expected, "{what}");
        }
    }
}
