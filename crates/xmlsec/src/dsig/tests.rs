//! Rules as plain values.
