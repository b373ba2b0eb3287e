//! `helsenav serve`: the hub by its configuration, without demo keys, test logins, sandbox or story.

use crate::cli::ServeArgs;
use crate::stop::Stop;
use anyhow::{Context, Result};
use hub::{Config, Hub, Opened, Setup};
use std::collections::HashMap;
use std::process::ExitCode;
use xmlsec::key::Identity;
use xmlsec::pki::ocsp::Responder;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity, pkcs12};
use xmlsec::x509::{Certificate, TrustStore};

const OWN_KEYS: &str = "own-keys";
const VALID_DAYS: i64 = 730;

/// Runs until Ctrl-C.
pub(crate) fn serve(args: ServeArgs) -> Result<ExitCode> {
    let mut config = Config::load(args.config.as_deref(), std::env::vars())?;
    if let Some(data) = args.data {
        config.data = data;
    }
    if !args.roles.is_empty() {
        config.roles = args.roles;
        config.check()?;
    }
    let movable = crate::demo::listen(&mut config, &args.listen);
    hub::ops::start_logging(&config);
    let opened = Opened::open(config)?;
    let own = own_keys(&opened)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(async move {
        let stop = Stop::listen()?;
        let setup = Setup {
            tls: Some(own.tls),
            movable,
            amqp_users: Vec::new(),
            hub_keys: Some((own.signing, own.encryption)),
            message_trust: own.trust,
            authority: Some(own.authority),
            receipt_keys: HashMap::new(),
            helseid_clients: Vec::new(),
            citizen_clients: Vec::new(),
            operator: None,
            demo: None,
        };
        let hub = Hub::start(opened, setup).await?;
        stop.ready();
        println!(
            "Helsenav is ready at {} (HelseID {})",
            hub.addresses.base, hub.addresses.issuer
        );
        stop.asked().await;
        hub.stop().await;
        Ok::<_, anyhow::Error>(ExitCode::SUCCESS)
    })?;
    Ok(code)
}

struct OwnKeys {
    signing: Identity,
    encryption: Identity,
    trust: TrustStore,
    authority: Responder,
    tls: (Vec<Vec<u8>>, Vec<u8>),
}

/// The hub's own authority and keys, made at first start. Demo keys are never used here.
fn own_keys(opened: &Opened) -> Result<OwnKeys> {
    let now_s = jiff::Timestamp::now().as_second();
    let password = "";
    let stored = match opened.secrets.get(OWN_KEYS)? {
        Some(bytes) => bytes,
        None => {
            let ca = DemoCa::new("Helsenav", now_s)?;
            let names = || Names {
                name: "Helsenav",
                organisation_number: "000000000",
            };
            let validity = Validity::days_around(now_s, 1, VALID_DAYS);
            let issue = |purpose| -> Result<Vec<u8>> {
                let identity =
                    ca.issue_organisation(&RsaKey::generate()?, names(), purpose, validity)?;
                Ok(pkcs12::write(
                    &identity,
                    std::slice::from_ref(ca.certificate()),
                    "helsenav",
                    password,
                )?)
            };
            let made = serde_json::to_vec(&(
                ca.certificate().to_pem(),
                ca.key_pem(),
                issue(Purpose::Signing)?,
                issue(Purpose::Encryption)?,
            ))?;
            opened.secrets.get_or_make(OWN_KEYS, || made)?
        }
    };
    let (ca_pem, ca_key, signing, encryption): (String, String, Vec<u8>, Vec<u8>) =
        serde_json::from_slice(&stored).context("the stored keys are damaged")?;
    let ca = DemoCa::load(&ca_pem, &ca_key)?;
    let (signing, _) = pkcs12::read(&signing, password)?;
    let (encryption, _) = pkcs12::read(&encryption, password)?;
    let server = ca.issue_server(
        &["localhost", "127.0.0.1"],
        Validity::days_around(now_s, 1, 90),
    )?;
    let tls = Certificate::from_pem(&server.chain_pem)?;
    let issued = [signing.certificate(), encryption.certificate(), &tls];
    // Nothing of this authority has ever been withdrawn; the number grows from start to start.
    let number = u64::try_from(now_s).unwrap_or_default();
    let list = || ca.crl(&[], number, now_s - 3_600, now_s + VALID_DAYS * 86_400);
    let mut trust = TrustStore::new(vec![ca.certificate().clone()]);
    trust.add_crl(list()?);
    let list = list()?;
    let authority = Responder::new(ca, issued, list);
    Ok(OwnKeys {
        signing,
        encryption,
        trust,
        authority,
        tls: (
            xmlsec::pem::decode_all("CERTIFICATE", &server.chain_pem)?,
            xmlsec::pem::decode("PRIVATE KEY", &server.key_pem)?,
        ),
    })
}
