//! Documents of our own, read and applied. Synthetic numbers of months above 80.

use super::event::{self, Kind};
use super::source::{Item, Items, of_text};
use super::tree::Tree;
use super::{Wrong, person};
use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use crate::persons::PersonDocument;
use crate::persons::codes::{
    AddressForm, FamilyRole, Gender, GuardianshipScope, MaritalStatusType, OtherPart, PersonStatus,
    ProtectionLevel, ResponsibilityType,
};
use jiff::civil::Date;
use proptest::prelude::*;

const PERSON: &str = r#"<folkeregisterperson xmlns="folkeregisteret:tilgjengeliggjoering:person:v1">
<identifikasjonsnummer><ajourholdstidspunkt>2020-01-02T03:04:05.000+01:00</ajourholdstidspunkt><erGjeldende>true</erGjeldende><kilde>KILDE_DSF</kilde><gyldighetstidspunkt>2020-01-02T00:00:00Z</gyldighetstidspunkt><status>iBruk</status><foedselsEllerDNummer>14888598765</foedselsEllerDNummer><identifikatortype>foedselsnummer</identifikatortype></identifikasjonsnummer>
<identifikasjonsnummer><erGjeldende>false</erGjeldende><gyldighetstidspunkt>2010-01-02T00:00:00</gyldighetstidspunkt><opphoerstidspunkt>2020-01-02T00:00:00</opphoerstidspunkt><status>opphoert</status><foedselsEllerDNummer>54888598765</foedselsEllerDNummer><identifikatortype>dNummer</identifikatortype></identifikasjonsnummer>
<identitetsgrunnlag><identitetsgrunnlagstatus>kontrollert</identitetsgrunnlagstatus></identitetsgrunnlag>
<status><status>bosatt</status></status>
<sivilstand><sivilstand>gift</sivilstand><sivilstandsdato>2012-06-01</sivilstandsdato><relatertVedSivilstand>04885598765</relatertVedSivilstand></sivilstand>
<familierelasjon><relatertPerson>14885598765</relatertPerson><relatertPersonsRolle>mor</relatertPersonsRolle><minRolleForPerson>barn</minRolleForPerson></familierelasjon>
<bostedsadresse><gyldighetstidspunkt>2020-01-02T00:00:00Z</gyldighetstidspunkt><vegadresse><kommunenummer>0301</kommunenummer><bruksenhetsnummer>H0101</bruksenhetsnummer><adressenavn>Øvre gate</adressenavn><adressenummer><husnummer>12</husnummer><husbokstav>B</husbokstav></adressenummer><poststed><poststedsnavn>OSLO</poststedsnavn><postnummer>0184</postnummer></poststed></vegadresse><adressegradering>ugradert</adressegradering><flyttedato>2020-01-02</flyttedato><grunnkrets>3010101</grunnkrets></bostedsadresse>
<oppholdsadresse><matrikkeladresse><matrikkelnummer><kommunenummer>5501</kommunenummer><gaardsnummer>12</gaardsnummer><bruksnummer>3</bruksnummer></matrikkelnummer><poststed><postnummer>9008</postnummer></poststed></matrikkeladresse><adressegradering>klientadresse</adressegradering></oppholdsadresse>
<postadresse><adressegradering>ugradert</adressegradering><postboksadresse><postboks>17</postboks><poststed><poststedsnavn>OSLO</poststedsnavn><postnummer>0101</postnummer></poststed></postboksadresse></postadresse>
<adressebeskyttelse><graderingsnivaa>ugradert</graderingsnivaa></adressebeskyttelse>
<kjoenn><kjoenn>kvinne</kjoenn></kjoenn>
<statsborgerskap><statsborgerskap>NOR</statsborgerskap></statsborgerskap>
<foreldreansvar><ansvar>felles</ansvar><ansvarssubjekt>14891598765</ansvarssubjekt></foreldreansvar>
<foedsel><foedselsdato>1985-08-14</foedselsdato><foedselsaar>1985</foedselsaar><foedekommuneINorge>0301</foedekommuneINorge><foedeland>NOR</foedeland></foedsel>
<navn><fornavn>Kari</fornavn><mellomnavn>Berg</mellomnavn><etternavn>Ås</etternavn></navn>
<vergemaalEllerFremtidsfullmakt><vergemaaltype>voksen</vergemaaltype><embete>statsforvalterenITroms</embete><verge><foedselsEllerDNummer>04885598765</foedselsEllerDNummer><omfang>personligeInteresser</omfang></verge></vergemaalEllerFremtidsfullmakt>
<brukAvSamiskSpraak><spraak>nordsamisk</spraak></brukAvSamiskSpraak>
<noeNytt><hva>ingen vet</hva></noeNytt>
</folkeregisterperson>"#;

