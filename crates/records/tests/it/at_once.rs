//! What is answered before the router, beside the router's own answers; and pages, which are made of resources kept from
//! earlier ones, after those have changed.

use crate::world::{BASE, Reply, World, send};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use edge::front::AtOnce;
use records::gate::OpenGate;
use records::repository::RepositoryConfig;
use serde_json::json;
use std::sync::Arc;

fn mounted(world: &World) -> (Router, Arc<dyn AtOnce>) {
    records::mount_with_front(
        RepositoryConfig::new(
            "sandbox",
            world.store.repo("sandbox").unwrap(),
            world.store.clone(),
            vec![format!("{BASE}/sandbox")],
            Arc::new(OpenGate::new(world.trust.hub("sandbox"))),
            vec![7; 32],
        ),
        "/sandbox",
    )
    .unwrap()
}

/// The answer before the router; the head is looked at again when there is none.
async fn at_once(
    front: &Arc<dyn AtOnce>,
    address: &str,
    headers: &[(&str, &str)],
) -> Option<Reply> {
    let mut request = Request::get(format!("/sandbox{address}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let before = head.headers.clone();
    let Some(response) = front.answer(&mut head) else {
        assert_eq!(head.headers, before, "{address}");
        return None;
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX)
        .await
        .unwrap();
    Some(Reply {
        status,
        headers,
        bytes,
    })
}

/// The same where there must be one: when other tests keep the process busy the router is asked for a while.
async fn soon(front: &Arc<dyn AtOnce>, address: &str, headers: &[(&str, &str)]) -> Reply {
    for _ in 0..3_000 {
        if let Some(reply) = at_once(front, address, headers).await {
            return reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not at once: {address}")
}

/// Without the length: the router writes it itself, before the connection would.
fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .filter(|(name, _)| *name != "content-length")
        .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
        .collect();
    all.sort();
    all
}

async fn put(router: &Router, id: &str, code: &str) {
    let body = json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
        "subject": { "reference": "Patient/p" },
    });
    let reply = send(
        router,
        "PUT",
        &format!("sandbox/Observation/{id}"),
        &[],
        &body.to_string(),
    )
    .await;
    assert!(reply.status < 300, "{}", reply.text());
}

#[tokio::test]
async fn the_answer_is_that_of_the_router() {
    let world = World::new();
    let (router, front) = mounted(&world);
    for n in 0..30 {
        put(
            &router,
            &format!("o{n}"),
            if n % 3 == 0 { "718-7" } else { "8867-4" },
        )
        .await;
    }
    send(&router, "DELETE", "sandbox/Observation/o1", &[], "").await;
    let json = [("accept", "application/fhir+json")];
    for (address, headers) in [
        ("/Observation/o0", &json[..]),
        ("/Observation/o0", &[]),
        ("/Observation/o0", &[("accept-encoding", "gzip")]),
        ("/Observation/o0", &[("if-none-match", "W/\"1\"")]),
        ("/Observation/o0", &[("authorization", "Bearer x")]),
        ("/Observation/o0", &[("host", "127.0.0.1:8080")]),
        ("/Observation/o1", &[]),
        ("/Observation/never", &[]),
        (
            "/Observation?code=http%3A%2F%2Floinc.org%7C718-7&_count=4",
            &json[..],
        ),
        ("/Observation?code=718-7", &[]),
        ("/Observation?code=718-7", &[("accept-encoding", "gzip")]),
        ("/Observation?code=718-7&_elements=status", &[]),
        ("/Observation?code=nothing", &[]),
        ("/Observation?patient=p&code=8867-4&_count=50", &[]),
        ("/Observation?_id=o3,o4,o1", &[]),
        ("/Observation?unknown=1", &[]),
        ("/Observation?unknown=1", &[("prefer", "handling=lenient")]),
        ("/Observation?date=yesterday", &[]),
        ("/Observation?_count=0&code=718-7", &[]),
    ] {
        let now = soon(&front, address, headers).await;
        let routed = send(&router, "GET", &format!("sandbox{address}"), headers, "").await;
        assert_eq!(now.status, routed.status, "{address}");
        assert_eq!(sorted(&now.headers), sorted(&routed.headers), "{address}");
        // Page links are sealed anew each time.
        let text = |r: &Reply| {
            if r.header("content-encoding").is_empty() {
                let text = r.text();
                text.split("_page=").next().unwrap().to_owned()
            } else {
                String::new()
            }
        };
        assert_eq!(text(&now), text(&routed), "{address}");
    }
}

#[tokio::test]
async fn everything_else_goes_to_the_router() {
    let world = World::new();
    let (router, front) = mounted(&world);
    put(&router, "o", "718-7").await;
    for (address, headers) in [
        ("/metadata", &[][..]),
        ("/", &[]),
        ("/Observation", &[]),
        ("/Nothing/o", &[]),
        ("/Observation/o/_history", &[]),
        ("/Observation/o?_summary=true", &[]),
        ("/Observation/%6f", &[]),
        ("/Observation/o/", &[]),
        ("/Observation/$lastn?patient=p", &[]),
        ("/Observation?_sort=date&code=718-7", &[]),
        ("/Observation?_include=Observation:subject&code=718-7", &[]),
        ("/Observation?code=718-7&_count=1000", &[]),
        ("/Observation?code=718-7&_format=xml", &[]),
        ("/Observation?code=718-7&_pretty=true", &[]),
        ("/Observation/o", &[("accept", "application/fhir+xml")]),
        ("/Observation/o", &[("accept", "image/png")]),
        ("/Observation/o", &[("prefer", "return=everything")]),
    ] {
        assert!(
            at_once(&front, address, headers).await.is_none(),
            "{address}"
        );
    }
    let (mut head, ()) = Request::head("/sandbox/Observation/o")
        .body(())
        .unwrap()
        .into_parts();
    assert!(front.answer(&mut head).is_none());
}

#[tokio::test]
async fn a_page_shows_what_is_so_now() {
    let world = World::new();
    let (router, front) = mounted(&world);
    for id in ["a", "b", "c"] {
        put(&router, id, "718-7").await;
    }
    let page = async || {
        let address = "/Observation?code=718-7&_count=20";
        let reply = soon(&front, address, &[]).await;
        let versions: Vec<String> = reply.json()["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| {
                let resource = &e["resource"];
                assert!(
                    e["fullUrl"]
                        .as_str()
                        .unwrap()
                        .ends_with(resource["id"].as_str().unwrap())
                );
                format!(
                    "{}/{}",
                    resource["id"].as_str().unwrap(),
                    resource["meta"]["versionId"].as_str().unwrap()
                )
            })
            .collect();
        versions.join(" ")
    };
    assert_eq!(page().await, "a/1 b/1 c/1");
    assert_eq!(page().await, "a/1 b/1 c/1", "out of what was kept");
    let changed = json!({
        "resourceType": "Observation", "id": "b", "status": "amended",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "718-7" }] },
    });
    send(
        &router,
        "PUT",
        "sandbox/Observation/b",
        &[],
        &changed.to_string(),
    )
    .await;
    assert_eq!(page().await, "a/1 b/2 c/1");
    send(&router, "DELETE", "sandbox/Observation/a", &[], "").await;
    assert_eq!(page().await, "b/2 c/1");
    put(&router, "c", "8867-4").await;
    assert_eq!(page().await, "b/2", "it says something else now");
    put(&router, "a", "718-7").await;
    assert_eq!(page().await, "a/3 b/2");
    // Purged: gone at once, also for who kept it.
    world.commit(store::Commit {
        purge: vec![store::Purge {
            repo: world.store.repo("sandbox").unwrap(),
            rtype: "Observation".to_owned(),
            id: "a".to_owned(),
        }],
        ..store::Commit::default()
    });
    assert_eq!(page().await, "b/2");
    let gone = soon(&front, "/Observation/a", &[]).await;
    assert!([404, 410].contains(&gone.status), "{}", gone.status);
}

