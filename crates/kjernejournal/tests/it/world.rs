//! A small nation over a temporary store, with the core record and two other services' sources above it.

use bytes::Bytes;
use jiff::civil::date;
use kjernejournal::Kjernejournal;
use kjernejournal::summary::{Opened, Refused, SummaryView};
use records::source::{RecordSource, SourceView, StoreSource, ViewContext};
use registers::table::Row;
use registers::{
    Address, Authorisation, GpRelation, Organisation, Person, PersonName, Practitioner, Protection,
    RegisterTable, Sex, Substitute, Workplace, person_ref,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{
    Commit, Filter, JournalEntry, Op, Privacy, Put, PutId, RepoKind, RepositoryDecl, Seq, Store,
    StoreConfig, StoreError,
};
use trust::settings::{ChangedBy, Setting};
use trust::{Basis, Class, Controller, Part, Principal, Trust, TrustConfig};

pub const NOW: &str = "2026-11-23T11:00:00Z";
pub const KARI: &str = "14896849817";
/// Without any data.
pub const MAHTTO: &str = "21868749927";
/// Strictly confidential address.
pub const STRAND: &str = "03887949947";
pub const DEAD: &str = "17854149881";
/// National id and HPR number.
pub const MOEN: (&str, &str) = ("21927249992", "565900022");
pub const SOLBERG: (&str, &str) = ("12837449934", "565900011");
pub const EIDE: (&str, &str) = ("11829649812", "565900026");
pub const SUSPENDED: (&str, &str) = ("16818749981", "565900061");
pub const HOSPITAL: &str = "315900077";
pub const OFFICE: &str = "315900018";
pub const UNIT: &str = "315900026";

/// A source that fails when told to.
pub struct Fragile {
    inner: StoreSource,
    pub fails: Arc<AtomicBool>,
}

impl RecordSource for Fragile {
    fn key(&self) -> &'static str {
        self.inner.key
    }
    fn controller(&self) -> Controller {
        self.inner.controller
    }
    fn view(&self, context: &ViewContext) -> Result<SourceView, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the source is down".to_owned()));
        }
        self.inner.view(context)
    }
}

pub struct World {
    _folder: tempfile::TempDir,
    pub store: Store,
    pub trust: Arc<Trust>,
    pub service: Kjernejournal,
    pub results_fail: Arc<AtomicBool>,
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName {
        given: given.to_owned(),
        middle: None,
        family: family.to_owned(),
    }
}

fn person(nin: &str, given: &str, family: &str, born: jiff::civil::Date) -> Person {
    Person {
        nin: nin.to_owned(),
        historic: Vec::new(),
        name: name(given, family),
        born: Some(born),
        sex: Sex::Female,
        address: Some(Address {
            street: "Storgata 1".to_owned(),
            postcode: "9010".to_owned(),
            place: "Tromsø".to_owned(),
            municipality: "5501".to_owned(),
        }),
        protection: Protection::Unclassified,
        died: None,
        language: None,
        relations: Vec::new(),
        gp: Some(GpRelation {
            hpr: Some(SOLBERG.1.to_owned()),
            substitutes: vec![Substitute {
                hpr: EIDE.1.to_owned(),
                from: date(2026, 11, 1),
                to: date(2026, 11, 30),
            }],
            orgnr: UNIT.to_owned(),
            her_id: None,
        }),
        story: None,
    }
}

fn doctor((nin, hpr): (&str, &str), given: &str, family: &str, orgnr: &str) -> Practitioner {
    Practitioner {
        hpr: Some(hpr.to_owned()),
        nin: nin.to_owned(),
        name: name(given, family),
        authorisations: vec![Authorisation {
            role: "LE".to_owned(),
            from: date(2010, 1, 1),
            to: None,
            suspended_from: (hpr == SUSPENDED.1).then(|| date(2026, 10, 24)),
        }],
        speciality: None,
        workplaces: vec![Workplace {
            orgnr_parent: orgnr.to_owned(),
            orgnr_child: UNIT.to_owned(),
            department: None,
            her_id: None,
        }],
        story: None,
    }
}