fn person_of(text: &str) -> PersonDocument {
    match of_text(text).unwrap() {
        Item::Person(person) => *person,
        _ => panic!("no person"),
    }
}

fn day(year: i16, month: i8, day: i8) -> Moment {
    Moment::of_day(Date::constant(year, month, day))
}

#[test]
fn a_person_document_with_everything() {
    let p = person_of(&PERSON.replace('\n', ""));
    let now = day(2026, 11, 23);
    let own = p.identifiers.all().next().unwrap();
    assert!(own.value.in_use && own.value.number == Packed(14_888_598_765));
    assert_eq!(own.origin.source.as_deref(), Some("KILDE_DSF"));
    assert_eq!(own.origin.registered.0, 1_577_930_645_000);
    assert_eq!(p.identifiers.at(now).count(), 1, "the D-number is over");
    assert_eq!(p.status.one_at(now), Some(&PersonStatus::Resident));
    assert_eq!(p.gender.one_at(now), Some(&Gender::Female));
    let marital = p.marital.one_at(now).unwrap();
    assert_eq!(marital.status, MaritalStatusType::Married);
    assert_eq!(
        p.family.at(now).next().unwrap().value.role,
        FamilyRole::Mother
    );
    let home = p.residential.one_at(now).unwrap();
    assert_eq!(
        (home.line(), home.postcode, home.basic_unit),
        ("Øvre gate 12B".to_owned(), 184, Some(3_010_101))
    );
    let stay = p.present.one_at(now).unwrap();
    assert_eq!(
        (stay.form, &*stay.number),
        (AddressForm::Cadastral, "12/3/0/0")
    );
    assert_eq!(stay.grading, ProtectionLevel::ClientAddress);
    assert_eq!(p.citizenship.one_at(now).map(String::as_str), Some("NOR"));
    let responsibility = &p.parental.at(now).next().unwrap().value;
    assert_eq!(responsibility.kind, ResponsibilityType::Joint);
    assert_eq!(p.birth.one_at(now).unwrap().key(), 19_850_814);
    assert_eq!(p.name.one_at(now).unwrap().middle.as_deref(), Some("Berg"));
    let guardian = p.guardianship.one_at(now).unwrap();
    assert!(guardian.personal && guardian.scope == Some(GuardianshipScope::PersonalInterests));
    let other = |part| p.other[&part].one_at(now).unwrap().clone();
    assert_eq!(
        other(OtherPart::PostalAddress),
        serde_json::json!({"addressConfidentiality": "Unclassified", "postBoxAddress":
            {"postBoxIdentification": "17", "city": {"cityName": "OSLO", "postalCode": "0101"}}})
    );
    assert_eq!(
        other(OtherPart::IdentityVerification)["identityVerificationStatus"],
        "Verified"
    );
    assert_eq!(
        other(OtherPart::UseOfSamiLanguage)["language"][0],
        "Nordsamisk"
    );
}

