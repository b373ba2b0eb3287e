//! Configuration: a TOML file, then `HELSENAV_…` variables, then command-line options. Unknown keys are errors that name
//! the nearest known key (DESIGN §4).

use edge::proxy::{ForwardedBy, TrustedProxies};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Folder of imported schemas inside the data folder.
pub const SCHEMAS_FOLDER: &str = "schemas";

/// Everything an operator may set. Every key has a default; `helsenav config show` prints the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded store, key file and remembered ports.
    pub data: PathBuf,
    /// Main listener, plain HTTP.
    pub listen: SocketAddr,
    /// Main listener over TLS.
    pub listen_tls: SocketAddr,
    /// HelseID over TLS: its address is the issuer.
    pub listen_helseid_tls: SocketAddr,
    /// HelseID over plain HTTP, for browsers without the demo CA.
    pub listen_helseid: SocketAddr,
    /// The citizens' issuer over TLS for applications that show a certificate.
    pub listen_citizen_mtls: SocketAddr,
    /// AMQP, plain.
    pub listen_amqp: SocketAddr,
    /// AMQP over TLS.
    pub listen_amqp_tls: SocketAddr,
    /// Mail in: SMTP, with TLS on request.
    pub listen_smtp: SocketAddr,
    /// Mail out: POP3, with TLS on request.
    pub listen_pop3: SocketAddr,
    /// Mail in over TLS.
    pub listen_smtp_tls: SocketAddr,
    /// Mail out over TLS.
    pub listen_pop3_tls: SocketAddr,
    /// Public base URL, when a proxy stands in front; else made from `listen`.
    pub public_base: Option<String>,
    /// Addresses and networks of the proxies in front, whose word about where a request came from is believed.
    pub trusted_proxies: Vec<String>,
    /// The header they write it into: `x-forwarded-for` or `forwarded` (RFC 7239).
    pub proxy_header: String,
    /// Storage engine.
    pub store: StoreSection,
    /// Services to start; empty = all, and nothing else is accepted until services can be started apart.
    pub roles: Vec<String>,
    /// Second place for settings and purges (DESIGN §3.10).
    pub mirror: Option<PathBuf>,
    /// Folder or file to which signed log heads are also written.
    pub witness: Option<PathBuf>,
    /// Folder with official schemas (`helsenav import standards`).
    pub schemas: Option<PathBuf>,
    /// File with the authorities of other parties' message certificates, and where their revocation lists are.
    pub message_authorities: Option<PathBuf>,
    /// Real messages about real people: what is marked as a test (8213) and synthetic national ids are refused.
    pub production: bool,
    /// Log filter, as `RUST_LOG`.
    pub log: String,
    /// Structured logs.
    pub log_json: bool,
    /// Switches of the privacy decision.
    pub privacy: PrivacySection,
    /// HelseID.
    pub helseid: HelseidSection,
    /// The citizens' issuer.
    pub citizens: CitizensSection,
}

/// Storage engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// Connection string for `postgres`.
    pub url: Option<String>,
    /// Schema for `postgres`.
    pub schema: String,
    /// Connections for reads for `postgres`.
    pub max_connections: usize,
}

/// HelseID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HelseidSection {
    /// Kind of signing key made at first start: `rsa-2048`, `rsa-3072` (both RS256) or `p-256` (ES256).
    pub signing_key: String,
    /// File with the identity providers users log in at (docs/helseid.md §10).
    pub identity_providers: Option<PathBuf>,
    /// File with APIs besides the national ones, or in place of some (docs/helseid.md §14).
    pub apis: Option<PathBuf>,
}

impl HelseidSection {
    /// The kind; `None` when the text names none.
    #[must_use]
    pub fn kind(&self) -> Option<helseid::SigningKeyKind> {
        match self.signing_key.as_str() {
            "rsa-2048" => Some(helseid::SigningKeyKind::Rsa2048),
            "rsa-3072" => Some(helseid::SigningKeyKind::Rsa3072),
            "p-256" => Some(helseid::SigningKeyKind::P256),
            _ => None,
        }
    }
}

