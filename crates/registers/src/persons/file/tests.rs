//! The file: deterministic, torn and rotten ones are found, no posting of a protected address.

use super::build::Builder;
use super::read::ReadFile;
use super::*;
use crate::kernel::EntryNo;
use crate::kernel::identifiers::Packed;
use crate::persons::codes::ProtectionLevel;
use crate::persons::row::{Row, pack, tag};
use crate::persons::testing::{NOW, Seed, id, person, seeds};
use proptest::prelude::*;
use std::path::Path;

const STAMP: Stamp = Stamp {
    incarnation: 77,
    seq: 5,
    events: 3,
};

fn seed(n: u32) -> Seed {
    let [a, b, c, d] = n.wrapping_mul(2_654_435_761).to_le_bytes();
    Seed([a, b, c, d, b, c, d, a, c, d, a, b])
}

fn write(path: &Path, count: u32) {
    let mut builder = Builder::create(path, NOW).unwrap();
    for n in 0..count {
        let row = pack(id(n), &person(n, seed(n)), NOW);
        builder.push(Row::new(&row)).unwrap();
    }
    builder.finish(STAMP).unwrap();
}

fn unfit(path: &Path) -> bool {
    matches!(ReadFile::open(path), Err(FileError::Unfit(_)))
}

#[test]
fn rows_are_found_by_number_and_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    write(&path, 500);
    let file = ReadFile::open(&path).unwrap();
    assert_eq!((file.len(), file.stamp()), (500, STAMP));
    for resident in [false, true] {
        if resident {
            file.make_resident().unwrap();
        }
        for n in 0..500 {
            assert_eq!(file.by_id(id(n)).unwrap(), Some(EntryNo(n)));
            assert_eq!(file.by_number(Packed(10_000_000_000 + u64::from(n))), [n]);
            let found = file
                .with(EntryNo(n), |row| row.document())
                .unwrap()
                .unwrap();
            assert_eq!(found.name.one_at(NOW), person(n, seed(n)).name.one_at(NOW));
        }
        assert_eq!(file.by_id(id(500)).unwrap(), None);
        assert!(file.by_number(Packed(1)).is_empty());
        assert!(file.with(EntryNo(500), |_| ()).unwrap().is_none());
    }
    let back = file.without_rows();
    assert!(file.is_resident() && !back.is_resident());
    let name = |file: &ReadFile| file.with(EntryNo(9), |row| row.document().name);
    assert_eq!(name(&back).unwrap(), name(&file).unwrap());
}

#[test]
fn sections_of_several_pieces_come_back_and_are_checked() {
    // Identifiers take eight bytes each in the index: more than one piece.
    let count = u32::try_from(PIECE * 5 / 4 / 8).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    write(&path, count);
    let whole = std::fs::read(&path).unwrap();
    let file = ReadFile::open(&path).unwrap();
    for n in (0..count).step_by(97).chain([count - 1]) {
        assert_eq!(file.by_id(id(n)).unwrap(), Some(EntryNo(n)));
        assert_eq!(file.by_number(Packed(10_000_000_000 + u64::from(n))), [n]);
    }
    // Made again by a builder that knows how much is coming.
    let again = folder.path().join("again.read");
    let mut builder = Builder::create(&again, NOW).unwrap();
    builder.expect(&file);
    for n in 0..count {
        file.with(EntryNo(n), |row| builder.push(row).unwrap())
            .unwrap()
            .unwrap();
    }
    builder.finish(STAMP).unwrap();
    assert!(std::fs::read(&again).unwrap() == whole);
    let header = Header::decode(&whole[..HEADER_BYTES]).unwrap();
    let span = header.span(Section::NumberKeys);
    assert!(span.length > PIECE as u64);
    for at in [0, PIECE as u64, span.length - 1] {
        let mut rotten = whole.clone();
        rotten[usize::try_from(span.start + at).unwrap()] ^= 1;
        std::fs::write(&path, &rotten).unwrap();
        assert!(unfit(&path), "byte {at}");
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    write(&path, 0);
    let file = ReadFile::open(&path).unwrap();
    assert!(file.is_empty());
    assert!(file.by_number(Packed(1)).is_empty());
}

#[test]
fn the_same_entries_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.read"), folder.path().join("b.read"));
    write(&a, 300);
    write(&b, 300);
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

#[test]
fn an_unfinished_file_is_never_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    let mut builder = Builder::create(&path, NOW).unwrap();
    let row = pack(id(1), &person(1, seed(1)), NOW);
    builder.push(Row::new(&row)).unwrap();
    assert!(
        matches!(ReadFile::open(&path), Err(FileError::Io(_))),
        "not in place"
    );
    // As a crash would leave it.
    let part = path.with_extension("part");
    assert!(unfit(&part), "no header");
    drop(builder);
    assert!(!part.exists(), "nothing stays behind");
}

#[test]
fn torn_and_rotten_files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    write(&path, 60);
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(997).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(unfit(&path), "cut at {cut}");
    }
    let rows = {
        std::fs::write(&path, &whole).unwrap();
        usize::try_from(ReadFile::open(&path).unwrap().rows_bytes()).unwrap()
    };
    for at in (0..whole.len()).step_by(331) {
        let mut rotten = whole.clone();
        rotten[at] ^= 0x10;
        std::fs::write(&path, &rotten).unwrap();
        let in_rows = (HEADER_BYTES..HEADER_BYTES + rows).contains(&at);
        if !in_rows {
            assert!(unfit(&path), "byte {at}");
            continue;
        }
        let file = ReadFile::open(&path).unwrap();
        let damaged = (0..60)
            .filter(|n| file.with(EntryNo(*n), |_| ()).is_err())
            .count();
        assert_eq!(damaged, 1, "byte {at}");
    }
}

#[test]
fn files_of_another_form_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.read");
    write(&path, 3);
    let mut other = std::fs::read(&path).unwrap();
    other[8] = 99;
    let end = HEADER_BYTES - 8;
    let sum = checksum(&other[..end]).to_le_bytes();
    other[end..HEADER_BYTES].copy_from_slice(&sum);
    std::fs::write(&path, &other).unwrap();
    assert!(unfit(&path));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_posting_of_a_protected_address(all in proptest::collection::vec(seeds(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.read");
        let mut builder = Builder::create(&path, NOW).unwrap();
        let rows: Vec<Vec<u8>> = all
            .iter()
            .zip(0u32..)
            .map(|(seed, n)| pack(id(n), &person(n, *seed), NOW))
            .collect();
        for row in &rows {
            builder.push(Row::new(row)).unwrap();
        }
        builder.finish(STAMP).unwrap();
        let file = ReadFile::open(&path).unwrap();
        for (row, n) in rows.iter().zip(0u32..) {
            let row = Row::new(row);
            let level = row.protection_at(NOW);
            let addresses: Vec<_> = [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED]
                .into_iter()
                .flat_map(|kind| row.addresses(kind, NOW))
                .collect();
            let open = addresses
                .iter()
                .any(|h| level.max(h.value.grading) == ProtectionLevel::Unclassified);
            let by_place = file.marks.range(0, 199_999).chain(file.marks.range(1_000_000_000, u32::MAX));
            let posted = by_place.flatten().chain(file.streets.starting("").flatten()).any(|r| *r == n);
            prop_assert_eq!(posted, open);
            if level > ProtectionLevel::Unclassified {
                prop_assert!(!posted);
            }
            if level == ProtectionLevel::StrictlyConfidential {
                prop_assert!(addresses.is_empty() && !file.graded.contains(&n));
            }
        }
    }
}
