//! One session: its numbers, its windows, its handles (AMQP 1.0 part 2 §2.5).

use std::collections::{BTreeMap, HashMap};

use super::link::LinkId;
use crate::performative::{Begin, Flow, Role};
use crate::port::Lease;

/// Transfers that we take before we say that we take more; said when half are used.
const WINDOW: u32 = 2048;

/// `a` is before `b` or the same, as numbers that begin again after the last (RFC 1982).
fn up_to(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) <= u32::MAX / 2
}

/// A delivery that the receiver has not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsettled {
    pub link: LinkId,
    pub lease: Lease,
    pub bytes: usize,
}

/// A link's place in a session.
#[derive(Debug)]
pub(super) struct Slot {
    /// Our handle.
    pub local: u32,
    pub name: Box<str>,
    /// The client's.
    pub role: Role,
    /// None: we have detached it, and what still comes for it means nothing.
    pub link: Option<LinkId>,
}

#[derive(Debug)]
pub(super) struct Session {
    /// Our channel.
    pub local: u16,
    next_incoming_id: u32,
    incoming_window: u32,
    next_outgoing_id: u32,
    remote_incoming_window: u32,
    /// Number of the next delivery to the client. The wire has the low half of it.
    next_delivery: u64,
    unsettled: BTreeMap<u64, Unsettled>,
    /// By the client's handles.
    pub slots: HashMap<u32, Slot>,
    /// Highest handle that the client takes.
    handle_max: u32,
    /// Links that have something to send when the client opens its window.
    pub blocked: Vec<LinkId>,
    /// We have ended it, and what still comes for it means nothing.
    pub is_ending: bool,
}

impl Session {
    pub fn new(local: u16, begin: &Begin) -> Self {
        Self {
            local,
            next_incoming_id: begin.next_outgoing_id,
            incoming_window: WINDOW,
            next_outgoing_id: 0,
            remote_incoming_window: begin.incoming_window,
            next_delivery: 0,
            unsettled: BTreeMap::new(),
            slots: HashMap::new(),
            handle_max: begin.handle_max.unwrap_or(u32::MAX),
            blocked: Vec::new(),
            is_ending: false,
        }
    }

    /// The answer to the client's begin.
    pub fn begin(&self, remote_channel: u16) -> Begin {
        Begin {
            remote_channel: Some(remote_channel),
            next_outgoing_id: self.next_outgoing_id,
            incoming_window: self.incoming_window,
            outgoing_window: WINDOW,
            handle_max: None,
        }
    }

