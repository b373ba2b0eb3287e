//! Registers on a real store, on both engines. PostgreSQL runs when `HELSENAV_PG_URL` names a server
//! (`scripts/postgres.sh start` prints one).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod births;
mod freg;
mod gplists;
mod kept;
mod kernel;
mod personnel;
mod persons;
mod place;
mod positions;
mod staff;
mod together;
