//! Where a client dials from: the networks of a route, and addresses as limits count them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Denied;
use crate::audit;
use crate::error::Reason;
use crate::secret::Digest;

/// Who is at the other end, as logs show it: an address, and its port where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer {
            ip: address.ip(),
            port: Some(address.port()),
        }
    }
}

impl From<IpAddr> for Peer {
    fn from(ip: IpAddr) -> Peer {
        Peer { ip, port: None }
    }
}

impl From<Peer> for audit::Client {
    fn from(peer: Peer) -> audit::Client {
        audit::Client {
            ip: peer.ip,
            port: peer.port,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::from((self.ip, port))),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// An address as limits count it: whoever has an IPv6 network of 64 bits has all addresses in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(u64, bool);

impl Address {
    pub fn of(ip: IpAddr) -> Address {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Address(u64::from(u32::from(v4)), false),
            IpAddr::V6(v6) => Address((u128::from(v6) >> 64) as u64, true),
        }
    }

    /// For names that an address must not be legible in.
    pub(super) fn digest(self) -> Digest {
        let Address(bits, is_v6) = self;
        Digest::of(&format!("address\0{bits:x}\0{is_v6}"))
    }

    /// The first 16 bits of an IPv4 address, the first 32 of an IPv6 address: what one party may
    /// have to itself.
    pub(super) fn network(self) -> Address {
        let Address(bits, is_v6) = self;
        let keep = if is_v6 { 32 } else { 16 };
        Address(bits >> keep << keep, is_v6)
    }
}

/// `deny` goes before `allow`, and an empty `allow` allows all.
pub(super) fn check(ip: IpAddr, allow: &[IpNet], deny: &[IpNet]) -> Result<(), Denied> {
    let ip = ip.to_canonical();
    let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&ip));
    if within(deny) || !(allow.is_empty() || within(allow)) {
        return Err(Denied::new(
            Reason::Forbidden,
            "the address is not allowed here",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let of = |text| Address::of(ip(text));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        // The number of an IPv4 address is no IPv6 network.
        assert_ne!(of("192.0.2.1"), of("0:0:c000:201::"));
    }

    #[test]
    fn neighbours_share_a_network() {
        let of = |text| Address::of(ip(text)).network();
        assert_eq!(of("192.0.2.1"), of("192.0.99.7"));
        assert_ne!(of("192.0.2.1"), of("192.1.2.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:ffff::1"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db9:1::1"));
    }

    #[test]
    fn deny_goes_before_allow_and_mapped_addresses_are_what_they_map() {
        let nets = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (allow, deny) = (
            nets(&["10.0.0.0/8", "2001:db8::/32"]),
            nets(&["10.1.0.0/16"]),
        );
        let cases = [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.1.0.1", false),
            ("::ffff:10.1.0.1", false),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ];
        for (text, passes) in cases {
            assert_eq!(check(ip(text), &allow, &deny).is_ok(), passes, "{text}");
        }
        assert!(check(ip("203.0.113.1"), &[], &deny).is_ok());
        assert!(check(ip("10.1.2.3"), &[], &deny).is_err());
    }
}
