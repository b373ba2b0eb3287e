//! Version 3, as far as it is public (spec/messaging.md §6.2): set-up of a HER-id, sending with an answer before delivery,
//! receipts, notices.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document::Document;
use super::fault::Fault;
use super::send::{Handed, Overrides};
use super::settings::{Channel, Configuration, RejectFilter};
use super::{Api, Caller, PREFIX, Reply, her_id_of, json_body, parse, unknown, uuid};
use crate::port::Road;

/// Most filters of one HER-id.
const MAX_FILTERS: usize = 100;

/// What a client sets up.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutConfiguration {
    #[serde(default)]
    her_id: Option<u32>,
    #[serde(default)]
    client_locked: bool,
    #[serde(default)]
    receive_notification_channel: Option<String>,
    #[serde(default)]
    receive_refused_message_notices: bool,
    #[serde(default)]
    reject_message_filters: Option<Vec<RejectFilter>>,
}

/// A message on its way in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct PostMessage {
    sender_her_id: Option<u32>,
    receiver_her_ids: Vec<u32>,
    business_document: String,
    content_type: String,
    content_transfer_encoding: String,
    message_type_identificator: Option<String>,
    application_name: Option<String>,
    application_version: Option<String>,
    transport_metadata_overrides: Option<Overrides>,
}

/// Whether the request is for the stream of notices.
pub(crate) fn is_stream(parts: &Parts) -> bool {
    let path = parts.uri.path().to_ascii_lowercase();
    let rest = path.get(PREFIX.len()..).unwrap_or_default();
    rest.trim_matches('/') == "notifications/stream" && parts.method == Method::GET
}

fn shown(configuration: &Configuration) -> Value {
    json!({
        "herId": configuration.her_id,
        "clientLocked": configuration.client_locked,
        "receiveNotificationChannel": "ApiPolling",
        "receiveRefusedMessageNotices": configuration.receive_refused_message_notices,
        "rejectMessageFilters": configuration.reject_message_filters,
    })
}

