//! HelseID from outside: whole flows with our own client, and the attack table with requests made by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod api_claims;
mod assertions_and_proofs;
mod attacks;
mod attest;
mod authorize;
mod citizens;
mod exchange;
mod expired_keys;
mod flows;
mod limits;
mod modes;
mod organisations;
mod outside;
mod outside_logout;
mod pages;
mod par;
mod people;
mod rotation;
mod self_service;
mod session_iframe;
mod terms;
mod test_tokens;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use helseid::client::{InProcess, LoginRequest, RelyingParty, Tokens, provider};
use helseid::{
    Client, ClientKey, Config, ForgetfulKeyStore, Helseid, Mode, Parts, SigningKeyKind, Tenancy,
};
use jose::jwk::KeyKind;
use jose::state::Clock;
use jose::{Claims, MemoryState, PrivateJwk, dpop, jws, pkce};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;
use url::form_urlencoded;

pub const ISSUER: &str = "https://localhost:8444";
pub const BROWSER: &str = "http://127.0.0.1:8084";
pub const REDIRECT: &str = "http://localhost:3000/callback";
pub const LOGIN_SCOPES: &[&str] = &[
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
];

/// An issuer with one client, and a clock that tests turn.
pub struct World {
    pub helseid: Helseid,
    pub router: Router,
    pub time: Arc<AtomicI64>,
    pub client: Client,
    pub key: PrivateJwk,
}

pub fn client_with(key: &PrivateJwk, client_id: &str) -> Client {
    let mut client = Client::new(client_id, "EPJ");
    client.organisation_name = "Granfjelldal kommune".to_owned();
    client.keys.push(ClientKey {
        key: key.public().clone(),
        expires_s: None,
    });
    client.scopes = LOGIN_SCOPES
        .iter()
        .map(|scope| (*scope).to_owned())
        .collect();
    client.redirect_uris = vec![REDIRECT.to_owned()];
    client.post_logout_redirect_uris = vec!["http://localhost:3000/out".to_owned()];
    client.user_login = true;
    client.machine = true;
    client.refresh = true;
    client.tenancy = Tenancy::Single {
        parent: people::MUNICIPALITY.to_owned(),
        children: [people::NURSING_HOME.to_owned()].into(),
    };
    client
}

