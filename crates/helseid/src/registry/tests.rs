//! The registry over a store in memory: what reaches the issuer, who may do what, two processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use proptest::prelude::*;
use registers::directory::{Directory, Organisation, Party, Person, Practitioner, Unit};
use serde_json::{Value, json};

use super::model::{
    ApiOwner, ConfigurationState, DRAFT_LIFE_S, KEY_LIFE_S, Kept as _, Key, OVERLAP_S, Origin,
    Rules, ScopeState, SystemTenancy, SystemUsers,
};
use super::*;
use crate::config::national_apis;

pub(super) const OFFICE: &str = "313325016";
const OFFICE_UNIT: &str = "999977776";
pub(super) const OTHER: &str = "999977774";
pub(super) const VENDOR: &str = "313745392";
const NOW: i64 = 1_760_000_000;

struct Organisations;

impl Directory for Organisations {
    fn person(&self, _: &str) -> Option<Person> {
        None
    }
    fn practitioner_by_hpr(&self, _: &str) -> Option<Practitioner> {
        None
    }
    fn practitioner_by_nin(&self, _: &str) -> Option<Practitioner> {
        None
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
        self.organisations(9)
            .into_iter()
            .find(|o| o.orgnr == orgnr || o.units.iter().any(|unit| unit.orgnr == orgnr))
    }
    fn organisations(&self, _: usize) -> Vec<Organisation> {
        let organisation = |orgnr: &str, name: &str, unit: Option<&str>| Organisation {
            orgnr: orgnr.to_owned(),
            name: name.to_owned(),
            kinds: Vec::new(),
            type_code: "1".to_owned(),
            her_id: 1,
            units: unit
                .map(|orgnr| Unit {
                    orgnr: orgnr.to_owned(),
                    name: "Avdeling".to_owned(),
                    type_code: None,
                })
                .into_iter()
                .collect(),
            approved: true,
            story: None,
        };
        vec![
            organisation(OFFICE, "Legekontoret", Some(OFFICE_UNIT)),
            organisation(OTHER, "Kommunen", None),
            organisation(VENDOR, "Leverandøren", None),
        ]
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

pub(super) struct World {
    pub(super) registry: Registry,
    pub(super) time: Arc<AtomicI64>,
    pub(super) store: Arc<MemoryRegistryStore>,
}

pub(super) fn open(store: &Arc<MemoryRegistryStore>, time: &Arc<AtomicI64>) -> Registry {
    let time = Arc::clone(time);
    Registry::open(RegistryParts {
        store: Arc::clone(store) as Arc<dyn RegistryStore>,
        directory: Arc::new(Organisations),
        apis: national_apis(),
        clock: Arc::new(move || time.load(Ordering::SeqCst)),
    })
    .unwrap()
}

pub(super) fn world() -> World {
    let store = Arc::new(MemoryRegistryStore::default());
    let time = Arc::new(AtomicI64::new(NOW));
    World {
        registry: open(&store, &time),
        time,
        store,
    }
}

pub(super) fn of(orgnr: &str) -> Actor {
    Actor::Organisation {
        orgnr: orgnr.to_owned(),
        hpr: None,
    }
}

pub(super) const OPERATOR: Actor = Actor::Console;

pub(super) fn system(tenancy: SystemTenancy) -> NewSystem {
    NewSystem {
        name: "Vår EPJ".to_owned(),
        supplier: VENDOR.to_owned(),
        users: SystemUsers::Personnel,
        tenancy,
        user_login: true,
        machine: true,
        refresh: true,
        native: false,
        rules: Some(Rules::Compatible),
        scopes: None,
        redirect_uris: None,
        customers: None,
    }
}

pub(super) fn new_key() -> Value {
    let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256)).unwrap();
    Value::Object(key.public().to_members())
}

pub(super) fn new_client(system: &str) -> NewClient {
    NewClient {
        system: system.to_owned(),
        name: "Legekontorets EPJ".to_owned(),
        organisation: OFFICE.to_owned(),
        key: Some(new_key()),
        scopes: vec![
            "nhn:pps/provesvar-read".to_owned(),
            rules::SELF_SERVICE_SCOPE.to_owned(),
        ],
        redirect_uris: vec!["http://localhost:3000/".to_owned()],
        ..NewClient::default()
    }
}

