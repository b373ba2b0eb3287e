//! Queues: at-least-once delivery with leases; exactly-once effects by settling in the same commit (DESIGN §3).

use crate::MicrosUtc;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Number of a queue message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct QueueMessageId(pub u64);

/// A new message. With a due time it is a timer: invisible until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enqueue {
    /// Queue name, at most 128 bytes.
    pub queue: String,
    /// Ordered by (due, id) inside the queue.
    pub due_at: Option<MicrosUtc>,
    /// Dead-lettered with reason `expired` from this instant on.
    pub expires_at: Option<MicrosUtc>,
    /// Deliveries before it is dead-lettered with reason `max-delivery`; 0 = no limit.
    pub max_deliveries: u32,
    /// Headers for the reader: small JSON, at most 64 KiB.
    pub headers: Bytes,
    /// Payload, at most 32 MiB.
    pub body: Bytes,
}

/// A message in somebody's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Message.
    pub id: QueueMessageId,
    /// Token that settling must show.
    pub token: u64,
    /// Queue.
    pub queue: String,
    /// When it was enqueued.
    pub enqueued_at: MicrosUtc,
    /// Deliveries so far, this one included.
    pub deliveries: u32,
    /// Until when the lease holds.
    pub leased_until: MicrosUtc,
    /// Headers.
    pub headers: Bytes,
    /// Payload.
    pub body: Bytes,
}

/// End of a lease. Refuses the commit when the lease is no longer held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Message.
    pub id: QueueMessageId,
    /// Token of the lease.
    pub token: u64,
    /// What becomes of it.
    pub outcome: Settlement,
}

/// What becomes of a leased message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: removed.
    Done,
    /// Back to the queue, visible from this instant on (`None` = now).
    Release {
        /// Visible from.
        due_at: Option<MicrosUtc>,
    },
    /// To the dead letters of the queue.
    DeadLetter {
        /// Why, for operators; no health data, no national ids.
        reason: String,
    },
}

/// A message nobody could handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Message.
    pub id: QueueMessageId,
    /// Queue.
    pub queue: String,
    /// When it died.
    pub at: MicrosUtc,
    /// Why.
    pub reason: String,
    /// Deliveries it had.
    pub deliveries: u32,
    /// Headers.
    pub headers: Bytes,
    /// Payload.
    pub body: Bytes,
}

/// Numbers of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStats {
    /// Visible and waiting.
    pub ready: u64,
    /// Not due yet.
    pub delayed: u64,
    /// In somebody's hands.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
}
