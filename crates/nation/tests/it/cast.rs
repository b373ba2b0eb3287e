//! Every number of the story's tables, typed here from the tables and compared with what the rules make.

use std::collections::HashSet;

use codes::ident::{Nin, NinKind, NinRules, Orgnr};
use codes::{lists, oid};
use nation::model::{OrgKind, PartyKind, Protection, RelationKind};
use nation::{Nation, Params};

const PERSONS: &[(&str, &str, &str)] = &[
    ("blokk", "Kari Lunde", "14896849817"),
    ("hjerte", "Solveig Johanne Hansen", "17854149881"),
    ("allergi", "Ida Kristine Berg", "11829649812"),
    ("seksten", "Sunniva Dahl", "24911099841"),
    ("barn", "Emil Haugen Nguyen", "09831899945"),
    ("skjult", "Tor Arne Strand", "03887949947"),
    ("diabetes", "Máhtto Eira", "21868749927"),
    ("reise", "Amina Hassan Ali", "05909949809"),
    ("sol-datter", "Berit Hansen", "30816749871"),
    ("sol-mann", "Odd Hansen", "02923849982"),
    ("kari-ex", "Geir Lunde", "04846649935"),
    ("sun-mor", "Hilde Dahl", "19878049821"),
    ("sun-far", "Morten Dahl", "25827849734"),
    ("sun-bror", "Jonas Dahl", "05851599926"),
    ("emil-mor", "Linh Nguyen", "27838649608"),
    ("emil-far", "Trond Haugen", "08918449974"),
    ("emil-bonus", "Camilla Moe", "16888849851"),
    ("emil-sos", "Nora Haugen Moe", "20812399838"),
    ("tor-datter", "Thea Strand", "17901299668"),
    ("mah-kone", "Ánná Eira", "09898949637"),
    ("mah-barn", "Máret Eira", "13921999628"),
    ("ami-mann", "Yusuf Ali", "23859649912"),
    ("ami-baby", "Sumaya Ali", "01862699838"),
    ("solberg", "Anders Solberg", "12837449934"),
    ("eide", "Marianne Eide", "29858949880"),
    ("amundsen", "Per Amundsen", "17826149949"),
    ("bakken", "Silje Bakken", "02909149854"),
    ("somby", "Ravdna Somby", "08888149822"),
    ("saether", "Ragnhild Sæther", "15867049867"),
    ("moen", "Stian Moen", "21927249992"),
    ("knutsen", "Fredrik Knutsen", "07818549908"),
    ("haugland", "Eirik Haugland", "24879349989"),
    ("myhre", "Tone Myhre", "18848349875"),
    ("berg", "Ida Kristine Berg", "11829649812"),
    ("iversen", "Olav Iversen", "05856849734"),
    ("pedersen", "Maria Pedersen", "19898449885"),
    ("aas", "Heidi Aas", "11917949877"),
    ("lien", "Nina Lien", "28886649802"),
    ("holm", "Camilla Holm", "06829049811"),
    ("nygard", "Elin Nygård", "03897649631"),
    ("lie", "Astrid Lie", "30928249871"),
    ("henriksen", "Ingrid Henriksen", "10906949658"),
    ("jakobsen", "Rune Jakobsen", "03838049957"),
    ("moe", "Kristin Moe", "07877549849"),
    ("svendsen", "Henrik Svendsen", "16818749981"),
    ("andersen", "Tore Andersen", "06867749932"),
];

const ORGANISATIONS: &[(&str, &str, &[&str], u32, &str)] = &[
    ("fjordglott", "315900018", &["315900026"], 8_900_100, "103"),
    ("karasjok", "315900034", &["315900042"], 8_900_200, "102"),
    ("nordlys", "315900050", &["315900069"], 8_900_300, "101"),
    ("isbre", "315900077", &["315900085"], 8_900_400, "105"),
    ("havna", "315900093", &["315900107"], 8_900_500, "108"),
    (
        "tromso",
        "315900115",
        &["315900123", "315900131", "315900158"],
        8_900_600,
        "102",
    ),
    ("trygghet", "315900166", &["315900174"], 8_900_700, "114"),
    ("navet", "315900182", &["315900190"], 8_900_000, "113"),
    ("amk", "315900050", &["315900204"], 8_900_320, "101"),
    (
        "reiseklinikk",
        "315900212",
        &["315900220"],
        8_900_800,
        "116",
    ),
    ("vaar-epj", "315900239", &["315900247"], 8_900_900, "103"),
];

fn nation() -> Nation {
    Nation::generate(&Params::default()).unwrap()
}

