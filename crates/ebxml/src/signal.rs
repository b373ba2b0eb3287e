//! Acknowledgments, error lists and faults about a message.

use std::fmt::Write as _;

use xmlsec::xml::escaped;

use crate::envelope::{
    AckReference, Acknowledgment, Envelope, ErrorEntry, ErrorList, Kind, MessageHeader, Service,
    Severity, StatusResponse,
};
use crate::finding::{Finding, Level};
use crate::names::{self, SOAP};

/// Most entries of an error list made here.
const MAX_ENTRIES: usize = 20;

/// `yyyy-MM-ddTHH:mm:ssZ`, as the norm writes moments.
#[must_use]
pub fn stamp(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// The header of a signal about a message: parties swapped, same agreement and conversation.
fn header(about: &MessageHeader, action: &str, message_id: &str, at_us: i64) -> MessageHeader {
    MessageHeader {
        from: about.to.clone(),
        to: about.from.clone(),
        cpa_id: about.cpa_id.clone(),
        conversation_id: about.conversation_id.clone(),
        service: names::SIGNAL_SERVICE.to_owned(),
        action: action.to_owned(),
        message_id: message_id.to_owned(),
        timestamp: stamp(at_us),
        ..MessageHeader::default()
    }
}

/// An acknowledgment of a message whose signature had these references.
#[must_use]
pub fn acknowledgment(
    about: &MessageHeader,
    references: Vec<AckReference>,
    message_id: &str,
    at_us: i64,
) -> Envelope {
    let header = header(about, names::ACKNOWLEDGMENT, message_id, at_us);
    Envelope {
        kind: Kind::Acknowledgment(Acknowledgment {
            timestamp: header.timestamp.clone(),
            ref_to_message_id: about.message_id.clone(),
            from: about.to.ids.clone(),
            references,
        }),
        header,
    }
}

/// An error list about a message: its warnings and errors. Information stays here.
#[must_use]
pub fn error_list(
    about: &MessageHeader,
    findings: &[Finding],
    message_id: &str,
    at_us: i64,
) -> Envelope {
    let mut header = header(about, names::MESSAGE_ERROR, message_id, at_us);
    header.ref_to_message_id = Some(about.message_id.clone());
    let mut heavy: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.level > Level::Info)
        .collect();
    heavy.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let errors: Vec<ErrorEntry> = heavy.into_iter().take(MAX_ENTRIES).map(entry).collect();
    let highest = errors
        .iter()
        .map(|error| error.severity)
        .fold(Severity::Warning, Severity::max);
    Envelope {
        header,
        kind: Kind::Error(ErrorList { highest, errors }),
    }
}

/// The answer to a ping.
#[must_use]
pub fn pong(about: &MessageHeader, message_id: &str, at_us: i64) -> Envelope {
    answer(about, Service::Pong, names::PONG, message_id, at_us)
}

/// The answer to a question about a message.
#[must_use]
pub fn status_response(
    about: &MessageHeader,
    response: StatusResponse,
    message_id: &str,
    at_us: i64,
) -> Envelope {
    let service = Service::StatusResponse(response);
    answer(about, service, names::STATUS_RESPONSE, message_id, at_us)
}

/// Refers to the message that asked.
fn answer(
    about: &MessageHeader,
    service: Service,
    action: &str,
    message_id: &str,
    at_us: i64,
) -> Envelope {
    let mut header = header(about, action, message_id, at_us);
    header.ref_to_message_id = Some(about.message_id.clone());
    Envelope {
        header,
        kind: Kind::Service(service),
    }
}

fn entry(finding: &Finding) -> ErrorEntry {
    let mut description = finding.text.clone();
    if finding.rule > 0 {
        let _ = write!(description, " (rule {})", finding.rule);
    }
    if finding.line > 0 {
        let _ = write!(description, " (line {})", finding.line);
    }
    ErrorEntry {
        code: finding.code,
        severity: if finding.level == Level::Warning {
            Severity::Warning
        } else {
            Severity::Error
        },
        location: Some(finding.location.clone()).filter(|place| !place.is_empty()),
        description: Some(description),
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// The sender's.
    Client,
    /// Ours; sending it again helps.
    Server,
}

/// A SOAP Fault, unsigned.
#[must_use]
pub fn fault(code: FaultCode, text: &str) -> String {
    let code = match code {
        FaultCode::Client => "Client",
        FaultCode::Server => "Server",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<SOAP:Envelope xmlns:SOAP=\"{SOAP}\"><SOAP:Header/><SOAP:Body><SOAP:Fault><faultcode>SOAP:{code}</faultcode><faultstring>{}</faultstring></SOAP:Fault></SOAP:Body></SOAP:Envelope>",
        escaped(text)
    )
}
