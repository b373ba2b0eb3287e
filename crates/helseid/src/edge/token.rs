//! The token endpoint (spec §4.1, §7).
//!
//! Order of processing, because real clients repeat a request byte for byte after the nonce refusal: form, assertion,
//! proof, nonce; only then are assertion and proof used up, and only a successful grant uses up its code or refresh
//! token.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use jose::dpop::Proof;
use jose::encoding::{hex_upper, random, random_b64url};
use jose::pkce;
use serde_json::{Map, Value};

use super::form::Form;
use super::proof::{self, Authenticated, NonceRule};
use super::{error_answer, json_answer, path};
use crate::Helseid;
use crate::citizen;
use crate::config::Client;
use crate::error::{Code, OAuthError};
use crate::grants::{
    self, Family, Granted, REFRESH_GRACE_S, Replaced, USED_CODE_S, UsedCode, secret_hash,
};
use crate::issue::{Issue, Issued, new_id};
use crate::rules::exchange;
use crate::rules::scopes::{self, Chosen};
use crate::rules::structures::{self, Structures};

const MAX_RECENT: usize = 8;
const FAMILY_ID_BYTES: usize = 32;

/// `POST /connect/token`.
pub async fn token(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    match answer(&helseid, request).await {
        Ok(body) => json_answer(StatusCode::OK, &Value::Object(body)),
        Err(error) => error_answer(&helseid, "token", &error),
    }
}

/// What every grant needs of a checked request.
pub(crate) struct TokenRequest<'a> {
    pub(crate) helseid: &'a Helseid,
    pub(crate) form: &'a Form,
    pub(crate) client: &'a Client,
    pub(crate) jkt: Option<&'a str>,
    /// Thumbprint of the instance's certificate (citizens' public clients).
    pub(crate) certificate: Option<&'a str>,
    /// Structures of the client assertion: for this answer only (spec §8).
    pub(crate) structures: Structures,
}

async fn answer(
    helseid: &Helseid,
    request: Request<Body>,
) -> Result<Map<String, Value>, OAuthError> {
    let (headers, form) = Form::read(request).await?;
    let grant_type = form.required("grant_type")?;
    let Authenticated { client, asserted } = proof::authenticate(helseid, &form, path::TOKEN)?;
    let proof = proof::check_proof(helseid, &headers, path::TOKEN, NonceRule::Demanded)?;
    let structures = Structures::read(&asserted.claims.0)?;
    let grants = helseid.inner.grants();
    proof::consume(grants, &[&asserted], proof.as_ref()).await?;
    let request = TokenRequest {
        helseid,
        form: &form,
        client: &client,
        jkt: proof.as_ref().map(|proof: &Proof| proof.jkt.as_str()),
        certificate: None,
        structures,
    };
    let body = match grant_type {
        "client_credentials" => request.client_credentials(),
        "authorization_code" => request.authorization_code().await,
        "refresh_token" => request.refresh_token().await,
        exchange::GRANT => request.token_exchange().await,
        _ => Err(OAuthError::new(
            Code::UnsupportedGrantType,
            "grant_type must be authorization_code, refresh_token, client_credentials or token-exchange (urn:ietf:params:oauth:grant-type:token-exchange)",
        )),
    }?;
    let label = match grant_type {
        "client_credentials" => "client_credentials",
        "refresh_token" => "refresh_token",
        exchange::GRANT => "token_exchange",
        _ => "authorization_code",
    };
    metrics::counter!("helseid_tokens_total", "grant" => label).increment(1);
    Ok(body)
}

