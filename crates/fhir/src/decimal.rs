//! Exact decimals from their written text: comparison, implicit precision, order-preserving bytes.
//!
//! FHIR gives written precision a meaning (`100` and `100.0` search different ranges), so the text is the truth and
//! binary floating point is never used (R4 search, number; spec fhir-server §3.11).

use std::cmp::Ordering;

/// Digits kept for search keys; FHIR asks for 18.
const KEY_DIGITS: usize = 40;
/// Digits accepted where arithmetic on the mantissa is needed.
const MAX_ARITH_DIGITS: usize = 34;
const MAX_POINT: i32 = 16_000;

/// A decimal number ±0.d₁d₂… × 10^point without leading or trailing zero digits. Equality is numeric.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Num {
    neg: bool,
    digits: Vec<u8>,
    point: i32,
}

/// Number text split as written: sign, digits without the point, exponent of the last digit.
struct Written {
    neg: bool,
    digits: Vec<u8>,
    unit: i32,
    fraction_digits: i32,
    exponent: Option<i32>,
}

fn written(text: &str) -> Option<Written> {
    let (neg, rest) = match text.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((m, e)) => {
            let digits = e.strip_prefix(['+', '-']).unwrap_or(e);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let size = digits
                .parse::<i32>()
                .unwrap_or(MAX_POINT * 2)
                .min(MAX_POINT * 2);
            (m, Some(if e.starts_with('-') { -size } else { size }))
        }
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty()
        || (mantissa.contains('.') && fraction.is_empty())
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let fraction_digits = i32::try_from(fraction.len()).ok()?;
    Some(Written {
        neg,
        digits: whole
            .bytes()
            .chain(fraction.bytes())
            .map(|b| b - b'0')
            .collect(),
        unit: exponent.unwrap_or(0) - fraction_digits,
        fraction_digits,
        exponent,
    })
}

impl Num {
    /// Zero.
    pub fn zero() -> Num {
        Num {
            neg: false,
            digits: Vec::new(),
            point: 0,
        }
    }

    /// Reads a number as JSON, FHIR decimal or a search value writes it; `None` when it is not a number.
    pub fn parse(text: &str) -> Option<Num> {
        let w = written(text)?;
        Some(Num::new(w.neg, &w.digits, w.unit))
    }

    fn new(neg: bool, digits: &[u8], unit: i32) -> Num {
        let lead = digits.iter().take_while(|d| **d == 0).count();
        let body = digits.get(lead..).unwrap_or_default();
        let trail = body.iter().rev().take_while(|d| **d == 0).count();
        let body = body.get(..body.len() - trail).unwrap_or_default();
        if body.is_empty() {
            return Num::zero();
        }
        let len = i32::try_from(digits.len() - lead).unwrap_or(MAX_POINT);
        Num {
            neg,
            digits: body.to_vec(),
            point: unit.saturating_add(len).clamp(-MAX_POINT, MAX_POINT),
        }
    }

    fn from_int(mantissa: i128, unit: i32) -> Num {
        let digits: Vec<u8> = mantissa
            .unsigned_abs()
            .to_string()
            .bytes()
            .map(|b| b - b'0')
            .collect();
        Num::new(mantissa < 0, &digits, unit)
    }

    fn mantissa(w: &Written) -> Option<i128> {
        if w.digits.len() > MAX_ARITH_DIGITS {
            return None;
        }
        let m = w.digits.iter().fold(0i128, |a, d| a * 10 + i128::from(*d));
        Some(if w.neg { -m } else { m })
    }

    /// Half-open range [low, high) that the written precision stands for: `100` = [99.5, 100.5), `1e2` = [95, 105).
    /// `None` when the text is not a number or has more than 34 digits.
    pub fn implicit_range(text: &str) -> Option<(Num, Num)> {
        let mut w = written(text)?;
        // R4 reads the exponent form as if at least one fraction digit were written: 1e2 = 1.0e2.
        if w.exponent.is_some() && w.fraction_digits == 0 {
            w.digits.push(0);
            w.unit -= 1;
        }
        let m = Num::mantissa(&w)?;
        Some((
            Num::from_int(m * 10 - 5, w.unit - 1),
            Num::from_int(m * 10 + 5, w.unit - 1),
        ))
    }

