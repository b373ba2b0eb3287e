//! A doctor at a system of their own: an ordinary HelseID client (pushed request, PKCE, DPoP; RFC 9126, RFC 7636,
//! RFC 9449) that reads the FHIR repositories with what it was given.

use crate::facts::{Facts, FactsError, Personnel};
use crate::http::{Browser, Call, Http, HttpError, Reply};
use jose::client::{ClientError, LoginRequest, Provider, RelyingParty, Tokens};
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use reqwest::Method;
use serde_json::{Value, json};

/// Why a login or a call failed.
#[derive(Debug, thiserror::Error)]
pub enum EpjError {
    /// Facts that are not there.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// HelseID said no, or something that makes no sense.
    #[error("HelseID: {0}")]
    Login(#[from] ClientError),
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A key that is not usable.
    #[error("client key: {0}")]
    Key(String),
}

/// APIs of the hub, as audiences.
pub mod audience {
    /// Kjernejournal.
    pub const KJERNEJOURNAL: &str = "nhn:kjernejournal";
    /// Results.
    pub const PROVESVAR: &str = "nhn:pps";
    /// Documents.
    pub const DOKUMENTER: &str = "nhn:phr";
}

const SCOPES: [&str; 9] = [
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
    "nhn:kjernejournal/api",
    "nhn:pps/provesvar-read",
    "nhn:phr/mhd/read-documentreferences",
];

/// A doctor logged in to an own system.
pub struct Doctor {
    party: RelyingParty<Http>,
    http: Http,
    refresh_token: String,
    role: Option<String>,
}

impl Doctor {
    /// Logs in without a screen, by the test provider's `test_pid`.
    ///
    /// # Errors
    /// [`EpjError`].
    pub async fn log_in(http: &Http, facts: &Facts, who: &Personnel) -> Result<Self, EpjError> {
        let orgnr = who.orgnr.as_deref().unwrap_or_default();
        let client = facts.user_client(orgnr)?;
        let missing = || FactsError::Missing(format!("redirect_uris of {}", client.client_id));
        let key = |e: &dyn std::fmt::Display| EpjError::Key(e.to_string());
        let issuer = facts.helseid.issuer.clone();
        let url = format!("{issuer}/.well-known/openid-configuration");
        let metadata = http.send(Method::GET, &url, Call::default()).await?;
        let party = RelyingParty {
            provider: Provider::from_metadata(&issuer, &metadata.body)?,
            client_id: client.client_id.clone(),
            redirect_uri: client.redirect_uris.first().ok_or_else(missing)?.clone(),
            key: PrivateJwk::from_members(&client.private_jwk).map_err(|e| key(&e))?,
            dpop_key: PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).map_err(|e| key(&e))?,
            transport: http.clone(),
            clock: jose::system_clock(),
        };
        let tokens = first_tokens(&party, http, &who.pid, client.orgnr_child.as_deref()).await?;
        let refresh_token = tokens
            .refresh_token
            .ok_or(ClientError::BadAnswer("no refresh_token"))?;
        Ok(Self {
            party,
            http: http.clone(),
            refresh_token,
            role: who.role.clone(),
        })
    }

    /// A token for one API.
    ///
    /// # Errors
    /// [`EpjError::Login`].
    pub async fn token(&mut self, audience: &str) -> Result<String, EpjError> {
        let tokens = self
            .party
            .refresh(&self.refresh_token, Some(audience), None)
            .await?;
        if let Some(next) = tokens.refresh_token {
            self.refresh_token = next;
        }
        Ok(tokens.access_token)
    }

    /// A FHIR read or search with token, proof, ground and role. Any status is an answer.
    ///
    /// # Errors
    /// [`EpjError`].
    pub async fn fhir(&self, token: &str, url: &str, basis: &str) -> Result<Fhir, EpjError> {
        self.request(Method::GET, token, url, basis, None).await
    }

