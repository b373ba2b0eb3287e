//! SMART scopes at the edge: what a token opens is narrowed in every interaction, and never widened.

use crate::world::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A token as an issuer would make it; open repositories do not verify it.
fn token(scope: &str, patient: Option<&str>) -> String {
    let claims = json!({ "scope": scope, "patient": patient });
    format!(
        "Bearer e30.{}.x",
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

struct Ward {
    world: World,
    kari: String,
    ola: String,
}

impl Ward {
    async fn call(&self, method: &str, address: &str, token: &str, body: &str) -> Reply {
        let headers = [("authorization", token)];
        send(&self.world.sandbox, method, address, &headers, body).await
    }

    async fn get(&self, address: &str, token: &str) -> Reply {
        self.call("GET", address, token, "").await
    }
}

fn observation(patient: &str, category: &str, code: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "performer": [{ "reference": "Practitioner/lege" }],
    })
}

/// Two patients with two observations each, a report, and a doctor.
async fn ward() -> Ward {
    let world = World::new();
    for (id, family) in [("kari", "Bever"), ("ola", "Elg")] {
        let patient =
            json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }] });
        put(&world, &format!("Patient/{id}"), patient).await;
        for (category, code) in [("laboratory", "718-7"), ("vital-signs", "8480-6")] {
            let name = format!("{id}-{category}");
            let mut body = observation(id, category, code);
            body["id"] = json!(name);
            put(&world, &format!("Observation/{name}"), body).await;
        }
        let report = json!({
            "resourceType": "DiagnosticReport", "id": format!("{id}-report"), "status": "final", "code": { "text": "x" },
            "subject": { "reference": format!("Patient/{id}") },
            "result": [{ "reference": format!("Observation/{id}-laboratory") }],
        });
        put(&world, &format!("DiagnosticReport/{id}-report"), report).await;
    }
    let doctor =
        json!({ "resourceType": "Practitioner", "id": "lege", "name": [{ "family": "Grevling" }] });
    put(&world, "Practitioner/lege", doctor).await;
    Ward {
        world,
        kari: "kari".to_owned(),
        ola: "ola".to_owned(),
    }
}

async fn put(world: &World, address: &str, body: Value) {
    let reply = send(&world.sandbox, "PUT", address, &[], &body.to_string()).await;
    assert!(reply.status < 300, "{address}: {}", reply.text());
}

#[tokio::test]
async fn a_patient_scope_shows_one_compartment_everywhere() {
    let w = ward().await;
    let t = token("openid patient/*.rs", Some(&w.kari));
    for (address, expected) in [
        ("Observation", 2),
        ("Patient", 1),
        ("Practitioner", 0),
        ("Observation?code=718-7", 1),
        ("Observation?subject=Patient/kari", 2),
        ("Observation?subject=Patient/ola", 0),
        ("Observation?subject.family=Elg", 0),
        ("Observation?subject.family=Bever", 2),
        ("Observation?code:not=718-7", 1),
        ("DiagnosticReport?result.code=718-7", 1),
        ("Patient?_has:Observation:subject:code=718-7", 1),
        ("Patient?family=Elg", 0),
        ("Patient/kari/Observation", 2),
        ("Patient/ola/Observation", 0),
        ("Patient/kari/*", 3),
        ("?_type=Patient,Observation", 3),
        ("Observation?_id=ola-laboratory,kari-laboratory", 1),
        ("Observation?performer=Practitioner/lege", 2),
    ] {
        let reply = w.get(address, &t).await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.text());
        assert_eq!(
            reply.json()["total"],
            expected,
            "{address}: {}",
            reply.text()
        );
        let entries = reply.json()["entry"].to_string();
        assert!(!entries.contains("ola-"), "{address}: {entries}");
    }
    // Includes in both directions stop at the compartment too.
    let included = w
        .get("Observation?_include=Observation:subject&_include=Observation:performer&_revinclude=DiagnosticReport:result", &t)
        .await;
    let mut found = included.ids("include");
    found.sort();
    assert_eq!(found, ["DiagnosticReport/kari-report", "Patient/kari"]);
    for (address, status) in [
        ("Observation/kari-laboratory", 200),
        ("Observation/ola-laboratory", 404),
        ("Observation/none", 404),
        ("Observation/ola-laboratory/_history", 404),
        ("Observation/ola-laboratory/_history/1", 404),
        ("Observation/kari-laboratory/_history/1", 200),
        ("Patient/ola", 404),
        ("Patient/kari", 200),
        ("Practitioner/lege", 404),
    ] {
        assert_eq!(w.get(address, &t).await.status, status, "{address}");
    }
    let hidden = w.get("Observation/ola-laboratory", &t).await;
    let unknown = w.get("Observation/none", &t).await;
    assert_eq!(hidden.text(), unknown.text());
    for address in ["Observation/_history", "_history"] {
        let reply = w.get(address, &t).await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.text());
        assert!(reply.text().contains("kari-laboratory"));
        assert!(!reply.text().contains("ola"), "{address}: {}", reply.text());
    }
    let all = w.get("Patient/kari/$everything", &t).await;
    assert_eq!(all.status, 200, "{}", all.text());
    assert!(
        all.text().contains("kari-report") && !all.text().contains("Grevling"),
        "{}",
        all.text()
    );
    assert_eq!(w.get("Patient/ola/$everything", &t).await.status, 404);
    // The same without a token: everything is there.
    assert_eq!(
        get(&w.world.sandbox, "Observation").await.json()["total"],
        4
    );
}