#[tokio::test]
async fn a_page_link_goes_on_where_the_page_ended() {
    let world = World::new();
    let (router, front) = mounted(&world);
    for n in 0..7 {
        put(&router, &format!("o{n}"), "718-7").await;
    }
    let first = soon(&front, "/Observation?code=718-7&_count=3", &[]).await;
    assert_eq!(first.ids("match").len(), 3);
    let mut seen = first.ids("match");
    put(&router, "o4", "8867-4").await;
    let mut next = first.link("next");
    while let Some(link) = next {
        let below = link.split_once("/sandbox").unwrap().1;
        assert!(at_once(&front, below, &[]).await.is_none());
        let reply = send(&router, "GET", &format!("sandbox{below}"), &[], "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        seen.extend(reply.ids("match"));
        next = reply.link("next");
    }
    assert_eq!(seen.len(), 7, "the link holds the state of the first page");
}

/// On an engine behind a network a task waits for the record; what it answers is what a thread would have.
#[test]
fn reads_that_a_task_waits_for_are_those_of_the_ordinary_way() {
    if let Some(world) = World::on_postgres() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(compare_reads(&mounted(&world).0));
    }
}

async fn compare_reads(router: &Router) {
    for n in 0..8 {
        put(router, &format!("o{n}"), "718-7").await;
    }
    put(router, "o2", "8867-4").await;
    send(router, "DELETE", "sandbox/Observation/o1", &[], "").await;
    let reads = (0..200).map(|n| {
        let router = router.clone();
        tokio::spawn(async move {
            let ids = ["o0", "o1", "o2", "never"];
            let address = format!("sandbox/Observation/{}", ids[n % ids.len()]);
            let headers: &[(&str, &str)] = match n % 3 {
                0 => &[],
                1 => &[("if-none-match", "W/\"1\"")],
                _ => &[("accept-encoding", "gzip")],
            };
            let soon = send(&router, "GET", &address, headers, "").await;
            // A parameter takes the request off the short way.
            let address = format!("{address}?_format=json");
            let ordinary = send(&router, "GET", &address, headers, "").await;
            assert_eq!(soon.status, ordinary.status, "{address}");
            assert_eq!(soon.bytes, ordinary.bytes, "{address}");
            assert_eq!(sorted(&soon.headers), sorted(&ordinary.headers));
            soon.status
        })
    });
    let mut seen = std::collections::BTreeSet::new();
    for read in futures_util::future::join_all(reads).await {
        seen.insert(read.unwrap());
    }
    assert_eq!(seen, [200, 304, 404, 410].into());
}

