//! `may` against the second evaluator over generated cells (spec/privacy.md §12.1).

use crate::cells::*;
use crate::oracle::{self, Reviewed, Told, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use store::Head;
use trust::*;

/// What one of the two evaluators says of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    verdict: Verdict,
    /// Bit n: record n of [`heads`] is seen.
    seen: u64,
}

struct Heads {
    kj: Vec<(String, Head)>,
    pps: Vec<(String, Head)>,
    pjd: Vec<(String, Head)>,
}

impl Heads {
    fn new() -> Self {
        Self {
            kj: heads(Controller::KJ),
            pps: heads(Controller::PPS),
            pjd: heads(Controller::PJD),
        }
    }

    fn of(&self, controller: Controller) -> &[(String, Head)] {
        match controller {
            Controller::KJ => &self.kj,
            Controller::PPS => &self.pps,
            _ => &self.pjd,
        }
    }
}

fn bits(heads: &[(String, Head)], sees: impl Fn(&Head) -> bool) -> u64 {
    heads
        .iter()
        .enumerate()
        .filter(|(_, (_, h))| sees(h))
        .fold(0, |bits, (n, _)| bits | 1 << n)
}

fn of_may(facts: &Facts, ask: &Ask, heads: &[(String, Head)]) -> Outcome {
    match may(facts, ask) {
        Decision::Deny { class, .. } => Outcome {
            verdict: Verdict::No(class),
            seen: 0,
        },
        Decision::Allow {
            filter,
            duties,
            flags,
            ..
        } => Outcome {
            verdict: Verdict::Yes(Told {
                closed: flags.closed_parts,
                opened: flags.opened_parts,
                count_nors: flags.count_nors,
                hide_address: flags.hide_address,
                notify: duties.notify,
                review: match duties.review {
                    None => Reviewed::No,
                    Some(Review::Sample) => Reviewed::Sample,
                    Some(_) => Reviewed::Every,
                },
            }),
            seen: bits(heads, |h| filter.admits(h)),
        },
    }
}

fn of_oracle(facts: &Facts, ask: &Ask, heads: &[(String, Head)]) -> Outcome {
    let verdict = oracle::judge(facts, ask);
    let seen = match verdict {
        Verdict::No(_) => 0,
        Verdict::Yes(_) => bits(heads, |h| oracle::sees(facts, ask, h)),
    };
    Outcome { verdict, seen }
}

/// Disagreements by kind, with a count and one example each.
#[derive(Default)]
struct Differences(BTreeMap<String, (usize, String)>);

impl Differences {
    fn note(&mut self, kind: String, example: impl FnOnce() -> String) {
        let entry = self.0.entry(kind).or_insert_with(|| (0, example()));
        entry.0 += 1;
    }

    fn join(&mut self, other: Self) {
        for (kind, (count, example)) in other.0 {
            self.0.entry(kind).or_insert((0, example)).0 += count;
        }
    }

    fn assert_none(&self) {
        let text: Vec<String> = self
            .0
            .iter()
            .map(|(kind, (count, example))| format!("{count:7} × {kind}\n          {example}"))
            .collect();
        assert!(
            text.is_empty(),
            "may and the second evaluator disagree:\n{}",
            text.join("\n")
        );
    }
}

fn compare(cell: &Cell, all: &Heads, differences: &mut Differences) {
    let (facts, ask) = cell.build();
    let heads = all.of(ask.controller);
    let expected = of_oracle(&facts, &ask, heads);
    let actual = of_may(&facts, &ask, heads);
    if expected == actual {
        return;
    }
    let actor = ACTORS[cell.actor];
    match (&expected.verdict, &actual.verdict) {
        (Verdict::No(a), Verdict::No(b)) => differences.note(
            format!("{actor}: oracle denies {a:?}, may denies {b:?}"),
            || cell.name(),
        ),
        (Verdict::No(a), Verdict::Yes(_)) => differences
            .note(format!("{actor}: oracle denies {a:?}, may allows"), || {
                cell.name()
            }),
        (Verdict::Yes(_), Verdict::No(b)) => differences
            .note(format!("{actor}: oracle allows, may denies {b:?}"), || {
                cell.name()
            }),
        (Verdict::Yes(a), Verdict::Yes(b)) => {
            for (n, (name, _)) in heads.iter().enumerate() {
                let (want, got) = (expected.seen >> n & 1, actual.seen >> n & 1);
                if want != got && !(got == 0 && is_not_expressible(&ask, name)) {
                    let who = if got == 1 {
                        "only may"
                    } else {
                        "only the oracle"
                    };
                    differences.note(
                        format!(
                            "{} record '{name}' is seen by {who}, {actor}",
                            DOORS[cell.door].0
                        ),
                        || cell.name(),
                    );
                }
            }
            told(cell, a, b, differences);
        }
    }
}

