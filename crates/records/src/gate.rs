//! The gate of a repository: who calls, and what the call may see (spec/privacy.md §4.1, column "Inner FHIR").
//!
//! Two steps: [`Gate::authenticate`] looks at the request alone; [`Gate::decide`] at the patient too. A denial that must
//! look like "no data" is not an error here: it is a grant with a closed filter, so that the same query path runs.

use crate::planner::Cond;
use crate::smart::{self, Launch, Scopes};
use axum::http::{HeaderMap, StatusCode, header};
use jose::rs::{AccessToken, Presented, Requirement, ResourceServer};
use registers::FNR_SYSTEM;
use std::sync::Arc;
use store::{AuditEntry, Granted, PersonKey, Snapshot, StoreError};
use trust::gather::SubjectRef;
use trust::{
    Access, Action, Ask, AttestFacts, Basis, Class, Controller, Decided, Decision, DenyClass,
    Interface, Principal, Purpose, Trust,
};

/// Why a call is refused openly. Everything else is answered as "no data".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status: 400, 401 or 403.
    pub status: StatusCode,
    /// FHIR issue type.
    pub issue: &'static str,
    /// What was wrong and what to do; never about the patient.
    pub text: String,
    /// `WWW-Authenticate`, for 401.
    pub authenticate: Option<String>,
}

impl Refusal {
    /// 400 with issue `invalid`.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            issue: "invalid",
            text: text.into(),
            authenticate: None,
        }
    }

    /// 403 with issue `forbidden`.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            issue: "forbidden",
            text: text.into(),
            authenticate: None,
        }
    }
}

/// A caller whose token, headers and basis have been read.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// On what ground.
    pub basis: Basis,
    /// Why, when said.
    pub purpose: Option<Purpose>,
    /// Attest, when the token carries one.
    pub attest: Option<AttestFacts>,
    /// The patient named in a header.
    pub named: Option<SubjectRef>,
    /// The token opens the repository only through kjernejournal: its settings count too.
    pub through_kjernejournal: bool,
    /// Scopes on resources that narrow what the token opens; `None` = it has none and is not narrowed.
    pub smart: Option<Arc<Scopes>>,
    /// Event id of the request; stands in the answer as `x-event-id`.
    pub event_id: uuid::Uuid,
}

impl Caller {
    /// A caller without token, for open repositories.
    pub fn anonymous() -> Self {
        Self {
            principal: Principal::Anonymous,
            basis: Basis::None,
            purpose: None,
            attest: None,
            named: None,
            through_kjernejournal: false,
            smart: None,
            event_id: edge::headers::new_uuid(),
        }
    }
}

/// What a call may see.
#[derive(Clone, Debug)]
pub struct Gated {
    /// The grant of every store read of this call.
    pub granted: Granted,
    /// The patient's key, where the call is about one.
    pub person: Option<PersonKey>,
    /// The decision, for the log line; absent in open repositories.
    pub decided: Option<Arc<Decided>>,
    /// Conditions under which the Patient view is shown, one list per scope that opens it; `None` = without any.
    pub(crate) views: Option<Arc<Vec<Vec<Cond>>>>,
}

impl Gated {
    /// Writes the log line, durably, before the answer goes out.
    pub fn record(&self, trust: Option<&Trust>, items: &[String]) -> Result<(), StoreError> {
        match (&self.decided, trust) {
            (Some(decided), Some(trust)) => trust.record(decided, items),
            _ => Ok(()),
        }
    }

    /// The denial came from a step that looks at the patient, not from the caller's own standing (spec/privacy.md §3).
    fn depends_on_subject(&self) -> bool {
        matches!(
            self.decided.as_deref().map(|d| &d.decision),
            Some(Decision::Deny {
                reason: "exception-without-title" | "nothing-restricted",
                ..
            })
        )
    }

    /// The log line as part of a commit.
    pub fn entries(&self, items: &[String]) -> Vec<AuditEntry> {
        self.decided.iter().map(|d| d.entry(items)).collect()
    }
}

