//! An OCSP responder (RFC 6960; nonces by RFC 9654): says of each certificate of one authority whether it is good, revoked or not its own.
//! Answers are signed by a responder certificate that the authority issues for nothing else, so that its own key stays out of the traffic.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;

use super::ca::{DemoCa, PkiError, Validity};
use crate::algorithm::{AlgorithmId, PublicKey};
use crate::asn1::{Asn1Error, Reader, tag, write};
use crate::oid;
use crate::x509::{Certificate, Crl};

/// Largest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 16 << 10;
/// Most certificates of one request.
const MAX_CERTIFICATES: usize = 32;
/// Longest nonce (RFC 9654 §2.1).
const MAX_NONCE_BYTES: usize = 128;
/// How long an answer may be kept.
const ANSWER_VALID_S: i64 = 12 * 3_600;
/// Allowance for clocks that are behind.
const SKEW_S: i64 = 300;
/// A responder certificate is valid this long, and replaced a good while before its end.
const RESPONDER_DAYS: i64 = 30;
const REPLACE_BEFORE_S: i64 = 5 * 86_400;

const SERIAL_CONTENT: &str = "serial number";
const CERT_ID: &str = "CertID";

/// What an authority says of one of its certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Issued here and not revoked. Says nothing about its period.
    Good,
    /// On the revocation list since then, seconds since 1970.
    Revoked {
        /// When.
        at_unix_s: i64,
    },
    /// Not a certificate of this authority.
    Unknown,
}

/// Why a request gets no signed answer (RFC 6960 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Malformed = 1,
    Internal = 2,
    /// Asks only about certificates of other authorities.
    Unauthorized = 6,
}

/// An answer, ready to be sent as `application/ocsp-response`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The DER `OCSPResponse`.
    pub der: Vec<u8>,
    /// Until when it may be kept, seconds since 1970; nothing for refusals and for answers that carry a nonce.
    pub fresh_until_unix_s: Option<i64>,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self {
            der: write::sequence(&[&enumerated(refusal as u8)]),
            fresh_until_unix_s: None,
        }
    }
}

struct CertId<'a> {
    whole: &'a [u8],
    hash: AlgorithmId<'a>,
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: &'a [u8],
}

struct Request<'a> {
    ids: Vec<CertId<'a>>,
    /// The extension's value, echoed as it came.
    nonce: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A signature of the asker is not looked at: answers are for everybody.
    fn read(bytes: &'a [u8]) -> Result<Self, Asn1Error> {
        let whole = Reader::new(bytes);
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(whole.error("a request larger than 16 KiB"));
        }
        let mut outer_reader = whole;
        let mut outer = outer_reader.sequence("OCSPRequest")?;
        outer_reader.end("bytes after the request")?;
        let mut fields = outer.sequence("TBSRequest")?;
        if let Some(version) = fields.optional(tag::context_constructed(0))? {
            let mut inside = version.inside();
            if inside.small_integer("version")? != 0 {
                return Err(inside.error("a version other than 1"));
            }
        }
        fields.optional(tag::context_constructed(1))?;
        let mut list = fields.sequence("requestList")?;
        let mut ids = Vec::new();
        while !list.is_empty() {
            if ids.len() == MAX_CERTIFICATES {
                return Err(list.error("more certificates than one request may ask for"));
            }
            let mut entry = list.sequence("Request")?;
            ids.push(CertId::read(&mut entry)?);
            if let Some(extensions) = entry.optional(tag::context_constructed(0))? {
                known_extensions(extensions.inside())?;
            }
            entry.end("bytes after a request's extensions")?;
        }
        let nonce = match fields.optional(tag::context_constructed(2))? {
            Some(extensions) => known_extensions(extensions.inside())?,
            None => None,
        };
        fields.end("bytes after the request's extensions")?;
        if ids.is_empty() {
            return Err(fields.error("a request for no certificate"));
        }
        Ok(Self { ids, nonce })
    }
}

impl<'a> CertId<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Asn1Error> {
        let tlv = reader.expect(tag::SEQUENCE, CERT_ID)?;
        let mut fields = tlv.inside();
        let read = Self {
            whole: tlv.whole,
            hash: AlgorithmId::read(&mut fields, "hash of CertID")?,
            issuer_name: fields.expect(tag::OCTET_STRING, CERT_ID)?.content,
            issuer_key: fields.expect(tag::OCTET_STRING, CERT_ID)?.content,
            serial: fields.expect(tag::INTEGER, SERIAL_CONTENT)?.content,
        };
        fields.end("bytes after CertID")?;
        Ok(read)
    }

    /// Whether it names this authority, by name and key.
    fn is_of(&self, issuer: &Certificate) -> bool {
        let algorithm = match self.hash.oid {
            oid::SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            oid::SHA256 => &digest::SHA256,
            oid::SHA384 => &digest::SHA384,
            oid::SHA512 => &digest::SHA512,
            _ => return false,
        };
        let of = |bytes: &[u8]| digest::digest(algorithm, bytes);
        let key = PublicKey::read(issuer.public_key_info());
        of(issuer.subject_der()).as_ref() == self.issuer_name
            && key.is_some_and(|key| of(key.bits).as_ref() == self.issuer_key)
    }
}

