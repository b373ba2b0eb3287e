//! Sealing of short-lived values: AES-256-GCM-SIV, which forgives a nonce that comes twice, bound to the value's place.

use crate::keys::random_bytes;
use crate::secrets::{SecretError, Secrets};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

const SECRET: &str = "helseid-state-key";

/// Seals and opens.
pub(super) struct Sealer(LessSafeKey);

impl Sealer {
    /// With the key of this store, made at first use.
    pub(super) fn open(secrets: &Secrets) -> Result<Self, SecretError> {
        let key = secrets.get_or_make(SECRET, || random_bytes(32))?;
        Self::new(&key).ok_or_else(|| SecretError::WrongKey(SECRET.to_owned()))
    }

    fn new(key: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// `None` when the crypto library refuses.
    pub(super) fn seal(&self, space: &str, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut nonce);
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place(space, key)),
                &mut sealed,
            )
            .ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// `None` when the value is not one of ours, or of another place.
    pub(super) fn open_value(&self, space: &str, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = sealed.to_vec();
        let aad = Aad::from(place(space, key));
        let plain = self.0.open_in_place(nonce, aad, &mut buffer).ok()?;
        Some(plain.to_vec())
    }
}

fn place(space: &str, key: &[u8]) -> Vec<u8> {
    [space.as_bytes(), &[0], key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_at_its_place_only() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal("a", b"k", b"value").unwrap();
        assert_ne!(sealed, sealer.seal("a", b"k", b"value").unwrap());
        assert!(!sealed.windows(5).any(|window| window == b"value"));
        let open = |space, key: &[u8], bytes: &[u8]| sealer.open_value(space, key, bytes);
        assert_eq!(open("a", b"k", &sealed).as_deref(), Some(&b"value"[..]));
        assert_eq!(open("b", b"k", &sealed), None);
        assert_eq!(open("a", b"l", &sealed), None);
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        assert_eq!(open("a", b"k", &changed), None);
        assert_eq!(open("a", b"k", b"short"), None);
        let other = Sealer::new(&[8; 32]).unwrap();
        assert_eq!(other.open_value("a", b"k", &sealed), None);
    }
}
