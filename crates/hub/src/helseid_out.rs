//! HelseID's way out: identity providers from the operator's file, and the HTTP clients that reach them and the clients'
//! logout endpoints.
//!
//! Two HTTP clients, because they trust differently: providers are named by the operator and may stand in the operator's
//! own network; logout endpoints are named by those who register clients, so outside a demo only public addresses are
//! called. Neither follows redirects or proxies; answers are bounded in size and time.

use crate::config::Config;
use crate::keys;
use crate::wire::{Addresses, PORTAL_CLIENT, PORTAL_SCOPES};
use anyhow::{Context, Result, bail, ensure};
use helseid::idp::{IdpAuth, IdpConfig};
use helseid::rules::levels::Level;
use jose::PrivateJwk;
use jose::client::{Answer, ClientError, MAX_ANSWER_BYTES, Sending, Transport};
use records::subscriptions::{PublicOnly, read_endpoint};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What HelseID's configuration gets from the hub's: APIs, providers, limits, and in a demo the test-token service. Gives the
/// ways to providers and to clients.
pub fn configure(
    helseid: &mut helseid::Config,
    config: &Config,
    test_token_key: Option<&str>,
) -> Result<(Arc<dyn Transport>, Arc<dyn Transport>)> {
    match test_token_key {
        Some(key) if !key.is_empty() => helseid.test_token_keys.push(key.to_owned()),
        Some(_) => {}
        None => helseid.limits = helseid::limits::Limits::production(),
    }
    helseid.proxies = config.proxies()?;
    helseid.apis = crate::apis::read(config.helseid.apis.as_deref())?;
    let mut outside = Outside::read(config.helseid.identity_providers.as_deref())?;
    helseid.idps = std::mem::take(&mut outside.idps);
    outside.transports(test_token_key.is_some())
}

/// The hub's own portals as a client of HelseID.
pub fn portal_client(addresses: &Addresses, keys: &keys::PortalKeys) -> helseid::Client {
    let mut client = helseid::Client::new(PORTAL_CLIENT, "Helsenav for helsepersonell");
    client.organisation_name = "Helsenav drift".to_owned();
    client.keys.push(helseid::ClientKey {
        key: keys.assertion.public().clone(),
        expires_s: None,
    });
    client.scopes = PORTAL_SCOPES.iter().map(|s| (*s).to_owned()).collect();
    client.redirect_uris = [&addresses.base, &addresses.base_tls]
        .into_iter()
        .map(|base| format!("{base}/helsepersonell/callback"))
        .collect();
    client.user_login = true;
    client
}

/// The file of identity providers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    provider: Vec<Provider>,
    /// Certificate authorities trusted besides those of the system, as PEM files.
    #[serde(default)]
    trusted: Vec<PathBuf>,
}

/// One provider, as an operator writes it down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    /// File with our private key as JWK, for `private_key_jwt`.
    key: Option<PathBuf>,
    /// File with the shared secret.
    secret: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    pid_claim: Option<String>,
    level_claim: Option<String>,
    /// Value of the level claim → level 2, 3 or 4.
    levels: Option<BTreeMap<String, u8>>,
    /// Level when the claim says nothing known.
    otherwise: Option<u8>,
    highest: Option<u8>,
    /// Level → `acr_values` to send.
    acr_values: Option<BTreeMap<String, String>>,
    /// Method of the request (`amr:…`) → parameter and value to send.
    #[serde(default)]
    methods: BTreeMap<String, (String, String)>,
    on_behalf_of_parameter: Option<String>,
    require_par: Option<bool>,
}

/// Providers, and the certificate authorities their connections may stand on.
pub struct Outside {
    /// The providers.
    pub idps: Vec<IdpConfig>,
    trusted: Vec<reqwest::Certificate>,
}

