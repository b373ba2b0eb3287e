//! XML signatures made here and judged here: algorithms, places, what is refused and why.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use xmlsec::c14n::{self, Method, Scope, Selection};
use xmlsec::dsig::{
    DsigError, EcKey, External, Hash, Place, Request, Rules, SignError, Signed, Signer, SigningKey,
    Target, Transform, Verified, sign, sign_enveloped, verify, verify_enveloped,
};
use xmlsec::key::KeyError;
use xmlsec::x509::{Certificate, CertificateFault, RevocationPolicy, Usage};
use xmlsec::xml::{Document, NodeId};

use crate::{NOW, WORLD};

const DS: &str = xmlsec::dsig::NAMESPACE;

/// A message with foreign prefixes, text that needs escapes and an unused namespace.
pub const MESSAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<m:Message xmlns:m=\"urn:m\" xmlns=\"urn:d\" xmlns:unused=\"urn:u\" ID=\"_1\">\r\n  <Head at='2026-11-23T08:00:00'/>\r\n  <!-- seen by nobody -->\r\n  <Body xml:lang=\"no\">Bl\u{e5}b\u{e6}r &amp; <![CDATA[<r\u{f8}mme>]]></Body>\r\n</m:Message>\r\n";

pub fn carried() -> Rules<'static> {
    Rules::new(Signer::Carried)
}

pub fn check(text: &str, rules: &Rules<'_>) -> Result<Verified, DsigError> {
    let document = Document::parse(text).unwrap();
    verify_enveloped(&document, document.root(), rules)
}

pub fn enveloped(text: &str, id: Option<&str>) -> String {
    let document = Document::parse(text).unwrap();
    let place = Place::LastIn(document.root());
    sign_enveloped(&document, id, place, &WORLD.sender).unwrap()
}

/// A self-signed certificate with an ECDSA key, and the key.
pub fn ecdsa(algorithm: &'static rcgen::SignatureAlgorithm) -> (Certificate, Vec<u8>) {
    let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(vec!["ec.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    (
        Certificate::from_der(certificate.der()).unwrap(),
        pair.serialize_der(),
    )
}

fn request<'a>(targets: &'a [Target<'a>]) -> Request<'a> {
    Request {
        key: SigningKey::Rsa(WORLD.sender.key()),
        certificates: std::slice::from_ref(WORLD.sender.certificate()),
        canonicalization: Method::INCLUSIVE,
        hash: Hash::Sha256,
        targets,
    }
}

#[test]
fn what_is_signed_here_holds_here_in_every_way() {
    let methods = [
        Method::INCLUSIVE,
        Method::EXCLUSIVE,
        Method {
            scope: Scope::Exclusive(vec!["unused".to_owned(), String::new()]),
            comments: false,
        },
    ];
    for id in [None, Some("_1")] {
        for method in &methods {
            for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
                let transforms = vec![
                    Transform::Enveloped,
                    Transform::Canonicalize(method.clone()),
                ];
                let targets = [match id {
                    None => Target::Document(transforms),
                    Some(id) => Target::Id(id, transforms),
                }];
                let mut request = request(&targets);
                request.hash = hash;
                request.canonicalization = method.clone();
                let document = Document::parse(MESSAGE).unwrap();
                let place = Place::FirstIn(document.root());
                let text = sign(&document, place, &request).unwrap();
                let verified = check(&text, &carried()).unwrap();
                assert_eq!(&verified.certificate, WORLD.sender.certificate());
                assert_eq!(verified.method.hash, hash);
                assert!(!verified.uses_sha1());
                // One changed letter anywhere outside the signature, and it holds no more.
                let changed = text.replace("bær", "bar");
                assert_eq!(
                    check(&changed, &carried()).unwrap_err(),
                    DsigError::Digest { number: 1 }
                );
            }
        }
    }
}

#[test]
fn what_was_signed_can_be_read_from_the_answer() {
    let text = enveloped(MESSAGE, Some("_1"));
    let document = Document::parse(&text).unwrap();
    let verified = verify_enveloped(&document, document.root(), &carried()).unwrap();
    let octets = std::str::from_utf8(&verified.parts[0].octets).unwrap();
    assert!(octets.starts_with("<m:Message xmlns:m=\"urn:m\" ID=\"_1\">"));
    assert!(!octets.contains("Signature") && !octets.contains("seen by nobody"));
    let signature = document.only(document.root(), DS, "Signature").unwrap();
    assert!(verified.covers(&document, document.root()));
    assert!(!verified.covers(&document, signature));
    assert!(!verified.covers(&document, NodeId::DOCUMENT));
    let Signed::Nodes(selection) = &verified.parts[0].signed else {
        panic!("nodes were signed")
    };
    assert_eq!(
        (selection.apex, &selection.left_out[..]),
        (document.root(), &[signature][..])
    );
}

#[test]
fn ecdsa_on_two_curves() {
    let curves = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Hash::Sha256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Hash::Sha384),
    ];
    for (algorithm, hash) in curves {
        let (certificate, pkcs8) = ecdsa(algorithm);
        let key = EcKey::from_pkcs8_der(&pkcs8, &certificate).unwrap();
        let targets = [Target::Document(vec![Transform::Enveloped])];
        let mut request = request(&targets);
        request.key = SigningKey::Ec(&key);
        request.certificates = std::slice::from_ref(&certificate);
        request.hash = hash;
        let document = Document::parse(MESSAGE).unwrap();
        let place = Place::LastIn(document.root());
        let text = sign(&document, place, &request).unwrap();
        assert_eq!(check(&text, &carried()).unwrap().certificate, certificate);
        // A value of the wrong length, and one that is r and s in DER, are no signatures.
        let value = value_of(&text);
        for wrong in [&value[..value.len() - 1], &[0x30][..], &[]] {
            let changed = text.replace(&STANDARD.encode(&value), &STANDARD.encode(wrong));
            assert_eq!(
                check(&changed, &carried()).unwrap_err(),
                DsigError::Mismatch
            );
        }
        request.hash = Hash::Sha512;
        assert_eq!(
            sign(&document, place, &request).unwrap_err(),
            SignError::Hash
        );
        let other = WORLD.sender.certificate();
        assert!(matches!(
            EcKey::from_pkcs8_der(&pkcs8, other).unwrap_err(),
            SignError::Key(KeyError::Mismatch { .. })
        ));
    }
}

