//! Reads by id and short searches out of an open repository on an engine behind a network: the task waits for the record or
//! the page's rows, not a thread.
//!
//! The answer is made by the same functions as every other one. They run on the async thread, under a limit that has run
//! out: what would have to ask the engine again is refused at once, and the request goes the ordinary way.

use super::at_once::is_for_others;
use super::finish::{Shown, finish};
use super::{Call, is_open_read, is_open_search, serve};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::response::Response;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The answer; `None` when it has to be found the ordinary way: the call is then as it was.
pub(super) async fn answer(
    repository: &Repository,
    call: &mut Call,
    full_path: &str,
    shown: Shown,
) -> Option<Response> {
    if !shown.is_plain_json() {
        return None;
    }
    let config = &repository.config;
    let is_read = is_open_read(repository, call);
    let asked = match call.segments.as_slice() {
        [rtype, id] if is_read => config.store.snapshot_soon(config.repo, rtype, id)?,
        [rtype] if is_open_search(repository, call) => {
            let expected = repository.expected(call, rtype)?;
            config
                .store
                .snapshot_soon_at(config.repo, &expected.look())?
        }
        _ => return None,
    };
    // What is wrong with the engine, if anything, the ordinary way finds out and tells.
    call.ahead = Some(asked.await.ok()?);
    let (result, event_id) = catch_unwind(AssertUnwindSafe(|| {
        store::Patience::new(Duration::ZERO).hold(|| serve(repository, call, full_path))
    }))
    .unwrap_or_else(|_| (Err(Failure::internal()), edge::headers::new_uuid()));
    if is_for_others(&result, shown) {
        if is_read {
            call.ahead = None;
        }
        return None;
    }
    Some(finish(repository, result, event_id, shown))
}
