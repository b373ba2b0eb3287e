//! Reads and short searches of an open repository on the embedded engine, answered where their request is read.
//!
//! Everything they do is what the router's way does, by the same functions; what is left out is the way itself: layers,
//! and threads that hand over to one another. A search that turns out to be none of the short ones is given up after a
//! few milliseconds and goes the router's way.

use super::finish::{Shown, finish};
use super::negotiate::{is_pretty, negotiate, preferences};
use super::{Answer, Call, Content, Mounted, base_of, coding, segments, serve};
use crate::outcome::Failure;
use crate::params;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::Response;
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longest time a search may take here.
const PATIENCE: Duration = Duration::from_millis(4);
/// Most entries of a page that is made here.
const MAX_PAGE: usize = 50;
/// Most parameters of a search that is done here.
const MAX_PARAMETERS: usize = 6;
/// Longer answers are compressed elsewhere.
const MAX_COMPRESSED_BYTES: usize = 64 << 10;

impl edge::front::AtOnce for Mounted {
    fn answer(&self, head: &mut Parts) -> Option<Response> {
        let began = Instant::now();
        let path = head.uri.path().strip_prefix(&*self.prefix)?;
        let path = path
            .strip_prefix('/')
            .filter(|_| head.method == Method::GET)?;
        let repository = &*self.repository;
        if !is_open_and_near(repository) || edge::is_crowded() {
            return None;
        }
        let (rtype, id) = match path.split_once('/') {
            Some((rtype, id)) => (rtype, Some(id)),
            None => (path, None),
        };
        let query = head.uri.query();
        let query = match id {
            Some(id) if crate::read::is_id(id) && query.is_none() => Vec::new(),
            None => params::decode(query?.as_bytes()),
            Some(_) => return None,
        };
        if !repository.has_type(rtype) || (id.is_none() && !is_short(&query)) {
            return None;
        }
        let shown = Shown {
            format: negotiate(&query, &head.headers).ok()?,
            is_pretty: is_pretty(&query).ok()?,
            is_head: false,
            coding: coding::accepted(&head.headers),
        };
        let preferences = preferences(&head.headers).ok()?;
        if !shown.is_plain_json() || head.headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let call = Call {
            base: base_of(repository, &head.headers),
            segments: segments(path),
            path: path.to_owned(),
            query,
            body: Bytes::new(),
            upload: None,
            ahead: None,
            method: Method::GET,
            returns: preferences.returns.unwrap_or_default(),
            has_return: preferences.returns.is_some(),
            is_lenient: preferences.is_lenient,
            headers: std::mem::take(&mut head.headers),
        };
        let full_path = head.uri.path();
        let (result, event_id) = catch_unwind(AssertUnwindSafe(|| {
            store::Patience::new(PATIENCE).hold(|| serve(repository, &call, full_path))
        }))
        .unwrap_or_else(|_| (Err(Failure::internal()), edge::headers::new_uuid()));
        if is_for_others(&result, shown) {
            head.headers = call.headers;
            return None;
        }
        let response = finish(repository, result, event_id, shown);
        let interaction = if id.is_some() { "read" } else { "search" };
        let status = response.status().as_u16();
        self.meters
            .count(interaction, status, began.elapsed().as_secs_f64());
        Some(response)
    }
}

/// Nobody is asked and nothing is waited for: no decision, no log line, no other server.
fn is_open_and_near(repository: &crate::repository::Repository) -> bool {
    !repository.is_clinical()
        && repository.config.originals.is_none()
        && repository.config.store.reads_are_quick()
}

/// A search that is likely to be short: few plain conditions, a small page, no other resources with it. What it asks for
/// may still be much; the clock tells.
pub(super) fn is_short(query: &[(String, String)]) -> bool {
    query.len() <= MAX_PARAMETERS
        && query.iter().all(|(name, value)| match name.as_str() {
            "_count" => value.parse().is_ok_and(|n: usize| n <= MAX_PAGE),
            "_id" | "_elements" => true,
            "_format" => value == "json",
            _ => !name.starts_with('_') && !name.contains([':', '.']) && !name.is_empty(),
        })
}

/// It took too long, or what is left to do would.
pub(super) fn is_for_others(result: &Result<Answer, Failure>, shown: Shown) -> bool {
    match result {
        Err(failure) => failure.issues.iter().any(|i| i.code == "too-costly"),
        Ok(answer) => match &answer.content {
            Content::Resource(json) => shown.coding.is_some() && json.len() > MAX_COMPRESSED_BYTES,
            Content::Nothing => false,
            // The content of a Binary, in the form that the request asks for.
            Content::Raw(..) | Content::File(..) => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_searches_are_told_by_their_parameters() {
        for (query, expected) in [
            ("code=http%3A%2F%2Floinc.org%7C718-7&_count=20", true),
            ("patient=1&code=2&_elements=id", true),
            ("code=1&_count=1000", false),
            ("code=1&_count=x", false),
            ("code:in=x", false),
            ("patient.name=x", false),
            ("_has:Observation:patient:code=1", false),
            ("_include=Observation:subject&code=1", false),
            ("_sort=-date&code=1", false),
            ("_page=x", false),
            ("a=1&b=2&c=3&d=4&e=5&f=6&g=7", false),
            ("=1", false),
        ] {
            let query = params::decode(query.as_bytes());
            assert_eq!(is_short(&query), expected, "{query:?}");
        }
    }
}
