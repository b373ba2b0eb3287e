//! Non-interference (spec/privacy.md §12.2): world B is world A without the records hidden from the actor. Whatever the
//! actor asks of a snapshot, both answer the same.

use crate::world::*;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use store::*;
use trust::settings::Setting;
use trust::*;

const TYPES: [&str; 2] = ["Observation", "DiagnosticReport"];
const RECORDS: usize = 120;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Records in the order they are written: id, versions.
fn records(repo: RepoId, controller: Controller) -> Vec<Vec<Put>> {
    let mut random = Random(0x5eed_0099);
    let labels = [
        "N",
        "NORN_ANG",
        "NORU",
        "NORS",
        "locked",
        "unverified-patient",
        "NORN_FFL",
        "guardianhide",
    ];
    let classes: &[Class] = match controller {
        Controller::KJ => &[
            Class::Critical2,
            Class::Visit,
            Class::Prescription,
            Class::LabReport,
        ],
        Controller::PPS => &[Class::LabReport, Class::LabObservation],
        _ => &[Class::DocumentA, Class::DocumentB, Class::DocumentC],
    };
    (0..RECORDS)
        .map(|n| {
            let persons: &[&str] = match random.below(6) {
                0 => &[Q],
                1 => &[P, Q],
                2 => &[Q, P],
                _ => &[P],
            };
            let rtype = TYPES[random.below(2) as usize];
            let class = classes[random.below(classes.len() as u64) as usize];
            let versions = 1 + random.below(3);
            (0..versions)
                .map(|v| {
                    let mut put = record(repo, rtype, &format!("r{n}"), controller, class, persons);
                    // Labels may change between versions: a version may be hidden while the record is not.
                    let label = labels[if random.below(2) == 0 {
                        0
                    } else {
                        random.below(8) as usize
                    }];
                    put.privacy.labels = trust::label::bit(label);
                    if label == "NORU" || random.below(8) == 0 {
                        put.privacy.disclose_at =
                            Some(START - DAY_US + random.below(3) as i64 * DAY_US);
                    }
                    put.privacy.service_day = Some(
                        trust::may::days_since_epoch(START_DAY) - 600 * random.below(3) as i32,
                    );
                    put.body = Bytes::from(format!("{{\"n\":{n},\"v\":{v}}}"));
                    put.keys = vec![
                        IndexKey {
                            param: 1,
                            value: format!("{:03}", random.below(20)).into(),
                        },
                        IndexKey {
                            param: 2,
                            value: format!("{n:03}").into(),
                        },
                    ];
                    if v > 0 && v + 1 == versions && random.below(6) == 0 {
                        put.op = Op::Delete;
                        put.body = Bytes::new();
                        put.keys.clear();
                    }
                    put
                })
                .collect()
        })
        .collect()
}

/// A world with these records only (all when `None`).
fn build(
    controller: Controller,
    settings: &[(Setting, bool)],
    keep: Option<&BTreeSet<String>>,
) -> (World, RepoId) {
    let w = World::new();
    let repo = match controller {
        Controller::KJ => w.kj,
        Controller::PPS => w.pps,
        _ => w.pjd,
    };
    w.set(settings);
    // Q blocks B everywhere: a further person of some records.
    w.set_for(Q, &block_everywhere(B.1));
    for versions in records(repo, controller) {
        let PutId::Given(id) = &versions[0].id else {
            unreachable!()
        };
        if keep.is_none_or(|keep| keep.contains(id)) {
            for put in versions {
                w.put(put);
            }
        }
    }
    (w, repo)
}

