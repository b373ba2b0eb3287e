//! The summary page: every source asked at one snapshot, each with its own state (spec/portals.md §4.2).

use crate::Kjernejournal;
use crate::critical::{self, CriticalPanel};
use crate::find::PatientHeader;
use edge::Problem;
use records::source::{SourceState, SourceView, ViewContext, decimal_text, read_all};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use store::MicrosUtc;
use trust::gather::SubjectRef;
use trust::{Basis, DenyClass, Interface, Part, Principal};

/// Longest wait for one source.
pub const SOURCE_DEADLINE: Duration = Duration::from_secs(5);
const MAX_ROWS: usize = 50;

/// Why the whole page is refused; pages turn it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The citizen has blocked this person. The same with and without data.
    Blocked,
    /// No core record (opted out).
    NoRecord,
    /// The whole record is restricted: ask, or state an emergency.
    Restricted,
    /// One's own record.
    OwnRecord,
    /// This basis is not open to the caller.
    Basis,
    /// FORHOYET_* where nothing is restricted.
    NotNeeded,
    /// Role, level or organisation.
    Role,
    /// Anything else.
    NoAccess,
}

/// A result row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResultRow {
    /// Record id.
    pub id: String,
    /// Analysis.
    pub name: String,
    /// Code (NLK).
    pub code: Option<String>,
    /// Value as written, with comparator.
    pub value: String,
    /// Unit as printed.
    pub unit: Option<String>,
    /// Reference range as sent.
    pub range: Option<String>,
    /// `H`, `L`, `A`, … as sent.
    pub flag: Option<String>,
    /// When taken or issued, as written.
    pub time: Option<String>,
    /// Laboratory.
    pub performer: Option<String>,
    /// Corrected.
    pub is_amended: bool,
    /// Not yet shown to the patient, until this instant.
    pub hidden_until: Option<MicrosUtc>,
}

/// A document row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentRow {
    /// Record id.
    pub id: String,
    /// Type in words.
    pub kind: String,
    /// Title.
    pub title: Option<String>,
    /// Date, as written.
    pub date: Option<String>,
    /// Author organisation.
    pub author: Option<String>,
}

/// A panel of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Panel<T> {
    /// How the source answered.
    pub state: SourceState,
    /// The part, for opening a restricted one.
    pub part: &'static str,
    /// When it was asked.
    pub asked_at: MicrosUtc,
    /// Opened by this look-up although restricted.
    pub is_opened: bool,
    /// Rows, newest first, at most 50.
    pub rows: Vec<T>,
    /// There are more.
    pub has_more: bool,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryView {
    /// Header.
    pub patient: PatientHeader,
    /// Ground, as chosen.
    pub basis: &'static str,
    /// When it was opened (rules' clock).
    pub opened_at: MicrosUtc,
    /// The red band.
    pub critical: CriticalPanel,
    /// Critical information is restricted and was not opened.
    pub critical_is_closed: bool,
    /// Results.
    pub results: Panel<ResultRow>,
    /// Documents.
    pub documents: Panel<DocumentRow>,
    /// Sources that answered, and all.
    pub answered: (usize, usize),
}

/// What opening a record gives.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Opened {
    /// The page.
    Summary(Box<SummaryView>),
    /// A refusal page.
    Refused {
        /// Why, as far as it may be told.
        why: Refused,
    },
}

impl Kjernejournal {
    /// Opens a patient's core record. `part`: the one part that an elevated basis opens.
    pub fn open(
        &self,
        principal: &Principal,
        nin: &str,
        basis: Basis,
        part: Option<Part>,
        event_id: uuid::Uuid,
    ) -> Result<Opened, Problem> {
        let person = self
            .trust
            .directory()
            .person(nin)
            .ok_or_else(Problem::not_found)?;
        let context = ViewContext {
            trust: self.trust.clone(),
            snapshot: self.trust.store().snapshot()?,
            principal: principal.clone(),
            subject: SubjectRef::Nin(person.nin.clone()),
            interface: Interface::PersonnelPortal,
            basis,
            elevated_part: part,
            service: "kjernejournal",
            api: "oppsummering".to_owned(),
            event_id,
        };
        let views = read_all(&self.sources, &context, SOURCE_DEADLINE);
        let now = self.trust.now();
        let of = |key: &str| views.iter().find(|v| v.key == key);
        let missing = SourceView::error("missing", context.snapshot.at());
        let own = of(critical::SOURCE_KEY).unwrap_or(&missing);
        if let Some(class) = own.denied {
            return Ok(Opened::Refused {
                why: refused(class, &context),
            });
        }
        let (results, documents) = (
            of("results").unwrap_or(&missing),
            of("documents").unwrap_or(&missing),
        );
        let is_own_office = person.gp.as_ref().is_some_and(|gp| {
            matches!(principal, Principal::Personnel { orgnr_child, .. } if *orgnr_child == gp.orgnr)
        });
        Ok(Opened::Summary(Box::new(SummaryView {
            patient: self.header(&person, is_own_office),
            basis: basis.code(),
            opened_at: now,
            critical: critical::panel(own, now),
            critical_is_closed: own.flags.closed_parts.contains(&Part::Critical),
            results: panel(results, Part::Results, now, result_rows(results, now)),
            documents: panel(documents, Part::Documents, now, document_rows(documents)),
            answered: (
                views
                    .iter()
                    .filter(|v| v.state != SourceState::Error)
                    .count(),
                views.len(),
            ),
        })))
    }
}

