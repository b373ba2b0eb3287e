//! What a provider publishes about itself: its metadata, read strictly.

use jose::strict_json;
use serde_json::{Map, Value};
use url::Url;

/// The parts of a discovery document that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers go.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: String,
    /// Its keys.
    pub jwks_uri: String,
    /// Where requests are pushed.
    pub par_endpoint: Option<String>,
    /// Where browsers log out.
    pub end_session_endpoint: Option<String>,
    /// Whether it names itself in the callback (RFC 9207).
    pub names_issuer: bool,
}

impl Metadata {
    /// Reads a discovery document of `issuer`.
    ///
    /// # Errors
    /// What is wrong with it, for the operator's log.
    pub fn parse(issuer: &str, document: &[u8]) -> Result<Self, &'static str> {
        let map = strict_json::object(document).map_err(|_| "the metadata is no JSON object")?;
        if map.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err("the metadata belongs to another issuer");
        }
        let required = |name: &'static str, why| address(issuer, &map, name)?.ok_or(why);
        Ok(Self {
            authorization_endpoint: required(
                "authorization_endpoint",
                "the metadata has no authorization_endpoint",
            )?,
            token_endpoint: required("token_endpoint", "the metadata has no token_endpoint")?,
            jwks_uri: required("jwks_uri", "the metadata has no jwks_uri")?,
            par_endpoint: address(issuer, &map, "pushed_authorization_request_endpoint")?,
            end_session_endpoint: address(issuer, &map, "end_session_endpoint")?,
            names_issuer: map.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }
}

/// An endpoint: https, or whatever scheme the issuer itself has been configured with (http only in tests on loopback).
fn address(
    issuer: &str,
    map: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, &'static str> {
    let Some(text) = map.get(name).and_then(Value::as_str) else {
        return Ok(None);
    };
    let plain_issuer = issuer.starts_with("http://");
    let fits = Url::parse(text).is_ok_and(|url| {
        let scheme = url.scheme() == "https" || plain_issuer && url.scheme() == "http";
        scheme && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    });
    if fits {
        Ok(Some(text.to_owned()))
    } else {
        Err("the metadata has an endpoint that is no https address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "issuer": "https://idp.example", "authorization_endpoint": "https://login.idp.example/authorize",
            "token_endpoint": "https://idp.example/token", "jwks_uri": "https://idp.example/jwk",
            "pushed_authorization_request_endpoint": "https://idp.example/par",
            "authorization_response_iss_parameter_supported": true, "anything": {"else": 1},
        })
    }

    #[test]
    fn metadata_is_read_and_refused() {
        let parse =
            |value: &Value| Metadata::parse("https://idp.example", value.to_string().as_bytes());
        let good = parse(&document()).unwrap();
        assert_eq!(
            good.par_endpoint.as_deref(),
            Some("https://idp.example/par")
        );
        assert_eq!((good.end_session_endpoint, good.names_issuer), (None, true));
        for (name, value) in [
            ("issuer", json!("https://idp.example/")),
            ("issuer", json!(null)),
            ("token_endpoint", json!("http://idp.example/token")),
            ("token_endpoint", json!("https://u:p@idp.example/token")),
            ("token_endpoint", json!("/token")),
            ("jwks_uri", json!(null)),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("end_session_endpoint", json!("ftp://idp.example")),
        ] {
            let mut bad = document();
            bad[name] = value;
            assert!(parse(&bad).is_err(), "{bad}");
        }
        assert!(Metadata::parse("https://idp.example", b"[]").is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = Metadata::parse("https://idp.example", &bytes);
        }
    }
}