/// The gate of one repository.
pub trait Gate: Send + Sync {
    /// Reads the caller out of the request.
    fn authenticate(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal>;
    /// Decides on one patient. `classes`: what is asked for; empty = everything of the repository.
    fn decide(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        subject: Option<SubjectRef>,
        action: Action,
        classes: &[Class],
    ) -> Result<Result<Gated, Refusal>, StoreError>;
    /// No privacy filter, no token (the sandbox).
    fn is_open(&self) -> bool;
    /// The decision maker, for repositories that have one.
    fn trust(&self) -> Option<&Trust>;
    /// A grant of the hub, to find out whose record an id is before deciding.
    fn hub_grant(&self) -> Granted;
    /// National scopes that open the repository, to be told to clients.
    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The sandbox: everybody, everything.
pub struct OpenGate {
    grant: Granted,
}

impl OpenGate {
    /// With the hub's own grant.
    pub fn new(grant: Granted) -> Self {
        Self { grant }
    }
}

impl Gate for OpenGate {
    fn authenticate(&self, _: &str, _: &str, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let scopes = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(smart::unverified);
        Ok(Caller {
            smart: scopes.map(Arc::new),
            ..Caller::anonymous()
        })
    }

    fn decide(
        &self,
        _: &Snapshot,
        _: &Caller,
        _: Option<SubjectRef>,
        _: Action,
        _: &[Class],
    ) -> Result<Result<Gated, Refusal>, StoreError> {
        Ok(Ok(Gated {
            granted: self.grant.clone(),
            person: None,
            decided: None,
            views: None,
        }))
    }

    fn is_open(&self) -> bool {
        true
    }

    fn trust(&self) -> Option<&Trust> {
        None
    }

    fn hub_grant(&self) -> Granted {
        self.grant.clone()
    }
}

/// The gate of a clinical repository.
pub struct TrustGate {
    /// The decision maker.
    pub trust: Arc<Trust>,
    /// Controller of the repository.
    pub controller: Controller,
    /// Checkers by audience: the repository's own first, kjernejournal's where it opens the repository too.
    pub servers: Vec<AudienceRule>,
    /// Service name in the log.
    pub service: &'static str,
}

/// An audience with its scopes.
pub struct AudienceRule {
    /// Checks tokens of this audience.
    pub server: ResourceServer,
    /// One of these scopes must be there.
    pub scopes: Vec<String>,
    /// Tokens of this rule see the repository through kjernejournal.
    pub through_kjernejournal: bool,
}

impl TrustGate {
    fn token(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(AccessToken, bool), Refusal> {
        let all = |name: &str| -> Vec<String> {
            headers
                .get_all(name)
                .iter()
                .filter_map(|v| v.to_str().ok())
                .map(str::to_owned)
                .collect()
        };
        let (authorization, dpop) = (all(header::AUTHORIZATION.as_str()), all("dpop"));
        let authorization: Vec<&str> = authorization.iter().map(String::as_str).collect();
        let dpop: Vec<&str> = dpop.iter().map(String::as_str).collect();
        let presented = Presented {
            method,
            path,
            authorization: &authorization,
            dpop: &dpop,
            now_s: edge::clock::real_now_us() / 1_000_000,
        };
        let mut first_error = None;
        for rule in &self.servers {
            let scopes: Vec<&str> = rule.scopes.iter().map(String::as_str).collect();
            match rule
                .server
                .check(&presented, &Requirement::scope(&scopes).with_organisation())
            {
                Ok(token) => return Ok((token, rule.through_kjernejournal)),
                Err(error) => {
                    first_error.get_or_insert((
                        error.status(),
                        error.www_authenticate(rule.server.algs()),
                        error,
                    ));
                }
            }
        }
        let Some((status, authenticate, error)) = first_error else {
            return Err(Refusal::forbidden("no audience"));
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
        Err(Refusal {
            status,
            issue: if status == StatusCode::UNAUTHORIZED {
                "login"
            } else {
                "forbidden"
            },
            text: error.to_string(),
            authenticate: Some(authenticate),
        })
    }
}

/// The patient of `patient/` scopes: whom the token names, else whom the request names.
fn launch_of(token: &AccessToken) -> Launch {
    match token.claims.0.get("patient").and_then(|v| v.as_str()) {
        Some(id) => Launch::Patient(id.to_owned()),
        None => Launch::Request,
    }
}

const BASIS_HEADERS: [&str; 3] = ["nhn-access-basis", "hit-access-basis", "access-basis"];
const ROLE_HEADERS: [&str; 2] = ["nhn-user-role", "hit-user-role"];
const PATIENT_HEADERS: [&str; 3] = ["nhn-patient-nin", "hit-patient-pid", "person-id"];

/// The one value of several spellings of a header; two different values are an error.
fn one_of(headers: &HeaderMap, names: &[&str]) -> Result<Option<String>, Refusal> {
    let mut found: Option<String> = None;
    for name in names {
        for value in headers.get_all(*name) {
            let value = value
                .to_str()
                .map_err(|_| Refusal::bad_request(format!("header {name} is not plain text")))?
                .trim();
            match &found {
                Some(earlier) if earlier != value => {
                    return Err(Refusal::bad_request(format!(
                        "header {name} contradicts another spelling of itself"
                    )));
                }
                _ => found = Some(value.to_owned()),
            }
        }
    }
    Ok(found.filter(|v| !v.is_empty()))
}

impl Gate for TrustGate {
    fn authenticate(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        let (token, through_kjernejournal) = self.token(method, path, headers)?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let level = token
            .security_level()
            .map(|l| l.to_string())
            .unwrap_or_default();
        let principal = match token.pid() {
            Some(pid) => Principal::Personnel {
                nin: pid.to_owned(),
                hpr: token.hpr_number().map(str::to_owned),
                role: one_of(headers, &ROLE_HEADERS)?,
                security_level: level,
                orgnr_parent: text(token.orgnr_parent()),
                orgnr_child: text(token.orgnr_child().or(token.orgnr_parent())),
                client_id: text(token.client_id()),
            },
            None => Principal::System {
                client_id: text(token.client_id()),
                orgnr_parent: text(token.orgnr_parent()),
            },
        };
        let basis = match one_of(headers, &BASIS_HEADERS)? {
            Some(code) => Basis::parse(&code).ok_or_else(|| {
                Refusal::bad_request(
                    "nhn-access-basis must be UNNTAK, SAMTYKKE, AKUTT, FORHOYET_SAMTYKKE or FORHOYET_AKUTT",
                )
            })?,
            None if self.controller == Controller::PJD => Basis::Law45,
            None => return Err(Refusal::bad_request("header nhn-access-basis is missing")),
        };
        let named = match one_of(headers, &PATIENT_HEADERS)? {
            None => None,
            Some(nin) => Some(SubjectRef::Nin(
                codes::ident::Nin::parse(&nin)
                    .map(|n| n.as_str().to_owned())
                    .map_err(|_| {
                        Refusal::bad_request("header nhn-patient-nin is not a valid national id")
                    })?,
            )),
        };
        Ok(Caller {
            principal,
            basis,
            purpose: None,
            attest: None,
            named,
            through_kjernejournal,
            smart: Scopes::of(token.scopes(), launch_of(&token)).map(Arc::new),
            event_id: uuid::Uuid::now_v7(),
        })
    }

    fn decide(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        subject: Option<SubjectRef>,
        action: Action,
        classes: &[Class],
    ) -> Result<Result<Gated, Refusal>, StoreError> {
        let subjects_differ = match (&caller.named, &subject) {
            (Some(named), Some(subject)) => {
                self.key_of(named)? != self.key_of(subject)? || self.is_other(named, subject)
            }
            _ => false,
        };
        let Some(subject) = subject.or_else(|| caller.named.clone()) else {
            return Ok(Err(Refusal::bad_request(
                "a search must come down to exactly one patient: give patient, patient.identifier, or the header nhn-patient-nin",
            )));
        };
        // Data of the other two seen with kjernejournal's token are seen through kjernejournal: its settings count too.
        let interface = if caller.through_kjernejournal && self.controller != Controller::KJ {
            Interface::CriticalInformation
        } else {
            Interface::InnerFhir
        };
        let interface = match (interface, self.controller) {
            (Interface::CriticalInformation, Controller::PJD) => Interface::PjdKj,
            (Interface::CriticalInformation, _) => Interface::PersonnelPortal,
            (other, _) => other,
        };
        let mut ask = Ask::read(interface, self.controller, caller.basis)
            .with_action(action)
            .with_classes(classes.iter().copied());
        ask.subjects_differ = subjects_differ;
        let is_nobody = matches!(&subject, SubjectRef::Nin(nin) if nin.is_empty());
        // The log's service is the one through which the look-up was made (spec/privacy.md §9.2).
        let service = if caller.through_kjernejournal {
            "kjernejournal"
        } else {
            self.service
        };
        let mut access = Access::new(caller.principal.clone(), Some(subject), ask, service);
        access.api = format!("fhir/{}", self.service);
        access.purpose = caller.purpose;
        access.attest.clone_from(&caller.attest);
        access.event_id = caller.event_id;
        let decided = self.trust.decide(snapshot, &access)?;
        let denied = decided.decision.denied();
        let gated = Gated {
            granted: decided.granted.clone(),
            person: decided.person,
            decided: Some(Arc::new(decided)),
            views: None,
        };
        let refusal = match denied {
            None => return Ok(Ok(gated)),
            // Reads look like "no data"; a write cannot, so it is refused without ground (case 14).
            Some(
                DenyClass::Block
                | DenyClass::Machine
                | DenyClass::Restr
                | DenyClass::Resv
                | DenyClass::State
                | DenyClass::Address
                | DenyClass::None,
            ) => {
                if !action.is_write() {
                    return Ok(Ok(gated));
                }
                Refusal::forbidden("not allowed for this patient")
            }
            // An id that nobody has answers like a hidden one: the steps that look at the patient's settings are silent.
            Some(DenyClass::Basis | DenyClass::NotNeeded)
                if is_nobody && gated.depends_on_subject() && !action.is_write() =>
            {
                return Ok(Ok(gated));
            }
            Some(class) => open_refusal(class),
        };
        // A refusal is a line in the log as well.
        gated.record(Some(&self.trust), &[])?;
        Ok(Err(refusal))
    }

    fn is_open(&self) -> bool {
        false
    }

    fn trust(&self) -> Option<&Trust> {
        Some(&self.trust)
    }

    fn hub_grant(&self) -> Granted {
        self.trust.hub("find-subject")
    }

    fn scopes(&self) -> Vec<String> {
        self.servers
            .iter()
            .flat_map(|rule| rule.scopes.iter().cloned())
            .collect()
    }
}

/// The refusal of a class that is told openly.
fn open_refusal(class: DenyClass) -> Refusal {
    match class {
        DenyClass::Auth => Refusal {
            status: StatusCode::UNAUTHORIZED,
            issue: "login",
            text: "a token is needed".to_owned(),
            authenticate: Some("DPoP".to_owned()),
        },
        DenyClass::Form => Refusal::bad_request("the request names two different patients"),
        DenyClass::Basis => {
            Refusal::forbidden("this access basis is not open to this caller; use another")
        }
        DenyClass::NotNeeded => {
            Refusal::bad_request("not restricted: send the basis without FORHOYET_")
        }
        _ => Refusal::forbidden("this role, organisation or client may not do this here"),
    }
}

impl TrustGate {
    fn key_of(&self, subject: &SubjectRef) -> Result<Option<PersonKey>, StoreError> {
        match subject {
            SubjectRef::Key(key) => Ok(Some(*key)),
            SubjectRef::Nin(nin) => self.trust.store().person(FNR_SYSTEM, nin),
        }
    }

    /// Two unknown ids have no keys to compare.
    fn is_other(&self, a: &SubjectRef, b: &SubjectRef) -> bool {
        match (a, b) {
            (SubjectRef::Nin(a), SubjectRef::Nin(b)) if a != b => {
                let current = |nin: &str| {
                    self.trust
                        .directory()
                        .person(nin)
                        .map(|p| p.nin)
                        .unwrap_or(nin.to_owned())
                };
                current(a) != current(b)
            }
            _ => false,
        }
    }
}
