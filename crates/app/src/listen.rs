//! Addresses to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Deserializer, de};
use tokio::net::{TcpListener, TcpSocket};

/// Parses `127.0.0.1:6010`, `[::1]:6010`, `localhost:6010`, `:6010` (all interfaces) or `6010` (loopback).
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let ip = match host {
        "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        "" => Some(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        _ => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        },
    };
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_plain);
    ip.zip(port).map(SocketAddr::from).ok_or_else(|| {
        format!(
            "{text:?} is not an address to listen on, such as \"127.0.0.1:6010\", \"localhost:6010\", \
             \"[::1]:6010\", \"6010\" (this computer alone) or \":6010\" (all interfaces)"
        )
    })
}

/// Deserialises an address, or the number of a port.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an address such as \"127.0.0.1:6010\"")]
    enum PortOrAddress {
        Port(u16),
        Address(String),
    }
    match PortOrAddress::deserialize(deserializer)? {
        PortOrAddress::Port(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        PortOrAddress::Address(text) => parse(&text).map_err(de::Error::custom),
    }
}

/// Optional addresses: `off` is `None`.
pub(crate) mod optional {
    use std::net::SocketAddr;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    const OFF: &str = "off";

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(OFF),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == OFF {
            return Ok(None);
        }
        let address = super::parse(&text);
        address.map(Some).map_err(|what| de::Error::custom(format_args!("{what}, or \"off\"")))
    }
}

/// The send buffer of a connection in bytes. The kernel's default limit is megabytes: a thousand clients that do not read
/// would occupy gigabytes. The kernel doubles the number for its own needs.
const SEND_BUFFER: u32 = 128 << 10;

/// Listens on an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As in the standard library: allows a port with connections in the state TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Connections inherit the options of their listener.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// The address for a browser on this computer: loopback instead of `0.0.0.0` and `[::]`, which browsers do not open.
pub(crate) fn browser_address(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_addresses_are_parsed_and_others_are_errors() {
        for (text, address) in [
            ("6010", "127.0.0.1:6010"),
            (":6010", "0.0.0.0:6010"),
            ("localhost:6010", "127.0.0.1:6010"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), Ok(address));
        }
        for wrong in [
            "",
            ":",
            "nonsense",
            "localhost",
            "localhost:",
            "65536",
            "+80",
            "::1:80",
            "1.2.3:80",
            "host:80",
        ] {
            assert!(parse(wrong).is_err_and(|error| error.contains("such as")), "{wrong}");
        }
    }

    #[test]
    fn unspecified_address_becomes_loopback_for_browsers() {
        for (address, opens) in [
            ("0.0.0.0:6010", "127.0.0.1:6010"),
            ("[::]:6010", "[::1]:6010"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(parse(address).map(browser_address), parse(opens));
        }
    }
}
