//! The exchange in a process of its own: store, workers with one receiver, the message handler over HTTP and mail, and its sender.

use super::made::{HUB, HUB_ORGNR, Keys, ORGANISATION, ORGNR, RECEIVER, SERVICE, address};
use anyhow::{Context, Result};
use mail::{Limits, Protocol, Server, Shutdown};
use meldinger::counter::{Counter, Counting};
use meldinger::edge::ebxml::{MessageHandler, PostOffice, Sender};
use meldinger::receivers::{HubReceiver, OpenedMessage};
use meldinger::{
    AmqpUser, Exchange, ExchangeConfig, HandleError, HubKeys, Outcome, Parts, Timers, Users,
    Workers,
};
use registers::directory::{Directory, Organisation, Party, PartyKind, Person, Practitioner};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::{Filter, Seq, Store, StoreConfig};
use tokio::net::TcpListener;
use xmlsec::key::Identity;
use xmlsec::x509::TrustStore;

/// Password of the sender's user.
pub const PASSWORD: &str = "bench";
const PORTS: &str = "ports.json";
const HANDLED: &str = "handled";

/// Where the hub's process is, beside HTTP.
pub struct Ports {
    /// Mail in.
    pub smtp: SocketAddr,
    /// Mail out.
    pub pop3: SocketAddr,
    handled: PathBuf,
}

impl Ports {
    /// Reads what the process has written.
    ///
    /// # Errors
    /// When it has not.
    pub fn read(place: &Path) -> Result<Self> {
        let bytes = std::fs::read(place.join(PORTS))?;
        let (smtp, pop3) = serde_json::from_slice(&bytes)?;
        Ok(Self {
            smtp,
            pop3,
            handled: place.join(HANDLED),
        })
    }

    /// How many messages the receiver has handled.
    pub fn handled(&self) -> Option<usize> {
        std::fs::read_to_string(&self.handled).ok()?.parse().ok()
    }
}

struct Parties(HashMap<u32, Party>);

impl Parties {
    fn new(keys: &Keys) -> Self {
        let party = |her_id: u32, above: Option<u32>, keys: &(Identity, Identity)| Party {
            her_id,
            parent_her_id: above,
            kind: if above.is_none() {
                PartyKind::Organisation
            } else {
                PartyKind::Service
            },
            name: format!("Virksomhet {her_id}"),
            service: None,
            orgnr: if above.unwrap_or(her_id) == HUB {
                HUB_ORGNR
            } else {
                ORGNR
            }
            .to_owned(),
            edi_address: address(above.unwrap_or(her_id)),
            encryption_certificate: Some(keys.1.certificate().der().to_vec()),
            signing_certificate: Some(keys.0.certificate().der().to_vec()),
            hub_run: above.unwrap_or(her_id) == HUB,
        };
        let all = [
            party(ORGANISATION, None, &keys.sender),
            party(SERVICE, Some(ORGANISATION), &keys.sender),
            party(HUB, None, &keys.hub),
            party(RECEIVER, Some(HUB), &keys.hub),
        ];
        Self(all.into_iter().map(|party| (party.her_id, party)).collect())
    }
}

impl Directory for Parties {
    fn party(&self, her_id: u32) -> Option<Party> {
        self.0.get(&her_id).cloned()
    }
    fn person(&self, _nin: &str) -> Option<Person> {
        None
    }
    fn practitioner_by_hpr(&self, _hpr: &str) -> Option<Practitioner> {
        None
    }
    fn practitioner_by_nin(&self, _nin: &str) -> Option<Practitioner> {
        None
    }
    fn practitioners_of(&self, _orgnr: &str, _limit: usize) -> Vec<Practitioner> {
        Vec::new()
    }
    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        self.0
            .values()
            .filter(|party| party.orgnr == orgnr)
            .cloned()
            .collect()
    }
    fn top_parties(&self) -> Vec<Party> {
        self.0
            .values()
            .filter(|party| party.parent_her_id.is_none())
            .cloned()
            .collect()
    }
    fn organisation(&self, _orgnr: &str) -> Option<Organisation> {
        None
    }
    fn organisations(&self, _limit: usize) -> Vec<Organisation> {
        Vec::new()
    }
    fn search_persons(&self, _query: &str, _limit: usize) -> Vec<Person> {
        Vec::new()
    }
    fn story_persons(&self) -> Vec<Person> {
        Vec::new()
    }
    fn practitioners(&self, _limit: usize) -> Vec<Practitioner> {
        Vec::new()
    }
}