/// What the issuer would be given.
fn client_of(registry: &Registry, client_id: &str) -> Option<crate::Client> {
    let (configuration, system) = registry.configuration(client_id).unwrap();
    let delegations = registry.read().delegated_to(&system.supplier);
    configuration.to_client(&system, "x", delegations)
}

#[test]
fn only_approved_scopes_reach_the_issuer() {
    let World {
        registry, store, ..
    } = world();
    let system = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry.create(&of(OFFICE), &new_client(&system)).unwrap();
    let client = client_of(&registry, &id).unwrap();
    assert!(client.scopes.contains(rules::SELF_SERVICE_SCOPE) && client.scopes.contains("openid"));
    assert!(!client.scopes.contains("nhn:pps/provesvar-read"));
    assert_eq!(registry.overview(&OPERATOR).waiting.len(), 1);

    let scope = "nhn:pps/provesvar-read";
    let decide = |actor: &Actor, yes| registry.decide(actor, &id, scope, yes, Some("fordi"));
    assert!(matches!(
        decide(&of(OFFICE), true),
        Err(RegistryError::Forbidden(_))
    ));
    assert_eq!(decide(&of(OTHER), true), Err(RegistryError::NotFound));
    let owner = ApiOwner {
        audience: "nhn:pps".to_owned(),
        organisation: Some(OTHER.to_owned()),
        automatic: false,
        terms: None,
    };
    assert!(registry.set_owner(&of(OTHER), &owner).is_err());
    registry.set_owner(&OPERATOR, &owner).unwrap();
    assert_eq!(registry.overview(&of(OTHER)).waiting.len(), 1);
    // The owner of the API sees the client as long as it has something to decide there.
    assert!(!registry.client_view(&of(OTHER), &id).unwrap().may_change);
    decide(&of(OTHER), true).unwrap();
    assert!(client_of(&registry, &id).unwrap().scopes.contains(scope));
    assert_eq!(
        registry.client_view(&of(OTHER), &id).unwrap_err(),
        RegistryError::NotFound
    );
    decide(&OPERATOR, false).unwrap();
    assert!(!client_of(&registry, &id).unwrap().scopes.contains(scope));

    // Rejected, asked for again.
    registry
        .request_scopes(&of(VENDOR), &id, &[scope.to_owned()])
        .unwrap();
    let (configuration, _) = registry.configuration(&id).unwrap();
    let found = configuration
        .scopes
        .iter()
        .find(|s| s.scope == scope)
        .unwrap();
    assert_eq!(
        (found.state, found.reason.as_deref()),
        (ScopeState::Requested, None)
    );
    for unknown in ["nhn:pps/nothing", "01010112345"] {
        let error = registry
            .request_scopes(&OPERATOR, &id, &[unknown.to_owned()])
            .unwrap_err();
        assert!(!error.to_string().contains("01010112345"), "{error}");
    }
    let actions: Vec<&str> = store.journal().iter().map(|line| line.action).collect();
    assert_eq!(
        actions,
        [
            "client-system.create",
            "client.create",
            "api.owner",
            "client.scope.approve",
            "client.scope.reject",
            "client.scope.request"
        ]
    );
}

#[test]
fn strangers_learn_nothing_and_change_nothing() {
    let World { registry, .. } = world();
    let system = registry
        .create_system(&of(VENDOR), &system(SystemTenancy::Single))
        .unwrap();
    let id = registry.create(&of(OFFICE), &new_client(&system)).unwrap();
    let thumbprint = registry.configuration(&id).unwrap().0.keys[0]
        .thumbprint
        .clone();
    let stranger = of(OTHER);
    let other_client = Actor::Client {
        client_id: "x".to_owned(),
    };
    for actor in [
        &stranger,
        &other_client,
        &Actor::ApiKey {
            system: system.clone(),
        },
    ] {
        let all = [
            registry.client_view(actor, &id).map(|_| ()),
            registry
                .add_key(actor, &id, &new_key(), Origin::Gui)
                .map(|_| ()),
            registry.remove_key(actor, &id, &thumbprint),
            registry.request_scopes(actor, &id, &["nhn:msh/api".to_owned()]),
            registry.remove_scope(actor, &id, "openid"),
            registry.set_uris(actor, &id, &[], &[]),
            registry.remove(actor, &id),
            registry.confirm(actor, &id).map(|_| ()),
            registry.new_api_key(actor, &system).map(|_| ()),
        ];
        for (i, answer) in all.into_iter().enumerate() {
            assert_eq!(answer, Err(RegistryError::NotFound), "{actor:?} {i}");
        }
    }
    assert!(registry.overview(&stranger).clients.is_empty());
    assert_eq!(registry.overview(&of(VENDOR)).clients.len(), 1);
    assert!(
        registry
            .create_system(&stranger, &self::system(SystemTenancy::Single))
            .is_err()
    );
    assert!(matches!(
        registry.block(&of(OFFICE), &id, true),
        Err(RegistryError::Forbidden(_))
    ));
    // Only an operator makes the rules lenient.
    assert_eq!(client_of(&registry, &id).unwrap().mode, None);
}

