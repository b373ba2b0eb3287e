//! Who the patient is: B15-B19.
//!
//! Source: messaging.md §2 rule 2 (sufficient is name + fnr, name + birth date + sex, name + D-number, or name + common
//! help number; a referral for immediate help is always taken), story.md §7, nilar.md §2.2 and §2.7.

use codes::ident::{Nin, NinError, NinKind, NinRules, transposition_hint};

use super::{Context, Rule, Text};
use crate::apprec::ErrorCode;
use crate::message::{MessageKind, PatientIdent, PatientRef};

const RULE: &str = "HIS 80415: pasientidentifikasjon";

pub(super) fn check(c: &mut Context<'_>) {
    let Some(header) = c.header else { return };
    if c.identified.kind == MessageKind::AppRec {
        return;
    }
    let Some(patient) = &header.patient else {
        no_patient(c);
        return;
    };
    match patient.national_id() {
        Some(id) => national_id(c, patient, id),
        None => without_national_id(c, patient),
    }
    if patient.family_name.is_none() {
        c.warn(
            Rule::PatientData,
            RULE,
            patient.at,
            "Pasientens navn mangler",
            "The patient's name is missing",
        );
    }
}

fn no_patient(c: &mut Context<'_>) {
    let at = match c.identified.kind {
        // An answer may be about an animal or a material.
        MessageKind::Svarrapport => match c.root.child("ServReport") {
            Some(r) if r.child("Animal").is_none() && r.child("Material").is_none() => r.at,
            _ => return,
        },
        MessageKind::Epikrise => c.root.at,
        MessageKind::Henvisning => c.root.child("MsgInfo").map_or(c.root.at, |i| i.at),
        _ => return,
    };
    missing(c, at);
}

/// B18.
fn missing(c: &mut Context<'_>, at: crate::xml::At) {
    c.error(
        Rule::PatientId,
        ErrorCode::E30,
        RULE,
        at,
        "Pasienten mangler fødselsnummer, D-nummer eller felles hjelpenummer",
        "The patient has no national identity number, D-number or common help number",
    );
}

/// Neither fnr nor D-number nor help number: other kinds of identifier alone identify nobody (B18, B19).
fn without_national_id(c: &mut Context<'_>, p: &PatientRef) {
    let birth = p.birth_date.is_some();
    let named = p.family_name.is_some();
    if is_immediate_help(c) {
        c.warn(
            Rule::PatientData,
            RULE,
            p.at,
            "Pasienten er ikke sikkert identifisert; tas imot fordi henvisningen gjelder øyeblikkelig hjelp (8304: 0)",
            "The patient is not safely identified; accepted because the referral is for immediate help (8304: 0)",
        );
        return;
    }
    let stored_by_id = matches!(
        c.identified.kind,
        MessageKind::Svarrapport | MessageKind::Epikrise
    );
    match (named && birth, p.sex.is_some()) {
        (true, true) if !stored_by_id => c.warn(
            Rule::PatientId,
            RULE,
            p.at,
            "Pasienten er bare identifisert med navn, fødselsdato og kjønn",
            "The patient is identified by name, birth date and sex only",
        ),
        (true, false) => c.error(
            Rule::PatientData,
            ErrorCode::E36,
            RULE,
            p.at,
            "Pasienten kan ikke identifiseres med bare navn og fødselsdato; oppgi fødselsnummer, eller kjønn i tillegg",
            "Name and birth date alone do not identify the patient; give a national identity number, or the sex as well",
        ),
        _ => missing(c, p.at),
    }
}

/// 8304 `0` in a referral 2.0.
fn is_immediate_help(c: &Context<'_>) -> bool {
    c.identified.kind == MessageKind::Henvisning
        && c.business()
            .descend(&["ReqServ", "Priority"])
            .and_then(|e| e.attr("V"))
            == Some("0")
}

