//! Static check: what an expression can never yield on a type, told before it runs.
//!
//! Follows the element definitions through paths and the functions that keep or name a type; anything else is "unknown" and
//! never blamed. Evaluation does not need it: a path that the definitions exclude yields nothing there.

use super::ast::{Ast, Literal, Name, Op, TypeSpec};
use super::func::Func;
use crate::pack::{NameId, Pack, TypeId};

/// Something the definitions exclude.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("FHIRPath: {0}")]
pub struct Excluded(pub String);

/// What an expression can yield.
#[derive(Debug, Clone)]
struct Shape {
    /// FHIR types; `None` = anything.
    types: Option<Vec<TypeId>>,
    /// May be several items.
    many: bool,
    /// The order is fixed.
    ordered: bool,
    /// Never a boolean: what a condition must not be.
    never_boolean: bool,
}

impl Shape {
    fn unknown() -> Shape {
        Shape {
            types: None,
            many: false,
            ordered: true,
            never_boolean: false,
        }
    }

    fn of(types: Vec<TypeId>) -> Shape {
        Shape {
            types: Some(types),
            ..Shape::unknown()
        }
    }
}

type Res = Result<Shape, Excluded>;

struct Checker<'p> {
    pack: &'p Pack,
    context: TypeId,
}

impl super::Expr {
    /// Checks the expression against the definitions for a context type: names that no element has, casts to types that an
    /// element cannot have, `as()` on repeating elements, order taken from what has none.
    pub fn check(&self, pack: &Pack, context: TypeId) -> Result<(), Excluded> {
        let checker = Checker { pack, context };
        checker
            .shape(self.ast(), &Shape::of(vec![context]))
            .map(drop)
    }
}

