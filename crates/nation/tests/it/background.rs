//! The statistical nation: structure, uniqueness, repeatability, size.

use std::collections::{HashMap, HashSet};

use nation::model::{Person, Protection, RelationKind, Status};
use nation::{Nation, Params, PersonId};

const WEIGHTS: [i64; 20] = [
    49, 54, 58, 60, 60, 64, 71, 69, 66, 63, 68, 66, 60, 54, 48, 43, 26, 13, 6, 2,
];

fn nation(population: usize, seed: u64) -> Nation {
    Nation::generate(&Params {
        population,
        seed,
        ..Params::default()
    })
    .unwrap()
}

/// Checks the nation's promises; gives back its persons.
fn check(nation: &Nation) -> Vec<Person> {
    let d = nation.anchor();
    let mut persons = nation.fixed_persons().to_vec();
    let mut practitioners = nation.fixed_practitioners().to_vec();
    for cell in nation.cells() {
        persons.extend(cell.persons);
        practitioners.extend(cell.practitioners);
    }
    let by_id: HashMap<PersonId, &Person> = persons.iter().map(|p| (p.id, p)).collect();
    assert_eq!(by_id.len(), persons.len(), "a person number twice");
    let mut numbers = HashSet::new();
    let mut oldest_of_household: HashMap<u32, i16> = HashMap::new();
    for p in &persons {
        assert!(numbers.insert(p.nin), "{p:?}: number twice");
        for h in &p.historic {
            assert!(numbers.insert(h.nin), "{p:?}: historic number twice");
        }
        if p.status != Status::Deceased {
            let eldest = oldest_of_household.entry(p.household).or_default();
            *eldest = (*eldest).max(p.age_on(d));
        }
    }
    let lists: HashSet<u32> = nation.gp_lists().map(|l| l.id).collect();
    for p in &persons {
        if p.is_resident() && p.age_on(d) < 18 {
            assert!(
                oldest_of_household[&p.household] >= 18,
                "{p:?} lives without an adult"
            );
        }
        for r in &p.relations {
            let other = by_id[&r.other];
            assert_eq!(other.nin, r.nin, "{p:?}");
            if matches!(r.kind, RelationKind::Mother | RelationKind::Father) {
                let years = other.age_on(p.born);
                assert!(
                    (15..=55).contains(&years),
                    "{p:?}: parent {years} years older"
                );
                assert!(
                    other.related(RelationKind::Child).any(|c| c.other == p.id),
                    "{p:?}"
                );
            }
            if matches!(r.kind, RelationKind::Spouse | RelationKind::Partner) {
                assert!(
                    other
                        .relations
                        .iter()
                        .any(|b| b.other == p.id && b.kind == r.kind),
                    "{p:?}"
                );
            }
        }
        let expected = p.is_resident() && p.key != Some("id-no-gp");
        assert_eq!(p.gp.is_some(), expected, "{p:?}");
        if let Some(gp) = &p.gp {
            assert!(lists.contains(&gp.list));
            assert!(
                gp.hpr.is_none() || gp.hpr != p.hpr,
                "{p:?} is on a list of their own"
            );
        }
        if p.protection == Protection::StrictlyConfidential {
            assert!(p.address.is_none());
        }
        assert!(!p.name.given.is_empty() && !p.name.family.is_empty());
    }
    let mut hprs = HashSet::new();
    for practitioner in &practitioners {
        assert!(practitioner.hpr.is_none_or(|h| hprs.insert(h)));
        assert_eq!(by_id[&practitioner.person].nin, practitioner.nin);
    }
    for list in nation.gp_lists() {
        assert!(
            list.doctor.is_none_or(|h| hprs.contains(&h)),
            "list {} without its doctor",
            list.id
        );
        assert!(
            list.her_id_on(d).is_some(),
            "list {} cannot be reached",
            list.id
        );
    }
    let mut orgnrs = HashSet::new();
    for o in nation.organisations() {
        assert!(o.part_of.is_some() || orgnrs.insert(o.orgnr), "{}", o.orgnr);
        assert!(
            o.units.iter().all(|u| orgnrs.insert(u.orgnr)),
            "{}",
            o.orgnr
        );
    }
    if nation.params().population >= 1_000 {
        let inhabited: HashSet<&str> = persons
            .iter()
            .filter_map(|p| p.address.as_ref())
            .map(|a| a.municipality)
            .collect();
        for m in nation.inhabited() {
            assert!(inhabited.contains(m), "nobody lives in {m}");
        }
    }
    if nation.params().population < 10_000 {
        let findable: HashSet<_> = nation.address_index().map(|(_, nin)| nin).collect();
        for p in persons
            .iter()
            .filter(|p| p.protection != Protection::Unclassified)
        {
            assert!(!findable.contains(&p.nin), "{p:?} can be found by address");
        }
    }
    persons
}

#[test]
fn nations_of_every_size_are_sound() {
    for population in [0, 80, 300, 1_000, 2_000, 2_700] {
        check(&nation(population, 1));
    }
    check(&nation(2_000, 99));
}

