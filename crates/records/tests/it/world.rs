//! A store with a sandbox and a results repository, a small register, and a gate whose tokens are plain headers.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use jiff::civil::date;
use records::gate::{Caller, Gate, Gated, OpenGate, Refusal, TrustGate};
use records::profiles::Checks;
use records::repository::{RepositoryConfig, patient_ids};
use records::smart::{AuthorizationServer, Launch, Scopes};
use registers::{
    Authorisation, Directory, FNR_SYSTEM, GpRelation, HPR_SYSTEM, Organisation, Party, Person,
    PersonName, Practitioner, Protection, Sex, Unit,
};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{
    Alias, Commit, Granted, Op, PersonRef, Privacy, PutId, RepoKind, RepositoryDecl, Snapshot,
    Store, StoreConfig, StoreError,
};
use tower::ServiceExt;
use trust::gather::SubjectRef;
use trust::settings::{ChangedBy, Setting, change};
use trust::{Action, Basis, Class, Controller, Principal, Trust, TrustConfig};

pub const BASE: &str = "http://127.0.0.1:8080/fhir";
pub const DOCTOR: &str = "06828399789";
pub const OTHER_DOCTOR: &str = "29881798177";
/// Has results.
pub const KARI: &str = "15849197352";
/// Has results too.
pub const OLA: &str = "05898597468";
/// Has none, but the store has met her.
pub const EMPTY: &str = "21830999413";
/// In the register; no record and no log line has ever named her.
pub const UNTOUCHED: &str = "12837449934";
const HPR: [(&str, &str); 2] = [(DOCTOR, "565505933"), (OTHER_DOCTOR, "7001001")];
const HOSPITAL: &str = "999977774";

struct People;

fn name_of(nin: &str) -> Option<PersonName> {
    let (given, family) = match nin {
        DOCTOR => ("KVART", "GREVLING"),
        OTHER_DOCTOR => ("RASK", "ELG"),
        KARI => ("KARI", "BEVER"),
        OLA => ("OLA", "BEVER"),
        EMPTY => ("TOM", "HAUG"),
        UNTOUCHED => ("URØRT", "HAUG"),
        _ => return None,
    };
    Some(PersonName {
        given: given.to_owned(),
        middle: None,
        family: family.to_owned(),
    })
}

impl Directory for People {
    fn person(&self, nin: &str) -> Option<Person> {
        Some(Person {
            nin: nin.to_owned(),
            historic: Vec::new(),
            name: name_of(nin)?,
            born: Some(date(1983, 2, 6)),
            sex: Sex::Female,
            address: None,
            protection: Protection::Unclassified,
            died: None,
            language: None,
            relations: Vec::new(),
            gp: None::<GpRelation>,
            story: None,
        })
    }

    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        let (nin, _) = HPR.iter().find(|(_, h)| *h == hpr)?;
        self.practitioner_by_nin(nin)
    }

    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner> {
        let (_, hpr) = HPR.iter().find(|(n, _)| *n == nin)?;
        Some(Practitioner {
            hpr: Some((*hpr).to_owned()),
            nin: nin.to_owned(),
            name: name_of(nin)?,
            authorisations: vec![Authorisation {
                role: "LE".to_owned(),
                from: date(2010, 1, 1),
                to: None,
                suspended_from: None,
            }],
            speciality: None,
            workplaces: Vec::new(),
            story: None,
        })
    }

    fn practitioners_of(&self, _: &str, _: usize) -> Vec<Practitioner> {
        Vec::new()
    }

    fn party(&self, _: u32) -> Option<Party> {
        None
    }

    fn parties_of(&self, _: &str) -> Vec<Party> {
        Vec::new()
    }

    fn top_parties(&self) -> Vec<Party> {
        Vec::new()
    }

    fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        (orgnr == HOSPITAL).then(|| Organisation {
            orgnr: orgnr.to_owned(),
            name: "Granfjelldal sykehus".to_owned(),
            kinds: Vec::new(),
            type_code: "1".to_owned(),
            her_id: 1,
            units: Vec::<Unit>::new(),
            approved: true,
            story: None,
        })
    }

    fn organisations(&self, _: usize) -> Vec<Organisation> {
        Vec::new()
    }

    fn search_persons(&self, _: &str, _: usize) -> Vec<Person> {
        Vec::new()
    }

    fn story_persons(&self) -> Vec<Person> {
        Vec::new()
    }

    fn practitioners(&self, _: usize) -> Vec<Practitioner> {
        Vec::new()
    }
}

