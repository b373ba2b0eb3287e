//! `bench`: the measurements as a program of their own; `helsenav bench` is the same.

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures parts of the hub.
#[derive(Parser)]
struct Cli {
    /// The `helsenav` program, for measurements that start one.
    #[arg(long, global = true)]
    server: Option<std::path::PathBuf>,
    #[command(subcommand)]
    bench: bench::Bench,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    bench::run(&cli.bench, cli.server.as_deref())
}
