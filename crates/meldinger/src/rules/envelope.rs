//! The envelope checks, in the order of spec/story.md §7; the first that fails answers (spec/messaging.md §4.3, §4.5).

use amqp::port::{Message, MessageId};
use codes::oid::LIST_MESSAGE_FUNCTION;
use edi::errorqueue::{ErrorCondition, TransportError};
use registers::directory::{Directory, Party};

use super::queue::{QueueKind, QueueName, parse_her_id};

/// Application properties of the profile.
pub mod property {
    /// HER-id of the sender, level 2.
    pub const FROM: &str = "fromHerId";
    /// HER-id of the receiver, level 2.
    pub const TO: &str = "toHerId";
    /// When the sender's system made it.
    pub const TIMESTAMP: &str = "applicationTimeStamp";
    /// Type of the business document (8279).
    pub const INFO_TYPE: &str = "X-MessageInfo-Type";
    /// MsgId of the business document.
    pub const INFO_MSG_ID: &str = "X-MessageInfo-MsgId";
    /// MsgId that a receipt answers.
    pub const INFO_ORIGINAL_MSG_ID: &str = "X-MessageInfo-OriginalMsgId";
    /// Type of the document that a receipt answers.
    pub const INFO_ORIGINAL_MSG_TYPE: &str = "X-MessageInfo-OriginalMsgType";
    /// Namespace of the business document.
    pub const INFO_NAMESPACE: &str = "X-MessageInfo-SchemaNamespace";
    /// The sender's system.
    pub const SYSTEM: &str = "X-SystemIdentifier";
    /// Agreement.
    pub const CPA: &str = "cpaId";
    /// MsgId of the first message of the thread.
    pub const INFO_CONVERSATION: &str = "X-MessageInfo-RefToConversation";
}

/// Subject of application receipts.
pub const APPREC: &str = "APPREC";
/// Subject of the SOAP form of an error message.
pub const SOAP_FAULT: &str = "AMQP_SOAP_FAULT";
/// Content type of a signed and encrypted payload.
pub const SIGNED_AND_ENVELOPED: &str =
    "application/pkcs7-mime; smime-type=signed-and-enveloped-data";
const ENVELOPED: &str = "application/pkcs7-mime; smime-type=enveloped-data";
const SIGNED: &str = "application/pkcs7-mime; smime-type=signed-data";
/// Clients compare these whole, so a parameter makes them something else.
const CLEAR: [&str; 2] = ["text/plain", "application/soap+xml"];

/// An envelope that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Queue it goes to, of the organisation.
    pub queue: QueueName,
    /// AMQP message-id as text.
    pub message_id: String,
    /// Message function (8279), as the code list writes it.
    pub subject: String,
    /// Content type, as the profile writes it.
    pub content_type: String,
    /// Sender, level 2.
    pub from: u32,
    /// The sender's organisation, level 1.
    pub from_organisation: u32,
    /// Receiver, level 2.
    pub to: u32,
    /// The receiver's organisation, level 1.
    pub to_organisation: u32,
    /// `applicationTimeStamp`, microseconds since 1970.
    pub sent_at_us: i64,
}

/// An envelope that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the sender is told.
    pub error: TransportError,
    /// What could be read of it, for the track and the error message.
    pub seen: Seen,
}

/// What could be read of an envelope, whether or not it makes sense.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// message-id as text.
    pub message_id: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// fromHerId.
    pub from: Option<u32>,
    /// toHerId.
    pub to: Option<u32>,
}

/// The level-1 HER-id above a party.
#[must_use]
pub fn organisation_of(party: &Party) -> u32 {
    party.parent_her_id.unwrap_or(party.her_id)
}