/// [`TrustGate`] with a caller read from plain headers instead of a token.
struct HeaderGate(TrustGate);

impl Gate for HeaderGate {
    fn authenticate(&self, _: &str, _: &str, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let Some(nin) = text("x-doctor") else {
            return Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                issue: "login",
                text: "a token is needed".to_owned(),
                authenticate: Some("DPoP algs=\"ES256\"".to_owned()),
            });
        };
        let basis = text("nhn-access-basis").unwrap_or_else(|| "SAMTYKKE".to_owned());
        Ok(Caller {
            principal: Principal::Personnel {
                hpr: None,
                role: text("nhn-user-role"),
                security_level: "4".to_owned(),
                orgnr_parent: HOSPITAL.to_owned(),
                orgnr_child: HOSPITAL.to_owned(),
                client_id: "test".to_owned(),
                nin,
            },
            basis: Basis::parse(&basis).ok_or_else(|| Refusal::bad_request("basis"))?,
            named: text("nhn-patient-nin").map(SubjectRef::Nin),
            smart: text("x-scopes")
                .and_then(|scopes| {
                    let launch = text("x-launch").map_or(Launch::Request, Launch::Patient);
                    Scopes::of(scopes.split(' '), launch)
                })
                .map(Arc::new),
            ..Caller::anonymous()
        })
    }

    fn decide(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        subject: Option<SubjectRef>,
        action: Action,
        classes: &[Class],
    ) -> Result<Result<Gated, Refusal>, StoreError> {
        self.0.decide(snapshot, caller, subject, action, classes)
    }

    fn is_open(&self) -> bool {
        false
    }

    fn trust(&self) -> Option<&Trust> {
        Some(&self.0.trust)
    }

    fn hub_grant(&self) -> Granted {
        self.0.hub_grant()
    }
}

pub struct World {
    pub store: Store,
    pub trust: Arc<Trust>,
    pub sandbox: Router,
    /// Two repositories below `/fhir/`.
    pub mounted: Router,
    pub results: Router,
    _folder: tempfile::TempDir,
}

const KEY: [u8; 32] = [7; 32];

fn issuer() -> AuthorizationServer {
    let at = |path: &str| format!("https://issuer.test{path}");
    AuthorizationServer {
        issuer: at(""),
        authorize: at("/authorize"),
        token: at("/token"),
        jwks: at("/jwks"),
        introspect: at("/introspect"),
        revoke: at("/revoke"),
        algorithms: vec!["ES256".to_owned()],
        scopes: Vec::new(),
    }
}

fn jobs(store: &Store, folder: &std::path::Path, workers: usize) -> records::jobs::JobsConfig {
    records::jobs::JobsConfig {
        repo: store.repo(records::jobs::REPOSITORY).unwrap(),
        folder: folder.join("jobs"),
        workers,
    }
}

/// Runs blocking work on a thread of its own: the tests themselves are async.
fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| s.spawn(work).join().unwrap())
}

impl World {
    /// A sandbox that checks what it must: most tests are about something else, with resources cut down to it.
    pub fn new() -> Self {
        Self::with(Checks::default())
    }

    /// A sandbox that checks invariants and declared profiles on write, as the product's does.
    pub fn checking() -> Self {
        Self::with(Checks {
            invariants: true,
            profiles: true,
            ..Checks::default()
        })
    }

    /// On PostgreSQL; `None`, with a line that says so, when no server is named.
    pub fn on_postgres() -> Option<Self> {
        let url = std::env::var("HELSENAV_PG_URL")
            .ok()
            .filter(|u| !u.is_empty());
        if url.is_none() {
            println!(
                "SKIPPED: PostgreSQL, because HELSENAV_PG_URL is not set (see scripts/postgres.sh)"
            );
        }
        Some(Self::made(Checks::default(), Some(url?), 1))
    }

