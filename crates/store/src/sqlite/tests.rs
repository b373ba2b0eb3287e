//! What only this engine has: recovery from files as a crash leaves them, the derived index, erasure from the files.

use crate::conformance::kit::PutExt;
use crate::conformance::kit::{
    Bench, create, message, messages, person, puts, repositories, update,
};
use crate::{
    Commit, Direction, Filter, KeyRange, Leased, Purge, PurgeState, Rid, Seq, Settle, Settlement,
    Store, StoreConfig, StoreError,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig::sqlite(folder, repositories())
}

fn fresh() -> (TempDir, Bench) {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::with(config(&dir.path().join("store")));
    (dir, bench)
}

fn folder(dir: &TempDir) -> PathBuf {
    dir.path().join("store")
}

/// The files as they lie on disk now, without asking the running store: what kill -9 leaves.
fn crash_copy(dir: &TempDir, name: &str) -> PathBuf {
    let to = dir.path().join(name);
    copy(&folder(dir), &to);
    to
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn rows(b: &Bench) -> usize {
    let up = Direction::Ascending;
    let all = b.all();
    b.now()
        .scan(&all, b.open, &KeyRange::whole(1), up, None, 99_999)
        .unwrap()
        .len()
}

fn fill(b: &Bench, from: u32, to: u32) {
    for i in from..to {
        let id = format!("r{i}");
        b.put(
            create(b.open, "Basic", "x")
                .id(&id)
                .key(1, format!("{i:05}"))
                .person(i % 7),
        );
    }
}

#[test]
fn a_crash_loses_nothing_that_was_answered() {
    let (dir, b) = fresh();
    fill(&b, 0, 40);
    b.store.maintain().unwrap();
    fill(&b, 40, 60);
    b.put(update(b.open, "Basic", "r3", "new").key(1, "99999"));
    let copy = Bench::with(config(&crash_copy(&dir, "crashed")));
    assert_eq!(copy.now().seq(), Seq(61));
    assert_eq!(rows(&copy), 60);
    copy.verify();
    fill(&copy, 60, 70);
    assert_eq!(rows(&copy), 70);
    assert_eq!(rows(&b), 60, "the original is untouched");
}

#[test]
fn the_index_is_made_again_when_lost_or_ahead_of_the_log() {
    let (dir, b) = fresh();
    fill(&b, 0, 30);
    let mut load = b.store.bulk_load(b.internal).unwrap();
    for i in 0..50u32 {
        let id = format!("l{i}");
        load.put(create(b.internal, "Person", "x").id(&id).key(2, &id))
            .unwrap();
    }
    load.finish().unwrap();
    b.store.maintain().unwrap();
    let lost = crash_copy(&dir, "lost");
    for suffix in ["", "-wal"] {
        let _ = std::fs::remove_file(lost.join(format!("index.db{suffix}")));
    }
    let lost = Bench::with(config(&lost));
    assert_eq!(rows(&lost), 30);
    let all = lost.all();
    let loaded = lost
        .now()
        .range(&all, lost.internal, &KeyRange::whole(2), 999);
    assert_eq!(loaded.unwrap().len(), 50);
    lost.verify();

    let earlier = crash_copy(&dir, "ahead");
    fill(&b, 30, 35);
    b.store.maintain().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("index.db{suffix}");
        std::fs::copy(folder(&dir).join(&name), earlier.join(&name)).unwrap();
    }
    let ahead = Bench::with(config(&earlier));
    assert_eq!(rows(&ahead), 30, "rows of lost commits are not believed");
    ahead.verify();
}

#[test]
fn one_process_owns_the_folder() {
    let (dir, b) = fresh();
    let second = Store::open(config(&folder(&dir)));
    assert!(matches!(second, Err(StoreError::CannotOpen(_))));
    drop(b);
    Store::open(config(&folder(&dir))).unwrap();
}

#[test]
fn kinds_and_schema_versions_must_agree() {
    let (dir, b) = fresh();
    drop(b);
    let mut other = config(&folder(&dir));
    other.repositories[0].kind = crate::RepoKind::Open;
    let refused = Store::open(other).map(|_| ());
    assert!(
        matches!(refused, Err(StoreError::CannotOpen(_))),
        "{refused:?}"
    );
    let log = rusqlite::Connection::open(folder(&dir).join("log.db")).unwrap();
    log.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(log);
    let refused = Store::open(config(&folder(&dir))).map(|_| ());
    let Err(StoreError::CannotOpen(why)) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("schema version 7"), "{why}");
}

