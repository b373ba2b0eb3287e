//! The register in its kept form ([`crate::kernel::kept`]): five million lines of patients in few bytes each, everything
//! else as JSON.

use super::record::{Association, PatientPage, Record};
use crate::kernel::period::Moment;
use crate::personnel::Short;
use crate::persons::row::{In, Out};

/// First byte: patients follow, in few bytes.
const PATIENTS: u8 = 1;
/// First byte: JSON follows.
const JSON: u8 = 0;
/// What a line has besides patient and beginning.
const HAS_END: u8 = 1;
const HAS_BEGIN_CODE: u8 = 2;
const HAS_END_CODE: u8 = 4;

/// Appends a record.
pub(super) fn keep(record: &Record, bytes: &mut Vec<u8>) {
    match record {
        Record::Patients(page) => {
            bytes.push(PATIENTS);
            bytes.extend_from_slice(&packed(page));
        }
        other => {
            bytes.push(JSON);
            // What cannot be written cannot be read either: the file is not used then.
            let _ = serde_json::to_writer(bytes, other);
        }
    }
}

/// What [`keep`] wrote.
pub(super) fn kept(bytes: &[u8]) -> Option<Record> {
    match bytes.split_first()? {
        (&PATIENTS, rest) => {
            let mut input = In::new(rest);
            let page = page(&mut input)?;
            input.is_empty().then(|| Record::Patients(Box::new(page)))
        }
        (&JSON, rest) => serde_json::from_slice(rest).ok(),
        _ => None,
    }
}

fn packed(page: &PatientPage) -> Vec<u8> {
    let mut out = Out::with_capacity(16 + page.lines.len() * 12);
    out.signed(page.contract);
    out.signed(page.updated.0);
    out.varint(u64::try_from(page.lines.len()).unwrap_or(u64::MAX));
    // Lines of one page have come at the same time, or soon after one another.
    let mut before = 0;
    for line in &page.lines {
        let marks = [
            (HAS_END, line.to.is_some()),
            (HAS_BEGIN_CODE, !line.begin.is_empty()),
            (HAS_END_CODE, !line.end.is_empty()),
        ];
        out.byte(marks.iter().filter(|(_, has)| *has).map(|(m, _)| m).sum());
        out.varint(line.no.into());
        out.varint(line.nin);
        out.signed(line.from.0.wrapping_sub(before));
        before = line.from.0;
        if let Some(to) = line.to {
            out.signed(to.0.wrapping_sub(line.from.0));
        }
        for code in [line.begin, line.end].iter().filter(|c| !c.is_empty()) {
            out.text(code.as_str());
        }
    }
    out.into_bytes()
}

fn page(input: &mut In<'_>) -> Option<PatientPage> {
    let contract = input.signed()?;
    let updated = Moment(input.signed()?);
    let count: usize = input.number()?;
    let mut lines = Vec::with_capacity(count.min(1_000));
    let mut before: i64 = 0;
    for _ in 0..count {
        let marks = input.byte()?;
        let no = input.number()?;
        let nin = input.varint()?;
        before = before.wrapping_add(input.signed()?);
        let from = Moment(before);
        let to = match marks & HAS_END {
            0 => None,
            _ => Some(Moment(before.wrapping_add(input.signed()?))),
        };
        let mut code = |mark| match marks & mark {
            0 => Some(Short::default()),
            _ => Short::new(input.str()?),
        };
        lines.push(Association {
            no,
            nin,
            from,
            to,
            begin: code(HAS_BEGIN_CODE)?,
            end: code(HAS_END_CODE)?,
        });
    }
    Some(PatientPage {
        contract,
        lines,
        updated,
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::{GpContract, OfficeFacts};
    use super::*;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = Association> {
        let code = prop_oneof![Just(String::new()), "[A-Z]{1,7}"];
        (
            any::<u16>(),
            any::<u64>(),
            any::<i64>(),
            any::<Option<i64>>(),
            code.clone(),
            code,
        )
            .prop_map(|(no, nin, from, to, begin, end)| Association {
                no,
                nin,
                from: Moment(from),
                to: to.map(Moment),
                begin: Short::new(&begin).unwrap(),
                end: Short::new(&end).unwrap(),
            })
    }

    fn again(record: &Record) -> Option<Record> {
        let mut bytes = Vec::new();
        keep(record, &mut bytes);
        kept(&bytes)
    }

    proptest! {
        #[test]
        fn a_page_comes_back_as_it_was(
            contract in any::<i64>(),
            updated in any::<i64>(),
            lines in prop::collection::vec(line(), 0..20),
        ) {
            let page = PatientPage { contract, lines, updated: Moment(updated) };
            let record = Record::Patients(Box::new(page));
            prop_assert_eq!(again(&record), Some(record));
        }

        #[test]
        fn anything_at_all_can_be_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = kept(&bytes);
            let _ = kept(&[&[PATIENTS], &bytes[..]].concat());
        }
    }

    #[test]
    fn everything_else_comes_back_too() {
        let contract = GpContract {
            id: 7,
            waiting: vec![1, 2],
            ..GpContract::default()
        };
        let office = OfficeFacts {
            orgnr: 9,
            ..OfficeFacts::default()
        };
        for record in [
            Record::Contract(Box::new(contract)),
            Record::Office(Box::new(office)),
            Record::Languages(3, vec![Short::new("nb").unwrap()]),
            Record::Team(None),
        ] {
            assert_eq!(again(&record), Some(record));
        }
    }

    #[test]
    fn a_usual_line_takes_ten_bytes_at_most() {
        let line = |nin| Association {
            no: 100,
            nin,
            from: Moment(1_795_000_000_000),
            to: None,
            begin: Short::default(),
            end: Short::default(),
        };
        let page = PatientPage {
            contract: 1_000,
            lines: (0..128).map(|n| line(13_097_248_022 + n)).collect(),
            updated: Moment(1_795_000_000_000),
        };
        assert!(packed(&page).len() < 128 * 10);
    }
}