    pub fn with(checks: Checks) -> Self {
        Self::made(checks, None, 1)
    }

    /// With a sandbox that takes jobs but does none: who does them is the test's choice.
    pub fn idle() -> Self {
        Self::made(Checks::default(), None, 0)
    }

    fn made(checks: Checks, postgres: Option<String>, workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = vec![
            RepositoryDecl::new("sandbox", RepoKind::Open),
            RepositoryDecl::new("provesvar", RepoKind::Patient),
            RepositoryDecl::new(trust::settings::REPOSITORY, RepoKind::Internal),
            RepositoryDecl::new(records::jobs::REPOSITORY, RepoKind::Internal),
        ];
        let mut config = StoreConfig::sqlite(folder.path().join("store"), repositories);
        if let Some(url) = postgres {
            config.engine = store::EngineConfig::Postgres {
                url,
                schema: format!("records_{}", uuid::Uuid::now_v7().simple()),
                max_connections: 8,
            };
        }
        config.unsafe_no_sync = true;
        let (store, mint) = Store::open(config).unwrap();
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(edge::clock::real_now_us);
        let trust = Arc::new(
            Trust::new(
                store.clone(),
                mint,
                Arc::new(People),
                clock,
                TrustConfig::default(),
            )
            .unwrap(),
        );
        let sandbox = records::router(RepositoryConfig {
            can_reset: true,
            checks,
            authorization: Some(issuer()),
            jobs: Some(jobs(&store, folder.path(), workers)),
            ..RepositoryConfig::new(
                "sandbox",
                store.repo("sandbox").unwrap(),
                store.clone(),
                vec![format!("{BASE}/sandbox")],
                Arc::new(OpenGate::new(trust.hub("sandbox"))),
                KEY.to_vec(),
            )
        })
        .unwrap();
        let gate = HeaderGate(TrustGate {
            trust: trust.clone(),
            controller: Controller::PPS,
            servers: Vec::new(),
            service: "provesvar",
        });
        let results = records::router(RepositoryConfig {
            classes: vec![Class::LabReport, Class::LabObservation],
            types: Some(
                ["DiagnosticReport", "Observation"]
                    .map(str::to_owned)
                    .into(),
            ),
            ..RepositoryConfig::new(
                "provesvar",
                store.repo("provesvar").unwrap(),
                store.clone(),
                vec![format!("{BASE}/provesvar")],
                Arc::new(gate),
                KEY.to_vec(),
            )
        })
        .unwrap();
        let gate = Arc::new(OpenGate::new(trust.hub("sandbox")));
        let below = |name: &str| {
            let config = RepositoryConfig::new(
                name,
                store.repo("sandbox").unwrap(),
                store.clone(),
                vec![format!("{BASE}/{name}")],
                gate.clone(),
                KEY.to_vec(),
            );
            records::mount(config, &format!("/fhir/{name}")).unwrap()
        };
        let mounted = Router::new().merge(below("one")).merge(below("two"));
        let world = Self {
            mounted,
            store,
            trust,
            sandbox,
            results,
            _folder: folder,
        };
        // As the register's import does: personnel are one person under both numbers.
        let alias = HPR.map(|(nin, hpr)| Alias::AlsoKnownAs {
            person: PersonRef::id(FNR_SYSTEM, nin),
            system: HPR_SYSTEM.to_owned(),
            value: hpr.to_owned(),
        });
        world.commit(Commit {
            alias: alias.to_vec(),
            ..Commit::default()
        });
        world
    }

    /// The sandbox once more, as another process would have it.
    pub fn sandbox_with_workers(&self, workers: usize) -> Router {
        records::router(RepositoryConfig {
            jobs: Some(jobs(&self.store, self._folder.path(), workers)),
            ..RepositoryConfig::new(
                "sandbox",
                self.store.repo("sandbox").unwrap(),
                self.store.clone(),
                vec![format!("{BASE}/sandbox")],
                Arc::new(OpenGate::new(self.trust.hub("sandbox"))),
                KEY.to_vec(),
            )
        })
        .unwrap()
    }

