//! What went wrong, as status and OperationOutcome (spec/fhir-server.md §6).
//!
//! Texts name parameters, elements and limits, never values: they may reach people who may not see the patient.

use crate::gate::Refusal;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use fhir::Finding;
use fhir::keys::query::QueryError;
use serde_json::{Value, json};
use store::{CommitError, StoreError};

/// One issue of an OperationOutcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// `fatal`, `error`, `warning` or `information`.
    pub severity: &'static str,
    /// Issue type code.
    pub code: &'static str,
    /// What was wrong, where, and what to do.
    pub text: String,
    /// FHIRPath of the element, or the name of the search parameter.
    pub expression: Option<String>,
    /// Line and column in the text as received.
    pub place: Option<(u32, u32)>,
    /// Rule, when one is named.
    pub rule: Option<String>,
}

impl Issue {
    /// An error.
    pub fn error(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity: "error",
            code,
            text: text.into(),
            expression: None,
            place: None,
            rule: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity: "warning",
            ..Self::error(code, text)
        }
    }

    /// The same, about an element.
    #[must_use]
    pub fn on(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    fn json(&self) -> Value {
        let mut issue = serde_json::Map::new();
        if let Some((line, column)) = self.place {
            issue.insert(
                "extension".to_owned(),
                json!([
                    { "url": "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line", "valueInteger": line },
                    { "url": "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col", "valueInteger": column },
                ]),
            );
        }
        issue.insert("severity".to_owned(), json!(self.severity));
        issue.insert("code".to_owned(), json!(self.code));
        issue.insert("details".to_owned(), json!({ "text": self.text }));
        if let Some(rule) = &self.rule {
            issue.insert("diagnostics".to_owned(), json!(format!("rule {rule}")));
        }
        if let Some(expression) = &self.expression {
            issue.insert("expression".to_owned(), json!([expression]));
        }
        Value::Object(issue)
    }
}

impl From<&Finding> for Issue {
    fn from(f: &Finding) -> Self {
        Self {
            severity: f.severity.as_str(),
            code: f.code.as_str(),
            text: f.text.clone(),
            expression: (!f.expression.is_empty()).then(|| f.expression.clone()),
            place: (f.line > 0).then_some((f.line, f.column)),
            rule: (!f.rule.is_empty()).then(|| f.rule.clone()),
        }
    }
}

/// OperationOutcome of some issues.
pub fn outcome(issues: &[Issue]) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "issue": issues.iter().map(Issue::json).collect::<Vec<_>>(),
    })
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status.
    pub status: StatusCode,
    /// Why.
    pub issues: Vec<Issue>,
    /// Headers of the answer besides the common ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    /// One issue.
    pub fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            issues: vec![Issue::error(code, text)],
            headers: Vec::new(),
        }
    }

    /// 400.
    pub fn bad(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, text)
    }

    /// 404: not there, or not for the caller; one answer.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such resource here",
        )
    }

    /// 410 of a deleted resource that the caller could see.
    pub fn gone() -> Self {
        Self::new(StatusCode::GONE, "deleted", "the resource was deleted")
    }

    /// 412.
    pub fn precondition(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, code, text)
    }

    /// 400: more work than one request may cost; the limit is named in the text.
    pub fn too_costly(text: impl Into<String>) -> Self {
        Self::bad("too-costly", text)
    }

    /// 405 with what is allowed.
    pub fn method(allow: &'static str) -> Self {
        let mut failure = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "not-supported",
            format!("this address takes {allow}"),
        );
        failure
            .headers
            .push((header::ALLOW, HeaderValue::from_static(allow)));
        failure
    }

    /// 500: our own fault; details are in the log only.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "internal error; the request id leads to it in the log",
        )
    }

    /// The same with the first issue naming an element.
    #[must_use]
    pub fn on(mut self, expression: impl Into<String>) -> Self {
        if let Some(issue) = self.issues.first_mut() {
            issue.expression = Some(expression.into());
        }
        self
    }

    /// The same with a header; a value that cannot be one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The same inside an entry of a Bundle: expressions then lead from the Bundle.
    #[must_use]
    pub fn within(mut self, entry: &str) -> Self {
        for issue in &mut self.issues {
            issue.expression = Some(match issue.expression.take() {
                Some(inner) if inner.starts_with("Bundle.entry[") => inner,
                Some(inner) => match inner.split_once('.') {
                    Some((rtype, rest)) if fhir::Pack::r4().resource_type(rtype).is_some() => {
                        format!("{entry}.resource.{rest}")
                    }
                    _ => entry.to_owned(),
                },
                None => entry.to_owned(),
            });
        }
        self
    }

    /// Findings: 422 when the text could be read, 400 when not.
    pub fn findings(findings: &[Finding]) -> Self {
        use fhir::IssueCode as C;
        let status = match findings.first().map(|f| f.code) {
            Some(C::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            _ if findings.iter().any(|f| {
                f.is_error()
                    && (matches!(f.code, C::Invalid | C::TooCostly) || f.expression.is_empty())
            }) =>
            {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut issues: Vec<Issue> = findings.iter().map(Issue::from).collect();
        // What made it fail stands first; remarks follow.
        issues.sort_by_key(|issue| !matches!(issue.severity, "fatal" | "error"));
        Self {
            status,
            issues,
            headers: Vec::new(),
        }
    }

    /// Whether something legal was asked for that is not built: what lenient handling leaves out.
    pub fn is_unsupported(&self) -> bool {
        self.issues
            .first()
            .is_some_and(|i| i.code == "not-supported")
    }

    /// The OperationOutcome.
    pub fn outcome(&self) -> Value {
        outcome(&self.issues)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut failure = Self::new(refusal.status, refusal.issue, refusal.text);
        if let Some(value) = refusal
            .authenticate
            .and_then(|a| HeaderValue::from_str(&a).ok())
        {
            failure.headers.push((header::WWW_AUTHENTICATE, value));
        }
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                let mut failure = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "transient",
                    "the store cannot answer now; try again",
                );
                failure
                    .headers
                    .push((header::RETRY_AFTER, HeaderValue::from_static("2")));
                failure
            }
            StoreError::SnapshotExpired => expired_page(),
            StoreError::TimedOut => Self::too_costly(format!(
                "the request took longer than {} s; narrow it",
                crate::search::TIME_LIMIT.as_secs()
            )),
            other => {
                tracing::error!(error = %other, "store read failed");
                Self::internal()
            }
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused { .. } => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "somebody else changed it meanwhile; read it again and retry",
            ),
            CommitError::Unavailable(_) | CommitError::OutcomeUnknown(_) => {
                let mut failure = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "transient",
                    "the store cannot write now; look whether it happened, then try again",
                );
                failure
                    .headers
                    .push((header::RETRY_AFTER, HeaderValue::from_static("2")));
                failure
            }
            other => {
                tracing::error!(error = %other, "commit failed");
                Self::internal()
            }
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let code = match &error {
            QueryError::Value { .. } => "value",
            QueryError::TooMany(_) => "too-costly",
            QueryError::Modifier { .. } | QueryError::Unsupported(_) => "not-supported",
        };
        Self::bad(code, error.to_string())
    }
}

/// 410 of a page link that no longer holds.
pub fn expired_page() -> Failure {
    Failure::new(
        StatusCode::GONE,
        "expired",
        "this page link has expired; repeat the search",
    )
}
