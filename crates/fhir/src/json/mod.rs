//! Strict JSON (RFC 8259) as events, with limits and byte positions.
//!
//! One recursive reader serves two builders: the arena of [`crate::doc::Doc`] and the mutable [`value::Value`] of patches.
//! Numbers stay text. Duplicate keys are the builders' business, since only they hold the keys.

pub mod value;

use crate::finding::{Finding, IssueCode, line_column};

/// Bounds on what a parser accepts. Defaults follow the published limits of the FHIR server (body 32 MiB).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of one document.
    pub max_bytes: usize,
    /// Deepest nesting of objects and arrays.
    pub max_depth: usize,
    /// Most elements (values, counting array items) of one document.
    pub max_nodes: usize,
    /// Most members of one object.
    pub max_fields: usize,
    /// Most findings reported.
    pub max_findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_bytes: 32 << 20,
            max_depth: 100,
            max_nodes: 4_000_000,
            max_fields: 256,
            max_findings: 100,
        }
    }
}

/// A fault in the text at a byte offset.
#[derive(Debug)]
pub(crate) struct Fault {
    pub offset: usize,
    pub code: IssueCode,
    pub rule: &'static str,
    pub text: String,
}

impl Fault {
    pub(crate) fn new(
        offset: usize,
        code: IssueCode,
        rule: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Fault {
            offset,
            code,
            rule,
            text: text.into(),
        }
    }

    fn syntax(offset: usize, text: &str) -> Self {
        Fault::new(offset, IssueCode::Invalid, "json-syntax", text)
    }

    pub(crate) fn finding(&self, src: &[u8]) -> Finding {
        let (line, column) = line_column(src, self.offset);
        Finding::error(self.code, self.rule, self.text.clone()).at(line, column)
    }
}

/// A string literal in the source: the span between the quotes, and whether it holds escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lit {
    pub start: usize,
    pub end: usize,
    pub escaped: bool,
}

/// Receiver of JSON events. Offsets are byte offsets of the value's first byte.
pub(crate) trait Sink {
    fn begin_object(&mut self, at: usize) -> Result<(), Fault>;
    fn key(&mut self, key: Lit) -> Result<(), Fault>;
    /// `end` is the offset just after the closing brace.
    fn end_object(&mut self, end: usize) -> Result<(), Fault>;
    fn begin_array(&mut self, at: usize) -> Result<(), Fault>;
    fn end_array(&mut self, at: usize) -> Result<(), Fault>;
    fn string(&mut self, v: Lit) -> Result<(), Fault>;
    fn number(&mut self, start: usize, end: usize) -> Result<(), Fault>;
    fn bool(&mut self, at: usize, v: bool) -> Result<(), Fault>;
    fn null(&mut self, at: usize) -> Result<(), Fault>;
}

/// Reads one JSON text into `sink`. The text must be UTF-8, without a byte order mark.
pub(crate) fn parse<S: Sink>(src: &[u8], limits: &Limits, sink: &mut S) -> Result<(), Fault> {
    if src.len() > limits.max_bytes || src.len() > u32::MAX as usize / 2 {
        return Err(Fault::new(
            0,
            IssueCode::TooLong,
            "limit-bytes",
            format!(
                "document is larger than the limit of {} bytes",
                limits.max_bytes
            ),
        ));
    }
    if let Err(e) = std::str::from_utf8(src) {
        return Err(Fault::new(
            e.valid_up_to(),
            IssueCode::Invalid,
            "utf-8",
            "text is not valid UTF-8; send UTF-8",
        ));
    }
    let mut r = Reader {
        src,
        pos: 0,
        max_depth: limits.max_depth,
    };
    r.space();
    r.value(sink, 0)?;
    r.space();
    if r.pos < src.len() {
        return Err(Fault::syntax(
            r.pos,
            "unexpected text after the end of the document",
        ));
    }
    Ok(())
}

struct Reader<'s> {
    src: &'s [u8],
    pos: usize,
    max_depth: usize,
}

