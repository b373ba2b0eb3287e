//! Delivery by websocket: bind with a token, then notifications as they come (backport guide); `bind [id]` and `ping [id]`
//! for subscriptions with R4 criteria.
//!
//! Texts from the client: `bind-with-token [token]` (a colon may follow the word; the form
//! `{"type":"bind-with-token","payload":{"token":…}}` of common client libraries is understood too), `unbind-from-token`,
//! `bind [id]`, `ping`. A bound subscription first gets a handshake, then everything that was not sent yet.

use super::definition::{Channel, Definition, Status};
use super::ledger::Ledger;
use super::notify::{self, Kind, Notice};
use super::{Subscriptions, hook};
use crate::gate::Caller;
use crate::outcome::{Failure, Issue, outcome};
use crate::read::actor_tag;
use crate::repository::Repository;
use aws_lc_rs::hmac;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Commit;
use tokio::time::Instant;

/// Path of the websocket below the base.
pub(crate) const PATH: &str = "$subscription-ws";
/// How long a binding token holds.
pub(crate) const TOKEN_S: i64 = 300;
/// Longest text from a client, bytes.
const MAX_TEXT: usize = 16 * 1_024;
/// Most subscriptions of one socket.
const MAX_BOUND: usize = 100;
/// The server pings so often; a client that answers nothing for three of them is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Texts of one client per minute.
const MAX_TEXTS: u32 = 600;

/// Address of the websocket of a repository.
pub(crate) fn url(base: &str) -> String {
    let rest = base.strip_prefix("http").unwrap_or(base);
    format!("ws{rest}/{PATH}")
}

/// What a token says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    ids: Vec<String>,
    /// Who asked for it.
    who: String,
    /// Until when, seconds since 1970.
    until: i64,
}

/// Makes and reads binding tokens of one repository.
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub fn new(repository: &Repository) -> Option<Self> {
        let key =
            crate::repository::derived(&repository.config.key, b"helsenav/subscription-binding")?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    pub fn make(&self, ids: &[String], who: &Caller, until_s: i64) -> Option<String> {
        let claims = Claims {
            ids: ids.to_vec(),
            who: format!("{:032x}", actor_tag(who)),
            until: until_s,
        };
        let text = serde_json::to_vec(&claims).ok()?;
        let tag = hmac::sign(&self.0, &text);
        Some(format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(tag.as_ref())
        ))
    }

    /// The subscriptions of a token, when it is ours, in time, and the caller's.
    pub fn read(&self, token: &str, who: &Caller, now_s: i64) -> Result<Vec<String>, &'static str> {
        let foreign = "this is not a binding token of this repository";
        let (text, tag) = token.split_once('.').ok_or(foreign)?;
        let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| foreign)?;
        hmac::verify(&self.0, &text, &tag).map_err(|_| foreign)?;
        let claims: Claims = serde_json::from_slice(&text).map_err(|_| foreign)?;
        if claims.until <= now_s {
            return Err("the binding token is too old; get a new one with $get-ws-binding-token");
        }
        if claims.who != format!("{:032x}", actor_tag(who)) {
            return Err("the binding token is somebody else's");
        }
        Ok(claims.ids)
    }
}

/// Answers the upgrade request.
pub(crate) fn upgrade(
    repository: Arc<Repository>,
    path: &str,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(shared) = repository.config.subscriptions.clone() else {
        return refusal(&Failure::not_found());
    };
    let caller = match repository.config.gate.authenticate("GET", path, headers) {
        Ok(caller) => caller,
        Err(refused) => return refusal(&refused.into()),
    };
    let Ok(permit) = shared.sockets.clone().try_acquire_owned() else {
        return refusal(&Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "throttled",
            "too many websockets are open; try again later",
        ));
    };
    let Some(tokens) = Tokens::new(&repository) else {
        return refusal(&Failure::internal());
    };
    let ledger = Ledger::new(&repository.config.name, shared.config.kept_events);
    upgrade
        .max_message_size(MAX_TEXT)
        .max_frame_size(MAX_TEXT)
        .on_upgrade(move |socket| async move {
            let session = Session {
                shared,
                repository,
                ledger,
                tokens,
                caller,
                bound: BTreeMap::new(),
            };
            session.serve(socket).await;
            drop(permit);
        })
}

fn refusal(failure: &Failure) -> Response {
    let body = failure.outcome().to_string();
    let headers = [("content-type", "application/fhir+json; charset=utf-8")];
    (failure.status, headers, body).into_response()
}

