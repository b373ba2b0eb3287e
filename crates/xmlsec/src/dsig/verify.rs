//! Judging a signature.

use super::reference::{self, Parsed, Reference, Transform};
use super::{DsigError, Hash, NAMESPACE, SignatureMethod};
use crate::c14n::{self, Selection};
use crate::x509::{Certificate, RevocationPolicy, TrustStore, Usage};
use crate::xml::{Document, NodeId};

/// Whose signature counts.
#[derive(Debug, Clone, Copy)]
pub enum Signer<'a> {
    /// One of these certificates, known from a register; whether they are still good is the caller's matter.
    OneOf(&'a [Certificate]),
    /// Whoever has a certificate that this store trusts.
    Trusted {
        /// Authorities and revocation lists.
        store: &'a TrustStore,
        /// What the certificate must be for.
        usage: Usage,
        /// Moment at which it must be valid, seconds since 1970.
        at_unix_s: i64,
        /// Whether an unknown revocation status passes.
        revocation: RevocationPolicy,
    },
    /// Whoever; only that nothing was changed is checked, and the caller judges [`Verified::certificate`].
    Carried,
}

/// An attachment a reference may name.
#[derive(Debug, Clone, Copy)]
pub struct External<'a> {
    /// URI as in the reference (`cid:…`).
    pub uri: &'a str,
    /// Content as decoded.
    pub content: &'a [u8],
}

/// What is asked of a signature.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Whose.
    pub signer: Signer<'a>,
    /// Whether SHA-1 still counts: older prescriptions and the ebXML norm of 2011 have it.
    pub allow_sha1: bool,
    /// Attachments.
    pub external: &'a [External<'a>],
}

impl<'a> Rules<'a> {
    /// No SHA-1, no attachments.
    #[must_use]
    pub fn new(signer: Signer<'a>) -> Self {
        Self {
            signer,
            allow_sha1: false,
            external: &[],
        }
    }
}

/// What one reference signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// These nodes of the document.
    Nodes(Selection),
    /// An attachment.
    External,
}

/// One reference that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its URI.
    pub uri: String,
    /// What it signed.
    pub signed: Signed,
    /// The octets that were digested: reading these again is reading what was signed. Empty for attachments.
    pub octets: Vec<u8>,
    /// Hash of the reference.
    pub hash: Hash,
}

/// A signature that holds.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Certificate of the signer.
    pub certificate: Certificate,
    /// The other certificates that came along.
    pub intermediates: Vec<Certificate>,
    /// Signature method.
    pub method: SignatureMethod,
    /// What was signed, in the order of the references.
    pub parts: Vec<Part>,
}

impl Verified {
    /// Whether a node, with everything below it that is not left out, was signed.
    #[must_use]
    pub fn covers(&self, document: &Document, node: NodeId) -> bool {
        self.parts.iter().any(|part| match &part.signed {
            Signed::Nodes(selection) => selection.contains(document, node),
            Signed::External => false,
        })
    }

    /// Whether any part or the value itself hangs on SHA-1.
    #[must_use]
    pub fn uses_sha1(&self) -> bool {
        self.method.hash == Hash::Sha1 || self.parts.iter().any(|part| part.hash == Hash::Sha1)
    }
}

/// Checks the signature at a node; all its references must hold.
///
/// # Errors
/// [`DsigError`].
pub fn verify(
    document: &Document,
    signature: NodeId,
    rules: &Rules<'_>,
) -> Result<Verified, DsigError> {
    let parsed = reference::parse(document, signature)?;
    if !rules.allow_sha1 {
        refuse_sha1(&parsed)?;
    }
    let signed_info = c14n::canonicalize(
        document,
        &Selection::all_of(parsed.signed_info),
        &parsed.canonicalization,
    )?;
    let (certificate, intermediates) = signer(&parsed, &signed_info, rules.signer)?;
    let parts = parsed
        .references
        .iter()
        .enumerate()
        .map(|(index, reference)| part(document, signature, reference, index + 1, rules))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Verified {
        certificate,
        intermediates,
        method: parsed.method,
        parts,
    })
}