/// Accepts everything and counts.
struct Receiver(Arc<AtomicUsize>);

impl HubReceiver for Receiver {
    fn her_id(&self) -> u32 {
        RECEIVER
    }
    fn handle(&self, _message: &OpenedMessage) -> Result<Outcome, HandleError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Outcome::accepted(store::Commit::default()))
    }
}

/// Opens the store and listens until killed; says its address on standard output.
///
/// # Errors
/// When the store cannot be opened or an address not be taken.
pub fn serve(place: &Path) -> Result<()> {
    let keys = Keys::load(place)?;
    let config = StoreConfig::sqlite(place.join("store"), meldinger::repositories());
    let (store, mint) = Store::open(config)?;
    let mut trust = TrustStore::new(vec![keys.ca.clone()]);
    let parties = Parties::new(&keys);
    trust.add_crl(keys.crl);
    let exchange = Exchange::new(Parts {
        store,
        grant: mint.grant(Filter::Open, Seq(u64::MAX), 0),
        directory: Arc::new(parties),
        clock: edge::Clock::default(),
        users: Arc::new(Users::new([AmqpUser::new(
            "sender",
            PASSWORD,
            ORGANISATION,
        )])),
        keys: HubKeys {
            signing: keys.hub.0,
            decryption: vec![keys.hub.1],
        },
        trust,
        receipt_keys: HashMap::new(),
        config: ExchangeConfig {
            hub_her_id: HUB,
            ..ExchangeConfig::default()
        },
    })?;
    let handled = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<Arc<dyn HubReceiver>> = vec![Arc::new(Receiver(handled.clone()))];
    let _workers = Workers::start(&exchange, receivers, 2)?;
    let _counting = Counting::start(&Counter::new(&exchange)?)?;
    let _timers = Timers::start(&exchange)?;
    let handler = MessageHandler::new(exchange, "bench.invalid", None);
    let _sender = Sender::start(handler.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(async move {
            let office = Arc::new(PostOffice::new(handler.clone()));
            let server = Server::new(
                office,
                "bench.invalid",
                Limits::default(),
                Shutdown::default(),
            );
            let mut ports = Vec::new();
            for protocol in [Protocol::Smtp, Protocol::Pop3] {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                ports.push(listener.local_addr()?);
                let server = server.clone();
                tokio::spawn(async move { server.serve(listener, protocol).await });
            }
            std::fs::write(place.join(PORTS), serde_json::to_vec(&ports)?)?;
            let tally = place.join(HANDLED);
            std::fs::write(&tally, "0")?;
            tokio::spawn(async move {
                let mut told = 0;
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let now = handled.load(Ordering::Relaxed);
                    // Renamed into place, so that a half-written number is never read.
                    let fresh = tally.with_extension("new");
                    if now != told && std::fs::write(&fresh, now.to_string()).is_ok() {
                        let _ = std::fs::rename(&fresh, &tally);
                        told = now;
                    }
                }
            });
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            println!(
                "{}",
                json!({"origin": format!("http://{}", listener.local_addr()?)})
            );
            let limits = edge::listen::Limits::default();
            let shutdown = edge::listen::Shutdown::default();
            edge::listen::serve(listener, None, handler.router(), limits, shutdown).await;
            Ok::<_, anyhow::Error>(())
        })
        .context("the hub's process ended")
}
