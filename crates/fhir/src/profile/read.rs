//! StructureDefinition → rows: the elements with their paths taken apart into steps and slices.

use std::sync::Arc;

use super::table::Context;
use crate::doc::{Doc, Node};
use crate::finding::{Finding, IssueCode};
use crate::pack::file::TypeKind;
use crate::pack::{Pack, TypeId};

/// Most elements of one definition.
const MAX_ROWS: usize = 5_000;
/// Longest path of an element, in steps.
const MAX_STEPS: usize = 40;

/// A definition as read.
pub(super) struct Definition {
    pub doc: Arc<Doc>,
    pub url: Box<str>,
    pub version: Box<str>,
    pub ty: TypeId,
    pub base: Box<str>,
    pub contexts: Vec<Context>,
    pub differential: Vec<Row>,
    pub snapshot: Vec<Row>,
}

/// One element definition.
pub(super) struct Row {
    /// Steps below the root; empty for the root itself.
    pub steps: Vec<Step>,
    /// Place of the ElementDefinition in the document.
    pub node: u32,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Base name without `[x]`.
    pub name: Box<str>,
    pub slice: Option<Box<str>>,
    /// The path names a choice (`value[x]`, or `valueQuantity` for short).
    pub is_choice: bool,
    /// Written in the short form.
    pub is_short: bool,
}

fn fault(text: impl Into<String>) -> Vec<Finding> {
    vec![Finding::error(IssueCode::Invalid, "profile", text).on("StructureDefinition")]
}

/// Reads a StructureDefinition resource.
pub(super) fn read(doc: Doc) -> Result<Definition, Vec<Finding>> {
    let pack = doc.pack();
    let root = doc.root();
    if root.resource_type() != Some("StructureDefinition") {
        return Err(fault("a StructureDefinition is expected"));
    }
    let text = |name: &str| root.str_at(name).unwrap_or_default();
    let ty_name = text("type");
    let ty_name = ty_name
        .strip_prefix("http://hl7.org/fhir/StructureDefinition/")
        .unwrap_or(ty_name);
    let ty = pack
        .type_id(ty_name)
        .ok_or_else(|| fault("the definition constrains a type that R4 does not have"))?;
    let rows = |part: &str| match root.at(part) {
        Some(p) => rows(pack, ty, p),
        None => Ok(Vec::new()),
    };
    Ok(Definition {
        url: Box::from(text("url")),
        version: Box::from(text("version")),
        ty,
        base: Box::from(text("baseDefinition").split('|').next().unwrap_or_default()),
        contexts: root.all("context").filter_map(context).collect(),
        differential: rows("differential")?,
        snapshot: rows("snapshot")?,
        doc: Arc::new(doc.clone()),
    })
}

fn context(n: Node<'_>) -> Option<Context> {
    let expression = Box::from(n.str_at("expression")?);
    Some(match n.str_at("type")? {
        "element" => Context::Element(expression),
        "extension" => Context::Extension(expression),
        "fhirpath" => Context::Path(expression),
        _ => return None,
    })
}

fn rows(pack: &Pack, ty: TypeId, part: Node<'_>) -> Result<Vec<Row>, Vec<Finding>> {
    let mut out: Vec<Row> = Vec::new();
    for e in part.all("element") {
        if out.len() >= MAX_ROWS {
            return Err(fault(format!(
                "a definition has more than {MAX_ROWS} elements"
            )));
        }
        let path = e
            .str_at("path")
            .ok_or_else(|| fault("an element of the definition has no path"))?;
        let before = out.last().map(|r| r.steps.as_slice()).unwrap_or_default();
        let steps = by_id(pack, ty, e.str_at("id").unwrap_or_default(), path)
            .unwrap_or_else(|| by_path(pack, ty, path, e.str_at("sliceName"), before));
        if steps.len() > MAX_STEPS {
            return Err(fault(format!(
                "a path of the definition has more than {MAX_STEPS} steps"
            )));
        }
        out.push(Row {
            steps,
            node: e.index(),
        });
    }
    Ok(out)
}

