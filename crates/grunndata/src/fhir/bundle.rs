//! Search answers as bundles.

use super::query::Query;
use super::refusal::outcome;
use fhir::build::Json;
use serde_json::{Value, json};

/// What a search found.
pub(super) struct Answer {
    pub(super) resources: Vec<Value>,
    /// How many fit in all; `None` where that was not counted.
    pub(super) total: Option<usize>,
    /// What the reader should know about the answer.
    pub(super) remark: Option<&'static str>,
    /// What comes along with it.
    pub(super) included: Vec<Value>,
}

/// The bundle. `base`: address of the service. Links of searches for persons name the type only: what they were searched
/// by is not repeated.
pub(super) fn searchset(base: &str, query: &Query, answer: Answer) -> Value {
    let mut links = Vec::new();
    let link = |relation: &str, url: String| json!({ "relation": relation, "url": url });
    if query.kind.is_personal() {
        links.push(link("self", format!("{base}/{}", query.kind.name())));
    } else {
        links.push(link(
            "self",
            format!("{base}/{}", query.address(query.offset)),
        ));
        let after = query.offset + answer.resources.len();
        let has_more = answer.total.is_some_and(|total| after < total);
        if has_more && !answer.resources.is_empty() {
            links.push(link("next", format!("{base}/{}", query.address(after))));
        }
    }
    let found = answer.resources.into_iter().map(|found| (found, "match"));
    let along = answer.included.into_iter().map(|found| (found, "include"));
    let entries = found.chain(along).map(|(resource, mode)| {
        let text = |name: &str| {
            resource
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let url = format!("{base}/{}/{}", text("resourceType"), text("id"));
        json!({ "fullUrl": url, "resource": resource, "search": { "mode": mode } })
    });
    let remark = answer.remark.map(|text| {
        json!({ "resource": outcome("warning", "incomplete", text), "search": { "mode": "outcome" } })
    });
    Json::resource("Bundle")
        .put("type", "searchset")
        .maybe("total", answer.total)
        .put("link", links)
        .list("entry", entries.chain(remark))
        .build()
}
