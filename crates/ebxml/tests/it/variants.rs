//! One letter in the spellings of other message handlers: it must be the same letter, its signature must hold, and what is odd
//! is remarked on without being refused.

use base64::Engine as _;
use ebxml::finding::Level;
use ebxml::mime::Limits;
use ebxml::package::{Received, Unreadable};
use xmlsec::dsig::Signer;

use crate::{fields, letter, outgoing};

/// The parts of our own letter, to be put together anew.
struct Pieces {
    fields: Vec<(String, String)>,
    soap: Vec<u8>,
    payload: Vec<u8>,
}

fn pieces() -> Pieces {
    let sent = outgoing();
    let mail = sent.mail(&fields());
    let (headers, _) = ebxml::mime::Headers::read(&mail, &Limits::default()).unwrap();
    let fields = [
        "From",
        "To",
        "Date",
        "Message-ID",
        "MIME-Version",
        "SOAPAction",
    ]
    .map(|name| (name.to_owned(), headers.get(name).unwrap().to_owned()))
    .to_vec();
    let received = crate::read(&mail);
    Pieces {
        fields,
        soap: sent.soap().as_bytes().to_vec(),
        payload: received.attachments[0].content.clone(),
    }
}

fn base64(content: &[u8], width: usize, end: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(content);
    text.as_bytes()
        .chunks(width)
        .map(|line| format!("{}{end}", std::str::from_utf8(line).unwrap()))
        .collect()
}

/// How a message handler writes a mail.
struct Style {
    content_type: &'static str,
    boundary: &'static str,
    soap_fields: &'static str,
    soap_encoding: &'static str,
    payload_fields: &'static str,
    width: usize,
    end: &'static str,
    preamble: &'static str,
    payload_first: bool,
}

const PLAIN: Style = Style {
    content_type: "multipart/related; type=\"text/xml\"; boundary=\"=_b\"; start=\"<soap-part>\"",
    boundary: "=_b",
    soap_fields: "Content-Type: text/xml; charset=\"UTF-8\"\nContent-ID: <soap-part>\n",
    soap_encoding: "8bit",
    payload_fields: "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-ID: <payload-1>\nContent-Transfer-Encoding: base64\n",
    width: 76,
    end: "\r\n",
    preamble: "",
    payload_first: false,
};

impl Style {
    fn write(&self, pieces: &Pieces) -> Vec<u8> {
        let mut mail = String::new();
        for (name, value) in &pieces.fields {
            mail.push_str(&format!("{name}: {value}\n"));
        }
        mail.push_str(&format!(
            "Content-Type: {}\n\n{}",
            self.content_type, self.preamble
        ));
        let encoding = match self.soap_encoding {
            "" => String::new(),
            name => format!("Content-Transfer-Encoding: {name}\n"),
        };
        let soap = format!("{}{encoding}", self.soap_fields);
        let mut parts = vec![
            (soap, self.soap_body(pieces)),
            (
                self.payload_fields.to_owned(),
                base64(&pieces.payload, self.width, self.end).into_bytes(),
            ),
        ];
        if self.payload_first {
            parts.reverse();
        }
        let mut out = mail.replace('\n', self.end).into_bytes();
        for (fields, body) in parts {
            let head = format!("--{}\n{fields}\n", self.boundary).replace('\n', self.end);
            out.extend(head.into_bytes());
            out.extend(body);
            out.extend(self.end.as_bytes());
        }
        out.extend(format!("--{}--{}", self.boundary, self.end).into_bytes());
        out
    }

    fn soap_body(&self, pieces: &Pieces) -> Vec<u8> {
        let encoding = self.soap_encoding.to_ascii_lowercase();
        if encoding.starts_with("base64") {
            return base64(&pieces.soap, self.width, self.end).into_bytes();
        }
        if encoding != "quoted-printable" {
            return pieces.soap.clone();
        }
        let mut out = String::new();
        for (at, byte) in pieces.soap.iter().enumerate() {
            if at % 40 == 39 {
                out.push_str(&format!("={}", self.end));
            }
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'<' | b'>' | b'/' | b':' => {
                    out.push(char::from(*byte))
                }
                other => out.push_str(&format!("={other:02X}")),
            }
        }
        out.into_bytes()
    }
}

/// Reads it, and holds that it is the letter as it was sent.
fn same_letter(name: &str, mail: &[u8]) -> Received {
    let received = Received::from_mail(mail, &Limits::default())
        .unwrap_or_else(|error| panic!("{name}: {}", error.1));
    assert_eq!(received.envelope, letter(), "{name}");
    let checked = received.check_signature(Signer::Carried);
    assert!(checked.is_ok(), "{name}: {:?}", checked.err());
    let heavy: Vec<_> = received
        .findings
        .iter()
        .filter(|one| one.level > Level::Warning)
        .collect();
    assert!(heavy.is_empty(), "{name}: {heavy:?}");
    received
}

