//! Content rules: everything a receiver must hold against a message, as findings with place, rule and texts.
//!
//! [`run`] goes through all rules and goes on as far as possible; nothing is decided there. What a receiver answers
//! is decided by [`Checked::verdict`] from the table [`ORDER`]: the first rule broken answers (story.md §7, messaging.md
//! §2 and HIS 1153). Rules that need registers ask [`Lookups`]; what was not asked is named in [`Checked::not_run`].

mod attachments;
mod business;
pub mod ebxml;
mod head;
mod known;
mod patient;
mod verdict;
mod vocabulary;

use codes::ident::Nin;
use serde::Serialize;

use crate::apprec::ErrorCode;
use crate::message::{self, Header, Identified, MessageKind};
use crate::xml::{At, Elem, Limits, XmlDoc, XmlErrorKind};
use crate::xsd::SchemaSet;

pub use verdict::{Transport, Verdict};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A receiver rejects the message.
    Error,
    /// Accepted, but someone should look.
    Warning,
    /// Good to know.
    Info,
}

/// A rule. The bad cases of story.md §7 are named where a rule covers one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Bytes in the declared encoding.
    Encoding,
    /// Well-formed XML (B11).
    WellFormed,
    /// No DOCTYPE, no entities (B35).
    NoDoctype,
    /// Within the limits of size, depth and number (B26, B35).
    Size,
    /// Signed or encrypted data must be opened first.
    NotOpened,
    /// A message that is known.
    Known,
    /// Structure by our tables and by official schemas (B12).
    Structure,
    /// A version that is supported (B13).
    Version,
    /// MsgId is a UUID (B14).
    MsgId,
    /// The national identifier is well formed (B15, B16).
    NationalId,
    /// Somebody has the national identifier (B17).
    NationalIdKnown,
    /// The patient has a national identifier (B18).
    PatientId,
    /// The patient is identified well enough (B19).
    PatientData,
    /// Identifier, birth date and sex agree.
    PatientAgrees,
    /// Codes exist in their lists and are in use (B23).
    Codes,
    /// Attachments can be shown (B26).
    Attachment,
    /// The sender of the envelope is the sender in the body (B27).
    Sender,
    /// The receiver of the envelope is a receiver in the body (HITS 1216 2.2.3).
    Receiver,
    /// Test messages stay out of production (B28).
    Processing,
    /// Addresses by HER-id (HIS 1153).
    Address,
    /// Times make sense.
    Time,
    /// MsgHead's type and the business document belong together.
    Type,
    /// Rules of a receipt (HIS 80415).
    Receipt,
    /// Rules of the business document.
    Business,
    /// Numbered rules of the ebXML envelope (HITS 1172).
    Ebxml,
}

/// The order in which broken rules answer: the first with an error decides.
pub const ORDER: &[Rule] = &[
    Rule::NotOpened,
    Rule::Size,
    Rule::NoDoctype,
    Rule::Encoding,
    Rule::WellFormed,
    Rule::Structure,
    Rule::Known,
    Rule::Version,
    Rule::MsgId,
    Rule::NationalId,
    Rule::NationalIdKnown,
    Rule::PatientId,
    Rule::PatientData,
    Rule::Attachment,
    Rule::Sender,
    Rule::Receiver,
    Rule::Processing,
    Rule::Receipt,
    Rule::Type,
    Rule::Address,
    Rule::Time,
    Rule::PatientAgrees,
    Rule::Codes,
    Rule::Business,
];

/// One thing that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Code in list 8221 that a receipt carries for it.
    pub code: Option<&'static str>,
    /// Which rule.
    pub rule_id: Rule,
    /// Where the rule comes from: table and element, schema, or standard.
    pub rule: String,
    /// Line, from 1; 0 when it concerns the whole.
    pub line: u32,
    /// Column in characters, from 1; 0 when it concerns the whole.
    pub column: u32,
    /// Path of the element.
    pub element: String,
    /// Norwegian text. Never quotes identifiers, names of persons or clinical content.
    pub text_nb: String,
    /// English text.
    pub text_en: String,
}

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Norwegian.
    pub nb: String,
    /// English.
    pub en: String,
}

impl Text {
    pub(crate) fn new(nb: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            nb: nb.into(),
            en: en.into(),
        }
    }
}

/// A check that did not run, and how to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotRun {
    /// The check.
    pub what: Text,
    /// How to turn it on.
    pub how: Text,
}

/// What is known of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeState {
    /// In use.
    Known,
    /// Out of use, with its successor in the same list if there is one.
    Retired {
        /// The code that replaces it.
        successor: Option<String>,
    },
    /// Not in the list, and the list is complete.
    Unknown,
    /// Not in the extract of the list that is here: proves nothing.
    NotListed,
    /// The list is not here.
    NoList,
}

/// What the address register says of a communication party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyFacts {
    /// A service or a person of an organisation.
    pub is_level_2: bool,
    /// EDI (mail) address; empty for none.
    pub edi_address: String,
    /// Signing certificate, DER.
    pub signing_certificate: Option<Vec<u8>>,
}

