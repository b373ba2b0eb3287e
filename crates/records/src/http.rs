//! The router of a repository: addresses, formats, headers; what is behind an address stands in the other modules.

use crate::gate::Caller;
use crate::operations::{self, Target};
use crate::outcome::Failure;
use crate::params;
use crate::render;
use crate::repository::{MountError, Repository, RepositoryConfig};
use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use fhir::{Doc, Limits};
use std::sync::Arc;

/// Longest request body.
pub const MAX_BODY_BYTES: usize = 32 << 20;
/// Longest body of a batch or transaction.
pub const MAX_BUNDLE_BYTES: usize = 128 << 20;

/// The router of a repository at the root of its own host.
pub fn router(config: RepositoryConfig) -> Result<Router, MountError> {
    let mounted = Mounted {
        repository: Arc::new(Repository::new(config)?),
        prefix: String::new(),
    };
    Ok(Router::new().fallback(handle).with_state(mounted))
}

/// The routes of a repository below `prefix` (`/fhir/<name>`), with and without a slash at its end; to be merged.
pub fn mount(config: RepositoryConfig, prefix: &str) -> Result<Router, MountError> {
    let prefix = prefix.trim_end_matches('/');
    let mounted = Mounted {
        repository: Arc::new(Repository::new(config)?),
        prefix: prefix.to_owned(),
    };
    Ok(Router::new()
        .route(prefix, any(handle))
        .route(&format!("{prefix}/"), any(handle))
        .route(&format!("{prefix}/{{*below}}"), any(handle))
        .with_state(mounted))
}

/// A repository and where it is mounted.
#[derive(Clone)]
struct Mounted {
    repository: Arc<Repository>,
    prefix: String,
}

/// `Prefer: return=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Return {
    Minimal,
    #[default]
    Representation,
    Outcome,
}

/// A request, read as far as every interaction needs.
pub(crate) struct Call {
    pub method: Method,
    /// Path below the base, without the leading slash.
    pub path: String,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The public base by which the caller came.
    pub base: String,
    pub returns: Return,
    pub is_lenient: bool,
}

impl Call {
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    fn content_type(&self) -> &str {
        self.header(header::CONTENT_TYPE)
            .and_then(|v| v.split(';').next())
            .map_or("", str::trim)
    }

    /// The body as a document.
    pub fn document(&self) -> Result<Doc, Failure> {
        let limits = Limits {
            max_bytes: MAX_BUNDLE_BYTES,
            ..Limits::default()
        };
        let parsed = match format_of(self.content_type()) {
            Some(Format::Json) => Doc::parse_json(self.body.clone(), &limits),
            Some(Format::Xml) => Doc::parse_xml(&self.body, &limits),
            None => {
                return Err(Failure::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "not-supported",
                    "send application/fhir+json or application/fhir+xml",
                ));
            }
        };
        if self.body.is_empty() {
            return Err(Failure::bad("invalid", "the body is empty"));
        }
        parsed.map_err(|findings| Failure::findings(&findings))
    }

    /// Parameters of the URL and of a form body together.
    pub fn search_parameters(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut parameters = self.query.clone();
        if self.method == Method::POST && !self.body.is_empty() {
            if self.content_type() != "application/x-www-form-urlencoded" {
                return Err(Failure::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "not-supported",
                    "_search takes application/x-www-form-urlencoded",
                ));
            }
            parameters.extend(params::decode(&self.body));
        }
        Ok(parameters)
    }
}

/// An answer before its format is chosen.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub content: Content,
}

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    /// A resource as JSON.
    Resource(Bytes),
    /// Bytes of another kind.
    Raw(String, Bytes),
}

impl Answer {
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Nothing,
        }
    }

    pub fn resource(status: StatusCode, json: Bytes) -> Self {
        Self {
            content: Content::Resource(json),
            ..Self::empty(status)
        }
    }

    /// Adds a header; a value that cannot be one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Xml,
}

fn format_of(text: &str) -> Option<Format> {
    match text.trim().to_ascii_lowercase().as_str() {
        "application/fhir+json"
        | "application/json"
        | "text/json"
        | "json"
        | "application/json+fhir" => Some(Format::Json),
        "application/fhir+xml"
        | "application/xml"
        | "text/xml"
        | "xml"
        | "application/xml+fhir" => Some(Format::Xml),
        _ => None,
    }
}

