//! Look-ups reach the citizen as counts by organisation and month (spec/privacy.md §9.1): each once, whatever happens to
//! the job that counts them.

use super::*;
use crate::place::{Place, everywhere};
use grunndata::persons::access::Who;
use grunndata::persons::counted::CountedLooks;
use grunndata::persons::lookups::{Lookup, Lookups};
use jiff::civil::date;
use registers::kernel::EntryNo;
use registers::persons::document::Identifier;
use registers::table::Row;
use registers::{FNR_SYSTEM, Person, PersonName, Protection, RegisterTable, Sex};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::{Alias, AuditEntry, Commit, Durability, PersonRef, RepoKind, RepositoryDecl};
use trust::counted::{CountError, Counting, Folded, counted_until, of_person};
use trust::register::PersonGround;
use trust::{Trust, TrustConfig};

/// 2026-11-30T22:30Z: still November in Oslo.
const NOVEMBER: i64 = 1_796_077_800_000_000;
const HOUR_US: i64 = 3_600_000_000;
const OFFICE: &str = "315900093";

struct Hub {
    trust: Trust,
    table: Arc<RegisterTable>,
    clock: Arc<AtomicI64>,
}

fn someone(nin: &str) -> Row {
    Row::Person(Box::new(Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: PersonName {
            given: "Prøve".to_owned(),
            middle: None,
            family: "Person".to_owned(),
        },
        born: Some(date(1968, 9, 14)),
        sex: Sex::Female,
        address: None,
        protection: Protection::Unclassified,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: None,
        story: None,
    }))
}

impl Hub {
    fn start(place: &Place) -> Self {
        let mut declared = registers::repositories();
        declared.extend(grunndata::repositories());
        for name in [trust::settings::REPOSITORY, trust::counted::REPOSITORY] {
            declared.push(RepositoryDecl::new(name, RepoKind::Patient));
        }
        let node = place.open(declared);
        let table = RegisterTable::open(node.store.clone(), node.grant()).unwrap();
        let table = Arc::new(table);
        let clock = Arc::new(AtomicI64::new(NOVEMBER));
        let now = clock.clone();
        let trust = Trust::new(
            node.store,
            node.mint,
            table.clone(),
            Arc::new(move || now.load(Ordering::SeqCst)),
            TrustConfig::default(),
        );
        Self {
            trust: trust.unwrap(),
            table,
            clock,
        }
    }

    fn no(&self, nin: &str) -> EntryNo {
        let number = Identifier::parse(nin).unwrap().number;
        self.table.persons().find(number).unwrap().unwrap()
    }

    /// Look-ups at the person service: when, and who was shown. Sealed on return.
    fn look(&self, orgnr: &str, looks: &[(i64, &[&str])]) {
        let store = self.trust.store().clone();
        // At once: what may come a moment later would not be sealed yet.
        let append = Arc::new(move |entry, _| store.audit(entry, Durability::BeforeAnswer));
        let lookups = Lookups::start(append, self.table.clone()).unwrap();
        for (at, nins) in looks {
            lookups.add(&who(orgnr), &self.lookup(*at, nins)).unwrap();
        }
        drop(lookups);
        self.trust.store().seal().unwrap();
    }

    fn lookup(&self, at: i64, nins: &[&str]) -> Lookup {
        Lookup {
            at,
            operation: "get-by-nin".to_owned(),
            ground: PersonGround::LegalBasis,
            parts: 1,
            count: nins.len() as u64,
            persons: nins.iter().map(|nin| self.no(nin)).collect(),
        }
    }

    /// An entry that names its persons itself.
    fn named(&self, controller: &str, members: &[(&str, &str)], nins: &[&str]) {
        let entry = AuditEntry {
            id: uuid::Uuid::now_v7(),
            persons: nins.iter().map(|n| PersonRef::id(FNR_SYSTEM, *n)).collect(),
            controller: controller.to_owned(),
            occurred_at: NOVEMBER,
            imported: false,
            citizen_visible: false,
            members: members
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect(),
        };
        let store = self.trust.store();
        store.audit(entry, Durability::BeforeAnswer).unwrap();
        store.seal().unwrap();
    }

    fn count(&self, commits_of: usize) -> Result<Folded, CountError> {
        self.count_until(commits_of, &|| false)
    }

