//! Sets `TCP_NODELAY` on our connections, because sqlx 0.9.0 does not.
//!
//! Without it a statement that leaves in two writes (every `COPY`, and whatever
//! is larger than a segment) waits up to 40 ms for the acknowledgement of the
//! first. sqlx lost the setting in 0.9.0 (its issue #4335) and has it again in
//! what comes after; with that, this file goes.

/// Sets it on this process's connections to a port. One that cannot be set stays
/// slow, and nothing else.
#[cfg(target_os = "linux")]
pub(crate) fn set_on_connections_to(port: u16) {
    use std::os::fd::{BorrowedFd, RawFd};

    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let fds = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for fd in fds {
        // SAFETY: the descriptor is used for system calls only, and not beyond
        // this turn. Should its owner close it meanwhile, or another socket get
        // its number, the calls fail or set a harmless option there.
        #[allow(unsafe_code)]
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = socket2::SockRef::from(&borrowed);
        let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
        if peer.is_some_and(|peer| peer.port() == port) {
            let _ = socket.set_tcp_nodelay(true);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn set_on_connections_to(_port: u16) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn it_is_set_on_connections_to_the_port_and_no_others() {
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let [to_one, to_other] = [&one, &other]
            .map(|listener| TcpStream::connect(("127.0.0.1", port(listener))).expect("connected"));
        super::set_on_connections_to(port(&one));
        assert!(to_one.nodelay().expect("asked"));
        assert!(!to_other.nodelay().expect("asked"));
    }
}
