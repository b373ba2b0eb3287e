//! Who sees what in the message flow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp::port::Disposition;
use meldinger::view::{MessageFilter, Viewer};
use store::{Rekey, Rid};

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_paged_and_bound_to_the_party() {
    let world = world().await;
    for number in 0..7 {
        let mut note = message("DIALOG_NOTAT", HEART, "x");
        if number % 2 == 0 {
            note.properties.subject = Some("HENVISNING_NYTILSTAND".to_owned());
        }
        world.send("vaar-epj", "8900300_async", note).await;
    }
    let mut gp = message("DIALOG_NOTAT", HEART, "x");
    gp.set_property("fromHerId", GP_DOCTOR.to_string());
    gp.properties.reply_to = None;
    world.send("fjordglott", "8900300_async", gp).await;

    let list = |viewer, filter: MessageFilter| {
        world
            .view(|exchange| exchange.messages(viewer, &filter))
            .unwrap()
    };
    let all = list(Viewer::Operator, MessageFilter::default());
    assert_eq!((all.rows.len(), all.next), (8, None));
    assert!(
        all.rows
            .windows(2)
            .all(|pair| pair[0].received_at >= pair[1].received_at),
        "newest first"
    );
    assert_eq!(
        list(
            Viewer::Party { organisation: EPJ },
            MessageFilter::default()
        )
        .rows
        .len(),
        7
    );
    assert_eq!(
        list(
            Viewer::Party {
                organisation: HOSPITAL
            },
            MessageFilter::default()
        )
        .rows
        .len(),
        8
    );
    assert_eq!(
        list(
            Viewer::Party { organisation: HUB },
            MessageFilter::default()
        )
        .rows
        .len(),
        0
    );
    let by = |filter| list(Viewer::Operator, filter).rows.len();
    assert_eq!(
        by(MessageFilter {
            her_id: Some(GP_DOCTOR),
            ..MessageFilter::default()
        }),
        1
    );
    assert_eq!(
        by(MessageFilter {
            subject: Some("HENVISNING_NYTILSTAND".to_owned()),
            ..MessageFilter::default()
        }),
        4
    );
    assert_eq!(
        by(MessageFilter {
            state: Some("queued".to_owned()),
            ..MessageFilter::default()
        }),
        8
    );
    assert_eq!(
        by(MessageFilter {
            needs_human: true,
            ..MessageFilter::default()
        }),
        0
    );
    assert_eq!(
        by(MessageFilter {
            since_us: Some(i64::MAX / 2),
            ..MessageFilter::default()
        }),
        0
    );

    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = list(
            Viewer::Operator,
            MessageFilter {
                limit: Some(3),
                cursor,
                ..MessageFilter::default()
            },
        );
        seen.extend(page.rows.into_iter().map(|row| row.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        all.rows
            .iter()
            .map(|row| row.id.clone())
            .collect::<Vec<_>>()
    );

    // A person's party shows its organisation, never a name.
    let row = all
        .rows
        .iter()
        .find(|row| row.from.her_id == GP_DOCTOR)
        .unwrap();
    assert_eq!(row.from.name.as_deref(), Some("Fjordgløtt legesenter AS"));
    assert_eq!(
        row.to.name.as_deref(),
        Some("Nordlys universitetssykehus HF, Hjertesykdommer")
    );
    let detail = |viewer| {
        world
            .view(|exchange| exchange.message(viewer, &row.id))
            .unwrap()
    };
    assert!(detail(Viewer::Party { organisation: EPJ }).is_none());
    assert!(detail(Viewer::Party { organisation: GP }).is_some());
    assert_eq!(detail(Viewer::Operator).unwrap().ahead, Some(7));
    assert!(
        world
            .view(|exchange| exchange.message(Viewer::Operator, "no-such-track"))
            .unwrap()
            .is_none()
    );

    let queues = world
        .view(|exchange| exchange.queues(Viewer::Operator))
        .unwrap();
    let waiting: Vec<_> = queues
        .iter()
        .map(|queue| (queue.name.as_str(), queue.ready))
        .collect();
    assert_eq!(waiting, [("8900300_async", 8)]);
    assert!(
        world
            .view(|exchange| exchange.queues(Viewer::Party { organisation: EPJ }))
            .unwrap()
            .is_empty()
    );
    let summary = world
        .view(|exchange| exchange.summary(Viewer::Party { organisation: EPJ }, 0))
        .unwrap();
    assert_eq!(summary.by_state.get("queued"), Some(&7));
}

/// More than one page looks at.
const MANY: usize = 2_100;

/// One message that failed, before many that have not.
async fn one_failed_before_many(world: &World) {
    let first = message("HENVISNING_NYTILSTAND", HEART, "x");
    let id = first
        .properties
        .message_id
        .as_ref()
        .map(|id| id.as_text())
        .unwrap();
    world.send("vaar-epj", "8900300_async", first).await;
    let mut error = message("HENVISNING_NYTILSTAND", EPJ_SERVICE, "");
    error.set_property("fromHerId", HEART.to_string());
    error.properties.reply_to = None;
    error.set_property("originalMessageId", id);
    error.set_property("errorCondition", "transport:decryption-failed");
    world.send("nordlys", "8900900_error", error).await;
    let many = (0..MANY).map(|_| {
        world.send(
            "vaar-epj",
            "8900300_async",
            message("DIALOG_NOTAT", HEART, "x"),
        )
    });
    for outcome in futures_util::future::join_all(many).await {
        assert!(matches!(outcome, Disposition::Accepted), "{outcome:?}");
    }
}

fn failed(world: &World, viewer: Viewer) -> [usize; 2] {
    let filters = [
        MessageFilter {
            state: Some("failed".to_owned()),
            ..MessageFilter::default()
        },
        MessageFilter {
            needs_human: true,
            ..MessageFilter::default()
        },
    ];
    filters.map(|filter| {
        let page = world
            .view(|exchange| exchange.messages(viewer, &filter))
            .unwrap();
        assert_eq!(page.next, None, "nothing else was looked at");
        page.rows.len()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_found_behind_any_number_of_others() {
    let world = world().await;
    one_failed_before_many(&world).await;
    assert_eq!(failed(&world, Viewer::Operator), [1, 1]);
    assert_eq!(
        failed(&world, Viewer::Party { organisation: EPJ }),
        [1, 1],
        "the sender"
    );
    assert_eq!(
        failed(&world, Viewer::Party { organisation: GP }),
        [0, 0],
        "somebody else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_an_earlier_version_get_the_keys_of_this_one() {
    let grant = Arc::new(Mutex::new(None));
    let given = grant.clone();
    let world = world_with(move |parts| {
        given.lock().unwrap().replace(parts.grant.clone());
    })
    .await;
    one_failed_before_many(&world).await;
    let grant = grant.lock().unwrap().take().unwrap();
    let repo = world.store.repo(meldinger::REPOSITORY).unwrap();
    tokio::task::block_in_place(|| {
        let mut after = Rid(0);
        loop {
            let rids = world.store.outdated(repo, 0, after, 500).unwrap();
            let Some(last) = rids.last() else { break };
            after = *last;
            let snapshot = world.store.snapshot().unwrap();
            let old = snapshot.fetch(&grant, &rids).unwrap().into_iter();
            let old: Vec<_> = old
                .map(|record| {
                    let mut keys = snapshot.keys(&grant, record.head.rid).unwrap();
                    keys.retain(|key| key.param < 12);
                    Rekey {
                        rid: record.head.rid,
                        vno: record.head.vno,
                        keys,
                        pack: 1,
                    }
                })
                .collect();
            world.store.rekey(repo, &old).unwrap();
        }
    });
    assert_eq!(failed(&world, Viewer::Operator), [0, 0]);
    let _timers = meldinger::Timers::start(&world.exchange).unwrap();
    let mut tries = 0;
    while failed(&world, Viewer::Operator) != [1, 1] {
        tries += 1;
        assert!(tries < 2_000, "the keys were never made anew");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
