//! Opening a record: the page, its refusals, its lines (spec/kjernejournal.md §4, spec/privacy.md §4, §7.1).

use crate::world::*;
use kjernejournal::rules::Category;
use kjernejournal::summary::Refused;
use records::source::SourceState;
use serde_json::json;
use std::sync::atomic::Ordering;
use trust::settings::Setting;
use trust::{Basis, Class, Controller, Part};

#[test]
fn nothing_known_is_said_explicitly() {
    let world = world();
    let view = world.summary(Basis::Consent, None);
    assert_eq!(view.critical.state, SourceState::Empty);
    assert!(view.critical.items.is_empty() && !view.critical_is_closed);
    assert_eq!(
        (view.results.state, view.documents.state),
        (SourceState::Ok, SourceState::Ok)
    );
    assert_eq!(view.answered, (3, 3));
    let row = &view.results.rows[0];
    assert_eq!(
        (
            row.name.as_str(),
            row.value.as_str(),
            row.range.as_deref(),
            row.flag.as_deref()
        ),
        ("NT-proBNP", "<412", Some("< 300"), Some("H"))
    );
    assert!(row.is_amended);
    assert_eq!(view.documents.rows[0].kind, "Epikrise");
}

#[test]
fn what_kills_first_stands_first_and_what_is_refuted_never() {
    let world = world();
    let code = |c: &str| json!({ "coding": [{ "code": c }] });
    world.critical("a", Class::Critical7, "Pacemaker", json!({}));
    world.critical("b", Class::Critical1, "Kodein", json!({}));
    world.critical(
        "c",
        Class::Critical2,
        "Peanøtter",
        json!({ "criticality": "high" }),
    );
    world.critical("d", Class::Critical10, "MRSA", json!({}));
    world.critical(
        "e",
        Class::Critical1,
        "Penicillin",
        json!({ "verificationStatus": code("refuted") }),
    );
    world.critical(
        "f",
        Class::Critical1,
        "Latex",
        json!({ "verificationStatus": code("entered-in-error") }),
    );
    world.critical(
        "g",
        Class::Critical5,
        "Gammelt",
        json!({ "clinicalStatus": code("resolved") }),
    );
    let panel = world.summary(Basis::Consent, None).critical;
    let shown: Vec<_> = panel.items.iter().map(|i| i.text.as_str()).collect();
    assert_eq!(shown, ["Peanøtter", "Kodein", "MRSA", "Pacemaker"]);
    assert_eq!(panel.items[0].category, Category::OtherAllergy);
    assert!(panel.items[0].is_life_threatening);
    assert_eq!(panel.state, SourceState::Ok);
}

#[test]
fn only_refuted_information_is_an_empty_panel() {
    let world = world();
    let refuted = json!({ "verificationStatus": { "coding": [{ "code": "refuted" }] } });
    world.critical("e", Class::Critical1, "Penicillin", refuted);
    assert_eq!(
        world.summary(Basis::Consent, None).critical.state,
        SourceState::Empty
    );
}

#[test]
fn each_refusal_has_its_kind() {
    let world = world();
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    let suspended = doctor_principal(SUSPENDED, HOSPITAL, "4");
    let low = doctor_principal(MOEN, HOSPITAL, "3");
    let unknown_unit = doctor_principal(MOEN, "999999999", "4");
    let solberg = doctor_principal(SOLBERG, OFFICE, "4");
    for (what, who, nin, basis, why) in [
        ("consent", &moen, KARI, Basis::Consent, None),
        ("emergency", &moen, KARI, Basis::Emergency, None),
        ("the GP", &solberg, KARI, Basis::Exception, None),
        (
            "not the GP",
            &moen,
            KARI,
            Basis::Exception,
            Some(Refused::Basis),
        ),
        ("no ground", &moen, KARI, Basis::None, Some(Refused::Basis)),
        (
            "law of another service",
            &moen,
            KARI,
            Basis::Law45,
            Some(Refused::Basis),
        ),
        (
            "not needed",
            &moen,
            KARI,
            Basis::ElevatedConsent,
            Some(Refused::NotNeeded),
        ),
        (
            "suspended",
            &suspended,
            KARI,
            Basis::Consent,
            Some(Refused::Role),
        ),
        ("level 3", &low, KARI, Basis::Consent, Some(Refused::Role)),
        (
            "organisation",
            &unknown_unit,
            KARI,
            Basis::Consent,
            Some(Refused::Role),
        ),
        (
            "own record",
            &moen,
            MOEN.0,
            Basis::Emergency,
            Some(Refused::OwnRecord),
        ),
        ("dead", &moen, DEAD, Basis::Consent, Some(Refused::NoAccess)),
    ] {
        assert_eq!(world.refusal(who, nin, basis), why, "{what}");
    }
    world.set(KARI, &[Setting::RestrictWholly(Controller::KJ)]);
    assert_eq!(
        world.refusal(&moen, KARI, Basis::Consent),
        Some(Refused::Restricted)
    );
    assert_eq!(
        world.refusal(&moen, KARI, Basis::Emergency),
        Some(Refused::Restricted)
    );
    assert_eq!(world.refusal(&moen, KARI, Basis::ElevatedEmergency), None);
    world.set(KARI, &[Setting::Reservation(Controller::KJ)]);
    assert_eq!(
        world.refusal(&moen, KARI, Basis::ElevatedEmergency),
        Some(Refused::NoRecord)
    );
    world.block(KARI, MOEN);
    assert_eq!(
        world.refusal(&moen, KARI, Basis::Consent),
        Some(Refused::Blocked)
    );
    let nobody = world.service.open(
        &moen,
        "24911099841",
        Basis::Consent,
        None,
        uuid::Uuid::now_v7(),
    );
    assert_eq!(nobody.unwrap_err().status, 404);
}

