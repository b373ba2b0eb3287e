//! One organisation on the bus: keeps a connection, reads its queues, answers every document with a receipt, keeps what
//! came (bounded), sends what it is given.
//!
//! ```text
//! queue ──▶ decrypt, check signer ──▶ edi::check ──▶ AppRec (or error message) ──▶ accept
//! ```

use crate::clock::StoryClock;
use crate::facts::{Facts, FactsError, Keys, Organisation};
use crate::parcel::{APPREC, Failure, Opener, Parcel, ParcelError, Receipt, error_message, pack};
use amqp::client::{Client, ClientError, ClientReceiver, ClientSender, Received};
use amqp::port::{Message, Settlement};
use edi::apprec::{AppRec, Status};
use edi::check::{self, Envelope, NoLookups, Options, Transport, Verdict};
use edi::message::{Endpoint, Header, MessageKind, PartyId};
use edi::value::Coded;
use serde::Serialize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;
use xmlsec::x509::TrustStore;

/// How many received things are kept.
const KEPT: usize = 256;
/// How many MsgIds are remembered against duplicates.
const REMEMBERED: usize = 4_096;
/// Messages on their way here at a time.
const CREDIT: u32 = 20;
/// How many different queues a link is kept open for.
const MAX_LINKS: usize = 32;
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// What an organisation takes in this story.
const ACCEPTS: [MessageKind; 4] = [
    MessageKind::Henvisning,
    MessageKind::Svarrapport,
    MessageKind::Epikrise,
    MessageKind::Dialogmelding,
];

/// Something that came in.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// A document, with the status of the receipt sent for it.
    Document {
        /// MsgId.
        msg_id: String,
        /// Function (8279).
        subject: String,
        /// Receiver, level 2.
        to: u32,
        /// 8258; empty when none was sent.
        answered: String,
    },
    /// A receipt for a message sent from here.
    Receipt(Receipt),
    /// An error message.
    Failure(Failure),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Not made.
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    /// The bus did not take it.
    #[error("the bus did not take the message: {0}")]
    NotTaken(String),
    /// The bus was not reached in time.
    #[error("the bus was not reached within {} s", SEND_TIMEOUT.as_secs())]
    Timeout,
    /// The actor has stopped.
    #[error("the actor has stopped")]
    Stopped,
}

/// State of an organisation, for the pages of operators.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Heartbeat {
    /// Level-1 HER-id.
    pub her_id: u32,
    /// Name.
    pub name: String,
    /// Whether it has a connection now.
    pub is_connected: bool,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Error messages received.
    pub errors: u64,
    /// Connections made, the first included.
    pub connections: u64,
    /// Last sign of life, real time.
    pub last_seen: Option<jiff::Timestamp>,
}

struct Order {
    parcel: Parcel,
    done: oneshot::Sender<Result<(), String>>,
}

struct Inner {
    facts: Arc<Facts>,
    clock: Arc<StoryClock>,
    her_id: u32,
    keys: Arc<Keys>,
    opener: Opener,
    kept: Mutex<Kept>,
    changed: Notify,
    heartbeat: Mutex<Heartbeat>,
}

#[derive(Default)]
struct Kept {
    incoming: VecDeque<Incoming>,
    seen: HashSet<String>,
    seen_order: VecDeque<String>,
}

/// An organisation at work. Cheap to clone; stops when its shutdown does.
#[derive(Clone)]
pub struct Office {
    inner: Arc<Inner>,
    orders: mpsc::Sender<Order>,
}

