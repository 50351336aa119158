//! One HTTP/1 client connection: bytes in, exchanges served one after another, bytes out. Owns
//! keep-alive, pipelining, the deadlines of a head, and how a connection is closed; not what an
//! exchange does.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{HeadLimits, Parse, RequestError, RequestHead};
use evenkeel_config::model::{Listener, ListenerTimeouts};
use evenkeel_runtime as runtime;

use crate::buffer::Buffer;
use crate::connection::{Connection, Phase};
use crate::failure::{Failure, Reason};
use crate::http::downstream::h2;
use crate::http::exchange::{self, Exchange};
use crate::http::local_reply;

/// How long a head may be slower than its minimum rate.
const HEAD_GRACE: Duration = Duration::from_secs(2);
/// How long the last bytes of a client are waited for after the last response (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(5);
/// How many of them are read and thrown away: an ordinary upload, since many clients look at the
/// response only once they have sent everything.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What happens to the connection after an exchange.
pub(crate) enum Next {
    /// It waits for a request, without a buffer.
    Wait,
    /// The next request has begun to arrive.
    Pipelined(Buffer),
    /// It is closed once the client has had time to read the response.
    Linger,
    /// It is closed.
    Close,
    /// It is reset, so that the client notices that the response is incomplete.
    Abort,
    /// It is one of HTTP/2, and has begun like this.
    Http2(Buffer),
}

impl Next {
    /// After a complete response. Bytes that the client has sent and nobody will read would turn
    /// an ordinary close into a reset: so they are read, unless it said that none will come.
    pub(crate) fn after_response(exchange: &Exchange<'_>, persist: bool) -> Self {
        match persist {
            true => Self::Wait,
            false if exchange.head.last && exchange.received && exchange.buffer.is_empty() => {
                Self::Close
            }
            false => Self::Linger,
        }
    }
}

/// Serves a connection to its end, or to the first bytes of HTTP/2, which it returns.
pub(super) async fn converse(connection: &Connection) -> Option<Buffer> {
    let mut waiting = None;
    loop {
        if waiting.is_none() && !wait_for_request(connection).await {
            connection.stream.say_close();
            return None;
        }
        connection.state.enter(Phase::Busy);
        // In a box of its own, so that a connection that waits costs no more than its socket.
        let next = Box::pin(serve_one(connection, waiting.take())).await;
        connection.state.enter(Phase::Idle);
        match next {
            Next::Wait => continue,
            Next::Pipelined(buffer) => {
                waiting = Some(buffer);
                continue;
            }
            Next::Http2(buffer) => return Some(buffer),
            Next::Linger => linger(connection).await,
            Next::Close => connection.stream.say_close(),
            Next::Abort => connection.stream.abort(),
        }
        return None;
    }
}

/// Waits without a buffer until the next request begins; `false` if none will.
async fn wait_for_request(connection: &Connection) -> bool {
    let now = runtime::now();
    let deadline = {
        let Some((generation, listener)) = connection.serving() else { return false };
        let Some(listener) = generation.snapshot.listener(listener) else { return false };
        let timeouts = &listener.config.timeouts;
        match (connection.drain(), connection.requests.get()) {
            (Some(drain), _) => now + drain.idle_grace.min(timeouts.idle),
            // A head's time runs from the accept (RFC 9112 §9.5 leaves it to us).
            (None, 0) => now + timeouts.head,
            (None, _) => now + timeouts.idle,
        }
    };
    connection.state.allow_until(deadline);
    poll_fn(|cx| {
        if let Poll::Ready(ready) = connection.stream.poll_readable(cx) {
            return Poll::Ready(ready.is_ok());
        }
        connection.state.timer.poll_expired(cx).map(|()| false)
    })
    .await
}

/// Receives one request and serves it.
async fn serve_one(connection: &Connection, waiting: Option<Buffer>) -> Next {
    let worker = connection.worker.clone();
    let Some((generation, id)) = connection.serving() else { return Next::Close };
    let Some(listener) = generation.snapshot.listener(id) else { return Next::Close };
    connection.requests.set(connection.requests.get().saturating_add(1));
    let mut buffer = waiting.unwrap_or_else(|| worker.stock.take());
    worker.stock.widen(&mut buffer);
    let mut head = worker.heads.request();
    let received = receive_head(connection, &listener.config, &mut buffer, &mut head).await;
    let mut exchange = Exchange::new(connection, generation.clone(), id, head, buffer);
    let next = match received {
        Ok(length) => {
            exchange.buffer.keep(length);
            match runtime::isolate(exchange::serve(&mut exchange)).await {
                Ok(next) => next,
                Err(panic) => return exchange::lose(&mut exchange, &panic).await,
            }
        }
        Err(Receive::Nothing) => Next::Close,
        Err(Receive::Http2) => {
            connection.requests.set(0);
            worker.heads.give_request(exchange.head);
            return Next::Http2(exchange.buffer);
        }
        Err(Receive::Failed(failure)) => {
            let next = local_reply::send(&mut exchange, failure).await;
            exchange::record(&exchange);
            next
        }
    };
    exchange.finish(next)
}