impl Outside {
    /// Reads the operator's file; paths in it are relative to it. No file, no providers.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else {
            return Ok(Self {
                idps: Vec::new(),
                trusted: Vec::new(),
            });
        };
        let at = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {at}"))?;
        let file: File =
            toml::from_str(&text).with_context(|| format!("{at} is not understood"))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let idps = file
            .provider
            .into_iter()
            .map(|one| {
                let id = one.id.clone();
                one.config(folder)
                    .with_context(|| format!("{at}: provider {id}"))
            })
            .collect::<Result<_>>()?;
        let trusted = file
            .trusted
            .iter()
            .map(|name| {
                let path = folder.join(name);
                let pem = std::fs::read(&path)
                    .with_context(|| format!("{at}: cannot read {}", path.display()))?;
                reqwest::Certificate::from_pem(&pem)
                    .with_context(|| format!("{at}: {} is no certificate", path.display()))
            })
            .collect::<Result<_>>()?;
        Ok(Self { idps, trusted })
    }

    /// The ways to providers and to clients.
    pub fn transports(self, is_demo: bool) -> Result<(Arc<dyn Transport>, Arc<dyn Transport>)> {
        let to_idps = Http {
            client: builder()
                .tls_certs_merge(self.trusted)
                .build()
                .context("no HTTP client for identity providers")?,
            public_only: false,
        };
        let mut to_clients = builder();
        if !is_demo {
            to_clients = to_clients.dns_resolver(PublicOnly);
        }
        let to_clients = Http {
            client: to_clients.build().context("no HTTP client for logouts")?,
            public_only: !is_demo,
        };
        Ok((Arc::new(to_idps), Arc::new(to_clients)))
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .user_agent(concat!("helsenav/", env!("CARGO_PKG_VERSION")))
}

