//! `POST /demo/clients`: a ready client in one request, for vendors who try the demo (DESIGN §4, demo helpers). The key
//! is made by whoever asks; only its public half comes here. `GET` lists the clients there are. Absent outside demo mode.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Json, Router};
use edge::Problem;
use helseid::registry::model::{Rules, SystemTenancy, SystemUsers};
use helseid::registry::{Actor, NewClient, NewSystem, Registry, RegistryError};
use registers::Directory;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the route needs.
#[derive(Clone)]
pub struct DemoClients {
    /// Registrations.
    pub registry: Arc<Registry>,
    /// Organisations.
    pub directory: Arc<dyn Directory>,
}

/// The route.
pub fn router(clients: DemoClients) -> Router {
    Router::new()
        .route("/demo/clients", get(list).post(add))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(clients)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// Organisation number, or key in the story (`fjordglott`).
    organisation: String,
    /// Whether users log in with it.
    #[serde(default)]
    user: bool,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// Strict rules; else compatible ones, with which stock libraries pass.
    #[serde(default)]
    strict: bool,
    /// Whom it logs in, when not health personnel (spec helseid §18).
    #[serde(default)]
    users: SystemUsers,
    /// Absent for applications of citizens, whose instances show certificates.
    #[serde(default)]
    public_jwk: Option<Value>,
}

async fn list(State(clients): State<DemoClients>) -> Json<Value> {
    let overview = clients.registry.overview(&Actor::Console);
    Json(json!({ "clients": overview.clients, "is_cut": overview.is_cut }))
}

async fn add(
    State(clients): State<DemoClients>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Problem> {
    edge::blocking(move || clients.add(wanted))
        .await?
        .map(Json)
        .map_err(|error| match error {
            RegistryError::Unavailable(_) => Problem::unavailable(),
            error => Problem::bad_request(error.to_string()),
        })
}

impl DemoClients {
    fn add(&self, wanted: Wanted) -> Result<Value, RegistryError> {
        let actor = Actor::Console;
        let found = self
            .directory
            .organisation(&wanted.organisation)
            .or_else(|| {
                let key = Some(wanted.organisation.as_str());
                let mut all = self.directory.organisations(usize::MAX).into_iter();
                all.find(|o| o.story.as_deref() == key)
            });
        let organisation = found.ok_or(RegistryError::Invalid {
            place: "organisation",
            what: "give an organisation number, or the key of an organisation in facts.json"
                .to_owned(),
        })?;
        let name = wanted
            .name
            .unwrap_or_else(|| format!("{} (prøve)", organisation.name));
        let personnel = wanted.users.is_personnel();
        let system = self.registry.create_system(
            &actor,
            &NewSystem {
                name: name.clone(),
                supplier: organisation.orgnr.clone(),
                users: wanted.users,
                tenancy: SystemTenancy::Single,
                user_login: wanted.user || !personnel,
                machine: personnel,
                refresh: wanted.user || !personnel,
                // Any port on a loopback address: what is tried is rarely on the port that was registered.
                native: true,
                rules: Some(if wanted.strict {
                    Rules::Strict
                } else {
                    Rules::Compatible
                }),
                scopes: None,
                redirect_uris: None,
                customers: None,
            },
        )?;
        let client_id = self.registry.create(
            &actor,
            &NewClient {
                client_id: wanted.client_id,
                system,
                name,
                organisation: organisation.orgnr.clone(),
                children: organisation.units.iter().map(|u| u.orgnr.clone()).collect(),
                key: wanted.public_jwk,
                scopes: wanted.scopes.clone(),
                redirect_uris: wanted.redirect_uris.clone(),
                post_logout_redirect_uris: Vec::new(),
            },
        )?;
        for scope in &wanted.scopes {
            self.registry
                .decide(&actor, &client_id, scope, true, None)?;
        }
        Ok(json!({
            "client_id": client_id,
            "use": match (wanted.users, wanted.user) {
                (SystemUsers::CitizensApp, _) => "public",
                (SystemUsers::Citizens, _) => "confidential",
                (_, true) => "user",
                (_, false) => "machine",
            },
            "orgnr_parent": organisation.orgnr,
            "orgnr_child": organisation.units.first().map(|u| u.orgnr.clone()),
            "scopes": wanted.scopes,
            "redirect_uris": wanted.redirect_uris,
        }))
    }
}
