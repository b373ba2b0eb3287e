//! Whether a coded element is in a value set, as far as it can be told here.

use crate::doc::Node;
use crate::pack::Pack;
use crate::terminology::Terminology;
use crate::validate::grammar::Grammar;
use crate::validate::is_member;

/// `None` = the value set, or a code system it draws on, is not known here.
pub(super) fn membership(
    pack: &Pack,
    node: Node<'_>,
    value_set: &str,
    terminology: Option<&dyn Terminology>,
) -> Option<bool> {
    if let Some(set) = pack.value_set_by_url(value_set) {
        return Some(is_member(pack, node, set));
    }
    let grammar = Grammar::of(value_set);
    let one = |system: Option<&str>, code: &str| match grammar {
        Some(g) => Some(system.is_none_or(|s| s == g.system()) && g.admits(code)),
        None => terminology?
            .contains(value_set, system, code)
            .ok()
            .flatten(),
    };
    let coding = |c: Node<'_>| match (c.str_at("system"), c.str_at("code")) {
        (_, None) => Some(true),
        (Some(system), Some(code)) => one(Some(system), code),
        // A code without its system means nothing to a Coding.
        (None, Some(_)) => Some(false),
    };
    let k = &pack.known;
    let ty = node.type_id();
    if ty == k.codeable_concept {
        if node.get("coding").is_none() {
            return Some(true);
        }
        let mut answer = Some(false);
        for c in node.all("coding") {
            match coding(c) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => answer = None,
            }
        }
        answer
    } else if ty == k.coding || pack.is_a(ty, k.quantity) {
        coding(node)
    } else {
        node.as_str().map_or(Some(true), |c| one(None, c))
    }
}
