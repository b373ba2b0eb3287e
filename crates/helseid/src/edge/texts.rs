//! The words of the pages, in bokmål and English.

use axum::http::{HeaderMap, header};

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Bokmål, the default.
    Bokmal,
    /// English.
    English,
}

impl Language {
    /// From an explicit choice (`lang=`), else from the browser's first language, else bokmål.
    #[must_use]
    pub fn choose(explicit: Option<&str>, headers: &HeaderMap) -> Self {
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        match explicit.or(accepted) {
            Some(text) if text.starts_with("en") => Self::English,
            _ => Self::Bokmal,
        }
    }

    /// BCP 47 tag for `lang`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Bokmal => "nb",
            Self::English => "en",
        }
    }

    /// The words.
    #[must_use]
    pub const fn texts(self) -> &'static Texts {
        match self {
            Self::Bokmal => &BOKMAL,
            Self::English => &ENGLISH,
        }
    }
}

/// Every word on the pages.
#[allow(missing_docs)]
pub struct Texts {
    pub title: &'static str,
    pub test_banner: &'static str,
    pub login_for: &'static str,
    pub intro: &'static str,
    pub level: &'static str,
    pub level_hint: &'static str,
    pub levels: [&'static str; 3],
    pub by_number: &'static str,
    pub number_label: &'static str,
    pub number_hint: &'static str,
    pub log_in: &'static str,
    pub choose: &'static str,
    pub choose_hint: &'static str,
    pub search_label: &'static str,
    pub search: &'static str,
    pub nobody_found: &'static str,
    pub hpr: &'static str,
    pub log_in_as: &'static str,
    pub cancel: &'static str,
    pub other_language: &'static str,
    pub error_title: &'static str,
    pub error_unknown_person: &'static str,
    pub error_number: &'static str,
    pub error_dead: &'static str,
    pub problem: &'static str,
    pub page_gone: &'static str,
    pub page_gone_help: &'static str,
    pub bad_request: &'static str,
    pub bad_request_help: &'static str,
    pub sign_out: &'static str,
    pub sign_out_question: &'static str,
    pub signed_out: &'static str,
    pub signed_out_help: &'static str,
    pub continue_: &'static str,
}

const BOKMAL: Texts = Texts {
    title: "Logg inn",
    test_banner: "Testinnlogging: bare syntetiske personer, ingen passord.",
    login_for: "Du logger inn til",
    intro: "Velg en testperson, eller skriv et fødselsnummer.",
    level: "Sikkerhetsnivå",
    level_hint: "Nivå 4 er det helsepersonell trenger.",
    levels: ["4 – høyt", "3 – betydelig", "2 – lavt"],
    by_number: "Logg inn med fødselsnummer",
    number_label: "Fødselsnummer eller D-nummer",
    number_hint: "11 siffer, uten mellomrom",
    log_in: "Logg inn",
    choose: "Velg testperson",
    choose_hint: "Ett trykk logger inn.",
    search_label: "Søk etter navn",
    search: "Søk",
    nobody_found: "Ingen har et slikt navn.",
    hpr: "HPR-nummer",
    log_in_as: "Logg inn som",
    cancel: "Avbryt",
    other_language: "English",
    error_title: "Innloggingen gikk ikke",
    error_unknown_person: "Personregisteret har ingen med dette nummeret.",
    error_number: "Skriv 11 siffer.",
    error_dead: "Personen er registrert som død og kan ikke logge inn.",
    problem: "Feil:",
    page_gone: "Innloggingen er utløpt eller allerede brukt",
    page_gone_help: "Gå tilbake til programmet du kom fra og logg inn på nytt.",
    bad_request: "Forespørselen kan ikke behandles",
    bad_request_help: "Gå tilbake til programmet du kom fra og prøv igjen. Står feilen her fortsatt, gi leverandøren denne teksten:",
    sign_out: "Logg ut",
    sign_out_question: "Vil du logge ut?",
    signed_out: "Du er logget ut",
    signed_out_help: "Du kan lukke vinduet.",
    continue_: "Fortsett",
};

const ENGLISH: Texts = Texts {
    title: "Log in",
    test_banner: "Test login: synthetic persons only, no passwords.",
    login_for: "You are logging in to",
    intro: "Choose a test person, or enter a national identity number.",
    level: "Security level",
    level_hint: "Health personnel need level 4.",
    levels: ["4 – high", "3 – substantial", "2 – low"],
    by_number: "Log in with a national identity number",
    number_label: "National identity number or D-number",
    number_hint: "11 digits, no spaces",
    log_in: "Log in",
    choose: "Choose a test person",
    choose_hint: "One press logs in.",
    search_label: "Search by name",
    search: "Search",
    nobody_found: "Nobody has such a name.",
    hpr: "HPR number",
    log_in_as: "Log in as",
    cancel: "Cancel",
    other_language: "Norsk",
    error_title: "The login did not succeed",
    error_unknown_person: "The person register has nobody with this number.",
    error_number: "Enter 11 digits.",
    error_dead: "The person is registered as deceased and cannot log in.",
    problem: "Error:",
    page_gone: "The login has expired or was already used",
    page_gone_help: "Go back to the application you came from and log in again.",
    bad_request: "The request cannot be processed",
    bad_request_help: "Go back to the application you came from and try again. If the error remains, give its vendor this text:",
    sign_out: "Log out",
    sign_out_question: "Do you want to log out?",
    signed_out: "You are logged out",
    signed_out_help: "You can close this window.",
    continue_: "Continue",
};
