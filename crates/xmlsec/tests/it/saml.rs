//! Assertions issued here, judged here and by `xmlsec1`; every way of refusing one; the public samples.

use proptest::prelude::*;
use serde_json::json;
use xmlsec::c14n::{Method, Selection, canonicalize};
use xmlsec::dsig::{DsigError, Place, Signer, sign_enveloped};
use xmlsec::saml::{
    self, Assertion, Expected, Generation, Issuer, NAMESPACE, PERSONNEL_AUDIENCE, Request,
    SamlError, Xua, issue, verify, verify_in,
};
use xmlsec::x509::{RevocationPolicy, Usage};
use xmlsec::xml::{Document, NodeId};

use crate::samples::shared;
use crate::xmlsec1::{accepted_by_xmlsec1, xmlsec1};
use crate::{NOW, WORLD};

const ISSUER: &str = "https://localhost:8444/xdssaml";
const NOW_MS: i64 = NOW * 1000;
const PATIENT: &str = "29698496140";

fn xua() -> Xua {
    let organisation = "urn:oid:2.16.578.1.12.4.1.4.101";
    let claim = json!({
        "practitioner": {
            "identifier": {"id": "06828399789", "name": "KVART GREVLING", "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
            "hpr_nr": {"id": "565505933", "system": "urn:oid:2.16.578.1.12.4.1.4.4"},
            "authorization": {"code": "LE", "text": "Lege", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
            "legal_entity": {"id": "315900239", "name": "Røst & Ærøy \"kommune\"", "system": organisation},
            "point_of_care": {"id": "315900239", "name": "<Røst>", "system": organisation}
        },
        "care_relationship": {
            "healthcare_service": {"code": "KP01", "system": "urn:oid:2.16.578.1.12.4.1.1.8663"},
            "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
            "decision_ref": {"id": "1", "user_selected": false}
        },
        "patients": [],
        "toa": NOW
    });
    let request = Request {
        patient: Some((PATIENT, "2.16.578.1.12.4.1.4.1")),
        home_community: "2.16.578.1.12.4.1.7.1.1",
        security_level: "4",
        scope: "journaldokumenter_helsepersonell",
        client_id: "epj",
        authentication_method: None,
        access_basis: Some("SAMTYKKE"),
        now_unix_s: NOW,
    };
    Xua::from_attest(claim.as_object().unwrap(), &request).unwrap()
}

fn issuer() -> Issuer<'static> {
    Issuer {
        name: ISSUER,
        audience: PERSONNEL_AUDIENCE,
        life_s: 3600,
        identity: &WORLD.sender,
    }
}

fn issued(generation: Generation) -> String {
    issue(&xua(), &issuer(), generation, NOW - 60, NOW_MS).unwrap()
}

fn expected() -> Expected<'static> {
    Expected {
        signer: Signer::Trusted {
            store: &WORLD.trust,
            usage: Usage::MessageSignature,
            at_unix_s: NOW,
            revocation: RevocationPolicy::Required,
        },
        issuers: &[ISSUER],
        audiences: &[PERSONNEL_AUDIENCE],
        now_unix_ms: NOW_MS,
        leeway_ms: 10_000,
    }
}

#[test]
fn what_is_issued_is_read_again() {
    for generation in [Generation::Hybrid, Generation::New] {
        let text = issued(generation);
        let (assertion, certificate) = verify(&text, &expected()).unwrap();
        assert_eq!(&certificate, WORLD.sender.certificate());
        let mut read = Xua::read(&assertion).unwrap();
        read.purpose.as_mut().unwrap().system_name = None;
        assert!(read == xua(), "{generation:?}");
        assert!(read.is_about(PATIENT));
        assert_eq!(
            assertion.not_on_or_after_unix_ms - assertion.not_before_unix_ms,
            3_600_000
        );
        assert!(text.contains("AuthnInstant=\"2026-11-23T07:59:00.000Z\""));
        // In a SOAP header, under foreign namespaces, it is still the same.
        let envelope = format!(
            "<s:E xmlns:s=\"urn:s\" xmlns=\"urn:d\" xmlns:saml=\"urn:other\"><s:H>{text}</s:H></s:E>"
        );
        let document = Document::parse(&envelope).unwrap();
        let node = document
            .subtree(NodeId::DOCUMENT)
            .find(|node| document.is(*node, NAMESPACE, "Assertion"))
            .unwrap();
        assert_eq!(
            verify_in(&document, node, &expected()).unwrap().0,
            assertion
        );
    }
    // Each has its own id.
    assert_ne!(issued(Generation::New), issued(Generation::New));
}

