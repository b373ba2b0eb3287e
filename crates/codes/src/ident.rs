//! Identifiers of persons, personnel, organisations, units and messages, with every check rule.
//!
//! Person numbers are in [`nin`]; the others are here. All are small `Copy` values where possible.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub mod nin;

pub use nin::{
    HNumber, MonthOffset, Nin, NinBuilder, NinError, NinKind, NinRules, Sex, Transposition, mask,
    transposition_hint,
};

/// Felles hjelpenummer as its own type: a [`Nin`] whose kind is [`NinKind::Fhn`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FhNumber(Nin);

impl FhNumber {
    /// Reads a help number: 11 digits, first digit 8 or 9, both control digits by the 1964 rule, no date inside.
    ///
    /// # Errors
    /// [`NinError`] of the first rule broken; [`NinError::WrongKind`] for a number that is valid but no help number.
    pub fn parse(text: &str) -> Result<Self, NinError> {
        let nin = Nin::parse(text)?;
        match nin.kind() {
            NinKind::Fhn => Ok(Self(nin)),
            NinKind::Fnr | NinKind::Dnr => Err(NinError::WrongKind),
        }
    }

    /// The number as a general person identifier.
    #[must_use]
    pub fn nin(self) -> Nin {
        self.0
    }
}

impl fmt::Debug for FhNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why an organisation, personnel or unit number was refused. The texts never repeat the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Number of characters outside the allowed range.
    #[error("{what} has {found} characters, expected {expected}")]
    Length {
        /// Which identifier.
        what: &'static str,
        /// Characters found.
        found: usize,
        /// What the rule asks for.
        expected: &'static str,
    },
    /// A character other than 0-9.
    #[error("{what} has a character other than 0-9 at position {position}")]
    NotDigits {
        /// Which identifier.
        what: &'static str,
        /// 1-based position of the first such character.
        position: usize,
    },
    /// Zero or outside the series.
    #[error("{what} is outside its range ({expected})")]
    Range {
        /// Which identifier.
        what: &'static str,
        /// What the rule asks for.
        expected: &'static str,
    },
    /// The control digit does not fit.
    #[error("the control digit of the {what} is wrong")]
    CheckDigit {
        /// Which identifier.
        what: &'static str,
    },
    /// Not a UUID.
    #[error(
        "{what} is not a UUID (8-4-4-4-12 hexadecimal digits), for example 0f0c6a52-8f3b-4d0e-9f57-3f8d0c6a1b2e"
    )]
    NotUuid {
        /// Which identifier.
        what: &'static str,
    },
}

fn digits_only(what: &'static str, text: &str) -> Result<(), IdError> {
    match text.chars().position(|c| !c.is_ascii_digit()) {
        Some(at) => Err(IdError::NotDigits {
            what,
            position: at + 1,
        }),
        None => Ok(()),
    }
}

fn number(
    what: &'static str,
    text: &str,
    max_len: usize,
    expected: &'static str,
) -> Result<u32, IdError> {
    let found = text.chars().count();
    if found == 0 || found > max_len {
        return Err(IdError::Length {
            what,
            found,
            expected,
        });
    }
    digits_only(what, text)?;
    match text.parse::<u32>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(IdError::Range { what, expected }),
    }
}

/// Organisation number of the Brønnøysund register: nine digits, the last a modulus-11 control digit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Orgnr(u32);

impl Orgnr {
    const WHAT: &'static str = "organisation number";
    const WEIGHTS: [u32; 8] = [3, 2, 7, 6, 5, 4, 3, 2];

    /// Reads and checks an organisation number.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, control digit.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let org = Self::parse_form(text)?;
        if org.check_digit_ok() {
            Ok(org)
        } else {
            Err(IdError::CheckDigit { what: Self::WHAT })
        }
    }

    /// Reads the form only (nine digits). Test organisations of the sector sometimes carry numbers that fail the
    /// check, so a sandbox accepts them and warns when [`Self::check_digit_ok`] is false.
    ///
    /// # Errors
    /// [`IdError`]: length, digits.
    pub fn parse_form(text: &str) -> Result<Self, IdError> {
        let found = text.chars().count();
        if found != 9 {
            return Err(IdError::Length {
                what: Self::WHAT,
                found,
                expected: "9 digits",
            });
        }
        digits_only(Self::WHAT, text)?;
        match text.parse() {
            // all zeros would pass the control digit
            Ok(n) if n > 0 => Ok(Self(n)),
            _ => Err(IdError::Range {
                what: Self::WHAT,
                expected: "9 digits, not all 0",
            }),
        }
    }

    /// Builds the number from its first eight digits; `None` when the control digit would be 10 or the digits do not fit.
    #[must_use]
    pub fn build(first_eight: u32) -> Option<Self> {
        if first_eight > 99_999_999 {
            return None;
        }
        check_digit(first_eight).map(|c| Self(first_eight * 10 + c))
    }

    /// Whether the ninth digit fits the first eight.
    #[must_use]
    pub fn check_digit_ok(self) -> bool {
        check_digit(self.0 / 10) == Some(self.0 % 10)
    }

    /// Whether the number stands in a series that only synthetic organisations use (first digit 2 or 3).
    #[must_use]
    pub fn is_synthetic(self) -> bool {
        matches!(self.0 / 100_000_000, 2 | 3)
    }

    /// The number as an integer.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

