//! The person service over HTTP: every operation of the contract, what each ground may see, refusals, the journal.

mod counted;
mod journal;
mod privacy;
pub mod world;

use axum::body::Body;
use axum::http::{Method, Request};
use grunndata::persons::{PREFIX, access, parts::Part};
use registers::kernel::timeline::Origin;
use registers::persons::codes::ProtectionLevel;
use registers::persons::document::Name;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use world::*;

const TREE: &str = "/api/legal-basis";

/// Runs a test on a world of each engine.
fn on_worlds<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    crate::wire::on_worlds(World::new, test);
}

fn every_part() -> String {
    let names: Vec<&str> = Part::ALL.iter().map(|p| p.name()).collect();
    format!("informationParts={}", names.join("&informationParts="))
}

fn ids(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_str().unwrap_or_else(|| v["id"].as_str().unwrap()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_person_has_the_members_of_the_contract() {
    on_worlds(|world| async move {
        let path =
            format!("{TREE}/person/get-by-nin?informationParts=Name&informationParts=Birth,Gender");
        let kari = world.post(&path, &format!("nin={KARI}")).await.ok();
        let since = "2020-09-13T12:26:40Z";
        let entry = |from: &str, more: Value| {
            let mut all = json!({"registeredAt": since, "isValid": true, "source": "KILDE_DSF", "reason": null,
                "validFrom": from, "validTo": null});
            for (name, value) in more.as_object().unwrap() {
                all[name] = value.clone();
            }
            all
        };
        let sequence = kari["sequenceNumber"].as_u64().unwrap();
        assert!(sequence > 8);
        let expected = json!({
            "birth": [entry(since, json!({"birthDate": "1968-09-14T00:00:00Z", "birthYear": "1968",
                "birthPlace": null, "birthMunicipalityNumber": "0301", "birthMunicipalityName": "Oslo",
                "birthCountyNumber": "03", "birthCountyName": "Oslo", "birthCountry": null}))],
            "gender": [entry(since, json!({"gender": "Female"}))],
            "name": [entry("2020-09-14T12:26:40Z", json!({"givenName": "Kari", "middleName": "Mellom",
                "familyName": "Prøve", "shortName": null}))],
            "id": id(KARI).to_string(),
            "sequenceNumber": sequence,
        });
        assert_eq!(kari, expected);
    });
}

#[test]
fn every_number_that_ever_was_leads_to_the_person() {
    on_worlds(|world| async move {
        let path =
            format!("{TREE}/person/get-by-nin?informationParts=NorwegianIdentificationNumber");
        for nin in [KARI, KARI_EARLIER, DOUBLE, DUF, "148968 49817"] {
            let form = format!("nin={}", nin.replace(' ', "+"));
            let found = world.post(&path, &form).await.ok();
            assert_eq!(found["id"], id(KARI).to_string());
            let numbers: BTreeMap<&str, &str> = found["norwegianIdentificationNumber"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| {
                    (
                        n["identificationNumber"].as_str().unwrap(),
                        n["status"].as_str().unwrap(),
                    )
                })
                .collect();
            let expected = [
                (KARI, "InUse"),
                (KARI_EARLIER, "Discontinued"),
                (DOUBLE, "Discontinued"),
            ];
            assert_eq!(numbers, expected.into_iter().collect());
        }
        let by_old_id = world
            .get(&format!(
                "{TREE}/person/{}?informationParts=Name",
                id(DOUBLE)
            ))
            .await;
        assert_eq!(by_old_id.ok()["id"], id(KARI).to_string());
    });
}

#[test]
fn history_is_given_when_asked_for() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/person/{}?informationParts=Name", id(KARI));
        let families = |person: Value| -> Vec<(String, bool)> {
            let names = person["name"].as_array().unwrap().clone();
            let family = |n: &Value| n["familyName"].as_str().unwrap().to_owned();
            names
                .iter()
                .map(|n| (family(n), n["isValid"].as_bool().unwrap()))
                .collect()
        };
        let now = families(world.get(&path).await.ok());
        assert_eq!(now, [("Prøve".to_owned(), true)]);
        let ever = families(world.get(&format!("{path}&includeHistory=true")).await.ok());
        assert_eq!(
            ever,
            [("Ugift".to_owned(), false), ("Prøve".to_owned(), true)]
        );
    });
}

