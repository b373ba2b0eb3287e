//! What a receipt must be: version, validity, references, parties, status.

use edi::apprec::{self, AppRec, ErrorCode, Version};
use edi::check::{Checked, Rule, Severity};
use edi::message::Header;
use edi::xml::{Elem, XmlDoc};
use uuid::Uuid;

use super::{Between, Findings};
use crate::approval::model::{SeenReceipt, Sent};
use crate::approval::standard::Standard;

/// A receipt that could not be opened or read: the condition says why.
#[must_use]
pub fn sealed_receipt(track: &str, at_us: i64, condition: &str) -> SeenReceipt {
    let mut findings = Findings(Vec::new());
    let is_content = matches!(
        condition,
        "transport:not-well-formed-xml"
            | "transport:xml-not-interpretable"
            | "transport:invalid-encoding"
            | "transport:unsupported-message"
    );
    let (criterion, nb, en) = match condition {
        "abuse:spoofing-attack" => (
            "R-A04",
            "Avsenderen i kvitteringen er ikke avsenderen i konvolutten.",
            "The sender in the receipt is not the sender in the envelope.",
        ),
        _ if is_content => (
            "R-A02",
            "Kvitteringen kunne ikke leses.",
            "The receipt could not be read.",
        ),
        _ => (
            "R-A05",
            "Kvitteringen kunne ikke åpnes, eller signaturen gjelder ikke.",
            "The receipt could not be opened, or its signature does not hold.",
        ),
    };
    findings.add(criterion, condition, None, nb, en);
    SeenReceipt {
        track: track.to_owned(),
        at_us,
        findings: findings.0,
        ..SeenReceipt::default()
    }
}

/// A receipt that was read, against what it should answer; `sent` is absent when it answers nothing that was sent.
#[must_use]
pub fn receipt(
    checked: &Checked,
    standard: Standard,
    between: Between,
    sent: Option<&Sent>,
) -> SeenReceipt {
    let mut findings = Findings(Vec::new());
    for finding in checked
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
    {
        let criterion = match finding.rule_id {
            Rule::Sender | Rule::Receiver | Rule::Address => "R-A04",
            Rule::MsgId => "R-A08",
            Rule::Receipt => "R-A06",
            _ => "R-A02",
        };
        findings.validator(criterion, finding);
    }
    let mut seen = SeenReceipt::default();
    let (Some(doc), Some(root)) = (checked.doc.as_ref(), checked.message()) else {
        seen.findings = findings.0;
        return seen;
    };
    let Ok(apprec) = AppRec::read_elem(root) else {
        findings.add(
            "R-A02",
            "HIS 80415",
            Some((doc, root)),
            "Dokumentet er ingen fullstendig applikasjonskvittering.",
            "The document is no complete application receipt.",
        );
        seen.findings = findings.0;
        return seen;
    };
    seen.status = Some(apprec.status.code().to_owned());
    seen.codes = apprec
        .errors
        .iter()
        .take(10)
        .map(|error| error.code().chars().take(10).collect())
        .collect();
    let at = |path: &[&str]| root.descend(path).map(|e| (doc, e)).or(Some((doc, root)));
    version(
        &mut findings,
        root,
        &apprec,
        standard.receipt_version(),
        &at,
    );
    outcome(&mut findings, &apprec, &at);
    if Uuid::try_parse(apprec.id.trim()).is_err() {
        findings.add(
            "R-A08",
            "HIS 80415 Id",
            at(&["Id"]),
            "Id er ingen UUID.",
            "Id is no UUID.",
        );
    }
    parties(&mut findings, checked.header.as_ref(), between, &at);
    references(&mut findings, &apprec, sent, &at);
    seen.findings = findings.0;
    seen
}

type Place<'a> = Option<(&'a XmlDoc, &'a Elem)>;

fn version<'a>(
    findings: &mut Findings,
    root: &Elem,
    apprec: &AppRec,
    wanted: Version,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let namespace = match wanted {
        Version::V1_0 => apprec::NS_1_0,
        Version::V1_1 => apprec::NS,
    };
    if &*root.ns != namespace {
        findings.add(
            "R-A01",
            "HIS 80415",
            at(&[]),
            "Kvitteringen har en annen versjon (navnerom) enn meldingen skal ha.",
            "The receipt has another version (namespace) than the message asks for.",
        );
    } else if apprec.mig_version.trim() != wanted.mig_version() {
        findings.add(
            "R-A01",
            "HIS 80415 MIGversion",
            at(&["MIGversion"]),
            "MIGversion hører ikke til navnerommet.",
            "MIGversion does not belong to the namespace.",
        );
    }
}

fn outcome<'a>(findings: &mut Findings, apprec: &AppRec, at: &impl Fn(&[&str]) -> Place<'a>) {
    let known = apprec
        .errors
        .iter()
        .filter(|error| ErrorCode::parse(error.code()).is_some())
        .count();
    let (nb, en) = match (apprec.status.code(), apprec.errors.len()) {
        ("1", 0) => return,
        ("1", _) => (
            "Positiv kvittering med feilkode.",
            "Positive receipt with an error code.",
        ),
        ("2", 0) => (
            "Negativ kvittering uten feilkode.",
            "Negative receipt without error code.",
        ),
        ("2", all) if known == all => return,
        ("2", _) => (
            "Feilkoden står ikke i kodeverk 8221.",
            "The error code is not in code list 8221.",
        ),
        _ => (
            "Status skal være 1 eller 2 for denne meldingen.",
            "Status must be 1 or 2 for this message.",
        ),
    };
    findings.add("R-A06", "HIS 80415 Status", at(&["Status"]), nb, en);
}

fn parties<'a>(
    findings: &mut Findings,
    header: Option<&Header>,
    between: Between,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let Some(header) = header else { return };
    if header.sender.routing_her_id() != Some(between.vendor) {
        findings.add(
            "R-A04",
            "HIS 80415 Sender",
            at(&["Sender"]),
            "Avsenderen av kvitteringen er ikke den som mottok meldingen.",
            "The receipt's sender is not the one that received the message.",
        );
    }
    if header.receiver.routing_her_id() != Some(between.hub) {
        findings.add(
            "R-A04",
            "HIS 80415 Receiver",
            at(&["Receiver"]),
            "Mottakeren av kvitteringen er ikke den som sendte meldingen.",
            "The receipt's receiver is not the one that sent the message.",
        );
    }
}

fn references<'a>(
    findings: &mut Findings,
    apprec: &AppRec,
    sent: Option<&Sent>,
    at: &impl Fn(&[&str]) -> Place<'a>,
) {
    let Some(sent) = sent else {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/Id",
            at(&["OriginalMsgId", "Id"]),
            "Kvitteringen viser til en MsgId som ikke er sendt i denne testen.",
            "The receipt refers to a MsgId that was not sent in this run.",
        );
        return;
    };
    if apprec.original.msg_type.code() != sent.function {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/MsgType",
            at(&["OriginalMsgId", "MsgType"]),
            "Typen er ikke den opprinnelige meldingens.",
            "The type is not that of the original message.",
        );
    }
    let same_time = apprec.original.issue_date.text.trim() == sent.gen_date
        || matches!(
            (apprec.original.issue_date.instant(), edi::value::Time::from(sent.gen_date.as_str()).instant()),
            (Some(named), Some(made)) if named == made
        );
    if !same_time {
        findings.add(
            "R-A03",
            "HIS 80415 OriginalMsgId/IssueDate",
            at(&["OriginalMsgId", "IssueDate"]),
            "Tiden er ikke den opprinnelige meldingens GenDate.",
            "The time is not the original message's GenDate.",
        );
    }
}
