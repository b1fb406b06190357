//! Middles that do harm: what the callers must notice.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What is done to the bytes that come back.
#[derive(Clone, Copy)]
pub enum Harm {
    /// One bit of a letter is turned, once on each connection.
    Turns,
    /// The connection ends in the middle of a message.
    Cuts,
}

/// Past the answer to the upgrade and the first message.
const UNHARMED: usize = 2000;

/// Listens, and forwards each connection in threads of its own until either end closes.
pub fn middle(upstream: SocketAddr, harm: Harm) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(upstream) else {
                continue;
            };
            let up = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            thread::spawn(move || copies(up.0, up.1, None));
            thread::spawn(move || copies(server, client, Some(harm)));
        }
    });
    address
}

fn copies(mut from: TcpStream, mut to: TcpStream, mut harm: Option<Harm>) {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        passed += count;
        if passed > UNHARMED {
            match harm.take() {
                Some(Harm::Cuts) => break,
                // A letter or a digit: never part of a frame's header.
                Some(Harm::Turns) => {
                    match buffer[..count].iter().position(u8::is_ascii_alphanumeric) {
                        Some(at) => buffer[at] ^= 1,
                        None => harm = Some(Harm::Turns),
                    }
                }
                None => {}
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
