//! Sending once more what nobody has taken, under the ids it has (spec/messaging.md §4.5).

use store::{Commit, CommitError, QueueMessageId, StoreError};

use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::port::Road;
use crate::rules::queue::QueueName;
use crate::rules::track::Track;
use crate::tracks::Stored;
use crate::view::{MAX_PAGE, Viewer, may_put_back};

/// What became of putting a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutBack {
    /// It is on its way again.
    Done,
    /// It was taken, answered, or refused for what it is: only its sender can send another one.
    NotAllowed,
    /// No such message for this viewer.
    NotFound,
}

/// Where a stuck message lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Among the dead letters of a queue.
    DeadLetter { queue: String, id: u64 },
    /// With the hub's message handler.
    Handler,
}

impl Exchange {
    /// Puts a dead letter of a queue back (operators). False when it is gone. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn resend(&self, queue: &str, id: u64) -> Result<bool, ExchangeError> {
        let dead = self
            .dead_letters(Viewer::Operator, queue, MAX_PAGE)?
            .into_iter()
            .find(|dead| dead.id == id);
        let Some(dead) = dead else { return Ok(false) };
        let stored = match dead.track.as_deref() {
            Some(track) => self.inner.tracks.get(track)?,
            None => None,
        };
        let name = QueueName::parse(queue).map(|name| name.store_name());
        self.revive(&name.unwrap_or_default(), id, stored)
    }

    /// Sends a message once more, unchanged: operators and its two parties, and only what nobody has taken. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn put_back(&self, viewer: Viewer, id: &str) -> Result<PutBack, ExchangeError> {
        for _ in 0..ATTEMPTS {
            let found = self.inner.tracks.get(id)?;
            let Some(mut stored) = found.filter(|stored| viewer.may_see(&stored.track)) else {
                return Ok(PutBack::NotFound);
            };
            if !may_put_back(viewer, &stored.track) {
                return Ok(PutBack::NotAllowed);
            }
            match self.dead_letter_of(&stored.track)? {
                None => return Ok(PutBack::NotAllowed),
                Some(Stuck::DeadLetter { queue, id }) => {
                    let is_back = self.revive(&queue, id, Some(stored))?;
                    return Ok(if is_back {
                        PutBack::Done
                    } else {
                        PutBack::NotAllowed
                    });
                }
                Some(Stuck::Handler) => {
                    stored.track.handler_again(self.inner.clock.now_us());
                    if self.commit_track(&stored)? {
                        return Ok(PutBack::Done);
                    }
                }
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// Where a message lies that nobody has taken.
    pub(crate) fn dead_letter_of(&self, track: &Track) -> Result<Option<Stuck>, StoreError> {
        if track.road == Road::Handler {
            return Ok(Some(Stuck::Handler));
        }
        let Some(queue) = store_queue(track) else {
            return Ok(None);
        };
        let dead = self.inner.store.dead_letters(&queue, 1_000)?;
        let found = dead.into_iter().find(|dead| {
            serde_json::from_slice::<crate::exchange::Headers>(&dead.headers)
                .is_ok_and(|headers| headers.track.as_deref() == Some(track.id.as_str()))
        });
        Ok(found.map(|dead| Stuck::DeadLetter {
            queue,
            id: dead.id.0,
        }))
    }

    /// Puts a dead letter back and tells its track.
    fn revive(&self, queue: &str, id: u64, stored: Option<Stored>) -> Result<bool, ExchangeError> {
        if !self.inner.store.revive(QueueMessageId(id))? {
            return Ok(false);
        }
        if let Some(mut stored) = stored {
            stored.track.revived(self.inner.clock.now_us());
            // Otherwise somebody has fetched it already.
            self.commit_track(&stored)?;
        }
        self.inner.signals.ring(queue);
        Ok(true)
    }

    /// Writes a track that waits again; false when it was changed meanwhile.
    fn commit_track(&self, stored: &Stored) -> Result<bool, ExchangeError> {
        let (expect, put) = self.inner.tracks.update(stored);
        let commit = Commit {
            expect: vec![expect],
            put: vec![put],
            ..Commit::default()
        };
        match self.inner.store.commit(commit) {
            Ok(_) => Ok(true),
            Err(CommitError::Refused { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Name in the store of the queue or mailbox a message was put into.
fn store_queue(track: &Track) -> Option<String> {
    match track.road {
        Road::Bus | Road::Hub => QueueName::parse(&track.queue).map(|queue| queue.store_name()),
        Road::Mail => Some(track.queue.clone()),
        Road::Api | Road::Handler => None,
    }
}
