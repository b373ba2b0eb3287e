//! Reading an envelope: as far as possible, noting what is wrong by the rule numbers of HITS 1172.

use xmlsec::c14n::{self, Method, Selection};
use xmlsec::dsig;
use xmlsec::xml::{Document, NodeId};

use super::{
    AckReference, AckRequested, Acknowledgment, Envelope, ErrorEntry, ErrorList, Fault, Kind,
    ManifestReference, MessageHeader, NotEbxml, Party, PartyId, Severity, service,
};
use crate::finding::{Code, Finding, Level, shown};
use crate::names::{self, EB, SOAP, XLINK};

/// Most errors of a list, references of a manifest and ids of a party that are read.
const MAX_ENTRIES: usize = 64;
/// Longest value of a field that is read.
const MAX_VALUE: usize = 1_000;

const HEADER: &str = "/SOAP:Envelope/SOAP:Header";
const MESSAGE_HEADER: &str = "/SOAP:Envelope/SOAP:Header/eb:MessageHeader";
const BODY: &str = "/SOAP:Envelope/SOAP:Body";

/// The envelope in a document, and everything found.
///
/// # Errors
/// [`NotEbxml`]: nothing can be said about it as ebXML.
pub fn read(document: &Document) -> Result<(Envelope, Vec<Finding>), NotEbxml> {
    let root = document.root();
    if !document.is(root, SOAP, "Envelope") {
        return Err(NotEbxml::NotSoap);
    }
    let header = document.only(root, SOAP, "Header");
    let body = document.only(root, SOAP, "Body").ok_or(NotEbxml::NotSoap)?;
    if let Some(fault) = document.only(body, SOAP, "Fault") {
        return Err(NotEbxml::Fault(read_fault(document, fault)));
    }
    let header = header.ok_or(NotEbxml::NotSoap)?;
    let message_header = document
        .only(header, EB, "MessageHeader")
        .ok_or(NotEbxml::NoMessageHeader)?;
    let mut reader = Reader {
        document,
        findings: Vec::new(),
    };
    let read = reader.message_header(message_header);
    let kind = reader.kind(header, body, &read);
    reader.unknown_blocks(header, body);
    let envelope = Envelope { header: read, kind };
    Ok((envelope, reader.findings))
}

fn read_fault(document: &Document, fault: NodeId) -> Fault {
    let value = |local| {
        let node = document.only(fault, "", local)?;
        Some(shown(document.text(node).trim()))
    };
    let code = value("faultcode").unwrap_or_default();
    Fault {
        code: code.rsplit(':').next().unwrap_or_default().to_owned(),
        text: value("faultstring").unwrap_or_default(),
    }
}

