//! What stands in citizens' tokens (spec helsenorge §2.3; own where it is silent, see docs/helseid.md).
//!
//! `sub` (and `pid`, with the right to it) is the person whose things the token opens; `act` is who logged in, with the
//! relation when they are two. Names, birth date and numbers stand there only by the client's rights.

use jose::Claims;
use jose::encoding::hmac_sha256;
use jose::jws::{Compact, MAX_COMPACT_BYTES};
use jose::jwt::Validation;
use serde_json::{Map, Value, json};

use super::{Ground, RIGHT_BIRTH_DATE, RIGHT_NAME, RIGHT_PID, choose, registrations};
use crate::Helseid;
use crate::edge::TokenRequest;
use crate::error::OAuthError;
use crate::grants::Granted;
use crate::idp;
use crate::issue::new_id;
use crate::rules::claims::{self, Login};
use crate::rules::levels::Level;

/// Life of an ID token, seconds.
const ID_TOKEN_S: i64 = 300;
/// Clock difference forgiven, seconds.
const LEEWAY_S: i64 = 5;
const ACR: &str = "Level4";

/// Why a login token of a client in this process could not be made or is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LoginTokenError {
    /// It could not be signed.
    #[error("the token could not be signed")]
    Sign,
    /// Not a token of this issuer for this client and login, or expired.
    #[error("not a valid token: {0}")]
    Invalid(&'static str),
}

/// A person's name at one client: a GUID that another client sees differently (spec helsenorge §2.3).
#[must_use]
pub(crate) fn pairwise(secret: &[u8], client_id: &str, pid: &str) -> String {
    let mac = hmac_sha256(secret, format!("citizen|{client_id}|{pid}").as_bytes());
    let mut half = [0; 16];
    for (byte, from) in half.iter_mut().zip(mac) {
        *byte = from;
    }
    uuid::Builder::from_random_bytes(half)
        .into_uuid()
        .to_string()
}

/// The two persons of a login.
struct Persons<'a> {
    helseid: &'a Helseid,
    client_id: &'a str,
    login: &'a Login,
    ground: Option<Ground>,
}

impl Persons<'_> {
    fn pid(&self) -> &str {
        self.login.represents.as_deref().unwrap_or(&self.login.pid)
    }

    fn subject(&self, pid: &str) -> String {
        pairwise(&self.helseid.inner.secrets.subject_key, self.client_id, pid)
    }

    /// Adds both persons, as far as the rights go.
    fn set(&self, claims: &mut Claims, has: impl Fn(&str) -> bool, details: bool) {
        let directory = self.helseid.inner.directory.as_ref();
        claims.set("sub", self.subject(self.pid()));
        if has(RIGHT_PID) {
            claims.set("pid", self.pid());
        }
        let mut act = Map::new();
        act.insert("sub".to_owned(), self.subject(&self.login.pid).into());
        if has(RIGHT_PID) {
            act.insert("pid".to_owned(), self.login.pid.as_str().into());
        }
        if let Some(ground) = &self.ground {
            act.insert("relation".to_owned(), ground.relation().into());
        }
        if details && has(RIGHT_NAME) {
            if let Some(person) = directory.person(self.pid()) {
                claims.set("name", person.name.full());
                claims.set("given_name", person.name.given.as_str());
                if let Some(middle) = &person.name.middle {
                    claims.set("middle_name", middle.as_str());
                }
                claims.set("family_name", person.name.family.as_str());
            }
            if let Some(person) = directory.person(&self.login.pid) {
                act.insert("name".to_owned(), person.name.full().into());
            }
        }
        if details
            && has(RIGHT_BIRTH_DATE)
            && let Some(born) = directory.person(self.pid()).and_then(|person| person.born)
        {
            claims.set("birthdate", born.to_string());
        }
        claims.set("act", Value::Object(act));
    }
}

/// Access token and ID token of a login, and whether a refresh token was asked for.
pub(crate) async fn for_login(
    request: &TokenRequest<'_>,
    granted: &Granted,
    state: Option<&str>,
    id: &str,
) -> Result<(Map<String, Value>, bool), OAuthError> {
    let helseid = request.helseid;
    let inner = &helseid.inner;
    let ground = right_now(helseid, &granted.login).await?;
    let persons = Persons {
        helseid,
        client_id: &request.client.client_id,
        login: &granted.login,
        ground,
    };
    // Rights may have been taken from the client since.
    let scopes: Vec<&str> = granted
        .scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| {
            matches!(*scope, "openid" | "offline_access") || request.client.scopes.contains(*scope)
        })
        .collect();
    let life_s = inner.access_token_life_s(request.client, &[]);
    let access = access_token(request, &persons, &scopes, life_s, id)?;
    let mut claims = id_token(&persons, &scopes);
    if let Some(acr) = &granted.acr {
        claims.set("acr", acr.as_str());
    }
    if let Some(nonce) = &granted.nonce {
        claims.set("nonce", nonce.as_str());
    }
    claims.set("at_hash", claims::half_hash(&access));
    if let Some(state) = state {
        claims.set("s_hash", claims::half_hash(state));
    }
    let mut body = Map::new();
    body.insert("access_token".to_owned(), access.into());
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("expires_in".to_owned(), life_s.into());
    body.insert("scope".to_owned(), scopes.join(" ").into());
    body.insert("id_token".to_owned(), inner.sign("JWT", &claims)?.into());
    let offline = scopes.contains(&"offline_access");
    Ok((body, offline))
}

