//! The byte forms of search keys, used alike when indexing and when querying.
//!
//! Every form orders as its values do. Systems and units are held as stable 64- or 32-bit digests: a key is compared for
//! equality of the digest, never shown. Changing anything here changes all stored keys: raise [`VERSION`] when doing so.

use crate::decimal::Num;

/// Version of the key forms; stored keys of another version are rebuilt.
pub const VERSION: u16 = 2;

/// Longest key value in bytes.
pub const MAX_KEY: usize = 255;
/// Text of strings, codes and URLs is kept in the key up to this many bytes.
pub const MAX_TEXT: usize = 200;

/// Sub-kinds: the low four bits of a parameter number.
pub mod sub {
    /// Main form of every kind.
    pub const MAIN: u32 = 0;
    /// Token: `:of-type` triples of identifiers.
    pub const OF_TYPE: u32 = 1;
    /// Reference: identifier of a logical reference.
    pub const IDENTIFIER: u32 = 1;
    /// Date: upper bound first.
    pub const HIGH_FIRST: u32 = 1;
    /// Number and quantity: range, lower bound first.
    pub const RANGE_LOW: u32 = 1;
    /// Number and quantity: range, upper bound first.
    pub const RANGE_HIGH: u32 = 2;
    /// Quantity: canonical unit, then number.
    pub const CANONICAL: u32 = 3;
    /// Quantity: canonical unit, then range, lower bound first.
    pub const CANONICAL_LOW: u32 = 4;
    /// Quantity: canonical unit, then range, upper bound first.
    pub const CANONICAL_HIGH: u32 = 5;
    /// The element is there but gives no searchable value.
    pub const PRESENT: u32 = 15;
}

/// UCUM's system URI.
pub const UCUM: &str = "http://unitsofmeasure.org";

/// Stable digest of a text (FNV-1a, mixed); 0 is kept for "no text".
pub fn digest(parts: &[&str]) -> u64 {
    if parts.iter().all(|p| p.is_empty()) {
        return 0;
    }
    let mut h = 0xCBF2_9CE4_8422_2325u64;
    for (i, p) in parts.iter().enumerate() {
        if i > 0 {
            h = (h ^ 0xFF).wrapping_mul(0x0100_0000_01B3);
        }
        for b in p.bytes() {
            h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    h ^= h >> 32;
    h = h.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (h ^ (h >> 29)).max(1)
}

fn digest32(text: &str) -> [u8; 4] {
    if text.is_empty() {
        return [0; 4];
    }
    let [a, b, c, d, ..] = digest(&[text]).to_be_bytes();
    [a, b, c, d]
}

/// Text cut to [`MAX_TEXT`] bytes at a character boundary; NUL, which FHIR forbids, cannot end a key early.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend(text.bytes().take(end).map(|b| b.max(1)));
}

/// Text for equality: longer texts are cut and end in their digest.
fn put_exact(out: &mut Vec<u8>, text: &str) {
    put_text(out, text);
    if text.len() > MAX_TEXT {
        out.push(1);
        out.extend(digest(&[text]).to_be_bytes());
    }
}

/// Folded text of a string key.
pub fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, &codes::fold::fold(text));
    out
}

/// Code of a token: lower case when the parameter folds case. Ends in NUL so that it is a prefix of its own.
pub fn token_code(code: &str, folds: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(code.len() + 9);
    if folds {
        put_exact(&mut out, &code.to_lowercase())
    } else {
        put_exact(&mut out, code)
    }
    out.push(0);
    out
}

/// A whole token: code, then the digest of its system.
pub fn token(system: &str, code: &str, folds: bool) -> Vec<u8> {
    let mut out = token_code(code, folds);
    out.extend(digest(&[system]).to_be_bytes());
    out
}

/// `:of-type` form of an identifier: value, then the digest of its type coding.
pub fn of_type(type_system: &str, type_code: &str, value: &str) -> Vec<u8> {
    let mut out = token_code(value, true);
    out.extend(digest(&[type_system, type_code]).to_be_bytes());
    out
}

/// Local reference target; without a type, the prefix of all targets with that id.
pub fn reference_local(id: &str, resource_type: Option<&str>) -> Vec<u8> {
    let mut out = vec![1];
    put_text(&mut out, id);
    out.push(0);
    out.extend_from_slice(resource_type.unwrap_or_default().as_bytes());
    out
}

/// Absolute reference or canonical target; without a version, the prefix of all versions.
pub fn reference_url(url: &str, version: Option<&str>) -> Vec<u8> {
    let mut out = vec![2];
    put_exact(&mut out, url);
    out.push(0);
    if let Some(v) = version {
        put_text(&mut out, v.get(..v.len().min(40)).unwrap_or(v));
        out.truncate(MAX_KEY);
    }
    out
}

