//! Envelope, message header and signals.

use super::{DS, EB, Hits, Place, SOAP, parties, payload, signature};
use crate::message::Header;
use crate::value::Time;
use crate::xml::Elem;
use codes::ident::MsgId;

const SIGNAL_SERVICE: &str = "urn:oasis:names:tc:ebxml-msg:service";
/// Order of the message header's children in the schema.
const ORDER: &[&str] = &[
    "From",
    "To",
    "CPAId",
    "ConversationId",
    "Service",
    "Action",
    "MessageData",
    "DuplicateElimination",
    "Description",
];
/// Blocks of the header that a message server understands.
const KNOWN_BLOCKS: &[&str] = &[
    "MessageHeader",
    "AckRequested",
    "Acknowledgment",
    "ErrorList",
    "MessageOrder",
    "SyncReply",
];
const KNOWN_BODIES: &[&str] = &["Manifest", "StatusRequest", "StatusResponse"];

/// What an envelope carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Payload,
    Acknowledgment,
    Error,
    /// Ping, pong, status: recognised, not judged further.
    Other,
}

/// What was read of an envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    pub kind: Kind,
    pub action: Option<String>,
    pub service: Option<String>,
    pub header: Header,
}

/// A child by namespace and name.
pub(super) fn child<'e>(e: &'e Elem, ns: &str, name: &str) -> Option<&'e Elem> {
    e.elems().find(|c| &*c.ns == ns && &*c.name == name)
}

/// An attribute by namespace and name; one without namespace counts as well.
pub(super) fn attr<'e>(e: &'e Elem, ns: &str, name: &str) -> Option<&'e str> {
    let found = |want: &str| {
        e.attrs
            .iter()
            .find(|a| &*a.ns == want && &*a.name == name)
            .map(|a| a.value.as_str())
    };
    found(ns).or_else(|| found(""))
}

pub(super) fn check(h: &mut Hits<'_>, root: &Elem) -> Envelope {
    let empty = Elem::new(&root.ns, "Header");
    let found = child(root, SOAP, "Header");
    if found.is_none() {
        h.hit(2, Place::Elem(root.at));
    }
    let body = child(root, SOAP, "Body");
    match body {
        None => h.hit(3, Place::Elem(root.at)),
        Some(body) => self::body(h, body),
    }
    let order: Vec<&str> = root.elems().map(|e| &*e.name).collect();
    if found.is_some() && body.is_some() && order != ["Header", "Body"] {
        h.hit(16, Place::Elem(root.at));
    }
    let head = found.unwrap_or(&empty);
    blocks(h, head);
    let Some(message) = child(head, EB, "MessageHeader") else {
        h.hit(4, Place::Elem(head.at));
        return Envelope {
            kind: Kind::Other,
            action: None,
            service: None,
            header: Header::default(),
        };
    };
    let text = |name: &str| {
        child(message, EB, name)
            .map(|e| e.text().trim().to_owned())
            .filter(|t| !t.is_empty())
    };
    let (service, action) = (text("Service"), text("Action"));
    let kind = kind_of(head, service.as_deref(), action.as_deref());
    schema(h, message);
    versions(h, message);
    let data = ids(h, message);
    named(h, message, "Service", 47, 71);
    named(h, message, "Action", 48, 72);
    let (from, to) = parties::check(h, message);
    let header = Header {
        document_type: action.clone().map(|a| crate::value::Coded::cs(&a, &a)),
        msg_id: data.message_id.clone().unwrap_or_default(),
        gen_date: Time {
            text: data.timestamp.clone().unwrap_or_default(),
            ..Time::default()
        },
        sender: parties::endpoint(from),
        receiver: parties::endpoint(to),
        ..Header::default()
    };
    parties::agreement(h, message, from, to, data.timestamp.as_deref());
    signature::check(h, head, kind, from, data.timestamp.as_deref());
    match kind {
        Kind::Acknowledgment => {
            let named = (service.as_deref(), action.as_deref());
            signal(h, &ACKNOWLEDGMENT, head, message, named, data.refers);
            acknowledged(h, head);
        }
        Kind::Error => {
            let named = (service.as_deref(), action.as_deref());
            signal(h, &ERROR, head, message, named, data.refers);
        }
        Kind::Payload => payload::check(h, head, body, message, &service, &action),
        Kind::Other => {}
    }
    Envelope {
        kind,
        action,
        service,
        header,
    }
}

