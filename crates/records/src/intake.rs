//! How a service takes in messages addressed to the hub: a small trait, so that the message exchange and the services
//! that project messages into records need not know each other. The hub joins the two.
//!
//! The exchange opens and checks the envelope; the service answers with values: what to commit, what to answer. The
//! exchange commits the service's part, the receipt, the settlement and the tracking as one commit, once per MsgId.

use bytes::Bytes;
use codes::ident::Nin;
use edi::apprec::{ErrorCode, Status};
use edi::check::{
    Checked, Envelope, Finding, Lookups, Options, PartyFacts, Severity, Transport, Verdict,
};
use edi::errorqueue::TransportError;
use edi::message::{Header, MessageKind};
use edi::value::Coded;
use registers::Directory;
use registers::directory::PartyKind;
use store::{Commit, MicrosUtc, Snapshot, StoreError};

/// A message whose envelope is in order: decrypted, signature and certificate checked.
#[derive(Clone, Debug)]
pub struct OpenedMessage {
    /// HER-id of the sender, checked against the logged-in party.
    pub from_her_id: u32,
    /// HER-id of the receiver: the hub-run party.
    pub to_her_id: u32,
    /// Message function (`SVAR_LAB`, `EPIKRISE`, …).
    pub subject: String,
    /// The signed content, byte for byte.
    pub content: Bytes,
    /// Organisation number in the signing certificate.
    pub signer_orgnr: Option<String>,
    /// Now on the rules' clock.
    pub now: MicrosUtc,
    /// Whether the hub is in production: messages marked as tests and synthetic national ids are refused.
    pub production: bool,
}

/// How the sender is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// With an AppRec. The exchange leaves a positive one out where the sender wants none.
    Receipt {
        /// Outcome.
        status: Status,
        /// Errors (8221) with our words.
        errors: Vec<Coded>,
    },
    /// On its error queue.
    TransportError(TransportError),
    /// Not at all.
    Nothing {
        /// Why, for the track.
        reason: String,
    },
}

/// What a service makes of a message.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The answer.
    pub answer: Answer,
    /// The service's part of the commit: records, claims, raised epochs, audit. Empty for a refused message.
    pub commit: Commit,
    /// What an operator should know; no names, no national ids.
    pub notes: Vec<Note>,
}

impl Intake {
    /// Accepted, so far with nothing to commit.
    pub fn accepted(notes: Vec<Note>) -> Self {
        Self {
            answer: Answer::Receipt {
                status: Status::Ok,
                errors: Vec::new(),
            },
            commit: Commit::default(),
            notes,
        }
    }

    /// Rejected with one error.
    pub fn rejected(code: ErrorCode, words: &str, notes: Vec<Note>) -> Self {
        Self {
            answer: Answer::Receipt {
                status: Status::Rejected,
                errors: vec![code.error(words)],
            },
            commit: Commit::default(),
            notes,
        }
    }
}

/// A remark for tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Code: AppRec error code (`E31`) or the rule's name.
    pub code: String,
    /// One sentence in Norwegian.
    pub text_nb: String,
    /// The same in English.
    pub text_en: String,
}

/// A hub-run receiver of messages. Blocking; called outside async tasks.
pub trait Receiver: Send + Sync {
    /// HER-id it answers for.
    fn her_id(&self) -> u32;
    /// Name in tracking and metrics (`provesvar`, `dokumenter`).
    fn name(&self) -> &'static str;
    /// Takes one message in. Pure against the snapshot: called again when the commit is refused because the world moved.
    fn receive(&self, snapshot: &Snapshot, message: &OpenedMessage) -> Result<Intake, StoreError>;
}

/// Register look-ups for the content rules.
pub struct RegisterLookups<'d>(pub &'d dyn Directory);

impl Lookups for RegisterLookups<'_> {
    fn person_exists(&self, id: &Nin) -> Option<bool> {
        Some(self.0.person(id.as_str()).is_some())
    }

    fn party_exists(&self, her_id: u32) -> Option<bool> {
        Some(self.0.party(her_id).is_some())
    }

    fn party(&self, her_id: u32) -> Option<Option<PartyFacts>> {
        Some(self.0.party(her_id).map(|party| PartyFacts {
            is_level_2: party.kind != PartyKind::Organisation,
            edi_address: party.edi_address,
            signing_certificate: party.signing_certificate,
        }))
    }
}

/// Runs the content rules on an opened message. `Ok`: go on and project it. `Err`: the finished refusal, with the answer
/// that the first broken rule demands (spec/story.md §7).
pub fn check(
    directory: &dyn Directory,
    message: &OpenedMessage,
    accepts: &[MessageKind],
) -> Result<(Checked, Header), Box<Intake>> {
    let lookups = RegisterLookups(directory);
    let options = Options {
        lookups: &lookups,
        envelope: Some(Envelope {
            from_her_id: message.from_her_id,
            to_her_id: message.to_her_id,
        }),
        accepts: Some(accepts),
        production: message.production,
        now: jiff::Timestamp::from_microsecond(message.now).ok(),
        ..Options::default()
    };
    let checked = edi::check::run(&message.content, &options);
    let notes = notes(&checked.findings);
    let refused = |answer: Answer| {
        Box::new(Intake {
            answer,
            commit: Commit::default(),
            notes: notes.clone(),
        })
    };
    match (checked.verdict(Transport::Amqp), checked.header.clone()) {
        (Verdict::Accept { .. }, Some(header)) => Ok((checked, header)),
        (Verdict::Reject { errors, .. }, _) => Err(refused(Answer::Receipt {
            status: Status::Rejected,
            errors,
        })),
        (Verdict::TransportError { error, .. }, _) => Err(refused(Answer::TransportError(error))),
        (Verdict::Drop { rule }, _) => Err(refused(Answer::Nothing {
            reason: format!("{rule:?}"),
        })),
        (Verdict::Accept { .. } | Verdict::NotOpened, _) => Err(Box::new(Intake::rejected(
            ErrorCode::T10,
            "Meldingen er av en type som ikke tas imot her.",
            notes,
        ))),
    }
}

/// Warnings and errors of a check as notes for tracking.
pub fn notes(findings: &[Finding]) -> Vec<Note> {
    findings
        .iter()
        .filter(|f| f.severity != Severity::Info)
        .map(|f| Note {
            code: f.code.map_or_else(|| f.rule.clone(), str::to_owned),
            text_nb: with_place(&f.text_nb, "linje", f),
            text_en: with_place(&f.text_en, "line", f),
        })
        .collect()
}

fn with_place(text: &str, line: &str, finding: &Finding) -> String {
    if finding.line == 0 {
        text.to_owned()
    } else {
        format!("{text} ({line} {}, {})", finding.line, finding.element)
    }
}
