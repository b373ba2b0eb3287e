//! Everything a decision may look at, gathered before it is made (spec/privacy.md §2).

use crate::{Basis, Class, Part, Purpose};
use jiff::civil::Date;
use registers::Protection;
use std::collections::BTreeSet;
use store::{MicrosUtc, PersonKey};

/// Data controller: whose settings count (spec/privacy.md §2.7).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Controller {
    /// Kjernejournal.
    KJ,
    /// Test results (provesvar).
    PPS,
    /// Document sharing.
    PJD,
    /// Reseptformidleren.
    RF,
    /// Person register.
    PT,
    /// Helsenorge.
    HN,
}

impl Controller {
    /// Every controller.
    pub const ALL: [Self; 6] = [Self::KJ, Self::PPS, Self::PJD, Self::RF, Self::PT, Self::HN];

    /// The code in columns, settings and the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::KJ => "KJ",
            Self::PPS => "PPS",
            Self::PJD => "PJD",
            Self::RF => "RF",
            Self::PT => "PT",
            Self::HN => "HN",
        }
    }

    /// From the code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == text)
    }
}

/// Through which door the request came; decides which steps apply and the form of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// `<base>/fhir/<repository>`.
    InnerFhir,
    /// `/helsepersonell` and the kjernejournal portal service.
    PersonnelPortal,
    /// Critical-information API.
    CriticalInformation,
    /// Test-result API.
    Pps,
    /// Document API under the kjernejournal regulation.
    PjdKj,
    /// Document API under §45.
    PjdLaw45,
    /// Citizen portal and Helsenorge services.
    CitizenPortal,
    /// Status calls.
    Status,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Action {
    List,
    Read,
    History,
    Status,
    Create,
    Update,
    Retract,
    Delete,
    Export,
    Subscribe,
    Count,
    ChangeSetting,
    Reveal,
}

impl Action {
    /// Changes clinical data.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Retract | Self::Delete
        )
    }
}

/// Attestation of the trust framework, as far as the decision needs it (spec/tillitsrammeverk.md).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttestFacts {
    /// Minutes since it was made.
    pub age_minutes: i64,
    /// It names this patient; `None` = it names none.
    pub names_subject: Option<bool>,
}

/// Health personnel with a HelseID token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonnelFacts {
    /// The person.
    pub person: PersonKey,
    /// HPR number.
    pub hpr: Option<String>,
    /// Role acted in (9060); `None` when none was given and none can be chosen.
    pub role: Option<String>,
    /// The role is active and not suspended in HPR now.
    pub role_is_active: bool,
    /// `security_level` is the string "4".
    pub level_is_4: bool,
    /// Main unit.
    pub orgnr_parent: String,
    /// Sub unit.
    pub orgnr_child: String,
    /// The organisation is approved.
    pub organisation_is_approved: bool,
    /// The role is on the organisation's deny list for documents (default VE FB XX).
    pub role_is_denied: bool,
    /// Attest, when one was sent.
    pub attest: Option<AttestFacts>,
    /// The interface demands one.
    pub attest_is_required: bool,
}

/// A representative of a citizen. Relations and ages come from the register (spec/privacy.md §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepresentativeFacts {
    /// Who acts.
    pub person: PersonKey,
    /// On what ground; `None` = on none.
    pub relation: Option<Representation>,
}

/// Ground of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Representation {
    /// Parent with responsibility.
    Parent,
    /// Power of attorney for these areas (7618).
    Attorney(BTreeSet<u8>),
    /// Assigned.
    Assigned,
}

/// Who asks (spec/privacy.md §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// HelseID token with a person.
    Personnel(PersonnelFacts),
    /// Citizen issuer, own data.
    CitizenSelf {
        /// The person.
        person: PersonKey,
        /// ACUTE_LOCK is set.
        acute_lock: bool,
    },
    /// Citizen issuer, another's data.
    Representative(RepresentativeFacts),
    /// HelseID token without a person.
    System {
        /// Client.
        client_id: String,
        /// Main unit.
        orgnr_parent: String,
        /// The organisation is approved.
        organisation_is_approved: bool,
    },
    /// A sender of messages.
    MessageParty {
        /// HER-id.
        her_id: u32,
    },
    /// Operator of the hub.
    Operator {
        /// Person.
        person: PersonKey,
    },
    /// An internal job; never answers to outside.
    Hub {
        /// Job name.
        job: &'static str,
    },
    /// No token.
    Anonymous,
}

/// Life state with the hours since the hub registered the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Alive as far as the register knows.
    Alive,
    /// Dead.
    Deceased {
        /// Hours since registration.
        hours_since_registered: i64,
    },
}

/// The person the data are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectFacts {
    /// Person key (aliases followed); an unknown valid id gets one when the log line is sealed, so `None` = a person
    /// without data and settings.
    pub person: Option<PersonKey>,
    /// Every key of the person's line.
    pub keys: BTreeSet<PersonKey>,
    /// Completed years today (Europe/Oslo), by the register's birth date.
    pub age: Option<i16>,
    /// Life state.
    pub life: Life,
    /// Address protection.
    pub protection: Protection,
    /// The acting practitioner is GP by FLR now, or substitute on that contract.
    pub actor_is_gp: bool,
    /// (role, unit type) of the actor is in the regulation table.
    pub actor_is_entitled: bool,
    /// Actor and subject are family or share an address (review only).
    pub actor_is_near: bool,
    /// Some current record of the person bears NORN_ALL.
    pub has_norn_all: bool,
    /// Some document of the person bears NORS (for step 15 at PJD).
    pub has_nors: bool,
}

