//! Every look-up is in the access journal (spec/privacy.md §9.1).

use super::*;
use grunndata::persons::lookups::{self, Lookup};
use registers::kernel::EntryNo;
use std::sync::atomic::Ordering;
use store::Durability;

/// The look-ups of gathered entries. Waits until there are so many: they are written a moment after the answer.
fn gathered(world: &World, count: usize) -> Vec<Lookup> {
    loop {
        let entries = world.journal.lock().unwrap();
        let found: Vec<Lookup> = entries
            .iter()
            .filter_map(|(entry, _)| lookups::read(entry))
            .flatten()
            .collect();
        if found.len() >= count {
            return found;
        }
        drop(entries);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn entry_no(world: &World, nin: &str) -> EntryNo {
    world.register.number(id(nin)).unwrap().unwrap()
}

#[test]
fn one_line_per_request_with_its_list_of_persons() {
    on_worlds(|world| async move {
        let by_nin = format!("{TREE}/person/get-by-nin?informationParts=Name");
        world.post(&by_nin, &format!("nin={KARI}")).await.ok();
        let bulk = "/api/no-legal-basis/person/bulk-by-nin?informationParts=Name,Birth";
        world
            .post(bulk, &format!("nins={CHILD}&nins={LOST}"))
            .await
            .ok();
        world
            .post(&format!("{TREE}/search/match-count"), "")
            .await
            .ok();
        world.post(&by_nin, "nin=17912099997").await.refused(404);
        let lines = gathered(&world, 4);
        let told: Vec<(&str, u64, Vec<EntryNo>)> = lines
            .iter()
            .map(|l| (l.operation.as_str(), l.count, l.persons.clone()))
            .collect();
        let no = |nin| entry_no(&world, nin);
        for expected in [
            ("get-by-nin", 1, vec![no(KARI)]),
            ("bulk-by-nin", 2, vec![no(CHILD), no(LOST)]),
            ("match-count", 6, vec![]),
            // Nobody was found, but somebody was looked for.
            ("get-by-nin", 0, vec![]),
        ] {
            assert!(told.contains(&expected), "{told:?}");
        }
        let entries = world.journal.lock().unwrap();
        for (entry, durability) in entries.iter() {
            assert_eq!(*durability, Durability::WithinOneSecond);
            assert_eq!(entry.controller, "PT");
            assert_eq!(entry.members["actor.organisation"], "Nordlys sykehus HF");
            assert_eq!(entry.members["client_id"], "epj");
            let text = serde_json::to_string(entry).unwrap();
            for nin in [KARI, CHILD, LOST, "17912099997"] {
                assert!(
                    !text.contains(nin),
                    "persons stand there by their entry numbers"
                );
            }
        }
    });
}

#[test]
fn protected_persons_stand_in_the_journal_before_the_answer() {
    on_worlds(|world| async move {
        for (nin, first) in [
            (KARI, false),
            (CLIENT_ADDRESS, true),
            (CODE_7, true),
            (CODE_6, true),
        ] {
            for tree in ["/api/legal-basis", "/api/no-legal-basis"] {
                world.journal.lock().unwrap().clear();
                let path = format!("{tree}/person/get-by-nin?informationParts=Name");
                world.post(&path, &format!("nin={nin}")).await.ok();
                // The answer is here: no waiting.
                let entries = world.journal.lock().unwrap().clone();
                let durable: Vec<_> = entries
                    .iter()
                    .filter(|(_, durability)| *durability == Durability::BeforeAnswer)
                    .collect();
                assert_eq!(durable.len(), usize::from(first), "{nin} {tree}");
                for (entry, _) in durable {
                    assert_eq!(
                        entry.persons,
                        [store::PersonRef::id(registers::FNR_SYSTEM, nin)]
                    );
                    assert_eq!(entry.members["purpose"], tree.trim_start_matches("/api/"));
                    assert_eq!(entry.members["operation"], "get-by-nin");
                }
            }
        }
    });
}

#[test]
fn without_a_journal_there_is_no_answer() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/person/get-by-nin?informationParts=Name");
        let form = format!("nin={KARI}");
        world.post(&path, &form).await.ok();
        gathered(&world, 1);
        world.broken.store(true, Ordering::SeqCst);
        let protected = world.post(&path, &format!("nin={CODE_6}")).await;
        assert_eq!(protected.headers["retry-after"], "2");
        protected.refused(503);
        // The first look-up is answered, for its line may follow within a second; then the failure is known.
        while world.post(&path, &form).await.status.as_u16() != 503 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        world.broken.store(false, Ordering::SeqCst);
        while world.post(&path, &form).await.status.as_u16() != 200 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let before = world.journal.lock().unwrap().len();
        assert!(
            before >= 2,
            "what could not be written was kept and written later"
        );
    });
}

#[test]
fn who_has_no_right_stands_there_too() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/person/get-by-nin?informationParts=Name");
        let token = world.token(&[access::NO_LEGAL_BASIS], json!({}));
        let request = axum::http::Request::post(format!("{PREFIX}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("api-version", "2")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(axum::body::Body::from(format!("nin={KARI}")));
        world.send(request.unwrap()).await.refused(403);
        let lines = gathered(&world, 1);
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].count, lines[0].persons.len()), (0, 0));
        let entries = world.journal.lock().unwrap();
        let (entry, _) = &entries[0];
        assert_eq!(entry.members["outcome"], "deny");
        assert_eq!(entry.members["client_id"], "epj");
        assert!(!serde_json::to_string(entry).unwrap().contains(KARI));
    });
}