#[test]
fn a_file_that_cannot_be_flushed_is_refused() {
    let refused = super::db::open_writer(Path::new(":memory:"), super::db::Sync::Full, 100);
    let Err(StoreError::CannotOpen(why)) = refused else {
        panic!("an in-memory log is no log")
    };
    assert!(why.contains("power loss"), "{why}");
}

#[test]
fn readers_see_exactly_their_place_while_the_index_is_folded() {
    let (_dir, b) = fresh();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            while !stop.load(Relaxed) {
                b.store.maintain().unwrap();
            }
        });
        let writing: Vec<_> = (0..3u32)
            .map(|t| {
                let b = &b;
                scope.spawn(move || fill(b, t * 1_000, t * 1_000 + 150))
            })
            .collect();
        while !writing.iter().all(|w| w.is_finished()) {
            let s = b.now();
            let all = b.all();
            let (whole, up) = (KeyRange::whole(1), Direction::Descending);
            let seen = s.scan(&all, b.open, &whole, up, None, 9_999).unwrap();
            assert_eq!(seen.len() as u64, s.seq().0, "one row per commit");
            let listed = s.type_rids(&all, b.open, "Basic", Rid(0), 9_999).unwrap();
            assert_eq!(listed.len(), seen.len());
        }
        stop.store(true, Relaxed);
        folding.join().unwrap();
        writing.into_iter().for_each(|w| w.join().unwrap());
    });
    assert_eq!(rows(&b), 450);
    b.verify();
}

#[test]
fn superseded_rows_leave_the_index_after_the_retention() {
    let dir = tempfile::tempdir().unwrap();
    let mut short = config(&folder(&dir));
    short.snapshot_retention = Duration::ZERO;
    let b = Bench::with(short);
    for n in 0..50 {
        b.put(
            update(b.open, "Basic", "x", "v")
                .key(1, format!("{n:03}"))
                .key(2, "same"),
        );
    }
    b.store.maintain().unwrap();
    let index = rusqlite::Connection::open(folder(&dir).join("index.db")).unwrap();
    let left: u64 = index
        .query_row("SELECT count(*) FROM idx", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 3, "two keys and the type, of one version");
    let left: u64 = index
        .query_row("SELECT count(*) FROM superseded", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 0);
    b.verify();
}

/// Whether any file of the store holds these bytes.
fn in_files(folder: &Path, needle: &[u8]) -> Option<String> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = in_files(&path, needle) {
                return Some(found);
            }
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(needle.len()).any(|w| w == needle) {
            return Some(path.display().to_string());
        }
    }
    None
}

