//! Gathers the facts at one snapshot, decides, mints the grant.

use crate::facts::*;
use crate::{Basis, Class, Part, Purpose, log, may, settings};
use jiff::tz::TimeZone;
use registers::{Directory, FNR_SYSTEM, HPR_SYSTEM, Person};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use store::{
    AuditEntry, Durability, Filter, Granted, MicrosUtc, Mint, PersonKey, Record, RepoId, Seq,
    Snapshot, Store, StoreError,
};

/// Switches of the decision that operators may set.
#[derive(Clone, Debug)]
pub struct TrustConfig {
    /// Name delay in the citizen's log for look-ups through kjernejournal, days (spec/privacy.md §9.2).
    pub log_name_delay_days: i64,
    /// `pjd.nors_count`: `false` = off.
    pub nors_count: bool,
    /// (role, organisation type 9040) that may use UNNTAK without being the patient's GP.
    pub exception_titles: BTreeSet<(String, String)>,
    /// Roles that may not read documents.
    pub denied_document_roles: BTreeSet<String>,
    /// `parent.address_rule`: which parents act for a child (spec/privacy.md §6.1).
    pub address_rule: crate::representation::AddressRule,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            log_name_delay_days: 7,
            nors_count: true,
            exception_titles: BTreeSet::new(),
            denied_document_roles: ["VE", "FB", "XX"].into_iter().map(str::to_owned).collect(),
            address_rule: crate::representation::AddressRule::default(),
        }
    }
}

/// Who the caller is, as proven by a token or a session. The rest is looked up here, never taken from the caller.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Principal {
    /// HelseID token with a person.
    Personnel {
        /// National id (`helseid://claims/identity/pid`).
        nin: String,
        /// HPR number of the token.
        hpr: Option<String>,
        /// Role chosen by header or portal; `None` = the only active one.
        role: Option<String>,
        /// `security_level` claim as it came (must be the string "4").
        security_level: String,
        /// Main unit.
        orgnr_parent: String,
        /// Sub unit.
        orgnr_child: String,
        /// Client.
        client_id: String,
    },
    /// Citizen issuer.
    Citizen {
        /// Whose data (the represented, when someone acts for her).
        nin: String,
        /// Who acts, when another.
        acting: Option<String>,
    },
    /// HelseID token without a person.
    System {
        /// Client.
        client_id: String,
        /// Main unit.
        orgnr_parent: String,
    },
    /// Operator of the hub.
    Operator {
        /// National id.
        nin: String,
    },
    /// No token.
    Anonymous,
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Personnel { .. } => "Personnel(…)",
            Self::Citizen { .. } => "Citizen(…)",
            Self::System { .. } => "System(…)",
            Self::Operator { .. } => "Operator(…)",
            Self::Anonymous => "Anonymous",
        })
    }
}

/// The patient as the request names her.
#[derive(Clone, PartialEq, Eq)]
pub enum SubjectRef {
    /// National id, current or historic.
    Nin(String),
    /// Key read from this store.
    Key(PersonKey),
}

impl std::fmt::Debug for SubjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectRef(…)")
    }
}

/// One request to decide on.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// About whom.
    pub subject: Option<SubjectRef>,
    /// What.
    pub ask: Ask,
    /// Why.
    pub purpose: Option<Purpose>,
    /// Attest, when sent.
    pub attest: Option<AttestFacts>,
    /// The interface demands an attest.
    pub attest_is_required: bool,
    /// Name of the service in the log (`kjernejournal`, `provesvar`, …): the one through which the look-up was made.
    pub service: &'static str,
    /// API and version, or page.
    pub api: String,
    /// Event id of the request (stands in the answer's header and in `helsenav explain`).
    pub event_id: uuid::Uuid,
}

impl Access {
    /// A request with the least: callers fill in the rest.
    pub fn new(
        principal: Principal,
        subject: Option<SubjectRef>,
        ask: Ask,
        service: &'static str,
    ) -> Self {
        Self {
            principal,
            subject,
            ask,
            purpose: None,
            attest: None,
            attest_is_required: false,
            service,
            api: service.to_owned(),
            event_id: uuid::Uuid::now_v7(),
        }
    }
}

