//! References: what they lead to, and whether that is what a profile wants.

use super::compile::CORE;
use super::table::TypeRef;
use super::validator::Run;
use crate::doc::Node;
use crate::finding::IssueCode;
use crate::pack::TypeId;
use crate::path::{Env, Item, resolve_reference};

/// What is known of a reference's target.
pub(super) enum Target<'a> {
    /// The resource itself.
    Resource(Node<'a>),
    /// Its type only.
    Type(TypeId),
    Unknown,
}

impl<'a> Run<'a, '_> {
    /// Where a reference (or canonical text) leads.
    pub(super) fn target_of(&self, reference: Node<'a>) -> Target<'a> {
        let env = Env::new(reference, self.now_us()).outside(self.world(), self.docs());
        match resolve_reference(&Item::Node(reference), &env) {
            Some(Item::Node(n)) => Target::Resource(n),
            Some(Item::Remote(name)) => self
                .pack()
                .resource_type(name)
                .map_or(Target::Unknown, Target::Type),
            _ => Target::Unknown,
        }
    }

    /// Checks a reference against the target profiles and aggregation modes of a profile.
    pub(super) fn reference(&mut self, node: Node<'a>, t: &TypeRef) {
        if t.targets.is_empty() && t.aggregation.is_empty() {
            return;
        }
        let target = self.target_of(node);
        if !t.aggregation.is_empty()
            && let Some(text) = node.str_at("reference")
        {
            let is_bundled = matches!(&target, Target::Resource(n)
                if std::ptr::eq(n.doc(), node.doc()))
                && !text.starts_with('#');
            let mode = if text.starts_with('#') {
                "contained"
            } else if is_bundled {
                "bundled"
            } else {
                "referenced"
            };
            // What is in the same Bundle is referenced too.
            let ok = t
                .aggregation
                .iter()
                .any(|a| **a == *mode || (is_bundled && **a == *"referenced"));
            if !ok {
                self.error(
                    node,
                    IssueCode::Structure,
                    "profile-aggregation",
                    format!(
                        "the profile wants a reference that is {}",
                        t.aggregation.join(" or ")
                    ),
                );
            }
        }
        if t.targets.is_empty() {
            return;
        }
        let (ty, found) = match target {
            Target::Resource(n) => (n.type_id(), Some(n)),
            Target::Type(ty) => (ty, None),
            Target::Unknown => return,
        };
        let mut of_type = Vec::new();
        for url in &t.targets {
            match self.target_type(url) {
                Some(wanted) if self.pack().is_a(ty, wanted) => of_type.push(url),
                Some(_) => {}
                // A target profile that is not known here cannot be held against the reference.
                None => return,
            }
        }
        if of_type.is_empty() {
            self.error(
                node,
                IssueCode::Structure,
                "profile-target",
                "the reference leads to a resource type that the profile does not allow here",
            );
            return;
        }
        let Some(found) = found else { return };
        let ok = of_type.iter().any(|url| {
            url.starts_with(CORE) && self.pack().type_id(url.trim_start_matches(CORE)).is_some()
                || self.conforms_to(found, url) != Some(false)
        });
        if !ok {
            self.error(
                node,
                IssueCode::Structure,
                "profile-target",
                "the resource that is referred to does not conform to the profile that is wanted here",
            );
        }
    }

    /// Resource type behind the canonical of a type or profile.
    pub(super) fn target_type(&self, url: &str) -> Option<TypeId> {
        let plain = url.split('|').next().unwrap_or_default();
        plain
            .strip_prefix(CORE)
            .and_then(|n| self.pack().type_id(n))
            .or_else(|| self.profile(url).map(|p| p.ty))
    }
}
