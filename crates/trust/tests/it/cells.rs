//! Cells of the generated matrix (spec/privacy.md §12.1): what can be combined, what cannot, and the records looked at.

use registers::Protection;
use std::collections::BTreeSet;
use store::{Head, MicrosUtc, Op, PersonKey, Privacy, RepoId, Rid, Seq, Vno};
use trust::*;

/// 2028-02-29T11:00Z: a leap day, so that windows of whole years show how they count.
pub const NOW: MicrosUtc = 1_835_434_800_000_000;
pub const TODAY: jiff::civil::Date = jiff::civil::date(2028, 2, 29);
pub const SUBJECT: PersonKey = PersonKey(1);
/// A second key of the subject's line (before a merge).
pub const SUBJECT_OLD: PersonKey = PersonKey(11);
pub const ACTOR: PersonKey = PersonKey(2);
pub const OTHER: PersonKey = PersonKey(3);
/// A further person who blocks the actor.
pub const BLOCKER: PersonKey = PersonKey(4);
pub const THIRD: PersonKey = PersonKey(5);
pub const OWN_ORG: &str = "111111111";

/// Controller and door; the first door of a controller's regime stands in the full product.
pub const DOORS: &[(&str, Controller, Interface, bool)] = &[
    ("KJ", Controller::KJ, Interface::InnerFhir, true),
    ("KJ", Controller::KJ, Interface::PersonnelPortal, false),
    ("KJ", Controller::KJ, Interface::CriticalInformation, false),
    ("KJ", Controller::KJ, Interface::CitizenPortal, true),
    ("KJ", Controller::KJ, Interface::Status, false),
    ("PPS", Controller::PPS, Interface::InnerFhir, true),
    ("PPS", Controller::PPS, Interface::Pps, false),
    ("PPS", Controller::PPS, Interface::PersonnelPortal, false),
    ("PPS", Controller::PPS, Interface::CitizenPortal, true),
    ("PJD-KJ", Controller::PJD, Interface::PjdKj, true),
    ("PJD-KJ", Controller::PJD, Interface::InnerFhir, false),
    ("PJD-KJ", Controller::PJD, Interface::PersonnelPortal, false),
    ("PJD-KJ", Controller::PJD, Interface::CitizenPortal, true),
    ("PJD-KJ", Controller::PJD, Interface::Status, false),
    ("PJD-45", Controller::PJD, Interface::PjdLaw45, true),
];

pub const ACTORS: &[&str] = &[
    "LE-gp",
    "LE-other",
    "LE-entitled",
    "SP",
    "PS",
    "XX",
    "ZZ",
    "no-role",
    "LE-suspended",
    "LE-level3",
    "LE-unapproved",
    "VE-denied",
    "LE-own",
    "LE-near",
    "System",
    "System-unapproved",
    "self40",
    "self16",
    "self14",
    "self11",
    "self-no-age",
    "self-acute-lock",
    "self-of-another",
    "parent11",
    "parent12",
    "parent15",
    "parent-no-age",
    "poa-insight",
    "poa-other-area",
    "poa-giver15",
    "assigned",
    "stranger",
    "operator",
    "party",
    "anonymous",
];

pub const SETTINGS: &[&str] = &[
    "none",
    "restr-part",
    "restr-part-kj-medicines",
    "restr-all",
    "restr-all-kj",
    "block-actor",
    "block-actor-all",
    "block-actor-kj",
    "block-other",
    "block-other-all",
    "block+res",
    "res",
    "res-kj",
    "visits-off",
    "restr-all+visits-off",
    "self-off-kj",
    "self-off-journal",
];

pub const STATES: &[&str] = &[
    "alive",
    "dead-1h",
    "dead-49h",
    "dead-89d",
    "dead-91d",
    "kode7",
    "kode6",
    "client-address",
    "unknown-person",
    "norn-all",
    "nors",
    "nors-count-off",
];

pub const ACTIONS: [Action; 13] = [
    Action::List,
    Action::Read,
    Action::History,
    Action::Status,
    Action::Create,
    Action::Update,
    Action::Retract,
    Action::Delete,
    Action::Export,
    Action::Subscribe,
    Action::Count,
    Action::ChangeSetting,
    Action::Reveal,
];

