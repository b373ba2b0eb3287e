//! Performatives there and back, as other clients write them, and bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::codec::{Encode as _, Fault};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out.extend_from_slice(b"payload");
    out
}

/// Reads what was written, and holds it against what was meant.
fn comes_back(bytes: &[u8], meant: &Performative<'_>) {
    let (found, payload) = read(bytes).unwrap();
    assert_eq!(&found, meant);
    assert_eq!(payload, b"payload");
}

fn error() -> impl Strategy<Value = Option<Error>> {
    let error = ("[a-z:-]{1,30}", proptest::option::of(".{0,300}"));
    proptest::option::of(error.prop_map(|(condition, description)| Error {
        condition,
        description,
    }))
}

fn state() -> impl Strategy<Value = Option<State>> {
    proptest::option::of(prop_oneof![
        Just(State::Received),
        Just(State::Accepted),
        Just(State::Released),
        error().prop_map(State::Rejected),
        any::<(bool, bool)>().prop_map(|(delivery_failed, undeliverable_here)| State::Modified {
            delivery_failed,
            undeliverable_here
        }),
    ])
}

proptest! {
    #[test]
    fn openings_come_back(name in ".{0,300}", frame: Option<u32>, channels: Option<u16>, idle: Option<u32>, remote: Option<u16>, numbers: [u32; 3]) {
        let open = Open { container_id: &name, hostname: Some(&name), max_frame_size: frame, channel_max: channels, idle_time_out_ms: idle };
        comes_back(&written(|out| open.write(out)), &Performative::Open(open.clone()));
        let begin = Begin { remote_channel: remote, next_outgoing_id: numbers[0], incoming_window: numbers[1], outgoing_window: numbers[2], handle_max: frame };
        comes_back(&written(|out| begin.write(out)), &Performative::Begin(begin.clone()));
    }

    #[test]
    fn attaches_come_back(name in ".{0,40}", address in proptest::option::of(".{0,300}"), handle: u32, is_receiver: bool, modes: (Option<u8>, Option<u8>), size: Option<u64>) {
        let mut lists = (Vec::new(), Vec::new());
        let attach = Attach {
            name: &name,
            handle,
            role: Role::from(is_receiver),
            snd_settle_mode: modes.0,
            rcv_settle_mode: modes.1,
            source: Some(Terminus::of(address.as_deref(), &mut lists.0)),
            target: Some(Terminus::of(None, &mut lists.1)),
            initial_delivery_count: Some(handle),
            max_message_size: size,
        };
        comes_back(&written(|out| attach.write(out)), &Performative::Attach(attach.clone()));
    }

    #[test]
    fn flows_and_transfers_come_back(numbers: [u32; 4], link: [Option<u32>; 4], flags: [bool; 4], tag in proptest::collection::vec(any::<u8>(), 0..32), settled: Option<bool>) {
        let flow = Flow {
            next_incoming_id: link[0], incoming_window: numbers[0], next_outgoing_id: numbers[1], outgoing_window: numbers[2],
            handle: link[1], delivery_count: link[2], link_credit: link[3], available: link[0], drain: flags[0], echo: flags[1],
        };
        comes_back(&written(|out| flow.write(out)), &Performative::Flow(flow.clone()));
        let transfer = Transfer {
            handle: numbers[3], delivery_id: link[1], delivery_tag: Some(&tag), message_format: link[2], settled, more: flags[2], aborted: flags[3],
        };
        let bytes = written(|out| transfer.write(out));
        prop_assert!(bytes.len() <= Transfer::MOST_BYTES + tag.len() + b"payload".len());
        comes_back(&bytes, &Performative::Transfer(transfer.clone()));
    }

    #[test]
    fn ends_come_back(state in state(), error in error(), first: u32, last: Option<u32>, flags: (bool, bool)) {
        let disposition = Disposition { role: Role::from(flags.0), first, last, settled: flags.1, state };
        comes_back(&written(|out| disposition.write(out)), &Performative::Disposition(disposition.clone()));
        let detach = Detach { handle: first, closed: flags.0, error: error.clone() };
        comes_back(&written(|out| detach.write(out)), &Performative::Detach(detach.clone()));
        comes_back(&written(|out| write_end(out, error.as_ref())), &Performative::End(error.clone()));
        comes_back(&written(|out| write_close(out, error.as_ref())), &Performative::Close(error.clone()));
    }

    #[test]
    fn log_ins_come_back(mechanism in "[A-Z]{1,20}", response in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)), code: u8) {
        let init = Sasl::Init { mechanism: &mechanism, response: response.as_deref() };
        for sasl in [init, Sasl::Outcome(code), Sasl::Mechanisms] {
            let mut bytes = Vec::new();
            sasl.write(&mut bytes);
            prop_assert_eq!(read_sasl(&bytes), Ok(sasl));
        }
    }

    #[test]
    fn no_bytes_bring_it_down(code in 0x0fu8..0x46, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read_sasl(&bytes);
        let mut known = vec![0x00, 0x53, code, 0xc0, bytes.len() as u8 + 1, 9];
        known.extend_from_slice(&bytes);
        let _ = read(&known);
        let _ = read_sasl(&known);
    }
}

