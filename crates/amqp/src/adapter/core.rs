//! What a connection knows: its sessions and links, what the broker is asked, what is owed to the client. No socket is here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Abortable;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::answers::Answer;
use super::job::{Done, Found, Job, Look, Settling};
use super::link::{Link, LinkId, Way};
use super::opening::Opened;
use super::session::{Session, Unsettled};
use super::wire::Output;
use crate::frame::{self, Frame, Kind};
use crate::performative::{self, Begin, Error, Performative, State, write_end};
use crate::port::{Identity, Lease, Node, Settlement};

/// Output beyond which nothing more is looked for, taken or read until the client has taken some of it.
const MAX_WAITING: usize = 1 << 20;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone, or silent, or takes nothing.
    Gone,
    /// The client closed it in order.
    Closed,
    /// We close it, and say why.
    Fault(Error),
    /// The hub is stopping.
    Stopping,
}

impl End {
    pub fn fault(condition: &str, description: impl Into<String>) -> Self {
        Self::Fault(Error::new(condition, description))
    }
}

/// Sent settled; the broker learns that it is accepted once the bytes before this place are sent.
pub(super) struct SentSettled {
    pub place: u64,
    pub node: Arc<Node>,
    pub delivery: Unsettled,
}

pub(super) struct Core {
    pub shared: Arc<Shared>,
    pub who: Identity,
    /// Largest frame to the client.
    pub max_frame: usize,
    channel_max: u16,
    /// By the client's channels.
    pub sessions: HashMap<u16, Session>,
    pub links: HashMap<LinkId, Link>,
    last_link: u64,
    pub open_links: usize,
    pub work: FuturesUnordered<Job>,
    pub looks: FuturesUnordered<Abortable<Look>>,
    pub answers: Vec<Answer>,
    /// Links to look after: something about them has changed.
    touched: Vec<LinkId>,
    /// Links with something to send, in turn.
    pub sending: VecDeque<LinkId>,
    /// Links to look after later, in order of time.
    pub gathering: VecDeque<(Instant, LinkId)>,
    /// Links whose drain request is answered then.
    pub draining: VecDeque<(Instant, LinkId)>,
    pub sent_settled: VecDeque<SentSettled>,
    pub scratch: Vec<u8>,
    /// Bytes of messages that the broker has in hand, and of messages that have not come whole.
    pub in_hand_bytes: usize,
    pub partial_bytes: usize,
    renewing: usize,
}

impl Core {
    pub fn new(shared: Arc<Shared>, opened: Opened) -> Self {
        Self {
            shared,
            who: opened.who,
            max_frame: opened.max_frame,
            channel_max: opened.channel_max,
            sessions: HashMap::new(),
            links: HashMap::new(),
            last_link: 0,
            open_links: 0,
            work: FuturesUnordered::new(),
            looks: FuturesUnordered::new(),
            answers: Vec::new(),
            touched: Vec::new(),
            sending: VecDeque::new(),
            gathering: VecDeque::new(),
            draining: VecDeque::new(),
            sent_settled: VecDeque::new(),
            scratch: Vec::new(),
            in_hand_bytes: 0,
            partial_bytes: 0,
            renewing: 0,
        }
    }

    /// Whether the client has to take something, or the broker to answer something, before more is taken in.
    pub fn is_congested(&self, out: &Output) -> bool {
        is_full(out) || self.in_hand_bytes >= self.shared.limits.max_unsettled_bytes
    }

    pub fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    pub fn touch(&mut self, link: LinkId) {
        if self.touched.last() != Some(&link) {
            self.touched.push(link);
        }
    }

    /// Appends a frame on one of our channels.
    pub fn put(out: &mut Output, channel: u16, write: impl FnOnce(&mut Vec<u8>)) {
        frame::put(&mut out.bytes, Kind::Amqp, channel, write);
    }

