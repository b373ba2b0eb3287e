//! `helsenav validate FILE`: explains a message.

use anyhow::{Context, Result, bail};
use clap::Args;
use edi::check::Options;
use edi::report::{Language, explain};
use edi::xsd::SchemaSet;
use std::path::PathBuf;
use std::process::ExitCode;

const MAX_BYTES: u64 = 64 << 20;

/// Explain a message.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidateArgs {
    /// Messages (XML).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder with official schemas; without it the hub's own structural tables are used.
    #[arg(long)]
    schemas: Option<PathBuf>,
    /// Language of the report: nb or en.
    #[arg(long, default_value = "nb")]
    lang: String,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints a report per file; exit code 1 when one of them is not acceptable.
pub(crate) fn run(args: ValidateArgs) -> Result<ExitCode> {
    let schemas = match &args.schemas {
        Some(folder) => Some(
            SchemaSet::load(folder)
                .with_context(|| format!("cannot load schemas from {}", folder.display()))?,
        ),
        None => None,
    };
    let language = match args.lang.as_str() {
        "en" => Language::En,
        "nb" => Language::Nb,
        other => bail!("--lang must be nb or en, not {other}"),
    };
    let mut code = ExitCode::SUCCESS;
    let mut reports = Vec::new();
    for file in &args.files {
        let size = std::fs::metadata(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        if size > MAX_BYTES {
            bail!("{} is larger than {} MiB", file.display(), MAX_BYTES >> 20);
        }
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let options = Options {
            schemas: schemas.as_ref(),
            ..Options::default()
        };
        let report = explain(&bytes, &options);
        if !report.valid {
            code = ExitCode::from(1);
        }
        if args.json {
            reports.push(serde_json::json!({ "file": file, "report": report }));
        } else {
            println!("{}\n{}", file.display(), report.to_text(language));
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    Ok(code)
}
