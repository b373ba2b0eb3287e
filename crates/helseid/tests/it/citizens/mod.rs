//! The citizens' issuer from outside: whole logins, both kinds of clients, representation, the attack rows that apply, and
//! its distance from HelseID.

mod apart;
mod attacks;
mod flows;
mod outside;
mod pages;
mod registered;
mod represent;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use edge::listen::PeerCertificate;
use helseid::citizen::{
    Asked, CitizenClient, CitizenConfig, Citizens, Ground, NoLogin, RIGHT_ATTORNEY,
    RIGHT_BIRTH_DATE, RIGHT_NAME, RIGHT_PID, Representation, Represented, path,
};
use helseid::{ClientKey, KeyStore, Parts, SigningKeyKind};
use jose::jwk::KeyKind;
use jose::state::{Clock, State};
use jose::{MemoryState, PrivateJwk, jws, pkce};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::form_urlencoded;

use crate::people::{self, CITIZEN, DEAD, DOCTOR};
use crate::{AUTH, Answer, REDIRECT, VERIFIER};

pub const BASE: &str = "https://localhost:8443";
pub const ISSUER: &str = "https://localhost:8443/sts/oidcprov/v3";
pub const SIGNED_OUT: &str = "http://localhost:3000/out";
/// Twelve characters, because ten are the fewest.
pub const STATE: &str = "state-123456";
pub const NONCE: &str = "nonce-123456";

/// [`CITIZEN`] acts for [`DOCTOR`] on a ground that tests change.
pub struct Family(pub Mutex<Option<Ground>>);

impl Representation for Family {
    fn may_log_in(&self, pid: &str) -> Result<(), NoLogin> {
        match pid {
            DOCTOR | CITIZEN => Ok(()),
            DEAD => Err(NoLogin::Deceased),
            YOUNG => Err(NoLogin::TooYoung),
            _ => Err(NoLogin::Unknown),
        }
    }

    fn represented_by(&self, pid: &str) -> Asked<Vec<Represented>> {
        let ground = self.0.lock().unwrap().clone().filter(|_| pid == CITIZEN);
        let found = ground.map(|ground| Represented {
            pid: DOCTOR.to_owned(),
            name: "KVART GREVLING".to_owned(),
            ground,
        });
        Box::pin(async { Ok(found.into_iter().collect()) })
    }
}

/// A number that the double calls too young.
pub const YOUNG: &str = "11111111111";

/// Keys that two processes share.
#[derive(Default)]
pub struct SharedKeys(Mutex<Option<Vec<u8>>>);

impl KeyStore for SharedKeys {
    fn load(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn keep_first(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.0.lock().unwrap().get_or_insert(bytes.to_vec()).clone())
    }

    fn replace(&self, old: &[u8], bytes: &[u8]) -> Result<bool, String> {
        let mut kept = self.0.lock().unwrap();
        let same = kept.as_deref() == Some(old);
        if same {
            *kept = Some(bytes.to_vec());
        }
        Ok(same)
    }
}

/// The issuer with four clients, and a clock that tests turn.
pub struct Sts {
    pub citizens: Citizens,
    pub router: Router,
    pub time: Arc<AtomicI64>,
    pub family: Arc<Family>,
    pub state: Arc<dyn State>,
    pub key: PrivateJwk,
    /// Two instances of the public client: their certificates.
    pub instances: [Vec<u8>; 2],
    config: CitizenConfig,
    memory: Arc<MemoryState>,
    keys: Arc<SharedKeys>,
}

fn certificate() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["instance".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2040, 1, 1);
    parameters.self_signed(&key).unwrap().der().to_vec()
}

