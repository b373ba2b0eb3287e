use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{rand, rsa};

use super::{
    CertificateId, CmsError, SealError, content_info, triple_des, write_content_info,
    write_issuer_and_serial,
};
use crate::algorithm::{AlgorithmId, oaep, oaep_sha256_parameters};
use crate::asn1::{Asn1Error, Limits, Reader, Tlv, tag, to_der, write};
use crate::key::{Identity, PrivateKey};
use crate::oid;
use crate::x509::Certificate;

const MAX_RECIPIENTS: usize = 64;
const AES_BLOCK_BYTES: usize = 16;

/// The content ciphers accepted. DES never is, and 3DES only by [`open_legacy_envelope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES with a 128-bit key.
    Aes128Cbc,
    /// AES with a 192-bit key.
    Aes192Cbc,
    /// AES with a 256-bit key: what the norm asks for.
    Aes256Cbc,
    /// Triple DES with three keys: read from ebXML partners that still send it, never written.
    TripleDesCbc,
}

impl Cipher {
    fn from_oid(content: &[u8]) -> Option<Self> {
        match content {
            oid::AES128_CBC => Some(Self::Aes128Cbc),
            oid::AES192_CBC => Some(Self::Aes192Cbc),
            oid::AES256_CBC => Some(Self::Aes256Cbc),
            oid::DES_EDE3_CBC => Some(Self::TripleDesCbc),
            _ => None,
        }
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128Cbc => oid::AES128_CBC,
            Self::Aes192Cbc => oid::AES192_CBC,
            Self::Aes256Cbc => oid::AES256_CBC,
            Self::TripleDesCbc => oid::DES_EDE3_CBC,
        }
    }

    /// The cipher in the crypto library, which has no 3DES.
    fn algorithm(self) -> Option<&'static Algorithm> {
        match self {
            Self::Aes128Cbc => Some(&AES_128),
            Self::Aes192Cbc => Some(&AES_192),
            Self::Aes256Cbc => Some(&AES_256),
            Self::TripleDesCbc => None,
        }
    }

    fn block_bytes(self) -> usize {
        match self {
            Self::TripleDesCbc => triple_des::BLOCK_BYTES,
            _ => AES_BLOCK_BYTES,
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes192Cbc | Self::TripleDesCbc => 24,
            Self::Aes256Cbc => 32,
        }
    }
}

/// How the content key travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyTransport {
    /// RSA with PKCS #1 v1.5 padding (RFC 3370): what every national client reads.
    Pkcs1,
    /// RSA-OAEP with SHA-256 (RFC 3560).
    OaepSha256,
}

/// Decrypted content, before anything is known about a signature.
pub struct OpenedEnvelope {
    /// The decrypted bytes.
    pub content: Vec<u8>,
    /// Index into the keys given.
    pub key_index: usize,
    /// The content cipher.
    pub cipher: Cipher,
}

impl std::fmt::Debug for OpenedEnvelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "OpenedEnvelope({} bytes, key {}, {:?})",
            self.content.len(),
            self.key_index,
            self.cipher
        )
    }
}

/// Encrypts `content` for the recipients, each named by issuer and serial number.
///
/// # Errors
/// [`SealError`].
pub fn envelope(
    content: &[u8],
    recipients: &[&Certificate],
    cipher: Cipher,
    transport: KeyTransport,
) -> Result<Vec<u8>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipient);
    }
    let mut content_key = vec![0u8; cipher.key_bytes()];
    rand::fill(&mut content_key).map_err(|_| SealError::Encryption)?;
    let (iv, ciphertext) = encrypt(content, cipher, &content_key)?;
    let infos = recipients
        .iter()
        .map(|recipient| recipient_info(recipient, &content_key, transport))
        .collect::<Result<Vec<_>, _>>()?;
    let encrypted = write::sequence(&[
        &write::oid(oid::DATA),
        &write::algorithm(cipher.oid(), &write::octets(&iv)),
        &write::tlv(tag::context(0), &ciphertext),
    ]);
    let enveloped = write::sequence(&[&write::integer(0), &write::set_of(infos), &encrypted]);
    Ok(write_content_info(oid::ENVELOPED_DATA, &enveloped))
}

