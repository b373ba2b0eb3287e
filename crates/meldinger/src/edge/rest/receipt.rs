//! Application receipts that clients give: the hub makes the document and sends it back on the road the message came by.

use bytes::Bytes;
use edi::apprec::{AppRec, ErrorCode, Status, Version};
use edi::message::{Endpoint, Header, identify_doc};
use edi::value::{Coded, LIST_OID};
use edi::xml::XmlDoc;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::fault::Fault;
use super::send::{Overrides, made_of};
use super::{Api, Caller, parse};
use crate::port::{Kind, Road, Schema, Submission, SubmitError, Submitted, Transport};
use crate::rules::envelope::{APPREC, organisation_of};
use crate::rules::track::{Receipt, Track};

/// Most errors of one receipt, and the longest text of one.
const MAX_ERRORS: usize = 20;
const MAX_TEXT: usize = 1_000;

/// `AppRecError`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GivenError {
    error_code: Option<String>,
    details: Option<String>,
    description: Option<String>,
    oid: Option<String>,
}

/// `PostAppRecRequest` of version 2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostReceipt {
    #[serde(default)]
    app_rec_status: Value,
    #[serde(default)]
    app_rec_error_list: Option<Vec<GivenError>>,
    #[serde(default, rename = "ebXmlOverrides")]
    _overrides: Option<Overrides>,
}

/// The same in version 3, where the sender stands in the body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostReceiptV3 {
    app_rec_sender_her_id: u32,
    #[serde(flatten)]
    receipt: PostReceipt,
    #[serde(default)]
    application_name: Option<String>,
    #[serde(default)]
    application_version: Option<String>,
}

/// A receipt as a client gives it, checked.
struct Given {
    status: Status,
    errors: Vec<Coded>,
    system: Option<String>,
}

