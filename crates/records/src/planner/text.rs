//! `_text` and `_content`: words of the narrative, or of the whole resource. There is no index for them: candidates are
//! looked at one by one, so these conditions never lead and cost as many documents as they test.

use codes::fold::words;
use fhir::Doc;
use fhir::keys::query::{split, unescape};

/// Most words of one condition.
const MAX_WORDS: usize = 20;

/// Words that a resource must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Alternatives; of each, every word must be there.
    any: Vec<Vec<String>>,
    /// In the narrative only.
    narrative: bool,
}

impl Words {
    /// Reads a value, commas meaning OR; `None` when it has no words, or too many.
    pub fn read(value: &str, narrative: bool) -> Option<Self> {
        let any: Vec<Vec<String>> = split(value, ',')
            .into_iter()
            .map(|part| words(&unescape(part)))
            .collect();
        let count: usize = any.iter().map(Vec::len).sum();
        (!any.iter().any(Vec::is_empty) && count <= MAX_WORDS).then_some(Self { any, narrative })
    }

    /// Whether a document has them: each wanted word is the beginning of one of its words.
    pub fn hold_in(&self, doc: &Doc) -> bool {
        let mut own: Vec<String> = Vec::new();
        if self.narrative {
            if let Some(div) = doc.root().str_at("text.div") {
                own = words(&without_tags(div));
            }
        } else {
            for node in doc.nodes() {
                match node.as_str() {
                    Some(text) if text.starts_with('<') => own.extend(words(&without_tags(text))),
                    Some(text) => own.extend(words(text)),
                    None => {}
                }
            }
        }
        self.any.iter().any(|wanted| {
            wanted
                .iter()
                .all(|w| own.iter().any(|o| o.starts_with(w.as_str())))
        })
    }
}

/// XHTML without its tags.
fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                out.push(' ');
            }
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use fhir::Limits;

    #[test]
    fn words_are_found_where_they_are_wanted() {
        let doc = Doc::parse_json(
            Bytes::from_static(
                br#"{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><b class=\"hidden\">Kari</b> from the valley</div>"},"name":[{"family":"Nordmann"}]}"#,
            ),
            &Limits::default(),
        )
        .unwrap();
        for (value, narrative, expected) in [
            ("kari", true, true),
            ("kari val", true, true),
            ("alley", true, false),
            ("hidden", true, false),
            ("nordmann", true, false),
            ("nordmann", false, true),
            ("ola,kari", true, true),
            ("ola kari", true, false),
        ] {
            let words = Words::read(value, narrative).unwrap();
            assert_eq!(words.hold_in(&doc), expected, "{value} {narrative}");
        }
        assert_eq!(Words::read("", true), None);
        assert_eq!(Words::read("a,,b", true), None);
    }
}
