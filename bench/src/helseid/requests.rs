//! Requests made and signed ahead of their sending.

use crate::link::{Base, head};
use anyhow::{Context, Result, bail};
use jose::PrivateJwk;
use jose::assertion::{JWT_BEARER, make_client_assertion};
use jose::dpop::make_proof;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A client of an issuer.
#[derive(Clone)]
pub struct Client {
    /// Where requests are sent.
    pub base: Base,
    /// Audience of assertions.
    pub audience: String,
    /// Address of the token endpoint in proofs.
    pub token_url: String,
    /// Its path.
    pub token_path: String,
    /// Client id.
    pub client_id: String,
    /// Key of assertions and proofs.
    pub key: PrivateJwk,
    /// Scope to ask for.
    pub scope: String,
}

impl Client {
    fn assertion_form(&self) -> Result<String> {
        let assertion = make_client_assertion(
            &self.key,
            &self.client_id,
            &self.audience,
            &serde_json::Map::new(),
            now_s(),
        )?;
        let kind = JWT_BEARER.replace(':', "%3A");
        Ok(format!(
            "client_id={}&client_assertion_type={kind}&client_assertion={assertion}",
            self.client_id
        ))
    }

    fn token_request(&self, nonce: Option<&str>) -> Result<Vec<u8>> {
        let proof = make_proof(&self.key, "POST", &self.token_url, None, nonce, now_s())?;
        let scope = self.scope.replace(':', "%3A").replace('/', "%2F");
        let form = format!(
            "grant_type=client_credentials&scope={scope}&{}",
            self.assertion_form()?
        );
        Ok(self.post(&self.token_path, Some(&proof), &form))
    }

    fn post(&self, path: &str, proof: Option<&str>, form: &str) -> Vec<u8> {
        let proof = proof.map_or(String::new(), |proof| format!("DPoP: {proof}\r\n"));
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n{proof}Content-Length: {}\r\n\r\n{form}",
            self.base.host,
            form.len()
        )
        .into_bytes()
    }

    /// Token requests with the issuer's current nonce, each with its own assertion and proof.
    ///
    /// # Errors
    /// When the issuer does not offer a nonce.
    pub fn token_requests(&self, count: usize) -> Result<Vec<Vec<u8>>> {
        let (status, nonce, _) = self.exchange(&self.token_request(None)?)?;
        let nonce = nonce.with_context(|| format!("no nonce, status {status}"))?;
        in_parallel(count, |_| self.token_request(Some(&nonce)))
    }

    /// Introspection requests about these tokens in turn, each with its own assertion.
    ///
    /// # Errors
    /// When signing fails.
    pub fn introspection_requests(&self, tokens: &[String], count: usize) -> Result<Vec<Vec<u8>>> {
        in_parallel(count, |n| {
            let token = tokens.get(n % tokens.len().max(1)).context("no token")?;
            let form = format!("token={token}&{}", self.assertion_form()?);
            Ok(self.post("/connect/introspect", None, &form))
        })
    }

    /// Requests to an API with these tokens in turn, each with its own proof.
    ///
    /// # Errors
    /// When signing fails.
    pub fn api_requests(
        &self,
        api: &Base,
        tokens: &[String],
        count: usize,
    ) -> Result<Vec<Vec<u8>>> {
        in_parallel(count, |n| {
            let token = tokens.get(n % tokens.len().max(1)).context("no token")?;
            let url = format!("http://{}{PATH}", api.host);
            let proof = make_proof(&self.key, "GET", &url, Some(token), None, now_s())?;
            Ok(format!(
                "GET {PATH} HTTP/1.1\r\nHost: {}\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n",
                api.host
            )
            .into_bytes())
        })
    }

    /// One request on a connection of its own: status, nonce, body.
    fn exchange(&self, request: &[u8]) -> Result<(u16, Option<String>, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.base.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut chunk = [0u8; 16 << 10];
        loop {
            if let Some(known) = head(&answer)?
                && answer.len() >= known.head + known.body
            {
                let text = String::from_utf8_lossy(answer.get(..known.head).unwrap_or_default());
                let nonce = text
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .find(|(name, _)| name.eq_ignore_ascii_case("dpop-nonce"))
                    .map(|(_, value)| value.trim().to_owned());
                let body = answer.get(known.head..).unwrap_or_default().to_vec();
                return Ok((known.status, nonce, body));
            }
            let read = stream.read(&mut chunk)?;
            if read == 0 {
                bail!("the connection ended");
            }
            answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

/// Path of the measured API.
pub const PATH: &str = "/fhir/Patient/1";

/// Tokens of the client.
///
/// # Errors
/// When the issuer refuses.
pub fn some_tokens(client: &Client, count: usize) -> Result<Vec<String>> {
    client
        .token_requests(count)?
        .iter()
        .map(|request| {
            let (status, _, body) = client.exchange(request)?;
            let body: serde_json::Value = serde_json::from_slice(&body)?;
            let token = body.get("access_token").and_then(|t| t.as_str());
            token
                .map(str::to_owned)
                .with_context(|| format!("no token, status {status}"))
        })
        .collect()
}

pub fn now_s() -> i64 {
    jose::system_clock()()
}

fn in_parallel<T: Send>(count: usize, make: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let half = count / 2;
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| (half..count).map(&make).collect::<Result<Vec<T>>>());
        let first = (0..half).map(&make).collect::<Result<Vec<T>>>();
        (first, other.join())
    });
    let mut all = first?;
    match second {
        Ok(second) => all.extend(second?),
        Err(_) => bail!("a thread panicked"),
    }
    Ok(all)
}
