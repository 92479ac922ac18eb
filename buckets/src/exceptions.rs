//! What an administrator says of addresses: networks and hosts that are allowed although they are the cluster's, and networks
//! that are refused although they look like the internet's. Pure.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// See the module. What is allowed is stronger than what is refused.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exceptions {
    allowed: Vec<Network>,
    refused: Vec<Network>,
    /// In small letters, without a dot at the end.
    hosts: Vec<String>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    /// Bits that are the same.
    length: u8,
}

/// What can be allowed: written as `10.0.0.0/8`, as one address, or as the name of a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// By what is connected to.
    Network(Network),
    /// By its name, wherever that leads.
    Host(String),
}

/// It is no network and no host.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "{0:?} is neither a network (10.0.0.0/8), an address, nor the name of a host without scheme and port"
)]
pub struct NoExceptionError(String);

impl Exceptions {
    /// These may be connected to.
    pub fn allow(&mut self, what: Allowed) {
        match what {
            Allowed::Network(network) => self.allowed.push(network),
            Allowed::Host(host) => self.hosts.push(host),
        }
    }

    /// These may not, though they may be public: a cluster whose pods have public addresses.
    pub fn refuse(&mut self, network: Network) {
        self.refused.push(network);
    }

    /// None: nothing is said of it.
    pub(crate) fn judge(&self, host: &str, address: IpAddr) -> Option<bool> {
        let within = |networks: &[Network]| networks.iter().any(|network| network.holds(address));
        if self.hosts.contains(&plain(host)) || within(&self.allowed) {
            return Some(true);
        }
        within(&self.refused).then_some(false)
    }
}

impl Network {
    /// Whether an address lies in it, in whichever form either is written.
    pub fn holds(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u8| {
            let rest = u32::from(bits.saturating_sub(self.length));
            one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (address.to_canonical(), self.address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NoExceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoExceptionError(text.to_owned());
        let (address, length) = text.split_once('/').map_or((text, None), |(a, length)| (a, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        if length > bits {
            return Err(wrong());
        }
        // The IPv4 address in ::ffff:0:0/96 is what is compared.
        match address.to_canonical() {
            short @ IpAddr::V4(_) if address.is_ipv6() => match length.checked_sub(96) {
                Some(length) => Ok(Self { address: short, length }),
                None => Err(wrong()),
            },
            address => Ok(Self { address, length }),
        }
    }
}

impl FromStr for Allowed {
    type Err = NoExceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let host = plain(text);
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        // What ends in digits is an address, though not written as one.
        let is_name =
            host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()));
        match is_name && host.len() <= 253 && host.bytes().all(is_good) {
            true => Ok(Self::Host(host)),
            false => Err(NoExceptionError(text.to_owned())),
        }
    }
}

fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_and_hosts_are_told_apart_and_what_is_neither_is_refused() {
        let host = |name: &str| Ok(Allowed::Host(name.to_owned()));
        for (text, expected) in [
            ("10.0.0.0/8", Ok(Allowed::Network(network("10.0.0.0/8")))),
            ("127.0.0.1", Ok(Allowed::Network(network("127.0.0.1/32")))),
            ("::1", Ok(Allowed::Network(network("::1/128")))),
            ("Minio.storage.svc.", host("minio.storage.svc")),
            ("localhost", host("localhost")),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "http://minio",
            "minio:9000",
            "*.svc",
            "a b",
            "127.1",
            "::ffff:0:0/90",
        ] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_lies_in_a_network_in_whichever_form_it_is_written() {
        let holds = |of: &str, address: &str| network(of).holds(address.parse().unwrap());
        assert!(holds("34.0.0.0/8", "34.255.0.1") && holds("34.0.0.0/8", "::ffff:34.0.0.1"));
        assert!(holds("::ffff:10.0.0.0/104", "10.9.9.9") && !holds("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(holds("2606:4700::/32", "2606:4700:9::1") && !holds("2606:4700::/32", "2606:4701::1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "2606:4700::1"));
        assert!(holds("8.8.8.8", "8.8.8.8") && !holds("8.8.8.8", "8.8.8.9"));
    }

    #[test]
    fn what_is_allowed_is_stronger_and_a_host_is_allowed_wherever_it_leads() {
        let mut exceptions = Exceptions::default();
        exceptions.refuse(network("34.0.0.0/8"));
        exceptions.allow("34.1.0.0/16".parse().unwrap());
        exceptions.allow("minio.svc".parse().unwrap());
        let judge = |host: &str, address: &str| exceptions.judge(host, address.parse().unwrap());
        assert_eq!(judge("x", "34.1.2.3"), Some(true));
        assert_eq!(judge("x", "34.2.0.1"), Some(false));
        assert_eq!(judge("x", "10.0.0.1"), None);
        assert_eq!(judge("MINIO.svc.", "10.0.0.1"), Some(true));
        assert_eq!(judge("x.minio.svc", "10.0.0.1"), None);
    }
}
