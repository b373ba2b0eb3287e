//! Tests of what an answer may hold.