/// The citizens' issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CitizensSection {
    /// File with the clients that log citizens in (docs/helseid.md §15).
    pub clients: Option<PathBuf>,
    /// File with the identity providers citizens log in at, in the form of `helseid.identity_providers`.
    pub identity_providers: Option<PathBuf>,
}

/// Switches of the privacy decision (spec/privacy.md §4.3, §9.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacySection {
    /// Days before the citizen sees the name behind a look-up through kjernejournal.
    pub log_name_delay_days: i64,
    /// Tell how many NORS documents an elevated basis would open.
    pub nors_count: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listen_tls: SocketAddr::from(([127, 0, 0, 1], 8443)),
            listen_helseid_tls: SocketAddr::from(([127, 0, 0, 1], 8444)),
            listen_helseid: SocketAddr::from(([127, 0, 0, 1], 8084)),
            listen_citizen_mtls: SocketAddr::from(([127, 0, 0, 1], 8445)),
            listen_amqp: SocketAddr::from(([127, 0, 0, 1], 5672)),
            listen_amqp_tls: SocketAddr::from(([127, 0, 0, 1], 5671)),
            listen_smtp: SocketAddr::from(([127, 0, 0, 1], 2525)),
            listen_pop3: SocketAddr::from(([127, 0, 0, 1], 2110)),
            listen_smtp_tls: SocketAddr::from(([127, 0, 0, 1], 2465)),
            listen_pop3_tls: SocketAddr::from(([127, 0, 0, 1], 2995)),
            public_base: None,
            trusted_proxies: Vec::new(),
            proxy_header: "x-forwarded-for".to_owned(),
            store: StoreSection::default(),
            roles: Vec::new(),
            mirror: None,
            witness: None,
            schemas: None,
            message_authorities: None,
            production: false,
            log: "info".to_owned(),
            log_json: false,
            privacy: PrivacySection::default(),
            helseid: HelseidSection::default(),
            citizens: CitizensSection::default(),
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            engine: "sqlite".to_owned(),
            url: None,
            schema: "helsenav".to_owned(),
            max_connections: 16,
        }
    }
}

impl Default for HelseidSection {
    fn default() -> Self {
        Self {
            signing_key: "rsa-2048".to_owned(),
            identity_providers: None,
            apis: None,
        }
    }
}

impl Default for PrivacySection {
    fn default() -> Self {
        Self {
            log_name_delay_days: 7,
            nors_count: true,
        }
    }
}

/// Why a configuration is refused; says where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A key is not known.
    #[error("{place}: unknown key `{key}`{}", nearest.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
    UnknownKey {
        /// File or environment.
        place: String,
        /// The key.
        key: String,
        /// The nearest known key.
        nearest: Option<String>,
    },
    /// A value does not fit its key.
    #[error("{place}: {why}")]
    Value {
        /// File or environment.
        place: String,
        /// What is wrong.
        why: String,
    },
}

