//! One coding against its system and the value set.

use std::collections::BTreeSet;

use super::{Checker, Chosen, Place, Verdict};
use crate::terminology::arguments::Coding;
use crate::terminology::code_system::{CodeSystem, Concept, Content};
use crate::terminology::compose::{Asked, Stack, Tri, same_system};
use crate::terminology::language::speaks;
use crate::terminology::source::version_fits;
use crate::terminology::value_set::{Listed, ValueSet};
use crate::terminology::{TerminologyError, grammar};

impl Checker<'_> {
    /// The system of a code that came without one: the one system of the value set that has it.
    pub(super) fn infer(
        &self,
        coding: &mut Coding,
        extra: &mut Verdict,
    ) -> Result<(), TerminologyError> {
        let (Some(set), Some(code)) = (&self.set, &coding.code) else {
            return Ok(());
        };
        let mut systems = BTreeSet::new();
        self.systems_of(set, &mut systems, 0)?;
        let mut found = Vec::new();
        for system in systems {
            let asked = Asked {
                system: &system,
                code,
            };
            let is = self.engine.contains(set, asked, &mut Stack::new(set))?;
            if is == Tri::Yes {
                found.push(system);
            }
        }
        let text = match found.len() {
            1 => {
                coding.system = found.pop();
                return Ok(());
            }
            0 => format!(
                "value set {} does not tell of which code system the code is",
                set.head.canonical()
            ),
            _ => format!(
                "several code systems of value set {} have the code: {}",
                set.head.canonical(),
                found.join(", ")
            ),
        };
        extra.say(
            "error",
            "not-found",
            "cannot-infer",
            text,
            Some("code".to_owned()),
        );
        Ok(())
    }

    fn systems_of(
        &self,
        set: &ValueSet,
        out: &mut BTreeSet<String>,
        depth: usize,
    ) -> Result<(), TerminologyError> {
        self.engine.step(1)?;
        if depth > crate::terminology::MAX_DEPTH {
            return Ok(());
        }
        for c in &set.expansion {
            out.insert(c.system.to_string());
        }
        for part in &set.include {
            if let Some(system) = &part.system {
                out.insert(system.to_string());
                continue;
            }
            for reference in &part.value_sets {
                let inner = match set.contained.iter().find(|(id, _)| id == reference) {
                    Some((_, inner)) => return self.systems_of(inner, out, depth + 1),
                    None => self.engine.value_set(reference, None)?,
                };
                if let Some(inner) = inner {
                    self.systems_of(&inner, out, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn coding(
        &self,
        coding: &Coding,
        place: &Place,
    ) -> Result<Verdict, TerminologyError> {
        let mut v = Verdict {
            code: coding.code.clone(),
            system: coding.system.clone(),
            ..Verdict::default()
        };
        let Some(code) = coding.code.as_deref() else {
            v.say(
                "error",
                "invalid",
                "invalid-data",
                "the coding has no code".to_owned(),
                place.itself(),
            );
            return Ok(v);
        };
        let Some(system) = coding.system.as_deref() else {
            if place.0.starts_with("Cod") {
                v.say(
                    "warning",
                    "invalid",
                    "invalid-data",
                    "the coding has no system; a code without a system means nothing and cannot be validated".to_owned(),
                    place.itself(),
                );
            }
            self.not_in_set(&mut v, coding, place);
            return Ok(v);
        };
        let chosen = self.chosen(coding, system, place, &mut v)?;
        let membership = self.membership(system, code, place, &mut v)?;
        let definition = chosen.definition;
        let concept = definition.as_ref().and_then(|d| d.get(code));
        if let Some(d) = &definition {
            v.version = d.head.version.as_deref().map(str::to_owned);
            self.engine.note_system(d);
            if let Err(TerminologyError::Unprocessable { text, .. }) =
                self.engine.check_version(system, d)
            {
                v.say(
                    "error",
                    "exception",
                    "version-error",
                    text,
                    place.of("version"),
                );
            }
        }
        v.is_undecided = chosen.is_undecided || membership.is_none();
        match membership {
            _ if v.is_undecided => {}
            Some(Tri::No) => {
                if let Some(c) = concept
                    && c.inactive
                    && self
                        .set
                        .as_ref()
                        .is_some_and(|s| self.engine.is_active_only(s))
                {
                    v.say(
                        "error",
                        "business-rule",
                        "code-rule",
                        format!("the concept {code} is valid but not active"),
                        place.of("code"),
                    );
                }
                self.not_in_set(&mut v, coding, place);
            }
            Some(tri) => v.is_member = definition.is_some() || tri == Tri::Yes,
            None => {}
        }
        if let Some(d) = definition.as_ref().filter(|_| concept.is_none()) {
            self.unknown_code(d, code, place, &mut v);
        }
        if let (Some(d), Some(c)) = (&definition, concept) {
            self.about(d, c, coding, place, &mut v);
        } else if let Some(text) = self.listed_display(system, code) {
            v.display = Some(text);
        }
        Ok(v)
    }

    /// The definition that a code of a system is read with, and what is wrong with its version.
    fn chosen(
        &self,
        coding: &Coding,
        system: &str,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<Chosen, TerminologyError> {
        let given = coding.version.as_deref();
        let included = self.included(system, given);
        let named = match &included {
            // A pattern of versions lets the coding choose.
            Some(Some(version)) if given.is_some_and(|g| version_fits(version, Some(g))) => given,
            Some(version) => version.as_deref(),
            None => given,
        };
        let Some(found) = self.engine.code_system(system, named)? else {
            return self.not_found(coding, system, named, included.is_some(), place, v);
        };
        if found.content == Content::NotPresent {
            self.unknown_system(system, place, v);
            return Ok(Chosen::default());
        }
        let fits = given.is_none_or(|wish| version_fits(wish, found.head.version.as_deref()));
        if !fits {
            let is_known = self
                .versions(system)?
                .iter()
                .any(|known| given.is_some_and(|g| version_fits(g, Some(known))));
            // Without a version in the value set the newest counts, and another one there is only odd.
            let is_open = self.engine.wished_version(system, named).is_none() && !is_known;
            v.say(
                if is_open { "warning" } else { "error" },
                "invalid",
                "vs-invalid",
                format!(
                    "code system {system} counts in version {}, the coding names {}",
                    found.head.version.as_deref().unwrap_or("without number"),
                    given.unwrap_or_default()
                ),
                place.of("version"),
            );
            if !is_known {
                self.unknown_version(system, given.unwrap_or_default(), place, v)?;
            }
        }
        Ok(Chosen {
            definition: Some(found),
            is_undecided: false,
        })
    }

    fn versions(&self, system: &str) -> Result<Vec<String>, TerminologyError> {
        Ok(self
            .engine
            .source
            .code_systems(system)?
            .iter()
            .filter(|c| c.content != Content::Supplement)
            .filter_map(|c| c.head.version.as_deref().map(str::to_owned))
            .collect())
    }

    fn unknown_version(
        &self,
        system: &str,
        version: &str,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<(), TerminologyError> {
        v.say(
            "error",
            "not-found",
            "not-found",
            format!(
                "code system {system} is not known here in version {version}; known: {}",
                self.versions(system)?.join(", ")
            ),
            place.of("system"),
        );
        v.caused_by.insert(format!("{system}|{version}"));
        Ok(())
    }

    /// There is no definition of the system, or none in the version that counts.
    fn not_found(
        &self,
        coding: &Coding,
        system: &str,
        named: Option<&str>,
        is_included: bool,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<Chosen, TerminologyError> {
        let given = coding.version.as_deref();
        if !self.versions(system)?.is_empty()
            && let Some(wish) = self.engine.wished_version(system, named)
        {
            if is_included && given.is_some_and(|g| g != wish) {
                v.say(
                    "error",
                    "invalid",
                    "vs-invalid",
                    format!(
                        "the value set includes code system {system} in version {wish}, the coding names {}",
                        given.unwrap_or_default()
                    ),
                    place.of("version"),
                );
            }
            self.unknown_version(system, wish, place, v)?;
            let other = match given {
                Some(_) => self.engine.code_system(system, given)?,
                None => None,
            };
            return Ok(Chosen {
                definition: match other {
                    Some(other) => Some(other),
                    None => self.engine.code_system(system, None)?,
                },
                is_undecided: is_included,
            });
        }
        if !system.contains(':') {
            v.say(
                "error",
                "invalid",
                "invalid-data",
                "a system is an absolute URI".to_owned(),
                place.of("system"),
            );
        }
        if grammar::has(system, coding.code.as_deref().unwrap_or_default()).is_some() {
            return Ok(Chosen::default());
        }
        let wrong = |text: String, v: &mut Verdict| {
            v.say("error", "invalid", "invalid-data", text, place.of("system"));
        };
        if !self.engine.source.value_sets(system)?.is_empty() {
            wrong(format!("{system} is a value set, not a code system"), v);
        } else if !self.engine.source.code_systems(system)?.is_empty() {
            wrong(format!("{system} is a supplement, not a code system"), v);
        } else {
            self.unknown_system(system, place, v);
        }
        Ok(Chosen::default())
    }

    fn unknown_system(&self, system: &str, place: &Place, v: &mut Verdict) {
        // A value set that lists codes of the system vouches for them itself.
        let is_listed = self.set.as_ref().is_some_and(|s| {
            s.include.iter().any(|p| {
                p.system.as_deref().is_some_and(|x| same_system(x, system))
                    && !p.concepts.is_empty()
            })
        });
        let is_drawn_on = self.draws_on(system);
        v.say(
            if is_listed { "warning" } else { "error" },
            "not-found",
            "not-found",
            format!("code system {system} is not known here, so its codes cannot be validated"),
            place.of("system"),
        );
        if is_drawn_on {
            v.caused_by.insert(system.to_owned());
        } else {
            v.unknown_systems.insert(system.to_owned());
        }
    }

    fn draws_on(&self, system: &str) -> bool {
        self.set.as_ref().is_some_and(|s| {
            s.include
                .iter()
                .any(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
        })
    }

    /// The version in which the value set includes a system, inner `None` when it names none; outer `None` when it does not
    /// include the system itself. Of several parts the one that fits the coding.
    fn included(&self, system: &str, given: Option<&str>) -> Option<Option<String>> {
        let set = self.set.as_ref()?;
        let parts: Vec<_> = set
            .include
            .iter()
            .filter(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
            .collect();
        let fitting = parts.iter().find(|p| {
            p.version
                .as_deref()
                .is_some_and(|v| given.is_some_and(|g| v == g || version_fits(v, Some(g))))
        });
        let part = fitting.or(parts.first())?;
        Some(part.version.as_deref().map(str::to_owned))
    }

    /// `None` when the value set refers to one that is not here.
    fn membership(
        &self,
        system: &str,
        code: &str,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<Option<Tri>, TerminologyError> {
        let Some(set) = &self.set else {
            return Ok(Some(match grammar::has(system, code) {
                Some(true) => Tri::Yes,
                Some(false) => {
                    v.say(
                        "error",
                        "code-invalid",
                        "invalid-code",
                        format!("the code does not follow the grammar of {system}"),
                        place.of("code"),
                    );
                    Tri::Unknown
                }
                None => Tri::Unknown,
            }));
        };
        let asked = Asked { system, code };
        match self.engine.contains(set, asked, &mut Stack::new(set)) {
            Ok(tri) => Ok(Some(tri)),
            Err(TerminologyError::Unknown { kind, url }) => {
                v.say(
                    "error",
                    "not-found",
                    "not-found",
                    format!("{kind} {url}, which the value set draws on, is not known here"),
                    None,
                );
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn not_in_set(&self, v: &mut Verdict, coding: &Coding, place: &Place) {
        let Some(set) = &self.set else { return };
        let system = coding.system.as_deref().unwrap_or_default();
        let version = coding
            .version
            .as_deref()
            .map(|v| format!("|{v}"))
            .unwrap_or_default();
        let text = format!(
            "the code {system}{version}#{} is not in value set {}",
            coding.code.as_deref().unwrap_or_default(),
            set.head.canonical()
        );
        let (severity, kind) = if self.is_concept {
            ("information", "this-code-not-in-vs")
        } else {
            ("error", "not-in-vs")
        };
        v.say(severity, "code-invalid", kind, text, place.of("code"));
    }

    fn unknown_code(&self, d: &CodeSystem, code: &str, place: &Place, v: &mut Verdict) {
        if self.membership_only {
            return;
        }
        let canonical = d.head.canonical();
        if d.is_complete() {
            v.say(
                "error",
                "code-invalid",
                "invalid-code",
                format!("code system {canonical} has no code {code}"),
                place.of("code"),
            );
            v.is_member = false;
        } else {
            v.say(
                "warning",
                "code-invalid",
                "invalid-code",
                format!("code system {canonical} is here in part only and has no code {code}"),
                place.of("code"),
            );
        }
    }

    /// Spelling, state and text of a concept that is there.
    fn about(&self, d: &CodeSystem, c: &Concept, coding: &Coding, place: &Place, v: &mut Verdict) {
        let code = coding.code.as_deref().unwrap_or_default();
        if c.code.as_ref() != code {
            v.normalized = Some(c.code.to_string());
            v.say(
                "information",
                "business-rule",
                "code-rule",
                format!(
                    "the code is spelled {} in code system {}",
                    c.code,
                    d.head.canonical()
                ),
                place.of("code"),
            );
        }
        if c.inactive {
            v.inactive = true;
            v.status = c.status.as_deref().map(str::to_owned);
            let status = c.status.as_deref().filter(|s| *s != "inactive");
            let state = status.map_or("inactive".to_owned(), |s| format!("{s} and inactive"));
            v.say(
                "warning",
                "business-rule",
                "code-comment",
                format!(
                    "the concept {} is {state}; its use should be looked at",
                    c.code
                ),
                place.itself().or(place.of("code")),
            );
        }
        if !c.inactive && c.status.as_deref() == Some("deprecated") {
            v.status = Some("deprecated".to_owned());
            v.say(
                "warning",
                "business-rule",
                "code-comment",
                format!(
                    "the concept {} is deprecated; its use should be looked at",
                    c.code
                ),
                place.itself().or(place.of("code")),
            );
        }
        if c.is_abstract && !self.allows_abstract {
            v.say(
                "error",
                "business-rule",
                "code-rule",
                format!("the concept {} is for grouping only", c.code),
                place.of("code"),
            );
            v.is_member = false;
        }
        let system = coding.system.as_deref().unwrap_or_default();
        if self
            .listed(system, &c.code)
            .is_some_and(|l| l.is_deprecated)
        {
            v.say(
                "warning",
                "business-rule",
                "code-comment",
                format!(
                    "the value set marks the concept {} as deprecated; its use should be looked at",
                    c.code
                ),
                place.of("code"),
            );
            v.aside();
        }
        self.check_display(d, c, coding, place, v);
    }

    fn check_display(
        &self,
        d: &CodeSystem,
        c: &Concept,
        coding: &Coding,
        place: &Place,
        v: &mut Verdict,
    ) {
        let own_language = d.head.language.as_deref();
        let own = self
            .listed_display(coding.system.as_deref().unwrap_or_default(), &c.code)
            .or_else(|| c.display.as_deref().map(str::to_owned));
        let shown = self
            .languages
            .choose(own.as_deref(), own_language, &c.designations)
            .or(own.as_deref())
            .map(str::to_owned);
        v.display.clone_from(&shown);
        let Some(given) = coding.display.as_deref().filter(|_| !self.membership_only) else {
            return;
        };
        let texts = || {
            let first = c.display.iter().map(|t| (t.as_ref(), own_language));
            let listed = own.iter().map(|t| (t.as_str(), own_language));
            let others = c
                .designations
                .iter()
                .map(|t| (t.value.as_ref(), t.language.as_deref()));
            first.chain(listed).chain(others)
        };
        let is_right = |(text, language): (&str, Option<&str>)| {
            text.to_lowercase() == given.to_lowercase()
                && (self.languages.admits(language) || language.is_none())
        };
        if texts().any(is_right) {
            self.say_if_outdated(c, own.as_deref(), given, place, v);
            return;
        }
        let in_wished = texts().any(|(_, l)| l.is_some() && self.languages.admits(l));
        let other = texts().any(|(text, _)| text.to_lowercase() == given.to_lowercase());
        let language = self.languages.first();
        // Right in another language, and there is none in the one wished for: no fault of the sender.
        if other && !in_wished {
            if let Some(wish) = language
                && !own_language.is_some_and(|l| speaks(wish, l))
            {
                v.say(
                    "information",
                    "invalid",
                    "invalid-display",
                    format!("the code has no text in the language {wish}"),
                    place.of("display"),
                );
            }
            return;
        }
        let severity = if self.lenient_display {
            "warning"
        } else {
            "error"
        };
        v.say(
            severity,
            "invalid",
            "invalid-display",
            format!(
                "the text is not one of the concept {}{}",
                c.code,
                shown.map_or_else(String::new, |s| format!("; it should be: {s}"))
            ),
            place.of("display"),
        );
    }

    /// A text that only a withdrawn or deprecated designation has is no mistake, but worth a word.
    fn say_if_outdated(
        &self,
        c: &Concept,
        own: Option<&str>,
        given: &str,
        place: &Place,
        v: &mut Verdict,
    ) {
        let is_it = |text: &str| text.to_lowercase() == given.to_lowercase();
        let is_shown = c.display.as_deref().into_iter().chain(own).any(is_it);
        let mut standings = Vec::new();
        for d in c.designations.iter().filter(|d| is_it(&d.value)) {
            standings.push(d.standards_status.as_deref());
        }
        let is_outdated = |s: &Option<&str>| matches!(s, Some("withdrawn" | "deprecated"));
        if is_shown || !standings.iter().all(is_outdated) {
            return;
        }
        let Some(Some(standing)) = standings.first() else {
            return;
        };
        v.say(
            "warning",
            "invalid",
            "display-comment",
            format!(
                "the text is {standing} for the concept {}{}",
                c.code,
                own.map_or_else(String::new, |s| format!("; it should be: {s}"))
            ),
            place.of("display"),
        );
        v.aside();
    }

    /// What the value set itself says of a code.
    fn listed(&self, system: &str, code: &str) -> Option<&Listed> {
        self.set
            .as_ref()?
            .include
            .iter()
            .filter(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
            .flat_map(|p| &p.concepts)
            .find(|l| l.code.as_ref() == code)
    }

    /// The text that it gives.
    fn listed_display(&self, system: &str, code: &str) -> Option<String> {
        let listed = self.listed(system, code)?;
        listed.display.as_deref().map(str::to_owned)
    }
}
