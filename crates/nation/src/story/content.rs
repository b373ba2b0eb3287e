//! Clinical content of the story's messages, as values. Wording is our own; codes are of the story's vocabulary.

use serde::Serialize;

use crate::history::{Analysis, result};

/// Content of a referral.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Referral {
    /// ICPC-2 code of the reason.
    pub icpc: &'static str,
    /// Clinical information: (code of list 8231, text).
    pub information: &'static [(&'static str, &'static str)],
    /// Priority of list 8304.
    pub priority: &'static str,
    /// Medicines in use (MEDB), empty = none.
    pub medicines: &'static [&'static str],
    /// Allergies (CAVE).
    pub cave: &'static str,
}

/// Content of a laboratory report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The laboratory's own number.
    pub number: &'static str,
    /// Service type of list 7309: `N` new, `M` amendment.
    pub service_type: &'static str,
    /// Status of list 7306.
    pub status: &'static str,
    /// Speciality of list 8202.
    pub speciality: &'static str,
    /// Results.
    pub analyses: Vec<Analysis>,
    /// Remark of the laboratory.
    pub comment: Option<&'static str>,
}

/// Content of a discharge letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Discharge {
    /// Mode of care of list 8240.
    pub care_mode: &'static str,
    /// ICD-10 codes, the main one first.
    pub icd: &'static [&'static str],
    /// Medicines: (ATC, text).
    pub medicines: &'static [(&'static str, &'static str)],
    /// Sections: (heading, text).
    pub sections: &'static [(&'static str, &'static str)],
}

/// The referral of `blokk.1`.
pub const BLOKK_REFERRAL: Referral = Referral {
    icpc: "K78",
    information: &[
        ("PROB", "Anfall med hjertebank og uregelmessig puls"),
        (
            "FO",
            "Kvinne, 58 år. Anfall med hjertebank siden i vinter, EKG i rolig fase normalt. De siste ukene tre anfall på inntil to timer, \
             uregelmessig puls 120 målt hjemme.",
        ),
        (
            "FU",
            "BT 132/80. Puls 72, regelmessig. Hjerte og lunger uten anmerkning. EKG i dag: sinusrytme.",
        ),
        (
            "UTRED",
            "Ønsker vurdering, langtids-EKG og ekkokardiografi. Blodprøver tas i dag.",
        ),
    ],
    priority: "14",
    medicines: &[],
    cave: "Ingen kjente",
};

/// The first report, `blokk.4`.
#[must_use]
pub fn blokk_report() -> Report {
    Report {
        number: "ISB-2026-000417",
        service_type: "N",
        status: "F",
        speciality: "CLIN",
        analyses: analyses("412", Some("1")),
        comment: None,
    }
}

/// The correction, `blokk.5`: the same report, one value exchanged.
#[must_use]
pub fn blokk_correction() -> Report {
    Report {
        service_type: "M",
        analyses: analyses("142", None),
        comment: Some(
            "Rettet svar: NT-proBNP var målt på en annen prøve. Erstatter tidligere svar.",
        ),
        ..blokk_report()
    }
}

fn analyses(bnp: &'static str, deviation: Option<&'static str>) -> Vec<Analysis> {
    vec![
        result("NOR05172", "12.6", None),
        result("NPU03230", "4.1", None),
        result("NPU04998", "71", None),
        result("NOR25909", "78", None),
        result("NPU27547", "1.8", None),
        result("NPU21571", bnp, deviation),
    ]
}

/// Text of the status message of `blokk.6`.
pub const BLOKK_ASSESSED: &str = "Henvisningen er vurdert. Pasienten får time i dag klokken 11.45 på hjertepoliklinikken, kort varsel på grunn av avbestilling.";

/// The discharge letter of `blokk.8`.
pub const BLOKK_DISCHARGE: Discharge = Discharge {
    care_mode: "3",
    icd: &["I480"],
    medicines: &[
        ("B01AF02", "Apiksaban 5 mg, 1 tablett morgen og kveld"),
        ("C07AB02", "Metoprolol depot 50 mg, 1 tablett morgen"),
    ],
    sections: &[
        (
            "Henvisningsårsak",
            "Anfall med hjertebank og uregelmessig puls.\n\
             Henvist fra fastlege Anders Solberg, Fjordgløtt legesenter.",
        ),
        (
            "Aktuelt",
            "58 år gammel kvinne, tidligere frisk.\n\
             Anfall med hjertebank siden i vinter, hyppigere de siste ukene.\n\
             Anfallene varer fra noen minutter til to timer og går over av seg selv.\n\
             Ingen brystsmerter, ingen besvimelser. Ikke tungpust.\n\
             Ingen kjente allergier. Ingen faste medisiner.",
        ),
        (
            "Funn",
            "Blodtrykk 134/82. Puls 70, regelmessig.\n\
             Hjerte: rene toner. Lunger: normal respirasjonslyd. Ingen ødemer.\n\
             EKG ved ankomst: sinusrytme.\n\
             Under registrering i poliklinikken 25 minutter atrieflimmer med frekvens 118, spontan overgang til sinusrytme.",
        ),
        (
            "Undersøkelser",
            "Ekkokardiografi: normal størrelse og funksjon av venstre ventrikkel, lett forstørret venstre forkammer, ingen klaffefeil.\n\
             Blodprøver i dag: hemoglobin 12,6, kalium 4,1, kreatinin 71, TSH 1,8, alle normale.\n\
             NT-proBNP 142 etter rettet svar.",
        ),
        (
            "Vurdering",
            "Anfallsvis (paroksysmal) atrieflimmer.\n\
             Risikopoeng tilsier blodfortynnende behandling etter samtale med pasienten.",
        ),
        (
            "Behandling og plan",
            "Apiksaban 5 mg morgen og kveld startes i dag.\n\
             Metoprolol depot 50 mg morgen for å dempe anfallene.\n\
             Resepter er skrevet. Pasienten er informert om blødningsrisiko.\n\
             Kontroll av nyrefunksjon og blodprosent hos fastlegen om en måned.\n\
             Kontroll hos oss om tre måneder, time sendes.",
        ),
        (
            "Informasjon",
            "Pasienten har fått muntlig informasjon og kan lese dette brevet på nett.\n\
             Hun kan ringe poliklinikken ved nye anfall som varer mer enn to timer.\n\
             Ved brystsmerter eller besvimelse: ring 113.",
        ),
    ],
};
