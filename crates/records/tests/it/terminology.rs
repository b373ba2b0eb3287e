//! Terminology at the edge of the open repository: operations, capabilities, and searches that ask for codes.

use crate::world::*;
use serde_json::{Value, json};

const CS: &str = "http://example.org/CodeSystem/food";
const VS: &str = "http://example.org/ValueSet/fruit";

fn food(version: &str, apple: &str) -> Value {
    json!({
        "resourceType": "CodeSystem", "id": format!("food-{version}"), "url": CS, "version": version, "name": "Food", "status": "active",
        "content": "complete", "caseSensitive": true,
        "concept": [
            { "code": "fruit", "display": "Fruit", "concept": [
                { "code": "apple", "display": apple, "concept": [{ "code": "cox", "display": "Cox" }] },
                { "code": "pear", "display": "Pear" },
            ] },
            { "code": "herb", "display": "Herb" },
        ],
    })
}

fn fruit() -> Value {
    json!({
        "resourceType": "ValueSet", "id": "fruit", "url": VS, "status": "active", "experimental": false,
        "compose": { "include": [{ "system": CS, "filter": [{ "property": "concept", "op": "is-a", "value": "fruit" }] }] },
    })
}

fn colours() -> Value {
    json!({
        "resourceType": "ConceptMap", "id": "colours", "url": "http://example.org/ConceptMap/colours", "status": "active",
        "sourceUri": VS,
        "group": [{ "source": CS, "target": "http://example.org/CodeSystem/colour",
            "element": [{ "code": "apple", "target": [{ "code": "red", "equivalence": "relatedto" }] }] }],
    })
}

async fn put(world: &World, body: &Value) {
    let address = format!(
        "{}/{}",
        body["resourceType"].as_str().unwrap(),
        body["id"].as_str().unwrap()
    );
    let reply = send(&world.sandbox, "PUT", &address, &[], &body.to_string()).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
}

async fn filled() -> World {
    let world = World::new();
    for body in [
        food("1.0", "Apple"),
        food("1.1", "An apple"),
        fruit(),
        colours(),
    ] {
        put(&world, &body).await;
    }
    world
}

fn encoded(text: &str) -> String {
    text.replace('|', "%7C")
        .replace('#', "%23")
        .replace(' ', "%20")
}

fn value<'v>(parameters: &'v Value, name: &str) -> &'v Value {
    parameters["parameter"]
        .as_array()
        .and_then(|list| list.iter().find(|p| p["name"] == name))
        .and_then(|p| p.as_object()?.iter().find(|(k, _)| k.starts_with("value")))
        .map_or(&Value::Null, |(_, v)| v)
}

fn codes(expansion: &Value) -> Vec<&str> {
    expansion["expansion"]["contains"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| c["code"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn value_sets_are_expanded() {
    let world = filled().await;
    let whole = get(
        &world.sandbox,
        &format!("ValueSet/$expand?url={VS}&excludeNested=true"),
    )
    .await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let whole = whole.json();
    assert_eq!(codes(&whole), ["fruit", "apple", "cox", "pear"]);
    assert_eq!(
        whole["expansion"]["contains"][1]["display"], "An apple",
        "the newest version counts"
    );
    assert_eq!(whole["expansion"]["total"], 4);
    assert!(whole["compose"].is_null());

    // By instance, by Parameters, by the resource itself, and pinned.
    let instance = get(
        &world.sandbox,
        "ValueSet/fruit/$expand?count=2&offset=1&includeDefinition=true",
    )
    .await
    .json();
    assert_eq!(codes(&instance), ["apple", "cox"]);
    assert_eq!(instance["id"], "fruit");
    assert!(instance["compose"].is_object());
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "valueSet", "resource": { "resourceType": "ValueSet", "status": "draft", "compose": { "include": [{ "system": CS, "concept": [{ "code": "pear" }] }] } } },
    ] });
    let inline = send(
        &world.sandbox,
        "POST",
        "ValueSet/$expand",
        &[],
        &body.to_string(),
    )
    .await;
    assert_eq!(codes(&inline.json()), ["pear"], "{}", inline.text());
    let plain = send(
        &world.sandbox,
        "POST",
        "ValueSet/$expand?count=1&offset=0",
        &[],
        &fruit().to_string(),
    )
    .await;
    assert_eq!(codes(&plain.json()), ["fruit"], "{}", plain.text());
    let pinned = get(
        &world.sandbox,
        &encoded(&format!(
            "ValueSet/$expand?url={VS}&excludeNested=true&system-version={CS}|1.0"
        )),
    )
    .await
    .json();
    assert_eq!(pinned["expansion"]["contains"][1]["display"], "Apple");

    // Pages of one expansion have one identity.
    let page = |offset: usize| format!("ValueSet/$expand?url={VS}&count=2&offset={offset}");
    let first = get(&world.sandbox, &page(0)).await.json();
    let second = get(&world.sandbox, &page(2)).await.json();
    assert_eq!(
        first["expansion"]["identifier"],
        second["expansion"]["identifier"]
    );
    assert_eq!([codes(&first), codes(&second)].concat(), codes(&whole));

    // As XML, and of the specification itself.
    let xml = get(
        &world.sandbox,
        "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender&_format=xml",
    )
    .await;
    assert!(
        xml.status == 200 && xml.text().contains("<code value=\"female\"/>"),
        "{}",
        xml.text()
    );
    let national = get(
        &world.sandbox,
        "ValueSet/$expand?url=urn:oid:2.16.578.1.12.4.1.1.3101?fhir_vs&filter=kvinne",
    )
    .await
    .json();
    assert_eq!(codes(&national), ["2"]);
}

