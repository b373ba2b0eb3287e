//! Formats of primitive values (R4 datatypes).

use super::json_kind;
use crate::datetime::{Clock, Moment, Precision};
use crate::doc::{Node, NodeKind};
use crate::pack::Pack;

/// Longest string that R4 allows, in characters.
const MAX_STRING: usize = 1_048_576;

/// What is wrong with a primitive's value; `None` when it is well formed.
pub(super) fn fault(pack: &Pack, node: Node<'_>) -> Option<&'static str> {
    let ty = node.type_id();
    let kind = json_kind(pack, ty);
    if node.kind() != kind {
        return Some(match kind {
            NodeKind::Bool => "true or false expected (not in quotes)",
            NodeKind::Number => "a number expected (not in quotes)",
            _ => "a text in quotes expected",
        });
    }
    let text = node.value_text().unwrap_or_default();
    match kind {
        NodeKind::Number => number(pack, node, text),
        NodeKind::String => string(pack, node, text),
        _ => None,
    }
}

fn number(pack: &Pack, node: Node<'_>, text: &str) -> Option<&'static str> {
    let k = &pack.known;
    let ty = node.type_id();
    if ty == k.decimal {
        return None;
    }
    let least = if ty == k.positive_int {
        1
    } else if ty == k.unsigned_int {
        0
    } else {
        i32::MIN
    };
    match text.parse::<i32>() {
        // JSON knows a negative zero; the integers of R4 do not.
        Ok(0) if text.starts_with('-') => Some("a whole number expected, zero without a sign"),
        Ok(n) if n >= least => None,
        Ok(_) if least == 1 => Some("a whole number above 0 expected"),
        Ok(_) => Some("a whole number of 0 or more expected"),
        Err(_) => Some("a whole number of 32 bits expected"),
    }
}

fn string(pack: &Pack, node: Node<'_>, text: &str) -> Option<&'static str> {
    let k = &pack.known;
    let ty = node.type_id();
    if text.is_empty() {
        return Some("the value must not be empty; leave the element out");
    }
    if text
        .chars()
        .any(|c| (c as u32) < 0x20 && !matches!(c, '\t' | '\n' | '\r'))
    {
        return Some("control characters are not allowed");
    }
    let ok = |good: bool, what: &'static str| if good { None } else { Some(what) };
    if ty == k.date {
        ok(
            Moment::parse(text, false).is_some_and(|m| m.clock.is_none()),
            "an existing date as YYYY, YYYY-MM or YYYY-MM-DD expected",
        )
    } else if ty == k.date_time {
        ok(
            Moment::parse(text, false).is_some_and(whole),
            "a date, or a date and time with seconds and zone (YYYY-MM-DDThh:mm:ss+zz:zz) expected",
        )
    } else if ty == k.instant {
        ok(
            Moment::parse(text, false).is_some_and(|m| m.clock.is_some() && whole(m)),
            "a date and time with seconds and zone (YYYY-MM-DDThh:mm:ss+zz:zz) expected",
        )
    } else if ty == k.time {
        ok(
            Clock::parse(text).is_some_and(|c| c.precision >= Precision::Second),
            "a time as hh:mm:ss expected",
        )
    } else if ty == k.code {
        ok(
            !text.starts_with(blank) && !text.ends_with(blank) && !double_space(text),
            "no blanks at the ends and no double blanks inside",
        )
    } else if ty == k.id {
        ok(
            text.len() <= 64
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'),
            "1 to 64 letters A-Z a-z, digits, '-' and '.' expected",
        )
    } else if ty == k.oid {
        ok(
            text.strip_prefix("urn:oid:").is_some_and(oid),
            "urn:oid: and a dotted number expected",
        )
    } else if ty == k.uuid {
        ok(
            text.strip_prefix("urn:uuid:").is_some_and(uuid),
            "urn:uuid: and a UUID in lower case expected",
        )
    } else if pack.is_a(ty, k.uri) {
        ok(!text.contains(blank), "a URI without blanks expected")
    } else if ty == k.base64 {
        ok(base64(text), "base64 text expected")
    } else if ty == k.xhtml {
        ok(
            crate::xml::narrative_ok(text),
            "an XHTML div of the allowed elements and attributes, without scripts, expected",
        )
    } else {
        ok(
            text.len() <= MAX_STRING || text.chars().count() <= MAX_STRING,
            "longer than 1048576 characters",
        )
    }
}

/// A date-time with a time also has seconds and a zone.
fn whole(m: Moment) -> bool {
    m.clock
        .is_none_or(|c| c.precision >= Precision::Second && m.offset_min.is_some())
}

/// What `\s` stands for in R4's expressions.
fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}')
}

fn double_space(text: &str) -> bool {
    let mut before = false;
    text.chars().any(|c| {
        let now = blank(c);
        std::mem::replace(&mut before, now) && now
    })
}

fn oid(text: &str) -> bool {
    let mut parts = text.split('.');
    parts.next().is_some_and(|p| matches!(p, "0" | "1" | "2"))
        && text.contains('.')
        && parts.all(|p| {
            !p.is_empty()
                && p.bytes().all(|b| b.is_ascii_digit())
                && (p == "0" || !p.starts_with('0'))
        })
}

fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| {
            if matches!(i, 8 | 13 | 18 | 23) {
                b == b'-'
            } else {
                b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
            }
        })
}

/// Groups of four characters with blanks only between groups, padded at the end.
fn base64(text: &str) -> bool {
    let mut count = 0usize;
    let mut padding = 0usize;
    for b in text.bytes() {
        if b.is_ascii_whitespace() {
            if !count.is_multiple_of(4) {
                return false;
            }
            continue;
        }
        count += 1;
        match b {
            b'=' => padding += 1,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    count > 0 && count.is_multiple_of(4) && padding <= 2
}
