//! The PROXY protocol at both ends: who a trusted peer says its client is, before anything else is
//! read of a connection, and what servers are told. Owns whom to believe and for how long to wait; the
//! bytes are `codec::proxy_protocol`'s.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use evenkeel_codec::proxy_protocol::{self, HEADER_MAX, HeaderError, Outgoing, Reading};
use evenkeel_config::model::{ProxyProtocolIn, ProxyProtocolOut, ProxyProtocolVersion};
use evenkeel_runtime::{self as runtime, TcpStream};

use crate::connection::Connection;
use crate::failure::Reason;
use crate::http::exchange::Exchange;
use crate::http::local_reply;
use crate::snapshot::ListenerSettings;
use crate::worker::Worker;

/// What is to be done about a header of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing: what comes is the client's.
    No,
    /// It may begin with one, or must.
    Yes,
    /// It must, and nobody believes this peer.
    Refused,
}

impl Expected {
    /// What `listener` does with a connection of `peer`.
    pub(crate) fn of(listener: &ListenerSettings, peer: SocketAddr) -> Self {
        match (listener.config.proxy_protocol, listener.trusts(peer.ip())) {
            (ProxyProtocolIn::Off, _) | (ProxyProtocolIn::Accept, false) => Self::No,
            (ProxyProtocolIn::Require, false) => Self::Refused,
            (ProxyProtocolIn::Accept | ProxyProtocolIn::Require, true) => Self::Yes,
        }
    }
}

/// Takes the header that a connection begins with: from then on its client is who that says. `false`:
/// it cannot be served.
pub(crate) async fn receive(connection: &mut Connection) -> bool {
    let Some((generation, id)) = connection.serving() else { return false };
    let Some(listener) = generation.snapshot.listener(id) else { return false };
    let must = listener.config.proxy_protocol == ProxyProtocolIn::Require;
    connection.state.allow_until(connection.opened + listener.config.timeouts.handshake);
    let worker = connection.worker.clone();
    let mut buffer = worker.stock.take();
    let seen = buffer.spare().get_mut(..HEADER_MAX).unwrap_or_default();
    let read = match connection.stream.tcp() {
        Some(tcp) => look(connection, tcp, seen).await,
        None => return false,
    };
    let taken = match (read, connection.stream.tcp()) {
        (Ok((length, _)), Some(tcp)) => take(tcp, seen.get_mut(..length)).await,
        _ => false,
    };
    worker.stock.give(buffer);
    let why = match read {
        Ok((_, ends)) if taken => {
            let limit = listener.config.limits.connections_per_ip;
            let Some(ends) = ends else { return true };
            return listener.admits(ends.0.ip()) && become_of(connection, ends, limit);
        }
        Ok(_) => "the connection ended in it",
        // It may come without one: then what has come is the client's.
        Err(Missing::Not(HeaderError::Absent)) if !must => return true,
        Err(Missing::Silent) if !must && !listener.config.kind.is_http() => return true,
        Err(Missing::Not(HeaderError::Absent)) => "there is none",
        Err(Missing::Not(HeaderError::TooLong)) => "it is too long",
        Err(Missing::Not(HeaderError::Malformed(why))) => why,
        Err(Missing::Silent | Missing::Late) => "it did not come in time",
        Err(Missing::Gone) => return false,
    };
    worker.counters.refused.add(1);
    let (peer, listener) = (connection.peer, &listener.config.name);
    if let Some(untold) = worker.handshakes_told.tells(runtime::now()) {
        let untold = (untold > 0).then_some(untold);
        tracing::info!(%peer, %listener, untold, "no header of the PROXY protocol: {why}");
    }
    false
}

/// Why there is no header.
#[derive(Clone, Copy, Debug)]
enum Missing {
    /// What came is none.
    Not(HeaderError),
    /// Nothing came in time.
    Silent,
    /// Not all of it came in time.
    Late,
    /// The connection ended before.
    Gone,
}