#[test]
fn keys() {
    let World { registry, time, .. } = world();
    let system = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry.create(&OPERATOR, &new_client(&system)).unwrap();
    let other = registry.create(&OPERATOR, &new_client(&system)).unwrap();
    let me = Actor::Client {
        client_id: id.clone(),
    };
    let rsa = PrivateJwk::generate(KeyKind::Rsa2048, Some(Alg::Ps256)).unwrap();
    let public = Value::Object(rsa.public().to_members());
    let old = registry.configuration(&id).unwrap().0.keys[0].expires_s;
    assert_eq!(old, NOW + KEY_LIFE_S);
    assert_eq!(
        registry.add_key(&me, &id, &public, Origin::Api),
        Ok(NOW + KEY_LIFE_S)
    );
    // The old key lives on for a day, and the issuer knows both.
    let client = client_of(&registry, &id).unwrap();
    assert_eq!(client.active_keys(NOW).len(), 2);
    assert_eq!(client.active_keys(NOW + OVERLAP_S).len(), 2);
    assert_eq!(client.active_keys(NOW + OVERLAP_S + 1).len(), 1);
    // Once brought, never again: neither here nor elsewhere, not even after it was removed.
    let text = Value::String(public.to_string());
    assert_eq!(
        registry.add_key(&me, &id, &text, Origin::Api),
        Err(RegistryError::KeyUsed)
    );
    assert_eq!(
        registry.add_key(&OPERATOR, &other, &public, Origin::Gui),
        Err(RegistryError::KeyUsed)
    );
    registry
        .remove_key(&me, &id, rsa.public().thumbprint())
        .unwrap();
    assert_eq!(
        registry.add_key(&me, &id, &public, Origin::Api),
        Err(RegistryError::KeyUsed)
    );
    assert_eq!(client_of(&registry, &id).unwrap().active_keys(NOW).len(), 1);

    let weak = json!({"kty":"RSA","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw".split_at(80).0,"e":"AQAB"});
    let cases = [
        (Value::Object(rsa.to_secret_members()), "private"),
        (json!({"kty":"oct","k":"c2VjcmV0"}), "symmetric"),
        (weak, "key"),
        (
            json!({"kty":"OKP","crv":"Ed25519","x":jose::encoding::b64url(&[1; 32])}),
            "RSA",
        ),
        (json!("no json"), "key"),
        (json!(7), "JWK"),
        (json!({"kty":"RSA"}), "member"),
    ];
    for (key, word) in cases {
        let error = registry.add_key(&me, &id, &key, Origin::Api).unwrap_err();
        let is_told = matches!(&error, RegistryError::Invalid { place: "publicJwk", what } if what.contains(word));
        assert!(is_told, "{word}: {error}");
    }
    // .NET writes empty members too.
    let mut dotnet = new_key();
    dotnet["key_ops"] = json!([]);
    dotnet["oth"] = json!(null);
    dotnet["x5c"] = json!([]);
    registry
        .add_key(&OPERATOR, &id, &dotnet, Origin::Gui)
        .unwrap();

    for _ in 0..rules::MAX_LIVE_KEYS - 2 {
        registry
            .add_key(&OPERATOR, &id, &new_key(), Origin::Gui)
            .unwrap();
    }
    assert!(matches!(
        registry.add_key(&OPERATOR, &id, &new_key(), Origin::Gui),
        Err(RegistryError::Invalid { .. })
    ));
    // All over: no key authenticates, and there is room again.
    time.fetch_add(KEY_LIFE_S + 1, Ordering::SeqCst);
    assert!(
        client_of(&registry, &id)
            .unwrap()
            .active_keys(NOW + KEY_LIFE_S + 1)
            .is_empty()
    );
    registry
        .add_key(&OPERATOR, &id, &new_key(), Origin::Gui)
        .unwrap();
}

