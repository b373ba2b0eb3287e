//! Where the official data is, when it is.

use std::path::{Path, PathBuf};

/// `$HELSENAV_SHARED` or `../shared` relative to the repository; `None` prints what is skipped.
pub fn data(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("data").join(what);
    if path.exists() {
        Some(path)
    } else {
        println!(
            "skipped: no official data at {} (set HELSENAV_SHARED)",
            path.display()
        );
        None
    }
}

/// All XML files below a folder, sorted.
pub fn xml_files(dir: &Path) -> Vec<PathBuf> {
    files(dir, "xml")
}

/// All files below a folder with an extension, sorted.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(d) = todo.pop() {
        for entry in std::fs::read_dir(d).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case(extension))
            {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}
