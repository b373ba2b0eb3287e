//! What the client is told of its deliveries and of ours: settlements, as few frames as say it.

use super::core::Core;
use super::job::{InHand, Settling};
use super::wire::Output;
use crate::performative::{Disposition, Role, State};

/// A settlement that goes to the client with the next output.
pub(super) struct Answer {
    /// The session's, as the client numbers it.
    channel: u16,
    /// Ours in it.
    role: Role,
    delivery_id: u32,
    state: State,
}

impl Core {
    /// What became of a message, for its sender. If the link is gone, nobody waits for it.
    pub(super) fn answer_message(&mut self, in_hand: InHand, state: State) {
        let Some(link) = self.links.get_mut(&in_hand.link) else {
            return;
        };
        let channel = link.channel;
        if let Some(incoming) = link.incoming() {
            incoming.in_hand = incoming.in_hand.saturating_sub(1);
        }
        if !in_hand.is_settled {
            self.answers.push(Answer {
                channel,
                role: Role::Receiver,
                delivery_id: in_hand.delivery_id,
                state,
            });
        }
        self.touch(in_hand.link);
    }

    pub(super) fn on_settled(&mut self, settling: Settling) {
        let Some(link) = self.links.get_mut(&settling.link) else {
            return;
        };
        let channel = link.channel;
        let Some(outgoing) = link.outgoing() else {
            return;
        };
        outgoing.held = outgoing.held.saturating_sub(1);
        outgoing.held_bytes = outgoing.held_bytes.saturating_sub(settling.bytes);
        if outgoing.has_ended {
            return self.close_source(settling.link);
        }
        if let Some((delivery_id, state)) = settling.answer {
            self.answers.push(Answer {
                channel,
                role: Role::Sender,
                delivery_id,
                state,
            });
        }
        self.touch(settling.link);
    }

    /// Writes what is owed: settlements, several of a kind in a row as one.
    pub(super) fn write_answers(&mut self, out: &mut Output) {
        if self.answers.is_empty() {
            return;
        }
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_by_key(|answer| (answer.channel, answer.role, answer.delivery_id));
        let mut rest = answers.drain(..).peekable();
        while let Some(first) = rest.next() {
            let mut last = first.delivery_id;
            let follows = |next: &Answer, last: u32| {
                (next.channel, next.role) == (first.channel, first.role)
                    && next.delivery_id == last.wrapping_add(1)
                    && next.state == first.state
            };
            while let Some(next) = rest.next_if(|next| follows(next, last)) {
                last = next.delivery_id;
            }
            let Some(session) = self.sessions.get(&first.channel).filter(|s| !s.is_ending) else {
                continue;
            };
            let disposition = Disposition {
                role: first.role,
                first: first.delivery_id,
                last: (last != first.delivery_id).then_some(last),
                settled: true,
                state: Some(first.state),
            };
            Self::put(out, session.local, |out| disposition.write(out));
        }
        drop(rest);
        self.answers = answers;
    }
}
