//! Notices of version 3: what has happened to messages since an offset, from the log itself.
//!
//! The offset is the place in the log: global, rising, with gaps (spec/messaging.md §6.2). A notice is not kept; it follows
//! from two versions of the message's record.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use store::{FeedEntry, FeedEvent, Op, Seq};

use super::fault::Fault;
use super::read::{api_id, delivery_state, is_sent, receipt_status};
use super::send::made_of;
use super::{Api, Caller, Reply, query};
use crate::port::{Road, Transport};
use crate::rules::track::{State, Track};

/// Most notices of one answer, and how many without a word.
const MAX_NOTICES: usize = 1_000;
const NOTICES: usize = 100;
/// Places of the log looked at in one go, and at most for one answer.
const PAGE: usize = 4_096;
const MAX_LOOKED_AT: usize = 4_000_000;
/// How often a stream looks.
const LOOK_MS: u64 = 500;
/// A stream without news says so as often, so that nobody in between closes it.
const ALIVE_EVERY: u32 = 30;
/// A stream ends then; the client comes again with a fresh token and its offset.
const MAX_LOOKS: u32 = 600;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    NewMessage,
    RefusedMessage,
    MessageSentStateUpdated,
    MessageApprecInfoUpdated,
    MessageDeliveryStateUpdated,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::NewMessage => "NewMessage",
            Self::RefusedMessage => "RefusedMessage",
            Self::MessageSentStateUpdated => "MessageSentStateUpdated",
            Self::MessageApprecInfoUpdated => "MessageApprecInfoUpdated",
            Self::MessageDeliveryStateUpdated => "MessageDeliveryStateUpdated",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::NewMessage => "A new message has arrived",
            Self::RefusedMessage => "A message was refused by a filter",
            Self::MessageSentStateUpdated => "A message has been sent",
            Self::MessageApprecInfoUpdated => "The application receipt of a sent message has come",
            Self::MessageDeliveryStateUpdated => {
                "The transport state of a sent message has changed"
            }
        }
    }
}