/// Reads extensions: the nonce, and nothing critical that is not known.
fn known_extensions(mut outer: Reader<'_>) -> Result<Option<&[u8]>, Asn1Error> {
    let mut list = outer.sequence("extensions")?;
    let mut nonce = None;
    while !list.is_empty() {
        let mut extension = list.sequence("extension")?;
        let id = extension.oid("extension id")?;
        let critical = extension.optional(tag::BOOLEAN)?;
        let value = extension.expect(tag::OCTET_STRING, "extension value")?;
        if id == oid::OCSP_NONCE {
            if nonce.is_some() {
                return Err(extension.error("two nonces"));
            }
            let octets = value.inside().expect(tag::OCTET_STRING, "nonce")?.content;
            if octets.is_empty() || octets.len() > MAX_NONCE_BYTES {
                return Err(extension.error("a nonce of a length that is not allowed"));
            }
            nonce = Some(value.content);
        } else if critical.is_some_and(|flag| flag.content != [0]) {
            return Err(extension.error("a critical extension that is not known here"));
        }
    }
    Ok(nonce)
}

/// Certificate and key that sign answers.
struct Signer {
    certificate: Certificate,
    key: EcdsaKeyPair,
}

/// The responder of one authority. Usable from several threads at once.
pub struct Responder {
    ca: DemoCa,
    issued: HashSet<Vec<u8>>,
    crl: Crl,
    signer: Mutex<Option<Arc<Signer>>>,
}

impl Responder {
    /// A responder for the certificates `issued` by `ca`, of which `crl` lists the revoked.
    #[must_use]
    pub fn new<'a>(
        ca: DemoCa,
        issued: impl IntoIterator<Item = &'a Certificate>,
        crl: Crl,
    ) -> Self {
        let issued = issued
            .into_iter()
            .map(|certificate| certificate.serial().to_vec())
            .collect();
        Self {
            ca,
            issued,
            crl,
            signer: Mutex::default(),
        }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> &Certificate {
        self.ca.certificate()
    }

    /// The revocation list that answers follow.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// What is known of a certificate of this authority, by its serial number as encoded.
    #[must_use]
    pub fn status(&self, serial: &[u8]) -> Status {
        match self.crl.revoked_serial_at_unix_s(serial) {
            Some(at_unix_s) => Status::Revoked { at_unix_s },
            None if self.issued.contains(serial) => Status::Good,
            None => Status::Unknown,
        }
    }

    /// Answers a DER `OCSPRequest`. Never fails: what cannot be answered is refused in the protocol's own words.
    #[must_use]
    pub fn answer(&self, request: &[u8], now_unix_s: i64) -> Answer {
        let Ok(request) = Request::read(request) else {
            return Refusal::Malformed.into();
        };
        let issuer = self.authority();
        let are_ours: Vec<bool> = request.ids.iter().map(|id| id.is_of(issuer)).collect();
        if !are_ours.contains(&true) {
            return Refusal::Unauthorized.into();
        }
        let Ok(signer) = self.signer(now_unix_s) else {
            return Refusal::Internal.into();
        };
        let until_unix_s = now_unix_s + ANSWER_VALID_S;
        let times = [
            generalized(now_unix_s - SKEW_S),
            write::explicit(0, &generalized(until_unix_s)),
        ]
        .concat();
        let singles: Vec<u8> = request
            .ids
            .iter()
            .zip(&are_ours)
            .flat_map(|(id, is_ours)| {
                let status = if *is_ours {
                    self.status(id.serial)
                } else {
                    Status::Unknown
                };
                write::sequence(&[id.whole, &status_der(status), &times])
            })
            .collect();
        let nonce = request.nonce.map(|value| {
            let extension = write::sequence(&[&write::oid(oid::OCSP_NONCE), &write::octets(value)]);
            write::explicit(1, &write::sequence(&[&extension]))
        });
        let data = write::sequence(&[
            &responder_id(&signer.certificate),
            &generalized(now_unix_s),
            &write::tlv(tag::SEQUENCE, &singles),
            nonce.as_deref().unwrap_or_default(),
        ]);
        match signed(&data, &signer) {
            Some(der) => Answer {
                der,
                fresh_until_unix_s: nonce.is_none().then_some(until_unix_s),
            },
            None => Refusal::Internal.into(),
        }
    }

    fn signer(&self, now_unix_s: i64) -> Result<Arc<Signer>, PkiError> {
        let mut held = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = held.as_ref() {
            let certificate = &signer.certificate;
            if certificate.not_before_unix_s() <= now_unix_s
                && now_unix_s + REPLACE_BEFORE_S < certificate.not_after_unix_s()
            {
                return Ok(signer.clone());
            }
        }
        let validity = Validity::days_around(now_unix_s, 1, RESPONDER_DAYS);
        let (certificate, key) = self.ca.issue_responder(validity)?;
        let made = Arc::new(Signer { certificate, key });
        *held = Some(made.clone());
        Ok(made)
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Responder({} issued, {} revoked)",
            self.issued.len(),
            self.crl.len()
        )
    }
}

