//! `_filter`: the expression language of R4's filter page, as far as the other parameters reach.
//!
//! `and`, `or`, `not(…)`, parentheses; comparisons `path op value` where the path is a search parameter, chained or not.
//! `eq ne gt lt ge le sa eb ap` as prefixes for number, date and quantity; `eq ne co sw` for strings, folded;
//! `eq ne in ni ss sb` for tokens; `eq ne re` for references; `eq ne co ss sb` for URIs; `pr true|false` for all.
//! `ne` means: has a value, and none that is equal. `po`, `ew` and filters on elements (`name[…]`) are refused.

use super::compile::{Compiler, Hop, shown};
use super::cond::Cond;
use crate::outcome::Failure;
use fhir::pack::ParamKind;

/// Most comparisons of one expression.
const MAX_COMPARISONS: usize = 100;
/// Deepest nesting.
const MAX_NESTING: usize = 20;

/// An expression taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        path: String,
        op: String,
        value: String,
    },
}

/// Compiles an expression on a type.
pub(super) fn compile(compiler: &Compiler<'_>, rtype: &str, text: &str) -> Result<Cond, Failure> {
    let mut parser = Parser {
        rest: text.trim(),
        comparisons: 0,
    };
    let expr = parser.or(0)?;
    if !parser.rest.is_empty() {
        return Err(syntax("something stands behind its end"));
    }
    build(compiler, rtype, &expr)
}

fn syntax(what: &str) -> Failure {
    Failure::bad("invalid", format!("_filter cannot be read: {what}"))
}

struct Parser<'t> {
    rest: &'t str,
    comparisons: usize,
}

impl<'t> Parser<'t> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes a keyword that ends at a space or parenthesis.
    fn keyword(&mut self, word: &str) -> bool {
        self.skip();
        let Some(after) = self.rest.strip_prefix(word) else {
            return false;
        };
        if after.starts_with(|c: char| c == '(' || c.is_whitespace()) {
            self.rest = after;
            return true;
        }
        false
    }

    fn or(&mut self, depth: usize) -> Result<Expr, Failure> {
        let mut list = vec![self.and(depth)?];
        while self.keyword("or") {
            list.push(self.and(depth)?);
        }
        Ok(one_or(list, Expr::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Expr, Failure> {
        let mut list = vec![self.unary(depth)?];
        while self.keyword("and") {
            list.push(self.unary(depth)?);
        }
        Ok(one_or(list, Expr::And))
    }

    fn unary(&mut self, depth: usize) -> Result<Expr, Failure> {
        if depth > MAX_NESTING {
            return Err(Failure::too_costly(format!(
                "_filter is nested deeper than {MAX_NESTING}"
            )));
        }
        let negated = self.keyword("not");
        self.skip();
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            let inner = self.or(depth + 1)?;
            self.skip();
            self.rest = self
                .rest
                .strip_prefix(')')
                .ok_or_else(|| syntax("a parenthesis is not closed"))?;
            self.skip();
            return Ok(if negated {
                Expr::Not(Box::new(inner))
            } else {
                inner
            });
        }
        if negated {
            return Err(syntax("not takes a parenthesis"));
        }
        self.comparison()
    }

    fn word(&mut self) -> Result<String, Failure> {
        self.skip();
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if word.is_empty() {
            return Err(syntax("a comparison is: parameter operator value"));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn comparison(&mut self) -> Result<Expr, Failure> {
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(Failure::too_costly(format!(
                "_filter has more than {MAX_COMPARISONS} comparisons"
            )));
        }
        let path = self.word()?;
        let op = self.word()?;
        self.skip();
        let value = match self.rest.strip_prefix('"') {
            Some(rest) => self.quoted(rest)?,
            None => self.word()?,
        };
        self.skip();
        Ok(Expr::Compare { path, op, value })
    }

    fn quoted(&mut self, text: &'t str) -> Result<String, Failure> {
        let mut out = String::new();
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = text.get(at + 1..).unwrap_or_default();
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\' | '/'))) => out.push(c),
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    _ => return Err(syntax("an escape in a string is unknown")),
                },
                c => out.push(c),
            }
        }
        Err(syntax("a string is not closed"))
    }
}

fn one_or(mut list: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    if list.len() == 1
        && let Some(only) = list.pop()
    {
        return only;
    }
    many(list)
}

fn build(compiler: &Compiler<'_>, rtype: &str, expr: &Expr) -> Result<Cond, Failure> {
    let all = |list: &[Expr]| {
        list.iter()
            .map(|e| build(compiler, rtype, e))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match expr {
        Expr::And(list) => Cond::All(all(list)?),
        Expr::Or(list) => Cond::Any(all(list)?),
        Expr::Not(inner) => Cond::Not(Box::new(build(compiler, rtype, inner)?)),
        Expr::Compare { path, op, value } => compare(compiler, rtype, path, op, value)?,
    })
}