#[test]
fn json_of_the_same_names_is_the_same_person() {
    let xml = r#"<folkeregisterperson><identifikasjonsnummer><status>iBruk</status><foedselsEllerDNummer>14888598765</foedselsEllerDNummer><identifikatortype>foedselsnummer</identifikatortype></identifikasjonsnummer><navn><fornavn>Kari</fornavn><etternavn>Ås</etternavn></navn><foedsel><foedselsaar>1985</foedselsaar></foedsel></folkeregisterperson>"#;
    let json = r#"{"identifikasjonsnummer":[{"status":"iBruk","foedselsEllerDNummer":"14888598765","identifikatortype":"foedselsnummer"}],"navn":[{"fornavn":"Kari","etternavn":"Ås","mellomnavn":null}],"foedsel":[{"foedselsaar":1985}]}"#;
    assert!(person_of(xml) == person_of(json));
    assert_eq!(
        person_of(json).birth.one_at(Moment(0)).unwrap().year,
        Some(1985)
    );
}

#[test]
fn what_is_wrong_is_named_and_nothing_of_the_value() {
    let id = |inner: &str| {
        format!(
            "<folkeregisterperson><identifikasjonsnummer>{inner}</identifikasjonsnummer></folkeregisterperson>"
        )
    };
    let good = "<status>iBruk</status><foedselsEllerDNummer>14888598765</foedselsEllerDNummer><identifikatortype>foedselsnummer</identifikatortype>";
    let with = |more: &str| {
        id(good).replace(
            "</folkeregisterperson>",
            &format!("{more}</folkeregisterperson>"),
        )
    };
    let cases = [
        (id(""), Wrong::Missing("foedselsEllerDNummer")),
        (
            id(&good.replace("14888598765", "1488859876")),
            Wrong::Value("foedselsEllerDNummer"),
        ),
        (
            id(&good.replace("iBruk", "kanskje")),
            Wrong::Value("status"),
        ),
        (
            with("<navn><fornavn>A</fornavn></navn>"),
            Wrong::Missing("etternavn"),
        ),
        (
            with("<doedsfall><doedsdato>31.12.2020</doedsdato></doedsfall>"),
            Wrong::Value("doedsdato"),
        ),
        (
            with(
                "<status><gyldighetstidspunkt>i går</gyldighetstidspunkt><status>bosatt</status></status>",
            ),
            Wrong::Value("gyldighetstidspunkt"),
        ),
        (
            with("<bostedsadresse><adressegradering>ukjent</adressegradering></bostedsadresse>"),
            Wrong::Value("adressegradering"),
        ),
        (
            with("<statsborgerskap><statsborgerskap>Norge</statsborgerskap></statsborgerskap>"),
            Wrong::Value("statsborgerskap"),
        ),
        (
            "<folkeregisterperson/>".to_owned(),
            Wrong::Missing("identifikasjonsnummer"),
        ),
        ("<dokumentForHendelse/>".to_owned(), Wrong::Unnumbered),
        (
            "<foedselsmelding/>".to_owned(),
            Wrong::Missing("forespoersel"),
        ),
        ("<noe/>".to_owned(), Wrong::Unknown),
        ("{\"noe\": 1, \"annet\": 2}".to_owned(), Wrong::Unknown),
        (
            "{\"sekvensnummer\": 0, \"hendelse\": {}}".to_owned(),
            Wrong::Value("sekvensnummer"),
        ),
        (
            "{\"sekvensnummer\": 4, \"hendelse\": {\"hendelsesdokument\": \"17\"}}".to_owned(),
            Wrong::Value("hendelsesdokument"),
        ),
    ];
    for (text, wrong) in cases {
        assert_eq!(of_text(&text).unwrap_err(), wrong, "{text}");
    }
    for text in ["{", "<a>", "<!DOCTYPE a []><a/>", "", "[1]"] {
        assert!(of_text(text).is_err(), "{text}");
    }
}