/// Checks the one signature that is a child of `element` and demands that it covers that element whole, the signature
/// itself left out. Further references may only point into the signature (XAdES properties).
///
/// # Errors
/// [`DsigError`]; [`DsigError::NotCovered`] for a signature that is valid but for something else.
pub fn verify_enveloped(
    document: &Document,
    element: NodeId,
    rules: &Rules<'_>,
) -> Result<Verified, DsigError> {
    let mut found = document.named(element, NAMESPACE, "Signature");
    let signature = found.next().ok_or(DsigError::Missing)?;
    if found.next().is_some() {
        return Err(DsigError::Several);
    }
    let mut verified = verify(document, signature, rules)?;
    let is_whole = |part: &Part| match &part.signed {
        Signed::Nodes(selection) => {
            let is_apex = selection.apex == element
                || (selection.apex == NodeId::DOCUMENT && element == document.root());
            is_apex && selection.left_out == [signature]
        }
        Signed::External => false,
    };
    let is_inside = |part: &Part| match &part.signed {
        Signed::Nodes(selection) => {
            document.is_within(selection.apex, signature) && selection.apex != signature
        }
        Signed::External => false,
    };
    let whole = verified.parts.iter().position(is_whole);
    let others = verified.parts.iter().filter(|part| !is_whole(part));
    match whole {
        Some(at) if { others }.all(is_inside) => {
            verified.parts.swap(0, at);
            Ok(verified)
        }
        _ => Err(DsigError::NotCovered),
    }
}

fn refuse_sha1(parsed: &Parsed) -> Result<(), DsigError> {
    if parsed.method.hash == Hash::Sha1 {
        return Err(DsigError::refused("signature method", &parsed.method.uri()));
    }
    if parsed
        .references
        .iter()
        .any(|reference| reference.hash == Hash::Sha1)
    {
        return Err(DsigError::refused("digest", Hash::Sha1.uri()));
    }
    Ok(())
}

/// The certificate whose key made the value, and the others that came along.
fn signer(
    parsed: &Parsed,
    signed_info: &[u8],
    wanted: Signer<'_>,
) -> Result<(Certificate, Vec<Certificate>), DsigError> {
    let holds = |certificate: &Certificate| {
        let spki = certificate.public_key_info();
        parsed.method.holds(spki, signed_info, &parsed.value)
    };
    let place_of_signer = |candidates: &[&Certificate]| {
        let results: Vec<Option<bool>> = candidates.iter().map(|one| holds(one)).collect();
        let found = results.iter().position(|result| *result == Some(true));
        found.ok_or(if results.iter().all(Option::is_none) {
            DsigError::UnusableKey
        } else {
            DsigError::Mismatch
        })
    };
    let mut carried = parsed
        .certificates
        .iter()
        .map(|der| Certificate::from_der(der).map_err(|_| DsigError::UnreadableCertificate))
        .collect::<Result<Vec<_>, _>>()?;
    if let Signer::OneOf(known) = wanted {
        let candidates: Vec<&Certificate> = known
            .iter()
            .filter(|known| carried.is_empty() || carried.contains(known))
            .collect();
        if candidates.is_empty() {
            return Err(DsigError::OtherCertificate);
        }
        let at = place_of_signer(&candidates)?;
        let found = candidates.get(at).ok_or(DsigError::Mismatch)?;
        let found = Certificate::clone(found);
        carried.retain(|certificate| *certificate != found);
        return Ok((found, carried));
    }
    if carried.is_empty() {
        return Err(DsigError::NoCertificate);
    }
    let at = place_of_signer(&carried.iter().collect::<Vec<_>>())?;
    let found = carried.remove(at);
    if let Signer::Trusted {
        store,
        usage,
        at_unix_s,
        revocation,
    } = wanted
    {
        store
            .check(&found, usage, &carried, at_unix_s, revocation)
            .map_err(DsigError::Certificate)?;
    }
    Ok((found, carried))
}

fn part(
    document: &Document,
    signature: NodeId,
    reference: &Reference,
    number: usize,
    rules: &Rules<'_>,
) -> Result<Part, DsigError> {
    let same = |octets: &[u8]| reference.hash.of(octets).as_ref() == reference.digest;
    let attachment = rules
        .external
        .iter()
        .find(|external| external.uri == reference.uri)
        .filter(|_| !reference.uri.is_empty() && !reference.uri.starts_with('#'));
    if let Some(attachment) = attachment {
        if !reference.transforms.is_empty() {
            return Err(DsigError::Reference {
                number,
                what: "transforms of an attachment are not read here",
            });
        }
        if !same(attachment.content) {
            return Err(DsigError::Digest { number });
        }
        return Ok(Part {
            uri: reference.uri.clone(),
            signed: Signed::External,
            octets: Vec::new(),
            hash: reference.hash,
        });
    }
    let apex = reference::resolve(document, &reference.uri, number)?;
    let transforms: &[Transform] = &reference.transforms;
    let (selection, method) =
        reference::transformed(document, apex, transforms, Some(signature), number)?;
    let octets = c14n::canonicalize(document, &selection, &method)?;
    if !same(&octets) {
        return Err(DsigError::Digest { number });
    }
    Ok(Part {
        uri: reference.uri.clone(),
        signed: Signed::Nodes(selection),
        octets,
        hash: reference.hash,
    })
}
