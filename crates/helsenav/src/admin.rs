//! Commands of an operator: backup, restore, configuration, decision traces.

use crate::cli::StoreArgs;
use anyhow::{Context, Result, bail};
use clap::Args;
use edi::xsd::{Archive, SchemaSet};
use hub::Config;
use hub::config::SCHEMAS_FOLDER;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::backup::{LostSettings, MirrorOutcome};
use store::{Store, StoreError};

/// Which running hub.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArgs {
    /// Base URL of the running hub.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub base: String,
}

/// Opens a stopped hub's store.
pub(crate) fn open_store(args: &StoreArgs) -> Result<Store> {
    let config = args.configuration()?;
    let (store, _mint) =
        Store::open(hub::opened::store_config(&config)).context("is the hub still running?")?;
    Ok(store)
}

/// Writes a backup.
pub(crate) fn backup(file: &Path, args: &StoreArgs) -> Result<ExitCode> {
    let store = open_store(args)?;
    let out = std::fs::File::create_new(file)
        .with_context(|| format!("cannot create {}", file.display()))?;
    let mut out = BufWriter::new(out);
    let seq = store.backup(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    println!(
        "Backup up to commit {} written to {}",
        seq.0,
        file.display()
    );
    store.close();
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup into an empty store.
pub(crate) fn restore(file: &Path, accept_lost: bool, args: &StoreArgs) -> Result<ExitCode> {
    let store = open_store(args)?;
    let input =
        std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lost = match accept_lost {
        true => LostSettings::Accept,
        false => LostSettings::Refuse,
    };
    let restored = match store.restore_with(&mut BufReader::new(input), lost) {
        Err(error @ StoreError::SettingsLost(_)) => {
            bail!(
                "{error}.\nNothing was restored. Configure the mirror again (key `mirror`), or restore without it: \
                 --accept-lost-settings"
            );
        }
        other => other?,
    };
    println!(
        "Restored up to commit {} from {}",
        restored.seq.0,
        file.display()
    );
    match restored.settings {
        MirrorOutcome::Replayed(count) => {
            println!("Played again from the mirror: {count} settings and erasures made since");
        }
        MirrorOutcome::NotConfigured => println!(
            "No mirror is configured: settings and erasures made since the backup are not in it"
        ),
        MirrorOutcome::Lost => println!(
            "Settings and erasures made since the backup are lost; tell those whom it concerns"
        ),
    }
    store.close();
    Ok(ExitCode::SUCCESS)
}

/// Puts official schemas into the store, after trying them; beside a running hub on the embedded store, where it finds them.
pub(crate) fn import_standards(folder: &Path, args: &StoreArgs) -> Result<ExitCode> {
    let archive = Archive::read(folder)?;
    let set = SchemaSet::from_archive(&archive)
        .with_context(|| format!("{} holds no usable schemas", folder.display()))?;
    let config = args.configuration()?;
    let now = jiff::Timestamp::now();
    match Store::open(hub::opened::store_config(&config)) {
        Ok((store, _mint)) => {
            hub::standards::keep(&store, &archive, now)?;
            store.close();
        }
        // A running hub has the embedded store for itself.
        Err(_) if hub_holds_the_store(&config) => {
            hub::standards::leave(&config.data.join(SCHEMAS_FOLDER), &archive, now)?;
        }
        Err(error) => return Err(error).context("the store cannot be opened"),
    }
    println!(
        "{} schemas of {} namespaces imported; every process of the hub uses them at once",
        archive.schemas(),
        set.namespaces().count(),
    );
    for skipped in set.skipped() {
        println!("left out: {skipped}");
    }
    if let Some(folder) = &config.schemas {
        println!(
            "note: the configuration names {}, which counts instead",
            folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the store is embedded and there: then what keeps it shut is the hub that runs on it.
fn hub_holds_the_store(config: &Config) -> bool {
    config.store.engine != "postgres" && config.data.join("store").is_dir()
}

/// Checks or shows the configuration.
pub(crate) fn config((file, show): (Option<PathBuf>, bool)) -> Result<ExitCode> {
    let config = Config::load(file.as_deref(), std::env::vars())?;
    if show {
        print!("{}", toml::to_string_pretty(&config)?);
    } else {
        println!("OK");
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a running demo for the trace of a decision.
pub(crate) fn explain(event: uuid::Uuid, hub: &HubArgs) -> Result<ExitCode> {
    let base: url::Url = hub.base.parse().context("--base is not a URL")?;
    let (Some(host), Some(port)) = (base.host_str(), base.port_or_known_default()) else {
        bail!("--base has no host")
    };
    let answer = http_get(host, port, &format!("/demo/explain/{event}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the hub did not answer")
    };
    if !head.starts_with("HTTP/1.1 200") {
        bail!("no trace of {event}: traces are kept in demo mode, for the last thousand decisions");
    }
    let trace: serde_json::Value = serde_json::from_str(body)?;
    println!("{}", serde_json::to_string_pretty(&trace)?);
    Ok(ExitCode::SUCCESS)
}

fn http_get(host: &str, port: u16, path: &str) -> Result<String> {
    use std::io::Read;
    let mut stream =
        std::net::TcpStream::connect((host, port)).context("the hub does not answer")?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.take(1 << 20).read_to_string(&mut text)?;
    Ok(text)
}
