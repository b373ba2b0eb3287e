//! Commands of SMTP as values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo,
    Helo,
    /// Sender (empty for a bounce) and announced size.
    Mail {
        from: String,
        size: Option<u64>,
    },
    Rcpt(String),
    Data,
    Reset,
    Noop,
    Verify,
    Quit,
    StartTls,
    /// Credentials, when they came with the command.
    AuthPlain(Option<String>),
    AuthLogin(Option<String>),
}

/// What is wrong with a line: reply code with words.
pub(crate) type Wrong = &'static str;

pub(crate) const UNKNOWN: Wrong = "500 5.5.2 command not recognised";
const SYNTAX: Wrong = "501 5.5.4 syntax error in parameters";

pub(crate) fn parse(line: &[u8]) -> Result<Command, Wrong> {
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        .ok_or(UNKNOWN)?;
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    let alone = |command| {
        if rest.is_empty() {
            Ok(command)
        } else {
            Err(SYNTAX)
        }
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" if !rest.is_empty() => Ok(Command::Ehlo),
        "HELO" if !rest.is_empty() => Ok(Command::Helo),
        "EHLO" | "HELO" => Err(SYNTAX),
        "MAIL" => mail(rest),
        "RCPT" => rcpt(rest),
        "DATA" => alone(Command::Data),
        "RSET" => alone(Command::Reset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" | "EXPN" => Ok(Command::Verify),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::StartTls),
        "AUTH" => auth(rest),
        _ => Err(UNKNOWN),
    }
}

fn auth(rest: &str) -> Result<Command, Wrong> {
    let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    let initial = Some(initial.trim().to_owned()).filter(|text| !text.is_empty());
    match mechanism.to_ascii_uppercase().as_str() {
        "PLAIN" => Ok(Command::AuthPlain(initial)),
        "LOGIN" => Ok(Command::AuthLogin(initial)),
        _ => Err("504 5.5.4 mechanism not supported: use PLAIN or LOGIN"),
    }
}

/// `FROM:<address> [SIZE=n] [BODY=…]`.
fn mail(rest: &str) -> Result<Command, Wrong> {
    let (from, parameters) = path(rest, "FROM:").ok_or(SYNTAX)?;
    let mut size = None;
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => size = Some(value.parse().map_err(|_| SYNTAX)?),
            "BODY" if matches!(value.to_ascii_uppercase().as_str(), "7BIT" | "8BITMIME") => {}
            "AUTH" => {}
            _ => return Err("555 5.5.4 parameter not supported"),
        }
    }
    Ok(Command::Mail { from, size })
}

fn rcpt(rest: &str) -> Result<Command, Wrong> {
    match path(rest, "TO:") {
        Some((to, "")) if !to.is_empty() => Ok(Command::Rcpt(to)),
        Some((_, parameters)) if !parameters.is_empty() => Err("555 5.5.4 parameter not supported"),
        _ => Err(SYNTAX),
    }
}

/// An address in angle brackets behind a keyword, lower case, and what follows it. Source routes and quoted names are not taken.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(String, &'a str)> {
    let (head, tail) = rest.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let inner = tail.trim_start().strip_prefix('<')?;
    let (address, parameters) = inner.split_once('>')?;
    let is_plain = address.len() <= 254
        && address
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&b));
    let parts: Vec<&str> = address.split('@').collect();
    let is_address = parts.len() == 2 && parts.iter().all(|part| !part.is_empty());
    (is_plain && (is_address || address.is_empty()))
        .then(|| (address.to_ascii_lowercase(), parameters.trim()))
}

/// User and password of SASL PLAIN (RFC 4616).
pub(crate) fn plain(text: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.split('\0');
    let (as_whom, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_own = as_whom.is_empty() || as_whom == user;
    (is_own && parts.next().is_none()).then(|| (user.to_owned(), password.to_owned()))
}

/// A text of SASL LOGIN.
pub(crate) fn base64_text(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_read_whatever_their_case() {
        let from = |from: &str, size| {
            Ok(Command::Mail {
                from: from.to_owned(),
                size,
            })
        };
        let table: [(&str, Result<Command, Wrong>); 20] = [
            ("ehlo x", Ok(Command::Ehlo)),
            ("EHLO", Err(SYNTAX)),
            (
                "mail from:<A@b.no> size=12 BODY=8BITMIME",
                from("a@b.no", Some(12)),
            ),
            ("MAIL FROM: <>", from("", None)),
            ("MAIL FROM:<a@b> SIZE=x", Err(SYNTAX)),
            (
                "MAIL FROM:<a@b> SMTPUTF8",
                Err("555 5.5.4 parameter not supported"),
            ),
            ("MAIL FROM:a@b", Err(SYNTAX)),
            ("MAIL FROM:<a>", Err(SYNTAX)),
            ("RCPT TO:<a@b>", Ok(Command::Rcpt("a@b".to_owned()))),
            ("RCPT TO:<>", Err(SYNTAX)),
            ("RCPT TO:<@x:a@b>", Err(SYNTAX)),
            (
                "RCPT TO:<a@b> NOTIFY=NEVER",
                Err("555 5.5.4 parameter not supported"),
            ),
            ("DATA", Ok(Command::Data)),
            ("DATA now", Err(SYNTAX)),
            ("starttls", Ok(Command::StartTls)),
            ("STARTTLS now", Err(SYNTAX)),
            (
                "AUTH PLAIN AGEAYg==",
                Ok(Command::AuthPlain(Some("AGEAYg==".to_owned()))),
            ),
            ("auth login", Ok(Command::AuthLogin(None))),
            (
                "AUTH X",
                Err("504 5.5.4 mechanism not supported: use PLAIN or LOGIN"),
            ),
            ("BDAT 3", Err(UNKNOWN)),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(parse(b"NOOP \x80"), Err(UNKNOWN));
    }

    #[test]
    fn credentials_are_whole_or_none() {
        let of = |bytes: &[u8]| plain(&STANDARD.encode(bytes));
        assert_eq!(of(b"\0a\0b"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(of(b"a\0a\0b"), Some(("a".to_owned(), "b".to_owned())));
        for bad in [&b"x\0a\0b"[..], b"a", b"\0a\0b\0c", b"\0\xff\0b"] {
            assert_eq!(of(bad), None);
        }
        assert_eq!(plain("!"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..80), text in "(MAIL FROM:|RCPT TO:|AUTH |)[<>a@ =A-Z]{0,20}") {
            let _ = parse(&line);
            let _ = parse(text.as_bytes());
            let _ = plain(&text);
        }
    }
}