#[test]
fn xmlsec1_accepts_what_is_issued() {
    let Some(mut options) = xmlsec1() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("assertion.xml");
    let id_attribute = format!("{NAMESPACE}:Assertion");
    options.extend(["--id-attr:ID", id_attribute.as_str()]);
    let text = issued(Generation::Hybrid);
    for (text, holds) in [
        (text.clone(), true),
        (text.replace("KVART", "FEMTE"), false),
        (text.replace("2026-11-23T09:00", "2027-11-23T09:00"), false),
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(accepted_by_xmlsec1(&options, &file).is_ok(), holds);
    }
}

/// Signs a changed assertion anew, so that the change itself is judged.
fn signed_anew(change: impl Fn(String) -> String) -> String {
    let text = issued(Generation::Hybrid);
    let start = text.find("<Signature").unwrap();
    let end = text.find("</Signature>").unwrap() + "</Signature>".len();
    let bare = change(format!("{}{}", &text[..start], &text[end..]));
    sign_bare(&bare)
}

fn sign_bare(bare: &str) -> String {
    let document = Document::parse(bare).unwrap();
    let root = document.root();
    let id = document.attribute(root, "", "ID").unwrap();
    let place = document
        .named(root, NAMESPACE, "Issuer")
        .next()
        .map_or(Place::FirstIn(root), Place::After);
    sign_enveloped(&document, Some(id), place, &WORLD.sender).unwrap()
}

