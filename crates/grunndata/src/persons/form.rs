//! What a request says: query and form fields, read within bounds, into values. Every rule that is broken is told; nothing
//! of what was sent is repeated, for it may be a national id.

use super::parts::{Part, Parts};
use registers::kernel::EntryId;
use registers::persons::codes::PersonEvent;
use std::collections::BTreeMap;

/// Longest form or query, bytes. A hundred ids need some eight thousand.
pub const MAX_FORM_BYTES: usize = 64 * 1024;
/// Most fields of a form or query.
const MAX_FIELDS: usize = 512;
/// Most persons of one bulk look-up.
pub const MAX_BULK: usize = 100;
/// Longest identification number.
const MAX_NIN: usize = 12;
/// Longest person id.
const MAX_ID: usize = 64;

/// Rules that a request breaks, by the field's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken(pub BTreeMap<String, Vec<String>>);

impl Broken {
    /// One rule.
    #[must_use]
    pub fn one(field: &str, what: impl Into<String>) -> Self {
        let mut broken = Self::default();
        broken.add(field, what);
        broken
    }

    /// One rule more.
    pub fn add(&mut self, field: &str, what: impl Into<String>) {
        self.0
            .entry(field.to_owned())
            .or_default()
            .push(what.into());
    }

    /// The value, when no rule is broken.
    ///
    /// # Errors
    /// The rules.
    pub fn unless<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

/// Fields of a query or form. Names are the same in upper and lower case; `name`, `name[]` and `name[3]` are one field.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

/// Values may be national ids.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fields({})", self.0.len())
    }
}

impl Fields {
    /// Reads `a=b&c=d` with percent signs and plus.
    ///
    /// # Errors
    /// For what is too long, has too many fields, or is no UTF-8 when decoded.
    pub fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let wrong = |what: &str| Broken::one("", what);
        if bytes.len() > MAX_FORM_BYTES {
            return Err(wrong("The request has more than 65536 bytes of fields."));
        }
        let mut fields = Vec::new();
        for pair in bytes.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(wrong("The request has more than 512 fields."));
            }
            let cut = pair.iter().position(|b| *b == b'=');
            let (name, value) = match cut {
                Some(at) => (pair.get(..at), pair.get(at + 1..)),
                None => (Some(pair), None),
            };
            let text = |bytes: Option<&[u8]>| decode(bytes.unwrap_or_default());
            let (Some(name), Some(value)) = (text(name), text(value)) else {
                return Err(wrong(
                    "A field is not UTF-8 when its percent signs are decoded.",
                ));
            };
            fields.push((plain_name(name), value));
        }
        Ok(Self(fields))
    }

    /// All fields, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Values of a field that are not empty, in order.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Values of a list field; one value may be several with commas between.
    fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The value of a field that may stand once.
    pub fn one(&self, name: &'static str, broken: &mut Broken) -> Option<&str> {
        let mut values = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let found = values.next().map(|(_, value)| value.trim());
        if values.next().is_some() {
            broken.add(name, format!("{name} is given more than once."));
        }
        found.filter(|value| !value.is_empty())
    }

    /// `true` or `false`; absent is false.
    pub fn truth(&self, name: &'static str, broken: &mut Broken) -> bool {
        match self.one(name, broken) {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if value.eq_ignore_ascii_case("false") => false,
            Some(_) => {
                broken.add(name, format!("{name} must be true or false."));
                false
            }
        }
    }

    /// A whole number within bounds.
    pub fn number(
        &self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
        broken: &mut Broken,
    ) -> Option<i64> {
        let value = self.one(name, broken)?;
        let is_plain = value.len() <= 19 && value.bytes().all(|b| b.is_ascii_digit());
        let number = value
            .parse()
            .ok()
            .filter(|n| is_plain && bounds.contains(n));
        if number.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            broken.add(
                name,
                format!("{name} must be a whole number from {least} to {most}."),
            );
        }
        number
    }

    /// `informationParts`: at least one.
    pub fn parts(&self, broken: &mut Broken) -> Parts {
        const NAME: &str = "informationParts";
        let mut parts = Parts::default();
        for name in self.list(NAME) {
            match Part::parse(name) {
                Some(part) => parts.insert(part),
                None => {
                    broken.add(
                        NAME,
                        "informationParts has a value that is not in the contract.",
                    );
                    return parts;
                }
            }
        }
        if parts.is_empty() {
            broken.add(
                NAME,
                "informationParts is required: name at least one part.",
            );
        }
        parts
    }

    /// `eventTypes`; none means all.
    pub fn event_types(&self, broken: &mut Broken) -> Vec<PersonEvent> {
        const NAME: &str = "eventTypes";
        let mut types = Vec::new();
        for name in self.list(NAME) {
            let known = PersonEvent::ALL.iter().copied();
            match known
                .into_iter()
                .find(|e| e.name().eq_ignore_ascii_case(name))
            {
                Some(event) if types.contains(&event) => {}
                Some(event) => types.push(event),
                None => {
                    broken.add(NAME, "eventTypes has a value that is not in the contract.");
                    break;
                }
            }
        }
        types
    }

    /// `nin`.
    pub fn nin(&self, broken: &mut Broken) -> Option<Nin> {
        const NAME: &str = "nin";
        let Some(text) = self.one(NAME, broken) else {
            broken.add(NAME, "nin is required, in the body of the request.");
            return None;
        };
        let nin = Nin::parse(text);
        if nin.is_none() {
            broken.add(NAME, NOT_A_NIN);
        }
        nin
    }

    /// `nins`: 1 to 100.
    pub fn nins(&self, broken: &mut Broken) -> Vec<Nin> {
        self.bulk("nins", broken, Nin::parse, NOT_A_NIN)
    }

    /// `personIds`: 1 to 100.
    pub fn ids(&self, broken: &mut Broken) -> Vec<PersonId> {
        self.bulk("personIds", broken, PersonId::parse, NOT_AN_ID)
    }

    fn bulk<T>(
        &self,
        name: &'static str,
        broken: &mut Broken,
        read: impl Fn(&str) -> Option<T>,
        wrong: &str,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for (at, text) in self.list(name).enumerate() {
            if at == MAX_BULK {
                broken.add(name, format!("{name} has more than {MAX_BULK} values."));
                break;
            }
            match read(text) {
                Some(value) => found.push(value),
                None => broken.add(name, format!("Value number {} of {name}: {wrong}", at + 1)),
            }
        }
        if self.list(name).next().is_none() {
            broken.add(
                name,
                format!("{name} is required: 1 to {MAX_BULK} values, in the body."),
            );
        }
        found
    }

    /// All values of a list field as they came.
    pub fn values<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.list(name).collect()
    }
}

