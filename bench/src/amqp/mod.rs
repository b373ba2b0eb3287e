//! The message bus over AMQP 1.0: durable messages in and out, each accepted only when it is on disk and each acknowledged
//! by its receiver alone. Nothing may be lost or come twice, and nothing may be left in the queue, or the figure does not count.
//!
//! Scenarios: `through` (in and out at once), `backlog` (the same with so many messages waiting), `links` (memory of many
//! queues and links, and that they still work). The hub is a process of its own ([`server`]), or a running demo (`--facts`).

mod client;
mod server;
mod wire;

use crate::served::Server;
use anyhow::{Context, Result, bail};
use client::{Lane, Place, Tally};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// `sqlite` or `postgres`.
    #[arg(long, default_value = "sqlite")]
    engine: String,
    /// Connection string of a PostgreSQL server.
    #[arg(long, env = "HELSENAV_PG_URL", default_value = "")]
    url: String,
    /// facts.json of a running demo: that hub is measured, through the vendor's own queue.
    #[arg(long)]
    facts: Option<PathBuf>,
    /// Process of that hub, whose processor time is then told.
    #[arg(long)]
    pid: Option<u32>,
    /// Only these: through, backlog, links.
    #[arg(long, value_delimiter = ',', default_value = "through")]
    only: Vec<String>,
    /// Messages of one measurement.
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Bytes of a message's payload.
    #[arg(long, default_value_t = 10_240)]
    bytes: usize,
    /// Queues, each with senders and receivers of its own.
    #[arg(long, default_value_t = 4)]
    queues: usize,
    /// Sending connections.
    #[arg(long, default_value_t = 4)]
    senders: usize,
    /// Receiving connections.
    #[arg(long, default_value_t = 4)]
    receivers: usize,
    /// Credit of a receiver, and most unacknowledged messages of a sender.
    #[arg(long, default_value_t = 500)]
    credit: u32,
    /// Messages that wait in the measurement `backlog`.
    #[arg(long, default_value_t = 100_000)]
    backlog: u64,
    /// Queues of the measurement `links`.
    #[arg(long, default_value_t = 5_000)]
    link_queues: usize,
    /// Links of that measurement.
    #[arg(long, default_value_t = 20_000)]
    links: usize,
    /// Connections of that measurement.
    #[arg(long, default_value_t = 240)]
    link_connections: usize,
    /// Where the data goes (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Used by the measurement: be the hub, with the store in this folder, until killed.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// Organisations of that hub.
    #[arg(long, hide = true, default_value_t = 4)]
    organisations: usize,
    /// Schema of that hub.
    #[arg(long, hide = true, default_value = "")]
    schema: String,
}

