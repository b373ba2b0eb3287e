//! A person as the rest of the house sees her ([`crate::directory::Person`]), made from a row; and the way back, for
//! whoever has nothing but such a person.
//!
//! GP relation and story are not the person register's: whoever has them adds them.

use super::codes::{
    AddressForm, FamilyRole, Gender, GuardianshipScope, GuardianshipType, OtherPart, PersonStatus,
    ProtectionLevel, ResponsibilityType,
};
use super::document::{
    Address, Birth, FamilyRelation, Guardianship, Identifier, Name, PersonDocument, Responsibility,
};
use super::life;
use super::row::Row;
use crate::directory::{self, Known, PersonName, Protection, Relation, RelationKind, Sex};
use crate::kernel::identifiers::Packed;
use crate::kernel::period::{Moment, Period};
use crate::kernel::timeline::{Held, Origin, Timeline};

/// The identifier under which the entry of a row is known today, as text.
#[must_use]
pub fn leading(row: Row<'_>) -> Option<String> {
    let all: Vec<Identifier> = row.identifiers().map(|h| h.value).collect();
    life::best(all.iter()).map(|number| number.text(11))
}

/// How a number that led to this row stands.
#[must_use]
pub fn known(row: Row<'_>, number: &str) -> Known {
    match leading(row) {
        Some(current) if current == number => Known::Current,
        Some(current) => Known::Historic(current),
        None => Known::Nobody,
    }
}

/// The person of a row at an instant. `None` when there is no identifier at all.
#[must_use]
pub fn person(row: Row<'_>, now: Moment) -> Option<directory::Person> {
    let nin = leading(row)?;
    let mut historic: Vec<String> = Vec::new();
    for held in row.identifiers() {
        let text = held.value.text();
        if text != nin && !historic.contains(&text) {
            historic.push(text);
        }
    }
    let d = row.document();
    let protection = protection(d.protection_at(now));
    let home = d.residential.one_at(now).filter(|_| {
        // None is stored; a row made before the protection began may still have one.
        protection != Protection::StrictlyConfidential
    });
    Some(directory::Person {
        relations: relations(&d, now),
        nin,
        historic,
        name: d.name.one_at(now).map_or_else(PersonName::default, name),
        born: d.birth.one_at(now).and_then(|b| b.date),
        sex: match d.gender.one_at(now) {
            Some(Gender::Male) => Sex::Male,
            _ => Sex::Female,
        },
        address: home.map(address),
        protection,
        died: d.death.one_at(now).copied(),
        language: d
            .other
            .get(&OtherPart::CommonContactRegisterInformation)
            .and_then(|line| line.one_at(now))
            .and_then(|contact| contact.get("language"))
            .and_then(|language| language.as_str())
            .map(str::to_owned),
        gp: None,
        story: None,
    })
}

fn name(name: &Name) -> PersonName {
    PersonName {
        given: name.given.clone(),
        middle: name.middle.clone(),
        family: name.family.clone(),
    }
}

fn protection(level: ProtectionLevel) -> Protection {
    match level {
        ProtectionLevel::Unclassified => Protection::Unclassified,
        ProtectionLevel::ClientAddress => Protection::ClientAddress,
        ProtectionLevel::Confidential => Protection::Confidential,
        ProtectionLevel::StrictlyConfidential => Protection::StrictlyConfidential,
    }
}

fn address(home: &Address) -> directory::Address {
    directory::Address {
        street: home.line().trim_end().to_owned(),
        postcode: format!("{:04}", home.postcode),
        place: home.place.clone(),
        municipality: format!("{:04}", home.municipality),
    }
}

fn relations(d: &PersonDocument, now: Moment) -> Vec<Relation> {
    let relation = |kind, other: Option<Packed>| {
        other.map(|number| Relation {
            kind,
            nin: number.text(11),
        })
    };
    let family = d.family.at(now).filter_map(|r| {
        let kind = match r.value.role {
            FamilyRole::Mother | FamilyRole::CoMother => RelationKind::Mother,
            FamilyRole::Father => RelationKind::Father,
            FamilyRole::Child => RelationKind::Child,
            FamilyRole::SpouseOrPartner => RelationKind::Spouse,
            FamilyRole::Sibling | FamilyRole::StillbornChild => RelationKind::Family,
        };
        relation(kind, r.value.person)
    });
    let responsible = d
        .parental
        .at(now)
        .filter_map(|r| relation(RelationKind::ParentalResponsibility, r.value.responsible));
    // Only a guardianship that covers personal interests says anything about health.
    let guardians = d
        .guardianship
        .at(now)
        .filter(|g| g.value.personal)
        .filter_map(|g| relation(RelationKind::Guardian, g.value.guardian));
    family.chain(responsible).chain(guardians).collect()
}

