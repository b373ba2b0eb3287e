//! Addresses: residential, present and shared ones (typed in the register), and contact addresses (kept as they came).
//! The national base profile's form with the person service's metadata on top.

use super::kinds::{GD, NO_BASIS};
use super::values::{extension, extensions, grading, instant, listed, metadata, with};
use codes::places;
use fhir::build::Json;
use registers::kernel::period::Moment;
use registers::kernel::timeline::Held;
use registers::persons::codes::{AddressForm, OtherPart, ProtectionLevel, StayElsewhere};
use registers::persons::document::Address;
use serde_json::{Value, json};

/// Extensions of the international standard for the parts of an address line.
const PART: &str = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-";
/// Most lines of a free-form address.
const MAX_LINES: usize = 10;

/// What an address is to the person (gd-address-type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Residential,
    Present,
    Shared,
}

impl Role {
    fn code(self) -> &'static str {
        match self {
            Self::Residential => "Bostedsadresse",
            Self::Present => "Oppholdsadresse",
            Self::Shared => "DeltBosted",
        }
    }
}

/// With what an address is written: everything for the person service's profiles, or the national base profile's part.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) with_metadata: bool,
    pub(super) now: Moment,
}

/// One of the register's own addresses. `level`: the stricter of the person's protection and the address's grading.
pub(super) fn own(held: &Held<Address>, role: Role, level: ProtectionLevel, style: Style) -> Value {
    let address = &held.value;
    let content = match (address.form, role) {
        (AddressForm::Street, _) => "Vegadresse",
        (AddressForm::Cadastral, _) => "Matrikkeladresse",
        (AddressForm::Foreign, _) => "InternasjonalAdresse",
        (AddressForm::UnknownResidence, Role::Present) => "AdressenErUkjent",
        (AddressForm::UnknownResidence, _) => "UkjentBosted",
    };
    let mut outer = Vec::new();
    if role == Role::Residential {
        outer.push(extension(
            &format!("{NO_BASIS}no-basis-address-official"),
            "valueBoolean",
            true,
        ));
    }
    outer.extend(address.district.map(|district| {
        let coding = listed(3403, &format!("{district:06}"));
        extension(
            &format!("{NO_BASIS}no-basis-urban-district"),
            "valueCoding",
            coding,
        )
    }));
    outer.extend(property(address));
    if style.with_metadata {
        let mut about = vec![
            extension("confidentiality", "valueCode", grading(level)),
            extension("fregAddressContentType", "valueCode", content),
            extension("fregAddressType", "valueCode", role.code()),
        ];
        about.extend(
            address
                .basic_unit
                .map(|unit| extension("basicStatisticalUnit", "valueInteger", unit)),
        );
        about.extend(
            address
                .elsewhere
                .map(|why| extension("physicalAddressType", "valueCode", elsewhere(why))),
        );
        if content == "AdressenErUkjent" {
            about.push(extension("addressIsUnknown", "valueBoolean", true));
        }
        outer.push(extensions(&format!("{GD}gd-address-metadata"), about));
        outer.push(metadata(held, style.now));
        outer.extend(dwelling(address));
    }
    let lines = line(address);
    let from = address.moved.map(|day| day.to_string());
    let period = Json::new()
        .maybe("start", from.or_else(|| held.valid.from.map(instant)))
        .maybe("end", held.valid.to.map(instant))
        .build();
    let abroad = address.abroad.as_deref();
    let country = match address.form {
        AddressForm::Foreign => abroad.map(|abroad| abroad.country.as_str()),
        AddressForm::UnknownResidence => None,
        AddressForm::Street | AddressForm::Cadastral => Some("NO"),
    };
    let postcode = (address.postcode != 0).then(|| format!("{:04}", address.postcode));
    let postcode = abroad.map(|abroad| abroad.postcode.clone()).or(postcode);
    let district = abroad
        .map(|abroad| abroad.district.as_str())
        .or(municipality_name(address));
    Json::new()
        .put("extension", outer)
        .put(
            "use",
            if role == Role::Residential {
                "home"
            } else {
                "temp"
            },
        )
        .put("type", "physical")
        .put("line", lines.texts)
        .put("_line", lines.parts)
        .put("city", address.place.as_str())
        .put("district", district.unwrap_or_default())
        .maybe("_district", municipality(address))
        .maybe("state", abroad.map(|abroad| abroad.region.as_str()))
        .maybe("postalCode", postcode)
        .maybe("country", country)
        .put("period", period)
        .build()
}

