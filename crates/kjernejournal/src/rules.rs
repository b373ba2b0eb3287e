//! Rules of critical information as plain functions (spec/kjernejournal.md §4).

use serde::Serialize;
use trust::Class;

/// Category of critical information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// 1: reaction to a medicine.
    MedicineReaction,
    /// 2: other allergy.
    OtherAllergy,
    /// 3: difficult intubation.
    Intubation,
    /// 4: other anaesthetic problem.
    Anaesthesia,
    /// 5: critical medical condition.
    Condition,
    /// 6: ongoing treatment.
    OngoingTreatment,
    /// 7: implant.
    Implant,
    /// 8: limits of life-prolonging treatment.
    TreatmentLimit,
    /// 9: other change of procedure.
    ProcedureChange,
    /// 10: infection.
    Infection,
    /// 11: treatment clarification.
    TreatmentClarification,
}

impl Category {
    /// Every category with its code.
    pub const ALL: [(u8, Self); 11] = [
        (1, Self::MedicineReaction),
        (2, Self::OtherAllergy),
        (3, Self::Intubation),
        (4, Self::Anaesthesia),
        (5, Self::Condition),
        (6, Self::OngoingTreatment),
        (7, Self::Implant),
        (8, Self::TreatmentLimit),
        (9, Self::ProcedureChange),
        (10, Self::Infection),
        (11, Self::TreatmentClarification),
    ];

    /// From the national code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(c, _)| *c == code)
            .map(|(_, category)| category)
    }

    /// The privacy class of a record of this category.
    pub fn class(self) -> Class {
        match self {
            Self::MedicineReaction => Class::Critical1,
            Self::OtherAllergy => Class::Critical2,
            Self::Intubation => Class::Critical3,
            Self::Anaesthesia => Class::Critical4,
            Self::Condition => Class::Critical5,
            Self::OngoingTreatment => Class::Critical6,
            Self::Implant => Class::Critical7,
            Self::TreatmentLimit => Class::Critical8,
            Self::ProcedureChange => Class::Critical9,
            Self::Infection => Class::Critical10,
            Self::TreatmentClarification => Class::Critical11,
        }
    }

    /// From the privacy class.
    pub fn of_class(class: Class) -> Option<Self> {
        Self::ALL
            .into_iter()
            .map(|(_, c)| c)
            .find(|c| c.class() == class)
    }

    /// Place inside the red band (spec/portals.md §4.2): what kills first stands first.
    pub fn order(self, is_life_threatening: bool) -> u8 {
        match (self, is_life_threatening) {
            (Self::MedicineReaction | Self::OtherAllergy, true) => 0,
            (Self::MedicineReaction | Self::OtherAllergy, false) => 1,
            (Self::Infection, _) => 2,
            (Self::Implant, _) => 3,
            (Self::TreatmentLimit | Self::TreatmentClarification, _) => 4,
            (Self::Condition, _) => 5,
            (Self::OngoingTreatment, _) => 6,
            (Self::Intubation | Self::Anaesthesia, _) => 7,
            (Self::ProcedureChange, _) => 8,
        }
    }
}

/// Longest note, characters (KI-0014).
pub const MAX_NOTE_CHARS: usize = 500;

/// Whether an ICD-10 code may stand as critical condition: chapters XX (V-Y) and XXI (Z) may not.
pub fn is_critical_icd10(code: &str) -> bool {
    !matches!(
        code.chars().next(),
        Some('V' | 'W' | 'X' | 'Y' | 'Z' | 'v' | 'w' | 'x' | 'y' | 'z') | None
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_xx_and_xxi_are_not_critical() {
        for (code, is_fine) in [
            ("Z880", false),
            ("Y40", false),
            ("W57", false),
            ("T782", true),
            ("I480", true),
            ("", false),
        ] {
            assert_eq!(is_critical_icd10(code), is_fine, "{code}");
        }
    }

    #[test]
    fn categories_and_classes_are_one_to_one() {
        for (code, category) in Category::ALL {
            assert_eq!(Category::from_code(code), Some(category));
            assert_eq!(Category::of_class(category.class()), Some(category));
        }
    }
}