fn kind_of(head: &Elem, service: Option<&str>, action: Option<&str>) -> Kind {
    // The action decides where it is one of the two; else the block that is there.
    match action {
        Some("Acknowledgment") => return Kind::Acknowledgment,
        Some("MessageError") => return Kind::Error,
        _ => {}
    }
    if child(head, EB, "Acknowledgment").is_some() {
        return Kind::Acknowledgment;
    }
    if child(head, EB, "ErrorList").is_some() {
        return Kind::Error;
    }
    match (service, action) {
        (Some(SIGNAL_SERVICE), Some("Ping" | "Pong" | "StatusRequest" | "StatusResponse")) => {
            Kind::Other
        }
        _ => Kind::Payload,
    }
}

fn body(h: &mut Hits<'_>, body: &Elem) {
    let mut count = 0;
    for e in body.elems() {
        count += 1;
        if &*e.ns != EB || !KNOWN_BODIES.contains(&&*e.name) {
            h.hit(101, Place::Elem(e.at));
        }
    }
    if count > 1 {
        h.hit(1002, Place::Elem(body.at));
    }
}

fn blocks(h: &mut Hits<'_>, head: &Elem) {
    let is_known = |e: &Elem| {
        (&*e.ns == EB && KNOWN_BLOCKS.contains(&&*e.name))
            || (&*e.ns == DS && &*e.name == "Signature")
    };
    for e in head.elems() {
        let must = attr(e, SOAP, "mustUnderstand").is_some_and(|v| v == "1" || v == "true");
        if must && !is_known(e) {
            h.hit(100, Place::Elem(e.at));
        }
    }
    for name in [
        "MessageHeader",
        "AckRequested",
        "Acknowledgment",
        "ErrorList",
    ] {
        let mut all = head.elems().filter(|e| &*e.ns == EB && &*e.name == name);
        if let (Some(_), Some(second)) = (all.next(), all.next()) {
            h.hit(1004, Place::Elem(second.at));
        }
    }
    let signal = child(head, EB, "Acknowledgment").or_else(|| child(head, EB, "ErrorList"));
    if let (Some(signal), Some(_)) = (signal, child(head, EB, "AckRequested")) {
        h.hit(1003, Place::Elem(signal.at));
    }
}

/// Order and number of the message header's children, as the schema has them.
fn schema(h: &mut Hits<'_>, message: &Elem) {
    let mut last: Option<usize> = None;
    for e in message.elems().filter(|e| &*e.ns == EB) {
        let Some(place) = ORDER.iter().position(|n| *n == &*e.name) else {
            let (nb, en) = (
                "ukjent element i MessageHeader",
                "unknown element in MessageHeader",
            );
            h.hit_because(17, Place::Elem(e.at), nb, en);
            continue;
        };
        let is_again = last == Some(place) && &*e.name != "Description";
        if is_again || last.is_some_and(|l| place < l) {
            let nb = "elementene i MessageHeader har fast rekkefølge, hvert én gang";
            let en = "the elements of MessageHeader have a fixed order, each once";
            h.hit_because(17, Place::Elem(e.at), nb, en);
            break;
        }
        last = Some(place);
    }
    if child(message, EB, "ConversationId").is_none() {
        h.hit_because(
            17,
            Place::Elem(message.at),
            "ConversationId mangler",
            "ConversationId is missing",
        );
    }
}

fn versions(h: &mut Hits<'_>, message: &Elem) {
    let at = Place::Elem(message.at);
    match attr(message, EB, "version") {
        None => h.hit(8, at),
        Some("2.0") => {}
        Some(_) => h.hit(70, at),
    }
    match attr(message, SOAP, "mustUnderstand") {
        None => h.hit(7, at),
        Some("1" | "true") => {}
        Some(_) => h.hit(69, at),
    }
}

/// What `MessageData` says.
struct Data {
    message_id: Option<String>,
    timestamp: Option<String>,
    refers: bool,
}

