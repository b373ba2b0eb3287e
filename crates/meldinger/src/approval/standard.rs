//! What can be approved: message standards with their versions, directions, transports, and the cases that belong to each.

use edi::apprec::Version;
use serde::{Deserialize, Serialize};

use crate::port::Transport;

/// A message standard in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standard {
    /// Epikrise 1.2.
    #[serde(rename = "epikrise-1.2")]
    Epikrise12,
    /// Svarrapport 1.4.
    #[serde(rename = "svarrapport-1.4")]
    Svarrapport14,
    /// Henvisning 2.0.
    #[serde(rename = "henvisning-2.0")]
    Henvisning20,
    /// Dialogmelding 1.1.
    #[serde(rename = "dialogmelding-1.1")]
    Dialogmelding11,
    /// Dialogmelding 1.0, answered with AppRec 1.0.
    #[serde(rename = "dialogmelding-1.0")]
    Dialogmelding10,
}

impl Standard {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Epikrise12,
        Self::Svarrapport14,
        Self::Henvisning20,
        Self::Dialogmelding11,
        Self::Dialogmelding10,
    ];

    /// Stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Epikrise12 => "epikrise-1.2",
            Self::Svarrapport14 => "svarrapport-1.4",
            Self::Henvisning20 => "henvisning-2.0",
            Self::Dialogmelding11 => "dialogmelding-1.1",
            Self::Dialogmelding10 => "dialogmelding-1.0",
        }
    }

    /// By its code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// Name as the sector writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epikrise12 => "Epikrise 1.2",
            Self::Svarrapport14 => "Svarrapport 1.4",
            Self::Henvisning20 => "Henvisning 2.0",
            Self::Dialogmelding11 => "Dialogmelding 1.1",
            Self::Dialogmelding10 => "Dialogmelding 1.0",
        }
    }

    /// Namespace of the business document.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Epikrise12 => edi::epikrise::NS,
            Self::Svarrapport14 => edi::svarrapport::NS,
            Self::Henvisning20 => edi::henvisning::NS,
            Self::Dialogmelding11 => edi::dialogmelding::NS,
            Self::Dialogmelding10 => edi::dialogmelding::NS_1_0,
        }
    }

    /// Message functions (8279) that carry it (spec/messaging.md §3); the first is the one we send.
    #[must_use]
    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Epikrise12 => &["EPIKRISE", "FODSELS_EPIKRISE"],
            Self::Svarrapport14 => &[
                "SVAR_KKL",
                "SVAR_LAB",
                "SVAR_MBIO",
                "SVAR_HIST",
                "SVAR_CYT",
                "SVAR_RTG",
            ],
            Self::Henvisning20 => &["HENVISNING_NYTILSTAND", "HENVISNING_VIDERE"],
            Self::Dialogmelding11 => &[
                "DIALOG_HELSEFAGLIG",
                "DIALOG_STATUS_HENVISNING",
                "DIALOG_TIL_ARKIVERING",
                "TILBAKEMELD",
            ],
            Self::Dialogmelding10 => &[
                "DIALOG_NOTAT",
                "DIALOG_FORESPORSEL",
                "DIALOG_SVAR",
                "DIALOG_AVVIK",
            ],
        }
    }

    /// The function that our own messages of it have.
    #[must_use]
    pub fn function(self) -> &'static str {
        self.functions().first().copied().unwrap_or_default()
    }

    /// The version of AppRec that answers it (spec/messaging.md §2).
    #[must_use]
    pub fn receipt_version(self) -> Version {
        match self {
            Self::Dialogmelding10 => Version::V1_0,
            _ => Version::V1_1,
        }
    }

    /// Whether documents have a key and a processing state (7309), so that they can be changed and cancelled.
    #[must_use]
    pub fn has_versions(self) -> bool {
        !matches!(self, Self::Dialogmelding10 | Self::Dialogmelding11)
    }

    /// Whether MsgHead stands around it.
    #[must_use]
    pub fn has_msghead(self) -> bool {
        !matches!(self, Self::Epikrise12 | Self::Svarrapport14)
    }

    /// Cases of a receiving run, in the order sent.
    pub fn cases(self, transport: Transport) -> impl Iterator<Item = Case> {
        Case::ALL
            .into_iter()
            .filter(move |case| case.belongs_to(self, transport))
    }

    /// Cases of a sending run.
    pub fn send_cases(self) -> impl Iterator<Item = SendCase> {
        SendCase::ALL
            .into_iter()
            .filter(move |case| case.belongs_to(self))
    }
}

/// Which way the approved system handles the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It receives: the hub sends the battery.
    Receive,
    /// It sends: the hub judges what comes.
    Send,
}

/// A case of the battery that a receiver is tried with (spec/messaging.md §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// An ordinary message.
    Normal,
    /// The same document once more, changed.
    Change,
    /// The same document cancelled.
    Cancel,
    /// A name and nothing else of the patient.
    NoPatientId,
    /// Name, birth date and sex, no national identifier: enough.
    BirthDateOnly,
    /// Several identifiers of patient and parties.
    SeveralIds,
    /// A patient with a D-number.
    DNumber,
    /// A national identifier that cannot be one.
    WrongPatientId,
    /// A PDF with it.
    Attachment,
    /// An attachment above the safe size.
    TooBig,
    /// A code that is in no list.
    UnknownCode,
    /// A MsgId that is no UUID.
    BadMsgId,
    /// The document is addressed to somebody else.
    WrongAddressee,
    /// The same message twice.
    Duplicate,
    /// A namespace that nobody has.
    WrongNamespace,
    /// Broken XML.
    NotWellFormed,
    /// An AppRec for something never sent.
    Receipt,
}

