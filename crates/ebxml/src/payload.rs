//! The encrypted payload: CMS EnvelopedData over XML, bare or as an inner MIME part, packed with gzip or not (spec
//! messaging §5.1). It is signed by the envelope, not by itself.

use std::io::Read as _;

use xmlsec::asn1::Limits as Asn1Limits;
use xmlsec::cms::{self, CmsError, KeyTransport, SealError};
use xmlsec::key::Identity;
use xmlsec::x509::Certificate;

use crate::mime::{Limits, Part};

/// Largest payload after decryption and inflation: 36 MiB, a little over the 35 MB of the largest documents.
pub const MAX_CONTENT_BYTES: usize = 36 << 20;

/// What stands inside the encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The XML bytes as they are (NAV).
    Bare,
    /// A MIME part `application/xml` (the norm).
    Mime,
}

/// A payload opened.
pub struct Opened {
    /// The document.
    pub content: Vec<u8>,
    /// How it was wrapped.
    pub form: Form,
    /// It was packed.
    pub gzip: bool,
    /// Which key opened it.
    pub key_index: usize,
    /// Content cipher.
    pub cipher: cms::Cipher,
    /// Content type of the inner part, where there was one.
    pub content_type: Option<String>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({} bytes, {:?})", self.content.len(), self.form)
    }
}

/// Why a payload could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Encryption.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The part inside.
    #[error("the decrypted MIME part is not readable: {0}")]
    Mime(#[from] crate::mime::MimeError),
    /// Packed wrongly, or to more than [`MAX_CONTENT_BYTES`].
    #[error("the decrypted content is no gzip of an allowed size")]
    Gzip,
}

/// Decrypts and unwraps.
///
/// # Errors
/// [`PayloadError`].
pub fn open(bytes: &[u8], keys: &[Identity]) -> Result<Opened, PayloadError> {
    let opened = cms::open_legacy_envelope(bytes, keys, Asn1Limits::default())?;
    let (content, was_packed) = inflated(opened.content)?;
    let looks_bare = content
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(&content)
        .trim_ascii_start()
        .first()
        .is_none_or(|byte| *byte == b'<');
    if looks_bare {
        return Ok(Opened {
            content,
            form: Form::Bare,
            gzip: was_packed,
            key_index: opened.key_index,
            cipher: opened.cipher,
            content_type: None,
        });
    }
    let part = Part::read(&content, &Limits::default())?;
    let content_type = part.headers.content_type().map(|kind| kind.kind);
    let (content, is_packed_inside) = inflated(part.content)?;
    Ok(Opened {
        content,
        form: Form::Mime,
        gzip: was_packed || is_packed_inside,
        key_index: opened.key_index,
        cipher: opened.cipher,
        content_type,
    })
}

fn inflated(content: Vec<u8>) -> Result<(Vec<u8>, bool), PayloadError> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Ok((content, false));
    }
    let mut out = Vec::new();
    let limit = MAX_CONTENT_BYTES as u64 + 1;
    flate2::read::GzDecoder::new(content.as_slice())
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|_| PayloadError::Gzip)?;
    if out.len() > MAX_CONTENT_BYTES {
        return Err(PayloadError::Gzip);
    }
    Ok((out, true))
}

/// Wraps and encrypts for `recipient` (AES-256-CBC, RSA key transport).
///
/// # Errors
/// [`SealError`].
pub fn seal(content: &[u8], recipient: &Certificate, form: Form) -> Result<Vec<u8>, SealError> {
    let wrapped;
    let inner = match form {
        Form::Bare => content,
        Form::Mime => {
            let fields =
                "Content-Type: application/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n";
            wrapped = format!("{fields}{}", crate::mime::base64_lines(content)).into_bytes();
            &wrapped
        }
    };
    cms::envelope(
        inner,
        &[recipient],
        cms::Cipher::Aes256Cbc,
        KeyTransport::Pkcs1,
    )
}