/// What is agreed between two parties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreementFacts {
    /// The parties.
    pub her_ids: [u32; 2],
    /// From when, seconds since 1970.
    pub start_s: i64,
    /// Until when, seconds since 1970.
    pub end_s: i64,
}

/// Look-ups in registers, given by the caller. Every answer may be "not available" (`None`).
pub trait Lookups {
    /// Whether somebody has, or has had, this national identifier.
    fn person_exists(&self, id: &Nin) -> Option<bool> {
        let _ = id;
        None
    }

    /// Whether the HER-id is a communication party.
    fn party_exists(&self, her_id: u32) -> Option<bool> {
        let _ = her_id;
        None
    }

    /// What the address register says of a party: `Some(None)` when it has no such party.
    fn party(&self, her_id: u32) -> Option<Option<PartyFacts>> {
        let _ = her_id;
        None
    }

    /// An agreement (CPA) by its UUID: `Some(None)` when there is none.
    fn agreement(&self, cpa_id: &str) -> Option<Option<AgreementFacts>> {
        let _ = cpa_id;
        None
    }

    /// Opens an encrypted attachment, where the one who validates has the key.
    fn decrypt(&self, cms: &[u8]) -> Option<Vec<u8>> {
        let _ = cms;
        None
    }

    /// State of a code on a day; the lists of the `codes` crate unless the caller knows better.
    fn code(&self, system: &str, code: &str, day: Option<jiff::civil::Date>) -> CodeState {
        vocabulary::built_in(system, code, day)
    }
}

/// No registers at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLookups;

impl Lookups for NoLookups {}

/// The transport envelope, when there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Sender's HER-id.
    pub from_her_id: u32,
    /// Receiver's HER-id.
    pub to_her_id: u32,
}

/// What to check against.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Official schemas.
    pub schemas: Option<&'a SchemaSet>,
    /// Registers.
    pub lookups: &'a dyn Lookups,
    /// Whether this is production: then test messages and synthetic identifiers are refused.
    pub production: bool,
    /// The transport envelope.
    pub envelope: Option<Envelope>,
    /// The kinds of message that the receiver takes, receipts aside; `None` when nobody receives (plain validation).
    pub accepts: Option<&'a [MessageKind]>,
    /// The time of rules.
    pub now: Option<jiff::Timestamp>,
    /// What reading may cost.
    pub limits: Limits,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            schemas: None,
            lookups: &NoLookups,
            production: false,
            envelope: None,
            accepts: None,
            now: None,
            limits: Limits::default(),
        }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("production", &self.production)
            .field("envelope", &self.envelope)
            .finish()
    }
}

/// Everything that was found out about some bytes.
#[derive(Debug)]
pub struct Checked {
    /// What it is.
    pub identified: Identified,
    /// The document, when it could be read.
    pub doc: Option<XmlDoc>,
    /// The head, when the kind is known.
    pub header: Option<Header>,
    /// Findings, errors first, then by place.
    pub findings: Vec<Finding>,
    /// What was checked and is right.
    pub passed: Vec<Text>,
    /// What was not checked.
    pub not_run: Vec<NotRun>,
}

impl Checked {
    /// The message element (inside a wrapper such as fellesformat), when the document could be read.
    pub fn message(&self) -> Option<&Elem> {
        self.doc.as_ref().map(|d| message::core(&d.root))
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// Most findings kept; more are counted in one last finding.
const MAX_FINDINGS: usize = 200;

/// Collects what the rules say.
pub(crate) struct Context<'a> {
    pub doc: &'a XmlDoc,
    pub root: &'a Elem,
    pub identified: &'a Identified,
    pub header: Option<&'a Header>,
    pub options: &'a Options<'a>,
    pub findings: Vec<Finding>,
    pub passed: Vec<Text>,
    pub not_run: Vec<NotRun>,
}

/// A finding before its place is known.
pub(crate) struct New<'r> {
    pub severity: Severity,
    pub code: Option<ErrorCode>,
    pub rule_id: Rule,
    pub rule: &'r str,
}

impl Context<'_> {
    pub fn find(&mut self, new: New<'_>, at: At, nb: impl Into<String>, en: impl Into<String>) {
        self.findings.push(Finding {
            severity: new.severity,
            code: new.code.map(ErrorCode::as_str),
            rule_id: new.rule_id,
            rule: new.rule.to_owned(),
            line: at.line,
            column: at.column,
            element: if at.line == 0 {
                String::new()
            } else {
                self.doc.path(at)
            },
            text_nb: nb.into(),
            text_en: en.into(),
        });
    }

    pub fn error(
        &mut self,
        rule_id: Rule,
        code: ErrorCode,
        rule: &str,
        at: At,
        nb: &str,
        en: &str,
    ) {
        self.find(
            New {
                severity: Severity::Error,
                code: Some(code),
                rule_id,
                rule,
            },
            at,
            nb,
            en,
        );
    }

    pub fn warn(
        &mut self,
        rule_id: Rule,
        rule: &str,
        at: At,
        nb: impl Into<String>,
        en: impl Into<String>,
    ) {
        self.find(
            New {
                severity: Severity::Warning,
                code: None,
                rule_id,
                rule,
            },
            at,
            nb,
            en,
        );
    }

    pub fn info(
        &mut self,
        rule_id: Rule,
        rule: &str,
        at: At,
        nb: impl Into<String>,
        en: impl Into<String>,
    ) {
        self.find(
            New {
                severity: Severity::Info,
                code: None,
                rule_id,
                rule,
            },
            at,
            nb,
            en,
        );
    }

    pub fn pass(&mut self, nb: impl Into<String>, en: impl Into<String>) {
        self.passed.push(Text::new(nb, en));
    }

    pub fn skip(&mut self, what: Text, how: Text) {
        let entry = NotRun { what, how };
        if !self.not_run.contains(&entry) {
            self.not_run.push(entry);
        }
    }

    /// The business document: the payload of MsgHead, else the message itself.
    pub fn business(&self) -> &Elem {
        message::payload_of(self.root).unwrap_or(self.root)
    }
}

