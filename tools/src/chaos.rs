//! A relay between a client and a server that behaves like a bad network: delays, limits, splits,
//! stalls and resets, in either direction.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to bytes on their way.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Each piece waits this long.
    pub delay: Duration,
    /// Pieces are at most this long; 0 is as they come.
    pub split: usize,
    /// Bytes a second; 0 is no limit.
    pub rate: u64,
    /// After this many bytes nothing moves any more.
    pub stall_after: Option<u64>,
    /// After this many bytes the connection is reset.
    pub reset_after: Option<u64>,
}

/// Relays connections from `listen` to `to` until the runtime ends; where it listens.
///
/// # Errors
/// When the address cannot be bound.
pub async fn start(
    listen: SocketAddr,
    to: SocketAddr,
    settings: Settings,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let settings = settings.clone();
            tokio::spawn(async move {
                if let Ok(server) = TcpStream::connect(to).await {
                    relay(client, server, settings).await;
                }
            });
        }
    });
    Ok(address)
}

async fn relay(client: TcpStream, server: TcpStream, settings: Settings) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        if settings.reset_after.is_some() {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let up = pump(client_read, server_write, &settings);
    let down = pump(server_read, client_write, &settings);
    if settings.reset_after.is_some() {
        tokio::select! { () = up => {}, () = down => {} }
    } else {
        tokio::join!(up, down);
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, settings: &Settings) {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0_u64;
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                let _ = to.shutdown().await;
                return;
            }
            Ok(read) => read,
        };
        let size = if settings.split == 0 { read } else { settings.split };
        for piece in buffer.get(..read).unwrap_or_default().chunks(size.max(1)) {
            tokio::time::sleep(settings.delay).await;
            if settings.rate > 0 {
                let time = Duration::from_secs_f64(piece.len() as f64 / settings.rate as f64);
                tokio::time::sleep(time).await;
            }
            if settings.stall_after.is_some_and(|limit| passed >= limit) {
                std::future::pending::<()>().await;
            }
            if settings.reset_after.is_some_and(|limit| passed >= limit) {
                return;
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
            passed += piece.len() as u64;
        }
    }
}
