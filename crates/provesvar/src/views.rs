//! What the citizen sees of her results (spec/portals.md §3.2). Codes and values; the page has the words.

use crate::Provesvar;
use codes::lab;
use edge::Problem;
use records::source::{SourceState, SourceView, ViewContext, decimal_text};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{Head, MicrosUtc};

/// Where a value lies against the laboratory's range, as the laboratory said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Above.
    High,
    /// Below.
    Low,
    /// Outside, without direction.
    Outside,
    /// Inside the range that was sent.
    Inside,
    /// No range was sent.
    NoRange,
}

/// One analysis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Record id.
    pub id: String,
    /// Name as the laboratory wrote it.
    pub name: String,
    /// English name, where we have one.
    pub name_en: Option<String>,
    /// Code (NLK, or the laboratory's own).
    pub code: Option<String>,
    /// Replaces a retired code.
    pub successor: Option<String>,
    /// Value as written, with comparator.
    pub value: String,
    /// Unit as printed.
    pub unit: Option<String>,
    /// Range as sent.
    pub range: Option<String>,
    /// Against the range.
    pub flag: Flag,
    /// The laboratory's comment.
    pub comment: Option<String>,
    /// What it is, in Norwegian; absent for unknown codes.
    pub explanation: Option<String>,
    /// The same in English.
    pub explanation_en: Option<String>,
    /// FHIR status.
    pub status: String,
}

/// A report in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    /// Record id.
    pub id: String,
    /// When the sample was taken (or the report issued), as written.
    pub time: Option<String>,
    /// When the message was made, as written.
    pub issued: Option<String>,
    /// Laboratory.
    pub laboratory: Option<String>,
    /// Corrected: the time of the correction.
    pub amended_at: Option<String>,
    /// Withdrawn by the laboratory.
    pub is_cancelled: bool,
    /// Report type (8202).
    pub discipline: Option<String>,
    /// Number of analyses.
    pub analyses: usize,
    /// How many of them are outside their range.
    pub outside: usize,
    /// First commit of this version: "new since last time".
    pub stored_at: MicrosUtc,
}

/// The list.
#[derive(Clone, Debug, Serialize)]
pub struct ResultsView {
    /// How the source answered.
    pub state: SourceState,
    /// Reports, newest first.
    pub reports: Vec<ReportLine>,
}

/// One report.
#[derive(Clone, Debug, Serialize)]
pub struct ReportView {
    /// Its line.
    #[serde(flatten)]
    pub line: ReportLine,
    /// Analyses: outside the range first, then as sent.
    pub results: Vec<Analysis>,
    /// The laboratory's comment on the whole.
    pub comment: Option<String>,
}

impl Provesvar {
    /// The citizen's reports.
    pub fn results_for_citizen(&self, context: &ViewContext) -> Result<ResultsView, Problem> {
        let (view, reports) = self.reports(context)?;
        let mut lines: Vec<ReportLine> = reports.into_iter().map(|r| r.line).collect();
        lines.sort_by(|a, b| b.time.cmp(&a.time).then(b.stored_at.cmp(&a.stored_at)));
        let state = if view.state == SourceState::Ok && lines.is_empty() {
            SourceState::Empty
        } else {
            view.state
        };
        Ok(ResultsView {
            state,
            reports: lines,
        })
    }

    /// One report; the same answer for one that does not exist and one she may not see.
    pub fn report_for_citizen(
        &self,
        context: &ViewContext,
        id: &str,
    ) -> Result<ReportView, Problem> {
        let (_, reports) = self.reports(context)?;
        reports
            .into_iter()
            .find(|r| r.line.id == id)
            .ok_or_else(Problem::not_found)
    }

    fn reports(&self, context: &ViewContext) -> Result<(SourceView, Vec<ReportView>), Problem> {
        let view = self.source().view(context)?;
        let records = view.json();
        // Decimals are shown as written (`12.60`): a float would lose the zero.
        let decimals: BTreeMap<String, String> = view
            .records
            .iter()
            .filter(|r| r.head.rtype == "Observation")
            .filter_map(|r| {
                Some((
                    r.head.id.clone(),
                    decimal_text(&r.body, "valueQuantity.value")?,
                ))
            })
            .collect();
        let observations: BTreeMap<&str, (&Head, &Value)> = records
            .iter()
            .filter(|(head, _)| head.rtype == "Observation")
            .map(|(head, body)| (head.id.as_str(), (head, body)))
            .collect();
        let reports = records
            .iter()
            .filter(|(head, _)| head.rtype == "DiagnosticReport")
            .map(|(head, body)| report(head, body, &observations, &decimals))
            .collect();
        Ok((view, reports))
    }
}