#[test]
fn drafts() {
    let World { registry, time, .. } = world();
    let mut limited = system(SystemTenancy::Single);
    limited.customers = Some([OFFICE.to_owned()].into());
    let system_id = registry.create_system(&of(VENDOR), &limited).unwrap();
    let key = registry.new_api_key(&of(VENDOR), &system_id).unwrap();
    let draft = |organisation: &str| Draft {
        organisation: organisation.to_owned(),
        key: new_key(),
        scopes: vec![
            rules::SELF_SERVICE_SCOPE.to_owned(),
            "nhn:msh/api".to_owned(),
        ],
        claims: vec![("herid".to_owned(), "0".to_owned())],
        redirect_uris: Some(vec!["http://localhost:1337/callback".to_owned()]),
        children: vec![OFFICE_UNIT.to_owned()],
        ..Draft::default()
    };
    assert_eq!(
        registry.draft("wrong", &draft(OFFICE)),
        Err(RegistryError::NotFound)
    );
    assert!(matches!(
        registry.draft(&key, &draft(OTHER)),
        Err(RegistryError::Forbidden(_))
    ));
    for unknown in ["123456789", OFFICE_UNIT, "x"] {
        assert!(
            matches!(
                registry.draft(&key, &draft(unknown)),
                Err(RegistryError::Invalid { .. })
            ),
            "{unknown}"
        );
    }
    let id = registry.draft(&key, &draft(OFFICE)).unwrap();
    assert!(client_of(&registry, &id).is_none(), "a draft is no client");
    assert!(registry.overview(&OPERATOR).waiting.is_empty());
    for stranger in [
        of(OTHER),
        of(VENDOR),
        Actor::Client {
            client_id: id.clone(),
        },
    ] {
        assert_eq!(
            registry.confirm(&stranger, &id),
            Err(RegistryError::NotFound),
            "{stranger:?}"
        );
    }
    registry.confirm(&of(OFFICE), &id).unwrap();
    assert_eq!(
        registry.confirm(&of(OFFICE), &id),
        Err(RegistryError::NotFound),
        "once"
    );
    let client = client_of(&registry, &id).unwrap();
    assert!(!client.scopes.contains("nhn:msh/api") && client.api_claims.is_empty());
    registry
        .decide(&OPERATOR, &id, "nhn:msh/client/claims/herid", true, None)
        .unwrap();
    assert_eq!(
        client_of(&registry, &id).unwrap().api_claims["nhn:msh/client/claims/herid"],
        "0"
    );

    // The key used twice, a declined draft, an old one, an old API key.
    let mut again = draft(OFFICE);
    let declined = registry.draft(&key, &again).unwrap();
    assert_eq!(registry.draft(&key, &again), Err(RegistryError::KeyUsed));
    registry.decline(&of(OFFICE), &declined).unwrap();
    again.key = new_key();
    let late = registry.draft(&key, &again).unwrap();
    time.fetch_add(DRAFT_LIFE_S + 1, Ordering::SeqCst);
    assert_eq!(
        registry.confirm(&of(OFFICE), &late),
        Err(RegistryError::NotFound)
    );
    registry.draft(&key, &draft(OFFICE)).unwrap();
    assert_eq!(
        registry.configuration(&late).unwrap_err(),
        RegistryError::NotFound,
        "swept"
    );
    let new = registry.new_api_key(&OPERATOR, &system_id).unwrap();
    assert_eq!(
        registry.draft(&key, &draft(OFFICE)),
        Err(RegistryError::NotFound)
    );
    registry.draft(&new, &draft(OFFICE)).unwrap();
    let multi = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Multi))
        .unwrap();
    assert!(registry.new_api_key(&OPERATOR, &multi).is_err());
}

