use super::*;
use crate::xml::XmlDoc;

const APPREC: &str = r#"<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2012-02-15">
<MsgType V="APPREC"/><MIGversion>v1.1 2012-02-15</MIGversion><GenDate>2026-11-23T10:20:00</GenDate><Id>a</Id>
<Sender><HCP><Inst/></HCP></Sender><Receiver><HCP><Inst/></HCP></Receiver><Status V="1"/>
<OriginalMsgId><MsgType V="X"/><IssueDate>2026-11-23T10:20:00</IssueDate><Id>b</Id></OriginalMsgId></AppRec>"#;

fn faults(text: &str) -> Vec<String> {
    let doc = XmlDoc::parse(text.as_bytes()).unwrap();
    let out = check(&doc.root);
    out.faults
        .iter()
        .map(|f| format!("{}:{} {}", f.at.line, f.at.column, f.text_en))
        .collect()
}

#[test]
fn tables_load_and_every_reference_resolves() {
    assert_eq!(titles().len(), 11);
    TABLES.assert_complete();
}

#[test]
fn a_good_receipt_has_no_faults() {
    assert_eq!(faults(APPREC), Vec::<String>::new());
}

#[test]
fn faults_say_what_and_where() {
    let rows = [
        ("<Status V=\"1\"/>\n", "", "<Status> or <Error>"),
        (
            "<MsgType V=\"APPREC\"/>",
            "<MsgTyp V=\"APPREC\"/>",
            "did you mean <MsgType>?",
        ),
        (
            "<Status V=\"1\"/>",
            "<Status V=\"1\"/><Status V=\"1\"/>",
            "too many times",
        ),
        ("T10:20:00</GenDate>", "</GenDate>", "date and time"),
        (
            "<Status V=\"1\"/>",
            "<Status V=\"1\">ok</Status>",
            "must be empty",
        ),
        (
            "<Status V=\"1\"/>",
            "<Status V=\"1\" X=\"2\"/>",
            "Attribute X is not allowed",
        ),
        (
            "<Inst/></HCP></Sender>",
            "</HCP></Sender>",
            "<Inst> or <HCProf> is missing",
        ),
        ("<OriginalMsgId>", "<OriginalMsgId>tekst", "no text"),
        ("<Id>a</Id>", "<Id><b/></Id>", "must hold text"),
    ];
    let mut seen = String::new();
    for (from, to, _) in rows {
        let broken = APPREC.replacen(from, to, 1);
        assert_ne!(broken, APPREC);
        seen.push_str(&format!("{from:?} -> {to:?}\n"));
        let found = faults(&broken);
        assert!(!found.is_empty(), "{from:?} -> {to:?} must be refused");
        for f in found {
            seen.push_str(&format!("  {f}\n"));
        }
    }
    insta::assert_snapshot!(seen);
}
