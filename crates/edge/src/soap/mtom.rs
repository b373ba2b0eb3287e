//! MTOM as far as .NET's streaming services need it: the envelope taken out of a multipart request, and an answer put in
//! one. Binary content stays inside the envelope as base64, which MTOM allows.

use super::read::Version;

const BOUNDARY: &str = "uuid:5b1d1c2e-0000-4a3e-9c55-grunndata+id=1";
const ROOT: &str = "<http://tempuri.org/0>";

/// The first part of a multipart body: the envelope.
pub(super) fn root<'b>(body: &'b [u8], content_type: &str) -> Option<&'b [u8]> {
    let boundary = super::serve::parameter(content_type, "boundary")?;
    if boundary.is_empty() || boundary.len() > 200 {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let start = find(body, delimiter.as_bytes())?;
    let after = body.get(start + delimiter.len()..)?;
    let head_end = find(after, b"\r\n\r\n")?;
    let content = after.get(head_end + 4..)?;
    let end = find(content, format!("\r\n{delimiter}").as_bytes())?;
    content.get(..end)
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    body.windows(what.len()).position(|window| window == what)
}

/// Content type and body of an answer.
pub(super) fn wrap(envelope: &str, version: Version) -> (String, String) {
    let inner = version.content_type().split(';').next().unwrap_or_default();
    let content_type = format!(
        r#"multipart/related; type="application/xop+xml"; start="{ROOT}"; boundary="{BOUNDARY}"; start-info="{inner}""#
    );
    let body = format!(
        "\r\n--{BOUNDARY}\r\nContent-ID: {ROOT}\r\nContent-Transfer-Encoding: 8bit\r\n\
         Content-Type: application/xop+xml;charset=utf-8;type=\"{inner}\"\r\n\r\n{envelope}\r\n--{BOUNDARY}--\r\n"
    );
    (content_type, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrapped_comes_out_again() {
        let (content_type, body) = wrap("<e/>", Version::V11);
        assert_eq!(
            root(body.as_bytes(), &content_type),
            Some("<e/>".as_bytes())
        );
        assert_eq!(
            root(b"--x\r\n\r\n<e/>", "multipart/related; boundary=x"),
            None
        );
        assert_eq!(root(b"<e/>", "multipart/related"), None);
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), b in "[-a-z]{0,4}") {
            let _ = root(&body, &format!("multipart/related; boundary=\"{b}\""));
        }
    }
}
