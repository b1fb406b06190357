//! Listening sockets that were there before this process: of the supervisor that started it, or of a
//! process whose place it takes.
//!
//! What is inherited is what the settings would have bound, or nothing starts: an address decides who
//! may reach a listener, and whether plain text is allowed there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use socket2::{SockRef, Type};

/// Sockets that listen already.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Each of them has a queue of its own in the kernel, so somebody must accept from each.
    pub public: Vec<TcpListener>,
    pub admin: Option<TcpListener>,
}

/// Why a socket cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("the supervisor's sockets cannot be used: {0}")]
    Supervisor(io::Error),
    #[error(
        "the supervisor gives a socket by the name of {0:?}; there are \"public\" and \"admin\" \
         (FileDescriptorName= of the socket unit)"
    )]
    Name(String),
    #[error("the socket for {0} is none that listens for TCP connections")]
    NoListener(&'static str),
    #[error("the socket for {setting} listens on {found}, and the settings say {wanted}")]
    Address {
        setting: &'static str,
        found: SocketAddr,
        wanted: SocketAddr,
    },
    #[error("a socket cannot be taken over: {0}")]
    Socket(#[from] io::Error),
}

impl Sockets {
    /// Those that a supervisor has opened for this process, by number and name.
    ///
    /// To be called once, before anything else opens a descriptor: from then on they are ours.
    pub fn of_supervisor(
        given: impl IntoIterator<Item = (RawFd, String)>,
    ) -> Result<Sockets, Unfit> {
        let mut sockets = Sockets::default();
        for (number, name) in given {
            let socket = TcpListener::from(own(number));
            match name.as_str() {
                "public" => sockets.public.push(socket),
                "admin" if sockets.admin.is_none() => sockets.admin = Some(socket),
                _ => return Err(Unfit::Name(name)),
            }
        }
        Ok(sockets)
    }

    /// Whether they are what the settings mean; port 0 stands for any.
    pub fn judge(&self, listen: SocketAddr, admin: SocketAddr) -> Result<(), Unfit> {
        for socket in &self.public {
            judge(socket, "server.listen", listen)?;
        }
        let of_admin = self.admin.as_ref();
        of_admin.map_or(Ok(()), |socket| judge(socket, "server.admin", admin))
    }

    /// The same sockets once more.
    pub fn again(&self) -> io::Result<Sockets> {
        let public: io::Result<_> = self.public.iter().map(TcpListener::try_clone).collect();
        let admin = self.admin.as_ref().map(TcpListener::try_clone);
        Ok(Sockets {
            public: public?,
            admin: admin.transpose()?,
        })
    }
}

#[allow(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner yet"
)]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the supervisor's protocol (LISTEN_FDS with our LISTEN_PID) says that the descriptor is
    // open and meant for us; whoever read that has found it open, it is called once for each, and
    // nothing else in this process knows the number.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn judge(socket: &TcpListener, setting: &'static str, wanted: SocketAddr) -> Result<(), Unfit> {
    let about = SockRef::from(socket);
    let listens = about.is_listener().unwrap_or(false);
    let is_stream = about.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let Some(found) = socket.local_addr().ok().filter(|_| listens && is_stream) else {
        return Err(Unfit::NoListener(setting));
    };
    let port_fits = wanted.port() == 0 || wanted.port() == found.port();
    if found.ip() != wanted.ip() || !port_fits {
        return Err(Unfit::Address {
            setting,
            found,
            wanted,
        });
    }
    socket.set_nonblocking(true)?;
    Ok(())
}

/// Who of `workers` accepts from which sockets: every worker from one at least, and from every socket
/// one of them at least, however many there are of each.
pub fn spread(sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let count = sockets.len();
    for worker in count..workers {
        // One queue for several: whoever is first has the connection.
        shares[worker].push(sockets[worker % count].try_clone()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        shares[number % workers].push(socket);
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpStream, UdpSocket};
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    const ANY: &str = "127.0.0.1:0";

    fn bound() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind(ANY).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn b18_what_a_supervisor_gives_is_taken_by_its_name() {
        let ((public, listen), (admin, of_admin)) = (bound(), bound());
        let given = [
            (admin.into_raw_fd(), "admin".to_owned()),
            (public.into_raw_fd(), "public".to_owned()),
        ];
        let sockets = Sockets::of_supervisor(given).unwrap();
        sockets.judge(listen, of_admin).unwrap();
        let any = ANY.parse().unwrap();
        sockets.judge(any, any).unwrap();
        assert_eq!(sockets.public[0].local_addr().unwrap(), listen);
        for name in ["unknown", "", "Public"] {
            let (socket, _) = bound();
            let given = [(socket.into_raw_fd(), name.to_owned())];
            let unfit = Sockets::of_supervisor(given).unwrap_err();
            assert!(
                matches!(&unfit, Unfit::Name(told) if told == name),
                "{unfit}"
            );
        }
        // There is one listener for operators.
        let given = [(); 2].map(|()| (bound().0.into_raw_fd(), "admin".to_owned()));
        assert!(Sockets::of_supervisor(given).is_err());
    }

    #[test]
    fn b18_a_socket_that_is_not_what_the_settings_say_is_refused() {
        let (socket, listen) = bound();
        let wrong_port = SocketAddr::new(listen.ip(), listen.port() ^ 1);
        let wide = SocketAddr::new("0.0.0.0".parse().unwrap(), listen.port());
        for wanted in [wrong_port, wide] {
            let unfit = judge(&socket, "server.listen", wanted).unwrap_err();
            let told = unfit.to_string();
            let expected = format!("listens on {listen}, and the settings say {wanted}");
            assert!(told.ends_with(&expected), "{told}");
        }
        let connected = TcpStream::connect(listen).unwrap();
        let datagrams = UdpSocket::bind(ANY).unwrap();
        for none in [connected.into_raw_fd(), datagrams.into_raw_fd()] {
            let given = [(none, "public".to_owned())];
            let sockets = Sockets::of_supervisor(given).unwrap();
            let any = ANY.parse().unwrap();
            let unfit = sockets.judge(any, any).unwrap_err();
            assert!(
                matches!(unfit, Unfit::NoListener("server.listen")),
                "{unfit}"
            );
        }
    }

    #[test]
    fn b18_every_worker_accepts_and_from_every_socket_somebody_does() {
        for (count, workers) in [(1, 1), (1, 3), (2, 2), (2, 5), (5, 2), (3, 1)] {
            let sockets: Vec<_> = (0..count).map(|_| bound().0).collect();
            let own: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
            let numbers: Vec<_> = sockets.iter().map(|s| s.as_raw_fd()).collect();
            let shares = spread(sockets, workers).unwrap();
            assert_eq!(shares.len(), workers);
            assert!(
                shares.iter().all(|share| !share.is_empty()),
                "{count} {workers}"
            );
            let all: Vec<_> = shares.iter().flatten().collect();
            assert_eq!(all.len(), count.max(workers));
            for address in own {
                assert!(all.iter().any(|s| s.local_addr().unwrap() == address));
            }
            // None of them was closed and opened anew.
            for number in numbers {
                assert!(all.iter().any(|s| s.as_raw_fd() == number));
            }
        }
    }
}
