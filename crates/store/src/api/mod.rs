//! The store's contract as plain values: what may be written, what may be read, how it can fail.
//! Both engines implement exactly this and are held to it by one conformance suite.

mod blob;
mod commit;
mod engine;
mod error;
mod feed;
mod filter;
mod ids;
mod journal;
mod patience;
mod queue;
mod read;
mod rekey;

pub use blob::*;
pub use commit::*;
pub use engine::*;
pub use error::*;
pub use feed::*;
pub use filter::*;
pub use ids::*;
pub use journal::*;
pub use patience::*;
pub use queue::*;
pub use read::*;
pub use rekey::*;