fn elsewhere(why: StayElsewhere) -> &'static str {
    match why {
        StayElsewhere::Military => "militaer",
        StayElsewhere::Abroad => "utenriks",
        StayElsewhere::OnSvalbard => "paaSvalbard",
        StayElsewhere::Commuter => "pendler",
    }
}

#[derive(Default)]
struct Lines {
    texts: Vec<Value>,
    parts: Vec<Value>,
}

/// The written line, with its parts as extensions of it.
fn line(address: &Address) -> Lines {
    let named: Vec<(&str, &str)> = match (address.form, address.abroad.as_deref()) {
        (AddressForm::Street, _) => vec![
            ("streetName", &address.street),
            ("houseNumberNumeric", &address.number),
            ("buildingNumberSuffix", &address.letter),
            ("careOf", &address.care_of),
        ],
        (AddressForm::Foreign, Some(abroad)) => vec![
            ("streetName", &address.street),
            ("careOf", &address.care_of),
            ("additionalLocator", &abroad.floor),
            ("unitID", &abroad.unit),
            ("postBox", &abroad.post_box),
        ],
        _ => vec![("careOf", &address.care_of)],
    };
    let mut parts: Vec<Value> = named
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| extension(&format!("{PART}{name}"), "valueString", text))
        .collect();
    let building = address
        .abroad
        .as_deref()
        .map(|abroad| abroad.building.as_str());
    parts.extend(
        building
            .filter(|building| !building.is_empty())
            .map(|building| extension(&format!("{GD}gd-building"), "valueString", building)),
    );
    let written = match (address.form, address.abroad.as_deref()) {
        (AddressForm::Street, _) => address.line().trim().to_owned(),
        (AddressForm::Foreign, Some(abroad)) if address.street.is_empty() => {
            let all = [&abroad.building, &abroad.post_box];
            let first = all.into_iter().find(|text| !text.is_empty());
            first.cloned().unwrap_or_default()
        }
        _ => address.street.clone(),
    };
    let text = match (written.as_str(), address.care_of.as_str()) {
        ("", name) if !name.is_empty() => format!("c/o {name}"),
        _ => written,
    };
    if text.is_empty() {
        return Lines::default();
    }
    Lines {
        texts: vec![json!(text)],
        parts: if parts.is_empty() {
            Vec::new()
        } else {
            vec![json!({ "extension": parts })]
        },
    }
}

fn municipality_name(address: &Address) -> Option<&'static str> {
    places::municipality(&format!("{:04}", address.municipality)).map(|m| m.name)
}

fn municipality_coding(address: &Address) -> Option<Value> {
    (address.municipality != 0).then(|| {
        let coding = listed(3402, &format!("{:04}", address.municipality));
        match municipality_name(address) {
            Some(name) => with(coding, "display", name),
            None => coding,
        }
    })
}

fn municipality(address: &Address) -> Option<Value> {
    let coding = municipality_coding(address)?;
    let url = format!("{NO_BASIS}no-basis-municipalitycode");
    Some(json!({ "extension": [extension(&url, "valueCoding", coding)] }))
}

/// The property of a cadastral address (`land/title/lease/section`), and the municipality of one that is not known.
fn property(address: &Address) -> Vec<Value> {
    let mut inner = Vec::new();
    let mut outer = Vec::new();
    match address.form {
        AddressForm::Street => return outer,
        AddressForm::Cadastral => {
            let mut numbers = address.number.split('/').map(|n| n.parse::<u32>().ok());
            for name in [
                "cadastralUnitNumber",
                "propertyUnitNumber",
                "leaseholdNumber",
            ] {
                if let Some(number) = numbers.next().flatten() {
                    inner.push(extension(name, "valueInteger", number));
                }
            }
            let sub = numbers.next().flatten();
            let mut about: Vec<Value> = sub
                .map(|number| extension("subNumber", "valueInteger", number))
                .into_iter()
                .collect();
            if !address.street.is_empty() {
                let name = address.street.as_str();
                about.push(extension("addressAdditionalName", "valueString", name));
            }
            if !about.is_empty() {
                outer.push(extensions(&format!("{GD}gd-cadastral-address"), about));
            }
        }
        AddressForm::Foreign => return outer,
        AddressForm::UnknownResidence => {}
    }
    inner.extend(
        municipality_coding(address).map(|coding| extension("municipality", "valueCoding", coding)),
    );
    if !inner.is_empty() {
        let url = format!("{NO_BASIS}no-basis-propertyinformation");
        outer.push(extensions(&url, inner));
    }
    outer
}

