//! Every type there and back, every encoding of it, and bytes that are none.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::{Encode, Fault, Items, Reader, Value};

/// A value that owns what it holds.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64, u8),
    Signed(i64, u8),
    Float(f32),
    Double(f64),
    Decimal(Vec<u8>),
    Char(char),
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(Vec<u8>),
    String(String),
    Symbol(String),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Array(Vec<Tree>),
    Described(Box<(Tree, Tree)>),
}

fn write(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        Tree::Null => out.null(),
        Tree::Bool(value) => out.bool(*value),
        Tree::Unsigned(number, 8) => out.ubyte(*number as u8),
        Tree::Unsigned(number, 16) => out.ushort(*number as u16),
        Tree::Unsigned(number, 32) => out.uint(*number as u32),
        Tree::Unsigned(number, _) => out.ulong(*number),
        Tree::Signed(number, 8) => out.byte(*number as i8),
        Tree::Signed(number, 16) => out.short(*number as i16),
        Tree::Signed(number, 32) => out.int(*number as i32),
        Tree::Signed(number, _) => out.long(*number),
        Tree::Float(number) => out.float(*number),
        Tree::Double(number) => out.double(*number),
        // Nobody writes decimals here; they are read.
        Tree::Decimal(bytes) => {
            out.push(match bytes.len() {
                4 => 0x74,
                8 => 0x84,
                _ => 0x94,
            });
            out.extend_from_slice(bytes);
        }
        Tree::Char(character) => out.char(*character),
        Tree::Timestamp(ms) => out.timestamp(*ms),
        Tree::Uuid(bytes) => out.uuid(bytes),
        Tree::Binary(bytes) => out.binary(bytes),
        Tree::String(text) => out.string(text),
        Tree::Symbol(text) => out.symbol(text),
        Tree::List(items) => out.list(|fields| {
            for item in items {
                let item = (*item != Tree::Null).then_some(item);
                fields.field(item, |out, item| write(item, out));
            }
        }),
        Tree::Map(entries) => out.map(entries.len(), |out| {
            for (key, value) in entries {
                write(key, out);
                write(value, out);
            }
        }),
        Tree::Array(items) => {
            let texts: Vec<&str> = items
                .iter()
                .map(|item| match item {
                    Tree::Symbol(text) => text.as_str(),
                    other => panic!("only symbols are written in arrays: {other:?}"),
                })
                .collect();
            out.symbols(&texts);
        }
        Tree::Described(parts) => {
            out.push(0x00);
            write(&parts.0, out);
            write(&parts.1, out);
        }
    }
}

/// What a value holds; a fault as soon as there is one.
fn own(value: Value<'_>, depth: u32) -> Result<Tree, Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Depth)?;
    let all = |mut items: Items<'_>| {
        let mut owned = Vec::new();
        while let Some(item) = items.next()? {
            owned.push(own(item, depth)?);
        }
        Ok(owned)
    };
    Ok(match value {
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(value),
        Value::Unsigned(number, bits) => Tree::Unsigned(number, bits),
        Value::Signed(number, bits) => Tree::Signed(number, bits),
        Value::Float(number) => Tree::Float(number),
        Value::Double(number) => Tree::Double(number),
        Value::Decimal(bytes) => Tree::Decimal(bytes.to_vec()),
        Value::Char(character) => Tree::Char(character),
        Value::Timestamp(ms) => Tree::Timestamp(ms),
        Value::Uuid(bytes) => Tree::Uuid(bytes),
        Value::Binary(bytes) => Tree::Binary(bytes.to_vec()),
        Value::String(text) => Tree::String(text.to_owned()),
        Value::Symbol(text) => Tree::Symbol(text.to_owned()),
        Value::List(items) => Tree::List(all(items)?),
        Value::Map(items) => {
            let items = all(items)?;
            let pairs = items
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()));
            Tree::Map(pairs.collect())
        }
        Value::Array(mut array) => {
            let mut owned = Vec::new();
            while let Some(item) = array.next()? {
                owned.push(own(item, depth)?);
            }
            Tree::Array(owned)
        }
        Value::Described(described) => Tree::Described(Box::new((
            own(described.descriptor()?, depth)?,
            own(described.value()?, depth)?,
        ))),
    })
}

fn read(bytes: &[u8]) -> Result<Tree, Fault> {
    own(Reader::new(bytes).value()?, 64)
}

fn string(text: &str) -> Tree {
    Tree::String(text.to_owned())
}

