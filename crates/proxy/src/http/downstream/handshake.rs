//! The TLS handshake of a client's connection. Owns how long it may take and what is said, and
//! counted, when it fails; not what the two sides agree on.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::channel::Channel;
use crate::connection::Connection;
use crate::failure::Reason;
use crate::http::local_reply;
use crate::tls::{Session, TlsStream};

/// How long the rest of what a client sent in the clear is waited for, so that it can read why it
/// is refused (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Agrees with the client on a TLS session, in time; whether that was possible.
pub(super) async fn shake_hands(connection: &Connection) -> bool {
    let Channel::Tls(stream) = &connection.stream else { return true };
    let Some((generation, id)) = connection.serving() else { return false };
    let Some(listener) = generation.snapshot.listener(id) else { return false };
    connection.state.allow_until(connection.opened + listener.config.timeouts.handshake);
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(shaken) = stream.poll_handshake(cx) {
            return Poll::Ready(Some(shaken));
        }
        connection.state.timer.poll_expired(cx).map(|()| None)
    });
    let counters = &connection.worker.counters;
    match shaken.await {
        Some(Ok(())) => {
            let auth = listener.config.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
            let forward = auth.map(|auth| auth.forward).unwrap_or_default();
            let session = stream.with_session(|session| Session::of(session, forward));
            counters.handshakes.add(1);
            counters.handshakes_resumed.add(u64::from(session.resumed));
            connection.tls.set(session.into()).is_ok()
        }
        failed => {
            counters.handshakes_failed.add(1);
            let name = stream.with_session(Session::name_asked_for);
            let why = explain(stream, failed);
            let (client, listener) = (connection.peer, &listener.config.name);
            tracing::info!(%client, %listener, name = name.as_deref(), "no TLS session: {why}");
            if stream.is_plaintext() {
                local_reply::refuse(stream.tcp(), Reason::PlaintextOnTlsPort);
                linger(connection, stream).await;
            }
            false
        }
    }
}

/// In words; `None` is a client that was too slow.
fn explain(stream: &TlsStream, failed: Option<io::Result<()>>) -> String {
    match failed {
        None if !stream.has_spoken() => "the client said nothing".into(),
        None => "the client was too slow".into(),
        _ if stream.is_plaintext() => "the client speaks HTTP without TLS".into(),
        Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client closed the connection".into()
        }
        Some(Err(error)) => error.to_string(),
        Some(Ok(())) => String::new(),
    }
}

/// Ends our half and reads what the client still sends, for a moment.
async fn linger(connection: &Connection, stream: &TlsStream) {
    if stream.tcp().shutdown_write().is_err() {
        return;
    }
    connection.state.allow_until(runtime::now() + LINGER);
    let mut buffer = connection.worker.stock.take();
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        loop {
            match stream.tcp().poll_read(cx, buffer.spare()) {
                Poll::Ready(Ok(read)) if read > 0 && left > 0 => left = left.saturating_sub(read),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return connection.state.timer.poll_expired(cx),
            }
        }
    })
    .await;
    connection.worker.stock.give(buffer);
}
