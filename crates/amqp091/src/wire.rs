//! Fields of methods and content headers (AMQP 0-9-1 §4.2.5), read within limits, written within what a field can hold.

/// Deepest nesting of tables and arrays.
const MAX_DEPTH: usize = 8;
/// Most fields in one table, those of tables within it included.
const MAX_FIELDS: usize = 256;
/// Longest short string.
const MAX_SHORT: usize = 255;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value in a table, as far as anybody here asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Table(Table),
    Other,
}

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table(pub Vec<(String, Value)>);

impl Table {
    /// Whether the field is there and true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }
}

/// Reads fields one after another.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// An octet; also up to eight bits.
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.fixed()?))
    }

    pub fn short(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.fixed()?))
    }

    pub fn long(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    pub fn longlong(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.fixed()?))
    }

    pub fn short_string(&mut self) -> Result<String, Malformed> {
        let count = self.octet()?;
        let bytes = self.take(count.into())?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Ok(text.to_owned())
    }

    pub fn long_string(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.long()?;
        self.take(usize::try_from(count).map_err(|_| Malformed)?)
    }

    pub fn table(&mut self) -> Result<Table, Malformed> {
        self.table_within(MAX_DEPTH, &mut 0)
    }

    fn table_within(&mut self, depth: usize, fields: &mut usize) -> Result<Table, Malformed> {
        let mut inside = Reader(self.long_string()?);
        let mut table = Table::default();
        while !inside.0.is_empty() {
            let name = inside.short_string()?;
            table.0.push((name, inside.value(depth, fields)?));
        }
        Ok(table)
    }

    /// Types as RabbitMQ and its clients use them, which differ from the specification's in the integers.
    fn value(&mut self, depth: usize, fields: &mut usize) -> Result<Value, Malformed> {
        *fields += 1;
        let deeper = depth.checked_sub(1).ok_or(Malformed)?;
        if *fields > MAX_FIELDS {
            return Err(Malformed);
        }
        let bytes = match self.octet()? {
            b't' => return Ok(Value::Bool(self.octet()? != 0)),
            b'F' => return Ok(Value::Table(self.table_within(deeper, fields)?)),
            b'A' => {
                let mut inside = Reader(self.long_string()?);
                while !inside.0.is_empty() {
                    inside.value(deeper, fields)?;
                }
                return Ok(Value::Other);
            }
            b'S' | b'x' => {
                self.long_string()?;
                return Ok(Value::Other);
            }
            b'V' => 0,
            b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            _ => return Err(Malformed),
        };
        self.take(bytes)?;
        Ok(Value::Other)
    }
}

/// Writes fields one after another.
pub(crate) trait Write {
    fn octet(&mut self, value: u8);
    fn short(&mut self, value: u16);
    fn long(&mut self, value: u32);
    fn longlong(&mut self, value: u64);
    /// Cut at what fits, between two characters.
    fn short_string(&mut self, text: &str);
    fn long_string(&mut self, bytes: &[u8]);
    /// What `fields` writes, with its length before it.
    fn table(&mut self, fields: impl FnOnce(&mut Vec<u8>));
}

impl Write for Vec<u8> {
    fn octet(&mut self, value: u8) {
        self.push(value);
    }

    fn short(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn long(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn longlong(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn short_string(&mut self, text: &str) {
        let fits = text.floor_char_boundary(MAX_SHORT);
        let text = text.get(..fits).unwrap_or_default();
        self.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.extend_from_slice(text.as_bytes());
    }

    fn long_string(&mut self, bytes: &[u8]) {
        // What is written stays far below: a frame, or the properties of a message.
        self.long(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(bytes);
    }

    fn table(&mut self, fields: impl FnOnce(&mut Vec<u8>)) {
        let mut inside = Vec::new();
        fields(&mut inside);
        self.long_string(&inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nested(depth: usize) -> Vec<u8> {
        let mut inside = Vec::new();
        for _ in 0..depth {
            let deeper = inside.clone();
            inside.clear();
            inside.short_string("a");
            inside.octet(b'F');
            inside.long_string(&deeper);
        }
        let mut out = Vec::new();
        out.long_string(&inside);
        out
    }

    #[test]
    fn tables_are_read_as_clients_write_them() {
        let mut out = Vec::new();
        out.table(|table| {
            table.short_string("product");
            table.octet(b'S');
            table.long_string("pika".as_bytes());
            table.short_string("capabilities");
            table.octet(b'F');
            table.table(|inside| {
                inside.short_string("basic.nack");
                inside.extend_from_slice(&[b't', 1]);
                inside.short_string("later");
                inside.extend_from_slice(&[b't', 0]);
            });
            table.short_string("n");
            table.extend_from_slice(&[b'A', 0, 0, 0, 5, b'I', 0, 0, 0, 1]);
        });
        let table = Reader(&out).table().unwrap();
        let Some(Value::Table(capabilities)) = table.get("capabilities") else {
            panic!("{table:?}")
        };
        assert!(capabilities.is_true("basic.nack"));
        assert!(!capabilities.is_true("later") && !capabilities.is_true("other"));
        assert_eq!(table.get("n"), Some(&Value::Other));
    }

    #[test]
    fn depth_and_number_of_fields_are_bounded() {
        assert!(Reader(&nested(MAX_DEPTH)).table().is_ok());
        assert_eq!(Reader(&nested(MAX_DEPTH + 1)).table(), Err(Malformed));
        let wide = |fields: usize| {
            let mut out = Vec::new();
            out.table(|table| {
                for _ in 0..fields {
                    table.short_string("");
                    table.octet(b'V');
                }
            });
            out
        };
        assert!(Reader(&wide(MAX_FIELDS)).table().is_ok());
        assert_eq!(Reader(&wide(MAX_FIELDS + 1)).table(), Err(Malformed));
    }

    #[test]
    fn a_short_string_is_cut_between_characters() {
        let mut out = Vec::new();
        out.short_string(&"ø".repeat(200));
        assert_eq!(out.len(), 255);
        assert_eq!(Reader(&out).short_string().unwrap(), "ø".repeat(127));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Reader(&bytes).table();
            let mut out = Vec::new();
            out.long_string(&bytes);
            let _ = Reader(&out).table();
        }
    }
}
