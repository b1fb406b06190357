//! Proxies in front of the edge: which peers are one, and whom those that speak HTTP bring.
//!
//! A hop names the client in `X-Forwarded-For`. From everybody else that header is a stranger's
//! word, and nobody looks at it. `X-Forwarded-Proto` and `X-Forwarded-Host` are read from nobody:
//! nothing here is decided by them. Neither is `Forwarded` (RFC 7239), which no hop that we know
//! writes; two lists that might differ would be one too many.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::doors::{Asked, Doors};
use crate::admission::Peer;
use crate::config::{Hops, Speak};

/// Longest list of addresses: a client, its own proxies, ours. Real ones have two or three.
const LIST_MAX: usize = 32;

/// What the hop at this address speaks; `None`: it is no hop, but the client.
pub(super) fn at(hops: Option<&Hops>, ip: IpAddr) -> Option<Speak> {
    hops.filter(|hops| hops.has(ip)).map(|hops| hops.speak)
}

/// Who sends a request: whoever connects, or whom a hop that speaks HTTP names (`by_hop`).
pub(super) fn resolve(
    hops: Option<&Hops>,
    peer: Peer,
    by_hop: bool,
    headers: &HeaderMap,
) -> Result<Peer, &'static str> {
    match hops {
        Some(hops) if by_hop => Ok(client(hops, headers)?.unwrap_or(peer)),
        Some(_) | None => Ok(peer),
    }
}

/// The client that the headers name; `None` if they name nobody.
///
/// Every hop adds whom it was called by at the right end, so the list is believed from there for
/// as long as the one who wrote it is a hop. If all of them are, the first is the client: a hop's
/// neighbour. The whole list must be well formed, also what the client may have begun it with.
fn client(hops: &Hops, headers: &HeaderMap) -> Result<Option<Peer>, &'static str> {
    let mut list = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        let line = line.to_str().map_err(|_| MALFORMED)?;
        for entry in line.split(',') {
            if list.len() == LIST_MAX {
                return Err("X-Forwarded-For names more than 32 addresses");
            }
            list.push(address(entry.trim_matches([' ', '\t'])).ok_or(MALFORMED)?);
        }
    }
    let outermost = list.iter().rev().find(|peer| !hops.has(peer.ip));
    Ok(outermost.or(list.first()).copied())
}

const MALFORMED: &str = "X-Forwarded-For is no list of addresses";

/// `192.0.2.1`, `192.0.2.1:5000` (as Azure's gateways write it), `2001:db8::1`,
/// `[2001:db8::1]:5000`.
fn address(text: &str) -> Option<Peer> {
    let alone = text.parse::<IpAddr>().map(Peer::from);
    alone
        .or_else(|_| text.parse::<SocketAddr>().map(Peer::from))
        .ok()
}

