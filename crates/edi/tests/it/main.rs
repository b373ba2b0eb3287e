//! The crate's edge: official samples, mutated copies against an independent oracle, hostile bytes, texts people read.

mod bad_cases;
mod hostile;
mod made;
mod oracle;
mod samples;
mod shared;
mod texts;
