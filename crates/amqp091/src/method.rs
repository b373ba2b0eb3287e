//! Methods that a client calls, and the replies to them (generated XML of AMQP 0-9-1).

use crate::wire::{Malformed, Reader, Table, Write as _};

/// Class and method numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Id(pub u16, pub u16);

pub(crate) const CONNECTION: u16 = 10;
pub(crate) const CHANNEL: u16 = 20;

/// What a client may ask for; everything else is refused by its number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Method {
    StartOk {
        properties: Table,
        mechanism: String,
        response: Vec<u8>,
    },
    TuneOk {
        channel_max: u16,
        frame_max: u32,
        heartbeat_s: u16,
    },
    Open,
    ConnectionClose,
    ConnectionCloseOk,
    ChannelOpen,
    ChannelFlow {
        active: bool,
    },
    ChannelClose,
    ChannelCloseOk,
    Declare {
        queue: String,
        passive: bool,
        no_wait: bool,
    },
    Qos {
        size: u32,
        count: u16,
        global: bool,
    },
    Consume {
        queue: String,
        tag: String,
        no_ack: bool,
        exclusive: bool,
        no_wait: bool,
    },
    Cancel {
        tag: String,
        no_wait: bool,
    },
    Get {
        queue: String,
        no_ack: bool,
    },
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
        multiple: bool,
        requeue: bool,
    },
    Recover {
        requeue: bool,
        answered: bool,
    },
    /// Understood, and of no consequence.
    Noted,
    /// Sending, and making and removing what the registers make and remove.
    NotAllowed,
    /// No such method, or one that is not offered.
    Unknown,
}

impl Method {
    /// Reads the payload of a method frame.
    pub fn parse(payload: &[u8]) -> Result<(Id, Self), (Id, Malformed)> {
        let mut reader = Reader(payload);
        let numbers = (reader.short(), reader.short());
        let (Ok(class), Ok(method)) = numbers else {
            return Err((Id::default(), Malformed));
        };
        let id = Id(class, method);
        match Self::arguments(id, &mut reader) {
            Ok(method) => Ok((id, method)),
            Err(malformed) => Err((id, malformed)),
        }
    }

    fn arguments(id: Id, from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match (id.0, id.1) {
            (10, 11) => Self::StartOk {
                properties: from.table()?,
                mechanism: from.short_string()?,
                response: from.long_string()?.to_vec(),
            },
            (10, 31) => Self::TuneOk {
                channel_max: from.short()?,
                frame_max: from.long()?,
                heartbeat_s: from.short()?,
            },
            (10, 40) => {
                from.short_string()?;
                Self::Open
            }
            (10, 50) => Self::ConnectionClose,
            (10, 51) => Self::ConnectionCloseOk,
            // RabbitMQ's blocked and unblocked.
            (10, 60 | 61) => Self::Noted,
            (20, 10) => Self::ChannelOpen,
            (20, 20) => Self::ChannelFlow {
                active: from.octet()? & 1 != 0,
            },
            (20, 21) => Self::Noted,
            (20, 40) => Self::ChannelClose,
            (20, 41) => Self::ChannelCloseOk,
            (50, 10) => {
                from.short()?;
                let queue = from.short_string()?;
                let bits = from.octet()?;
                from.table()?;
                Self::Declare {
                    queue,
                    passive: bits & 1 != 0,
                    no_wait: bits & 16 != 0,
                }
            }
            (60, 10) => Self::Qos {
                size: from.long()?,
                count: from.short()?,
                global: from.octet()? & 1 != 0,
            },
            (60, 20) => {
                from.short()?;
                let (queue, tag) = (from.short_string()?, from.short_string()?);
                let bits = from.octet()?;
                from.table()?;
                Self::Consume {
                    queue,
                    tag,
                    no_ack: bits & 2 != 0,
                    exclusive: bits & 4 != 0,
                    no_wait: bits & 8 != 0,
                }
            }
            (60, 30) => Self::Cancel {
                tag: from.short_string()?,
                no_wait: from.octet()? & 1 != 0,
            },
            (60, 31) => Self::Noted,
            (60, 70) => {
                from.short()?;
                Self::Get {
                    queue: from.short_string()?,
                    no_ack: from.octet()? & 1 != 0,
                }
            }
            (60, 80) => Self::Ack {
                tag: from.longlong()?,
                multiple: from.octet()? & 1 != 0,
            },
            (60, 90) => Self::Nack {
                tag: from.longlong()?,
                multiple: false,
                requeue: from.octet()? & 1 != 0,
            },
            (60, 100 | 110) => Self::Recover {
                requeue: from.octet()? & 1 != 0,
                answered: id.1 == 110,
            },
            (60, 120) => {
                let tag = from.longlong()?;
                let bits = from.octet()?;
                Self::Nack {
                    tag,
                    multiple: bits & 1 != 0,
                    requeue: bits & 2 != 0,
                }
            }
            (40, 10 | 20 | 30 | 40) | (50, 20 | 30 | 40 | 50) | (60, 40) => Self::NotAllowed,
            _ => Self::Unknown,
        })
    }
}

