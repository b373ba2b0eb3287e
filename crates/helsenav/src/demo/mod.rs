//! `helsenav demo`: makes a nation at first start, runs the hub, lets the actors live the story.

mod actors;
mod citizens;
mod clients;
mod facts;
mod folkeregister;
mod generate;
mod history;
mod keys;
mod links;
mod newcomers;
mod parties;
mod people;
mod seed;
mod stages;

pub(crate) use folkeregister::{FolkeregisterArgs, run as folkeregister};
pub(crate) use generate::{GenerateArgs, run as generate};
pub(crate) use links::trust_ca;
pub(crate) use newcomers::{
    AddOrganisationArgs, AddPersonArgs, organisation as add_organisation, person as add_person,
};

use crate::cli::{DemoArgs, ListenArgs};
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use hub::{Config, DemoSetup, Hub, Movable, Opened, Setup};
use nation::{Nation, Params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use xmlsec::pki::Places;
use xmlsec::x509::{Crl, TrustStore};

/// What the data folder remembers of its nation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// Seed.
    pub seed: u64,
    /// Story day.
    pub anchor: jiff::civil::Date,
    /// Inhabitants.
    pub population: usize,
}

const NATION_FILE: &str = "nation.json";
/// facts.json in the data folder.
pub(crate) const FACTS_FILE: &str = "facts.json";
/// The demo CA in the data folder.
pub(crate) const CA_FILE: &str = "demo-ca.pem";

/// Runs until Ctrl-C.
pub(crate) fn run(args: DemoArgs) -> Result<ExitCode> {
    let began = Instant::now();
    let (config, movable) = configuration(&args)?;
    refuse_open_addresses(&config, args.expose_demo)?;
    if args.fresh {
        remove_data(&args.data, args.yes)?;
    }
    hub::ops::start_logging(&config);
    std::fs::create_dir_all(&args.data)
        .with_context(|| format!("cannot make {}", args.data.display()))?;
    let remembered = remember(&args)?;
    let nation = Arc::new(Nation::generate(&Params {
        seed: remembered.seed,
        anchor: remembered.anchor,
        population: remembered.population,
    })?);
    let opened = Opened::open(config)?;
    let is_first_start = stages::is_wanted(&opened)?;
    let demo_keys = load_keys(&opened, &nation)?;
    if is_first_start {
        opened.begin_clock_at(dawn(remembered.anchor))?;
        import(&opened, &nation, &demo_keys, remembered.population)?;
    }
    let credentials = clients::Credentials::load(&opened.secrets, &nation)?;
    let citizen_logins = citizens::Logins::load(&opened.secrets)?;
    let fhir_ids = history::patient_ids(&opened, &nation)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(serve(
        args,
        opened,
        nation,
        demo_keys,
        credentials,
        citizen_logins,
        fhir_ids,
        remembered,
        movable,
        is_first_start,
        began,
    ))?;
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    Ok(code)
}