fn status_der(status: Status) -> Vec<u8> {
    match status {
        Status::Good => write::tlv(tag::context(0), &[]),
        Status::Revoked { at_unix_s } => {
            write::tlv(tag::context_constructed(1), &generalized(at_unix_s))
        }
        Status::Unknown => write::tlv(tag::context(2), &[]),
    }
}

/// By key: the SHA-1 hash of the responder's public key (RFC 6960 §4.2.1), a name and no security check.
fn responder_id(certificate: &Certificate) -> Vec<u8> {
    let bits = PublicKey::read(certificate.public_key_info()).map_or(&[][..], |key| key.bits);
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits);
    write::explicit(2, &write::octets(hash.as_ref()))
}

fn signed(data: &[u8], signer: &Signer) -> Option<Vec<u8>> {
    let value = signer.key.sign(&SystemRandom::new(), data).ok()?;
    let mut bits = vec![0];
    bits.extend_from_slice(value.as_ref());
    let certificates = write::explicit(0, &write::sequence(&[signer.certificate.der()]));
    let basic = write::sequence(&[
        data,
        &write::algorithm(oid::ECDSA_SHA256, &[]),
        &write::tlv(tag::BIT_STRING, &bits),
        &certificates,
    ]);
    let bytes = write::sequence(&[&write::oid(oid::OCSP_BASIC), &write::octets(&basic)]);
    Some(write::sequence(&[
        &enumerated(0),
        &write::explicit(0, &bytes),
    ]))
}

fn enumerated(value: u8) -> Vec<u8> {
    write::tlv(tag::ENUMERATED, &[value])
}

