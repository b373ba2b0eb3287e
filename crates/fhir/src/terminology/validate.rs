//! `$validate-code` of CodeSystem and ValueSet: the verdict, and every issue apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::{Arguments, Coding, missing};
use super::code_system::{CodeSystem, Concept, Content};
use super::compose::{Asked, Engine, Stack, Tri, same_system};
use super::expand::value_set_of;
use super::language::{Languages, speaks};
use super::source::{Layers, Source, split_canonical, version_fits};
use super::value_set::ValueSet;
use super::{TerminologyError, grammar};
use crate::build::Json;
use crate::doc::Node;

/// Most codings of one CodeableConcept.
const MAX_CODINGS: usize = 100;

/// One issue of the answer.
#[derive(Clone, Debug)]
struct Issue {
    severity: &'static str,
    code: &'static str,
    /// Code of `tx-issue-type`.
    kind: &'static str,
    text: String,
    at: Option<String>,
}

/// What is known of one coding.
#[derive(Default)]
struct Verdict {
    issues: Vec<Issue>,
    /// In the value set (or the system).
    is_member: bool,
    system: Option<String>,
    code: Option<String>,
    version: Option<String>,
    display: Option<String>,
    inactive: bool,
    status: Option<String>,
    normalized: Option<String>,
    unknown_systems: BTreeSet<String>,
    /// The value set draws on a system that is not here.
    caused_by: BTreeSet<String>,
}

impl Verdict {
    fn say(
        &mut self,
        severity: &'static str,
        code: &'static str,
        kind: &'static str,
        text: String,
        at: Option<String>,
    ) {
        self.issues.push(Issue {
            severity,
            code,
            kind,
            text,
            at,
        });
    }

    fn has_error(&self) -> bool {
        self.issues.iter().any(|i| i.severity == "error")
    }
}

/// Where in the question something stands: `code`, `Coding.code`, `CodeableConcept.coding[0].code`.
struct Place(String);

impl Place {
    fn of(&self, name: &str) -> Option<String> {
        Some(if self.0.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.0)
        })
    }

    fn itself(&self) -> Option<String> {
        Some(self.0.clone()).filter(|s| !s.is_empty())
    }
}

struct Checker<'c> {
    engine: Engine<'c>,
    set: Option<Arc<ValueSet>>,
    languages: Languages,
    lenient_display: bool,
    allows_abstract: bool,
    membership_only: bool,
    is_concept: bool,
}