#[test]
fn descriptors_may_be_symbols_and_numbers_of_any_width() {
    for descriptor in [
        &[0x53, 0x16][..],
        &[0x80, 0, 0, 0, 0, 0, 0, 0, 0x16],
        b"\xa3\x10amqp:detach:list",
    ] {
        // A handle as wide as nobody needs it, and the rest left out.
        let bytes = [&[0x00][..], descriptor, &[0xc0, 3, 1, 0x53, 7]].concat();
        let detach = Detach {
            handle: 7,
            ..Detach::default()
        };
        assert_eq!(read(&bytes), Ok((Performative::Detach(detach), &[][..])));
    }
    for (bytes, fault) in [
        (&b"\x00\xa3\x03abc\x45"[..], Fault::Descriptor),
        (&[0x00, 0x53, 0x99, 0x45], Fault::Descriptor),
        (&[0x00, 0x53, 0x16, 0x45], Fault::Missing("handle")),
        (&[0x00, 0x53, 0x16, 0x40], Fault::Expected("a list")),
        (&[0x45], Fault::Expected("a described value")),
        (&[], Fault::Cut),
    ] {
        assert_eq!(read(bytes), Err(fault), "{bytes:x?}");
    }
}

#[test]
fn a_terminus_is_echoed_without_its_filter() {
    let mut bytes = Vec::new();
    bytes.described(code::ATTACH);
    bytes.list(|fields| {
        fields.string("n").uint(1).bool(true).null().null();
        fields.field(Some(()), |out, ()| {
            out.described(code::SOURCE);
            out.list(|source| {
                source.string("queue").uint(2).null().null().null().null();
                source.symbol("move");
                source.field(Some(()), |out, ()| {
                    out.map(1, |out| {
                        out.symbol("filter");
                        out.string("x = 1");
                    });
                });
                source.null().null().symbol("capability");
                source.string("beyond the last field");
            });
        });
    });
    let Ok((Performative::Attach(attach), _)) = read(&bytes) else {
        panic!("no attach")
    };
    let source = attach.source.unwrap();
    assert_eq!(
        (source.address, source.is_copy, source.is_dynamic),
        (Some("queue"), false, false)
    );
    let mut echo = Vec::new();
    attach.write(&mut echo);
    let Ok((Performative::Attach(echoed), _)) = read(&echo) else {
        panic!("no attach")
    };
    let mut fields = crate::codec::Reader::new(echoed.source.unwrap().list)
        .fields()
        .unwrap();
    assert_eq!(fields.text(), Ok(Some("queue")));
    assert_eq!(fields.uint(), Ok(Some(2)));
    fields.skip(4).unwrap();
    assert_eq!(fields.text(), Ok(Some("move")));
    assert_eq!(
        fields.value(),
        Ok(crate::codec::Value::Null),
        "no filter is in force"
    );
    fields.skip(2).unwrap();
    assert_eq!(fields.text(), Ok(Some("capability")));
    assert_eq!(fields.raw(), Ok(None));
}
