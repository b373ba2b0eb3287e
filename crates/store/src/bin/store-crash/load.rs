//! The child: loads the store until it is killed, and writes a line for everything it is told is done.

use crate::model::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{
    BlobPut, Claim, Commit, CommitError, Committed, Durability, EngineConfig, Enqueue, Expect,
    IndexKey, Mint, Op, Position, Purge, RepoId, Seq, Settle, Settlement, Store, StoreConfig, Vno,
};

/// How often, 100 ms apart, a server that does not answer is asked again.
const OPEN_TRIES: u32 = 200;

/// Entry point of the child; `arguments` as [`crate::cycle`] makes them.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut words = arguments.iter().skip(1);
    let mut next = || words.next().cloned().ok_or("child: too few arguments");
    let (engine, place, mirror) = (next()?, next()?, next()?);
    let (cycle, seed, load) = (next()?, next()?, next()?);
    let engine = if engine == "sqlite" {
        EngineConfig::Sqlite {
            folder: place.into(),
        }
    } else {
        EngineConfig::Postgres {
            url: engine,
            schema: place,
            max_connections: 8,
        }
    };
    let load = Load::parse(&load).ok_or("child: unknown load")?;
    let seed: u64 = seed.parse().map_err(|_| "child: seed")?;
    let (store, mint) = open(&config(engine, mirror.into()))?;
    let world = Arc::new(World {
        records: store.repo(RECORDS).map_err(|e| e.to_string())?,
        settings: store.repo(SETTINGS).map_err(|e| e.to_string())?,
        grant: mint.grant(store::Filter::Open, Seq(0), 0),
        store,
        cycle,
        out: Mutex::new(std::io::stdout()),
        dead: AtomicBool::new(false),
    });
    world.say(&Ack::Ready);
    let mut threads = Vec::new();
    for t in 0..WRITERS {
        let (world, random) = (Arc::clone(&world), StdRng::seed_from_u64(seed ^ t as u64));
        threads.push(std::thread::spawn(move || {
            Writer::new(world, t, random).run(load)
        }));
    }
    if load != Load::Audit {
        for t in WRITERS..WRITERS + WORKERS {
            let (world, random) = (Arc::clone(&world), StdRng::seed_from_u64(seed ^ t as u64));
            threads.push(std::thread::spawn(move || work_queue(&world, random)));
        }
        let tail = Arc::clone(&world);
        threads.push(std::thread::spawn(move || tail_feed(&tail)));
    }
    let keeper = Arc::clone(&world);
    threads.push(std::thread::spawn(move || keep_house(&keeper)));
    for thread in threads {
        thread.join().map_err(|_| "a thread of the load panicked")?;
    }
    Ok(())
}

/// Opens the store; a server that is just being stopped and started is waited for.
fn open(config: &StoreConfig) -> Result<(Store, Mint), String> {
    let mut tries = 0;
    loop {
        match Store::open(config.clone()) {
            Err(_) if tries < OPEN_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            opened => return opened.map_err(|e| e.to_string()),
        }
    }
}

struct World {
    store: Store,
    grant: store::Granted,
    records: RepoId,
    settings: RepoId,
    cycle: String,
    out: Mutex<std::io::Stdout>,
    dead: AtomicBool,
}

impl World {
    /// One line, in one write, so that a kill never mixes two.
    fn say(&self, ack: &Ack) {
        let mut line = serde_json::to_string(ack).unwrap_or_default();
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            self.dead.store(true, Ordering::Relaxed);
        }
    }

    fn alive(&self) -> bool {
        !self.dead.load(Ordering::Relaxed)
    }

    /// Commits; says when the outcome is not known. `Ok(None)` = refused.
    fn commit(&self, act: &str, commit: Commit) -> Option<Result<Committed, ()>> {
        match self.store.commit(commit) {
            Ok(done) => Some(Ok(done)),
            Err(CommitError::Refused { .. }) => Some(Err(())),
            Err(CommitError::OutcomeUnknown(_)) => {
                self.say(&Ack::Unknown {
                    act: act.to_owned(),
                });
                self.pause();
                None
            }
            Err(CommitError::Unavailable(_)) => {
                self.pause();
                None
            }
            Err(error) => {
                eprintln!("store-crash child: act {act}: {error}");
                std::process::exit(1);
            }
        }
    }

    fn pause(&self) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Writer {
    world: Arc<World>,
    thread: usize,
    number: u32,
    random: StdRng,
    /// Own live records and their newest version.
    own: Vec<(String, u32)>,
}

impl Writer {
    fn new(world: Arc<World>, thread: usize, random: StdRng) -> Self {
        Self {
            world,
            thread,
            number: 0,
            random,
            own: Vec::new(),
        }
    }

