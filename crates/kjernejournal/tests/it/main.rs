//! The core record at its edge: finding, choosing, opening, on a real store.

mod find;
mod open;
mod world;