fn value_of(text: &str) -> Vec<u8> {
    let (_, after) = text.split_once("<SignatureValue>").unwrap();
    let written = after.split_once('<').unwrap().0;
    let compact: String = written.split_ascii_whitespace().collect();
    STANDARD.decode(compact).unwrap()
}

/// Signs anew what stands in `SignedInfo`, with the sender's key and another padding or hash.
fn signed_anew(text: &str, encoding: &'static dyn aws_lc_rs::signature::RsaEncoding) -> String {
    let document = Document::parse(text).unwrap();
    let signature = document.only(document.root(), DS, "Signature").unwrap();
    let signed_info = document.only(signature, DS, "SignedInfo").unwrap();
    let octets = c14n::canonicalize(
        &document,
        &Selection::all_of(signed_info),
        &Method::EXCLUSIVE,
    )
    .unwrap();
    let key = RsaKeyPair::from_pkcs8(WORLD.sender.key().pkcs8_der()).unwrap();
    let mut value = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), &octets, &mut value)
        .unwrap();
    text.replace(&STANDARD.encode(value_of(text)), &STANDARD.encode(value))
}

const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

#[test]
fn rsa_pss_holds() {
    let pss = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1";
    let text = enveloped(MESSAGE, None).replace(RSA_SHA256, pss);
    assert_eq!(check(&text, &carried()).unwrap_err(), DsigError::Mismatch);
    let text = signed_anew(&text, &aws_lc_rs::signature::RSA_PSS_SHA256);
    assert_eq!(check(&text, &carried()).unwrap().method.uri(), pss);
}

#[test]
fn sha1_counts_only_where_it_is_allowed() {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let text = enveloped(MESSAGE, None);
    let verified = check(&text, &carried()).unwrap();
    let old = digest(&SHA1_FOR_LEGACY_USE_ONLY, &verified.parts[0].octets);
    let new = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &verified.parts[0].octets);
    let text = text
        .replace(
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2000/09/xmldsig#sha1",
        )
        .replace(&STANDARD.encode(new), &STANDARD.encode(old));
    let text = signed_anew(&text, &aws_lc_rs::signature::RSA_PKCS1_SHA256);
    assert!(matches!(
        check(&text, &carried()).unwrap_err(),
        DsigError::RefusedAlgorithm { kind: "digest", .. }
    ));
    let mut rules = carried();
    rules.allow_sha1 = true;
    assert!(check(&text, &rules).unwrap().uses_sha1());
    let text = text.replace(RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1");
    let error = check(&text, &carried()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("xmldsig#rsa-sha1 is not accepted")
    );
    assert_eq!(check(&text, &rules).unwrap_err(), DsigError::Mismatch);
}