#[test]
fn every_encoding_of_the_specification_is_read() {
    let long = "x".repeat(300);
    let table: Vec<(Vec<u8>, Tree)> = vec![
        (vec![0x40], Tree::Null),
        (vec![0x41], Tree::Bool(true)),
        (vec![0x42], Tree::Bool(false)),
        (vec![0x56, 1], Tree::Bool(true)),
        (vec![0x56, 0], Tree::Bool(false)),
        (vec![0x50, 200], Tree::Unsigned(200, 8)),
        (vec![0x60, 1, 0], Tree::Unsigned(256, 16)),
        (vec![0x43], Tree::Unsigned(0, 32)),
        (vec![0x52, 200], Tree::Unsigned(200, 32)),
        (vec![0x70, 0, 1, 0, 0], Tree::Unsigned(65_536, 32)),
        (vec![0x44], Tree::Unsigned(0, 64)),
        (vec![0x53, 200], Tree::Unsigned(200, 64)),
        (
            vec![0x80, 0, 0, 0, 1, 0, 0, 0, 0],
            Tree::Unsigned(1 << 32, 64),
        ),
        (vec![0x51, 0xff], Tree::Signed(-1, 8)),
        (vec![0x61, 0xff, 0xfe], Tree::Signed(-2, 16)),
        (vec![0x54, 0xfd], Tree::Signed(-3, 32)),
        (vec![0x71, 0xff, 0xff, 0xff, 0xfc], Tree::Signed(-4, 32)),
        (vec![0x55, 0xfb], Tree::Signed(-5, 64)),
        ([&[0x81][..], &[0xff; 8]].concat(), Tree::Signed(-1, 64)),
        (vec![0x72, 0x3f, 0xc0, 0, 0], Tree::Float(1.5)),
        (vec![0x82, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Tree::Double(1.5)),
        (vec![0x74, 1, 2, 3, 4], Tree::Decimal(vec![1, 2, 3, 4])),
        ([&[0x84][..], &[7; 8]].concat(), Tree::Decimal(vec![7; 8])),
        ([&[0x94][..], &[7; 16]].concat(), Tree::Decimal(vec![7; 16])),
        (vec![0x73, 0, 0, 0, 0xf8], Tree::Char('ø')),
        (vec![0x83, 0, 0, 0, 0, 0, 0, 0, 5], Tree::Timestamp(5)),
        ([&[0x98][..], &[7; 16]].concat(), Tree::Uuid([7; 16])),
        (vec![0xa0, 2, 0, 255], Tree::Binary(vec![0, 255])),
        (vec![0xb0, 0, 0, 0, 1, 9], Tree::Binary(vec![9])),
        (vec![0xa1, 2, 0xc3, 0xb8], string("ø")),
        (
            [&[0xb1, 0, 0, 1, 44][..], long.as_bytes()].concat(),
            string(&long),
        ),
        (vec![0xa3, 1, b's'], Tree::Symbol("s".to_owned())),
        (vec![0xb3, 0, 0, 0, 1, b's'], Tree::Symbol("s".to_owned())),
        (vec![0x45], Tree::List(Vec::new())),
        (vec![0xc0, 1, 0], Tree::List(Vec::new())),
        (
            vec![0xc0, 3, 2, 0x40, 0x41],
            Tree::List(vec![Tree::Null, Tree::Bool(true)]),
        ),
        (
            vec![0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x41],
            Tree::List(vec![Tree::Bool(true)]),
        ),
        (
            vec![0xc1, 3, 2, 0x43, 0x44],
            Tree::Map(vec![(Tree::Unsigned(0, 32), Tree::Unsigned(0, 64))]),
        ),
        (vec![0xd1, 0, 0, 0, 4, 0, 0, 0, 0], Tree::Map(Vec::new())),
        (
            vec![0xe0, 4, 2, 0x50, 1, 2],
            Tree::Array(vec![Tree::Unsigned(1, 8), Tree::Unsigned(2, 8)]),
        ),
        (
            vec![0xf0, 0, 0, 0, 5, 0, 0, 0, 2, 0x41],
            Tree::Array(vec![Tree::Bool(true); 2]),
        ),
        (vec![0xe0, 1, 0], Tree::Array(Vec::new())),
        (vec![0xe0, 2, 0, 0xa3], Tree::Array(Vec::new())),
        (
            vec![0xe0, 5, 1, 0x00, 0x53, 7, 0x43],
            Tree::Array(vec![Tree::Unsigned(0, 32)]),
        ),
        (
            vec![0x00, 0x53, 0x24, 0x45],
            Tree::Described(Box::new((Tree::Unsigned(0x24, 64), Tree::List(Vec::new())))),
        ),
    ];
    for (bytes, tree) in table {
        assert_eq!(read(&bytes), Ok(tree), "{bytes:x?}");
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{bytes:x?} cut at {end}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let nested = [&[0x00; 40][..], &[0x43; 41]].concat();
    for (bytes, fault) in [
        (&[0x3f][..], Fault::Constructor(0x3f)),
        (&[0x57, 0], Fault::Constructor(0x57)),
        (&[0xa1, 1, 0xff], Fault::Text),
        (&[0x73, 0, 0, 0xd8, 0], Fault::Char),
        (&[0x56, 2], Fault::Expected("a boolean of 0 or 1")),
        (&[0xc0, 2, 9, 0x40], Fault::Count),
        (
            &[0xd0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
            Fault::Count,
        ),
        (&[0xc1, 2, 1, 0x40], Fault::Count),
        (
            &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
            Fault::Count,
        ),
        (
            &[0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1],
            Fault::Count,
        ),
        (&nested, Fault::Depth),
    ] {
        assert_eq!(read(bytes), Err(fault), "{bytes:x?}");
    }
}

#[test]
fn neighbouring_types_are_taken_for_the_right_ones() {
    let mut bytes = Vec::new();
    bytes.list(|fields| {
        fields
            .symbol("a")
            .string("b")
            .ulong(7)
            .field(Some(()), |out, ()| out.int(8))
            .string("bytes")
            .field(Some(()), |out, ()| out.long(9))
            .ulong(1 << 40);
    });
    let mut fields = Reader::new(&bytes).fields().unwrap();
    assert_eq!(fields.text(), Ok(Some("a")));
    assert_eq!(fields.text(), Ok(Some("b")));
    assert_eq!(fields.uint(), Ok(Some(7)));
    assert_eq!(fields.ushort(), Ok(Some(8)));
    assert_eq!(fields.binary(), Ok(Some(&b"bytes"[..])));
    assert_eq!(fields.timestamp(), Ok(Some(9)));
    assert_eq!(fields.uint(), Err(Fault::Expected("a smaller number")));
    assert_eq!(fields.bool(), Ok(None), "left out");
}

#[test]
fn the_shortest_form_is_written() {
    let mut bytes = Vec::new();
    bytes.list(|fields| {
        fields
            .uint(0)
            .uint(255)
            .ulong(0)
            .null()
            .bool(true)
            .null()
            .null();
    });
    assert_eq!(bytes, [0xc0, 7, 5, 0x43, 0x52, 255, 0x44, 0x40, 0x41]);
    bytes.clear();
    bytes.list(|fields| {
        fields.null().null();
    });
    assert_eq!(bytes, [0x45]);
}

fn leaf() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<u8>().prop_map(|n| Tree::Unsigned(n.into(), 8)),
        any::<u16>().prop_map(|n| Tree::Unsigned(n.into(), 16)),
        any::<u32>().prop_map(|n| Tree::Unsigned(n.into(), 32)),
        any::<u64>().prop_map(|n| Tree::Unsigned(n, 64)),
        (0..300u64).prop_map(|n| Tree::Unsigned(n, 64)),
        any::<i8>().prop_map(|n| Tree::Signed(n.into(), 8)),
        any::<i16>().prop_map(|n| Tree::Signed(n.into(), 16)),
        any::<i32>().prop_map(|n| Tree::Signed(n.into(), 32)),
        (-200..200i64).prop_map(|n| Tree::Signed(n, 64)),
        any::<i64>().prop_map(|n| Tree::Signed(n, 64)),
        (-1e9f32..1e9).prop_map(Tree::Float),
        (-1e9f64..1e9).prop_map(Tree::Double),
        prop_oneof![Just(4usize), Just(8), Just(16)].prop_map(|n| Tree::Decimal(vec![7; n])),
        any::<char>().prop_map(Tree::Char),
        any::<i64>().prop_map(Tree::Timestamp),
        any::<[u8; 16]>().prop_map(Tree::Uuid),
        proptest::collection::vec(any::<u8>(), 0..400).prop_map(Tree::Binary),
        ".{0,100}".prop_map(Tree::String),
        "[ -~]{0,300}".prop_map(Tree::Symbol),
        proptest::collection::vec("[a-z]{0,9}".prop_map(Tree::Symbol), 0..40).prop_map(Tree::Array),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(4, 64, 8, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            // Nulls at the end are left out.
            proptest::collection::vec(inner.clone(), 0..8).prop_map(|mut items| {
                while items.last() == Some(&Tree::Null) {
                    items.pop();
                }
                Tree::List(items)
            }),
            proptest::collection::vec(pair, 0..8).prop_map(Tree::Map),
            (leaf(), inner).prop_map(|(what, value)| Tree::Described(Box::new((what, value)))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in tree(), more: u8) {
        let mut bytes = Vec::new();
        write(&tree, &mut bytes);
        prop_assert_eq!(read(&bytes), Ok(tree));
        bytes.push(more);
        let mut reader = Reader::new(&bytes);
        reader.raw().unwrap();
        prop_assert_eq!(reader.rest(), &[more]);
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        while let Ok(value) = reader.value() {
            let _ = own(value, 64);
        }
    }

    #[test]
    fn a_damaged_value_brings_nothing_down(tree in tree(), at: usize, byte: u8) {
        let mut bytes = Vec::new();
        write(&tree, &mut bytes);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