#[test]
fn an_erased_record_is_in_no_file() {
    let (dir, b) = fresh();
    fill(&b, 0, 300);
    let secret = |part: &str| format!("SECRET-{part}-KNOWN-TO-THIS-TEST");
    for version in 0..3 {
        let mut put = update(b.open, "Basic", "gone", &secret("body"))
            .key(1, format!("{}{version}", secret("key")))
            .person(1);
        put.privacy.author_org = Some(secret("org"));
        if version == 1 {
            put.body = secret("body").repeat(500).into();
        }
        b.put(put);
        fill(&b, 1_000 + version * 100, 1_100 + version * 100);
        b.store.maintain().unwrap();
    }
    assert!(in_files(&folder(&dir), secret("body").as_bytes()).is_some());
    assert!(in_files(&folder(&dir), secret("key").as_bytes()).is_some());
    b.commit(Commit {
        purge: vec![Purge {
            repo: b.open,
            rtype: "Basic".to_owned(),
            id: "gone".to_owned(),
        }],
        ..Commit::default()
    });
    for _ in 0..3_000 {
        b.store.maintain().unwrap();
        if b.store.purge_state(b.open, "Basic", "gone").unwrap() == Some(PurgeState::Erased) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let state = b.store.purge_state(b.open, "Basic", "gone").unwrap();
    assert_eq!(state, Some(PurgeState::Erased));
    for part in ["body", "key", "org"] {
        assert_eq!(
            in_files(&folder(&dir), secret(part).as_bytes()),
            None,
            "{part}"
        );
    }
    b.verify();
}

#[test]
fn delivery_counts_and_messages_survive_a_crash() {
    let (dir, b) = fresh();
    b.commit(messages([message("q", "a"), message("q", "b")]));
    let leased = b.store.lease("q", 1, 60_000).unwrap();
    assert_eq!(leased[0].deliveries, 1);
    // Counts are written soon after, not with the lease: a crash that comes later finds them.
    let mut deliveries = Vec::new();
    for attempt in 0..50 {
        std::thread::sleep(Duration::from_millis(400));
        let copy = Bench::with(config(&crash_copy(&dir, &format!("crashed{attempt}"))));
        let again = copy.store.lease("q", 9, 60_000).unwrap();
        assert_eq!(again.len(), 2, "nothing lost");
        assert_ne!(again[0].token, leased[0].token);
        deliveries = again.iter().map(|l| l.deliveries).collect();
        if deliveries == [2, 1] {
            break;
        }
    }
    assert_eq!(deliveries, [2, 1], "the first delivery counted");
}

#[test]
fn purges_and_settings_reach_the_second_place_and_are_played_again() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = dir.path().join("second");
    let mut mirrored = config(&folder(&dir));
    mirrored.mirror = Some(mirror.clone());
    let b = Bench::with(mirrored);
    fill(&b, 0, 5);
    let mut backup = Vec::new();
    b.store.backup(&mut backup).unwrap();
    let setting = Commit {
        mirror: true,
        raise: vec![person(1)],
        ..puts([create(b.internal, "Setting", "no").id("s").person(1)])
    };
    b.commit(setting);
    b.commit(Commit {
        purge: vec![Purge {
            repo: b.open,
            rtype: "Basic".to_owned(),
            id: "r2".to_owned(),
        }],
        ..Commit::default()
    });
    let entries = crate::backup::mirror::read_after(&mirror, 0).unwrap();
    assert_eq!(entries.len(), 2, "only these two commits");
    drop(b);
    let mut second = config(&dir.path().join("restored"));
    second.mirror = Some(mirror.clone());
    let b = Bench::with(second);
    b.store.restore(&mut backup.as_slice()).unwrap();
    let all = b.all();
    let read = |repo, rtype: &str, id: &str| b.now().read(&all, repo, rtype, id).unwrap();
    assert!(
        read(b.internal, "Setting", "s").is_some(),
        "the setting is back"
    );
    assert!(read(b.open, "Basic", "r2").is_none(), "the purge too");
    assert!(read(b.open, "Basic", "r1").is_some());
    let entries = crate::backup::mirror::read_after(&mirror, 0).unwrap();
    assert_eq!(entries.len(), 2, "playing again adds nothing");
    b.commit(Commit {
        mirror: true,
        ..puts([create(b.internal, "Setting", "no").id("t")])
    });
    let entries = crate::backup::mirror::read_after(&mirror, 2).unwrap();
    assert_eq!(entries.len(), 1, "numbering goes on");
    b.verify();
}

#[test]
fn a_restore_that_was_cut_off_leaves_an_empty_store() {
    let (dir, b) = fresh();
    fill(&b, 0, 20);
    drop(b);
    let log = rusqlite::Connection::open(folder(&dir).join("log.db")).unwrap();
    log.execute("INSERT INTO meta(key, value) VALUES('restoring', 1)", [])
        .unwrap();
    drop(log);
    let b = Bench::with(config(&folder(&dir)));
    assert_eq!(b.now().seq(), Seq(0));
    assert_eq!(rows(&b), 0);
    b.verify();
}

#[test]
fn a_closed_store_answers_that_it_is_closed() {
    let (_dir, b) = fresh();
    fill(&b, 0, 1);
    let snapshot = b.now();
    b.store.close();
    let late = b.store.commit(Commit::default());
    assert!(
        matches!(late, Err(crate::CommitError::Unavailable(_))),
        "{late:?}"
    );
    assert!(matches!(
        b.store.snapshot().map(|_| ()),
        Err(StoreError::Unavailable(_))
    ));
    let grant = b.grant(Filter::Open);
    let read = snapshot.read(&grant, b.open, "Basic", "r0");
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
}

