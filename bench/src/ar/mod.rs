//! The address register over HTTP, in a process of its own: look-ups by HER-id over SOAP (Basic, 1.1 and 1.2) and REST (DPoP),
//! of whole organisations and of services, after each was asked for once; rates, latencies at full and at half load, the server's
//! processor time for each.
//! Raw loop: a server in a process of its own that reads the same requests and answers as many bytes, and does nothing else.

mod parties;
mod server;

use crate::load::{Outcome, Shape, run_paced};
use crate::served::{self, Server, Word};
use anyhow::{Context, Result};
use base64::Engine as _;
use grunndata::ar::rest;
use jose::dpop::make_proof;
use jose::jwk::KeyKind;
use jose::{Alg, PrivateJwk};
use std::path::PathBuf;
use std::time::Duration;

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Organisations; each has two services.
    #[arg(long, default_value_t = 20_000)]
    organisations: u32,
    /// Requests of each kind.
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Seconds for each kind at most.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Only the kinds whose names hold this.
    #[arg(long)]
    only: Option<String>,
    /// Where the files are made and kept: a second run with the same folder does not import again. The data folder of a
    /// stopped demo hub is measured as it is.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: served::Where,
    /// Used by itself: answers from this folder until killed.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// Used by itself: the client's public key.
    #[arg(long, hide = true, default_value = "")]
    thumbprint: String,
    /// Used by itself: answers every request with so many bytes until killed.
    #[arg(long, hide = true)]
    raw: Option<usize>,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An organisation with its services.
    Soap11,
    Soap12,
    /// A service, which inherits its addresses.
    SoapService,
    SoapCertificate,
    /// In the older shape, an organisation.
    Rest,
    /// The same asked again: 304.
    RestUnchanged,
}

const KINDS: [Kind; 6] = [
    Kind::Soap11,
    Kind::Soap12,
    Kind::SoapService,
    Kind::SoapCertificate,
    Kind::Rest,
    Kind::RestUnchanged,
];

const CONTRACT: &str = "http://register.nhn.no/CommunicationParty/ICommunicationPartyService";

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Soap11 => "SOAP 1.1 organisation by HER-id, Basic",
            Self::Soap12 => "SOAP 1.2 organisation by HER-id, Basic",
            Self::SoapService => "SOAP 1.1 service by HER-id, Basic",
            Self::SoapCertificate => "SOAP 1.1 certificate by HER-id, Basic",
            Self::Rest => "REST organisation by HER-id, DPoP",
            Self::RestUnchanged => "REST unchanged (If-None-Match), DPoP",
        }
    }

    fn is_rest(self) -> bool {
        matches!(self, Self::Rest | Self::RestUnchanged)
    }
}

/// Runs everything and prints it.
///
/// # Errors
/// When something fails or answers wrongly.
pub fn run(options: &Options) -> Result<()> {
    if let Some(bytes) = options.raw {
        return served::answer_raw(bytes);
    }
    if let Some(folder) = &options.serve {
        return server::serve(
            folder,
            &options.place,
            options.organisations,
            &options.thumbprint,
        );
    }
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?;
    let mut arguments = vec![
        "--serve".into(),
        folder.into(),
        "--organisations".into(),
        options.organisations.to_string().into(),
        "--thumbprint".into(),
        key.public().thumbprint().into(),
    ];
    arguments.extend(options.place.arguments());
    let server = Server::start("ar", arguments)?;
    let asked: [Vec<u32>; 3] = serde_json::from_value(server.said["asked"].clone())?;
    let [organisations, ..] = &asked;
    let count = organisations.len();
    println!("address register over HTTP: {count} organisations with parties");
    let maker = Maker {
        key,
        word: server.word.clone(),
        asked,
    };
    for kind in KINDS {
        if maker.asked(kind).is_empty() {
            println!("  {:<44} nobody has one", kind.name());
            continue;
        }
        if !options
            .only
            .as_deref()
            .is_none_or(|o| kind.name().contains(o))
        {
            continue;
        }
        let each_once = maker.each(kind)?;
        load(&server, options, None, &each_once)?;
        drop(each_once);
        let requests = maker.all(kind, options.requests)?;
        let outcome = measure(&server, options, kind.name(), &requests)?;
        let raw = Server::start_raw("ar", usize::try_from(outcome.mean_bytes())?)?;
        // A proof is used once, but the raw loop checks none.
        measure(&raw, options, "  raw loop of the same shape", &requests)?;
        drop(raw);
        let again = maker.all(kind, options.requests / 4)?;
        let calm = load(&server, options, Some(outcome.rate() / 2.0), &again)?;
        println!(
            "    at half load: p50 {:.2} ms, p99 {:.2} ms",
            calm.latency_ms(0.5),
            calm.latency_ms(0.99)
        );
    }
    println!("  memory of the server: {}", server.memory());
    Ok(())
}

