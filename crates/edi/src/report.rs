//! What a vendor reads: one message explained, right and wrong, with line, element and rule.
//!
//! The library behind `helsenav validate FILE` and the validator page. [`explain`] gives a [`Report`] that can be
//! serialised, and [`Report::to_text`] renders it for people in Norwegian or English. Names and identifiers of patients
//! and personnel never appear; organisations appear by name and HER-id.

use std::fmt::Write as _;

use serde::Serialize;

use crate::check::ebxml::{self, Judged, Response};
use crate::check::{self, Checked, Finding, NotRun, Options, Severity, Text, Transport, Verdict};
use crate::message::{Endpoint, Head, Identified, PartyId};

/// Language of a rendered report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Norwegian bokmål.
    #[default]
    Nb,
    /// English.
    En,
}

/// One side of a message, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartySummary {
    /// Name of the organisation.
    pub organisation: String,
    /// HER-id of the organisation.
    pub her_id: Option<u32>,
    /// Name of the service or department.
    pub unit: Option<String>,
    /// HER-id on level 2, of the service or person.
    pub level2_her_id: Option<u32>,
}

impl PartySummary {
    fn new(e: &Endpoint) -> Self {
        Self {
            organisation: e.organisation.name.clone(),
            her_id: e.organisation.her_id(),
            unit: e
                .unit
                .as_ref()
                .map(|u| u.name.clone())
                .filter(|n| !n.is_empty()),
            level2_her_id: [&e.unit, &e.person]
                .into_iter()
                .flatten()
                .find_map(PartyId::her_id),
        }
    }

    fn line(&self, language: Language) -> String {
        let name = match &self.unit {
            Some(unit) => format!("{unit}, {}", self.organisation),
            None => self.organisation.clone(),
        };
        let ids = match (self.level2_her_id, self.her_id) {
            (Some(two), Some(one)) => match language {
                Language::Nb => format!("HER-id {two} under {one}"),
                Language::En => format!("HER-id {two} below {one}"),
            },
            (Some(id), None) | (None, Some(id)) => format!("HER-id {id}"),
            (None, None) => match language {
                Language::Nb => "uten HER-id".to_owned(),
                Language::En => "no HER-id".to_owned(),
            },
        };
        format!("{name} ({ids})")
    }
}

/// One message, explained.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether there is no error.
    pub valid: bool,
    /// What it is.
    pub identified: Identified,
    /// The same in words.
    pub what: Text,
    /// Size in bytes.
    pub size_bytes: usize,
    /// Sender.
    pub sender: Option<PartySummary>,
    /// Receiver.
    pub receiver: Option<PartySummary>,
    /// Copy receivers.
    pub copies: Vec<PartySummary>,
    /// When it was made, as sent.
    pub gen_date: Option<String>,
    /// Whether a receipt is asked for (7304).
    pub ack: Option<String>,
    /// What a receiver answers.
    pub answer: Text,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// What is right.
    pub passed: Vec<Text>,
    /// What was not checked, and how to turn it on.
    pub not_run: Vec<NotRun>,
}

/// Explains some bytes. Never fails and never panics: what cannot be read is explained, too.
///
/// ```
/// use edi::{check::Options, report::{explain, Language}};
/// let report = explain(b"<a><b></a>", &Options::default());
/// assert!(!report.valid);
/// assert!(report.to_text(Language::En).contains("line 1, column 7"));
/// ```
pub fn explain(bytes: &[u8], options: &Options<'_>) -> Report {
    if let Some(judged) = ebxml::judge(bytes, options) {
        return from_judged(bytes.len(), judged);
    }
    let checked = check::run(bytes, options);
    from_checked(bytes.len(), checked)
}

/// A report on a message that has been checked already.
pub fn from_checked(size_bytes: usize, checked: Checked) -> Report {
    let answer = answer(&checked);
    let what = what(&checked);
    let h = checked.header.as_ref();
    Report {
        valid: !checked.has_errors(),
        what,
        size_bytes,
        sender: h.map(|h| PartySummary::new(&h.sender)),
        receiver: h.map(|h| PartySummary::new(&h.receiver)),
        copies: h
            .map(|h| h.copies.iter().map(PartySummary::new).collect())
            .unwrap_or_default(),
        gen_date: h.map(|h| h.gen_date.text.clone()).filter(|t| !t.is_empty()),
        ack: h.and_then(|h| h.ack.clone()),
        answer,
        findings: checked.findings,
        passed: checked.passed,
        not_run: checked.not_run,
        identified: checked.identified,
    }
}

