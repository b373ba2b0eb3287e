//! Sessions: a random id in an HttpOnly cookie, everything else here. In memory: a restart logs everybody out.

use crate::PortalState;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, cookie};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trust::Principal;

/// Ends after this long without a request (spec/helsenorge.md §2.1).
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// Ends after this long whatever happens.
pub const ABSOLUTE: Duration = Duration::from_secs(8 * 3_600);
const MAX_SESSIONS: usize = 100_000;
const CSRF_HEADER: &str = "x-csrf-token";

/// Which portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Portal {
    /// `/`
    Citizen,
    /// `/helsepersonell`
    Personnel,
    /// `/drift`
    Drift,
}

impl Portal {
    /// Name of its cookie.
    pub fn cookie(self) -> &'static str {
        match self {
            Self::Citizen => "helsenav_citizen",
            Self::Personnel => "helsenav_personnel",
            Self::Drift => "helsenav_drift",
        }
    }

    /// From the word in a path.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "citizen" => Some(Self::Citizen),
            "personnel" => Some(Self::Personnel),
            "drift" => Some(Self::Drift),
            _ => None,
        }
    }
}

/// Who is logged in.
#[derive(Clone)]
pub enum Who {
    /// A citizen.
    Citizen {
        /// National id.
        nin: String,
    },
    /// Health personnel.
    Personnel(PersonnelWho),
    /// Somebody of an organisation, at `/drift`.
    Party(PersonnelWho),
    /// Operator of the hub.
    Operator {
        /// Name shown.
        name: String,
    },
}

/// A person logged in through HelseID.
#[derive(Clone)]
pub struct PersonnelWho {
    /// As the decision needs it.
    pub principal: Principal,
    /// National id.
    pub nin: String,
    /// Name.
    pub name: String,
    /// Role (9060).
    pub role: Option<String>,
    /// Main unit.
    pub orgnr_parent: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Department.
    pub department: Option<String>,
}

/// One session.
#[derive(Clone)]
pub struct Session {
    /// Who.
    pub who: Who,
    /// Must stand in `x-csrf-token` of unsafe requests.
    pub csrf: String,
    /// Patient chosen by personnel.
    pub patient: Option<String>,
    created: Instant,
    seen: Instant,
}

/// All sessions of this process.
#[derive(Default)]
pub struct Sessions {
    held: Mutex<HashMap<(Portal, String), Session>>,
}

impl Sessions {
    /// Opens one; returns its id.
    pub fn open(&self, portal: Portal, who: Who) -> String {
        let id = cookie::random_token();
        let now = Instant::now();
        let session = Session {
            who,
            csrf: cookie::random_token(),
            patient: None,
            created: now,
            seen: now,
        };
        let mut held = self.lock();
        if held.len() >= MAX_SESSIONS {
            held.retain(|_, s| s.is_alive(now));
        }
        if held.len() >= MAX_SESSIONS
            && let Some(oldest) = held
                .iter()
                .min_by_key(|(_, s)| s.seen)
                .map(|(k, _)| k.clone())
        {
            held.remove(&oldest);
        }
        held.insert((portal, id.clone()), session);
        id
    }

    /// A live session; counts as a sign of life.
    pub fn touch(&self, portal: Portal, id: &str) -> Option<Session> {
        let now = Instant::now();
        let mut held = self.lock();
        let key = (portal, id.to_owned());
        let is_alive = held.get(&key).is_some_and(|s| s.is_alive(now));
        if !is_alive {
            held.remove(&key);
            return None;
        }
        let session = held.get_mut(&key)?;
        session.seen = now;
        Some(session.clone())
    }

    /// Chooses the patient of a personnel session.
    pub fn choose_patient(&self, id: &str, nin: Option<String>) {
        if let Some(session) = self.lock().get_mut(&(Portal::Personnel, id.to_owned())) {
            session.patient = nin;
        }
    }

    /// Ends one.
    pub fn close(&self, portal: Portal, id: &str) {
        self.lock().remove(&(portal, id.to_owned()));
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Portal, String), Session>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_alive(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < IDLE && now.duration_since(self.created) < ABSOLUTE
    }
}

/// Logs in: cookie and redirect to a local path.
pub fn enter(
    state: &PortalState,
    portal: Portal,
    who: Who,
    return_to: &str,
    headers: &HeaderMap,
) -> Response {
    let id = state.sessions.open(portal, who);
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Some(value) = cookie::set(portal.cookie(), &id, is_secure(headers), None) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    let to = HeaderValue::from_str(return_to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether the request came over TLS (its own, or a trusted proxy's word).
pub fn is_secure(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|v| v == "https")
}

fn session_of(
    parts: &Parts,
    state: &PortalState,
    portal: Portal,
) -> Result<(String, Session), Problem> {
    let id = cookie::get(&parts.headers, portal.cookie()).ok_or_else(Problem::unauthorized)?;
    let session = state
        .sessions
        .touch(portal, &id)
        .ok_or_else(Problem::unauthorized)?;
    let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let sent = parts
        .headers
        .get(CSRF_HEADER)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !is_safe && sent != session.csrf {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "The page is too old or the request came from elsewhere. Reload and try again.",
        ));
    }
    Ok((id, session))
}

/// A citizen's request.
pub struct CitizenSession {
    /// National id.
    pub nin: String,
}

