//! PKCS #12 files (RFC 7292): one key with its certificates, under a password.
//!
//! Written with what current OpenSSL, Java and .NET write by default: PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC) and an
//! HMAC-SHA-256 integrity check. Read: the same family. Older ciphers (RC2, 3DES) are refused with a text that says how to convert.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};

use crate::algorithm::AlgorithmId;
use crate::asn1::{Asn1Error, Limits, Reader, tag, to_der, write};
use crate::key::{Identity, KeyError, PrivateKey};
use crate::oid;
use crate::x509::{Certificate, CertificateError};

const ITERATIONS: u32 = 2048;
/// Most iterations accepted on reading; OpenSSL writes 2 048, Java 10 000.
const MAX_ITERATIONS: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
const MAX_BYTES: usize = 1 << 20;

/// Why a file cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs12Error {
    /// Not PKCS #12, or a form we do not read.
    #[error("not a PKCS #12 file that can be read: {0}")]
    Malformed(#[from] Asn1Error),
    /// An old cipher.
    #[error(
        "the file uses the algorithm {oid}; convert it with `openssl pkcs12 -legacy -in OLD | openssl pkcs12 -export -out NEW`"
    )]
    Algorithm {
        /// OID found.
        oid: String,
    },
    /// The integrity check fails.
    #[error("wrong password, or the file was changed")]
    Password,
    /// No key, or no certificate that belongs to it.
    #[error("the file holds no private key with its certificate")]
    NoIdentity,
    /// The key inside.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate inside.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No randomness.
    #[error("the file could not be encrypted")]
    Encryption,
}

/// Writes a file with the key, its certificate and the certificates above it.
///
/// # Errors
/// [`Pkcs12Error::Encryption`].
pub fn write(
    identity: &Identity,
    chain: &[Certificate],
    friendly_name: &str,
    password: &str,
) -> Result<Vec<u8>, Pkcs12Error> {
    let local_key_id = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        identity.certificate().der(),
    );
    let attributes = write::set_of(vec![
        attribute(
            oid::FRIENDLY_NAME,
            write::tlv(tag::BMP_STRING, &bmp(friendly_name)),
        ),
        attribute(oid::LOCAL_KEY_ID, write::octets(local_key_id.as_ref())),
    ]);
    let certificate_bags: Vec<Vec<u8>> =
        std::iter::once((identity.certificate(), attributes.as_slice()))
            .chain(chain.iter().map(|certificate| (certificate, [].as_slice())))
            .map(|(certificate, attributes)| {
                let inner = write::sequence(&[
                    &write::oid(oid::X509_CERTIFICATE),
                    &write::explicit(0, &write::octets(certificate.der())),
                ]);
                write::sequence(&[
                    &write::oid(oid::CERT_BAG),
                    &write::explicit(0, &inner),
                    attributes,
                ])
            })
            .collect();
    let certificates = write::tlv(tag::SEQUENCE, &certificate_bags.concat());
    let (algorithm, ciphertext) = encrypt(&certificates, password)?;
    let encrypted_content = write::sequence(&[
        &write::oid(oid::DATA),
        &algorithm,
        &write::tlv(tag::context(0), &ciphertext),
    ]);
    let encrypted_data = write::sequence(&[&write::integer(0), &encrypted_content]);

    let (algorithm, ciphertext) = encrypt(identity.key().pkcs8_der(), password)?;
    let shrouded = write::sequence(&[&algorithm, &write::octets(&ciphertext)]);
    let key_bag = write::sequence(&[
        &write::oid(oid::SHROUDED_KEY_BAG),
        &write::explicit(0, &shrouded),
        &attributes,
    ]);
    let key_safe = write::sequence(&[&key_bag]);

    let safe = write::sequence(&[
        &write::sequence(&[
            &write::oid(oid::ENCRYPTED_DATA),
            &write::explicit(0, &encrypted_data),
        ]),
        &write::sequence(&[
            &write::oid(oid::DATA),
            &write::explicit(0, &write::octets(&key_safe)),
        ]),
    ]);
    let auth_safe = write::sequence(&[
        &write::oid(oid::DATA),
        &write::explicit(0, &write::octets(&safe)),
    ]);

    let mut salt = [0u8; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| Pkcs12Error::Encryption)?;
    let mac = hmac::sign(&mac_key(password, &salt, ITERATIONS), &safe);
    let digest_info = write::sequence(&[
        &write::algorithm(oid::SHA256, &write::null()),
        &write::octets(mac.as_ref()),
    ]);
    let mac_data = write::sequence(&[
        &digest_info,
        &write::octets(&salt),
        &write::integer(ITERATIONS),
    ]);
    Ok(write::sequence(&[
        &write::integer(3),
        &auth_safe,
        &mac_data,
    ]))
}

