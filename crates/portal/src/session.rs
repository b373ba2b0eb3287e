//! Sessions: a random id in an HttpOnly cookie, everything else in the hub's state, sealed, under the hash of the id.
//!
//! A restart logs nobody out, and processes that share a store share the sessions; expired ones are swept with the rest of
//! the state. A sign of life is written at most once a minute, so a session may end up to a minute before its half hour.
//! Invariants, guarded by the tests: an ended session stays ended, whatever other requests write at the same moment; an
//! id of one portal opens no other.

use crate::PortalState;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, cookie};
use jose::state::{Clock, State as Kept, StateError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use trust::Principal;

/// Ends after this long without a request, seconds (spec/helsenorge.md §2.1).
pub const IDLE_S: i64 = 30 * 60;
/// Ends after this long whatever happens, seconds.
pub const ABSOLUTE_S: i64 = 8 * 3_600;
/// How often a sign of life is written down.
const SEEN_EVERY_S: i64 = 60;
const ATTEMPTS: usize = 8;
/// Length of an id: 256 bits in base64url.
const ID_CHARS: usize = 43;
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
#[derive(Clone, Serialize, Deserialize)]
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
        /// Login; asked for at each request, so that a block ends the session.
        #[serde(default)]
        username: String,
    },
}

/// A person logged in through HelseID.
#[derive(Clone, Serialize, Deserialize)]
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
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub who: Who,
    /// Must stand in `x-csrf-token` of unsafe requests.
    pub csrf: String,
    /// Patient chosen by personnel.
    pub patient: Option<String>,
    /// When it began, seconds since 1970.
    created_s: i64,
    /// Last sign of life that was written down.
    seen_s: i64,
}

/// All sessions, wherever the state keeps them.
pub struct Sessions {
    state: Arc<dyn Kept>,
    clock: Clock,
}

impl Sessions {
    /// Sessions in this state, on real time.
    #[must_use]
    pub fn new(state: Arc<dyn Kept>, clock: Clock) -> Self {
        Self { state, clock }
    }

    /// Opens one; returns its id.
    ///
    /// # Errors
    /// 503 when it cannot be kept.
    pub async fn open(&self, portal: Portal, who: Who) -> Result<String, Problem> {
        let id = cookie::random_token();
        let now_s = (self.clock)();
        let session = Session {
            who,
            csrf: cookie::random_token(),
            patient: None,
            created_s: now_s,
            seen_s: now_s,
        };
        let key = key(portal, &id).ok_or_else(Problem::internal)?;
        let kept = session.to_bytes()?;
        self.state
            .put(&key, kept, session.expires_s())
            .await
            .map_err(not_kept)?;
        Ok(id)
    }

    /// A live session; counts as a sign of life.
    ///
    /// # Errors
    /// 503 when it cannot be read.
    pub async fn touch(&self, portal: Portal, id: &str) -> Result<Option<Session>, Problem> {
        let Some(key) = key(portal, id) else {
            return Ok(None);
        };
        let Some(kept) = self.state.get(&key).await.map_err(not_kept)? else {
            return Ok(None);
        };
        let now_s = (self.clock)();
        let session = Session::read(&kept).filter(|session| session.is_alive(now_s));
        let Some(session) = session else {
            self.state.take(&key).await.map_err(not_kept)?;
            return Ok(None);
        };
        if now_s - session.seen_s >= SEEN_EVERY_S {
            let mut next = session.clone();
            next.seen_s = now_s;
            // Whoever was faster wrote the same, or ended it: an ended session stays ended.
            self.state
                .replace(&key, &kept, next.to_bytes()?, next.expires_s())
                .await
                .map_err(not_kept)?;
        }
        Ok(Some(session))
    }

    /// Chooses the patient of a personnel session.
    ///
    /// # Errors
    /// 503 when it cannot be kept, 401 when it has ended meanwhile.
    pub async fn choose_patient(&self, id: &str, nin: Option<String>) -> Result<(), Problem> {
        let key = key(Portal::Personnel, id).ok_or_else(Problem::unauthorized)?;
        // Another request of the same page may write at the same moment.
        for _ in 0..ATTEMPTS {
            let kept = self.state.get(&key).await.map_err(not_kept)?;
            let kept = kept.ok_or_else(Problem::unauthorized)?;
            let mut session = Session::read(&kept).ok_or_else(Problem::unauthorized)?;
            session.patient.clone_from(&nin);
            let next = session.to_bytes()?;
            let written = self
                .state
                .replace(&key, &kept, next, session.expires_s())
                .await;
            if written.map_err(not_kept)? {
                return Ok(());
            }
        }
        Err(Problem::unavailable())
    }

    /// Ends one.
    ///
    /// # Errors
    /// 503 when that cannot be kept.
    pub async fn close(&self, portal: Portal, id: &str) -> Result<(), Problem> {
        match key(portal, id) {
            Some(key) => self.state.take(&key).await.map(drop).map_err(not_kept),
            None => Ok(()),
        }
    }
}

impl Session {
    const fn is_alive(&self, now_s: i64) -> bool {
        now_s - self.seen_s < IDLE_S && now_s - self.created_s < ABSOLUTE_S
    }

    /// When it ends without a further sign of life.
    fn expires_s(&self) -> i64 {
        (self.seen_s + IDLE_S).min(self.created_s + ABSOLUTE_S)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|_| Problem::internal())
    }

    /// `None` for what another version of the program kept: its user logs in again.
    fn read(kept: &[u8]) -> Option<Self> {
        serde_json::from_slice(kept).ok()
    }
}

