//! Keys made anew: when the definitions change that a record is found by, not the record.

use crate::{IndexKey, Rid, Vno};

/// Most versions of one call of [`crate::Engine::rekey`].
pub const MAX_REKEY: usize = 2_000;

/// New keys of a live record's newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekey {
    /// Record.
    pub rid: Rid,
    /// The version that was read; when another is newest by then, it is left as it is.
    pub vno: Vno,
    /// Its keys.
    pub keys: Vec<IndexKey>,
    /// Version of the definition pack that made them.
    pub pack: u32,
}