impl Office {
    /// Starts the task of one organisation.
    ///
    /// # Errors
    /// [`FactsError`] when login or keys are missing.
    pub fn start(
        facts: Arc<Facts>,
        organisation: &Organisation,
        trust: Arc<TrustStore>,
        clock: Arc<StoryClock>,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Self, FactsError> {
        facts.bus_user(organisation.her_id)?;
        let keys = Arc::new(organisation.keys()?);
        let inner = Arc::new(Inner {
            opener: Opener::new(facts.clone(), trust, keys.clone()),
            facts,
            clock,
            her_id: organisation.her_id,
            keys,
            kept: Mutex::default(),
            changed: Notify::new(),
            heartbeat: Mutex::new(Heartbeat {
                her_id: organisation.her_id,
                name: organisation.name.clone(),
                ..Heartbeat::default()
            }),
        });
        let (orders, inbox) = mpsc::channel(64);
        tokio::spawn(keep_connected(inner.clone(), inbox, shutdown));
        Ok(Self { inner, orders })
    }

    /// Level-1 HER-id.
    #[must_use]
    pub fn her_id(&self) -> u32 {
        self.inner.her_id
    }

    /// State now.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        self.inner
            .heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Signs, encrypts and sends a document; returns the message-id once the bus has taken it.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(
        &self,
        subject: &str,
        from: u32,
        to: u32,
        xml: &str,
    ) -> Result<String, SendError> {
        let (inner, subject, xml) = (self.inner.clone(), subject.to_owned(), xml.to_owned());
        let packing = move || {
            let now = inner.clock.now();
            pack(
                &inner.facts,
                &inner.keys.signing,
                &subject,
                (from, to),
                now,
                &xml,
            )
        };
        let packed = tokio::task::spawn_blocking(packing).await;
        let parcel = packed.map_err(|_| SendError::Stopped)??;
        let id = parcel.message_id();
        self.post(parcel).await?;
        Ok(id)
    }

    /// Sends a parcel that is ready.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn post(&self, parcel: Parcel) -> Result<(), SendError> {
        let (done, outcome) = oneshot::channel();
        let order = Order { parcel, done };
        let sending = async {
            self.orders
                .send(order)
                .await
                .map_err(|_| SendError::Stopped)?;
            let outcome = outcome.await.map_err(|_| SendError::Stopped)?;
            outcome.map_err(SendError::NotTaken)
        };
        timeout(SEND_TIMEOUT, sending)
            .await
            .map_err(|_| SendError::Timeout)?
    }

    /// Waits until something kept is what is looked for.
    pub async fn wait_for<T>(
        &self,
        longest: Duration,
        mut wanted: impl FnMut(&Incoming) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + longest;
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = {
                let kept = self
                    .inner
                    .kept
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                kept.incoming.iter().rev().find_map(&mut wanted)
            };
            if found.is_some() {
                return found;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return None;
            }
        }
    }

    /// Waits for the receipt of a party for a message.
    pub async fn receipt(&self, msg_id: &str, from: u32, longest: Duration) -> Option<Receipt> {
        self.wait_for(longest, |incoming| match incoming {
            Incoming::Receipt(r) if r.original == msg_id && r.from == from => Some(r.clone()),
            _ => None,
        })
        .await
    }
}

impl Inner {
    fn beat(&self, change: impl FnOnce(&mut Heartbeat)) {
        let mut heartbeat = self
            .heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heartbeat.last_seen = Some(jiff::Timestamp::now());
        change(&mut heartbeat);
    }

