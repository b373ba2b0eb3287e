//! PostgreSQL tables of schema version 1, as an earlier program left them, opened by this one.

use super::{make_postgres, postgres_url};
use store::conformance::kit::{Bench, PutExt as _, create, delete, key, puts, range, update};
use store::{EngineConfig, KeyRange, Rekey, Seq, Store, StoreError, Vno};
use tokio::task::spawn_blocking;

/// Takes tables of version 3 back to version 1. Bodies must be too short to be compressed; `keys` are set by the caller.
const BACK_TO_1: &str = "
ALTER TABLE version RENAME COLUMN content TO body;
ALTER TABLE version DROP COLUMN form;
ALTER TABLE idx RENAME TO idx_2;
ALTER INDEX idx_order RENAME TO idx_2_order;
CREATE TABLE idx (field bigint NOT NULL, value bytea NOT NULL, rid bigint NOT NULL, vno integer NOT NULL);
CREATE INDEX idx_order ON idx (field, value, rid, vno) WITH (deduplicate_items = off);
INSERT INTO idx SELECT
  ((get_byte(key, 0)::bigint << 8 | get_byte(key, 1)) << 33) |
    ((((get_byte(key, 2)::bigint << 24) | (get_byte(key, 3) << 16) | (get_byte(key, 4) << 8) | get_byte(key, 5)) + 1)
      & 4294967295),
  substring(key FROM 7), place >> 20, place & 1048575 FROM idx_2;
DROP TABLE idx_2;
DROP TABLE committer;
UPDATE meta SET schema_version = 1;
";

