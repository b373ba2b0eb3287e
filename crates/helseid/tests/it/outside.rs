//! Logins at identity providers outside (spec §6.1, §6.2, §12.2, attacks A12, A14, A15), with a provider made for the test.
//! A foreign one is in `tests/clients/node`.

use std::sync::{Arc, Mutex};

use helseid::Config;
use helseid::client::{Answer as Sent, ClientError, Sending, Transport};
use helseid::idp::{IdpAuth, IdpConfig};
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk, jws, pkce};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::people::{DEAD, DOCTOR};
use crate::{Answer, World, authorize_url, claims};

pub const IDP: &str = "https://idp.example";

/// What the provider says next; tests change it.
pub struct Says {
    pub claims: Value,
    pub is_down: bool,
    pub token_status: u16,
    pub key: PrivateJwk,
}

/// A provider with pushed requests, and the clients' back-channel endpoints, behind one transport.
pub struct Provider {
    pub says: Mutex<Says>,
    pub pushed: Mutex<Vec<Vec<(String, String)>>>,
    pub redeemed: Mutex<Vec<Vec<(String, String)>>>,
    pub told: Mutex<Vec<(String, String)>>,
    key: PrivateJwk,
    pub time: Mutex<Option<Arc<std::sync::atomic::AtomicI64>>>,
}

fn with_kid(kid: &str) -> PrivateJwk {
    let made = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
    let mut members = made.to_secret_members();
    members.insert("kid".to_owned(), kid.into());
    PrivateJwk::from_members(&members).unwrap()
}

impl Provider {
    pub fn new() -> Arc<Self> {
        let key = with_kid("upstream");
        Arc::new(Self {
            says: Mutex::new(Says {
                claims: json!({"pid": DOCTOR, "acr": "idporten-loa-high"}),
                is_down: false,
                token_status: 200,
                key: key.clone(),
            }),
            pushed: Mutex::default(),
            redeemed: Mutex::default(),
            told: Mutex::default(),
            key,
            time: Mutex::default(),
        })
    }

