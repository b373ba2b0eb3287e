//! Rules of GP lists as tables.

use super::record::*;
use super::rules::*;
use crate::kernel::period::{Moment, Period};
use crate::personnel::Short;

fn short(text: &str) -> Short {
    Short::new(text).unwrap()
}

fn doctor(no: PartNo, hpr: u32, substitute_for: Option<u32>) -> DoctorCycle {
    DoctorCycle {
        no,
        hpr,
        substitute_for,
        valid: Period::between(Moment(100), Moment(200)),
        relationship: short(if substitute_for.is_some() {
            SUBSTITUTE
        } else {
            OWN_DOCTOR
        }),
        ..DoctorCycle::default()
    }
}

fn contract(doctors: Vec<DoctorCycle>) -> GpContract {
    GpContract {
        id: 1,
        office: 999_977_775,
        status: short(OPEN),
        max_patients: 3,
        valid: Period::since(Moment(50)),
        doctors,
        ..GpContract::default()
    }
}

#[test]
fn places_left() {
    let open = contract(Vec::new());
    let closed = GpContract {
        status: short("LUKK"),
        ..open.clone()
    };
    for (contract, active, at, left) in [
        (&open, 0, 60, 3),
        (&open, 3, 60, 0),
        (&open, 9, 60, 0),
        (&open, 0, 49, 0),
        (&closed, 0, 60, 0),
    ] {
        assert_eq!(places(contract, active, Moment(at)), left, "{active} {at}");
    }
}

#[test]
fn whom_messages_go_to() {
    use MessageTo::*;
    let own = doctor(1, 11, None);
    let (first, second) = (doctor(2, 22, Some(11)), doctor(3, 33, Some(11)));
    let gone = DoctorCycle {
        valid: Period::between(Moment(60), Moment(100)),
        ..own.clone()
    };
    let office = OfficeService(999_977_775);
    for (doctors, at, to) in [
        (vec![own.clone()], 150, Doctor(11)),
        (vec![own.clone(), first.clone()], 150, Doctor(11)),
        (vec![own.clone()], 200, office),
        (vec![gone.clone(), first.clone()], 150, Doctor(22)),
        (
            vec![gone.clone(), first.clone(), second.clone()],
            150,
            office,
        ),
        (vec![gone], 99, Doctor(11)),
        (vec![], 150, office),
    ] {
        assert_eq!(
            message_to(&contract(doctors.clone()), Moment(at)),
            to,
            "{doctors:?} {at}"
        );
    }
}

#[test]
fn doctors_that_cannot_be_on_a_contract() {
    let base = contract(vec![doctor(1, 11, None)]);
    let good = doctor(2, 22, Some(11));
    let with = |edit: &dyn Fn(&mut DoctorCycle)| {
        let mut cycle = good.clone();
        edit(&mut cycle);
        check_cycle(&base, &cycle)
    };
    for (at, (found, expected)) in [
        (with(&|_| ()), Ok(())),
        (
            with(&|c| c.percentage = Some(0)),
            Err(WrongCycle::Percentage),
        ),
        (with(&|c| c.percentage = Some(100)), Ok(())),
        (
            with(&|c| c.percentage = Some(101)),
            Err(WrongCycle::Percentage),
        ),
        (with(&|c| c.days = vec![0, 6]), Ok(())),
        (with(&|c| c.days = vec![7]), Err(WrongCycle::Days)),
        (with(&|c| c.days = vec![1, 1]), Err(WrongCycle::Days)),
        (with(&|c| c.valid = Period::ALWAYS), Err(WrongCycle::Period)),
        (
            with(&|c| c.substitute_for = Some(44)),
            Err(WrongCycle::Substitute),
        ),
        (
            with(&|c| c.substitute_for = Some(22)),
            Err(WrongCycle::Substitute),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(found, expected, "{at}");
    }
}
