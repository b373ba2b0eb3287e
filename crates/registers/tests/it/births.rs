//! Children by a notice of birth: first under a help number, then the same entry under the number of the population
//! register; and addresses abroad on their way through the register.

use crate::place::{Node, everywhere};
use registers::kernel::EntryNo;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::persons::codes::{
    AddressForm, FamilyRole, PersonEvent, PersonStatus, ResponsibilityType, StayElsewhere,
};
use registers::persons::freg::import::{ImportError, Importer, Report};
use registers::persons::freg::source::Items;
use registers::persons::life::REPOSITORY;
use registers::persons::register::Options;
use registers::persons::{PersonDocument, PersonRegister};
use serde_json::{Value, json};
use std::path::Path;

/// 18 November 2026.
const NOW: Moment = Moment(1_795_000_000_000);
const MOTHER: &str = "14888598765";
const SPOUSE: &str = "04885598765";
const CHILD: &str = "01912698765";
const OTHER_CHILD: &str = "01912698766";

fn packed(number: &str) -> Packed {
    Packed::digits(number).unwrap()
}

fn open(node: &Node, folder: &Path) -> PersonRegister {
    PersonRegister::open(node.store.clone(), node.grant(), Options::new(folder)).unwrap()
}

fn take(register: &PersonRegister, items: &[Value]) -> Result<Report, ImportError> {
    let text: Vec<String> = items.iter().map(Value::to_string).collect();
    let mut importer = Importer::new(register, NOW).unwrap();
    for item in Items::open(text.join("\n").as_bytes())? {
        let (place, item) = item?;
        importer.take(place, item)?;
    }
    importer.finish()?;
    Ok(importer.report())
}

fn counts(report: Report) -> (u64, u64, u64) {
    (report.created, report.changed, report.unchanged)
}

fn person(number: &str) -> Value {
    json!({
        "identifikasjonsnummer": [{"status": "iBruk", "foedselsEllerDNummer": number,
            "identifikatortype": "foedselsnummer"}],
        "navn": [{"fornavn": "Kari", "etternavn": "Nummer"}],
        "status": [{"status": "bosatt"}],
    })
}

fn notice(order: Option<&str>, married: bool, day: &str) -> Value {
    let mut child = json!({"foedselsdato": day, "erLevendefoedt": "true", "kjoenn": "kvinne"});
    if let Some(order) = order {
        child["rekkefoelgenummerVedFlerfoedsel"] = order.into();
    }
    json!({"foedselsmelding": {
        "innsending": {"avsendersMeldingsidentifikator": "1",
            "avsendersInnsendingstidspunkt": "2026-11-02T10:00:00+01:00"},
        "forespoersel": {
            "foedsel": {
                "foreldreBorSammen": "true", "foreldreErGift": married.to_string(), "barn": child,
                "mor": {"foedselsEllerDNummer": MOTHER},
                "farEllerMedmor": {"foedselsEllerDNummer": SPOUSE, "erMedmor": "true"},
                "foedested": {"foedselsinstitusjonsnavn": "Fjordgløtt fødestue",
                    "foedekommunenummer": "5501", "foedekommunenavn": "TROMSØ"},
            },
            "registreringsdato": "2026-11-02", "erKorrigertForespoersel": "false",
        },
    }})
}

fn born(sequence: u64, number: &str, order: Option<u8>) -> Value {
    let new = |entity: &str, content: Value| json!({entity: content, "entitet": entity, "entitetsendring": "registrereNy"});
    let mut entries = vec![
        new(
            "identifikasjonsnummer",
            json!({"status": "iBruk", "foedselsEllerDNummer": number, "identifikatortype": "foedselsnummer"}),
        ),
        new(
            "foedsel",
            json!({"foedselsdato": "2026-11-01", "foedeland": "NOR"}),
        ),
        new("status", json!({"status": "bosatt"})),
        new("navn", json!({"fornavn": "Vesle", "etternavn": "Nummer"})),
        new(
            "familierelasjon",
            json!({"relatertPerson": MOTHER, "relatertPersonsRolle": "mor", "minRolleForPerson": "barn"}),
        ),
    ];
    if let Some(order) = order {
        entries.push(new(
            "foedselINorge",
            json!({"rekkefoelgenummer": order.to_string()}),
        ));
    }
    json!({"sekvensnummer": sequence, "hendelse": {"hendelsesdokument": {"hendelse": {
        "folkeregisteridentifikator": number, "hendelsestype": "personErOpprettet",
        "ajourholdstidspunkt": "2026-11-10T12:00:00Z", "egenskapshendelse": entries,
    }}}})
}