#[test]
fn a_commit_that_cannot_be_written_fails_alone() {
    let (dir, b) = fresh();
    b.commit(messages([message("q", "m")]));
    let lease = b.store.lease("q", 1, 60_000).unwrap().remove(0);
    let log = rusqlite::Connection::open(folder(&dir).join("log.db")).unwrap();
    log.execute_batch(
        "CREATE TRIGGER broken BEFORE INSERT ON version WHEN new.pack = 666
         BEGIN SELECT RAISE(ABORT, 'a disk that fails for one row'); END",
    )
    .unwrap();
    let pending: Vec<_> = (0..20u32)
        .map(|i| {
            let id = format!("r{i}");
            let mut put = create(b.open, "Basic", "x").id(&id).key(1, &id).person(i);
            let mut commit = Commit::default();
            if i == 7 {
                put.pack = 666;
                commit.settle = vec![crate::Settle {
                    id: lease.id,
                    token: lease.token,
                    outcome: crate::Settlement::Done,
                }];
            }
            commit.put = vec![put];
            b.store.submit(commit)
        })
        .collect();
    for (i, pending) in pending.into_iter().enumerate() {
        let result = pending.wait();
        assert_eq!(result.is_err(), i == 7, "{i}: {result:?}");
    }
    log.execute_batch("DROP TRIGGER broken").unwrap();
    assert_eq!(rows(&b), 19);
    assert_eq!(b.now().seq(), Seq(19), "no place was lost");
    b.commit(Commit {
        settle: vec![crate::Settle {
            id: lease.id,
            token: lease.token,
            outcome: crate::Settlement::Done,
        }],
        ..Commit::default()
    });
    b.verify();
}

#[test]
fn the_same_new_identifier_twice_in_a_commit_is_one() {
    let (_dir, b) = fresh();
    let known = || crate::Alias::AlsoKnownAs {
        person: person(1),
        system: "urn:other".to_owned(),
        value: "x".to_owned(),
    };
    b.commit(Commit {
        alias: vec![known(), known()],
        ..Commit::default()
    });
    assert_eq!(b.store.person("urn:other", "x").unwrap(), Some(b.key(1)));
}

#[test]
fn numbers_beyond_every_row_are_nothing_not_errors() {
    let (_dir, b) = fresh();
    fill(&b, 0, 3);
    let (s, all) = (b.now(), b.all());
    let far = Rid(u64::MAX);
    assert!(s.heads(&all, &[far]).unwrap().is_empty());
    assert!(s.fetch(&all, &[far]).unwrap().is_empty());
    assert!(s.keys(&all, far).unwrap().is_empty());
    assert!(
        s.type_rids(&all, b.open, "Basic", far, 9)
            .unwrap()
            .is_empty()
    );
    assert_eq!(s.epoch(crate::PersonKey(u64::MAX)).unwrap(), Seq(0));
    assert!(b.store.feed(Seq(u64::MAX), 9).unwrap().is_empty());
    assert!(!b.store.revive(crate::QueueMessageId(u64::MAX)).unwrap());
    let whole = KeyRange::whole(1);
    let after = crate::IndexRow {
        value: b"00001".to_vec(),
        rid: far,
    };
    let up = Direction::Ascending;
    let rest = s
        .scan(&all, b.open, &whole, up, Some(&after), usize::MAX)
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(s.range(&all, b.open, &whole, usize::MAX).unwrap().len(), 3);
    let scope = crate::HistoryScope::Repository { repo: b.open };
    let before = Some(Seq(u64::MAX));
    assert_eq!(
        s.history(&all, &scope, before, usize::MAX).unwrap().len(),
        3
    );
    assert_eq!(b.store.dead_letters("q", usize::MAX).unwrap(), []);
}

#[test]
fn making_keys_anew_that_breaks_off_leaves_an_index_that_is_made_again() {
    let (dir, b) = fresh();
    for (id, value) in [("a", "old"), ("b", "old")] {
        b.put(create(b.open, "Basic", "x").id(id).key(1, value));
    }
    let log = rusqlite::Connection::open(folder(&dir).join("log.db")).unwrap();
    log.execute_batch(
        "CREATE TRIGGER broken BEFORE UPDATE ON version WHEN new.pack = 666
         BEGIN SELECT RAISE(ABORT, 'a disk that fails for one row'); END",
    )
    .unwrap();
    let all = b.all();
    let heads = {
        let s = b.now();
        let rids = s.type_rids(&all, b.open, "Basic", Rid(0), 9).unwrap();
        s.heads(&all, &rids).unwrap()
    };
    let change = |n: usize, pack| crate::Rekey {
        rid: heads[n].rid,
        vno: heads[n].vno,
        keys: vec![crate::IndexKey {
            param: 1,
            value: b"new".to_vec(),
        }],
        pack,
    };
    assert!(b.store.rekey(b.open, &[change(0, 666)]).is_err());
    log.execute_batch("DROP TRIGGER broken").unwrap();
    drop(log);
    // A later round that goes well does not hide what the first one left.
    assert_eq!(b.store.rekey(b.open, &[change(1, 7)]).unwrap(), 1);
    let b = b.reopen();
    b.verify();
    let found = |value: &[u8]| {
        let range = KeyRange::exact(&crate::IndexKey {
            param: 1,
            value: value.to_vec(),
        });
        b.now().range(&b.all(), b.open, &range, 9).unwrap()
    };
    assert_eq!(found(b"old"), [heads[0].rid]);
    assert_eq!(found(b"new"), [heads[1].rid]);
}

