//! Extensions: each is checked against its own definition, and where it stands against the definition's contexts.

use super::table::{Context, Profile};
use super::validator::Run;
use crate::doc::Node;
use crate::finding::{IssueCode, Severity};
use crate::path::{self, Env};

impl<'a> Run<'a, '_> {
    /// Checks every extension of the document. What is not known here is told once: an extension may be ignored, a modifier
    /// extension may not.
    pub(super) fn extensions(&mut self) {
        let mut unknown: Option<(Node<'a>, usize)> = None;
        for node in self.doc().nodes() {
            if node.type_id() != self.pack().known.extension || !self.spend() {
                continue;
            }
            let Some(url) = node.str_at("url") else {
                continue;
            };
            // Parts of a complex extension have names of their own, which its definition checks.
            if !url.contains(':') {
                continue;
            }
            let is_modifier = node.name() == "modifierExtension";
            match self.profile(url) {
                Some(p) => self.extension(node, &p, is_modifier),
                None if is_modifier => self.error(
                    node,
                    IssueCode::NotSupported,
                    "modifier-extension",
                    "this modifier extension is not known here, so the element cannot be understood",
                ),
                None => {
                    let (first, n) = unknown.unwrap_or((node, 0));
                    unknown = Some((first, n + 1));
                }
            }
        }
        if let Some((first, n)) = unknown {
            let text = if n == 1 {
                "this extension is not known here and was not checked".to_owned()
            } else {
                format!(
                    "{n} extensions, of which this is the first, are not known here and were not checked"
                )
            };
            self.add(
                first,
                Severity::Information,
                IssueCode::NotFound,
                "extension",
                text,
            );
        }
    }

    fn extension(&mut self, node: Node<'a>, p: &Profile, is_modifier: bool) {
        if p.ty != self.pack().known.extension {
            self.error(
                node,
                IssueCode::Structure,
                "extension",
                "the url of the extension is that of something else",
            );
            return;
        }
        if p.is_modifier != is_modifier {
            let text = if p.is_modifier {
                "this extension changes meaning and is written as modifierExtension"
            } else {
                "this extension does not change meaning and is written as extension"
            };
            self.error(node, IssueCode::Structure, "extension-modifier", text);
        }
        if !p.contexts.is_empty() && !p.contexts.iter().any(|c| self.stands_in(node, c)) {
            self.error(
                node,
                IssueCode::Structure,
                "extension-context",
                "this extension is not defined for use here",
            );
        }
        self.element(node, &p.root);
    }

    fn stands_in(&self, node: Node<'a>, context: &Context) -> bool {
        let Some(on) = node.parent() else { return true };
        match context {
            Context::Extension(url) => {
                on.type_id() == self.pack().known.extension
                    && on.str_at("url") == Some(url.split('#').next().unwrap_or_default())
            }
            Context::Element(path) => self.is_at(on, path),
            Context::Path(text) => {
                let Ok(expr) = path::compiled(text) else {
                    return true;
                };
                let mut resource = on;
                while resource.resource_type().is_none() {
                    match resource.parent() {
                        Some(p) => resource = p,
                        None => break,
                    }
                }
                let env = Env::new(resource, self.now_us());
                expr.eval_in(&env)
                    .is_ok_and(|items| items.iter().any(|i| i.node() == Some(on)))
            }
        }
    }

    /// Whether an element is what a context path names: a type, or an element of a type, by the definitions' names.
    fn is_at(&self, on: Node<'a>, path: &str) -> bool {
        let pack = self.pack();
        let plain: String = path
            .split('.')
            .map(|s| s.split(':').next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(".");
        if matches!(plain.as_str(), "Element" | "*") {
            return true;
        }
        if pack
            .type_id(&plain)
            .is_some_and(|ty| pack.is_a(on.type_id(), ty))
        {
            return true;
        }
        let (Some(element), Some(parent)) = (pack.element(on.elem()), on.parent()) else {
            return false;
        };
        let Some((owner, name)) = plain.rsplit_once('.') else {
            return false;
        };
        let wanted = name.trim_end_matches("[x]");
        if wanted != &*element.name && name != on.name() {
            return false;
        }
        pack.type_id(owner)
            .is_some_and(|ty| pack.is_a(parent.type_id(), ty))
            // `Patient.contact.name.family`: the owner is itself an element's path.
            || self.is_at(parent, owner)
    }
}