impl PostReceipt {
    fn check(self) -> Result<Given, Fault> {
        let mut faults = Vec::new();
        let text = match &self.app_rec_status {
            Value::String(text) => text.trim().to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let status = match text.as_str() {
            "ok" | "1" => Some(Status::Ok),
            "rejected" | "2" => Some(Status::Rejected),
            "okerrorinmessagepart" | "3" => {
                faults.push("AppRecStatus OkErrorInMessagePart is not supported.".to_owned());
                None
            }
            _ => {
                faults.push("AppRecStatus must be Ok (1) or Rejected (2).".to_owned());
                None
            }
        };
        let given = self.app_rec_error_list.unwrap_or_default();
        if given.len() > MAX_ERRORS {
            faults.push(format!("AppRecErrorList: at most {MAX_ERRORS} errors."));
        }
        if status == Some(Status::Rejected) && given.is_empty() {
            faults.push("AppRecErrorList: a rejection needs at least one error.".to_owned());
        }
        if status == Some(Status::Ok) && !given.is_empty() {
            faults.push("AppRecErrorList must be empty when AppRecStatus is Ok.".to_owned());
        }
        let mut errors = Vec::new();
        for error in given.into_iter().take(MAX_ERRORS) {
            match error.coded() {
                Ok(error) => errors.push(error),
                Err(fault) => faults.push(fault),
            }
        }
        match status {
            Some(status) if faults.is_empty() => Ok(Given {
                status,
                errors,
                system: None,
            }),
            _ => Err(Fault::model(faults)),
        }
    }
}

impl GivenError {
    fn coded(self) -> Result<Coded, String> {
        let text = |t: Option<String>| t.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let code = text(self.error_code).ok_or("AppRecErrorList: errorCode is required.")?;
        let (details, description) = (text(self.details), text(self.description));
        let is_long = |t: &Option<String>| t.as_ref().is_some_and(|t| t.chars().count() > MAX_TEXT);
        if code.chars().count() > 40 || is_long(&details) || is_long(&description) {
            return Err("AppRecErrorList: a text is too long.".to_owned());
        }
        let oid = text(self.oid).unwrap_or_else(|| format!("{LIST_OID}8221"));
        let is_national = oid == format!("{LIST_OID}8221");
        let known = ErrorCode::parse(&code);
        if is_national && known.is_none() {
            return Err("AppRecErrorList: errorCode is not in code list 8221.".to_owned());
        }
        let label = known.filter(|_| is_national).map(|k| k.label().to_owned());
        // The code list's own text, repeated, is no further information.
        let other = details.filter(|d| Some(d) != label.as_ref());
        Ok(Coded {
            value: Some(code),
            system: Some(oid),
            display: label.or(description),
            other,
            ..Coded::default()
        })
    }
}

impl Api {
    pub(crate) fn post_receipt_v2(
        &self,
        id: Uuid,
        her_id: u32,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Uuid, Fault> {
        let request: PostReceipt = parse(body)?;
        self.must_own(caller, &[her_id])?;
        self.answer_message(id, her_id, caller, &request.check()?)
    }

    pub(crate) fn post_receipt_v3(
        &self,
        id: Uuid,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Uuid, Fault> {
        let request: PostReceiptV3 = parse(body)?;
        let her_id = request.app_rec_sender_her_id;
        self.must_own(caller, &[her_id])?;
        let mut given = request.receipt.check()?;
        given.system = match (request.application_name, request.application_version) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (name, _) => name,
        };
        self.answer_message(id, her_id, caller, &given)
    }

    fn answer_message(
        &self,
        id: Uuid,
        her_id: u32,
        caller: &Caller,
        given: &Given,
    ) -> Result<Uuid, Fault> {
        let seen = self.seen(id, caller)?;
        let row = seen.rows.iter().find(|t| t.to == her_id);
        let original = row.ok_or_else(Fault::not_found)?;
        self.unlocked(caller, her_id)?;
        if original.subject == APPREC {
            return Err(Fault::conflict(
                "An application receipt is never answered with an application receipt",
            ));
        }
        let road = match original.transport.road_back() {
            // From one of the hub's own parties, such as a message of the approval's battery.
            _ if original.transport == Transport::Hub => Road::Hub,
            Road::Bus => {
                return Err(Fault::conflict(
                    "The message did not come by a road that receipts of this service take",
                ));
            }
            road => road,
        };
        let document = self
            .exchange
            .document(original)?
            .ok_or_else(Fault::not_found)?;
        let submission = self.receipt_of(original, &document, given, caller, road)?;
        let id = submission.transport_id.clone();
        match self.exchange.submit_blocking(&submission) {
            Ok(Submitted::Taken { .. })
            | Ok(Submitted::Duplicate {
                same_content: true, ..
            }) => Uuid::try_parse(&id).map_err(|_| Fault::internal()),
            Ok(Submitted::Duplicate { .. }) => Err(Fault::conflict(
                "The message has an application receipt already, and it is final",
            )),
            Err(SubmitError::Refused { error, .. }) => Err(Fault::invalid(error.description)),
            Err(SubmitError::Exchange(error)) => Err(error.into()),
        }
    }

    fn receipt_of(
        &self,
        original: &Track,
        document: &[u8],
        given: &Given,
        caller: &Caller,
        road: Road,
    ) -> Result<Submission, Fault> {
        let doc = XmlDoc::parse(document).map_err(|_| Fault::internal())?;
        let header = Header::from_doc(&doc).ok_or_else(Fault::internal)?;
        // Who is not named in the document has got it all the same, and says so with a rejection.
        let me = receiver(&header, original.to)
            .or_else(|| self.exchange.endpoint(original.to))
            .ok_or_else(Fault::not_found)?;
        let version = Version::for_message(&identify_doc(&doc));
        // One receipt for one message and receiver: its ids follow from them, and a second one meets the first.
        let key = format!("receipt|{}|{}", original.id, original.to);
        let id = made_of(key.as_bytes());
        let document_id = made_of(format!("document|{key}").as_bytes());
        let now_us = self.exchange.inner.clock.now_us();
        let now = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
        let codes: Vec<String> = given.errors.iter().map(|e| e.code().to_owned()).collect();
        let receipt = AppRec::answer(
            &header,
            given.status,
            given.errors.clone(),
            &document_id.to_string(),
            now,
            &me,
        )
        .in_version(version);
        let namespace = match version {
            Version::V1_0 => edi::apprec::NS_1_0,
            Version::V1_1 => edi::apprec::NS,
        };
        let said = format!("{:?}{:?}", given.status, receipt.errors);
        let party = self.exchange.inner.directory.party(original.to);
        let gen_date = receipt.gen_date.text.clone();
        Ok(Submission {
            transport: Transport::Rest,
            road,
            organisation: party.as_ref().map_or(0, organisation_of),
            transport_id: id.to_string(),
            from: original.to,
            to: original.from,
            function: APPREC.to_owned(),
            content_type: "application/xml".to_owned(),
            sent_at_us: now_us,
            msg_id: Some(document_id.to_string()),
            conversation: original.conversation.clone(),
            cpa_id: original.cpa_id.clone(),
            schema: Some(Schema {
                namespace: namespace.to_owned(),
                version: Some(match version {
                    Version::V1_0 => "1.0".to_owned(),
                    Version::V1_1 => "1.1".to_owned(),
                }),
            }),
            system: given.system.clone().or_else(|| Some(caller.system.clone())),
            details: vec![("gen_date".to_owned(), gen_date)],
            kind: Kind::Receipt {
                original_msg_id: Some(header.msg_id.clone()),
                known: Some(Receipt::Known {
                    status: given.status.code().to_owned(),
                    codes,
                }),
            },
            body: Bytes::from(receipt.to_xml()),
            // The time in it differs from try to try; what it says does not.
            fingerprint: Some(store::sha256(said.as_bytes())),
            answer: None,
        })
    }
}

/// The receiver of a message with this HER-id.
fn receiver(header: &Header, her_id: u32) -> Option<Endpoint> {
    let mut all = std::iter::once(&header.receiver).chain(&header.copies);
    let routed = all.clone().find(|e| e.routing_her_id() == Some(her_id));
    routed
        .or_else(|| all.find(|e| e.her_ids().contains(&her_id)))
        .cloned()
}
