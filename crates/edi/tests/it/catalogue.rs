//! The catalogue against the sector's own lists, and receipts in the version that a message asks for.

use edi::apprec::{AppRec, Status, Version};
use edi::catalogue::functions::kind_of;
use edi::catalogue::versions::standing;
use edi::catalogue::{MessageKind, Standing};
use edi::message::{Header, identify, identify_doc};
use edi::xml::XmlDoc;
use edi::xsd::{SchemaOutcome, SchemaSet};

use crate::shared;

fn root_of(ns: &str) -> Vec<u8> {
    format!("<Message xmlns=\"{ns}\"/>").into_bytes()
}

/// Every line of the sector's list: known, with its version, and in use.
#[test]
fn every_listed_version_is_known_and_in_use() {
    let Some(path) = shared::data("messaging/xsd/MeldingsVersjoner.xml") else {
        return;
    };
    let doc = XmlDoc::parse(&std::fs::read(path).unwrap()).unwrap();
    let mut count = 0;
    doc.root.walk(&mut |e| {
        if &*e.name != "Melding" {
            return;
        }
        count += 1;
        let (ns, version) = (e.attr("navnerom").unwrap(), e.attr("versjon").unwrap());
        let found = identify(&root_of(ns));
        assert_ne!(found.kind, MessageKind::Unknown, "{ns}");
        assert!(
            matches!(found.standing, Standing::Current | Standing::Older),
            "{ns}: {:?}",
            found.standing
        );
        // e-prescription names its messages by number and date; SYSVAK's version is not in its name.
        if !matches!(found.kind, MessageKind::EResept | MessageKind::Sysvak) {
            let named = found.version.unwrap();
            assert_eq!(named.split(' ').next().unwrap(), version, "{ns}");
        }
    });
    assert!(count > 90, "{count}");
}

