//! What the citizen, and personnel, see of letters (spec/portals.md §3.3): the message's own sections, never rewritten.

use crate::Dokumenter;
use crate::project::SHA256_URL;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use edge::Problem;
use edi::epikrise::{Event, Message};
use edi::xml::XmlDoc;
use records::source::{SourceState, ViewContext};
use serde::Serialize;
use serde_json::Value;
use store::{Head, MicrosUtc};

/// A letter in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LetterLine {
    /// Record id.
    pub id: String,
    /// Document type (9602 level 2).
    pub kind: Option<String>,
    /// Title as the sender wrote it.
    pub title: Option<String>,
    /// From whom.
    pub from: Option<String>,
    /// Date of the letter, as written.
    pub date: Option<String>,
    /// Corrected.
    pub is_amended: bool,
    /// Withdrawn.
    pub is_cancelled: bool,
    /// First commit of this version.
    pub stored_at: MicrosUtc,
}

/// The list.
#[derive(Clone, Debug, Serialize)]
pub struct LettersView {
    /// How the source answered.
    pub state: SourceState,
    /// Letters, newest first.
    pub letters: Vec<LetterLine>,
}

/// Which question a section answers; the page has the heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKey {
    /// Hva skjedde.
    Happened,
    /// Hva er funnet.
    Found,
    /// Hva skal skje videre.
    Next,
    /// Medisiner.
    Medicines,
    /// Hvem kan jeg spørre.
    Contact,
}

/// A piece of a section: the sender's heading and text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Heading as the sender's code says.
    pub heading: Option<String>,
    /// Paragraphs.
    pub text: Vec<String>,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Which.
    pub key: SectionKey,
    /// Pieces in the order of the letter.
    pub pieces: Vec<Piece>,
}

/// One letter.
#[derive(Clone, Debug, Serialize)]
pub struct LetterView {
    /// Its line.
    #[serde(flatten)]
    pub line: LetterLine,
    /// Author, when named.
    pub author: Option<String>,
    /// Period of the contact, as written.
    pub period: Option<(Option<String>, Option<String>)>,
    /// Sections; empty when the letter could not be read into sections (the original is always there).
    pub sections: Vec<Section>,
    /// SHA-256 of the original, hexadecimal.
    pub sha256: Option<String>,
    /// Size of the original, bytes.
    pub size_bytes: Option<u64>,
}

/// The untouched original.
#[derive(Clone, Debug)]
pub struct Original {
    /// The signed bytes.
    pub bytes: Bytes,
    /// Media type.
    pub content_type: String,
    /// Name for the download.
    pub file_name: String,
}

impl Dokumenter {
    /// The letters a reader may see.
    pub fn letters_for_citizen(&self, context: &ViewContext) -> Result<LettersView, Problem> {
        let view = self.source().view(context)?;
        let mut letters: Vec<LetterLine> = view
            .json()
            .iter()
            .filter(|(head, _)| head.rtype == "DocumentReference")
            .map(|(head, body)| line(head, body))
            .collect();
        letters.sort_by(|a, b| b.date.cmp(&a.date).then(b.stored_at.cmp(&a.stored_at)));
        let state = if view.state == SourceState::Ok && letters.is_empty() {
            SourceState::Empty
        } else {
            view.state
        };
        Ok(LettersView { state, letters })
    }