#[tokio::test]
async fn a_changed_definition_counts_at_once() {
    let world = filled().await;
    let address = format!("CodeSystem/$lookup?system={CS}&code=apple&version=1.1");
    assert_eq!(
        value(&get(&world.sandbox, &address).await.json(), "display"),
        "An apple"
    );
    put(&world, &food("1.1", "Apples")).await;
    assert_eq!(
        value(&get(&world.sandbox, &address).await.json(), "display"),
        "Apples"
    );
    let gone = send(&world.sandbox, "DELETE", "CodeSystem/food-1.1", &[], "").await;
    assert!(matches!(gone.status, 200 | 204), "{}", gone.text());
    assert_eq!(get(&world.sandbox, &address).await.status, 404);
    let other = get(
        &world.sandbox,
        &format!("CodeSystem/$lookup?system={CS}&code=apple"),
    )
    .await;
    assert_eq!(value(&other.json(), "display"), "Apple");
    assert_eq!(
        get(&world.sandbox, "CodeSystem/food-1.1/$lookup?code=apple")
            .await
            .status,
        410
    );
}

#[tokio::test]
async fn codes_are_asked_about() {
    let world = filled().await;
    for (address, name, expected) in [
        (format!("CodeSystem/$lookup?system={CS}&code=cox"), "display", json!("Cox")),
        ("CodeSystem/food-1.0/$lookup?code=apple".to_owned(), "display", json!("Apple")),
        ("CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=female".to_owned(), "display", json!("Female")),
        ("CodeSystem/$lookup?system=urn:oid:2.16.578.1.12.4.1.1.3101&code=1".to_owned(), "display", json!("Mann")),
        (format!("CodeSystem/$validate-code?url={CS}&code=cox"), "result", json!(true)),
        (format!("CodeSystem/$validate-code?url={CS}&code=x"), "result", json!(false)),
        ("CodeSystem/food-1.1/$validate-code?code=cox".to_owned(), "result", json!(true)),
        (format!("CodeSystem/$subsumes?system={CS}&codeA=fruit&codeB=cox"), "outcome", json!("subsumes")),
        ("CodeSystem/food-1.0/$subsumes?codeA=cox&codeB=fruit".to_owned(), "outcome", json!("subsumed-by")),
        (format!("ValueSet/$validate-code?url={VS}&system={CS}&code=cox"), "result", json!(true)),
        (format!("ValueSet/$validate-code?url={VS}&system={CS}&code=herb"), "result", json!(false)),
        (format!("ValueSet/fruit/$validate-code?system={CS}&code=cox&display=Pear"), "result", json!(false)),
        ("ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/observation-status&system=http://hl7.org/fhir/observation-status&code=final".to_owned(), "result", json!(true)),
        (format!("ConceptMap/$translate?url=http://example.org/ConceptMap/colours&system={CS}&code=apple"), "result", json!(true)),
        (format!("ConceptMap/$translate?system={CS}&code=apple&targetsystem=http://example.org/CodeSystem/colour"), "result", json!(true)),
        (format!("ConceptMap/colours/$translate?system={CS}&code=pear"), "result", json!(false)),
        ("ConceptMap/colours/$translate?system=http://example.org/CodeSystem/colour&code=red&reverse=true".to_owned(), "result", json!(true)),
    ] {
        let reply = get(&world.sandbox, &address).await;
        assert_eq!(reply.status, 200, "{address}: {}", reply.text());
        assert_eq!(value(&reply.json(), name), &expected, "{address}: {}", reply.text());
    }
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "url", "valueUri": VS },
        { "name": "codeableConcept", "valueCodeableConcept": { "coding": [{ "system": CS, "code": "herb" }, { "system": CS, "code": "pear" }] } },
    ] });
    let reply = send(
        &world.sandbox,
        "POST",
        "ValueSet/$validate-code",
        &[],
        &body.to_string(),
    )
    .await;
    assert_eq!(value(&reply.json(), "result"), true, "{}", reply.text());
}

