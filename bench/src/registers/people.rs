//! The synthetic nation's persons as documents of the person register.

use jiff::civil::Date;
use nation::model;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::kernel::timeline::{Held, Origin, Timeline};
use registers::persons::PersonDocument;
use registers::persons::codes::{
    AddressForm, FamilyRole, Gender, MaritalStatusType, PersonStatus, ProtectionLevel,
    ResponsibilityType,
};
use registers::persons::document::{
    Address, Birth, FamilyRelation, Identifier, Marital, Name, Responsibility,
};

/// A person's document; everything was registered on the day it began.
#[must_use]
pub fn document(person: &model::Person, anchor: Date) -> PersonDocument {
    let mut d = PersonDocument::default();
    let born = person.born;
    let since = |day: Date| (Moment::of_day(day), origin(day));
    for (number, in_use, ended) in std::iter::once((person.nin, true, None)).chain(
        person
            .historic
            .iter()
            .map(|h| (h.nin, false, Some(h.ended))),
    ) {
        if let Some(identifier) = Identifier::parse(number.as_str()) {
            let (from, origin) = since(ended.unwrap_or(born));
            let identifier = Identifier {
                in_use,
                ..identifier
            };
            let _ = d.identifiers.add(identifier, from, origin);
        }
    }
    let name = Name {
        given: person.name.given.clone(),
        middle: person.name.middle.clone(),
        family: person.name.family.clone(),
    };
    d.name = one(name, born);
    d.birth = one(
        Birth {
            date: Some(born),
            country: Some("NOR".to_owned()),
            ..Birth::default()
        },
        born,
    );
    d.gender = one(
        match person.sex {
            codes::ident::Sex::Female => Gender::Female,
            codes::ident::Sex::Male => Gender::Male,
        },
        born,
    );
    d.status = one(
        match person.status {
            model::Status::Resident => PersonStatus::Resident,
            model::Status::Emigrated => PersonStatus::Emigrated,
            model::Status::Deceased => PersonStatus::Deceased,
            model::Status::Temporary => PersonStatus::Temporary,
            model::Status::NotResident => PersonStatus::NotResident,
        },
        born,
    );
    if let Some(day) = person.died {
        d.death = one(day, day);
    }
    let level = match person.protection {
        model::Protection::Unclassified => ProtectionLevel::Unclassified,
        model::Protection::ClientAddress => ProtectionLevel::ClientAddress,
        model::Protection::Confidential => ProtectionLevel::Confidential,
        model::Protection::StrictlyConfidential => ProtectionLevel::StrictlyConfidential,
    };
    d.protection = one(level, person.protected_since.unwrap_or(born));
    if let Some(home) = &person.address {
        d.residential = one(
            address(home, level),
            anchor.saturating_sub(jiff::Span::new().years(3)),
        );
    }
    relations(person, &mut d);
    d.marital = one(
        Marital {
            status: match person.marital {
                model::Marital::Unmarried => MaritalStatusType::Unmarried,
                model::Marital::Married => MaritalStatusType::Married,
                model::Marital::Widowed => MaritalStatusType::WidowOrWidower,
                model::Marital::Divorced => MaritalStatusType::Divorced,
            },
            since: None,
            spouse: person
                .related(model::RelationKind::Spouse)
                .next()
                .and_then(|r| Packed::digits(r.nin.as_str())),
        },
        born,
    );
    d.citizenship = one("NOR".to_owned(), born);
    d
}

fn relations(person: &model::Person, d: &mut PersonDocument) {
    use model::RelationKind as K;
    for relation in &person.relations {
        let other = Packed::digits(relation.nin.as_str());
        let family = |role| FamilyRelation {
            person: other,
            role,
            mine: None,
        };
        let (from, origin) = (Moment::of_day(person.born), origin(person.born));
        match relation.kind {
            K::Mother => d
                .family
                .push(line(family(FamilyRole::Mother), from, origin)),
            K::Father => d
                .family
                .push(line(family(FamilyRole::Father), from, origin)),
            K::Child => d.family.push(line(family(FamilyRole::Child), from, origin)),
            K::Spouse => d
                .family
                .push(line(family(FamilyRole::SpouseOrPartner), from, origin)),
            K::ResponsibleJoint | K::ResponsibleAlone => {
                let kind = match relation.kind {
                    K::ResponsibleJoint => ResponsibilityType::Joint,
                    _ => ResponsibilityType::Other,
                };
                let responsibility = Responsibility {
                    kind,
                    responsible: other,
                    subject: None,
                };
                d.parental.push(line(responsibility, from, origin));
            }
            _ => {}
        }
    }
}

fn address(home: &model::Address, grading: ProtectionLevel) -> Address {
    let number = home.street.rfind(' ');
    let (street, number) = match number {
        Some(at) => home.street.split_at(at),
        None => (home.street.as_str(), ""),
    };
    let digits = |text: &str| text.parse().unwrap_or_default();
    let number = number.trim();
    let letter = number.trim_start_matches(|c: char| c.is_ascii_digit());
    Address {
        form: AddressForm::Street,
        street: street.to_owned(),
        number: number.strip_suffix(letter).unwrap_or(number).to_owned(),
        letter: letter.to_owned(),
        unit: "H0101".to_owned(),
        care_of: String::new(),
        postcode: digits(home.postcode),
        place: home.place.to_owned(),
        municipality: digits(home.municipality),
        district: None,
        basic_unit: None,
        moved: None,
        grading,
    }
}

fn origin(day: Date) -> Origin {
    Origin {
        registered: Moment::of_day(day),
        source: Some("KILDE_DSF".to_owned()),
        reason: None,
    }
}

fn line<T>(value: T, from: Moment, origin: Origin) -> Held<T> {
    Held {
        value,
        valid: registers::kernel::period::Period::since(from),
        origin,
        annulled: false,
    }
}

fn one<T: PartialEq>(value: T, from: Date) -> Timeline<T> {
    std::iter::once(line(value, Moment::of_day(from), origin(from))).collect()
}
