//! The generator's side of the wire: HTTP requests, SMTP and POP3 on blocking sockets, no client library.

use super::made::{HUB, Message, ORGANISATION, address};
use super::server::PASSWORD;
use crate::link::Base;
use anyhow::{Context, Result, bail, ensure};
use ebxml::envelope::Kind;
use ebxml::mime::{Headers, Limits};
use ebxml::package::{Received, Via};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A message as HTTP request.
pub fn request(base: &Base, message: &Message) -> Vec<u8> {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nSOAPAction: \"ebXML\"\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        meldinger::edge::ebxml::PATH,
        base.host,
        message.content_type,
        message.body.len()
    );
    [head.as_bytes(), &message.body].concat()
}

/// The message that a response acknowledges.
pub fn acknowledges(body: &[u8]) -> Option<String> {
    let headers = Headers::from_fields([("Content-Type", "text/xml; charset=\"UTF-8\"")]);
    let received = Received::from_parts(&headers, body, Via::Http, &Limits::default()).ok()?;
    about(&received)
}

fn about(received: &Received) -> Option<String> {
    match &received.envelope.kind {
        Kind::Acknowledgment(acknowledgment) => Some(acknowledgment.ref_to_message_id.clone()),
        _ => None,
    }
}

/// A line protocol.
struct Wire {
    lines: BufReader<TcpStream>,
}

impl Wire {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self {
            lines: BufReader::with_capacity(64 << 10, stream),
        })
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        ensure!(
            self.lines.read_until(b'\n', &mut line)? > 0,
            "the server closed the connection"
        );
        line.truncate(line.trim_ascii_end().len());
        Ok(line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.lines.get_mut().write_all(bytes)?)
    }

    /// Says something and reads the answer, which must begin so.
    fn say(&mut self, text: &str, expected: &str) -> Result<Vec<u8>> {
        if !text.is_empty() {
            self.write(format!("{text}\r\n").as_bytes())?;
        }
        loop {
            let line = self.line()?;
            // SMTP's continuation lines.
            if line.get(3) == Some(&b'-') {
                continue;
            }
            if !line.starts_with(expected.as_bytes()) {
                bail!(
                    "expected {expected}, got {}",
                    String::from_utf8_lossy(&line)
                );
            }
            return Ok(line);
        }
    }
}

/// Sends messages one after the other on one connection; each is kept when the server has said 250.
///
/// # Errors
/// When one is refused.
pub fn send(smtp: SocketAddr, messages: &[Message]) -> Result<()> {
    let (from, to) = (address(ORGANISATION), address(HUB));
    let mut wire = Wire::open(smtp)?;
    wire.say("", "220")?;
    wire.say("EHLO bench.example", "250")?;
    let mut sent = 0;
    for message in messages {
        // The server ends a session after so many commands.
        if sent == 400 {
            wire.say("QUIT", "221")?;
            wire = Wire::open(smtp)?;
            wire.say("", "220")?;
            wire.say("EHLO bench.example", "250")?;
            sent = 0;
        }
        sent += 1;
        let text = format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA");
        wire.say(&text, "250")?;
        wire.say("", "250")?;
        wire.say("", "354")?;
        // Neither base64 nor our quoted-printable begins a line with a dot.
        wire.write(&message.mail)?;
        wire.say(".", "250")?;
    }
    wire.say("QUIT", "221")?;
    Ok(())
}

/// The sender's mailbox.
pub struct Mailbox {
    pop3: SocketAddr,
}

impl Mailbox {
    /// At this server.
    pub fn new(pop3: SocketAddr) -> Self {
        Self { pop3 }
    }

    /// One session: fetches and removes everything, and notes what is acknowledged. Returns how many mails there were.
    ///
    /// # Errors
    /// When the server says something else than expected.
    pub fn fetch(&mut self, acknowledged: &mut BTreeSet<String>) -> Result<usize> {
        let mut wire = Wire::open(self.pop3)?;
        wire.say("", "+OK")?;
        wire.say("USER sender", "+OK")?;
        wire.say(&format!("PASS {PASSWORD}"), "+OK")?;
        let status = wire.say("STAT", "+OK")?;
        let status = String::from_utf8_lossy(&status).into_owned();
        let count = status.split(' ').nth(1).and_then(|n| n.parse().ok());
        let count: usize = count.context("no number of mails")?;
        for number in 1..=count {
            wire.say(&format!("RETR {number}"), "+OK")?;
            let mut mail = Vec::new();
            loop {
                let line = wire.line()?;
                if line == b"." {
                    break;
                }
                mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                mail.extend_from_slice(b"\r\n");
            }
            let read = Received::from_mail(&mail, &Limits::default());
            let read =
                read.map_err(|error| anyhow::anyhow!("a mail cannot be read: {}", error.1))?;
            acknowledged.extend(about(&read));
            wire.say(&format!("DELE {number}"), "+OK")?;
        }
        wire.say("QUIT", "+OK")?;
        Ok(count)
    }
}
