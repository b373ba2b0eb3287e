//! UCUM units: enough of the grammar and table to compare and convert what clinical data use.
//!
//! Units are parsed by the UCUM grammar (terms, prefixes, exponents, annotations) and reduced to a factor and base
//! dimensions, exactly. `mol` and the arbitrary units (`[iU]`) are dimensions of their own here, so that counts, amounts
//! and international units are never mixed. `Cel` and `[degF]` are read on the scale of `K`, by themselves; in a product they
//! are differences of temperature. Other special units (`[pH]`) stand for themselves.

use rust_decimal::Decimal;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A unit in canonical form: `factor` × the product of base symbols with exponents, from a zero of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// What is added to a value before the factor: where the zero of `Cel` and `[degF]` lies.
    offset: Decimal,
    num: Decimal,
    den: Decimal,
    exp10: i32,
    dims: BTreeMap<&'static str, i32>,
}

/// (symbol, takes a metric prefix, numerator, denominator, power of ten, definition)
type Atom = (&'static str, bool, i64, i64, i32, &'static str);

const ATOMS: &[Atom] = &[
    ("m", true, 1, 1, 0, "#m"),
    ("s", true, 1, 1, 0, "#s"),
    ("g", true, 1, 1, 0, "#g"),
    ("rad", true, 1, 1, 0, "#rad"),
    ("K", true, 1, 1, 0, "#K"),
    ("C", true, 1, 1, 0, "#C"),
    ("cd", true, 1, 1, 0, "#cd"),
    ("mol", true, 1, 1, 0, "#mol"),
    ("10*", false, 10, 1, 0, ""),
    ("10^", false, 10, 1, 0, ""),
    ("[pi]", false, 3_141_592_653_589_793, 1, -15, ""),
    ("%", false, 1, 1, -2, ""),
    ("[ppth]", false, 1, 1, -3, ""),
    ("[ppm]", false, 1, 1, -6, ""),
    ("[ppb]", false, 1, 1, -9, ""),
    ("[pptr]", false, 1, 1, -12, ""),
    ("sr", true, 1, 1, 0, "rad2"),
    ("Hz", true, 1, 1, 0, "s-1"),
    ("N", true, 1, 1, 3, "g.m.s-2"),
    ("Pa", true, 1, 1, 3, "g.m-1.s-2"),
    ("J", true, 1, 1, 3, "g.m2.s-2"),
    ("W", true, 1, 1, 3, "g.m2.s-3"),
    ("A", true, 1, 1, 0, "C.s-1"),
    ("V", true, 1, 1, 3, "g.m2.s-2.C-1"),
    ("F", true, 1, 1, -3, "C2.s2.g-1.m-2"),
    ("Ohm", true, 1, 1, 3, "g.m2.s-1.C-2"),
    ("S", true, 1, 1, -3, "g-1.m-2.s.C2"),
    ("Wb", true, 1, 1, 3, "g.m2.s-1.C-1"),
    ("T", true, 1, 1, 3, "g.s-1.C-1"),
    ("H", true, 1, 1, 3, "g.m2.C-2"),
    ("lm", true, 1, 1, 0, "cd.rad2"),
    ("lx", true, 1, 1, 0, "cd.rad2.m-2"),
    ("Bq", true, 1, 1, 0, "s-1"),
    ("Gy", true, 1, 1, 0, "m2.s-2"),
    ("Sv", true, 1, 1, 0, "m2.s-2"),
    ("kat", true, 1, 1, 0, "mol.s-1"),
    ("U", true, 1, 60, -6, "mol.s-1"),
    ("deg", false, 17_453_292_519_943_295, 1, -18, "rad"),
    ("gon", false, 15_707_963_267_948_966, 1, -18, "rad"),
    ("'", false, 17_453_292_519_943_295, 60, -18, "rad"),
    ("''", false, 17_453_292_519_943_295, 3600, -18, "rad"),
    ("l", true, 1, 1, -3, "m3"),
    ("L", true, 1, 1, -3, "m3"),
    ("ar", true, 1, 1, 2, "m2"),
    ("min", false, 60, 1, 0, "s"),
    ("h", false, 3600, 1, 0, "s"),
    ("d", false, 86_400, 1, 0, "s"),
    ("wk", false, 604_800, 1, 0, "s"),
    ("a_t", false, 36_524_219, 1, -5, "d"),
    ("a_j", false, 36_525, 1, -2, "d"),
    ("a_g", false, 3_652_425, 1, -4, "d"),
    ("a", false, 36_525, 1, -2, "d"),
    ("mo_s", false, 2_953_059, 1, -5, "d"),
    ("mo_j", false, 304_375, 1, -4, "d"),
    ("mo_g", false, 30_436_875, 1, -6, "d"),
    ("mo", false, 304_375, 1, -4, "d"),
    ("t", true, 1, 1, 6, "g"),
    ("bar", true, 1, 1, 5, "Pa"),
    ("u", true, 16_605_402, 1, -31, "g"),
    ("eV", true, 160_217_733, 1, -27, "J"),
    ("AU", false, 149_597_870_691, 1, 0, "m"),
    ("[in_i]", false, 254, 1, -4, "m"),
    ("[ft_i]", false, 3048, 1, -4, "m"),
    ("[yd_i]", false, 9144, 1, -4, "m"),
    ("[mi_i]", false, 1_609_344, 1, -3, "m"),
    ("[nmi_i]", false, 1852, 1, 0, "m"),
    ("[lb_av]", false, 45_359_237, 1, -5, "g"),
    ("[oz_av]", false, 45_359_237, 16, -5, "g"),
    ("[gr]", false, 6_479_891, 1, -8, "g"),
    ("[st_av]", false, 635_029_318, 1, -5, "g"),
    ("cal", true, 4184, 1, -3, "J"),
    ("[Cal]", false, 4184, 1, 0, "J"),
    ("cal_th", true, 4184, 1, -3, "J"),
    ("m[Hg]", true, 133_322, 1, 0, "Pa"),
    ("m[H2O]", true, 980_665, 1, -2, "Pa"),
    ("atm", false, 101_325, 1, 0, "Pa"),
    ("[psi]", false, 6_894_757_293_168, 1, -9, "Pa"),
    ("dyn", true, 1, 1, -5, "N"),
    ("erg", true, 1, 1, -7, "J"),
    ("P", true, 1, 1, -1, "Pa.s"),
    ("St", true, 1, 1, -4, "m2.s-1"),
    ("Ci", true, 37, 1, 9, "Bq"),
    ("RAD", true, 1, 1, -2, "Gy"),
    ("REM", true, 1, 1, -2, "Sv"),
    ("R", true, 258, 1, -6, "C.kg-1"),
    ("kn", false, 1852, 3600, 0, "m.s-1"),
    ("[kn_i]", false, 1852, 3600, 0, "m.s-1"),
    ("dB", false, 1, 1, 0, "#dB"),
    ("eq", true, 1, 1, 0, "mol"),
    ("osm", true, 1, 1, 0, "mol"),
    ("[drp]", false, 1, 20, -6, "m3"),
    ("[tsp_us]", false, 492_892_159_375, 1, -17, "m3"),
    ("[tbs_us]", false, 1_478_676_478_125, 1, -17, "m3"),
    ("[foz_us]", false, 295_735_295_625, 1, -16, "m3"),
    ("[pt_us]", false, 473_176_473, 1, -12, "m3"),
    ("[gal_us]", false, 3_785_411_784, 1, -12, "m3"),
    ("[iU]", true, 1, 1, 0, "#[iU]"),
    ("[IU]", true, 1, 1, 0, "#[iU]"),
    ("[arb'U]", false, 1, 1, 0, "#[arb'U]"),
    ("[USP'U]", false, 1, 1, 0, "#[USP'U]"),
    ("[GPL'U]", false, 1, 1, 0, "#[GPL'U]"),
    ("[MPL'U]", false, 1, 1, 0, "#[MPL'U]"),
    ("[APL'U]", false, 1, 1, 0, "#[APL'U]"),
    ("[CFU]", false, 1, 1, 0, "#[CFU]"),
    ("[FFU]", false, 1, 1, 0, "#[FFU]"),
    ("[PFU]", false, 1, 1, 0, "#[PFU]"),
    ("[pH]", false, 1, 1, 0, "#[pH]"),
    ("Cel", true, 1, 1, 0, "K"),
    ("[degF]", false, 5, 9, 0, "K"),
    ("B", true, 1, 1, 0, "#B"),
    ("Np", true, 1, 1, 0, "#Np"),
    ("[diop]", false, 1, 1, 0, "m-1"),
    ("[APGAR]", false, 1, 1, 0, "#[APGAR]"),
    ("bit", true, 1, 1, 0, "#bit"),
    ("By", true, 8, 1, 0, "bit"),
    ("[HPF]", false, 1, 1, 0, "#[HPF]"),
    ("[LPF]", false, 1, 1, 0, "#[LPF]"),
];

