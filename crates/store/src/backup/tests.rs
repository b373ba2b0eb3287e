//! Streams and the mirror, without an engine.

use super::mirror::{Mirror, MirrorEntry, Names, read_after};
use super::*;
use crate::journal::{HeadRow, LineState};
use crate::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Default)]
struct Memory {
    header: Header,
    items: Vec<Item>,
    finished: bool,
    aborted: bool,
    commits: Vec<Commit>,
}

impl Source for Memory {
    fn header(&self) -> Result<Header, StoreError> {
        Ok(self.header.clone())
    }
    fn items(
        &self,
        _header: &Header,
        emit: &mut dyn FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.items.iter().cloned().try_for_each(emit)
    }
}

impl Sink for Memory {
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.items.is_empty())
    }
    fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        self.header = header.clone();
        Ok(())
    }
    fn item(&mut self, item: Item) -> Result<(), StoreError> {
        self.items.push(item);
        Ok(())
    }
    fn finish(&mut self) -> Result<Seq, StoreError> {
        self.finished = true;
        Ok(self.header.seq)
    }
    fn abort(&mut self) {
        self.items.clear();
        self.aborted = true;
    }
}

impl Replay for Memory {
    fn repository(&self, name: &str) -> Option<RepoId> {
        (name == "personvern").then_some(RepoId(9))
    }
    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        assert!(
            self.finished,
            "the mirror is played into the restored store"
        );
        self.commits.push(commit.clone());
        if commit.purge.iter().any(|p| p.id == "unknown") {
            return Err(CommitError::Invalid("no such record".to_owned()));
        }
        Ok(Committed {
            snapshot: Seq(1),
            at: 1,
            puts: vec![],
            messages: vec![],
        })
    }
}

fn full() -> Memory {
    let hash = sha256(b"blob");
    let message = Box::new(MessageItem {
        id: QueueMessageId(3),
        queue: "q".to_owned(),
        enqueued_at: 4,
        due_at: Some(5),
        expires_at: None,
        max_deliveries: 6,
        deliveries: 1,
        headers: Bytes::from_static(b"{}"),
        body: Bytes::from_static(&[0, 255]),
    });
    let version = VersionItem {
        seq: Seq(1),
        rid: Rid(1),
        vno: Vno(1),
        repo: RepoId(1),
        rtype: "Observation".to_owned(),
        id: "a".to_owned(),
        op: Op::Create,
        at: 7,
        pack: 1,
        body: Bytes::from(vec![b'x'; 3 << 20]),
        keys: vec![
            IndexKey {
                param: 70_000,
                value: vec![0, 1, 255],
            },
            IndexKey {
                param: 1,
                value: vec![],
            },
        ],
        persons: vec![PersonKey(u64::MAX)],
        author_person: Some(PersonKey(2)),
        owner: None,
        privacy: Privacy {
            controller: "KJ".to_owned(),
            labels: u64::MAX,
            ..Privacy::default()
        },
        blobs: vec![hash],
        bulk: false,
    };
    let items = vec![
        Item::Repository(
            RepoId(1),
            RepositoryDecl::new("kjernejournal", RepoKind::Patient),
        ),
        Item::Person(PersonKey(1), Some(("urn:s".to_owned(), "1".to_owned()))),
        Item::Person(PersonKey(2), None),
        Item::Alias(PersonKey(1), PersonKey(2)),
        Item::Blob(hash, Bytes::from_static(b"blob")),
        Item::Version(Box::new(VersionItem {
            bulk: true,
            ..version.clone()
        })),
        Item::Version(Box::new(version)),
        Item::Event(
            Seq(2),
            8,
            FeedEvent::Epoch {
                persons: vec![PersonKey(1)],
            },
        ),
        Item::Event(
            Seq(3),
            8,
            FeedEvent::Generation {
                target: "t".to_owned(),
                generation: 2,
            },
        ),
        Item::Epoch(Some(PersonKey(1)), Seq(2)),
        Item::Epoch(None, Seq(2)),
        Item::Purge(PurgeItem {
            repo: RepoId(1),
            rtype: "X".to_owned(),
            id: "b".to_owned(),
            rid: Rid(2),
            seq: Seq(3),
            state: PurgeState::Hidden,
        }),
        Item::Message(message.clone()),
        Item::DeadLetter(message, 9, "why".to_owned()),
        Item::Position("c".to_owned(), Seq(2)),
        Item::Claim(ClaimItem {
            space: "s".to_owned(),
            key: vec![0],
            value: vec![],
            until: Some(1),
        }),
        Item::JournalLog("log".to_owned()),
        Item::JournalLine(
            PersonKey(1),
            "KJ".to_owned(),
            LineState {
                pn: 1,
                commit: [1; 32],
                joined: None,
            },
        ),
        Item::JournalHead(HeadRow {
            n: 1,
            day: "2026-11-23".to_owned(),
            closed: true,
            jws: "a.b.c".to_owned(),
        }),
    ];
    let header = Header {
        engine: "memory".to_owned(),
        seq: Seq(3),
        at: 8,
        mirror: Some(2),
        next: BTreeMap::from([("rid".to_owned(), 3)]),
        ..Header::default()
    };
    Memory {
        header,
        items,
        ..Memory::default()
    }
}

