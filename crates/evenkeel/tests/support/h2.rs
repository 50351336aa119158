//! Servers that speak HTTP/2: one that behaves, with its answers in a test's hands (the `h2` crate), and
//! one that is told frame by frame what to do (no library, so that it may break every rule).

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::LIMIT;

/// What a connection of a server is like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub streams_max: u32,
    pub window: u32,
    /// GOAWAY, as a server that restarts says it, after so many requests.
    pub goaway_after: usize,
    pub extended_connect: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { streams_max: 100, window: 65_535, goaway_after: usize::MAX, extended_connect: false }
    }
}

type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A request at a server, to be answered.
pub struct Asked {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
    /// Which of the server's connections, from 0.
    pub connection: usize,
}

/// A server that behaves.
pub struct H2Backend {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

impl H2Backend {
    /// Answers every request with 200 and its own name.
    pub fn named(name: &'static str) -> Self {
        Self::start(Manner::default(), move |asked| async move {
            answer(asked, name.as_bytes()).await;
        })
    }

    /// Over TLS with these certificates. A client that does not agree on `h2` gets an answer in HTTP/1.1.
    pub fn over_tls(config: rustls::ServerConfig) -> Self {
        let handle = |asked| async move { answer(asked, b"h2").await };
        Self::serving(Manner::default(), Some(Arc::new(config)), handle)
    }

    pub fn start<F, A>(manner: Manner, handle: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        Self::serving(manner, None, handle)
    }

    fn serving<F, A>(manner: Manner, tls: Option<Arc<rustls::ServerConfig>>, handle: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let counts: Arc<Counts> = Arc::default();
        let count = counts.clone();
        let handle: Arc<dyn Fn(Asked) -> Answering + Send + Sync> =
            Arc::new(move |asked| Box::pin(handle(asked)));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let connection = count.connections.fetch_add(1, Ordering::SeqCst);
                    count.open.fetch_add(1, Ordering::SeqCst);
                    let (handle, count, tls) = (handle.clone(), count.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, manner, connection, handle, &count).await,
                            Some(tls) => {
                                let accept = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
                                if let Ok(mut stream) = accept.await {
                                    match stream.get_ref().1.alpn_protocol() {
                                        Some(b"h2") => {
                                            serve(stream, manner, connection, handle, &count).await;
                                        }
                                        _ => answer_in_http_1(&mut stream).await,
                                    }
                                }
                            }
                        }
                        count.open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        Self { address, counts }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections at the moment.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

async fn answer_in_http_1(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut pending = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut pending).await {
        if pending.ends_with(b"\r\n\r\n") {
            pending.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1";
            if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: Manner,
    connection: usize,
    handle: Arc<dyn Fn(Asked) -> Answering + Send + Sync>,
    count: &Counts,
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(manner.streams_max).initial_window_size(manner.window);
    if manner.extended_connect {
        builder.enable_connect_protocol();
    }
    let Ok(mut server) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut seen = 0;
    while let Some(Ok((request, respond))) = server.accept().await {
        count.requests.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(handle(Asked { request, respond, connection }));
        seen += 1;
        if seen == manner.goaway_after {
            server.graceful_shutdown();
        }
    }
}

/// Answers with 200 and this content, once all of the request has come.
pub async fn answer(mut asked: Asked, content: &[u8]) {
    let _ = whole(asked.request.body_mut()).await;
    let head = Response::builder().header("content-length", content.len()).body(()).unwrap();
    if let Ok(mut stream) = asked.respond.send_response(head, content.is_empty())
        && !content.is_empty()
    {
        give(&mut stream, Bytes::copy_from_slice(content), true).await;
    }
}

/// All of a content, and its trailers.
pub async fn whole(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut all = BytesMut::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        all.extend_from_slice(&piece);
    }
    (all.to_vec(), body.trailers().await.ok().flatten())
}

/// Sends a piece as the windows allow; whether it all went.
pub async fn give(stream: &mut SendStream<Bytes>, mut piece: Bytes, ends: bool) -> bool {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else { return false };
        let part = piece.split_to(room.min(piece.len()));
        let last = ends && piece.is_empty();
        if stream.send_data(part, last).is_err() {
            return false;
        }
    }
    true
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status: 200`, from the static table (RFC 7541 appendix A).
pub const OK: &[u8] = &[0x88];

/// A frame as it is on the wire (RFC 9113 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }
}

/// One connection of a server without rules.
pub struct RawPeer {
    pub stream: TcpStream,
    /// Which of the server's connections, from 0.
    pub connection: usize,
}

impl RawPeer {
    /// The next frame; `None` at the end of the connection.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Writes a frame; it may have closed.
    pub fn write(&mut self, frame: &Frame) -> bool {
        let length = (frame.payload.len() as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], frame.kind, frame.flags];
        bytes.extend_from_slice(&frame.stream.to_be_bytes());
        bytes.extend_from_slice(&frame.payload);
        self.stream.write_all(&bytes).is_ok()
    }

    /// The next request's stream; settings and pings are answered meanwhile.
    pub fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.read()?;
            match frame.kind {
                HEADERS => return Some(frame.stream),
                SETTINGS if frame.flags & ACK == 0 => {
                    self.write(&Frame::new(SETTINGS, ACK, 0, []));
                }
                PING if frame.flags & ACK == 0 => {
                    self.write(&Frame::new(PING, ACK, 0, frame.payload));
                }
                _ => {}
            }
        }
    }

    /// 200 with this content.
    pub fn answer(&mut self, stream: u32, content: &[u8]) -> bool {
        self.write(&Frame::new(HEADERS, END_HEADERS, stream, OK))
            && self.write(&Frame::new(DATA, END_STREAM, stream, content))
    }

    pub fn reset(&mut self, stream: u32, code: u32) -> bool {
        self.write(&Frame::new(RST_STREAM, 0, stream, code.to_be_bytes()))
    }

    pub fn go_away(&mut self, last: u32, code: u32) -> bool {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(&Frame::new(GOAWAY, 0, 0, payload))
    }
}

/// A server without rules.
pub struct RawH2 {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl RawH2 {
    /// Each connection has said its preface and was sent these settings.
    pub fn start(settings: &'static [u8], talk: impl Fn(RawPeer) + Send + Sync + 'static) -> Self {
        Self::accepting(move |mut peer| {
            let mut preface = [0; 24];
            if peer.stream.read_exact(&mut preface).is_ok() {
                peer.write(&Frame::new(SETTINGS, 0, 0, settings));
                talk(peer);
            }
        })
    }

    pub fn accepting(talk: impl Fn(RawPeer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (count, talk) = (connections.clone(), Arc::new(talk));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = count.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                stream.set_write_timeout(Some(LIMIT)).unwrap();
                stream.set_nodelay(true).unwrap();
                let talk = talk.clone();
                std::thread::spawn(move || talk(RawPeer { stream, connection }));
            }
        });
        Self { address, connections }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
