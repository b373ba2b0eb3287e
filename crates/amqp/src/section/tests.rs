//! Messages there and back, what other clients send, and bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn encode(message: &Message) -> Bytes {
    let mut out = Vec::new();
    write_before_body(message, &mut out);
    out.extend_from_slice(&message.body);
    out.into()
}

fn section(code: u64, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    out.described(code);
    write(&mut out);
    out
}

fn data(bytes: &[u8]) -> Vec<u8> {
    section(DATA, |out| out.binary(bytes))
}

#[test]
fn a_large_body_is_not_copied_and_a_small_one_does_not_hold_its_frame() {
    for (length, is_shared) in [(MIN_SHARED_BODY - 1, false), (MIN_SHARED_BODY, true)] {
        let whole = Bytes::from(data(&vec![7; length]));
        let message = read(&whole).unwrap();
        assert_eq!(message.body.len(), length);
        let within = whole.as_ptr_range().contains(&message.body.as_ptr());
        assert_eq!(within, is_shared);
    }
}

#[test]
fn every_body_that_holds_bytes_is_one() {
    let table = [
        (data(b"x"), Ok(&b"x"[..])),
        (
            [data(b"in "), data(b""), data(b"two")].concat(),
            Ok(b"in two"),
        ),
        (section(VALUE, |out| out.binary(b"b")), Ok(b"b")),
        (section(VALUE, |out| out.string("ø")), Ok("ø".as_bytes())),
        (Vec::new(), Ok(b"")),
        (section(VALUE, |out| out.null()), Err(Unreadable::Value)),
        (section(VALUE, |out| out.uint(7)), Err(Unreadable::Value)),
        (
            section(SEQUENCE, |out| out.list(|_| {})),
            Err(Unreadable::Sequence),
        ),
        (
            [data(b"x"), section(VALUE, |out| out.binary(b"b"))].concat(),
            Err(Unreadable::TwoBodies),
        ),
        (
            [section(VALUE, |out| out.binary(b"b")), data(b"x")].concat(),
            Err(Unreadable::TwoBodies),
        ),
        (
            section(0x79, |out| out.null()),
            Err(Fault::Descriptor.into()),
        ),
        (
            section(DATA, |out| out.uint(1)),
            Err(Fault::Expected("bytes in a data section").into()),
        ),
    ];
    for (bytes, expected) in table {
        let read = read(&Bytes::from(bytes)).map(|message| message.body);
        assert_eq!(read.as_deref().map_err(Clone::clone), expected);
    }
}

#[test]
fn sections_may_be_named_and_some_are_passed_over() {
    let mut bytes = section(DELIVERY_ANNOTATIONS, |out| {
        out.map(1, |out| {
            out.symbol("a");
            out.symbol("b");
        });
    });
    bytes.push(0x00);
    bytes.symbol("amqp:properties:list");
    bytes.list(|fields| {
        fields
            .null()
            .null()
            .symbol("a queue")
            .symbol("subject")
            .null()
            .null()
            .string("text/plain");
    });
    bytes.extend(data(b"x"));
    bytes.extend(section(FOOTER, |out| out.map(0, |_| {})));
    let message = read(&Bytes::from(bytes)).unwrap();
    let properties = message.properties;
    assert_eq!(properties.to.as_deref(), Some("a queue"));
    assert_eq!(properties.subject.as_deref(), Some("subject"));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(message.header.priority, Some(NORMAL_PRIORITY));
}

#[test]
fn what_cannot_be_carried_is_left_out_and_names_count_once() {
    let bytes = section(APPLICATION_PROPERTIES, |out| {
        out.map(5, |out| {
            out.string("toHerId");
            out.string("1");
            out.symbol("symbol");
            out.char('ø');
            out.string("list");
            out.list(|_| {});
            out.string("decimal");
            out.extend_from_slice(&[0x74, 0, 0, 0, 1]);
            out.string("toHerId");
            out.string("2");
        });
    });
    let message = read(&Bytes::from(bytes)).unwrap();
    assert_eq!(
        message.application_properties,
        [
            ("toHerId".to_owned(), "2".into()),
            ("symbol".to_owned(), Simple::Char('ø'))
        ]
    );
    for code in [APPLICATION_PROPERTIES, MESSAGE_ANNOTATIONS] {
        let bytes = section(code, |out| {
            out.map(MAX_ENTRIES + 1, |out| {
                for n in 0..=MAX_ENTRIES {
                    out.string(&n.to_string());
                    out.null();
                }
            });
        });
        assert_eq!(read(&Bytes::from(bytes)), Err(Unreadable::ManyEntries));
    }
}

