//! What a channel holds: its consumers, what is unacknowledged, and how much more each consumer may have.

use std::collections::BTreeMap;

use amqp::port::{Lease, Node};
use futures_util::future::AbortHandle;

use crate::Limits;

/// Messages asked for in one look.
const MOST: usize = 100;

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// We have closed it and wait for the client to agree; what it still says is passed over.
    pub closing: bool,
    pub consumers: BTreeMap<String, Consumer>,
    /// The queue that an empty name stands for.
    pub last_queue: String,
    /// Prefetch count of consumers to come; 0: no limit.
    pub prefetch_each: u16,
    /// Prefetch count of all consumers together; 0: no limit.
    pub prefetch_all: u16,
    unacked: BTreeMap<u64, Held>,
    unacked_bytes: usize,
    last_tag: u64,
}

/// One consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// Which of all consumers of the connection: a tag may be used again.
    pub number: u64,
    pub node: Node,
    pub no_ack: bool,
    pub prefetch: u16,
    /// Unacknowledged messages.
    pub held: usize,
    /// How many messages the look under way may bring; 0: there is none.
    pub looking: usize,
    /// Ends that look.
    pub look: Option<AbortHandle>,
}

/// Nothing is looked for on behalf of a consumer that is no more.
impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(look) = &self.look {
            look.abort();
        }
    }
}

/// An unacknowledged message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub node: Node,
    pub lease: Lease,
    /// Number of its consumer; none: it was fetched with `get`.
    pub consumer: Option<u64>,
    pub bytes: usize,
}

impl Channel {
    /// The next delivery tag.
    pub fn next_tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// A message went out under this tag and waits for its acknowledgment.
    pub fn hold(&mut self, tag: u64, held: Held) {
        if let Some(consumer) = self.consumer_of(&held) {
            consumer.held += 1;
        }
        self.unacked_bytes += held.bytes;
        self.unacked.insert(tag, held);
    }

    /// Takes out what a client acknowledges: this tag, or all up to it (0: all there are). Nothing when it was never delivered, or is
    /// acknowledged already.
    pub fn release(&mut self, tag: u64, multiple: bool) -> Option<Vec<Held>> {
        let released: Vec<Held> = match (multiple, tag) {
            (true, 0) => std::mem::take(&mut self.unacked).into_values().collect(),
            (true, tag) => {
                let later = self.unacked.split_off(&tag.saturating_add(1));
                std::mem::replace(&mut self.unacked, later)
                    .into_values()
                    .collect()
            }
            (false, tag) => self.unacked.remove(&tag).into_iter().collect(),
        };
        if released.is_empty() && !(multiple && tag == 0) {
            return None;
        }
        for held in &released {
            self.unacked_bytes = self.unacked_bytes.saturating_sub(held.bytes);
            if let Some(consumer) = self.consumer_of(held) {
                consumer.held = consumer.held.saturating_sub(1);
            }
        }
        Some(released)
    }

    fn consumer_of(&mut self, held: &Held) -> Option<&mut Consumer> {
        let number = held.consumer?;
        self.consumers
            .values_mut()
            .find(|consumer| consumer.number == number)
    }

    /// What is unacknowledged.
    pub fn unacked(&self) -> impl Iterator<Item = &Held> {
        self.unacked.values()
    }

    /// Whether one more message may be fetched with `get`.
    pub fn has_room(&self, limits: &Limits) -> bool {
        self.unacked.len() < limits.max_unacked && self.unacked_bytes < limits.max_unacked_bytes
    }

