//! The small types that every message is made of, and the two traits that read and write them.
//!
//! Types follow `kith.xsd` and `felleskomponent1.xsd`: `CS` and `CV` (coded values), `TS` (time in an attribute),
//! `PQ` (quantity), `BL` (flag), `URL`. Values are kept as they were sent (decimals, time zones, precision);
//! helpers interpret them. Messages themselves are declared with the `record!` macro: one line per element,
//! in the order of the standard, which gives the struct, its reader and its writer from one place.

use jiff::{Timestamp, civil, tz::TimeZone};
use thiserror::Error;

use crate::xml::{At, Elem, Node, Ns};

/// A value that could not be read because something it cannot exist without is missing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {inside} has no {missing}")]
pub struct ReadError {
    /// Line of the element that lacks something.
    pub line: u32,
    /// Column of the element that lacks something.
    pub column: u32,
    /// Local name of the element that lacks something.
    pub inside: String,
    /// What is missing.
    pub missing: String,
}

impl ReadError {
    pub(crate) fn missing(inside: &Elem, missing: &str) -> Self {
        Self {
            line: inside.at.line,
            column: inside.at.column,
            inside: inside.name.chars().take(60).collect(),
            missing: missing.to_owned(),
        }
    }
}

/// A value that is one element.
pub trait XmlValue: Sized {
    /// Reads the value from its element.
    ///
    /// # Errors
    /// [`ReadError`] when a required part is missing.
    fn read(e: &Elem) -> Result<Self, ReadError>;
    /// Writes the value into an empty element of its name.
    fn write(&self, e: &mut Elem);
}

/// A part of a parent element: exactly one, at most one, or many.
pub trait Field: Sized {
    /// Reads the part called `name`.
    ///
    /// # Errors
    /// [`ReadError`] when it is required and missing, or lacks something itself.
    fn read_field(parent: &Elem, name: &str) -> Result<Self, ReadError>;
    /// Appends the part to the parent.
    fn write_field(&self, parent: &mut Elem, ns: &Ns, name: &str);
}

impl<T: XmlValue> Field for T {
    fn read_field(parent: &Elem, name: &str) -> Result<Self, ReadError> {
        T::read(
            parent
                .child(name)
                .ok_or_else(|| ReadError::missing(parent, name))?,
        )
    }
    fn write_field(&self, parent: &mut Elem, ns: &Ns, name: &str) {
        let mut e = Elem::new(ns, name);
        self.write(&mut e);
        parent.children.push(Node::Elem(e));
    }
}

impl<T: XmlValue> Field for Option<T> {
    fn read_field(parent: &Elem, name: &str) -> Result<Self, ReadError> {
        parent.child(name).map(T::read).transpose()
    }
    fn write_field(&self, parent: &mut Elem, ns: &Ns, name: &str) {
        if let Some(v) = self {
            v.write_field(parent, ns, name);
        }
    }
}

impl<T: XmlValue> Field for Vec<T> {
    fn read_field(parent: &Elem, name: &str) -> Result<Self, ReadError> {
        parent.all(name).map(T::read).collect()
    }
    fn write_field(&self, parent: &mut Elem, ns: &Ns, name: &str) {
        for v in self {
            v.write_field(parent, ns, name);
        }
    }
}

impl<T: XmlValue> XmlValue for Box<T> {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        T::read(e).map(Box::new)
    }
    fn write(&self, e: &mut Elem) {
        T::write(self, e);
    }
}

impl XmlValue for String {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(e.text().trim().to_owned())
    }
    fn write(&self, e: &mut Elem) {
        if !self.is_empty() {
            e.children.push(Node::Text(self.clone()));
        }
    }
}

/// Declares a message part: struct, reader and writer, in the order of the standard.
///
/// `record! { /// doc  Name [namespace of children, if not the parent's] { /// doc  field: Type = "Element", … } }`
macro_rules! record {
    ($( $(#[$meta:meta])* $name:ident $([$ns:expr])? { $( $(#[$fmeta:meta])* $field:ident : $ty:ty = $tag:literal ),* $(,)? } )*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$fmeta])* #[doc = concat!("Element `", $tag, "`.")] pub $field: $ty, )*
            /// Where it stands in the document it was read from.
            pub at: $crate::xml::At,
        }
        impl $crate::value::XmlValue for $name {
            fn read(e: &$crate::xml::Elem) -> Result<Self, $crate::value::ReadError> {
                Ok(Self { $( $field: $crate::value::Field::read_field(e, $tag)?, )* at: e.at })
            }
            fn write(&self, e: &mut $crate::xml::Elem) {
                #[allow(unused_mut, unused_assignments)]
                let mut ns = e.ns.clone();
                $( ns = $ns(&e.ns); )?
                $( $crate::value::Field::write_field(&self.$field, e, &ns, $tag); )*
            }
        }
    )* };
}
pub(crate) use record;

