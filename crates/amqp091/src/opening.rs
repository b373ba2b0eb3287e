//! The socket cut into frames, and the beginning of a connection: start, log-in, tune, open.

use std::net::IpAddr;
use std::time::Duration;

use amqp::port::{Identity, plain_credentials};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::Shared;
use crate::frame::{self, Frame, Kind};
use crate::method::{CONNECTION, Code, Fault, Id, Method, reply};
use crate::wire::{Table, Value, Write as _};

/// Bytes held back at most before they are sent.
const MAX_UNSENT_BYTES: usize = 256 << 10;
/// Smallest frame that may be agreed on (§1.4.2.3).
const MIN_FRAME_BYTES: u32 = 4096;

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer is gone, or silent, or takes nothing.
    Gone,
    /// The peer closed it in order.
    Closed,
    /// We close it, and say why.
    Fault(Fault),
    /// The log-in failed, and the client does not want to be told why.
    Refused,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A stream of frames.
pub(crate) struct Wire<Io> {
    io: Io,
    input: BytesMut,
    pub output: Vec<u8>,
    /// Largest frame, either way.
    pub max_frame_bytes: usize,
    write: Duration,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Wire<Io> {
    /// The next frame. Nothing is lost when the caller stops waiting.
    pub async fn frame(&mut self) -> Result<Frame, End> {
        loop {
            match frame::take(&mut self.input, self.max_frame_bytes) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(text) => return Err(Fault::new(Code::FrameError, text).into()),
            }
            match self.io.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Err(End::Gone),
                Ok(_) => {}
            }
        }
    }

    /// Adds a method to what will be sent.
    pub fn method(&mut self, channel: u16, id: Id, arguments: impl FnOnce(&mut Vec<u8>)) {
        let payload = reply(id, arguments);
        frame::put(&mut self.output, Kind::Method, channel, &payload);
    }

    pub fn heartbeat(&mut self) {
        frame::put(&mut self.output, Kind::Heartbeat, 0, &[]);
    }

    /// Whether enough waits to be sent at once.
    pub fn is_full(&self) -> bool {
        self.output.len() >= MAX_UNSENT_BYTES
    }

    /// Sends what waits. A peer that takes nothing is gone.
    pub async fn flush(&mut self) -> Result<(), End> {
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            match timeout(self.write, self.io.write(rest)).await {
                Ok(Ok(sent)) if sent > 0 => rest = rest.get(sent..).unwrap_or_default(),
                _ => return Err(End::Gone),
            }
        }
        self.output.clear();
        // A large message does not keep its room for ever.
        self.output.shrink_to(MAX_UNSENT_BYTES);
        match timeout(self.write, self.io.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Says why the connection is closed, and waits for the client to agree.
    pub async fn close(&mut self, fault: &Fault, patience: Duration) {
        tracing::debug!(code = ?fault.code, text = %fault.text, "AMQP 0.9.1 connection closed");
        self.method(0, Id(CONNECTION, 50), |out| fault.write(out));
        let agreed = async {
            self.flush().await?;
            loop {
                let frame = self.frame().await?;
                if frame.kind != Kind::Method {
                    continue;
                }
                match Method::parse(&frame.payload) {
                    Ok((_, Method::ConnectionCloseOk)) => return Ok(()),
                    Ok((_, Method::ConnectionClose)) => {
                        self.method(0, Id(CONNECTION, 51), |_| {});
                        return self.flush().await;
                    }
                    _ => {}
                }
            }
        };
        let _: Result<Result<(), End>, _> = timeout(patience, agreed).await;
    }

    pub async fn shut(&mut self) {
        let _ = timeout(self.write, self.io.shutdown()).await;
    }
}

/// What was agreed on.
pub(crate) struct Opened {
    pub who: Identity,
    pub channel_max: u16,
    /// Seconds; 0: none.
    pub heartbeat_s: u16,
}

pub(crate) fn wire<Io>(shared: &Shared, io: Io) -> Wire<Io> {
    let max = shared.limits.max_handshake_frame_bytes;
    Wire {
        io,
        input: BytesMut::new(),
        output: Vec::new(),
        max_frame_bytes: usize::try_from(max).unwrap_or(usize::MAX),
        write: shared.limits.write,
    }
}