#[tokio::test]
async fn a_scope_with_a_search_is_one_more_condition() {
    let w = ward().await;
    let t = token(
        "user/Observation.rs?category=laboratory user/Patient.rs",
        None,
    );
    for (address, expected) in [
        ("Observation", 2),
        ("Observation?category=vital-signs", 0),
        ("Observation?category:not=laboratory", 0),
        ("Observation?subject.family=Elg", 1),
        ("Patient?_has:Observation:subject:code=8480-6", 0),
        ("Patient?_has:Observation:subject:code=718-7", 2),
        ("Observation?_summary=count", 2),
    ] {
        let reply = w.get(address, &t).await;
        assert_eq!(
            reply.json()["total"],
            expected,
            "{address}: {}",
            reply.text()
        );
    }
    assert_eq!(w.get("Observation/ola-vital-signs", &t).await.status, 404);
    assert_eq!(
        w.get("Observation/ola-vital-signs/_history", &t)
            .await
            .status,
        404
    );
    let back = w.get("Patient?_revinclude=Observation:subject", &t).await;
    assert_eq!(back.ids("include").len(), 2, "{}", back.text());
    // Two scopes on a type: either opens.
    let both = token(
        "user/Observation.rs?category=laboratory patient/Observation.rs",
        Some(&w.ola),
    );
    assert_eq!(w.get("Observation", &both).await.json()["total"], 3);
    // A search that the type does not have opens nothing.
    let wrong = token("user/Observation.rs?colour=red", None);
    assert_eq!(w.get("Observation", &wrong).await.json()["total"], 0);
}

