//! HelseID over HTTP as its clients see it: tokens by client_credentials with `private_key_jwt` and DPoP, introspection, and
//! an API that checks token and proof of every request. Everything a client signs is signed before the clock starts.
//! Generator and server share the machine. In the same run: the bare signatures of the same work, and, when its folder is
//! given, npm `oidc-provider` with the same requests.

mod api;
mod process;
mod requests;

use crate::load::{Outcome, Shape, run as load, run_paced};
use anyhow::{Context, Result, bail};
use process::{Issuer, Peer};
use requests::Client;
use std::path::{Path, PathBuf};
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
    /// Kinds of signing key, each in a hub of its own: `p-256` (ES256), `rsa-2048` (RS256).
    #[arg(long, value_delimiter = ',', default_value = "p-256,rsa-2048")]
    signing: Vec<String>,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only these: token, introspection, api, in-process.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Folder of the peer, its packages installed: `bench/peers/oidc-provider`.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Worker processes of the peer.
    #[arg(long, default_value_t = 2)]
    peer_workers: usize,
    /// Where the data goes (a temporary folder inside); default: the system's.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Used by the measurement of an API: check every request with the key set in this file, until killed.
    #[arg(long, hide = true)]
    api_server: Option<PathBuf>,
}

/// More than can be answered in a second, for tokens, introspection and API calls.
const AHEAD: [u64; 3] = [12_000, 20_000, 24_000];

/// Runs everything and prints a table.
///
/// # Errors
/// When a server cannot be started or answers wrongly.
pub fn run(options: &Options, program: Option<&Path>) -> Result<()> {
    if let Some(file) = &options.api_server {
        return api::serve(file);
    }
    let program = program.context("--server with the helsenav program is needed")?;
    let place = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!(
        "helseid: engine {}, {} connections, load average {}",
        options.engine,
        options.clients,
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    );
    bare()?;
    for signing in &options.signing {
        let schema = format!(
            "bench_helseid_{}_{}",
            std::process::id(),
            signing.replace('-', "")
        );
        let postgres = match options.engine.as_str() {
            "sqlite" => None,
            "postgres" if !options.url.is_empty() => Some((options.url.as_str(), schema.as_str())),
            "postgres" => bail!("--url of a PostgreSQL server is needed (scripts/postgres.sh)"),
            other => bail!("unknown engine {other}"),
        };
        let data = place.path().join(signing);
        let issuer = Issuer::start(program, &data, postgres, signing)?;
        measure(options, &issuer, signing, &data)?;
        issuer.stop();
    }
    Ok(())
}

fn measure(options: &Options, issuer: &Issuer, signing: &str, data: &Path) -> Result<()> {
    let wants = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    let machine = issuer.client("machine")?;
    let alg = if signing == "p-256" { "ES256" } else { "RS256" };
    if wants("token") {
        let goal = if alg == "ES256" { "4 000/s" } else { "1 800/s" };
        let ours = tokens(options, &machine, &format!("token, {alg}"), goal, &|| {
            issuer.cpu_us()
        })?;
        if let Some(folder) = &options.peer {
            let peer = Peer::start(folder, alg, options.peer_workers, &machine)?;
            let client = peer.client(&machine);
            let name = format!("  oidc-provider, {} workers", options.peer_workers);
            let theirs = tokens(options, &client, &name, "a quarter", &|| peer.cpu_us())?;
            println!("    ours is {:.1} times the peer's", ours / theirs.max(1.0));
        }
    }
    if wants("introspection") {
        introspection(options, issuer, &machine)?;
    }
    if wants("api") || wants("in-process") {
        let jwks = data.join("bench-jwks.json");
        std::fs::write(&jwks, issuer.jwks()?)?;
        api::tell(&jwks, &machine)?;
        let tokens = requests::some_tokens(&machine, 64)?;
        if wants("api") {
            call_api(options, &machine, &jwks, &tokens)?;
        }
        if wants("in-process") {
            api::in_process(&machine, &jwks, &tokens)?;
        }
    }
    Ok(())
}

fn shape(options: &Options, requests: u64) -> Shape {
    Shape {
        clients: options.clients,
        requests,
        at_most: Duration::from_secs(options.seconds),
    }
}

