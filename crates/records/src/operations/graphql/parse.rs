//! The query language (GraphQL, October 2021, §2): executable documents only, bounded in length, depth and size.

/// Longest query text, bytes.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// Deepest nesting of selections or values.
pub(crate) const MAX_DEPTH: usize = 24;
/// Most fields, fragments, arguments and values of a query.
pub(crate) const MAX_PARTS: usize = 2_000;

/// Why a query cannot be read; says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query cannot be read at line {line}, column {column}: {what}")]
pub(crate) struct ParseError {
    pub line: usize,
    pub column: usize,
    pub what: &'static str,
}

/// An argument's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Variable(String),
    /// A number as written.
    Number(String),
    Text(String),
    Bool(bool),
    Null,
    Enum(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// `@name(arguments)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Directive {
    pub name: String,
    pub arguments: Vec<(String, Value)>,
}

/// What is picked of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Selection {
    Field(Field),
    Spread {
        name: String,
        directives: Vec<Directive>,
    },
    Inline {
        on: Option<String>,
        directives: Vec<Directive>,
        selections: Vec<Selection>,
    },
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub alias: Option<String>,
    pub name: String,
    pub arguments: Vec<(String, Value)>,
    pub directives: Vec<Directive>,
    pub selections: Vec<Selection>,
}

impl Field {
    /// The name in the answer.
    pub fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|d| d.name == name)
    }
}

/// A declared variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variable {
    pub name: String,
    /// Must be given.
    pub is_required: bool,
    pub default: Option<Value>,
}

/// A query operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub name: Option<String>,
    pub variables: Vec<Variable>,
    pub selections: Vec<Selection>,
}

/// A named fragment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fragment {
    pub name: String,
    pub on: String,
    pub selections: Vec<Selection>,
}

/// A whole document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    pub queries: Vec<Query>,
    pub fragments: Vec<Fragment>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Sign(u8),
    Spread,
    Name(String),
    Number(String),
    Text(String),
    End,
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the current token begins.
    start: usize,
    token: Token,
    parts: usize,
    depth: usize,
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Document, ParseError> {
    let mut parser = Parser {
        text: text.as_bytes(),
        at: 0,
        start: 0,
        token: Token::End,
        parts: 0,
        depth: 0,
    };
    if text.len() > MAX_BYTES {
        return parser.fail("it is longer than 65536 bytes");
    }
    parser.next()?;
    let mut document = Document::default();
    while parser.token != Token::End {
        parser.definition(&mut document)?;
    }
    if document.queries.is_empty() {
        return parser.fail("there is no query");
    }
    Ok(document)
}