impl Ask {
    /// Reading all classes of a controller.
    pub fn read(interface: Interface, controller: Controller, basis: Basis) -> Self {
        Self {
            interface,
            controller,
            action: Action::Read,
            basis,
            classes: BTreeSet::new(),
            elevated_part: None,
            subjects_differ: false,
        }
    }

    /// The same for one action.
    #[must_use]
    pub fn with_action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// The same for some classes only.
    #[must_use]
    pub fn with_classes(mut self, classes: impl IntoIterator<Item = Class>) -> Self {
        self.classes = classes.into_iter().collect();
        self
    }

    /// The same with the part that elevation opens.
    #[must_use]
    pub fn with_elevated_part(mut self, part: Option<Part>) -> Self {
        self.elevated_part = part;
        self
    }
}

/// A decision with everything that follows from it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The grant to query with: its filter is `Closed` when denied, so that the same query path runs.
    pub granted: Granted,
    /// The subject's key, when she has one.
    pub person: Option<PersonKey>,
    /// The facts, for the decision trace.
    pub facts: Facts,
    /// The log line of this act; `item ids` and counts are added by [`Decided::entry`].
    pub(crate) entry: AuditEntry,
    /// Epochs the decision was made at: (actor, subject, rules).
    pub epochs: (Seq, Seq, Seq),
    must_audit: bool,
}

impl Decided {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self.decision, Decision::Allow { .. })
    }

    /// What the answer may tell of settings.
    pub fn flags(&self) -> Flags {
        match &self.decision {
            Decision::Allow { flags, .. } => flags.clone(),
            Decision::Deny { .. } => Flags::default(),
        }
    }

    /// The log entry with what was shown: record ids as `Type/id` (at most 1 000, then a count).
    pub fn entry(&self, items: &[String]) -> AuditEntry {
        log::with_items(self.entry.clone(), items)
    }
}

/// By person, with the epoch it was read at: a value of another epoch is read anew (spec/privacy.md §10.4).
type EpochCache<V> = Mutex<HashMap<PersonKey, (Seq, Arc<V>)>>;

/// Gathers, decides, mints; and writes the log lines of reads. One per hub process.
pub struct Trust {
    store: Store,
    mint: Mint,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Fn() -> MicrosUtc + Send + Sync>,
    config: TrustConfig,
    personvern: RepoId,
    documents: Option<RepoId>,
    settings_cache: EpochCache<SettingsInForce>,
    blocking_cache: EpochCache<Vec<Record>>,
    traces: Mutex<VecDeque<(uuid::Uuid, serde_json::Value)>>,
}

/// Decisions whose trace is kept.
const KEPT_TRACES: usize = 1_000;
const CACHE_ENTRIES: usize = 100_000;
const SETTINGS_LIMIT: usize = 10_000;

impl Trust {
    /// Takes the store's mint. `clock` is the rules' clock (story time in the demo), microseconds UTC.
    pub fn new(
        store: Store,
        mint: Mint,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Fn() -> MicrosUtc + Send + Sync>,
        config: TrustConfig,
    ) -> Result<Self, StoreError> {
        let personvern = store.repo(settings::REPOSITORY)?;
        let documents = store.repository("dokumenter");
        Ok(Self {
            store,
            mint,
            directory,
            clock,
            config,
            personvern,
            documents,
            settings_cache: Mutex::default(),
            blocking_cache: Mutex::default(),
            traces: Mutex::default(),
        })
    }

    /// The right of an internal job: everything. Not reachable from any edge; never answers to outside.
    pub fn hub(&self, _job: &'static str) -> Granted {
        self.mint.grant(Filter::Open, Seq(u64::MAX), 0)
    }

    /// The registers.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Now on the rules' clock.
    pub fn now(&self) -> MicrosUtc {
        (self.clock)()
    }