/// The format of the answer: `_format` wins over `Accept`; `*/*` and browsers get JSON.
fn negotiate(query: &[(String, String)], headers: &HeaderMap) -> Result<Format, Failure> {
    let refuse = || {
        Failure::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-supported",
            "answers are application/fhir+json or application/fhir+xml",
        )
    };
    if let Some((_, value)) = query.iter().find(|(name, _)| name == "_format") {
        // `+` of a media type written into a URL unescaped arrives as a space.
        let value = value.replace(' ', "+");
        let media = value.split(';').next().unwrap_or_default();
        return format_of(media).ok_or_else(refuse);
    }
    let mut any = false;
    let mut best: Option<(u32, Format)> = None;
    let mut has_accept = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';');
            let media = parts.next().unwrap_or_default().trim();
            if media.is_empty() {
                continue;
            }
            has_accept = true;
            let mut quality = 1_000;
            for parameter in parts {
                match parameter.trim().split_once('=') {
                    Some(("q", q)) => {
                        quality = q
                            .parse::<f32>()
                            .map_or(0, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u32);
                    }
                    Some(("fhirVersion", version)) if !version.starts_with("4.0") => quality = 0,
                    _ => {}
                }
            }
            if quality == 0 {
                continue;
            }
            any |= matches!(media, "*/*" | "application/*" | "text/html" | "text/*");
            if let Some(format) = format_of(media)
                && best.is_none_or(|(q, _)| quality > q)
            {
                best = Some((quality, format));
            }
        }
    }
    match best {
        Some((_, format)) => Ok(format),
        None if any || !has_accept => Ok(Format::Json),
        None => Err(refuse()),
    }
}

fn is_pretty(query: &[(String, String)]) -> Result<bool, Failure> {
    match query.iter().find(|(name, _)| name == "_pretty") {
        None => Ok(false),
        Some((_, value)) => match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Failure::bad("value", "_pretty must be true or false")),
        },
    }
}

fn preferences(headers: &HeaderMap) -> Result<(Return, bool), Failure> {
    let (mut returns, mut is_lenient) = (Return::default(), false);
    let refuse = |what: &str| Failure::bad("value", format!("Prefer: {what} has an unknown value"));
    for value in headers.get_all("prefer") {
        for part in value.to_str().unwrap_or_default().split([',', ';']) {
            match part.trim().split_once('=') {
                Some(("return", "minimal")) => returns = Return::Minimal,
                Some(("return", "representation")) => returns = Return::Representation,
                Some(("return", "OperationOutcome")) => returns = Return::Outcome,
                Some(("return", _)) => return Err(refuse("return")),
                Some(("handling", "strict")) => is_lenient = false,
                Some(("handling", "lenient")) => is_lenient = true,
                Some(("handling", _)) => return Err(refuse("handling")),
                _ => {}
            }
        }
    }
    Ok((returns, is_lenient))
}

async fn handle(
    State(Mounted { repository, prefix }): State<Mounted>,
    original: OriginalUri,
    request: Request,
) -> Response {
    let began = std::time::Instant::now();
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let (parts, body) = request.into_parts();
    let query = params::decode(parts.uri.query().unwrap_or_default().as_bytes());
    let path = parts.uri.path();
    let path = path.strip_prefix(&prefix).unwrap_or(path);
    let path = path.trim_start_matches('/').to_owned();
    let is_bundle = path.is_empty();
    let limit = if is_bundle {
        MAX_BUNDLE_BYTES
    } else {
        MAX_BODY_BYTES
    };
    let format = negotiate(&query, &parts.headers);
    let pretty = is_pretty(&query);
    let shown = (
        format.clone().unwrap_or(Format::Json),
        pretty.clone().unwrap_or(false),
    );
    let is_head = parts.method == Method::HEAD;
    let interaction = interaction(&parts.method, &path);
    let read = axum::body::to_bytes(body, limit).await.map_err(|_| {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-long",
            format!("the body is longer than {limit} bytes, or broke off"),
        )
    });
    let prepared = (|| {
        format?;
        pretty?;
        let (returns, is_lenient) = preferences(&parts.headers)?;
        Ok(Call {
            base: base_of(&repository, &parts.headers),
            segments: segments(&path),
            path,
            query,
            body: read?,
            headers: parts.headers,
            method: if is_head { Method::GET } else { parts.method },
            returns,
            is_lenient,
        })
    })();
    let name = repository.config.name.clone();
    let full_path = original.0.path().to_owned();
    let (result, event_id) = match prepared {
        Err(failure) => (Err(failure), uuid::Uuid::now_v7()),
        Ok(call) => {
            let repository = repository.clone();
            edge::blocking(move || serve(&repository, &call, &full_path))
                .await
                .unwrap_or_else(|_| (Err(Failure::internal()), uuid::Uuid::now_v7()))
        }
    };
    let answer = result.unwrap_or_else(|failure| Answer {
        status: failure.status,
        content: Content::Resource(Bytes::from(failure.outcome().to_string())),
        headers: failure.headers,
    });
    metrics::counter!("helsenav_fhir_requests_total", "repository" => name.clone(), "interaction" => interaction, "status" => answer.status.as_u16().to_string())
        .increment(1);
    metrics::histogram!("helsenav_fhir_request_seconds", "repository" => name, "interaction" => interaction)
        .record(began.elapsed().as_secs_f64());
    finish(&repository, answer, event_id, shown, is_head)
}

