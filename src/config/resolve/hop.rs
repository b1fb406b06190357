//! `[hops]`: proxies in front of the edge that are believed, and in what words.

use super::Problems;
use super::network::networks;
use crate::config::file::File;
use crate::config::{Hops, Speak};

/// `None`: nobody is believed.
pub(super) fn hops(file: &File, problems: &mut Problems) -> Option<Hops> {
    let written = &file.hops;
    if written.networks.is_empty() {
        // `speak = "http"` alone says nothing that is not so.
        if written
            .speak
            .as_deref()
            .is_some_and(|speak| speak != "http")
        {
            problems.add("hops.speak", "has no use without networks");
        }
        if !written.tenants.is_empty() {
            problems.add("hops.tenants", "has no use without networks");
        }
        return None;
    }
    let networks = networks("hops.networks", &written.networks, problems);
    if networks.iter().any(|network| network.prefix_len() == 0) {
        problems.add(
            "hops.networks",
            "would believe everybody; list the networks that the proxies are in",
        );
    }
    let speak = match written.speak.as_deref() {
        Some("http") => Speak::Http,
        Some("proxy") => Speak::Proxy,
        // Behind a balancer of the other kind the headers would be the client's own words.
        Some(_) | None => {
            problems.add(
                "hops.speak",
                "must be \"http\", if the proxies write X-Forwarded-For, or \"proxy\", if they \
                 begin each connection with a PROXY protocol header",
            );
            Speak::Http
        }
    };
    if speak == Speak::Proxy && !written.tenants.is_empty() {
        problems.add(
            "hops.tenants",
            "has no use with speak = \"proxy\": identity headers are the client's own words then",
        );
    }
    let tenants = problems.tenants("hops.tenants", &written.tenants);
    Some(Hops {
        networks,
        speak,
        tenants,
    })
}
