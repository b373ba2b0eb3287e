//! The bad cases of story.md §7 that the content of a message decides, each with its answer.

use edi::check::{self, CodeState, Envelope, Lookups, Options, Rule, Severity, Transport, Verdict};
use edi::errorqueue::ErrorCondition;
use edi::message::MessageKind;

use crate::made;

/// A register that knows Kari only, and the parties of the story.
struct Register;

impl Lookups for Register {
    fn person_exists(&self, id: &codes::ident::Nin) -> Option<bool> {
        Some(id.as_str() == "14896849817")
    }
    fn party_exists(&self, her_id: u32) -> Option<bool> {
        Some((8_900_000..8_901_000).contains(&her_id))
    }
    fn code(&self, system: &str, code: &str, day: Option<jiff::civil::Date>) -> CodeState {
        check::NoLookups.code(system, code, day)
    }
}

fn options() -> Options<'static> {
    Options {
        lookups: &Register,
        accepts: Some(&[
            MessageKind::Svarrapport,
            MessageKind::Epikrise,
            MessageKind::Henvisning,
        ]),
        now: Some("2026-11-23T12:00:00Z".parse().unwrap()),
        ..Options::default()
    }
}

fn verdict(text: &str, options: &Options<'_>) -> Verdict {
    check::run(text.as_bytes(), options).verdict(Transport::Amqp)
}

fn codes_of(v: &Verdict) -> Vec<String> {
    match v {
        Verdict::Reject { errors, .. } => errors.iter().map(|e| e.code().to_owned()).collect(),
        other => vec![format!("{other:?}")],
    }
}

fn changed(text: &str, from: &str, to: &str) -> String {
    let out = text.replacen(from, to, 1);
    assert_ne!(out, text, "{from:?} is not in the message");
    out
}

#[test]
fn good_messages_are_accepted() {
    for (name, text) in made::all() {
        let checked = check::run(
            text.as_bytes(),
            &Options {
                accepts: None,
                ..options()
            },
        );
        assert_eq!(
            checked.verdict(Transport::Amqp),
            Verdict::Accept { warnings: 0 },
            "{name}: {:#?}",
            checked.findings
        );
    }
}

