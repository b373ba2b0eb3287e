//! A second, slow evaluator of spec/privacy.md, written from its text by another hand than `trust::may`.
//!
//! It shares the types with the crate and nothing else: no tables, no filters, no helper functions. Where `may` builds
//! a filter, this looks at one record after the other. `label::bit` is used only as the encoding of a code in a column.

mod sees;

pub use sees::sees;

use registers::Protection;
use std::collections::BTreeSet;
use trust::*;

/// What the rules give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Refused, in this class.
    No(DenyClass),
    /// Allowed; what may be seen is asked with [`sees`].
    Yes(Told),
}

/// What an Allow tells and obliges to, as far as the text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub closed: BTreeSet<Part>,
    pub opened: BTreeSet<Part>,
    pub count_nors: bool,
    pub hide_address: bool,
    pub notify: bool,
    pub review: Reviewed,
}

/// How strongly an access is reviewed (§5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reviewed {
    #[default]
    No,
    Sample,
    Every,
}

/// Which table of §7 governs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Kj,
    Pps,
    DocumentsKj,
    DocumentsLaw45,
}

fn table(facts: &Facts, ask: &Ask) -> Option<Table> {
    let citizen = matches!(
        facts.actor,
        Actor::CitizenSelf { .. } | Actor::Representative(_)
    );
    Some(match (ask.controller, ask.interface) {
        (Controller::KJ, _) => Table::Kj,
        (Controller::PPS, _) => Table::Pps,
        (Controller::PJD, _) if citizen => Table::DocumentsLaw45,
        (Controller::PJD, Interface::PjdKj) => Table::DocumentsKj,
        (Controller::PJD, Interface::PjdLaw45) => Table::DocumentsLaw45,
        (Controller::PJD, _) if ask.basis == Basis::Law45 => Table::DocumentsLaw45,
        (Controller::PJD, _) => Table::DocumentsKj,
        _ => return None,
    })
}

/// Whose settings count (§2.7, §7.1-§7.3; a view through kjernejournal obeys its settings too, §7.4, §7.7).
fn governing(facts: &Facts, ask: &Ask) -> Vec<Controller> {
    let mut list = match table(facts, ask) {
        Some(Table::Kj) => vec![Controller::KJ],
        Some(Table::Pps) => vec![Controller::PPS],
        Some(Table::DocumentsKj) => vec![Controller::PJD, Controller::KJ],
        Some(Table::DocumentsLaw45) => vec![Controller::PJD],
        None => vec![ask.controller],
    };
    if ask.interface == Interface::PersonnelPortal && !list.contains(&Controller::KJ) {
        list.push(Controller::KJ);
    }
    list
}

fn is_write(action: Action) -> bool {
    matches!(
        action,
        Action::Create | Action::Update | Action::Retract | Action::Delete
    )
}

fn is_elevated(basis: Basis) -> bool {
    matches!(basis, Basis::ElevatedConsent | Basis::ElevatedEmergency)
}

fn is_own_record(p: &PersonnelFacts, subject: &SubjectFacts) -> bool {
    subject.person == Some(p.person) || subject.keys.contains(&p.person)
}

/// Whether the answer can be made of this part: the classes asked for, or all of the controller.
pub fn asks_for(ask: &Ask, part: Part) -> bool {
    if !ask.classes.is_empty() {
        return ask.classes.iter().any(|c| c.part() == part);
    }
    match ask.controller {
        Controller::PPS => part == Part::Results,
        Controller::PJD => part == Part::Documents,
        _ => true,
    }
}

/// Whether an elevated basis opens this part (§2.4 note 1, §7.1: CI opens `critical` only, the portal the part
/// clicked; no part named: the parts asked for).
pub fn opens(ask: &Ask, part: Part) -> bool {
    if !is_elevated(ask.basis) || ask.interface == Interface::Status {
        return false;
    }
    match (ask.interface, ask.elevated_part) {
        (Interface::CriticalInformation, _) => part == Part::Critical,
        (_, Some(clicked)) => part == clicked,
        (_, None) => asks_for(ask, part),
    }
}

