//! Every official sample is recognised and read; what we write again is read as the same value.

use edi::message::{self, Header, MessageKind, Support};
use edi::xml::{Elem, Node, XmlDoc};
use edi::{apprec, dialogmelding, epikrise, henvisning, msghead, svarrapport};

use crate::shared;

fn samples() -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for dir in ["messaging/samples", "nilar/svarrapport-xml"] {
        if let Some(dir) = shared::data(dir) {
            out.extend(shared::xml_files(&dir));
        }
    }
    out
}

#[test]
fn every_sample_is_recognised() {
    let mut unknown = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    for path in samples() {
        let id = message::identify(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        *counts
            .entry(format!(
                "{:?} {}",
                id.kind,
                id.version.clone().unwrap_or_default()
            ))
            .or_insert(0) += 1;
        if id.kind == MessageKind::Unknown || id.support == Support::Unknown {
            unknown.push(format!("{name}: {:?}", id.error));
        }
    }
    println!("{counts:#?}");
    // The mapping sheet is no message; NAV's second is a template with an undeclared prefix.
    unknown.retain(|n| !n.starts_with("_mapping") && !n.starts_with("harBorger"));
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn every_sample_of_our_messages_is_read_and_survives_writing() {
    let mut read = 0;
    for path in samples() {
        let Ok(doc) = XmlDoc::parse(&std::fs::read(&path).unwrap()) else {
            continue;
        };
        let root = message::core(&doc.root);
        let id = message::identify_doc(&doc);
        let name = path.display();
        if id.support != Support::Full
            || name.to_string().contains("app-rec/missing")
            || name.to_string().contains("app-rec/unknown")
        {
            continue;
        }
        // What breaks the structure may lack what a value cannot exist without.
        if !edi::structure::check(root).faults.is_empty() && name.to_string().contains("nilar") {
            continue;
        }
        let header = Header::from_doc(&doc).unwrap_or_else(|| panic!("{name}: no header"));
        if name.to_string().contains("invalid-version") {
            continue;
        }
        assert!(!header.msg_id.is_empty(), "{name}: no MsgId");
        assert!(header.gen_date.instant().is_some(), "{name}: GenDate");
        read += 1;
        match id.kind {
            MessageKind::Svarrapport => {
                let m =
                    svarrapport::Message::read_elem(root).unwrap_or_else(|e| panic!("{name}: {e}"));
                let text = m.to_xml();
                nothing_lost(
                    &name.to_string(),
                    root,
                    &text.replace(
                        apprec::NS,
                        if id.kind == MessageKind::AppRec {
                            &root.ns
                        } else {
                            apprec::NS
                        },
                    ),
                );
                assert_eq!(
                    svarrapport::Message::read_doc(&XmlDoc::parse(text.as_bytes()).unwrap())
                        .unwrap(),
                    m,
                    "{name}"
                );
            }
            MessageKind::Epikrise => {
                let m =
                    epikrise::Message::read_elem(root).unwrap_or_else(|e| panic!("{name}: {e}"));
                let text = m.to_xml();
                nothing_lost(
                    &name.to_string(),
                    root,
                    &text.replace(
                        apprec::NS,
                        if id.kind == MessageKind::AppRec {
                            &root.ns
                        } else {
                            apprec::NS
                        },
                    ),
                );
                assert_eq!(
                    epikrise::Message::read_doc(&XmlDoc::parse(text.as_bytes()).unwrap()).unwrap(),
                    m,
                    "{name}"
                );
            }
            MessageKind::AppRec => {
                let m = apprec::AppRec::read_elem(root).unwrap_or_else(|e| panic!("{name}: {e}"));
                let text = m.to_xml();
                nothing_lost(
                    &name.to_string(),
                    root,
                    &text.replace(
                        apprec::NS,
                        if id.kind == MessageKind::AppRec {
                            &root.ns
                        } else {
                            apprec::NS
                        },
                    ),
                );
                assert_eq!(
                    apprec::AppRec::read_doc(&XmlDoc::parse(text.as_bytes()).unwrap()).unwrap(),
                    m,
                    "{name}"
                );
            }
            MessageKind::Henvisning | MessageKind::Dialogmelding => {
                let m = msghead::MsgHead::read_elem(root).unwrap_or_else(|e| panic!("{name}: {e}"));
                nothing_lost(&name.to_string(), root, &m.to_xml());
                let again = XmlDoc::parse(m.to_xml().as_bytes()).unwrap();
                assert_eq!(msghead::MsgHead::read_doc(&again).unwrap(), m, "{name}");
                let payload = m.payload().unwrap();
                if id.kind == MessageKind::Henvisning {
                    let h = henvisning::Henvisning::read_elem(payload)
                        .unwrap_or_else(|e| panic!("{name}: {e}"));
                    same(&name.to_string(), payload, &h.to_elem());
                    assert_eq!(
                        henvisning::Henvisning::read_elem(&h.to_elem()).unwrap(),
                        h,
                        "{name}"
                    );
                    let faults = edi::structure::check(&h.to_elem()).faults;
                    assert_eq!(faults, [], "{name}");
                } else if let Ok(d) = dialogmelding::Dialogmelding::read_elem(payload) {
                    assert_eq!(
                        dialogmelding::Dialogmelding::read_elem(&d.to_elem()).unwrap(),
                        d,
                        "{name}"
                    );
                }
            }
            other => panic!("{name}: {other:?} is said to be supported"),
        }
    }
    println!("{read} samples read and written");
}

/// The written text holds everything that the received element held.
fn nothing_lost(name: &str, received: &Elem, written: &str) {
    // Some systems send elements in the wrong order; what we write is in order.
    if !edi::structure::check(received).faults.is_empty() {
        return;
    }
    same(
        name,
        received,
        &XmlDoc::parse(written.as_bytes()).unwrap().root,
    );
}

fn same(name: &str, received: &Elem, written: &Elem) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    flat(received, String::new(), &mut a);
    flat(written, String::new(), &mut b);
    if let Some((x, y)) = a.iter().zip(&b).find(|(x, y)| x != y) {
        panic!("{name}:\n received {x}\n written  {y}");
    }
    assert_eq!(a.len(), b.len(), "{name}");
}

/// One line per element, attribute and text, without layout and schema hints.
fn flat(e: &Elem, path: String, out: &mut Vec<String>) {
    let path = format!("{path}/{{{}}}{}", e.ns, e.name);
    out.push(path.clone());
    let mut attrs: Vec<String> = e
        .attrs
        .iter()
        .filter(|a| !a.ns.contains("XMLSchema") && !a.value.trim().is_empty())
        .map(|a| format!("{path}/@{} {}", a.name, a.value.trim()))
        .collect();
    attrs.sort();
    out.extend(attrs);
    for n in &e.children {
        match n {
            Node::Elem(c) => flat(c, path.clone(), out),
            Node::Text(t) if t.trim().is_empty() => {}
            Node::Text(t) => out.push(format!(
                "{path} {}",
                t.split_whitespace().collect::<Vec<_>>().join(" ")
            )),
        }
    }
}