fn event_of(kind: &str, entries: &str) -> event::Event {
    let xml = format!(
        "<dokumentForHendelse xmlns=\"folkeregisteret:tilgjengeliggjoering:hendelse:v1\"><dokumentidentifikator>1</dokumentidentifikator><skjemaversjon>1.4</skjemaversjon><hendelse><folkeregisteridentifikator>14888598765</folkeregisteridentifikator><hendelsestype>{kind}</hendelsestype><ajourholdstidspunkt>2026-03-01T12:00:00Z</ajourholdstidspunkt>{entries}</hendelse></dokumentForHendelse>"
    );
    event::read(&Tree::of_xml(&xml).unwrap().1).unwrap()
}

fn entry(entity: &str, how: &str, content: &str) -> String {
    format!(
        "<egenskapshendelse><{entity}>{content}</{entity}><entitet>{entity}</entitet><entitetsendring>{how}</entitetsendring></egenskapshendelse>"
    )
}

#[test]
fn a_move_ends_the_earlier_address() {
    let mut p = person_of(&PERSON.replace('\n', ""));
    let content = "<gyldighetstidspunkt>2026-03-01T00:00:00Z</gyldighetstidspunkt><vegadresse><kommunenummer>5501</kommunenummer><adressenavn>Storgata</adressenavn></vegadresse><adressegradering>ugradert</adressegradering><flyttedato>2026-03-01</flyttedato>";
    let event = event_of(
        "endringIBostedsadresse",
        &entry("bostedsadresse", "registrereNy", content),
    );
    event.apply(&mut p);
    assert_eq!(
        p.residential.one_at(day(2026, 2, 28)).unwrap().municipality,
        301
    );
    assert_eq!(
        p.residential.one_at(day(2026, 3, 1)).unwrap().municipality,
        5501
    );
    let before = p.clone();
    event.apply(&mut p);
    assert!(p == before, "the same event again changes nothing");
}

#[test]
fn a_death_and_its_annulment() {
    let mut p = person_of(&PERSON.replace('\n', ""));
    let status =
        "<gyldighetstidspunkt>2026-02-20T00:00:00Z</gyldighetstidspunkt><status>doed</status>";
    let death = "<gyldighetstidspunkt>2026-02-20T00:00:00Z</gyldighetstidspunkt><doedsdato>2026-02-20</doedsdato>";
    let entries =
        entry("doedsfall", "registrereNy", death) + &entry("status", "registrereNy", status);
    event_of("personErDoed", &entries).apply(&mut p);
    let now = day(2026, 3, 2);
    assert_eq!(p.death.one_at(now), Some(&Date::constant(2026, 2, 20)));
    assert_eq!(p.status.one_at(now), Some(&PersonStatus::Deceased));
    let entries = "<egenskapshendelse><entitet>doedsfall</entitet><entitetsendring>annullere</entitetsendring></egenskapshendelse>".to_owned()
        + &entry("status", "annullere", status);
    event_of("endringIDoedsfall", &entries).apply(&mut p);
    assert_eq!(p.death.one_at(now), None);
    assert_eq!(
        p.status.one_at(now),
        Some(&PersonStatus::Resident),
        "what had ended holds again"
    );
}

#[test]
fn corrections_replace_and_earlier_ones_stay_history() {
    let mut p = person_of(&PERSON.replace('\n', ""));
    let name = |from: &str, given: &str| {
        format!(
            "<gyldighetstidspunkt>{from}</gyldighetstidspunkt><fornavn>{given}</fornavn><etternavn>Ås</etternavn>"
        )
    };
    event_of(
        "endringINavn",
        &entry(
            "navn",
            "registrereNy",
            &name("2025-01-01T00:00:00Z", "Kåri"),
        ),
    )
    .apply(&mut p);
    event_of(
        "endringINavn",
        &entry("navn", "korrigere", &name("2025-01-01T00:00:00Z", "Karin")),
    )
    .apply(&mut p);
    assert_eq!(p.name.one_at(day(2025, 1, 1)).unwrap().given, "Karin");
    assert_eq!(p.name.one_at(day(2024, 1, 1)).unwrap().given, "Kari");
    event_of(
        "endringINavn",
        &entry("navn", "annullere", &name("2025-01-01T00:00:00Z", "Karin")),
    )
    .apply(&mut p);
    assert_eq!(p.name.one_at(day(2026, 1, 1)).unwrap().given, "Kari");
    assert_eq!(p.name.all().count(), 3, "nothing is forgotten");
}

