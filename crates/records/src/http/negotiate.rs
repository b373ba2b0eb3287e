//! What a request says of forms: media types in and out, `_pretty`, `Prefer` (spec/fhir-server.md §1.1, §1.2).

use crate::outcome::Failure;
use axum::http::{HeaderMap, StatusCode, header};

/// `Prefer: return=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Return {
    Minimal,
    #[default]
    Representation,
    Outcome,
}

/// What `Prefer` headers ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// `return=`, when given.
    pub returns: Option<Return>,
    /// `handling=lenient`.
    pub is_lenient: bool,
}

/// Form of a resource on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

/// A media type with its parameters.
struct Media<'t> {
    name: &'t str,
    parameters: Vec<(&'t str, &'t str)>,
}

fn media(text: &str) -> Media<'_> {
    let mut parts = text.split(';');
    Media {
        name: parts.next().unwrap_or_default().trim(),
        parameters: parts
            .filter_map(|p| p.trim().split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect(),
    }
}

impl Media<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Names no other version of FHIR.
    fn is_r4(&self) -> bool {
        self.parameter("fhirVersion")
            .is_none_or(|v| v == "4.0" || v.starts_with("4.0."))
    }
}

fn format_of(name: &str) -> Option<Format> {
    match name.trim().to_ascii_lowercase().as_str() {
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

/// Whether this is the name of a media type that is not FHIR's.
pub(super) fn names_other(name: &str) -> bool {
    format_of(name).is_none()
}

/// `Accept` as quality and name, what is refused left out.
fn ranges(headers: &HeaderMap) -> Vec<(u32, &str)> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(media)
        .filter(|m| !m.name.is_empty())
        .map(|m| (quality(m.parameter("q")), m.name))
        .filter(|(quality, _)| *quality > 0)
        .collect()
}

/// Whether `Accept` names media types, and none by which FHIR's could be meant.
pub(super) fn wants_no_fhir(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    !ranges.is_empty()
        && ranges.iter().all(|(_, name)| {
            names_other(name) && !matches!(*name, "*/*" | "application/*" | "text/html")
        })
}

/// Whether content of a kind is asked for by its own name, rather than as FHIR.
pub(super) fn wants(headers: &HeaderMap, kind: &str) -> bool {
    let kind = media(kind).name;
    let family = kind.split('/').next().unwrap_or_default();
    let best = |of: &dyn Fn(&str) -> bool| {
        let named = ranges(headers).into_iter().filter(|(_, name)| of(name));
        named.map(|(quality, _)| quality).max().unwrap_or(0)
    };
    let is_kind = |name: &str| {
        name.eq_ignore_ascii_case(kind)
            || (family != "application" && name.strip_suffix("/*") == Some(family))
    };
    wants_no_fhir(headers) || best(&is_kind) > best(&|name: &str| !names_other(name))
}

/// Name of the media type of a `Content-Type` header.
pub(crate) fn media_name(content_type: &str) -> &str {
    media(content_type).name
}

/// The form of a body; 415 when it is none of ours, is written in another charset than UTF-8, or is of another version of
/// FHIR.
pub(crate) fn body_format(content_type: &str) -> Result<Format, Failure> {
    let media = media(content_type);
    let refuse = |text: &str| {
        Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-supported",
            format!("{text}; send application/fhir+json or application/fhir+xml in UTF-8"),
        )
    };
    let format = format_of(media.name)
        .ok_or_else(|| refuse("the Content-Type is missing or not one of FHIR"))?;
    if !media.is_r4() {
        return Err(refuse("this server speaks FHIR 4.0 only"));
    }
    if media
        .parameter("charset")
        .is_some_and(|c| !c.eq_ignore_ascii_case("utf-8") && !c.eq_ignore_ascii_case("us-ascii"))
    {
        return Err(refuse("the charset is not supported"));
    }
    Ok(format)
}

/// The form of the answer: `_format` wins over `Accept`; `*/*` and browsers get JSON.
pub(crate) fn negotiate(
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Result<Format, Failure> {
    let refuse = || {
        Failure::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-supported",
            "answers are application/fhir+json or application/fhir+xml, fhirVersion 4.0",
        )
    };
    if let Some((_, value)) = query.iter().find(|(name, _)| name == "_format") {
        let media = media(value);
        // `+` of a media type written into a URL unescaped arrives as a space.
        return format_of(&media.name.replace(' ', "+"))
            .filter(|_| media.is_r4())
            .ok_or_else(refuse);
    }
    let mut any = false;
    let mut is_browser = false;
    // Quality, form, and whether FHIR's own name was used.
    let mut best: Option<(u32, Format, bool)> = None;
    let mut has_accept = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let media = media(range);
            if media.name.is_empty() {
                continue;
            }
            has_accept = true;
            let quality = quality(media.parameter("q"));
            if quality == 0 || !media.is_r4() {
                continue;
            }
            any |= matches!(
                media.name,
                "*/*" | "application/*" | "text/html" | "text/*" | "application/fhir+ndjson"
            );
            is_browser |= matches!(media.name, "text/html" | "application/xhtml+xml");
            if let Some(format) = format_of(media.name)
                && best.is_none_or(|(q, ..)| quality > q)
            {
                best = Some((quality, format, media.name.contains("fhir")));
            }
        }
    }
    match best {
        // Browsers name XML beside XHTML, without meaning FHIR's.
        Some((_, Format::Xml, false)) if is_browser => Ok(Format::Json),
        Some((_, format, _)) => Ok(format),
        None if any || !has_accept => Ok(Format::Json),
        None => Err(refuse()),
    }
}

