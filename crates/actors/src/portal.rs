//! People at their browsers: the portals' pages asked for the way the pages do, with session cookie and form token.

use crate::facts::Facts;
use crate::http::{Browser, Call, Http, HttpError, good};
use reqwest::Method;
use serde_json::{Value, json};

/// Which portal a session is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portal {
    /// `/`
    Citizen,
    /// `/helsepersonell`
    Personnel,
    /// `/drift`
    Drift,
}

impl Portal {
    fn word(self) -> &'static str {
        match self {
            Self::Citizen => "citizen",
            Self::Personnel => "personnel",
            Self::Drift => "drift",
        }
    }
}

/// Somebody logged in.
#[derive(Debug)]
pub struct Session {
    browser: Browser,
    base: String,
    portal: Portal,
    csrf: String,
}

/// Most of a page that is looked through for its form.
fn hidden(page: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(page);
    let marker = format!("name=\"{name}\"");
    let (_, after) = text.split_once(&marker)?;
    let tag = after.split('>').next()?;
    let (_, value) = tag.split_once("value=\"")?;
    value.split('"').next().map(str::to_owned)
}

impl Session {
    /// A citizen logs in at `/`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn citizen(http: &Http, facts: &Facts, pid: &str) -> Result<Self, HttpError> {
        let browser = Browser::new(http.clone());
        let url = format!("{}/logginn", facts.base);
        let (url, page) = browser.visit(&url).await?;
        let csrf = hidden(&page.body, "csrf")
            .ok_or_else(|| HttpError::unexpected(&url, "the login page has no form"))?;
        let form = [
            ("csrf", csrf.as_str()),
            ("pid", pid),
            ("retur", "/"),
            ("lang", "nb"),
        ];
        browser.submit(&url, &form).await?;
        Self::begun(browser, facts, Portal::Citizen).await
    }

    /// Health personnel log in at `/helsepersonell`, through HelseID's page.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn personnel(http: &Http, facts: &Facts, pid: &str) -> Result<Self, HttpError> {
        let browser = Browser::new(http.clone());
        let url = format!("{}/helsepersonell/logginn", facts.base);
        Self::helseid(&browser, &url, pid).await?;
        Self::begun(browser, facts, Portal::Personnel).await
    }

    /// Somebody of an organisation logs in at `/drift`, through HelseID's page.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn party(http: &Http, facts: &Facts, pid: &str) -> Result<Self, HttpError> {
        let browser = Browser::new(http.clone());
        let url = format!("{}/drift/logginn/helseid", facts.base);
        Self::helseid(&browser, &url, pid).await?;
        Self::begun(browser, facts, Portal::Drift).await
    }

    /// The operator logs in at `/drift`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn operator(http: &Http, facts: &Facts) -> Result<Self, HttpError> {
        let browser = Browser::new(http.clone());
        let url = format!("{}/api/drift/login", facts.base);
        let login = facts
            .operator_login
            .as_ref()
            .ok_or_else(|| HttpError::unexpected(&url, "facts.json has no operator_login"))?;
        let body = json!({ "username": login.username, "password": login.password });
        let call = Call {
            body: Some(("application/json", body.to_string())),
            ..Call::default()
        };
        browser.once(Method::POST, &url, call).await?;
        Self::begun(browser, facts, Portal::Drift).await
    }

    async fn helseid(browser: &Browser, url: &str, pid: &str) -> Result<(), HttpError> {
        let (url, page) = browser.visit(url).await?;
        let csrf = hidden(&page.body, "csrf")
            .ok_or_else(|| HttpError::unexpected(&url, "the login page has no form"))?;
        let form = [
            ("csrf", csrf.as_str()),
            ("lang", "nb"),
            ("level", "4"),
            ("pid", pid),
        ];
        let (url, page) = browser.submit(&url, &form).await?;
        good(&url, page).map(|_| ())
    }

    async fn begun(browser: Browser, facts: &Facts, portal: Portal) -> Result<Self, HttpError> {
        let mut session = Self {
            browser,
            base: facts.base.clone(),
            portal,
            csrf: String::new(),
        };
        let path = format!("/api/session/{}", portal.word());
        let view = session.get(&path).await?;
        let csrf = view.get("csrf").and_then(Value::as_str);
        session.csrf = csrf
            .ok_or_else(|| HttpError::unexpected(&path, "the login did not lead to a session"))?
            .to_owned();
        Ok(session)
    }

    /// Reads.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&self, path: &str) -> Result<Value, HttpError> {
        self.bytes(path).await.and_then(|bytes| {
            serde_json::from_slice(&bytes).map_err(|_| HttpError::unexpected(path, "no JSON"))
        })
    }

    /// Reads bytes, for example an original.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, HttpError> {
        let url = format!("{}{path}", self.base);
        let reply = self
            .browser
            .once(Method::GET, &url, Call::default())
            .await?;
        good(&url, reply).map(|r| r.body)
    }

    /// Changes something, or asks with something in the body.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, HttpError> {
        let url = format!("{}{path}", self.base);
        let call = Call {
            headers: vec![("x-csrf-token", self.csrf.clone())],
            body: Some(("application/json", body.to_string())),
        };
        let reply = self.browser.once(Method::POST, &url, call).await?;
        good(&url, reply).map(|r| r.json())
    }

    /// Logs out; a session that has ended already is fine.
    pub async fn leave(self) {
        let path = format!("/api/logout/{}", self.portal.word());
        let _ = self.post(&path, &json!({})).await;
    }
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn hidden_fields_are_found_whatever_stands_around() {
        let page = br#"<form><input type="hidden" name="csrf" value="abc_-1"><input name="lang" value="nb"></form>"#;
        assert_eq!(hidden(page, "csrf").as_deref(), Some("abc_-1"));
        assert_eq!(hidden(page, "lang").as_deref(), Some("nb"));
        assert_eq!(hidden(page, "pid"), None);
        assert_eq!(hidden(b"\xff\xfe name=\"csrf\"", "csrf"), None);
    }
}
