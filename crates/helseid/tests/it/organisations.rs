//! Structured claims: organisation numbers, SFM instance, attest (spec helseid §8, tillitsrammeverk §2-§4, §8).

use helseid::rules::organisation::{self, Organisations};
use helseid::{OAuthError, Tenancy};
use jose::names;
use serde_json::{Value, json};

use crate::people::{DOCTOR, MUNICIPALITY, NURSING_HOME, OFFICE, People, SUPPLIER};
use crate::{AUTH, Answer, World, claims, client_with};

const SINGLE: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
const MULTI: &str = "urn:oid:1.0.6523";

fn structure(system: &str, value: &str) -> Value {
    json!({"type":"helseid_authorization","practitioner_role":{"organization":{"identifier":{
        "system":system,"type":"ENH","value":value}}}})
}

fn resolve(tenancy: Tenancy, structure: Option<Value>) -> Result<Organisations, OAuthError> {
    let key = jose::PrivateJwk::generate(jose::jwk::KeyKind::P256, None).unwrap();
    let mut client = client_with(&key, "c");
    client.tenancy = tenancy;
    organisation::resolve(
        &client,
        structure.as_ref().and_then(Value::as_object),
        &People,
    )
}

fn single() -> Tenancy {
    Tenancy::Single {
        parent: MUNICIPALITY.to_owned(),
        children: [NURSING_HOME.to_owned()].into(),
    }
}

fn multi() -> Tenancy {
    Tenancy::Multi {
        supplier: SUPPLIER.to_owned(),
        delegations: [MUNICIPALITY.to_owned(), OFFICE.to_owned()].into(),
    }
}

#[test]
fn organisation_numbers_by_tenancy() {
    let found = |tenancy, structure| {
        let organisations = resolve(tenancy, structure)
            .map_err(|error| error.description.chars().take(8).collect::<String>())?;
        Ok::<_, String>((
            organisations.parent.unwrap_or_default(),
            organisations.child.unwrap_or_default(),
            organisations.supplier.unwrap_or_default(),
        ))
    };
    let ok = |parent: &str, child: &str, supplier: &str| {
        Ok((parent.to_owned(), child.to_owned(), supplier.to_owned()))
    };
    let err = |code: &str| Err(code.to_owned());
    let table = [
        (Tenancy::None, None, ok("", "", "")),
        (
            Tenancy::None,
            Some(structure(SINGLE, NURSING_HOME)),
            err("HID-1010"),
        ),
        (single(), None, ok(MUNICIPALITY, "", "")),
        (
            single(),
            Some(structure(SINGLE, NURSING_HOME)),
            ok(MUNICIPALITY, NURSING_HOME, ""),
        ),
        (
            single(),
            Some(structure("urn:oid:2.16.578.1.12.4.1.2.101", NURSING_HOME)),
            ok(MUNICIPALITY, NURSING_HOME, ""),
        ),
        (
            single(),
            Some(structure(SINGLE, MUNICIPALITY)),
            ok(MUNICIPALITY, MUNICIPALITY, ""),
        ),
        (
            single(),
            Some(structure(SINGLE, "999977775")),
            err("HID-1002"),
        ),
        (
            single(),
            Some(structure(SINGLE, "99997777")),
            err("HID-1004"),
        ),
        (
            single(),
            Some(structure(SINGLE, "313325017")),
            err("HID-1004"),
        ),
        (
            single(),
            Some(structure(MULTI, "NO:ORGNR:999977774")),
            err("HID-1005"),
        ),
        (
            single(),
            Some(structure("urn:oid:1.2.3", NURSING_HOME)),
            err("HID-1007"),
        ),
        (
            Tenancy::Single {
                parent: OFFICE.to_owned(),
                children: [].into(),
            },
            Some(structure(SINGLE, NURSING_HOME)),
            err("HID-1006"),
        ),
        (multi(), None, ok("", "", SUPPLIER)),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:999977774")),
            ok(MUNICIPALITY, "", SUPPLIER),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:999977774:")),
            ok(MUNICIPALITY, "", SUPPLIER),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:999977774:999977776")),
            ok(MUNICIPALITY, NURSING_HOME, SUPPLIER),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:313325016:313325016")),
            ok(OFFICE, OFFICE, SUPPLIER),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:313745392")),
            err("HID-1001"),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:313325016:999977776")),
            err("HID-1003"),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:999977774:1")),
            err("HID-1004"),
        ),
        (
            multi(),
            Some(structure(MULTI, "NO:ORGNR:999977774:999977776:1")),
            err("HID-1004"),
        ),
        (
            multi(),
            Some(structure(MULTI, "SE:ORGNR:999977774")),
            err("HID-1007"),
        ),
        (
            multi(),
            Some(structure(SINGLE, NURSING_HOME)),
            err("HID-1007"),
        ),
        (
            multi(),
            Some(json!({"type":"helseid_authorization"})),
            err("HID-1007"),
        ),
    ];
    for (tenancy, sent, expected) in table {
        assert_eq!(
            found(tenancy.clone(), sent.clone()),
            expected,
            "{tenancy:?} {sent:?}"
        );
    }
}

