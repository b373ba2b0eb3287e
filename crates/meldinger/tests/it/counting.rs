//! The message counter: what it counts, who sees what, and that it counts once whatever happens.

use std::sync::Arc;

use amqp::port::Settlement;
use meldinger::counter::{Bucket, CountQuery, CountReport, Counter, Counting, Origin, Origins};
use meldinger::port::Transport;
use meldinger::view::Viewer;

use crate::world::*;

const DAY_US: i64 = 86_400_000_000;

/// Around the days of the test.
fn query(world: &World) -> CountQuery {
    let today = world.clock.now_us() / DAY_US;
    CountQuery {
        first_day: today - 1,
        last_day: today + 1,
        ..CountQuery::default()
    }
}

fn report(world: &World, counter: &Counter, viewer: Viewer, query: &CountQuery) -> CountReport {
    world.view(|_| counter.report(viewer, query)).unwrap()
}

/// Three messages to the hospital, of which two are fetched; one from the GP; one refused; one sent twice.
async fn traffic(world: &World) {
    for number in 0..3 {
        let mut note = message("DIALOG_NOTAT", HEART, "sealed");
        if number == 0 {
            note.set_property(
                "X-MessageInfo-SchemaNamespace",
                "http://www.kith.no/xmlstds/dialog/2006-10-11",
            );
            note.set_property("X-SystemIdentifier", "=Prøve-EPJ;1");
        }
        world.send("vaar-epj", "8900300_async", note.clone()).await;
        if number == 2 {
            world.send("vaar-epj", "8900300_async", note).await;
        }
    }
    let waiting = world.fetch("nordlys", "8900300_async").await;
    for delivery in waiting.iter().take(2) {
        world
            .settle("nordlys", "8900300_async", delivery, Settlement::Accepted)
            .await;
    }
    let mut from_gp = message("HENVISNING_NYTILSTAND", HEART, "sealed");
    from_gp.set_property("fromHerId", GP_DOCTOR.to_string());
    from_gp.properties.reply_to = None;
    world.send("fjordglott", "8900300_async", from_gp).await;
    let mut wrong = message("DIALOG_NOTAT", HEART, "sealed");
    wrong.set_property("toHerId", "4711");
    world.send("vaar-epj", "8900300_async", wrong).await;
    // And one to the hub, answered with a receipt of the hub.
    world
        .send(
            "vaar-epj",
            "8900000_async",
            result_message(&new_id(), "content"),
        )
        .await;
    world.work();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_passes_is_counted_once() {
    let world = world().await;
    // The EPJ's organisation is in Oslo, the surgery in the north; the hospital's place is not known.
    let origins: Origins = Arc::new(|her_id| {
        let (municipality, kind) = match her_id {
            EPJ => ("0301", "116"),
            GP => ("1804", "103"),
            _ => return Origin::default(),
        };
        Origin {
            municipality: Some(municipality.to_owned()),
            kind: Some(kind.to_owned()),
        }
    });
    let counter = world
        .view(|exchange| Counter::with_origins(exchange, origins))
        .unwrap();
    let other = world.view(Counter::new).unwrap();
    traffic(&world).await;
    // Two processes count beside each other.
    world.view(
        |_| {
            while counter.count_some().unwrap() + other.count_some().unwrap() > 0 {}
        },
    );
    let all = report(&world, &counter, Viewer::Operator, &query(&world));
    let totals = all.totals;
    assert_eq!(
        (totals.messages, totals.duplicates, totals.refused),
        (8, 1, 1),
        "three, one again, the GP's, the refused one, the one to the hub, and its receipt"
    );
    assert_eq!((totals.delivered, totals.receipts_ok), (3, 1));
    assert_eq!(all.errors, 1);
    assert_eq!(all.before.messages, 0);
    assert_eq!(all.bucket, Bucket::Hour);
    assert_eq!(
        all.series.iter().map(|point| point.messages).sum::<u64>(),
        8
    );
    let keys = |rows: &[meldinger::counter::CountRow]| -> Vec<(String, u64)> {
        rows.iter()
            .map(|row| (row.key.clone(), row.counts.messages))
            .collect()
    };
    assert_eq!(
        keys(&all.by_function),
        [
            ("DIALOG_NOTAT".to_owned(), 6),
            ("APPREC".to_owned(), 1),
            ("HENVISNING_NYTILSTAND".to_owned(), 1)
        ]
    );
    assert_eq!(
        keys(&all.by_transport),
        [("amqp".to_owned(), 7), ("hub".to_owned(), 1)]
    );
    assert!(
        keys(&all.by_version)
            .contains(&("http://www.kith.no/xmlstds/dialog/2006-10-11".to_owned(), 1))
    );
    assert_eq!(keys(&all.by_system), [("=Prøve-EPJ;1".to_owned(), 1)]);
    assert_eq!(keys(&all.by_sender)[0], (EPJ.to_string(), 6));
    assert_eq!(
        keys(&all.by_region),
        [
            ("sor-ost".to_owned(), 6),
            (String::new(), 1),
            ("nord".to_owned(), 1)
        ]
    );
    let bodo = all.by_municipality.iter().find(|row| row.key == "1804");
    assert_eq!(bodo.unwrap().name.as_deref(), Some("Bodø"));
    assert_eq!(
        keys(&all.by_kind).first(),
        Some(&("116".to_owned(), 6)),
        "by type of organisation"
    );
    assert_eq!(
        all.conditions.get("transport:invalid-field-value"),
        Some(&1)
    );

    // Filters.
    let only = CountQuery {
        function: Some("APPREC".to_owned()),
        ..query(&world)
    };
    assert_eq!(
        report(&world, &counter, Viewer::Operator, &only)
            .totals
            .messages,
        1
    );
    let none = CountQuery {
        transport: Some(Transport::Ebxml),
        ..query(&world)
    };
    assert_eq!(
        report(&world, &counter, Viewer::Operator, &none)
            .totals
            .messages,
        0
    );

    // A party sees its own, by unit; the operator the same when it asks for that party.
    let hospital = Viewer::Party {
        organisation: HOSPITAL,
    };
    let own = report(&world, &counter, hospital, &query(&world));
    assert_eq!(
        keys(&own.by_receiver),
        [(HEART.to_string(), 5), ("4711".to_owned(), 1)],
        "with the refused one, which was sent to its queue"
    );
    let asked = CountQuery {
        her_id: Some(HOSPITAL),
        ..query(&world)
    };
    assert_eq!(
        report(&world, &counter, Viewer::Operator, &asked).totals,
        own.totals
    );
    let gp = Viewer::Party { organisation: GP };
    assert_eq!(
        report(&world, &counter, gp, &query(&world)).totals.messages,
        1
    );
    // Asking for others does not widen it.
    let others = CountQuery {
        her_id: Some(EPJ),
        ..query(&world)
    };
    assert_eq!(report(&world, &counter, gp, &others).totals.messages, 0);

    let csv = world
        .view(|_| counter.csv(Viewer::Operator, &query(&world)))
        .unwrap();
    let mut lines = csv.lines();
    let head = lines.next().unwrap();
    assert!(
        head.starts_with("\u{feff}date;transport;function;"),
        "{head}"
    );
    let columns = head.split(';').count();
    let counted: u64 = lines
        .clone()
        .filter(|line| !line.contains('"'))
        .map(|line| {
            let cells: Vec<&str> = line.split(';').collect();
            assert_eq!(cells.len(), columns, "{line}");
            cells[10].parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(counted, 7);
    assert!(csv.contains("\"'=Prøve-EPJ;1\""), "no formula, and quoted");
    assert!(
        head.ends_with(
            ";from_region;from_municipality;from_type;to_region;to_municipality;to_type"
        )
    );
    assert!(csv.lines().any(|line| line.ends_with(";nord;1804;103;;;")));
    let own_csv = world.view(|_| counter.csv(gp, &query(&world))).unwrap();
    assert_eq!(own_csv.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_can_be_made_anew_from_the_log() {
    let world = world().await;
    let counter = world.view(Counter::new).unwrap();
    traffic(&world).await;
    world.view(|_| counter.count_all()).unwrap();
    let first = report(&world, &counter, Viewer::Operator, &query(&world));
    world.view(|_| counter.rebuild()).unwrap();
    assert_eq!(
        report(&world, &counter, Viewer::Operator, &query(&world))
            .totals
            .messages,
        0
    );
    // Another process, which knew the old place.
    let other = world.view(Counter::new).unwrap();
    world.view(|_| other.count_all()).unwrap();
    world.view(|_| counter.count_all()).unwrap();
    assert_eq!(
        report(&world, &counter, Viewer::Operator, &query(&world)),
        first
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_thread_counts_by_itself_and_stops() {
    let world = world().await;
    let counter = world.view(Counter::new).unwrap();
    let counting = Counting::start(&counter).unwrap();
    traffic(&world).await;
    let wanted = query(&world);
    loop {
        let seen = report(&world, &counter, Viewer::Operator, &wanted);
        if seen.totals.messages == 8 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.view(|_| drop(counting));
}
