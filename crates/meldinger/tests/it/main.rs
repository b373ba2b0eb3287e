//! The exchange on a real store: what a sender, a receiver and an operator meet, case by case of spec/story.md §7.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod delivery;
mod envelope;
mod hub_receiver;
mod life_cycle;
mod port;
mod views;
mod wire;
mod world;
