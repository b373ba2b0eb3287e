//! Our values ↔ the library's.

use bytes::Bytes;
use fe2o3_amqp::link::receiver::TerminalDeliveryState;
use fe2o3_amqp_types::definitions::{Error as WireError, ErrorCondition};
use fe2o3_amqp_types::messaging as wire;
use fe2o3_amqp_types::primitives::{
    Binary, OrderedMap, SimpleValue, Symbol, Timestamp, Uuid, Value,
};

use crate::port::{Header, Message, MessageId, Properties, Settlement, Simple};

/// What the library decodes an incoming message into.
pub(crate) type WireBody = wire::Body<Value>;

/// An error with a condition given as text.
pub(crate) fn wire_error(condition: &str, description: &str) -> WireError {
    WireError::new(
        ErrorCondition::Custom(Symbol::from(condition)),
        Some(description.to_owned()),
        None,
    )
}

/// The condition of an error as text.
pub(crate) fn condition_text(condition: &ErrorCondition) -> String {
    match condition {
        ErrorCondition::AmqpError(error) => symbol_text(error),
        ErrorCondition::ConnectionError(error) => symbol_text(error),
        ErrorCondition::SessionError(error) => symbol_text(error),
        ErrorCondition::LinkError(error) => symbol_text(error),
        ErrorCondition::Custom(symbol) => symbol.0.clone(),
        #[allow(unreachable_patterns)]
        _ => "amqp:internal-error".to_owned(),
    }
}

fn symbol_text<'a, E>(error: &'a E) -> String
where
    Symbol: From<&'a E>,
{
    Symbol::from(error).0
}

/// Takes over an incoming message; `Err` says why its body cannot be one.
pub(crate) fn from_wire(message: wire::Message<WireBody>) -> Result<Message, &'static str> {
    let body = match message.body {
        wire::Body::Empty => Bytes::new(),
        wire::Body::Data(sections) => join(sections),
        // Many clients put bytes or text into a value section unless told otherwise; nothing is lost by reading them.
        wire::Body::Value(wire::AmqpValue(Value::Binary(bytes))) => Bytes::from(bytes.into_vec()),
        wire::Body::Value(wire::AmqpValue(Value::String(text))) => Bytes::from(text.into_bytes()),
        wire::Body::Value(_) => {
            return Err(
                "the body is an amqp-value section that holds neither bytes nor text; send exactly one data section with the raw bytes",
            );
        }
        wire::Body::Sequence(_) => {
            return Err(
                "the body is an amqp-sequence section; send exactly one data section with the raw bytes",
            );
        }
    };
    let header = message.header.unwrap_or_default();
    Ok(Message {
        header: Header {
            durable: header.durable,
            priority: Some(header.priority.0),
            ttl_ms: header.ttl,
            first_acquirer: header.first_acquirer,
            delivery_count: header.delivery_count,
        },
        properties: message
            .properties
            .map(properties_from_wire)
            .unwrap_or_default(),
        application_properties: message
            .application_properties
            .map(|properties| {
                properties
                    .0
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, simple_from_wire(value)?)))
                    .collect()
            })
            .unwrap_or_default(),
        message_annotations: Vec::new(),
        body,
    })
}

fn join(sections: wire::Batch<wire::Data>) -> Bytes {
    let mut sections = sections.into_iter();
    let Some(first) = sections.next() else {
        return Bytes::new();
    };
    let mut bytes = first.0.into_vec();
    for more in sections {
        bytes.extend_from_slice(&more.0);
    }
    Bytes::from(bytes)
}

fn properties_from_wire(from: wire::Properties) -> Properties {
    Properties {
        message_id: from.message_id.map(id_from_wire),
        user_id: from.user_id.map(Binary::into_vec),
        to: from.to,
        subject: from.subject,
        reply_to: from.reply_to,
        correlation_id: from.correlation_id.map(id_from_wire),
        content_type: from.content_type.map(|symbol| symbol.0),
        content_encoding: from.content_encoding.map(|symbol| symbol.0),
        absolute_expiry_ms: from.absolute_expiry_time.map(|at| at.milliseconds()),
        creation_ms: from.creation_time.map(|at| at.milliseconds()),
        group_id: from.group_id,
        group_sequence: from.group_sequence,
        reply_to_group_id: from.reply_to_group_id,
    }
}

