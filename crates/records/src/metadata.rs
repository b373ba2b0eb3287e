//! What a repository offers, told by itself: CapabilityStatement and `.well-known/smart-configuration`
//! (spec/fhir-server.md §7). Everything is made from the tables that router, planner and validator work with.

mod definitions;
pub(crate) mod offer;

use crate::http::{Answer, Call, Content};
use crate::operations::{Level, OPERATIONS, Operation};
use crate::outcome::Failure;
use crate::params::{Include, RawCondition};
use crate::planner::Compiler;
use crate::read::etags;
use crate::render::{Subset, http_date, instant};
use crate::repository::Repository;
use axum::http::{Method, StatusCode, header};
use bytes::Bytes;
use fhir::Pack;
use fhir::build::Json;
use fhir::pack::{ParamInfo, ParamKind};
use offer::{Interaction, SystemInteraction};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Documents that are made once per base and kept.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<String, Bytes>>);

impl Documents {
    /// The document of this name; `make` is called the first time.
    pub fn get_or_make(&self, name: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(name.to_owned()).or_insert_with(make).clone()
    }
}

/// Answers what anybody may ask without a token; `None` when the address is another.
pub(crate) fn open(repository: &Repository, call: &Call) -> Option<Result<Answer, Failure>> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let answer: fn(&Repository, &Call) -> Result<Answer, Failure> = match segments.as_slice() {
        ["metadata"] => capabilities,
        [".well-known", "smart-configuration"] => smart_configuration,
        ["openapi.json"] => crate::openapi::document,
        _ => return None,
    };
    Some(match call.method {
        Method::GET => answer(repository, call),
        _ => Err(Failure::method("GET, HEAD")),
    })
}

/// `GET [base]/metadata`, in each of its modes.
fn capabilities(repository: &Repository, call: &Call) -> Result<Answer, Failure> {
    let mode = call.query.iter().find(|(name, _)| name == "mode");
    let (kind, whole) = match mode.map(|(_, mode)| mode.as_str()) {
        None | Some("full" | "normative") => {
            ("CapabilityStatement", statement(repository, &call.base))
        }
        Some("terminology") => (
            "TerminologyCapabilities",
            Bytes::from(crate::terminology::capabilities(repository, &call.base)?.to_string()),
        ),
        Some(_) => {
            return Err(
                Failure::bad("value", "mode must be full, normative or terminology").on("mode"),
            );
        }
    };
    let wish: Vec<(String, String)> = call
        .query
        .iter()
        .filter(|(name, _)| name != "mode")
        .cloned()
        .collect();
    let subset = repository.subset_of(&wish, call.is_lenient, kind)?;
    shown(repository, call, whole, &subset)
}

/// The answer with its ETag, or 304.
fn shown(
    repository: &Repository,
    call: &Call,
    whole: Bytes,
    subset: &Subset,
) -> Result<Answer, Failure> {
    let tag = fingerprint(&whole);
    let is_known = match call.header(header::IF_NONE_MATCH) {
        Some(text) => etags(text)?.is_none_or(|tags| tags.contains(&tag)),
        None => false,
    };
    let answer = if is_known {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        Answer::resource(StatusCode::OK, subset.apply(whole)?)
    };
    Ok(answer
        .with(header::ETAG, &format!("W/\"{tag}\""))
        .with(header::LAST_MODIFIED, &http_date(repository.mounted_at)))
}