const NOT_A_NIN: &str = "an identification number has eleven digits, a DUF number twelve.";
const NOT_AN_ID: &str =
    "a person id has 1 to 64 letters or digits, and is not an identification number.";

/// An identification number: eleven or twelve digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nin(pub registers::persons::document::Identifier);

impl std::fmt::Debug for Nin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nin(…)")
    }
}

impl Nin {
    /// Spaces inside are dropped: people write `010170 12345`.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NIN + 1 {
            return None;
        }
        if !text.contains(' ') {
            return registers::persons::document::Identifier::parse(text).map(Self);
        }
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        registers::persons::document::Identifier::parse(&digits).map(Self)
    }

    /// Whether its control digits and date can be right. Numbers that the register holds lead to their person in any case.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let text = self.0.text();
        text.len() == 12 || codes::ident::Nin::parse(&text).is_ok()
    }
}

/// The id of a person as a client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonId {
    /// One of ours.
    Entry(EntryId),
    /// In a form that no person here has.
    Unknown,
}

impl PersonId {
    /// `None` for what can be no id; a national id is refused as such, for it must not stand in an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_nin = matches!(text.len(), 11 | 12) && text.bytes().all(|b| b.is_ascii_digit());
        let is_plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if text.is_empty() || text.len() > MAX_ID || !is_plain || is_nin {
            return None;
        }
        let entry = text.to_ascii_lowercase().parse();
        Some(entry.map_or(Self::Unknown, Self::Entry))
    }
}

/// `name[]` and `name[3]` are `name`.
fn plain_name(name: String) -> String {
    match name.split_once('[') {
        Some((plain, rest)) if rest.ends_with(']') => plain.to_owned(),
        _ => name,
    }
}