#[test]
fn bad_cases_answer_with_their_code() {
    let svar = made::answer_report().to_xml();
    let epikrise = made::letter().to_xml();
    let ref_ = made::referral().to_xml();
    let fnr = "14896849817";
    let no_off_id = changed(&svar, fnr, "");
    let rows: Vec<(&str, String, &str)> = vec![
        (
            "B12 schema error",
            changed(&epikrise, "<Type V=\"EPIKRISE\"", "<Typ V=\"EPIKRISE\""),
            "T02",
        ),
        (
            "B13 epikrise 1.0",
            epikrise.replace("epikrise/2012-02-15", "epikrise"),
            "T10",
        ),
        (
            "B13 svarrapport 1.3",
            svar.replace("labsvar/2012-02-15", "labsvar/2008-12-01"),
            "T10",
        ),
        (
            "B14 MsgId",
            changed(&svar, "5b0e0a2e-4a55-4c0b-8a43-6f2f0c7d1003", "1234"),
            "E10",
        ),
        ("B15 check digit", svar.replace(fnr, "14896849818"), "E31"),
        (
            "B15 in epikrise",
            epikrise.replace(fnr, "14896849818"),
            "E31",
        ),
        ("B16 swapped", svar.replace(fnr, "14898649817"), "E31"),
        ("B17 nobody", svar.replace(fnr, "01815040178"), "E53"),
        ("B18 no id", no_off_id.clone(), "E30"),
        (
            "B18 local number in OffId",
            svar.replace(fnr, "54321"),
            "E30",
        ),
        (
            "B18 no patient",
            format!(
                "{}{}",
                &svar[..svar.find("<Patient>").unwrap()],
                &svar[svar.find("</Patient>").unwrap() + 10..]
            ),
            "E30",
        ),
        (
            "B19 name and birth date",
            changed(&no_off_id, "<Sex V=\"2\" DN=\"Kvinne\"/>", ""),
            "E36",
        ),
        (
            "B26 program",
            changed(
                &made::dialogue().to_xml(),
                "innkalling.pdf",
                "innkalling.exe",
            ),
            "T99",
        ),
        ("message not taken", made::dialogue().to_xml(), "T10"),
    ];
    for (name, text, code) in rows {
        let options = if name.starts_with("B26") {
            Options {
                accepts: None,
                ..options()
            }
        } else {
            options()
        };
        let v = verdict(&text, &options);
        assert!(
            codes_of(&v).iter().all(|c| c == code) && !codes_of(&v).is_empty(),
            "{name}: {v:#?}"
        );
    }
    // Name, birth date and sex are enough for a referral; for immediate help anything is.
    let ident = ref_.find("<Ident>\n        <Id>14896849817").unwrap();
    let end = ref_[ident..].find("</Ident>").unwrap() + ident + 8;
    let no_id = format!("{}{}", &ref_[..ident], &ref_[end..]);
    assert!(matches!(
        verdict(&no_id, &options()),
        Verdict::Accept { warnings: 1 }
    ));
    let no_sex = changed(&no_id, "<Sex V=\"2\" DN=\"Kvinne\"/>", "");
    assert_eq!(codes_of(&verdict(&no_sex, &options())), ["E36"]);
    let urgent = changed(
        &no_sex,
        "<Priority V=\"14\" DN=\"Innen to uker\"/>",
        "<Priority V=\"0\" DN=\"Øyeblikkelig hjelp\"/>",
    );
    assert!(matches!(
        verdict(&urgent, &options()),
        Verdict::Accept { warnings: 1 }
    ));
}

#[test]
fn unreadable_bytes_are_a_transport_error_on_amqp_and_t01_elsewhere() {
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]><a>&b;</a>";
    let file = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    let deep = format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000));
    let rows: [(&str, Vec<u8>, ErrorCondition, bool); 6] = [
        (
            "B11",
            b"<a><b></a>".to_vec(),
            ErrorCondition::NotWellFormedXml,
            false,
        ),
        (
            "B11 no XML",
            b"hei".to_vec(),
            ErrorCondition::NotWellFormedXml,
            false,
        ),
        (
            "B35 bomb",
            bomb.into(),
            ErrorCondition::NotWellFormedXml,
            true,
        ),
        (
            "B35 file",
            file.into(),
            ErrorCondition::NotWellFormedXml,
            true,
        ),
        (
            "depth",
            deep.into_bytes(),
            ErrorCondition::XmlNotInterpretable,
            false,
        ),
        (
            "encoding",
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>\xe6</a>".to_vec(),
            ErrorCondition::InvalidEncoding,
            false,
        ),
    ];
    for (name, bytes, condition, security) in rows {
        let checked = check::run(&bytes, &options());
        let Verdict::TransportError {
            error,
            security_event,
            ..
        } = checked.verdict(Transport::Amqp)
        else {
            panic!("{name}: {:?}", checked.verdict(Transport::Amqp))
        };
        assert_eq!(
            (error.condition, security_event),
            (condition, security),
            "{name}"
        );
        assert_eq!(
            codes_of(&checked.verdict(Transport::Ebxml)),
            ["T01"],
            "{name}"
        );
    }
}

