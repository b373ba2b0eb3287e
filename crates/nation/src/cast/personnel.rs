//! Fixed personnel.

use codes::ident::Sex::{Female, Male};
use codes::ident::{HerId, HprNumber, Nin, Sex};
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{address, day, name, person_id};
use crate::NationError;
use crate::model::{
    Authorisation, Digital, KjStanding, Marital, Organisation, Person, Practitioner, Protection,
    Speciality, Status, Workplace,
};

pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) given: &'static str,
    pub(crate) family: &'static str,
    born: (i16, i8, i8),
    sex: Sex,
    pub(crate) hpr: Option<u32>,
    role: &'static str,
    speciality: Option<Speciality>,
    /// Key of the organisation; empty for none.
    pub(crate) organisation: &'static str,
    /// Which sub unit.
    unit: usize,
    department: Option<&'static str>,
    pub(crate) her_id: Option<u32>,
    /// Key of the fixed person who this is, when already there.
    same_as: Option<&'static str>,
    postcode: &'static str,
    what: &'static str,
}

const GENERAL_PRACTICE: Option<Speciality> = speciality("1", "Allmennmedisin");
const CARDIOLOGY: Option<Speciality> = speciality("195", "Hjertesykdommer");

const fn speciality(code: &'static str, name: &'static str) -> Option<Speciality> {
    Some(Speciality {
        code: Some(code),
        name,
    })
}

const BASE: Row = Row {
    key: "",
    given: "",
    family: "",
    born: (1980, 1, 1),
    sex: Female,
    hpr: None,
    role: "LE",
    speciality: None,
    organisation: "nordlys",
    unit: 0,
    department: None,
    her_id: None,
    same_as: None,
    postcode: "9019",
    what: "",
};

