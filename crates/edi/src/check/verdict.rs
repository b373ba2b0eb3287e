//! What a receiver answers: the first broken rule in [`super::ORDER`] decides.

use crate::apprec::ErrorCode;
use crate::errorqueue::{ErrorCondition, TransportError};
use crate::message::MessageKind;
use crate::value::Coded;

use super::{Checked, Finding, ORDER, Rule, Severity};

/// The road by which the message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// AMQP: transport errors go to the sender's error queue.
    Amqp,
    /// ebXML.
    Ebxml,
    /// The Meldingstjener API.
    Api,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken: positive receipt if one is wanted.
    Accept {
        /// How many warnings an operator should see.
        warnings: usize,
    },
    /// Rejected with a negative receipt that carries these errors.
    Reject {
        /// Errors for the receipt, with our words and the place.
        errors: Vec<Coded>,
        /// The rule that decided.
        rule: Rule,
    },
    /// Answered on the transport, without a receipt.
    TransportError {
        /// What goes to the sender's error queue.
        error: TransportError,
        /// Whether an operator must see a security event.
        security_event: bool,
        /// The rule that decided.
        rule: Rule,
    },
    /// Dropped and logged: a receipt is never answered with a receipt.
    Drop {
        /// The rule that decided.
        rule: Rule,
    },
    /// Not opened yet: no answer can be given.
    NotOpened,
}

/// Most errors that one receipt carries.
const MAX_ERRORS: usize = 5;

impl Checked {
    /// What a receiver answers. `transport` decides how unreadable XML is answered.
    pub fn verdict(&self, transport: Transport) -> Verdict {
        let Some(rule) = ORDER
            .iter()
            .copied()
            .find(|r| self.errors_of(*r).next().is_some())
        else {
            if self.findings.iter().any(|f| f.rule_id == Rule::NotOpened) {
                return Verdict::NotOpened;
            }
            let warnings = self
                .findings
                .iter()
                .filter(|f| f.severity == Severity::Warning)
                .count();
            return Verdict::Accept { warnings };
        };
        let condition = match rule {
            Rule::Sender => Some(ErrorCondition::SpoofingAttack),
            // On AMQP what cannot be read is a transport error; elsewhere it is a receipt with T01.
            Rule::WellFormed | Rule::NoDoctype if transport == Transport::Amqp => {
                Some(ErrorCondition::NotWellFormedXml)
            }
            Rule::Encoding if transport == Transport::Amqp => Some(ErrorCondition::InvalidEncoding),
            Rule::Size if transport == Transport::Amqp => Some(ErrorCondition::XmlNotInterpretable),
            _ => None,
        };
        if let Some(condition) = condition {
            let words = self.errors_of(rule).next().map(words).unwrap_or_default();
            return Verdict::TransportError {
                error: TransportError::new(condition, words),
                security_event: matches!(rule, Rule::Sender | Rule::NoDoctype),
                rule,
            };
        }
        if self.identified.kind == MessageKind::AppRec {
            return Verdict::Drop { rule };
        }
        let errors = self
            .errors_of(rule)
            .take(MAX_ERRORS)
            .map(|f| {
                f.code
                    .and_then(ErrorCode::parse)
                    .unwrap_or(ErrorCode::X99)
                    .error(&words(f))
            })
            .collect();
        Verdict::Reject { errors, rule }
    }

    fn errors_of(&self, rule: Rule) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |f| f.rule_id == rule && f.severity == Severity::Error)
    }
}

/// Our words for a receipt: what, and where.
fn words(f: &Finding) -> String {
    let mut out = f.text_nb.clone();
    if f.line > 0 {
        out.push_str(&format!(" (linje {}, kolonne {}", f.line, f.column));
        if !f.element.is_empty() {
            out.push_str(&format!(", {}", f.element));
        }
        out.push(')');
    }
    out
}