#[test]
fn bulk_gives_each_once_and_leaves_the_unknown_out() {
    on_worlds(|world| async move {
        let by_nin = format!("{TREE}/person/bulk-by-nin?informationParts=Name");
        let form = format!("nins={CHILD}&nins={KARI}&nins={KARI_EARLIER}&nins=14896849899");
        let found = world.post(&by_nin, &form).await.ok();
        assert_eq!(ids(&found), [id(CHILD).to_string(), id(KARI).to_string()]);
        let by_id = format!("{TREE}/person/bulk-by-id?informationParts=Name");
        let form = format!(
            "personIds={}&personIds={}&personIds=nobody",
            id(DOUBLE),
            id(CHILD)
        );
        let found = world.post(&by_id, &form).await.ok();
        assert_eq!(ids(&found), [id(KARI).to_string(), id(CHILD).to_string()]);
        world.post(&by_id, "").await.refused(400);
        let many = vec![format!("personIds={}", id(KARI)); 101].join("&");
        let problem = world.post(&by_id, &many).await.refused(400);
        assert!(problem["errors"]["personIds"].is_array(), "{problem}");
    });
}

#[test]
fn searches_find_and_count() {
    on_worlds(|world| async move {
        let parts = "informationParts=NorwegianIdentificationNumber";
        let path = format!("{TREE}/search/person?{parts}");
        let found = world
            .post(&path, "FullName=pr%C3%B8ve+kari&BirthDate=1968-09")
            .await
            .ok();
        assert_eq!(ids(&found["results"]), [id(KARI).to_string()]);
        assert_eq!(
            (&found["startIndex"], &found["endIndex"]),
            (&json!(0), &json!(0))
        );
        let nobody = world
            .post(&path, "FullName=Nobody&BirthDate=1968")
            .await
            .ok();
        assert_eq!(nobody["results"], json!([]));

        let list = |query: &str, form: &'static str| {
            let path = format!("{TREE}/search/{query}");
            let world = &world;
            async move { world.post(&path, form).await.ok() }
        };
        let everybody = list("match-list", "FamilyName=Pr%C3%B8ve").await;
        assert_eq!(
            everybody.as_array().unwrap().len(),
            6,
            "neither the merged nor the help number"
        );
        assert_eq!(list("match-count", "").await, json!({"matchCount": 6}));
        assert_eq!(
            list("match-count?includeAinResults=true", "").await,
            json!({"matchCount": 7})
        );
        assert_eq!(
            list("match-count", "PersonStatuses=Disappeared").await,
            json!({"matchCount": 1})
        );
    });
}

#[test]
fn pages_follow_one_another() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/search/paged-match-list?includeAinResults=true");
        let mut seen = Vec::new();
        let mut offset = 0;
        loop {
            let form = format!("PageSize=2&IndexOffset={offset}");
            let page = world.post(&path, &form).await.ok();
            let found = ids(&page["results"]);
            assert_eq!(page["startIndex"], offset);
            offset = page["endIndex"].as_i64().unwrap() + 1;
            let is_last = found.len() < 2;
            seen.extend(found);
            if is_last {
                break;
            }
        }
        let all = [
            KARI,
            LOST,
            CHILD,
            CLIENT_ADDRESS,
            CODE_7,
            CODE_6,
            HELP_NUMBER,
        ];
        let all: BTreeSet<String> = all.iter().map(|nin| id(nin).to_string()).collect();
        assert_eq!(seen.len(), all.len(), "each once");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
        world.post(&path, "PageSize=10001").await.refused(400);
    });
}