impl World {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let client = client_with(&key, "epj");
        let mut config = Config::new(ISSUER);
        config.extra_origins.push(BROWSER.to_owned());
        config.test_idp = true;
        // Making an RSA key takes a while; one test does it.
        config.signing_key = SigningKeyKind::P256;
        config.clients.push(client.clone());
        change(&mut config);
        let time = Arc::new(AtomicI64::new(1_760_000_000));
        let clock: Clock = {
            let time = Arc::clone(&time);
            Arc::new(move || time.load(Ordering::SeqCst))
        };
        let state = Arc::new(MemoryState::new(Arc::clone(&clock), 10_000));
        let parts = Parts {
            directory: Arc::new(people::People),
            state: state.clone(),
            replay: state,
            keys: Arc::new(ForgetfulKeyStore),
            clock,
        };
        let helseid = Helseid::new(config, parts).unwrap();
        Self {
            router: helseid.router(),
            helseid,
            time,
            client,
            key,
        }
    }

    pub fn now(&self) -> i64 {
        self.time.load(Ordering::SeqCst)
    }

    pub fn wait(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn party(&self) -> RelyingParty<InProcess> {
        let time = Arc::clone(&self.time);
        RelyingParty {
            provider: provider(ISSUER, ISSUER),
            client_id: self.client.client_id.clone(),
            redirect_uri: REDIRECT.to_owned(),
            key: self.key.clone(),
            dpop_key: self.key.clone(),
            transport: InProcess(self.router.clone()),
            clock: Arc::new(move || time.load(Ordering::SeqCst)),
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let url = url.strip_prefix(ISSUER).unwrap_or(url);
        let mut request = Request::get(url).header("Host", "localhost:8444");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::post(path).header("Host", "localhost:8444").header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=UTF-8",
        );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// A strict assertion with claims changed.
    pub fn assertion(&self, change: Value) -> String {
        self.assertion_by(&self.key, &self.client.client_id, change)
    }

    pub fn assertion_by(&self, key: &PrivateJwk, client_id: &str, change: Value) -> String {
        let now = self.now();
        let mut claims = json!({"iss":client_id,"sub":client_id,"aud":ISSUER,"iat":now,"nbf":now,"exp":now+30,
            "jti":jose::encoding::random_b64url::<16>().unwrap()});
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().shift_remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let typ = "client-authentication+jwt";
        jws::sign_compact(typ, claims.to_string().as_bytes(), key).unwrap()
    }

    pub fn proof(&self, key: &PrivateJwk, path: &str, nonce: Option<&str>) -> String {
        dpop::make_proof(
            key,
            "POST",
            &format!("{ISSUER}{path}"),
            None,
            nonce,
            self.now(),
        )
        .unwrap()
    }

    /// A nonce, as a client learns it.
    pub async fn nonce(&self) -> String {
        let proof = self.proof(&self.key, "/connect/token", None);
        let assertion = self.assertion(json!({}));
        let form = [
            ("grant_type", "client_credentials"),
            AUTH,
            ("client_assertion", &assertion),
        ];
        let answer = self
            .post("/connect/token", &form, &[("DPoP", &proof)])
            .await;
        answer.refused("use_dpop_nonce");
        answer.header("DPoP-Nonce").unwrap()
    }

    /// Posts to the token endpoint with a fresh assertion and a fresh proof by the client's key.
    pub async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.token_by(form, &self.key).await
    }

    pub async fn token_by(&self, form: &[(&str, &str)], dpop_key: &PrivateJwk) -> Answer {
        let nonce = self.nonce().await;
        let proof = self.proof(dpop_key, "/connect/token", Some(&nonce));
        let assertion = self.assertion(json!({}));
        let mut form = form.to_vec();
        form.extend([AUTH, ("client_assertion", &assertion)]);
        self.post("/connect/token", &form, &[("DPoP", &proof)])
            .await
    }

    /// Pushes the standard request with parameters changed (empty value: left out).
    pub async fn push(&self, change: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(json!({}));
        self.push_with(change, &assertion, &[]).await
    }

    pub async fn push_with(
        &self,
        change: &[(&str, &str)],
        assertion: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let scope = LOGIN_SCOPES.join(" ");
        let challenge = pkce::challenge(VERIFIER);
        let mut form: Vec<(&str, &str)> = vec![
            ("client_id", "epj"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &scope),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            AUTH,
            ("client_assertion", assertion),
        ];
        form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        self.post("/connect/par", &form, headers).await
    }

    /// A code for the doctor, by the headless test login.
    pub async fn code(&self, change: &[(&str, &str)]) -> String {
        let mut change = change.to_vec();
        for (name, value) in [
            ("test_pid", people::DOCTOR),
            ("acr_values", "idp:testidp-oidc"),
        ] {
            if change.iter().all(|(changed, _)| *changed != name) {
                change.push((name, value));
            }
        }
        let pushed = self.push(&change).await;
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
        let back = self.get(&authorize_url("epj", &uri), &[]).await;
        back.callback("code")
            .unwrap_or_else(|| panic!("no code: {:?}", back.header("Location")))
    }

    /// The form that redeems a code.
    pub async fn redeem(&self, code: &str) -> Answer {
        self.token(&redeem_form(code)).await
    }

    pub async fn log_in(&self, login: &LoginRequest<'_>) -> Tokens {
        let party = self.party();
        let mut login = login.clone();
        let test = [
            ("acr_values", "idp:testidp-oidc"),
            ("test_pid", people::DOCTOR),
        ];
        let parameters: Vec<(&str, &str)> = login.parameters.iter().copied().chain(test).collect();
        login.parameters = &parameters;
        let (url, attempt) = party.begin(&login).await.unwrap();
        let back = self.get(&url, &[]).await;
        party
            .finish(&attempt, back.query().unwrap(), None)
            .await
            .unwrap()
    }
}

pub const AUTH: (&str, &str) = ("client_assertion_type", jose::assertion::JWT_BEARER);
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub fn redeem_form(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

pub fn authorize_url(client_id: &str, request_uri: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client_id)
        .append_pair("request_uri", request_uri)
        .finish();
    format!("/connect/authorize?{query}")
}

/// The payload of a JWT, unverified.
pub fn claims(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).unwrap();
    Claims::parse(&jose::encoding::b64url_decode(payload).unwrap())
        .unwrap()
        .0
}

pub struct Answer {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn read(answer: Response<Body>) -> Self {
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 1_000_000)
            .await
            .unwrap()
            .to_vec();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn query(&self) -> Option<&str> {
        Some(
            self.headers
                .get("Location")?
                .to_str()
                .unwrap()
                .split_once('?')?
                .1,
        )
    }

    /// A parameter of the redirect back to the client.
    pub fn callback(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query()?.as_bytes())
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Asserts the form every refusal has: 400, JSON, code and description, no challenge, nonce only where it belongs.
    #[track_caller]
    pub fn refused(&self, code: &str) -> String {
        assert_eq!(self.status, 400, "{}", self.text());
        assert_eq!(
            self.header("Content-Type").as_deref(),
            Some("application/json")
        );
        let body = self.json();
        assert_eq!(body["error"], code, "{body}");
        assert!(self.headers.get("WWW-Authenticate").is_none());
        let nonces = self.headers.get_all("DPoP-Nonce").iter().count();
        assert_eq!(nonces, usize::from(code == "use_dpop_nonce"));
        body["error_description"].as_str().unwrap().to_owned()
    }
}

/// Compatible mode for the one client.
pub fn compatible(config: &mut Config) {
    config.mode = Mode::Compatible;
}