/// URI, with the version of a canonical behind a NUL.
pub fn uri(url: &str, version: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    put_exact(&mut out, url);
    if let Some(v) = version {
        out.push(0);
        put_text(&mut out, v.get(..v.len().min(40)).unwrap_or(v));
        out.truncate(MAX_KEY);
    }
    out
}

/// Eight bytes that order as the number does.
pub fn instant(us: i64) -> [u8; 8] {
    (us.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Range of a date value: bounds in UTC microseconds, lower (or upper) first. Open ends are `i64::MIN` and `i64::MAX`.
pub fn date(low: i64, high: i64, high_first: bool) -> Vec<u8> {
    let (a, b) = if high_first { (high, low) } else { (low, high) };
    [instant(a), instant(b)].concat()
}

/// One bound of a number range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// −∞
    Below,
    /// A number.
    At(Num),
    /// +∞
    Above,
}

impl Edge {
    /// Appends the self-delimiting bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Edge::Below => Num::encode_min(out),
            Edge::At(n) => n.encode(out),
            Edge::Above => Num::encode_max(out),
        }
    }

    /// The bytes alone.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Offset just after the number that starts at `at`.
pub fn after_number(key: &[u8], at: usize) -> usize {
    let stop = match key.get(at) {
        Some(0xC0) => 0x00,
        Some(0x40) => 0xFF,
        _ => return at + 1,
    };
    key.iter()
        .enumerate()
        .skip(at + 3)
        .find(|(_, b)| **b == stop)
        .map_or(key.len(), |(i, _)| i + 1)
}

/// What stands behind the number of a raw quantity key: digests of system and code, of code, and of unit text.
pub fn unit_tail(system: &str, code: &str, unit: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (d, s) in out.iter_mut().zip(
        digest(&[system, code])
            .to_be_bytes()
            .into_iter()
            .chain(digest32(code))
            .chain(digest32(unit)),
    ) {
        *d = s;
    }
    out
}

/// Digest of a unit as [`unit_tail`] holds code and unit text.
pub fn unit_digest(unit: &str) -> [u8; 4] {
    digest32(unit)
}

/// Head of a canonical quantity key.
pub fn canonical_head(unit: &str) -> [u8; 8] {
    digest(&[UCUM, unit]).to_be_bytes()
}

/// Position for `near`: latitude, then longitude, in millionths of a degree.
pub fn position(latitude: f64, longitude: f64) -> Vec<u8> {
    [axis(latitude), axis(longitude)].concat()
}

/// One axis of a position.
#[allow(clippy::cast_possible_truncation)]
pub fn axis(degrees: f64) -> [u8; 4] {
    let millionths = (degrees.clamp(-360.0, 360.0) * 1e6).round() as i32;
    (millionths.cast_unsigned() ^ (1 << 31)).to_be_bytes()
}

/// The smallest bytes above everything that begins with `prefix`; `None` when there is no upper end.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|b| *b != 0xFF)?;
    let mut out = prefix.get(..=keep)?.to_vec();
    if let Some(last) = out.last_mut() {
        *last += 1;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digests_are_stable() {
        // Stored keys depend on these for ever.
        assert_eq!(digest(&[""]), 0);
        assert_eq!(digest(&["http://loinc.org"]), digest(&["http://loinc.org"]));
        assert_ne!(digest(&["a", "b"]), digest(&["ab", ""]));
        assert_eq!(digest(&["http://loinc.org"]), 1_725_074_578_978_369_336);
    }

    proptest! {
        #[test]
        fn keys_are_bounded(text in "\\PC{0,400}", v in "\\PC{0,80}") {
            for k in [string(&text), token(&v, &text, true), of_type(&v, &v, &text), reference_url(&text, Some(&v)), uri(&text, Some(&v)), reference_local(&text, Some("Patient"))] {
                prop_assert!(k.len() <= MAX_KEY, "{}", k.len());
            }
        }

        #[test]
        fn instants_order(a: i64, b: i64) {
            prop_assert_eq!(instant(a).cmp(&instant(b)), a.cmp(&b));
        }

        #[test]
        fn after_prefix_is_tight(p in proptest::collection::vec(any::<u8>(), 0..6), k in proptest::collection::vec(any::<u8>(), 0..8)) {
            let inside = k.starts_with(&p);
            let below = after_prefix(&p).is_none_or(|e| k < e);
            prop_assert_eq!(inside, k >= p && below);
        }

        #[test]
        fn numbers_delimit_themselves(a in -100_000i64..100_000, tail in proptest::collection::vec(any::<u8>(), 0..5)) {
            let mut k = Edge::At(Num::parse(&format!("{a}e-2")).unwrap()).bytes();
            let len = k.len();
            k.extend(tail);
            prop_assert_eq!(after_number(&k, 0), len);
        }
    }
}
