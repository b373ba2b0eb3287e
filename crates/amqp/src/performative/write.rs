//! Performatives to bytes.

use super::{
    Attach, Begin, Detach, Disposition, Error, Flow, Open, Sasl, Terminus, Transfer, code,
};
use crate::codec::{Encode as _, ListWriter, Reader};

/// Fields of a source, and of a target, up to the last that is defined.
const SOURCE_FIELDS: usize = 11;
const TARGET_FIELDS: usize = 7;
/// Place of a source's filter.
const FILTER: usize = 7;

impl Open<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::OPEN);
        out.list(|fields| {
            fields
                .string(self.container_id)
                .string(self.hostname)
                .uint(self.max_frame_size)
                .ushort(self.channel_max)
                .uint(self.idle_time_out_ms);
        });
    }
}

impl Begin {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::BEGIN);
        out.list(|fields| {
            fields
                .ushort(self.remote_channel)
                .uint(self.next_outgoing_id)
                .uint(self.incoming_window)
                .uint(self.outgoing_window)
                .uint(self.handle_max);
        });
    }
}

impl Attach<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::ATTACH);
        out.list(|fields| {
            fields
                .string(self.name)
                .uint(self.handle)
                .bool(self.role.is_receiver())
                .ubyte(self.snd_settle_mode)
                .ubyte(self.rcv_settle_mode)
                .terminus(code::SOURCE, self.source)
                .terminus(code::TARGET, self.target)
                .null()
                .null()
                .uint(self.initial_delivery_count)
                .ulong(self.max_message_size);
        });
    }
}

impl Flow {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::FLOW);
        out.list(|fields| {
            fields
                .uint(self.next_incoming_id)
                .uint(self.incoming_window)
                .uint(self.next_outgoing_id)
                .uint(self.outgoing_window)
                .uint(self.handle)
                .uint(self.delivery_count)
                .uint(self.link_credit)
                .uint(self.available)
                .bool(self.drain.then_some(true))
                .bool(self.echo.then_some(true));
        });
    }
}

impl Transfer<'_> {
    /// More bytes than this performative ever takes with a tag of four bytes, the head of the frame included.
    pub const MOST_BYTES: usize = 64;

    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::TRANSFER);
        out.list(|fields| {
            fields
                .uint(self.handle)
                .uint(self.delivery_id)
                .binary(self.delivery_tag)
                .uint(self.message_format)
                .bool(self.settled)
                .bool(self.more)
                .null()
                .null()
                .null()
                .bool(self.aborted.then_some(true));
        });
    }
}

impl Disposition {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::DISPOSITION);
        out.list(|fields| {
            fields
                .bool(self.role.is_receiver())
                .uint(self.first)
                .uint(self.last)
                .bool(self.settled)
                .state(self.state.as_ref());
        });
    }
}

impl Detach {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.described(code::DETACH);
        out.list(|fields| {
            fields
                .uint(self.handle)
                .bool(self.closed)
                .error(self.error.as_ref());
        });
    }
}

pub(crate) fn write_end(out: &mut Vec<u8>, error: Option<&Error>) {
    out.described(code::END);
    out.list(|fields| {
        fields.error(error);
    });
}

pub(crate) fn write_close(out: &mut Vec<u8>, error: Option<&Error>) {
    out.described(code::CLOSE);
    out.list(|fields| {
        fields.error(error);
    });
}

impl Sasl<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mechanisms | Self::Other => {
                out.described(code::SASL_MECHANISMS);
                out.list(|fields| {
                    fields.field(Some(()), |out, ()| out.symbols(&["PLAIN"]));
                });
            }
            Self::Init {
                mechanism,
                response,
            } => {
                out.described(code::SASL_INIT);
                out.list(|fields| {
                    fields.symbol(*mechanism).binary(*response);
                });
            }
            Self::Outcome(outcome) => {
                out.described(code::SASL_OUTCOME);
                out.list(|fields| {
                    fields.ubyte(*outcome);
                });
            }
        }
    }
}

impl<'a> Terminus<'a> {
    /// A terminus of which nothing is known but its fields.
    pub fn as_came(list: &'a [u8]) -> Self {
        Self {
            address: None,
            is_dynamic: false,
            is_copy: false,
            is_coordinator: false,
            list,
        }
    }

    /// A terminus of our own, with an address or without; `list` holds it.
    pub fn of(address: Option<&'a str>, list: &'a mut Vec<u8>) -> Self {
        list.list(|fields| {
            fields.string(address);
        });
        Self {
            address,
            is_dynamic: false,
            is_copy: false,
            is_coordinator: false,
            list,
        }
    }

    /// The same with the address only.
    pub fn shortened(self, list: &'a mut Vec<u8>) -> Self {
        Self::of(self.address, list)
    }
}

impl ListWriter<'_> {
    /// A terminus as it came. The answer names the filters that are in force: there are none.
    fn terminus(&mut self, code: u64, terminus: Option<Terminus<'_>>) -> &mut Self {
        self.field(terminus, |out, terminus| {
            let most = if code == code::SOURCE {
                SOURCE_FIELDS
            } else {
                TARGET_FIELDS
            };
            out.described(code);
            out.list(|fields| {
                let Ok(mut items) = Reader::new(terminus.list).fields() else {
                    return;
                };
                for at in 0..most {
                    match items.raw() {
                        Ok(Some(_)) if code == code::SOURCE && at == FILTER => {
                            fields.null();
                        }
                        Ok(Some(raw)) => {
                            fields.raw(raw);
                        }
                        _ => return,
                    }
                }
            });
        })
    }
}
