//! Where REST hooks may go: http and https only, and outside a demo never to addresses of the hub's own neighbourhood.
//!
//! A subscriber chooses the address, so it could make the hub call what only the hub can reach (server-side request
//! forgery). Names are resolved here, and the connection goes to an address that was looked at, so that a name cannot
//! lead elsewhere the second time. Redirects are not followed.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Longest address, bytes.
pub(crate) const MAX_URL_BYTES: usize = 2_048;

/// Reads and checks an address as far as that is possible without looking its name up; what is wrong otherwise.
/// # Errors
/// What is wrong with it.
pub fn read(text: &str, allow_private: bool) -> Result<Url, &'static str> {
    if text.len() > MAX_URL_BYTES {
        return Err("the endpoint is longer than 2048 bytes");
    }
    let url = Url::parse(text).map_err(|_| "the endpoint must be an absolute http or https URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the endpoint must be an http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the endpoint must carry no user name or password; use channel.header");
    }
    let refused = "the endpoint is not a public address; this hub calls public addresses only";
    let is_allowed = match url.host() {
        None => return Err("the endpoint names no host"),
        Some(_) if allow_private => true,
        Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name != "localhost" && !name.ends_with(".localhost") && name.contains('.')
        }
    };
    if is_allowed { Ok(url) } else { Err(refused) }
}

/// Whether an address is one of the open internet (RFC 6890 and the IANA special-purpose registries).
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 192 && b == 168)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let inner = |high: u16, low: u16| {
        let ([p, q], [r, s]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(p, q, r, s))
    };
    match (a, b, c, d, e, f) {
        // IPv4 in IPv6: mapped, translated (NAT64), 6to4.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => inner(g, h),
        (0x2002, ..) => inner(b, c),
        // Only 2000::/3 is given out; of it, Teredo, benchmarks and documentation are not the internet.
        (0x2001, 0..=0x01ff | 0x0db8, ..) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

/// Looks names up and lets through public addresses only.
pub struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|a| is_public(a.ip()))
                .collect();
            if found.is_empty() {
                return Err("the name leads to no public address".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "193.0.0.1",
            "2a00:1450::1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn endpoints_are_checked() {
        for (text, outside, inside) in [
            ("https://example.org/hook", true, true),
            ("http://example.org:8080/hook?x=1", true, true),
            ("https://127.0.0.1/hook", false, true),
            ("https://localhost/hook", false, true),
            ("https://LOCALHOST./hook", false, true),
            ("https://intranet/hook", false, true),
            ("https://[::1]/hook", false, true),
            ("https://0x7f.1/hook", false, true),
            ("https://2130706433/hook", false, true),
            ("https://user:word@example.org/", false, false),
            ("ftp://example.org/", false, false),
            ("file:///etc/passwd", false, false),
            ("gopher://example.org/", false, false),
            ("example.org/hook", false, false),
            ("", false, false),
        ] {
            assert_eq!(read(text, false).is_ok(), outside, "{text}");
            assert_eq!(read(text, true).is_ok(), inside, "{text}");
        }
    }
}
