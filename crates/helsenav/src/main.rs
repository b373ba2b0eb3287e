//! `helsenav`: the whole national e-health hub as one program.
//!
//! This crate is the command line and the demo nation's set-up; it holds no rules and no protocols. What a subcommand
//! does stands in the module of its name. Exit codes: 0 ok, 1 failed, 2 usage (DESIGN §4).

mod admin;
mod cli;
mod client;
mod demo;
mod export;
mod import;
mod index;
mod log_verify;
mod persons;
mod serve;
mod stop;
mod system_user;
mod user;
mod validate;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("helsenav: {error:#}");
            ExitCode::from(1)
        }
    }
}