#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one start, used once"
)]
async fn serve(
    args: DemoArgs,
    opened: Opened,
    nation: Arc<Nation>,
    demo_keys: keys::DemoKeys,
    credentials: clients::Credentials,
    citizen_logins: citizens::Logins,
    fhir_ids: facts::FhirIds,
    remembered: Remembered,
    movable: Movable,
    is_first_start: bool,
    began: Instant,
) -> Result<ExitCode> {
    let stop = Stop::listen()?;
    let now_s = jiff::Timestamp::now().as_second();
    let mut message_trust = TrustStore::new(vec![keys::ca(&demo_keys)?]);
    message_trust.add_crl(Crl::from_pem(&demo_keys.crl_pem, &keys::ca(&demo_keys)?)?);
    let mut receipt_keys = HashMap::new();
    let mut hub_keys = None;
    for organisation in nation.fixed_organisations() {
        let Some(own) = organisation
            .key
            .and_then(|key| demo_keys.organisations.get(key))
        else {
            continue;
        };
        let own = own.open()?;
        if organisation.key == Some("navet") {
            hub_keys = Some((own.signing.clone(), own.encryption.clone()));
        }
        receipt_keys.insert(organisation.her_id.0, vec![own.encryption]);
    }
    let clock = opened.clock.clone();
    let driver = actors::Driver::new(nation.clone(), remembered.anchor, args.pace);
    let driver = Arc::new(driver.keeping(args.data.join(actors::STORY_FILE)));
    let (tls, authority) = keys::tls(&demo_keys, now_s, places(&opened.config))?;
    let setup = Setup {
        tls: Some(tls),
        authority: Some(authority),
        movable,
        amqp_users: credentials
            .amqp
            .iter()
            .map(|u| (u.username.clone(), u.password.clone(), u.her_id))
            .collect(),
        hub_keys,
        message_trust,
        receipt_keys,
        helseid_clients: credentials.helseid_clients(&nation),
        citizen_clients: citizen_logins.registrations()?,
        operator: Some(credentials.operator()),
        demo: Some(DemoSetup {
            test_token_key: credentials.test_token_key.clone(),
            facts: {
                let (nation, demo_keys, credentials) =
                    (nation.clone(), demo_keys.clone(), credentials.clone());
                let citizen_logins = citizen_logins.clone();
                Box::new(move |addresses| {
                    facts::make(
                        &nation,
                        &demo_keys,
                        (&credentials, &citizen_logins),
                        remembered,
                        addresses,
                        &fhir_ids,
                    )
                })
            },
            story: {
                let driver = driver.clone();
                Box::new(move |_| driver)
            },
        }),
    };
    let hub = Hub::start(opened, setup).await?;
    stop.ready();
    if is_first_start {
        let (registry, nation) = (hub.clients.clone(), nation.clone());
        let register = move || clients::register_examples(&registry, &nation);
        tokio::task::spawn_blocking(register).await??;
    }
    let facts = hub.facts.clone().context("no facts")?;
    write_private(
        &args.data.join(FACTS_FILE),
        serde_json::to_string_pretty(&*facts)?.as_bytes(),
    )?;
    std::fs::write(args.data.join(CA_FILE), &demo_keys.ca_pem)?;
    driver.start(&facts, clock, !args.no_story, is_first_start)?;
    links::print(&args, &hub.addresses, &facts, &nation, began);
    stop.asked().await;
    println!("\nStopping …");
    driver.stop().await;
    hub.stop().await;
    println!("Stopped. The nation waits in {}.", args.data.display());
    Ok(ExitCode::SUCCESS)
}

fn configuration(args: &DemoArgs) -> Result<(Config, Movable)> {
    let mut config = Config::load(args.config.as_deref(), std::env::vars())?;
    config.data.clone_from(&args.data);
    if let Some(schemas) = &args.schemas {
        config.schemas = Some(schemas.clone());
    }
    let movable = listen(&mut config, &args.listen);
    Ok((config, movable))
}

/// Overlays the options. A chosen main address moves all others to free ports; a chosen address never moves.
pub(crate) fn listen(config: &mut Config, args: &ListenArgs) -> Movable {
    let free = |wanted: SocketAddr| SocketAddr::new(wanted.ip(), 0);
    let all_free = args.listen.is_some();
    let set = |place: &mut SocketAddr, chosen: Option<SocketAddr>| match chosen {
        Some(address) => {
            *place = address;
            false
        }
        None => {
            if all_free {
                *place = free(*place);
            }
            true
        }
    };
    Movable {
        main: set(&mut config.listen, args.listen),
        tls: set(&mut config.listen_tls, args.listen_tls),
        helseid_tls: set(&mut config.listen_helseid_tls, args.listen_helseid_tls),
        helseid: set(&mut config.listen_helseid, args.listen_helseid),
        citizen_mtls: set(&mut config.listen_citizen_mtls, args.listen_citizen_mtls),
        amqp: set(&mut config.listen_amqp, args.listen_amqp),
        amqp_tls: set(&mut config.listen_amqp_tls, args.listen_amqp_tls),
        smtp: set(&mut config.listen_smtp, args.listen_smtp),
        pop3: set(&mut config.listen_pop3, args.listen_pop3),
        smtp_tls: set(&mut config.listen_smtp_tls, args.listen_smtp_tls),
        pop3_tls: set(&mut config.listen_pop3_tls, args.listen_pop3_tls),
    }
}

fn refuse_open_addresses(config: &Config, expose: bool) -> Result<()> {
    let all = [
        config.listen,
        config.listen_tls,
        config.listen_helseid_tls,
        config.listen_helseid,
        config.listen_citizen_mtls,
        config.listen_amqp,
        config.listen_amqp_tls,
        config.listen_smtp,
        config.listen_pop3,
        config.listen_smtp_tls,
        config.listen_pop3_tls,
    ];
    match all.into_iter().find(|a| !a.ip().is_loopback()) {
        Some(open) if !expose => bail!(
            "{open} can be reached from other machines, and everything in the demo has known passwords and private keys. \
             If you mean it, say --expose-demo"
        ),
        _ => Ok(()),
    }
}

