//! What is kept of a link, and the counting of credit (AMQP 1.0 part 2 §2.6.7).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::AbortHandle;

use super::Limits;
use crate::port::{Delivery, Node};

/// Number of a link on its connection, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LinkId(pub u64);

pub(super) struct Link {
    /// The session's, as the client numbers it.
    pub channel: u16,
    /// Ours.
    pub handle: u32,
    /// The client's.
    pub remote_handle: u32,
    pub node: Arc<Node>,
    pub way: Way,
}

pub(super) enum Way {
    /// The client sends.
    Incoming(Incoming),
    /// The client receives.
    Outgoing(Outgoing),
}

impl Link {
    pub fn outgoing(&mut self) -> Option<&mut Outgoing> {
        match &mut self.way {
            Way::Outgoing(outgoing) => Some(outgoing),
            Way::Incoming(_) => None,
        }
    }

    pub fn incoming(&mut self) -> Option<&mut Incoming> {
        match &mut self.way {
            Way::Incoming(incoming) => Some(incoming),
            Way::Outgoing(_) => None,
        }
    }
}

/// A link on which the client sends.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Deliveries so far, as the client counts them.
    pub delivery_count: u32,
    /// How many more it may send.
    pub credit: u32,
    /// In the broker's hands.
    pub in_hand: u32,
    pub partial: Option<Box<PartialIn>>,
}

/// A delivery of which not all transfers have come.
#[derive(Debug)]
pub(super) struct PartialIn {
    pub delivery_id: u32,
    pub is_settled: bool,
    pub bytes: Vec<u8>,
}

impl Incoming {
    /// A new delivery; false when the client has no credit left.
    pub fn takes(&mut self) -> bool {
        let Some(left) = self.credit.checked_sub(1) else {
            return false;
        };
        self.credit = left;
        self.delivery_count = self.delivery_count.wrapping_add(1);
        true
    }

    /// The client may have counted on without sending (a drained link); what it skipped is no credit any more.
    pub fn on_flow(&mut self, delivery_count: Option<u32>) {
        let Some(theirs) = delivery_count else { return };
        let skipped = theirs.wrapping_sub(self.delivery_count);
        if skipped <= self.credit {
            self.credit -= skipped;
            self.delivery_count = theirs;
        }
    }

    /// Fills the credit up when half of `most` is free: what the client has left and what is in hand are not. True when it has to be told.
    pub fn refill(&mut self, most: u32) -> bool {
        let held = self.credit.saturating_add(self.in_hand);
        let free = most.saturating_sub(held);
        let is_due = free > 0 && free >= most / 2;
        if is_due {
            self.credit += free;
        }
        is_due
    }
}

/// A link on which the client receives.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Our delivery-count.
    pub position: u32,
    /// delivery-count + link-credit of the client's last flow.
    limit: u32,
    /// The client waits for what is there, and no more.
    pub is_draining: bool,
    /// It wants its messages settled as they are sent.
    pub sends_settled: bool,
    /// Leased, and not yet sent.
    pub pending: VecDeque<Delivery>,
    pub partial: Option<Box<PartialOut>>,
    /// Leased in all, until the broker has its settlement; and their bytes.
    pub held: usize,
    pub held_bytes: usize,
    pub look: Option<AbortHandle>,
    /// It is on the list of links that are looked after a little later.
    pub is_gathering: bool,
    /// Now is a little later.
    pub is_late: bool,
    /// It is on the list of links that have something to send.
    pub is_queued: bool,
    /// The client's end is gone; it is kept until nothing is held any more.
    pub has_ended: bool,
}

/// A delivery of which not all transfers have been sent.
pub(super) struct PartialOut {
    pub delivery_id: u32,
    /// Everything before the body, and the body.
    pub before: Vec<u8>,
    pub body: Bytes,
    pub sent: usize,
    /// To be settled with the broker when it is sent, on a link that sends settled.
    pub delivery: Option<super::session::Unsettled>,
}

impl Outgoing {
    pub fn new(sends_settled: bool) -> Self {
        Self {
            sends_settled,
            ..Self::default()
        }
    }

