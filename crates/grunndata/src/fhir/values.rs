//! Pieces that several views share: extensions, names, identifiers, times.

use super::kinds::{GD, NO_BASIS};
use fhir::build::Json;
use registers::kernel::period::{Moment, Period};
use registers::kernel::timeline::Held;
use registers::persons::codes::{IdentifierKind, ProtectionLevel};
use registers::persons::document::{Identifier, Name};
use serde_json::{Value, json};

/// Code list of gradings and of address protection.
pub(super) const CONFIDENTIALITY: &str =
    "http://ehelse.no/fhir/CodeSystem/gd-address-confidentiality";

/// An extension with a value.
pub(super) fn extension(url: &str, name: &str, value: impl Into<Value>) -> Value {
    with(json!({ "url": url }), name, value)
}

/// An object with one more member.
pub(super) fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
    object
}

/// An extension with extensions.
pub(super) fn extensions(url: &str, inner: Vec<Value>) -> Value {
    json!({ "url": url, "extension": inner })
}

/// When and why the register says it (gd-fregmetadata).
pub(super) fn metadata<T>(held: &Held<T>, now: Moment) -> Value {
    let mut inner = vec![
        extension(
            "registeredTimestamp",
            "valueDateTime",
            instant(held.origin.registered),
        ),
        extension("currentInfo", "valueBoolean", held.holds_at(now)),
    ];
    let texts = [
        ("source", held.origin.source.as_deref()),
        ("reason", held.origin.reason.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            inner.push(extension(name, "valueString", text));
        }
    }
    for (name, at) in [("validFrom", held.valid.from), ("validTo", held.valid.to)] {
        if let Some(at) = at {
            inner.push(extension(name, "valueDateTime", instant(at)));
        }
    }
    extensions(&format!("{GD}gd-fregmetadata"), inner)
}

/// An instant.
pub(super) fn instant(at: Moment) -> String {
    at.timestamp().to_string()
}

/// A period of an instant's kind.
pub(super) fn period(period: Period, write: fn(Moment) -> String) -> Value {
    Json::new()
        .maybe("start", period.from.map(write))
        .maybe("end", period.to.map(write))
        .build()
}

/// A clock time of Norway (as personnel and GP lists are kept), as its day.
pub(super) fn day(at: Moment) -> String {
    registers::personnel::rules::day_of(at).to_string()
}

/// A name; the middle name is an extension, not a second given name.
pub(super) fn name(name: &Name, more: Option<Value>) -> Value {
    let middle = name.middle.as_deref().filter(|middle| !middle.is_empty());
    let middle = middle.map(|middle| {
        extension(
            &format!("{NO_BASIS}no-basis-middlename"),
            "valueString",
            middle,
        )
    });
    let given = Some(name.given.as_str()).filter(|given| !given.is_empty());
    Json::new()
        .list("extension", more.into_iter().chain(middle))
        .put("use", "official")
        .put("family", name.family.as_str())
        .list("given", given)
        .build()
}

/// The identifier system of a kind; DUF numbers have none in the national base profiles.
pub(super) fn system(kind: IdentifierKind) -> &'static str {
    match kind {
        IdentifierKind::NationalIdentityNumber => registers::FNR_SYSTEM,
        IdentifierKind::DNumber => registers::directory::DNR_SYSTEM,
        IdentifierKind::AlternateIdentificationNumber => "urn:oid:2.16.578.1.12.4.1.4.3",
        IdentifierKind::ImmigrationAuthoritiesNumber => "urn:oid:2.16.578.1.12.4.1.4.5",
    }
}

/// System and value.
pub(super) fn identifier(identifier: &Identifier) -> Value {
    json!({ "system": system(identifier.kind), "value": identifier.text() })
}

/// A grading by its name upstream.
pub(super) fn grading(level: ProtectionLevel) -> &'static str {
    match level {
        ProtectionLevel::Unclassified => "ugradert",
        ProtectionLevel::ClientAddress => "klientadresse",
        ProtectionLevel::Confidential => "fortrolig",
        ProtectionLevel::StrictlyConfidential => "strengtFortrolig",
    }
}

/// `meta` with profiles and, of persons, the protection.
pub(super) fn meta(profiles: &[String], level: Option<ProtectionLevel>) -> Value {
    let security = level.map(|level| json!({ "system": CONFIDENTIALITY, "code": grading(level) }));
    Json::new()
        .list("profile", profiles.iter().map(String::as_str))
        .list("security", security)
        .build()
}

/// A coding of a national list, with the list's text for it.
pub(super) fn listed(list: u32, code: &str) -> Value {
    let system = codes::oid::to_fhir_uri(&codes::oid::list(list)).into_owned();
    let text = codes::lists::display(&codes::oid::list(list), code);
    fhir::build::coding(&system, code, text.unwrap_or_default())
}

/// A reference.
pub(super) fn reference(kind: &str, id: &str) -> Value {
    json!({ "reference": format!("{kind}/{id}") })
}
