//! Messages that the hub itself sends: errors to a sender's error queue, and receipts.

use amqp::port::{Header, Message, MessageId, Properties};
use edi::errorqueue::{self, TransportError, property};
use uuid::Uuid;

use crate::rules::envelope::{APPREC, SIGNED_AND_ENVELOPED, Seen, property as names};

/// `yyyy-MM-ddTHH:mm:ssZ`.
fn timestamp(at_us: i64) -> String {
    moment(at_us).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn moment(at_us: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at_us).unwrap_or_default()
}

/// The error message for a message that `hub` (or its receiver) could not take (spec/messaging.md §4.5): new message-id, same subject,
/// addresses swapped, empty body, and the content type that keeps clients from answering it with an error.
pub(crate) fn error_message(
    original: &Seen,
    error: &TransportError,
    hub: u32,
    sender: u32,
    received_at_us: i64,
    now_us: i64,
) -> Message {
    let mut message = Message {
        header: Header {
            durable: true,
            ..Header::default()
        },
        properties: Properties {
            message_id: Some(MessageId::String(Uuid::new_v4().to_string())),
            to: Some(format!("{sender}_error")),
            subject: Some(
                original
                    .subject
                    .clone()
                    .unwrap_or_else(|| APPREC.to_owned()),
            ),
            content_type: Some(errorqueue::CONTENT_TYPE.to_owned()),
            ..Properties::default()
        },
        ..Message::default()
    };
    message.set_property(names::FROM, original.to.unwrap_or(hub).to_string());
    message.set_property(names::TO, original.from.unwrap_or(sender).to_string());
    message.set_property(names::TIMESTAMP, timestamp(now_us));
    message.set_property(
        property::ORIGINAL_MESSAGE_ID,
        original.message_id.clone().unwrap_or_default(),
    );
    message.set_property(
        property::RECEIVER_TIME_STAMP,
        errorqueue::receiver_time(moment(received_at_us)),
    );
    message.set_property(property::ERROR_CONDITION, error.condition.as_str());
    message.set_property(property::ERROR_DESCRIPTION, error.description.clone());
    if let Some(data) = error.data_text() {
        message.set_property(property::ERROR_CONDITION_DATA, data);
    }
    message
}

/// What a receipt's envelope says.
pub(crate) struct ReceiptEnvelope<'a> {
    /// Answering party, level 2.
    pub from: u32,
    /// Its organisation.
    pub from_organisation: u32,
    /// Sender of the original, level 2.
    pub to: u32,
    /// Its organisation.
    pub to_organisation: u32,
    /// Id of the receipt.
    pub msg_id: &'a str,
    /// MsgId of the original.
    pub original_msg_id: &'a str,
    /// Type of the original (8279).
    pub original_type: &'a str,
}

/// The receipt as message; its body is already signed and encrypted.
pub(crate) fn receipt_message(
    envelope: &ReceiptEnvelope<'_>,
    sealed: Vec<u8>,
    now_us: i64,
) -> Message {
    let id = Uuid::new_v4().to_string();
    let mut message = Message {
        header: Header {
            durable: true,
            ..Header::default()
        },
        properties: Properties {
            message_id: Some(MessageId::String(id.clone())),
            to: Some(format!("{}_async", envelope.to_organisation)),
            subject: Some(APPREC.to_owned()),
            reply_to: Some(format!("{}_async", envelope.from_organisation)),
            correlation_id: Some(MessageId::String(id)),
            content_type: Some(SIGNED_AND_ENVELOPED.to_owned()),
            ..Properties::default()
        },
        body: sealed.into(),
        ..Message::default()
    };
    message.set_property(names::FROM, envelope.from.to_string());
    message.set_property(names::TO, envelope.to.to_string());
    message.set_property(names::TIMESTAMP, timestamp(now_us));
    message.set_property(names::INFO_TYPE, APPREC);
    message.set_property(names::INFO_MSG_ID, envelope.msg_id);
    message.set_property(names::INFO_ORIGINAL_MSG_ID, envelope.original_msg_id);
    message.set_property(names::INFO_ORIGINAL_MSG_TYPE, envelope.original_type);
    message
}
