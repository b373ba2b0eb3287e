//! The embedded engine: `log.db` (durable log, heads, queues), `index.db` (folded index), journal segments.

use crate::{Engine, StoreConfig, StoreError};
use std::sync::Arc;

/// Opens the engine.
pub fn open(_config: StoreConfig) -> Result<Arc<dyn Engine>, StoreError> {
    Err(StoreError::CannotOpen(
        "sqlite engine is being built".to_owned(),
    ))
}
