//! Keeps requests away from addresses that a user could reach by us only: the cluster's own, and this machine's. Judged is
//! the address that is connected to, not the name, which may lead elsewhere a moment later.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::exceptions::Exceptions;

/// Which addresses may be connected to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Guard {
    /// Any: the process can reach no more than the user can without it, or an administrator allows it.
    #[default]
    Any,
    /// Those that [`is_public`] says are the internet's, but for what an administrator says.
    Public(Exceptions),
}

/// Of one of these addresses nothing is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forbidden(pub IpAddr);

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "address {} is not allowed", self.0)
    }
}

impl Error for Forbidden {}

impl Guard {
    /// Whether it may be connected to as `host`, which is a name or the address itself.
    pub(crate) fn allows(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public(exceptions) => exceptions.judge(host, address).unwrap_or_else(|| is_public(address)),
        }
    }
}

/// Whether an address is of the internet: not of this machine, of its networks, of a private or shared range, or of none. What
/// is carried inside an IPv6 address counts as if it stood alone.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // "This network", shared (RFC 6598), protocol assignments, 6to4's relays, benchmarking, reserved and broadcast.
        || a == 0
        || (a, b & 0xc0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a, b & 0xfe) == (198, 18)
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // NAT64, its local form, and 6to4: the IPv4 address in it is where it leads.
        (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x64, 0xff9b, ..) => false,
        (0x2002, ..) => v4(b, c),
        // Teredo and other protocols, documentation.
        (0x2001, b, ..) if b < 0x200 => false,
        (0x2001, 0xdb8, ..) | (0x3fff, 0..=0xfff, ..) => false,
        // Only 2000::/3 is given out.
        _ => a & 0xe000 == 0x2000,
    }
}

/// Tells only addresses that may be connected to.
#[derive(Debug)]
pub(crate) struct Resolver(pub Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let allowed: Vec<_> =
                found.iter().copied().filter(|address| guard.allows(host, address.ip())).collect();
            match (allowed.is_empty(), found.first()) {
                (true, Some(first)) => Err(Forbidden(first.ip()).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_the_internet_is_public_in_whatever_form_it_is_written() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for address in [
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(public(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn without_a_guard_no_address_is_refused_and_with_one_the_exceptions_come_first() {
        let address = |text: &str| text.parse().unwrap();
        assert!(Guard::Any.allows("h", address("127.0.0.1")));
        let strict = Guard::Public(Exceptions::default());
        assert!(strict.allows("h", address("8.8.8.8")) && !strict.allows("h", address("10.0.0.1")));
        let mut exceptions = Exceptions::default();
        exceptions.allow("10.0.0.0/8".parse().unwrap());
        exceptions.refuse("8.0.0.0/8".parse().unwrap());
        let guard = Guard::Public(exceptions);
        assert!(guard.allows("h", address("10.0.0.1")) && !guard.allows("h", address("8.8.8.8")));
        assert!(guard.allows("h", address("9.9.9.9")) && !guard.allows("h", address("127.0.0.1")));
    }
}
