//! Keys and certificates of the demo: a CA, two certificates for each story organisation, the exceptions the story needs.
//! Made at first start, kept as one wrapped secret.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nation::Nation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Mutex;
use xmlsec::key::Identity;
use xmlsec::pki::ocsp::Responder;
use xmlsec::pki::{DemoCa, Names, Places, Purpose, Revoked, RsaKey, Validity, pkcs12};
use xmlsec::x509::{Certificate, Crl};

/// Password of every PKCS #12 file of the demo; it stands in facts.json.
pub(crate) const P12_PASSWORD: &str = "helsenav-demo";
const VALID_BEFORE_DAYS: i64 = 200;
const VALID_AFTER_DAYS: i64 = 900;

/// The keys of one organisation, as PKCS #12.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OrganisationKeys {
    /// Signs.
    pub signing_p12: String,
    /// Opens.
    pub encryption_p12: String,
    /// An expired certificate, where the story has one.
    pub expired_p12: Option<String>,
    /// A revoked certificate, where the story has one.
    pub revoked_p12: Option<String>,
}

/// Everything the demo's public-key infrastructure holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DemoKeys {
    /// Certificate of the CA.
    pub ca_pem: String,
    /// Its key.
    pub ca_key_pem: String,
    /// Revocation list, PEM.
    pub crl_pem: String,
    /// By organisation key (`fjordglott`, …).
    pub organisations: BTreeMap<String, OrganisationKeys>,
}

/// An organisation's identities, opened.
#[derive(Clone)]
pub(crate) struct OpenedKeys {
    /// Signs.
    pub signing: Identity,
    /// Opens.
    pub encryption: Identity,
}

impl OrganisationKeys {
    /// Opens the files.
    pub(crate) fn open(&self) -> Result<OpenedKeys> {
        Ok(OpenedKeys {
            signing: identity(&self.signing_p12)?,
            encryption: identity(&self.encryption_p12)?,
        })
    }
}

fn identity(p12: &str) -> Result<Identity> {
    let (identity, _) = pkcs12::read(&STANDARD.decode(p12)?, P12_PASSWORD)?;
    Ok(identity)
}

/// Makes everything. `now_s`: the real clock at first start; `places`: where the authority will be asked, as far as that is known by now.
pub(crate) fn make(nation: &Nation, now_s: i64, places: Places) -> Result<DemoKeys> {
    let ca = DemoCa::new("Helsenav demo CA", now_s)?.with_places(places);
    let revoked: Mutex<Vec<Revoked>> = Mutex::default();
    let made: Mutex<BTreeMap<String, OrganisationKeys>> = Mutex::default();
    let story: Vec<&nation::model::Organisation> = nation
        .fixed_organisations()
        .iter()
        .filter(|o| o.key.is_some())
        .collect();
    // Key pairs cost a fifth of a second each; two threads halve the first start.
    let failed: Mutex<Option<anyhow::Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for half in story.chunks(story.len().div_ceil(2).max(1)) {
            let (ca, revoked, made, failed) = (&ca, &revoked, &made, &failed);
            scope.spawn(move || {
                for organisation in half {
                    match organisation_keys(ca, organisation, now_s, revoked) {
                        Ok(keys) => {
                            let key = organisation.key.unwrap_or_default().to_owned();
                            if let Ok(mut made) = made.lock() {
                                made.insert(key, keys);
                            }
                        }
                        Err(error) => {
                            if let Ok(mut failed) = failed.lock() {
                                failed.get_or_insert(error);
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().ok().flatten() {
        return Err(error.context("cannot make the demo's certificates"));
    }
    let revoked = revoked.into_inner().unwrap_or_default();
    let crl = ca.crl(
        &revoked,
        1,
        now_s - 3_600,
        now_s + VALID_AFTER_DAYS * 86_400,
    )?;
    Ok(DemoKeys {
        ca_pem: ca.certificate().to_pem(),
        ca_key_pem: ca.key_pem().to_owned(),
        crl_pem: crl.to_pem(),
        organisations: made.into_inner().unwrap_or_default(),
    })
}

fn organisation_keys(
    ca: &DemoCa,
    organisation: &nation::model::Organisation,
    now_s: i64,
    revoked: &Mutex<Vec<Revoked>>,
) -> Result<OrganisationKeys> {
    let orgnr = organisation.orgnr.to_string();
    let names = || Names {
        name: &organisation.name,
        organisation_number: &orgnr,
    };
    let issue = |purpose: Purpose, validity: Validity| -> Result<Identity> {
        Ok(ca.issue_organisation(&RsaKey::generate()?, names(), purpose, validity)?)
    };
    let normal = Validity::days_around(now_s, VALID_BEFORE_DAYS, VALID_AFTER_DAYS);
    // The pharmacy's signing certificate expires soon: a warning in /drift.
    let signing = match organisation.key {
        Some("havna") => Validity::days_around(now_s, VALID_BEFORE_DAYS, 20),
        _ => normal,
    };
    let file = |identity: &Identity, name: &str| -> Result<String> {
        let bytes = pkcs12::write(
            identity,
            std::slice::from_ref(ca.certificate()),
            name,
            P12_PASSWORD,
        )?;
        Ok(STANDARD.encode(bytes))
    };
    let (mut expired_p12, mut revoked_p12) = (None, None);
    if organisation.key == Some("vaar-epj") {
        let expired = issue(Purpose::Signing, Validity::days_around(now_s, 400, -35))?;
        expired_p12 = Some(file(&expired, "expired")?);
        let withdrawn = issue(Purpose::Signing, normal)?;
        revoked_p12 = Some(file(&withdrawn, "revoked")?);
        if let Ok(mut revoked) = revoked.lock() {
            revoked.push(Revoked {
                certificate: withdrawn.certificate().clone(),
                at_unix_s: now_s - 86_400,
            });
        }
    }
    Ok(OrganisationKeys {
        signing_p12: file(&issue(Purpose::Signing, signing)?, "signing")?,
        encryption_p12: file(&issue(Purpose::Encryption, normal)?, "encryption")?,
        expired_p12,
        revoked_p12,
    })
}

/// Chain and key of a listener.
pub(crate) type Tls = (Vec<Vec<u8>>, Vec<u8>);

/// A TLS certificate for the listeners, fresh at every start, and who answers about it and all others of the demo.
pub(crate) fn tls(keys: &DemoKeys, now_s: i64, places: Places) -> Result<(Tls, Responder)> {
    let ca = DemoCa::load(&keys.ca_pem, &keys.ca_key_pem)?.with_places(places);
    let server = ca.issue_server(
        &["localhost", "127.0.0.1"],
        Validity::days_around(now_s, 1, 90),
    )?;
    let chain = xmlsec::pem::decode_all("CERTIFICATE", &server.chain_pem)?;
    let key = xmlsec::pem::decode("PRIVATE KEY", &server.key_pem)?;
    let mut issued = vec![Certificate::from_pem(&server.chain_pem)?];
    for own in keys.organisations.values() {
        let files = [&own.signing_p12, &own.encryption_p12].into_iter();
        for file in files.chain(&own.expired_p12).chain(&own.revoked_p12) {
            issued.push(identity(file)?.certificate().clone());
        }
    }
    let crl = Crl::from_pem(&keys.crl_pem, ca.certificate())?;
    Ok(((chain, key), Responder::new(ca, &issued, crl)))
}

/// The CA's certificate.
pub(crate) fn ca(keys: &DemoKeys) -> Result<Certificate> {
    Certificate::from_pem(&keys.ca_pem).context("the demo CA's certificate is damaged")
}