/// Parts that the citizen's settings restrict: those named, or everything that can be restricted.
fn restricted_parts(facts: &Facts, ask: &Ask) -> BTreeSet<Part> {
    let governing = governing(facts, ask);
    let whole = governing
        .iter()
        .any(|c| facts.settings.restricted_wholly.contains(c));
    Part::ALL
        .into_iter()
        .filter(|part| {
            let named = governing
                .iter()
                .any(|c| facts.settings.restricted_parts.contains(&(*c, *part)));
            let restrictable = !matches!(
                part,
                Part::Person | Part::Portal | Part::Tech | Part::Log | Part::Other
            );
            named || whole && restrictable
        })
        .collect()
}

/// Parts that the citizen restricted and that this basis does not open.
fn closed_parts(facts: &Facts, ask: &Ask) -> BTreeSet<Part> {
    let mut parts = restricted_parts(facts, ask);
    parts.retain(|part| !opens(ask, *part));
    parts
}

/// Steps 1-17 of §3.
pub fn judge(facts: &Facts, ask: &Ask) -> Verdict {
    match steps(facts, ask) {
        Err(class) => Verdict::No(class),
        Ok(()) => Verdict::Yes(told(facts, ask)),
    }
}

fn steps(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    door(facts, ask)?;
    actor_state(facts, ask)?;
    form(facts, ask)?;
    basis(facts, ask)?;
    let Some(subject) = &facts.subject else {
        return Err(DenyClass::Form); // 10.4: exactly one patient
    };
    if matches!(facts.actor, Actor::System { .. })
        && (is_write(ask.action) || ask.action == Action::ChangeSetting)
    {
        // Said before anything of the subject is looked at, so that it tells nothing of her.
        return Err(DenyClass::Role);
    }
    relation(facts, ask, subject)?;
    blocks(facts, ask, subject)?;
    life(facts, ask, subject)?;
    reservation(facts, ask)?;
    entitlement(facts, ask, subject)?;
    restriction(facts, ask, subject)?;
    table_of_the_service(facts, ask)
}

/// Steps 1 and 2.
fn door(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    use Interface::*;
    let accepted = match &facts.actor {
        Actor::Anonymous => return Err(DenyClass::Auth),
        Actor::Personnel(_) => ask.interface != CitizenPortal,
        Actor::CitizenSelf { .. } | Actor::Representative(_) => {
            matches!(ask.interface, CitizenPortal | CriticalInformation | PjdKj)
        }
        // Documents want a person; of results a machine may only count its own intake (§4.1, §7.2).
        Actor::System { .. } => match (ask.interface, ask.controller) {
            (CriticalInformation | Status, _) => true,
            (InnerFhir, Controller::KJ) => true,
            (InnerFhir, Controller::PPS) => ask.action == Action::Count,
            _ => false,
        },
        // Operators never see health content; jobs never answer to outside; messages do not come through these doors.
        Actor::Operator { .. } | Actor::Hub { .. } | Actor::MessageParty { .. } => false,
    };
    if accepted {
        Ok(())
    } else {
        Err(DenyClass::Role)
    }
}

/// Professions of 9060 that the Directorate may approve; `XX` (unspecified) is none of them.
const PROFESSIONS: [&str; 25] = [
    "AA", "BI", "ET", "FA1", "FA2", "FB", "FT", "HE", "HF", "JO", "KE", "KI", "LE", "OP", "OR",
    "OT", "PE", "PS", "RA", "SP", "TH", "TL", "TP", "VE", "VP",
];

/// Step 3.
fn actor_state(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    let holds = match &facts.actor {
        Actor::Personnel(p) => {
            let attest_holds = match &p.attest {
                None => !p.attest_is_required,
                Some(attest) => attest.age_minutes <= 60,
            };
            p.level_is_4
                && p.role_is_active
                && p.role.as_deref().is_some_and(|r| PROFESSIONS.contains(&r))
                && p.organisation_is_approved
                && !(p.role_is_denied && ask.controller == Controller::PJD)
                && attest_holds
        }
        Actor::System {
            organisation_is_approved,
            ..
        } => *organisation_is_approved,
        Actor::CitizenSelf { acute_lock, .. } => !acute_lock,
        _ => true,
    };
    if holds { Ok(()) } else { Err(DenyClass::Role) }
}