/// Its place in the state, which hashes it: whoever reads the store cannot use it.
fn key(portal: Portal, id: &str) -> Option<String> {
    let is_ours = id.len() == ID_CHARS
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    is_ours.then(|| format!("portal-session/{}/{id}", portal.cookie()))
}

fn not_kept(error: StateError) -> Problem {
    tracing::error!(%error, "a session of the portals could not be kept or read");
    Problem::unavailable()
}

/// Logs in: cookie and redirect to a local path.
///
/// # Errors
/// 503 when the session cannot be kept.
pub async fn enter(
    state: &PortalState,
    portal: Portal,
    who: Who,
    return_to: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let id = state.sessions.open(portal, who).await?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Some(value) = cookie::set(portal.cookie(), &id, is_secure(headers), None) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    let to = HeaderValue::from_str(return_to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whether the request came over TLS (its own, or a trusted proxy's word).
pub fn is_secure(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|v| v == "https")
}

async fn session_of(
    parts: &Parts,
    state: &PortalState,
    portal: Portal,
) -> Result<(String, Session), Problem> {
    let id = cookie::get(&parts.headers, portal.cookie()).ok_or_else(Problem::unauthorized)?;
    let session = state
        .sessions
        .touch(portal, &id)
        .await?
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
        match session_of(parts, state, Portal::Citizen).await?.1.who {
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
        let (id, session) = session_of(parts, state, Portal::Personnel).await?;
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
        match session_of(parts, state, Portal::Drift).await?.1.who {
            Who::Operator { name, username } => {
                let operations = state.operations.clone();
                match edge::blocking(move || operations.may_go_on(&username)).await?? {
                    true => Ok(Self::Operator { name }),
                    false => Err(Problem::unauthorized()),
                }
            }
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
    let session = match cookie::get(&headers, portal.cookie()) {
        Some(id) => state.sessions.touch(portal, &id).await?,
        None => None,
    };
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
        Some(Who::Operator { name, .. }) => {
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
        state.sessions.close(portal, &id).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(value) = cookie::set(portal.cookie(), "", is_secure(&headers), Some(0)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::MemoryState;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn citizen() -> Who {
        Who::Citizen {
            nin: "14896849817".to_owned(),
        }
    }

    struct World {
        time: Arc<AtomicI64>,
        state: Arc<dyn Kept>,
        clock: Clock,
    }

    impl World {
        fn new() -> Self {
            let time = Arc::new(AtomicI64::new(1_000_000));
            let shared = time.clone();
            let clock: Clock = Arc::new(move || shared.load(Ordering::SeqCst));
            let state = Arc::new(MemoryState::new(clock.clone(), 10_000));
            Self { time, state, clock }
        }

        /// What a process knows after its start: nothing of its own.
        fn process(&self) -> Sessions {
            Sessions::new(self.state.clone(), self.clock.clone())
        }

        fn wait_s(&self, seconds: i64) {
            self.time.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_session_ends_idle_or_old_and_not_by_a_restart() {
        for (step_s, steps, is_alive) in [
            (1_799, 1, true),
            (1_800, 1, false),
            // A request each quarter of an hour, until eight hours are over.
            (900, 31, true),
            (900, 32, false),
            // Many requests between two signs of life that are written down.
            (59, 400, true),
        ] {
            let world = World::new();
            let id = world
                .process()
                .open(Portal::Citizen, citizen())
                .await
                .unwrap();
            let mut is_held = true;
            for _ in 0..steps {
                world.wait_s(step_s);
                let sessions = world.process();
                is_held = sessions
                    .touch(Portal::Citizen, &id)
                    .await
                    .unwrap()
                    .is_some();
                assert!(sessions.touch(Portal::Drift, &id).await.unwrap().is_none());
            }
            assert_eq!(is_held, is_alive, "{steps} steps of {step_s} s");
        }
    }

    #[tokio::test]
    async fn an_ended_session_stays_ended() {
        let world = World::new();
        let (one, other) = (world.process(), world.process());
        let id = one.open(Portal::Personnel, citizen()).await.unwrap();
        other
            .choose_patient(&id, Some("a".to_owned()))
            .await
            .unwrap();
        let seen = one.touch(Portal::Personnel, &id).await.unwrap().unwrap();
        assert_eq!(seen.patient.as_deref(), Some("a"));
        other.close(Portal::Personnel, &id).await.unwrap();
        assert!(one.touch(Portal::Personnel, &id).await.unwrap().is_none());
        assert!(one.choose_patient(&id, None).await.is_err());
        assert!(one.touch(Portal::Personnel, &id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_another_version_kept_is_no_session() {
        let world = World::new();
        let id = cookie::random_token();
        let place = key(Portal::Drift, &id).unwrap();
        world
            .state
            .put(&place, b"{}".to_vec(), 2_000_000)
            .await
            .unwrap();
        let sessions = world.process();
        assert!(sessions.touch(Portal::Drift, &id).await.unwrap().is_none());
        assert_eq!(world.state.get(&place).await.unwrap(), None);
        for id in ["", "x", &"x".repeat(44), &"/".repeat(43), &"å".repeat(43)] {
            assert!(sessions.touch(Portal::Drift, id).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn ids_and_tokens_are_never_the_same() {
        let sessions = World::new().process();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            let id = sessions.open(Portal::Citizen, citizen()).await.unwrap();
            let session = sessions.touch(Portal::Citizen, &id).await.unwrap().unwrap();
            assert!(seen.insert(id) && seen.insert(session.csrf));
        }
    }
}
