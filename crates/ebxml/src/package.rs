//! A whole message: the mail or HTTP body with envelope and attachments, as it came and as it goes out.

use std::fmt::Write as _;

use xmlsec::dsig::{SignError, Signer};
use xmlsec::key::Identity;
use xmlsec::xml::{Document, Limits as XmlLimits};

use crate::envelope::{self, Envelope, Kind, NotEbxml};
use crate::finding::{Code, Finding, Level};
use crate::mime::{self, Headers, Limits, MimeError, Part};
use crate::names::ENCRYPTED;
use crate::signature::{self, Attached, Checked, unescaped};

/// Largest SOAP part: an envelope is a few kilobytes.
const MAX_SOAP_BYTES: usize = 1 << 20;

/// Over what a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// SMTP.
    Mail,
    /// HTTP POST.
    Http,
}

/// What the mail itself says; all of it unsigned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailFacts {
    /// Address in `From`.
    pub from: Option<String>,
    /// Address in `To`.
    pub to: Option<String>,
    /// Where a fault goes: `Reply-To`, else `From`, else `Sender`.
    pub reply_to: Option<String>,
    /// Id of the mail, without angle brackets.
    pub message_id: Option<String>,
    /// Id of the mail that this one answers, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Made by a machine about another mail (a bounce): never answered.
    pub is_automatic: bool,
}

impl MailFacts {
    /// From header fields.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let kind = headers.content_type();
        let is_report = kind.is_some_and(|kind| kind.kind == "multipart/report");
        let is_auto = headers
            .get("Auto-Submitted")
            .is_some_and(|value| !value.eq_ignore_ascii_case("no"));
        Self {
            from: headers.address("From"),
            to: headers.address("To"),
            reply_to: ["Reply-To", "From", "Sender"]
                .into_iter()
                .find_map(|name| headers.address(name)),
            message_id: headers.id("Message-ID").map(plain_id),
            in_reply_to: headers.id("In-Reply-To").map(plain_id),
            is_automatic: is_report || is_auto || headers.get("Return-Path") == Some("<>"),
        }
    }
}

fn plain_id(id: &str) -> String {
    id.chars()
        .filter(char::is_ascii_graphic)
        .take(250)
        .collect()
}

/// An attachment as received.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Content id without angle brackets.
    pub content_id: String,
    /// Content type as written.
    pub content_type: String,
    /// Content, decoded.
    pub content: Vec<u8>,
}

/// Content never reaches a log.
impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({} bytes)", self.content.len())
    }
}

/// A message as it came, before its signature is judged.
#[derive(Debug, Clone)]
pub struct Received {
    /// What the mail says.
    pub mail: MailFacts,
    /// The SOAP part.
    pub document: Document,
    /// Its envelope.
    pub envelope: Envelope,
    /// Attachments in the order they came.
    pub attachments: Vec<Attachment>,
    /// What was found wrong.
    pub findings: Vec<Finding>,
}

/// Why a message is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The MIME.
    #[error(transparent)]
    Mime(#[from] MimeError),
    /// The SOAP part.
    #[error(transparent)]
    NotEbxml(#[from] NotEbxml),
}

impl Unreadable {
    /// A fault is never answered with a fault.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::NotEbxml(NotEbxml::Fault(_)))
    }
}

impl Received {
    /// Reads a mail.
    ///
    /// # Errors
    /// [`Unreadable`], with what the mail says of its sender.
    pub fn from_mail(bytes: &[u8], limits: &Limits) -> Result<Self, Box<(MailFacts, Unreadable)>> {
        let too_large = MimeError::TooLarge {
            max_bytes: limits.max_bytes,
        };
        if bytes.len() > limits.max_bytes {
            return Err(Box::new((MailFacts::default(), too_large.into())));
        }
        let (headers, body) = Headers::read(bytes, limits)
            .map_err(|error| Box::new((MailFacts::default(), error.into())))?;
        Self::from_parts(&headers, body, Via::Mail, limits)
            .map_err(|error| Box::new((MailFacts::of(&headers), error)))
    }

