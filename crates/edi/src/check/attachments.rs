//! Attachments: can the receiver show them (B26)?
//!
//! Source: HIS 1036 (PDF and JPEG are the safe formats; warn above 10 MB in all; a receiver that cannot show an
//! attachment must answer with a negative receipt).

use super::{Context, Rule};
use crate::apprec::ErrorCode;
use crate::msghead::{Content, RefDoc};
use crate::value::XmlValue;
use crate::xml::Elem;

const RULE: &str = "HIS 1036";
/// Warning limit of the whole message, from the days of mail.
const WARN_BYTES: usize = 10 * 1024 * 1024;
const SAFE: &[&str] = &["application/pdf", "image/jpeg", "image/jpg"];
const USUAL: &[&str] = &[
    "text/plain",
    "text/xml",
    "application/xml",
    "image/png",
    "image/tiff",
    "image/gif",
    "text/rtf",
    "application/rtf",
];
const DANGEROUS_NAMES: &[&str] = &[
    ".exe", ".bat", ".cmd", ".com", ".js", ".vbs", ".scr", ".msi", ".ps1", ".jar", ".lnk", ".hta",
];

pub(super) fn check(c: &mut Context<'_>) {
    if c.doc.source().len() > WARN_BYTES {
        let at = c.root.at;
        c.warn(
            Rule::Attachment,
            RULE,
            at,
            "Meldingen er større enn 10 MB; mange mottakere tar den ikke",
            "The message is larger than 10 MB; many receivers do not take it",
        );
    }
    let mut docs: Vec<&Elem> = Vec::new();
    c.root.walk(&mut |e| {
        if &*e.name == "RefDoc" && e.child("MsgType").is_some() {
            docs.push(e);
        }
    });
    let count = docs.len();
    let mut shown = 0;
    for e in docs.into_iter().take(100) {
        let Ok(doc) = RefDoc::read(e) else { continue };
        if doc.msg_type.code() == "A" {
            shown += usize::from(attachment(c, e, &doc));
        }
    }
    if shown > 0 && shown <= count {
        c.pass(
            format!("{shown} vedlegg kan leses"),
            format!("{shown} attachments can be read"),
        );
    }
}

/// Answers whether the attachment is inside and readable.
fn attachment(c: &mut Context<'_>, e: &Elem, doc: &RefDoc) -> bool {
    let mime = doc
        .mime_type
        .as_deref()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let name = doc
        .description
        .as_deref()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let at = e.child("MimeType").map_or(e.at, |m| m.at);
    let bytes = doc.content.as_ref().and_then(Content::bytes);
    let program = bytes
        .as_deref()
        .is_some_and(|b| b.starts_with(b"MZ") || b.starts_with(b"\x7fELF") || b.starts_with(b"#!"));
    if program
        || DANGEROUS_NAMES.iter().any(|d| name.ends_with(d))
        || mime.contains("msdownload")
        || mime.contains("executable")
    {
        c.error(
            Rule::Attachment,
            ErrorCode::T99,
            RULE,
            at,
            "Vedlegget er et program; send PDF eller JPEG",
            "The attachment is a program; send PDF or JPEG",
        );
        return false;
    }
    let inside = doc
        .content
        .as_ref()
        .is_some_and(|x| x.elems.iter().any(|e| &*e.name == "Base64Container"));
    if inside && bytes.is_none() {
        c.error(
            Rule::Attachment,
            ErrorCode::T99,
            RULE,
            doc.content.as_ref().map_or(e.at, |x| x.at),
            "Vedlegget kan ikke leses: innholdet er ikke gyldig base64",
            "The attachment cannot be read: its content is not valid base64",
        );
        return false;
    }
    if !SAFE.contains(&mime.as_str()) {
        if USUAL.contains(&mime.as_str()) {
            c.info(
                Rule::Attachment,
                RULE,
                at,
                "Bare PDF og JPEG er trygge vedleggsformater",
                "Only PDF and JPEG are safe formats for attachments",
            );
        } else {
            c.warn(
                Rule::Attachment,
                RULE,
                at,
                "Vedleggets format er ukjent eller mangler; mottakere som ikke kan vise det, avviser meldingen",
                "The attachment's format is unknown or missing; receivers that cannot show it reject the message",
            );
        }
    }
    if let Some(bytes) = &bytes {
        let wrong = match mime.as_str() {
            "application/pdf" => !bytes.starts_with(b"%PDF"),
            "image/jpeg" | "image/jpg" => !bytes.starts_with(b"\xff\xd8"),
            _ => false,
        };
        if wrong && doc.compression.is_none() {
            c.warn(
                Rule::Attachment,
                RULE,
                at,
                "Vedleggets innhold er ikke det formatet som er oppgitt",
                "The attachment's content is not in the format that is stated",
            );
        }
    }
    bytes.is_some()
}
