//! One connection: its channels, the looks for messages, the settlements, in one task.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use amqp::port::{AttachError, Delivery, Identity, Lease, Message, Node, Settlement};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::Shared;
use crate::channel::{Channel, Consumer, Held};
use crate::content;
use crate::frame::{Frame, Kind};
use crate::method::{CHANNEL, CONNECTION, Code, Fault, Id, Method, reply};
use crate::opening::{self, End, Opened, Wire};
use crate::wire::Write as _;

/// How long one look for messages may wait; a new one follows.
const WAIT: Duration = Duration::from_secs(5);
/// How often a client that wants no heartbeats gets one: only so is a host noticed that went away without a word.
const UNASKED_BEAT: Duration = Duration::from_secs(30);
/// How long the settlements of an ended connection may take.
const SETTLING: Duration = Duration::from_secs(30);

/// Serves a connection whose header has been read.
pub(crate) async fn run<Io>(shared: Arc<Shared>, io: Io, peer: IpAddr)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut wire = opening::wire(&shared, io);
    let limits = shared.limits;
    let opening = opening::open(&shared, &mut wire, peer);
    let opened = match timeout(limits.handshake, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(End::Fault(fault))) => {
            wire.close(&fault, limits.closing).await;
            return wire.shut().await;
        }
        Ok(Err(End::Closed)) => {
            wire.method(0, Id(CONNECTION, 51), |_| {});
            let _ = wire.flush().await;
            return wire.shut().await;
        }
        Ok(Err(End::Gone | End::Refused)) => return,
        Err(_) => return tracing::debug!("AMQP 0.9.1 handshake timed out"),
    };
    let mut connection = Connection::new(shared, wire, opened);
    let end = connection.serve().await;
    connection.end(end).await;
}

struct Connection<Io> {
    shared: Arc<Shared>,
    wire: Wire<Io>,
    who: Identity,
    channel_max: u16,
    heartbeat: Duration,
    last_heard: Instant,
    channels: BTreeMap<u16, Channel>,
    /// Consumers so far.
    consumers: u64,
    looks: FuturesUnordered<Abortable<BoxFuture<'static, Look>>>,
    settling: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Written to clients that acknowledge nothing, and settled once it is sent.
    sent_unheld: Vec<(Node, Lease)>,
}

/// A look that has ended.
struct Look {
    channel: u16,
    tag: String,
    consumer: u64,
    node: Node,
    found: Vec<Delivery>,
}

impl<Io: AsyncRead + AsyncWrite + Send + Unpin> Connection<Io> {
    fn new(shared: Arc<Shared>, wire: Wire<Io>, opened: Opened) -> Self {
        Self {
            shared,
            wire,
            who: opened.who,
            channel_max: opened.channel_max,
            heartbeat: Duration::from_secs(opened.heartbeat_s.into()),
            last_heard: Instant::now(),
            channels: BTreeMap::new(),
            consumers: 0,
            looks: FuturesUnordered::new(),
            settling: FuturesUnordered::new(),
            sent_unheld: Vec::new(),
        }
    }

