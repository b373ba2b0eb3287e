//! Which business document belongs to a message function (code list 8279).
//!
//! Source: HISD 1209 and the list itself (messaging.md §3). Functions that may carry several kinds, such as dialogue with
//! citizens, are not judged.

use super::MessageKind as M;

/// A function, or the beginning of several, and the kind of its document. The first row that fits counts.
const FUNCTIONS: &[(&str, bool, M)] = &[
    ("APPREC", true, M::AppRec),
    ("HENVISNING", false, M::Henvisning),
    ("TILBAKEMELD", true, M::Dialogmelding),
    ("EPIKRISE", true, M::Epikrise),
    ("FODSELS_EPIKRISE", true, M::Epikrise),
    ("REQ_", false, M::Rekvisisjon),
    ("BEKREFT_REKVISISJON", true, M::Rekvisisjon),
    ("STATUS_REKVISISJON", true, M::Rekvisisjon),
    ("SVAR_", false, M::Svarrapport),
    ("DIALOG_", false, M::Dialogmelding),
    ("INNLEGGELSESRAPPORT", true, M::Plo),
    ("HELSEOPPL_SOKNAD", true, M::Plo),
    ("UTSKRIVNINGSRAPPORT", true, M::Plo),
    ("TVERRFAGLIG_EPIKRISE", true, M::Plo),
    ("LOG_", false, M::Plo),
    ("PASIENTLOGISTIKK", true, M::Plo),
    ("HELSEOPPLYSNINGER_LEGE", true, M::Plo),
    ("KONSULTASJON", true, M::Plo),
    ("MEDISINSKE_OPPLYSNINGER", true, M::Plo),
    ("ORIENTERING_TJENESTETILBUD", true, M::Plo),
    ("FRAVARSMELDING", true, M::Plo),
    ("EPJ-EKSTRAKT", true, M::EpjEkstrakt),
    ("LEGEMIDDELHANDTERING", true, M::EpjEkstrakt),
    ("KODEVERK", false, M::Sysvak),
    ("HENDELSE", false, M::Sysvak),
    ("SOKRE", false, M::Sysvak),
    ("LEGEERKL", true, M::Legeerklaering),
    ("SYKMELD", true, M::Sykmelding),
    ("INNRAPPORTERING_TREKK", true, M::Trekk),
    ("EgenandelForesporsel", false, M::Egenandel),
    ("EgenandelSvar", false, M::Egenandel),
    ("EgenandelMengde", false, M::Egenandel),
    ("Fastlege", false, M::Fastlege),
    ("Pasientliste", false, M::Pasientliste),
    ("ERM", false, M::EResept),
    ("NPR_", false, M::Registermelding),
    ("KPR_", false, M::Registermelding),
    ("IPLOS", false, M::Registermelding),
    ("ADM_KOMM_KJERNEJOURNAL", true, M::KjernejournalAdm),
    ("CANCER_", false, M::Kreftmelding),
    ("PERSONVERN_INNBYGGER_", false, M::Personvern),
];

/// The kind of document that a function carries, where it is one.
pub fn kind_of(function: &str) -> Option<M> {
    if function.starts_with("DIALOG_INNBYGGER_") {
        return None;
    }
    FUNCTIONS
        .iter()
        .find(|(name, is_whole, _)| match is_whole {
            true => function == *name,
            false => function.starts_with(name),
        })
        .map(|row| row.2)
}

/// Whether a function may carry a kind of document; true for functions that nothing is known of.
pub fn carries(kind: M, function: &str) -> bool {
    kind_of(function).is_none_or(|of| of == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_carry_their_documents() {
        assert!(carries(M::Svarrapport, "SVAR_LAB"));
        assert!(!carries(M::Epikrise, "SVAR_LAB"));
        assert!(carries(M::InnbyggerMelding, "DIALOG_INNBYGGER_TIMER"));
        assert!(carries(M::Kalender, "SOMETHING_NEW"));
        assert_eq!(kind_of("HENVISNING_VIDERE"), Some(M::Henvisning));
        assert_eq!(kind_of("EPIKRISE_X"), None);
    }
}
