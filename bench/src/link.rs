//! One blocking HTTP/1.1 connection, kept alive: for set-up and checks, where a client library would weigh more than it helps.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Where a FHIR base is: `http://127.0.0.1:8080/fhir/sandbox`.
#[derive(Clone, Debug)]
pub struct Base {
    /// Address to connect to.
    pub address: SocketAddr,
    /// `Host` header.
    pub host: String,
    /// Path of the base, without a slash at its end.
    pub path: String,
}

impl Base {
    /// Reads a URL; plain HTTP only.
    ///
    /// # Errors
    /// When it is not one, or its host has no address.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context("the base must begin with http://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = host
            .to_socket_addrs()
            .with_context(|| format!("no address for {host}"))?
            .next()
            .context("the host has no address")?;
        Ok(Self {
            address,
            host: host.to_owned(),
            path: format!("/{}", path.trim_end_matches('/'))
                .trim_end_matches('/')
                .to_owned(),
        })
    }

    /// Writes a request below the base into a buffer: `target` begins with a slash, or is empty.
    pub fn request(&self, out: &mut Vec<u8>, method: &str, target: &str, body: Option<&[u8]>) {
        out.clear();
        // Writing into memory cannot fail.
        let _ = write!(
            out,
            "{method} {}{target} HTTP/1.1\r\nHost: {}\r\nAccept: application/fhir+json\r\n",
            self.path, self.host
        );
        match body {
            Some(body) => {
                let _ = write!(
                    out,
                    "Content-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                out.extend_from_slice(body);
            }
            None => out.extend_from_slice(b"\r\n"),
        }
    }
}

/// What is known of an answer once its head is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Bytes of the head, the empty line included.
    pub head: usize,
    /// Bytes of the body.
    pub body: usize,
}

/// The head of an answer, when the buffer holds it whole.
///
/// # Errors
/// When it is no HTTP/1.1 answer with a known length.
pub fn head(buffer: &[u8]) -> Result<Option<Head>> {
    let Some(end) = find(buffer, b"\r\n\r\n") else {
        if buffer.len() > 64 << 10 {
            bail!("the head of the answer does not end");
        }
        return Ok(None);
    };
    let text = std::str::from_utf8(buffer.get(..end).unwrap_or_default())
        .context("the head of the answer is not text")?;
    let status: u16 = text
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no status")?;
    let mut length = None;
    for line in text.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the answer is chunked; the generator reads answers of known length");
        }
    }
    let body = match (length, status) {
        (Some(length), _) => length,
        (None, 100..=199 | 204 | 304) => 0,
        (None, _) => bail!("the answer has no length"),
    };
    Ok(Some(Head {
        status,
        head: end + 4,
        body,
    }))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// A kept-alive connection.
pub struct Link {
    base: Base,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(600);

impl Link {
    /// Connects at the first request.
    #[must_use]
    pub fn new(base: &Base) -> Self {
        Self {
            base: base.clone(),
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// One request: status and body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.base.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream
            }
        };
        self.base.request(&mut self.buffer, method, target, body);
        stream.write_all(&self.buffer)?;
        self.buffer.clear();
        let mut chunk = [0u8; 16 << 10];
        let head = loop {
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
            let n = stream.read(&mut chunk)?;
            if n == 0 {
                bail!("the server closed the connection");
            }
            self.buffer
                .extend_from_slice(chunk.get(..n).unwrap_or_default());
        };
        let mut body = self.buffer.split_off(head.head.min(self.buffer.len()));
        let missing = head.body.saturating_sub(body.len());
        let have = body.len();
        body.resize(have + missing, 0);
        if let Some(rest) = body.get_mut(have..) {
            stream.read_exact(rest)?;
        }
        self.stream = Some(stream);
        Ok((head.status, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        let text = b"HTTP/1.1 201 Created\r\ncontent-length: 12\r\nx: y\r\n\r\n{";
        assert_eq!(
            head(text).unwrap(),
            Some(Head {
                status: 201,
                head: text.len() - 1,
                body: 12
            })
        );
        assert_eq!(head(b"HTTP/1.1 304 N\r\n\r\n").unwrap().unwrap().body, 0);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn bases_are_taken_apart() {
        let base = Base::parse("http://127.0.0.1:80/fhir/sandbox/").unwrap();
        assert_eq!(
            (base.host.as_str(), base.path.as_str()),
            ("127.0.0.1:80", "/fhir/sandbox")
        );
        assert_eq!(Base::parse("http://127.0.0.1:80").unwrap().path, "");
        assert!(Base::parse("https://127.0.0.1/").is_err());
    }
}
