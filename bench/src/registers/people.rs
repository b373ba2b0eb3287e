//! The synthetic nation's persons as documents of the person register: the generator knows no register, the register no
//! generator. The demo imports its nation with it too.

use jiff::civil::Date;
use nation::model;
use registers::kernel::EntryId;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::kernel::timeline::{Held, Origin, Timeline};
use registers::persons::PersonDocument;
use registers::persons::codes::{
    FamilyRole, Gender, GuardianshipScope, GuardianshipType, MaritalStatusType, OtherPart,
    PersonStatus, ProtectionLevel, ResponsibilityType,
};
use registers::persons::document::{
    Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, Responsibility,
};
use registers::persons::view;
use registers::table::Newcomer;
use registers::{GpRelation, Substitute};

/// A person on the way into the empty register, with the GP list and the place in the story. `None` when the identifier is
/// not one.
#[must_use]
pub fn newcomer(person: &model::Person, anchor: Date) -> Option<Newcomer> {
    Some(Newcomer {
        id: EntryId::random(),
        document: document(person, anchor),
        number: Packed::digits(person.nin.as_str())?,
        gp: person.gp.as_ref().map(gp),
        story: person.story.map(str::to_owned),
    })
}

/// Place on a GP list.
#[must_use]
pub fn gp(gp: &model::GpRelation) -> GpRelation {
    GpRelation {
        hpr: gp.hpr.map(|h| h.0.to_string()),
        substitutes: gp
            .substitutes
            .iter()
            .map(|s| Substitute {
                hpr: s.hpr.0.to_string(),
                from: s.from,
                to: s.to,
            })
            .collect(),
        orgnr: gp.office.to_string(),
        her_id: gp.her_id.map(|h| h.0),
    }
}

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
            view::stored_address(&written(home), level),
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
    for guardian in &person.guardianships {
        d.guardianship.push(line(
            guardianship(guardian),
            Moment::of_day(guardian.from),
            origin(guardian.from),
        ));
    }
    // Bokmål is what everybody gets who has said nothing.
    if let Some(language) = person.languages.first().filter(|l| **l != "nb") {
        d.other.insert(
            OtherPart::CommonContactRegisterInformation,
            one(serde_json::json!({ "language": language }), born),
        );
    }
    d
}

fn guardianship(g: &model::Guardianship) -> Guardianship {
    use GuardianshipScope as S;
    Guardianship {
        kind: GuardianshipType::Adult,
        guardian: Packed::digits(g.nin.as_str()),
        scope: match (g.personal, g.financial) {
            (true, true) => Some(S::PersonalAndFinancialInterests),
            (true, false) => Some(S::PersonalInterests),
            (false, true) => Some(S::FinancialInterests),
            (false, false) => None,
        },
        personal: g.personal,
        office: Some("Statsforvalteren".to_owned()),
    }
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
            K::Spouse | K::Partner => {
                d.family
                    .push(line(family(FamilyRole::SpouseOrPartner), from, origin))
            }
            K::Sibling => d
                .family
                .push(line(family(FamilyRole::Sibling), from, origin)),
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

fn written(home: &model::Address) -> registers::Address {
    registers::Address {
        street: home.street.clone(),
        postcode: home.postcode.to_owned(),
        place: home.place.to_owned(),
        municipality: home.municipality.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use nation::{Nation, Params};
    use registers::persons::freg::source::{Item, of_text};
    use registers::persons::row::{self, Row};

    fn nation() -> Nation {
        Nation::generate(&Params::default()).unwrap()
    }

    fn seen(document: &PersonDocument, now: Moment) -> registers::Person {
        let row = row::pack(EntryId(1), document, now);
        view::person(Row::new(&row), now).unwrap()
    }

    #[test]
    fn the_population_registers_documents_say_the_same() {
        let nation = nation();
        let (anchor, now) = (nation.anchor(), Moment::of_day(nation.anchor()));
        let mut compared = 0;
        for person in nation.persons() {
            let Some(xml) = nation::folkeregister::person(&person, anchor) else {
                continue;
            };
            let Ok(Item::Person(read)) = of_text(&xml) else {
                panic!("{} cannot be read", person.id.0);
            };
            let read = seen(&read, now);
            let mut ours = seen(&document(&person, anchor), now);
            // Neither help numbers nor the contact register are the population register's.
            ours.historic.retain(|nin| !nin.starts_with(['8', '9']));
            ours.language = None;
            assert!(read == ours, "person {}", person.id.0);
            compared += 1;
        }
        assert!(compared > 1_900);
    }

    #[test]
    fn the_feed_can_be_read_and_made_in_parts() {
        let (nation, mut cells) = (nation(), None);
        let day = nation.anchor().tomorrow().unwrap();
        for number in 1..=300 {
            let text = nation::folkeregister::event(&nation, number, day, &mut cells).unwrap();
            let Ok(Item::Event(read, _)) = of_text(&text) else {
                panic!("event {number} cannot be read");
            };
            assert_eq!(read, number);
            if number.is_multiple_of(100) {
                let alone = nation::folkeregister::event(&nation, number, day, &mut None);
                assert_eq!(Some(text), alone);
            }
        }
    }
}