/// Where a conjunction of conditions cannot say what the rule says, `may` must hide more, never less: V beside
/// NORN_ANG or NORS "as 9603" (§2.6), and NORS in an answer of several parts of which one was opened.
fn is_not_expressible(ask: &Ask, record: &str) -> bool {
    let partly_opened = Part::ALL
        .into_iter()
        .any(|part| oracle::asks_for(ask, part) && !oracle::opens(ask, part));
    record.starts_with("conf V beside")
        || record == "label NORS" && partly_opened
        || record == "labels NORS+NORN_FFL" && partly_opened
}

fn told(cell: &Cell, a: &Told, b: &Told, differences: &mut Differences) {
    let mut note = |what: &str, a: String, b: String| {
        if a != b {
            differences.note(
                format!("{}: {what}: oracle {a}, may {b}", ACTORS[cell.actor]),
                || cell.name(),
            );
        }
    };
    note(
        "closed parts",
        format!("{:?}", a.closed),
        format!("{:?}", b.closed),
    );
    note(
        "opened parts",
        format!("{:?}", a.opened),
        format!("{:?}", b.opened),
    );
    note(
        "count NORS",
        a.count_nors.to_string(),
        b.count_nors.to_string(),
    );
    note(
        "hide address",
        a.hide_address.to_string(),
        b.hide_address.to_string(),
    );
    if ACTORS[cell.actor] == "System" {
        return; // §5 says what is reviewed and told of persons only
    }
    note(
        "review",
        format!("{:?}", a.review),
        format!("{:?}", b.review),
    );
    note("notify", a.notify.to_string(), b.notify.to_string());
}

/// Full product within a controller for (actor, basis, setting, action).
fn product() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (door, d) in DOORS.iter().enumerate().filter(|(_, d)| d.3) {
        for actor in 0..ACTORS.len() {
            for setting in 0..SETTINGS.len() {
                for action in 0..ACTIONS.len() {
                    for basis in 0..7 {
                        let cell = Cell {
                            door,
                            actor,
                            basis,
                            setting,
                            action,
                            ..Cell::default()
                        };
                        // Citizens come through their own door, everybody else through the service's.
                        let own_door = (d.2 == Interface::CitizenPortal) == cell.is_citizen();
                        if own_door && cell.impossible().is_none() {
                            cells.push(cell);
                        }
                    }
                }
            }
        }
    }
    cells
}

/// A small generator with a fixed seed: the same cells on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Factors beyond the main four keep their ordinary value in two of three cells, or nearly all would be refused.
    fn cell(&mut self) -> [usize; 10] {
        std::array::from_fn(|f| {
            if f > 4 && self.below(3) > 0 {
                0
            } else {
                self.below(SIZES[f])
            }
        })
    }
}