/// Everything the snapshot can be asked, with record numbers replaced by ids and places in the log left out.
fn answers(w: &World, repo: RepoId, granted: &Granted, visible: usize) -> Vec<(String, String)> {
    let s = w.snapshot();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut say = |what: String, answer: String| out.push((what, answer));
    let shown = |r: &Record| {
        let h = &r.head;
        format!(
            "{}/{} v{} {:?} {:?} {:?}",
            h.rtype, h.id, h.vno.0, h.op, h.privacy, r.body
        )
    };
    let names: BTreeMap<Rid, String> = TYPES
        .iter()
        .flat_map(|t| {
            let rids = s.type_rids(&w.hub, repo, t, Rid(0), 10_000).unwrap();
            s.heads(&w.hub, &rids).unwrap()
        })
        .map(|h| (h.rid, h.id))
        .collect();
    let ids = |rids: &[Rid]| -> String {
        let list: Vec<&str> = rids.iter().map(|r| names[r].as_str()).collect();
        list.join(" ")
    };
    for n in 0..RECORDS {
        for rtype in TYPES {
            let id = format!("r{n}");
            let found = s.read(granted, repo, rtype, &id).unwrap();
            say(
                format!("read {rtype}/{id}"),
                format!("{:?}", found.as_ref().map(shown)),
            );
            for vno in 1..=3 {
                let found = s.vread(granted, repo, rtype, &id, Vno(vno)).unwrap();
                say(
                    format!("vread {rtype}/{id}/{vno}"),
                    format!("{:?}", found.as_ref().map(shown)),
                );
            }
            let scope = HistoryScope::Instance {
                repo,
                rtype: rtype.to_owned(),
                id: id.clone(),
            };
            let list = s.history(granted, &scope, None, 2).unwrap();
            let list: Vec<String> = list.iter().map(shown).collect();
            say(format!("history {rtype}/{id}"), format!("{list:?}"));
        }
    }
    let mut scopes = vec![HistoryScope::Repository { repo }];
    scopes.extend(TYPES.map(|t| HistoryScope::Type {
        repo,
        rtype: t.to_owned(),
    }));
    for scope in scopes {
        let mut before = None;
        for page in 0..200 {
            let list = s.history(granted, &scope, before, 7).unwrap();
            let Some(last) = list.last() else { break };
            before = Some(last.head.seq);
            let list: Vec<String> = list.iter().map(shown).collect();
            say(
                format!("history {scope:?} page {page}"),
                format!("{list:?}"),
            );
        }
    }
    for param in [1, 2] {
        let ranges = [
            KeyRange::whole(param),
            KeyRange::prefix(param, b"00"),
            KeyRange {
                param,
                from: b"005".to_vec(),
                to: Some(b"015".to_vec()),
            },
        ];
        for range in ranges {
            let rids = s.range(granted, repo, &range, 10_000).unwrap();
            let mut set: Vec<&str> = rids.iter().map(|r| names[r].as_str()).collect();
            set.sort_unstable();
            say(format!("range {range:?}"), format!("{set:?}"));
            for direction in [Direction::Ascending, Direction::Descending] {
                let mut after: Option<IndexRow> = None;
                for page in 0..200 {
                    let rows = s
                        .scan(granted, repo, &range, direction, after.as_ref(), 5)
                        .unwrap();
                    let Some(last) = rows.last() else { break };
                    after = Some(last.clone());
                    let rows: Vec<(String, &str)> = rows
                        .iter()
                        .map(|r| {
                            (
                                String::from_utf8_lossy(&r.value).into_owned(),
                                names[&r.rid].as_str(),
                            )
                        })
                        .collect();
                    say(
                        format!("scan {range:?} {direction:?} page {page}"),
                        format!("{rows:?}"),
                    );
                }
            }
        }
    }
    for rtype in TYPES {
        let mut after = Rid(0);
        for page in 0..200 {
            let rids = s.type_rids(granted, repo, rtype, after, 5).unwrap();
            let Some(last) = rids.last() else { break };
            after = *last;
            say(format!("type {rtype} page {page}"), ids(&rids));
        }
    }
    for persons in [vec![P], vec![Q], vec![P, Q]] {
        let keys: BTreeSet<PersonKey> = persons.iter().map(|nin| w.key(nin)).collect();
        let rids = s.compartment(granted, repo, &keys, 10_000).unwrap();
        say(format!("compartment {persons:?}"), ids(&rids));
    }
    // A limit that just holds what is visible: hidden rows must not count against it.
    let whole = s.range(granted, repo, &KeyRange::whole(2), visible.max(1));
    say(
        "tight range".to_owned(),
        format!("{:?}", whole.map(|r| r.len()).map_err(|e| e.to_string())),
    );
    // Every record number of the store, hidden ones too.
    let every: Vec<Rid> = names.keys().copied().collect();
    let heads: Vec<String> = s
        .heads(granted, &every)
        .unwrap()
        .into_iter()
        .map(|h| h.id)
        .collect();
    say("heads".to_owned(), format!("{heads:?}"));
    let records: Vec<String> = s
        .fetch(granted, &every)
        .unwrap()
        .iter()
        .map(shown)
        .collect();
    say("fetch".to_owned(), format!("{records:?}"));
    let keys: BTreeMap<&str, Vec<IndexKey>> = every
        .iter()
        .map(|r| (names[r].as_str(), s.keys(granted, *r).unwrap_or_default()))
        .filter(|(_, keys)| !keys.is_empty())
        .collect();
    say("keys".to_owned(), format!("{keys:?}"));
    out
}

