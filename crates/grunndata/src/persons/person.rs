//! A person as the contract writes her (spec/grunndata.md §3.4): the parts asked for, as far as the caller's ground and
//! the person's address protection allow (spec/privacy.md §7.5).
//!
//! A part that was not asked for, or that needs a legal basis the caller has not, is absent; a part with nothing in it is
//! an empty list. Inside an entry every text, number and day stands, `null` where nothing is known; objects and codes that
//! are not there are left out: by the letter of the contract's schema they cannot be `null`.

use super::json::Json;
use super::parts::{Part, Parts};
use super::{address, kept};
use registers::kernel::EntryId;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::kernel::timeline::{Held, Timeline};
use registers::persons::PersonDocument;
use registers::persons::codes::{IdentifierKind, OtherPart, ProtectionLevel};
use registers::persons::document::{
    Address, Birth, FamilyRelation, Guardianship, Identifier, Marital, Name, Responsibility,
};
use trust::register::PersonGround;

/// What of a person is shown, and when.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// What was asked for.
    pub parts: Parts,
    /// The caller's ground.
    pub ground: PersonGround,
    /// Earlier and annulled entries too.
    pub with_history: bool,
    /// The present.
    pub now: Moment,
}

/// A person and what the register knows of her present state.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Public id.
    pub id: EntryId,
    /// At least the parts asked for.
    pub document: &'a PersonDocument,
    /// Her address protection now.
    pub level: ProtectionLevel,
    /// Number of the last event that is in it.
    pub sequence: u64,
}

/// Writes a person.
pub fn write(json: &mut Json, subject: &Subject<'_>, view: &View) {
    json.object(|json| {
        let shown = Entries {
            subject,
            view,
            document: subject.document,
        };
        for part in view.parts.iter() {
            if !part.is_confidential() || view.ground.shows_confidential_parts() {
                shown.part(json, part);
            }
        }
        json.key("id");
        json.id(subject.id);
        json.field_number(
            "sequenceNumber",
            Some(i64::try_from(subject.sequence).unwrap_or(i64::MAX)),
        );
    });
}

struct Entries<'a> {
    subject: &'a Subject<'a>,
    view: &'a View,
    document: &'a PersonDocument,
}

