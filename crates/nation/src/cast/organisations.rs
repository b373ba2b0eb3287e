//! Fixed organisations and their communication parties.

use codes::ident::{AkoNumber, HerId, HprNumber, Orgnr, ReshId};

use crate::NationError;
use crate::cast::personnel;
use crate::model::{OrgKind, Organisation, Party, PartyKind, Unit};

/// First eight digits of the first fixed organisation number.
const FIRST_ORGNR: u32 = 31_590_001;

struct Row {
    key: &'static str,
    name: &'static str,
    kinds: &'static [OrgKind],
    type_code: &'static str,
    /// Key of the organisation whose main unit this one shares; it draws no main number of its own.
    part_of: Option<&'static str>,
    units: &'static [&'static str],
    her_id: u32,
    municipality: &'static str,
    ako: Option<u32>,
}

/// In the order in which they draw their numbers: main unit, then sub units.
const ROWS: &[Row] = &[
    Row {
        key: "fjordglott",
        name: "Fjordgløtt legesenter AS",
        kinds: &[OrgKind::GpOffice],
        type_code: "103",
        part_of: None,
        units: &["Fjordgløtt legesenter"],
        her_id: 8_900_100,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "karasjok",
        name: "Karasjok kommune",
        kinds: &[OrgKind::GpOffice, OrgKind::Municipality],
        type_code: "102",
        part_of: None,
        units: &["Jergul legekontor"],
        her_id: 8_900_200,
        municipality: "5610",
        ako: None,
    },
    Row {
        key: "nordlys",
        name: "Nordlys universitetssykehus HF",
        kinds: &[OrgKind::Hospital],
        type_code: "101",
        part_of: None,
        units: &["Nordlys universitetssykehus, Breivika"],
        her_id: 8_900_300,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "isbre",
        name: "Isbre Laboratorium AS",
        kinds: &[OrgKind::Laboratory],
        type_code: "105",
        part_of: None,
        units: &["Isbre Laboratorium"],
        her_id: 8_900_400,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "havna",
        name: "Apotek Havna",
        kinds: &[OrgKind::Pharmacy],
        type_code: "108",
        part_of: None,
        units: &["Apotek Havna"],
        her_id: 8_900_500,
        municipality: "5501",
        ako: Some(1990),
    },
    Row {
        key: "tromso",
        name: "Tromsø kommune",
        kinds: &[OrgKind::Municipality],
        type_code: "102",
        part_of: None,
        units: &["Hjemmetjenesten Sentrum", "Helsestasjonen", "Legevakta"],
        her_id: 8_900_600,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "trygghet",
        name: "Trygghetssentralen Nord IKS",
        kinds: &[OrgKind::Municipality],
        type_code: "114",
        part_of: None,
        units: &["Trygghetssentralen Nord"],
        her_id: 8_900_700,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "navet",
        name: "Helsenav drift",
        kinds: &[OrgKind::Hub],
        type_code: "113",
        part_of: None,
        units: &["Helsenav drift"],
        her_id: 8_900_000,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "amk",
        name: "AMK Nordlys",
        kinds: &[OrgKind::Hospital],
        type_code: "101",
        part_of: Some("nordlys"),
        units: &["AMK Nordlys"],
        her_id: 8_900_320,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "reiseklinikk",
        name: "Reiseklinikken Nord AS",
        kinds: &[OrgKind::GpOffice],
        type_code: "116",
        part_of: None,
        units: &["Reiseklinikken Nord"],
        her_id: 8_900_800,
        municipality: "5501",
        ako: None,
    },
    Row {
        key: "vaar-epj",
        name: "Din EPJ AS",
        kinds: &[OrgKind::GpOffice],
        type_code: "103",
        part_of: None,
        units: &["Din EPJ legekontor"],
        her_id: 8_900_900,
        municipality: "5501",
        ako: None,
    },
];

/// (HER-id, organisation, name, code list, code, RESH-id).
type Service = (
    u32,
    &'static str,
    &'static str,
    u32,
    &'static str,
    Option<u32>,
);

