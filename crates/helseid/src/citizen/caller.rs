//! Who calls: a confidential client by its assertion, a public one by the certificate of its instance.
//!
//! The certificate is the connection's: the listener has proved possession of its key (TLS). Which authority issued it does
//! not matter, because it names an instance and nothing more (RFC 8705 §2.2, self-signed): it must be valid now. Weak keys
//! and signatures end in the handshake.

use std::sync::Arc;

use axum::http::Extensions;
use edge::listen::PeerCertificate;
use jose::assertion::Asserted;
use jose::encoding::b64url;
use xmlsec::x509::Certificate;

use super::registrations;
use crate::Helseid;
use crate::config::Client;
use crate::edge::{Authenticated, Form, authenticate, consume};
use crate::error::{Code, OAuthError};

/// Clock difference forgiven in a certificate's validity, seconds.
const LEEWAY_S: i64 = 60;

/// A client that has proved who it is. Nothing is consumed yet.
pub(super) struct Caller {
    pub(super) client: Arc<Client>,
    asserted: Option<Asserted>,
    /// Thumbprint of the instance's certificate, of a public client.
    pub(super) certificate: Option<String>,
}

impl Caller {
    /// Finds out who calls the endpoint of that path.
    ///
    /// # Errors
    /// `invalid_client` with what is wrong.
    pub(super) fn identify(
        helseid: &Helseid,
        form: &Form,
        extensions: &Extensions,
        path: &'static str,
    ) -> Result<Self, OAuthError> {
        if form.get("client_assertion").is_some() {
            let Authenticated { client, asserted } = authenticate(helseid, form, path)?;
            return Ok(Self {
                client,
                asserted: Some(asserted),
                certificate: None,
            });
        }
        let refuse = |what: &'static str| OAuthError::new(Code::InvalidClient, what);
        let client_id = form.get("client_id").ok_or_else(|| {
            refuse("a confidential client authenticates by client_assertion, a public one names itself by client_id")
        })?;
        let client = helseid
            .client(client_id)
            .ok_or_else(|| refuse("no client has this client_id"))?;
        let extra = registrations(helseid)?.extra(client_id);
        if !extra.is_some_and(|extra| extra.public) {
            return Err(refuse(
                "this client is confidential: send client_assertion_type and client_assertion",
            ));
        }
        let now_s = helseid.inner.now_s();
        let thumbprint = extensions
            .get::<PeerCertificate>()
            .ok_or_else(|| {
                refuse("a public client calls over the listener that asks for certificates (mtls_endpoint_aliases) with the certificate of its instance")
            })
            .and_then(|certificate| instance(&certificate.0, now_s))?;
        // One instance cannot use up the share of the others.
        let share = format!("{client_id} {thumbprint}");
        if helseid.inner.limiter.client(&share, now_s).is_err() {
            return Err(OAuthError::too_many("client"));
        }
        Ok(Self {
            client,
            asserted: None,
            certificate: Some(thumbprint),
        })
    }

    /// Uses up the assertion.
    pub(super) async fn consume(&self, helseid: &Helseid) -> Result<(), OAuthError> {
        match &self.asserted {
            Some(asserted) => consume(helseid.inner.grants(), &[asserted], None).await,
            None => Ok(()),
        }
    }
}

/// The thumbprint (`x5t#S256`) of an instance's certificate.
///
/// # Errors
/// `invalid_client`: unreadable, or outside its validity.
pub(super) fn instance(der: &[u8], now_s: i64) -> Result<String, OAuthError> {
    let refuse = |what: &'static str| OAuthError::new(Code::InvalidClient, what);
    let certificate = Certificate::from_der(der)
        .map_err(|_| refuse("the instance's certificate cannot be read"))?;
    if now_s + LEEWAY_S < certificate.not_before_unix_s()
        || now_s - LEEWAY_S > certificate.not_after_unix_s()
    {
        return Err(refuse(
            "the instance's certificate is not valid now: make a new one and log in again",
        ));
    }
    Ok(b64url(&certificate.fingerprint()))
}
