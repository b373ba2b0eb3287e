//! Codes that charts draw from: our own selection, with weights of ordinary Norwegian practice. Displays of the Norwegian
//! lists come from crate `codes`; those of other systems are ours, in Norwegian.

/// A measurement at the bedside or in the office.
pub(super) struct Vital {
    pub loinc: &'static str,
    pub name: &'static str,
    pub unit: &'static str,
    pub ucum: &'static str,
    pub decimals: usize,
    pub mean: f64,
    pub sd: f64,
}

/// Vital signs of one value each.
pub(super) const VITALS: [Vital; 8] = [
    vital("8867-4", "Puls", "slag/min", "/min", 0, 74.0, 11.0),
    vital(
        "9279-1",
        "Respirasjonsfrekvens",
        "/min",
        "/min",
        0,
        15.0,
        2.5,
    ),
    vital("8310-5", "Kroppstemperatur", "°C", "Cel", 1, 36.8, 0.5),
    vital("59408-5", "Oksygenmetning", "%", "%", 0, 97.0, 1.6),
    vital("29463-7", "Kroppsvekt", "kg", "kg", 1, 76.0, 15.0),
    vital("8302-2", "Høyde", "cm", "cm", 0, 172.0, 9.0),
    vital("39156-5", "KMI", "kg/m2", "kg/m2", 1, 25.9, 4.2),
    vital("72514-3", "Smerte (0-10)", "poeng", "{score}", 0, 2.4, 2.1),
];

const fn vital(
    loinc: &'static str,
    name: &'static str,
    unit: &'static str,
    ucum: &'static str,
    decimals: usize,
    mean: f64,
    sd: f64,
) -> Vital {
    Vital {
        loinc,
        name,
        unit,
        ucum,
        decimals,
        mean,
        sd,
    }
}

/// A laboratory analysis: code of the Norwegian laboratory list, its LOINC counterpart, printed limits.
pub(super) struct Analysis {
    pub nlk: &'static str,
    pub loinc: &'static str,
    pub decimals: usize,
    pub mean: f64,
    pub sd: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

const fn analysis(
    nlk: &'static str,
    loinc: &'static str,
    decimals: usize,
    (mean, sd): (f64, f64),
    low: Option<f64>,
    high: Option<f64>,
) -> Analysis {
    Analysis {
        nlk,
        loinc,
        decimals,
        mean,
        sd,
        low,
        high,
    }
}

/// What is ordered in ordinary practice.
pub(super) const ANALYSES: [Analysis; 16] = [
    analysis("NOR05172", "718-7", 1, (14.0, 1.3), Some(11.7), Some(17.0)),
    analysis(
        "NPU19763",
        "2276-4",
        0,
        (90.0, 50.0),
        Some(15.0),
        Some(200.0),
    ),
    analysis("NPU02593", "6690-2", 1, (6.8, 1.9), Some(3.5), Some(11.0)),
    analysis(
        "NPU03568",
        "777-3",
        0,
        (255.0, 60.0),
        Some(145.0),
        Some(390.0),
    ),
    analysis("NPU19748", "1988-5", 0, (3.0, 4.0), None, Some(4.0)),
    analysis(
        "NPU03429",
        "2951-2",
        0,
        (140.5, 2.2),
        Some(137.0),
        Some(144.0),
    ),
    analysis("NPU03230", "2823-3", 1, (4.1, 0.4), Some(3.5), Some(4.4)),
    analysis(
        "NPU04998",
        "2160-0",
        0,
        (74.0, 15.0),
        Some(45.0),
        Some(105.0),
    ),
    analysis("NOR25909", "62238-1", 0, (88.0, 14.0), Some(60.0), None),
    analysis("NPU21571", "33762-6", 0, (130.0, 90.0), None, Some(300.0)),
    analysis("NPU27547", "3016-3", 1, (2.0, 1.1), Some(0.3), Some(4.5)),
    analysis(
        "NPU19651",
        "1742-6",
        0,
        (26.0, 12.0),
        Some(10.0),
        Some(45.0),
    ),
    analysis("NPU01568", "2089-1", 1, (3.2, 0.8), Some(1.2), Some(4.3)),
    analysis(
        "NPU27300",
        "59261-8",
        0,
        (38.0, 7.0),
        Some(20.0),
        Some(42.0),
    ),
    analysis("NPU02192", "14749-6", 1, (5.4, 1.0), Some(4.0), Some(6.0)),
    analysis("NOR15260", "14959-1", 1, (1.7, 1.2), None, Some(3.0)),
];

/// Reasons for encounter in general practice, ICPC-2.
pub(super) const PROBLEMS: [&str; 14] = [
    "R74", "K86", "U71", "P74", "A97", "T90", "R96", "H71", "A98", "B80", "K78", "R02", "A92",
    "K04",
];

/// Discharge diagnoses, ICD-10.
pub(super) const DIAGNOSES: [&str; 9] = [
    "I480", "I509", "J189", "S525", "D509", "E109", "J450", "I482", "T782",
];

/// Medicines prescribed, ATC, with dose in words.
pub(super) const MEDICINES: [(&str, &str); 16] = [
    ("N02BE01", "1 tablett inntil 4 ganger daglig ved behov"),
    ("J01CE02", "1 tablett 4 ganger daglig i 7 dager"),
    ("C10AA05", "1 tablett daglig"),
    ("C09AA05", "1 tablett daglig"),
    ("C07AB02", "1 tablett daglig"),
    ("R03AC02", "1-2 inhalasjoner ved behov"),
    ("R03BA02", "1 inhalasjon morgen og kveld"),
    ("N06AB06", "1 tablett daglig"),
    ("J01CA08", "1 tablett 3 ganger daglig i 3 dager"),
    ("B03AA07", "1 tablett daglig"),
    ("R06AE07", "1 tablett daglig ved behov"),
    ("A10BK01", "1 tablett daglig"),
    ("G03AA07", "1 tablett daglig i 21 dager"),
    ("B01AF02", "1 tablett morgen og kveld"),
    ("C03CA01", "1 tablett daglig"),
    ("A10AB05", "etter måling, til måltid"),
];

/// Vaccines, ATC.
pub(super) const VACCINES: [&str; 7] = [
    "J07BB02", "J07BN01", "J07CA02", "J07BD52", "J07BM03", "J07BC02", "J07AP03",
];

/// Procedures: SNOMED CT code and our words.
pub(super) const PROCEDURES: [(&str, &str); 6] = [
    ("73761001", "Koloskopi"),
    ("40701008", "Ekkokardiografi"),
    ("274474001", "Gipsing av brudd"),
    ("113091000", "MR-undersøkelse"),
    ("399208008", "Røntgen thorax"),
    ("29303009", "Elektrokardiogram"),
];

/// What people react to: SNOMED CT code, our words, FHIR category.
pub(super) const ALLERGENS: [(&str, &str, &str); 5] = [
    ("764146007", "Penicillin", "medication"),
    ("256259004", "Pollen", "environment"),
    ("762952008", "Peanøtt", "food"),
    ("288328004", "Veps", "environment"),
    ("39477002", "Dyrehår", "environment"),
];
