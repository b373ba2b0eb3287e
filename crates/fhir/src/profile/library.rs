//! Which profiles there are: those built in, and those of a [`Source`] (a repository's StructureDefinitions).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::compile::{CORE, shared};
use super::{Profile, builtin};
use crate::doc::Doc;

/// Longest chain of profiles that derive from each other.
const MAX_CHAIN: usize = 16;
/// Most profiles that one library fetches from its source.
const MAX_FETCHED: usize = 200;

/// What a source has under a canonical.
pub enum Found {
    /// Compiled before.
    Compiled(Arc<Profile>),
    /// The StructureDefinition.
    Text(Box<Doc>),
}

/// Where profiles come from besides the built-in ones.
pub trait Source {
    /// The profile or extension behind a canonical (`url` or `url|version`); `None` = not known here.
    fn find(&self, canonical: &str) -> Option<Found>;

    /// Told of a profile that was compiled from a text of this source, so that it can be kept.
    fn keep(&self, _canonical: &str, _profile: &Arc<Profile>) {}
}

/// The profiles that one check can see. Cheap to make; remembers what it was asked for.
#[derive(Default)]
pub struct Library<'s> {
    source: Option<&'s dyn Source>,
    known: RefCell<HashMap<Box<str>, Option<Arc<Profile>>>>,
    trail: RefCell<Vec<Box<str>>>,
}

impl<'s> Library<'s> {
    /// The built-in profiles only.
    pub fn built_in() -> Library<'static> {
        Library::default()
    }

    /// The built-in profiles and those of a source. Canonicals of R4 itself always mean the built-in ones.
    pub fn with(source: &'s dyn Source) -> Library<'s> {
        Library {
            source: Some(source),
            ..Library::default()
        }
    }

    /// The compiled profile behind a canonical, `None` when it is not known here (or derives from itself).
    pub fn profile(&self, canonical: &str) -> Option<Arc<Profile>> {
        if let Some(known) = self.known.borrow().get(canonical) {
            return known.clone();
        }
        let is_cycle = {
            let trail = self.trail.borrow();
            trail.len() >= MAX_CHAIN || trail.iter().any(|t| **t == *canonical)
        };
        if is_cycle || self.known.borrow().len() >= MAX_FETCHED {
            return None;
        }
        self.trail.borrow_mut().push(Box::from(canonical));
        let found = self.look(canonical);
        self.trail.borrow_mut().pop();
        self.known
            .borrow_mut()
            .insert(Box::from(canonical), found.clone());
        found
    }

    fn look(&self, canonical: &str) -> Option<Arc<Profile>> {
        let (url, version) = match canonical.split_once('|') {
            Some((u, v)) => (u, Some(v)),
            None => (canonical, None),
        };
        let fits = |p: &Arc<Profile>| {
            version.is_none_or(|v| p.version.is_empty() || p.version.starts_with(v))
        };
        if !url.starts_with(CORE)
            && let Some(found) = self.source.and_then(|s| s.find(canonical))
        {
            return match found {
                Found::Compiled(p) => Some(p),
                Found::Text(doc) => {
                    let p = shared(*doc, self)?;
                    if let Some(s) = self.source {
                        s.keep(canonical, &p);
                    }
                    Some(p)
                }
            };
        }
        builtin::profile(url, self).filter(fits)
    }
}