/// In the order in which they draw their numbers.
pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "solberg",
        given: "Anders",
        family: "Solberg",
        born: (1974, 3, 12),
        sex: Male,
        hpr: Some(565_900_011),
        speciality: GENERAL_PRACTICE,
        organisation: "fjordglott",
        her_id: Some(8_900_101),
        what: "GP of blokk and hjerte",
        ..BASE
    },
    Row {
        key: "eide",
        given: "Marianne",
        family: "Eide",
        born: (1989, 5, 29),
        hpr: Some(565_900_012),
        organisation: "fjordglott",
        her_id: Some(8_900_102),
        what: "Substitute on an absent doctor's list",
        ..BASE
    },
    Row {
        key: "amundsen",
        given: "Per",
        family: "Amundsen",
        born: (1961, 2, 17),
        sex: Male,
        hpr: Some(565_900_013),
        speciality: GENERAL_PRACTICE,
        organisation: "fjordglott",
        her_id: Some(8_900_103),
        what: "GP of allergi and seksten",
        ..BASE
    },
    Row {
        key: "bakken",
        given: "Silje",
        family: "Bakken",
        born: (1991, 10, 2),
        hpr: Some(565_900_015),
        role: "HE",
        organisation: "fjordglott",
        what: "Medical secretary: writes referrals, may not register critical information",
        ..BASE
    },
    Row {
        key: "somby",
        given: "Ravdna",
        family: "Somby",
        born: (1981, 8, 8),
        hpr: Some(565_900_014),
        speciality: GENERAL_PRACTICE,
        organisation: "karasjok",
        her_id: Some(8_900_201),
        postcode: "9730",
        what: "GP of diabetes, speaks Sami",
        ..BASE
    },
    Row {
        key: "saether",
        given: "Ragnhild",
        family: "Sæther",
        born: (1970, 6, 15),
        hpr: Some(565_900_021),
        speciality: CARDIOLOGY,
        department: Some("Hjertesykdommer"),
        what: "Treats blokk and hjerte",
        ..BASE
    },
    Row {
        key: "moen",
        given: "Stian",
        family: "Moen",
        born: (1972, 12, 21),
        sex: Male,
        hpr: Some(565_900_022),
        speciality: CARDIOLOGY,
        department: Some("Hjertesykdommer"),
        what: "Looks without a reason; gets blocked",
        ..BASE
    },
    Row {
        key: "knutsen",
        given: "Fredrik",
        family: "Knutsen",
        born: (1985, 1, 7),
        sex: Male,
        hpr: Some(565_900_023),
        department: Some("Indremedisin, akuttmottak"),
        what: "Emergency access",
        ..BASE
    },
    Row {
        key: "haugland",
        given: "Eirik",
        family: "Haugland",
        born: (1993, 7, 24),
        sex: Male,
        hpr: Some(565_900_024),
        role: "SP",
        department: Some("Hjertesykdommer"),
        what: "Nurse at the heart clinic",
        ..BASE
    },
    Row {
        key: "myhre",
        given: "Tone",
        family: "Myhre",
        born: (1983, 4, 18),
        hpr: Some(565_900_025),
        role: "SP",
        department: Some("Indremedisin, akuttmottak"),
        what: "Ward nurse: messages to home care",
        ..BASE
    },
    Row {
        key: "berg",
        given: "Ida Kristine",
        family: "Berg",
        born: (1996, 2, 11),
        hpr: Some(565_900_026),
        department: Some("Indremedisin, akuttmottak"),
        same_as: Some("allergi"),
        what: "Is patient and personnel: the two must never mix",
        ..BASE
    },
    Row {
        key: "iversen",
        given: "Olav",
        family: "Iversen",
        born: (1968, 5, 5),
        sex: Male,
        hpr: Some(565_900_027),
        speciality: speciality("192", "Endokrinologi"),
        department: Some("Endokrinologi"),
        what: "Video consultation",
        ..BASE
    },
    Row {
        key: "pedersen",
        given: "Maria",
        family: "Pedersen",
        born: (1984, 9, 19),
        hpr: Some(565_900_028),
        speciality: speciality("3", "Barnesykdommer"),
        department: Some("Barnesykdommer"),
        what: "Treats barn",
        ..BASE
    },
    Row {
        key: "aas",
        given: "Heidi",
        family: "Aas",
        born: (1979, 11, 11),
        hpr: Some(565_900_029),
        role: "BI",
        organisation: "isbre",
        what: "Takes and analyses blood",
        ..BASE
    },
    Row {
        key: "lien",
        given: "Nina",
        family: "Lien",
        born: (1966, 8, 28),
        hpr: Some(565_900_031),
        speciality: speciality("31", "Medisinsk biokjemi"),
        organisation: "isbre",
        what: "Signs results",
        ..BASE
    },
    Row {
        key: "holm",
        given: "Camilla",
        family: "Holm",
        born: (1990, 2, 6),
        hpr: Some(565_900_041),
        role: "FA1",
        organisation: "havna",
        what: "Dispenses",
        ..BASE
    },
    Row {
        key: "nygard",
        given: "Elin",
        family: "Nygård",
        born: (1976, 9, 3),
        hpr: Some(565_900_051),
        role: "SP",
        organisation: "tromso",
        department: Some("Sykepleietjeneste"),
        what: "Home care of hjerte",
        ..BASE
    },
    Row {
        key: "lie",
        given: "Astrid",
        family: "Lie",
        born: (1982, 12, 30),
        hpr: Some(565_900_052),
        role: "JO",
        what: "Midwife: birth notification",
        ..BASE
    },
    Row {
        key: "henriksen",
        given: "Ingrid",
        family: "Henriksen",
        born: (1969, 10, 10),
        hpr: Some(565_900_053),
        organisation: "tromso",
        unit: 1,
        department: Some("Smittevern"),
        what: "Infection control",
        ..BASE
    },
    Row {
        key: "jakobsen",
        given: "Rune",
        family: "Jakobsen",
        born: (1980, 3, 3),
        sex: Male,
        hpr: Some(565_900_071),
        role: "SP",
        organisation: "amk",
        what: "Emergency calls",
        ..BASE
    },
    Row {
        key: "moe",
        given: "Kristin",
        family: "Moe",
        born: (1975, 7, 7),
        hpr: Some(565_900_062),
        role: "PS",
        department: Some("Psykisk helsevern for barn og unge"),
        what: "Hidden note about seksten",
        ..BASE
    },
    Row {
        key: "svendsen",
        given: "Henrik",
        family: "Svendsen",
        born: (1987, 1, 16),
        sex: Male,
        hpr: Some(565_900_061),
        role: "TL",
        organisation: "",
        what: "Dentist whose authorisation is suspended: login works, access is refused",
        ..BASE
    },
    Row {
        key: "andersen",
        given: "Tore",
        family: "Andersen",
        born: (1977, 6, 6),
        sex: Male,
        role: "",
        organisation: "navet",
        what: "Hub operator: must never see health content",
        ..BASE
    },
];

