//! Making resources, and splicing the server's `meta` into stored ones.

mod splice;

pub use splice::{SpliceError, splice_meta};

use serde_json::{Map, Value, json};

/// A JSON object under construction that leaves out what is absent (FHIR has no nulls and no empty arrays).
#[derive(Debug, Clone, Default)]
pub struct Json(Map<String, Value>);

impl Json {
    /// An empty object.
    pub fn new() -> Json {
        Json::default()
    }

    /// A resource of a type.
    pub fn resource(resource_type: &str) -> Json {
        Json::new().put("resourceType", resource_type)
    }

    /// Sets a member, unless the value is null, an empty string, array or object.
    #[must_use]
    pub fn put(mut self, name: &str, value: impl Into<Value>) -> Json {
        let value = value.into();
        let absent = match &value {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
            _ => false,
        };
        if !absent {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// Sets a member when there is a value.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Json {
        match value {
            Some(v) => self.put(name, v),
            None => self,
        }
    }

    /// Sets an array member from values; none leaves the member out.
    #[must_use]
    pub fn list(self, name: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Json {
        self.put(
            name,
            Value::Array(values.into_iter().map(Into::into).collect()),
        )
    }

    /// The value.
    pub fn build(self) -> Value {
        Value::Object(self.0)
    }

    /// Compact JSON text.
    pub fn to_bytes(&self) -> bytes::Bytes {
        bytes::Bytes::from(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

impl From<Json> for Value {
    fn from(j: Json) -> Value {
        j.build()
    }
}

/// A Coding.
pub fn coding(system: &str, code: &str, display: &str) -> Value {
    Json::new()
        .put("system", system)
        .put("code", code)
        .put("display", display)
        .build()
}

/// A CodeableConcept with one coding.
pub fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": [coding(system, code, display)]})
}

/// An Identifier.
pub fn identifier(system: &str, value: &str) -> Value {
    Json::new()
        .put("system", system)
        .put("value", value)
        .build()
}

/// A Reference to a resource of the same base.
pub fn reference(resource_type: &str, id: &str) -> Value {
    json!({"reference": format!("{resource_type}/{id}")})
}

/// A logical Reference by identifier.
pub fn logical_reference(resource_type: &str, system: &str, value: &str) -> Value {
    Json::new()
        .put("type", resource_type)
        .put("identifier", identifier(system, value))
        .build()
}