    fn run(mut self, load: Load) {
        while self.world.alive() {
            self.number += 1;
            let act = format!("c{}t{}n{}", self.world.cycle, self.thread, self.number);
            let choice = match load {
                Load::Mixed => self.random.random_range(0..110),
                Load::Commits => self.random.random_range(0..92),
                Load::Audit => 100,
            };
            match choice {
                0..35 => self.create(act),
                35..60 => self.update(act),
                60..65 => self.delete(act),
                65..69 => self.purge(act),
                69..79 => self.condition(act),
                79..84 => self.race(act),
                84..87 => self.blob(act),
                87..92 => self.setting(act),
                _ => self.audit(act),
            }
        }
    }

    fn padding(&mut self) -> usize {
        self.random.random_range(0..1_500)
    }

    fn create(&mut self, act: String) {
        let (a, b) = (format!("a-{act}"), format!("b-{act}"));
        let repo = self.world.records;
        let mut first = put(repo, &a, Op::Create, &act, 1, self.padding());
        let mut blob = Vec::new();
        if has_blob(&act) {
            let part = BlobPut::of(blob_of(&act, 2_000).into());
            first.blobs.push(part.hash);
            blob.push(part);
        }
        let claim = Claim {
            space: "act".to_owned(),
            key: act.as_bytes().to_vec(),
            value: act.as_bytes().to_vec(),
            until: None,
        };
        let commit = Commit {
            expect: vec![
                Expect::Absent {
                    repo,
                    rtype: TYPE.to_owned(),
                    id: a.clone(),
                },
                Expect::Claim(claim),
            ],
            put: vec![first, put(repo, &b, Op::Create, &act, 1, 10)],
            blob,
            enqueue: vec![Enqueue {
                queue: QUEUE.to_owned(),
                headers: "{}".into(),
                body: payload_of(&act).into(),
                ..Enqueue::default()
            }],
            audit: vec![audit(&act)],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Create { act });
            self.own.push((a, 1));
        }
    }

    fn pick(&mut self) -> Option<(String, u32)> {
        if self.own.is_empty() {
            return None;
        }
        let at = self.random.random_range(0..self.own.len());
        Some(self.own.swap_remove(at))
    }

    fn update(&mut self, act: String) {
        let Some((record, vno)) = self.pick() else {
            return self.create(act);
        };
        let made_by = record.trim_start_matches("a-").to_owned();
        let repo = self.world.records;
        let next = vno + 1;
        let commit = Commit {
            expect: vec![Expect::Version {
                repo,
                rtype: TYPE.to_owned(),
                id: record.clone(),
                vno: Vno(vno),
            }],
            put: vec![put(
                repo,
                &record,
                Op::Update,
                &made_by,
                next,
                self.padding(),
            )],
            raise: vec![person(&act)],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Update {
                record: record.clone(),
                vno: next,
            });
            self.own.push((record, next));
        }
    }

    fn delete(&mut self, act: String) {
        let Some((record, vno)) = self.pick() else {
            return self.create(act);
        };
        let gone = put(self.world.records, &record, Op::Delete, &act, vno + 1, 0);
        let commit = Commit {
            put: vec![gone],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Delete {
                record,
                vno: vno + 1,
            });
        }
    }

    fn purge(&mut self, act: String) {
        let Some((record, _)) = self.pick() else {
            return self.create(act);
        };
        let purge = Purge {
            repo: self.world.records,
            rtype: TYPE.to_owned(),
            id: record.clone(),
        };
        let commit = Commit {
            purge: vec![purge],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Purge { record });
        }
    }

    fn condition(&mut self, act: String) {
        let key = format!("c{}k{}", self.world.cycle, self.random.random_range(0..30));
        let repo = self.world.records;
        let condition = IndexKey {
            param: BY_CONDITION,
            value: key.as_bytes().to_vec(),
        };
        let mut record = put(repo, &format!("c-{act}"), Op::Create, &act, 1, 10);
        record.keys.push(condition.clone());
        let commit = Commit {
            expect: vec![Expect::NoMatch {
                repo,
                keys: vec![condition],
                author_org: None,
                filter: store::Filter::Open,
            }],
            put: vec![record],
            audit: vec![audit(&act)],
            ..Commit::default()
        };
        match self.world.commit(&act, commit) {
            Some(Ok(_)) => self.world.say(&Ack::Condition { key, act }),
            Some(Err(())) => self.world.say(&Ack::Refused { act }),
            None => {}
        }
    }

    fn race(&mut self, act: String) {
        let key = format!("c{}r{}", self.world.cycle, self.random.random_range(0..30));
        let claim = Claim {
            space: "race".to_owned(),
            key: key.as_bytes().to_vec(),
            value: act.as_bytes().to_vec(),
            until: None,
        };
        let record = put(
            self.world.records,
            &format!("r-{act}"),
            Op::Create,
            &act,
            1,
            10,
        );
        let commit = Commit {
            expect: vec![Expect::Claim(claim)],
            put: vec![record],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Race { key, act });
        }
    }

    fn blob(&mut self, act: String) {
        let Ok(hash) = self.world.store.stage_blob(&blob_of(&act, STAGED)) else {
            return self.world.pause();
        };
        let mut record = put(
            self.world.records,
            &format!("l-{act}"),
            Op::Create,
            &act,
            1,
            10,
        );
        record.blobs.push(hash);
        let commit = Commit {
            put: vec![record],
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Blob { act });
        }
    }

    fn setting(&mut self, act: String) {
        let id = format!("s-{act}");
        let commit = Commit {
            put: vec![put(self.world.settings, &id, Op::Create, &act, 1, 10)],
            raise: vec![person(&act)],
            audit: vec![audit(&act)],
            mirror: true,
            ..Commit::default()
        };
        if let Some(Ok(_)) = self.world.commit(&act, commit) {
            self.world.say(&Ack::Setting { act });
        }
    }

    fn audit(&mut self, act: String) {
        if self.random.random_bool(0.2) {
            let lazy = audit(&format!("lazy-{act}"));
            let _ = self.world.store.audit(lazy, Durability::WithinOneSecond);
        }
        match self
            .world
            .store
            .audit(audit(&act), Durability::BeforeAnswer)
        {
            Ok(()) => self.world.say(&Ack::Audit { act }),
            Err(_) => self.world.pause(),
        }
    }
}

