//! The repository as an OpenAPI 3.0 document, written from the tables that the CapabilityStatement is written from.
//!
//! `GET [base]/openapi.json`, for one or more types with `?_type=Patient,Observation` (the whole is large).

use crate::http::{Answer, Call, Content};
use crate::metadata::offer::{self, Interaction, SystemInteraction};
use crate::metadata::{compartment_names, fingerprint, parameters};
use crate::operations::{Level, OPERATIONS, Operation};
use crate::outcome::Failure;
use crate::read::etags;
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::pack::ParamKind;
use serde_json::{Map, Value, json};

/// `GET [base]/openapi.json`.
pub(crate) fn document(repository: &Repository, call: &Call) -> Result<Answer, Failure> {
    let mut types: Option<Vec<&str>> = None;
    for (name, value) in &call.query {
        match name.as_str() {
            "_type" => types = Some(value.split(',').collect()),
            "_format" | "_pretty" => {}
            _ => {
                return Err(Failure::bad(
                    "not-supported",
                    "openapi.json takes the parameter _type only",
                ));
            }
        }
    }
    let text = match types {
        None => repository
            .documents
            .get_or_make(&format!("openapi {}", call.base), || {
                let types = repository.types();
                Bytes::from(made(repository, &call.base, &types).to_string())
            }),
        Some(types) => {
            for rtype in &types {
                repository
                    .require_type(rtype)
                    .map_err(|failure| failure.on("_type"))?;
            }
            Bytes::from(made(repository, &call.base, &types).to_string())
        }
    };
    let tag = fingerprint(&text);
    let is_known = match call.header(header::IF_NONE_MATCH) {
        Some(known) => etags(known)?.is_none_or(|tags| tags.contains(&tag)),
        None => false,
    };
    let answer = if is_known {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        Answer {
            content: Content::Raw("application/json".to_owned(), text),
            ..Answer::empty(StatusCode::OK)
        }
    };
    Ok(answer.with(header::ETAG, &format!("W/\"{tag}\"")))
}

fn made(repository: &Repository, base: &str, types: &[&str]) -> Value {
    let mut paths = Paths {
        repository,
        paths: Map::new(),
    };
    paths.system();
    for rtype in types {
        paths.rtype(rtype);
    }
    let mut document = json!({
        "openapi": "3.0.3",
        "info": {
            "title": format!("Helsenav FHIR R4, {}", repository.config.name),
            "version": repository.config.version,
            "description": "FHIR R4 (4.0.1). Search parameters take modifiers (name:exact), prefixes (date=ge2020), chains (subject.name) and _has, which this form of description has no words for; GET metadata says the same in FHIR's own form.",
        },
        "servers": [{ "url": base }],
        "tags": tags(types),
        "paths": paths.paths,
        "components": components(),
    });
    if let Some(security) = security(repository) {
        let (schemes, required) = security;
        if let Some(members) = document.as_object_mut() {
            members.insert("security".to_owned(), required);
            if let Some(components) = members.get_mut("components").and_then(Value::as_object_mut) {
                components.insert("securitySchemes".to_owned(), schemes);
            }
        }
    }
    document
}

fn tags(types: &[&str]) -> Vec<Value> {
    std::iter::once("system")
        .chain(types.iter().copied())
        .map(|name| json!({ "name": name }))
        .collect()
}

fn security(repository: &Repository) -> Option<(Value, Value)> {
    if !repository.is_clinical() {
        return None;
    }
    let mut schemes = Map::new();
    schemes.insert(
        "dpop".to_owned(),
        json!({ "type": "apiKey", "in": "header", "name": "Authorization", "description": "DPoP <access token>, with a proof in the header DPoP (RFC 9449)" }),
    );
    let mut required = vec![json!({ "dpop": [] })];
    if let Some(server) = &repository.config.authorization {
        schemes.insert(
            "helseid".to_owned(),
            json!({ "type": "openIdConnect", "openIdConnectUrl": format!("{}/.well-known/openid-configuration", server.issuer) }),
        );
        required = vec![json!({ "dpop": [], "helseid": server.scopes })];
    }
    Some((Value::Object(schemes), Value::Array(required)))
}

/// Content of a body in both formats.
fn resource_content(description: &str) -> Value {
    let schema = json!({ "schema": { "$ref": "#/components/schemas/Resource" } });
    json!({
        "description": description,
        "content": { "application/fhir+json": schema, "application/fhir+xml": { "schema": { "type": "string" } } },
    })
}

