//! What a login may ask for, pushed or in the address of the browser (spec §18).

use super::caller::Caller;
use super::registrations;
use crate::Helseid;
use crate::config::Client;
use crate::edge::{Form, par};
use crate::error::{Code, OAuthError};
use crate::grants::Pushed;
use crate::rules::levels::Level;
use crate::rules::structures::Structures;
use crate::rules::{redirect, scopes};

/// Shortest and longest `state` and `nonce`, in characters.
const WORD: std::ops::RangeInclusive<usize> = 10..=1_000;
/// The level of every citizen's login.
const LEVEL: &str = "Level4";

/// How a request came.
#[derive(Clone, Copy)]
pub(super) enum Came<'a> {
    /// To the PAR endpoint, from a client that has proved who it is.
    Pushed(&'a Caller),
    /// In the address of the browser.
    Open,
}

/// The redirect URI of a request, which must be one of the client's before anything is sent there.
///
/// # Errors
/// `invalid_request`; such a request ends on a page of ours.
pub(super) fn redirect_uri<'f>(client: &Client, form: &'f Form) -> Result<&'f str, OAuthError> {
    let redirect_uri = form.required("redirect_uri")?;
    if redirect::is_registered(redirect_uri, &client.redirect_uris, client.native) {
        Ok(redirect_uri)
    } else {
        Err(OAuthError::request(
            "redirect_uri is not one of those registered for the client (compared letter by letter)",
        ))
    }
}

/// Checks a request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(
    helseid: &Helseid,
    client: &Client,
    form: &Form,
    came: Came<'_>,
) -> Result<Pushed, OAuthError> {
    let redirect_uri = redirect_uri(client, form)?.to_owned();
    let extra = registrations(helseid)?.extra(&client.client_id);
    let public = extra.is_some_and(|extra| extra.public);
    if public && matches!(came, Came::Open) {
        return Err(OAuthError::request(format!(
            "a public client pushes its request to {} first",
            super::path::PAR
        )));
    }
    if !client.user_login {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for login",
        ));
    }
    if form.required("response_type")? != "code" {
        return Err(OAuthError::new(
            Code::UnsupportedResponseType,
            "response_type must be code",
        ));
    }
    if form.get("request").is_some() {
        return Err(OAuthError::request(
            "request objects are not taken here; push the parameters themselves",
        ));
    }
    let scopes = scopes_of(client, form)?;
    let (test_pid, test_represented) = test_login(helseid, form, came)?;
    let asked = par::short(form, "acr_values")?;
    let acr_values = match asked {
        Some(asked) => format!("{asked} {LEVEL}"),
        None => LEVEL.to_owned(),
    };
    let certificate = match came {
        Came::Pushed(caller) => caller.certificate.clone(),
        Came::Open => None,
    };
    Ok(Pushed {
        client_id: client.client_id.clone(),
        redirect_uri,
        scopes,
        resources: Vec::new(),
        state: word(form, "state")?,
        nonce: word(form, "nonce")?,
        code_challenge: par::code_challenge(form)?,
        acr_values: Some(acr_values),
        prompt: par::prompt(form)?,
        max_age_s: par::max_age(form)?,
        form_post: par::form_post(form)?,
        dpop_jkt: None,
        structures: Structures::default(),
        received_s: helseid.inner.now_s(),
        test_level: test_pid.is_some().then_some(Level::High),
        test_pid,
        on_behalf_of: None,
        ui_locales: par::short(form, "ui_locales")?,
        certificate,
        test_represented,
    })
}

/// `openid`, perhaps `offline_access`. Rights may be named, but come from the registration either way.
fn scopes_of(client: &Client, form: &Form) -> Result<Vec<String>, OAuthError> {
    let requested = scopes::split(form.required("scope")?)?;
    let refuse = |what: &'static str| Err(OAuthError::new(Code::InvalidScope, what));
    if !requested.iter().any(|scope| scope == "openid") {
        return refuse("a login needs the scope openid");
    }
    let known = |scope: &String| {
        matches!(scope.as_str(), "openid" | "offline_access") || client.scopes.contains(scope)
    };
    if !requested.iter().all(known) {
        return refuse(
            "the scope is openid and perhaps offline_access; a right that the client's registration lacks is refused",
        );
    }
    let offline = requested.iter().any(|scope| scope == "offline_access");
    if offline && !client.refresh {
        return refuse("the client is not registered for refresh tokens (offline_access)");
    }
    let own = ["openid".to_owned()].into_iter();
    let lasting = offline.then(|| "offline_access".to_owned());
    Ok(own
        .chain(lasting)
        .chain(client.scopes.iter().cloned())
        .collect())
}

fn word(form: &Form, name: &'static str) -> Result<Option<String>, OAuthError> {
    match form.get(name) {
        Some(value) if !WORD.contains(&value.chars().count()) => Err(OAuthError::request(format!(
            "{name} must have {} to {} characters",
            WORD.start(),
            WORD.end()
        ))),
        value => Ok(value.map(str::to_owned)),
    }
}

/// Headless login of the test page; pushed only, because a national identity number never stands in an address.
fn test_login(
    helseid: &Helseid,
    form: &Form,
    came: Came<'_>,
) -> Result<(Option<String>, Option<String>), OAuthError> {
    let named = ["test_pid", "test_represented_pid"].map(|name| form.get(name));
    match (named, came) {
        ([None, None], _) => Ok((None, None)),
        _ if !helseid.inner.config.test_idp => {
            Err(OAuthError::request("test_pid does not exist here"))
        }
        (_, Came::Open) => Err(OAuthError::request(
            "test_pid is taken in a pushed request only",
        )),
        ([pid, represented], Came::Pushed(_)) => {
            Ok((pid.map(str::to_owned), represented.map(str::to_owned)))
        }
    }
}
