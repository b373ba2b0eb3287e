//! Delivery by REST hook: one notification at a time, in order, again until the endpoint takes it.

use super::definition::{Channel, Content, Definition};
use super::ledger::{Event, Ledger};
use super::notify::{self, Kind, Notice};
use super::{Config, Running, target};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use reqwest::{Client, Method};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use store::{Commit, CommitError, Op};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What deliverers tell the engine.
#[derive(Debug)]
pub(crate) enum Control {
    /// The endpoint has taken the handshake (or none was needed).
    Ready { id: String, vno: u32 },
    /// The subscription cannot go on.
    Failed { id: String, vno: u32, why: String },
}

/// The client that calls endpoints.
pub(crate) fn client(config: &Config) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(config.timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("helsenav/", env!("CARGO_PKG_VERSION")));
    if !config.allow_private_targets {
        builder = builder.dns_resolver(target::PublicOnly);
    }
    builder.build()
}

/// One subscription's deliverer.
pub(crate) struct Hook {
    pub repository: Arc<Repository>,
    pub config: Config,
    pub ledger: Ledger,
    pub client: Client,
    pub permits: Arc<Semaphore>,
    pub running: Arc<Running>,
    pub vno: u32,
    pub control: Sender<Control>,
}

/// Why a notification did not get through.
enum Trouble {
    /// The endpoint did not take it: again later.
    Endpoint(String),
    /// It may not, or cannot, go out at all.
    Refused(String),
    /// The store is not there just now.
    Store,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        if failure.status.is_server_error() {
            Self::Store
        } else {
            let text = failure.issues.into_iter().next().map(|i| i.text);
            Self::Refused(text.unwrap_or_default())
        }
    }
}

impl From<store::StoreError> for Trouble {
    fn from(_: store::StoreError) -> Self {
        Self::Store
    }
}

impl Hook {
    fn definition(&self) -> &Definition {
        &self.running.definition
    }

    fn tell(&self, message: Control) {
        // The engine is gone only when everything ends.
        let _ = self.control.send(message);
    }

    fn fail(&self, why: String) {
        self.tell(Control::Failed {
            id: self.definition().id.clone(),
            vno: self.vno,
            why,
        });
    }

    /// Sends the handshake; the engine is told how it went.
    pub async fn shake_hands(self) {
        let count = *self.running.count.borrow();
        let sent = match self.compose(Kind::Handshake, count, Vec::new()).await {
            Ok(body) => self.post(body).await,
            Err(trouble) => Err(trouble),
        };
        match sent {
            Ok(()) => self.tell(Control::Ready {
                id: self.definition().id.clone(),
                vno: self.vno,
            }),
            Err(Trouble::Endpoint(why)) => self.fail(format!("handshake: {why}")),
            Err(Trouble::Refused(why)) => self.fail(why),
            Err(Trouble::Store) => self.fail("the handshake could not be made".to_owned()),
        }
    }

    /// Delivers for as long as the subscription is active.
    pub async fn deliver(self) {
        let mut count = self.running.count.subscribe();
        let heartbeat = self
            .definition()
            .heartbeat_s
            .filter(|_| self.definition().is_topic())
            .map(|s| Duration::from_secs(u64::from(s)));
        let mut last_contact = Instant::now();
        let mut failing_since: Option<Instant> = None;
        let mut wait = self.config.first_retry;
        let mut sent = None;
        loop {
            let last = *count.borrow_and_update();
            let next = match sent {
                None => self.stored_sent().await,
                Some(sent) if sent < last => self.next(sent, last).await,
                Some(sent) => {
                    let due = heartbeat.map(|period| last_contact + period);
                    tokio::select! {
                        changed = count.changed() => match changed {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                        () = sleep_until(due) => self.heartbeat(last).await.map(|()| sent),
                    }
                }
            };
            match next {
                Ok(number) => {
                    if sent.is_some() {
                        last_contact = Instant::now();
                        failing_since = None;
                        wait = self.config.first_retry;
                    }
                    sent = Some(number);
                }
                Err(Trouble::Refused(why)) => return self.fail(why),
                Err(Trouble::Store) => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(Trouble::Endpoint(why)) => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.config.give_up_after {
                        return self.fail(why);
                    }
                    metrics::counter!("helsenav_subscription_failures_total", "channel" => "rest-hook")
                        .increment(1);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(self.config.longest_retry);
                }
            }
        }
    }

    async fn stored_sent(&self) -> Result<u64, Trouble> {
        let (repository, ledger) = (self.repository.clone(), self.ledger.clone());
        let id = self.definition().id.clone();
        let found = edge::blocking(move || {
            ledger
                .sent(&repository.snapshot()?, &id)
                .map_err(Failure::from)
        })
        .await
        .map_err(|_| Trouble::Store)??;
        Ok(found.unwrap_or(0))
    }

    /// Sends the events after `sent`; the number that was reached.
    async fn next(&self, sent: u64, last: u64) -> Result<u64, Trouble> {
        let most = if self.definition().is_topic() {
            u64::from(self.definition().max_count)
        } else {
            1
        };
        let (repository, ledger) = (self.repository.clone(), self.ledger.clone());
        let id = self.definition().id.clone();
        let kept_for = self.config.kept_for;
        let (events, reached) = edge::blocking(move || {
            let snapshot = repository.snapshot()?;
            pending(&ledger, &snapshot, &id, sent, last, most, kept_for)
        })
        .await
        .map_err(|_| Trouble::Store)??;
        if !events.is_empty() {
            if self.definition().is_topic() {
                let body = self.compose(Kind::Event, last, events).await?;
                self.post(body).await?;
            } else if let Some(event) = events.into_iter().next() {
                self.send_plain(event).await?;
            }
            metrics::counter!("helsenav_subscription_notifications_total", "channel" => "rest-hook")
                .increment(1);
        }
        self.keep_sent(sent, reached).await
    }

