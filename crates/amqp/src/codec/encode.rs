//! Values to bytes, each in its shortest form.

/// Writes values one after another.
pub(crate) trait Encode {
    fn null(&mut self);
    fn bool(&mut self, value: bool);
    fn ubyte(&mut self, value: u8);
    fn ushort(&mut self, value: u16);
    fn uint(&mut self, value: u32);
    fn ulong(&mut self, value: u64);
    fn byte(&mut self, value: i8);
    fn short(&mut self, value: i16);
    fn int(&mut self, value: i32);
    fn long(&mut self, value: i64);
    fn float(&mut self, value: f32);
    fn double(&mut self, value: f64);
    fn char(&mut self, value: char);
    fn timestamp(&mut self, ms: i64);
    fn uuid(&mut self, value: &[u8; 16]);
    fn binary(&mut self, value: &[u8]);
    /// What stands before so many bytes.
    fn binary_head(&mut self, length: usize);
    fn string(&mut self, value: &str);
    fn symbol(&mut self, value: &str);
    /// The value that follows is described by this number.
    fn described(&mut self, code: u64);
    /// A list; fields that are null at its end are left out.
    fn list(&mut self, write: impl FnOnce(&mut ListWriter<'_>));
    /// A map of so many entries; keys and values in turn.
    fn map(&mut self, entries: usize, write: impl FnOnce(&mut Vec<u8>));
    /// An array of symbols.
    fn symbols(&mut self, values: &[&str]);
}

/// A size or length that no frame can hold is cut off here, and refused where frames are written.
fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn sized(out: &mut Vec<u8>, short: u8, long: u8, length: usize) {
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[short, length]),
        Err(_) => {
            out.push(long);
            out.extend_from_slice(&size(length));
        }
    }
}

fn fixed<const N: usize>(out: &mut Vec<u8>, code: u8, bytes: [u8; N]) {
    out.push(code);
    out.extend_from_slice(&bytes);
}

/// Bytes kept free before a compound value: constructor, size and count in their short form.
const SHORT_HEAD: usize = 3;

/// Puts the head of a compound value in its place, once its size is known.
fn close(out: &mut Vec<u8>, start: usize, codes: (u8, u8), count: u32) {
    let length = out.len().saturating_sub(start + SHORT_HEAD);
    match (u8::try_from(length + 1), u8::try_from(count)) {
        (Ok(length), Ok(count)) => {
            if let Some(head) = out.get_mut(start..start + SHORT_HEAD) {
                head.copy_from_slice(&[codes.0, length, count]);
            }
        }
        _ => {
            let head = [codes.1]
                .into_iter()
                .chain(size(length + 4))
                .chain(count.to_be_bytes());
            out.splice(start..start + SHORT_HEAD, head);
        }
    }
}

impl Encode for Vec<u8> {
    fn null(&mut self) {
        self.push(0x40);
    }

    fn bool(&mut self, value: bool) {
        self.push(if value { 0x41 } else { 0x42 });
    }

    fn ubyte(&mut self, value: u8) {
        fixed(self, 0x50, [value]);
    }

    fn ushort(&mut self, value: u16) {
        fixed(self, 0x60, value.to_be_bytes());
    }

    fn uint(&mut self, value: u32) {
        match u8::try_from(value) {
            Ok(0) => self.push(0x43),
            Ok(value) => fixed(self, 0x52, [value]),
            Err(_) => fixed(self, 0x70, value.to_be_bytes()),
        }
    }

    fn ulong(&mut self, value: u64) {
        match u8::try_from(value) {
            Ok(0) => self.push(0x44),
            Ok(value) => fixed(self, 0x53, [value]),
            Err(_) => fixed(self, 0x80, value.to_be_bytes()),
        }
    }

    fn byte(&mut self, value: i8) {
        fixed(self, 0x51, value.to_be_bytes());
    }

    fn short(&mut self, value: i16) {
        fixed(self, 0x61, value.to_be_bytes());
    }

    fn int(&mut self, value: i32) {
        match i8::try_from(value) {
            Ok(value) => fixed(self, 0x54, value.to_be_bytes()),
            Err(_) => fixed(self, 0x71, value.to_be_bytes()),
        }
    }

    fn long(&mut self, value: i64) {
        match i8::try_from(value) {
            Ok(value) => fixed(self, 0x55, value.to_be_bytes()),
            Err(_) => fixed(self, 0x81, value.to_be_bytes()),
        }
    }

    fn float(&mut self, value: f32) {
        fixed(self, 0x72, value.to_be_bytes());
    }

    fn double(&mut self, value: f64) {
        fixed(self, 0x82, value.to_be_bytes());
    }

