//! Our descriptions (`?singleWsdl`) beside the published ones, where those lie beside the repository: every type, element,
//! order, occurrence, nillability, operation, action and fault.

use edge::soap::wsdl::Describe;
use edge::soap::{Contract, Ports};
use std::collections::BTreeSet;
use std::path::PathBuf;
use xmlsec::xml::{Document, NodeId};

const XS: &str = "http://www.w3.org/2001/XMLSchema";
const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const WSAM: &str = "http://www.w3.org/2007/05/addressing/metadata";
const SERIALIZATION: &str = "http://schemas.microsoft.com/2003/10/Serialization/";

fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("HELSENAV_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(root.join("data/grunndata/wsdl").join(path)).ok();
    if text.is_none() {
        println!("SKIPPED {path}: the shared data folder is not beside the repository");
    }
    text
}

/// A name with prefix, as the namespace and the local part.
fn resolved(document: &Document, node: NodeId, name: &str) -> String {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let namespace = document.namespace_of(node, prefix).unwrap_or_default();
    format!("{{{namespace}}}{local}")
}

fn attribute<'d>(document: &'d Document, node: NodeId, name: &str) -> &'d str {
    document.attribute(node, "", name).unwrap_or_default()
}

/// Elements below a node, in order, without those of types inside.
fn elements(document: &Document, node: NodeId) -> String {
    let fields: Vec<String> = document
        .subtree(node)
        .filter(|n| *n != node && document.is(*n, XS, "element"))
        .map(|n| {
            format!(
                "{}:{} nil={} min={} max={}",
                attribute(document, n, "name"),
                resolved(document, n, attribute(document, n, "type")),
                attribute(document, n, "nillable"),
                attribute(document, n, "minOccurs"),
                attribute(document, n, "maxOccurs"),
            )
        })
        .collect();
    let values: Vec<&str> = document
        .subtree(node)
        .filter(|n| document.is(*n, XS, "enumeration"))
        .map(|n| attribute(document, n, "value"))
        .collect();
    let base = document
        .subtree(node)
        .find(|n| document.is(*n, XS, "extension") || document.is(*n, XS, "restriction"))
        .map(|n| resolved(document, n, attribute(document, n, "base")));
    format!("{} {} {base:?}", fields.join(" "), values.join(" "))
}

/// Everything that a description says, line by line.
fn facts(wsdl: &str) -> BTreeSet<String> {
    let document = Document::parse(wsdl).expect("well-formed");
    let mut found = BTreeSet::new();
    for node in document.subtree(document.root()) {
        if document.is(node, XS, "schema") {
            let namespace = attribute(&document, node, "targetNamespace");
            if namespace == SERIALIZATION {
                continue;
            }
            for child in document.elements(node) {
                let name = attribute(&document, child, "name");
                let kind = &document.element(child).unwrap().name.local;
                if &**kind != "import" {
                    let inside = elements(&document, child);
                    let of = attribute(&document, child, "type");
                    let of = resolved(&document, child, of);
                    found.insert(format!("{kind} {{{namespace}}}{name} {of} {inside}"));
                }
            }
        }
        if document.is(node, WSDL, "portType") {
            for operation in document.named(node, WSDL, "operation") {
                let messages: Vec<String> = document
                    .elements(operation)
                    .map(|m| {
                        format!(
                            "{} {} {}",
                            document.element(m).unwrap().name.local,
                            attribute(&document, m, "name"),
                            document.attribute(m, WSAM, "Action").unwrap_or_default()
                        )
                    })
                    .collect();
                let name = attribute(&document, operation, "name");
                found.insert(format!("operation {name} {messages:?}"));
            }
        }
    }
    found
}

#[test]
fn descriptions_say_what_the_published_ones_say() {
    for (path, text) in [
        ("hpr-IHPR2Service.wsdl", grunndata::hpr::CONTRACT),
        ("flr-IFlrReadOperations.wsdl", grunndata::flr::READ_CONTRACT),
        (
            "flr-IFlrExportOperations.wsdl",
            grunndata::flr::EXPORT_CONTRACT,
        ),
        (
            "ar-CommunicationPartyService-2016.wsdl",
            grunndata::ar::service::CONTRACT_2016,
        ),
        (
            "ar-CommunicationPartyService-2025.wsdl",
            grunndata::ar::service::CONTRACT_2025,
        ),
    ] {
        let Some(theirs) = shared(path) else { continue };
        let contract = Contract::parse(text).unwrap();
        let ports = Ports {
            v12: Some("/x".to_owned()),
            v11: Some("/x/Basic".to_owned()),
            mtom: false,
        };
        let describe = Describe {
            contract: &contract,
            ports: &ports,
            base: "https://hub.example",
        };
        let (ours, theirs) = (facts(&describe.single()), facts(&theirs));
        let missing: Vec<&String> = theirs.difference(&ours).collect();
        let more: Vec<&String> = ours.difference(&theirs).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{path}\nmissing {missing:#?}\nmore {more:#?}"
        );
        assert!(theirs.len() > 5, "{path}");
    }
}