/// When the register learnt of a death that it holds now.
#[must_use]
pub fn death_registered(row: Row<'_>, now: Moment) -> Option<Moment> {
    let death = row.document().death;
    let held = death.all().find(|held| held.holds_at(now))?;
    Some(held.origin.registered)
}

/// A document that says what the person says, with no history: everything since birth. `None` when the identifier is not
/// one.
#[must_use]
pub fn document(person: &directory::Person) -> Option<PersonDocument> {
    let mut d = PersonDocument::default();
    let from = person.born.map_or(Moment(0), Moment::of_day);
    d.identifiers
        .push(line(Identifier::parse(&person.nin)?, from));
    for old in &person.historic {
        let old = Identifier {
            in_use: false,
            ..Identifier::parse(old)?
        };
        d.identifiers.push(line(old, from));
    }
    d.name = one(
        Name {
            given: person.name.given.clone(),
            middle: person.name.middle.clone(),
            family: person.name.family.clone(),
        },
        from,
    );
    let birth = Birth {
        date: person.born,
        ..Birth::default()
    };
    d.birth = one(birth, from);
    d.gender = one(
        match person.sex {
            Sex::Female => Gender::Female,
            Sex::Male => Gender::Male,
        },
        from,
    );
    let status = match person.died {
        Some(_) => PersonStatus::Deceased,
        None => PersonStatus::Resident,
    };
    d.status = one(status, from);
    d.death = person.died.map(|day| line(day, from)).into_iter().collect();
    let level = match person.protection {
        Protection::Unclassified => ProtectionLevel::Unclassified,
        Protection::ClientAddress => ProtectionLevel::ClientAddress,
        Protection::Confidential => ProtectionLevel::Confidential,
        Protection::StrictlyConfidential => ProtectionLevel::StrictlyConfidential,
    };
    d.protection = one(level, from);
    if let Some(home) = &person.address {
        d.residential = one(stored_address(home, level), from);
    }
    for relation in &person.relations {
        relate(&mut d, relation, from)?;
    }
    if let Some(language) = &person.language {
        d.other.insert(
            OtherPart::CommonContactRegisterInformation,
            one(serde_json::json!({ "language": language }), from),
        );
    }
    Some(d)
}

fn relate(d: &mut PersonDocument, relation: &Relation, from: Moment) -> Option<()> {
    let other = Some(Packed::digits(&relation.nin)?);
    let family = |role| FamilyRelation {
        person: other,
        role,
        mine: None,
    };
    match relation.kind {
        RelationKind::Mother => d.family.push(line(family(FamilyRole::Mother), from)),
        RelationKind::Father => d.family.push(line(family(FamilyRole::Father), from)),
        RelationKind::Child => d.family.push(line(family(FamilyRole::Child), from)),
        RelationKind::Spouse => d
            .family
            .push(line(family(FamilyRole::SpouseOrPartner), from)),
        RelationKind::Family => d.family.push(line(family(FamilyRole::Sibling), from)),
        RelationKind::ParentalResponsibility => d.parental.push(line(
            Responsibility {
                kind: ResponsibilityType::Joint,
                responsible: other,
                subject: None,
            },
            from,
        )),
        RelationKind::Guardian => d.guardianship.push(line(
            Guardianship {
                kind: GuardianshipType::Adult,
                guardian: other,
                scope: Some(GuardianshipScope::PersonalInterests),
                personal: true,
                office: None,
            },
            from,
        )),
    }
    Some(())
}