    /// A job's row and folder, as an earlier process left them; the folder.
    pub fn add_job(&self, id: &str, row: &Value) -> std::path::PathBuf {
        let folder = self._folder.path().join("jobs").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Patient-1.ndjson"), "{}\n").unwrap();
        let put = store::Put {
            repo: self.store.repo(records::jobs::REPOSITORY).unwrap(),
            rtype: "Job".to_owned(),
            id: PutId::Given(id.to_owned()),
            op: Op::Create,
            body: Bytes::from(row.to_string()),
            keys: Vec::new(),
            pack: 0,
            persons: Vec::new(),
            privacy: Privacy::default(),
            blobs: Vec::new(),
        };
        self.commit(Commit {
            put: vec![put],
            ..Commit::default()
        });
        folder
    }

    /// Whether a job's row is there.
    pub fn has_job(&self, id: &str) -> bool {
        let repo = self.store.repo(records::jobs::REPOSITORY).unwrap();
        let snapshot = self.store.snapshot().unwrap();
        let grant = self.trust.hub("test");
        snapshot.read(&grant, repo, "Job", id).unwrap().is_some()
    }

    pub fn commit(&self, commit: Commit) -> store::Committed {
        outside(|| self.store.commit(commit).unwrap())
    }

    /// Id of a person in the results repository.
    pub fn patient_id(&self, nin: &str) -> String {
        let key = outside(|| self.store.intern_person(FNR_SYSTEM, nin).unwrap());
        patient_ids(&KEY).unwrap().id(key).unwrap()
    }

    /// Stores an observation and its report for a person; their ids.
    pub fn add_result(&self, nin: &str, code: &str, value: &str) -> (String, String) {
        let repo = self.store.repo("provesvar").unwrap();
        let subject =
            json!({ "type": "Patient", "identifier": { "system": FNR_SYSTEM, "value": nin } });
        let privacy = |class: Class| Privacy {
            controller: "PPS".to_owned(),
            class: class.code(),
            author_org: Some("974116804".to_owned()),
            ..Privacy::default()
        };
        let persons = vec![PersonRef::id(FNR_SYSTEM, nin)];
        let put = |rtype: &str, body: String, class| {
            records::write::prepare(
                repo,
                rtype,
                PutId::New,
                Op::Create,
                Bytes::from(body),
                persons.clone(),
                privacy(class),
                Vec::new(),
            )
            .unwrap()
        };
        let observation = json!({
            "resourceType": "Observation", "status": "final", "subject": subject,
            "code": { "coding": [{ "system": "urn:oid:2.16.578.1.12.4.1.1.7280", "code": code }] },
            "effectiveDateTime": "2026-11-20T08:00:00+01:00",
        });
        let number = format!(",\"valueQuantity\":{{\"value\":{value},\"unit\":\"g/L\"}}}}");
        let text = observation.to_string();
        let body = format!("{}{number}", text.strip_suffix('}').unwrap());
        let done = self.commit(Commit {
            put: vec![put("Observation", body, Class::LabObservation)],
            ..Commit::default()
        });
        let observation = done.puts[0].id.clone();
        let report = json!({
            "resourceType": "DiagnosticReport", "status": "final", "subject": subject,
            "code": { "text": "Klinisk kjemi" },
            "result": [{ "reference": format!("Observation/{observation}") }],
        });
        let done = self.commit(Commit {
            put: vec![put(
                "DiagnosticReport",
                report.to_string(),
                Class::LabReport,
            )],
            ..Commit::default()
        });
        (observation, done.puts[0].id.clone())
    }

    /// Puts a label on an observation.
    pub fn label(&self, nin: &str, id: &str, bits: u64) {
        let repo = self.store.repo("provesvar").unwrap();
        let record = self
            .store
            .snapshot()
            .unwrap()
            .read(&self.trust.hub("test"), repo, "Observation", id)
            .unwrap()
            .unwrap();
        let mut privacy = record.head.privacy.clone();
        privacy.labels = bits;
        let put = records::write::prepare(
            repo,
            "Observation",
            PutId::Given(id.to_owned()),
            Op::Update,
            record.body,
            vec![PersonRef::id(FNR_SYSTEM, nin)],
            privacy,
            Vec::new(),
        )
        .unwrap();
        self.commit(Commit {
            put: vec![put],
            raise: vec![PersonRef::id(FNR_SYSTEM, nin)],
            ..Commit::default()
        });
    }

