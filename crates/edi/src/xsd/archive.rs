//! A folder of schemas as one value: what an operator imports once and every process of a hub reads.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{CHOICE, MAX_FILES, SchemaError, find, io, read_file};

/// Most bytes of all files of an archive together.
pub const MAX_ARCHIVE_BYTES: usize = 64 << 20;
/// The only format so far.
const FORMAT: u32 = 1;

/// Every `.xsd` below a folder, and `namespaces.json` at its top, by path relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    /// Path and base64.
    files: BTreeMap<String, String>,
}

impl Archive {
    /// Reads a folder. What is larger than a schema may be is left out.
    ///
    /// # Errors
    /// [`SchemaError`] when the folder cannot be read, or all of it is more than [`MAX_ARCHIVE_BYTES`].
    pub fn read(dir: &Path) -> Result<Self, SchemaError> {
        let mut paths = Vec::new();
        find(dir, 0, &mut paths).map_err(io(dir))?;
        let choice = dir.join(CHOICE);
        if choice.is_file() {
            paths.push(choice);
        }
        let mut files = BTreeMap::new();
        let mut total = 0usize;
        for path in paths {
            let Ok(bytes) = read_file(&path) else {
                continue;
            };
            total = total.saturating_add(bytes.len());
            if total > MAX_ARCHIVE_BYTES {
                let words = format!("more than {} MiB of schemas", MAX_ARCHIVE_BYTES >> 20);
                return Err(io(dir)(std::io::Error::other(words)));
            }
            let relative = path.strip_prefix(dir).unwrap_or(&path);
            let parts: Vec<String> = relative
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            files.insert(parts.join("/"), bytes);
        }
        Ok(Self { files })
    }

    /// As bytes, for keeping.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let files = self.files.iter();
        let written = Written {
            format: FORMAT,
            files: files
                .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes)))
                .collect(),
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// What was kept; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > 2 * MAX_ARCHIVE_BYTES {
            return None;
        }
        let written: Written = serde_json::from_slice(bytes).ok()?;
        if written.format != FORMAT || written.files.len() > MAX_FILES + 1 {
            return None;
        }
        let files = written.files.into_iter();
        let files = files.map(|(name, text)| Some((name, STANDARD.decode(text).ok()?)));
        Some(Self {
            files: files.collect::<Option<_>>()?,
        })
    }

    /// How many schemas it holds.
    #[must_use]
    pub fn schemas(&self) -> usize {
        self.files.keys().filter(|name| *name != CHOICE).count()
    }

    /// Path and content of each file.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(super) fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }
}