/// Longest silence before a measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs everything and prints a table.
///
/// # Errors
/// When the hub cannot be started, refuses something, or loses or repeats a message.
pub fn run(options: &Options) -> Result<()> {
    if let Some(folder) = &options.serve {
        let postgres = (options.engine == "postgres")
            .then_some((options.url.as_str(), options.schema.as_str()));
        return server::serve(folder, postgres, options.organisations);
    }
    println!(
        "amqp: engine {}, messages of {} B, {} queues, {} senders, {} receivers, credit {}, load average {}",
        options.engine,
        options.bytes,
        options.queues,
        options.senders,
        options.receivers,
        options.credit,
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    for name in &options.only {
        match name.as_str() {
            "through" => {
                let hub = Hub::start(options, options.queues)?;
                through(options, &hub, "in and out", 0)?;
            }
            "backlog" => backlog(options)?,
            "links" => links(options)?,
            other => bail!("no measurement {other}"),
        }
    }
    Ok(())
}

/// The measured hub.
enum Hub {
    Own {
        server: Server,
        _place: tempfile::TempDir,
    },
    Demo {
        lane: Lane,
        pid: Option<u32>,
    },
}

impl Hub {
    fn start(options: &Options, organisations: usize) -> Result<Self> {
        if let Some(file) = &options.facts {
            return Self::demo(file, options.pid);
        }
        let place = match &options.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        let mut arguments: Vec<std::ffi::OsString> = vec![
            "--serve".into(),
            place.path().join("store").into(),
            "--organisations".into(),
            organisations.to_string().into(),
        ];
        if options.engine == "postgres" {
            let schema = format!(
                "bench_amqp_{}_{}",
                std::process::id(),
                rand::random::<u16>()
            );
            for (name, value) in [
                ("--engine", "postgres"),
                ("--url", &options.url),
                ("--schema", &schema),
            ] {
                arguments.extend([name.into(), value.into()]);
            }
        }
        Ok(Self::Own {
            server: Server::start("amqp", arguments)?,
            _place: place,
        })
    }

    fn demo(file: &std::path::Path, pid: Option<u32>) -> Result<Self> {
        let facts: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let find = |list: &str, name: &str, value: &serde_json::Value| {
            let all = facts.pointer(list)?.as_array()?;
            all.iter().find(|one| one.get(name) == Some(value)).cloned()
        };
        let me = find("/organisations", "key", &"vaar-epj".into()).context("no vaar-epj")?;
        let user = find("/amqp/users", "her_id", &me["her_id"]).context("no user of vaar-epj")?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let port = facts
            .pointer("/amqp/port")
            .and_then(serde_json::Value::as_u64);
        let place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], u16::try_from(port.context("no port")?)?)),
            user: text(&user["username"]),
            password: text(&user["password"]),
        };
        let party = me
            .pointer("/parties/0/her_id")
            .and_then(serde_json::Value::as_u64);
        let party = u32::try_from(party.context("no party")?)?;
        let lane = Lane {
            queue: format!("{}_async", me["her_id"]),
            owner: place.clone(),
            to: party,
            sender: place,
            from: party,
        };
        Ok(Self::Demo { lane, pid })
    }

    /// Queue number n.
    fn lane(&self, n: usize, queues: usize) -> Lane {
        match self {
            Self::Demo { lane, .. } => lane.clone(),
            Self::Own { .. } => {
                let (to, from) = (n % queues, (n + 1) % queues);
                Lane {
                    queue: format!("{}_async", server::her_id(to)),
                    owner: self.place(to),
                    to: server::her_id(to) + 1,
                    sender: self.place(from),
                    from: server::her_id(from) + 1,
                }
            }
        }
    }

    fn place(&self, organisation: usize) -> Place {
        match self {
            Self::Demo { lane, .. } => lane.owner.clone(),
            Self::Own { server, .. } => Place {
                address: server.base.address,
                user: server::user(organisation),
                password: server::PASSWORD.to_owned(),
            },
        }
    }

    fn cpu_us(&self) -> f64 {
        match self {
            Self::Own { server, .. } => server.cpu_us(),
            Self::Demo { pid: Some(pid), .. } => crate::store::cpu_us_of(&pid.to_string()),
            Self::Demo { pid: None, .. } => 0.0,
        }
    }

    fn memory(&self) -> String {
        match self {
            Self::Own { server, .. } => server.memory(),
            Self::Demo { .. } => String::new(),
        }
    }
}

fn runtime() -> Result<(tokio::runtime::Runtime, tokio::task::LocalSet)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok((runtime, tokio::task::LocalSet::new()))
}

/// Sends and receives at once; `waiting` messages of before are in the queues and come first.
fn through(options: &Options, hub: &Hub, name: &str, waiting: u64) -> Result<f64> {
    let tally = Tally::new(options.messages, options.messages);
    let receivers = options.receivers.max(options.queues);
    if waiting > 0 {
        tally.credit.set(options.messages);
    }
    load(options, hub, &tally, receivers)?;
    row(hub, name, &tally)?;
    check(&tally, waiting)?;
    Ok(RATE.with(std::cell::Cell::get))
}

thread_local! {
    static RATE: std::cell::Cell<f64> = const { std::cell::Cell::new(0.0) };
    static BEGAN: std::cell::Cell<Option<(Instant, f64, f64)>> = const { std::cell::Cell::new(None) };
}

fn load(options: &Options, hub: &Hub, tally: &Rc<Tally>, receivers: usize) -> Result<()> {
    let (runtime, local) = runtime()?;
    BEGAN.set(Some((Instant::now(), hub.cpu_us(), crate::store::cpu_us())));
    let mut tasks = Vec::new();
    for n in 0..receivers {
        let lane = hub.lane(n, options.queues);
        tasks.push(local.spawn_local(client::receive(lane, options.credit, tally.clone())));
    }
    if tally.total > 0 {
        for n in 0..options.senders.max(options.queues) {
            let lane = hub.lane(n, options.queues);
            let window = u64::from(options.credit);
            tasks.push(local.spawn_local(client::send(lane, options.bytes, window, tally.clone())));
        }
    }
    let all = futures_util::future::try_join_all(tasks);
    local.block_on(&runtime, async {
        let mut before = 0;
        tokio::pin!(all);
        loop {
            tokio::select! {
                done = &mut all => {
                    for one in done? {
                        one?;
                    }
                    return Ok(());
                }
                () = tokio::time::sleep(PATIENCE) => {
                    let now = tally.accepted.get() + tally.received.get();
                    if now == before {
                        bail!("nothing moves: {} sent, {} accepted, {} received", tally.sent.get(), tally.accepted.get(), tally.received.get());
                    }
                    before = now;
                }
            }
        }
    })
}

