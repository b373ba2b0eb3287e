//! The server's id, version and time put into stored bytes without parsing and printing them.
//!
//! A stored body keeps what its writer sent; `id`, `meta.versionId` and `meta.lastUpdated` belong to the server (R4 http
//! §meta; house choice) and are spliced in on read. Everything else stays byte for byte.

use bytes::Bytes;

/// The bytes are not a JSON object that a [`crate::doc::Doc`] would have accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored resource is not a JSON object (at byte {0})")]
pub struct SpliceError(pub usize);

struct Member<'b> {
    key: &'b [u8],
    /// From the key's opening quote to the end of the value.
    start: usize,
    value: usize,
    end: usize,
}

/// Top-level members of the object that starts at `at`; returns also the offset after it.
fn members(src: &[u8], at: usize) -> Result<(Vec<Member<'_>>, usize), SpliceError> {
    let mut i = space(src, at);
    if src.get(i) != Some(&b'{') {
        return Err(SpliceError(i));
    }
    i = space(src, i + 1);
    let mut out = Vec::with_capacity(16);
    if src.get(i) == Some(&b'}') {
        return Ok((out, i + 1));
    }
    loop {
        let start = i;
        let key_end = string(src, i)?;
        let colon = space(src, key_end);
        if src.get(colon) != Some(&b':') {
            return Err(SpliceError(colon));
        }
        let value = space(src, colon + 1);
        let end = skip(src, value)?;
        out.push(Member {
            key: src.get(start + 1..key_end - 1).unwrap_or_default(),
            start,
            value,
            end,
        });
        i = space(src, end);
        match src.get(i) {
            Some(b',') => i = space(src, i + 1),
            Some(b'}') => return Ok((out, i + 1)),
            _ => return Err(SpliceError(i)),
        }
    }
}

fn space(src: &[u8], mut i: usize) -> usize {
    while matches!(src.get(i), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        i += 1;
    }
    i
}

/// Offset after the string whose opening quote is at `i`.
fn string(src: &[u8], i: usize) -> Result<usize, SpliceError> {
    if src.get(i) != Some(&b'"') {
        return Err(SpliceError(i));
    }
    let mut j = i + 1;
    loop {
        match src.get(j) {
            Some(b'"') => return Ok(j + 1),
            Some(b'\\') => j += 2,
            Some(_) => j += 1,
            None => return Err(SpliceError(j)),
        }
    }
}

/// Offset after the value at `i`.
fn skip(src: &[u8], i: usize) -> Result<usize, SpliceError> {
    let mut depth = 0usize;
    let mut j = i;
    loop {
        match src.get(j) {
            Some(b'"') => j = string(src, j)?,
            Some(b'{' | b'[') => {
                depth += 1;
                j += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.checked_sub(1).ok_or(SpliceError(j))?;
                j += 1;
            }
            Some(b',' | b' ' | b'\n' | b'\r' | b'\t') if depth == 0 => return Err(SpliceError(j)),
            Some(_) if depth == 0 => {
                while src.get(j).is_some_and(|b| {
                    !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
                }) {
                    j += 1;
                }
                return Ok(j);
            }
            Some(_) => j += 1,
            None => return Err(SpliceError(j)),
        }
        if depth == 0 {
            return Ok(j);
        }
    }
}