/// Reads the key and the certificate that belongs to it; the other certificates come beside.
///
/// # Errors
/// [`Pkcs12Error`].
pub fn read(bytes: &[u8], password: &str) -> Result<(Identity, Vec<Certificate>), Pkcs12Error> {
    let limits = Limits {
        max_bytes: MAX_BYTES,
        max_depth: 24,
        max_values: 4096,
    };
    let der = to_der(bytes, limits)?;
    let mut pfx = Reader::new(&der).sequence("PFX")?;
    pfx.small_integer("PFX version")?;
    let safe = data_content(&mut pfx)?;
    check_mac(&mut pfx, safe, password)?;

    let mut found = Found::default();
    let mut infos = Reader::new(safe).sequence("authenticated safe")?;
    while !infos.is_empty() {
        let mut info = infos.sequence("content info")?;
        match info.oid("content type")? {
            oid::DATA => {
                let mut explicit = info
                    .expect(tag::context_constructed(0), "content")?
                    .inside();
                found.bags(
                    explicit.expect(tag::OCTET_STRING, "content")?.content,
                    password,
                )?;
            }
            oid::ENCRYPTED_DATA => {
                let mut data = info
                    .expect(tag::context_constructed(0), "content")?
                    .inside()
                    .sequence("encrypted data")?;
                data.small_integer("encrypted data version")?;
                let mut content = data.sequence("encrypted content info")?;
                content.oid("encrypted content type")?;
                let algorithm = AlgorithmId::read(&mut content, "encryption algorithm")?;
                let ciphertext = content
                    .expect(tag::context(0), "encrypted content")?
                    .content;
                found.bags(&decrypt(algorithm, ciphertext, password)?, password)?;
            }
            other => {
                return Err(Pkcs12Error::Algorithm {
                    oid: oid::dotted(other),
                });
            }
        }
    }
    found.into_identity()
}

#[derive(Default)]
struct Found {
    key: Option<PrivateKey>,
    certificates: Vec<Certificate>,
}

impl Found {
    fn bags(&mut self, contents: &[u8], password: &str) -> Result<(), Pkcs12Error> {
        let mut bags = Reader::new(contents).sequence("safe contents")?;
        while !bags.is_empty() {
            let mut bag = bags.sequence("safe bag")?;
            let kind = bag.oid("bag type")?;
            let mut value = bag
                .expect(tag::context_constructed(0), "bag value")?
                .inside();
            match kind {
                oid::SHROUDED_KEY_BAG => {
                    let mut info = value.sequence("encrypted private key")?;
                    let algorithm = AlgorithmId::read(&mut info, "encryption algorithm")?;
                    let ciphertext = info
                        .expect(tag::OCTET_STRING, "encrypted private key")?
                        .content;
                    self.key = Some(PrivateKey::from_pkcs8_der(&decrypt(
                        algorithm, ciphertext, password,
                    )?)?);
                }
                oid::CERT_BAG => {
                    let mut inner = value.sequence("certificate bag")?;
                    if inner.oid("certificate type")? == oid::X509_CERTIFICATE {
                        let mut explicit = inner
                            .expect(tag::context_constructed(0), "certificate")?
                            .inside();
                        self.certificates.push(Certificate::from_der(
                            explicit.expect(tag::OCTET_STRING, "certificate")?.content,
                        )?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn into_identity(self) -> Result<(Identity, Vec<Certificate>), Pkcs12Error> {
        let key = self.key.ok_or(Pkcs12Error::NoIdentity)?;
        let identity = self
            .certificates
            .iter()
            .find_map(|certificate| Identity::new(certificate.clone(), key.clone()).ok());
        let identity = identity.ok_or(Pkcs12Error::NoIdentity)?;
        let others = self
            .certificates
            .into_iter()
            .filter(|certificate| certificate != identity.certificate())
            .collect();
        Ok((identity, others))
    }
}

fn data_content<'a>(pfx: &mut Reader<'a>) -> Result<&'a [u8], Asn1Error> {
    let mut auth_safe = pfx.sequence("authenticated safe")?;
    if auth_safe.oid("content type")? != oid::DATA {
        return Err(auth_safe.error("a file protected by a password expected, not by a public key"));
    }
    let mut explicit = auth_safe
        .expect(tag::context_constructed(0), "content")?
        .inside();
    explicit
        .expect(tag::OCTET_STRING, "content")
        .map(|tlv| tlv.content)
}

fn check_mac(pfx: &mut Reader<'_>, safe: &[u8], password: &str) -> Result<(), Pkcs12Error> {
    let mut mac_data = pfx.sequence("integrity check")?;
    let mut digest_info = mac_data.sequence("digest info")?;
    let algorithm = AlgorithmId::read(&mut digest_info, "digest algorithm")?;
    if algorithm.oid != oid::SHA256 {
        return Err(Pkcs12Error::Algorithm {
            oid: oid::dotted(algorithm.oid),
        });
    }
    let expected = digest_info.expect(tag::OCTET_STRING, "digest")?.content;
    let salt = mac_data.expect(tag::OCTET_STRING, "salt")?.content;
    let iterations = if mac_data.is_empty() {
        1
    } else {
        iterations(&mut mac_data)?
    };
    hmac::verify(&mac_key(password, salt, iterations), safe, expected)
        .map_err(|_| Pkcs12Error::Password)
}

fn iterations(reader: &mut Reader<'_>) -> Result<u32, Asn1Error> {
    let count = reader.small_integer("iterations")?;
    if (1..=MAX_ITERATIONS).contains(&count) {
        Ok(count)
    } else {
        Err(reader.error("between 1 and 1 000 000 iterations expected"))
    }
}

/// The integrity key by the PKCS #12 key derivation (RFC 7292 appendix B.2, purpose 3). One hash block is long enough.
fn mac_key(password: &str, salt: &[u8], iterations: u32) -> hmac::Key {
    const BLOCK: usize = 64;
    let fill = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(BLOCK) * BLOCK;
        bytes.iter().copied().cycle().take(length).collect()
    };
    let mut secret = bmp(password);
    secret.extend([0, 0]);
    let mut hash = digest::digest(
        &digest::SHA256,
        &[[3u8; BLOCK].to_vec(), fill(salt), fill(&secret)].concat(),
    );
    for _ in 1..iterations {
        hash = digest::digest(&digest::SHA256, hash.as_ref());
    }
    hmac::Key::new(hmac::HMAC_SHA256, hash.as_ref())
}

fn bmp(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn attribute(kind: &[u8], value: Vec<u8>) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::set_of(vec![value])])
}

/// `(PBES2 algorithm identifier, ciphertext)`.
fn encrypt(content: &[u8], password: &str) -> Result<(Vec<u8>, Vec<u8>), Pkcs12Error> {
    let failed = |_| Pkcs12Error::Encryption;
    let mut salt = [0u8; SALT_BYTES];
    rand::fill(&mut salt).map_err(failed)?;
    let key = UnboundCipherKey::new(&AES_256, &derive(password, &salt, ITERATIONS, 32))
        .map_err(failed)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
    let mut buffer = content.to_vec();
    let context = key.encrypt(&mut buffer).map_err(failed)?;
    let iv: &[u8] = (&context).try_into().map_err(failed)?;
    let prf = write::algorithm(oid::HMAC_SHA256, &write::null());
    let kdf = write::algorithm(
        oid::PBKDF2,
        &write::sequence(&[&write::octets(&salt), &write::integer(ITERATIONS), &prf]),
    );
    let scheme = write::algorithm(oid::AES256_CBC, &write::octets(iv));
    Ok((
        write::algorithm(oid::PBES2, &write::sequence(&[&kdf, &scheme])),
        buffer,
    ))
}

fn derive(password: &str, salt: &[u8], iterations: u32, length: usize) -> Vec<u8> {
    let rounds = std::num::NonZeroU32::new(iterations).unwrap_or(std::num::NonZeroU32::MIN);
    let mut key = vec![0u8; length];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        password.as_bytes(),
        &mut key,
    );
    key
}