#[test]
fn mime_in_other_spellings_is_the_same_letter() {
    let pieces = pieces();
    let received = same_letter("as ours", &PLAIN.write(&pieces));
    assert_eq!(received.findings, [], "the plain style is beyond reproach");
    let styles = [
        (
            "no start",
            Style {
                content_type: "multipart/related; type=\"text/xml\"; boundary=\"=_b\"",
                ..PLAIN
            },
        ),
        (
            "start without brackets (NAV)",
            Style {
                content_type: "multipart/related; type=\"text/xml\"; boundary=\"=_b\"; start=\"soap-part\"",
                ..PLAIN
            },
        ),
        (
            "start names nothing",
            Style {
                content_type: "multipart/related; start=\"<other>\"; type=\"text/xml\"; boundary=\"=_b\"",
                ..PLAIN
            },
        ),
        (
            "start names the second part",
            Style {
                payload_first: true,
                ..PLAIN
            },
        ),
        (
            "token parameters",
            Style {
                content_type: "multipart/related;boundary=----=_Part_0_13.14;type=text/xml",
                boundary: "----=_Part_0_13.14",
                ..PLAIN
            },
        ),
        (
            "folded, odd case",
            Style {
                content_type: "Multipart/Related;\n\tTYPE=\"text/xml\";\n  Boundary=\"=_b\" ;\n start=\"<soap-part>\";",
                ..PLAIN
            },
        ),
        (
            "comments",
            Style {
                content_type: "multipart/related (MSH 1.0 (beta)); type=\"text/xml\" (root); boundary=\"=_b\"",
                soap_encoding: "base64 (RFC 2045)",
                ..PLAIN
            },
        ),
        (
            "a boundary in pieces",
            Style {
                content_type: "multipart/related; type=\"text/xml\"; boundary*0=\"=_\"; boundary*1=\"b\"",
                ..PLAIN
            },
        ),
        (
            "a boundary in quotes",
            Style {
                content_type: "multipart/related; type=\"text/xml\"; boundary=\"a b:(c)?'x\"",
                boundary: "a b:(c)?'x",
                ..PLAIN
            },
        ),
        (
            "no type",
            Style {
                content_type: "multipart/related; boundary=\"=_b\"",
                ..PLAIN
            },
        ),
        (
            "SOAP in base64",
            Style {
                soap_encoding: "base64",
                ..PLAIN
            },
        ),
        (
            "SOAP in quoted-printable",
            Style {
                soap_encoding: "Quoted-Printable",
                ..PLAIN
            },
        ),
        (
            "SOAP as binary",
            Style {
                soap_encoding: "binary",
                ..PLAIN
            },
        ),
        (
            "SOAP without an encoding",
            Style {
                soap_encoding: "",
                ..PLAIN
            },
        ),
        (
            "SOAP without a charset",
            Style {
                soap_fields: "Content-Type: text/xml\nContent-ID: <soap-part>\n",
                ..PLAIN
            },
        ),
        (
            "SOAP with a wrong charset",
            Style {
                soap_fields: "Content-Type: text/xml; charset=iso-8859-1\nContent-ID: <soap-part>\n",
                ..PLAIN
            },
        ),
        (
            "SOAP as application/xml",
            Style {
                soap_fields: "content-type: application/xml; charset=utf-8\ncontent-id: <soap-part>\n",
                ..PLAIN
            },
        ),
        (
            "SOAP without fields",
            Style {
                soap_fields: "",
                soap_encoding: "",
                ..PLAIN
            },
        ),
        ("line feeds only", Style { end: "\n", ..PLAIN }),
        (
            "one long line",
            Style {
                width: 1 << 20,
                ..PLAIN
            },
        ),
        ("short lines", Style { width: 4, ..PLAIN }),
        (
            "a preamble",
            Style {
                preamble: "TEST. TEST. This is a multi-part message in MIME format.\n\n",
                ..PLAIN
            },
        ),
        (
            "content id without brackets",
            Style {
                payload_fields: "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=\"smime.p7m\"\nContent-Id: payload-1\nContent-Disposition: attachment; filename=\"smime.p7m\"\nContent-Transfer-Encoding: BASE64\n",
                ..PLAIN
            },
        ),
        (
            "payload as octets",
            Style {
                payload_fields: "Content-Type: application/octet-stream\nContent-ID: <payload-1>\nContent-Transfer-Encoding: base64\n",
                ..PLAIN
            },
        ),
    ];
    for (name, style) in styles {
        same_letter(name, &style.write(&pieces));
    }
}