#[test]
fn the_envelope_must_agree_with_the_body() {
    let svar = made::answer_report().to_xml();
    let with = |from, to| Options {
        envelope: Some(Envelope {
            from_her_id: from,
            to_her_id: to,
        }),
        ..options()
    };
    assert_eq!(
        verdict(&svar, &with(8_900_401, 8_900_101)),
        Verdict::Accept { warnings: 0 }
    );
    assert_eq!(
        verdict(&svar, &with(8_900_401, 8_900_008)),
        Verdict::Accept { warnings: 0 },
        "copy receiver"
    );
    let Verdict::TransportError {
        error,
        security_event,
        rule,
    } = verdict(&svar, &with(8_900_901, 8_900_101))
    else {
        panic!("B27")
    };
    assert_eq!(
        (error.condition, security_event, rule),
        (ErrorCondition::SpoofingAttack, true, Rule::Sender)
    );
    assert_eq!(
        codes_of(&verdict(&svar, &with(8_900_401, 8_900_999))),
        ["E10"]
    );
}

#[test]
fn test_messages_stay_out_of_production() {
    let text = changed(
        &made::referral().to_xml(),
        "<Ack V=\"J\"",
        "<ProcessingStatus V=\"D\" DN=\"Debugging\"/><Ack V=\"J\"",
    );
    // The story's people are synthetic, so production refuses their numbers first.
    let production = Options {
        production: true,
        ..options()
    };
    assert_eq!(codes_of(&verdict(&text, &production)), ["E31"]);
    let checked = check::run(text.as_bytes(), &production);
    assert!(
        checked
            .findings
            .iter()
            .any(|f| f.rule_id == Rule::Processing && f.severity == Severity::Error)
    );
    // Elsewhere it is flagged.
    assert!(matches!(
        verdict(&text, &options()),
        Verdict::Accept { warnings: 1 }
    ));
}

#[test]
fn unknown_codes_are_warnings_and_retired_ones_name_their_successor() {
    let svar = made::answer_report().to_xml();
    let warnings = |text: &str| {
        let checked = check::run(text.as_bytes(), &options());
        assert!(
            matches!(
                checked.verdict(Transport::Amqp),
                Verdict::Accept { warnings: 1 }
            ),
            "{:#?}",
            checked.findings
        );
        checked
            .findings
            .into_iter()
            .find(|f| f.severity == Severity::Warning)
            .unwrap()
            .text_en
    };
    let code = "V=\"NPU21571\" S=\"2.16.578.1.12.4.1.1.7280\"";
    assert!(
        warnings(&changed(
            &svar,
            code,
            "V=\"NPU99999\" S=\"2.16.578.1.12.4.1.1.7280\""
        ))
        .contains("unknown")
    );
    assert!(
        warnings(&changed(&svar, code, "V=\"BNP\" S=\"2.16.578.1.34.10.3\"")).contains("local")
    );
    let retired = warnings(&changed(
        &svar,
        code,
        "V=\"NPU10984\" S=\"2.16.578.1.12.4.1.1.7280\"",
    ));
    assert!(retired.contains("NPU13183"), "{retired}");
    assert!(
        warnings(&changed(
            &svar,
            "<DevResultInd V=\"1\"",
            "<DevResultInd V=\"9\""
        ))
        .contains("8244")
    );
}

#[test]
fn receipts_are_never_answered_with_receipts() {
    let ok = made::receipt().to_xml();
    let rejected = changed(
        &ok,
        "<Status V=\"1\" DN=\"OK\"/>",
        "<Status V=\"2\" DN=\"Avvist\"/>",
    );
    let v = verdict(
        &rejected,
        &Options {
            accepts: None,
            ..options()
        },
    );
    assert_eq!(
        v,
        Verdict::Drop {
            rule: Rule::Receipt
        }
    );
}

#[test]
fn a_rejection_tells_place_and_words_without_the_identifier() {
    let text = made::answer_report()
        .to_xml()
        .replace("14896849817", "14898649817");
    let Verdict::Reject { errors, .. } = verdict(&text, &options()) else {
        panic!("accepted")
    };
    let words = errors[0].other.clone().unwrap();
    assert!(
        words.contains("to sifre kan være byttet om")
            && words.contains("linje")
            && words.contains("/OffId"),
        "{words}"
    );
    assert!(!words.contains("1489"), "{words}");
}
