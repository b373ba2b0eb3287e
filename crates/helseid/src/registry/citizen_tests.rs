//! Systems and clients of citizens in the registry: what they can be, who decides on their rights.

use serde_json::json;

use super::model::{Origin, Roles, System, SystemTenancy, SystemUsers};
use super::tests::{OFFICE, OPERATOR, OTHER, VENDOR, new_client, new_key, of, system, world};
use super::*;
use crate::citizen::{RIGHT_NAME, RIGHT_PID, RIGHTS};

fn citizens(users: SystemUsers) -> NewSystem {
    NewSystem {
        users,
        machine: false,
        ..system(SystemTenancy::Single)
    }
}

fn tool(system: &str) -> NewClient {
    NewClient {
        scopes: vec![RIGHT_NAME.to_owned(), RIGHT_PID.to_owned()],
        ..new_client(system)
    }
}

/// Where something invalid was found.
fn place<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> &'static str {
    match result.unwrap_err() {
        RegistryError::Invalid { place, .. } => place,
        other => panic!("{other}"),
    }
}

#[test]
fn an_operator_decides_on_rights() {
    let registry = world().registry;
    let system = registry
        .create_system(&of(VENDOR), &citizens(SystemUsers::Citizens))
        .unwrap();
    let id = registry.create(&of(OFFICE), &tool(&system)).unwrap();
    let made = || {
        let (configuration, system) = registry.configuration(&id).unwrap();
        configuration.to_citizen_client(&system, "x").unwrap()
    };
    // Nobody logs in before a right is granted.
    assert!(!made().client.user_login && made().client.scopes.is_empty() && !made().public);
    assert_eq!(registry.overview(&OPERATOR).waiting.len(), 2);
    assert!(registry.overview(&of(OFFICE)).waiting.is_empty());
    for stranger in [OFFICE, VENDOR, OTHER] {
        let decided = registry.decide(&of(stranger), &id, RIGHT_PID, true, None);
        assert!(decided.is_err(), "{stranger}");
    }
    registry
        .decide(&OPERATOR, &id, RIGHT_NAME, true, None)
        .unwrap();
    let client = made().client;
    assert_eq!(client.scopes, [RIGHT_NAME.to_owned()].into());
    assert!(client.user_login && client.refresh && client.bearer_allowed && !client.machine);
    assert_eq!(client.tenancy, crate::Tenancy::None);
    let view = registry.client_view(&of(OFFICE), &id).unwrap();
    assert_eq!((view.tenancy, view.row.state), ("citizens", "active"));
    assert_eq!(view.offered_scopes.len(), RIGHTS.len() - 2);
    assert!(
        view.scope_list
            .iter()
            .all(|s| s.audience.as_deref() == Some("nhn:helsenorge"))
    );

    registry
        .decide(&OPERATOR, &id, RIGHT_NAME, false, None)
        .unwrap();
    assert!(!made().client.user_login);
}

#[test]
fn what_cannot_be_registered() {
    let registry = world().registry;
    let multi = NewSystem {
        tenancy: SystemTenancy::Multi,
        ..citizens(SystemUsers::Citizens)
    };
    let machine = NewSystem {
        machine: true,
        ..citizens(SystemUsers::CitizensApp)
    };
    let silent = NewSystem {
        user_login: false,
        ..citizens(SystemUsers::Citizens)
    };
    for new in [multi, machine, silent] {
        assert_eq!(place(registry.create_system(&OPERATOR, &new)), "users");
    }
    let make = |users| registry.create_system(&OPERATOR, &citizens(users)).unwrap();
    let (keyed, app) = (make(SystemUsers::Citizens), make(SystemUsers::CitizensApp));
    // Scopes of personnel, and rights of citizens for personnel.
    let wrong = new_client(&keyed);
    assert_eq!(place(registry.create(&OPERATOR, &wrong)), "apiScopes");
    let personnel = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    assert_eq!(
        place(registry.create(&OPERATOR, &tool(&personnel))),
        "apiScopes"
    );
    // An application has no key, now or later.
    assert_eq!(place(registry.create(&OPERATOR, &tool(&app))), "publicJwk");
    let keyless = NewClient {
        key: None,
        ..tool(&app)
    };
    let id = registry.create(&OPERATOR, &keyless).unwrap();
    let key = new_key();
    let added = registry.add_key(&OPERATOR, &id, &key, Origin::Gui);
    assert_eq!(place(added), "publicJwk");
    let api_key = registry.new_api_key(&OPERATOR, &app).unwrap();
    let draft = Draft {
        organisation: OFFICE.to_owned(),
        key,
        ..Draft::default()
    };
    assert_eq!(place(registry.draft(&api_key, &draft)), "publicJwk");
    let view = registry.client_view(&OPERATOR, &id).unwrap();
    assert_eq!(
        (view.row.state, view.row.keys_state),
        ("active", "not_needed")
    );
    let roles = |acts_for: &[&str], audiences: &[&str]| Roles {
        acts_for: acts_for.iter().map(|one| (*one).to_owned()).collect(),
        audiences: audiences.iter().map(|one| (*one).to_owned()).collect(),
        ..Roles::default()
    };
    let set = |id: &str, roles: &Roles| registry.set_roles(&OPERATOR, id, roles);
    assert_eq!(place(set(&id, &roles(&["nhn:pps"], &[]))), "actsFor");
    assert_eq!(place(set(&id, &roles(&[], &["a b c"]))), "audiences");
    set(&id, &roles(&[], &["nhn:helsenorge"])).unwrap();
    let other = registry.create(&OPERATOR, &new_client(&personnel)).unwrap();
    assert_eq!(
        place(set(&other, &roles(&[], &["nhn:helsenorge"]))),
        "audiences"
    );
}

#[test]
fn records_of_before_are_of_personnel() {
    let old = json!({"id":"x","name":"EPJ","supplier":VENDOR,"tenancy":"single","user_login":true,"machine":true,
        "refresh":true,"native":false,"created_s":1});
    let system: System = serde_json::from_value(old.clone()).unwrap();
    assert_eq!(system.users, SystemUsers::Personnel);
    assert_eq!(serde_json::to_value(&system).unwrap(), old);
}
