//! The address of the client behind proxies that are trusted.

use std::net::IpAddr;

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

/// The header in which proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Proxies whose headers name the client. Only one header is read: a proxy that writes one of them passes the other on as
/// its client sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: AddressHeader,
}

/// A network of IPv4 or IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// The number of leading bits that all its addresses share.
    prefix: u32,
}

impl TrustedProxies {
    /// Addresses such as `10.0.0.7`, and networks such as `10.0.0.0/8`. The error names the first invalid one.
    pub fn new<'a>(
        networks: impl IntoIterator<Item = &'a str>,
        header: AddressHeader,
    ) -> Result<Self, String> {
        let networks: Result<_, _> = networks.into_iter().map(Network::parse).collect();
        Ok(Self { networks: networks?, header })
    }

    /// The address of the client: that of the connection, or the last one in the header that is not of a trusted proxy if the
    /// connection is of one. Whatever precedes it in the header may be invented.
    pub(crate) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if self.networks.is_empty() {
            return peer;
        }
        let mut client = peer?.to_canonical();
        let (name, read): (HeaderName, fn(&str) -> Option<IpAddr>) = match self.header {
            AddressHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), node),
            AddressHeader::Forwarded => (FORWARDED, forwarded_for),
        };
        let lines = headers.get_all(name);
        let mut hops = lines
            .iter()
            .rev()
            .flat_map(|line| split_from_end(line.to_str().unwrap_or_default(), ','));
        while self.trusts(client) {
            // A hop without an address hides those before it.
            let Some(hop) = hops.next().and_then(read) else { break };
            client = hop.to_canonical();
        }
        Some(client)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "{text:?} is not an address such as \"10.0.0.7\" or a network such as \"10.0.0.0/8\""
            )
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = if address.is_ipv4() { u32::BITS } else { u128::BITS };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| invalid())?;
        let network = Self { address, prefix };
        if prefix > bits {
            return Err(invalid());
        }
        Ok(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// The parts between separators outside quotes, from the last one to the first. The last parts are those of the trusted proxy:
/// quotes that a client left open before them change nothing about them.
fn split_from_end(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        for (index, character) in text.char_indices().rev() {
            if character == '"' {
                let before = &text[..index];
                let backslashes = before.len() - before.trim_end_matches('\\').len();
                is_quoted ^= backslashes % 2 == 0;
            } else if character == separator && !is_quoted {
                rest = Some(&text[..index]);
                return Some(&text[index + 1..]);
            }
        }
        rest = None;
        Some(text)
    })
}

/// The address in the parameter `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    split_from_end(element, ';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| node(value.trim().trim_matches('"')))?
    })
}

/// An address, with a port or without, as `X-Forwarded-For` and `Forwarded` write it.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().map(IpAddr::V6).ok();
    }
    let without_port = || text.rsplit_once(':')?.0.parse().map(IpAddr::V4).ok();
    text.parse().ok().or_else(without_port)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// The client of a connection from a proxy at 10.0.0.1.
    fn client(header: AddressHeader, lines: &[&str]) -> String {
        from("10.0.0.1", header, lines)
    }

    fn from(peer: &str, header: AddressHeader, lines: &[&str]) -> String {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"], header).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, HeaderValue::try_from(value).unwrap());
        }
        proxies.client(Some(peer.parse().unwrap()), &headers).unwrap().to_string()
    }

    use AddressHeader::{Forwarded, XForwardedFor};

    #[test]
    fn last_address_that_is_not_of_a_trusted_proxy_is_the_client() {
        for (lines, expected) in [
            (&["X-Forwarded-For: 192.0.2.1"] as &[&str], "192.0.2.1"),
            (&["X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
            (&["X-Forwarded-For: 192.0.2.1:4711"], "192.0.2.1"),
            (&["X-Forwarded-For: [2001:dead::1]:80"], "2001:dead::1"),
            (&["X-Forwarded-For: ::ffff:192.0.2.1"], "192.0.2.1"),
            // Only trusted ones.
            (&["X-Forwarded-For: 10.0.0.3, 2001:db8::7"], "10.0.0.3"),
            // What cannot be read hides what precedes it.
            (&["X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["X-Forwarded-For: 192.0.2.1,"], "10.0.0.1"),
            (&["Forwarded: for=192.0.2.1"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(XForwardedFor, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_specification_writes_it() {
        for (line, expected) in [
            ("for=192.0.2.1;proto=http;by=203.0.113.43", "192.0.2.1"),
            ("proto=https; For=\"[2001:dead::17]:4711\"", "2001:dead::17"),
            ("for=203.0.113.9, for=192.0.2.1, for=10.9.9.9", "192.0.2.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown, for=10.9.9.9", "10.9.9.9"),
            // A client cannot invent an element by a quote that it leaves open, or by the name of a host.
            ("for=\"203.0.113.9, for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;host=\"x, for=203.0.113.9\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"x;for=203.0.113.9\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"\\\", for=203.0.113.9\"", "192.0.2.1"),
            ("for=\"", "10.0.0.1"),
        ] {
            let line = format!("Forwarded: {line}");
            assert_eq!(client(Forwarded, &[&line]), expected, "{line}");
        }
        assert_eq!(client(Forwarded, &["X-Forwarded-For: 192.0.2.1"]), "10.0.0.1");
    }

    #[test]
    fn headers_of_others_are_ignored() {
        for peer in ["192.0.2.7", "11.0.0.1", "2001:db9::1", "::1"] {
            for (header, line) in [
                (XForwardedFor, "X-Forwarded-For: 203.0.113.9"),
                (Forwarded, "Forwarded: for=203.0.113.9"),
            ] {
                assert_eq!(from(peer, header, &[line]), peer);
            }
        }
        let none = TrustedProxies::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        let peer = Some("10.0.0.1".parse().unwrap());
        assert_eq!(none.client(peer, &headers), peer);
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let contains = |network, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.7", "10.0.0.7"));
        assert!(!contains("10.0.0.7", "10.0.0.6"));
        assert!(contains("10.1.0.0/15", "10.0.255.1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1"));
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            let error = Network::parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