fn report(
    head: &Head,
    body: &Value,
    observations: &BTreeMap<&str, (&Head, &Value)>,
    decimals: &BTreeMap<String, String>,
) -> ReportView {
    let mut results = Vec::new();
    for reference in body["result"].as_array().into_iter().flatten() {
        collect(reference, observations, decimals, &mut results, 0);
    }
    // Inside one report, what is outside its range comes first.
    results.sort_by_key(|a| matches!(a.flag, Flag::Inside | Flag::NoRange));
    let status = text(body, "/status").unwrap_or_default();
    let issued = text(body, "/issued");
    let is_cancelled = status == "cancelled";
    let is_amended = matches!(status.as_str(), "amended" | "corrected" | "appended");
    ReportView {
        comment: body["extension"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|e| {
                e["url"]
                    .as_str()
                    .is_some_and(|u| u.ends_with("/nilar-comment"))
            })
            .and_then(|e| text(e, "/valueString")),
        line: ReportLine {
            id: head.id.clone(),
            time: text(body, "/effectiveDateTime").or_else(|| issued.clone()),
            amended_at: issued.clone().filter(|_| is_amended),
            issued,
            laboratory: text(body, "/performer/0/display"),
            is_cancelled,
            discipline: text(body, "/code/coding/0/code"),
            analyses: results.len(),
            outside: results
                .iter()
                .filter(|a| matches!(a.flag, Flag::High | Flag::Low | Flag::Outside))
                .count(),
            stored_at: head.at,
        },
        results: if is_cancelled { Vec::new() } else { results },
    }
}

const MAX_DEPTH: usize = 8;

fn collect(
    reference: &Value,
    observations: &BTreeMap<&str, (&Head, &Value)>,
    decimals: &BTreeMap<String, String>,
    into: &mut Vec<Analysis>,
    depth: usize,
) {
    let id = reference["reference"]
        .as_str()
        .and_then(|r| r.strip_prefix("Observation/"));
    let Some((head, body)) = id.and_then(|id| observations.get(id)) else {
        return;
    };
    let members = body["hasMember"].as_array();
    let has_value = [
        "valueQuantity",
        "valueString",
        "valueCodeableConcept",
        "valueRange",
        "valueDateTime",
    ]
    .iter()
    .any(|name| body.get(*name).is_some());
    if has_value || members.is_none() {
        into.push(analysis(head, body, decimals.get(&head.id)));
    }
    if depth < MAX_DEPTH {
        for member in members.into_iter().flatten() {
            collect(member, observations, decimals, into, depth + 1);
        }
    }
}

fn analysis(head: &Head, body: &Value, decimal: Option<&String>) -> Analysis {
    let code = text(body, "/code/coding/0/code");
    let known = code.as_deref().and_then(lab::analyte);
    let range = text(body, "/referenceRange/0/text");
    let flag = match text(body, "/interpretation/0/coding/0/code").as_deref() {
        Some("H") => Flag::High,
        Some("L") => Flag::Low,
        Some(_) => Flag::Outside,
        None if range.is_some() => Flag::Inside,
        None => Flag::NoRange,
    };
    Analysis {
        id: head.id.clone(),
        name: text(body, "/code/text")
            .or_else(|| text(body, "/code/coding/0/display"))
            .or_else(|| code.clone())
            .unwrap_or_default(),
        name_en: known.and_then(|k| k.name_en).map(str::to_owned),
        successor: known.and_then(|k| k.successor).map(str::to_owned),
        value: value(body, decimal),
        unit: text(body, "/valueQuantity/unit"),
        range,
        flag,
        comment: text(body, "/note/0/text"),
        explanation: known.and_then(|k| k.explanation).map(str::to_owned),
        explanation_en: known.and_then(|k| k.explanation_en).map(str::to_owned),
        status: text(body, "/status").unwrap_or_default(),
        code,
    }
}

/// The value as written.
fn value(body: &Value, decimal: Option<&String>) -> String {
    let comparator = text(body, "/valueQuantity/comparator").unwrap_or_default();
    match decimal {
        Some(number) => format!("{comparator}{number}"),
        None => text(body, "/valueString")
            .or_else(|| text(body, "/valueCodeableConcept/text"))
            .or_else(|| text(body, "/valueCodeableConcept/coding/0/display"))
            .or_else(|| text(body, "/valueDateTime"))
            .or_else(|| {
                let low = body.pointer("/valueRange/low/value")?;
                let high = body.pointer("/valueRange/high/value")?;
                Some(format!("{low} - {high}"))
            })
            .unwrap_or_default(),
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
}