impl TokenRequest<'_> {
    fn client_credentials(&self) -> Result<Map<String, Value>, OAuthError> {
        if !self.client.machine {
            return Err(OAuthError::new(
                Code::UnauthorizedClient,
                "the client is not registered for client_credentials",
            ));
        }
        let apis = &self.helseid.inner.config.apis;
        let scopes = scopes::for_machine(self.form.get("scope"), self.client, apis)?;
        let mut chosen = scopes::choose(&scopes, &[], &self.form.all("resource"), apis)?;
        let structures = &self.structures;
        let inner = &self.helseid.inner;
        let rejected = inner.apply_terms(self.client, structures, &mut chosen, true)?;
        let issued = self.issue(&chosen, structures, None, &new_id()?)?;
        Ok(self.body(&issued, &chosen, &rejected))
    }

    pub(crate) async fn authorization_code(&self) -> Result<Map<String, Value>, OAuthError> {
        let inner = &self.helseid.inner;
        let grants = inner.grants();
        let key = format!("code/{}", secret_hash(self.form.required("code")?));
        let redirect_uri = self.form.required("redirect_uri")?;
        let verifier = self.form.required("code_verifier")?;
        let unknown = || OAuthError::grant("the code is unknown, expired or already used");
        let code: grants::Code = grants.get(&key).await?.ok_or_else(unknown)?;
        if code.granted.client_id != self.client.client_id {
            return Err(OAuthError::grant("the code belongs to another client"));
        }
        if let Some(used) = &code.used {
            self.revoke_used(used).await?;
            return Err(OAuthError::grant(
                "the code was already used; the tokens of its first use are revoked",
            ));
        }
        let now_s = inner.now_s();
        if now_s > code.expires_s {
            return Err(unknown());
        }
        if redirect_uri != code.redirect_uri {
            return Err(OAuthError::grant(
                "redirect_uri differs from the pushed one",
            ));
        }
        if !pkce::matches(verifier, &code.code_challenge) {
            return Err(OAuthError::grant(
                "code_verifier does not belong to the code_challenge",
            ));
        }
        if code.granted.certificate.as_deref() != self.certificate {
            return Err(OAuthError::grant(
                "the code is bound to the certificate of another instance",
            ));
        }
        if code.dpop_jkt.is_some() && code.dpop_jkt.as_deref() != self.jkt {
            return Err(OAuthError::grant("the code is bound to another DPoP key"));
        }
        let id = new_id()?;
        let (mut body, chosen_offline) = self
            .user_tokens(&code.granted, code.state.as_deref(), &id)
            .await?;
        let refresh = if chosen_offline && self.client.refresh {
            Some(self.new_family(&code.granted).await?)
        } else {
            None
        };
        let family = refresh
            .as_ref()
            .map_or(String::new(), |(family, _)| family.clone());
        let mut used = code.clone();
        used.used = Some(UsedCode {
            family: family.clone(),
            access_token_id: id,
        });
        // The one step that counts: of several redemptions at the same moment one passes here.
        let expires_s = code.expires_s + USED_CODE_S;
        if !grants.replace(&key, &code, &used, expires_s).await? {
            grants.0.take(&format!("refresh/{family}")).await?;
            if let Some(first) = grants
                .get::<grants::Code>(&key)
                .await?
                .and_then(|code| code.used)
            {
                self.revoke_used(&first).await?;
            }
            return Err(unknown());
        }
        self.keep_login(&code.granted).await?;
        if let Some((_, token)) = refresh {
            body.insert("refresh_token".to_owned(), token.into());
            let life_s = inner.family_life_s(self.client);
            body.insert("rt_expires_in".to_owned(), life_s.into());
        }
        Ok(body)
    }

    /// Access token and ID token for a login, and whether refresh tokens were asked for.
    async fn user_tokens(
        &self,
        granted: &Granted,
        state: Option<&str>,
        id: &str,
    ) -> Result<(Map<String, Value>, bool), OAuthError> {
        if self.helseid.inner.citizens.is_some() {
            return citizen::tokens::for_login(self, granted, state, id).await;
        }
        let apis = &self.helseid.inner.config.apis;
        let resources = self.form.all("resource");
        let mut chosen = scopes::choose(&granted.scopes, &granted.resources, &resources, apis)?;
        let structures = granted.structures.joined(&self.structures)?;
        let inner = &self.helseid.inner;
        let is_asked = !resources.is_empty();
        let rejected = inner.apply_terms(self.client, &structures, &mut chosen, is_asked)?;
        let issued = self.issue(&chosen, &structures, Some(granted), id)?;
        let id_token = self.helseid.inner.issue_id_token(
            &self.client.client_id,
            granted,
            &issued.token,
            state,
        )?;
        let mut body = self.body(&issued, &chosen, &rejected);
        body.insert("id_token".to_owned(), id_token.into());
        let offline = granted.scopes.iter().any(|scope| scope == "offline_access");
        Ok((body, offline))
    }

    fn issue(
        &self,
        chosen: &Chosen<'_>,
        structures: &Structures,
        granted: Option<&Granted>,
        id: &str,
    ) -> Result<Issued, OAuthError> {
        self.check_binding(chosen)?;
        // An attest of the pushed request keeps the time at which it came; one of this request is new.
        let sent_now = self.structures.get(structures::ATTEST).is_some();
        let attest_received_s = match granted {
            Some(granted) if !sent_now => granted.received_s,
            _ => self.helseid.inner.now_s(),
        };
        self.helseid.inner.issue(&Issue {
            client: self.client,
            chosen,
            structures,
            attest_received_s,
            jkt: self.jkt,
            login: granted.map(|granted| &granted.login),
            jti: id,
        })
    }

    /// A token bound to no key only where client and API both allow it.
    pub(super) fn check_binding(&self, chosen: &Chosen<'_>) -> Result<(), OAuthError> {
        let bearer = self.client.bearer_allowed && chosen.apis.iter().all(|api| api.bearer_allowed);
        if self.jkt.is_none() && !bearer {
            return Err(OAuthError::request(
                "DPoP proof required: send a DPoP header",
            ));
        }
        Ok(())
    }

    fn body(
        &self,
        issued: &Issued,
        chosen: &Chosen<'_>,
        rejected: &[String],
    ) -> Map<String, Value> {
        let token_type = if self.jkt.is_some() { "DPoP" } else { "Bearer" };
        let mut body = Map::new();
        body.insert("access_token".to_owned(), issued.token.as_str().into());
        body.insert("token_type".to_owned(), token_type.into());
        body.insert("expires_in".to_owned(), issued.life_s.into());
        body.insert("scope".to_owned(), chosen.scopes.join(" ").into());
        if !rejected.is_empty() {
            body.insert("rejected_scope".to_owned(), rejected.join(" ").into());
        }
        body
    }

    /// UserInfo finds the login by the session id of the token.
    async fn keep_login(&self, granted: &Granted) -> Result<(), OAuthError> {
        let inner = &self.helseid.inner;
        let key = format!("login-of/{}", granted.login.sid);
        let expires_s = inner.now_s() + inner.config.session_s;
        Ok(inner.grants().put(&key, &granted.login, expires_s).await?)
    }

    async fn revoke_used(&self, used: &UsedCode) -> Result<(), OAuthError> {
        let inner = &self.helseid.inner;
        inner
            .grants()
            .0
            .take(&format!("refresh/{}", used.family))
            .await?;
        inner.revoke_access_token(&used.access_token_id).await
    }

    /// A new family of refresh tokens: its id and its first token.
    async fn new_family(&self, granted: &Granted) -> Result<(String, String), OAuthError> {
        let inner = &self.helseid.inner;
        let id = hex_upper(&random::<{ FAMILY_ID_BYTES / 2 }>()?);
        let secret = random_b64url::<32>()?;
        let now_s = inner.now_s();
        let expires_s = now_s + inner.family_life_s(self.client);
        let family = Family {
            granted: granted.clone(),
            current: secret_hash(&secret),
            recent: Vec::new(),
            expires_s,
            latest_s: now_s + inner.config.session_s,
        };
        inner
            .grants()
            .put(&format!("refresh/{id}"), &family, expires_s)
            .await?;
        let token = format!("{id}{secret}");
        Ok((id, token))
    }

    pub(crate) async fn refresh_token(&self) -> Result<Map<String, Value>, OAuthError> {
        let (id, secret) = self.refresh_token_parts()?;
        // A concurrent refresh of the same family makes the write fail; the token is then judged anew.
        for _ in 0..4 {
            if let Some(body) = self.try_refresh(id, secret).await? {
                return Ok(body);
            }
        }
        Err(OAuthError::new(
            Code::TemporarilyUnavailable,
            "the refresh token is being used by many requests at once; use one at a time",
        ))
    }

    /// One attempt; `None` when another request changed the family in between.
    async fn try_refresh(
        &self,
        id: &str,
        secret: &str,
    ) -> Result<Option<Map<String, Value>>, OAuthError> {
        let inner = &self.helseid.inner;
        let key = format!("refresh/{id}");
        let family = self.live_family(&key, secret).await?;
        let now_s = inner.now_s();
        let granted = self.narrowed(&family.granted)?;
        let (mut body, _) = self.user_tokens(&granted, None, &new_id()?).await?;
        let secret = random_b64url::<32>()?;
        let mut next = family.clone();
        next.current = secret_hash(&secret);
        next.expires_s = inner.family_end_s(self.client, &family);
        next.recent
            .retain(|replaced| replaced.at_s + REFRESH_GRACE_S >= now_s);
        next.recent.insert(
            0,
            Replaced {
                hash: family.current.clone(),
                at_s: now_s,
                jkt: self.jkt.map(str::to_owned),
            },
        );
        next.recent.truncate(MAX_RECENT);
        if !inner
            .grants()
            .replace(&key, &family, &next, next.expires_s)
            .await?
        {
            return Ok(None);
        }
        body.insert("refresh_token".to_owned(), format!("{id}{secret}").into());
        body.insert("rt_expires_in".to_owned(), (next.expires_s - now_s).into());
        Ok(Some(body))
    }

    /// The parts of the refresh token of this request: id of its family, and secret.
    pub(crate) fn refresh_token_parts(&self) -> Result<(&str, &str), OAuthError> {
        let token = self.form.required("refresh_token")?;
        token
            .split_at_checked(FAMILY_ID_BYTES)
            .ok_or_else(unknown_refresh_token)
    }

    /// The family of a refresh token, if the token is its current one, or was a moment ago. One that was replaced earlier
    /// ends the family.
    pub(crate) async fn live_family(&self, key: &str, secret: &str) -> Result<Family, OAuthError> {
        let inner = &self.helseid.inner;
        let grants = inner.grants();
        let family: Family = grants.get(key).await?.ok_or_else(unknown_refresh_token)?;
        if family.granted.client_id != self.client.client_id {
            return Err(OAuthError::grant(
                "the refresh token belongs to another client",
            ));
        }
        if family.granted.certificate.as_deref() != self.certificate {
            return Err(OAuthError::grant(
                "the refresh token is bound to the certificate of another instance",
            ));
        }
        if inner.session_ended(&family.granted.login.sid).await? {
            return Err(unknown_refresh_token());
        }
        let now_s = inner.now_s();
        let hash = secret_hash(secret);
        if hash != family.current && !in_grace(&family, &hash, self.jkt, now_s) {
            grants.0.take(key).await?;
            tracing::warn!(client_id = %self.client.client_id, "helseid: a used refresh token came again; its family is revoked");
            return Err(OAuthError::grant(
                "the refresh token was already used; all tokens of this login are revoked",
            ));
        }
        Ok(family)
    }

    /// The grant with the scopes asked for now: never more than were granted (attack A19).
    fn narrowed(&self, granted: &Granted) -> Result<Granted, OAuthError> {
        let Some(scope) = self.form.get("scope") else {
            return Ok(granted.clone());
        };
        let requested = scopes::split(scope)?;
        if requested
            .iter()
            .any(|scope| !granted.scopes.contains(scope))
        {
            return Err(OAuthError::new(
                Code::InvalidScope,
                "a refresh can only narrow the scopes of the login",
            ));
        }
        let mut narrowed = granted.clone();
        narrowed.scopes = requested;
        Ok(narrowed)
    }
}

fn unknown_refresh_token() -> OAuthError {
    OAuthError::grant("the refresh token is unknown, expired or revoked")
}

fn in_grace(family: &Family, hash: &str, jkt: Option<&str>, now_s: i64) -> bool {
    family.recent.iter().any(|replaced| {
        replaced.hash == hash
            && replaced.jkt.as_deref() == jkt
            && now_s <= replaced.at_s + REFRESH_GRACE_S
    })
}
