//! What `/drift` shows and does.

use crate::counts;
use crate::demo::Demo;
use crate::operators::Operators;
use crate::validator::Validator;
use bytes::Bytes;
use edge::Problem;
use meldinger::Exchange;
use meldinger::approval::Approvals;
use meldinger::counter::Counter;
use meldinger::view::{MessageFilter, Viewer};
use portal::approvals::Act;
use portal::counts::CountsQuery;
use portal::drift::{MessageQuery, Operations, PartyQuery};
use registers::{Directory, RegisterTable};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use xmlsec::x509::{Certificate, TrustStore};

/// What it is made of.
pub struct OperationsParts {
    /// The exchange.
    pub exchange: Exchange,
    /// Registers.
    pub directory: Arc<dyn Directory>,
    /// The table, for its numbers.
    pub registers: Arc<RegisterTable>,
    /// The store.
    pub store: Store,
    /// (user name, name, password) of the demo's operator.
    pub operator: Option<(String, String, String)>,
    /// The operators of `helsenav user`.
    pub operators: Operators,
    /// Explains messages.
    pub validator: Arc<Validator>,
    /// Counts messages.
    pub counter: Counter,
    /// Test and approval.
    pub approvals: Approvals,
    /// Authorities of other parties' certificates.
    pub authorities: Arc<crate::authorities::Authorities>,
    /// Clock and story, in demo mode.
    pub demo: Option<Demo>,
    /// Where the hub listens: key of the configuration and address.
    pub listeners: Vec<(&'static str, SocketAddr)>,
}

/// How far back receipts are missed: longer than the last reminder (spec/messaging.md §9).
const RECEIPTS_US: i64 = 14 * 24 * 3_600 * 1_000_000;
/// What the pages ask for that is not one state but several.
const NEEDS_HUMAN: &str = "needs_human";
/// A listener on this machine that has not answered by then does not answer.
const LISTENER_MS: u64 = 300;

/// The operations of this hub.
pub struct HubOperations {
    parts: OperationsParts,
    operator: Option<(String, String, String)>,
}

impl HubOperations {
    /// Hashes the operator's password (argon2id), so that it does not lie in memory.
    pub fn new(mut parts: OperationsParts) -> Self {
        let operator = parts.operator.take().and_then(|(user, name, password)| {
            use argon2::PasswordHasher;
            let hash = argon2::Argon2::default()
                .hash_password(password.as_bytes())
                .ok()?;
            Some((user, name, hash.to_string()))
        });
        Self { parts, operator }
    }

    fn viewer(&self, orgnr: Option<&str>) -> Result<Viewer, Problem> {
        match orgnr {
            None => Ok(Viewer::Operator),
            Some(orgnr) => {
                let organisation = self
                    .parts
                    .directory
                    .organisation(orgnr)
                    .ok_or_else(Problem::not_found)?;
                Ok(Viewer::Party {
                    organisation: organisation.her_id,
                })
            }
        }
    }

