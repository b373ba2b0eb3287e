//! The router of a repository: addresses, formats, headers; what is behind an address stands in the other modules.

mod at_once;
mod binary;
mod coding;
mod elsewhere;
mod finish;
mod meters;
mod negotiate;
mod soon;

use crate::bulk::upload::{self, Upload};
use crate::gate::Caller;
use crate::operations::{self, Target};
use crate::outcome::Failure;
use crate::params;
use crate::repository::{MountError, Repository, RepositoryConfig};
use crate::search;
use crate::subscriptions;
use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use fhir::{Doc, Finding, Limits};
use finish::{Shown, finish, preflight};
use meters::Meters;
use negotiate::{Format, body_format, is_pretty, media_name, negotiate, preferences};
use std::sync::Arc;

pub use elsewhere::elsewhere;
pub(crate) use negotiate::Return;

/// Longest request body.
pub const MAX_BODY_BYTES: usize = 32 << 20;
/// Longest body of a batch or transaction.
pub const MAX_BUNDLE_BYTES: usize = 128 << 20;

/// The router of a repository at the root of its own host.
pub fn router(config: RepositoryConfig) -> Result<Router, MountError> {
    let mounted = Mounted {
        meters: Arc::new(Meters::new(&config.name)),
        repository: Arc::new(Repository::new(config)?),
        prefix: Arc::from(""),
    };
    mounted.repository.start();
    let router = Router::new().fallback(handle);
    let router = router.route(&format!("/{}", subscriptions::socket::PATH), any(socket));
    Ok(router.with_state(mounted))
}

/// The routes of a repository below `prefix` (`/fhir/<name>`), with and without a slash at its end; to be merged.
pub fn mount(config: RepositoryConfig, prefix: &str) -> Result<Router, MountError> {
    Ok(mount_with_front(config, prefix)?.0)
}

/// The same, with what may stand before the router: it answers reads and short searches of an open repository at once.
pub fn mount_with_front(
    config: RepositoryConfig,
    prefix: &str,
) -> Result<(Router, Arc<dyn edge::front::AtOnce>), MountError> {
    let prefix = prefix.trim_end_matches('/');
    let mounted = Mounted {
        meters: Arc::new(Meters::new(&config.name)),
        repository: Arc::new(Repository::new(config)?),
        prefix: Arc::from(prefix),
    };
    mounted.repository.start();
    let router = Router::new()
        .route(prefix, any(handle))
        .route(&format!("{prefix}/"), any(handle))
        .route(&format!("{prefix}/{{*below}}"), any(handle));
    let router = router.route(
        &format!("{prefix}/{}", subscriptions::socket::PATH),
        any(socket),
    );
    Ok((router.with_state(mounted.clone()), Arc::new(mounted)))
}

/// The websocket of subscriptions.
async fn socket(
    State(mounted): State<Mounted>,
    original: OriginalUri,
    headers: HeaderMap,
    upgrade: axum::extract::ws::WebSocketUpgrade,
) -> Response {
    subscriptions::socket::upgrade(mounted.repository, original.path(), &headers, upgrade)
}

/// A repository and where it is mounted.
#[derive(Clone)]
struct Mounted {
    repository: Arc<Repository>,
    prefix: Arc<str>,
    meters: Arc<Meters>,
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
    /// A body that went to disk instead (`$import`).
    pub upload: Option<Upload>,
    /// The state to read or search in, when it was waited for before.
    pub ahead: Option<store::Snapshot>,
    /// The public base by which the caller came.
    pub base: String,
    /// What the answer of a write carries.
    pub returns: Return,
    /// `Prefer: return=` was given.
    pub has_return: bool,
    pub is_lenient: bool,
}

