//! The second place: a restore of an older backup neither brings back what was erased nor forgets a setting.

use super::Make;
use super::kit::*;
use crate::backup::{LostSettings, MirrorOutcome};
use crate::{Commit, Purge, StoreError};

pub(super) fn replay(make: Make<'_>) {
    let folder = std::env::temp_dir().join(format!("mirror-{}", uuid::Uuid::now_v7()));
    let with_mirror = || {
        let mut config = make();
        config.mirror = Some(folder.clone());
        config
    };
    let b = Bench::with(with_mirror());
    b.put(
        create(b.patient, "Observation", "1")
            .id("erased-later")
            .key(1, "k")
            .person(1),
    );
    b.put(create(b.patient, "Consent", "open").id("setting").person(1));
    b.put(
        create(b.patient, "Observation", "1")
            .id("kept")
            .key(1, "k")
            .person(1),
    );
    let mut stream = Vec::new();
    b.store.backup(&mut stream).unwrap();
    b.commit(Commit {
        purge: vec![Purge {
            repo: b.patient,
            rtype: "Observation".to_owned(),
            id: "erased-later".to_owned(),
        }],
        ..Commit::default()
    });
    let b = b.reopen();
    let key = b.key(1);
    b.commit(Commit {
        mirror: true,
        raise: vec![crate::PersonRef::Key(key)],
        ..puts([update(b.patient, "Consent", "setting", "blocked").person(1)])
    });
    b.put(update(b.patient, "Observation", "kept", "lost with the store").person(1));
    b.store.close();

    let again = Bench::with(with_mirror());
    again.store.restore(&mut stream.as_slice()).unwrap();
    let (s, all) = (again.now(), again.all());
    let read = |rtype: &str, id: &str| s.read(&all, again.patient, rtype, id).unwrap();
    assert!(
        read("Observation", "erased-later").is_none(),
        "what was erased stays erased"
    );
    let setting = read("Consent", "setting").expect("the setting");
    assert_eq!(setting.body.as_ref(), b"blocked", "the newer setting holds");
    assert!(
        s.epoch(again.key(1)).unwrap().0 > 0,
        "and its epoch is raised"
    );
    let kept = read("Observation", "kept").expect("the record");
    assert_eq!(
        kept.body.as_ref(),
        b"1",
        "other records are as old as the backup"
    );
    again.verify();
    drop(again);
    std::fs::remove_dir_all(&folder).unwrap();
    lost(make, &stream, &folder);
}

/// The mirror is gone: nothing is restored until that is accepted; then a new one goes on where the old one ended.
fn lost(make: Make<'_>, stream: &[u8], folder: &std::path::Path) {
    let bench = Bench::with(make());
    let refused = bench.store.restore(&mut &*stream);
    assert!(
        matches!(refused, Err(StoreError::SettingsLost(_))),
        "{refused:?}"
    );
    let restored = bench
        .store
        .restore_with(&mut &*stream, LostSettings::Accept)
        .unwrap();
    assert_eq!(restored.settings, MirrorOutcome::Lost);
    bench.verify();
    drop(bench);
    let mut config = make();
    config.mirror = Some(folder.to_owned());
    let bench = Bench::with(config);
    bench
        .store
        .restore_with(&mut &*stream, LostSettings::Accept)
        .unwrap();
    bench.commit(Commit {
        mirror: true,
        ..puts([update(bench.patient, "Consent", "setting", "after").person(1)])
    });
    let bench = bench.reopen();
    let mut again = Vec::new();
    bench.store.backup(&mut again).unwrap();
    bench.commit(Commit {
        mirror: true,
        ..puts([update(bench.patient, "Consent", "setting", "later").person(1)])
    });
    bench.store.close();
    let mut config = make();
    config.mirror = Some(folder.to_owned());
    let restored = Bench::with(config);
    restored.store.restore(&mut again.as_slice()).unwrap();
    let setting = restored
        .now()
        .read(&restored.all(), restored.patient, "Consent", "setting")
        .unwrap()
        .expect("the setting");
    assert_eq!(setting.body.as_ref(), b"later");
    drop(restored);
    std::fs::remove_dir_all(folder).unwrap();
}
