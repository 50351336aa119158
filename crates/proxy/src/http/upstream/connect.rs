//! A new connection to a server, within the pool's connect timeout.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use evenkeel_runtime::{self as runtime, ConnectOptions, TcpStream};

use super::UpstreamConnection;
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::snapshot::{PoolSettings, Target};

/// Connects to the first of the server's addresses that answers. The timeout is for all of them.
pub(super) async fn connect(
    exchange: &Exchange<'_>,
    settings: &PoolSettings,
    target: &Target,
) -> Result<Box<UpstreamConnection>, Failure> {
    let state = &exchange.connection.state;
    state.allow_until(runtime::now() + settings.config.timeouts.connect);
    let options = ConnectOptions::default();
    let mut last = Reason::ConnectFailed;
    for address in target.addresses.iter() {
        let mut connecting = pin!(TcpStream::connect(*address, &options));
        let connected = poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Some(connected));
            }
            state.timer.poll_expired(cx).map(|()| None)
        });
        match connected.await {
            None => return Err(Failure::unsent(Reason::ConnectTimeout)),
            Some(Ok(stream)) => {
                let now = runtime::now();
                let keep = &settings.config.keep_alive;
                return Ok(Box::new(UpstreamConnection {
                    stream,
                    opened: now,
                    idle_since: now,
                    idle_max: keep.idle,
                    age_max: keep.age_max,
                }));
            }
            Some(Err(error)) => last = classify(exchange, &error),
        }
    }
    Err(Failure::unsent(last))
}

fn classify(exchange: &Exchange<'_>, error: &io::Error) -> Reason {
    if runtime::is_out_of_descriptors(error) {
        tracing::warn!(%error, "cannot connect: out of descriptors");
        exchange.connection.worker.sweep_idle(true);
        return Reason::OutOfDescriptors;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}
