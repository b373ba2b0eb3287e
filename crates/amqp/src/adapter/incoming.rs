//! Links on which the client sends: transfers become messages in the broker's hands.

use bytes::Bytes;

use super::attaching::unattached;
use super::core::Core;
use super::job::{InHand, Job};
use super::link::{Incoming, LinkId, PartialIn, Way};
use super::wire::Output;
use crate::performative::{Error, Flow, State, Transfer};
use crate::section;

/// What a transfer makes of its delivery.
enum Step {
    /// More is to come.
    Wait,
    Whole {
        delivery_id: u32,
        is_settled: bool,
        bytes: Bytes,
    },
    /// The client gave it up.
    Aborted,
    /// The link ends.
    Wrong(Error),
}

impl Core {
    pub(super) fn on_transfer(
        &mut self,
        channel: u16,
        transfer: &Transfer<'_>,
        payload: Bytes,
        out: &mut Output,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(());
        };
        if !session.on_transfer() {
            let text = "more transfers than the incoming window had room for";
            return Err(Error::new("amqp:session:window-violation", text));
        }
        if session.reopen() {
            let flow = session.flow();
            Self::put(out, session.local, |out| flow.write(out));
        }
        let Some(slot) = session.slots.get(&transfer.handle) else {
            return Err(unattached(transfer.handle));
        };
        let Some(id) = slot.link else { return Ok(()) };
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        let step = match &mut link.way {
            Way::Outgoing(_) => {
                let text = "a transfer on a link on which the client receives";
                Step::Wrong(Error::new("amqp:not-allowed", text))
            }
            Way::Incoming(incoming) => {
                let most = self.shared.limits.max_message_bytes;
                let before = partial_bytes(incoming);
                let step = take(incoming, transfer, payload, most);
                self.partial_bytes += partial_bytes(incoming);
                self.partial_bytes = self.partial_bytes.saturating_sub(before);
                step
            }
        };
        match step {
            Step::Wait => self.bound_partials(id, out),
            Step::Aborted => self.touch(id),
            Step::Wrong(error) => self.detach(id, error, out),
            Step::Whole {
                delivery_id,
                is_settled,
                bytes,
            } => self.on_message(id, delivery_id, is_settled, &bytes, transfer.message_format),
        }
        Ok(())
    }

    /// Many links could each have a large message half sent; each alone is within its limit.
    fn bound_partials(&mut self, id: LinkId, out: &mut Output) {
        let most = usize::try_from(self.shared.limits.max_message_bytes).unwrap_or(usize::MAX);
        if self.partial_bytes > most.saturating_mul(2) {
            let text =
                "too much is half sent on this connection; send one large message after the other";
            self.detach(id, Error::new("amqp:resource-limit-exceeded", text), out);
        }
    }

    fn on_message(
        &mut self,
        id: LinkId,
        delivery_id: u32,
        is_settled: bool,
        bytes: &Bytes,
        format: Option<u32>,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let node = link.node.clone();
        if let Some(incoming) = link.incoming() {
            incoming.in_hand += 1;
        }
        let in_hand = InHand {
            link: id,
            delivery_id,
            is_settled,
            bytes: bytes.len(),
        };
        let refused =
            |condition: &str, text: String| State::Rejected(Some(Error::new(condition, text)));
        if let Some(format) = format.filter(|format| *format != 0) {
            let text = format!("message format {format} is not known here; send format 0");
            return self.answer_message(in_hand, refused("amqp:not-implemented", text));
        }
        match section::read(bytes) {
            Ok(message) => {
                self.in_hand_bytes += in_hand.bytes;
                let asked = self.shared.broker.on_message(&self.who, &node, message);
                self.work.push(Job::Message(Some(in_hand), asked));
            }
            Err(reason) => {
                self.answer_message(in_hand, refused("amqp:decode-error", reason.to_string()));
            }
        }
    }

    /// Tells the client when it may send more.
    pub(super) fn refill(&mut self, id: LinkId, out: &mut Output) {
        let most = self.shared.limits.sender_credit;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (channel, handle) = (link.channel, link.handle);
        let Some(incoming) = link.incoming().filter(|incoming| incoming.credit < most) else {
            return;
        };
        if !incoming.refill(most) {
            return;
        }
        let (delivery_count, credit) = (incoming.delivery_count, incoming.credit);
        if let Some(session) = self.sessions.get(&channel) {
            let flow = Flow {
                handle: Some(handle),
                delivery_count: Some(delivery_count),
                link_credit: Some(credit),
                ..session.flow()
            };
            Self::put(out, session.local, |out| flow.write(out));
        }
    }
}

fn partial_bytes(incoming: &Incoming) -> usize {
    let partial = incoming.partial.as_ref();
    partial.map_or(0, |partial| partial.bytes.len())
}

fn take(incoming: &mut Incoming, transfer: &Transfer<'_>, payload: Bytes, most: u64) -> Step {
    let is_too_large = |length: usize| length as u64 > most;
    let too_large = || {
        let text = format!("messages of {most} bytes are taken at most, envelope included");
        Step::Wrong(Error::new("amqp:link:message-size-exceeded", text))
    };
    let settled = transfer.settled.unwrap_or(false);
    let mut partial = match incoming.partial.take() {
        Some(partial) => partial,
        None => {
            let Some(delivery_id) = transfer.delivery_id else {
                let text = "the first transfer of a delivery needs its delivery-id";
                return Step::Wrong(Error::new("amqp:invalid-field", text));
            };
            if !incoming.takes() {
                let text = "more deliveries than credit was given for";
                return Step::Wrong(Error::new("amqp:link:transfer-limit-exceeded", text));
            }
            if transfer.aborted {
                return Step::Aborted;
            }
            if is_too_large(payload.len()) {
                return too_large();
            }
            if !transfer.more {
                return Step::Whole {
                    delivery_id,
                    is_settled: settled,
                    bytes: payload,
                };
            }
            Box::new(PartialIn {
                delivery_id,
                is_settled: false,
                bytes: Vec::new(),
            })
        }
    };
    if transfer
        .delivery_id
        .is_some_and(|id| id != partial.delivery_id)
    {
        let text = "a delivery begins before the one before it has ended";
        return Step::Wrong(Error::new("amqp:not-allowed", text));
    }
    if transfer.aborted {
        return Step::Aborted;
    }
    if is_too_large(partial.bytes.len() + payload.len()) {
        return too_large();
    }
    partial.is_settled |= settled;
    partial.bytes.extend_from_slice(&payload);
    if transfer.more {
        incoming.partial = Some(partial);
        return Step::Wait;
    }
    Step::Whole {
        delivery_id: partial.delivery_id,
        is_settled: partial.is_settled,
        bytes: Bytes::from(partial.bytes),
    }
}
