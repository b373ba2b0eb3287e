//! A small nation over a temporary SQLite store: one patient, a few doctors, the real `Trust` above it.

use bytes::Bytes;
use jiff::civil::{Date, date};
use registers::table::Row;
use registers::{
    Authorisation, FNR_SYSTEM, GpRelation, Organisation, Person, PersonName, Practitioner,
    Protection, RegisterTable, Sex, Substitute, Workplace,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::*;
use trust::gather::SubjectRef;
use trust::settings::{ChangedBy, Setting};
use trust::*;

pub const HOUR_US: i64 = 3_600_000_000;
pub const DAY_US: i64 = 24 * HOUR_US;
/// 2027-06-15T10:00Z.
pub const START: MicrosUtc = 1_813_053_600_000_000;
pub const START_DAY: Date = date(2027, 6, 15);

pub const P: &str = "04838530090";
pub const P_DNR: &str = "44838531110";
pub const Q: &str = "01819032048";
pub const GP_OFFICE: &str = "111111111";
pub const HOSPITAL: &str = "222222222";

/// National id (synthetic, with right check digits) and HPR number of the personnel.
pub const B: (&str, &str) = ("01817033047", "9000001");
pub const G: (&str, &str) = ("01817034183", "9000002");
pub const E: (&str, &str) = ("01817035058", "9000003");
pub const S: (&str, &str) = ("01817036003", "9000004");

pub struct World {
    pub trust: Trust,
    pub store: Store,
    pub registers: Arc<RegisterTable>,
    pub kj: RepoId,
    pub pps: RepoId,
    pub pjd: RepoId,
    pub hub: Granted,
    clock: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

pub fn person(nin: &str, born: Date) -> Person {
    Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: PersonName {
            given: "Prøve".to_owned(),
            middle: None,
            family: nin.to_owned(),
        },
        born: Some(born),
        sex: Sex::Female,
        address: None,
        protection: Protection::Unclassified,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: None,
        story: None,
    }
}

pub fn doctor((nin, hpr): (&str, &str), orgnr: &str) -> Practitioner {
    Practitioner {
        hpr: Some(hpr.to_owned()),
        nin: nin.to_owned(),
        name: PersonName {
            given: "Lege".to_owned(),
            middle: None,
            family: nin.to_owned(),
        },
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: date(2010, 1, 1),
            to: None,
            suspended_from: None,
        }],
        speciality: None,
        workplaces: vec![Workplace {
            orgnr_parent: orgnr.to_owned(),
            orgnr_child: "333333333".to_owned(),
            department: None,
            her_id: None,
        }],
        story: None,
    }
}

fn organisation(orgnr: &str, kind: &str) -> Organisation {
    Organisation {
        orgnr: orgnr.to_owned(),
        name: format!("Virksomhet {orgnr}"),
        kinds: vec![kind.to_owned()],
        type_code: "101".to_owned(),
        her_id: 1,
        units: Vec::new(),
        approved: true,
        story: None,
    }
}

pub fn patient() -> Person {
    Person {
        gp: Some(GpRelation {
            hpr: Some(G.1.to_owned()),
            substitutes: vec![Substitute {
                hpr: S.1.to_owned(),
                from: date(2027, 6, 1),
                to: date(2027, 6, 30),
            }],
            orgnr: "333333333".to_owned(),
            her_id: None,
        }),
        historic: vec![P_DNR.to_owned()],
        ..person(P, date(1985, 3, 4))
    }
}

pub fn people() -> Vec<Row> {
    let mut rows = vec![
        Row::Organisation(Box::new(organisation(GP_OFFICE, "gp_office"))),
        Row::Organisation(Box::new(organisation(HOSPITAL, "hospital"))),
        Row::Person(Box::new(patient())),
        Row::Person(Box::new(person(Q, date(1990, 1, 1)))),
    ];
    for (who, orgnr) in [(B, HOSPITAL), (G, GP_OFFICE), (E, HOSPITAL), (S, GP_OFFICE)] {
        rows.push(Row::Person(Box::new(person(who.0, date(1970, 1, 1)))));
        rows.push(Row::Practitioner(Box::new(doctor(who, orgnr))));
    }
    rows
}

impl World {
    /// With everybody in the registers.
    pub fn new() -> Self {
        let world = Self::empty();
        world.registers.import(people()).expect("imported");
        world
    }

