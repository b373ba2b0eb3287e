//! The message validator for ebXML: a mail with its parts, or a SOAP envelope alone, against the numbered rules of
//! HITS 1172.
//!
//! Everything is judged and nothing stops early: a message server may cut where the validator goes on. The reading is
//! the validator's own and tolerant; it shares nothing with what a message server reads with. What asks for registers or
//! keys and cannot be asked is named among the checks that did not run.

mod mime;
mod parties;
mod payload;
mod signature;
mod soap;
pub mod table;

use super::{Checked, Finding, NotRun, Options, Rule, Severity, Text};
use crate::message::{Header, Identified};
use crate::xml::{At, XmlDoc};
use mime::{Field, Mail, Part};
use table::{Effect, NumberedRule};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XLINK: &str = "http://www.w3.org/1999/xlink";

/// Largest message judged, bytes.
const MAX_BYTES: usize = 64 << 20;
/// Most findings kept.
const MAX_FINDINGS: usize = 200;

/// What a message server answers to an ebXML message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A SOAP fault.
    Fault,
    /// An error list with these codes, none twice.
    Errors(Vec<&'static str>),
    /// An error list with warnings only: accepted.
    Warnings,
    /// An acknowledgment.
    Acknowledgment,
    /// Nothing: signals are never answered.
    Nothing,
}

/// An ebXML message, judged.
#[derive(Debug)]
pub struct Judged {
    /// Findings, what is right and what was not run.
    pub checked: Checked,
    /// What a message server answers.
    pub response: Response,
    /// What it is, such as `EPIKRISE` or `Acknowledgment`.
    pub action: Option<String>,
    /// Whether it came as a mail.
    pub is_mail: bool,
}

/// Where something is.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// A field of a mail or part.
    Field(&'a Field),
    /// A part.
    Part(&'a Part),
    /// An element of the envelope.
    Elem(At),
    /// The whole.
    Whole,
}

/// Collects what the rules say.
struct Hits<'a> {
    pub options: &'a Options<'a>,
    pub mail: Option<&'a Mail>,
    pub doc: Option<&'a XmlDoc>,
    /// Lines before the envelope in the mail; `None` when the envelope is encoded and its lines are not the mail's.
    lines_before: Option<u32>,
    pub findings: Vec<Finding>,
    pub passed: Vec<Text>,
    pub not_run: Vec<NotRun>,
    worst: Option<Effect>,
    codes: Vec<&'static str>,
}

impl Hits<'_> {
    /// A rule is broken.
    pub fn hit(&mut self, number: u16, place: Place<'_>) {
        self.hit_because(number, place, "", "");
    }

    /// A rule is broken in a way that is seen so often that message servers take it.
    pub fn tolerated(&mut self, number: u16, place: Place<'_>) {
        let Some(rule) = table::rule(number) else {
            return;
        };
        let rule = NumberedRule {
            effect: Effect::Log,
            ..*rule
        };
        self.worst = self.worst.max(Some(rule.effect));
        if self.findings.len() < MAX_FINDINGS {
            let (nb, en) = ("det tas imot likevel", "it is taken all the same");
            let finding = self.finding(&rule, place, nb, en);
            self.findings.push(finding);
        }
    }

    /// A rule is broken, and this is why.
    pub fn hit_because(&mut self, number: u16, place: Place<'_>, nb: &str, en: &str) {
        let Some(rule) = table::rule(number) else {
            return;
        };
        if self.worst.is_none_or(|w| rule.effect > w) {
            self.worst = Some(rule.effect);
        }
        if let Effect::Error(code) = rule.effect
            && !self.codes.contains(&code)
        {
            self.codes.push(code);
        }
        if self.findings.len() >= MAX_FINDINGS {
            return;
        }
        let finding = self.finding(rule, place, nb, en);
        self.findings.push(finding);
    }

    fn finding(&self, rule: &NumberedRule, place: Place<'_>, nb: &str, en: &str) -> Finding {
        let (line, column, element) = self.place(place);
        let because = |text: &str, why: &str| match why {
            "" => text.to_owned(),
            why => format!("{text}: {why}"),
        };
        Finding {
            severity: match rule.effect {
                Effect::Information => Severity::Info,
                Effect::Log | Effect::Warning => Severity::Warning,
                Effect::Error(_) | Effect::Fault => Severity::Error,
            },
            code: None,
            rule_id: Rule::Ebxml,
            rule: rule.name(),
            line,
            column,
            element,
            text_nb: because(rule.nb, nb),
            text_en: because(rule.en, en),
        }
    }

    fn place(&self, place: Place<'_>) -> (u32, u32, String) {
        match place {
            Place::Field(field) => {
                let name: String = field.name.chars().take(60).collect();
                (field.line, 1, name)
            }
            Place::Part(part) => (part.line, 1, "MIME".to_owned()),
            Place::Elem(at) => {
                let path = self.doc.map(|d| d.path(at)).unwrap_or_default();
                match self.lines_before {
                    Some(before) => (at.line + before, at.column, path),
                    None => (0, 0, path),
                }
            }
            Place::Whole => (0, 0, String::new()),
        }
    }

    pub fn pass(&mut self, nb: &str, en: &str) {
        self.passed.push(Text::new(nb, en));
    }

    pub fn skip(&mut self, what: Text, how: Text) {
        let entry = NotRun { what, how };
        if !self.not_run.contains(&entry) {
            self.not_run.push(entry);
        }
    }
}

