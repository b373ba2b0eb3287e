//! Form bodies and query strings, read strictly.

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};

use crate::error::OAuthError;

/// Longest body read (attack A40).
pub const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_PARAMETERS: usize = 100;

/// Parameters in the order they came. Those with an empty value count as absent (RFC 6749 §3.1).
#[derive(Debug, Default, Clone)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form body, and gives the headers back.
    ///
    /// # Errors
    /// `invalid_request`: too large, other media type, too many or repeated parameters.
    pub async fn read(request: Request<Body>) -> Result<(HeaderMap, Self), OAuthError> {
        let (parts, body) = request.into_parts();
        let media_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase());
        if media_type.as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(OAuthError::request(
                "the body must be application/x-www-form-urlencoded",
            ));
        }
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES)
            .await
            .map_err(|_| OAuthError::request("the body is longer than 65536 bytes or broke off"))?;
        Ok((parts.headers, Self::parse(&body)?))
    }

    /// Reads encoded parameters.
    ///
    /// # Errors
    /// `invalid_request`: too many or repeated parameters; only `resource` may repeat (RFC 8707).
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if value.is_empty() {
                continue;
            }
            if name != "resource" && parameters.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::request("a parameter occurs more than once"));
            }
            if parameters.len() >= MAX_PARAMETERS {
                return Err(OAuthError::request("too many parameters"));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request`, naming it.
    pub fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::request(format!("the parameter {name} is missing")))
    }

    /// All values of a repeatable parameter.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Replaces all values of a parameter.
    pub fn set(&mut self, name: &str, values: Vec<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0
            .extend(values.into_iter().map(|value| (name.to_owned(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let form = Form::parse(b"a=1&resource=x&resource=y&empty=&b=%C3%B8+%26").unwrap();
        assert_eq!(
            (form.get("a"), form.get("b"), form.get("empty")),
            (Some("1"), Some("\u{f8} &"), None)
        );
        assert_eq!(form.all("resource"), ["x", "y"]);
        assert!(form.required("empty").is_err());
        assert!(Form::parse(b"a=1&a=1").is_err());
        assert!(Form::parse(b"a=1&a=").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }
    }
}
