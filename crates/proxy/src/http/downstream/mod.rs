//! The client's side, one file for each version of HTTP. Owns which one a connection speaks.

pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod stream;

use std::future::poll_fn;
use std::task::Poll;

use evenkeel_runtime as runtime;

use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::tls;

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
        && !Box::pin(shake_hands(connection)).await
    {
        return;
    }
    if let Channel::Tls(stream) = &connection.stream
        && stream.with_session(|session| session.alpn_protocol() == Some(b"h2".as_slice()))
    {
        return Box::pin(h2::converse(connection, Buffer::default())).await;
    }
    // A client that knows beforehand (RFC 9113 §3.3) begins with what is no request of HTTP/1.
    if let Some(early) = h1::converse(connection).await {
        Box::pin(h2::converse(connection, early)).await;
    }
}

/// Agrees with the client on a TLS session, in time; whether that was possible.
async fn shake_hands(connection: &Connection) -> bool {
    let Channel::Tls(stream) = &connection.stream else { return true };
    let Some(timeout) = connection.serving().and_then(|(generation, id)| {
        Some(generation.snapshot.listener(id)?.config.timeouts.handshake)
    }) else {
        return false;
    };
    connection.state.allow_until(connection.opened + timeout);
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(shaken) = stream.poll_handshake(cx) {
            return Poll::Ready(Some(shaken));
        }
        connection.state.timer.poll_expired(cx).map(|()| None)
    });
    match shaken.await {
        Some(Ok(())) => {
            let session = stream.with_session(tls::Session::of);
            connection.tls.set(session.into()).is_ok()
        }
        Some(Err(error)) => {
            tracing::info!(client = %connection.peer, %error, "no TLS session");
            false
        }
        None => {
            tracing::info!(client = %connection.peer, "no TLS session: the client was too slow");
            false
        }
    }
}