    fn char(&mut self, value: char) {
        fixed(self, 0x73, u32::from(value).to_be_bytes());
    }

    fn timestamp(&mut self, ms: i64) {
        fixed(self, 0x83, ms.to_be_bytes());
    }

    fn uuid(&mut self, value: &[u8; 16]) {
        fixed(self, 0x98, *value);
    }

    fn binary(&mut self, value: &[u8]) {
        self.binary_head(value.len());
        self.extend_from_slice(value);
    }

    fn binary_head(&mut self, length: usize) {
        sized(self, 0xa0, 0xb0, length);
    }

    fn string(&mut self, value: &str) {
        sized(self, 0xa1, 0xb1, value.len());
        self.extend_from_slice(value.as_bytes());
    }

    fn symbol(&mut self, value: &str) {
        sized(self, 0xa3, 0xb3, value.len());
        self.extend_from_slice(value.as_bytes());
    }

    fn described(&mut self, code: u64) {
        self.push(0x00);
        self.ulong(code);
    }

    fn list(&mut self, write: impl FnOnce(&mut ListWriter<'_>)) {
        let start = self.len();
        self.extend_from_slice(&[0; SHORT_HEAD]);
        let mut fields = ListWriter {
            count: 0,
            kept_count: 0,
            kept_length: self.len(),
            out: self,
        };
        write(&mut fields);
        let (count, length) = (fields.kept_count, fields.kept_length);
        if count == 0 {
            self.truncate(start);
            return self.push(0x45);
        }
        self.truncate(length);
        close(self, start, (0xc0, 0xd0), count);
    }

    fn map(&mut self, entries: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.len();
        self.extend_from_slice(&[0; SHORT_HEAD]);
        write(self);
        let count = u32::try_from(entries.saturating_mul(2)).unwrap_or(u32::MAX);
        close(self, start, (0xc1, 0xd1), count);
    }

    fn symbols(&mut self, values: &[&str]) {
        let start = self.len();
        self.extend_from_slice(&[0; SHORT_HEAD]);
        self.push(0xb3);
        for value in values {
            self.extend_from_slice(&size(value.len()));
            self.extend_from_slice(value.as_bytes());
        }
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        close(self, start, (0xe0, 0xf0), count);
    }
}

/// The fields of a list in their order.
pub(crate) struct ListWriter<'a> {
    out: &'a mut Vec<u8>,
    count: u32,
    /// Up to the last field that is not null.
    kept_count: u32,
    kept_length: usize,
}

impl ListWriter<'_> {
    /// A field of any kind, null without a value.
    pub fn field<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) -> &mut Self {
        self.count += 1;
        match value {
            None => self.out.null(),
            Some(value) => {
                write(self.out, value);
                self.kept_count = self.count;
                self.kept_length = self.out.len();
            }
        }
        self
    }

    pub fn null(&mut self) -> &mut Self {
        self.field(None::<()>, |_, ()| {})
    }

    pub fn bool(&mut self, value: impl Into<Option<bool>>) -> &mut Self {
        self.field(value.into(), |out, value| out.bool(value))
    }

    pub fn ubyte(&mut self, value: impl Into<Option<u8>>) -> &mut Self {
        self.field(value.into(), |out, value| out.ubyte(value))
    }

    pub fn ushort(&mut self, value: impl Into<Option<u16>>) -> &mut Self {
        self.field(value.into(), |out, value| out.ushort(value))
    }

    pub fn uint(&mut self, value: impl Into<Option<u32>>) -> &mut Self {
        self.field(value.into(), |out, value| out.uint(value))
    }

    pub fn ulong(&mut self, value: impl Into<Option<u64>>) -> &mut Self {
        self.field(value.into(), |out, value| out.ulong(value))
    }

    pub fn timestamp(&mut self, ms: impl Into<Option<i64>>) -> &mut Self {
        self.field(ms.into(), |out, ms| out.timestamp(ms))
    }

    pub fn binary<'v>(&mut self, value: impl Into<Option<&'v [u8]>>) -> &mut Self {
        self.field(value.into(), |out, value| out.binary(value))
    }

    pub fn string<'v>(&mut self, value: impl Into<Option<&'v str>>) -> &mut Self {
        self.field(value.into(), |out, value| out.string(value))
    }

    pub fn symbol<'v>(&mut self, value: impl Into<Option<&'v str>>) -> &mut Self {
        self.field(value.into(), |out, value| out.symbol(value))
    }

    /// A field already encoded.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        let value = (value != [0x40]).then_some(value);
        self.field(value, |out, value| out.extend_from_slice(value))
    }
}
