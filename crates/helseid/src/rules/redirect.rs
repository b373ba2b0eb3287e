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

/// Whether a URI may be registered as a redirect URI (RFC 8252, RFC 9700 §4.1): https anywhere, http on this machine
/// only, a private scheme for native applications only.
///
/// # Errors
/// What is wrong, to be put after "address n".
pub fn check_registrable(uri: &str, native: bool) -> Result<(), &'static str> {
    if uri.is_empty() || uri.len() > 2_000 {
        return Err("must have 1 to 2000 characters");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) || uri.contains(['\\', '*', '"', '<', '>'])
    {
        return Err("must be a plain address without spaces, wildcards and backslashes");
    }
    if uri.contains('#') {
        return Err("must not have a fragment");
    }
    let parsed = Url::parse(uri).map_err(|_| "is not a whole address")?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not carry a user name");
    }
    let path = uri.split('?').next().unwrap_or_default();
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("must not have dot segments");
    }
    match parsed.scheme() {
        "https" if parsed.host().is_some() => Ok(()),
        "http" if without_loopback_port(uri).is_some() => Ok(()),
        "http" => Err("must use https; http is for localhost only"),
        // RFC 8252 §7.1: a private scheme is a reversed domain name.
        scheme if native && scheme.contains('.') => Ok(()),
        _ => Err("must use https, or a private scheme with a dot for native applications"),
    }
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
    fn what_may_be_registered() {
        let table = [
            ("https://epj.no/cb", true, true),
            ("https://epj.no:8443/cb?x=1", true, true),
            ("http://localhost:3000/", true, true),
            ("http://127.0.0.1/cb", true, true),
            ("http://[::1]:3000/cb", true, true),
            ("no.epj.app:/cb", false, true),
            ("http://epj.no/cb", false, false),
            ("http://localhost.evil.no/cb", false, false),
            ("https://epj.no/cb#x", false, false),
            ("https://u@epj.no/cb", false, false),
            ("https://*.epj.no/cb", false, false),
            ("https://epj.no/a/../cb", false, false),
            ("https://epj.no/ cb", false, false),
            ("javascript:alert(1)", false, false),
            ("data:text/html,x", false, false),
            ("epj:/cb", false, false),
            ("/cb", false, false),
            ("", false, false),
        ];
        for (uri, web, native) in table {
            assert_eq!(check_registrable(uri, false).is_ok(), web, "{uri}");
            assert_eq!(check_registrable(uri, true).is_ok(), native, "native {uri}");
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
            // What may be registered is also matched by itself.
            if check_registrable(&uri, true).is_ok() {
                assert!(is_registered(&uri, std::slice::from_ref(&uri), true));
            }
        }
    }
}
