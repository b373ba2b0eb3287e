//! Codes as HPR carries them: `Kode{Aktiv,Beskrivelse,Kodegruppenavn,OID,Verdi}`.

use edge::soap::{Object, Value};
use registers::kernel::period::Moment;
use registers::personnel::Short;
use registers::personnel::rules::is_active_code;

/// Professions that allow an internship unless the owner has said otherwise: doctors, physiotherapists, chiropractors.
pub(super) const INTERNSHIPS: [&str; 3] = ["FT", "KI", "LE"];

fn group(list: u32) -> &'static str {
    match list {
        3101 => "kjonn",
        3401 => "adressetype",
        7426 => "helsepersonellregisterets_hpr_klassifikasjon_av_spesialiteter",
        7701 => "helsepersonellregisterets_hpr_klassifikasjon_av_rekvisisjonsrett",
        7702 => "helsepersonellregisterets_hpr_klassifikasjon_av_spesialkompetanse",
        7704 => "helsepersonellregisterets_hpr_klassifikasjon_av_autorisasjoner",
        8116 => "type_personidentifikator",
        9043 => "landkoder",
        9060 => "kategori_helsepersonell",
        _ => "kode",
    }
}

const COUNTRIES: [(&str, &str); 4] = [
    ("NO", "Norge"),
    ("SE", "Sverige"),
    ("DK", "Danmark"),
    ("FI", "Finland"),
];

fn text(list: u32, code: &str) -> &'static str {
    if list == 9043 {
        let found = COUNTRIES.iter().find(|(country, _)| *country == code);
        return found.map_or("", |(_, name)| name);
    }
    ::codes::lists::display(&::codes::oid::list(list), code).unwrap_or("")
}

/// A code; nil for none. List 0 is one that the sources do not name.
pub(super) fn code(list: u32, code: &str, at: Moment) -> Value {
    if code.is_empty() {
        return Value::Nil;
    }
    Object::new()
        .with("Aktiv", list == 0 || is_active_code(list, code, at))
        .with("Beskrivelse", text(list, code))
        .with("Kodegruppenavn", group(list))
        .with("OID", list)
        .with("Verdi", code.to_owned())
        .into()
}

/// The same for a short code.
pub(super) fn short(list: u32, value: Short, at: Moment) -> Value {
    code(list, value.as_str(), at)
}
