//! Functions on texts. Positions count characters.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::eval::{Env, EvalError, Res};
use super::func::Func;
use super::value::Item;

/// Longest text that a function may produce, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// Refuses a text that would be too long.
pub(super) fn fits(bytes: usize) -> Res<()> {
    if bytes > MAX_TEXT {
        Err(EvalError::Budget)
    } else {
        Ok(())
    }
}

/// Compiled regular expressions kept per thread.
const CACHED: usize = 64;

fn wrong<T>(func: Func) -> Res<T> {
    Err(EvalError::Type(format!(
        "{}() was given arguments of the wrong type",
        func.name()
    )))
}

/// Applies a function to `subject`.
pub(super) fn apply<'a>(
    func: Func,
    subject: &str,
    args: &[Item<'a>],
    env: &Env<'a>,
) -> Res<Vec<Item<'a>>> {
    let text = |n: usize| match args.get(n) {
        Some(Item::Str(s)) => Ok(s.as_ref()),
        _ => wrong(func),
    };
    let one = |i: Item<'a>| Ok(vec![i]);
    // Long texts cost by their length: every function here reads the whole of it.
    env.spend(subject.len() as u64 / 64)?;
    match func {
        Func::StartsWith => one(Item::Bool(subject.starts_with(text(0)?))),
        Func::EndsWith => one(Item::Bool(subject.ends_with(text(0)?))),
        Func::ContainsText => one(Item::Bool(subject.contains(text(0)?))),
        Func::Upper => one(Item::text(subject.to_uppercase())),
        Func::Lower => one(Item::text(subject.to_lowercase())),
        Func::Trim => one(Item::text(subject.trim().to_owned())),
        Func::Length => one(Item::Int(
            i64::try_from(subject.chars().count()).unwrap_or(i64::MAX),
        )),
        Func::ToChars => {
            env.spend(subject.len() as u64)?;
            Ok(subject.chars().map(|c| Item::text(c.to_string())).collect())
        }
        Func::IndexOf | Func::LastIndexOf => {
            let found = if func == Func::IndexOf {
                subject.find(text(0)?)
            } else {
                subject.rfind(text(0)?)
            };
            let chars = found.map(|b| subject.char_indices().take_while(|(i, _)| *i < b).count());
            one(Item::Int(
                chars.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX)),
            ))
        }
        Func::Substring => substring(subject, args),
        Func::Replace => {
            let (pattern, by) = (text(0)?, text(1)?);
            let hits = if pattern.is_empty() {
                subject.len() + 1
            } else {
                subject.matches(pattern).count()
            };
            if hits.saturating_mul(by.len()).saturating_add(subject.len()) > MAX_TEXT {
                return Err(EvalError::Budget);
            }
            one(Item::text(subject.replace(pattern, by)))
        }
        Func::Matches => one(Item::Bool(with_regex(
            text(0)?,
            flags(args, 1),
            false,
            |r| r.is_match(subject),
        )?)),
        Func::MatchesFull => one(Item::Bool(with_regex(
            text(0)?,
            flags(args, 1),
            true,
            |r| r.is_match(subject),
        )?)),
        Func::ReplaceMatches => {
            let (pattern, by) = (text(0)?, text(1)?);
            if pattern.is_empty() {
                return one(Item::text(subject.to_owned()));
            }
            if subject.len().saturating_add(1).saturating_mul(by.len() + 1) > MAX_TEXT * 4 {
                return Err(EvalError::Budget);
            }
            let out = with_regex(pattern, flags(args, 2), false, |r| {
                r.replace_all(subject, by).into_owned()
            })?;
            one(Item::text(out))
        }
        Func::Split => {
            env.spend(subject.len() as u64)?;
            Ok(subject
                .split(text(0)?)
                .map(|s| Item::text(s.to_owned()))
                .collect())
        }
        Func::Encode => {
            encode(text(0)?, subject.as_bytes()).map_or(wrong(func), |s| one(Item::text(s)))
        }
        Func::Decode => Ok(decode(text(0)?, subject)
            .and_then(|b| String::from_utf8(b).ok())
            .map(Item::text)
            .into_iter()
            .collect()),
        Func::Escape => match text(0)? {
            "html" => one(Item::text(
                subject
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;"),
            )),
            "json" => one(Item::text(
                subject
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n")
                    .replace('\r', "\\r")
                    .replace('\t', "\\t"),
            )),
            _ => Ok(Vec::new()),
        },
        Func::Unescape => match text(0)? {
            "html" => one(Item::text(
                subject
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&quot;", "\"")
                    .replace("&amp;", "&"),
            )),
            "json" => one(Item::text(unescape_json(subject))),
            _ => Ok(Vec::new()),
        },
        _ => wrong(func),
    }
}