    /// The switches.
    pub fn config(&self) -> &TrustConfig {
        &self.config
    }

    /// Key of a national id, when the store has met it.
    pub fn person_key(&self, nin: &str) -> Result<Option<PersonKey>, StoreError> {
        self.store.person(FNR_SYSTEM, nin)
    }

    /// Decides at a snapshot. Facts, settings and epochs are read inside it (spec/privacy.md §10.4).
    pub fn decide(&self, snapshot: &Snapshot, access: &Access) -> Result<Decided, StoreError> {
        let at = self.now();
        let today = oslo_date(at);
        let (actor, actor_key) = self.actor(access, today)?;
        let subject_key = match &access.subject {
            None => None,
            Some(SubjectRef::Key(key)) => Some(*key),
            Some(SubjectRef::Nin(nin)) => self.person_key(nin)?,
        };
        let register = match &access.subject {
            Some(SubjectRef::Nin(nin)) => self.directory.person(nin),
            Some(SubjectRef::Key(key)) => self.person_of_key(*key)?,
            None => None,
        };
        let settings = match subject_key {
            Some(key) => self.settings_in_force(snapshot, key)?,
            None => Arc::default(),
        };
        let blocking_persons = match (&actor, actor_key) {
            (Actor::Personnel(_), Some(key)) => {
                let records = self.settings_naming(snapshot, key)?;
                let controllers = match access.ask.controller {
                    Controller::KJ => vec![Controller::KJ],
                    other => vec![other, Controller::KJ],
                };
                settings::blocking_persons(key, &controllers, &records)
            }
            _ => BTreeSet::new(),
        };
        let subject = match &access.subject {
            None => None,
            Some(_) => {
                Some(self.subject(snapshot, access, &actor, subject_key, register.as_ref(), at)?)
            }
        };
        let facts = Facts {
            actor,
            purpose: access.purpose.or_else(|| default_purpose(access)),
            subject,
            settings: (*settings).clone(),
            blocking_persons,
            at,
            today,
            nors_count_is_off: !self.config.nors_count,
        };
        let decision = may(&facts, &access.ask);
        let filter = match &decision {
            Decision::Allow { filter, .. } => filter.clone(),
            Decision::Deny { .. } => Filter::Closed,
        };
        let epochs = (
            actor_key.map_or(Ok(Seq(0)), |key| snapshot.epoch(key))?,
            subject_key.map_or(Ok(Seq(0)), |key| snapshot.epoch(key))?,
            snapshot.rules_epoch()?,
        );
        let entry = log::entry(
            self.directory.as_ref(),
            access,
            &facts,
            &decision,
            register.as_ref(),
            epochs,
        );
        self.keep_trace(access, &facts, &decision);
        // An empty id stands for "nobody": addresses that lead to no record are decided on, but are about no person.
        let is_nobody = matches!(&access.subject, Some(SubjectRef::Nin(nin)) if nin.is_empty());
        let must_audit = access.subject.is_some()
            && !is_nobody
            && access.ask.interface != Interface::Status
            && !matches!(
                &decision,
                Decision::Deny {
                    class: DenyClass::Form,
                    ..
                } | Decision::Deny {
                    reason: crate::may::ATTEST_NAMES_ANOTHER,
                    ..
                }
            );
        Ok(Decided {
            granted: self
                .mint
                .grant(filter, snapshot.seq(), access.event_id.as_u128()),
            decision,
            person: subject_key,
            facts,
            entry,
            epochs,
            must_audit,
        })
    }

    /// Writes the log line of a read or a denial, durably, before the answer goes out. `items`: what was shown.
    pub fn record(&self, decided: &Decided, items: &[String]) -> Result<(), StoreError> {
        if !decided.must_audit {
            return Ok(());
        }
        self.store
            .audit(decided.entry(items), Durability::BeforeAnswer)
    }

