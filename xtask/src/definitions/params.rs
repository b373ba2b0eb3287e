//! Search parameters, cut down to one per resource type, and compartments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};
use fhir::pack::file::{CompartmentFact, ParamFact, TypeFact};
use fhir::path::ast::{Ast, Op};
use fhir::path::func::Func;
use serde_json::Value;

use super::{items, text};

/// One fact per (type, code), in order of type and code so that the file is stable.
pub fn params(
    resources: &[Value],
    types: &[TypeFact],
    ids: &HashMap<(String, String), u32>,
    notes: &mut Vec<String>,
) -> Result<Vec<ParamFact>> {
    let by_url: HashMap<&str, &Value> = resources.iter().map(|r| (text(r, "url"), r)).collect();
    let model = Model {
        types: types.iter().map(|t| (t.name.as_str(), t)).collect(),
    };
    let mut facts: BTreeMap<(String, String), ParamFact> = BTreeMap::new();
    for r in resources {
        for base in items(r, "base").iter().filter_map(Value::as_str) {
            let fact = param(r, base, &by_url, &model)
                .with_context(|| format!("{} on {base}", text(r, "id")))?;
            if fact.types.is_empty() && !text(r, "expression").is_empty() {
                notes.push(format!(
                    "{base}.{}: {} yields nothing in R4, left out",
                    fact.code,
                    text(r, "expression")
                ));
                continue;
            }
            let twice = facts.insert((base.to_owned(), fact.code.clone()), fact);
            ensure!(
                twice.is_none(),
                "{base} has the parameter {} twice",
                text(r, "code")
            );
        }
    }
    let mut next = ids.values().copied().max().unwrap_or(0) + 1;
    for (key, fact) in &mut facts {
        fact.id = ids.get(key).copied().unwrap_or_else(|| {
            next += 1;
            next - 1
        });
    }
    Ok(facts.into_values().collect())
}

fn param(
    r: &Value,
    base: &str,
    by_url: &HashMap<&str, &Value>,
    model: &Model<'_>,
) -> Result<ParamFact> {
    let expression = cut(text(r, "expression"), base);
    let mut types = BTreeSet::new();
    if !expression.is_empty() {
        let ast = fhir::path::parse_shape(&expression)?;
        types = model.infer(&ast, &BTreeSet::from([base.to_owned()]), base);
    }
    let mut parts = Vec::new();
    for c in items(r, "component") {
        let definition = by_url
            .get(text(c, "definition"))
            .with_context(|| format!("component {} is missing", text(c, "definition")))?;
        // The one erratum: the FHIR type is called dateTime.
        parts.push((
            text(definition, "code").to_owned(),
            text(c, "expression").replace("as(DateTime)", "as(dateTime)"),
        ));
    }
    // DocumentReference.relationship names the definitions of its two parts the wrong way round.
    let fits = |code: &str, part: &str| {
        let whole = by_url
            .values()
            .find(|d| text(d, "code") == code && items(d, "base").iter().any(|b| b == base))
            .map(|d| text(d, "expression"))
            .unwrap_or_default();
        whole.ends_with(&format!(".{part}"))
    };
    if let [a, b] = parts.as_mut_slice()
        && fits(&a.0, &b.1)
        && fits(&b.0, &a.1)
    {
        std::mem::swap(&mut a.0, &mut b.0);
    }
    Ok(ParamFact {
        id: 0,
        base: base.to_owned(),
        code: text(r, "code").to_owned(),
        kind: text(r, "type").to_owned(),
        expression,
        types: types.into_iter().collect(),
        targets: items(r, "target")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        parts,
    })
}

/// The alternatives of an expression that begin with the type, joined again.
fn cut(expression: &str, base: &str) -> String {
    let mut depth = 0i32;
    let mut pieces = vec![String::new()];
    for c in expression.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                pieces.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(p) = pieces.last_mut() {
            p.push(c);
        }
    }
    let about = |p: &str| {
        let head: String = p
            .trim_start_matches(['(', ' '])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        // InsurancePlan.name is written without its type.
        head == base
            || head.starts_with(|c: char| c.is_ascii_lowercase())
            || head == "Resource"
            || head == "DomainResource"
    };
    pieces
        .iter()
        .map(|p| p.trim())
        .filter(|p| about(p))
        .collect::<Vec<_>>()
        .join(" | ")
}

struct Model<'t> {
    types: HashMap<&'t str, &'t TypeFact>,
}

impl Model<'_> {
    /// Data types that an expression can yield.
    fn infer(&self, ast: &Ast, this: &BTreeSet<String>, root: &str) -> BTreeSet<String> {
        let boolean = || BTreeSet::from(["boolean".to_owned()]);
        match ast {
            Ast::Member { base: None, name }
                if name.text.as_ref() == root
                    || matches!(name.text.as_ref(), "Resource" | "DomainResource") =>
            {
                this.clone()
            }
            Ast::Member { base, name } => {
                let from = base
                    .as_ref()
                    .map_or_else(|| this.clone(), |b| self.infer(b, this, root));
                from.iter()
                    .flat_map(|t| self.child(t, &name.text))
                    .collect()
            }
            Ast::Call { base, func, args } => {
                let from = base
                    .as_ref()
                    .map_or_else(|| this.clone(), |b| self.infer(b, this, root));
                match func {
                    Func::Where | Func::First => from,
                    Func::As | Func::OfType => match args.first() {
                        Some(Ast::Is(_, spec)) => {
                            from.into_iter().filter(|t| *t == *spec.name).collect()
                        }
                        _ => from,
                    },
                    _ => boolean(),
                }
            }
            Ast::As(inner, spec) => self
                .infer(inner, this, root)
                .into_iter()
                .filter(|t| *t == *spec.name)
                .collect(),
            Ast::Item { base, .. } => self.infer(base, this, root),
            Ast::Binary(Op::Union, a, b) => {
                let mut out = self.infer(a, this, root);
                out.extend(self.infer(b, this, root));
                out
            }
            Ast::This => this.clone(),
            _ => boolean(),
        }
    }

    fn child(&self, ty: &str, name: &str) -> Vec<String> {
        self.types
            .get(ty)
            .and_then(|t| t.elements.iter().find(|e| e.name == name))
            .map(|e| e.types.clone())
            .unwrap_or_default()
    }
}

/// The compartment definitions, with parameters that exist.
pub fn compartments(
    resources: &[Value],
    params: &[ParamFact],
    notes: &mut Vec<String>,
) -> Vec<CompartmentFact> {
    let mut out = Vec::new();
    for c in resources
        .iter()
        .filter(|r| text(r, "resourceType") == "CompartmentDefinition")
    {
        let mut members = Vec::new();
        for r in items(c, "resource") {
            let ty = text(r, "code");
            let mut codes = Vec::new();
            for code in items(r, "param").iter().filter_map(Value::as_str) {
                if code == "{def}" {
                    continue;
                }
                if params.iter().any(|p| p.base == ty && p.code == code) {
                    codes.push(code.to_owned());
                } else {
                    notes.push(format!(
                        "compartment {}: {ty} has no parameter {code}",
                        text(c, "code")
                    ));
                }
            }
            if !codes.is_empty() {
                members.push((ty.to_owned(), codes));
            }
        }
        out.push(CompartmentFact {
            code: text(c, "code").to_owned(),
            members,
        });
    }
    out.sort_by(|a, b| a.code.cmp(&b.code));
    out
}