struct Reader<'a> {
    document: &'a Document,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn note(
        &mut self,
        rule: u16,
        level: Level,
        code: Code,
        place: &str,
        node: NodeId,
        text: impl Into<String>,
    ) {
        let line = self.document.line(node);
        self.findings
            .push(Finding::new(rule, level, code, place, text).at(line));
    }

    fn error(&mut self, rule: u16, place: &str, node: NodeId, text: impl Into<String>) {
        self.note(rule, Level::Error, Code::Inconsistent, place, node, text);
    }

    fn attribute(&self, node: NodeId, namespace: &str, local: &str) -> Option<&str> {
        self.document.attribute(node, namespace, local)
    }

    /// Trimmed text of the only child of this name; nothing when there is none, it is empty, or there are several.
    fn field(&mut self, node: NodeId, local: &str, place: &str) -> Option<String> {
        let document = self.document;
        let mut found = document.named(node, EB, local);
        let first = found.next()?;
        if found.next().is_some() {
            self.error(0, place, first, format!("eb:{local} stands here twice"));
            return None;
        }
        let text = document.text(first);
        let value = text.trim();
        if value.len() > MAX_VALUE {
            self.error(0, place, first, format!("eb:{local} is too long"));
            return None;
        }
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn need(&mut self, node: NodeId, local: &str, rule: u16, level: Level) -> String {
        let place = format!("{MESSAGE_HEADER}/eb:{local}");
        self.field(node, local, &place).unwrap_or_else(|| {
            self.note(
                rule,
                level,
                Code::Inconsistent,
                &place,
                node,
                format!("eb:{local} is missing or empty"),
            );
            String::new()
        })
    }

    fn message_header(&mut self, node: NodeId) -> MessageHeader {
        self.version(node, MESSAGE_HEADER, 8, 70);
        self.must_understand(node, MESSAGE_HEADER, 7, 69);
        let from = self.party(node, "From", 10, 58, 25);
        let to = self.party(node, "To", 9, 59, 55);
        let cpa_id = self.need(node, "CPAId", 11, Level::Error);
        if !cpa_id.is_empty() && !is_cpa_id(&cpa_id) {
            self.note(
                12,
                Level::Warning,
                Code::ValueNotRecognized,
                &format!("{MESSAGE_HEADER}/eb:CPAId"),
                node,
                "eb:CPAId is neither two HER-ids nor the id of an agreement",
            );
        }
        let conversation_id = self.need(node, "ConversationId", 0, Level::Error);
        let service = self.need(node, "Service", 47, Level::Error);
        let action = self.need(node, "Action", 48, Level::Error);
        let document = self.document;
        let service_type = document
            .only(node, EB, "Service")
            .and_then(|service| self.attribute(service, EB, "type"))
            .map(shown)
            .unwrap_or_default();
        if service.ends_with("-S") && !service.starts_with("S-") {
            self.note(
                0,
                Level::Info,
                Code::ValueNotRecognized,
                &format!("{MESSAGE_HEADER}/eb:Service"),
                node,
                "the service is written the old way; it begins with S-",
            );
        }
        let mut read = MessageHeader {
            from,
            to,
            cpa_id,
            conversation_id,
            service_type,
            service,
            action,
            duplicate_elimination: document.named(node, EB, "DuplicateElimination").count() > 0,
            description: self.description(node),
            ..MessageHeader::default()
        };
        self.message_data(node, &mut read);
        read
    }

    fn message_data(&mut self, node: NodeId, read: &mut MessageHeader) {
        let document = self.document;
        let place = format!("{MESSAGE_HEADER}/eb:MessageData");
        let Some(data) = document.only(node, EB, "MessageData") else {
            self.note(
                76,
                Level::Fault,
                Code::Inconsistent,
                &place,
                node,
                "eb:MessageData is missing",
            );
            return;
        };
        match self.field(data, "MessageId", &place) {
            Some(id) => {
                if !is_message_id(&id) {
                    self.error(
                        102,
                        &place,
                        data,
                        "eb:MessageId is neither a UUID nor an id of the form of RFC 2822",
                    );
                }
                read.message_id = id;
            }
            None => self.note(
                76,
                Level::Fault,
                Code::Inconsistent,
                &place,
                data,
                "eb:MessageId is missing or empty",
            ),
        }
        match self.field(data, "Timestamp", &place) {
            Some(stamp) => {
                if moment_us(&stamp).is_none() {
                    self.error(77, &place, data, "eb:Timestamp is no xsd:dateTime");
                }
                read.timestamp = stamp;
            }
            None => self.error(77, &place, data, "eb:Timestamp is missing or empty"),
        }
        read.ref_to_message_id = self.field(data, "RefToMessageId", &place);
        read.time_to_live = self.field(data, "TimeToLive", &place);
        if read
            .time_to_live
            .as_deref()
            .is_some_and(|stamp| moment_us(stamp).is_none())
        {
            self.error(0, &place, data, "eb:TimeToLive is no xsd:dateTime");
        }
    }

    fn description(&mut self, node: NodeId) -> Option<String> {
        let description = self.document.named(node, EB, "Description").next()?;
        let text = self.document.text(description);
        let text = text.trim();
        (!text.is_empty() && text.len() <= 4 * MAX_VALUE).then(|| text.to_owned())
    }

    fn version(&mut self, node: NodeId, place: &str, missing: u16, wrong: u16) {
        match self.attribute(node, EB, "version") {
            None => self.error(missing, place, node, "eb:version is missing"),
            Some("2.0") => {}
            Some(_) => self.note(
                wrong,
                Level::Error,
                Code::NotSupported,
                place,
                node,
                "eb:version is not 2.0",
            ),
        }
    }

    fn must_understand(&mut self, node: NodeId, place: &str, missing: u16, wrong: u16) {
        match self.attribute(node, SOAP, "mustUnderstand") {
            None => self.error(missing, place, node, "SOAP:mustUnderstand is missing"),
            Some("1") => {}
            Some("true") => self.note(
                wrong,
                Level::Info,
                Code::OtherXml,
                place,
                node,
                "SOAP:mustUnderstand is written true instead of 1",
            ),
            Some(_) => self.error(wrong, place, node, "SOAP:mustUnderstand is not 1"),
        }
    }

    fn party(
        &mut self,
        header: NodeId,
        local: &str,
        missing: u16,
        without_id: u16,
        without_her: u16,
    ) -> Party {
        let place = format!("{MESSAGE_HEADER}/eb:{local}");
        let document = self.document;
        let Some(node) = document.only(header, EB, local) else {
            let text = format!("eb:{local} is missing");
            self.note(
                missing,
                Level::Fault,
                Code::Inconsistent,
                &place,
                header,
                text,
            );
            return Party::default();
        };
        let ids: Vec<PartyId> = document
            .named(node, EB, "PartyId")
            .take(MAX_ENTRIES)
            .map(|id| PartyId {
                kind: self
                    .attribute(id, EB, "type")
                    .unwrap_or_default()
                    .chars()
                    .take(60)
                    .collect(),
                value: document.text(id).trim().chars().take(60).collect(),
            })
            .collect();
        let party = Party {
            role: self.field(node, "Role", &place).unwrap_or_default(),
            ids,
        };
        let her_ids = party.ids.iter().filter(|id| id.kind == "HER").count();
        if party.ids.is_empty() || party.ids.iter().any(|id| id.value.is_empty()) {
            let text = "eb:PartyId is missing or empty";
            self.note(
                without_id,
                Level::Fault,
                Code::Inconsistent,
                &place,
                node,
                text,
            );
        } else if party.her_id().is_none() {
            let text = match her_ids {
                0 => "eb:PartyId of type HER is missing",
                1 => "eb:PartyId of type HER is not a number",
                _ => "there is more than one eb:PartyId of type HER",
            };
            self.note(
                without_her,
                Level::Fault,
                Code::ValueNotRecognized,
                &place,
                node,
                text,
            );
        } else if party.ids.len() > 1 {
            self.note(
                60,
                Level::Info,
                Code::Inconsistent,
                &place,
                node,
                "there are further party ids beside the HER-id; only that is read",
            );
        }
        party
    }

    fn kind(&mut self, header: NodeId, body: NodeId, read: &MessageHeader) -> Kind {
        let document = self.document;
        let count = |local| document.named(header, EB, local).count();
        let (acks, errors, asked) = (
            count("Acknowledgment"),
            count("ErrorList"),
            count("AckRequested"),
        );
        if acks > 1 || errors > 1 || asked > 1 {
            self.error(
                0,
                HEADER,
                header,
                "there is more than one Acknowledgment, ErrorList or AckRequested",
            );
        }
        let is_payload_too = asked > 0 || document.named(body, EB, "Manifest").next().is_some();
        if (acks > 0 && errors > 0) || (acks + errors > 0 && is_payload_too) {
            self.error(
                115,
                HEADER,
                header,
                "Acknowledgment, ErrorList and payload exclude each other",
            );
        }
        if let Some(node) = document.named(header, EB, "ErrorList").next() {
            return Kind::Error(self.error_list(node, read));
        }
        if let Some(node) = document.named(header, EB, "Acknowledgment").next() {
            return Kind::Acknowledgment(self.acknowledgment(node, read));
        }
        if read.service == names::SIGNAL_SERVICE {
            if let Some(service) = service::read(document, body, &read.action) {
                return Kind::Service(service);
            }
            self.note(
                0,
                Level::Error,
                Code::NotSupported,
                MESSAGE_HEADER,
                header,
                "the service of signals without a signal",
            );
        }
        Kind::Payload {
            ack_requested: self.ack_requested(header),
            sync_reply: document.named(header, EB, "SyncReply").next().is_some(),
            manifest: self.manifest(body, read),
        }
    }

    fn ack_requested(&mut self, header: NodeId) -> Option<AckRequested> {
        let place = format!("{HEADER}/eb:AckRequested");
        let Some(node) = self.document.named(header, EB, "AckRequested").next() else {
            self.note(
                75,
                Level::Warning,
                Code::Inconsistent,
                &place,
                header,
                "eb:AckRequested is missing",
            );
            return None;
        };
        self.version(node, &place, 0, 0);
        let signed = match self.attribute(node, EB, "signed") {
            Some("true") => true,
            Some("1") => {
                self.note(
                    94,
                    Level::Info,
                    Code::OtherXml,
                    &place,
                    node,
                    "eb:signed is written 1 instead of true",
                );
                true
            }
            _ => {
                self.note(
                    94,
                    Level::Warning,
                    Code::Inconsistent,
                    &place,
                    node,
                    "eb:signed is not true; acknowledgments are signed all the same",
                );
                false
            }
        };
        let actor = self.attribute(node, SOAP, "actor").map(str::to_owned);
        Some(AckRequested { signed, actor })
    }

    fn manifest(&mut self, body: NodeId, read: &MessageHeader) -> Vec<ManifestReference> {
        let place = format!("{BODY}/eb:Manifest");
        if !read.duplicate_elimination {
            self.note(
                74,
                Level::Warning,
                Code::Inconsistent,
                &format!("{MESSAGE_HEADER}/eb:DuplicateElimination"),
                body,
                "eb:DuplicateElimination is missing; duplicates are dropped all the same",
            );
        }
        let document = self.document;
        let Some(node) = document.only(body, EB, "Manifest") else {
            self.error(6, &place, body, "there is no single eb:Manifest");
            return Vec::new();
        };
        self.version(node, &place, 5, 5);
        let references: Vec<ManifestReference> = document
            .named(node, EB, "Reference")
            .take(MAX_ENTRIES)
            .map(|reference| ManifestReference {
                href: self
                    .attribute(reference, XLINK, "href")
                    .unwrap_or_default()
                    .to_owned(),
                schema: document.only(reference, EB, "Schema").map(|schema| {
                    let of = |name| {
                        self.attribute(schema, EB, name)
                            .unwrap_or_default()
                            .to_owned()
                    };
                    (of("location"), of("version"))
                }),
            })
            .collect();
        if references.is_empty() {
            self.error(6, &place, node, "eb:Reference is missing");
        }
        for reference in &references {
            if !reference.href.starts_with("cid:") {
                self.note(
                    27,
                    Level::Error,
                    Code::MimeProblem,
                    &place,
                    node,
                    "xlink:href is empty, or does not begin with cid:",
                );
            }
            if let Some((location, version)) = &reference.schema
                && (location.is_empty() || version.is_empty())
            {
                self.note(
                    265,
                    Level::Info,
                    Code::Inconsistent,
                    &place,
                    node,
                    "eb:Schema lacks location or version",
                );
            }
        }
        references
    }

    fn acknowledgment(&mut self, node: NodeId, read: &MessageHeader) -> Acknowledgment {
        let place = format!("{HEADER}/eb:Acknowledgment");
        self.version(node, &place, 0, 0);
        if read.service != names::SIGNAL_SERVICE {
            self.error(
                106,
                MESSAGE_HEADER,
                node,
                "the service is not that of signals",
            );
        }
        if read.action != names::ACKNOWLEDGMENT {
            self.error(
                107,
                MESSAGE_HEADER,
                node,
                "the action is not Acknowledgment",
            );
        }
        let document = self.document;
        let ref_to_message_id = self
            .field(node, "RefToMessageId", &place)
            .unwrap_or_else(|| {
                let text = "eb:RefToMessageId is missing or empty";
                self.note(108, Level::Error, Code::Inconsistent, &place, node, text);
                String::new()
            });
        if read.ref_to_message_id.is_some() {
            self.note(
                109,
                Level::Info,
                Code::Inconsistent,
                MESSAGE_HEADER,
                node,
                "eb:RefToMessageId stands in eb:MessageData too",
            );
        }
        let timestamp = self.field(node, "Timestamp", &place).unwrap_or_default();
        let references: Vec<AckReference> = document
            .named(node, dsig::NAMESPACE, "Reference")
            .take(MAX_ENTRIES)
            .filter_map(|reference| ack_reference(document, reference))
            .collect();
        if !references.iter().any(|reference| reference.uri.is_empty()) {
            self.note(
                116,
                Level::Warning,
                Code::Inconsistent,
                &place,
                node,
                "there is no ds:Reference to the envelope",
            );
        }
        let from = document
            .only(node, EB, "From")
            .map(|from| {
                document
                    .named(from, EB, "PartyId")
                    .take(MAX_ENTRIES)
                    .map(|id| PartyId {
                        kind: shown(self.attribute(id, EB, "type").unwrap_or_default()),
                        value: shown(document.text(id).trim()),
                    })
                    .collect()
            })
            .unwrap_or_default();
        Acknowledgment {
            timestamp,
            ref_to_message_id,
            from,
            references,
        }
    }

    fn error_list(&mut self, node: NodeId, read: &MessageHeader) -> ErrorList {
        let place = format!("{HEADER}/eb:ErrorList");
        self.version(node, &place, 0, 0);
        if read.service != names::SIGNAL_SERVICE {
            self.error(
                120,
                MESSAGE_HEADER,
                node,
                "the service is not that of signals",
            );
        }
        if read.action != names::MESSAGE_ERROR {
            self.error(121, MESSAGE_HEADER, node, "the action is not MessageError");
        }
        if read.ref_to_message_id.is_none() {
            self.error(122, MESSAGE_HEADER, node, "eb:RefToMessageId is missing");
        }
        let document = self.document;
        let severity = |text: Option<&str>| match text {
            Some("Warning") => Severity::Warning,
            _ => Severity::Error,
        };
        let errors: Vec<ErrorEntry> = document
            .named(node, EB, "Error")
            .take(MAX_ENTRIES)
            .map(|error| ErrorEntry {
                code: self
                    .attribute(error, EB, "errorCode")
                    .and_then(Code::parse)
                    .unwrap_or(Code::Unknown),
                severity: severity(self.attribute(error, EB, "severity")),
                location: self.attribute(error, EB, "location").map(shown),
                description: document
                    .named(error, EB, "Description")
                    .next()
                    .map(|text| shown(document.text(text).trim())),
            })
            .collect();
        let stated = severity(self.attribute(node, EB, "highestSeverity"));
        let highest = errors
            .iter()
            .map(|error| error.severity)
            .fold(stated, Severity::max);
        ErrorList { highest, errors }
    }

    /// Unknown blocks that must be understood, and anything but the manifest in the body (rules 100, 101).
    fn unknown_blocks(&mut self, header: NodeId, body: NodeId) {
        let document = self.document;
        let known = [
            "MessageHeader",
            "AckRequested",
            "Acknowledgment",
            "ErrorList",
            "SyncReply",
            "MessageOrder",
        ];
        for node in document.elements(header) {
            let is_known = document.is(node, dsig::NAMESPACE, "Signature")
                || known.iter().any(|local| document.is(node, EB, local));
            let must = matches!(
                self.attribute(node, SOAP, "mustUnderstand"),
                Some("1" | "true")
            );
            if !is_known && must {
                self.note(
                    100,
                    Level::Error,
                    Code::NotSupported,
                    HEADER,
                    node,
                    "a header block that must be understood is not known here",
                );
            }
        }
        for node in document.elements(body) {
            let is_known = ["Manifest", "StatusRequest", "StatusResponse"]
                .iter()
                .any(|local| document.is(node, EB, local));
            if !is_known {
                self.note(
                    101,
                    Level::Error,
                    Code::NotSupported,
                    BODY,
                    node,
                    "the body holds something else than a manifest",
                );
            }
        }
    }
}

