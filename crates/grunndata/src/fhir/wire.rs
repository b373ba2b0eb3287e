//! Addresses, methods and forms of answers.

use super::history::is_versioned;
use super::kinds::Kind;
use super::refusal::{Refusal, outcome};
use crate::persons::form::Fields;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;

/// In what form the answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    /// By `_format`, else by `Accept`.
    pub(super) fn wished(address: &Fields, headers: &HeaderMap) -> Option<Self> {
        let asked = address.pairs().find(|(name, _)| *name == "_format");
        if let Some((_, value)) = asked {
            return Self::named(value.split(';').next().unwrap_or_default().trim());
        }
        let accepted: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|value| value.split(';').next().unwrap_or_default().trim())
            .filter(|value| !value.is_empty())
            .collect();
        if accepted.is_empty() {
            return Some(Self::Json);
        }
        accepted.into_iter().find_map(|kind| match kind {
            "*/*" | "application/*" => Some(Self::Json),
            other => Self::named(other),
        })
    }

    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().replace(' ', "+").as_str() {
            "json" | "application/json" | "application/fhir+json" | "text/json" => Some(Self::Json),
            "xml" | "application/xml" | "application/fhir+xml" | "text/xml" => Some(Self::Xml),
            _ => None,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/fhir+json; charset=utf-8",
            Self::Xml => "application/fhir+xml; charset=utf-8",
        }
    }
}

pub(super) fn written(
    status: StatusCode,
    format: Format,
    resource: &Value,
    is_head: bool,
) -> Response<Body> {
    let json = Bytes::from(resource.to_string());
    let bytes = match format {
        Format::Json => json,
        Format::Xml => match fhir::Doc::parse_json(json, &fhir::Limits::default()) {
            Ok(doc) => doc.to_xml(),
            Err(_) => {
                tracing::error!("grunndata fhir: an answer is no resource");
                return written(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Format::Json,
                    &outcome("error", "exception", "the answer could not be made"),
                    is_head,
                );
            }
        },
    };
    let mut response = Response::new(if is_head {
        Body::empty()
    } else {
        Body::from(bytes)
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static(format.media_type());
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is asked for.
pub(super) enum Asked {
    Metadata,
    Read(Kind, String),
    History(Kind, String),
    Version(Kind, String, String),
    Search(Kind),
}

/// Reads path and method.
pub(super) fn asked(path: &str, method: &Method) -> Result<Asked, Refusal> {
    let unknown = || {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Refusal::not_found(format!(
            "there is no such address; there are: metadata, {}",
            names.join(", ")
        ))
    };
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let (first, second, third) = (segments.next(), segments.next(), segments.next());
    let (fourth, fifth) = (segments.next(), segments.next());
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let asked = match (first, second, third) {
        // the base address of facts.json tells what is below it, as those of the other registers do
        (None | Some("metadata"), None, None) => Asked::Metadata,
        (Some(kind), second, None) => {
            let kind = Kind::named(kind).ok_or_else(unknown)?;
            match second {
                None => Asked::Search(kind),
                Some("_search") if *method == Method::POST => return Ok(Asked::Search(kind)),
                Some("_search") => return Err(Refusal::method("POST")),
                Some(id) => Asked::Read(kind, id.to_owned()),
            }
        }
        (Some(kind), Some(id), Some("_history")) if fifth.is_none() => {
            let versioned = Kind::named(kind).filter(|kind| is_versioned(*kind));
            let (kind, id) = (versioned.ok_or_else(unknown)?, id.to_owned());
            match fourth {
                None => Asked::History(kind, id),
                Some(version) => Asked::Version(kind, id, version.to_owned()),
            }
        }
        _ => return Err(unknown()),
    };
    if is_read {
        Ok(asked)
    } else {
        Err(Refusal::method("GET, HEAD"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_methods() {
        let read = |path: &str, method: &Method| asked(path, method);
        for path in ["/metadata", ""] {
            let asked = read(path, &Method::GET);
            assert!(matches!(asked, Ok(Asked::Metadata)), "{path:?}");
        }
        assert!(matches!(
            read("/Person", &Method::GET),
            Ok(Asked::Search(Kind::Person))
        ));
        assert!(matches!(
            read("/Patient/_search", &Method::POST),
            Ok(Asked::Search(Kind::Patient))
        ));
        assert!(matches!(
            read("/Endpoint/x", &Method::HEAD),
            Ok(Asked::Read(Kind::Endpoint, _))
        ));
        assert!(matches!(
            read("/Organization/enh-1/_history", &Method::GET),
            Ok(Asked::History(Kind::Organization, _))
        ));
        assert!(matches!(
            read("/Practitioner/hpr-1/_history/2", &Method::GET),
            Ok(Asked::Version(Kind::Practitioner, _, _))
        ));
        for (path, method, status) in [
            ("", Method::POST, 405),
            ("/Observation", Method::GET, 404),
            ("/Person/1/_history", Method::GET, 404),
            ("/Endpoint/1/_history/1", Method::GET, 404),
            ("/Organization/1/_history/1/x", Method::GET, 404),
            ("/Organization/1/_history", Method::POST, 405),
            ("/Organization/_history", Method::POST, 405),
            ("/Person", Method::POST, 405),
            ("/Person/1", Method::DELETE, 405),
            ("/Person/_search", Method::GET, 405),
        ] {
            let status_of = read(path, &method)
                .err()
                .map(|refusal| refusal.status.as_u16());
            assert_eq!(status_of, Some(status), "{method} {path}");
        }
    }

    #[test]
    fn the_form_of_the_answer() {
        let fields = |text: &str| Fields::parse(text.as_bytes()).unwrap();
        let accept = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(text).unwrap());
            headers
        };
        let none = fields("");
        for (address, headers, format) in [
            (&none, HeaderMap::new(), Some(Format::Json)),
            (
                &none,
                accept("application/fhir+xml;q=1.0, */*"),
                Some(Format::Xml),
            ),
            (&none, accept("text/html, */*;q=0.1"), Some(Format::Json)),
            (&none, accept("text/html"), None),
            (
                &fields("_format=xml"),
                accept("application/json"),
                Some(Format::Xml),
            ),
            (
                &fields("_format=application/fhir+json"),
                HeaderMap::new(),
                Some(Format::Json),
            ),
            (&fields("_format=csv"), HeaderMap::new(), None),
        ] {
            assert_eq!(Format::wished(address, &headers), format);
        }
    }
}
