//! Login of personnel for the portals: an ordinary HelseID client, the token endpoints reached in-process.

use crate::keys::PortalKeys;
use crate::wire::{Addresses, PORTAL_CLIENT, PORTAL_SCOPES};
use axum::http::StatusCode;
use edge::Problem;
use helseid::Helseid;
use helseid::client::{ClientError, InProcess, LoginAttempt, LoginRequest, RelyingParty, provider};
use jose::names;
use jose::state::{State, StateError};
use portal::personnel::{Begun, Identity, LoginFuture, PersonnelLogin};
use portal::session::Portal;
use registers::{Directory, RegisterTable};
use std::sync::Arc;

const ATTEMPT_LIFE_S: i64 = 600;

/// The portals' login.
pub struct HelseidLogin {
    party: Arc<RelyingParty<InProcess>>,
    directory: Arc<RegisterTable>,
    /// Logins under way, by the value kept in the browser's cookie: any process may finish what another began.
    attempts: Arc<dyn State>,
}

impl HelseidLogin {
    /// The client of this hub's HelseID. The browser goes to the plain listener, which needs no trust in the demo CA.
    pub fn new(
        helseid: &Helseid,
        addresses: &Addresses,
        keys: &PortalKeys,
        directory: Arc<RegisterTable>,
        attempts: Arc<dyn State>,
    ) -> Self {
        let party = RelyingParty {
            provider: provider(&addresses.issuer, &addresses.helseid_browser),
            client_id: PORTAL_CLIENT.to_owned(),
            redirect_uri: format!("{}/helsepersonell/callback", addresses.base),
            key: keys.assertion.clone(),
            dpop_key: keys.dpop.clone(),
            transport: InProcess(helseid.router()),
            clock: jose::system_clock(),
        };
        Self {
            party: Arc::new(party),
            directory,
            attempts,
        }
    }
}

impl PersonnelLogin for HelseidLogin {
    fn begin(&self, _: Portal) -> LoginFuture<Begun> {
        let (party, attempts) = (self.party.clone(), self.attempts.clone());
        Box::pin(async move {
            let login = LoginRequest {
                scopes: &PORTAL_SCOPES,
                ..LoginRequest::default()
            };
            let (url, attempt) = party.begin(&login).await.map_err(failed)?;
            let state = edge::cookie::random_token();
            let kept = serde_json::to_vec(&attempt).map_err(|_| Problem::unavailable())?;
            let expires_s = (party.clock)() + ATTEMPT_LIFE_S;
            attempts
                .put(&key(&state), kept, expires_s)
                .await
                .map_err(|error| not_kept(&error))?;
            Ok(Begun { url, state })
        })
    }

    fn finish(&self, query: String, state: String) -> LoginFuture<Identity> {
        let (party, attempts, directory) = (
            self.party.clone(),
            self.attempts.clone(),
            self.directory.clone(),
        );
        Box::pin(async move {
            let attempt = attempts
                .take(&key(&state))
                .await
                .map_err(|error| not_kept(&error))?
                .and_then(|kept| serde_json::from_slice::<LoginAttempt>(&kept).ok())
                .ok_or_else(|| {
                    Problem::bad_request("this login is over or took too long; begin again")
                })?;
            let tokens = party.finish(&attempt, &query, None).await.map_err(failed)?;
            let text = |name: &'static str| {
                tokens
                    .id_claims
                    .text(name)
                    .ok()
                    .flatten()
                    .map(str::to_owned)
            };
            let nin = text(names::PID).ok_or_else(|| {
                Problem::forbidden(
                    "HelseID did not say who you are; the portal needs the scope pid",
                )
            })?;
            // Where somebody works is the register's word, not the client's.
            let workplace = directory
                .practitioner_by_nin(&nin)
                .and_then(|p| p.workplaces.first().cloned())
                .unwrap_or(registers::Workplace {
                    orgnr_parent: String::new(),
                    orgnr_child: String::new(),
                    department: None,
                    her_id: None,
                });
            Ok(Identity {
                nin,
                hpr: text(names::HPR_NUMBER),
                security_level: text(names::SECURITY_LEVEL).unwrap_or_default(),
                orgnr_parent: workplace.orgnr_parent,
                orgnr_child: workplace.orgnr_child,
                client_id: PORTAL_CLIENT.to_owned(),
            })
        })
    }
}

fn key(state: &str) -> String {
    format!("portal-login/{state}")
}

fn not_kept(error: &StateError) -> Problem {
    tracing::error!(%error, "a login under way could not be kept or read");
    Problem::unavailable()
}

fn failed(error: ClientError) -> Problem {
    match error {
        ClientError::Refused { error, .. } if error == "access_denied" => Problem::new(
            StatusCode::FORBIDDEN,
            "login-cancelled",
            "The login was cancelled.",
        ),
        ClientError::WrongCallback(_) => {
            Problem::bad_request("this login belongs to another browser; begin again")
        }
        other => {
            tracing::error!(error = %other, "login through HelseID failed");
            Problem::unavailable()
        }
    }
}