fn document(register: &PersonRegister, no: EntryNo) -> PersonDocument {
    register.with(no, |row| row.document()).unwrap().unwrap()
}

fn of(register: &PersonRegister, number: &str) -> PersonDocument {
    document(register, register.find(packed(number)).unwrap().unwrap())
}

/// Numbers of the children of somebody, today.
fn children(register: &PersonRegister, number: &str) -> Vec<Packed> {
    let parent = of(register, number);
    let family = parent.family.at(NOW);
    let children = family.filter(|h| h.value.role == FamilyRole::Child);
    children.filter_map(|h| h.value.person).collect()
}

fn with_parents(test: impl Fn(&PersonRegister)) {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        take(&register, &[person(MOTHER), person(SPOUSE)]).unwrap();
        test(&register);
    });
}

#[test]
fn a_child_stands_under_a_help_number_until_it_has_its_own() {
    with_parents(|register| {
        let told = notice(None, true, "2026-11-01");
        let report = take(register, std::slice::from_ref(&told)).unwrap();
        assert_eq!(counts(report), (1, 2, 0));
        let [help] = children(register, MOTHER)[..] else {
            panic!("one child")
        };
        assert_eq!(children(register, SPOUSE), [help]);
        assert!(help.text(11).starts_with(['8', '9']));
        assert!(codes::ident::Nin::parse(&help.text(11)).is_ok());
        let no = register.find(help).unwrap().unwrap();
        let child = document(register, no);
        assert_eq!(
            child.status.one_at(NOW),
            Some(&PersonStatus::RegisteredAtBirth)
        );
        assert_eq!(child.birth.one_at(NOW).unwrap().municipality, Some(5501));
        let roles: Vec<FamilyRole> = child.family.at(NOW).map(|h| h.value.role).collect();
        assert_eq!(roles, [FamilyRole::Mother, FamilyRole::CoMother]);
        assert!(
            child
                .parental
                .at(NOW)
                .all(|h| h.value.kind == ResponsibilityType::Joint)
        );
        let events = register.log().events(1, 99).unwrap();
        let created = PersonEvent::CreatedAlternateIdentificationNumber;
        assert!(events.iter().any(|e| e.kind == created));

        let again = take(register, &[told]).unwrap();
        assert_eq!((again.created, again.changed), (0, 0), "told twice");
        let corrected = notice(None, true, "2026-10-31");
        assert_eq!(take(register, &[corrected]).unwrap().created, 0);
        let child = document(register, no);
        assert_eq!(child.birth.one_at(NOW).unwrap().key(), 20_261_031);

        let report = take(register, &[born(1, CHILD, None)]).unwrap();
        assert_eq!((report.created, register.len()), (0, 3), "the same entry");
        for number in [packed(CHILD), help] {
            assert_eq!(register.find(number).unwrap(), Some(no));
        }
        for parent in [MOTHER, SPOUSE] {
            assert_eq!(children(register, parent), [packed(CHILD)]);
        }
        let child = of(register, CHILD);
        assert_eq!(child.status.one_at(NOW), Some(&PersonStatus::Resident));
        assert_eq!(child.name.one_at(NOW).unwrap().given, "Vesle");
        assert_eq!(child.birth.one_at(NOW).unwrap().key(), 20_261_101);
        let family: Vec<Option<Packed>> = child.family.at(NOW).map(|h| h.value.person).collect();
        assert_eq!(family, [Some(packed(MOTHER))], "as the register says");
        let in_use: Vec<Packed> = child
            .identifiers
            .at(NOW)
            .filter(|h| h.value.in_use)
            .map(|h| h.value.number)
            .collect();
        assert_eq!(in_use, [packed(CHILD)]);
    });
}