fn stream(source: &Memory) -> Vec<u8> {
    let mut out = Vec::new();
    write(source, &mut out).unwrap();
    out
}

#[test]
fn everything_comes_back_as_it_was() {
    let source = full();
    let bytes = stream(&source);
    let mut restored = Memory::default();
    let summary = read(&mut bytes.as_slice(), &mut restored).unwrap();
    assert!(restored.finished && !restored.aborted);
    assert_eq!(restored.items, source.items);
    assert_eq!(restored.header, source.header);
    assert_eq!((summary.seq, summary.counts[&ItemKind::Log]), (Seq(3), 4));
}

#[test]
fn a_store_that_holds_something_is_left_alone() {
    let bytes = stream(&full());
    let mut store = full();
    assert!(matches!(
        read(&mut bytes.as_slice(), &mut store),
        Err(StoreError::Invalid(_))
    ));
    assert!(!store.aborted && store.items == full().items);
}

#[test]
fn cut_and_damaged_streams_never_become_a_store() {
    let mut source = full();
    source.items.retain(|i| i.kind() != ItemKind::Log);
    let bytes = stream(&source);
    for cut in 0..bytes.len() {
        let mut store = Memory::default();
        let error = read(&mut &bytes[..cut], &mut store).unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt(_)),
            "cut at {cut}: {error}"
        );
        assert!(store.items.is_empty() && !store.finished);
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        let mut store = Memory::default();
        assert!(
            read(&mut damaged.as_slice(), &mut store).is_err(),
            "byte {at}"
        );
        assert!(store.items.is_empty() && !store.finished);
    }
}

#[test]
fn items_out_of_order_are_refused_when_written() {
    let mut source = full();
    source.items.reverse();
    assert!(matches!(
        write(&source, &mut Vec::new()),
        Err(StoreError::Invalid(_))
    ));
}

struct Named;
impl Names for Named {
    fn repository(&self, repo: RepoId) -> Option<String> {
        (repo == RepoId(4)).then(|| "personvern".to_owned())
    }
    fn identifier(&self, person: PersonKey) -> Option<(String, String)> {
        Some(("urn:s".to_owned(), person.0.to_string()))
    }
}

fn setting(id: &str) -> Commit {
    let put = Put {
        repo: RepoId(4),
        rtype: "Consent".to_owned(),
        id: PutId::New,
        op: Op::Create,
        body: Bytes::from_static(b"{\"block\":true}"),
        keys: vec![IndexKey {
            param: 1,
            value: vec![7],
        }],
        pack: 1,
        persons: vec![PersonRef::Key(PersonKey(5))],
        privacy: Privacy {
            owner: Some(PersonRef::Key(PersonKey(6))),
            ..Privacy::default()
        },
        blobs: vec![],
    };
    let gone = Put {
        op: Op::Delete,
        id: PutId::Given(id.to_owned()),
        body: Bytes::new(),
        ..put.clone()
    };
    Commit {
        put: vec![put, gone],
        purge: vec![Purge {
            repo: RepoId(4),
            rtype: "Consent".to_owned(),
            id: "unknown".to_owned(),
        }],
        raise: vec![PersonRef::Key(PersonKey(5))],
        alias: vec![Alias::Split {
            from: PersonRef::id("urn:s", "8"),
        }],
        mirror: true,
        ..Commit::default()
    }
}

fn entry(n: u64) -> MirrorEntry {
    let receipt = |id: &str| PutReceipt {
        rid: Rid(1),
        id: id.to_owned(),
        vno: Vno(1),
        seq: Seq(n),
    };
    let done = Committed {
        snapshot: Seq(n),
        at: n as i64,
        puts: vec![receipt("new"), receipt("old")],
        messages: vec![],
    };
    MirrorEntry::of(n, Uuid::from_u128(1), &setting("old"), &done, &Named)
        .unwrap()
        .unwrap()
}