#[tokio::test]
async fn refusals_have_their_status() {
    let world = filled().await;
    let mut circle = fruit();
    circle["id"] = json!("circle");
    circle["url"] = json!("http://example.org/ValueSet/circle");
    circle["compose"] =
        json!({ "include": [{ "valueSet": ["http://example.org/ValueSet/circle"] }] });
    put(&world, &circle).await;
    let mut big = food("1", "x");
    big["id"] = json!("big");
    big["url"] = json!("http://example.org/CodeSystem/big");
    big["concept"] = (0..10_001)
        .map(|i| json!({ "code": format!("c{i}") }))
        .collect();
    put(&world, &big).await;
    for (address, status, code) in [
        ("ValueSet/$expand", 400, "required"),
        (
            "ValueSet/$expand?url=http://example.org/none",
            404,
            "not-found",
        ),
        ("ValueSet/none/$expand", 404, "not-found"),
        (
            "ValueSet/$expand?url=http://example.org/ValueSet/fruit&count=x",
            400,
            "value",
        ),
        (
            "ValueSet/$expand?url=http://example.org/ValueSet/fruit&count=1&count=2",
            400,
            "value",
        ),
        (
            "ValueSet/$expand?url=http://example.org/ValueSet/circle",
            422,
            "processing",
        ),
        (
            "ValueSet/$expand?url=http://example.org/CodeSystem/big?fhir_vs",
            422,
            "too-costly",
        ),
        (
            "ValueSet/$expand?url=http://example.org/CodeSystem/big?fhir_vs&count=5",
            200,
            "",
        ),
        (
            "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/observation-codes",
            422,
            "not-found",
        ),
        (
            "ValueSet/$validate-code?url=http://example.org/ValueSet/fruit",
            400,
            "required",
        ),
        (
            "ValueSet/$validate-code?url=http://example.org/none&code=x&system=http://x",
            404,
            "not-found",
        ),
        (
            "ValueSet/$validate-code?code=x&system=http://x",
            400,
            "required",
        ),
        (
            "CodeSystem/$lookup?system=http://example.org/CodeSystem/food",
            400,
            "required",
        ),
        ("CodeSystem/$lookup?code=apple", 400, "required"),
        (
            "CodeSystem/$lookup?system=http://example.org/CodeSystem/food&code=none",
            404,
            "not-found",
        ),
        (
            "CodeSystem/$lookup?system=http://example.org/none&code=x",
            404,
            "not-found",
        ),
        (
            "CodeSystem/$subsumes?system=http://example.org/CodeSystem/food&codeA=apple",
            400,
            "required",
        ),
        (
            "CodeSystem/$subsumes?system=http://example.org/CodeSystem/food&codeA=apple&codeB=none",
            404,
            "not-found",
        ),
        (
            "ConceptMap/$translate?url=http://example.org/none&system=http://x&code=x",
            404,
            "not-found",
        ),
        (
            "ConceptMap/$translate?url=http://example.org/ConceptMap/colours",
            400,
            "required",
        ),
        ("ConceptMap/$translate?code=x", 400, "required"),
        ("Patient/$expand", 404, "not-found"),
    ] {
        let reply = get(&world.sandbox, address).await;
        assert_eq!(reply.status, status, "{address}: {}", reply.text());
        if !code.is_empty() {
            assert_eq!(
                reply.json()["issue"][0]["code"],
                code,
                "{address}: {}",
                reply.text()
            );
        }
    }
    let wrong = send(
        &world.sandbox,
        "POST",
        "ValueSet/$expand",
        &[],
        r#"{"resourceType":"Patient"}"#,
    )
    .await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let method = send(&world.sandbox, "DELETE", "ValueSet/$expand", &[], "").await;
    assert_eq!(method.status, 405);
}

