//! Values that come in requests and go out in answers, before and after their XML.

use super::lexical::DateTime;
use std::borrow::Cow;
use std::fmt;

/// A value. `{:?}` shows its form only: it may hold national ids.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `i:nil`, or nothing.
    Nil,
    /// `boolean`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// `double`, `float`, `decimal`.
    Number(f64),
    /// Text, enumerations, `guid`, `duration`.
    Text(Cow<'static, str>),
    /// `dateTime`.
    Time(DateTime),
    /// `base64Binary`.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
    /// A place in content that is written once and sent often: filled in when it is sent ([`Ready`]).
    Hole,
    /// Content that was written before ([`super::write::content`]).
    Ready(Ready),
}

/// The content of an answer as it was written, and what goes into its holes this time.
#[derive(Clone, PartialEq)]
pub struct Ready {
    /// Content, with [`HOLE`] wherever a [`Value::Hole`] was.
    pub content: String,
    /// What goes there: text without markup.
    pub filling: String,
}

/// Stands for a hole: no character of XML.
pub const HOLE: char = '\0';

impl Ready {
    /// Writes the content with its holes filled.
    pub fn write(&self, out: &mut String) {
        out.reserve(self.content.len() + 16 * self.filling.len());
        let mut pieces = self.content.split(HOLE);
        out.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            out.push_str(&self.filling);
            out.push_str(piece);
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(_) => f.write_str("boolean"),
            Self::Int(_) | Self::Number(_) => f.write_str("number"),
            Self::Text(_) => f.write_str("text"),
            Self::Time(_) => f.write_str("time"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Object(object) => object.fmt(f),
            Self::Hole => f.write_str("hole"),
            Self::Ready(_) => f.write_str("ready"),
        }
    }
}

/// Elements by name. Those set in the order of the contract are written fastest.
#[derive(Clone, Default, PartialEq)]
pub struct Object {
    /// Name of the type, where it is not the declared one but one derived from it.
    pub type_name: Option<Cow<'static, str>>,
    /// Its type is written even where it is the declared one: zeep resolves types that hold each other wrongly unless
    /// the element says what it is.
    pub says_type: bool,
    pub(super) fields: Vec<(Cow<'static, str>, Value)>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.fields.iter().map(|(name, value)| (name, value)))
            .finish()
    }
}

impl Object {
    /// An empty object of the declared type.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty object of a derived type.
    #[must_use]
    pub fn of(type_name: &'static str) -> Self {
        Self {
            type_name: Some(Cow::Borrowed(type_name)),
            says_type: false,
            fields: Vec::new(),
        }
    }

    /// With an element.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an element.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((Cow::Borrowed(name), value)),
        }
    }

    /// Makes a hole of every element of this name that is not nil, in the objects below too.
    pub fn punch(&mut self, name: &str) {
        for (known, value) in &mut self.fields {
            match value {
                Value::Nil => {}
                value if *known == name => *value = Value::Hole,
                Value::Object(below) => below.punch(name),
                Value::List(items) => {
                    for item in items {
                        if let Value::Object(below) = item {
                            below.punch(name);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Elements in the order in which they were set.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (&**name, value))
    }

    pub(super) fn push(&mut self, name: String, value: Value) {
        self.fields.push((Cow::Owned(name), value));
    }

    /// An element that is there and not nil.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .filter(|value| !matches!(value, Value::Nil))
    }

    /// Whether the element was there, nil or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// Text, without spaces around it; none when it is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A truth value; what is not there is false.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Bool(true)))
    }

    /// A point in time.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<DateTime> {
        match self.get(name)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A list; what is not there is empty.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list.
    pub fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.trim()),
            _ => None,
        })
    }

    /// The whole numbers of a list.
    pub fn ints(&self, name: &str) -> impl Iterator<Item = i64> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Int(number) => Some(*number),
            _ => None,
        })
    }

    /// The objects of a list.
    pub fn objects<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Object> {
        self.list(name).iter().filter_map(|value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })
    }

    /// An object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&Object> {
        match self.get(name)? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

macro_rules! from_whole {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Int(i64::from(number))
            }
        }
    )*};
}
from_whole!(u8, i16, u16, i32, u32, i64);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<DateTime> for Value {
    fn from(time: DateTime) -> Self {
        Self::Time(time)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl From<Vec<Object>> for Value {
    fn from(items: Vec<Object>) -> Self {
        Self::List(items.into_iter().map(Self::Object).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