/// Every pair of values of two factors, the others drawn; four draws each.
fn pairs() -> Vec<Cell> {
    let mut random = Random(0x5eed_0001);
    let mut cells = Vec::new();
    for a in 0..SIZES.len() {
        for b in a + 1..SIZES.len() {
            for x in 0..SIZES[a] {
                for y in 0..SIZES[b] {
                    let mut drawn = 0;
                    for _ in 0..24 {
                        let mut v = random.cell();
                        v[a] = x;
                        v[b] = y;
                        let cell = Cell::of(v);
                        if cell.impossible().is_none() {
                            cells.push(cell);
                            drawn += 1;
                            if drawn == 4 {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

fn sample(seed: u64, count: usize) -> Vec<Cell> {
    let mut random = Random(seed);
    std::iter::repeat_with(|| Cell::of(random.cell()))
        .filter(|c| c.impossible().is_none())
        .take(count)
        .collect()
}

fn check(cells: &[Cell]) {
    let heads = Heads::new();
    let mut differences = Differences::default();
    let half = cells.len().div_ceil(2);
    std::thread::scope(|scope| {
        let threads: Vec<_> = cells
            .chunks(half.max(1))
            .map(|chunk| {
                let heads = &heads;
                scope.spawn(move || {
                    let mut differences = Differences::default();
                    for cell in chunk {
                        compare(cell, heads, &mut differences);
                    }
                    differences
                })
            })
            .collect();
        for thread in threads {
            differences.join(thread.join().expect("the thread ends"));
        }
    });
    differences.assert_none();
}

#[test]
fn full_product_agrees() {
    check(&product());
}

#[test]
fn pairs_agree() {
    check(&pairs());
}

#[test]
fn sampled_share_agrees() {
    check(&sample(0x5eed_0002, 60_000));
}

/// `./test matrix`: a million cells of the full product.
#[test]
#[ignore = "a million cells: run by ./test matrix"]
fn matrix_of_a_million_cells_agrees() {
    check(&sample(0x5eed_0003, 1_000_000));
}

/// Every pruned cell has its reason, and pruning leaves every value of every factor alive.
#[test]
fn pruning_leaves_every_value() {
    let mut alive: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); SIZES.len()];
    for cell in product().iter().chain(&pairs()) {
        let v = [
            cell.door,
            cell.actor,
            cell.basis,
            cell.setting,
            cell.action,
            cell.purpose,
            cell.state,
            cell.class,
            cell.attest,
            cell.elevation,
        ];
        for (set, value) in alive.iter_mut().zip(v) {
            set.insert(value);
        }
    }
    for (set, size) in alive.iter().zip(SIZES) {
        assert_eq!(set.len(), size);
    }
}

/// The expected cells of the full product, one line per (controller, actor, setting, row of the seven bases).
///
/// `TRUST_EXPECTED=write` writes the file anew; a changed cell is a changed line to be looked at.
#[test]
fn expected_cells_stand_in_the_file() {
    let heads = Heads::new();
    let mut rows: BTreeMap<(&str, &str, &str), BTreeMap<usize, [String; 7]>> = BTreeMap::new();
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for cell in product() {
        let (facts, ask) = cell.build();
        let text = kind(&of_may(&facts, &ask, heads.of(ask.controller)));
        kinds.insert(text.clone());
        rows.entry((
            DOORS[cell.door].0,
            ACTORS[cell.actor],
            SETTINGS[cell.setting],
        ))
        .or_default()
        .entry(cell.action)
        .or_insert_with(|| std::array::from_fn(|_| "-".to_owned()))[cell.basis] = text;
    }
    let names: BTreeMap<&String, String> = kinds
        .iter()
        .filter(|k| k.starts_with('A'))
        .enumerate()
        .map(|(n, k)| (k, format!("A{n}")))
        .collect();
    let mut lines = Vec::new();
    for (text, name) in &names {
        lines.push(format!("={name}\t{text}"));
    }
    // Settings with the same rows share a line.
    let mut shared: BTreeMap<(&str, &str, String), Vec<&str>> = BTreeMap::new();
    for ((controller, actor, setting), by_action) in &rows {
        let mut grouped: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (action, row) in by_action {
            let row: Vec<&str> = row
                .iter()
                .map(|t| names.get(t).map_or(t.as_str(), String::as_str))
                .collect();
            grouped
                .entry(row.join(" "))
                .or_default()
                .push(format!("{:?}", ACTIONS[*action]));
        }
        let text: Vec<String> = grouped
            .iter()
            .map(|(row, actions)| format!("{}: {row}", actions.join(",")))
            .collect();
        shared
            .entry((controller, actor, text.join(" | ")))
            .or_default()
            .push(setting);
    }
    for ((controller, actor, text), settings) in &shared {
        lines.push(format!(
            "{controller}\t{actor}\t{}\t{text}",
            settings.join(",")
        ));
    }
    lines.sort();
    let body = lines.join("\n");
    let hash: String = store::sha256(body.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let file = format!(
        "# Cells of the full product: controller, actor, settings, then per group of actions the seven bases in the\n\
         # order Exception Consent Emergency ElevatedConsent ElevatedEmergency Law45 None. Small letters: deny class;\n\
         # A<n>: allowed, see =A<n> (records seen of the list in cells.rs, parts closed and opened, NORS count,\n\
         # notice, review); -: cannot be. Written by TRUST_EXPECTED=write.\n# sha256 {hash}\n{body}\n"
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.tsv");
    if std::env::var("TRUST_EXPECTED").as_deref() == Ok("write") {
        std::fs::write(path, &file).expect("the file is written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let changed: Vec<&str> = file
        .lines()
        .filter(|line| !kept.lines().any(|k| k == *line))
        .take(20)
        .collect();
    assert!(
        kept == file,
        "cells changed; look at them, then TRUST_EXPECTED=write:\n{}",
        changed.join("\n")
    );
}

fn kind(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::No(class) => class.code().to_owned(),
        Verdict::Yes(told) => format!(
            "A {:016x} closed={:?} opened={:?} nors={} address={} notify={} review={:?}",
            outcome.seen,
            told.closed,
            told.opened,
            told.count_nors,
            !told.hide_address,
            told.notify,
            told.review
        ),
    }
}
