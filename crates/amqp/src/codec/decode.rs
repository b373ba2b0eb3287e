//! Bytes to values.

use super::{Fault, MAX_DEPTH, MAX_EMPTY_ELEMENTS};

const DESCRIBED: u8 = 0x00;

/// A value, as it lies in the bytes. Integers keep their width in bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Unsigned(u64, u8),
    Signed(i64, u8),
    Float(f32),
    Double(f64),
    /// Any of the three widths; nobody here calculates with them.
    Decimal(&'a [u8]),
    Char(char),
    /// Milliseconds since 1970.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(&'a [u8]),
    String(&'a str),
    Symbol(&'a str),
    List(Items<'a>),
    /// Keys and values in turn.
    Map(Items<'a>),
    Array(Array<'a>),
    Described(Described<'a>),
}

/// The elements of a list or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Items<'a> {
    count: u32,
    reader: Reader<'a>,
}

/// The elements of an array: one constructor for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Array<'a> {
    count: u32,
    code: u8,
    reader: Reader<'a>,
}

/// A value with a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Described<'a> {
    descriptor: &'a [u8],
    value: &'a [u8],
}

/// How long what follows a constructor is (part 1 §1.2).
enum Width {
    Fixed(usize),
    /// Its length comes first, in one byte or four.
    Short,
    Long,
}

fn width(code: u8) -> Result<Width, Fault> {
    Ok(match code >> 4 {
        0x4 => Width::Fixed(0),
        0x5 => Width::Fixed(1),
        0x6 => Width::Fixed(2),
        0x7 => Width::Fixed(4),
        0x8 => Width::Fixed(8),
        0x9 => Width::Fixed(16),
        0xa | 0xc | 0xe => Width::Short,
        0xb | 0xd | 0xf => Width::Long,
        _ => return Err(Fault::Constructor(code)),
    })
}

/// Reads values one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value.
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.byte()? {
            DESCRIBED => {
                let descriptor = self.skipped(MAX_DEPTH)?;
                let value = self.skipped(MAX_DEPTH)?;
                Ok(Value::Described(Described { descriptor, value }))
            }
            code => self.value_of(code),
        }
    }

    /// The next value as bytes, its constructor first.
    pub fn raw(&mut self) -> Result<&'a [u8], Fault> {
        self.skipped(MAX_DEPTH)
    }

    /// The descriptor of the next value, which is then next. Symbols are looked up among `names`.
    pub fn descriptor(&mut self, names: &[(&str, u64)]) -> Result<u64, Fault> {
        if self.byte()? != DESCRIBED {
            return Err(Fault::Expected("a described value"));
        }
        match self.value()? {
            Value::Unsigned(code, _) => Ok(code),
            Value::Symbol(name) | Value::String(name) => {
                let found = names.iter().find(|(known, _)| *known == name);
                found.map(|(_, code)| *code).ok_or(Fault::Descriptor)
            }
            _ => Err(Fault::Descriptor),
        }
    }

    /// The next value, a list, as fields.
    pub fn fields(&mut self) -> Result<Fields<'a>, Fault> {
        match self.value()? {
            Value::List(items) => Ok(Fields { items }),
            _ => Err(Fault::Expected("a list")),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::Cut)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.fixed().map(|[byte]| byte)
    }

    fn long(&mut self) -> Result<u32, Fault> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// A length in one byte, or in four when the constructor says so.
    fn length(&mut self, code: u8) -> Result<usize, Fault> {
        match width(code)? {
            Width::Short => self.byte().map(usize::from),
            _ => usize::try_from(self.long()?).map_err(|_| Fault::Cut),
        }
    }

    fn sized(&mut self, code: u8) -> Result<&'a [u8], Fault> {
        let length = self.length(code)?;
        self.take(length)
    }

    /// Passes over a value.
    fn skip(&mut self, depth: u8) -> Result<(), Fault> {
        let code = self.byte()?;
        if code == DESCRIBED {
            let depth = depth.checked_sub(1).ok_or(Fault::Depth)?;
            self.skip(depth)?;
            return self.skip(depth);
        }
        match width(code)? {
            Width::Fixed(count) => self.take(count)?,
            Width::Short | Width::Long => self.sized(code)?,
        };
        Ok(())
    }

    fn skipped(&mut self, depth: u8) -> Result<&'a [u8], Fault> {
        let before = self.rest;
        self.skip(depth)?;
        let length = before.len() - self.rest.len();
        before.get(..length).ok_or(Fault::Cut)
    }

    fn text(&mut self, code: u8) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.sized(code)?).map_err(|_| Fault::Text)
    }

    /// The value behind a constructor.
    fn value_of(&mut self, code: u8) -> Result<Value<'a>, Fault> {
        Ok(match code {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x43 => Value::Unsigned(0, 32),
            0x44 => Value::Unsigned(0, 64),
            0x45 => Value::List(Items::none()),
            0x50 => Value::Unsigned(self.byte()?.into(), 8),
            0x51 => Value::Signed(i8::from_be_bytes(self.fixed()?).into(), 8),
            0x52 => Value::Unsigned(self.byte()?.into(), 32),
            0x53 => Value::Unsigned(self.byte()?.into(), 64),
            0x54 => Value::Signed(i8::from_be_bytes(self.fixed()?).into(), 32),
            0x55 => Value::Signed(i8::from_be_bytes(self.fixed()?).into(), 64),
            0x56 => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(Fault::Expected("a boolean of 0 or 1")),
            },
            0x60 => Value::Unsigned(u16::from_be_bytes(self.fixed()?).into(), 16),
            0x61 => Value::Signed(i16::from_be_bytes(self.fixed()?).into(), 16),
            0x70 => Value::Unsigned(self.long()?.into(), 32),
            0x71 => Value::Signed(i32::from_be_bytes(self.fixed()?).into(), 32),
            0x72 => Value::Float(f32::from_be_bytes(self.fixed()?)),
            0x73 => Value::Char(char::from_u32(self.long()?).ok_or(Fault::Char)?),
            0x74 => Value::Decimal(self.take(4)?),
            0x80 => Value::Unsigned(u64::from_be_bytes(self.fixed()?), 64),
            0x81 => Value::Signed(i64::from_be_bytes(self.fixed()?), 64),
            0x82 => Value::Double(f64::from_be_bytes(self.fixed()?)),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.fixed()?)),
            0x84 => Value::Decimal(self.take(8)?),
            0x94 => Value::Decimal(self.take(16)?),
            0x98 => Value::Uuid(self.fixed()?),
            0xa0 | 0xb0 => Value::Binary(self.sized(code)?),
            0xa1 | 0xb1 => Value::String(self.text(code)?),
            0xa3 | 0xb3 => Value::Symbol(self.text(code)?),
            0xc0 | 0xd0 => Value::List(Items::read(self.sized(code)?, code)?),
            0xc1 | 0xd1 => {
                let items = Items::read(self.sized(code)?, code)?;
                if !items.count.is_multiple_of(2) {
                    return Err(Fault::Count);
                }
                Value::Map(items)
            }
            0xe0 | 0xf0 => Value::Array(Array::read(self.sized(code)?, code)?),
            other => return Err(Fault::Constructor(other)),
        })
    }
}