#[test]
fn whose_signature_counts() {
    let text = enveloped(MESSAGE, None);
    let sender = std::slice::from_ref(WORLD.sender.certificate());
    let stranger = std::slice::from_ref(WORLD.stranger.certificate());
    let both = [stranger[0].clone(), sender[0].clone()];
    let of = |signer| check(&text, &Rules::new(signer)).map(|_| ());
    assert_eq!(of(Signer::OneOf(sender)), Ok(()));
    assert_eq!(of(Signer::OneOf(&both)), Ok(()));
    assert_eq!(
        of(Signer::OneOf(stranger)),
        Err(DsigError::OtherCertificate)
    );
    assert_eq!(of(Signer::OneOf(&[])), Err(DsigError::OtherCertificate));

    let trusted = |usage, at_unix_s| Signer::Trusted {
        store: &WORLD.trust,
        usage,
        at_unix_s,
        revocation: RevocationPolicy::Required,
    };
    assert_eq!(of(trusted(Usage::MessageSignature, NOW)), Ok(()));
    let faults = |result: Result<(), DsigError>| match result {
        Err(DsigError::Certificate(faults)) => faults.all().to_vec(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        faults(of(trusted(Usage::MessageEncryption, NOW)))[..],
        [CertificateFault::WrongUsage { .. }]
    ));
    let late = faults(of(trusted(Usage::Any, NOW + 2_000 * 86_400)));
    assert!(matches!(late[0], CertificateFault::Expired { .. }));
    for (identity, expected) in [(&WORLD.revoked, "revoked"), (&WORLD.expired, "expired")] {
        let document = Document::parse(MESSAGE).unwrap();
        let place = Place::LastIn(document.root());
        let text = sign_enveloped(&document, None, place, identity).unwrap();
        let rules = Rules::new(trusted(Usage::Any, NOW));
        let error = check(&text, &rules).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    // Without KeyInfo only a known certificate can be meant.
    let document = Document::parse(MESSAGE).unwrap();
    let targets = [Target::Document(vec![Transform::Enveloped])];
    let mut bare = request(&targets);
    bare.certificates = &[];
    let text = sign(&document, Place::LastIn(document.root()), &bare).unwrap();
    assert_eq!(
        check(&text, &carried()).unwrap_err(),
        DsigError::NoCertificate
    );
    assert!(check(&text, &Rules::new(Signer::OneOf(&both))).is_ok());
    assert_eq!(
        check(&text, &Rules::new(Signer::OneOf(stranger))).unwrap_err(),
        DsigError::Mismatch
    );
}

#[test]
fn malformed_signatures_are_refused_with_the_reason() {
    let text = enveloped(MESSAGE, None);
    let digest = text
        .split_once("<DigestValue>")
        .unwrap()
        .1
        .split_once('<')
        .unwrap()
        .0
        .to_owned();
    let (start, end) = digest.split_at(6);
    let table: Vec<(&str, String, &str)> = vec![
        (
            "<SignatureValue>",
            "<SignatureValue><!-- x -->".to_owned(),
            "markup inside a value",
        ),
        (
            &digest,
            format!("{start}<!-- x -->{end}"),
            "markup inside a value",
        ),
        (&digest, "not base64!".to_owned(), "not base64"),
        (
            "<SignedInfo>",
            "<SignedInfo>x".to_owned(),
            "text between its elements",
        ),
        (
            "<KeyInfo>",
            "<Other/><KeyInfo>".to_owned(),
            "does not belong there",
        ),
        (
            "<SignedInfo>",
            "<SignedInfo/><SignedInfo>".to_owned(),
            "is missing or in the wrong place",
        ),
        ("URI=\"\"", "Type=\"x\"".to_owned(), "it has no URI"),
        (
            "URI=\"\"",
            "URI=\"#nobody\"".to_owned(),
            "no element has its id",
        ),
        ("URI=\"\"", "URI=\"#\"".to_owned(), "XPointer"),
        ("URI=\"\"", "URI=\"#xpointer(/)\"".to_owned(), "XPointer"),
        (
            "URI=\"\"",
            "URI=\"http://127.0.0.1/x\"".to_owned(),
            "it leaves the document",
        ),
        (
            "URI=\"\"",
            "URI=\"file:///etc/passwd\"".to_owned(),
            "it leaves the document",
        ),
        (
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/TR/1999/REC-xslt-19991116".to_owned(),
            "the transform http://www.w3.org/TR/1999/REC-xslt-19991116 is not accepted",
        ),
        (
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            "http://www.w3.org/2000/09/xmldsig#base64".to_owned(),
            "the transform",
        ),
        (
            RSA_SHA256,
            "http://www.w3.org/2000/09/xmldsig#hmac-sha1".to_owned(),
            "the signature method",
        ),
        (
            RSA_SHA256,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-md5".to_owned(),
            "the signature method",
        ),
        (
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2001/04/xmldsig-more#md5".to_owned(),
            "the digest",
        ),
        (
            "</SignatureMethod>",
            "<HMACOutputLength>0</HMACOutputLength></SignatureMethod>".to_owned(),
            "parameters in SignatureMethod",
        ),
        (
            "<X509Certificate>",
            "<X509Certificate>AAAA".to_owned(),
            "cannot be read",
        ),
    ];
    // Structure and algorithms are judged before cryptography, references after it: those are signed anew.
    for (from, to, expected) in table {
        let changed = text.replacen(from, &to, 1);
        assert_ne!(changed, text, "{from}");
        let changed = if from.starts_with("URI=") {
            signed_anew(&changed, &aws_lc_rs::signature::RSA_PKCS1_SHA256)
        } else {
            changed
        };
        let error = check(&changed, &carried()).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} → {to}: {error}");
    }
    assert_eq!(check("<a/>", &carried()).unwrap_err(), DsigError::Missing);
}