/// Step 4.
fn form(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    if ask.subjects_differ {
        return Err(DenyClass::Form);
    }
    if let Actor::Personnel(p) = &facts.actor
        && let Some(attest) = &p.attest
    {
        match attest.names_subject {
            Some(true) => {}
            // Case 34 wants 403 for both, which is the form of `role`.
            Some(false) => return Err(DenyClass::Role),
            None => {
                if ask.controller == Controller::PJD
                    && !matches!(ask.action, Action::List | Action::Count | Action::Status)
                {
                    return Err(DenyClass::Role);
                }
            }
        }
    }
    Ok(())
}

/// Step 5, with the purposes of §2.3.
fn basis(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    let is_document = ask.controller == Controller::PJD;
    // §45 speaks of health personnel, not of machines.
    let is_machine = matches!(facts.actor, Actor::System { .. });
    if ask.basis == Basis::Law45 && (!is_document || is_machine) {
        return Err(DenyClass::Basis);
    }
    match &facts.actor {
        Actor::Personnel(_) | Actor::System { .. } => {
            if !matches!(
                facts.purpose,
                Some(
                    Purpose::Treat
                        | Purpose::EmergencyTreat
                        | Purpose::Coordination
                        | Purpose::BreakGlass
                )
            ) {
                return Err(DenyClass::Basis);
            }
            if ask.basis == Basis::None && ask.interface != Interface::Status {
                return Err(DenyClass::Basis);
            }
            let is_system = matches!(facts.actor, Actor::System { .. });
            if is_system && (ask.basis == Basis::Emergency || is_elevated(ask.basis)) {
                return Err(DenyClass::Basis);
            }
            // The scope decides at the document API: without a header §45, with one the regulation (§2.4, §7.3).
            if ask.interface == Interface::PjdLaw45 && ask.basis != Basis::Law45
                || ask.interface == Interface::PjdKj && ask.basis == Basis::Law45
            {
                return Err(DenyClass::Basis);
            }
            // §7.1: settings changed by personnel for the patient: basis Consent only.
            if !is_system && ask.action == Action::ChangeSetting && ask.basis != Basis::Consent {
                return Err(DenyClass::Basis);
            }
        }
        _ => {
            if !matches!(
                facts.purpose,
                Some(Purpose::PatientRequest | Purpose::FamilyRequest | Purpose::AttorneyRequest)
            ) {
                return Err(DenyClass::Basis);
            }
            // A ground of health personnel means nothing in a citizen's request.
            if ask.basis != Basis::None {
                return Err(DenyClass::Basis);
            }
        }
    }
    Ok(())
}

const REPRESENTATION_IS_OPEN: bool = false;
const AREA_INSIGHT: u8 = 1;
const AREA_DIGITAL: u8 = 3;

/// Step 7 with §6.
fn relation(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), DenyClass> {
    match &facts.actor {
        Actor::Personnel(p) if is_own_record(p, subject) => {
            if ask.interface == Interface::PersonnelPortal {
                Err(DenyClass::None)
            } else if is_elevated(ask.basis)
                || is_write(ask.action)
                || ask.action == Action::ChangeSetting
            {
                Err(DenyClass::Role)
            } else {
                Ok(())
            }
        }
        Actor::CitizenSelf { person, .. } => {
            let is_self = subject.person == Some(*person) || subject.keys.contains(person);
            // No birth date: adult rules for self. Under 16 none of the services of this issue is offered.
            if is_self && subject.age.is_none_or(|age| age >= 16) {
                Ok(())
            } else {
                Err(DenyClass::None)
            }
        }
        // Representation is not open yet: every representative is a stranger. The rules below are kept for the day it is.
        Actor::Representative(_) if !REPRESENTATION_IS_OPEN => Err(DenyClass::None),
        Actor::Representative(r) => {
            let protected = matches!(
                subject.protection,
                Protection::Confidential | Protection::StrictlyConfidential
            );
            let (Some(relation), false, Some(age)) = (&r.relation, protected, subject.age) else {
                return Err(DenyClass::None);
            };
            let offered = match relation {
                Representation::Parent => age < 12,
                Representation::Attorney(areas) => {
                    let area = if is_write(ask.action) {
                        AREA_DIGITAL
                    } else {
                        AREA_INSIGHT
                    };
                    age >= 16 && (areas.contains(&area) || ask.action == Action::ChangeSetting)
                }
                Representation::Assigned => age >= 16,
            };
            if offered {
                Ok(())
            } else {
                Err(DenyClass::None)
            }
        }
        _ => Ok(()),
    }
}