/// Full load, then half of what that gave: tokens per second.
fn tokens(
    options: &Options,
    client: &Client,
    name: &str,
    goal: &str,
    cpu_us: &dyn Fn() -> f64,
) -> Result<f64> {
    let count = |per_second: u64, seconds: u64| usize::try_from(per_second * seconds).unwrap_or(0);
    // A second to warm up, which also says how much has to be signed ahead.
    let few = client.token_requests(count(AHEAD[0], 1))?;
    let warm = replay(options, client, &few, None, 1)?;
    let per_second = (warm.rate() * 2.0) as u64 + 500;
    let all = client.token_requests(count(per_second, options.seconds))?;
    let cpu = cpu_us();
    let full = replay(options, client, &all, None, options.seconds)?;
    row(name, goal, &full, cpu_us() - cpu);
    let half = full.rate() / 2.0;
    let some = client.token_requests(count(half as u64 + 1, options.seconds))?;
    let paced = replay(options, client, &some, Some(half), options.seconds)?;
    row("  at half load", "p99 20 ms", &paced, 0.0);
    Ok(full.rate())
}

fn replay(
    options: &Options,
    client: &Client,
    requests: &[Vec<u8>],
    per_second: Option<f64>,
    seconds: u64,
) -> Result<Outcome> {
    let make = |n: u64, out: &mut Vec<u8>| {
        out.clear();
        let at = usize::try_from(n).unwrap_or(usize::MAX);
        out.extend_from_slice(requests.get(at).map_or(&[][..], Vec::as_slice));
    };
    let shape = Shape {
        at_most: Duration::from_secs(seconds),
        ..shape(options, requests.len() as u64)
    };
    run_paced(&client.base, shape, per_second, &[200], make, |_, _| {})
}

fn introspection(options: &Options, issuer: &Issuer, machine: &Client) -> Result<()> {
    let tokens = requests::some_tokens(machine, 64)?;
    let api = issuer.client("api")?;
    let count = usize::try_from(AHEAD[1] * options.seconds).unwrap_or(0);
    let requests = api.introspection_requests(&tokens, count)?;
    let cpu = issuer.cpu_us();
    let full = replay(options, &api, &requests, None, options.seconds)?;
    row("introspection", "10 000/s", &full, issuer.cpu_us() - cpu);
    let half = full.rate() / 2.0;
    let count = half as usize * usize::try_from(options.seconds).unwrap_or(0);
    let requests = api.introspection_requests(&tokens, count)?;
    let paced = replay(options, &api, &requests, Some(half), options.seconds)?;
    row("  at half load", "p99 20 ms", &paced, 0.0);
    Ok(())
}

fn call_api(options: &Options, machine: &Client, jwks: &Path, tokens: &[String]) -> Result<()> {
    let server = api::Server::start(jwks)?;
    // Proofs are good for 15 s, so no more of them than that.
    let seconds = options.seconds.min(8);
    let count = usize::try_from(AHEAD[2] * seconds).unwrap_or(0);
    let requests = machine.api_requests(&server.base, tokens, count)?;
    let cpu = server.cpu_us();
    let make = |n: u64, out: &mut Vec<u8>| {
        out.clear();
        let at = usize::try_from(n).unwrap_or(usize::MAX);
        out.extend_from_slice(requests.get(at).map_or(&[][..], Vec::as_slice));
    };
    let shape = Shape {
        at_most: Duration::from_secs(seconds),
        ..shape(options, requests.len() as u64)
    };
    let outcome = load(&server.base, shape, &[200], make, |_, _| {})?;
    row(
        "API call, token and proof",
        "9 000/s",
        &outcome,
        server.cpu_us() - cpu,
    );
    Ok(())
}

fn row(name: &str, goal: &str, outcome: &Outcome, server_cpu_us: f64) {
    let cpu = server_cpu_us / outcome.answers.max(1) as f64;
    println!("  {name:<30} {outcome}  server {cpu:>6.1} us CPU each  (goal {goal})");
}

/// The signatures of a token alone, on one core: nothing can be quicker.
fn bare() -> Result<()> {
    use jose::jwk::KeyKind;
    use jose::{Alg, PrivateJwk};
    let message = [7u8; 600];
    let rate = |work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        let (began, mut count) = (Instant::now(), 0u32);
        while began.elapsed() < Duration::from_millis(500) {
            for _ in 0..16 {
                work()?;
            }
            count += 16;
        }
        Ok(f64::from(count) / began.elapsed().as_secs_f64())
    };
    for (kind, alg) in [(KeyKind::P256, Alg::Es256), (KeyKind::Rsa2048, Alg::Rs256)] {
        let key = PrivateJwk::generate(kind, Some(alg))?;
        let signature = key.sign(alg, &message)?;
        let signed = rate(&mut || key.sign(alg, &message).map(drop).map_err(Into::into))?;
        let verified = rate(&mut || {
            let right = key.public().verify(alg, &message, &signature);
            right.then_some(()).context("a signature does not verify")
        })?;
        println!(
            "  bare {}, one core: {signed:.0} signatures/s, {verified:.0} verifications/s",
            alg.name()
        );
    }
    Ok(())
}