/// A hop is one no more if it has gone out of the settings since it connected.
pub(super) fn still_by_hop<'a>(asked: Asked<'a>, doors: &Doors) -> Asked<'a> {
    let is_hop = at(doors.hops.as_ref(), asked.peer.ip) == Some(Speak::Http);
    Asked {
        by_hop: asked.by_hop && is_hop,
        ..asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn hops() -> Hops {
        let nets = ["10.0.0.0/8", "2001:db8:a::/48"];
        Hops {
            networks: nets.iter().map(|net| net.parse().unwrap()).collect(),
            speak: Speak::Http,
            tenants: Vec::new(),
        }
    }

    fn named(lines: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append("X-Forwarded-For", line);
        }
        client(&hops(), &headers).map(|peer| peer.map(|peer| peer.to_string()))
    }

    #[test]
    fn b23_the_client_is_the_first_from_the_right_that_is_no_hop() {
        let cases: &[(&[&str], &str)] = &[
            (&["203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9:5000"], "203.0.113.9:5000"),
            (&["2001:db8::9"], "2001:db8::9"),
            (&["[2001:db8::9]:5000"], "[2001:db8::9]:5000"),
            // What stands left of the client is what it would like to be.
            (&["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            (&["10.0.0.5, 203.0.113.9"], "203.0.113.9"),
            (
                &["198.51.100.7,203.0.113.9 ,\t10.0.0.2,10.9.9.9"],
                "203.0.113.9",
            ),
            (
                &["203.0.113.9, ::ffff:10.0.0.2, 2001:db8:a::2"],
                "203.0.113.9",
            ),
            // Several lines are one list.
            (&["198.51.100.7", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            // A neighbour of the hops.
            (&["10.0.0.7:1, 10.0.0.2, 10.0.0.3"], "10.0.0.7:1"),
        ];
        for (lines, client) in cases {
            assert_eq!(named(lines), Ok(Some((*client).to_owned())), "{lines:?}");
        }
        assert_eq!(named(&[]), Ok(None));
    }

    #[test]
    fn b23_a_list_that_is_none_is_refused_whoever_it_would_name() {
        for bad in [
            "",
            ",",
            "unknown",
            "_hidden",
            "203.0.113.9,",
            ", 203.0.113.9",
            "203.0.113",
            "203.0.113.9.1",
            "203.0.113.09",
            "203.0.113.9 10.0.0.1",
            "203.0.113.9:",
            "203.0.113.9:65536",
            "203.0.113.9/32",
            "[2001:db8::9",
            "[2001:db8::9]",
            "for=203.0.113.9",
            "\"203.0.113.9\"",
            "2001:db8::9::1",
            "localhost",
            "é",
            "unknown, 203.0.113.9",
            "203.0.113.9, unknown, 10.0.0.1",
        ] {
            assert_eq!(named(&[bad]), Err(MALFORMED), "{bad:?}");
        }
        let most = ["203.0.113.9"; LIST_MAX].join(",");
        assert!(named(&[&most]).is_ok());
        assert!(named(&[&most, "10.0.0.1"]).is_err());
        assert!(named(&[&format!("{most},10.0.0.1")]).is_err());
    }

    #[test]
    fn b23_who_is_no_hop_names_nobody() {
        let mut headers = HeaderMap::new();
        let claimed = HeaderValue::from_static("198.51.100.7");
        headers.insert("x-forwarded-for", claimed);
        let peer = Peer::from("192.0.2.1:7".parse::<SocketAddr>().unwrap());
        let named = Peer::from("198.51.100.7".parse::<IpAddr>().unwrap());
        let hops = hops();
        assert_eq!(resolve(None, peer, false, &headers), Ok(peer));
        assert_eq!(resolve(Some(&hops), peer, false, &headers), Ok(peer));
        assert_eq!(resolve(Some(&hops), peer, true, &headers), Ok(named));
        // Nor is what it writes looked at.
        headers.insert("x-forwarded-for", HeaderValue::from_static("garbage"));
        assert_eq!(resolve(Some(&hops), peer, false, &headers), Ok(peer));
        assert!(resolve(Some(&hops), peer, true, &headers).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(line in "[0-9a-f:., \\[\\]x]{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut headers = HeaderMap::new();
            for line in [line.as_bytes(), &bytes] {
                if let Ok(line) = HeaderValue::from_bytes(line) {
                    headers.append("x-forwarded-for", line);
                }
            }
            let _ = client(&hops(), &headers);
        }

        #[test]
        fn what_a_client_writes_in_front_changes_nothing(
            front in proptest::collection::vec(any::<[u8; 4]>(), 0..20), client in any::<[u8; 4]>()
        ) {
            let client = IpAddr::from(client);
            prop_assume!(!hops().has(client));
            let mut list: Vec<String> = front.iter().map(|ip| IpAddr::from(*ip).to_string()).collect();
            list.push(client.to_string());
            list.push("10.0.0.2".to_owned());
            prop_assert_eq!(named(&[&list.join(", ")]), Ok(Some(client.to_string())));
        }
    }
}
