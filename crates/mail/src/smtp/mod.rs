//! Taking mail: one session of SMTP.

mod command;

use std::net::IpAddr;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::SemaphorePermit;

use crate::line::{Gone, Line, Lines};
use crate::port::{Delivered, Identity, Post, Refusal};
use crate::server::{Opening, Shared};
use command::{Command, base64_text, plain};

const MAX_COMMAND_LINE: usize = 1_000;
const UNIT: usize = 64 << 10;
/// How many times the patience a client may be silent between commands (RFC 5321 §4.5.3.2.7: five minutes).
const IDLE: u32 = 5;
/// And in the middle of a mail (§4.5.3.2.5: three minutes).
const BETWEEN_LINES: u32 = 3;
const BAD_LINE: &str = "500 5.5.2 lines end with CRLF";

/// Serves one connection to its end, or until the peer asks for TLS on it: then the stream comes back.
pub(crate) async fn talk<P: Post, S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared<P>,
    stream: S,
    peer: IpAddr,
    opening: Opening,
) -> Option<S> {
    let mut session = Session {
        shared,
        offers_tls: opening.offers_tls,
        lines: Lines::new(stream),
        pending: Vec::new(),
        peer,
        who: None,
        is_greeted: false,
        sender: None,
        recipient: None,
        faults: 0,
        failed_logins: 0,
    };
    let ended = session.run(opening.greets).await;
    if ended == Ok(Step::Secure) {
        return session.lines.into_stream();
    }
    if ended == Err(Gone::TimedOut) {
        let wait = session
            .shared
            .limits
            .patience
            .min(std::time::Duration::from_secs(2));
        let _ = session
            .lines
            .write(b"421 4.4.2 you were silent for too long\r\n", wait)
            .await;
    }
    session.lines.end().await;
    None
}

struct Session<'a, P, S> {
    shared: &'a Shared<P>,
    offers_tls: bool,
    lines: Lines<S>,
    /// Answers not yet written: they go out together when commands come in a bundle.
    pending: Vec<u8>,
    peer: IpAddr,
    who: Option<Identity>,
    is_greeted: bool,
    sender: Option<String>,
    recipient: Option<String>,
    faults: usize,
    failed_logins: usize,
}

/// A mail, and the room it takes up while it comes in.
struct Incoming<'a> {
    mail: Vec<u8>,
    room: Vec<SemaphorePermit<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Next,
    End,
    /// TLS begins on this stream.
    Secure,
}

impl<'a, P: Post, S: AsyncRead + AsyncWrite + Unpin> Session<'a, P, S> {
    async fn run(&mut self, greets: bool) -> Result<Step, Gone> {
        if greets {
            let greeting = format!("220 {} ESMTP", self.shared.host);
            self.say(&greeting);
            self.flush().await?;
        }
        for _ in 0..self.shared.limits.max_commands {
            let line = self
                .lines
                .next(MAX_COMMAND_LINE, self.shared.limits.patience * IDLE)
                .await?;
            let parsed = match line {
                Line::Whole(line) => command::parse(&line),
                Line::TooLong(_) => Err("500 5.5.2 the line is too long"),
                Line::Bare => Err(BAD_LINE),
            };
            let step = match parsed {
                Ok(command) => self.obey(command).await?,
                Err(wrong) => self.fault(wrong),
            };
            if step != Step::Next {
                self.flush().await?;
                return Ok(step);
            }
            if !self.lines.has_more() {
                self.flush().await?;
            }
        }
        self.say("421 4.7.0 too many commands");
        self.flush().await?;
        Ok(Step::End)
    }

    fn say(&mut self, text: &str) {
        self.pending.extend_from_slice(text.as_bytes());
        self.pending.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        let pending = std::mem::take(&mut self.pending);
        self.lines
            .write(&pending, self.shared.limits.patience)
            .await
    }

    fn fault(&mut self, text: &str) -> Step {
        self.faults += 1;
        if self.faults > self.shared.limits.max_faults {
            self.say("421 4.7.0 too many errors");
            return Step::End;
        }
        self.say(text);
        Step::Next
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipient = None;
    }

