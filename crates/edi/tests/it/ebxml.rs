//! Every numbered rule of the ebXML validator is broken once, by one change of a message that breaks none.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edi::check::ebxml::table::RULES;
use edi::check::ebxml::{Response, judge};
use edi::check::{AgreementFacts, Lookups, Options, PartyFacts, Severity};
use edi::report::{Language, explain};
use xmlsec::c14n::Method;
use xmlsec::dsig::{Hash, Place, Request, SigningKey, Target, Transform, sign};
use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Purpose, RsaKey, Validity};
use xmlsec::xml::Document;

/// 2026-11-23T12:00:00Z.
const NOW_S: i64 = 1_795_435_200;
const SENDER: u32 = 8_900_901;
const RECEIVER: u32 = 8_900_009;

fn identities() -> &'static [Identity; 2] {
    static MADE: OnceLock<[Identity; 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let ca = DemoCa::new("Test CA", NOW_S).unwrap();
        let holder = Names {
            name: "Din EPJ AS",
            organisation_number: "999999999",
        };
        [(); 2].map(|()| {
            let key = RsaKey::generate().unwrap();
            let validity = Validity::days_around(NOW_S, 10, 10);
            ca.issue_organisation(&key, holder, Purpose::Signing, validity)
                .unwrap()
        })
    })
}

const HEAD: &str = r#"From: edi@sender.example
To: edi@receiver.example
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <1@sender.example>
MIME-Version: 1.0
SOAPAction: "ebXML"
Content-Type: multipart/related; type="text/xml"; boundary="b"; start="<soap>"

"#;
const SIGNAL_HEAD: &str = r#"From: edi@sender.example
To: edi@receiver.example
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <1@sender.example>
MIME-Version: 1.0
SOAPAction: "ebXML"
Content-Type: text/xml; charset="UTF-8"
Content-Transfer-Encoding: 8bit

"#;
const PART_1: &str = r#"--b
Content-ID: <soap>
Content-Type: text/xml; charset="UTF-8"
Content-Transfer-Encoding: 8bit

"#;
const PART_2: &str = r#"
--b
Content-ID: <doc>
Content-Type: application/pkcs7-mime; smime-type=enveloped-data
Content-Transfer-Encoding: base64

"#;
const NAMESPACES: &str = r#"xmlns:SOAP="http://schemas.xmlsoap.org/soap/envelope/" xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd" xmlns:xlink="http://www.w3.org/1999/xlink""#;

fn header(service: &str, action: &str, reference: &str, more: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<SOAP:Envelope {NAMESPACES}><SOAP:Header>
<eb:MessageHeader eb:version="2.0" SOAP:mustUnderstand="1">
<eb:From><eb:PartyId eb:type="HER">{SENDER}</eb:PartyId><eb:Role>a</eb:Role></eb:From>
<eb:To><eb:PartyId eb:type="HER">{RECEIVER}</eb:PartyId><eb:Role>b</eb:Role></eb:To>
<eb:CPAId>8900009_8900901</eb:CPAId>
<eb:ConversationId>c1</eb:ConversationId>
<eb:Service eb:type="string">{service}</eb:Service>
<eb:Action>{action}</eb:Action>
<eb:MessageData><eb:MessageId>b42c45ee-93a5-4940-a833-afa0905a7d8c</eb:MessageId><eb:Timestamp>2026-11-23T12:00:00Z</eb:Timestamp>{reference}</eb:MessageData>
{more}</eb:MessageHeader>
"#
    )
}

fn payload() -> String {
    let more = "<eb:DuplicateElimination/><eb:Description xml:lang=\"NO\">{\"MSH-system\":\"x\",\"MSH-versjon\":\"1\"}</eb:Description>";
    header("S-EPIKRISE", "EPIKRISE", "", more)
        + r#"<eb:AckRequested eb:version="2.0" SOAP:mustUnderstand="1" eb:signed="true"/>
</SOAP:Header><SOAP:Body><eb:Manifest eb:version="2.0"><eb:Reference xlink:href="cid:doc"><eb:Schema eb:location="http://www.kith.no/xmlstds/epikrise/2012-02-15" eb:version="1.2"/></eb:Reference></eb:Manifest></SOAP:Body></SOAP:Envelope>"#
}

