//! Names (being filled).
