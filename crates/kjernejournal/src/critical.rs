//! Critical information as the page shows it: read out of the FHIR records of this repository.

use crate::rules::Category;
use records::source::{SourceState, SourceView};
use serde::Serialize;
use serde_json::Value;
use store::{Head, MicrosUtc};
use trust::Class;

/// Key of the source in views.
pub const SOURCE_KEY: &str = "critical";

/// One item of the red band.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CriticalItem {
    /// Record id.
    pub id: String,
    /// Category.
    pub category: Category,
    /// Criticality high.
    pub is_life_threatening: bool,
    /// What, in words of the record.
    pub text: String,
    /// Reaction, in words of the record.
    pub reaction: Option<String>,
    /// `confirmed`, `unconfirmed`, …
    pub verification: Option<String>,
    /// The patient registered it herself.
    pub is_self_registered: bool,
    /// When it was recorded, as written (`YYYY-MM-DD…`).
    pub recorded: Option<String>,
    /// Who recorded it.
    pub recorder: Option<String>,
    /// Note.
    pub note: Option<String>,
}

/// The panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CriticalPanel {
    /// How the source answered: `empty` is said explicitly.
    pub state: SourceState,
    /// When it was asked.
    pub asked_at: MicrosUtc,
    /// Items, what kills first first; refuted and mistaken ones never.
    pub items: Vec<CriticalItem>,
}

/// Builds the panel.
pub fn panel(view: &SourceView, asked_at: MicrosUtc) -> CriticalPanel {
    let mut items: Vec<CriticalItem> = view
        .json()
        .iter()
        .filter_map(|(head, resource)| item(head, resource))
        .collect();
    items.sort_by_key(|i| (i.category.order(i.is_life_threatening), i.recorded.clone()));
    let state = if view.state == SourceState::Ok && items.is_empty() {
        SourceState::Empty
    } else {
        view.state
    };
    CriticalPanel {
        state,
        asked_at,
        items,
    }
}

fn item(head: &Head, resource: &Value) -> Option<CriticalItem> {
    let category = Category::of_class(Class::from_code(head.privacy.class)?)?;
    let text_of = |pointer: &str| {
        resource
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let verification = text_of("/verificationStatus/coding/0/code");
    let clinical = text_of("/clinicalStatus/coding/0/code").or_else(|| text_of("/status"));
    let is_over = matches!(
        verification.as_deref(),
        Some("refuted" | "entered-in-error")
    ) || matches!(
        clinical.as_deref(),
        Some("inactive" | "resolved" | "completed" | "entered-in-error")
    );
    // An expired limit of treatment is still shown as active (spec/kjernejournal.md §4.3), so dates are not judged here.
    if is_over {
        return None;
    }
    let text = text_of("/code/text")
        .or_else(|| text_of("/code/coding/0/display"))
        .or_else(|| text_of("/device/display"))
        .or_else(|| text_of("/category/0/text"))
        .unwrap_or_else(|| head.rtype.clone());
    Some(CriticalItem {
        id: head.id.clone(),
        category,
        is_life_threatening: text_of("/criticality").as_deref() == Some("high"),
        text,
        reaction: text_of("/reaction/0/manifestation/0/text")
            .or_else(|| text_of("/reaction/0/manifestation/0/coding/0/display")),
        verification,
        is_self_registered: text_of("/recorder/type").as_deref() == Some("Patient"),
        recorded: text_of("/recordedDate")
            .or_else(|| text_of("/recordedOn"))
            .or_else(|| text_of("/dateTime")),
        recorder: text_of("/recorder/display"),
        note: text_of("/note/0/text"),
    })
}
