//! One link of a client in the session that is its own.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::{ClientError, LinkNumber, Received};
use crate::frame::{self, Kind};
use crate::performative::{Attach, Detach, Disposition, Flow, Role, State, Transfer, write_end};
use crate::port::{Message, Settlement};
use crate::section;

/// Transfers that we take before we say that we take more.
pub(super) const WINDOW: u32 = 2048;
/// The one handle of the session.
pub(super) const HANDLE: u32 = 0;

type Outcome = oneshot::Sender<Result<Settlement, ClientError>>;

/// A message on its way.
struct Sending {
    before: Vec<u8>,
    body: Bytes,
    sent: usize,
    delivery_id: Option<u32>,
    done: Option<Outcome>,
}

pub(super) struct Link {
    pub number: LinkNumber,
    pub role: Role,
    /// Of a receiver: messages that it holds at most.
    most: u32,
    pub attach_done: Option<oneshot::Sender<Result<super::Attached, ClientError>>>,
    pub close_done: Vec<oneshot::Sender<()>>,
    ended: watch::Sender<Option<ClientError>>,
    pub is_ended: bool,
    /// We have said detach and end.
    pub is_closing: bool,
    next_incoming_id: u32,
    incoming_window: u32,
    next_outgoing_id: u32,
    remote_window: u32,
    delivery_count: u32,
    credit: u32,
    /// Of a sender.
    max_message: u64,
    waiting: VecDeque<Sending>,
    next_delivery: u32,
    unsettled: HashMap<u32, Outcome>,
    /// Of a receiver.
    messages: Option<mpsc::UnboundedSender<Result<Received, ClientError>>>,
    held: u32,
    partial: Option<(u32, Vec<u8>)>,
}

impl Link {
    pub fn new(number: LinkNumber, role: Role, most: u32) -> Self {
        Self {
            number,
            role,
            most,
            attach_done: None,
            close_done: Vec::new(),
            ended: watch::channel(None).0,
            is_ended: false,
            is_closing: false,
            next_incoming_id: 0,
            incoming_window: WINDOW,
            next_outgoing_id: 0,
            remote_window: 0,
            delivery_count: 0,
            credit: 0,
            max_message: u64::MAX,
            waiting: VecDeque::new(),
            next_delivery: 0,
            unsettled: HashMap::new(),
            messages: None,
            held: 0,
            partial: None,
        }
    }

    /// The server has begun the session.
    pub fn on_begin(&mut self, next_outgoing_id: u32, incoming_window: u32) {
        self.next_incoming_id = next_outgoing_id;
        self.remote_window = incoming_window;
    }

    /// The server's attach; false for one that refuses, after which it says why.
    pub fn on_attach(&mut self, attach: &Attach<'_>, channel: u16, out: &mut Vec<u8>) -> bool {
        let terminus = match self.role {
            Role::Sender => attach.target,
            Role::Receiver => attach.source,
        };
        if terminus.is_none() {
            return false;
        }
        self.max_message = attach
            .max_message_size
            .filter(|most| *most > 0)
            .unwrap_or(u64::MAX);
        let (messages, receiving) = mpsc::unbounded_channel();
        if self.role == Role::Receiver {
            self.delivery_count = attach.initial_delivery_count.unwrap_or(0);
            self.messages = Some(messages);
            self.refill(channel, out);
        }
        if let Some(done) = self.attach_done.take() {
            let attached = super::Attached {
                link: self.number,
                ended: self.ended.subscribe(),
                messages: receiving,
            };
            let _ = done.send(Ok(attached));
        }
        true
    }

