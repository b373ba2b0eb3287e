//! Wiring: which service gets what, in which order things start and stop.

use crate::authorities::Authorities;
use crate::demo::{Demo, StoryDriver};
use crate::demo_clients::DemoClients;
use crate::helseid_state::{StoreState, Writers};
use crate::jobs::{CountLooks, Jobs, LogSigner};
use crate::login::HelseidLogin;
use crate::opened::{CLOCK_SECRET, Opened};
use crate::operations::HubOperations;
use crate::operators::Operators;
use crate::ops::Ops;
use crate::ports::Ports;
use crate::standards::Standards;
use crate::system_users::{Doors, SystemUsers};
use crate::validator::Validator;
use crate::{
    address_register, bus, citizens, demo, helseid_out, intake, keys, message_handler, ops,
};
use anyhow::{Context, Result, bail};
use axum::Router;
use dokumenter::Dokumenter;
use edge::front::Front;
use edge::listen::{Limits, Shutdown, serve, tls_config, tls_config_asking};
use helseid::Helseid;
use helsenorge::Helsenorge;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::{Alg, system_clock};
use kjernejournal::Kjernejournal;
use meldinger::counter::{Counter, Counting};
use meldinger::{
    AmqpUser, Exchange, ExchangeBroker, ExchangeConfig, HubKeys, Timers, Users, Workers,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use portal::PortalState;
use provesvar::Provesvar;
use records::gate::{AudienceRule, Gate, OpenGate, TrustGate};
use registers::Directory;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use store::Store;
use tokio::net::TcpListener;
use trust::Controller;
use xmlsec::key::Identity;
use xmlsec::pki::ocsp::Responder;
use xmlsec::x509::TrustStore;

/// What the binary brings besides the opened store.
pub struct Setup {
    /// TLS certificate chain (DER) and key (PKCS #8) of the listeners.
    pub tls: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    /// Which listeners the operator left at their default: those may move.
    pub movable: Movable,
    /// Bus users: (user name, password, level-1 HER-id).
    pub amqp_users: Vec<(String, String, u32)>,
    /// The hub's own message keys.
    pub hub_keys: Option<(Identity, Identity)>,
    /// Trusted authorities and revocation lists for messages.
    pub message_trust: TrustStore,
    /// Answers about the certificates of the hub's own authority.
    pub authority: Option<Responder>,
    /// Keys with which the receipts of a party may be read, where it has allowed it.
    pub receipt_keys: HashMap<u32, Vec<Identity>>,
    /// HelseID clients, made once the issuer is known.
    pub helseid_clients: Vec<helseid::Client>,
    /// Clients that log citizens in.
    pub citizen_clients: Vec<helseid::citizen::CitizenClient>,
    /// Operator: user name, name, argon2-free salted hash is made here.
    pub operator: Option<(String, String, String)>,
    /// Demo mode: test identity providers, sandbox, clock and story.
    pub demo: Option<DemoSetup>,
}

/// Makes the story's driver from facts.json.
pub type MakeStory = Box<dyn FnOnce(&Value) -> Arc<dyn StoryDriver> + Send>;

/// What demo mode brings.
pub struct DemoSetup {
    /// Makes the story's driver once the addresses are known.
    pub story: MakeStory,
    /// API key of the test-token service; empty: there is none.
    pub test_token_key: String,
    /// Makes facts.json once the addresses are known.
    pub facts: Box<dyn FnOnce(&Addresses) -> Value + Send>,
}

/// Which listeners may move to a free port.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Movable {
    pub main: bool,
    pub tls: bool,
    pub helseid_tls: bool,
    pub helseid: bool,
    pub citizen_mtls: bool,
    pub amqp: bool,
    pub amqp_tls: bool,
    pub smtp: bool,
    pub pop3: bool,
    pub smtp_tls: bool,
    pub pop3_tls: bool,
}

/// Where everything came to stand.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `http://127.0.0.1:8080`.
    pub base: String,
    /// `https://localhost:8443`.
    pub base_tls: String,
    /// `https://localhost:8444`.
    pub issuer: String,
    /// `http://127.0.0.1:8084`.
    pub helseid_browser: String,
    /// `https://localhost:8445`.
    pub citizen_mtls: String,
    /// AMQP.
    pub amqp: SocketAddr,
    /// AMQP over TLS.
    pub amqp_tls: SocketAddr,
    /// Mail in.
    pub smtp: SocketAddr,
    /// Mail out.
    pub pop3: SocketAddr,
    /// Mail in over TLS.
    pub smtp_tls: SocketAddr,
    /// Mail out over TLS.
    pub pop3_tls: SocketAddr,
}

