//! A service to be measured in a process of its own, so that its processor time is its own; and the raw loop beside it: a
//! server that reads the same requests and answers as many bytes, and does nothing else.

use crate::link::Base;
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

/// Where read forms stand beside the store of a folder: in a hub's data folder where the hub has them.
pub(crate) fn read_forms(folder: &Path) -> PathBuf {
    if folder.join("nation.json").exists() {
        folder.join("registers")
    } else {
        folder.join("read")
    }
}

/// Where the store of a measured service stands.
#[derive(clap::Args, Clone, Debug)]
pub struct Where {
    /// The folder is that of a stopped hub on PostgreSQL: its schema on the server that `HELSENAV_PG_URL` names.
    #[arg(long)]
    schema: Option<String>,
}

impl Where {
    /// The store that belongs to the folder.
    ///
    /// # Errors
    /// When a schema is given and no server is named.
    pub(crate) fn store(
        &self,
        folder: &Path,
        declared: Vec<store::RepositoryDecl>,
    ) -> Result<store::StoreConfig> {
        let Some(schema) = &self.schema else {
            return Ok(store::StoreConfig::sqlite(folder.join("store"), declared));
        };
        let url = std::env::var("HELSENAV_PG_URL")
            .context("HELSENAV_PG_URL names no PostgreSQL server")?;
        Ok(store::StoreConfig::postgres(url, schema, declared))
    }

    /// Whether other processes can be on it.
    pub(crate) fn is_shared(&self) -> bool {
        self.schema.is_some()
    }

    /// The same for a process that this one starts.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let schema = self.schema.iter();
        schema
            .flat_map(|schema| ["--schema".into(), schema.into()])
            .collect()
    }
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    /// Its word as it came.
    pub said: Value,
    /// Where it is.
    pub base: Base,
    /// What it said.
    pub word: Word,
}

impl Server {
    /// Starts this program for one measurement, with these arguments.
    pub(crate) fn start(measurement: &str, arguments: Vec<OsString>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(crate::own_arguments(measurement));
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts the raw loop: answers of so many bytes.
    pub(crate) fn start_raw(measurement: &str, bytes: usize) -> Result<Self> {
        Self::start(measurement, vec!["--raw".into(), bytes.to_string().into()])
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
            said,
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
