//! `/drift/klienter`: self-service of HelseID clients (spec/helseid.md §14). Keys are made in the browser; only the
//! public half comes here. What a caller sees and may do is decided by [`helseid::registry`].

use crate::PortalState;
use crate::session::DriftSession;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, blocking};
use helseid::registry::model::{Origin, Rules, SystemTenancy, SystemUsers};
use helseid::registry::{Actor, NewClient, NewSystem, Registry, RegistryError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::Principal;

/// Longest client id in an address.
const MAX_ID_CHARS: usize = 100;
/// Longest path on this machine to which a confirmation leads back.
const MAX_PATH_CHARS: usize = 200;

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/drift/clients", get(list).post(create))
        .route("/api/drift/clients/{id}", get(show))
        .route("/api/drift/clients/{id}/keys", post(add_key))
        .route("/api/drift/clients/{id}/keys/remove", post(remove_key))
        .route("/api/drift/clients/{id}/scopes", post(request_scopes))
        .route("/api/drift/clients/{id}/scopes/remove", post(remove_scope))
        .route("/api/drift/clients/{id}/scopes/decide", post(decide))
        .route("/api/drift/clients/{id}/uris", post(set_uris))
        .route("/api/drift/clients/{id}/block", post(block))
        .route("/api/drift/clients/{id}/remove", post(remove))
        .route("/api/drift/clients/{id}/confirm", post(confirm))
        .route("/api/drift/client-systems", post(create_system))
        .route("/api/drift/client-systems/{id}/api-key", post(new_api_key))
        .route("/api/drift/delegations", post(delegate))
        .route("/api/drift/apis", get(apis).post(set_owner))
        .route("/confirm-client/{id}", get(to_confirmation))
        .route(
            "/nasjonal/selvbetjening/confirm-client/{id}",
            get(to_confirmation),
        )
}

/// Who acts, as the registry knows it. Changes for an organisation need a login at level 4.
pub(crate) fn actor(session: &DriftSession) -> Actor {
    match session {
        DriftSession::Operator { name } => Actor::Operator { name: name.clone() },
        DriftSession::Party(who) => Actor::Organisation {
            orgnr: who.orgnr_parent.clone(),
            hpr: match &who.principal {
                Principal::Personnel { hpr, .. } => hpr.clone(),
                _ => None,
            },
        },
    }
}

pub(crate) fn changer(session: &DriftSession) -> Result<Actor, Problem> {
    if let DriftSession::Party(who) = session {
        let is_high = matches!(&who.principal, Principal::Personnel { security_level, .. } if security_level == "4");
        if !is_high || who.orgnr_parent.is_empty() {
            return Err(Problem::forbidden(
                "changes for an organisation need a login at security level 4, by somebody who works there",
            ));
        }
    }
    Ok(actor(session))
}

fn problem(error: RegistryError) -> Problem {
    let said = error.to_string();
    match error {
        RegistryError::NotFound => Problem::not_found(),
        RegistryError::Forbidden(why) => Problem::forbidden(why),
        RegistryError::Invalid { place, .. } => Problem::new(
            StatusCode::BAD_REQUEST,
            &format!("invalid-{}", place.to_ascii_lowercase().replace('_', "-")),
            "Something sent is not right.",
        )
        .with_detail(said),
        RegistryError::KeyUsed => Problem::new(
            StatusCode::BAD_REQUEST,
            "key-used",
            "The key was registered before.",
        )
        .with_detail(said),
        RegistryError::Conflict => Problem::conflict(said),
        RegistryError::Unavailable(why) => {
            tracing::error!(%why, "the registry's store failed");
            Problem::unavailable()
        }
    }
}

/// Runs registry work off the async threads.
pub(crate) async fn work<T: Send + 'static>(
    state: &PortalState,
    work: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, Problem> {
    let registry: Arc<Registry> = state.clients.clone();
    blocking(move || work(&registry)).await?.map_err(problem)
}

/// The page of a client after a change, so that the browser need not ask again.
async fn changed(
    state: PortalState,
    actor: Actor,
    id: String,
    change: impl FnOnce(&Registry, &Actor, &str) -> Result<(), RegistryError> + Send + 'static,
) -> Result<Json<Value>, Problem> {
    work(&state, move |registry| {
        change(registry, &actor, &id)?;
        // Whoever decided last may have nothing more to see there.
        Ok(registry.client_view(&actor, &id).ok())
    })
    .await
    .and_then(|view| serde_json::to_value(view).map_err(|_| Problem::internal()))
    .map(Json)
}

