//! The pages about APIs: who sees whom, and terms of use from their text to what the issuer is told.

use super::model::{ApiOwner, ScopeState, SystemTenancy};
use super::tests::{OFFICE, OPERATOR, OTHER, VENDOR, World, new_client, of, open, system, world};
use super::*;

const PPS: &str = "nhn:pps";
const SCOPE: &str = "nhn:pps/provesvar-read";

/// A client that has asked for a scope of an API that another organisation owns.
fn asked() -> (World, String) {
    let world = world();
    let registry = &world.registry;
    let system = registry
        .create_system(&OPERATOR, &system(SystemTenancy::Single))
        .unwrap();
    let id = registry.create(&of(OFFICE), &new_client(&system)).unwrap();
    let owner = ApiOwner {
        audience: PPS.to_owned(),
        organisation: Some(OTHER.to_owned()),
        automatic: false,
        terms: None,
    };
    registry.set_owner(&OPERATOR, &owner).unwrap();
    (world, id)
}

/// Clients at the scope, with their states.
fn at_scope(registry: &Registry, actor: &Actor) -> Vec<(ScopeState, bool)> {
    let page = registry.api_page(actor, PPS).unwrap();
    let scope = page.scopes.iter().find(|s| s.scope == SCOPE).unwrap();
    let users = scope.clients.iter();
    users.map(|user| (user.state, user.is_usable)).collect()
}

#[test]
fn an_owner_sees_who_asks_and_who_uses_and_others_their_own() {
    let (World { registry, .. }, id) = asked();
    let row = |actor: &Actor| {
        let rows = registry.api_rows(actor);
        rows.into_iter().find(|row| row.audience == PPS).unwrap()
    };
    let of_owner = row(&of(OTHER));
    assert_eq!((of_owner.users, of_owner.waiting), (Some(0), Some(1)));
    assert!(of_owner.may_decide && row(&OPERATOR).may_decide);
    for actor in [of(OFFICE), of(VENDOR)] {
        let seen = row(&actor);
        assert_eq!(
            (seen.users, seen.waiting, seen.may_decide),
            (None, None, false)
        );
        assert_eq!(at_scope(&registry, &actor), [(ScopeState::Requested, true)]);
    }
    assert_eq!(
        registry.api_rows(&of(OTHER))[0].audience,
        PPS,
        "own ones first"
    );

    registry.decide(&of(OTHER), &id, SCOPE, true, None).unwrap();
    // The page of the client is no longer the owner's to see; this one still is.
    assert!(registry.client_view(&of(OTHER), &id).is_err());
    assert_eq!(
        at_scope(&registry, &of(OTHER)),
        [(ScopeState::Approved, true)]
    );
    assert_eq!(row(&of(OTHER)).users, Some(1));
    registry.block(&OPERATOR, &id, true).unwrap();
    assert_eq!(
        at_scope(&registry, &of(OTHER)),
        [(ScopeState::Approved, false)]
    );
    registry
        .decide(&of(OTHER), &id, SCOPE, false, Some("fordi"))
        .unwrap();
    assert_eq!(
        at_scope(&registry, &of(OTHER)),
        [(ScopeState::Rejected, false)]
    );
    let missing = registry.api_page(&OPERATOR, "nhn:nothing");
    assert_eq!(missing.unwrap_err(), RegistryError::NotFound);
}

#[test]
fn a_client_without_a_valid_key_is_not_called_active() {
    let (World { registry, time, .. }, id) = asked();
    let state = |registry: &Registry| registry.client_view(&of(OFFICE), &id).unwrap().row.state;
    assert_eq!(state(&registry), "active");
    time.fetch_add(model::KEY_LIFE_S + 1, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(state(&registry), "keyless");
    assert_eq!(
        at_scope(&registry, &of(OFFICE)),
        [(ScopeState::Requested, false)]
    );
    registry.block(&OPERATOR, &id, true).unwrap();
    assert_eq!(state(&registry), "blocked");
}

#[test]
fn terms_from_their_text_to_the_issuer() {
    let (
        World {
            registry,
            store,
            time,
        },
        _,
    ) = asked();
    let allows = |registry: &Registry| registry.read().terms_of_use().allow(PPS, Some(OFFICE));
    let seen = |actor: &Actor| registry.api_page(actor, PPS).unwrap();
    let stranger = registry.set_terms(&of(OFFICE), PPS, Some("x"));
    assert!(matches!(stranger, Err(RegistryError::Forbidden(_))));
    for text in ["", "  ", "a\u{7}", &"x".repeat(8_001)] {
        let refused = registry.set_terms(&of(OTHER), PPS, Some(text));
        assert!(
            matches!(refused, Err(RegistryError::Invalid { .. })),
            "{text:.10}"
        );
    }
    assert!(allows(&registry), "no terms, nothing to accept");
    registry
        .set_terms(&of(OTHER), PPS, Some("Bare til helsehjelp.\n"))
        .unwrap();
    assert!(!allows(&registry));
    assert_eq!(seen(&of(OFFICE)).row.terms, "open");
    let accept = |actor: &Actor, orgnr: &str, version, on| {
        registry.accept_terms(actor, PPS, orgnr, version, on)
    };
    for (actor, version, expected) in [
        (
            of(VENDOR),
            1,
            Err(RegistryError::Forbidden(
                "an organisation accepts terms for itself only",
            )),
        ),
        (of(OFFICE), 2, Err(RegistryError::Conflict)),
        (of(OFFICE), 1, Ok(())),
    ] {
        assert_eq!(accept(&actor, OFFICE, version, true), expected, "{actor:?}");
    }
    assert!(allows(&registry) && allows(&open(&store, &time)));
    assert_eq!(seen(&of(OFFICE)).row.terms, "accepted");
    assert_eq!(
        seen(&of(OTHER)).acceptances.len(),
        1,
        "the owner sees who has accepted"
    );
    assert_eq!(seen(&of(VENDOR)).acceptances.len(), 0);

    // The same words are the same terms; others are accepted anew, also after a time without any.
    registry
        .set_terms(&of(OTHER), PPS, Some("Bare til helsehjelp."))
        .unwrap();
    assert!(allows(&registry));
    registry.set_terms(&OPERATOR, PPS, None).unwrap();
    assert!(allows(&registry));
    registry
        .set_terms(&OPERATOR, PPS, Some("Nye vilkår."))
        .unwrap();
    assert!(!allows(&registry));
    assert_eq!(seen(&of(OFFICE)).row.terms, "changed");
    let version = seen(&of(OFFICE)).terms_of_use.unwrap().version;
    accept(&of(OFFICE), OFFICE, version, true).unwrap();
    assert!(allows(&registry));
    // A new owner does not lose the terms.
    let owner = ApiOwner {
        audience: PPS.to_owned(),
        organisation: Some(VENDOR.to_owned()),
        automatic: true,
        terms: None,
    };
    registry.set_owner(&OPERATOR, &owner).unwrap();
    assert!(allows(&registry) && seen(&of(OFFICE)).terms_of_use.is_some());
    accept(&of(OFFICE), OFFICE, version, false).unwrap();
    assert!(!allows(&registry));
    assert_eq!(
        accept(&of(OFFICE), OFFICE, version, false),
        Err(RegistryError::NotFound)
    );
    let own = registry.set_terms(&OPERATOR, rules::SELF_SERVICE, Some("x"));
    assert!(matches!(own, Err(RegistryError::Forbidden(_))));
}
