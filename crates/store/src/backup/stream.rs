//! The stream's bytes.

use super::{Header, ItemKind, Sink, Source};
use crate::{Seq, StoreError};
use std::collections::BTreeMap;
use std::io;

/// Longest item (a blob), bytes.
pub const MAX_ITEM_BYTES: usize = 1 << 30;

/// What a stream held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its head.
    pub header: Header,
    /// The restored store's newest seq (after [`read`]), or the header's (after [`write`]).
    pub seq: Seq,
    /// Items per kind.
    pub counts: BTreeMap<ItemKind, u64>,
}

/// Writes a backup.
pub fn write(_source: &dyn Source, _out: &mut dyn io::Write) -> Result<Summary, StoreError> {
    Err(StoreError::Unavailable("backup is being built".to_owned()))
}

/// Restores a backup.
pub fn read(_input: &mut dyn io::Read, _sink: &mut dyn Sink) -> Result<Summary, StoreError> {
    Err(StoreError::Unavailable("restore is being built".to_owned()))
}
