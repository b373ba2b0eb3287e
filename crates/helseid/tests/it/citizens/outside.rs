//! Citizens who log in at a provider outside, as ID-porten is one: level 4 only, then the choice for whom.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::claims;
use crate::outside::{IDP, Provider, Way, idporten};

fn start() -> (Sts, Arc<Provider>) {
    let sts = Sts::with(|config| {
        config.test_login = false;
        config.idps.push(idporten("idporten-oidc"));
    });
    let provider = Provider::new();
    *provider.time.lock().unwrap() = Some(sts.time.clone());
    provider.says(|says| says.claims = json!({"pid": CITIZEN, "acr": "idporten-loa-high"}));
    let way = || Arc::new(Way(provider.clone()));
    let _ = sts.citizens.clone().with_transports(way(), way());
    (sts, provider)
}

/// Goes to the provider and back; the answer, and the cookies of the browser.
async fn there_and_back(sts: &Sts, provider: &Provider) -> (Answer, String) {
    let gone = sts.get(&open_url("verktoy", &[]), &[]).await;
    assert!(
        gone.header("Location").unwrap().starts_with(IDP),
        "{}",
        gone.text()
    );
    let cookies: Vec<String> = gone
        .headers
        .get_all("Set-Cookie")
        .iter()
        .map(|cookie| {
            cookie
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    let cookies = cookies.join("; ");
    assert_eq!(
        provider.last("acr_values").as_deref(),
        Some("idporten-loa-high")
    );
    let callback = provider.last("redirect_uri").unwrap();
    assert_eq!(
        callback,
        format!("{BASE}/sts/oidcprov/signin/idporten-oidc")
    );
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("code", "c")
        .append_pair("state", &provider.last("state").unwrap())
        .append_pair("iss", IDP)
        .finish();
    let url = format!("{callback}?{query}");
    // Another browser gets nowhere, and spoils nothing.
    assert_eq!(sts.get(&url, &[]).await.status, 400);
    let back = sts.get(&url, &[("Cookie", &cookies)]).await;
    (back, cookies)
}

#[tokio::test]
async fn level_four_leads_to_the_choice_and_to_tokens() {
    let (sts, provider) = start();
    let (back, cookies) = there_and_back(&sts, &provider).await;
    let chooser = back.header("Location").unwrap();
    assert!(chooser.ends_with("/for"), "{chooser}");
    let page = sts.get(&chooser, &[("Cookie", &cookies)]).await;
    let text = page.text();
    let csrf = text.split("name=\"csrf\" value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap();
    let form = [("csrf", csrf), ("pid", DOCTOR)];
    let done = sts
        .post_as(
            &chooser,
            &form,
            &[("Cookie", &cookies), ("Origin", BASE)],
            None,
        )
        .await;
    let tokens = sts
        .redeem("verktoy", &done.callback("code").unwrap())
        .await
        .json();
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&id["pid"], &id["act"]["pid"]),
        (&json!(DOCTOR), &json!(CITIZEN))
    );
    assert_eq!(
        (&id["idp"], &id["acr"]),
        (&json!("idporten-oidc"), &json!("Level4"))
    );
}

#[tokio::test]
async fn a_lower_level_or_somebody_who_may_not_is_denied() {
    let (sts, provider) = start();
    for (what, said) in [
        (
            "level 3",
            json!({"pid": CITIZEN, "acr": "idporten-loa-substantial"}),
        ),
        ("no level", json!({"pid": CITIZEN, "acr": "x"})),
        ("dead", json!({"pid": DEAD, "acr": "idporten-loa-high"})),
        (
            "unknown",
            json!({"pid": "06828399780", "acr": "idporten-loa-high"}),
        ),
    ] {
        provider.says(|says| says.claims = said);
        let (back, _) = there_and_back(&sts, &provider).await;
        assert_eq!(
            back.callback("error").as_deref(),
            Some("access_denied"),
            "{what}"
        );
        assert_eq!(back.callback("state").as_deref(), Some(STATE));
        assert!(
            !back.header("Location").unwrap().contains(CITIZEN),
            "{what}"
        );
    }
}
