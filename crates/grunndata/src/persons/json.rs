//! JSON written straight into bytes: a person is written many thousand times a second, and nothing is read back.
//!
//! Whether a comma is due is seen from the last byte, so that there is no state that could be wrong.

use registers::kernel::EntryId;
use registers::kernel::period::Moment;

const DAY_MS: i64 = 86_400_000;

/// The writer.
#[derive(Debug, Default)]
pub struct Json(Vec<u8>);

impl Json {
    /// With room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How much was written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn due(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(b',');
        }
    }

    /// An object.
    pub fn object(&mut self, inside: impl FnOnce(&mut Self)) {
        self.due();
        self.0.push(b'{');
        inside(self);
        self.0.push(b'}');
    }

    /// An array.
    pub fn array(&mut self, inside: impl FnOnce(&mut Self)) {
        self.due();
        self.0.push(b'[');
        inside(self);
        self.0.push(b']');
    }

    /// The name of a member; its value must follow. Names are ours and need no escapes.
    pub fn key(&mut self, name: &str) {
        self.due();
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.due();
        self.0.push(b'"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.copy(text, plain, at);
            plain = at + 1;
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                b'\r' => self.0.extend_from_slice(b"\\r"),
                b'\t' => self.0.extend_from_slice(b"\\t"),
                _ => {
                    let hex = |n: u8| {
                        char::from_digit(n.into(), 16)
                            .map_or(b'0', |c| c.to_ascii_lowercase() as u8)
                    };
                    let escape = [b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)];
                    self.0.extend_from_slice(&escape);
                }
            }
        }
        self.copy(text, plain, text.len());
        self.0.push(b'"');
    }

    fn copy(&mut self, text: &str, from: usize, to: usize) {
        if let Some(bytes) = text.as_bytes().get(from..to) {
            self.0.extend_from_slice(bytes);
        }
    }

    /// `null`.
    pub fn null(&mut self) {
        self.due();
        self.0.extend_from_slice(b"null");
    }

    /// `true` or `false`.
    pub fn truth(&mut self, value: bool) {
        self.due();
        self.0
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A whole number.
    pub fn number(&mut self, value: impl Into<i64>) {
        self.due();
        self.plain(value.into());
    }

    fn plain(&mut self, value: i64) {
        use std::io::Write as _;
        // Writing into a Vec cannot fail.
        let _ = write!(self.0, "{value}");
    }

    /// A number as a text of `N` digits, with leading zeros.
    pub fn padded<const N: usize>(&mut self, value: u64) {
        self.due();
        self.0.push(b'"');
        let mut rest = value;
        let mut out = [b'0'; N];
        for place in out.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.0.extend_from_slice(&out);
        self.0.push(b'"');
    }

    /// The id of an entry: 32 hexadecimal digits.
    pub fn id(&mut self, id: EntryId) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        self.due();
        self.0.push(b'"');
        let mut out = [b'0'; 32];
        for (pair, byte) in out
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(id.0.to_be_bytes())
        {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        self.0.extend_from_slice(&out);
        self.0.push(b'"');
    }

    /// Any JSON value.
    pub fn value(&mut self, value: &serde_json::Value) {
        self.due();
        let before = self.0.len();
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.0.truncate(before);
            self.0.extend_from_slice(b"null");
        }
    }

    /// An instant as `date-time`, UTC: days are midnight, and the hour of a day means nothing.
    pub fn instant(&mut self, at: Moment) {
        self.due();
        let (days, ms) = (at.0.div_euclid(DAY_MS), at.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil(days);
        let (seconds, ms) = (ms / 1_000, ms % 1_000);
        self.0.push(b'"');
        self.digits::<4>(year);
        self.0.push(b'-');
        self.digits::<2>(month);
        self.0.push(b'-');
        self.digits::<2>(day);
        // Nearly every instant is a day.
        if at.0.rem_euclid(DAY_MS) == 0 {
            self.0.extend_from_slice(b"T00:00:00Z\"");
            return;
        }
        self.0.push(b'T');
        self.digits::<2>(seconds / 3_600);
        self.0.push(b':');
        self.digits::<2>(seconds / 60 % 60);
        self.0.push(b':');
        self.digits::<2>(seconds % 60);
        if ms != 0 {
            self.0.push(b'.');
            self.digits::<3>(ms);
        }
        self.0.extend_from_slice(b"Z\"");
    }

    /// The last `N` digits, with leading zeros.
    fn digits<const N: usize>(&mut self, value: i64) {
        let mut rest = value.rem_euclid(10_i64.pow(N as u32));
        let mut out = [b'0'; N];
        for place in out.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.0.extend_from_slice(&out);
    }
}

