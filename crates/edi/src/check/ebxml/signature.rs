//! The signature: its structure by numbered rules, then whether it holds.

use super::parties::Party;
use super::soap::{Kind, child, instant};
use super::{DS, Hits, Place, Text, mime};
use crate::xml::Elem;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use xmlsec::dsig::{DsigError, External, Rules, Signer};
use xmlsec::x509::Certificate;

const DIGESTS: &[&str] = &[
    "http://www.w3.org/2000/09/xmldsig#sha1",
    "http://www.w3.org/2001/04/xmlenc#sha256",
];
const METHODS: &[&str] = &[
    "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
];
/// The three transforms in order, with their rules.
const TRANSFORMS: [(u16, &str); 3] = [
    (37, "http://www.w3.org/2000/09/xmldsig#enveloped-signature"),
    (36, "http://www.w3.org/TR/1999/REC-xpath-19991116"),
    (35, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
];

pub(super) fn check(
    h: &mut Hits<'_>,
    head: &Elem,
    kind: Kind,
    from: Option<Party>,
    timestamp: Option<&str>,
) {
    let mut all = head
        .elems()
        .filter(|e| &*e.ns == DS && &*e.name == "Signature");
    let Some(signature) = all.next() else {
        if kind != Kind::Other {
            h.hit(45, Place::Elem(head.at));
        }
        return;
    };
    if let Some(second) = all.next() {
        h.hit(52, Place::Elem(second.at));
        return;
    }
    let before = h.findings.len();
    references(h, signature, kind);
    if child(signature, DS, "SignatureValue").is_none() {
        h.hit(42, Place::Elem(signature.at));
    }
    let certificate = key_info(h, signature);
    if let Some(certificate) = &certificate {
        validity(h, signature, certificate, timestamp);
        registered(h, signature, certificate, from);
    }
    let is_broken = h
        .findings
        .iter()
        .skip(before)
        .any(|f| f.severity == super::Severity::Error);
    if !is_broken {
        verify(h, signature);
    }
}

fn algorithm<'e>(e: &'e Elem, name: &str) -> Option<(&'e str, &'e Elem)> {
    let found = child(e, DS, name)?;
    Some((found.attr("Algorithm").unwrap_or_default(), found))
}

fn references(h: &mut Hits<'_>, signature: &Elem, kind: Kind) {
    let Some(info) = child(signature, DS, "SignedInfo") else {
        h.hit(363, Place::Elem(signature.at));
        return;
    };
    match algorithm(info, "SignatureMethod") {
        Some((uri, _)) if METHODS.contains(&uri) => {}
        Some((_, e)) => h.hit(84, Place::Elem(e.at)),
        None => h.hit(84, Place::Elem(info.at)),
    }
    let all: Vec<&Elem> = info
        .elems()
        .filter(|e| &*e.ns == DS && &*e.name == "Reference")
        .collect();
    if all.is_empty() {
        h.hit(39, Place::Elem(info.at));
        return;
    }
    let mut sha256 = None;
    for reference in &all {
        let at = Place::Elem(reference.at);
        let uri = reference.attr("URI");
        match uri {
            None => h.hit(85, at),
            Some("") => transforms(h, reference),
            Some(uri) if !uri.starts_with("cid:") => h.hit(34, at),
            Some(_) => {}
        }
        match algorithm(reference, "DigestMethod") {
            Some((uri, e)) if DIGESTS.contains(&uri) => {
                if uri.ends_with("sha256") {
                    sha256.get_or_insert(e.at);
                }
            }
            Some((_, e)) => h.hit(33, Place::Elem(e.at)),
            None => h.hit(33, at),
        }
        let digest = child(reference, DS, "DigestValue");
        if digest.is_none_or(|d| d.text().trim().is_empty()) {
            h.hit(64, at);
        }
    }
    if !all.iter().any(|r| r.attr("URI") == Some("")) {
        h.hit(40, Place::Elem(info.at));
    }
    if kind == Kind::Payload
        && h.mail.is_some_and(|m| m.parts.len() > 1)
        && !all
            .iter()
            .any(|r| r.attr("URI").is_some_and(|u| u.starts_with("cid:")))
    {
        h.hit_because(
            34,
            Place::Elem(info.at),
            "vedlegget er ikke signert",
            "the attachment is not signed",
        );
    }
    if let Some(at) = sha256 {
        h.hit(1005, Place::Elem(at));
    }
}

fn transforms(h: &mut Hits<'_>, reference: &Elem) {
    let list = child(reference, DS, "Transforms");
    let found: Vec<&Elem> = list
        .map(|l| l.elems().filter(|e| &*e.name == "Transform").collect())
        .unwrap_or_default();
    if found.len() != TRANSFORMS.len() {
        h.hit(38, Place::Elem(reference.at));
        return;
    }
    for (e, (number, uri)) in found.into_iter().zip(TRANSFORMS) {
        if e.attr("Algorithm") != Some(uri) {
            h.hit(number, Place::Elem(e.at));
        }
    }
}

