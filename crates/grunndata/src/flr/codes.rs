//! Codes as FLR carries them (`Code{Active,CodeText,CodeValue,OID,SimpleType}`).
//!
//! Of the register's own lists 7750 to 7755 the published sources hold few values; others are carried without text.

use edge::soap::{Object, Value};
use registers::personnel::Short;

const OWN: [(u32, &str, &str); 3] = [
    (7750, "LPFL", "Fastlege"),
    (7750, "LPVI", "Vikar"),
    (7751, "FAAA", "Åpen liste"),
];

fn text(list: u32, value: &str) -> &'static str {
    if matches!(list, 3402 | 9043 | 9044) {
        return crate::ar::code_text(list, value).unwrap_or("");
    }
    OWN.iter()
        .find(|(of, code, _)| *of == list && *code == value)
        .map(|(_, _, text)| *text)
        .or_else(|| ::codes::lists::display(&::codes::oid::list(list), value))
        .unwrap_or("")
}

fn simple_type(list: u32) -> &'static str {
    match list {
        3101 => "kjonn",
        3301 => "norsksprak",
        3303 => "sprak",
        3401 => "adressetype",
        3402 => "kommune",
        7750 => "flrv2_relasjon",
        7751 => "flrv2_status",
        7753 => "flrv2_sluttarsak",
        7754 => "flrv2_startarsak",
        7755 => "flrv2_medlemskap",
        9043 => "landkoder",
        9044 => "type_adressekomponeneter",
        9060 => "kategori_helsepersonell",
        _ => "kode",
    }
}

/// A code; nil for none.
pub(super) fn code(list: u32, value: &str) -> Value {
    if value.is_empty() {
        return Value::Nil;
    }
    Object::new()
        .with("Active", true)
        .with("CodeText", text(list, value))
        .with("CodeValue", value.to_owned())
        .with("OID", list)
        .with("SimpleType", simple_type(list))
        .into()
}

/// The same for a short code.
pub(super) fn short(list: u32, value: Short) -> Value {
    code(list, value.as_str())
}