#[tokio::test]
async fn searches_ask_for_codes() {
    let world = filled().await;
    for (id, system, code) in [
        ("cox", CS, "cox"),
        ("apple", CS, "apple"),
        ("pear", CS, "pear"),
        ("herb", CS, "herb"),
        ("other", "http://example.org/other", "cox"),
    ] {
        let body = json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "coding": [{ "system": system, "code": code }] } });
        put(&world, &body).await;
    }
    for (query, expected) in [
        (format!("code:in={VS}"), "apple cox pear"),
        ("code:in=ValueSet/fruit".to_owned(), "apple cox pear"),
        (format!("code:not-in={VS}"), "herb other"),
        (format!("code:below={CS}|apple"), "apple cox"),
        (format!("code:above={CS}|cox"), "apple cox"),
        (format!("code:below={CS}|fruit"), "apple cox pear"),
        (format!("code:below={CS}|unknown"), ""),
        (
            "code:in=http://example.org/CodeSystem/food?fhir_vs".to_owned(),
            "apple cox herb pear",
        ),
        (
            "status:in=http://hl7.org/fhir/ValueSet/observation-status".to_owned(),
            "apple cox herb other pear",
        ),
    ] {
        let reply = get(&world.sandbox, &format!("Observation?{}", encoded(&query))).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let json = reply.json();
        let mut found: Vec<&str> = json["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| e["resource"]["id"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), expected, "{query}");
    }
    // National lists under each of their names; ATC shows its hierarchy in the code, known here or not.
    let atc = "http://www.whocc.no/atc";
    for (id, system, code) in [
        ("c07", atc, "C07"),
        ("c07ab02", "urn:oid:2.16.578.1.12.4.1.1.7180", "C07AB02"),
        ("c07zz99", atc, "C07ZZ99"),
        ("c08", atc, "C08"),
        ("c07x", "http://example.org/other", "C07ZZ99"),
        ("man", "urn:oid:2.16.578.1.12.4.1.1.3101", "1"),
    ] {
        let body = json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "coding": [{ "system": system, "code": code }] } });
        put(&world, &body).await;
    }
    for (query, expected) in [
        (format!("code:below={atc}|C07"), "c07 c07ab02 c07zz99"),
        (
            "code:below=urn:oid:2.16.578.1.12.4.1.1.7180|C07A".to_owned(),
            "c07ab02",
        ),
        (format!("code:above={atc}|C07ZZ99"), "c07 c07zz99"),
        (
            "code:in=http://helsedir.no/fhir/ValueSet/no-kodeverk-3101".to_owned(),
            "man",
        ),
    ] {
        let json = get(&world.sandbox, &format!("Observation?{}", encoded(&query)))
            .await
            .json();
        let mut found: Vec<&str> = json["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| e["resource"]["id"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), expected, "{query}");
    }
    for query in ["code:in=http://example.org/none", "code:in=ValueSet/none"] {
        let reply = get(&world.sandbox, &format!("Observation?{query}")).await;
        assert!(
            (400..500).contains(&reply.status),
            "{query}: {}",
            reply.status
        );
    }
}

#[tokio::test]
async fn what_is_known_is_told() {
    let world = filled().await;
    let reply = get(&world.sandbox, "metadata?mode=terminology").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["resourceType"], "TerminologyCapabilities");
    let systems = told["codeSystem"].as_array().unwrap();
    let of = |uri: &str| {
        systems
            .iter()
            .find(|s| s["uri"] == uri)
            .unwrap_or(&Value::Null)
    };
    assert_eq!(of(CS)["version"].as_array().unwrap().len(), 2);
    assert!(of("http://hl7.org/fhir/administrative-gender").is_object());
    assert!(of("urn:oid:2.16.578.1.12.4.1.1.3101").is_object());
    // It is a valid resource.
    let outcome = send(
        &world.sandbox,
        "POST",
        "TerminologyCapabilities/$validate",
        &[],
        &told.to_string(),
    )
    .await
    .json();
    let errors: Vec<&Value> = outcome["issue"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|i| i["severity"] == "error")
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    // So are the answers of the operations.
    for address in [
        format!("ValueSet/$expand?url={VS}&property=*&includeDefinition=true"),
        format!("ValueSet/$validate-code?url={VS}&system={CS}&code=herb"),
    ] {
        let answer = get(&world.sandbox, &address).await;
        let rtype = answer.json()["resourceType"].as_str().unwrap().to_owned();
        let outcome = send(
            &world.sandbox,
            "POST",
            &format!("{rtype}/$validate"),
            &[],
            &answer.text(),
        )
        .await
        .json();
        let errors: Vec<&Value> = outcome["issue"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|i| i["severity"] == "error")
            .collect();
        assert!(errors.is_empty(), "{address}: {errors:?}");
    }
}

