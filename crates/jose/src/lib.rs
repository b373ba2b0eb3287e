//! JOSE for OAuth in the health sector: keys, signed tokens, DPoP proofs, client assertions, the checks an API makes, and
//! the steps a client takes.
//!
//! **Deliberately does not know** who issues what to whom: there are no registrations, users, sessions or HTTP library here. Both
//! issuers of the hub (HelseID for personnel, Helsenorge's for citizens) and every API stand on it, and it can be used
//! by other Rust services of the sector as it is.
//!
//! Read first: [`jwk::PublicJwk`], [`jws::Compact`], [`rs::ResourceServer`].
//!
//! Invariants, each guarded by the tests of its module:
//! 1. No symmetric algorithm and no `none` can be expressed ([`alg::Alg`]), so algorithm confusion has nowhere to go.
//! 2. Every JSON object from the network is read strictly: no duplicate members, bounded depth and size ([`strict_json`]).
//! 3. Verifying consumes nothing. Replay marks are set by the caller, when it has decided to act ([`state`]).
//! 4. Every refusal has its own error value; no error text contains a token, a key or a national id.
//!
//! Malicious input costs bounded work: sizes are checked before decoding, claims before signatures, keys from strangers
//! are limited to 8192 bits. Overload fills the replay memory, which then refuses instead of forgetting.
//!
//! Rules: RFC 7515, 7517, 7518, 7519, 7523, 7636, 7638, 8037, 8725, 9101, 9449, and spec helseid §3, §4, §10.
//! Tests: `cargo test -p jose` (with the shared test vectors beside the repository it also runs Wycheproof's).

pub mod alg;
pub mod assertion;
pub mod client;
mod der;
pub mod dpop;
pub mod encoding;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod key_cache;
pub mod keyring;
pub mod marks;
pub mod names;
pub mod pkce;
mod recent;
pub mod rs;
pub mod state;
pub mod strict_json;

pub use alg::Alg;
pub use jwk::{JwkSet, PrivateJwk, PublicJwk};
pub use jwt::Claims;
pub use rs::{AccessToken, ResourceServer};
pub use state::{Clock, MemoryState, ReplayCache, State, system_clock};
