//! SMART App Launch 2: scopes on resources beside the national ones, and where tokens come from.
//!
//! National scopes say whether a token opens a repository; scopes on resources only narrow what it opens. In open
//! repositories no token is needed: one that comes along with such scopes narrows what its sender sees, unverified, since
//! leaving it out would show more.

mod narrow;
mod scope;
mod server;

pub(crate) use narrow::{admit, admit_entry};
pub use scope::{Context, Launch, MAX_SCOPES, Permissions, Scope, Scopes, is_resource_scope};
pub use server::AuthorizationServer;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Longest token that is looked into.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Scopes of a token that nobody verifies, for open repositories: they can only take away.
pub(crate) fn unverified(authorization: &str) -> Option<Scopes> {
    let (scheme, token) = authorization.split_once(' ')?;
    if !(scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop"))
        || token.len() > MAX_TOKEN_BYTES
    {
        return None;
    }
    let mut parts = token.trim().split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let scopes: Vec<&str> = match claims.get("scope")? {
        Value::String(text) => text.split_ascii_whitespace().collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let launch = match claims.get("patient").and_then(Value::as_str) {
        Some(id) => Launch::Patient(id.to_owned()),
        None => Launch::Nobody,
    };
    Scopes::of(scopes, launch)
}

#[cfg(test)]
mod tests;
