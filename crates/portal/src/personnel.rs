//! The pages of health personnel (spec/portals.md §4). Login goes through HelseID, as for any other client.

use crate::PortalState;
use crate::session::{PersonnelSession, PersonnelWho, Portal, Who, enter, is_secure};
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edge::{Problem, blocking, cookie};
use kjernejournal::find::{Choice, Hit};
use kjernejournal::summary::Opened;
use serde::Deserialize;
use std::pin::Pin;
use trust::{Basis, Part, Principal};

/// A future of the login.
pub type LoginFuture<T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send>>;

/// A login begun: where the browser goes, and what must come back with it.
pub struct Begun {
    /// Address at HelseID.
    pub url: String,
    /// Kept in a short-lived cookie until the browser comes back.
    pub state: String,
}

/// Who came back from HelseID.
#[derive(Clone)]
pub struct Identity {
    /// National id.
    pub nin: String,
    /// HPR number.
    pub hpr: Option<String>,
    /// `security_level` as claimed.
    pub security_level: String,
    /// Main unit.
    pub orgnr_parent: String,
    /// Sub unit.
    pub orgnr_child: String,
    /// Client.
    pub client_id: String,
}

/// Login through HelseID (authorization code, PAR, PKCE, DPoP); given by the hub.
pub trait PersonnelLogin: Send + Sync {
    /// Begins one; `portal` decides where the browser lands afterwards.
    fn begin(&self, portal: Portal) -> LoginFuture<Begun>;
    /// Ends one: the query of the callback, and the state kept.
    fn finish(&self, query: String, state: String) -> LoginFuture<Identity>;
}

const STATE_COOKIE: &str = "helsenav_helseid_state";
const MAX_QUERY: usize = 8_192;

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/helsepersonell/logginn", get(begin_personnel))
        .route("/drift/logginn/helseid", get(begin_drift))
        .route("/helsepersonell/callback", get(callback))
        .route("/api/personnel/find", post(find))
        .route("/api/personnel/choose", post(choose))
        .route("/api/personnel/open", post(open))
        .route("/api/personnel/leave", post(leave))
        .route("/api/personnel/documents/{id}", get(document))
}

async fn begin_personnel(
    State(state): State<PortalState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    begin(state, Portal::Personnel, None, &headers).await
}

/// Where a login at `/drift` leads.
#[derive(Deserialize)]
struct Return {
    retur: Option<String>,
}

async fn begin_drift(
    State(state): State<PortalState>,
    Query(query): Query<Return>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let back = query.retur.filter(|to| is_drift_page(to));
    begin(state, Portal::Drift, back, &headers).await
}

/// Whether an address is one of our own pages at `/drift`: nothing that a browser would read as another host.
fn is_drift_page(to: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~?=&%:".contains(&b);
    to.len() <= 500
        && to.bytes().all(is_plain)
        && (to == "/drift" || to.starts_with("/drift/") || to.starts_with("/drift?"))
        && !to.split(['/', '?']).any(|part| part == "..")
}