/// Zeros of temperature scales, in the unit's own degrees above absolute zero: (symbol, hundredths).
const ZEROS: &[(&str, i64)] = &[("Cel", 27_315), ("[degF]", 45_967)];

const PREFIXES: &[(&str, i32)] = &[
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("da", 1),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];

impl Unit {
    fn one() -> Unit {
        Unit {
            offset: Decimal::ZERO,
            num: Decimal::ONE,
            den: Decimal::ONE,
            exp10: 0,
            dims: BTreeMap::new(),
        }
    }

    fn base(symbol: &'static str) -> Unit {
        let mut u = Unit::one();
        u.dims.insert(symbol, 1);
        u
    }

    fn is_one(&self) -> bool {
        *self == Unit::one()
    }

    /// Product with the other unit raised to a power. Only what stands alone keeps its zero.
    fn times(&self, other: &Unit, power: i32) -> Option<Unit> {
        if other.is_one() {
            return Some(self.clone());
        }
        if self.is_one() && power == 1 {
            return Some(other.clone());
        }
        let mut out = self.clone();
        out.offset = Decimal::ZERO;
        for _ in 0..power.unsigned_abs() {
            let (n, d) = if power > 0 {
                (other.num, other.den)
            } else {
                (other.den, other.num)
            };
            out.num = out.num.checked_mul(n)?.normalize();
            out.den = out.den.checked_mul(d)?.normalize();
        }
        out.exp10 = out.exp10.checked_add(other.exp10.checked_mul(power)?)?;
        for (s, e) in &other.dims {
            let total = out.dims.get(s).copied().unwrap_or(0) + e * power;
            if total == 0 {
                out.dims.remove(s);
            } else {
                out.dims.insert(s, total);
            }
        }
        Some(out)
    }

