//! What the owner of the register writes, from the words of the contract to entries.

use super::reads::nin;
use super::{moment, period, wrong};
use edge::soap::{DateTime, Fault, Object};
use jiff::civil::Date;
use registers::PersonName;
use registers::directory::Sex;
use registers::kernel::period::{Moment, Period};
use registers::personnel::rules::is_active_code;
use registers::personnel::{
    Approval, Competence, Condition, Education, Institution, OtherId, Personnel, PostalAddress,
    Reaction, Requisition, Short, Speciality, Suspension,
};

const MAX_TEXT: usize = 2_000;

fn text(object: &Object, name: &str) -> Result<Option<String>, Fault> {
    match object.text(name) {
        Some(text) if text.len() > MAX_TEXT => Err(wrong(format!("{name} er for lang"))),
        found => Ok(found.map(str::to_owned)),
    }
}

/// The value of a code; empty when none is given. New objects take only codes that may be used.
fn code(object: &Object, name: &str, list: u32, at: Moment) -> Result<Short, Fault> {
    let Some(value) = object.object(name).and_then(|code| code.text("Verdi")) else {
        return Ok(Short::default());
    };
    let unknown = || wrong(format!("{name} har en kode som ikke kan brukes"));
    if list != 0 && !is_active_code(list, value, at) {
        return Err(unknown());
    }
    Short::new(value).ok_or_else(unknown)
}

fn needed(object: &Object, name: &str, list: u32, at: Moment) -> Result<Short, Fault> {
    let found = code(object, name, list, at)?;
    if found.is_empty() {
        return Err(wrong(format!("{name} må oppgis")));
    }
    Ok(found)
}

fn valid(object: &Object, name: &str) -> Result<Period, Fault> {
    let Some(given) = object.object(name).map(period) else {
        return Err(wrong(format!("{name} må oppgis")));
    };
    if given.from.is_none() {
        return Err(wrong(format!("{name}.Fra må oppgis")));
    }
    if matches!((given.from, given.to), (Some(from), Some(to)) if to < from) {
        return Err(wrong(format!("{name}.Til er før Fra")));
    }
    Ok(given)
}

fn date(object: &Object, name: &str) -> Option<Date> {
    object.time(name).map(|t: DateTime| t.in_norway().date())
}

/// The fields of a person itself; approvals and the like have operations of their own.
pub(super) fn person(into: &mut Personnel, from: &Object, at: Moment) -> Result<(), Fault> {
    let given = text(from, "Fornavn")?.ok_or_else(|| wrong("Fornavn må oppgis"))?;
    let family = text(from, "Etternavn")?.ok_or_else(|| wrong("Etternavn må oppgis"))?;
    into.name = PersonName {
        given,
        middle: text(from, "Mellomnavn")?,
        family,
    };
    let number = match from.text("NIN") {
        None => None,
        Some(text) => Some(nin(text).ok_or_else(|| wrong("NIN er ugyldig"))?),
    };
    if let Some(before) = into.nin.filter(|before| Some(*before) != number) {
        into.rest.earlier_nins.push(before);
    }
    into.nin = number;
    into.rest.earlier_nins.retain(|n| Some(*n) != number);
    into.born = date(from, "Fødselsdato");
    into.died = date(from, "Dødsdato");
    into.sex = match code(from, "Kjønn", 3101, at)?.as_str() {
        "" => None,
        "1" => Some(Sex::Male),
        "2" => Some(Sex::Female),
        _ => return Err(wrong("Kjønn må være 1 eller 2")),
    };
    into.citizenship = code(from, "Statsborgerskap", 9043, at)?;
    into.rest.addresses = addresses(from, at)?;
    Ok(())
}

fn addresses(from: &Object, at: Moment) -> Result<Vec<PostalAddress>, Fault> {
    let each = |a: &Object| {
        Ok(PostalAddress {
            kind: code(a, "Type", 3401, at)?,
            street: text(a, "Gateadresse")?,
            postbox: text(a, "Postboks")?,
            postcode: text(a, "Postkode")?,
            place: text(a, "Poststed")?,
            country: code(a, "Land", 9043, at)?,
            description: text(a, "Beskrivelse")?,
        })
    };
    from.objects("FysiskeAdresser").map(each).collect()
}

pub(super) fn approval(into: &mut Approval, from: &Object, at: Moment) -> Result<(), Fault> {
    into.profession = needed(from, "Helsepersonellkategori", 9060, at)?;
    into.authorisation = needed(from, "Autorisasjon", 7704, at)?;
    into.valid = valid(from, "Gyldig")?;
    into.ended = code(from, "AvsluttetStatus", 0, at)?;
    into.seldom.internship = from.time("GodkjentTurnus").map(moment);
    into.seldom.converted_from = code(from, "KonvertertFraLand", 9043, at)?;
    Ok(())
}

pub(super) fn requisition(into: &mut Requisition, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = needed(from, "Type", 7701, at)?;
    into.valid = valid(from, "Gyldig")?;
    into.ended = code(from, "AvsluttetStatus", 0, at)?;
    Ok(())
}

pub(super) fn speciality(into: &mut Speciality, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = needed(from, "Type", 7426, at)?;
    into.valid = valid(from, "Gyldig")?;
    into.ended = code(from, "AvsluttetStatus", 0, at)?;
    into.converted_from = code(from, "KonvertertFraLand", 9043, at)?;
    Ok(())
}

pub(super) fn competence(into: &mut Competence, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = needed(from, "Type", 7702, at)?;
    into.valid = valid(from, "Gyldig")?;
    into.ended = code(from, "AvsluttetStatus", 0, at)?;
    Ok(())
}

pub(super) fn suspension(into: &mut Suspension, from: &Object) -> Result<(), Fault> {
    into.period = valid(from, "Periode")?;
    Ok(())
}

pub(super) fn reaction(into: &mut Reaction, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = needed(from, "Type", 0, at)?;
    into.period = valid(from, "Periode")?;
    Ok(())
}

pub(super) fn condition(into: &mut Condition, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = code(from, "Type", 0, at)?;
    into.text = text(from, "Fritekst")?.unwrap_or_default();
    if into.kind.is_empty() && into.text.is_empty() {
        return Err(wrong("Type eller Fritekst må oppgis"));
    }
    Ok(())
}

pub(super) fn other_id(into: &mut OtherId, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = code(from, "Type", 0, at)?;
    into.value = text(from, "Verdi")?.ok_or_else(|| wrong("Verdi må oppgis"))?;
    Ok(())
}

pub(super) fn education(into: &mut Education, from: &Object, at: Moment) -> Result<(), Fault> {
    into.kind = code(from, "Type", 0, at)?;
    into.country = code(from, "Land", 9043, at)?;
    into.diploma = from.time("Vitnemålsdato").map(moment);
    into.institution = from
        .object("Institution")
        .and_then(|i| i.int("Id"))
        .and_then(|id| u32::try_from(id).ok());
    Ok(())
}

pub(super) fn institution(from: &Object, at: Moment) -> Result<Institution, Fault> {
    Ok(Institution {
        name: text(from, "Navn")?.ok_or_else(|| wrong("Navn må oppgis"))?,
        orgnr: from
            .int("Organisasjonsnummer")
            .and_then(|number| u32::try_from(number).ok()),
        kind: code(from, "Type", 0, at)?,
        addresses: addresses(from, at)?,
        deleted: false,
        updated: at,
    })
}
