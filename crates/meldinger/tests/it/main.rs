//! The exchange on a real store: what a sender, a receiver and an operator meet, case by case of spec/story.md §7.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod approval;
mod codes;
mod conditions;
mod counting;
mod delivery;
mod ebxml;
mod envelope;
mod hub_receiver;
mod kill;
mod life_cycle;
mod port;
mod resending;
mod rest;
mod views;
mod wire;
mod world;
