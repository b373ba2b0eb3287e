//! Resource classes and the parts that restrictions name (spec/privacy.md §2.5).

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

macro_rules! classes {
    ($($name:ident = $code:literal $part:ident),* $(,)?) => {
        /// Class of a record; the number is what stands in the store's column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs)]
        #[repr(u16)]
        pub enum Class { $($name = $code),* }

        impl Class {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The column value.
            pub fn code(self) -> u16 { self as u16 }
            /// From the column value.
            pub fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
            /// The part a restriction of this class names.
            pub fn part(self) -> Part {
                match self { $(Self::$name => Part::$part),* }
            }
        }
    };
}

classes! {
    CriticalInfo = 100 Critical,
    Critical1 = 101 Critical, Critical2 = 102 Critical, Critical3 = 103 Critical, Critical4 = 104 Critical, Critical5 = 105 Critical, Critical6 = 106 Critical,
    Critical7 = 107 Critical, Critical8 = 108 Critical, Critical9 = 109 Critical, Critical10 = 110 Critical, Critical11 = 111 Critical,
    OwnIllness = 200 Own, CommNeeds = 201 Own, Contacts = 202 Own, DonorCard = 203 Own,
    Immunisation = 300 Vaccines,
    Prescription = 400 Medicines, Dispensing = 401 Medicines, MedicationList = 402 Medicines, MultidoseResponsibility = 403 Medicines,
    LabReport = 500 Results, LabObservation = 501 Results, RadiologyReport = 502 Results, Specimen = 503 Results, Requisition = 504 Results,
    Document = 600 Documents, DocumentA = 610 Documents, DocumentB = 611 Documents, DocumentC = 612 Documents, DocumentD = 613 Documents, DocumentE = 614 Documents,
    DocumentF = 615 Documents, DocumentI = 616 Documents, DocumentJ = 617 Documents, DocumentS = 618 Documents,
    Visit = 700 Visits,
    CarePlan = 800 Plans, CrisisPlan = 801 Plans,
    PersonCore = 900 Person, PersonAddress = 901 Person, PersonFamily = 902 Person, PersonSensitive = 903 Person, GpRelation = 904 Person, ContactRegister = 905 Person,
    Appointment = 1000 Portal, Dialogue = 1001 Portal, Task = 1002 Portal, FormDraft = 1003 Portal, Inbox = 1004 Portal, Representation = 1005 Portal, Settings = 1006 Portal,
    Measurement = 1100 Tech, WelfareEvent = 1101 Tech, JournalBundle = 1102 Tech,
    UsageLog = 1200 Log,
    IncidentReport = 1300 Other, Message = 1305 Other,
}

impl Class {
    /// Class of a document by its 9602 type (`A03-2`, `I01-2`, …); the letter is level 1.
    pub fn of_document_type(code: &str) -> Self {
        match code.chars().next() {
            Some('A') => Self::DocumentA,
            Some('B') => Self::DocumentB,
            Some('C') => Self::DocumentC,
            Some('D') => Self::DocumentD,
            Some('E') => Self::DocumentE,
            Some('F') => Self::DocumentF,
            Some('I') => Self::DocumentI,
            Some('J') => Self::DocumentJ,
            Some('S') => Self::DocumentS,
            _ => Self::Document,
        }
    }
}

/// Part of a record that a citizen can restrict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Part {
    Critical,
    Own,
    Vaccines,
    Medicines,
    Results,
    Documents,
    Visits,
    Plans,
    Person,
    Portal,
    Tech,
    Log,
    Other,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 13] = [
        Self::Critical,
        Self::Own,
        Self::Vaccines,
        Self::Medicines,
        Self::Results,
        Self::Documents,
        Self::Visits,
        Self::Plans,
        Self::Person,
        Self::Portal,
        Self::Tech,
        Self::Log,
        Self::Other,
    ];

    /// Whether a citizen can restrict it in kjernejournal.
    pub fn is_restrictable(self) -> bool {
        !matches!(
            self,
            Self::Person | Self::Portal | Self::Tech | Self::Log | Self::Other
        )
    }

    /// The code in settings and the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Own => "own",
            Self::Vaccines => "vaccines",
            Self::Medicines => "medicines",
            Self::Results => "results",
            Self::Documents => "documents",
            Self::Visits => "visits",
            Self::Plans => "plans",
            Self::Person => "person",
            Self::Portal => "portal",
            Self::Tech => "tech",
            Self::Log => "log",
            Self::Other => "other",
        }
    }

    /// From the code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.code() == text)
    }

    /// Column values of the classes of this part.
    pub fn class_codes(self) -> BTreeSet<u16> {
        Class::ALL
            .iter()
            .filter(|c| c.part() == self)
            .map(|c| c.code())
            .collect()
    }
}
