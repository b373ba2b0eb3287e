//! Values of attributes in every form that occurs, and the translation of an attest row by row.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::fragment::*;
use super::*;
use crate::dsig::Signer;

#[test]
fn patients_in_cx_form() {
    let table = [
        (
            "29698496140^^^&2.16.578.1.12.4.1.4.1&ISO",
            Some(("29698496140", "2.16.578.1.12.4.1.4.1")),
        ),
        (
            "29698496140^^^&amp;2.16.578.1.12.4.1.4.1&amp;ISO",
            Some(("29698496140", "2.16.578.1.12.4.1.4.1")),
        ),
        (
            "1^^^&amp;amp;2.16.578.1.12.4.1.4.2&amp;amp;ISO",
            Some(("1", "2.16.578.1.12.4.1.4.2")),
        ),
        ("1^^^&amp;amp;amp;1.2&amp;amp;amp;ISO", None),
        (" 1^^^&urn:oid:1.2&ISO ", Some(("1", "1.2"))),
        ("1", None),
        ("^^^&1.2&ISO", None),
        ("1^^^&&ISO", None),
        ("1^^^&1.2&GUID", None),
        ("1^^^name&1.2&ISO", None),
        ("1^^^&1.2&ISO^more", None),
        ("1^^^&1.2&ISO&more", None),
        ("1' OR '1^^^&1.2&ISO", None),
    ];
    for (text, expected) in table {
        let read = read_patient(text);
        let read = read.as_ref().map(|p| (p.id.as_str(), p.system.as_str()));
        assert_eq!(read, expected, "{text}");
    }
}

#[test]
fn coded_values_in_every_form() {
    let role = |display: Option<&str>| Coded {
        code: "LE".to_owned(),
        system: "urn:oid:2.16.578.1.12.4.1.1.9060".to_owned(),
        display: display.map(str::to_owned),
        ..Coded::default()
    };
    let oid = "urn:oid:2.16.578.1.12.4.1.1.9060";
    let table = [
        // As the national issuer writes it, xsi not declared.
        (
            format!(
                "<Role xmlns=\"urn:hl7-org:v3\" xsi:type=\"CE\" code=\"LE\" codeSystem=\"{oid}\" displayName=\"Lege\"/>"
            ),
            Some(role(Some("Lege"))),
        ),
        // Declared, unprefixed type, spaces around.
        (
            format!(
                "  <Role xmlns=\"urn:hl7-org:v3\" xmlns:xsi=\"{XSI}\" xsi:type=\"CE\" code=\"LE\" codeSystem=\"{oid}\"/>\n"
            ),
            Some(role(None)),
        ),
        (
            format!("<Role type='CE' code='LE' codeSystem='{oid}'></Role>"),
            Some(role(None)),
        ),
        // Escaped once too often.
        (
            format!("&lt;Role code=\"LE\" codeSystem=\"{oid}\"/&gt;"),
            Some(role(None)),
        ),
        ("<Role code=\"\"/>".to_owned(), None),
        ("<Role/>".to_owned(), None),
        ("LE".to_owned(), None),
        ("<Role code='LE'/><Role code='SP'/>".to_owned(), None),
        ("<Role code='LE'".to_owned(), None),
        ("</fragment><fragment>".to_owned(), None),
        ("<!DOCTYPE x><Role code='LE'/>".to_owned(), None),
        (format!("<Role code='{}'/>", "x".repeat(20_000)), None),
    ];
    for (text, expected) in table {
        assert_eq!(read_coded(&text), expected, "{text}");
    }
    assert!(role(None).is_same(&Coded {
        system: "2.16.578.1.12.4.1.1.9060".to_owned(),
        ..role(Some("doctor"))
    }));
    assert!(!role(None).is_same(&Coded {
        code: "SP".to_owned(),
        ..role(None)
    }));
}