/// Base name of a written name, whether it is a choice, and whether it is written in the short form (`valueQuantity`).
fn base_name(pack: &Pack, parent: TypeId, written: &str) -> (Box<str>, bool, bool) {
    if let Some(base) = written.strip_suffix("[x]") {
        return (Box::from(base), true, false);
    }
    if let Some((elem, _, _)) = pack.child(parent, written.as_bytes())
        && let Some(e) = pack.element(elem)
    {
        let is_short = e.choice && *e.name != *written;
        return (e.name.clone(), e.choice, is_short);
    }
    // The type above is open (a choice, any resource): the name itself tells.
    if pack.name_id(written).is_none() {
        let suffix_of = |name: &str| {
            let mut c = name.chars();
            let first = c.next()?.to_ascii_uppercase();
            let suffix: String = std::iter::once(first).chain(c).collect();
            let base = written.strip_suffix(suffix.as_str())?;
            pack.name_id(base).map(|_| base.len())
        };
        let shortest = pack
            .types()
            .filter(|(_, t)| t.kind != TypeKind::Backbone)
            .filter_map(|(_, t)| suffix_of(&t.name))
            .filter(|len| *len > 0)
            .min();
        if let Some(base) = shortest.and_then(|len| written.get(..len)) {
            return (Box::from(base), true, true);
        }
    }
    (Box::from(written), false, false)
}

/// The step, and the type that the path has reached with it (`NONE` when that is open).
fn step(pack: &Pack, parent: TypeId, written: &str, slice: Option<&str>) -> (Step, TypeId) {
    let (name, is_choice, is_short) = base_name(pack, parent, written);
    let slice: Option<Box<str>> = slice
        .or(is_short.then_some(written))
        .filter(|s| !s.is_empty())
        .map(Box::from);
    // A slice of a choice is named as its element is written.
    let json = match &slice {
        Some(s) if is_choice => s.as_bytes(),
        _ => name.as_bytes(),
    };
    let ty = pack
        .child(parent, json)
        .map_or(TypeId::NONE, |(_, ty, _)| ty);
    let step = Step {
        name,
        slice,
        is_choice,
        is_short,
    };
    (step, ty)
}

/// Steps by the element's id (`Patient.identifier:fnr.system`), when it has the form that R4 prescribes.
fn by_id(pack: &Pack, ty: TypeId, id: &str, path: &str) -> Option<Vec<Step>> {
    let names: Vec<&str> = path.split('.').collect();
    // Slice names may hold dots of their own (`extension:a.b`): then the path decides.
    let parts: Vec<&str> = id.split('.').collect();
    if parts.len() != names.len() {
        return None;
    }
    let mut parent = ty;
    parts
        .iter()
        .zip(&names)
        .skip(1)
        .map(|(part, name)| {
            let (head, slice) = match part.split_once(':') {
                Some((h, s)) => (h, Some(s)),
                None => (*part, None),
            };
            if head != *name {
                return None;
            }
            let (step, reached) = step(pack, parent, head, slice);
            parent = reached;
            Some(step)
        })
        .collect()
}

/// Steps by path and slice name: the steps above keep the slices of the element before.
fn by_path(
    pack: &Pack,
    ty: TypeId,
    path: &str,
    slice_name: Option<&str>,
    before: &[Step],
) -> Vec<Step> {
    let names: Vec<&str> = path.split('.').skip(1).collect();
    let last = names.len().saturating_sub(1);
    let mut out: Vec<Step> = Vec::new();
    let mut same = true;
    let mut parent = ty;
    for (i, name) in names.iter().enumerate() {
        let (fresh, reached) = step(
            pack,
            parent,
            name,
            if i == last { slice_name } else { None },
        );
        parent = reached;
        let inherited = before.get(i).filter(|b| same && b.name == fresh.name);
        same = inherited.is_some();
        match inherited {
            Some(b) if i < last => out.push(Step {
                slice: b.slice.clone(),
                ..fresh
            }),
            _ => out.push(fresh),
        }
    }
    out
}
