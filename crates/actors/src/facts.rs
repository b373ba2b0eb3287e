//! facts.json as an actor reads it (DESIGN §4.1). Unknown members are passed over: more may be added.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use xmlsec::key::Identity;
use xmlsec::pki::pkcs12;
use xmlsec::x509::{Certificate, Crl, TrustStore};

/// Why facts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Not the JSON expected.
    #[error("facts.json is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// Something an actor needs is not there.
    #[error("facts.json has no {0}")]
    Missing(String),
    /// A key or certificate that cannot be read.
    #[error("facts.json: {what}: {why}")]
    Unreadable {
        /// Which.
        what: String,
        /// Why.
        why: String,
    },
}

/// Everything that a client of the demo is told.
#[derive(Clone, Debug, Deserialize)]
pub struct Facts {
    /// Origin of the main listener.
    pub base: String,
    /// Story day D.
    pub anchor: jiff::civil::Date,
    /// Seed of the nation.
    #[serde(default = "one")]
    pub seed: u64,
    /// Certificate of the demo CA.
    pub ca_pem: String,
    /// Its revocation list.
    #[serde(default)]
    pub crl_pem: Option<String>,
    /// HelseID.
    pub helseid: HelseId,
    /// Addresses of the FHIR repositories.
    #[serde(default)]
    pub fhir: BTreeMap<String, String>,
    /// The message bus.
    pub amqp: Amqp,
    /// Mail servers for ebXML.
    #[serde(default)]
    pub mail: Option<Mail>,
    /// The operator's login.
    #[serde(default)]
    pub operator_login: Option<OperatorLogin>,
    /// Organisations.
    pub organisations: Vec<Organisation>,
    /// Health personnel.
    pub personnel: Vec<Personnel>,
    /// The story's people.
    pub persons: Vec<Person>,
}

fn one() -> u64 {
    1
}

/// HelseID.
#[derive(Clone, Debug, Deserialize)]
pub struct HelseId {
    /// Issuer.
    pub issuer: String,
    /// The same service without TLS, for browsers that do not know the demo CA.
    pub browser_http: String,
    /// Clients with their keys.
    pub clients: Vec<Client>,
}

/// A HelseID client.
#[derive(Clone, Deserialize)]
pub struct Client {
    /// Client id.
    pub client_id: String,
    /// `machine`, `user` or `api`.
    #[serde(rename = "use")]
    pub kind: String,
    /// Main unit.
    pub orgnr_parent: String,
    /// Sub unit it works for.
    #[serde(default)]
    pub orgnr_child: Option<String>,
    /// Where it may be called back.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Private key.
    pub private_jwk: Map<String, Value>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.client_id)
    }
}

/// The message bus.
#[derive(Clone, Debug, Deserialize)]
pub struct Amqp {
    /// Host.
    pub host: String,
    /// Port without TLS.
    pub port: u16,
    /// Logins.
    pub users: Vec<AmqpUser>,
}

/// A bus login.
#[derive(Clone, Deserialize)]
pub struct AmqpUser {
    /// Level-1 HER-id.
    pub her_id: u32,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for AmqpUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AmqpUser({})", self.her_id)
    }
}

/// Mail servers.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// Mail in.
    pub smtp: SocketAddr,
    /// Mail out.
    pub pop3: SocketAddr,
    /// Mailboxes.
    pub users: Vec<MailUser>,
}

/// A mailbox.
#[derive(Clone, Deserialize)]
pub struct MailUser {
    /// Level-1 HER-id.
    pub her_id: u32,
    /// EDI address.
    pub address: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for MailUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MailUser({})", self.her_id)
    }
}

/// The operator's login.
#[derive(Clone, Deserialize)]
pub struct OperatorLogin {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for OperatorLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorLogin")
    }
}

