//! Signature wrapping: a valid signature moved about so that something else is read. Each variant names the element a
//! reader would take (the forged one), and none of them is accepted.

use xmlsec::dsig::{DsigError, Place, sign_enveloped, verify_enveloped};
use xmlsec::xml::{Document, NodeId};

use crate::WORLD;
use crate::signed::carried;

const DS: &str = xmlsec::dsig::NAMESPACE;

struct Original {
    /// The signed assertion, whole.
    signed: String,
    /// The same without its signature.
    bare: String,
    /// The signature alone.
    signature: String,
}

fn original() -> Original {
    let bare = "<A xmlns=\"urn:a\" ID=\"o\"><Issuer>x</Issuer><Who>the patient's doctor</Who></A>";
    let document = Document::parse(bare).unwrap();
    let issuer = document.elements(document.root()).next().unwrap();
    let signed = sign_enveloped(&document, Some("o"), Place::After(issuer), &WORLD.sender).unwrap();
    let start = signed.find("<Signature").unwrap();
    let end = signed.find("</Signature>").unwrap() + "</Signature>".len();
    Original {
        signature: signed[start..end].to_owned(),
        bare: bare.to_owned(),
        signed,
    }
}

fn forged(id: &str, inside: &str) -> String {
    format!("<A xmlns=\"urn:a\" ID=\"{id}\"><Issuer>x</Issuer>{inside}<Who>somebody else</Who></A>")
}

/// The first assertion that says `somebody else` itself.
fn forged_element(document: &Document) -> NodeId {
    document
        .subtree(NodeId::DOCUMENT)
        .find(|node| {
            document.is(*node, "urn:a", "A")
                && document
                    .only(*node, "urn:a", "Who")
                    .is_some_and(|who| document.text(who) == "somebody else")
        })
        .unwrap()
}

#[test]
fn no_variant_passes() {
    let Original {
        signed,
        bare,
        signature,
    } = original();
    let object = |inside: &str| {
        signature.replace(
            "</Signature>",
            &format!("<Object>{inside}</Object></Signature>"),
        )
    };
    let several_ids = DsigError::Reference {
        number: 1,
        what: "several elements have its id",
    };
    let not_enveloping = DsigError::Reference {
        number: 1,
        what: "it is said to envelop the signature, but does not",
    };
    let digest = DsigError::Digest { number: 1 };
    let variants: Vec<(&str, String, DsigError)> = vec![
        (
            "the forged one stands before the signed one",
            format!("<R>{}{signed}</R>", forged("f", "")),
            DsigError::Missing,
        ),
        (
            "the forged one stands behind the signed one",
            format!("<R>{signed}{}</R>", forged("f", "")),
            DsigError::Missing,
        ),
        (
            "the signed one inside the forged one",
            format!("<R>{}</R>", forged("f", &signed)),
            DsigError::Missing,
        ),
        (
            "the signature moved to the forged one, the original beside",
            format!("<R>{}{bare}</R>", forged("f", &signature)),
            not_enveloping.clone(),
        ),
        (
            "the signature moved to the forged one, the original in its object",
            format!("<R>{}</R>", forged("f", &object(&bare))),
            not_enveloping.clone(),
        ),
        (
            "the signature moved to the forged one, the original inside it",
            format!(
                "<R>{}</R>",
                forged("f", &format!("{signature}<Extensions>{bare}</Extensions>"))
            ),
            not_enveloping,
        ),
        (
            "the same id twice, the forged one first",
            format!("<R>{}{bare}</R>", forged("o", &signature)),
            several_ids.clone(),
        ),
        (
            "the same id twice, the original in the object",
            format!("<R>{}</R>", forged("o", &object(&bare))),
            several_ids.clone(),
        ),
        (
            "the same id twice, in another spelling of the attribute",
            format!(
                "<R>{}{}</R>",
                forged("f", &signature)
                    .replace("ID=", "Id=")
                    .replace("\"f\"", "\"o\""),
                bare
            ),
            several_ids,
        ),
        (
            "the signature moved to the forged one alone",
            format!("<R>{}</R>", forged("f", &signature)),
            DsigError::Reference {
                number: 1,
                what: "no element has its id",
            },
        ),
        (
            "the forged one under the signed one's id, the original gone",
            forged("o", &signature),
            digest,
        ),
        (
            "two signatures",
            forged("f", &format!("{signature}{signature}")),
            DsigError::Several,
        ),
    ];
    for (what, text, expected) in variants {
        let document = Document::parse(&text).unwrap();
        let read = forged_element(&document);
        let error = verify_enveloped(&document, read, &carried()).unwrap_err();
        assert_eq!(error, expected, "{what}");
    }
    // The original itself still holds wherever it is moved, because exclusive canonicalisation stands alone.
    let moved = format!("<w:R xmlns:w=\"urn:w\" xmlns=\"urn:other\"><w:S>{signed}</w:S></w:R>");
    let document = Document::parse(&moved).unwrap();
    let element = document
        .subtree(NodeId::DOCUMENT)
        .find(|node| document.is(*node, "urn:a", "A"))
        .unwrap();
    assert!(verify_enveloped(&document, element, &carried()).is_ok());
}

#[test]
fn a_signature_over_the_document_is_not_one_over_its_part() {
    let text = "<R><A xmlns=\"urn:a\"><Who>somebody else</Who></A></R>";
    let document = Document::parse(text).unwrap();
    let part = document.elements(document.root()).next().unwrap();
    let signed = sign_enveloped(&document, None, Place::LastIn(part), &WORLD.sender).unwrap();
    let document = Document::parse(&signed).unwrap();
    let part = document.elements(document.root()).next().unwrap();
    assert!(document.only(part, DS, "Signature").is_some());
    assert_eq!(
        verify_enveloped(&document, part, &carried()).unwrap_err(),
        DsigError::NotCovered
    );
}

#[test]
fn a_part_for_the_next_node_does_not_slip_in() {
    use xmlsec::c14n::Method;
    use xmlsec::dsig::{Hash, Request, SigningKey, Target, Transform, sign};
    let soap = "http://schemas.xmlsoap.org/soap/envelope/";
    let document = Document::parse("<R><Who>the patient's doctor</Who></R>").unwrap();
    let targets = [Target::Document(vec![
        Transform::Enveloped,
        Transform::EbXmlActors,
    ])];
    let request = Request {
        key: SigningKey::Rsa(WORLD.sender.key()),
        certificates: std::slice::from_ref(WORLD.sender.certificate()),
        canonicalization: Method::INCLUSIVE,
        hash: Hash::Sha256,
        targets: &targets,
    };
    let signed = sign(&document, Place::LastIn(document.root()), &request).unwrap();
    let slipped = signed.replace(
        "<R>",
        &format!("<R><Who xmlns:S=\"{soap}\" S:actor=\"http://schemas.xmlsoap.org/soap/actor/next\">somebody else</Who>"),
    );
    for (text, holds) in [(signed, true), (slipped, false)] {
        let document = Document::parse(&text).unwrap();
        let result = verify_enveloped(&document, document.root(), &carried());
        assert_eq!(result.is_ok(), holds);
        if let Err(error) = result {
            assert_eq!(error, DsigError::NotCovered);
        }
    }
}
