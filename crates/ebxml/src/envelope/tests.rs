use proptest::prelude::*;
use xmlsec::xml::Document;

use super::*;
use crate::finding::{Finding, Level};
use crate::names::SIGNAL_SERVICE;

pub(crate) fn letter() -> Envelope {
    Envelope {
        header: MessageHeader {
            from: Party::her(8_900_901, "EPIKRISEsender"),
            to: Party::her(8_900_009, "EPIKRISEreceiver"),
            cpa_id: "8900009_8900901".to_owned(),
            conversation_id: "b6bbd462-a3a8-4483-8440-222e6e6977ce".to_owned(),
            service_type: "string".to_owned(),
            service: "S-EPIKRISE".to_owned(),
            action: "EPIKRISE".to_owned(),
            message_id: "d237e310-796f-4e56-a50b-353b0e5d5947".to_owned(),
            timestamp: "2026-11-23T08:00:00Z".to_owned(),
            duplicate_elimination: true,
            description: Some("{\"MSH-system\":\"Ø & co\",\"MSH-versjon\":\"1\"}".to_owned()),
            ..MessageHeader::default()
        },
        kind: Kind::Payload {
            ack_requested: Some(AckRequested {
                signed: true,
                actor: Some(names::TO_PARTY_MSH.to_owned()),
            }),
            sync_reply: false,
            manifest: vec![ManifestReference {
                href: "cid:payload-1".to_owned(),
                schema: Some((
                    "http://www.kith.no/xmlstds/epikrise/2012-02-15".to_owned(),
                    "1.2".to_owned(),
                )),
            }],
        },
    }
}

fn read_text(text: &str) -> (Envelope, Vec<Finding>) {
    read(&Document::parse(text).unwrap()).unwrap()
}

