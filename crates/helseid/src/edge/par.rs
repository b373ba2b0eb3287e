//! Pushed authorization requests (spec §5).

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use jose::assertion::{self, Asserted};
use jose::dpop::Proof;
use jose::encoding::random_b64url;
use jose::pkce;
use serde_json::{Value, json};

use super::form::Form;
use super::proof::{self, Authenticated, NonceRule};
use super::{error_answer, json_answer, path};
use crate::Helseid;
use crate::config::Client;
use crate::error::{Code, OAuthError};
use crate::grants::{PAR_S, Pushed, secret_hash};
use crate::rules::levels::{Level, read_acr};
use crate::rules::structures::{self, Structures};
use crate::rules::{organisation, redirect, scopes};

/// Prefix of every `request_uri` of ours (RFC 9126 §2.2).
pub const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
const MAX_STATE_BYTES: usize = 2_048;

/// `POST /connect/par`.
pub async fn push(State(helseid): State<Helseid>, request: Request<Body>) -> Response<Body> {
    match accept(&helseid, request).await {
        Ok(body) => {
            metrics::counter!("helseid_pushed_requests_total").increment(1);
            json_answer(StatusCode::CREATED, &body)
        }
        Err(error) => error_answer(&helseid, "par", &error),
    }
}

async fn accept(helseid: &Helseid, request: Request<Body>) -> Result<Value, OAuthError> {
    let (headers, mut form) = Form::read(request).await?;
    let Authenticated { client, asserted } = proof::authenticate(helseid, &form, path::PAR)?;
    let proof = proof::check_proof(helseid, &headers, path::PAR, NonceRule::Optional)?;
    let object = read_request_object(helseid, &client, &form)?;
    let structures = match &object {
        Some(object) => {
            merge(&mut form, object)?;
            Structures::read(&object.claims.0)?
        }
        None => Structures::default(),
    };
    let pushed = check(helseid, &client, &form, proof.as_ref(), structures)?;
    let grants = helseid.inner.grants();
    let mut signed = vec![&asserted];
    signed.extend(&object);
    proof::consume(grants, &signed, proof.as_ref()).await?;
    keep(helseid, &pushed).await
}

/// Keeps a checked request, and says where.
pub async fn keep(helseid: &Helseid, pushed: &Pushed) -> Result<Value, OAuthError> {
    let request_uri = format!("{REQUEST_URI_PREFIX}{}", random_b64url::<32>()?);
    let key = format!("par/{}", secret_hash(&request_uri));
    let expires_s = helseid.inner.now_s() + PAR_S;
    helseid.inner.grants().put(&key, pushed, expires_s).await?;
    Ok(json!({ "request_uri": request_uri, "expires_in": PAR_S }))
}

fn read_request_object(
    helseid: &Helseid,
    client: &Client,
    form: &Form,
) -> Result<Option<Asserted>, OAuthError> {
    if form.get("request_uri").is_some() {
        return Err(OAuthError::request("request_uri cannot be pushed"));
    }
    let Some(object) = form.get("request") else {
        return Ok(None);
    };
    let refuse = |what: String| OAuthError::new(Code::InvalidRequestObject, what);
    if form.get("client_assertion") == Some(object) {
        return Err(refuse(
            "the client assertion cannot be the request object too".to_owned(),
        ));
    }
    let rules = proof::assertion_rules(helseid, client, &[]);
    let keys = client.active_keys(rules.now_s);
    assertion::verify_request_object(object, &client.client_id, &keys, &rules)
        .map(Some)
        .map_err(|error| refuse(format!("request: {error}")))
}

/// Values of the request object win over those of the form; client and response type must agree (spec §5.1).
fn merge(form: &mut Form, object: &Asserted) -> Result<(), OAuthError> {
    const MERGED: [&str; 15] = [
        "response_type",
        "redirect_uri",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "state",
        "nonce",
        "resource",
        "acr_values",
        "prompt",
        "max_age",
        "login_hint",
        "ui_locales",
        "response_mode",
        "dpop_jkt",
    ];
    for name in MERGED {
        let values = match object.claims.0.get(name) {
            None => continue,
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Number(number)) => vec![number.to_string()],
            Some(Value::Array(elements)) if name == "resource" => elements
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(_) => {
                return Err(OAuthError::new(
                    Code::InvalidRequestObject,
                    format!("request: {name} has the wrong type"),
                ));
            }
        };
        let disagrees = name == "response_type"
            && form
                .get(name)
                .is_some_and(|sent| values.iter().any(|value| value != sent));
        if disagrees {
            return Err(OAuthError::new(
                Code::InvalidRequestObject,
                "request: response_type differs from the form's",
            ));
        }
        form.set(name, values);
    }
    Ok(())
}

