//! What a message of the vendor shows, and what is wrong with it.

use edi::check::{Checked, Rule, Severity};
use edi::message::Header;
use edi::xml::Elem;

use super::Findings;
use crate::approval::model::Judged;
use crate::approval::standard::{SendCase, Standard};

/// Which criterion of sending a rule of the validator counts against.
fn criterion_of(rule: Rule) -> &'static str {
    match rule {
        Rule::Encoding | Rule::WellFormed | Rule::NoDoctype | Rule::Size => "S-X01",
        Rule::NotOpened | Rule::Ebxml => "S-E01",
        Rule::Known | Rule::Version => "S-X02",
        Rule::MsgId => "S-X04",
        Rule::NationalId
        | Rule::NationalIdKnown
        | Rule::PatientId
        | Rule::PatientData
        | Rule::PatientAgrees => "S-P01",
        Rule::Sender | Rule::Receiver | Rule::Address => "S-A01",
        Rule::Attachment => "S-B01",
        Rule::Structure
        | Rule::Codes
        | Rule::Processing
        | Rule::Time
        | Rule::Type
        | Rule::Receipt
        | Rule::Business => "S-X03",
    }
}

/// Judges one message of the vendor: what it shows, and what is wrong with it. `before` are those of the run that came earlier.
#[must_use]
pub fn message(checked: &Checked, standard: Standard, function: &str, before: &[Judged]) -> Judged {
    let mut findings = Findings(Vec::new());
    for finding in checked
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
    {
        findings.validator(criterion_of(finding.rule_id), finding);
    }
    let mut judged = Judged {
        function: function.to_owned(),
        ..Judged::default()
    };
    let (Some(doc), Some(header), Some(root)) = (
        checked.doc.as_ref(),
        checked.header.as_ref(),
        checked.message(),
    ) else {
        judged.findings = findings.0;
        return judged;
    };
    judged.msg_id = header.msg_id.chars().take(100).collect();
    judged.document_key = header
        .document_key
        .as_ref()
        .map(|key| key.chars().take(100).collect());
    let identified = &checked.identified;
    let namespace = identified
        .payload_namespace
        .as_deref()
        .unwrap_or(&identified.root_namespace);
    if namespace != standard.namespace() {
        findings.add(
            "S-X02",
            standard.name(),
            Some((doc, root)),
            "Dokumentets navnerom er ikke standardens.",
            "The document's namespace is not that of the standard.",
        );
    }
    let named = header.document_type.as_ref().map(edi::value::Coded::code);
    if named != Some(function) {
        findings.add(
            "S-E01",
            "HISD 1209",
            Some((doc, root)),
            "Funksjonen i konvolutten er en annen enn dokumentets type.",
            "The envelope's function is another than the document's type.",
        );
    }
    if !standard.functions().contains(&function) {
        findings.add(
            "S-E01",
            "8279",
            None,
            "Funksjonen hører ikke til standarden.",
            "The function does not belong to the standard.",
        );
    }
    let is_used = before.iter().any(|earlier| {
        !earlier.msg_id.is_empty() && earlier.msg_id.eq_ignore_ascii_case(&judged.msg_id)
    });
    if is_used {
        findings.add(
            "S-X04",
            "HIS 80601 MsgId",
            None,
            "MsgId er brukt før.",
            "MsgId was used before.",
        );
    }
    let refers_back = before.iter().any(|earlier| {
        judged.document_key.is_some() && earlier.document_key == judged.document_key
    });
    judged.cases = shown(root, header, refers_back, before);
    if matches!(header.serv_type.as_deref(), Some("M" | "C")) && !refers_back {
        let criterion = if header.serv_type.as_deref() == Some("M") {
            "S-C02"
        } else {
            "S-C03"
        };
        findings.add(
            criterion,
            "7309",
            Some((doc, root)),
            "Det er ikke sendt noe dokument med denne nøkkelen tidligere i testen.",
            "No document with this key was sent earlier in the run.",
        );
        let case = if criterion == "S-C02" {
            SendCase::Change
        } else {
            SendCase::Cancel
        };
        judged.cases.push(case);
    }
    judged.findings = findings.0;
    judged
}

/// The cases that a message shows, by its content.
fn shown(root: &Elem, header: &Header, refers_back: bool, before: &[Judged]) -> Vec<SendCase> {
    let mut cases = Vec::new();
    match header.serv_type.as_deref() {
        Some("M") if refers_back => cases.push(SendCase::Change),
        Some("C") if refers_back => cases.push(SendCase::Cancel),
        Some("M" | "C") => {}
        _ => cases.push(SendCase::Normal),
    }
    let is_attachment = |e: &Elem| {
        &*e.name == "RefDoc" && e.child("MsgType").and_then(|kind| kind.attr("V")) == Some("A")
    };
    if root.find(&is_attachment).is_some() {
        cases.push(SendCase::Attachment);
    }
    let has_fnr = header
        .patient
        .as_ref()
        .is_some_and(|patient| patient.ids.iter().any(|id| id.kind == "FNR"));
    if header.patient.is_some() && !has_fnr {
        cases.push(SendCase::OtherId);
    }
    let refers = |id: &Option<String>| {
        let id = id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        id.is_some_and(|id| {
            before
                .iter()
                .any(|earlier| earlier.msg_id.eq_ignore_ascii_case(id))
        })
    };
    if refers(&header.ref_to_parent) && refers(&header.ref_to_conversation) {
        cases.push(SendCase::Reply);
    }
    cases
}

/// A message of the vendor that could not be opened or read.
#[must_use]
pub fn unreadable(function: &str, condition: &str, description: &str) -> Judged {
    let criterion = match condition {
        "transport:not-well-formed-xml"
        | "transport:xml-not-interpretable"
        | "transport:invalid-encoding" => "S-X01",
        "transport:unsupported-message" => "S-X02",
        "abuse:spoofing-attack" => "S-A01",
        _ => "S-E01",
    };
    let mut findings = Findings(Vec::new());
    findings.add(
        criterion,
        condition,
        None,
        &format!("Meldingen kunne ikke tas imot: {description}"),
        &format!("The message could not be taken: {description}"),
    );
    Judged {
        function: function.to_owned(),
        findings: findings.0,
        ..Judged::default()
    }
}