/// Short digest of a text, for ETags.
pub(crate) fn fingerprint(text: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The CapabilityStatement of one base; made once.
fn statement(repository: &Repository, base: &str) -> Bytes {
    repository
        .documents
        .get_or_make(&format!("metadata {base}"), || {
            Bytes::from(made(repository, base).to_string())
        })
}

fn made(repository: &Repository, base: &str) -> Value {
    let resources: Vec<Value> = repository
        .types()
        .into_iter()
        .map(|rtype| resource(repository, rtype))
        .collect();
    let system: Vec<&str> = offer::of_system(repository)
        .into_iter()
        .filter_map(SystemInteraction::code)
        .collect();
    let rest = Json::new()
        .list(
            "extension",
            crate::subscriptions::capability(repository, base).0,
        )
        .put("mode", "server")
        .put("documentation", documentation(repository))
        .put("security", security(repository))
        .put("resource", resources)
        .put("interaction", codes(&system))
        .list("searchParam", system_parameters(repository))
        .list(
            "operation",
            operations(repository, |o| o.levels.contains(&Level::System)),
        )
        .list("compartment", compartments(repository))
        .build();
    let mut statement = Json::resource("CapabilityStatement")
        .put("id", repository.config.name.as_str())
        .put("url", format!("{base}/metadata"))
        .put("version", repository.config.version)
        .put("name", "Helsenav")
        .put("title", format!("Helsenav, {}", repository.config.name))
        .put("status", "active")
        .put("date", instant(repository.mounted_at))
        .put("kind", "instance")
        .put(
            "software",
            json!({ "name": "Helsenav", "version": repository.config.version }),
        )
        .put(
            "implementation",
            json!({ "description": format!("Helsenav, {}", repository.config.name), "url": base }),
        )
        .put("fhirVersion", "4.0.1")
        .put(
            "format",
            json!([
                "application/fhir+json",
                "application/fhir+xml",
                "json",
                "xml"
            ]),
        );
    if offer::has_patch(repository) {
        statement = statement.put("patchFormat", json!(crate::patch::FORMATS));
    }
    statement.put("rest", json!([rest])).build()
}

fn documentation(repository: &Repository) -> &'static str {
    if repository.is_clinical() {
        "Headers: nhn-access-basis (UNNTAK, SAMTYKKE, AKUTT, FORHOYET_SAMTYKKE, FORHOYET_AKUTT), nhn-user-role, nhn-patient-nin. A search comes down to exactly one patient; what the caller may not see looks like what is not there. Unknown search parameters are refused."
    } else {
        "Synthetic data for experiments. Unknown search parameters are refused; Prefer: handling=lenient leaves them out and says so."
    }
}

fn security(repository: &Repository) -> Value {
    let description = if repository.is_clinical() {
        "Access tokens of HelseID as Bearer or DPoP. SMART scopes beside the national one narrow what a token opens."
    } else {
        "No token is needed. A token with SMART scopes narrows what its sender sees."
    };
    let mut security = Json::new();
    if let Some(server) = &repository.config.authorization {
        let uris: Vec<Value> = server
            .uris()
            .into_iter()
            .map(|(name, uri)| json!({ "url": name, "valueUri": uri }))
            .collect();
        security = security.put(
            "extension",
            json!([{
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": uris,
            }]),
        );
    }
    security
        .put("cors", true)
        .put(
            "service",
            json!([{
                "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                    "display": "SMART-on-FHIR",
                }],
                "text": "OAuth2 with SMART scopes",
            }]),
        )
        .put("description", description)
        .build()
}

fn operations(repository: &Repository, of: impl Fn(&Operation) -> bool) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    OPERATIONS
        .iter()
        .filter(|o| !o.definition.is_empty() && (o.is_here)(repository) && of(o))
        .filter(|o| seen.insert((o.name, o.definition)))
        .map(|o| json!({ "name": o.name.trim_start_matches('$'), "definition": o.definition }))
        .collect()
}

fn resource(repository: &Repository, rtype: &str) -> Value {
    let offered = offer::of_type(repository, rtype);
    let has = |interaction| offered.contains(&interaction);
    let is_open = !repository.is_clinical();
    let interactions: Vec<&str> = offered.iter().map(|i| i.code()).collect();
    let parameters = parameters(repository, rtype);
    let includes: Vec<String> = parameters
        .iter()
        .filter(|p| p.kind == ParamKind::Reference)
        .map(|p| format!("{rtype}:{}", p.code))
        .collect();
    let conditional_read = if has(Interaction::Vread) {
        "full-support"
    } else {
        "not-supported"
    };
    let config = &repository.config;
    let conditional_delete = match config.conditional_delete_max {
        _ if !has(Interaction::Delete) => "not-supported",
        0 | 1 => "single",
        _ => "multiple",
    };
    let topics = match rtype {
        "Subscription" => crate::subscriptions::capability(repository, "").1,
        _ => Vec::new(),
    };
    Json::new()
        .list("extension", topics)
        .put("type", rtype)
        .put(
            "profile",
            format!("http://hl7.org/fhir/StructureDefinition/{rtype}"),
        )
        .list("supportedProfile", offer::profiles(rtype))
        .put("interaction", codes(&interactions))
        .put(
            "versioning",
            match (
                has(Interaction::Vread),
                config.versioned_update.contains(rtype),
            ) {
                (true, true) => "versioned-update",
                (true, false) => "versioned",
                (false, _) => "no-version",
            },
        )
        .put("readHistory", has(Interaction::Vread))
        .put(
            "updateCreate",
            is_open && has(Interaction::Update) && config.update_create,
        )
        .put("conditionalCreate", has(Interaction::Create))
        .put("conditionalRead", conditional_read)
        .put("conditionalUpdate", is_open && has(Interaction::Update))
        .put("conditionalDelete", conditional_delete)
        .put("referencePolicy", json!(["literal", "logical", "local"]))
        .list("searchInclude", includes)
        .list("searchRevInclude", incoming(repository, rtype))
        .list(
            "searchParam",
            parameters.into_iter().map(|p| {
                json!({
                    "name": p.code,
                    "definition": definitions::canonical(p),
                    "type": p.kind.as_str(),
                })
            }),
        )
        .list(
            "operation",
            operations(repository, |o| {
                o.levels != [Level::System] && o.is_for(rtype)
            }),
        )
        .build()
}

