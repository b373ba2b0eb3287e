//! The steps of a login at a provider outside: metadata and keys kept, request pushed, code redeemed, token verified.
//! State, cookies and pages are the edge's business.

use std::sync::{Arc, Mutex, PoisonError};

use jose::JwkSet;
use jose::assertion::{JWT_BEARER, make_client_assertion};
use jose::client::{ClientError, Transport};
use jose::encoding::random_b64url;
use jose::{pkce, strict_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::id_token::{self, Expected};
use super::logout_token::{self, LogoutNotice};
use super::metadata::Metadata;
use super::{IdpAuth, IdpConfig};
use crate::rules::levels::Level;

/// How long metadata are kept.
const METADATA_S: i64 = 3_600;
/// How long keys are kept; an unknown key id fetches them anew, but not more often than [`KEYS_MIN_S`].
const KEYS_S: i64 = 3_600;
const KEYS_MIN_S: i64 = 30;
/// How long a provider that did not answer is left alone.
const DOWN_S: i64 = 10;

/// Why a login at a provider outside failed. The texts are for the operator's log; they hold nothing personal.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It does not answer, or not in its role.
    #[error("the provider does not answer as it should: {0}")]
    Unavailable(String),
    /// It refused.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// The callback is not this login's.
    #[error("the callback does not belong to this login ({0})")]
    WrongCallback(&'static str),
    /// Its ID token cannot be believed.
    #[error("its ID token is refused: {0}")]
    IdToken(String),
    /// Its ID token is signed by a key it does not publish.
    #[error("its ID token is signed by a key that it does not publish")]
    UnknownKey,
    /// We have no randomness or cannot sign.
    #[error("cryptography failed")]
    Crypto,
}

impl From<ClientError> for UpstreamError {
    fn from(error: ClientError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct Begin<'a> {
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// Level demanded.
    pub level: Option<Level>,
    /// `amr:…` of the request.
    pub method: Option<&'a str>,
    /// The user must log in again.
    pub fresh: bool,
    /// Contracting party.
    pub on_behalf_of: Option<&'a str>,
    /// Languages of the page.
    pub ui_locales: Option<&'a str>,
}

/// A login under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// Ties the callback to the attempt.
    pub state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    /// When it began, if a fresh login was demanded.
    fresh_since_s: Option<i64>,
}

/// Who logged in.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// National identity number.
    pub pid: String,
    /// Level.
    pub level: Level,
    /// When, seconds since 1970.
    pub auth_time_s: i64,
    /// The provider's ID token, for logging out there.
    pub id_token: String,
    /// The provider's session, if it names it: what it says when the user logs out there.
    pub sid: Option<String>,
    /// The provider's name for the person.
    pub subject: Option<String>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, i64)>,
    keys: Option<(Arc<JwkSet>, i64)>,
    down_until_s: i64,
}

/// One provider with what is known about it.
pub struct Upstream {
    /// Its configuration.
    pub config: IdpConfig,
    known: Mutex<Known>,
}

impl Upstream {
    /// A provider nothing is known about yet.
    pub fn new(config: IdpConfig) -> Self {
        Self {
            config,
            known: Mutex::default(),
        }
    }

    fn known<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its metadata, fetched at most hourly; a provider that is down is asked again after ten seconds.
    pub async fn metadata(
        &self,
        transport: &dyn Transport,
        now_s: i64,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let (kept, down) = self.known(|known| (known.metadata.clone(), now_s < known.down_until_s));
        match kept {
            Some((metadata, at_s)) if now_s - at_s < METADATA_S => return Ok(metadata),
            _ if down => {
                return Err(UpstreamError::Unavailable(
                    "it was down just now".to_owned(),
                ));
            }
            _ => {}
        }
        let fetched = self.fetch_metadata(transport).await;
        self.known(|known| match &fetched {
            Ok(metadata) => known.metadata = Some((metadata.clone(), now_s)),
            Err(_) => known.down_until_s = now_s + DOWN_S,
        });
        fetched
    }

    async fn fetch_metadata(
        &self,
        transport: &dyn Transport,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let issuer = &self.config.issuer;
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let answer = transport.send(&url, None, None).await?;
        if answer.status != 200 {
            return Err(UpstreamError::Unavailable(format!(
                "metadata: HTTP {}",
                answer.status
            )));
        }
        Metadata::parse(issuer, &answer.body)
            .map(Arc::new)
            .map_err(|what| UpstreamError::Unavailable(what.to_owned()))
    }