    /// Reads header fields and body.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn from_parts(
        headers: &Headers,
        body: &[u8],
        via: Via,
        limits: &Limits,
    ) -> Result<Self, Unreadable> {
        if body.len() > limits.max_bytes {
            return Err(Unreadable::Mime(MimeError::TooLarge {
                max_bytes: limits.max_bytes,
            }));
        }
        let mut findings = Vec::new();
        check_headers(headers, via, &mut findings);
        let (soap, parts) = soap_and_parts(headers, body, limits, &mut findings)?;
        if soap.content.len() > MAX_SOAP_BYTES {
            return Err(Unreadable::Mime(MimeError::TooLarge {
                max_bytes: MAX_SOAP_BYTES,
            }));
        }
        check_soap_part(&soap, via, &mut findings);
        let limits = XmlLimits {
            max_bytes: MAX_SOAP_BYTES,
            max_depth: 32,
            max_nodes: 20_000,
            ..XmlLimits::default()
        };
        let document = Document::from_utf8(&soap.content, &limits).map_err(NotEbxml::Xml)?;
        let (envelope, found) = envelope::read(&document)?;
        findings.extend(found);
        let attachments = attachments(parts, &mut findings)?;
        check_manifest(&envelope, &attachments, &mut findings);
        Ok(Self {
            mail: MailFacts::of(headers),
            document,
            envelope,
            attachments,
            findings,
        })
    }

    /// Checks the signature over envelope and attachments.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_signature(&self, signer: Signer<'_>) -> Result<Checked, Finding> {
        let attached: Vec<Attached<'_>> = self.attachments.iter().map(attached).collect();
        signature::check(&self.document, &attached, signer)
    }

    /// The attachment a reference of the manifest names.
    #[must_use]
    pub fn attachment(&self, href: &str) -> Option<&Attachment> {
        let id = unescaped(href.strip_prefix("cid:")?);
        self.attachments.iter().find(|one| one.content_id == id)
    }
}

fn attached(attachment: &Attachment) -> Attached<'_> {
    Attached {
        content_id: &attachment.content_id,
        content: &attachment.content,
    }
}

fn mime_finding(rule: u16, level: Level, place: &str, text: &str) -> Finding {
    Finding::new(rule, level, Code::MimeProblem, place, text)
}

/// Rules 18 to 83 and 250 to 261: the fields of the mail.
fn check_headers(headers: &Headers, via: Via, findings: &mut Vec<Finding>) {
    let mut note = |rule, level, place: &str, text: &str| {
        findings.push(mime_finding(rule, level, place, text));
    };
    match headers.get("SOAPAction") {
        None => note(22, Level::Info, "SOAPAction", "the field is missing"),
        Some("\"ebXML\"") => {}
        Some(value) if value.trim_matches('"').eq_ignore_ascii_case("ebxml") => note(
            51,
            Level::Info,
            "SOAPAction",
            "it is not written \"ebXML\", with quotes and these capitals",
        ),
        Some(_) => note(51, Level::Info, "SOAPAction", "it is not \"ebXML\""),
    }
    if via == Via::Http {
        return;
    }
    for (rule, name) in [(18, "From"), (19, "To"), (20, "Message-ID"), (83, "Date")] {
        if headers.get(name).is_none_or(str::is_empty) {
            note(rule, Level::Info, name, "the field is missing or empty");
        }
    }
    let message_id = headers.get("Message-ID").unwrap_or("<>");
    if !message_id.starts_with('<') {
        note(
            250,
            Level::Info,
            "Message-ID",
            "it stands without angle brackets",
        );
    }
    let version = headers.get("MIME-Version").map(mime::without_comments);
    match version.as_deref().map(str::trim) {
        Some("1.0") => {}
        Some(_) => note(82, Level::Info, "MIME-Version", "it is not 1.0"),
        None => note(21, Level::Info, "MIME-Version", "the field is missing"),
    }
}

/// The SOAP part, and the parts behind it.
fn soap_and_parts(
    headers: &Headers,
    body: &[u8],
    limits: &Limits,
    findings: &mut Vec<Finding>,
) -> Result<(Part, Vec<Part>), Unreadable> {
    let kind = headers.content_type().ok_or(MimeError::Header(
        "Content-Type is missing or not readable; send multipart/related or text/xml",
    ))?;
    match kind.kind.as_str() {
        "text/xml" => Ok((Part::decode(headers.clone(), body)?, Vec::new())),
        "multipart/related" => {
            if kind.parameter("type") != Some("text/xml") {
                findings.push(mime_finding(
                    253,
                    Level::Info,
                    "Content-Type",
                    "the parameter type is not text/xml",
                ));
            }
            let boundary = kind
                .parameter("boundary")
                .ok_or(MimeError::Multipart("there is no boundary"))?;
            let mut parts = mime::split(body, boundary, limits)?
                .into_iter()
                .map(|part| Part::read(part, limits))
                .collect::<Result<Vec<_>, _>>()?;
            if parts.is_empty() {
                return Err(MimeError::Multipart("it has no part").into());
            }
            let start = kind
                .parameter("start")
                .map(|start| start.trim().trim_start_matches('<').trim_end_matches('>'));
            // RFC 2387 §3.2: the root is the part that start names, else the first.
            let named = start.and_then(|start| {
                parts
                    .iter()
                    .position(|part| part.headers.id("Content-ID") == Some(start))
            });
            if start.is_some() && named != Some(0) {
                findings.push(mime_finding(
                    0,
                    Level::Info,
                    "Content-Type",
                    "the parameter start does not name the first part",
                ));
            }
            let soap = parts.remove(named.unwrap_or(0));
            Ok((soap, parts))
        }
        _ => {
            Err(MimeError::Header("Content-Type is neither multipart/related nor text/xml").into())
        }
    }
}

