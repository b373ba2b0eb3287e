//! Systems and clinicians at HelseID and the FHIR repositories: pushed request, PKCE, `private_key_jwt`, DPoP.

use crate::Facts;
use crate::http::{Call, Reply, Web, form};
use anyhow::{Context, Result};
use jose::client::{LoginRequest, Provider, RelyingParty};
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use reqwest::Method;
use serde_json::Value;

/// Kjernejournal's audience.
pub const KJERNEJOURNAL: &str = "nhn:kjernejournal";
/// The results' audience.
pub const PROVESVAR: &str = "nhn:pps";

const SCOPES: [&str; 10] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
    "nhn:phr/mhd/read-documentreferences",
    "nhn:phr/mhd/read-document",
];

async fn party(web: &Web, facts: &Facts, client_id: &str) -> Result<RelyingParty<Web>> {
    let client = facts.client(client_id);
    let issuer = facts.issuer().to_owned();
    let metadata = web
        .get(&format!("{issuer}/.well-known/openid-configuration"))
        .await?
        .expect(200)?;
    let key = client["private_jwk"]
        .as_object()
        .context("no private_jwk")?;
    Ok(RelyingParty {
        provider: Provider::from_metadata(&issuer, &metadata.body)?,
        client_id: client_id.to_owned(),
        redirect_uri: client["redirect_uris"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        key: PrivateJwk::from_members(key)?,
        dpop_key: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?,
        transport: web.clone(),
        clock: jose::system_clock(),
    })
}

/// Somebody with an access token.
pub struct Caller {
    web: Web,
    party: RelyingParty<Web>,
    /// The token.
    pub token: String,
}

/// Health personnel logged in to their own system.
pub struct Clinician {
    caller: Caller,
    refresh: String,
}

/// A machine's token by `client_credentials`.
///
/// # Errors
/// When HelseID refuses.
pub async fn machine_token(
    web: &Web,
    facts: &Facts,
    client_id: &str,
    scope: &str,
) -> Result<Caller> {
    let party = party(web, facts, client_id).await?;
    let tokens = party.client_credentials(&[scope], None).await?;
    Ok(Caller {
        web: web.clone(),
        token: tokens.access_token,
        party,
    })
}

impl Clinician {
    /// Logs in without a screen, by the test provider's `test_pid`.
    ///
    /// # Errors
    /// When HelseID refuses.
    pub async fn log_in(web: &Web, facts: &Facts, client_id: &str, pid: &str) -> Result<Self> {
        let party = party(web, facts, client_id).await?;
        let login = LoginRequest {
            scopes: &SCOPES,
            parameters: &[
                ("acr_values", "idp:testidp-oidc Level4"),
                ("test_pid", pid),
                ("test_security_level", "4"),
            ],
            ..LoginRequest::default()
        };
        let (url, attempt) = party.begin(&login).await?;
        let back = web.get(&url).await?;
        let to = back
            .header("location")
            .with_context(|| format!("not sent back: {} {}", back.status, back.text()))?;
        let query = to.split_once('?').map_or("", |(_, query)| query).to_owned();
        let tokens = party.finish(&attempt, &query, Some(KJERNEJOURNAL)).await?;
        Ok(Self {
            caller: Caller {
                web: web.clone(),
                token: tokens.access_token,
                party,
            },
            refresh: tokens.refresh_token.context("no refresh_token")?,
        })
    }

    /// Exchanges the token for one of another API.
    ///
    /// # Errors
    /// When HelseID refuses.
    pub async fn change_audience(&mut self, audience: &str) -> Result<()> {
        let tokens = self
            .caller
            .party
            .refresh(&self.refresh, Some(audience), None)
            .await?;
        self.refresh = tokens.refresh_token.context("no refresh_token")?;
        self.caller.token = tokens.access_token;
        Ok(())
    }

    /// `GET` with token, proof and basis.
    ///
    /// # Errors
    /// When there is no answer; so with the others.
    pub async fn get(&self, url: &str, basis: &str) -> Result<Reply> {
        self.caller.get(url, basis).await
    }

    /// Search by `POST`.
    ///
    /// # Errors
    /// As [`Clinician::get`].
    pub async fn search(&self, url: &str, basis: &str, fields: &[(&str, &str)]) -> Result<Reply> {
        let body = (
            "application/x-www-form-urlencoded",
            form(fields).into_bytes(),
        );
        self.caller
            .request(Method::POST, url, basis, Some(body))
            .await
    }

    /// The claims of the access token, unverified.
    pub fn claims(&self) -> Value {
        claims_of(&self.caller.token)
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.caller.token
    }
}

impl Caller {
    /// `GET` with token, proof and basis (`""`: none).
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, url: &str, basis: &str) -> Result<Reply> {
        self.request(Method::GET, url, basis, None).await
    }

    /// The claims of the access token, unverified.
    pub fn claims(&self) -> Value {
        claims_of(&self.token)
    }

    async fn request(
        &self,
        method: Method,
        url: &str,
        basis: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Reply> {
        let proof = self.party.proof(method.as_str(), url, &self.token)?;
        let mut headers = vec![
            ("authorization", format!("DPoP {}", self.token)),
            ("dpop", proof),
            ("accept", "application/fhir+json".to_owned()),
        ];
        if !basis.is_empty() {
            headers.push(("nhn-access-basis", basis.to_owned()));
            headers.push(("nhn-user-role", "LE".to_owned()));
        }
        self.web.send(method, url, Call { headers, body }).await
    }
}

fn claims_of(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