/// `None` first: the actor's and basis's natural purpose is used.
pub const PURPOSES: &[&str] = &[
    "natural",
    "absent",
    "Treat",
    "EmergencyTreat",
    "Coordination",
    "BreakGlass",
    "PatientRequest",
    "Dispense",
    "Research",
    "Quality",
    "Audit",
];

pub const CLASSES: &[&str] = &[
    "all",
    "critical6",
    "critical2",
    "crisis-plan",
    "own",
    "visit",
    "results",
    "documents-a-c",
];

pub const ATTESTS: &[&str] = &[
    "none",
    "missing",
    "good",
    "60min",
    "61min",
    "other-patient",
    "no-patient",
    "subjects-differ",
];

pub const ELEVATIONS: [Option<Part>; 4] = [
    None,
    Some(Part::Critical),
    Some(Part::Results),
    Some(Part::Documents),
];

/// One combination, by index into the lists above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub door: usize,
    pub actor: usize,
    pub basis: usize,
    pub setting: usize,
    pub action: usize,
    pub purpose: usize,
    pub state: usize,
    pub class: usize,
    pub attest: usize,
    pub elevation: usize,
}

/// Sizes of the factors, in the order of [`Cell::get`].
pub const SIZES: [usize; 10] = [
    DOORS.len(),
    ACTORS.len(),
    7,
    SETTINGS.len(),
    ACTIONS.len(),
    PURPOSES.len(),
    STATES.len(),
    CLASSES.len(),
    ATTESTS.len(),
    ELEVATIONS.len(),
];

impl Cell {
    pub fn of(v: [usize; 10]) -> Self {
        let [
            door,
            actor,
            basis,
            setting,
            action,
            purpose,
            state,
            class,
            attest,
            elevation,
        ] = v;
        Self {
            door,
            actor,
            basis,
            setting,
            action,
            purpose,
            state,
            class,
            attest,
            elevation,
        }
    }

    pub fn name(&self) -> String {
        format!(
            "{}/{:?} {} {:?} {} {:?} purpose={} state={} class={} attest={} part={:?}",
            DOORS[self.door].0,
            DOORS[self.door].2,
            ACTORS[self.actor],
            Basis::ALL[self.basis],
            SETTINGS[self.setting],
            ACTIONS[self.action],
            PURPOSES[self.purpose],
            STATES[self.state],
            CLASSES[self.class],
            ATTESTS[self.attest],
            ELEVATIONS[self.elevation],
        )
    }

    /// Whether who asks comes by the citizen's issuer.
    pub fn is_citizen(&self) -> bool {
        let actor = ACTORS[self.actor];
        actor.starts_with("self")
            || actor.starts_with("parent")
            || actor.starts_with("poa")
            || matches!(actor, "assigned" | "stranger")
    }

