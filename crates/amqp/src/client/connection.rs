//! The task of a client's connection.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::link::{HANDLE, Link, WINDOW};
use super::{ClientError, Command, LinkNumber};
use crate::adapter::wire::Wire;
use crate::frame::{self, AMQP_HEADER, Frame, Kind, MIN_MAX_FRAME, SASL_HEADER};
use crate::performative::{
    self, Attach, Begin, Detach, Error, Open, Performative, Role, Sasl, Terminus, write_close,
    write_end,
};

/// Largest frame that we take.
const MAX_FRAME: u32 = 128 << 10;
/// Output beyond which no more is put together before some of it is sent.
const MAX_WAITING: usize = 1 << 20;
/// How long the handshake may take, and a server may take nothing of what is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the server may take to agree to a close.
const CLOSING: Duration = Duration::from_secs(3);
/// Something is sent as often as this whatever the server asks for.
const BEAT: Duration = Duration::from_secs(30);
const MIN_BEAT: Duration = Duration::from_millis(50);

pub(super) struct Connection<Io> {
    wire: Wire<Io>,
    agreed: Agreed,
    last_sent: Instant,
    /// By our channels.
    links: HashMap<u16, Link>,
    /// Our channel of each of the server's.
    channels: HashMap<u16, u16>,
    last_link: LinkNumber,
}

/// What the server takes.
struct Agreed {
    max_frame: usize,
    channel_max: u16,
    beat: Duration,
}

/// Why the task ends.
enum End {
    /// All handles are gone, or somebody asked for it.
    Closed(Option<oneshot::Sender<Result<(), ClientError>>>),
    /// The server closed.
    Server(Option<Error>),
    Gone(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Gone(error.to_string())
    }
}

/// Headers, log-in, open.
async fn open<Io>(wire: &mut Wire<Io>, user: &str, password: &str) -> Result<Agreed, ClientError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin,
{
    let connect = |error: io::Error| ClientError::Connect(error.to_string());
    let other = |text: &str| ClientError::Connect(text.to_owned());
    let most = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
    wire.output.bytes.extend_from_slice(&SASL_HEADER);
    let response = format!("\0{user}\0{password}");
    let init = Sasl::Init {
        mechanism: "PLAIN",
        response: Some(response.as_bytes()),
    };
    frame::put(&mut wire.output.bytes, Kind::Sasl, 0, |out| init.write(out));
    wire.flush(PATIENCE).await.map_err(connect)?;
    if wire.header().await.map_err(connect)? != SASL_HEADER {
        return Err(other("the server does not ask for a log-in"));
    }
    loop {
        let frame = wire.frame(most).await.map_err(connect)?;
        match performative::read_sasl(&frame.body) {
            Ok(Sasl::Mechanisms) => {}
            Ok(Sasl::Outcome(0)) => break,
            Ok(Sasl::Outcome(_)) => return Err(ClientError::Login),
            _ => return Err(other("the server does not do log-ins as PLAIN does")),
        }
    }
    wire.output.bytes.extend_from_slice(&AMQP_HEADER);
    let container = format!("client-{user}");
    let ours = Open {
        container_id: &container,
        hostname: Some("localhost"),
        max_frame_size: Some(MAX_FRAME),
        channel_max: None,
        idle_time_out_ms: None,
    };
    frame::put(&mut wire.output.bytes, Kind::Amqp, 0, |out| ours.write(out));
    wire.flush(PATIENCE).await.map_err(connect)?;
    if wire.header().await.map_err(connect)? != AMQP_HEADER {
        return Err(other("the server speaks another version of AMQP"));
    }
    let frame = wire.frame(most).await.map_err(connect)?;
    let Ok((Performative::Open(theirs), _)) = performative::read(&frame.body) else {
        return Err(other("the server does not open the connection"));
    };
    let max_frame = theirs
        .max_frame_size
        .unwrap_or(u32::MAX)
        .clamp(MIN_MAX_FRAME, MAX_FRAME);
    let idle = theirs.idle_time_out_ms.filter(|ms| *ms > 0);
    let beat = idle.map_or(BEAT, |ms| Duration::from_millis(ms.into()) / 2);
    Ok(Agreed {
        max_frame: usize::try_from(max_frame).unwrap_or(usize::MAX),
        channel_max: theirs.channel_max.unwrap_or(u16::MAX),
        beat: beat.clamp(MIN_BEAT, BEAT),
    })
}

impl<Io: AsyncRead + AsyncWrite + Send + Unpin> Connection<Io> {
    /// Logs in and opens.
    pub async fn open(stream: Io, user: &str, password: &str) -> Result<Self, ClientError> {
        let mut wire = Wire::new(stream);
        let agreed = match timeout(PATIENCE, open(&mut wire, user, password)).await {
            Ok(agreed) => agreed?,
            Err(_) => {
                let text = "the server does not answer".to_owned();
                return Err(ClientError::Connect(text));
            }
        };
        Ok(Self {
            wire,
            agreed,
            last_sent: Instant::now(),
            links: HashMap::new(),
            channels: HashMap::new(),
            last_link: 0,
        })
    }