#[tokio::test]
async fn clinical_repositories_know_what_is_built_in() {
    let world = World::new();
    world.add_result(KARI, "NPU1", "5");
    // The operations are not there, and say so alike to everybody.
    for address in [
        "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/observation-status",
        "CodeSystem/$lookup?code=x&system=http://x",
    ] {
        assert_eq!(
            look(&world.results, address, DOCTOR).await.status,
            404,
            "{address}"
        );
    }
    // Searches ask the built-in definitions, under the decision.
    let all = format!("Observation?patient.identifier={KARI}");
    let members = look(
        &world.results,
        &format!("{all}&status:in=http://hl7.org/fhir/ValueSet/observation-status"),
        DOCTOR,
    )
    .await;
    assert_eq!(members.status, 200, "{}", members.text());
    assert_eq!(
        members.json()["total"],
        look(&world.results, &all, DOCTOR).await.json()["total"]
    );
    let none = look(
        &world.results,
        &format!("{all}&status:not-in=http://hl7.org/fhir/ValueSet/observation-status"),
        DOCTOR,
    )
    .await;
    assert_eq!(none.json()["total"], 0);
    world.block(KARI, DOCTOR);
    let hidden = look(
        &world.results,
        &format!("{all}&status:in=http://hl7.org/fhir/ValueSet/observation-status"),
        DOCTOR,
    )
    .await;
    assert!(
        hidden.status == 403 || hidden.json()["total"] == 0,
        "{}",
        hidden.text()
    );
    let told = get(&world.results, "metadata?mode=terminology").await;
    assert_eq!(told.json()["resourceType"], "TerminologyCapabilities");
}

#[tokio::test]
async fn a_batch_asks_several_questions() {
    let world = filled().await;
    let question = |code: &str| {
        json!({
            "request": { "method": "POST", "url": "ValueSet/$validate-code" },
            "resource": { "resourceType": "Parameters", "parameter": [
                { "name": "url", "valueUri": VS },
                { "name": "coding", "valueCoding": { "system": CS, "code": code } },
            ] },
        })
    };
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        question("cox"), question("herb"),
        { "request": { "method": "GET", "url": format!("ValueSet/$expand?url={VS}&count=1") } },
        { "request": { "method": "GET", "url": "ValueSet/$expand?url=http://example.org/none" } },
    ] });
    let reply = send(&world.sandbox, "POST", "", &[], &batch.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answers = reply.json();
    let entry = |i: usize| &answers["entry"][i];
    assert_eq!(value(&entry(0)["resource"], "result"), true, "{answers}");
    assert_eq!(value(&entry(1)["resource"], "result"), false);
    assert_eq!(codes(&entry(2)["resource"]), ["fruit"]);
    assert!(
        entry(3)["response"]["status"]
            .as_str()
            .unwrap()
            .starts_with("404")
    );
}

#[tokio::test]
async fn definitions_may_be_sent_along() {
    let world = World::new();
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "url", "valueUri": VS },
        { "name": "tx-resource", "resource": food("9", "Sent") },
        { "name": "tx-resource", "resource": fruit() },
    ] });
    let reply = send(
        &world.sandbox,
        "POST",
        "ValueSet/$expand?excludeNested=true",
        &[],
        &body.to_string(),
    )
    .await;
    assert_eq!(
        codes(&reply.json()),
        ["fruit", "apple", "cox", "pear"],
        "{}",
        reply.text()
    );
    // They do not stay.
    assert_eq!(
        get(&world.sandbox, &format!("ValueSet/$expand?url={VS}"))
            .await
            .status,
        404
    );
}