    /// With empty registers.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let decl = |name: &str, kind| RepositoryDecl::new(name, kind);
        let mut config = StoreConfig::sqlite(
            folder.path(),
            [
                decl(trust::settings::REPOSITORY, RepoKind::Internal),
                decl("kjernejournal", RepoKind::Patient),
                decl("provesvar", RepoKind::Patient),
                decl("dokumenter", RepoKind::Patient),
            ]
            .into_iter()
            .chain(registers::repositories())
            .collect(),
        );
        config.unsafe_no_sync = true;
        let (store, mint) = Store::open(config).expect("the store opens");
        let hub = mint.grant(Filter::Open, Seq(u64::MAX), 0);
        let registers =
            Arc::new(RegisterTable::open(store.clone(), hub.clone()).expect("registers"));
        let clock = Arc::new(AtomicI64::new(START));
        let now = clock.clone();
        let trust = Trust::new(
            store.clone(),
            mint,
            registers.clone(),
            Arc::new(move || now.load(Ordering::SeqCst)),
            TrustConfig::default(),
        )
        .expect("trust");
        let repo = |name: &str| store.repo(name).expect("declared");
        Self {
            kj: repo("kjernejournal"),
            pps: repo("provesvar"),
            pjd: repo("dokumenter"),
            hub,
            trust,
            registers,
            clock,
            _folder: folder,
            store,
        }
    }

    pub fn at(&self, now: MicrosUtc) {
        self.clock.store(now, Ordering::SeqCst);
    }

    pub fn key(&self, nin: &str) -> PersonKey {
        self.store.intern_person(FNR_SYSTEM, nin).expect("a key")
    }

    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot().expect("a snapshot")
    }

    /// Decides now, about the patient.
    pub fn decide(&self, who: Principal, ask: Ask) -> Decided {
        self.decide_on(who, ask, P)
    }

    pub fn decide_on(&self, who: Principal, ask: Ask, nin: &str) -> Decided {
        let access = Access::new(who, Some(SubjectRef::Nin(nin.to_owned())), ask, "test");
        self.trust
            .decide(&self.snapshot(), &access)
            .expect("decided")
    }

    /// The patient switches settings on or off.
    pub fn set(&self, changes: &[(Setting, bool)]) {
        self.set_for(P, changes);
    }

    pub fn set_for(&self, nin: &str, changes: &[(Setting, bool)]) {
        self.store
            .commit(self.change(nin, changes))
            .expect("the change is accepted");
    }

    pub fn change(&self, nin: &str, changes: &[(Setting, bool)]) -> Commit {
        let key = self.key(nin);
        let rows = self
            .trust
            .setting_rows(&self.snapshot(), key)
            .expect("rows");
        trust::settings::change(
            self.trust.settings_repository(),
            key,
            &rows,
            changes,
            &ChangedBy {
                channel: "helsenorge".to_owned(),
                performer: "Du selv".to_owned(),
            },
            self.trust.now(),
            Vec::new(),
        )
    }

    /// A new version of a record; returns its number.
    pub fn put(&self, put: Put) -> Vno {
        let commit = Commit {
            put: vec![put],
            ..Commit::default()
        };
        self.store.commit(commit).expect("accepted").puts[0].vno
    }

    /// Ids of a type that the grant sees now, sorted.
    pub fn seen(&self, granted: &Granted, repo: RepoId, rtype: &str) -> Vec<String> {
        let snapshot = self.snapshot();
        let rids = snapshot
            .type_rids(granted, repo, rtype, Rid(0), 1_000)
            .expect("rids");
        let mut ids: Vec<String> = snapshot
            .heads(granted, &rids)
            .expect("heads")
            .into_iter()
            .map(|h| h.id)
            .collect();
        ids.sort();
        ids
    }
}

/// A record of these persons.
pub fn record(
    repo: RepoId,
    rtype: &str,
    id: &str,
    controller: Controller,
    class: Class,
    persons: &[&str],
) -> Put {
    Put {
        repo,
        rtype: rtype.to_owned(),
        id: PutId::Given(id.to_owned()),
        op: Op::Update,
        body: Bytes::from(format!("{{\"id\":\"{id}\"}}")),
        keys: vec![IndexKey {
            param: 1,
            value: id.as_bytes().to_vec(),
        }],
        pack: 1,
        persons: persons
            .iter()
            .map(|nin| PersonRef::id(FNR_SYSTEM, *nin))
            .collect(),
        privacy: Privacy {
            controller: controller.code().to_owned(),
            class: class.code(),
            service_day: Some(trust::may::days_since_epoch(START_DAY)),
            ..Privacy::default()
        },
        blobs: Vec::new(),
    }
}

pub fn personnel((nin, hpr): (&str, &str)) -> Principal {
    Principal::Personnel {
        nin: nin.to_owned(),
        hpr: Some(hpr.to_owned()),
        role: Some("LE".to_owned()),
        security_level: "4".to_owned(),
        orgnr_parent: HOSPITAL.to_owned(),
        orgnr_child: "333333333".to_owned(),
        client_id: "client".to_owned(),
    }
}

pub fn citizen(nin: &str) -> Principal {
    Principal::Citizen {
        nin: nin.to_owned(),
        acting: None,
    }
}

pub fn system() -> Principal {
    Principal::System {
        client_id: "client".to_owned(),
        orgnr_parent: HOSPITAL.to_owned(),
    }
}

pub fn block(controller: Controller, hpr: &str) -> Setting {
    Setting::Block {
        controller,
        hpr: hpr.to_owned(),
        name: "Lege".to_owned(),
        hidden_name: false,
    }
}

/// "Everywhere" is one row per controller in one commit (§2.7).
pub fn block_everywhere(hpr: &str) -> Vec<(Setting, bool)> {
    [Controller::KJ, Controller::PPS, Controller::PJD]
        .into_iter()
        .map(|c| (block(c, hpr), true))
        .collect()
}

pub fn ci(basis: Basis) -> Ask {
    Ask::read(Interface::CriticalInformation, Controller::KJ, basis)
}

pub fn portal(basis: Basis) -> Ask {
    Ask::read(Interface::PersonnelPortal, Controller::KJ, basis)
}

pub fn pps(basis: Basis) -> Ask {
    Ask::read(Interface::Pps, Controller::PPS, basis)
}

pub fn documents(basis: Basis) -> Ask {
    Ask::read(Interface::PjdKj, Controller::PJD, basis)
}
