//! Questions to a message handler about itself and about messages, and their answers (ebMS 2.0 §7 and §8): whether it is there, and what
//! became of a message.

use std::fmt::Write as _;

use xmlsec::xml::{Document, NodeId};

use super::write::element;
use crate::names::{self, EB};

/// Longest message id that is read.
const MAX_ID: usize = 250;

/// A question to a message handler, or the answer to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// What became of a message?
    StatusRequest {
        /// Its id; empty when it is missing.
        about: String,
    },
    /// That.
    StatusResponse(StatusResponse),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusResponse {
    /// Its id.
    pub about: String,
    /// What became of it; nothing when the word is not one of ebMS.
    pub status: Option<MessageStatus>,
    /// When it was received, as written; never for [`MessageStatus::NotRecognized`] and [`MessageStatus::UnAuthorized`].
    pub received: Option<String>,
}

/// The words of ebMS 2.0 §7.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStatus {
    /// Who asks may not know.
    UnAuthorized,
    /// No such message of theirs.
    NotRecognized,
    /// Here, and not handled yet.
    Received,
    /// Handled.
    Processed,
    /// Passed on to another handler.
    Forwarded,
}

impl MessageStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::UnAuthorized,
        Self::NotRecognized,
        Self::Received,
        Self::Processed,
        Self::Forwarded,
    ];

    /// As written in `eb:messageStatus`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnAuthorized => "UnAuthorized",
            Self::NotRecognized => "NotRecognized",
            Self::Received => "Received",
            Self::Processed => "Processed",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// By the action, which decides; the body adds what the question or answer is about.
pub(super) fn read(document: &Document, body: NodeId, action: &str) -> Option<Service> {
    let block = |local| document.only(body, EB, local);
    let text = |node: Option<NodeId>, local| {
        let found = document.only(node?, EB, local)?;
        let text = document.text(found);
        Some(text.trim().to_owned()).filter(|text| text.len() <= MAX_ID)
    };
    Some(match action {
        names::PING => Service::Ping,
        names::PONG => Service::Pong,
        names::STATUS_REQUEST => Service::StatusRequest {
            about: text(block("StatusRequest"), "RefToMessageId").unwrap_or_default(),
        },
        names::STATUS_RESPONSE => {
            let node = block("StatusResponse");
            let word = node.and_then(|node| document.attribute(node, EB, "messageStatus"));
            Service::StatusResponse(StatusResponse {
                about: text(node, "RefToMessageId").unwrap_or_default(),
                status: MessageStatus::ALL
                    .into_iter()
                    .find(|status| Some(status.as_str()) == word),
                received: text(node, "Timestamp"),
            })
        }
        _ => return None,
    })
}

/// What stands in the body.
pub(super) fn write(out: &mut String, service: &Service) {
    match service {
        Service::Ping | Service::Pong => {}
        Service::StatusRequest { about } => {
            out.push_str("<eb:StatusRequest eb:version=\"2.0\">");
            element(out, "RefToMessageId", about);
            out.push_str("</eb:StatusRequest>");
        }
        Service::StatusResponse(response) => {
            let status = response.status.unwrap_or(MessageStatus::NotRecognized);
            let _ = write!(
                out,
                "<eb:StatusResponse eb:version=\"2.0\" eb:messageStatus=\"{}\">",
                status.as_str()
            );
            element(out, "RefToMessageId", &response.about);
            if let Some(received) = &response.received {
                element(out, "Timestamp", received);
            }
            out.push_str("</eb:StatusResponse>");
        }
    }
}