fn national_id(c: &mut Context<'_>, p: &PatientRef, id: &PatientIdent) {
    let rules = if c.options.production {
        NinRules::PRODUCTION
    } else {
        NinRules::TEST
    };
    let nin = match Nin::parse_with(id.id.trim(), rules) {
        Ok(nin) => nin,
        // Laboratories fill the mandatory field with numbers of their own: that is no identifier at all.
        Err(NinError::Length { .. } | NinError::NotDigits { .. })
            if c.identified.kind == MessageKind::Svarrapport =>
        {
            missing(c, id.at);
            return;
        }
        Err(e) => {
            wrong(c, id, e);
            return;
        }
    };
    c.pass(
        "Pasientens fødselsnummer er riktig bygget (kontrollsifre stemmer)",
        "The patient's national identity number is well formed (control digits fit)",
    );
    agreement(c, p, id, nin);
    match c.options.lookups.person_exists(&nin) {
        Some(true) => c.pass(
            "Pasienten finnes i Folkeregisteret",
            "The patient is in the population register",
        ),
        Some(false) => c.error(
            Rule::NationalIdKnown,
            ErrorCode::E53,
            "Folkeregisteret",
            id.at,
            "Ingen har dette fødselsnummeret eller D-nummeret",
            "Nobody has this national identity number or D-number",
        ),
        None => c.skip(
            Text::new(
                "Om pasienten finnes i Folkeregisteret (E53)",
                "Whether the patient is in the population register (E53)",
            ),
            Text::new(
                "valider i et kjørende nav, som har registrene",
                "validate in a running hub, which has the registers",
            ),
        ),
    }
}

/// B15, and B16 with its hint.
fn wrong(c: &mut Context<'_>, id: &PatientIdent, e: NinError) {
    let (mut nb, mut en) = match e {
        NinError::Length { .. } => ("det skal ha 11 sifre", "it must have 11 digits"),
        NinError::NotDigits { .. } => ("det skal bare ha sifre", "it must be digits only"),
        NinError::BadMonth | NinError::BadDate => (
            "de seks første sifrene er ingen dato",
            "the first six digits are no date",
        ),
        NinError::FirstCheckDigit | NinError::SecondCheckDigit => (
            "kontrollsifrene stemmer ikke",
            "the control digits do not fit",
        ),
        NinError::Synthetic => (
            "det er et syntetisk nummer, som ikke tas imot i produksjon",
            "it is synthetic, which is refused in production",
        ),
        NinError::WrongKind => (
            "det hører til en annen nummerserie",
            "it belongs to another series",
        ),
    };
    let hint;
    if let Some(t) = transposition_hint(id.id.trim()) {
        hint = (
            format!(
                "{nb}; to sifre kan være byttet om (siffer {} og {})",
                t.first,
                t.first + 1
            ),
            format!(
                "{en}; two digits may have been swapped (digits {} and {})",
                t.first,
                t.first + 1
            ),
        );
        (nb, en) = (&hint.0, &hint.1);
    }
    c.error(
        Rule::NationalId,
        ErrorCode::E31,
        RULE,
        id.at,
        &format!("Pasientens fødselsnummer er feil: {nb}"),
        &format!("The patient's national identity number is wrong: {en}"),
    );
}

/// Type, birth date and sex should agree with the number.
fn agreement(c: &mut Context<'_>, p: &PatientRef, id: &PatientIdent, nin: Nin) {
    if nin.kind().type_code() != id.kind {
        let (nb, en) = match nin.kind() {
            NinKind::Fnr => ("et fødselsnummer (FNR)", "a national identity number (FNR)"),
            NinKind::Dnr => ("et D-nummer (DNR)", "a D-number (DNR)"),
            NinKind::Fhn => ("et felles hjelpenummer (FHN)", "a common help number (FHN)"),
        };
        c.warn(
            Rule::PatientAgrees,
            "8116",
            id.at,
            format!(
                "Typen sier {}, men nummeret er {nb}",
                id.kind.chars().take(5).collect::<String>()
            ),
            format!(
                "The type says {}, but the number is {en}",
                id.kind.chars().take(5).collect::<String>()
            ),
        );
    }
    let stated = p.birth_date.as_ref().and_then(|b| b.day());
    if let (Some(stated), Some(inside)) = (stated, nin.birth_date())
        && stated != inside
    {
        let at = p.birth_date.as_ref().map(|b| b.at).unwrap_or_default();
        c.warn(
            Rule::PatientAgrees,
            RULE,
            at,
            "Fødselsdatoen stemmer ikke med fødselsnummeret",
            "The birth date does not agree with the national identity number",
        );
    }
    if let (Some(stated @ ("1" | "2")), Some(inside)) = (p.sex.as_deref(), nin.sex())
        && stated != inside.code()
    {
        c.warn(
            Rule::PatientAgrees,
            RULE,
            p.at,
            "Kjønn stemmer ikke med fødselsnummeret",
            "The sex does not agree with the national identity number",
        );
    }
}
