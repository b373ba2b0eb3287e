//! JSON objects from the network, read strictly: duplicate members, deep nesting and huge values are refused.
//!
//! A duplicate member lets two readers of one signed token see two different claims (RFC 8725 §2.4 advice), so the
//! ordinary "last one wins" of JSON libraries is not good enough here.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting accepted, counted in objects and arrays.
pub const MAX_DEPTH: usize = 16;
/// Most values (members, elements) accepted in one document.
pub const MAX_VALUES: usize = 4_096;

/// Why a document was refused. All are the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not well-formed JSON, or something follows it.
    #[error("not well-formed JSON")]
    Syntax,
    /// Well-formed, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// The same member name twice in one object.
    #[error("a member name occurs twice in one object")]
    DuplicateMember,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_VALUES`] values.
    #[error("more than {MAX_VALUES} values")]
    TooManyValues,
}

/// Parses one JSON object.
///
/// # Errors
/// See [`JsonError`].
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match value(bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Parses any JSON value under the same limits.
///
/// # Errors
/// See [`JsonError`].
pub fn value(bytes: &[u8]) -> Result<Value, JsonError> {
    let reader = Reader {
        values_left: Cell::new(MAX_VALUES),
        refusal: Cell::new(JsonError::Syntax),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        reader: &reader,
        depth: 0,
    };
    let parsed = seed
        .deserialize(&mut deserializer)
        .map_err(|_| reader.refusal.get())?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(parsed)
}

struct Reader {
    values_left: Cell<usize>,
    refusal: Cell<JsonError>,
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    reader: &'a Reader,
    depth: usize,
}

impl Seed<'_> {
    fn refuse<E: serde::de::Error>(&self, why: JsonError) -> E {
        self.reader.refusal.set(why);
        E::custom(why)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.refuse(JsonError::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.reader.values_left.get().checked_sub(1) {
            Some(left) => {
                self.reader.values_left.set(left);
                Ok(())
            }
            None => Err(self.refuse(JsonError::TooManyValues)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(
                    self.refuse::<A::Error>(JsonError::DuplicateMember),
                ));
            }
            let member = access.next_value_seed(inner)?;
            members.insert(name, member);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_each_for_its_own_reason() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        let many = format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_VALUES));
        let table: [(&str, JsonError); 8] = [
            ("", JsonError::Syntax),
            ("{", JsonError::Syntax),
            ("{} x", JsonError::Syntax),
            ("[]", JsonError::NotAnObject),
            (r#"{"a":1,"a":1}"#, JsonError::DuplicateMember),
            (r#"{"a":{"b":1,"\u0062":2}}"#, JsonError::DuplicateMember),
            (&deep, JsonError::TooDeep),
            (&many, JsonError::TooManyValues),
        ];
        for (text, expected) in table {
            assert_eq!(object(text.as_bytes()), Err(expected), "{text:.40}");
        }
    }

    #[test]
    fn keeps_order_and_types() {
        let map = object(br#"{"b":1,"a":["x",null,true,1.5,-2]}"#).unwrap();
        assert_eq!(
            Value::Object(map).to_string(),
            r#"{"b":1,"a":["x",null,true,1.5,-2]}"#
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = object(&bytes);
        }
    }
}
