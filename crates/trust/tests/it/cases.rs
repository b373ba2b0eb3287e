//! The hand-written cases of spec/privacy.md §12.3 that a decision and a snapshot can show; the numbers are theirs.
//!
//! Elsewhere: 4, 7, 13, 15, 16 (criteria), 17 (search), 19, 58 need HTTP or a page; 27-29 a broken journal; 38-49
//! representation; 53, 57 (unclear records) the writing service; 59, 60 other services.

mod blocks;
mod persons;
mod restrictions;

use crate::world::*;
use store::*;
use trust::*;

fn critical(w: &World, id: &str) {
    w.put(record(
        w.kj,
        "AllergyIntolerance",
        id,
        Controller::KJ,
        Class::Critical2,
        &[P],
    ));
}

fn result(w: &World, id: &str, change: impl FnOnce(&mut Privacy)) -> Vno {
    let mut put = record(
        w.pps,
        "Observation",
        id,
        Controller::PPS,
        Class::LabObservation,
        &[P],
    );
    change(&mut put.privacy);
    w.put(put)
}

fn denied(decided: &Decided) -> Option<DenyClass> {
    decided.decision.denied()
}
