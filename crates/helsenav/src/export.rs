//! `helsenav export FOLDER`: the resources of a stopped hub's FHIR repositories as NDJSON files, for whoever takes them over.

use crate::cli::StoreArgs;
use anyhow::{Context, Result, bail};
use clap::Args;
use hub::Opened;
use hub::export::{Order, run as export_all};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use xmlsec::x509::Certificate;

/// What is exported.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// Folder to make; it must not exist.
    pub folder: PathBuf,
    /// Only this repository; may be given several times. Without it, every FHIR repository.
    #[arg(long = "repository")]
    pub repositories: Vec<String>,
    /// Why; stands in the access journal.
    #[arg(long)]
    pub reason: String,
    /// The receiver's certificate (PEM, RSA): files with patient data are encrypted to it. Needed for all but the sandbox.
    #[arg(long)]
    pub to: Option<PathBuf>,
    /// Every version, not only the newest.
    #[arg(long)]
    pub history: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// List of the files, with their digests.
const MANIFEST: &str = "manifest.json";

/// Exports.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let receiver = args.to.as_deref().map(receiver).transpose()?;
    if args.folder.exists() {
        bail!("{} exists already", args.folder.display());
    }
    let opened = args.store.opened()?;
    let order = Order {
        repositories: args.repositories.clone(),
        history: args.history,
        reason: args.reason.clone(),
        receiver,
    };
    let done = export(&opened, &order, &args.folder);
    opened.store.close();
    let (files, resources) = done?;
    println!(
        "{resources} resources in {files} files of {}",
        args.folder.display()
    );
    if order.receiver.is_some() {
        println!(
            "The receiver opens a file with: openssl cms -decrypt -inform DER -inkey KEY.pem -in FILE.p7m"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn export(opened: &Opened, order: &Order, folder: &Path) -> Result<(usize, u64)> {
    let style = ProgressStyle::with_template("{spinner} {pos} resources {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut files = Vec::new();
    let (counts, seq) = export_all(opened, order, &mut |piece| {
        let path = folder.join(&piece.name);
        write(&path, &piece.bytes)?;
        bar.inc(piece.resources);
        files.push(json!({
            "file": piece.name,
            "resources": piece.resources,
            "sha256": hex(&store::sha256(&piece.bytes)),
        }));
        Ok(())
    })?;
    bar.finish_and_clear();
    let count = files.len();
    let total = counts.values().sum();
    let manifest = json!({
        "made": jiff::Timestamp::now().to_string(),
        "snapshot": seq.0,
        "incarnation": opened.store.incarnation().to_string(),
        "history": order.history,
        "repositories": counts,
        "files": files,
    });
    write(
        &folder.join(MANIFEST),
        serde_json::to_string_pretty(&manifest)?.as_bytes(),
    )?;
    Ok((count, total))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn receiver(path: &Path) -> Result<Certificate> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Certificate::from_pem(&text)
        .with_context(|| format!("{} holds no certificate in PEM", path.display()))
}

/// Readable by the operator alone, and on disk when the command ends.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        let mut make = DirBuilder::new();
        make.recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(cannot)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.sync_all().with_context(cannot)
}
