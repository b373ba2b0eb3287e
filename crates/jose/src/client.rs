//! The other side: a confidential client, as our portals' backend is one. Pushed request → redirect → code → tokens,
//! with DPoP, against any issuer that works this way.
//!
//! It goes through the issuer's HTTP interface like any foreign client; a [`Transport`] carries the requests, over the
//! network or into a router of the same process. Nothing here knows the issuer's insides, or an HTTP library.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::assertion::{self, make_client_assertion};
use crate::dpop::make_proof;
use crate::encoding::{self, equal_secret, random_b64url};
use crate::jwk::{JwkSet, PrivateJwk, SignError};
use crate::jws::{Compact, JwsError, MAX_COMPACT_BYTES};
use crate::jwt::{Claims, JwtError, Validation};
use crate::state::Clock;
use crate::{pkce, strict_json};

/// Longest answer a [`Transport`] should read from an issuer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The issuer as the client knows it; all absolute addresses.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Issuer, and audience of assertions.
    pub issuer: String,
    /// Pushed authorization requests.
    pub par_endpoint: String,
    /// Where the browser is sent. May lie on another origin than the rest (a plain http listener for browsers).
    pub authorization_endpoint: String,
    /// Token endpoint.
    pub token_endpoint: String,
    /// Key set.
    pub jwks_uri: String,
    /// Logout.
    pub end_session_endpoint: String,
}

impl Provider {
    /// Reads an issuer's discovery document, fetched from `<issuer>/.well-known/openid-configuration`.
    ///
    /// # Errors
    /// [`ClientError::BadAnswer`] when it is for another issuer or lacks an endpoint.
    pub fn from_metadata(issuer: &str, document: &[u8]) -> Result<Self, ClientError> {
        let map = strict_json::object(document).map_err(|_| ClientError::BadAnswer("metadata"))?;
        let text = |name| {
            let value = map.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or(ClientError::BadAnswer(name))
        };
        if text("issuer")? != issuer {
            return Err(ClientError::BadAnswer("metadata of another issuer"));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            par_endpoint: text("pushed_authorization_request_endpoint")?,
            authorization_endpoint: text("authorization_endpoint")?,
            token_endpoint: text("token_endpoint")?,
            jwks_uri: text("jwks_uri")?,
            end_session_endpoint: text("end_session_endpoint")?,
        })
    }
}

/// An answer of the issuer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `DPoP-Nonce` header.
    pub dpop_nonce: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

/// The future of a [`Transport`].
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, ClientError>> + Send + 'a>>;

/// How requests reach the issuer.
pub trait Transport: Send + Sync {
    /// Sends a request: a form when there is one (POST), otherwise GET. `proof` goes into the `DPoP` header.
    fn send<'a>(&'a self, url: &'a str, form: Option<String>, proof: Option<String>)
    -> Sending<'a>;
}

