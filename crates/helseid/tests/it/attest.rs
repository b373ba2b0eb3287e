//! The attest row by row (spec tillitsrammeverk §3): what HelseID takes, refuses, and fills in, as plain values.

use helseid::rules::attest::{Context, enrich};
use helseid::rules::claims::{Login, User};
use helseid::rules::levels::Level;
use helseid::rules::organisation::Organisations;
use helseid::{Code, OAuthError};
use jiff::civil::date;
use registers::directory::Directory as _;
use serde_json::{Map, Value, json};

use crate::people::{CITIZEN, DOCTOR, MUNICIPALITY, NURSING_HOME, OFFICE, People};

const NOW_S: i64 = 1_795_420_800;
const ORGNR: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
const RESH: &str = "urn:oid:2.16.578.1.12.4.1.4.102";

fn attest() -> Value {
    json!({
        "type": "nhn:tillitsrammeverk:parameters",
        "practitioner": {
            "authorization": {"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
            "legal_entity": {"id": MUNICIPALITY, "system": ORGNR},
            "point_of_care": {"id": NURSING_HOME, "system": ORGNR},
            "department": {"id": "705592", "system": RESH}
        },
        "care_relationship": {
            "healthcare_service": {"code": "KP01", "system": "urn:oid:2.16.578.1.12.4.1.1.8663"},
            "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
            "purpose_of_use_details": {"code": "BEHANDLER", "system": "urn:AuditEventHL7Norway/CodeSystem/carerelation"},
            "decision_ref": {"id": "07b4b65f", "user_selected": true}
        },
        "patients": [{"point_of_care": {"id": NURSING_HOME, "system": ORGNR}}]
    })
}

fn enriched_for(pid: &str, level: Level, attest: &Value) -> Result<Map<String, Value>, OAuthError> {
    let login = Login {
        pid: pid.to_owned(),
        level,
        idp: "testidp-oidc".to_owned(),
        amr: vec!["pwd".to_owned()],
        auth_time_s: NOW_S,
        sid: "A".repeat(32),
        represents: None,
    };
    let user = User {
        name: People.person(DOCTOR).unwrap().name,
        practitioner: People.practitioner_by_nin(pid),
    };
    let organisations = Organisations {
        parent: Some(MUNICIPALITY.to_owned()),
        child: Some(OFFICE.to_owned()),
        supplier: None,
        tenancy: "single-tenant",
    };
    let context = Context {
        login: &login,
        user: &user,
        organisations: &organisations,
        directory: &People,
        today: date(2026, 11, 23),
        received_s: NOW_S,
    };
    enrich(attest.as_object().unwrap(), &context)
}

fn enriched(attest: &Value) -> Result<Value, OAuthError> {
    enriched_for(DOCTOR, Level::High, attest).map(Value::Object)
}

/// The attest with a member set; a missing one is made.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = attest();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[name] = value;
    changed
}

