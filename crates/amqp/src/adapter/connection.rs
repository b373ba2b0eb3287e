//! One connection, one task: what comes in is handled, what the broker has done is told, what has piled up is sent, and only then is
//! something waited for.

use std::future::{Future as _, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::Shared;
use super::core::{Core, End, is_full};
use super::job::{Done, Found};
use super::opening::{self, NotOpened, Opened, WRITE};
use super::wire::Wire;
use crate::frame::{self, Kind};
use crate::performative::{self, Error, Performative, write_close};

/// Output from which on it is sent before anything else is looked at.
const WORTH_SENDING: usize = 64 << 10;
/// How many times in a row something else may be looked at first. Much in one write costs less than little in many.
const MAX_HELD_BACK: u32 = 4;
/// Answers of the broker taken at once.
const MAX_AT_ONCE: usize = 1024;
/// A client is sent something at half of the time after which it would give us up, but not more often than this.
const MIN_BEAT: Duration = Duration::from_millis(50);
/// Who has been quiet for so long gives its buffers back.
const RESTING: Duration = Duration::from_secs(10);
/// How long the settlements of an ended connection may take.
const SETTLING: Duration = Duration::from_secs(30);
/// How long what is in the broker's hands may take when the hub is stopping.
const STOPPING: Duration = Duration::from_secs(5);
/// How long a client may take to agree to a close.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
pub(super) async fn run<Io>(shared: Arc<Shared>, stream: Io, ip: IpAddr)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut wire = Wire::new(stream);
    let handshake = shared.limits.handshake;
    let opened = match timeout(handshake, opening::open(&shared, &mut wire, ip)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(NotOpened::Gone(error))) => {
            return tracing::debug!(%error, "AMQP connection not opened");
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "AMQP connection not opened");
            return wire.shut().await;
        }
        Err(_) => return tracing::debug!("AMQP handshake timed out"),
    };
    let mut connection = Connection::new(shared, wire, opened);
    let end = connection.serve().await;
    connection.end(end).await;
}

struct Connection<Io> {
    wire: Wire<Io>,
    core: Core,
    /// Silence after which the client gives us up.
    peer_idle: Option<Duration>,
    last_heard: Instant,
    last_sent: Instant,
    /// Since when the client takes nothing of what waits for it.
    stuck_since: Option<Instant>,
    held_back: u32,
    renew_at: Instant,
    is_resting: bool,
    done: Vec<Done>,
    found: Vec<Found>,
}

/// What a wait has ended with, besides what the broker has done.
#[derive(Default)]
struct Happened {
    anything: bool,
    stopping: bool,
}

impl<Io: AsyncRead + AsyncWrite + Send + Unpin> Connection<Io> {
    fn new(shared: Arc<Shared>, wire: Wire<Io>, opened: Opened) -> Self {
        let now = Instant::now();
        let peer_idle = opened.idle;
        let core = Core::new(shared, opened);
        Self {
            wire,
            peer_idle,
            last_heard: now,
            last_sent: now,
            stuck_since: None,
            held_back: 0,
            renew_at: now + core.renew_every(),
            is_resting: false,
            core,
            done: Vec::new(),
            found: Vec::new(),
        }
    }

