//! The citizens' issuer in this hub: where it lies, whose word it takes for who acts for whom, its clients and providers.

use crate::config::Config;
use crate::helseid_out::Outside;
use crate::keys::HelseidKeys;
use crate::secrets::Secrets;
use crate::wire::Addresses;
use anyhow::{Context, Result, ensure};
use axum::Router;
use helseid::citizen::{
    Asked, CitizenClient, CitizenConfig, Citizens, Ground, NoLogin, Representation, Represented,
    path,
};
use helseid::{ClientKey, OAuthError, Parts};
use jose::PublicJwk;
use jose::state::{ReplayCache, State};
use jose::system_clock;
use registers::Directory;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trust::Trust;

/// The issuer's secrets in the store.
const KEYS: &str = "citizen-sts-keys";

/// What the issuer stands on.
pub struct CitizenParts {
    /// Decides who acts for whom.
    pub trust: Arc<Trust>,
    /// Persons.
    pub directory: Arc<dyn Directory>,
    /// Its secrets.
    pub secrets: Arc<Secrets>,
    /// Short-lived state.
    pub state: Arc<dyn State>,
    /// Replay marks.
    pub replay: Arc<dyn ReplayCache>,
    /// Clients of the demo.
    pub clients: Vec<CitizenClient>,
    /// Test logins are allowed.
    pub is_demo: bool,
}

/// Starts the issuer. Blocks.
pub fn start(config: &Config, addresses: &Addresses, parts: CitizenParts) -> Result<Citizens> {
    let mut setup = CitizenConfig::new(&https_base(addresses));
    setup.extra_origins = [&addresses.base, &addresses.base_tls]
        .into_iter()
        .filter(|origin| **origin != setup.base)
        .cloned()
        .collect();
    setup.mtls_origin = Some(addresses.citizen_mtls.clone());
    setup.test_login = parts.is_demo;
    if let Some(kind) = config.helseid.kind() {
        setup.signing_key = kind;
    }
    if !parts.is_demo {
        setup.limits = helseid::limits::Limits::production();
    }
    setup.proxies = config.proxies()?;
    setup.clients = parts.clients;
    if let Some(file) = &config.citizens.clients {
        setup.clients.extend(read_clients(file)?);
    }
    let mut outside = Outside::read(config.citizens.identity_providers.as_deref())?;
    setup.idps = std::mem::take(&mut outside.idps);
    let (to_idps, to_clients) = outside.transports(parts.is_demo)?;
    let issuer = Citizens::new(
        setup,
        Parts {
            directory: parts.directory,
            state: parts.state,
            replay: parts.replay,
            keys: Arc::new(HelseidKeys::named(parts.secrets, KEYS)),
            clock: system_clock(),
        },
        Arc::new(ByTrust(parts.trust)),
    )?;
    Ok(issuer.with_transports(to_idps, to_clients))
}

/// Clients insist on https: the public base where it is one, else the TLS listener.
fn https_base(addresses: &Addresses) -> String {
    let public = url::Url::parse(&addresses.base).ok();
    match public.filter(|url| url.scheme() == "https") {
        Some(url) => url.origin().ascii_serialization(),
        None => addresses.base_tls.clone(),
    }
}

/// What is served where clients show certificates: the endpoints of the issuer, not the pages of the hub.
pub fn mtls_router(citizens: &Citizens) -> Router {
    citizens
        .router()
        .layer(axum::middleware::from_fn(edge::headers::request_id))
}

/// facts.json's part; clients are added by whoever made them.
pub fn facts(addresses: &Addresses) -> serde_json::Value {
    let base = https_base(addresses);
    let (issuer, discovery) = (path::ISSUER, "/.well-known/openid-configuration");
    serde_json::json!({
        "issuer": format!("{base}{issuer}"),
        "discovery": format!("{base}{issuer}{discovery}"),
        "browser_http": addresses.base,
        "mtls": addresses.citizen_mtls,
        "attorney_token": format!("{base}{}", path::ATTORNEY_TOKEN),
    })
}

/// The register's and the settings' word, on the rules' clock.
struct ByTrust(Arc<Trust>);

impl Representation for ByTrust {
    fn may_log_in(&self, pid: &str) -> std::result::Result<(), NoLogin> {
        use trust::representation::NoLogin as Why;
        self.0.may_log_in(pid).map_err(|why| match why {
            Why::Unknown => NoLogin::Unknown,
            Why::Deceased => NoLogin::Deceased,
            Why::TooYoung => NoLogin::TooYoung,
        })
    }

    fn represented_by(&self, pid: &str) -> Asked<Vec<Represented>> {
        let (trust, pid) = (self.0.clone(), pid.to_owned());
        Box::pin(async move {
            let failed = || {
                OAuthError::new(
                    helseid::Code::TemporarilyUnavailable,
                    "the registers cannot be asked now; try again in a minute",
                )
            };
            let found = tokio::task::spawn_blocking(move || trust.represented_by(&pid))
                .await
                .map_err(|_| failed())?
                .map_err(|error| {
                    tracing::error!(%error, "who is represented could not be looked up");
                    failed()
                })?;
            Ok(found
                .into_iter()
                .map(|(person, ground)| Represented {
                    name: person.name.full(),
                    pid: person.nin,
                    ground: match ground {
                        trust::Representation::Parent => Ground::Parent,
                        trust::Representation::Attorney(areas) => {
                            Ground::Attorney(areas.into_iter().collect())
                        }
                        trust::Representation::Assigned => Ground::Assigned,
                    },
                })
                .collect())
        })
    }
}