/// Every message schema that there is.
#[test]
fn every_official_schema_of_a_message_is_in_the_catalogue() {
    let Some(path) = shared::data("messaging/xsd/namespaces.json") else {
        return;
    };
    // Parts of messages, envelopes, and two of NAV's and the tax agency's that are not exchanged here.
    const PARTS: &[&str] = &[
        "PersonvernInnstilling",
        "poKomponent",
        "TjenesteKomponent",
        "xmlsoap",
        "base64container",
        "epj/EPJTilleggsinfo",
        "epj/epj",
        "epj/meta",
        "eresept/ki",
        "felleskomponent1",
        "helsepersonell/",
        "pasientrelasjon",
        "person/",
        "egenandel/kodeverk",
        "oasis-open.org",
        "w3.org",
        "trygdeetaten.no",
        "egenerkl",
        "<!--",
    ];
    let listed: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut missing = Vec::new();
    for ns in listed.keys() {
        let is_part = PARTS.iter().any(|p| ns.contains(p))
            || ns.ends_with("/xmlstds")
            || ns.ends_with("/sysvak");
        let kind = identify(&root_of(ns)).kind;
        if !is_part && matches!(kind, MessageKind::Unknown) && !ns.contains("msghead") {
            missing.push(ns);
        }
    }
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn a_version_is_judged_in_the_report() {
    use edi::report::{Language, explain};
    let words = |ns: &str| explain(&root_of(ns), &Default::default()).to_text(Language::En);
    let older = words("http://www.kith.no/xmlstds/epikrise/2006-09-23");
    assert!(older.contains("there is a newer version"), "{older}");
    let coming = words("http://ehelse.no/xmlstds/po/Pasientlogistikk/2016-05-30");
    assert!(coming.contains("not in use yet"), "{coming}");
    let left = words("http://www.kith.no/xmlstds/labsvar/2005-03-14");
    assert!(left.contains("obsolete version"), "{left}");
    assert_eq!(
        standing("http://www.kith.no/xmlstds/epikrise/2012-02-15"),
        Standing::Current
    );
}

/// Functions of the official list that name a document this program knows lead to its kind.
#[test]
fn functions_of_the_list_lead_to_their_documents() {
    let list = codes::lists::list("2.16.578.1.12.4.1.1.8279").unwrap();
    for (code, kind) in [
        ("SVAR_MBIO", MessageKind::Svarrapport),
        ("REQ_RTG", MessageKind::Rekvisisjon),
        ("FODSELS_EPIKRISE", MessageKind::Epikrise),
        ("LOG_UTSKREVET", MessageKind::Plo),
        ("ERM1", MessageKind::EResept),
        ("EgenandelMengdeSvarV2", MessageKind::Egenandel),
        ("NPR_KJERNEMELDING", MessageKind::Registermelding),
        ("PERSONVERN_INNBYGGER_SAMTYKKE", MessageKind::Personvern),
        ("HENDELSEREQUEST", MessageKind::Sysvak),
    ] {
        assert!(list.get(code).is_some(), "{code}");
        assert_eq!(kind_of(code), Some(kind), "{code}");
    }
}

fn receipt_for(text: &str) -> (Version, AppRec) {
    let doc = XmlDoc::parse(text.as_bytes()).unwrap();
    let header = Header::from_doc(&doc).unwrap();
    let version = Version::for_message(&identify_doc(&doc));
    let id = "5d79bd68-a58c-4599-a4e7-9db28ea20099";
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let me = header.receiver.clone();
    let error = edi::apprec::ErrorCode::E35.error("words");
    let receipt = AppRec::answer(&header, Status::Rejected, vec![error], id, now, &me);
    (version, receipt.in_version(version))
}

#[test]
fn older_messages_are_answered_with_the_older_receipt() {
    let schemas = shared::data("messaging/xsd").map(|dir| SchemaSet::load(&dir).unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for (name, text) in crate::made::all() {
        let doc = XmlDoc::parse(text.as_bytes()).unwrap();
        if identify_doc(&doc).kind == MessageKind::AppRec {
            continue;
        }
        for version in [Version::V1_0, Version::V1_1] {
            let (_, receipt) = receipt_for(&text);
            let receipt = receipt.in_version(version);
            let written = receipt.to_xml();
            let doc = XmlDoc::parse(written.as_bytes()).unwrap();
            let id = identify_doc(&doc);
            let want = if version == Version::V1_0 {
                "1.0"
            } else {
                "1.1"
            };
            assert_eq!(id.version.as_deref(), Some(want), "{name}");
            assert_eq!(AppRec::read_doc(&doc).unwrap(), receipt, "{name}");
            if let Some(schemas) = &schemas {
                match schemas.check(&doc) {
                    SchemaOutcome::Checked { faults, .. } => {
                        assert_eq!(faults, [], "{name} {want}: {written}");
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        seen.insert(format!("{:?}", receipt_for(&text).0));
    }
    assert!(seen.contains("V1_1"));
    let dialogue = |ns: &str| Version::for_message(&identify(&root_of(ns)));
    assert_eq!(
        dialogue("http://www.kith.no/xmlstds/dialog/2006-10-11"),
        Version::V1_0
    );
    assert_eq!(
        dialogue("http://www.kith.no/xmlstds/dialog/2013-01-23"),
        Version::V1_1
    );
}

#[test]
fn rules_of_receipts() {
    let receipt = |status: &str, of: &str, id: &str| {
        let text = format!(
            "<AppRec xmlns=\"{}\"><Status V=\"{status}\"/><Error V=\"E10\"/><OriginalMsgId><MsgType V=\"{of}\"/><Id>{id}</Id></OriginalMsgId></AppRec>",
            edi::apprec::NS
        );
        let findings = edi::check::run(text.as_bytes(), &Default::default()).findings;
        let of = findings.into_iter().map(|f| f.rule);
        of.filter(|r| r.starts_with("HIS 80415"))
            .collect::<Vec<_>>()
    };
    let id = "5d79bd68-a58c-4599-a4e7-9db28ea20099";
    assert_eq!(receipt("2", "SVAR_LAB", id), Vec::<String>::new());
    assert_eq!(receipt("3", "BKM", id), Vec::<String>::new());
    assert_eq!(receipt("3", "SVAR_LAB", id), ["HIS 80415: Status"]);
    assert_eq!(receipt("2", "SVAR_LAB", "1"), ["HIS 80415: OriginalMsgId"]);
    assert_eq!(receipt("1", "SVAR_LAB", id), ["HIS 80415: Error"]);
}

/// Each schema of the archive, alone with what it imports.
#[test]
fn every_official_schema_can_be_used() {
    let Some(dir) = shared::data("messaging/xsd") else {
        return;
    };
    let set = SchemaSet::load(&dir).unwrap();
    let mut broken = Vec::new();
    let namespaces: Vec<String> = set.namespaces().map(str::to_owned).collect();
    assert!(namespaces.len() > 90, "{}", namespaces.len());
    for ns in namespaces {
        let text = format!("<x xmlns=\"{}\"/>", ns.replace('&', "&amp;"));
        let Ok(doc) = XmlDoc::parse(text.as_bytes()) else {
            continue;
        };
        match set.check(&doc) {
            // An element that no schema declares is a fault, so the schema was applied.
            SchemaOutcome::Checked { faults, .. } if !faults.is_empty() => {}
            other => broken.push(format!("{ns}: {other:?}")),
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