fn id_from_wire(id: wire::MessageId) -> MessageId {
    match id {
        wire::MessageId::Ulong(number) => MessageId::Ulong(number),
        wire::MessageId::Uuid(uuid) => MessageId::Uuid(uuid.into_inner()),
        wire::MessageId::Binary(bytes) => MessageId::Binary(bytes.into_vec()),
        wire::MessageId::String(text) => MessageId::String(text),
    }
}

fn simple_from_wire(value: SimpleValue) -> Option<Simple> {
    Some(match value {
        SimpleValue::Null => Simple::Null,
        SimpleValue::Bool(value) => Simple::Bool(value),
        SimpleValue::Ubyte(value) => Simple::Unsigned(value.into(), 8),
        SimpleValue::Ushort(value) => Simple::Unsigned(value.into(), 16),
        SimpleValue::Uint(value) => Simple::Unsigned(value.into(), 32),
        SimpleValue::Ulong(value) => Simple::Unsigned(value, 64),
        SimpleValue::Byte(value) => Simple::Signed(value.into(), 8),
        SimpleValue::Short(value) => Simple::Signed(value.into(), 16),
        SimpleValue::Int(value) => Simple::Signed(value.into(), 32),
        SimpleValue::Long(value) => Simple::Signed(value, 64),
        SimpleValue::Float(value) => Simple::Float(value.0),
        SimpleValue::Double(value) => Simple::Double(value.0),
        SimpleValue::Char(value) => Simple::Char(value),
        SimpleValue::Timestamp(value) => Simple::TimestampMs(value.milliseconds()),
        SimpleValue::Uuid(value) => Simple::Uuid(value.into_inner()),
        SimpleValue::Binary(value) => Simple::Binary(value.into_vec()),
        SimpleValue::String(value) => Simple::String(value),
        SimpleValue::Symbol(value) => Simple::Symbol(value.0),
        SimpleValue::Decimal32(_)
        | SimpleValue::Decimal64(_)
        | SimpleValue::Decimal128(_)
        | SimpleValue::Described(_) => return None,
    })
}

/// Makes the library's message. The header section is left out when it says nothing.
pub(crate) fn to_wire(message: Message) -> wire::Message<wire::Data> {
    let header = (message.header != Header::default()).then(|| wire::Header {
        durable: message.header.durable,
        priority: message
            .header
            .priority
            .map(wire::Priority)
            .unwrap_or_default(),
        ttl: message.header.ttl_ms,
        first_acquirer: message.header.first_acquirer,
        delivery_count: message.header.delivery_count,
    });
    let properties = (message.properties != Properties::default())
        .then(|| properties_to_wire(message.properties));
    let application = (!message.application_properties.is_empty()).then(|| {
        let mut map = OrderedMap::new();
        for (key, value) in message.application_properties {
            map.insert(key, simple_to_wire(value));
        }
        wire::ApplicationProperties(map)
    });
    wire::Message {
        header,
        delivery_annotations: None,
        message_annotations: None,
        properties,
        application_properties: application,
        body: wire::Data(Binary::from(message.body.to_vec())),
        footer: None,
    }
}

fn properties_to_wire(from: Properties) -> wire::Properties {
    wire::Properties {
        message_id: from.message_id.map(id_to_wire),
        user_id: from.user_id.map(Binary::from),
        to: from.to,
        subject: from.subject,
        reply_to: from.reply_to,
        correlation_id: from.correlation_id.map(id_to_wire),
        content_type: from.content_type.map(Symbol::from),
        content_encoding: from.content_encoding.map(Symbol::from),
        absolute_expiry_time: from.absolute_expiry_ms.map(Timestamp::from_milliseconds),
        creation_time: from.creation_ms.map(Timestamp::from_milliseconds),
        group_id: from.group_id,
        group_sequence: from.group_sequence,
        reply_to_group_id: from.reply_to_group_id,
    }
}

