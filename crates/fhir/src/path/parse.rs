//! Text → [`Ast`]: the whole FHIRPath grammar (N1 with the 3.0 additions `//` comments, `%'name'`, variables).

use rust_decimal::Decimal;

use super::ast::{Ast, Literal, Name, Op, TypeSpec};
use super::func::Func;
use crate::datetime::{Clock, Moment};
use crate::pack::{NameId, TypeId};

/// Why an expression does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("FHIRPath at character {offset}: {text}")]
pub struct CompileError {
    /// Byte offset in the expression.
    pub offset: usize,
    /// What is wrong.
    pub text: String,
}

/// Longest expression accepted, in bytes.
const MAX_LEN: usize = 32 << 10;
/// Deepest nesting of brackets and operators.
const MAX_DEPTH: usize = 64;
/// Most operators and path steps in one expression.
const MAX_LINKS: usize = 400;

/// Turns names into numbers at compile time.
pub(crate) trait Resolver {
    fn name(&self, name: &str) -> Option<NameId>;
    fn ty(&self, name: &str) -> Option<TypeId>;
}

/// Knows no names: for looking at the shape of an expression only.
pub(crate) struct NoNames;

impl Resolver for NoNames {
    fn name(&self, _: &str) -> Option<NameId> {
        None
    }
    fn ty(&self, _: &str) -> Option<TypeId> {
        None
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Tok {
    Ident(Box<str>),
    /// Backquoted: never a keyword.
    Quoted(Box<str>),
    Str(Box<str>),
    Number(Box<str>),
    Date(Moment),
    DateTime(Moment),
    Time(Clock),
    Special(Box<str>),
    Constant(Box<str>),
    Sym(&'static str),
    End,
}

struct Lexer<'s> {
    src: &'s str,
    pos: usize,
}

const SYMBOLS: [&str; 24] = [
    "!=", "!~", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "+", "-", "*", "/", "&", "|",
    "=", "~", "<", ">", "\u{0}", "\u{1}",
];

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.src.get(self.pos..).unwrap_or_default()
    }

    fn err<T>(&self, text: &str) -> Result<T, CompileError> {
        Err(CompileError {
            offset: self.pos,
            text: text.to_owned(),
        })
    }

    fn skip(&mut self) -> Result<(), CompileError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.pos += rest.len() - trimmed.len();
            let rest = self.rest();
            if rest.starts_with("//") {
                self.pos += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(n) => self.pos += n + 2,
                    None => return self.err("comment is not closed"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<(usize, Tok), CompileError> {
        self.skip()?;
        let at = self.pos;
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            return Ok((at, Tok::End));
        };
        let tok = match c {
            'A'..='Z' | 'a'..='z' | '_' => Tok::Ident(Box::from(
                self.take(|c| c.is_ascii_alphanumeric() || c == '_'),
            )),
            '0'..='9' => self.number(),
            '\'' | '"' => Tok::Str(self.quoted(c)?),
            '`' => Tok::Quoted(self.quoted('`')?),
            '$' => {
                self.pos += 1;
                Tok::Special(Box::from(self.take(|c| c.is_ascii_alphabetic())))
            }
            '%' => {
                self.pos += 1;
                match self.rest().chars().next() {
                    Some(q @ ('`' | '\'' | '"')) => Tok::Constant(self.quoted(q)?),
                    _ => {
                        let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
                        if name.is_empty() {
                            return self.err("a name is expected after %");
                        }
                        Tok::Constant(Box::from(name))
                    }
                }
            }
            '@' => {
                self.pos += 1;
                self.moment()?
            }
            _ => match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
                Some(s) => {
                    self.pos += s.len();
                    Tok::Sym(s)
                }
                None => return self.err("unexpected character"),
            },
        };
        Ok((at, tok))
    }

    fn take(&mut self, ok: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let len = rest.find(|c| !ok(c)).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or_default().to_owned();
        self.pos += len;
        text
    }

