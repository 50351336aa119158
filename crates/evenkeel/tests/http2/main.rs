//! HTTP/2 at the client's side (RFC 9113): each test is a rule, or something that users count on.
//! Requests go to HTTP/1 servers; whatever a client sends, no server may see anything but one plain
//! request for each request that was sent.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, unreachable_pub)] // this file uses its part
#[path = "../tls/authority.rs"]
mod authority;
mod bodies;
mod life;
mod malformed;
mod messages;
mod secure;
mod tools;
mod websocket;
mod wire;

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

/// A client on one connection, whose calls wait.
struct Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    /// How the connection ended.
    ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// A whole response.
#[derive(Debug)]
struct Answer {
    head: Response<()>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    fn field(&self, name: &str) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self::with(address, |_| {})
    }

    fn with(address: SocketAddr, settings: impl FnOnce(&mut h2::client::Builder)) -> Self {
        let mut builder = h2::client::Builder::new();
        settings(&mut builder);
        let runtime = runtime();
        let tcp = runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            tcp
        });
        Self::over(runtime, tcp, &builder)
    }

    /// On a connection that is there.
    fn over<S>(runtime: Runtime, stream: S, settings: &h2::client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, ended) = runtime.block_on(async {
            let (sender, connection) = settings.handshake(stream).await.unwrap();
            (sender, tokio::spawn(connection))
        });
        Self { runtime, sender, ended }
    }

    /// One request without content.
    fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path).body(()).unwrap(), b"").unwrap()
    }

    /// One request, and its whole response.
    fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let body = Bytes::copy_from_slice(body);
        let sender = self.sender.clone();
        self.runtime.block_on(async { within(exchange(sender, request, body)).await })
    }

    /// Begins a request whose content follows.
    fn begin(&self, request: Request<()>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let sender = self.sender.clone();
        self.runtime.block_on(async {
            let mut sender = within(sender.ready()).await.unwrap();
            sender.send_request(request, false).unwrap()
        })
    }
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    { runtime }.worker_threads(1).enable_all().build().unwrap()
}

/// A request to the host `test`.
fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://test{path}"))
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(support::LIMIT, what).await.expect("waited in vain")
}

async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Answer, h2::Error> {
    let mut sender = sender.ready().await?;
    let (response, mut send) = sender.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        send_all(&mut send, body, true).await?;
    }
    let (parts, content) = response.await?.into_parts();
    let (body, trailers) = read_all(content).await?;
    Ok(Answer { head: Response::from_parts(parts, ()), body, trailers })
}

/// Sends no more than the window allows.
async fn send_all(
    send: &mut SendStream<Bytes>,
    mut body: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !body.is_empty() {
        send.reserve_capacity(body.len());
        let capacity = match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(capacity) => capacity?,
            None => return Ok(()), // the server has answered, and wants no more
        };
        let piece = body.split_to(capacity.min(body.len()));
        send.send_data(piece, ends && body.is_empty())?;
    }
    Ok(())
}

async fn read_all(mut content: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        body.extend_from_slice(&piece);
        content.flow_control().release_capacity(piece.len())?;
    }
    Ok((body, content.trailers().await?))
}