fn id_to_wire(id: MessageId) -> wire::MessageId {
    match id {
        MessageId::Ulong(number) => wire::MessageId::Ulong(number),
        MessageId::Uuid(bytes) => wire::MessageId::Uuid(Uuid::from(bytes)),
        MessageId::Binary(bytes) => wire::MessageId::Binary(Binary::from(bytes)),
        MessageId::String(text) => wire::MessageId::String(text),
    }
}

/// Integers keep their width; a number that does not fit it (which only our own code could make) is clamped.
fn simple_to_wire(value: Simple) -> SimpleValue {
    match value {
        Simple::Null => SimpleValue::Null,
        Simple::Bool(value) => SimpleValue::Bool(value),
        Simple::Unsigned(value, 8) => SimpleValue::Ubyte(u8::try_from(value).unwrap_or(u8::MAX)),
        Simple::Unsigned(value, 16) => {
            SimpleValue::Ushort(u16::try_from(value).unwrap_or(u16::MAX))
        }
        Simple::Unsigned(value, 32) => SimpleValue::Uint(u32::try_from(value).unwrap_or(u32::MAX)),
        Simple::Unsigned(value, _) => SimpleValue::Ulong(value),
        Simple::Signed(value, 8) => SimpleValue::Byte(i8::try_from(value).unwrap_or(i8::MAX)),
        Simple::Signed(value, 16) => SimpleValue::Short(i16::try_from(value).unwrap_or(i16::MAX)),
        Simple::Signed(value, 32) => SimpleValue::Int(i32::try_from(value).unwrap_or(i32::MAX)),
        Simple::Signed(value, _) => SimpleValue::Long(value),
        Simple::Float(value) => SimpleValue::Float(value.into()),
        Simple::Double(value) => SimpleValue::Double(value.into()),
        Simple::Char(value) => SimpleValue::Char(value),
        Simple::TimestampMs(value) => SimpleValue::Timestamp(Timestamp::from_milliseconds(value)),
        Simple::Uuid(bytes) => SimpleValue::Uuid(Uuid::from(bytes)),
        Simple::Binary(bytes) => SimpleValue::Binary(Binary::from(bytes)),
        Simple::String(text) => SimpleValue::String(text),
        Simple::Symbol(text) => SimpleValue::Symbol(Symbol::from(text)),
    }
}

/// The outcome with which a receiver settles.
pub(crate) fn settlement_to_wire(settlement: Settlement) -> TerminalDeliveryState {
    match settlement {
        Settlement::Accepted => TerminalDeliveryState::Accepted(wire::Accepted {}),
        Settlement::Released | Settlement::Lost => {
            TerminalDeliveryState::Released(wire::Released {})
        }
        Settlement::Modified {
            delivery_failed,
            undeliverable_here,
        } => TerminalDeliveryState::Modified(wire::Modified {
            delivery_failed: Some(delivery_failed),
            undeliverable_here: Some(undeliverable_here),
            message_annotations: None,
        }),
        Settlement::Rejected {
            condition,
            description,
        } => {
            let error = condition.map(|condition| {
                wire_error(&condition, description.as_deref().unwrap_or_default())
            });
            TerminalDeliveryState::Rejected(wire::Rejected { error })
        }
    }
}

/// What a receiver's outcome means.
pub(crate) fn settlement_from_wire(outcome: wire::Outcome) -> Settlement {
    match outcome {
        wire::Outcome::Accepted(_) => Settlement::Accepted,
        wire::Outcome::Released(_) => Settlement::Released,
        wire::Outcome::Modified(modified) => Settlement::Modified {
            delivery_failed: modified.delivery_failed.unwrap_or(false),
            undeliverable_here: modified.undeliverable_here.unwrap_or(false),
        },
        wire::Outcome::Rejected(rejected) => Settlement::Rejected {
            condition: rejected
                .error
                .as_ref()
                .map(|error| condition_text(&error.condition)),
            description: rejected.error.and_then(|error| error.description),
        },
        #[allow(unreachable_patterns)]
        _ => Settlement::Lost,
    }
}
