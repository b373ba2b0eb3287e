//! Words of the citizens' pages that the personnel's do not have, in bokmål, nynorsk, English and northern Sami.

use crate::edge::Language;

/// The words.
pub(super) struct Words {
    pub(super) level: &'static str,
    pub(super) too_young: &'static str,
    pub(super) for_whom: &'static str,
    pub(super) for_whom_help: &'static str,
    pub(super) myself: &'static str,
    pub(super) parent: &'static str,
    pub(super) attorney: &'static str,
    pub(super) assigned: &'static str,
}

/// The words of a language.
pub(super) const fn words(language: Language) -> &'static Words {
    match language {
        Language::Bokmal => &BOKMAL,
        Language::Nynorsk => &NYNORSK,
        Language::English => &ENGLISH,
        Language::NorthernSami => &NORTHERN_SAMI,
    }
}

const BOKMAL: Words = Words {
    level: "Innloggingen gjelder som ID-porten på nivå 4.",
    too_young: "Du kan logge inn selv fra du fyller 16 år.",
    for_whom: "Hvem gjelder det?",
    for_whom_help: "Du kan bruke tjenesten for deg selv eller for en du representerer.",
    myself: "meg selv",
    parent: "barn du har foreldreansvar for",
    attorney: "har gitt deg fullmakt",
    assigned: "du er tildelt fullmakt for",
};

const NYNORSK: Words = Words {
    level: "Innlogginga gjeld som ID-porten på nivå 4.",
    too_young: "Du kan logge inn sjølv frå du fyller 16 år.",
    for_whom: "Kven gjeld det?",
    for_whom_help: "Du kan bruke tenesta for deg sjølv eller for ein du representerer.",
    myself: "meg sjølv",
    parent: "barn du har foreldreansvar for",
    attorney: "har gitt deg fullmakt",
    assigned: "du er tildelt fullmakt for",
};

const ENGLISH: Words = Words {
    level: "The login counts as ID-porten at level 4.",
    too_young: "You can log in yourself from your 16th birthday.",
    for_whom: "For whom?",
    for_whom_help: "You can use the service for yourself or for somebody you represent.",
    myself: "myself",
    parent: "child you have parental responsibility for",
    attorney: "has given you power of attorney",
    assigned: "you have been assigned power of attorney for",
};

const NORTHERN_SAMI: Words = Words {
    level: "Sisaloggen gusto nugo ID-porten dásis 4.",
    too_young: "Sáhtát ieš logget sisa go deavddát 16 jagi.",
    for_whom: "Gean ovddas?",
    for_whom_help: "Sáhtát geavahit bálvalusa alddát ovddas dahje olbmo ovddas gean ovddastat.",
    myself: "iežan ovddas",
    parent: "mánná gean ovddas dus lea váhnenovddasvástádus",
    attorney: "lea addán dutnje fápmudusa",
    assigned: "dutnje lea addojuvvon fápmudus su ovddas",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_own_words() {
        let all = Language::ALL.map(|language| words(language).for_whom);
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{one}");
        }
    }
}
