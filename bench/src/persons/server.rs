//! The person service in a process of its own, on the hub's listener with the hub's store; and the raw loop beside it.

use crate::link::Base;
use anyhow::{Context, Result};
use axum::Router;
use bytes::Bytes;
use edge::listen::{Limits, Shutdown, serve as listen};
use grunndata::persons::{Persontjenesten, PersontjenestenParts, access};
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::rs::ResourceServer;
use jose::{Alg, Claims, MemoryState, names, system_clock};
use registers::RegisterTable;
use registers::persons::register::Options as RegisterOptions;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use store::{Filter, Seq, Store, StoreConfig};

const ISSUER: &str = "https://localhost:8444";
/// Tokens of each kind: a client has few, a service meets many.
const TOKENS: usize = 64;

/// What the server tells its parent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    /// `http://127.0.0.1:12345`.
    pub origin: String,
    /// Tokens bound to no key.
    pub bearer: Vec<String>,
    /// Tokens bound to the parent's key.
    pub bound: Vec<String>,
}

/// The registers of a folder.
pub(crate) fn open(folder: &Path) -> Result<Arc<RegisterTable>> {
    open_store(folder).map(|(table, _)| table)
}

fn open_store(folder: &Path) -> Result<(Arc<RegisterTable>, Store)> {
    let declared = registers::repositories();
    let (store, mint) = Store::open(StoreConfig::sqlite(folder.join("store"), declared))?;
    let grant = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let options = RegisterOptions {
        resident: true,
        ..RegisterOptions::new(folder.join("read"))
    };
    let clock = Arc::new(edge::clock::real_now_us);
    let table = RegisterTable::open_in(store.clone(), grant, options, clock)?;
    Ok((Arc::new(table), store))
}

/// Answers until killed.
///
/// # Errors
/// When it cannot start.
pub(crate) fn serve(folder: &Path, thumbprint: &str) -> Result<()> {
    let (table, store) = open_store(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let now_s = super::now_s();
    let ring = Keyring::generate(KeyKind::Rsa2048, Alg::Rs256, "bench", now_s)?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let token = |n: usize, bound: bool| -> Result<String> {
            let mut claims = json!({"iss": ISSUER, "aud": access::AUDIENCE, "iat": now_s, "nbf": now_s,
                "exp": now_s + 36_000, "client_id": format!("bench-{n}"), "scope": [access::WITH_LEGAL_BASIS],
                "jti": uuid::Uuid::new_v4(), names::ORGNR_PARENT: "315900077"});
            if bound {
                claims["cnf"] = json!({"jkt": thumbprint});
            }
            let claims = claims.as_object().context("claims")?.clone();
            Ok(ring.sign("at+jwt", &Claims(claims))?)
        };
        let all = |bound| (0..TOKENS).map(|n| token(n, bound)).collect::<Result<Vec<_>>>();
        let word = json!({"origin": origin, "bearer": all(false)?, "bound": all(true)?});
        let replay = Arc::new(MemoryState::new(system_clock(), 4_000_000));
        let origins = [origin];
        let server =
            ResourceServer::new(ISSUER, access::AUDIENCE, &origins, Arc::new(ring.clone()), replay);
        let journal = store.clone();
        let service = Persontjenesten::start(PersontjenestenParts {
            register: table.persons().clone(),
            server,
            journal: Arc::new(move |entry, durability| journal.audit(entry, durability)),
            directory: table,
            clock: Arc::new(edge::clock::real_now_us),
            now_s: Arc::new(super::now_s),
        })?;
        let router: Router = service
            .router()
            .layer(axum::middleware::from_fn(edge::headers::request_id));
        println!("{word}");
        listen(listener, None, router, Limits::default(), Shutdown::default()).await;
        Ok(())
    })
}

/// Reads requests and answers so many bytes until killed.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn answer_raw(bytes: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!(
            "{}",
            json!({"origin": format!("http://{}", listener.local_addr()?)})
        );
        let body = Bytes::from(vec![b' '; bytes]);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let body = body.clone();
                    async move {
                        let _ = request.into_body().collect().await;
                        Ok::<_, Infallible>(Response::new(Full::new(body)))
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    })
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    /// Where it is.
    pub base: Base,
    /// What it said.
    pub word: Word,
}

impl Server {
    /// Starts the service on a folder.
    pub(crate) fn start(folder: &Path, thumbprint: &str) -> Result<Self> {
        let mut command = Self::command()?;
        command
            .arg("--serve")
            .arg(folder)
            .args(["--thumbprint", thumbprint]);
        Self::spawn(command)
    }

    /// Starts the raw loop.
    pub(crate) fn start_raw(bytes: usize) -> Result<Self> {
        let mut command = Self::command()?;
        command.args(["--raw", &bytes.to_string()]);
        Self::spawn(command)
    }

    fn command() -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(crate::own_arguments("persons"));
        Ok(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let said: Value = serde_json::from_str(&line)
            .inspect_err(|_| {
                let _ = child.kill();
            })
            .context("the server did not say where it is")?;
        let tokens = |name: &str| {
            let list = said[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let origin = said["origin"].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            base: Base::parse(&origin)?,
            word: Word {
                bearer: tokens("bearer"),
                bound: tokens("bound"),
                origin,
            },
            child,
        })
    }

    /// Processor time used so far, microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        crate::store::cpu_us_of(&self.child.id().to_string())
    }

    /// Resident memory now and at most.
    pub(crate) fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let lines = status
            .lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"));
        let words: Vec<String> = lines
            .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        words.join(", ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