/// Makes a record the root of a document: read from a document or an element, written as an element or a text.
///
/// `root! { Type, "Element", namespace written, namespaces read, "name and version for errors" }`
macro_rules! root {
    ($name:ident, $tag:literal, $ns:expr, $read:pat, $what:literal) => {
        impl $name {
            #[doc = concat!("Reads ", $what, " from a document with it as root.")]
            ///
            /// # Errors
            /// [`ReadError`](crate::value::ReadError) when a part that it cannot exist without is missing, or it is
            /// another message or version.
            pub fn read_doc(doc: &$crate::xml::XmlDoc) -> Result<Self, $crate::value::ReadError> {
                Self::read_elem(&doc.root)
            }

            #[doc = concat!("Reads ", $what, " from its element.")]
            ///
            /// # Errors
            /// As [`Self::read_doc`].
            pub fn read_elem(e: &$crate::xml::Elem) -> Result<Self, $crate::value::ReadError> {
                if &*e.name != $tag || !matches!(&*e.ns, $read) {
                    return Err($crate::value::ReadError::missing(e, $what));
                }
                $crate::value::XmlValue::read(e)
            }

            /// The element, for [`crate::msghead::Document::payload`] or as a message of its own.
            pub fn to_elem(&self) -> $crate::xml::Elem {
                let mut e = $crate::xml::Elem::new(&$crate::xml::Ns::from($ns), $tag);
                $crate::value::XmlValue::write(self, &mut e);
                e
            }

            /// UTF-8 text, ready to be signed.
            pub fn to_xml(&self) -> String {
                $crate::xml::to_xml(&self.to_elem())
            }
        }
    };
}
pub(crate) use root;

/// A coded value, `CS` (code and display) or `CV` (with code system and free text).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coded {
    /// `V`: the code. Absent when only free text is known.
    pub value: Option<String>,
    /// `S`: OID of the code system (`CV` only).
    pub system: Option<String>,
    /// `DN`: display name; free text in practice, never parse it.
    pub display: Option<String>,
    /// `OT`: free text when there is no code (`CV` only).
    pub other: Option<String>,
    /// Where it stands.
    pub at: At,
}

impl Coded {
    /// A `CS`: code and display.
    pub fn cs(value: &str, display: &str) -> Self {
        Self {
            value: Some(value.into()),
            display: Some(display.into()),
            ..Self::default()
        }
    }

    /// A `CV`: code, code list number (`8221` means OID `2.16.578.1.12.4.1.1.8221`) and display.
    pub fn cv(value: &str, list: u32, display: &str) -> Self {
        Self {
            system: Some(format!("{LIST_OID}{list}")),
            ..Self::cs(value, display)
        }
    }

    /// The code, or the empty string.
    pub fn code(&self) -> &str {
        self.value.as_deref().map(str::trim).unwrap_or_default()
    }

    /// What to show a human: display, else free text, else the code.
    pub fn label(&self) -> &str {
        self.display
            .as_deref()
            .or(self.other.as_deref())
            .unwrap_or_else(|| self.code())
    }

    /// The national code list number, when the system is one.
    pub fn list(&self) -> Option<u32> {
        self.system
            .as_deref()?
            .trim()
            .strip_prefix(LIST_OID)?
            .parse()
            .ok()
    }
}

/// OID prefix of the national code lists; the list number follows.
pub const LIST_OID: &str = "2.16.578.1.12.4.1.1.";

impl XmlValue for Coded {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        let get = |name| e.attr(name).map(str::to_owned);
        Ok(Self {
            value: get("V"),
            system: get("S"),
            display: get("DN"),
            other: get("OT"),
            at: e.at,
        })
    }
    fn write(&self, e: &mut Elem) {
        for (name, v) in [
            ("V", &self.value),
            ("S", &self.system),
            ("DN", &self.display),
            ("OT", &self.other),
        ] {
            if let Some(v) = v {
                e.set_attr(name, v.clone());
            }
        }
    }
}

/// A time as element text (`xs:date`, `xs:dateTime`), kept as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Time {
    /// The text as sent.
    pub text: String,
    /// Where it stands.
    pub at: At,
}

/// A time in the attribute `V` (`kith:TS`): date and time, date, year and month, year, or time alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ts(
    /// The time as sent.
    pub Time,
);

impl std::ops::Deref for Ts {
    type Target = Time;
    fn deref(&self) -> &Time {
        &self.0
    }
}

/// A time that was understood. Times without zone are Norwegian local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Date and time, as an instant.
    Instant(Timestamp),
    /// A whole day.
    Day(civil::Date),
    /// A month: year and month.
    Month(i16, i8),
    /// A year.
    Year(i16),
}