impl Api {
    pub(crate) fn v3(
        &self,
        parts: &Parts,
        segments: &[&str],
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Reply, Fault> {
        let method = &parts.method;
        match segments {
            ["mshconfigurations", rest @ ..] if rest.len() <= 1 => {
                let in_path = rest.first().map(|id| her_id_of(id)).transpose()?;
                self.configuration(parts, in_path, caller, body)
            }
            ["messages"] if *method == Method::POST => self.post_v3(parts, caller, body),
            ["messages", id] if *method == Method::GET => self.message(uuid(id)?, caller),
            ["messages", id, "business-document"] if *method == Method::GET => {
                let id = uuid(id)?;
                let reply = self.business_document(id, caller)?;
                self.fetched(id, caller)?;
                Ok(reply)
            }
            ["messages", id, "status"] if *method == Method::GET => self.status(uuid(id)?, caller),
            ["messages", id, "apprec"] if *method == Method::GET => {
                self.receipts(uuid(id)?, caller)
            }
            ["messages", id, "apprec"] if *method == Method::POST => {
                json_body(parts)?;
                let made = self.post_receipt_v3(uuid(id)?, caller, body)?;
                Ok(accepted(made))
            }
            ["notifications"] if *method == Method::GET => self.notices(parts.uri.query(), caller),
            _ => Err(unknown(segments)),
        }
    }

    /// A HER-id must have been set up, and not be locked to another client.
    pub(crate) fn must_be_set_up(&self, caller: &Caller, her_ids: &[u32]) -> Result<(), Fault> {
        self.must_own(caller, her_ids)?;
        for her_id in her_ids {
            let found = self.roads.settings().get(*her_id)?;
            if found.is_none_or(|f| f.is_implicit) {
                return Err(Fault::invalid(format!(
                    "HerId {her_id} is not set up: PUT {PREFIX}/mshconfigurations first."
                )));
            }
            self.unlocked(caller, *her_id)?;
        }
        Ok(())
    }

    fn configuration(
        &self,
        parts: &Parts,
        in_path: Option<u32>,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Reply, Fault> {
        let missing = || Fault::invalid("HerId is required, in the address or the body.");
        let mine = |found: Option<&Configuration>| {
            found.is_none_or(|f| !f.client_locked || f.client == caller.client)
        };
        let locked = |her_id: u32| {
            let text = format!("HerId {her_id} is locked to another client");
            Fault::new(StatusCode::LOCKED, text)
        };
        match parts.method {
            Method::PUT => {
                json_body(parts)?;
                let given: PutConfiguration = parse(body)?;
                let her_id = in_path.or(given.her_id).ok_or_else(missing)?;
                self.must_own(caller, &[her_id])?;
                let wanted = given.check(her_id, caller)?;
                if !self.roads.settings().put(&wanted, mine)? {
                    return Err(locked(her_id));
                }
                Ok(Reply::ok(shown(&wanted)))
            }
            Method::GET | Method::DELETE => {
                let pairs = super::query::pairs(parts.uri.query());
                let in_query = pairs.iter().find(|(name, _)| name == "herid");
                let in_query = in_query.map(|(_, id)| her_id_of(id)).transpose()?;
                let in_body: Option<PutConfiguration> = serde_json::from_slice(body).ok();
                let her_id = in_path
                    .or(in_query)
                    .or_else(|| in_body.and_then(|b| b.her_id))
                    .ok_or_else(missing)?;
                self.must_own(caller, &[her_id])?;
                let found = self.roads.settings().get(her_id)?;
                let found = found
                    .filter(|f| !f.is_implicit)
                    .ok_or_else(Fault::not_found)?;
                if parts.method == Method::GET {
                    return Ok(Reply::ok(shown(&found)));
                }
                if !self.roads.settings().remove(her_id, mine)? {
                    return Err(locked(her_id));
                }
                Ok(Reply::no_content())
            }
            _ => Err(unknown(&["mshconfigurations"])),
        }
    }

    fn post_v3(&self, parts: &Parts, caller: &Caller, body: &Bytes) -> Result<Reply, Fault> {
        json_body(parts)?;
        let request: PostMessage = parse(body)?;
        let mut faults = Vec::new();
        let sender = request.sender_her_id.unwrap_or_else(|| {
            faults.push("The SenderHerId field is required.".to_owned());
            0
        });
        if request.receiver_her_ids.is_empty() {
            faults.push("The ReceiverHerIds field is required.".to_owned());
        }
        let function = request.message_type_identificator.unwrap_or_default();
        if function.trim().is_empty() {
            faults.push("The MessageTypeIdentificator field is required.".to_owned());
        }
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        self.must_be_set_up(caller, &[sender])?;
        let document = Document::decode(
            &request.business_document,
            &request.content_type,
            &request.content_transfer_encoding,
        )?;
        if !document.header.sender.her_ids().contains(&sender) {
            faults.push("SenderHerId is not the sender in the BusinessDocument.".to_owned());
        }
        let all = document.receivers();
        if request.receiver_her_ids.iter().any(|id| !all.contains(id)) {
            faults.push(
                "ReceiverHerIds: every HER-id must be a receiver in the BusinessDocument."
                    .to_owned(),
            );
        }
        let said = document.function();
        if !said.is_empty() && !said.eq_ignore_ascii_case(function.trim()) {
            faults.push(
                "MessageTypeIdentificator is not the message type in the BusinessDocument."
                    .to_owned(),
            );
        }
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        let overrides = request.transport_metadata_overrides.unwrap_or_default();
        let overrides = overrides
            .from_level_1(document.header.sender.routing_her_id() != Some(sender))
            .by_application(request.application_name, request.application_version);
        let handed = Handed {
            document,
            receivers: request.receiver_her_ids,
            overrides,
            function: Some(function.trim().to_owned()),
        };
        Ok(accepted(self.hand_in(caller, &handed)?))
    }

    /// The document was fetched: in version 3 there is no call that says so.
    fn fetched(&self, id: uuid::Uuid, caller: &Caller) -> Result<(), Fault> {
        for row in self.seen(id, caller)?.rows {
            let is_own = self.own_party(caller, row.to).is_some();
            if is_own && row.road == Road::Api && row.is_unread {
                self.exchange.mark_read(row.to, &row.id)?;
            }
        }
        Ok(())
    }
}

fn accepted(id: uuid::Uuid) -> Reply {
    Reply {
        status: StatusCode::ACCEPTED,
        body: Some(json!({ "id": id.to_string() })),
        location: Some(format!("{PREFIX}/messages/{id}")),
    }
}

impl PutConfiguration {
    fn check(self, her_id: u32, caller: &Caller) -> Result<Configuration, Fault> {
        let mut faults = Vec::new();
        match self.receive_notification_channel.as_deref() {
            None => {}
            Some(name) if name.eq_ignore_ascii_case("ApiPolling") => {}
            Some(name) if name.eq_ignore_ascii_case("Kafka") => faults.push(
                "ReceiveNotificationChannel Kafka is not offered here; use ApiPolling, or GET notifications/stream.".to_owned(),
            ),
            Some(_) => {
                faults.push("ReceiveNotificationChannel must be ApiPolling or Kafka.".to_owned());
            }
        }
        let filters = self.reject_message_filters.unwrap_or_default();
        if filters.len() > MAX_FILTERS {
            faults.push(format!("RejectMessageFilters: at most {MAX_FILTERS}."));
        }
        let is_empty =
            |f: &RejectFilter| f.sender_her_id.is_none() && f.message_type_identificator.is_none();
        if filters.iter().any(is_empty) {
            faults.push("RejectMessageFilters: a filter names senderHerId, messageTypeIdentificator, or both.".to_owned());
        }
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        Ok(Configuration {
            her_id,
            client_locked: self.client_locked,
            receive_notification_channel: Channel::ApiPolling,
            receive_refused_message_notices: self.receive_refused_message_notices,
            reject_message_filters: filters,
            client: caller.client.clone(),
            is_implicit: false,
        })
    }
}