#[test]
fn decisions_with_booleans_in_any_case() {
    let text = |id: &str, selected: &str| {
        format!(
            "<decision-ref><id value=\"{id}\" /><user-selected value=\"{selected}\" /></decision-ref>"
        )
    };
    let table = [
        (text("a", "True"), Some(("a", true))),
        (text("a", "false"), Some(("a", false))),
        (text("a", "FALSE"), Some(("a", false))),
        (text("a", "yes"), None),
        (text("", "True"), None),
        ("<decision-ref><id value=\"a\"/></decision-ref>".to_owned(), None),
        (
            "<decision-ref><id value=\"a\"/><id value=\"b\"/><user-selected value=\"True\"/></decision-ref>".to_owned(),
            None,
        ),
    ];
    for (text, expected) in table {
        let read = read_decision(&text);
        let read = read.as_ref().map(|(id, selected)| (id.as_str(), *selected));
        assert_eq!(read, expected, "{text}");
    }
}

const NOW_S: i64 = 1_795_420_800;

/// The claim of a synthetic doctor at a nursing home.
pub(super) fn claim() -> Map<String, Value> {
    let organisation = "urn:oid:2.16.578.1.12.4.1.4.101";
    let value = json!({
        "practitioner": {
            "identifier": {"id": "06828399789", "name": "KVART GREVLING", "system": "urn:oid:2.16.578.1.12.4.1.4.1", "authority": "https://www.skatteetaten.no"},
            "hpr_nr": {"id": "565505933", "system": "urn:oid:2.16.578.1.12.4.1.4.4", "authority": "https://www.helsedirektoratet.no/"},
            "authorization": {"code": "LE", "text": "Lege", "system": "urn:oid:2.16.578.1.12.4.1.1.9060", "assigner": "https://www.helsedirektoratet.no/"},
            "legal_entity": {"id": "315900239", "name": "Granfjelldal kommune", "system": organisation, "authority": "https://www.brreg.no"},
            "point_of_care": {"id": "315900240", "name": "Granfjelldal <bo> & omsorg", "system": organisation, "authority": "https://www.brreg.no"},
            "department": {"id": "705592", "system": "urn:oid:2.16.578.1.12.4.1.4.102", "authority": "https://www.nhn.no"}
        },
        "care_relationship": {
            "healthcare_service": {"code": "KP01", "text": "Legetjeneste ved sykehjem mv.", "system": "urn:oid:2.16.578.1.12.4.1.1.8663", "assigner": "https://www.volven.no/"},
            "purpose_of_use": {"code": "TREAT", "text": "Treatment", "system": "urn:oid:2.16.840.1.113883.1.11.20448", "assigner": "http://www.hl7.org/"},
            "purpose_of_use_details": {"code": "BEHANDLER", "system": "urn:AuditEventHL7Norway/CodeSystem/carerelation", "assigner": "https://www.hl7.no"},
            "decision_ref": {"id": "07b4b65f", "user_selected": true}
        },
        "patients": [{"point_of_care": {"id": "315900240", "name": "Granfjelldal <bo> & omsorg", "system": organisation, "authority": "https://www.brreg.no"}}],
        "toa": NOW_S - 60
    });
    value.as_object().unwrap().clone()
}

pub(super) fn request() -> Request<'static> {
    Request {
        patient: Some(("29698496140", "urn:oid:2.16.578.1.12.4.1.4.1")),
        home_community: "2.16.578.1.12.4.1.7.1.1",
        security_level: "4",
        scope: "journaldokumenter_helsepersonell",
        client_id: "ea1b0c25-154d-483c-abeb-cdf2e09d0a45",
        authentication_method: None,
        access_basis: None,
        now_unix_s: NOW_S,
    }
}

fn written(generation: Generation) -> Vec<(String, Option<String>)> {
    Xua::from_attest(&claim(), &request())
        .unwrap()
        .attributes(generation)
        .into_iter()
        .map(|attribute| (attribute.name, attribute.values.into_iter().next().unwrap()))
        .collect()
}

