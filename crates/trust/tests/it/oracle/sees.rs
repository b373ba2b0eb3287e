//! What of an allowed access is seen: one record after the other.

use super::{Table, closed_parts, is_own_record, opens, table};
use store::Head;
use trust::*;

/// Whose eyes look (§2.6).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eyes {
    Own,
    Youth,
    Parent,
    Attorney,
    Personnel,
}

fn eyes(facts: &Facts) -> Eyes {
    let own = |age: Option<i16>| match age {
        Some(age) if age < 16 => Eyes::Youth,
        _ => Eyes::Own,
    };
    let age = facts.subject.as_ref().and_then(|s| s.age);
    match &facts.actor {
        Actor::Personnel(p) if facts.subject.as_ref().is_some_and(|s| is_own_record(p, s)) => {
            own(age)
        }
        Actor::CitizenSelf { .. } => own(age),
        Actor::Representative(r) => match r.relation {
            Some(Representation::Parent) => Eyes::Parent,
            _ => Eyes::Attorney,
        },
        _ => Eyes::Personnel,
    }
}

/// Whether an allowed caller sees this record (steps 14, 16, 18).
pub fn sees(facts: &Facts, ask: &Ask, head: &Head) -> bool {
    let Some(subject) = &facts.subject else {
        return false;
    };
    let of_subject = |k: &store::PersonKey| subject.person == Some(*k) || subject.keys.contains(k);
    if head.privacy.controller != ask.controller.code() || !head.persons.iter().any(of_subject) {
        return false;
    }
    if head
        .persons
        .iter()
        .any(|p| facts.blocking_persons.contains(p))
    {
        return false;
    }
    let Some(class) = Class::from_code(head.privacy.class) else {
        return false;
    };
    if !ask.classes.is_empty() && !ask.classes.contains(&class) {
        return false;
    }
    let is_professional = matches!(facts.actor, Actor::Personnel(_) | Actor::System { .. });
    if is_professional {
        if closed_parts(facts, ask).contains(&class.part()) {
            return false;
        }
        if facts.settings.visits_off && class.part() == Part::Visits {
            return false;
        }
        if !in_window(facts, ask, class, head) {
            return false;
        }
    }
    if let Actor::System { orgnr_parent, .. } = &facts.actor
        && (ask.action == Action::Export
            || ask.controller == Controller::PPS && ask.action == Action::Count)
        && head.privacy.author_org.as_ref() != Some(orgnr_parent)
    {
        return false;
    }
    labels_show(facts, ask, class, head, subject)
}

fn labels_show(
    facts: &Facts,
    ask: &Ask,
    class: Class,
    head: &Head,
    subject: &SubjectFacts,
) -> bool {
    let has = |code: &str| head.privacy.labels & trust::label::bit(code) != 0;
    let eyes = eyes(facts);
    if has("unverified-patient") || head.privacy.labels & !known_labels() != 0 {
        return false;
    }
    if eyes == Eyes::Personnel {
        let documents = ask.controller == Controller::PJD;
        if has("locked") || has("NORS") && !opens(ask, class.part()) {
            return false;
        }
        return match head.privacy.conf {
            0 | 1 => true,
            2 => documents || has("NORN_ANG") || has("NORS"),
            _ => false,
        };
    }
    // A citizen, a representative, or personnel looking at the own record.
    const HIDDEN_FROM_ALL: [&str; 9] = [
        "NORN_FFL", "NORN_KUT", "NORN_EPO", "NORN_FOR", "NORN_FPB", "NORN_ANG", "NORN_DUP",
        "NORN_ALL", "NORN_FFH",
    ];
    if HIDDEN_FROM_ALL.iter().any(|code| has(code)) || has("unknown-9603") || has("HL7_V") {
        return false;
    }
    if subject.has_norn_all && class.part() == Part::Documents {
        return false;
    }
    if has("NORN_FORANS") && eyes == Eyes::Parent
        || has("NORN_UNGDOM") && eyes != Eyes::Parent
        || has("guardianhide") && eyes == Eyes::Parent
    {
        return false;
    }
    match head.privacy.disclose_at {
        Some(at) if at > facts.at => return false,
        _ => {}
    }
    match head.privacy.conf {
        0 | 1 => true,
        2 => has("NORS"),
        _ => false,
    }
}

fn known_labels() -> u64 {
    [
        "N",
        "NORN_FFL",
        "NORN_KUT",
        "NORN_EPO",
        "NORN_FOR",
        "NORN_FPB",
        "NORN_ANG",
        "NORN_DUP",
        "NORN_ALL",
        "NORN_FFH",
        "NORN_FORANS",
        "NORN_UNGDOM",
        "NORU",
        "NORS",
        "HL7_V",
        "locked",
        "guardianhide",
        "doctorsname",
        "unverified-patient",
        "unknown-9603",
    ]
    .into_iter()
    .fold(0, |bits, code| bits | trust::label::bit(code))
}

/// §7.3: class and age window of the kjernejournal regulation.
fn in_window(facts: &Facts, ask: &Ask, class: Class, head: &Head) -> bool {
    if table(facts, ask) != Some(Table::DocumentsKj) {
        return true;
    }
    let years = match class {
        Class::DocumentA => return true,
        Class::DocumentC | Class::DocumentI => 1,
        Class::DocumentD | Class::DocumentE => 5,
        _ => return false,
    };
    let Some(day) = head.privacy.service_day else {
        return false;
    };
    let (year, month) = (facts.today.year() - years, facts.today.month());
    let first = jiff::civil::Date::new(year, month, facts.today.day())
        .unwrap_or_else(|_| jiff::civil::date(year, 2, 28));
    let epoch = jiff::civil::date(1970, 1, 1);
    let day_of = epoch
        .checked_add(jiff::Span::new().days(i64::from(day)))
        .expect("a day in range");
    day_of >= first
}