/// Checks a message that a user of `organisation` (level-1 HER-id) sends to `queue` (already that of an organisation).
///
/// # Errors
/// The first check that fails.
pub fn check(
    message: &Message,
    organisation: u32,
    queue: &QueueName,
    directory: &dyn Directory,
) -> Result<Envelope, Box<Refused>> {
    let fields = Fields::read(message);
    let refuse = |condition, description: String, data: Vec<String>| {
        Err(Box::new(Refused {
            error: TransportError {
                condition,
                description,
                data,
            },
            seen: fields.seen(),
        }))
    };

    let missing = fields.missing();
    if !missing.is_empty() {
        let description = format!("required field missing: {}", missing.join(", "));
        return refuse(ErrorCondition::RequiredFieldMissing, description, missing);
    }
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let malformed = |name: &str, value: &str, what: &str| {
        (
            format!("{name} is not {what}"),
            vec![name.to_owned(), short(value)],
        )
    };

    let to_text = text(&fields.to);
    let Some(to) = parse_her_id(&to_text) else {
        let (description, data) = malformed(property::TO, &to_text, "a HER-id (decimal digits)");
        return refuse(ErrorCondition::InvalidFieldValue, description, data);
    };
    let receiver = directory.party(to);
    let Some(to_organisation) = receiver
        .as_ref()
        .map(organisation_of)
        .filter(|owner| *owner == queue.her_id)
    else {
        let reason = if receiver.is_none() {
            "is not in the address register"
        } else {
            "does not belong to the queue the message was sent to"
        };
        let description = format!("toHerId {to} {reason} ({queue})");
        return refuse(
            ErrorCondition::InvalidFieldValue,
            description,
            vec![property::TO.to_owned(), to.to_string()],
        );
    };

    let from_text = text(&fields.from);
    let Some(from) = parse_her_id(&from_text) else {
        let (description, data) =
            malformed(property::FROM, &from_text, "a HER-id (decimal digits)");
        return refuse(ErrorCondition::InvalidFieldValue, description, data);
    };
    let Some(sender) = directory.party(from) else {
        let description = format!("fromHerId {from} is not in the address register");
        return refuse(
            ErrorCondition::InvalidFieldValue,
            description,
            vec![property::FROM.to_owned(), from.to_string()],
        );
    };
    let from_organisation = organisation_of(&sender);
    if from_organisation != organisation {
        let description = format!(
            "fromHerId {from} does not belong to the organisation that is logged in ({organisation})"
        );
        return refuse(
            ErrorCondition::SpoofingAttack,
            description,
            vec![from.to_string(), organisation.to_string()],
        );
    }

    let given = text(&fields.subject);
    let Some(subject) = known_function(&given, queue.kind) else {
        let description = "the subject is no message function of code list 8279".to_owned();
        return refuse(
            ErrorCondition::UnsupportedMessage,
            description,
            vec!["Label".to_owned(), short(&given)],
        );
    };
    let given = text(&fields.content_type);
    let Some(content_type) = content_type(&given) else {
        let (description, data) = malformed(
            "ContentType",
            &given,
            "one of the content types of the profile",
        );
        return refuse(ErrorCondition::InvalidFieldValue, description, data);
    };
    if let Some(reply_to) = message
        .properties
        .reply_to
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        let known =
            QueueName::parse(reply_to).is_some_and(|name| directory.party(name.her_id).is_some());
        if !known {
            let description = "the reply-to queue does not exist".to_owned();
            return refuse(
                ErrorCondition::InvalidFieldValue,
                description,
                vec!["ReplyTo".to_owned(), short(reply_to)],
            );
        }
    }
    Ok(Envelope {
        queue: queue.clone(),
        message_id: text(&fields.message_id),
        subject,
        content_type: content_type.to_owned(),
        from,
        from_organisation,
        to,
        to_organisation,
        sent_at_us: fields.sent_at_us.unwrap_or_default(),
    })
}

/// A value as it may stand in an error: short, one line. These fields carry no personal data by the profile, and a wrong one
/// is cut so that nothing long slips through.
fn short(value: &str) -> String {
    value
        .chars()
        .filter(|c| !c.is_control() && *c != ';')
        .take(40)
        .collect()
}