    /// Its keys; `renew` when a key id was not among the kept ones.
    async fn keys(
        &self,
        transport: &dyn Transport,
        metadata: &Metadata,
        renew: bool,
        now_s: i64,
    ) -> Result<Arc<JwkSet>, UpstreamError> {
        if let Some((keys, at_s)) = self.known(|known| known.keys.clone()) {
            let age_s = now_s - at_s;
            if age_s < KEYS_MIN_S || !renew && age_s < KEYS_S {
                return Ok(keys);
            }
        }
        let answer = transport.send(&metadata.jwks_uri, None, None).await?;
        if answer.status != 200 {
            return Err(UpstreamError::Unavailable(format!(
                "keys: HTTP {}",
                answer.status
            )));
        }
        let keys = JwkSet::from_slice(&answer.body)
            .map(Arc::new)
            .map_err(|_| UpstreamError::Unavailable("its key set is no key set".to_owned()))?;
        self.known(|known| known.keys = Some((keys.clone(), now_s)));
        Ok(keys)
    }

    /// Pushes a request and gives the address for the browser.
    pub async fn begin(
        &self,
        transport: &dyn Transport,
        begin: &Begin<'_>,
        now_s: i64,
    ) -> Result<(String, Attempt), UpstreamError> {
        let metadata = self.metadata(transport, now_s).await?;
        let random = || random_b64url::<32>().map_err(|_| UpstreamError::Crypto);
        let attempt = Attempt {
            state: random()?,
            nonce: random()?,
            verifier: pkce::new_verifier().map_err(|_| UpstreamError::Crypto)?,
            redirect_uri: begin.redirect_uri.to_owned(),
            fresh_since_s: begin.fresh.then_some(now_s),
        };
        let parameters = self.parameters(begin, &attempt);
        let query = match &metadata.par_endpoint {
            Some(endpoint) => {
                let request_uri = self.push(transport, endpoint, parameters, now_s).await?;
                encoded(&[
                    ("client_id".to_owned(), self.config.client_id.clone()),
                    ("request_uri".to_owned(), request_uri),
                ])
            }
            None if self.config.require_par => {
                return Err(UpstreamError::Unavailable(
                    "it takes no pushed requests, which its configuration demands".to_owned(),
                ));
            }
            None => encoded(&parameters),
        };
        let endpoint = &metadata.authorization_endpoint;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Ok((format!("{endpoint}{separator}{query}"), attempt))
    }

    fn parameters(&self, begin: &Begin<'_>, attempt: &Attempt) -> Vec<(String, String)> {
        let config = &self.config;
        let mut parameters: Vec<(String, String)> = [
            ("client_id", config.client_id.as_str()),
            ("response_type", "code"),
            ("redirect_uri", begin.redirect_uri),
            ("scope", &config.scopes.join(" ")),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &pkce::challenge(&attempt.verifier)),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let mut add =
            |name: &str, value: &str| parameters.push((name.to_owned(), value.to_owned()));
        if let Some(value) = begin.level.and_then(|level| config.acr_values.get(&level)) {
            add("acr_values", value);
        }
        if let Some((name, value)) = begin.method.and_then(|method| config.methods.get(method)) {
            add(name, value);
        }
        if begin.fresh {
            add("prompt", "login");
        }
        if let (Some(name), Some(party)) = (&config.on_behalf_of_parameter, begin.on_behalf_of) {
            add(name, party);
        }
        if let Some(locales) = begin.ui_locales {
            add("ui_locales", locales);
        }
        parameters
    }