impl Entries<'_> {
    fn part(&self, json: &mut Json, part: Part) {
        let d = self.document;
        match part {
            Part::NorwegianIdentificationNumber => {
                self.list_where(json, part, &d.identifiers, is_norwegian, identifier);
            }
            Part::ImmigrationAuthoritiesIdentificationNumber => {
                let is_duf = |i: &Identifier| !is_norwegian(i);
                self.list_where(json, part, &d.identifiers, is_duf, immigration_number);
            }
            Part::Name => self.list(json, part, &d.name, name),
            Part::Birth => self.list(json, part, &d.birth, birth),
            Part::Gender => self.list(json, part, &d.gender, |json, gender| {
                json.field("gender", gender.name());
            }),
            Part::Status => {
                let is_shown = |s: &_| self.view.ground.shows_status(*s);
                self.list_where(json, part, &d.status, is_shown, |json, status| {
                    json.field("status", status.name());
                });
            }
            Part::Death => self.one(json, part, &d.death, |json, day| {
                json.field_day("deceasedDate", Some(*day));
            }),
            Part::AddressProtection => self.list(json, part, &d.protection, |json, level| {
                json.field("protectionLevel", level.name());
            }),
            Part::ResidentialAddress => self.addresses(json, part, &d.residential),
            Part::PresentAddress => self.addresses(json, part, &d.present),
            Part::SharedResidence => self.addresses(json, part, &d.shared),
            Part::FamilyRelation => self.list(json, part, &d.family, relation),
            Part::ParentalResponsibility => self.list(json, part, &d.parental, responsibility),
            Part::MaritalStatus => {
                let with_spouse = self.view.ground.shows_confidential_parts();
                self.list(json, part, &d.marital, |json, m| {
                    marital(json, m, with_spouse);
                });
            }
            Part::Citizenship => self.list(json, part, &d.citizenship, |json, country| {
                json.field("countryCode", country);
                json.field_day("aquiredDate", None);
            }),
            Part::GuardianshipOrFuturePowerOfAttorney => {
                self.list(json, part, &d.guardianship, guardianship);
            }
            _ => self.kept(json, part),
        }
    }

    fn is_shown<T>(&self, held: &Held<T>) -> bool {
        self.view.with_history || held.holds_at(self.view.now)
    }

    fn list<T>(
        &self,
        json: &mut Json,
        part: Part,
        line: &Timeline<T>,
        write: impl Fn(&mut Json, &T),
    ) {
        self.list_where(json, part, line, |_| true, write);
    }

    fn list_where<T>(
        &self,
        json: &mut Json,
        part: Part,
        line: &Timeline<T>,
        which: impl Fn(&T) -> bool,
        write: impl Fn(&mut Json, &T),
    ) {
        json.key(part.property());
        json.array(|json| {
            let shown = line.all().filter(|h| self.is_shown(h) && which(&h.value));
            for held in shown {
                json.object(|json| {
                    self.when_and_why(json, held);
                    write(json, &held.value);
                });
            }
        });
    }

    /// A part that has one entry: the one that holds, of several the one learnt last.
    fn one<T>(
        &self,
        json: &mut Json,
        part: Part,
        line: &Timeline<T>,
        write: impl Fn(&mut Json, &T),
    ) {
        let held = line.all().filter(|h| h.holds_at(self.view.now)).last();
        if let Some(held) = held {
            json.key(part.property());
            json.object(|json| {
                self.when_and_why(json, held);
                write(json, &held.value);
            });
        }
    }

    fn addresses(&self, json: &mut Json, part: Part, line: &Timeline<Address>) {
        let grading = |a: &Address| self.subject.level.max(a.grading);
        json.key(part.property());
        json.array(|json| {
            for held in line.all().filter(|h| self.is_shown(h)) {
                let grading = grading(&held.value);
                if !self.view.ground.shows_address(grading) {
                    continue;
                }
                json.object(|json| {
                    self.when_and_why(json, held);
                    address::write(json, part, &held.value, grading);
                    // The register keeps the time of the parents' agreement as the time of the address.
                    if part == Part::SharedResidence {
                        if held.valid.from.is_some() {
                            json.field_instant("contractValidFrom", held.valid.from);
                        }
                        json.field_instant("contractValidTo", held.valid.to);
                    }
                });
            }
        });
    }

    fn kept(&self, json: &mut Json, part: Part) {
        static NOTHING: std::sync::LazyLock<Timeline<serde_json::Value>> =
            std::sync::LazyLock::new(Timeline::default);
        let Some(kept_part) = part.kept() else {
            return;
        };
        let line = self.document.other.get(&kept_part).unwrap_or(&NOTHING);
        match kept_part {
            OtherPart::FalseIdentity => self.one(json, part, line, |json, value| {
                kept::write(json, kept_part, value);
            }),
            // The contact register has no entries with a period: it says what is, or nothing.
            OtherPart::CommonContactRegisterInformation => {
                if let Some(value) = line.one_at(self.view.now) {
                    json.key(part.property());
                    json.object(|json| kept::write(json, kept_part, value));
                }
            }
            _ => {
                let is_shown = |value: &serde_json::Value| {
                    self.view
                        .ground
                        .shows_address(kept::grading(kept_part, value))
                };
                self.list_where(json, part, line, is_shown, |json, value| {
                    kept::write(json, kept_part, value);
                });
            }
        }
    }

    /// The six members of every entry.
    fn when_and_why<T>(&self, json: &mut Json, held: &Held<T>) {
        json.field_instant("registeredAt", Some(held.origin.registered));
        json.field_truth("isValid", held.holds_at(self.view.now));
        json.field_or_null("source", held.origin.source.as_deref());
        json.field_or_null("reason", held.origin.reason.as_deref());
        json.field_instant("validFrom", held.valid.from);
        json.field_instant("validTo", held.valid.to);
    }
}