fn dwelling(address: &Address) -> Option<Value> {
    (!address.unit.is_empty()).then(|| {
        let number = extension(
            "separatelyOccupiedUnitNumber",
            "valueString",
            address.unit.as_str(),
        );
        extensions(&format!("{GD}gd-separately-occupied-unit"), vec![number])
    })
}

/// A contact address as it came; `None` for one that says nothing.
pub(super) fn contact(
    part: OtherPart,
    held: &Held<Value>,
    level: ProtectionLevel,
    style: Style,
) -> Option<Value> {
    let role = match part {
        OtherPart::PostalAddress => "Kontaktadresse",
        OtherPart::ForeignPostalAddress => "KontaktadresseIUtlandet",
        OtherPart::PreferredContactAddress => "PreferertKontaktadresse",
        _ => return None,
    };
    let came = &held.value;
    let forms: [(&str, &str, Write); 6] = [
        ("postBoxAddress", "Postboksadresse", post_box),
        ("streetAddress", "VegadresseForPost", postal_street),
        ("freeFormPostalAddress", "PostadresseFrittFormat", free_form),
        (
            "freeformContactAddress",
            "PostadresseFrittFormat",
            free_form,
        ),
        ("foreignAddress", "InternasjonalAdresse", foreign),
        (
            "freeFormForeignAddress",
            "InternasjonalAdresseIFrittFormat",
            free_form,
        ),
    ];
    let (content, json) = forms.into_iter().find_map(|(name, content, write)| {
        let inner = came.get(name).filter(|inner| inner.is_object())?;
        Some((content, write(inner)))
    })?;
    let mut outer = Vec::new();
    if style.with_metadata {
        let about = vec![
            extension("confidentiality", "valueCode", grading(level)),
            extension("fregAddressContentType", "valueCode", content),
            extension("fregAddressType", "valueCode", role),
        ];
        outer.push(extensions(&format!("{GD}gd-address-metadata"), about));
        outer.push(metadata(held, style.now));
    }
    let made = json
        .put("extension", outer)
        .put("type", "postal")
        .put("period", super::values::period(held.valid, instant));
    Some(made.build())
}

type Write = fn(&Value) -> Json;

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    let text = of.get(name).and_then(Value::as_str).map(str::trim);
    text.filter(|text| !text.is_empty())
}

fn city(json: Json, of: &Value) -> Json {
    let Some(city) = of.get("city") else {
        return json;
    };
    json.maybe("city", text(city, "cityName"))
        .maybe("postalCode", text(city, "postalCode"))
}

fn post_box(of: &Value) -> Json {
    let number = text(of, "postBoxIdentification");
    let part = number.map(|number| {
        json!({ "extension": [extension(&format!("{PART}postBox"), "valueString", number)] })
    });
    let json = Json::new()
        .list("line", number.map(|number| format!("Postboks {number}")))
        .list("_line", part)
        .put("country", "NO");
    city(json, of)
}

fn postal_street(of: &Value) -> Json {
    let number = of.get("streetAddressNumber");
    let house = number
        .and_then(|n| text(n, "houseNumber"))
        .unwrap_or_default();
    let letter = number
        .and_then(|n| text(n, "houseLetter"))
        .unwrap_or_default();
    let street = text(of, "addressName").unwrap_or_default();
    let line = format!("{street} {house}{letter}");
    let json = Json::new()
        .list("line", Some(line.trim()).filter(|line| !line.is_empty()))
        .put("country", "NO");
    city(json, of)
}

fn free_form(of: &Value) -> Json {
    let lines = ["addressLine", "adresselinje"]
        .into_iter()
        .find_map(|name| {
            let lines = of.get(name)?.as_array()?;
            let lines = lines.iter().filter_map(Value::as_str).map(str::trim);
            let lines: Vec<&str> = lines
                .filter(|line| !line.is_empty())
                .take(MAX_LINES)
                .collect();
            (!lines.is_empty()).then_some(lines)
        });
    let json = Json::new()
        .list("line", lines.unwrap_or_default())
        .maybe("city", text(of, "cityOrPlaceName"))
        .maybe("postalCode", text(of, "postCode"))
        .maybe("country", text(of, "countryCode"));
    city(json, of)
}

fn foreign(of: &Value) -> Json {
    let lines = [
        "coAddressName",
        "addressName",
        "building",
        "floorNumber",
        "housingUnit",
        "postBox",
    ];
    Json::new()
        .list("line", lines.into_iter().filter_map(|name| text(of, name)))
        .maybe("city", text(of, "cityOrPlaceName"))
        .maybe("district", text(of, "districtName"))
        .maybe("state", text(of, "region"))
        .maybe("postalCode", text(of, "postCode"))
        .maybe("country", text(of, "countryCode"))
}