#[test]
fn every_number_of_the_tables_follows_from_the_rule() {
    let nation = nation();
    for (key, name, nin) in PERSONS {
        let person = nation.person_by_key(key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(person.name.full(), *name, "{key}");
        assert_eq!(person.nin.as_str(), *nin, "{key}");
        assert_eq!(person.nin.birth_date(), Some(person.born), "{key}");
        assert_eq!(person.nin.sex(), Some(person.sex), "{key}");
    }
    let amina = nation.person_by_key("reise").unwrap();
    assert_eq!(amina.historic[0].nin.as_str(), "45909949630");
    assert_eq!(amina.historic[0].nin.kind(), NinKind::Dnr);
    for (key, parent, children, her, type_code) in ORGANISATIONS {
        let o = nation
            .organisation_by_key(key)
            .unwrap_or_else(|| panic!("{key}"));
        assert_eq!(o.orgnr.to_string(), *parent, "{key}");
        let units: Vec<String> = o.units.iter().map(|u| u.orgnr.to_string()).collect();
        assert_eq!(units, *children, "{key}");
        assert_eq!((o.her_id.0, o.type_code), (*her, *type_code), "{key}");
        assert!(Orgnr::parse(parent).unwrap().is_synthetic());
    }
    assert_eq!(nation.fixed_organisations().len(), ORGANISATIONS.len());
    assert_eq!(
        nation.organisation_by_key("havna").unwrap().ako.unwrap().0,
        1990
    );
}

#[test]
fn facts_json_lists_the_eight_and_the_identity_cases() {
    let nation = nation();
    let listed: Vec<&str> = nation.story_persons().map(|p| p.story.unwrap()).collect();
    assert_eq!(
        listed,
        [
            "blokk",
            "hjerte",
            "allergi",
            "seksten",
            "barn",
            "skjult",
            "diabetes",
            "reise",
            "id-dnr",
            "id-fhn",
            "id-merged",
            "id-emigrated",
            "id-no-gp",
            "id-guardian",
            "id-reserved",
            "id-long",
            "id-2032",
        ]
    );
    assert!(
        nation
            .story_persons()
            .all(|p| p.what.is_some_and(|w| w.len() > 10))
    );
}

#[test]
fn identity_cases_are_what_they_say() {
    let nation = nation();
    let get = |key: &str| nation.person_by_key(key).unwrap();
    assert_eq!(get("id-dnr").nin.kind(), NinKind::Dnr);
    assert_eq!(get("id-fhn").nin.as_str(), "83000000186");
    let merged = get("id-merged");
    assert_eq!(merged.historic.len(), 1);
    assert_ne!(merged.historic[0].nin, merged.nin);
    assert!(get("id-emigrated").address.is_none() && get("id-emigrated").gp.is_none());
    assert!(get("id-no-gp").is_resident() && get("id-no-gp").gp.is_none());
    let guardianship = get("id-guardian").guardianships[0];
    assert!(!guardianship.personal && guardianship.financial);
    assert_eq!(guardianship.nin, get("id-guardian-verge").nin);
    let long = &get("id-long").name.family;
    assert_eq!(long.chars().filter(|c| c.is_alphabetic()).count(), 60);
    let strict = NinRules {
        strict_1964: true,
        synthetic: true,
    };
    assert!(Nin::parse_with(get("id-2032").nin.as_str(), strict).is_err());
    assert!(get("id-2032").nin.needs_2032_rule());
}

#[test]
fn families_are_as_the_story_needs_them() {
    let nation = nation();
    let get = |key: &str| nation.person_by_key(key).unwrap();
    let has = |a: &str, kind: RelationKind, b: &str| {
        get(a)
            .related(kind)
            .any(|r| r.other == get(b).id && r.nin == get(b).nin)
    };
    assert!(has("barn", RelationKind::ResponsibleJoint, "emil-mor"));
    assert!(has("barn", RelationKind::ResponsibleJoint, "emil-far"));
    assert!(has("barn", RelationKind::StepParent, "emil-bonus"));
    assert!(!has("barn", RelationKind::ResponsibleJoint, "emil-bonus"));
    assert!(has("emil-sos", RelationKind::Sibling, "barn"));
    assert!(
        !get("emil-mor")
            .relations
            .iter()
            .any(|r| r.other == get("emil-sos").id)
    );
    assert!(has("hjerte", RelationKind::Child, "sol-datter"));
    assert!(has("kari-ex", RelationKind::Family, "moen"));
    assert_eq!(get("hjerte").powers[0].nin, get("sol-datter").nin);
    assert_eq!(get("sol-mann").died.unwrap().to_string(), "2026-04-27");
    for key in ["skjult", "tor-datter"] {
        assert_eq!(get(key).protection, Protection::StrictlyConfidential);
        assert!(get(key).address.is_none());
    }
    assert_eq!(
        get("emil-far").address.as_ref().unwrap().municipality,
        "5532"
    );
    assert_eq!(get("diabetes").address.as_ref().unwrap().postcode, "9730");
    assert_eq!(get("diabetes").languages, ["se", "nb"]);
    let d = nation.anchor();
    assert_eq!(
        (
            get("seksten").age_on(d),
            get("seksten").age_on(d.tomorrow().unwrap())
        ),
        (15, 16)
    );
    assert_eq!(get("sun-bror").age_on(d), 11);
}

#[test]
fn gp_lists_follow_the_table_and_the_her_id_rule() {
    let nation = nation();
    let gp = |key: &str| nation.person_by_key(key).unwrap().gp.clone().unwrap();
    let hpr = |key: &str| nation.practitioner_by_key(key).unwrap().hpr;
    for (patient, doctor) in [
        ("blokk", "solberg"),
        ("hjerte", "solberg"),
        ("allergi", "amundsen"),
        ("seksten", "amundsen"),
        ("diabetes", "somby"),
    ] {
        assert_eq!(gp(patient).hpr, hpr(doctor), "{patient}");
    }
    assert_eq!(gp("blokk").her_id.unwrap().0, 8_900_101);
    let emil = gp("barn");
    assert_eq!(
        (emil.hpr, emil.her_id.unwrap().0),
        (None, 8_900_102),
        "the only substitute"
    );
    assert_eq!(emil.substitutes[0].hpr, hpr("eide").unwrap());
    let amina = gp("reise");
    assert_eq!(
        (amina.hpr, amina.her_id.unwrap().0),
        (None, 8_900_109),
        "list without doctor"
    );
    for practitioner in nation.fixed_practitioners() {
        let person = nation.person_by_key(practitioner.key.unwrap()).unwrap();
        let own = person
            .gp
            .as_ref()
            .is_some_and(|g| g.hpr.is_some() && g.hpr == practitioner.hpr);
        assert!(!own, "{practitioner:?} is on a list of their own");
    }
}

#[test]
fn personnel_are_as_the_table_says() {
    let nation = nation();
    let d = nation.anchor();
    let active = |key: &str| {
        let p = nation.practitioner_by_key(key).unwrap();
        p.authorisations.iter().any(|a| a.is_active(d))
    };
    assert!(active("solberg") && active("moen") && active("berg"));
    let svendsen = nation.practitioner_by_key("svendsen").unwrap();
    assert!(!active("svendsen") && svendsen.workplaces.is_empty());
    assert_eq!(
        svendsen.authorisations[0]
            .suspended_from
            .unwrap()
            .to_string(),
        "2026-10-24"
    );
    let andersen = nation.practitioner_by_key("andersen").unwrap();
    assert!(andersen.hpr.is_none() && andersen.authorisations.is_empty());
    let berg = nation.practitioner_by_key("berg").unwrap();
    assert_eq!(berg.person, nation.person_by_key("allergi").unwrap().id);
    let moen = nation.practitioner_by_key("moen").unwrap();
    assert_eq!(moen.hpr.unwrap().0, 565_900_022);
    assert_eq!(moen.workplaces[0].parent.to_string(), "315900050");
    assert_eq!(moen.workplaces[0].department, Some("Hjertesykdommer"));
    for p in nation.fixed_practitioners() {
        for a in &p.authorisations {
            assert!(lists::lookup(oid::LIST_PERSONNEL_CATEGORY, a.role).is_some());
        }
        if let Some(s) = p.speciality {
            assert_eq!(
                lists::display(oid::LIST_SPECIALITY, s.code.unwrap()),
                Some(s.name)
            );
        }
    }
    assert_eq!(nation.fixed_practitioners().len(), 23);
}

#[test]
fn parties_have_unique_ids_and_known_codes() {
    let nation = nation();
    let mut seen = HashSet::new();
    let mut story = 0;
    for o in nation.organisations() {
        if o.key != Some("amk") {
            assert!(o.part_of.is_none());
        }
        assert!(seen.insert(o.her_id), "{}", o.her_id);
        assert!(lists::lookup(oid::LIST_ORGANISATION_TYPE, o.type_code).is_some());
        for p in &o.parties {
            assert!(seen.insert(p.her_id), "{}", p.her_id);
            story += usize::from(p.her_id.0 < 9_000_000);
            if let PartyKind::Service { list, code, .. } = &p.kind {
                let system = oid::list(*list);
                assert!(lists::lookup(&system, code).is_some(), "{list} {code}");
            }
        }
    }
    assert_eq!(story, 4 + 34, "the parties of the story's table");
    let heart = nation
        .organisation_by_key("nordlys")
        .unwrap()
        .service(8668, "S0306")
        .unwrap();
    assert_eq!(heart.her_id.0, 8_900_301);
    assert!(
        nation
            .fixed_organisations()
            .iter()
            .any(|o| o.kind() == OrgKind::Hub)
    );
}

#[test]
fn other_anchors_move_only_the_anchored() {
    let params = Params {
        anchor: jiff::civil::date(2028, 2, 28),
        ..Params::default()
    };
    let nation = Nation::generate(&params).unwrap();
    assert_eq!(
        nation.person_by_key("blokk").unwrap().nin.as_str(),
        "14896849817"
    );
    let sunniva = nation.person_by_key("seksten").unwrap();
    assert_eq!(sunniva.born.to_string(), "2012-02-29");
    let d = nation.anchor();
    assert_eq!(
        (sunniva.age_on(d), sunniva.age_on(d.tomorrow().unwrap())),
        (15, 16)
    );
    for year in [2023, 2038] {
        let anchor = jiff::civil::date(year, 1, 1);
        assert!(
            Nation::generate(&Params {
                anchor,
                ..Params::default()
            })
            .is_err()
        );
    }
}