/// Holds some bytes against all rules.
pub fn run(bytes: &[u8], options: &Options<'_>) -> Checked {
    if message::is_cms(bytes) {
        return unopened(bytes);
    }
    let doc = match XmlDoc::parse_with(bytes, &options.limits) {
        Ok(doc) => doc,
        Err(e) => return unreadable(e),
    };
    let root = message::core(&doc.root);
    let identified = message::identify_elem(root);
    let header = Header::from_elem(root);
    let mut c = Context {
        doc: &doc,
        root,
        identified: &identified,
        header: header.as_ref(),
        options,
        findings: Vec::new(),
        passed: Vec::new(),
        not_run: Vec::new(),
    };
    let encoding = serde_json::to_value(doc.encoding).ok();
    let encoding = encoding
        .as_ref()
        .and_then(|v| v.as_str())
        .unwrap_or_default();
    c.pass(
        format!("Velformet XML ({encoding}), uten DOCTYPE"),
        format!("Well-formed XML ({encoding}), no DOCTYPE"),
    );
    known::check(&mut c);
    known::structural(&mut c);
    if c.header.is_some() {
        head::check(&mut c);
        patient::check(&mut c);
        attachments::check(&mut c);
        vocabulary::check(&mut c);
        business::check(&mut c);
    }
    let (mut findings, passed, not_run) = (c.findings, c.passed, c.not_run);
    findings.sort_by_key(|f| (f.severity, f.line, f.column));
    if findings.len() > MAX_FINDINGS {
        let more = findings.len() - MAX_FINDINGS;
        findings.truncate(MAX_FINDINGS);
        findings.push(Finding {
            severity: Severity::Info,
            code: None,
            rule_id: Rule::Size,
            rule: "Helsenav: antall funn".to_owned(),
            line: 0,
            column: 0,
            element: String::new(),
            text_nb: format!("… og {more} funn til, som ikke vises"),
            text_en: format!("… and {more} more findings, which are not shown"),
        });
    }
    Checked {
        identified,
        doc: Some(doc),
        header,
        findings,
        passed,
        not_run,
    }
}

fn unopened(bytes: &[u8]) -> Checked {
    Checked {
        identified: message::identify(bytes),
        doc: None,
        header: None,
        findings: vec![Finding {
            severity: Severity::Info,
            code: None,
            rule_id: Rule::NotOpened,
            rule: "RFC 5652".to_owned(),
            line: 0,
            column: 0,
            element: String::new(),
            text_nb: "Dette er kryptert eller signert data (CMS). Åpne den først, og valider XML-en som er inni.".to_owned(),
            text_en: "This is encrypted or signed data (CMS). Open it first and validate the XML inside.".to_owned(),
        }],
        passed: Vec::new(),
        not_run: vec![NotRun {
            what: Text::new("Alle kontroller av innholdet", "All checks of the content"),
            how: Text::new(
                "dekrypter og verifiser med mottakers nøkkel, og valider resultatet",
                "decrypt and verify with the receiver's key, and validate the result",
            ),
        }],
    }
}

fn unreadable(e: crate::xml::XmlError) -> Checked {
    let (rule_id, rule) = match e.kind {
        XmlErrorKind::NotWellFormed => (Rule::WellFormed, "XML 1.0"),
        XmlErrorKind::Forbidden => (Rule::NoDoctype, "XML 1.0 §2.8"),
        XmlErrorKind::TooLarge => (Rule::Size, "Helsenav"),
        XmlErrorKind::Encoding => (Rule::Encoding, "XML 1.0 §4.3.3"),
    };
    let mut identified = message::identify(b"");
    let finding = Finding {
        severity: Severity::Error,
        code: Some(ErrorCode::T01.as_str()),
        rule_id,
        rule: rule.to_owned(),
        line: e.line,
        column: e.column,
        element: String::new(),
        text_nb: capital(&e.text_nb),
        text_en: capital(&e.text),
    };
    identified.error = Some(e);
    Checked {
        identified,
        doc: None,
        header: None,
        findings: vec![finding],
        passed: Vec::new(),
        not_run: vec![NotRun {
            what: Text::new("Alle kontroller av innholdet", "All checks of the content"),
            how: Text::new("rett feilen over først", "correct the error above first"),
        }],
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
