//! SOAP over HTTP: which service, who asks, in which version, and the answer.
//!
//! Statuses: a fault is answered with 500 in both versions, because SOAP 1.1 §6.2 demands it and the stock clients (.NET,
//! CXF) read a fault from no other; what is no readable envelope gets 400, wrong content type 415, too large 413.

use super::contract::{Contract, Operation};
use super::fault::{Fault, Subcode};
use super::mtom;
use super::read::{Addressing, RequestLimits, Version, envelope};
use super::users::{User, Users};
use super::value::{Object, Value};
use super::write;
use super::wsdl::{Describe, Ports};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

/// A request that was read.
#[derive(Debug)]
pub struct Call {
    /// Name of the operation.
    pub operation: String,
    /// Its parameters.
    pub request: Object,
    /// Who asks.
    pub user: Arc<User>,
}

/// What a service says: the result (`Nil` where the operation has none), or a fault.
pub type Reply = Pin<Box<dyn Future<Output = Result<Value, Fault>> + Send>>;

/// A service behind a contract.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Work that blocks goes through [`crate::blocking`].
    fn call(self: Arc<Self>, call: Call) -> Reply;
}

/// A service at its paths.
pub struct Mount {
    /// What it takes and gives.
    pub contract: Arc<Contract>,
    /// Where it stands.
    pub ports: Ports,
    /// What a request may cost.
    pub limits: RequestLimits,
    /// The service.
    pub service: Arc<dyn Service>,
}

/// All SOAP services of a process.
pub struct Host {
    mounts: Vec<Mount>,
    /// Path in lower case → mount and version.
    paths: HashMap<String, (usize, Version)>,
    users: Arc<Users>,
    bases: Vec<String>,
}

impl Host {
    /// `bases` are the addresses under which the services are reached (`https://localhost:8443`), the first one where
    /// the request says none of them.
    #[must_use]
    pub fn new(users: Arc<Users>, bases: Vec<String>) -> Self {
        Self {
            mounts: Vec::new(),
            paths: HashMap::new(),
            users,
            bases,
        }
    }

    /// Puts a service up. Paths are found whatever their case.
    pub fn mount(&mut self, mount: Mount) {
        let at = self.mounts.len();
        let ports = [
            (&mount.ports.v12, Version::V12),
            (&mount.ports.v11, Version::V11),
        ];
        for (path, version) in ports {
            if let Some(path) = path {
                self.paths.insert(path.to_lowercase(), (at, version));
            }
        }
        self.mounts.push(mount);
    }

    /// The routes: everything below `/v1/` and `/v2/`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/{*path}", axum::routing::any(handle))
            .route("/v2/{*path}", axum::routing::any(handle))
            .route("/V1/{*path}", axum::routing::any(handle))
            .route("/V2/{*path}", axum::routing::any(handle))
            .with_state(Arc::new(self))
    }

    fn base(&self, headers: &HeaderMap) -> &str {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        self.bases
            .iter()
            .find(|base| base.split_once("://").map(|(_, host)| host) == host)
            .or(self.bases.first())
            .map_or("", String::as_str)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        text,
    )
        .into_response()
}

fn xml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

async fn handle(State(host): State<Arc<Host>>, request: Request) -> Response {
    let path = request.uri().path().trim_end_matches('/').to_lowercase();
    let found = host
        .paths
        .get(&path)
        .and_then(|(at, version)| Some((host.mounts.get(*at)?, *version)));
    let Some((mount, version)) = found else {
        return crate::Problem::not_found().into_response();
    };
    match *request.method() {
        Method::POST => post(&host, mount, version, request).await,
        Method::GET | Method::HEAD => {
            describe(&host, mount, request.uri(), request.headers()).into_response()
        }
        _ => {
            let mut refused = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "SOAP: send a POST; the description is at ?wsdl",
            );
            refused
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            refused
        }
    }
}

