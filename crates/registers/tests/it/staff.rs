//! Personnel found by words of name and workplace.

use crate::place::{Place, everywhere};
use jiff::civil::date;
use registers::table::Row;
use registers::{
    Authorisation, Directory, Organisation, PersonName, Practitioner, RegisterTable, Workplace,
};

const HOSPITAL: &str = "315900077";
const OFFICE: &str = "999977775";

fn organisation(orgnr: &str, name: &str) -> Row {
    Row::Organisation(Box::new(Organisation {
        orgnr: orgnr.to_owned(),
        name: name.to_owned(),
        kinds: Vec::new(),
        type_code: "101".to_owned(),
        her_id: 1,
        units: Vec::new(),
        approved: true,
        story: None,
    }))
}

fn practitioner(number: u32, given: &str, family: &str, orgnr: &str) -> Practitioner {
    Practitioner {
        hpr: (number != 13).then(|| (9_000_000 + number).to_string()),
        nin: format!("{:011}", 13_116_900_000u64 + u64::from(number)),
        name: PersonName {
            given: given.to_owned(),
            middle: None,
            family: family.to_owned(),
        },
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: date(2010, 1, 1),
            to: None,
            suspended_from: None,
        }],
        speciality: None,
        workplaces: vec![Workplace {
            orgnr_parent: orgnr.to_owned(),
            orgnr_child: orgnr.to_owned(),
            department: None,
            her_id: None,
        }],
        story: (number == 7).then(|| "syv".to_owned()),
    }
}

fn row(practitioner: Practitioner) -> Row {
    Row::Practitioner(Box::new(practitioner))
}

fn table(place: &Place) -> RegisterTable {
    let node = place.open(registers::repositories());
    RegisterTable::open(node.store.clone(), node.grant()).unwrap()
}

/// As the walk over all of them finds.
fn walked(table: &RegisterTable, words: &[&str], limit: usize) -> Vec<Practitioner> {
    let mut all = table.practitioners(usize::MAX);
    all.retain(|p| {
        let works = table.organisation(&p.workplaces[0].orgnr_parent);
        let name = works.map(|o| o.name).unwrap_or_default();
        let text = codes::fold::fold(&format!("{} {name}", p.name.full()));
        p.hpr.is_some() && words.iter().all(|w| text.contains(w))
    });
    all.truncate(limit);
    all
}

#[test]
fn what_the_index_finds_is_what_a_walk_finds() {
    everywhere(|place| {
        let table = table(place);
        let given = ["Åse", "Stian", "Anne Marie", "Per-Ole", "Bjørn"];
        let family = ["Moen", "Moe", "Nordmo", "Hansen", "Østmoen", "Li"];
        let mut rows = vec![
            organisation(HOSPITAL, "Nordlys sykehus HF"),
            organisation(OFFICE, "Moen legesenter"),
        ];
        rows.extend((0..150).map(|n| {
            let place = [HOSPITAL, OFFICE, "888888886"][n as usize % 3];
            row(practitioner(
                n,
                given[n as usize % 5],
                family[n as usize % 6],
                place,
            ))
        }));
        table.import(rows).unwrap();
        for words in [
            &["moen"][..],
            &["mo", "nordlys"],
            &["anne", "li"],
            &["ole"],
            &["n"],
            &["nobody"],
            &["moen", "moen"],
            &[],
        ] {
            for limit in [0, 1, 20, usize::MAX] {
                let found = table.find_practitioners(words, limit);
                assert!(found == walked(&table, words, limit), "{words:?}, {limit}");
            }
        }
        assert!(!table.find_practitioners(&["mo", "nordlys"], 9).is_empty());
    });
}

#[test]
fn a_new_name_is_found_and_the_old_one_not() {
    everywhere(|place| {
        let table = table(place);
        table
            .import(vec![
                organisation(HOSPITAL, "Nordlys sykehus HF"),
                row(practitioner(1, "Stian", "Moen", HOSPITAL)),
            ])
            .unwrap();
        assert_eq!(table.find_practitioners(&["moen"], 9).len(), 1);
        table
            .import(vec![row(practitioner(1, "Stian", "Solberg", HOSPITAL))])
            .unwrap();
        assert!(table.find_practitioners(&["moen"], 9).is_empty());
        assert_eq!(table.find_practitioners(&["solberg"], 9).len(), 1);
        table
            .import(vec![organisation(HOSPITAL, "Sydlys sykehus HF")])
            .unwrap();
        assert!(table.find_practitioners(&["nordlys"], 9).is_empty());
        assert_eq!(table.find_practitioners(&["sydlys", "stian"], 9).len(), 1);
    });
}