impl FromRequestParts<PortalState> for CitizenSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &PortalState) -> Result<Self, Problem> {
        match session_of(parts, state, Portal::Citizen)?.1.who {
            Who::Citizen { nin } => Ok(Self { nin }),
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// A request of health personnel.
pub struct PersonnelSession {
    /// Session id.
    pub id: String,
    /// Who.
    pub who: PersonnelWho,
    /// Patient chosen.
    pub patient: Option<String>,
}

impl FromRequestParts<PortalState> for PersonnelSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &PortalState) -> Result<Self, Problem> {
        let (id, session) = session_of(parts, state, Portal::Personnel)?;
        match session.who {
            Who::Personnel(who) => Ok(Self {
                id,
                who,
                patient: session.patient,
            }),
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// A request at `/drift`: an operator sees all flows, a party its own messages.
pub enum DriftSession {
    /// Operator of the hub.
    Operator {
        /// Name.
        name: String,
    },
    /// Somebody of an organisation.
    Party(Box<PersonnelWho>),
}

impl DriftSession {
    /// Main-unit number of the party; `None` for an operator.
    pub fn orgnr(&self) -> Option<&str> {
        match self {
            Self::Operator { .. } => None,
            Self::Party(who) => Some(&who.orgnr_parent),
        }
    }
}

impl FromRequestParts<PortalState> for DriftSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &PortalState) -> Result<Self, Problem> {
        match session_of(parts, state, Portal::Drift)?.1.who {
            Who::Operator { name } => Ok(Self::Operator { name }),
            Who::Party(who) => Ok(Self::Party(Box::new(who))),
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// What the shell of a portal shows of its session.
#[derive(Serialize)]
pub struct SessionView {
    /// `citizen`, `personnel`, `party`, `operator`; absent when nobody is logged in.
    pub kind: Option<&'static str>,
    /// Name.
    pub name: Option<String>,
    /// Role (9060).
    pub role: Option<String>,
    /// Organisation.
    pub organisation: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// For `x-csrf-token`.
    pub csrf: Option<String>,
    /// The demo nation.
    pub is_demo: bool,
    /// Now on the story clock.
    pub now: String,
}

/// `GET /api/session/{portal}`, `POST /api/logout/{portal}`.
pub fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/session/{portal}", get(show))
        .route("/api/logout/{portal}", post(logout))
}

async fn show(
    State(state): State<PortalState>,
    Path(portal): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SessionView>, Problem> {
    let portal = Portal::parse(&portal).ok_or_else(Problem::not_found)?;
    let session =
        cookie::get(&headers, portal.cookie()).and_then(|id| state.sessions.touch(portal, &id));
    let mut view = SessionView {
        kind: None,
        name: None,
        role: None,
        organisation: None,
        department: None,
        csrf: session.as_ref().map(|s| s.csrf.clone()),
        is_demo: state.is_demo,
        now: jiff::Timestamp::from_microsecond(state.trust.now())
            .unwrap_or_default()
            .to_string(),
    };
    let kind = match session.map(|s| s.who) {
        None => None,
        Some(Who::Citizen { nin }) => {
            view.name = state.directory.person(&nin).map(|p| p.name.full());
            Some("citizen")
        }
        Some(Who::Personnel(who)) => {
            fill(&mut view, who);
            Some("personnel")
        }
        Some(Who::Party(who)) => {
            fill(&mut view, who);
            Some("party")
        }
        Some(Who::Operator { name }) => {
            view.name = Some(name);
            Some("operator")
        }
    };
    view.kind = kind;
    Ok(Json(view))
}

fn fill(view: &mut SessionView, who: PersonnelWho) {
    view.name = Some(who.name);
    view.role = who.role;
    view.organisation = Some(who.organisation);
    view.department = who.department;
}

async fn logout(
    State(state): State<PortalState>,
    Path(portal): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let portal = Portal::parse(&portal).ok_or_else(Problem::not_found)?;
    // SameSite=Lax keeps other sites from sending the cookie with a POST: logging out needs no more.
    if let Some(id) = cookie::get(&headers, portal.cookie()) {
        state.sessions.close(portal, &id);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(value) = cookie::set(portal.cookie(), "", is_secure(&headers), Some(0)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// Shared by the pages: the sessions of a state.
pub fn sessions() -> Arc<Sessions> {
    Arc::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn citizen() -> Who {
        Who::Citizen {
            nin: "14896849817".to_owned(),
        }
    }

    #[test]
    fn a_session_ends_idle_or_old() {
        let sessions = Sessions::default();
        let minutes = |m: u64| Duration::from_secs(m * 60);
        for (what, age, idle, is_alive) in [
            ("fresh", minutes(0), minutes(0), true),
            ("used", minutes(7 * 60), minutes(29), true),
            ("idle", minutes(31), minutes(30), false),
            ("old", minutes(8 * 60), minutes(0), false),
        ] {
            let id = sessions.open(Portal::Citizen, citizen());
            let now = Instant::now();
            // A machine that has just started cannot tell a time so far back.
            let (Some(created), Some(seen)) = (now.checked_sub(age), now.checked_sub(idle)) else {
                println!("skipped: the monotonic clock is younger than the case");
                continue;
            };
            if let Some(session) = sessions.lock().get_mut(&(Portal::Citizen, id.clone())) {
                session.created = created;
                session.seen = seen;
            }
            let held = sessions.touch(Portal::Citizen, &id).is_some();
            assert_eq!(held, is_alive, "{what}");
            assert!(sessions.touch(Portal::Drift, &id).is_none(), "{what}");
        }
    }

    #[test]
    fn ids_and_tokens_are_never_the_same() {
        let sessions = Sessions::default();
        let ids: std::collections::HashSet<String> = (0..100)
            .map(|_| sessions.open(Portal::Citizen, citizen()))
            .collect();
        assert_eq!((ids.len(), sessions.len()), (100, 100));
        let csrf: std::collections::HashSet<String> = ids
            .iter()
            .filter_map(|id| sessions.touch(Portal::Citizen, id))
            .map(|s| s.csrf)
            .collect();
        assert_eq!(csrf.len(), 100);
        assert!(ids.is_disjoint(&csrf));
    }
}