#[tokio::test]
async fn pages_go_on_when_the_data_have_grown() {
    let w = ward().await;
    let t = token("user/Observation.rs?category=laboratory", None);
    let first = w.get("Observation?_count=1", &t).await;
    let next = first.link("next").unwrap();
    let more = observation("kari", "laboratory", "2951-2");
    let made = w.call("POST", "Observation", "", &more.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let second = w.get(&next, &t).await;
    assert_eq!(second.status, 200, "{}", second.text());
    assert_eq!(second.ids("match").len(), 1);
    // The link holds no right: without the scope it opens nothing.
    let other = token("user/Observation.rs?category=vital-signs", None);
    let refused = w.get(&next, &other).await;
    assert!(
        matches!(refused.status, 400 | 403 | 410),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn what_no_scope_permits_is_403() {
    let w = ward().await;
    let t = token(
        "patient/Observation.rs user/Practitioner.r system/Flag.c",
        Some(&w.kari),
    );
    let flag = json!({ "resourceType": "Flag", "status": "active", "code": { "text": "x" }, "subject": { "reference": "Patient/kari" } }).to_string();
    let bundle = |kind: &str, method: &str, url: &str, resource: &str| {
        let resource: Value = serde_json::from_str(resource).unwrap_or(Value::Null);
        let mut entry = json!({ "request": { "method": method, "url": url } });
        if !resource.is_null() {
            entry["resource"] = resource;
        }
        json!({ "resourceType": "Bundle", "type": kind, "entry": [entry] }).to_string()
    };
    let lab = observation("kari", "laboratory", "1").to_string();
    let rows: Vec<(&str, &str, String, u16)> = vec![
        ("GET", "Patient/kari", String::new(), 403),
        ("GET", "Patient", String::new(), 403),
        ("GET", "Practitioner/lege", String::new(), 200),
        ("GET", "Practitioner", String::new(), 403),
        ("GET", "Practitioner/_history", String::new(), 403),
        ("GET", "Observation/_history", String::new(), 200),
        ("GET", "Patient/kari/Observation", String::new(), 200),
        ("GET", "Patient/kari/DiagnosticReport", String::new(), 403),
        ("POST", "Observation", lab.clone(), 403),
        ("PUT", "Observation/kari-laboratory", lab.clone(), 403),
        ("DELETE", "Observation/kari-laboratory", String::new(), 403),
        ("DELETE", "Observation?code=718-7", String::new(), 403),
        ("POST", "Flag", flag.clone(), 201),
        ("GET", "Flag", String::new(), 403),
        ("DELETE", "$reset", String::new(), 403),
        (
            "POST",
            "",
            bundle("transaction", "POST", "Observation", &lab),
            403,
        ),
        (
            "POST",
            "",
            bundle("transaction", "DELETE", "Observation/kari-laboratory", ""),
            403,
        ),
        (
            "POST",
            "",
            bundle("transaction", "POST", "Flag", &flag),
            200,
        ),
        ("POST", "", bundle("batch", "GET", "Patient/kari", ""), 200),
        ("GET", "metadata", String::new(), 200),
    ];
    for (method, address, body, status) in rows {
        let reply = w.call(method, address, &t, &body).await;
        assert_eq!(
            reply.status,
            status,
            "{method} {address} {body}: {}",
            reply.text()
        );
        if status == 403 {
            assert_eq!(reply.json()["issue"][0]["code"], "forbidden");
        }
        if address.is_empty() && body.contains("batch") {
            assert!(
                reply.json()["entry"][0]["response"]["status"]
                    .as_str()
                    .unwrap()
                    .starts_with("403")
            );
        }
    }
    // Operations: under the same grant, or not at all.
    let graphql = |query: &str| {
        format!(
            "$graphql?query={}",
            url::form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>()
        )
    };
    let names = "{PractitionerList{id}ObservationList{id}}";
    let reply = w.get(&graphql(names), &t).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("kari-laboratory"), "{}", reply.text());
    assert!(
        !reply.text().contains("ola-") && !reply.text().contains("lege"),
        "{}",
        reply.text()
    );
    let export = [("authorization", t.as_str()), ("prefer", "respond-async")];
    for address in ["$export", "Patient/$export", "$explain?url=Patient"] {
        let reply = send(&w.world.sandbox, "GET", address, &export, "").await;
        assert_eq!(reply.status, 403, "{address}: {}", reply.text());
    }
    let all = token("system/*.cruds", None);
    let topic = json!({ "resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "Observation?code=1", "channel": { "type": "websocket" } });
    let reply = w
        .call("POST", "Subscription", &all, &topic.to_string())
        .await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    // Patient scopes without a patient, and malformed ones, open nothing.
    for scope in ["patient/*.rs", "user/Observation.rx", "system/pasient.rs"] {
        assert_eq!(
            w.get("Observation", &token(scope, None)).await.status,
            403,
            "{scope}"
        );
    }
    // Scopes that are not about resources do not narrow.
    assert_eq!(
        w.get("Observation", &token("openid profile", None))
            .await
            .json()["total"],
        4
    );
}

#[tokio::test]
async fn writes_stay_inside_what_the_scopes_describe() {
    let w = ward().await;
    let t = token(
        "patient/Observation.cruds?category=laboratory",
        Some(&w.kari),
    );
    let lab = |patient: &str| observation(patient, "laboratory", "1").to_string();
    let made = w.call("POST", "Observation", &t, &lab("kari")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let vital = observation("kari", "vital-signs", "1").to_string();
    let with_id = |text: &str, id: &str| {
        let mut body: Value = serde_json::from_str(text).unwrap();
        body["id"] = json!(id);
        body.to_string()
    };
    for (method, address, body, status) in [
        // Another patient's, and of another category.
        ("POST", "Observation".to_owned(), lab("ola"), 403),
        ("POST", "Observation".to_owned(), vital.clone(), 403),
        // Out of the scope by an update.
        (
            "PUT",
            format!("Observation/{id}"),
            with_id(&lab("ola"), &id),
            403,
        ),
        (
            "PUT",
            format!("Observation/{id}"),
            with_id(&vital, &id),
            403,
        ),
        (
            "PUT",
            format!("Observation/{id}"),
            with_id(&lab("kari"), &id).replace("\"final\"", "\"amended\""),
            200,
        ),
        (
            "DELETE",
            "Observation/ola-laboratory".to_owned(),
            String::new(),
            204,
        ),
        (
            "DELETE",
            "Observation/kari-vital-signs".to_owned(),
            String::new(),
            204,
        ),
    ] {
        let reply = w.call(method, &address, &t, &body).await;
        assert_eq!(
            reply.status,
            status,
            "{method} {address} {body}: {}",
            reply.text()
        );
    }
    // What she may not see was neither deleted nor overwritten.
    for id in ["ola-laboratory", "kari-vital-signs"] {
        let body = with_id(&lab("kari"), id);
        let reply = w.call("PUT", &format!("Observation/{id}"), &t, &body).await;
        assert!(
            matches!(reply.status, 403 | 404 | 409 | 412),
            "{id}: {} {}",
            reply.status,
            reply.text()
        );
        let now = get(&w.world.sandbox, &format!("Observation/{id}")).await;
        assert_eq!(now.status, 200, "{id}");
        assert_eq!(now.json()["meta"]["versionId"], "1", "{id}");
    }
}

#[tokio::test]
async fn a_clinical_token_is_narrowed_as_well() {
    let world = World::new();
    let (observation, report) = world.add_result(KARI, "NPU19748", "13.50");
    world.add_result(KARI, "NPU01685", "4.1");
    let kari = world.patient_id(KARI);
    let look = async |address: &str, scopes: &str, launch: Option<&str>| {
        let mut headers = vec![("x-doctor", DOCTOR), ("x-scopes", scopes)];
        headers.extend(launch.map(|id| ("x-launch", id)));
        send(&world.results, "GET", address, &headers, "").await
    };
    let search = format!("Observation?patient={kari}");
    for (scopes, expected) in [
        ("nhn:pps/provesvar-read", 2),
        ("user/Observation.rs", 2),
        ("patient/Observation.rs", 2),
        ("patient/*.read", 2),
        ("user/Observation.rs?code=NPU19748", 1),
        ("user/Observation.rs?code=NPU00000", 0),
    ] {
        let reply = look(&search, scopes, None).await;
        assert_eq!(reply.status, 200, "{scopes}: {}", reply.text());
        assert_eq!(
            reply.json()["total"],
            expected,
            "{scopes}: {}",
            reply.text()
        );
    }
    assert_eq!(
        look(&search, "user/DiagnosticReport.rs", None).await.status,
        403
    );
    let with = "user/Observation.rs?code=NPU01685 user/DiagnosticReport.rs";
    assert_eq!(
        look(&format!("Observation/{observation}"), with, None)
            .await
            .status,
        404
    );
    assert_eq!(
        look(&format!("DiagnosticReport/{report}"), with, None)
            .await
            .status,
        200
    );
    let chained = format!("DiagnosticReport?patient={kari}&result.code=NPU19748");
    assert_eq!(look(&chained, with, None).await.json()["total"], 0);
    let report = look(
        &format!("DiagnosticReport?_id={report}&_include=DiagnosticReport:result"),
        with,
        None,
    )
    .await;
    assert_eq!(report.ids("include").len(), 0, "{}", report.text());
    // The Patient view is a type like others.
    let view = format!("Patient/{kari}");
    for (scopes, status) in [
        ("user/Observation.rs", 403),
        ("user/Patient.r", 403),
        ("user/Patient.rs user/Observation.rs", 200),
        ("user/Patient.rs?gender=female user/Observation.rs", 200),
        ("user/Patient.rs?gender=male user/Observation.rs", 404),
    ] {
        let reply = look(&view, scopes, None).await;
        let expected = if scopes == "user/Patient.r" {
            404
        } else {
            status
        };
        assert_eq!(reply.status, expected, "{scopes}: {}", reply.text());
    }
    let included = format!("{search}&_include=Observation:subject");
    assert_eq!(
        look(&included, "user/Observation.rs", None)
            .await
            .ids("include")
            .len(),
        0
    );
    // A launch for another patient shows nothing of this one.
    let other = world.patient_id(OLA);
    let reply = look(&search, "patient/*.rs", Some(&other)).await;
    assert_eq!(reply.json()["total"], 0, "{}", reply.text());
    assert_eq!(
        look(&search, "patient/*.rs", Some(&kari)).await.json()["total"],
        2
    );
}