    /// Reads a UCUM code (case sensitive). `None` when it is not one that this table knows.
    pub fn parse(code: &str) -> Option<Unit> {
        if code.len() > 64 {
            return None;
        }
        let mut p = Parser {
            rest: code,
            depth: 0,
        };
        let u = p.term()?;
        p.rest.is_empty().then_some(u)
    }

    /// The power of ten that is the whole factor, when it is one.
    pub fn power_of_ten(&self) -> Option<i32> {
        (self.num == Decimal::ONE && self.den == Decimal::ONE && self.offset.is_zero())
            .then_some(self.exp10)
    }

    /// The unit of the canonical form, e.g. `g.m-3`, `1` when dimensionless.
    pub fn canonical(&self) -> String {
        if self.dims.is_empty() {
            return "1".into();
        }
        let part = |(s, e): (&&str, &i32)| {
            if *e == 1 {
                (*s).to_owned()
            } else {
                format!("{s}{e}")
            }
        };
        self.dims.iter().map(part).collect::<Vec<_>>().join(".")
    }

    /// Whether values of the two units can be compared.
    pub fn same_dimension(&self, other: &Unit) -> bool {
        self.dims == other.dims
    }

    /// A value of this unit as (coefficient, power of ten) of the canonical unit.
    pub fn scale(&self, value: Decimal) -> Option<(Decimal, i32)> {
        Some((
            value
                .checked_add(self.offset)?
                .checked_mul(self.num)?
                .checked_div(self.den)?
                .normalize(),
            self.exp10,
        ))
    }

