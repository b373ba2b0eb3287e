//! The load generator: many kept-alive connections, each with one request under way, on one thread.

use crate::link::{Base, head};
use anyhow::{Context, Result, bail};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Connections, each waiting for its answer before it asks again.
    pub clients: usize,
    /// Stop asking after this many requests.
    pub requests: u64,
    /// Stop asking after this long.
    pub at_most: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Answers with the expected status.
    pub answers: u64,
    /// Time from the first request to the last answer.
    pub took: Duration,
    /// Latencies, microseconds, ascending.
    pub latencies_us: Vec<u32>,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Processor time of the generator, microseconds.
    pub own_cpu_us: f64,
}

impl Outcome {
    /// Answers per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Latency below which this share of answers lies, milliseconds.
    #[must_use]
    pub fn latency_ms(&self, share: f64) -> f64 {
        let at = (self.latencies_us.len() as f64 * share) as usize;
        let at = at.min(self.latencies_us.len().saturating_sub(1));
        f64::from(self.latencies_us.get(at).copied().unwrap_or(0)) / 1_000.0
    }

    /// Mean bytes of a body.
    #[must_use]
    pub fn mean_bytes(&self) -> u64 {
        self.bytes.checked_div(self.answers).unwrap_or(0)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>8.0}/s  p50 {:>6.2} ms  p99 {:>7.2} ms  {:>7} B each  generator {:>4.1} us CPU each",
            self.rate(),
            self.latency_ms(0.5),
            self.latency_ms(0.99),
            self.mean_bytes(),
            self.own_cpu_us / self.answers.max(1) as f64,
        )
    }
}

/// Runs load: `make` writes request number n; answers must have one of the statuses; `seen` looks at every body.
///
/// # Errors
/// At the first answer with another status, or a broken connection.
pub fn run(
    base: &Base,
    shape: Shape,
    statuses: &[u16],
    make: impl Fn(u64, &mut Vec<u8>),
    seen: impl Fn(u64, &[u8]),
) -> Result<Outcome> {
    run_paced(base, shape, None, statuses, make, seen)
}

/// The same, asking no more than so often a second: what waiting is like when the server is not at its limit.
///
/// # Errors
/// As [`run`].
pub fn run_paced(
    base: &Base,
    shape: Shape,
    per_second: Option<f64>,
    statuses: &[u16],
    make: impl Fn(u64, &mut Vec<u8>),
    seen: impl Fn(u64, &[u8]),
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cpu = crate::store::cpu_us();
    let next = Rc::new(Cell::new(0u64));
    let latencies = RefCell::new(Vec::<u32>::new());
    let bytes = Cell::new(0u64);
    let began = Instant::now();
    let client = async || -> Result<()> {
        let mut stream = TcpStream::connect(base.address).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        let mut answer: Vec<u8> = Vec::with_capacity(64 << 10);
        loop {
            let n = next.get();
            if n >= shape.requests || began.elapsed() >= shape.at_most {
                return Ok(());
            }
            next.set(n + 1);
            make(n, &mut request);
            if let Some(rate) = per_second {
                let due = began + Duration::from_secs_f64(n as f64 / rate.max(1.0));
                tokio::time::sleep_until(due.into()).await;
            }
            let asked = Instant::now();
            stream.write_all(&request).await?;
            answer.clear();
            let known = loop {
                if stream.read_buf(&mut answer).await? == 0 {
                    bail!("the server closed the connection");
                }
                if let Some(known) = head(&answer)? {
                    break known;
                }
            };
            while answer.len() < known.head + known.body {
                if stream.read_buf(&mut answer).await? == 0 {
                    bail!("the server closed the connection");
                }
            }
            latencies
                .borrow_mut()
                .push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            let body = answer.get(known.head..).unwrap_or_default();
            if !statuses.contains(&known.status) {
                let text =
                    String::from_utf8_lossy(body.get(..body.len().min(600)).unwrap_or_default());
                bail!("status {} to request {n}: {text}", known.status);
            }
            bytes.set(bytes.get() + body.len() as u64);
            seen(n, body);
        }
    };
    runtime.block_on(async {
        let clients = (0..shape.clients.max(1)).map(|_| client());
        futures_util::future::try_join_all(clients)
            .await
            .map(drop)
            .context("load")
    })?;
    let took = began.elapsed();
    let mut latencies_us = latencies.into_inner();
    latencies_us.sort_unstable();
    Ok(Outcome {
        answers: latencies_us.len() as u64,
        took,
        latencies_us,
        bytes: bytes.get(),
        own_cpu_us: crate::store::cpu_us() - cpu,
    })
}
