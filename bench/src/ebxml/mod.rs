//! The message handler for ebXML: signed and encrypted messages to a receiver of the hub, each answered with a signed acknowledgment after it
//! is on disk; over HTTP (`http`), and over mail (`mail`: SMTP in, the acknowledgments fetched with POP3). The messages are made before the
//! clock runs. A figure counts only when every message has its acknowledgment and the receiver has handled each once.
//!
//! The raw loop beside it is the cryptography alone, in this process on one thread: signature checked, payload decrypted, acknowledgment signed.

mod client;
mod made;
mod server;

use crate::load::{self, Shape};
use crate::served::Server;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Only these: raw, http, mail.
    #[arg(long, value_delimiter = ',', default_value = "raw,http,mail")]
    only: Vec<String>,
    /// Messages of one measurement.
    #[arg(long, default_value_t = 4_000)]
    messages: usize,
    /// Bytes of a message's document.
    #[arg(long, default_value_t = 10_240)]
    bytes: usize,
    /// Sending connections (the hub takes at most eight messages at once over HTTP).
    #[arg(long, default_value_t = 6)]
    senders: usize,
    /// The documents ask for a receipt (AppRec): the hub makes, signs, encrypts and mails one for each, while the measurement runs.
    #[arg(long)]
    receipts: bool,
    /// Where the data goes (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Used by the measurement: be the hub, with store and keys in this folder, until killed.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

/// Longest time that acknowledgments may take after the last message.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs everything and prints a table.
///
/// # Errors
/// When the hub cannot be started, refuses something, or leaves a message without its acknowledgment.
pub fn run(options: &Options) -> Result<()> {
    if let Some(folder) = &options.serve {
        return server::serve(folder);
    }
    println!(
        "ebxml: documents of {} B, {} messages, {} senders, receipts {}, load average {}",
        options.bytes,
        options.messages,
        options.senders,
        if options.receipts {
            "asked for"
        } else {
            "not asked for"
        },
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    for name in &options.only {
        let place = match &options.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        let keys = made::Keys::make(place.path())?;
        if name == "raw" {
            raw(options, &keys)?;
            continue;
        }
        let arguments = vec!["--serve".into(), place.path().into()];
        let hub = Hub {
            server: Server::start("ebxml", arguments)?,
            ports: server::Ports::read(place.path())?,
        };
        match name.as_str() {
            "http" => over_http(options, &keys, &hub)?,
            "mail" => over_mail(options, &keys, &hub)?,
            other => bail!("no measurement {other}"),
        }
    }
    Ok(())
}

struct Hub {
    server: Server,
    ports: server::Ports,
}

fn row(name: &str, count: usize, took: Duration, hub_us: f64, own_us: f64, memory: &str) {
    let each = |us: f64| us / count.max(1) as f64;
    println!(
        "  {name:<10} {:>8.0}/s  {count} in {:.2} s  hub {:>7.0} us CPU each  generator {:>6.0} us CPU each  {memory}",
        count as f64 / took.as_secs_f64().max(1e-9),
        took.as_secs_f64(),
        each(hub_us),
        each(own_us),
    );
}

fn raw(options: &Options, keys: &made::Keys) -> Result<()> {
    let count = options.messages.min(500);
    let messages = made::messages(keys, count, options.bytes, options.receipts)?;
    let (began, cpu) = (Instant::now(), crate::store::cpu_us());
    for message in &messages {
        made::take(keys, message)?;
    }
    let cpu = crate::store::cpu_us() - cpu;
    row("raw", count, began.elapsed(), cpu, 0.0, "(one thread)");
    Ok(())
}

fn over_http(options: &Options, keys: &made::Keys, hub: &Hub) -> Result<()> {
    let messages = made::messages(keys, options.messages, options.bytes, options.receipts)?;
    let requests: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| client::request(&hub.server.base, message))
        .collect();
    let shape = Shape {
        clients: options.senders,
        requests: options.messages as u64,
        at_most: Duration::from_secs(600),
    };
    let acknowledged = Mutex::new(BTreeSet::new());
    let cpu = hub.server.cpu_us();
    let outcome = load::run(
        &hub.server.base,
        shape,
        &[200],
        |n, out| {
            out.clear();
            let request = usize::try_from(n).ok().and_then(|n| requests.get(n));
            out.extend_from_slice(request.map_or(&[][..], Vec::as_slice));
        },
        |_, body| {
            if let (Some(id), Ok(mut known)) = (client::acknowledges(body), acknowledged.lock()) {
                known.insert(id);
            }
        },
    )?;
    let hub_us = hub.server.cpu_us() - cpu;
    row(
        "http",
        options.messages,
        outcome.took,
        hub_us,
        outcome.own_cpu_us,
        &hub.server.memory(),
    );
    println!(
        "             p50 {:.2} ms, p99 {:.2} ms",
        outcome.latency_ms(0.5),
        outcome.latency_ms(0.99)
    );
    let acknowledged = acknowledged.into_inner().unwrap_or_default();
    whole(&messages, &acknowledged)?;
    settled(options, hub)
}

fn over_mail(options: &Options, keys: &made::Keys, hub: &Hub) -> Result<()> {
    let messages = made::messages(keys, options.messages, options.bytes, options.receipts)?;
    let share = messages.len().div_ceil(options.senders.max(1)).max(1);
    let smtp = hub.ports.smtp;
    let (cpu, own) = (hub.server.cpu_us(), crate::store::cpu_us());
    let began = Instant::now();
    let senders = messages.chunks(share).map(|part| {
        let part = part.to_vec();
        std::thread::spawn(move || client::send(smtp, &part))
    });
    let senders: Vec<_> = senders.collect();
    let mut acknowledged = BTreeSet::new();
    let mut mailbox = client::Mailbox::new(hub.ports.pop3);
    while acknowledged.len() < messages.len() {
        ensure!(
            began.elapsed() < PATIENCE + Duration::from_secs(600),
            "acknowledgments are missing"
        );
        // One mailbox, one session at a time: as the sector's clients fetch.
        if mailbox.fetch(&mut acknowledged)? == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let took = began.elapsed();
    for sender in senders {
        sender
            .join()
            .map_err(|_| anyhow::anyhow!("a sender died"))??;
    }
    let (hub_us, own_us) = (hub.server.cpu_us() - cpu, crate::store::cpu_us() - own);
    row(
        "mail",
        messages.len(),
        took,
        hub_us,
        own_us,
        &hub.server.memory(),
    );
    whole(&messages, &acknowledged)?;
    settled(options, hub)
}

fn whole(messages: &[made::Message], acknowledged: &BTreeSet<String>) -> Result<()> {
    let missing = messages
        .iter()
        .filter(|message| !acknowledged.contains(&message.id))
        .count();
    ensure!(missing == 0, "{missing} messages have no acknowledgment");
    Ok(())
}

/// Waits until the receiver has handled all, and says how long that took; each once.
fn settled(options: &Options, hub: &Hub) -> Result<()> {
    let began = Instant::now();
    loop {
        let handled = hub
            .ports
            .handled()
            .context("the receiver's tally cannot be read")?;
        ensure!(
            handled <= options.messages,
            "{handled} messages were handled"
        );
        if handled == options.messages {
            break;
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "only {handled} messages were handled"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    println!(
        "             all handled {:.2} s after the last acknowledgment",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