    fn number(&mut self) -> Tok {
        let mut text = self.take(|c| c.is_ascii_digit());
        let rest = self.rest();
        let mut after = rest.chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            self.pos += 1;
            text.push('.');
            text.push_str(&self.take(|c| c.is_ascii_digit()));
        }
        Tok::Number(Box::from(text))
    }

    fn moment(&mut self) -> Result<Tok, CompileError> {
        let text =
            self.take(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | '+' | 'Z' | '.'));
        // A dot that is not followed by a digit belongs to what comes next (`@2015.is(Date)`).
        let mut text = text.as_str();
        let clean = |t: &str| {
            let cut = t
                .char_indices()
                .find(|(i, c)| {
                    *c == '.'
                        && !t
                            .get(i + 1..)
                            .is_some_and(|r| r.starts_with(|d: char| d.is_ascii_digit()))
                })
                .map(|(i, _)| i);
            cut.unwrap_or(t.len())
        };
        let keep = clean(text);
        self.pos -= text.len() - keep;
        text = text.get(..keep).unwrap_or_default();
        let parsed = if let Some(t) = text.strip_prefix('T') {
            Clock::parse(t).map(Tok::Time)
        } else if text.contains('T') {
            Moment::parse(text, true).map(Tok::DateTime)
        } else {
            Moment::parse(text, true).map(Tok::Date)
        };
        match parsed {
            Some(t) => Ok(t),
            None => self.err("not a date, time or date-time literal"),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Box<str>, CompileError> {
        self.pos += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return self.err("text is not closed");
            };
            self.pos += c.len_utf8();
            if c == quote {
                return Ok(out.into_boxed_str());
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some(e) = self.rest().chars().next() else {
                return self.err("text is not closed");
            };
            self.pos += e.len_utf8();
            match e {
                'f' => out.push('\u{c}'),
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '`' | '\'' | '"' | '\\' | '/' => out.push(e),
                'u' => {
                    let unit = self
                        .rest()
                        .get(..4)
                        .and_then(|h| u32::from_str_radix(h, 16).ok());
                    match unit.and_then(char::from_u32) {
                        Some(ch) => {
                            self.pos += 4;
                            out.push(ch);
                        }
                        None => return self.err("\\u needs four hexadecimal digits"),
                    }
                }
                // The grammar knows no other escapes; regular expressions are commonly written with single backslashes.
                other => {
                    out.push('\\');
                    out.push(other);
                }
            }
        }
    }
}

struct Parser<'s, 'r> {
    lexer: Lexer<'s>,
    at: usize,
    tok: Tok,
    resolver: &'r dyn Resolver,
    depth: usize,
    links: usize,
}

/// Parses a whole expression.
pub(crate) fn parse(src: &str, resolver: &dyn Resolver) -> Result<Ast, CompileError> {
    if src.len() > MAX_LEN {
        return Err(CompileError {
            offset: 0,
            text: format!("expression is longer than {MAX_LEN} bytes"),
        });
    }
    let mut p = Parser {
        lexer: Lexer { src, pos: 0 },
        at: 0,
        tok: Tok::End,
        resolver,
        depth: 0,
        links: 0,
    };
    p.advance()?;
    let ast = p.expression(0)?;
    if p.tok != Tok::End {
        return p.err("unexpected text after the expression");
    }
    Ok(ast)
}

/// Binding power of a binary operator, loosest first.
fn operator(tok: &Tok) -> Option<(u8, Option<Op>)> {
    Some(match tok {
        Tok::Ident(w) => match w.as_ref() {
            "implies" => (1, Some(Op::Implies)),
            "or" => (2, Some(Op::Or)),
            "xor" => (2, Some(Op::Xor)),
            "and" => (3, Some(Op::And)),
            "in" => (4, Some(Op::In)),
            "contains" => (4, Some(Op::Contains)),
            "is" | "as" => (8, None),
            "div" => (10, Some(Op::IntDiv)),
            "mod" => (10, Some(Op::Mod)),
            _ => return None,
        },
        Tok::Sym(s) => match *s {
            "=" => (5, Some(Op::Eq)),
            "~" => (5, Some(Op::Equiv)),
            "!=" => (5, Some(Op::Ne)),
            "!~" => (5, Some(Op::NotEquiv)),
            "<" => (6, Some(Op::Lt)),
            ">" => (6, Some(Op::Gt)),
            "<=" => (6, Some(Op::Le)),
            ">=" => (6, Some(Op::Ge)),
            "|" => (7, Some(Op::Union)),
            "+" => (9, Some(Op::Add)),
            "-" => (9, Some(Op::Sub)),
            "&" => (9, Some(Op::Concat)),
            "*" => (10, Some(Op::Mul)),
            "/" => (10, Some(Op::Div)),
            _ => return None,
        },
        _ => return None,
    })
}