fn compare(name: &str, who: &Principal, ask: &Ask, settings: &[(Setting, bool)]) {
    let controller = ask.controller;
    let (a, repo) = build(controller, settings, None);
    let decided = a.decide(who.clone(), ask.clone());
    // Hidden: the newest version is not admitted. Deleted records that the actor could have seen stay.
    let snapshot = a.snapshot();
    let mut keep = BTreeSet::new();
    for n in 0..RECORDS {
        let id = format!("r{n}");
        for rtype in TYPES {
            if let Some(record) = snapshot.read(&a.hub, repo, rtype, &id).unwrap()
                && decided.granted.filter().admits(&record.head)
            {
                keep.insert(id.clone());
            }
        }
    }
    assert!(
        keep.len() < RECORDS - 20,
        "{name}: hardly anything is hidden"
    );
    assert_eq!(
        keep.len() > 20,
        decided.is_allowed(),
        "{name}: {} are seen",
        keep.len()
    );
    let (b, repo_b) = build(controller, settings, Some(&keep));
    let in_b = b.decide(who.clone(), ask.clone());
    assert_eq!(decided.decision.denied(), in_b.decision.denied(), "{name}");
    assert_eq!(decided.flags(), in_b.flags(), "{name}");
    let (in_a, in_b) = (
        answers(&a, repo, &decided.granted, keep.len()),
        answers(&b, repo_b, &in_b.granted, keep.len()),
    );
    for (x, y) in in_a.iter().zip(&in_b) {
        assert_eq!(x, y, "{name}: {}", x.0);
    }
    assert_eq!(in_a.len(), in_b.len(), "{name}: number of pages");
}

#[test]
fn personnel_see_no_trace_of_hidden_results() {
    compare(
        "blocked by a further person",
        &personnel(B),
        &pps(Basis::Consent),
        &[],
    );
    compare("not blocked", &personnel(E), &pps(Basis::Consent), &[]);
}

#[test]
fn a_blocked_doctor_sees_no_trace_of_anything() {
    compare(
        "blocked",
        &personnel(B),
        &pps(Basis::Consent),
        &block_everywhere(B.1),
    );
    compare(
        "reserved",
        &personnel(E),
        &pps(Basis::Consent),
        &[(Setting::Reservation(Controller::PPS), true)],
    );
}

#[test]
fn a_restricted_part_leaves_no_trace() {
    let settings = [
        (Setting::RestrictPart(Controller::KJ, Part::Medicines), true),
        (Setting::VisitsOff, true),
    ];
    compare("part", &personnel(E), &ci(Basis::Consent), &settings);
}

#[test]
fn documents_outside_the_window_leave_no_trace() {
    compare("windows", &personnel(E), &documents(Basis::Consent), &[]);
}

#[test]
fn a_citizen_sees_no_trace_of_delayed_results() {
    let ask = Ask::read(Interface::CitizenPortal, Controller::PPS, Basis::None);
    compare("citizen", &citizen(P), &ask, &[]);
}
