//! Bytes to performatives.

use super::state::descriptor;
use super::{
    Attach, Begin, Detach, Disposition, Error, Flow, Open, Performative, Role, Sasl, State,
    Transfer, code,
};
use crate::codec::{Fault, Fields, Reader, Value};

/// A link's source or target: the fields that mean something here, and all of them as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminus<'a> {
    pub address: Option<&'a str>,
    /// The other end shall make a node.
    pub is_dynamic: bool,
    /// Of a source: to be looked at only.
    pub is_copy: bool,
    /// For transactions.
    pub is_coordinator: bool,
    /// The whole list.
    pub(super) list: &'a [u8],
}

/// The performative at the beginning of a frame, and what follows it.
pub(crate) fn read(body: &[u8]) -> Result<(Performative<'_>, &[u8]), Fault> {
    let mut reader = Reader::new(body);
    let code = descriptor(&mut reader)?;
    let mut fields = reader.fields()?;
    let fields = &mut fields;
    let performative = match code {
        code::OPEN => Performative::Open(open(fields)?),
        code::BEGIN => Performative::Begin(begin(fields)?),
        code::ATTACH => Performative::Attach(attach(fields)?),
        code::FLOW => Performative::Flow(flow(fields)?),
        code::TRANSFER => Performative::Transfer(transfer(fields)?),
        code::DISPOSITION => Performative::Disposition(disposition(fields)?),
        code::DETACH => Performative::Detach(Detach {
            handle: fields.uint()?.ok_or(Fault::Missing("handle"))?,
            closed: fields.bool()?.unwrap_or(false),
            error: Error::read(fields.value()?)?,
        }),
        code::END => Performative::End(Error::read(fields.value()?)?),
        code::CLOSE => Performative::Close(Error::read(fields.value()?)?),
        _ => return Err(Fault::Descriptor),
    };
    Ok((performative, reader.rest()))
}

/// What a SASL frame says.
pub(crate) fn read_sasl(body: &[u8]) -> Result<Sasl<'_>, Fault> {
    let mut reader = Reader::new(body);
    let code = descriptor(&mut reader)?;
    let mut fields = reader.fields()?;
    Ok(match code {
        code::SASL_MECHANISMS => Sasl::Mechanisms,
        code::SASL_INIT => Sasl::Init {
            mechanism: fields.text()?.ok_or(Fault::Missing("mechanism"))?,
            response: fields.binary()?,
        },
        code::SASL_OUTCOME => Sasl::Outcome(fields.ubyte()?.ok_or(Fault::Missing("code"))?),
        code::SASL_CHALLENGE | code::SASL_RESPONSE => Sasl::Other,
        _ => return Err(Fault::Descriptor),
    })
}

fn open<'a>(fields: &mut Fields<'a>) -> Result<Open<'a>, Fault> {
    Ok(Open {
        container_id: fields.text()?.unwrap_or_default(),
        hostname: fields.text()?,
        max_frame_size: fields.uint()?,
        channel_max: fields.ushort()?,
        idle_time_out_ms: fields.uint()?,
    })
}

fn begin(fields: &mut Fields<'_>) -> Result<Begin, Fault> {
    Ok(Begin {
        remote_channel: fields.ushort()?,
        next_outgoing_id: fields.uint()?.ok_or(Fault::Missing("next-outgoing-id"))?,
        incoming_window: fields.uint()?.ok_or(Fault::Missing("incoming-window"))?,
        outgoing_window: fields.uint()?.unwrap_or_default(),
        handle_max: fields.uint()?,
    })
}