const SERVICES: &[Service] = &[
    (
        8_900_109,
        "fjordglott",
        "Fastlege, liste uten fast lege",
        8663,
        "KX17",
        None,
    ),
    (
        8_900_209,
        "karasjok",
        "Fastlegetjeneste",
        8663,
        "KA01",
        None,
    ),
    (
        8_900_301,
        "nordlys",
        "Hjertesykdommer",
        8668,
        "S0306",
        Some(7_090_301),
    ),
    (
        8_900_302,
        "nordlys",
        "Endokrinologi",
        8668,
        "S0301",
        Some(7_090_302),
    ),
    (
        8_900_303,
        "nordlys",
        "Allergologi",
        8668,
        "S0908",
        Some(7_090_303),
    ),
    (
        8_900_304,
        "nordlys",
        "Barnesykdommer",
        8668,
        "S06",
        Some(7_090_304),
    ),
    (
        8_900_305,
        "nordlys",
        "Fellesfaglig avsenderadresse",
        8668,
        "4",
        None,
    ),
    (
        8_900_306,
        "nordlys",
        "PLO innleggelse somatikk",
        8668,
        "1",
        None,
    ),
    (
        8_900_307,
        "nordlys",
        "Medisinsk biokjemi",
        8660,
        "L03",
        Some(7_090_307),
    ),
    (
        8_900_308,
        "nordlys",
        "Bildediagnostikk",
        8660,
        "B",
        Some(7_090_308),
    ),
    (
        8_900_309,
        "nordlys",
        "Medisinsk mikrobiologi",
        8660,
        "L04",
        Some(7_090_309),
    ),
    (
        8_900_310,
        "nordlys",
        "Psykisk helsevern for barn og unge",
        8668,
        "PB",
        Some(7_090_310),
    ),
    (
        8_900_311,
        "nordlys",
        "Indremedisin, akuttmottak",
        8668,
        "S03",
        Some(7_090_311),
    ),
    (8_900_401, "isbre", "Medisinsk biokjemi", 8660, "L03", None),
    (8_900_501, "havna", "Reseptmottak", 8664, "PR", None),
    (8_900_601, "tromso", "Sykepleietjeneste", 8663, "KP02", None),
    (8_900_602, "tromso", "Legevakt", 8663, "KA02", None),
    (
        8_900_603,
        "tromso",
        "Helsestasjons- og skolehelsetjeneste",
        8663,
        "KF01",
        None,
    ),
    (
        8_900_604,
        "tromso",
        "Helsestasjon for ungdom",
        8663,
        "KF0103",
        None,
    ),
    (8_900_605, "tromso", "Smittevern", 8663, "KA0301", None),
    (
        8_900_701,
        "trygghet",
        "Responssentertjeneste",
        8666,
        "KX14",
        None,
    ),
    (8_900_801, "reiseklinikk", "Vaksinasjon", 8666, "06", None),
    (8_900_901, "vaar-epj", "Allmennlege", 8666, "05", None),
    (8_900_001, "navet", "Reseptformidleren", 8658, "1", None),
    (8_900_002, "navet", "Kjernejournal", 8658, "2", None),
    (
        8_900_003,
        "navet",
        "Digitale innbyggertjenester",
        8658,
        "4",
        None,
    ),
    (8_900_004, "navet", "Meldingsvalidering", 8658, "6", None),
    (
        8_900_005,
        "navet",
        "Fødselsmelding/personnummertildeling",
        8658,
        "7",
        None,
    ),
    (
        8_900_006,
        "navet",
        "Velferdsteknologisk knutepunkt",
        8658,
        "10",
        None,
    ),
    (
        8_900_007,
        "navet",
        "Personverninnstillinger innbygger",
        8658,
        "11",
        None,
    ),
    (8_900_008, "navet", "Prøvesvar, mottak", 8666, "02", None),
    (8_900_009, "navet", "Dokumenter, mottak", 8666, "02", None),
    (8_900_010, "navet", "MSIS", 8659, "4", None),
    (8_900_011, "navet", "SYSVAK", 8659, "7", None),
];

/// Numbers of an ascending series, numbers without a control digit left out.
pub(crate) struct OrgnrSeries(u32);

impl OrgnrSeries {
    pub(crate) fn from(first_eight: u32) -> Self {
        Self(first_eight)
    }

    pub(crate) fn draw(&mut self) -> Result<Orgnr, NationError> {
        while self.0 <= 99_999_999 {
            let candidate = Orgnr::build(self.0);
            self.0 += 1;
            if let Some(orgnr) = candidate {
                return Ok(orgnr);
            }
        }
        Err(NationError::Population)
    }
}

pub(crate) fn edi_address(key: &str) -> String {
    format!("edi@{key}.demo.invalid")
}

pub(crate) fn build() -> Result<Vec<Organisation>, NationError> {
    let mut series = OrgnrSeries::from(FIRST_ORGNR);
    let mut organisations: Vec<Organisation> = Vec::new();
    for row in ROWS {
        let shared = row.part_of.and_then(|key| {
            organisations
                .iter()
                .find(|o| o.key == Some(key))
                .map(|o| o.orgnr)
        });
        let orgnr = match shared {
            Some(orgnr) => orgnr,
            None => series.draw()?,
        };
        let mut units = Vec::new();
        for name in row.units {
            units.push(Unit {
                orgnr: series.draw()?,
                name: (*name).to_owned(),
            });
        }
        organisations.push(Organisation {
            key: Some(row.key),
            name: row.name.to_owned(),
            kinds: row.kinds.to_vec(),
            type_code: row.type_code,
            orgnr,
            units,
            her_id: HerId(row.her_id),
            edi_address: edi_address(row.key),
            municipality: row.municipality,
            ako: row.ako.map(AkoNumber),
            part_of: row.part_of,
            parties: parties(row.key),
        });
    }
    Ok(organisations)
}

fn parties(key: &str) -> Vec<Party> {
    let persons = personnel::ROWS.iter().filter_map(|p| {
        let her_id = p.her_id.filter(|_| p.organisation == key)?;
        Some(Party {
            her_id: HerId(her_id),
            name: personnel::full_name(p),
            kind: PartyKind::Person {
                hpr: HprNumber(p.hpr?),
            },
        })
    });
    let services = SERVICES.iter().filter(|s| s.1 == key).map(|s| Party {
        her_id: HerId(s.0),
        name: s.2.to_owned(),
        kind: PartyKind::Service {
            list: s.3,
            code: s.4,
            resh: s.5.map(ReshId),
        },
    });
    let mut all: Vec<Party> = persons.chain(services).collect();
    all.sort_by_key(|p| p.her_id);
    all
}