fn check_digit(first_eight: u32) -> Option<u32> {
    let mut sum = 0;
    let mut rest = first_eight;
    for weight in Orgnr::WEIGHTS.iter().rev() {
        sum += weight * (rest % 10);
        rest /= 10;
    }
    let control = (11 - sum % 11) % 11;
    (control < 10).then_some(control)
}

impl fmt::Display for Orgnr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:09}", self.0)
    }
}

/// Number of a person in the register of health personnel: 1 to 9 digits, no control digit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HprNumber(pub u32);

impl HprNumber {
    /// Reads an HPR number; leading zeros are allowed and dropped.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, zero.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        number("HPR number", text, 9, "1 to 9 digits, not 0").map(Self)
    }
}

/// HER-id: key of a communication party in the address register, level 1 (organisation) or 2 (service, person).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HerId(pub u32);

impl HerId {
    /// Reads a HER-id.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, zero.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        number("HER-id", text, 9, "1 to 9 digits, not 0").map(Self)
    }
}

/// RESH-id: unit of the specialist health service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ReshId(pub u32);

impl ReshId {
    /// Reads a RESH-id.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, zero.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        number("RESH-id", text, 9, "1 to 9 digits, not 0").map(Self)
    }
}

/// AKO: licence number of a pharmacy, four digits from 1001.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AkoNumber(pub u32);

impl AkoNumber {
    /// Reads a pharmacy licence number.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, below 1001.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let what = "pharmacy licence number";
        let expected = "4 digits from 1001";
        let n = number(what, text, 4, expected)?;
        if n < 1001 {
            return Err(IdError::Range { what, expected });
        }
        Ok(Self(n))
    }
}

/// DUF number of the immigration authorities: 12 digits, year first. Its control digits are not published, so only
/// length, digits and year (1950–2099) are checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DufNumber(u64);

impl DufNumber {
    /// Reads a DUF number.
    ///
    /// # Errors
    /// [`IdError`]: length, digits, year.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let what = "DUF number";
        let expected = "12 digits, the first four a year";
        let found = text.chars().count();
        if found != 12 {
            return Err(IdError::Length {
                what,
                found,
                expected,
            });
        }
        digits_only(what, text)?;
        match text.parse::<u64>() {
            Ok(n) if (1950..2100).contains(&(n / 100_000_000)) => Ok(Self(n)),
            _ => Err(IdError::Range { what, expected }),
        }
    }

    /// The twelve digits.
    #[must_use]
    pub fn digits(self) -> String {
        format!("{:012}", self.0)
    }
}

impl fmt::Debug for DufNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DufNumber(****)")
    }
}

/// Message id (`MsgId`): a UUID in the text form of RFC 9562, compared without regard to case, kept in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MsgId(Box<str>);

impl MsgId {
    /// Reads a message id. Any UUID version is accepted, upper or lower case; braces, `urn:uuid:` and missing hyphens
    /// are not, since receivers compare the text. The nil UUID is refused: it identifies nothing.
    ///
    /// # Errors
    /// [`IdError::NotUuid`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let refused = IdError::NotUuid { what: "MsgId" };
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(refused);
        }
        let mut zero = true;
        for (at, b) in bytes.iter().enumerate() {
            let fits = match at {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => {
                    zero &= *b == b'0';
                    b.is_ascii_hexdigit()
                }
            };
            if !fits {
                return Err(refused);
            }
        }
        if zero {
            return Err(refused);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The id in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! display_number {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}
display_number!(HprNumber, HerId, ReshId, AkoNumber);

macro_rules! text_forms {
    ($($t:ty, $e:ty);*) => {$(
        impl FromStr for $t {
            type Err = $e;
            fn from_str(s: &str) -> Result<Self, $e> {
                Self::parse(s)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_forms!(Orgnr, IdError; HprNumber, IdError; MsgId, IdError; AkoNumber, IdError; Nin, NinError);

macro_rules! serialize_text {
    ($($t:ty),*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    )*};
}
serialize_text!(Orgnr, HprNumber, MsgId, AkoNumber);

macro_rules! number_forms {
    ($($t:ident),*) => {$(
        impl FromStr for $t {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::parse(s)
            }
        }
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_u32(self.0)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                u32::deserialize(d).map($t)
            }
        }
    )*};
}
number_forms!(HerId, ReshId);

#[cfg(test)]
mod tests;
