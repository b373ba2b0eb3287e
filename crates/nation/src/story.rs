//! The timelines of the story as data: what happens on day D, when, to whom, by whom. Actors play them, pages draw them.
//!
//! A step's key is `<person>.<row>`; `POST /demo/story {"until": "blokk.11"}` names it. Times are local story times.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, time};
use serde::Serialize;

/// One step of a timeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// Key, for example `blokk.4`.
    pub key: &'static str,
    /// Story person.
    pub person: &'static str,
    /// Days after D.
    pub day: i32,
    /// Local time.
    pub at: Time,
    /// How it is drawn.
    pub kind: StepKind,
    /// Title, bokmål.
    pub title: &'static str,
    /// Title, English.
    pub title_en: &'static str,
    /// Who acts: key of personnel, an organisation, or the person.
    pub actor: &'static str,
    /// What is done.
    pub action: Action,
    /// Whether the step plays by itself in this version of the hub. Others are shown and passed over.
    pub built: bool,
}

impl Step {
    /// When the step happens, for a nation with this anchor.
    #[must_use]
    pub fn when(&self, anchor: Date) -> DateTime {
        anchor
            .checked_add(self.day.days())
            .unwrap_or(anchor)
            .to_datetime(self.at)
    }
}

/// Kinds of events on the timeline page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A message is sent or answered.
    Message,
    /// Somebody looks something up.
    LookUp,
    /// A setting is changed, or a look-up is refused.
    Setting,
    /// Emergency access.
    Emergency,
    /// An appointment.
    Appointment,
    /// Something outside the hub.
    Outside,
}

/// What an actor does. Message content stands in [`content`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Sends a message; copies are separate transport messages with the same message id.
    Send {
        /// Function code of list 8279.
        function: &'static str,
        /// HER-id of the sender.
        from: u32,
        /// HER-id of the receiver.
        to: u32,
        /// HER-ids of copy receivers.
        copies: &'static [u32],
        /// Which content of [`content`].
        content: &'static str,
    },
    /// Answers the message of another step with an application receipt.
    Receipt {
        /// The other step's key.
        of: &'static str,
    },
    /// Prescribes what the discharge letter lists: as text in it, until prescriptions have a service of their own.
    Prescribe,
    /// Personnel open kjernejournal.
    Open {
        /// Basis that is asked for first and refused, if any.
        refused_basis: Option<&'static str>,
        /// Basis that is used.
        basis: &'static str,
    },
    /// The citizen reads her pages.
    Read {
        /// Pages, by their route.
        pages: &'static [&'static str],
    },
    /// The citizen blocks a person by name, everywhere.
    Block {
        /// Key of the personnel.
        practitioner: &'static str,
    },
    /// A blocked person tries every path.
    TryEverything {
        /// Elevated basis tried in the end.
        elevated: &'static str,
    },
    /// Nothing goes through the hub.
    Nothing,
}

const BASE: Step = Step {
    key: "",
    person: "blokk",
    day: 0,
    at: time(8, 0, 0, 0),
    kind: StepKind::Message,
    title: "",
    title_en: "",
    actor: "",
    action: Action::Nothing,
    built: true,
};

