//! Performatives (AMQP 1.0 part 2 §2.7, part 3 §3.4, part 5 §5.3.3) and their fields.
//!
//! Reading is tolerant (see [`crate::codec::Fields`]); writing leaves out what is the default.

mod read;
mod state;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::{Terminus, read, read_sasl};
pub(crate) use state::State;
pub(crate) use write::{write_close, write_end};

/// Who is meant by a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Role {
    #[default]
    Sender,
    Receiver,
}

impl Role {
    fn is_receiver(self) -> bool {
        self == Self::Receiver
    }
}

impl From<bool> for Role {
    fn from(is_receiver: bool) -> Self {
        if is_receiver {
            Self::Receiver
        } else {
            Self::Sender
        }
    }
}

/// What went wrong, for the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// A symbol, e.g. `amqp:not-found`.
    pub condition: String,
    pub description: Option<String>,
}

impl Error {
    pub fn new(condition: &str, description: impl Into<String>) -> Self {
        Self {
            condition: condition.to_owned(),
            description: Some(description.into()),
        }
    }
}

/// A frame's performative.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Performative<'a> {
    Open(Open<'a>),
    Begin(Begin),
    Attach(Attach<'a>),
    Flow(Flow),
    Transfer(Transfer<'a>),
    Disposition(Disposition),
    Detach(Detach),
    End(Option<Error>),
    Close(Option<Error>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Open<'a> {
    pub container_id: &'a str,
    pub hostname: Option<&'a str>,
    pub max_frame_size: Option<u32>,
    pub channel_max: Option<u16>,
    pub idle_time_out_ms: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Begin {
    /// The channel of the begin that is answered.
    pub remote_channel: Option<u16>,
    pub next_outgoing_id: u32,
    pub incoming_window: u32,
    pub outgoing_window: u32,
    pub handle_max: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Attach<'a> {
    pub name: &'a str,
    pub handle: u32,
    pub role: Role,
    pub snd_settle_mode: Option<u8>,
    pub rcv_settle_mode: Option<u8>,
    pub source: Option<Terminus<'a>>,
    pub target: Option<Terminus<'a>>,
    pub initial_delivery_count: Option<u32>,
    pub max_message_size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Flow {
    pub next_incoming_id: Option<u32>,
    pub incoming_window: u32,
    pub next_outgoing_id: u32,
    pub outgoing_window: u32,
    pub handle: Option<u32>,
    pub delivery_count: Option<u32>,
    pub link_credit: Option<u32>,
    pub available: Option<u32>,
    pub drain: bool,
    pub echo: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Transfer<'a> {
    pub handle: u32,
    pub delivery_id: Option<u32>,
    pub delivery_tag: Option<&'a [u8]>,
    pub message_format: Option<u32>,
    pub settled: Option<bool>,
    pub more: bool,
    pub aborted: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Disposition {
    pub role: Role,
    pub first: u32,
    pub last: Option<u32>,
    pub settled: bool,
    pub state: Option<State>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Detach {
    pub handle: u32,
    pub closed: bool,
    pub error: Option<Error>,
}

/// What SASL frames say, as far as PLAIN needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sasl<'a> {
    /// The server's list, which the client need not read: it has one mechanism only.
    Mechanisms,
    Init {
        mechanism: &'a str,
        response: Option<&'a [u8]>,
    },
    Outcome(u8),
    /// Challenge and response.
    Other,
}

mod code {
    pub(super) const OPEN: u64 = 0x10;
    pub(super) const BEGIN: u64 = 0x11;
    pub(super) const ATTACH: u64 = 0x12;
    pub(super) const FLOW: u64 = 0x13;
    pub(super) const TRANSFER: u64 = 0x14;
    pub(super) const DISPOSITION: u64 = 0x15;
    pub(super) const DETACH: u64 = 0x16;
    pub(super) const END: u64 = 0x17;
    pub(super) const CLOSE: u64 = 0x18;
    pub(super) const ERROR: u64 = 0x1d;
    pub(super) const RECEIVED: u64 = 0x23;
    pub(super) const ACCEPTED: u64 = 0x24;
    pub(super) const REJECTED: u64 = 0x25;
    pub(super) const RELEASED: u64 = 0x26;
    pub(super) const MODIFIED: u64 = 0x27;
    pub(super) const SOURCE: u64 = 0x28;
    pub(super) const TARGET: u64 = 0x29;
    pub(super) const COORDINATOR: u64 = 0x30;
    pub(super) const SASL_MECHANISMS: u64 = 0x40;
    pub(super) const SASL_INIT: u64 = 0x41;
    pub(super) const SASL_CHALLENGE: u64 = 0x42;
    pub(super) const SASL_RESPONSE: u64 = 0x43;
    pub(super) const SASL_OUTCOME: u64 = 0x44;

    /// Descriptors may be symbols.
    pub(super) const NAMES: &[(&str, u64)] = &[
        ("amqp:open:list", OPEN),
        ("amqp:begin:list", BEGIN),
        ("amqp:attach:list", ATTACH),
        ("amqp:flow:list", FLOW),
        ("amqp:transfer:list", TRANSFER),
        ("amqp:disposition:list", DISPOSITION),
        ("amqp:detach:list", DETACH),
        ("amqp:end:list", END),
        ("amqp:close:list", CLOSE),
        ("amqp:error:list", ERROR),
        ("amqp:received:list", RECEIVED),
        ("amqp:accepted:list", ACCEPTED),
        ("amqp:rejected:list", REJECTED),
        ("amqp:released:list", RELEASED),
        ("amqp:modified:list", MODIFIED),
        ("amqp:source:list", SOURCE),
        ("amqp:target:list", TARGET),
        ("amqp:coordinator:list", COORDINATOR),
        ("amqp:sasl-mechanisms:list", SASL_MECHANISMS),
        ("amqp:sasl-init:list", SASL_INIT),
        ("amqp:sasl-challenge:list", SASL_CHALLENGE),
        ("amqp:sasl-response:list", SASL_RESPONSE),
        ("amqp:sasl-outcome:list", SASL_OUTCOME),
    ];
}
