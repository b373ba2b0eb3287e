//! What an expression may ask of the world outside its document: other resources, profiles, terminology.

use std::cell::{Cell, OnceCell};

use crate::doc::{Doc, Node};
use crate::terminology::Terminology;

/// Most resources that the evaluations over one [`Docs`] may fetch.
const MAX_DOCS: usize = 100;

/// The world as an evaluation sees it. Every method may answer "not known here".
///
/// Implementations answer only with what the caller may see: a resource fetched here can end in a finding's text path,
/// never in its values.
pub trait Host {
    /// The resource behind a literal reference (`Patient/1`, an absolute URL). Asked once per reference and evaluation.
    fn resolve(&self, _reference: &str) -> Option<Doc> {
        None
    }

    /// Whether an element conforms to a profile; `None` when the profile is not known.
    fn conforms(&self, _node: Node<'_>, _profile: &str) -> Option<bool> {
        None
    }

    /// Whether an element belongs to a named slice of a structure; `None` when there is no such slice.
    fn in_slice(&self, _node: Node<'_>, _structure: &str, _slice: &str) -> Option<bool> {
        None
    }

    /// Code systems and value sets beyond those of the definitions.
    fn terminology(&self) -> Option<&dyn Terminology> {
        None
    }
}

/// Documents that evaluations have fetched or made; they live as long as the items that point into them.
#[derive(Default)]
pub struct Docs {
    head: OnceCell<Box<Link>>,
    count: Cell<usize>,
}

struct Link {
    key: Box<str>,
    doc: Option<Doc>,
    next: OnceCell<Box<Link>>,
}

impl Docs {
    /// The document kept under a key: `None` = never asked for, `Some(None)` = asked for and not there.
    pub(super) fn find(&self, key: &str) -> Option<Option<&Doc>> {
        let mut at = self.head.get();
        while let Some(link) = at {
            if *link.key == *key {
                return Some(link.doc.as_ref());
            }
            at = link.next.get();
        }
        None
    }

    /// Keeps a document, or that there is none. `None` when there is none or no room.
    pub(super) fn keep(&self, key: &str, doc: Option<Doc>) -> Option<&Doc> {
        if self.count.get() >= MAX_DOCS {
            return None;
        }
        self.count.set(self.count.get() + 1);
        let link = Box::new(Link {
            key: Box::from(key),
            doc,
            next: OnceCell::new(),
        });
        let mut slot = &self.head;
        while let Some(next) = slot.get() {
            slot = &next.next;
        }
        slot.get_or_init(|| link).doc.as_ref()
    }

    /// Whether more documents may be fetched.
    pub(super) fn has_room(&self) -> bool {
        self.count.get() < MAX_DOCS
    }
}
