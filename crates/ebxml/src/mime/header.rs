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
        let (kind, mut rest) = match value.split_once(';') {
            Some((kind, rest)) => (kind, rest),
            None => (value, ""),
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
        Some(Self { kind, parameters })
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