/// Steps 8 and 9.
fn blocks(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), DenyClass> {
    let governing = governing(facts, ask);
    let counts = |c: &Option<Controller>| c.is_none_or(|c| governing.contains(&c));
    match &facts.actor {
        Actor::Personnel(p) => {
            for (controller, blocked) in &facts.settings.blocks {
                if *blocked == p.person && counts(controller) && !is_own_record(p, subject) {
                    return Err(DenyClass::Block);
                }
            }
            if ask.controller == Controller::RF
                && facts.settings.block_all_but_gp
                && !subject.actor_is_gp
            {
                return Err(DenyClass::Block);
            }
        }
        Actor::System { .. } | Actor::MessageParty { .. }
            if facts.settings.blocks.iter().any(|(c, _)| counts(c)) =>
        {
            return Err(DenyClass::Machine);
        }
        _ => {}
    }
    Ok(())
}

/// Step 10 with §7.9.
fn life(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), DenyClass> {
    let Life::Deceased {
        hours_since_registered: hours,
    } = subject.life
    else {
        return Ok(());
    };
    if !matches!(facts.actor, Actor::Personnel(_)) {
        return Err(DenyClass::State);
    }
    if ask.action == Action::ChangeSetting || is_write(ask.action) && ask.action != Action::Retract
    {
        return Err(DenyClass::State);
    }
    let within_90_days = hours <= 90 * 24;
    let open = match ask.basis {
        Basis::Exception => {
            within_90_days && matches!(facts.purpose, Some(Purpose::Treat | Purpose::Coordination))
        }
        Basis::Emergency => hours <= 48,
        Basis::None => within_90_days, // status calls
        Basis::Law45 | Basis::Consent | Basis::ElevatedConsent | Basis::ElevatedEmergency => false,
    };
    if open { Ok(()) } else { Err(DenyClass::State) }
}

/// Step 12, and the citizen's own access removed (§2.7).
fn reservation(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    let is_citizen = matches!(
        facts.actor,
        Actor::CitizenSelf { .. } | Actor::Representative(_)
    );
    if is_citizen && ask.action == Action::ChangeSetting {
        return Ok(()); // or she could never lift it
    }
    let off = match ask.controller {
        Controller::KJ => facts.settings.self_off_kj,
        Controller::PJD => facts.settings.self_off_journal,
        _ => false,
    };
    if is_citizen && off {
        return Err(DenyClass::None);
    }
    if governing(facts, ask)
        .iter()
        .any(|c| facts.settings.reservations.contains(c))
    {
        return Err(DenyClass::Resv);
    }
    Ok(())
}

/// Step 13.
fn entitlement(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), DenyClass> {
    let _ = facts;
    if ask.basis == Basis::Exception
        && ask.interface != Interface::Status
        && !subject.actor_is_gp
        && !subject.actor_is_entitled
    {
        return Err(DenyClass::Basis);
    }
    Ok(())
}

/// Steps 14 and 15: personnel and systems only; a citizen is not restricted from her own record.
fn restriction(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), DenyClass> {
    if !matches!(facts.actor, Actor::Personnel(_) | Actor::System { .. }) {
        return Ok(());
    }
    let governing = governing(facts, ask);
    let whole = governing
        .iter()
        .any(|c| facts.settings.restricted_wholly.contains(c));
    if whole && !is_elevated(ask.basis) {
        return Err(DenyClass::Restr);
    }
    if is_elevated(ask.basis) && !whole {
        let part = facts
            .settings
            .restricted_parts
            .iter()
            .any(|(c, _)| governing.contains(c));
        let nors =
            ask.controller == Controller::PJD && (subject.has_nors || facts.nors_count_is_off);
        if !part && !nors {
            return Err(DenyClass::NotNeeded);
        }
    }
    Ok(())
}

