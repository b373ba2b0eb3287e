//! Links come and go (AMQP 1.0 part 2 §2.6.3 to §2.6.6).

use std::sync::Arc;

use super::core::Core;
use super::link::{Incoming, Link, LinkId, Outgoing, Way};
use super::session::Slot;
use super::wire::Output;
use crate::performative::{Attach, Detach, Error, Role, Terminus};
use crate::port::{AttachError, Node};

/// Handles beyond the links of a connection: those of links that were refused until the client has agreed.
const MAX_REFUSED: usize = 64;
/// Longest name of a link.
const MAX_NAME: usize = 4096;
/// `snd-settle-mode` settled.
const SETTLED: u8 = 1;
/// A list without fields.
const EMPTY: &[u8] = &[0x45];

impl Core {
    pub(super) fn on_attach(
        &mut self,
        channel: u16,
        attach: &Attach<'_>,
        out: &mut Output,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get(&channel) else {
            return Ok(());
        };
        if session.slots.contains_key(&attach.handle) {
            let text = format!("handle {} has a link already", attach.handle);
            return Err(Error::new("amqp:session:handle-in-use", text));
        }
        let most = self.shared.limits.max_links.saturating_add(MAX_REFUSED);
        let handle = session.free_handle();
        let Some(handle) = handle.filter(|_| session.slots.len() < most) else {
            let text = "too many link handles in use on this connection";
            return Err(Error::new("amqp:resource-limit-exceeded", text));
        };
        let local = session.local;
        let opened = self.open(channel, attach);
        let answer = self.answer(attach, handle, opened.is_err());
        self.put_attach(&answer, local, out)?;
        let slot = |link: Option<LinkId>| Slot {
            local: handle,
            // Nothing is kept of a link that is refused but its handle.
            name: link.map_or("", |_| attach.name).into(),
            role: attach.role,
            link,
        };
        let node = match opened {
            Ok(node) => node,
            Err(refusal) => {
                tracing::info!(user = %self.who.user, condition = %refusal.condition, description = %refusal.description, "AMQP link refused");
                put_detach(
                    local,
                    handle,
                    Error::new(&refusal.condition, refusal.description),
                    out,
                );
                if let Some(session) = self.sessions.get_mut(&channel) {
                    session.slots.insert(attach.handle, slot(None));
                }
                return Ok(());
            }
        };
        let way = match attach.role {
            Role::Sender => Way::Incoming(Incoming {
                delivery_count: attach.initial_delivery_count.unwrap_or(0),
                ..Incoming::default()
            }),
            Role::Receiver => Way::Outgoing(Outgoing::new(attach.snd_settle_mode == Some(SETTLED))),
        };
        let id = self.next_link();
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.slots.insert(attach.handle, slot(Some(id)));
        }
        let link = Link {
            channel,
            handle,
            remote_handle: attach.handle,
            node: Arc::new(node),
            way,
        };
        self.links.insert(id, link);
        self.open_links += 1;
        self.touch(id);
        Ok(())
    }

    /// The queue of a link, or why it has none.
    fn open(&self, channel: u16, attach: &Attach<'_>) -> Result<Node, AttachError> {
        let most = self.shared.limits.max_links;
        if self.open_links >= most {
            let text = format!("more than {most} links on one connection");
            return Err(AttachError::new("amqp:resource-limit-exceeded", text));
        }
        if attach.name.len() > MAX_NAME {
            let text = format!("names of links have {MAX_NAME} bytes at most");
            return Err(AttachError::new("amqp:invalid-field", text));
        }
        let session = self.sessions.get(&channel);
        if session.is_some_and(|session| session.has_link(attach.name, attach.role)) {
            let text = "a link of this name and direction stands already in this session";
            return Err(AttachError::new("amqp:not-allowed", text));
        }
        let terminus = match attach.role {
            Role::Sender => attach.target,
            Role::Receiver => attach.source,
        };
        let no_address = || {
            AttachError::new(
                "amqp:not-allowed",
                "the link has no address; give the name of a queue",
            )
        };
        let not_offered = |text: &str| Err(AttachError::new("amqp:not-implemented", text));
        let terminus = terminus.ok_or_else(no_address)?;
        if terminus.is_coordinator {
            return not_offered("transactions are not offered");
        }
        // Accepting what was only looked at would take it away.
        if terminus.is_copy {
            return not_offered(
                "browsing a queue is not offered; receive from it, and release what shall stay",
            );
        }
        if terminus.is_dynamic {
            return not_offered("temporary queues are not offered");
        }
        let address = terminus.address.filter(|address| !address.is_empty());
        let address = address.ok_or_else(no_address)?;
        match attach.role {
            Role::Sender => self.shared.broker.open_target(&self.who, address),
            Role::Receiver => self.shared.broker.open_source(&self.who, address),
        }
    }

    /// Our attach: what the client said, with the terminus of a refused link left out.
    fn answer<'a>(&self, attach: &Attach<'a>, handle: u32, is_refused: bool) -> Attach<'a> {
        // Clients may leave out the terminus of their own side; some want to see it nevertheless.
        let none = Terminus::as_came(EMPTY);
        let (mut source, mut target) = (
            Some(attach.source.unwrap_or(none)),
            Some(attach.target.unwrap_or(none)),
        );
        match attach.role {
            Role::Sender if is_refused => target = None,
            Role::Receiver if is_refused => source = None,
            _ => {}
        }
        let most = self.shared.limits.max_message_bytes;
        Attach {
            name: attach.name,
            handle,
            role: match attach.role {
                Role::Sender => Role::Receiver,
                Role::Receiver => Role::Sender,
            },
            snd_settle_mode: attach.snd_settle_mode,
            // Of a message that came we say the outcome, and that is the end of it: mode first.
            rcv_settle_mode: attach
                .rcv_settle_mode
                .filter(|_| attach.role == Role::Receiver),
            source,
            target,
            initial_delivery_count: (attach.role == Role::Receiver).then_some(0),
            max_message_size: (attach.role == Role::Sender).then_some(most),
        }
    }

    /// Writes it; shorter when the client does not take frames as large as it sends.
    fn put_attach(&self, answer: &Attach<'_>, channel: u16, out: &mut Output) -> Result<(), Error> {
        let before = out.bytes.len();
        Self::put(out, channel, |out| answer.write(out));
        if out.bytes.len() - before <= self.max_frame {
            return Ok(());
        }
        out.bytes.truncate(before);
        let (mut source, mut target) = (Vec::new(), Vec::new());
        let short = Attach {
            source: answer.source.map(|s| s.shortened(&mut source)),
            target: answer.target.map(|t| t.shortened(&mut target)),
            ..answer.clone()
        };
        Self::put(out, channel, |out| short.write(out));
        if out.bytes.len() - before <= self.max_frame {
            return Ok(());
        }
        out.bytes.truncate(before);
        let text = "the link's name and address are longer than the frames that the client takes";
        Err(Error::new("amqp:frame-size-too-small", text))
    }

    pub(super) fn on_detach(
        &mut self,
        channel: u16,
        detach: &Detach,
        out: &mut Output,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(&channel) else {
            return Ok(());
        };
        let Some(slot) = session.slots.remove(&detach.handle) else {
            return Err(unattached(detach.handle));
        };
        if let Some(link) = slot.link {
            let answer = Detach {
                handle: slot.local,
                closed: detach.closed,
                error: None,
            };
            Self::put(out, session.local, |out| answer.write(out));
            self.end_link(link);
        }
        Ok(())
    }

    /// We end a link, and wait for the client to end it too.
    pub(super) fn detach(&mut self, id: LinkId, error: Error, out: &mut Output) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (channel, handle) = (link.channel, link.handle);
        tracing::info!(user = %self.who.user, condition = %error.condition, description = ?error.description, "AMQP link ended");
        if let Some(session) = self.sessions.get_mut(&channel) {
            if let Some(slot) = session.slots.get_mut(&link.remote_handle) {
                slot.link = None;
            }
            put_detach(session.local, handle, error, out);
        }
        self.end_link(id);
    }

    /// The hub is stopping: every link is told.
    pub(super) fn detach_all(&mut self, out: &mut Output) {
        let open = |link: &mut Link| link.outgoing().is_none_or(|outgoing| !outgoing.has_ended);
        let mut links: Vec<LinkId> = Vec::new();
        for (id, link) in &mut self.links {
            if open(link) {
                links.push(*id);
            }
        }
        for link in links {
            let stopping = Error::new("amqp:link:detach-forced", "the hub is stopping");
            self.detach(link, stopping, out);
        }
    }
}

fn put_detach(channel: u16, handle: u32, error: Error, out: &mut Output) {
    let detach = Detach {
        handle,
        closed: true,
        error: Some(error),
    };
    Core::put(out, channel, |out| detach.write(out));
}

pub(super) fn unattached(handle: u32) -> Error {
    let text = format!("no link is attached to handle {handle}");
    Error::new("amqp:session:unattached-handle", text)
}