fn is_norwegian(identifier: &Identifier) -> bool {
    identifier.kind != IdentifierKind::ImmigrationAuthoritiesNumber
}

fn identifier(json: &mut Json, identifier: &Identifier) {
    let status = if identifier.in_use {
        "InUse"
    } else {
        "Discontinued"
    };
    json.field("status", status);
    json.key("identificationNumber");
    // Eleven digits, but for what is no national number after all.
    if identifier.number.0 < 100_000_000_000 {
        json.padded::<11>(identifier.number.0);
    } else {
        json.text(&identifier.text());
    }
    json.field("identificationNumberType", identifier.kind.name());
}

fn immigration_number(json: &mut Json, identifier: &Identifier) {
    json.field("identificationNumber", &identifier.text());
    json.field(
        "identificationNumberType",
        "utlendingsmyndighetenesIdentifikasjonsnummer",
    );
    json.field("issuerCountry", "NOR");
}

fn name(json: &mut Json, name: &Name) {
    json.field("givenName", &name.given);
    json.field_or_null("middleName", name.middle.as_deref());
    json.field("familyName", &name.family);
    json.field_or_null("shortName", None);
}

const BIRTHPLACE: [&str; 4] = [
    "birthMunicipalityNumber",
    "birthMunicipalityName",
    "birthCountyNumber",
    "birthCountyName",
];

fn birth(json: &mut Json, birth: &Birth) {
    json.field_day("birthDate", birth.date);
    let year = birth.date.map(|d| d.year()).or(birth.year);
    json.field_or_null("birthYear", year.map(|y| format!("{y:04}")).as_deref());
    json.field_or_null("birthPlace", birth.place.as_deref());
    let place = birth.municipality.map(address::Municipality::of);
    address::municipality(json, BIRTHPLACE, place.as_ref());
    json.field_or_null("birthCountry", birth.country.as_deref());
}

/// Identifiers of others are eleven digits: nobody is related through a DUF number.
fn other_person(json: &mut Json, name: &str, person: Option<Packed>) {
    json.field_or_null(name, person.map(|p| p.text(11)).as_deref());
}

fn relation(json: &mut Json, relation: &FamilyRelation) {
    other_person(json, "relatedPerson", relation.person);
    json.field("relatedPersonsRole", relation.role.name());
    if let Some(mine) = relation.mine {
        json.field("myRoleForRelatedPerson", mine.name());
    }
}

fn responsibility(json: &mut Json, responsibility: &Responsibility) {
    json.field("responsibilityType", responsibility.kind.name());
    other_person(json, "subjectOfResponsibility", responsibility.subject);
    other_person(json, "responsible", responsibility.responsible);
    json.field_or_null("responsibleOrganization", None);
}

fn marital(json: &mut Json, marital: &Marital, with_spouse: bool) {
    json.field("status", marital.status.name());
    json.field_day("statusDate", marital.since);
    json.field_or_null("authority", None);
    address::municipality(json, address::MUNICIPALITY, None);
    json.field_or_null("place", None);
    json.field_or_null("abroad", None);
    other_person(
        json,
        "relatedByMaritalStatus",
        marital.spouse.filter(|_| with_spouse),
    );
}

fn guardianship(json: &mut Json, guardianship: &Guardianship) {
    json.field("guardianshipType", guardianship.kind.name());
    json.field_or_null("office", guardianship.office.as_deref());
    json.key("guardian");
    json.object(|json| {
        other_person(json, "identificationNumber", guardianship.guardian);
        if let Some(scope) = guardianship.scope {
            json.field("guardianshipScope", scope.name());
        }
        json.field_truth("isGuardianshipInPersonalScope", guardianship.personal);
        json.field_or_null("guardianServiceArea", None);
    });
}