    /// How many messages a look for this consumer may bring now; 0: none, or one is under way.
    pub fn room(&self, tag: &str, limits: &Limits) -> usize {
        let Some(consumer) = self.consumers.get(tag) else {
            return 0;
        };
        if self.closing || consumer.looking > 0 {
            return 0;
        }
        if consumer.no_ack {
            return MOST;
        }
        if !self.has_room(limits) {
            return 0;
        }
        let others = self.consumers.values().filter(|c| !c.no_ack);
        let coming: usize = others.map(|c| c.looking).sum();
        let here = self.unacked.len() + coming;
        let up_to = |most: u16, used: usize| match most {
            0 => MOST,
            most => usize::from(most).saturating_sub(used),
        };
        MOST.min(limits.max_unacked.saturating_sub(here))
            .min(up_to(self.prefetch_all, here))
            .min(up_to(consumer.prefetch, consumer.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn consumer(number: u64, prefetch: u16) -> Consumer {
        Consumer {
            number,
            node: Node {
                name: "q".to_owned(),
            },
            no_ack: false,
            prefetch,
            held: 0,
            looking: 0,
            look: None,
        }
    }

    fn held(consumer: u64) -> Held {
        Held {
            node: Node {
                name: "q".to_owned(),
            },
            lease: Lease { id: 1, token: 1 },
            consumer: Some(consumer),
            bytes: 10,
        }
    }

    #[test]
    fn room_follows_prefetch_and_limits() {
        let limits = Limits {
            max_unacked: 5,
            ..Limits::default()
        };
        let mut channel = Channel::default();
        channel.consumers.insert("a".to_owned(), consumer(1, 2));
        channel.consumers.insert("b".to_owned(), consumer(2, 0));
        assert_eq!(
            (channel.room("a", &limits), channel.room("b", &limits)),
            (2, 5)
        );
        for _ in 0..2 {
            let tag = channel.next_tag();
            channel.hold(tag, held(1));
        }
        assert_eq!(
            (channel.room("a", &limits), channel.room("b", &limits)),
            (0, 3)
        );
        channel.prefetch_all = 3;
        assert_eq!(channel.room("b", &limits), 1);
        channel.consumers.get_mut("b").unwrap().looking = 1;
        assert_eq!(channel.room("b", &limits), 0, "a look is under way");
        assert_eq!(channel.release(1, false).unwrap().len(), 1);
        assert_eq!(
            channel.room("a", &limits),
            1,
            "three in all, one of them under way"
        );
        assert_eq!(channel.release(1, false), None);
        assert_eq!(channel.release(9, false), None);
        assert_eq!(channel.release(2, true).unwrap().len(), 1);
        assert_eq!(channel.release(0, true), Some(Vec::new()));
        channel.closing = true;
        assert_eq!(channel.room("a", &limits), 0);
        assert_eq!(channel.room("gone", &limits), 0);
    }

    #[test]
    fn bytes_are_a_limit_of_their_own() {
        let limits = Limits {
            max_unacked_bytes: 15,
            ..Limits::default()
        };
        let mut channel = Channel::default();
        channel.consumers.insert("a".to_owned(), consumer(1, 0));
        channel.hold(1, held(1));
        assert_eq!(channel.room("a", &limits), MOST);
        channel.hold(2, held(1));
        assert_eq!(channel.room("a", &limits), 0);
        channel.release(1, false).unwrap();
        assert_eq!(channel.room("a", &limits), MOST);
    }

    proptest! {
        /// Whatever is acknowledged in whatever order: each message once, and the counts end where they began.
        #[test]
        fn every_message_is_released_once(acks in proptest::collection::vec((0u64..12, any::<bool>()), 0..40)) {
            let limits = Limits::default();
            let mut channel = Channel::default();
            channel.consumers.insert("a".to_owned(), consumer(1, 10));
            for _ in 0..10 {
                let tag = channel.next_tag();
                channel.hold(tag, held(1));
            }
            let mut released = 0;
            for (tag, multiple) in acks {
                released += channel.release(tag, multiple).map_or(0, |held| held.len());
                prop_assert_eq!(channel.room("a", &limits), released);
                prop_assert_eq!(channel.unacked().count(), 10 - released);
            }
            released += channel.release(0, true).unwrap().len();
            prop_assert_eq!((released, channel.unacked_bytes, channel.consumers["a"].held), (10, 0, 0));
        }
    }
}
