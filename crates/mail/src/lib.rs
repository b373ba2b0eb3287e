//! Mail as a message exchange needs it: a server that takes mail (SMTP) and one that hands it out (POP3), over a small port.
//!
//! [`port`] holds values and one trait, [`port::Post`], which a service implements. [`Server`] brings the wire to it.
//!
//! **Deliberately unknown here:** what a mail says, who has which address, how mail is kept, where it goes on to. There is no relaying: a
//! recipient the port does not know is refused while the sender still listens.
//!
//! **Read first:** [`port::Post`], [`Server`], [`Limits`].
//!
//! **Invariants**
//! - `250` after the data and `+OK` after `QUIT` are said only after the port's future has returned: what was taken is kept, what was
//!   removed is gone.
//! - A mail ends at `CRLF . CRLF` and nowhere else; a mail with bare CR or LF is refused, so no second mail can be smuggled in.
//! - Line lengths, sizes, commands, faults, log-ins, time and connections are bounded by [`Limits`]; a peer that neither writes nor reads
//!   loses its connection.
//! - No address, password or content of a mail reaches a log.
//!
//! **Rules from:** RFC 5321 (SMTP), 1870 (SIZE), 6152 (8BITMIME), 2920 (PIPELINING), 3463 (codes), 4954 (AUTH); RFC 1939 (POP3),
//! 2449 (CAPA). Not here: TLS, relaying, IMAP.

pub mod port;

mod line;
mod pop3;
mod server;
mod smtp;

pub use server::{Limits, Protocol, Server, Shutdown};

/// Sessions over any stream, for tests and for other accept loops.
pub mod session {
    pub use crate::pop3::serve as pop3;
    pub use crate::smtp::serve as smtp;
}
