//! The mail around the envelope, the manifest, supervision, and the attachments.

use super::mime::{Mail, Part, bare};
use super::soap::{Envelope, Kind, attr, child};
use super::{EB, Hits, Place, Text, XLINK};
use crate::catalogue;
use crate::message;
use crate::xml::{Elem, XmlDoc};

/// Header fields and the kinds of the parts.
pub(super) fn mail(h: &mut Hits<'_>, mail: &Mail, soap: Option<&Part>) {
    for (name, missing, empty) in [
        ("From", 18, 80),
        ("To", 19, 81),
        ("Message-ID", 250, 251),
        ("Date", 20, 83),
    ] {
        match mail.fields.get(name) {
            None => h.hit(missing, Place::Whole),
            Some(f) if f.value.is_empty() => h.hit(empty, Place::Field(f)),
            Some(_) => {}
        }
    }
    match mail.fields.get("MIME-Version") {
        None => h.hit(21, Place::Whole),
        // A comment may follow (RFC 2045 §4).
        Some(f) if f.value.split('(').next().unwrap_or_default().trim() != "1.0" => {
            h.hit(82, Place::Field(f));
        }
        Some(_) => {}
    }
    match mail.fields.get("SOAPAction") {
        None => h.hit(22, Place::Whole),
        Some(f) if f.value.trim_matches('"') == "ebXML" => {}
        // Real mails are written so, and taken (messaging.md §5.3).
        Some(f) if f.value.trim_matches('"').eq_ignore_ascii_case("ebXML") => {
            h.tolerated(51, Place::Field(f));
        }
        Some(f) => h.hit(51, Place::Field(f)),
    }
    let field = mail.fields.get("Content-Type");
    let kind = mail.fields.content_type();
    match (&kind, field) {
        (Some(kind), Some(field)) => match kind.media.as_str() {
            "text/plain" => h.hit(252, Place::Field(field)),
            "multipart/related" => {
                if kind
                    .parameter("type")
                    .is_none_or(|t| !t.eq_ignore_ascii_case("text/xml"))
                {
                    h.hit(253, Place::Field(field));
                }
                let first = soap.and_then(|s| s.fields.content_id());
                if let Some(start) = kind.parameter("start")
                    && first.as_deref() != Some(bare(start))
                {
                    h.hit(1001, Place::Field(field));
                }
            }
            "text/xml" => {}
            _ => h.hit(66, Place::Field(field)),
        },
        _ => h.hit(252, Place::Whole),
    }
    if let Some(part) = soap {
        soap_part(h, mail, part);
    }
}

fn soap_part(h: &mut Hits<'_>, mail: &Mail, part: &Part) {
    let kind = part.fields.content_type().unwrap_or_default();
    if kind.media != "text/xml" && mail.is_multipart {
        let number = if kind.media.ends_with("xml") { 255 } else { 67 };
        h.hit(number, Place::Part(part));
    }
    if kind.media == "text/xml"
        && kind
            .parameter("charset")
            .is_none_or(|c| !c.eq_ignore_ascii_case("UTF-8"))
    {
        h.hit(256, Place::Part(part));
    }
    match part.encoding().as_deref() {
        None => h.hit(257, Place::Part(part)),
        Some("8bit" | "binary" | "quoted-printable" | "7bit") => {}
        Some("base64") if part.is_decoded => {}
        Some(_) => h.hit(258, Place::Part(part)),
    }
}

/// A message with payload: reliability, manifest, supervision.
pub(super) fn check(
    h: &mut Hits<'_>,
    head: &Elem,
    body: Option<&Elem>,
    message: &Elem,
    service: &Option<String>,
    action: &Option<String>,
) {
    if child(message, EB, "DuplicateElimination").is_none() {
        h.hit(74, Place::Elem(message.at));
    }
    match child(head, EB, "AckRequested") {
        None => h.hit(75, Place::Elem(head.at)),
        Some(e) if !matches!(attr(e, EB, "signed"), Some("true" | "1")) => {
            h.hit(94, Place::Elem(e.at));
        }
        Some(_) => {}
    }
    let manifest = body.and_then(|b| child(b, EB, "Manifest"));
    let references: Vec<&Elem> = manifest
        .map(|m| {
            m.elems()
                .filter(|e| &*e.ns == EB && &*e.name == "Reference")
                .collect()
        })
        .unwrap_or_default();
    if let Some(m) = manifest
        && attr(m, EB, "version") != Some("2.0")
    {
        h.hit(5, Place::Elem(m.at));
    }
    if references.is_empty() {
        let at = manifest.or(body).map_or(head.at, |e| e.at);
        h.hit(6, Place::Elem(at));
    }
    let mut has_schema = false;
    for reference in references {
        linked(h, reference);
        if let Some(schema) = child(reference, EB, "Schema") {
            has_schema = true;
            self::schema(h, schema, service.as_deref(), action.as_deref());
        }
    }
    let described = description(h, message);
    if !described || !has_schema {
        h.hit(279, Place::Elem(message.at));
    }
    // A sector service is named after its message; others (NAV, Helsenorge) have names of their own.
    if let (Some(service), Some(action)) = (service, action)
        && action != "APPREC"
        && (service.strip_prefix("S-").is_some_and(|of| of != action)
            || service.strip_suffix("-S") == Some(action))
    {
        let at = child(message, EB, "Service").map_or(message.at, |e| e.at);
        h.hit(269, Place::Elem(at));
    }
}