impl Parser<'_> {
    fn fail<T>(&self, what: &'static str) -> Result<T, ParseError> {
        let before = self.text.get(..self.start).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Err(ParseError { line, column, what })
    }

    fn count(&mut self) -> Result<(), ParseError> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return self.fail("it has more than 2000 parts");
        }
        Ok(())
    }

    fn deeper<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("it is nested more than 24 deep");
        }
        let out = work(self)?;
        self.depth -= 1;
        Ok(out)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads the next token.
    fn next(&mut self) -> Result<(), ParseError> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',') => self.at += 1,
                Some(0xEF) if self.text.get(self.at..self.at + 3) == Some(b"\xEF\xBB\xBF") => {
                    self.at += 3;
                }
                Some(b'#') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        self.start = self.at;
        self.token = match self.peek() {
            None => Token::End,
            Some(
                b @ (b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{'
                | b'|' | b'}'),
            ) => {
                self.at += 1;
                Token::Sign(b)
            }
            Some(b'.') if self.text.get(self.at..self.at + 3) == Some(b"...") => {
                self.at += 3;
                Token::Spread
            }
            Some(b'_' | b'a'..=b'z' | b'A'..=b'Z') => {
                Token::Name(self.take(|b| b == b'_' || b.is_ascii_alphanumeric()))
            }
            Some(b'-' | b'0'..=b'9') => {
                let text =
                    self.take(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                if !is_number(&text) {
                    return self.fail("this is not a number");
                }
                Token::Number(text)
            }
            Some(b'"') => self.string()?,
            Some(_) => return self.fail("this character has no place here"),
        };
        Ok(())
    }

    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> String {
        let from = self.at;
        while self.peek().is_some_and(&is_part) {
            self.at += 1;
        }
        String::from_utf8_lossy(self.text.get(from..self.at).unwrap_or_default()).into_owned()
    }

    fn string(&mut self) -> Result<Token, ParseError> {
        if self.text.get(self.at..self.at + 3) == Some(b"\"\"\"") {
            return self.block_string();
        }
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None | Some(b'\n' | b'\r') => return self.fail("this string has no end"),
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    let mut buffer = [0; 4];
                    out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                }
                Some(b) => {
                    out.push(b);
                    self.at += 1;
                }
            }
        }
        match String::from_utf8(out) {
            Ok(text) => Ok(Token::Text(text)),
            Err(_) => self.fail("this string is not UTF-8"),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, ParseError> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let code = match first {
                    0xD800..0xDC00 => {
                        if self.text.get(self.at..self.at + 2) != Some(b"\\u") {
                            return self.fail("half a surrogate pair");
                        }
                        self.at += 2;
                        let second = self.hex()?;
                        if !(0xDC00..0xE000).contains(&second) {
                            return self.fail("half a surrogate pair");
                        }
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    other => other,
                };
                match char::from_u32(code) {
                    Some(c) => c,
                    None => return self.fail("this escape is no character"),
                }
            }
            _ => return self.fail("this escape is unknown"),
        })
    }

    fn hex(&mut self) -> Result<u32, ParseError> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.iter().all(u8::is_ascii_hexdigit))
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u32::from_str_radix(d, 16).ok());
        match digits {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.fail("\\u takes four hexadecimal digits"),
        }
    }

    /// `"""text"""`: as written; common indentation is kept, since no argument here is prose.
    fn block_string(&mut self) -> Result<Token, ParseError> {
        self.at += 3;
        let from = self.at;
        while self.text.get(self.at..self.at + 3) != Some(b"\"\"\"") {
            if self.peek().is_none() {
                return self.fail("this string has no end");
            }
            self.at += 1;
        }
        let text = String::from_utf8_lossy(self.text.get(from..self.at).unwrap_or_default());
        self.at += 3;
        Ok(Token::Text(text.trim().to_owned()))
    }

    fn is_sign(&self, sign: u8) -> bool {
        self.token == Token::Sign(sign)
    }

    fn expect(&mut self, sign: u8, what: &'static str) -> Result<(), ParseError> {
        if self.is_sign(sign) {
            return self.next();
        }
        self.fail(what)
    }

    fn name(&mut self) -> Result<String, ParseError> {
        match std::mem::replace(&mut self.token, Token::End) {
            Token::Name(name) => {
                self.next()?;
                Ok(name)
            }
            _ => self.fail("a name is expected"),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Name(name) if name == word)
    }

    fn definition(&mut self, document: &mut Document) -> Result<(), ParseError> {
        self.count()?;
        if self.is_sign(b'{') {
            let selections = self.selections()?;
            document.queries.push(Query {
                name: None,
                variables: Vec::new(),
                selections,
            });
            return Ok(());
        }
        if self.is_word("fragment") {
            self.next()?;
            if self.is_word("on") {
                return self.fail("a fragment cannot be called on");
            }
            let name = self.name()?;
            if !self.is_word("on") {
                return self.fail("on is expected");
            }
            self.next()?;
            let on = self.name()?;
            self.directives()?;
            let selections = self.selections()?;
            document.fragments.push(Fragment {
                name,
                on,
                selections,
            });
            return Ok(());
        }
        if !self.is_word("query") {
            return self.fail("only queries are answered");
        }
        self.next()?;
        let name = match self.token {
            Token::Name(_) => Some(self.name()?),
            _ => None,
        };
        let variables = self.variables()?;
        self.directives()?;
        let selections = self.selections()?;
        document.queries.push(Query {
            name,
            variables,
            selections,
        });
        Ok(())
    }

    fn variables(&mut self) -> Result<Vec<Variable>, ParseError> {
        let mut out = Vec::new();
        if !self.is_sign(b'(') {
            return Ok(out);
        }
        self.next()?;
        while !self.is_sign(b')') {
            self.count()?;
            self.expect(b'$', "a variable is expected")?;
            let name = self.name()?;
            self.expect(b':', "the variable's type is expected")?;
            let is_required = self.kind()?;
            let default = if self.is_sign(b'=') {
                self.next()?;
                Some(self.value(true)?)
            } else {
                None
            };
            self.directives()?;
            out.push(Variable {
                name,
                is_required,
                default,
            });
        }
        self.next()?;
        Ok(out)
    }

    /// A type; whether it excludes null.
    fn kind(&mut self) -> Result<bool, ParseError> {
        if self.is_sign(b'[') {
            self.next()?;
            self.deeper(Self::kind)?;
            self.expect(b']', "] is expected")?;
        } else {
            self.name()?;
        }
        let is_required = self.is_sign(b'!');
        if is_required {
            self.next()?;
        }
        Ok(is_required)
    }

    fn directives(&mut self) -> Result<Vec<Directive>, ParseError> {
        let mut out = Vec::new();
        while self.is_sign(b'@') {
            self.count()?;
            self.next()?;
            let name = self.name()?;
            let arguments = self.arguments()?;
            out.push(Directive { name, arguments });
        }
        Ok(out)
    }

    fn arguments(&mut self) -> Result<Vec<(String, Value)>, ParseError> {
        let mut out = Vec::new();
        if !self.is_sign(b'(') {
            return Ok(out);
        }
        self.next()?;
        while !self.is_sign(b')') {
            self.count()?;
            let name = self.name()?;
            self.expect(b':', ": is expected")?;
            out.push((name, self.value(false)?));
        }
        self.next()?;
        Ok(out)
    }

    fn selections(&mut self) -> Result<Vec<Selection>, ParseError> {
        self.expect(b'{', "{ is expected")?;
        let out = self.deeper(|p| {
            let mut out = Vec::new();
            while !p.is_sign(b'}') {
                out.push(p.selection()?);
            }
            Ok(out)
        })?;
        if out.is_empty() {
            return self.fail("nothing is selected here");
        }
        self.next()?;
        Ok(out)
    }

    fn selection(&mut self) -> Result<Selection, ParseError> {
        self.count()?;
        if self.token == Token::Spread {
            self.next()?;
            if let Token::Name(name) = &self.token
                && name != "on"
            {
                let name = self.name()?;
                let directives = self.directives()?;
                return Ok(Selection::Spread { name, directives });
            }
            let on = if self.is_word("on") {
                self.next()?;
                Some(self.name()?)
            } else {
                None
            };
            let directives = self.directives()?;
            let selections = self.selections()?;
            return Ok(Selection::Inline {
                on,
                directives,
                selections,
            });
        }
        let first = self.name()?;
        let (alias, name) = if self.is_sign(b':') {
            self.next()?;
            (Some(first), self.name()?)
        } else {
            (None, first)
        };
        let arguments = self.arguments()?;
        let directives = self.directives()?;
        let selections = if self.is_sign(b'{') {
            self.selections()?
        } else {
            Vec::new()
        };
        Ok(Selection::Field(Field {
            alias,
            name,
            arguments,
            directives,
            selections,
        }))
    }

    fn value(&mut self, is_constant: bool) -> Result<Value, ParseError> {
        self.count()?;
        let value = match std::mem::replace(&mut self.token, Token::End) {
            Token::Number(text) => Value::Number(text),
            Token::Text(text) => Value::Text(text),
            Token::Name(name) => match name.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => Value::Enum(name),
            },
            Token::Sign(b'$') if !is_constant => {
                self.next()?;
                return Ok(Value::Variable(self.name()?));
            }
            Token::Sign(b'[') => {
                self.next()?;
                let list = self.deeper(|p| {
                    let mut list = Vec::new();
                    while !p.is_sign(b']') {
                        list.push(p.value(is_constant)?);
                    }
                    Ok(list)
                })?;
                Value::List(list)
            }
            Token::Sign(b'{') => {
                self.next()?;
                let members = self.deeper(|p| {
                    let mut members = Vec::new();
                    while !p.is_sign(b'}') {
                        let name = p.name()?;
                        p.expect(b':', ": is expected")?;
                        members.push((name, p.value(is_constant)?));
                    }
                    Ok(members)
                })?;
                Value::Object(members)
            }
            _ => return self.fail("a value is expected"),
        };
        self.next()?;
        Ok(value)
    }
}

/// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?`.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_read() {
        let text = r#"query find($id: ID!, $n: [Int!] = [1, -2.5e3]) { # who
            p: Patient(id: $id, tags: ["a\u00e5\n", x, true, null, {k: 1}]) @include(if: true) {
              id, name @flatten { ...Names } ... on Patient @skip(if: false) { birthDate }
            } }
            fragment Names on HumanName { family given @first }"#;
        let document = parse(text).unwrap();
        let query = &document.queries[0];
        assert_eq!(query.name.as_deref(), Some("find"));
        assert!(query.variables[0].is_required && !query.variables[1].is_required);
        let Selection::Field(field) = &query.selections[0] else {
            panic!()
        };
        assert_eq!((field.key(), field.name.as_str()), ("p", "Patient"));
        let Value::List(list) = &field.arguments[1].1 else {
            panic!()
        };
        assert_eq!(list[0], Value::Text("aå\n".to_owned()));
        assert_eq!(list[1], Value::Enum("x".to_owned()));
        assert_eq!(field.selections.len(), 3);
        assert_eq!(document.fragments[0].on, "HumanName");
        assert_eq!(parse("{a}").unwrap().queries.len(), 1);
    }

    #[test]
    fn other_texts_are_refused() {
        let deep = format!("{}a{}", "{a".repeat(30), "}".repeat(30));
        let wide = format!("{{{}}}", "a ".repeat(3_000));
        for text in [
            "",
            "{",
            "{}",
            "{a",
            "{a}}",
            "{a(}",
            "{a(b:)}",
            "{a:}",
            "{...}",
            "{... on}",
            "{\"a\"}",
            "mutation { a }",
            "subscription { a }",
            "fragment on on A {a}",
            "fragment F on A {a}",
            "query ($a) {a}",
            "{a(b: \"x)}",
            "{a(b: \"\\q\")}",
            "{a(b: \"\\ud800\")}",
            "{a(b: 01)}",
            "{a(b: 1.)}",
            "{a(b: $)}",
            "query($a: Int = $b) {a}",
            "{a ..}",
            "{a}%",
            "\u{e5}",
            &deep,
            &wide,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("{\n  a(b: %)\n}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 8));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn near_queries_are_read_or_refused(text in "[{}()\\[\\]a-c:$@!.\"\\\\,0-9 \n-]{0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn strings_come_back(text in "[^\u{0}-\u{1f}]{0,40}") {
            let query = format!("{{a(b: {})}}", serde_json::Value::from(text.clone()));
            let document = parse(&query).unwrap();
            let Selection::Field(field) = &document.queries[0].selections[0] else { panic!() };
            prop_assert_eq!(&field.arguments[0].1, &Value::Text(text));
        }
    }
}