/// A count has as many bytes as the size before it.
fn count(reader: &mut Reader<'_>, code: u8) -> Result<u32, Fault> {
    match width(code)? {
        Width::Short => reader.byte().map(u32::from),
        _ => reader.long(),
    }
}

impl<'a> Items<'a> {
    fn none() -> Self {
        Self {
            count: 0,
            reader: Reader::new(&[]),
        }
    }

    fn read(bytes: &'a [u8], code: u8) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let count = count(&mut reader, code)?;
        // No element takes less than a byte.
        if usize::try_from(count).map_or(true, |count| count > reader.rest.len()) {
            return Err(Fault::Count);
        }
        Ok(Self { count, reader })
    }

    /// The next element; nothing at the end.
    pub fn next(&mut self) -> Result<Option<Value<'a>>, Fault> {
        let Some(left) = self.count.checked_sub(1) else {
            return Ok(None);
        };
        self.count = left;
        self.reader.value().map(Some)
    }

    /// The next element as bytes.
    pub fn next_raw(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let Some(left) = self.count.checked_sub(1) else {
            return Ok(None);
        };
        self.count = left;
        self.reader.raw().map(Some)
    }
}

impl<'a> Array<'a> {
    fn read(bytes: &'a [u8], code: u8) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let count = count(&mut reader, code)?;
        if count == 0 {
            let reader = Reader::new(&[]);
            return Ok(Self {
                count,
                code: 0x40,
                reader,
            });
        }
        let mut code = reader.byte()?;
        let mut depth = MAX_DEPTH;
        while code == DESCRIBED {
            depth = depth.checked_sub(1).ok_or(Fault::Depth)?;
            reader.skip(depth)?;
            code = reader.byte()?;
        }
        let each = match width(code)? {
            Width::Fixed(0) if count > MAX_EMPTY_ELEMENTS => return Err(Fault::Count),
            Width::Fixed(each) => each,
            Width::Short => 1,
            Width::Long => 4,
        };
        let needed = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(each));
        if needed.is_none_or(|needed| needed > reader.rest.len()) {
            return Err(Fault::Count);
        }
        Ok(Self {
            count,
            code,
            reader,
        })
    }

    /// The next element; nothing at the end.
    #[cfg(test)]
    pub fn next(&mut self) -> Result<Option<Value<'a>>, Fault> {
        let Some(left) = self.count.checked_sub(1) else {
            return Ok(None);
        };
        self.count = left;
        self.reader.value_of(self.code).map(Some)
    }
}