fn generalized(unix_s: i64) -> Vec<u8> {
    let text = jiff::Timestamp::from_second(unix_s)
        .map(|at| at.strftime("%Y%m%d%H%M%SZ").to_string())
        .unwrap_or_default();
    write::tlv(tag::GENERALIZED_TIME, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const NOW: i64 = 1_795_000_000;

    struct World {
        responder: Responder,
        ca: Certificate,
        good: Certificate,
        revoked: Certificate,
    }

    static WORLD: LazyLock<World> = LazyLock::new(|| {
        let ca = DemoCa::new("Test authority", NOW).unwrap();
        let validity = Validity::days_around(NOW, 10, 10);
        let (good, _) = ca.issue_responder(validity).unwrap();
        let (revoked, _) = ca.issue_responder(validity).unwrap();
        let entry = super::super::Revoked {
            certificate: revoked.clone(),
            at_unix_s: NOW - 60,
        };
        let crl = ca.crl(&[entry], 1, NOW - 60, NOW + 60).unwrap();
        World {
            ca: ca.certificate().clone(),
            responder: Responder::new(ca, [&good, &revoked], crl),
            good,
            revoked,
        }
    });

    fn cert_id(issuer: &Certificate, serial: &[u8]) -> Vec<u8> {
        let of = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
        let key = PublicKey::read(issuer.public_key_info()).unwrap();
        write::sequence(&[
            &write::algorithm(oid::SHA256, &write::null()),
            &write::octets(of(issuer.subject_der()).as_ref()),
            &write::octets(of(key.bits).as_ref()),
            &write::tlv(tag::INTEGER, serial),
        ])
    }

    fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
        let flag = write::tlv(tag::BOOLEAN, &[0xff]);
        let flag = if critical { flag } else { Vec::new() };
        write::sequence(&[&write::oid(id), &flag, &write::octets(value)])
    }

    fn request(ids: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
        let list: Vec<u8> = ids
            .iter()
            .flat_map(|id| write::sequence(&[id.as_slice()]))
            .collect();
        let extensions = if extensions.is_empty() {
            Vec::new()
        } else {
            write::explicit(2, &write::tlv(tag::SEQUENCE, &extensions.concat()))
        };
        write::sequence(&[&write::sequence(&[
            &write::tlv(tag::SEQUENCE, &list),
            &extensions,
        ])])
    }

    /// The response status, and what the answer says of each certificate: the tag of its status.
    fn said(answer: &Answer) -> (u8, Vec<u8>) {
        let mut outer = Reader::new(&answer.der).sequence("").unwrap();
        let status = outer.expect(tag::ENUMERATED, "").unwrap().content[0];
        if status != 0 {
            return (status, Vec::new());
        }
        let mut bytes = outer.any().unwrap().inside().sequence("").unwrap();
        assert_eq!(bytes.oid("").unwrap(), oid::OCSP_BASIC);
        let basic = bytes.expect(tag::OCTET_STRING, "").unwrap();
        let mut data = basic.inside().sequence("").unwrap().sequence("").unwrap();
        data.any().unwrap();
        data.any().unwrap();
        let mut list = data.sequence("").unwrap();
        let mut tags = Vec::new();
        while !list.is_empty() {
            let mut single = list.sequence("").unwrap();
            single.any().unwrap();
            tags.push(single.any().unwrap().tag);
        }
        (0, tags)
    }

    #[test]
    fn each_certificate_is_answered_by_what_is_known_of_it() {
        let world = &*WORLD;
        let id = |serial: &[u8]| cert_id(&world.ca, serial);
        let stranger = cert_id(&world.good, world.good.serial());
        let ids = [
            id(world.good.serial()),
            id(world.revoked.serial()),
            id(&[7]),
            stranger.clone(),
        ];
        let answer = world.responder.answer(&request(&ids, &[]), NOW);
        assert_eq!(said(&answer), (0, vec![0x80, 0xa1, 0x82, 0x82]));
        assert_eq!(answer.fresh_until_unix_s, Some(NOW + ANSWER_VALID_S));
        let only_others = world.responder.answer(&request(&[stranger], &[]), NOW);
        assert_eq!(said(&only_others).0, Refusal::Unauthorized as u8);
    }

    #[test]
    fn nonces_are_echoed_and_such_answers_not_kept() {
        let world = &*WORLD;
        let ids = [cert_id(&world.ca, world.good.serial())];
        let nonce = |length: usize| write::octets(&vec![0x5a; length]);
        for (length, expected) in [(1, 0), (32, 0), (128, 0), (0, 1), (129, 1)] {
            let asked = [extension(oid::OCSP_NONCE, false, &nonce(length))];
            let answer = world.responder.answer(&request(&ids, &asked), NOW);
            assert_eq!(said(&answer).0, expected, "{length}");
            let is_there = answer
                .der
                .windows(nonce(length).len())
                .any(|window| window == nonce(length));
            assert_eq!(is_there, expected == 0, "{length}");
            assert_eq!(answer.fresh_until_unix_s, None);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let world = &*WORLD;
        let id = cert_id(&world.ca, world.good.serial());
        let good = request(std::slice::from_ref(&id), &[]);
        let table = [
            (Vec::new(), 1),
            (b"GET".to_vec(), 1),
            (good[..good.len() - 1].to_vec(), 1),
            ([good.clone(), vec![0]].concat(), 1),
            (request(&[], &[]), 1),
            (request(&vec![id.clone(); 33], &[]), 1),
            (request(&vec![id.clone(); 32], &[]), 0),
            (vec![0x30; MAX_REQUEST_BYTES + 1], 1),
            (
                request(std::slice::from_ref(&id), &[extension(&[0x2a], true, b"")]),
                1,
            ),
            (
                request(std::slice::from_ref(&id), &[extension(&[0x2a], false, b"")]),
                0,
            ),
            (good, 0),
        ];
        for (index, (bytes, expected)) in table.into_iter().enumerate() {
            let answer = world.responder.answer(&bytes, NOW);
            assert_eq!(said(&answer).0, expected, "{index}");
        }
    }

    #[test]
    fn the_responders_certificate_is_replaced_before_its_end() {
        let world = &*WORLD;
        let first = world.responder.signer(NOW).unwrap();
        let later = world.responder.signer(NOW + 20 * 86_400).unwrap();
        assert_eq!(first.certificate, later.certificate);
        let last = world.responder.signer(NOW + 26 * 86_400).unwrap();
        assert_ne!(first.certificate, last.certificate);
        assert!(last.certificate.not_after_unix_s() > NOW + 31 * 86_400);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200, to in any::<u8>()) {
            let world = &*WORLD;
            let _ = world.responder.answer(&bytes, NOW);
            let asked = [extension(oid::OCSP_NONCE, false, &write::octets(&[1; 16]))];
            let mut good = request(&[cert_id(&world.ca, world.good.serial())], &asked);
            let at = at % good.len();
            good[at] = to;
            let _ = world.responder.answer(&good, NOW);
        }
    }
}