    fn keep(&self, incoming: Incoming) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.incoming.len() >= KEPT {
            kept.incoming.pop_front();
        }
        kept.incoming.push_back(incoming);
        drop(kept);
        self.changed.notify_waiters();
    }

    fn is_seen(&self, msg_id: &str) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.seen.contains(msg_id)
    }

    fn remember(&self, msg_id: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.seen.insert(msg_id.to_owned()) {
            kept.seen_order.push_back(msg_id.to_owned());
        }
        if kept.seen_order.len() > REMEMBERED
            && let Some(oldest) = kept.seen_order.pop_front()
        {
            kept.seen.remove(&oldest);
        }
    }

    /// What is to be kept of a message and what to send for it. CPU-bound.
    fn read(&self, message: &Message) -> (Option<Incoming>, Option<Parcel>) {
        if let Some(failure) = Failure::read(message) {
            return (Some(Incoming::Failure(failure)), None);
        }
        let refuse = |error| error_message(&self.facts, message, &error, self.clock.now());
        let content = match self.opener.open(message) {
            Ok(content) => content,
            Err(error) => return (None, refuse(error)),
        };
        let her = |name: &str| {
            let text = message.property(name).unwrap_or_default();
            text.parse::<u32>().unwrap_or_default()
        };
        let (from, to) = (her("fromHerId"), her("toHerId"));
        let subject = message.properties.subject.clone().unwrap_or_default();
        let checked = check::run(
            &content,
            &Options {
                envelope: Some(Envelope {
                    from_her_id: from,
                    to_her_id: to,
                }),
                accepts: Some(&ACCEPTS),
                lookups: &NoLookups,
                now: Some(self.clock.now()),
                ..Options::default()
            },
        );
        if subject == APPREC {
            let receipt = checked.doc.as_ref().and_then(|d| Receipt::read(d, from));
            return (receipt.map(Incoming::Receipt), None);
        }
        let (status, errors) = match checked.verdict(Transport::Amqp) {
            Verdict::Accept { .. } => (Status::Ok, Vec::new()),
            Verdict::Reject { errors, .. } => (Status::Rejected, errors),
            Verdict::TransportError { error, .. } => return (None, refuse(error)),
            Verdict::Drop { .. } | Verdict::NotOpened => return (None, None),
        };
        let Some(header) = &checked.header else {
            return (None, None);
        };
        if self.is_seen(&header.msg_id) {
            // Rule 3 of the receipts: a duplicate is neither imported nor answered again.
            return (None, None);
        }
        let wanted = header.ack.as_deref() != Some("N");
        let reply = wanted.then(|| self.receipt(header, status, errors, (from, to)));
        let document = Incoming::Document {
            msg_id: header.msg_id.clone(),
            subject,
            to,
            answered: if wanted { status.code() } else { "" }.to_owned(),
        };
        match reply.transpose() {
            Ok(reply) => (Some(document), reply),
            Err(error) => {
                tracing::warn!(her_id = self.her_id, %error, "a receipt could not be made");
                (Some(document), None)
            }
        }
    }

    fn receipt(
        &self,
        header: &Header,
        status: Status,
        errors: Vec<Coded>,
        (from, to): (u32, u32),
    ) -> Result<Parcel, ParcelError> {
        let me = self.endpoint(header, to);
        let now = self.clock.now();
        let id = Uuid::new_v4().to_string();
        let receipt = AppRec::answer(header, status, errors, &id, now, &me);
        pack(
            &self.facts,
            &self.keys.signing,
            APPREC,
            (to, from),
            now,
            &receipt.to_xml(),
        )
    }

    /// This organisation as the document names it, else as the address register does.
    fn endpoint(&self, header: &Header, her_id: u32) -> Endpoint {
        let named = std::iter::once(&header.receiver).chain(&header.copies);
        let mut named = named.filter(|e| e.routing_her_id() == Some(her_id));
        if let Some(named) = named.next() {
            return named.clone();
        }
        let party = |name: &str, id: u32| PartyId {
            name: name.to_owned(),
            ids: vec![("HER".to_owned(), id.to_string())],
            ..PartyId::default()
        };
        let name = |id| self.facts.party_name(id).unwrap_or_default();
        Endpoint {
            organisation: party(name(self.her_id), self.her_id),
            unit: (her_id != self.her_id).then(|| party(name(her_id), her_id)),
            person: None,
        }
    }
}

