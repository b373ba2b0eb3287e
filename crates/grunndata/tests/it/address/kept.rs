//! Answers that are kept are never another answer than the one that would be written now.

use super::{BASE, DOCTOR, HOSPITAL, NOW_S, OFFICE, WARD, World, at, everywhere, text_of, users};
use edge::soap::Host;
use grunndata::ar;
use registers::directory::{PartyKind, ServiceCode};
use registers::parties::PartyRecord;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const OPERATIONS: [(&str, u32); 6] = [
    ("GetCommunicationPartyDetails", OFFICE),
    ("GetCommunicationPartyDetails", DOCTOR),
    ("GetCommunicationPartyDetails", HOSPITAL),
    ("GetOrganizationDetails", HOSPITAL),
    ("GetServiceDetails", WARD),
    ("GetOrganizationPersonDetails", DOCTOR),
];

/// What the service that has answered before says, and what one says that has not.
async fn compare(world: &mut World, after: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (operation, her_id) in OPERATIONS {
        let parameters = format!("<herId>{her_id}</herId>");
        let kept = world.ar(operation, &parameters).await;
        let again = world.ar(operation, &parameters).await;
        let mut host = Host::new(Arc::new(users()), vec![BASE.to_owned()]);
        for mount in ar::service::mounts(&world.register).unwrap() {
            host.mount(mount);
        }
        let usual = std::mem::replace(&mut world.router, host.router());
        let fresh = world.ar(operation, &parameters).await;
        world.router = usual;
        assert_eq!(kept.text, fresh.text, "{operation} {her_id} after {after}");
        assert_eq!(again.text, fresh.text, "{operation} {her_id} after {after}");
        assert!(!kept.text.contains('\0'));
        all.push(kept.text);
    }
    for her_id in [OFFICE, HOSPITAL, WARD] {
        let path = format!("/CommunicationParties/{her_id}");
        let first = world.cp(&path).await;
        let again = world.cp(&path).await;
        assert_eq!(first.text, again.text);
        assert!(!first.text.contains("u0000"), "{}", first.text);
        let time = first.json()["communicationParty"]["ServerTime"].to_string();
        let hour = jiff::Timestamp::from_second(world.clock.load(Ordering::SeqCst)).unwrap();
        assert!(
            time.contains(&hour.strftime(":%M:%S").to_string()),
            "{time}"
        );
        all.push(first.text);
    }
    all
}

async fn change(world: &World, her_id: u32, change: impl FnMut(&mut PartyRecord) + Send + 'static) {
    let parties = world.table.parties().clone();
    let now = at(world.clock.load(Ordering::SeqCst));
    let work = move || parties.update(her_id, now, change).unwrap();
    assert!(tokio::task::spawn_blocking(work).await.unwrap());
}

#[test]
fn what_is_kept_is_what_would_be_written() {
    everywhere(async |mut world: World| {
        let mut before = compare(&mut world, "nothing").await;
        // Only the time of day.
        world.clock.fetch_add(61, Ordering::SeqCst);
        let after = compare(&mut world, "a minute").await;
        for (a, b) in before.iter().zip(&after) {
            let times = |t: &str| t.split("ServerTime").map(str::len).collect::<Vec<_>>();
            assert_eq!(times(a), times(b));
        }
        assert_ne!(
            text_of(&before[0], "ServerTime"),
            text_of(&after[0], "ServerTime")
        );
        before = after;
        let shows = |all: &[String], text: &str| -> Vec<bool> {
            all.iter().map(|t| t.contains(text)).collect()
        };

        change(&world, HOSPITAL, |p| p.name = "Nytt sykehus".to_owned()).await;
        let after = compare(&mut world, "a new name above").await;
        let hospital = [false, false, true, true, true, false, false, true, true];
        assert_eq!(shows(&after, "Nytt sykehus"), hospital);
        assert_eq!(shows(&before, "Nytt sykehus"), [false; 9]);

        change(&world, WARD, |p| p.description = Some("Ny post".to_owned())).await;
        let after = compare(&mut world, "a description below").await;
        assert_eq!(shows(&after, "Ny post"), hospital);

        let parties = world.table.parties().clone();
        let create = move || {
            parties.create(|her_id| {
                let of = super::HOSPITAL_NO;
                let mut made =
                    PartyRecord::new(her_id, PartyKind::Service, "Helt ny", of, at(NOW_S));
                made.parent = Some(HOSPITAL);
                made.coverage = vec![OFFICE];
                made.service = Some(ServiceCode {
                    list: "8668".to_owned(),
                    code: "03".to_owned(),
                });
                made
            })
        };
        tokio::task::spawn_blocking(create).await.unwrap().unwrap();
        let after = compare(&mut world, "another below").await;
        let above = [false, false, true, true, false, false, false, true, false];
        assert_eq!(shows(&after, "Helt ny"), above);

        change(&world, OFFICE, |p| p.name = "Dekket kontor".to_owned()).await;
        let after = compare(&mut world, "a new name of the covered").await;
        assert!(after[2].contains("Dekket kontor"));
    });
}

#[test]
fn the_clock_alone_changes_what_a_party_is() {
    everywhere(async |mut world: World| {
        let ends = NOW_S + 100;
        change(&world, WARD, move |p| p.valid.to = Some(at(ends))).await;
        let active = |all: &[String]| text_of(&all[4], "Active").map(str::to_owned);
        let now = compare(&mut world, "an end was set").await;
        assert_eq!(active(&now).as_deref(), Some("true"));
        world.clock.store(ends - 1, Ordering::SeqCst);
        let now = compare(&mut world, "just before").await;
        assert_eq!(active(&now).as_deref(), Some("true"));
        world.clock.store(ends, Ordering::SeqCst);
        let now = compare(&mut world, "the end").await;
        assert_eq!(active(&now).as_deref(), Some("false"));
        // The clock of a demonstration can be set back.
        world.clock.store(NOW_S, Ordering::SeqCst);
        let now = compare(&mut world, "back").await;
        assert_eq!(active(&now).as_deref(), Some("true"));
        // Certificates end after ninety days: the pointer to them is another then.
        world.clock.store(NOW_S + 91 * 86_400, Ordering::SeqCst);
        compare(&mut world, "three months").await;
    });
}
