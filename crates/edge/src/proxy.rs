//! Which address a request came from when proxies stand in between: their word counts only if the operator named them.
//!
//! Anybody can write `X-Forwarded-For`; a proxy adds to its end the address it saw. So the list is read from its end, and
//! only as far as those who added are trusted: the first address that is no trusted proxy is the client's. Which of the
//! two headers the proxies write has to be said, since a client could send the other one through them untouched.
//! Rules: RFC 7239 (`Forwarded`), RFC 4291 §2.5.5.2 (IPv4 inside IPv6).

use axum::http::HeaderMap;
use std::net::{IpAddr, SocketAddr};

/// Most addresses read from the end of the list; a longer way counts as the last proxy's own.
const MAX_HOPS: usize = 16;

/// The header that the trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word is believed; by default nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

/// An entry that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address or network (192.0.2.7, 10.0.0.0/8, fd00::/8): {0}")]
pub struct BadNetwork(pub String);

impl TrustedProxies {
    /// Proxies at these addresses and networks.
    ///
    /// # Errors
    /// [`BadNetwork`], naming the first entry that cannot be read.
    pub fn new(networks: &[String], header: ForwardedBy) -> Result<Self, BadNetwork> {
        let networks = networks
            .iter()
            .map(|text| Network::parse(text).ok_or_else(|| BadNetwork(text.clone())))
            .collect::<Result<_, _>>()?;
        Ok(Self { networks, header })
    }

    /// The address a request came from, given the one the listener saw.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut from = peer.to_canonical();
        if !self.trusts(from) {
            return from;
        }
        for hop in self.hops(headers).take(MAX_HOPS) {
            // What cannot be read ends the list: the proxy that added it counts itself.
            let Some(address) = hop else { return from };
            from = address;
            if !self.trusts(from) {
                return from;
            }
        }
        from
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Addresses from the end of the list to its beginning.
    fn hops<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + 'a {
        let header = self.header;
        let name = match header {
            ForwardedBy::XForwardedFor => "x-forwarded-for",
            ForwardedBy::Forwarded => "forwarded",
        };
        let lines: Vec<&str> = headers
            .get_all(name)
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        lines.into_iter().rev().flat_map(move |line| {
            line.rsplit(',').map(move |element| match header {
                ForwardedBy::XForwardedFor => address(element.trim()),
                ForwardedBy::Forwarded => forwarded_for(element).and_then(address),
            })
        })
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let longest = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= longest)?,
            None => longest,
        };
        Some(Self { address, bits })
    }

    fn has(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let parsed = plain.unwrap_or(text).parse::<IpAddr>().ok();
    parsed
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

/// The value of `for` in one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str], header: ForwardedBy) -> TrustedProxies {
        let networks: Vec<String> = networks.iter().map(|&text| text.to_owned()).collect();
        TrustedProxies::new(&networks, header).unwrap()
    }

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_address_from_the_end_that_is_not_trusted_counts() {
        let trusted = proxies(&["10.0.0.0/8", "fd00::/8"], ForwardedBy::XForwardedFor);
        for (peer, lines, expected) in [
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("10.1.1.1", &[][..], "10.1.1.1"),
            ("10.1.1.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.1.1.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.1.1.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
            (
                "10.1.1.1",
                &["1.2.3.4", "198.51.100.7, 10.2.2.2"],
                "198.51.100.7",
            ),
            ("10.1.1.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.1.1.1", &["1.2.3.4, nonsense, 10.2.2.2"], "10.2.2.2"),
            ("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            ("10.1.1.1", &[""], "10.1.1.1"),
        ] {
            let found = trusted.client(ip(peer), &headers("x-forwarded-for", lines));
            assert_eq!(found, ip(expected), "{peer} {lines:?}");
        }
        let nobody = TrustedProxies::default();
        let sent = headers("x-forwarded-for", &["1.2.3.4"]);
        assert_eq!(nobody.client(ip("10.1.1.1"), &sent), ip("10.1.1.1"));
    }

    #[test]
    fn the_header_that_the_proxies_do_not_write_is_not_read() {
        let trusted = proxies(&["192.0.2.1"], ForwardedBy::Forwarded);
        let peer = ip("192.0.2.1");
        for (name, line, expected) in [
            ("x-forwarded-for", "1.2.3.4", "192.0.2.1"),
            ("forwarded", "for=198.51.100.7;proto=https", "198.51.100.7"),
            (
                "forwarded",
                "for=1.2.3.4, by=x;For=\"[2001:db8::7]:80\"",
                "2001:db8::7",
            ),
            ("forwarded", "for=unknown", "192.0.2.1"),
            ("forwarded", "for=_hidden, for=198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(
                trusted.client(peer, &headers(name, &[line])),
                ip(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        for text in [
            "10.0.0.0/33",
            "10.0.0/8",
            "x",
            "",
            "fd00::/129",
            "10.0.0.0/-1",
            "10.0.0.0/",
        ] {
            let found = TrustedProxies::new(&[text.to_owned()], ForwardedBy::default());
            assert_eq!(found, Err(BadNetwork(text.to_owned())));
        }
        let all = proxies(&["0.0.0.0/0", "::/0"], ForwardedBy::XForwardedFor);
        assert!(all.trusts(ip("203.0.113.9")) && all.trusts(ip("2001:db8::1")));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line in "[ -~]{0,200}", is_new in proptest::bool::ANY) {
            let header = if is_new { ForwardedBy::Forwarded } else { ForwardedBy::XForwardedFor };
            let trusted = proxies(&["0.0.0.0/0"], header);
            let mut headers = HeaderMap::new();
            for name in ["x-forwarded-for", "forwarded"] {
                headers.append(name, line.parse().unwrap());
            }
            let _ = trusted.client(ip("10.0.0.1"), &headers);
        }
    }
}