impl Reader<'_> {
    #[inline]
    fn peek(&self) -> u8 {
        // A NUL byte is not legal anywhere outside a string, so it can stand for the end.
        self.src.get(self.pos).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.pos += 1;
        }
    }

    fn value<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<(), Fault> {
        let at = self.pos;
        match self.peek() {
            b'"' => {
                let lit = self.literal()?;
                sink.string(lit)
            }
            b'{' => self.object(sink, depth + 1),
            b'[' => self.array(sink, depth + 1),
            b't' => {
                self.word(b"true")?;
                sink.bool(at, true)
            }
            b'f' => {
                self.word(b"false")?;
                sink.bool(at, false)
            }
            b'n' => {
                self.word(b"null")?;
                sink.null(at)
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                sink.number(at, self.pos)
            }
            _ if at >= self.src.len() => {
                Err(Fault::syntax(at, "the text ends where a value is expected"))
            }
            _ => Err(Fault::syntax(at, "a JSON value is expected here")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<(), Fault> {
        if depth > self.max_depth {
            return Err(Fault::new(
                self.pos,
                IssueCode::TooCostly,
                "limit-depth",
                format!("nesting is deeper than the limit of {}", self.max_depth),
            ));
        }
        Ok(())
    }

    fn object<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<(), Fault> {
        self.deeper(depth)?;
        sink.begin_object(self.pos)?;
        self.pos += 1;
        self.space();
        if self.peek() == b'}' {
            self.pos += 1;
            return sink.end_object(self.pos);
        }
        loop {
            if self.peek() != b'"' {
                return Err(Fault::syntax(
                    self.pos,
                    "a member name in double quotes is expected here",
                ));
            }
            let key = self.literal()?;
            sink.key(key)?;
            self.space();
            if self.peek() != b':' {
                return Err(Fault::syntax(
                    self.pos,
                    "':' is expected after a member name",
                ));
            }
            self.pos += 1;
            self.space();
            self.value(sink, depth)?;
            self.space();
            match self.peek() {
                b',' => {
                    self.pos += 1;
                    self.space();
                }
                b'}' => {
                    self.pos += 1;
                    return sink.end_object(self.pos);
                }
                _ => return Err(Fault::syntax(self.pos, "',' or '}' is expected here")),
            }
        }
    }

    fn array<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<(), Fault> {
        self.deeper(depth)?;
        sink.begin_array(self.pos)?;
        self.pos += 1;
        self.space();
        if self.peek() == b']' {
            self.pos += 1;
            return sink.end_array(self.pos);
        }
        loop {
            self.value(sink, depth)?;
            self.space();
            match self.peek() {
                b',' => {
                    self.pos += 1;
                    self.space();
                }
                b']' => {
                    self.pos += 1;
                    return sink.end_array(self.pos);
                }
                _ => return Err(Fault::syntax(self.pos, "',' or ']' is expected here")),
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if self
            .src
            .get(self.pos..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.pos += word.len();
            Ok(())
        } else {
            Err(Fault::syntax(
                self.pos,
                "unknown word; JSON knows true, false and null",
            ))
        }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.pos;
        while self.peek().is_ascii_digit() {
            self.pos += 1;
        }
        if self.pos == start {
            Err(Fault::syntax(self.pos, "a digit is expected here"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == b'-' {
            self.pos += 1;
        }
        if self.peek() == b'0' {
            self.pos += 1;
            if self.peek().is_ascii_digit() {
                return Err(Fault::syntax(
                    self.pos,
                    "a number must not begin with a superfluous 0",
                ));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.pos += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string literal with the cursor on its opening quote.
    fn literal(&mut self) -> Result<Lit, Fault> {
        let start = self.pos + 1;
        let mut i = start;
        let mut escaped = false;
        loop {
            i = plain_run(self.src, i);
            match self.src.get(i) {
                Some(b'"') => {
                    self.pos = i + 1;
                    return Ok(Lit {
                        start,
                        end: i,
                        escaped,
                    });
                }
                Some(b'\\') => {
                    escaped = true;
                    i = self.escape(i)?;
                }
                Some(_) => {
                    return Err(Fault::syntax(
                        i,
                        "control characters in strings must be escaped",
                    ));
                }
                None => return Err(Fault::syntax(self.pos, "a string is not closed")),
            }
        }
    }

    /// Checks the escape at `i` (on the backslash) and returns the offset after it.
    fn escape(&self, i: usize) -> Result<usize, Fault> {
        match self.src.get(i + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(i + 2),
            Some(b'u') => {
                let unit = hex4(self.src, i + 2).ok_or_else(|| {
                    Fault::syntax(i, "\\u must be followed by four hexadecimal digits")
                })?;
                match unit {
                    0xD800..=0xDBFF => {
                        let low = (self.src.get(i + 6..i + 8) == Some(b"\\u"))
                            .then(|| hex4(self.src, i + 8))
                            .flatten();
                        if low.is_some_and(|l| (0xDC00..=0xDFFF).contains(&l)) {
                            Ok(i + 12)
                        } else {
                            Err(Fault::syntax(i, "a surrogate escape must come as a pair"))
                        }
                    }
                    0xDC00..=0xDFFF => {
                        Err(Fault::syntax(i, "a surrogate escape must come as a pair"))
                    }
                    _ => Ok(i + 6),
                }
            }
            _ => Err(Fault::syntax(i, "unknown escape in a string")),
        }
    }
}

/// Offset of the first quote, backslash or control byte at or after `i`.
#[inline]
fn plain_run(src: &[u8], mut i: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at a time: a byte is special when it is below 0x20, a quote or a backslash.
    while let Some(chunk) = src.get(i..i + 8) {
        let mut word = [0u8; 8];
        word.copy_from_slice(chunk);
        let w = u64::from_le_bytes(word);
        let quote = w ^ (ONES * u64::from(b'"'));
        let slash = w ^ (ONES * u64::from(b'\\'));
        let special = (w.wrapping_sub(ONES * 0x20) & !w)
            | (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash);
        let special = special & HIGH;
        if special != 0 {
            return i + (special.trailing_zeros() / 8) as usize;
        }
        i += 8;
    }
    while let Some(b) = src.get(i) {
        if *b < 0x20 || *b == b'"' || *b == b'\\' {
            return i;
        }
        i += 1;
    }
    i
}

fn hex4(src: &[u8], at: usize) -> Option<u32> {
    let text = src.get(at..at + 4)?;
    text.iter()
        .try_fold(0u32, |acc, b| Some(acc * 16 + (*b as char).to_digit(16)?))
}

/// Appends the value of a string literal that the reader has accepted.
pub(crate) fn unescape(src: &[u8], lit: Lit, out: &mut String) {
    let mut i = lit.start;
    while i < lit.end {
        let run = plain_run(src, i).min(lit.end);
        if let Some(text) = src.get(i..run).and_then(|t| std::str::from_utf8(t).ok()) {
            out.push_str(text);
        }
        if run >= lit.end {
            break;
        }
        let (c, len) = match src.get(run + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => {
                let hi = hex4(src, run + 2).unwrap_or(0xFFFD);
                if (0xD800..0xDC00).contains(&hi) {
                    let lo = hex4(src, run + 8).unwrap_or(0xDC00);
                    let code = 0x10000 + ((hi - 0xD800) << 10) + lo.wrapping_sub(0xDC00);
                    (char::from_u32(code).unwrap_or('\u{FFFD}'), 12)
                } else {
                    (char::from_u32(hi).unwrap_or('\u{FFFD}'), 6)
                }
            }
            Some(b) => (*b as char, 2),
            None => ('\u{FFFD}', 1),
        };
        out.push(c);
        i = run + len;
    }
}

/// Writes a string as a JSON literal, escaping only what JSON demands.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if (c as u32) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes())
            }
            c => {
                let mut buf = [0u8; 4];
                out.extend_from_slice(c.encode_utf8(&mut buf).as_bytes());
            }
        }
    }
    out.push(b'"');
}
