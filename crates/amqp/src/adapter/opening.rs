//! The beginning of a connection: protocol headers, log-in, open (AMQP 1.0 part 2 §2.2 and §2.4, part 5 §5.3).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Shared;
use super::wire::Wire;
use crate::frame::{self, AMQP_HEADER, Frame, Kind, MIN_MAX_FRAME, SASL_HEADER};
use crate::performative::{self, Error, Open, Performative, Sasl, write_close};
use crate::port::{Identity, plain_credentials};

const OK: u8 = 0;
const AUTH: u8 = 1;
const SYS: u8 = 2;
/// How long a peer may take nothing of what is sent to it.
pub(super) const WRITE: Duration = Duration::from_secs(60);
/// Channels of a client that does not say how many it takes.
const ALL_CHANNELS: u16 = u16::MAX;

/// Why no connection was opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error("the client went away: {0}")]
    Gone(#[from] io::Error),
    #[error("the client speaks another protocol, or leaves out the log-in")]
    Header,
    #[error("log-in refused")]
    Login,
    #[error("{0}")]
    Refused(&'static str),
}

/// What was agreed on.
pub(super) struct Opened {
    pub who: Identity,
    /// Largest frame that the client takes, as far as we use it.
    pub max_frame: usize,
    /// Highest channel that the client takes.
    pub channel_max: u16,
    /// Silence after which the client gives us up.
    pub idle: Option<Duration>,
}

/// From the first header to the client's open, answered.
pub(super) async fn open<Io>(
    shared: &Shared,
    wire: &mut Wire<Io>,
    peer: IpAddr,
) -> Result<Opened, NotOpened>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    expect_header(wire, SASL_HEADER).await?;
    wire.output.bytes.extend_from_slice(&SASL_HEADER);
    say(wire, &Sasl::Mechanisms).await?;
    let who = log_in(shared, wire, peer).await?;
    say(wire, &Sasl::Outcome(OK)).await?;
    expect_header(wire, AMQP_HEADER).await?;
    wire.output.bytes.extend_from_slice(&AMQP_HEADER);
    wire.flush(WRITE).await?;
    let limits = &shared.limits;
    let frame = next(shared, wire).await?;
    let theirs = match performative::read(&frame.body) {
        Ok((Performative::Open(open), _)) if frame.kind == Kind::Amqp && frame.channel == 0 => open,
        _ => {
            put_open(shared, wire);
            let error = Error::new("amqp:not-allowed", "open comes first, on channel 0");
            frame::put(&mut wire.output.bytes, Kind::Amqp, 0, |out| {
                write_close(out, Some(&error));
            });
            wire.flush(WRITE).await?;
            return Err(NotOpened::Refused("something else came instead of open"));
        }
    };
    let max_frame = theirs
        .max_frame_size
        .unwrap_or(u32::MAX)
        .clamp(MIN_MAX_FRAME, limits.max_frame_bytes.max(MIN_MAX_FRAME));
    let idle = theirs.idle_time_out_ms.filter(|ms| *ms > 0);
    let opened = Opened {
        who,
        max_frame: usize::try_from(max_frame).unwrap_or(usize::MAX),
        channel_max: theirs.channel_max.unwrap_or(ALL_CHANNELS),
        idle: idle.map(|ms| Duration::from_millis(ms.into())),
    };
    put_open(shared, wire);
    Ok(opened)
}

fn put_open<Io: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, wire: &mut Wire<Io>) {
    let limits = &shared.limits;
    let open = Open {
        container_id: &shared.container_id,
        hostname: None,
        max_frame_size: Some(limits.max_frame_bytes),
        channel_max: Some(limits.channel_max),
        idle_time_out_ms: Some(limits.idle_ms),
    };
    frame::put(&mut wire.output.bytes, Kind::Amqp, 0, |out| open.write(out));
}

/// The client's header. Another one is answered with ours that belongs here, and that is all (§2.2).
async fn expect_header<Io>(wire: &mut Wire<Io>, expected: [u8; 8]) -> Result<(), NotOpened>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    if wire.header().await? == expected {
        return Ok(());
    }
    wire.output.bytes.extend_from_slice(&expected);
    wire.flush(WRITE).await?;
    Err(NotOpened::Header)
}

async fn say<Io>(wire: &mut Wire<Io>, sasl: &Sasl<'_>) -> io::Result<()>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    frame::put(&mut wire.output.bytes, Kind::Sasl, 0, |out| sasl.write(out));
    wire.flush(WRITE).await
}

/// The next frame that says something.
async fn next<Io>(shared: &Shared, wire: &mut Wire<Io>) -> io::Result<Frame>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let most = usize::try_from(shared.limits.max_frame_bytes).unwrap_or(usize::MAX);
    loop {
        let frame = wire.frame(most).await?;
        if !frame.body.is_empty() {
            return Ok(frame);
        }
    }
}

async fn log_in<Io>(
    shared: &Shared,
    wire: &mut Wire<Io>,
    peer: IpAddr,
) -> Result<Identity, NotOpened>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let frame = next(shared, wire).await?;
    let init = match performative::read_sasl(&frame.body) {
        Ok(Sasl::Init {
            mechanism,
            response,
        }) if frame.kind == Kind::Sasl => (mechanism == "PLAIN").then_some(response).flatten(),
        _ => {
            say(wire, &Sasl::Outcome(SYS)).await?;
            return Err(NotOpened::Refused(
                "something else came instead of a log-in",
            ));
        }
    };
    let known = init
        .and_then(plain_credentials)
        .and_then(|(user, password)| shared.broker.authenticate(peer, user, password));
    if let Some(who) = known {
        return Ok(who);
    }
    tracing::info!(peer = %peer, "AMQP log-in refused");
    tokio::time::sleep(shared.limits.failed_login_delay).await;
    say(wire, &Sasl::Outcome(AUTH)).await?;
    Err(NotOpened::Login)
}