/// Resolves JSON escapes; a backslash that begins none stays.
fn unescape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut ahead = rest.clone();
        let resolved = match ahead.next() {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some(e @ ('"' | '\\' | '/')) => Some(e),
            Some('u') => {
                let hex: String = ahead.by_ref().take(4).collect();
                u32::from_str_radix(&hex, 16)
                    .ok()
                    .filter(|_| hex.len() == 4)
                    .and_then(char::from_u32)
            }
            _ => None,
        };
        match resolved {
            Some(r) => {
                out.push(r);
                rest = ahead;
            }
            None => out.push('\\'),
        }
    }
    out
}

fn substring<'a>(subject: &str, args: &[Item<'a>]) -> Res<Vec<Item<'a>>> {
    let number = |n: usize| match args.get(n) {
        Some(Item::Int(v)) => Ok(Some(*v)),
        None => Ok(None),
        _ => wrong(Func::Substring),
    };
    let start = number(0)?.unwrap_or(0);
    let length = number(1)?;
    let Ok(start) = usize::try_from(start) else {
        return Ok(Vec::new());
    };
    let mut rest = subject.chars().skip(start).peekable();
    if rest.peek().is_none() {
        return Ok(Vec::new());
    }
    let out: String = match length {
        Some(n) => rest.take(usize::try_from(n).unwrap_or(0)).collect(),
        None => rest.collect(),
    };
    Ok(vec![Item::text(out)])
}

fn flags<'s>(args: &'s [Item<'_>], n: usize) -> &'s str {
    match args.get(n) {
        Some(Item::Str(s)) => s.as_ref(),
        _ => "",
    }
}

/// Runs `f` with a compiled expression; the engine is linear in the text, and its size is bounded.
fn with_regex<T>(pattern: &str, flags: &str, full: bool, f: impl FnOnce(&Regex) -> T) -> Res<T> {
    thread_local! {
        static CACHE: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
    }
    let key = if full {
        format!("{flags}:^(?:{pattern})$")
    } else {
        format!("{flags}:{pattern}")
    };
    CACHE.with(|c| {
        let mut cache = c.borrow_mut();
        if !cache.contains_key(&key) {
            let source = key.get(flags.len() + 1..).unwrap_or_default();
            let built = RegexBuilder::new(source)
                .dot_matches_new_line(true)
                .case_insensitive(flags.contains('i'))
                .multi_line(flags.contains('m'))
                .size_limit(1 << 20)
                .dfa_size_limit(1 << 20)
                .build()
                .map_err(|_| {
                    EvalError::Type("the regular expression is not valid or too large".into())
                })?;
            if cache.len() >= CACHED {
                cache.clear();
            }
            cache.insert(key.clone(), built);
        }
        match cache.get(&key) {
            Some(r) => Ok(f(r)),
            None => Err(EvalError::Type(
                "the regular expression is not valid".into(),
            )),
        }
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(format: &str, bytes: &[u8]) -> Option<String> {
    match format {
        "hex" => Some(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        "base64" | "urlbase64" => {
            let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
            for chunk in bytes.chunks(3) {
                let word = chunk
                    .iter()
                    .enumerate()
                    .fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
                for i in 0..4 {
                    let c = if i > chunk.len() {
                        b'='
                    } else {
                        BASE64
                            .get((word >> (18 - 6 * i) & 63) as usize)
                            .copied()
                            .unwrap_or(b'=')
                    };
                    out.push(match (format, c) {
                        ("urlbase64", b'+') => '-',
                        ("urlbase64", b'/') => '_',
                        (_, c) => c as char,
                    });
                }
            }
            Some(out)
        }
        _ => None,
    }
}

fn decode(format: &str, text: &str) -> Option<Vec<u8>> {
    match format {
        "hex" => {
            let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
            digits?
                .chunks(2)
                .map(|p| {
                    if let [a, b] = p {
                        u8::try_from(a * 16 + b).ok()
                    } else {
                        None
                    }
                })
                .collect()
        }
        "base64" | "urlbase64" => {
            let body = text.trim_end_matches('=');
            let mut out = Vec::with_capacity(body.len() / 4 * 3);
            let (mut word, mut bits) = (0u32, 0u32);
            for b in body.bytes() {
                let b = match b {
                    b'-' => b'+',
                    b'_' => b'/',
                    b => b,
                };
                let v = BASE64.iter().position(|x| *x == b)?;
                word = word << 6 | u32::try_from(v).ok()?;
                bits += 6;
                if bits >= 8 {
                    bits -= 8;
                    out.push(u8::try_from(word >> bits & 0xFF).ok()?);
                }
            }
            Some(out)
        }
        _ => None,
    }
}