    /// A citizen's stored settings, active or not.
    pub fn setting_rows(
        &self,
        snapshot: &Snapshot,
        person: PersonKey,
    ) -> Result<Vec<settings::SettingRow>, StoreError> {
        let records = self.setting_records(snapshot, person)?;
        Ok(records
            .iter()
            .filter(|r| r.head.persons.first() == Some(&person))
            .filter_map(settings::decode)
            .collect())
    }

    /// Active powers of attorney that others have given to a person.
    pub(crate) fn powers_of(
        &self,
        snapshot: &Snapshot,
        attorney: PersonKey,
    ) -> Result<Vec<settings::SettingRow>, StoreError> {
        let records = self.setting_records(snapshot, attorney)?;
        Ok(records
            .iter()
            .filter(|r| r.head.persons.get(1) == Some(&attorney))
            .filter_map(settings::decode)
            .filter(|row| row.is_active)
            .filter(|row| matches!(row.setting, settings::Setting::PowerOfAttorney { .. }))
            .collect())
    }

    /// The repository of settings.
    pub fn settings_repository(&self) -> RepoId {
        self.personvern
    }

    /// Traces of recent decisions of one request, for operators and the demo; never part of an answer.
    pub fn traces(&self, event_id: uuid::Uuid) -> Vec<serde_json::Value> {
        lock(&self.traces)
            .iter()
            .filter(|(id, _)| *id == event_id)
            .map(|(_, trace)| trace.clone())
            .collect()
    }

    /// No person, no identifier: only the rule and what it looked at.
    fn keep_trace(&self, access: &Access, facts: &Facts, decision: &Decision) {
        let (outcome, rule, class) = match decision {
            Decision::Allow { reason, .. } => ("allow", *reason, None),
            Decision::Deny { class, reason } => ("deny", *reason, Some(class.code())),
        };
        let trace = serde_json::json!({
            "service": access.service,
            "interface": format!("{:?}", access.ask.interface),
            "controller": access.ask.controller.code(),
            "action": format!("{:?}", access.ask.action),
            "basis": access.ask.basis.code(),
            "purpose": facts.purpose.map(|p| format!("{p:?}")),
            "outcome": outcome,
            "rule": rule,
            "class": class,
        });
        let mut traces = lock(&self.traces);
        if traces.len() >= KEPT_TRACES {
            traces.pop_front();
        }
        traces.push_back((access.event_id, trace));
    }

    fn setting_records(
        &self,
        snapshot: &Snapshot,
        person: PersonKey,
    ) -> Result<Vec<Record>, StoreError> {
        let grant = self.hub("settings");
        let rids = snapshot.compartment(
            &grant,
            self.personvern,
            &BTreeSet::from([person]),
            SETTINGS_LIMIT,
        )?;
        snapshot.fetch(&grant, &rids)
    }

    fn settings_in_force(
        &self,
        snapshot: &Snapshot,
        person: PersonKey,
    ) -> Result<Arc<SettingsInForce>, StoreError> {
        let epoch = snapshot.epoch(person)?;
        if let Some((seen, settings)) = lock(&self.settings_cache).get(&person)
            && *seen == epoch
        {
            return Ok(settings.clone());
        }
        let settings = Arc::new(settings::in_force(
            person,
            &self.setting_records(snapshot, person)?,
        ));
        keep(&self.settings_cache, person, (epoch, settings.clone()));
        Ok(settings)
    }

    /// Settings of anybody that name this person as blocked.
    fn settings_naming(
        &self,
        snapshot: &Snapshot,
        actor: PersonKey,
    ) -> Result<Arc<Vec<Record>>, StoreError> {
        let epoch = snapshot.epoch(actor)?;
        if let Some((seen, records)) = lock(&self.blocking_cache).get(&actor)
            && *seen == epoch
        {
            return Ok(records.clone());
        }
        let mut records = self.setting_records(snapshot, actor)?;
        records.retain(|r| r.head.persons.get(1) == Some(&actor));
        let records = Arc::new(records);
        keep(&self.blocking_cache, actor, (epoch, records.clone()));
        Ok(records)
    }

