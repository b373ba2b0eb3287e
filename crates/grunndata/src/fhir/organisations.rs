//! Organisations: units of Enhetsregisteret and of the specialist health service (RESH) as `Organization`. A unit that is
//! in both is one resource with both numbers.

use super::elements::Elements;
use super::kinds::NO_BASIS;
use super::values::{listed, meta, reference};
use fhir::build::Json;
use registers::ORGNR_SYSTEM;
use registers::kernel::period::Moment;
use registers::organisations::{Business, ReshUnit};
use registers::parties::record::{ElectronicAddress, PhysicalAddress};
use serde_json::{Value, json};

/// Identifier system of RESH ids.
pub(super) const RESH_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.102";
/// How one published page spells it; accepted in searches.
pub(super) const RESH_MISSPELT: &str = "urn:oid:2.16.578.1.12.4.1.4.1026";

/// Id of a unit of Enhetsregisteret.
pub(super) fn unit_id(orgnr: &str) -> String {
    format!("enh-{orgnr}")
}

/// Id of a unit of RESH.
pub(super) fn resh_id(id: u32) -> String {
    format!("resh-{id}")
}

fn profile() -> [String; 1] {
    [format!("{NO_BASIS}no-basis-Organization")]
}

fn resh_identifier(id: u32) -> Value {
    json!({ "system": RESH_SYSTEM, "value": id.to_string() })
}

/// Level and designation of a RESH unit.
fn resh_types(unit: &ReshUnit) -> Vec<Value> {
    [(8628, &unit.level), (8624, &unit.designation)]
        .into_iter()
        .filter_map(|(list, code)| Some(json!({ "coding": [listed(list, code.as_deref()?)] })))
        .collect()
}

/// A unit of Enhetsregisteret. `unit`: the same in RESH; `endpoints`: ids of those of its communication party.
pub(super) fn business(
    business: &Business,
    unit: Option<&ReshUnit>,
    endpoints: Vec<String>,
    elements: &Elements,
    now: Moment,
) -> Value {
    let mut identifiers = vec![json!({ "system": ORGNR_SYSTEM, "value": business.orgnr })];
    identifiers.extend(business.resh.map(resh_identifier));
    let mut types = unit.map(resh_types).unwrap_or_default();
    let kind = business.type_code.as_deref();
    types.extend(kind.map(|code| json!({ "coding": [listed(9040, code)] })));
    let shown = business.display_name.as_deref().unwrap_or(&business.name);
    let alias = (shown != business.name).then_some(business.name.as_str());
    elements.of(Json::resource("Organization")
        .put("id", unit_id(&business.orgnr))
        .put("meta", meta(&profile(), None))
        .put("identifier", identifiers)
        .put("active", business.valid.contains(now))
        .put("type", types)
        .put("name", shown)
        .list("alias", alias)
        .put("telecom", telecom(business.electronic.iter()))
        .put("address", addresses(business.physical.iter()))
        .maybe(
            "partOf",
            business
                .parent
                .as_deref()
                .map(|above| reference("Organization", &unit_id(above))),
        )
        .list(
            "endpoint",
            endpoints.iter().map(|id| reference("Endpoint", id)),
        )
        .build())
}

/// A unit of RESH.
pub(super) fn resh(unit: &ReshUnit, elements: &Elements, now: Moment) -> Value {
    let mut identifiers = vec![resh_identifier(unit.id)];
    identifiers.extend(
        unit.orgnr
            .as_deref()
            .map(|orgnr| json!({ "system": ORGNR_SYSTEM, "value": orgnr })),
    );
    elements.of(Json::resource("Organization")
        .put("id", resh_id(unit.id))
        .put("meta", meta(&profile(), None))
        .put("identifier", identifiers)
        .put("active", unit.valid.contains(now))
        .put("type", resh_types(unit))
        .put("name", unit.name.as_str())
        .maybe(
            "partOf",
            unit.parent
                .map(|above| reference("Organization", &resh_id(above))),
        )
        .build())
}

/// Telephone, mail and web: addresses for people. Those for machines are endpoints.
pub(super) fn telecom<'a>(addresses: impl Iterator<Item = &'a ElectronicAddress>) -> Vec<Value> {
    addresses
        .filter_map(|address| {
            let system = match address.code.as_str() {
                "E_TLF" | "E_CEN" => "phone",
                "E_FAX" => "fax",
                "E_EPO" => "email",
                "E_URL" => "url",
                _ => return None,
            };
            Some(json!({ "system": system, "value": address.address, "use": "work" }))
        })
        .filter(|point| {
            point["value"]
                .as_str()
                .is_some_and(|value| !value.is_empty())
        })
        .collect()
}

/// Visiting and postal addresses.
pub(super) fn addresses<'a>(addresses: impl Iterator<Item = &'a PhysicalAddress>) -> Vec<Value> {
    let made = addresses.map(|address| {
        let postbox = address.postbox.as_deref().filter(|text| !text.is_empty());
        let street = address.street.as_deref().filter(|text| !text.is_empty());
        let lines = street
            .map(str::to_owned)
            .into_iter()
            .chain(postbox.map(|number| {
                if number.starts_with(|c: char| c.is_ascii_digit()) {
                    format!("Postboks {number}")
                } else {
                    number.to_owned()
                }
            }));
        let kind = match address.code.as_str() {
            "RES" => Some("physical"),
            "PST" => Some("postal"),
            _ => None,
        };
        Json::new()
            .put("use", "work")
            .maybe("type", kind)
            .maybe("text", address.description.as_deref())
            .list("line", lines)
            .maybe("city", address.city.as_deref())
            .maybe("postalCode", address.postcode.as_deref())
            .maybe("country", address.country.as_deref())
            .build()
    });
    made.collect()
}