#[test]
fn a_hundred_thousand_persons() {
    let nation = nation(100_000, 1);
    let persons = check(&nation);
    let d = nation.anchor();
    let mut groups = [0_i64; 20];
    let mut living = 0;
    let mut levels: HashMap<Protection, u32> = HashMap::new();
    let mut households: HashMap<u32, u32> = HashMap::new();
    let mut list_sizes: HashMap<u32, u32> = HashMap::new();
    let (mut adults, mut together) = (0, 0);
    for p in persons.iter().filter(|p| p.died.is_none()) {
        living += 1;
        let age = p.age_on(d);
        groups[usize::try_from(age / 5).unwrap().min(19)] += 1;
        *levels.entry(p.protection).or_default() += 1;
        *households.entry(p.household).or_default() += 1;
        if let Some(gp) = &p.gp {
            *list_sizes.entry(gp.list).or_default() += 1;
        }
        if (30..=70).contains(&age) {
            adults += 1;
            let partner = p
                .relations
                .iter()
                .any(|r| matches!(r.kind, RelationKind::Spouse | RelationKind::Partner));
            together += i32::from(partner);
        }
    }
    assert!((99_990..=100_010).contains(&living), "{living}");
    for (group, (got, per_thousand)) in groups.iter().zip(WEIGHTS).enumerate() {
        let off = (got - living * per_thousand / 1_000).abs();
        assert!(
            off <= living * 15 / 10_000,
            "group {group}: {got} instead of {}",
            living * per_thousand / 1_000
        );
    }
    for level in [
        Protection::ClientAddress,
        Protection::Confidential,
        Protection::StrictlyConfidential,
    ] {
        assert!(
            (5..80).contains(&levels[&level]),
            "{level:?}: {}",
            levels[&level]
        );
    }
    assert_eq!(nation.inhabited().count(), 357);
    let sizes =
        |n: u32| households.values().filter(|s| **s == n).count() * 1_000 / households.len();
    println!(
        "households per mille by size: {:?}",
        (1..=7).map(sizes).collect::<Vec<_>>()
    );
    assert!((360..460).contains(&sizes(1)), "alone: {}", sizes(1));
    assert!((230..345).contains(&sizes(2)), "two: {}", sizes(2));
    let share = together * 100 / adults;
    println!("in relationships: {share} %");
    assert!(
        (70..86).contains(&share),
        "{share} % of adults live together"
    );
    let mean = list_sizes.values().sum::<u32>() / u32::try_from(list_sizes.len()).unwrap();
    println!("mean GP list: {mean}");
    assert!((850..1_250).contains(&mean), "{mean}");
    let personnel = persons.iter().filter(|p| p.hpr.is_some()).count();
    assert!((6_000..6_800).contains(&personnel), "{personnel}");
}

#[test]
fn the_same_again_and_another_seed() {
    let digest = |n: &Nation| {
        let persons: Vec<Person> = n.persons().collect();
        let staff: Vec<_> = n.practitioners().collect();
        let organisations: Vec<_> = n.organisations().collect();
        serde_json::to_string(&(persons, staff, organisations)).unwrap()
    };
    assert_eq!(digest(&nation(2_000, 1)), digest(&nation(2_000, 1)));
    let (one, two) = (nation(2_000, 1), nation(2_000, 2));
    for (a, b) in one.fixed_persons().iter().zip(two.fixed_persons()) {
        assert_eq!((a.nin, &a.name, a.born), (b.nin, &b.name, b.born));
    }
    let key = |p: &Person| (p.nin, p.name.full());
    let first: HashSet<_> = one.background().map(|p| key(&p)).collect();
    let same = two.background().filter(|p| first.contains(&key(p))).count();
    assert!(
        same <= 2,
        "{same} background persons are the same under another seed"
    );
}

#[test]
fn birthdays_are_all_year_and_siblings_have_names_of_their_own() {
    let nation = nation(2_000, 1);
    let persons: Vec<Person> = nation.background().collect();
    let by_id: HashMap<PersonId, &Person> = persons.iter().map(|p| (p.id, p)).collect();
    let mut months = [0_u32; 12];
    for p in &persons {
        months[usize::try_from(p.born.month()).unwrap() - 1] += 1;
        let children: Vec<&Person> = p
            .related(RelationKind::Child)
            .map(|r| by_id[&r.other])
            .collect();
        let names: HashSet<&str> = children.iter().map(|c| c.name.given.as_str()).collect();
        assert_eq!(
            names.len(),
            children.len(),
            "{p:?}: two children of one name"
        );
    }
    let (fewest, most) = (months.iter().min().unwrap(), months.iter().max().unwrap());
    assert!(most < &(fewest * 2), "{months:?}");
}

#[test]
fn one_person_can_be_made_alone() {
    let nation = nation(20_000, 1);
    for (at, p) in nation.persons().enumerate().step_by(997) {
        assert_eq!(nation.person(p.id).unwrap(), p, "person {at}");
    }
    assert!(nation.person(PersonId(u32::MAX)).is_none());
}

#[test]
fn the_whole_country_can_be_planned_and_any_cell_made() {
    let nation = nation(5_500_000, 1);
    assert!(nation.cell_count() > 5_490);
    let mut numbers = HashSet::new();
    for cell in [0, 1, 2_000, 2_001, nation.cell_count() - 1] {
        let made = nation.cell(cell);
        assert!(made.persons.len() > 900);
        assert!(made.persons.iter().all(|p| numbers.insert(p.nin)));
    }
    let organisations = nation.organisations().count();
    let parties: usize = nation.organisations().map(|o| 1 + o.parties.len()).sum();
    println!(
        "{organisations} organisations, {parties} parties, {} lists",
        nation.gp_lists().count()
    );
    assert!((20_000..21_000).contains(&organisations));
    assert!((60_000..62_000).contains(&parties));
    assert!((5_000..5_600).contains(&nation.gp_lists().count()));
}
