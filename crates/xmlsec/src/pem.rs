//! PEM text (RFC 7468): certificates, keys and revocation lists as people paste them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Text that is not the PEM expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block with the wanted label.
    #[error("no PEM block \"{0}\" in the text")]
    Missing(String),
    /// A block without its END line.
    #[error("the PEM block \"{0}\" has no END line")]
    Unterminated(String),
    /// Content that is not base64.
    #[error("the PEM block \"{0}\" is not valid base64")]
    Base64(String),
}

/// Writes one block with lines of 64 characters.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

/// All blocks with this label, in order. Text between blocks is ignored.
///
/// # Errors
/// A block that does not end or is not base64.
pub fn decode_all(label: &str, text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after
            .split_once(&end)
            .ok_or_else(|| PemError::Unterminated(label.to_owned()))?;
        let compact: String = body.split_ascii_whitespace().collect();
        blocks.push(
            STANDARD
                .decode(compact)
                .map_err(|_| PemError::Base64(label.to_owned()))?,
        );
        rest = after;
    }
    Ok(blocks)
}

/// The first block with this label.
///
/// # Errors
/// As [`decode_all`], and when there is none.
pub fn decode(label: &str, text: &str) -> Result<Vec<u8>, PemError> {
    decode_all(label, text)?
        .into_iter()
        .next()
        .ok_or_else(|| PemError::Missing(label.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_faults() {
        for length in [0usize, 1, 47, 48, 49, 300] {
            let der: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let text = encode("X509 CRL", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(
                decode(
                    "X509 CRL",
                    &format!("note\r\n{}", text.replace('\n', "\r\n"))
                ),
                Ok(der)
            );
        }
        assert_eq!(
            decode("CERTIFICATE", "nothing"),
            Err(PemError::Missing("CERTIFICATE".to_owned()))
        );
        assert_eq!(
            decode("A", "-----BEGIN A-----\nAAAA"),
            Err(PemError::Unterminated("A".to_owned()))
        );
        assert_eq!(
            decode("A", "-----BEGIN A-----\n?\n-----END A-----"),
            Err(PemError::Base64("A".to_owned()))
        );
    }
}
