//! An assertion as a value, and making one.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;

use super::fragment::escape;
use super::{Generation, NAMESPACE, XSI, Xua};
use crate::dsig::{Place, SignError, sign_enveloped};
use crate::key::Identity;
use crate::xml::{Document, XmlError};

/// One attribute. A value that is `None` was `xsi:nil`. `Debug` shows the name only.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: String,
    /// Values as text; a child element in place of text is here in its canonical form.
    pub values: Vec<Option<String>>,
}

impl std::fmt::Debug for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attribute({}, {} values)", self.name, self.values.len())
    }
}

/// How and when the subject logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: i64,
    /// When the session ends, in milliseconds since 1970.
    pub session_ends_unix_ms: Option<i64>,
    /// `AuthnContextClassRef`.
    pub context_class: String,
}

/// An assertion. `Debug` shows neither subject nor attribute values.
#[derive(Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its id, new for each.
    pub id: String,
    /// Who made it.
    pub issuer: String,
    /// When, in milliseconds since 1970.
    pub issued_unix_ms: i64,
    /// `NameID`: the national id of the user.
    pub subject: String,
    /// First moment of validity, in milliseconds since 1970.
    pub not_before_unix_ms: i64,
    /// First moment at which it is no longer valid, in milliseconds since 1970.
    pub not_on_or_after_unix_ms: i64,
    /// For whom; all restrictions must be met.
    pub audiences: Vec<String>,
    /// The login.
    pub authentication: Authentication,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assertion")
            .field("id", &self.id)
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("attributes", &self.attributes.len())
            .finish_non_exhaustive()
    }
}

/// Who issues, for whom and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Issuer<'a> {
    /// `Issuer`.
    pub name: &'a str,
    /// `Audience`.
    pub audience: &'a str,
    /// Life in seconds: 3600 for personnel, 1200 for citizens (spec documents §6.1).
    pub life_s: i64,
    /// Key and certificate.
    pub identity: &'a Identity,
}

/// Why no assertion could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// A value with characters that XML cannot carry.
    #[error("a value cannot be written as XML: {0}")]
    Xml(#[from] XmlError),
    /// The key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No entropy, or a time outside the calendar.
    #[error("no id or time could be made for the assertion")]
    IdOrTime,
}

const CONTEXT_CLASS: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509";

/// Makes and signs an assertion: bearer, valid from now, as long as the issuer's life.
///
/// # Errors
/// [`IssueError`].
pub fn issue(
    xua: &Xua,
    issuer: &Issuer<'_>,
    generation: Generation,
    logged_in_unix_s: i64,
    now_unix_ms: i64,
) -> Result<String, IssueError> {
    let mut random = [0; 16];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| IssueError::IdOrTime)?;
    let ends_unix_ms = now_unix_ms.saturating_add(issuer.life_s.saturating_mul(1000));
    let assertion = Assertion {
        id: format!("_{}", crate::x509::hex(&random)),
        issuer: issuer.name.to_owned(),
        issued_unix_ms: now_unix_ms,
        subject: xua.subject.clone(),
        not_before_unix_ms: now_unix_ms,
        not_on_or_after_unix_ms: ends_unix_ms,
        audiences: vec![issuer.audience.to_owned()],
        authentication: Authentication {
            at_unix_ms: logged_in_unix_s.saturating_mul(1000),
            session_ends_unix_ms: Some(ends_unix_ms),
            context_class: CONTEXT_CLASS.to_owned(),
        },
        attributes: xua.attributes(generation),
    };
    assertion.sign(issuer.identity)
}

impl Assertion {
    /// The signed text: enveloped, exclusive canonicalisation, RSA-SHA256; the signature follows the issuer.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn sign(&self, identity: &Identity) -> Result<String, IssueError> {
        let text = self.unsigned().ok_or(IssueError::IdOrTime)?;
        let document = Document::parse(&text)?;
        let issuer = document
            .only(document.root(), NAMESPACE, "Issuer")
            .ok_or(IssueError::IdOrTime)?;
        Ok(sign_enveloped(
            &document,
            Some(&self.id),
            Place::After(issuer),
            identity,
        )?)
    }

    fn unsigned(&self) -> Option<String> {
        let audiences: String = self
            .audiences
            .iter()
            .map(|audience| {
                let audience = escape(audience);
                format!("<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>")
            })
            .collect();
        let attributes: String = self.attributes.iter().map(write_attribute).collect();
        let authentication = &self.authentication;
        let session = match authentication.session_ends_unix_ms {
            Some(ends) => format!(" SessionNotOnOrAfter=\"{}\"", date_time(ends)?),
            None => String::new(),
        };
        Some(format!(
            "<saml:Assertion xmlns:saml=\"{NAMESPACE}\" ID=\"{id}\" IssueInstant=\"{issued}\" Version=\"2.0\">\
             <saml:Issuer>{issuer}</saml:Issuer>\
             <saml:Subject><saml:NameID>{subject}</saml:NameID><saml:SubjectConfirmation Method=\"{BEARER}\"></saml:SubjectConfirmation></saml:Subject>\
             <saml:Conditions NotBefore=\"{not_before}\" NotOnOrAfter=\"{not_on_or_after}\">{audiences}</saml:Conditions>\
             <saml:AttributeStatement>{attributes}</saml:AttributeStatement>\
             <saml:AuthnStatement AuthnInstant=\"{logged_in}\"{session}><saml:AuthnContext><saml:AuthnContextClassRef>{class}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>\
             </saml:Assertion>",
            id = escape(&self.id),
            issued = date_time(self.issued_unix_ms)?,
            issuer = escape(&self.issuer),
            subject = escape(&self.subject),
            not_before = date_time(self.not_before_unix_ms)?,
            not_on_or_after = date_time(self.not_on_or_after_unix_ms)?,
            logged_in = date_time(authentication.at_unix_ms)?,
            class = escape(&authentication.context_class),
        ))
    }
}

/// Confirmation method: whoever bears the assertion.
pub(super) const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

fn write_attribute(attribute: &Attribute) -> String {
    let values: String = attribute
        .values
        .iter()
        .map(|value| match value {
            // A carriage return would become a line feed on the way.
            Some(text) => format!(
                "<saml:AttributeValue>{}</saml:AttributeValue>",
                escape(text).replace('\r', "&#xD;")
            ),
            None => format!(
                "<saml:AttributeValue xmlns:xsi=\"{XSI}\" xsi:nil=\"true\"></saml:AttributeValue>"
            ),
        })
        .collect();
    let name = escape(&attribute.name);
    format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
}

/// `xs:dateTime` in UTC with milliseconds.
fn date_time(unix_ms: i64) -> Option<String> {
    Timestamp::from_millisecond(unix_ms)
        .ok()
        .map(|at| format!("{at:.3}"))
}

/// Reads an `xs:dateTime` with zone.
pub(super) fn read_date_time(text: &str) -> Option<i64> {
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}
