//! The contracts, and what an import makes.

use super::*;
use registers::directory::{GpRelation, Substitute};
use registers::gplists::rules::{MessageTo, check_cycle, message_to};

#[test]
fn the_contracts_read() {
    for (text, operations) in [
        (READ_CONTRACT, 17),
        (WRITE_CONTRACT, 31),
        (EXPORT_CONTRACT, 1),
    ] {
        let contract = Contract::parse(text).unwrap();
        assert_eq!(
            contract.operations().len(),
            operations,
            "{}",
            contract.interface
        );
        assert_eq!(contract.target(), "http://schemas.nhn.no/reg/flr");
    }
}

#[test]
fn an_imported_list_keeps_the_rules() {
    let day = |y: i16, m, d| jiff::civil::date(y, m, d);
    let substitute = Substitute {
        hpr: "22".into(),
        from: day(2026, 1, 1),
        to: day(2026, 1, 31),
    };
    for (own, expected_in, expected_after) in [
        (Some("11"), MessageTo::Doctor(11), MessageTo::Doctor(11)),
        (
            None,
            MessageTo::Doctor(22),
            MessageTo::OfficeService(999_977_775),
        ),
    ] {
        let relation = GpRelation {
            hpr: own.map(str::to_owned),
            substitutes: vec![substitute.clone()],
            orgnr: "999977775".into(),
            her_id: None,
        };
        let since = Moment::of_day(day(2020, 1, 1));
        let (contract, lines) = import::contract(7, &relation, "0301", &[1, 2], since);
        assert_eq!(lines.len(), 2);
        for doctor in &contract.doctors {
            assert_eq!(check_cycle(&contract, doctor), Ok(()), "{own:?}");
        }
        let at = |day| message_to(&contract, Moment::of_day(day));
        assert_eq!(at(day(2026, 1, 31)), expected_in);
        assert_eq!(at(day(2026, 2, 1)), expected_after);
    }
}
