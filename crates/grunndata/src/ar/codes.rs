//! Codes as the register's answers carry them: value, text, last arc of the list's OID, and the list's name on the wire
//! (spec/grunndata.md §1.2).

use super::Dialect;
use edge::soap::Object;

/// Texts of the types of list 9044 that the published list lacks (seen in answers of the register).
const BUS_TYPES: [(&str, &str); 4] = [
    ("E_SB_ASYNC", "Asynkron AMQP kø"),
    ("E_SB_SYNC", "Synkron AMQP kø"),
    ("E_SB_SYNCREPLY", "Synkron Svar AMQP kø"),
    ("E_SB_ERROR", "Feilmelding AMQP kø"),
];

/// Countries that occur in addresses of parties.
const COUNTRIES: [(&str, &str); 4] = [
    ("NO", "Norge"),
    ("SE", "Sverige"),
    ("DK", "Danmark"),
    ("FI", "Finland"),
];

/// Name of a list on the wire, spelt as the register spells it.
fn simple_type(list: u32, dialect: Dialect) -> &'static str {
    match list {
        3101 => "kjonn",
        3401 => "adressetype",
        3402 if dialect == Dialect::Rest => "kommune",
        3402 => "kommunenummer",
        3403 => "bydel",
        7701 => "helsepersonellregisterets_hpr_klassifikasjon_av_rekvisisjonsrett",
        7702 => "helsepersonellregisterets_hpr_klassifikasjon_av_spesialkompetanse",
        7704 => "helsepersonellregisterets_hpr_klassifikasjon_av_autorisasjoner",
        8658 => "meldingsmottak_i_offentlig_forvaltning",
        8659 => "registre",
        8660 => "bildediagnostikk_og_laboratorier",
        8663 => "kommunale_tjenester",
        8664 => "apotek_og_bandasjister",
        8666 => "andre_helsetjenestetyper",
        8668 => "spesialisthelsetjenester",
        8669 => "tannhelsetjenester",
        9040 => "helsevirksomhet_type",
        9043 => "landkoder",
        9044 => "type_adressekomponeneter",
        9060 => "kategori_helsepersonell",
        0 => "naringskode",
        _ => "kode",
    }
}

/// Text of a code, when it is known.
pub(super) fn text(list: u32, value: &str) -> Option<&'static str> {
    let of = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(code, _)| *code == value);
        found.map(|(_, text)| *text)
    };
    match list {
        3402 => codes::places::municipality(value).map(|m| m.name),
        9043 => of(&COUNTRIES),
        _ => codes::lists::display(&codes::oid::list(list), value)
            .or_else(|| if list == 9044 { of(&BUS_TYPES) } else { None }),
    }
}

/// Whether the code may be given to new objects: known, or of a list that is not here or not here whole.
pub(super) fn is_known(list: u32, value: &str) -> bool {
    text(list, value).is_some()
        || (list != 3402 && codes::lists::list(&codes::oid::list(list)).is_none_or(|l| !l.complete))
}

/// A code on the wire.
pub(super) fn code(list: u32, value: &str, dialect: Dialect) -> Object {
    let mut object = Object::new()
        .with("Active", true)
        .with("CodeText", text(list, value).unwrap_or(""))
        .with("CodeValue", value.to_owned());
    if dialect != Dialect::Soap2016 {
        object.set("LongDescription", None::<String>);
    }
    object.set("OID", list);
    object.set("SimpleType", simple_type(list, dialect));
    object
}

/// Value and list of a code that came in; none where either is missing.
pub(super) fn read(object: Option<&Object>) -> Option<(u32, String)> {
    let object = object?;
    let list = u32::try_from(object.int("OID").unwrap_or(0)).ok()?;
    Some((list, object.text("CodeValue")?.to_owned()))
}
