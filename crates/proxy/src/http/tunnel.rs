//! After a 101 (RFC 9110 §7.8): bytes both ways until both sides have ended, or nothing moves for
//! too long. Holds no buffer while nothing moves.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::channel::Channel;
use crate::connection::Phase;
use crate::failure::Reason;
use crate::http::body::{Pump, Sink};
use crate::http::downstream::h1::Next;
use crate::http::exchange::Exchange;
use crate::http::forwarded::{self, Framing};
use crate::http::interim;
use crate::http::relay::End;
use crate::http::upstream::Answer;
use crate::layer4::direction::Direction;

/// Confirms the upgrade to the client and becomes a tunnel.
pub(crate) async fn open(exchange: &mut Exchange<'_>, answer: Answer, request: &mut Pump) -> End {
    let worker = exchange.connection.worker.clone();
    let idle = match exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id)) {
        Some(pool) => pool.config.timeouts.tunnel,
        None => return End::Unsent(Reason::NoServers),
    };
    let mut head = worker.stock.take_scratch();
    let bytes = answer.buffer.all();
    let framing = Framing { sink: Sink::Identity, keeps_length: true, persist: true };
    forwarded::write_response(&mut head, exchange, &answer.head, bytes, framing);
    exchange.status = answer.head.status;
    worker.stock.give_scratch(request.settle(&mut exchange.buffer));
    let written = interim::write_all(exchange, &head).await;
    worker.stock.give_scratch(head);
    if written.is_err() {
        return End::ClientFailed(Reason::ClientGone);
    }
    exchange.connection.state.enter(Phase::Tunnel);
    let Answer { mut buffer, connection, head, .. } = answer;
    worker.heads.give_response(head);
    buffer.release();
    exchange.buffer.release();
    let early = std::mem::take(&mut exchange.buffer);
    let client = &exchange.connection.stream;
    let server = &connection.stream;
    let mut up = Direction::beginning_with(early);
    let mut down = Direction::beginning_with(buffer);
    let result = run(exchange, client, server, &mut up, &mut down, idle).await;
    exchange.body_bytes_in = up.moved;
    exchange.bytes_out = exchange.bytes_out.saturating_add(down.moved);
    for direction in [up, down] {
        direction.release(&worker.stock);
    }
    match result {
        Ok(()) => End::Complete(Next::Close),
        Err(_) => End::Complete(Next::Abort),
    }
}

async fn run(
    exchange: &Exchange<'_>,
    client: &Channel,
    server: &Channel,
    up: &mut Direction,
    down: &mut Direction,
    idle: Duration,
) -> io::Result<()> {
    let stock = &exchange.connection.worker.stock;
    let state = &exchange.connection.state;
    let mut seen = None;
    poll_fn(|cx| {
        let sent = up.poll(cx, client, server, stock);
        let received = down.poll(cx, server, client, stock);
        for direction in [sent, received] {
            if let Poll::Ready(Err(_)) = direction {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        if up.ended && down.ended {
            return Poll::Ready(Ok(()));
        }
        let moved = (up.moved, down.moved, up.ended, down.ended);
        if seen.replace(moved) != Some(moved) {
            state.allow_until(runtime::now() + idle);
        }
        state.timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
