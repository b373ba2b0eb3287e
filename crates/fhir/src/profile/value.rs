//! Values that a definition fixes, and how an element is compared with them.

use std::sync::Arc;

use crate::decimal::Num;
use crate::doc::{Doc, Node, NodeKind};

/// An element of a StructureDefinition (`fixedUri`, `patternCodeableConcept`, …), held with its document.
#[derive(Clone)]
pub(super) struct Value {
    doc: Arc<Doc>,
    index: u32,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.node())
    }
}

impl Value {
    pub fn new(doc: &Arc<Doc>, node: Node<'_>) -> Value {
        Value {
            doc: doc.clone(),
            index: node.index(),
        }
    }

    pub fn node(&self) -> Node<'_> {
        Node::new(&self.doc, self.index)
    }
}

fn same_value(a: Node<'_>, b: Node<'_>) -> bool {
    if a.kind() != b.kind() {
        return false;
    }
    let (Some(x), Some(y)) = (a.value_text(), b.value_text()) else {
        return !a.has_value() && !b.has_value();
    };
    if a.kind() == NodeKind::Number {
        x == y
            || Num::parse(x)
                .zip(Num::parse(y))
                .is_some_and(|(p, q)| p == q)
    } else {
        x == y
    }
}

/// `fixed[x]`: the same value and the same children, nothing more.
pub(super) fn is_fixed(a: Node<'_>, fixed: Node<'_>) -> bool {
    if !same_value(a, fixed) {
        return false;
    }
    let count = |n: Node<'_>| n.fields().count();
    count(a) == count(fixed)
        && fixed.fields().all(|f| {
            // Items of a repeating element keep their order.
            let place = fixed
                .fields()
                .filter(|g| g.name() == f.name())
                .position(|g| g == f)
                .unwrap_or(0);
            a.fields()
                .filter(|g| g.name() == f.name())
                .nth(place)
                .is_some_and(|g| is_fixed(g, f))
        })
}

/// `pattern[x]`: at least what the pattern has; every item of a repeating element of it is met by some item.
pub(super) fn fits_pattern(a: Node<'_>, pattern: Node<'_>) -> bool {
    if pattern.has_value() && !same_value(a, pattern) {
        return false;
    }
    pattern.fields().all(|p| {
        a.fields()
            .any(|c| c.name() == p.name() && fits_pattern(c, p))
    })
}