#[test]
fn a_mirrored_commit_is_played_with_names_that_any_store_knows() {
    let commits = entry(1)
        .to_commits(&|name| (name == "personvern").then_some(RepoId(9)))
        .unwrap();
    let [first, delete, purge] = commits.as_slice() else {
        panic!("{}", commits.len())
    };
    assert_eq!(
        (first.put[0].repo, first.put[0].op),
        (RepoId(9), Op::Update)
    );
    assert_eq!(first.put[0].id, PutId::Given("new".to_owned()));
    assert_eq!(first.put[0].body, Bytes::from_static(b"{\"block\":true}"));
    assert_eq!(first.put[0].persons, [PersonRef::id("urn:s", "5")]);
    assert_eq!(
        first.put[0].privacy.owner,
        Some(PersonRef::id("urn:s", "6"))
    );
    assert_eq!(first.raise, [PersonRef::id("urn:s", "5")]);
    assert_eq!(first.alias.len(), 1);
    assert!(!first.mirror);
    assert_eq!(delete.put[0].op, Op::Delete);
    assert_eq!(purge.purge[0].repo, RepoId(9));
    assert!(entry(1).to_commits(&|_| None).is_err());
    let done = Committed {
        snapshot: Seq(1),
        at: 1,
        puts: vec![],
        messages: vec![],
    };
    let plain = Commit {
        mirror: false,
        purge: vec![],
        ..setting("old")
    };
    assert_eq!(
        MirrorEntry::of(1, Uuid::nil(), &plain, &done, &Named),
        Ok(None)
    );
}

#[test]
fn the_mirror_goes_on_after_a_torn_append_and_refuses_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(folder.path(), false).unwrap();
    mirror.append(&[entry(1), entry(2)]).unwrap();
    mirror.append(&[entry(2), entry(3)]).unwrap();
    assert!(mirror.append(&[entry(5)]).is_err());
    drop(mirror);
    let path = folder.path().join("mirror.hnm");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let mut mirror = Mirror::open(folder.path(), false).unwrap();
    assert_eq!(mirror.last(), 2);
    mirror.append(&[entry(3)]).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    let numbers =
        |after| read_after(folder.path(), after).map(|e| e.iter().map(|e| e.n).collect::<Vec<_>>());
    assert_eq!(numbers(1), Ok(vec![2, 3]));
    assert!(
        matches!(numbers(4), Err(StoreError::Corrupt(_))),
        "the backup knows of newer ones"
    );
    let mut damaged = whole.clone();
    damaged[50] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(
        Mirror::open(folder.path(), false).map(|_| ()),
        Err(StoreError::Corrupt(_))
    ));
}

#[test]
fn restore_plays_what_is_newer_or_says_that_it_cannot() {
    let bytes = stream(&full());
    let folder = tempfile::tempdir().unwrap();
    let mut store = Memory::default();
    let refuse = LostSettings::Refuse;
    for place in [None, Some(folder.path())] {
        let none = restore(&mut bytes.as_slice(), &mut store, place, refuse);
        assert!(matches!(none, Err(StoreError::SettingsLost(_))), "{none:?}");
    }
    let mut mirror = Mirror::open(folder.path(), true).unwrap();
    mirror.append(&[entry(1)]).unwrap();
    let lacking = restore(
        &mut bytes.as_slice(),
        &mut store,
        Some(folder.path()),
        refuse,
    );
    assert!(
        matches!(lacking, Err(StoreError::SettingsLost(_))),
        "{lacking:?}"
    );
    assert!(
        store.items.is_empty() && !store.finished,
        "nothing was written"
    );
    mirror.append(&[entry(2), entry(3)]).unwrap();
    let (_, outcome) = restore(
        &mut bytes.as_slice(),
        &mut store,
        Some(folder.path()),
        refuse,
    )
    .unwrap();
    assert_eq!(outcome, MirrorOutcome::Replayed(1));
    assert_eq!(
        store.commits.len(),
        3,
        "one entry: what is new, a deletion, a purge"
    );
    let mut careless = Memory::default();
    let (_, outcome) = restore(
        &mut bytes.as_slice(),
        &mut careless,
        None,
        LostSettings::Accept,
    )
    .unwrap();
    assert_eq!(outcome, MirrorOutcome::Lost);
    // Who never had a second place is told, not kept waiting.
    let mut never = full();
    never.header.mirror = None;
    let (_, outcome) = restore(
        &mut stream(&never).as_slice(),
        &mut Memory::default(),
        None,
        refuse,
    )
    .unwrap();
    assert_eq!(outcome, MirrorOutcome::NotConfigured);
}

#[test]
fn a_new_mirror_goes_on_where_a_lost_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(folder.path(), true).unwrap();
    mirror.append(&[entry(7), entry(8)]).unwrap();
    assert!(mirror.append(&[entry(10)]).is_err());
    drop(mirror);
    assert_eq!(Mirror::open(folder.path(), true).unwrap().last(), 8);
    let newer = read_after(folder.path(), 7).unwrap();
    assert_eq!(newer.iter().map(|e| e.n).collect::<Vec<_>>(), [8]);
    assert!(read_after(folder.path(), 5).is_err(), "6 is lost");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), raw in any::<bool>()) {
        let mut store = Memory::default();
        let mut input = if raw { Vec::new() } else { b"HELSENAV-BACKUP 1\n".to_vec() };
        input.extend(&bytes);
        prop_assert!(read(&mut input.as_slice(), &mut store).is_err());
        prop_assert!(store.items.is_empty());
        if let Some((tag, rest)) = bytes.split_first() {
            let _ = wire::read(tag % 16, &mut &rest[..]);
        }
    }
}
