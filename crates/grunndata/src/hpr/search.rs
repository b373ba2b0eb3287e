//! The parameters of a search (`Søkeparametre`) as conditions.

use super::reads::nin;
use super::{moment, period, wrong};
use edge::soap::{Fault, Object};
use registers::directory::Sex;
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;
use registers::personnel::search::{Part, Search};

const DAY_MS: i64 = 86_400_000;

fn shorts(object: &Object, name: &str) -> Result<Vec<Short>, Fault> {
    object
        .texts(name)
        .map(|text| Short::new(text).ok_or_else(|| wrong(format!("{name} har en ukjent kode"))))
        .collect()
}

fn short(object: &Object, name: &str) -> Result<Option<Short>, Fault> {
    object
        .text(name)
        .map(|text| Short::new(text).ok_or_else(|| wrong(format!("{name} har en ukjent kode"))))
        .transpose()
}

/// A day, or a period: both are given under two names.
fn time(object: &Object, day: &str, within: &str) -> Option<Period> {
    match object.time(day) {
        Some(at) => {
            let from = moment(at).0.div_euclid(DAY_MS) * DAY_MS;
            Some(Period::between(Moment(from), Moment(from + DAY_MS)))
        }
        None => object.object(within).map(period),
    }
}

fn text(object: &Object, name: &str) -> Option<String> {
    object.text(name).map(str::to_owned)
}

pub(super) fn conditions(object: &Object) -> Result<Search, Fault> {
    let part = |kinds: &str, ended: &str, stem: &str, valid: &str| -> Result<Part, Fault> {
        Ok(Part {
            kinds: shorts(object, kinds)?,
            ended: short(object, ended)?,
            from: time(
                object,
                &format!("{stem}FraDato"),
                &format!("{stem}FraPeriode"),
            ),
            to: time(
                object,
                &format!("{stem}TilDato"),
                &format!("{stem}TilPeriode"),
            ),
            valid: object.object(valid).map(period),
        })
    };
    if object.text("PredefinertSøkId").is_some() {
        return Err(wrong("Lagret søk ikke funnet"));
    }
    let mut approval = part(
        "Autorisasjoner",
        "AvsluttetGodkjenningStatus",
        "Godkjenning",
        "Periode",
    )?;
    if let Some(kind) = short(object, "GodkjenningType")? {
        approval.kinds.push(kind);
    }
    let sex = match object.text("Kjønn") {
        None => None,
        Some("1") => Some(Sex::Male),
        Some("2") => Some(Sex::Female),
        Some(_) => return Err(wrong("Kjønn må være 1 eller 2")),
    };
    let hpr = object
        .int("HprNummer")
        .map(|number| u32::try_from(number).map_err(|_| wrong("HprNummer er ugyldig")));
    let number = object
        .text("NIN")
        .map(|text| nin(text).ok_or_else(|| wrong("NIN er ugyldig")));
    Ok(Search {
        name: text(object, "Navn"),
        given: text(object, "Fornavn"),
        middle: text(object, "Mellomnavn"),
        family: text(object, "Etternavn"),
        full_text: text(object, "FullTekst"),
        address: text(object, "Adresse"),
        born: time(object, "Fødselsdato", "FødselsdatoPeriode"),
        died: time(object, "Dødsdato", "DødsdatoPeriode"),
        nin: number.transpose()?,
        hpr: hpr.transpose()?,
        other_ids: object.texts("AlternativeIder").map(str::to_owned).collect(),
        sex,
        citizenships: shorts(object, "Statsborgerskap")?,
        professions: shorts(object, "Helsepersonellkategorier")?,
        approval,
        requisition: part(
            "Rekvisisjonsretter",
            "AvsluttetRekvisisjonsrettStatus",
            "Rekvisisjonsrett",
            "RekvisisjonsrettPeriode",
        )?,
        speciality: part(
            "Spesialiteter",
            "AvsluttetSpesialitetStatus",
            "Spesialitet",
            "SpesialitetPeriode",
        )?,
        competence: part(
            "Tilleggskompetanser",
            "AvsluttetTilleggskompetanseStatus",
            "Tilleggskompetanse",
            "TilleggskompetansePeriode",
        )?,
        condition: text(object, "Vilkår"),
        internship: object.object("GodkjentTurnus").map(period),
        suspended: time(object, "SuspansjonsDato", "SuspansjonsPeriode"),
        changed: object.object("SistEndretPeriode").map(period),
        education_countries: shorts(object, "Utdanningsland")?,
        institutions: object
            .ints("UtdanningsinstutisjonsIder")
            .filter_map(|number| u32::try_from(number).ok())
            .collect(),
        education_kind: short(object, "UtdanningsNivå")?,
        diploma: time(object, "VitnemålsDato", "VitnemålsDatoPeriode"),
    })
}