fn organisation(orgnr: &str, name: &str) -> Row {
    Row::Organisation(Box::new(Organisation {
        orgnr: orgnr.to_owned(),
        name: name.to_owned(),
        kinds: vec!["hospital".to_owned()],
        type_code: "101".to_owned(),
        her_id: 1,
        units: Vec::new(),
        approved: true,
        story: None,
    }))
}

fn rows() -> Vec<Row> {
    let people = [
        person(KARI, "Kari", "Lunde", date(1968, 9, 14)),
        person(MAHTTO, "Máhtto", "Eira", date(1987, 6, 21)),
        Person {
            protection: Protection::StrictlyConfidential,
            ..person(STRAND, "Tor Arne", "Strand", date(1979, 8, 3))
        },
        Person {
            died: Some(date(2026, 11, 1)),
            ..person(DEAD, "Solveig", "Hansen", date(1941, 5, 17))
        },
        person(MOEN.0, "Stian", "Moen", date(1972, 12, 21)),
    ];
    let doctors = [
        doctor(MOEN, "Stian", "Moen", HOSPITAL),
        doctor(SOLBERG, "Anders", "Solberg", OFFICE),
        doctor(EIDE, "Ida", "Eide", OFFICE),
        doctor(SUSPENDED, "Henrik", "Svendsen", HOSPITAL),
    ];
    let organisations = [
        organisation(HOSPITAL, "Nordlys sykehus HF"),
        organisation(OFFICE, "Fjordgløtt legesenter AS"),
    ];
    people
        .into_iter()
        .map(|p| Row::Person(Box::new(p)))
        .chain(doctors.into_iter().map(|d| Row::Practitioner(Box::new(d))))
        .chain(organisations)
        .collect()
}

pub fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let declared = [
        (trust::settings::REPOSITORY, RepoKind::Patient),
        (kjernejournal::REPOSITORY, RepoKind::Patient),
        ("provesvar", RepoKind::Patient),
        ("dokumenter", RepoKind::Patient),
    ];
    let declared = declared
        .into_iter()
        .map(|(name, kind)| RepositoryDecl::new(name, kind))
        .chain(registers::repositories())
        .collect();
    let mut config = StoreConfig::sqlite(folder.path(), declared);
    config.unsafe_no_sync = true;
    let (store, mint) = Store::open(config).unwrap();
    let open = mint.grant(Filter::Open, Seq(u64::MAX), 0);
    let table = Arc::new(RegisterTable::open(store.clone(), open).unwrap());
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let trust = Trust::new(
        store.clone(),
        mint,
        table.clone(),
        Arc::new(move || now),
        TrustConfig::default(),
    );
    let trust = Arc::new(trust.unwrap());
    table.import(rows()).unwrap();
    let results_fail = Arc::new(AtomicBool::new(false));
    let source = |key, controller, repo: &str, part: Part| StoreSource {
        key,
        controller,
        repo: store.repo(repo).unwrap(),
        classes: Class::ALL
            .iter()
            .copied()
            .filter(|c| c.part() == part)
            .collect(),
    };
    let others: Vec<Arc<dyn RecordSource>> = vec![
        Arc::new(Fragile {
            inner: source("results", Controller::PPS, "provesvar", Part::Results),
            fails: results_fail.clone(),
        }),
        Arc::new(source(
            "documents",
            Controller::PJD,
            "dokumenter",
            Part::Documents,
        )),
    ];
    let service = Kjernejournal::new(trust.clone(), others).unwrap();
    let world = World {
        _folder: folder,
        store,
        trust,
        service,
        results_fail,
    };
    world.put(
        "provesvar",
        Controller::PPS,
        Class::LabObservation,
        json!({ "resourceType": "Observation", "id": "o1", "status": "amended", "code": { "text": "NT-proBNP", "coding": [{ "code": "NPU21571" }] },
            "valueQuantity": { "value": 412, "comparator": "<", "unit": "ng/L" }, "referenceRange": [{ "high": { "value": 300 } }],
            "effectiveDateTime": "2026-11-23T09:10:00+01:00", "interpretation": [{ "coding": [{ "code": "H" }] }] }),
    );
    world.put(
        "dokumenter",
        Controller::PJD,
        Class::DocumentA,
        json!({ "resourceType": "DocumentReference", "id": "d1", "status": "current", "type": { "text": "Epikrise" }, "date": "2026-11-20" }),
    );
    world
}

