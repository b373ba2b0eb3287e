//! Handing a business document in: one submission for each receiver, under one id.

use axum::http::request::Parts;
use bytes::Bytes;
use edi::errorqueue::{ErrorCondition, TransportError};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::document::Document;
use super::fault::Fault;
use super::{Api, Caller, json_body, parse};
use crate::port::{Kind, Road, Schema, Submission, SubmitError, Submitted, Transport};
use crate::rules::envelope::organisation_of;

/// Something that may be absent or null.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a client may say about the envelope.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Overrides {
    cpa_id: Option<String>,
    conversation_id: Option<String>,
    service: Option<String>,
    service_type: Option<String>,
    action: Option<String>,
    sender_role: Option<String>,
    receiver_role: Option<String>,
    use_sender_level1_her_id: Option<bool>,
    application_name: Option<String>,
    application_version: Option<String>,
    middleware_name: Option<String>,
    middleware_version: Option<String>,
    compress_payload: Option<bool>,
}

impl Overrides {
    /// Sent by the organisation itself instead of its unit.
    pub fn at_level_1(mut self, is_level_1: bool) -> Self {
        if is_level_1 {
            self.use_sender_level1_her_id = Some(true);
        }
        self
    }

    /// The application that the client names beside the envelope.
    pub fn by_application(mut self, name: Option<String>, version: Option<String>) -> Self {
        self.application_name = name.or(self.application_name);
        self.application_version = version.or(self.application_version);
        self
    }