/// The payload of a method frame: its numbers and what `arguments` writes.
pub(crate) fn reply(id: Id, arguments: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.short(id.0);
    out.short(id.1);
    arguments(&mut out);
    out
}

/// Why a channel or a connection is closed from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: Code,
    pub text: String,
    /// The method that brought it about.
    pub by: Id,
}

impl Fault {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            by: Id::default(),
        }
    }

    /// Named after the method that brought it about.
    pub fn by(self, by: Id) -> Self {
        Self { by, ..self }
    }

    /// The close method's arguments.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (number, name) = self.code.numbers();
        out.short(number);
        out.short_string(&format!("{name} - {}", self.text));
        out.short(self.by.0);
        out.short(self.by.1);
    }
}

/// Reply codes (§1.1 of the generated reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    ConnectionForced,
    AccessRefused,
    NotFound,
    PreconditionFailed,
    FrameError,
    SyntaxError,
    CommandInvalid,
    ChannelError,
    UnexpectedFrame,
    ResourceError,
    NotAllowed,
    NotImplemented,
}

impl Code {
    fn numbers(self) -> (u16, &'static str) {
        match self {
            Self::ConnectionForced => (320, "CONNECTION_FORCED"),
            Self::AccessRefused => (403, "ACCESS_REFUSED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::PreconditionFailed => (406, "PRECONDITION_FAILED"),
            Self::FrameError => (501, "FRAME_ERROR"),
            Self::SyntaxError => (502, "SYNTAX_ERROR"),
            Self::CommandInvalid => (503, "COMMAND_INVALID"),
            Self::ChannelError => (504, "CHANNEL_ERROR"),
            Self::UnexpectedFrame => (505, "UNEXPECTED_FRAME"),
            Self::ResourceError => (506, "RESOURCE_ERROR"),
            Self::NotAllowed => (530, "NOT_ALLOWED"),
            Self::NotImplemented => (540, "NOT_IMPLEMENTED"),
        }
    }

    /// Whether only the channel is closed (a soft error); the connection goes on.
    pub fn closes_channel_only(self) -> bool {
        matches!(
            self,
            Self::AccessRefused | Self::NotFound | Self::PreconditionFailed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_are_read_from_their_bits() {
        let consume = reply(Id(60, 20), |out| {
            out.short(0);
            out.short_string("q");
            out.short_string("me");
            out.octet(0b1010);
            out.table(|_| {});
        });
        let expected = Method::Consume {
            queue: "q".to_owned(),
            tag: "me".to_owned(),
            no_ack: true,
            exclusive: false,
            no_wait: true,
        };
        assert_eq!(Method::parse(&consume), Ok((Id(60, 20), expected)));
        let nack = reply(Id(60, 120), |out| {
            out.longlong(7);
            out.octet(0b10);
        });
        let expected = Method::Nack {
            tag: 7,
            multiple: false,
            requeue: true,
        };
        assert_eq!(Method::parse(&nack), Ok((Id(60, 120), expected)));
        assert_eq!(
            Method::parse(&nack[..8]),
            Err((Id(60, 120), Malformed)),
            "cut off"
        );
        assert_eq!(Method::parse(&[0, 60, 0]), Err((Id(0, 0), Malformed)));
        for (id, expected) in [
            (Id(60, 40), Method::NotAllowed),
            (Id(90, 10), Method::Unknown),
            (Id(85, 10), Method::Unknown),
        ] {
            assert_eq!(Method::parse(&reply(id, |_| {})), Ok((id, expected)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(class in prop_oneof![Just(10u16), Just(20), Just(50), Just(60)], method in 0u16..130, rest in proptest::collection::vec(any::<u8>(), 0..120)) {
            let payload = reply(Id(class, method), |out| out.extend_from_slice(&rest));
            let _ = Method::parse(&payload);
        }
    }
}