#[test]
fn header_fields_in_other_spellings_are_remarks_at_most() {
    type Change = fn(&mut Vec<(String, String)>);
    let set = |fields: &mut Vec<(String, String)>, name: &str, value: &str| {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name.to_owned(), value.to_owned()));
        }
    };
    // Name of a field, its value (none: left out), number of remarks.
    let table: [(&str, &str, usize); 12] = [
        ("SOAPAction", "\"ebxml\"", 1),
        ("SOAPAction", "ebXML", 1),
        ("SOAPAction", "", 1),
        ("MIME-Version", "1.0 (produced by an MSH)", 0),
        ("MIME-Version", "", 1),
        ("Message-ID", "abc@edi.example", 1),
        ("Message-ID", "", 1),
        ("Date", "Mon, 23 Nov 2026 09:00:00 CEST", 0),
        ("Date", "", 1),
        ("From", "\"Legekontor, Åsen\" <Sender@EDI.example>", 0),
        ("X-Mailer", "NAV EBMS", 0),
        (
            "Received",
            "from a (b [10.0.0.1])\n\tby c with ESMTP id d; Mon, 23 Nov 2026 09:00:00 +0100",
            0,
        ),
    ];
    for (name, value, remarks) in table {
        let mut pieces = pieces();
        set(&mut pieces.fields, name, value);
        let received = same_letter(name, &PLAIN.write(&pieces));
        assert_eq!(received.findings.len(), remarks, "{name}: {value}");
    }
    let changes: [(&str, Change); 2] = [
        ("many trace fields", |fields| {
            fields.extend((0..150).map(|n| (format!("X-Trace-{n}"), "x".repeat(300))));
        }),
        ("upper case", |fields| {
            fields
                .iter_mut()
                .for_each(|(name, _)| name.make_ascii_uppercase());
        }),
    ];
    for (name, change) in changes {
        let mut pieces = pieces();
        change(&mut pieces.fields);
        same_letter(name, &PLAIN.write(&pieces));
    }
}

/// What no tolerance may make of it: something else than what was meant, or nothing at all without a word.
#[test]
fn what_cannot_be_read_is_said_to_be_so() {
    let pieces = pieces();
    let whole = PLAIN.write(&pieces);
    let nested = [
        &b"From: a@b\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"[..],
        &whole,
        b"\r\n--o--\r\n",
    ]
    .concat();
    let inner = Style {
        payload_fields: "Content-Type: multipart/mixed; boundary=i\nContent-ID: <payload-1>\n",
        ..PLAIN
    };
    let latin = |text: &[u8]| {
        let mut pieces = self::pieces();
        let at = text.len();
        pieces.soap = [text, &pieces.soap[pieces.soap.len() - at..]].concat();
        PLAIN.write(&pieces)
    };
    let table = [
        ("a related in a mixed", nested),
        ("a multipart as a part", inner.write(&pieces)),
        ("cut off", whole[..whole.len() - 20].to_vec()),
        (
            "no boundary",
            Style {
                content_type: "multipart/related; type=\"text/xml\"",
                ..PLAIN
            }
            .write(&pieces),
        ),
        (
            "two boundaries",
            Style {
                content_type: "multipart/related; boundary=\"=_b\"; boundary=\"c\"",
                ..PLAIN
            }
            .write(&pieces),
        ),
        (
            "an unknown encoding",
            Style {
                soap_encoding: "x-uuencode",
                ..PLAIN
            }
            .write(&pieces),
        ),
        (
            "Latin-1",
            latin(b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe5</a>"),
        ),
        (
            "text",
            b"From: a@b\r\nContent-Type: text/plain\r\n\r\nHei\r\n".to_vec(),
        ),
    ];
    for (name, mail) in table {
        let error = Received::from_mail(&mail, &Limits::default())
            .map(|_| ())
            .unwrap_err();
        let (facts, error) = *error;
        assert!(facts.reply_to.is_some(), "{name}: nobody to answer");
        assert!(
            matches!(error, Unreadable::Mime(_) | Unreadable::NotEbxml(_)) && !error.is_fault(),
            "{name}"
        );
    }
}

/// Prefixes, quotes and blanks belong to no meaning; the signature is taken over what was written.
#[test]
fn envelopes_with_other_prefixes_are_read_alike() {
    let ours = String::from_utf8(pieces().soap).unwrap();
    let signature = ours.find("<Signature").unwrap();
    let end = ours.find("</Signature>").unwrap() + "</Signature>".len();
    let unsigned = format!("{}{}", &ours[..signature], &ours[end..]);
    let prefixed = |from: &str, to: &str, text: &str| {
        text.replace(&format!("<{from}:"), &format!("<{to}:"))
            .replace(&format!("</{from}:"), &format!("</{to}:"))
            .replace(&format!(" {from}:"), &format!(" {to}:"))
            .replace(&format!("xmlns:{from}="), &format!("xmlns:{to}="))
    };
    let other = prefixed("SOAP", "soapenv", &prefixed("eb", "ns2", &unsigned));
    assert!(other.contains("<ns2:MessageHeader") && other.contains("<soapenv:Envelope"));
    for text in [
        other.clone(),
        other.replace("><", ">\r\n  <"),
        format!("\u{feff}{other}"),
    ] {
        let mut changed = pieces();
        changed.soap = text.into_bytes();
        let received = Received::from_mail(&PLAIN.write(&changed), &Limits::default()).unwrap();
        assert_eq!(received.envelope, letter());
        assert_eq!(received.findings, []);
    }
}