pub fn doctor_principal((nin, hpr): (&str, &str), orgnr: &str, level: &str) -> Principal {
    Principal::Personnel {
        nin: nin.to_owned(),
        hpr: Some(hpr.to_owned()),
        role: None,
        security_level: level.to_owned(),
        orgnr_parent: orgnr.to_owned(),
        orgnr_child: UNIT.to_owned(),
        client_id: "portal".to_owned(),
    }
}

impl World {
    /// A record of Kari.
    pub fn put(&self, repo: &str, controller: Controller, class: Class, body: Value) {
        let put = Put {
            repo: self.store.repo(repo).unwrap(),
            rtype: body["resourceType"].as_str().unwrap().to_owned(),
            id: PutId::Given(body["id"].as_str().unwrap().to_owned()),
            op: Op::Update,
            body: Bytes::from(body.to_string()),
            keys: Vec::new(),
            pack: 0,
            persons: vec![person_ref(KARI)],
            privacy: Privacy {
                controller: controller.code().to_owned(),
                class: class.code(),
                service_day: Some(trust::may::days_since_epoch(date(2026, 11, 20))),
                ..Privacy::default()
            },
            blobs: Vec::new(),
        };
        self.store
            .commit(Commit {
                put: vec![put],
                ..Commit::default()
            })
            .unwrap();
    }

    pub fn critical(&self, id: &str, class: Class, text: &str, more: Value) {
        let mut body = json!({ "resourceType": "AllergyIntolerance", "id": id, "code": { "text": text }, "recordedDate": "2026-01-02",
            "verificationStatus": { "coding": [{ "code": "confirmed" }] }, "clinicalStatus": { "coding": [{ "code": "active" }] } });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.put(kjernejournal::REPOSITORY, Controller::KJ, class, body);
    }

    /// Switches settings of a person on.
    pub fn set(&self, nin: &str, settings: &[Setting]) {
        let key = self
            .store
            .intern_person(registers::FNR_SYSTEM, nin)
            .unwrap();
        let rows = self
            .trust
            .setting_rows(&self.store.snapshot().unwrap(), key)
            .unwrap();
        let changes: Vec<_> = settings.iter().map(|s| (s.clone(), true)).collect();
        let by = ChangedBy {
            channel: "helsenorge".to_owned(),
            performer: "Du selv".to_owned(),
        };
        let repo = self.trust.settings_repository();
        let commit = trust::settings::change(
            repo,
            key,
            &rows,
            &changes,
            &by,
            self.trust.now(),
            Vec::new(),
        );
        self.store.commit(commit).unwrap();
    }

    pub fn block(&self, nin: &str, (_, hpr): (&str, &str)) {
        let rows: Vec<Setting> = [Controller::KJ, Controller::PPS, Controller::PJD]
            .into_iter()
            .map(|controller| Setting::Block {
                controller,
                hpr: hpr.to_owned(),
                name: "Stian Moen".to_owned(),
                hidden_name: false,
            })
            .collect();
        self.set(nin, &rows);
    }

    pub fn open_as(&self, who: &Principal, nin: &str, basis: Basis, part: Option<Part>) -> Opened {
        self.service
            .open(who, nin, basis, part, uuid::Uuid::now_v7())
            .unwrap()
    }

    pub fn summary(&self, basis: Basis, part: Option<Part>) -> SummaryView {
        let moen = doctor_principal(MOEN, HOSPITAL, "4");
        match self.open_as(&moen, KARI, basis, part) {
            Opened::Summary(view) => *view,
            Opened::Refused { why } => panic!("refused: {why:?}"),
        }
    }

    pub fn refusal(&self, who: &Principal, nin: &str, basis: Basis) -> Option<Refused> {
        match self.open_as(who, nin, basis, None) {
            Opened::Refused { why } => Some(why),
            Opened::Summary(_) => None,
        }
    }

    /// Lines of a person, oldest first.
    pub fn lines(&self, nin: &str) -> Vec<JournalEntry> {
        let key = self
            .store
            .intern_person(registers::FNR_SYSTEM, nin)
            .unwrap();
        let mut lines = self.store.journal_of(key, None, 100).unwrap();
        lines.reverse();
        lines
    }
}
