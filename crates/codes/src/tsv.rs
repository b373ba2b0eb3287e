//! Reader of this crate's own tables: UTF-8, one row per line, fields separated by tab, `#` starts a comment line.

/// Rows of `text` as fields, comments and empty lines left out.
pub(crate) fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
}

/// Field `index` of a row, without surrounding space; empty or absent is `None`.
pub(crate) fn field(row: &[&'static str], index: usize) -> Option<&'static str> {
    row.get(index).map(|f| f.trim()).filter(|f| !f.is_empty())
}
