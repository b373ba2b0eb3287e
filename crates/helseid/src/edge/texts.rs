//! The words of the pages, in bokmål, nynorsk, English and northern Sami, and which of them a browser gets.

use axum::http::{HeaderMap, header};

/// Remembers the language that somebody chose on a page, for a year.
pub const LANGUAGE_COOKIE: &str = "helseid.language";
/// How long, seconds.
pub const LANGUAGE_S: i64 = 365 * 86_400;

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Bokmål, the default.
    Bokmal,
    /// Nynorsk.
    Nynorsk,
    /// English.
    English,
    /// Northern Sami.
    NorthernSami,
}

impl Language {
    /// In the order in which pages offer them.
    pub const ALL: [Self; 4] = [
        Self::Bokmal,
        Self::Nynorsk,
        Self::English,
        Self::NorthernSami,
    ];

    /// From an explicit choice (`lang=`), else the one chosen earlier, else the browser's wishes, else bokmål.
    #[must_use]
    pub fn choose(explicit: Option<&str>, headers: &HeaderMap) -> Self {
        Self::choose_for(explicit, None, headers)
    }

    /// The same, with what the client asked for (`ui_locales`): it counts less than the user's own choice.
    #[must_use]
    pub fn choose_for(
        explicit: Option<&str>,
        ui_locales: Option<&str>,
        headers: &HeaderMap,
    ) -> Self {
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        explicit
            .and_then(Self::from_tag)
            .or_else(|| remembered(headers))
            .or_else(|| {
                ui_locales?
                    .split_ascii_whitespace()
                    .find_map(Self::from_tag)
            })
            .or_else(|| accepted.and_then(first_accepted))
            .unwrap_or(Self::Bokmal)
    }

    /// From a BCP 47 tag: `nb-NO`, `no`, `nn`, `en-GB`, `se`.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next()?;
        match primary.to_ascii_lowercase().as_str() {
            "nb" | "no" => Some(Self::Bokmal),
            "nn" => Some(Self::Nynorsk),
            "en" => Some(Self::English),
            "se" | "sme" => Some(Self::NorthernSami),
            _ => None,
        }
    }

    /// BCP 47 tag for `lang`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Bokmal => "nb",
            Self::Nynorsk => "nn",
            Self::English => "en",
            Self::NorthernSami => "se",
        }
    }

    /// Its name in itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bokmal => "Bokmål",
            Self::Nynorsk => "Nynorsk",
            Self::English => "English",
            Self::NorthernSami => "Davvisámegiella",
        }
    }

    /// The words.
    #[must_use]
    pub const fn texts(self) -> &'static Texts {
        match self {
            Self::Bokmal => &BOKMAL,
            Self::Nynorsk => &NYNORSK,
            Self::English => &ENGLISH,
            Self::NorthernSami => &NORTHERN_SAMI,
        }
    }
}

fn remembered(headers: &HeaderMap) -> Option<Language> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == LANGUAGE_COOKIE)
        .and_then(|(_, tag)| Language::from_tag(tag))
}

