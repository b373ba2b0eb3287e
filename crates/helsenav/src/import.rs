//! `helsenav import ndjson`: resources, one per line, into the sandbox; of a running hub over HTTP, of a stopped one
//! straight into its store.

use crate::cli::StoreArgs;
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use records::bulk::import::{Counts, import_ndjson};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Import resources, one per line.
#[derive(Debug, Clone, Args)]
pub(crate) struct NdjsonArgs {
    /// Files with one resource on each line.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Repository: only `sandbox` takes imports.
    #[arg(long, default_value = hub::fhir::SANDBOX)]
    repository: String,
    /// FHIR base of a running hub without the repository, e.g. `http://127.0.0.1:8080/fhir`; without it the hub must be
    /// stopped, and its store is loaded directly.
    #[arg(long)]
    base: Option<String>,
    /// File for OperationOutcomes of lines that could not be taken.
    #[arg(long, default_value = "import-errors.ndjson")]
    errors: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Imports.
pub(crate) fn ndjson(args: &NdjsonArgs) -> Result<ExitCode> {
    if args.repository != hub::fhir::SANDBOX {
        bail!("only the sandbox takes imports: patient data comes through the services");
    }
    let mut errors = BufWriter::new(
        File::create(&args.errors)
            .with_context(|| format!("cannot write {}", args.errors.display()))?,
    );
    let counts = match &args.base {
        Some(base) => over_http(args, base, &mut errors)?,
        None => into_store(args, &mut errors)?,
    };
    errors.flush()?;
    println!(
        "{} created, {} updated, {} unchanged, {} failed.",
        counts.created, counts.updated, counts.unchanged, counts.failed
    );
    if counts.failed > 0 {
        println!(
            "What was wrong with each of them: {}",
            args.errors.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    std::fs::remove_file(&args.errors)?;
    Ok(ExitCode::SUCCESS)
}

/// A bar over the bytes of a file.
pub(crate) fn bar_of(path: &Path, file: &File) -> Result<ProgressBar> {
    let bar = ProgressBar::new(file.metadata()?.len());
    bar.set_style(ProgressStyle::with_template(
        "{prefix} {bar:32} {percent}% {msg} {eta}",
    )?);
    bar.set_prefix(
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    );
    Ok(bar)
}

fn add(sum: &mut Counts, more: Counts) {
    sum.created += more.created;
    sum.updated += more.updated;
    sum.unchanged += more.unchanged;
    sum.failed += more.failed;
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

fn into_store(args: &NdjsonArgs, errors: &mut dyn Write) -> Result<Counts> {
    let opened = args
        .store
        .opened()
        .context("a running hub is reached with --base")?;
    let mut sum = Counts::default();
    for path in &args.files {
        let file = open(path)?;
        let bar = bar_of(path, &file)?;
        let mut input = BufReader::with_capacity(1 << 18, bar.wrap_read(file));
        let began = std::time::Instant::now();
        let counts = import_ndjson(
            hub::fhir::loadable(&opened)?,
            &mut input,
            errors,
            &mut |counts| {
                let per_s = counts.total() as f64 / began.elapsed().as_secs_f64().max(0.001);
                bar.set_message(format!("{} resources, {per_s:.0}/s", counts.total()));
            },
        )?;
        bar.finish_and_clear();
        add(&mut sum, counts);
    }
    opened.store.close();
    Ok(sum)
}

fn over_http(args: &NdjsonArgs, base: &str, errors: &mut dyn Write) -> Result<Counts> {
    let base = Base::parse(&format!(
        "{}/{}",
        base.trim_end_matches('/'),
        args.repository
    ))?;
    let mut sum = Counts::default();
    for path in &args.files {
        let file = open(path)?;
        let bar = bar_of(path, &file)?;
        let mut answer = base.post(&file, &bar)?;
        bar.set_message("the hub imports");
        let place = answer.header("content-location").map(str::to_owned);
        if answer.status != 202 {
            bail!("{}: {}", answer.status, answer.problem());
        }
        let place = place.context("the hub named no place to ask at")?;
        while answer.status == 202 {
            std::thread::sleep(Duration::from_millis(300));
            answer = base.get(&place)?;
            if let Some(progress) = answer.header("x-progress") {
                bar.set_message(progress.to_owned());
            }
        }
        bar.finish_and_clear();
        if answer.status != 200 {
            bail!("{}: {}", answer.status, answer.problem());
        }
        let manifest: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let count = |name: &str| {
            manifest
                .pointer(&format!("/extension/{name}"))
                .and_then(serde_json::Value::as_u64)
                .unwrap_or(0)
        };
        add(
            &mut sum,
            Counts {
                created: count("created"),
                updated: count("updated"),
                unchanged: count("unchanged"),
                failed: count("failed"),
            },
        );
        for list in manifest
            .get("error")
            .and_then(|e| e.as_array())
            .into_iter()
            .flatten()
        {
            if let Some(url) = list.get("url").and_then(|u| u.as_str()) {
                errors.write_all(&base.get(url)?.body)?;
            }
        }
    }
    Ok(sum)
}

/// A FHIR base over plain HTTP: one connection per request, which is little beside the work asked for.
struct Base {
    authority: String,
    path: String,
}

/// Longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn problem(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|o| {
                o.pointer("/issue/0/details/text")
                    .and_then(|t| t.as_str())
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| "the hub did not say why".to_owned())
    }
}

impl Base {
    fn parse(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("http://")
            .context("--base must begin with http:// (TLS is not spoken here)")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            authority: authority.to_owned(),
            path: format!("/{}", path.trim_end_matches('/')),
        })
    }

    fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect(&self.authority)
            .with_context(|| format!("{} does not answer", self.authority))
    }

    fn post(&self, file: &File, bar: &ProgressBar) -> Result<Answer> {
        let mut stream = self.connect()?;
        let length = file.metadata()?.len();
        write!(
            stream,
            "POST {}/$import HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/fhir+ndjson\r\nPrefer: respond-async\r\nContent-Length: {length}\r\n\r\n",
            self.path, self.authority
        )?;
        let mut input = bar.wrap_read(file.take(length));
        std::io::copy(&mut input, &mut stream).context("the hub broke off")?;
        read_answer(stream)
    }

    /// `url`: absolute, of this hub, or below the base.
    fn get(&self, url: &str) -> Result<Answer> {
        let target = match url.strip_prefix("http://").and_then(|u| u.split_once('/')) {
            Some((_, path)) => format!("/{path}"),
            None => format!("{}/{url}", self.path),
        };
        let mut stream = self.connect()?;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.authority
        )?;
        read_answer(stream)
    }
}

/// An answer with a known length, or in chunks.
fn read_answer(stream: TcpStream) -> Result<Answer> {
    let mut input = BufReader::new(stream.take(MAX_ANSWER_BYTES));
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            bail!("the hub did not answer");
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("this is no HTTP answer")?;
    let mut answer = Answer {
        status,
        head,
        body: Vec::new(),
    };
    let is_chunked = answer
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    if is_chunked {
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).context("a broken chunk")?;
            if size == 0 {
                break;
            }
            input.by_ref().take(size).read_to_end(&mut answer.body)?;
            let mut end = [0; 2];
            input.read_exact(&mut end)?;
        }
    } else {
        input.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}
