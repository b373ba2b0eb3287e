//! Wiring of the address register's edges: SOAP and REST, collaboration protocols, event queues on the bus.

use crate::health_registers::HealthRegisters;
use crate::system_users::BASIC_ROLES;
use anyhow::{Context, Result};
use axum::Router;
use edge::Clock;
use edge::listen::Shutdown;
use edge::soap::{Host, Mount, User, Users};
use grunndata::ar::{self, AddressRegister, NowFn, Places};
use grunndata::cppa::{self, Cppa};
use grunndata::flr::events::ListEvents;
use grunndata::subscriptions::broker::{EventBroker, OwnerOf};
use grunndata::subscriptions::feed::{self, Agreements, EventSource, Profiles};
use grunndata::subscriptions::{self, Subscriptions};
use jose::rs::ResourceServer;
use meldinger::{AmqpUser, Users as BusUsers};
use registers::RegisterTable;
use registers::organisations::resh::Resh;
use std::sync::Arc;
use std::time::Duration;
use trust::Trust;

/// How often the registers' events are looked at.
const FEED_EVERY: Duration = Duration::from_millis(500);

/// What the edges are made of.
pub struct EdgeParts<'a> {
    /// Rights of the hub, and the store.
    pub trust: &'a Arc<Trust>,
    /// Registers.
    pub registers: &'a Arc<RegisterTable>,
    /// The clock of rules.
    pub clock: &'a Clock,
    /// Checks tokens of the CommunicationParty API.
    pub communication_party: ResourceServer,
    /// Checks tokens of the CPPA API.
    pub cppa: ResourceServer,
}

/// The edges.
pub struct AddressEdges {
    /// REST.
    pub router: Router,
    /// SOAP.
    pub mounts: Vec<Mount>,
    /// Subscriptions.
    pub subscriptions: Arc<Subscriptions>,
    /// Collaboration protocols.
    pub cppa: Arc<Cppa>,
    registers: Arc<RegisterTable>,
    /// Units of the specialist health service.
    pub resh: Arc<Resh>,
    /// Personnel, GP lists, positions.
    pub health: Arc<HealthRegisters>,
    list_events: Arc<ListEvents>,
    now: NowFn,
}

/// Opens everything. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn open(parts: EdgeParts<'_>) -> Result<AddressEdges> {
    let (trust, registers) = (parts.trust, parts.registers);
    let store = trust.store().clone();
    let now: NowFn = parts.clock.as_fn();
    let real_s: Arc<dyn Fn() -> i64 + Send + Sync> =
        Arc::new(|| edge::clock::real_now_us() / 1_000_000);
    let resh = Arc::new(Resh::open(store.clone(), trust.hub("resh"))?);
    let register = Arc::new(AddressRegister {
        parties: registers.parties().clone(),
        businesses: registers.businesses().clone(),
        resh: resh.clone(),
        directory: registers.clone(),
        now: now.clone(),
        places: Places::default(),
    });
    let cppa = Arc::new(Cppa::open(
        store.clone(),
        trust.hub("cppa"),
        registers.parties().clone(),
        now.clone(),
    )?);
    let subscriptions = Arc::new(Subscriptions::open(store, trust.hub("subscriptions"))?);
    let mut mounts = ar::service::mounts(&register).context("contracts of the address register")?;
    mounts.push(cppa::soap::mount(&cppa).context("contract of CPPA")?);
    mounts.push(subscriptions::soap::mount(&subscriptions, &now).context("contract of events")?);
    let health = crate::health_registers::open(trust, registers, parts.clock)?;
    mounts.extend(health.mounts);
    let router = ar::rest::router(register, parts.communication_party, real_s.clone())
        .merge(cppa::rest::router(cppa.clone(), parts.cppa, real_s));
    Ok(AddressEdges {
        router,
        mounts,
        subscriptions,
        cppa,
        registers: registers.clone(),
        resh,
        health: health.registers,
        list_events: health.list_events,
        now,
    })
}