    async fn serve(&mut self) -> End {
        match self.serve_frames().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve_frames(&mut self) -> Result<std::convert::Infallible, End> {
        let renew_every = self.shared.broker.renew_every();
        let mut renew = interval_at(Instant::now() + renew_every, renew_every);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beat_every = match self.heartbeat {
            Duration::ZERO => UNASKED_BEAT,
            heartbeat => heartbeat / 2,
        };
        let mut beat = interval_at(Instant::now() + beat_every, beat_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.shared.shutdown.clone();
        let stopping = shutdown.wait();
        tokio::pin!(stopping);
        loop {
            self.look();
            self.send().await?;
            tokio::select! {
                frame = self.wire.frame() => {
                    self.last_heard = Instant::now();
                    self.on_frame(&frame?).await?;
                }
                Some(look) = self.looks.next(), if !self.looks.is_empty() => self.on_look(look).await?,
                Some(()) = self.settling.next(), if !self.settling.is_empty() => {}
                _ = renew.tick() => self.renew().await,
                _ = beat.tick() => {
                    let silence = self.last_heard.elapsed();
                    if !self.heartbeat.is_zero() && silence > self.heartbeat * 2 {
                        tracing::debug!("AMQP 0.9.1 client silent for two heartbeats");
                        return Err(End::Gone);
                    }
                    self.wire.heartbeat();
                }
                () = &mut stopping => {
                    let text = "the hub is stopping; connect again later";
                    return Err(Fault::new(Code::ConnectionForced, text).into());
                }
            }
        }
    }

    /// Sends what waits; what needs no acknowledgment is then settled.
    async fn send(&mut self) -> Result<(), End> {
        self.wire.flush().await?;
        for (node, lease) in std::mem::take(&mut self.sent_unheld) {
            self.settle(&node, lease, Settlement::Accepted);
        }
        Ok(())
    }

    fn settle(&self, node: &Node, lease: Lease, settlement: Settlement) {
        let broker = &self.shared.broker;
        self.settling
            .push(broker.settle(&self.who, node, lease, settlement));
    }

    /// Starts a look for every consumer that may have more.
    fn look(&mut self) {
        let limits = self.shared.limits;
        // Settlements that pile up hold back what would only add to them.
        if self.settling.len() >= limits.max_unacked {
            return;
        }
        for (number, channel) in &mut self.channels {
            let idle = channel.consumers.iter().filter(|(_, c)| c.looking == 0);
            let idle: Vec<String> = idle.map(|(tag, _)| tag.clone()).collect();
            for tag in idle {
                let room = channel.room(&tag, &limits);
                let Some(consumer) = channel.consumers.get_mut(&tag).filter(|_| room > 0) else {
                    continue;
                };
                consumer.looking = room;
                let node = consumer.node.clone();
                let look = self.shared.broker.next(&self.who, &node, room, WAIT);
                let (channel, number) = (*number, consumer.number);
                let (stop, stopped) = AbortHandle::new_pair();
                consumer.look = Some(stop);
                let look: BoxFuture<'static, Look> = Box::pin(async move {
                    Look {
                        channel,
                        tag,
                        consumer: number,
                        node,
                        found: look.await,
                    }
                });
                self.looks.push(Abortable::new(look, stopped));
            }
        }
    }

    async fn on_look(&mut self, look: Result<Look, Aborted>) -> Result<(), End> {
        let Ok(look) = look else { return Ok(()) };
        let mut found = look.found.into_iter();
        let mut end = None;
        for delivery in found.by_ref() {
            let channel = self.channels.get_mut(&look.channel);
            let consumer = channel.and_then(|channel| {
                let consumer = channel.consumers.get_mut(&look.tag)?;
                (consumer.number == look.consumer).then_some(consumer)
            });
            let Some(consumer) = consumer else {
                self.settle(&look.node, delivery.lease, Settlement::Released);
                continue;
            };
            let no_ack = consumer.no_ack;
            let to = To::Consumer(&look.tag, look.consumer);
            let sent = self.deliver(look.channel, to, &look.node, delivery, no_ack);
            end = sent.err();
            if end.is_none() && self.wire.is_full() {
                end = self.send().await.err();
            }
            if end.is_some() {
                break;
            }
        }
        for unsent in found {
            self.settle(&look.node, unsent.lease, Settlement::Released);
        }
        let channel = self.channels.get_mut(&look.channel);
        if let Some(consumer) = channel.and_then(|c| c.consumers.get_mut(&look.tag))
            && consumer.number == look.consumer
        {
            consumer.looking = 0;
            consumer.look = None;
        }
        end.map_or(Ok(()), Err)
    }

    /// Writes a delivery; it is held until it is acknowledged, or settled once it is sent.
    fn deliver(
        &mut self,
        channel: u16,
        to: To<'_>,
        node: &Node,
        delivery: Delivery,
        no_ack: bool,
    ) -> Result<(), End> {
        let Some(open) = self.channels.get_mut(&channel) else {
            self.settle(node, delivery.lease, Settlement::Released);
            return Ok(());
        };
        let tag = open.next_tag();
        let message = &delivery.message;
        let routing = self.shared.broker.routing(node, message);
        let about = |out: &mut Vec<u8>| {
            out.longlong(tag);
            out.octet(u8::from(is_redelivered(message)));
            out.short_string(&routing.exchange);
            out.short_string(&routing.key);
        };
        let (method, consumer) = match to {
            To::Consumer(name, consumer) => {
                let method = reply(Id(60, 60), |out| {
                    out.short_string(name);
                    about(out);
                });
                (method, Some(consumer))
            }
            To::Get { waiting } => {
                let method = reply(Id(60, 71), |out| {
                    about(out);
                    out.long(waiting);
                });
                (method, None)
            }
        };
        let most = self.wire.max_frame_bytes;
        if content::put(&mut self.wire.output, channel, &method, message, most).is_err() {
            self.settle(node, delivery.lease, Settlement::Released);
            let text = format!(
                "the properties of a message do not fit in a frame of {most} bytes; connect with a larger frame-max"
            );
            return Err(Fault::new(Code::FrameError, text).into());
        }
        if no_ack {
            self.sent_unheld.push((node.clone(), delivery.lease));
        } else {
            let held = Held {
                node: node.clone(),
                lease: delivery.lease,
                consumer,
                bytes: message.body.len(),
            };
            open.hold(tag, held);
        }
        Ok(())
    }