const SIGNAL: &str = "urn:oasis:names:tc:ebxml-msg:service";
const DIGEST: &str = r#"<Reference xmlns="http://www.w3.org/2000/09/xmldsig#" URI="X"><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue>AA==</DigestValue></Reference>"#;

fn acknowledgment() -> String {
    let references = DIGEST.replace("\"X\"", "\"\"") + &DIGEST.replace("\"X\"", "\"cid:doc\"");
    header(SIGNAL, "Acknowledgment", "", "")
        + &format!(
            r#"<eb:Acknowledgment eb:version="2.0" SOAP:mustUnderstand="1"><eb:Timestamp>2026-11-23T12:00:00Z</eb:Timestamp><eb:RefToMessageId>m1</eb:RefToMessageId>{references}</eb:Acknowledgment>
</SOAP:Header><SOAP:Body/></SOAP:Envelope>"#
        )
}

fn error_list() -> String {
    header(
        SIGNAL,
        "MessageError",
        "<eb:RefToMessageId>m1</eb:RefToMessageId>",
        "",
    ) + r#"<eb:ErrorList eb:version="2.0" SOAP:mustUnderstand="1" eb:highestSeverity="Error"><eb:Error eb:errorCode="SecurityFailure" eb:severity="Error"/></eb:ErrorList>
</SOAP:Header><SOAP:Body/></SOAP:Envelope>"#
}

/// DER that begins like encrypted data.
fn cms() -> Vec<u8> {
    let mut out = b"\x30\x82\x01\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03".to_vec();
    out.extend_from_slice(&[0; 60]);
    out
}

const LETTER: &str = r#"<Message xmlns="http://www.kith.no/xmlstds/epikrise/2012-02-15"/>"#;

struct Register;

impl Lookups for Register {
    fn party(&self, her_id: u32) -> Option<Option<PartyFacts>> {
        let certificate = |n: usize| Some(identities()[n].certificate().der().to_vec());
        Some(match her_id {
            SENDER | RECEIVER => Some(PartyFacts {
                is_level_2: true,
                edi_address: if her_id == SENDER {
                    "edi@sender.example"
                } else {
                    "edi@receiver.example"
                }
                .to_owned(),
                signing_certificate: certificate(0),
            }),
            // An organisation; one without certificate; one with another certificate.
            8_900_900 => Some(PartyFacts {
                signing_certificate: certificate(0),
                ..PartyFacts::default()
            }),
            8_900_902 => Some(PartyFacts {
                is_level_2: true,
                ..PartyFacts::default()
            }),
            8_900_903 => Some(PartyFacts {
                is_level_2: true,
                signing_certificate: certificate(1),
                ..PartyFacts::default()
            }),
            _ => None,
        })
    }

    fn agreement(&self, cpa_id: &str) -> Option<Option<AgreementFacts>> {
        let facts = |her_ids, start_s, end_s| AgreementFacts {
            her_ids,
            start_s,
            end_s,
        };
        let (day, both) = (86_400, [SENDER, RECEIVER]);
        Some(match cpa_id.get(..8)? {
            "11111111" => Some(facts([1, RECEIVER], 0, i64::MAX)),
            "22222222" => Some(facts([SENDER, 1], 0, i64::MAX)),
            "33333333" => Some(facts(both, NOW_S + day, i64::MAX)),
            "44444444" => Some(facts(both, 0, NOW_S - day)),
            _ => None,
        })
    }

    fn decrypt(&self, cms: &[u8]) -> Option<Vec<u8>> {
        let inner = cms.get(80..)?;
        (!inner.is_empty()).then(|| inner.to_vec())
    }
}

/// When a change is made: before signing, after it, or on the finished mail; and of which message.
#[derive(Clone, Copy, PartialEq)]
enum On {
    Soap,
    Signed,
    Mail,
    Ack,
    Error,
    /// The attachment is this instead.
    Attachment,
    /// Encrypted is this.
    Inside,
}

