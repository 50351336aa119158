//! The TLS handshake of a client's connection. Owns how long it may take and what is said, and
//! counted, when it fails; not what the two sides agree on.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_runtime as runtime;

use crate::channel::Channel;
use crate::connection::Connection;
use crate::failure::Reason;
use crate::http::local_reply;
use crate::tls::{Session, TlsStream};

/// Failed handshakes that one worker tells of in a second.
const LINES_MAX: u32 = 10;
/// How long the rest of what a client sent in the clear is waited for, so that it can read why it
/// is refused (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Agrees with the client on a TLS session, in time; whether that was possible.
pub(crate) async fn shake_hands(connection: &Connection) -> bool {
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
            if session.has_ended(runtime::wall_clock()) {
                counters.handshakes_failed.add(1);
                let (client, listener) = (connection.peer, &listener.config.name);
                if let Some(untold) = connection.worker.handshakes_told.tells(runtime::now()) {
                    let untold = (untold > 0).then_some(untold);
                    tracing::info!(%client, %listener, untold, "no TLS session: it goes on from one with a certificate that has expired since");
                }
                return false;
            }
            counters.handshakes.add(1);
            counters.handshakes_resumed.add(u64::from(session.resumed));
            connection.tls.set(session.into()).is_ok()
        }
        failed => {
            counters.handshakes_failed.add(1);
            let name = stream.with_session(Session::name_asked_for);
            let why = explain(stream, failed);
            let (client, listener) = (connection.peer, &listener.config.name);
            if let Some(untold) = connection.worker.handshakes_told.tells(runtime::now()) {
                let untold = (untold > 0).then_some(untold);
                tracing::info!(%client, %listener, name = name.as_deref(), untold, "no TLS session: {why}");
            }
            if stream.is_plaintext() && connection.is_http() {
                local_reply::refuse(stream.tcp(), Reason::PlaintextOnTlsPort);
                linger(connection, stream).await;
            }
            false
        }
    }
}

/// What was told of failed handshakes: strangers cause them at will, and a log has an end.
#[derive(Default)]
pub(crate) struct Told {
    second: Cell<Option<Instant>>,
    lines: Cell<u32>,
    untold: Cell<u64>,
}

impl Told {
    /// Whether this one is told of, and how many were not since the last that was.
    pub(crate) fn tells(&self, now: Instant) -> Option<u64> {
        let is_over = |begun| now.saturating_duration_since(begun) >= Duration::from_secs(1);
        if self.second.get().is_none_or(is_over) {
            self.second.set(Some(now));
            self.lines.set(0);
        }
        if self.lines.get() >= LINES_MAX {
            self.untold.set(self.untold.get().saturating_add(1));
            return None;
        }
        self.lines.set(self.lines.get().saturating_add(1));
        Some(self.untold.take())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_told_of_in_a_few_lines_that_say_how_many() {
        let (told, begun) = (Told::default(), runtime::now());
        let lines = (0..1000).filter_map(|_| told.tells(begun)).count();
        assert_eq!(lines, 10);
        assert_eq!(told.tells(begun + Duration::from_millis(999)), None);
        assert_eq!(told.tells(begun + Duration::from_secs(1)), Some(991));
        assert_eq!(told.tells(begun + Duration::from_secs(1)), Some(0));
    }
}