/// Looks begin where everything before is in somebody's hands; what comes back below that place is found all the same.
#[test]
fn what_comes_back_to_a_queue_is_found_before_what_came_later() {
    const MINUTE: u64 = 60_000;
    let (_dir, b) = fresh();
    let lease = |limit, ms| b.store.lease("q", limit, ms).unwrap();
    let body = |list: &[Leased]| -> Vec<String> {
        let text = |one: &Leased| String::from_utf8(one.body.to_vec()).unwrap();
        list.iter().map(text).collect()
    };
    let end = |one: &Leased, outcome: Settlement| {
        let (id, token) = (one.id, one.token);
        let settle = vec![Settle { id, token, outcome }];
        b.commit(Commit {
            settle,
            ..Commit::default()
        });
    };
    let released = || Settlement::Release { due_at: None };
    b.commit(messages((0..6).map(|n| message("q", &n.to_string()))));
    let first = lease(3, MINUTE);
    assert_eq!(body(&first), ["0", "1", "2"]);
    assert_eq!(body(&lease(1, MINUTE)), ["3"]);
    end(&first[1], released());
    assert_eq!(body(&lease(2, MINUTE)), ["1", "4"], "released");
    let mut early = message("q", "early");
    early.due_at = Some(1);
    b.commit(messages([early]));
    assert_eq!(body(&lease(1, MINUTE)), ["early"], "due before the others");
    end(&first[0], Settlement::Done);
    assert_eq!(body(&lease(9, MINUTE)), ["5"]);
    assert!(lease(9, MINUTE).is_empty());
    assert!(b.store.renew(first[2].id, first[2].token, 0).unwrap());
    assert_eq!(body(&lease(9, 0)), ["2"], "its lease was cut short");
    assert_eq!(body(&lease(9, MINUTE)), ["2"], "its lease has ended");
    assert!(lease(9, MINUTE).is_empty());
    b.commit(messages([message("q", "6")]));
    assert_eq!(body(&lease(9, MINUTE)), ["6"]);
}

/// A count is written when its lease lasts, or with the last batch.
#[test]
fn deliveries_are_counted_over_a_restart() {
    let (dir, b) = fresh();
    b.commit(messages([message("q", "m")]));
    assert_eq!(b.store.lease("q", 1, 0).unwrap()[0].deliveries, 1);
    assert_eq!(b.store.lease("q", 1, 0).unwrap()[0].deliveries, 2);
    drop(b);
    let again = Bench::with(config(&folder(&dir)));
    assert_eq!(again.store.lease("q", 1, 0).unwrap()[0].deliveries, 3);
}

#[test]
fn what_only_the_hub_keeps_is_folded_as_it_is_and_not_as_it_was() {
    let (dir, b) = fresh();
    let put = |n: u32| {
        update(b.internal, "Track", "x", "v")
            .key(1, format!("{n:03}"))
            .key(2, "same")
    };
    let found = |s: &dyn crate::Reader, n: u32| {
        let (all, key) = (b.all(), format!("{n:03}"));
        let range = crate::conformance::kit::range(1, &key, &format!("{key}~"));
        s.range(&all, b.internal, &range, 9).map(|rids| rids.len())
    };
    b.put(put(0));
    let before = b.now();
    for n in 1..50 {
        b.put(put(n));
    }
    b.store.maintain().unwrap();
    assert_eq!(found(&*before, 0).unwrap(), 1, "taken before, read after");
    assert_eq!(found(&*b.now(), 49).unwrap(), 1);
    let index = rusqlite::Connection::open(folder(&dir).join("index.db")).unwrap();
    let count = |table: &str| -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        index.query_row(&sql, [], |r| r.get(0)).unwrap()
    };
    assert_eq!((count("idx"), count("superseded")), (3, 0));
    // A version that stands in the index already stays there for the retention, as everywhere.
    b.put(put(50));
    b.put(put(51));
    b.store.maintain().unwrap();
    assert_eq!((count("idx"), count("superseded")), (6, 1));
    let past = b.store.snapshot_at(Seq(3)).unwrap();
    assert!(matches!(found(&*past, 2), Err(StoreError::SnapshotExpired)));
    b.verify();
    drop((before, past));
    let b = Bench::with(config(&crash_copy(&dir, "crashed")));
    b.verify();
}