#[test]
fn what_is_refused() {
    let (invalid, denied) = (Code::InvalidRequest, Code::AccessDenied);
    let unknown = json!({"code": "X", "system": "urn:oid:1.2"});
    let table = [
        // R: must be there.
        ("/practitioner", Value::Null, invalid),
        ("/practitioner/legal_entity", Value::Null, invalid),
        ("/practitioner/point_of_care", Value::Null, invalid),
        ("/care_relationship", Value::Null, invalid),
        ("/care_relationship/purpose_of_use", Value::Null, invalid),
        ("/care_relationship/decision_ref", Value::Null, invalid),
        // A member of the wrong kind is refused, never passed over.
        ("/practitioner", json!("x"), invalid),
        ("/practitioner/identifier", json!(DOCTOR), invalid),
        (
            "/practitioner/identifier",
            json!({"id": 6_828_399_789_u64}),
            invalid,
        ),
        ("/practitioner/authorization", json!("LE"), invalid),
        ("/practitioner/authorization", json!([]), invalid),
        ("/practitioner/department", json!("705592"), invalid),
        (
            "/practitioner/department",
            json!({"id": 705_592, "system": RESH}),
            invalid,
        ),
        ("/care_relationship/healthcare_service", json!([]), invalid),
        (
            "/care_relationship/purpose_of_use_details",
            json!("BEHANDLER"),
            invalid,
        ),
        ("/patients", json!({"point_of_care": {}}), invalid),
        ("/patients", json!(["x"]), invalid),
        // identifier: the user, and nobody else (T3).
        ("/practitioner/identifier", json!({"id": CITIZEN}), denied),
        // authorization: held in HPR (T2), of the right list.
        (
            "/practitioner/authorization",
            json!({"code": "SP", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"}),
            denied,
        ),
        (
            "/practitioner/authorization",
            json!({"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9061"}),
            invalid,
        ),
        (
            "/practitioner/authorization",
            json!({"system": "urn:oid:2.16.578.1.12.4.1.1.9060"}),
            invalid,
        ),
        // legal_entity: the token's organisation (T1), known.
        (
            "/practitioner/legal_entity",
            json!({"id": OFFICE, "system": ORGNR}),
            denied,
        ),
        (
            "/practitioner/legal_entity",
            json!({"id": "123456789", "system": ORGNR}),
            invalid,
        ),
        (
            "/practitioner/legal_entity",
            json!({"id": MUNICIPALITY, "system": RESH}),
            invalid,
        ),
        // A unit is no legal entity.
        (
            "/practitioner/legal_entity",
            json!({"id": NURSING_HOME, "system": ORGNR}),
            denied,
        ),
        // point_of_care: a unit of it (ATT-18).
        (
            "/practitioner/point_of_care",
            json!({"id": OFFICE, "system": ORGNR}),
            denied,
        ),
        ("/practitioner/department", json!({"id": "1"}), invalid),
        ("/practitioner/department", json!({"system": RESH}), invalid),
        // Code systems (ATT-37, T8).
        (
            "/care_relationship/healthcare_service",
            unknown.clone(),
            invalid,
        ),
        ("/care_relationship/purpose_of_use", unknown, invalid),
        (
            "/care_relationship/purpose_of_use/code",
            json!("PATRQT"),
            invalid,
        ),
        (
            "/care_relationship/purpose_of_use/code",
            json!("treat"),
            invalid,
        ),
        (
            "/care_relationship/purpose_of_use_details",
            json!({"code": "BEHANDLER"}),
            invalid,
        ),
        // decision_ref (ATT-48, T9).
        ("/care_relationship/decision_ref/id", json!(""), invalid),
        (
            "/care_relationship/decision_ref/id",
            json!({"value": "x"}),
            invalid,
        ),
        (
            "/care_relationship/decision_ref/id",
            json!("x".repeat(257)),
            invalid,
        ),
        (
            "/care_relationship/decision_ref/user_selected",
            json!("true"),
            invalid,
        ),
        (
            "/care_relationship/decision_ref/user_selected",
            json!(1),
            invalid,
        ),
        (
            "/care_relationship/decision_ref/user_selected",
            Value::Null,
            invalid,
        ),
        // patients: at most one (T15), by a national id.
        ("/patients", json!([{}, {}]), invalid),
        (
            "/patients",
            json!([{"identifier": {"id": CITIZEN}}]),
            invalid,
        ),
        (
            "/patients",
            json!([{"identifier": {"id": CITIZEN, "system": ORGNR}}]),
            invalid,
        ),
        (
            "/patients",
            json!([{"identifier": {"id": "1584919735", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}]),
            invalid,
        ),
        (
            "/patients",
            json!([{"point_of_care": {"id": "123456789", "system": ORGNR}}]),
            invalid,
        ),
        // toa (ATT-58, T5).
        ("/toa", json!(NOW_S - 3_601), denied),
        ("/toa", json!(NOW_S + 11), denied),
        ("/toa", json!(i64::MAX), denied),
        ("/toa", json!(i64::MIN), denied),
        ("/toa", json!(1.5), invalid),
        ("/toa", json!("1795420800"), invalid),
    ];
    for (pointer, value, code) in table {
        let error = enriched(&with(pointer, value.clone())).unwrap_err();
        assert_eq!(
            error.code, code,
            "{pointer} = {value}: {}",
            error.description
        );
        for secret in [DOCTOR, CITIZEN] {
            assert!(!error.description.contains(secret), "{}", error.description);
        }
    }
    // T4, ATT-43, ATT-10.
    let low = enriched_for(DOCTOR, Level::Substantial, &attest()).unwrap_err();
    assert_eq!(low.code, denied);
    let mut neither = with("/care_relationship/healthcare_service", Value::Null);
    neither["care_relationship"]["purpose_of_use_details"] = Value::Null;
    assert_eq!(enriched(&neither).unwrap_err().code, invalid);
    let expired = enriched(&with("/toa", json!(NOW_S - 3_601))).unwrap_err();
    assert!(expired.description.contains("attestation_has_expired"));
    assert_eq!(
        enriched_for("83000000000", Level::High, &attest())
            .unwrap_err()
            .code,
        denied
    );
}

#[test]
fn what_is_taken() {
    let table = [
        (
            "/practitioner/identifier",
            json!({"id": DOCTOR, "name": "INJECTED"}),
        ),
        ("/practitioner/authorization", Value::Null),
        ("/practitioner/department", Value::Null),
        (
            "/practitioner/department",
            json!({"id": "A3", "system": "urn:uuid:1"}),
        ),
        (
            "/practitioner/point_of_care",
            json!({"id": MUNICIPALITY, "system": ORGNR}),
        ),
        ("/practitioner/hpr_nr", json!({"id": "1"})),
        ("/care_relationship/healthcare_service", Value::Null),
        ("/care_relationship/purpose_of_use_details", Value::Null),
        (
            "/care_relationship/purpose_of_use_details",
            json!({"code": "15", "system": "urn:oid:2.16.578.1.12.4.1.1.9151"}),
        ),
        (
            "/care_relationship/purpose_of_use_details",
            json!({"code": "1", "system": "urn:other"}),
        ),
        ("/care_relationship/purpose_of_use/code", json!("ETREAT")),
        ("/care_relationship/purpose_of_use/code", json!("COC")),
        ("/care_relationship/purpose_of_use/code", json!("BTG")),
        ("/care_relationship/decision_ref/id", json!("x".repeat(256))),
        (
            "/care_relationship/decision_ref/description",
            json!("INJECTED"),
        ),
        ("/patients", Value::Null),
        ("/patients", json!([])),
        ("/patients", json!([{}])),
        (
            "/patients",
            json!([{"identifier": {"id": CITIZEN, "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}]),
        ),
        ("/toa", json!(NOW_S - 3_600)),
        ("/toa", json!(NOW_S + 10)),
        ("/unknown", json!({"ignored": "INJECTED"})),
    ];
    for (pointer, value) in table {
        let claim = enriched(&with(pointer, value.clone()))
            .unwrap_or_else(|error| panic!("{pointer} = {value}: {}", error.description));
        // The consumer takes these without asking whether they are there.
        for always in [
            "/practitioner/identifier/name",
            "/practitioner/legal_entity/name",
            "/practitioner/point_of_care/name",
            "/care_relationship/purpose_of_use/text",
            "/care_relationship/decision_ref/user_selected",
            "/patients",
            "/toa",
        ] {
            assert!(
                claim.pointer(always).is_some(),
                "{pointer} = {value}: {always}"
            );
        }
        assert!(!claim.to_string().contains("INJECTED"), "{claim}");
    }
    let mut other_name = attest();
    let relation = other_name["care_relationship"].take();
    other_name["care_relation"] = relation;
    assert!(enriched(&other_name).is_ok());
}

#[test]
fn what_is_filled_in() {
    let claim = enriched(&attest()).unwrap();
    let table = [
        (
            "/practitioner/identifier",
            json!({"id": DOCTOR, "name": "KVART GREVLING", "system": "urn:oid:2.16.578.1.12.4.1.4.1", "authority": "https://www.skatteetaten.no"}),
        ),
        (
            "/practitioner/hpr_nr",
            json!({"id": "565505933", "system": "urn:oid:2.16.578.1.12.4.1.4.4", "authority": "https://www.helsedirektoratet.no/"}),
        ),
        (
            "/practitioner/authorization",
            json!({"code": "LE", "text": "Lege", "system": "urn:oid:2.16.578.1.12.4.1.1.9060", "assigner": "https://www.helsedirektoratet.no/"}),
        ),
        (
            "/practitioner/legal_entity",
            json!({"id": MUNICIPALITY, "name": "Granfjelldal kommune", "system": ORGNR, "authority": "https://www.brreg.no"}),
        ),
        (
            "/practitioner/point_of_care",
            json!({"id": NURSING_HOME, "name": "Granfjelldal bo- og omsorgssenter", "system": ORGNR, "authority": "https://www.brreg.no"}),
        ),
        (
            "/practitioner/department",
            json!({"id": "705592", "system": RESH, "authority": "https://www.nhn.no"}),
        ),
        (
            "/care_relationship/healthcare_service",
            json!({"code": "KP01", "text": "Legetjeneste ved sykehjem mv.", "system": "urn:oid:2.16.578.1.12.4.1.1.8663", "assigner": "https://www.volven.no/"}),
        ),
        (
            "/care_relationship/purpose_of_use",
            json!({"code": "TREAT", "text": "Treatment", "system": "urn:oid:2.16.840.1.113883.1.11.20448", "assigner": "http://www.hl7.org/"}),
        ),
        (
            "/care_relationship/purpose_of_use_details",
            json!({"code": "BEHANDLER", "text": "Bruker har behandlingsansvar for pasienten", "system": "urn:AuditEventHL7Norway/CodeSystem/carerelation", "assigner": "https://www.hl7.no"}),
        ),
        (
            "/care_relationship/decision_ref",
            json!({"id": "07b4b65f", "user_selected": true}),
        ),
        (
            "/patients/0/point_of_care/name",
            json!("Granfjelldal bo- og omsorgssenter"),
        ),
        ("/toa", json!(NOW_S)),
    ];
    for (pointer, expected) in table {
        assert_eq!(claim.pointer(pointer), Some(&expected), "{pointer}");
    }
    // A local department belongs to the legal entity (ATT-28).
    let local = enriched(&with(
        "/practitioner/department",
        json!({"id": "A3", "system": "urn:uuid:1"}),
    ));
    assert_eq!(
        local.unwrap()["practitioner"]["department"]["authority"],
        MUNICIPALITY
    );
    // A misspelt authorization counts when it is held, and is passed over when not, whatever its form (§2.1).
    for (misspelt, expected) in [
        (json!({"code": "LE"}), true),
        (json!({"code": "SP"}), false),
        (json!("LE"), false),
        (json!({"code": 1}), false),
    ] {
        let mut attest = with("/practitioner/authorization", Value::Null);
        attest["practitioner"]["auhtorization"] = misspelt.clone();
        let claim = enriched(&attest).unwrap();
        let found = claim["practitioner"].get("authorization").is_some();
        assert_eq!(found, expected, "{misspelt}");
    }
    // Nobody in HPR: no number, no authorization, still an attest.
    let mut without = with("/practitioner/authorization", Value::Null);
    without["practitioner"]["department"] = Value::Null;
    let claim = enriched_for(CITIZEN, Level::High, &without).unwrap();
    let practitioner = &claim["practitioner"];
    assert!(practitioner.get("hpr_nr").is_none() && practitioner.get("authorization").is_none());
}