fn rules(text: &str) -> Vec<(u16, Level)> {
    let mut found: Vec<_> = read_text(text)
        .1
        .iter()
        .map(|finding| (finding.rule, finding.level))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn what_is_written_is_read_without_remark() {
    let mut signal = letter().header;
    signal.service = SIGNAL_SERVICE.to_owned();
    signal.service_type.clear();
    let acknowledgment = Envelope {
        header: MessageHeader {
            action: names::ACKNOWLEDGMENT.to_owned(),
            ..signal.clone()
        },
        kind: Kind::Acknowledgment(Acknowledgment {
            timestamp: "2026-11-23T08:00:01Z".to_owned(),
            ref_to_message_id: "x@y".to_owned(),
            from: Party::her(1, "").ids,
            references: vec![AckReference {
                uri: String::new(),
                digest: "YQ==".to_owned(),
                xml: "<Reference xmlns=\"http://www.w3.org/2000/09/xmldsig#\" URI=\"\"><DigestValue>YQ==</DigestValue></Reference>".to_owned(),
            }],
        }),
    };
    let errors = Envelope {
        header: MessageHeader {
            action: names::MESSAGE_ERROR.to_owned(),
            ref_to_message_id: Some("x@y".to_owned()),
            ..signal
        },
        kind: Kind::Error(ErrorList {
            highest: Severity::Error,
            errors: vec![ErrorEntry {
                code: Code::SecurityFailure,
                severity: Severity::Error,
                location: Some("/a/b".to_owned()),
                description: Some("it is <not> signed".to_owned()),
            }],
        }),
    };
    let asked = MessageHeader {
        action: names::PING.to_owned(),
        ..errors.header.clone()
    };
    let about = |action: &str| MessageHeader {
        action: action.to_owned(),
        ..asked.clone()
    };
    let request = Envelope {
        header: about(names::STATUS_REQUEST),
        kind: Kind::Service(Service::StatusRequest {
            about: "x@y".to_owned(),
        }),
    };
    let responses = MessageStatus::ALL.map(|status| {
        let response = StatusResponse {
            about: "x@y".to_owned(),
            status: Some(status),
            received: Some("2026-11-23T08:00:01Z".to_owned()),
        };
        crate::signal::status_response(&request.header, response, "z@y", 0)
    });
    let services = [
        Envelope {
            header: asked.clone(),
            kind: Kind::Service(Service::Ping),
        },
        crate::signal::pong(&asked, "z@y", 0),
        request,
    ];
    let services = services.into_iter().chain(responses);
    for envelope in [letter(), acknowledgment, errors]
        .into_iter()
        .chain(services)
    {
        let (mut back, findings) = read_text(&write(&envelope));
        assert_eq!(findings, []);
        if let Kind::Acknowledgment(read) = &mut back.kind {
            // It now carries the namespaces around it.
            read.references.iter_mut().for_each(|one| {
                assert!(one.xml.contains("xmlns:eb"));
                one.xml = "<Reference xmlns=\"http://www.w3.org/2000/09/xmldsig#\" URI=\"\"><DigestValue>YQ==</DigestValue></Reference>".to_owned();
            });
        }
        assert_eq!(back, envelope);
    }
}

#[test]
fn each_fault_has_its_rule() {
    use Level::{Error, Fault, Info, Warning};
    let text = write(&letter());
    type Found = &'static [(u16, Level)];
    let table: [(&str, &str, Found); 22] = [
        (" eb:version=\"2.0\"><eb:From>", "><eb:From>", &[(8, Error)]),
        (
            "SOAP:mustUnderstand=\"1\" eb:version=\"2.0\"><eb:From>",
            "SOAP:mustUnderstand=\"true\" eb:version=\"1.0\"><eb:From>",
            &[(69, Info), (70, Error)],
        ),
        ("<eb:CPAId>8900009_8900901</eb:CPAId>", "", &[(11, Error)]),
        ("8900009_8900901", "somebody", &[(12, Warning)]),
        (
            "<eb:Service eb:type=\"string\">S-EPIKRISE</eb:Service>",
            "<eb:Service/>",
            &[(47, Error)],
        ),
        ("S-EPIKRISE", "EPIKRISE-S", &[(0, Info)]),
        ("<eb:Action>EPIKRISE</eb:Action>", "", &[(48, Error)]),
        (
            "<eb:MessageId>d237e310-796f-4e56-a50b-353b0e5d5947</eb:MessageId>",
            "",
            &[(76, Fault)],
        ),
        (
            "d237e310-796f-4e56-a50b-353b0e5d5947",
            "no id",
            &[(102, Error)],
        ),
        (
            "<eb:Timestamp>2026-11-23T08:00:00Z",
            "<eb:Timestamp>yesterday",
            &[(77, Error)],
        ),
        ("<eb:DuplicateElimination/>", "", &[(74, Warning)]),
        ("eb:signed=\"true\"", "eb:signed=\"1\"", &[(94, Info)]),
        (
            "eb:signed=\"true\"",
            "eb:signed=\"false\"",
            &[(94, Warning)],
        ),
        (
            "eb:type=\"HER\">8900901",
            "eb:type=\"ENH\">8900901",
            &[(25, Fault)],
        ),
        (
            "eb:type=\"HER\">8900009",
            "eb:type=\"HER\">x",
            &[(55, Fault)],
        ),
        (
            "<eb:PartyId eb:type=\"HER\">8900009</eb:PartyId>",
            "",
            &[(59, Fault)],
        ),
        (
            "<eb:PartyId eb:type=\"HER\">8900901</eb:PartyId>",
            "<eb:PartyId eb:type=\"HER\">8900901</eb:PartyId><eb:PartyId eb:type=\"ENH\">1</eb:PartyId>",
            &[(60, Info)],
        ),
        (
            "<eb:PartyId eb:type=\"HER\">8900901</eb:PartyId>",
            "<eb:PartyId eb:type=\"HER\">8900901</eb:PartyId><eb:PartyId eb:type=\"HER\">1</eb:PartyId>",
            &[(25, Fault)],
        ),
        ("cid:payload-1", "http://x", &[(27, Error)]),
        ("<SOAP:Body>", "<SOAP:Body><x/>", &[(101, Error)]),
        (
            "</SOAP:Header>",
            "<x xmlns=\"urn:x\" SOAP:mustUnderstand=\"1\"/></SOAP:Header>",
            &[(100, Error)],
        ),
        (
            "</SOAP:Header>",
            "<eb:Acknowledgment eb:version=\"2.0\"/></SOAP:Header>",
            &[
                (106, Error),
                (107, Error),
                (108, Error),
                (115, Error),
                (116, Warning),
            ],
        ),
    ];
    for (from, to, expected) in table {
        assert!(text.contains(from), "{from}");
        assert_eq!(
            rules(&text.replacen(from, to, 1)),
            expected,
            "{from} -> {to}"
        );
    }
    let (before, rest) = text.split_once("<eb:AckRequested").unwrap();
    let (_, after) = rest.split_once("/>").unwrap();
    let without = format!("{before}{after}");
    assert_eq!(rules(&without), [(75, Warning)]);
}

#[test]
fn other_documents_are_no_ebxml() {
    let fault = crate::signal::fault(crate::signal::FaultCode::Client, "not <well> formed");
    let table = [
        ("<a/>".to_owned(), NotEbxml::NotSoap),
        (
            fault,
            NotEbxml::Fault(Fault {
                code: "Client".to_owned(),
                text: "not <well> formed".to_owned(),
            }),
        ),
        (
            write(&letter()).replace("eb:MessageHeader", "eb:Other"),
            NotEbxml::NoMessageHeader,
        ),
        (
            write(&letter()).replace("<eb:MessageHeader", "<eb:MessageHeader/><eb:MessageHeader"),
            NotEbxml::NoMessageHeader,
        ),
        (
            write(&letter()).replace("<SOAP:Body>", "<SOAP:Body/><SOAP:Body>"),
            NotEbxml::NotSoap,
        ),
    ];
    for (text, expected) in table {
        assert_eq!(read(&Document::parse(&text).unwrap()), Err(expected));
    }
}

#[test]
fn moments_without_zone_are_utc() {
    let table = [
        ("1970-01-01T00:00:01Z", Some(1_000_000)),
        ("1970-01-01T01:00:01+01:00", Some(1_000_000)),
        ("1970-01-01T00:00:01", Some(1_000_000)),
        ("1970-01-01T00:00:01.5", Some(1_500_000)),
        ("1970-01-01", None),
        ("", None),
        ("now", None),
    ];
    for (text, expected) in table {
        assert_eq!(moment_us(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn damaged_envelopes_do_not_panic(at in 0..2_000_usize, length in 0..40_usize, with in "[<>/a-z:=\" ]{0,12}") {
        let mut text = write(&letter());
        let at = at.min(text.len());
        let (mut from, mut to) = (at, (at + length).min(text.len()));
        while !text.is_char_boundary(from) { from -= 1; }
        while !text.is_char_boundary(to) { to += 1; }
        text.replace_range(from..to, &with);
        if let Ok(document) = Document::parse(&text) {
            let _ = read(&document);
        }
    }

    #[test]
    fn any_text_survives_the_way(service in "[^\\p{C}]{1,30}", description in "[^\\p{C}]{0,80}") {
        let mut envelope = letter();
        envelope.header.service = service.trim().to_owned();
        envelope.header.description = Some(description.trim().to_owned()).filter(|text| !text.is_empty());
        prop_assume!(!envelope.header.service.is_empty());
        let (back, _) = read_text(&write(&envelope));
        prop_assert_eq!(back.header, envelope.header);
    }
}