    fn person_of_key(&self, key: PersonKey) -> Result<Option<Person>, StoreError> {
        let identifiers = self.store.person_identifiers(key)?;
        Ok(identifiers
            .iter()
            .filter(|(system, _)| system == FNR_SYSTEM)
            .find_map(|(_, nin)| self.directory.person(nin)))
    }

    fn actor(
        &self,
        access: &Access,
        today: jiff::civil::Date,
    ) -> Result<(Actor, Option<PersonKey>), StoreError> {
        Ok(match &access.principal {
            Principal::Anonymous => (Actor::Anonymous, None),
            Principal::Operator { nin } => {
                let key = self.store.intern_person(FNR_SYSTEM, nin)?;
                (Actor::Operator { person: key }, Some(key))
            }
            Principal::System {
                client_id,
                orgnr_parent,
            } => (
                Actor::System {
                    client_id: client_id.clone(),
                    orgnr_parent: orgnr_parent.clone(),
                    organisation_is_approved: self
                        .directory
                        .organisation(orgnr_parent)
                        .is_some_and(|o| o.approved),
                },
                None,
            ),
            Principal::Citizen { nin, acting } => {
                let acting = acting.as_ref().filter(|a| *a != nin);
                let key = self
                    .store
                    .intern_person(FNR_SYSTEM, acting.unwrap_or(nin))?;
                match acting {
                    Some(_) => (
                        Actor::Representative(RepresentativeFacts {
                            person: key,
                            relation: None,
                        }),
                        Some(key),
                    ),
                    None => (
                        Actor::CitizenSelf {
                            person: key,
                            acute_lock: false,
                        },
                        Some(key),
                    ),
                }
            }
            Principal::Personnel {
                nin,
                hpr,
                role,
                security_level,
                orgnr_parent,
                orgnr_child,
                ..
            } => {
                let key = self.store.intern_person(FNR_SYSTEM, nin)?;
                let practitioner = self.directory.practitioner_by_nin(nin).filter(|p| {
                    // The HPR number of the token must be the person's own.
                    hpr.as_ref().is_none_or(|hpr| p.hpr.as_ref() == Some(hpr))
                });
                let chosen = match (&practitioner, role) {
                    (Some(p), Some(role)) => p.authorisations.iter().find(|a| a.role == *role),
                    (Some(p), None) => p.active(None, today).or_else(|| p.authorisations.first()),
                    (None, _) => None,
                };
                let role = chosen.map(|a| a.role.clone());
                let organisation = self.directory.organisation(orgnr_parent);
                let facts = PersonnelFacts {
                    person: key,
                    hpr: practitioner.as_ref().and_then(|p| p.hpr.clone()),
                    role_is_active: chosen.is_some_and(|a| a.is_active(today)),
                    level_is_4: security_level == "4",
                    orgnr_parent: orgnr_parent.clone(),
                    orgnr_child: orgnr_child.clone(),
                    organisation_is_approved: organisation.is_some_and(|o| o.approved),
                    role_is_denied: role
                        .as_ref()
                        .is_some_and(|r| self.config.denied_document_roles.contains(r)),
                    role,
                    attest: access.attest.clone(),
                    attest_is_required: access.attest_is_required,
                };
                (Actor::Personnel(facts), Some(key))
            }
        })
    }

