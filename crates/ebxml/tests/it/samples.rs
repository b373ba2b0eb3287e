//! Official samples, where they are present (`../shared`, or `HELSENAV_SHARED`); skipped with a line on stderr elsewhere.

use std::path::{Path, PathBuf};

use ebxml::envelope::{Kind, NotEbxml};
use ebxml::finding::Level;
use ebxml::mime::Limits;
use ebxml::package::{Received, Unreadable};
use xmlsec::dsig::Signer;
use xmlsec::xml::Document;

fn samples() -> Option<PathBuf> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let samples = root.join("data/messaging/samples");
    if samples.is_dir() {
        return Some(samples);
    }
    eprintln!("SKIPPED: the public samples are absent, so ebXML messages of others were not read");
    None
}

#[test]
fn signed_mails_of_others_hold() {
    let Some(samples) = samples() else { return };
    for (name, transforms, is_payload) in [
        ("acknowledgment", 2, false),
        ("inbox_acknowledgment", 2, false),
        ("egenandelforesporsel", 3, true),
        ("inbox_EgenAndelForespoersel", 3, true),
    ] {
        let mail = std::fs::read(samples.join(format!("nav-smtp/{name}.eml"))).unwrap();
        let received = Received::from_mail(&mail, &Limits::default()).unwrap();
        let checked = received.check_signature(Signer::Carried).unwrap();
        assert_eq!(
            matches!(received.envelope.kind, Kind::Payload { .. }),
            is_payload,
            "{name}"
        );
        let few = checked.remarks.iter().any(|one| one.rule == 35);
        assert_eq!(few, transforms != 3, "{name}");
        let heavy: Vec<_> = received
            .findings
            .iter()
            .filter(|one| one.level > Level::Warning)
            .collect();
        assert!(heavy.is_empty(), "{name}: {heavy:?}");
    }
}

#[test]
fn broken_mails_of_others_are_told_apart() {
    let Some(samples) = samples() else { return };
    let read = |name: &str| {
        let mail = std::fs::read(samples.join(format!("nav-smtp/{name}.eml"))).unwrap();
        Received::from_mail(&mail, &Limits::default())
    };
    let unsigned = read("ebxml_no_service").unwrap();
    assert!(unsigned.findings.iter().any(|one| one.rule == 47));
    assert_eq!(
        unsigned.check_signature(Signer::Carried).unwrap_err().rule,
        45
    );
    let (mail, error) = *read("not_ebxml").unwrap_err();
    assert!(mail.reply_to.is_some());
    assert!(matches!(error, Unreadable::NotEbxml(_)), "{error:?}");
    // Its SOAP part was cut in the middle.
    let (_, error) = *read("content_description").unwrap_err();
    assert!(
        matches!(error, Unreadable::NotEbxml(NotEbxml::Xml(_))),
        "{error:?}"
    );
}

#[test]
fn envelopes_of_the_norm_are_read() {
    let Some(samples) = samples() else { return };
    for (file, action) in [
        ("sarepta/ebxml/ebxml-eksempel.xml", "EPIKRISE"),
        (
            "sarepta/ebxml/ebxml-header-Description-overvakning-SVAR_CYT.xml",
            "SVAR_CYT",
        ),
        ("nav-ebxml/acknowledgment.xml", "Acknowledgment"),
    ] {
        let text = std::fs::read(samples.join(file)).unwrap();
        let document = Document::from_utf8(&text, &xmlsec::xml::Limits::default()).unwrap();
        let (envelope, findings) = ebxml::envelope::read(&document).unwrap();
        assert_eq!(envelope.header.action, action);
        assert!(
            findings.iter().all(|one| one.level < Level::Error),
            "{file}: {findings:?}"
        );
    }
}
