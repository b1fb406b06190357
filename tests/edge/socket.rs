//! What the sockets of both legs are set to, as the kernel tells it.

use std::fs;
use std::net::SocketAddr;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::Socket;

use crate::harness::{World, text};

/// The socket of this process between these addresses: the edge of a test runs in the process of
/// the test. Another name for it, so that its options can be asked for.
fn socket(is: impl Fn(SocketAddr, SocketAddr) -> bool) -> Socket {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let own = fs::read_dir("/proc/self/fd").unwrap();
    own.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        // Other tests open and close theirs meanwhile.
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok())
        .map(Socket::from)
        .find(|socket| {
            let ends = (socket.local_addr(), socket.peer_addr());
            let (Ok(local), Ok(peer)) = ends else {
                return false;
            };
            local
                .as_socket()
                .zip(peer.as_socket())
                .is_some_and(|(local, peer)| is(local, peer))
        })
        .unwrap()
}

#[tokio::test]
async fn small_frames_are_not_held_back_on_either_leg() {
    let world = World::usual().await;
    let mut caller = world.call("sim-echo").await;
    caller.send(text("hi")).await;
    caller.next().await.unwrap();
    let client = caller.io.tcp().local_addr().unwrap();
    let server = caller.io.tcp().peer_addr().unwrap();
    let seen = world.upstream_saw(|seen| seen.received.text == 1).await;
    let legs = [
        // Another test's client may have the same port, towards another server.
        socket(|local, peer| (local, peer) == (server, client)),
        socket(|local, _| local == seen.peer),
    ];
    for leg in legs {
        assert!(leg.tcp_nodelay().unwrap(), "{leg:?}");
        // A peer that is gone is noticed.
        assert!(leg.keepalive().unwrap(), "{leg:?}");
        // Nor behind megabytes that the kernel has not sent.
        assert_eq!(leg.tcp_notsent_lowat().unwrap(), 128 * 1024, "{leg:?}");
    }
}