impl AddressEdges {
    /// The bus with the queues of events in front.
    pub fn broker<B: amqp::port::Broker>(
        &self,
        inner: B,
        her_id_of: impl Fn(&str) -> Option<u32> + Send + Sync + 'static,
    ) -> EventBroker<B> {
        let registers = self.registers.clone();
        let owner_of: OwnerOf = Arc::new(move |user| {
            let party = registers.parties().get(her_id_of(user)?)?;
            Some(party.content.orgnr.clone())
        });
        EventBroker::new(inner, self.subscriptions.clone(), owner_of)
    }

    /// Starts the feed from the registers to the queues, and keeps agreements up to date; ends at shutdown.
    pub fn start(&self, shutdown: &Shutdown) -> tokio::task::JoinHandle<()> {
        let shutdown = shutdown.clone();
        let (cppa, subscriptions) = (self.cppa.clone(), self.subscriptions.clone());
        let now = self.now.clone();
        let (resh, health) = (self.resh.clone(), self.health.clone());
        let sources: Arc<Vec<Arc<dyn EventSource>>> = Arc::new(vec![
            self.registers.parties().clone(),
            self.resh.clone(),
            self.health.personnel.clone(),
            self.list_events.clone(),
            self.health.positions.clone(),
            Arc::new(Profiles(cppa.clone())),
            Arc::new(Agreements(cppa.clone())),
        ]);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(FEED_EVERY) => {}
                    () = shutdown.wait() => break,
                }
                let (cppa, subscriptions) = (cppa.clone(), subscriptions.clone());
                let (sources, now, resh) = (sources.clone(), now.clone(), resh.clone());
                let health = health.clone();
                let work = move || -> Result<()> {
                    resh.follow()?;
                    health.follow()?;
                    cppa.follow()?;
                    cppa.keep()?;
                    feed::feed_all(&subscriptions, &sources, now())?;
                    Ok(())
                };
                match tokio::task::spawn_blocking(work).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "events of registers were not fed"),
                    Err(error) => tracing::error!(%error, "the feed of events died"),
                }
            }
        })
    }
}

/// Lets the system users of SOAP onto the bus under the same name: stock clients of events have one user for both.
pub fn also_on_the_bus(registers: &RegisterTable, bus: &[(String, String, u32)], users: &BusUsers) {
    for (_, password, her_id) in bus {
        if let Some(name) = organisations_own_name(registers, *her_id) {
            users.insert(AmqpUser::new(&name, password, *her_id));
        }
    }
}

/// The name `OrgUsr<orgnr>` for the HER-id that is the organisation's own; none for its units, which have queues too.
pub fn organisations_own_name(registers: &RegisterTable, her_id: u32) -> Option<String> {
    let orgnr = registers.parties().get(her_id)?.content.orgnr.clone();
    let business = registers.businesses().get(&orgnr)?;
    (business.content.her_id == Some(her_id)).then(|| format!("OrgUsr{orgnr}"))
}

/// All SOAP services at their paths. `bases` are the addresses under which the hub is reached.
pub fn soap(users: Arc<Users>, bases: Vec<String>, mounts: Vec<Mount>) -> Router {
    let mut host = Host::new(users, bases);
    for mount in mounts {
        host.mount(mount);
    }
    host.router()
}

/// Role of the hub's own user.
const OWNER: &str = "Administrator";

/// System users of SOAP: who has queues on the bus has a user `OrgUsr<orgnr>` with the same password.
pub fn users_of_the_bus(
    registers: &RegisterTable,
    bus: &[(String, String, u32)],
) -> Vec<(User, String)> {
    let users = bus.iter().filter_map(|(_, password, her_id)| {
        let party = registers.parties().get(*her_id)?;
        let mut roles: Vec<String> = BASIC_ROLES.iter().map(|r| (*r).to_owned()).collect();
        if party.content.hub_run {
            roles.push(OWNER.to_owned());
        }
        let user = User {
            name: format!("OrgUsr{}", party.content.orgnr),
            roles,
        };
        Some((user, edge::soap::users::hash_random(password)))
    });
    users.collect()
}