impl Checker<'_> {
    fn shape(&self, ast: &Ast, this: &Shape) -> Res {
        Ok(match ast {
            Ast::Empty | Ast::Index | Ast::Total => Shape::unknown(),
            Ast::Literal(l) => Shape {
                never_boolean: !matches!(l, Literal::Bool(_)),
                ..Shape::unknown()
            },
            Ast::This => Shape {
                many: false,
                ..this.clone()
            },
            Ast::Constant(name) => match name.as_ref() {
                "resource" | "context" | "rootResource" => self.whole(name),
                _ => Shape::unknown(),
            },
            Ast::Member { base: None, name } => self.first_step(name, this)?,
            Ast::Member {
                base: Some(b),
                name,
            } => {
                let base = self.shape(b, this)?;
                self.member(&base, name)?
            }
            Ast::Item { base, index } => {
                self.shape(index, this)?;
                let base = self.shape(base, this)?;
                in_order(&base, "[ ]")?;
                Shape {
                    many: false,
                    ..base
                }
            }
            Ast::Negate(e) | Ast::Plus(e) => {
                self.shape(e, this)?;
                Shape::unknown()
            }
            Ast::Is(e, _) => {
                self.shape(e, this)?;
                Shape::unknown()
            }
            Ast::As(e, spec) => {
                let base = self.shape(e, this)?;
                self.cast(&base, spec)
            }
            Ast::Binary(op, a, b) => {
                let (x, y) = (self.shape(a, this)?, self.shape(b, this)?);
                match op {
                    Op::Union => join(x, y),
                    _ => Shape::unknown(),
                }
            }
            Ast::Call { base, func, args } => {
                let base = match base {
                    Some(b) => self.shape(b, this)?,
                    None => this.clone(),
                };
                self.call(*func, base, args, this)?
            }
        })
    }

    /// `%resource` and its kin are the context itself when that is a resource.
    fn whole(&self, name: &str) -> Shape {
        if name == "context" || self.pack.is_a(self.context, self.pack.known.resource) {
            let sure = name != "rootResource";
            if sure {
                return Shape::of(vec![self.context]);
            }
        }
        Shape::unknown()
    }

    fn first_step(&self, name: &Name, this: &Shape) -> Res {
        let capital = name.text.starts_with(|c: char| c.is_ascii_uppercase());
        match (&this.types, name.ty) {
            (Some(types), Some(ty)) if capital => {
                if types
                    .iter()
                    .any(|t| self.pack.is_a(*t, ty) || self.pack.is_a(ty, *t))
                {
                    Ok(this.clone())
                } else {
                    Err(Excluded(format!(
                        "the expression begins with {} but is used on {}",
                        name.text,
                        self.names(types)
                    )))
                }
            }
            _ => self.member(this, name),
        }
    }

    fn names(&self, types: &[TypeId]) -> String {
        let names: Vec<&str> = types.iter().map(|t| self.pack.type_name(*t)).collect();
        names.join(" or ")
    }

    fn member(&self, base: &Shape, name: &Name) -> Res {
        let Some(types) = &base.types else {
            return Ok(Shape {
                many: true,
                ordered: base.ordered,
                ..Shape::unknown()
            });
        };
        let mut found = Vec::new();
        let mut known = false;
        let mut many = base.many;
        for ty in types {
            // Abstract types stand for all that derive from them.
            let Some(def) = self.pack.type_of(*ty).filter(|t| !t.is_abstract) else {
                return Ok(Shape {
                    many: true,
                    ..Shape::unknown()
                });
            };
            let elements = def.elements.iter().filter_map(|e| self.pack.element(*e));
            for e in elements.filter(|e| Some(e.name_id) == name.id && e.name_id != NameId::NONE) {
                known = true;
                many |= e.max != Some(1);
                for t in &e.types {
                    if !found.contains(t) {
                        found.push(*t);
                    }
                }
            }
        }
        if known {
            return Ok(Shape {
                types: Some(found),
                many,
                ordered: base.ordered,
                never_boolean: false,
            });
        }
        // `id` and `extension` of primitives, and their value, stand in no list of elements.
        if types.iter().any(|t| self.pack.is_primitive(*t))
            && matches!(name.text.as_ref(), "id" | "extension" | "value")
        {
            return Ok(Shape::unknown());
        }
        Err(Excluded(format!(
            "{} has no element {}",
            self.names(types),
            crate::finding::safe_name(&name.text)
        )))
    }

    fn cast(&self, base: &Shape, spec: &TypeSpec) -> Shape {
        match spec.ty {
            Some(ty) => Shape {
                types: Some(vec![ty]),
                ..base.clone()
            },
            None => Shape::unknown(),
        }
    }

    fn call(&self, func: Func, base: Shape, args: &[Ast], this: &Shape) -> Res {
        let each = Shape {
            many: false,
            ..base.clone()
        };
        match func {
            Func::Where | Func::Exists | Func::All => {
                for a in args {
                    let condition = self.shape(a, &each)?;
                    boolean(&condition, func)?;
                }
                Ok(if func == Func::Where {
                    base
                } else {
                    Shape::unknown()
                })
            }
            Func::Select | Func::Repeat => {
                let Some(a) = args.first() else {
                    return Ok(Shape::unknown());
                };
                if func == Func::Repeat {
                    // The projection meets its own results, whose types are not followed.
                    return Ok(Shape {
                        many: true,
                        ordered: false,
                        ..Shape::unknown()
                    });
                }
                let inner = self.shape(a, &each)?;
                Ok(Shape {
                    many: inner.many || base.many,
                    ordered: inner.ordered && base.ordered,
                    ..inner
                })
            }
            Func::First | Func::Last | Func::Tail | Func::Skip | Func::Take => {
                in_order(&base, func.name())?;
                self.all(args, this)?;
                let many = base.many && !matches!(func, Func::First | Func::Last);
                Ok(Shape { many, ..base })
            }
            Func::Single => Ok(each),
            Func::Distinct | Func::Trace | Func::Intersect | Func::Exclude => {
                self.all(args, &each)?;
                Ok(base)
            }
            Func::As => {
                if base.many && base.types.is_some() {
                    return Err(Excluded(
                        "as() takes a single item; use ofType() on repeating elements".into(),
                    ));
                }
                Ok(self.of_type(&base, args))
            }
            Func::OfType => Ok(self.of_type(&base, args)),
            Func::Children | Func::Descendants => Ok(Shape {
                many: true,
                ordered: false,
                ..Shape::unknown()
            }),
            Func::Extension => {
                self.all(args, this)?;
                Ok(Shape {
                    types: Some(vec![self.pack.known.extension]),
                    many: true,
                    ordered: true,
                    never_boolean: false,
                })
            }
            Func::Iif => {
                if let Some(a) = args.first() {
                    boolean(&self.shape(a, &each)?, func)?;
                }
                let mut out: Option<Shape> = None;
                for a in args.iter().skip(1) {
                    let s = self.shape(a, &each)?;
                    out = Some(match out {
                        Some(o) => join(o, s),
                        None => s,
                    });
                }
                Ok(out.unwrap_or_else(Shape::unknown))
            }
            Func::Union | Func::Combine => {
                let other = match args.first() {
                    Some(a) => self.shape(a, this)?,
                    None => Shape::unknown(),
                };
                Ok(join(base, other))
            }
            // The rest yields system values or depends on values; variables and sort keys see items of their own.
            Func::DefineVariable | Func::Sort | Func::Aggregate | Func::Coalesce => Ok(Shape {
                many: true,
                ..Shape::unknown()
            }),
            _ => {
                if !func.takes_type() {
                    self.all(args, this)?;
                }
                Ok(Shape::unknown())
            }
        }
    }

    fn of_type(&self, base: &Shape, args: &[Ast]) -> Shape {
        match args.first() {
            Some(Ast::Is(_, spec)) => self.cast(base, spec),
            _ => Shape::unknown(),
        }
    }

    fn all(&self, args: &[Ast], this: &Shape) -> Result<(), Excluded> {
        args.iter().try_for_each(|a| self.shape(a, this).map(drop))
    }
}

fn join(a: Shape, b: Shape) -> Shape {
    let types = match (a.types, b.types) {
        (Some(mut x), Some(y)) => {
            x.extend(y);
            Some(x)
        }
        _ => None,
    };
    Shape {
        types,
        many: true,
        // A union is written in an order, and everyone counts on it.
        ordered: a.ordered && b.ordered,
        never_boolean: a.never_boolean && b.never_boolean,
    }
}

fn in_order(base: &Shape, who: &str) -> Result<(), Excluded> {
    if base.ordered {
        return Ok(());
    }
    Err(Excluded(format!(
        "{who} takes items in order, and these have none"
    )))
}

fn boolean(condition: &Shape, func: Func) -> Result<(), Excluded> {
    if condition.never_boolean {
        return Err(Excluded(format!(
            "the condition of {}() is never a boolean",
            func.name()
        )));
    }
    Ok(())
}
