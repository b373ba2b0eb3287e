//! What others ask about the certificates of the hub's own authority: its certificate, its revocation list, and an OCSP responder.
//! Public by nature: every certificate names these addresses, and who checks a signature asks without logging in.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use std::sync::Arc;
use xmlsec::pki::Places;
use xmlsec::pki::ocsp::{Answer, MAX_REQUEST_BYTES, Responder};

/// Where the OCSP responder answers.
pub const OCSP: &str = "/pki/ocsp";
const CRL: &str = "/pki/demo-ca.crl";
const AUTHORITY: &str = "/pki/demo-ca.cer";

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The addresses under a base URL, as certificates name them.
#[must_use]
pub fn places(base: &str) -> Places {
    let base = base.trim_end_matches('/');
    Places {
        crl: Some(format!("{base}{CRL}")),
        ocsp: Some(format!("{base}{OCSP}")),
        authority: Some(format!("{base}{AUTHORITY}")),
    }
}

/// The routes of an authority.
pub(crate) fn router(responder: Arc<Responder>) -> Router {
    Router::new()
        .route(CRL, get(revocation_list))
        .route(AUTHORITY, get(authority))
        .route(OCSP, get(how_to_ask).post(asked))
        .route(&format!("{OCSP}/{{*request}}"), get(asked_in_the_path))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(responder)
}

async fn revocation_list(State(responder): State<Arc<Responder>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/pkix-crl")];
    (kind, responder.crl().der().to_vec()).into_response()
}

async fn authority(State(responder): State<Arc<Responder>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/pkix-cert")];
    (kind, responder.authority().der().to_vec()).into_response()
}

/// For people who try the address in a browser.
async fn how_to_ask() -> &'static str {
    "OCSP (RFC 6960): POST a request as application/ocsp-request, or GET with it in base64 behind this address.\n"
}

async fn asked(State(responder): State<Arc<Responder>>, request: Bytes) -> Response {
    reply(&responder, &request)
}

/// RFC 6960 appendix A.1: base64, percent-encoded; axum has undone the percent signs.
async fn asked_in_the_path(
    State(responder): State<Arc<Responder>>,
    Path(request): Path<String>,
) -> Response {
    let bytes = if request.len() <= 2 * MAX_REQUEST_BYTES {
        BASE64.decode(request).unwrap_or_default()
    } else {
        Vec::new()
    };
    reply(&responder, &bytes)
}

fn reply(responder: &Responder, request: &[u8]) -> Response {
    let now_s = edge::clock::real_now_us() / 1_000_000;
    let Answer {
        der,
        fresh_until_unix_s,
    } = responder.answer(request, now_s);
    // RFC 5019 §6.2: what holds no nonce may be kept until its end.
    let keeping = match fresh_until_unix_s {
        Some(until_s) => format!("max-age={}, public, no-transform", until_s - now_s),
        None => "no-store".to_owned(),
    };
    let fields = [
        (header::CONTENT_TYPE, "application/ocsp-response".to_owned()),
        (header::CACHE_CONTROL, keeping),
    ];
    (fields, der).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;
    use xmlsec::pki::DemoCa;

    /// `OCSPResponse { malformedRequest }`.
    const MALFORMED: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x01];

    async fn answered(router: &Router, request: Request<Body>) -> (u16, String, Bytes) {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20);
        (status, kind, body.await.unwrap())
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so_in_the_protocols_own_words() {
        let now_s = edge::clock::real_now_us() / 1_000_000;
        let ca = DemoCa::new("Test authority", now_s).unwrap();
        let certificate = ca.certificate().clone();
        let crl = ca.crl(&[], 1, now_s, now_s + 60).unwrap();
        let list = crl.der().to_vec();
        let router = router(Arc::new(Responder::new(ca, [], crl)));
        let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        let post = |body: Vec<u8>| Request::post(OCSP).body(Body::from(body)).unwrap();

        for request in [
            post(Vec::new()),
            post(b"hei".to_vec()),
            post(vec![0x30; MAX_REQUEST_BYTES]),
            get("/pki/ocsp/aGVp"),
            get("/pki/ocsp/aGVp/+=="),
            get("/pki/ocsp/%00"),
            get("/pki/ocsp/a%2Fb%2Bc%3D"),
        ] {
            let (status, kind, body) = answered(&router, request).await;
            assert_eq!((status, kind.as_str()), (200, "application/ocsp-response"));
            assert_eq!(body, MALFORMED);
        }
        let large = vec![0x30; MAX_REQUEST_BYTES + 1];
        assert_eq!(answered(&router, post(large)).await.0, 413);
        assert_eq!(answered(&router, get(OCSP)).await.0, 200);
        let (_, kind, body) = answered(&router, get(CRL)).await;
        assert_eq!(
            (kind.as_str(), body.to_vec()),
            ("application/pkix-crl", list)
        );
        let (_, kind, body) = answered(&router, get(AUTHORITY)).await;
        assert_eq!(kind, "application/pkix-cert");
        assert_eq!(body, certificate.der());
    }

    #[test]
    fn certificates_name_addresses_below_the_base() {
        let named = places("https://hub.example/");
        assert_eq!(named.ocsp.as_deref(), Some("https://hub.example/pki/ocsp"));
        assert_eq!(
            named.crl.as_deref(),
            Some("https://hub.example/pki/demo-ca.crl")
        );
    }
}