fn check_soap_part(soap: &Part, via: Via, findings: &mut Vec<Finding>) {
    let mut note = |rule, text: &str| {
        findings.push(mime_finding(rule, Level::Info, "SOAP part", text));
    };
    let kind = soap.headers.content_type();
    let charset = kind.as_ref().and_then(|kind| kind.parameter("charset"));
    if kind.as_ref().is_none_or(|kind| kind.kind != "text/xml") {
        note(67, "Content-Type is not text/xml");
    }
    if charset.is_none_or(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        note(256, "charset is not UTF-8; it is read as UTF-8");
    }
    if soap.encoding.is_none() && via == Via::Mail {
        note(257, "Content-Transfer-Encoding is missing");
    }
    if soap.encoding == Some(mime::Encoding::Base64) {
        note(258, "it is encoded in base64");
    }
    let text = soap.content.as_slice();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !text.trim_ascii_start().starts_with(b"<?xml") {
        note(78, "it has no XML declaration");
    }
}

fn attachments(
    parts: Vec<Part>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Attachment>, Unreadable> {
    let mut out: Vec<Attachment> = Vec::with_capacity(parts.len());
    for part in parts {
        let content_id = part
            .headers
            .id("Content-ID")
            .ok_or(MimeError::Multipart("an attachment has no Content-ID"))?
            .to_owned();
        if out.iter().any(|known| known.content_id == content_id) {
            return Err(MimeError::Multipart("two parts have the same Content-ID").into());
        }
        let content_type = part
            .headers
            .get("Content-Type")
            .unwrap_or_default()
            .to_owned();
        if part.encoding != Some(mime::Encoding::Base64) {
            let text = "an attachment is not encoded in base64";
            findings.push(mime_finding(259, Level::Info, "attachment", text));
        }
        out.push(Attachment {
            content_id,
            content_type,
            content: part.content,
        });
    }
    Ok(out)
}

/// Rule 23: what the manifest names came along, and nothing else did.
fn check_manifest(envelope: &Envelope, attachments: &[Attachment], findings: &mut Vec<Finding>) {
    let place = "/SOAP:Envelope/SOAP:Body/eb:Manifest";
    let mut note = |rule, text: &str| {
        findings.push(mime_finding(rule, Level::Error, place, text));
    };
    let Kind::Payload { manifest, .. } = &envelope.kind else {
        if !attachments.is_empty() {
            note(0, "a signal carries an attachment");
        }
        return;
    };
    let ids: Vec<String> = manifest
        .iter()
        .filter_map(|reference| reference.href.strip_prefix("cid:"))
        .map(unescaped)
        .collect();
    if ids
        .iter()
        .any(|id| !attachments.iter().any(|one| one.content_id == *id))
    {
        note(23, "eb:Reference names a part that did not come along");
    }
    if attachments.iter().any(|one| !ids.contains(&one.content_id)) {
        note(23, "a part came along that the manifest does not name");
    }
    let mut sorted = ids.clone();
    sorted.sort();
    sorted.dedup();
    if sorted.len() != ids.len() {
        note(23, "the manifest names a part twice");
    }
}

/// A message on its way out, signed. It can be wrapped again and again without changing.
#[derive(Debug, Clone)]
pub struct Outgoing {
    soap: String,
    attachments: Vec<Attachment>,
}

impl Outgoing {
    /// Signs an envelope with its attachments.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        envelope: &Envelope,
        attachments: Vec<Attachment>,
        identity: &Identity,
    ) -> Result<Self, SignError> {
        let attached: Vec<Attached<'_>> = attachments.iter().map(attached).collect();
        let soap = signature::sign(&envelope::write(envelope), &attached, identity)?;
        Ok(Self { soap, attachments })
    }

    /// A document that is sent unsigned: a SOAP Fault.
    #[must_use]
    pub fn unsigned(soap: String) -> Self {
        Self {
            soap,
            attachments: Vec::new(),
        }
    }

    /// The SOAP part.
    #[must_use]
    pub fn soap(&self) -> &str {
        &self.soap
    }

    /// Value of `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> String {
        if self.attachments.is_empty() {
            "text/xml; charset=\"UTF-8\"".to_owned()
        } else {
            format!(
                "multipart/related; type=\"text/xml\"; boundary=\"{}\"; start=\"<soap-part>\"",
                self.boundary()
            )
        }
    }

    fn boundary(&self) -> String {
        mime::boundary_for(self.attachments.first().map_or("", |one| &one.content_id))
    }

    /// Body over HTTP.
    #[must_use]
    pub fn http_body(&self) -> Vec<u8> {
        if self.attachments.is_empty() {
            return self.soap.clone().into_bytes();
        }
        self.multipart("8bit", &self.soap).into_bytes()
    }

    fn multipart(&self, encoding: &str, soap: &str) -> String {
        let boundary = self.boundary();
        let mut out = format!(
            "--{boundary}\r\nContent-Type: text/xml; charset=\"UTF-8\"\r\nContent-ID: <soap-part>\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{soap}\r\n"
        );
        for one in &self.attachments {
            let id = format!("<{}>", one.content_id);
            let fields = [
                ("Content-Type", one.content_type.as_str()),
                ("Content-ID", id.as_str()),
            ];
            mime::write_part(&mut out, &boundary, &fields, &one.content);
        }
        let _ = write!(out, "--{boundary}--\r\n");
        out
    }

    /// The mail. Envelope lines are long, so the SOAP part goes as quoted-printable.
    #[must_use]
    pub fn mail(&self, fields: &MailFields<'_>) -> Vec<u8> {
        let encoding = if self.attachments.is_empty() {
            "quoted-printable"
        } else {
            "7bit"
        };
        let mut out = String::new();
        let mut field = |name: &str, value: &str| {
            let plain: String = value.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(out, "{name}: {plain}\r\n");
        };
        field("From", fields.from);
        field("To", fields.to);
        field("Subject", fields.subject);
        field("Date", &mail_date(fields.at_us));
        field("Message-ID", &format!("<{}>", fields.message_id));
        if let Some(id) = fields.in_reply_to {
            field("In-Reply-To", &format!("<{id}>"));
            field("References", &format!("<{id}>"));
        }
        field("MIME-Version", "1.0");
        field("SOAPAction", "\"ebXML\"");
        field("Content-Type", &self.content_type());
        field("Content-Transfer-Encoding", encoding);
        out.push_str("\r\n");
        let soap = quoted_printable(&self.soap);
        if self.attachments.is_empty() {
            out.push_str(&soap);
            out.push_str("\r\n");
        } else {
            out.push_str(&self.multipart("quoted-printable", &soap));
        }
        out.into_bytes()
    }
}

