//! Hostile and broken messages at the hub's message handler: nothing of them is handled, and who sent them is told where that can be.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use ebxml::Code;
use ebxml::envelope::Kind;
use ebxml::package::{Outgoing, encrypted_attachment};
use ebxml::{payload, signal};
use mail::port::Delivered;
use meldinger::rules::track::{Alert, State};
use std::io::Write as _;
use tower::ServiceExt as _;
use xmlsec::cms;

use super::http::post;
use super::{Draft, Exchange, exchange};
use crate::world::{EPJ_SERVICE, HUB, PKI, RESULTS};

impl Exchange {
    /// Posts a body and says how it was answered: the codes of the error list, or the status of a fault.
    async fn posted(&self, outgoing: &Outgoing, body: Vec<u8>) -> Result<Vec<Code>, u16> {
        let (status, answer, text) = post(self, &outgoing.content_type(), body).await;
        match answer.map(|answer| answer.envelope.kind) {
            Some(Kind::Error(list)) => Ok(list.errors.iter().map(|error| error.code).collect()),
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(text.contains("faultcode>SOAP:Client<"), "{text}");
                Err(status.as_u16())
            }
        }
    }

    fn handled_nothing(&self) {
        self.world.work();
        assert!(self.world.results.seen.lock().unwrap().is_empty());
    }
}

