//! Where definitions come from, and which version of one counts.

use std::sync::Arc;

use super::TerminologyError;
use super::code_system::{CodeSystem, Head};
use super::concept_map::ConceptMap;
use super::value_set::ValueSet;

/// Compiled definitions by canonical URL, all versions, best first (see [`by_preference`]). An unknown URL is an empty list.
pub trait Source {
    /// Code systems, supplements among them under their own URL.
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError>;
    /// Value sets.
    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError>;
    /// Concept maps by URL; without one all those with a group from this system.
    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError>;
}

/// Several sources, the first ones winning.
pub struct Layers<'s>(pub Vec<&'s dyn Source>);

impl Source for Layers<'_> {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        let mut out = Vec::new();
        for layer in &self.0 {
            out.extend(layer.code_systems(url)?);
        }
        Ok(out)
    }

    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        let mut out = Vec::new();
        for layer in &self.0 {
            out.extend(layer.value_sets(url)?);
        }
        Ok(out)
    }

    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        let mut out = Vec::new();
        for layer in &self.0 {
            out.extend(layer.concept_maps(url, source_system)?);
        }
        Ok(out)
    }
}

/// Definitions held in memory: those sent along with a request, and tests.
#[derive(Default)]
pub struct Held {
    /// Code systems.
    pub code_systems: Vec<Arc<CodeSystem>>,
    /// Value sets.
    pub value_sets: Vec<Arc<ValueSet>>,
    /// Concept maps.
    pub concept_maps: Vec<Arc<ConceptMap>>,
}

impl Held {
    /// Adds a resource; other types than the three are not taken.
    pub fn add(&mut self, node: crate::doc::Node<'_>) -> Result<(), TerminologyError> {
        match node.resource_type() {
            Some("CodeSystem") => self.code_systems.push(Arc::new(CodeSystem::compile(node)?)),
            Some("ValueSet") => self.value_sets.push(Arc::new(ValueSet::compile(node)?)),
            Some("ConceptMap") => self.concept_maps.push(Arc::new(ConceptMap::compile(node)?)),
            _ => {}
        }
        Ok(())
    }
}

impl Source for Held {
    fn code_systems(&self, url: &str) -> Result<Vec<Arc<CodeSystem>>, TerminologyError> {
        let is = |c: &&Arc<CodeSystem>| c.head.url.as_ref() == url;
        let mut out: Vec<_> = self.code_systems.iter().filter(is).cloned().collect();
        by_preference(&mut out, |c| &c.head);
        Ok(out)
    }

    fn value_sets(&self, url: &str) -> Result<Vec<Arc<ValueSet>>, TerminologyError> {
        let is = |v: &&Arc<ValueSet>| v.head.url.as_ref() == url;
        let mut out: Vec<_> = self.value_sets.iter().filter(is).cloned().collect();
        by_preference(&mut out, |v| &v.head);
        Ok(out)
    }

    fn concept_maps(
        &self,
        url: Option<&str>,
        source_system: Option<&str>,
    ) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
        let is = |m: &&Arc<ConceptMap>| {
            url.is_none_or(|url| m.head.url.as_ref() == url)
                && source_system.is_none_or(|s| m.groups.iter().any(|g| g.source.as_ref() == s))
        };
        let mut out: Vec<_> = self.concept_maps.iter().filter(is).cloned().collect();
        by_preference(&mut out, |m| &m.head);
        Ok(out)
    }
}

/// Orders definitions of one URL: active ones first, then the highest version; else as they came.
pub fn by_preference<T>(list: &mut [T], head: impl Fn(&T) -> &Head) {
    list.sort_by(|a, b| {
        let (a, b) = (head(a), head(b));
        let is_active = |h: &Head| h.status.as_ref() == "active";
        is_active(b)
            .cmp(&is_active(a))
            .then_with(|| compare_versions(b.version.as_deref(), a.version.as_deref()))
    });
}

/// Compares versions part by part, numbers as numbers; none is lowest.
pub fn compare_versions(a: Option<&str>, b: Option<&str>) -> std::cmp::Ordering {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_some().cmp(&b.is_some());
    };
    let mut x = a.split(['.', '-', '+']);
    let mut y = b.split(['.', '-', '+']);
    loop {
        let order = match (x.next(), y.next()) {
            (None, None) => return std::cmp::Ordering::Equal,
            (l, r) => match (l, r) {
                (Some(l), Some(r)) => match (l.parse::<u64>(), r.parse::<u64>()) {
                    (Ok(l), Ok(r)) => l.cmp(&r),
                    _ => l.cmp(r),
                },
                _ => l.is_some().cmp(&r.is_some()),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Whether a version is the one wished for; `x` and `*` in the wish stand for any part.
pub fn version_fits(wish: &str, version: Option<&str>) -> bool {
    let Some(version) = version else { return false };
    if wish == version {
        return true;
    }
    if !wish.split('.').any(|part| matches!(part, "x" | "X" | "*")) {
        return false;
    }
    let mut have = version.split('.');
    let mut wanted = wish.split('.').peekable();
    while let Some(part) = wanted.next() {
        let Some(own) = have.next() else { return false };
        match part {
            // An open end stands for all that follows.
            "*" if wanted.peek().is_none() => return true,
            "x" | "X" | "*" => {}
            _ if part == own => {}
            _ => return false,
        }
    }
    have.next().is_none()
}

/// `url|version` in two; a fragment at the end of the URL is dropped.
pub fn split_canonical(canonical: &str) -> (&str, Option<&str>) {
    let (url, version) = match canonical.split_once('|') {
        Some((url, version)) => (url, Some(version).filter(|v| !v.is_empty())),
        None => (canonical, None),
    };
    let url = match url.split_once('#') {
        Some((before, _)) if !before.is_empty() => before,
        _ => url,
    };
    (url, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_parts() {
        for (a, b) in [
            ("1.9.0", "1.10.0"),
            ("2", "10"),
            ("1", "1.0"),
            ("4.0.0-a", "4.0.0-b"),
        ] {
            assert!(compare_versions(Some(a), Some(b)).is_lt(), "{a} {b}");
        }
        assert!(compare_versions(None, Some("0")).is_lt());
    }

    #[test]
    fn wildcards_stand_for_parts() {
        for (wish, version, fits) in [
            ("1.0.0", "1.0.0", true),
            ("1", "1.0.0", false),
            ("1.x.x", "1.2.0", true),
            ("1.x.x", "2.2.0", false),
            ("1.*", "1.2.0", true),
            ("1.x", "1.2.0", false),
            ("1.x.0", "1.2.0", true),
        ] {
            assert_eq!(version_fits(wish, Some(version)), fits, "{wish} {version}");
        }
        assert!(!version_fits("1.x", None));
    }

    #[test]
    fn canonicals_are_taken_apart() {
        assert_eq!(split_canonical("http://a|1"), ("http://a", Some("1")));
        assert_eq!(split_canonical("http://a#x|1"), ("http://a", Some("1")));
        assert_eq!(split_canonical("#x"), ("#x", None));
        assert_eq!(split_canonical("http://a|"), ("http://a", None));
    }
}