fn decode(bytes: &[u8]) -> Option<String> {
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(bytes).ok().map(str::to_owned);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                        rest = ahead;
                    }
                    _ => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).unwrap()
    }

    fn broken_by<T>(text: &str, read: impl Fn(&Fields, &mut Broken) -> T) -> (T, usize) {
        let mut broken = Broken::default();
        let value = read(&fields(text), &mut broken);
        (value, broken.0.values().map(Vec::len).sum())
    }

    #[test]
    fn parts_are_read_in_every_way_they_are_sent() {
        for (text, names, rules) in [
            (
                "informationParts=Name&informationParts=Birth",
                "Birth Name",
                0,
            ),
            ("informationParts=Name,Birth", "Birth Name", 0),
            (
                "InformationParts[0]=name&informationParts%5B%5D=BIRTH",
                "Birth Name",
                0,
            ),
            ("informationParts=", "", 1),
            ("", "", 1),
            ("informationParts=Address", "", 1),
        ] {
            let (parts, broken) = broken_by(text, Fields::parts);
            let found: Vec<&str> = parts.iter().map(Part::name).collect();
            assert_eq!((found.join(" ").as_str(), broken), (names, rules), "{text}");
        }
    }

    #[test]
    fn numbers_and_truths_have_bounds() {
        let number = |text: &str| broken_by(text, |f, b| f.number("PageSize", 1..=10_000, b));
        assert_eq!(number("pagesize=7"), (Some(7), 0));
        assert_eq!(number(""), (None, 0));
        for wrong in [
            "0",
            "10001",
            "-1",
            "%2B1",
            "1.0",
            "99999999999999999999",
            "x",
        ] {
            assert_eq!(number(&format!("PageSize={wrong}")), (None, 1), "{wrong}");
        }
        assert_eq!(number("PageSize=1&PageSize=2").1, 1);
        let truth = |text: &str| broken_by(text, |f, b| f.truth("includeHistory", b));
        assert_eq!(truth("includeHistory=True"), (true, 0));
        assert_eq!(truth("includeHistory=1"), (false, 1));
    }

    #[test]
    fn bulk_has_one_to_a_hundred() {
        let count = |n: usize| {
            let text = vec!["nins=14896849817"; n].join("&");
            let (nins, broken) = broken_by(&text, Fields::nins);
            (nins.len(), broken)
        };
        assert_eq!(count(0), (0, 1));
        assert_eq!(count(1), (1, 0));
        assert_eq!(count(100), (100, 0));
        assert_eq!(count(101), (100, 1));
        let (nins, broken) = broken_by("nins=1&nins=14896849817&nins=x", Fields::nins);
        assert_eq!((nins.len(), broken), (1, 2));
    }

    #[test]
    fn a_national_id_is_no_person_id() {
        for (text, is_id) in [
            ("14896849817", false),
            ("201234567890", false),
            ("", false),
            ("a/b", false),
            ("0123456789abcdef0123456789ABCDEF", true),
            (
                "3f9c5e318c9497770e37e0ff925034848f9bb1899ce1e8047589fba1c322b278",
                true,
            ),
            ("123", true),
        ] {
            assert_eq!(PersonId::parse(text).is_some(), is_id, "{text}");
        }
    }

    #[test]
    fn what_was_sent_is_never_repeated() {
        let mut broken = Broken::default();
        let f = fields(
            "nin=1489684981&nins=abc14896849817&personIds=14896849817&eventTypes=14896849817",
        );
        f.nin(&mut broken);
        f.nins(&mut broken);
        f.ids(&mut broken);
        f.event_types(&mut broken);
        f.parts(&mut broken);
        assert!(broken.0.len() >= 4);
        assert!(!format!("{broken:?} {f:?}").contains("1489684981"));
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(f) = Fields::parse(&bytes) {
                let mut broken = Broken::default();
                f.parts(&mut broken);
                f.nins(&mut broken);
                f.ids(&mut broken);
                f.nin(&mut broken);
                f.event_types(&mut broken);
                f.number("sequenceNumber", 1..=i64::MAX, &mut broken);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC{0,30}") {
            let mut sent = String::from("x=");
            for byte in text.bytes() {
                sent.push_str(&format!("%{byte:02x}"));
            }
            let f = fields(&sent);
            let mut broken = Broken::default();
            let trimmed = text.trim();
            prop_assert_eq!(f.one("x", &mut broken), (!trimmed.is_empty()).then_some(trimmed));
        }
    }
}
