//! WebSockets (RFC 6455), as much as shows whether one lives: sessions that send a numbered frame
//! each second and expect it back, and a server that repeats every frame. Extensions, fragments and
//! the key's digest are not looked at: a proxy passes them on untouched.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::message::{Ending, Head, Reader};

/// Longest frame taken.
const FRAME_MAX: usize = 64 * 1024;
/// How long a frame may be on its way there and back.
const PATIENCE: Duration = Duration::from_secs(10);
/// Opcode of a frame that closes (section 5.5.1).
const CLOSE: u8 = 0x8;

/// Accepts and repeats every frame until the other side closes.
///
/// # Errors
/// How the connection ended instead.
pub async fn serve<S>(reader: &mut Reader<S>, head: &Head) -> Result<(), Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = head.field("sec-websocket-key").unwrap_or_default();
    let accepted = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
    );
    reader.stream.write_all(accepted.as_bytes()).await.map_err(|_| Ending::Reset)?;
    loop {
        let (opcode, payload) = frame(reader).await?;
        write(&mut reader.stream, opcode, &payload, false).await?;
        if opcode == CLOSE {
            return Ok(());
        }
    }
}

/// The next frame: its opcode and its payload without the mask.
async fn frame<S: AsyncRead + Unpin>(reader: &mut Reader<S>) -> Result<(u8, Vec<u8>), Ending> {
    let start = take(reader, 2).await?;
    let (Some(&first), Some(&second)) = (start.first(), start.get(1)) else {
        return Err(Ending::Malformed);
    };
    let length = match second & 0x7f {
        126 => take(reader, 2).await?.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)),
        127 => return Err(Ending::Malformed), // longer than we take
        short => usize::from(short),
    };
    if length > FRAME_MAX {
        return Err(Ending::Malformed);
    }
    let mask = if second & 0x80 == 0 { vec![0; 4] } else { take(reader, 4).await? };
    let mut payload = take(reader, length as u64).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((first & 0x0f, payload))
}

async fn take<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    length: u64,
) -> Result<Vec<u8>, Ending> {
    let mut bytes = Vec::new();
    reader.exact(length, &mut |piece: &[u8]| bytes.extend_from_slice(piece)).await?;
    Ok(bytes)
}

/// Writes a frame; clients mask theirs (section 5.3), with nothing here: it hides nothing anyway.
async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    opcode: u8,
    payload: &[u8],
    masked: bool,
) -> Result<(), Ending> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => bytes.push(mask | length),
        _ => {
            bytes.push(mask | 126);
            let length = u16::try_from(payload.len()).map_err(|_| Ending::Malformed)?;
            bytes.extend(length.to_be_bytes());
        }
    }
    if masked {
        bytes.extend([0; 4]);
    }
    bytes.extend_from_slice(payload);
    stream.write_all(&bytes).await.map_err(|_| Ending::Reset)
}

#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    opened: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    echoes: AtomicU64,
}

impl Tally {
    fn lived(&self) -> Lived {
        Lived {
            opened: self.opened.load(Relaxed),
            refused: self.refused.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            echoes: self.echoes.load(Relaxed),
        }
    }
}

/// Open sessions.
pub struct Sessions {
    tally: Arc<Tally>,
    tasks: Vec<JoinHandle<()>>,
}

/// What became of sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lived {
    /// That were opened.
    pub opened: u64,
    /// That could not be opened.
    pub refused: u64,
    /// That ended, lost a frame or got another before they were told to end.
    pub dropped: u64,
    /// Frames that came back.
    pub echoes: u64,
}

impl Sessions {
    /// Opens `count` sessions at `address`; returns once each stands or was refused.
    pub async fn open(address: SocketAddr, target: &str, count: u64) -> Self {
        let tally = Arc::<Tally>::default();
        let one = |n| tokio::spawn(session(address, target.to_owned(), n, tally.clone()));
        let tasks = (0..count).map(one).collect();
        let sessions = Self { tally, tasks };
        while sessions.lived().opened + sessions.lived().refused < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sessions
    }

    /// So far.
    pub fn lived(&self) -> Lived {
        self.tally.lived()
    }

    /// Sends a last frame on each, and closes.
    pub async fn finish(self) -> Lived {
        self.tally.stop.store(true, Relaxed);
        for task in self.tasks {
            let _ = task.await;
        }
        self.tally.lived()
    }
}

async fn session(address: SocketAddr, target: String, number: u64, tally: Arc<Tally>) {
    let Some(mut reader) = shake_hands(address, &target, number).await else {
        tally.refused.fetch_add(1, Relaxed);
        return;
    };
    tally.opened.fetch_add(1, Relaxed);
    for turn in 0_u64.. {
        let last = tally.stop.load(Relaxed);
        let text = format!("session {number} frame {turn}");
        let echo = async {
            write(&mut reader.stream, 1, text.as_bytes(), true).await?;
            frame(&mut reader).await
        };
        match tokio::time::timeout(PATIENCE, echo).await {
            Ok(Ok((1, payload))) if payload == text.as_bytes() => {}
            _ => {
                tally.dropped.fetch_add(1, Relaxed);
                return;
            }
        }
        tally.echoes.fetch_add(1, Relaxed);
        if last {
            let _ = write(&mut reader.stream, CLOSE, b"", true).await;
            return;
        }
        // One frame a second, and a quick end.
        for _ in 0..20 {
            if !tally.stop.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn shake_hands(address: SocketAddr, target: &str, number: u64) -> Option<Reader<TcpStream>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let _ = stream.set_nodelay(true);
    let mut reader = Reader::new(stream);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Id: ws-{number}\r\n\r\n"
    );
    reader.stream.write_all(request.as_bytes()).await.ok()?;
    let head = tokio::time::timeout(PATIENCE, reader.head()).await.ok()?.ok()?;
    (head.status() == 101).then_some(reader)
}
