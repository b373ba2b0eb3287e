//! TLS to the server, as libpq's `sslmode`, `sslrootcert`, `sslcert` and `sslkey` ask for it (PostgreSQL manual §34.19).
//!
//! Where this differs from libpq: without `sslmode` the connection is not encrypted (libpq: `prefer`), and `verify-ca` and
//! `verify-full` need `sslrootcert`, because no file of a home folder is looked for. Over a Unix socket there is no TLS.

use crate::StoreError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Config, Socket};

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Nothing: a listener is kept out, an impostor is not.
    Nothing,
    /// That an authority of `sslrootcert` has signed it.
    Authority,
    /// That, and the name of the server.
    Full,
}

/// What the url asks for, besides what the driver understands itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Wish {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.root),
            "sslcert" => Some(&mut self.certificate),
            "sslkey" => Some(&mut self.key),
            _ => None,
        }
    }
}

/// The url without the settings of TLS, and those. `None`: it cannot be read.
fn split(url: &str) -> Option<(String, Wish)> {
    let is_uri = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if is_uri {
        split_uri(url)
    } else {
        split_words(url)
    }
}

fn split_uri(url: &str) -> Option<(String, Wish)> {
    let mut wish = Wish::default();
    let Some((head, query)) = url.split_once('?') else {
        return Some((url.to_owned(), wish));
    };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match wish.slot(name) {
            Some(slot) => *slot = Some(percent_decoded(value)?),
            None => rest.push(pair),
        }
    }
    Some(match rest.is_empty() {
        true => (head.to_owned(), wish),
        false => (format!("{head}?{}", rest.join("&")), wish),
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// `name = value` words; a value in quotes may hold spaces, a backslash takes the next character as it is.
fn split_words(text: &str) -> Option<(String, Wish)> {
    let (mut rest, mut wish) = (String::new(), Wish::default());
    let mut chars = text.char_indices().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, _)) = chars.peek().copied() else {
            return Some((rest, wish));
        };
        let mut name = String::new();
        while let Some((_, c)) = chars.next_if(|(_, c)| !c.is_whitespace() && *c != '=') {
            name.push(c);
        }
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        chars.next_if(|(_, c)| *c == '=')?;
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let is_quoted = chars.next_if(|(_, c)| *c == '\'').is_some();
        let mut value = String::new();
        loop {
            match chars.peek() {
                None if is_quoted => return None,
                None => break,
                Some((_, '\'')) if is_quoted => {
                    chars.next();
                    break;
                }
                Some((_, c)) if !is_quoted && c.is_whitespace() => break,
                Some((_, '\\')) => {
                    chars.next();
                    value.push(chars.next()?.1);
                }
                Some((_, c)) => {
                    value.push(*c);
                    chars.next();
                }
            }
        }
        let end = chars.peek().map_or(text.len(), |(at, _)| *at);
        match wish.slot(&name) {
            Some(slot) => *slot = Some(value),
            None => {
                rest.push_str(text.get(start..end)?.trim_end());
                rest.push(' ');
            }
        }
    }
}

/// The driver's configuration and what makes its TLS, of a libpq url.
///
/// # Errors
/// `CannotOpen`: the url or a file it names cannot be read; never with the url's content, which holds a password.
pub(super) fn of_url(url: &str) -> Result<(Config, Tls), StoreError> {
    let wrong = |what: &str| StoreError::CannotOpen(what.to_owned());
    let unread = || wrong("the PostgreSQL url cannot be read");
    let (rest, wish) = split(url).ok_or_else(unread)?;
    let mut config: Config = rest.parse().map_err(|_| unread())?;
    let (mode, check) = match wish.mode.as_deref() {
        None | Some("disable") => (SslMode::Disable, Check::Nothing),
        Some("allow" | "prefer") => (SslMode::Prefer, Check::Nothing),
        // As libpq: an authority that is named is also asked.
        Some("require") if wish.root.is_some() => (SslMode::Require, Check::Authority),
        Some("require") => (SslMode::Require, Check::Nothing),
        Some("verify-ca") => (SslMode::Require, Check::Authority),
        Some("verify-full") => (SslMode::Require, Check::Full),
        Some(_) => {
            return Err(wrong(
                "sslmode is disable, allow, prefer, require, verify-ca or verify-full",
            ));
        }
    };
    if check != Check::Nothing && wish.root.is_none() {
        return Err(wrong(
            "sslmode verify-ca and verify-full need sslrootcert: a file with the certificates of the authorities",
        ));
    }
    let is_local = !config.get_hosts().is_empty()
        && config.get_hostaddrs().is_empty()
        && config
            .get_hosts()
            .iter()
            .all(|h| !matches!(h, Host::Tcp(_)));
    config.ssl_mode(if is_local { SslMode::Disable } else { mode });
    let tls = client_config(&wish, check).map_err(StoreError::CannotOpen)?;
    Ok((config, Tls(Arc::new(tls))))
}

