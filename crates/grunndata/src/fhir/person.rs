//! `Person` after gd-Person: every statement of the population register with when and why it is so.
//!
//! Only what holds now is shown. A person who has nothing but a help number (FHN), or whose own protection is
//! `klientadresse`, has no place in the profile's lists: she is shown without claiming it.

use super::address::{self, Role, Style};
use super::elements::Elements;
use super::kinds::{GD, Kind};
use super::persons::{Shown, View};
use super::values::{extension, extensions, identifier, meta, metadata, name, with};
use fhir::build::Json;
use registers::kernel::timeline::{Held, Timeline};
use registers::persons::codes::{Gender, IdentifierKind, OtherPart, PersonStatus, ProtectionLevel};
use registers::persons::document::Identifier;
use serde_json::{Value, json};

/// System of countries in citizenships.
const COUNTRIES: &str = "urn:iso:std:iso:3166";

/// A person.
pub(super) fn resource(shown: &Shown, elements: &Elements, view: View) -> Value {
    let d = &shown.document;
    let (identifiers, is_registered) = identifiers(shown, view);
    let conforms = is_registered && shown.level != ProtectionLevel::ClientAddress;
    let profiles = if conforms {
        Kind::Person.profiles()
    } else {
        Vec::new()
    };
    let gender = d.gender.at(view.now).last();
    let birth = d.birth.at(view.now).last();
    let resource = Json::resource("Person")
        .put("id", shown.id.to_string())
        .put("meta", meta(&profiles, Some(shown.level)))
        .put("extension", about(shown, view))
        .list("identifier", identifiers)
        .list(
            "name",
            d.name
                .at(view.now)
                .map(|held| name(&held.value, Some(metadata(held, view.now)))),
        )
        .maybe("gender", gender.map(|held| gender_code(held.value)))
        .maybe(
            "_gender",
            gender.map(|held| json!({ "extension": [metadata(held, view.now)] })),
        )
        .maybe(
            "birthDate",
            birth
                .and_then(|held| held.value.date)
                .map(|day| day.to_string()),
        )
        .put("address", addresses(shown, view, true))
        .build();
    elements.of(resource)
}

/// As FHIR has it.
pub(super) fn gender_code(gender: Gender) -> &'static str {
    match gender {
        Gender::Female => "female",
        Gender::Male => "male",
    }
}

/// All addresses that may be shown.
pub(super) fn addresses(shown: &Shown, view: View, with_metadata: bool) -> Vec<Value> {
    let d = &shown.document;
    let style = Style {
        with_metadata,
        now: view.now,
    };
    let own = [
        (&d.residential, Role::Residential),
        (&d.present, Role::Present),
        (&d.shared, Role::Shared),
    ];
    let own = own.into_iter().flat_map(|(line, role)| {
        let shown = shown.addresses(line, view);
        shown.map(move |(held, level)| address::own(held, role, level, style))
    });
    let contacts = shown
        .contacts(view)
        .into_iter()
        .filter_map(|(part, held, level)| address::contact(part, held, level, style));
    own.chain(contacts).collect()
}

/// Identifiers, and whether one of them is of the population register.
fn identifiers(shown: &Shown, view: View) -> (Vec<Value>, bool) {
    let kinds = [
        IdentifierKind::NationalIdentityNumber,
        IdentifierKind::DNumber,
    ];
    let own = shown.identifiers(&kinds);
    let is_registered = !own.is_empty();
    let mut found: Vec<Value> = own.iter().map(|held| registered(held, view)).collect();
    if !is_registered {
        let help = shown.identifiers(&[IdentifierKind::AlternateIdentificationNumber]);
        found.extend(help.iter().map(|held| identifier(&held.value)));
    }
    if view.ground.shows_confidential_parts() {
        let duf = shown.identifiers(&[IdentifierKind::ImmigrationAuthoritiesNumber]);
        found.extend(duf.iter().map(|held| {
            foreign(
                "utlendingsmyndighetenesIdentifikasjonsnummer",
                &held.value.text(),
                "NOR",
            )
        }));
        let line = shown
            .document
            .other
            .get(&OtherPart::ForeignPersonIdentificationNumber);
        let foreigners = line.into_iter().flat_map(|line| line.at(view.now));
        found.extend(foreigners.filter_map(|held| {
            let text = |name: &str| held.value.get(name).and_then(Value::as_str);
            let kind = text("identificationNumberType")
                .filter(|kind| FOREIGN_KINDS.contains(kind))
                .unwrap_or("utenlandskIdentifikasjonsnummer");
            Some(foreign(
                kind,
                text("identificationNumber")?,
                text("issuerCountry")?,
            ))
        }));
    }
    (found, is_registered)
}