    /// As details of the track, for whoever makes the envelope.
    fn details(&self) -> Vec<(String, String)> {
        let flag = |f: Option<bool>| f.map(|f| f.to_string());
        [
            ("service", self.service.clone()),
            ("service_type", self.service_type.clone()),
            ("action", self.action.clone()),
            ("sender_role", self.sender_role.clone()),
            ("receiver_role", self.receiver_role.clone()),
            ("application_name", self.application_name.clone()),
            ("application_version", self.application_version.clone()),
            ("middleware_name", self.middleware_name.clone()),
            ("middleware_version", self.middleware_version.clone()),
            ("compress_payload", flag(self.compress_payload)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

/// `PostMessageRequest` of version 2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostMessage {
    #[serde(default, deserialize_with = "nullable")]
    business_document: String,
    #[serde(default, deserialize_with = "nullable")]
    content_type: String,
    #[serde(default, deserialize_with = "nullable")]
    content_transfer_encoding: String,
    #[serde(default, rename = "ebXmlOverrides")]
    overrides: Option<Overrides>,
    #[serde(default)]
    receiver_her_ids_subset: Option<Vec<u32>>,
}

/// A document on its way in, with what the client says about it.
pub(crate) struct Handed {
    pub document: Document,
    /// Receivers that the service shall handle.
    pub receivers: Vec<u32>,
    pub overrides: Overrides,
    /// Function, when the client names it.
    pub function: Option<String>,
}

/// The id of a message: of the same document from the same organisation always the same, so that a client that did not
/// hear the answer may ask again and nothing is sent twice.
fn id_of(organisation: u32, document: &Document) -> Uuid {
    let mut text = format!(
        "message|{organisation}|{}|",
        document.header.msg_id.to_lowercase()
    )
    .into_bytes();
    text.extend_from_slice(&store::sha256(&document.bytes));
    made_of(&text)
}

/// A UUID made of some bytes.
pub(crate) fn made_of(text: &[u8]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, text)
}

impl Api {
    pub(crate) fn post_v2(
        &self,
        parts: &Parts,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Uuid, Fault> {
        json_body(parts)?;
        let request: PostMessage = parse(body)?;
        let document = Document::decode(
            &request.business_document,
            &request.content_type,
            &request.content_transfer_encoding,
        )?;
        let all = document.receivers();
        let receivers = match request.receiver_her_ids_subset {
            Some(subset) if !subset.is_empty() => {
                if subset.iter().any(|id| !all.contains(id)) {
                    return Err(Fault::invalid(
                        "ReceiverHerIdsSubset: every HER-id must be a receiver in the BusinessDocument.",
                    ));
                }
                subset
            }
            _ => all,
        };
        let handed = Handed {
            document,
            receivers,
            overrides: request.overrides.unwrap_or_default(),
            function: None,
        };
        self.hand_in(caller, &handed)
    }

    /// Takes a document for all its receivers, or for none.
    pub(crate) fn hand_in(&self, caller: &Caller, handed: &Handed) -> Result<Uuid, Fault> {
        let Handed {
            document,
            receivers,
            overrides,
            function,
        } = handed;
        let header = &document.header;
        let level_2 = header.sender.routing_her_id().unwrap_or_default();
        let party = self
            .own_party(caller, level_2)
            .ok_or_else(|| Fault::not_authorized(&[level_2]))?;
        let organisation = organisation_of(&party);
        let from = match overrides.use_sender_level1_her_id {
            Some(true) => organisation,
            _ => level_2,
        };
        let directory = &self.exchange.inner.directory;
        let mut roads = Vec::new();
        let mut faults = Vec::new();
        for to in receivers {
            match directory.party(*to) {
                None => faults.push(format!("Receiver {to} is not in the address register.")),
                Some(party) => roads.push((*to, self.roads.to(&party)?)),
            }
        }
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        let id = id_of(organisation, document);
        let function = function.clone().unwrap_or_else(|| document.function());
        for (to, road) in roads {
            let submission = self.submission(Of {
                caller,
                handed,
                organisation,
                from,
                to,
                road,
                id,
                function: &function,
            });
            if road == Road::Api && self.refused_by_filter(to, &function)? {
                let why = "the receiver refuses such messages";
                let error = TransportError::new(ErrorCondition::UnsupportedMessage, why);
                self.exchange.note_refused(&submission, &error, None)?;
                continue;
            }
            match self.exchange.submit_blocking(&submission) {
                Ok(Submitted::Taken { .. })
                | Ok(Submitted::Duplicate {
                    same_content: true, ..
                }) => {}
                Ok(Submitted::Duplicate { .. }) => {
                    return Err(Fault::conflict(
                        "This message has been handed in with another content",
                    ));
                }
                Err(SubmitError::Refused { error, .. }) => {
                    return Err(Fault::invalid(error.description));
                }
                Err(SubmitError::Exchange(error)) => return Err(error.into()),
            }
        }
        Ok(id)
    }

    fn refused_by_filter(&self, to: u32, function: &str) -> Result<bool, Fault> {
        let settings = self.roads.settings().get(to)?;
        Ok(settings.is_some_and(|s| s.refuses(function)))
    }

    fn submission(&self, of: Of<'_>) -> Submission {
        let document = &of.handed.document;
        let overrides = &of.handed.overrides;
        let header = &document.header;
        let mut details = overrides.details();
        details.push(("gen_date".to_owned(), header.gen_date.text.clone()));
        let now_us = self.exchange.inner.clock.now_us();
        let name = overrides.application_name.as_ref();
        let system = match (name, &overrides.application_version) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            (Some(name), None) => name.clone(),
            _ => of.caller.system.clone(),
        };
        Submission {
            transport: Transport::Rest,
            road: of.road,
            organisation: of.organisation,
            transport_id: of.id.to_string(),
            from: of.from,
            to: of.to,
            function: of.function.to_owned(),
            content_type: "application/xml".to_owned(),
            sent_at_us: header
                .gen_date
                .instant()
                .map_or(now_us, jiff::Timestamp::as_microsecond),
            msg_id: Some(header.msg_id.clone()),
            conversation: overrides
                .conversation_id
                .clone()
                .or_else(|| header.ref_to_conversation.clone()),
            cpa_id: overrides.cpa_id.clone(),
            schema: Some(Schema {
                namespace: document.namespace(),
                version: document.identified.version.clone(),
            }),
            system: Some(system),
            details,
            kind: match &document.receipt {
                Some(receipt) => Kind::Receipt {
                    original_msg_id: header.ref_to_parent.clone(),
                    known: Some(receipt.clone()),
                },
                None => Kind::Business {
                    expects_receipt: document.wants_receipt(),
                },
            },
            body: document.bytes.clone(),
            fingerprint: None,
            answer: None,
        }
    }
}

/// What one submission is made of.
struct Of<'a> {
    caller: &'a Caller,
    handed: &'a Handed,
    organisation: u32,
    from: u32,
    to: u32,
    road: Road,
    id: Uuid,
    function: &'a str,
}
