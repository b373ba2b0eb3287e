//! The decision: the nineteen steps of spec/privacy.md §3, in order; the first denial stops.
//!
//! Steps 1-5 look at the caller only; from step 6 on the answer may depend on the subject's settings, never on whether
//! there are data. Tables stand in `rules/*.tsv`.

use crate::facts::*;
use crate::label::{self, Reader};
use crate::{Basis, Class, Part, Purpose};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use store::{Filter, Pred};

/// Days after the registration of a death in which personnel may read (`deceased.read_days`).
pub const DECEASED_READ_DAYS: i64 = 90;
/// Hours after it in which emergency access still works (registration lag).
pub const DECEASED_EMERGENCY_HOURS: i64 = 48;
/// Oldest attest that counts.
pub const ATTEST_MAX_MINUTES: i64 = 60;

/// Rule of an attest that is for another patient: stands in the technical log only (case 34).
pub const ATTEST_NAMES_ANOTHER: &str = "attest-names-another";

/// Decides. Pure: the same facts give the same decision, everywhere and always.
pub fn may(facts: &Facts, ask: &Ask) -> Decision {
    decide(facts, ask).unwrap_or_else(|denial| Decision::Deny {
        class: denial.0,
        reason: denial.1,
    })
}

type Denial = (DenyClass, &'static str);

fn deny<T>(class: DenyClass, reason: &'static str) -> Result<T, Denial> {
    Err((class, reason))
}

fn decide(facts: &Facts, ask: &Ask) -> Result<Decision, Denial> {
    if let Actor::Hub { .. } = facts.actor {
        return Ok(Decision::Allow {
            reason: "hub-job",
            filter: Filter::Open,
            duties: Duties::default(),
            flags: Flags::default(),
        });
    }
    step_2_interface(facts, ask)?;
    step_3_actor_state(facts, ask)?;
    step_4_form(facts, ask)?;
    step_5_basis(facts, ask)?;
    let Some(subject) = &facts.subject else {
        return deny(DenyClass::Form, "no-subject");
    };
    match &facts.actor {
        Actor::CitizenSelf { person, .. } => citizen(facts, ask, subject, *person),
        Actor::Representative(_) => deny(DenyClass::None, "representation-not-open"),
        Actor::Personnel(personnel) => personnel_decision(facts, ask, subject, personnel),
        Actor::System { .. } => system_decision(facts, ask, subject),
        Actor::MessageParty { .. }
        | Actor::Operator { .. }
        | Actor::Hub { .. }
        | Actor::Anonymous => deny(DenyClass::Role, "actor-kind"),
    }
}

fn step_2_interface(facts: &Facts, ask: &Ask) -> Result<(), Denial> {
    let is_accepted = match (&facts.actor, ask.interface) {
        (Actor::Anonymous, _) => return deny(DenyClass::Auth, "no-token"),
        (Actor::CitizenSelf { .. } | Actor::Representative(_), interface) => {
            matches!(
                interface,
                Interface::CitizenPortal | Interface::CriticalInformation | Interface::PjdKj
            )
        }
        (Actor::Personnel(_), interface) => interface != Interface::CitizenPortal,
        (Actor::System { .. }, Interface::InnerFhir) => match ask.controller {
            Controller::KJ => true,
            Controller::PPS => ask.action == Action::Count,
            _ => return deny(DenyClass::Role, "person-required"),
        },
        (Actor::System { .. }, interface) => {
            matches!(
                interface,
                Interface::CriticalInformation | Interface::Status
            )
        }
        _ => false,
    };
    if is_accepted {
        Ok(())
    } else {
        deny(DenyClass::Role, "actor-kind-at-interface")
    }
}

fn step_3_actor_state(facts: &Facts, ask: &Ask) -> Result<(), Denial> {
    match &facts.actor {
        Actor::Personnel(p) => {
            if !p.level_is_4 {
                return deny(DenyClass::Role, "security-level");
            }
            let Some(role) = &p.role else {
                return deny(DenyClass::Role, "no-role");
            };
            if !p.role_is_active {
                return deny(DenyClass::Role, "role-not-active");
            }
            if role_row(role).is_none() {
                return deny(DenyClass::Role, "role-unknown");
            }
            if p.role_is_denied && ask.controller == Controller::PJD {
                return deny(DenyClass::Role, "role-denied-at-organisation");
            }
            if !p.organisation_is_approved {
                return deny(DenyClass::Role, "organisation-not-approved");
            }
            match &p.attest {
                None if p.attest_is_required => deny(DenyClass::Role, "attest-missing"),
                Some(attest) if attest.age_minutes > ATTEST_MAX_MINUTES => {
                    deny(DenyClass::Role, "attest-expired")
                }
                _ => Ok(()),
            }
        }
        Actor::System {
            organisation_is_approved: false,
            ..
        } => deny(DenyClass::Role, "organisation-not-approved"),
        Actor::CitizenSelf {
            acute_lock: true, ..
        } => deny(DenyClass::Role, "acute-lock"),
        _ => Ok(()),
    }
}

fn step_4_form(facts: &Facts, ask: &Ask) -> Result<(), Denial> {
    if ask.subjects_differ {
        return deny(DenyClass::Form, "two-subjects");
    }
    if let Actor::Personnel(PersonnelFacts {
        attest: Some(attest),
        ..
    }) = &facts.actor
        && attest.names_subject == Some(false)
    {
        // The table's `form` answers 400; case 34 wants 403 for an attest of another patient.
        return deny(DenyClass::Role, ATTEST_NAMES_ANOTHER);
    }
    if let Actor::Personnel(PersonnelFacts {
        attest: Some(attest),
        ..
    }) = &facts.actor
        && attest.names_subject.is_none()
        && ask.controller == Controller::PJD
        && !matches!(ask.action, Action::List | Action::Count | Action::Status)
    {
        return deny(DenyClass::Role, "attest-names-nobody");
    }
    Ok(())
}

fn step_5_basis(facts: &Facts, ask: &Ask) -> Result<(), Denial> {
    // §2.3: no purpose is no; quality, research and the purposes of other services are no treatment access.
    let purpose_is_allowed = match &facts.actor {
        Actor::CitizenSelf { .. } | Actor::Representative(_) => matches!(
            facts.purpose,
            Some(Purpose::PatientRequest | Purpose::FamilyRequest | Purpose::AttorneyRequest)
        ),
        _ => matches!(
            facts.purpose,
            Some(
                Purpose::Treat
                    | Purpose::EmergencyTreat
                    | Purpose::Coordination
                    | Purpose::BreakGlass
            )
        ),
    };
    if !purpose_is_allowed {
        return deny(DenyClass::Basis, "purpose");
    }
    // The scope of the document API decides: without a header §45, with one the regulation (§2.4).
    match ask.interface {
        Interface::PjdLaw45 if ask.basis != Basis::Law45 => {
            return deny(DenyClass::Basis, "law45-scope-takes-no-basis");
        }
        Interface::PjdKj if ask.basis == Basis::Law45 => {
            return deny(DenyClass::Basis, "regulation-scope-needs-a-basis");
        }
        _ => {}
    }
    // §7.1: settings are changed by personnel for the patient with her consent only.
    if matches!(facts.actor, Actor::Personnel(_))
        && ask.action == Action::ChangeSetting
        && ask.basis != Basis::Consent
    {
        return deny(DenyClass::Basis, "setting-without-consent");
    }
    let is_allowed = match (&facts.actor, ask.basis) {
        (
            Actor::System { .. },
            Basis::Emergency | Basis::ElevatedConsent | Basis::ElevatedEmergency,
        ) => false,
        (_, Basis::Law45) => {
            ask.controller == Controller::PJD && matches!(facts.actor, Actor::Personnel(_))
        }
        (Actor::CitizenSelf { .. } | Actor::Representative(_), basis) => basis == Basis::None,
        (_, Basis::None) => ask.interface == Interface::Status,
        _ => true,
    };
    if is_allowed {
        Ok(())
    } else {
        deny(DenyClass::Basis, "basis-not-allowed-here")
    }
}

/// Controllers whose settings count: the one asked, and kjernejournal's own when the data are seen through it.
fn settings_controllers(ask: &Ask) -> BTreeSet<Controller> {
    let through_kj = match ask.interface {
        Interface::PersonnelPortal | Interface::CriticalInformation => true,
        Interface::PjdKj => true,
        // A status call tells what a plain basis under the regulation would show (§7.1).
        Interface::InnerFhir | Interface::Status => {
            ask.controller == Controller::PJD && ask.basis != Basis::Law45
        }
        _ => false,
    };
    let mut controllers = BTreeSet::from([ask.controller]);
    if through_kj {
        controllers.insert(Controller::KJ);
    }
    controllers
}

fn is_law45(ask: &Ask) -> bool {
    ask.controller == Controller::PJD
        && (ask.basis == Basis::Law45 || ask.interface == Interface::PjdLaw45)
}

fn personnel_decision(
    facts: &Facts,
    ask: &Ask,
    subject: &SubjectFacts,
    actor: &PersonnelFacts,
) -> Result<Decision, Denial> {
    let settings = &facts.settings;
    let controllers = settings_controllers(ask);
    // 7: own record.
    let is_own = subject.keys.contains(&actor.person);
    if is_own {
        if ask.interface == Interface::PersonnelPortal {
            return deny(DenyClass::None, "own-record-in-personnel-portal");
        }
        if ask.action.is_write() || ask.action == Action::ChangeSetting || ask.basis.is_elevated() {
            return deny(DenyClass::Role, "own-record");
        }
    }
    // 8: a named block is absolute.
    if controllers
        .iter()
        .any(|c| settings.is_blocked(*c, actor.person))
    {
        return deny(DenyClass::Block, "named-block");
    }
    if ask.controller == Controller::RF && settings.block_all_but_gp && !subject.actor_is_gp {
        return deny(DenyClass::Block, "all-but-gp");
    }
    step_10_life(facts, ask, subject)?;
    step_12_reservation(settings, &controllers)?;
    // 13: UNNTAK needs a title, in demo mode too.
    if ask.basis == Basis::Exception
        && ask.interface != Interface::Status
        && !subject.actor_is_gp
        && !subject.actor_is_entitled
    {
        return deny(DenyClass::Basis, "exception-without-title");
    }
    let restriction = steps_14_15_restriction(facts, ask, subject, &controllers)?;
    if ask.action.is_write() {
        step_17_write(ask, actor, &restriction.closed)?;
    }
    let reader = if is_own {
        Reader::Own
    } else {
        Reader::Personnel
    };
    let filter = compose(facts, ask, subject, reader, &restriction);
    let Restriction { closed, opened, .. } = restriction;
    Ok(Decision::Allow {
        reason: "personnel",
        filter,
        duties: duties(facts, ask, subject, is_own),
        flags: Flags {
            closed_parts: closed,
            opened_parts: opened,
            count_nors: ask.controller == Controller::PJD
                && !ask.basis.is_elevated()
                && !is_own
                && !facts.nors_count_is_off,
            hide_address: subject.protection >= registers::Protection::ClientAddress,
        },
    })
}

/// Role × class × action. An empty list of classes is all of them.
fn step_17_write(ask: &Ask, actor: &PersonnelFacts, closed: &BTreeSet<Part>) -> Result<(), Denial> {
    if ask.controller != Controller::KJ {
        // Results and documents come by message; §7.2 and §7.3 give nobody a right to write them.
        return deny(DenyClass::Role, "not-written-by-personnel");
    }
    let role = actor.role.as_deref().unwrap_or_default();
    let row = role_row(role).ok_or((DenyClass::Role, "role-unknown"))?;
    let is_allowed = match ask.interface {
        // Every active role writes critical information through its API, and nothing else.
        Interface::CriticalInformation => ask.classes.iter().all(|c| c.part() == Part::Critical),
        _ if ask.classes.is_empty() => matches!(row.writes, Writes::All),
        _ => ask.classes.iter().all(|class| row.may_write(*class)),
    };
    if !is_allowed {
        return deny(DenyClass::Role, "role-may-not-write");
    }
    if asked_parts(ask).iter().any(|part| closed.contains(part)) {
        return deny(DenyClass::Restr, "part-restricted");
    }
    Ok(())
}

fn system_decision(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<Decision, Denial> {
    if ask.action.is_write() || ask.action == Action::ChangeSetting {
        return deny(DenyClass::Role, "system-may-not-write");
    }
    let controllers = settings_controllers(ask);
    // 9: a machine cannot show that the blocked person is not behind it.
    if controllers.iter().any(|c| facts.settings.has_block(*c)) {
        return deny(DenyClass::Machine, "machine-while-block-exists");
    }
    // §7.9 gives personnel, not machines, a time to read after a death.
    if let Life::Deceased { .. } = subject.life {
        return deny(DenyClass::State, "deceased");
    }
    step_12_reservation(&facts.settings, &controllers)?;
    if ask.basis == Basis::Exception
        && ask.interface != Interface::Status
        && !subject.actor_is_entitled
    {
        return deny(DenyClass::Basis, "exception-without-title");
    }
    let restriction = steps_14_15_restriction(facts, ask, subject, &controllers)?;
    let mut filter = compose(facts, ask, subject, Reader::Personnel, &restriction);
    // §7.2, §7.8: a machine counts and exports what its own organisation wrote.
    if let Actor::System { orgnr_parent, .. } = &facts.actor
        && (ask.action == Action::Export
            || ask.action == Action::Count && ask.controller == Controller::PPS)
    {
        let own = Pred::AuthorOrgIn(BTreeSet::from([orgnr_parent.clone()]));
        filter = filter.and(Filter::all(own, []));
    }
    let Restriction { closed, opened, .. } = restriction;
    Ok(Decision::Allow {
        reason: "system",
        filter,
        duties: duties(facts, ask, subject, false),
        flags: Flags {
            closed_parts: closed,
            opened_parts: opened,
            hide_address: subject.protection >= registers::Protection::ClientAddress,
            ..Flags::default()
        },
    })
}

fn citizen(
    facts: &Facts,
    ask: &Ask,
    subject: &SubjectFacts,
    person: store::PersonKey,
) -> Result<Decision, Denial> {
    if !subject.keys.contains(&person) {
        return deny(DenyClass::None, "not-self");
    }
    // §6.2, column "Self ≥16"; youth and representation come with their own issue. No birth date: adult rules.
    if subject.age.is_some_and(|age| age < 16) && !matches!(ask.controller, Controller::HN) {
        return deny(DenyClass::None, "age");
    }
    if let Life::Deceased { .. } = subject.life {
        return deny(DenyClass::State, "deceased");
    }
    let settings = &facts.settings;
    if ask.action != Action::ChangeSetting {
        if ask.controller == Controller::KJ && settings.self_off_kj {
            return deny(DenyClass::None, "self-off-kj");
        }
        if ask.controller == Controller::PJD && settings.self_off_journal {
            return deny(DenyClass::None, "self-off-journal");
        }
        if settings.reservations.contains(&ask.controller) {
            return deny(DenyClass::Resv, "reserved");
        }
    }
    let is_clinical = !matches!(ask.controller, Controller::HN | Controller::PT);
    if is_clinical && ask.action.is_write() && !is_own_registration(ask) {
        return deny(DenyClass::Role, "citizen-may-not-write");
    }
    let filter = compose(facts, ask, subject, Reader::Own, &Restriction::default());
    Ok(Decision::Allow {
        reason: "self",
        filter,
        duties: Duties {
            audit: true,
            notify: false,
            review: None,
        },
        flags: Flags {
            // None is stored for kode 6, and none is shown (§7.5).
            hide_address: subject.protection == registers::Protection::StrictlyConfidential,
            ..Flags::default()
        },
    })
}

/// What the citizen writes in kjernejournal herself (§6.2).
fn is_own_registration(ask: &Ask) -> bool {
    ask.controller == Controller::KJ
        && !ask.classes.is_empty()
        && ask.classes.iter().all(|class| class.part() == Part::Own)
}

fn step_10_life(facts: &Facts, ask: &Ask, subject: &SubjectFacts) -> Result<(), Denial> {
    let Life::Deceased {
        hours_since_registered,
    } = subject.life
    else {
        return Ok(());
    };
    let purpose_fits = matches!(facts.purpose, Some(Purpose::Treat | Purpose::Coordination));
    let is_allowed = !ask.action.is_write()
        && match ask.basis {
            Basis::Emergency => hours_since_registered <= DECEASED_EMERGENCY_HOURS,
            Basis::Exception => purpose_fits && hours_since_registered <= DECEASED_READ_DAYS * 24,
            _ => false,
        };
    if is_allowed {
        Ok(())
    } else {
        deny(DenyClass::State, "deceased")
    }
}

fn step_12_reservation(
    settings: &SettingsInForce,
    controllers: &BTreeSet<Controller>,
) -> Result<(), Denial> {
    if controllers
        .iter()
        .any(|c| settings.reservations.contains(c))
    {
        return deny(DenyClass::Resv, "reserved");
    }
    Ok(())
}

#[derive(Default)]
struct Restriction {
    closed: BTreeSet<Part>,
    opened: BTreeSet<Part>,
    /// The elevated basis covers every part that the answer can be made of: NORS opens too.
    opens_nors: bool,
}

/// Parts that the answer can be made of.
fn asked_parts(ask: &Ask) -> BTreeSet<Part> {
    if !ask.classes.is_empty() {
        return ask.classes.iter().map(|c| c.part()).collect();
    }
    match ask.controller {
        Controller::PPS => BTreeSet::from([Part::Results]),
        Controller::PJD => BTreeSet::from([Part::Documents]),
        _ => Part::ALL.into_iter().collect(),
    }
}

fn steps_14_15_restriction(
    facts: &Facts,
    ask: &Ask,
    subject: &SubjectFacts,
    controllers: &BTreeSet<Controller>,
) -> Result<Restriction, Denial> {
    let settings = &facts.settings;
    let is_whole = controllers
        .iter()
        .any(|c| settings.restricted_wholly.contains(c));
    let parts: BTreeSet<Part> = settings
        .restricted_parts
        .iter()
        .filter(|(c, _)| controllers.contains(c))
        .map(|(_, p)| *p)
        .collect();
    if !ask.basis.is_elevated() {
        if is_whole {
            return deny(DenyClass::Restr, "restricted-wholly");
        }
        return Ok(Restriction {
            closed: parts,
            ..Restriction::default()
        });
    }
    let nors_restricts =
        ask.controller == Controller::PJD && (subject.has_nors || facts.nors_count_is_off);
    if !is_whole && parts.is_empty() && !nors_restricts {
        return deny(DenyClass::NotNeeded, "nothing-restricted");
    }
    let restricted: BTreeSet<Part> = if is_whole {
        Part::ALL
            .into_iter()
            .filter(|p| p.is_restrictable())
            .collect()
    } else {
        parts
    };
    let asked = asked_parts(ask);
    let elevated: BTreeSet<Part> = match (ask.interface, ask.elevated_part) {
        (Interface::CriticalInformation, _) => BTreeSet::from([Part::Critical]),
        (_, Some(part)) => BTreeSet::from([part]),
        (_, None) => asked.clone(),
    };
    let opened: BTreeSet<Part> = restricted.intersection(&elevated).copied().collect();
    let closed: BTreeSet<Part> = restricted.difference(&elevated).copied().collect();
    Ok(Restriction {
        closed,
        opened,
        opens_nors: asked.is_subset(&elevated),
    })
}

/// Steps 16 and 18: everything that acts inside the query.
fn compose(
    facts: &Facts,
    ask: &Ask,
    subject: &SubjectFacts,
    reader: Reader,
    restriction: &Restriction,
) -> Filter {
    if subject.keys.is_empty() {
        return Filter::Closed;
    }
    let mut more = vec![Pred::ControllerIn(BTreeSet::from([ask
        .controller
        .code()
        .to_owned()]))];
    let mut shut: BTreeSet<u16> = restriction
        .closed
        .iter()
        .flat_map(|p| p.class_codes())
        .collect();
    // Who looks at her own record as personnel is judged by labels as herself, by everything else as personnel.
    let is_citizen = matches!(facts.actor, Actor::CitizenSelf { .. });
    if !is_citizen && facts.settings.visits_off {
        shut.extend(Part::Visits.class_codes());
    }
    more.push(Pred::LabelsClear(label::hidden_bits(
        reader,
        restriction.opens_nors,
    )));
    // §2.6: HL7 V is for personnel with document scope only; an unknown level is for nobody. V beside NORN_ANG or NORS
    // should follow the label, which one conjunction cannot say: it stays hidden where V is.
    let conf = if reader == Reader::Personnel && ask.controller == Controller::PJD {
        CONF_N | CONF_R | CONF_V
    } else {
        CONF_N | CONF_R
    };
    more.push(Pred::ConfIn(conf));
    if reader != Reader::Personnel {
        more.push(Pred::Disclosed(facts.at));
        if subject.has_norn_all {
            shut.extend(Part::Documents.class_codes());
        }
    }
    let through_kj = settings_controllers(ask).contains(&Controller::KJ);
    if !is_citizen && ask.controller == Controller::PJD && through_kj && !is_law45(ask) {
        for (class, window) in WINDOWS.iter() {
            match window {
                Window::All => {}
                Window::Closed => {
                    shut.insert(class.code());
                }
                Window::Years(years) => {
                    let first = facts.today.saturating_sub(jiff::Span::new().years(*years));
                    more.push(Pred::DateFrom {
                        class: class.code(),
                        day: days_since_epoch(first),
                    });
                }
            }
        }
    }
    // Always a list of known classes: a record of a class that this build does not know is nobody's (principle 6).
    let asked: &mut dyn Iterator<Item = &Class> = if ask.classes.is_empty() {
        &mut Class::ALL.iter()
    } else {
        &mut ask.classes.iter()
    };
    let classes = asked.map(|c| c.code()).filter(|c| !shut.contains(c));
    more.push(Pred::ClassIn(classes.collect()));
    if !facts.blocking_persons.is_empty() {
        more.push(Pred::NotCompartment(facts.blocking_persons.clone()));
    }
    if ask.controller == Controller::RF && !facts.settings.restricted_prescriptions.is_empty() {
        more.push(Pred::IdNotIn(
            facts.settings.restricted_prescriptions.clone(),
        ));
    }
    Filter::all(Pred::Compartment(subject.keys.clone()), more)
}

fn duties(facts: &Facts, ask: &Ask, subject: &SubjectFacts, is_own: bool) -> Duties {
    let is_break_glass = facts.purpose == Some(Purpose::BreakGlass);
    let mismatch = facts.purpose.is_some_and(|p| !p.fits(ask.basis));
    let review = if ask.interface == Interface::Status {
        None
    } else if ask.basis == Basis::ElevatedEmergency || is_break_glass {
        Some(Review::Always)
    } else if is_own {
        Some(Review::OwnRecord)
    } else if subject.actor_is_near {
        Some(Review::Near)
    } else if mismatch {
        Some(Review::Mismatch)
    } else if subject.protection >= registers::Protection::Confidential {
        Some(Review::Protected)
    } else if ask.basis == Basis::Emergency || ask.basis == Basis::ElevatedConsent {
        Some(Review::Sample)
    } else {
        None
    };
    Duties {
        // Status calls go to the technical log only (spec/privacy.md §9.1).
        audit: ask.interface != Interface::Status,
        notify: ask.interface != Interface::Status && (ask.basis.is_elevated() || is_break_glass),
        review,
    }
}

const CONF_N: u8 = 1 << 0;
const CONF_R: u8 = 1 << 1;
const CONF_V: u8 = 1 << 2;

/// Days since 1970-01-01 of a civil date.
pub fn days_since_epoch(date: jiff::civil::Date) -> i32 {
    jiff::civil::Date::new(1970, 1, 1).map_or(0, |epoch| (date - epoch).get_days())
}

enum Window {
    All,
    Closed,
    Years(i16),
}

static WINDOWS: LazyLock<Vec<(Class, Window)>> = LazyLock::new(|| {
    rows(include_str!("rules/windows.tsv"))
        .filter_map(|line| {
            let (class, window) = line.split_once('\t')?;
            let window = match window {
                "all" => Window::All,
                "none" => Window::Closed,
                years => Window::Years(years.parse().ok()?),
            };
            Some((class_by_name(class)?, window))
        })
        .collect()
});

struct RoleRow {
    role: &'static str,
    writes: Writes,
}

enum Writes {
    All,
    Only(Vec<Class>),
}

impl RoleRow {
    fn may_write(&self, class: Class) -> bool {
        match &self.writes {
            Writes::All => true,
            Writes::Only(classes) => classes.contains(&class),
        }
    }
}

static ROLES: LazyLock<Vec<RoleRow>> = LazyLock::new(|| {
    rows(include_str!("rules/roles.tsv"))
        .filter_map(|line| {
            let mut cells = line.split('\t');
            let (role, _read, writes) = (cells.next()?, cells.next()?, cells.next()?);
            let writes = match writes {
                "all" => Writes::All,
                "none" => Writes::Only(Vec::new()),
                list => Writes::Only(list.split(',').filter_map(class_by_name).collect()),
            };
            Some(RoleRow { role, writes })
        })
        .collect()
});

fn role_row(role: &str) -> Option<&'static RoleRow> {
    ROLES.iter().find(|row| row.role == role)
}

fn class_by_name(name: &str) -> Option<Class> {
    Class::ALL
        .iter()
        .copied()
        .find(|c| format!("{c:?}") == name)
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
}