/// The length of the header that has come, and what it says.
async fn look(
    connection: &Connection,
    tcp: &TcpStream,
    seen: &mut [u8],
) -> Result<(usize, Option<(SocketAddr, SocketAddr)>), Missing> {
    let mut had = 0;
    poll_fn(|cx| {
        loop {
            match tcp.poll_peek(cx, seen, had) {
                Poll::Ready(Ok(there)) => {
                    match proxy_protocol::read(seen.get(..there).unwrap_or_default()) {
                        Ok(Reading::Header(header)) => {
                            return Poll::Ready(Ok((header.length, header.ends)));
                        }
                        Ok(Reading::Incomplete) if there <= had => {
                            return Poll::Ready(Err(Missing::Gone));
                        }
                        Ok(Reading::Incomplete) => had = there,
                        Err(error) => return Poll::Ready(Err(Missing::Not(error))),
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Missing::Gone)),
                Poll::Pending => {
                    let late = if had == 0 { Missing::Silent } else { Missing::Late };
                    return connection.state.timer.poll_expired(cx).map(|()| Err(late));
                }
            }
        }
    })
    .await
}

/// Takes what was looked at: it is there.
async fn take(tcp: &TcpStream, place: Option<&mut [u8]>) -> bool {
    let Some(mut place) = place else { return false };
    while !place.is_empty() {
        match poll_fn(|cx| tcp.poll_read(cx, place)).await {
            Ok(read) if read > 0 => place = place.get_mut(read..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

/// The connection is that of another client, and counts as its.
fn become_of(connection: &mut Connection, ends: (SocketAddr, SocketAddr), limit: u32) -> bool {
    let clients = &connection.worker.shared.clients;
    if !clients.enter(ends.0.ip(), limit) {
        connection.worker.counters.refused.add(1);
        tracing::debug!(client = %ends.0.ip(), "refused: too many connections");
        if let Some(tcp) = connection.stream.plain()
            && connection.is_http()
        {
            local_reply::refuse(tcp, Reason::TooManyConnections);
        }
        return false;
    }
    clients.leave(connection.peer.ip());
    (connection.peer, connection.local) = ends;
    connection.peer_text = connection.peer_ip().to_string().into();
    true
}

/// What a server is told about the client of a connection.
pub(crate) fn write(
    out: &ProxyProtocolOut,
    connection: &Connection,
    server_name: Option<&str>,
    alpn: Option<&[u8]>,
) -> Vec<u8> {
    let session = connection.tls.get();
    let name = server_name.or_else(|| session.and_then(|session| session.server_name.as_deref()));
    let agreed = session.and_then(|session| session.alpn).map(|alpn| alpn.name().as_bytes());
    let said = (name, alpn.or(agreed));
    bytes(out, &connection.worker, (connection.peer, connection.local), said)
}

/// The same for a request: its client is who trusted peers say.
pub(crate) fn write_for(out: &ProxyProtocolOut, exchange: &Exchange<'_>) -> Vec<u8> {
    let connection = exchange.connection;
    if exchange.client == connection.peer_ip() {
        return write(out, connection, None, None);
    }
    let client = SocketAddr::new(exchange.client, 0);
    bytes(out, &connection.worker, (client, connection.local), (None, None))
}

fn bytes(
    out: &ProxyProtocolOut,
    worker: &Worker,
    ends: (SocketAddr, SocketAddr),
    (authority, alpn): (Option<&str>, Option<&[u8]>),
) -> Vec<u8> {
    let mut header = Vec::with_capacity(128);
    if out.version == ProxyProtocolVersion::V1 {
        proxy_protocol::write_v1(&mut header, Some(ends));
        return header;
    }
    let id: [u64; 2] = std::array::from_fn(|_| worker.rng.borrow_mut().next_u64());
    let id = [id[0].to_be_bytes(), id[1].to_be_bytes()].concat();
    let outgoing = Outgoing {
        ends: Some(ends),
        is_datagram: false,
        authority: authority.filter(|_| out.tls),
        alpn: alpn.filter(|_| out.tls),
        unique_id: Some(id.as_slice()).filter(|_| out.unique_id),
        checksum: out.checksum,
    };
    proxy_protocol::write_v2(&mut header, &outgoing);
    header
}
