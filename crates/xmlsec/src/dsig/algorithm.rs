//! Identifiers of digests and signature methods, and how they map onto the crypto library.

use aws_lc_rs::{digest, signature};

use crate::algorithm::PublicKey;
use crate::asn1::{tag, write};
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

    /// Whether `value` is the signature over `message` by the key in `spki` (a DER SubjectPublicKeyInfo).
    pub(super) fn holds(self, spki: &[u8], message: &[u8], value: &[u8]) -> bool {
        let Some(key) = PublicKey::read(spki) else {
            return false;
        };
        match self.scheme {
            Scheme::RsaPkcs1 | Scheme::RsaPss if key.is_rsa => {
                let algorithm: &'static dyn signature::VerificationAlgorithm =
                    match (self.scheme, self.hash) {
                        (Scheme::RsaPss, Hash::Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
                        (Scheme::RsaPss, Hash::Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
                        (Scheme::RsaPss, Hash::Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
                        (_, Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
                        (_, Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
                        (_, Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
                        (_, Hash::Sha1) => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                    };
                signature::UnparsedPublicKey::new(algorithm, key.bits)
                    .verify(message, value)
                    .is_ok()
            }
            Scheme::Ecdsa => ecdsa_holds(self.hash, &key, message, value),
            _ => false,
        }
    }
}

fn ecdsa_holds(hash: Hash, key: &PublicKey<'_>, message: &[u8], value: &[u8]) -> bool {
    let curve = match key.curve {
        Some(oid::P256) => 32,
        Some(oid::P384) => 48,
        Some(oid::P521) => 66,
        _ => return false,
    };
    let algorithm: &'static dyn signature::VerificationAlgorithm = match (curve, hash) {
        (32, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (32, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (32, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (48, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (48, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (48, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (66, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (66, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (66, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return false,
    };
    // RFC 9231 §2.3.6: the value is r and s side by side, each as long as the order of the curve.
    let Some((r, s)) = value
        .split_at_checked(curve)
        .filter(|(_, s)| s.len() == curve)
    else {
        return false;
    };
    let der = write::sequence(&[&unsigned(r), &unsigned(s)]);
    signature::UnparsedPublicKey::new(algorithm, key.bits)
        .verify(message, &der)
        .is_ok()
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