/// Judges a mail or envelope; `None` when the bytes are neither, so that they are judged as a business document.
pub fn judge(bytes: &[u8], options: &Options<'_>) -> Option<Judged> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    if mime::is_mail(bytes) {
        let mail = Mail::read(bytes);
        return Some(judge_mail(&mail, options));
    }
    // Cheap first: most documents that come here are no envelopes.
    let head = bytes.get(..bytes.len().min(4 << 10)).unwrap_or_default();
    if !String::from_utf8_lossy(head).contains(SOAP) {
        return None;
    }
    let doc = XmlDoc::parse_with(bytes, &options.limits).ok()?;
    if &*doc.root.ns != SOAP || &*doc.root.name != "Envelope" {
        return None;
    }
    let mut h = hits(options, None, Some(&doc), Some(0));
    if !bytes.trim_ascii_start().starts_with(b"<?xml") {
        h.hit(78, Place::Elem(doc.root.at));
    }
    h.skip(
        Text::new("MIME og vedlegg", "MIME and attachments"),
        Text::new(
            "lim inn hele e-posten, med hodefelter og vedlegg",
            "paste the whole mail, with header fields and attachments",
        ),
    );
    let header = soap::check(&mut h, &doc.root);
    Some(finish(h, Some(header), false))
}

fn hits<'a>(
    options: &'a Options<'a>,
    mail: Option<&'a Mail>,
    doc: Option<&'a XmlDoc>,
    lines_before: Option<u32>,
) -> Hits<'a> {
    Hits {
        options,
        mail,
        doc,
        lines_before,
        findings: Vec::new(),
        passed: Vec::new(),
        not_run: Vec::new(),
        worst: None,
        codes: Vec::new(),
    }
}

fn judge_mail(mail: &Mail, options: &Options<'_>) -> Judged {
    let start = mail
        .fields
        .content_type()
        .and_then(|c| c.parameter("start").map(|s| mime::bare(s).to_owned()));
    let is_xml = |p: &&Part| {
        p.fields
            .content_type()
            .is_some_and(|c| c.media.ends_with("/xml"))
    };
    let soap = mail
        .parts
        .iter()
        .find(|p| start.is_some() && p.fields.content_id() == start)
        .or_else(|| mail.parts.iter().find(is_xml))
        .or_else(|| mail.parts.first());
    let parsed = soap.map(|p| XmlDoc::parse_with(&p.content, &options.limits));
    let doc = parsed.as_ref().and_then(|p| p.as_ref().ok());
    let before = soap
        .filter(|p| p.is_plain)
        .map(|p| p.body_line.saturating_sub(1));
    let mut h = hits(options, Some(mail), doc, before);
    payload::mail(&mut h, mail, soap);
    let mut header = None;
    match (soap, &parsed) {
        (Some(part), Some(Ok(doc))) => {
            declaration(&mut h, part, doc);
            if &*doc.root.ns != SOAP || &*doc.root.name != "Envelope" {
                h.hit(43, Place::Elem(doc.root.at));
                h.hit(86, Place::Elem(doc.root.at));
            } else {
                let found = soap::check(&mut h, &doc.root);
                payload::attachments(&mut h, mail, part, &found);
                header = Some(found);
            }
        }
        (Some(part), Some(Err(e))) => {
            h.hit_because(86, Place::Part(part), &e.text_nb, &e.text);
        }
        _ => h.hit(67, Place::Whole),
    }
    finish(h, header, true)
}

fn declaration(h: &mut Hits<'_>, part: &Part, doc: &XmlDoc) {
    let text = part.content.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !text.starts_with(b"<?xml") {
        h.hit(78, Place::Elem(doc.root.at));
    }
    if doc.encoding != crate::xml::Encoding::Utf8 {
        h.hit(68, Place::Elem(doc.root.at));
    }
}

fn finish(mut h: Hits<'_>, envelope: Option<soap::Envelope>, is_mail: bool) -> Judged {
    let is_signal = envelope
        .as_ref()
        .is_some_and(|e| e.kind != soap::Kind::Payload);
    let response = match h.worst {
        // However it is written.
        _ if is_signal => Response::Nothing,
        Some(Effect::Fault) => Response::Fault,
        Some(Effect::Error(_)) => Response::Errors(std::mem::take(&mut h.codes)),
        Some(Effect::Warning) => Response::Warnings,
        Some(Effect::Log | Effect::Information) | None => Response::Acknowledgment,
    };
    h.findings.sort_by_key(|f| (f.severity, f.line, f.column));
    let mut identified: Identified = crate::message::identify(b"");
    identified.error = None;
    identified.kind = crate::message::MessageKind::EbxmlEnvelope;
    identified.support = crate::message::Support::Wrapper;
    identified.root_namespace = SOAP.to_owned();
    let action = envelope.as_ref().and_then(|e| e.action.clone());
    identified.document_type.clone_from(&action);
    let header: Option<Header> = envelope.map(|e| e.header);
    Judged {
        checked: Checked {
            identified,
            doc: None,
            header,
            findings: h.findings,
            passed: h.passed,
            not_run: h.not_run,
        },
        response,
        action,
        is_mail,
    }
}