    /// Everybody who waits is told that it is over.
    pub fn end(&mut self, error: &ClientError) {
        self.is_ended = true;
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert_with(|| error.clone());
            is_first
        });
        if let Some(done) = self.attach_done.take() {
            let _ = done.send(Err(error.clone()));
        }
        let unsent = self.waiting.drain(..).filter_map(|sending| sending.done);
        for done in unsent.chain(self.unsettled.drain().map(|(_, done)| done)) {
            let _ = done.send(Err(error.clone()));
        }
        self.messages = None;
        self.partial = None;
    }

    /// Ends link and session; the server answers both.
    pub fn close(&mut self, channel: u16, out: &mut Vec<u8>) {
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        if !self.is_ended {
            let detach = Detach {
                handle: HANDLE,
                closed: true,
                error: None,
            };
            frame::put(out, Kind::Amqp, channel, |out| detach.write(out));
        }
        frame::put(out, Kind::Amqp, channel, |out| write_end(out, None));
        self.end(&ClientError::Link("the link was closed here".to_owned()));
    }

    pub fn send(&mut self, message: Message, done: Outcome) {
        let mut before = Vec::new();
        section::write_before_body(&message, &mut before);
        let refused = if self.is_ended {
            Some(super::reason(&self.ended.subscribe()))
        } else if (before.len() + message.body.len()) as u64 > self.max_message {
            let most = self.max_message;
            let text = format!("the message size exceeds the {most} bytes that the link takes");
            Some(ClientError::Link(text))
        } else {
            None
        };
        if let Some(error) = refused {
            let _ = done.send(Err(error));
            return;
        }
        self.waiting.push_back(Sending {
            before,
            body: message.body,
            sent: 0,
            delivery_id: None,
            done: Some(done),
        });
    }

    /// Sends what the server has room and credit for, until so much waits in the output.
    pub fn pump(&mut self, channel: u16, max_frame: usize, most: usize, out: &mut Vec<u8>) {
        while out.len() < most && self.remote_window > 0 && !self.is_ended {
            let Some(sending) = self.waiting.front_mut() else {
                return;
            };
            let delivery_id = match sending.delivery_id {
                Some(delivery_id) => delivery_id,
                None if self.credit == 0 => return,
                None => {
                    self.credit -= 1;
                    self.delivery_count = self.delivery_count.wrapping_add(1);
                    let delivery_id = self.next_delivery;
                    self.next_delivery = delivery_id.wrapping_add(1);
                    if let Some(done) = sending.done.take() {
                        self.unsettled.insert(delivery_id, done);
                    }
                    delivery_id
                }
            };
            let is_first = sending.delivery_id.is_none();
            sending.delivery_id = Some(delivery_id);
            let left = (sending.before.len() + sending.body.len()).saturating_sub(sending.sent);
            let count = left.min(max_frame.saturating_sub(Transfer::MOST_BYTES));
            let tag = delivery_id.to_be_bytes();
            let transfer = Transfer {
                handle: HANDLE,
                delivery_id: Some(delivery_id),
                delivery_tag: is_first.then_some(&tag),
                message_format: is_first.then_some(0),
                settled: Some(false),
                more: count < left,
                aborted: false,
            };
            frame::put(out, Kind::Amqp, channel, |out| {
                transfer.write(out);
                section::write_part(&sending.before, &sending.body, sending.sent, count, out);
            });
            sending.sent += count;
            self.remote_window -= 1;
            self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
            if count == left {
                self.waiting.pop_front();
            }
        }
    }

    pub fn on_flow(&mut self, flow: &Flow, channel: u16, out: &mut Vec<u8>) {
        let end = flow
            .next_incoming_id
            .unwrap_or(0)
            .wrapping_add(flow.incoming_window);
        let room = end.wrapping_sub(self.next_outgoing_id);
        self.remote_window = if room > u32::MAX / 2 { 0 } else { room };
        if let (Some(HANDLE), Role::Sender, Some(credit)) =
            (flow.handle, self.role, flow.link_credit)
        {
            let limit = flow.delivery_count.unwrap_or(0).wrapping_add(credit);
            let credit = limit.wrapping_sub(self.delivery_count);
            self.credit = if credit > u32::MAX / 2 { 0 } else { credit };
        }
        if flow.echo {
            self.put_flow(channel, out);
        }
    }

    pub fn on_disposition(&mut self, disposition: &Disposition) {
        if disposition.role != Role::Receiver {
            return;
        }
        let last = disposition.last.unwrap_or(disposition.first);
        let span = last.wrapping_sub(disposition.first);
        let is_meant = |id: u32| id.wrapping_sub(disposition.first) <= span;
        let settled: Vec<u32> = self
            .unsettled
            .keys()
            .copied()
            .filter(|id| is_meant(*id))
            .collect();
        for id in settled {
            if let Some(done) = self.unsettled.remove(&id) {
                let state = disposition.state.clone();
                let _ = done.send(Ok(state.map_or(Settlement::Lost, State::settlement)));
            }
        }
    }

    pub fn on_transfer(
        &mut self,
        transfer: &Transfer<'_>,
        payload: Bytes,
        channel: u16,
        out: &mut Vec<u8>,
    ) {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        self.incoming_window = self.incoming_window.saturating_sub(1);
        if self.incoming_window <= WINDOW / 2 {
            self.incoming_window = WINDOW;
            self.put_flow(channel, out);
        }
        let (delivery_id, bytes) = match self.partial.take() {
            Some((delivery_id, mut bytes)) => {
                bytes.extend_from_slice(&payload);
                (delivery_id, bytes)
            }
            None => {
                self.credit = self.credit.saturating_sub(1);
                self.delivery_count = self.delivery_count.wrapping_add(1);
                self.held += 1;
                (transfer.delivery_id.unwrap_or(0), payload.to_vec())
            }
        };
        if transfer.aborted {
            self.held = self.held.saturating_sub(1);
            return self.refill(channel, out);
        }
        if transfer.more {
            self.partial = Some((delivery_id, bytes));
            return;
        }
        let received = section::read(&Bytes::from(bytes)).map_err(|why| {
            // Nobody can settle what nobody can read: it is refused here.
            self.settle(
                delivery_id,
                Settlement::Rejected {
                    condition: Some("amqp:decode-error".to_owned()),
                    description: Some(why.to_string()),
                },
                channel,
                out,
            );
            ClientError::Message(why.to_string())
        });
        let received = received.map(|message| Received {
            message,
            delivery_id,
        });
        if let Some(messages) = &self.messages {
            let _ = messages.send(received);
        }
    }

    pub fn settle(
        &mut self,
        delivery_id: u32,
        settlement: Settlement,
        channel: u16,
        out: &mut Vec<u8>,
    ) {
        if self.is_ended {
            return;
        }
        let disposition = Disposition {
            role: Role::Receiver,
            first: delivery_id,
            last: None,
            settled: true,
            state: Some(settlement.into()),
        };
        frame::put(out, Kind::Amqp, channel, |out| disposition.write(out));
        self.held = self.held.saturating_sub(1);
        self.refill(channel, out);
    }

    /// Gives credit again when half of it is used and settled.
    fn refill(&mut self, channel: u16, out: &mut Vec<u8>) {
        let free = self.most.saturating_sub(self.credit + self.held);
        if free > 0 && free >= self.most / 2 {
            self.credit += free;
            self.put_flow(channel, out);
        }
    }

    fn put_flow(&self, channel: u16, out: &mut Vec<u8>) {
        let flow = Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: WINDOW,
            handle: Some(HANDLE),
            delivery_count: Some(self.delivery_count),
            link_credit: Some(self.credit),
            ..Flow::default()
        };
        frame::put(out, Kind::Amqp, channel, |out| flow.write(out));
    }
}