#[test]
fn relations_and_guardians_come_and_go_beside_others() {
    let mut p = person_of(&PERSON.replace('\n', ""));
    let child = "<gyldighetstidspunkt>2026-03-01T00:00:00Z</gyldighetstidspunkt><relatertPerson>01922698765</relatertPerson><relatertPersonsRolle>barn</relatertPersonsRolle><minRolleForPerson>mor</minRolleForPerson>";
    event_of(
        "endringIFamilierelasjon",
        &entry("familierelasjon", "registrereNy", child),
    )
    .apply(&mut p);
    let now = day(2026, 3, 2);
    assert_eq!(p.family.at(now).count(), 2);
    event_of(
        "endringIFamilierelasjon",
        &entry("familierelasjon", "annullere", child),
    )
    .apply(&mut p);
    assert_eq!(p.family.at(now).count(), 1);
    let ended = "<opphoerstidspunkt>2026-03-01T00:00:00Z</opphoerstidspunkt><vergemaaltype>voksen</vergemaaltype><embete>statsforvalterenITroms</embete><verge><foedselsEllerDNummer>04885598765</foedselsEllerDNummer><omfang>personligeInteresser</omfang></verge>";
    event_of(
        "endringIVergemaal",
        &entry("vergemaalEllerFremtidsfullmakt", "korrigere", ended),
    )
    .apply(&mut p);
    assert_eq!(p.guardianship.at(now).count(), 0);
}

#[test]
fn kinds_of_events() {
    for (name, kind) in [
        ("personErOpprettet", Kind::Created),
        (
            "personErViderefoertSomGjeldendeVedSammenslaaing",
            Kind::Continued,
        ),
        ("personErOpphoertSomDublett", Kind::Duplicate),
        ("personErGjenopprettetVedSplitting", Kind::Restored),
        ("endringINavn", Kind::Other),
        ("noeHeltNytt", Kind::Other),
    ] {
        assert_eq!(event_of(name, "").kind, kind);
    }
}

#[test]
fn what_is_the_hubs_own_survives_a_new_document() {
    let mut old = person_of(&PERSON.replace('\n', ""));
    let help = crate::persons::document::Identifier::parse("83456789012").unwrap();
    let origin = crate::kernel::timeline::Origin::at(Moment(0));
    let _ = old.identifiers.add(help, Moment(0), origin.clone());
    let mut contact = crate::kernel::timeline::Timeline::default();
    let _ = contact.set(serde_json::json!({"language": "se"}), Moment(0), origin);
    old.other
        .insert(OtherPart::CommonContactRegisterInformation, contact);
    let new = person::replacing(&old, person_of(&PERSON.replace('\n', "")));
    assert!(new.identifiers.all().any(|h| h.value == help));
    assert!(
        new.other
            .contains_key(&OtherPart::CommonContactRegisterInformation)
    );
    assert!(person::replacing(&new, person_of(&PERSON.replace('\n', ""))) == new);
}