impl Config {
    /// Reads the file (when given) and overlays the environment given as pairs (`HELSENAV_STORE_ENGINE=postgres` sets
    /// `store.engine`).
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            None => toml::Table::new(),
            Some(path) => {
                let why = |e: &dyn std::fmt::Display| ConfigError::File {
                    path: path.to_owned(),
                    why: e.to_string(),
                };
                let text = std::fs::read_to_string(path).map_err(|e| why(&e))?;
                let table: toml::Table = toml::from_str(&text).map_err(|e| why(&e))?;
                check_keys(&path.display().to_string(), &table)?;
                table
            }
        };
        let known = known_keys();
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("HELSENAV_") else {
                continue;
            };
            // Variables of the tools around the hub, not of its configuration.
            if [
                "SHARED",
                "PG_URL",
                "PG_FOLDER",
                "FACTS",
                "FAULT",
                "BIN",
                "CONFIG",
            ]
            .contains(&key)
            {
                continue;
            }
            let lower = key.to_lowercase();
            let place = "environment".to_owned();
            let Some(path) = known.iter().find(|k| k.replace('.', "_") == lower) else {
                return Err(ConfigError::UnknownKey {
                    place,
                    nearest: nearest(&lower, &known),
                    key: name,
                });
            };
            put(&mut table, path, value);
        }
        let place = file.map_or_else(|| "configuration".to_owned(), |f| f.display().to_string());
        let config: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| ConfigError::Value {
                place,
                why: e.message().to_owned(),
            })?;
        config.check()?;
        Ok(config)
    }

    /// Folder with official schemas: as configured, else where imported ones lie or will lie.
    pub fn schemas_folder(&self) -> PathBuf {
        let imported = || self.data.join(SCHEMAS_FOLDER);
        self.schemas.clone().unwrap_or_else(imported)
    }

    /// The proxies in front.
    ///
    /// # Errors
    /// [`ConfigError::Value`], naming what cannot be read.
    pub fn proxies(&self) -> Result<TrustedProxies, ConfigError> {
        let wrong = |why: String| ConfigError::Value {
            place: "configuration".to_owned(),
            why,
        };
        let header = match self.proxy_header.as_str() {
            "x-forwarded-for" => ForwardedBy::XForwardedFor,
            "forwarded" => ForwardedBy::Forwarded,
            _ => {
                return Err(wrong(
                    "proxy_header must be \"x-forwarded-for\" or \"forwarded\"".to_owned(),
                ));
            }
        };
        TrustedProxies::new(&self.trusted_proxies, header)
            .map_err(|error| wrong(format!("trusted_proxies: {error}")))
    }

    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |why: &str| {
            Err(ConfigError::Value {
                place: "configuration".to_owned(),
                why: why.to_owned(),
            })
        };
        if !self.roles.is_empty() {
            return wrong(
                "roles must be empty: in this version every process starts all services, so a choice would not be kept",
            );
        }
        self.proxies()?;
        if self.helseid.kind().is_none() {
            return wrong("helseid.signing_key must be \"rsa-2048\", \"rsa-3072\" or \"p-256\"");
        }
        match (self.store.engine.as_str(), &self.store.url) {
            ("sqlite", _) | ("postgres", Some(_)) => Ok(()),
            ("postgres", None) => {
                wrong("store.engine = \"postgres\" needs store.url (a libpq connection string)")
            }
            (other, _) => wrong(&format!(
                "store.engine must be \"sqlite\" or \"postgres\", not \"{other}\""
            )),
        }
    }
}

fn put(table: &mut toml::Table, path: &str, text: String) {
    let value = match text.as_str() {
        "true" => toml::Value::Boolean(true),
        "false" => toml::Value::Boolean(false),
        _ if ["roles", "trusted_proxies"].contains(&path) => toml::Value::Array(
            text.split(',')
                .map(|r| toml::Value::String(r.trim().to_owned()))
                .collect(),
        ),
        _ => text
            .parse()
            .map_or_else(|_| toml::Value::String(text.clone()), toml::Value::Integer),
    };
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, key)) => {
            let section = table
                .entry(section)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(key.to_owned(), value);
            }
        }
    }
}

fn check_keys(place: &str, table: &toml::Table) -> Result<(), ConfigError> {
    let known = known_keys();
    for key in flatten(table) {
        if !known.contains(&key) {
            return Err(ConfigError::UnknownKey {
                place: place.to_owned(),
                nearest: nearest(&key, &known),
                key,
            });
        }
    }
    Ok(())
}

fn flatten(table: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value.as_table() {
            Some(section) => keys.extend(section.keys().map(|inner| format!("{key}.{inner}"))),
            None => keys.push(key.clone()),
        }
    }
    keys
}

