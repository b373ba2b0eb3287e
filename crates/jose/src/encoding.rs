//! Strict base64url, digests and random values: the few byte-level operations every JOSE structure is made of.

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Base64url without padding (RFC 7515 §2).
#[must_use]
pub fn b64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url strictly: no padding, no whitespace, no non-canonical trailing bits.
///
/// Two different texts never decode to the same bytes, so a signed token has exactly one spelling.
#[must_use]
pub fn b64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Base64 in the standard alphabet with padding, as used by `x5c`.
#[must_use]
pub fn b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-1, only for `x5t` certificate thumbprints (RFC 7515 §4.1.7), never for security decisions.
#[must_use]
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0_u8; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}

/// HMAC-SHA-256.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    out.copy_from_slice(tag.as_ref());
    out
}

/// Compares secrets without leaking where they differ.
#[must_use]
pub fn equal_secret(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The operating system gave no randomness: nothing can be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// `N` random bytes.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0_u8; N];
    rand::fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// A random value of `N` bytes as base64url: state, nonce, code, verifier.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn random_b64url<const N: usize>() -> Result<String, NoRandomness> {
    Ok(b64url(&random::<N>()?))
}

/// Upper-case hexadecimal, the form of HelseID's `kid`, `jti` and `sid`.
#[must_use]
pub fn hex_upper(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .map(|digit| char::from(*digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_strict() {
        assert_eq!(b64url_decode("AQ"), Some(vec![1]));
        for refused in ["AQ==", "AR", " AQ", "AQ\n", "A+/=", "A", "A/", "AQ.", "Å"] {
            assert_eq!(b64url_decode(refused), None, "{refused:?}");
        }
        assert_eq!(b64url_decode(""), Some(Vec::new()));
    }

    #[test]
    fn hex_is_upper_case() {
        assert_eq!(hex_upper(&[0, 0x1f, 0xab]), "001FAB");
    }

    #[test]
    fn hmac_known_answer() {
        // RFC 4231 test case 2.
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert!(hex_upper(&mac).starts_with("5BDCC146BF60754E6A042426089575C7"));
    }
}