fn encrypt(
    content: &[u8],
    cipher: Cipher,
    content_key: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), SealError> {
    let failed = |_| SealError::Encryption;
    let algorithm = cipher.algorithm().ok_or(SealError::Encryption)?;
    let key = UnboundCipherKey::new(algorithm, content_key).map_err(failed)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
    let mut buffer = Vec::with_capacity(content.len() + AES_BLOCK_BYTES);
    buffer.extend_from_slice(content);
    let context = key.encrypt(&mut buffer).map_err(failed)?;
    let iv: &[u8] = (&context).try_into().map_err(failed)?;
    Ok((iv.to_vec(), buffer))
}

fn recipient_info(
    recipient: &Certificate,
    content_key: &[u8],
    transport: KeyTransport,
) -> Result<Vec<u8>, SealError> {
    let refused = || SealError::Recipient {
        subject: recipient.subject().to_owned(),
    };
    if recipient.rsa_public_key().is_none() {
        return Err(refused());
    }
    let public =
        rsa::PublicEncryptingKey::from_der(recipient.public_key_info()).map_err(|_| refused())?;
    let mut out = vec![0u8; public.key_size_bytes()];
    let (algorithm, length) = match transport {
        KeyTransport::Pkcs1 => {
            let key = rsa::Pkcs1PublicEncryptingKey::new(public).map_err(|_| refused())?;
            (
                write::algorithm(oid::RSA, &write::null()),
                key.encrypt(content_key, &mut out)
                    .map_err(|_| SealError::Encryption)?
                    .len(),
            )
        }
        KeyTransport::OaepSha256 => {
            let key = rsa::OaepPublicEncryptingKey::new(public).map_err(|_| refused())?;
            let length = key
                .encrypt(&rsa::OAEP_SHA256_MGF1SHA256, content_key, &mut out, None)
                .map_err(|_| SealError::Encryption)?
                .len();
            (
                write::algorithm(oid::RSA_OAEP, &oaep_sha256_parameters()),
                length,
            )
        }
    };
    out.truncate(length);
    Ok(write::sequence(&[
        &write::integer(0),
        &write_issuer_and_serial(recipient),
        &algorithm,
        &write::octets(&out),
    ]))
}

/// Decrypts EnvelopedData with the first of `keys` that one of its recipient entries names.
///
/// # Errors
/// [`CmsError`]; a wrong key, a damaged key and damaged content are the same [`CmsError::DecryptionFailed`].
pub fn open_envelope(
    bytes: &[u8],
    keys: &[Identity],
    limits: Limits,
) -> Result<OpenedEnvelope, CmsError> {
    open_with(bytes, keys, limits, |cipher| cipher != Cipher::TripleDesCbc)
}

/// The same, and also reads 3DES: for ebXML, where the national insurance administration still sends it (spec messaging §5.1).
///
/// # Errors
/// As [`open_envelope`].
pub fn open_legacy_envelope(
    bytes: &[u8],
    keys: &[Identity],
    limits: Limits,
) -> Result<OpenedEnvelope, CmsError> {
    open_with(bytes, keys, limits, |_| true)
}

fn open_with(
    bytes: &[u8],
    keys: &[Identity],
    limits: Limits,
    is_accepted: fn(Cipher) -> bool,
) -> Result<OpenedEnvelope, CmsError> {
    if bytes.len() > limits.max_bytes {
        return Err(CmsError::TooLarge {
            max_bytes: limits.max_bytes,
        });
    }
    let der = to_der(bytes, limits)?;
    let parts = Parts::read(&der)?;
    let refused = |content: &[u8]| CmsError::RefusedAlgorithm {
        oid: oid::dotted(content),
    };
    let cipher = Cipher::from_oid(parts.cipher.oid)
        .filter(|cipher| is_accepted(*cipher))
        .ok_or_else(|| refused(parts.cipher.oid))?;
    let iv = parts
        .cipher
        .parameters
        .filter(|parameters| parameters.tag == tag::OCTET_STRING)
        .map(|parameters| parameters.content);
    let iv = iv
        .filter(|iv| iv.len() == cipher.block_bytes())
        .ok_or(Asn1Error::new(
            0,
            "an initialisation vector as long as a block of the cipher expected",
        ))?;
    let (recipient, key_index, identity) = parts
        .recipients
        .iter()
        .find_map(|recipient| {
            let (index, identity) = keys
                .iter()
                .enumerate()
                .find(|(_, key)| recipient.id.names(key.certificate()))?;
            Some((recipient, index, identity))
        })
        .ok_or(CmsError::DecryptionFailed)?;
    let content_key = recipient.content_key(identity.key(), cipher)?;
    let content =
        decrypt(parts.ciphertext, cipher, &content_key, iv).ok_or(CmsError::DecryptionFailed)?;
    Ok(OpenedEnvelope {
        content,
        key_index,
        cipher,
    })
}

