//! A mutable JSON value that keeps number text and member order: the working form of patches and of the XML reader.

use super::{Fault, Limits, Lit, Sink, parse, unescape, write_string};
use crate::finding::{Finding, IssueCode};

/// A JSON value. Numbers are kept as written; object members keep their order.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Number text as written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object; names are unique.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads a JSON text. Duplicate member names are an error.
    pub fn parse(src: &[u8], limits: &Limits) -> Result<Value, Vec<Finding>> {
        let mut b = Builder {
            src,
            stack: Vec::new(),
            done: None,
            nodes: 0,
            limits,
        };
        match parse(src, limits, &mut b) {
            Ok(()) => b.done.ok_or_else(|| {
                vec![Finding::error(
                    IssueCode::Invalid,
                    "json-syntax",
                    "the text is empty",
                )]
            }),
            Err(f) => Err(vec![f.finding(src)]),
        }
    }

    /// Compact JSON text.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(n) => out.extend_from_slice(n.as_bytes()),
            Value::String(s) => write_string(out, s),
            Value::Array(items) => {
                out.push(b'[');
                for (i, v) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    v.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (i, (k, v)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_string(out, k);
                    out.push(b':');
                    v.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// Member of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(m) => m.iter().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Sets a member of an object, in place or at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        if let Value::Object(m) = self {
            match m.iter_mut().find(|(k, _)| k == name) {
                Some((_, v)) => *v = value,
                None => m.push((name.to_owned(), value)),
            }
        }
    }

    /// Equality as JSON Patch `test` means it: numbers by value, objects without regard to order.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => {
                a == b
                    || crate::decimal::Num::parse(a)
                        .zip(crate::decimal::Num::parse(b))
                        .is_some_and(|(a, b)| a == b)
            }
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(k, v)| b.iter().any(|(k2, v2)| k == k2 && v.same(v2)))
            }
            _ => false,
        }
    }
}

enum Open {
    Array(Vec<Value>),
    Object(Vec<(String, Value)>, String),
}

struct Builder<'s> {
    src: &'s [u8],
    stack: Vec<Open>,
    done: Option<Value>,
    nodes: usize,
    limits: &'s Limits,
}

impl Builder<'_> {
    fn text(&self, lit: Lit) -> String {
        let mut out = String::with_capacity(lit.end - lit.start);
        unescape(self.src, lit, &mut out);
        out
    }

    fn put(&mut self, at: usize, v: Value) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > self.limits.max_nodes {
            return Err(Fault::new(
                at,
                IssueCode::TooCostly,
                "limit-nodes",
                format!("more than {} values", self.limits.max_nodes),
            ));
        }
        match self.stack.last_mut() {
            None => self.done = Some(v),
            Some(Open::Array(items)) => items.push(v),
            Some(Open::Object(members, key)) => members.push((std::mem::take(key), v)),
        }
        Ok(())
    }
}

impl Sink for Builder<'_> {
    fn begin_object(&mut self, _at: usize) -> Result<(), Fault> {
        self.stack.push(Open::Object(Vec::new(), String::new()));
        Ok(())
    }

    fn key(&mut self, key: Lit) -> Result<(), Fault> {
        let name = self.text(key);
        if let Some(Open::Object(members, pending)) = self.stack.last_mut() {
            if members.len() >= self.limits.max_fields {
                return Err(Fault::new(
                    key.start,
                    IssueCode::TooCostly,
                    "limit-fields",
                    format!("an object has more than {} members", self.limits.max_fields),
                ));
            }
            if members.iter().any(|(k, _)| *k == name) {
                return Err(Fault::new(
                    key.start,
                    IssueCode::Structure,
                    "json-duplicate",
                    "a member name occurs twice in one object",
                ));
            }
            *pending = name;
        }
        Ok(())
    }

    fn end_object(&mut self, end: usize) -> Result<(), Fault> {
        match self.stack.pop() {
            Some(Open::Object(m, _)) => self.put(end, Value::Object(m)),
            _ => Ok(()),
        }
    }

    fn begin_array(&mut self, _at: usize) -> Result<(), Fault> {
        self.stack.push(Open::Array(Vec::new()));
        Ok(())
    }

    fn end_array(&mut self, at: usize) -> Result<(), Fault> {
        match self.stack.pop() {
            Some(Open::Array(v)) => self.put(at, Value::Array(v)),
            _ => Ok(()),
        }
    }

    fn string(&mut self, v: Lit) -> Result<(), Fault> {
        let text = self.text(v);
        self.put(v.start, Value::String(text))
    }

    fn number(&mut self, start: usize, end: usize) -> Result<(), Fault> {
        let text = self
            .src
            .get(start..end)
            .and_then(|t| std::str::from_utf8(t).ok())
            .unwrap_or_default()
            .to_owned();
        self.put(start, Value::Number(text))
    }

    fn bool(&mut self, at: usize, v: bool) -> Result<(), Fault> {
        self.put(at, Value::Bool(v))
    }

    fn null(&mut self, at: usize) -> Result<(), Fault> {
        self.put(at, Value::Null)
    }
}
