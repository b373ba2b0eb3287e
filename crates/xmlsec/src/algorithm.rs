//! Which digests and signatures count, and how their identifiers map onto the crypto library.

use aws_lc_rs::{digest, signature};

use crate::asn1::{Asn1Error, Reader, Tlv, tag, write};
use crate::oid;

/// A message digest that may be used. SHA-1 and MD5 are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    pub fn from_oid(content: &[u8]) -> Option<Self> {
        match content {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub fn of(self, parts: &[&[u8]]) -> digest::Digest {
        let mut context = digest::Context::new(match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        });
        for part in parts {
            context.update(part);
        }
        context.finish()
    }
}

/// An `AlgorithmIdentifier` as read: its OID content and its parameters, if any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlgorithmId<'a> {
    pub oid: &'a [u8],
    pub parameters: Option<Tlv<'a>>,
}

impl<'a> AlgorithmId<'a> {
    pub fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, Asn1Error> {
        let mut inner = reader.sequence(what)?;
        let oid = inner.oid(what)?;
        let parameters = if inner.is_empty() {
            None
        } else {
            Some(inner.any()?)
        };
        inner.end(what)?;
        Ok(Self { oid, parameters })
    }
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error(
        "the signature algorithm {0} is not accepted (RSA with SHA-256/384/512, RSA-PSS and ECDSA P-256/P-384 are)"
    )]
    Algorithm(String),
    #[error("the signature does not match the content and the public key")]
    Mismatch,
}

/// Verifies `signature` over `message` by the key in `spki` (a DER SubjectPublicKeyInfo).
///
/// `digest` names the hash where the algorithm identifier alone does not (CMS with plain `rsaEncryption`).
pub(crate) fn verify(
    algorithm: AlgorithmId<'_>,
    digest: Option<Digest>,
    spki: &[u8],
    message: &[u8],
    value: &[u8],
) -> Result<(), VerifyError> {
    let unknown = || VerifyError::Algorithm(oid::dotted(algorithm.oid));
    let key = PublicKey::read(spki).ok_or_else(unknown)?;
    let chosen: &'static dyn signature::VerificationAlgorithm = match (algorithm.oid, digest) {
        (oid::RSA_SHA256, _) | (oid::RSA, Some(Digest::Sha256)) => {
            &signature::RSA_PKCS1_2048_8192_SHA256
        }
        (oid::RSA_SHA384, _) | (oid::RSA, Some(Digest::Sha384)) => {
            &signature::RSA_PKCS1_2048_8192_SHA384
        }
        (oid::RSA_SHA512, _) | (oid::RSA, Some(Digest::Sha512)) => {
            &signature::RSA_PKCS1_2048_8192_SHA512
        }
        (oid::RSA_PSS, _) => match pss_digest(algorithm.parameters).ok_or_else(unknown)? {
            Digest::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
            Digest::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
            Digest::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        },
        (oid::ECDSA_SHA256, _) => match key.curve {
            Some(oid::P256) => &signature::ECDSA_P256_SHA256_ASN1,
            Some(oid::P384) => &signature::ECDSA_P384_SHA256_ASN1,
            _ => return Err(unknown()),
        },
        (oid::ECDSA_SHA384, _) => match key.curve {
            Some(oid::P256) => &signature::ECDSA_P256_SHA384_ASN1,
            Some(oid::P384) => &signature::ECDSA_P384_SHA384_ASN1,
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    signature::UnparsedPublicKey::new(chosen, key.bits)
        .verify(message, value)
        .map_err(|_| VerifyError::Mismatch)
}

/// The parts of a SubjectPublicKeyInfo that signature checks need.
pub(crate) struct PublicKey<'a> {
    pub curve: Option<&'a [u8]>,
    /// RSA: the PKCS #1 `RSAPublicKey`; EC: the point.
    pub bits: &'a [u8],
    pub is_rsa: bool,
}

impl<'a> PublicKey<'a> {
    pub fn read(spki: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(spki).sequence("SubjectPublicKeyInfo").ok()?;
        let algorithm = AlgorithmId::read(&mut outer, "public key algorithm").ok()?;
        let bits = outer.expect(tag::BIT_STRING, "public key").ok()?.content;
        let (0, bits) = bits.split_first().map(|(unused, rest)| (*unused, rest))? else {
            return None;
        };
        let is_rsa = matches!(algorithm.oid, oid::RSA | oid::RSA_PSS);
        let curve = (algorithm.oid == oid::EC_PUBLIC_KEY)
            .then_some(algorithm.parameters)
            .flatten()
            .filter(|parameters| parameters.tag == tag::OID)
            .map(|parameters| parameters.content);
        Some(Self {
            curve,
            bits,
            is_rsa,
        })
    }
}

/// The hash of `RSASSA-PSS-params` or `RSAES-OAEP-params` field `[0]`, and of the mask function in `[1]`.
fn hash_and_mask(parameters: Option<Tlv<'_>>) -> Option<(&[u8], &[u8])> {
    let (mut hash, mut mask) = (oid::SHA1, oid::SHA1);
    let Some(parameters) = parameters else {
        return Some((hash, mask));
    };
    let mut fields = parameters.inside();
    if parameters.tag != tag::SEQUENCE {
        return None;
    }
    if let Some(field) = fields.optional(tag::context_constructed(0)).ok()? {
        hash = AlgorithmId::read(&mut field.inside(), "hash").ok()?.oid;
    }
    if let Some(field) = fields.optional(tag::context_constructed(1)).ok()? {
        let generator = AlgorithmId::read(&mut field.inside(), "mask").ok()?;
        if generator.oid != oid::MGF1 {
            return None;
        }
        mask = AlgorithmId {
            oid: generator.oid,
            parameters: generator.parameters,
        }
        .parameters
        .and_then(|inner| inner.inside().oid("mask hash").ok())?;
    }
    Some((hash, mask))
}

/// Only the same hash in both places; the library checks that the salt is as long as the hash.
fn pss_digest(parameters: Option<Tlv<'_>>) -> Option<Digest> {
    let (hash, mask) = hash_and_mask(parameters)?;
    Digest::from_oid(hash).filter(|_| hash == mask)
}

/// The OAEP variant of `RSAES-OAEP-params` (RFC 3560); absent fields mean SHA-1.
pub(crate) fn oaep(parameters: Option<Tlv<'_>>) -> Option<&'static aws_lc_rs::rsa::OaepAlgorithm> {
    use aws_lc_rs::rsa;
    let (hash, mask) = hash_and_mask(parameters)?;
    match hash {
        _ if hash != mask => None,
        oid::SHA1 => Some(&rsa::OAEP_SHA1_MGF1SHA1),
        oid::SHA256 => Some(&rsa::OAEP_SHA256_MGF1SHA256),
        oid::SHA384 => Some(&rsa::OAEP_SHA384_MGF1SHA384),
        oid::SHA512 => Some(&rsa::OAEP_SHA512_MGF1SHA512),
        _ => None,
    }
}

/// `RSAES-OAEP-params` for SHA-256 in both places.
pub(crate) fn oaep_sha256_parameters() -> Vec<u8> {
    let hash = write::algorithm(oid::SHA256, &write::null());
    let mask = write::algorithm(oid::MGF1, &hash);
    write::sequence(&[&write::explicit(0, &hash), &write::explicit(1, &mask)])
}