/// A value as a search parameter takes it: commas and dollars are data here.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, ',' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn compare(
    compiler: &Compiler<'_>,
    rtype: &str,
    path: &str,
    op: &str,
    value: &str,
) -> Result<Cond, Failure> {
    if path.contains(['[', ']', ':']) || path.starts_with('_') && path.contains("filter") {
        return Err(Failure::bad(
            "not-supported",
            "_filter takes search parameters and chains of them as paths",
        ));
    }
    let value = escaped(value);
    let refuse = || {
        Failure::bad(
            "not-supported",
            format!(
                "_filter: the operator {} is not supported for {}",
                shown(op),
                shown(path)
            ),
        )
    };
    let with = |modifier: &str, value: &str| {
        compiler.name(rtype, &format!("{path}{modifier}"), value, &Hop::default())
    };
    if op == "pr" {
        return match value.as_str() {
            "true" => with(":missing", "false"),
            "false" => with(":missing", "true"),
            _ => Err(Failure::bad("value", "_filter: pr takes true or false")),
        };
    }
    let is_prefix = matches!(
        op,
        "eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap"
    );
    // At the end of a chain the kind shows itself when the last parameter is read.
    let kind = match path {
        "_id" => Some(ParamKind::Token),
        "_lastUpdated" => Some(ParamKind::Date),
        _ if path.contains('.') => None,
        _ => Some(compiler.param(rtype, path)?.kind),
    };
    let differs = |equal: Cond| -> Result<Cond, Failure> {
        Ok(Cond::All(vec![
            with(":missing", "false")?,
            Cond::Not(Box::new(equal)),
        ]))
    };
    use ParamKind as K;
    match (kind, op) {
        (Some(K::Date | K::Number | K::Quantity), _) if is_prefix => {
            with("", &format!("{op}{value}"))
        }
        (None, "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap") => with("", &format!("{op}{value}")),
        (Some(K::String), "eq") => Ok(whole(with("", &value)?)),
        (Some(K::String), "ne") => differs(whole(with("", &value)?)),
        (Some(K::String) | None, "sw") => with("", &value),
        (Some(K::String | K::Uri) | None, "co") => with(":contains", &value),
        (Some(K::Token | K::Reference | K::Uri), "ne") => differs(with("", &value)?),
        (Some(K::Token | K::Reference | K::Uri) | None, "eq") | (Some(K::Reference), "re") => {
            with("", &value)
        }
        (Some(K::Token) | None, "in") => with(":in", &value),
        (Some(K::Token) | None, "ni") => with(":not-in", &value),
        (Some(K::Token | K::Uri) | None, "ss") => with(":below", &value),
        (Some(K::Token | K::Uri) | None, "sb") => with(":above", &value),
        _ => Err(refuse()),
    }
}

/// Equality of folded strings: the beginning that a string search looks for is the whole text.
fn whole(cond: Cond) -> Cond {
    match cond {
        Cond::Query {
            param,
            modifier,
            value,
            mut query,
        } if !query.recheck => {
            for range in &mut query.ranges {
                let mut end = range.from.clone();
                end.push(0);
                range.to = Some(end);
            }
            Cond::Query {
                param,
                modifier,
                value,
                query,
            }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Expr, Failure> {
        let mut parser = Parser {
            rest: text.trim(),
            comparisons: 0,
        };
        let expr = parser.or(0)?;
        if parser.rest.is_empty() {
            Ok(expr)
        } else {
            Err(syntax("rest"))
        }
    }

    fn cmp(path: &str, op: &str, value: &str) -> Expr {
        Expr::Compare {
            path: path.to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn expressions_are_read() {
        let a = || cmp("name", "eq", "pe\"ter");
        let b = || cmp("birthdate", "ge", "1996-06-06");
        assert_eq!(parse(r#"name eq "pe\"ter""#), Ok(a()));
        assert_eq!(
            parse(r#"name eq "pe\"ter" and birthdate ge 1996-06-06"#),
            Ok(Expr::And(vec![a(), b()]))
        );
        assert_eq!(
            parse(r#"not (name eq "pe\"ter" or birthdate ge 1996-06-06)"#),
            Ok(Expr::Not(Box::new(Expr::Or(vec![a(), b()]))))
        );
        // `and` binds closer.
        assert_eq!(
            parse(r#"a eq 1 or b eq 2 and c eq 3"#),
            Ok(Expr::Or(vec![
                cmp("a", "eq", "1"),
                Expr::And(vec![cmp("b", "eq", "2"), cmp("c", "eq", "3")])
            ]))
        );
        for text in [
            "",
            "a",
            "a eq",
            "(a eq 1",
            "a eq 1)",
            "a eq \"x",
            "not a eq 1",
            "a eq 1 and",
            "a eq 1 b eq 2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "[a-z()\" \\\\.]{0,60}") {
            let _ = parse(&text);
        }
    }
}
