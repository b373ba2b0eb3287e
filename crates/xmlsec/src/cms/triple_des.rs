//! Triple DES in CBC mode, decryption only: the crypto library has none, and nothing is written with it any more.

use des::TdesEde3;
use des::cipher::generic_array::GenericArray;
use des::cipher::{BlockDecrypt as _, KeyInit as _};

pub(super) const BLOCK_BYTES: usize = 8;

/// The content without its padding (RFC 5652 §6.3); nothing for any fault.
pub(super) fn decrypt(mut ciphertext: Vec<u8>, key: &[u8], iv: &[u8]) -> Option<Vec<u8>> {
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_BYTES) {
        return None;
    }
    let cipher = TdesEde3::new_from_slice(key).ok()?;
    let mut before: [u8; BLOCK_BYTES] = iv.try_into().ok()?;
    for block in ciphertext.chunks_exact_mut(BLOCK_BYTES) {
        let sent: [u8; BLOCK_BYTES] = (&*block).try_into().ok()?;
        cipher.decrypt_block(GenericArray::from_mut_slice(block));
        for (byte, mask) in block.iter_mut().zip(before) {
            *byte ^= mask;
        }
        before = sent;
    }
    let padding = usize::from(*ciphertext.last()?);
    let length = ciphertext.len().checked_sub(padding)?;
    let is_padding = (1..=BLOCK_BYTES).contains(&padding)
        && ciphertext
            .iter()
            .skip(length)
            .all(|byte| usize::from(*byte) == padding);
    is_padding.then(|| {
        ciphertext.truncate(length);
        ciphertext
    })
}