fn codes(codes: &[&str]) -> Value {
    codes.iter().map(|code| json!({ "code": code })).collect()
}

/// A value that a parameter of a kind can have.
fn sample(param: &ParamInfo) -> String {
    let of = |kind| match kind {
        ParamKind::Date => "2020",
        ParamKind::Number => "1",
        ParamKind::Quantity => "1||kg",
        ParamKind::Special => "59.9|10.7|1|km",
        _ => "x",
    };
    match param.kind {
        ParamKind::Composite => {
            let parts: Vec<&str> = param.parts.iter().map(|p| of(p.kind)).collect();
            parts.join("$")
        }
        kind => of(kind).to_owned(),
    }
}

/// Search parameters of a type: those that the planner takes.
pub(crate) fn parameters(repository: &Repository, rtype: &str) -> Vec<&'static ParamInfo> {
    let pack = Pack::r4();
    let has_type = |t: &str| repository.has_type(t);
    let compiler = Compiler {
        options: &repository.options,
        has_type: &has_type,
        patient: None,
    };
    pack.type_id(rtype)
        .into_iter()
        .flat_map(|ty| pack.params(ty))
        .filter(|p| {
            let raw = RawCondition::new(p.code.as_ref(), sample(p));
            compiler.compile(rtype, &raw).is_ok()
        })
        .collect()
}

/// Parameters of searches over several types.
fn system_parameters(repository: &Repository) -> Vec<Value> {
    parameters(repository, "Basic")
        .into_iter()
        .filter(|p| matches!(p.base.as_ref(), "Resource" | "DomainResource"))
        .map(|p| {
            json!({
                "name": p.code,
                "definition": definitions::canonical(p),
                "type": p.kind.as_str(),
            })
        })
        .collect()
}

/// Compartments whose searches are answered.
pub(crate) fn compartment_names(repository: &Repository) -> Vec<&'static str> {
    [
        "Patient",
        "Encounter",
        "RelatedPerson",
        "Practitioner",
        "Device",
    ]
    .into_iter()
    .filter(|name| repository.has_type(name))
    .filter(|name| *name == "Patient" || !repository.is_clinical())
    .filter(|name| Pack::r4().compartment_types(name).next().is_some())
    .collect()
}

fn compartments(repository: &Repository) -> Vec<String> {
    compartment_names(repository)
        .into_iter()
        .map(|name| {
            let mut letters = name.chars();
            let first: String = letters
                .next()
                .map(|c| c.to_lowercase().collect())
                .unwrap_or_default();
            format!(
                "http://hl7.org/fhir/CompartmentDefinition/{first}{}",
                letters.as_str()
            )
        })
        .collect()
}

/// Reference parameters of other types that lead to a type by name (those that lead anywhere are not listed).
fn incoming(repository: &Repository, rtype: &str) -> Vec<String> {
    let pack = Pack::r4();
    let mut out = Vec::new();
    for source in repository.types() {
        let Some(ty) = pack.type_id(source) else {
            continue;
        };
        for param in pack.params(ty) {
            let leads = param.kind == ParamKind::Reference
                && param.targets.iter().any(|t| t.as_ref() == rtype);
            let include = Include {
                source: source.to_owned(),
                param: param.code.to_string(),
                target: None,
                iterates: false,
                reverse: true,
            };
            if leads && repository.check_include(&include).is_ok() {
                out.push(format!("{source}:{}", param.code));
            }
        }
    }
    out
}

/// `GET [base]/.well-known/smart-configuration` (SMART App Launch 2, section Conformance).
fn smart_configuration(repository: &Repository, _: &Call) -> Result<Answer, Failure> {
    let Some(server) = &repository.config.authorization else {
        return Err(Failure::not_found());
    };
    let text = Bytes::from(server.configuration().to_string());
    Ok(Answer {
        content: Content::Raw("application/json".to_owned(), text),
        ..Answer::empty(StatusCode::OK)
    })
}