/// Why something failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The issuer could not be reached.
    #[error("the issuer could not be reached: {0}")]
    Transport(String),
    /// The issuer refused.
    #[error("the issuer refused: {error}: {description}")]
    Refused {
        /// OAuth error code.
        error: String,
        /// Description.
        description: String,
    },
    /// The issuer's answer is not what its role allows.
    #[error("the issuer's answer is not understood: {0}")]
    BadAnswer(&'static str),
    /// The browser came back with somebody else's login.
    #[error("the callback does not belong to this login ({0})")]
    WrongCallback(&'static str),
    /// The ID token's signature.
    #[error("the ID token: {0}")]
    IdToken(#[from] JwsError),
    /// The ID token's claims.
    #[error("the ID token: {0}")]
    Claims(#[from] JwtError),
    /// The crypto library refused.
    #[error("{0}")]
    Crypto(#[from] SignError),
    /// No randomness.
    #[error("{0}")]
    NoRandomness(#[from] encoding::NoRandomness),
}

/// What to ask for at login.
#[derive(Debug, Clone, Default)]
pub struct LoginRequest<'a> {
    /// Scopes, `openid` included.
    pub scopes: &'a [&'a str],
    /// Audiences to get tokens for, one at a time.
    pub resources: &'a [&'a str],
    /// Further parameters, for example `acr_values`, `prompt`, `ui_locales`, `test_pid`.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Structured claims for the whole session, sent in a signed request object (spec helseid §8).
    pub authorization_details: Option<Value>,
}

/// A login under way; the backend keeps it with the browser's session until the callback.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginAttempt {
    /// Value that ties the callback to this browser.
    pub state: String,
    nonce: String,
    verifier: String,
}

/// Tokens of a login.
#[derive(Clone)]
pub struct Tokens {
    /// Access token.
    pub access_token: String,
    /// When it expires, seconds since 1970.
    pub expires_s: i64,
    /// Granted scopes.
    pub scope: String,
    /// Refresh token.
    pub refresh_token: Option<String>,
    /// The ID token as it came, for `id_token_hint`.
    pub id_token: Option<String>,
    /// Verified claims of the ID token.
    pub id_claims: Claims,
}

/// A confidential client.
pub struct RelyingParty<T> {
    /// The issuer.
    pub provider: Provider,
    /// Our client id.
    pub client_id: String,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// Key for assertions.
    pub key: PrivateJwk,
    /// Key that tokens are bound to.
    pub dpop_key: PrivateJwk,
    /// Way to the issuer.
    pub transport: T,
    /// Real time.
    pub clock: Clock,
}

impl<T: Transport> RelyingParty<T> {
    /// Pushes a login request and gives the address to send the browser to.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn begin(
        &self,
        login: &LoginRequest<'_>,
    ) -> Result<(String, LoginAttempt), ClientError> {
        let attempt = LoginAttempt {
            state: random_b64url::<32>()?,
            nonce: random_b64url::<32>()?,
            verifier: pkce::new_verifier()?,
        };
        let mut parameters = vec![
            ("response_type".to_owned(), "code".to_owned()),
            ("redirect_uri".to_owned(), self.redirect_uri.clone()),
            ("scope".to_owned(), login.scopes.join(" ")),
            ("state".to_owned(), attempt.state.clone()),
            ("nonce".to_owned(), attempt.nonce.clone()),
            (
                "code_challenge".to_owned(),
                pkce::challenge(&attempt.verifier),
            ),
            ("code_challenge_method".to_owned(), "S256".to_owned()),
            (
                "dpop_jkt".to_owned(),
                self.dpop_key.public().thumbprint().to_owned(),
            ),
        ];
        let further = login.resources.iter().map(|one| ("resource", *one));
        for (name, value) in further.chain(login.parameters.iter().copied()) {
            parameters.push((name.to_owned(), value.to_owned()));
        }
        if let Some(details) = &login.authorization_details {
            parameters.push(("request".to_owned(), self.request_object(details)?));
        }
        let answer = self
            .post(&self.provider.par_endpoint, &parameters, None, None)
            .await?;
        let body = expect(&answer, 201)?;
        let request_uri = body.get("request_uri").and_then(Value::as_str);
        let request_uri = request_uri.ok_or(ClientError::BadAnswer("no request_uri"))?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .append_pair("request_uri", request_uri)
            .finish();
        Ok((
            format!("{}?{query}", self.provider.authorization_endpoint),
            attempt,
        ))
    }

    fn request_object(&self, details: &Value) -> Result<String, ClientError> {
        let mut claims = Map::new();
        claims.insert("client_id".to_owned(), self.client_id.as_str().into());
        claims.insert("authorization_details".to_owned(), details.clone());
        let issuer = &self.provider.issuer;
        Ok(make_client_assertion(
            &self.key,
            &self.client_id,
            issuer,
            &claims,
            (self.clock)(),
        )?)
    }

    /// Takes the callback's query string and gives the tokens, the ID token verified.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal by the user is [`ClientError::Refused`] with `access_denied`.
    pub async fn finish(
        &self,
        attempt: &LoginAttempt,
        callback_query: &str,
        resource: Option<&str>,
    ) -> Result<Tokens, ClientError> {
        let parameters: Vec<(String, String)> = form_urlencoded::parse(callback_query.as_bytes())
            .into_owned()
            .collect();
        let get = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        if get("iss") != self.provider.issuer {
            return Err(ClientError::WrongCallback("iss"));
        }
        if !equal_secret(get("state").as_bytes(), attempt.state.as_bytes()) {
            return Err(ClientError::WrongCallback("state"));
        }
        if !get("error").is_empty() {
            return Err(ClientError::Refused {
                error: get("error").to_owned(),
                description: get("error_description").to_owned(),
            });
        }
        let mut form = vec![
            ("grant_type".to_owned(), "authorization_code".to_owned()),
            ("code".to_owned(), get("code").to_owned()),
            ("redirect_uri".to_owned(), self.redirect_uri.clone()),
            ("code_verifier".to_owned(), attempt.verifier.clone()),
        ];
        form.extend(resource.map(|one| ("resource".to_owned(), one.to_owned())));
        let tokens = self.tokens(&form, None).await?;
        if tokens.id_claims.text("nonce")? != Some(&attempt.nonce) {
            return Err(ClientError::BadAnswer("the ID token has another nonce"));
        }
        Ok(tokens)
    }

    /// Refreshes: a new access token, for one audience if named, with structured claims for this token if given.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn refresh(
        &self,
        refresh_token: &str,
        resource: Option<&str>,
        assertion_details: Option<Value>,
    ) -> Result<Tokens, ClientError> {
        let mut form = vec![
            ("grant_type".to_owned(), "refresh_token".to_owned()),
            ("refresh_token".to_owned(), refresh_token.to_owned()),
        ];
        form.extend(resource.map(|one| ("resource".to_owned(), one.to_owned())));
        self.tokens(&form, assertion_details).await
    }

    /// A machine token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn client_credentials(
        &self,
        scopes: &[&str],
        assertion_details: Option<Value>,
    ) -> Result<Tokens, ClientError> {
        let form = vec![
            ("grant_type".to_owned(), "client_credentials".to_owned()),
            ("scope".to_owned(), scopes.join(" ")),
        ];
        self.tokens(&form, assertion_details).await
    }

    /// A proof for a call to an API.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn proof(
        &self,
        method: &str,
        url: &str,
        access_token: &str,
    ) -> Result<String, ClientError> {
        let now_s = (self.clock)();
        Ok(make_proof(
            &self.dpop_key,
            method,
            url,
            Some(access_token),
            None,
            now_s,
        )?)
    }

    /// The address that logs the browser out at the issuer.
    #[must_use]
    pub fn end_session_url(&self, id_token: &str, post_logout_redirect_uri: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("id_token_hint", id_token)
            .append_pair("post_logout_redirect_uri", post_logout_redirect_uri)
            .finish();
        format!("{}?{query}", self.provider.end_session_endpoint)
    }

    async fn tokens(
        &self,
        form: &[(String, String)],
        assertion_details: Option<Value>,
    ) -> Result<Tokens, ClientError> {
        let endpoint = &self.provider.token_endpoint;
        let details = assertion_details.as_ref();
        let first = self.proof_for_issuer(endpoint, None)?;
        let mut answer = self.post(endpoint, form, Some(first), details).await?;
        // The first answer always asks for a nonce; code and refresh token are still good then.
        if let Some(nonce) = answer.dpop_nonce.clone()
            && answer.status == 400
        {
            let second = self.proof_for_issuer(endpoint, Some(&nonce))?;
            answer = self.post(endpoint, form, Some(second), details).await?;
        }
        let body = expect(&answer, 200)?;
        self.read_tokens(&body).await
    }

    fn proof_for_issuer(&self, endpoint: &str, nonce: Option<&str>) -> Result<String, ClientError> {
        Ok(make_proof(
            &self.dpop_key,
            "POST",
            endpoint,
            None,
            nonce,
            (self.clock)(),
        )?)
    }

    async fn read_tokens(&self, body: &Map<String, Value>) -> Result<Tokens, ClientError> {
        let text = |name| body.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("token_type").as_deref() != Some("DPoP") {
            return Err(ClientError::BadAnswer("token_type is not DPoP"));
        }
        let life_s = body.get("expires_in").and_then(Value::as_i64);
        let id_token = text("id_token");
        let id_claims = match &id_token {
            Some(id_token) => self.verify_id_token(id_token).await?,
            None => Claims::default(),
        };
        Ok(Tokens {
            access_token: text("access_token").ok_or(ClientError::BadAnswer("no access_token"))?,
            expires_s: (self.clock)() + life_s.ok_or(ClientError::BadAnswer("no expires_in"))?,
            scope: text("scope").unwrap_or_default(),
            refresh_token: text("refresh_token"),
            id_token,
            id_claims,
        })
    }

    async fn verify_id_token(&self, id_token: &str) -> Result<Claims, ClientError> {
        let compact = Compact::parse(id_token, MAX_COMPACT_BYTES)?;
        let answer = self
            .transport
            .send(&self.provider.jwks_uri, None, None)
            .await?;
        let keys =
            JwkSet::from_slice(&answer.body).map_err(|_| ClientError::BadAnswer("the key set"))?;
        let key = compact.kid.as_deref().and_then(|kid| keys.find(kid));
        compact.verify(key.ok_or(ClientError::BadAnswer(
            "the ID token's key is not published",
        ))?)?;
        let claims = Claims::parse(&compact.payload)?;
        let validation = Validation {
            now_s: (self.clock)(),
            leeway_s: 10,
            issuer: &self.provider.issuer,
            audience: Some(&self.client_id),
            only_audience: true,
        };
        validation.check(&claims)?;
        claims.required_text("sub")?;
        Ok(claims)
    }

    async fn post(
        &self,
        url: &str,
        parameters: &[(String, String)],
        proof: Option<String>,
        assertion_details: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let mut details = Map::new();
        if let Some(value) = assertion_details {
            details.insert("assertion_details".to_owned(), value.clone());
        }
        let issuer = &self.provider.issuer;
        let assertion =
            make_client_assertion(&self.key, &self.client_id, issuer, &details, (self.clock)())?;
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .append_pair("client_id", &self.client_id)
            .append_pair("client_assertion_type", assertion::JWT_BEARER)
            .append_pair("client_assertion", &assertion)
            .finish();
        self.transport.send(url, Some(form), proof).await
    }
}

fn expect(answer: &Answer, status: u16) -> Result<Map<String, Value>, ClientError> {
    let body =
        strict_json::object(&answer.body).map_err(|_| ClientError::BadAnswer("no JSON object"))?;
    if answer.status == status {
        return Ok(body);
    }
    let text = |name| {
        body.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let error = match text("error") {
        empty if empty.is_empty() => format!("HTTP {}", answer.status),
        error => error,
    };
    Err(ClientError::Refused {
        error,
        description: text("error_description"),
    })
}