#[test]
fn an_attest_becomes_attributes_row_by_row() {
    let id = |number: &str, oid: &str, authority: &str| {
        format!(
            "<id xmlns=\"urn:hl7-org:v3\" xsi:type=\"II\" extension=\"{number}\" root=\"urn:oid:{oid}\" assigningAuthorityName=\"{authority}\" displayable=\"true\"/>"
        )
    };
    let organisation = |number| id(number, "2.16.578.1.12.4.1.4.101", "https://www.brreg.no/");
    let role = "<Role xmlns=\"urn:hl7-org:v3\" xsi:type=\"CE\" code=\"LE\" codeSystem=\"urn:oid:2.16.578.1.12.4.1.1.9060\" codeSystemName=\"Kategori helsepersonell\" displayName=\"Lege\"/>".to_owned();
    let service = "<HealthcareService xmlns=\"urn:hl7-org:v3\" xsi:type=\"CE\" code=\"KP01\" codeSystem=\"urn:oid:2.16.578.1.12.4.1.1.8663\" displayName=\"Legetjeneste ved sykehjem mv.\" assigningAuthorityName=\"https://www.volven.no/\"/>".to_owned();
    let patient = "29698496140^^^&2.16.578.1.12.4.1.4.1&ISO".to_owned();
    let home = "Granfjelldal <bo> & omsorg".to_owned();
    // The table of spec documents §6.2: new name, old name, value.
    let table: Vec<(&str, Option<&str>, Option<String>)> = vec![
        ("urn:oasis:names:tc:xacml:1.0:subject:subject-id", Some("urn:oasis:names:tc:xspa:1.0:subject:subject-id"), Some("KVART GREVLING".to_owned())),
        ("urn:oasis:names:tc:xacml:2.0:subject:role", Some("urn:oasis:names:tc:xspa:1.0:subject:role"), Some(role)),
        ("urn:oasis:names:tc:xspa:1.0:subject:npi", Some("urn:oasis:names:tc:xspa:2.0:subject:npi"), Some("565505933".to_owned())),
        ("urn:ihe:iti:xua:2017:subject:provider-identifier", None, Some("<id xmlns=\"urn:hl7-org:v3\" type=\"II\" extension=\"565505933\" root=\"2.16.578.1.12.4.1.4.4\" displayable=\"false\"/>".to_owned())),
        ("urn:oasis:names:tc:xspa:1.0:subject:organization", None, Some("Granfjelldal kommune".to_owned())),
        ("urn:oasis:names:tc:xspa:1.0:subject:organization-id", None, Some(organisation("315900239"))),
        ("urn:oasis:names:tc:xspa:1.0:subject:child-organization", None, Some(organisation("315900240"))),
        ("urn:nhn:trust-framework:1.0:ext:subject:child-organization-name", None, Some(home.clone())),
        ("urn:oasis:names:tc:xspa:1.0:subject:facility", None, Some(id("705592", "2.16.578.1.12.4.1.4.102", "https://www.nhn.no/"))),
        ("urn:nhn:trust-framework:1.0:ext:care-relationship:healthcare-service", Some("urn:no:ehelse:saml:1.1:subject:healthcareservice"), Some(service)),
        ("urn:oasis:names:tc:xacml:2.0:action:purpose", None, Some("<Purpose xmlns=\"urn:hl7-org:v3\" xsi:type=\"CE\" code=\"TREAT\" codeSystem=\"urn:oid:2.16.840.1.113883.1.11.20448\" displayName=\"Treatment\"/>".to_owned())),
        ("urn:nhn:trust-framework:1.0:ext:care-relationship:purpose-of-use-details", None, Some("<purpose-of-use-details xmlns=\"urn:hl7-org:v3\" xsi:type=\"CE\" code=\"BEHANDLER\" codeSystem=\"urn:AuditEventHL7Norway/CodeSystem/carerelation\" assigningAuthorityName=\"https://www.hl7.no/\"/>".to_owned())),
        ("urn:nhn:trust-framework:1.0:ext:care-relationship:decision-ref", None, Some("<decision-ref><id value=\"07b4b65f\" /><user-selected value=\"True\" /></decision-ref>".to_owned())),
        ("urn:oasis:names:tc:xacml:1.0:resource:resource-id", Some("urn:oasis:names:tc:xacml:2.0:resource:resource-id"), Some(patient)),
        ("urn:nhn:trust-framework:1.0:ext:resource:child-organization", None, Some(home)),
        ("urn:nhn:trust-framework:1.0:ext:resource:child-organization-id", None, Some(organisation("315900240"))),
        ("urn:ihe:iti:xca:2010:homeCommunityId", Some("urn:no:ehelse:saml:1.0:subject:homeCommunityId"), Some("2.16.578.1.12.4.1.7.1.1".to_owned())),
        ("urn:no:ehelse:saml:1.0:subject:SecurityLevel", None, Some("4".to_owned())),
        ("urn:no:ehelse:saml:1.0:subject:Scope", None, Some("journaldokumenter_helsepersonell".to_owned())),
        ("urn:no:ehelse:saml:1.0:subject:client_id", None, Some("ea1b0c25-154d-483c-abeb-cdf2e09d0a45".to_owned())),
        ("urn:no:ehelse:saml:1.0:subject:Authentication_method", None, None),
        ("urn:ihe:iti:xua:2012:acp", None, None),
        ("urn:ihe:iti:bppc:2007:docid", None, None),
    ];
    let value_of = |written: &[(String, Option<String>)], name: &str| {
        let found: Vec<_> = written
            .iter()
            .filter(|(written, _)| written == name)
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].1.clone()
    };
    let (hybrid, new) = (written(Generation::Hybrid), written(Generation::New));
    for (name, old, value) in &table {
        assert_eq!(&value_of(&new, name), value, "{name}");
        assert_eq!(&value_of(&hybrid, name), value, "{name}");
        if let Some(old) = old {
            assert_eq!(&value_of(&hybrid, old), value, "{old}");
        }
    }
    assert_eq!(new.len(), table.len());
    let old_purpose =
        value_of(&hybrid, "urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse").unwrap();
    assert!(old_purpose.starts_with("<PurposeOfUse "));
    assert!(old_purpose.contains("codeSystemName=\"PurposeOfUse (HL7)\""));
    let with_old = table.iter().filter(|(_, old, _)| old.is_some()).count();
    assert_eq!(hybrid.len(), table.len() + with_old + 1);
}

