//! The PostgreSQL engine: everything in one database, index rows inside the transaction.

use crate::{Engine, StoreConfig, StoreError};
use std::sync::Arc;

/// Opens the engine.
pub fn open(_config: StoreConfig) -> Result<Arc<dyn Engine>, StoreError> {
    Err(StoreError::CannotOpen(
        "postgres engine is being built".to_owned(),
    ))
}
