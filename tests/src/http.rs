//! HTTP without any help: trust in the demo CA only, no redirects followed, every status is an answer.

use anyhow::{Context, Result, ensure};
use jose::client::{Answer, ClientError, Sending, Transport};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The same answer when its status is the one wanted.
    ///
    /// # Errors
    /// With status and body otherwise.
    pub fn expect(self, status: u16) -> Result<Self> {
        let text = self.text();
        ensure!(
            self.status == status,
            "status {} instead of {status}: {text}",
            self.status
        );
        Ok(self)
    }
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    /// Headers.
    pub headers: Vec<(&'a str, String)>,
    /// Content type and body.
    pub body: Option<(&'a str, Vec<u8>)>,
}

impl<'a> Call<'a> {
    /// A JSON body.
    pub fn json(value: &Value) -> Self {
        Self {
            body: Some(("application/json", value.to_string().into_bytes())),
            ..Self::default()
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Web(reqwest::Client);

impl Web {
    /// A client that trusts the demo CA and nothing else.
    ///
    /// # Errors
    /// When the certificate is not readable.
    pub fn new(ca_pem: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(ca_pem.as_bytes())?])
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self(client))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, method: Method, url: &str, call: Call<'_>) -> Result<Reply> {
        let mut request = self.0.request(method, url);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, body)) = call.body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {url}"))?;
        let headers = response.headers().iter();
        let headers = headers.map(|(n, v)| {
            (
                n.as_str().to_owned(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        });
        let (status, headers) = (response.status(), headers.collect());
        let body = response.bytes().await?.to_vec();
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// `GET`.
    ///
    /// # Errors
    /// When there is no answer; so with [`Web::post`].
    pub async fn get(&self, url: &str) -> Result<Reply> {
        self.send(Method::GET, url, Call::default()).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn post(&self, url: &str, body: &Value) -> Result<Reply> {
        self.send(Method::POST, url, Call::json(body)).await
    }
}

impl Transport for Web {
    fn send<'a>(
        &'a self,
        url: &'a str,
        form: Option<String>,
        proof: Option<String>,
    ) -> Sending<'a> {
        Box::pin(async move {
            let method = if form.is_some() {
                Method::POST
            } else {
                Method::GET
            };
            let call = Call {
                headers: proof.map(|p| ("dpop", p)).into_iter().collect(),
                body: form.map(|f| ("application/x-www-form-urlencoded", f.into_bytes())),
            };
            let reply = Self::send(self, method, url, call).await;
            let reply = reply.map_err(|e| ClientError::Transport(e.to_string()))?;
            Ok(Answer {
                status: reply.status.as_u16(),
                dpop_nonce: reply.header("dpop-nonce").map(str::to_owned),
                body: reply.body,
            })
        })
    }
}

/// `name=value&…`, percent-encoded.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let bytes = text.bytes().map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        });
        bytes.collect::<String>()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(n, v)| format!("{}={}", encode(n), encode(v)))
        .collect();
    pairs.join("&")
}