/// The message function as the code list writes it; receivers do not tell capital letters from small ones (§3.2).
fn known_function(subject: &str, kind: QueueKind) -> Option<String> {
    if subject == SOAP_FAULT {
        return (kind == QueueKind::Error).then(|| subject.to_owned());
    }
    let known = |code: &str| codes::lists::lookup(LIST_MESSAGE_FUNCTION, code).is_some();
    [subject.to_owned(), subject.to_ascii_uppercase()]
        .into_iter()
        .find(|code| known(code))
}

/// The content type as the profile writes it. Receivers take everything for CMS that is not clear text, so blanks, quotes and
/// a missing parameter of that type make no difference.
fn content_type(given: &str) -> Option<&'static str> {
    let given = given.to_ascii_lowercase();
    let mut parts = given.split(';').map(str::trim);
    if parts.next() != Some("application/pkcs7-mime") {
        return CLEAR.into_iter().find(|clear| *clear == given);
    }
    let kind = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "smime-type").then(|| value.trim().trim_matches('"'))
    });
    match kind {
        None | Some("signed-and-enveloped-data") => Some(SIGNED_AND_ENVELOPED),
        Some("enveloped-data") => Some(ENVELOPED),
        Some("signed-data") => Some(SIGNED),
        Some(_) => None,
    }
}

/// What the national library would stumble over is put right, on every queue. Numbers and bytes as ids become text: it can
/// read neither, and would never settle the message (§4.3). And its own error messages come without a content type, which it
/// would itself answer with another error message when they are delivered so (§4.5).
pub fn make_readable(message: &mut Message, kind: QueueKind) {
    let properties = &mut message.properties;
    for id in [&mut properties.message_id, &mut properties.correlation_id] {
        if let Some(MessageId::Ulong(_) | MessageId::Binary(_)) = id {
            *id = id.as_ref().map(|id| MessageId::String(id.as_text()));
        }
    }
    if kind == QueueKind::Error && properties.content_type.is_none() {
        properties.content_type = Some(SIGNED_AND_ENVELOPED.to_owned());
    }
}

struct Fields {
    message_id: Option<String>,
    subject: Option<String>,
    content_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    sent_at_us: Option<i64>,
}

impl Fields {
    fn read(message: &Message) -> Self {
        let given = |text: Option<String>| {
            text.map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        Self {
            message_id: given(
                message
                    .properties
                    .message_id
                    .as_ref()
                    .map(MessageId::as_text),
            ),
            subject: given(message.properties.subject.clone()),
            content_type: given(message.properties.content_type.clone()),
            from: given(message.property(property::FROM)),
            to: given(message.property(property::TO)),
            sent_at_us: given(message.property(property::TIMESTAMP))
                .and_then(|text| parse_timestamp(&text)),
        }
    }

    /// Names as the national library writes them; an unreadable time counts as missing.
    fn missing(&self) -> Vec<String> {
        let table = [
            ("messageId", self.message_id.is_none()),
            (property::TO, self.to.is_none()),
            (property::FROM, self.from.is_none()),
            ("Label", self.subject.is_none()),
            (property::TIMESTAMP, self.sent_at_us.is_none()),
            ("ContentType", self.content_type.is_none()),
        ];
        table
            .into_iter()
            .filter(|(_, missing)| *missing)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    fn seen(&self) -> Seen {
        let her = |text: &Option<String>| text.as_deref().and_then(parse_her_id);
        Seen {
            message_id: self.message_id.clone(),
            subject: self.subject.clone(),
            from: her(&self.from),
            to: her(&self.to),
        }
    }
}

/// What can be read of a message without checking it.
#[must_use]
pub fn seen(message: &Message) -> Seen {
    Fields::read(message).seen()
}

/// `yyyy-MM-ddTHH:mm:ss` with `Z` or an offset; without either it is taken as UTC, as the library writes it.
fn parse_timestamp(text: &str) -> Option<i64> {
    let with_zone = text.parse::<jiff::Timestamp>();
    let timestamp = with_zone.or_else(|_| {
        text.parse::<jiff::civil::DateTime>()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
    });
    timestamp.ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests;
