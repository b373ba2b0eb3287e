//! The rules, as plain functions from values to values.

pub mod envelope;
pub mod machine;
pub mod queue;
pub mod resend;
pub mod track;