#[test]
fn attachments_are_digested_as_they_are() {
    let document = Document::parse(MESSAGE).unwrap();
    let content = b"\x00any\r\nbytes";
    let targets = [
        Target::Document(vec![Transform::Enveloped]),
        Target::External("cid:part-1@x", content),
    ];
    let text = sign(
        &document,
        Place::LastIn(document.root()),
        &request(&targets),
    )
    .unwrap();
    let signed = Document::parse(&text).unwrap();
    let signature = signed.only(signed.root(), DS, "Signature").unwrap();
    let with = |content: &[u8], uri: &str| {
        let external = [External { uri, content }];
        let mut rules = carried();
        rules.external = &external;
        verify(&signed, signature, &rules).map(|verified| verified.parts.len())
    };
    assert_eq!(with(content, "cid:part-1@x"), Ok(2));
    assert_eq!(
        with(b"other", "cid:part-1@x"),
        Err(DsigError::Digest { number: 2 })
    );
    assert!(matches!(
        with(content, "cid:part-2@x"),
        Err(DsigError::Reference { number: 2, .. })
    ));
    // The strict call refuses a signature that signs something else besides.
    let external = [External {
        uri: "cid:part-1@x",
        content,
    }];
    let mut rules = carried();
    rules.external = &external;
    assert_eq!(check(&text, &rules).unwrap_err(), DsigError::NotCovered);
}

