//! Laboratory analyses of the demo nation: code of the Norwegian laboratory code system (NLK, list 7280), short name, units, the
//! range a laboratory prints, and one line that a citizen can understand.
//!
//! Ranges are shown as the laboratory sent them; nothing in the hub computes from the ones here.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::tsv;

/// One analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Analyte {
    /// NLK code.
    pub code: &'static str,
    /// Short name with system and component, bokmål.
    pub short_name: &'static str,
    /// Unit as laboratories print it; `None` for text answers and INR.
    pub unit: Option<&'static str>,
    /// Unit in UCUM; `None` for text answers.
    pub ucum: Option<&'static str>,
    /// Reference range as printed in the demo, women or everybody.
    pub range: Option<&'static str>,
    /// Reference range as printed for men, where it differs.
    pub range_men: Option<&'static str>,
    /// What the citizen reads, bokmål.
    pub explanation: Option<&'static str>,
    /// What the citizen reads, English.
    pub explanation_en: Option<&'static str>,
    /// English short name.
    pub name_en: Option<&'static str>,
    /// Code that replaces a retired one.
    pub successor: Option<&'static str>,
}

/// The analysis of an NLK code.
#[must_use]
pub fn analyte(code: &str) -> Option<&'static Analyte> {
    BY_CODE.get(code).and_then(|at| ANALYTES.get(*at))
}

/// All analyses, in the order of the table.
#[must_use]
pub fn all() -> &'static [Analyte] {
    &ANALYTES
}

static ANALYTES: LazyLock<Vec<Analyte>> = LazyLock::new(|| {
    tsv::rows(include_str!("lists/analytes.tsv"))
        .filter_map(|row| {
            Some(Analyte {
                code: tsv::field(&row, 0)?,
                short_name: tsv::field(&row, 1)?,
                unit: tsv::field(&row, 2),
                ucum: tsv::field(&row, 3),
                range: tsv::field(&row, 4),
                range_men: tsv::field(&row, 5),
                explanation: tsv::field(&row, 6),
                explanation_en: tsv::field(&row, 7),
                name_en: tsv::field(&row, 8),
                successor: tsv::field(&row, 9),
            })
        })
        .collect()
});

static BY_CODE: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    ANALYTES
        .iter()
        .enumerate()
        .map(|(at, a)| (a.code, at))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lists, oid};

    #[test]
    fn every_analysis_is_in_the_code_list_and_explained() {
        assert!(all().len() >= 25);
        for a in all() {
            let entry = lists::lookup(oid::LIST_NLK, a.code).unwrap();
            assert_eq!(entry.display, a.short_name);
            assert_eq!(entry.successor, a.successor);
            if a.successor.is_none() {
                assert!(
                    a.explanation.is_some() && a.explanation_en.is_some(),
                    "{}",
                    a.code
                );
            }
        }
        let hb = analyte("NOR05172").unwrap();
        assert_eq!((hb.unit, hb.range), (Some("g/dL"), Some("11,7 - 15,3")));
        assert_eq!(analyte("NPU03568").unwrap().ucum, Some("10*9/L"));
        assert_eq!(analyte("NPU10984").unwrap().successor, Some("NPU13183"));
    }
}
