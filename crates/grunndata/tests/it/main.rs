//! Edge tests of the base registers' wire. PostgreSQL runs when `HELSENAV_PG_URL` names a server
//! (`scripts/postgres.sh start` prints one).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod address;
mod descriptions;
mod health;
mod persons;
mod place;
mod views;
mod wire;