#[test]
fn events_are_read_from_a_number_on() {
    on_worlds(|world| async move {
        let latest = world.get(&format!("{TREE}/event/latest")).await.ok();
        let last: u64 = latest["sequenceNumber"].as_str().unwrap().parse().unwrap();
        let all = world.get(&format!("{TREE}/event")).await.ok();
        let numbers: Vec<u64> = all["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["sequenceNumber"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted() && numbers.last() == Some(&last));
        assert_eq!(all["endIndex"], last);
        let tail = world
            .get(&format!("{TREE}/event?sequenceNumber={last}"))
            .await
            .ok();
        assert_eq!(tail["results"], json!([latest]));
        let ahead = world
            .get(&format!("{TREE}/event?sequenceNumber={}", last + 1))
            .await
            .ok();
        assert_eq!(ahead["results"], json!([]), "nothing has happened yet");
        world
            .get(&format!("{TREE}/event?sequenceNumber={}", last + 2))
            .await
            .refused(404);
        let merged = "eventTypes=PersonIsDiscontinuedAsDuplicate";
        let found = world.get(&format!("{TREE}/event?{merged}")).await.ok();
        assert_eq!(found["results"].as_array().unwrap().len(), 1);
        assert_eq!(found["results"][0]["personId"], id(DOUBLE).to_string());
        assert_eq!(
            found["endIndex"], last,
            "a reader with a filter goes on after what was looked at"
        );
    });
}

/// The procedure of spec/grunndata.md §3.5, while something changes in the middle of it.
#[test]
fn a_local_copy_is_the_register() {
    on_worlds(|world| async move {
        let parts = "informationParts=Name";
        let latest = world.get(&format!("{TREE}/event/latest")).await.ok();
        let mut next: u64 = latest["sequenceNumber"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            + 1;
        let mut newcomers = 0_u64;
        let list = format!("{TREE}/search/paged-match-list?includeAinResults=true");
        let page = world.post(&list, "").await.ok();
        let mut copy = BTreeMap::new();
        let fetch = |ids: Vec<String>| {
            let world = &world;
            async move {
                let path = format!("{TREE}/person/bulk-by-id?{parts}");
                let form: Vec<String> = ids.iter().map(|id| format!("personIds={id}")).collect();
                world.post(&path, &form.join("&")).await.ok()
            }
        };
        for chunk in ids(&page["results"]).chunks(3) {
            for person in fetch(chunk.to_vec()).await.as_array().unwrap() {
                copy.insert(person["id"].to_string(), person["name"].clone());
            }
            // Somebody new, and a new name, between two pages.
            let renamed = Name {
                given: "Ny".to_owned(),
                middle: None,
                family: format!("Navn{newcomers}"),
            };
            world.change(CHILD, |child| {
                let _ = child.name.set(renamed, NOW, Origin::at(NOW));
            });
            let nin = format!("{:011}", 10_000_000_000 + newcomers);
            world.add(&nin, person(&nin, "Fersk", ProtectionLevel::Unclassified));
            newcomers += 1;
        }
        loop {
            let news = world
                .get(&format!("{TREE}/event?sequenceNumber={next}"))
                .await
                .ok();
            let events = news["results"].as_array().unwrap().clone();
            let Some(last) = events.last() else { break };
            next = last["sequenceNumber"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                + 1;
            let changed: BTreeSet<&str> = events
                .iter()
                .map(|e| e["personId"].as_str().unwrap())
                .collect();
            let changed = changed.into_iter().map(str::to_owned).collect();
            for person in fetch(changed).await.as_array().unwrap() {
                copy.insert(person["id"].to_string(), person["name"].clone());
            }
        }
        let page = world.post(&list, "").await.ok();
        let mut now = BTreeMap::new();
        for chunk in ids(&page["results"]).chunks(100) {
            for person in fetch(chunk.to_vec()).await.as_array().unwrap() {
                now.insert(person["id"].to_string(), person["name"].clone());
            }
        }
        assert!(now.len() > 8);
        assert_eq!(copy, now);
    });
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    on_worlds(|world| async move {
        let nin = format!("nin={KARI}");
        let by_nin = format!("{TREE}/person/get-by-nin?informationParts=Name");
        for (path, form, status, what) in [
            (
                format!("{TREE}/person/get-by-nin"),
                nin.as_str(),
                400,
                "informationParts",
            ),
            (
                format!("{TREE}/person/get-by-nin?informationParts=All"),
                nin.as_str(),
                400,
                "informationParts",
            ),
            (
                format!("{by_nin}&includeHistory=maybe"),
                nin.as_str(),
                400,
                "includeHistory",
            ),
            (by_nin.clone(), "", 400, "nin"),
            (by_nin.clone(), "nin=1489684981", 400, "nin"),
            // Unknown, with a wrong control digit; unknown, and sound.
            (by_nin.clone(), "nin=14896849818", 400, "control digits"),
            (by_nin.clone(), "nin=17912099997", 404, "Person not found"),
            (
                format!("{TREE}/search/person?informationParts=Name"),
                "FullName=Ola",
                400,
                "BirthDate",
            ),
            (
                format!("{TREE}/search/person?informationParts=Name"),
                "BirthDate=1968",
                400,
                "GivenName",
            ),
            (format!("{TREE}/search/persons"), "", 404, "no such address"),
        ] {
            let problem = world.post(&path, form).await.refused(status).to_string();
            assert!(problem.contains(what), "{path} {form}: {problem}");
            assert!(!problem.contains("1489684981"), "{problem}");
        }
        // A national id in an address is refused, known or not.
        let problem = world
            .get(&format!("{TREE}/person/{KARI}?informationParts=Name"))
            .await
            .refused(400);
        assert!(problem.to_string().contains("get-by-nin"));
        world
            .get(&format!("{TREE}/person/nobody?informationParts=Name"))
            .await
            .refused(404);
        let unused = Request::builder().method(Method::PUT);
        let put = unused
            .uri(format!("{PREFIX}{TREE}/event"))
            .body(Body::empty())
            .unwrap();
        let refused = world.send(put).await;
        assert_eq!(refused.headers["allow"], "GET");
        refused.refused(405);
    });
}

#[test]
fn bodies_are_forms_of_bounded_length() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/person/get-by-nin?informationParts=Name");
        let send = |kind: &'static str, body: String| {
            let request = world.request("POST", &path).header("content-type", kind);
            world.send(request.body(Body::from(body)).unwrap())
        };
        send("application/json", format!("{{\"nin\":\"{KARI}\"}}"))
            .await
            .refused(415);
        send("application/x-www-form-urlencoded", "x".repeat(70_000))
            .await
            .refused(413);
        send("application/x-www-form-urlencoded", "a=b&".repeat(600))
            .await
            .refused(400);
        send(
            "application/x-www-form-urlencoded; charset=UTF-8",
            format!("NIN={KARI}"),
        )
        .await
        .ok();
    });
}