fn key_info(h: &mut Hits<'_>, signature: &Elem) -> Option<Certificate> {
    let Some(info) = child(signature, DS, "KeyInfo") else {
        h.hit(32, Place::Elem(signature.at));
        return None;
    };
    let Some(data) = child(info, DS, "X509Data") else {
        h.hit(41, Place::Elem(info.at));
        return None;
    };
    let all: Vec<&Elem> = data
        .elems()
        .filter(|e| &*e.ns == DS && &*e.name == "X509Certificate")
        .collect();
    let Some(first) = all.first() else {
        h.hit(103, Place::Elem(data.at));
        return None;
    };
    if all.len() > 1 {
        h.hit(65, Place::Elem(data.at));
    }
    let compact: String = first.text().split_whitespace().collect();
    let certificate = BASE64_STANDARD
        .decode(compact)
        .ok()
        .and_then(|der| Certificate::from_der(&der).ok());
    if certificate.is_none() {
        h.hit(46, Place::Elem(first.at));
    }
    certificate
}

fn validity(
    h: &mut Hits<'_>,
    signature: &Elem,
    certificate: &Certificate,
    timestamp: Option<&str>,
) {
    let Some(at_s) = timestamp.and_then(instant) else {
        return;
    };
    if at_s < certificate.not_before_unix_s() {
        h.hit(104, Place::Elem(signature.at));
    }
    if at_s > certificate.not_after_unix_s() {
        h.hit(105, Place::Elem(signature.at));
    }
}

fn registered(h: &mut Hits<'_>, signature: &Elem, certificate: &Certificate, from: Option<Party>) {
    let Some(Some(facts)) = from.and_then(|p| h.options.lookups.party(p.her_id)) else {
        return;
    };
    match facts.signing_certificate {
        None => h.hit(79, Place::Elem(signature.at)),
        Some(der) if der != certificate.der() => h.hit(44, Place::Elem(signature.at)),
        Some(_) => h.pass(
            "Sertifikatet er det avsender har i Adresseregisteret",
            "The certificate is the one the sender has in the address register",
        ),
    }
}

/// Whether nothing was changed after signing. Whose certificate it is, is judged apart from that.
fn verify(h: &mut Hits<'_>, signature: &Elem) {
    let Some(doc) = h.doc else { return };
    let Ok(document) = xmlsec::xml::Document::parse(doc.source()) else {
        return;
    };
    let found = document
        .subtree(document.root())
        .find(|n| document.is(*n, DS, "Signature"));
    let Some(node) = found else { return };
    let carried: Vec<(String, &[u8])> = h
        .mail
        .map(|m| m.parts.as_slice())
        .unwrap_or_default()
        .iter()
        .filter_map(|p| {
            let id = p.fields.content_id()?;
            Some((format!("cid:{}", mime::bare(&id)), p.content.as_slice()))
        })
        .collect();
    let external: Vec<External<'_>> = carried
        .iter()
        .map(|(uri, content)| External { uri, content })
        .collect();
    let rules = Rules {
        signer: Signer::Carried,
        allow_sha1: true,
        external: &external,
    };
    let wants_parts = signature
        .find(&|e| e.attr("URI").is_some_and(|u| u.starts_with("cid:")))
        .is_some();
    if h.mail.is_none() && wants_parts {
        h.skip(
            Text::new("Om signaturen er gyldig", "Whether the signature is valid"),
            Text::new(
                "lim inn hele e-posten: signaturen gjelder også vedlegget",
                "paste the whole mail: the signature covers the attachment as well",
            ),
        );
        return;
    }
    match xmlsec::dsig::verify(&document, node, &rules) {
        Ok(_) => h.pass("Signaturen er gyldig", "The signature is valid"),
        Err(error) => {
            let (nb, en) = words(&error);
            h.hit_because(50, Place::Elem(signature.at), &nb, &en);
        }
    }
}

fn words(error: &DsigError) -> (String, String) {
    let nb = match error {
        DsigError::Digest { number } => {
            format!("det som referanse {number} gjelder, er endret etter signeringen")
        }
        DsigError::Mismatch => "signaturverdien stemmer ikke med SignedInfo og nøkkelen".to_owned(),
        DsigError::Reference { number, .. } => format!("referanse {number} kan ikke følges"),
        DsigError::UnusableKey => "nøkkelen passer ikke med signaturmetoden".to_owned(),
        _ => "den følger ikke XML-DSig slik den brukes i ebXML".to_owned(),
    };
    (nb, error.to_string())
}