#[test]
fn replacing_keeps_what_was_decided_and_nothing_else() {
    let World { registry, .. } = world();
    let system_id = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry
        .create(&of(OFFICE), &new_client(&system_id))
        .unwrap();
    registry
        .decide(&OPERATOR, &id, "nhn:pps/provesvar-read", true, None)
        .unwrap();
    let update = Update {
        scopes: ["nhn:pps/provesvar-read", "nhn:msh/api"]
            .map(str::to_owned)
            .into(),
        claims: vec![("nhn:msh/client/claims/herid".to_owned(), "1".to_owned())],
        redirect_uris: Some(Vec::new()),
        ..Update::default()
    };
    registry.update(&id, &update).unwrap();
    let client = client_of(&registry, &id).unwrap();
    assert!(client.scopes.contains("nhn:pps/provesvar-read") && client.scopes.contains("openid"));
    assert!(
        !client.scopes.contains("nhn:msh/api"),
        "asked for, not decided"
    );
    assert!(
        !client.scopes.contains(rules::SELF_SERVICE_SCOPE),
        "not named, gone"
    );
    assert!(client.redirect_uris.is_empty() && client.api_claims.is_empty());
    let same = registry.configuration(&id).unwrap().0;
    let wrong = [
        Update {
            redirect_uris: None,
            ..update.clone()
        },
        Update {
            redirect_uris: Some(vec!["http://evil.no/".to_owned()]),
            ..update.clone()
        },
        Update {
            children: vec![OTHER.to_owned()],
            ..update.clone()
        },
        Update {
            scopes: vec!["nhn:no/such".to_owned()],
            ..update.clone()
        },
        Update {
            claims: vec![(
                "e-helse:sfm.api/client/claims/sfm-id".to_owned(),
                "1".to_owned(),
            )],
            ..update.clone()
        },
    ];
    for wrong in wrong {
        assert!(
            matches!(
                registry.update(&id, &wrong),
                Err(RegistryError::Invalid { .. })
            ),
            "{wrong:?}"
        );
        assert_eq!(
            registry.configuration(&id).unwrap().0,
            same,
            "nothing is half done"
        );
    }
    // Where the system fixes the addresses null is right, and others are refused.
    let mut fixed = system(SystemTenancy::Single);
    fixed.redirect_uris = Some(vec!["https://epj.no/cb".to_owned()]);
    let fixed = registry.create_system(&OPERATOR, &fixed).unwrap();
    let mut new = new_client(&fixed);
    new.redirect_uris.clear();
    let id = registry.create(&OPERATOR, &new).unwrap();
    registry
        .update(
            &id,
            &Update {
                redirect_uris: None,
                ..update.clone()
            },
        )
        .unwrap();
    assert_eq!(
        client_of(&registry, &id).unwrap().redirect_uris,
        ["https://epj.no/cb"]
    );
    let other = Update {
        redirect_uris: Some(vec!["https://epj.no/x".to_owned()]),
        ..update
    };
    assert!(registry.update(&id, &other).is_err());
}

