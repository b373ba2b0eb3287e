//! Writers against one another: no stale version wins, one resource of many conditional creates, whole transactions.

use crate::bundles::{bundle, done, entry, post};
use crate::interactions::BASIC;
use crate::world::*;
use serde_json::{Value, json};

/// Of writers that all hold the same version, exactly one wins, whatever they carry it in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stale_if_match_never_wins() {
    let world = World::new();
    send(&world.sandbox, "PUT", "Basic/b", &[], BASIC).await;
    for round in 1..=5u32 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12u32 {
            let router = world.sandbox.clone();
            tasks.spawn(async move {
                let tag = format!("W/\"{round}\"");
                let text = format!("{round}-{n}");
                let body = BASIC.replace("one", &text);
                let reply = match n % 3 {
                    0 => send(&router, "PUT", "Basic/b", &[("if-match", &tag)], &body).await,
                    1 => {
                        let patch =
                            json!([{ "op": "replace", "path": "/code/text", "value": text }]);
                        let headers = [
                            ("if-match", tag.as_str()),
                            ("content-type", "application/json-patch+json"),
                        ];
                        send(&router, "PATCH", "Basic/b", &headers, &patch.to_string()).await
                    }
                    _ => {
                        let resource: Value = serde_json::from_str(&body).unwrap();
                        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
                            { "resource": resource, "request": { "method": "PUT", "url": "Basic/b", "ifMatch": tag } },
                        ]});
                        send(&router, "POST", "", &[], &bundle.to_string()).await
                    }
                };
                reply.status
            });
        }
        let statuses = tasks.join_all().await;
        let won = statuses.iter().filter(|s| **s == 200).count();
        assert_eq!(won, 1, "{statuses:?}");
        assert!(
            statuses.iter().all(|s| matches!(s, 200 | 412)),
            "{statuses:?}"
        );
    }
    assert_eq!(
        get(&world.sandbox, "Basic/b/_history").await.json()["total"],
        6
    );
}

/// Criteria with and without exact keys, by header, by PUT and inside transactions: one resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_conditional_writes_make_one_resource() {
    let world = World::new();
    for (round, criteria) in [
        "identifier=urn:r|0",
        "identifier=urn:r|1&code:missing=false",
        "_tag=urn:r|2",
        "identifier:missing=false&_tag=urn:r|3",
    ]
    .into_iter()
    .enumerate()
    {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..12usize {
            let router = world.sandbox.clone();
            tasks.spawn(async move {
                let value = json!({ "resourceType": "Basic", "code": { "text": "x" },
                    "meta": { "tag": [{ "system": "urn:r", "code": round.to_string() }] },
                    "identifier": [{ "system": "urn:r", "value": round.to_string() }] });
                let body = value.to_string();
                match n % 3 {
                    0 => send(&router, "POST", "Basic", &[("if-none-exist", criteria)], &body).await,
                    1 => send(&router, "PUT", &format!("Basic?{criteria}"), &[], &body).await,
                    _ => {
                        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
                            { "resource": value, "request": { "method": "POST", "url": "Basic", "ifNoneExist": criteria } },
                        ]});
                        send(&router, "POST", "", &[], &bundle.to_string()).await
                    }
                }
            });
        }
        for reply in tasks.join_all().await {
            assert!(
                matches!(reply.status, 200 | 201),
                "{criteria}: {} {}",
                reply.status,
                reply.text()
            );
        }
        let found = get(&world.sandbox, &format!("Basic?identifier=urn:r|{round}")).await;
        assert_eq!(found.json()["total"], 1, "{criteria}");
    }
}

/// Readers see a transaction whole or not at all, and transactions that touch the same resources do not mix.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_are_atomic_under_concurrency() {
    let world = World::new();
    let pair = |text: &str| {
        let basic =
            |id: &str| json!({ "resourceType": "Basic", "id": id, "code": { "text": text } });
        bundle(
            "transaction",
            vec![
                entry("PUT", "Basic/left", basic("left")),
                entry("PUT", "Basic/right", basic("right")),
            ],
        )
    };
    done(&world.sandbox, &pair("start")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let router = world.sandbox.clone();
        let bundles: Vec<Value> = (0..15).map(|n| pair(&format!("{writer}-{n}"))).collect();
        tasks.spawn(async move {
            for bundle in bundles {
                let reply = post(&router, &bundle).await;
                assert!(matches!(reply.status, 200 | 409), "{}", reply.text());
            }
        });
    }
    for _ in 0..2 {
        let router = world.sandbox.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                let both = get(&router, "Basic?_id=left,right").await.json();
                let text = |n: usize| both["entry"][n]["resource"]["code"]["text"].clone();
                assert_eq!(both["total"], 2);
                assert_eq!(text(0), text(1), "{both}");
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let versions = |id: &'static str| {
        let router = world.sandbox.clone();
        async move {
            get(&router, &format!("Basic/{id}/_history?_count=0"))
                .await
                .json()["total"]
                .clone()
        }
    };
    assert_eq!(versions("left").await, versions("right").await);
}