    async fn keep_sent(&self, old: u64, new: u64) -> Result<u64, Trouble> {
        let mut expect = Vec::new();
        self.ledger
            .set_sent(&self.definition().id, Some(old), new, &mut expect);
        let commit = Commit {
            expect,
            ..Commit::default()
        };
        match self.repository.config.store.submit(commit).await {
            Ok(_) => Ok(new),
            // Another deliverer of the same subscription was there; its number counts.
            Err(CommitError::Refused { .. }) => match self.stored_sent().await? {
                stored if stored > old => Ok(stored),
                _ => Err(Trouble::Store),
            },
            Err(_) => Err(Trouble::Store),
        }
    }

    async fn heartbeat(&self, count: u64) -> Result<(), Trouble> {
        let body = self.compose(Kind::Heartbeat, count, Vec::new()).await?;
        self.post(body).await
    }

    /// The notification, decided now.
    async fn compose(&self, kind: Kind, count: u64, events: Vec<Event>) -> Result<Bytes, Trouble> {
        let repository = self.repository.clone();
        let definition = self.running.definition.clone();
        let bytes = edge::blocking(move || {
            let snapshot = repository.snapshot()?;
            let granted = notify::decide(&repository, &snapshot)?;
            let notice = Notice::of(&definition, kind, count);
            let json = notify::bundle(&repository, &snapshot, &granted, &notice, &events)?;
            Ok::<_, Failure>(match definition.mime {
                Some(mime) => notify::in_form(json, mime),
                None => json,
            })
        })
        .await
        .map_err(|_| Trouble::Store)??;
        Ok(bytes)
    }

    async fn post(&self, body: Bytes) -> Result<(), Trouble> {
        let Channel::Hook { url, .. } = &self.definition().channel else {
            return Ok(());
        };
        self.call(Method::POST, url.clone(), Some(body)).await
    }

    /// R4 criteria: a bare POST, or the resource as an update at the endpoint.
    async fn send_plain(&self, event: Event) -> Result<(), Trouble> {
        let Channel::Hook { url, .. } = &self.definition().channel else {
            return Ok(());
        };
        if self.definition().mime.is_none() || self.definition().content != Content::Full {
            return self.call(Method::POST, url.clone(), None).await;
        }
        let mut url = url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([&event.rtype, &event.id]);
        }
        if event.op == Op::Delete {
            return self.call(Method::DELETE, url, None).await;
        }
        let repository = self.repository.clone();
        let mime = self.definition().mime;
        let body = edge::blocking(move || {
            let snapshot = repository.snapshot()?;
            let granted = notify::decide(&repository, &snapshot)?;
            let found = notify::version(&repository, &snapshot, &granted, &event)?;
            Ok::<_, Failure>(found.map(|json| match mime {
                Some(mime) => notify::in_form(json, mime),
                None => json,
            }))
        })
        .await
        .map_err(|_| Trouble::Store)??;
        match body {
            Some(body) => self.call(Method::PUT, url, Some(body)).await,
            // Erased since: there is nothing to tell.
            None => Ok(()),
        }
    }

    async fn call(
        &self,
        method: Method,
        url: url::Url,
        body: Option<Bytes>,
    ) -> Result<(), Trouble> {
        let Channel::Hook { headers, .. } = &self.definition().channel else {
            return Ok(());
        };
        let _permit = self.permits.acquire().await.map_err(|_| Trouble::Store)?;
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            sent.append(name.clone(), value.clone());
        }
        let timeout = self
            .definition()
            .timeout_s
            .map_or(self.config.timeout, |s| Duration::from_secs(u64::from(s)));
        let mut request = self
            .client
            .request(method, url)
            .headers(sent)
            .timeout(timeout);
        if let Some(body) = body {
            let media = self
                .definition()
                .mime
                .map_or("application/fhir+json", |m| m.media());
            request = request.header(header::CONTENT_TYPE, media).body(body);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Trouble::Endpoint(format!(
                "the endpoint answered {}",
                answer.status().as_u16()
            ))),
            Err(error) if error.is_timeout() => Err(Trouble::Endpoint(format!(
                "the endpoint did not answer in {} s",
                timeout.as_secs()
            ))),
            // The reason may name addresses inside; the subscriber gets none.
            Err(_) => Err(Trouble::Endpoint(
                "the endpoint cannot be reached".to_owned(),
            )),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The next events after `sent`, at most `most`, and the number that they reach. Events that are no longer kept are passed
/// over: the receiver sees it by their numbers.
pub(crate) fn pending(
    ledger: &Ledger,
    snapshot: &store::Snapshot,
    id: &str,
    sent: u64,
    last: u64,
    most: u64,
    kept_for: Duration,
) -> Result<(Vec<Event>, u64), Failure> {
    let oldest = last.saturating_sub(ledger.kept);
    let begin = sent.max(oldest);
    let too_old = edge::clock::real_now_us()
        .saturating_sub(i64::try_from(kept_for.as_micros()).unwrap_or(i64::MAX));
    let mut events = Vec::new();
    let mut reached = begin;
    while reached < last && (events.len() as u64) < most {
        reached += 1;
        if let Some(event) = ledger.event(snapshot, id, reached)?
            && event.at >= too_old
        {
            events.push(event);
        }
    }
    Ok((events, reached))
}
