//! The CapabilityStatement, made from [`super::kinds`].

use super::history::is_versioned;
use super::include::{self, Link};
use super::kinds::Kind;
use fhir::build::Json;
use serde_json::{Value, json};

/// When this statement last changed.
const DATE: &str = "2026-11-22";

/// The statement. `base`: address of the service.
pub(super) fn statement(base: &str) -> Value {
    let resources = Kind::ALL.into_iter().map(|kind| {
        let params = kind.params().iter().map(|param| {
            json!({ "name": param.name, "type": param.kind, "documentation": param.documentation })
        });
        let by_body = kind.is_personal().then_some(
            "National ids are sent in the body of POST [type]/_search, never in an address. Every look-up is in the \
             access journal.",
        );
        let interactions: &[&str] = if is_versioned(kind) {
            &["read", "vread", "history-instance", "search-type"]
        } else {
            &["read", "search-type"]
        };
        Json::new()
            .put("type", kind.name())
            .list("supportedProfile", kind.profiles())
            .maybe("documentation", by_body)
            .put(
                "interaction",
                interactions
                    .iter()
                    .map(|code| json!({ "code": code }))
                    .collect::<Vec<_>>(),
            )
            .put(
                "versioning",
                if is_versioned(kind) {
                    "versioned"
                } else {
                    "no-version"
                },
            )
            .list("searchInclude", include::from(kind).map(Link::name))
            .list("searchRevInclude", include::towards(kind).map(Link::name))
            .list("searchParam", params)
            .build()
    });
    let security = json!({
        "service": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": "OAuth",
        }] }],
        "description": "HelseID, audience nhn:hgd-persontjenesten-api. The scope read-with-legal-basis (or full-access) \
                        shows confidential parts, read-no-legal-basis the open ones.",
    });
    let common = [
        (
            "_elements",
            "string",
            "Person and RelatedPerson show identifiers only unless elements are named here",
        ),
        (
            "_count",
            "number",
            "Resources of a page, at most 500; not of persons",
        ),
    ];
    let common = common
        .map(|(name, kind, text)| json!({ "name": name, "type": kind, "documentation": text }));
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": { "name": "Helsenav" },
        "implementation": { "description": "The base registers (Grunndata) as FHIR, read-only", "url": base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [{
            "mode": "server",
            "security": security,
            "resource": resources.collect::<Vec<_>>(),
            "searchParam": common,
        }],
    })
}