/// Works the queue: most messages get their effect in the commit that settles them.
fn work_queue(world: &World, mut random: StdRng) {
    while world.alive() {
        let Ok(leased) = world.store.lease(QUEUE, 4, 5_000) else {
            world.pause();
            continue;
        };
        if leased.is_empty() {
            world
                .store
                .wait_queue(&[QUEUE.to_owned()], Duration::from_millis(50));
        }
        for message in leased {
            let act = act_of(&message.body);
            let choice = random.random_range(0..10);
            let outcome = match choice {
                0 => Settlement::Release { due_at: None },
                1 => Settlement::DeadLetter {
                    reason: "tried".to_owned(),
                },
                _ => Settlement::Done,
            };
            let settle = Settle {
                id: message.id,
                token: message.token,
                outcome,
            };
            let mut commit = Commit {
                settle: vec![settle],
                ..Commit::default()
            };
            if choice > 1 {
                let (repo, id) = (world.records, format!("e-{act}"));
                commit.expect = vec![Expect::Absent {
                    repo,
                    rtype: TYPE.to_owned(),
                    id: id.clone(),
                }];
                commit.put = vec![put(repo, &id, Op::Create, &act, 1, 10)];
            }
            if let Some(Ok(_)) = world.commit(&format!("q-{act}"), commit) {
                match choice {
                    0 => {}
                    1 => world.say(&Ack::Dead { act }),
                    _ => world.say(&Ack::Effect { act }),
                }
            }
        }
    }
}

/// Follows the feed and counts it, moving its position in the commit that writes the count.
fn tail_feed(world: &World) {
    while world.alive() {
        let moved = world.store.position(CONSUMER).ok().and_then(|at| {
            let feed = world.store.feed(at, 40).ok()?;
            let to = feed.last()?.seq;
            let counted = counter(world)? + feed.len() as u32;
            let repo = world.records;
            let commit = Commit {
                expect: vec![Expect::Position {
                    consumer: CONSUMER.to_owned(),
                    at,
                }],
                put: vec![put(repo, COUNTER, Op::Update, COUNTER, counted, 0)],
                position: vec![Position {
                    consumer: CONSUMER.to_owned(),
                    to,
                }],
                ..Commit::default()
            };
            world.commit(CONSUMER, commit)?.ok()?;
            world.say(&Ack::Position { to: to.0 });
            Some(())
        });
        if moved.is_none() {
            world.pause();
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn counter(world: &World) -> Option<u32> {
    let snapshot = world.store.snapshot().ok()?;
    match snapshot
        .read(&world.grant, world.records, TYPE, COUNTER)
        .ok()?
    {
        None => Some(0),
        Some(record) => {
            let body: serde_json::Value = serde_json::from_slice(&record.body).ok()?;
            u32::try_from(body.get("n")?.as_u64()?).ok()
        }
    }
}

/// Seals, sweeps and signs, as the hub's jobs do.
fn keep_house(world: &World) {
    let signer = crate::dump::Signer::new();
    while world.alive() {
        std::thread::sleep(Duration::from_millis(25));
        let _ = world.store.seal();
        let _ = world.store.maintain();
        if let (Ok(signer), Ok(day)) = (
            &signer,
            store::journal::seal::day_of(store::journal::seal::now()),
        ) {
            let _ = world.store.sign_head(signer, &day, false);
        }
    }
}