#[test]
fn forms_of_files() {
    let one = PERSON.replace('\n', "");
    let lines = format!("{one}\n\n{one}\n");
    let whole =
        format!("<?xml version=\"1.0\"?>\n<personer xmlns:p=\"x\">\n{PERSON}{PERSON}</personer>");
    let single = format!("<?xml version=\"1.0\"?>\n{PERSON}");
    for (text, count) in [(&lines, 2), (&whole, 2), (&single, 1), (&one, 1)] {
        let items: Vec<_> = Items::open(text.as_bytes()).unwrap().collect();
        assert_eq!(items.len(), count);
        assert!(
            items
                .into_iter()
                .all(|item| matches!(item, Ok((_, Item::Person(_)))))
        );
    }
    let broken = format!("{one}\n{{\"a\"\n{one}\n");
    let items: Vec<_> = Items::open(broken.as_bytes()).unwrap().collect();
    assert!(items[0].is_ok() && items[1].is_err() && items[2].is_ok());
    assert!(
        items[1]
            .as_ref()
            .unwrap_err()
            .to_string()
            .starts_with("item 2: ")
    );
    let feed = format!(
        "{{\"sekvensnummer\":\"7\",\"hendelse\":{{\"hendelsesdokument\":{}}}}}\n",
        serde_json::json!(
            "<dokumentForHendelse><hendelse><folkeregisteridentifikator>14888598765</folkeregisteridentifikator><hendelsestype>endringINavn</hendelsestype><ajourholdstidspunkt>2026-03-01T12:00:00Z</ajourholdstidspunkt></hendelse></dokumentForHendelse>"
        )
    );
    let item = Items::open(feed.as_bytes())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(matches!(item, (1, Item::Event(7, _))));
    let birth = "<foedselsmelding xmlns=\"folkeregisteret:melding:nyfolkeregisterperson:foedselsmelding:v1\"><forespoersel><foedsel><foreldreErGift>false</foreldreErGift><barn><foedselsdato>2026-03-01</foedselsdato><erLevendefoedt>1</erLevendefoedt><kjoenn>mann</kjoenn></barn><mor><foedselsEllerDNummer>14888598765</foedselsEllerDNummer></mor><foedestedIUtlandet><foedeland>SWE</foedeland><foedestedIUtlandet>Kiruna</foedestedIUtlandet></foedestedIUtlandet></foedsel><registreringsdato>2026-03-02</registreringsdato></forespoersel></foedselsmelding>";
    let Ok(Item::Birth(told)) = of_text(birth) else {
        panic!("no birth")
    };
    assert!(told.alive && told.mother == Packed(14_888_598_765));
    assert_eq!(told.day, Date::constant(2026, 3, 1));
    assert_eq!(format!("{told:?}"), "BirthNotice(…)");
    for (was, put, wrong) in [
        (
            "<foedselsEllerDNummer>14888598765</foedselsEllerDNummer>",
            "",
            Wrong::Missing("the number of mor"),
        ),
        (
            "<kjoenn>",
            "<rekkefoelgenummerVedFlerfoedsel>24</rekkefoelgenummerVedFlerfoedsel><kjoenn>",
            Wrong::Value("rekkefoelgenummerVedFlerfoedsel"),
        ),
        ("mann", "annet", Wrong::Value("kjoenn")),
    ] {
        let damaged = birth.replace(was, put);
        assert_eq!(of_text(&damaged), Err(wrong));
    }
    let death = "<meldingOmDoedsfall xmlns=\"folkeregisteret:melding:doedsfall:v1\"><forespoersel><doedPerson><foedselsnummer>14888598765</foedselsnummer><doedsdato>2026-03-01</doedsdato></doedPerson></forespoersel></meldingOmDoedsfall>";
    assert_eq!(
        of_text(death).unwrap(),
        Item::Death(Packed(14_888_598_765), Date::constant(2026, 3, 1))
    );
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}") {
        let _ = of_text(&text);
        for item in Items::open(text.as_bytes()).into_iter().flatten() {
            let _ = item;
        }
    }

    /// Documents with something cut out, doubled or changed.
    #[test]
    fn damaged_documents_never_panic(from in 0usize..3_000, length in 0usize..60, put in "[<>/a-z0-9\"&;{}]{0,6}") {
        let text: Vec<char> = PERSON.chars().collect();
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        let damaged: String = text[..from].iter().copied().chain(put.chars()).chain(text[to..].iter().copied()).collect();
        let _ = of_text(&damaged);
    }
}
