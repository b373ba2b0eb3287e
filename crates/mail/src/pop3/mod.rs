//! Handing out mail: one session of POP3.

mod command;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::line::{Gone, Line, Lines};
use crate::port::{Identity, Letter, Post};
use crate::server::{Opening, Shared};
use command::Command;

const MAX_COMMAND_LINE: usize = 500;
/// How many times the patience a client may be silent (RFC 1939 §3: ten minutes).
const IDLE: u32 = 10;

/// Serves one connection to its end, or until the peer asks for TLS on it: then the stream comes back. Mail that was not removed by `QUIT`
/// is put back.
pub(crate) async fn talk<P: Post, S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared<P>>,
    stream: S,
    peer: IpAddr,
    opening: Opening,
) -> Option<S> {
    let mut session = Session {
        shared: shared.clone(),
        offers_tls: opening.offers_tls,
        lines: Lines::new(stream),
        peer,
        user: None,
        open: None,
        faults: 0,
        failed_logins: 0,
    };
    if session.run(opening.greets).await == Ok(Ended::Secure) {
        return session.lines.into_stream();
    }
    session.lines.end().await;
    None
}

/// A mailbox locked for this session; put back when dropped.
struct Open<P: Post> {
    shared: Arc<Shared<P>>,
    who: Identity,
    letters: Vec<Letter>,
    removed: BTreeSet<usize>,
    is_closed: bool,
}

fn locks<'a>(letters: impl Iterator<Item = &'a Letter>) -> Vec<(u64, u64)> {
    letters.map(|letter| (letter.id, letter.token)).collect()
}

impl<P: Post> Open<P> {
    /// A letter by its number from 1, unless it is marked for removal.
    fn letter(&self, number: usize) -> Option<&Letter> {
        let index = number.checked_sub(1)?;
        (!self.removed.contains(&index))
            .then(|| self.letters.get(index))
            .flatten()
    }

    fn kept(&self) -> impl Iterator<Item = (usize, &Letter)> {
        self.letters
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.removed.contains(index))
            .map(|(index, letter)| (index + 1, letter))
    }
}

impl<P: Post> Drop for Open<P> {
    fn drop(&mut self) {
        if !self.is_closed {
            let close = self
                .shared
                .post
                .close(Vec::new(), locks(self.letters.iter()));
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(close);
            }
        }
        let mut open = self
            .shared
            .open_boxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.who.user);
    }
}

struct Session<P: Post, S> {
    shared: Arc<Shared<P>>,
    offers_tls: bool,
    lines: Lines<S>,
    peer: IpAddr,
    user: Option<String>,
    open: Option<Open<P>>,
    faults: usize,
    failed_logins: usize,
}