#[test]
fn the_message_filter_of_ebxml() {
    let soap = "http://schemas.xmlsoap.org/soap/envelope/";
    let envelope = format!(
        "<S:Envelope xmlns:S=\"{soap}\"><S:Header><eb:H xmlns:eb=\"urn:eb\" S:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"/></S:Header><S:Body/></S:Envelope>"
    );
    let document = Document::parse(&envelope).unwrap();
    let header = document.only(document.root(), soap, "Header").unwrap();
    let targets = [Target::Document(vec![
        Transform::Enveloped,
        Transform::EbXmlActors,
        Transform::Canonicalize(Method::INCLUSIVE),
    ])];
    let text = sign(&document, Place::LastIn(header), &request(&targets)).unwrap();
    let check = |text: &str| {
        let document = Document::parse(text).unwrap();
        let header = document.only(document.root(), soap, "Header").unwrap();
        let signature = document.only(header, DS, "Signature").unwrap();
        verify(&document, signature, &carried())
    };
    assert!(check(&text).is_ok());
    // A node on the way may put in what is for the next node, and nothing else.
    for (actor, holds) in [
        ("urn:oasis:names:tc:ebxml-msg:actor:nextMSH", true),
        ("http://schemas.xmlsoap.org/soap/actor/next", true),
        ("urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH", false),
    ] {
        let put_in = format!("<S:Header><x S:actor=\"{actor}\"><y/></x>");
        let changed = text.replace("<S:Header>", &put_in);
        assert_eq!(check(&changed).is_ok(), holds, "{actor}");
    }
    // Written with another prefix, other quotes and other spaces it is the same filter; another expression is none.
    let filter = xmlsec::dsig::EBXML_ACTOR_FILTER;
    assert!(text.contains(filter));
    let signed_anew = |text: &str| {
        let document = Document::parse(text).unwrap();
        let header = document.only(document.root(), soap, "Header").unwrap();
        let signature = document.only(header, DS, "Signature").unwrap();
        let info = document.only(signature, DS, "SignedInfo").unwrap();
        let octets =
            c14n::canonicalize(&document, &Selection::all_of(info), &Method::INCLUSIVE).unwrap();
        let key = RsaKeyPair::from_pkcs8(WORLD.sender.key().pkcs8_der()).unwrap();
        let mut value = vec![0; key.public_modulus_len()];
        key.sign(
            &aws_lc_rs::signature::RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &octets,
            &mut value,
        )
        .unwrap();
        text.replace(&STANDARD.encode(value_of(text)), &STANDARD.encode(value))
    };
    let others = [
        (
            filter
                .replace("SOAP-ENV", "S")
                .replace('"', "'")
                .replace(" | ", "\n|  "),
            true,
        ),
        (filter.replace("not(", "("), false),
        (filter.replace("nextMSH", "toPartyMSH"), false),
        (filter.replace("SOAP-ENV", "eb"), false),
        ("true()".to_owned(), false),
        (
            "not(ancestor-or-self::node()[@SOAP-ENV:actor".to_owned(),
            false,
        ),
    ];
    for (expression, holds) in others {
        let changed = signed_anew(&text.replace(filter, &quick_xml::escape::escape(&expression)));
        let result = check(&changed);
        assert_eq!(result.is_ok(), holds, "{expression}: {:?}", result.err());
    }
}

#[test]
fn the_number_of_references_is_bounded() {
    let document = Document::parse(MESSAGE).unwrap();
    let place = Place::LastIn(document.root());
    for (count, holds) in [(8, true), (9, false)] {
        let targets = vec![Target::Document(vec![Transform::Enveloped]); count];
        let text = sign(&document, place, &request(&targets)).unwrap();
        let signed = Document::parse(&text).unwrap();
        let signature = signed.only(signed.root(), DS, "Signature").unwrap();
        assert_eq!(
            verify(&signed, signature, &carried()).is_ok(),
            holds,
            "{count}"
        );
    }
    let targets = vec![Target::External("cid:x", b""); 65];
    let text = sign(&document, place, &request(&targets)).unwrap();
    assert!(matches!(
        check(&text, &carried()).unwrap_err(),
        DsigError::Malformed(_)
    ));
}

static SIGNED: std::sync::LazyLock<(String, Vec<u8>)> = std::sync::LazyLock::new(|| {
    let text = enveloped(MESSAGE, Some("_1"));
    let octets = check(&text, &carried()).unwrap().parts[0].octets.clone();
    (text, octets)
});

proptest! {
    /// Whatever is done to a signed message: if the signature still holds, it signs the same octets as before.
    #[test]
    fn a_change_is_seen_or_changes_nothing(
        at in any::<prop::sample::Index>(),
        length in 0_usize..30,
        with in "[<>&;\"'=/a-zA-Z#:!. -]{0,12}",
    ) {
        let (text, octets) = &*SIGNED;
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let start = at.index(places.len());
        let end = (start + length).min(places.len() - 1);
        let changed = format!("{}{with}{}", &text[..places[start]], &text[places[end]..]);
        if let Ok(document) = Document::parse(&changed)
            && let Ok(verified) = verify_enveloped(&document, document.root(), &carried())
        {
            prop_assert_eq!(&verified.parts[0].octets, octets, "{}", changed);
        }
    }
}

