//! The client's side, one file for each version of HTTP. Owns which one a connection speaks.

pub(crate) mod h1;
pub(crate) mod h2;
#[cfg(feature = "http3")]
pub(crate) mod h3;
mod handshake;
pub(crate) mod stream;

use evenkeel_runtime as runtime;

use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::tls::Alpn;

pub(crate) use self::handshake::{Told, shake_hands};

/// Serves a connection to its end, or to the panic that ends it and nothing else.
pub(crate) async fn serve(connection: Connection) {
    if let Err(panic) = runtime::isolate(converse(&connection)).await {
        connection.worker.counters.panics.add(1);
        let listener = connection.state.entrance.address;
        tracing::error!(client = %connection.peer, %listener, %panic, "a connection was lost");
        connection.stream.abort();
    }
}

async fn converse(connection: &Connection) {
    if let Channel::Tls(_) = connection.stream
        && !Box::pin(handshake::shake_hands(connection)).await
    {
        return;
    }
    match connection.tls.get().and_then(|session| session.alpn) {
        Some(Alpn::AcmeTls) => return, // the authority has seen what it asked for
        Some(Alpn::H2) => return Box::pin(h2::converse(connection, Buffer::default())).await,
        _ => {}
    }
    // A client that knows beforehand (RFC 9113 §3.3) begins with what is no request of HTTP/1.
    if let Some(early) = h1::converse(connection).await {
        Box::pin(h2::converse(connection, early)).await;
    }
}
