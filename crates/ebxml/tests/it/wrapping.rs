//! Signature wrapping and its relatives: every one must be refused, the untouched message accepted.

use ebxml::finding::Finding;
use ebxml::mime;
use ebxml::package::Received;
use ebxml::signature::{Attached, check};
use xmlsec::dsig::Signer;
use xmlsec::xml::Document;

use crate::{WORLD, fields, outgoing, read};

const NEXT: &str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";
const SOAP_NEXT: &str = "http://schemas.xmlsoap.org/soap/actor/next";

struct Case {
    soap: String,
    payload: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let sent = outgoing();
        let received = read(&sent.mail(&fields()));
        Self {
            soap: sent.soap().to_owned(),
            payload: received.attachments[0].content.clone(),
        }
    }

    fn with(&self, from: &str, to: &str) -> String {
        assert!(self.soap.contains(from), "{from}");
        self.soap.replacen(from, to, 1)
    }

    fn judge(&self, soap: &str) -> Result<(), Finding> {
        let attached = [Attached {
            content_id: "payload-1",
            content: &self.payload,
        }];
        judge(soap, &attached)
    }
}

fn judge(soap: &str, attached: &[Attached<'_>]) -> Result<(), Finding> {
    let document = Document::parse(soap).unwrap();
    let known = [WORLD.sender.certificate().clone()];
    check(&document, attached, Signer::OneOf(&known)).map(|_| ())
}

/// The element as text.
fn element<'a>(soap: &'a str, start: &str, end: &str) -> &'a str {
    let from = soap.find(start).unwrap();
    let to = from + soap[from..].find(end).unwrap() + end.len();
    &soap[from..to]
}

#[test]
fn the_untouched_message_holds() {
    let case = Case::new();
    assert_eq!(case.judge(&case.soap), Ok(()));
}

#[test]
fn variants_of_wrapping_are_refused() {
    let case = Case::new();
    let header = element(&case.soap, "<eb:MessageHeader", "</eb:MessageHeader>");
    let body = element(&case.soap, "<SOAP:Body>", "</SOAP:Body>");
    let signature = element(&case.soap, "<Signature ", "</Signature>");
    let forged = header.replace("EPIKRISE", "HENVISNING");
    let for_next = |element: &str, name: &str, actor: &str| {
        element.replacen(
            &format!("<{name}"),
            &format!("<{name} SOAP:actor=\"{actor}\""),
            1,
        )
    };
    let variants = [
        (
            "a second header before the signed one",
            case.with(header, &format!("{forged}{header}")),
        ),
        (
            "a second header that the filter leaves out",
            case.with(
                header,
                &format!("{}{header}", for_next(&forged, "eb:MessageHeader", NEXT)),
            ),
        ),
        (
            "the same for the next SOAP node, behind the signed one",
            case.with(
                header,
                &format!(
                    "{header}{}",
                    for_next(&forged, "eb:MessageHeader", SOAP_NEXT)
                ),
            ),
        ),
        (
            "the signed header hidden in a wrapper",
            case.with(header, &format!("{forged}<x>{header}</x>")),
        ),
        (
            "the signed body hidden, another in its place",
            case.with(
                body,
                &format!(
                    "<SOAP:Body>{}</SOAP:Body>",
                    body.replace("payload-1", "payload-2")
                ),
            ),
        ),
        (
            "a body that the filter leaves out beside the signed one",
            case.with(
                body,
                &format!("{}{body}", for_next(body, "SOAP:Body", NEXT)),
            ),
        ),
        (
            "the signature deeper down",
            case.with(signature, &format!("<x>{signature}</x>")),
        ),
        (
            "the signature twice",
            case.with(signature, &format!("{signature}{signature}")),
        ),
        (
            "the signature in the body",
            case.with(signature, "")
                .replace("</SOAP:Body>", &format!("{signature}</SOAP:Body>")),
        ),
        (
            "an acknowledgment slipped in that the filter leaves out",
            case.with(
                signature,
                &format!(
                    "<eb:Acknowledgment eb:version=\"2.0\" SOAP:actor=\"{NEXT}\"/>{signature}"
                ),
            ),
        ),
        (
            "the whole envelope for the next actor",
            case.with(
                "<SOAP:Header>",
                &format!("<SOAP:Header SOAP:actor=\"{NEXT}\">"),
            ),
        ),
        (
            "another action",
            case.with("<eb:Action>EPIKRISE", "<eb:Action>HENVISNING"),
        ),
    ];
    for (name, soap) in variants {
        let verdict = case.judge(&soap);
        assert!(verdict.is_err(), "{name}");
    }
}

#[test]
fn attachments_are_what_was_signed() {
    let case = Case::new();
    let own = Attached {
        content_id: "payload-1",
        content: &case.payload,
    };
    let added = Attached {
        content_id: "payload-2",
        content: b"x",
    };
    let changed = Attached {
        content_id: "payload-1",
        content: b"x",
    };
    assert!(judge(&case.soap, &[own]).is_ok());
    assert_eq!(judge(&case.soap, &[own, added]).unwrap_err().rule, 34);
    assert!(judge(&case.soap, &[changed]).is_err());
    assert!(judge(&case.soap, &[]).is_err());
    assert!(judge(&case.soap, &[changed, own]).is_err());
}

#[test]
fn two_parts_with_one_id_are_not_read() {
    let mail = String::from_utf8(outgoing().mail(&fields())).unwrap();
    let start = mail.find("Content-Type: application/pkcs7-mime").unwrap();
    let boundary_at = mail[..start].rfind("--part").unwrap();
    let end = mail.rfind("--part").unwrap();
    let part = &mail[boundary_at..end];
    let twice = mail.replacen(part, &format!("{part}{part}"), 1);
    assert!(Received::from_mail(twice.as_bytes(), &mime::Limits::default()).is_err());
}

#[test]
fn another_signer_is_not_the_sender() {
    let case = Case::new();
    let document = Document::parse(&case.soap).unwrap();
    let attached = [Attached {
        content_id: "payload-1",
        content: &case.payload,
    }];
    let others = [WORLD.stranger.certificate().clone()];
    let verdict = check(&document, &attached, Signer::OneOf(&others));
    assert_eq!(verdict.unwrap_err().rule, 44);
}
