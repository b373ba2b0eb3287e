//! Whatever a client does, in whatever order, and however it goes: no message is lost, none stays locked, none is settled twice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use amqp::Dialect as _;
use amqp::port::Settlement;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::raw::{self, about, consume, frame, get, qos, short_string, start_ok, tune_ok};
use crate::{QUEUE, Running, quick};

const MESSAGES: usize = 12;

#[derive(Debug, Clone)]
enum Act {
    Consume(u8, bool),
    Get(bool),
    Ack(u64, bool),
    Nack(u64, u8),
    Cancel(u8),
    Qos(u16, bool),
    Recover,
    Reopen,
    Wait,
    Bytes(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0u8..2, any::<bool>()).prop_map(|(tag, no_ack)| Act::Consume(tag, no_ack)),
        3 => any::<bool>().prop_map(Act::Get),
        4 => (0u64..8, any::<bool>()).prop_map(|(tag, multiple)| Act::Ack(tag, multiple)),
        4 => (0u64..8, 0u8..4).prop_map(|(tag, bits)| Act::Nack(tag, bits)),
        2 => (0u8..2).prop_map(Act::Cancel),
        2 => (0u16..4, any::<bool>()).prop_map(|(count, all)| Act::Qos(count, all)),
        1 => Just(Act::Recover),
        2 => Just(Act::Reopen),
        5 => Just(Act::Wait),
        1 => proptest::collection::vec(any::<u8>(), 1..30).prop_map(Act::Bytes),
    ]
}

fn method(channel: u16, id: (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let payload = [&id.0.to_be_bytes()[..], &id.1.to_be_bytes(), arguments].concat();
    frame(1, channel, &payload)
}

fn opening() -> Vec<u8> {
    [
        method(0, (10, 11), &start_ok("PLAIN", raw::LOGIN, true)),
        method(0, (10, 31), &tune_ok(0, 0, 0)),
        method(0, (10, 40), &[&short_string("/")[..], &[0, 0]].concat()),
        method(1, (20, 10), &[0]),
    ]
    .concat()
}

fn bytes_of(act: &Act) -> Vec<u8> {
    let tag = |number: &u8| format!("tag-{number}");
    match act {
        Act::Consume(number, no_ack) => {
            let bits = u8::from(*no_ack) << 1;
            method(1, (60, 20), &consume(QUEUE, &tag(number), bits))
        }
        Act::Get(no_ack) => method(1, (60, 70), &get(QUEUE, (*no_ack).into())),
        Act::Ack(tag, multiple) => method(1, (60, 80), &about(*tag, (*multiple).into())),
        Act::Nack(tag, bits) => method(1, (60, 120), &about(*tag, *bits)),
        Act::Cancel(number) => {
            let arguments = [&short_string(&tag(number))[..], &[0]].concat();
            method(1, (60, 30), &arguments)
        }
        Act::Qos(count, all) => method(1, (60, 10), &qos(*count, (*all).into())),
        Act::Recover => method(1, (60, 110), &[1]),
        // After a fault of the channel: agree, and open it again.
        Act::Reopen => [
            method(1, (20, 41), &[]),
            method(1, (20, 40), &[0; 7]),
            method(1, (20, 10), &[0]),
        ]
        .concat(),
        Act::Wait => Vec::new(),
        Act::Bytes(bytes) => bytes.clone(),
    }
}

async fn play(acts: &[Act], is_orderly: bool) -> (Running, Vec<Settlement>) {
    let running = crate::start(quick()).await;
    for n in 0..MESSAGES {
        running.put(vec![n as u8]).await;
    }
    let broker = Arc::new(running.broker.clone());
    let server = amqp091::Server::new(broker, quick(), running.shutdown.clone());
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let serving = tokio::spawn(server.serve(Box::new(theirs), peer));
    let (mut reading, mut writing) = tokio::io::split(ours);
    let draining = tokio::spawn(async move {
        let mut all = Vec::new();
        let _ = reading.read_to_end(&mut all).await;
    });
    let _ = writing.write_all(&opening()).await;
    for act in acts {
        let _ = writing.write_all(&bytes_of(act)).await;
        if matches!(act, Act::Wait) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    if is_orderly {
        let _ = writing.write_all(&method(0, (10, 50), &[0; 7])).await;
    }
    let _ = writing.shutdown().await;
    let ended = tokio::time::timeout(Duration::from_secs(60), serving).await;
    ended.expect("the server ends").unwrap();
    let _ = draining.await;
    let settled = running.settled();
    (running, settled)
}

proptest! {
    // Each case is a whole connection.
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn nothing_is_lost_and_nothing_stays_locked(acts in proptest::collection::vec(act(), 0..30), is_orderly in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (running, settled) = runtime.block_on(play(&acts, is_orderly));
        let is_gone = |s: &&Settlement| matches!(s, Settlement::Accepted | Settlement::Rejected { .. });
        let gone = settled.iter().filter(is_gone).count();
        prop_assert_eq!(running.broker.leased(), 0);
        prop_assert_eq!(running.broker.waiting(QUEUE) + gone, MESSAGES);
    }
}

#[tokio::test]
async fn what_is_asked_for_is_given() {
    let (running, settled) = play(&vec![Act::Get(true); MESSAGES], true).await;
    assert_eq!(settled, vec![Settlement::Accepted; MESSAGES]);
    assert_eq!(running.broker.waiting(QUEUE), 0);
    let acts = [vec![Act::Get(false); 5], vec![Act::Ack(3, true)]].concat();
    let (running, settled) = play(&acts, true).await;
    let accepted = settled.iter().filter(|s| **s == Settlement::Accepted);
    assert_eq!((accepted.count(), settled.len()), (3, 5));
    assert_eq!(running.broker.waiting(QUEUE), MESSAGES - 3);
}