    /// A search with its parameters in the body.
    ///
    /// # Errors
    /// [`EpjError`].
    pub async fn search(
        &self,
        token: &str,
        url: &str,
        basis: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Fhir, EpjError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        self.request(Method::POST, token, url, basis, Some(form))
            .await
    }

    async fn request(
        &self,
        method: Method,
        token: &str,
        url: &str,
        basis: &str,
        form: Option<String>,
    ) -> Result<Fhir, EpjError> {
        let proof = self.party.proof(method.as_str(), url, token)?;
        let mut headers = vec![
            ("authorization", format!("DPoP {token}")),
            ("dpop", proof),
            ("accept", "application/fhir+json".to_owned()),
            ("nhn-access-basis", basis.to_owned()),
        ];
        headers.extend(self.role.clone().map(|role| ("nhn-user-role", role)));
        let body = form.map(|form| ("application/x-www-form-urlencoded", form));
        let reply = self.http.send(method, url, Call { headers, body }).await?;
        Ok(Fhir::read(&reply))
    }
}

async fn first_tokens(
    party: &RelyingParty<Http>,
    http: &Http,
    pid: &str,
    child: Option<&str>,
) -> Result<Tokens, EpjError> {
    let organisation = child.map(|child| {
        json!({
            "type": "helseid_authorization",
            "practitioner_role": { "organization": { "identifier": {
                "system": "urn:oid:2.16.578.1.12.4.1.4.101",
                "type": "ENH",
                "value": child,
            } } },
        })
    });
    let login = LoginRequest {
        scopes: &SCOPES,
        parameters: &[
            ("acr_values", "idp:testidp-oidc Level4"),
            ("test_pid", pid),
            ("test_security_level", "4"),
        ],
        authorization_details: organisation,
        ..LoginRequest::default()
    };
    let (url, attempt) = party.begin(&login).await?;
    let browser = Browser::new(http.clone());
    let reply = browser.once(Method::GET, &url, Call::default()).await?;
    let back = reply
        .location
        .filter(|to| to.starts_with(&party.redirect_uri))
        .ok_or(ClientError::BadAnswer("the browser was not sent back"))?;
    let query = back.split_once('?').map_or("", |(_, query)| query);
    let first = Some(audience::KJERNEJOURNAL);
    Ok(party.finish(&attempt, query, first).await?)
}

/// A FHIR answer, as far as the story looks at it.
#[derive(Debug, Clone)]
pub struct Fhir {
    /// HTTP status.
    pub status: u16,
    /// `resourceType`; absent when the answer is no FHIR at all.
    pub kind: Option<String>,
    /// `Bundle.total`.
    pub total: Option<u64>,
    /// Matches in the bundle.
    pub entries: usize,
    /// What the server said is wrong, when it did.
    pub why: Option<String>,
}

impl Fhir {
    fn read(reply: &Reply) -> Self {
        let body = reply.json();
        let kind = body.get("resourceType").and_then(Value::as_str);
        let entries = body.get("entry").and_then(Value::as_array);
        let why = ["/issue/0/diagnostics", "/issue/0/details/text"]
            .iter()
            .find_map(|at| body.pointer(at)?.as_str());
        Self {
            why: why.map(|w| w.chars().take(200).collect()),
            status: reply.status.as_u16(),
            kind: kind.map(str::to_owned),
            total: body.get("total").and_then(Value::as_u64),
            entries: entries.map_or(0, Vec::len),
        }
    }

    /// Nothing is mounted at the address: no FHIR in the answer.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.status == 404 && self.kind.is_none()
    }

    /// A search that found nothing, or a read of what is not there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.kind.as_deref() {
            Some("Bundle") => {
                self.status == 200 && self.total.unwrap_or(0) == 0 && self.entries == 0
            }
            Some("OperationOutcome") => self.status == 404,
            _ => false,
        }
    }

    /// In a few words, without content.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.status, self.total, &self.why) {
            (200, Some(total), _) => format!("200, {total} treff"),
            (404, ..) => "404".to_owned(),
            (status, _, Some(why)) => format!("{status} ({why})"),
            (status, ..) => status.to_string(),
        }
    }
}