    /// One frame from the client.
    pub fn on_frame(&mut self, frame: &Frame, now: Instant, out: &mut Output) -> Result<(), End> {
        if frame.kind != Kind::Amqp {
            let text = "a SASL frame after the log-in";
            return Err(End::fault("amqp:connection:framing-error", text));
        }
        if frame.body.is_empty() {
            return Ok(());
        }
        let (performative, payload) = performative::read(&frame.body).map_err(|fault| {
            let text = format!("a frame could not be decoded: {fault}");
            End::fault("amqp:decode-error", text)
        })?;
        let channel = frame.channel;
        match performative {
            Performative::Open(_) => {
                let text = "the connection is open already";
                return Err(End::fault("amqp:illegal-state", text));
            }
            Performative::Close(_) => return Err(End::Closed),
            Performative::Begin(begin) => return self.on_begin(channel, &begin, out),
            Performative::End(_) => return self.on_end(channel, out),
            _ => {}
        }
        let Some(session) = self.sessions.get(&channel) else {
            return Err(no_session(channel));
        };
        if session.is_ending {
            return Ok(());
        }
        let done = match performative {
            Performative::Attach(attach) => self.on_attach(channel, &attach, out),
            Performative::Detach(detach) => self.on_detach(channel, &detach, out),
            Performative::Flow(flow) => self.on_flow(channel, &flow, now, out),
            Performative::Disposition(disposition) => {
                self.on_disposition(channel, &disposition);
                Ok(())
            }
            Performative::Transfer(transfer) => {
                let payload = if payload.is_empty() {
                    Bytes::new()
                } else {
                    frame.body.slice_ref(payload)
                };
                self.on_transfer(channel, &transfer, payload, out)
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.end_session(channel, &error, out);
        }
        Ok(())
    }

    fn on_begin(&mut self, channel: u16, begin: &Begin, out: &mut Output) -> Result<(), End> {
        let most = self.shared.limits.channel_max;
        if channel > most {
            let text = format!("channels go up to {most}");
            return Err(End::fault("amqp:connection:framing-error", text));
        }
        if self.sessions.contains_key(&channel) || begin.remote_channel.is_some() {
            let text = "begin on a channel that has a session, or as an answer to none of ours";
            return Err(End::fault("amqp:not-allowed", text));
        }
        let used = |local: u16| self.sessions.values().any(|s| s.local == local);
        let Some(local) = (0..=self.channel_max).find(|local| !used(*local)) else {
            let text = "more sessions than channel-max in the client's open";
            return Err(End::fault("amqp:not-allowed", text));
        };
        let session = Session::new(local, begin);
        Self::put(out, local, |out| session.begin(channel).write(out));
        self.sessions.insert(channel, session);
        Ok(())
    }

    fn on_end(&mut self, channel: u16, out: &mut Output) -> Result<(), End> {
        let Some(session) = self.sessions.get(&channel) else {
            return Err(no_session(channel));
        };
        if !session.is_ending {
            Self::put(out, session.local, |out| write_end(out, None));
            self.end_links_of(channel);
        }
        self.sessions.remove(&channel);
        Ok(())
    }

    /// We end a session, and wait for the client to end it too.
    fn end_session(&mut self, channel: u16, error: &Error, out: &mut Output) {
        tracing::debug!(user = %self.who.user, condition = %error.condition, description = ?error.description, "AMQP session ended");
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.is_ending = true;
            Self::put(out, session.local, |out| write_end(out, Some(error)));
        }
        self.end_links_of(channel);
    }