/// All keys, sections as `section.key`; options without default are listed by hand.
fn known_keys() -> Vec<String> {
    let mut keys: Vec<String> = toml::Table::try_from(Config::default())
        .map(|t| flatten(&t))
        .unwrap_or_default();
    keys.extend(
        [
            "public_base",
            "mirror",
            "witness",
            "schemas",
            "message_authorities",
            "store.url",
            "helseid.identity_providers",
            "helseid.apis",
            "citizens.clients",
            "citizens.identity_providers",
        ]
        .map(str::to_owned),
    );
    keys.sort();
    keys.dedup();
    keys
}

fn nearest(key: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|k| (distance(&key.replace('.', "_"), &k.replace('.', "_")), k))
        .min()
        .filter(|(d, _)| *d <= key.len() / 2 + 1)
        .map(|(_, k)| k.clone())
}

/// Edit distance, small strings.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(128).collect();
    let mut row: BTreeMap<usize, usize> = (0..=b.len()).map(|i| (i, i)).collect();
    for (i, x) in a.chars().take(128).enumerate() {
        let mut diagonal = i;
        row.insert(0, i + 1);
        for (j, y) in b.iter().enumerate() {
            let (left, up) = (
                row.get(&j).copied().unwrap_or(0),
                row.get(&(j + 1)).copied().unwrap_or(0),
            );
            row.insert(
                j + 1,
                (left + 1).min(up + 1).min(diagonal + usize::from(x != *y)),
            );
            diagonal = up;
        }
    }
    row.get(&b.len()).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(
            Some(file.path()),
            environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn unknown_key_names_the_nearest() {
        let error = load("lisen = \"127.0.0.1:9000\"", &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("unknown key `lisen` (did you mean `listen`?)"),
            "{error}"
        );
        let error = load("[store]\nengin = \"sqlite\"", &[]).unwrap_err();
        assert!(
            error.to_string().contains("did you mean `store.engine`?"),
            "{error}"
        );
        let error = load("", &[("HELSENAV_LISTEN_TSL", "127.0.0.1:1")]).unwrap_err();
        assert!(error.to_string().contains("`listen_tls`"), "{error}");
    }

    #[test]
    fn environment_overlays_the_file() {
        let config = load(
            "listen = \"127.0.0.1:9000\"\n[store]\nschema = \"a\"",
            &[
                ("HELSENAV_LISTEN", "127.0.0.1:9001"),
                ("HELSENAV_PRIVACY_NORS_COUNT", "false"),
                ("HOME", "/"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 9001);
        assert_eq!(config.store.schema, "a");
        assert!(!config.privacy.nors_count);
    }

    #[test]
    fn values_are_checked() {
        assert!(load("[helseid]\nsigning_key = \"p-256\"", &[]).is_ok());
        let citizens = load(
            "[citizens]\nclients = \"c.toml\"\nidentity_providers = \"i.toml\"",
            &[],
        );
        assert!(citizens.unwrap().citizens.clients.is_some());
        assert!(load("[helseid]\nsigning_key = \"hs256\"", &[]).is_err());
        assert!(load("listen = \"here\"", &[]).is_err());
        let proxies = [("HELSENAV_TRUSTED_PROXIES", "10.0.0.0/8, fd00::1")];
        assert_eq!(load("", &proxies).unwrap().trusted_proxies.len(), 2);
        assert!(load("trusted_proxies = [\"proxy.example\"]", &[]).is_err());
        assert!(load("proxy_header = \"x-real-ip\"", &[]).is_err());
        assert!(
            load("[store]\nengine = \"postgres\"", &[])
                .unwrap_err()
                .to_string()
                .contains("store.url")
        );
        assert!(
            load("roles = [\"helseid\"]", &[])
                .unwrap_err()
                .to_string()
                .contains("every process starts all services")
        );
    }
}