/// The main walk-through: Kari Lunde.
pub const BLOKK: &[Step] = &[
    Step {
        key: "blokk.1",
        at: time(8, 5, 0, 0),
        title: "Fjordgløtt henviser Kari til Hjertesykdommer",
        title_en: "Fjordgløtt refers Kari to cardiology",
        actor: "bakken",
        action: Action::Send {
            function: "HENVISNING_NYTILSTAND",
            from: 8_900_101,
            to: 8_900_301,
            copies: &[],
            content: "blokk.henvisning",
        },
        ..BASE
    },
    Step {
        key: "blokk.2",
        at: time(8, 6, 0, 0),
        title: "Sykehuset kvitterer: mottatt og godkjent",
        title_en: "The hospital's receipt: received and accepted",
        actor: "nordlys",
        action: Action::Receipt { of: "blokk.1" },
        ..BASE
    },
    Step {
        key: "blokk.3",
        at: time(9, 10, 0, 0),
        kind: StepKind::Outside,
        title: "Heidi Aas tar blodprøve",
        title_en: "Heidi Aas takes a blood sample",
        actor: "aas",
        ..BASE
    },
    Step {
        key: "blokk.4",
        at: time(10, 20, 0, 0),
        title: "Isbre sender svar på blodprøven, med kopi til prøvesvartjenesten",
        title_en: "Isbre sends the results, with a copy to the results service",
        actor: "isbre",
        action: Action::Send {
            function: "SVAR_LAB",
            from: 8_900_401,
            to: 8_900_101,
            copies: &[8_900_008],
            content: "blokk.svar",
        },
        ..BASE
    },
    Step {
        key: "blokk.5",
        at: time(10, 21, 0, 0),
        title: "Isbre retter svaret: prøven var byttet om",
        title_en: "Isbre corrects the results: the sample had been swapped",
        actor: "isbre",
        action: Action::Send {
            function: "SVAR_LAB",
            from: 8_900_401,
            to: 8_900_101,
            copies: &[8_900_008],
            content: "blokk.rettelse",
        },
        ..BASE
    },
    Step {
        key: "blokk.6",
        at: time(11, 0, 0, 0),
        kind: StepKind::Appointment,
        title: "Henvisningen er vurdert, time i dag",
        title_en: "The referral has been assessed, appointment today",
        actor: "nordlys",
        action: Action::Send {
            function: "DIALOG_STATUS_HENVISNING",
            from: 8_900_301,
            to: 8_900_101,
            copies: &[],
            content: "blokk.vurdert",
        },
        ..BASE
    },
    Step {
        key: "blokk.7",
        at: time(12, 0, 0, 0),
        kind: StepKind::LookUp,
        title: "Ragnhild Sæther spør Kari og åpner kjernejournalen",
        title_en: "Ragnhild Sæther asks Kari and opens her kjernejournal",
        actor: "saether",
        action: Action::Open {
            refused_basis: Some("UNNTAK"),
            basis: "SAMTYKKE",
        },
        ..BASE
    },
    Step {
        key: "blokk.8",
        at: time(13, 30, 0, 0),
        title: "Sykehuset sender epikrise, med kopi til dokumenttjenesten",
        title_en: "The hospital sends the discharge letter, with a copy to the document service",
        actor: "saether",
        action: Action::Send {
            function: "EPIKRISE",
            from: 8_900_301,
            to: 8_900_101,
            copies: &[8_900_009],
            content: "blokk.epikrise",
        },
        ..BASE
    },
    Step {
        key: "blokk.9",
        at: time(13, 35, 0, 0),
        title: "Sæther skriver to resepter",
        title_en: "Sæther prescribes two medicines",
        actor: "saether",
        action: Action::Prescribe,
        ..BASE
    },
    Step {
        key: "blokk.10",
        at: time(19, 5, 0, 0),
        kind: StepKind::LookUp,
        title: "Kari leser prøvesvar og brev",
        title_en: "Kari reads her results and the letter",
        actor: "blokk",
        action: Action::Read {
            pages: &["provesvar", "dokumenter"],
        },
        ..BASE
    },
    Step {
        key: "blokk.11",
        at: time(19, 10, 0, 0),
        kind: StepKind::Setting,
        title: "Kari ser i loggen og blokkerer Stian Moen",
        title_en: "Kari reads her log and blocks Stian Moen",
        actor: "blokk",
        action: Action::Block {
            practitioner: "moen",
        },
        ..BASE
    },
    Step {
        key: "blokk.12",
        at: time(19, 20, 0, 0),
        kind: StepKind::Setting,
        title: "Moen prøver på nytt og blir avvist overalt",
        title_en: "Moen tries again and is refused everywhere",
        actor: "moen",
        action: Action::TryEverything {
            elevated: "FORHOYET_AKUTT",
        },
        ..BASE
    },
    Step {
        key: "blokk.13",
        at: time(19, 21, 0, 0),
        kind: StepKind::LookUp,
        title: "Kari ser forsøkene i loggen",
        title_en: "Kari sees the attempts in her log",
        actor: "blokk",
        action: Action::Read { pages: &["logg"] },
        ..BASE
    },
    Step {
        key: "blokk.14",
        at: time(20, 0, 0, 0),
        title: "Kari spør sykehuset hvorfor; to operatører utleverer loggen",
        title_en: "Kari asks the hospital why; two operators hand out the log",
        actor: "blokk",
        built: false,
        ..BASE
    },
];

/// Every step of every timeline that is data so far, in order of time.
#[must_use]
pub fn steps() -> Vec<&'static Step> {
    let mut all: Vec<&'static Step> = BLOKK.iter().collect();
    all.sort_by_key(|s| (s.day, s.at));
    all
}

/// The step with this key.
#[must_use]
pub fn step(key: &str) -> Option<&'static Step> {
    BLOKK.iter().find(|s| s.key == key)
}

pub mod content;
