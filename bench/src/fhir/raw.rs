//! What the machine could do at most: the same bytes from a bare hyper server, the same records committed without HTTP.

use crate::link::Base;
use crate::load::{Outcome, Shape, run};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use store::{Commit, Op, Privacy, Put, PutId, RepoKind, RepositoryDecl, Store, StoreConfig};

/// Answers every request with so many bytes, until killed. Prints its address.
pub fn serve(bytes: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("http://{}", listener.local_addr()?);
        let body = Bytes::from(vec![b'x'; bytes]);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let body = body.clone();
                    async move {
                        // The request is read to its end, as any server must.
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

/// The same load on a bare server in a process of its own.
pub fn answers(bytes: u64, shape: Shape) -> Result<Outcome> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(crate::own_arguments("fhir"))
        .args(["--raw-server", &bytes.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let result = (|| {
        let mut line = String::new();
        let out = child
            .stdout
            .take()
            .context("no output of the bare server")?;
        BufReader::new(out).read_line(&mut line)?;
        let base = Base::parse(line.trim())?;
        run(
            &base,
            shape,
            &[200],
            |_, out| base.request(out, "GET", "/x", None),
            |_, _| {},
        )
    })();
    let _ = child.kill();
    let _ = child.wait();
    result
}

/// Durable commits of these resources by so many threads: `per_commit` resources in each; resources per second.
pub fn commits(
    engine: &crate::store::Engine,
    folder: &Path,
    resources: &[(&'static str, Bytes)],
    threads: usize,
    per_commit: usize,
) -> Result<f64> {
    let repositories = vec![RepositoryDecl::new("bench", RepoKind::Open)];
    let (store, _mint) = Store::open(match engine {
        crate::store::Engine::Sqlite => StoreConfig::sqlite(folder, repositories),
        crate::store::Engine::Postgres(url) => {
            let schema = format!("bench_raw_{}", std::process::id());
            StoreConfig::postgres(url.clone(), schema, repositories)
        }
    })?;
    let repo = store.repo("bench")?;
    let puts: Vec<Put> = resources
        .iter()
        .map(|(rtype, body)| {
            records::write::prepare(
                repo,
                rtype,
                PutId::New,
                Op::Create,
                body.clone(),
                Vec::new(),
                Privacy::default(),
                Vec::new(),
            )
            .map_err(|f| anyhow::anyhow!("{f:?}"))
        })
        .collect::<Result<_>>()?;
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let chunks: Vec<&[Put]> = puts.chunks(per_commit.max(1)).collect();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let n = next.fetch_add(1, Relaxed);
                        let Some(chunk) = usize::try_from(n).ok().and_then(|n| chunks.get(n))
                        else {
                            return Ok(());
                        };
                        store.commit(Commit {
                            put: chunk.to_vec(),
                            ..Commit::default()
                        })?;
                    }
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a writer panicked"),
            }
        }
        Ok(())
    })?;
    let rate = puts.len() as f64 / began.elapsed().as_secs_f64();
    store.close();
    Ok(rate)
}
