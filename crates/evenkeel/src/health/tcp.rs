//! The TCP check: the connection stands and, if so configured, something comes back.

use evenkeel_config::model::Exchange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::probe::{Aim, Miss, Probed, blame, connect, shown};

/// How much of what comes is looked at.
pub(super) const RECEIVED_MAX: usize = 64 * 1024;

pub(super) async fn probe(exchange: &Exchange, aim: &Aim) -> Probed {
    let mut stream = connect(aim).await?;
    let probed = converse(exchange, &mut stream).await;
    // Closed by a reset: ten thousand checks leave no ten thousand sockets waiting for their end.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    probed
}

async fn converse(exchange: &Exchange, stream: &mut TcpStream) -> Probed {
    if let Some(send) = &exchange.send {
        stream.write_all(send).await.map_err(|e| blame("cannot send", &e))?;
    }
    let Some(expect) = &exchange.expect else { return Ok(()) };
    let mut received = Vec::new();
    while received.len() < RECEIVED_MAX {
        let before = received.len();
        let mut rest = (&mut *stream).take((RECEIVED_MAX - before) as u64);
        let n = rest.read_buf(&mut received).await.map_err(|e| blame("cannot receive", &e))?;
        if n == 0 {
            break;
        }
        // What is new, and as much before it as may belong to it.
        let from = before.saturating_sub(expect.len().saturating_sub(1));
        if contains(received.get(from..).unwrap_or_default(), expect) {
            return Ok(());
        }
    }
    Err(not_expected(&received, expect))
}

pub(super) fn contains(received: &[u8], expect: &[u8]) -> bool {
    expect.is_empty() || received.windows(expect.len()).any(|window| window == expect)
}

pub(super) fn not_expected(received: &[u8], expect: &[u8]) -> Miss {
    let expect = shown(expect);
    Miss::Failed(match received.is_empty() {
        true => format!("closed before `{expect}` came"),
        false => format!("got `{}` without `{expect}`", shown(received)),
    })
}
