//! Writing parts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const LINE: usize = 76;

/// Base64 in lines of 76 characters, each with its line end.
#[must_use]
pub fn base64_lines(content: &[u8]) -> String {
    let encoded = STANDARD.encode(content);
    let mut out = String::with_capacity(encoded.len() + encoded.len() / LINE * 2 + 2);
    let mut rest = encoded.as_str();
    while let Some((line, after)) = rest.split_at_checked(LINE) {
        out.push_str(line);
        out.push_str("\r\n");
        rest = after;
    }
    if !rest.is_empty() {
        out.push_str(rest);
        out.push_str("\r\n");
    }
    out
}

/// A boundary made from an id. No line of base64 begins with `--`, so it can stand in none of our parts.
#[must_use]
pub fn boundary_for(id: &str) -> String {
    let plain: String = id
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(40)
        .collect();
    format!("part-{plain}")
}

/// Appends a part in base64 with its delimiter. The fields must be ours: they are written as they are.
pub fn write_part(out: &mut String, boundary: &str, fields: &[(&str, &str)], content: &[u8]) {
    let _ = write!(out, "--{boundary}\r\n");
    for (name, value) in fields {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
    out.push_str(&base64_lines(content));
}
