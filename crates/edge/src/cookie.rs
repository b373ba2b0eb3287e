//! Cookies as the portals and the login pages need them: HttpOnly, SameSite=Lax, Secure on TLS, host-only.

use axum::http::{HeaderMap, HeaderValue, header};

/// A random value for sessions, CSRF tokens and states: 256 bits, base64url.
pub fn random_token() -> String {
    use base64::Engine;
    let mut bytes = [0u8; 32];
    rand::fill(&mut bytes);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Value of a cookie in a request.
pub fn get(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v.to_owned())
}

/// A `Set-Cookie` value. `max_age_s = None`: until the browser closes; `Some(0)`: removes it.
pub fn set(
    name: &str,
    value: &str,
    is_secure: bool,
    max_age_s: Option<u64>,
) -> Option<HeaderValue> {
    let mut text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
    if is_secure {
        text.push_str("; Secure");
    }
    if let Some(age) = max_age_s {
        text.push_str(&format!("; Max-Age={age}"));
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_among_several() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=1; session=xyz; b=2"),
        );
        assert_eq!(get(&headers, "session").as_deref(), Some("xyz"));
        assert_eq!(get(&headers, "sess"), None);
    }
}
