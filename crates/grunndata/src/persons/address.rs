//! Residential, present and shared addresses as the contract writes them (spec/grunndata.md §3.4).

use super::json::Json;
use super::parts::Part;
use codes::places;
use registers::persons::codes::{AddressForm, ProtectionLevel};
use registers::persons::document::{Abroad, Address};

/// A municipality with the names that our tables know.
pub(super) struct Municipality {
    number: String,
    name: Option<&'static str>,
    county: Option<&'static places::County>,
}

impl Municipality {
    /// By its number. Municipalities of earlier years have no name here.
    pub(super) fn of(number: u16) -> Self {
        let number = format!("{number:04}");
        let found = places::municipality(&number);
        Self {
            name: found.map(|m| m.name),
            county: found.and_then(places::Municipality::county),
            number,
        }
    }

    fn county_number(&self) -> Option<&str> {
        self.number.get(..2)
    }
}

/// Members of a municipality: number, name, county number, county name.
pub(super) const MUNICIPALITY: [&str; 4] = [
    "municipalityNumber",
    "municipalityName",
    "countyNumber",
    "countyName",
];

/// Writes a municipality under the given names.
pub(super) fn municipality(json: &mut Json, names: [&str; 4], place: Option<&Municipality>) {
    let [number, name, county_number, county_name] = names;
    json.field_or_null(number, place.map(|p| p.number.as_str()));
    json.field_or_null(name, place.and_then(|p| p.name));
    json.field_or_null(county_number, place.and_then(Municipality::county_number));
    json.field_or_null(county_name, place.and_then(|p| p.county).map(|c| c.name));
}

/// Writes the members of an address into the open object. `grading` is the stricter of the person's and its own.
pub(super) fn write(json: &mut Json, part: Part, address: &Address, grading: ProtectionLevel) {
    if part == Part::PresentAddress {
        form(
            json,
            "foreignAddress",
            address,
            AddressForm::Foreign,
            |json| foreign(json, address),
        );
        let is_unknown = address.form == AddressForm::UnknownResidence;
        json.field_truth("isAddressUnknown", is_unknown);
    }
    let place = Municipality::of(address.municipality);
    form(
        json,
        "streetAddress",
        address,
        AddressForm::Street,
        |json| {
            street(json, address, &place);
        },
    );
    form(
        json,
        "cadastralAddress",
        address,
        AddressForm::Cadastral,
        |json| cadastral(json, address, &place),
    );
    if part != Part::PresentAddress {
        form(
            json,
            "unknownResidence",
            address,
            AddressForm::UnknownResidence,
            |json| municipality(json, MUNICIPALITY, Some(&place)),
        );
    }
    json.field_or_null("cadastralIdentifier", None);
    if part != Part::PresentAddress {
        json.field_or_null("closeCadastralIdentifier", None);
    }
    json.field("addressConfidentiality", grading.name());
    match part {
        Part::PresentAddress => {
            json.field_day("presentAddressDate", address.moved);
            if let Some(elsewhere) = address.elsewhere {
                json.field("stayElsewhere", elsewhere.name());
            }
        }
        Part::ResidentialAddress => {
            json.field_day("moveDate", address.moved);
            for name in ["constituency", "schoolDistrict", "churchDistrict"] {
                json.field_or_null(name, None);
            }
        }
        _ => {}
    }
    districts(json, address);
}

fn form(
    json: &mut Json,
    name: &str,
    address: &Address,
    form: AddressForm,
    write: impl FnOnce(&mut Json),
) {
    if address.form == form {
        json.key(name);
        json.object(write);
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn city(json: &mut Json, address: &Address) {
    json.key("city");
    json.object(|json| {
        json.field_or_null("cityName", some(&address.place));
        let code = (address.postcode != 0).then(|| format!("{:04}", address.postcode));
        json.field_or_null("postalCode", code.as_deref());
    });
}

fn street(json: &mut Json, address: &Address, place: &Municipality) {
    municipality(json, MUNICIPALITY, Some(place));
    json.field_or_null("separatelyOccupiedUnitNumber", some(&address.unit));
    json.field_or_null("addressName", some(&address.street));
    json.key("addressNumber");
    json.object(|json| {
        json.field_or_null("houseNumber", some(&address.number));
        json.field_or_null("houseLetter", some(&address.letter));
    });
    json.field_or_null("addressCode", None);
    json.field_or_null("addressAdditionalName", None);
    city(json, address);
    json.field_or_null("coAddressName", some(&address.care_of));
}

fn foreign(json: &mut Json, address: &Address) {
    let nothing = Abroad::default();
    let abroad = address.abroad.as_deref().unwrap_or(&nothing);
    for (name, text) in [
        ("coAddressName", &address.care_of),
        ("addressName", &address.street),
        ("building", &abroad.building),
        ("floorNumber", &abroad.floor),
        ("housingUnit", &abroad.unit),
        ("postBox", &abroad.post_box),
        ("postCode", &abroad.postcode),
        ("cityOrPlaceName", &address.place),
        ("districtName", &abroad.district),
        ("region", &abroad.region),
        ("countryCode", &abroad.country),
    ] {
        json.field_or_null(name, some(text));
    }
}

/// The number is `land/title/lease/section`; the last two are often missing.
fn cadastral(json: &mut Json, address: &Address, place: &Municipality) {
    json.field_or_null("separatelyOccupiedUnitNumber", some(&address.unit));
    let mut numbers = address.number.split('/').map(|n| n.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (land, title, lease, sub) = (next(), next(), next(), next());
    json.key("cadastralNumber");
    json.object(|json| {
        municipality(json, MUNICIPALITY, Some(place));
        json.field_number("municipalityLandNumber", land);
        json.field_number("titleNumber", title);
        json.field_number("leaseholdNumber", lease);
    });
    json.field_number("subNumber", sub);
    json.field_or_null("addressAdditionalName", some(&address.street));
    city(json, address);
    json.field_or_null("coAddressName", some(&address.care_of));
}

/// The statistical unit stands twice: the last four digits as a number, and all eight.
fn districts(json: &mut Json, address: &Address) {
    json.field_number(
        "basicStatisticalUnit",
        address.basic_unit.map(|u| i64::from(u % 10_000)),
    );
    let whole = address.basic_unit.map(|u| format!("{u:08}"));
    json.field_or_null("fullBasicStatisticalUnitNumber", whole.as_deref());
    json.field_or_null("basicStatisticalUnitName", None);
    let district = address.district.map(|d| format!("{d:06}"));
    json.field_or_null("urbanDistrictCode", district.as_deref());
    json.field_or_null("urbanDistrictName", None);
    json.field_or_null("geographicalUrbanDistrictCode", district.as_deref());
    json.field_or_null("geographicalUrbanDistrictName", None);
}