/// The stored resource with its server-owned values: `id`, `meta.versionId`, `meta.lastUpdated` (an instant, e.g.
/// `2026-11-23T08:00:00.000Z`). What the body says of them is replaced; all other bytes stay as they are.
pub fn splice_meta(
    bytes: &[u8],
    id: &str,
    version_id: &str,
    last_updated: &str,
) -> Result<Bytes, SpliceError> {
    let (top, _) = members(bytes, 0)?;
    let find = |name: &[u8]| top.iter().find(|m| m.key == name);
    let mut edits: Vec<(usize, usize, Vec<u8>)> = Vec::with_capacity(3);
    let mut server = Vec::with_capacity(64);
    server.extend_from_slice(b"\"versionId\":");
    crate::json::write_string(&mut server, version_id);
    server.extend_from_slice(b",\"lastUpdated\":");
    crate::json::write_string(&mut server, last_updated);
    let mut id_text = Vec::with_capacity(40);
    crate::json::write_string(&mut id_text, id);

    let id_member = find(b"id");
    let meta = find(b"meta");
    let mut insert = Vec::new();
    match id_member {
        Some(m) => edits.push((m.value, m.end, id_text)),
        None => {
            insert.extend_from_slice(b"\"id\":");
            insert.extend_from_slice(&id_text);
        }
    }
    match meta.filter(|m| bytes.get(m.value) == Some(&b'{')) {
        Some(m) => {
            let (inner, _) = members(bytes, m.value)?;
            let mut text = Vec::with_capacity(m.end - m.value + 80);
            text.push(b'{');
            text.extend_from_slice(&server);
            for member in inner.iter().filter(|x| {
                !matches!(
                    x.key,
                    b"versionId" | b"lastUpdated" | b"_versionId" | b"_lastUpdated"
                )
            }) {
                text.push(b',');
                text.extend_from_slice(bytes.get(member.start..member.end).unwrap_or_default());
            }
            text.push(b'}');
            edits.push((m.value, m.end, text));
        }
        None => {
            let mut text = b"\"meta\":{".to_vec();
            text.extend_from_slice(&server);
            text.push(b'}');
            match meta {
                Some(m) => edits.push((m.start, m.end, text)),
                // Right after the id, where people look for it.
                None => match id_member {
                    Some(m) => {
                        text.insert(0, b',');
                        edits.push((m.end, m.end, text));
                    }
                    None => {
                        insert.push(b',');
                        insert.extend_from_slice(&text);
                    }
                },
            }
        }
    }
    if !insert.is_empty() {
        match find(b"resourceType") {
            Some(m) => {
                insert.insert(0, b',');
                edits.push((m.end, m.end, insert));
            }
            None => {
                let open = space(bytes, 0) + 1;
                if !top.is_empty() {
                    insert.push(b',');
                }
                edits.push((open, open, insert));
            }
        }
    }
    edits.sort_by_key(|e| e.0);
    let mut out = Vec::with_capacity(bytes.len() + 160);
    let mut at = 0;
    for (from, to, text) in edits {
        out.extend_from_slice(bytes.get(at..from).unwrap_or_default());
        out.extend_from_slice(&text);
        at = to;
    }
    out.extend_from_slice(bytes.get(at..).unwrap_or_default());
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn splice(text: &str) -> String {
        String::from_utf8(
            splice_meta(text.as_bytes(), "a1", "3", "2026-11-23T08:00:00Z")
                .unwrap()
                .to_vec(),
        )
        .unwrap()
    }

    #[test]
    fn server_values_come_in_and_the_rest_stays() {
        for (from, to) in [
            (
                r#"{"resourceType":"Basic"}"#,
                r#"{"resourceType":"Basic","id":"a1","meta":{"versionId":"3","lastUpdated":"2026-11-23T08:00:00Z"}}"#,
            ),
            (
                r#"{ "resourceType" : "Basic" , "id":"old", "x": 1.00, "y":[ {"a":"}\"]"} ] }"#,
                r#"{ "resourceType" : "Basic" , "id":"a1","meta":{"versionId":"3","lastUpdated":"2026-11-23T08:00:00Z"}, "x": 1.00, "y":[ {"a":"}\"]"} ] }"#,
            ),
            (
                r#"{"id":"a","meta":{"lastUpdated":"x","tag":[{"code":"t"}],"versionId":"9","_versionId":{}},"resourceType":"Basic"}"#,
                r#"{"id":"a1","meta":{"versionId":"3","lastUpdated":"2026-11-23T08:00:00Z","tag":[{"code":"t"}]},"resourceType":"Basic"}"#,
            ),
            (
                r#"{"meta":{},"resourceType":"Basic"}"#,
                r#"{"meta":{"versionId":"3","lastUpdated":"2026-11-23T08:00:00Z"},"resourceType":"Basic","id":"a1"}"#,
            ),
        ] {
            assert_eq!(splice(from), to);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}\\[\\]\",:a1 \\\\]{0,60}") {
            let _ = splice_meta(text.as_bytes(), "i", "1", "t");
        }
    }
}