/// Members: a name and a value in one call.
impl Json {
    /// A text member.
    pub fn field(&mut self, name: &str, text: &str) {
        self.key(name);
        self.text(text);
    }

    /// A text member, `null` when there is none.
    pub fn field_or_null(&mut self, name: &str, text: Option<&str>) {
        self.key(name);
        match text.filter(|t| !t.is_empty()) {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// A truth member.
    pub fn field_truth(&mut self, name: &str, value: bool) {
        self.key(name);
        self.truth(value);
    }

    /// A number member, `null` when there is none.
    pub fn field_number(&mut self, name: &str, value: Option<i64>) {
        self.key(name);
        match value {
            Some(value) => self.number(value),
            None => self.null(),
        }
    }

    /// An instant member, `null` when there is none.
    pub fn field_instant(&mut self, name: &str, at: Option<Moment>) {
        self.key(name);
        match at {
            Some(at) => self.instant(at),
            None => self.null(),
        }
    }

    /// A day member as `date-time`, `null` when there is none.
    pub fn field_day(&mut self, name: &str, day: Option<jiff::civil::Date>) {
        self.field_instant(name, day.map(Moment::of_day));
    }
}

/// Year, month and day of a number of days since 1970-01-01, proleptic Gregorian: 400 years have 146 097 days, and years
/// are counted from March so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn commas_stand_between() {
        let text = written(|j| {
            j.object(|j| {
                j.field("a", "x");
                j.key("b");
                j.array(|j| {
                    j.number(1);
                    j.truth(false);
                    j.object(|_| {});
                    j.array(|_| {});
                    j.null();
                });
                j.field_or_null("c", None);
                j.field_number("d", Some(-7));
                j.key("e");
                j.value(&serde_json::json!({"z": [1, "å"]}));
            });
        });
        assert_eq!(
            text,
            r#"{"a":"x","b":[1,false,{},[],null],"c":null,"d":-7,"e":{"z":[1,"å"]}}"#
        );
    }

    #[test]
    fn instants_keep_milliseconds_only_where_there_are_any() {
        for (ms, text) in [
            (0, "\"1970-01-01T00:00:00Z\""),
            (1, "\"1970-01-01T00:00:00.001Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (951_782_400_000, "\"2000-02-29T00:00:00Z\""),
            (4_107_542_399_000, "\"2100-02-28T23:59:59Z\""),
        ] {
            assert_eq!(written(|j| j.instant(Moment(ms))), text);
        }
    }

    proptest! {
        #[test]
        fn texts_are_read_back(text in any::<String>()) {
            let out = written(|j| j.text(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn control_characters_too(text in "[\\x00-\\x7f]{0,40}") {
            let out = written(|j| j.text(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn ids_and_numbers_are_as_elsewhere(id in any::<u128>(), number in 0u64..100_000_000_000) {
            let out = written(|j| j.id(EntryId(id)));
            prop_assert_eq!(out, format!("\"{}\"", EntryId(id)));
            let out = written(|j| j.padded::<11>(number));
            prop_assert_eq!(out, format!("\"{number:011}\""));
        }

        #[test]
        fn instants_are_those_of_the_calendar(ms in -62_135_596_800_000i64..253_402_300_799_999) {
            let out = written(|j| j.instant(Moment(ms)));
            let text: String = serde_json::from_str(&out).unwrap();
            let read: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(read.as_millisecond(), ms);
            prop_assert!(text.len() == 20 || text.len() == 24);
        }
    }
}
