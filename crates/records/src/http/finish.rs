//! The last step of every answer: its form, compression and the headers that all answers have.

use super::coding::{self, Coding};
use super::negotiate::Format;
use super::{Answer, Content};
use crate::outcome::Failure;
use crate::render;
use crate::repository::Repository;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use fhir::{Doc, Limits};
use std::borrow::Cow;

const JSON: &str = "application/fhir+json; charset=utf-8";
const XML: &str = "application/fhir+xml; charset=utf-8";

const EXPOSED: &str = "ETag, Location, Content-Location, Last-Modified, Link, X-Request-Id, X-Event-Id, X-Progress, Retry-After, WWW-Authenticate, DPoP-Nonce";

pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, PATCH, DELETE",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, DPoP, Content-Type, Content-Encoding, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since, X-Provenance, X-Request-Id, nhn-access-basis, nhn-user-role, nhn-patient-nin, hit-access-basis, hit-user-role, hit-patient-pid",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// In which form an answer goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub format: Format,
    pub is_pretty: bool,
    pub is_head: bool,
    pub coding: Option<Coding>,
}

impl Shown {
    /// Nothing to convert or lay out; it may have to be compressed.
    pub fn is_plain_json(self) -> bool {
        self.format == Format::Json && !self.is_pretty
    }

    /// As it is stored: nothing to convert, lay out or compress.
    pub fn is_plain(self) -> bool {
        self.is_plain_json() && self.coding.is_none()
    }
}

/// Puts the answer into the wished form and adds the common headers.
pub(super) fn finish(
    repository: &Repository,
    result: Result<Answer, Failure>,
    event_id: uuid::Uuid,
    shown: Shown,
) -> Response {
    let answer = result.unwrap_or_else(|failure| Answer {
        status: failure.status,
        content: Content::Resource(Bytes::from(failure.outcome().to_string())),
        headers: failure.headers,
    });
    let mut whole = None;
    let (content_type, bytes) = match answer.content {
        Content::File(kind, file, length) => {
            whole = Some((file, length));
            (Some(kind.into()), Bytes::new())
        }
        Content::Nothing => (None, Bytes::new()),
        Content::Raw(kind, bytes) => (Some(kind.into()), bytes),
        Content::Resource(json) => match shown.format {
            Format::Json if shown.is_pretty => (Some(JSON.into()), render::pretty(&json)),
            Format::Json => (Some(JSON.into()), json),
            Format::Xml => as_xml(json),
        },
    };
    let packed = coding::encoded(shown.coding.filter(|_| !shown.is_head), &bytes);
    let (coding, bytes) = match packed {
        Some((coding, packed)) => (Some(coding), packed),
        None => (None, bytes),
    };
    let length = whole
        .as_ref()
        .map_or(bytes.len() as u64, |(_, length)| *length);
    let is_file = whole.is_some();
    let mut response = Response::new(match whole {
        _ if shown.is_head => Body::empty(),
        Some((file, _)) => Body::from_stream(tokio_util::io::ReaderStream::with_capacity(
            tokio::fs::File::from_std(file),
            64 << 10,
        )),
        None => Body::from(bytes),
    });
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.reserve(14);
    if let Some(kind) = content_type.and_then(content_type_value) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if is_file || (shown.is_head && length > 0) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(coding) = coding {
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding.name()),
        );
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
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Accept, Accept-Encoding"),
    );
    if repository.is_clinical() {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(value) = HeaderValue::from_str(&event_id.to_string()) {
            headers.insert(HeaderName::from_static("x-event-id"), value);
        }
    }
    response
}

/// A resource where no repository is.
pub(super) fn bare(status: StatusCode, format: Format, json: Bytes, is_head: bool) -> Response {
    let (kind, bytes) = match format {
        Format::Json => (Some(JSON.into()), json),
        Format::Xml => as_xml(json),
    };
    let mut response = Response::new(if is_head {
        Body::empty()
    } else {
        Body::from(bytes)
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(kind) = kind.and_then(content_type_value) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

fn content_type_value(kind: Cow<'static, str>) -> Option<HeaderValue> {
    match kind {
        Cow::Borrowed(kind) => Some(HeaderValue::from_static(kind)),
        Cow::Owned(kind) => HeaderValue::from_str(&kind).ok(),
    }
}

fn as_xml(json: Bytes) -> (Option<Cow<'static, str>>, Bytes) {
    let limits = Limits {
        max_bytes: usize::MAX,
        max_nodes: usize::MAX,
        ..Limits::default()
    };
    match Doc::parse_json(json.clone(), &limits) {
        Ok(doc) => (Some(XML.into()), doc.to_xml()),
        Err(_) => {
            tracing::error!("an answer cannot be written as XML");
            (Some(JSON.into()), json)
        }
    }
}