#[test]
fn places_and_targets_that_cannot_be() {
    let document = Document::parse("<a ID='1'><b/><c ID='2'></c></a>").unwrap();
    let elements: Vec<NodeId> = document.elements(document.root()).collect();
    let at = |place, id| sign_enveloped(&document, id, place, &WORLD.sender);
    for place in [
        Place::LastIn(elements[0]),
        Place::FirstIn(NodeId::DOCUMENT),
        Place::After(document.root()),
    ] {
        assert_eq!(at(place, None).unwrap_err(), SignError::Place, "{place:?}");
    }
    let root = Place::LastIn(document.root());
    assert!(matches!(
        at(root, Some("3")).unwrap_err(),
        SignError::Target(_)
    ));
    // Enveloped, but the signature stands outside.
    assert!(matches!(
        at(root, Some("2")).unwrap_err(),
        SignError::Target(_)
    ));
    assert!(at(Place::LastIn(elements[1]), Some("2")).is_ok());
    assert!(at(Place::After(elements[0]), Some("1")).is_ok());
    // Detached: signed beside, without the transform.
    let targets = [Target::Id("2", vec![])];
    let text = sign(&document, root, &request(&targets)).unwrap();
    let signed = Document::parse(&text).unwrap();
    let signature = signed.only(signed.root(), DS, "Signature").unwrap();
    let verified = verify(&signed, signature, &carried()).unwrap();
    let c = signed.only(signed.root(), "", "c").unwrap();
    assert!(verified.covers(&signed, c) && !verified.covers(&signed, signed.root()));
    assert_eq!(
        verify_enveloped(&signed, signed.root(), &carried()).unwrap_err(),
        DsigError::NotCovered
    );
}

/// Made with `openssl req -x509` and `xmlsec1 --sign`; the keys are not kept.
#[test]
fn vectors_of_another_tool() {
    let vectors = [
        (
            "rsa-1024-sha256",
            include_str!("fixtures/rsa-1024-sha256.xml"),
            Some(DsigError::UnusableKey),
        ),
        // The length of the keys on national smart cards.
        (
            "rsa-2032-sha256",
            include_str!("fixtures/rsa-2032-sha256.xml"),
            None,
        ),
        (
            "rsa-2032-sha512",
            include_str!("fixtures/rsa-2032-sha512.xml"),
            None,
        ),
        (
            "rsa-2032-sha1",
            include_str!("fixtures/rsa-2032-sha1.xml"),
            None,
        ),
        // The crypto library has no such combination, and no card makes it.
        (
            "rsa-2032-sha384",
            include_str!("fixtures/rsa-2032-sha384.xml"),
            Some(DsigError::UnusableKey),
        ),
        (
            "rsa-4096-sha512",
            include_str!("fixtures/rsa-4096-sha512.xml"),
            None,
        ),
        (
            "ecdsa-p256-sha512",
            include_str!("fixtures/ecdsa-p256-sha512.xml"),
            None,
        ),
        (
            "ecdsa-p384-sha256",
            include_str!("fixtures/ecdsa-p384-sha256.xml"),
            None,
        ),
        (
            "ecdsa-p521-sha512",
            include_str!("fixtures/ecdsa-p521-sha512.xml"),
            None,
        ),
    ];
    let mut rules = carried();
    rules.allow_sha1 = true;
    for (name, text, expected) in vectors {
        assert_eq!(check(text, &rules).err(), expected, "{name}");
        let changed = text.replace("ekte", "falsk");
        assert!(check(&changed, &rules).is_err(), "{name}");
        // A value with one bit turned is no signature of the same key.
        let value = value_of(text);
        let compact: String = text.split('\n').collect();
        for at in [0, value.len() / 2, value.len() - 1] {
            let mut turned = value.clone();
            turned[at] ^= 1;
            let written = STANDARD.encode(&value);
            let damaged = compact.replace(&written, &STANDARD.encode(&turned));
            assert_ne!(damaged, compact);
            let error = check(&damaged, &rules).unwrap_err();
            assert_eq!(
                error,
                expected.clone().unwrap_or(DsigError::Mismatch),
                "{name}"
            );
        }
    }
}
