//! Queue names and the many ways clients write their addresses (spec/messaging.md §4.1, §4.2).

use std::fmt;

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// Messages and receipts to the party.
    Async,
    /// Synchronous requests.
    Sync,
    /// Answers to the party's own synchronous requests.
    SyncReply,
    /// Transport errors for messages that the party sent.
    Error,
}

impl QueueKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
            Self::SyncReply => "syncreply",
            Self::Error => "error",
        }
    }
}

/// `<herId>_<kind>`, and for reply queues what one machine appends to tell its own apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueName {
    /// HER-id in the name.
    pub her_id: u32,
    /// Kind.
    pub kind: QueueKind,
    /// Machine suffix of a reply queue, with its separator.
    pub machine: String,
}

/// Longest machine suffix in characters.
const MAX_MACHINE: usize = 64;
/// Queue names of parties share the store with the queues of other services.
const STORE_PREFIX: &str = "amqp:";

impl QueueName {
    /// A queue without machine suffix.
    #[must_use]
    pub fn new(her_id: u32, kind: QueueKind) -> Self {
        Self {
            her_id,
            kind,
            machine: String::new(),
        }
    }

    /// Reads a link address or reply-to in any of the dialects: `/exchange/<ns>/<queue>`, `/amq/queue/<queue>`, `/queues/<queue>`,
    /// `<ns>/<queue>`, a full URL, or the bare name. The last segment counts.
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        let name = address.trim().trim_end_matches('/').rsplit('/').next()?;
        let (digits, rest) = name.split_once('_')?;
        let her_id = parse_her_id(digits)?;
        let word_end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (word, machine) = rest.split_at_checked(word_end)?;
        let kind = match word.to_ascii_lowercase().as_str() {
            "async" => QueueKind::Async,
            "sync" => QueueKind::Sync,
            "syncreply" => QueueKind::SyncReply,
            "error" => QueueKind::Error,
            _ => return None,
        };
        let machine_ok = machine.is_empty()
            || (kind == QueueKind::SyncReply
                && machine.len() <= MAX_MACHINE
                && machine
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
        machine_ok.then(|| Self {
            her_id,
            kind,
            machine: machine.to_owned(),
        })
    }

    /// The same queue of another party: services share the queues of their organisation.
    #[must_use]
    pub fn of(&self, her_id: u32) -> Self {
        Self {
            her_id,
            ..self.clone()
        }
    }

    /// Its name in the store.
    #[must_use]
    pub fn store_name(&self) -> String {
        format!("{STORE_PREFIX}{self}")
    }

    /// Reads a name in the store.
    #[must_use]
    pub fn from_store(name: &str) -> Option<Self> {
        Self::parse(name.strip_prefix(STORE_PREFIX)?)
    }

    /// What all names in the store begin with.
    #[must_use]
    pub fn store_prefix() -> &'static str {
        STORE_PREFIX
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}{}", self.her_id, self.kind.suffix(), self.machine)
    }
}

/// A HER-id as decimal text without sign, blanks or leading zero.
#[must_use]
pub fn parse_her_id(text: &str) -> Option<u32> {
    let plain = (1..=9).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_dialect_names_the_same_queue() {
        let expected = QueueName::new(93252, QueueKind::Async);
        for address in [
            "93252_async",
            "/exchange/NHNTestServiceBus/93252_async",
            "/amq/queue/93252_async",
            "/queues/93252_async",
            "/exchanges/ns/93252_async",
            "NHNTESTServiceBus/93252_async",
            "/exchange/ns/host.example/ns/93252_async",
            "amqps://host:5671/ns/93252_async/",
            "93252_ASYNC",
        ] {
            assert_eq!(
                QueueName::parse(address),
                Some(expected.clone()),
                "{address}"
            );
        }
        assert_eq!(expected.store_name(), "amqp:93252_async");
        assert_eq!(
            QueueName::from_store("amqp:93252_async"),
            Some(expected.clone())
        );
        assert_eq!(expected.of(1).to_string(), "1_async");
        let reply = QueueName::parse("8900901_syncreply_PC-12.local").unwrap();
        assert_eq!(
            (reply.kind, reply.to_string().as_str()),
            (QueueKind::SyncReply, "8900901_syncreply_PC-12.local")
        );
        assert_eq!(
            QueueName::parse("8900901_syncreply").unwrap().kind,
            QueueKind::SyncReply
        );
    }

    #[test]
    fn other_names_are_no_queues() {
        for address in [
            "",
            "async",
            "_async",
            "x_async",
            "93252",
            "93252_",
            "93252_asyncx",
            "93252_async_x",
            "0_async",
            "012_async",
            "-1_sync",
            "93252_dead",
            "1234567890_async",
            "93252_syncreply x",
        ] {
            assert_eq!(QueueName::parse(address), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            if let Some(name) = QueueName::parse(&text) {
                prop_assert_eq!(QueueName::parse(&name.to_string()), Some(name));
            }
        }
    }
}
