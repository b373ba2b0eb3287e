//! Making a signature. The document's text stays as it is; the signature is put into it at one place.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::algorithm::Scheme;
use super::reference::{self, Transform};
use super::{DsigError, Hash, NAMESPACE, SignatureMethod};
use crate::algorithm::PublicKey;
use crate::c14n::{self, C14nError, Method, Selection};
use crate::key::{Identity, KeyError, PrivateKey};
use crate::x509::Certificate;
use crate::xml::{Document, NodeId, XmlError};

/// Why a signature could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The place is in no element, or in one written without end tag (`<a/>`).
    #[error("there is no such place in the document for a signature")]
    Place,
    /// A target that is not there, or that would contain the signature without leaving it out.
    #[error("the signature cannot sign that: {0}")]
    Target(String),
    /// SHA-1, or a hash the key has no method for.
    #[error("signatures are not made with that hash and key")]
    Hash,
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No canonical form.
    #[error(transparent)]
    C14n(#[from] C14nError),
    /// The document with the signature in it cannot be read again, because it was at a limit before.
    #[error("the signed document cannot be read again: {0}")]
    Xml(#[from] XmlError),
}

/// An ECDSA key on P-256 or P-384. Never shown by `Debug`.
pub struct EcKey {
    pair: EcdsaKeyPair,
    hash: Hash,
}

impl EcKey {
    /// Reads a PKCS #8 `PrivateKeyInfo` and checks that it belongs to the certificate.
    ///
    /// # Errors
    /// [`SignError::Hash`] for other kinds of key, [`KeyError::Mismatch`].
    pub fn from_pkcs8_der(pkcs8: &[u8], certificate: &Certificate) -> Result<Self, SignError> {
        let curves = [
            (&ECDSA_P256_SHA256_FIXED_SIGNING, Hash::Sha256),
            (&ECDSA_P384_SHA384_FIXED_SIGNING, Hash::Sha384),
        ];
        let (pair, hash) = curves
            .into_iter()
            .find_map(|(curve, hash)| Some((EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok()?, hash)))
            .ok_or(SignError::Hash)?;
        let public = PublicKey::read(certificate.public_key_info()).map(|key| key.bits);
        if public != Some(pair.public_key().as_ref()) {
            return Err(SignError::Key(KeyError::Mismatch {
                subject: certificate.subject().to_owned(),
            }));
        }
        Ok(Self { pair, hash })
    }
}

impl fmt::Debug for EcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EcKey")
    }
}

/// What signs.
#[derive(Debug, Clone, Copy)]
pub enum SigningKey<'a> {
    /// RSA, PKCS #1 v1.5.
    Rsa(&'a PrivateKey),
    /// ECDSA, with the hash that fits the curve.
    Ec(&'a EcKey),
}

impl SigningKey<'_> {
    fn method(self, hash: Hash) -> Result<SignatureMethod, SignError> {
        let scheme = match self {
            Self::Rsa(_) if hash != Hash::Sha1 => Scheme::RsaPkcs1,
            Self::Ec(key) if key.hash == hash => Scheme::Ecdsa,
            _ => return Err(SignError::Hash),
        };
        Ok(SignatureMethod { scheme, hash })
    }

    fn sign(self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Rsa(key) => Ok(match hash {
                Hash::Sha256 => key.sign_sha256(message),
                Hash::Sha384 => key.sign_sha384(message),
                Hash::Sha512 => key.sign_sha512(message),
                Hash::Sha1 => return Err(SignError::Hash),
            }?),
            Self::Ec(key) => key
                .pair
                .sign(&SystemRandom::new(), message)
                .map(|value| value.as_ref().to_vec())
                .map_err(|_| SignError::Key(KeyError::Signing)),
        }
    }
}

/// Where the signature is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As first child of an element.
    FirstIn(NodeId),
    /// As last child of an element.
    LastIn(NodeId),
    /// Right behind an element, as its sibling.
    After(NodeId),
}

/// One thing to sign.
#[derive(Debug, Clone)]
pub enum Target<'a> {
    /// The document (`URI=""`).
    Document(Vec<Transform>),
    /// The element with this id.
    Id(&'a str, Vec<Transform>),
    /// An attachment: its URI and its content.
    External(&'a str, &'a [u8]),
}

/// Everything about a signature to be made.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Key.
    pub key: SigningKey<'a>,
    /// Certificates for `KeyInfo`, the signer's first.
    pub certificates: &'a [Certificate],
    /// Canonicalisation of `SignedInfo`.
    pub canonicalization: Method,
    /// Hash of the digests and of the value.
    pub hash: Hash,
    /// What to sign.
    pub targets: &'a [Target<'a>],
}