async fn list(
    State(state): State<PortalState>,
    session: DriftSession,
) -> Result<Json<Value>, Problem> {
    let actor = actor(&session);
    let view = work(&state, move |registry| Ok(registry.overview(&actor))).await?;
    let mut value = serde_json::to_value(view).map_err(|_| Problem::internal())?;
    if let Some(members) = value.as_object_mut() {
        members.insert("own_orgnr".to_owned(), json!(session.orgnr()));
    }
    Ok(Json(value))
}

async fn show(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let actor = actor(&session);
    let view = work(&state, move |registry| registry.client_view(&actor, &id)).await?;
    serde_json::to_value(view)
        .map(Json)
        .map_err(|_| Problem::internal())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    system: String,
    name: String,
    #[serde(default)]
    organisation: Option<String>,
    #[serde(default)]
    jwk: Option<Value>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
}

async fn create(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<CreateBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    let own = session.orgnr().map(str::to_owned);
    let client_id = work(&state, move |registry| {
        let new = NewClient {
            client_id: None,
            system: body.system,
            name: body.name,
            organisation: body.organisation.or(own).unwrap_or_default(),
            key: body.jwk,
            scopes: body.scopes,
            redirect_uris: body.redirect_uris,
            ..NewClient::default()
        };
        registry.create(&actor, &new)
    })
    .await?;
    Ok(Json(json!({ "client_id": client_id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    jwk: Value,
}

async fn add_key(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<KeyBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry
            .add_key(actor, id, &body.jwk, Origin::Gui)
            .map(|_| ())
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThumbprintBody {
    thumbprint: String,
}

async fn remove_key(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<ThumbprintBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.remove_key(actor, id, &body.thumbprint)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopesBody {
    scopes: Vec<String>,
}

async fn request_scopes(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<ScopesBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.request_scopes(actor, id, &body.scopes)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeBody {
    scope: String,
}

async fn remove_scope(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<ScopeBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.remove_scope(actor, id, &body.scope)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideBody {
    /// Scope or claim type.
    subject: String,
    approve: bool,
    #[serde(default)]
    reason: Option<String>,
}

async fn decide(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<DecideBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.decide(
            actor,
            id,
            &body.subject,
            body.approve,
            body.reason.as_deref(),
        )
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UrisBody {
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
}

async fn set_uris(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<UrisBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.set_uris(
            actor,
            id,
            &body.redirect_uris,
            &body.post_logout_redirect_uris,
        )
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockBody {
    blocked: bool,
}

async fn block(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<BlockBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    changed(state, actor, id, move |registry, actor, id| {
        registry.block(actor, id, body.blocked)
    })
    .await
}

async fn remove(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let actor = changer(&session)?;
    work(&state, move |registry| registry.remove(&actor, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmBody {
    accept: bool,
    /// Port and path on this machine where the installation waits.
    #[serde(default)]
    port: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

async fn confirm(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
    Json(body): Json<ConfirmBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    let accept = body.accept;
    let registered = work(&state, move |registry| {
        if accept {
            registry.confirm(&actor, &id)
        } else {
            registry.decline(&actor, &id)
        }
    })
    .await?;
    let waiting = body
        .port
        .as_deref()
        .and_then(|port| local_address(port, body.path.as_deref().unwrap_or_default()));
    let status = if accept { "Success" } else { "Cancelled" };
    let to = waiting
        .or(registered)
        .and_then(|address| with_status(&address, status));
    Ok(Json(json!({ "status": status, "redirect": to })))
}

/// Where an installation on this machine waits: never anywhere else, whatever the page was opened with.
fn local_address(port: &str, path: &str) -> Option<String> {
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let path = path.trim_start_matches('/');
    let is_plain = path.len() <= MAX_PATH_CHARS
        && path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b));
    is_plain.then(|| format!("http://localhost:{port}/{path}"))
}

fn with_status(address: &str, status: &str) -> Option<String> {
    let mut url = url::Url::parse(address).ok()?;
    url.query_pairs_mut().append_pair("status", status);
    Some(url.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of a registration"
)]
struct SystemBody {
    name: String,
    #[serde(default)]
    supplier: Option<String>,
    #[serde(default)]
    users: SystemUsers,
    tenancy: SystemTenancy,
    user_login: bool,
    machine: bool,
    refresh: bool,
    native: bool,
    #[serde(default)]
    rules: Option<Rules>,
}

async fn create_system(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<SystemBody>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    let own = session.orgnr().map(str::to_owned);
    let id = work(&state, move |registry| {
        let new = NewSystem {
            name: body.name,
            supplier: body.supplier.or(own).unwrap_or_default(),
            users: body.users,
            tenancy: body.tenancy,
            user_login: body.user_login,
            machine: body.machine,
            refresh: body.refresh,
            native: body.native,
            rules: body.rules,
            scopes: None,
            redirect_uris: None,
            customers: None,
        };
        registry.create_system(&actor, &new)
    })
    .await?;
    Ok(Json(json!({ "id": id })))
}

async fn new_api_key(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let actor = changer(&session)?;
    let key = work(&state, move |registry| registry.new_api_key(&actor, &id)).await?;
    Ok(Json(json!({ "api_key": key })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelegateBody {
    #[serde(default)]
    organisation: Option<String>,
    supplier: String,
    on: bool,
}

async fn delegate(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<DelegateBody>,
) -> Result<StatusCode, Problem> {
    let actor = changer(&session)?;
    let own = session.orgnr().map(str::to_owned);
    work(&state, move |registry| {
        let organisation = body.organisation.or(own).unwrap_or_default();
        registry.delegate(&actor, &organisation, &body.supplier, body.on)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn apis(State(state): State<PortalState>, _: DriftSession) -> Result<Json<Value>, Problem> {
    let list = work(&state, |registry| Ok(registry.api_list())).await?;
    serde_json::to_value(list)
        .map(Json)
        .map_err(|_| Problem::internal())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerBody {
    audience: String,
    #[serde(default)]
    organisation: Option<String>,
    automatic: bool,
}

async fn set_owner(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<OwnerBody>,
) -> Result<StatusCode, Problem> {
    let actor = changer(&session)?;
    work(&state, move |registry| {
        let owner = helseid::registry::model::ApiOwner {
            audience: body.audience,
            organisation: body.organisation,
            automatic: body.automatic,
            terms: None,
        };
        registry.set_owner(&actor, &owner)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfirmQuery {
    #[serde(rename = "redirectPort")]
    redirect_port: Option<String>,
    #[serde(rename = "redirectPath")]
    redirect_path: Option<String>,
}

/// The address that installations open in the browser, as the original has it: leads to our page.
async fn to_confirmation(
    Path(id): Path<String>,
    Query(query): Query<ConfirmQuery>,
) -> Result<Response, Problem> {
    let is_id = id.len() <= MAX_ID_CHARS
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !is_id {
        return Err(Problem::not_found());
    }
    let mut query_text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("port", query.redirect_port), ("path", query.redirect_path)] {
        if let Some(value) = value.filter(|value| value.len() <= MAX_PATH_CHARS) {
            query_text.append_pair(name, &value);
        }
    }
    let to = format!("/drift/klienter/{id}?{}", query_text.finish());
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(&to).map_err(|_| Problem::not_found())?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_leads_to_this_machine_only() {
        for (port, path, expected) in [
            ("1337", "/callback", Some("http://localhost:1337/callback")),
            ("1337", "callback", Some("http://localhost:1337/callback")),
            (
                "1337",
                "//evil.no/x",
                Some("http://localhost:1337/evil.no/x"),
            ),
            ("1337", "", Some("http://localhost:1337/")),
            ("1337@evil.no", "x", None),
            ("0", "x", None),
            ("70000", "x", None),
            ("1337", "x?y", None),
            ("1337", "x#y", None),
            ("1337", "\\evil", None),
        ] {
            assert_eq!(
                local_address(port, path).as_deref(),
                expected,
                "{port} {path}"
            );
        }
        assert_eq!(
            with_status("https://epj.no/x?a=1", "Success").as_deref(),
            Some("https://epj.no/x?a=1&status=Success")
        );
    }
}
