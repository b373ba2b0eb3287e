//! The GP lists of the nation as entries of the register.

use registers::directory::GpRelation;
use registers::gplists::record::{OPEN, OWN_DOCTOR, SUBSTITUTE};
use registers::gplists::{Association, DoctorCycle, GpContract, GpLists};
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;
use store::StoreError;

/// The first contract number that is given to an imported list.
const FIRST: i64 = 1_000;
/// Places above those taken, so that an imported list is open.
const ROOM: u32 = 50;

fn short(code: &str) -> Short {
    Short::new(code).unwrap_or_default()
}

/// A contract from what the directory says of a list and its patients. `since`: when the import says it began.
#[must_use]
pub fn contract(
    id: i64,
    relation: &GpRelation,
    municipality: &str,
    patients: &[u64],
    since: Moment,
) -> (GpContract, Vec<Association>) {
    let own: Option<u32> = relation.hpr.as_deref().and_then(|hpr| hpr.parse().ok());
    let mut made = GpContract {
        id,
        name: format!("Liste {id}"),
        office: relation.orgnr.parse().unwrap_or(0),
        status: short(OPEN),
        max_patients: u32::try_from(patients.len())
            .unwrap_or(u32::MAX)
            .saturating_add(ROOM),
        municipality: short(municipality),
        agreed: since,
        valid: Period::since(since),
        updated: since,
        ..GpContract::default()
    };
    let doctor = |made: &mut GpContract, hpr, substitute_for: Option<u32>, valid| DoctorCycle {
        no: made.next_part(),
        hpr,
        substitute_for,
        valid,
        relationship: short(if substitute_for.is_some() || own.is_none() {
            SUBSTITUTE
        } else {
            OWN_DOCTOR
        }),
        percentage: Some(100),
        days: Vec::new(),
        updated: since,
    };
    if let Some(hpr) = own {
        let cycle = doctor(&mut made, hpr, None, Period::since(since));
        made.doctors.push(cycle);
    }
    for substitute in &relation.substitutes {
        let Ok(hpr) = substitute.hpr.parse::<u32>() else {
            continue;
        };
        // The directory says the last day inside.
        let after = substitute.to.tomorrow().unwrap_or(substitute.to);
        let valid = Period::between(Moment::of_day(substitute.from), Moment::of_day(after));
        let cycle = doctor(&mut made, hpr, own, valid);
        made.doctors.push(cycle);
    }
    let lines = patients
        .iter()
        .map(|nin| Association {
            no: 0,
            nin: *nin,
            from: since,
            to: None,
            begin: Short::default(),
            end: Short::default(),
        })
        .collect();
    (made, lines)
}

/// Loads an empty register with lists; says how many entries it has then.
///
/// # Errors
/// When the store refuses.
pub fn load(
    into: &GpLists,
    lists: Vec<(GpRelation, Vec<u64>)>,
    municipality_of: impl Fn(&str) -> String,
    since: Moment,
) -> Result<usize, StoreError> {
    if !into.is_empty() {
        return Ok(0);
    }
    let contracts = lists.iter().zip(FIRST..).map(|((relation, patients), id)| {
        let municipality = municipality_of(&relation.orgnr);
        contract(id, relation, &municipality, patients, since)
    });
    into.load(contracts)
}