async fn begin(
    state: PortalState,
    portal: Portal,
    back: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let begun = state.personnel_login.begin(portal).await?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(&begun.url).map_err(|_| Problem::internal())?;
    response.headers_mut().insert(header::LOCATION, location);
    let word = match portal {
        Portal::Drift => "drift",
        _ => "personnel",
    };
    let mut kept = format!("{word}.{}", begun.state);
    if let Some(back) = back {
        kept.push('.');
        kept.push_str(&URL_SAFE_NO_PAD.encode(back));
    }
    if let Some(value) = cookie::set(STATE_COOKIE, &kept, is_secure(headers), Some(600)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

async fn callback(
    State(state): State<PortalState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query
        .filter(|q| q.len() <= MAX_QUERY)
        .ok_or_else(|| Problem::bad_request("no answer from HelseID"))?;
    let kept = cookie::get(&headers, STATE_COOKIE).ok_or_else(|| {
        Problem::bad_request("the login took too long or began in another browser; begin again")
    })?;
    let (word, kept) = kept
        .split_once('.')
        .ok_or_else(|| Problem::bad_request("begin the login again"))?;
    // The cookie is the browser's word: what it says is checked again.
    let (kept, back) = kept.split_once('.').unwrap_or((kept, ""));
    let back = URL_SAFE_NO_PAD
        .decode(back)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|to| is_drift_page(to));
    let portal = if word == "drift" {
        Portal::Drift
    } else {
        Portal::Personnel
    };
    let identity = state.personnel_login.finish(query, kept.to_owned()).await?;
    let who = person(&state, identity);
    let (who, to) = match portal {
        Portal::Drift => (Who::Party(who), back.as_deref().unwrap_or("/drift")),
        _ => (Who::Personnel(who), "/helsepersonell"),
    };
    let mut response = enter(&state, portal, who, to, &headers).await?;
    if let Some(value) = cookie::set(STATE_COOKIE, "", is_secure(&headers), Some(0)) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

fn person(state: &PortalState, identity: Identity) -> PersonnelWho {
    let practitioner = state.directory.practitioner_by_nin(&identity.nin);
    let name = practitioner
        .as_ref()
        .map(|p| p.name.full())
        .or_else(|| state.directory.person(&identity.nin).map(|p| p.name.full()))
        .unwrap_or_default();
    let workplace = practitioner.as_ref().and_then(|p| {
        p.workplaces
            .iter()
            .find(|w| w.orgnr_child == identity.orgnr_child)
            .or(p.workplaces.first())
    });
    let organisation = state
        .directory
        .organisation(&identity.orgnr_parent)
        .map(|o| o.name)
        .unwrap_or_default();
    PersonnelWho {
        name,
        role: practitioner
            .as_ref()
            .and_then(|p| p.authorisations.first().map(|a| a.role.clone())),
        department: workplace.and_then(|w| w.department.clone()),
        organisation,
        nin: identity.nin.clone(),
        orgnr_parent: identity.orgnr_parent.clone(),
        principal: Principal::Personnel {
            nin: identity.nin,
            hpr: identity.hpr,
            role: None,
            security_level: identity.security_level,
            orgnr_parent: identity.orgnr_parent,
            orgnr_child: identity.orgnr_child,
            client_id: identity.client_id,
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    query: String,
}

async fn find(
    State(state): State<PortalState>,
    session: PersonnelSession,
    Json(body): Json<Find>,
) -> Result<Json<Vec<Hit>>, Problem> {
    blocking(move || {
        state
            .kjernejournal
            .find(&session.who.principal, &body.query)
            .map(Json)
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choose {
    nin: String,
}

async fn choose(
    State(state): State<PortalState>,
    session: PersonnelSession,
    Json(body): Json<Choose>,
) -> Result<Json<Choice>, Problem> {
    let kjernejournal = state.kjernejournal.clone();
    let choice =
        blocking(move || kjernejournal.choose(&session.who.principal, &body.nin)).await??;
    state
        .sessions
        .choose_patient(&session.id, Some(choice.patient.nin.clone()))
        .await?;
    Ok(Json(choice))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    basis: String,
    part: Option<String>,
}

async fn open(
    State(state): State<PortalState>,
    session: PersonnelSession,
    Json(body): Json<Open>,
) -> Result<Json<Opened>, Problem> {
    blocking(move || {
        let nin = session
            .patient
            .ok_or_else(|| Problem::bad_request("choose a patient first"))?;
        let basis = Basis::parse(&body.basis).ok_or_else(|| {
            Problem::bad_request(
                "basis must be UNNTAK, SAMTYKKE, AKUTT, FORHOYET_SAMTYKKE or FORHOYET_AKUTT",
            )
        })?;
        let part = match body.part.as_deref() {
            None => None,
            Some(code) => Some(
                Part::parse(code)
                    .ok_or_else(|| Problem::bad_request("no such part of a record"))?,
            ),
        };
        state
            .kjernejournal
            .open(
                &session.who.principal,
                &nin,
                basis,
                part,
                uuid::Uuid::now_v7(),
            )
            .map(Json)
    })
    .await?
}

async fn leave(
    State(state): State<PortalState>,
    session: PersonnelSession,
) -> Result<StatusCode, Problem> {
    state.sessions.choose_patient(&session.id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct DocumentQuery {
    basis: String,
}

async fn document(
    State(state): State<PortalState>,
    session: PersonnelSession,
    Path(id): Path<String>,
    Query(query): Query<DocumentQuery>,
) -> Result<Json<serde_json::Value>, Problem> {
    blocking(move || {
        let nin = session
            .patient
            .ok_or_else(|| Problem::bad_request("choose a patient first"))?;
        let basis =
            Basis::parse(&query.basis).ok_or_else(|| Problem::bad_request("basis is not known"))?;
        let context = records::source::ViewContext {
            trust: state.trust.clone(),
            snapshot: state.trust.store().snapshot()?,
            principal: session.who.principal.clone(),
            subject: trust::gather::SubjectRef::Nin(nin),
            interface: trust::Interface::PersonnelPortal,
            basis,
            elevated_part: None,
            service: "kjernejournal",
            api: "dokument".to_owned(),
            event_id: uuid::Uuid::now_v7(),
        };
        Ok(Json(serde_json::json!(
            state.dokumenter.letter_for_citizen(&context, &id)?
        )))
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_our_own_pages_only() {
        for (to, is_right) in [
            ("/drift", true),
            ("/drift/klienter/a-b?port=1337&path=callback", true),
            ("/drift?x=1", true),
            ("/driftx", false),
            ("//evil.no/drift", false),
            ("https://evil.no/drift", false),
            ("/drift/../evil", false),
            ("/drift/\\evil.no", false),
            ("/drift/\r\nSet-Cookie: x", false),
            ("", false),
        ] {
            assert_eq!(is_drift_page(to), is_right, "{to}");
        }
        assert!(!is_drift_page(&format!("/drift/{}", "x".repeat(500))));
    }
}
