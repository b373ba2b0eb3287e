//! Content codings: compressed requests with a cap on what they unfold to, compressed answers (spec/fhir-server.md §1.1).

use super::negotiate::quality;
use crate::outcome::Failure;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// Answers shorter than this are not worth compressing.
const MIN_BYTES: usize = 1_024;

/// The body as it was before `Content-Encoding`; at most `limit` bytes.
pub(super) fn decoded(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Failure> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(body);
    };
    match coding.to_str().map(|c| c.trim().to_ascii_lowercase()) {
        Ok(c) if c.is_empty() || c == "identity" => Ok(body),
        Ok(c) if c == "gzip" || c == "x-gzip" => gunzip(&body, limit),
        _ => {
            let mut failure = Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-supported",
                "a request may be compressed with gzip only",
            );
            failure
                .headers
                .push((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
            Err(failure)
        }
    }
}

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, Failure> {
    let mut out = Vec::new();
    MultiGzDecoder::new(body)
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| Failure::bad("invalid", "the body is not readable as gzip"))?;
    if out.len() > limit {
        return Err(too_long(limit));
    }
    Ok(Bytes::from(out))
}

/// 413: the body is over the limit.
pub(super) fn too_long(limit: usize) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-long",
        format!("the body is longer than {limit} bytes, or broke off"),
    )
}

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The coding that `Accept-Encoding` asks for; none when it asks for none that we have.
pub(super) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(u32, Coding)> = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (name, parameter) = part.split_once(';').unwrap_or((part, ""));
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "zstd" => Coding::Zstd,
                "gzip" | "x-gzip" | "*" => Coding::Gzip,
                _ => continue,
            };
            let quality = quality(parameter.trim().strip_prefix("q=").map(str::trim));
            let is_better = best.is_none_or(|(q, c)| {
                quality > q || (quality == q && c == Coding::Gzip && coding == Coding::Zstd)
            });
            if quality > 0 && is_better {
                best = Some((quality, coding));
            }
        }
    }
    best.map(|(_, coding)| coding)
}

/// The answer's bytes compressed; `None` when it is too short, or would not become shorter.
pub(super) fn encoded(coding: Option<Coding>, bytes: &[u8]) -> Option<(Coding, Bytes)> {
    let coding = coding.filter(|_| bytes.len() >= MIN_BYTES)?;
    let packed = match coding {
        Coding::Zstd => zstd::bulk::compress(bytes, 1).ok()?,
        Coding::Gzip => {
            let mut encoder =
                GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()?
        }
    };
    (packed.len() < bytes.len()).then(|| (coding, Bytes::from(packed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn codings_are_chosen() {
        for (value, expected) in [
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip;q=1.0, zstd;q=0.5", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("identity", None),
            ("*", Some(Coding::Gzip)),
            ("", None),
        ] {
            assert_eq!(
                accepted(&headers(header::ACCEPT_ENCODING, value)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_packed_can_be_unpacked_within_the_limit() {
        let text = vec![b'a'; 5_000];
        let (_, packed) = encoded(Some(Coding::Gzip), &text).unwrap();
        let gzip = headers(header::CONTENT_ENCODING, "gzip");
        assert_eq!(decoded(&gzip, packed.clone(), 5_000).unwrap(), text);
        assert_eq!(
            decoded(&gzip, packed, 4_999).unwrap_err().status,
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let broken = Bytes::from_static(b"not gzip");
        assert_eq!(decoded(&gzip, broken.clone(), 9).unwrap_err().status, 400);
        let other = headers(header::CONTENT_ENCODING, "br");
        assert_eq!(decoded(&other, broken, 9).unwrap_err().status, 415);
        let (coding, packed) = encoded(Some(Coding::Zstd), &text).unwrap();
        assert_eq!(coding.name(), "zstd");
        assert_eq!(zstd::bulk::decompress(&packed, 5_000).unwrap(), text);
        assert!(encoded(Some(Coding::Gzip), b"short").is_none());
    }

    proptest::proptest! {
        #[test]
        fn broken_gzip_is_an_answer(mut body in proptest::collection::vec(0u8..=255, 0..200), flips in proptest::collection::vec(0usize..400, 0..4)) {
            let gzip = headers(header::CONTENT_ENCODING, "gzip");
            let _ = decoded(&gzip, Bytes::from(body.clone()), 1_000);
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            body.resize(300, 7);
            encoder.write_all(&body).unwrap();
            let mut packed = encoder.finish().unwrap();
            for flip in flips {
                let length = packed.len();
                packed[flip % length] ^= 0x55;
            }
            if let Ok(out) = decoded(&gzip, Bytes::from(packed), 1_000) {
                assert!(out.len() <= 1_000);
            }
        }
    }
}