/// On what ground the login acts for another now; refused when it may no longer.
async fn right_now(helseid: &Helseid, login: &Login) -> Result<Option<Ground>, OAuthError> {
    let ended = || OAuthError::grant("the login no longer holds: log in again");
    if registrations(helseid)?
        .representation
        .may_log_in(&login.pid)
        .is_err()
    {
        return Err(ended());
    }
    match &login.represents {
        None => Ok(None),
        Some(pid) => {
            let ground = choose::ground(helseid, &login.pid, pid).await?;
            ground.map(Some).ok_or_else(ended)
        }
    }
}

fn access_token(
    request: &TokenRequest<'_>,
    persons: &Persons<'_>,
    scopes: &[&str],
    life_s: i64,
    id: &str,
) -> Result<String, OAuthError> {
    let inner = &request.helseid.inner;
    let login = persons.login;
    let now_s = inner.now_s();
    let extra = registrations(request.helseid)?.extra(persons.client_id);
    let audiences = extra.map(|extra| extra.audiences.clone());
    let audience = match audiences.as_deref() {
        None | Some([]) => Value::from(inner.config.issuer.as_str()),
        Some([one]) => one.as_str().into(),
        Some(several) => json!(several),
    };
    let method = match request.certificate {
        Some(_) => "self_signed_tls_client_auth",
        None => "private_key_jwt",
    };
    let mut claims = Claims::default();
    claims
        .set("iss", inner.config.issuer.as_str())
        .set("nbf", now_s)
        .set("iat", now_s)
        .set("exp", now_s + life_s)
        .set("aud", audience);
    if let Some(thumbprint) = request.certificate {
        claims.set("cnf", json!({ "x5t#S256": thumbprint }));
    }
    claims
        .set("scope", json!(scopes))
        .set("client_id", persons.client_id)
        .set("client_amr", method)
        .set("acr", ACR)
        .set("amr", login.amr.clone())
        .set("auth_time", login.auth_time_s)
        .set("idp", login.idp.as_str());
    persons.set(&mut claims, |right| scopes.contains(&right), false);
    claims.set("sid", login.sid.as_str()).set("jti", id);
    inner.sign("at+jwt", &claims)
}

/// The claims of an ID token, without those that belong to one answer.
fn id_token(persons: &Persons<'_>, scopes: &[&str]) -> Claims {
    let inner = &persons.helseid.inner;
    let login = persons.login;
    let now_s = inner.now_s();
    let mut claims = Claims::default();
    claims
        .set("iss", inner.config.issuer.as_str())
        .set("nbf", now_s)
        .set("iat", now_s)
        .set("exp", now_s + ID_TOKEN_S)
        .set("aud", persons.client_id)
        .set("acr", ACR)
        .set("amr", login.amr.clone())
        .set("auth_time", login.auth_time_s)
        .set("idp", login.idp.as_str());
    persons.set(&mut claims, |right| scopes.contains(&right), true);
    claims.set("sid", login.sid.as_str());
    claims
}

/// See [`super::Citizens::login_token`].
pub(super) fn login_token(
    helseid: &Helseid,
    pid: &str,
    client_id: &str,
    nonce: &str,
) -> Result<String, LoginTokenError> {
    let login = Login {
        pid: pid.to_owned(),
        level: Level::High,
        idp: idp::TEST_ID.to_owned(),
        amr: vec!["pwd".to_owned()],
        auth_time_s: helseid.inner.now_s(),
        sid: new_id().map_err(|_| LoginTokenError::Sign)?,
        represents: None,
    };
    let persons = Persons {
        helseid,
        client_id,
        login: &login,
        ground: None,
    };
    let mut claims = id_token(&persons, &[RIGHT_PID]);
    claims.set("nonce", nonce);
    helseid
        .inner
        .sign("JWT", &claims)
        .map_err(|_| LoginTokenError::Sign)
}

/// See [`super::Citizens::verify_login_token`].
pub(super) fn verify_login_token(
    helseid: &Helseid,
    token: &str,
    client_id: &str,
    nonce: &str,
) -> Result<String, LoginTokenError> {
    use LoginTokenError::Invalid;
    let inner = &helseid.inner;
    let compact =
        Compact::parse(token, MAX_COMPACT_BYTES).map_err(|_| Invalid("it cannot be read"))?;
    let kid = compact.kid.as_deref().ok_or(Invalid("no kid"))?;
    let key = inner.secrets.with_ring(|ring| ring.find(kid).cloned());
    compact
        .verify(&key.ok_or(Invalid("unknown key"))?)
        .map_err(|_| Invalid("signature"))?;
    let claims = Claims::parse(&compact.payload).map_err(|_| Invalid("claims"))?;
    let validation = Validation {
        now_s: inner.now_s(),
        leeway_s: LEEWAY_S,
        issuer: &inner.config.issuer,
        audience: Some(client_id),
        only_audience: true,
    };
    validation
        .check(&claims)
        .map_err(|_| Invalid("issuer, audience or time"))?;
    let text = |name| claims.text(name).ok().flatten();
    if !compact.is_typ(&["JWT"]) || claims.0.contains_key("client_id") {
        return Err(Invalid("it is no ID token"));
    }
    if text("nonce") != Some(nonce) {
        return Err(Invalid("it belongs to another login"));
    }
    text("pid").map(str::to_owned).ok_or(Invalid("no pid"))
}

#[cfg(test)]
mod tests {
    use super::pairwise;

    #[test]
    fn a_person_has_another_name_at_each_client() {
        let one = pairwise(b"secret", "a", "06828399789");
        assert_eq!(one, pairwise(b"secret", "a", "06828399789"));
        assert_eq!(one.len(), 36);
        for other in [
            pairwise(b"secret", "b", "06828399789"),
            pairwise(b"other", "a", "06828399789"),
            pairwise(b"secret", "a", "15849197352"),
        ] {
            assert_ne!(one, other);
        }
    }
}
