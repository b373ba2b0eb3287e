//! DPoP nonces without storage: a time step and its HMAC (spec §10.1).

use jose::encoding::{b64url, b64url_decode, equal_secret, hmac_sha256};

/// Length of a time step; the current and the previous one are accepted, so a nonce lives two to four minutes.
const STEP_S: i64 = 120;
const MAC_BYTES: usize = 16;

/// The nonce to hand out now.
#[must_use]
pub fn current(key: &[u8], now_s: i64) -> String {
    make(key, now_s.div_euclid(STEP_S))
}

/// Whether a nonce is ours and fresh.
#[must_use]
pub fn is_fresh(nonce: &str, key: &[u8], now_s: i64) -> bool {
    let step = now_s.div_euclid(STEP_S);
    let well_formed = b64url_decode(nonce).is_some_and(|bytes| bytes.len() == 8 + MAC_BYTES);
    well_formed
        && [step, step - 1]
            .into_iter()
            .any(|step| equal_secret(make(key, step).as_bytes(), nonce.as_bytes()))
}

fn make(key: &[u8], step: i64) -> String {
    let step = step.to_be_bytes();
    let mac = hmac_sha256(key, &step);
    let (mac, _) = mac.split_at(MAC_BYTES);
    b64url(&[&step, mac].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_for_two_steps() {
        let nonce = current(b"key", 1_000);
        let fresh = |at| is_fresh(&nonce, b"key", at);
        assert_eq!(
            [959, 960, 1_079, 1_199, 1_200].map(fresh),
            [false, true, true, true, false]
        );
        assert!(!is_fresh(&nonce, b"other", 1_000));
        assert!(!is_fresh("", b"key", 1_000));
        assert!(!is_fresh(&nonce.to_uppercase(), b"key", 1_000));
        assert_ne!(nonce, current(b"key", 1_200));
    }
}
