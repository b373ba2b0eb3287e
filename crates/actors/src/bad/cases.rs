//! The cases: what is wrong, what must come back.

use serde::Serialize;

/// What must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Expected {
    /// The link is refused with this condition.
    LinkRefused {
        /// AMQP condition.
        condition: &'static str,
    },
    /// A message on the error queue.
    ErrorQueue {
        /// errorCondition.
        condition: &'static str,
        /// Must stand in errorConditionData or the description.
        names: &'static str,
    },
    /// A receipt with status 2 and this code.
    Rejected {
        /// Code of list 8221.
        code: &'static str,
    },
    /// A receipt with status 1.
    Accepted,
    /// More than one message: what is seen in the end.
    Seen {
        /// In a few words, English.
        what: &'static str,
        /// The same in bokmål.
        what_nb: &'static str,
    },
    /// Nothing at all.
    Silence,
}

impl Expected {
    /// In a few words, English. Codes and conditions are the same in every language.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::LinkRefused { condition } => format!("link refused, {condition}"),
            Self::ErrorQueue { condition, .. } => format!("error queue, {condition}"),
            Self::Rejected { code } => format!("AppRec 2, {code}"),
            Self::Accepted => "AppRec 1".to_owned(),
            Self::Seen { what, .. } => (*what).to_owned(),
            Self::Silence => "no answer".to_owned(),
        }
    }

    /// The same in bokmål.
    #[must_use]
    pub fn words_nb(&self) -> String {
        match self {
            Self::LinkRefused { condition } => format!("lenken avvist, {condition}"),
            Self::ErrorQueue { condition, .. } => format!("feilkø, {condition}"),
            Self::Rejected { .. } | Self::Accepted => self.words(),
            Self::Seen { what_nb, .. } => (*what_nb).to_owned(),
            Self::Silence => "ikke noe svar".to_owned(),
        }
    }
}

/// A case.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Case {
    /// `B01` …
    pub id: &'static str,
    /// What is wrong, bokmål.
    pub wrong: &'static str,
    /// What is wrong, English.
    pub wrong_en: &'static str,
    /// The answer.
    pub expected: Expected,
}

const fn case(
    id: &'static str,
    wrong: &'static str,
    wrong_en: &'static str,
    expected: Expected,
) -> Case {
    Case {
        id,
        wrong,
        wrong_en,
        expected,
    }
}

const fn error(condition: &'static str, names: &'static str) -> Expected {
    Expected::ErrorQueue { condition, names }
}

const fn seen(what: &'static str, what_nb: &'static str) -> Expected {
    Expected::Seen { what, what_nb }
}

const fn rejected(code: &'static str) -> Expected {
    Expected::Rejected { code }
}