fn components() -> Value {
    json!({
        "schemas": {
            "Resource": {
                "type": "object",
                "description": "A FHIR R4 resource; its structure stands in http://hl7.org/fhir/R4.",
                "required": ["resourceType"],
                "properties": {
                    "resourceType": { "type": "string" },
                    "id": { "type": "string", "pattern": "^[A-Za-z0-9\\-\\.]{1,64}$" },
                    "meta": { "type": "object" },
                },
                "additionalProperties": true,
            },
        },
        "parameters": {
            "id": path_parameter("id", "Logical id"),
            "vid": path_parameter("vid", "Version id"),
            "format": query("_format", "Format of the answer: json or xml; wins over Accept", "string"),
            "pretty": query("_pretty", "Indented answer", "boolean"),
            "summary": query("_summary", "true, text, data, count or false", "string"),
            "elements": query("_elements", "Top-level elements to answer with, by commas", "string"),
            "count": query("_count", "Entries of a page", "integer"),
            "sort": query("_sort", "Parameters to sort by, - for descending", "string"),
            "total": query("_total", "none, estimate or accurate", "string"),
            "include": query("_include", "References to follow: Source:parameter[:Target], or *", "string"),
            "revinclude": query("_revinclude", "References to come back by: Source:parameter[:Target]", "string"),
            "since": query("_since", "Versions from this instant on", "string"),
            "at": query("_at", "Versions that were current in this period", "string"),
            "ifMatch": header_parameter("If-Match", "Version that is changed: W/\"1\""),
            "ifNoneMatch": header_parameter("If-None-Match", "304 when this version is current"),
            "ifNoneExist": header_parameter("If-None-Exist", "Search that must find nothing"),
            "prefer": header_parameter("Prefer", "return=minimal|representation|OperationOutcome, handling=strict|lenient, respond-async"),
        },
        "responses": {
            "Resource": resource_content("The resource"),
            "Bundle": resource_content("A Bundle"),
            "Outcome": resource_content("What went wrong, as OperationOutcome"),
            "Nothing": { "description": "Done" },
            "Unchanged": { "description": "Not modified" },
        },
        "requestBodies": {
            "Resource": {
                "required": true,
                "content": {
                    "application/fhir+json": { "schema": { "$ref": "#/components/schemas/Resource" } },
                    "application/fhir+xml": { "schema": { "type": "string" } },
                },
            },
            "Patch": {
                "required": true,
                "content": {
                    "application/json-patch+json": { "schema": { "type": "array", "items": { "type": "object" } } },
                    "application/fhir+json": { "schema": { "$ref": "#/components/schemas/Resource" } },
                    "application/fhir+xml": { "schema": { "type": "string" } },
                },
            },
            "Search": {
                "content": {
                    "application/x-www-form-urlencoded": { "schema": { "type": "object", "additionalProperties": { "type": "string" } } },
                },
            },
        },
    })
}

fn query(name: &str, description: &str, kind: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind } })
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}

fn header_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } })
}

fn shared(names: &[&str]) -> Vec<Value> {
    names
        .iter()
        .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }))
        .collect()
}

const READING: [&str; 4] = ["format", "pretty", "summary", "elements"];
const SEARCHING: [&str; 9] = [
    "format",
    "pretty",
    "summary",
    "elements",
    "count",
    "sort",
    "total",
    "include",
    "revinclude",
];
const HISTORY: [&str; 5] = ["format", "pretty", "count", "since", "at"];

/// One operation of an address.
struct Act<'a> {
    method: &'a str,
    id: String,
    tag: &'a str,
    summary: String,
    parameters: Vec<Value>,
    body: Option<&'a str>,
    /// Statuses of success with the name of their response.
    success: &'a [(&'a str, &'a str)],
}

struct Paths<'a> {
    repository: &'a Repository,
    paths: Map<String, Value>,
}

