//! Clients of citizens from self-service at the running issuer: in force at once, at this issuer only.

use helseid::registry::model::{Rules, SystemTenancy, SystemUsers};
use helseid::registry::{
    Actor, MemoryRegistryStore, NewClient, NewSystem, Registry, RegistryParts,
};

use super::*;
use crate::people::OFFICE;
use crate::{World, claims};

/// A registry that serves both issuers, which share nothing.
struct Desk {
    sts: Sts,
    world: World,
    registry: Registry,
}

impl Desk {
    fn open() -> Self {
        let (sts, world) = (Sts::start(), World::start());
        let registry = Registry::open(RegistryParts {
            store: Arc::new(MemoryRegistryStore::default()),
            directory: Arc::new(people::People),
            apis: helseid::config::national_apis(),
            clock: clock(&sts.time),
        })
        .unwrap();
        registry.serve(world.helseid.clone());
        registry.serve_citizens(sts.citizens.clone());
        Self {
            sts,
            world,
            registry,
        }
    }

    fn register(&self, users: SystemUsers, client_id: &str) {
        let personnel = users == SystemUsers::Personnel;
        let system = NewSystem {
            name: "Timebok".to_owned(),
            supplier: OFFICE.to_owned(),
            users,
            tenancy: SystemTenancy::Single,
            user_login: true,
            machine: personnel,
            refresh: true,
            native: false,
            rules: Some(Rules::Compatible),
            scopes: None,
            redirect_uris: None,
            customers: None,
        };
        let system = self
            .registry
            .create_system(&Actor::Console, &system)
            .unwrap();
        let rights = if personnel { &[][..] } else { &[RIGHT_NAME] };
        // One key is enough: a key belongs to one client for ever.
        let key = (users == SystemUsers::Citizens)
            .then(|| Value::Object(self.sts.key.public().to_members()));
        let client = NewClient {
            client_id: Some(client_id.to_owned()),
            system,
            name: "Timebok".to_owned(),
            organisation: OFFICE.to_owned(),
            key,
            scopes: rights.iter().map(|one| (*one).to_owned()).collect(),
            redirect_uris: vec![REDIRECT.to_owned()],
            ..NewClient::default()
        };
        self.registry.create(&Actor::Console, &client).unwrap();
    }

    fn decide(&self, client_id: &str, yes: bool) {
        self.registry
            .decide(&Actor::Console, client_id, RIGHT_NAME, yes, None)
            .unwrap();
    }
}

#[tokio::test]
async fn a_registered_client_logs_citizens_in() {
    let desk = Desk::open();
    let Desk { sts, registry, .. } = &desk;
    desk.register(SystemUsers::Citizens, "timebok");
    let pushed = sts.push("timebok", &[]).await;
    pushed.refused("unauthorized_client");
    desk.decide("timebok", true);
    let tokens = sts.log_in("timebok", &[]).await;
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(id["name"], "LIVSTRETT BEVER");
    assert!(id.get("pid").is_none());
    let page = pages::open(sts, &open_url("timebok", &[]), &[]).await;
    assert!(page.text.contains("Timebok"));

    let refresh = tokens["refresh_token"].as_str().unwrap();
    registry.block(&Actor::Console, "timebok", true).unwrap();
    let gone = sts.refresh("timebok", refresh).await;
    gone.refused("invalid_client");
    registry.block(&Actor::Console, "timebok", false).unwrap();
    assert_eq!(sts.refresh("timebok", refresh).await.status, 200);
    registry.remove(&Actor::Console, "timebok").unwrap();
    sts.push("timebok", &[]).await.refused("invalid_client");
}

#[tokio::test]
async fn an_application_is_registered_without_a_key() {
    let desk = Desk::open();
    desk.register(SystemUsers::CitizensApp, "lomme");
    desk.decide("lomme", true);
    let challenge = pkce::challenge(VERIFIER);
    let form = standard("lomme", &challenge);
    let certificate = Some(desk.sts.instances[0].as_slice());
    let pushed = desk.sts.post_as(path::PAR, &form, &[], certificate).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let bare = desk.sts.post_as(path::PAR, &form, &[], None).await;
    bare.refused("invalid_client");
}

#[tokio::test]
async fn no_client_is_at_both_issuers() {
    let desk = Desk::open();
    desk.register(SystemUsers::Citizens, "timebok");
    desk.register(SystemUsers::Personnel, "journal");
    assert!(desk.world.helseid.client("timebok").is_none());
    assert!(desk.sts.citizens.client("timebok").is_some());
    assert!(desk.world.helseid.client("journal").is_some());
    assert!(desk.sts.citizens.client("journal").is_none());
    // The ids of the configuration are taken, and those clients are shown to operators only.
    let all = desk.registry.overview(&Actor::Console).clients;
    let found = all.iter().find(|row| row.client_id == "verktoy").unwrap();
    assert_eq!(found.state, "configured");
    let view = desk.registry.client_view(&Actor::Console, "app").unwrap();
    assert_eq!(view.issuer.as_deref(), Some(ISSUER));
    assert_eq!(
        (view.tenancy, view.row.keys_state),
        ("citizens", "not_needed")
    );
    let office = Actor::Organisation {
        orgnr: OFFICE.to_owned(),
        hpr: None,
    };
    assert!(desk.registry.client_view(&office, "app").is_err());
}