/// Name of an interaction in metrics: never part of the address itself.
fn interaction(method: &Method, path: &str) -> &'static str {
    let last = path.rsplit('/').next().unwrap_or_default();
    match (method.as_str(), last) {
        (_, "metadata") => "capabilities",
        (_, "_history") => "history",
        (_, "_search") => "search",
        ("GET" | "HEAD", _) if path.contains("/_history/") => "vread",
        ("GET" | "HEAD", _) if path.matches('/').count() == 1 => "read",
        ("GET" | "HEAD", _) => "search",
        ("POST", "") => "bundle",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("DELETE", _) => "delete",
        _ => "other",
    }
}

fn segments(path: &str) -> Vec<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/').map(|s| s.replace("%24", "$")).collect()
}

/// The public base whose host the caller used; the first when none fits.
fn base_of(repository: &Repository, headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let bases = &repository.config.bases;
    bases
        .iter()
        .find(|base| {
            base.split_once("://")
                .and_then(|(_, rest)| rest.split('/').next())
                .is_some_and(|authority| authority == host)
        })
        .or(bases.first())
        .cloned()
        .unwrap_or_default()
}

/// Runs a call. Blocking.
fn serve(
    repository: &Repository,
    call: &Call,
    full_path: &str,
) -> (Result<Answer, Failure>, uuid::Uuid) {
    if call.segments.len() == 1 && call.segments.first().is_some_and(|s| s == "metadata") {
        let answer = match call.method {
            Method::GET => crate::metadata::capabilities(repository, call),
            _ => Err(Failure::method("GET, HEAD")),
        };
        return (answer, uuid::Uuid::now_v7());
    }
    match repository
        .config
        .gate
        .authenticate(call.method.as_str(), full_path, &call.headers)
    {
        Err(refusal) => (Err(refusal.into()), uuid::Uuid::now_v7()),
        Ok(caller) => {
            let event_id = caller.event_id;
            (dispatch(repository, call, &caller), event_id)
        }
    }
}

/// From address and method to interaction.
pub(crate) fn dispatch(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
) -> Result<Answer, Failure> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    let method = call.method.as_str();
    match segments.as_slice() {
        [] => match method {
            "GET" => repository.search_system(call, caller),
            "POST" => repository.bundle(call, caller),
            _ => Err(Failure::method("GET, HEAD, POST")),
        },
        ["_search"] => match method {
            "POST" => repository.search_system(call, caller),
            _ => Err(Failure::method("POST")),
        },
        ["_history"] => match method {
            "GET" => repository.history_of_all(call, caller, None),
            _ => Err(Failure::method("GET, HEAD")),
        },
        [name] if name.starts_with('$') => {
            operations::run(repository, call, caller, name, Target::System)
        }
        [rtype, rest @ ..] => {
            repository.require_type(rtype)?;
            of_type(repository, call, caller, rtype, rest)
        }
    }
}

