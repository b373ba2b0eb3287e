//! The crate's edge: official samples, mutated copies against an independent oracle, hostile bytes, texts people read.

mod oracle;
mod samples;
mod shared;