    /// The clock of rules, in microseconds.
    fn now_us(&self) -> i64 {
        let demo = self.parts.demo.as_ref();
        demo.map_or_else(edge::clock::real_now_us, |d| d.clock.now_us())
    }
}

impl Operations for HubOperations {
    fn operator(&self, username: &str, password: &str) -> Option<String> {
        use argon2::PasswordVerifier;
        let Some((_, name, hash)) = self.operator.as_ref().filter(|o| o.0 == username) else {
            // As slow for a name that nobody has.
            let found = self.parts.operators.log_in(username, password);
            return found
                .inspect_err(|error| tracing::error!(%error, "an operator's login failed"))
                .ok()?
                .map(|operator| operator.name);
        };
        let is_right = argon2::password_hash::phc::PasswordHash::new(hash).is_ok_and(|hash| {
            argon2::Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        is_right.then(|| name.clone())
    }

    fn may_go_on(&self, username: &str) -> Result<bool, Problem> {
        if self.operator.as_ref().is_some_and(|o| o.0 == username) {
            return Ok(true);
        }
        self.parts.operators.may_go_on(username).map_err(|error| {
            tracing::error!(%error, "an operator could not be looked up");
            Problem::unavailable()
        })
    }

    fn messages(&self, orgnr: Option<&str>, query: &MessageQuery) -> Result<Value, Problem> {
        let viewer = self.viewer(orgnr)?;
        let filter = MessageFilter {
            her_id: query.her_id,
            subject: query.function.clone(),
            needs_human: query.state.as_deref() == Some(NEEDS_HUMAN),
            state: query.state.clone().filter(|state| state != NEEDS_HUMAN),
            cursor: query.before.clone(),
            limit: Some(50),
            ..MessageFilter::default()
        };
        let page = self
            .parts
            .exchange
            .messages(viewer, &filter)
            .map_err(failed)?;
        let summary = self
            .parts
            .exchange
            .summary(viewer, self.now_us() - 86_400_000_000)
            .map_err(failed)?;
        Ok(json!({ "rows": page.rows, "next": page.next, "summary": summary }))
    }

    fn message(&self, orgnr: Option<&str>, id: &str) -> Result<Value, Problem> {
        let viewer = self.viewer(orgnr)?;
        let detail = self
            .parts
            .exchange
            .message(viewer, id)
            .map_err(failed)?
            .ok_or_else(Problem::not_found)?;
        serde_json::to_value(detail).map_err(|_| Problem::internal())
    }

    fn put_back(&self, orgnr: Option<&str>, id: &str) -> Result<Value, Problem> {
        counts::put_back(&self.parts.exchange, self.viewer(orgnr)?, id)
    }

    fn counts(&self, orgnr: Option<&str>, query: &CountsQuery) -> Result<Value, Problem> {
        let viewer = self.viewer(orgnr)?;
        counts::report(&self.parts.counter, viewer, query, self.now_us())
    }

    fn counts_csv(&self, orgnr: Option<&str>, query: &CountsQuery) -> Result<String, Problem> {
        let viewer = self.viewer(orgnr)?;
        counts::csv(&self.parts.counter, viewer, query, self.now_us())
    }

    fn approvals(&self, orgnr: Option<&str>, act: Act) -> Result<Value, Problem> {
        crate::approvals::act(&self.parts.approvals, self.viewer(orgnr)?, act)
    }

    fn count_again(&self) -> Result<Value, Problem> {
        counts::again(&self.parts.counter)
    }

    fn original(&self, orgnr: &str, id: &str) -> Result<(Bytes, String), Problem> {
        let viewer = self.viewer(Some(orgnr))?;
        let bytes = self
            .parts
            .exchange
            .original(viewer, id)
            .map_err(failed)?
            .ok_or_else(Problem::not_found)?;
        Ok((bytes, "application/xml".to_owned()))
    }

    fn validate(&self, bytes: &[u8], language: &str) -> Result<Value, Problem> {
        self.parts.validator.explain(bytes, language)
    }

    fn timeline(&self) -> Value {
        match &self.parts.demo {
            None => json!({ "steps": [], "is_demo": false }),
            Some(demo) => {
                let mut status = demo.story.status();
                let now = jiff::Timestamp::from_microsecond(demo.clock.now_us());
                if let Some(members) = status.as_object_mut() {
                    members.insert("is_demo".to_owned(), Value::from(true));
                    members.insert("now".to_owned(), json!(now.unwrap_or_default().to_string()));
                }
                status
            }
        }
    }

    fn play(&self, until: String) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>> {
        match &self.parts.demo {
            None => Box::pin(async { Err(Problem::not_found()) }),
            Some(demo) => {
                let playing = demo.story.play(until, 0.0);
                Box::pin(async move { playing.await.map_err(Problem::bad_request) })
            }
        }
    }

    fn advance(&self, duration: &str) -> Result<Value, Problem> {
        let demo = self.parts.demo.as_ref().ok_or_else(Problem::not_found)?;
        demo.advance(duration)
    }

    fn parties(&self, query: &PartyQuery) -> Result<Value, Problem> {
        let trust = self.parts.exchange.trust();
        let is_revoked = |der: &[u8]| is_revoked(&trust, der);
        crate::parties::list(&self.parts.registers, query, self.now_us(), &is_revoked)
    }

    fn party_map(&self) -> Result<Value, Problem> {
        Ok(crate::parties::map(&self.parts.registers, self.now_us()))
    }

    fn party(&self, her_id: u32) -> Result<Value, Problem> {
        let trust = self.parts.exchange.trust();
        let is_revoked = |der: &[u8]| is_revoked(&trust, der);
        crate::parties::one(&self.parts.registers, her_id, self.now_us(), &is_revoked)
    }

    fn health(&self) -> Value {
        let (persons, personnel, organisations, parties) = self.parts.registers.counts();
        let queues = self
            .parts
            .exchange
            .queues(Viewer::Operator)
            .map(|q| json!(q))
            .unwrap_or(Value::Null);
        let counters: serde_json::Map<String, Value> = self
            .parts
            .store
            .counters()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let now_s = edge::clock::real_now_us() / 1_000_000;
        let trust = self.parts.exchange.trust();
        // The one that ends first of an organisation's two, unless one is revoked: one line for each organisation.
        let certificates: Vec<Value> = self
            .parts
            .directory
            .top_parties()
            .into_iter()
            .filter_map(|p| {
                let own = [&p.signing_certificate, &p.encryption_certificate];
                let (is_revoked, left_s) = own
                    .into_iter()
                    .filter_map(|der| Certificate::from_der(der.as_deref()?).ok())
                    .map(|certificate| {
                        let is_revoked = trust.revoked_at_unix_s(&certificate).is_some();
                        (is_revoked, certificate.not_after_unix_s() - now_s)
                    })
                    .min_by_key(|(is_revoked, left_s)| (!is_revoked, *left_s))?;
                let days = left_s.div_euclid(86_400);
                let state = match days {
                    _ if is_revoked => "revoked",
                    i64::MIN..=-1 => "expired",
                    0..60 => "soon",
                    _ => "ok",
                };
                Some(json!({
                    "name": p.name,
                    "her_id": p.her_id,
                    "days_left": days,
                    "state": state,
                }))
            })
            .collect();
        let receipts = self
            .parts
            .exchange
            .summary(Viewer::Operator, self.now_us() - RECEIPTS_US)
            .map(|s| json!({ "without_hours": s.without_receipt, "cut": s.cut }))
            .unwrap_or(Value::Null);
        let listeners: Vec<Value> = self
            .parts
            .listeners
            .iter()
            .map(|(name, address)| {
                let wait = Duration::from_millis(LISTENER_MS);
                json!({
                    "name": name,
                    "address": address.to_string(),
                    "answers": TcpStream::connect_timeout(&reachable(*address), wait).is_ok(),
                })
            })
            .collect();
        json!({
            "store": counters,
            "receipts": receipts,
            "listeners": listeners,
            "registers": { "persons": persons, "personnel": personnel, "organisations": organisations, "parties": parties },
            "queues": queues,
            "certificates": certificates,
            "revocation": self.parts.authorities.view(now_s),
            "heads": self.parts.store.heads(5).map(|h| json!(h.iter().map(|h| json!({"day": h.day, "closed": h.closed})).collect::<Vec<_>>())).unwrap_or(Value::Null),
        })
    }
}

/// Whether a certificate, DER, is on a revocation list that is known here.
fn is_revoked(trust: &TrustStore, der: &[u8]) -> bool {
    Certificate::from_der(der)
        .is_ok_and(|certificate| trust.revoked_at_unix_s(&certificate).is_some())
}

/// An address that can be called: a listener on every interface is called on this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn failed(error: meldinger::ExchangeError) -> Problem {
    tracing::error!(%error, "messages could not be read");
    Problem::unavailable()
}
