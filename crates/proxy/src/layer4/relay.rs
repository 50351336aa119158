//! Bytes both ways until both sides have ended, one of them breaks, nothing moves for too long, or
//! the connection has to end.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime as runtime;

use super::direction::{Broken, Direction};
use super::{Ending, Session};
use crate::channel::Channel;

/// Relays between the session's client and `server`.
pub(super) async fn relay(session: &mut Session<'_>, server: &Channel, idle: Duration) -> Ending {
    let (connection, stock) = (session.connection, &session.connection.worker.stock);
    let (client, state) = (&connection.stream, &connection.state);
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let known = session.server.clone();
    let counters = &connection.worker.counters;
    let mut seen = None;
    let mut counted = (0, 0);
    let ending = poll_fn(|cx| {
        let sent = up.poll(cx, client, server, stock);
        let received = down.poll(cx, server, client, stock);
        // As they move, not at the end: a session may last for days.
        let (more_up, more_down) =
            (up.moved.saturating_sub(counted.0), down.moved.saturating_sub(counted.1));
        counted = (up.moved, down.moved);
        counters.body_bytes_in.add(more_up);
        counters.bytes_out.add(more_down);
        if let Some(known) = &known {
            known.counters.bytes_sent.add(more_up);
            known.counters.bytes_received.add(more_down);
        }
        let broken = match (sent, received) {
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                Some(Ending::ClientReset)
            }
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                Some(Ending::ServerReset)
            }
            _ if up.ended && down.ended => Some(Ending::Closed),
            _ => None,
        };
        if let Some(ending) = broken {
            return Poll::Ready(ending);
        }
        let moved = (up.moved, down.moved, up.ended, down.ended);
        if seen.replace(moved) != Some(moved) {
            state.allow_until(runtime::now() + idle);
        }
        state.timer.poll_expired(cx).map(|()| match state.is_cut() {
            true => Ending::Cut,
            false => Ending::IdleTimeout,
        })
    })
    .await;
    (session.bytes_in, session.bytes_out) = (up.moved, down.moved);
    up.release(stock);
    down.release(stock);
    if ending != Ending::Closed {
        server.abort();
    }
    ending
}
