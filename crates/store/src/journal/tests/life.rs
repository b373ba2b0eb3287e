//! A journal's life in any order of events.

use super::*;

/// What may happen to a journal, in any order.
#[derive(Clone, Debug)]
enum Step {
    Read(u8, bool),
    Pending(u8),
    Seal,
    SealAndCrash,
    Reopen,
    Merge(u8, u8),
    Split(u8),
    Head,
    NextDay,
    Erase(u8),
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let person = 0u8..4;
    let step = prop_oneof![
        6 => (person.clone(), any::<bool>()).prop_map(|(p, v)| Step::Read(p, v)),
        3 => person.clone().prop_map(Step::Pending),
        3 => Just(Step::Seal),
        1 => Just(Step::SealAndCrash),
        1 => Just(Step::Reopen),
        1 => (person.clone(), person.clone()).prop_map(|(a, b)| Step::Merge(a, b)),
        1 => person.prop_map(Step::Split),
        1 => Just(Step::Head),
        1 => Just(Step::NextDay),
        1 => any::<u8>().prop_map(Step::Erase),
    ];
    prop::collection::vec(step, 1..60)
}

/// Plays the steps; every entry must be in the journal once, readable, and the whole must verify.
fn play(steps: &[Step]) {
    let mut world = World::new();
    let people = ["a", "b", "c", "d"];
    let ids: Vec<_> = people
        .iter()
        .map(|p| ("urn:test".to_owned(), (*p).to_owned()))
        .collect();
    let keys = world.people.intern(&ids).unwrap();
    let (mut n, mut pending) = (0u128, Vec::<PendingEntry>::new());
    let today = |world: &World| seal::day_of(world.time.load(Ordering::SeqCst)).unwrap();
    for step in steps {
        match step {
            Step::Read(person, visible) => {
                n += 1;
                let mut entry = entry(n, people[usize::from(*person)]);
                entry.citizen_visible = *visible;
                world
                    .journal
                    .audit(entry, Durability::BeforeAnswer)
                    .unwrap();
            }
            Step::Pending(person) => {
                n += 1;
                let recorded_at = world.time.fetch_add(10, Ordering::SeqCst);
                let appended = Appended {
                    entry: entry(n, people[usize::from(*person)]),
                    recorded_at,
                };
                pending.push(PendingEntry {
                    position: n as u64,
                    appended,
                });
            }
            Step::Seal => {
                let sealing = world.journal.seal(&world.people, pending.clone()).unwrap();
                pending.retain(|p| !sealing.consumed.contains(&p.position));
                assert!(pending.is_empty());
            }
            Step::SealAndCrash => {
                let files: Vec<_> = world
                    .segments()
                    .into_iter()
                    .map(|p| (std::fs::read(&p).unwrap(), p))
                    .collect();
                world.journal.seal(&world.people, pending.clone()).unwrap();
                world.journal.close();
                files
                    .iter()
                    .for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap());
                world.reopen();
            }
            Step::Reopen => world.reopen(),
            Step::Merge(a, b) => {
                let (a, b) = (
                    keys[usize::from(*a)],
                    world.people.resolve(keys[usize::from(*b)]).unwrap(),
                );
                if world.people.resolve(a).unwrap() != b {
                    let end = world.people.resolve(a).unwrap();
                    world.people.aliases.lock().unwrap().insert(end, b);
                }
            }
            Step::Split(a) => {
                world
                    .people
                    .aliases
                    .lock()
                    .unwrap()
                    .remove(&keys[usize::from(*a)]);
            }
            Step::Head => {
                world.head(&today(&world), false);
            }
            Step::NextDay => {
                let day = today(&world);
                world.time.fetch_add(24 * HOUR, Ordering::SeqCst);
                world.head(&day, true);
            }
            Step::Erase(which) => {
                let id = Uuid::from_u128(u128::from(*which) % n.max(1) + 1);
                world.journal.erase(id, &["actor.name"]).unwrap();
            }
        }
    }
    world.journal.seal(&world.people, pending).unwrap();
    assert_eq!(world.journal.verify(), Ok(n as u64));
    world.head(&today(&world), false);
    let jwks = world.signer.jwks();
    let mut listed = std::collections::BTreeSet::new();
    for key in &keys {
        for e in world
            .journal
            .journal_of(&world.people, *key, None, 1_000, &[])
            .unwrap()
        {
            listed.insert(e.entry.id.as_u128());
        }
    }
    assert_eq!(
        listed.into_iter().collect::<Vec<_>>(),
        (1..=n).collect::<Vec<_>>()
    );
    for n in 1..=n {
        proof::verify(&world.proof(n, &["actor.name"]), &jwks).unwrap();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 20, ..Default::default() })]
    #[test]
    fn whatever_happens_every_entry_is_sealed_once_and_proven(steps in steps()) {
        play(&steps);
    }
}
