//! The exchange in a process of its own: store, exchange, counter, timers and the bus, with a nation of as many
//! organisations as the measurement needs. The whole hub is measured with `--facts` of a running demo instead.

use anyhow::Result;
use meldinger::counter::{Counter, Counting};
use meldinger::{
    AmqpUser, Exchange, ExchangeBroker, ExchangeConfig, HubKeys, Parts, Timers, Users,
};
use registers::directory::{Directory, Organisation, Party, PartyKind, Person, Practitioner};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use store::{Filter, Seq, Store, StoreConfig};
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity};
use xmlsec::x509::TrustStore;

/// Password of every user.
pub const PASSWORD: &str = "bench";
/// HER-id of the first organisation; its service is one more, the next organisation ten.
pub const FIRST: u32 = 9_000_000;

/// Name of the user of organisation number n.
pub fn user(n: usize) -> String {
    format!("org-{n}")
}

/// HER-id of organisation number n.
pub fn her_id(n: usize) -> u32 {
    FIRST + 10 * u32::try_from(n).unwrap_or(0)
}

struct Parties(HashMap<u32, Party>);

impl Parties {
    fn new(count: usize) -> Self {
        let party = |her_id: u32, parent_her_id, kind| Party {
            her_id,
            parent_her_id,
            kind,
            name: format!("Virksomhet {her_id}"),
            service: None,
            orgnr: "315900239".to_owned(),
            edi_address: format!("edi@her{her_id}.example"),
            encryption_certificate: None,
            signing_certificate: None,
            hub_run: false,
        };
        let all = (0..count).flat_map(|n| {
            let above = her_id(n);
            [
                (above, party(above, None, PartyKind::Organisation)),
                (above + 1, party(above + 1, Some(above), PartyKind::Service)),
            ]
        });
        Self(all.collect())
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
    fn parties_of(&self, _orgnr: &str) -> Vec<Party> {
        Vec::new()
    }
    fn top_parties(&self) -> Vec<Party> {
        Vec::new()
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

/// Opens the store and listens until killed; says its address on standard output.
///
/// # Errors
/// When the store cannot be opened or the address not be taken.
pub fn serve(store: &Path, postgres: Option<(&str, &str)>, organisations: usize) -> Result<()> {
    let config = match postgres {
        Some((url, schema)) => {
            StoreConfig::postgres(url, schema.to_owned(), meldinger::repositories())
        }
        None => StoreConfig::sqlite(store, meldinger::repositories()),
    };
    let (store, mint) = Store::open(config)?;
    let now_s = jiff::Timestamp::now().as_second();
    let ca = DemoCa::new("Bench authority", now_s)?;
    let identity = |purpose| {
        let names = Names {
            name: "Helsenav drift",
            organisation_number: "315900182",
        };
        ca.issue_organisation(
            &RsaKey::generate()?,
            names,
            purpose,
            Validity::days_around(now_s, 1, 900),
        )
    };
    let users = (0..organisations).map(|n| AmqpUser::new(&user(n), PASSWORD, her_id(n)));
    let exchange = Exchange::new(Parts {
        store,
        grant: mint.grant(Filter::Open, Seq(u64::MAX), 0),
        directory: Arc::new(Parties::new(organisations)),
        clock: edge::Clock::default(),
        users: Arc::new(Users::new(users)),
        keys: HubKeys {
            signing: identity(Purpose::Signing)?,
            decryption: vec![identity(Purpose::Encryption)?],
        },
        trust: TrustStore::new(vec![ca.certificate().clone()]),
        receipt_keys: HashMap::new(),
        config: ExchangeConfig::default(),
    })?;
    let _counting = Counting::start(&Counter::new(&exchange)?)?;
    let _timers = Timers::start(&exchange)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let broker = Arc::new(ExchangeBroker::new(exchange));
        let server = amqp::Server::new(
            broker,
            "bench",
            amqp::Limits::default(),
            amqp::Shutdown::new(),
        );
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!(
            "{}",
            json!({"origin": format!("http://{}", listener.local_addr()?)})
        );
        server.serve(listener).await?;
        Ok(())
    })
}