/// Settings in force at the decision instant (spec/privacy.md §2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsInForce {
    /// RES_KJ, RES_PPS.
    pub reservations: BTreeSet<Controller>,
    /// RESTR_ALL.
    pub restricted_wholly: BTreeSet<Controller>,
    /// RESTR_PART.
    pub restricted_parts: BTreeSet<(Controller, Part)>,
    /// BLOCK: controller (`None` = everywhere) and the blocked person.
    pub blocks: BTreeSet<(Option<Controller>, PersonKey)>,
    /// VISITS_OFF.
    pub visits_off: bool,
    /// SELF_OFF_KJ.
    pub self_off_kj: bool,
    /// SELF_OFF_JOURNAL.
    pub self_off_journal: bool,
    /// BLOCK_ALL_BUT_GP (RF).
    pub block_all_but_gp: bool,
    /// RESTR_RX: hidden prescriptions.
    pub restricted_prescriptions: BTreeSet<String>,
    /// FAST_RESULTS.
    pub fast_results: bool,
}

impl SettingsInForce {
    /// Whether `person` is blocked at `controller`.
    pub fn is_blocked(&self, controller: Controller, person: PersonKey) -> bool {
        self.blocks.contains(&(None, person)) || self.blocks.contains(&(Some(controller), person))
    }

    /// Whether anybody is blocked at `controller`.
    pub fn has_block(&self, controller: Controller) -> bool {
        self.blocks
            .iter()
            .any(|(c, _)| c.is_none_or(|c| c == controller))
    }

    /// Whether anything of `controller` is restricted (VISITS_OFF does not count; spec/privacy.md §7.1).
    pub fn has_restriction(&self, controller: Controller) -> bool {
        self.restricted_wholly.contains(&controller)
            || self.restricted_parts.iter().any(|(c, _)| *c == controller)
    }
}

/// All facts of one decision, read at one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who asks.
    pub actor: Actor,
    /// Why.
    pub purpose: Option<Purpose>,
    /// About whom; `None` for acts about no person (metadata, catalogues).
    pub subject: Option<SubjectFacts>,
    /// The subject's settings.
    pub settings: SettingsInForce,
    /// Persons (of any record) who block the actor at the controller asked: further persons of records (§3).
    pub blocking_persons: BTreeSet<PersonKey>,
    /// Instant of the decision on the rules' clock.
    pub at: MicrosUtc,
    /// Oslo date of that instant.
    pub today: Date,
    /// `pjd.nors_count = off` (§4.3).
    pub nors_count_is_off: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Through which door.
    pub interface: Interface,
    /// Whose data.
    pub controller: Controller,
    /// What is to be done.
    pub action: Action,
    /// On what ground.
    pub basis: Basis,
    /// Classes asked for; empty = all of the controller.
    pub classes: BTreeSet<Class>,
    /// The part that an elevated basis opens; `None` = all parts asked for.
    pub elevated_part: Option<Part>,
    /// Header and attest name different persons.
    pub subjects_differ: bool,
}

/// Class of a denial: decides its form (spec/privacy.md §4.1).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum DenyClass {
    Auth,
    Role,
    Form,
    Basis,
    Block,
    Machine,
    Restr,
    Resv,
    NotNeeded,
    State,
    Address,
    None,
}

impl DenyClass {
    /// The word in the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Role => "role",
            Self::Form => "form",
            Self::Basis => "basis",
            Self::Block => "block",
            Self::Machine => "machine",
            Self::Restr => "restr",
            Self::Resv => "resv",
            Self::NotNeeded => "notneeded",
            Self::State => "state",
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

/// What an Allow obliges to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    /// A line in the access journal before the answer.
    pub audit: bool,
    /// Tell the citizen (default on, may be switched off).
    pub notify: bool,
    /// Put on the review list.
    pub review: Option<Review>,
}

/// Why a look-up is reviewed (spec/privacy.md §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Review {
    /// 5 % sample.
    Sample,
    /// Every case.
    Always,
    Mismatch,
    Near,
    OwnRecord,
    Protected,
}

/// Flags that the answer shows: settings, never whether data stand behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Restricted parts that stayed closed (padlocks).
    pub closed_parts: BTreeSet<Part>,
    /// Restricted parts that this basis opened.
    pub opened_parts: BTreeSet<Part>,
    /// Count NORS documents in the answer's header.
    pub count_nors: bool,
    /// No address of the subject may be shown.
    pub hide_address: bool,
}

/// The decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Yes, within the filter.
    Allow {
        /// The rule that allowed, for the trace.
        reason: &'static str,
        /// What the query obeys.
        filter: store::Filter,
        /// What it obliges to.
        duties: Duties,
        /// What the answer shows of settings.
        flags: Flags,
    },
    /// No.
    Deny {
        /// Class: decides the form of the answer.
        class: DenyClass,
        /// The rule that denied, for the trace; never in the answer.
        reason: &'static str,
    },
}

impl Decision {
    /// The denial's class.
    pub fn denied(&self) -> Option<DenyClass> {
        match self {
            Self::Deny { class, .. } => Some(*class),
            Self::Allow { .. } => None,
        }
    }
}