    /// How many more messages the client takes.
    pub fn credit(&self) -> u32 {
        let credit = self.limit.wrapping_sub(self.position);
        // A limit behind the position means that credit was taken back.
        if credit > u32::MAX / 2 { 0 } else { credit }
    }

    /// A flow with credit. Before our attach has come to the client, it cannot know our count: it begins with 0.
    pub fn on_flow(&mut self, delivery_count: Option<u32>, credit: u32, drain: bool) {
        // More than half of all numbers would look as if it had been taken back.
        let credit = credit.min(u32::MAX / 2);
        self.limit = delivery_count.unwrap_or(0).wrapping_add(credit);
        self.is_draining = drain;
    }

    /// A message goes out.
    pub fn consume(&mut self) {
        self.position = self.position.wrapping_add(1);
    }

    /// Nothing is left to send: the rest of the credit is gone.
    pub fn drained(&mut self) {
        self.position = self.limit;
        self.is_draining = false;
    }

    /// How many more messages may be leased for it.
    pub fn room(&self, limits: &Limits) -> usize {
        if self.held_bytes >= limits.max_unsettled_bytes {
            return 0;
        }
        let unspoken_for = (self.credit() as usize).saturating_sub(self.pending.len());
        let room = limits.max_unsettled.saturating_sub(self.held);
        room.min(unspoken_for)
    }

    /// Whether looking for so many is worth its while at once: a fifth of what the client holds, or it holds nothing.
    pub fn is_much(&self, room: usize) -> bool {
        self.is_late || self.is_draining || room.saturating_mul(5) >= self.held
    }

    pub fn has_nothing_to_send(&self) -> bool {
        self.pending.is_empty() && self.partial.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_follows_flow_and_deliveries() {
        let mut link = Outgoing::new(false);
        assert_eq!(link.credit(), 0);
        link.on_flow(None, 5, false);
        assert_eq!(link.credit(), 5);
        link.consume();
        link.consume();
        assert_eq!(link.credit(), 3);
        link.on_flow(Some(1), 5, false);
        assert_eq!(link.credit(), 4);
        link.on_flow(Some(0), 1, false);
        assert_eq!(link.credit(), 0, "taken back");
        link.on_flow(Some(2), u32::MAX, false);
        assert!(link.credit() > 1_000_000, "as much as there can be");
        link.on_flow(Some(2), 7, true);
        assert_eq!((link.credit(), link.is_draining), (7, true));
        link.drained();
        assert_eq!(
            (link.credit(), link.position, link.is_draining),
            (0, 9, false)
        );
    }

    #[test]
    fn a_senders_credit_is_filled_up_when_half_is_used_and_answered() {
        let mut link = Incoming::default();
        assert!(link.refill(4));
        assert!(!link.refill(4));
        for _ in 0..4 {
            assert!(link.takes());
            link.in_hand += 1;
        }
        assert!(!link.takes(), "no credit is left");
        assert!(!link.refill(4), "nothing is answered yet");
        link.in_hand -= 1;
        assert!(!link.refill(4));
        link.in_hand -= 1;
        assert!(link.refill(4));
        assert_eq!((link.credit, link.delivery_count), (2, 4));
        link.on_flow(Some(5));
        assert_eq!((link.credit, link.delivery_count), (1, 5));
        link.on_flow(Some(1000));
        assert_eq!((link.credit, link.delivery_count), (1, 5), "nonsense");
        let mut one = Incoming::default();
        assert!(one.refill(1) && one.takes() && one.refill(1));
    }

    #[test]
    fn little_room_waits_for_more() {
        let limits = Limits::default();
        let mut link = Outgoing::new(false);
        link.on_flow(None, 100, false);
        assert!(link.is_much(link.room(&limits)));
        link.held = 100;
        link.position = 90;
        assert_eq!(link.room(&limits), 10);
        assert!(!link.is_much(10) && link.is_much(20));
        link.is_late = true;
        assert!(link.is_much(10));
        link.held_bytes = limits.max_unsettled_bytes;
        assert_eq!(link.room(&limits), 0);
    }
}
