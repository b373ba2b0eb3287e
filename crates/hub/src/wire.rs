//! Wiring: which service gets what.

/// What the binary brings.
pub struct Setup;
/// A running hub.
pub struct Hub;