impl Sts {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut CitizenConfig)) -> Self {
        let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let held = || ClientKey {
            key: key.public().clone(),
            expires_s: None,
        };
        let mut tool = CitizenClient::confidential("verktoy", "Verktøy");
        tool.client.keys.push(held());
        tool.client.refresh = true;
        tool.client.scopes = [RIGHT_NAME, RIGHT_BIRTH_DATE, RIGHT_PID, RIGHT_ATTORNEY]
            .map(str::to_owned)
            .into();
        tool.audiences = vec!["nhn:helsenorge".to_owned()];
        let mut small = CitizenClient::confidential("liten", "Lite verktøy");
        small.client.keys.push(held());
        small.client.scopes = [RIGHT_NAME.to_owned()].into();
        let mut app = CitizenClient::public("app", "App");
        app.client.refresh = true;
        app.client.scopes = [RIGHT_PID, RIGHT_ATTORNEY].map(str::to_owned).into();
        for client in [&mut tool, &mut small, &mut app] {
            client.client.redirect_uris = vec![REDIRECT.to_owned()];
            client.client.post_logout_redirect_uris = vec![SIGNED_OUT.to_owned()];
        }
        let mut api = CitizenClient::confidential("api", "API");
        api.client.keys.push(held());
        api.client.user_login = false;
        api.client.introspects = true;
        let mut config = CitizenConfig::new(BASE);
        config.test_login = true;
        config.mtls_origin = Some("https://localhost:8445".to_owned());
        config.signing_key = SigningKeyKind::P256;
        config.clients = vec![tool, small, app, api];
        change(&mut config);
        let time = Arc::new(AtomicI64::new(1_760_000_000));
        let memory = Arc::new(MemoryState::new(clock(&time), 10_000));
        let family = Arc::new(Family(Mutex::new(Some(Ground::Attorney(vec![1, 3])))));
        let keys = Arc::new(SharedKeys::default());
        let citizens = issuer(&config, &memory, &keys, &family, &time);
        Self {
            router: citizens.router(),
            citizens,
            time,
            family,
            state: memory.clone(),
            key,
            instances: [certificate(), certificate()],
            config,
            memory,
            keys,
        }
    }

    /// Another process on the same state and keys; or this one, started anew.
    pub fn again(&self) -> Self {
        let citizens = issuer(
            &self.config,
            &self.memory,
            &self.keys,
            &self.family,
            &self.time,
        );
        Self {
            router: citizens.router(),
            citizens,
            time: self.time.clone(),
            family: self.family.clone(),
            state: self.state.clone(),
            key: self.key.clone(),
            instances: self.instances.clone(),
            config: self.config.clone(),
            memory: self.memory.clone(),
            keys: self.keys.clone(),
        }
    }

    pub fn memory(&self) -> Arc<MemoryState> {
        self.memory.clone()
    }

    pub fn now(&self) -> i64 {
        self.time.load(Ordering::SeqCst)
    }

    pub fn wait(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let url = url.strip_prefix(BASE).unwrap_or(url);
        let mut request = Request::get(url).header("Host", "localhost:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Posts a form; over a connection with a certificate, if one is given.
    pub async fn post_as(
        &self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
        certificate: Option<&[u8]>,
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::post(path)
            .header("Host", "localhost:8443")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        if let Some(certificate) = certificate {
            request
                .extensions_mut()
                .insert(PeerCertificate(certificate.into()));
        }
        self.send(request).await
    }

    pub fn assertion(&self, client_id: &str, change: Value) -> String {
        self.assertion_by(&self.key, client_id, change)
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
        jws::sign_compact(
            "client-authentication+jwt",
            claims.to_string().as_bytes(),
            key,
        )
        .unwrap()
    }

    /// Posts with a fresh assertion of a client.
    pub async fn post(&self, path: &str, client_id: &str, form: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(client_id, json!({}));
        let mut form = form.to_vec();
        form.extend([AUTH, ("client_assertion", assertion.as_str())]);
        self.post_as(path, &form, &[], None).await
    }

    /// Pushes the standard request with parameters changed (empty value: left out).
    pub async fn push(&self, client_id: &str, change: &[(&str, &str)]) -> Answer {
        let challenge = pkce::challenge(VERIFIER);
        let mut form = standard(client_id, &challenge);
        form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
        form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        self.post(path::PAR, client_id, &form).await
    }

    /// A code by the headless test login.
    pub async fn code(&self, client_id: &str, change: &[(&str, &str)]) -> String {
        let mut change = change.to_vec();
        if change.iter().all(|(name, _)| *name != "test_pid") {
            change.push(("test_pid", CITIZEN));
        }
        let pushed = self.push(client_id, &change).await;
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
        let back = self.get(&authorize_url(client_id, &uri), &[]).await;
        assert_eq!(back.callback("iss").as_deref(), Some(ISSUER));
        back.callback("code")
            .unwrap_or_else(|| panic!("no code: {:?}", back.header("Location")))
    }

    pub async fn redeem(&self, client_id: &str, code: &str) -> Answer {
        self.post(path::TOKEN, client_id, &crate::redeem_form(code))
            .await
    }

    /// Tokens of a login.
    pub async fn log_in(&self, client_id: &str, change: &[(&str, &str)]) -> Value {
        let code = self.code(client_id, change).await;
        let answer = self.redeem(client_id, &code).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub async fn refresh(&self, client_id: &str, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post(path::TOKEN, client_id, &form).await
    }

    /// What introspection says to the API.
    pub async fn introspected(&self, token: &str) -> Value {
        let answer = self
            .post(path::INTROSPECT, "api", &[("token", token)])
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The public client pushes, logs in and redeems, each step by the certificate of an instance.
    pub async fn app_code(&self, instance: usize) -> String {
        let challenge = pkce::challenge(VERIFIER);
        let mut form = standard("app", &challenge);
        form.push(("test_pid", CITIZEN));
        let certificate = Some(self.instances[instance].as_slice());
        let pushed = self.post_as(path::PAR, &form, &[], certificate).await;
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
        let back = self.get(&authorize_url("app", &uri), &[]).await;
        back.callback("code").unwrap()
    }

    pub async fn app_post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        instance: Option<usize>,
    ) -> Answer {
        let mut form = form.to_vec();
        form.push(("client_id", "app"));
        let certificate = instance.map(|instance| self.instances[instance].as_slice());
        self.post_as(path, &form, &[], certificate).await
    }
}

fn clock(time: &Arc<AtomicI64>) -> Clock {
    let time = time.clone();
    Arc::new(move || time.load(Ordering::SeqCst))
}

fn issuer(
    config: &CitizenConfig,
    memory: &Arc<MemoryState>,
    keys: &Arc<SharedKeys>,
    family: &Arc<Family>,
    time: &Arc<AtomicI64>,
) -> Citizens {
    let parts = Parts {
        directory: Arc::new(people::People),
        state: memory.clone(),
        replay: memory.clone(),
        keys: keys.clone(),
        clock: clock(time),
    };
    Citizens::new(config.clone(), parts, family.clone()).unwrap()
}

/// What every login asks for.
pub fn standard<'a>(client_id: &'a str, challenge: &'a str) -> Vec<(&'a str, &'a str)> {
    let scope = match client_id {
        "liten" => "openid",
        _ => "openid offline_access",
    };
    vec![
        ("client_id", client_id),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
        ("state", STATE),
        ("nonce", NONCE),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ]
}

pub fn authorize_url(client_id: &str, request_uri: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client_id)
        .append_pair("request_uri", request_uri)
        .finish();
    format!("{}?{query}", path::AUTHORIZE)
}

/// The address of a request that was not pushed.
pub fn open_url(client_id: &str, change: &[(&str, &str)]) -> String {
    let challenge = pkce::challenge(VERIFIER);
    let mut form = standard(client_id, &challenge);
    form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    format!("{}?{query}", path::AUTHORIZE)
}
