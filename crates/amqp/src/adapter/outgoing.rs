//! Links on which the client receives: messages are leased against credit, sent, and settled as the client says.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use tokio::time::Instant;

use super::attaching::unattached;
use super::core::{Core, SentSettled, is_full};
use super::job::Look;
use super::link::{Link, LinkId, PartialOut, Way};
use super::session::{Session, Unsettled};
use super::wire::Output;
use crate::performative::{Disposition, Error, Flow, Role, State, Transfer};
use crate::port::{Delivery, Settlement};
use crate::section;

/// How long one look for messages may wait; a new one follows. Thousands of links wait most of the time.
const WAIT: Duration = Duration::from_secs(30);
/// A receiver that has room for a few messages only, because it is busy with others, is looked after at this interval: one
/// look for many messages costs hardly more than one for one.
const GATHER: Duration = Duration::from_millis(2);
/// Messages asked for in one look.
const MOST: usize = 100;
/// How long a look may take when the client drains the link.
const DRAIN_WAIT: Duration = Duration::from_millis(20);

impl Core {
    pub(super) fn on_flow(
        &mut self,
        channel: u16,
        flow: &Flow,
        now: Instant,
        out: &mut Output,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(());
        };
        session.on_flow(flow);
        if session.room() > 0 {
            self.sending.extend(session.blocked.drain(..));
        }
        let Some(handle) = flow.handle else {
            if flow.echo {
                let answer = session.flow();
                Self::put(out, session.local, |out| answer.write(out));
            }
            return Ok(());
        };
        let slot = session
            .slots
            .get(&handle)
            .ok_or_else(|| unattached(handle))?;
        let Some(id) = slot.link else { return Ok(()) };
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        match &mut link.way {
            Way::Incoming(incoming) => incoming.on_flow(flow.delivery_count),
            Way::Outgoing(outgoing) => {
                if let Some(credit) = flow.link_credit {
                    outgoing.on_flow(flow.delivery_count, credit, flow.drain);
                }
                if outgoing.is_draining && outgoing.look.is_some() {
                    self.draining.push_back((now + DRAIN_WAIT * 2, id));
                }
            }
        }
        if flow.echo {
            self.put_flow(id, out);
        }
        self.touch(id);
        Ok(())
    }

    /// Says how a link stands.
    fn put_flow(&self, id: LinkId, out: &mut Output) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let Some(session) = self.sessions.get(&link.channel) else {
            return;
        };
        let (delivery_count, credit, available, drain) = match &link.way {
            Way::Incoming(incoming) => (incoming.delivery_count, incoming.credit, None, false),
            Way::Outgoing(outgoing) => (
                outgoing.position,
                outgoing.credit(),
                Some(u32::try_from(outgoing.pending.len()).unwrap_or(u32::MAX)),
                outgoing.is_draining,
            ),
        };
        let flow = Flow {
            handle: Some(link.handle),
            delivery_count: Some(delivery_count),
            link_credit: Some(credit),
            available,
            drain,
            ..session.flow()
        };
        Self::put(out, session.local, |out| flow.write(out));
    }

    pub(super) fn on_disposition(&mut self, channel: u16, disposition: &Disposition) {
        // What a sender says of deliveries that we have settled already changes nothing.
        if disposition.role == Role::Sender {
            return;
        }
        let is_outcome = disposition.state.as_ref().is_some_and(State::is_outcome);
        if !disposition.settled && !is_outcome {
            return;
        }
        let Some(session) = self.sessions.get_mut(&channel) else {
            return;
        };
        let last = disposition.last.unwrap_or(disposition.first);
        let settled = session.outstanding(disposition.first, last);
        for (number, _) in &settled {
            session.forget(*number);
        }
        for (number, Unsettled { link, lease, bytes }) in settled {
            let Some(node) = self.links.get(&link).map(|link| link.node.clone()) else {
                continue;
            };
            let state = disposition.state.clone();
            let settlement = state.map_or(Settlement::Lost, State::settlement);
            // Who settles second waits to hear that it is done.
            let answer = (!disposition.settled)
                .then(|| disposition.state.clone())
                .flatten()
                .map(|state| (number as u32, state));
            self.settle(link, &node, lease, bytes, settlement, answer);
        }
    }

    /// Something about a link has changed: more may be asked for, or looked for.
    pub(super) fn look_after(&mut self, id: LinkId, now: Instant, out: &mut Output) {
        let limits = self.shared.limits;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let node = &link.node;
        let outgoing = match &mut link.way {
            Way::Incoming(_) => return self.refill(id, out),
            Way::Outgoing(outgoing) if outgoing.has_ended => return,
            Way::Outgoing(outgoing) => outgoing,
        };
        let room = outgoing.room(&limits);
        // Also when the client holds as much as it may: it waits for the answer before it settles anything.
        let is_drained = outgoing.is_draining && outgoing.has_nothing_to_send();
        if is_drained && (outgoing.credit() == 0 || room == 0 && outgoing.look.is_none()) {
            return self.drained(id, out);
        }
        if outgoing.look.is_some() || room == 0 {
            return;
        }
        if !outgoing.is_much(room) {
            if !outgoing.is_gathering {
                outgoing.is_gathering = true;
                self.gathering.push_back((now + GATHER, id));
            }
            return;
        }
        outgoing.is_late = false;
        let wait = if outgoing.is_draining {
            DRAIN_WAIT
        } else {
            WAIT
        };
        let asked = self
            .shared
            .broker
            .next(&self.who, node, room.min(MOST), wait);
        let (stop, stopped) = AbortHandle::new_pair();
        outgoing.look = Some(stop);
        let look = Look {
            link: id,
            node: node.clone(),
            asked,
        };
        self.looks.push(Abortable::new(look, stopped));
    }

    /// What was looked for has come.
    pub(super) fn on_found_for(&mut self, id: LinkId, deliveries: Vec<Delivery>, now: Instant) {
        let Some(outgoing) = self.links.get_mut(&id).and_then(Link::outgoing) else {
            return;
        };
        if deliveries.is_empty() {
            // Nothing is there: a client that drains is told so.
            if outgoing.is_draining && outgoing.has_nothing_to_send() {
                self.draining.push_front((now, id));
            }
            return;
        }
        outgoing.pending.extend(deliveries);
        if !outgoing.is_queued {
            outgoing.is_queued = true;
            self.sending.push_back(id);
        }
    }

    /// Links whose time has come.
    pub(super) fn look_at_the_time(&mut self, now: Instant, out: &mut Output) {
        let due = |queue: &mut VecDeque<(Instant, LinkId)>| {
            let is_due = queue.front().is_some_and(|(at, _)| *at <= now);
            is_due.then(|| queue.pop_front()).flatten()
        };
        while let Some((_, id)) = due(&mut self.gathering) {
            if let Some(outgoing) = self.links.get_mut(&id).and_then(Link::outgoing) {
                outgoing.is_gathering = false;
                outgoing.is_late = true;
                self.touch(id);
            }
        }
        // A look under way waits because there was nothing; what it may still find is given back.
        while let Some((_, id)) = due(&mut self.draining) {
            let outgoing = self.links.get_mut(&id).and_then(Link::outgoing);
            if outgoing.is_some_and(|o| o.is_draining && o.has_nothing_to_send()) {
                self.drained(id, out);
            }
        }
    }

    /// Everything there is has been sent: the client is told that the rest of its credit is gone.
    fn drained(&mut self, id: LinkId, out: &mut Output) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (channel, handle) = (link.channel, link.handle);
        let Some(outgoing) = link.outgoing().filter(|outgoing| !outgoing.has_ended) else {
            return;
        };
        outgoing.drained();
        let position = outgoing.position;
        let Some(session) = self.sessions.get(&channel) else {
            return;
        };
        let flow = Flow {
            handle: Some(handle),
            delivery_count: Some(position),
            link_credit: Some(0),
            available: Some(0),
            drain: true,
            ..session.flow()
        };
        Self::put(out, session.local, |out| flow.write(out));
    }

    /// Sends what there is to send, link by link, as far as the client takes it.
    pub(super) fn send(&mut self, out: &mut Output) {
        while !is_full(out) {
            let Some(id) = self.sending.pop_front() else {
                return;
            };
            self.send_on(id, out);
        }
    }

    fn send_on(&mut self, id: LinkId, out: &mut Output) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (handle, node) = (link.handle, link.node.clone());
        let Way::Outgoing(outgoing) = &mut link.way else {
            return;
        };
        outgoing.is_queued = false;
        let Some(session) = self.sessions.get_mut(&link.channel) else {
            return;
        };
        while !outgoing.has_ended && !outgoing.has_nothing_to_send() {
            if is_full(out) {
                outgoing.is_queued = true;
                return self.sending.push_back(id);
            }
            if session.room() == 0 {
                outgoing.is_queued = true;
                return session.blocked.push(id);
            }
            if outgoing.partial.is_none() {
                // The credit was there when the look began, but the client may have taken it back.
                if outgoing.credit() == 0 {
                    let unsent = std::mem::take(&mut outgoing.pending);
                    for delivery in unsent {
                        let bytes = delivery.message.body.len();
                        let back = Settlement::Released;
                        self.settle(id, &node, delivery.lease, bytes, back, None);
                    }
                    return;
                }
                let Some(delivery) = outgoing.pending.pop_front() else {
                    return;
                };
                outgoing.consume();
                let unsettled = Unsettled {
                    link: id,
                    lease: delivery.lease,
                    bytes: delivery.message.body.len(),
                };
                let delivery_id = session.number();
                if !outgoing.sends_settled {
                    session.keep(unsettled);
                }
                self.scratch.clear();
                section::write_before_body(&delivery.message, &mut self.scratch);
                let mut transfer = Sending {
                    handle,
                    delivery_id,
                    is_first: true,
                    is_settled: outgoing.sends_settled,
                    before: &self.scratch,
                    body: &delivery.message.body,
                    sent: 0,
                };
                if transfer.one(session, self.max_frame, out) {
                    if outgoing.sends_settled {
                        let node = node.clone();
                        let place = out.end();
                        self.sent_settled.push_back(SentSettled {
                            place,
                            node,
                            delivery: unsettled,
                        });
                    }
                } else {
                    let sent = transfer.sent;
                    outgoing.partial = Some(Box::new(PartialOut {
                        delivery_id,
                        before: self.scratch.clone(),
                        body: delivery.message.body,
                        sent,
                        delivery: outgoing.sends_settled.then_some(unsettled),
                    }));
                }
                continue;
            }
            let Some(partial) = &mut outgoing.partial else {
                return;
            };
            let mut transfer = Sending {
                handle,
                delivery_id: partial.delivery_id,
                is_first: false,
                is_settled: outgoing.sends_settled,
                before: &partial.before,
                body: &partial.body,
                sent: partial.sent,
            };
            let is_whole = transfer.one(session, self.max_frame, out);
            partial.sent = transfer.sent;
            if is_whole {
                let delivery = partial.delivery.take();
                outgoing.partial = None;
                let place = out.end();
                self.sent_settled
                    .extend(delivery.map(|delivery| SentSettled {
                        place,
                        node: node.clone(),
                        delivery,
                    }));
            }
        }
        // A drain request waits for the last of them.
        self.touch(id);
    }

    /// What was sent settled, and is sent, is accepted.
    pub(super) fn settle_sent(&mut self, sent: u64) {
        while self.sent_settled.front().is_some_and(|s| s.place <= sent) {
            let Some(SentSettled { node, delivery, .. }) = self.sent_settled.pop_front() else {
                return;
            };
            let Unsettled { link, lease, bytes } = delivery;
            self.settle(link, &node, lease, bytes, Settlement::Accepted, None);
        }
    }
}

/// A delivery on its way out.
struct Sending<'a> {
    handle: u32,
    delivery_id: u32,
    is_first: bool,
    is_settled: bool,
    before: &'a [u8],
    body: &'a [u8],
    sent: usize,
}

impl Sending<'_> {
    /// Writes one transfer, as large as the client takes; true when it was the last of its delivery.
    fn one(&mut self, session: &mut Session, max_frame: usize, out: &mut Output) -> bool {
        let left = (self.before.len() + self.body.len()).saturating_sub(self.sent);
        let count = left.min(max_frame.saturating_sub(Transfer::MOST_BYTES));
        let tag = self.delivery_id.to_be_bytes();
        let transfer = Transfer {
            handle: self.handle,
            delivery_id: Some(self.delivery_id),
            delivery_tag: self.is_first.then_some(&tag),
            message_format: self.is_first.then_some(0),
            settled: Some(self.is_settled),
            more: count < left,
            aborted: false,
        };
        Core::put(out, session.local, |out| {
            transfer.write(out);
            section::write_part(self.before, self.body, self.sent, count, out);
        });
        session.sends();
        self.sent += count;
        count == left
    }
}