fn client_config(wish: &Wish, check: Check) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut authorities = Vec::new();
    if let Some(path) = wish.root.as_ref().filter(|_| check != Check::Nothing) {
        authorities = certificates("sslrootcert", path)?;
    }
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if taken == 0 && check != Check::Nothing {
        return Err("sslrootcert holds no certificate that can be used".to_owned());
    }
    let verifier = Verifier {
        check,
        roots,
        authorities,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match (&wish.certificate, &wish.key) {
        (None, None) => Ok(config.with_no_client_auth()),
        (Some(chain), Some(key)) => {
            let chain = certificates("sslcert", chain)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|_| "sslkey names no file with a private key in PEM".to_owned())?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|e| format!("sslcert and sslkey: {e}"))
        }
        _ => Err("sslcert and sslkey are given together".to_owned()),
    }
}

fn certificates(name: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| format!("{name} names no file with certificates in PEM"))?;
    match all.is_empty() {
        true => Err(format!("{name} names a file without certificates")),
        false => Ok(all),
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    /// The same as they were written: a server's own self-signed certificate may stand among them.
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        let is_named_itself = self.authorities.iter().any(|a| a == end_entity);
        match signed {
            Ok(()) => {}
            // What `openssl req -x509` makes: a certificate that is its own authority, given as `sslrootcert`.
            Err(Error::InvalidCertificate(
                CertificateError::Other(_) | CertificateError::UnknownIssuer,
            )) if is_named_itself => {}
            Err(error) => return Err(error),
        }
        if self.check == Check::Full {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Makes the TLS side of a connection.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

/// One connection's.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connector;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connector, Self::Error> {
        // A socket in the file system has no name, and never comes as far as TLS.
        let domain = if domain.is_empty() {
            "localhost"
        } else {
            domain
        };
        Ok(Connector {
            config: self.0.clone(),
            name: ServerName::try_from(domain.to_owned())?,
        })
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(self.config);
            connector.connect(self.name, socket).await.map(Stream)
        })
    }
}

/// A socket inside TLS.
pub(super) struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish(mode: &str, root: &str) -> Wish {
        let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
        Wish {
            mode: some(mode),
            root: some(root),
            ..Wish::default()
        }
    }

    #[test]
    fn settings_of_tls_are_taken_out_of_the_url() {
        for (url, rest, expected) in [
            ("host=a user=b", "host=a user=b ", wish("", "")),
            (
                "host=a sslmode=verify-full sslrootcert=/x/ca.pem user=b",
                "host=a user=b ",
                wish("verify-full", "/x/ca.pem"),
            ),
            (
                r"sslrootcert = '/a b/c\'d.pem' password='p w' sslmode=require",
                "password='p w' ",
                wish("require", "/a b/c'd.pem"),
            ),
            (
                "postgresql://u:p@h:1/d?application_name=x&sslmode=verify-ca&sslrootcert=%2Fca%20x.pem",
                "postgresql://u:p@h:1/d?application_name=x",
                wish("verify-ca", "/ca x.pem"),
            ),
            (
                "postgres://h/d?sslmode=disable",
                "postgres://h/d",
                wish("disable", ""),
            ),
            ("postgres://h/d", "postgres://h/d", wish("", "")),
        ] {
            assert_eq!(split(url), Some((rest.to_owned(), expected)), "{url}");
        }
        for url in ["host", "a='x", r"a=\", "postgres://h/d?sslrootcert=%f"] {
            assert_eq!(split(url), None, "{url}");
        }
    }

    #[test]
    fn what_a_mode_asks_of_the_driver() {
        for (url, mode) in [
            ("host=h", SslMode::Disable),
            ("host=h sslmode=prefer", SslMode::Prefer),
            ("host=h sslmode=require", SslMode::Require),
            // A socket in the file system has no TLS.
            ("host=/run/postgresql sslmode=require", SslMode::Disable),
        ] {
            let (config, _) = of_url(url).unwrap();
            assert_eq!(config.get_ssl_mode(), mode, "{url}");
        }
        for (url, says) in [
            ("host=h sslmode=full", "sslmode is"),
            ("host=h sslmode=verify-full", "need sslrootcert"),
            (
                "host=h sslmode=verify-ca sslrootcert=/nowhere/x.pem",
                "sslrootcert names",
            ),
            ("host=h sslmode=require sslcert=/x", "together"),
            (
                "host=h sslmode=require sslcert=/nowhere/x sslkey=/nowhere/y",
                "sslcert names",
            ),
            ("host=h unknown=1 password=secret", "cannot be read"),
        ] {
            let error = of_url(url).err().unwrap().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics(text in r"(postgres://)?[a-z=' \\?&%0-9/:@é]{0,60}") {
            let _ = of_url(&text);
        }

        #[test]
        fn quoted_values_come_back(value in r"[a-z /.é]{1,20}") {
            let (_, wish) = split(&format!("sslrootcert='{value}' host=h")).unwrap();
            prop_assert_eq!(wish.root, Some(value));
        }
    }
}