    async fn obey(&mut self, command: Command) -> Result<Step, Gone> {
        match command {
            Command::Helo => {
                self.reset();
                self.is_greeted = true;
                let text = format!("250 {}", self.shared.host);
                self.say(&text);
            }
            Command::Ehlo => {
                self.reset();
                self.is_greeted = true;
                let (host, size) = (&self.shared.host, self.shared.limits.max_mail_bytes);
                let tls = if self.offers_tls {
                    "250-STARTTLS\r\n"
                } else {
                    ""
                };
                let text = format!(
                    "250-{host}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n{tls}250-SIZE {size}\r\n250 AUTH PLAIN LOGIN"
                );
                self.say(&text);
            }
            Command::Mail { from, size } => return Ok(self.mail(from, size)),
            Command::Rcpt(to) => return Ok(self.rcpt(to)),
            Command::Data => return self.data().await,
            Command::Reset => {
                self.reset();
                self.say("250 2.0.0 ok");
            }
            Command::Noop => self.say("250 2.0.0 ok"),
            Command::Verify => self.say("252 2.1.5 try to send"),
            Command::Quit => {
                self.say("221 2.0.0 bye");
                return Ok(Step::End);
            }
            Command::StartTls if self.offers_tls => {
                self.say("220 2.0.0 begin TLS");
                return Ok(Step::Secure);
            }
            Command::StartTls => return Ok(self.fault("503 5.5.1 no TLS to begin here")),
            Command::AuthPlain(initial) => return self.auth_plain(initial).await,
            Command::AuthLogin(initial) => return self.auth_login(initial).await,
        }
        Ok(Step::Next)
    }

    fn mail(&mut self, from: String, size: Option<u64>) -> Step {
        if !self.is_greeted || self.sender.is_some() {
            return self.fault("503 5.5.1 wrong order: EHLO, MAIL, RCPT, DATA");
        }
        if size.is_some_and(|size| size > self.shared.limits.max_mail_bytes as u64) {
            return self.fault("552 5.3.4 the mail is too large");
        }
        self.sender = Some(from);
        self.say("250 2.1.0 ok");
        Step::Next
    }

    fn rcpt(&mut self, to: String) -> Step {
        let Some(sender) = &self.sender else {
            return self.fault("503 5.5.1 wrong order: EHLO, MAIL, RCPT, DATA");
        };
        if self.recipient.is_some() {
            return self.fault("452 4.5.3 one recipient at a time: send one mail to each");
        }
        match self.shared.post.accepts(self.who.as_ref(), sender, &to) {
            Ok(()) => {
                self.recipient = Some(to);
                self.say("250 2.1.5 ok");
                Step::Next
            }
            Err(Refusal::UnknownRecipient) => {
                self.fault("550 5.1.1 nobody here has this address; mail is not relayed")
            }
            Err(Refusal::NotAllowed(why)) => {
                let text = format!("550 5.7.1 {why}");
                self.fault(&text)
            }
        }
    }

    async fn data(&mut self) -> Result<Step, Gone> {
        let (Some(sender), Some(recipient)) = (self.sender.clone(), self.recipient.clone()) else {
            return Ok(self.fault("503 5.5.1 wrong order: EHLO, MAIL, RCPT, DATA"));
        };
        self.say("354 end with a line that holds only a dot");
        self.flush().await?;
        let shared = self.shared;
        let reading = tokio::time::timeout(shared.limits.mail_time, self.text());
        let text = reading.await.map_err(|_| Gone::TimedOut)??;
        self.reset();
        let Incoming { mail, room } = match text {
            Ok(incoming) => incoming,
            Err(wrong) => return Ok(self.fault(wrong)),
        };
        let delivered =
            self.shared
                .post
                .deliver(self.who.as_ref(), &sender, &recipient, Bytes::from(mail));
        // Runs to its end even when the peer goes away or the session's time is up.
        let delivered = tokio::spawn(delivered).await.unwrap_or(Delivered::TryLater);
        drop(room);
        match delivered {
            Delivered::Kept => self.say("250 2.0.0 kept"),
            Delivered::TryLater => self.say("451 4.3.0 not now; try again later"),
            Delivered::Refused(why) => {
                let text = format!("554 5.6.0 {why}");
                return Ok(self.fault(&text));
            }
        }
        Ok(Step::Next)
    }