const FOREIGN_KINDS: [&str; 3] = [
    "taxIdentificationNumber",
    "socialSecurityNumber",
    "utenlandskIdentifikasjonsnummer",
];

fn registered(held: &Held<Identifier>, view: View) -> Value {
    let status = if held.value.in_use {
        "iBruk"
    } else {
        "opphoert"
    };
    let more = json!([
        extension(
            &format!("{GD}gd-person-identifier-status"),
            "valueCode",
            status
        ),
        metadata(held, view.now),
    ]);
    with(identifier(&held.value), "extension", more)
}

fn foreign(kind: &str, value: &str, country: &str) -> Value {
    let system = "http://ehelse.no/fhir/CodeSystem/gd-person-identificationnumbertype";
    json!({
        "extension": [extension(&format!("{GD}gd-country-code-3166-1-3"), "valueCode", country)],
        "type": { "coding": [{ "system": system, "code": kind }] },
        "value": value,
    })
}

fn status_code(status: PersonStatus) -> &'static str {
    match status {
        PersonStatus::Resident => "bosatt",
        PersonStatus::Emigrated => "utflyttet",
        PersonStatus::Disappeared => "forsvunnet",
        PersonStatus::Deceased => "doed",
        PersonStatus::Discontinued => "opphoert",
        PersonStatus::RegisteredAtBirth => "foedselsregistrert",
        PersonStatus::Temporary => "midlertidig",
        PersonStatus::Inactive => "inaktiv",
        PersonStatus::NotResident => "ikkeBosatt",
        PersonStatus::Active => "aktiv",
    }
}

/// What FHIR has no element for.
fn about(shown: &Shown, view: View) -> Vec<Value> {
    let d = &shown.document;
    let mut found = Vec::new();
    let gd = |name: &str| format!("{GD}{name}");
    let statuses = d.status.at(view.now);
    found.extend(
        statuses
            .filter(|held| view.ground.shows_status(held.value))
            .map(|held| {
                let code = extension("fregPersonStatus", "valueCode", status_code(held.value));
                extensions(
                    &gd("gd-person-status"),
                    vec![code, metadata(held, view.now)],
                )
            }),
    );
    found.extend(d.death.at(view.now).last().map(|held| {
        let day = extension("deceasedDate", "valueDate", held.value.to_string());
        extensions(&gd("gd-deceased"), vec![day, metadata(held, view.now)])
    }));
    found.extend(birth(shown, view));
    found.extend(d.citizenship.at(view.now).map(|held| {
        let country = json!({ "coding": [{ "system": COUNTRIES, "code": held.value }] });
        let code = extension("code", "valueCodeableConcept", country);
        extensions(
            &gd("gd-person-citizenship"),
            vec![code, metadata(held, view.now)],
        )
    }));
    found.extend(kept(shown, view));
    found
}

/// Metadata one step further in, where the profile has it so.
fn wrapped(metadata: Value) -> Value {
    extensions("fregMetadata", vec![metadata])
}

fn birth(shown: &Shown, view: View) -> Option<Value> {
    let held = shown.document.birth.at(view.now).last()?;
    let birth = &held.value;
    let year = birth.date.map(|day| day.year()).or(birth.year)?;
    let place = birth
        .municipality
        .map(|number| format!("{number:04}"))
        .and_then(|number| codes::places::municipality(&number))
        .map(|place| place.name);
    let texts = [
        ("landOfBirth", birth.country.as_deref()),
        ("placeOfBirth", birth.place.as_deref()),
        ("placeOfBirthDistrict", place),
    ];
    let mut inner = vec![extension("birthYear", "valueDate", format!("{year:04}"))];
    inner.extend(
        texts
            .into_iter()
            .filter_map(|(name, text)| Some(extension(name, "valueString", text?))),
    );
    inner.push(wrapped(metadata(held, view.now)));
    Some(extensions(&format!("{GD}gd-birth"), inner))
}