async fn keep_connected(
    inner: Arc<Inner>,
    mut inbox: mpsc::Receiver<Order>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut backoff = Duration::from_millis(200);
    while !*shutdown.borrow() {
        let began = Instant::now();
        let ended = tokio::select! {
            ended = serve(&inner, &mut inbox) => ended,
            _ = shutdown.changed() => break,
        };
        inner.beat(|h| h.is_connected = false);
        match ended {
            Ok(()) => break,
            Err(error) => {
                tracing::debug!(her_id = inner.her_id, %error, "bus connection ended; trying again");
            }
        }
        if began.elapsed() > Duration::from_secs(30) {
            backoff = Duration::from_millis(200);
        }
        tokio::select! {
            () = sleep(backoff) => {}
            _ = shutdown.changed() => break,
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
    inner.beat(|h| h.is_connected = false);
}

/// One connection's life. `Ok` when nobody can give orders any more.
async fn serve(inner: &Arc<Inner>, inbox: &mut mpsc::Receiver<Order>) -> Result<(), ClientError> {
    let wrong = |e: FactsError| ClientError::Connect(e.to_string());
    let user = inner.facts.bus_user(inner.her_id).map_err(wrong)?;
    let address = inner.facts.bus().map_err(wrong)?;
    let mut client = Client::connect(address, &user.username, &user.password, None).await?;
    let name = |kind: &str| format!("receiver-link-{kind}-{}", Uuid::new_v4());
    let messages = format!("{}_async", inner.her_id);
    let errors = format!("{}_error", inner.her_id);
    let mut messages = client.receiver(&messages, &name("async"), CREDIT).await?;
    let mut errors = client.receiver(&errors, &name("error"), CREDIT).await?;
    inner.beat(|h| {
        h.is_connected = true;
        h.connections += 1;
    });
    let mut links = Links::default();
    loop {
        tokio::select! {
            received = messages.recv() => {
                take(inner, &mut client, &mut links, &messages, received?).await?;
            }
            received = errors.recv() => {
                take(inner, &mut client, &mut links, &errors, received?).await?;
            }
            order = inbox.recv() => {
                let Some(order) = order else {
                    return Ok(());
                };
                let outcome = links.send(&mut client, order.parcel).await;
                if matches!(outcome, Ok(None)) {
                    inner.beat(|h| h.sent += 1);
                }
                let lost = outcome.as_ref().err().cloned();
                let _ = order.done.send(match outcome {
                    Ok(None) => Ok(()),
                    Ok(Some(why)) => Err(why),
                    Err(error) => Err(error.to_string()),
                });
                // A refused link says something about its queue, not about the connection.
                if let Some(error @ ClientError::Connect(_)) = lost {
                    return Err(error);
                }
            }
        }
    }
}

async fn take(
    inner: &Arc<Inner>,
    client: &mut Client,
    links: &mut Links,
    from: &ClientReceiver,
    received: Received,
) -> Result<(), ClientError> {
    let reader = inner.clone();
    let message = received.message.clone();
    let read = tokio::task::spawn_blocking(move || reader.read(&message)).await;
    let (incoming, reply) = read.unwrap_or_default();
    inner.beat(|h| match &incoming {
        Some(Incoming::Failure(_)) => h.errors += 1,
        _ => h.received += 1,
    });
    if let Some(reply) = reply {
        match links.send(client, reply).await? {
            None => inner.beat(|h| h.sent += 1),
            Some(why) => {
                tracing::warn!(her_id = inner.her_id, why, "the bus did not take an answer");
            }
        }
    }
    from.accept(&received).await?;
    if let Some(incoming) = incoming {
        if let Incoming::Document { msg_id, .. } = &incoming {
            inner.remember(msg_id);
        }
        inner.keep(incoming);
    }
    Ok(())
}

/// Links to other queues, opened when needed.
#[derive(Default)]
struct Links {
    open: HashMap<String, ClientSender>,
}

impl Links {
    /// Sends; `Some` says why the bus did not take it. A link that broke is opened anew once.
    async fn send(
        &mut self,
        client: &mut Client,
        parcel: Parcel,
    ) -> Result<Option<String>, ClientError> {
        let mut lost = None;
        for _ in 0..2 {
            if !self.open.contains_key(&parcel.queue) {
                if self.open.len() >= MAX_LINKS {
                    self.open.clear();
                }
                let name = format!("sender-link-{}", Uuid::new_v4());
                let link = client.sender(&parcel.queue, &name).await?;
                self.open.insert(parcel.queue.clone(), link);
            }
            let Some(link) = self.open.get_mut(&parcel.queue) else {
                continue;
            };
            match link.send(parcel.message.clone()).await {
                Ok(Settlement::Accepted) => return Ok(None),
                Ok(other) => return Ok(Some(format!("{other:?}"))),
                Err(error) => {
                    self.open.remove(&parcel.queue);
                    lost = Some(error);
                }
            }
        }
        Err(lost.unwrap_or(ClientError::Link("no link".to_owned())))
    }
}
