//! The UDP check: one datagram out, an answer back. A port nobody listens at is known at once, if
//! the host says so (ICMP).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use evenkeel_config::model::Exchange;
use tokio::net::UdpSocket;

use super::probe::{Aim, Miss, Probed, blame};
use super::tcp::contains;

/// The largest datagram.
const DATAGRAM_MAX: usize = 64 * 1024;

pub(super) async fn probe(exchange: &Exchange, aim: &Aim) -> Probed {
    let Some(address) = aim.addresses.first() else {
        return Err(Miss::Failed(format!("`{}` has no address", aim.host)));
    };
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(|e| blame("no socket", &e))?;
    // Connected: datagrams from elsewhere are not taken, and refusals reach us.
    socket.connect(address).await.map_err(|e| blame("cannot send", &e))?;
    let send = exchange.send.as_deref().unwrap_or_default();
    socket.send(send).await.map_err(|e| blame("cannot send", &e))?;
    let expect = exchange.expect.as_deref().unwrap_or_default();
    let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
    loop {
        datagram.clear();
        socket.recv_buf(&mut datagram).await.map_err(|e| blame("cannot receive", &e))?;
        if contains(&datagram, expect) {
            return Ok(());
        }
    }
}