/// All cases that Feilmakeren sends, in the order of the table.
pub const CASES: &[Case] = &[
    case(
        "B01",
        "Køen finnes ikke (ukjent HER-id)",
        "The queue does not exist (unknown HER-id)",
        Expected::LinkRefused {
            condition: "not-found",
        },
    ),
    case(
        "B02",
        "toHerId mangler",
        "toHerId is missing",
        error("transport:required-field-missing", "toHerId"),
    ),
    case(
        "B03",
        "toHerId finnes ikke",
        "toHerId does not exist",
        error("transport:invalid-field-value", "toHerId"),
    ),
    case(
        "B04",
        "fromHerId tilhører en annen",
        "fromHerId belongs to somebody else",
        error("abuse:spoofing-attack", ""),
    ),
    case(
        "B05",
        "Ukjent meldingsfunksjon",
        "Unknown message function",
        error("transport:unsupported-message", ""),
    ),
    case(
        "B06",
        "Utløpt signeringssertifikat",
        "Expired signing certificate",
        error("transport:expired-certificate", ""),
    ),
    case(
        "B07",
        "Tilbakekalt signeringssertifikat",
        "Revoked signing certificate",
        error("transport:revoked-certificate", ""),
    ),
    case(
        "B08",
        "Kryptert for en annen",
        "Encrypted for somebody else",
        error("transport:decryption-failed", ""),
    ),
    case(
        "B09",
        "Innholdet er endret etter signering",
        "The content was changed after signing",
        error("transport:invalid-signature", ""),
    ),
    case(
        "B10",
        "Innholdet er ikke CMS",
        "The body is not CMS",
        error("transport:invalid-cms-pkcs", ""),
    ),
    case(
        "B11",
        "XML er ikke velformet",
        "The XML is not well-formed",
        error("transport:not-well-formed-xml", ""),
    ),
    case("B12", "Skjemafeil", "Schema error", rejected("T02")),
    case(
        "B13",
        "Epikrise 1.0 er for gammel",
        "Epikrise 1.0 is too old",
        rejected("T10"),
    ),
    case(
        "B14",
        "MsgId er ikke en UUID",
        "MsgId is no UUID",
        rejected("E10"),
    ),
    case(
        "B15",
        "Feil kontrollsiffer",
        "Wrong check digit",
        rejected("E31"),
    ),
    case(
        "B16",
        "To sifre byttet om",
        "Two digits swapped",
        rejected("E31"),
    ),
    case(
        "B17",
        "Gyldig nummer som ingen har",
        "Valid number that nobody has",
        rejected("E53"),
    ),
    case(
        "B18",
        "Pasient uten nummer",
        "Patient without number",
        rejected("E30"),
    ),
    case(
        "B19",
        "Bare navn og fødselsdato",
        "Only name and birth date",
        rejected("E36"),
    ),
    case(
        "B20",
        "Rett nummer, annen persons navn",
        "Right number, another person's name",
        Expected::Accepted,
    ),
    case(
        "B21",
        "Pasienten er død: et sent svar er vanlig",
        "The patient is dead: a late result is normal",
        Expected::Accepted,
    ),
    case(
        "B22",
        "Opphørt D-nummer",
        "Discontinued D-number",
        seen(
            "AppRec 1; stored under the number that holds; a remark for operators",
            "AppRec 1; lagret under det gjeldende nummeret; merknad til drift",
        ),
    ),
    case(
        "B23",
        "Ukjent, lokal og utgått analysekode",
        "Unknown, local and retired analysis code",
        Expected::Accepted,
    ),
    case(
        "B24",
        "Samme MsgId igjen, samme innhold",
        "Same MsgId again, same content",
        Expected::Silence,
    ),
    case(
        "B25",
        "Samme MsgId igjen, annet innhold",
        "Same MsgId again, other content",
        error("transport:invalid-field-value", "MsgId"),
    ),
    case(
        "B26",
        "Vedlegget er et program",
        "The attachment is a program",
        rejected("T99"),
    ),
    case(
        "B26b",
        "Vedlegg på 40 MB",
        "Attachment of 40 MB",
        Expected::LinkRefused {
            condition: "message-size-exceeded",
        },
    ),
    case(
        "B27",
        "Avsender i hodet er ikke avsender i dokumentet",
        "Sender of the envelope is not sender of the document",
        error("abuse:spoofing-attack", ""),
    ),
    case(
        "B28",
        "Merket som test (ProcessingStatus D)",
        "Marked as a test (ProcessingStatus D)",
        seen(
            "AppRec 1 in a demo, with a remark for operators; refused in production",
            "AppRec 1 i en demo, med merknad til drift; avvist i produksjon",
        ),
    ),
    case(
        "B29",
        "Kvittering for en ukjent melding",
        "Receipt for an unknown message",
        Expected::Silence,
    ),
    case(
        "B30",
        "Ingen svarer",
        "Nobody answers",
        seen(
            "waiting after 24 hours, yellow after 48, overdue after 96; a late AppRec clears it",
            "venter etter 24 timer, gul etter 48, over fristen etter 96; en sen AppRec rydder opp",
        ),
    ),
    case(
        "B31",
        "Henvisning avvist med E35",
        "Referral rejected with E35",
        seen(
            "rejected, final, a human is asked for; a correction needs new ids",
            "avvist, endelig, et menneske må se på den; en rettelse må ha nye id-er",
        ),
    ),
    case(
        "B32",
        "Mottakeren stopper ti ganger",
        "The receiver crashes ten times",
        seen(
            "dead letter on the operator's page; put back, fetched, answered",
            "død melding på driftssiden; lagt tilbake, hentet, besvart",
        ),
    ),
    case(
        "B33",
        "Rettelsen kommer før originalen",
        "The correction arrives before the original",
        seen(
            "both answered; the correction stands",
            "begge besvart; rettelsen gjelder",
        ),
    ),
    case(
        "B34",
        "Kansellering av et svar som ikke finnes",
        "Cancellation of an unknown report",
        seen(
            "answered and kept; the late report does not appear",
            "besvart og beholdt; det sene svaret vises ikke",
        ),
    ),
    case(
        "B35",
        "XML med ekstern entitet",
        "XML with an external entity",
        error("transport:not-well-formed-xml", "T01"),
    ),
];

/// The case with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Case> {
    CASES.iter().find(|c| c.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_said_in_both_languages() {
        for case in CASES {
            let (en, nb) = (case.expected.words(), case.expected.words_nb());
            // Codes and conditions stand in both.
            for word in en.split([' ', ',', ';']).filter(|word| word.contains(':')) {
                assert!(nb.contains(word), "{}: {nb}", case.id);
            }
            let is_code_only = en.starts_with("AppRec 1") || en.starts_with("AppRec 2");
            assert!(is_code_only || en != nb, "{}: {nb}", case.id);
        }
    }
}
