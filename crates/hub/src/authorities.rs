//! Authorities of other parties' message certificates, as the operator names them, and their revocation lists.
//!
//! A signer counts only when a current list of its issuer is known (spec/messaging.md §4.4). Lists are fetched here, from the addresses that the
//! operator wrote down and never from one in a certificate, and used until they say that they are over. While there is none, messages of
//! that issuer are tried again as the exchange does (ten times on the bus); nobody is refused because a server was away.
//!
//! A fetched list is kept in the data folder, so that a start without the network knows what the last run knew. Lists are checked against
//! their issuer's key before they count, so a plain `http` address is as good as another.

use anyhow::{Context, Result, ensure};
use edge::listen::Shutdown;
use meldinger::Exchange;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use xmlsec::x509::{Certificate, Crl, TrustStore};

/// How long one look at an address may take (spec/messaging.md §4.4).
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest list.
const MAX_BYTES: usize = 32 << 20;
/// Most authorities in the file.
const MAX_AUTHORITIES: usize = 100;
/// How often it is seen to what is due.
const ROUND: Duration = Duration::from_secs(5);
/// A list is fetched anew after half of the time that it still has, but within these, seconds.
const LOOK_AGAIN_S: (i64, i64) = (60, 6 * 3_600);
/// How long a list counts as fresh that does not say.
const NO_NEXT_UPDATE_S: i64 = 3_600;
/// Wait after a first failure, and the longest, seconds.
const AFTER_FAILURE_S: (i64, i64) = (30, 900);

/// The operator's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    authority: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// PEM file of the authority's certificate, relative to the file.
    certificate: PathBuf,
    /// Where its revocation list is, DER or PEM.
    crl: String,
}

/// The authorities of one process.
pub struct Authorities {
    all: Vec<Authority>,
    client: reqwest::Client,
    /// Where fetched lists are kept.
    folder: PathBuf,
}

struct Authority {
    certificate: Certificate,
    url: url::Url,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    list: Option<Arc<Crl>>,
    fetched_at_s: Option<i64>,
    due_s: i64,
    failures: u32,
    why: Option<&'static str>,
}

impl Authorities {
    /// Reads the operator's file, and lists that were fetched before. No file: nobody is trusted besides the hub's own authority.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(file: Option<&Path>, data: &Path, now_s: i64) -> Result<Arc<Self>> {
        let folder = data.join("revocation");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("helsenav/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("no HTTP client for revocation lists")?;
        let mut all = Vec::new();
        if let Some(path) = file {
            let at = path.display();
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {at}"))?;
            let read: File =
                toml::from_str(&text).with_context(|| format!("{at} is not understood"))?;
            let count = read.authority.len();
            ensure!(
                count <= MAX_AUTHORITIES,
                "{at} names {count} authorities; {MAX_AUTHORITIES} are the most"
            );
            let beside = path.parent().unwrap_or(Path::new("."));
            for entry in read.authority {
                let name = entry.certificate.display().to_string();
                let authority = entry
                    .read(beside)
                    .with_context(|| format!("{at}: authority {name}"))?;
                authority.remember(&folder, now_s);
                all.push(authority);
            }
        }
        Ok(Arc::new(Self {
            all,
            client,
            folder,
        }))
    }

    /// Trusts them, with the lists that are known.
    pub fn add_to(&self, trust: &mut TrustStore) {
        for authority in &self.all {
            trust.add_root(authority.certificate.clone());
            if let Some(list) = &authority.state().list {
                trust.add_crl(list.clone());
            }
        }
    }

