//! The admin listener answers this machine without a credential: nobody beyond it may reach it, unless a token
//! is set.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Asked;
use super::report::{Finding, Group};
use super::witness::Admin;
use crate::upstream::look;

const WAIT: Duration = Duration::from_secs(3);

pub(super) async fn check(asked: &Asked) -> Vec<Finding> {
    let Some(admin) = &asked.admin else {
        let why = "server.admin has port 0: give --admin";
        return vec![Finding::skipped(Group::Admin, "admin listener", why)];
    };
    let mut findings = vec![match timeout(WAIT, admin.answers()).await {
        Ok(true) => Finding::ok(Group::Admin, admin.address.to_string(), "an edge runs here"),
        Ok(false) | Err(_) => {
            let why = "no edge answers here";
            Finding::skipped(Group::Admin, admin.address.to_string(), why)
        }
    }];
    let mut others = own_addresses();
    if let Some(public) = &asked.public {
        let host = &public.place.host;
        let found = look::addresses(host, admin.address.port(), Instant::now() + WAIT).await;
        others.extend(found.unwrap_or_default().iter().map(SocketAddr::ip));
    }
    others.retain(|ip| !ip.to_canonical().is_loopback());
    if others.is_empty() {
        let why = "this machine has no other address than loopback";
        findings.push(Finding::skipped(Group::Admin, "from outside", why));
    }
    let port = admin.address.port();
    let asks = asked.settings.live.admin_token.is_some();
    let outside = others
        .into_iter()
        .map(|ip| outside(admin, (ip, port), asks));
    findings.extend(join_all(outside).await);
    findings
}

async fn outside(admin: &Admin, (ip, port): (IpAddr, u16), asks: bool) -> Finding {
    let address = SocketAddr::new(ip, port);
    let at = Admin {
        address,
        chain: admin.chain.clone(),
        token: None,
    };
    let answers = timeout(WAIT, at.answers()).await;
    match answers {
        Ok(true) if asks => {
            let text = "it answers there who shows the admin token";
            Finding::ok(Group::Admin, address.to_string(), text)
        }
        Ok(true) => {
            let text = "The admin listener answers on an address that others reach.";
            let fix = "Take away what forwards that port (a published container port, a proxy, a \
                       service), or have a firewall close it.";
            Finding::fail(Group::Admin, address.to_string(), (text, fix))
        }
        // Who ends TLS on the way shows a certificate of its own.
        Ok(false) | Err(_) if at.chain.is_some() && listens(address).await => {
            let text =
                "Something listens there that does not show the certificate of the settings.";
            let fix = "See that it does not lead to the admin listener.";
            Finding::warn(Group::Admin, address.to_string(), (text, fix))
        }
        Ok(false) | Err(_) => {
            let text = "no admin listener answers there";
            Finding::ok(Group::Admin, address.to_string(), text)
        }
    }
}

async fn listens(address: SocketAddr) -> bool {
    matches!(timeout(WAIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// The addresses that this machine has towards others. Nothing is sent: the kernel only says by which
/// one it would be.
fn own_addresses() -> BTreeSet<IpAddr> {
    let towards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let address = |(from, to): (&str, &str)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    towards.into_iter().filter_map(address).collect()
}