impl Parser<'_, '_> {
    fn err<T>(&self, text: &str) -> Result<T, CompileError> {
        Err(CompileError {
            offset: self.at,
            text: text.to_owned(),
        })
    }

    fn advance(&mut self) -> Result<Tok, CompileError> {
        let (at, tok) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.tok, tok))
    }

    fn is(&self, sym: &str) -> bool {
        matches!(&self.tok, Tok::Sym(s) if *s == sym)
    }

    fn expect(&mut self, sym: &str) -> Result<(), CompileError> {
        if self.is(sym) {
            self.advance()?;
            Ok(())
        } else {
            self.err(&format!("'{sym}' is expected here"))
        }
    }

    fn deeper(&mut self) -> Result<(), CompileError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.err("expression is nested too deeply")
        } else {
            Ok(())
        }
    }

    /// Counts operators and path steps: together with the nesting they bound the depth of the tree, so that evaluation
    /// cannot exhaust the stack.
    fn link(&mut self) -> Result<(), CompileError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            self.err("expression has too many steps")
        } else {
            Ok(())
        }
    }

    /// Precedence climbing: operators binding at least as tightly as `min`.
    fn expression(&mut self, min: u8) -> Result<Ast, CompileError> {
        self.deeper()?;
        let mut left = self.unary()?;
        while let Some((power, op)) = operator(&self.tok) {
            if power < min {
                break;
            }
            self.link()?;
            let word = self.advance()?;
            left = match op {
                Some(op) => {
                    let right = self.expression(power + 1)?;
                    Ast::Binary(op, Box::new(left), Box::new(right))
                }
                None => {
                    let spec = self.type_spec()?;
                    if word == Tok::Ident(Box::from("is")) {
                        Ast::Is(Box::new(left), spec)
                    } else {
                        Ast::As(Box::new(left), spec)
                    }
                }
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Ast, CompileError> {
        if self.is("-") || self.is("+") {
            let negative = self.is("-");
            self.advance()?;
            self.deeper()?;
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(if negative {
                Ast::Negate(Box::new(inner))
            } else {
                Ast::Plus(Box::new(inner))
            });
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Ast, CompileError> {
        let mut left = self.term()?;
        loop {
            self.link()?;
            if self.is(".") {
                self.advance()?;
                left = self.invocation(Some(Box::new(left)))?;
            } else if self.is("[") {
                self.advance()?;
                let index = self.expression(0)?;
                self.expect("]")?;
                left = Ast::Item {
                    base: Box::new(left),
                    index: Box::new(index),
                };
            } else {
                return Ok(left);
            }
        }
    }

    fn term(&mut self) -> Result<Ast, CompileError> {
        match &self.tok {
            Tok::Sym("(") => {
                self.advance()?;
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Tok::Sym("{") => {
                self.advance()?;
                self.expect("}")?;
                Ok(Ast::Empty)
            }
            Tok::Ident(w) if w.as_ref() == "true" || w.as_ref() == "false" => {
                let v = w.as_ref() == "true";
                self.advance()?;
                Ok(Ast::Literal(Literal::Bool(v)))
            }
            Tok::Ident(_) | Tok::Quoted(_) | Tok::Special(_) => self.invocation(None),
            Tok::Str(_) | Tok::Number(_) | Tok::Date(_) | Tok::DateTime(_) | Tok::Time(_) => {
                self.literal()
            }
            Tok::Constant(name) => {
                let name = name.clone();
                self.advance()?;
                Ok(Ast::Constant(name))
            }
            Tok::End => self.err("the expression ends where a term is expected"),
            Tok::Sym(_) => self.err("a term is expected here"),
        }
    }

    fn literal(&mut self) -> Result<Ast, CompileError> {
        let at = self.at;
        let tok = self.advance()?;
        Ok(Ast::Literal(match tok {
            Tok::Str(s) => Literal::Str(s),
            Tok::Date(m) => Literal::Date(m),
            Tok::DateTime(m) => Literal::DateTime(m),
            Tok::Time(c) => Literal::Time(c),
            Tok::Number(text) => {
                let bad = || CompileError {
                    offset: at,
                    text: "number is out of range".into(),
                };
                let unit = match &self.tok {
                    Tok::Str(u) => Some(u.clone()),
                    Tok::Ident(u) => super::calendar_unit(u).map(Box::from),
                    _ => None,
                };
                if let Some(unit) = unit {
                    self.advance()?;
                    Literal::Quantity(text.parse::<Decimal>().map_err(|_| bad())?, unit)
                } else if text.contains('.') {
                    Literal::Dec(text.parse::<Decimal>().map_err(|_| bad())?)
                } else {
                    let n: i64 = text.parse().map_err(|_| bad())?;
                    Literal::Int(n)
                }
            }
            _ => return self.err("a literal is expected here"),
        }))
    }

    fn name(&self, text: Box<str>) -> Name {
        Name {
            id: self.resolver.name(&text),
            ty: self.resolver.ty(&text),
            text,
        }
    }

    fn invocation(&mut self, base: Option<Box<Ast>>) -> Result<Ast, CompileError> {
        let at = self.at;
        match self.advance()? {
            Tok::Special(s) => {
                if base.is_some() {
                    return self.err("$this, $index and $total begin a path");
                }
                match s.as_ref() {
                    "this" => Ok(Ast::This),
                    "index" => Ok(Ast::Index),
                    "total" => Ok(Ast::Total),
                    _ => Err(CompileError {
                        offset: at,
                        text: "only $this, $index and $total exist".into(),
                    }),
                }
            }
            Tok::Quoted(text) => Ok(Ast::Member {
                base,
                name: self.name(text),
            }),
            Tok::Ident(text) => {
                if !self.is("(") {
                    return Ok(Ast::Member {
                        base,
                        name: self.name(text),
                    });
                }
                self.advance()?;
                let Some((func, min, max)) = Func::find(&text) else {
                    return Err(CompileError {
                        offset: at,
                        text: format!("there is no function {text}()"),
                    });
                };
                let mut args = Vec::new();
                while !self.is(")") {
                    if !args.is_empty() {
                        self.expect(",")?;
                    }
                    if func.takes_type() {
                        let spec = self.type_spec()?;
                        // Held as `$this is T`; the evaluator reads the specifier only.
                        args.push(Ast::Is(Box::new(Ast::This), spec));
                    } else if func == Func::Sort {
                        args.push(self.sort_key()?);
                    } else {
                        args.push(self.expression(0)?);
                    }
                    if args.len() > max {
                        break;
                    }
                }
                self.expect(")")?;
                if args.len() < min || args.len() > max {
                    return Err(CompileError {
                        offset: at,
                        text: format!("{text}() takes {min} to {max} arguments"),
                    });
                }
                Ok(Ast::Call { base, func, args })
            }
            _ => Err(CompileError {
                offset: at,
                text: "a name is expected here".into(),
            }),
        }
    }

    /// A sort key with an optional `asc` or `desc` after it; descending is held as a negation.
    fn sort_key(&mut self) -> Result<Ast, CompileError> {
        let key = self.expression(0)?;
        if let Tok::Ident(w) = &self.tok
            && matches!(w.as_ref(), "asc" | "desc")
        {
            let desc = w.as_ref() == "desc";
            self.advance()?;
            return Ok(if desc {
                Ast::Negate(Box::new(key))
            } else {
                key
            });
        }
        Ok(key)
    }

    fn type_spec(&mut self) -> Result<TypeSpec, CompileError> {
        let first = self.type_word()?;
        let (namespace, name) = if self.is(".") && matches!(first.as_ref(), "FHIR" | "System") {
            self.advance()?;
            (first, self.type_word()?)
        } else {
            (Box::from(""), first)
        };
        let ty = if namespace.as_ref() == "System" {
            None
        } else {
            self.resolver.ty(&name)
        };
        Ok(TypeSpec {
            namespace,
            name,
            ty,
        })
    }

    fn type_word(&mut self) -> Result<Box<str>, CompileError> {
        match self.advance()? {
            Tok::Ident(w) | Tok::Quoted(w) => Ok(w),
            _ => self.err("a type name is expected here"),
        }
    }
}