#[test]
fn without_hpr_number_the_national_id_stands_in() {
    let mut claim = claim();
    claim["practitioner"]
        .as_object_mut()
        .unwrap()
        .remove("hpr_nr");
    let xua = Xua::from_attest(&claim, &request()).unwrap();
    assert_eq!(xua.npi.as_deref(), Some("06828399789"));
    assert_eq!(xua.provider.unwrap().root, "2.16.578.1.12.4.1.4.1");
}

#[test]
fn attests_that_are_not_translated() {
    let changed = |pointer: &str, value: Value| {
        let mut whole = Value::Object(claim());
        *whole.pointer_mut(pointer).unwrap() = value;
        Xua::from_attest(whole.as_object().unwrap(), &request()).err()
    };
    let table = [
        ("/toa", json!(NOW_S - 3_600), None),
        ("/toa", json!(NOW_S - 3_601), Some(AttestError::Expired)),
        ("/toa", Value::Null, Some(AttestError::Expired)),
        ("/toa", json!("1"), Some(AttestError::Expired)),
        ("/toa", json!(NOW_S + 10), None),
        ("/toa", json!(NOW_S + 11), Some(AttestError::FromTheFuture)),
        ("/toa", json!(i64::MAX), Some(AttestError::FromTheFuture)),
        ("/toa", json!(i64::MIN), Some(AttestError::Expired)),
        (
            "/practitioner",
            Value::Null,
            Some(AttestError::Lacks("practitioner")),
        ),
        (
            "/practitioner/identifier",
            Value::Null,
            Some(AttestError::Lacks("practitioner.identifier")),
        ),
        (
            "/practitioner/legal_entity",
            Value::Null,
            Some(AttestError::Lacks("practitioner.legal_entity")),
        ),
        (
            "/practitioner/point_of_care",
            Value::Null,
            Some(AttestError::Lacks("practitioner.point_of_care")),
        ),
        (
            "/care_relationship/purpose_of_use",
            Value::Null,
            Some(AttestError::Lacks("care_relationship.purpose_of_use")),
        ),
        (
            "/care_relationship/decision_ref",
            Value::Null,
            Some(AttestError::Lacks("care_relationship.decision_ref")),
        ),
        (
            "/care_relationship/decision_ref/user_selected",
            json!("true"),
            Some(AttestError::Lacks("care_relationship.decision_ref")),
        ),
        ("/care_relationship/healthcare_service", Value::Null, None),
        (
            "/care_relationship/purpose_of_use_details",
            Value::Null,
            None,
        ),
        ("/practitioner/authorization", Value::Null, None),
        ("/practitioner/department", Value::Null, None),
        ("/patients", json!([]), None),
    ];
    for (pointer, value, expected) in table {
        assert_eq!(
            changed(pointer, value.clone()),
            expected,
            "{pointer} = {value}"
        );
    }
    for (basis, expected) in [
        ("UNNTAK", Some("4")),
        ("samtykke", Some("8")),
        ("FORHOYET_SAMTYKKE", Some("5")),
        ("AKUTT", Some("6")),
        ("forhoyet_akutt", Some("7")),
        ("NONE", None),
    ] {
        let mut request = request();
        request.access_basis = Some(basis);
        let result = Xua::from_attest(&claim(), &request);
        match expected {
            Some(last) => {
                let xua = result.unwrap();
                assert_eq!(xua.acp, Some(format!("2.16.578.1.12.4.1.7.2.1.{last}")));
                assert_eq!(xua.bppc.as_deref(), Some("2.16.578.1.12.4.1.7.2.2.1"));
            }
            None => assert_eq!(result.unwrap_err(), AttestError::AccessBasis),
        }
    }
}