    async fn renew(&mut self) {
        let mut leases: HashMap<&Node, Vec<Lease>> = HashMap::new();
        for held in self.channels.values().flat_map(Channel::unacked) {
            leases.entry(&held.node).or_default().push(held.lease);
        }
        for (node, leases) in leases {
            self.shared.broker.renew(node, leases).await;
        }
    }

    async fn on_frame(&mut self, frame: &Frame) -> Result<(), End> {
        match (frame.kind, self.channels.get(&frame.channel)) {
            (Kind::Heartbeat, _) => return Ok(()),
            (Kind::Method, _) => {}
            // The content of what was refused.
            (_, Some(channel)) if channel.closing => return Ok(()),
            _ => {
                let text = "content without a method before it";
                return Err(Fault::new(Code::UnexpectedFrame, text).into());
            }
        }
        let (id, method) = opening::method(frame)?;
        if frame.channel == 0 {
            return match method {
                Method::ConnectionCloseOk | Method::Noted if id.0 == CONNECTION => Ok(()),
                Method::Unknown if id.0 == CONNECTION => Err(not_offered().by(id).into()),
                _ => {
                    let text =
                        "only methods of the connection, and not this one now, belong on channel 0";
                    Err(Fault::new(Code::CommandInvalid, text).by(id).into())
                }
            };
        }
        let answered = self.on_method(frame.channel, id, method).await;
        match answered {
            Err(End::Fault(fault)) if fault.code.closes_channel_only() => {
                self.close_channel(frame.channel, &fault.by(id)).await;
                Ok(())
            }
            Err(End::Fault(fault)) => Err(fault.by(id).into()),
            other => other,
        }
    }

