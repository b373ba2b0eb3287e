//! Compiled expressions kept by their text: constraints of stored profiles and search parameters come again and again.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::{CompileError, Expr};

/// Most expressions kept. At the limit all are dropped: what is in use comes back at once.
const KEPT: usize = 4096;

static CACHE: LazyLock<Mutex<HashMap<Box<str>, Arc<Expr>>>> = LazyLock::new(Mutex::default);

/// [`Expr::compile`] through the cache. Faulty expressions are not kept.
pub fn compiled(text: &str) -> Result<Arc<Expr>, CompileError> {
    let lock = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lock().get(text) {
        return Ok(found.clone());
    }
    let expr = Arc::new(Expr::compile(text)?);
    let mut cache = lock();
    if cache.len() >= KEPT {
        cache.clear();
    }
    cache.insert(Box::from(text), expr.clone());
    Ok(expr)
}