    async fn push(
        &self,
        transport: &dyn Transport,
        endpoint: &str,
        parameters: Vec<(String, String)>,
        now_s: i64,
    ) -> Result<String, UpstreamError> {
        let body = self
            .post(transport, endpoint, parameters, 201, now_s)
            .await?;
        body.get("request_uri")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| {
                UpstreamError::Unavailable("a pushed request got no request_uri".to_owned())
            })
    }

    /// Takes the callback's parameters, redeems the code and verifies the ID token.
    pub async fn finish(
        &self,
        transport: &dyn Transport,
        attempt: &Attempt,
        get: impl Fn(&str) -> Option<String>,
        now_s: i64,
    ) -> Result<LoggedIn, UpstreamError> {
        let metadata = self.metadata(transport, now_s).await?;
        // Mix-up: an answer of another provider that got hold of this attempt's state (RFC 9207).
        match get("iss") {
            Some(iss) if iss != self.config.issuer => {
                return Err(UpstreamError::WrongCallback("iss"));
            }
            None if metadata.names_issuer => return Err(UpstreamError::WrongCallback("no iss")),
            _ => {}
        }
        if let Some(error) = get("error") {
            return Err(UpstreamError::Refused(short_code(&error)));
        }
        let code = get("code").ok_or(UpstreamError::WrongCallback("no code"))?;
        let form = vec![
            ("grant_type".to_owned(), "authorization_code".to_owned()),
            ("code".to_owned(), code),
            ("redirect_uri".to_owned(), attempt.redirect_uri.clone()),
            ("code_verifier".to_owned(), attempt.verifier.clone()),
            ("client_id".to_owned(), self.config.client_id.clone()),
        ];
        let body = self
            .post(transport, &metadata.token_endpoint, form, 200, now_s)
            .await?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let token = text("id_token").ok_or_else(|| {
            UpstreamError::Unavailable("its token answer has no id_token".to_owned())
        })?;
        let expected = Expected {
            nonce: &attempt.nonce,
            access_token: text("access_token"),
            authenticated_after_s: attempt.fresh_since_s,
            now_s,
        };
        let keys = self.keys(transport, &metadata, false, now_s).await?;
        let missing = id_token::claimed_kid(token).is_some_and(|kid| keys.find(&kid).is_none());
        let keys = if missing {
            self.keys(transport, &metadata, true, now_s).await?
        } else {
            keys
        };
        id_token::verify(token, &self.config, &keys, &expected)
    }

    /// Reads what the provider says about a logout.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub async fn read_logout(
        &self,
        transport: &dyn Transport,
        token: &str,
        now_s: i64,
    ) -> Result<LogoutNotice, UpstreamError> {
        let metadata = self.metadata(transport, now_s).await?;
        let keys = self.keys(transport, &metadata, false, now_s).await?;
        match logout_token::verify(token, &self.config, &keys, now_s) {
            Err(UpstreamError::UnknownKey) => {
                let keys = self.keys(transport, &metadata, true, now_s).await?;
                logout_token::verify(token, &self.config, &keys, now_s)
            }
            other => other,
        }
    }

    /// The address that logs the browser out there, if the provider has one and is known.
    pub fn end_session_url(&self, id_token: &str, back: &str, state: &str) -> Option<String> {
        let metadata = self.known(|known| known.metadata.clone())?.0;
        let endpoint = metadata.end_session_endpoint.as_ref()?;
        let query = encoded(&[
            ("id_token_hint".to_owned(), id_token.to_owned()),
            ("post_logout_redirect_uri".to_owned(), back.to_owned()),
            ("client_id".to_owned(), self.config.client_id.clone()),
            ("state".to_owned(), state.to_owned()),
        ]);
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{separator}{query}"))
    }

    async fn post(
        &self,
        transport: &dyn Transport,
        endpoint: &str,
        mut form: Vec<(String, String)>,
        status: u16,
        now_s: i64,
    ) -> Result<Map<String, Value>, UpstreamError> {
        match &self.config.auth {
            IdpAuth::PrivateKeyJwt(key) => {
                let (issuer, client_id) = (&self.config.issuer, &self.config.client_id);
                let assertion = make_client_assertion(key, client_id, issuer, &Map::new(), now_s)
                    .map_err(|_| UpstreamError::Crypto)?;
                form.push(("client_assertion_type".to_owned(), JWT_BEARER.to_owned()));
                form.push(("client_assertion".to_owned(), assertion));
            }
            IdpAuth::Secret(secret) => form.push(("client_secret".to_owned(), secret.clone())),
        }
        let answer = transport.send(endpoint, Some(encoded(&form)), None).await?;
        let body = strict_json::object(&answer.body).map_err(|_| {
            UpstreamError::Unavailable(format!("HTTP {} without a JSON object", answer.status))
        })?;
        if answer.status == status {
            return Ok(body);
        }
        let code = body
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Err(UpstreamError::Refused(format!(
            "HTTP {}: {}",
            answer.status,
            short_code(code)
        )))
    }
}

/// An error code as it may stand in a log: only letters, short.
fn short_code(code: &str) -> String {
    code.chars()
        .filter(|letter| letter.is_ascii_lowercase() || *letter == '_')
        .take(40)
        .collect()
}

fn encoded(parameters: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish()
}
