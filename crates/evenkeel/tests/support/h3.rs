//! A server that speaks HTTP/3, with its answers in a test's hands, frame by frame.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};

use crate::quic::{self, frame, headers};

/// A control stream with empty settings.
pub const SETTINGS: &[u8] = &[0x00, 0x04, 0x00];
/// One that says that extended CONNECT is taken (RFC 9220 §3).
pub const TAKES_TUNNELS: &[u8] = &[0x00, 0x04, 0x02, 0x08, 0x01];

/// What a server is like.
pub struct Manner {
    pub streams_max: u32,
    /// Of a stream, and of a connection.
    pub window: u32,
    /// What it says on its control stream at first; nothing: it has none.
    pub control: &'static [u8],
}

impl Default for Manner {
    fn default() -> Self {
        Self { streams_max: 100, window: 1 << 20, control: SETTINGS }
    }
}

pub struct H3Server {
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    counts: Arc<Counts>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

/// A request at it.
pub struct Call {
    pub fields: Vec<(String, String)>,
    pub send: SendStream,
    pub receive: RecvStream,
    pub connection: Connection,
    /// Which of its connections, from 0.
    pub number: usize,
    control: Option<Arc<tokio::sync::Mutex<SendStream>>>,
}

impl H3Server {
    pub fn start<F, A>(tls: rustls::ServerConfig, manner: Manner, handle: F) -> Self
    where
        F: Fn(Call) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let mut tls = tls;
        if tls.alpn_protocols.is_empty() {
            tls.alpn_protocols = vec![b"h3".to_vec()];
        }
        let mut config =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(manner.streams_max))
            .stream_receive_window(VarInt::from_u32(manner.window))
            .receive_window(VarInt::from_u32(manner.window));
        config.transport_config(Arc::new(transport));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let counts = Arc::<Counts>::default();
        let (accepting, seen) = (endpoint.clone(), counts.clone());
        runtime.spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let (handle, seen) = (handle.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                    seen.open.fetch_add(1, Ordering::SeqCst);
                    converse(&connection, manner.control, number, &seen, handle).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let address = endpoint.local_addr().unwrap();
        drop(_inside);
        Self { address, endpoint, counts, runtime: Some(runtime) }
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections that have not ended.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Drop for H3Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn converse<F, A>(
    connection: &Connection,
    said: &'static [u8],
    number: usize,
    seen: &Arc<Counts>,
    handle: F,
) where
    F: Fn(Call) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let mut control = None;
    if !said.is_empty() {
        let mut stream = connection.open_uni().await.unwrap();
        let _ = stream.write_all(said).await; // the client may be gone
        control = Some(Arc::new(tokio::sync::Mutex::new(stream)));
    }
    while let Ok((send, mut receive)) = connection.accept_bi().await {
        let (handle, seen) = (handle.clone(), seen.clone());
        let (connection, control) = (connection.clone(), control.clone());
        tokio::spawn(async move {
            let Some((1, section)) = read_frame(&mut receive).await else { return };
            seen.requests.fetch_add(1, Ordering::SeqCst);
            let fields = fields_of(&section);
            handle(Call { fields, send, receive, connection, number, control }).await;
        });
    }
}

fn fields_of(section: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let decoded = qpack::decode_stateless(&mut &*section, 1 << 20).unwrap();
    decoded.fields.iter().map(|field| (text(&field.name), text(&field.value))).collect()
}

async fn read_varint(receive: &mut RecvStream) -> Option<u64> {
    let mut first = [0];
    receive.read_exact(&mut first).await.ok()?;
    let mut value = u64::from(first[0] & 0x3f);
    for _ in 1..1 << (first[0] >> 6) {
        let mut byte = [0];
        receive.read_exact(&mut byte).await.ok()?;
        value = value << 8 | u64::from(byte[0]);
    }
    Some(value)
}

/// The next frame; `None` at the end.
pub async fn read_frame(receive: &mut RecvStream) -> Option<(u64, Vec<u8>)> {
    let kind = read_varint(receive).await?;
    let length = read_varint(receive).await?;
    let mut payload = vec![0; length as usize];
    receive.read_exact(&mut payload).await.ok()?;
    Some((kind, payload))
}

impl Call {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The rest of the request: content and trailers.
    pub async fn whole(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let (mut content, mut trailers) = (Vec::new(), Vec::new());
        while let Some((kind, payload)) = read_frame(&mut self.receive).await {
            match kind {
                0 => content.extend_from_slice(&payload),
                1 => trailers = fields_of(&payload),
                _ => {}
            }
        }
        (content, trailers)
    }

    /// Sends these frames.
    pub async fn say(&mut self, bytes: &[u8]) -> bool {
        self.send.write_all(bytes).await.is_ok()
    }

    /// Sends these frames, and ends.
    pub async fn end(&mut self, bytes: &[u8]) {
        let _ = self.say(bytes).await; // the client may be gone
        let _ = self.send.finish();
        let _ = self.send.stopped().await;
    }

    /// 200 with this content.
    pub async fn answer(&mut self, content: &[u8]) {
        let length = content.len().to_string();
        let head = headers(&[(":status", "200"), ("content-length", &length)]);
        self.end(&[head, quic::data(content)].concat()).await;
    }

    /// Gives the stream up in both directions.
    pub fn reset(&mut self, code: u64) {
        let _ = self.send.reset(quic::code(code));
        let _ = self.receive.stop(quic::code(code));
    }

    /// Serves no requests from this stream on.
    pub async fn go_away(&self, from: u64) {
        let payload = if from < 0x40 {
            vec![from as u8]
        } else {
            (from as u16 | 0x4000).to_be_bytes().to_vec()
        };
        let mut control = self.control.as_ref().unwrap().lock().await;
        control.write_all(&frame(7, &payload)).await.unwrap();
    }

    /// Its stream's number.
    pub fn stream(&self) -> u64 {
        self.send.id().into()
    }
}
