//! What fires: topics stored and built in, filters, R4 criteria.

use super::{Got, Hub, Receiver, hook, observation, quick, with_filter};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let (plain, chained, negated) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let topic = "urn:helsenav:topic:Observation";
    let subscriptions = [
        (&plain, "Observation?code=http://loinc.org|718-7,x"),
        (&chained, "Observation?patient.name=Nordmann&status=final"),
        (&negated, "code:not=718-7"),
    ];
    for (receiver, filter) in subscriptions {
        let id = hub
            .create(&with_filter(
                hook(topic, &receiver.url(), "id-only"),
                filter,
            ))
            .await;
        hub.until(&id, "active").await;
    }
    let kari = json!({ "resourceType": "Patient", "name": [{ "family": "Nordmann" }] });
    let kari = hub.create(&kari).await;
    let mut of_kari = observation("718-7");
    of_kari["subject"] = json!({ "reference": format!("Patient/{kari}") });
    let of_kari = hub.create(&of_kari).await;
    let other = hub.create(&observation("1-1")).await;
    assert_eq!(
        hub.send("DELETE", &format!("Observation/{of_kari}"), &Value::Null)
            .await
            .status,
        204
    );
    let focus = |got: &[Got]| -> Vec<String> {
        got[1..]
            .iter()
            .map(|g| {
                let url = g.json()["entry"][1]["fullUrl"].as_str().unwrap().to_owned();
                url.rsplit('/').next().unwrap().to_owned()
            })
            .collect()
    };
    assert_eq!(
        focus(&plain.wait(3).await),
        [of_kari.clone(), of_kari.clone()],
        "create and delete"
    );
    assert_eq!(focus(&chained.wait(2).await), [of_kari]);
    assert_eq!(focus(&negated.wait(2).await), [other]);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_criteria_are_told_the_old_way() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let (bare, carrying) = (Receiver::start().await, Receiver::start().await);
    let subscription = |url: String, payload: Option<&str>| {
        let mut out = json!({
            "resourceType": "Subscription", "status": "requested", "reason": "test",
            "criteria": "Observation?code=http://loinc.org|718-7",
            "channel": { "type": "rest-hook", "endpoint": url },
        });
        if let Some(payload) = payload {
            out["channel"]["payload"] = json!(payload);
        }
        out
    };
    for (receiver, payload) in [(&bare, None), (&carrying, Some("application/fhir+xml"))] {
        let id = hub.create(&subscription(receiver.url(), payload)).await;
        hub.until(&id, "active").await;
    }
    let id = hub.create(&observation("718-7")).await;
    hub.create(&observation("1-1")).await;
    let got = bare.wait(1).await;
    assert_eq!(
        (got[0].method.as_str(), got[0].path.as_str()),
        ("POST", "/hook")
    );
    assert!(got[0].body.is_empty());
    let got = carrying.wait(1).await;
    assert_eq!(got[0].method, "PUT");
    assert_eq!(got[0].path, format!("/hook/Observation/{id}"));
    assert_eq!(got[0].headers["content-type"], "application/fhir+xml");
    assert!(got[0].body.starts_with(b"<Observation"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((bare.all().len(), carrying.all().len()), (1, 1));
    hub.stop().await;
}

fn topic(url: &str) -> Value {
    let r5 = |name: &str| {
        format!("http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic.{name}")
    };
    json!({
        "resourceType": "Basic",
        "code": { "coding": [{ "system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic" }] },
        "modifierExtension": [{ "url": r5("status"), "valueCode": "active" }],
        "extension": [
            { "url": r5("url"), "valueUri": url },
            { "url": r5("resourceTrigger"), "extension": [
                { "url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Encounter" },
                { "url": "supportedInteraction", "valueCode": "create" },
                { "url": "supportedInteraction", "valueCode": "update" },
                { "url": "queryCriteria", "extension": [
                    { "url": "previous", "valueString": "status:not=finished" },
                    { "url": "resultForCreate", "valueCode": "test-passes" },
                    { "url": "current", "valueString": "status=finished" },
                    { "url": "resultForDelete", "valueCode": "test-fails" },
                    { "url": "requireBoth", "valueBoolean": true },
                ] },
                { "url": "fhirPathCriteria", "valueString": "%current.status = 'finished' and (%previous.empty() or %previous.status != 'finished')" },
            ] },
            { "url": r5("canFilterBy"), "extension": [
                { "url": "resource", "valueUri": "Encounter" },
                { "url": "filterParameter", "valueString": "subject" },
            ] },
        ],
    })
}

/// Without subscriptions the feed is passed over; a topic that was stored meanwhile counts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_stored_before_the_first_subscription_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let url = "http://example.org/topics/encounter-complete";
    hub.create(&topic(url)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = hub.create(&hook(url, &receiver.url(), "id-only")).await;
    hub.until(&id, "active").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_topics_look_at_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path(), quick()).await;
    let receiver = Receiver::start().await;
    let url = "http://example.org/topics/encounter-complete";
    let unknown = hub
        .send(
            "POST",
            "Subscription",
            &hook(url, &receiver.url(), "id-only"),
        )
        .await;
    assert_eq!(unknown.status, 422);
    let mut broken = topic(url);
    broken["extension"][1]["extension"][4]["valueString"] = json!("%current.(");
    assert_eq!(hub.send("POST", "Basic", &broken).await.status, 422);
    let topic_id = hub.create(&topic(url)).await;
    let refused = with_filter(hook(url, &receiver.url(), "id-only"), "Encounter?class=AMB");
    assert_eq!(
        hub.send("POST", "Subscription", &refused).await.status,
        422,
        "not a filter of the topic"
    );
    let id = hub.create(&hook(url, &receiver.url(), "id-only")).await;
    hub.until(&id, "active").await;
    let encounter = |id: Option<&str>, status: &str| {
        let mut out = json!({
            "resourceType": "Encounter", "status": status,
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB" },
        });
        if let Some(id) = id {
            out["id"] = json!(id);
        }
        out
    };
    let begun = hub.create(&encounter(None, "in-progress")).await;
    for status in ["onleave", "finished"] {
        let body = encounter(Some(&begun), status);
        assert_eq!(
            hub.send("PUT", &format!("Encounter/{begun}"), &body)
                .await
                .status,
            200
        );
    }
    // Finished already: no second time.
    let mut again = encounter(Some(&begun), "finished");
    again["language"] = json!("nb");
    assert_eq!(
        hub.send("PUT", &format!("Encounter/{begun}"), &again)
            .await
            .status,
        200
    );
    let at_once = hub.create(&encounter(None, "finished")).await;
    assert_eq!(
        hub.send("DELETE", &format!("Encounter/{begun}"), &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(receiver.numbers(2).await, [1, 2]);
    let focus: Vec<String> = receiver.all()[1..]
        .iter()
        .map(|g| {
            g.json()["entry"][1]["fullUrl"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(focus, [begun, at_once]);
    assert_eq!(
        hub.send("DELETE", &format!("Basic/{topic_id}"), &Value::Null)
            .await
            .status,
        204
    );
    let failed = hub.until(&id, "error").await;
    assert_eq!(failed["error"], "its topic is not there any more");
    hub.stop().await;
}