fn body_files(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("bodies")).unwrap().count()
}

#[test]
fn payloads_survive_a_crash_and_are_in_no_file_once_taken() {
    let (dir, b) = fresh();
    let body = |n: usize| format!("PAYLOAD-{n}-KNOWN-TO-THIS-TEST").repeat(200);
    b.commit(messages((0..4).map(|n| message("q", &body(n)))));
    assert!(in_files(&folder(&dir), b"PAYLOAD-3-").is_some());
    // Something of a batch that did not happen.
    let segment = std::fs::read_dir(folder(&dir).join("bodies")).unwrap();
    let segment = segment.last().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"NAMED-BY-NOBODY");
    let crashed = crash_copy(&dir, "crashed");
    std::fs::write(
        crashed.join("bodies").join(segment.file_name().unwrap()),
        bytes,
    )
    .unwrap();
    std::fs::write(crashed.join("bodies/0000000099.bodies"), b"NAMED-BY-NOBODY").unwrap();
    drop(b);
    let b = Bench::with(config(&crashed));
    let leased = b.store.lease("q", 9, 60_000).unwrap();
    let bodies: Vec<_> = leased.iter().map(|l| l.body.to_vec()).collect();
    let sent: Vec<_> = (0..4).map(|n| body(n).into_bytes()).collect();
    assert_eq!(bodies, sent);
    for lease in leased.iter().take(3) {
        b.commit(settled(lease));
    }
    let gone = |what: &str| {
        for _ in 0..600 {
            if in_files(&crashed, what.as_bytes()).is_none() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    };
    for what in ["NAMED-BY-NOBODY", "PAYLOAD-0-", "PAYLOAD-1-", "PAYLOAD-2-"] {
        assert!(gone(what), "{what}");
    }
    let again = b.store.peek("q", 9).unwrap();
    assert!(again.is_empty(), "the last one is still on lease");
    b.commit(messages([message("q", &body(4))]));
    assert_eq!(b.store.lease("q", 9, 60_000).unwrap().len(), 1);
    drop(b);
    let b = Bench::with(config(&crashed));
    let mut left = b.store.lease("q", 9, 60_000).unwrap();
    left.sort_by_key(|l| l.id);
    assert_eq!(left[0].body, body(3));
    assert_eq!(left[1].body, body(4));
    left.iter().for_each(|lease| drop(b.commit(settled(lease))));
    for _ in 0..600 {
        if body_files(&crashed) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("files of payloads were left");
}

fn settled(lease: &Leased) -> Commit {
    Commit {
        settle: vec![Settle {
            id: lease.id,
            token: lease.token,
            outcome: Settlement::Done,
        }],
        ..Commit::default()
    }
}

#[test]
fn a_missing_payload_is_said_and_a_log_of_version_1_is_taken_over() {
    let (dir, b) = fresh();
    b.commit(messages([
        message("q", "small"),
        message("big", &"x".repeat(5_000)),
    ]));
    drop(b);
    std::fs::remove_dir_all(folder(&dir).join("bodies")).unwrap();
    let b = Bench::with(config(&folder(&dir)));
    assert!(matches!(
        b.store.lease("big", 1, 60_000),
        Err(StoreError::Corrupt(_))
    ));
    drop(b);
    let log = rusqlite::Connection::open(folder(&dir).join("log.db")).unwrap();
    log.execute_batch(
        "DELETE FROM message WHERE place IS NOT NULL; ALTER TABLE message DROP COLUMN place;
         ALTER TABLE dead DROP COLUMN place; PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(log);
    let b = Bench::with(config(&folder(&dir)));
    let small = b.store.lease("q", 1, 60_000).unwrap();
    assert_eq!(small[0].body, "small");
    b.commit(messages([message("big", &"y".repeat(5_000))]));
    assert_eq!(
        b.store.lease("big", 1, 60_000).unwrap()[0].body.len(),
        5_000
    );
}
