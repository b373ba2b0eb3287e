//! Version 3: set-up of HER-ids, sending with an answer before delivery, receipts, notices.
//!
//! Sources: spec/messaging.md §6.2; names and shapes as public clients of the national service have them, where the
//! portal's text names none.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document::Document;
use super::fault::Fault;
use super::read::{api_id, delivery_state, gen_date, is_sent, receipt_status};
use super::send::{Handed, Overrides};
use super::settings::Configuration;
use super::{Api, Caller, PREFIX, Reply, json_body, parse, query, unknown, uuid};
use crate::rules::envelope::APPREC;
use crate::rules::track::{State, Track};

/// Most functions that one HER-id refuses, and the longest of them.
const MAX_FILTERS: usize = 100;
const MAX_FUNCTION: usize = 60;
/// Most HER-ids set up at once.
const MAX_AT_ONCE: usize = 1_500;

/// Functions (8279) that are refused, under the name that the contract has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filters {
    #[serde(rename = "MessageFunction", alias = "messageFunction")]
    message_function: Option<Vec<String>>,
}

/// What a client sets up for one HER-id.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    her_id: u32,
    receive_notification_channel: Option<String>,
    client_locked: Option<bool>,
    receive_refused_message_notices: Option<bool>,
    reject_message_filters: Option<Filters>,
}

/// What a client sets up.
#[derive(Debug, Deserialize)]
struct PutConfigurations {
    configurations: Vec<Wanted>,
}

/// Which message was fetched by whom.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Downloaded {
    receiver_her_id: u32,
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
            ["mshconfigurations"] if *method == Method::PUT => {
                json_body(parts)?;
                self.set_up(caller, body)
            }
            ["mshconfigurations"] if *method == Method::DELETE => {
                self.take_down(caller, parts.uri.query())
            }
            ["ping"] if *method == Method::GET => Ok(Reply::ok(json!({
                "response": "Pong",
                "timestampUtc": jiff::Timestamp::now().to_string(),
            }))),
            ["messages"] if *method == Method::POST => self.post_v3(parts, caller, body),
            ["messages", id] if *method == Method::GET => self.message_v3(uuid(id)?, caller),
            ["messages", id, "business-document"] if *method == Method::GET => {
                self.business_document(uuid(id)?, caller)
            }
            ["messages", id, "status"] if *method == Method::GET => {
                self.status_v3(uuid(id)?, caller)
            }
            ["messages", id, "downloaded"] if *method == Method::PUT => {
                json_body(parts)?;
                let request: Downloaded = parse(body)?;
                self.read(uuid(id)?, request.receiver_her_id, caller)
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

    /// All of what is asked for, or nothing.
    fn set_up(&self, caller: &Caller, body: &Bytes) -> Result<Reply, Fault> {
        let request: PutConfigurations = parse(body)?;
        if request.configurations.is_empty() || request.configurations.len() > MAX_AT_ONCE {
            return Err(Fault::invalid(format!(
                "Configurations: from 1 to {MAX_AT_ONCE}."
            )));
        }
        let her_ids: Vec<u32> = request.configurations.iter().map(|c| c.her_id).collect();
        self.must_own(caller, &her_ids)?;
        let mut faults = Vec::new();
        let wanted: Vec<Configuration> = request
            .configurations
            .into_iter()
            .map(|c| c.check(caller, &mut faults))
            .collect();
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        for her_id in her_ids {
            self.unlocked(caller, her_id)?;
        }
        for configuration in &wanted {
            let allowed = |found: Option<&Configuration>| is_mine(found, caller);
            if !self.roads.settings().put(configuration, allowed)? {
                self.unlocked(caller, configuration.her_id)?;
            }
            self.roads.take_over(configuration.her_id)?;
        }
        Ok(Reply::no_content())
    }

    fn take_down(&self, caller: &Caller, query: Option<&str>) -> Result<Reply, Fault> {
        let mut faults = Vec::new();
        let pairs = query::pairs(query);
        let her_ids = query::her_ids(&pairs, "herids", "HerIds", &mut faults);
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        self.must_own(caller, &her_ids)?;
        for her_id in &her_ids {
            self.unlocked(caller, *her_id)?;
        }
        for her_id in her_ids {
            let allowed = |found: Option<&Configuration>| is_mine(found, caller);
            self.roads.settings().remove(her_id, allowed)?;
        }
        Ok(Reply::no_content())
    }

    fn message_v3(&self, id: uuid::Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let seen = self.seen(id, caller)?;
        let row = seen.rows.first().ok_or_else(Fault::not_found)?;
        let receivers: Vec<u32> = seen.rows.iter().map(|t| t.to).collect();
        Ok(Reply::ok(json!({
            "id": api_id(row),
            "senderHerId": row.from,
            "receiverHerIds": receivers,
            "businessDocumentId": row.msg_id,
            "businessDocumentGenDate": gen_date(row),
            "businessDocumentMsgType": row.subject,
            "contentType": "application/xml",
        })))
    }

    fn status_v3(&self, id: uuid::Uuid, caller: &Caller) -> Result<Reply, Fault> {
        let mut rows = Vec::new();
        for track in &self.seen(id, caller)?.rows {
            let receipt = match receipt_status(track) {
                None => Value::Null,
                Some(status) => {
                    let about = self.exchange.about(&track.id)?;
                    let receipt = about.iter().find(|t| t.subject == APPREC);
                    json!({
                        "appRecStatus": status,
                        "appRecErrorList": self.errors_of(track)?,
                        "appRecId": receipt.map(api_id),
                    })
                }
            };
            rows.push(json!({
                "receiverHerId": track.to,
                "transportDeliveryState": state_v3(track),
                "sent": is_sent(track),
                "apprecInfo": receipt,
            }));
        }
        Ok(Reply::ok(json!({ "statusList": rows })))
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
            .at_level_1(document.header.sender.routing_her_id() != Some(sender))
            .by_application(request.application_name, request.application_version);
        let handed = Handed {
            document,
            receivers: request.receiver_her_ids,
            overrides,
            function: Some(function.trim().to_owned()),
        };
        Ok(accepted(self.hand_in(caller, &handed)?))
    }
}

