//! PATCH: which form a patch has, and what it makes of a stored resource (spec/fhir-server.md §2.6).

use crate::outcome::Failure;
use crate::render;
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fhir::patch::{fhirpath_patch, json_patch, merge_patch, xml_patch};
use fhir::{Doc, Finding, IssueCode, Limits, Node};
use store::Record;

/// Media type of JSON Patch.
const JSON_PATCH: &str = "application/json-patch+json";
/// Media type of JSON Merge Patch.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Media type of XML Patch.
const XML_PATCH: &str = "application/xml-patch+xml";
/// What a patch may be written in, for `Accept-Patch` and the CapabilityStatement.
pub(crate) const FORMATS: &[&str] = &[
    "application/fhir+json",
    "application/fhir+xml",
    "application/json-patch+json",
    XML_PATCH,
    "application/merge-patch+json",
];

/// A patch, read.
pub(crate) enum Patch {
    /// RFC 6902 on the JSON form.
    Json(Bytes),
    /// RFC 5261 on the XML form.
    Xml(Bytes),
    /// RFC 7396 on the JSON form.
    Merge(Bytes),
    /// FHIRPath Patch: Parameters.
    FhirPath(Doc),
}

impl Patch {
    /// From the body of a request. `document`: reads it as a resource.
    pub fn of_body(
        media_type: &str,
        body: &Bytes,
        document: impl FnOnce() -> Result<Doc, Failure>,
    ) -> Result<Self, Failure> {
        if body.is_empty() {
            return Err(Failure::bad("invalid", "the body is empty"));
        }
        if media_type.eq_ignore_ascii_case(JSON_PATCH) {
            return Ok(Self::Json(body.clone()));
        }
        if media_type.eq_ignore_ascii_case(XML_PATCH) {
            return Ok(Self::Xml(body.clone()));
        }
        if is_merge(media_type, body) {
            return Ok(Self::Merge(body.clone()));
        }
        document().and_then(Self::of_parameters).map_err(|failure| {
            if failure.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                failure.with(
                    header::HeaderName::from_static("accept-patch"),
                    &FORMATS.join(", "),
                )
            } else {
                failure
            }
        })
    }

    /// From an entry of a Bundle: Parameters, or a Binary that holds a JSON or XML Patch.
    pub fn of_entry(resource: Node<'_>) -> Result<Self, Failure> {
        let parse = || {
            Doc::parse_json(resource.raw_json(), &Limits::default())
                .map_err(|f| Failure::findings(&f))
        };
        match resource.resource_type() {
            Some("Binary") => {
                let kind = resource.str_at("contentType").unwrap_or_default();
                let name = kind.split(';').next().unwrap_or_default().trim();
                let form: fn(Bytes) -> Self = if name.eq_ignore_ascii_case(JSON_PATCH) {
                    Self::Json
                } else if name.eq_ignore_ascii_case(XML_PATCH) {
                    Self::Xml
                } else {
                    return Err(Failure::bad(
                        "not-supported",
                        "a Binary that patches has the contentType application/json-patch+json or application/xml-patch+xml",
                    ));
                };
                let text: String = resource
                    .str_at("data")
                    .unwrap_or_default()
                    .split_ascii_whitespace()
                    .collect();
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|_| Failure::bad("value", "Binary.data is not base64"))?;
                if bytes.is_empty() {
                    return Err(Failure::bad("required", "the Binary has no data"));
                }
                Ok(form(Bytes::from(bytes)))
            }
            _ => Self::of_parameters(parse()?),
        }
    }

    fn of_parameters(doc: Doc) -> Result<Self, Failure> {
        if doc.resource_type() != "Parameters" {
            return Err(Failure::bad(
                "invalid",
                "a patch is a JSON Patch (application/json-patch+json), an XML Patch (application/xml-patch+xml) or Parameters (FHIRPath Patch)",
            ));
        }
        Ok(Self::FhirPath(doc))
    }

    /// The patched resource. The server's values (`id`, `meta.versionId`, `meta.lastUpdated`) are in what is patched, so that
    /// tests on them hold, and may not be changed.
    pub fn apply(&self, record: &Record) -> Result<Doc, Failure> {
        let limits = Limits::default();
        let before = render::resource(record)?;
        let after = match self {
            Self::Json(patch) => {
                json_patch(&before, patch, &limits).map_err(|findings| refused(&findings))?
            }
            Self::Merge(patch) => {
                merge_patch(&before, patch, &limits).map_err(|findings| refused(&findings))?
            }
            Self::Xml(patch) => {
                let target = Doc::parse_json(before, &limits).map_err(|_| Failure::internal())?;
                let xml = xml_patch(&target.to_xml(), patch, &limits)
                    .map_err(|findings| refused(&findings))?;
                let after =
                    Doc::parse_patched_xml(&xml, &limits).map_err(|f| Failure::findings(&f))?;
                require_kept(record, &after)?;
                return Ok(after);
            }
            Self::FhirPath(patch) => {
                let target =
                    Doc::parse_json(before.clone(), &limits).map_err(|_| Failure::internal())?;
                fhirpath_patch(&target, patch, &limits, edge::clock::real_now_us())
                    .map_err(|findings| refused(&findings))?
            }
        };
        let after = Doc::parse_json(after, &limits).map_err(|f| Failure::findings(&f))?;
        require_kept(record, &after)?;
        Ok(after)
    }
}

/// A JSON Merge Patch: by its name, or plain JSON that is no `Parameters`, as fhirpy sends its partial updates.
fn is_merge(media_type: &str, body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "resourceType")]
        rtype: Option<String>,
    }
    if media_type.eq_ignore_ascii_case(MERGE_PATCH) {
        return true;
    }
    media_type.eq_ignore_ascii_case("application/json")
        && serde_json::from_slice::<Head>(body)
            .is_ok_and(|head| head.rtype.as_deref() != Some("Parameters"))
        && body.trim_ascii_start().starts_with(b"{")
}

/// A patch that cannot be carried out: 422 when its `test` fails, else 400.
fn refused(findings: &[Finding]) -> Failure {
    let mut failure = Failure::findings(findings);
    if findings
        .iter()
        .any(|f| f.rule == "json-patch" && f.code == IssueCode::Conflict)
    {
        failure.status = StatusCode::UNPROCESSABLE_ENTITY;
        for issue in &mut failure.issues {
            issue.code = "processing";
        }
    }
    failure
}

/// 400 when the patch touched what belongs to the server. `meta` values that are gone are put back on read.
fn require_kept(record: &Record, after: &Doc) -> Result<(), Failure> {
    let head = &record.head;
    let root = after.root();
    let (version, at) = (head.vno.0.to_string(), render::instant(head.at));
    let is_kept = |path: &str, value: &str| root.str_at(path).is_none_or(|now| now == value);
    let changed = if after.resource_type() != head.rtype {
        Some("resourceType".to_owned())
    } else if after.id() != Some(head.id.as_str()) {
        Some(format!("{}.id", head.rtype))
    } else if !is_kept("meta.versionId", &version) {
        Some(format!("{}.meta.versionId", head.rtype))
    } else if !is_kept("meta.lastUpdated", &at) {
        Some(format!("{}.meta.lastUpdated", head.rtype))
    } else {
        None
    };
    match changed {
        Some(element) => Err(Failure::bad(
            "invalid",
            "a patch may not change what belongs to the server",
        )
        .on(element)),
        None => Ok(()),
    }
}