#[test]
fn a_citizen_is_told_of_in_the_citizens_form() {
    let fnr = "urn:oid:2.16.578.1.12.4.1.4.1";
    let citizen = Citizen {
        id: ("27888498775", fnr),
        name: "Rettferdig Savanne",
        patient: ("17855599120", fnr),
        operator: ("Helsenav", "994598759"),
        home_community: "2.16.578.1.12.4.1.7.1.1",
        security_level: "4",
        scopes: &["innsynregisterbruk", "prover"],
        client_id: None,
        acp: Some("2.16.578.1.12.4.1.7.2.1.1"),
    };
    let xua = Xua::for_citizen(&citizen);
    let attributes = xua.attributes(Generation::Citizen);
    let written: Vec<(&str, &str)> = attributes
        .iter()
        .map(|a| (a.name.as_str(), a.values[0].as_deref().unwrap()))
        .collect();
    let expected = [
        (
            "urn:oasis:names:tc:xspa:1.0:subject:subject-id",
            "Rettferdig Savanne",
        ),
        (
            "urn:oasis:names:tc:xspa:1.0:subject:organization",
            "Helsenav",
        ),
        (
            "urn:oasis:names:tc:xspa:1.0:subject:organization-id",
            "994598759",
        ),
        (
            "urn:ihe:iti:xca:2010:homeCommunityId",
            "urn:oid:2.16.578.1.12.4.1.7.1.1",
        ),
        ("urn:oasis:names:tc:xspa:2.0:subject:npi", "27888498775"),
        (
            "urn:ihe:iti:xua:2017:subject:provider-identifier",
            "<id xmlns=\"urn:hl7-org:v3\" type=\"II\" extension=\"27888498775\" root=\"2.16.578.1.12.4.1.4.1\" displayable=\"false\"/>",
        ),
        (
            "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse",
            "<PurposeOfUse xmlns=\"urn:hl7-org:v3\" type=\"CE\" code=\"13\" codeSystem=\"1.0.14265.1\" codeSystemName=\"ISO 14265 Classification of Purposes for processing personal health information\" displayName=\"Subject of care uses\"/>",
        ),
        (
            "urn:oasis:names:tc:xacml:2.0:resource:resource-id",
            "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO",
        ),
        ("SecurityLevel", "4"),
        ("Scope", "innsynregisterbruk,prover"),
        (
            "urn:ihe:iti:bppc:2007:docid",
            "urn:oid:2.16.578.1.12.4.1.7.2.2.1",
        ),
        (
            "urn:ihe:iti:xua:2012:acp",
            "urn:oid:2.16.578.1.12.4.1.7.2.1.1",
        ),
    ];
    assert_eq!(written, expected);
    let read = Xua::read(&Assertion {
        subject: "27888498775".to_owned(),
        ..assertion_with(attributes)
    });
    assert!(read == Ok(xua));
}

