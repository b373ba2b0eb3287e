//! What the citizen reads of the access log (spec/privacy.md §9.2).

use crate::world::{DAY_US, START, block};
use serde_json::json;
use std::collections::BTreeMap;
use store::{AuditEntry, JournalEntry, MicrosUtc, PersonKey, Vno};
use trust::log::{LogLine, citizen_lines, visits};
use trust::settings::{ChangedBy, Setting, SettingRow};
use trust::{Class, Controller, Part};

fn entry(occurred_at: MicrosUtc, members: &[(&str, &str)]) -> JournalEntry {
    let mut all: BTreeMap<String, serde_json::Value> = BTreeMap::from([
        ("actor.kind".to_owned(), json!("personnel")),
        ("actor.name".to_owned(), json!("Kari Lege")),
        ("actor.hpr".to_owned(), json!("9000001")),
        ("actor.organisation".to_owned(), json!("Legekontor")),
        ("service".to_owned(), json!("kjernejournal")),
        ("basis".to_owned(), json!("SAMTYKKE")),
        ("action".to_owned(), json!("Read")),
        ("parts".to_owned(), json!([Part::Critical.code()])),
    ]);
    for (name, value) in members {
        all.insert((*name).to_owned(), json!(value));
    }
    JournalEntry {
        entry: AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: Vec::new(),
            controller: "KJ".to_owned(),
            occurred_at,
            imported: false,
            citizen_visible: true,
            members: all,
        },
        recorded_at: occurred_at,
        persons: Vec::new(),
        sealed: None,
    }
}

fn blocked(hidden_name: bool) -> SettingRow {
    let Setting::Block {
        controller,
        hpr,
        name,
        ..
    } = block(Controller::KJ, "9000001")
    else {
        unreachable!()
    };
    SettingRow {
        id: "x".to_owned(),
        vno: Vno(1),
        setting: Setting::Block {
            controller,
            hpr,
            name,
            hidden_name,
        },
        is_active: true,
        date_time: START,
        by: ChangedBy {
            channel: String::new(),
            performer: String::new(),
        },
        subject: Some(PersonKey(1)),
    }
}

fn line(e: JournalEntry, blocks: &[SettingRow], now: MicrosUtc) -> LogLine {
    citizen_lines(&[e], blocks, now, 7).remove(0)
}

/// Name delay: kjernejournal 7 days, other services none; emergency, elevated and blocks by name at once.
#[test]
fn when_a_name_is_shown() {
    let kj: &[(&str, &str)] = &[];
    let other: &[(&str, &str)] = &[("service", "provesvar")];
    let emergency: &[(&str, &str)] = &[("basis", "AKUTT")];
    let elevated: &[(&str, &str)] = &[("basis", "FORHOYET_SAMTYKKE")];
    let refused: &[(&str, &str)] = &[("deny_class", "block")];
    let refused_emergency: &[(&str, &str)] = &[("deny_class", "block"), ("basis", "AKUTT")];
    let restricted: &[(&str, &str)] = &[("deny_class", "restr")];
    let (none, by_name, by_line) = (vec![], vec![blocked(false)], vec![blocked(true)]);
    for (what, members, blocks, days, is_shown, is_blocked_person) in [
        ("kj at once", kj, &none, 0, false, false),
        ("kj after 6 days", kj, &none, 6, false, false),
        ("kj after 7 days", kj, &none, 7, true, false),
        ("other service", other, &none, 0, true, false),
        ("emergency", emergency, &none, 0, true, false),
        ("elevated", elevated, &none, 0, true, false),
        ("refused, chosen by name", refused, &by_name, 0, true, false),
        (
            "refused, chosen from a nameless line",
            refused,
            &by_line,
            0,
            false,
            true,
        ),
        ("the same when due", refused, &by_line, 7, true, false),
        (
            "refused emergency, nameless",
            refused_emergency,
            &by_line,
            0,
            false,
            true,
        ),
        ("refused by restriction", restricted, &none, 0, false, false),
        (
            "allowed line of one blocked later from a nameless line",
            kj,
            &by_line,
            0,
            false,
            false,
        ),
    ] {
        let shown = line(entry(START, members), blocks, START + days * DAY_US);
        assert_eq!(shown.name.is_some(), is_shown, "{what}");
        assert_eq!(shown.name_shown_from.is_some(), !is_shown, "{what}");
        assert_eq!(shown.is_blocked_person, is_blocked_person, "{what}");
        assert_eq!(shown.organisation.as_deref(), Some("Legekontor"), "{what}");
    }
    let due = line(entry(START, kj), &[], START).name_shown_from;
    assert_eq!(due, Some(jiff::civil::date(2027, 6, 22)));
    let own = line(entry(START, &[("actor.kind", "self")]), &[], START);
    assert!(own.name.is_some());
}

#[test]
fn never_a_national_id_and_never_an_invisible_line() {
    let mut hidden = entry(START, &[]);
    hidden.entry.citizen_visible = false;
    assert!(citizen_lines(&[hidden], &[], START, 7).is_empty());
    let shown = line(
        entry(START, &[("actor.pid", "01017012345")]),
        &[],
        START + 30 * DAY_US,
    );
    let text = serde_json::to_string(&shown).unwrap();
    assert!(
        !text.contains("01017012345") && !text.contains("9000001"),
        "{text}"
    );
}

#[test]
fn lines_of_one_visit_stand_together() {
    const MINUTE: i64 = 60_000_000;
    let at = |minutes: i64, members: &[(&str, &str)]| entry(START + minutes * MINUTE, members);
    let entries = [
        at(100, &[("deny_class", "restr")]),
        at(99, &[]),
        at(98, &[("actor.hpr", "9000002")]),
        at(70, &[]),
        at(40, &[]),
        at(9, &[]),
    ];
    let lines = citizen_lines(&entries, &[], START + 30 * DAY_US, 7);
    let groups: Vec<(usize, bool)> = visits(lines)
        .iter()
        .map(|v| (v.count, v.is_denied))
        .collect();
    // Refused apart; another person apart; 99, 70 and 40 within 30 minutes of each other; 9 is 31 from 40.
    assert_eq!(groups, [(1, true), (3, false), (1, false), (1, false)]);
    let mut other_part = at(98, &[]);
    other_part
        .entry
        .members
        .insert("parts".to_owned(), json!([Class::LabReport.part().code()]));
    let lines = citizen_lines(&[at(99, &[]), other_part], &[], START, 7);
    let together = visits(lines);
    assert_eq!(together.len(), 1);
    let parts: Vec<&str> = together[0].parts.iter().map(String::as_str).collect();
    assert_eq!(parts, [Part::Critical.code(), Part::Results.code()]);
}