/// An organisation: level 1 of the address register.
#[derive(Clone, Deserialize)]
pub struct Organisation {
    /// Name.
    pub name: String,
    /// Main unit.
    pub orgnr: String,
    /// HER-id.
    pub her_id: u32,
    /// Kind in words.
    pub kind: String,
    /// Parties below it.
    #[serde(default)]
    pub parties: Vec<Party>,
    /// Others encrypt for this one.
    #[serde(default)]
    pub encryption_cert_pem: Option<String>,
    /// Keys; absent for the hub.
    #[serde(default)]
    signing_p12_base64: Option<String>,
    #[serde(default)]
    encryption_p12_base64: Option<String>,
    #[serde(default)]
    p12_password: Option<String>,
    #[serde(default)]
    spare_p12: Option<Spare>,
}

impl std::fmt::Debug for Organisation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Organisation({} {})", self.her_id, self.name)
    }
}

#[derive(Clone, Deserialize)]
struct Spare {
    expired: Option<String>,
    revoked: Option<String>,
}

/// A communication party.
#[derive(Clone, Debug, Deserialize)]
pub struct Party {
    /// HER-id.
    pub her_id: u32,
    /// Name.
    pub name: String,
    /// `service` or `person`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Queue where it receives.
    pub queue: String,
}

/// A health worker.
#[derive(Clone, Debug, Deserialize)]
pub struct Personnel {
    /// Key in the story.
    #[serde(default)]
    pub key: Option<String>,
    /// Name.
    pub name: String,
    /// National id.
    pub pid: String,
    /// HPR number.
    #[serde(default)]
    pub hpr_number: Option<String>,
    /// Category (9060).
    #[serde(default)]
    pub role: Option<String>,
    /// Main unit of the workplace.
    #[serde(default)]
    pub orgnr: Option<String>,
}

/// A person of the story.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// Short id.
    pub story: String,
    /// Name.
    pub name: String,
    /// National id.
    pub pid: String,
    /// Birth date.
    pub born: jiff::civil::Date,
    /// Ids in the repositories.
    #[serde(default)]
    pub fhir_id: BTreeMap<String, String>,
}

/// Keys of an organisation.
#[derive(Clone)]
pub struct Keys {
    /// Signs.
    pub signing: Identity,
    /// Decrypts.
    pub encryption: Identity,
    /// Signs with a certificate that is no longer valid.
    pub expired: Option<Identity>,
    /// Signs with a certificate that was withdrawn.
    pub revoked: Option<Identity>,
}

impl Facts {
    /// Reads facts.json.
    ///
    /// # Errors
    /// [`FactsError::Json`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, FactsError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The same from a value that is at hand already.
    ///
    /// # Errors
    /// [`FactsError::Json`].
    pub fn from_value(value: &Value) -> Result<Self, FactsError> {
        Ok(Self::deserialize(value)?)
    }