#[test]
fn a_restricted_part_is_closed_until_it_is_opened() {
    let world = world();
    world.critical(
        "c",
        Class::Critical2,
        "Peanøtter",
        json!({ "criticality": "high" }),
    );
    world.set(
        KARI,
        &[
            Setting::RestrictPart(Controller::KJ, Part::Results),
            Setting::RestrictWholly(Controller::PPS),
            Setting::RestrictPart(Controller::KJ, Part::Critical),
        ],
    );
    for basis in [Basis::Consent, Basis::Emergency] {
        let view = world.summary(basis, None);
        assert_eq!(view.results.state, SourceState::Closed, "{basis:?}");
        assert!(view.results.rows.is_empty() && !view.results.is_opened);
        assert!(view.critical_is_closed && view.critical.items.is_empty());
        assert_eq!(view.critical.state, SourceState::Closed);
        assert_eq!(view.documents.state, SourceState::Ok, "not restricted");
    }
    for basis in [Basis::ElevatedConsent, Basis::ElevatedEmergency] {
        let view = world.summary(basis, Some(Part::Results));
        assert_eq!(
            (view.results.state, view.results.rows.len()),
            (SourceState::Ok, 1)
        );
        assert!(view.results.is_opened);
        assert!(view.critical_is_closed, "another part stays closed");
        let view = world.summary(basis, Some(Part::Critical));
        assert_eq!(view.critical.items.len(), 1);
        assert_eq!(view.results.state, SourceState::Closed);
    }
    let wholly = world.summary(Basis::ElevatedConsent, None);
    assert!(wholly.results.is_opened && !wholly.critical_is_closed);
}

#[test]
fn the_blocked_get_one_answer_with_and_without_data() {
    let world = world();
    world.critical("c", Class::Critical2, "Peanøtter", json!({}));
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    for nin in [KARI, MAHTTO] {
        world.block(nin, MOEN);
    }
    for basis in [
        Basis::Consent,
        Basis::Emergency,
        Basis::ElevatedConsent,
        Basis::ElevatedEmergency,
    ] {
        let [with, without] = [KARI, MAHTTO]
            .map(|nin| serde_json::to_string(&world.open_as(&moen, nin, basis, None)).unwrap());
        assert_eq!(with, without);
        assert_eq!(with, r#"{"outcome":"refused","why":"blocked"}"#);
    }
    let shapes = [KARI, MAHTTO].map(|nin| {
        let lines = world.lines(nin);
        let shape = |l: &store::JournalEntry| {
            let mut members = l.entry.members.clone();
            // What differs between any two requests.
            for volatile in ["event_id", "epochs"] {
                members.remove(volatile);
            }
            format!("{members:?}")
        };
        let mut shapes: Vec<String> = lines.iter().map(shape).collect();
        shapes.sort();
        shapes
    });
    assert_eq!(shapes[0].len(), 12, "three sources, four attempts");
    assert_eq!(shapes[0], shapes[1], "the log tells no difference either");
}

#[test]
fn every_source_leaves_a_line_through_this_service() {
    let world = world();
    let moen = doctor_principal(MOEN, HOSPITAL, "4");
    let event = uuid::Uuid::now_v7();
    world
        .service
        .open(&moen, KARI, Basis::Consent, None, event)
        .unwrap();
    let lines = world.lines(KARI);
    let mut controllers: Vec<_> = lines.iter().map(|l| l.entry.controller.as_str()).collect();
    controllers.sort_unstable();
    assert_eq!(controllers, ["KJ", "PJD", "PPS"]);
    for line in &lines {
        let members = &line.entry.members;
        assert_eq!(
            members["service"], "kjernejournal",
            "names wait for seven days in all of them"
        );
        assert_eq!(members["basis"], "SAMTYKKE");
        assert_eq!(members["event_id"], event.to_string());
        assert!(line.entry.citizen_visible);
    }
}

#[test]
fn a_source_that_fails_is_an_error_on_a_page_that_comes() {
    let world = world();
    world.results_fail.store(true, Ordering::SeqCst);
    let view = world.summary(Basis::Consent, None);
    assert_eq!(view.results.state, SourceState::Error);
    assert_eq!(view.documents.state, SourceState::Ok);
    assert_eq!(view.answered, (2, 3));
}