fn load(
    server: &Server,
    options: &Options,
    per_second: Option<f64>,
    made: &[Vec<u8>],
) -> Result<Outcome> {
    let shape = Shape {
        clients: options.clients,
        requests: made.len() as u64,
        at_most: Duration::from_secs(options.seconds),
    };
    let make = |n: u64, out: &mut Vec<u8>| {
        out.clear();
        out.extend_from_slice(made.get(n as usize).map_or(&[][..], Vec::as_slice));
    };
    run_paced(
        &server.base,
        shape,
        per_second,
        &[200, 304],
        make,
        |_, _| {},
    )
}

fn measure(server: &Server, options: &Options, name: &str, made: &[Vec<u8>]) -> Result<Outcome> {
    let before = server.cpu_us();
    let outcome = load(server, options, None, made)?;
    let cpu = (server.cpu_us() - before) / outcome.answers.max(1) as f64;
    println!("  {name:<44} {outcome}  server {cpu:>6.1} us CPU each");
    Ok(outcome)
}

struct Maker {
    key: PrivateJwk,
    word: Word,
    /// Organisations, services, parties with a certificate.
    asked: [Vec<u32>; 3],
}

impl Maker {
    fn asked(&self, kind: Kind) -> &[u32] {
        let [organisations, services, certified] = &self.asked;
        match kind {
            Kind::SoapService => services,
            Kind::SoapCertificate => certified,
            _ => organisations,
        }
    }

    fn all(&self, kind: Kind, count: u64) -> Result<Vec<Vec<u8>>> {
        // Proofs are signed ahead; the server is slower at checking them than we at making them.
        let count = if kind.is_rest() { count / 4 } else { count };
        (0..count.max(8)).map(|n| self.one(kind, n)).collect()
    }

    /// Everybody once: what the answers are kept from afterwards.
    fn each(&self, kind: Kind) -> Result<Vec<Vec<u8>>> {
        let asked = (0..).zip(self.asked(kind));
        asked.map(|(n, her_id)| self.of(kind, *her_id, n)).collect()
    }

    fn one(&self, kind: Kind, n: u64) -> Result<Vec<u8>> {
        // A walk over all of them that does not follow their order.
        let place = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let asked = self.asked(kind);
        let place = usize::try_from(place % asked.len().max(1) as u64)?;
        let her_id = asked.get(place).context("nobody to ask for")?;
        self.of(kind, *her_id, n)
    }

    fn of(&self, kind: Kind, her_id: u32, n: u64) -> Result<Vec<u8>> {
        let host = self.word.origin.trim_start_matches("http://");
        if kind.is_rest() {
            return self.rest(kind, her_id, n, host);
        }
        let operation = match kind {
            Kind::SoapCertificate => "GetCertificateDetailsForEncryption",
            _ => "GetCommunicationPartyDetails",
        };
        let body = format!(
            "<{operation} xmlns=\"http://register.nhn.no/CommunicationParty\"><herId>{her_id}</herId></{operation}>"
        );
        let (user, password) = server::USER;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let (path, headers, envelope) = if kind == Kind::Soap12 {
            let envelope = format!(
                "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"http://www.w3.org/2005/08/addressing\"><s:Header><a:Action s:mustUnderstand=\"1\">{CONTRACT}/{operation}</a:Action><a:MessageID>urn:uuid:11111111-2222-3333-4444-{n:012}</a:MessageID><a:To s:mustUnderstand=\"1\">{}/v1/AR</a:To></s:Header><s:Body>{body}</s:Body></s:Envelope>",
                self.word.origin
            );
            let headers = "Content-Type: application/soap+xml; charset=utf-8".to_owned();
            ("/v1/AR", headers, envelope)
        } else {
            let envelope = format!(
                "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}</s:Body></s:Envelope>"
            );
            let headers = format!(
                "Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"{CONTRACT}/{operation}\""
            );
            ("/v1/AR/Basic", headers, envelope)
        };
        Ok(format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {basic}\r\n{headers}\r\nContent-Length: {}\r\n\r\n{envelope}",
            envelope.len()
        )
        .into_bytes())
    }

    fn rest(&self, kind: Kind, her_id: u32, n: u64, host: &str) -> Result<Vec<u8>> {
        let tokens = &self.word.bound;
        let token = tokens
            .get(usize::try_from(n)? % tokens.len().max(1))
            .context("no token")?;
        let path = format!("{}/CommunicationParties/{her_id}", rest::PREFIX);
        let url = format!("{}{path}", self.word.origin);
        let now_s = edge::clock::real_now_us() / 1_000_000;
        let proof = make_proof(&self.key, "GET", &url, Some(token), None, now_s)?;
        let conditional = if kind == Kind::RestUnchanged {
            "If-None-Match: *\r\n"
        } else {
            ""
        };
        Ok(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{conditional}Authorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n"
        )
        .into_bytes())
    }
}
