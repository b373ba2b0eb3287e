//! (being built)
use super::Inner;
use crate::{Seq, StoreError};

impl Inner {
    pub(super) fn backup(&self, _out: &mut dyn std::io::Write) -> Result<Seq, StoreError> {
        Err(StoreError::Unavailable("backup is being built".to_owned()))
    }

    pub(super) fn restore(&self, _input: &mut dyn std::io::Read) -> Result<Seq, StoreError> {
        Err(StoreError::Unavailable("restore is being built".to_owned()))
    }
}
