//! Lexical forms of the simple types that messages use (XML Schema 1.0 part 2, kith.xsd).

/// A simple type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Simple {
    Text,
    Date,
    DateTime,
    /// `kith:TS`: date and time, date, year, year and month, or time.
    Ts,
    GYear,
    Boolean,
    /// `kith:BL`: the words only.
    TrueFalse,
    Integer,
    Decimal,
    Double,
    Oid,
}

impl Simple {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            // libxml2, and so the sector, takes any text as anyURI, and skips what is not base64 in base64Binary.
            // Whether an attachment can be decoded is a content rule.
            "string" | "token" | "anyURI" | "base64Binary" => Self::Text,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "gYear" => Self::GYear,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "decimal" => Self::Decimal,
            "double" => Self::Double,
            "oid" => Self::Oid,
            _ => return None,
        })
    }

    /// What the type asks for, Norwegian and English.
    pub fn wants(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("tekst", "text"),
            Self::Date => ("dato som 2026-11-23", "a date such as 2026-11-23"),
            Self::DateTime => (
                "dato og klokkeslett som 2026-11-23T10:20:00",
                "date and time such as 2026-11-23T10:20:00",
            ),
            Self::Ts => (
                "tidspunkt som 2026-11-23T10:20:00, 2026-11-23 eller 2026",
                "a time such as 2026-11-23T10:20:00, 2026-11-23 or 2026",
            ),
            Self::GYear => ("årstall som 2026", "a year such as 2026"),
            Self::Boolean => ("true, false, 1 eller 0", "true, false, 1 or 0"),
            Self::TrueFalse => ("true eller false", "true or false"),
            Self::Integer => ("heltall", "a whole number"),
            Self::Decimal | Self::Double => (
                "tall med desimalpunktum, ikke komma",
                "a number with decimal point, not comma",
            ),
            Self::Oid => (
                "OID: tall skilt med punktum",
                "an OID: numbers separated by points",
            ),
        }
    }

    /// Whether the text is of the type; white space around is collapsed as the types say.
    pub fn accepts(self, text: &str) -> bool {
        if self == Self::Text {
            return true;
        }
        let t = text.trim_matches([' ', '\t', '\r', '\n']);
        match self {
            Self::Text => true,
            Self::Date => date(t),
            Self::DateTime => date_time(t),
            Self::Ts => {
                date_time(t) || date(t) || g_year(t) || g_year_month(t) || time(t).is_some_and(zone)
            }
            Self::GYear => g_year(t),
            Self::Boolean => matches!(t, "true" | "false" | "1" | "0"),
            Self::TrueFalse => matches!(t, "true" | "false"),
            Self::Integer => digits(t.strip_prefix(['+', '-']).unwrap_or(t)),
            Self::Decimal => decimal(t),
            Self::Double => double(t),
            Self::Oid => oid(t),
        }
    }
}

fn digits(t: &str) -> bool {
    !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit())
}

fn decimal(t: &str) -> bool {
    let t = t.strip_prefix(['+', '-']).unwrap_or(t);
    match t.split_once('.') {
        Some((whole, part)) => {
            (digits(whole) || whole.is_empty()) && (digits(part) || part.is_empty()) && t.len() > 1
        }
        None => digits(t),
    }
}

fn double(t: &str) -> bool {
    if matches!(t, "INF" | "-INF" | "NaN") {
        return true;
    }
    match t.split_once(['e', 'E']) {
        Some((m, e)) => decimal(m) && digits(e.strip_prefix(['+', '-']).unwrap_or(e)),
        None => decimal(t),
    }
}

/// `(\d+\.?)*\d+`
fn oid(t: &str) -> bool {
    t.split('.').all(digits)
}

fn number(t: &str, width: usize) -> Option<(u32, &str)> {
    let (head, rest) = t.split_at_checked(width)?;
    digits(head).then(|| head.parse().ok())?.map(|n| (n, rest))
}

/// Year of four or more digits, possibly negative.
fn year(t: &str) -> Option<(i64, &str)> {
    let (sign, body) = match t.strip_prefix('-') {
        Some(b) => (-1, b),
        None => (1, t),
    };
    let end = body.bytes().take_while(u8::is_ascii_digit).count();
    let (head, rest) = body.split_at_checked(end)?;
    let n: i64 = head.parse().ok()?;
    (head.len() >= 4 && head.len() <= 9 && n != 0 && (head.len() == 4 || !head.starts_with('0')))
        .then_some((sign * n, rest))
}