/// `ValueSet/$validate-code`.
///
/// Errors: nothing to validate or no value set named (400), value set unknown (404), a value set that cannot be worked out
/// (422). Everything about the code itself is in the answer.
pub fn validate_in_value_set(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Value, TerminologyError> {
    let held = arguments.sent_along()?;
    let layers = Layers(vec![&held, source]);
    let question = Question::read(arguments)?;
    let set = value_set_of(&layers, arguments, instance)?;
    validate(&layers, arguments, question, Some(set))
}

/// `CodeSystem/$validate-code`; of an instance its URL and version count.
///
/// Errors: nothing to validate or no system named (400).
pub fn validate_in_system(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Value, TerminologyError> {
    let mut held = arguments.sent_along()?;
    let mut question = Question::read(arguments)?;
    let (url, version) = match instance.or(arguments.resource("codeSystem", "CodeSystem")?) {
        Some(node) => {
            held.add(node)?;
            let system = CodeSystem::compile(node)?.head;
            (Some(system.url.to_string()), system.version.map(String::from))
        }
        None => (
            arguments.text_of(&["url", "system"])?.map(str::to_owned),
            arguments
                .text_of(&["version", "systemVersion"])?
                .map(str::to_owned),
        ),
    };
    if let Some(url) = url {
        let (url, named) = split_canonical(&url);
        let version = version.or(named.map(str::to_owned));
        for coding in &mut question.codings {
            match &coding.system {
                None => {
                    coding.system = Some(url.to_owned());
                    coding.version = coding.version.take().or(version.clone());
                }
                Some(system) if same_system(system, url) => {
                    coding.version = coding.version.take().or(version.clone());
                }
                Some(_) => {
                    return Err(TerminologyError::Invalid {
                        code: "invalid",
                        text: "the coding is of another code system than the one named".to_owned(),
                    });
                }
            }
        }
    } else if question.kind == Kind::Code {
        return Err(missing("name the code system with url"));
    }
    let layers = Layers(vec![&held, source]);
    validate(&layers, arguments, question, None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Coding,
    Concept,
}

struct Question<'d> {
    kind: Kind,
    codings: Vec<Coding>,
    concept: Option<Node<'d>>,
}

impl<'d> Question<'d> {
    fn read(arguments: &Arguments<'d>) -> Result<Question<'d>, TerminologyError> {
        let given = ["code", "coding", "codeableConcept"]
            .iter()
            .filter(|name| arguments.has(name))
            .count();
        if given != 1 {
            return Err(missing(
                "give one of code, coding and codeableConcept, and only one",
            ));
        }
        if let Some(node) = arguments.concept("codeableConcept")? {
            let codings: Vec<Coding> = node
                .all("coding")
                .take(MAX_CODINGS + 1)
                .map(Coding::read)
                .collect();
            if codings.len() > MAX_CODINGS {
                return Err(TerminologyError::TooCostly(format!(
                    "a CodeableConcept may have at most {MAX_CODINGS} codings here"
                )));
            }
            return Ok(Question {
                kind: Kind::Concept,
                codings,
                concept: Some(node),
            });
        }
        if let Some(coding) = arguments.coding("coding")? {
            return Ok(Question {
                kind: Kind::Coding,
                codings: vec![coding],
                concept: None,
            });
        }
        let text = |name: &str| Ok::<_, TerminologyError>(arguments.text(name)?.map(str::to_owned));
        let coding = Coding {
            system: text("system")?,
            version: text("systemVersion")?,
            code: text("code")?,
            display: text("display")?,
        };
        Ok(Question {
            kind: Kind::Code,
            codings: vec![coding],
            concept: None,
        })
    }
}

fn validate(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    mut question: Question<'_>,
    set: Option<Arc<ValueSet>>,
) -> Result<Value, TerminologyError> {
    let mut settings = arguments.settings()?;
    if let Some(set) = &set {
        settings.supplements.extend(set.supplements.iter().cloned());
    }
    let engine = Engine::new(source, settings);
    for supplement in &engine.settings.supplements {
        engine.supplement(supplement)?;
    }
    let fixed_language = set.as_ref().and_then(|s| {
        s.parameters
            .iter()
            .find(|(name, _)| name.as_ref() == "displayLanguage")
            .map(|(_, value)| value.to_string())
            .or_else(|| s.head.language.as_ref().map(ToString::to_string))
    });
    let checker = Checker {
        engine,
        languages: arguments.languages(fixed_language.as_deref())?,
        lenient_display: arguments.flag("lenient-display-validation")? == Some(true)
            || arguments.text("mode")? == Some("lenient-display-validation"),
        allows_abstract: arguments.flag("abstract")? != Some(false),
        membership_only: arguments.flag("valueset-membership-only")? == Some(true),
        is_concept: question.kind == Kind::Concept,
        set,
    };
    let mut verdicts = Vec::new();
    let mut extra = Verdict::default();
    let count = question.codings.len();
    for (i, coding) in question.codings.iter_mut().enumerate() {
        let place = Place(match question.kind {
            Kind::Code => String::new(),
            Kind::Coding => "Coding".to_owned(),
            Kind::Concept => format!("CodeableConcept.coding[{i}]"),
        });
        if question.kind == Kind::Code && coding.system.is_none() {
            checker.infer(coding, &mut extra)?;
        }
        verdicts.push(checker.coding(coding, &place)?);
    }
    if question.kind == Kind::Concept && !verdicts.iter().any(|v| v.is_member) {
        let failed_import = verdicts.iter().any(|v| {
            v.issues
                .iter()
                .any(|i| i.kind == "not-found" && i.at.is_none())
        });
        if let Some(set) = checker.set.as_ref().filter(|_| !failed_import) {
            let text = if count == 0 {
                format!("the concept has no coding, so none is in value set {}", set.head.canonical())
            } else {
                format!("none of the codings is in value set {}", set.head.canonical())
            };
            extra.say("error", "code-invalid", "not-in-vs", text, None);
        }
    }
    Ok(answer(&question, extra, verdicts))
}

impl Checker<'_> {
    /// The system of a code that came without one: the one system of the value set that has it.
    fn infer(&self, coding: &mut Coding, extra: &mut Verdict) -> Result<(), TerminologyError> {
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
            0 => format!("value set {} does not tell of which code system the code is", set.head.canonical()),
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
        if depth > super::MAX_DEPTH {
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

    fn coding(&self, coding: &Coding, place: &Place) -> Result<Verdict, TerminologyError> {
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
        let (definition, is_known_version) = self.definition(coding, system, place, &mut v)?;
        let membership = self.membership(system, code, place, &mut v)?;
        let version_agrees = self.check_include_version(coding, system, place, &mut v)?;
        let concept = definition.as_ref().and_then(|d| d.get(code));
        if let Some(d) = &definition {
            v.version = d.head.version.as_deref().map(str::to_owned);
        }
        match (membership, &definition, concept) {
            (None, ..) => {}
            (Some(Tri::No), ..) => {
                if let Some(c) = concept
                    && c.inactive
                    && self.set.as_ref().is_some_and(|s| self.engine.is_active_only(s))
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
            (Some(_), None, _) => v.is_member = membership == Some(Tri::Yes),
            (Some(_), Some(_), _) => v.is_member = true,
        }
        if let Some(d) = definition.as_ref().filter(|_| concept.is_none()) {
            self.unknown_code(d, code, place, &mut v);
        }
        if let (Some(d), Some(c)) = (&definition, concept) {
            self.about(d, c, coding, place, &mut v);
        } else if let Some(text) = self.listed_display(system, code) {
            v.display = Some(text);
        }
        if !is_known_version || !version_agrees {
            v.is_member = false;
        }
        Ok(v)
    }

    /// The definition that the coding is read with, and whether it has the version that the coding names.
    fn definition(
        &self,
        coding: &Coding,
        system: &str,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<(Option<Arc<CodeSystem>>, bool), TerminologyError> {
        let named = coding.version.as_deref().or_else(|| self.include_version(system));
        let found = self.engine.code_system(system, named)?;
        if let Some(found) = found {
            if found.content == Content::NotPresent {
                self.unknown_system(system, place, v);
                return Ok((None, true));
            }
            // The coding's own version counts even where a setting fixes another.
            let fits = coding
                .version
                .as_deref()
                .is_none_or(|wish| version_fits(wish, found.head.version.as_deref()));
            if !fits {
                v.say(
                    "error",
                    "invalid",
                    "vs-invalid",
                    format!(
                        "code system {system} counts in version {}, which is not the version of the coding",
                        found.head.version.as_deref().unwrap_or("without number")
                    ),
                    place.of("version"),
                );
            }
            return Ok((Some(found), fits));
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
        let versions: Vec<String> = self
            .engine
            .source
            .code_systems(system)?
            .iter()
            .filter(|c| c.content != Content::Supplement)
            .filter_map(|c| c.head.version.as_deref().map(str::to_owned))
            .collect();
        if let Some(wish) = named
            && !versions.is_empty()
        {
            v.say(
                "error",
                "not-found",
                "not-found",
                format!(
                    "code system {system} is not known here in version {wish}; known: {}",
                    versions.join(", ")
                ),
                place.of("system"),
            );
            v.caused_by.insert(format!("{system}|{wish}"));
            return Ok((self.engine.code_system(system, None)?, false));
        }
        if grammar::has(system, coding.code.as_deref().unwrap_or_default()).is_some() {
            return Ok((None, true));
        }
        if !self.engine.source.value_sets(system)?.is_empty() {
            v.say(
                "error",
                "invalid",
                "invalid-data",
                format!("{system} is a value set, not a code system"),
                place.of("system"),
            );
            return Ok((None, false));
        }
        self.unknown_system(system, place, v);
        Ok((None, true))
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

    /// The version that the value set names for a system, when it names one.
    fn include_version(&self, system: &str) -> Option<&str> {
        self.set.as_ref().and_then(|s| {
            s.include
                .iter()
                .filter(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
                .find_map(|p| p.version.as_deref())
        })
    }

    /// The version of the coding must be the one that the value set includes.
    fn check_include_version(
        &self,
        coding: &Coding,
        system: &str,
        place: &Place,
        v: &mut Verdict,
    ) -> Result<bool, TerminologyError> {
        let Some(wish) = coding.version.as_deref() else {
            return Ok(true);
        };
        let Some(set) = &self.set else {
            return Ok(true);
        };
        let mut parts = set
            .include
            .iter()
            .filter(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
            .peekable();
        if parts.peek().is_none() {
            return Ok(true);
        }
        let mut included = Vec::new();
        for part in parts {
            match self.engine.wished_version(system, part.version.as_deref()) {
                None => return Ok(true),
                Some(version) if version_fits(version, Some(wish)) || version == wish => {
                    return Ok(true);
                }
                Some(version) => included.push(version.to_owned()),
            }
        }
        v.say(
            "error",
            "invalid",
            "vs-invalid",
            format!(
                "the value set includes code system {system} in version {}, the coding names {wish}",
                included.join(", ")
            ),
            place.of("version"),
        );
        Ok(false)
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
                format!("the code is spelled {} in code system {}", c.code, d.head.canonical()),
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
                format!("the concept {} is {state}; its use should be looked at", c.code),
                place.itself(),
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
        let Some(given) = coding.display.as_deref() else {
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
                    "display-comment",
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

    /// The text that the value set itself gives for a code.
    fn listed_display(&self, system: &str, code: &str) -> Option<String> {
        self.set
            .as_ref()?
            .include
            .iter()
            .filter(|p| p.system.as_deref().is_some_and(|x| same_system(x, system)))
            .flat_map(|p| &p.concepts)
            .find(|l| l.code.as_ref() == code)
            .and_then(|l| l.display.as_deref().map(str::to_owned))
    }
}

fn answer(question: &Question<'_>, extra: Verdict, verdicts: Vec<Verdict>) -> Value {
    let has_error = extra.has_error() || verdicts.iter().any(Verdict::has_error);
    let result = !has_error && verdicts.iter().any(|v| v.is_member);
    let mut parameters: Vec<Value> = vec![json!({ "name": "result", "valueBoolean": result })];
    let mut issues: Vec<&Issue> = extra
        .issues
        .iter()
        .chain(verdicts.iter().flat_map(|v| &v.issues))
        .collect();
    issues.sort_by_key(|i| match i.severity {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    });
    let mut said: Vec<&str> = issues
        .iter()
        .filter(|i| i.severity == "error" || i.severity == "warning")
        .map(|i| i.text.as_str())
        .collect();
    said.dedup();
    if said.is_empty() && result {
        said = issues.iter().map(|i| i.text.as_str()).collect();
    }
    let mut add = |name: &str, kind: &str, value: Option<&str>| {
        if let Some(value) = value {
            let mut p = serde_json::Map::new();
            p.insert("name".to_owned(), json!(name));
            p.insert(kind.to_owned(), json!(value));
            parameters.push(Value::Object(p));
        }
    };
    let message = said.join("; ");
    add(
        "message",
        "valueString",
        Some(message.as_str()).filter(|m| !m.is_empty()),
    );
    let best = verdicts
        .iter()
        .find(|v| v.is_member)
        .or(verdicts.first().filter(|_| question.kind != Kind::Concept));
    if let Some(v) = best {
        add("display", "valueString", v.display.as_deref());
        add("code", "valueCode", v.code.as_deref());
        add("system", "valueUri", v.system.as_deref());
        add("version", "valueString", v.version.as_deref());
        add("normalized-code", "valueCode", v.normalized.as_deref());
        add("status", "valueCode", v.status.as_deref());
        if v.inactive {
            parameters.push(json!({ "name": "inactive", "valueBoolean": true }));
        }
    }
    for v in &verdicts {
        for (name, list) in [
            ("x-unknown-system", &v.unknown_systems),
            ("x-caused-by-unknown-system", &v.caused_by),
        ] {
            for url in list {
                parameters.push(json!({ "name": name, "valueCanonical": url }));
            }
        }
    }
    if let Some(node) = question.concept
        && let Ok(value) = serde_json::from_slice::<Value>(&node.raw_json())
    {
        parameters.push(json!({ "name": "codeableConcept", "valueCodeableConcept": value }));
    }
    if !issues.is_empty() {
        let list: Vec<Value> = issues.iter().map(|i| i.json()).collect();
        parameters.push(json!({
            "name": "issues",
            "resource": { "resourceType": "OperationOutcome", "issue": list },
        }));
    }
    json!({ "resourceType": "Parameters", "parameter": parameters })
}

impl Issue {
    fn json(&self) -> Value {
        Json::new()
            .put("severity", self.severity)
            .put("code", self.code)
            .put(
                "details",
                json!({
                    "coding": [{
                        "system": "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type",
                        "code": self.kind,
                    }],
                    "text": self.text,
                }),
            )
            .list("expression", self.at.clone())
            .build()
    }
}
