//! Rows for `COPY` in its binary form (PostgreSQL documentation, "COPY", file formats).
//!
//! `COPY` fills whole pages of the heap at a time and has no plan to run: a row costs the server half of what an `INSERT`
//! takes. It costs a round trip of its own, so it is for many rows.

use super::pack;
use super::world::{HeadRow, IdxRow, VersionRow};
use bytes::{BufMut as _, Bytes, BytesMut};

/// As many versions or heads are worth a `COPY`.
pub(super) const MANY: usize = 32;
/// As many index rows are.
pub(super) const MANY_SMALL: usize = 150;

pub(super) const IDX: &str = "COPY idx (place, key) FROM STDIN (FORMAT binary)";
pub(super) const VERSION: &str =
    "COPY version (rid, vno, seq, at, repo, op, pack, form, meta, content, keys, blobs)
    FROM STDIN (FORMAT binary)";
pub(super) const HEAD: &str = "COPY head (rid, repo, rtype, id, vno, seq, at, op, purged, meta)
    FROM STDIN (FORMAT binary)";

/// Rows as they are written.
struct Rows(BytesMut);

impl Rows {
    /// `bytes`: about how many there will be.
    fn new(bytes: usize) -> Self {
        const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
        let mut out = BytesMut::with_capacity(bytes + 32);
        out.put_slice(SIGNATURE);
        // no flags, no further header
        out.put_i32(0);
        out.put_i32(0);
        Self(out)
    }

    fn row(&mut self, columns: i16) {
        self.0.put_i16(columns);
    }

    fn i64(&mut self, value: i64) {
        self.0.put_i32(8);
        self.0.put_i64(value);
    }

    fn i32(&mut self, value: i32) {
        self.0.put_i32(4);
        self.0.put_i32(value);
    }

    fn i16(&mut self, value: i16) {
        self.0.put_i32(2);
        self.0.put_i16(value);
    }

    /// Bytes or text. Everything is limited to some megabytes before it comes here.
    fn bytes(&mut self, value: &[u8]) {
        self.0.put_i32(value.len() as i32);
        self.0.put_slice(value);
    }

    fn end(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }
}

/// For [`IDX`].
pub(super) fn idx(rows: &[IdxRow]) -> Bytes {
    let mut out = Rows::new(rows.iter().map(|r| r.key.len() + 18).sum());
    for row in rows {
        out.row(2);
        out.i64(row.place);
        out.bytes(&row.key);
    }
    out.end()
}

/// For [`VERSION`].
pub(super) fn versions(rows: &[VersionRow]) -> Bytes {
    let size = |r: &VersionRow| r.meta.len() + r.content.len() + r.keys.len() + 128;
    let mut out = Rows::new(rows.iter().map(size).sum());
    for row in rows {
        out.row(12);
        out.i64(row.rid as i64);
        out.i32(row.vno as i32);
        out.i64(row.seq);
        out.i64(row.at);
        out.i16(row.repo as i16);
        out.i16(pack::op_number(row.op));
        out.i64(i64::from(row.pack));
        out.i16(row.form);
        out.bytes(&row.meta);
        out.bytes(&row.content);
        out.bytes(&row.keys);
        out.bytes(&pack::blobs(&row.blobs));
    }
    out.end()
}

/// For [`HEAD`].
pub(super) fn heads(rows: &[HeadRow]) -> Bytes {
    let size = |r: &HeadRow| r.meta.len() + r.id.len() + 96;
    let mut out = Rows::new(rows.iter().map(size).sum());
    for row in rows {
        out.row(10);
        out.i64(row.rid as i64);
        out.i16(row.repo as i16);
        out.i32(row.rtype);
        out.bytes(row.id.as_bytes());
        out.i32(row.vno as i32);
        out.i64(row.seq);
        out.i64(row.at);
        out.i16(pack::op_number(row.op));
        out.i32(row.purged as i32);
        out.bytes(&row.meta);
    }
    out.end()
}