/// Whether a client may change what is set up.
fn is_mine(found: Option<&Configuration>, caller: &Caller) -> bool {
    found.is_none_or(|f| !f.client_locked || f.client == caller.client)
}

/// Version 3 tells apart what was refused from what nobody confirmed.
fn state_v3(track: &Track) -> &'static str {
    match &track.state {
        State::Failed { condition } if condition == "no-acknowledgment" => "Abandoned",
        _ => delivery_state(track),
    }
}

fn accepted(id: uuid::Uuid) -> Reply {
    Reply {
        status: StatusCode::ACCEPTED,
        body: Some(json!({ "id": id.to_string() })),
        location: Some(format!("{PREFIX}/messages/{id}")),
    }
}

impl Wanted {
    fn check(self, caller: &Caller, faults: &mut Vec<String>) -> Configuration {
        match self.receive_notification_channel.as_deref() {
            Some("Api" | "ApiPolling") => {}
            Some("Kafka") => faults
                .push("ReceiveNotificationChannel Kafka is not offered here; use Api.".to_owned()),
            _ => faults.push("ReceiveNotificationChannel must be Api.".to_owned()),
        }
        let filters = self.reject_message_filters.unwrap_or_default();
        let refused_functions = filters.message_function.unwrap_or_default();
        let is_long = |f: &String| f.chars().count() > MAX_FUNCTION;
        if refused_functions.len() > MAX_FILTERS || refused_functions.iter().any(is_long) {
            faults.push(format!(
                "RejectMessageFilters: at most {MAX_FILTERS} functions of {MAX_FUNCTION} characters."
            ));
        }
        Configuration {
            her_id: self.her_id,
            client_locked: self.client_locked.unwrap_or_default(),
            receive_refused_message_notices: self.receive_refused_message_notices.unwrap_or(true),
            refused_functions,
            client: caller.client.clone(),
            is_implicit: false,
        }
    }
}
