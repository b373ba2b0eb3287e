//! Findings: what is wrong with a document, where, and by which rule; and their OperationOutcome form.
//!
//! Texts name elements and rules, never values: a finding may be logged and sent back without leaking health data.

use serde_json::{Value, json};

/// OperationOutcome.issue.severity (value set `issue-severity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The action cannot be carried out and checking stopped.
    Fatal,
    /// The content is wrong; a server refuses it.
    Error,
    /// The content is suspicious; a server accepts it.
    Warning,
    /// For the reader only.
    Information,
}

impl Severity {
    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Fatal => "fatal",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Information => "information",
        }
    }
}

/// OperationOutcome.issue.code (value set `issue-type`), the members this crate produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssueCode {
    /// Content cannot be read.
    Invalid,
    /// Element or shape not allowed here.
    Structure,
    /// A mandatory element is missing.
    Required,
    /// The value does not follow its type's rules.
    Value,
    /// A constraint (FHIRPath invariant) does not hold.
    Invariant,
    /// A code is not in its required value set.
    CodeInvalid,
    /// Not supported here.
    NotSupported,
    /// Larger than a limit.
    TooLong,
    /// Deeper, wider or slower than a limit.
    TooCostly,
    /// All well.
    Informational,
    /// A test or precondition failed.
    Conflict,
    /// Something named does not exist.
    NotFound,
}

impl IssueCode {
    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueCode::Invalid => "invalid",
            IssueCode::Structure => "structure",
            IssueCode::Required => "required",
            IssueCode::Value => "value",
            IssueCode::Invariant => "invariant",
            IssueCode::CodeInvalid => "code-invalid",
            IssueCode::NotSupported => "not-supported",
            IssueCode::TooLong => "too-long",
            IssueCode::TooCostly => "too-costly",
            IssueCode::Informational => "informational",
            IssueCode::Conflict => "conflict",
            IssueCode::NotFound => "not-found",
        }
    }
}

/// One thing found in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of fault.
    pub code: IssueCode,
    /// Simple FHIRPath to the element, empty when the text could not be read that far.
    pub expression: String,
    /// 1-based line in the text as received; 0 when unknown.
    pub line: u32,
    /// 1-based column (in characters) in the text as received; 0 when unknown.
    pub column: u32,
    /// Stable name of the rule, e.g. `json-syntax`, `cardinality`, `obs-6`.
    pub rule: String,
    /// What is wrong and what to do, in English; holds no values from the document.
    pub text: String,
}

impl Finding {
    /// An error without a position.
    pub fn error(code: IssueCode, rule: &str, text: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Error,
            code,
            expression: String::new(),
            line: 0,
            column: 0,
            rule: rule.to_owned(),
            text: text.into(),
        }
    }

    /// The same finding at a place.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = line;
        self.column = column;
        self
    }

    /// The same finding with the path of the element it is about.
    #[must_use]
    pub fn on(mut self, expression: impl Into<String>) -> Self {
        self.expression = expression.into();
        self
    }

    /// True for `fatal` and `error`.
    pub fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Fatal | Severity::Error)
    }
}

/// OperationOutcome of the findings; none gives one `information` issue, so that the outcome is always valid.
pub fn outcome(findings: &[Finding]) -> Value {
    let issues: Vec<Value> = if findings.is_empty() {
        vec![
            json!({"severity": "information", "code": "informational", "diagnostics": "No issues found"}),
        ]
    } else {
        findings.iter().map(issue).collect()
    };
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

fn issue(f: &Finding) -> Value {
    let mut v = json!({"severity": f.severity.as_str(), "code": f.code.as_str()});
    if let Some(o) = v.as_object_mut() {
        if f.line > 0 {
            o.insert(
                "extension".into(),
                json!([
                    {"url": "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line", "valueInteger": f.line},
                    {"url": "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col", "valueInteger": f.column}
                ]),
            );
        }
        if !f.rule.is_empty() {
            o.insert("details".into(), json!({"text": f.text}));
            o.insert(
                "diagnostics".into(),
                Value::String(format!("rule {}", f.rule)),
            );
        } else {
            o.insert("diagnostics".into(), Value::String(f.text.clone()));
        }
        if !f.expression.is_empty() {
            o.insert("expression".into(), json!([f.expression]));
        }
    }
    v
}

/// Line and column (1-based, column in characters) of a byte offset.
pub(crate) fn line_column(src: &[u8], offset: usize) -> (u32, u32) {
    let head = src.get(..offset.min(src.len())).unwrap_or_default();
    let line = head.iter().filter(|b| **b == b'\n').count();
    let start = head.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let column = head
        .get(start..)
        .unwrap_or_default()
        .iter()
        .filter(|b| (**b & 0xC0) != 0x80)
        .count();
    (
        u32::try_from(line + 1).unwrap_or(u32::MAX),
        u32::try_from(column + 1).unwrap_or(u32::MAX),
    )
}

/// A name from the document made safe for a text: at most 64 characters, no control characters.
pub(crate) fn safe_name(name: &str) -> String {
    let mut out: String = name
        .chars()
        .take(64)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if name.chars().nth(64).is_some() {
        out.push('…');
    }
    out
}
