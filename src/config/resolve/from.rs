//! Where clients of a route may come from: networks, and web pages.

use ipnet::{IpNet, Ipv4Net};

use super::route::At;

pub(super) fn networks(at: &mut At<'_>, key: &str, written: &[String]) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in written {
        let network: Result<IpNet, _> = text
            .parse()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        match network.map(canonical) {
            Ok(None) => at.add(
                key,
                format!("{text:?} is neither an IPv4 nor an IPv6 network"),
            ),
            Ok(Some(network)) if network.trunc() == network => networks.push(network),
            Ok(Some(network)) => at.add(
                key,
                format!(
                    "{text:?} has bits beyond its prefix; did you mean {}?",
                    network.trunc()
                ),
            ),
            Err(_) => at.add(
                key,
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

/// Origins as RFC 6454, section 6.2 serialises them, which is how browsers send them. Upper case,
/// a default port and a slash at the end are forgiven in the settings; in a request they are not.
pub(super) fn origins(at: &mut At<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for origin in &at.written.origins {
        match serialise(origin) {
            Some(origin) => origins.push(origin),
            None => at.add(
                "origins",
                format!(
                    "{origin:?} must be an origin such as \"https://app.example.com\", without \
                     a path"
                ),
            ),
        }
    }
    origins
}

fn serialise(origin: &str) -> Option<String> {
    let origin = origin
        .strip_suffix('/')
        .unwrap_or(origin)
        .to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://")?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let rest = rest.strip_suffix(default).unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    let fits = !rest.is_empty() && rest.bytes().all(plain);
    fits.then(|| format!("{scheme}://{rest}"))
}
