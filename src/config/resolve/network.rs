//! Networks as settings write them: of a route, of hops.

use ipnet::{IpNet, Ipv4Net};

use super::Problems;

pub(super) fn networks(at: &str, written: &[String], problems: &mut Problems) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in written {
        let network: Result<IpNet, _> = text
            .parse()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        match network.map(canonical) {
            Ok(None) => problems.add(
                at,
                format!("{text:?} is neither an IPv4 nor an IPv6 network"),
            ),
            Ok(Some(network)) if network.trunc() == network => networks.push(network),
            Ok(Some(network)) => problems.add(
                at,
                format!(
                    "{text:?} has bits beyond its prefix; did you mean {}?",
                    network.trunc()
                ),
            ),
            Err(_) => problems.add(
                at,
                format!("{text:?} must be a network such as \"10.0.0.0/8\""),
            ),
        }
    }
    networks
}

/// An IPv4 network that is written as IPv6 (RFC 4291, 2.5.5.2), as what it is: the addresses of
/// clients are compared so, too.
fn canonical(network: IpNet) -> Option<IpNet> {
    match network {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::V4),
            // Half of it is no IPv6.
            (Some(_), None) => None,
            (None, _) => Some(network),
        },
        IpNet::V4(_) => Some(network),
    }
}
