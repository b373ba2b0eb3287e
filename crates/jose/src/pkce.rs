//! PKCE (RFC 7636) with `S256` only.

use crate::encoding::{self, NoRandomness, b64url, sha256};

/// A fresh code verifier: 32 random bytes, 43 characters.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn new_verifier() -> Result<String, NoRandomness> {
    encoding::random_b64url::<32>()
}

/// The `S256` challenge of a verifier.
#[must_use]
pub fn challenge(verifier: &str) -> String {
    b64url(&sha256(verifier.as_bytes()))
}

/// Whether a challenge has the form an `S256` challenge always has: 43 base64url characters.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43 && encoding::b64url_decode(text).is_some()
}

/// Whether a verifier has the form of RFC 7636 §4.1: 43 to 128 unreserved characters.
#[must_use]
pub fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether the verifier belongs to the challenge.
#[must_use]
pub fn matches(verifier: &str, expected_challenge: &str) -> bool {
    is_verifier(verifier)
        && encoding::equal_secret(
            challenge(verifier).as_bytes(),
            expected_challenge.as_bytes(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let expected = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge(verifier), expected);
        assert!(is_challenge(expected) && matches(verifier, expected));
        assert!(!matches(
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX",
            expected
        ));
        assert!(!matches(verifier.trim_end_matches('k'), expected));
        assert!(!matches(&new_verifier().unwrap(), &challenge("x")));
    }
}
