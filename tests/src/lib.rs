//! Harness of the black-box tests (DESIGN §11): starts the real binary on free ports with a store of its own, and speaks
//! to it only from outside, as a vendor would: HTTP, HelseID, the message bus, the command line, `facts.json`.
//!
//! What it deliberately does not know: anything of the hub's inside. It links the protocol crates of the lowest floor
//! (`jose`, `amqp`, `xmlsec`) for their client sides; messages are plain text, sealed here.
//!
//! Read first: [`Demo`] (one running hub, stopped whatever happens to the test), [`Engine`] (which store it stands on),
//! [`http::Web`] (HTTP), [`portal::Session`] (a person at a portal), [`epj::Clinician`] and [`epj::machine_token`]
//! (HelseID), [`bus::Office`] (an organisation on the bus), [`cli`] (the binary as a command).
//!
//! The binary is `HELSENAV_BIN`, else `helsenav` of the target folder this test was built into. PostgreSQL tests run
//! when `HELSENAV_PG_URL` is set; official samples are used when `HELSENAV_SHARED` (or `../shared`) is there.

pub mod bus;
pub mod cli;
pub mod demo;
pub mod epj;
pub mod facts;
pub mod http;
pub mod mail;
pub mod portal;

pub use demo::{Demo, Engine};
pub use facts::Facts;

use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// One of our own messages (`crates/edi/fixtures`).
pub fn fixture(name: &str) -> PathBuf {
    root().join("crates/edi/fixtures").join(name)
}

/// Official schemas and samples, when they are there; says so when they are not.
pub fn shared() -> Option<PathBuf> {
    let folder =
        std::env::var_os("HELSENAV_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if folder.join("data").is_dir() {
        return Some(folder);
    }
    passed_over("official samples are not there (set HELSENAV_SHARED)");
    None
}

/// Says clearly that a test, or a part of it, did not run.
pub fn passed_over(why: &str) {
    eprintln!("passed over: {why}");
}