#[test]
fn assertions_are_refused_each_for_its_reason() {
    let replace = |from: &'static str, to: &'static str| {
        signed_anew(move |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
    };
    let refused = |text: &str| verify(text, &expected()).unwrap_err();
    let malformed = |text: &str| match refused(text) {
        SamlError::Malformed(what) => what,
        other => panic!("{other}"),
    };
    let table = [
        (
            replace("Version=\"2.0\"", "Version=\"1.1\""),
            "its version is not 2.0",
        ),
        (
            replace("<saml:Issuer>", "<saml:Issuer>x</saml:Issuer><saml:Issuer>"),
            "it needs one issuer",
        ),
        (
            replace("<saml:NameID>", "<saml:NameID>x</saml:NameID><saml:NameID>"),
            "its subject needs one NameID",
        ),
        (replace("06828399789", ""), "its subject is empty"),
        (
            replace(":cm:bearer", ":cm:holder-of-key"),
            "its subject is not confirmed as bearer",
        ),
        (replace("NotBefore=", "Not="), "it needs NotBefore"),
        (replace("NotOnOrAfter=", "Not="), "it needs NotOnOrAfter"),
        (
            replace("NotOnOrAfter=\"2026", "NotOnOrAfter=\"soon-2026"),
            "it needs NotOnOrAfter",
        ),
        (
            replace(
                "<saml:AudienceRestriction>",
                "<saml:OneMore></saml:OneMore><saml:AudienceRestriction>",
            ),
            "a condition that is not understood",
        ),
        (
            replace(
                "<saml:Audience>",
                "<saml:Audience>x</saml:Audience><saml:Audience>",
            ),
            "an audience restriction without exactly one audience",
        ),
        (
            replace("AuthnInstant=", "Instant="),
            "its login needs a time",
        ),
        (
            replace("SessionNotOnOrAfter=\"2026", "SessionNotOnOrAfter=\"x2026"),
            "the end of its session is no time",
        ),
        (
            replace("<saml:Attribute Name=", "<saml:Attribute Nome="),
            "an attribute without name",
        ),
        (
            replace(
                "<saml:AttributeValue>KVART",
                "<saml:AttributeValue><a></a>KVART",
            ),
            "a value of text and elements mixed",
        ),
    ];
    for (text, expected_what) in &table {
        assert_eq!(malformed(text), *expected_what);
    }
    assert_eq!(
        refused(&replace(ISSUER, "https://issuer.invalid")),
        SamlError::UnknownIssuer
    );
    assert_eq!(
        refused(&replace(PERSONNEL_AUDIENCE, "somebody")),
        SamlError::OtherAudience
    );
    let none = signed_anew(|text| {
        let (before, after) = text.split_once("<saml:AudienceRestriction>").unwrap();
        let (_, after) = after.split_once("</saml:AudienceRestriction>").unwrap();
        format!("{before}{after}")
    });
    assert_eq!(refused(&none), SamlError::OtherAudience);
    let second = replace(
        "</saml:AudienceRestriction>",
        "</saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction>",
    );
    assert_eq!(refused(&second), SamlError::OtherAudience);
    assert_eq!(
        refused(&replace("AuthnInstant=\"2026", "AuthnInstant=\"2027")),
        SamlError::Authentication("it lies in the future")
    );
    assert_eq!(
        refused(&replace(
            "SessionNotOnOrAfter=\"2026-11-23T09",
            "SessionNotOnOrAfter=\"2026-11-23T07"
        )),
        SamlError::Authentication("its session has ended")
    );
    assert_eq!(
        refused(&replace("IssueInstant=\"2026", "IssueInstant=\"2027")),
        SamlError::NotYetValid
    );
    assert_eq!(
        refused("<a/>"),
        SamlError::Malformed("there is no SAML 2.0 assertion")
    );
    assert!(matches!(refused("<a>"), SamlError::Xml(_)));
    let large = format!("<a>{}</a>", "x".repeat(saml::MAX_ASSERTION_BYTES));
    assert!(matches!(refused(&large), SamlError::Xml(_)));
}

#[test]
fn time_counts_to_the_second() {
    let text = issued(Generation::Hybrid);
    let at = |now_unix_ms| {
        let mut expected = expected();
        expected.now_unix_ms = now_unix_ms;
        verify(&text, &expected).map(|_| ())
    };
    let end_ms = NOW_MS + 3_600_000;
    let table = [
        (NOW_MS - 10_001, Err(SamlError::NotYetValid)),
        (NOW_MS - 10_000, Ok(())),
        (end_ms + 9_999, Ok(())),
        (end_ms + 10_000, Err(SamlError::Expired)),
        (i64::MAX, Err(SamlError::Expired)),
        (i64::MIN, Err(SamlError::NotYetValid)),
    ];
    for (now_ms, expected) in table {
        assert_eq!(at(now_ms), expected, "{now_ms}");
    }
}

#[test]
fn only_the_issuers_signature_counts() {
    let text = issued(Generation::Hybrid);
    let start = text.find("<Signature").unwrap();
    let end = text.find("</Signature>").unwrap() + "</Signature>".len();
    let refused = |text: &str| match verify(text, &expected()).unwrap_err() {
        SamlError::Signature(error) => error,
        other => panic!("{other}"),
    };
    let unsigned = format!("{}{}", &text[..start], &text[end..]);
    assert_eq!(refused(&unsigned), DsigError::Missing);
    assert_eq!(
        refused(&text.replace("KVART", "FEMTE")),
        DsigError::Digest { number: 1 }
    );
    // A comment inside a value cuts nothing off: it is not part of what was signed, and the value stays whole.
    let commented = text.replace("06828399789", "068283<!-- -->99789");
    let (assertion, _) = verify(&commented, &expected()).unwrap();
    assert_eq!(assertion.subject, "06828399789");

    // The forged assertion around, before and behind the signed one.
    let forged = unsigned.replace("KVART GREVLING", "SOMEBODY ELSE");
    let wrapped = forged.replace("ID=\"_", "ID=\"_f").replace(
        "<saml:Subject>",
        &format!("<saml:Advice>{text}</saml:Advice><saml:Subject>"),
    );
    assert_eq!(refused(&wrapped), DsigError::Missing);
    let signature = &text[start..end];
    let moved = forged.replace("ID=\"_", "ID=\"_f").replace(
        "<saml:Subject>",
        &format!("{signature}<saml:Advice>{unsigned}</saml:Advice><saml:Subject>"),
    );
    assert!(matches!(refused(&moved), DsigError::Reference { .. }));

    // Made by another party of the same authority: the chain holds, so the issuer's certificate must be known.
    let mut strict = expected();
    let known = [WORLD.sender.certificate().clone()];
    strict.signer = Signer::OneOf(&known);
    let document = Document::parse(&unsigned).unwrap();
    let place = Place::After(document.only(document.root(), NAMESPACE, "Issuer").unwrap());
    let id = document.attribute(document.root(), "", "ID").unwrap();
    let other = sign_enveloped(&document, Some(id), place, &WORLD.stranger).unwrap();
    assert_eq!(
        verify(&other, &strict).unwrap_err(),
        SamlError::Signature(DsigError::OtherCertificate)
    );
    assert!(verify(&text, &strict).is_ok());
}

static ISSUED: std::sync::LazyLock<(String, Assertion)> = std::sync::LazyLock::new(|| {
    let text = issued(Generation::Hybrid);
    let (assertion, _) = verify(&text, &expected()).unwrap();
    (text, assertion)
});

proptest! {
    /// Whatever is done to an assertion: it is refused, or says what it said before.
    #[test]
    fn a_changed_assertion_never_says_something_else(
        at in any::<prop::sample::Index>(),
        length in 0_usize..30,
        with in "[<>&;\"'=/a-zA-Z0-9#:!. -]{0,12}",
    ) {
        let (text, assertion) = &*ISSUED;
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let start = at.index(places.len());
        let end = (start + length).min(places.len() - 1);
        let changed = format!("{}{with}{}", &text[..places[start]], &text[places[end]..]);
        if let Ok((read, _)) = verify(&changed, &expected()) {
            prop_assert!(read == *assertion, "{changed}");
        }
    }
}

/// A sample's assertion without its signature, which nobody here can make; signed anew by us.
fn ours(text: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let node = document
        .subtree(NodeId::DOCUMENT)
        .find(|node| document.is(*node, NAMESPACE, "Assertion"))?;
    let mut selection = Selection::all_of(node);
    let signature = document.only(node, xmlsec::dsig::NAMESPACE, "Signature")?;
    selection.leave_out(signature);
    let octets = canonicalize(&document, &selection, &Method::EXCLUSIVE).unwrap();
    Some(sign_bare(&String::from_utf8(octets).unwrap()))
}

#[test]
fn the_national_samples_are_read() {
    let Some(data) = shared() else { return };
    let (mut personnel, mut citizens) = (0, 0);
    let mut files: Vec<_> = std::fs::read_dir(data.join("documents/soap"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let Some(text) = std::str::from_utf8(&bytes).ok().and_then(ours) else {
            continue;
        };
        let name = file.display();
        let document = Document::parse(&text).unwrap();
        let conditions = document
            .only(document.root(), NAMESPACE, "Conditions")
            .unwrap();
        let start = document.attribute(conditions, "", "NotBefore").unwrap();
        let start_ms = start.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let read = |life_ms: i64| -> Result<Assertion, SamlError> {
            let expected = Expected {
                signer: Signer::Carried,
                issuers: &[
                    "https://helseid-xdssaml.test.nhn.no",
                    "sikkerhet.helsenorge.no",
                ],
                audiences: &[PERSONNEL_AUDIENCE, "https://xds-web.test.nhn.no/"],
                now_unix_ms: start_ms + life_ms,
                leeway_ms: 1_000,
            };
            verify(&text, &expected).map(|(assertion, _)| assertion)
        };
        let assertion = read(60_000).unwrap_or_else(|error| panic!("{name}: {error}"));
        let xua = Xua::read(&assertion).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(xua.patient.is_some() && xua.purpose.is_some(), "{name}");
        assert_eq!(
            xua.home_community.as_deref(),
            Some("2.16.578.1.12.4.1.7.1.1"),
            "{name}"
        );
        assert_eq!(xua.security_level.as_deref(), Some("4"), "{name}");
        if xua.role.is_some() {
            personnel += 1;
            assert_eq!(xua.scopes, ["journaldokumenter_helsepersonell"], "{name}");
            assert!(
                xua.decision.is_some() && xua.healthcare_service.is_some(),
                "{name}"
            );
            assert_eq!(read(3_600_000 + 1_000), Err(SamlError::Expired), "{name}");
        } else {
            citizens += 1;
            assert_eq!(xua.purpose.unwrap().code, "13", "{name}");
            assert_eq!(read(1_200_000 + 1_000), Err(SamlError::Expired), "{name}");
        }
    }
    assert_eq!((personnel, citizens), (8, 4));
}