    async fn serve(&mut self) -> End {
        let shutdown = self.core.shared.shutdown.clone();
        let mut stopping: BoxFuture<'static, ()> = Box::pin(async move { shutdown.wait().await });
        let mut timer = Box::pin(sleep_until(Instant::now()));
        loop {
            let due = match self.turn() {
                Ok(due) => due,
                Err(end) => return end,
            };
            // A timer that rings too early costs less than one that is set anew at every turn.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let happened = poll_fn(|cx| self.poll_happened(cx, timer.as_mut(), &mut stopping));
            match happened.await {
                Ok(happened) if happened.stopping => return End::Stopping,
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }

    /// Handles all that has come, and says when to do so again though nothing comes.
    fn turn(&mut self) -> Result<Instant, End> {
        let now = Instant::now();
        // The broker's answers first: they may be what taking in more waits for.
        for done in self.done.drain(..) {
            self.core.on_done(done);
        }
        for found in self.found.drain(..) {
            self.core.on_found(found, now);
        }
        self.take_frames(now)?;
        self.core.turn(now, &mut self.wire.output);
        self.keep_alive(now)
    }

    fn take_frames(&mut self, now: Instant) -> Result<(), End> {
        let most = usize::try_from(self.core.shared.limits.max_frame_bytes).unwrap_or(usize::MAX);
        while !self.core.is_congested(&self.wire.output) {
            let taken = frame::take(&mut self.wire.input, most);
            let taken =
                taken.map_err(|reason| End::fault("amqp:connection:framing-error", reason))?;
            let Some(frame) = taken else { break };
            self.core.on_frame(&frame, now, &mut self.wire.output)?;
        }
        Ok(())
    }

    /// What is due by the clock: leases, signs of life of ours, none of the client's.
    fn keep_alive(&mut self, now: Instant) -> Result<Instant, End> {
        if now >= self.renew_at {
            self.core.renew();
            self.renew_at = now + self.core.renew_every();
        }
        let mut due = self.renew_at;
        if let Some(idle) = self.peer_idle {
            let every = (idle / 2).max(MIN_BEAT);
            if now >= self.last_sent + every {
                if !self.wire.has_output() {
                    frame::put_empty(&mut self.wire.output.bytes);
                }
                self.last_sent = now;
            }
            due = due.min(self.last_sent + every);
        }
        // Who may not say anything at the moment is not silent.
        if self.core.is_congested(&self.wire.output) {
            self.last_heard = now;
        }
        let patience = Duration::from_millis(self.core.shared.limits.idle_ms.into());
        if !patience.is_zero() {
            if now >= self.last_heard + patience {
                let text = "nothing was heard for longer than idle-time-out in our open";
                return Err(End::fault("amqp:resource-limit-exceeded", text));
            }
            due = due.min(self.last_heard + patience);
        }
        if self.wire.output.waiting() == 0 {
            self.stuck_since = None;
        } else {
            let since = *self.stuck_since.get_or_insert(now);
            if now >= since + WRITE {
                tracing::debug!("an AMQP client takes nothing any more");
                return Err(End::Gone);
            }
            due = due.min(since + WRITE);
        }
        let rest_at = self.last_heard.max(self.last_sent) + RESTING;
        if now >= rest_at && !self.is_resting {
            self.is_resting = true;
            self.wire.rest();
        }
        if !self.is_resting {
            due = due.min(rest_at);
        }
        Ok(self.core.due().map_or(due, |at| at.min(due)))
    }

    fn poll_happened(
        &mut self,
        cx: &mut Context<'_>,
        timer: Pin<&mut Sleep>,
        stopping: &mut BoxFuture<'static, ()>,
    ) -> Poll<Result<Happened, End>> {
        let mut happened = Happened::default();
        if self.wire.output.waiting() >= WORTH_SENDING || self.held_back >= MAX_HELD_BACK {
            happened.anything |= self.poll_send(cx)?;
        }
        while self.done.len() < MAX_AT_ONCE {
            let Poll::Ready(Some(done)) = self.core.work.poll_next_unpin(cx) else {
                break;
            };
            self.done.push(done);
        }
        while self.found.len() < MAX_AT_ONCE {
            let Poll::Ready(Some(found)) = self.core.looks.poll_next_unpin(cx) else {
                break;
            };
            self.found.extend(found.ok());
        }
        happened.anything |= !self.done.is_empty() || !self.found.is_empty();
        happened.anything |= self.poll_read(cx)?;
        if happened.anything && self.wire.has_output() {
            self.held_back += 1;
        } else if self.wire.has_output() {
            happened.anything |= self.poll_send(cx)?;
        }
        happened.anything |= timer.poll(cx).is_ready();
        happened.stopping = stopping.as_mut().poll(cx).is_ready();
        if happened.anything || happened.stopping {
            Poll::Ready(Ok(happened))
        } else {
            Poll::Pending
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let was_full = is_full(&self.wire.output);
        match self.wire.poll_send(cx) {
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Ready(Ok(0)) | Poll::Pending => Ok(false),
            Poll::Ready(Ok(_)) => {
                let now = Instant::now();
                self.last_sent = now;
                self.held_back = 0;
                self.is_resting = false;
                self.stuck_since = (self.wire.output.waiting() > 0).then_some(now);
                // There is something to do when the client has made room, or what was sent settled is gone.
                let has_room = was_full && !is_full(&self.wire.output);
                Ok(has_room || !self.core.sent_settled.is_empty())
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.core.is_congested(&self.wire.output) {
            return Ok(false);
        }
        match self.wire.poll_read(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Err(End::Gone),
            Poll::Ready(Ok(_)) => {
                self.last_heard = Instant::now();
                self.is_resting = false;
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Everything is given back, the client is told what there is to tell, and the broker is waited for.
    async fn end(mut self, end: End) {
        let is_gone = matches!(end, End::Gone);
        let error = match end {
            End::Gone => None,
            End::Closed => {
                // Who settles, closes, and looks elsewhere what has become of it, finds it done.
                self.core.end_all();
                let _ = timeout(CLOSING / 2, self.finish()).await;
                self.say_close(None).await;
                None
            }
            End::Fault(error) => {
                tracing::info!(user = %self.core.who.user, condition = %error.condition, description = ?error.description, "AMQP connection closed");
                Some(error)
            }
            End::Stopping => {
                // What has arrived is finished, and its senders hear of it.
                let _ = timeout(STOPPING, self.finish()).await;
                self.core.write_answers(&mut self.wire.output);
                self.core.detach_all(&mut self.wire.output);
                let text = "the hub is stopping; connect again later";
                Some(Error::new("amqp:connection:forced", text))
            }
        };
        self.core.end_all();
        if let Some(error) = &error {
            self.say_close(Some(error)).await;
        }
        if timeout(SETTLING, self.finish()).await.is_err() {
            tracing::warn!("settlements of an AMQP connection did not end in time");
        }
        self.core.close_sources();
        if error.is_some() {
            let _ = timeout(CLOSING, self.agreed()).await;
        }
        if !is_gone && self.wire.flush(CLOSING).await.is_ok() {
            self.wire.shut().await;
        }
    }

    /// Waits for all that the broker has in hand.
    async fn finish(&mut self) {
        while let Some(done) = self.core.work.next().await {
            self.core.on_done(done);
        }
    }

    async fn say_close(&mut self, error: Option<&Error>) {
        let out = &mut self.wire.output.bytes;
        frame::put(out, Kind::Amqp, 0, |out| write_close(out, error));
        let _ = self.wire.flush(CLOSING).await;
    }

    /// The client closes too; what it says before that means nothing any more.
    async fn agreed(&mut self) {
        let most = usize::try_from(self.core.shared.limits.max_frame_bytes).unwrap_or(usize::MAX);
        while let Ok(frame) = self.wire.frame(most).await {
            if matches!(
                performative::read(&frame.body),
                Ok((Performative::Close(_), _))
            ) {
                return;
            }
        }
    }
}
