//! The demo's three servers: each says which one it is and what it was told, after a time of its
//! own. They and the traffic share one thread, which ends when [`Servers`] is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_runtime::now;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::board::{Board, LANES, NAMES, Recent};
use super::dice::Dice;
use super::traffic;
use super::wire::{self, Head};

/// How long each server takes, on average.
const PACES: [Duration; LANES] =
    [Duration::from_millis(8), Duration::from_millis(12), Duration::from_millis(40)];
/// How many times longer when made slow.
const SLOWER: u32 = 10;
/// Connections of one server: what a load generator may make Evenkeel open, and a bound.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes read ahead on one connection.
const READ_AHEAD: usize = 16 << 10;

/// The servers, as long as they run.
pub(super) struct Servers {
    addresses: [SocketAddr; LANES],
    target: Option<oneshot::Sender<SocketAddr>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Servers {
    /// Where they listen.
    pub(super) fn addresses(&self) -> [SocketAddr; LANES] {
        self.addresses
    }

    /// Begins the trickle of requests to `target`.
    pub(super) fn send_traffic_to(&mut self, target: SocketAddr) {
        if let Some(tell) = self.target.take() {
            let _ = tell.send(target);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop((self.target.take(), self.stop.take()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the servers on free ports of this machine.
pub(super) fn start(board: Arc<Board>) -> io::Result<Servers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bind = async || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let [red, green, blue] = runtime
        .block_on(async { io::Result::Ok([bind().await?, bind().await?, bind().await?]) })?;
    let addresses = [red.local_addr()?, green.local_addr()?, blue.local_addr()?];
    let (target, targeted) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("demo".into()).spawn(move || {
        runtime.block_on(async {
            for (lane, listener) in [red, green, blue].into_iter().enumerate() {
                tokio::spawn(accept(listener, lane, board.clone()));
            }
            if let Ok(target) = targeted.await {
                traffic::start(target, &board);
            }
            let _ = stopped.await;
        });
    })?;
    Ok(Servers { addresses, target: Some(target), stop: Some(stop), thread: Some(thread) })
}

async fn accept(listener: TcpListener, lane: usize, board: Arc<Board>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut seed = lane as u64;
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors
            continue;
        };
        seed += LANES as u64;
        let (board, dice) = (board.clone(), Dice::new(seed));
        tokio::spawn(async move {
            // A connection that breaks is the peer's affair: the next one is new.
            let _ = converse(stream, lane, &board, dice).await;
            drop(permit);
        });
    }
}

/// Serves one connection until the peer closes it.
async fn converse(stream: TcpStream, lane: usize, board: &Board, mut dice: Dice) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(READ_AHEAD, stream);
    while let Some(head) = wire::read_head(&mut stream).await? {
        let asked = now();
        if head.says("expect", "100-continue") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        wire::skip_body(&mut stream, &head).await?;
        tokio::time::sleep(pace(lane, board, &mut dice)).await;
        let status = status(head.word(1));
        stream.write_all(response(lane, status, &head).as_bytes()).await?;
        board.note(Recent {
            at: now(),
            lane,
            request: format!("{} {}", head.word(0), head.word(1)),
            status,
            took: now().duration_since(asked),
            own: head.field("user-agent") == Some(traffic::AGENT),
        });
        if head.says("connection", "close") {
            break;
        }
    }
    Ok(())
}

/// Near the server's average, and now and then (one time in fifty) three times that.
fn pace(lane: usize, board: &Board, dice: &mut Dice) -> Duration {
    let mean = PACES.get(lane).copied().unwrap_or_default();
    let usual = mean.mul_f64(0.7 + 0.6 * dice.throw());
    let hiccup = if dice.throw() < 0.02 { 3 } else { 1 };
    usual * hiccup * if board.is_slow(lane) { SLOWER } else { 1 }
}

/// `/status/503` is answered with that, `/missing` with 404, all else with 200.
fn status(target: &str) -> u16 {
    let path = target.split('?').next().unwrap_or_default();
    let asked = path.strip_prefix("/status/").and_then(|status| status.parse().ok());
    match asked {
        Some(status @ 200..=599) => status,
        _ if path == "/missing" => 404,
        _ => 200,
    }
}

fn response(lane: usize, status: u16, head: &Head) -> String {
    let name = NAMES.get(lane).copied().unwrap_or_default();
    let mut body = format!("This is {name}. I was asked: {}\n", head.first);
    for (field, value) in &head.fields {
        body.push_str(&format!("  {field}: {value}\n"));
    }
    let fields = format!("content-type: text/plain; charset=utf-8\r\nserved-by: {name}\r\n");
    if matches!(status, 204 | 304) {
        return format!("HTTP/1.1 {status} \r\nserved-by: {name}\r\n\r\n");
    }
    let length = body.len();
    let body = if head.word(0) == "HEAD" { "" } else { body.as_str() };
    format!("HTTP/1.1 {status} \r\n{fields}content-length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_chooses_the_status() {
        assert_eq!(status("/"), 200);
        assert_eq!(status("/missing?x=1"), 404);
        assert_eq!(status("/status/503"), 503);
        assert_eq!(status("/status/99"), 200);
    }

    #[test]
    fn a_head_request_is_told_the_length_and_given_no_body() {
        let head = Head { first: "HEAD / HTTP/1.1".into(), fields: Vec::new() };
        let response = response(0, 200, &head);
        assert!(response.contains("content-length: ") && response.ends_with("\r\n\r\n"));
    }
}