    /// The factor of this unit as decimal text of the canonical unit, e.g. `1e-3`; exact when the factor is a finite decimal.
    pub fn factor(&self) -> Option<(Decimal, i32)> {
        self.scale(Decimal::ONE)
    }

    /// Product and quotient of units.
    pub fn combine(&self, other: &Unit, divide: bool) -> Option<Unit> {
        let unit = self.times(other, if divide { -1 } else { 1 })?;
        Some(Unit {
            offset: Decimal::ZERO,
            ..unit
        })
    }
}

/// A parsed unit with its canonical text.
#[derive(Debug)]
pub struct Known {
    /// The unit.
    pub unit: Unit,
    /// [`Unit::canonical`]
    pub canonical: String,
}

/// [`Unit::parse`] remembered per thread: documents repeat few units many times.
pub fn known(code: &str) -> Option<Rc<Known>> {
    const KEPT: usize = 512;
    thread_local! {
        static CACHE: RefCell<HashMap<Box<str>, Option<Rc<Known>>>> = RefCell::new(HashMap::new());
    }
    CACHE.with(|c| {
        if let Some(hit) = c.borrow().get(code) {
            return hit.clone();
        }
        let parsed = Unit::parse(code).map(|unit| {
            Rc::new(Known {
                canonical: unit.canonical(),
                unit,
            })
        });
        if code.len() <= 64 {
            let mut cache = c.borrow_mut();
            if cache.len() >= KEPT {
                cache.clear();
            }
            cache.insert(Box::from(code), parsed.clone());
        }
        parsed
    })
}

struct Parser<'c> {
    rest: &'c str,
    depth: usize,
}

impl Parser<'_> {
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(r) => {
                self.rest = r;
                true
            }
            None => false,
        }
    }

    fn term(&mut self) -> Option<Unit> {
        self.depth += 1;
        if self.depth > 8 {
            return None;
        }
        let mut out = if self.eat('/') {
            Unit::one().times(&self.component()?, -1)?
        } else {
            self.component()?
        };
        loop {
            if self.eat('.') {
                out = out.times(&self.component()?, 1)?;
            } else if self.eat('/') {
                out = out.times(&self.component()?, -1)?;
            } else {
                self.depth -= 1;
                return Some(out);
            }
        }
    }

    fn component(&mut self) -> Option<Unit> {
        if self.eat('(') {
            let u = self.term()?;
            return self.eat(')').then_some(u);
        }
        if self.rest.starts_with('{') {
            self.annotation()?;
            return Some(Unit::one());
        }
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && !self.rest.starts_with("10*") && !self.rest.starts_with("10^") {
            let (n, rest) = self.rest.split_at_checked(digits)?;
            self.rest = rest;
            let n: Decimal = n.parse().ok()?;
            if n.is_zero() {
                return None;
            }
            return Some(Unit {
                num: n,
                ..Unit::one()
            });
        }
        let unit = self.atom()?;
        let sign = if self.eat('-') {
            -1
        } else {
            i32::from(self.eat('+')).max(1)
        };
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let power = if digits > 0 {
            let (n, rest) = self.rest.split_at_checked(digits)?;
            self.rest = rest;
            sign * n.parse::<i32>().ok().filter(|n| (1..=30).contains(n))?
        } else if sign < 0 {
            return None;
        } else {
            1
        };
        if self.rest.starts_with('{') {
            self.annotation()?;
        }
        Unit::one().times(&unit, power)
    }

    fn annotation(&mut self) -> Option<()> {
        let end = self.rest.find('}')?;
        self.rest = self.rest.get(end + 1..)?;
        Some(())
    }

    /// A unit symbol with an optional prefix: the whole symbol first, then prefix and symbol.
    fn atom(&mut self) -> Option<Unit> {
        let mut end = 0;
        let mut bracket = false;
        for (i, c) in self.rest.char_indices() {
            match c {
                '[' => bracket = true,
                ']' => bracket = false,
                '.' | '/' | '(' | ')' | '{' if !bracket => break,
                '+' | '-' if !bracket => break,
                '0'..='9' if !bracket && !self.rest.starts_with("10") => break,
                _ => {}
            }
            end = i + c.len_utf8();
            if !bracket && matches!(self.rest.get(..end), Some("10*" | "10^")) {
                break;
            }
        }
        let (symbol, rest) = self.rest.split_at_checked(end)?;
        let unit = lookup(symbol)?;
        self.rest = rest;
        Some(unit)
    }
}