pub(crate) fn hpr(key: &str) -> Option<HprNumber> {
    ROWS.iter()
        .find(|r| r.key == key)
        .and_then(|r| r.hpr)
        .map(HprNumber)
}

pub(crate) fn full_name(row: &Row) -> String {
    format!("{} {}", row.given, row.family)
}

/// Makes the personnel, adding those who are not there yet to `persons`.
pub(crate) fn build(
    anchor: Date,
    organisations: &[Organisation],
    persons: &mut Vec<Person>,
    mut draw: impl FnMut(Date, Sex) -> Result<Nin, NationError>,
) -> Result<Vec<Practitioner>, NationError> {
    let mut practitioners = Vec::new();
    for row in ROWS {
        let (y, m, d) = row.born;
        let born = Date::new(y, m, d).map_err(|_| NationError::Anchor)?;
        let known = row
            .same_as
            .and_then(|key| persons.iter().find(|p| p.key == Some(key)));
        let (id, nin) = match known {
            Some(person) => (person.id, person.nin),
            None => {
                let nin = draw(born, row.sex)?;
                let id = person_id(persons.len());
                persons.push(citizen(row, persons.len(), born, nin));
                (id, nin)
            }
        };
        practitioners.push(Practitioner {
            key: Some(row.key),
            hpr: row.hpr.map(HprNumber),
            person: id,
            nin,
            name: name(row.given, "", row.family),
            born,
            authorisations: authorisations(row, born, anchor)?,
            speciality: row.speciality,
            workplaces: workplaces(row, organisations),
            what: Some(row.what),
        });
    }
    Ok(practitioners)
}

/// Personnel are citizens, too.
fn citizen(row: &Row, at: usize, born: Date, nin: Nin) -> Person {
    let streets = codes::names::streets();
    let street = streets
        .get(at * 7 % streets.len().max(1))
        .copied()
        .unwrap_or("Storgata");
    Person {
        id: person_id(at),
        key: Some(row.key),
        story: None,
        what: None,
        nin,
        historic: Vec::new(),
        name: name(row.given, "", row.family),
        born,
        sex: row.sex,
        status: Status::Resident,
        died: None,
        address: address(&format!("{street} {}", at % 60 + 1), row.postcode),
        protection: Protection::Unclassified,
        protected_since: None,
        household: 100 + u32::try_from(at).unwrap_or(0),
        nursing_home: false,
        languages: if row.key == "somby" {
            vec!["se", "nb"]
        } else {
            vec!["nb"]
        },
        marital: Marital::Unmarried,
        relations: Vec::new(),
        guardianships: Vec::new(),
        powers: Vec::new(),
        gp: None,
        hpr: row.hpr.map(HprNumber),
        digital: Digital::Full,
        kjernejournal: KjStanding::Normal,
    }
}

fn authorisations(row: &Row, born: Date, anchor: Date) -> Result<Vec<Authorisation>, NationError> {
    if row.hpr.is_none() {
        return Ok(Vec::new());
    }
    let from = born
        .checked_add(26.years().months(5))
        .map_err(|_| NationError::Anchor)?;
    Ok(vec![Authorisation {
        role: row.role,
        from,
        to: None,
        suspended_from: if row.key == "svendsen" {
            Some(day(anchor, -30)?)
        } else {
            None
        },
    }])
}

fn workplaces(row: &Row, organisations: &[Organisation]) -> Vec<Workplace> {
    organisations
        .iter()
        .filter(|o| o.key == Some(row.organisation))
        .map(|o| Workplace {
            parent: o.orgnr,
            child: o.units.get(row.unit).map_or(o.orgnr, |u| u.orgnr),
            department: row.department,
            her_id: row.her_id.map(HerId),
        })
        .collect()
}