/// A quality value in thousandths; absent = 1, unreadable = 0.
pub(crate) fn quality(text: Option<&str>) -> u32 {
    match text {
        None => 1_000,
        Some(q) => q
            .parse::<f32>()
            .map_or(0, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u32),
    }
}

/// `_pretty`.
pub(crate) fn is_pretty(query: &[(String, String)]) -> Result<bool, Failure> {
    match query.iter().find(|(name, _)| name == "_pretty") {
        None => Ok(false),
        Some((_, value)) => match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Failure::bad("value", "_pretty must be true or false").on("_pretty")),
        },
    }
}

/// Reads `Prefer` (RFC 7240); preferences of others are passed over, wrong values of ours are 400.
pub(crate) fn preferences(headers: &HeaderMap) -> Result<Preferences, Failure> {
    let mut out = Preferences::default();
    let refuse = |what: &str| Failure::bad("value", format!("Prefer: {what} has an unknown value"));
    for value in headers.get_all("prefer") {
        for part in value.to_str().unwrap_or_default().split([',', ';']) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "return" => {
                    out.returns = Some(match value {
                        "minimal" => Return::Minimal,
                        "representation" => Return::Representation,
                        "OperationOutcome" => Return::Outcome,
                        _ => return Err(refuse("return")),
                    });
                }
                "handling" => {
                    out.is_lenient = match value {
                        "strict" => false,
                        "lenient" => true,
                        _ => return Err(refuse("handling")),
                    };
                }
                _ => {}
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

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
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Some(Format::Json),
            ),
            ("text/html, application/fhir+xml;q=0.9", Some(Format::Xml)),
            ("application/xml", Some(Format::Xml)),
            (
                "application/fhir+json;q=0.5, application/fhir+xml",
                Some(Format::Xml),
            ),
            ("image/png", None),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/fhir+json; fhirVersion=4.0", Some(Format::Json)),
            (
                "application/fhir+json; fhirVersion=\"4.0\"",
                Some(Format::Json),
            ),
            ("application/fhir+json; fhirVersion=4.3", None),
            ("image/png, */*;q=0", None),
        ] {
            assert_eq!(accept(value), expected, "{value}");
        }
        let format =
            |v: &str| negotiate(&[("_format".to_owned(), v.to_owned())], &HeaderMap::new()).ok();
        assert_eq!(format("xml"), Some(Format::Xml));
        assert_eq!(format("application/fhir json"), Some(Format::Json));
        assert_eq!(format("application/fhir+json; fhirVersion=5.0"), None);
        assert_eq!(format("csv"), None);
        assert_eq!(negotiate(&[], &HeaderMap::new()), Ok(Format::Json));
    }

    #[test]
    fn content_is_asked_for_by_its_name() {
        for (accept, kind, expected) in [
            ("", "image/png", false),
            ("*/*", "image/png", false),
            ("image/png", "image/png", true),
            ("image/*", "image/png", true),
            ("image/png, */*;q=0.1", "image/png", true),
            ("application/pdf", "image/png", true),
            ("application/fhir+json", "image/png", false),
            ("application/fhir+json, image/png;q=0.5", "image/png", false),
            ("application/fhir+json;q=0.5, image/png", "image/png", true),
            ("image/png;q=0", "image/png", false),
            ("text/plain", "text/plain; charset=utf-8", true),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                "image/png",
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants(&headers, kind), expected, "{accept} {kind}");
        }
    }

    #[test]
    fn bodies_say_what_they_are() {
        for (value, expected) in [
            ("application/fhir+json", Some(Format::Json)),
            ("application/json; charset=UTF-8", Some(Format::Json)),
            (
                "application/fhir+xml;charset=utf-8;fhirVersion=4.0",
                Some(Format::Xml),
            ),
            ("text/xml", Some(Format::Xml)),
            ("application/fhir+json; charset=iso-8859-1", None),
            ("application/fhir+json; fhirVersion=5.0", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(body_format(value).ok(), expected, "{value}");
        }
    }

    #[test]
    fn preferences_are_read() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("prefer", HeaderValue::from_static(value));
            }
            preferences(&headers)
                .map(|p| (p.returns, p.is_lenient))
                .ok()
        };
        assert_eq!(read(&[]), Some((None, false)));
        assert_eq!(
            read(&["return=minimal; handling=lenient"]),
            Some((Some(Return::Minimal), true))
        );
        assert_eq!(
            read(&["Return=\"representation\"", "respond-async, wait=10"]),
            Some((Some(Return::Representation), false))
        );
        assert_eq!(
            read(&["return=OperationOutcome"]),
            Some((Some(Return::Outcome), false))
        );
        assert_eq!(read(&["return=everything"]), None);
        assert_eq!(read(&["handling=odd"]), None);
    }

    proptest::proptest! {
        #[test]
        fn headers_of_any_kind_are_answers(text in "[ -~\\u{80}-\\u{ff}]{0,60}", query in "\\PC{0,40}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header::ACCEPT, value.clone());
                headers.insert("prefer", value);
            }
            let _ = negotiate(&[], &headers);
            let _ = negotiate(&[("_format".to_owned(), query)], &headers);
            let _ = preferences(&headers);
            let _ = body_format(&text);
            let _ = wants(&headers, &text);
        }
    }
}