/// From the first frame of ours to open.
pub(crate) async fn open<Io>(
    shared: &Shared,
    wire: &mut Wire<Io>,
    peer: IpAddr,
) -> Result<Opened, End>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    wire.method(0, Id(CONNECTION, 10), start);
    wire.flush().await?;
    let who = log_in(shared, wire, peer).await?;
    let limits = shared.limits;
    wire.method(0, Id(CONNECTION, 30), |out| {
        out.short(limits.channel_max);
        out.long(limits.max_frame_bytes);
        out.short(limits.heartbeat_s);
    });
    wire.flush().await?;
    let (id, method) = next_method(wire).await?;
    let Method::TuneOk {
        channel_max,
        frame_max,
        heartbeat_s,
    } = method
    else {
        return Err(out_of_turn(id, "tune-ok").into());
    };
    let not_allowed = |text: String| Fault::new(Code::NotAllowed, text).by(id);
    if channel_max > limits.channel_max {
        let text = format!("channel-max is {} at most", limits.channel_max);
        return Err(not_allowed(text).into());
    }
    // None at all means as much as we allow.
    let frame_max = if frame_max == 0 {
        limits.max_frame_bytes
    } else {
        frame_max
    };
    if frame_max > limits.max_frame_bytes || frame_max < MIN_FRAME_BYTES {
        let most = limits.max_frame_bytes;
        let text = format!("frame-max is {MIN_FRAME_BYTES} at least and {most} at most");
        return Err(not_allowed(text).into());
    }
    wire.max_frame_bytes = usize::try_from(frame_max).unwrap_or(usize::MAX);
    let (id, method) = next_method(wire).await?;
    if method != Method::Open {
        return Err(out_of_turn(id, "open").into());
    }
    wire.method(0, Id(CONNECTION, 41), |out| out.short_string(""));
    wire.flush().await?;
    Ok(Opened {
        who,
        channel_max: if channel_max == 0 {
            limits.channel_max
        } else {
            channel_max
        },
        heartbeat_s,
    })
}

fn start(out: &mut Vec<u8>) {
    out.octet(0);
    out.octet(9);
    out.table(|table| {
        table.short_string("product");
        table.octet(b'S');
        table.long_string(b"Helsenav");
        table.short_string("capabilities");
        table.octet(b'F');
        table.table(|inside| {
            for name in [
                "basic.nack",
                "per_consumer_qos",
                "authentication_failure_close",
            ] {
                inside.short_string(name);
                inside.extend_from_slice(&[b't', 1]);
            }
        });
    });
    out.long_string(b"PLAIN");
    out.long_string(b"en_US");
}

async fn log_in<Io>(shared: &Shared, wire: &mut Wire<Io>, peer: IpAddr) -> Result<Identity, End>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let (id, method) = next_method(wire).await?;
    let Method::StartOk {
        properties,
        mechanism,
        response,
    } = method
    else {
        return Err(out_of_turn(id, "start-ok").into());
    };
    let credentials = (mechanism == "PLAIN").then(|| plain_credentials(&response));
    let known = credentials
        .flatten()
        .and_then(|(user, password)| shared.broker.authenticate(peer, user, password));
    if let Some(who) = known {
        return Ok(who);
    }
    tracing::info!(peer = %peer, "AMQP 0.9.1 log-in refused");
    tokio::time::sleep(shared.limits.failed_login_delay).await;
    if !wants_to_be_told(&properties) {
        return Err(End::Refused);
    }
    let text = "log in with PLAIN, as a user of the bus and with its password";
    Err(Fault::new(Code::AccessRefused, text).by(id).into())
}

/// Clients that take a close before open is done say so; others expect the connection to end.
fn wants_to_be_told(properties: &Table) -> bool {
    match properties.get("capabilities") {
        Some(Value::Table(capabilities)) => capabilities.is_true("authentication_failure_close"),
        _ => false,
    }
}

async fn next_method<Io>(wire: &mut Wire<Io>) -> Result<(Id, Method), End>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let frame = wire.frame().await?;
        match frame.kind {
            Kind::Heartbeat => {}
            Kind::Method if frame.channel == 0 => return method(&frame),
            _ => {
                let text = "open the connection first";
                return Err(Fault::new(Code::UnexpectedFrame, text).into());
            }
        }
    }
}

/// The method of a frame.
pub(crate) fn method(frame: &Frame) -> Result<(Id, Method), End> {
    match Method::parse(&frame.payload) {
        Ok((_, Method::ConnectionClose)) if frame.channel == 0 => Err(End::Closed),
        Ok(found) => Ok(found),
        Err((id, _)) => {
            let text = "the arguments of the method cannot be read";
            Err(Fault::new(Code::SyntaxError, text).by(id).into())
        }
    }
}

fn out_of_turn(id: Id, expected: &str) -> Fault {
    Fault::new(
        Code::CommandInvalid,
        format!("connection.{expected} comes now"),
    )
    .by(id)
}