/// A report on an ebXML message.
fn from_judged(size_bytes: usize, judged: Judged) -> Report {
    let answer = match &judged.response {
        Response::Fault => Text::new("SOAP Fault", "SOAP fault"),
        Response::Errors(codes) => {
            let codes = codes.join(", ");
            Text::new(
                format!("ErrorList (Error) med {codes}"),
                format!("ErrorList (Error) with {codes}"),
            )
        }
        Response::Warnings => Text::new(
            "ErrorList (Warning): tatt imot med advarsler",
            "ErrorList (Warning): taken, with warnings",
        ),
        Response::Acknowledgment => Text::new("Acknowledgment", "Acknowledgment"),
        Response::Nothing => Text::new(
            "ingenting: signaler besvares aldri",
            "nothing: signals are never answered",
        ),
    };
    let action: String = judged
        .action
        .map(|a| format!(", {}", a.chars().take(60).collect::<String>()))
        .unwrap_or_default();
    let what = match judged.is_mail {
        true => Text::new(
            format!("ebXML-melding i e-post{action}"),
            format!("ebXML message in a mail{action}"),
        ),
        false => Text::new(
            format!("ebXML-konvolutt (SOAP){action}"),
            format!("ebXML envelope (SOAP){action}"),
        ),
    };
    Report {
        what,
        answer,
        ..from_checked(size_bytes, judged.checked)
    }
}

fn what(checked: &Checked) -> Text {
    let id = &checked.identified;
    if id.error.is_some() {
        return Text::new("Ikke lesbar XML", "Not readable XML");
    }
    let (nb, en) = id.kind.name();
    let version = id
        .version
        .as_ref()
        .map(|v| format!(" {v}"))
        .unwrap_or_default();
    let kind = id
        .document_type
        .as_ref()
        .map(|t| format!(", {}", t.chars().take(60).collect::<String>()))
        .unwrap_or_default();
    let (head_nb, head_en) = match id.head {
        Head::MsgHead => (" i MsgHead 1.2", " in MsgHead 1.2"),
        Head::Own => (" med eget hode", " with its own head"),
        Head::None => ("", ""),
    };
    let up = |t: &str| {
        let mut c = t.chars();
        c.next()
            .map(|f| f.to_uppercase().chain(c).collect::<String>())
            .unwrap_or_default()
    };
    Text::new(
        format!("{}{version}{head_nb}{kind}", up(nb)),
        format!("{}{version}{head_en}{kind}", up(en)),
    )
}

fn answer(checked: &Checked) -> Text {
    match checked.verdict(Transport::Amqp) {
        Verdict::Accept { warnings: 0 } => Text::new("AppRec 1 (OK)", "AppRec 1 (OK)"),
        Verdict::Accept { warnings } => Text::new(
            format!(
                "AppRec 1 (OK), og mottakerens driftskø får {} å se på",
                counted_warnings(warnings, true)
            ),
            format!(
                "AppRec 1 (OK), and the receiver's operators get {} to look at",
                counted_warnings(warnings, false)
            ),
        ),
        Verdict::Reject { errors, .. } => {
            let mut codes: Vec<&str> = errors.iter().map(|e| e.code()).collect();
            codes.dedup();
            let codes = codes.join(", ");
            Text::new(
                format!("AppRec 2 (avvist) med {codes}"),
                format!("AppRec 2 (rejected) with {codes}"),
            )
        }
        Verdict::TransportError { error, .. } => Text::new(
            format!(
                "feilkø {} over AMQP (ellers AppRec 2 med T01)",
                error.condition
            ),
            format!(
                "error queue {} on AMQP (AppRec 2 with T01 elsewhere)",
                error.condition
            ),
        ),
        Verdict::Drop { .. } => Text::new(
            "ingenting: en kvittering besvares aldri med en kvittering",
            "nothing: a receipt is never answered with a receipt",
        ),
        Verdict::NotOpened => Text::new(
            "kan ikke sies før meldingen er åpnet",
            "cannot be told before the message is opened",
        ),
    }
}