    fn subject(
        &self,
        snapshot: &Snapshot,
        access: &Access,
        actor: &Actor,
        key: Option<PersonKey>,
        register: Option<&Person>,
        at: MicrosUtc,
    ) -> Result<SubjectFacts, StoreError> {
        let today = oslo_date(at);
        let (mut actor_is_gp, mut actor_is_entitled, mut actor_is_near) = (false, false, false);
        if let (Actor::Personnel(p), Some(person)) = (actor, register) {
            if let Some(gp) = &person.gp {
                let is_gp = p.hpr.is_some() && gp.hpr == p.hpr;
                let is_substitute = gp
                    .substitutes
                    .iter()
                    .any(|s| Some(&s.hpr) == p.hpr.as_ref() && s.from <= today && today <= s.to);
                actor_is_gp = is_gp || is_substitute;
            }
            if let Some(organisation) = self.directory.organisation(&p.orgnr_parent) {
                let title = (p.role.clone().unwrap_or_default(), organisation.type_code);
                actor_is_entitled = self.config.exception_titles.contains(&title);
            }
            if let Principal::Personnel { nin, .. } = &access.principal {
                let shares_address = self
                    .directory
                    .person(nin)
                    .is_some_and(|own| own.address.is_some() && own.address == person.address);
                actor_is_near = shares_address || person.relations.iter().any(|r| r.nin == *nin);
            }
        }
        let (mut has_norn_all, mut has_nors) = (false, false);
        if let (Some(key), Some(documents)) = (key, self.documents)
            && access.ask.controller == Controller::PJD
        {
            let grant = self.hub("labels");
            let set = BTreeSet::from([key]);
            let count = |grant: &Granted| {
                snapshot
                    .compartment(grant, documents, &set, SETTINGS_LIMIT)
                    .map(|r| r.len())
            };
            let all = count(&grant)?;
            let without = |code: &str| {
                count(&grant.narrowed(Filter::all(
                    store::Pred::LabelsClear(crate::label::bit(code)),
                    [],
                )))
            };
            has_norn_all = without("NORN_ALL")? < all;
            has_nors = without("NORS")? < all;
        }
        let life = match register.and_then(|p| p.died.map(|day| (p, day))) {
            None => Life::Alive,
            Some((person, day)) => {
                let midnight = day
                    .to_zoned(oslo())
                    .map(|z| z.timestamp().as_microsecond())
                    .unwrap_or(at);
                // Nobody registers a death before it; where the register does not say when, the day is all that is known.
                let registered = self
                    .directory
                    .death_registered(&person.nin)
                    .map_or(midnight, |registered| registered.max(midnight));
                Life::Deceased {
                    hours_since_registered: (at - registered) / 3_600_000_000,
                }
            }
        };
        Ok(SubjectFacts {
            person: key,
            keys: key.into_iter().collect(),
            age: register.and_then(|p| p.age_on(today)),
            life,
            protection: register.map(|p| p.protection).unwrap_or_default(),
            actor_is_gp,
            actor_is_entitled,
            actor_is_near,
            has_norn_all,
            has_nors,
        })
    }
}

/// Europe/Oslo.
pub fn oslo() -> TimeZone {
    TimeZone::get("Europe/Oslo").unwrap_or(TimeZone::UTC)
}

/// Oslo date of an instant.
pub fn oslo_date(at: MicrosUtc) -> jiff::civil::Date {
    jiff::Timestamp::from_microsecond(at)
        .unwrap_or_default()
        .to_zoned(oslo())
        .date()
}

/// Reference by HPR number, as settings name a blocked person.
pub fn hpr_ref(hpr: &str) -> store::PersonRef {
    store::PersonRef::id(HPR_SYSTEM, hpr)
}

/// The interface's default row (spec/privacy.md §2.3): what a request that names no purpose is for.
fn default_purpose(access: &Access) -> Option<Purpose> {
    match (&access.principal, access.ask.basis) {
        (Principal::Citizen { acting: None, .. }, _) => Some(Purpose::PatientRequest),
        (
            Principal::Citizen {
                acting: Some(_), ..
            },
            _,
        ) => Some(Purpose::AttorneyRequest),
        (_, Basis::Emergency | Basis::ElevatedEmergency) => Some(Purpose::EmergencyTreat),
        (_, Basis::Exception | Basis::Consent | Basis::ElevatedConsent | Basis::Law45) => {
            Some(Purpose::Treat)
        }
        (_, Basis::None) if access.ask.interface == Interface::Status => Some(Purpose::Treat),
        (_, Basis::None) => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep<V>(cache: &Mutex<HashMap<PersonKey, V>>, key: PersonKey, value: V) {
    let mut cache = lock(cache);
    if cache.len() >= CACHE_ENTRIES {
        cache.clear();
    }
    cache.insert(key, value);
}
