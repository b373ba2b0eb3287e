//! Our own messages, there and back.

use ebxml::envelope::Kind;
use ebxml::finding::Level;
use ebxml::mime::{Headers, Limits};
use ebxml::package::{Outgoing, Received, Unreadable, Via};
use ebxml::{msh, names, payload, signal};
use proptest::prelude::*;
use xmlsec::dsig::Signer;

use crate::{DOCUMENT, NOW_US, WORLD, fields, letter, outgoing, read, sealed};

fn known() -> [xmlsec::x509::Certificate; 1] {
    [WORLD.sender.certificate().clone()]
}

#[test]
fn a_letter_there_and_its_acknowledgment_back() {
    let sent = outgoing();
    let received = read(&sent.mail(&fields()));
    assert_eq!(received.envelope, letter());
    assert_eq!(received.findings, []);
    let checked = received.check_signature(Signer::OneOf(&known())).unwrap();
    assert_eq!(checked.remarks, []);
    assert_eq!(checked.references.len(), 2);
    let attachment = received.attachment("cid:payload-1").unwrap();
    let keys = [WORLD.receiver.clone()];
    let opened = payload::open(&attachment.content, &keys).unwrap();
    assert_eq!(opened.content, DOCUMENT.as_bytes());
    assert_eq!(opened.form, payload::Form::Mime);
    assert_eq!(
        msh::answer(&received.envelope.kind, &received.findings),
        msh::Answer::Acknowledgment
    );

    let back = signal::acknowledgment(
        &received.envelope.header,
        checked.references.clone(),
        "2b0f9ac5-2f50-4cd1-8d1c-3d0f43dd5ea8",
        NOW_US,
    );
    let back = Outgoing::sign(&back, Vec::new(), &WORLD.stranger).unwrap();
    let back = read(&back.mail(&fields()));
    assert_eq!(back.findings, []);
    assert!(back.check_signature(Signer::Carried).is_ok());
    assert_eq!(
        msh::about(&back.envelope),
        Some(letter().header.message_id.as_str())
    );
    assert_eq!(
        msh::outcome(&back.envelope, &checked.references),
        Some(msh::Outcome::Accepted)
    );
    assert_eq!(back.envelope.header.to, letter().header.from);
}

#[test]
fn sending_again_changes_nothing_but_the_mail() {
    let sent = outgoing();
    let mut again = fields();
    again.message_id = "mail-2@edi.example";
    let (first, second) = (read(&sent.mail(&fields())), read(&sent.mail(&again)));
    assert_ne!(first.mail.message_id, second.mail.message_id);
    assert_eq!(first.document.source(), second.document.source());
    assert_eq!(first.attachments, second.attachments);
    let mail = sent.mail(&fields());
    assert_eq!(
        ebxml::package::sent_again(&mail, "mail-2@edi.example", NOW_US),
        sent.mail(&again)
    );
}

#[test]
fn over_http_it_is_the_same_message() {
    let sent = outgoing();
    let content_type = sent.content_type();
    let headers = Headers::from_fields([
        ("content-type", content_type.as_str()),
        ("soapaction", "\"ebXML\""),
    ]);
    let body = sent.http_body();
    let received = Received::from_parts(&headers, &body, Via::Http, &Limits::default()).unwrap();
    assert_eq!(received.findings, []);
    assert!(received.check_signature(Signer::Carried).is_ok());
}

#[test]
fn mails_stay_within_the_limits_of_mail() {
    let mail = outgoing().mail(&fields());
    let text = String::from_utf8(mail).unwrap();
    assert!(text.is_ascii());
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    for line in text.split("\r\n") {
        assert!(line.len() <= 200, "{}", line.len());
    }
}

#[test]
fn payloads_are_opened_in_all_their_forms() {
    let keys = [WORLD.stranger.clone(), WORLD.receiver.clone()];
    let bare = payload::open(&sealed(payload::Form::Bare), &keys).unwrap();
    assert_eq!(
        (bare.form, bare.gzip, bare.key_index),
        (payload::Form::Bare, false, 1)
    );
    let mut packed = flate2_gzip(DOCUMENT.as_bytes());
    let recipient = WORLD.receiver.certificate();
    let sealed = payload::seal(&packed, recipient, payload::Form::Bare).unwrap();
    let opened = payload::open(&sealed, &keys).unwrap();
    assert_eq!(
        (opened.content.as_slice(), opened.gzip),
        (DOCUMENT.as_bytes(), true)
    );
    // Cut off.
    packed.truncate(packed.len() / 2);
    let sealed = payload::seal(&packed, recipient, payload::Form::Bare).unwrap();
    assert_eq!(
        payload::open(&sealed, &keys).unwrap_err(),
        payload::PayloadError::Gzip
    );
    // A bomb: 40 MiB of nothing in 40 KiB.
    let bomb = flate2_gzip(&vec![b' '; 40 << 20]);
    let sealed = payload::seal(&bomb, recipient, payload::Form::Mime).unwrap();
    assert_eq!(
        payload::open(&sealed, &keys).unwrap_err(),
        payload::PayloadError::Gzip
    );
    let other = [WORLD.stranger.clone()];
    assert!(payload::open(&crate::sealed(payload::Form::Bare), &other).is_err());
}