fn of_type(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    rtype: &str,
    rest: &[&str],
) -> Result<Answer, Failure> {
    let method = call.method.as_str();
    match rest {
        [] => match method {
            "GET" => repository.search_type(call, caller, rtype),
            "POST" => repository.create(call, caller, rtype),
            "PUT" => repository.update_matching(call, caller, rtype),
            "DELETE" => repository.delete_matching(call, caller, rtype),
            _ => Err(Failure::method("GET, HEAD, POST, PUT, DELETE")),
        },
        ["_search"] => match method {
            "POST" => repository.search_type(call, caller, rtype),
            _ => Err(Failure::method("POST")),
        },
        ["_history"] => match method {
            "GET" => repository.history_of_all(call, caller, Some(rtype)),
            _ => Err(Failure::method("GET, HEAD")),
        },
        [name] if name.starts_with('$') => {
            operations::run(repository, call, caller, name, Target::Type(rtype))
        }
        [id, name] if name.starts_with('$') => {
            operations::run(repository, call, caller, name, Target::Instance(rtype, id))
        }
        [id] => match method {
            "GET" => repository.read(call, caller, rtype, id),
            "PUT" => repository.update(call, caller, rtype, id),
            "DELETE" => repository.delete(call, caller, rtype, id),
            _ => Err(Failure::method("GET, HEAD, PUT, DELETE")),
        },
        [id, "_history"] => match method {
            "GET" => repository.history(call, caller, rtype, id),
            _ => Err(Failure::method("GET, HEAD")),
        },
        [id, "_history", version] => match method {
            "GET" => repository.vread(call, caller, rtype, id, version),
            _ => Err(Failure::method("GET, HEAD")),
        },
        [id, of] | [id, of, "_search"] => {
            if fhir::Pack::r4().compartment_types(rtype).next().is_none() {
                return Err(Failure::not_found());
            }
            match (method, rest.len()) {
                ("GET", 2) | ("POST", 3) => {
                    repository.search_compartment(call, caller, rtype, id, of)
                }
                _ => Err(Failure::method("GET, HEAD")),
            }
        }
        _ => Err(Failure::not_found()),
    }
}

const EXPOSED: &str = "ETag, Location, Content-Location, Last-Modified, Link, X-Request-Id, X-Event-Id, X-Progress, Retry-After, WWW-Authenticate, DPoP-Nonce";

fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, DPoP, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since, X-Request-Id, nhn-access-basis, nhn-user-role, nhn-patient-nin, hit-access-basis, hit-user-role, hit-patient-pid",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Puts the answer into the wished format and adds the common headers.
fn finish(
    repository: &Repository,
    answer: Answer,
    event_id: uuid::Uuid,
    (format, pretty): (Format, bool),
    is_head: bool,
) -> Response {
    let (content_type, bytes) = match answer.content {
        Content::Nothing => (None, Bytes::new()),
        Content::Raw(kind, bytes) => (Some(kind), bytes),
        Content::Resource(json) => match format {
            Format::Json if pretty => (
                Some("application/fhir+json; charset=utf-8".to_owned()),
                render::pretty(&json),
            ),
            Format::Json => (
                Some("application/fhir+json; charset=utf-8".to_owned()),
                json,
            ),
            Format::Xml => as_xml(json),
        },
    };
    let mut response = Response::new(if is_head {
        Body::empty()
    } else {
        Body::from(bytes.clone())
    });
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(kind) = content_type.and_then(|k| HeaderValue::from_str(&k).ok()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if is_head {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    for (name, value) in answer.headers {
        headers.append(name, value);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if repository.is_clinical() {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(value) = HeaderValue::from_str(&event_id.to_string()) {
            headers.insert(HeaderName::from_static("x-event-id"), value);
        }
    }
    response
}

fn as_xml(json: Bytes) -> (Option<String>, Bytes) {
    let limits = Limits {
        max_bytes: usize::MAX,
        max_nodes: usize::MAX,
        ..Limits::default()
    };
    match Doc::parse_json(json.clone(), &limits) {
        Ok(doc) => (
            Some("application/fhir+xml; charset=utf-8".to_owned()),
            doc.to_xml(),
        ),
        Err(_) => {
            tracing::error!("an answer cannot be written as XML");
            (
                Some("application/fhir+json; charset=utf-8".to_owned()),
                json,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        negotiate(&[], &headers).ok()
    }

    #[test]
    fn formats_are_negotiated() {
        for (value, expected) in [
            ("application/fhir+json", Some(Format::Json)),
            ("application/fhir+xml", Some(Format::Xml)),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Some(Format::Json),
            ),
            (
                "application/fhir+json;q=0.5, application/fhir+xml",
                Some(Format::Xml),
            ),
            ("image/png", None),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/fhir+json; fhirVersion=4.0", Some(Format::Json)),
        ] {
            assert_eq!(accept(value), expected, "{value}");
        }
        let format =
            |v: &str| negotiate(&[("_format".to_owned(), v.to_owned())], &HeaderMap::new()).ok();
        assert_eq!(format("xml"), Some(Format::Xml));
        assert_eq!(format("application/fhir json"), Some(Format::Json));
        assert_eq!(format("csv"), None);
        assert_eq!(negotiate(&[], &HeaderMap::new()), Ok(Format::Json));
    }

    #[test]
    fn paths_are_taken_apart() {
        assert!(segments("").is_empty());
        assert_eq!(segments("Patient/1/"), ["Patient", "1"]);
        assert_eq!(segments("%24reset"), ["$reset"]);
    }
}
