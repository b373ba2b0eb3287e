//! Mathematical functions. Exact decimals where the result is one; roots, logarithms and powers go through f64.

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};

use super::eval::{EvalError, Res};
use super::func::Func;
use super::value::{Item, Quantity};

fn number(i: &Item<'_>) -> Option<Decimal> {
    match i.system() {
        Item::Int(n) => Some(Decimal::from(n)),
        Item::Dec(d) => Some(d),
        _ => None,
    }
}

fn float<'a>(v: f64) -> Option<Item<'a>> {
    if v.is_finite() {
        Decimal::from_f64(v).map(|d| Item::Dec(d.normalize()))
    } else {
        None
    }
}

/// Applies a function to a single item; `None` is an empty result.
pub(super) fn apply<'a>(
    func: Func,
    item: &Item<'a>,
    arg: Option<&Item<'a>>,
) -> Res<Option<Item<'a>>> {
    let system = item.system();
    if let (Func::Abs, Item::Quantity(q)) = (func, &system) {
        return Ok(Some(Item::Quantity(Quantity {
            value: q.value.abs(),
            ..q.clone()
        })));
    }
    let Some(v) = number(&system) else {
        return Err(EvalError::Type(format!("{}() takes a number", func.name())));
    };
    let whole = matches!(system, Item::Int(_));
    let to_int = |d: Decimal| d.to_i64().map(Item::Int);
    let f = v.to_f64().unwrap_or(f64::NAN);
    Ok(match func {
        Func::Abs if whole => to_int(v.abs()),
        Func::Abs => Some(Item::Dec(v.abs())),
        Func::Ceiling => to_int(v.ceil()),
        Func::Floor => to_int(v.floor()),
        Func::Truncate => to_int(v.trunc()),
        Func::Exp => float(f.exp()),
        Func::Ln => float(f.ln()),
        Func::Sqrt => float(f.sqrt()),
        Func::Log => {
            let Some(base) = arg.and_then(number).and_then(|b| b.to_f64()) else {
                return Err(EvalError::Type("log() takes a number".into()));
            };
            float(f.log(base))
        }
        Func::Power => {
            let Some(e) = arg.and_then(number) else {
                return Err(EvalError::Type("power() takes a number".into()));
            };
            match e
                .to_i64()
                .filter(|n| (0..=64).contains(n) && Decimal::from(*n) == e)
            {
                Some(n) => {
                    let exact = (0..n).try_fold(Decimal::ONE, |acc, _| acc.checked_mul(v));
                    if whole && arg.is_some_and(|a| matches!(a.system(), Item::Int(_))) {
                        exact.and_then(to_int)
                    } else {
                        exact.map(Item::Dec)
                    }
                }
                None => float(f.powf(e.to_f64().unwrap_or(f64::NAN))),
            }
        }
        Func::Round => {
            let digits = match arg.map(Item::system) {
                None => 0,
                Some(Item::Int(n)) if (0..=28).contains(&n) => u32::try_from(n).unwrap_or(0),
                Some(_) => return Err(EvalError::Type("round() takes a number of digits".into())),
            };
            Some(Item::Dec(v.round_dp_with_strategy(
                digits,
                rust_decimal::RoundingStrategy::MidpointAwayFromZero,
            )))
        }
        _ => None,
    })
}
