//! Backup, restore and the mirror: the store as a stream of logical items, the same for both engines, so it is also the
//! migration between them (DESIGN §3.10).
//!
//! It does not know how an engine keeps anything: an engine gives items ([`Source`]) or takes them ([`Sink`]).
//!
//! Read first: [`Item`] (what a store consists of), [`write`](write()), [`restore`], [`mirror`].
//!
//! Invariants: a stream is one state of the store; a damaged or cut stream never becomes a store; nothing is restored
//! into a store that holds anything; purges and settings made after the backup are played again from the mirror, or the
//! restore says that it could not.

mod item;
pub mod mirror;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use item::*;
pub use stream::{LostSettings, MirrorOutcome, Replay, Restored, Summary, read, restore, write};
pub use wire::MAX_PART_BYTES;

use crate::{Seq, StoreError};

/// An engine that is backed up.
pub trait Source {
    /// What stands at the head of the stream.
    fn header(&self) -> Result<Header, StoreError>;
    /// Gives all items of the state named by `header`, in the order of [`ItemKind`], log entries ascending by seq,
    /// by calling `emit` for each; an error of `emit` is passed on at once.
    fn items(
        &self,
        header: &Header,
        emit: &mut dyn FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// An engine that is restored into.
pub trait Sink {
    /// Whether the store holds nothing: no version, person, message, claim, position or journal entry.
    fn is_empty(&self) -> Result<bool, StoreError>;
    /// The stream begins.
    fn begin(&mut self, header: &Header) -> Result<(), StoreError>;
    /// The next item. Nothing may be visible, or survive a crash as a usable store, before `finish`.
    fn item(&mut self, item: Item) -> Result<(), StoreError>;
    /// The stream was whole (counts and digest agree): make everything durable and visible, under a new incarnation.
    /// Returns the store's newest seq.
    fn finish(&mut self) -> Result<Seq, StoreError>;
    /// The stream was damaged: the store is empty again.
    fn abort(&mut self);
}
