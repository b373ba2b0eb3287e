//! Header fields (RFC 5322 §2.2, RFC 2045 §5).

use super::{Limits, MimeError};

/// Header fields in the order written, names as written, values unfolded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(String, String)>,
}

impl Headers {
    /// From fields that are known already (HTTP).
    #[must_use]
    pub fn from_fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// Reads the header block at the start; returns it with everything behind the empty line.
    ///
    /// # Errors
    /// [`MimeError::Header`].
    pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), MimeError> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut rest = bytes;
        let mut spent = 0;
        loop {
            if rest.is_empty() {
                return Ok((Self { fields }, rest));
            }
            let (line, after) = line(rest);
            spent += rest.len() - after.len();
            if spent > limits.max_header_bytes {
                return Err(MimeError::Header("it is too long"));
            }
            rest = after;
            if line.is_empty() {
                return Ok((Self { fields }, rest));
            }
            if line.iter().any(|byte| *byte == 0 || *byte == b'\r') {
                return Err(MimeError::Header("it holds control characters"));
            }
            let text = String::from_utf8_lossy(line);
            if line
                .first()
                .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            {
                let (_, value) = fields
                    .last_mut()
                    .ok_or(MimeError::Header("it begins with a continuation line"))?;
                value.push(' ');
                value.push_str(text.trim());
                continue;
            }
            let (name, value) = text
                .split_once(':')
                .ok_or(MimeError::Header("a line is no field"))?;
            let name = name.trim_end();
            if name.is_empty() || name.bytes().any(|byte| !(33..=126).contains(&byte)) {
                return Err(MimeError::Header("a field has no name"));
            }
            if fields.len() == limits.max_fields {
                return Err(MimeError::Header("it has too many fields"));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// First value of a field, whatever its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The content type; `text/plain` is not assumed.
    #[must_use]
    pub fn content_type(&self) -> Option<ContentType> {
        ContentType::parse(self.get("Content-Type")?)
    }

    /// A content id (RFC 2045 §7) or message id without its angle brackets.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<&str> {
        let value = self.get(name)?.trim();
        let inner = value.strip_prefix('<').unwrap_or(value);
        let inner = inner.strip_suffix('>').unwrap_or(inner).trim();
        (!inner.is_empty()).then_some(inner)
    }

    /// The mail address of a field such as `From`: what stands in angle brackets, else the whole; lower case.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<String> {
        address_of(self.get(name)?)
    }
}

/// The address in a mailbox (`"Name" <a@b>` or `a@b`), lower case; nothing when it has no `@` or strange characters.
pub(crate) fn address_of(value: &str) -> Option<String> {
    let inner = match value.rsplit_once('<') {
        Some((_, after)) => after.split_once('>')?.0,
        None => value,
    };
    let inner = inner.trim().trim_start_matches("mailto:");
    let is_plain = inner.len() <= 254
        && inner
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&b));
    let (local, domain) = inner.split_once('@')?;
    let is_whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    (is_plain && is_whole).then(|| inner.to_ascii_lowercase())
}

/// First line without its end, and everything behind it.
pub(super) fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = match end {
        Some(end) => bytes
            .split_at_checked(end)
            .map_or((bytes, &[][..]), |(line, rest)| {
                (line, rest.get(1..).unwrap_or_default())
            }),
        None => (bytes, &[][..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// `type/subtype; parameter=value …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// Type and subtype, lower case.
    pub kind: String,
    parameters: Vec<(String, String)>,
}

impl ContentType {
    /// Reads a field value; nothing when it has no type and subtype, or a quoted string has no end.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = without_comments(value);
        let (kind, mut rest) = match value.split_once(';') {
            Some((kind, rest)) => (kind, rest),
            None => (value.as_str(), ""),
        };
        let kind = kind.trim().to_ascii_lowercase();
        let (main, sub) = kind.split_once('/')?;
        let is_token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
        };
        if !is_token(main) || !is_token(sub) {
            return None;
        }
        let mut parameters = Vec::new();
        while !rest.trim().is_empty() {
            let (name, after) = match rest.split_once(['=', ';']) {
                Some((name, after)) if rest.as_bytes().get(name.len()) == Some(&b'=') => {
                    (name.trim().to_ascii_lowercase(), after)
                }
                // A stray semicolon (seen in official samples).
                Some((name, after)) if name.trim().is_empty() => {
                    rest = after;
                    continue;
                }
                _ => return None,
            };
            let (value, after) = parameter_value(after)?;
            if parameters.iter().any(|(known, _)| *known == name) {
                return None;
            }
            parameters.push((name, value));
            rest = after;
        }
        Some(Self {
            kind,
            parameters: joined(parameters),
        })
    }

    /// A parameter, its name in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A token or quoted string, and what follows the semicolon behind it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((value.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '"' => {
                let rest = quoted.get(at + 1..)?.trim_start();
                return match rest.strip_prefix(';') {
                    Some(rest) => Some((value, rest)),
                    None if rest.is_empty() => Some((value, rest)),
                    None => None,
                };
            }
            other => value.push(other),
        }
    }
    None
}

/// A structured value without its comments (RFC 5322 §3.2.2): round brackets outside quoted strings, nested or not. One that is
/// never closed reaches to the end.
pub(crate) fn without_comments(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut depth, mut is_quoted) = (0usize, false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next();
                if depth == 0 {
                    out.push(c);
                    out.extend(escaped);
                }
            }
            '"' if depth == 0 => {
                is_quoted = !is_quoted;
                out.push(c);
            }
            '(' if !is_quoted => {
                depth += 1;
                // Words on both sides of a comment stay apart.
                out.push(' ');
            }
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            other => out.push(other),
        }
    }
    out
}

/// Parameters with those put together that were cut into pieces or written in another way because of their length or their
/// characters (RFC 2231 §3 and §4): `name*0`, `name*1*`, `name*`. A plain parameter of the same name counts before them.
fn joined(parameters: Vec<(String, String)>) -> Vec<(String, String)> {
    let (mut plain, pieces): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .partition(|(name, _)| !name.contains('*'));
    let piece = |name: &str, marks: String| {
        let wanted = format!("{name}*{marks}");
        let found = pieces.iter().find(|(known, _)| *known == wanted);
        found.map(|(_, value)| value.as_str())
    };
    for (known, _) in &pieces {
        let name = known.split('*').next().unwrap_or_default();
        if plain.iter().any(|(other, _)| other == name) {
            continue;
        }
        let mut value = String::new();
        if let Some(whole) = piece(name, String::new()) {
            value = percent_decoded(behind_charset(whole));
        } else {
            for number in 0..pieces.len() {
                if let Some(text) = piece(name, number.to_string()) {
                    value.push_str(text);
                } else if let Some(text) = piece(name, format!("{number}*")) {
                    let text = if number == 0 {
                        behind_charset(text)
                    } else {
                        text
                    };
                    value.push_str(&percent_decoded(text));
                } else {
                    break;
                }
            }
        }
        plain.push((name.to_owned(), value));
    }
    plain
}

/// Charset and language stand before the value, each with an apostrophe behind it.
fn behind_charset(text: &str) -> &str {
    text.splitn(3, '\'').nth(2).unwrap_or(text)
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let mut digit = || ahead.next().and_then(|b| char::from(b).to_digit(16));
        match (byte, digit(), digit()) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high << 4 | low));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
