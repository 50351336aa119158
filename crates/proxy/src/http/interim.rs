//! Interim responses (1xx, RFC 9110 §15.2) on their way to the client, in bounded number.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{ResponseHead, Version};
use evenkeel_runtime as runtime;

use crate::http::exchange::Exchange;
use crate::http::forwarded;

/// Interim responses passed on for one request, whichever servers they come from, and their bytes;
/// a server that sends more is broken or hostile.
const COUNT_MAX: u32 = 16;
const BYTES_MAX: usize = 64 * 1024;

/// How many came so far.
#[derive(Default)]
pub(crate) struct Interims {
    count: u32,
    bytes: usize,
}

/// Why one was not passed on.
pub(crate) enum Refusal {
    TooMany,
    Client,
}

impl Interims {
    /// Counts one more; whether it is one too many.
    fn add(&mut self, length: usize) -> bool {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        let too_many = self.count > COUNT_MAX || self.bytes > BYTES_MAX;
        too_many && !plant::is(Bug::EndlessInterim)
    }
}

/// Passes one on, to a client that understands it: an HTTP/1.0 client does not, and one that did
/// not expect a 100 has no use for it.
pub(crate) async fn pass_on(
    exchange: &mut Exchange<'_>,
    response: &ResponseHead,
    bytes: &[u8],
    length: usize,
) -> Result<(), Refusal> {
    if exchange.interims.add(length) {
        return Err(Refusal::TooMany);
    }
    let unexpected = response.status == 100 && !exchange.head.expects_continue;
    if unexpected || exchange.head.version == Version::Http10 {
        return Ok(());
    }
    let mut out = exchange.connection.worker.stock.take_scratch();
    forwarded::write_interim(&mut out, response, bytes);
    let written = write_all(exchange, &out).await;
    exchange.connection.worker.stock.give_scratch(out);
    written.map_err(|_| Refusal::Client)
}

/// Writes a few bytes to the client, within the time a client may take nothing.
pub(crate) async fn write_all(exchange: &mut Exchange<'_>, bytes: &[u8]) -> io::Result<()> {
    let connection = exchange.connection;
    let idle = exchange.listener().map(|listener| listener.config.timeouts.send_idle);
    let (mut left, mut waits) = (bytes, false);
    poll_fn(|cx| {
        while !left.is_empty() {
            match connection.stream.poll_write(cx, left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => left = left.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !std::mem::replace(&mut waits, true) {
                        let deadline = runtime::now() + idle.unwrap_or_default();
                        connection.state.allow_until(deadline);
                    }
                    let timer = &connection.state.timer;
                    return timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    exchange.bytes_out = exchange.bytes_out.saturating_add(bytes.len() as u64);
    Ok(())
}