fn describe(host: &Host, mount: &Mount, uri: &axum::http::Uri, headers: &HeaderMap) -> Response {
    let describe = Describe {
        contract: &mount.contract,
        ports: &mount.ports,
        base: host.base(headers),
    };
    let query = uri.query().unwrap_or_default().to_ascii_lowercase();
    match query.split_once('=').unwrap_or((&query, "")) {
        ("wsdl", _) => xml(describe.wsdl(uri.path())),
        ("singlewsdl", _) => xml(describe.single()),
        ("xsd", name) => match describe.xsd(uri.path(), name) {
            Some(schema) => xml(schema),
            None => plain(StatusCode::NOT_FOUND, "no such schema"),
        },
        _ => plain(
            StatusCode::OK,
            "A SOAP service. Its description: ?wsdl, or ?singleWsdl in one document.",
        ),
    }
}

/// A header's text. Actions hold Norwegian letters, which clients write in UTF-8 or in ISO 8859-1.
fn written(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|b| char::from(*b)).collect(),
    }
}

/// An action with what .NET writes as `%C3%B8` as it is meant; other text as it stands.
fn decoded(action: &str) -> String {
    let mut bytes = Vec::with_capacity(action.len());
    let mut rest = action.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        match (first, after) {
            (b'%', [high, low, tail @ ..])
                if let (Some(high), Some(low)) = (digit(*high), digit(*low)) =>
            {
                bytes.push(high * 16 + low);
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| action.to_owned())
}

/// `type/subtype` in lower case and one parameter of a content type.
pub(super) fn parameter(content_type: &str, name: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn media_type(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Largest body that is read only to be forgotten.
const PASSED_OVER_BYTES: usize = 64 << 10;

/// Reads a body that nobody wants, if it is small. An answer that overtakes its request's body costs the connection, and WCF
/// sends credentials only when asked for them: it would lose the connection with every call.
async fn pass_over(body: axum::body::Body) {
    let _ = to_bytes(body, PASSED_OVER_BYTES).await;
}

async fn post(host: &Host, mount: &Mount, version: Version, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(user) = host.users.of(&head.headers).await else {
        pass_over(body).await;
        let mut refused = plain(StatusCode::UNAUTHORIZED, "HTTP Basic: user and password");
        refused.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(r#"Basic realm="Grunndata", charset="UTF-8""#),
        );
        return refused;
    };
    let exchange = Exchange { mount, version };
    let content_type = head
        .headers
        .get(header::CONTENT_TYPE)
        .map(written)
        .unwrap_or_default();
    let content_type = content_type.as_str();
    let is_mtom = mount.ports.mtom && media_type(content_type) == "multipart/related";
    if let Err(why) = acceptable(version, content_type, is_mtom) {
        pass_over(body).await;
        return exchange.refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, Fault::malformed(why));
    }
    let encoding = head.headers.get(header::CONTENT_ENCODING).map(written);
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        let why = "Meldingen kan ikke leses: send den uten Content-Encoding.";
        return exchange.refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, Fault::malformed(why));
    }
    let Ok(bytes) = to_bytes(body, mount.limits.max_bytes).await else {
        let most = mount.limits.max_bytes;
        return exchange.refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            Fault::malformed(format!(
                "Meldingen er avbrutt eller større enn {most} byte."
            )),
        );
    };
    let bytes = if is_mtom {
        match mtom::root(&bytes, content_type) {
            Some(root) => bytes.slice_ref(root),
            None => {
                return exchange.refusal(
                    StatusCode::BAD_REQUEST,
                    Fault::malformed("Meldingen er ikke lesbar som MTOM."),
                );
            }
        }
    } else {
        bytes
    };
    let action = match version {
        Version::V11 => head
            .headers
            .get("soapaction")
            .map(|value| decoded(written(value).trim().trim_matches('"'))),
        Version::V12 => parameter(content_type, "action").map(|action| decoded(&action)),
    };
    let wants_mtom = is_mtom.then_some(());
    exchange
        .answer(head.uri.path(), action.as_deref(), &bytes, user, wants_mtom)
        .await
}

fn acceptable(version: Version, content_type: &str, is_mtom: bool) -> Result<(), String> {
    let expected = version.content_type();
    let is_right = media_type(content_type) == media_type(expected);
    let charset = parameter(content_type, "charset");
    let is_utf8 = charset.is_none_or(|c| c.eq_ignore_ascii_case("utf-8"));
    if (is_right && is_utf8) || is_mtom {
        return Ok(());
    }
    Err(format!(
        "Meldingen kan ikke leses: innholdstypen må være {expected}."
    ))
}