/// The wish with the highest weight that we have words for; of equal ones the first.
fn first_accepted(header: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for wish in header.split(',').take(50) {
        let mut parts = wish.split(';');
        let Some(language) = parts.next().and_then(Language::from_tag) else {
            continue;
        };
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q="))
            .map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
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
    pub languages: &'static str,
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
    languages: "Språk",
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

const NYNORSK: Texts = Texts {
    title: "Logg inn",
    test_banner: "Testinnlogging: berre syntetiske personar, ingen passord.",
    login_for: "Du loggar inn til",
    intro: "Vel ein testperson, eller skriv eit fødselsnummer.",
    level: "Tryggleiksnivå",
    level_hint: "Nivå 4 er det helsepersonell treng.",
    levels: ["4 – høgt", "3 – monaleg", "2 – lågt"],
    by_number: "Logg inn med fødselsnummer",
    number_label: "Fødselsnummer eller D-nummer",
    number_hint: "11 siffer, utan mellomrom",
    log_in: "Logg inn",
    choose: "Vel testperson",
    choose_hint: "Eitt trykk loggar inn.",
    search_label: "Søk etter namn",
    search: "Søk",
    nobody_found: "Ingen har eit slikt namn.",
    hpr: "HPR-nummer",
    log_in_as: "Logg inn som",
    cancel: "Avbryt",
    languages: "Språk",
    error_title: "Innlogginga gjekk ikkje",
    error_unknown_person: "Personregisteret har ingen med dette nummeret.",
    error_number: "Skriv 11 siffer.",
    error_dead: "Personen er registrert som død og kan ikkje logge inn.",
    problem: "Feil:",
    page_gone: "Innlogginga er gått ut eller alt brukt",
    page_gone_help: "Gå tilbake til programmet du kom frå og logg inn på nytt.",
    bad_request: "Førespurnaden kan ikkje handsamast",
    bad_request_help: "Gå tilbake til programmet du kom frå og prøv igjen. Står feilen her framleis, gi leverandøren denne teksten:",
    sign_out: "Logg ut",
    sign_out_question: "Vil du logge ut?",
    signed_out: "Du er logga ut",
    signed_out_help: "Du kan lukke vindauget.",
    continue_: "Hald fram",
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
    languages: "Language",
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

const NORTHERN_SAMI: Texts = Texts {
    title: "Logge sisa",
    test_banner: "Geahččalansisaloggen: dušše ráhkaduvvon olbmot, ii beassansátni.",
    login_for: "Logget sisa dása:",
    intro: "Vállje geahččalanolbmo, dahje čále riegádannummára.",
    level: "Sihkkarvuođadássi",
    level_hint: "Dearvvašvuođabargit dárbbašit dási 4.",
    levels: ["4 – alla", "3 – mearkkašahtti", "2 – vuollegaš"],
    by_number: "Logge sisa riegádannummáriin",
    number_label: "Riegádannummir dahje D-nummir",
    number_hint: "11 logu, gaskka haga",
    log_in: "Logge sisa",
    choose: "Vállje geahččalanolbmo",
    choose_hint: "Okta deaddileapmi logge sisa.",
    search_label: "Oza nama mielde",
    search: "Oza",
    nobody_found: "Ii oktage gávdnon dainna namain.",
    hpr: "HPR-nummir",
    log_in_as: "Logge sisa dán olmmožin:",
    cancel: "Gaskkalduhte",
    languages: "Giella",
    error_title: "Sisaloggen ii lihkostuvvan",
    error_unknown_person: "Olmmošregisttaris ii leat oktage dainna nummáriin.",
    error_number: "Čále 11 logu.",
    error_dead: "Olmmoš lea registrerejuvvon jápmán ja ii sáhte logget sisa.",
    problem: "Meattáhus:",
    page_gone: "Sisaloggen lea nohkan dahje juo geavahuvvon",
    page_gone_help: "Mana ruovttoluotta prográmmii gos bohtet ja logge sisa ođđasit.",
    bad_request: "Jearaldaga ii sáhte gieđahallat",
    bad_request_help: "Mana ruovttoluotta prográmmii gos bohtet ja geahččal ođđasit. Jus meattáhus ain boahtá, atte lágideaddjái dán teavstta:",
    sign_out: "Logge olggos",
    sign_out_question: "Háliidatgo logget olggos?",
    signed_out: "Don leat loggen olggos",
    signed_out_help: "Sáhtát giddet láse.",
    continue_: "Joatkke",
};

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(accept: &str, cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::ACCEPT_LANGUAGE, accept), (header::COOKIE, cookie)] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        headers
    }

    #[test]
    fn which_language() {
        let se = "a=b; helseid.language=se";
        for (explicit, locales, accept, cookie, expected) in [
            (None, None, "", "", "nb"),
            (None, None, "nn-NO,nn;q=0.9,en;q=0.8", "", "nn"),
            (None, None, "de,en-GB;q=0.7", "", "en"),
            (None, None, "en;q=0.2, se;q=0.9", "", "se"),
            (None, None, "en;q=0, nn;q=0.1", "", "nn"),
            (None, None, "no", "", "nb"),
            (None, None, "fr", "", "nb"),
            (None, Some("fr en nn"), "nn", "", "en"),
            (None, Some("en"), "nn", se, "se"),
            (Some("nn"), Some("en"), "en", se, "nn"),
            (Some("xx"), None, "en", "", "en"),
            (None, None, "", "helseid.language=xx", "nb"),
        ] {
            let found = Language::choose_for(explicit, locales, &headers(accept, cookie));
            assert_eq!(
                found.tag(),
                expected,
                "{explicit:?} {locales:?} {accept} {cookie}"
            );
        }
    }

    #[test]
    fn tags_lead_back() {
        for language in Language::ALL {
            assert_eq!(Language::from_tag(language.tag()), Some(language));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = Language::from_tag(&text);
            let _ = first_accepted(&text);
        }
    }
}
