//! Scopes as tables: what they mean, what they open, what is malformed.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn permissions(text: &str) -> Option<String> {
    let scope = Scope::parse(text)?;
    let all = [
        ('c', Permissions::CREATE),
        ('r', Permissions::READ),
        ('u', Permissions::UPDATE),
        ('d', Permissions::DELETE),
        ('s', Permissions::SEARCH),
    ];
    Some(
        all.iter()
            .filter(|(_, p)| scope.permissions.meets(*p))
            .map(|(letter, _)| *letter)
            .collect(),
    )
}

#[test]
fn both_versions_say_what_may_be_done() {
    for (text, expected) in [
        ("patient/Observation.rs", Some("rs")),
        ("user/Observation.cruds", Some("cruds")),
        ("system/*.cud", Some("cud")),
        ("patient/*.read", Some("rs")),
        ("user/Patient.write", Some("cud")),
        ("system/*.*", Some("cruds")),
        ("patient/Observation.rs?category=laboratory", Some("rs")),
        // Letters stand in the order of the standard, once each.
        ("patient/Observation.sr", None),
        ("patient/Observation.rr", None),
        ("patient/Observation.", None),
        ("patient/Observation.x", None),
        ("patient/Observation", None),
        ("patient/Pasient.rs", None),
        ("patient/observation.rs", None),
        ("patient/.rs", None),
        ("patient/Observation.rs?", None),
        ("patient/Observation.rs?_count=5", None),
        ("launch/patient", None),
        ("openid", None),
        ("nhn:pps/provesvar-read", None),
        ("Patient/Observation.rs", None),
    ] {
        assert_eq!(permissions(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_search_of_a_scope_is_decoded() {
    let scope = Scope::parse("user/Observation.rs?category=http%3A%2F%2Fx%7Clab&code=a,b").unwrap();
    assert_eq!(
        scope.conditions,
        [
            ("category".to_owned(), "http://x|lab".to_owned()),
            ("code".to_owned(), "a,b".to_owned())
        ]
    );
    assert_eq!(scope.context, Context::User);
    assert_eq!(scope.rtype.as_deref(), Some("Observation"));
}

#[test]
fn a_token_without_resource_scopes_is_not_narrowed() {
    assert_eq!(
        Scopes::of(["nhn:pps/provesvar-read", "openid"], Launch::Request),
        None
    );
    let malformed = Scopes::of(["patient/Observation.what"], Launch::Request).unwrap();
    assert!(!malformed.permits("Observation", Permissions::ALL));
}

#[test]
fn scopes_open_types_and_interactions() {
    let texts = [
        "patient/Observation.rs",
        "user/Practitioner.r",
        "system/*.c",
    ];
    let with = Scopes::of(texts, Launch::Patient("p1".to_owned())).unwrap();
    for (rtype, permission, expected) in [
        ("Observation", Permissions::READ, true),
        ("Observation", Permissions::SEARCH, true),
        ("Observation", Permissions::UPDATE, false),
        ("Observation", Permissions::CREATE, true),
        ("Practitioner", Permissions::READ, true),
        ("Practitioner", Permissions::SEARCH, false),
        ("Patient", Permissions::READ, false),
    ] {
        assert_eq!(
            with.permits(rtype, permission),
            expected,
            "{rtype} {permission:?}"
        );
    }
    // Scopes of a patient open nothing when the token names none.
    let without = Scopes::of(texts, Launch::Nobody).unwrap();
    assert!(!without.permits("Observation", Permissions::READ));
    assert!(without.permits("Practitioner", Permissions::READ));
    assert!(
        !with
            .only(Permissions::SEARCH)
            .permits("Practitioner", Permissions::READ)
    );
}

#[test]
fn too_many_scopes_open_nothing() {
    let texts: Vec<String> = (0..=MAX_SCOPES)
        .map(|n| format!("user/Observation.rs?code=c{n}"))
        .collect();
    let scopes = Scopes::of(texts.iter().map(String::as_str), Launch::Nobody).unwrap();
    assert!(!scopes.permits("Observation", Permissions::READ));
}

fn token(claims: &serde_json::Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("Bearer {}.{}.x", part("{}"), part(&claims.to_string()))
}

#[test]
fn tokens_of_open_repositories_are_looked_into() {
    let text = token(&json!({ "scope": "openid patient/*.rs", "patient": "p1" }));
    let scopes = unverified(&text).unwrap();
    assert_eq!(scopes.launch, Launch::Patient("p1".to_owned()));
    assert!(scopes.permits("Observation", Permissions::READ));
    let list = token(&json!({ "scope": ["user/Patient.r"] }));
    assert!(
        unverified(&list)
            .unwrap()
            .permits("Patient", Permissions::READ)
    );
    for other in [
        token(&json!({ "scope": "openid" })),
        token(&json!({})),
        "Bearer opaque".to_owned(),
        "Basic eA==".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer".to_owned(),
    ] {
        assert_eq!(unverified(&other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in ".{0,80}") {
        let _ = Scope::parse(&text);
        let _ = unverified(&text);
    }

    #[test]
    fn nearly_scopes_are_read(
        text in "(patient|user|system)/(Observation|Patient|\\*|x)\\.[cruds*]{0,6}(\\?[a-z=&%|,]{0,20})?"
    ) {
        if let Some(scope) = Scope::parse(&text) {
            prop_assert!(scope.permissions.meets(Permissions::ALL));
        }
    }
}
