//! Every finding says which rule it stands on: standard and number where the standard has numbers, else the standard's element,
//! code list or table.

use edi::check::{self, Envelope, Options, Rule};

use crate::made;

fn changed(text: &str, from: &str, to: &str) -> String {
    let out = text.replacen(from, to, 1);
    assert_ne!(out, text, "{from:?} is not in the message");
    out
}

/// What is wrong, the message, the kind of rule, and where it stands.
fn rows() -> Vec<(&'static str, String, Rule, &'static str)> {
    let report = made::answer_report().to_xml();
    let referral = made::referral().to_xml();
    let letter = made::letter().to_xml();
    let receipt = made::receipt().to_xml();
    let fnr = "14896849817";
    let attached = |mime: &str, name: &str, content: &str| {
        let attachment = format!(
            "<RefDoc><MsgType V=\"A\"/><MimeType>{mime}</MimeType><Description>{name}</Description><Content>\
             <Base64Container xmlns=\"http://www.kith.no/xmlstds/base64container\">{content}</Base64Container></Content></RefDoc>"
        );
        changed(&letter, "</ServRprt>", &format!("{attachment}</ServRprt>"))
    };
    vec![
        (
            "MsgId",
            changed(&report, "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1003", "1234"),
            Rule::MsgId,
            "HIS 80601: MsgId",
        ),
        (
            "check digit",
            report.replace(fnr, "14896849818"),
            Rule::NationalId,
            "HIS 80415: pasientidentifikasjon",
        ),
        (
            "no number",
            report.replace(fnr, ""),
            Rule::PatientId,
            "HIS 80415: pasientidentifikasjon",
        ),
        (
            "level 1 without HER-id",
            changed(&referral, "8900100", "x"),
            Rule::Address,
            "HIS 1153-2 AD2",
        ),
        (
            "sender of the envelope",
            referral.clone(),
            Rule::Sender,
            "HITS 1216 2.2.3",
        ),
        (
            "receiver of the envelope",
            referral.clone(),
            Rule::Receiver,
            "HITS 1216 2.2.3",
        ),
        (
            "test",
            changed(
                &referral,
                "<Ack V=\"J\"",
                "<ProcessingStatus V=\"T\"/><Ack V=\"J\"",
            ),
            Rule::Processing,
            "8213",
        ),
        (
            "old version",
            letter.replace("epikrise/2012-02-15", "epikrise"),
            Rule::Version,
            "MeldingsVersjoner",
        ),
        (
            "program",
            attached("application/pdf", "a.exe", "JVBERg=="),
            Rule::Attachment,
            "HIS 1036",
        ),
        (
            "no base64",
            attached("application/pdf", "a.pdf", "*"),
            Rule::Attachment,
            "HIS 1036",
        ),
        (
            "other format",
            attached("image/webp", "a.webp", "AAAA"),
            Rule::Attachment,
            "HIS 1036",
        ),
        (
            "unfit content",
            attached("application/pdf", "a.pdf", "AAAA"),
            Rule::Attachment,
            "HIS 1036",
        ),
        (
            "status of a receipt",
            changed(&receipt, "<Status V=\"1\"", "<Status V=\"2\""),
            Rule::Receipt,
            "HIS 80415: Error",
        ),
        (
            "status unknown",
            changed(&receipt, "<Status V=\"1\"", "<Status V=\"7\""),
            Rule::Receipt,
            "8258",
        ),
        (
            "hostile",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_owned(),
            Rule::NoDoctype,
            "",
        ),
        (
            "not well-formed",
            "<a><b></a>".to_owned(),
            Rule::WellFormed,
            "",
        ),
        (
            "unknown",
            "<a xmlns=\"urn:x\"/>".to_owned(),
            Rule::Known,
            "MeldingsVersjoner",
        ),
    ]
}

#[test]
fn every_finding_names_its_rule() {
    let options = Options {
        // Neither party of the referral.
        envelope: Some(Envelope {
            from_her_id: 8_900_401,
            to_her_id: 8_900_402,
        }),
        now: Some("2026-11-23T12:00:00Z".parse().unwrap()),
        ..Options::default()
    };
    let mut wrong = Vec::new();
    for (what, text, rule_id, rule) in rows() {
        let found = check::run(text.as_bytes(), &options).findings;
        if !found
            .iter()
            .any(|f| f.rule_id == rule_id && f.rule.contains(rule))
        {
            wrong.push(format!("{what}: no {rule_id:?} by {rule}: {found:#?}"));
        }
        for finding in &found {
            if finding.rule.trim().is_empty() {
                wrong.push(format!("{what}: {:?} names no rule", finding.rule_id));
            }
            if finding.text_nb.is_empty() || finding.text_en.is_empty() {
                wrong.push(format!("{what}: {:?} says nothing", finding.rule_id));
            }
        }
    }
    // And in a message with nothing but faults, where the rest is counted.
    let many: String = (0..500).map(|_| "<Nothing/>").collect();
    let text = changed(
        &made::letter().to_xml(),
        "<ServRprt>",
        &format!("<ServRprt>{many}"),
    );
    for finding in check::run(text.as_bytes(), &options).findings {
        if finding.rule.trim().is_empty() {
            wrong.push(format!("{:?} names no rule", finding.rule_id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