impl Report {
    /// Number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|f| f.severity == severity)
            .count()
    }

    /// The report as plain text.
    pub fn to_text(&self, language: Language) -> String {
        let nb = language == Language::Nb;
        let pick = |t: &Text| if nb { t.nb.clone() } else { t.en.clone() };
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", pick(&self.what));
        let row = |out: &mut String, label: (&str, &str), value: &str| {
            let _ = writeln!(out, "  {:<10} {value}", if nb { label.0 } else { label.1 });
        };
        if let Some(p) = &self.sender {
            row(&mut out, ("Avsender:", "Sender:"), &p.line(language));
        }
        if let Some(p) = &self.receiver {
            row(&mut out, ("Mottaker:", "Receiver:"), &p.line(language));
        }
        for p in &self.copies {
            row(&mut out, ("Kopi:", "Copy:"), &p.line(language));
        }
        if let Some(t) = &self.gen_date {
            row(
                &mut out,
                ("Laget:", "Made:"),
                &t.chars().take(40).collect::<String>(),
            );
        }
        row(
            &mut out,
            ("Størrelse:", "Size:"),
            &format!("{} byte", self.size_bytes),
        );
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let _ = writeln!(out, "\n{}", counted(errors, warnings, nb));
        let _ = writeln!(
            out,
            "  {} {}",
            if nb {
                "En mottaker svarer:"
            } else {
                "A receiver answers:"
            },
            pick(&self.answer)
        );
        for (severity, title) in [
            (Severity::Error, ("Feil", "Errors")),
            (Severity::Warning, ("Advarsler", "Warnings")),
            (Severity::Info, ("Til opplysning", "For information")),
        ] {
            let of: Vec<&Finding> = self
                .findings
                .iter()
                .filter(|f| f.severity == severity)
                .collect();
            if of.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{}", if nb { title.0 } else { title.1 });
            for f in of {
                finding(&mut out, f, nb);
            }
        }
        if !self.passed.is_empty() {
            let _ = writeln!(out, "\n{}", if nb { "Riktig" } else { "Right" });
            for p in &self.passed {
                let _ = writeln!(out, "  + {}", pick(p));
            }
        }
        if !self.not_run.is_empty() {
            let _ = writeln!(
                out,
                "\n{}",
                if nb {
                    "Ikke kontrollert"
                } else {
                    "Not checked"
                }
            );
            for n in &self.not_run {
                let _ = writeln!(out, "  ? {}\n    → {}", pick(&n.what), pick(&n.how));
            }
        }
        out
    }
}

fn counted_warnings(warnings: usize, nb: bool) -> String {
    match (nb, warnings) {
        (true, 1) => "1 advarsel".to_owned(),
        (true, n) => format!("{n} advarsler"),
        (false, 1) => "1 warning".to_owned(),
        (false, n) => format!("{n} warnings"),
    }
}

fn counted(errors: usize, warnings: usize, nb: bool) -> String {
    let warnings = counted_warnings(warnings, nb);
    match (nb, errors) {
        (true, 0) => format!("INGEN FEIL, {warnings}"),
        (true, n) => format!("{n} FEIL, {warnings}"),
        (false, 0) => format!("NO ERRORS, {warnings}"),
        (false, 1) => format!("1 ERROR, {warnings}"),
        (false, n) => format!("{n} ERRORS, {warnings}"),
    }
}

fn finding(out: &mut String, f: &Finding, nb: bool) {
    let code = f.code.map(|c| format!("{c} ")).unwrap_or_default();
    let _ = writeln!(
        out,
        "  - {code}{}",
        if nb { &f.text_nb } else { &f.text_en }
    );
    let mut place = String::new();
    if f.line > 0 {
        let _ = write!(
            place,
            "{} {}, {} {}",
            if nb { "linje" } else { "line" },
            f.line,
            if nb { "kolonne" } else { "column" },
            f.column
        );
    }
    for part in [f.element.as_str(), f.rule.as_str()] {
        if !part.is_empty() {
            if !place.is_empty() {
                place.push_str(" · ");
            }
            place.push_str(part);
        }
    }
    if !place.is_empty() {
        let _ = writeln!(out, "    {place}");
    }
}