/// Fields of a mail on its way out.
#[derive(Debug, Clone, Copy)]
pub struct MailFields<'a> {
    /// Sender's address.
    pub from: &'a str,
    /// Receiver's address.
    pub to: &'a str,
    /// Subject: the action; never anything of the content.
    pub subject: &'a str,
    /// Id of the mail, without angle brackets; a new one at every sending.
    pub message_id: &'a str,
    /// Mail that this one answers.
    pub in_reply_to: Option<&'a str>,
    /// When it is sent, microseconds since 1970.
    pub at_us: i64,
}

/// A mail made here, to be sent again: the same message under a new mail id and date (spec messaging §5.3).
#[must_use]
pub fn sent_again(mail: &[u8], message_id: &str, at_us: i64) -> Vec<u8> {
    let end = mail
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(mail.len());
    let (head, body) = mail.split_at_checked(end).unwrap_or((mail, &[]));
    let head = String::from_utf8_lossy(head);
    let lines: Vec<String> = head
        .split("\r\n")
        .map(|line| match line.split_once(':').map(|(name, _)| name) {
            Some("Message-ID") => format!("Message-ID: <{message_id}>"),
            Some("Date") => format!("Date: {}", mail_date(at_us)),
            _ => line.to_owned(),
        })
        .collect();
    let mut out = lines.join("\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

fn mail_date(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us)
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
        .unwrap_or_default()
}

/// Quoted-printable with every line end of the text encoded, so that no relay can change one; lines of at most 76 characters.
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    let mut column = 0;
    for byte in text.bytes() {
        let is_plain = matches!(byte, b' '..=b'~') && byte != b'=';
        let width = if is_plain { 1 } else { 3 };
        if column + width > 75 {
            // A space before a soft break is protected by the break itself.
            out.push_str("=\r\n");
            column = 0;
        }
        // A leading dot or "From " would be touched by mail transport.
        if is_plain && !(column == 0 && matches!(byte, b'.' | b'F' | b'-')) {
            out.push(char::from(byte));
            column += 1;
        } else {
            let _ = write!(out, "={byte:02X}");
            column += 3;
        }
    }
    out
}

/// An encrypted payload as attachment.
#[must_use]
pub fn encrypted_attachment(content_id: &str, content: Vec<u8>) -> Attachment {
    Attachment {
        content_id: content_id.to_owned(),
        content_type: ENCRYPTED.to_owned(),
        content,
    }
}
