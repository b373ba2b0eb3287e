//! Chains, `_has`, includes and compartments: searches over several resources.

use super::{address, clinic, refused, table, walked};
use crate::world::*;

#[tokio::test]
async fn chains_and_has() {
    let world = World::new();
    clinic(&world).await;
    table(
        &world,
        &[
            ("Observation?subject:Patient.name=bever", "o1 o2"),
            ("Observation?patient.name=bever", "o1 o2"),
            ("Observation?subject:Group.type=person", "o4"),
            // Only Patient has the next parameter, so the type may be left out.
            ("Observation?subject.family=elg", "o3"),
            ("Observation?subject.identifier:missing=true", "o1 o2 o3 o4"),
            ("Observation?patient.gender=female", "o1 o2"),
            ("Observation?patient.gender:missing=true", "o3"),
            ("Observation?patient.gender:not=female", "o3"),
            ("Observation?patient._id=kari", "o1 o2"),
            ("Observation?patient.name:exact=Elg", "o3"),
            ("Observation?patient.organization.name=granfjell", "o3"),
            ("Observation?patient.organization.partof.name=granfjell", "o1 o2"),
            ("Observation?encounter.patient.organization.partof.name=gran", "o1"),
            ("Observation?has-member.patient.name=bever", "o5"),
            ("Observation?code=718-7&patient.name=bever", "o1"),
            ("Observation?patient.name=bever,elg", "o1 o2 o3"),
            // Two chains through the same parameter stand for themselves.
            ("Observation?patient.name=bever&patient.gender=female", "o1 o2"),
            ("Observation?patient.name=bever&patient.name=elg", ""),
            ("Patient?_has:Observation:patient:code=718-7", "kari ola"),
            ("Patient?_has:Observation:patient:code=2345-7", "kari"),
            ("Patient?_has:Observation:patient:code=2345-7,718-7", "kari ola"),
            ("Patient?_has:Observation:patient:code=718-7&_has:Observation:patient:code=2345-7", "kari"),
            ("Patient?_has:Observation:patient:status:not=final", "kari ola"),
            ("Patient?_has:Observation:patient:encounter.class=AMB", "kari"),
            ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=718-7", "dr"),
            ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=none", ""),
            ("Organization?_has:Patient:organization:name=elg", "org"),
            ("Encounter?subject._has:Observation:patient:code=2345-7", "e1"),
            ("Observation?subject:Patient._has:Observation:patient:code=2345-7", "o1 o2"),
            ("Patient?_has:Observation:patient:_id=o3", "ola"),
        ],
    )
    .await;
    refused(
        &world,
        &[
            ("Observation?subject.nonsense=1", 400, "not-supported"),
            (
                "Observation?patient.organization.partof.partof.partof.partof.name=x",
                400,
                "too-costly",
            ),
            ("Patient?_has:Observation:patient", 400, "invalid"),
            ("Patient?_has:Nonsense:patient:code=1", 400, "value"),
            (
                "Patient?_has:Observation:nonsense:code=1",
                400,
                "not-supported",
            ),
            ("Patient?_has:Observation:encounter:code=1", 400, "value"),
            (
                "Patient?_has:Observation:patient:nonsense=1",
                400,
                "not-supported",
            ),
            (
                "Patient?_has:Observation:patient:code:missing=x",
                400,
                "value",
            ),
        ],
    )
    .await;
    // Only what is there now is followed.
    let gone = send(&world.sandbox, "DELETE", "Patient/ola", &[], "").await;
    assert!(gone.status < 300, "{}", gone.text());
    table(
        &world,
        &[
            ("Observation?patient.name=elg", ""),
            ("Organization?_has:Patient:organization:name=elg", ""),
            ("Observation?patient=Patient/ola", "o3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn includes() {
    let world = World::new();
    clinic(&world).await;
    let with = |query: &'static str| {
        let world = &world;
        async move {
            let reply = get(&world.sandbox, &address(query)).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            let (mut matches, mut included) = (reply.ids("match"), reply.ids("include"));
            matches.sort();
            included.sort();
            let all: std::collections::BTreeSet<&String> =
                matches.iter().chain(&included).collect();
            assert_eq!(all.len(), matches.len() + included.len(), "{query}: twice");
            assert_eq!(reply.json()["total"], matches.len() as u64, "{query}");
            included.join(" ")
        }
    };
    for (query, expected) in [
        (
            "Observation?_id=o1&_include=Observation:subject",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:patient",
            "Patient/kari",
        ),
        // A versioned reference leads to what is there now.
        (
            "Observation?_id=o2&_include=Observation:subject",
            "Patient/kari",
        ),
        (
            "Observation?_id=o4&_include=Observation:subject:Patient",
            "",
        ),
        (
            "Observation?_id=o4&_include=Observation:subject:Group",
            "Group/grp",
        ),
        // What is not there is not included.
        ("Observation?_id=o5&_include=Observation:subject", ""),
        (
            "Observation?_id=o1&_include=Observation:*",
            "Encounter/e1 Patient/kari Practitioner/dr",
        ),
        (
            "Observation?_id=o1&_include=*",
            "Encounter/e1 Patient/kari Practitioner/dr",
        ),
        ("Observation?_id=o1&_include=Patient:organization", ""),
        (
            "Observation?_id=o1&_include=Observation:subject&_include=Patient:organization",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_include:iterate=Patient:organization",
            "Organization/part Patient/kari",
        ),
        (
            "Observation?_id=o1&_include:iterate=Organization:partof&_include:iterate=Patient:organization&_include=Observation:subject",
            "Organization/org Organization/part Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_include:recurse=Patient:organization",
            "Organization/part Patient/kari",
        ),
        ("Patient?_id=self&_include=Patient:link", ""),
        ("Patient?_id=self&_include:iterate=Patient:link", ""),
        (
            "Patient?_id=kari&_revinclude=Observation:subject",
            "Observation/o1 Observation/o2",
        ),
        (
            "Patient?_id=kari&_revinclude=Observation:subject&_revinclude=Encounter:subject",
            "Encounter/e1 Observation/o1 Observation/o2",
        ),
        (
            "Patient?_id=kari&_revinclude=*",
            "Encounter/e1 Observation/o1 Observation/o2",
        ),
        (
            "Organization?_id=org&_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:organization",
            "Organization/part Patient/kari Patient/ola",
        ),
        // A match is not included again.
        ("Observation?_include=Observation:has-member", ""),
        (
            "Observation?_id=o1&_include=Observation:subject&_include=Observation:patient",
            "Patient/kari",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_summary=text",
            "",
        ),
        (
            "Observation?_id=o1&_include=Observation:subject&_summary=data",
            "Patient/kari",
        ),
    ] {
        assert_eq!(with(query).await, expected, "{query}");
    }
    refused(
        &world,
        &[
            (
                "Observation?_include=Observation:nonsense",
                400,
                "not-supported",
            ),
            (
                "Observation?_include=Observation:code",
                400,
                "not-supported",
            ),
            ("Observation?_include=Nonsense:subject", 400, "value"),
            (
                "Observation?_include=Observation:subject:Nonsense",
                400,
                "value",
            ),
            ("Observation?_include=Observation", 400, "value"),
            (
                "Observation?_include:exact=Observation:subject",
                400,
                "not-supported",
            ),
        ],
    )
    .await;
    // Includes are of the page's matches, and do not end the paging.
    let first = get(
        &world.sandbox,
        "Observation?_count=1&_sort=_id&_include=Observation:subject",
    )
    .await;
    assert_eq!(first.ids("match"), ["Observation/o1"]);
    assert_eq!(first.ids("include"), ["Patient/kari"]);
    let all = walked(
        &world,
        "Observation?_count=1&_sort=_id&_include=Observation:subject",
    )
    .await;
    assert_eq!(all, ["o1", "o2", "o3", "o4", "o5"]);
}

#[tokio::test]
async fn compartments() {
    let world = World::new();
    clinic(&world).await;
    table(
        &world,
        &[
            ("Patient/kari/Observation", "o1 o2"),
            ("Patient/kari/Observation?code=718-7", "o1"),
            ("Patient/kari/*", "e1 o1 o2"),
            ("Patient/kari/*?_type=Observation,Encounter", "e1 o1 o2"),
            ("Patient/nobody/Observation", ""),
            ("Practitioner/dr/Observation", "o1"),
            ("Encounter/e1/Observation", "o1"),
            ("Patient/kari/Group", ""),
        ],
    )
    .await;
    for query in [
        "Organization/org/Patient",
        "Patient/kari/Nonsense",
        "Patient/kari/Organization",
    ] {
        assert_eq!(get(&world.sandbox, query).await.status, 404, "{query}");
    }
}
