//! The catalogue, what two parties have in common, and the documents.

use super::document::{Party, Terms, Transport, agreement, common_transport, profile};
use super::*;

fn epikrise(version: &str, role: &str) -> Taken {
    Taken {
        uuid: "4ab55eaa-a095-4a4f-96e4-48fbf577fe48".to_owned(),
        version: version.to_owned(),
        role: role.to_owned(),
    }
}

#[test]
fn the_catalogue_is_whole() {
    assert_eq!(processes().len(), 204);
    for process in processes() {
        assert_eq!(
            process.roles.len(),
            2,
            "{} {}",
            process.name,
            process.version
        );
        for role in &process.roles {
            assert!(!role.actions.is_empty(), "{}", role.name);
            for action in &role.actions {
                assert!(!package(action.package).is_empty(), "{}", action.package);
            }
        }
    }
    let process = process("4AB55EAA-a095-4a4f-96e4-48fbf577fe48", "1.2").unwrap();
    let sender = process.role("EPIKRISEsender").unwrap();
    assert_eq!(sender.service, "S-EPIKRISE");
    assert_eq!(sender.actions[0].name, "EPIKRISE");
}

#[test]
fn what_one_sends_is_what_the_other_receives() {
    for process in processes() {
        let [first, second] = process.roles.as_slice() else {
            panic!("two roles");
        };
        for action in first.actions.iter().filter(|a| a.sends) {
            let answered = second
                .actions
                .iter()
                .any(|other| !other.sends && other.package == action.package);
            assert!(answered, "{} {}", process.name, action.name);
        }
    }
}

#[test]
fn the_newest_version_with_opposite_roles_counts() {
    let (send, receive) = ("EPIKRISEsender", "EPIKRISEreceiver");
    /// Versions with their roles.
    type Versions<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Versions<'_>, Versions<'_>, Option<&str>)] = &[
        (
            &[("1.1", send), ("1.2", send)],
            &[("1.1", receive), ("1.2", receive)],
            Some("1.2"),
        ),
        (
            &[("1.1", send), ("1.2", send)],
            &[("1.1", receive)],
            Some("1.1"),
        ),
        (&[("1.2", send)], &[("1.2", send)], None),
        (&[("1.2", send)], &[("1.1", receive)], None),
        (&[("9.9", send)], &[("9.9", receive)], None),
        (&[], &[("1.2", receive)], None),
    ];
    let all = |list: &[(&str, &str)]| -> Vec<Taken> {
        list.iter().map(|(v, r)| epikrise(v, r)).collect()
    };
    for (first, second, expected) in cases {
        let (a, b) = common_roles(&all(first), &all(second));
        assert_eq!(a.first().map(|t| t.version.as_str()), *expected);
        assert_eq!(a.len(), b.len());
    }
}

#[test]
fn parties_meet_over_a_transport_that_both_have() {
    let with = |bus: bool, mail: bool| Party {
        bus_async: bus.then(|| "host/ns/1_async".to_owned()),
        mail: mail.then(|| "a@b.no".to_owned()),
        ..Party::default()
    };
    for (a, b, expected) in [
        ((true, true), (true, true), Some(Transport::Amqp)),
        ((true, true), (false, true), Some(Transport::Smtp)),
        ((true, false), (false, true), None),
    ] {
        assert_eq!(
            common_transport(&[&with(a.0, a.1), &with(b.0, b.1)]),
            expected
        );
    }
}

fn party(her_id: u32, role: &str) -> Party {
    Party {
        her_id,
        name: "A & \"B\"".to_owned(),
        bus_async: Some(format!("host/ns/{her_id}_async")),
        bus_sync: Some(format!("host/ns/{her_id}_sync")),
        mail: None,
        encryption: Some("AAAA".to_owned()),
        signing: Some("BBBB".to_owned()),
        roles: vec![epikrise("1.2", role)],
    }
}

#[test]
fn documents_are_well_formed_with_qualified_attributes_and_unique_ids() {
    let (first, second) = (party(1, "EPIKRISEsender"), party(2, "EPIKRISEreceiver"));
    let terms = Terms {
        id: "9333f3de-e85c-4c26-9066-6800055b1b8e".to_owned(),
        status: "agreed",
        start: "2026-11-22T00:00:00Z".to_owned(),
        end: "2027-11-22T00:00:00Z".to_owned(),
    };
    let cpa = agreement(&terms, &first, &second, Transport::Amqp);
    let cpp = profile("db5342ce-2e56-47b6-b4dc-054969f96f6f", &first);
    for (text, parties) in [(&cpa, 2), (&cpp, 1)] {
        let root = crate::xml::XmlDoc::parse(text.as_bytes()).expect("well-formed");
        let mut ids = Vec::new();
        let mut infos = 0;
        root.root.walk(&mut |elem| {
            if &*elem.name == "PartyInfo" {
                infos += 1;
            }
            for attr in &elem.attrs {
                assert!(!attr.ns.is_empty(), "{} {}", elem.name, attr.name);
                let is_id = matches!(
                    &*attr.name,
                    "id" | "certId" | "channelId" | "transportId" | "docExchangeId" | "securityId"
                );
                let declares = matches!(
                    (&*elem.name, &*attr.name),
                    (_, "id")
                        | ("Certificate", "certId")
                        | ("DeliveryChannel", "channelId")
                        | ("Transport", "transportId")
                        | ("DocExchange", "docExchangeId")
                        | ("SecurityDetails", "securityId")
                );
                if is_id && declares {
                    ids.push(attr.value.to_string());
                }
            }
        });
        assert_eq!(infos, parties);
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "every id once");
    }
    assert!(cpa.contains(">AMQP<") && cpa.contains("host/ns/1_async"));
    assert!(cpa.contains("partyName=\"A &amp; &quot;B&quot;\""));
}