fn lookup(symbol: &str) -> Option<Unit> {
    if let Some(a) = ATOMS.iter().find(|a| a.0 == symbol) {
        return define(a);
    }
    PREFIXES.iter().find_map(|(p, exp)| {
        let rest = symbol.strip_prefix(p)?;
        let a = ATOMS.iter().find(|a| a.0 == rest && a.1)?;
        let mut u = define(a)?;
        u.exp10 += exp;
        if !u.offset.is_zero() {
            // The zero in steps of the prefixed unit; steps beyond a decimal's digits have no use.
            let steps = Decimal::from_scientific(&format!("1e{}", -exp)).ok()?;
            u.offset = u.offset.checked_mul(steps)?;
        }
        Some(u)
    })
}

fn define(atom: &Atom) -> Option<Unit> {
    let (symbol, _, num, den, exp10, of) = *atom;
    let base = match of.strip_prefix('#') {
        Some(symbol) => Unit::base(symbol),
        None if of.is_empty() => Unit::one(),
        None => Unit::parse(of)?,
    };
    let own = Unit {
        num: Decimal::from(num),
        den: Decimal::from(den),
        exp10,
        ..Unit::one()
    };
    let mut unit = own.times(&base, 1)?;
    if let Some((_, hundredths)) = ZEROS.iter().find(|(s, _)| *s == symbol) {
        unit.offset = Decimal::new(*hundredths, 2);
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_definition_resolves() {
        for a in ATOMS {
            assert!(define(a).is_some(), "{}", a.0);
        }
    }

    #[test]
    fn same_quantity_in_two_units() {
        for (a, ua, b, ub) in [
            ("5.4", "mg", "0.0054", "g"),
            ("1", "mmol/L", "1", "mol/m3"),
            ("120", "mm[Hg]", "15.99864", "kPa"),
            ("1", "10*9/L", "1000", "10*6/L"),
            ("2", "h", "7200", "s"),
            ("1", "kg/m2", "1000", "g.m-2"),
            ("60", "/min", "1", "Hz"),
            ("1", "U/L", "1", "umol/min/L"),
            ("1", "ug{creat}", "1000", "ng"),
            ("37", "Cel", "310.15", "K"),
            ("-5", "Cel", "23", "[degF]"),
            ("98.6", "[degF]", "37", "Cel{oral}"),
            ("37000", "mCel", "37", "Cel"),
            ("6", "Cel/min", "0.1", "K/s"),
            ("9", "[degF]/h", "5", "Cel/h"),
        ] {
            let value = |v: &str, u: &str| {
                let (c, e) = Unit::parse(u)
                    .unwrap_or_else(|| panic!("{u}"))
                    .scale(v.parse().unwrap())
                    .unwrap();
                crate::decimal::Num::parse(&format!("{c}e{e}")).unwrap()
            };
            assert_eq!(value(a, ua), value(b, ub), "{a} {ua} = {b} {ub}");
            assert!(
                Unit::parse(ua)
                    .unwrap()
                    .same_dimension(&Unit::parse(ub).unwrap())
            );
        }
        assert!(
            !Unit::parse("[iU]")
                .unwrap()
                .same_dimension(&Unit::parse("U").unwrap())
        );
    }

    #[test]
    fn what_is_not_ucum() {
        for text in ["", "mgg", "foo", "m//s", "m-", "(m", "m)", "{x", "0", "m99"] {
            assert!(Unit::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-zA-Z0-9.()/{}*^'%\\[\\]-]{0,30}") {
            if let Some(u) = Unit::parse(&text) {
                let _ = (u.canonical(), u.factor());
            }
        }
    }
}
