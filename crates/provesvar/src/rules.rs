//! Rules of results as plain functions and tables.

use trust::Class;

/// DiagnosticReport.status from Status (7306) and ServType (7309): spec/nilar.md §2.5.
pub fn report_status(status: &str, serv_type: &str) -> &'static str {
    match (status, serv_type) {
        (_, "C") => "cancelled",
        ("A", "M") => "appended",
        ("S" | "P" | "F", "M") => "amended",
        ("S", "N") => "registered",
        ("P", "N") => "preliminary",
        ("F", "N") => "final",
        _ => "unknown",
    }
}

/// Observation.status from StatusInvestigation (8245) and ServType (8270): spec/nilar.md §2.6.
pub fn observation_status(status: &str, serv_type: &str) -> &'static str {
    let column = match serv_type {
        "N" => 0,
        "M" => 1,
        "C" => return "cancelled",
        "H" => 2,
        "A" => 3,
        _ => return "unknown",
    };
    let row = match status {
        "" | "3" | "4" => ["final", "amended", "final", "final"],
        "1" => ["unknown", "amended", "amended", "unknown"],
        "2" => ["preliminary", "amended", "preliminary", "preliminary"],
        "5" => ["registered", "unknown", "unknown", "registered"],
        "6" | "7" => ["registered", "registered", "unknown", "registered"],
        "8" | "9" | "10" => ["preliminary", "unknown", "unknown", "preliminary"],
        "11" | "13" => ["final", "amended", "unknown", "final"],
        "12" => ["unknown", "amended", "unknown", "preliminary"],
        "15" => ["registered", "registered", "final", "registered"],
        _ => ["unknown"; 4],
    };
    row.get(column).copied().unwrap_or("unknown")
}

/// Interpretation (v3 ObservationInterpretation) of DevResultInd (8244): 1 above, 2 below, 3 outside.
pub fn interpretation(code: &str) -> Option<(&'static str, &'static str)> {
    match code {
        "1" => Some(("H", "High")),
        "2" => Some(("L", "Low")),
        "3" => Some(("A", "Abnormal")),
        _ => None,
    }
}

/// A comparison that FHIR has no comparator for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotComparable;

/// Quantity.comparator of ArithmeticComp (8239); `Err` for "not equal", which has none and stays text.
pub fn comparator(code: &str) -> Result<Option<&'static str>, NotComparable> {
    match code {
        "" | "EQ" => Ok(None),
        "GE" => Ok(Some(">=")),
        "GT" | "MG" => Ok(Some(">")),
        "LE" => Ok(Some("<=")),
        "LT" | "ML" => Ok(Some("<")),
        _ => Err(NotComparable),
    }
}

/// Category (main expertise) of a report type (8202), and the privacy class of its records.
pub fn discipline(code: &str) -> (&'static str, Class, Class) {
    match code {
        "PAT" | "HIST" | "CYTO" | "MPAT" | "OBD" => {
            ("PAT", Class::LabReport, Class::LabObservation)
        }
        "RAD" | "RTG" | "CT" | "MR" | "UL" | "NUK" | "MA" | "BLD" | "AN" => {
            ("BLD", Class::RadiologyReport, Class::RadiologyReport)
        }
        _ => ("LAB", Class::LabReport, Class::LabObservation),
    }
}

/// Days before the citizen sees a result, by report type (8202): the default table of spec/nilar.md §5.3 (own values).
pub fn default_delay_days(discipline: &str) -> i64 {
    match discipline {
        "PAT" | "HIST" | "CYTO" | "MPAT" | "OBD" | "MGEN" => 14,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_status_table() {
        let rows = [
            (
                "S",
                ["registered", "amended", "cancelled", "unknown", "unknown"],
            ),
            (
                "P",
                ["preliminary", "amended", "cancelled", "unknown", "unknown"],
            ),
            ("F", ["final", "amended", "cancelled", "unknown", "unknown"]),
            (
                "A",
                ["unknown", "appended", "cancelled", "unknown", "unknown"],
            ),
        ];
        for (status, expected) in rows {
            for (serv_type, expected) in ["N", "M", "C", "H", "A"].iter().zip(expected) {
                assert_eq!(
                    report_status(status, serv_type),
                    expected,
                    "{status} {serv_type}"
                );
            }
        }
    }

    #[test]
    fn observation_status_table() {
        let rows = [
            ("", ["final", "amended", "cancelled", "final", "final"]),
            (
                "1",
                ["unknown", "amended", "cancelled", "amended", "unknown"],
            ),
            (
                "2",
                [
                    "preliminary",
                    "amended",
                    "cancelled",
                    "preliminary",
                    "preliminary",
                ],
            ),
            ("3", ["final", "amended", "cancelled", "final", "final"]),
            ("4", ["final", "amended", "cancelled", "final", "final"]),
            (
                "5",
                [
                    "registered",
                    "unknown",
                    "cancelled",
                    "unknown",
                    "registered",
                ],
            ),
            (
                "6",
                [
                    "registered",
                    "registered",
                    "cancelled",
                    "unknown",
                    "registered",
                ],
            ),
            (
                "7",
                [
                    "registered",
                    "registered",
                    "cancelled",
                    "unknown",
                    "registered",
                ],
            ),
            (
                "8",
                [
                    "preliminary",
                    "unknown",
                    "cancelled",
                    "unknown",
                    "preliminary",
                ],
            ),
            ("11", ["final", "amended", "cancelled", "unknown", "final"]),
            (
                "12",
                ["unknown", "amended", "cancelled", "unknown", "preliminary"],
            ),
            ("13", ["final", "amended", "cancelled", "unknown", "final"]),
            (
                "14",
                ["unknown", "unknown", "cancelled", "unknown", "unknown"],
            ),
            (
                "15",
                [
                    "registered",
                    "registered",
                    "cancelled",
                    "final",
                    "registered",
                ],
            ),
            (
                "99",
                ["unknown", "unknown", "cancelled", "unknown", "unknown"],
            ),
        ];
        for (status, expected) in rows {
            for (serv_type, expected) in ["N", "M", "C", "H", "A"].iter().zip(expected) {
                assert_eq!(
                    observation_status(status, serv_type),
                    expected,
                    "{status} {serv_type}"
                );
            }
        }
    }
}