enum Step {
    Say(String),
    Bytes(Vec<u8>),
    Fault(&'static str),
    End(&'static str),
    Secure,
}

/// How a session ends.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Over,
    /// TLS begins on this stream.
    Secure,
}

impl<P: Post, S: AsyncRead + AsyncWrite + Unpin> Session<P, S> {
    async fn run(&mut self, greets: bool) -> Result<Ended, Gone> {
        let limits = self.shared.limits.clone();
        if greets {
            self.write(b"+OK ready\r\n").await?;
        }
        for _ in 0..limits.max_commands {
            let line = self.next_line().await?;
            let step = match line {
                Line::Whole(line) => match command::parse(&line) {
                    Some(command) => self.obey(command).await,
                    None => Step::Fault("-ERR command not recognised"),
                },
                Line::TooLong(_) | Line::Bare => {
                    Step::Fault("-ERR lines end with CRLF and are not long")
                }
            };
            match step {
                Step::Say(text) => self.write(format!("{text}\r\n").as_bytes()).await?,
                Step::Bytes(bytes) => self.write(&bytes).await?,
                Step::Fault(text) => {
                    self.faults += 1;
                    if self.faults > limits.max_faults {
                        self.write(b"-ERR too many errors\r\n").await?;
                        return Ok(Ended::Over);
                    }
                    self.write(format!("{text}\r\n").as_bytes()).await?;
                }
                Step::End(text) => {
                    self.write(format!("{text}\r\n").as_bytes()).await?;
                    return Ok(Ended::Over);
                }
                Step::Secure => {
                    self.write(b"+OK begin TLS\r\n").await?;
                    return Ok(Ended::Secure);
                }
            }
        }
        self.write(b"-ERR too many commands\r\n").await?;
        Ok(Ended::Over)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let every = self.shared.post.renew_every();
        let locks = self.open.as_ref().map(|open| locks(open.letters.iter()));
        let patience = self.shared.limits.patience;
        let (lines, shared) = (&mut self.lines, &self.shared);
        let writing = lines.write(bytes, patience);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                written = &mut writing => return written,
                () = tokio::time::sleep(every) => {
                    if let Some(locks) = &locks {
                        shared.post.renew(locks.clone()).await;
                    }
                }
            }
        }
    }

    /// The next line; meanwhile the locks are kept alive.
    async fn next_line(&mut self) -> Result<Line, Gone> {
        let every = self.shared.post.renew_every();
        let until = tokio::time::Instant::now() + self.shared.limits.patience * IDLE;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Err(Gone::TimedOut);
            }
            match self.lines.next(MAX_COMMAND_LINE, left.min(every)).await {
                Err(Gone::TimedOut) => {
                    if let Some(open) = &self.open {
                        let letters = locks(open.letters.iter());
                        self.shared.post.renew(letters).await;
                    }
                }
                other => return other,
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Step {
        match (command, &mut self.open) {
            (Command::Capabilities, _) => {
                let tls = if self.offers_tls { "STLS\r\n" } else { "" };
                Step::Say(format!(
                    "+OK capabilities\r\nUSER\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n{tls}PIPELINING\r\n."
                ))
            }
            (Command::StartTls, None) if self.offers_tls => Step::Secure,
            (Command::StartTls, _) => Step::Fault("-ERR no TLS to begin here"),
            (Command::Noop, Some(_)) => Step::Say("+OK".to_owned()),
            (Command::User(user), None) => {
                self.user = Some(user);
                Step::Say("+OK".to_owned())
            }
            (Command::Password(password), None) => self.log_in(&password).await,
            (Command::Quit, None) => Step::End("+OK bye"),
            (Command::Quit, Some(_)) => self.quit().await,
            (_, None) => Step::Fault("-ERR log in first: USER, PASS"),
            (command, Some(open)) => with_open(command, open),
        }
    }

    async fn log_in(&mut self, password: &str) -> Step {
        let Some(user) = self.user.take() else {
            return Step::Fault("-ERR USER comes first");
        };
        let Some(who) = self.shared.post.authenticate(self.peer, &user, password) else {
            self.failed_logins += 1;
            if self.failed_logins >= self.shared.limits.max_failed_logins {
                return Step::End("-ERR [AUTH] too many failed log-ins");
            }
            return Step::Fault("-ERR [AUTH] user or password is wrong");
        };
        let is_free = self
            .shared
            .open_boxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(who.user.clone());
        if !is_free {
            return Step::Fault("-ERR [IN-USE] another session has this mailbox open");
        }
        let mut open = Open {
            shared: self.shared.clone(),
            who: who.clone(),
            letters: Vec::new(),
            removed: BTreeSet::new(),
            is_closed: false,
        };
        open.letters = self.shared.post.open(&who).await;
        let text = format!("+OK {} messages", open.letters.len());
        self.open = Some(open);
        Step::Say(text)
    }

    async fn quit(&mut self) -> Step {
        let Some(mut open) = self.open.take() else {
            return Step::End("+OK bye");
        };
        let removed = open
            .letters
            .iter()
            .enumerate()
            .filter(|(index, _)| open.removed.contains(index))
            .map(|(_, letter)| letter);
        let removed = locks(removed);
        let kept = locks(open.kept().map(|(_, letter)| letter));
        let close = self.shared.post.close(removed, kept);
        open.is_closed = true;
        match tokio::spawn(close).await {
            Ok(true) => Step::End("+OK bye"),
            _ => Step::End("-ERR some messages were not removed"),
        }
    }
}