async fn machine(world: &World, details: Value) -> Answer {
    let nonce = world.nonce().await;
    let assertion = world.assertion(json!({"assertion_details": details}));
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "nhn:pps/provesvar-read"),
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
}

#[tokio::test]
async fn a_delegation_that_ends_counts_from_the_next_token() {
    let world = World::start();
    let mut client = world.client.clone();
    client.tenancy = multi();
    world.helseid.put_client(client.clone());
    let parent = structure(MULTI, "NO:ORGNR:313325016");
    let answer = machine(&world, parent.clone()).await;
    let access = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(
        (&access[names::ORGNR_PARENT], &access[names::ORGNR_SUPPLIER]),
        (&json!(OFFICE), &json!(SUPPLIER))
    );
    assert_eq!(access[names::CLIENT_TENANCY], "multi-tenant");
    client.tenancy = Tenancy::Multi {
        supplier: SUPPLIER.to_owned(),
        delegations: [].into(),
    };
    world.helseid.put_client(client);
    assert!(
        machine(&world, parent)
            .await
            .refused("access_denied")
            .starts_with("HID-1001")
    );
    machine(&world, json!([])).await.refused("access_denied");
}

#[tokio::test]
async fn an_sfm_instance_reaches_only_the_api_that_wants_it() {
    let world = World::start();
    let journal = json!({"type":"nhn:sfm:journal-id","value":{"journal_id":"7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"}});
    let answer = machine(&world, json!([journal, structure(SINGLE, NURSING_HOME)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let access = claims(answer.json()["access_token"].as_str().unwrap());
    assert!(!access.contains_key(names::SFM_JOURNAL_ID));
    assert_eq!(access[names::ORGNR_CHILD], NURSING_HOME);
    let mut client = world.client.clone();
    client.scopes.insert("e-helse:sfm.api/sfm.api".to_owned());
    client.api_claims.insert(
        "e-helse:sfm.api/client/claims/sfm-id".to_owned(),
        "the-id".to_owned(),
    );
    world.helseid.put_client(client);
    let nonce = world.nonce().await;
    let assertion = world.assertion(json!({"authorization_details": journal}));
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "e-helse:sfm.api/sfm.api"),
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    let answer = world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await;
    let access = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(
        access[names::SFM_JOURNAL_ID],
        "7fbfbcbd-6f08-4e95-9f7a-9d69c40f6a35"
    );
    assert_eq!(access["e-helse:sfm.api/client/claims/sfm-id"], "the-id");
}

fn attest() -> Value {
    json!({
        "type": "nhn:tillitsrammeverk:parameters",
        "practitioner": {
            "authorization": {"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
            "legal_entity": {"id": MUNICIPALITY, "system": SINGLE, "name": "INJECTED"},
            "point_of_care": {"id": NURSING_HOME, "system": SINGLE}
        },
        "care_relationship": {
            "healthcare_service": {"code": "KP01", "system": "urn:oid:2.16.578.1.12.4.1.1.8663", "text": "INJECTED"},
            "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
            "purpose_of_use_details": {"code": "BEHANDLER", "system": "urn:AuditEventHL7Norway/CodeSystem/carerelation"},
            "decision_ref": {"id": "07b4b65f-a538-4c88-b845-c8fd18702f83", "user_selected": true}
        },
        "patients": [{"point_of_care": {"id": NURSING_HOME, "system": SINGLE}}]
    })
}

async fn login_with(world: &World, attest: &Value, parameters: &[(&str, &str)]) -> Answer {
    let object = world.assertion(json!({"client_id":"epj","authorization_details":attest}));
    let mut parameters = parameters.to_vec();
    parameters.push(("request", &object));
    let code = world.code(&parameters).await;
    world.redeem(&code).await
}

#[tokio::test]
async fn an_attest_is_enriched_from_the_registers() {
    let world = World::start();
    let answer = login_with(&world, &attest(), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let access = claims(answer.json()["access_token"].as_str().unwrap());
    let claim = &access[names::ATTEST];
    assert_eq!(claim["practitioner"]["identifier"]["id"], DOCTOR);
    assert_eq!(
        claim["practitioner"]["identifier"]["name"],
        "KVART GREVLING"
    );
    assert_eq!(claim["practitioner"]["hpr_nr"]["id"], "565505933");
    assert_eq!(claim["practitioner"]["authorization"]["text"], "Lege");
    assert_eq!(
        claim["practitioner"]["legal_entity"]["name"],
        "Granfjelldal kommune"
    );
    assert_eq!(
        claim["practitioner"]["point_of_care"]["name"],
        "Granfjelldal bo- og omsorgssenter"
    );
    assert_eq!(
        claim["care_relationship"]["decision_ref"],
        json!({"id":"07b4b65f-a538-4c88-b845-c8fd18702f83","user_selected":true})
    );
    assert_eq!(
        claim["patients"][0]["point_of_care"]["authority"],
        "https://www.brreg.no"
    );
    assert_eq!(claim["toa"], world.now());
    assert!(!claim.to_string().contains("INJECTED"));
    assert!(claim.get("type").is_none());

    // It is sticky over refreshes with its old time; sending it again the other way is refused.
    let (made, refresh) = (
        world.now(),
        answer.json()["refresh_token"].as_str().unwrap().to_owned(),
    );
    world.wait(600);
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.as_str()),
    ];
    let next = world.token(&form).await.json();
    assert_eq!(
        claims(next["access_token"].as_str().unwrap())[names::ATTEST]["toa"],
        made
    );
    let nonce = world.nonce().await;
    let assertion = world.assertion(json!({"assertion_details": attest()}));
    let proof = world.proof(&world.key, "/connect/token", Some(&nonce));
    let refresh = next["refresh_token"].as_str().unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        AUTH,
        ("client_assertion", assertion.as_str()),
    ];
    let description = world
        .post("/connect/token", &form, &[("DPoP", &proof)])
        .await
        .refused("access_denied");
    assert!(description.starts_with("HID-DOUBLE-STRUCTURE"));
}

#[tokio::test]
async fn attests_are_refused_each_for_its_reason() {
    let world = World::start();
    let change = |pointer: &str, value: Value| {
        let mut changed = attest();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[name] = value;
        changed
    };
    let code = |name: &str| json!({"code":name,"system":"urn:oid:2.16.578.1.12.4.1.1.9060"});
    let table = [
        (
            "T1",
            change("/practitioner/legal_entity/id", json!(OFFICE)),
            "access_denied",
        ),
        (
            "T2",
            change("/practitioner/authorization", code("SP")),
            "access_denied",
        ),
        (
            "T3",
            change("/practitioner/identifier", json!({"id":"15849197352"})),
            "access_denied",
        ),
        (
            "ATT-18",
            change("/practitioner/point_of_care/id", json!(OFFICE)),
            "access_denied",
        ),
        (
            "T5",
            change("/toa", json!(world.now() - 3_700)),
            "access_denied",
        ),
        (
            "T5 future",
            change("/toa", json!(world.now() + 100)),
            "access_denied",
        ),
        (
            "T8 purpose",
            change("/care_relationship/purpose_of_use/code", json!("FUN")),
            "invalid_request",
        ),
        (
            "T8 system",
            change(
                "/care_relationship/healthcare_service/system",
                json!("urn:oid:1.2"),
            ),
            "invalid_request",
        ),
        (
            "T9",
            change(
                "/care_relationship/decision_ref/user_selected",
                json!("true"),
            ),
            "invalid_request",
        ),
        (
            "T15",
            change("/patients", json!([{}, {}])),
            "invalid_request",
        ),
        (
            "no purpose",
            change("/care_relationship/purpose_of_use", json!(null)),
            "invalid_request",
        ),
        (
            "unknown unit",
            change("/practitioner/legal_entity/id", json!("999999999")),
            "invalid_request",
        ),
    ];
    for (name, attest, expected) in table {
        let answer = login_with(&world, &attest, &[]).await;
        assert_eq!(
            answer.json()["error"],
            expected,
            "{name}: {}",
            answer.text()
        );
    }
    let low = login_with(&world, &attest(), &[("test_security_level", "3")]).await;
    assert!(low.refused("access_denied").contains("level 4"));
}

#[tokio::test]
async fn known_slips_of_real_clients_are_forgiven() {
    let world = World::start();
    let mut misspelt = attest();
    let authorization = misspelt["practitioner"]
        .as_object_mut()
        .unwrap()
        .shift_remove("authorization")
        .unwrap();
    misspelt["practitioner"]["auhtorization"] = authorization;
    misspelt["patients"] = json!([]);
    let answer = login_with(&world, &misspelt, &[]).await;
    let access = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(
        access[names::ATTEST]["practitioner"]["authorization"]["code"],
        "LE"
    );
    assert_eq!(access[names::ATTEST]["patients"], json!([]));
}
