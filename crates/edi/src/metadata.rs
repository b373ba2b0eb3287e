//! Metadata that travels outside the encrypted payload: the `X-` application properties of the message bus.
//!
//! Copied from the business document by the sender for routing and statistics (messaging.md §4.3). They hold message
//! numbers, HER-ids and sizes, never anything about the patient.

use crate::message::{self, Header, MessageKind};
use crate::xml::{Elem, XmlDoc};

/// Names and values in the order of the specification; what the document does not say is left out.
pub fn properties(doc: &XmlDoc) -> Vec<(&'static str, String)> {
    let root = message::core(&doc.root);
    let Some(h) = Header::from_elem(root) else {
        return Vec::new();
    };
    let id = message::identify_elem(root);
    let mut out = Vec::new();
    let mut put = |name, value: Option<String>| {
        out.extend(value.filter(|v| !v.is_empty()).map(|v| (name, v)))
    };
    let receipt = id.kind == MessageKind::AppRec;
    let original = |path| root.descend(&["OriginalMsgId", path]);
    put(
        "X-MessageInfo-Type",
        h.document_type.as_ref().map(|t| t.code().to_owned()),
    );
    put("X-MessageInfo-MsgId", Some(h.msg_id.clone()));
    put(
        "X-MessageInfo-RefToParent",
        h.ref_to_parent.clone().filter(|_| !receipt),
    );
    put(
        "X-MessageInfo-RefToConversation",
        h.ref_to_conversation.clone(),
    );
    put(
        "X-MessageInfo-SchemaNamespace",
        Some(id.payload_namespace.unwrap_or(id.root_namespace)),
    );
    put(
        "X-MessageInfo-OriginalMsgId",
        original("Id").map(|e| e.text().trim().to_owned()),
    );
    put(
        "X-MessageInfo-OriginalMsgType",
        original("MsgType")
            .and_then(|e| e.attr("V"))
            .map(str::to_owned),
    );
    let her = |p: Option<&message::PartyId>| {
        p.and_then(message::PartyId::her_id)
            .map(|id| id.to_string())
    };
    put("X-Sender-Lvl1Id", her(Some(&h.sender.organisation)));
    put(
        "X-Sender-Lvl2Id",
        her(h.sender.unit.as_ref().or(h.sender.person.as_ref())),
    );
    put("X-Receiver-Lvl1Id", her(Some(&h.receiver.organisation)));
    put(
        "X-Receiver-Lvl2Id",
        her(h.receiver.unit.as_ref().or(h.receiver.person.as_ref())),
    );
    if id.head == message::Head::MsgHead {
        let attachments: Vec<&Elem> = root.all("Document").skip(1).collect();
        let mut bytes = 0;
        let mut external = false;
        for a in &attachments {
            external |= a.descend(&["RefDoc", "FileReference"]).is_some();
            bytes += a
                .descend(&["RefDoc", "Content", "Base64Container"])
                .map_or(0, |e| e.text().trim().len());
        }
        put(
            "X-AttachmentInfo-Count",
            Some(attachments.len().to_string()),
        );
        put("X-AttachmentInfo-TotalSizeInBytes", Some(bytes.to_string()));
        put(
            "X-AttachmentInfo-HasExternalReference",
            Some(if external { "True" } else { "False" }.to_owned()),
        );
    }
    out
}
