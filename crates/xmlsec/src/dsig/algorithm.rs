//! Identifiers of digests and signature methods, and how they map onto the crypto library.

use aws_lc_rs::{digest, signature};

use crate::algorithm::PublicKey;
use crate::asn1::{Reader, tag, write};
use crate::oid;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Broken; for old signatures only.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/2000/09/xmldsig#sha1" => Some(Self::Sha1),
            "http://www.w3.org/2001/04/xmlenc#sha256" => Some(Self::Sha256),
            "http://www.w3.org/2001/04/xmldsig-more#sha384" => Some(Self::Sha384),
            "http://www.w3.org/2001/04/xmlenc#sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Identifier as a `DigestMethod`.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    pub(super) fn of(self, octets: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, octets)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    RsaPkcs1,
    RsaPss,
    Ecdsa,
}

/// How the signature value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureMethod {
    pub(super) scheme: Scheme,
    /// Its hash.
    pub hash: Hash,
}

const SMART_CARD_RSA_BITS: usize = 2032;
const MORE: &str = "http://www.w3.org/2001/04/xmldsig-more#";
const MORE_2007: &str = "http://www.w3.org/2007/05/xmldsig-more#";

impl SignatureMethod {
    pub(super) fn from_uri(uri: &str) -> Option<Self> {
        let method = |scheme, hash| Some(Self { scheme, hash });
        if uri == "http://www.w3.org/2000/09/xmldsig#rsa-sha1" {
            return method(Scheme::RsaPkcs1, Hash::Sha1);
        }
        if let Some(name) = uri.strip_prefix(MORE_2007) {
            return match name {
                "sha256-rsa-MGF1" => method(Scheme::RsaPss, Hash::Sha256),
                "sha384-rsa-MGF1" => method(Scheme::RsaPss, Hash::Sha384),
                "sha512-rsa-MGF1" => method(Scheme::RsaPss, Hash::Sha512),
                _ => None,
            };
        }
        match uri.strip_prefix(MORE)? {
            "rsa-sha256" => method(Scheme::RsaPkcs1, Hash::Sha256),
            "rsa-sha384" => method(Scheme::RsaPkcs1, Hash::Sha384),
            "rsa-sha512" => method(Scheme::RsaPkcs1, Hash::Sha512),
            "ecdsa-sha256" => method(Scheme::Ecdsa, Hash::Sha256),
            "ecdsa-sha384" => method(Scheme::Ecdsa, Hash::Sha384),
            "ecdsa-sha512" => method(Scheme::Ecdsa, Hash::Sha512),
            _ => None,
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn uri(self) -> String {
        let bits = match self.hash {
            Hash::Sha1 => return "http://www.w3.org/2000/09/xmldsig#rsa-sha1".to_owned(),
            Hash::Sha256 => 256,
            Hash::Sha384 => 384,
            Hash::Sha512 => 512,
        };
        match self.scheme {
            Scheme::RsaPkcs1 => format!("{MORE}rsa-sha{bits}"),
            Scheme::RsaPss => format!("{MORE_2007}sha{bits}-rsa-MGF1"),
            Scheme::Ecdsa => format!("{MORE}ecdsa-sha{bits}"),
        }
    }

    /// Whether `value` is the signature over `message` by the key in `spki` (a DER SubjectPublicKeyInfo); nothing when
    /// the key is too short or of another kind.
    pub(super) fn holds(self, spki: &[u8], message: &[u8], value: &[u8]) -> Option<bool> {
        let key = PublicKey::read(spki)?;
        let (algorithm, value) = match self.scheme {
            Scheme::RsaPkcs1 | Scheme::RsaPss if key.is_rsa => (
                rsa_verification(self, modulus_bits(key.bits))?,
                value.to_vec(),
            ),
            Scheme::Ecdsa => {
                let (algorithm, order_bytes) = ecdsa_verification(self.hash, key.curve)?;
                match in_der(value, order_bytes) {
                    Some(value) => (algorithm, value),
                    None => return Some(false),
                }
            }
            _ => return None,
        };
        let key = signature::UnparsedPublicKey::new(algorithm, key.bits);
        Some(key.verify(message, &value).is_ok())
    }
}

/// Keys of 2048 to 8192 bits, and of 2032 bits in PKCS #1: those are on the national smart cards with which
/// prescriptions are signed, and no weaker for it.
fn rsa_verification(
    method: SignatureMethod,
    bits: usize,
) -> Option<&'static dyn signature::VerificationAlgorithm> {
    if !(SMART_CARD_RSA_BITS..=8192).contains(&bits) {
        return None;
    }
    Some(match (method.scheme, method.hash, bits < 2048) {
        (Scheme::RsaPkcs1, Hash::Sha256, true) => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (Scheme::RsaPkcs1, Hash::Sha512, true) => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (Scheme::RsaPkcs1, Hash::Sha1, true) => {
            &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        (_, _, true) => return None,
        (Scheme::RsaPss, Hash::Sha256, false) => &signature::RSA_PSS_2048_8192_SHA256,
        (Scheme::RsaPss, Hash::Sha384, false) => &signature::RSA_PSS_2048_8192_SHA384,
        (Scheme::RsaPss, Hash::Sha512, false) => &signature::RSA_PSS_2048_8192_SHA512,
        (_, Hash::Sha256, false) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (_, Hash::Sha384, false) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (_, Hash::Sha512, false) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (_, Hash::Sha1, false) => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    })
}

/// Length of the modulus of a PKCS #1 `RSAPublicKey`; 0 when it cannot be read.
fn modulus_bits(key: &[u8]) -> usize {
    let modulus = Reader::new(key)
        .sequence("RSAPublicKey")
        .and_then(|mut fields| fields.expect(tag::INTEGER, "modulus"))
        .map_or(&[][..], |modulus| modulus.content);
    let first = modulus.iter().position(|byte| *byte != 0);
    let significant = first.and_then(|first| modulus.get(first..));
    significant
        .and_then(|bytes| Some((bytes.first()?, bytes.len())))
        .map_or(0, |(first, length)| {
            length * 8 - first.leading_zeros() as usize
        })
}

/// The verification for a curve, and the length of the curve's order in bytes.
fn ecdsa_verification(
    hash: Hash,
    curve: Option<&[u8]>,
) -> Option<(&'static dyn signature::VerificationAlgorithm, usize)> {
    Some(match (curve?, hash) {
        (oid::P256, Hash::Sha256) => (&signature::ECDSA_P256_SHA256_ASN1, 32),
        (oid::P256, Hash::Sha384) => (&signature::ECDSA_P256_SHA384_ASN1, 32),
        (oid::P256, Hash::Sha512) => (&signature::ECDSA_P256_SHA512_ASN1, 32),
        (oid::P384, Hash::Sha256) => (&signature::ECDSA_P384_SHA256_ASN1, 48),
        (oid::P384, Hash::Sha384) => (&signature::ECDSA_P384_SHA384_ASN1, 48),
        (oid::P384, Hash::Sha512) => (&signature::ECDSA_P384_SHA512_ASN1, 48),
        (oid::P521, Hash::Sha256) => (&signature::ECDSA_P521_SHA256_ASN1, 66),
        (oid::P521, Hash::Sha384) => (&signature::ECDSA_P521_SHA384_ASN1, 66),
        (oid::P521, Hash::Sha512) => (&signature::ECDSA_P521_SHA512_ASN1, 66),
        _ => return None,
    })
}

/// RFC 9231 §2.3.6: the value is r and s side by side, each as long as the order of the curve.
fn in_der(value: &[u8], order_bytes: usize) -> Option<Vec<u8>> {
    let (r, s) = value
        .split_at_checked(order_bytes)
        .filter(|(_, s)| s.len() == order_bytes)?;
    Some(write::sequence(&[&unsigned(r), &unsigned(s)]))
}

fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len().saturating_sub(1));
    let mut content = bytes.get(start..).unwrap_or_default().to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    write::tlv(tag::INTEGER, &content)
}
