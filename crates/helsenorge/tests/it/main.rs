//! The citizen's service at its edge, on a real store.

mod access;
mod identity;
mod log;
mod world;