    fn end_links_of(&mut self, channel: u16) {
        let slots = self.sessions.get(&channel).map(|session| &session.slots);
        let links: Vec<LinkId> = slots
            .into_iter()
            .flat_map(|slots| slots.values())
            .filter_map(|slot| slot.link)
            .collect();
        for link in links {
            self.end_link(link);
        }
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.slots.clear();
            session.blocked.clear();
        }
    }

    /// Everything that links hold is given back. The looks under way end.
    pub fn end_all(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.end_link(link);
        }
        self.looks.clear();
        for sent in std::mem::take(&mut self.sent_settled) {
            let Unsettled { link, lease, bytes } = sent.delivery;
            self.settle(link, &sent.node, lease, bytes, Settlement::Lost, None);
        }
        self.answers.clear();
    }

    /// The client's end of a link is gone.
    pub fn end_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let outgoing = match &mut link.way {
            Way::Incoming(incoming) => {
                let partial = incoming.partial.take();
                let bytes = partial.map_or(0, |partial| partial.bytes.len());
                self.partial_bytes = self.partial_bytes.saturating_sub(bytes);
                self.links.remove(&id);
                self.open_links = self.open_links.saturating_sub(1);
                return;
            }
            Way::Outgoing(outgoing) => outgoing,
        };
        if outgoing.has_ended {
            return;
        }
        outgoing.has_ended = true;
        // One that still waits would take the next message from those who are there to receive it.
        if let Some(look) = outgoing.look.take() {
            look.abort();
        }
        let unsent = std::mem::take(&mut outgoing.pending);
        let half_sent = outgoing.partial.take().and_then(|partial| partial.delivery);
        let node = link.node.clone();
        let session = self.sessions.get_mut(&link.channel);
        let unsettled = session.map(|session| session.take_of(id));
        self.open_links = self.open_links.saturating_sub(1);
        for delivery in unsent {
            let bytes = delivery.message.body.len();
            self.settle(id, &node, delivery.lease, bytes, Settlement::Released, None);
        }
        for Unsettled { lease, bytes, .. } in unsettled.into_iter().flatten().chain(half_sent) {
            self.settle(id, &node, lease, bytes, Settlement::Lost, None);
        }
        self.close_source(id);
    }

    /// The broker learns that a receiving link is gone, once nothing is held for it.
    pub fn close_source(&mut self, id: LinkId) {
        let is_over = |link: &mut Link| {
            let outgoing = link.outgoing();
            outgoing.is_some_and(|outgoing| outgoing.has_ended && outgoing.held == 0)
        };
        if self.links.get_mut(&id).is_some_and(is_over)
            && let Some(link) = self.links.remove(&id)
        {
            self.shared.broker.source_closed(&self.who, &link.node);
        }
    }

    /// Says so of those too for which something is held still.
    pub fn close_sources(&mut self) {
        for (_, link) in self.links.drain() {
            if matches!(link.way, Way::Outgoing(_)) {
                self.shared.broker.source_closed(&self.who, &link.node);
            }
        }
    }

    /// Asks the broker to end a lease.
    pub fn settle(
        &mut self,
        link: LinkId,
        node: &Node,
        lease: Lease,
        bytes: usize,
        settlement: Settlement,
        answer: Option<(u32, State)>,
    ) {
        let asked = self
            .shared
            .broker
            .settle(&self.who, node, lease, settlement);
        let about = Settling {
            link,
            bytes,
            answer,
        };
        self.work.push(Job::Settle(Some(about), asked));
    }

    /// The broker has done something.
    pub fn on_done(&mut self, done: Done) {
        match done {
            Done::Message(in_hand, disposition) => {
                self.in_hand_bytes = self.in_hand_bytes.saturating_sub(in_hand.bytes);
                self.answer_message(in_hand, disposition.into());
            }
            Done::Settle(settling) => self.on_settled(settling),
            Done::Renew => self.renewing = self.renewing.saturating_sub(1),
            Done::Nothing => {}
        }
    }

    /// A look has ended.
    pub fn on_found(&mut self, found: Found, now: Instant) {
        let Found {
            link,
            node,
            deliveries,
        } = found;
        let bytes = |n: usize, delivery: &crate::port::Delivery| n + delivery.message.body.len();
        let outgoing = self.links.get_mut(&link).and_then(Link::outgoing);
        let is_open = match outgoing {
            None => false,
            Some(outgoing) => {
                outgoing.look = None;
                outgoing.held += deliveries.len();
                outgoing.held_bytes += deliveries.iter().fold(0, bytes);
                !outgoing.has_ended
            }
        };
        if !is_open {
            for delivery in deliveries {
                let bytes = delivery.message.body.len();
                self.settle(
                    link,
                    &node,
                    delivery.lease,
                    bytes,
                    Settlement::Released,
                    None,
                );
            }
            return;
        }
        self.on_found_for(link, deliveries, now);
        self.touch(link);
    }

    /// Does what has become possible or due, as far as the client takes it.
    pub fn turn(&mut self, now: Instant, out: &mut Output) {
        self.write_answers(out);
        self.settle_sent(out.sent());
        self.look_at_the_time(now, out);
        // What is sent may let a link look for more, and so on: but what is looked for comes later.
        while !is_full(out) && !self.touched.is_empty() {
            let mut touched = std::mem::take(&mut self.touched);
            for link in touched.drain(..) {
                self.look_after(link, now, out);
            }
            if self.touched.is_empty() {
                self.touched = touched;
            }
            self.send(out);
        }
        self.send(out);
    }

    /// When [`Self::turn`] has something to do although nothing happens.
    pub fn due(&self) -> Option<Instant> {
        let first = |queue: &VecDeque<(Instant, LinkId)>| queue.front().map(|(at, _)| *at);
        let (gathering, draining) = (first(&self.gathering), first(&self.draining));
        gathering.into_iter().chain(draining).min()
    }

    /// Keeps the leases of all that is not settled.
    pub fn renew(&mut self) {
        if self.renewing > 0 {
            return;
        }
        let mut leases: HashMap<LinkId, Vec<Lease>> = HashMap::new();
        let unsettled = self.sessions.values().flat_map(Session::unsettled);
        let sent = self.sent_settled.iter().map(|sent| &sent.delivery);
        for kept in unsettled.chain(sent) {
            leases.entry(kept.link).or_default().push(kept.lease);
        }
        for (id, link) in &mut self.links {
            let Some(outgoing) = link.outgoing() else {
                continue;
            };
            let pending = outgoing.pending.iter().map(|delivery| delivery.lease);
            let partial = outgoing
                .partial
                .iter()
                .filter_map(|p| p.delivery.map(|d| d.lease));
            let unsent: Vec<Lease> = pending.chain(partial).collect();
            if !unsent.is_empty() {
                leases.entry(*id).or_default().extend(unsent);
            }
        }
        for (link, leases) in leases {
            if let Some(link) = self.links.get(&link) {
                let asked = self.shared.broker.renew(&link.node, leases);
                self.work.push(Job::Renew(asked));
                self.renewing += 1;
            }
        }
    }

    /// How long between two renewals.
    pub fn renew_every(&self) -> Duration {
        self.shared.broker.renew_every()
    }
}

/// Whether the client has to take something first.
pub(super) fn is_full(out: &Output) -> bool {
    out.waiting() > MAX_WAITING
}

fn no_session(channel: u16) -> End {
    let text = format!("no session was begun on channel {channel}");
    End::fault("amqp:not-allowed", text)
}