    /// One letter; the same answer for one that does not exist and one the reader may not see.
    pub fn letter_for_citizen(
        &self,
        context: &ViewContext,
        id: &str,
    ) -> Result<LetterView, Problem> {
        let (head, reference, original) = self.letter(context, id)?;
        let text = |pointer: &str| {
            reference
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let sections = sections(&original, text("/custodian/display"));
        let period = reference
            .pointer("/context/period")
            .map(|_| (text("/context/period/start"), text("/context/period/end")));
        Ok(LetterView {
            line: line(&head, &reference),
            author: reference
                .get("contained")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .find(|c| c["resourceType"] == "Practitioner")
                .and_then(|c| c.pointer("/name/0/text"))
                .and_then(Value::as_str)
                .map(str::to_owned),
            period,
            sections,
            sha256: reference
                .pointer("/content/0/attachment/extension")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .find(|e| e["url"] == SHA256_URL)
                .and_then(|e| e["valueString"].as_str())
                .map(str::to_owned),
            size_bytes: reference
                .pointer("/content/0/attachment/size")
                .and_then(Value::as_u64),
        })
    }

    /// The bytes that were signed.
    pub fn original(&self, context: &ViewContext, id: &str) -> Result<Original, Problem> {
        let (_, _, bytes) = self.letter(context, id)?;
        Ok(Original {
            bytes,
            content_type: "application/xml".to_owned(),
            file_name: format!("brev-{id}.xml"),
        })
    }

    fn letter(&self, context: &ViewContext, id: &str) -> Result<(Head, Value, Bytes), Problem> {
        let view = self.source().view(context)?;
        let records = view.json();
        let find = |rtype: &str| records.iter().find(|(h, _)| h.rtype == rtype && h.id == id);
        let (head, reference) = find("DocumentReference").ok_or_else(Problem::not_found)?;
        let (_, binary) = find("Binary").ok_or_else(Problem::not_found)?;
        let data = binary["data"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(data).map_err(|_| Problem::internal())?;
        Ok((head.clone(), reference.clone(), Bytes::from(bytes)))
    }
}

fn line(head: &Head, body: &Value) -> LetterLine {
    let text = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    LetterLine {
        id: head.id.clone(),
        kind: text("/type/coding/0/code"),
        title: text("/description"),
        from: text("/custodian/display"),
        date: text("/date"),
        is_amended: text("/docStatus").as_deref() == Some("amended"),
        is_cancelled: text("/status").as_deref() == Some("entered-in-error"),
        stored_at: head.at,
    }
}

/// The letter's own parts under the five questions; what fits none stands under "what happened".
fn sections(original: &Bytes, contact: Option<String>) -> Vec<Section> {
    let message = XmlDoc::parse(original)
        .ok()
        .and_then(|doc| Message::read_doc(&doc).ok());
    let Some(message) = message else {
        return Vec::new();
    };
    let mut pieces: Vec<(SectionKey, Piece)> = Vec::new();
    for event in &message.report.events {
        event_pieces(event, &mut pieces, 0);
    }
    if let Some(contact) = contact {
        pieces.push((
            SectionKey::Contact,
            Piece {
                heading: None,
                text: vec![contact],
            },
        ));
    }
    let keys = [
        SectionKey::Happened,
        SectionKey::Found,
        SectionKey::Next,
        SectionKey::Medicines,
        SectionKey::Contact,
    ];
    keys.into_iter()
        .filter_map(|key| {
            let own: Vec<Piece> = pieces
                .iter()
                .filter(|(k, _)| *k == key)
                .map(|(_, p)| p.clone())
                .collect();
            (!own.is_empty()).then_some(Section { key, pieces: own })
        })
        .collect()
}

const MAX_DEPTH: usize = 6;

fn event_pieces(event: &Event, pieces: &mut Vec<(SectionKey, Piece)>, depth: usize) {
    for item in &event.info {
        if let Some(observation) = &item.observation {
            let mut text: Vec<String> = Vec::new();
            if let Some(code) = observation.code.as_ref().map(|c| &c.concept) {
                let shown = codes_with_point(code.code());
                text.push(format!("{} ({shown})", code.label()).trim().to_owned());
            }
            text.extend(
                observation
                    .description
                    .as_ref()
                    .map(|d| d.text())
                    .into_iter()
                    .flat_map(paragraphs),
            );
            text.extend(observation.comment.iter().cloned());
            push(pieces, SectionKey::Found, item.kind.label(), text);
        }
        if let Some(medication) = &item.medication {
            let mut line = medication.drug.label().to_owned();
            for part in [medication.dosage.as_deref(), medication.comment.as_deref()]
                .into_iter()
                .flatten()
            {
                line.push_str(": ");
                line.push_str(part);
            }
            push(pieces, SectionKey::Medicines, "", vec![line]);
        }
        if let Some(result) = &item.result {
            let value = result.number.as_ref().map(|n| {
                format!(
                    "{} {}",
                    n.value.value.as_deref().unwrap_or_default(),
                    n.value.unit.as_deref().unwrap_or_default()
                )
            });
            let text = result
                .text
                .as_ref()
                .and_then(|t| t.result.as_ref())
                .and_then(|r| r.text.as_ref())
                .map(|t| t.text());
            let name = result.investigation.id.label();
            let words = value.or(text).map(|v| format!("{name}: {}", v.trim()));
            push(
                pieces,
                SectionKey::Found,
                item.kind.label(),
                words.into_iter().collect(),
            );
        }
    }
    for comment in &event.comments {
        let heading = comment.heading.as_ref();
        let key = match heading.map(|h| h.code()).unwrap_or_default() {
            "FU" | "DIAG" | "SVU" => SectionKey::Found,
            "VU" | "IP" | "UTRED" | "MAAL" | "UP" => SectionKey::Next,
            _ => SectionKey::Happened,
        };
        let text: Vec<String> = comment
            .text
            .as_ref()
            .map(|t| t.text())
            .into_iter()
            .flat_map(paragraphs)
            .collect();
        push(
            pieces,
            key,
            heading.map(|h| h.label()).unwrap_or_default(),
            text,
        );
    }
    if depth < MAX_DEPTH {
        for part in &event.parts {
            event_pieces(part, pieces, depth + 1);
        }
    }
}

fn push(pieces: &mut Vec<(SectionKey, Piece)>, key: SectionKey, heading: &str, text: Vec<String>) {
    if !text.is_empty() {
        let heading = (!heading.is_empty()).then(|| heading.to_owned());
        pieces.push((key, Piece { heading, text }));
    }
}

fn paragraphs(text: String) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}

/// ICD-10 codes without point in messages, with point on screen (I480 → I48.0).
fn codes_with_point(code: &str) -> String {
    let mut chars = code.chars();
    let is_icd10 = code.len() == 4
        && chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.all(|c| c.is_ascii_digit());
    match code.split_at_checked(3) {
        Some((category, rest)) if is_icd10 => format!("{category}.{rest}"),
        _ => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icd10_has_its_point_on_screen() {
        for (code, shown) in [
            ("I480", "I48.0"),
            ("K78", "K78"),
            ("S525", "S52.5"),
            ("B01AF02", "B01AF02"),
            ("", ""),
        ] {
            assert_eq!(codes_with_point(code), shown);
        }
    }
}