fn signed(soap: &str, attachment: Option<&[u8]>) -> String {
    let Ok(document) = Document::parse(soap) else {
        return soap.to_owned();
    };
    let soap_ns = "http://schemas.xmlsoap.org/soap/envelope/";
    let Some(head) = document.only(document.root(), soap_ns, "Header") else {
        return soap.to_owned();
    };
    let transforms = vec![
        Transform::Enveloped,
        Transform::EbXmlActors,
        Transform::Canonicalize(Method::INCLUSIVE),
    ];
    let mut targets = vec![Target::Document(transforms)];
    targets.extend(attachment.map(|a| Target::External("cid:doc", a)));
    let identity = &identities()[0];
    let request = Request {
        key: SigningKey::Rsa(identity.key()),
        certificates: std::slice::from_ref(identity.certificate()),
        canonicalization: Method::INCLUSIVE,
        hash: Hash::Sha256,
        targets: &targets,
    };
    sign(&document, Place::LastIn(head), &request).unwrap()
}

fn change(text: &str, from: &str, to: &str) -> String {
    if from.is_empty() {
        return text.to_owned();
    }
    assert!(text.contains(from), "{from:?} is not in the message");
    text.replacen(from, to, 1)
}

fn message(on: On, from: &str, to: &str) -> String {
    let is = |what: On| if on == what { (from, to) } else { ("", "") };
    if let On::Ack | On::Error = on {
        let text = if on == On::Ack {
            acknowledgment()
        } else {
            error_list()
        };
        return SIGNAL_HEAD.to_owned() + &signed(&change(&text, from, to), None);
    }
    let content = match on {
        On::Attachment => to.as_bytes().to_vec(),
        On::Inside => {
            let mut out = cms();
            out.resize(80, 0);
            out.extend_from_slice(to.as_bytes());
            out
        }
        _ => cms(),
    };
    let soap = change(&payload(), is(On::Soap).0, is(On::Soap).1);
    let soap = signed(&soap, Some(&content));
    let soap = change(&soap, is(On::Signed).0, is(On::Signed).1);
    let attachment = BASE64_STANDARD.encode(&content);
    let mail = format!("{HEAD}{PART_1}{soap}{PART_2}{attachment}\n--b--\n");
    change(&mail, is(On::Mail).0, is(On::Mail).1).replace('\n', "\r\n")
}

fn options() -> Options<'static> {
    Options {
        lookups: &Register,
        ..Options::default()
    }
}

