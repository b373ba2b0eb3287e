//! Objects as JSON: names and order as in SOAP, times as .NET writes them, null for what is not there.

use base64::Engine;
use edge::soap::value::HOLE;
use edge::soap::{DateTime, Object, Value};
use serde_json::{Map, Number, Value as Json};

/// An object as JSON.
#[must_use]
pub fn object(object: &Object) -> Json {
    let mut map = Map::new();
    fill(&mut map, object);
    Json::Object(map)
}

/// Adds the elements of an object to a JSON object.
pub(super) fn fill(map: &mut Map<String, Json>, object: &Object) {
    for (name, value) in object.fields() {
        map.insert(name.to_owned(), json(value));
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => Json::Number((*number).into()),
        Value::Number(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::String(text.clone().into_owned()),
        Value::Time(at) => Json::String(written(*at)),
        Value::Bytes(bytes) => {
            Json::String(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Object(inner) => object(inner),
        Value::Hole => Json::String(HOLE.to_string()),
        Value::Ready(_) => Json::Null,
    }
}

/// A time with the offset it was given, if any.
pub(super) fn written(at: DateTime) -> String {
    let mut text = at.written.to_string();
    if let Some(offset) = at.offset {
        let minutes = offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    text
}