enum Receive {
    /// The client closed before it sent anything.
    Nothing,
    /// It speaks HTTP/2, and may.
    Http2,
    Failed(Failure),
}

/// Reads until the head is complete; its length.
async fn receive_head(
    connection: &Connection,
    listener: &Listener,
    buffer: &mut Buffer,
    head: &mut RequestHead,
) -> Result<usize, Receive> {
    let limits = HeadLimits {
        head: listener.limits.head,
        line: listener.limits.request_line,
        fields: listener.limits.fields,
    };
    let mut since: Option<Instant> = None;
    loop {
        if !buffer.is_empty() {
            match head.parse(buffer.filled(), &limits) {
                Ok(Parse::Complete(length)) if listener.protocols.h1 => return Ok(length),
                Ok(Parse::Complete(_)) => {
                    let refused = Reason::BadRequest(RequestError::VersionNotSupported);
                    return Err(Receive::Failed(Failure::new(refused)));
                }
                Ok(Parse::Partial) => {}
                Err(_) if is_preface(connection, listener, buffer) => {
                    if buffer.filled().len() >= h2::PREFACE.len() {
                        return Err(Receive::Http2);
                    }
                    head.clear();
                }
                Err(error) => {
                    return Err(Receive::Failed(Failure::new(Reason::BadRequest(error))));
                }
            }
            // A head that comes in one piece, as almost all do, needs no clock.
            if plant::is(Bug::SlowHeadForEver) {
                since = None;
            }
            let since = *since.get_or_insert_with(runtime::now);
            let mut deadline = head_deadline(since, &listener.timeouts, buffer.filled().len());
            if connection.requests.get() == 1 && !plant::is(Bug::SlowHeadForEver) {
                // Not from its first byte, which a client may hold back (RFC 9112 §9.5).
                deadline = deadline.min(connection.opened + listener.timeouts.head);
            }
            connection.state.allow_until(deadline);
        }
        if buffer.is_full() {
            // The parser refuses what is over the limit before the block is that large.
            buffer.grow(
                (buffer.size() * 2).min(limits.head.saturating_mul(2).max(buffer.size() + 1024)),
            );
        }
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = connection.stream.poll_read(cx, buffer.spare()) {
                return Poll::Ready(Some(read));
            }
            connection.state.timer.poll_expired(cx).map(|()| None)
        });
        match read.await {
            Some(Ok(0)) if buffer.is_empty() => return Err(Receive::Nothing),
            Some(Ok(0) | Err(_)) => {
                return Err(match buffer.is_empty() {
                    true => Receive::Nothing,
                    false => Receive::Failed(Failure::new(Reason::ClientGone)),
                });
            }
            Some(Ok(read)) => buffer.extend(read),
            None if buffer.is_empty() => return Err(Receive::Nothing),
            None => return Err(Receive::Failed(Failure::new(Reason::HeadTimeout))),
        }
    }
}

/// Whether it begins as HTTP/2 does where the client knows beforehand, as far as it is here, and may:
/// without TLS, and as the first bytes. Asked only of what is no request.
fn is_preface(connection: &Connection, listener: &Listener, buffer: &Buffer) -> bool {
    let begin = buffer.filled();
    let line = begin.get(..h2::PREFACE.len()).unwrap_or(begin);
    listener.protocols.h2
        && connection.requests.get() == 1
        && !connection.is_secure()
        && begin.len() >= b"PRI * HTTP/2.0\r\n".len()
        && h2::PREFACE.starts_with(line)
}

/// The earlier of the whole head's deadline and of the moment at which so few bytes become too
/// slow.
fn head_deadline(since: Instant, timeouts: &ListenerTimeouts, bytes: usize) -> Instant {
    let hard = since + timeouts.head;
    match slowest(bytes as u64, timeouts.head_rate_min) {
        Some(time) => hard.min(since + HEAD_GRACE + time),
        None => hard,
    }
}

/// The time in which `bytes` must have passed at the rate `bytes_per_second`; `None` if any is
/// slow enough.
pub(crate) fn slowest(bytes: u64, bytes_per_second: u64) -> Option<Duration> {
    let millis = bytes.saturating_mul(1000).checked_div(bytes_per_second)?;
    Some(Duration::from_millis(millis.min(86_400_000))) // a day: keeps the sum of instants sound
}

/// Ends our half, then lets the client read what it was sent: closing while it still sends would
/// destroy the response on its side (RFC 9112 §9.6).
async fn linger(connection: &Connection) {
    if connection.stream.shutdown_write().is_err() {
        return;
    }
    connection.state.allow_until(runtime::now() + LINGER);
    let mut buffer = connection.worker.stock.take();
    let mut left = LINGER_BYTES_MAX;
    poll_fn(|cx| {
        loop {
            match connection.stream.poll_read(cx, buffer.spare()) {
                Poll::Ready(Ok(read)) if read > 0 && left > 0 => left = left.saturating_sub(read),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return connection.state.timer.poll_expired(cx),
            }
        }
    })
    .await;
    connection.worker.stock.give(buffer);
}