/// Step 17: role × category × action.
fn table_of_the_service(facts: &Facts, ask: &Ask) -> Result<(), DenyClass> {
    let allowed = match &facts.actor {
        Actor::Personnel(p) => {
            if !is_write(ask.action) {
                return Ok(());
            }
            if ask.controller != Controller::KJ {
                return Err(DenyClass::Role);
            }
            let only = |list: &[Class]| {
                !ask.classes.is_empty() && ask.classes.iter().all(|c| list.contains(c))
            };
            let role_writes = if ask.interface == Interface::CriticalInformation {
                ask.classes.iter().all(|c| c.part() == Part::Critical)
            } else {
                match p.role.as_deref() {
                    Some("LE") => true,
                    Some("SP") => only(&[Class::Critical6, Class::Critical7]),
                    Some("PS") => only(&[Class::CrisisPlan]),
                    _ => false,
                }
            };
            if !role_writes {
                return Err(DenyClass::Role);
            }
            // Writes to a restricted part need an elevated basis.
            let closed = closed_parts(facts, ask);
            if closed.iter().any(|part| asks_for(ask, *part)) {
                return Err(DenyClass::Restr);
            }
            true
        }
        Actor::System { .. } => {
            // What else a machine may not is said at the door.
            !is_write(ask.action) && ask.action != Action::ChangeSetting
        }
        Actor::CitizenSelf { .. } => {
            if is_write(ask.action) {
                own_registrations(ask)
            } else {
                true
            }
        }
        Actor::Representative(r) => {
            if ask.action == Action::ChangeSetting {
                r.relation == Some(Representation::Parent)
            } else if is_write(ask.action) {
                own_registrations(ask)
            } else {
                true
            }
        }
        _ => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(DenyClass::Role)
    }
}

fn own_registrations(ask: &Ask) -> bool {
    ask.controller == Controller::KJ
        && !ask.classes.is_empty()
        && ask.classes.iter().all(|c| {
            matches!(
                c,
                Class::OwnIllness | Class::CommNeeds | Class::Contacts | Class::DonorCard
            )
        })
}

/// Step 19.
fn told(facts: &Facts, ask: &Ask) -> Told {
    let mut told = Told::default();
    let Some(subject) = &facts.subject else {
        return told;
    };
    let p = match &facts.actor {
        Actor::Personnel(p) => p,
        Actor::System { .. } => {
            told.closed = closed_parts(facts, ask);
            told.hide_address = subject.protection != Protection::Unclassified;
            return told;
        }
        _ => {
            told.hide_address = subject.protection == Protection::StrictlyConfidential;
            return told;
        }
    };
    told.hide_address = subject.protection != Protection::Unclassified;
    let own = is_own_record(p, subject);
    told.closed = closed_parts(facts, ask);
    told.opened = restricted_parts(facts, ask);
    told.opened.retain(|part| opens(ask, *part));
    told.count_nors = ask.controller == Controller::PJD
        && !own
        && !is_elevated(ask.basis)
        && !facts.nors_count_is_off;
    if ask.interface == Interface::Status {
        return told;
    }
    let break_glass = facts.purpose == Some(Purpose::BreakGlass);
    told.notify = is_elevated(ask.basis) || break_glass;
    let is_emergency = matches!(ask.basis, Basis::Emergency | Basis::ElevatedEmergency);
    let emergency_purpose = matches!(
        facts.purpose,
        Some(Purpose::EmergencyTreat | Purpose::BreakGlass)
    );
    let protected = matches!(
        subject.protection,
        Protection::Confidential | Protection::StrictlyConfidential
    );
    told.review = if break_glass
        || ask.basis == Basis::ElevatedEmergency
        || is_emergency != emergency_purpose
        || subject.actor_is_near
        || own
        || protected
    {
        Reviewed::Every
    } else if ask.basis == Basis::Emergency || ask.basis == Basis::ElevatedConsent {
        Reviewed::Sample
    } else {
        Reviewed::No
    };
    told
}
