//! The measured processes: a demo hub with a chosen signing key, and the peer.

use super::requests::Client;
use crate::link::{Base, Link};
use anyhow::{Context, Result, bail};
use jose::PrivateJwk;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

/// A hub.
pub struct Issuer {
    child: Child,
    facts: Value,
    base: Base,
}

impl Issuer {
    /// Starts one on free ports and waits until it answers.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub fn start(
        program: &Path,
        data: &Path,
        postgres: Option<(&str, &str)>,
        signing: &str,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["demo", "--no-story", "--listen", "127.0.0.1:0"])
            .args(["--anchor", "2026-11-23", "--population", "1000", "--data"])
            .arg(data)
            .env("HELSENAV_LOG", "error")
            .env("HELSENAV_HELSEID_SIGNING_KEY", signing)
            .stdout(Stdio::null());
        if let Some((url, schema)) = postgres {
            command
                .env("HELSENAV_STORE_ENGINE", "postgres")
                .env("HELSENAV_STORE_URL", url)
                .env("HELSENAV_STORE_SCHEMA", schema);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the hub ended: {status}");
            }
            if let Some((facts, base)) = ready(&data.join("facts.json")) {
                return Ok(Self { child, facts, base });
            }
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                bail!("the hub is not ready after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The first demo client of that use.
    ///
    /// # Errors
    /// When facts.json has none.
    pub fn client(&self, usage: &str) -> Result<Client> {
        let clients = self.facts.pointer("/helseid/clients");
        let client = clients
            .and_then(Value::as_array)
            .and_then(|all| all.iter().find(|c| c.get("use") == Some(&usage.into())))
            .with_context(|| format!("facts.json has no client of use {usage}"))?;
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str).map(str::to_owned);
            text.context("facts.json lacks a text")
        };
        let issuer = text(self.facts.pointer("/helseid/issuer"))?;
        let jwk = client.get("private_jwk").context("no private_jwk")?;
        let scope = client
            .pointer("/scopes/0")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Ok(Client {
            base: self.base.clone(),
            audience: issuer.clone(),
            token_url: format!("{issuer}/connect/token"),
            token_path: "/connect/token".to_owned(),
            client_id: text(client.get("client_id"))?,
            key: PrivateJwk::from_slice(jwk.to_string().as_bytes())?,
            scope: scope.to_owned(),
        })
    }

    /// The published key set.
    ///
    /// # Errors
    /// When it is not answered.
    pub fn jwks(&self) -> Result<Vec<u8>> {
        let path = "/.well-known/openid-configuration/jwks";
        let (status, body) = Link::new(&self.base).send("GET", path, None)?;
        if status != 200 {
            bail!("the key set was answered with {status}");
        }
        Ok(body)
    }

    /// Processor time used so far, microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        crate::store::cpu_us_of(&self.child.id().to_string())
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready(facts: &Path) -> Option<(Value, Base)> {
    let facts: Value = serde_json::from_slice(&std::fs::read(facts).ok()?).ok()?;
    let base = Base::parse(facts.pointer("/helseid/browser_http")?.as_str()?).ok()?;
    let path = "/.well-known/openid-configuration";
    let (status, _) = Link::new(&base).send("GET", path, None).ok()?;
    (status == 200).then_some((facts, base))
}

/// npm oidc-provider.
pub struct Peer {
    child: Child,
    address: String,
    base: Base,
}

impl Peer {
    /// Starts it with this client's key.
    ///
    /// # Errors
    /// When it does not say its address.
    pub fn start(folder: &Path, alg: &str, workers: usize, client: &Client) -> Result<Self> {
        let jwk = Value::Object(client.key.public().to_members()).to_string();
        let mut child = Command::new("node")
            .arg("server.mjs")
            .args([jwk, alg.to_owned(), workers.to_string()])
            .current_dir(folder)
            .env("NODE_ENV", "production")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start node")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.trim().to_owned();
        let Ok(base) = Base::parse(&address) else {
            let _ = child.kill();
            bail!("the peer did not start: run `npm ci` in its folder");
        };
        Ok(Self {
            child,
            address,
            base,
        })
    }

    /// The same client at the peer.
    #[must_use]
    pub fn client(&self, client: &Client) -> Client {
        Client {
            base: self.base.clone(),
            audience: self.address.clone(),
            token_url: format!("{}/token", self.address),
            token_path: "/token".to_owned(),
            client_id: "bench".to_owned(),
            key: client.key.clone(),
            scope: "nhn:kjernejournal/api".to_owned(),
        }
    }

    /// Processor time of all its processes so far, microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        let id = self.child.id();
        let path = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children
            .split_whitespace()
            .map(crate::store::cpu_us_of)
            .sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The workers end when their primary is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