    /// Fetches what is due, until shutdown.
    pub async fn run(self: Arc<Self>, exchange: Exchange, shutdown: Shutdown) {
        while !self.all.is_empty() {
            let now_s = edge::clock::real_now_us() / 1_000_000;
            let is_new = tokio::select! {
                is_new = self.round(now_s) => is_new,
                () = shutdown.wait() => return,
            };
            if is_new {
                let mut trust = (*exchange.trust()).clone();
                self.add_to(&mut trust);
                exchange.set_trust(trust);
            }
            self.count(now_s);
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    /// Fetches what is due; whether there is a new list.
    async fn round(&self, now_s: i64) -> bool {
        let mut is_new = false;
        for authority in &self.all {
            if authority.state().due_s <= now_s {
                is_new |= self.look(authority, now_s).await;
            }
        }
        is_new
    }

    async fn look(&self, authority: &Authority, now_s: i64) -> bool {
        let read = match fetch(&self.client, &authority.url).await {
            Ok(bytes) => {
                let issuer = authority.certificate.clone();
                let known = authority.state().list.clone();
                let work = move || accept(&bytes, &issuer, known.as_deref(), now_s);
                tokio::task::spawn_blocking(work)
                    .await
                    .unwrap_or(Err("it could not be read"))
            }
            Err(why) => Err(why),
        };
        let list = match read {
            Ok(list) => list,
            Err(why) => {
                let mut state = authority.state();
                state.failures = state.failures.saturating_add(1);
                state.due_s = now_s + wait_after(state.failures);
                if state.why != Some(why) {
                    tracing::warn!(authority = %authority.certificate.subject(), address = %authority.url, why, "no revocation list; messages of this issuer wait when the one that is known is over");
                }
                state.why = Some(why);
                return false;
            }
        };
        let (folder, name) = (self.folder.clone(), authority.file_name());
        let kept = list.clone();
        let keep = move || keep(&folder, &name, kept.der());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(keep).await {
            tracing::warn!(%error, "a revocation list could not be kept; the next start fetches it anew");
        }
        let mut state = authority.state();
        *state = State {
            due_s: next_look(now_s, list.next_update_unix_s()),
            fetched_at_s: Some(now_s),
            list: Some(list),
            ..State::default()
        };
        true
    }

    /// What stands where, for the operator.
    #[must_use]
    pub fn view(&self, now_s: i64) -> Value {
        self.all
            .iter()
            .map(|authority| {
                let state = authority.state();
                let list = state.list.as_ref();
                json!({
                    "authority": authority.certificate.subject(),
                    "address": authority.url.as_str(),
                    "state": match list {
                        None => "missing",
                        Some(list) if list.is_current(now_s) => "ok",
                        Some(_) => "over",
                    },
                    "revoked": list.map(|list| list.len()),
                    "issued_s": list.map(|list| list.this_update_unix_s()),
                    "next_s": list.and_then(|list| list.next_update_unix_s()),
                    "fetched_s": state.fetched_at_s,
                    "failures": state.failures,
                    "why": state.why,
                })
            })
            .collect()
    }

    fn count(&self, now_s: i64) {
        for authority in &self.all {
            let is_current = authority
                .state()
                .list
                .as_ref()
                .is_some_and(|list| list.is_current(now_s));
            let subject = authority.certificate.subject().to_owned();
            metrics::gauge!("meldinger_revocation_list_current", "authority" => subject)
                .set(if is_current { 1.0 } else { 0.0 });
        }
    }
}

impl Entry {
    fn read(self, beside: &Path) -> Result<Authority> {
        let path = beside.join(&self.certificate);
        let pem = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let certificate = Certificate::from_pem(&pem).context("the file holds no certificate")?;
        ensure!(
            certificate.is_ca(),
            "the certificate is not an authority's (basicConstraints)"
        );
        let url: url::Url = self.crl.parse().context("crl is no address")?;
        ensure!(
            matches!(url.scheme(), "http" | "https"),
            "crl must be an http or https address"
        );
        Ok(Authority {
            certificate,
            url,
            state: Mutex::default(),
        })
    }
}

impl Authority {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file_name(&self) -> String {
        format!("{}.crl", self.certificate.thumbprint_sha1())
    }

    /// Takes over what the last run fetched, if it is still what it was; it is fetched anew all the same.
    fn remember(&self, folder: &Path, now_s: i64) {
        let path = folder.join(self.file_name());
        let is_small = std::fs::metadata(&path).is_ok_and(|m| m.len() <= MAX_BYTES as u64);
        let bytes = if is_small {
            std::fs::read(&path).unwrap_or_default()
        } else {
            Vec::new()
        };
        if let Ok(list) = accept(&bytes, &self.certificate, None, now_s) {
            self.state().list = Some(list);
        }
    }
}

/// The bytes at an address; why not.
async fn fetch(client: &reqwest::Client, url: &url::Url) -> Result<Vec<u8>, &'static str> {
    let failed = |error: reqwest::Error| match () {
        () if error.is_timeout() => "it did not answer in time",
        () if error.is_connect() => "it could not be connected to",
        () => "the request failed",
    };
    let mut answer = client.get(url.clone()).send().await.map_err(failed)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err("it answered with another status than 200");
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err("the list is larger than 32 MiB");
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The list in these bytes, if it counts now and is not older than the one that is known.
fn accept(
    bytes: &[u8],
    issuer: &Certificate,
    known: Option<&Crl>,
    now_s: i64,
) -> Result<Arc<Crl>, &'static str> {
    let list = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with("-----BEGIN") => Crl::from_pem(text, issuer),
        _ => Crl::from_der(bytes, issuer),
    };
    let list = list.map_err(|_| "what came is no revocation list of this authority")?;
    if !list.is_current(now_s) {
        return Err("the list is over, or of a time to come");
    }
    if known.is_some_and(|known| known.this_update_unix_s() > list.this_update_unix_s()) {
        return Err("the list is older than the one that is known");
    }
    Ok(Arc::new(list))
}

/// Writes a list so that it is there whole or not at all.
fn keep(folder: &Path, name: &str, der: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let (made, path) = (folder.join(format!("{name}.new")), folder.join(name));
    std::fs::write(&made, der)?;
    std::fs::rename(made, path)
}

/// When a list that was fetched now is looked at again, seconds since 1970.
fn next_look(now_s: i64, next_update_s: Option<i64>) -> i64 {
    let left = next_update_s.map_or(NO_NEXT_UPDATE_S, |next| next.saturating_sub(now_s));
    let (soonest, latest) = LOOK_AGAIN_S;
    now_s + (left / 2).clamp(soonest, latest)
}

/// How long to wait after so many failures in a row, seconds.
fn wait_after(failures: u32) -> i64 {
    let (first, longest) = AFTER_FAILURE_S;
    let doubled = 1i64 << failures.saturating_sub(1).min(16);
    (first * doubled).min(longest)
}

#[cfg(test)]
mod tests;