    /// The written list of what cannot be (§12.1); the reason.
    pub fn impossible(&self) -> Option<&'static str> {
        let (regime, controller, door, _) = DOORS[self.door];
        let actor = ACTORS[self.actor];
        let action = ACTIONS[self.action];
        let basis = Basis::ALL[self.basis];
        let state = STATES[self.state];
        let is_citizen = self.is_citizen();
        let is_personnel = !is_citizen
            && !matches!(
                actor,
                "System" | "System-unapproved" | "operator" | "party" | "anonymous"
            );
        let elevated = matches!(basis, Basis::ElevatedConsent | Basis::ElevatedEmergency);
        if door == Interface::Status {
            if action != Action::Status {
                return Some("the status door answers status only");
            }
            if is_citizen {
                return Some("status calls are made by personnel and systems");
            }
            if elevated {
                return Some("a status call asks nothing of a restricted part; no rule for it");
            }
            if basis == Basis::None && state.starts_with("dead") {
                return Some("no rule for a status call without basis about a deceased");
            }
        } else if action == Action::Status {
            return Some("status has its own door");
        }
        if action == Action::Reveal && !(is_personnel && elevated) {
            return Some("Reveal is the portal's elevation: personnel with an elevated basis");
        }
        if door == Interface::PersonnelPortal
            && basis == Basis::Law45
            && controller == Controller::PJD
        {
            return Some("the portal reads documents under the regulation");
        }
        if matches!(state, "norn-all" | "nors" | "nors-count-off") && controller != Controller::PJD
        {
            return Some("facts of document sharing");
        }
        if state == "unknown-person" && (is_citizen || actor == "LE-own") {
            return Some("who asks about herself is known");
        }
        if state == "unknown-person" && SETTINGS[self.setting] != "none" {
            return Some("an unknown person has no settings");
        }
        if is_citizen && !matches!(PURPOSES[self.purpose], "natural" | "absent") {
            return Some("the citizen's purpose follows from who asks");
        }
        if !is_personnel && !matches!(ATTESTS[self.attest], "none" | "subjects-differ") {
            return Some("only personnel attest");
        }
        if ELEVATIONS[self.elevation].is_some() && !elevated {
            return Some("an elevated part needs an elevated basis");
        }
        if actor == "LE-own" && door == Interface::Status {
            return Some("own record through the status door: no rule");
        }
        if action == Action::Retract && state.starts_with("dead") && is_personnel {
            return Some(
                "correction by the author after death: an author rule of the service, not built",
            );
        }
        if regime == "PJD-45" && SETTINGS[self.setting] == "visits-off" {
            return Some("visits are not documents");
        }
        None
    }

    /// The facts and the question.
    pub fn build(&self) -> (Facts, Ask) {
        let (_, controller, interface, _) = DOORS[self.door];
        let basis = Basis::ALL[self.basis];
        let mut subject = SubjectFacts {
            person: Some(SUBJECT),
            keys: BTreeSet::from([SUBJECT, SUBJECT_OLD]),
            age: Some(40),
            life: Life::Alive,
            protection: Protection::Unclassified,
            actor_is_gp: false,
            actor_is_entitled: false,
            actor_is_near: false,
            has_norn_all: false,
            has_nors: false,
        };
        let (actor, natural) = self.actor(&mut subject);
        let mut facts = Facts {
            actor,
            purpose: match PURPOSES[self.purpose] {
                "absent" => None,
                "Treat" => Some(Purpose::Treat),
                "EmergencyTreat" => Some(Purpose::EmergencyTreat),
                "Coordination" => Some(Purpose::Coordination),
                "BreakGlass" => Some(Purpose::BreakGlass),
                "PatientRequest" => Some(Purpose::PatientRequest),
                "Dispense" => Some(Purpose::Dispense),
                "Research" => Some(Purpose::Research),
                "Quality" => Some(Purpose::Quality),
                "Audit" => Some(Purpose::Audit),
                _ => Some(natural),
            },
            subject: None,
            settings: self.settings(controller),
            blocking_persons: BTreeSet::from([BLOCKER]),
            at: NOW,
            today: TODAY,
            nors_count_is_off: false,
        };
        match STATES[self.state] {
            "dead-1h" => subject.life = dead(1),
            "dead-49h" => subject.life = dead(49),
            "dead-89d" => subject.life = dead(89 * 24),
            "dead-91d" => subject.life = dead(91 * 24),
            "kode7" => subject.protection = Protection::Confidential,
            "kode6" => subject.protection = Protection::StrictlyConfidential,
            "client-address" => subject.protection = Protection::ClientAddress,
            "unknown-person" => {
                subject.person = None;
                subject.keys.clear();
                subject.age = None;
            }
            "norn-all" => subject.has_norn_all = true,
            "nors" => subject.has_nors = true,
            "nors-count-off" => facts.nors_count_is_off = true,
            _ => {}
        }
        facts.subject = Some(subject);
        let classes: &[Class] = match CLASSES[self.class] {
            "critical6" => &[Class::Critical6],
            "critical2" => &[Class::Critical2],
            "crisis-plan" => &[Class::CrisisPlan],
            "own" => &[Class::OwnIllness, Class::Contacts],
            "visit" => &[Class::Visit],
            "results" => &[Class::LabReport, Class::LabObservation],
            "documents-a-c" => &[Class::DocumentA, Class::DocumentC],
            _ => &[],
        };
        let ask = Ask {
            interface,
            controller,
            action: ACTIONS[self.action],
            basis,
            classes: classes.iter().copied().collect(),
            elevated_part: ELEVATIONS[self.elevation],
            subjects_differ: ATTESTS[self.attest] == "subjects-differ",
        };
        (facts, ask)
    }

    fn actor(&self, subject: &mut SubjectFacts) -> (Actor, Purpose) {
        let name = ACTORS[self.actor];
        let self_of = |person, acute_lock| {
            (
                Actor::CitizenSelf { person, acute_lock },
                Purpose::PatientRequest,
            )
        };
        let acts = |relation, purpose| {
            (
                Actor::Representative(RepresentativeFacts {
                    person: ACTOR,
                    relation,
                }),
                purpose,
            )
        };
        let parent = Some(Representation::Parent);
        let attorney = |area| Some(Representation::Attorney(BTreeSet::from([area])));
        let system = |organisation_is_approved| Actor::System {
            client_id: "client".to_owned(),
            orgnr_parent: OWN_ORG.to_owned(),
            organisation_is_approved,
        };
        match name {
            "System" => (system(true), Purpose::Treat),
            "System-unapproved" => (system(false), Purpose::Treat),
            "self40" => self_of(SUBJECT, false),
            "self16" => {
                subject.age = Some(16);
                self_of(SUBJECT, false)
            }
            "self14" => {
                subject.age = Some(14);
                self_of(SUBJECT, false)
            }
            "self11" => {
                subject.age = Some(11);
                self_of(SUBJECT, false)
            }
            "self-no-age" => {
                subject.age = None;
                self_of(SUBJECT_OLD, false)
            }
            "self-acute-lock" => self_of(SUBJECT, true),
            "self-of-another" => self_of(OTHER, false),
            "parent11" | "parent12" | "parent15" | "parent-no-age" => {
                subject.age = match name {
                    "parent11" => Some(11),
                    "parent12" => Some(12),
                    "parent15" => Some(15),
                    _ => None,
                };
                acts(parent, Purpose::FamilyRequest)
            }
            "poa-insight" => acts(attorney(1), Purpose::AttorneyRequest),
            "poa-other-area" => acts(attorney(6), Purpose::AttorneyRequest),
            "poa-giver15" => {
                subject.age = Some(15);
                acts(attorney(1), Purpose::AttorneyRequest)
            }
            "assigned" => acts(Some(Representation::Assigned), Purpose::AttorneyRequest),
            "stranger" => acts(None, Purpose::AttorneyRequest),
            "operator" => (Actor::Operator { person: ACTOR }, Purpose::Operate),
            "party" => (Actor::MessageParty { her_id: 1 }, Purpose::MessageExchange),
            "anonymous" => (Actor::Anonymous, Purpose::Treat),
            _ => (self.personnel(name, subject), self.treatment()),
        }
    }

    fn treatment(&self) -> Purpose {
        match Basis::ALL[self.basis] {
            Basis::Emergency | Basis::ElevatedEmergency => Purpose::EmergencyTreat,
            _ => Purpose::Treat,
        }
    }

    fn personnel(&self, name: &str, subject: &mut SubjectFacts) -> Actor {
        subject.actor_is_gp = matches!(name, "LE-gp" | "LE-near" | "LE-own");
        subject.actor_is_entitled = name == "LE-entitled";
        subject.actor_is_near = name == "LE-near";
        let attest = |age_minutes, names_subject| {
            Some(AttestFacts {
                age_minutes,
                names_subject,
            })
        };
        Actor::Personnel(PersonnelFacts {
            person: if name == "LE-own" { SUBJECT_OLD } else { ACTOR },
            hpr: Some("9000001".to_owned()),
            role: match name {
                "SP" | "PS" | "XX" | "ZZ" => Some(name.to_owned()),
                "VE-denied" => Some("VE".to_owned()),
                "no-role" => None,
                _ => Some("LE".to_owned()),
            },
            role_is_active: !matches!(name, "LE-suspended" | "no-role"),
            level_is_4: name != "LE-level3",
            orgnr_parent: OWN_ORG.to_owned(),
            orgnr_child: "222222222".to_owned(),
            organisation_is_approved: name != "LE-unapproved",
            role_is_denied: matches!(name, "VE-denied" | "XX"),
            attest: match ATTESTS[self.attest] {
                "good" => attest(1, Some(true)),
                "60min" => attest(60, Some(true)),
                "61min" => attest(61, Some(true)),
                "other-patient" => attest(1, Some(false)),
                "no-patient" => attest(1, None),
                _ => None,
            },
            attest_is_required: matches!(ATTESTS[self.attest], "missing" | "60min" | "61min"),
        })
    }

    fn settings(&self, controller: Controller) -> SettingsInForce {
        let mut s = SettingsInForce::default();
        let part = match controller {
            Controller::KJ => Part::Critical,
            Controller::PPS => Part::Results,
            _ => Part::Documents,
        };
        match SETTINGS[self.setting] {
            "restr-part" => {
                s.restricted_parts.insert((controller, part));
            }
            "restr-part-kj-medicines" => {
                s.restricted_parts.insert((Controller::KJ, Part::Medicines));
            }
            "restr-all" | "restr-all+visits-off" => {
                s.restricted_wholly.insert(controller);
            }
            "restr-all-kj" => {
                s.restricted_wholly.insert(Controller::KJ);
            }
            "block-actor" => {
                s.blocks.insert((Some(controller), ACTOR));
            }
            "block-actor-all" => {
                s.blocks.insert((None, ACTOR));
            }
            "block-actor-kj" => {
                s.blocks.insert((Some(Controller::KJ), ACTOR));
            }
            "block-other" => {
                s.blocks.insert((Some(controller), OTHER));
            }
            "block-other-all" => {
                s.blocks.insert((None, OTHER));
            }
            "block+res" => {
                s.blocks.insert((Some(controller), ACTOR));
                s.reservations.insert(controller);
            }
            "res" => {
                s.reservations.insert(controller);
            }
            "res-kj" => {
                s.reservations.insert(Controller::KJ);
            }
            "self-off-kj" => s.self_off_kj = true,
            "self-off-journal" => s.self_off_journal = true,
            _ => {}
        }
        s.visits_off = SETTINGS[self.setting].ends_with("visits-off");
        s
    }
}