#[test]
fn delegations_are_the_organisations_own() {
    let World { registry, .. } = world();
    let system = registry
        .create_system(&of(VENDOR), &system(SystemTenancy::Multi))
        .unwrap();
    let id = registry.create(&of(VENDOR), &new_client(&system)).unwrap();
    let delegated = || match client_of(&registry, &id).unwrap().tenancy {
        crate::Tenancy::Multi {
            supplier,
            delegations,
        } => {
            assert_eq!(supplier, VENDOR);
            delegations.into_iter().collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert!(delegated().is_empty());
    assert!(
        registry
            .delegate(&of(VENDOR), OFFICE, VENDOR, true)
            .is_err()
    );
    assert!(
        registry
            .delegate(&of(OFFICE), OFFICE, OFFICE, true)
            .is_err()
    );
    assert!(registry.delegate(&of(OFFICE), OFFICE, "123", true).is_err());
    registry
        .delegate(&of(OFFICE), OFFICE, VENDOR, true)
        .unwrap();
    assert_eq!(delegated(), [OFFICE]);
    registry
        .delegate(&of(OFFICE), OFFICE, VENDOR, false)
        .unwrap();
    assert!(delegated().is_empty());
    assert_eq!(
        registry.delegate(&of(OFFICE), OFFICE, VENDOR, false),
        Err(RegistryError::NotFound)
    );
}

#[test]
fn two_processes_over_one_store() {
    let World {
        registry: one,
        time,
        store,
    } = world();
    let two = open(&store, &time);
    let system = one
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = one.create(&OPERATOR, &new_client(&system)).unwrap();
    assert!(two.configuration(&id).is_err());
    two.follow().unwrap();
    assert_eq!(
        two.configuration(&id).unwrap(),
        one.configuration(&id).unwrap()
    );
    // Both add a key without knowing of the other: nothing is lost.
    one.add_key(&OPERATOR, &id, &new_key(), Origin::Gui)
        .unwrap();
    two.add_key(&OPERATOR, &id, &new_key(), Origin::Gui)
        .unwrap();
    one.follow().unwrap();
    assert_eq!(one.configuration(&id).unwrap().0.keys.len(), 3);
    two.remove(&OPERATOR, &id).unwrap();
    assert_eq!(
        one.add_key(&OPERATOR, &id, &new_key(), Origin::Gui),
        Err(RegistryError::NotFound)
    );
    // The same key at two clients in two processes: one wins.
    let (a, b) = (
        one.create(&OPERATOR, &new_client(&system)).unwrap(),
        two.create(&OPERATOR, &new_client(&system)).unwrap(),
    );
    let key = new_key();
    one.add_key(&OPERATOR, &a, &key, Origin::Gui).unwrap();
    assert_eq!(
        two.add_key(&OPERATOR, &b, &key, Origin::Gui),
        Err(RegistryError::KeyUsed)
    );
}

#[test]
fn late_news_never_bring_an_old_state_back() {
    let World {
        registry, store, ..
    } = world();
    let system = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry.create(&OPERATOR, &new_client(&system)).unwrap();
    let old = store.load().unwrap();
    registry.remove(&OPERATOR, &id).unwrap();
    registry.take_over(&old);
    assert_eq!(
        registry.configuration(&id).unwrap_err(),
        RegistryError::NotFound
    );
    let (_, kept) = store
        .load()
        .unwrap()
        .into_iter()
        .partition::<Vec<_>, _>(|s| s.body.is_none());
    assert_eq!(kept.len(), 1);
}

#[test]
fn names_and_ids() {
    for (id, is_right) in [
        ("epj", true),
        ("a.b-c_1", true),
        ("ab", false),
        ("a b", false),
        ("a/b", false),
        ("06828399789", false),
        ("æøå", false),
    ] {
        assert_eq!(rules::check_client_id(id).is_ok(), is_right, "{id}");
    }
    for (name, is_right) in [
        ("Vår EPJ", true),
        ("", false),
        ("  ", false),
        ("a\nb", false),
    ] {
        assert_eq!(rules::check_name(name).is_ok(), is_right, "{name:?}");
    }
    assert!(rules::check_name(&"x".repeat(101)).is_err());
}

proptest! {
    /// Whatever is kept reads back, and its record id is one that the store takes.
    #[test]
    fn records_read_back(client_id in ".{0,40}", name in ".{0,40}", created_s in 0i64..9_999_999_999) {
        let mut configuration = super::change::blank(&client_id, "s", &name, OFFICE, created_s);
        configuration.state = ConfigurationState::Active;
        configuration.keys.push(Key { jwk: serde_json::Map::new(), thumbprint: "t".to_owned(), origin: Origin::Api, created_s, expires_s: created_s });
        let bytes = serde_json::to_vec(&configuration).unwrap();
        prop_assert_eq!(serde_json::from_slice::<super::model::Configuration>(&bytes).unwrap(), configuration.clone());
        let id = configuration.record_id();
        prop_assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

#[test]
fn exchange_and_logout_notices_are_given_by_operators() {
    let World { registry, .. } = world();
    let system_id = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry
        .create(&of(OFFICE), &new_client(&system_id))
        .unwrap();
    let roles = |acts_for: &str, uri: &str| model::Roles {
        acts_for: [acts_for.to_owned()].into(),
        backchannel_logout_uri: Some(uri.to_owned()),
        ..model::Roles::default()
    };
    let good = roles("nhn:pps", "https://epj.example/logout");
    assert!(registry.set_roles(&of(OFFICE), &id, &good).is_err());
    for bad in [
        roles("nhn:nobody", "https://epj.example/logout"),
        roles("nhn:pps", "http://localhost/logout"),
        roles("nhn:pps", "https://epj.example/logout#x"),
    ] {
        assert!(registry.set_roles(&OPERATOR, &id, &bad).is_err());
    }
    registry.set_roles(&OPERATOR, &id, &good).unwrap();
    let client = client_of(&registry, &id).unwrap();
    assert!(client.acts_for.contains("nhn:pps"));
    assert_eq!(
        client.backchannel_logout_uri.as_deref(),
        Some("https://epj.example/logout")
    );
}