fn row(hub: &Hub, name: &str, tally: &Tally) -> Result<()> {
    let (began, cpu, own) = BEGAN.get().context("not begun")?;
    let took = tally
        .last
        .get()
        .context("not over")?
        .duration_since(began)
        .as_secs_f64();
    let count = tally.total.max(tally.wanted);
    let rate = count as f64 / took;
    RATE.set(rate);
    println!(
        "  {name:<28} {rate:>7.0}/s  {count} messages in {took:.2} s  hub {:>5.0} us CPU each, generator {:>4.1}  {}",
        (hub.cpu_us() - cpu) / count as f64,
        (crate::store::cpu_us() - own) / count as f64,
        hub.memory(),
    );
    Ok(())
}

fn check(tally: &Tally, waiting: u64) -> Result<()> {
    let seen = tally.seen.borrow();
    let arrived = seen.iter().filter(|seen| **seen).count() as u64;
    // With messages waiting, others were received in their place.
    if tally.twice.get() > 0 || (waiting == 0 && arrived != tally.total) {
        bail!(
            "{} of {} messages arrived, {} twice",
            arrived,
            tally.total,
            tally.twice.get()
        );
    }
    Ok(())
}

/// The same rate with and without messages waiting.
fn backlog(options: &Options) -> Result<()> {
    let hub = Hub::start(options, options.queues)?;
    let empty = through(options, &hub, "in and out, nothing waits", 0)?;
    let fill = Tally::new(options.backlog, 0);
    load(options, &hub, &fill, 0)?;
    row(&hub, "in only: the backlog", &fill)?;
    let full = through(
        options,
        &hub,
        "in and out over the backlog",
        options.backlog,
    )?;
    println!(
        "    {:.0} % of the rate without backlog",
        100.0 * full / empty
    );
    let rest = Tally::new(0, options.backlog);
    load(options, &hub, &rest, options.receivers.max(options.queues))?;
    row(&hub, "out only: the backlog", &rest)
}

/// Memory of many links, one session each as in the national profile; then messages over all of the queues that the
/// connected organisations own.
fn links(options: &Options) -> Result<()> {
    let organisations = options.link_queues.div_ceil(KINDS.len());
    let hub = Hub::start(options, organisations)?;
    println!("  nothing connected: {}", hub.memory());
    let (runtime, local) = runtime()?;
    let each = options.links.div_ceil(options.link_connections);
    local
        .block_on(&runtime, async {
            let mut open = Vec::new();
            for n in 0..options.link_connections {
                let place = hub.place(n % organisations);
                let mut connection = client::Connection::open(&place).await?;
                let mut links = 0;
                for kind in KINDS {
                    let address = format!("{}_{kind}", server::her_id(n % organisations));
                    connection.attach(links, &address, false, 100);
                    links += 1;
                }
                // The rest of its links sends: all queues of the nation in turn.
                while usize::from(links) < each {
                    let at = (n * each + usize::from(links)) % options.link_queues;
                    let kind = KINDS.get(at % KINDS.len()).copied().unwrap_or("async");
                    let address = format!("{}_{kind}", server::her_id(at / KINDS.len()));
                    connection.attach(links, &address, true, 0);
                    links += 1;
                }
                connection.attached(usize::from(links)).await?;
                open.push(connection);
            }
            println!(
                "  {} connections, {} links to {} queues: {}",
                open.len(),
                open.len() * each,
                options.link_queues,
                hub.memory()
            );
            anyhow::Ok(open)
        })
        .and_then(|open| {
            // The links stand while messages pass.
            let fewer = Options {
                messages: options.messages.min(20_000),
                ..options.clone()
            };
            drive_beside(&fewer, &hub, organisations)?;
            println!("  afterwards: {}", hub.memory());
            drop(open);
            Ok(())
        })
}

/// Kinds of queue of an organisation.
const KINDS: [&str; 4] = ["async", "sync", "syncreply", "error"];

/// Messages through queues of organisations that have no other receiver.
fn drive_beside(options: &Options, hub: &Hub, organisations: usize) -> Result<()> {
    let tally = Tally::new(options.messages, options.messages);
    let (runtime, local) = runtime()?;
    BEGAN.set(Some((Instant::now(), hub.cpu_us(), crate::store::cpu_us())));
    let mut tasks = Vec::new();
    for n in 0..options.queues {
        let lane = hub.lane(organisations - 1 - n, organisations);
        tasks.push(local.spawn_local(client::receive(lane.clone(), options.credit, tally.clone())));
        let window = u64::from(options.credit);
        tasks.push(local.spawn_local(client::send(lane, options.bytes, window, tally.clone())));
    }
    local.block_on(&runtime, async {
        for task in futures_util::future::try_join_all(tasks).await? {
            task?;
        }
        anyhow::Ok(())
    })?;
    row(hub, "in and out beside them", &tally)?;
    check(&tally, 0)
}