impl From<&str> for Time {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            at: At::default(),
        }
    }
}
impl From<&str> for Ts {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
impl From<Timestamp> for Time {
    /// Norwegian local time with offset, to the second.
    fn from(t: Timestamp) -> Self {
        let z = t.to_zoned(norway());
        Self {
            text: z.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            at: At::default(),
        }
    }
}
impl From<Timestamp> for Ts {
    fn from(t: Timestamp) -> Self {
        Self(t.into())
    }
}

impl Time {
    /// What the text means, or `None` when it is not a time.
    pub fn moment(&self) -> Option<Moment> {
        let t = self.text.trim();
        if t.contains('T') {
            if let Ok(at) = t.parse::<Timestamp>() {
                return Some(Moment::Instant(at));
            }
            let local: civil::DateTime = t.parse().ok()?;
            return norway()
                .to_ambiguous_timestamp(local)
                .compatible()
                .ok()
                .map(Moment::Instant);
        }
        // A zone after a date says nothing about the day that is meant.
        let day = t.get(..10).unwrap_or(t);
        if let Ok(d) = day.parse::<civil::Date>() {
            return Some(Moment::Day(d));
        }
        match t.split_once('-') {
            Some((y, m)) => Some(Moment::Month(
                y.parse().ok()?,
                m.parse().ok().filter(|m| (1..=12).contains(m))?,
            )),
            None => (t.len() == 4).then(|| t.parse().ok().map(Moment::Year))?,
        }
    }

    /// The instant; a whole day, month or year counts from its beginning in Norway.
    pub fn instant(&self) -> Option<Timestamp> {
        let day = match self.moment()? {
            Moment::Instant(t) => return Some(t),
            Moment::Day(d) => d,
            Moment::Month(y, m) => civil::Date::new(y, m, 1).ok()?,
            Moment::Year(y) => civil::Date::new(y, 1, 1).ok()?,
        };
        norway()
            .to_ambiguous_timestamp(day.at(0, 0, 0, 0))
            .compatible()
            .ok()
    }

    /// The day in Norway.
    pub fn day(&self) -> Option<civil::Date> {
        match self.moment()? {
            Moment::Instant(t) => Some(t.to_zoned(norway()).date()),
            Moment::Day(d) => Some(d),
            Moment::Month(..) | Moment::Year(_) => None,
        }
    }
}

/// Norwegian time by its rule (EU summer time since 1996), without need of a zone database on the machine.
pub fn norway() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap_or(TimeZone::UTC)
}

impl XmlValue for Time {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self {
            text: e.text().trim().to_owned(),
            at: e.at,
        })
    }
    fn write(&self, e: &mut Elem) {
        self.text.write(e);
    }
}

impl XmlValue for Ts {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        let text = e.attr("V").unwrap_or_default().trim().to_owned();
        Ok(Self(Time { text, at: e.at }))
    }
    fn write(&self, e: &mut Elem) {
        e.set_attr("V", self.text.clone());
    }
}

/// A physical quantity (`kith:PQ`), value and unit as printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantity {
    /// `V`, with a decimal point, precision as sent.
    pub value: Option<String>,
    /// `U`: the unit as printed, not necessarily UCUM.
    pub unit: Option<String>,
    /// Where it stands.
    pub at: At,
}

impl Quantity {
    /// A quantity.
    pub fn new(value: &str, unit: &str) -> Self {
        Self {
            value: Some(value.into()),
            unit: Some(unit.into()),
            at: At::default(),
        }
    }
}

impl XmlValue for Quantity {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self {
            value: e.attr("V").map(str::to_owned),
            unit: e.attr("U").map(str::to_owned),
            at: e.at,
        })
    }
    fn write(&self, e: &mut Elem) {
        if let Some(v) = &self.value {
            e.set_attr("V", v.clone());
        }
        if let Some(u) = &self.unit {
            e.set_attr("U", u.clone());
        }
    }
}

/// A flag in the attribute `V` (`kith:BL`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(
    /// The flag; absent or unreadable counts as false.
    pub bool,
);

impl XmlValue for Flag {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self(e.attr("V").is_some_and(|v| v.trim() == "true")))
    }
    fn write(&self, e: &mut Elem) {
        e.set_attr("V", if self.0 { "true" } else { "false" });
    }
}

impl XmlValue for bool {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(matches!(e.text().trim(), "true" | "1"))
    }
    fn write(&self, e: &mut Elem) {
        e.children
            .push(Node::Text(if *self { "true" } else { "false" }.to_owned()));
    }
}

/// An address in the attribute `V` (`kith:URL`), such as `tel:22334455`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Url(
    /// The address as sent.
    pub String,
);

impl XmlValue for Url {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self(e.attr("V").unwrap_or_default().to_owned()))
    }
    fn write(&self, e: &mut Elem) {
        e.set_attr("V", self.0.clone());
    }
}

