//! Trying an address before it is bound for all workers. They share it with SO_REUSEPORT, so a
//! second process of the same user would share it silently too; a plain bind refuses that, and its
//! error names the listener.

use std::io;
use std::net::SocketAddr;

use evenkeel_runtime::SteerBy;
use socket2::{Domain, Socket, Type};

/// Says whether an address can be had.
pub(super) fn probe(listener: &str, address: SocketAddr) -> Result<(), String> {
    try_bind(address).map_err(|error| explain(listener, address, &error))
}

/// Bound but never listening: no connection can get lost in it.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?; // connections of an earlier run in TIME_WAIT do not count
    socket.bind(&address.into())
}

/// Says whether an address can be had for UDP: not if anybody else has a socket there.
pub(super) fn probe_udp(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Why a listener cannot have a UDP socket, and what to do.
pub(super) fn explain_udp(
    listener: &str,
    address: SocketAddr,
    by: SteerBy,
    error: &io::Error,
) -> String {
    let (what, instead) = match by {
        SteerBy::Sender { .. } => ("cannot take datagrams (UDP) on", "choose another port"),
        SteerBy::ConnectionId { .. } => {
            ("cannot take HTTP/3 (UDP) on", "leave `h3` out of `protocols`")
        }
    };
    let why = explain(listener, address, error);
    why.replace("cannot listen on", what)
        .replace("another process listens there", "another process has this UDP port")
        .replace("ss -ltnp", "ss -lunp")
        .replace("stop it, or choose another port", &format!("stop it, or {instead}"))
}

/// Why a listener cannot listen, and what to do.
pub(super) fn explain(listener: &str, address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let (reason, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another process listens there".to_owned(),
            format!("`ss -ltnp 'sport = :{port}'` shows which; stop it, or choose another port"),
        ),
        io::ErrorKind::PermissionDenied if port < 1024 => (
            "permission denied".to_owned(),
            "ports below 1024 need root or CAP_NET_BIND_SERVICE \
             (`setcap cap_net_bind_service=+ep $(command -v evenkeel)`)"
                .to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine has no such address".to_owned(),
            format!("`ip address` shows what it has; 0.0.0.0:{port} is all of IPv4"),
        ),
        _ => (error.to_string(), "choose another address".to_owned()),
    };
    format!("listener `{listener}` cannot listen on {address}: {reason}\nhelp: {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_and_a_free_one_is_not() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = try_bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(explain("web", address, &error).contains("another process"));
        drop(taken);
        try_bind(address).unwrap();
    }
}
