//! JSON with decimals as written: `12.60` stays `12.60` (spec/fhir-server.md §1, precision).

use bytes::Bytes;
use serde_json::{Value, json};

const DECIMAL: &str = "$decimal";

/// A number that is written exactly as given; `None` when the text is no FHIR decimal.
pub fn decimal(text: &str) -> Option<Value> {
    let text = text.trim().replace(',', ".");
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let has_no_leading_zero = whole == "0" || !whole.starts_with('0');
    (is_digits(whole) && is_digits(fraction) && has_no_leading_zero && text.len() <= 40)
        .then(|| json!({ DECIMAL: text }))
}

/// Serialises, writing decimals raw.
pub fn to_bytes(value: &Value) -> Bytes {
    let mut out = Vec::with_capacity(1_024);
    write(&mut out, value);
    Bytes::from(out)
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(map) => {
            if let (1, Some(Value::String(text))) = (map.len(), map.get(DECIMAL)) {
                out.extend_from_slice(text.as_bytes());
                return;
            }
            out.push(b'{');
            for (index, (key, inner)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
                out.push(b':');
                write(out, inner);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, inner) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, inner);
            }
            out.push(b']');
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_stay_as_written() {
        let value = json!({ "a": decimal("12,60"), "b": [decimal("0")], "c": "12,60" });
        assert_eq!(&to_bytes(&value)[..], br#"{"a":12.60,"b":[0],"c":"12,60"}"#);
    }

    #[test]
    fn anything_else_is_no_decimal() {
        for text in [
            "", "1.", ".5", "1e5", "012", "NaN", "1 000", "<5", "--1", "1.2.3",
        ] {
            assert!(decimal(text).is_none(), "{text}");
        }
    }
}