    /// Does as it is told, until nobody tells it anything any more.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let end = self.serve(&mut commands).await;
        let reason = match &end {
            End::Closed(_) => "the connection was closed here".to_owned(),
            End::Server(None) => "the server closed the connection".to_owned(),
            End::Server(Some(error)) => words(error),
            End::Gone(reason) => format!("the connection was lost: {reason}"),
        };
        for link in self.links.values_mut() {
            link.end(&ClientError::Link(reason.clone()));
        }
        // What was told meanwhile is answered by dropping it.
        commands.close();
        let out = &mut self.wire.output.bytes;
        match end {
            End::Gone(_) => {}
            End::Server(_) => {
                frame::put(out, Kind::Amqp, 0, |out| write_close(out, None));
                let _ = self.wire.flush(CLOSING).await;
            }
            End::Closed(done) => {
                frame::put(out, Kind::Amqp, 0, |out| write_close(out, None));
                let agreed = timeout(CLOSING, self.agreed()).await;
                let outcome = match agreed {
                    Ok(Ok(None)) | Err(_) => Ok(()),
                    Ok(Ok(Some(error))) => Err(ClientError::Connect(words(&error))),
                    Ok(Err(error)) => Err(ClientError::Connect(error.to_string())),
                };
                if let Some(done) = done {
                    let _ = done.send(outcome);
                }
            }
        }
        self.wire.shut().await;
    }

    /// Waits for the server's close.
    async fn agreed(&mut self) -> io::Result<Option<Error>> {
        self.wire.flush(CLOSING).await?;
        loop {
            let frame = self.frame().await?;
            if let Ok((Performative::Close(error), _)) = performative::read(&frame.body) {
                return Ok(error);
            }
        }
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        let most = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
        self.wire.frame(most).await
    }

    async fn serve(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> End {
        loop {
            if let Err(end) = self.take_frames() {
                return end;
            }
            self.pump();
            let beat_at = self.last_sent + self.agreed.beat;
            let wire = &mut self.wire;
            tokio::select! {
                moved = poll_fn(|cx| poll_wire(wire, cx)) => match moved {
                    Ok(true) => self.last_sent = Instant::now(),
                    Ok(false) => {}
                    Err(error) => return error.into(),
                },
                command = commands.recv() => match command {
                    None => return End::Closed(None),
                    Some(Command::Close { done }) => return End::Closed(Some(done)),
                    Some(command) => {
                        self.on_command(command);
                        // What was told together goes out together.
                        while self.wire.output.waiting() < MAX_WAITING {
                            match commands.try_recv() {
                                Ok(Command::Close { done }) => return End::Closed(Some(done)),
                                Ok(command) => self.on_command(command),
                                Err(_) => break,
                            }
                        }
                    }
                },
                () = sleep_until(beat_at) => {
                    frame::put_empty(&mut self.wire.output.bytes);
                    self.last_sent = Instant::now();
                }
            }
        }
    }

    fn pump(&mut self) {
        for (channel, link) in &mut self.links {
            let room = MAX_WAITING.saturating_sub(self.wire.output.waiting());
            let most = self.wire.output.bytes.len() + room;
            let out = &mut self.wire.output.bytes;
            link.pump(*channel, self.agreed.max_frame, most, out);
        }
    }

    /// A link with its channel and the way out. Of one that is gone, whoever waits learns by what is dropped.
    fn link(&mut self, number: LinkNumber) -> Option<(&mut Link, u16, &mut Vec<u8>)> {
        let mut links = self.links.iter_mut();
        let (channel, link) = links.find(|(_, link)| link.number == number)?;
        Some((link, *channel, &mut self.wire.output.bytes))
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach {
                role,
                address,
                name,
                credit,
                done,
            } => self.attach(role, &address, &name, credit, done),
            Command::Send {
                link,
                message,
                done,
            } => {
                if let Some((link, ..)) = self.link(link) {
                    link.send(*message, done);
                }
            }
            Command::Settle {
                link,
                delivery_id,
                settlement,
            } => {
                if let Some((link, channel, out)) = self.link(link) {
                    link.settle(delivery_id, settlement, channel, out);
                }
            }
            Command::Detach { link, done } => {
                if let Some((link, channel, out)) = self.link(link) {
                    link.close_done.extend(done);
                    link.close(channel, out);
                }
            }
            // The loop's own.
            Command::Close { .. } => {}
        }
    }

    fn attach(
        &mut self,
        role: Role,
        address: &str,
        name: &str,
        credit: u32,
        done: oneshot::Sender<Result<super::Attached, ClientError>>,
    ) {
        let free = (0..=self.agreed.channel_max).find(|c| !self.links.contains_key(c));
        let Some(channel) = free else {
            let text = "more sessions than the server takes".to_owned();
            let _ = done.send(Err(ClientError::Link(text)));
            return;
        };
        self.last_link += 1;
        let mut link = Link::new(self.last_link, role, credit);
        link.attach_done = Some(done);
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: WINDOW,
            outgoing_window: WINDOW,
            handle_max: None,
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (ours, theirs) = (
            Terminus::of(None, &mut ours),
            Terminus::of(Some(address), &mut theirs),
        );
        let (source, target) = match role {
            Role::Sender => (ours, theirs),
            Role::Receiver => (theirs, ours),
        };
        let attach = Attach {
            name,
            handle: HANDLE,
            role,
            source: Some(source),
            target: Some(target),
            initial_delivery_count: (role == Role::Sender).then_some(0),
            ..Attach::default()
        };
        let out = &mut self.wire.output.bytes;
        frame::put(out, Kind::Amqp, channel, |out| begin.write(out));
        frame::put(out, Kind::Amqp, channel, |out| attach.write(out));
        self.links.insert(channel, link);
    }

    fn take_frames(&mut self) -> Result<(), End> {
        let most = usize::try_from(MAX_FRAME).unwrap_or(usize::MAX);
        loop {
            let taken = frame::take(&mut self.wire.input, most);
            match taken.map_err(|reason| End::Gone(reason.to_owned()))? {
                None => return Ok(()),
                Some(frame) if frame.body.is_empty() => {}
                Some(frame) => self.on_frame(&frame)?,
            }
        }
    }

    fn on_frame(&mut self, frame: &Frame) -> Result<(), End> {
        let (performative, payload) =
            performative::read(&frame.body).map_err(|fault| End::Gone(fault.to_string()))?;
        match &performative {
            Performative::Close(error) => return Err(End::Server(error.clone())),
            Performative::Begin(begin) => {
                let ours = begin.remote_channel;
                if let Some((channel, link)) =
                    ours.and_then(|channel| Some((channel, self.links.get_mut(&channel)?)))
                {
                    self.channels.insert(frame.channel, channel);
                    link.on_begin(begin.next_outgoing_id, begin.incoming_window);
                }
                return Ok(());
            }
            _ => {}
        }
        let Some(channel) = self.channels.get(&frame.channel).copied() else {
            return Ok(());
        };
        let Some(link) = self.links.get_mut(&channel) else {
            return Ok(());
        };
        let out = &mut self.wire.output.bytes;
        match performative {
            Performative::Attach(attach) => {
                link.on_attach(&attach, channel, out);
            }
            Performative::Flow(flow) => link.on_flow(&flow, channel, out),
            Performative::Disposition(disposition) => link.on_disposition(&disposition),
            Performative::Transfer(transfer) if !link.is_ended => {
                let payload = if payload.is_empty() {
                    Bytes::new()
                } else {
                    frame.body.slice_ref(payload)
                };
                link.on_transfer(&transfer, payload, channel, out);
            }
            Performative::Detach(detach) => on_detach(link, &detach, channel, out),
            Performative::End(error) => {
                self.channels.remove(&frame.channel);
                let Some(mut link) = self.links.remove(&channel) else {
                    return Ok(());
                };
                if !link.is_closing {
                    frame::put(out, Kind::Amqp, channel, |out| write_end(out, None));
                }
                let reason = error.as_ref().map_or("the session ended".to_owned(), words);
                link.end(&ClientError::Link(reason));
                for done in link.close_done {
                    let _ = done.send(());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The server ends a link, or agrees that it has ended. The session goes with it.
fn on_detach(link: &mut Link, detach: &Detach, channel: u16, out: &mut Vec<u8>) {
    if link.is_closing {
        return;
    }
    let reason = detach.error.as_ref();
    let reason = reason.map_or("the server ended the link".to_owned(), words);
    link.end(&ClientError::Link(reason));
    let answer = Detach {
        handle: HANDLE,
        closed: true,
        error: None,
    };
    frame::put(out, Kind::Amqp, channel, |out| answer.write(out));
    link.close(channel, out);
}

fn words(error: &Error) -> String {
    match &error.description {
        Some(description) => format!("{}: {description}", error.condition),
        None => error.condition.clone(),
    }
}

/// Sends and reads. Ready with whether something was sent.
fn poll_wire<Io>(wire: &mut Wire<Io>, cx: &mut Context<'_>) -> Poll<io::Result<bool>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut has_sent = false;
    if wire.has_output()
        && let Poll::Ready(sent) = wire.poll_send(cx)
    {
        has_sent = sent? > 0;
    }
    match wire.poll_read(cx) {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        Poll::Ready(Ok(_)) => Poll::Ready(Ok(has_sent)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending if has_sent => Poll::Ready(Ok(true)),
        Poll::Pending => Poll::Pending,
    }
}
