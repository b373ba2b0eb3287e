//! Judging an assertion: signature first, then who, for whom, and when.

use super::assertion::{Assertion, Attribute, Authentication, BEARER, read_date_time};
use super::{NAMESPACE, XSI};
use crate::c14n::{Method, Selection, canonicalize};
use crate::dsig::{DsigError, Rules, Signer, verify_enveloped};
use crate::x509::Certificate;
use crate::xml::{Document, Kind, Limits, NodeId, XmlError};

/// Largest assertion read, in bytes.
pub const MAX_ASSERTION_BYTES: usize = 256 << 10;
const MAX_ATTRIBUTES: usize = 128;
const MAX_VALUES: usize = 16;

/// What an assertion must meet.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose signature counts.
    pub signer: Signer<'a>,
    /// Issuers that are trusted.
    pub issuers: &'a [&'a str],
    /// Names under which the reader is addressed.
    pub audiences: &'a [&'a str],
    /// Real time in milliseconds since 1970.
    pub now_unix_ms: i64,
    /// How far clocks may be apart, in milliseconds.
    pub leeway_ms: i64,
}

/// Why an assertion is refused. Says nothing of its subject or values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamlError {
    /// Not XML, or too large.
    #[error("the assertion is not readable XML: {0}")]
    Xml(#[from] XmlError),
    /// The signature.
    #[error("the assertion's signature: {0}")]
    Signature(#[from] DsigError),
    /// Not the structure of SAML 2.0, or a part that is not understood and must be.
    #[error("the assertion is malformed: {0}")]
    Malformed(&'static str),
    /// An issuer nobody here trusts.
    #[error("the assertion's issuer is not trusted here")]
    UnknownIssuer,
    /// For somebody else.
    #[error("the assertion is for another audience")]
    OtherAudience,
    /// From the future.
    #[error("the assertion is not valid yet")]
    NotYetValid,
    /// Over.
    #[error("the assertion has expired")]
    Expired,
    /// The login it tells of.
    #[error("the assertion's login: {0}")]
    Authentication(&'static str),
}

impl SamlError {
    /// Local name of the fault code of WS-Security 1.1 §12 for a SOAP answer.
    #[must_use]
    pub fn fault_code(&self) -> &'static str {
        match self {
            Self::Signature(DsigError::Digest { .. } | DsigError::Mismatch) => "FailedCheck",
            Self::UnknownIssuer | Self::OtherAudience | Self::Signature(_) => {
                "FailedAuthentication"
            }
            Self::Expired | Self::NotYetValid => "MessageExpired",
            Self::Xml(_) | Self::Malformed(_) | Self::Authentication(_) => "InvalidSecurityToken",
        }
    }
}

/// Judges an assertion that stands alone; returns it and the signer's certificate.
///
/// # Errors
/// [`SamlError`].
pub fn verify(text: &str, expected: &Expected<'_>) -> Result<(Assertion, Certificate), SamlError> {
    let document = Document::parse_within(text, &limits())?;
    verify_in(&document, document.root(), expected)
}

/// Judges the assertion at a node, in a SOAP header for instance.
///
/// # Errors
/// [`SamlError`].
pub fn verify_in(
    document: &Document,
    node: NodeId,
    expected: &Expected<'_>,
) -> Result<(Assertion, Certificate), SamlError> {
    if !document.is(node, NAMESPACE, "Assertion") {
        return Err(SamlError::Malformed("there is no SAML 2.0 assertion"));
    }
    let verified = verify_enveloped(document, node, &Rules::new(expected.signer))?;
    let octets = verified
        .parts
        .first()
        .map(|part| part.octets.as_slice())
        .unwrap_or_default();
    let signed = Document::from_utf8(octets, &limits())?;
    let assertion = read(&signed)?;
    check(&assertion, expected)?;
    Ok((assertion, verified.certificate))
}

fn limits() -> Limits {
    Limits {
        max_bytes: MAX_ASSERTION_BYTES,
        max_depth: 24,
        max_nodes: 8192,
        ..Limits::default()
    }
}

fn check(assertion: &Assertion, expected: &Expected<'_>) -> Result<(), SamlError> {
    if !expected.issuers.contains(&assertion.issuer.as_str()) {
        return Err(SamlError::UnknownIssuer);
    }
    let (now_ms, leeway_ms) = (expected.now_unix_ms, expected.leeway_ms);
    let is_over = |end_ms: i64| now_ms.saturating_sub(leeway_ms) >= end_ms;
    let is_to_come = |start_ms: i64| now_ms.saturating_add(leeway_ms) < start_ms;
    if is_to_come(assertion.not_before_unix_ms) || is_to_come(assertion.issued_unix_ms) {
        return Err(SamlError::NotYetValid);
    }
    if is_over(assertion.not_on_or_after_unix_ms) {
        return Err(SamlError::Expired);
    }
    let is_known = |audience: &String| expected.audiences.contains(&audience.as_str());
    if assertion.audiences.is_empty() || !assertion.audiences.iter().all(is_known) {
        return Err(SamlError::OtherAudience);
    }
    let login = &assertion.authentication;
    if is_to_come(login.at_unix_ms) {
        return Err(SamlError::Authentication("it lies in the future"));
    }
    if login.session_ends_unix_ms.is_some_and(is_over) {
        return Err(SamlError::Authentication("its session has ended"));
    }
    Ok(())
}

/// The one audience of each restriction that the reader may compare; a restriction with several names is met by any,
/// which no national issuer makes, so it is refused as not understood.
fn audiences(document: &Document, conditions: NodeId) -> Result<Vec<String>, SamlError> {
    let mut audiences = Vec::new();
    for restriction in document.elements(conditions) {
        if !document.is(restriction, NAMESPACE, "AudienceRestriction") {
            return Err(SamlError::Malformed("a condition that is not understood"));
        }
        let audience =
            document
                .only(restriction, NAMESPACE, "Audience")
                .ok_or(SamlError::Malformed(
                    "an audience restriction without exactly one audience",
                ))?;
        audiences.push(document.text(audience).trim_ascii().to_owned());
    }
    Ok(audiences)
}

fn read(document: &Document) -> Result<Assertion, SamlError> {
    let root = document.root();
    let only = |node, local: &'static str, what| {
        document
            .only(node, NAMESPACE, local)
            .ok_or(SamlError::Malformed(what))
    };
    let time = |node, name: &str, what| {
        document
            .attribute(node, "", name)
            .and_then(read_date_time)
            .ok_or(SamlError::Malformed(what))
    };
    if document.attribute(root, "", "Version") != Some("2.0") {
        return Err(SamlError::Malformed("its version is not 2.0"));
    }
    let subject = only(root, "Subject", "it needs one subject")?;
    let name = only(subject, "NameID", "its subject needs one NameID")?;
    check_confirmation(document, subject)?;
    let conditions = only(root, "Conditions", "it needs conditions")?;
    let login = only(root, "AuthnStatement", "it needs one AuthnStatement")?;
    let context = only(login, "AuthnContext", "its login needs a context")?;
    let class = only(
        context,
        "AuthnContextClassRef",
        "its login needs a context class",
    )?;
    let session_ends_unix_ms = match document.attribute(login, "", "SessionNotOnOrAfter") {
        None => None,
        Some(_) => Some(time(
            login,
            "SessionNotOnOrAfter",
            "the end of its session is no time",
        )?),
    };
    let assertion = Assertion {
        id: document
            .attribute(root, "", "ID")
            .ok_or(SamlError::Malformed("it has no ID"))?
            .to_owned(),
        issuer: document
            .text(only(root, "Issuer", "it needs one issuer")?)
            .trim_ascii()
            .to_owned(),
        issued_unix_ms: time(root, "IssueInstant", "it needs the time of issue")?,
        subject: document.text(name).trim_ascii().to_owned(),
        not_before_unix_ms: time(conditions, "NotBefore", "it needs NotBefore")?,
        not_on_or_after_unix_ms: time(conditions, "NotOnOrAfter", "it needs NotOnOrAfter")?,
        audiences: audiences(document, conditions)?,
        authentication: Authentication {
            at_unix_ms: time(login, "AuthnInstant", "its login needs a time")?,
            session_ends_unix_ms,
            context_class: document.text(class).trim_ascii().to_owned(),
        },
        attributes: attributes(document, root)?,
    };
    if assertion.subject.is_empty() {
        return Err(SamlError::Malformed("its subject is empty"));
    }
    Ok(assertion)
}

fn check_confirmation(document: &Document, subject: NodeId) -> Result<(), SamlError> {
    let mut confirmations = document.named(subject, NAMESPACE, "SubjectConfirmation");
    let is_bearer = |node: NodeId| document.attribute(node, "", "Method") == Some(BEARER);
    if confirmations.any(is_bearer) {
        Ok(())
    } else {
        Err(SamlError::Malformed(
            "its subject is not confirmed as bearer",
        ))
    }
}

fn attributes(document: &Document, root: NodeId) -> Result<Vec<Attribute>, SamlError> {
    let mut attributes = Vec::new();
    for statement in document.named(root, NAMESPACE, "AttributeStatement") {
        for node in document.named(statement, NAMESPACE, "Attribute") {
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(SamlError::Malformed("it has too many attributes"));
            }
            let name = document
                .attribute(node, "", "Name")
                .ok_or(SamlError::Malformed("an attribute without name"))?;
            let values = document
                .named(node, NAMESPACE, "AttributeValue")
                .take(MAX_VALUES + 1)
                .map(|value| read_value(document, value))
                .collect::<Result<Vec<_>, _>>()?;
            if values.len() > MAX_VALUES {
                return Err(SamlError::Malformed("an attribute with too many values"));
            }
            attributes.push(Attribute {
                name: name.to_owned(),
                values,
            });
        }
    }
    Ok(attributes)
}

fn read_value(document: &Document, node: NodeId) -> Result<Option<String>, SamlError> {
    if matches!(document.attribute(node, XSI, "nil"), Some("true" | "1")) {
        return Ok(None);
    }
    let mut elements = document.elements(node);
    let Some(element) = elements.next() else {
        return Ok(Some(document.text(node)));
    };
    let has_text = document.children(node).any(
        |child| matches!(document.kind(child), Kind::Text(text) if !text.trim_ascii().is_empty()),
    );
    if has_text || elements.next().is_some() {
        return Err(SamlError::Malformed("a value of text and elements mixed"));
    }
    let octets = canonicalize(document, &Selection::all_of(element), &Method::EXCLUSIVE)
        .map_err(DsigError::from)?;
    String::from_utf8(octets)
        .map(Some)
        .map_err(|_| SamlError::Malformed("a value that is not text"))
}