    pub fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap());
    }

    fn answer(&self, url: &str, form: Option<String>) -> Result<Sent, ClientError> {
        let says = self.says.lock().unwrap();
        if says.is_down {
            return Err(ClientError::Transport("refused".to_owned()));
        }
        let form: Vec<(String, String)> =
            form_urlencoded::parse(form.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let (status, body) = match url.strip_prefix(IDP) {
            Some("/.well-known/openid-configuration") => (
                200,
                json!({
                    "issuer": IDP, "authorization_endpoint": format!("{IDP}/authorize"), "token_endpoint": format!("{IDP}/token"),
                    "jwks_uri": format!("{IDP}/jwks"), "pushed_authorization_request_endpoint": format!("{IDP}/par"),
                    "end_session_endpoint": format!("{IDP}/logout"), "authorization_response_iss_parameter_supported": true,
                }),
            ),
            Some("/jwks") => (
                200,
                json!({"keys": [Value::Object(self.key.public().to_members())]}),
            ),
            Some("/par") => {
                self.pushed.lock().unwrap().push(form);
                (
                    201,
                    json!({"request_uri": "urn:ietf:params:oauth:request_uri:1", "expires_in": 60}),
                )
            }
            Some("/token") => {
                self.redeemed.lock().unwrap().push(form);
                (
                    says.token_status,
                    json!({"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(&says)}),
                )
            }
            _ => {
                let token = value(&form, "logout_token").unwrap_or_default();
                self.told.lock().unwrap().push((url.to_owned(), token));
                (200, json!({}))
            }
        };
        Ok(Sent {
            status,
            dpop_nonce: None,
            body: body.to_string().into_bytes(),
        })
    }

    fn id_token(&self, says: &Says) -> String {
        let now = self
            .time
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .load(std::sync::atomic::Ordering::SeqCst);
        let nonce = self.last("nonce").unwrap();
        let mut claims = json!({"iss": IDP, "aud": "hub", "sub": "s", "iat": now, "exp": now + 120, "nonce": nonce, "auth_time": now});
        for (name, value) in says.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        jws::sign_compact("JWT", claims.to_string().as_bytes(), &says.key).unwrap()
    }

    /// A parameter of the last pushed request.
    pub fn last(&self, name: &str) -> Option<String> {
        value(self.pushed.lock().unwrap().last()?, name)
    }
}

fn value(form: &[(String, String)], name: &str) -> Option<String> {
    form.iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.clone())
}

pub struct Way(pub Arc<Provider>);

impl Transport for Way {
    fn send<'a>(&'a self, url: &'a str, form: Option<String>, _: Option<String>) -> Sending<'a> {
        Box::pin(std::future::ready(self.0.answer(url, form)))
    }
}

pub fn idporten(id: &str) -> IdpConfig {
    IdpConfig::idporten(
        id,
        "ID-porten",
        IDP,
        "hub",
        IdpAuth::PrivateKeyJwt(with_kid("hub")),
    )
}

/// A world whose users come from the provider only, unless `change` says otherwise.
pub fn start(change: impl FnOnce(&mut Config)) -> (World, Arc<Provider>) {
    let provider = Provider::new();
    let mut world = World::with(|config| {
        config.test_idp = false;
        config.idps.push(idporten("idporten-oidc"));
        change(config);
    });
    *provider.time.lock().unwrap() = Some(world.time.clone());
    world.helseid = world.helseid.with_transports(
        Arc::new(Way(provider.clone())),
        Arc::new(Way(provider.clone())),
    );
    world.router = world.helseid.router();
    (world, provider)
}

/// The browser: its cookies by name.
#[derive(Default, Clone)]
pub struct Browser(Vec<(String, String)>);

impl Browser {
    fn keep(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("Set-Cookie") {
            let text = cookie.to_str().unwrap();
            let (name, rest) = text.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.0.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
            // One is for the script of the session iframe, which stands in pages of other sites.
            let is_kept = text.contains("HttpOnly") && text.contains("SameSite=Lax");
            assert!(is_kept || name == "helseid.state", "{name}");
        }
    }

    pub async fn get(&mut self, world: &World, url: &str) -> Answer {
        let cookies: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let answer = world.get(url, &[("Cookie", &cookies)]).await;
        self.keep(&answer);
        answer
    }
}

/// Pushes and goes to authorize.
pub async fn begin(world: &World, browser: &mut Browser, change: &[(&str, &str)]) -> Answer {
    let pushed = world.push(change).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
    browser.get(world, &authorize_url("epj", &uri)).await
}

pub fn back(provider: &Provider, change: &[(&str, &str)]) -> String {
    let state = provider.last("state").unwrap();
    let mut query = vec![("code", "c"), ("state", state.as_str()), ("iss", IDP)];
    query.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    query.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("/signin/idporten-oidc?{query}")
}

/// A whole login; the answer that leads back to the client.
pub async fn log_in(
    world: &World,
    provider: &Provider,
    browser: &mut Browser,
    change: &[(&str, &str)],
) -> Answer {
    let away = begin(world, browser, change).await;
    assert_eq!(away.status, 303, "{}", away.text());
    let location = away.header("Location").unwrap();
    assert!(
        location.starts_with(&format!("{IDP}/authorize?")),
        "{location}"
    );
    browser.get(world, &back(provider, &[])).await
}

#[tokio::test]
async fn a_doctor_comes_from_outside() {
    let (world, provider) = start(|_| {});
    let mut browser = Browser::default();
    let change = [
        ("acr_values", "Level4 amr:bankid"),
        ("on_behalf_of", "999977774"),
        ("ui_locales", "nn"),
    ];
    let answer = log_in(&world, &provider, &mut browser, &change).await;
    let code = answer.callback("code").unwrap();
    let redeemed = world.redeem(&code).await.json();
    let id = claims(redeemed["id_token"].as_str().unwrap());
    assert_eq!(id["idp"], "idporten-oidc");
    assert_eq!(id["amr"], json!(["external"]));
    assert_eq!(id["acr"], "Level4");
    assert_eq!(id["helseid://claims/identity/pid"], DOCTOR);
    assert_eq!(id["helseid://claims/identity/security_level"], "4");
    assert_eq!(id["name"], "KVART GREVLING");

    // What was asked of the provider, and how it was asked.
    for (name, expected) in [
        ("acr_values", "idporten-loa-high"),
        ("onbehalfof", "999977774"),
        ("ui_locales", "nn"),
        (
            "redirect_uri",
            "https://localhost:8444/signin/idporten-oidc",
        ),
        ("code_challenge_method", "S256"),
        ("response_type", "code"),
    ] {
        assert_eq!(provider.last(name).as_deref(), Some(expected), "{name}");
    }
    assert!(provider.last("prompt").is_none() && provider.last("client_assertion").is_some());
    let redeemed = provider.redeemed.lock().unwrap().first().cloned().unwrap();
    let verifier = value(&redeemed, "code_verifier").unwrap();
    assert_eq!(
        provider.last("code_challenge"),
        Some(pkce::challenge(&verifier))
    );
    let location = provider.pushed.lock().unwrap().len();
    assert_eq!(location, 1);

    // A second client is let in silently, but not at a demand to log in again.
    let silent = begin(&world, &mut browser, &[]).await;
    assert!(silent.callback("code").is_some());
    let asked = begin(&world, &mut browser, &[("prompt", "login")]).await;
    assert!(asked.header("Location").unwrap().starts_with(IDP));
    assert_eq!(provider.last("prompt").as_deref(), Some("login"));
}

#[tokio::test]
async fn the_method_asked_for_is_passed_on_as_the_provider_calls_it() {
    let (world, provider) = start(|config| {
        let methods = &mut config.idps[0].methods;
        for (method, value) in [("bankid", "bankid"), ("bp:amr:sc", "smartcard")] {
            let parameter = ("login_hint".to_owned(), value.to_owned());
            methods.insert(method.to_owned(), parameter);
        }
    });
    for (acr_values, expected) in [
        ("amr:bankid", Some("bankid")),
        ("Level4 bp:amr:sc", Some("smartcard")),
        ("bp:amr:other", None),
        ("amr:minid", None),
        ("Level4", None),
    ] {
        let change = [("acr_values", acr_values)];
        begin(&world, &mut Browser::default(), &change).await;
        assert_eq!(
            provider.last("login_hint").as_deref(),
            expected,
            "{acr_values}"
        );
    }
}

#[tokio::test]
async fn a_higher_level_is_asked_for_again() {
    let (world, provider) = start(|_| {});
    provider.says(|says| says.claims["acr"] = "idporten-loa-substantial".into());
    let mut browser = Browser::default();
    let first = log_in(&world, &provider, &mut browser, &[]).await;
    let code = first.callback("code").unwrap();
    let token = world.redeem(&code).await.json();
    let id = claims(token["id_token"].as_str().unwrap());
    assert_eq!(id["helseid://claims/identity/security_level"], "3");
    assert!(
        begin(&world, &mut browser, &[("acr_values", "Level3")])
            .await
            .callback("code")
            .is_some()
    );
    // Level 4 goes back to the provider; one that still says 3 is refused (attack A15).
    let refused = log_in(&world, &provider, &mut browser, &[("acr_values", "Level4")]).await;
    assert_eq!(refused.callback("error").as_deref(), Some("access_denied"));
    assert!(refused.callback("code").is_none());
    provider.says(|says| says.claims["acr"] = "idporten-loa-high".into());
    let answer = log_in(&world, &provider, &mut browser, &[("acr_values", "Level4")]).await;
    assert!(answer.callback("code").is_some());
    assert!(
        begin(&world, &mut browser, &[("acr_values", "Level4")])
            .await
            .callback("code")
            .is_some()
    );
}

#[tokio::test]
async fn answers_that_cannot_be_believed() {
    let now = 1_760_000_000;
    let table: Vec<Value> = vec![
        json!({"iss": "https://evil.example"}),
        json!({"aud": "other"}),
        json!({"nonce": "other"}),
        json!({"exp": now - 60}),
        json!({"iat": now - 3_600}),
        json!({"pid": null}),
        json!({"pid": "123"}),
        json!({"acr": "unknown"}),
        json!({"at_hash": "AAAA"}),
        // Verified, but nobody who may log in.
        json!({"pid": DEAD}),
        json!({"pid": "00000000000"}),
    ];
    for change in table {
        let (world, provider) = start(|_| {});
        provider.says(|says| {
            for (name, value) in change.as_object().unwrap() {
                says.claims[name] = value.clone();
            }
        });
        let answer = log_in(&world, &provider, &mut Browser::default(), &[]).await;
        assert_eq!(
            answer.callback("error").as_deref(),
            Some("access_denied"),
            "{change}"
        );
        assert_eq!(answer.callback("state").as_deref(), Some("the-state"));
        assert!(answer.callback("iss").is_some());
        let text = answer.header("Location").unwrap();
        assert!(!text.contains(DEAD) && !text.contains(DOCTOR), "{text}");
    }
    let (world, provider) = start(|_| {});
    provider.says(|says| says.key = with_kid("upstream"));
    let answer = log_in(&world, &provider, &mut Browser::default(), &[]).await;
    assert_eq!(answer.callback("error").as_deref(), Some("access_denied"));
    provider.says(|says| says.key = with_kid("other"));
    let answer = log_in(&world, &provider, &mut Browser::default(), &[]).await;
    assert_eq!(answer.callback("error").as_deref(), Some("access_denied"));
    provider.says(|says| says.token_status = 400);
    let answer = log_in(&world, &provider, &mut Browser::default(), &[]).await;
    assert_eq!(answer.callback("error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn the_way_back_belongs_to_one_browser_and_is_open_once() {
    let (world, provider) = start(|_| {});
    let mut browser = Browser::default();
    begin(&world, &mut browser, &[]).await;
    let url = back(&provider, &[]);
    // Another browser, another provider, another state, a mix-up: none of them uses the login up.
    assert_eq!(world.get(&url, &[]).await.status, 400);
    let other = url.replace("/signin/idporten-oidc", "/signin/other-oidc");
    assert_eq!(browser.clone().get(&world, &other).await.status, 400);
    let unknown = back(&provider, &[("state", "unknown")]);
    assert_eq!(browser.clone().get(&world, &unknown).await.status, 410);
    let twice = format!("{url}&code=d");
    assert_eq!(browser.clone().get(&world, &twice).await.status, 400);
    assert!(provider.redeemed.lock().unwrap().is_empty());
    let answer = browser.clone().get(&world, &url).await;
    assert!(answer.callback("code").is_some());
    assert_eq!(browser.get(&world, &url).await.status, 410);
    assert_eq!(provider.redeemed.lock().unwrap().len(), 1);

    for change in [
        vec![("iss", "https://evil.example")],
        vec![("iss", "")],
        vec![("code", "")],
        vec![("code", ""), ("error", "access_denied")],
        vec![("code", ""), ("error", "login_required")],
    ] {
        let mut browser = Browser::default();
        begin(&world, &mut browser, &[]).await;
        let answer = browser.get(&world, &back(&provider, &change)).await;
        assert_eq!(
            answer.callback("error").as_deref(),
            Some("access_denied"),
            "{change:?}"
        );
    }
    assert_eq!(provider.redeemed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_page_offers_what_the_client_and_the_level_allow() {
    let (world, provider) = start(|config| {
        config.test_idp = true;
        let mut low = idporten("low-oidc");
        low.highest = helseid::rules::levels::Level::Substantial;
        low.name = "MinID".to_owned();
        config.idps.push(low);
    });
    let mut browser = Browser::default();
    let chooser = |answer: &Answer| answer.header("Location").unwrap();
    let at = chooser(&begin(&world, &mut browser, &[]).await);
    assert!(at.ends_with("/idp"), "{at}");
    let page = browser.get(&world, &at).await;
    assert_eq!(page.status, 200);
    for name in ["ID-porten", "MinID", "Test IDP", "EPJ"] {
        assert!(page.text().contains(name), "{name}");
    }
    assert!(
        page.header("Content-Security-Policy")
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    let english = browser.get(&world, &format!("{at}?lang=en")).await;
    assert!(
        english.text().contains("Choose how to log in") && english.text().contains("lang=\"en\"")
    );
    // Not for another browser.
    assert_eq!(world.get(&at, &[]).await.status, 410);
    let test = browser.get(&world, &format!("{at}/testidp-oidc")).await;
    assert_eq!(
        test.header("Location").unwrap(),
        at.trim_end_matches("/idp")
    );
    let unknown = browser.get(&world, &format!("{at}/nobody")).await;
    assert_eq!(unknown.header("Location").unwrap(), at);
    let outside = browser.get(&world, &format!("{at}/idporten-oidc")).await;
    assert!(chooser(&outside).starts_with(IDP));

    // Level 4 leaves out the provider that cannot give it; a named one skips the page; an unknown name does not.
    let mut browser = Browser::default();
    let at = chooser(&begin(&world, &mut browser, &[("acr_values", "Level4")]).await);
    assert!(!browser.get(&world, &at).await.text().contains("MinID"));
    let named = begin(
        &world,
        &mut Browser::default(),
        &[("acr_values", "idp:idporten-oidc")],
    )
    .await;
    assert!(chooser(&named).starts_with(IDP));
    let unknown = begin(
        &world,
        &mut Browser::default(),
        &[("acr_values", "idp:nobody-oidc")],
    )
    .await;
    assert!(chooser(&unknown).ends_with("/idp"));
    let cancelled = browser.get(&world, &at.replace("/idp", "/cancel")).await;
    assert_eq!(
        cancelled.callback("error").as_deref(),
        Some("access_denied")
    );

    // The client's own list.
    let mut client = world.client.clone();
    client.idps = ["idporten-oidc".to_owned()].into();
    world.helseid.put_client(client);
    assert!(chooser(&begin(&world, &mut Browser::default(), &[]).await).starts_with(IDP));
    // Its only provider is down: the page says so (spec §6.1).
    provider.says(|says| says.is_down = true);
    let mut browser = Browser::default();
    let at = chooser(&begin(&world, &mut browser, &[]).await);
    assert!(at.ends_with("/idp?down=idporten-oidc"), "{at}");
    assert!(
        browser
            .get(&world, &at)
            .await
            .text()
            .contains("role=\"alert\"")
    );

    let idps = world.get("/connect/availableidps", &[]).await.json();
    let ids: Vec<&str> = idps
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["idporten-oidc", "low-oidc", "testidp-oidc"]);
    assert_eq!(idps[1]["securityLevel"], "3");
}

#[tokio::test]
async fn without_a_fitting_provider_the_client_is_told() {
    let (world, _) = start(|config| {
        config.idps[0].highest = helseid::rules::levels::Level::Substantial;
    });
    let answer = begin(&world, &mut Browser::default(), &[("acr_values", "Level4")]).await;
    assert_eq!(answer.callback("error").as_deref(), Some("access_denied"));
    let (world, _) = start(|_| {});
    let pushed = world.push(&[("on_behalf_of", "12345")]).await;
    assert!(pushed.refused("invalid_request").starts_with("HID-1004"));
    let silent = begin(&world, &mut Browser::default(), &[("prompt", "none")]).await;
    assert_eq!(silent.callback("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn logging_out_ends_the_session_outside_and_tells_the_clients() {
    let (world, provider) = start(|config| {
        config.clients[0].backchannel_logout_uri = Some("https://epj.example/back".to_owned());
        config.clients[0].frontchannel_logout_uri =
            Some("https://epj.example/front?x=1".to_owned());
    });
    let mut browser = Browser::default();
    let answer = log_in(&world, &provider, &mut browser, &[]).await;
    let tokens = world.redeem(&answer.callback("code").unwrap()).await.json();
    let id_token = tokens["id_token"].as_str().unwrap();
    let sid = claims(id_token)["sid"].as_str().unwrap().to_owned();
    let out = format!(
        "/connect/endsession?id_token_hint={id_token}&post_logout_redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fout&state=s1"
    );
    let page = browser.get(&world, &out).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    let frame = format!(
        "https://epj.example/front?x=1&amp;iss=https%3A%2F%2Flocalhost%3A8444&amp;sid={sid}"
    );
    assert!(text.contains(&frame), "{text}");
    assert!(
        page.header("Content-Security-Policy")
            .unwrap()
            .contains("frame-src https://epj.example;")
    );
    // Then on to the provider, and from there to where the client wanted the browser.
    let start = text.find("2;url=").unwrap() + 6;
    let onward = text[start..]
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&");
    assert!(onward.starts_with(&format!("{IDP}/logout?")), "{onward}");
    let query: Vec<(String, String)> =
        form_urlencoded::parse(onward.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    assert!(value(&query, "id_token_hint").is_some());
    let done = value(&query, "post_logout_redirect_uri").unwrap();
    assert_eq!(done, "https://localhost:8444/signout/done");
    let done = format!("/signout/done?state={}", value(&query, "state").unwrap());
    let last = browser.get(&world, &done).await;
    assert_eq!(
        last.header("Location").unwrap(),
        "http://localhost:3000/out?state=s1"
    );
    assert_eq!(browser.get(&world, &done).await.status, 200);

    // The back channel is told aside.
    for _ in 0..1_000 {
        if !provider.told.lock().unwrap().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let told = provider.told.lock().unwrap().clone();
    let [(uri, token)] = told.as_slice() else {
        panic!("told {}", told.len())
    };
    assert_eq!(uri, "https://epj.example/back");
    let logout = claims(token);
    assert_eq!(logout["aud"], "epj");
    assert_eq!(logout["sid"], sid);
    assert_eq!(logout["sub"], claims(id_token)["sub"]);
    assert_eq!(
        logout["events"],
        json!({"http://schemas.openid.net/event/backchannel-logout": {}})
    );
    assert!(logout.get("nonce").is_none());
    // A logout token is neither an access token nor a hint.
    let refused = world
        .get(&format!("/connect/endsession?id_token_hint={token}"), &[])
        .await;
    assert_eq!(refused.status, 400);
    // The session is gone: the next login goes outside again, and refreshing is over.
    let next = begin(&world, &mut browser, &[]).await;
    assert!(next.header("Location").unwrap().starts_with(IDP));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    world
        .token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)])
        .await
        .refused("invalid_grant");
}
