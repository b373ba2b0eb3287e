//! Acting for another: chosen at the login, asked again whenever a token is made or looked at.

use helseid::citizen::path;
use serde_json::json;

use super::pages::{browser, open, submit};
use super::*;
use crate::claims;

#[tokio::test]
async fn the_page_asks_for_whom_and_the_tokens_name_both() {
    let sts = Sts::start();
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let chosen = submit(&sts, &page, &[("pid", CITIZEN)]).await;
    let chooser = chosen.header("Location").unwrap();
    assert_eq!(
        (chosen.status, chooser.ends_with("/for")),
        (303, true),
        "{chooser}"
    );
    assert!(!chooser.contains(CITIZEN));
    let shown = sts.get(&chooser, &[("Cookie", &page.cookie)]).await;
    for expected in [
        "Hvem gjelder det?",
        "LIVSTRETT BEVER",
        "meg selv",
        "KVART GREVLING",
        "har gitt deg fullmakt",
    ] {
        assert!(shown.text().contains(expected), "{expected}");
    }
    // Nobody is logged in before the choice is made.
    assert!(chosen.headers.get_all("Set-Cookie").iter().count() == 0);
    let page = page.at(&chooser);
    let back = submit(&sts, &page, &[("pid", DOCTOR)]).await;
    let code = back.callback("code").unwrap();
    assert!(browser(&back).starts_with("helsenorge.session="));
    let tokens = sts.redeem("verktoy", &code).await.json();
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&id["pid"], &id["name"]),
        (&json!(DOCTOR), &json!("KVART GREVLING"))
    );
    assert_eq!(
        (
            &id["act"]["pid"],
            &id["act"]["name"],
            &id["act"]["relation"]
        ),
        (
            &json!(CITIZEN),
            &json!("LIVSTRETT BEVER"),
            &json!("fullmakt")
        )
    );
    assert_ne!(id["act"]["sub"], id["sub"]);
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(
        (&access["pid"], &access["act"]["relation"]),
        (&json!(DOCTOR), &json!("fullmakt"))
    );
    // A page that has been used is gone.
    let again = submit(&sts, &page, &[("pid", DOCTOR)]).await;
    assert_eq!(again.status, 410);
}

#[tokio::test]
async fn relations_have_their_names() {
    let sts = Sts::start();
    for (ground, relation) in [
        (Ground::Parent, "foreldre"),
        (Ground::Attorney(vec![1]), "fullmakt"),
        (Ground::Assigned, "tildelt_fullmakt"),
    ] {
        *sts.family.0.lock().unwrap() = Some(ground);
        let tokens = sts
            .log_in("verktoy", &[("test_represented_pid", DOCTOR)])
            .await;
        assert_eq!(
            claims(tokens["id_token"].as_str().unwrap())["act"]["relation"],
            relation
        );
    }
}

#[tokio::test]
async fn a_forged_choice_is_refused_like_a_strangers() {
    let sts = Sts::start();
    for somebody in [DEAD, "06828399780", DOCTOR] {
        // The doctor can be represented by nobody but the citizen.
        let (acting, represented) = match somebody {
            DOCTOR => (DOCTOR, CITIZEN),
            other => (CITIZEN, other),
        };
        let change = [("test_pid", acting), ("test_represented_pid", represented)];
        let pushed = sts.push("verktoy", &change).await.json();
        let uri = pushed["request_uri"].as_str().unwrap();
        let back = sts.get(&authorize_url("verktoy", uri), &[]).await;
        assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
        let said = back.callback("error_description").unwrap();
        assert!(said.contains("cannot be represented") && !said.contains(represented));
    }
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let chosen = submit(&sts, &page, &[("pid", CITIZEN)]).await;
    let page = page.at(&chosen.header("Location").unwrap());
    let back = submit(&sts, &page, &[("pid", DEAD)]).await;
    assert_eq!(back.callback("error").as_deref(), Some("access_denied"));
    assert!(back.headers.get_all("Set-Cookie").iter().count() == 0);
}

#[tokio::test]
async fn whoever_acts_for_nobody_is_not_asked() {
    let sts = Sts::start();
    *sts.family.0.lock().unwrap() = None;
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let back = submit(&sts, &page, &[("pid", CITIZEN)]).await;
    assert!(back.callback("code").is_some());
    // The page for the choice shows nothing before somebody has logged in.
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let early = sts
        .get(&format!("{}/for", page.path), &[("Cookie", &page.cookie)])
        .await;
    assert_eq!(early.status, 410);
    let early = submit(
        &sts,
        &page.at(&format!("{}/for", page.path)),
        &[("pid", DOCTOR)],
    )
    .await;
    assert_eq!(early.status, 410);
}

#[tokio::test]
async fn no_token_outlives_the_right() {
    let sts = Sts::start();
    let page = open(&sts, &open_url("verktoy", &[]), &[]).await;
    let chosen = submit(&sts, &page, &[("pid", CITIZEN)]).await;
    let page = page.at(&chosen.header("Location").unwrap());
    let back = submit(&sts, &page, &[("pid", DOCTOR)]).await;
    let session = browser(&back);
    let code = back.callback("code").unwrap();
    let tokens = sts.redeem("verktoy", &code).await.json();
    let (access, refresh) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    );
    // While the right holds, the browser is let in silently, for the same person.
    let silent = sts
        .get(&open_url("liten", &[]), &[("Cookie", &session)])
        .await;
    let other = sts
        .redeem("liten", &silent.callback("code").unwrap())
        .await
        .json();
    assert_eq!(
        claims(other["id_token"].as_str().unwrap())["act"]["relation"],
        "fullmakt"
    );
    let waiting = sts
        .get(&open_url("verktoy", &[]), &[("Cookie", &session)])
        .await;
    let waiting = waiting.callback("code").unwrap();

    *sts.family.0.lock().unwrap() = None;
    assert_eq!(sts.introspected(access).await, json!({"active": false}));
    assert_eq!(sts.introspected(refresh).await, json!({"active": false}));
    sts.refresh("verktoy", refresh)
        .await
        .refused("invalid_grant");
    sts.post(path::EXTEND, "verktoy", &[("refresh_token", refresh)])
        .await
        .refused("invalid_grant");
    sts.redeem("verktoy", &waiting)
        .await
        .refused("invalid_grant");
    let asked = sts
        .get(&open_url("liten", &[]), &[("Cookie", &session)])
        .await;
    assert!(
        asked.header("Location").unwrap().contains("/login/"),
        "the picker again"
    );
}
