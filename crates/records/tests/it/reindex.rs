//! Search keys made anew, while the repository answers.

use crate::world::{World, get, send};
use records::reindex::{Target, check, run};
use serde_json::json;
use std::time::{Duration, Instant};
use store::{Commit, IndexKey, Op, Privacy, PutId, Rid};

fn target(world: &World) -> Target {
    Target {
        store: world.store.clone(),
        repo: world.store.repo("sandbox").unwrap(),
        grant: world.trust.hub("test"),
        options: fhir::keys::Options {
            own_bases: vec![format!("{}/sandbox", crate::world::BASE)],
            ..fhir::keys::Options::default()
        },
    }
}

/// Mounted repositories look for old records at once; there are none yet.
async fn settled(world: &World) {
    for (router, path) in [
        (&world.sandbox, "$reindex"),
        (&world.mounted, "fhir/one/$reindex"),
        (&world.mounted, "fhir/two/$reindex"),
    ] {
        while get(router, path).await.json()["parameter"][0]["valueCode"] != "completed" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A patient as an older program would have stored her: found by a key that nobody asks for any more.
fn old_patient(world: &World, id: &str, name: &str) -> Rid {
    let body = json!({ "resourceType": "Patient", "id": id, "name": [{ "family": name }] });
    let mut put = records::write::prepare(
        world.store.repo("sandbox").unwrap(),
        "Patient",
        PutId::Given(id.to_owned()),
        Op::Create,
        body.to_string().into(),
        Vec::new(),
        Privacy::default(),
        Vec::new(),
    )
    .unwrap();
    put.pack = 7;
    put.keys = vec![IndexKey {
        param: 16,
        value: b"old".to_vec(),
    }];
    let commit = Commit {
        put: vec![put],
        ..Commit::default()
    };
    std::thread::scope(|s| {
        s.spawn(|| world.store.commit(commit).unwrap())
            .join()
            .unwrap()
    })
    .puts[0]
        .rid
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_are_found_again_without_new_versions() {
    let world = World::new();
    let sandbox = &world.sandbox;
    settled(&world).await;
    for n in 0..30 {
        old_patient(&world, &format!("p{n}"), "Nordmann");
    }
    let reply = send(
        sandbox,
        "PUT",
        "Patient/fresh",
        &[],
        r#"{"resourceType":"Patient","id":"fresh","name":[{"family":"Nordmann"}]}"#,
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let found = |reply: crate::world::Reply| reply.json()["total"].as_u64().unwrap();
    let by_name = "Patient?name=nordmann&_total=accurate";
    assert_eq!(found(get(sandbox, by_name).await), 1);
    let target = target(&world);
    let before = tokio::task::spawn_blocking({
        let target = target.clone();
        move || check(&target, "Patient", |_| true).unwrap()
    })
    .await
    .unwrap();
    assert_eq!((before.records, before.differing), (31, 30));
    assert!(
        before.named[0].starts_with("Patient/p"),
        "{:?}",
        before.named
    );
    let done = tokio::task::spawn_blocking({
        let target = target.clone();
        move || run(&target, false, |_| true).unwrap()
    })
    .await
    .unwrap();
    assert_eq!((done.changed, done.kept), (30, 0), "{done:?}");
    assert_eq!(found(get(sandbox, by_name).await), 31);
    assert_eq!(
        get(sandbox, "Patient/p1").await.json()["meta"]["versionId"],
        "1"
    );
    let after = tokio::task::spawn_blocking(move || {
        world.store.verify_index().unwrap();
        let again = run(&target, false, |_| true).unwrap();
        (check(&target, "Patient", |_| true).unwrap(), again)
    })
    .await
    .unwrap();
    assert_eq!(after.0.differing, 0);
    assert_eq!(after.1.looked_at, 0, "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_ask_for_it() {
    let world = World::new();
    let sandbox = &world.sandbox;
    settled(&world).await;
    old_patient(&world, "p", "Nordmann");
    let reply = send(sandbox, "POST", "$reindex", &[], "").await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let begun = Instant::now();
    loop {
        let reply = get(sandbox, "$reindex").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let total = get(sandbox, "Patient?name=nordmann&_total=accurate")
            .await
            .json()["total"]
            .clone();
        if reply.json()["parameter"][0]["valueCode"] == "completed" && total == 1 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}",
            reply.text()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let clinical = send(
        &world.results,
        "POST",
        "$reindex",
        &[("x-doctor", crate::world::DOCTOR)],
        "",
    )
    .await;
    assert_eq!(clinical.status, 404);
}
