//! The demo's own clients: a few connections that are kept open, and on each a request now and
//! then. Counts what comes back as it should; never tries again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::board::Board;
use super::dice::Dice;
use super::wire;

/// How the demo's own requests are told from those of the person who looks.
pub(super) const AGENT: &str = "evenkeel-demo";
/// Clients, each with one connection.
const CLIENTS: u64 = 8;
/// Between two requests of one client, on average: 8 clients make 40 requests a second.
const PAUSE: Duration = Duration::from_millis(180);
/// How long a client waits for an answer, and before it connects again.
const PATIENCE: Duration = Duration::from_secs(5);
const RECONNECT: Duration = Duration::from_millis(500);

const PATHS: [&str; 10] = [
    "/",
    "/",
    "/catalogue",
    "/catalogue?page=2",
    "/basket",
    "/search?q=lamp",
    "/item/4",
    "/item/17",
    "/item/42",
    "/missing",
];

/// Starts the clients on the calling thread's runtime.
pub(super) fn start(target: SocketAddr, board: &Arc<Board>) {
    for client in 0..CLIENTS {
        tokio::spawn(visit(target, board.clone(), Dice::new(client << 32)));
    }
}

async fn visit(target: SocketAddr, board: Arc<Board>, mut dice: Dice) {
    while !board.is_ending() {
        if visit_once(target, &board, &mut dice).await.is_err() {
            board.count(false);
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Uses one connection as long as it lasts.
async fn visit_once(target: SocketAddr, board: &Board, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        tokio::time::sleep(dice.wait(PAUSE)).await;
        if board.is_ending() {
            return Ok(());
        }
        let path = dice.choose(&PATHS).copied().unwrap_or("/");
        let exchange = exchange(&mut stream, target, path);
        let (status, may_go_on) = tokio::time::timeout(PATIENCE, exchange).await??;
        board.count(status == if path == "/missing" { 404 } else { 200 });
        if !may_go_on {
            return Ok(());
        }
    }
}

/// One request; its status, and whether the connection may be used again.
async fn exchange(
    stream: &mut BufReader<TcpStream>,
    host: SocketAddr,
    path: &str,
) -> io::Result<(u16, bool)> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {AGENT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let Some(head) = wire::read_head(stream).await? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    wire::skip_body(stream, &head).await?;
    let status = head.word(1).parse().map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((status, !head.says("connection", "close")))
}