fn linked(h: &mut Hits<'_>, reference: &Elem) {
    let at = Place::Elem(reference.at);
    let href = attr(reference, XLINK, "href").unwrap_or_default().trim();
    if href.is_empty() {
        h.hit(1006, at);
        return;
    }
    let Some(mail) = h.mail else { return };
    let Some(cid) = href.strip_prefix("cid:") else {
        h.hit(23, at);
        return;
    };
    let others = mail.parts.len().saturating_sub(1);
    if others == 0 {
        h.hit(27, at);
    } else if !mail
        .parts
        .iter()
        .any(|p| p.fields.content_id().is_some_and(|id| id == bare(cid)))
    {
        h.hit(23, at);
    }
}

fn schema(h: &mut Hits<'_>, schema: &Elem, service: Option<&str>, action: Option<&str>) {
    let at = Place::Elem(schema.at);
    let value = |name| {
        attr(schema, EB, name)
            .map(str::trim)
            .filter(|v| !v.is_empty())
    };
    let version = value("version");
    let is_version = |v: &str| {
        !v.is_empty()
            && v.split('.').count() >= 2
            && v.split('.')
                .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    if version.is_none_or(|v| !is_version(v)) {
        h.hit(266, at);
    }
    let Some(location) = value("location") else {
        h.hit(265, at);
        return;
    };
    let Some(found) = catalogue::find(location, "") else {
        h.hit(267, at);
        return;
    };
    let named = found.version.as_deref().and_then(|v| v.split(' ').next());
    if let (Some(version), Some(named)) = (version, named)
        && is_version(version)
        && is_version(named)
        && version != named
    {
        h.hit(268, at);
    }
    let (Some(service), Some(action)) = (service, action) else {
        return;
    };
    if service.starts_with("S-") && action != "APPREC" && !catalogue::carries(found.kind, action) {
        h.hit(269, at);
    }
}

/// What the sender's systems are (HITS 1210); whether it says at all.
fn description(h: &mut Hits<'_>, message: &Elem) -> bool {
    let Some(e) = child(message, EB, "Description") else {
        return false;
    };
    let at = Place::Elem(e.at);
    let text = e.text();
    let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap_or_default();
    for (name, missing, empty) in [("MSH-system", 271, 272), ("MSH-versjon", 273, 274)] {
        match value.get(name).and_then(|v| v.as_str()) {
            None => h.hit(missing, at),
            Some(v) if v.trim().is_empty() => h.hit(empty, at),
            Some(_) => {}
        }
    }
    value.is_object()
}

/// The parts beside the envelope.
pub(super) fn attachments(h: &mut Hits<'_>, mail: &Mail, soap: &Part, envelope: &Envelope) {
    let mut opened = true;
    for part in mail.parts.iter().filter(|p| !std::ptr::eq(*p, soap)) {
        let at = Place::Part(part);
        if part.encoding().as_deref() != Some("base64") || !part.is_decoded {
            h.hit(259, at);
        }
        let kind = part.fields.content_type().unwrap_or_default();
        let is_enveloped = kind.media == "application/pkcs7-mime"
            && kind
                .parameter("smime-type")
                .is_some_and(|t| t.eq_ignore_ascii_case("enveloped-data"));
        if !is_enveloped {
            h.hit(260, at);
        }
        if message::is_cms(&part.content) {
            match h.options.lookups.decrypt(&part.content) {
                Some(content) => inside(h, part, content, envelope),
                None => opened = false,
            }
        } else if part.is_decoded {
            h.hit(263, at);
            document(h, part, &part.content, envelope);
        }
    }
    if !opened && envelope.kind == Kind::Payload {
        h.skip(
            Text::new(
                "Innholdet i det krypterte vedlegget",
                "The content of the encrypted attachment",
            ),
            Text::new(
                "dekrypter med mottakers nøkkel, og valider XML-en for seg",
                "decrypt with the receiver's key, and validate the XML by itself",
            ),
        );
    }
}

/// What was encrypted: a MIME part, or as NAV sends it the document alone.
fn inside(h: &mut Hits<'_>, part: &Part, content: Vec<u8>, envelope: &Envelope) {
    if content.trim_ascii_start().starts_with(b"<") || content.starts_with(b"\x1f\x8b") {
        document(h, part, &content, envelope);
        return;
    }
    let inner = Mail::read(&content);
    if !matches!(
        inner.parts.first().and_then(Part::encoding).as_deref(),
        Some("8bit" | "base64")
    ) {
        h.hit(264, Place::Part(part));
    }
    let kind = inner.fields.content_type().unwrap_or_default();
    if kind.media != "application/xml" {
        h.hit(1007, Place::Part(part));
    }
    if let Some(inner) = inner.parts.first() {
        document(h, part, &inner.content, envelope);
    }
}

/// A document that can be read: at least it should be what the manifest says.
fn document(h: &mut Hits<'_>, part: &Part, content: &[u8], envelope: &Envelope) {
    let Ok(doc) = XmlDoc::parse_with(content, &h.options.limits) else {
        return;
    };
    let found = message::identify_doc(&doc);
    let action = envelope.action.as_deref().unwrap_or_default();
    let is_sector = envelope
        .service
        .as_deref()
        .is_some_and(|s| s.starts_with("S-"));
    let is_receipt = found.kind == message::MessageKind::AppRec;
    if is_sector
        && ((action == "APPREC") != is_receipt
            || (!is_receipt && !catalogue::carries(found.kind, action)))
    {
        h.hit(270, Place::Part(part));
    }
}