/// The element as text.
fn element<'a>(soap: &'a str, start: &str, end: &str) -> &'a str {
    let from = soap.find(start).unwrap();
    let to = from + soap[from..].find(end).unwrap() + end.len();
    &soap[from..to]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrapped_signatures_are_refused_in_every_variant() {
    const NEXT: &str = "SOAP:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"";
    let hub = exchange().await;
    let outgoing = Draft::note().outgoing();
    let whole = String::from_utf8(outgoing.http_body()).unwrap();
    let header = element(&whole, "<eb:MessageHeader", "</eb:MessageHeader>");
    let body = element(&whole, "<SOAP:Body>", "</SOAP:Body>");
    let signature = element(&whole, "<Signature ", "</Signature>");
    let forged = header.replace("DIALOG_NOTAT", "DIALOG_SVAR");
    let unseen = |element: &str, name: &str| {
        element.replacen(&format!("<{name}"), &format!("<{name} {NEXT}"), 1)
    };
    let with = |from: &str, to: &str| whole.replacen(from, to, 1);
    let variants = [
        (
            "a second header before the signed one",
            with(header, &format!("{forged}{header}")),
        ),
        (
            "a second header that the filter leaves out",
            with(
                header,
                &format!("{}{header}", unseen(&forged, "eb:MessageHeader")),
            ),
        ),
        (
            "the signed header in a wrapper",
            with(header, &format!("{forged}<x>{header}</x>")),
        ),
        (
            "the signed header inside the signature",
            with(header, &forged).replacen(
                "</Signature>",
                &format!("<Object>{header}</Object></Signature>"),
                1,
            ),
        ),
        (
            "a body that the filter leaves out",
            with(body, &format!("{}{body}", unseen(body, "SOAP:Body"))),
        ),
        (
            "the signature in a wrapper",
            with(signature, &format!("<x>{signature}</x>")),
        ),
        (
            "two signatures",
            with(signature, &format!("{signature}{signature}")),
        ),
        (
            "the signature in the body",
            with(signature, "").replacen("</SOAP:Body>", &format!("{signature}</SOAP:Body>"), 1),
        ),
        (
            "another action under the same signature",
            with(header, &forged),
        ),
    ];
    for (name, body) in variants {
        match hub.posted(&outgoing, body.into_bytes()).await {
            Ok(codes) => assert!(
                codes.iter().any(|code| {
                    matches!(
                        code,
                        Code::SecurityFailure | Code::Inconsistent | Code::NotSupported
                    )
                }),
                "{name}: {codes:?}"
            ),
            Err(status) => assert_eq!(status, 400, "{name}"),
        }
    }
    hub.handled_nothing();
    // The untouched message is taken after all that.
    let (status, answer, _) = post(&hub, &outgoing.content_type(), whole.into_bytes()).await;
    assert_eq!(status, 200);
    assert!(matches!(
        answer.unwrap().envelope.kind,
        Kind::Acknowledgment(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_are_refused_outside_and_inside() {
    let hub = exchange().await;
    let flood = "<!ENTITY a0 \"x\">".to_owned()
        + &(1..12)
            .map(|n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)))
            .collect::<String>();
    let types = [
        "<!DOCTYPE x [<!ENTITY a0 SYSTEM \"file:///etc/hostname\">]>".to_owned(),
        "<!DOCTYPE x SYSTEM \"http://127.0.0.1:1/x.dtd\">".to_owned(),
        "<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/p\"> %p;]>".to_owned(),
        format!("<!DOCTYPE x [{flood}]>"),
    ];
    for doctype in &types {
        // In the envelope.
        let outgoing = Draft::note().outgoing();
        let body = String::from_utf8(outgoing.http_body()).unwrap();
        let body = body.replacen("<SOAP:Envelope", &format!("{doctype}<SOAP:Envelope"), 1);
        assert_eq!(
            hub.posted(&outgoing, body.into_bytes()).await,
            Err(400),
            "{doctype}"
        );
        // In the document.
        let draft = Draft {
            content: format!("{doctype}<MsgHead>&a0;&a11;</MsgHead>").into_bytes(),
            ..Draft::note()
        };
        let outgoing = draft.outgoing();
        let codes = hub.posted(&outgoing, outgoing.http_body()).await.unwrap();
        assert_eq!(codes, [Code::OtherXml], "{doctype}");
        assert_eq!(
            hub.track(draft.id()).alert,
            Some(Alert::HostileXml),
            "{doctype}"
        );
    }
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let outgoing = Draft::note().outgoing();
    let body = String::from_utf8(outgoing.http_body()).unwrap();
    let body = body.replacen(
        "</SOAP:Header>",
        &format!("{}</SOAP:Header>", deep(4_000)),
        1,
    );
    assert_eq!(hub.posted(&outgoing, body.into_bytes()).await, Err(400));
    let draft = Draft {
        content: deep(4_000).into_bytes(),
        ..Draft::note()
    };
    let outgoing = draft.outgoing();
    let codes = hub.posted(&outgoing, outgoing.http_body()).await.unwrap();
    assert_eq!(codes, [Code::OtherXml]);
    hub.handled_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_that_are_no_envelope_for_us() {
    let hub = exchange().await;
    let draft = Draft::note();
    let good = payload::seal(&draft.content, PKI.hub.encryption.certificate(), draft.form).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let signed = cms::sign(&draft.content, &PKI.epj.signing, None).unwrap();
    let others =
        payload::seal(&draft.content, PKI.epj.encryption.certificate(), draft.form).unwrap();
    let table = [
        ("nothing", Vec::new()),
        ("no CMS", b"hei".to_vec()),
        ("cut off", good[..good.len() / 2].to_vec()),
        ("a bit turned", flipped),
        ("signed and not encrypted", signed),
        ("for somebody else", others),
        ("bytes behind it", [good.as_slice(), b"x"].concat()),
        ("nested a thousand deep", vec![0x30; 4_000]),
    ];
    for (name, sealed) in table {
        let draft = Draft::note();
        let attachment = encrypted_attachment("payload-1", sealed);
        let outgoing = Outgoing::sign(&draft.envelope, vec![attachment], draft.signer).unwrap();
        let codes = hub.posted(&outgoing, outgoing.http_body()).await.unwrap();
        // A turned bit may also leave bytes that are no document.
        let expected = [Code::SecurityFailure, Code::OtherXml];
        assert!(
            codes.iter().all(|code| expected.contains(code)),
            "{name}: {codes:?}"
        );
        let track = hub.track(draft.id());
        assert!(matches!(track.state, State::Failed { .. }), "{name}");
    }
    hub.handled_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_do_not_go_off() {
    let hub = exchange().await;
    let outgoing = Draft::note().outgoing();
    let whole = String::from_utf8(outgoing.http_body()).unwrap();
    let boundary = whole.lines().next().unwrap().to_owned();
    let last = format!("{boundary}--");
    let before = whole
        .strip_suffix("\r\n")
        .unwrap()
        .strip_suffix(&last)
        .unwrap();
    let part = |n: usize| {
        format!("{boundary}\r\nContent-Type: text/plain\r\nContent-ID: <p{n}>\r\n\r\nx\r\n")
    };
    let many: String = (0..5_000).map(part).collect();
    let mut nested = String::new();
    for n in 0..200 {
        nested += &format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    }
    let fields = "X: y\r\n".repeat(50_000);
    let bodies = [
        ("thousands of parts", format!("{before}{many}{last}\r\n")),
        (
            "parts in parts",
            format!("{before}{boundary}\r\n{nested}\r\n{last}\r\n"),
        ),
        (
            "thousands of fields",
            format!("{boundary}\r\n{fields}\r\nx\r\n{last}\r\n"),
        ),
        ("no end", before.to_owned()),
    ];
    for (name, body) in bodies {
        match hub.posted(&outgoing, body.into_bytes()).await {
            Ok(codes) => assert!(!codes.is_empty(), "{name}"),
            Err(status) => assert_eq!(status, 400, "{name}"),
        }
    }
    // Forty megabytes in forty kilobytes.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..40 {
        packed.write_all(&zeros).unwrap();
    }
    let draft = Draft {
        content: packed.finish().unwrap(),
        form: payload::Form::Bare,
        ..Draft::note()
    };
    let outgoing = draft.outgoing();
    let codes = hub.posted(&outgoing, outgoing.http_body()).await.unwrap();
    assert_eq!(codes, [Code::SecurityFailure]);
    hub.handled_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_wrong_lose_nothing() {
    let hub = exchange().await;
    let hour_s = 3_600;
    for skew_s in [-48 * hour_s, -hour_s, hour_s, 48 * hour_s] {
        let mut draft = Draft::note();
        draft.envelope.header.timestamp = signal::stamp((PKI.now_s + skew_s) * 1_000_000);
        assert_eq!(hub.deliver(HUB, &draft.mail()).await, Delivered::Kept);
        let answer = hub.only("vaar-epj").await;
        let kind = &answer.envelope.kind;
        assert!(
            matches!(kind, Kind::Acknowledgment(_)),
            "{skew_s}: {kind:?}"
        );
        assert!(hub.track(draft.id()).received_at_us > 0);
    }
    hub.world.work();
    assert_eq!(hub.world.results.seen.lock().unwrap().len(), 4);
    // A time to live by a clock that is behind is over before it begins, and that is said.
    let mut late = Draft::note();
    late.envelope.header.time_to_live = Some(signal::stamp((PKI.now_s - hour_s) * 1_000_000));
    hub.deliver(HUB, &late.mail()).await;
    let mails = hub.fetch("vaar-epj").await;
    let told = mails
        .iter()
        .any(|mail| match &super::read(mail).envelope.kind {
            Kind::Error(list) => list.errors[0].code == Code::TimeToLiveExpired,
            _ => false,
        });
    assert!(told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_message_over_http_is_none() {
    let hub = exchange().await;
    let draft = Draft::note();
    let outgoing = draft.outgoing();
    let whole = outgoing.http_body();
    for cut in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let begun = Bytes::copy_from_slice(&whole[..cut]);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let pieces = futures_util::stream::iter([Ok(begun), Err(broken)]);
        let request = Request::post("/ebxml")
            .header("content-type", outgoing.content_type())
            .body(Body::from_stream(pieces))
            .unwrap();
        let response = hub.handler.router().oneshot(request).await.unwrap();
        assert!(
            response.status().is_client_error(),
            "{cut}: {}",
            response.status()
        );
    }
    let id = draft.id();
    assert!(
        hub.world
            .view(|exchange| exchange.by_transport_id(id).unwrap().is_empty())
    );
    hub.handled_nothing();
    // The sender tries again: it is the first time for the hub.
    let (_, answer, _) = post(&hub, &outgoing.content_type(), whole).await;
    assert!(matches!(
        answer.unwrap().envelope.kind,
        Kind::Acknowledgment(_)
    ));
    let track = hub.track(id);
    assert_eq!((track.from, track.to), (EPJ_SERVICE, RESULTS));
}