impl Paths<'_> {
    fn add(&mut self, path: &str, act: Act<'_>) {
        let mut responses: Map<String, Value> = act
            .success
            .iter()
            .map(|(status, name)| {
                let response = json!({ "$ref": format!("#/components/responses/{name}") });
                ((*status).to_owned(), response)
            })
            .collect();
        responses.insert(
            "default".to_owned(),
            json!({ "$ref": "#/components/responses/Outcome" }),
        );
        let mut operation = json!({
            "operationId": act.id,
            "tags": [act.tag],
            "summary": act.summary,
            "parameters": act.parameters,
            "responses": responses,
        });
        if let (Some(body), Some(members)) = (act.body, operation.as_object_mut()) {
            members.insert(
                "requestBody".to_owned(),
                json!({ "$ref": format!("#/components/requestBodies/{body}") }),
            );
        }
        let item = self
            .paths
            .entry(path.to_owned())
            .or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(act.method.to_owned(), operation);
        }
    }

    fn get(
        &mut self,
        path: &str,
        tag: &str,
        id: String,
        summary: String,
        parameters: Vec<Value>,
        response: &str,
    ) {
        self.add(
            path,
            Act {
                method: "get",
                id,
                tag,
                summary,
                parameters,
                body: None,
                success: &[("200", response)],
            },
        );
    }

    fn system(&mut self) {
        self.get(
            "/metadata",
            "system",
            "capabilities".to_owned(),
            "CapabilityStatement".to_owned(),
            [
                shared(&READING),
                vec![query("mode", "full, normative or terminology", "string")],
            ]
            .concat(),
            "Resource",
        );
        for interaction in offer::of_system(self.repository) {
            match interaction {
                SystemInteraction::Search => {
                    let parameters = [
                        shared(&SEARCHING),
                        vec![query("_type", "Resource types, by commas", "string")],
                    ]
                    .concat();
                    self.get(
                        "/",
                        "system",
                        "search-system".to_owned(),
                        "Search over types".to_owned(),
                        parameters,
                        "Bundle",
                    );
                    self.add(
                        "/_search",
                        search_by_post("system", "search-system-post".to_owned()),
                    );
                }
                SystemInteraction::History => self.get(
                    "/_history",
                    "system",
                    "history-system".to_owned(),
                    "History of the repository".to_owned(),
                    shared(&HISTORY),
                    "Bundle",
                ),
                SystemInteraction::Transaction => self.add(
                    "/",
                    Act {
                        method: "post",
                        id: "bundle".to_owned(),
                        tag: "system",
                        summary: "Batch or transaction".to_owned(),
                        parameters: shared(&["format", "prefer"]),
                        body: Some("Resource"),
                        success: &[("200", "Bundle")],
                    },
                ),
                SystemInteraction::Batch => {}
            }
        }
        self.operations(Level::System, "", "system", None, &[]);
    }

    fn rtype(&mut self, rtype: &str) {
        for interaction in offer::of_type(self.repository, rtype) {
            self.interaction(rtype, interaction);
        }
        let collection = format!("/{rtype}");
        let instance = format!("/{rtype}/{{id}}");
        self.operations(Level::Type, &collection, rtype, Some(rtype), &[]);
        self.operations(Level::Instance, &instance, rtype, Some(rtype), &["id"]);
        if compartment_names(self.repository).contains(&rtype) {
            let mut parameters = shared(&["id"]);
            parameters.push(path_parameter("type", "Resource type, or * for all"));
            parameters.extend(shared(&SEARCHING));
            self.get(
                &format!("{instance}/{{type}}"),
                rtype,
                format!("{rtype}-compartment"),
                format!("Search in the compartment of one {rtype}"),
                parameters,
                "Bundle",
            );
        }
    }

    fn interaction(&mut self, rtype: &str, interaction: Interaction) {
        let id = format!("{rtype}-{}", interaction.code());
        let collection = format!("/{rtype}");
        let instance = format!("/{rtype}/{{id}}");
        let is_conditional = !self.repository.is_clinical();
        let with_id = |more: &[&str]| shared(&[&["id"], more].concat());
        let act = |method, summary: String, parameters, body, success| Act {
            method,
            id: id.clone(),
            tag: rtype,
            summary,
            parameters,
            body,
            success,
        };
        match interaction {
            Interaction::Read => self.add(
                &instance,
                act(
                    "get",
                    format!("Read a {rtype}"),
                    with_id(&[&READING[..], &["ifNoneMatch"]].concat()),
                    None,
                    &[("200", "Resource"), ("304", "Unchanged")],
                ),
            ),
            Interaction::Vread => self.add(
                &format!("{instance}/_history/{{vid}}"),
                act(
                    "get",
                    format!("Read a version of a {rtype}"),
                    with_id(&[&["vid"], &READING[..]].concat()),
                    None,
                    &[("200", "Resource"), ("304", "Unchanged")],
                ),
            ),
            Interaction::HistoryInstance => self.add(
                &format!("{instance}/_history"),
                act(
                    "get",
                    format!("Versions of a {rtype}"),
                    with_id(&HISTORY),
                    None,
                    &[("200", "Bundle")],
                ),
            ),
            Interaction::HistoryType => self.add(
                &format!("{collection}/_history"),
                act(
                    "get",
                    format!("Versions of every {rtype}"),
                    shared(&HISTORY),
                    None,
                    &[("200", "Bundle")],
                ),
            ),
            Interaction::Create => self.add(
                &collection,
                act(
                    "post",
                    format!("Create a {rtype}"),
                    shared(&["format", "ifNoneExist", "prefer"]),
                    Some("Resource"),
                    &[("200", "Resource"), ("201", "Resource")],
                ),
            ),
            Interaction::SearchType => {
                let parameters = [shared(&SEARCHING), self.search_parameters(rtype)].concat();
                self.add(
                    &collection,
                    act(
                        "get",
                        format!("Search for {rtype}"),
                        parameters,
                        None,
                        &[("200", "Bundle")],
                    ),
                );
                self.add(
                    &format!("{collection}/_search"),
                    search_by_post(rtype, format!("{id}-post")),
                );
            }
            Interaction::Update => {
                self.write(
                    rtype,
                    &id,
                    "put",
                    "Update",
                    Some("Resource"),
                    &[("200", "Resource"), ("201", "Resource")],
                    is_conditional,
                );
            }
            Interaction::Patch => {
                self.write(
                    rtype,
                    &id,
                    "patch",
                    "Patch",
                    Some("Patch"),
                    &[("200", "Resource")],
                    is_conditional,
                );
            }
            Interaction::Delete => {
                self.write(
                    rtype,
                    &id,
                    "delete",
                    "Delete",
                    None,
                    &[("204", "Nothing")],
                    is_conditional,
                );
            }
        }
    }

    /// A change by id, and by search criteria where the repository takes those.
    #[allow(clippy::too_many_arguments, reason = "one row of a table")]
    fn write(
        &mut self,
        rtype: &str,
        id: &str,
        method: &str,
        verb: &str,
        body: Option<&str>,
        success: &[(&str, &str)],
        is_conditional: bool,
    ) {
        let act = |id, summary, parameters| Act {
            method,
            id,
            tag: rtype,
            summary,
            parameters,
            body,
            success,
        };
        let parameters = shared(&["id", "format", "ifMatch", "prefer"]);
        self.add(
            &format!("/{rtype}/{{id}}"),
            act(id.to_owned(), format!("{verb} a {rtype}"), parameters),
        );
        if is_conditional {
            let parameters = [
                shared(&["format", "ifMatch", "prefer"]),
                self.search_parameters(rtype),
            ]
            .concat();
            let summary = format!("{verb} the one {rtype} that a search finds");
            self.add(
                &format!("/{rtype}"),
                act(format!("{id}-conditional"), summary, parameters),
            );
        }
    }

    fn search_parameters(&self, rtype: &str) -> Vec<Value> {
        parameters(self.repository, rtype)
            .into_iter()
            .map(|p| {
                let kind = match p.kind {
                    ParamKind::Reference if !p.targets.is_empty() && p.targets.len() < 8 => {
                        format!("reference to {}", p.targets.join(", "))
                    }
                    kind => kind.as_str().to_owned(),
                };
                query(&p.code, &kind, "string")
            })
            .collect()
    }

    fn operations(
        &mut self,
        level: Level,
        path: &str,
        tag: &str,
        rtype: Option<&str>,
        parameters: &[&str],
    ) {
        let here = |o: &&Operation| {
            (o.is_here)(self.repository)
                && o.levels.contains(&level)
                && rtype.is_none_or(|rtype| o.is_for(rtype))
        };
        let found: Vec<&Operation> = OPERATIONS.iter().filter(here).collect();
        for operation in found {
            for method in operation.methods.split(", ") {
                let name = operation.name.trim_start_matches('$');
                let at = match level {
                    Level::System => "system",
                    Level::Type => "type",
                    Level::Instance => "instance",
                };
                self.add(
                    &format!("{path}/{}", operation.name),
                    Act {
                        method: &method.to_lowercase(),
                        id: format!("{tag}-{at}-{name}-{}", method.to_lowercase()),
                        tag,
                        summary: format!("Operation {name}"),
                        parameters: shared(&[parameters, &["format"]].concat()),
                        body: (method == "POST").then_some("Resource"),
                        success: &[("200", "Resource")],
                    },
                );
            }
        }
    }
}

fn search_by_post(tag: &str, id: String) -> Act<'_> {
    Act {
        method: "post",
        id,
        tag,
        summary: "Search with the parameters in the body".to_owned(),
        parameters: shared(&["format"]),
        body: Some("Search"),
        success: &[("200", "Bundle")],
    }
}