    fn count_until(
        &self,
        commits_of: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Folded, CountError> {
        let reading = CountedLooks::new(self.table.persons().clone());
        let counting = Counting::new(&self.trust, &reading)?;
        counting.with_commits_of(commits_of).run(stop)
    }

    /// `month organisation count` of a person, in the order shown.
    fn shown(&self, nin: &str) -> Vec<String> {
        let snapshot = self.trust.store().snapshot().unwrap();
        let Some(key) = self.trust.person_key(nin).unwrap() else {
            return Vec::new();
        };
        let months = of_person(&self.trust, &snapshot, &self.trust.hub("test"), key).unwrap();
        let lines = months.iter().flat_map(|m| {
            m.organisations.iter().map(|o| {
                format!(
                    "{} {} {}",
                    m.month,
                    o.name.as_deref().unwrap_or("?"),
                    o.count
                )
            })
        });
        lines.collect()
    }
}

fn who(orgnr: &str) -> Who {
    Who {
        client_id: "epj".to_owned(),
        orgnr_parent: orgnr.to_owned(),
        orgnr_child: None,
        hpr: None,
    }
}

fn settled(place: &Place) -> Hub {
    let hub = Hub::start(place);
    let hospital = registers::Organisation {
        orgnr: HOSPITAL.to_owned(),
        name: "Nordlys sykehus HF".to_owned(),
        kinds: vec!["hospital".to_owned()],
        type_code: "101".to_owned(),
        her_id: 1,
        units: Vec::new(),
        approved: true,
        story: None,
    };
    hub.table
        .import(vec![
            Row::Organisation(Box::new(hospital)),
            someone(KARI),
            someone(CHILD),
            someone(DOUBLE),
        ])
        .unwrap();
    hub
}

#[test]
fn look_ups_are_counted_by_organisation_and_month_each_once() {
    everywhere(|place| {
        let hub = settled(place);
        assert!(hub.shown(KARI).is_empty());
        hub.look(
            HOSPITAL,
            &[
                (NOVEMBER, &[KARI]),
                // An hour later it is December in Oslo.
                (NOVEMBER + HOUR_US, &[KARI, CHILD]),
                (NOVEMBER + HOUR_US, &[KARI, KARI]),
            ],
        );
        hub.look(OFFICE, &[(NOVEMBER, &[KARI])]);
        hub.clock.store(NOVEMBER + 2 * HOUR_US, Ordering::SeqCst);
        assert_eq!(hub.count(2_000).unwrap().looks, 5);
        let expected = [
            "2026-12 Nordlys sykehus HF 2",
            &format!("2026-11 {OFFICE} 1"),
            "2026-11 Nordlys sykehus HF 1",
        ];
        assert_eq!(hub.shown(KARI), expected);
        assert_eq!(hub.shown(CHILD), ["2026-12 Nordlys sykehus HF 1"]);
        assert_eq!(hub.count(2_000).unwrap(), Folded::default(), "nothing new");
        let snapshot = hub.trust.store().snapshot().unwrap();
        let until = counted_until(&hub.trust, &snapshot).unwrap();
        assert_eq!(until, Some(NOVEMBER + 2 * HOUR_US));
        drop((snapshot, hub));
        let hub = Hub::start(place);
        assert_eq!(hub.count(2_000).unwrap().looks, 0, "nor after a restart");
        hub.look(OFFICE, &[(NOVEMBER, &[KARI])]);
        assert_eq!(hub.count(2_000).unwrap().looks, 1);
        assert_eq!(
            hub.shown(KARI)[1..],
            [
                format!("2026-11 {OFFICE} 2"),
                "2026-11 Nordlys sykehus HF 1".to_owned()
            ]
        );
    });
}

#[test]
fn a_job_that_is_stopped_anywhere_goes_on_where_it_was() {
    everywhere(|place| {
        let hub = settled(place);
        let mut sum = 0;
        for round in 0..4 {
            let shown: &[&str] = if round % 2 == 0 {
                &[KARI, CHILD, DOUBLE]
            } else {
                &[KARI]
            };
            hub.look(HOSPITAL, &[(NOVEMBER, shown), (NOVEMBER + 1, &[CHILD])]);
            sum += shown.len() as u64 + 1;
        }
        let mut counted = 0;
        // One commit at a time, each of one look-up, as a job that dies after each would make them.
        for _ in 0..100 {
            let steps = Cell::new(0);
            let stop = || steps.replace(steps.get() + 1) > 0;
            counted += hub.count_until(1, &stop).unwrap().looks;
        }
        assert_eq!(counted, sum);
        assert_eq!(hub.shown(KARI), ["2026-11 Nordlys sykehus HF 4"]);
        assert_eq!(hub.shown(CHILD), ["2026-11 Nordlys sykehus HF 6"]);
        assert_eq!(hub.shown(DOUBLE), ["2026-11 Nordlys sykehus HF 2"]);
    });
}

#[test]
fn two_processes_count_every_look_up_once() {
    everywhere(|place| {
        if !place.is_shared() {
            return;
        }
        let first = settled(place);
        let second = &Hub::start(place);
        for _ in 0..5 {
            first.look(HOSPITAL, &[(NOVEMBER, &[KARI]), (NOVEMBER, &[CHILD])]);
        }
        let refused = std::thread::scope(|scope| {
            let run = |hub: &Hub| {
                let mut refused = 0;
                while let Err(CountError::Commit(_)) = hub.count(1) {
                    refused += 1;
                }
                refused
            };
            let other = scope.spawn(move || run(second));
            run(&first) + other.join().unwrap()
        });
        println!("{refused} commits came second");
        for nin in [KARI, CHILD] {
            assert_eq!(first.shown(nin), ["2026-11 Nordlys sykehus HF 5"]);
        }
    });
}

#[test]
fn what_counts_as_a_look_up() {
    everywhere(|place| {
        let hub = settled(place);
        let by = ("actor.orgnr_parent", HOSPITAL);
        let (look, allow, deny) = (
            ("action", "LookUp"),
            ("outcome", "allow"),
            ("outcome", "deny"),
        );
        for (counts, controller, members) in [
            (true, "FLR", [look, allow, by]),
            // The page that finds a person for personnel.
            (true, "PT", [("action", "RegisterLookup"), by, by]),
            (false, "FLR", [look, deny, by]),
            // Its look-up is in the gathered lines too.
            (false, "PT", [look, ("protected", "true"), by]),
            // Has lines of its own on her page.
            (false, "KJ", [look, allow, by]),
            (
                false,
                "FLR",
                [("action", "PatientOnContractCreated"), allow, by],
            ),
        ] {
            hub.named(controller, &members, &[KARI]);
            let counted = hub.count(2_000).unwrap().looks;
            assert_eq!(counted, u64::from(counts), "{controller} {members:?}");
        }
        let store = hub.trust.store().clone();
        // At once: what may come a moment later would not be sealed yet.
        let append = Arc::new(move |entry, _| store.audit(entry, Durability::BeforeAnswer));
        let lookups = Lookups::start(append, hub.table.clone()).unwrap();
        lookups
            .deny(&who(HOSPITAL), &hub.lookup(NOVEMBER, &[KARI]))
            .unwrap();
        drop(lookups);
        hub.trust.store().seal().unwrap();
        assert_eq!(hub.count(2_000).unwrap().looks, 0, "refused");
        assert_eq!(hub.shown(KARI), ["2026-11 Nordlys sykehus HF 2"]);
    });
}

#[test]
fn persons_that_are_one_have_one_count_and_old_months_go() {
    everywhere(|place| {
        let hub = settled(place);
        hub.look(HOSPITAL, &[(NOVEMBER, &[KARI]), (NOVEMBER, &[DOUBLE])]);
        hub.count(2_000).unwrap();
        let alias = Alias::Merge {
            from: PersonRef::id(FNR_SYSTEM, DOUBLE),
            to: PersonRef::id(FNR_SYSTEM, KARI),
        };
        let commit = Commit {
            alias: vec![alias],
            ..Commit::default()
        };
        hub.trust.store().commit(commit).unwrap();
        assert_eq!(hub.shown(KARI), ["2026-11 Nordlys sykehus HF 2"]);
        let months = i64::from(trust::counted::MONTHS_KEPT);
        let later = |months: i64| NOVEMBER + months * 30 * 24 * HOUR_US;
        hub.clock.store(later(months - 2), Ordering::SeqCst);
        assert_eq!(hub.count(2_000).unwrap().purged, 0);
        assert_eq!(hub.shown(KARI).len(), 1);
        hub.clock.store(later(months + 2), Ordering::SeqCst);
        assert_eq!(hub.count(2_000).unwrap().purged, 2);
        assert!(hub.shown(KARI).is_empty());
    });
}