/// Commands on a mailbox that is open.
fn with_open<P: Post>(command: Command, open: &mut Open<P>) -> Step {
    const NONE: Step = Step::Fault("-ERR no such message");
    match command {
        Command::Status => {
            let (count, bytes) = open.kept().fold((0, 0), |(n, bytes), (_, one)| {
                (n + 1, bytes + one.mail.len())
            });
            Step::Say(format!("+OK {count} {bytes}"))
        }
        Command::List(Some(number)) => match open.letter(number) {
            Some(letter) => Step::Say(format!("+OK {number} {}", letter.mail.len())),
            None => NONE,
        },
        Command::Unique(Some(number)) => match open.letter(number) {
            Some(letter) => Step::Say(format!("+OK {number} {}", letter.id)),
            None => NONE,
        },
        Command::List(None) => listing(open, |letter| letter.mail.len() as u64),
        Command::Unique(None) => listing(open, |letter| letter.id),
        Command::Retrieve(number) => match open.letter(number) {
            Some(letter) => Step::Bytes(stuffed(&letter.mail, None)),
            None => NONE,
        },
        Command::Top(number, lines) => match open.letter(number) {
            Some(letter) => Step::Bytes(stuffed(&letter.mail, Some(lines))),
            None => NONE,
        },
        Command::Delete(number) => {
            if open.letter(number).is_none() {
                return NONE;
            }
            open.removed.insert(number - 1);
            Step::Say("+OK removed at QUIT".to_owned())
        }
        Command::Reset => {
            open.removed.clear();
            Step::Say("+OK".to_owned())
        }
        _ => Step::Fault("-ERR not now"),
    }
}

fn listing<P: Post>(open: &Open<P>, of: impl Fn(&Letter) -> u64) -> Step {
    let mut text = "+OK".to_owned();
    for (number, letter) in open.kept() {
        text.push_str(&format!("\r\n{number} {}", of(letter)));
    }
    text.push_str("\r\n.");
    Step::Say(text)
}

/// The mail with its dots doubled and its end marked; with `lines` only the head and that many lines of the body.
fn stuffed(mail: &[u8], lines: Option<usize>) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 64);
    out.extend_from_slice(b"+OK\r\n");
    let mut body_lines: Option<usize> = None;
    let mut rest = mail;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = match end {
            Some(end) => rest.split_at_checked(end + 1).unwrap_or((rest, &[])),
            None => (rest, &[][..]),
        };
        rest = after;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (&mut body_lines, lines) {
            (Some(count), Some(most)) if *count >= most => break,
            (Some(count), _) => *count += 1,
            (none, _) if line.is_empty() => *none = Some(0),
            (_, _) => {}
        }
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::stuffed;
    use proptest::prelude::*;

    #[test]
    fn dots_are_doubled_and_heads_cut() {
        let mail = b"A: 1\r\n\r\n.one\r\ntwo\r\n\r\n.";
        assert_eq!(
            stuffed(mail, None),
            b"+OK\r\nA: 1\r\n\r\n..one\r\ntwo\r\n\r\n..\r\n.\r\n"
        );
        assert_eq!(stuffed(mail, Some(0)), b"+OK\r\nA: 1\r\n\r\n.\r\n");
        assert_eq!(stuffed(mail, Some(1)), b"+OK\r\nA: 1\r\n\r\n..one\r\n.\r\n");
        assert_eq!(stuffed(b"", None), b"+OK\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn no_mail_ends_early(mail in "([.a]{0,3}\r\n){0,8}") {
            let out = String::from_utf8(stuffed(mail.as_bytes(), None)).unwrap();
            let body = out.strip_prefix("+OK\r\n").unwrap();
            let (text, _) = body.split_once("\r\n.\r\n").unwrap_or_default();
            let back: String = text.split("\r\n").map(|line| format!("{}\r\n", line.strip_prefix('.').unwrap_or(line))).collect();
            if mail.is_empty() {
                prop_assert_eq!(body, ".\r\n");
            } else {
                prop_assert_eq!(back, mail);
                prop_assert!(body.ends_with("\r\n.\r\n"));
            }
        }
    }
}
