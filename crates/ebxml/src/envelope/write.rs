//! Writing an envelope, without its signature.

use std::fmt::Write as _;

use xmlsec::xml::escaped;

use super::{Envelope, Kind, Party, Severity, service};
use crate::names::{EB, SOAP, TO_PARTY_MSH, XLINK};

/// The envelope as text; the SOAP header has an end tag to put a signature before.
#[must_use]
pub fn write(envelope: &Envelope) -> String {
    let mut out = String::with_capacity(2_000);
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<SOAP:Envelope xmlns:SOAP=\"{SOAP}\" xmlns:eb=\"{EB}\" xmlns:xlink=\"{XLINK}\"><SOAP:Header>"
    );
    message_header(&mut out, envelope);
    match &envelope.kind {
        Kind::Payload {
            ack_requested,
            sync_reply,
            ..
        } => {
            if *sync_reply {
                out.push_str("<eb:SyncReply SOAP:mustUnderstand=\"1\" eb:version=\"2.0\" SOAP:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"/>");
            }
            if let Some(asked) = ack_requested {
                let actor = asked.actor.as_deref().unwrap_or(TO_PARTY_MSH);
                let _ = write!(
                    out,
                    "<eb:AckRequested SOAP:mustUnderstand=\"1\" SOAP:actor=\"{}\" eb:version=\"2.0\" eb:signed=\"{}\"/>",
                    escaped(actor),
                    asked.signed
                );
            }
        }
        Kind::Acknowledgment(acknowledgment) => {
            let _ = write!(
                out,
                "<eb:Acknowledgment SOAP:mustUnderstand=\"1\" SOAP:actor=\"{TO_PARTY_MSH}\" eb:version=\"2.0\">"
            );
            element(&mut out, "Timestamp", &acknowledgment.timestamp);
            element(
                &mut out,
                "RefToMessageId",
                &acknowledgment.ref_to_message_id,
            );
            if !acknowledgment.from.is_empty() {
                out.push_str("<eb:From>");
                party_ids(&mut out, &acknowledgment.from);
                out.push_str("</eb:From>");
            }
            for reference in &acknowledgment.references {
                out.push_str(&reference.xml);
            }
            out.push_str("</eb:Acknowledgment>");
        }
        Kind::Error(list) => {
            let _ = write!(
                out,
                "<eb:ErrorList SOAP:mustUnderstand=\"1\" eb:version=\"2.0\" eb:highestSeverity=\"{}\">",
                list.highest.as_str()
            );
            for error in &list.errors {
                error_entry(&mut out, error);
            }
            out.push_str("</eb:ErrorList>");
        }
        Kind::Service(_) => {}
    }
    out.push_str("</SOAP:Header><SOAP:Body>");
    if let Kind::Service(asked) = &envelope.kind {
        service::write(&mut out, asked);
    }
    if let Kind::Payload { manifest, .. } = &envelope.kind {
        out.push_str("<eb:Manifest eb:version=\"2.0\">");
        for reference in manifest {
            let _ = write!(
                out,
                "<eb:Reference xlink:type=\"simple\" xlink:href=\"{}\">",
                escaped(&reference.href)
            );
            if let Some((location, version)) = &reference.schema {
                let _ = write!(
                    out,
                    "<eb:Schema eb:location=\"{}\" eb:version=\"{}\"/>",
                    escaped(location),
                    escaped(version)
                );
            }
            out.push_str("</eb:Reference>");
        }
        out.push_str("</eb:Manifest>");
    }
    out.push_str("</SOAP:Body></SOAP:Envelope>");
    out
}

fn error_entry(out: &mut String, error: &super::ErrorEntry) {
    let _ = write!(
        out,
        "<eb:Error eb:codeContext=\"urn:oasis:names:tc:ebxml-msg:service:errors\" eb:errorCode=\"{}\" eb:severity=\"{}\"",
        error.code.as_str(),
        match error.severity {
            Severity::Warning => "Warning",
            Severity::Error => "Error",
        }
    );
    if let Some(location) = &error.location {
        let _ = write!(out, " eb:location=\"{}\"", escaped(location));
    }
    out.push('>');
    if let Some(description) = &error.description {
        let _ = write!(
            out,
            "<eb:Description xml:lang=\"en\">{}</eb:Description>",
            escaped(description)
        );
    }
    out.push_str("</eb:Error>");
}

fn message_header(out: &mut String, envelope: &Envelope) {
    let header = &envelope.header;
    out.push_str("<eb:MessageHeader SOAP:mustUnderstand=\"1\" eb:version=\"2.0\">");
    party(out, "From", &header.from);
    party(out, "To", &header.to);
    element(out, "CPAId", &header.cpa_id);
    element(out, "ConversationId", &header.conversation_id);
    if header.service_type.is_empty() {
        element(out, "Service", &header.service);
    } else {
        let _ = write!(
            out,
            "<eb:Service eb:type=\"{}\">{}</eb:Service>",
            escaped(&header.service_type),
            escaped(&header.service)
        );
    }
    element(out, "Action", &header.action);
    out.push_str("<eb:MessageData>");
    element(out, "MessageId", &header.message_id);
    element(out, "Timestamp", &header.timestamp);
    if let Some(id) = &header.ref_to_message_id {
        element(out, "RefToMessageId", id);
    }
    if let Some(until) = &header.time_to_live {
        element(out, "TimeToLive", until);
    }
    out.push_str("</eb:MessageData>");
    if header.duplicate_elimination {
        out.push_str("<eb:DuplicateElimination/>");
    }
    if let Some(description) = &header.description {
        let _ = write!(
            out,
            "<eb:Description xml:lang=\"no\">{}</eb:Description>",
            escaped(description)
        );
    }
    out.push_str("</eb:MessageHeader>");
}

fn party(out: &mut String, local: &str, party: &Party) {
    let _ = write!(out, "<eb:{local}>");
    party_ids(out, &party.ids);
    if !party.role.is_empty() {
        element(out, "Role", &party.role);
    }
    let _ = write!(out, "</eb:{local}>");
}

fn party_ids(out: &mut String, ids: &[super::PartyId]) {
    for id in ids {
        let _ = write!(
            out,
            "<eb:PartyId eb:type=\"{}\">{}</eb:PartyId>",
            escaped(&id.kind),
            escaped(&id.value)
        );
    }
}

pub(super) fn element(out: &mut String, local: &str, text: &str) {
    let _ = write!(out, "<eb:{local}>{}</eb:{local}>", escaped(text));
}