impl Case {
    /// All, in the order sent.
    pub const ALL: [Self; 17] = [
        Self::Normal,
        Self::Change,
        Self::Cancel,
        Self::NoPatientId,
        Self::BirthDateOnly,
        Self::SeveralIds,
        Self::DNumber,
        Self::WrongPatientId,
        Self::Attachment,
        Self::TooBig,
        Self::UnknownCode,
        Self::BadMsgId,
        Self::WrongAddressee,
        Self::Duplicate,
        Self::WrongNamespace,
        Self::NotWellFormed,
        Self::Receipt,
    ];

    /// Whether a run of this standard over this transport has the case. The message service reads every document before it hands it
    /// out, so what cannot be read never reaches a receiver there.
    #[must_use]
    pub fn belongs_to(self, standard: Standard, transport: Transport) -> bool {
        match self {
            Self::Change | Self::Cancel => standard.has_versions(),
            // The answer report must have an identifier of the patient.
            Self::BirthDateOnly => standard != Standard::Svarrapport14,
            Self::NotWellFormed | Self::WrongNamespace => transport != Transport::Rest,
            // The ebXML envelope of a receipt is that of the message it answers (HISD 1209); there is none.
            Self::Receipt => transport != Transport::Ebxml,
            _ => true,
        }
    }

    /// Transport messages that the case is made of.
    #[must_use]
    pub fn messages(self) -> usize {
        if self == Self::Duplicate { 2 } else { 1 }
    }

    /// Stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Change => "change",
            Self::Cancel => "cancel",
            Self::NoPatientId => "no_patient_id",
            Self::BirthDateOnly => "birth_date_only",
            Self::SeveralIds => "several_ids",
            Self::DNumber => "d_number",
            Self::WrongPatientId => "wrong_patient_id",
            Self::Attachment => "attachment",
            Self::TooBig => "too_big",
            Self::UnknownCode => "unknown_code",
            Self::BadMsgId => "bad_msg_id",
            Self::WrongAddressee => "wrong_addressee",
            Self::Duplicate => "duplicate",
            Self::WrongNamespace => "wrong_namespace",
            Self::NotWellFormed => "not_well_formed",
            Self::Receipt => "receipt",
        }
    }

    /// By its code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

/// What a sender shows, recognised from the content of what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendCase {
    /// A new document.
    Normal,
    /// An earlier document of the run, changed.
    Change,
    /// An earlier document of the run, cancelled.
    Cancel,
    /// With an attachment.
    Attachment,
    /// A patient without fødselsnummer: D-number, help number, or name, birth date and sex.
    OtherId,
    /// A message that refers to an earlier one.
    Reply,
}

impl SendCase {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Normal,
        Self::Change,
        Self::Cancel,
        Self::Attachment,
        Self::OtherId,
        Self::Reply,
    ];

    /// Whether a run of this standard asks for it.
    #[must_use]
    pub fn belongs_to(self, standard: Standard) -> bool {
        match self {
            Self::Change | Self::Cancel => standard.has_versions(),
            Self::Reply => !standard.has_versions(),
            Self::Normal | Self::Attachment | Self::OtherId => true,
        }
    }

    /// Stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Change => "change",
            Self::Cancel => "cancel",
            Self::Attachment => "attachment",
            Self::OtherId => "other_id",
            Self::Reply => "reply",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back() {
        for standard in Standard::ALL {
            assert_eq!(Standard::parse(standard.code()), Some(standard));
            let json = serde_json::to_value(standard).unwrap();
            assert_eq!(json, standard.code());
            assert!(!standard.function().is_empty());
            let named = edi::catalogue::describe(standard.namespace()).unwrap();
            assert!(standard.name().ends_with(named.version.as_deref().unwrap()));
        }
        for case in Case::ALL {
            assert_eq!(Case::parse(case.code()), Some(case));
            assert_eq!(serde_json::to_value(case).unwrap(), case.code());
        }
        for case in SendCase::ALL {
            assert_eq!(serde_json::to_value(case).unwrap(), case.code());
        }
        assert_eq!(Standard::parse("epikrise"), None);
    }

    #[test]
    fn what_a_transport_cannot_carry_is_not_asked() {
        let has = |standard: Standard, transport, case| {
            standard.cases(transport).any(|known| known == case)
        };
        let table = [
            (Standard::Epikrise12, Transport::Amqp, Case::Change, true),
            (
                Standard::Dialogmelding11,
                Transport::Amqp,
                Case::Change,
                false,
            ),
            (
                Standard::Epikrise12,
                Transport::Rest,
                Case::NotWellFormed,
                false,
            ),
            (
                Standard::Epikrise12,
                Transport::Ebxml,
                Case::NotWellFormed,
                true,
            ),
            (
                Standard::Svarrapport14,
                Transport::Amqp,
                Case::BirthDateOnly,
                false,
            ),
        ];
        for (standard, transport, case, expected) in table {
            assert_eq!(
                has(standard, transport, case),
                expected,
                "{standard:?} {case:?}"
            );
        }
    }
}
