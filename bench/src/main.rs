//! Measurements. Every figure is reported beside a raw loop of the same shape, made in the same run on the same machine:
//! only the share of that loop says anything.

mod store;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures parts of the hub.
#[derive(Parser)]
enum Bench {
    /// Durable commits, point reads and recovery of the record store.
    Store(store::Options),
}

fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Store(options) => store::run(&options),
    }
}
