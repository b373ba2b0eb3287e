//! An API that checks token and proof of every request and does nothing else: over HTTP in a process of its own, and
//! without HTTP on one thread.

use super::requests::{Client, PATH, now_s};
use crate::link::Base;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jose::dpop::make_proof;
use jose::rs::{CachedKeys, Presented, Requirement, ResourceServer};
use jose::{JwkSet, MemoryState, system_clock};
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// The checker of an API, its keys from a file, issuer and audience from a token's word.
fn checker(jwks: &Path, issuer: &str, audience: &str, origin: &str) -> Result<ResourceServer> {
    let keys = JwkSet::from_slice(&std::fs::read(jwks)?)?;
    let keys = Arc::new(CachedKeys::new(keys, now_s(), 30));
    let replay = Arc::new(MemoryState::new(system_clock(), 4_000_000));
    let origins = [origin.to_owned()];
    Ok(ResourceServer::new(
        issuer, audience, &origins, keys, replay,
    ))
}

fn file_beside(jwks: &Path) -> std::path::PathBuf {
    jwks.with_extension("api")
}

/// Answers until killed. Prints its address.
///
/// # Errors
/// When it cannot listen.
pub fn serve(jwks: &Path) -> Result<()> {
    let known = std::fs::read_to_string(file_beside(jwks))?;
    let (issuer, scope) = known.split_once('\n').context("issuer and scope")?;
    let (audience, _) = scope.rsplit_once('/').context("a scope of an API")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let checker = Arc::new(checker(jwks, issuer, audience, &origin)?);
        let scope: Arc<str> = Arc::from(scope);
        println!("{origin}");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (checker, scope) = (checker.clone(), scope.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&checker, &scope, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    })
}

fn answer(
    checker: &ResourceServer,
    scope: &str,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let all = |name: &str| -> Vec<&str> {
        let values = request.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).collect()
    };
    let presented = Presented {
        method: request.method().as_str(),
        path: request.uri().path(),
        authorization: &all("authorization"),
        dpop: &all("dpop"),
        now_s: now_s(),
    };
    match checker.check(&presented, &Requirement::scope(&[scope])) {
        Ok(token) => {
            let client = token.client_id().unwrap_or_default().to_owned();
            Response::new(Full::new(Bytes::from(client)))
        }
        Err(error) => {
            let mut answer = Response::new(Full::new(Bytes::from(error.to_string())));
            *answer.status_mut() =
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
            answer
        }
    }
}

/// The API in a process of its own.
pub struct Server {
    child: Child,
    /// Where it is.
    pub base: Base,
}

impl Server {
    /// Starts it; what it has to know lies beside the key set.
    ///
    /// # Errors
    /// When it does not say its address.
    pub fn start(jwks: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(crate::own_arguments("helseid"))
            .arg("--api-server")
            .arg(jwks)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        match Base::parse(line.trim()) {
            Ok(base) => Ok(Self { child, base }),
            Err(error) => {
                let _ = child.kill();
                Err(error)
            }
        }
    }

    /// Processor time used so far, microseconds.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        crate::store::cpu_us_of(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes down what the API has to know.
///
/// # Errors
/// When the file cannot be written.
pub fn tell(jwks: &Path, client: &Client) -> Result<()> {
    let text = format!("{}\n{}", client.audience, client.scope);
    Ok(std::fs::write(file_beside(jwks), text)?)
}

/// Checks on one thread, and the same signatures alone.
///
/// # Errors
/// When a check fails.
pub fn in_process(client: &Client, jwks: &Path, tokens: &[String]) -> Result<()> {
    const CALLS: usize = 40_000;
    let origin = "https://api.example.no";
    let (audience, _) = client.scope.rsplit_once('/').context("a scope")?;
    let checker = checker(jwks, &client.audience, audience, origin)?;
    let url = format!("{origin}{PATH}");
    let proofs: Vec<(String, String)> = (0..CALLS)
        .map(|n| {
            let token = tokens.get(n % tokens.len().max(1)).context("no token")?;
            let proof = make_proof(&client.key, "GET", &url, Some(token), None, now_s())?;
            Ok((format!("DPoP {token}"), proof))
        })
        .collect::<Result<_>>()?;
    let scopes = [client.scope.as_str()];
    let requirement = Requirement::scope(&scopes);
    let began = Instant::now();
    for (authorization, proof) in &proofs {
        let presented = Presented {
            method: "GET",
            path: PATH,
            authorization: &[authorization],
            dpop: &[proof],
            now_s: now_s(),
        };
        if let Err(error) = checker.check(&presented, &requirement) {
            bail!("a check failed: {error}");
        }
    }
    let rate = CALLS as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for (_, proof) in &proofs {
        jose::jws::verify(proof, client.key.public())?;
    }
    let bare = CALLS as f64 / began.elapsed().as_secs_f64();
    println!(
        "  API check in-process, one core {rate:>8.0}/s; proofs' signatures alone {bare:.0}/s, share {:.0} %  (goal 14 000/s)",
        100.0 * rate / bare
    );
    Ok(())
}