/// The file of citizens' clients (`citizens.clients`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    client: Vec<Registered>,
}

/// One client, as an operator writes it down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registered {
    id: String,
    name: String,
    /// An application without a key: its instances show certificates.
    #[serde(default)]
    public: bool,
    /// Files with public JWKs.
    #[serde(default)]
    keys: Vec<PathBuf>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    /// What its tokens say and open besides `openid`.
    #[serde(default)]
    rights: Vec<String>,
    /// Audiences of its access tokens; none: the issuer.
    #[serde(default)]
    audiences: Vec<String>,
    /// May ask for `offline_access`.
    #[serde(default)]
    refresh: bool,
    /// An API: may introspect any access token, and logs nobody in.
    #[serde(default)]
    introspects: bool,
    backchannel_logout_uri: Option<String>,
    frontchannel_logout_uri: Option<String>,
}

/// Reads the operator's file; paths in it are relative to it.
fn read_clients(file: &Path) -> Result<Vec<CitizenClient>> {
    let at = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {at}"))?;
    let read: File = toml::from_str(&text).with_context(|| format!("{at} is not understood"))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    read.client
        .into_iter()
        .map(|one| {
            let id = one.id.clone();
            one.client(folder)
                .with_context(|| format!("{at}: client {id}"))
        })
        .collect()
}

impl Registered {
    fn client(self, folder: &Path) -> Result<CitizenClient> {
        ensure!(!self.id.is_empty(), "the id is empty");
        ensure!(
            self.public == self.keys.is_empty(),
            "a confidential client has keys, a public one (public = true) has none"
        );
        for uri in self
            .redirect_uris
            .iter()
            .chain(&self.post_logout_redirect_uris)
        {
            if let Err(what) = helseid::rules::redirect::check_registrable(uri, self.public) {
                anyhow::bail!("an address {what}");
            }
        }
        let mut made = if self.public {
            CitizenClient::public(&self.id, &self.name)
        } else {
            CitizenClient::confidential(&self.id, &self.name)
        };
        for key in &self.keys {
            let path = folder.join(key);
            let text = std::fs::read(&path)
                .with_context(|| format!("cannot read the key {}", path.display()))?;
            let key = PublicJwk::from_slice(&text)
                .map_err(|e| anyhow::anyhow!("{} is no public key: {e}", path.display()))?;
            made.client.keys.push(ClientKey {
                key,
                expires_s: None,
            });
        }
        made.client.redirect_uris = self.redirect_uris;
        made.client.post_logout_redirect_uris = self.post_logout_redirect_uris;
        made.client.scopes = self.rights.into_iter().collect();
        made.client.refresh = self.refresh;
        made.client.introspects = self.introspects;
        made.client.user_login = !self.introspects;
        made.client.backchannel_logout_uri = self.backchannel_logout_uri;
        made.client.frontchannel_logout_uri = self.frontchannel_logout_uri;
        made.audiences = self.audiences;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_read_from_the_operators_file() {
        let folder = tempfile::tempdir().unwrap();
        let key = jose::PrivateJwk::generate(jose::jwk::KeyKind::P256, None).unwrap();
        let public = serde_json::Value::Object(key.public().to_members()).to_string();
        std::fs::write(folder.path().join("key.json"), public).unwrap();
        let file = folder.path().join("clients.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read_clients(&file)
        };
        let good = "[[client]]\nid = \"verktoy\"\nname = \"Verktøy\"\nkeys = [\"key.json\"]\n\
            redirect_uris = [\"https://verktoy.example/cb\"]\nrights = [\"oidcnavn\"]\nrefresh = true\n\
            [[client]]\nid = \"app\"\nname = \"App\"\npublic = true\nredirect_uris = [\"http://127.0.0.1/cb\"]\n";
        let clients = read(good).unwrap();
        assert_eq!(clients.len(), 2);
        assert!(clients[0].client.refresh && clients[0].client.keys.len() == 1);
        assert!(clients[1].public && clients[1].client.native);
        for (what, text) in [
            (
                "a public client with keys",
                good.replace("public = true", "public = true\nkeys = [\"key.json\"]"),
            ),
            (
                "a confidential one without",
                good.replace("keys = [\"key.json\"]", ""),
            ),
            (
                "a key that is not there",
                good.replace("key.json", "none.json"),
            ),
            (
                "an address with a wildcard",
                good.replace("/cb\"]\nrights", "/*\"]\nrights"),
            ),
            ("an unknown word", good.replace("refresh", "refesh")),
        ] {
            assert!(read(&text).is_err(), "{what}");
        }
    }
}
