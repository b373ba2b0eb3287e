//! The restricted record, the exception, the basis, attests.

use super::{critical, denied};
use crate::world::*;
use store::*;
use trust::settings::Setting;
use trust::*;

#[test]
fn case_23_24_25_26_the_whole_record_restricted() {
    let w = World::new();
    critical(&w, "a1");
    w.put(record(
        w.kj,
        "Encounter",
        "v1",
        Controller::KJ,
        Class::Visit,
        &[P],
    ));
    let elevated = || {
        let mut ask = portal(Basis::ElevatedEmergency);
        ask.interface = Interface::InnerFhir;
        ask
    };
    // 26: nothing restricted.
    assert_eq!(
        denied(&w.decide(personnel(E), elevated())),
        Some(DenyClass::NotNeeded)
    );
    let plain = w.decide(personnel(E), portal(Basis::Emergency));
    assert!(plain.is_allowed());
    // 23, 24.
    w.set(&[(Setting::RestrictWholly(Controller::KJ), true)]);
    let plain = w.decide(personnel(E), portal(Basis::Emergency));
    assert_eq!(denied(&plain), Some(DenyClass::Restr));
    assert_eq!(plain.granted.filter(), &Filter::Closed);
    let open = w.decide(personnel(E), elevated());
    assert_eq!(w.seen(&open.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert_eq!(w.seen(&open.granted, w.kj, "Encounter"), ["v1"]);
    let Decision::Allow { duties, .. } = &open.decision else {
        panic!("allowed")
    };
    assert!(duties.notify && duties.review == Some(Review::Always));
    // 25.
    w.set(&[(Setting::VisitsOff, true)]);
    let open = w.decide(personnel(E), elevated());
    assert_eq!(w.seen(&open.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert!(w.seen(&open.granted, w.kj, "Encounter").is_empty());
    assert!(
        open.flags().closed_parts.is_empty(),
        "visits off is not told"
    );
    // 26 again: visits off is no restriction.
    w.set(&[(Setting::RestrictWholly(Controller::KJ), false)]);
    assert_eq!(
        denied(&w.decide(personnel(E), elevated())),
        Some(DenyClass::NotNeeded)
    );
}

#[test]
fn case_30_the_gp_and_a_restricted_part() {
    let w = World::new();
    critical(&w, "a1");
    w.put(record(
        w.kj,
        "MedicationRequest",
        "m1",
        Controller::KJ,
        Class::Prescription,
        &[P],
    ));
    w.set(&[(Setting::RestrictPart(Controller::KJ, Part::Medicines), true)]);
    let decided = w.decide(personnel(G), portal(Basis::Exception));
    assert_eq!(w.seen(&decided.granted, w.kj, "AllergyIntolerance"), ["a1"]);
    assert!(
        w.seen(&decided.granted, w.kj, "MedicationRequest")
            .is_empty()
    );
    assert_eq!(decided.flags().closed_parts, [Part::Medicines].into());
    // Clicking another part does not open this one.
    let mut ask = portal(Basis::ElevatedConsent).with_elevated_part(Some(Part::Critical));
    let decided = w.decide(personnel(G), ask.clone());
    assert!(
        w.seen(&decided.granted, w.kj, "MedicationRequest")
            .is_empty()
    );
    ask.elevated_part = Some(Part::Medicines);
    let decided = w.decide(personnel(G), ask);
    assert_eq!(w.seen(&decided.granted, w.kj, "MedicationRequest"), ["m1"]);
    assert_eq!(decided.flags().opened_parts, [Part::Medicines].into());
}

#[test]
fn case_31_32_who_may_use_the_exception() {
    let w = World::new();
    let ask = || ci(Basis::Exception);
    assert!(w.decide(personnel(G), ask()).is_allowed());
    assert!(w.decide(personnel(S), ask()).is_allowed());
    assert_eq!(
        denied(&w.decide(personnel(E), ask())),
        Some(DenyClass::Basis)
    );
    // The substitute's last day is the 30th, Oslo time.
    let last_instant = 1_814_392_799_999_999; // 2027-06-30T21:59:59.999999Z
    w.at(last_instant);
    assert!(w.decide(personnel(S), ask()).is_allowed());
    w.at(last_instant + 1);
    assert_eq!(
        denied(&w.decide(personnel(S), ask())),
        Some(DenyClass::Basis)
    );
    let status =
        Ask::read(Interface::Status, Controller::KJ, Basis::Exception).with_action(Action::Status);
    assert!(w.decide(personnel(E), status).is_allowed());
}

#[test]
fn case_33_every_spelling_of_a_basis() {
    let acp = "urn:oid:2.16.578.1.12.4.1.7.2.1.4";
    for text in ["UNNTAK", "unntak", " Unntak ", "HPUNNTAK", "0", acp] {
        assert_eq!(Basis::parse(text), Some(Basis::Exception), "{text}");
    }
    for (text, basis) in [
        ("samtykke", Basis::Consent),
        ("HPMOTTATTSAMTYKKE", Basis::Consent),
        ("1", Basis::Consent),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.8", Basis::Consent),
        ("akutt", Basis::Emergency),
        ("HpAkutt", Basis::Emergency),
        ("2", Basis::Emergency),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.6", Basis::Emergency),
        ("forhoyet_samtykke", Basis::ElevatedConsent),
        ("urn:oid:2.16.578.1.12.4.1.7.2.1.5", Basis::ElevatedConsent),
        ("FORHOYET_AKUTT", Basis::ElevatedEmergency),
        (
            "urn:oid:2.16.578.1.12.4.1.7.2.1.7",
            Basis::ElevatedEmergency,
        ),
    ] {
        assert_eq!(Basis::parse(text), Some(basis), "{text}");
    }
    for text in [
        "",
        "3",
        "UNNTAK SAMTYKKE",
        "FORHØYET_AKUTT",
        "LOV45",
        "7.2.1.9",
    ] {
        assert_eq!(Basis::parse(text), None, "{text}");
    }
}

#[test]
fn case_34_35_two_patients_and_attests() {
    let w = World::new();
    let mut two = pps(Basis::Consent);
    two.subjects_differ = true;
    assert_eq!(denied(&w.decide(personnel(E), two)), Some(DenyClass::Form));
    let with = |age_minutes, names_subject, ask: Ask| {
        let mut access = Access::new(
            personnel(E),
            Some(trust::gather::SubjectRef::Nin(P.to_owned())),
            ask,
            "test",
        );
        access.attest = Some(AttestFacts {
            age_minutes,
            names_subject,
        });
        access.attest_is_required = true;
        let decided = w.trust.decide(&w.snapshot(), &access).unwrap();
        w.trust.record(&decided, &[]).unwrap();
        denied(&decided)
    };
    let lines = || w.store.journal_of(w.key(P), None, 10).unwrap().len();
    assert_eq!(
        with(1, Some(false), pps(Basis::Consent)),
        Some(DenyClass::Role)
    );
    assert_eq!(
        lines(),
        0,
        "an attest for another patient is in the technical log only"
    );
    assert_eq!(with(60, Some(true), pps(Basis::Consent)), None);
    assert_eq!(
        with(61, Some(true), pps(Basis::Consent)),
        Some(DenyClass::Role)
    );
    assert_eq!(lines(), 2);
    let law45 = || Ask::read(Interface::PjdLaw45, Controller::PJD, Basis::Law45);
    assert_eq!(with(1, None, law45().with_action(Action::List)), None);
    assert_eq!(with(1, None, law45()), Some(DenyClass::Role));
}

#[test]
fn case_37_status_tells_the_setting_and_nothing_behind_it() {
    let w = World::new();
    critical(&w, "a1");
    w.set(&[(Setting::RestrictPart(Controller::KJ, Part::Critical), true)]);
    let status =
        Ask::read(Interface::Status, Controller::KJ, Basis::Exception).with_action(Action::Status);
    let decided = w.decide(personnel(E), status);
    assert_eq!(decided.flags().closed_parts, [Part::Critical].into());
    assert!(
        w.seen(&decided.granted, w.kj, "AllergyIntolerance")
            .is_empty()
    );
    w.trust.record(&decided, &[]).unwrap();
    assert!(w.store.journal_of(w.key(P), None, 10).unwrap().is_empty());
}
