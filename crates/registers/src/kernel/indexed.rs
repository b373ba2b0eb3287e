//! A register in memory with an index of its own beside it: for look-ups by something other than an identifier.

use super::EntryId;
use super::change::{ChangeError, Outcome};
use super::log::{Content, Entry};
use super::memory::MemoryRegister;
use std::ops::Deref;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use store::{Granted, Store, StoreError};

/// Events taken in at a time.
const PAGE: usize = 1_000;

/// What a register looks its entries up by.
pub trait Index<C: Content>: Default {
    /// Takes in an entry, new or changed; the same twice changes nothing.
    fn put(&mut self, entry: &Entry<C>);

    /// Takes in an entry of a register that is read as a whole: each once, and [`Index::settle`] afterwards.
    fn put_first(&mut self, entry: &Entry<C>) {
        self.put(entry);
    }

    /// All entries have been taken in.
    fn settle(&mut self) {}
}

/// An index and how far it has come.
pub struct Indexed<I> {
    index: I,
    events: u64,
    /// The number after the highest that was taken in.
    next: u32,
}

impl<I> Deref for Indexed<I> {
    type Target = I;

    fn deref(&self) -> &I {
        &self.index
    }
}

impl<I> Indexed<I> {
    fn put<C: Content>(&mut self, entry: &Entry<C>)
    where
        I: Index<C>,
    {
        self.index.put(entry);
        self.next = self.next.max(entry.no.0.saturating_add(1));
    }

    fn put_first<C: Content>(&mut self, entry: &Entry<C>)
    where
        I: Index<C>,
    {
        self.index.put_first(entry);
        self.next = self.next.max(entry.no.0.saturating_add(1));
    }
}

/// A register in memory that keeps its index in step.
pub struct IndexedRegister<C: Content, I> {
    register: MemoryRegister<C>,
    index: RwLock<Indexed<I>>,
}

impl<C: Content, I: Index<C>> IndexedRegister<C, I> {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Self::open_in(store, grant, None)
    }

    /// The same with a kept form in this folder ([`MemoryRegister::open_in`]).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_in(
        store: Store,
        grant: Granted,
        folder: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let register = MemoryRegister::open_in(store, grant, folder)?;
        let index = RwLock::new(Self::all_of(&register)?);
        Ok(Self { register, index })
    }

    fn all_of(register: &MemoryRegister<C>) -> Result<Indexed<I>, StoreError> {
        let mut fresh = Indexed {
            index: I::default(),
            events: register.log().last_event()?.map_or(0, |e| e.number),
            next: 0,
        };
        // What is written between the two calls is taken in again by its event.
        register.follow()?;
        register.each(|entry| fresh.put_first(entry));
        fresh.index.settle();
        Ok(fresh)
    }

    /// Takes over what was written since the last call, by any process.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow()?;
        loop {
            let from = self.index().events + 1;
            // Nothing came: no need to ask the store.
            if from > self.register.counters().events {
                break;
            }
            let events = self.register.events(from, PAGE)?;
            if events.is_empty() {
                break;
            }
            self.register.follow()?;
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                if let Some(entry) = self.register.get(event.entry) {
                    index.put(&entry);
                }
                index.events = index.events.max(event.number);
            }
        }
        // A register that was loaded as a whole has entries without events.
        if (self.index().next as usize) < self.register.len() {
            let fresh = Self::all_of(&self.register)?;
            *self.index.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }

    /// As [`MemoryRegister::change_with`], with the index in step when it is decided and afterwards.
    ///
    /// # Errors
    /// What `decide` says, a conflict of identifiers, or the store's.
    pub fn change_with<E: From<ChangeError>>(
        &self,
        mut decide: impl FnMut() -> Result<Vec<(EntryId, C)>, E>,
    ) -> Result<Vec<Outcome>, E> {
        let outcomes = self.register.change_with(|| {
            self.follow().map_err(ChangeError::from)?;
            decide()
        })?;
        self.follow().map_err(ChangeError::from)?;
        Ok(outcomes)
    }

    /// Rises whenever an entry changes or the index has taken something in.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        let index = self.index();
        self.register.stamp() + index.events + u64::from(index.next)
    }

    /// The index, as far as it has come.
    pub fn index(&self) -> RwLockReadGuard<'_, Indexed<I>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Content, I> Deref for IndexedRegister<C, I> {
    type Target = MemoryRegister<C>;

    fn deref(&self) -> &MemoryRegister<C> {
        &self.register
    }
}
