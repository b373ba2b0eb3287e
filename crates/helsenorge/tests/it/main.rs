//! The citizen's service at its edge, on a real store.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

mod access;
mod identity;
mod log;
mod world;