/// The same of short searches: rows that came with the state, or a walk of their own, the page is one.
#[test]
fn searches_that_a_task_waits_for_are_those_of_the_ordinary_way() {
    if let Some(world) = World::on_postgres() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(compare_searches(&mounted(&world).0));
    }
}

async fn compare_searches(router: &Router) {
    for n in 0..130 {
        let code = if n % 10 == 0 { "718-7" } else { "8867-4" };
        put(router, &format!("o{n}"), code).await;
    }
    put(router, "o3", "718-7").await;
    put(router, "o4", "8867-4").await;
    send(router, "DELETE", "sandbox/Observation/o10", &[], "").await;
    let queries = [
        "code=http%3A%2F%2Floinc.org%7C718-7&_count=4",
        "code=http%3A%2F%2Floinc.org%7C718-7",
        "code=http%3A%2F%2Floinc.org%7C8867-4&_count=20",
        "code=8867-4",
        "code=http%3A%2F%2Floinc.org%7C1-1",
        "code=718-7&_elements=status",
        "patient=p&_count=50",
        "status=final&code=718-7",
        "code=718-7,8867-4&_count=3",
        "unknown=1",
    ];
    let page = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split("_page=").next().unwrap().to_owned()
    };
    for round in 0..3 {
        let searches = (0..60).map(|n| {
            let router = router.clone();
            tokio::spawn(async move {
                let query = queries[n % queries.len()];
                let address = format!("sandbox/Observation?{query}");
                let soon = send(&router, "GET", &address, &[], "").await;
                let form = [("content-type", "application/x-www-form-urlencoded")];
                let address = "sandbox/Observation/_search";
                // A form takes the request off the short way.
                let ordinary = send(&router, "POST", address, &form, query).await;
                (query, soon, ordinary)
            })
        });
        for search in futures_util::future::join_all(searches).await {
            let (query, soon, ordinary) = search.unwrap();
            assert_eq!(soon.status, ordinary.status, "{query}");
            assert_eq!(page(&soon.bytes), page(&ordinary.bytes), "{query} {round}");
        }
        let id = format!("o{}", 20 + round);
        send(
            router,
            "DELETE",
            &format!("sandbox/Observation/{id}"),
            &[],
            "",
        )
        .await;
        put(router, &format!("late{round}"), "718-7").await;
    }
}
