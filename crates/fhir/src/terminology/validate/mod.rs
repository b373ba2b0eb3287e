//! `$validate-code` of CodeSystem and ValueSet: the verdict, and every issue apart.

mod check;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::build::Json;
use crate::doc::Node;
use crate::terminology::TerminologyError;
use crate::terminology::arguments::{Arguments, Coding, missing};
use crate::terminology::code_system::CodeSystem;
use crate::terminology::compose::{Engine, note_own_status, same_system};
use crate::terminology::expand::value_set_of;
use crate::terminology::language::Languages;
use crate::terminology::source::{Layers, Source, split_canonical};
use crate::terminology::value_set::ValueSet;

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
    /// Left out of `message`.
    is_aside: bool,
}

/// What is known of one coding.
#[derive(Default)]
struct Verdict {
    issues: Vec<Issue>,
    /// In the value set (or the system), whatever else is wrong.
    is_member: bool,
    /// What the value set includes is not here, so that nothing can be said.
    is_undecided: bool,
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
            is_aside: false,
        });
    }

    /// The last issue is not for `message`.
    fn aside(&mut self) {
        if let Some(last) = self.issues.last_mut() {
            last.is_aside = true;
        }
    }

    fn has_error(&self) -> bool {
        self.issues.iter().any(|i| i.severity == "error")
    }
}

/// What [`Checker::chosen`] found.
#[derive(Default)]
struct Chosen {
    definition: Option<Arc<CodeSystem>>,
    is_undecided: bool,
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
            (
                Some(system.url.to_string()),
                system.version.map(String::from),
            )
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
    if let Some(set) = &set {
        engine.check_circles(set)?;
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
    let is_in = verdicts.iter().any(|v| v.is_member || v.is_undecided);
    if let Some(set) = &checker.set
        && question.kind == Kind::Concept
        && !is_in
    {
        let canonical = set.head.canonical();
        let text = if count == 0 {
            format!("the concept has no coding, so none is in value set {canonical}")
        } else {
            format!("none of the codings is in value set {canonical}")
        };
        extra.say("error", "code-invalid", "not-in-vs", text, None);
    }
    if let Some(set) = &checker.set {
        note_own_status(&checker.engine.used, set);
    }
    for (standing, canonical) in &checker.engine.used.borrow().warnings {
        extra.say(
            "information",
            "business-rule",
            "status-check",
            format!("{canonical}, which the answer draws on, is {standing}"),
            None,
        );
    }
    Ok(answer(&question, extra, verdicts))
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
        .filter(|i| matches!(i.severity, "error" | "warning") && !i.is_aside)
        .map(|i| i.text.as_str())
        .collect();
    said.dedup();
    if said.is_empty() {
        let worth_saying = issues.iter().filter(|i| i.kind == "invalid-display");
        said = worth_saying.map(|i| i.text.as_str()).collect();
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
