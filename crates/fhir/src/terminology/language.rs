//! Which of a concept's texts is shown: languages wished for, in order, against the languages there are.

use super::code_system::Designation;

/// Languages wished for, best first (`nb, nn;q=0.8, *;q=0`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Languages {
    tags: Vec<Box<str>>,
    /// No other language than these (`*;q=0`).
    is_strict: bool,
}

/// Most languages of one wish.
const MAX_LANGUAGES: usize = 20;

impl Languages {
    /// Reads a weighted list, as in `Accept-Language`. What cannot be read is left out.
    pub fn parse(text: &str) -> Languages {
        let mut ranked: Vec<(u32, Box<str>)> = Vec::new();
        let mut is_strict = false;
        for item in text.split(',').take(MAX_LANGUAGES) {
            let mut parts = item.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            if tag.is_empty() || tag.len() > 40 {
                continue;
            }
            let weight = parts
                .find_map(|p| p.trim().strip_prefix("q="))
                .map_or(1_000, |q| {
                    q.parse::<f32>()
                        .map_or(0, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u32)
                });
            match (tag, weight) {
                ("*", 0) => is_strict = true,
                ("*", _) | (_, 0) => {}
                _ => ranked.push((weight, Box::from(tag))),
            }
        }
        ranked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Languages {
            tags: ranked.into_iter().map(|(_, tag)| tag).collect(),
            is_strict,
        }
    }

    /// Nothing is wished for.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether texts of other languages are refused.
    pub fn is_strict(&self) -> bool {
        self.is_strict && !self.tags.is_empty()
    }

    /// The list as given, for echoes.
    pub fn first(&self) -> Option<&str> {
        self.tags.first().map(AsRef::as_ref)
    }

    /// Whether a text in this language would do.
    pub fn admits(&self, language: Option<&str>) -> bool {
        self.tags.is_empty() || language.is_some_and(|l| self.tags.iter().any(|tag| speaks(tag, l)))
    }

    /// The text to show, of the text in the definition's own language and the designations. `None` only when the wish is
    /// strict and nothing fits, or there is no text at all.
    pub fn choose<'t>(
        &self,
        own: Option<&'t str>,
        own_language: Option<&str>,
        designations: &'t [Designation],
    ) -> Option<&'t str> {
        for tag in &self.tags {
            if own.is_some() && own_language.is_some_and(|l| speaks(tag, l)) {
                return own;
            }
            let mut best: Option<(&Designation, bool)> = None;
            for d in designations {
                let fits = d.language.as_deref().is_some_and(|l| speaks(tag, l));
                let is_name = is_display(d);
                if fits && best.is_none_or(|(_, was_name)| is_name && !was_name) {
                    best = Some((d, is_name));
                }
            }
            if let Some((d, _)) = best {
                return Some(&d.value);
            }
        }
        if self.is_strict() { None } else { own }
    }
}

/// Whether a designation names the concept as its display does (no use, or a use that says so).
pub(super) fn is_display(d: &Designation) -> bool {
    d.usage.as_ref().is_none_or(|(_, code, _)| {
        matches!(
            code.as_ref(),
            "display" | "preferredForLanguage" | "900000000000013009" | "900000000000003001"
        )
    })
}

/// Whether a text in `language` serves one who asks for `wish` (BCP 47 prefixes, both ways; `no` is bokmål and nynorsk).
pub(super) fn speaks(wish: &str, language: &str) -> bool {
    let primary = |tag: &str| {
        tag.split('-')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    if wish.eq_ignore_ascii_case(language) {
        return true;
    }
    let (w, l) = (primary(wish), primary(language));
    let is_norwegian = |a: &str, b: &str| a == "no" && matches!(b, "nb" | "nn");
    let same = w == l || is_norwegian(&w, &l) || is_norwegian(&l, &w);
    // A regional wish is served by the plain language and the other way round, not by another region.
    same && (!wish.contains('-') || !language.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn designation(language: &str, value: &str) -> Designation {
        Designation {
            language: Some(language.into()),
            value: value.into(),
            ..Designation::default()
        }
    }

    #[test]
    fn the_first_language_that_is_there_is_shown() {
        let others = [designation("nn", "Sjukehus"), designation("en", "Hospital")];
        for (wish, shown) in [
            ("", Some("Sykehus")),
            ("nb", Some("Sykehus")),
            ("no", Some("Sykehus")),
            ("nn", Some("Sjukehus")),
            ("nn-NO", Some("Sjukehus")),
            ("en-GB, nb;q=0.5", Some("Hospital")),
            ("se, nn;q=0.5", Some("Sjukehus")),
            ("de", Some("Sykehus")),
            ("de, *;q=0", None),
            ("en;q=0.1, nn;q=0.9", Some("Sjukehus")),
        ] {
            let wish_list = Languages::parse(wish);
            assert_eq!(
                wish_list.choose(Some("Sykehus"), Some("nb"), &others),
                shown,
                "{wish}"
            );
        }
    }
}
