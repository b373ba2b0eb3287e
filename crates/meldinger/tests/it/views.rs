//! Who sees what in the message flow.

use meldinger::view::{MessageFilter, Viewer};

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