/// A running hub.
pub struct Hub {
    /// Where it listens.
    pub addresses: Addresses,
    /// facts.json, in demo mode.
    pub facts: Option<Arc<Value>>,
    /// The story, in demo mode.
    pub story: Option<Arc<dyn StoryDriver>>,
    /// Registrations of HelseID clients.
    pub clients: Arc<helseid::registry::Registry>,
    store: Store,
    helseid_state: Arc<StoreState>,
    shutdown: Shutdown,
    amqp_shutdown: amqp::adapter::Shutdown,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    workers: Option<Workers>,
    timers: Option<(Timers, Counting)>,
    mail: Option<message_handler::MailRoad>,
}

/// Client id of the hub's own portals at HelseID.
pub const PORTAL_CLIENT: &str = "helsenav-portal";
/// Scopes the portals ask for.
pub const PORTAL_SCOPES: [&str; 5] = [
    "openid",
    "profile",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/hpr/hpr_number",
];

impl Hub {
    /// Starts everything. Listeners answer when this returns.
    pub async fn start(opened: Opened, setup: Setup) -> Result<Self> {
        let Opened {
            config,
            store,
            trust,
            registers,
            secrets,
            clock,
        } = opened;
        let directory: Arc<dyn Directory> = registers.clone();
        let is_demo = setup.demo.is_some();
        let metrics = PrometheusBuilder::new().install_recorder().ok();

        let mut ports = Ports::open(&config.data);
        let main = ports
            .bind("listen", config.listen, setup.movable.main)
            .await?;
        let main_tls = ports
            .bind("listen_tls", config.listen_tls, setup.movable.tls)
            .await?;
        let helseid_tls = ports
            .bind(
                "listen_helseid_tls",
                config.listen_helseid_tls,
                setup.movable.helseid_tls,
            )
            .await?;
        let helseid_plain = ports
            .bind(
                "listen_helseid",
                config.listen_helseid,
                setup.movable.helseid,
            )
            .await?;
        let citizen_mtls = ports
            .bind(
                "listen_citizen_mtls",
                config.listen_citizen_mtls,
                setup.movable.citizen_mtls,
            )
            .await?;
        let amqp_plain = ports
            .bind("listen_amqp", config.listen_amqp, setup.movable.amqp)
            .await?;
        let amqp_tls = ports
            .bind(
                "listen_amqp_tls",
                config.listen_amqp_tls,
                setup.movable.amqp_tls,
            )
            .await?;
        let mail_listeners =
            message_handler::Listeners::bind(&mut ports, &config, &setup.movable).await?;
        ports.save().context("cannot remember the ports")?;
        let [smtp, pop3, smtp_tls, pop3_tls] = mail_listeners.addresses()?;
        let listeners = vec![
            ("listen", main.local_addr()?),
            ("listen_tls", main_tls.local_addr()?),
            ("listen_helseid", helseid_plain.local_addr()?),
            ("listen_helseid_tls", helseid_tls.local_addr()?),
            ("listen_citizen_mtls", citizen_mtls.local_addr()?),
            ("listen_amqp", amqp_plain.local_addr()?),
            ("listen_amqp_tls", amqp_tls.local_addr()?),
            smtp,
            pop3,
            smtp_tls,
            pop3_tls,
        ];
        let addresses = Addresses {
            base: config
                .public_base
                .clone()
                .unwrap_or(format!("http://{}", main.local_addr()?)),
            base_tls: format!("https://localhost:{}", main_tls.local_addr()?.port()),
            issuer: format!("https://localhost:{}", helseid_tls.local_addr()?.port()),
            helseid_browser: format!("http://{}", helseid_plain.local_addr()?),
            citizen_mtls: format!("https://localhost:{}", citizen_mtls.local_addr()?.port()),
            amqp: amqp_plain.local_addr()?,
            amqp_tls: amqp_tls.local_addr()?,
            smtp: smtp.1,
            pop3: pop3.1,
            smtp_tls: smtp_tls.1,
            pop3_tls: pop3_tls.1,
        };
        let shutdown = Shutdown::default();
        let mut tasks = Vec::new();
        if let Some(metrics) = metrics.clone() {
            tasks.push(tokio::spawn(ops::upkeep(metrics, shutdown.clone())));
        }

        let (log_keys, portal_keys) = {
            let secrets = secrets.clone();
            tokio::task::spawn_blocking(move || -> Result<_> {
                Ok((
                    keys::ring(
                        &secrets,
                        "log-keys",
                        "Helsenav innsynslogg",
                        KeyKind::P256,
                        Alg::Es256,
                    )?,
                    keys::PortalKeys::load(&secrets)?,
                ))
            })
            .await??
        };

        let bus_users = Arc::new(Users::new(
            setup
                .amqp_users
                .iter()
                .map(|(u, p, her)| AmqpUser::new(u, p, *her)),
        ));
        let authorities = Authorities::read(
            config.message_authorities.as_deref(),
            &config.data,
            edge::clock::real_now_us() / 1_000_000,
        )?;
        let exchange = {
            let hub_keys = match setup.hub_keys {
                Some((signing, decryption)) => HubKeys {
                    signing,
                    decryption: vec![decryption],
                },
                None => bail!("the hub needs its own message certificates: see docs/operating.md"),
            };
            let mut message_trust = setup.message_trust;
            authorities.add_to(&mut message_trust);
            Exchange::new(meldinger::Parts {
                store: store.clone(),
                grant: trust.hub("meldinger"),
                directory: directory.clone(),
                clock: clock.clone(),
                users: bus_users.clone(),
                keys: hub_keys,
                trust: message_trust,
                receipt_keys: setup.receipt_keys,
                config: ExchangeConfig {
                    accept_clear_text: false,
                    ..ExchangeConfig::default()
                },
            })?
        };
        let provesvar = Arc::new(Provesvar::new(trust.clone())?);
        let dokumenter = Arc::new(Dokumenter::new(trust.clone())?);
        let helsenorge = Arc::new(Helsenorge::new(trust.clone())?);
        let kjernejournal = Arc::new(Kjernejournal::new(
            trust.clone(),
            vec![provesvar.source(), dokumenter.source()],
        )?);
        let mut receivers = intake::adapters(
            trust.clone(),
            vec![provesvar.receiver(), dokumenter.receiver()],
            config.production,
        );
        let (approvals, reads_by) = crate::approvals::open(&exchange, directory.clone())?;
        receivers.push(approvals.receiver());
        let workers = Workers::start(&exchange, receivers, 2)?;
        let counter = Counter::with_origins(&exchange, crate::parties::origins(registers.clone()))?;
        let timers = (Timers::start(&exchange)?, Counting::start(&counter)?);

        let state = {
            let (store, secrets) = (store.clone(), secrets.clone());
            let writers = match config.store.engine.as_str() {
                "postgres" => Writers::Several,
                _ => Writers::One,
            };
            let open = move || StoreState::open(store, &secrets, system_clock(), writers);
            Arc::new(tokio::task::spawn_blocking(open).await??)
        };
        let mut helseid_config = helseid::Config::new(&addresses.issuer);
        helseid_config.extra_origins = vec![addresses.helseid_browser.clone()];
        helseid_config.test_idp = is_demo;
        if let Some(kind) = config.helseid.kind() {
            helseid_config.signing_key = kind;
        }
        helseid_config.clients = setup.helseid_clients;
        helseid_config
            .clients
            .push(helseid_out::portal_client(&addresses, &portal_keys));
        let test_token_key = setup.demo.as_ref().map(|d| d.test_token_key.as_str());
        let (to_idps, to_clients) =
            helseid_out::configure(&mut helseid_config, &config, test_token_key)?;
        let helseid = {
            let keys = Arc::new(keys::HelseidKeys::new(secrets.clone()));
            let parts = helseid::Parts {
                directory: directory.clone(),
                state: state.clone(),
                replay: state.clone(),
                keys,
                clock: system_clock(),
            };
            tokio::task::spawn_blocking(move || Helseid::new(helseid_config, parts))
                .await??
                .with_transports(to_idps, to_clients)
        };

        let clients = {
            let (store, grant) = (store.clone(), trust.hub("clients"));
            let (directory, helseid) = (directory.clone(), helseid.clone());
            let open = move || crate::registry::open(store, grant, directory, &helseid);
            tokio::task::spawn_blocking(open).await??
        };
        let origins = vec![addresses.base.clone(), addresses.base_tls.clone()];
        let self_service = helseid::self_service::router(
            clients.clone(),
            helseid.resource_server("nhn:selvbetjening", &origins, state.clone()),
        );
        let (fhir, at_once) = {
            let repository_keys: BTreeMap<&str, Vec<u8>> = {
                let secrets = secrets.clone();
                tokio::task::spawn_blocking(move || -> Result<_> {
                    [
                        kjernejournal::REPOSITORY,
                        provesvar::REPOSITORY,
                        dokumenter::REPOSITORY,
                        "sandbox",
                    ]
                    .into_iter()
                    .map(|name| {
                        Ok((
                            name,
                            secrets
                                .get_or_make(&format!("fhir-{name}"), || keys::random_bytes(32))?,
                        ))
                    })
                    .collect()
                })
                .await??
            };
            let server =
                |audience: &str| helseid.resource_server(audience, &origins, state.clone());
            let rule =
                |audience: &str, scopes: &[&str], through_kjernejournal: bool| AudienceRule {
                    server: server(audience),
                    scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
                    through_kjernejournal,
                };
            let kj = |through: bool| rule("nhn:kjernejournal", &["nhn:kjernejournal/api"], through);
            let gate = |controller, service, servers| -> Arc<dyn Gate> {
                Arc::new(TrustGate {
                    trust: trust.clone(),
                    controller,
                    servers,
                    service,
                })
            };
            let pjd: [&str; 5] = [
                "nhn:phr/mhd/read-documentreferences",
                "nhn:phr/mhd/read-document",
                "nhn:phr/mhd/read-documentreferences/kjernejournalforskriften",
                "nhn:phr/mhd/read-document/kjernejournalforskriften",
                "nhn:phr/mhd/*",
            ];
            let mut gates: Vec<(&'static str, Arc<dyn Gate>)> = vec![
                (
                    kjernejournal::REPOSITORY,
                    gate(Controller::KJ, kjernejournal::REPOSITORY, vec![kj(false)]),
                ),
                (
                    provesvar::REPOSITORY,
                    gate(
                        Controller::PPS,
                        provesvar::REPOSITORY,
                        vec![
                            rule("nhn:pps", &["nhn:pps/provesvar-read"], false),
                            kj(true),
                        ],
                    ),
                ),
                (
                    dokumenter::REPOSITORY,
                    gate(
                        Controller::PJD,
                        dokumenter::REPOSITORY,
                        vec![rule("nhn:phr", &pjd, false), kj(true)],
                    ),
                ),
            ];
            if is_demo {
                gates.push(("sandbox", Arc::new(OpenGate::new(trust.hub("sandbox")))));
            }
            let own = gates.iter().map(|(name, _)| *name);
            let names: Vec<&str> = own.chain(["grunndata"]).collect();
            let mut router = records::elsewhere("/fhir", &names);
            let mut at_once = Vec::new();
            for (name, gate) in gates {
                let key = repository_keys.get(name).cloned().unwrap_or_default();
                let subscriptions = crate::fhir::subscriptions(&config, &*gate);
                let (routes, front) = crate::fhir::repository(
                    &store,
                    name,
                    &origins,
                    gate,
                    key,
                    &addresses.issuer,
                    &config.data,
                    subscriptions.clone(),
                )?;
                router = router.merge(routes);
                at_once.push(front);
                if let Some(subscriptions) = subscriptions {
                    tasks.extend(subscriptions.start(&shutdown));
                }
            }
            (router, at_once)
        };

        let person_server = || {
            let audience = grunndata::persons::access::AUDIENCE;
            helseid.resource_server(audience, &origins, state.clone())
        };
        let persons = crate::grunndata::persons(&store, &registers, &clock, person_server())?;
        let address_edges = {
            let server =
                |audience: &str| helseid.resource_server(audience, &origins, state.clone());
            let (communication_party, cppa) = (
                server(grunndata::ar::rest::AUDIENCE),
                server(grunndata::cppa::rest::AUDIENCE),
            );
            let (trust, registers, clock) = (trust.clone(), registers.clone(), clock.clone());
            let open = move || {
                address_register::open(address_register::EdgeParts {
                    trust: &trust,
                    registers: &registers,
                    clock: &clock,
                    communication_party,
                    cppa,
                })
            };
            tokio::task::spawn_blocking(open).await??
        };
        tasks.push(address_edges.start(&shutdown));
        let views = crate::grunndata::views(
            &store,
            &registers,
            (&*address_edges.health, &address_edges.resh),
            &clock,
            person_server(),
            vec![addresses.base_tls.clone(), addresses.base.clone()],
        )?;
        let cppa = address_edges.cppa.clone();
        address_register::also_on_the_bus(&registers, &setup.amqp_users, &bus_users);
        let others = address_register::users_of_the_bus(&registers, &setup.amqp_users);
        let doors = Doors::new(bus_users.clone(), others, registers.clone());
        let soap_users = doors.soap();
        let users = SystemUsers::new(store.clone(), trust.hub("system-users"))?;
        tasks.push(doors.follow(users, shutdown.clone()).await?);
        let bus_user = move |user: &str| bus_users.her_id(user);
        let broker = address_edges.broker(ExchangeBroker::new(exchange.clone()), bus_user);
        let soap = address_register::soap(
            soap_users,
            vec![addresses.base_tls.clone(), addresses.base.clone()],
            address_edges.mounts,
        );
        let citizens = {
            let parts = citizens::CitizenParts {
                trust: trust.clone(),
                directory: directory.clone(),
                secrets: secrets.clone(),
                state: state.clone(),
                replay: state.clone(),
                clients: setup.citizen_clients,
                is_demo,
            };
            let (config, addresses) = (config.clone(), addresses.clone());
            let registry = clients.clone();
            let start = move || -> Result<_> {
                let citizens = citizens::start(&config, &addresses, parts)?;
                registry.serve_citizens(citizens.clone());
                Ok(citizens)
            };
            tokio::task::spawn_blocking(start).await??
        };
        let login = Arc::new(HelseidLogin::new(
            &helseid,
            &addresses,
            &portal_keys,
            registers.clone(),
            state.clone(),
        ));
        let is_ready = Arc::new(AtomicBool::new(false));
        let facts_and_story = setup.demo.map(|demo| {
            let facts = Arc::new((demo.facts)(&addresses));
            let story = (demo.story)(&facts);
            (facts, story)
        });
        let keep_offset = {
            let secrets = secrets.clone();
            Arc::new(move |offset: i64| {
                secrets
                    .put(CLOCK_SECRET, &offset.to_be_bytes())
                    .map_err(|e| e.to_string())
            })
        };
        let run_due = {
            let (exchange, store) = (exchange.clone(), store.clone());
            Arc::new(move || {
                exchange.clock_moved().map_err(|e| e.to_string())?;
                store.maintain().map_err(|e| e.to_string())
            })
        };
        let demo_routes = facts_and_story.as_ref().map(|(facts, story)| Demo {
            clock: clock.clone(),
            keep_offset: keep_offset.clone(),
            run_due: run_due.clone(),
            story: story.clone(),
            facts: facts.clone(),
            trust: trust.clone(),
        });
        let message_handler = message_handler::handler(&exchange, cppa.clone());
        let msh = meldinger::edge::rest::RestParts {
            exchange: exchange.clone(),
            server: helseid.resource_server(
                meldinger::edge::rest::AUDIENCE,
                &origins,
                state.clone(),
            ),
            now_s: Arc::new(|| edge::clock::real_now_us() / 1_000_000),
            roads: meldinger::edge::rest::Roads::new(&exchange, true),
        };
        let validator = Arc::new(Validator::new(
            directory.clone(),
            cppa,
            match &config.schemas {
                Some(folder) => Standards::in_folder(folder.clone()),
                None => Standards::in_store(
                    store.clone(),
                    trust.hub("standards"),
                    config.schemas_folder(),
                )?,
            },
        ));
        let operations = Arc::new(HubOperations::new(crate::operations::OperationsParts {
            exchange: exchange.clone(),
            directory: directory.clone(),
            registers: registers.clone(),
            store: store.clone(),
            operator: setup.operator,
            operators: Operators::new(store.clone(), trust.hub("operators"))?,
            validator: validator.clone(),
            counter: counter.clone(),
            approvals: approvals.clone(),
            demo: demo_routes.clone(),
            authorities: authorities.clone(),
            listeners,
        }));
        tasks.push(tokio::spawn(
            authorities.run(exchange.clone(), shutdown.clone()),
        ));
        let numbers = meldinger::edge::rest::counter::router(msh.clone(), counter.clone());
        let validator = crate::approvals::edges(&msh, validator, approvals, &reads_by);
        let jwks = log_keys.clone();
        let portal = portal::router(PortalState {
            trust: trust.clone(),
            directory: directory.clone(),
            helsenorge,
            kjernejournal,
            provesvar,
            dokumenter,
            issuer: citizens.clone(),
            personnel_login: login,
            operations,
            clients: clients.clone(),
            sessions: Arc::new(portal::Sessions::new(state.clone(), system_clock())),
            log_jwks: Arc::new(move || {
                jwks.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .jwks()
            }),
            is_demo,
        });
        let mut router = Router::new()
            .merge(portal)
            .merge(fhir)
            .merge(persons)
            .merge(views)
            .merge(address_edges.router)
            .merge(soap)
            .merge(meldinger::edge::rest::router(msh))
            .merge(message_handler.router())
            .merge(validator)
            .merge(numbers)
            .merge(self_service)
            .merge(citizens.router())
            .merge(ops::router(Ops {
                store: store.clone(),
                is_ready: is_ready.clone(),
                metrics,
                log_keys: log_keys.clone(),
            }));
        if let Some(authority) = setup.authority {
            router = router.merge(crate::pki::router(Arc::new(authority)));
        }
        if let Some(demo) = demo_routes {
            let (registry, directory) = (clients.clone(), directory.clone());
            let newcomers = crate::demo_newcomers::Newcomers {
                registers: registers.clone(),
                clock: clock.clone(),
            };
            let clients = DemoClients {
                registry,
                directory,
            };
            router = router
                .merge(demo::router(demo))
                .merge(crate::demo_clients::router(clients))
                .merge(crate::demo_newcomers::router(newcomers));
        }
        let router = router.layer(axum::middleware::from_fn(edge::headers::request_id));
        let helseid_router = helseid
            .router()
            .layer(axum::middleware::from_fn(edge::headers::request_id));

        let tls = setup
            .tls
            .map(|(chain, key)| tls_config(chain, key))
            .transpose()?;
        let mut spawn =
            |listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, front: Front| {
                tasks.push(tokio::spawn(serve(
                    listener,
                    tls,
                    front,
                    Limits::default(),
                    shutdown.clone(),
                )));
            };
        let main_front = Front::from(router).with(at_once);
        spawn(main, None, main_front.clone());
        spawn(helseid_plain, None, helseid_router.clone().into());
        if let Some(tls) = &tls {
            spawn(main_tls, Some(tls.clone()), main_front);
            spawn(helseid_tls, Some(tls.clone()), helseid_router.into());
            let asking = tls_config_asking(tls)?;
            spawn(
                citizen_mtls,
                Some(asking),
                citizens::mtls_router(&citizens).into(),
            );
        }
        let mail = mail_listeners.start(&message_handler, tls.as_ref().map(without_alpn))?;
        let amqp_shutdown = amqp::adapter::Shutdown::new();
        let bus = bus::server(Arc::new(broker), &amqp_shutdown);
        tasks.push(bus::spawn(bus.clone(), amqp_plain, None));
        if let Some(tls) = &tls {
            tasks.push(bus::spawn(bus, amqp_tls, Some(without_alpn(tls))));
        }
        let signer = Arc::new(LogSigner::new(log_keys));
        tasks.extend(
            Jobs {
                store: store.clone(),
                registers,
                signer,
                witness: config.witness.clone(),
                helseid,
                citizens,
                clients: clients.clone(),
                counts: CountLooks::new(trust, is_demo),
                shutdown: shutdown.clone(),
            }
            .start(),
        );
        is_ready.store(true, Ordering::Release);
        let (facts, story) = facts_and_story.unzip();
        Ok(Self {
            helseid_state: state,
            addresses,
            facts,
            story,
            clients,
            store,
            shutdown,
            amqp_shutdown,
            tasks,
            workers: Some(workers),
            timers: Some(timers),
            mail: Some(mail),
        })
    }

    /// Stops everything: listeners drain, jobs end, the store closes.
    pub async fn stop(mut self) {
        self.amqp_shutdown.set();
        self.shutdown.trigger();
        let sender = match self.mail.take() {
            Some(mail) => Some(mail.stop().await),
            None => None,
        };
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        self.helseid_state.settle().await;
        let (workers, timers, store) =
            (self.workers.take(), self.timers.take(), self.store.clone());
        let _ = tokio::task::spawn_blocking(move || {
            drop((workers, timers, sender));
            store.close();
        })
        .await;
    }
}

/// Bus and mail speak no ALPN.
fn without_alpn(tls: &Arc<rustls::ServerConfig>) -> tokio_rustls::TlsAcceptor {
    let mut config = (**tls).clone();
    config.alpn_protocols.clear();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A ring behind a lock, as jobs and pages share it.
pub type SharedRing = Arc<Mutex<Keyring>>;
