//! Code systems whose codes follow a grammar instead of a list.

/// Whether a code belongs to a system with a grammar; `None` for other systems.
pub(super) fn has(system: &str, code: &str) -> Option<bool> {
    match system {
        "http://unitsofmeasure.org" => {
            Some(code.len() <= 200 && crate::ucum::Unit::parse(code).is_some())
        }
        "urn:ietf:bcp:47" => Some(is_language(code)),
        "urn:ietf:bcp:13" => Some(is_media_type(code)),
        _ => None,
    }
}

/// RFC 5646 by shape: language, script, region, variants, extensions; not whether the subtags are registered.
fn is_language(code: &str) -> bool {
    let mut parts = code.split('-');
    let first = parts.next().unwrap_or_default();
    let is_alpha = |t: &str| t.bytes().all(|b| b.is_ascii_alphabetic());
    let is_primary = (2..=8).contains(&first.len()) && is_alpha(first);
    let is_private = matches!(first, "x" | "X" | "i" | "I");
    (is_primary || (is_private && code.len() > 2))
        && code.len() <= 100
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// RFC 6838 by shape: `type/subtype`, parameters allowed.
fn is_media_type(code: &str) -> bool {
    let name = code.split(';').next().unwrap_or_default().trim();
    let is_name = |t: &str| {
        (1..=127).contains(&t.len())
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    name.split_once('/')
        .is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_tell_codes_from_other_texts() {
        for (system, code, is) in [
            ("http://unitsofmeasure.org", "mg/dL", Some(true)),
            ("http://unitsofmeasure.org", "mg per dL", Some(false)),
            ("urn:ietf:bcp:47", "nb-NO", Some(true)),
            ("urn:ietf:bcp:47", "n", Some(false)),
            ("urn:ietf:bcp:47", "nb_NO", Some(false)),
            ("urn:ietf:bcp:13", "application/fhir+json", Some(true)),
            ("urn:ietf:bcp:13", "text/plain; charset=utf-8", Some(true)),
            ("urn:ietf:bcp:13", "pdf", Some(false)),
            ("http://loinc.org", "718-7", None),
        ] {
            assert_eq!(has(system, code), is, "{system} {code}");
        }
    }
}