/// One subscription on a socket.
struct Bound {
    /// Last number sent on this socket.
    cursor: u64,
    last_contact: Instant,
    is_plain: bool,
}

struct Session {
    shared: Arc<Subscriptions>,
    repository: Arc<Repository>,
    ledger: Ledger,
    tokens: Tokens,
    caller: Caller,
    bound: BTreeMap<String, Bound>,
}

/// The socket is closed.
struct Closed;

/// What a text asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    BindWithToken(String),
    Unbind(String),
    Bind(String),
    Ping { as_json: bool },
    Unknown,
}

fn wish(text: &str) -> Wish {
    let text = text.trim();
    if text.starts_with('{') {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Wish::Unknown;
        };
        let token = || {
            let token = value.pointer("/payload/token").and_then(Value::as_str);
            token.unwrap_or_default().to_owned()
        };
        return match value.get("type").and_then(Value::as_str) {
            Some("bind-with-token") => Wish::BindWithToken(token()),
            Some("unbind-from-token") => Wish::Unbind(token()),
            Some("ping") => Wish::Ping { as_json: true },
            _ => Wish::Unknown,
        };
    }
    let (word, rest) = text.split_once([' ', ':']).unwrap_or((text, ""));
    let rest = rest.trim_start_matches([' ', ':']).trim().to_owned();
    match word {
        "bind-with-token" => Wish::BindWithToken(rest),
        "unbind-from-token" => Wish::Unbind(rest),
        "bind" => Wish::Bind(rest),
        "ping" => Wish::Ping { as_json: false },
        _ => Wish::Unknown,
    }
}