/// The document's text with the signature in it.
///
/// # Errors
/// [`SignError`].
pub fn sign(document: &Document, place: Place, request: &Request<'_>) -> Result<String, SignError> {
    let (parent, at) = offset(document, place).ok_or(SignError::Place)?;
    let method = request.key.method(request.hash)?;
    let references = request
        .targets
        .iter()
        .map(|target| reference_for(document, parent, target, request.hash))
        .collect::<Result<String, _>>()?;
    let signed_info = format!(
        "<SignedInfo><CanonicalizationMethod Algorithm=\"{}\">{}</CanonicalizationMethod><SignatureMethod Algorithm=\"{}\"></SignatureMethod>{references}</SignedInfo>",
        request.canonicalization.uri(),
        reference::prefix_list(&request.canonicalization),
        method.uri(),
    );
    let certificates: String = request
        .certificates
        .iter()
        .map(|certificate| {
            let encoded = STANDARD.encode(certificate.der());
            format!("<X509Certificate>{encoded}</X509Certificate>")
        })
        .collect();
    let key_info = if certificates.is_empty() {
        String::new()
    } else {
        format!("<KeyInfo><X509Data>{certificates}</X509Data></KeyInfo>")
    };
    let (before, after) = document
        .source()
        .split_at_checked(at)
        .ok_or(SignError::Place)?;
    let whole = |value: &str| {
        format!(
            "{before}<Signature xmlns=\"{NAMESPACE}\">{signed_info}<SignatureValue>{value}</SignatureValue>{key_info}</Signature>{after}"
        )
    };
    // SignedInfo is signed where it stands: inclusive canonicalisation takes the namespaces around it along.
    let value = request
        .key
        .sign(request.hash, &signed_info_octets(&whole(""), at, request)?)?;
    Ok(whole(&STANDARD.encode(value)))
}

/// Signs an element with an id, or the document element: enveloped, exclusive canonicalisation, SHA-256.
///
/// # Errors
/// [`SignError`].
pub fn sign_enveloped(
    document: &Document,
    id: Option<&str>,
    place: Place,
    identity: &Identity,
) -> Result<String, SignError> {
    let transforms = vec![
        Transform::Enveloped,
        Transform::Canonicalize(Method::EXCLUSIVE),
    ];
    let target = match id {
        Some(id) => Target::Id(id, transforms),
        None => Target::Document(transforms),
    };
    let request = Request {
        key: SigningKey::Rsa(identity.key()),
        certificates: std::slice::from_ref(identity.certificate()),
        canonicalization: Method::EXCLUSIVE,
        hash: Hash::Sha256,
        targets: &[target],
    };
    sign(document, place, &request)
}

fn offset(document: &Document, place: Place) -> Option<(NodeId, usize)> {
    match place {
        Place::FirstIn(node) | Place::LastIn(node) => {
            let element = document
                .element(node)
                .filter(|element| !element.self_closing)?;
            let at = match place {
                Place::FirstIn(_) => element.content_start,
                _ => element.content_end,
            };
            Some((node, at))
        }
        Place::After(node) => {
            document.element(node)?;
            let parent = document
                .parent(node)
                .filter(|parent| *parent != NodeId::DOCUMENT)?;
            Some((parent, document.stop(node)))
        }
    }
}

fn reference_for(
    document: &Document,
    parent: NodeId,
    target: &Target<'_>,
    hash: Hash,
) -> Result<String, SignError> {
    let impossible = |error: DsigError| SignError::Target(error.to_string());
    let (uri, transforms) = match target {
        Target::External(uri, content) => {
            return Ok(write_reference(uri, "", hash, content));
        }
        Target::Document(transforms) => (String::new(), transforms),
        Target::Id(id, transforms) => (format!("#{id}"), transforms),
    };
    let apex = reference::resolve(document, &uri, 1).map_err(impossible)?;
    let envelops = document.is_within(parent, apex);
    if envelops != transforms.contains(&Transform::Enveloped) {
        return Err(SignError::Target(
            "a target is enveloping exactly when the signature stands in it".to_owned(),
        ));
    }
    let (selection, method) =
        reference::transformed(document, apex, transforms, None, 1).map_err(impossible)?;
    let octets = c14n::canonicalize(document, &selection, &method)?;
    let written: String = transforms.iter().map(Transform::write).collect();
    let transforms = if written.is_empty() {
        written
    } else {
        format!("<Transforms>{written}</Transforms>")
    };
    Ok(write_reference(&uri, &transforms, hash, &octets))
}

fn write_reference(uri: &str, transforms: &str, hash: Hash, octets: &[u8]) -> String {
    let uri = quick_xml::escape::escape(uri);
    let digest = STANDARD.encode(hash.of(octets));
    format!(
        "<Reference URI=\"{uri}\">{transforms}<DigestMethod Algorithm=\"{}\"></DigestMethod><DigestValue>{digest}</DigestValue></Reference>",
        hash.uri()
    )
}

fn signed_info_octets(text: &str, at: usize, request: &Request<'_>) -> Result<Vec<u8>, SignError> {
    let document = Document::parse(text)?;
    let signed_info = document
        .subtree(NodeId::DOCUMENT)
        .find(|node| document.start(*node) == at && document.is(*node, NAMESPACE, "Signature"))
        .and_then(|signature| document.only(signature, NAMESPACE, "SignedInfo"))
        .ok_or(SignError::Place)?;
    Ok(c14n::canonicalize(
        &document,
        &Selection::all_of(signed_info),
        &request.canonicalization,
    )?)
}