fn decrypt(
    mut ciphertext: Vec<u8>,
    cipher: Cipher,
    content_key: &[u8],
    iv: &[u8],
) -> Option<Vec<u8>> {
    let Some(algorithm) = cipher.algorithm() else {
        return triple_des::decrypt(ciphertext, content_key, iv);
    };
    let iv = <[u8; AES_BLOCK_BYTES]>::try_from(iv).ok()?;
    let key = UnboundCipherKey::new(algorithm, content_key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let length = key
        .decrypt(
            &mut ciphertext,
            DecryptionContext::Iv128(FixedLength::from(iv)),
        )
        .ok()?
        .len();
    ciphertext.truncate(length);
    Some(ciphertext)
}

struct Parts<'a> {
    recipients: Vec<Recipient<'a>>,
    cipher: AlgorithmId<'a>,
    ciphertext: Vec<u8>,
}

struct Recipient<'a> {
    id: CertificateId<'a>,
    algorithm: AlgorithmId<'a>,
    encrypted_key: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CmsError> {
        let mut fields = content_info(der, oid::ENVELOPED_DATA, "EnvelopedData")?;
        fields.small_integer("EnvelopedData version")?;
        fields.optional(tag::context_constructed(0))?;
        let mut infos = fields.expect(tag::SET, "recipient infos")?.inside();
        let mut recipients = Vec::new();
        let mut count = 0;
        while !infos.is_empty() {
            count += 1;
            if count > MAX_RECIPIENTS {
                return Err(infos.error("more than 64 recipients").into());
            }
            let info = infos.any()?;
            // The other kinds ([1] key agreement, [2] key encryption key, …) cannot be for an RSA certificate.
            if info.tag == tag::SEQUENCE {
                recipients.push(Recipient::read(info)?);
            }
        }
        let mut encrypted = fields.sequence("encrypted content info")?;
        encrypted.oid("encrypted content type")?;
        let cipher = AlgorithmId::read(&mut encrypted, "content cipher")?;
        let ciphertext = ciphertext(&mut encrypted)?;
        Ok(Self {
            recipients,
            cipher,
            ciphertext,
        })
    }
}

/// `[0] IMPLICIT OCTET STRING`, in one piece or (BER) in several.
fn ciphertext(encrypted: &mut Reader<'_>) -> Result<Vec<u8>, Asn1Error> {
    if let Some(whole) = encrypted.optional(tag::context(0))? {
        return Ok(whole.content.to_vec());
    }
    let mut pieces = encrypted
        .expect(tag::context_constructed(0), "encrypted content")?
        .inside();
    let mut out = Vec::new();
    while !pieces.is_empty() {
        out.extend_from_slice(
            pieces
                .expect(tag::OCTET_STRING, "a piece of the encrypted content")?
                .content,
        );
    }
    Ok(out)
}

impl<'a> Recipient<'a> {
    fn read(info: Tlv<'a>) -> Result<Self, Asn1Error> {
        let mut fields = info.inside();
        fields.small_integer("recipient info version")?;
        let id = CertificateId::read(&mut fields)?;
        let algorithm = AlgorithmId::read(&mut fields, "key transport algorithm")?;
        let encrypted_key = fields.expect(tag::OCTET_STRING, "encrypted key")?.content;
        Ok(Self {
            id,
            algorithm,
            encrypted_key,
        })
    }

    /// The content key. With wrong padding a random key of the right length comes instead (RFC 3218 §2.3.2), so that the failure
    /// shows only where damaged content would show it too.
    fn content_key(&self, key: &PrivateKey, cipher: Cipher) -> Result<Vec<u8>, CmsError> {
        let mut fallback = vec![0u8; cipher.key_bytes()];
        rand::fill(&mut fallback).map_err(|_| CmsError::DecryptionFailed)?;
        let refused = || CmsError::RefusedAlgorithm {
            oid: oid::dotted(self.algorithm.oid),
        };
        let found = match self.algorithm.oid {
            oid::RSA => key.decrypt_pkcs1(self.encrypted_key),
            oid::RSA_OAEP => key.decrypt_oaep(
                oaep(self.algorithm.parameters).ok_or_else(refused)?,
                self.encrypted_key,
            ),
            _ => return Err(refused()),
        };
        Ok(found
            .filter(|key| key.len() == cipher.key_bytes())
            .unwrap_or(fallback))
    }
}
