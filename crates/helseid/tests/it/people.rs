//! A small register of synthetic people and organisations, shared with the example.

use jiff::civil::date;
use registers::directory::{
    Authorisation, Directory, Organisation, Party, Person, PersonName, Practitioner, Protection,
    Sex, Unit, Workplace,
};

/// A doctor: KVART GREVLING of the national test population.
pub const DOCTOR: &str = "06828399789";
/// A person who is no health personnel.
pub const CITIZEN: &str = "15849197352";
/// A person who has died.
pub const DEAD: &str = "05898597468";
/// Legal entity with two units.
pub const MUNICIPALITY: &str = "999977774";
/// Unit of [`MUNICIPALITY`].
pub const NURSING_HOME: &str = "999977776";
/// Legal entity without units.
pub const OFFICE: &str = "313325016";
/// A supplier.
pub const SUPPLIER: &str = "313745392";

/// The register.
#[derive(Default)]
pub struct People;

fn name(given: &str, family: &str) -> PersonName {
    PersonName {
        given: given.to_owned(),
        middle: None,
        family: family.to_owned(),
    }
}

fn named(pid: &str) -> Option<PersonName> {
    match pid {
        DOCTOR => Some(name("KVART", "GREVLING")),
        CITIZEN => Some(name("LIVSTRETT", "BEVER")),
        DEAD => Some(name("GRØNN", "VITS")),
        _ => None,
    }
}

impl Directory for People {
    fn person(&self, nin: &str) -> Option<Person> {
        Some(Person {
            nin: nin.to_owned(),
            historic: Vec::new(),
            name: named(nin)?,
            born: Some(date(1983, 2, 6)),
            sex: Sex::Female,
            address: None,
            protection: Protection::Unclassified,
            died: (nin == DEAD).then(|| date(2020, 1, 1)),
            language: None,
            relations: Vec::new(),
            gp: None,
            story: None,
        })
    }

    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        (hpr == "565505933").then(|| self.practitioner_by_nin(DOCTOR))?
    }

    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner> {
        (nin == DOCTOR).then(|| Practitioner {
            hpr: Some("565505933".to_owned()),
            nin: nin.to_owned(),
            name: name("KVART", "GREVLING"),
            authorisations: vec![Authorisation {
                role: "LE".to_owned(),
                from: date(2010, 1, 1),
                to: None,
                suspended_from: None,
            }],
            speciality: None,
            workplaces: vec![Workplace {
                orgnr_parent: MUNICIPALITY.to_owned(),
                orgnr_child: NURSING_HOME.to_owned(),
                department: None,
                her_id: None,
            }],
            story: None,
        })
    }

    fn practitioners_of(&self, _: &str, _: usize) -> Vec<Practitioner> {
        self.practitioners(10)
    }

    fn party(&self, _: u32) -> Option<Party> {
        None
    }

    fn parties_of(&self, _: &str) -> Vec<Party> {
        Vec::new()
    }

    fn top_parties(&self) -> Vec<Party> {
        Vec::new()
    }

    fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        self.organisations(10)
            .into_iter()
            .find(|one| one.orgnr == orgnr || one.units.iter().any(|unit| unit.orgnr == orgnr))
    }

    fn organisations(&self, _: usize) -> Vec<Organisation> {
        let organisation = |orgnr: &str, name: &str, units: &[(&str, &str)]| Organisation {
            orgnr: orgnr.to_owned(),
            name: name.to_owned(),
            kinds: Vec::new(),
            type_code: "1".to_owned(),
            her_id: 1,
            units: units
                .iter()
                .map(|(orgnr, name)| Unit {
                    orgnr: (*orgnr).to_owned(),
                    name: (*name).to_owned(),
                    type_code: None,
                })
                .collect(),
            approved: true,
            story: None,
        };
        vec![
            organisation(
                MUNICIPALITY,
                "Granfjelldal kommune",
                &[
                    (NURSING_HOME, "Granfjelldal bo- og omsorgssenter"),
                    ("999977775", "Granfjelldal legekontor"),
                ],
            ),
            organisation(OFFICE, "Hansens legekontor AS", &[]),
            organisation(SUPPLIER, "Acme EPJ", &[]),
        ]
    }

    fn search_persons(&self, query: &str, limit: usize) -> Vec<Person> {
        [DOCTOR, CITIZEN, DEAD]
            .into_iter()
            .filter_map(|pid| self.person(pid))
            .filter(|person| {
                person
                    .name
                    .full()
                    .to_lowercase()
                    .contains(&query.to_lowercase())
            })
            .take(limit)
            .collect()
    }

    fn story_persons(&self) -> Vec<Person> {
        Vec::new()
    }

    fn practitioners(&self, _: usize) -> Vec<Practitioner> {
        self.practitioner_by_nin(DOCTOR).into_iter().collect()
    }
}