#[rustfmt::skip]
const CASES: &[(u16, On, &str, &str)] = &[
    (18, On::Mail, "From: ", "X-From: "),
    (19, On::Mail, "To: ", "X-To: "),
    (80, On::Mail, "From: edi@sender.example", "From: "),
    (81, On::Mail, "To: edi@receiver.example", "To: "),
    (250, On::Mail, "Message-ID: ", "X-ID: "),
    (251, On::Mail, "Message-ID: <1@sender.example>", "Message-ID: "),
    (20, On::Mail, "Date: ", "X-Date: "),
    (83, On::Mail, "Date: Mon, 23 Nov 2026 12:00:00 +0000", "Date:"),
    (21, On::Mail, "MIME-Version: 1.0", "X: y"),
    (82, On::Mail, "MIME-Version: 1.0", "MIME-Version: 1.1"),
    (22, On::Mail, "SOAPAction: \"ebXML\"", "X: y"),
    (51, On::Mail, "SOAPAction: \"ebXML\"", "SOAPAction: \"ebxml\""),
    (252, On::Mail, "multipart/related; type=\"text/xml\"; boundary=\"b\"", "text/plain"),
    (66, On::Mail, "multipart/related", "multipart/mixed"),
    (253, On::Mail, "type=\"text/xml\"; ", ""),
    (1001, On::Mail, "start=\"<soap>\"", "start=\"<nothing>\""),
    (67, On::Mail, "text/xml; charset", "text/plain; charset"),
    (255, On::Mail, "text/xml; charset", "application/xml; charset"),
    (256, On::Mail, "; charset=\"UTF-8\"", ""),
    (257, On::Mail, "Content-Transfer-Encoding: 8bit\n", ""),
    (258, On::Mail, "Encoding: 8bit", "Encoding: x-uuencode"),
    (259, On::Mail, "Encoding: base64", "Encoding: binary"),
    (260, On::Mail, "smime-type=enveloped-data", "smime-type=signed-data"),
    (263, On::Attachment, "", LETTER),
    (264, On::Inside, "", "Content-Type: application/xml\r\n\r\n<a/>"),
    (1007, On::Inside, "", "Content-Type: text/xml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<a/>"),
    (78, On::Signed, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", ""),
    (68, On::Signed, "encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\""),
    (86, On::Mail, "</SOAP:Envelope>", ""),
    (16, On::Soap, "<SOAP:Body>", "<SOAP:Extra/><SOAP:Body>"),
    (17, On::Soap, "<eb:ConversationId>c1</eb:ConversationId>", ""),
    (43, On::Signed, "SOAP:Envelope xmlns:SOAP=\"http://schemas.xmlsoap.org/soap/envelope/\"", "SOAP:Envelope xmlns:SOAP=\"urn:x\""),
    (2, On::Signed, "xmlns:eb=", "xmlns:SOAPX=\"urn:y\" xmlns:eb="),
    (3, On::Signed, "xmlns:eb=", "xmlns:SOAPX=\"urn:y\" xmlns:eb="),
    (100, On::Soap, "</SOAP:Header>", "<x xmlns=\"urn:x\" SOAP:mustUnderstand=\"1\"/></SOAP:Header>"),
    (101, On::Soap, "</SOAP:Body>", "<x xmlns=\"urn:x\"/></SOAP:Body>"),
    (1002, On::Soap, "</SOAP:Body>", "<x xmlns=\"urn:x\"/></SOAP:Body>"),
    (1003, On::Ack, "</SOAP:Header>", "<eb:AckRequested/></SOAP:Header>"),
    (1004, On::Soap, "</SOAP:Header>", "<eb:AckRequested eb:signed=\"true\"/></SOAP:Header>"),
    (4, On::Soap, "xmlns:eb=\"http://www.oasis-open.org", "xmlns:eb=\"http://example.org"),
    (8, On::Soap, "eb:version=\"2.0\" SOAP", "SOAP"),
    (70, On::Soap, "eb:version=\"2.0\" SOAP", "eb:version=\"1.0\" SOAP"),
    (7, On::Soap, " SOAP:mustUnderstand=\"1\">\n<eb:From>", "><eb:From>"),
    (69, On::Soap, "SOAP:mustUnderstand=\"1\">\n<eb:From>", "SOAP:mustUnderstand=\"0\"><eb:From>"),
    (76, On::Soap, "<eb:MessageId>b42c45ee-93a5-4940-a833-afa0905a7d8c</eb:MessageId>", ""),
    (102, On::Soap, "b42c45ee-93a5-4940-a833-afa0905a7d8c", "1"),
    (77, On::Soap, "2026-11-23T12:00:00Z</eb:Timestamp>", "now</eb:Timestamp>"),
    (11, On::Soap, "8900009_8900901</eb:CPAId>", "</eb:CPAId>"),
    (12, On::Soap, "8900009_8900901</eb:CPAId>", "mine</eb:CPAId>"),
    (10, On::Soap, "<eb:From><eb:PartyId eb:type=\"HER\">8900901</eb:PartyId><eb:Role>a</eb:Role></eb:From>", ""),
    (9, On::Soap, "<eb:To><eb:PartyId eb:type=\"HER\">8900009</eb:PartyId><eb:Role>b</eb:Role></eb:To>", ""),
    (58, On::Soap, "<eb:PartyId eb:type=\"HER\">8900901</eb:PartyId>", ""),
    (59, On::Soap, "<eb:PartyId eb:type=\"HER\">8900009</eb:PartyId>", ""),
    (25, On::Soap, ">8900901</eb:PartyId>", "></eb:PartyId>"),
    (55, On::Soap, ">8900009</eb:PartyId>", "></eb:PartyId>"),
    (60, On::Soap, "eb:type=\"HER\">8900901", "eb:type=\"ENH\">8900901"),
    (61, On::Soap, "eb:type=\"HER\">8900009", "eb:type=\"ENH\">8900009"),
    (14, On::Soap, "<eb:Role>a", "<eb:PartyId eb:type=\"ENH\">1</eb:PartyId><eb:Role>a"),
    (13, On::Soap, "<eb:Role>b", "<eb:PartyId eb:type=\"ENH\">1</eb:PartyId><eb:Role>b"),
    (31, On::Soap, ">8900901</eb:PartyId>", ">89x</eb:PartyId>"),
    (56, On::Soap, ">8900009</eb:PartyId>", ">89x</eb:PartyId>"),
    (47, On::Soap, "<eb:Service eb:type=\"string\">S-EPIKRISE</eb:Service>", ""),
    (71, On::Soap, "S-EPIKRISE<", "<"),
    (48, On::Soap, "<eb:Action>EPIKRISE</eb:Action>", ""),
    (72, On::Soap, "<eb:Action>EPIKRISE<", "<eb:Action><"),
    (29, On::Soap, ">8900901</eb:PartyId>", ">77</eb:PartyId>"),
    (30, On::Soap, ">8900901</eb:PartyId>", ">8900900</eb:PartyId>"),
    (54, On::Soap, ">8900009</eb:PartyId>", ">8900900</eb:PartyId>"),
    (110, On::Soap, "8900009_8900901", "8900009_8900902"),
    (111, On::Soap, "8900009_8900901", "11111111-93a5-4940-a833-afa0905a7d8c"),
    (112, On::Soap, "8900009_8900901", "22222222-93a5-4940-a833-afa0905a7d8c"),
    (113, On::Soap, "8900009_8900901", "33333333-93a5-4940-a833-afa0905a7d8c"),
    (114, On::Soap, "8900009_8900901", "44444444-93a5-4940-a833-afa0905a7d8c"),
    (261, On::Mail, "From: edi@sender.example", "From: \"X\" <other@sender.example>"),
    (262, On::Mail, "To: edi@receiver.example", "To: other@receiver.example"),
    (79, On::Soap, ">8900901</eb:PartyId>", ">8900902</eb:PartyId>"),
    (44, On::Soap, ">8900901</eb:PartyId>", ">8900903</eb:PartyId>"),
    (45, On::Signed, "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\">", "<Signature xmlns=\"urn:x\">"),
    (52, On::Soap, "</SOAP:Header>", "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"/></SOAP:Header>"),
    (363, On::Signed, "<SignedInfo>", "<SignedInfo xmlns=\"urn:x\">"),
    (42, On::Signed, "<SignatureValue>", "<SignatureValue xmlns=\"urn:x\">"),
    (32, On::Signed, "<KeyInfo>", "<KeyInfo xmlns=\"urn:x\">"),
    (39, On::Signed, "<SignedInfo>", "<SignedInfo xmlns:r=\"urn:x\">"),
    (40, On::Signed, "<Reference URI=\"\">", "<Reference URI=\"cid:x\">"),
    (34, On::Signed, "<Reference URI=\"cid:doc\">", "<Reference URI=\"doc\">"),
    (33, On::Signed, "<DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\">", "<DigestMethod Algorithm=\"urn:md5\">"),
    (1005, On::Signed, "", ""),
    (37, On::Signed, "xmldsig#enveloped-signature", "xmldsig#base64"),
    (36, On::Signed, "http://www.w3.org/TR/1999/REC-xpath-19991116", "urn:filter"),
    (35, On::Signed, "<Transform Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\">", "<Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">"),
    (38, On::Signed, "<Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></Transform>", ""),
    (84, On::Signed, "xmldsig-more#rsa-sha256", "xmldsig-more#rsa-md5"),
    (41, On::Signed, "<X509Data>", "<X509Data xmlns=\"urn:x\">"),
    (64, On::Signed, "<DigestValue>", "<DigestValue xmlns=\"urn:x\">"),
    (85, On::Signed, "<Reference URI=\"cid:doc\">", "<Reference>"),
    (103, On::Signed, "<X509Certificate>", "<X509Certificate xmlns=\"urn:x\">"),
    (65, On::Signed, "</X509Data>", "<X509Certificate>AA==</X509Certificate></X509Data>"),
    (46, On::Signed, "<X509Certificate>M", "<X509Certificate>A"),
    (104, On::Soap, "2026-11-23T12:00:00Z</eb:Timestamp>", "2025-11-23T12:00:00Z</eb:Timestamp>"),
    (105, On::Soap, "2026-11-23T12:00:00Z</eb:Timestamp>", "2027-11-23T12:00:00Z</eb:Timestamp>"),
    (50, On::Signed, "<eb:Role>a", "<eb:Role>changed"),
    (106, On::Ack, "urn:oasis:names:tc:ebxml-msg:service", "urn:x"),
    (107, On::Ack, "<eb:Action>Acknowledgment", "<eb:Action>Ack"),
    (108, On::Ack, "<eb:RefToMessageId>m1</eb:RefToMessageId>", ""),
    (109, On::Ack, "</eb:MessageData>", "<eb:RefToMessageId>m1</eb:RefToMessageId></eb:MessageData>"),
    (115, On::Ack, "</SOAP:Header>", "<eb:ErrorList/></SOAP:Header>"),
    (116, On::Ack, "URI=\"\"", "URI=\"cid:other\""),
    (117, On::Ack, "URI=\"cid:doc\"", "URI=\"#doc\""),
    (120, On::Error, "urn:oasis:names:tc:ebxml-msg:service", "urn:x"),
    (121, On::Error, "<eb:Action>MessageError", "<eb:Action>Error"),
    (122, On::Error, "<eb:RefToMessageId>m1</eb:RefToMessageId>", ""),
    (123, On::Error, "</SOAP:Header>", "<eb:Acknowledgment/></SOAP:Header>"),
    (74, On::Soap, "<eb:DuplicateElimination/>", ""),
    (75, On::Soap, "<eb:AckRequested eb:version=\"2.0\" SOAP:mustUnderstand=\"1\" eb:signed=\"true\"/>", ""),
    (94, On::Soap, "eb:signed=\"true\"", "eb:signed=\"false\""),
    (5, On::Soap, "<eb:Manifest eb:version=\"2.0\">", "<eb:Manifest>"),
    (6, On::Soap, "<eb:Reference xlink:href=\"cid:doc\">", "<eb:Reference xmlns:eb=\"urn:x\" xlink:href=\"cid:doc\">"),
    (27, On::Mail, "", ""),
    (23, On::Mail, "Content-ID: <doc>", "Content-ID: <other>"),
    (1006, On::Soap, "xlink:href=\"cid:doc\"", "xlink:href=\"\""),
    (265, On::Soap, "eb:location=\"http://www.kith.no/xmlstds/epikrise/2012-02-15\" ", ""),
    (266, On::Soap, "/2012-02-15\" eb:version=\"1.2\"", "/2012-02-15\" eb:version=\"new\""),
    (267, On::Soap, "eb:location=\"http://www.kith.no/xmlstds/epikrise/2012-02-15\"", "eb:location=\"urn:x\""),
    (268, On::Soap, "/2012-02-15\" eb:version=\"1.2\"", "/2012-02-15\" eb:version=\"1.1\""),
    (269, On::Soap, "S-EPIKRISE<", "S-SVAR_LAB<"),
    (270, On::Inside, "", "<Message xmlns=\"http://www.kith.no/xmlstds/labsvar/2012-02-15\"/>"),
    (271, On::Soap, "\"MSH-system\"", "\"x\""),
    (272, On::Soap, "\"MSH-system\":\"x\"", "\"MSH-system\":\" \""),
    (273, On::Soap, "\"MSH-versjon\"", "\"x\""),
    (274, On::Soap, "\"MSH-versjon\":\"1\"", "\"MSH-versjon\":\"\""),
    (279, On::Soap, "<eb:Schema eb:location=\"http://www.kith.no/xmlstds/epikrise/2012-02-15\" eb:version=\"1.2\"/>", ""),
];

fn rules_of(text: &str) -> Vec<String> {
    let judged = judge(text.as_bytes(), &options()).expect("an ebXML message");
    let of = judged.checked.findings.into_iter();
    of.map(|f| f.rule).collect()
}

#[test]
fn a_right_message_breaks_no_rule() {
    for (name, text) in [
        ("payload", message(On::Soap, "", "")),
        ("acknowledgment", message(On::Ack, "", "")),
        ("error", message(On::Error, "", "")),
    ] {
        let judged = judge(text.as_bytes(), &options()).unwrap();
        let bad: Vec<_> = judged
            .checked
            .findings
            .iter()
            .filter(|f| f.severity != Severity::Info)
            .collect();
        assert!(bad.is_empty(), "{name}: {bad:#?}");
        let passed: Vec<&str> = judged.checked.passed.iter().map(|p| &*p.en).collect();
        assert!(passed.contains(&"The signature is valid"), "{name}");
        let want = if name == "payload" {
            Response::Acknowledgment
        } else {
            Response::Nothing
        };
        assert_eq!(judged.response, want, "{name}");
    }
}

#[test]
fn every_rule_is_reached_by_one_change() {
    let mut missed = Vec::new();
    for (number, on, from, to) in CASES {
        let text = match number {
            // The element keeps its name and loses its namespace, or is renamed at both ends.
            2 => message(*on, "", "").replace("SOAP:Header", "SOAP:Heading"),
            3 => message(*on, "", "").replace("SOAP:Body", "SOAP:Bodies"),
            27 => {
                let text = message(*on, "", "");
                let end = text.find("\r\n--b\r\nContent-ID: <doc>").unwrap();
                format!("{}\r\n--b--\r\n", &text[..end])
            }
            39 => {
                let text = message(On::Signed, "", "");
                text.replace("<Reference URI=", "<Ref URI=")
                    .replace("</Reference>", "</Ref>")
            }
            _ => message(*on, from, to),
        };
        let rule = RULES.iter().find(|r| r.number == *number).unwrap();
        let found = rules_of(&text);
        let texts = judge(text.as_bytes(), &options()).unwrap().checked.findings;
        let is_there = texts
            .iter()
            .any(|f| f.rule == rule.name() && f.text_en.starts_with(rule.en));
        if !is_there {
            missed.push(format!("{number}: {found:?}"));
        }
    }
    assert_eq!(missed, Vec::<String>::new());
    let unreached: Vec<u16> = RULES
        .iter()
        .map(|r| r.number)
        .filter(|n| !CASES.iter().any(|c| c.0 == *n))
        .collect();
    assert_eq!(unreached, Vec::<u16>::new());
}

#[test]
fn answers_follow_the_worst_break() {
    let response = |on, from: &str, to: &str| {
        judge(message(on, from, to).as_bytes(), &options())
            .unwrap()
            .response
    };
    assert_eq!(
        response(On::Mail, "SOAPAction: \"ebXML\"", "X: y"),
        Response::Fault
    );
    assert_eq!(
        response(On::Signed, "<eb:Role>a", "<eb:Role>changed"),
        Response::Errors(vec!["SecurityFailure"])
    );
    assert_eq!(
        response(On::Soap, "\"MSH-system\":\"x\"", "\"MSH-system\":\"\""),
        Response::Warnings
    );
    assert_eq!(
        response(On::Mail, "Date: ", "X-Date: "),
        Response::Acknowledgment
    );
}

#[test]
fn lines_are_those_of_the_mail_when_the_envelope_is_plain() {
    let text = message(On::Soap, "<eb:Action>EPIKRISE<", "<eb:Action><");
    let line = text
        .lines()
        .position(|l| l.contains("<eb:Action></eb:Action>"))
        .unwrap()
        + 1;
    let report = explain(text.as_bytes(), &options());
    let found = report
        .findings
        .iter()
        .find(|f| f.rule.ends_with(" 72"))
        .unwrap();
    assert_eq!(found.line as usize, line);
    assert!(found.element.ends_with("/MessageHeader/Action"));
    let words = report.to_text(Language::En);
    assert!(words.contains("HITS 1172 nr. 72"), "{words}");
    assert!(
        words.contains("ErrorList (Error) with ValueNotRecognized"),
        "{words}"
    );
}

/// An official sample has the service's name turned around (messaging.md §5.3).
#[test]
fn a_service_with_its_letter_behind_is_seen() {
    let found = rules_of(&message(On::Soap, "S-EPIKRISE<", "EPIKRISE-S<"));
    assert_eq!(
        found.iter().filter(|r| r.ends_with(" 269")).count(),
        1,
        "{found:?}"
    );
}

#[test]
fn an_envelope_alone_is_judged_without_its_mail() {
    let soap = signed(&payload(), Some(&cms()));
    let judged = judge(soap.as_bytes(), &options()).unwrap();
    assert!(!judged.is_mail);
    assert!(
        judged
            .checked
            .findings
            .iter()
            .all(|f| f.severity == Severity::Info)
    );
    assert!(judged.checked.not_run.len() >= 2);
    assert!(judge(LETTER.as_bytes(), &options()).is_none());
}

/// Official mails: nothing but what is known to be odd about them (messaging.md §5.3, §10).
#[test]
fn official_mails_are_judged_as_they_are() {
    let Some(dir) = crate::shared::data("messaging/samples/nav-smtp") else {
        return;
    };
    let rules = |name: &str| {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let judged = judge(&bytes, &Options::default()).unwrap();
        let of = judged.checked.findings.iter();
        let hard: Vec<String> = of
            .filter(|f| f.severity == Severity::Error)
            .map(|f| f.rule.replace("HITS 1172 nr. ", ""))
            .collect();
        let is_valid = judged
            .checked
            .passed
            .iter()
            .any(|p| p.en == "The signature is valid");
        (hard, is_valid)
    };
    for name in ["acknowledgment.eml", "inbox_acknowledgment.eml"] {
        let (hard, is_valid) = rules(name);
        assert!(is_valid, "{name}: {hard:?}");
    }
    for name in [
        "egenandelforesporsel.eml",
        "inbox_EgenAndelForespoersel.eml",
    ] {
        let (hard, is_valid) = rules(name);
        assert!(is_valid, "{name}: {hard:?}");
        // The odd spelling of SOAPAction is a remark: such mails are taken.
        assert!(hard.is_empty(), "{name}: {hard:?}");
    }
    assert!(rules("ebxml_no_service.eml").0.contains(&"47".to_owned()));
}

#[test]
fn what_is_taken_all_the_same_is_a_remark() {
    let response = |on: On, from: &str, to: &str| {
        let judged = judge(message(on, from, to).as_bytes(), &options()).unwrap();
        let found = judged.checked.findings;
        let odd: Vec<_> = found
            .into_iter()
            .filter(|f| f.severity != Severity::Info)
            .map(|f| (f.rule, f.severity))
            .collect();
        (judged.response, odd)
    };
    let (as_it_is, _) = response(On::Mail, "", "");
    for small in ["\"ebxml\"", "ebXML", "EBXML"] {
        let (said, odd) = response(On::Mail, "\"ebXML\"", small);
        assert_eq!(said, as_it_is, "{small}");
        let remark = ("HITS 1172 nr. 51".to_owned(), Severity::Warning);
        assert_eq!(odd.contains(&remark), small != "ebXML", "{small}: {odd:?}");
    }
    assert_eq!(response(On::Mail, "\"ebXML\"", "\"x\"").0, Response::Fault);
    // A signal is never answered, however it is written.
    let without = message(On::Ack, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "");
    let judged = judge(without.as_bytes(), &options()).unwrap();
    assert_eq!(judged.response, Response::Nothing);
}

#[test]
fn anything_is_judged() {
    use proptest::prelude::*;
    let base = message(On::Soap, "", "").into_bytes();
    proptest!(|(at in 0..base.len(), byte in any::<u8>(), cut in 0..base.len())| {
        let mut bytes = base.clone();
        bytes[at] = byte;
        let _ = judge(&bytes, &Options::default());
        bytes.truncate(cut);
        let _ = explain(&bytes, &Options::default());
    });
}