fn refused(class: DenyClass, context: &ViewContext) -> Refused {
    let is_own = match (&context.principal, &context.subject) {
        (Principal::Personnel { nin, .. }, SubjectRef::Nin(subject)) => nin == subject,
        _ => false,
    };
    match class {
        DenyClass::Block => Refused::Blocked,
        DenyClass::Resv => Refused::NoRecord,
        DenyClass::Restr => Refused::Restricted,
        DenyClass::Basis => Refused::Basis,
        DenyClass::NotNeeded => Refused::NotNeeded,
        DenyClass::Auth | DenyClass::Role => Refused::Role,
        DenyClass::None if is_own => Refused::OwnRecord,
        _ => Refused::NoAccess,
    }
}

fn panel<T>(view: &SourceView, part: Part, now: MicrosUtc, mut rows: Vec<T>) -> Panel<T> {
    let has_more = view.is_truncated || rows.len() > MAX_ROWS;
    rows.truncate(MAX_ROWS);
    // A service's own restriction looks like a closed part; any other denial like nothing at all.
    let state = match (view.state, view.denied) {
        (SourceState::Denied, Some(DenyClass::Restr)) => SourceState::Closed,
        (SourceState::Denied, Some(DenyClass::NotNeeded)) => SourceState::Closed,
        (SourceState::Denied, _) => SourceState::Empty,
        (SourceState::Ok, _) if rows.is_empty() => SourceState::Empty,
        (state, _) => state,
    };
    Panel {
        state,
        part: part.code(),
        asked_at: now,
        is_opened: view.flags.opened_parts.contains(&part),
        rows,
        has_more,
    }
}

fn text(resource: &Value, pointer: &str) -> Option<String> {
    resource
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// A number or string as written.
fn written(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn result_rows(view: &SourceView, now: MicrosUtc) -> Vec<ResultRow> {
    let mut rows: Vec<ResultRow> = view
        .json()
        .iter()
        .filter(|(head, _)| head.rtype == "Observation")
        .map(|(head, o)| {
            let quantity = o.get("valueQuantity");
            let number = view
                .records
                .iter()
                .find(|r| r.head.rid == head.rid)
                .and_then(|r| decimal_text(&r.body, "valueQuantity.value"));
            let comparator = quantity
                .and_then(|q| q.get("comparator"))
                .and_then(Value::as_str)
                .unwrap_or_default();
            let value = number
                .map(|n| format!("{comparator}{n}"))
                .or_else(|| text(o, "/valueString"))
                .or_else(|| text(o, "/valueCodeableConcept/text"))
                .or_else(|| text(o, "/valueCodeableConcept/coding/0/display"))
                .unwrap_or_default();
            let range = text(o, "/referenceRange/0/text").or_else(|| {
                let low = written(o.pointer("/referenceRange/0/low/value"));
                let high = written(o.pointer("/referenceRange/0/high/value"));
                match (low, high) {
                    (Some(low), Some(high)) => Some(format!("{low} - {high}")),
                    (Some(low), None) => Some(format!("> {low}")),
                    (None, Some(high)) => Some(format!("< {high}")),
                    (None, None) => None,
                }
            });
            ResultRow {
                id: head.id.clone(),
                name: text(o, "/code/text")
                    .or_else(|| text(o, "/code/coding/0/display"))
                    .unwrap_or_default(),
                code: text(o, "/code/coding/0/code"),
                value,
                unit: text(o, "/valueQuantity/unit"),
                range,
                flag: text(o, "/interpretation/0/coding/0/code"),
                time: text(o, "/effectiveDateTime").or_else(|| text(o, "/issued")),
                performer: text(o, "/performer/0/display"),
                is_amended: matches!(text(o, "/status").as_deref(), Some("amended" | "corrected")),
                hidden_until: head.privacy.disclose_at.filter(|at| *at > now),
            }
        })
        .collect();
    rows.sort_by(|a, b| b.time.cmp(&a.time));
    rows
}

fn document_rows(view: &SourceView) -> Vec<DocumentRow> {
    let mut rows: Vec<DocumentRow> = view
        .json()
        .iter()
        .filter(|(head, _)| head.rtype == "DocumentReference")
        .map(|(head, d)| DocumentRow {
            id: head.id.clone(),
            kind: text(d, "/type/text")
                .or_else(|| text(d, "/type/coding/0/display"))
                .unwrap_or_default(),
            title: text(d, "/content/0/attachment/title").or_else(|| text(d, "/description")),
            date: text(d, "/context/period/start").or_else(|| text(d, "/date")),
            author: text(d, "/custodian/display").or_else(|| text(d, "/author/0/display")),
        })
        .collect();
    rows.sort_by(|a, b| b.date.cmp(&a.date));
    rows
}