impl Session {
    async fn serve(mut self, mut socket: WebSocket) {
        let mut moved = self.shared.moved.subscribe();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut heard, mut pinged) = (Instant::now(), Instant::now());
        let mut minute = (Instant::now(), 0u32);
        loop {
            let done = tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(message)) => {
                        heard = Instant::now();
                        if minute.0.elapsed() > Duration::from_secs(60) {
                            minute = (Instant::now(), 0);
                        }
                        minute.1 += 1;
                        if minute.1 > MAX_TEXTS {
                            return;
                        }
                        self.hear(&mut socket, message).await
                    }
                    _ => return,
                },
                changed = moved.changed() => match changed {
                    Ok(()) => self.flush(&mut socket).await,
                    Err(_) => return,
                },
                _ = tick.tick() => {
                    if heard.elapsed() > PING_EVERY * 3 {
                        return;
                    }
                    if pinged.elapsed() > PING_EVERY {
                        pinged = Instant::now();
                        if socket.send(Message::Ping(Bytes::new())).await.is_err() {
                            return;
                        }
                    }
                    self.heartbeats(&mut socket).await
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn say(&self, socket: &mut WebSocket, text: String) -> Result<(), Closed> {
        socket
            .send(Message::Text(text.into()))
            .await
            .map_err(|_| Closed)
    }

    async fn complain(&self, socket: &mut WebSocket, text: &str) -> Result<(), Closed> {
        let outcome = outcome(&[Issue::error("invalid", text)]);
        self.say(socket, outcome.to_string()).await
    }

    async fn hear(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), Closed> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Closed),
            Message::Binary(_) => {
                return self.complain(socket, "send text, not bytes").await;
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        match wish(&text) {
            Wish::Ping { as_json: false } => self.say(socket, "pong".to_owned()).await,
            Wish::Ping { as_json: true } => {
                self.say(socket, json!({ "type": "pong" }).to_string())
                    .await
            }
            Wish::BindWithToken(token) => {
                let now_s = edge::clock::real_now_us() / 1_000_000;
                match self.tokens.read(&token, &self.caller, now_s) {
                    Ok(ids) => self.bind(socket, ids).await,
                    Err(why) => self.complain(socket, why).await,
                }
            }
            Wish::Unbind(token) => {
                let now_s = edge::clock::real_now_us() / 1_000_000;
                match self.tokens.read(&token, &self.caller, now_s) {
                    Ok(ids) => {
                        for id in ids {
                            self.bound.remove(&id);
                        }
                        Ok(())
                    }
                    Err(why) => self.complain(socket, why).await,
                }
            }
            Wish::Bind(id) => self.bind_plain(socket, id).await,
            Wish::Unknown => {
                self.complain(
                    socket,
                    "unknown text: send bind-with-token [token], bind [id] or ping",
                )
                .await
            }
        }
    }

    /// The definition of an active websocket subscription, and its last number.
    fn active(&self, id: &str) -> Option<(Arc<Definition>, u64)> {
        let running = self.shared.running(id)?;
        let definition = running.definition.clone();
        let is_ours = matches!(definition.channel, Channel::Socket);
        let count = *running.count.borrow();
        (is_ours && definition.status == Status::Active).then_some((definition, count))
    }

    async fn bind(&mut self, socket: &mut WebSocket, ids: Vec<String>) -> Result<(), Closed> {
        if self.bound.len() + ids.len() > MAX_BOUND {
            return self
                .complain(socket, "too many subscriptions on one websocket")
                .await;
        }
        for id in ids {
            let Some((definition, count)) = self.active(&id) else {
                self.complain(
                    socket,
                    "a subscription of the token is not an active websocket subscription",
                )
                .await?;
                continue;
            };
            let sent = self.sent(&id).await.unwrap_or(count);
            let notice = self
                .compose(&definition, Kind::Handshake, count, None)
                .await;
            if let Some(text) = notice {
                self.say(socket, text).await?;
            }
            let bound = Bound {
                cursor: sent,
                last_contact: Instant::now(),
                is_plain: !definition.is_topic() && definition.mime.is_none(),
            };
            self.bound.insert(id, bound);
        }
        self.flush(socket).await
    }

    async fn bind_plain(&mut self, socket: &mut WebSocket, id: String) -> Result<(), Closed> {
        let found = self.active(&id).filter(|(d, _)| !d.is_topic());
        if found.is_none() || self.bound.len() >= MAX_BOUND {
            return self
                .complain(
                    socket,
                    "bind takes the id of an active websocket subscription with R4 criteria; topics are bound with a token",
                )
                .await;
        }
        let count = found.map_or(0, |(_, count)| count);
        let cursor = self.sent(&id).await.unwrap_or(count);
        self.say(socket, format!("bound {id}")).await?;
        let bound = Bound {
            cursor,
            last_contact: Instant::now(),
            is_plain: true,
        };
        self.bound.insert(id, bound);
        self.flush(socket).await
    }

    /// Sends what is new on every bound subscription.
    async fn flush(&mut self, socket: &mut WebSocket) -> Result<(), Closed> {
        let ids: Vec<String> = self.bound.keys().cloned().collect();
        for id in ids {
            let Some((definition, count)) = self.active(&id) else {
                // In handshake again, in error or gone: nothing goes out meanwhile.
                if self.shared.running(&id).is_none() {
                    self.bound.remove(&id);
                }
                continue;
            };
            let Some((mut cursor, is_plain)) = self.bound.get(&id).map(|b| (b.cursor, b.is_plain))
            else {
                continue;
            };
            let before = cursor;
            if is_plain && cursor < count {
                self.say(socket, format!("ping {id}")).await?;
                cursor = count;
            }
            while cursor < count {
                let Some((text, reached)) = self.next(&definition, cursor, count).await else {
                    break;
                };
                if let Some(text) = text {
                    self.say(socket, text).await?;
                    metrics::counter!("helsenav_subscription_notifications_total", "channel" => "websocket")
                        .increment(1);
                }
                cursor = reached;
            }
            if cursor > before {
                self.keep_sent(&id, cursor).await;
                if let Some(bound) = self.bound.get_mut(&id) {
                    bound.cursor = cursor;
                    bound.last_contact = Instant::now();
                }
            }
        }
        Ok(())
    }

    async fn heartbeats(&mut self, socket: &mut WebSocket) -> Result<(), Closed> {
        let mut due = Vec::new();
        for (id, bound) in &self.bound {
            if let Some((definition, count)) = self.active(id)
                && let Some(period) = definition.heartbeat_s
                && !bound.is_plain
                && bound.last_contact.elapsed() >= Duration::from_secs(u64::from(period))
            {
                due.push((id.clone(), definition, count));
            }
        }
        for (id, definition, count) in due {
            if let Some(text) = self
                .compose(&definition, Kind::Heartbeat, count, None)
                .await
            {
                self.say(socket, text).await?;
            }
            if let Some(bound) = self.bound.get_mut(&id) {
                bound.last_contact = Instant::now();
            }
        }
        Ok(())
    }

    async fn sent(&self, id: &str) -> Option<u64> {
        let (repository, ledger, id) =
            (self.repository.clone(), self.ledger.clone(), id.to_owned());
        edge::blocking(move || {
            let snapshot = repository.snapshot().ok()?;
            ledger.sent(&snapshot, &id).ok()?
        })
        .await
        .ok()?
    }

    /// The next notification after a number, if there is something to tell, and the number that it reaches.
    async fn next(
        &self,
        definition: &Arc<Definition>,
        cursor: u64,
        count: u64,
    ) -> Option<(Option<String>, u64)> {
        let (repository, ledger) = (self.repository.clone(), self.ledger.clone());
        let id = definition.id.clone();
        let most = u64::from(definition.max_count);
        let kept_for = self.shared.config.kept_for;
        let (events, reached) = edge::blocking(move || {
            let snapshot = repository.snapshot().ok()?;
            hook::pending(&ledger, &snapshot, &id, cursor, count, most, kept_for).ok()
        })
        .await
        .ok()??;
        if events.is_empty() {
            return Some((None, reached));
        }
        let text = self
            .compose(definition, Kind::Event, count, Some(events))
            .await?;
        Some((Some(text), reached))
    }

    /// A notification, decided now; `None` when it may not go out, or the store is not there.
    async fn compose(
        &self,
        definition: &Arc<Definition>,
        kind: Kind,
        count: u64,
        events: Option<Vec<super::ledger::Event>>,
    ) -> Option<String> {
        let (repository, definition) = (self.repository.clone(), definition.clone());
        let composed = edge::blocking(move || {
            let snapshot = repository.snapshot()?;
            let granted = notify::decide(&repository, &snapshot)?;
            let notice = Notice::of(&definition, kind, count);
            let events = events.unwrap_or_default();
            let json = notify::bundle(&repository, &snapshot, &granted, &notice, &events)?;
            Ok::<_, Failure>(match definition.mime {
                Some(mime) => notify::in_form(json, mime),
                None => json,
            })
        });
        let bytes = composed.await.ok()?.ok()?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// Notes how far the subscription was sent, unless another socket was further.
    async fn keep_sent(&self, id: &str, reached: u64) {
        let Some(stored) = self.sent(id).await else {
            return;
        };
        if stored >= reached {
            return;
        }
        let mut expect = Vec::new();
        self.ledger.set_sent(id, Some(stored), reached, &mut expect);
        let commit = Commit {
            expect,
            ..Commit::default()
        };
        // Refused: another socket was here; at most something is sent twice.
        let _ = self.repository.config.store.submit(commit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_understood() {
        let bind = |t: &str| Wish::BindWithToken(t.to_owned());
        for (text, expected) in [
            ("bind-with-token abc", bind("abc")),
            ("bind-with-token: abc", bind("abc")),
            ("  bind-with-token:abc \n", bind("abc")),
            (
                r#"{"type":"bind-with-token","payload":{"token":"abc"}}"#,
                bind("abc"),
            ),
            (r#"{"type":"bind-with-token"}"#, bind("")),
            ("bind 17", Wish::Bind("17".to_owned())),
            ("ping", Wish::Ping { as_json: false }),
            (r#"{"type":"ping"}"#, Wish::Ping { as_json: true }),
            ("", Wish::Unknown),
            ("{", Wish::Unknown),
            ("hello", Wish::Unknown),
        ] {
            assert_eq!(wish(text), expected, "{text}");
        }
    }

    #[test]
    fn the_address_follows_the_base() {
        assert_eq!(
            url("https://hub.example/fhir/sandbox"),
            "wss://hub.example/fhir/sandbox/$subscription-ws"
        );
        assert_eq!(url("http://h/fhir/x"), "ws://h/fhir/x/$subscription-ws");
    }

    #[test]
    fn tokens_are_bound_to_time_and_caller() {
        let tokens = Tokens(hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]));
        let me = Caller::anonymous();
        let mut other = Caller::anonymous();
        other.principal = trust::Principal::System {
            client_id: "other".to_owned(),
            orgnr_parent: String::new(),
        };
        let ids = vec!["1".to_owned(), "2".to_owned()];
        let token = tokens.make(&ids, &me, 100).unwrap();
        assert_eq!(tokens.read(&token, &me, 99), Ok(ids));
        assert!(tokens.read(&token, &me, 100).is_err());
        assert!(tokens.read(&token, &other, 99).is_err());
        let foreign = Tokens(hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]));
        assert!(foreign.read(&token, &me, 99).is_err());
        let shorter: String = token.chars().skip(1).collect();
        for wrong in ["", ".", "a.b", &shorter, &format!("{token}A")] {
            assert!(tokens.read(wrong, &me, 99).is_err(), "{wrong}");
        }
    }
}