fn assertion_with(attributes: Vec<Attribute>) -> Assertion {
    Assertion {
        id: "_1".to_owned(),
        issuer: "i".to_owned(),
        issued_unix_ms: 0,
        subject: "06828399789".to_owned(),
        not_before_unix_ms: 0,
        not_on_or_after_unix_ms: 1,
        audiences: vec![],
        authentication: Authentication {
            at_unix_ms: 0,
            session_ends_unix_ms: None,
            context_class: String::new(),
        },
        attributes,
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut request = request();
    request.access_basis = Some("AKUTT");
    request.authentication_method = Some("urn:oid:1.2.3");
    let xua = Xua::from_attest(&claim(), &request).unwrap();
    for generation in [Generation::Hybrid, Generation::New] {
        let mut read = Xua::read(&assertion_with(xua.attributes(generation))).unwrap();
        // The old name of the purpose also names its code system.
        read.purpose.as_mut().unwrap().system_name = None;
        // provider-identifier has no prefix and no authority; everything else is the same.
        assert!(read == xua, "{generation:?}");
    }
    assert!(xua.is_about("29698496140") && !xua.is_about("2969849614"));
    assert!(!Xua::default().is_about(""));
    for shown in [
        format!("{xua:?}"),
        format!("{:?}", assertion_with(xua.attributes(Generation::New))),
    ] {
        for secret in ["06828399789", "29698496140", "GREVLING", "565505933"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn both_generations_and_their_quirks_are_read() {
    let read = |attributes: &[(&str, Option<&str>)]| {
        let attributes = attributes
            .iter()
            .map(|(name, value)| Attribute {
                name: (*name).to_owned(),
                values: vec![value.map(str::to_owned)],
            })
            .collect();
        Xua::read(&assertion_with(attributes))
    };
    // As the citizens' issuer writes.
    let citizen = read(&[
        ("urn:oasis:names:tc:xspa:1.0:subject:organization-id", Some("994598759")),
        ("urn:ihe:iti:xca:2010:homeCommunityId", Some("urn:oid:2.16.578.1.12.4.1.7.1.1")),
        ("urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", Some("<PurposeOfUse xmlns=\"urn:hl7-org:v3\" type=\"CE\" code=\"13\" codeSystem=\"1.0.14265.1\"/>")),
        ("SecurityLevel", Some("4")),
        ("Scope", Some("innsynregisterbruk,innsynpasientjournal")),
        ("client_id", Some("c")),
        ("urn:ihe:iti:xua:2012:acp", Some("urn:oid:2.16.578.1.12.4.1.7.2.1.2")),
        ("urn:ihe:iti:bppc:2007:docid", None),
        ("unknown", Some("ignored")),
    ])
    .unwrap();
    assert_eq!(citizen.organization.unwrap().extension, "994598759");
    assert_eq!(
        citizen.home_community.as_deref(),
        Some("2.16.578.1.12.4.1.7.1.1")
    );
    assert_eq!(citizen.purpose.unwrap().code, "13");
    assert_eq!(
        citizen.scopes,
        ["innsynregisterbruk", "innsynpasientjournal"]
    );
    assert_eq!(citizen.acp.as_deref(), Some("2.16.578.1.12.4.1.7.2.1.2"));
    assert_eq!(
        (citizen.bppc, citizen.security_level.as_deref()),
        (None, Some("4"))
    );

    // Number and name of the patient's unit, whichever stands where.
    let number = "<id extension=\"873255102\" root=\"urn:oid:2.16.578.1.12.4.1.4.101\"/>";
    let prefix = "urn:nhn:trust-framework:1.0:ext:resource:";
    let names = [
        "child-organization",
        "child-organization-id",
        "child-organization-name",
    ]
    .map(|name| format!("{prefix}{name}"));
    for (at_number, at_name) in [(0, 2), (1, 0), (0, 1)] {
        let unit = read(&[
            (&names[at_number], Some(number)),
            (&names[at_name], Some("BETANIEN")),
        ]);
        let unit = unit.unwrap();
        assert_eq!(unit.patient_organization.unwrap().extension, "873255102");
        assert_eq!(unit.patient_organization_name.as_deref(), Some("BETANIEN"));
    }

    let (new, old) = (
        "urn:oasis:names:tc:xacml:1.0:resource:resource-id",
        "urn:oasis:names:tc:xacml:2.0:resource:resource-id",
    );
    let (one, other) = ("1^^^&1.2&ISO", "2^^^&1.2&ISO");
    assert!(read(&[(new, Some(one)), (old, Some("1^^^&amp;1.2&amp;ISO"))]).is_ok());
    let contradiction = Err(XuaError::Contradiction(new));
    assert_eq!(read(&[(new, Some(one)), (old, Some(other))]), contradiction);
    assert_eq!(read(&[(new, Some(one)), (new, Some(other))]), contradiction);
    assert_eq!(
        read(&[(new, Some("29698496140"))]),
        Err(XuaError::Unreadable(new))
    );
    let role = "urn:oasis:names:tc:xacml:2.0:subject:role";
    assert_eq!(read(&[(role, Some("LE"))]), Err(XuaError::Unreadable(role)));
    let acp = "urn:ihe:iti:xua:2012:acp";
    assert_eq!(
        read(&[(acp, Some("consent"))]),
        Err(XuaError::Unreadable(acp))
    );
}

#[test]
fn faults_have_their_code() {
    use crate::dsig::DsigError;
    let table = [
        (
            SamlError::Signature(DsigError::Missing),
            "FailedAuthentication",
        ),
        (SamlError::Signature(DsigError::Mismatch), "FailedCheck"),
        (
            SamlError::Signature(DsigError::Digest { number: 1 }),
            "FailedCheck",
        ),
        (SamlError::OtherAudience, "FailedAuthentication"),
        (SamlError::UnknownIssuer, "FailedAuthentication"),
        (SamlError::Expired, "MessageExpired"),
        (SamlError::Authentication("x"), "InvalidSecurityToken"),
    ];
    for (error, expected) in table {
        assert_eq!(error.fault_code(), expected, "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,120}", markup in "[<>&;\"'=/a-z^:. ]{0,80}") {
        for text in [&text, &markup] {
            let _ = (read_coded(text), read_instance(text), read_decision(text), read_patient(text));
        }
        let expected = Expected {
            signer: Signer::Carried,
            issuers: &[],
            audiences: &[],
            now_unix_ms: 0,
            leeway_ms: 0,
        };
        prop_assert!(verify(&text, &expected).is_err());
        let almost = format!("<Assertion xmlns=\"{NAMESPACE}\">{markup}</Assertion>");
        prop_assert!(verify(&almost, &expected).is_err());
    }

    /// Whatever stands in a value, what is written is what is read.
    #[test]
    fn values_survive_writing(code in "[^\\p{Cc}]{1,20}", display in "[^\\p{Cc}]{0,20}", id in "[0-9]{1,11}") {
        let coded = Coded {
            code: code.clone(),
            system: "urn:oid:1.2.3".to_owned(),
            display: Some(display).filter(|text| !text.is_empty()),
            ..Coded::default()
        };
        prop_assume!(!code.contains(['\u{fffe}', '\u{ffff}']));
        prop_assume!(!coded.display.as_deref().unwrap_or_default().contains(['\u{fffe}', '\u{ffff}']));
        prop_assert_eq!(read_coded(&write_coded("Role", &coded)), Some(coded));
        let instance = Instance { extension: id.clone(), root: "1.2.3".to_owned(), assigner: Some(code.clone()) };
        prop_assert!(read_instance(&write_instance(&instance)).as_ref() == Some(&instance));
        let patient = PatientId { id, system: "1.2.3".to_owned() };
        prop_assert_eq!(read_patient(&write_patient(&patient)), Some(patient));
        prop_assert_eq!(read_decision(&write_decision(&code, true)), Some((code, true)));
    }
}