    async fn on_method(&mut self, number: u16, id: Id, method: Method) -> Result<(), End> {
        if id.0 == CONNECTION {
            let text = "methods of the connection belong on channel 0";
            return Err(Fault::new(Code::CommandInvalid, text).into());
        }
        let Some(channel) = self.channels.get(&number) else {
            return self.on_closed_channel(number, method);
        };
        if channel.closing {
            return self.on_closing_channel(number, &method);
        }
        match method {
            Method::ChannelClose => self.end_channel(number).await,
            Method::ChannelFlow { active: true } => {
                self.wire
                    .method(number, Id(CHANNEL, 21), |out| out.octet(1));
            }
            Method::Declare {
                queue,
                passive,
                no_wait,
            } => self.declare(number, queue, passive, no_wait).await?,
            Method::Qos {
                size,
                count,
                global,
            } => self.qos(number, size, count, global)?,
            Method::Consume { .. } => self.consume(number, method)?,
            Method::Cancel { tag, no_wait } => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.consumers.remove(&tag);
                }
                if !no_wait {
                    let cancel_ok = |out: &mut Vec<u8>| out.short_string(&tag);
                    self.wire.method(number, Id(60, 31), cancel_ok);
                }
            }
            Method::Get { queue, no_ack } => self.get(number, queue, no_ack).await?,
            Method::Ack { tag, multiple } => {
                self.acknowledge(number, tag, multiple, &Settlement::Accepted)?;
            }
            Method::Nack {
                tag,
                multiple,
                requeue,
            } => self.acknowledge(number, tag, multiple, &refused(requeue))?,
            Method::Recover { requeue, answered } => {
                if !requeue {
                    let text = "messages cannot be had again by the same consumer only; recover with requeue";
                    return Err(Fault::new(Code::NotImplemented, text).into());
                }
                self.acknowledge(number, 0, true, &Settlement::Released)?;
                if answered {
                    self.wire.method(number, Id(60, 111), |_| {});
                }
            }
            Method::Noted | Method::ChannelCloseOk => {}
            Method::NotAllowed => {
                let text = "AMQP 0.9.1 is for receiving here: send with AMQP 1.0; queues are made and removed by subscribing and unsubscribing";
                return Err(Fault::new(Code::AccessRefused, text).into());
            }
            Method::ChannelOpen => {
                let text = "the channel is open already";
                return Err(Fault::new(Code::ChannelError, text).into());
            }
            _ => return Err(not_offered().into()),
        }
        Ok(())
    }

    fn on_closed_channel(&mut self, number: u16, method: Method) -> Result<(), End> {
        match method {
            Method::ChannelOpen if number > self.channel_max => {
                let text = format!("channels go up to {}", self.channel_max);
                Err(Fault::new(Code::NotAllowed, text).into())
            }
            Method::ChannelOpen => {
                self.channels.insert(number, Channel::default());
                self.wire
                    .method(number, Id(CHANNEL, 11), |out| out.long_string(b""));
                Ok(())
            }
            // Both sides closed it at once.
            Method::ChannelCloseOk => Ok(()),
            _ => Err(Fault::new(Code::ChannelError, "open the channel first").into()),
        }
    }

    fn on_closing_channel(&mut self, number: u16, method: &Method) -> Result<(), End> {
        match method {
            Method::ChannelCloseOk => {
                self.channels.remove(&number);
            }
            Method::ChannelClose => self.wire.method(number, Id(CHANNEL, 41), |_| {}),
            _ => {}
        }
        Ok(())
    }

    /// The queue that a client names, if it may receive from it.
    fn source(&mut self, number: u16, queue: String) -> Result<Node, End> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Err(End::Gone);
        };
        if !queue.is_empty() {
            channel.last_queue = queue;
        } else if channel.last_queue.is_empty() {
            let text = "no queue has been named on this channel";
            return Err(Fault::new(Code::NotFound, text).into());
        }
        let opened = self
            .shared
            .broker
            .open_source(&self.who, &channel.last_queue);
        opened.map_err(|refused| End::Fault(as_fault(refused)))
    }

    async fn declare(
        &mut self,
        number: u16,
        queue: String,
        passive: bool,
        no_wait: bool,
    ) -> Result<(), End> {
        if !passive {
            let text = "queues are made by subscribing; declare passively, or consume at once";
            return Err(Fault::new(Code::AccessRefused, text).into());
        }
        let node = self.source(number, queue)?;
        let waiting = self.shared.broker.waiting(&node).await;
        if !no_wait {
            self.wire.method(number, Id(50, 11), |out| {
                out.short_string(&node.name);
                out.long(u32::try_from(waiting).unwrap_or(u32::MAX));
                out.long(0);
            });
        }
        Ok(())
    }

    fn qos(&mut self, number: u16, size: u32, count: u16, global: bool) -> Result<(), End> {
        if size != 0 {
            let text = "prefetch is counted in messages, not in bytes";
            return Err(Fault::new(Code::NotImplemented, text).into());
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            // As RabbitMQ reads it: for the channel, or for each consumer to come.
            if global {
                channel.prefetch_all = count;
            } else {
                channel.prefetch_each = count;
            }
        }
        self.wire.method(number, Id(60, 11), |_| {});
        Ok(())
    }

    fn consume(&mut self, number: u16, method: Method) -> Result<(), End> {
        let Method::Consume {
            queue,
            tag,
            no_ack,
            exclusive,
            no_wait,
        } = method
        else {
            return Ok(());
        };
        if exclusive {
            let text = "exclusive consumers are not offered";
            return Err(Fault::new(Code::NotImplemented, text).into());
        }
        let node = self.source(number, queue)?;
        let all: usize = self.channels.values().map(|c| c.consumers.len()).sum();
        if all >= self.shared.limits.max_consumers {
            let most = self.shared.limits.max_consumers;
            let text = format!("more than {most} consumers on one connection");
            return Err(Fault::new(Code::ResourceError, text).into());
        }
        self.consumers += 1;
        let tag = if tag.is_empty() {
            format!("amq.ctag-{}", self.consumers)
        } else {
            tag
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        if channel.consumers.contains_key(&tag) {
            let text = format!("the consumer tag {tag} is in use on this channel");
            return Err(Fault::new(Code::NotAllowed, text).into());
        }
        if !no_wait {
            let consume_ok = |out: &mut Vec<u8>| out.short_string(&tag);
            self.wire.method(number, Id(60, 21), consume_ok);
        }
        let consumer = Consumer {
            number: self.consumers,
            node,
            no_ack,
            prefetch: channel.prefetch_each,
            held: 0,
            looking: 0,
            look: None,
        };
        channel.consumers.insert(tag, consumer);
        Ok(())
    }

    async fn get(&mut self, number: u16, queue: String, no_ack: bool) -> Result<(), End> {
        let node = self.source(number, queue)?;
        let limits = self.shared.limits;
        if self
            .channels
            .get(&number)
            .is_some_and(|c| !c.has_room(&limits))
        {
            let text = "too much is unacknowledged on this channel; acknowledge some of it first";
            return Err(Fault::new(Code::PreconditionFailed, text).into());
        }
        let broker = self.shared.broker.clone();
        let mut found = broker.next(&self.who, &node, 1, Duration::ZERO).await;
        let Some(delivery) = found.pop() else {
            self.wire
                .method(number, Id(60, 72), |out| out.short_string(""));
            return Ok(());
        };
        let waiting = broker.waiting(&node).await;
        let to = To::Get {
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
        };
        self.deliver(number, to, &node, delivery, no_ack)
    }

    fn acknowledge(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        settlement: &Settlement,
    ) -> Result<(), End> {
        let channel = self.channels.get_mut(&number);
        let Some(released) = channel.and_then(|channel| channel.release(tag, multiple)) else {
            let text = format!("unknown delivery tag {tag}");
            return Err(Fault::new(Code::PreconditionFailed, text).into());
        };
        for held in released {
            self.settle(&held.node, held.lease, settlement.clone());
        }
        Ok(())
    }

    /// What is unacknowledged on a channel goes back; done when the broker has it.
    async fn give_back(&mut self, number: u16, settlement: &Settlement) {
        let channel = self.channels.get_mut(&number);
        let released = channel.and_then(|channel| {
            channel.consumers.clear();
            channel.release(0, true)
        });
        for held in released.into_iter().flatten() {
            self.settle(&held.node, held.lease, settlement.clone());
        }
        self.settled().await;
    }

    async fn settled(&mut self) {
        let all = async { while self.settling.next().await.is_some() {} };
        if timeout(SETTLING, all).await.is_err() {
            tracing::warn!("settlements of an AMQP 0.9.1 channel did not end in time");
        }
    }

    /// The client closes a channel.
    async fn end_channel(&mut self, number: u16) {
        self.give_back(number, &Settlement::Released).await;
        self.channels.remove(&number);
        self.wire.method(number, Id(CHANNEL, 41), |_| {});
    }

    /// We close a channel.
    async fn close_channel(&mut self, number: u16, fault: &Fault) {
        tracing::info!(user = %self.who.user, code = ?fault.code, text = %fault.text, "AMQP 0.9.1 channel closed");
        self.give_back(number, &Settlement::Released).await;
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.closing = true;
        }
        self.wire
            .method(number, Id(CHANNEL, 40), |out| fault.write(out));
    }

    /// The looks end, everything goes back, and the peer is answered.
    async fn end(mut self, end: End) {
        let settlement = match end {
            End::Closed => Settlement::Released,
            End::Fault(ref fault) if fault.code == Code::ConnectionForced => Settlement::Released,
            _ => Settlement::Lost,
        };
        for (node, lease) in std::mem::take(&mut self.sent_unheld) {
            self.settle(&node, lease, Settlement::Lost);
        }
        self.looks.clear();
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            self.give_back(number, &settlement).await;
        }
        self.settled().await;
        match end {
            End::Closed => {
                self.wire.method(0, Id(CONNECTION, 51), |_| {});
                let _ = self.wire.flush().await;
                self.wire.shut().await;
            }
            End::Fault(fault) => {
                let patience = self.shared.limits.closing;
                self.wire.close(&fault, patience).await;
                self.wire.shut().await;
            }
            End::Gone | End::Refused => {}
        }
    }
}

/// Whom a delivery goes to.
enum To<'a> {
    /// Tag and number.
    Consumer(&'a str, u64),
    Get {
        waiting: u32,
    },
}

fn is_redelivered(message: &Message) -> bool {
    message.header.delivery_count > 0 || !message.header.first_acquirer
}

/// What refusing a message means: it counts as a failed delivery, or goes to the dead letters.
fn refused(requeue: bool) -> Settlement {
    if requeue {
        Settlement::Modified {
            delivery_failed: true,
            undeliverable_here: false,
        }
    } else {
        Settlement::Rejected {
            condition: None,
            description: None,
        }
    }
}

fn not_offered() -> Fault {
    Fault::new(
        Code::NotImplemented,
        "not offered: AMQP 0.9.1 is for receiving here; everything else is there over AMQP 1.0",
    )
}

/// The broker's refusal in the words of 0.9.1.
fn as_fault(refused: AttachError) -> Fault {
    let code = match refused.condition.as_str() {
        "amqp:not-found" => Code::NotFound,
        "amqp:not-implemented" => Code::NotImplemented,
        "amqp:resource-limit-exceeded" => Code::ResourceError,
        _ => Code::AccessRefused,
    };
    Fault::new(code, refused.description)
}
