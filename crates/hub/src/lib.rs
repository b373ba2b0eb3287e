//! The hub: wiring, configuration, start and stop, health and metrics.
//!
//! It deliberately holds no rules: services have them. It opens the store, hands the mint to `trust`, gives every service
//! its repositories, mounts the routers, starts the listeners and the background jobs, and stops them in order.
//!
//! Read first: [`Config`], [`Hub::start`].
//!
//! Invariants: nothing answers before the store is open and the settings are checked; secrets lie wrapped in the store,
//! their key in a file of mode 0600; at stop, listeners drain first, jobs end next, the store closes last.
//! Rules: DESIGN §3 (engines), §4 (outside contract), §7 (seen).

pub mod address_register;
pub mod apis;
pub mod approvals;
pub mod authorities;
mod bus;
pub mod citizens;
pub mod config;
pub mod counts;
pub mod demo;
pub mod demo_clients;
pub mod demo_newcomers;
pub mod endpoints;
pub mod export;
pub mod fhir;
pub mod grunndata;
pub mod health_registers;
pub mod helseid_out;
pub mod helseid_state;
pub mod intake;
pub mod jobs;
pub mod keys;
pub mod login;
mod message_handler;
pub mod opened;
pub mod operations;
pub mod operators;
pub mod ops;
mod own_records;
pub mod parties;
pub mod pki;
pub mod ports;
pub mod registry;
pub mod secrets;
pub mod standards;
pub mod system_users;
pub mod validator;
pub mod wire;

pub use config::Config;
pub use opened::Opened;
pub use wire::{Addresses, DemoSetup, Hub, Movable, Setup};
