//! What a post office is to the wire: values, and the trait a service implements.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// Who logged in. The name means something to the port only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User name as authenticated.
    pub user: String,
}

/// Why something is refused, for the people at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has this address.
    UnknownRecipient,
    /// Not allowed; words in ASCII.
    NotAllowed(&'static str),
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Kept durably.
    Kept,
    /// Not now; the sender may try again.
    TryLater,
    /// Refused for good; words in ASCII.
    Refused(&'static str),
}

/// A mail in a mailbox, locked for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What the port knows it by; the same number in every session.
    pub id: u64,
    /// Which lock of it.
    pub token: u64,
    /// The mail, lines ended by CRLF.
    pub mail: Bytes,
}

/// The post office. Look-ups are synchronous and in memory; work is a future that is always run to its end.
pub trait Post: Send + Sync + 'static {
    /// Checks a user name and password. Must not block.
    fn authenticate(&self, peer: IpAddr, user: &str, password: &str) -> Option<Identity>;

    /// Whether mail from `sender` (empty for a bounce) to `recipient` may come in here. `who` is absent when nobody logged in.
    ///
    /// # Errors
    /// [`Refusal`].
    fn accepts(&self, who: Option<&Identity>, sender: &str, recipient: &str)
    -> Result<(), Refusal>;

    /// Takes a mail.
    fn deliver(
        &self,
        who: Option<&Identity>,
        sender: &str,
        recipient: &str,
        mail: Bytes,
    ) -> BoxFuture<'static, Delivered>;

    /// Locks what waits in a mailbox, oldest first.
    fn open(&self, who: &Identity) -> BoxFuture<'static, Vec<Letter>>;

    /// Keeps locks alive: `(id, token)` of each.
    fn renew(&self, letters: Vec<(u64, u64)>) -> BoxFuture<'static, ()>;

    /// Ends locks: some mails are removed, the others put back. False when that could not be written; then nothing is removed.
    fn close(&self, removed: Vec<(u64, u64)>, kept: Vec<(u64, u64)>) -> BoxFuture<'static, bool>;

    /// How often locks need renewing.
    fn renew_every(&self) -> Duration;
}
