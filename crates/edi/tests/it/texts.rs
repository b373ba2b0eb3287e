//! The reports that people read.

use edi::check::Options;
use edi::report::{Language, explain};

use crate::made;

fn options() -> Options<'static> {
    Options {
        now: Some("2026-11-23T12:00:00Z".parse().unwrap()),
        ..Options::default()
    }
}

#[test]
fn a_good_message() {
    let text = made::answer_report().to_xml();
    let report = explain(text.as_bytes(), &options());
    assert!(report.valid);
    insta::assert_snapshot!("good_nb", report.to_text(Language::Nb));
    insta::assert_snapshot!("good_en", report.to_text(Language::En));
}

#[test]
fn a_bad_message() {
    let text = made::referral()
        .to_xml()
        .replacen(
            "<Priority V=\"14\" DN=\"Innen to uker\"/>",
            "<Prioritet V=\"14\"/>",
            1,
        )
        .replacen("2026-11-23T08:05:00", "23.11.2026", 1)
        .replacen("14896849817", "14898649817", 1)
        .replacen("8900301", "Hjerte", 1);
    let report = explain(text.as_bytes(), &options());
    assert!(!report.valid);
    insta::assert_snapshot!("bad_nb", report.to_text(Language::Nb));
    insta::assert_snapshot!("bad_en", report.to_text(Language::En));
}

#[test]
fn what_is_no_message() {
    let cms = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80";
    let mut all = String::new();
    for bytes in [
        &b"<a><b></a>"[..],
        b"<!DOCTYPE a><a/>",
        b"<x xmlns=\"urn:x\"/>",
        b"",
        cms,
    ] {
        all.push_str(&explain(bytes, &options()).to_text(Language::Nb));
        all.push_str("-----\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_report_serialises_and_names_nobody() {
    let text = made::referral().to_xml();
    let report = explain(text.as_bytes(), &options());
    let json = serde_json::to_string_pretty(&report).unwrap();
    for secret in ["14896849817", "Lunde", "Kari", "hjertebank", "Solberg"] {
        assert!(!json.contains(secret), "{secret} in {json}");
    }
    insta::assert_snapshot!(json);
}