impl Provider {
    fn config(self, folder: &Path) -> Result<IdpConfig> {
        let url: url::Url = self.issuer.parse().context("issuer is no address")?;
        let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        ensure!(
            url.scheme() == "https" || url.scheme() == "http" && local,
            "issuer must be an https address"
        );
        let auth = match (&self.key, &self.secret) {
            (Some(key), None) => {
                let path = folder.join(key);
                let jwk = std::fs::read(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let key = PrivateJwk::from_slice(&jwk)
                    .with_context(|| format!("{} is no private JWK", path.display()))?;
                IdpAuth::PrivateKeyJwt(key)
            }
            (None, Some(secret)) => {
                let path = folder.join(secret);
                let secret = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                IdpAuth::Secret(secret.trim().to_owned())
            }
            _ => bail!("name either key (private_key_jwt) or secret"),
        };
        let mut config =
            IdpConfig::idporten(&self.id, &self.name, &self.issuer, &self.client_id, auth);
        ensure!(
            config.has_usable_id(),
            "id must be lower-case letters, digits and hyphens, and not the test provider's"
        );
        if let Some(scopes) = self.scopes {
            ensure!(
                scopes.iter().any(|one| one == "openid"),
                "scopes must contain openid"
            );
            config.scopes = scopes;
        }
        if let Some(claim) = self.pid_claim {
            config.pid_claim = claim;
        }
        if let Some(claim) = self.level_claim {
            config.level_claim = claim;
        }
        if let Some(levels) = self.levels {
            config.levels = levels
                .into_iter()
                .map(|(value, number)| Ok((value, level(number)?)))
                .collect::<Result<_>>()?;
        }
        if let Some(acr) = self.acr_values {
            config.acr_values = acr
                .into_iter()
                .map(|(number, value)| {
                    let level = Level::from_text(&number).context("a level is 2, 3 or 4")?;
                    Ok((level, value))
                })
                .collect::<Result<_>>()?;
        }
        config.otherwise = self.otherwise.map(level).transpose()?;
        if let Some(highest) = self.highest {
            config.highest = level(highest)?;
        }
        config.methods = self.methods;
        if let Some(name) = self.on_behalf_of_parameter {
            config.on_behalf_of_parameter = Some(name).filter(|name| !name.is_empty());
        }
        config.require_par = self.require_par.unwrap_or(true);
        Ok(config)
    }
}

fn level(number: u8) -> Result<Level> {
    Level::from_text(&number.to_string()).context("a level is 2, 3 or 4")
}

/// One HTTP client.
struct Http {
    client: reqwest::Client,
    public_only: bool,
}

impl Transport for Http {
    fn send<'a>(
        &'a self,
        url: &'a str,
        form: Option<String>,
        proof: Option<String>,
    ) -> Sending<'a> {
        Box::pin(async move {
            if self.public_only {
                read_endpoint(url, false).map_err(|why| ClientError::Transport(why.to_owned()))?;
            }
            // The text of an error may hold the address, and with it a code: only its kind is passed on.
            let failed = |error: reqwest::Error| {
                ClientError::Transport(
                    match () {
                        () if error.is_timeout() => "it did not answer in time",
                        () if error.is_connect() => "it could not be connected to",
                        () => "the request failed",
                    }
                    .to_owned(),
                )
            };
            let mut request = match form {
                Some(form) => self
                    .client
                    .post(url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form),
                None => self.client.get(url),
            };
            if let Some(proof) = proof {
                request = request.header("DPoP", proof);
            }
            let request = request.header("accept", "application/json");
            let mut answer = request.send().await.map_err(failed)?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                    return Err(ClientError::BadAnswer("longer than a megabyte"));
                }
                body.extend_from_slice(&chunk);
            }
            let nonce = answer.headers().get("DPoP-Nonce");
            Ok(Answer {
                status: answer.status().as_u16(),
                dpop_nonce: nonce
                    .and_then(|nonce| nonce.to_str().ok())
                    .map(str::to_owned),
                body,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::jwk::KeyKind;

    fn read(text: &str) -> Result<Outside> {
        let folder = tempfile::tempdir()?;
        let key = PrivateJwk::generate(KeyKind::P256, None)?;
        let jwk = serde_json::Value::Object(key.to_secret_members());
        std::fs::write(folder.path().join("key.json"), jwk.to_string())?;
        std::fs::write(folder.path().join("secret"), "s3cret\n")?;
        let file = folder.path().join("idps.toml");
        std::fs::write(&file, text)?;
        Outside::read(Some(&file))
    }

    const HEAD: &str = "[[provider]]\nid = \"idporten-oidc\"\nname = \"ID-porten\"\nissuer = \"https://idporten.no\"\nclient_id = \"c\"\n";

    #[test]
    fn a_file_of_providers() {
        let read_one =
            |rest: &str| read(&format!("{HEAD}{rest}")).map(|mut found| found.idps.remove(0));
        let plain = read_one("key = \"key.json\"").unwrap();
        assert_eq!(plain.pid_claim, "pid");
        assert!(plain.require_par && matches!(plain.auth, IdpAuth::PrivateKeyJwt(_)));
        let own = read_one(
            "secret = \"secret\"\nrequire_par = false\npid_claim = \"nin\"\nhighest = 3\non_behalf_of_parameter = \"\"\n\
             levels = { high = 4, low = 2 }\nacr_values = { 4 = \"high\" }\nmethods = { bankid = [\"login_hint\", \"bankid\"] }",
        )
        .unwrap();
        assert!(matches!(&own.auth, IdpAuth::Secret(secret) if secret == "s3cret"));
        assert_eq!(own.level_of(Some("high")), Some(Level::Substantial));
        assert_eq!(own.acr_values[&Level::High], "high");
        assert!(own.on_behalf_of_parameter.is_none() && !own.require_par);
        for bad in [
            "",
            "key = \"none.json\"",
            "key = \"secret\"",
            "key = \"key.json\"\nsecret = \"secret\"",
            "key = \"key.json\"\nlevels = { x = 5 }",
            "key = \"key.json\"\nscopes = [\"profile\"]",
            "key = \"key.json\"\nunknown = 1",
        ] {
            assert!(read_one(bad).is_err(), "{bad}");
        }
        let test = HEAD.replace("idporten-oidc", "testidp-oidc");
        assert!(read(&format!("{test}key = \"key.json\"")).is_err());
        let plain_http = HEAD.replace("https://idporten.no", "http://idporten.no");
        assert!(read(&format!("{plain_http}key = \"key.json\"")).is_err());
        assert!(Outside::read(None).unwrap().idps.is_empty());
    }
}