/// Parts that the register keeps as they came.
fn kept(shown: &Shown, view: View) -> Vec<Value> {
    static NOTHING: std::sync::LazyLock<Timeline<Value>> =
        std::sync::LazyLock::new(Timeline::default);
    let line = |part| shown.document.other.get(&part).unwrap_or(&NOTHING);
    let gd = |name: &str| format!("{GD}{name}");
    let mut found = Vec::new();
    found.extend(
        line(OtherPart::BirthInNorway)
            .at(view.now)
            .last()
            .map(|held| {
                let number = held
                    .value
                    .get("multipleBirthNumber")
                    .and_then(Value::as_i64);
                let number = number.and_then(|n| i32::try_from(n).ok());
                let mut inner: Vec<Value> = number
                    .map(|number| extension("multipleBirthInteger", "valueInteger", number))
                    .into_iter()
                    .collect();
                inner.extend(text(&held.value, "organizationName", "organizationName"));
                inner.push(wrapped(metadata(held, view.now)));
                extensions(&gd("gd-birth-in-norway"), inner)
            }),
    );
    let moves = [
        (
            OtherPart::ImmigrationToNorway,
            "migration",
            ["immigratedFromCountry", "immigratedFromCity", ""],
        ),
        (
            OtherPart::EmigrationFromNorway,
            "emigration",
            ["emigratedToCountry", "emigratedToCity", "emigratedMoveDate"],
        ),
    ];
    for (part, pattern, [country, city, day]) in moves {
        found.extend(line(part).at(view.now).map(|held| {
            let mut inner = vec![extension("migrationPattern", "valueCode", pattern)];
            let country = held.value.get(country).and_then(Value::as_str);
            inner
                .extend(country.map(|country| extension("migrationCountry", "valueCode", country)));
            inner.extend(text(&held.value, city, "migrationCity"));
            let day = held.value.get(day).and_then(Value::as_str).and_then(date);
            inner.extend(day.map(|day| extension("migrationDate", "valueDate", day)));
            inner.push(metadata(held, view.now));
            extensions(&gd("gd-migration"), inner)
        }));
    }
    if view.ground.shows_confidential_parts() {
        let permits = line(OtherPart::ResidencePermit).at(view.now);
        found.extend(permits.filter_map(|held| permit(held, view)));
    }
    found
}

fn permit(held: &Held<Value>, view: View) -> Option<Value> {
    let code = match held.value.get("residencePermitType")?.as_str()? {
        "Temporary" => "midlertidig",
        "Permanent" => "permanent",
        _ => "opplysningMangler",
    };
    let system = "http://ehelse.no/fhir/CodeSystem/gd-person-residencepermittype";
    let coding = json!({ "system": system, "code": code });
    let mut inner = vec![extension("residencePermitType", "valueCoding", coding)];
    let day = |name: &str| held.value.get(name).and_then(Value::as_str).and_then(date);
    let period = Json::new()
        .maybe("start", day("stayFrom"))
        .maybe("end", day("stayTo"))
        .build();
    if period
        .as_object()
        .is_some_and(|members| !members.is_empty())
    {
        inner.push(extension("period", "valuePeriod", period));
    }
    inner.push(metadata(held, view.now));
    Some(extensions(&format!("{GD}gd-residence-permit"), inner))
}

fn text(of: &Value, name: &str, url: &str) -> Option<Value> {
    let text = of.get(name)?.as_str()?;
    (!text.is_empty()).then(|| extension(url, "valueString", text))
}

/// A day, whatever time stands behind it.
fn date(text: &str) -> Option<String> {
    let day = text.get(..10)?.parse::<jiff::civil::Date>().ok()?;
    Some(day.to_string())
}