/// The reference with all namespaces in scope, so that it means the same wherever it is put.
fn ack_reference(document: &Document, node: NodeId) -> Option<AckReference> {
    let octets = c14n::canonicalize(document, &Selection::all_of(node), &Method::INCLUSIVE).ok()?;
    let digest = document.only(node, dsig::NAMESPACE, "DigestValue")?;
    Some(AckReference {
        uri: document.attribute(node, "", "URI")?.to_owned(),
        digest: document.text(digest).split_ascii_whitespace().collect(),
        xml: String::from_utf8(octets).ok()?,
    })
}

/// The references of a signature, to be copied into an acknowledgment.
pub(crate) fn references_of(document: &Document, signature: NodeId) -> Vec<AckReference> {
    document
        .only(signature, dsig::NAMESPACE, "SignedInfo")
        .map(|info| {
            document
                .named(info, dsig::NAMESPACE, "Reference")
                .take(MAX_ENTRIES)
                .filter_map(|reference| ack_reference(document, reference))
                .collect()
        })
        .unwrap_or_default()
}

/// `HERlow_HERhigh[_n]`, a UUID, or an agreement of NAV.
fn is_cpa_id(id: &str) -> bool {
    let numbers: Vec<&str> = id.split('_').collect();
    let are_numbers = (2..=3).contains(&numbers.len())
        && numbers
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    are_numbers || uuid::Uuid::try_parse(id).is_ok() || id.starts_with("nav:")
}

fn is_message_id(id: &str) -> bool {
    let is_rfc = id
        .split_once('@')
        .is_some_and(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains('@'));
    let is_plain = id
        .bytes()
        .all(|b| (33..=126).contains(&b) && !b"<>\"".contains(&b));
    id.len() <= 250 && is_plain && (is_rfc || uuid::Uuid::try_parse(id).is_ok())
}

/// A `dateTime` in microseconds since 1970; without zone it counts as UTC (HITS 1171).
#[must_use]
pub fn moment_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let parsed: Option<jiff::Timestamp> = text.parse().ok();
    let timestamp = parsed.or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        if !text.contains('T') {
            return None;
        }
        Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(timestamp.as_microsecond())
}