fn remove_data(folder: &Path, yes: bool) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join(NATION_FILE).exists() && std::fs::read_dir(folder)?.next().is_some() {
        bail!(
            "{} holds no demo nation; it is not removed",
            folder.display()
        );
    }
    if !yes {
        if !std::io::stdin().is_terminal() {
            bail!(
                "--fresh removes {}; say --yes where nobody can be asked",
                folder.display()
            );
        }
        print!(
            "Remove everything in {} and begin anew? [y/N] ",
            folder.display()
        );
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "j" | "J" | "yes" | "ja") {
            bail!("nothing was removed");
        }
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn remember(args: &DemoArgs) -> Result<Remembered> {
    let file = args.data.join(NATION_FILE);
    if let Ok(bytes) = std::fs::read(&file) {
        let kept: Remembered = serde_json::from_slice(&bytes).context("nation.json is damaged")?;
        if args.anchor.is_some_and(|a| a != kept.anchor) {
            bail!(
                "this data folder's story day is {}; choose another --data or --fresh",
                kept.anchor
            );
        }
        return Ok(kept);
    }
    let today = trust::gather::oslo_date(edge_now());
    let made = Remembered {
        seed: args.seed,
        anchor: args.anchor.unwrap_or(today),
        population: args.population,
    };
    std::fs::write(&file, serde_json::to_vec_pretty(&made)?)?;
    Ok(made)
}

/// The story's day is played from six in the morning, whenever the demo is first started.
fn dawn(anchor: jiff::civil::Date) -> i64 {
    let morning = anchor.at(6, 0, 0, 0).to_zoned(trust::gather::oslo());
    morning.map_or_else(|_| edge_now(), |at| at.timestamp().as_microsecond())
}

fn edge_now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn load_keys(opened: &Opened, nation: &Nation) -> Result<keys::DemoKeys> {
    const NAME: &str = "demo-keys";
    let bytes = match opened.secrets.get(NAME)? {
        Some(bytes) => bytes,
        None => {
            println!(
                "Making certificates for {} organisations …",
                nation.fixed_organisations().len()
            );
            let now_s = jiff::Timestamp::now().as_second();
            let made = keys::make(nation, now_s, places(&opened.config))?;
            let made = serde_json::to_vec(&made)?;
            opened.secrets.get_or_make(NAME, || made)?
        }
    };
    serde_json::from_slice(&bytes).context("the stored demo keys are damaged")
}

/// Where clients will ask about certificates. A port that is chosen later is not known yet: such certificates name no place.
fn places(config: &hub::Config) -> Places {
    match &config.public_base {
        Some(base) => hub::pki::places(base),
        None if config.listen.port() != 0 => hub::pki::places(&format!("http://{}", config.listen)),
        None => Places::default(),
    }
}

fn import(
    opened: &Opened,
    nation: &Nation,
    demo_keys: &keys::DemoKeys,
    population: usize,
) -> Result<()> {
    let certificates: HashMap<String, seed::Certificates> = demo_keys
        .organisations
        .iter()
        .map(|(key, own)| {
            let own = own.open()?;
            let der = |identity: &xmlsec::key::Identity| identity.certificate().der().to_vec();
            Ok((
                key.clone(),
                seed::Certificates {
                    encryption: der(&own.encryption),
                    signing: der(&own.signing),
                },
            ))
        })
        .collect::<Result<_>>()?;
    let lookup = |key: &str| certificates.get(key).cloned();
    use stages::{Part, part};
    part(opened, Part::Begun, || Ok(()))?;
    part(opened, Part::Organisations, || {
        people::organisations(opened, nation, &lookup)
    })?;
    part(opened, Part::Persons, || {
        people::persons(opened, nation, population)
    })?;
    part(opened, Part::Units, || {
        parties::give_units(opened, nation).context("cannot import units of hospitals")
    })?;
    part(opened, Part::Profiles, || {
        parties::give_profiles(opened, nation).context("cannot import profiles of parties")
    })?;
    part(opened, Part::Powers, || {
        citizens::give_powers(opened, nation).context("cannot import powers of attorney")
    })?;
    part(opened, Part::History, || {
        history::import(opened, nation).context("cannot import the nation's history")
    })
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    Ok(())
}