#[test]
fn twins_are_two_and_each_finds_its_own_number() {
    with_parents(|register| {
        let twins = [Some("21"), Some("22")].map(|order| notice(order, false, "2026-11-01"));
        assert_eq!(counts(take(register, &twins).unwrap()), (2, 1, 0));
        let before = children(register, MOTHER);
        assert_eq!(before.len(), 2);
        assert!(children(register, SPOUSE).is_empty(), "not married");
        let first = of(register, &before[0].text(11));
        let responsible = first.parental.at(NOW).next().unwrap();
        assert_eq!(responsible.value.kind, ResponsibilityType::Mother);
        let second = register.find(before[1]).unwrap();
        take(
            register,
            &[born(1, OTHER_CHILD, Some(22)), born(2, CHILD, Some(21))],
        )
        .unwrap();
        assert_eq!(register.len(), 4);
        assert_eq!(register.find(packed(OTHER_CHILD)).unwrap(), second);
        assert_eq!(
            children(register, MOTHER),
            [packed(CHILD), packed(OTHER_CHILD)]
        );
    });
}

#[test]
fn who_cannot_be_told_apart_is_an_entry_of_its_own() {
    with_parents(|register| {
        let twins = [Some("21"), Some("22")].map(|order| notice(order, false, "2026-11-01"));
        take(register, &twins).unwrap();
        let report = take(register, &[born(1, CHILD, None)]).unwrap();
        assert_eq!((report.created, register.len()), (1, 5));
    });
}

#[test]
fn a_stillborn_child_stands_with_its_mother_only() {
    with_parents(|register| {
        let mut told = notice(None, false, "2026-11-01");
        told["foedselsmelding"]["forespoersel"]["foedsel"]["barn"]["erLevendefoedt"] =
            "false".into();
        for changed in [1, 0] {
            let report = take(register, std::slice::from_ref(&told)).unwrap();
            assert_eq!((report.created, report.changed), (0, changed));
        }
        let mother = of(register, MOTHER);
        let lines: Vec<_> = mother.family.at(NOW).collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].value.role, FamilyRole::StillbornChild);
    });
}

#[test]
fn a_birth_to_nobody_is_refused() {
    with_parents(|register| {
        let mut told = notice(None, false, "2026-11-01");
        told["foedselsmelding"]["forespoersel"]["foedsel"]["mor"]["foedselsEllerDNummer"] =
            CHILD.into();
        let refused = take(register, &[told]);
        assert!(matches!(refused, Err(ImportError::Nobody { place: 1 })));
        assert_eq!(register.len(), 2);
    });
}

#[test]
fn an_address_abroad_keeps_its_content() {
    with_parents(|register| {
        let mut abroad = person(CHILD);
        abroad["oppholdsadresse"] = json!([{"adressegradering": "ugradert", "oppholdAnnetSted": "utenriks",
            "utenlandskAdresse": {"coAdressenavn": "c/o Ek", "adressenavn": "Storgatan 4", "bygning": "B",
                "etasjenummer": "2", "boenhet": "21", "postboks": "7", "postkode": "SE-111 22",
                "byEllerStedsnavn": "Stockholm", "distriktsnavn": "Norra", "region": "Uppland", "landkode": "SE"}}]);
        take(register, &[abroad]).unwrap();
        let stay = of(register, CHILD).present.one_at(NOW).cloned().unwrap();
        let foreign = stay.abroad.as_deref().unwrap();
        assert_eq!(stay.form, AddressForm::Foreign);
        assert_eq!(stay.elsewhere, Some(StayElsewhere::Abroad));
        assert_eq!(
            [&stay.care_of, &stay.street, &stay.place],
            ["c/o Ek", "Storgatan 4", "Stockholm"]
        );
        assert_eq!(
            [
                &foreign.building,
                &foreign.floor,
                &foreign.unit,
                &foreign.post_box,
                &foreign.postcode,
                &foreign.district,
                &foreign.region,
                &foreign.country
            ],
            ["B", "2", "21", "7", "SE-111 22", "Norra", "Uppland", "SE"]
        );
    });
}