fn ids(h: &mut Hits<'_>, message: &Elem) -> Data {
    let data = child(message, EB, "MessageData");
    let text = |name: &str| {
        let e = child(data?, EB, name)?;
        let text = e.text().trim().to_owned();
        (!text.is_empty()).then_some((text, e.at))
    };
    let at = data.map_or(message.at, |d| d.at);
    let message_id = text("MessageId");
    match &message_id {
        None => h.hit(76, Place::Elem(at)),
        Some((id, at)) if !is_message_id(id) => h.hit(102, Place::Elem(*at)),
        Some(_) => {}
    }
    let timestamp = text("Timestamp");
    match &timestamp {
        Some((t, _)) if instant(t).is_some() => {}
        Some((_, at)) => h.hit(77, Place::Elem(*at)),
        None => h.hit(77, Place::Elem(at)),
    }
    Data {
        message_id: message_id.map(|m| m.0),
        timestamp: timestamp.map(|t| t.0),
        refers: text("RefToMessageId").is_some(),
    }
}

/// A UUID, or `left@right` as RFC 2822 §3.6.4, possibly in angle brackets.
fn is_message_id(id: &str) -> bool {
    if MsgId::parse(id).is_ok() {
        return true;
    }
    let inner = id.strip_prefix('<').and_then(|i| i.strip_suffix('>'));
    let inner = inner.unwrap_or(id);
    let is_word = |w: &str| {
        !w.is_empty()
            && w.chars()
                .all(|c| c.is_ascii_graphic() && c != '@' && c != '<')
    };
    inner
        .split_once('@')
        .is_some_and(|(left, right)| is_word(left) && is_word(right))
}

/// `yyyy-MM-ddTHH:mm:ss` with or without fraction and zone, seconds since 1970; without a zone it is UTC.
pub(super) fn instant(text: &str) -> Option<i64> {
    let stamp: Result<jiff::Timestamp, _> = text.parse();
    if let Ok(stamp) = stamp {
        return Some(stamp.as_second());
    }
    let civil: jiff::civil::DateTime = text.contains('T').then(|| text.parse().ok()).flatten()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

fn named(h: &mut Hits<'_>, message: &Elem, name: &str, missing: u16, empty: u16) {
    match child(message, EB, name) {
        None => h.hit(missing, Place::Elem(message.at)),
        Some(e) if e.text().trim().is_empty() => h.hit(empty, Place::Elem(e.at)),
        Some(_) => {}
    }
}

/// What is the same for acknowledgments and error lists, with the number of the rule for each: the service of signals, the action, how
/// the message header refers, and no block of the other kind.
struct Signal {
    service: u16,
    action: (&'static str, u16),
    /// Whether the message header refers to a message, and the rule when it is otherwise.
    refers: (bool, u16),
    other: (&'static str, u16),
}

const ACKNOWLEDGMENT: Signal = Signal {
    service: 106,
    action: ("Acknowledgment", 107),
    refers: (false, 109),
    other: ("ErrorList", 115),
};
const ERROR: Signal = Signal {
    service: 120,
    action: ("MessageError", 121),
    refers: (true, 122),
    other: ("Acknowledgment", 123),
};

fn signal(
    h: &mut Hits<'_>,
    rules: &Signal,
    head: &Elem,
    message: &Elem,
    (service, action): (Option<&str>, Option<&str>),
    refers: bool,
) {
    let at = Place::Elem(message.at);
    if service != Some(SIGNAL_SERVICE) {
        h.hit(rules.service, at);
    }
    if action != Some(rules.action.0) {
        h.hit(rules.action.1, at);
    }
    if refers != rules.refers.0 {
        h.hit(rules.refers.1, at);
    }
    if let Some(other) = child(head, EB, rules.other.0) {
        h.hit(rules.other.1, Place::Elem(other.at));
    }
}

/// What an acknowledgment says it is about.
fn acknowledged(h: &mut Hits<'_>, head: &Elem) {
    let empty = Elem::new(&head.ns, "Acknowledgment");
    let ack = child(head, EB, "Acknowledgment").unwrap_or(&empty);
    let at = if ack.at.line > 0 { ack.at } else { head.at };
    let has_ref = child(ack, EB, "RefToMessageId").is_some_and(|e| !e.text().trim().is_empty());
    if !has_ref {
        h.hit(108, Place::Elem(at));
    }
    let uris: Vec<&str> = ack
        .elems()
        .filter(|e| &*e.ns == DS && &*e.name == "Reference")
        .filter_map(|e| e.attr("URI"))
        .collect();
    if !uris.contains(&"") {
        h.hit(116, Place::Elem(at));
    }
    if !uris.iter().any(|u| u.starts_with("cid:")) {
        h.hit(117, Place::Elem(at));
    }
}
