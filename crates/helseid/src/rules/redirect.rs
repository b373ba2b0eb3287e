//! Which redirect URI belongs to a client (spec §5, attack A9): exact text, with one exception for native clients.

use url::{Host, Url};

/// Whether the requested URI is one of those registered.
///
/// A native client's loopback URI may differ in its port only (RFC 8252 §7.3): everything else is still compared as
/// text, so `..`, user info, letter case and fragments never slip through.
#[must_use]
pub fn is_registered(requested: &str, registered: &[String], native: bool) -> bool {
    if requested.len() > 2_000 || requested.contains(['#', '\\']) {
        return false;
    }
    registered.iter().any(|one| {
        one == requested
            || native
                && without_loopback_port(one).is_some_and(|plain| {
                    without_loopback_port(requested).is_some_and(|asked| asked == plain)
                })
    })
}

/// `scheme://host` and the rest of a loopback URI, its port left out; `None` for anything else.
fn without_loopback_port(uri: &str) -> Option<(String, String)> {
    let parsed = Url::parse(uri).ok()?;
    let loopback = match parsed.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let plain =
        parsed.scheme() == "http" && parsed.username().is_empty() && parsed.password().is_none();
    if !loopback || !plain {
        return None;
    }
    let rest = uri.strip_prefix("http://")?;
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_end)?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some((host.to_owned(), path.to_owned()))
}

/// The origin a form on our page may send the browser to, for `form-action`; a private scheme counts whole.
#[must_use]
pub fn form_action_source(redirect_uri: &str) -> Option<String> {
    let parsed = Url::parse(redirect_uri).ok()?;
    if matches!(parsed.scheme(), "http" | "https") {
        Some(parsed.origin().ascii_serialization())
    } else {
        Some(format!("{}:", parsed.scheme()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_uris_match() {
        let registered = [
            "https://epj.no/cb".to_owned(),
            "http://localhost:3000/cb".to_owned(),
        ];
        let table = [
            ("https://epj.no/cb", true, true),
            ("http://localhost:3000/cb", true, true),
            ("http://localhost:4711/cb", false, true),
            ("http://localhost/cb", false, true),
            ("http://127.0.0.1:3000/cb", false, false),
            ("http://localhost:3000/cb/", false, false),
            ("http://localhost:3000/CB", false, false),
            ("http://localhost:3000/x/../cb", false, false),
            ("http://u@localhost:3000/cb", false, false),
            ("http://localhost:3000@evil.no/cb", false, false),
            ("http://localhost.evil.no:3000/cb", false, false),
            ("https://localhost:3000/cb", false, false),
            ("https://epj.no:443/cb", false, false),
            ("https://epj.no:444/cb", false, false),
            ("https://EPJ.no/cb", false, false),
            ("https://epj.no/cb?x=1", false, false),
            ("https://epj.no/cb#x", false, false),
            ("https://epj.no/cb/../evil", false, false),
            ("https://epj.no.evil.no/cb", false, false),
            ("https://epj.no", false, false),
            ("", false, false),
        ];
        for (uri, confidential, native) in table {
            assert_eq!(
                is_registered(uri, &registered, false),
                confidential,
                "{uri}"
            );
            assert_eq!(
                is_registered(uri, &registered, true),
                native,
                "native {uri}"
            );
        }
    }

    #[test]
    fn form_action_sources() {
        assert_eq!(
            form_action_source("https://epj.no/cb").as_deref(),
            Some("https://epj.no")
        );
        assert_eq!(
            form_action_source("no.epj.app:/cb").as_deref(),
            Some("no.epj.app:")
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(uri in ".{0,60}") {
            let _ = is_registered(&uri, &["http://localhost:1/".to_owned()], true);
            let _ = form_action_source(&uri);
        }
    }
}