    /// The mail up to the line with the dot. After a fault the rest is still read, and thrown away.
    async fn text(&mut self) -> Result<Result<Incoming<'a>, &'static str>, Gone> {
        let shared = self.shared;
        let limits = &shared.limits;
        let mut mail = Vec::new();
        let mut room = Vec::new();
        let mut wrong = None;
        // The end is CRLF . CRLF: a dot behind a bare LF is text.
        let mut is_after_crlf = true;
        loop {
            let line = self
                .lines
                .next(limits.max_text_line, limits.patience * BETWEEN_LINES)
                .await?;
            let was_after_crlf = std::mem::replace(
                &mut is_after_crlf,
                matches!(line, Line::Whole(_) | Line::TooLong(true)),
            );
            match line {
                Line::Whole(line) if line == b"." && was_after_crlf => break,
                Line::Whole(line) => {
                    if wrong.is_some() {
                        continue;
                    }
                    let line = line.strip_prefix(b".").unwrap_or(&line);
                    if mail.len() + line.len() + 2 > limits.max_mail_bytes {
                        wrong = Some("552 5.3.4 the mail is too large");
                    } else if mail.len() + line.len() + 2 > room.len() * UNIT {
                        match shared.room.try_acquire() {
                            Ok(permit) => room.push(permit),
                            Err(_) => wrong = Some("452 4.3.1 no room now; try again later"),
                        }
                    }
                    mail.extend_from_slice(line);
                    mail.extend_from_slice(b"\r\n");
                }
                Line::TooLong(_) => {
                    wrong = wrong.or(Some("500 5.6.0 a line of the mail is too long"))
                }
                Line::Bare => {
                    wrong = wrong.or(Some(
                        "554 5.6.0 lines of a mail end with CRLF, and hold no bare CR",
                    ));
                }
            }
            if wrong.is_some() {
                mail = Vec::new();
                room.clear();
            }
        }
        Ok(match wrong {
            Some(wrong) => Err(wrong),
            None => Ok(Incoming { mail, room }),
        })
    }

    async fn auth_plain(&mut self, initial: Option<String>) -> Result<Step, Gone> {
        let given = match initial {
            Some(given) => given,
            None => match self.ask("334 ").await? {
                Some(given) => given,
                None => return Ok(self.fault("501 5.7.0 cancelled")),
            },
        };
        self.log_in(plain(&given)).await
    }

    async fn auth_login(&mut self, initial: Option<String>) -> Result<Step, Gone> {
        let user = match initial {
            Some(user) => Some(user),
            None => self.ask("334 VXNlcm5hbWU6").await?,
        };
        let Some(user) = user else {
            return Ok(self.fault("501 5.7.0 cancelled"));
        };
        let Some(password) = self.ask("334 UGFzc3dvcmQ6").await? else {
            return Ok(self.fault("501 5.7.0 cancelled"));
        };
        self.log_in(base64_text(&user).zip(base64_text(&password)))
            .await
    }

    async fn ask(&mut self, prompt: &str) -> Result<Option<String>, Gone> {
        self.say(prompt);
        self.flush().await?;
        let line = self
            .lines
            .next(MAX_COMMAND_LINE, self.shared.limits.patience * IDLE)
            .await?;
        Ok(match line {
            Line::Whole(line) if line != b"*" => String::from_utf8(line).ok(),
            _ => None,
        })
    }

    async fn log_in(&mut self, given: Option<(String, String)>) -> Result<Step, Gone> {
        if !self.is_greeted || self.who.is_some() || self.sender.is_some() {
            return Ok(self.fault("503 5.5.1 log in once, after EHLO and before MAIL"));
        }
        let Some((user, password)) = given else {
            return Ok(self.fault("501 5.5.2 the credentials cannot be read"));
        };
        self.who = self.shared.post.authenticate(self.peer, &user, &password);
        if self.who.is_some() {
            self.say("235 2.7.0 welcome");
            return Ok(Step::Next);
        }
        self.failed_logins += 1;
        if self.failed_logins >= self.shared.limits.max_failed_logins {
            self.say("421 4.7.0 too many failed log-ins");
            return Ok(Step::End);
        }
        Ok(self.fault("535 5.7.8 user or password is wrong"))
    }
}