    /// The session's part of a flow.
    pub fn flow(&self) -> Flow {
        Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: WINDOW,
            ..Flow::default()
        }
    }

    /// The client's view of the windows.
    pub fn on_flow(&mut self, flow: &Flow) {
        // A client that has not seen our begin cannot know what comes next; our first is 0.
        let next = flow.next_incoming_id.unwrap_or(0);
        let end = next.wrapping_add(flow.incoming_window);
        self.remote_incoming_window = if up_to(self.next_outgoing_id, end) {
            end.wrapping_sub(self.next_outgoing_id)
        } else {
            0
        };
    }

    /// A transfer came; false when there was no room for it.
    pub fn on_transfer(&mut self) -> bool {
        let Some(left) = self.incoming_window.checked_sub(1) else {
            return false;
        };
        self.incoming_window = left;
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        true
    }

    /// Opens the window again when half of it is used; then the client has to be told.
    pub fn reopen(&mut self) -> bool {
        let is_due = self.incoming_window <= WINDOW / 2;
        if is_due {
            self.incoming_window = WINDOW;
        }
        is_due
    }

    /// How many transfers the client has room for.
    pub fn room(&self) -> u32 {
        self.remote_incoming_window
    }

    /// A transfer goes out.
    pub fn sends(&mut self) {
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
        self.remote_incoming_window = self.remote_incoming_window.saturating_sub(1);
    }

    /// Numbers a delivery to the client.
    pub fn number(&mut self) -> u32 {
        let number = self.next_delivery;
        self.next_delivery += 1;
        number as u32
    }

    /// The delivery numbered last waits for its settlement.
    pub fn keep(&mut self, unsettled: Unsettled) {
        let number = self.next_delivery.saturating_sub(1);
        self.unsettled.insert(number, unsettled);
    }

    /// The deliveries outstanding from the first to the last. Costs as much as there are, not as many as are named.
    pub fn outstanding(&self, first: u32, last: u32) -> Vec<(u64, Unsettled)> {
        if !up_to(first, last) {
            return Vec::new();
        }
        let long = |number: u32| {
            let behind = (self.next_delivery as u32).wrapping_sub(number) as i32;
            self.next_delivery.checked_add_signed(-i64::from(behind))
        };
        let Some(to) = long(last) else {
            return Vec::new();
        };
        let from = long(first).unwrap_or(0);
        if from > to {
            return Vec::new();
        }
        let found = self.unsettled.range(from..=to);
        found.map(|(number, kept)| (*number, *kept)).collect()
    }

    /// Settled.
    pub fn forget(&mut self, number: u64) {
        self.unsettled.remove(&number);
    }

    /// Takes what is outstanding on a link that has ended.
    pub fn take_of(&mut self, link: LinkId) -> Vec<Unsettled> {
        let taken = self.unsettled.extract_if(.., |_, kept| kept.link == link);
        taken.map(|(_, kept)| kept).collect()
    }

    pub fn unsettled(&self) -> impl Iterator<Item = &Unsettled> {
        self.unsettled.values()
    }

    /// A handle of ours that is free.
    pub fn free_handle(&self) -> Option<u32> {
        let used = |handle: u32| self.slots.values().any(|slot| slot.local == handle);
        let most = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        (0..=most.min(self.handle_max)).find(|handle| !used(*handle))
    }

    /// Whether a link of this name and direction stands.
    pub fn has_link(&self, name: &str, role: Role) -> bool {
        let mut slots = self.slots.values();
        slots.any(|slot| slot.link.is_some() && slot.role == role && *slot.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let begin = Begin {
            next_outgoing_id: u32::MAX - 2,
            incoming_window: 4,
            ..Begin::default()
        };
        Session::new(0, &begin)
    }

    fn kept(n: u64) -> Unsettled {
        Unsettled {
            link: LinkId(1),
            lease: Lease { id: n, token: 0 },
            bytes: 0,
        }
    }

    fn ids(found: Vec<(u64, Unsettled)>) -> Vec<u64> {
        found.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn the_clients_window_is_counted_from_what_it_has_seen() {
        let mut session = session();
        assert_eq!(session.room(), 4);
        for _ in 0..3 {
            session.sends();
        }
        assert_eq!(session.room(), 1);
        let mut flow = Flow {
            next_incoming_id: Some(2),
            incoming_window: 4,
            ..Flow::default()
        };
        session.on_flow(&flow);
        assert_eq!(session.room(), 3);
        // It has not seen our begin, or has room for less than is on its way.
        flow.next_incoming_id = None;
        session.on_flow(&flow);
        assert_eq!(session.room(), 1);
        flow.incoming_window = 1;
        session.on_flow(&flow);
        assert_eq!(session.room(), 0);
        flow.incoming_window = u32::MAX;
        session.on_flow(&flow);
        assert_eq!(session.room(), 0, "a window that ends before it begins");
    }

    #[test]
    fn our_window_opens_again_when_half_is_used() {
        let mut session = session();
        for n in 1..=WINDOW / 2 {
            assert!(session.on_transfer());
            assert_eq!(session.reopen(), n == WINDOW / 2);
        }
        let flow = session.flow();
        assert_eq!(
            flow.next_incoming_id,
            Some((WINDOW / 2).wrapping_sub(3)),
            "the numbers begin again after the last"
        );
        assert_eq!(flow.incoming_window, WINDOW);
        for _ in 0..WINDOW {
            assert!(session.on_transfer());
        }
        assert!(!session.on_transfer());
    }

    #[test]
    fn a_range_finds_what_is_outstanding_and_nothing_else() {
        let mut session = session();
        for n in 0..6 {
            assert_eq!(session.number(), n);
            session.keep(kept(n.into()));
        }
        session.forget(2);
        assert_eq!(ids(session.outstanding(1, 3)), [1, 3]);
        assert_eq!(ids(session.outstanding(0, u32::MAX / 2)), [0, 1, 3, 4, 5]);
        assert_eq!(ids(session.outstanding(u32::MAX - 5, 1)), [0, 1]);
        for (first, last) in [(0, u32::MAX), (3, 1), (6, 9), (u32::MAX, u32::MAX)] {
            assert!(session.outstanding(first, last).is_empty());
        }
        assert_eq!(session.take_of(LinkId(2)), []);
        assert_eq!(session.take_of(LinkId(1)).len(), 5);
        assert_eq!(session.unsettled().count(), 0);
    }

    #[test]
    fn ranges_go_on_over_the_end_of_the_numbers() {
        let mut session = session();
        session.next_delivery = u64::from(u32::MAX) - 1;
        for n in 0..4 {
            session.number();
            session.keep(kept(n));
        }
        let base = u64::from(u32::MAX) - 1;
        assert_eq!(
            ids(session.outstanding(u32::MAX, 0)),
            [base + 1, base + 2],
            "from before the end to after it"
        );
        assert_eq!(ids(session.outstanding(u32::MAX - 1, 1)).len(), 4);
    }
}