    /// The organisation that has this HER-id or a party with it.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn organisation_of(&self, her_id: u32) -> Result<&Organisation, FactsError> {
        self.organisations
            .iter()
            .find(|o| o.her_id == her_id || o.parties.iter().any(|p| p.her_id == her_id))
            .ok_or_else(|| FactsError::Missing(format!("organisation of HER-id {her_id}")))
    }

    /// Name of a party.
    #[must_use]
    pub fn party_name(&self, her_id: u32) -> Option<&str> {
        let organisation = self.organisation_of(her_id).ok()?;
        let party = organisation.parties.iter().find(|p| p.her_id == her_id);
        Some(party.map_or(&*organisation.name, |p| &*p.name))
    }

    /// A person of the story.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn person(&self, story: &str) -> Result<&Person, FactsError> {
        let found = self.persons.iter().find(|p| p.story == story);
        found.ok_or_else(|| FactsError::Missing(format!("person {story}")))
    }

    /// A health worker by the story's key.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn personnel(&self, key: &str) -> Result<&Personnel, FactsError> {
        let found = self
            .personnel
            .iter()
            .find(|p| p.key.as_deref() == Some(key));
        found.ok_or_else(|| FactsError::Missing(format!("personnel {key}")))
    }

    /// The user client of an organisation.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn user_client(&self, orgnr: &str) -> Result<&Client, FactsError> {
        let found = self
            .helseid
            .clients
            .iter()
            .find(|c| c.kind == "user" && c.orgnr_parent == orgnr);
        found.ok_or_else(|| FactsError::Missing(format!("user client of {orgnr}")))
    }

    /// Where the bus listens.
    ///
    /// # Errors
    /// [`FactsError::Unreadable`] when the host is no address.
    pub fn bus(&self) -> Result<SocketAddr, FactsError> {
        let unreadable = |why: std::net::AddrParseError| FactsError::Unreadable {
            what: "amqp.host".to_owned(),
            why: why.to_string(),
        };
        Ok(SocketAddr::new(
            self.amqp.host.parse().map_err(unreadable)?,
            self.amqp.port,
        ))
    }

    /// The bus login of an organisation.
    ///
    /// # Errors
    /// [`FactsError::Missing`].
    pub fn bus_user(&self, her_id: u32) -> Result<&AmqpUser, FactsError> {
        let found = self.amqp.users.iter().find(|u| u.her_id == her_id);
        found.ok_or_else(|| FactsError::Missing(format!("bus user of {her_id}")))
    }

    /// Trust in the demo CA, with its revocation list.
    ///
    /// # Errors
    /// [`FactsError::Unreadable`].
    pub fn trust(&self) -> Result<TrustStore, FactsError> {
        let unreadable = |what: &str, why: xmlsec::x509::CertificateError| FactsError::Unreadable {
            what: what.to_owned(),
            why: why.to_string(),
        };
        let ca = Certificate::from_pem(&self.ca_pem).map_err(|e| unreadable("ca_pem", e))?;
        let crl = self.crl_pem.as_deref();
        let crl = crl
            .map(|pem| Crl::from_pem(pem, &ca).map_err(|e| unreadable("crl_pem", e)))
            .transpose()?;
        let mut trust = TrustStore::new(vec![ca]);
        if let Some(crl) = crl {
            trust.add_crl(crl);
        }
        Ok(trust)
    }
}

impl Organisation {
    /// Whether it has keys of its own to live with.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.signing_p12_base64.is_some() && self.encryption_p12_base64.is_some()
    }

    /// Its keys. Slow (key derivation of PKCS #12): once per start.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn keys(&self) -> Result<Keys, FactsError> {
        let read = |what: &str, text: &str| -> Result<Identity, FactsError> {
            let unreadable = |why: String| FactsError::Unreadable {
                what: format!("{what} of {}", self.her_id),
                why,
            };
            let bytes = STANDARD
                .decode(text)
                .map_err(|e| unreadable(e.to_string()))?;
            let password = self.p12_password.as_deref().unwrap_or_default();
            let (identity, _) =
                pkcs12::read(&bytes, password).map_err(|e| unreadable(e.to_string()))?;
            Ok(identity)
        };
        let need = |what: &str, text: &Option<String>| match text {
            Some(text) => read(what, text),
            None => Err(FactsError::Missing(format!("{what} of {}", self.her_id))),
        };
        let spare = |what: &str, text: Option<&String>| text.map(|t| read(what, t)).transpose();
        let spares = self.spare_p12.as_ref();
        Ok(Keys {
            signing: need("signing_p12_base64", &self.signing_p12_base64)?,
            encryption: need("encryption_p12_base64", &self.encryption_p12_base64)?,
            expired: spare("spare_p12.expired", spares.and_then(|s| s.expired.as_ref()))?,
            revoked: spare("spare_p12.revoked", spares.and_then(|s| s.revoked.as_ref()))?,
        })
    }

    /// The certificate others encrypt for.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn encryption_certificate(&self) -> Result<Certificate, FactsError> {
        let missing = || FactsError::Missing(format!("encryption certificate of {}", self.her_id));
        let pem = self.encryption_cert_pem.as_deref().ok_or_else(missing)?;
        Certificate::from_pem(pem).map_err(|why| FactsError::Unreadable {
            what: format!("encryption certificate of {}", self.her_id),
            why: why.to_string(),
        })
    }
}