    /// A citizen's setting, switched.
    pub fn set(&self, nin: &str, setting: Setting, is_active: bool) {
        let key = outside(|| self.store.intern_person(FNR_SYSTEM, nin).unwrap());
        let rows = self
            .trust
            .setting_rows(&self.store.snapshot().unwrap(), key)
            .unwrap();
        let by = ChangedBy {
            channel: "helsenorge".to_owned(),
            performer: "Du selv".to_owned(),
        };
        let repo = self.trust.settings_repository();
        let commit = change(
            repo,
            key,
            &rows,
            &[(setting, is_active)],
            &by,
            edge::clock::real_now_us(),
            Vec::new(),
        );
        self.commit(commit);
    }

    pub fn block(&self, nin: &str, doctor: &str) {
        let hpr = HPR.iter().find(|(n, _)| *n == doctor).unwrap().1;
        self.set(
            nin,
            Setting::Block {
                controller: Controller::PPS,
                hpr: hpr.to_owned(),
                name: "X".to_owned(),
                hidden_name: false,
            },
            true,
        );
    }

    /// Lines in a person's log.
    pub fn log(&self, nin: &str) -> Vec<store::JournalEntry> {
        let key = outside(|| self.store.intern_person(FNR_SYSTEM, nin).unwrap());
        self.store.journal_of(key, None, 1_000).unwrap()
    }
}

/// An answer, read.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Ids of the entries with this search mode.
    pub fn ids(&self, mode: &str) -> Vec<String> {
        self.json()["entry"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|e| e["search"]["mode"] == mode)
            .map(|e| {
                format!(
                    "{}/{}",
                    e["resource"]["resourceType"].as_str().unwrap(),
                    e["resource"]["id"].as_str().unwrap_or_default()
                )
            })
            .collect()
    }

    pub fn link(&self, relation: &str) -> Option<String> {
        self.json()["link"]
            .as_array()?
            .iter()
            .find(|l| l["relation"] == relation)
            .map(|l| l["url"].as_str().unwrap().to_owned())
    }
}

/// One request. `address`: below the base, or absolute.
pub async fn send(
    router: &Router,
    method: &str,
    address: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    send_bytes(router, method, address, headers, body.to_owned()).await
}

/// The same with a body that is no text.
pub async fn send_bytes(
    router: &Router,
    method: &str,
    address: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let body = body.into();
    let absolute = address.starts_with("http").then_some(address);
    let address = match absolute.and_then(|a| a.split_once("/fhir/")) {
        Some((_, rest)) => {
            rest.split_once(['/', '?'])
                .map_or(String::from("/"), |(name, below)| {
                    let mark = if rest.as_bytes()[name.len()] == b'?' {
                        "?"
                    } else {
                        ""
                    };
                    format!("/{mark}{below}")
                })
        }
        None => format!("/{}", address.trim_start_matches('/')),
    };
    let mut request = Request::builder().method(method).uri(&address);
    let mut has_type = false;
    for (name, value) in headers {
        has_type |= name.eq_ignore_ascii_case("content-type");
        request = request.header(*name, value.as_bytes());
    }
    if !body.is_empty() && !has_type {
        request = request.header("content-type", "application/fhir+json");
    }
    let request = request
        .body(Body::from(body))
        .unwrap_or_else(|e| panic!("{e}: {address}"));
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    Reply {
        status,
        headers,
        bytes,
    }
}

pub async fn get(router: &Router, address: &str) -> Reply {
    send(router, "GET", address, &[], "").await
}

/// A read or search by a doctor.
pub async fn look(router: &Router, address: &str, doctor: &str) -> Reply {
    send(router, "GET", address, &[("x-doctor", doctor)], "").await
}