/// What a change of a message's record means to whom: (what, HER-id told, HER-id that caused it).
fn meaning(before: Option<&Track>, now: &Track) -> Vec<(What, u32, u32)> {
    let mut out = Vec::new();
    let is_ours = now.transport == Transport::Rest || now.road == Road::Api;
    if !is_ours {
        return out;
    }
    let is_failed = matches!(now.state, State::Failed { .. });
    if before.is_none() && now.road == Road::Api {
        let what = if is_failed {
            What::RefusedMessage
        } else {
            What::NewMessage
        };
        out.push((what, now.to, now.from));
    }
    if now.transport == Transport::Rest {
        let state = before.map_or("Unconfirmed", delivery_state);
        if before.is_some_and(is_sent) != is_sent(now) {
            out.push((What::MessageSentStateUpdated, now.from, now.to));
        }
        if state != delivery_state(now) {
            out.push((What::MessageDeliveryStateUpdated, now.from, now.to));
        }
        if before.and_then(receipt_status) != receipt_status(now) {
            out.push((What::MessageApprecInfoUpdated, now.from, now.to));
        }
    }
    out
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
struct Ask {
    her_ids: Vec<u32>,
    /// The last place that the client has seen; a stream without one begins at the end.
    offset: Option<u64>,
    limit: usize,
}

impl Ask {
    fn parse(query: Option<&str>) -> Result<Self, Fault> {
        let pairs = query::pairs(query);
        let mut faults = Vec::new();
        let her_ids = query::her_ids(&pairs, "herids", "HerIds", &mut faults);
        let limit = query::number(
            &pairs,
            "notificationstofetch",
            "NotificationsToFetch",
            1..=MAX_NOTICES,
            NOTICES,
            &mut faults,
        );
        let offset = match pairs.iter().find(|(n, v)| n == "offset" && !v.is_empty()) {
            None => None,
            Some((_, value)) => value.parse().ok().or_else(|| {
                faults.push("The field Offset must be a number from 0.".to_owned());
                None
            }),
        };
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        Ok(Self {
            her_ids,
            offset,
            limit,
        })
    }
}

impl Api {
    pub(crate) fn notices(&self, query: Option<&str>, caller: &Caller) -> Result<Reply, Fault> {
        let ask = Ask::parse(query)?;
        if ask.offset.is_none() {
            return Err(Fault::invalid("The Offset field is required."));
        }
        self.must_be_set_up(caller, &ask.her_ids)?;
        let (items, _) = self.since(&ask)?;
        Ok(Reply::ok(json!({ "notifications": items })))
    }

    /// Notices after an offset, and the place that was looked up to.
    fn since(&self, ask: &Ask) -> Result<(Vec<Value>, u64), Fault> {
        let (mut items, mut at, mut looked_at) = (Vec::new(), ask.offset.unwrap_or(0), 0);
        while items.len() < ask.limit && looked_at < MAX_LOOKED_AT {
            let page = self
                .exchange
                .inner
                .store
                .feed(Seq(at), PAGE)
                .map_err(crate::ExchangeError::from)?;
            let is_last = page.len() < PAGE;
            looked_at += page.len();
            for entry in page {
                self.notices_of(&entry, ask, &mut items)?;
                at = entry.seq.0;
                if items.len() >= ask.limit {
                    break;
                }
            }
            if is_last {
                break;
            }
        }
        Ok((items, at))
    }

    /// The place where the log ends now.
    fn end_of_log(&self) -> Result<u64, Fault> {
        let snapshot = self.exchange.inner.store.snapshot();
        Ok(snapshot.map_err(crate::ExchangeError::from)?.seq().0)
    }

    fn notices_of(
        &self,
        entry: &FeedEntry,
        ask: &Ask,
        items: &mut Vec<Value>,
    ) -> Result<(), Fault> {
        let FeedEvent::Version {
            repo,
            rtype,
            id,
            vno,
            op,
            ..
        } = &entry.event
        else {
            return Ok(());
        };
        let tracks = &self.exchange.inner.tracks;
        if *op == Op::Delete || !tracks.is_track(*repo, rtype) {
            return Ok(());
        }
        let read = |vno| tracks.version(id, vno).map_err(crate::ExchangeError::from);
        let Some(now) = read(*vno)? else {
            return Ok(());
        };
        if !ask.her_ids.contains(&now.to) && !ask.her_ids.contains(&now.from) {
            return Ok(());
        }
        let before = match vno.0 {
            0 | 1 => None,
            n => read(store::Vno(n - 1))?,
        };
        for (what, told, cause) in meaning(before.as_ref(), &now) {
            if !ask.her_ids.contains(&told) {
                continue;
            }
            if what == What::RefusedMessage {
                let settings = self.roads.settings().get(told)?;
                if settings.is_none_or(|s| !s.receive_refused_message_notices) {
                    continue;
                }
            }
            let key = format!("notice|{}|{}|{told}", entry.seq.0, what.name());
            let at = jiff::Timestamp::from_microsecond(entry.at).unwrap_or_default();
            items.push(json!({
                "notificationId": made_of(key.as_bytes()).to_string(),
                "relatedMessageId": api_id(&now),
                "type": what.name(),
                "notificationReceiverHerId": told,
                "notificationTriggeredByHerId": cause,
                "description": what.description(),
                "createdAt": at.to_string(),
                "offset": entry.seq.0,
            }));
        }
        Ok(())
    }
}

/// A notice as server-sent event; its offset is the event's id.
fn event(item: &Value) -> String {
    let id = item
        .get("offset")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    format!("event: notification\nid: {id}\ndata: {item}\n\n")
}

/// The same as server-sent events, for as long as a token usually lives.
pub(crate) async fn stream(
    api: Arc<Api>,
    caller: Caller,
    parts: &Parts,
) -> Result<Response, Fault> {
    let ask = Ask::parse(parts.uri.query())?;
    // Where a client left off, as browsers and libraries say it.
    let last = parts.headers.get("last-event-id");
    let last = last.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let from = last.or(ask.offset);
    let begin = match from {
        Some(offset) => offset,
        None => {
            let this = api.clone();
            let end = edge::blocking(move || this.end_of_log()).await;
            end.map_err(|_| Fault::internal())??
        }
    };
    let ask = Ask {
        offset: Some(begin),
        ..ask
    };
    let (this, first) = (api.clone(), ask.clone());
    let checked = edge::blocking(move || this.must_be_set_up(&caller, &first.her_ids)).await;
    checked.map_err(|_| Fault::internal())??;
    let begin = (api, ask, 0_u32);
    let events = futures_util::stream::unfold(begin, |(api, mut ask, mut looks)| async move {
        loop {
            if looks >= MAX_LOOKS {
                return None;
            }
            looks += 1;
            let (this, asked) = (api.clone(), ask.clone());
            let found = edge::blocking(move || this.since(&asked)).await;
            let Ok(Ok((items, at))) = found else {
                return None;
            };
            ask.offset = Some(at);
            let text: String = items.iter().map(event).collect();
            if !text.is_empty() {
                return Some((Ok::<_, Infallible>(text), (api, ask, looks)));
            }
            if looks % ALIVE_EVERY == 0 {
                return Some((Ok(": alive\n\n".to_owned()), (api, ask, looks)));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    });
    let connected = async { Ok::<_, Infallible>("event: connected\ndata:\n\n".to_owned()) };
    let events = futures_util::stream::once(connected).chain(events);
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::track::Receipt;

    #[test]
    fn a_change_means_what_the_sender_and_the_receiver_see() {
        let new = Track {
            transport: Transport::Rest,
            road: Road::Api,
            from: 1,
            to: 2,
            ..Track::default()
        };
        let told = |before: Option<&Track>, now: &Track| meaning(before, now);
        assert_eq!(
            told(None, &new),
            [
                (What::NewMessage, 2, 1),
                (What::MessageSentStateUpdated, 1, 2),
                (What::MessageDeliveryStateUpdated, 1, 2)
            ]
        );
        let answered = Track {
            receipt: Some(Receipt::Known {
                status: "1".to_owned(),
                codes: Vec::new(),
            }),
            ..new.clone()
        };
        assert_eq!(
            told(Some(&new), &answered),
            [(What::MessageApprecInfoUpdated, 1, 2)]
        );
        assert_eq!(told(Some(&answered), &answered), []);
        let refused = Track {
            state: State::Failed {
                condition: "x".to_owned(),
            },
            ..new.clone()
        };
        assert_eq!(
            told(None, &refused),
            [
                (What::RefusedMessage, 2, 1),
                (What::MessageDeliveryStateUpdated, 1, 2)
            ]
        );
        // What passes on the bus is nobody's here.
        let bus = Track {
            transport: Transport::Amqp,
            road: Road::Bus,
            ..new
        };
        assert_eq!(told(None, &bus), []);
    }

    #[test]
    fn questions_are_checked() {
        let ask = Ask::parse(Some("HerIds=1&HerIds=2&offset=7")).unwrap();
        assert_eq!(
            (ask.her_ids.len(), ask.offset, ask.limit),
            (2, Some(7), 100)
        );
        let faults = |q| Ask::parse(Some(q)).unwrap_err().validation.len();
        assert_eq!(faults("NotificationsToFetch=0&Offset=x"), 3);
    }
}
