//! HTTP as actors use it: trust in the demo CA, no proxy, no automatic redirects, bounded answers, cookies kept by hand.

use jose::client::{Answer, ClientError, MAX_ANSWER_BYTES, Sending, Transport};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MAX_BYTES: usize = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer.
    #[error("{url}: {why}")]
    NoAnswer {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// Another status than needed.
    #[error("{url} answered {status}{}", code.as_deref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Status {
        /// Where.
        url: String,
        /// Status.
        status: u16,
        /// Stable code of the problem, when it has one.
        code: Option<String>,
    },
    /// An answer that makes no sense.
    #[error("{url}: {why}")]
    Unexpected {
        /// Where.
        url: String,
        /// What.
        why: String,
    },
}

impl HttpError {
    /// An answer that makes no sense.
    #[must_use]
    pub fn unexpected(url: &str, why: &str) -> Self {
        Self::Unexpected {
            url: path_of(url),
            why: why.to_owned(),
        }
    }

    fn no_answer(url: &str, error: &reqwest::Error) -> Self {
        // The error's own text holds the whole address; queries may carry codes.
        let mut why = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            "not reached".to_owned()
        };
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        Self::NoAnswer {
            url: path_of(url),
            why,
        }
    }
}

/// An address without its query, for texts that people read.
fn path_of(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// `Location`.
    pub location: Option<String>,
    /// `DPoP-Nonce`.
    pub dpop_nonce: Option<String>,
    /// Cookies set: name and value.
    pub cookies: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Call<'a> {
    /// Headers.
    pub headers: Vec<(&'a str, String)>,
    /// Body with its content type.
    pub body: Option<(&'static str, String)>,
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client that trusts the demo CA and nothing else.
    ///
    /// # Errors
    /// When the certificate is not readable.
    pub fn new(ca_pem: &str) -> Result<Self, HttpError> {
        let wrong = |why: reqwest::Error| HttpError::unexpected("ca_pem", &why.to_string());
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).map_err(wrong)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(15))
            .user_agent(concat!("helsenav-actors/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(wrong)?;
        Ok(Self { client })
    }

    /// Sends a request; any status is an answer.
    ///
    /// # Errors
    /// [`HttpError::NoAnswer`], [`HttpError::Unexpected`] for an endless body.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        call: Call<'_>,
    ) -> Result<Reply, HttpError> {
        let mut request = self.client.request(method, url);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, body)) = call.body {
            request = request.header("content-type", content_type).body(body);
        }
        let lost = |error: reqwest::Error| HttpError::no_answer(url, &error);
        let mut response = request.send().await.map_err(lost)?;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        let mut reply = Reply {
            status: response.status(),
            location: header("location"),
            dpop_nonce: header("dpop-nonce"),
            cookies: response
                .headers()
                .get_all("set-cookie")
                .iter()
                .filter_map(|v| v.to_str().ok()?.split(';').next()?.split_once('='))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if reply.body.len() + chunk.len() > MAX_BYTES {
                return Err(HttpError::unexpected(url, "the answer is too large"));
            }
            reply.body.extend_from_slice(&chunk);
        }
        Ok(reply)
    }

    /// A JSON answer with status 2xx.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get_json(&self, url: &str) -> Result<Value, HttpError> {
        let reply = self.send(Method::GET, url, Call::default()).await?;
        good(url, reply).map(|r| r.json())
    }

    /// Posts JSON; a JSON answer with status 2xx.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post_json(&self, url: &str, body: &Value) -> Result<Value, HttpError> {
        let call = Call {
            body: Some(("application/json", body.to_string())),
            ..Call::default()
        };
        let reply = self.send(Method::POST, url, call).await?;
        good(url, reply).map(|r| r.json())
    }
}

/// Only a 2xx passes.
///
/// # Errors
/// [`HttpError::Status`] with the problem's code.
pub fn good(url: &str, reply: Reply) -> Result<Reply, HttpError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    let code = reply
        .json()
        .get("code")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Err(HttpError::Status {
        url: path_of(url),
        status: reply.status.as_u16(),
        code,
    })
}

impl Transport for Http {
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
                headers: proof.map(|p| ("DPoP", p)).into_iter().collect(),
                body: form.map(|f| ("application/x-www-form-urlencoded", f)),
            };
            let reply = self.send(method, url, call).await;
            let reply = reply.map_err(|e| ClientError::Transport(e.to_string()))?;
            if reply.body.len() > MAX_ANSWER_BYTES {
                return Err(ClientError::BadAnswer("too large"));
            }
            Ok(Answer {
                status: reply.status.as_u16(),
                dpop_nonce: reply.dpop_nonce,
                body: reply.body,
            })
        })
    }
}

/// A browser without a screen: cookies per host, redirects followed by hand.
#[derive(Debug)]
pub struct Browser {
    http: Http,
    /// Origin → cookie name → value.
    cookies: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

const MAX_REDIRECTS: usize = 10;

impl Browser {
    /// A new one, without cookies.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self {
            http,
            cookies: Mutex::default(),
        }
    }

    /// The value of a cookie that `url`'s host has set.
    #[must_use]
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        let held = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&host_of(url))?.get(name).cloned()
    }

    /// One request with cookies; no redirect is followed.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn once(
        &self,
        method: Method,
        url: &str,
        mut call: Call<'_>,
    ) -> Result<Reply, HttpError> {
        let host = host_of(url);
        let cookies = {
            let held = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
            held.get(&host).map(|all| {
                all.iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            })
        };
        if let Some(cookies) = cookies.filter(|c| !c.is_empty()) {
            call.headers.push(("cookie", cookies));
        }
        let reply = self.http.send(method, url, call).await?;
        let mut held = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.entry(host).or_default();
        for (name, value) in &reply.cookies {
            if value.is_empty() {
                own.remove(name);
            } else if own.len() < 50 {
                own.insert(name.clone(), value.clone());
            }
        }
        Ok(reply)
    }

    /// Gets a page, following redirects; the address where it ended.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn visit(&self, url: &str) -> Result<(String, Reply), HttpError> {
        let reply = self.once(Method::GET, url, Call::default()).await?;
        self.follow(url.to_owned(), reply).await
    }

    /// Posts a form, then follows redirects.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn submit(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<(String, Reply), HttpError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let call = Call {
            body: Some(("application/x-www-form-urlencoded", form)),
            ..Call::default()
        };
        let reply = self.once(Method::POST, url, call).await?;
        self.follow(url.to_owned(), reply).await
    }

    async fn follow(
        &self,
        mut url: String,
        mut reply: Reply,
    ) -> Result<(String, Reply), HttpError> {
        for _ in 0..MAX_REDIRECTS {
            let Some(to) = reply
                .location
                .take()
                .filter(|_| reply.status.is_redirection())
            else {
                return Ok((url, reply));
            };
            url = url::Url::parse(&url)
                .and_then(|base| base.join(&to))
                .map_err(|e| HttpError::unexpected(&url, &e.to_string()))?
                .to_string();
            reply = self.once(Method::GET, &url, Call::default()).await?;
        }
        Err(HttpError::unexpected(&url, "too many redirects"))
    }
}

/// Cookies go by host, not by port (RFC 6265 §8.5).
fn host_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed
        .and_then(|u| u.host_str().map(str::to_owned))
        .unwrap_or_default()
}
