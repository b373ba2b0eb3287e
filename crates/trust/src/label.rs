//! Labels on records (spec/privacy.md §2.6): 9603 codes and our own, one bit each. The table is `rules/labels.tsv`.

use std::sync::LazyLock;

/// System of the 9603 codes.
pub const SYSTEM_9603: &str = "urn:oid:2.16.578.1.12.4.1.1.9603";
/// Other spellings of the same system.
pub const SYSTEM_9603_ALIASES: [&str; 2] = [
    "http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603",
    "http://ehelse.no/fhir/CodeSystem/no-kodeverk-9603",
];

/// What a label does to one kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No effect.
    Show,
    /// The record is as if absent.
    Hide,
    /// Hidden until the record's `disclose_at`.
    Until,
    /// Hidden unless the basis is elevated.
    Elevated,
    /// This record, and every document of the person, is hidden.
    HideDocuments,
}

/// Whose eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The person herself, 16 or older.
    Own,
    /// The person herself, 13-15.
    Youth,
    /// A parent.
    Parent,
    /// Power of attorney, or assigned.
    Attorney,
    /// Health personnel.
    Personnel,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Label {
    /// Code: 9603, or our own in lower case.
    pub code: &'static str,
    /// Its bit.
    pub bit: u64,
    effects: [Effect; 5],
}

impl Label {
    /// What it does to a reader.
    pub fn effect(&self, reader: Reader) -> Effect {
        let [own, youth, parent, attorney, personnel] = self.effects;
        match reader {
            Reader::Own => own,
            Reader::Youth => youth,
            Reader::Parent => parent,
            Reader::Attorney => attorney,
            Reader::Personnel => personnel,
        }
    }
}

static TABLE: LazyLock<Vec<Label>> = LazyLock::new(|| {
    include_str!("rules/labels.tsv")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(row)
        .collect()
});

fn row(line: &'static str) -> Option<Label> {
    let mut cells = line.split('\t');
    let code = cells.next()?;
    let bit = 1u64.checked_shl(cells.next()?.parse().ok()?)?;
    let mut effects = [Effect::Hide; 5];
    for effect in &mut effects {
        *effect = match cells.next()? {
            "show" => Effect::Show,
            "until" => Effect::Until,
            "elevated" => Effect::Elevated,
            "hide-documents" => Effect::HideDocuments,
            _ => Effect::Hide,
        };
    }
    Some(Label { code, bit, effects })
}

/// Every label.
pub fn all() -> &'static [Label] {
    &TABLE
}

/// The bit of a code; an unknown 9603 code hides from citizens and shows to personnel (principle 6).
pub fn bit(code: &str) -> u64 {
    let find = |c: &str| TABLE.iter().find(|l| l.code == c).map(|l| l.bit);
    find(code)
        .or_else(|| find("unknown-9603"))
        .unwrap_or(u64::MAX)
}

/// Bits that hide a record outright from this reader (`Until` is judged by `disclose_at`). Bits that stand for no label
/// of the table hide from everybody (spec/privacy.md §1, principle 6).
pub fn hidden_bits(reader: Reader, is_elevated: bool) -> u64 {
    let known = TABLE.iter().fold(0, |mask, l| mask | l.bit);
    let hidden = TABLE
        .iter()
        .filter(|l| match l.effect(reader) {
            Effect::Hide | Effect::HideDocuments => true,
            Effect::Elevated => !is_elevated,
            Effect::Show | Effect::Until => false,
        })
        .fold(0, |mask, l| mask | l.bit);
    hidden | !known
}

/// Label bits of a FHIR `meta.security` list given as (system, code).
pub fn bits_of<'a>(security: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    security
        .filter(|(system, _)| *system == SYSTEM_9603 || SYSTEM_9603_ALIASES.contains(system))
        .fold(0, |mask, (_, code)| mask | bit(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_whole() {
        assert_eq!(
            all().len(),
            include_str!("rules/labels.tsv")
                .lines()
                .filter(|l| !l.starts_with('#'))
                .count()
        );
        let bits: std::collections::BTreeSet<u64> = all().iter().map(|l| l.bit).collect();
        assert_eq!(bits.len(), all().len());
    }

    #[test]
    fn unknown_code_hides_from_citizens_only() {
        let unknown = bit("NORN_NEW");
        assert_ne!(hidden_bits(Reader::Own, false) & unknown, 0);
        assert_eq!(hidden_bits(Reader::Personnel, false) & unknown, 0);
    }

    #[test]
    fn nors_opens_to_elevated_personnel_only() {
        let nors = bit("NORS");
        assert_ne!(hidden_bits(Reader::Personnel, false) & nors, 0);
        assert_eq!(hidden_bits(Reader::Personnel, true) & nors, 0);
        assert_eq!(hidden_bits(Reader::Own, false) & nors, 0);
    }
}