fn flate2_gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

#[test]
fn what_is_no_message_says_why() {
    let whole = String::from_utf8(outgoing().mail(&fields())).unwrap();
    let table = [
        (
            whole.replace("multipart/related", "multipart/mixed"),
            "Content-Type is neither",
        ),
        (whole.replace("boundary=", "bounds="), "no boundary"),
        (
            whole.replace("Content-ID: <payload-1>\r\n", ""),
            "no Content-ID",
        ),
        (
            whole.replace(
                "Content-Transfer-Encoding: base64",
                "Content-Transfer-Encoding: x-none",
            ),
            "transfer encoding",
        ),
        (whole[..whole.len() - 30].to_owned(), "cut off"),
        (whole.replace("=3D", "=ZZ"), "quoted-printable"),
    ];
    for (mail, expected) in table {
        let (mail, error) = *Received::from_mail(mail.as_bytes(), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(mail.reply_to.as_deref(), Some("sender@edi.example"));
        assert!(!error.is_fault());
    }
    let fault = Outgoing::unsigned(signal::fault(signal::FaultCode::Client, "no"));
    let (_, error) = *Received::from_mail(&fault.mail(&fields()), &Limits::default()).unwrap_err();
    assert!(matches!(error, Unreadable::NotEbxml(_)) && error.is_fault());
    let small = Limits {
        max_bytes: 1000,
        ..Limits::default()
    };
    assert!(Received::from_mail(whole.as_bytes(), &small).is_err());
}

#[test]
fn what_the_norm_tolerates_is_remarked_on_only() {
    let whole = String::from_utf8(outgoing().mail(&fields())).unwrap();
    let odd = whole
        .replace("SOAPAction: \"ebXML\"", "SOAPACTION: \"ebxml\"")
        .replace("Message-ID: <mail-1@edi.example>", "Message-Id: mail-1")
        .replace("+0000", "+1");
    let received = read(odd.as_bytes());
    let rules: Vec<u16> = received.findings.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [51, 250]);
    assert!(received.findings.iter().all(|one| one.level == Level::Info));
    assert_eq!(received.mail.message_id.as_deref(), Some("mail-1"));
    assert!(received.check_signature(Signer::Carried).is_ok());
}

#[test]
fn signals_of_errors_carry_what_was_found() {
    let sent = outgoing();
    let received = read(&sent.mail(&fields()));
    let wrong = received.check_signature(Signer::OneOf(&[WORLD.stranger.certificate().clone()]));
    let finding = wrong.unwrap_err();
    assert_eq!(finding.rule, 44);
    let list = signal::error_list(&received.envelope.header, &[finding], "a@b", NOW_US);
    let mail = Outgoing::sign(&list, Vec::new(), &WORLD.stranger)
        .unwrap()
        .mail(&fields());
    let back = read(&mail);
    assert_eq!(back.findings, []);
    let Kind::Error(read) = &back.envelope.kind else {
        panic!()
    };
    assert_eq!(read.errors[0].code, ebxml::Code::SecurityFailure);
    assert!(
        read.errors[0]
            .description
            .as_deref()
            .unwrap()
            .contains("(rule 44)")
    );
    assert_eq!(back.envelope.header.service, names::SIGNAL_SERVICE);
    assert_eq!(
        msh::outcome(&back.envelope, &[]),
        Some(msh::Outcome::Refused)
    );
}

proptest! {
    #[test]
    fn damaged_mails_do_not_panic_and_never_pass(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        static MAIL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| outgoing().mail(&fields()));
        let mut mail = MAIL.clone();
        let at = at.index(mail.len());
        if cut { mail.truncate(at) } else { mail[at] = byte }
        if let Ok(received) = Received::from_mail(&mail, &Limits::default()) {
            let checked = received.check_signature(Signer::OneOf(&known()));
            // What still holds is the same message.
            if checked.is_ok() {
                prop_assert_eq!(received.envelope, letter());
                prop_assert_eq!(received.attachments.len(), 1);
            }
        }
    }
}
