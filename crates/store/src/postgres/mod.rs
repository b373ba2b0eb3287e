//! The PostgreSQL engine: everything in one database schema, index rows inside the transaction.
//!
//! It is the interface of the store and nothing else; several processes of the hub may open the same schema at once.
//!
//! Read first: `schema` (the tables), `writer` (how a batch runs), `decide` (the rules of a commit, pure), `reader`.
//!
//! Invariants: one batch at a time over all processes, because each locks the one row of `clock` first; places in the
//! log are given under that lock, so the feed has no gap and is never seen out of order; nobody is answered before the
//! server has flushed the COMMIT; a snapshot is a place, and every row carries what is needed to see the state there.
//!
//! Rules: DESIGN §3; spec/dependencies.md §7 and §10.5 (surrogate keys, batches over `unnest`).

mod aliases;
mod blobs;
mod bulk;
mod check;
mod copy;
mod crowd;
mod decide;
mod engine;
mod feed;
mod guard;
mod journal;
mod keeper;
mod link;
mod load;
mod met;
mod mirror;
mod names;
mod pack;
mod queue;
mod reader;
mod rekey;
mod rows;
mod schema;
mod shared;
mod sink;
mod source;
mod tables;
mod tls;
mod walk;
mod world;
mod write;
mod writer;

pub use engine::open;