fn simple() -> impl Strategy<Value = Simple> {
    prop_oneof![
        Just(Simple::Null),
        any::<bool>().prop_map(Simple::Bool),
        any::<u8>().prop_map(|n| Simple::Unsigned(n.into(), 8)),
        any::<u16>().prop_map(|n| Simple::Unsigned(n.into(), 16)),
        any::<u32>().prop_map(|n| Simple::Unsigned(n.into(), 32)),
        any::<u64>().prop_map(|n| Simple::Unsigned(n, 64)),
        any::<i8>().prop_map(|n| Simple::Signed(n.into(), 8)),
        any::<i16>().prop_map(|n| Simple::Signed(n.into(), 16)),
        any::<i32>().prop_map(|n| Simple::Signed(n.into(), 32)),
        any::<i64>().prop_map(|n| Simple::Signed(n, 64)),
        (-1e9f32..1e9).prop_map(Simple::Float),
        (-1e9f64..1e9).prop_map(Simple::Double),
        any::<char>().prop_map(Simple::Char),
        any::<i64>().prop_map(Simple::TimestampMs),
        any::<[u8; 16]>().prop_map(Simple::Uuid),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Simple::Binary),
        ".{0,40}".prop_map(Simple::String),
        "[!-~]{0,40}".prop_map(Simple::Symbol),
    ]
}

fn id() -> impl Strategy<Value = Option<MessageId>> {
    proptest::option::of(prop_oneof![
        any::<u64>().prop_map(MessageId::Ulong),
        any::<[u8; 16]>().prop_map(MessageId::Uuid),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(MessageId::Binary),
        ".{0,40}".prop_map(MessageId::String),
    ])
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(".{0,300}")
}

prop_compose! {
    fn properties()(
        ids in (id(), id()),
        texts in (text(), text(), text(), text(), text(), text(), text()),
        user_id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        times in any::<(Option<i64>, Option<i64>)>(),
        group_sequence in any::<Option<u32>>(),
    ) -> Properties {
        Properties {
            message_id: ids.0,
            user_id,
            to: texts.0,
            subject: texts.1,
            reply_to: texts.2,
            correlation_id: ids.1,
            content_type: texts.3,
            content_encoding: texts.4,
            absolute_expiry_ms: times.0,
            creation_ms: times.1,
            group_id: texts.5,
            group_sequence,
            reply_to_group_id: texts.6,
        }
    }
}

prop_compose! {
    fn message()(
        header in any::<(bool, u8, Option<u32>, bool, u32)>(),
        properties in properties(),
        annotations in proptest::collection::vec(("[a-z]{1,20}", simple()), 0..6),
        application in proptest::collection::btree_map(".{0,20}", simple(), 0..20),
        body in proptest::collection::vec(any::<u8>(), 0..6000),
    ) -> Message {
        let (durable, priority, ttl_ms, first_acquirer, delivery_count) = header;
        Message {
            header: Header { durable, priority: Some(priority), ttl_ms, first_acquirer, delivery_count },
            properties,
            message_annotations: annotations.into_iter().map(|(k, v)| (Simple::Symbol(k), v)).collect(),
            application_properties: application.into_iter().collect(),
            body: body.into(),
        }
    }
}

proptest! {
    #[test]
    fn messages_come_back(message in message()) {
        prop_assert_eq!(read(&encode(&message)), Ok(message));
    }

    #[test]
    fn parts_make_the_whole(message in message(), size in 1usize..4000) {
        let whole = encode(&message);
        let before = &whole[..whole.len() - message.body.len()];
        let mut parts = Vec::new();
        while parts.len() < whole.len() {
            let (from, left) = (parts.len(), whole.len() - parts.len());
            write_part(before, &message.body, from, size.min(left), &mut parts);
        }
        prop_assert_eq!(&parts[..], &whole[..]);
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&Bytes::from(bytes));
    }

    #[test]
    fn a_damaged_message_brings_nothing_down(message in message(), at: usize, byte: u8) {
        let mut bytes = encode(&message).to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read(&Bytes::from(bytes));
    }
}
