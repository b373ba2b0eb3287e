//! Builds the file layer that loses what was not flushed.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = include_str!("../../../crash/unsynced.c");

/// Compiles the layer with the system's C compiler; returns the shared library.
pub fn build() -> Result<PathBuf, String> {
    let folder = super::scratch();
    let failed = |e: std::io::Error| format!("unsynced layer: {e}");
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let (source, library) = (folder.join("unsynced.c"), folder.join("unsynced.so"));
    std::fs::write(&source, SOURCE).map_err(failed)?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(&compiler)
        .args(["-O1", "-g", "-Wall", "-shared", "-fPIC", "-pthread", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .map_err(|e| format!("{compiler}: {e}; please install a C compiler"))?;
    if built.status.success() {
        return Ok(library);
    }
    Err(format!(
        "{compiler}: {}",
        String::from_utf8_lossy(&built.stderr)
    ))
}