fn zone(t: &str) -> bool {
    if t.is_empty() || t == "Z" {
        return true;
    }
    let Some(t) = t.strip_prefix(['+', '-']) else {
        return false;
    };
    let Some((h, t)) = number(t, 2) else {
        return false;
    };
    let Some((m, t)) = t.strip_prefix(':').and_then(|t| number(t, 2)) else {
        return false;
    };
    t.is_empty() && (h < 14 || (h == 14 && m == 0)) && m < 60
}

fn calendar(t: &str) -> Option<&str> {
    let (y, t) = year(t)?;
    let (m, t) = number(t.strip_prefix('-')?, 2)?;
    let (d, t) = number(t.strip_prefix('-')?, 2)?;
    let leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let last = match m {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&d).then_some(t)
}

/// Time of day; answers what follows it.
fn time(t: &str) -> Option<&str> {
    let (h, t) = number(t, 2)?;
    let (m, t) = number(t.strip_prefix(':')?, 2)?;
    let (s, t) = number(t.strip_prefix(':')?, 2)?;
    let (fraction, t) = match t.strip_prefix('.') {
        Some(f) => {
            let end = f.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, rest) = f.split_at_checked(end)?;
            (Some(fraction).filter(|f| !f.is_empty())?, rest)
        }
        None => ("", t),
    };
    let midnight = h == 24 && m == 0 && s == 0 && fraction.bytes().all(|b| b == b'0');
    (midnight || (h < 24 && m < 60 && s < 60)).then_some(t)
}

fn date(t: &str) -> bool {
    calendar(t).is_some_and(zone)
}

fn date_time(t: &str) -> bool {
    calendar(t)
        .and_then(|t| time(t.strip_prefix('T')?))
        .is_some_and(zone)
}

fn g_year(t: &str) -> bool {
    year(t).is_some_and(|(_, rest)| zone(rest))
}

fn g_year_month(t: &str) -> bool {
    let Some((m, rest)) = year(t).and_then(|(_, rest)| number(rest.strip_prefix('-')?, 2)) else {
        return false;
    };
    (1..=12).contains(&m) && zone(rest)
}

#[cfg(test)]
mod tests {
    use super::Simple;

    #[test]
    fn lexical_forms() {
        let rows: &[(Simple, &[&str], &[&str])] = &[
            (
                Simple::Date,
                &[
                    "2026-11-23",
                    "2024-02-29",
                    "2026-11-23Z",
                    "2026-11-23+01:00",
                ],
                &[
                    "2026-02-29",
                    "23.11.2026",
                    "2026-1-1",
                    "20261123",
                    "",
                    "0000-01-01",
                    "2026-11-23T",
                ],
            ),
            (
                Simple::DateTime,
                &[
                    "2026-11-23T10:20:00",
                    "2026-11-23T10:20:00.7607390Z",
                    "2026-11-23T24:00:00",
                ],
                &[
                    "2026-11-23",
                    "2026-11-23T10:20",
                    "2026-11-23 10:20:00",
                    "2026-11-23T24:00:01",
                    "2026-11-23T10:20:60",
                    "2026-11-23T10:20:00.",
                ],
            ),
            (
                Simple::Ts,
                &[
                    "2026",
                    "2026-11",
                    "2026-11-23",
                    "10:20:00",
                    "2026-11-23T10:20:00+01:00",
                ],
                &["0026112", "2026-13", "26", "i dag"],
            ),
            (
                Simple::Double,
                &["1", "1.5", ".5", "5.", "-1e10", "INF", "NaN"],
                &["1,5", "", ".", "inf", "1e", "+-1", "<4"],
            ),
            (
                Simple::Integer,
                &["1", "-3", "+3", "007"],
                &["1.0", "", "x"],
            ),
            (
                Simple::Oid,
                &["2.16.578.1.12.4.1.1.9051", "1"],
                &["2..16", ".1", "1.", "urn:oid:1.2", ""],
            ),
            (
                Simple::TrueFalse,
                &["true", "false"],
                &["1", "0", "J", "TRUE"],
            ),
            (Simple::Boolean, &["true", "1"], &["ja"]),
        ];
        for (ty, good, bad) in rows {
            for g in *good {
                assert!(ty.accepts(g), "{ty:?} must take {g:?}");
            }
            for b in *bad {
                assert!(!ty.accepts(b), "{ty:?} must refuse {b:?}");
            }
        }
    }
}
