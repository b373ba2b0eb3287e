//! Commands of POP3 as values.

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Capabilities,
    User(String),
    Password(String),
    Status,
    List(Option<usize>),
    Unique(Option<usize>),
    Retrieve(usize),
    Top(usize, usize),
    Delete(usize),
    Reset,
    Noop,
    Quit,
    StartTls,
}

/// Nothing for what is not known or not complete.
pub(crate) fn parse(line: &[u8]) -> Option<Command> {
    let text = std::str::from_utf8(line).ok()?;
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let optional = || match rest.trim() {
        "" => Some(None),
        text => number(text).map(Some),
    };
    match verb.to_ascii_uppercase().as_str() {
        "CAPA" => Some(Command::Capabilities),
        "USER" if !rest.is_empty() => Some(Command::User(rest.trim().to_owned())),
        // A password may hold spaces.
        "PASS" if !rest.is_empty() => Some(Command::Password(rest.to_owned())),
        "STAT" => Some(Command::Status),
        "LIST" => optional().map(Command::List),
        "UIDL" => optional().map(Command::Unique),
        "RETR" => number(rest).map(Command::Retrieve),
        "TOP" => {
            let (message, lines) = rest.trim().split_once(' ')?;
            Some(Command::Top(number(message)?, number(lines)?))
        }
        "DELE" => number(rest).map(Command::Delete),
        "RSET" => Some(Command::Reset),
        "NOOP" => Some(Command::Noop),
        "QUIT" => Some(Command::Quit),
        "STLS" => Some(Command::StartTls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_whole_or_none() {
        let table = [
            ("capa", Some(Command::Capabilities)),
            ("stls", Some(Command::StartTls)),
            ("USER a", Some(Command::User("a".to_owned()))),
            ("USER", None),
            ("PASS a b", Some(Command::Password("a b".to_owned()))),
            ("list", Some(Command::List(None))),
            ("LIST 2", Some(Command::List(Some(2)))),
            ("LIST x", None),
            ("TOP 1 0", Some(Command::Top(1, 0))),
            ("TOP 1", None),
            ("RETR", None),
            ("RETR -1", None),
            ("DELE 99999999999999999999999", None),
            ("APOP a b", None),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&line);
        }
    }
}
