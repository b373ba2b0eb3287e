//! CapabilityStatement, made from the same tables that the router and the planner use (spec/fhir-server.md §7).

use crate::http::{Answer, Call};
use crate::operations::{Level, OPERATIONS, Operation};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::Pack;
use fhir::build::Json;
use fhir::pack::ParamKind;
use serde_json::{Value, json};

/// `GET [base]/metadata`.
pub(crate) fn capabilities(repository: &Repository, call: &Call) -> Result<Answer, Failure> {
    let clinical = repository.is_clinical();
    let writes = !clinical || repository.config.columns.is_some();
    let security = if clinical {
        "Access tokens of HelseID as Bearer or DPoP. Headers: nhn-access-basis (UNNTAK, SAMTYKKE, AKUTT, FORHOYET_SAMTYKKE, FORHOYET_AKUTT), nhn-user-role, nhn-patient-nin. A search comes down to exactly one patient."
    } else {
        "No token: synthetic data for experiments."
    };
    let mut interactions = vec!["search-system", "history-system"];
    if !clinical {
        interactions.extend(["transaction", "batch"]);
    }
    let resources: Vec<Value> = repository
        .types()
        .into_iter()
        .map(|rtype| resource(repository, rtype, clinical, writes))
        .collect();
    let rest = Json::new()
        .put("mode", "server")
        .put("security", json!({ "cors": true, "description": security }))
        .put("resource", resources)
        .put("interaction", codes(&interactions))
        .list(
            "operation",
            operations(repository, |o| o.levels.contains(&Level::System)),
        )
        .put(
            "compartment",
            json!(["http://hl7.org/fhir/CompartmentDefinition/patient"]),
        )
        .build();
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-01",
        "kind": "instance",
        "software": { "name": "Helsenav", "version": repository.config.version },
        "implementation": { "description": format!("Helsenav {}", repository.config.name), "url": call.base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "rest": [rest],
    });
    Ok(Answer::resource(
        StatusCode::OK,
        Bytes::from(statement.to_string()),
    ))
}

fn operations(repository: &Repository, of: impl Fn(&Operation) -> bool) -> Vec<Value> {
    OPERATIONS
        .iter()
        .filter(|o| !o.definition.is_empty() && (o.is_here)(repository) && of(o))
        .map(|o| json!({ "name": o.name.trim_start_matches('$'), "definition": o.definition }))
        .collect()
}

fn resource(repository: &Repository, rtype: &str, clinical: bool, writes: bool) -> Value {
    let pack = Pack::r4();
    let is_view = clinical && rtype == "Patient";
    let operations = operations(repository, |o| {
        o.levels != [Level::System] && o.is_for(rtype)
    });
    let mut interactions = vec!["read", "search-type"];
    if !is_view {
        interactions.extend(["vread", "history-instance", "history-type"]);
    }
    if writes && !is_view {
        interactions.extend(["create", "update"]);
        if !clinical {
            interactions.push("delete");
        }
    }
    let params: Vec<_> = pack
        .type_id(rtype)
        .into_iter()
        .flat_map(|ty| pack.params(ty))
        .filter(|p| p.expr.is_some() || p.code.as_ref() == "_lastUpdated")
        .collect();
    let references: Vec<String> = params
        .iter()
        .filter(|p| p.kind == ParamKind::Reference)
        .map(|p| format!("{rtype}:{}", p.code))
        .collect();
    Json::new()
        .put("type", rtype)
        .put("interaction", codes(&interactions))
        .put(
            "versioning",
            if is_view { "no-version" } else { "versioned" },
        )
        .put("readHistory", !is_view)
        .put("updateCreate", !clinical)
        .put("conditionalCreate", writes && !is_view)
        .put(
            "conditionalRead",
            if is_view {
                "not-supported"
            } else {
                "full-support"
            },
        )
        .put("conditionalUpdate", !clinical)
        .put(
            "conditionalDelete",
            if clinical { "not-supported" } else { "single" },
        )
        .put("referencePolicy", json!(["literal", "logical"]))
        .list("searchInclude", references)
        .list("searchRevInclude", incoming(rtype))
        .list(
            "searchParam",
            params
                .iter()
                .map(|p| json!({ "name": p.code, "type": p.kind.as_str() })),
        )
        .list("operation", operations)
        .build()
}

fn codes(codes: &[&str]) -> Value {
    codes.iter().map(|code| json!({ "code": code })).collect()
}

/// Reference parameters of other types that lead to a type by name (those that lead anywhere are not listed).
fn incoming(rtype: &str) -> Vec<String> {
    let pack = Pack::r4();
    let mut out = Vec::new();
    for source in pack.resource_types() {
        let Some(ty) = pack.type_id(source) else {
            continue;
        };
        for param in pack.params(ty) {
            let leads = param.kind == ParamKind::Reference
                && param.expr.is_some()
                && param.targets.iter().any(|t| t.as_ref() == rtype);
            if leads {
                out.push(format!("{source}:{}", param.code));
            }
        }
    }
    out
}