/// A written address in its parts: the last word is the number where it begins with a digit.
#[must_use]
pub fn stored_address(home: &directory::Address, grading: ProtectionLevel) -> Address {
    let (street, house) = match home.street.rsplit_once(' ') {
        Some((street, house)) if house.starts_with(|c: char| c.is_ascii_digit()) => (street, house),
        _ => (home.street.as_str(), ""),
    };
    let letter = house.trim_start_matches(|c: char| c.is_ascii_digit());
    Address {
        form: AddressForm::Street,
        street: street.to_owned(),
        number: house.strip_suffix(letter).unwrap_or(house).to_owned(),
        letter: letter.to_owned(),
        unit: String::new(),
        care_of: String::new(),
        postcode: home.postcode.parse().unwrap_or_default(),
        place: home.place.clone(),
        municipality: home.municipality.parse().unwrap_or_default(),
        district: None,
        basic_unit: None,
        moved: None,
        grading,
        abroad: None,
        elsewhere: None,
    }
}

fn line<T>(value: T, from: Moment) -> Held<T> {
    Held {
        value,
        valid: Period::since(from),
        origin: Origin::at(from),
        annulled: false,
    }
}

fn one<T>(value: T, from: Moment) -> Timeline<T> {
    std::iter::once(line(value, from)).collect()
}

/// What [`person`] makes of what [`document`] made must be the person again, but for what the register does not hold.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::EntryId;
    use crate::persons::row;
    use jiff::civil::Date;

    fn kari() -> directory::Person {
        let related = |kind, nin: &str| Relation {
            kind,
            nin: nin.to_owned(),
        };
        directory::Person {
            nin: "14888598765".to_owned(),
            historic: vec!["54888598765".to_owned()],
            name: PersonName {
                given: "Kari Anne".to_owned(),
                middle: Some("Berg".to_owned()),
                family: "Ås".to_owned(),
            },
            born: Some(Date::constant(1985, 8, 14)),
            sex: Sex::Female,
            address: Some(directory::Address {
                street: "Øvre gate 12B".to_owned(),
                postcode: "0301".to_owned(),
                place: "OSLO".to_owned(),
                municipality: "0301".to_owned(),
            }),
            protection: Protection::Confidential,
            died: None,
            language: Some("nn".to_owned()),
            relations: vec![
                related(RelationKind::Mother, "14885598765"),
                related(RelationKind::Spouse, "04885598765"),
                related(RelationKind::ParentalResponsibility, "14885598765"),
                related(RelationKind::Guardian, "14885598765"),
            ],
            gp: None,
            story: None,
        }
    }

    fn there_and_back(p: &directory::Person) -> directory::Person {
        let now = Moment::of_day(Date::constant(2026, 11, 23));
        let mut d = document(p).unwrap();
        d.obey_protection(now);
        let row = row::pack(EntryId(9), &d, now);
        person(Row::new(&row), now).unwrap()
    }

    #[test]
    fn a_person_goes_into_the_register_and_comes_back() {
        let dead = directory::Person {
            died: Some(Date::constant(2026, 1, 2)),
            sex: Sex::Male,
            language: None,
            ..kari()
        };
        for p in [kari(), dead] {
            assert!(there_and_back(&p) == p);
        }
    }

    #[test]
    fn kode_6_comes_back_without_address() {
        let hidden = directory::Person {
            protection: Protection::StrictlyConfidential,
            ..kari()
        };
        let back = there_and_back(&hidden);
        assert!(back.address.is_none());
        assert_eq!(back.protection, Protection::StrictlyConfidential);
    }

    #[test]
    fn a_written_address_has_a_number_only_where_one_stands() {
        for (street, number, letter) in [
            ("Øvre gate 12B", "12", "B"),
            ("Fjellvegen", "", ""),
            ("Nordre vei", "", ""),
            ("17. mai gate 4", "4", ""),
        ] {
            let home = directory::Address {
                street: street.to_owned(),
                ..directory::Address::default()
            };
            let stored = stored_address(&home, ProtectionLevel::Unclassified);
            assert_eq!((&*stored.number, &*stored.letter), (number, letter));
            assert_eq!(address(&stored).street, street);
        }
    }

    #[test]
    fn discontinued_numbers_are_known_as_such() {
        let row = row::pack(EntryId(9), &document(&kari()).unwrap(), Moment(0));
        let row = Row::new(&row);
        assert!(known(row, "14888598765") == Known::Current);
        assert!(known(row, "54888598765") == Known::Historic("14888598765".to_owned()));
    }
}