impl Call {
    /// A header's text; `None` when it is not there or not UTF-8.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers
            .get(name)
            .and_then(|v| std::str::from_utf8(v.as_bytes()).ok())
    }

    fn content_type(&self) -> &str {
        self.header(header::CONTENT_TYPE).unwrap_or_default()
    }

    /// Media type of the body, without parameters; empty when not given.
    pub fn media_type(&self) -> &str {
        media_name(self.content_type())
    }

    /// The body of a create or update as a document; that of a Binary may be its content.
    pub fn resource(&self, rtype: &str, id: Option<&str>) -> Result<Doc, Failure> {
        binary::document(self, rtype, id).unwrap_or_else(|| self.document())
    }

    /// The body as a document.
    pub fn document(&self) -> Result<Doc, Failure> {
        self.read_document()?
            .map_err(|findings| Failure::findings(&findings))
    }

    /// The same, where a body that cannot be read is no failure of the call.
    pub fn read_document(&self) -> Result<Result<Doc, Vec<Finding>>, Failure> {
        if self.body.is_empty() {
            return Err(Failure::bad("invalid", "the body is empty"));
        }
        let limits = Limits {
            max_bytes: MAX_BUNDLE_BYTES,
            ..Limits::default()
        };
        Ok(match body_format(self.content_type())? {
            Format::Json => {
                // Some editors put a byte order mark before UTF-8.
                let mark = if self.body.starts_with(b"\xef\xbb\xbf") {
                    3
                } else {
                    0
                };
                Doc::parse_json(self.body.slice(mark..), &limits)
            }
            Format::Xml => Doc::parse_xml(&self.body, &limits),
        })
    }

    /// Parameters of the URL and of a form body together.
    pub fn search_parameters(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut parameters = self.query.clone();
        if self.method == Method::POST && !self.body.is_empty() {
            if self.media_type() != "application/x-www-form-urlencoded" {
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
    /// A file of another kind, with its length, sent as it is read.
    File(String, std::fs::File, u64),
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

async fn handle(
    State(Mounted {
        repository,
        prefix,
        meters,
    }): State<Mounted>,
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
    let path = path.strip_prefix(&*prefix).unwrap_or(path);
    let path = path.trim_start_matches('/').to_owned();
    let limit = if path.is_empty() {
        MAX_BUNDLE_BYTES
    } else {
        MAX_BODY_BYTES
    };
    // What a job answers with has a form of its own.
    let format = match negotiate(&query, &parts.headers) {
        Err(_) if path.starts_with("_jobs/") => Ok(Format::Json),
        Err(_)
            if binary::is_read(&parts.method, &path)
                && negotiate::wants_no_fhir(&parts.headers)
                && !query.iter().any(|(name, _)| name == "_format") =>
        {
            Ok(Format::Json)
        }
        other => other,
    };
    let pretty = is_pretty(&query);
    let is_head = parts.method == Method::HEAD;
    let shown = Shown {
        format: *format.as_ref().unwrap_or(&Format::Json),
        is_pretty: *pretty.as_ref().unwrap_or(&false),
        is_head,
        coding: coding::accepted(&parts.headers),
    };
    let interaction = interaction(&parts.method, &path);
    let is_upload = parts.method == Method::POST
        && matches!(path.as_str(), "$import" | "%24import")
        && upload::applies(&repository, &parts.headers);
    let mut uploaded = None;
    let read = match announced(&parts.headers) {
        _ if is_upload => upload::spool(&repository, &parts.headers, body)
            .await
            .map(|upload| {
                uploaded = Some(upload);
                Bytes::new()
            }),
        Some(length) if length > limit as u64 => Err(coding::too_long(limit)),
        _ => axum::body::to_bytes(body, limit)
            .await
            .map_err(|_| coding::too_long(limit)),
    };
    let prepared = (|| {
        format?;
        pretty?;
        let preferences = preferences(&parts.headers)?;
        Ok(Call {
            base: base_of(&repository, &parts.headers),
            segments: segments(&path),
            path,
            query,
            body: read?,
            upload: uploaded,
            ahead: None,
            headers: parts.headers,
            method: if is_head { Method::GET } else { parts.method },
            returns: preferences.returns.unwrap_or_default(),
            has_return: preferences.returns.is_some(),
            is_lenient: preferences.is_lenient,
        })
    })();
    let full_path = original.0.path().to_owned();
    let response = match prepared {
        Err(failure) => finish(&repository, Err(failure), uuid::Uuid::now_v7(), shown),
        Ok(mut call) => {
            if let Some(response) = soon::answer(&repository, &mut call, &full_path, shown).await {
                meters.count(
                    interaction,
                    response.status().as_u16(),
                    began.elapsed().as_secs_f64(),
                );
                return response;
            }
            let is_quick = is_quick(&repository, &call, shown);
            let is_read =
                call.method == Method::GET || call.segments.last().is_some_and(|s| s == "_search");
            let at = repository.clone();
            let work = move || {
                let (result, event_id) =
                    match coding::decoded(&call.headers, std::mem::take(&mut call.body), limit) {
                        Ok(body) => {
                            call.body = body;
                            serve(&at, &call, &full_path)
                        }
                        Err(failure) => (Err(failure), uuid::Uuid::now_v7()),
                    };
                finish(&at, result, event_id, shown)
            };
            let done = if is_quick {
                edge::quick(work).await
            } else if is_read {
                // Who goes away takes his search with him.
                let patience = store::Patience::new(search::TIME_LIMIT);
                let _waiting = patience.while_held();
                let work = move || patience.hold(work);
                // Elsewhere a read may wait: for a server, or until what it shows is recorded.
                if !repository.is_clinical() && repository.config.store.reads_are_quick() {
                    edge::in_turn(work).await
                } else {
                    edge::blocking(work).await
                }
            } else {
                edge::blocking(work).await
            };
            done.unwrap_or_else(|_| {
                let failure = Failure::internal();
                finish(&repository, Err(failure), uuid::Uuid::now_v7(), shown)
            })
        }
    };
    let status = response.status().as_u16();
    meters.count(interaction, status, began.elapsed().as_secs_f64());
    response
}

/// A read by id out of an open repository on the embedded engine, answered as it is stored: done before another thread
/// would have taken it over. Everything else decides, searches, waits for the disk or converts.
fn is_quick(repository: &Repository, call: &Call, shown: Shown) -> bool {
    is_open_read(repository, call) && shown.is_plain() && repository.config.store.reads_are_quick()
}

/// A read by id, and nothing more, out of an open repository.
fn is_open_read(repository: &Repository, call: &Call) -> bool {
    let is_read = match call.segments.as_slice() {
        [rtype, id] => repository.has_type(rtype) && crate::read::is_id(id),
        _ => false,
    };
    is_read
        && call.method == Method::GET
        && call.query.is_empty()
        && call.body.is_empty()
        && !repository.is_clinical()
        && repository.config.originals.is_none()
}

/// A search of one type, likely to be short, in an open repository.
fn is_open_search(repository: &Repository, call: &Call) -> bool {
    let is_search = match call.segments.as_slice() {
        [rtype] => repository.has_type(rtype) && at_once::is_short(&call.query),
        _ => false,
    };
    is_search
        && call.method == Method::GET
        && call.body.is_empty()
        && !repository.is_clinical()
        && repository.config.originals.is_none()
}

/// Length of the body as the request announces it.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Name of an interaction in metrics: never part of the address itself.
fn interaction(method: &Method, path: &str) -> &'static str {
    let last = path.rsplit('/').next().unwrap_or_default();
    match (method.as_str(), last) {
        (_, "metadata") => "capabilities",
        (_, "_history") => "history",
        (_, "_search") => "search",
        _ if path.starts_with("_jobs/") => "job",
        _ if last.starts_with(['$', '%']) => "operation",
        ("GET" | "HEAD", _) if path.contains("/_history/") => "vread",
        ("GET" | "HEAD", _) if path.matches('/').count() == 1 => "read",
        ("GET" | "HEAD", _) => "search",
        ("POST", "") => "bundle",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => "other",
    }
}

/// Parts of a path below the base, each unescaped.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/').map(unescaped).collect()
}

/// A path segment without its percent escapes; one that is not UTF-8 then stays as it is, and names nothing.
fn unescaped(segment: &str) -> String {
    if !segment.contains('%') {
        return segment.to_owned();
    }
    let bytes = segment.as_bytes();
    let hex = |at: usize| {
        bytes
            .get(at)
            .and_then(|b| char::from(*b).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| segment.to_owned())
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
    if let Some(answer) = crate::metadata::open(repository, call) {
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
    let caller = crate::smart::admit(call, caller)?;
    let caller = caller.as_ref();
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
        ["_jobs", rest @ ..] => crate::jobs::serve(repository, call, caller, rest),
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
            "PATCH" => repository.patch_matching(call, caller, rtype),
            "DELETE" => repository.delete_matching(call, caller, rtype),
            _ => Err(Failure::method("GET, HEAD, POST, PUT, PATCH, DELETE")),
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
            "GET" => repository
                .read(call, caller, rtype, id)
                .map(|answer| binary::shown(repository, call, rtype, answer)),
            "PUT" => repository.update(call, caller, rtype, id),
            "PATCH" => repository.patch(call, caller, rtype, id),
            "DELETE" => repository.delete(call, caller, rtype, id),
            _ => Err(Failure::method("GET, HEAD, PUT, PATCH, DELETE")),
        },
        [id, "_history"] => match method {
            "GET" => repository.history(call, caller, rtype, id),
            _ => Err(Failure::method("GET, HEAD")),
        },
        [id, "_history", version] => match method {
            "GET" => repository
                .vread(call, caller, rtype, id, version)
                .map(|answer| binary::shown(repository, call, rtype, answer)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert!(segments("").is_empty());
        assert_eq!(segments("Patient/1/"), ["Patient", "1"]);
        assert_eq!(segments("%24reset"), ["$reset"]);
        assert_eq!(segments("Patient/a%2Db%2e"), ["Patient", "a-b."]);
        assert_eq!(segments("%zz/%f/%ff"), ["%zz", "%f", "%ff"]);
    }
}
