//! What was found wrong with a message: rule, weight, code, place.

use serde::{Deserialize, Serialize};

/// Error codes of ebMS 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Code {
    /// A value is not known here.
    ValueNotRecognized,
    /// Something is not supported here.
    NotSupported,
    /// Two things contradict each other.
    Inconsistent,
    /// Another fault in the XML.
    OtherXml,
    /// It cannot be delivered.
    DeliveryFailure,
    /// It came too late.
    TimeToLiveExpired,
    /// Signature, certificate or encryption.
    SecurityFailure,
    /// The MIME around it.
    MimeProblem,
    /// Anything else.
    Unknown,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ValueNotRecognized,
        Self::NotSupported,
        Self::Inconsistent,
        Self::OtherXml,
        Self::DeliveryFailure,
        Self::TimeToLiveExpired,
        Self::SecurityFailure,
        Self::MimeProblem,
        Self::Unknown,
    ];

    /// As written in `eb:errorCode`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValueNotRecognized => "ValueNotRecognized",
            Self::NotSupported => "NotSupported",
            Self::Inconsistent => "Inconsistent",
            Self::OtherXml => "OtherXml",
            Self::DeliveryFailure => "DeliveryFailure",
            Self::TimeToLiveExpired => "TimeToLiveExpired",
            Self::SecurityFailure => "SecurityFailure",
            Self::MimeProblem => "MimeProblem",
            Self::Unknown => "Unknown",
        }
    }

    /// From `eb:errorCode`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

/// How much a finding weighs, from light to heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Tolerated; for the validator and for statistics.
    Info,
    /// The message counts as accepted, with an error list of warnings.
    Warning,
    /// The message is refused with an error list.
    Error,
    /// The message cannot be answered as ebXML: SOAP Fault.
    Fault,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number of the rule in HITS 1172; 0 where it has none.
    pub rule: u16,
    /// Weight.
    pub level: Level,
    /// Code for an error list.
    pub code: Code,
    /// XPath or header name.
    pub location: String,
    /// Line in the SOAP part, from 1; 0 where it is not there.
    pub line: usize,
    /// What is wrong and what to do; no content of the message.
    pub text: String,
}

impl Finding {
    /// A finding without line.
    #[must_use]
    pub fn new(
        rule: u16,
        level: Level,
        code: Code,
        location: &str,
        text: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            level,
            code,
            location: location.to_owned(),
            line: 0,
            text: text.into(),
        }
    }

    /// The same at a line.
    #[must_use]
    pub fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }
}

/// The heaviest level of some findings.
#[must_use]
pub fn heaviest(findings: &[Finding]) -> Option<Level> {
    findings.iter().map(|finding| finding.level).max()
}

/// A value from the network, fit to stand in a text: printable, at most 300 characters.
#[must_use]
pub fn shown(value: &str) -> String {
    value
        .chars()
        .take(300)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