/// Keys as version 1 packed them: parameter, length, value; all below 128 here.
fn plain(keys: &[(u8, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (param, value) in keys {
        out.extend([*param, u8::try_from(value.len()).unwrap()]);
        out.extend(value.as_bytes());
    }
    out
}

async fn sql(url: &str, work: impl AsyncFnOnce(&tokio_postgres::Client)) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    work(&client).await;
    drop(client);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn tables_of_version_1_are_taken_over() {
    let Some(url) = postgres_url() else { return };
    let config = make_postgres(&url);
    let EngineConfig::Postgres { schema, .. } = config.engine.clone() else {
        panic!("postgres")
    };
    let made = config.clone();
    let config = spawn_blocking(move || {
        let b = Bench::with(made);
        for i in 0..40u32 {
            let put = create(b.patient, "Basic", &format!("old {i}"))
                .id(&format!("p{i}"))
                .key(1, format!("{i:02}"))
                .key(2, "same")
                .person(i % 4);
            b.put(put);
        }
        b.put(
            update(b.patient, "Basic", "p7", "newer")
                .key(1, "7x")
                .key(2, "same")
                .person(3),
        );
        b.commit(puts([delete(b.patient, "Basic", "p8")]));
        b.store.close();
        b.config.clone()
    })
    .await
    .unwrap();
    sql(&url, async |client| {
        let back = format!("SET search_path TO {schema}; BEGIN; {BACK_TO_1}");
        client.batch_execute(&back).await.unwrap();
        let rows = client
            .query(
                "SELECT v.rid, v.vno, h.id, v.op FROM version v JOIN head h ON h.rid = v.rid",
                &[],
            )
            .await
            .unwrap();
        for row in rows {
            let (rid, vno, id, op): (i64, i32, String, i16) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let number: u32 = id.trim_start_matches('p').parse().unwrap();
            let first = match vno {
                1 => format!("{number:02}"),
                _ => "7x".to_owned(),
            };
            let keys = match op {
                2 => Vec::new(),
                _ => plain(&[(1, &first), (2, "same")]),
            };
            client
                .execute(
                    "UPDATE version SET keys = $3 WHERE rid = $1 AND vno = $2",
                    &[&rid, &vno, &keys],
                )
                .await
                .unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
    })
    .await;
    spawn_blocking(move || {
        let b = Bench::with(config);
        b.store.verify_index().unwrap();
        let (s, all) = (b.now(), b.all());
        let read = |id: &str| s.read(&all, b.patient, "Basic", id).unwrap().unwrap();
        assert_eq!(&read("p39").body[..], b"old 39");
        assert_eq!(&read("p7").body[..], b"newer");
        let first = s
            .vread(&all, b.patient, "Basic", "p7", Vno(1))
            .unwrap()
            .unwrap();
        assert_eq!(&first.body[..], b"old 7");
        let count = |r: &KeyRange| s.range(&all, b.patient, r, 100).unwrap().len();
        assert_eq!(count(&KeyRange::whole(2)), 39);
        assert_eq!(
            count(&range(1, "05", "10")),
            3,
            "without the updated and the deleted one"
        );
        let persons = [b.key(3)].into();
        assert_eq!(
            s.compartment(&all, b.patient, &persons, 99).unwrap().len(),
            10
        );
        assert_eq!(
            s.keys(&all, read("p5").head.rid).unwrap(),
            [key(1, "05"), key(2, "same")]
        );
        // what an earlier place saw is still seen
        let then = b.store.snapshot_at(Seq(40)).unwrap();
        let rows = then
            .range(&all, b.patient, &range(1, "07", "09"), 9)
            .unwrap();
        assert_eq!(rows.len(), 2);

        // old and new forms live side by side: keys made anew, bodies written now
        let old = read("p5").head;
        let change = Rekey {
            rid: old.rid,
            vno: old.vno,
            keys: vec![key(1, "55"), key(3, "new")],
            pack: 9,
        };
        assert_eq!(b.store.rekey(b.patient, &[change]).unwrap(), 1);
        let long = "a body that is long enough to be packed ".repeat(20);
        b.put(
            update(b.patient, "Basic", "p6", &long)
                .key(1, "06")
                .key(2, "same")
                .person(2),
        );
        let s = b.now();
        assert_eq!(
            s.range(&all, b.patient, &KeyRange::whole(3), 9).unwrap(),
            [old.rid]
        );
        let newest = s.read(&all, b.patient, "Basic", "p6").unwrap().unwrap();
        assert_eq!(&newest.body[..], long.as_bytes());
        let history = store::HistoryScope::Instance {
            repo: b.patient,
            rtype: "Basic".to_owned(),
            id: "p6".to_owned(),
        };
        let bodies: Vec<usize> = s
            .history(&all, &history, None, 9)
            .unwrap()
            .iter()
            .map(|r| r.body.len())
            .collect();
        assert_eq!(bodies, [long.len(), 5]);
        b.store.maintain().unwrap();
        b.store.verify_index().unwrap();
        let mut backup = Vec::new();
        b.store.backup(&mut backup).unwrap();
        assert!(!backup.is_empty());
    })
    .await
    .unwrap();
}

/// Of a process of the same program nothing is lost when the table of committers is new.
#[tokio::test]
async fn tables_of_version_2_are_taken_over() {
    let Some(url) = postgres_url() else { return };
    let config = make_postgres(&url);
    let EngineConfig::Postgres { schema, .. } = config.engine.clone() else {
        panic!("postgres")
    };
    let made = config.clone();
    spawn_blocking(move || {
        let b = Bench::with(made);
        b.put(create(b.open, "Basic", "old").id("x"));
    })
    .await
    .unwrap();
    sql(&url, async |client| {
        let back =
            format!("DROP TABLE {schema}.committer; UPDATE {schema}.meta SET schema_version = 2");
        client.batch_execute(&back).await.unwrap();
    })
    .await;
    spawn_blocking(move || {
        let b = Bench::with(config);
        b.put(update(b.open, "Basic", "x", "new"));
        let found = b.now().read(&b.all(), b.open, "Basic", "x").unwrap();
        assert_eq!(&found.unwrap().body[..], b"new");
    })
    .await
    .unwrap();
}

/// A program does not touch tables of a version that it does not know.
#[tokio::test]
async fn tables_of_a_later_version_are_refused() {
    let Some(url) = postgres_url() else { return };
    let config = make_postgres(&url);
    let EngineConfig::Postgres { schema, .. } = config.engine.clone() else {
        panic!("postgres")
    };
    let made = config.clone();
    spawn_blocking(move || drop(Store::open(made).unwrap()))
        .await
        .unwrap();
    sql(&url, async |client| {
        let later = format!("UPDATE {schema}.meta SET schema_version = 4");
        client.batch_execute(&later).await.unwrap();
    })
    .await;
    match spawn_blocking(move || Store::open(config)).await.unwrap() {
        Err(StoreError::CannotOpen(what)) => assert!(what.contains("version 4"), "{what}"),
        other => panic!("{other:?}"),
    }
}
