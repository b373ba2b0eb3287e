//! Any bytes at all: no panic, bounded, and an answer every time.

use edi::check::{self, Options, Transport};
use edi::message;
use edi::report::{Language, explain};
use edi::xml::{XmlDoc, to_xml};
use edi::{apprec, epikrise, msghead, svarrapport};
use proptest::prelude::*;

use crate::made;

/// Everything the network can make us do with bytes.
fn exercise(bytes: &[u8]) {
    let _ = message::identify(bytes);
    let checked = check::run(
        bytes,
        &Options {
            production: true,
            ..Options::default()
        },
    );
    for t in [Transport::Amqp, Transport::Ebxml, Transport::Api] {
        let _ = checked.verdict(t);
    }
    if let Some(doc) = &checked.doc {
        let root = checked.message().unwrap();
        let _ = msghead::MsgHead::read_elem(root);
        let _ = svarrapport::Message::read_elem(root);
        let _ = epikrise::Message::read_elem(root);
        let _ = apprec::AppRec::read_elem(root);
        let _ = doc.path(root.at);
        // What was read can be written, and is well-formed again.
        assert!(XmlDoc::parse(to_xml(root).as_bytes()).is_ok());
    }
    let report = explain(bytes, &Options::default());
    assert!(report.findings.len() <= 201 && report.to_text(Language::En).len() < 400_000);
}

/// A message of ours with some bytes changed, cut or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let messages: Vec<Vec<u8>> = made::all()
        .into_iter()
        .map(|(_, t)| t.into_bytes())
        .collect();
    let edit = (
        any::<prop::sample::Index>(),
        0_usize..4,
        any::<u8>(),
        1_usize..40,
    );
    (
        prop::sample::select(messages),
        prop::collection::vec(edit, 1..12),
    )
        .prop_map(|(mut m, edits)| {
            for (at, what, byte, len) in edits {
                if m.is_empty() {
                    break;
                }
                let i = at.index(m.len());
                let end = (i + len).min(m.len());
                match what {
                    0 => m[i] = byte,
                    1 => {
                        m.drain(i..end);
                    }
                    2 => {
                        let part = m[i..end].to_vec();
                        m.splice(i..i, part);
                    }
                    _ => m.insert(i, *b"<>&\"'/= x\n".get(usize::from(byte % 10)).unwrap()),
                }
            }
            m
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        exercise(&bytes);
    }

    #[test]
    fn any_markup(text in "(<[a-z:!?/]{0,4}( [a-z]{1,3}=['\"][&;a-z<]{0,5}['\"])?/?>|[a-z&;#x0-9]{0,6}|<!\\[CDATA\\[|\\]\\]>|<!--|-->|\\PC){0,40}") {
        exercise(text.as_bytes());
    }

    #[test]
    fn mutated_messages(bytes in mutated()) {
        exercise(&bytes);
    }

    /// Any text in any place survives writing and reading.
    #[test]
    fn texts_survive(name in "[^\\x00-\\x1f\\u{fffe}\\u{ffff}]{0,60}", comment in "\\PC{0,80}", value in "\\PC{0,20}") {
        let mut m = made::answer_report();
        let r = m.report.as_mut().unwrap();
        let p = r.patient.as_mut().unwrap();
        p.name = Some(name.trim().to_owned());
        r.comment = Some(comment.trim().to_owned());
        p.results[0].number.as_mut().unwrap().value.value = Some(value);
        let again = XmlDoc::parse(m.to_xml().as_bytes()).unwrap();
        prop_assert_eq!(svarrapport::Message::read_doc(&again).unwrap(), m);
    }
}

#[test]
fn a_large_honest_message_is_explained() {
    let mut m = made::answer_report();
    let results = &mut m.report.as_mut().unwrap().patient.as_mut().unwrap().results;
    let one = results[0].clone();
    results.extend((0..10_000).map(|_| one.clone()));
    let text = m.to_xml();
    let report = explain(text.as_bytes(), &Options::default());
    assert!(
        report.valid,
        "{:#?}",
        &report.findings[..3.min(report.findings.len())]
    );
}
