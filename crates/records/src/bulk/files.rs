//! Output files of a job: one resource per line, split when they grow long.

use crate::jobs::{Ended, FileRow};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Most lines of a file.
const MAX_LINES: u64 = 250_000;

/// Writes lines of one type.
pub(super) struct Lines {
    folder: PathBuf,
    rtype: String,
    /// What stands in the file names besides the type.
    prefix: &'static str,
    open: Option<(BufWriter<File>, FileRow)>,
    done: Vec<FileRow>,
}

impl Lines {
    pub fn new(folder: &Path, prefix: &'static str, rtype: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            rtype: rtype.to_owned(),
            prefix,
            open: None,
            done: Vec::new(),
        }
    }

    /// One line. Line ends between tokens (the only ones JSON has) become blanks.
    pub fn write(&mut self, json: &[u8]) -> Result<(), Ended> {
        if self
            .open
            .as_ref()
            .is_some_and(|(_, f)| f.count >= MAX_LINES)
        {
            self.close()?;
        }
        if self.open.is_none() {
            let name = format!(
                "{}{}-{}.ndjson",
                self.prefix,
                self.rtype,
                self.done.len() + 1
            );
            let file = File::create(self.folder.join(&name))?;
            let row = FileRow {
                rtype: self.rtype.clone(),
                name,
                count: 0,
            };
            self.open = Some((BufWriter::with_capacity(256 << 10, file), row));
        }
        let Some((out, row)) = &mut self.open else {
            return Ok(());
        };
        for (index, part) in json.split(|b| matches!(b, b'\n' | b'\r')).enumerate() {
            if index > 0 {
                out.write_all(b" ")?;
            }
            out.write_all(part)?;
        }
        out.write_all(b"\n")?;
        row.count += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Ended> {
        if let Some((out, row)) = self.open.take() {
            let file = out
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()?;
            self.done.push(row);
        }
        Ok(())
    }

    /// The files, closed and on disk.
    pub fn finish(mut self) -> Result<Vec<FileRow>, Ended> {
        self.close()?;
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path(), "", "Basic");
        lines.write(b"{\n  \"a\": 1,\r\n\"b\":\"x\\ny\"}").unwrap();
        lines.write(b"{}").unwrap();
        let files = lines.finish().unwrap();
        assert_eq!((files.len(), files[0].count), (1, 2));
        let text = std::fs::read_to_string(folder.path().join(&files[0].name)).unwrap();
        assert_eq!(text, "{   \"a\": 1,  \"b\":\"x\\ny\"}\n{}\n");
    }
}