struct Exchange<'a> {
    mount: &'a Mount,
    version: Version,
}

impl Exchange<'_> {
    async fn answer(
        &self,
        path: &str,
        action: Option<&str>,
        bytes: &[u8],
        user: Arc<User>,
        mtom: Option<()>,
    ) -> Response {
        let contract = &self.mount.contract;
        let limits = &self.mount.limits;
        let envelope = match envelope(bytes, self.version, limits) {
            Ok(envelope) => envelope,
            Err((addressing, fault)) => {
                return self.fault(StatusCode::BAD_REQUEST, None, &addressing, &fault);
            }
        };
        let addressing = envelope.addressing.clone();
        let read = self
            .destination(path, &addressing)
            .and_then(|()| envelope.operation(contract, self.version, action))
            .map_err(|fault| (None, fault))
            .and_then(
                |operation| match envelope.parameters(contract, operation, limits) {
                    Ok(request) => Ok((operation, request)),
                    Err(fault) => Err((Some(operation), fault)),
                },
            );
        drop(envelope);
        let (operation, request) = match read {
            Ok(read) => read,
            Err((operation, fault)) => {
                return self.fault(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    operation,
                    &addressing,
                    &fault,
                );
            }
        };
        let call = Call {
            operation: operation.name.clone(),
            request,
            user,
        };
        match self.mount.service.clone().call(call).await {
            Ok(result) => self.result(operation, &addressing, &result, mtom),
            Err(fault) => self.fault(
                StatusCode::INTERNAL_SERVER_ERROR,
                Some(operation),
                &addressing,
                &fault,
            ),
        }
    }

    /// `To` may name another host (a proxy before us), but not another service.
    fn destination(&self, path: &str, addressing: &Addressing) -> Result<(), Fault> {
        let Some(to) = addressing
            .to
            .as_deref()
            .filter(|_| self.version == Version::V12)
        else {
            return Ok(());
        };
        let after_host = to
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))
            .unwrap_or("/");
        let is_here = to.ends_with("/addressing/anonymous")
            || after_host.trim_end_matches('/').to_lowercase()
                == path.trim_end_matches('/').to_lowercase();
        if is_here {
            return Ok(());
        }
        Err(Fault::addressing(
            Subcode::DestinationUnreachable,
            "To i hodet er ikke denne tjenestens adresse.",
        ))
    }

    fn result(
        &self,
        operation: &Operation,
        addressing: &Addressing,
        result: &Value,
        mtom: Option<()>,
    ) -> Response {
        let contract = &self.mount.contract;
        match write::answer(contract, operation, self.version, addressing, result) {
            Ok(text) if mtom.is_some() => {
                let (content_type, body) = mtom::wrap(&text, self.version);
                ([(header::CONTENT_TYPE, content_type)], body).into_response()
            }
            Ok(text) => {
                ([(header::CONTENT_TYPE, self.version.content_type())], text).into_response()
            }
            Err(misfit) => {
                tracing::error!(operation = %operation.name, %misfit, "an answer does not fit its contract");
                self.fault(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Some(operation),
                    addressing,
                    &Fault::internal(),
                )
            }
        }
    }

    fn refusal(&self, status: StatusCode, fault: Fault) -> Response {
        self.fault(status, None, &Addressing::default(), &fault)
    }

    fn fault(
        &self,
        status: StatusCode,
        operation: Option<&Operation>,
        addressing: &Addressing,
        fault: &Fault,
    ) -> Response {
        let contract = &self.mount.contract;
        let text = write::fault(contract, operation, self.version, addressing, fault)
            .or_else(|misfit| {
                tracing::error!(%misfit, "a fault does not fit its contract");
                write::fault(
                    contract,
                    operation,
                    self.version,
                    addressing,
                    &Fault::internal(),
                )
            })
            .unwrap_or_default();
        (
            status,
            [(header::CONTENT_TYPE, self.version.content_type())],
            Body::from(text),
        )
            .into_response()
    }
}
