//! When the rows of a file are in memory.

use super::*;
use crate::persons::life::REPOSITORY;
use crate::persons::testing::{NOW, Seed, id, person};
use store::{Filter, RepoKind, RepositoryDecl, StoreConfig};

#[test]
fn rows_of_a_new_file_come_into_memory_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let declared = vec![RepositoryDecl::new(REPOSITORY, RepoKind::Internal)];
    let mut config = StoreConfig::sqlite(folder.path().join("store"), declared);
    config.unsafe_no_sync = true;
    let (store, mint) = Store::open(config).unwrap();
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let options = Options {
        resident: true,
        most_changed: 1,
        ..Options::new(folder.path().join("read"))
    };
    let register = PersonRegister::open(store, grant, options).unwrap();
    let of = |n: u32, seed| (id(n), person(n, Seed([seed; 12])));
    register
        .load((0..9).map(|n| of(n, 1)), NOW, |_| {})
        .unwrap();
    let is_resident = || register.read().file.is_resident();
    assert!(!register.maintain().unwrap());
    assert!(is_resident());
    register.change(vec![of(3, 2)], NOW).unwrap();
    assert!(register.maintain().unwrap(), "a new file");
    assert!(!is_resident());
    assert!(!register.maintain().unwrap());
    assert!(is_resident());
}