fn check(
    helseid: &Helseid,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
    structures: Structures,
) -> Result<Pushed, OAuthError> {
    let config = &helseid.inner.config;
    if !client.user_login {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for user login",
        ));
    }
    if form.required("response_type")? != "code" {
        return Err(OAuthError::new(
            Code::UnsupportedResponseType,
            "response_type must be code",
        ));
    }
    let redirect_uri = form.required("redirect_uri")?;
    if !redirect::is_registered(redirect_uri, &client.redirect_uris, client.native) {
        return Err(OAuthError::request(
            "redirect_uri is not one of those registered for the client (compared letter by letter)",
        ));
    }
    let requested = scopes::split(form.required("scope")?)?;
    if !requested.iter().any(|scope| scope == "openid") {
        return Err(OAuthError::new(
            Code::InvalidScope,
            "a login needs the scope openid",
        ));
    }
    scopes::check_granted(&requested, client, &config.apis)?;
    let resources = form.all("resource");
    check_resources(&resources, client, helseid)?;
    organisation::resolve(
        client,
        structures.get(structures::ORGANISATION),
        helseid.inner.directory.as_ref(),
    )?;
    structures.journal_id()?;
    let (test_pid, test_level) = test_login(helseid, form)?;
    Ok(Pushed {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scopes: requested,
        resources,
        state: short(form, "state")?,
        nonce: short(form, "nonce")?,
        code_challenge: code_challenge(form)?,
        acr_values: short(form, "acr_values")?,
        prompt: prompt(form)?,
        max_age_s: max_age(form)?,
        form_post: form_post(form)?,
        dpop_jkt: dpop_jkt(form, proof)?,
        structures,
        received_s: helseid.inner.now_s(),
        test_pid,
        test_level,
        on_behalf_of: on_behalf_of(form)?,
        ui_locales: short(form, "ui_locales")?,
        certificate: None,
        test_represented: None,
    })
}

fn check_resources(
    resources: &[String],
    client: &Client,
    helseid: &Helseid,
) -> Result<(), OAuthError> {
    let apis = &helseid.inner.config.apis;
    for resource in resources {
        let granted = apis.iter().any(|api| {
            &api.audience == resource
                && api.scopes.iter().any(|scope| client.scopes.contains(scope))
        });
        if !granted {
            return Err(OAuthError::new(
                Code::InvalidTarget,
                "a resource is not the audience of an API that the client has a scope of",
            ));
        }
    }
    Ok(())
}

pub fn code_challenge(form: &Form) -> Result<String, OAuthError> {
    let challenge = form.required("code_challenge")?;
    // A missing method means "plain" (RFC 7636 §4.3), which is as little accepted as the word itself.
    if form.get("code_challenge_method") != Some("S256") {
        return Err(OAuthError::request("code_challenge_method must be S256"));
    }
    if !pkce::is_challenge(challenge) {
        return Err(OAuthError::request(
            "code_challenge must be 43 base64url characters",
        ));
    }
    Ok(challenge.to_owned())
}

pub fn short(form: &Form, name: &'static str) -> Result<Option<String>, OAuthError> {
    match form.get(name) {
        Some(value) if value.len() > MAX_STATE_BYTES => Err(OAuthError::request(format!(
            "{name} is longer than {MAX_STATE_BYTES} bytes"
        ))),
        value => Ok(value.map(str::to_owned)),
    }
}

pub fn prompt(form: &Form) -> Result<Option<String>, OAuthError> {
    let Some(prompt) = form.get("prompt") else {
        return Ok(None);
    };
    let values: Vec<&str> = prompt.split_ascii_whitespace().collect();
    let known = values
        .iter()
        .all(|value| ["none", "login", "consent", "select_account"].contains(value));
    if !known || values.len() > 1 && values.contains(&"none") {
        return Err(OAuthError::request(
            "prompt must be none, or some of login, select_account, consent",
        ));
    }
    Ok(Some(prompt.to_owned()))
}

pub fn max_age(form: &Form) -> Result<Option<i64>, OAuthError> {
    form.get("max_age")
        .map(|text| {
            text.parse::<u32>()
                .map(i64::from)
                .map_err(|_| OAuthError::request("max_age must be a number of seconds"))
        })
        .transpose()
}

/// Nine digits, or nothing: it goes on to the identity provider.
fn on_behalf_of(form: &Form) -> Result<Option<String>, OAuthError> {
    match form.get("on_behalf_of") {
        Some(number) if number.len() != 9 || !number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(OAuthError::request(
                "HID-1004: on_behalf_of must be an organisation number of nine digits",
            ))
        }
        number => Ok(number.map(str::to_owned)),
    }
}

pub fn form_post(form: &Form) -> Result<bool, OAuthError> {
    match form.get("response_mode") {
        None | Some("query") => Ok(false),
        Some("form_post") => Ok(true),
        Some(_) => Err(OAuthError::request(
            "response_mode must be query or form_post",
        )),
    }
}

fn dpop_jkt(form: &Form, proof: Option<&Proof>) -> Result<Option<String>, OAuthError> {
    let sent = form.get("dpop_jkt");
    if let (Some(sent), Some(proof)) = (sent, proof)
        && sent != proof.jkt
    {
        return Err(OAuthError::new(
            Code::InvalidDpopProof,
            "dpop_jkt is not the thumbprint of the DPoP proof's key",
        ));
    }
    if sent.is_some_and(|jkt| !pkce::is_challenge(jkt)) {
        return Err(OAuthError::request(
            "dpop_jkt must be 43 base64url characters",
        ));
    }
    Ok(sent
        .map(str::to_owned)
        .or_else(|| proof.map(|proof| proof.jkt.clone())))
}

/// Headless login of the test provider (spec §6.3). Elsewhere it is refused, never silently ignored (attack A37).
fn test_login(
    helseid: &Helseid,
    form: &Form,
) -> Result<(Option<String>, Option<Level>), OAuthError> {
    let Some(pid) = form.get("test_pid") else {
        return Ok((None, None));
    };
    if !helseid.inner.config.test_idp {
        return Err(OAuthError::request("test_pid does not exist here"));
    }
    let acr = read_acr(form.get("acr_values").unwrap_or_default());
    if !acr.idp.is_some_and(crate::idp::is_test) {
        return Ok((None, None));
    }
    let level = match form.get("test_security_level") {
        None => Some(Level::High),
        Some(text) => Level::from_text(text),
    };
    let level =
        level.ok_or_else(|| OAuthError::request("test_security_level must be 2, 3 or 4"))?;
    Ok((Some(pid.to_owned()), Some(level)))
}
