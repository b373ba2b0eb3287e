//! Transport adapters on the exchange's port.

pub mod ebxml;
pub mod rest;
