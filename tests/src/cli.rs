//! The binary as a command.

use crate::root;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Where the binary is: `HELSENAV_BIN`, else beside the test that runs.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HELSENAV_BIN") {
        return PathBuf::from(path);
    }
    let beside = std::env::current_exe().ok().and_then(|test| {
        // target/debug/deps/it-… → target/debug/helsenav
        Some(test.parent()?.parent()?.join("helsenav"))
    });
    let found = [beside, Some(root().join("target/debug/helsenav"))];
    let found = found.into_iter().flatten().find(|path| path.is_file());
    found.expect("no helsenav binary: build it (cargo build -p helsenav) or set HELSENAV_BIN")
}

/// A command of the binary, without the caller's own settings of a hub.
pub fn helsenav() -> Command {
    let mut command = Command::new(binary());
    for (key, _) in std::env::vars().filter(|(k, _)| k.starts_with("HELSENAV_")) {
        command.env_remove(key);
    }
    command.env("NO_COLOR", "1");
    command
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; -1 when it was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary starts");
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