impl<'a> Described<'a> {
    /// What says what the value is.
    #[cfg(test)]
    pub fn descriptor(&self) -> Result<Value<'a>, Fault> {
        Reader::new(self.descriptor).value()
    }

    /// What is described.
    #[cfg(test)]
    pub fn value(&self) -> Result<Value<'a>, Fault> {
        Reader::new(self.value).value()
    }

    /// Both, to be read with [`Reader::descriptor`].
    pub fn parts(&self) -> (Result<Value<'a>, Fault>, Reader<'a>) {
        (
            Reader::new(self.descriptor).value(),
            Reader::new(self.value),
        )
    }
}

/// The fields of a performative or section in their order. Null and left out are the same. A neighbouring type is taken for the right
/// one where nothing is lost: clients send strings for symbols, and numbers wider than the field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    items: Items<'a>,
}

impl<'a> Fields<'a> {
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        Ok(self.items.next()?.unwrap_or(Value::Null))
    }

    /// The field as bytes; null for one that is left out.
    pub fn raw(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        self.items.next_raw()
    }

    /// Passes over so many.
    pub fn skip(&mut self, count: u32) -> Result<(), Fault> {
        for _ in 0..count {
            self.items.next_raw()?;
        }
        Ok(())
    }

    pub fn bool(&mut self) -> Result<Option<bool>, Fault> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Bool(value) => Ok(Some(value)),
            _ => Err(Fault::Expected("a boolean")),
        }
    }

    pub fn ulong(&mut self) -> Result<Option<u64>, Fault> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Unsigned(number, _) => Ok(Some(number)),
            Value::Signed(number, _) => u64::try_from(number)
                .map(Some)
                .map_err(|_| Fault::Expected("a number of zero or more")),
            _ => Err(Fault::Expected("a number")),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<Option<T>, Fault> {
        let number = self.ulong()?.map(T::try_from).transpose();
        number.map_err(|_| Fault::Expected("a smaller number"))
    }

    pub fn uint(&mut self) -> Result<Option<u32>, Fault> {
        self.number()
    }

    pub fn ushort(&mut self) -> Result<Option<u16>, Fault> {
        self.number()
    }

    pub fn ubyte(&mut self) -> Result<Option<u8>, Fault> {
        self.number()
    }

    /// A string or a symbol.
    pub fn text(&mut self) -> Result<Option<&'a str>, Fault> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::String(text) | Value::Symbol(text) => Ok(Some(text)),
            _ => Err(Fault::Expected("a text")),
        }
    }

    pub fn binary(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Binary(bytes) => Ok(Some(bytes)),
            Value::String(text) | Value::Symbol(text) => Ok(Some(text.as_bytes())),
            _ => Err(Fault::Expected("bytes")),
        }
    }

    pub fn timestamp(&mut self) -> Result<Option<i64>, Fault> {
        match self.value()? {
            Value::Null => Ok(None),
            Value::Timestamp(at) | Value::Signed(at, 64) => Ok(Some(at)),
            Value::Unsigned(at, _) => i64::try_from(at)
                .map(Some)
                .map_err(|_| Fault::Expected("a time")),
            _ => Err(Fault::Expected("a time")),
        }
    }
}
