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
//! - What a peer sent in the clear behind its wish for TLS ends the connection; nothing said before TLS counts after it.
//! - No address, password or content of a mail reaches a log.
//!
//! **Rules from:** RFC 5321 (SMTP), 1870 (SIZE), 6152 (8BITMIME), 2920 (PIPELINING), 3463 (codes), 4954 (AUTH); RFC 1939 (POP3),
//! 2449 (CAPA); TLS on request by RFC 3207 (STARTTLS) and 2595 (STLS), from the first byte by RFC 8314. Not here: relaying, IMAP.

pub mod port;

mod line;
mod pop3;
mod server;
mod smtp;

pub use server::{Limits, Protocol, Server, Shutdown};

/// Sessions over any stream, for tests and for other accept loops.
pub mod session {
    use std::net::IpAddr;

    use tokio::io::{AsyncRead, AsyncWrite};

    use crate::port::Post;
    use crate::{Protocol, Server};

    /// One connection of SMTP to its end; it begins in the clear.
    pub async fn smtp<P: Post, S>(server: &Server<P>, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        server.session(stream, peer, Protocol::Smtp).await;
    }

    /// One connection of POP3 to its end; it begins in the clear.
    pub async fn pop3<P: Post, S>(server: &Server<P>, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        server.session(stream, peer, Protocol::Pop3).await;
    }
}
