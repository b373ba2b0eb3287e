//! Lines from a stream, bounded in length and time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const CHUNK: usize = 16 << 10;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its CRLF.
    Whole(Vec<u8>),
    /// Longer than allowed; it was passed over. Says whether it ended with CRLF.
    TooLong(bool),
    /// Ended by a bare LF, or with a bare CR inside.
    Bare,
}

/// The stream has ended, or the peer was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    Ended,
    TimedOut,
}

/// Reads lines; what was read ahead stays in its buffer, so dropping a pending read loses nothing.
pub(crate) struct Lines<S> {
    stream: S,
    buffer: Vec<u8>,
    from: usize,
    is_skipping: bool,
    /// What was passed over so far ends with CR.
    skipped_cr: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            from: 0,
            is_skipping: false,
            skipped_cr: false,
        }
    }

    /// The next line of at most `max` bytes.
    pub async fn next(&mut self, max: usize, wait: Duration) -> Result<Line, Gone> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let pending = self.buffer.get(self.from..).unwrap_or_default();
            if let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line = pending.get(..end).unwrap_or_default();
                let judged = if self.is_skipping || line.len() > max + 1 {
                    let is_split = line.is_empty() && self.skipped_cr;
                    Line::TooLong(is_split || line.ends_with(b"\r"))
                } else {
                    match line.strip_suffix(b"\r") {
                        Some(line) if !line.contains(&b'\r') => Line::Whole(line.to_vec()),
                        _ => Line::Bare,
                    }
                };
                self.is_skipping = false;
                self.from += end + 1;
                if self.from > CHUNK {
                    self.buffer.drain(..self.from);
                    self.from = 0;
                }
                return Ok(judged);
            }
            if pending.len() > max + 1 || (self.is_skipping && !pending.is_empty()) {
                self.is_skipping = true;
                self.skipped_cr = pending.ends_with(b"\r");
                self.buffer.clear();
                self.from = 0;
            }
            if self.from == self.buffer.len() {
                self.buffer.clear();
                self.from = 0;
            }
            self.buffer.reserve(CHUNK);
            let read = tokio::time::timeout_at(until, self.stream.read_buf(&mut self.buffer));
            match read.await {
                Err(_) => return Err(Gone::TimedOut),
                Ok(Ok(0) | Err(_)) => return Err(Gone::Ended),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Whether a whole line is there already: then answers may wait and go out together.
    pub fn has_more(&self) -> bool {
        self.buffer
            .get(self.from..)
            .is_some_and(|pending| pending.contains(&b'\n'))
    }

    /// Writes everything; each piece of 64 KiB within `wait`, so a peer that does not read is let go.
    pub async fn write(&mut self, bytes: &[u8], wait: Duration) -> Result<(), Gone> {
        for piece in bytes.chunks(64 << 10) {
            match tokio::time::timeout(wait, self.stream.write_all(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Gone::Ended),
                Err(_) => return Err(Gone::TimedOut),
            }
        }
        match tokio::time::timeout(wait, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Ended),
            Err(_) => Err(Gone::TimedOut),
        }
    }

    /// The stream, for another layer on it; nothing when the peer has already sent more than was read, which that layer would not see.
    pub fn into_stream(self) -> Option<S> {
        (self.from == self.buffer.len()).then_some(self.stream)
    }

    pub async fn end(&mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
