//! Taking messages out: mailboxes that are emptied, boxes of API users that keep what was read, and where a message is.

use amqp::port::{Delivery, Lease, Settlement};
use bytes::Bytes;
use store::{Commit, CommitError, Direction, KeyRange};

use super::submit::mailbox;
use crate::exchange::{ATTEMPTS, Exchange, ExchangeError};
use crate::rules::track::Track;
use crate::tracks::{blob_hash, param};

/// Most entries of one look into a box.
const MAX_INBOX: usize = 1_000;

/// A message in an API user's box.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxEntry {
    /// The message.
    pub track: Track,
    /// Where the next look begins.
    pub cursor: Vec<u8>,
}

impl Exchange {
    /// Takes mail of an organisation's mailbox, oldest first; it is locked until it is settled or the lock runs out. The mail is the message's body,
    /// `lease.id` a number that stays the same for as long as the mail is there. Blocks.
    #[must_use]
    pub fn take_mail(&self, organisation: u32, limit: usize) -> Vec<Delivery> {
        self.lease_row(&mailbox(organisation), limit)
    }

    /// Keeps the locks alive; call at least every [`crate::ExchangeConfig::lock_ms`] / 3. Blocks.
    pub fn renew_mail(&self, leases: &[Lease]) {
        self.renew(leases);
    }

    /// Ends a lock: `Accepted` removes the mail and counts as fetched, `Released` puts it back. Blocks.
    pub fn settle_mail(&self, lease: Lease, settlement: &Settlement) {
        self.settle(lease, settlement);
    }

    /// Unread messages to an API user's HER-id, oldest first, after a cursor. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn inbox(
        &self,
        her_id: u32,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, ExchangeError> {
        let mut range = KeyRange::prefix(param::INBOX, &her_id.to_be_bytes());
        if let Some(after) = after.filter(|after| after.starts_with(&her_id.to_be_bytes())) {
            // The least value above the last one seen.
            range.from = [after, &[0]].concat();
        }
        let found = self.inner.tracks.scan(
            &range,
            Direction::Ascending,
            None,
            limit.clamp(1, MAX_INBOX),
        )?;
        Ok(found
            .into_iter()
            .map(|(row, stored)| InboxEntry {
                track: stored.track,
                cursor: row.value,
            })
            .collect())
    }

    /// The API user has read it. False when there is no such message to this HER-id. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn mark_read(&self, her_id: u32, track: &str) -> Result<bool, ExchangeError> {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.inner.tracks.get(track)? else {
                return Ok(false);
            };
            if stored.track.to != her_id {
                return Ok(false);
            }
            if !stored.track.is_unread {
                return Ok(true);
            }
            let now = self.inner.clock.now_us();
            stored.track.is_unread = false;
            stored.track.fetched(now, now, 1);
            let mut commit = Commit::default();
            self.receipt_fetched(&stored.track, now, &mut commit)?;
            let (expect, put) = self.inner.tracks.update(&stored);
            commit.expect.push(expect);
            commit.put.push(put);
            match self.inner.store.commit(commit) {
                Ok(_) => return Ok(true),
                Err(CommitError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ExchangeError::Interrupted)
    }

    /// Everything the hub knows of a message: for adapters, which decide who may see it. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn facts(&self, track: &str) -> Result<Option<Track>, ExchangeError> {
        Ok(self.inner.tracks.get(track)?.map(|stored| stored.track))
    }

    /// Messages with this transport id, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_transport_id(&self, transport_id: &str) -> Result<Vec<Track>, ExchangeError> {
        let found = self
            .inner
            .tracks
            .find(param::MESSAGE_ID, transport_id.as_bytes(), 50)?;
        Ok(found.into_iter().map(|stored| stored.track).collect())
    }

    /// Messages with this MsgId (copies), newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_msg_id(&self, msg_id: &str) -> Result<Vec<Track>, ExchangeError> {
        let id = msg_id.to_lowercase();
        let found = self.inner.tracks.find(param::MSG_ID, id.as_bytes(), 50)?;
        Ok(found.into_iter().map(|stored| stored.track).collect())
    }

    /// Receipts and errors that came about a message, newest first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn about(&self, track: &str) -> Result<Vec<Track>, ExchangeError> {
        let found = self.inner.tracks.find(param::ABOUT, track.as_bytes(), 50)?;
        Ok(found.into_iter().map(|stored| stored.track).collect())
    }

    /// The document of a message that the hub holds in clear: to hub-run receivers, in the boxes of API users, sent by the hub's message handler.
    /// Adapters show it to its parties only. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn document(&self, track: &Track) -> Result<Option<Bytes>, ExchangeError> {
        match track.original.as_deref() {
            Some(hash) => self.blob_of(hash),
            None => Ok(None),
        }
    }

    /// Bytes kept under a hash in hexadecimal form.
    pub(crate) fn blob_of(&self, hash: &str) -> Result<Option<Bytes>, ExchangeError> {
        match blob_hash(hash) {
            Some(hash) => Ok(self.inner.store.blob(&hash)?),
            None => Ok(None),
        }
    }
}