    /// Range of `ap`: ten per cent either side, lower first.
    pub fn approximate_range(text: &str) -> Option<(Num, Num)> {
        let w = written(text)?;
        let m = Num::mantissa(&w)?;
        let (a, b) = (
            Num::from_int(m * 9, w.unit - 1),
            Num::from_int(m * 11, w.unit - 1),
        );
        Some(if m < 0 { (b, a) } else { (a, b) })
    }

    /// The number times a power of ten.
    #[must_use]
    pub fn shifted(&self, power: i32) -> Num {
        if self.digits.is_empty() {
            return Num::zero();
        }
        Num {
            neg: self.neg,
            digits: self.digits.clone(),
            point: self
                .point
                .saturating_add(power)
                .clamp(-MAX_POINT, MAX_POINT),
        }
    }

    /// The number in scientific notation, e.g. `-54e-1`.
    pub fn to_text(&self) -> String {
        if self.digits.is_empty() {
            return "0".into();
        }
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let unit = self.point - i32::try_from(self.digits.len()).unwrap_or(0);
        format!("{}{digits}e{unit}", if self.neg { "-" } else { "" })
    }

    /// Appends self-delimiting bytes whose order is the numeric order (at most 24 bytes).
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.digits.is_empty() {
            out.push(0x80);
            return;
        }
        let flip = if self.neg { 0xFF } else { 0x00 };
        out.push(if self.neg { 0x40 } else { 0xC0 });
        let biased = u16::try_from(self.point + 0x4000).unwrap_or(0);
        out.extend(biased.to_be_bytes().map(|b| b ^ flip));
        for pair in self
            .digits
            .get(..self.digits.len().min(KEY_DIGITS))
            .unwrap_or_default()
            .chunks(2)
        {
            let value = match pair {
                [a, b] => a * 10 + b,
                [a] => a * 10,
                _ => 0,
            };
            out.push((value + 1) ^ flip);
        }
        out.push(flip);
    }

    /// Below every number.
    pub fn encode_min(out: &mut Vec<u8>) {
        out.push(0x00);
    }

    /// Above every number.
    pub fn encode_max(out: &mut Vec<u8>) {
        out.push(0xFF);
    }
}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |n: &Num| {
            if n.digits.is_empty() {
                0
            } else if n.neg {
                -1
            } else {
                1
            }
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal => {}
            o => return o,
        }
        let size = self
            .point
            .cmp(&other.point)
            .then_with(|| self.digits.cmp(&other.digits));
        if self.neg { size.reverse() } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn implicit_precision_follows_the_written_form() {
        for (text, low, high) in [
            ("100", "99.5", "100.5"),
            ("100.00", "99.995", "100.005"),
            ("1e2", "95", "105"),
            ("1.0e2", "95", "105"),
            ("0", "-0.5", "0.5"),
            ("-5.4", "-5.45", "-5.35"),
            ("5.40", "5.395", "5.405"),
            ("2E-3", "0.00195", "0.00205"),
        ] {
            let (l, h) = Num::implicit_range(text).unwrap();
            assert_eq!(
                (l, h),
                (Num::parse(low).unwrap(), Num::parse(high).unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn not_numbers() {
        for text in [
            "", "-", "1.", ".5", "1e", "e5", "1e+", "0x1", "1 ", "NaN", "1_0",
        ] {
            assert!(Num::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_order_as_numbers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, ea in -6i32..6, eb in -6i32..6) {
            let (x, y) = (Num::parse(&format!("{a}e{ea}")).unwrap(), Num::parse(&format!("{b}e{eb}")).unwrap());
            let (mut bx, mut by) = (Vec::new(), Vec::new());
            x.encode(&mut bx);
            y.encode(&mut by);
            let exact = (i128::from(a) * 10i128.pow(u32::try_from(ea + 6).unwrap())).cmp(&(i128::from(b) * 10i128.pow(u32::try_from(eb + 6).unwrap())));
            prop_assert_eq!(x.cmp(&y), exact);
            prop_assert_eq!(bx.cmp(&by), exact);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = Num::parse(&text);
            let _ = Num::implicit_range(&text);
            let _ = Num::approximate_range(&text);
        }
    }
}