fn decrypt(
    algorithm: AlgorithmId<'_>,
    ciphertext: &[u8],
    password: &str,
) -> Result<Vec<u8>, Pkcs12Error> {
    let refused = |content: &[u8]| Pkcs12Error::Algorithm {
        oid: oid::dotted(content),
    };
    if algorithm.oid != oid::PBES2 {
        return Err(refused(algorithm.oid));
    }
    let missing = Asn1Error::new(0, "encryption parameters expected");
    let mut parameters = algorithm.parameters.ok_or(missing)?.inside();
    let kdf = AlgorithmId::read(&mut parameters, "key derivation")?;
    let scheme = AlgorithmId::read(&mut parameters, "encryption scheme")?;
    if kdf.oid != oid::PBKDF2 {
        return Err(refused(kdf.oid));
    }
    let mut fields = kdf.parameters.ok_or(missing)?.inside();
    let salt = fields.expect(tag::OCTET_STRING, "salt")?.content;
    let rounds = iterations(&mut fields)?;
    fields.optional(tag::INTEGER)?;
    let prf = AlgorithmId::read(&mut fields, "pseudo-random function")?;
    if prf.oid != oid::HMAC_SHA256 {
        return Err(refused(prf.oid));
    }
    let (cipher, length) = match scheme.oid {
        oid::AES128_CBC => (&AES_128, 16),
        oid::AES192_CBC => (&AES_192, 24),
        oid::AES256_CBC => (&AES_256, 32),
        other => return Err(refused(other)),
    };
    let iv = scheme
        .parameters
        .and_then(|iv| <[u8; 16]>::try_from(iv.content).ok())
        .ok_or(missing)?;
    let wrong = |_| Pkcs12Error::Password;
    let key =
        UnboundCipherKey::new(cipher, &derive(password, salt, rounds, length)).map_err(wrong)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(wrong)?;
    let mut buffer = ciphertext.to_vec();
    let length = key
        .decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(wrong)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}