fn attach<'a>(fields: &mut Fields<'a>) -> Result<Attach<'a>, Fault> {
    let name = fields.text()?.ok_or(Fault::Missing("name"))?;
    let handle = fields.uint()?.ok_or(Fault::Missing("handle"))?;
    let role = Role::from(fields.bool()?.ok_or(Fault::Missing("role"))?);
    let snd_settle_mode = fields.ubyte()?;
    let rcv_settle_mode = fields.ubyte()?;
    let source = terminus(fields.value()?)?;
    let target = terminus(fields.value()?)?;
    // Unsettled deliveries of an earlier link of this name: links here begin anew.
    fields.skip(2)?;
    Ok(Attach {
        name,
        handle,
        role,
        snd_settle_mode,
        rcv_settle_mode,
        source,
        target,
        initial_delivery_count: fields.uint()?,
        max_message_size: fields.ulong()?,
    })
}

fn terminus(value: Value<'_>) -> Result<Option<Terminus<'_>>, Fault> {
    let described = match value {
        Value::Null => return Ok(None),
        Value::Described(described) => described,
        _ => return Err(Fault::Expected("a source or target")),
    };
    let (what, mut value) = described.parts();
    let is = |code: u64, name: &str| {
        matches!(what, Ok(Value::Unsigned(found, _)) if found == code)
            || matches!(what, Ok(Value::Symbol(found)) if found == name)
    };
    let list = value.rest();
    if is(code::COORDINATOR, "amqp:coordinator:list") {
        return Ok(Some(Terminus {
            address: None,
            is_dynamic: false,
            is_copy: false,
            is_coordinator: true,
            list,
        }));
    }
    let is_source = is(code::SOURCE, "amqp:source:list");
    if !is_source && !is(code::TARGET, "amqp:target:list") {
        return Err(Fault::Descriptor);
    }
    let mut fields = value.fields()?;
    let address = match fields.value()? {
        Value::String(text) | Value::Symbol(text) => Some(text),
        // An address of another type is nobody's here.
        _ => None,
    };
    fields.skip(3)?;
    let is_dynamic = fields.bool()?.unwrap_or(false);
    fields.skip(1)?;
    let is_copy = is_source && fields.text()? == Some("copy");
    Ok(Some(Terminus {
        address,
        is_dynamic,
        is_copy,
        is_coordinator: false,
        list,
    }))
}

fn flow(fields: &mut Fields<'_>) -> Result<Flow, Fault> {
    Ok(Flow {
        next_incoming_id: fields.uint()?,
        incoming_window: fields.uint()?.ok_or(Fault::Missing("incoming-window"))?,
        next_outgoing_id: fields.uint()?.ok_or(Fault::Missing("next-outgoing-id"))?,
        outgoing_window: fields.uint()?.unwrap_or_default(),
        handle: fields.uint()?,
        delivery_count: fields.uint()?,
        link_credit: fields.uint()?,
        available: fields.uint()?,
        drain: fields.bool()?.unwrap_or(false),
        echo: fields.bool()?.unwrap_or(false),
    })
}

fn transfer<'a>(fields: &mut Fields<'a>) -> Result<Transfer<'a>, Fault> {
    let handle = fields.uint()?.ok_or(Fault::Missing("handle"))?;
    let delivery_id = fields.uint()?;
    let delivery_tag = fields.binary()?;
    let message_format = fields.uint()?;
    let settled = fields.bool()?;
    let more = fields.bool()?.unwrap_or(false);
    // Settle mode of this delivery, state of a resumed one, and resume: each delivery here begins anew.
    fields.skip(3)?;
    Ok(Transfer {
        handle,
        delivery_id,
        delivery_tag,
        message_format,
        settled,
        more,
        aborted: fields.bool()?.unwrap_or(false),
    })
}

fn disposition(fields: &mut Fields<'_>) -> Result<Disposition, Fault> {
    Ok(Disposition {
        role: Role::from(fields.bool()?.ok_or(Fault::Missing("role"))?),
        first: fields.uint()?.ok_or(Fault::Missing("first"))?,
        last: fields.uint()?,
        settled: fields.bool()?.unwrap_or(false),
        state: State::read(fields.value()?)?,
    })
}