fn dead(hours: i64) -> Life {
    Life::Deceased {
        hours_since_registered: hours,
    }
}

/// Days since 1970-01-01.
pub fn day(date: jiff::civil::Date) -> i32 {
    jiff::civil::date(1970, 1, 1)
        .until(date)
        .expect("days")
        .get_days()
}

/// A record of the subject with this class.
pub fn head(controller: Controller, class: u16) -> Head {
    Head {
        rid: Rid(1),
        repo: RepoId(1),
        rtype: "Observation".to_owned(),
        id: "x".to_owned(),
        vno: Vno(1),
        seq: Seq(1),
        at: NOW - 1,
        op: Op::Create,
        persons: vec![SUBJECT],
        author_person: None,
        owner: None,
        privacy: Privacy {
            controller: controller.code().to_owned(),
            class,
            service_day: Some(day(TODAY)),
            author_org: Some("333333333".to_owned()),
            ..Privacy::default()
        },
    }
}

/// The records every cell of a controller is tried on; at most 64.
pub fn heads(controller: Controller) -> Vec<(String, Head)> {
    let base = match controller {
        Controller::KJ => Class::Critical2,
        Controller::PPS => Class::LabObservation,
        _ => Class::DocumentA,
    };
    let mut list: Vec<(String, Head)> = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut Head)| {
        let mut h = head(controller, base.code());
        change(&mut h);
        list.push((name.to_owned(), h));
    };
    add("plain", &|_| {});
    let classes: &[Class] = match controller {
        Controller::KJ => &[
            Class::Critical6,
            Class::OwnIllness,
            Class::Immunisation,
            Class::Prescription,
            Class::LabReport,
            Class::Visit,
            Class::CarePlan,
            Class::CrisisPlan,
        ],
        Controller::PPS => &[Class::LabReport, Class::RadiologyReport, Class::Requisition],
        _ => &[
            Class::DocumentB,
            Class::DocumentC,
            Class::DocumentD,
            Class::DocumentE,
            Class::DocumentF,
            Class::DocumentI,
            Class::DocumentJ,
            Class::DocumentS,
            Class::Document,
        ],
    };
    for class in classes {
        add(&format!("class {class:?}"), &|h| {
            h.privacy.class = class.code()
        });
    }
    if controller == Controller::PJD {
        let cases = [
            (Class::DocumentA, (1990, 1, 1)),
            (Class::DocumentC, (2027, 2, 28)),
            (Class::DocumentC, (2027, 2, 27)),
            (Class::DocumentI, (2027, 2, 27)),
            (Class::DocumentD, (2023, 2, 28)),
            (Class::DocumentE, (2023, 2, 27)),
        ];
        for (class, (y, m, d)) in cases {
            add(&format!("{class:?} of {y}-{m}-{d}"), &|h| {
                h.privacy.class = class.code();
                h.privacy.service_day = Some(day(jiff::civil::date(y, m, d)));
            });
        }
        add("DocumentC undated", &|h| {
            h.privacy.class = Class::DocumentC.code();
            h.privacy.service_day = None;
        });
    }
    for code in [
        "N",
        "NORN_FFL",
        "NORN_ANG",
        "NORN_DUP",
        "NORN_ALL",
        "NORN_FFH",
        "NORN_FORANS",
        "NORN_UNGDOM",
        "NORS",
        "HL7_V",
        "locked",
        "guardianhide",
        "doctorsname",
        "unverified-patient",
        "NORN_TOMORROW",
    ] {
        add(&format!("label {code}"), &|h| {
            h.privacy.labels = trust::label::bit(code);
        });
    }
    add("labels NORS+NORN_FFL", &|h| {
        h.privacy.labels = trust::label::bit("NORS") | trust::label::bit("NORN_FFL");
    });
    for (name, at) in [("past", -1), ("now", 0), ("future", 1)] {
        add(&format!("NORU until {name}"), &|h| {
            h.privacy.labels = trust::label::bit("NORU");
            h.privacy.disclose_at = Some(NOW + at);
        });
    }
    add("undisclosed, no label", &|h| {
        h.privacy.disclose_at = Some(NOW + 1)
    });
    add("conf R", &|h| h.privacy.conf = 1);
    add("conf V", &|h| h.privacy.conf = 2);
    add("conf V beside NORN_ANG", &|h| {
        h.privacy.conf = 2;
        h.privacy.labels = trust::label::bit("NORN_ANG");
    });
    add("conf V beside NORS", &|h| {
        h.privacy.conf = 2;
        h.privacy.labels = trust::label::bit("NORS");
    });
    add("conf unknown", &|h| h.privacy.conf = 3);
    add("label bit unknown", &|h| h.privacy.labels = 1 << 63);
    add("class unknown", &|h| h.privacy.class = 9_999);
    add("controller other", &|h| {
        h.privacy.controller = "RF".to_owned()
    });
    add("person other", &|h| h.persons = vec![OTHER]);
    add("person none", &|h| h.persons.clear());
    add("person old key", &|h| h.persons = vec![SUBJECT_OLD]);
    add("persons subject, third", &|h| {
        h.persons = vec![SUBJECT, THIRD]
    });
    add("persons subject, blocker", &|h| {
        h.persons = vec![SUBJECT, BLOCKER]
    });
    add("persons blocker, subject", &|h| {
        h.persons = vec![BLOCKER, SUBJECT]
    });
    add("own organisation", &|h| {
        h.privacy.author_org = Some(OWN_ORG.to_owned());
    });
    assert!(list.len() <= 64, "{} records", list.len());
    list
}
