//! People at the portals, as their browsers: cookies, form tokens, redirects.

use crate::Facts;
use crate::http::{Call, Reply, Web, form};
use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A browser without a screen.
struct Browser {
    web: Web,
    /// Host and port → cookies.
    jar: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}

fn origin_of(url: &str) -> String {
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    format!("{scheme}://{}", host_of(url))
}

impl Browser {
    fn new(web: &Web) -> Self {
        Self {
            web: web.clone(),
            jar: Mutex::default(),
        }
    }

    async fn once(&self, method: Method, url: &str, mut call: Call<'_>) -> Result<Reply> {
        let host = host_of(url);
        let cookies = self.jar.lock().ok().and_then(|jar| {
            let own = jar.get(&host)?;
            Some(
                own.iter()
                    .map(|(n, v)| format!("{n}={v}"))
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        });
        if let Some(cookies) = cookies.filter(|c| !c.is_empty()) {
            call.headers.push(("cookie", cookies));
        }
        let reply = self.web.send(method, url, call).await?;
        if let Ok(mut jar) = self.jar.lock() {
            let own = jar.entry(host).or_default();
            let set = reply.headers.iter().filter(|(n, _)| n == "set-cookie");
            for (name, value) in set.filter_map(|(_, v)| v.split(';').next()?.split_once('=')) {
                own.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(reply)
    }

    async fn follow(&self, mut url: String, mut reply: Reply) -> Result<(String, Reply)> {
        for _ in 0..10 {
            let Some(to) = reply
                .header("location")
                .filter(|_| reply.status.is_redirection())
            else {
                return Ok((url, reply));
            };
            url = if to.starts_with('/') {
                format!("{}{to}", origin_of(&url))
            } else {
                to.to_owned()
            };
            reply = self.once(Method::GET, &url, Call::default()).await?;
        }
        bail!("redirected for ever")
    }

    async fn visit(&self, url: &str) -> Result<(String, Reply)> {
        let reply = self.once(Method::GET, url, Call::default()).await?;
        self.follow(url.to_owned(), reply).await
    }

    /// Fills the form of a page (its hidden csrf field comes along) and follows where it leads.
    async fn fill(
        &self,
        url: &str,
        page: &Reply,
        fields: &[(&str, &str)],
    ) -> Result<(String, Reply)> {
        let csrf = hidden(&page.text(), "csrf").context("the page has no form")?;
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        let call = Call {
            headers: vec![("origin", origin_of(url))],
            body: Some(("application/x-www-form-urlencoded", form(&all).into_bytes())),
        };
        let reply = self.once(Method::POST, url, call).await?;
        self.follow(url.to_owned(), reply).await
    }
}

fn hidden(page: &str, name: &str) -> Option<String> {
    let (_, after) = page.split_once(&format!("name=\"{name}\""))?;
    let (_, value) = after.split('>').next()?.split_once("value=\"")?;
    value.split('"').next().map(str::to_owned)
}

/// Somebody logged in to a portal.
pub struct Session {
    browser: Browser,
    base: String,
    csrf: String,
}

impl Session {
    /// A citizen at `/`.
    ///
    /// # Errors
    /// When the login does not lead to a session; so with all of these.
    pub async fn citizen(web: &Web, facts: &Facts, pid: &str) -> Result<Self> {
        let browser = Browser::new(web);
        let (url, page) = browser.visit(&format!("{}/logginn", facts.base())).await?;
        browser
            .fill(&url, &page, &[("pid", pid), ("retur", "/"), ("lang", "nb")])
            .await?;
        Self::begun(browser, facts, "citizen").await
    }

    /// Health personnel at `/helsepersonell`, through HelseID's page.
    ///
    /// # Errors
    /// As [`Session::citizen`].
    pub async fn personnel(web: &Web, facts: &Facts, pid: &str) -> Result<Self> {
        Self::helseid(web, facts, "/helsepersonell/logginn", pid, "personnel").await
    }

    /// Somebody of an organisation at `/drift`, through HelseID's page.
    ///
    /// # Errors
    /// As [`Session::citizen`].
    pub async fn party(web: &Web, facts: &Facts, pid: &str) -> Result<Self> {
        Self::helseid(web, facts, "/drift/logginn/helseid", pid, "drift").await
    }

    async fn helseid(
        web: &Web,
        facts: &Facts,
        path: &str,
        pid: &str,
        portal: &str,
    ) -> Result<Self> {
        let browser = Browser::new(web);
        let (url, page) = browser.visit(&format!("{}{path}", facts.base())).await?;
        browser
            .fill(&url, &page, &[("lang", "nb"), ("level", "4"), ("pid", pid)])
            .await?;
        Self::begun(browser, facts, portal).await
    }

    /// The operator at `/drift`.
    ///
    /// # Errors
    /// As [`Session::citizen`].
    pub async fn operator(web: &Web, facts: &Facts) -> Result<Self> {
        let browser = Browser::new(web);
        let login = json!({
            "username": facts.text("/operator_login/username"),
            "password": facts.text("/operator_login/password"),
        });
        let url = format!("{}/api/drift/login", facts.base());
        browser.once(Method::POST, &url, Call::json(&login)).await?;
        Self::begun(browser, facts, "drift").await
    }

    async fn begun(browser: Browser, facts: &Facts, portal: &str) -> Result<Self> {
        let mut session = Self {
            browser,
            base: facts.base().to_owned(),
            csrf: String::new(),
        };
        let view = session
            .get(&format!("/api/session/{portal}"))
            .await?
            .expect(200)?
            .json();
        let csrf = view["csrf"]
            .as_str()
            .with_context(|| format!("no session: {view}"))?;
        session.csrf = csrf.to_owned();
        Ok(session)
    }

    /// Reads.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        let url = format!("{}{path}", self.base);
        self.browser.once(Method::GET, &url, Call::default()).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        let url = format!("{}{path}", self.base);
        let call = Call::json(body).with("x-csrf-token", self.csrf.clone());
        self.browser.once(Method::POST, &url, call).await
    }

    /// Uploads a file as the page does.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn upload(&self, path: &str, csrf: &str, bytes: Vec<u8>) -> Result<Reply> {
        let url = format!("{}{path}", self.base);
        let call = Call {
            headers: vec![("x-csrf-token", csrf.to_owned())],
            body: Some(("application/xml", bytes)),
        };
        self.browser.once(Method::POST, &url, call).await
    }

    /// The same without the form token, as another site would send it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_without_token(&self, path: &str, body: &Value) -> Result<Reply> {
        let url = format!("{}{path}", self.base);
        self.browser
            .once(Method::POST, &url, Call::json(body))
            .await
    }
}