/// Text that may carry XHTML markup (`xs:anyType` in the standards).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rich {
    /// The content as sent.
    pub nodes: Vec<Node>,
    /// Where it stands.
    pub at: At,
}

impl Rich {
    /// Plain text.
    pub fn plain(text: &str) -> Self {
        Self {
            nodes: vec![Node::Text(text.to_owned())],
            at: At::default(),
        }
    }

    /// Paragraphs of XHTML, which is how systems send text with line breaks that must survive.
    pub fn paragraphs<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let ns = Ns::from("http://www.w3.org/1999/xhtml");
        let mut div = Elem::new(&ns, "div");
        for line in lines {
            div.children
                .push(Node::Elem(Elem::new(&ns, "p").with_text(line)));
        }
        Self {
            nodes: vec![Node::Elem(div)],
            at: At::default(),
        }
    }

    /// Whether there is markup.
    pub fn has_markup(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Elem(_)))
    }

    /// The text for a human: one line per paragraph, table row, list item or line break; cells separated by tabs.
    pub fn text(&self) -> String {
        let mut out = String::new();
        flatten(&self.nodes, &mut out, self.has_markup());
        out.lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
            .trim()
            .to_owned()
    }
}

fn flatten(nodes: &[Node], out: &mut String, markup: bool) {
    for n in nodes {
        match n {
            Node::Text(t) if markup => {
                let mut words = t.split_whitespace().peekable();
                if words.peek().is_none() {
                    if !out.is_empty() && !out.ends_with(char::is_whitespace) {
                        out.push(' ');
                    }
                    continue;
                }
                if t.starts_with(char::is_whitespace)
                    && !out.is_empty()
                    && !out.ends_with(char::is_whitespace)
                {
                    out.push(' ');
                }
                out.push_str(&words.collect::<Vec<_>>().join(" "));
                if t.ends_with(char::is_whitespace) {
                    out.push(' ');
                }
            }
            Node::Text(t) => out.push_str(t),
            Node::Elem(e) => {
                let block = matches!(
                    &*e.name,
                    "p" | "div"
                        | "tr"
                        | "li"
                        | "br"
                        | "table"
                        | "ul"
                        | "ol"
                        | "h1"
                        | "h2"
                        | "h3"
                        | "h4"
                        | "h5"
                        | "h6"
                        | "pre"
                );
                if block && !out.is_empty() && !out.ends_with('\n') {
                    out.push('\n');
                }
                flatten(&e.children, out, markup);
                if matches!(&*e.name, "td" | "th") {
                    out.push('\t');
                } else if block && !out.is_empty() && !out.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
    }
}

impl XmlValue for Rich {
    fn read(e: &Elem) -> Result<Self, ReadError> {
        Ok(Self {
            nodes: e.children.clone(),
            at: e.at,
        })
    }
    fn write(&self, e: &mut Elem) {
        e.children.extend(self.nodes.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood_with_and_without_zone() {
        let ms = |t: &str| Time::from(t).instant().map(|t| t.to_string());
        assert_eq!(
            ms("2026-11-23T10:20:00").as_deref(),
            Some("2026-11-23T09:20:00Z")
        );
        assert_eq!(
            ms("2026-07-01T10:20:00").as_deref(),
            Some("2026-07-01T08:20:00Z")
        );
        assert_eq!(
            ms("2026-07-01T10:20:00+02:00").as_deref(),
            Some("2026-07-01T08:20:00Z")
        );
        assert_eq!(
            ms("2025-05-13T11:56:21.7607390Z").as_deref(),
            Some("2025-05-13T11:56:21.760739Z")
        );
        assert_eq!(ms("2017-09-20").as_deref(), Some("2017-09-19T22:00:00Z"));
        assert_eq!(Time::from("2017-09").moment(), Some(Moment::Month(2017, 9)));
        assert_eq!(Time::from("2017").moment(), Some(Moment::Year(2017)));
        assert_eq!(Time::from("2017-13").moment(), None);
        assert_eq!(Time::from("i går").moment(), None);
        assert_eq!(
            Time::from("2017-09-20Z").day(),
            Some(civil::date(2017, 9, 20))
        );
    }

    #[test]
    fn an_instant_is_written_in_norwegian_time() {
        let t: Timestamp = "2026-11-23T09:20:00Z".parse().unwrap();
        assert_eq!(Time::from(t).text, "2026-11-23T10:20:00+01:00");
        assert_eq!(Time::from(t).instant(), Some(t));
    }

    #[test]
    fn markup_flattens_to_lines() {
        let r = Rich::paragraphs(["Første", "Andre"]);
        assert_eq!(r.text(), "Første\nAndre");
        assert_eq!(Rich::plain("to\nlinjer").text(), "to\nlinjer");
    }
}
