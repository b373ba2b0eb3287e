//! XML Patch (RFC 5261) on the XML form of a resource, with the part of XPath that names one node: child steps, places,
//! tests on attributes and on texts below, `text()`, `comment()`, attributes and namespace declarations.
//!
//! Texts are carried as written, escapes included; what comes out is read again by the strict reader.

mod select;
mod tree;

use bytes::Bytes;

use crate::finding::{Finding, IssueCode};
use crate::json::Limits;
use select::{Found, Selector};
use tree::{Element, Node};

/// Most operations in one patch.
const MAX_OPERATIONS: usize = 1_000;
/// Namespace of FHIR.
const FHIR: &str = "http://hl7.org/fhir";

/// Applies an XML Patch to an XML text: all of it or nothing.
pub fn xml_patch(target: &[u8], patch: &[u8], limits: &Limits) -> Result<Bytes, Vec<Finding>> {
    apply(target, patch, limits).map_err(|f| vec![f])
}

fn fault(code: IssueCode, text: impl Into<String>) -> Finding {
    Finding::error(code, "xml-patch", text)
}

fn apply(target: &[u8], patch: &[u8], limits: &Limits) -> Result<Bytes, Finding> {
    let mut root = tree::read(target, limits)?;
    let patch = tree::read(patch, limits)?;
    if !matches!(patch.local(), "diff" | "patch") {
        return Err(fault(
            IssueCode::Structure,
            "an XML Patch is a diff element with add, replace and remove",
        ));
    }
    let operations: Vec<&Element> = patch.elements().collect();
    if operations.is_empty() {
        return Err(fault(IssueCode::Required, "the patch has no operations"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(fault(
            IssueCode::TooCostly,
            format!("a patch has at most {MAX_OPERATIONS} operations"),
        ));
    }
    for (i, operation) in operations.iter().enumerate() {
        one(&mut root, &patch, operation).map_err(|f| Finding {
            text: format!("operation {i}: {}", f.text),
            ..f
        })?;
    }
    let mut out = Vec::new();
    root.write(&mut out);
    if out.len() > limits.max_bytes {
        return Err(fault(
            IssueCode::TooLong,
            "the patched resource is larger than the limit",
        ));
    }
    Ok(Bytes::from(out))
}

fn one(root: &mut Element, patch: &Element, operation: &Element) -> Result<(), Finding> {
    let sel = operation
        .attribute("sel")
        .ok_or_else(|| fault(IssueCode::Required, "attribute sel is missing"))?;
    let prefixes = |prefix: &str| {
        operation
            .declared(prefix)
            .or_else(|| patch.declared(prefix))
            .or(match prefix {
                "f" => Some(FHIR.to_owned()),
                "h" => Some("http://www.w3.org/1999/xhtml".to_owned()),
                _ => None,
            })
    };
    let found = Selector::parse(&sel, &prefixes)?.find(root)?;
    match operation.local() {
        "add" => add(root, &found, operation),
        "replace" => replace(root, &found, operation),
        "remove" => remove(root, &found, operation),
        _ => Err(fault(
            IssueCode::NotSupported,
            "an operation is add, replace or remove",
        )),
    }
}

fn gone() -> Finding {
    fault(IssueCode::NotFound, "sel names nothing")
}

fn add(root: &mut Element, found: &Found, operation: &Element) -> Result<(), Finding> {
    if let Some(kind) = operation.attribute("type") {
        let Found::Element(path) = found else {
            return Err(fault(
                IssueCode::Invalid,
                "attributes are added to elements only",
            ));
        };
        let name = match (kind.strip_prefix('@'), kind.strip_prefix("namespace::")) {
            (Some(name), _) => name.to_owned(),
            (_, Some(prefix)) => format!("xmlns:{prefix}"),
            _ => {
                return Err(fault(
                    IssueCode::Value,
                    "type is @name or namespace::prefix",
                ));
            }
        };
        if !tree::is_name(&name) {
            return Err(fault(IssueCode::Value, "type names no attribute"));
        }
        let element = root.at_mut(path).ok_or_else(gone)?;
        if element.has(&name) {
            return Err(fault(
                IssueCode::Invalid,
                "the attribute is there already; use replace",
            ));
        }
        element.set(&name, operation.raw_text());
        return Ok(());
    }
    let content = operation.children.clone();
    let (parent, place) = match (operation.attribute("pos").as_deref(), found) {
        (None | Some("prepend"), Found::Element(path)) => {
            let element = root.at_mut(path).ok_or_else(gone)?;
            let place = match operation.attribute("pos") {
                None => element.children.len(),
                Some(_) => 0,
            };
            (path.clone(), place)
        }
        (Some("before"), found) => found.place().ok_or_else(gone)?,
        (Some("after"), found) => {
            let (parent, place) = found.place().ok_or_else(gone)?;
            (parent, place + 1)
        }
        _ => {
            return Err(fault(
                IssueCode::Invalid,
                "sel and pos do not fit: pos is prepend, before or after",
            ));
        }
    };
    let element = root.at_mut(&parent).ok_or_else(gone)?;
    if place > element.children.len() {
        return Err(gone());
    }
    element.children.splice(place..place, content);
    Ok(())
}

fn replace(root: &mut Element, found: &Found, operation: &Element) -> Result<(), Finding> {
    match found {
        Found::Attribute(path, name) => {
            let element = root.at_mut(path).ok_or_else(gone)?;
            element.set(name, operation.raw_text());
            Ok(())
        }
        Found::Element(path) if path.is_empty() => {
            let new = operation.elements().next().cloned().ok_or_else(|| {
                fault(
                    IssueCode::Required,
                    "replace of an element holds an element",
                )
            })?;
            *root = new;
            Ok(())
        }
        found => {
            let wants_element = matches!(found, Found::Element(_));
            let new: Vec<Node> = if wants_element {
                let mut elements = operation.elements();
                match (elements.next(), elements.next()) {
                    (Some(one), None) => vec![Node::Element(one.clone())],
                    _ => {
                        return Err(fault(
                            IssueCode::Required,
                            "replace of an element holds exactly one element",
                        ));
                    }
                }
            } else {
                operation.children.clone()
            };
            let (parent, place) = found.place().ok_or_else(gone)?;
            let element = root.at_mut(&parent).ok_or_else(gone)?;
            if place >= element.children.len() {
                return Err(gone());
            }
            element.children.splice(place..=place, new);
            Ok(())
        }
    }
}

fn remove(root: &mut Element, found: &Found, operation: &Element) -> Result<(), Finding> {
    if let Found::Attribute(path, name) = found {
        let element = root.at_mut(path).ok_or_else(gone)?;
        element.attributes.retain(|(n, _)| n != name);
        return Ok(());
    }
    let (parent, place) = found
        .place()
        .ok_or_else(|| fault(IssueCode::Invalid, "the whole resource cannot be removed"))?;
    let element = root.at_mut(&parent).ok_or_else(gone)?;
    if place >= element.children.len() {
        return Err(gone());
    }
    let (mut from, mut to) = (place, place + 1);
    let is_space = |node: Option<&Node>| matches!(node, Some(Node::Text(t)) if t.trim().is_empty());
    let ws = operation.attribute("ws").unwrap_or_default();
    if matches!(ws.as_str(), "after" | "both") && is_space(element.children.get(to)) {
        to += 1;
    }
    if matches!(ws.as_str(), "before" | "both")
        && from > 0
        && is_space(element.children.get(from - 1))
    {
        from -= 1;
    }
    element.children.drain(from..to);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(target: &str, operations: &str) -> Result<String, IssueCode> {
        let patch =
            format!("<diff xmlns=\"http://hl7.org/fhir\" xmlns:x=\"urn:x\">{operations}</diff>");
        xml_patch(target.as_bytes(), patch.as_bytes(), &Limits::default())
            .map(|b| String::from_utf8(b.to_vec()).unwrap())
            .map_err(|f| f[0].code)
    }

    const PATIENT: &str = r#"<Patient xmlns="http://hl7.org/fhir"><active value="true"/><name><family value="A &amp; B"/><given value="1"/><given value="2"/></name></Patient>"#;

    #[test]
    fn operations_of_rfc_5261() {
        for (operation, want) in [
            (
                r#"<replace sel="f:Patient/f:active/@value">false</replace>"#,
                r#"<active value="false"/>"#,
            ),
            (
                r#"<replace sel="/f:Patient/f:name/f:given[2]"><given value="3"/></replace>"#,
                r#"<given value="1"/><given value="3"/></name>"#,
            ),
            (
                r#"<remove sel="f:Patient/f:name/f:given[@value='1']"/>"#,
                r#"<family value="A &amp; B"/><given value="2"/>"#,
            ),
            (
                r#"<remove sel="f:Patient/f:name[f:family/@value='A &amp; B']"/>"#,
                r#"<active value="true"/></Patient>"#,
            ),
            (
                r#"<add sel="f:Patient"><gender value="male"/></add>"#,
                r#"</name><gender value="male"/></Patient>"#,
            ),
            (
                r#"<add sel="f:Patient/f:active" pos="after"><!-- c --></add>"#,
                r#"<active value="true"/><!-- c --><name>"#,
            ),
            (
                r#"<add sel="Patient/name" pos="prepend"><use value="usual"/></add>"#,
                r#"<name><use value="usual"/><family"#,
            ),
            (
                r#"<add sel="*/f:active" type="@id">a</add>"#,
                r#"<active value="true" id="a"/>"#,
            ),
        ] {
            let got = run(PATIENT, operation).unwrap();
            assert!(got.contains(want), "{operation}: {got}");
        }
    }

    #[test]
    fn refusals_name_the_kind() {
        for (operation, code) in [
            ("", IssueCode::Required),
            (r#"<remove/>"#, IssueCode::Required),
            (r#"<odd sel="f:Patient"/>"#, IssueCode::NotSupported),
            (r#"<remove sel="f:Patient"/>"#, IssueCode::Invalid),
            (r#"<remove sel="f:Patient/f:none"/>"#, IssueCode::NotFound),
            (r#"<remove sel="x:Patient"/>"#, IssueCode::NotFound),
            (
                r#"<remove sel="f:Patient/f:name/f:given"/>"#,
                IssueCode::Invalid,
            ),
            (r#"<remove sel="f:Patient["/>"#, IssueCode::Value),
            (r#"<remove sel="q:Patient"/>"#, IssueCode::Value),
            (
                r#"<add sel="f:Patient" type="value">x</add>"#,
                IssueCode::Value,
            ),
            (
                r#"<add sel="f:Patient/f:active" type="@value">x</add>"#,
                IssueCode::Invalid,
            ),
            (
                r#"<replace sel="f:Patient/f:active">x</replace>"#,
                IssueCode::Required,
            ),
            ("<", IssueCode::Invalid),
        ] {
            assert_eq!(run(PATIENT, operation), Err(code), "{operation}");
        }
        let doctype = "<!DOCTYPE x [<!ENTITY a \"b\">]><Patient/>";
        assert_eq!(run(doctype, "<remove sel='*'/>"), Err(IssueCode::Invalid));
        let deep = format!("{}{}", "<a>".repeat(500), "</a>".repeat(500));
        assert_eq!(run(&deep, "<remove sel='*'/>"), Err(IssueCode::TooCostly));
    }

    proptest! {
        #[test]
        fn never_panics(sel in "[a-z:/@\\[\\]'=()0-9*æ ]{0,24}", op in "(add|replace|remove)", target in "[<>/a-z\"= &;!-]{0,40}") {
            let operation = format!("<{op} sel=\"{sel}\"><b/></{op}>");
            let _ = run(PATIENT, &operation);
            let _ = run(&target, &operation);
        }
    }
}