#[test]
fn only_tokens_of_the_service_open_it() {
    on_worlds(|world| async move {
        let path = format!("{TREE}/event/latest");
        let send = |headers: Vec<(&'static str, String)>| {
            let mut request = Request::builder().uri(format!("{PREFIX}{path}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            world.send(request.body(Body::empty()).unwrap())
        };
        let version = || ("api-version", "2".to_owned());
        let bearer = |token: String| ("authorization", format!("Bearer {token}"));
        let with = world.token(&[access::WITH_LEGAL_BASIS], json!({}));
        send(vec![version(), bearer(with.clone())]).await.ok();
        send(vec![
            version(),
            bearer(world.token(&[access::FULL_ACCESS], json!({}))),
        ])
        .await
        .ok();

        let none = send(vec![version()]).await;
        let challenges: Vec<_> = none.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges.len(), 2, "Bearer and DPoP");
        none.refused(401);
        for (headers, status) in [
            (vec![version(), bearer("abc".to_owned())], 401),
            (
                vec![
                    version(),
                    bearer(world.token(&[access::NO_LEGAL_BASIS], json!({}))),
                ],
                403,
            ),
            (
                vec![
                    version(),
                    bearer(world.token(&["nhn:pps/provesvar-read"], json!({}))),
                ],
                403,
            ),
            (
                vec![
                    version(),
                    bearer(world.token(&[access::WITH_LEGAL_BASIS], json!({"aud": "nhn:pps"}))),
                ],
                401,
            ),
            (
                vec![
                    version(),
                    bearer(world.token(&[access::WITH_LEGAL_BASIS], json!({"exp": NOW_S - 60}))),
                ],
                401,
            ),
            (vec![bearer(with.clone())], 400),
            (
                vec![("api-version", "3".to_owned()), bearer(with.clone())],
                400,
            ),
        ] {
            send(headers).await.refused(status);
        }
        // No organisation: the log could not say who looked.
        let nobody = world.token(
            &[access::WITH_LEGAL_BASIS],
            json!({jose::names::ORGNR_PARENT: null}),
        );
        let refused = send(vec![version(), bearer(nobody)]).await.status.as_u16();
        assert!(refused == 403 || refused == 401, "{refused}");

        // A bound token needs its proof, once.
        let bound = world.bound_token(&[access::WITH_LEGAL_BASIS]);
        send(vec![version(), bearer(bound.clone())])
            .await
            .refused(401);
        let proof = world.proof("GET", &path, &bound);
        let dpop = |proof: &str| {
            vec![
                version(),
                ("authorization", format!("DPoP {bound}")),
                ("dpop", proof.to_owned()),
            ]
        };
        send(dpop(&proof)).await.ok();
        send(dpop(&proof)).await.refused(401);
        send(dpop(&world.proof("POST", &path, &bound)))
            .await
            .refused(401);
    });
}
