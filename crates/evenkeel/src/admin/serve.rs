//! The admin listener: accepts a bounded number of connections, gives each a bounded time, and
//! hands what they ask to the router. It runs beside the data plane, on the control thread, so that
//! no client of it can make a worker wait.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use evenkeel_config::model::AdminBind;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::guard::Peer;
use super::socket::{self, Living, Refusal, Socket};

/// Connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// From the accept, or the end of a request, to the end of the next request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request head.
const HEAD_MAX: usize = 32 * 1024;
/// Fields of a request head.
const FIELDS_MAX: usize = 64;
/// Age at which a connection is closed after the exchange in progress, and how long that may take:
/// no client can hold its place by reading slowly.
const AGE_MAX: Duration = Duration::from_secs(60);
const AGE_GRACE: Duration = Duration::from_secs(60);
/// How often a place that could not be had is asked for again.
const AGAIN: Duration = Duration::from_millis(200);
/// After a failed accept (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens wherever `bind` says at the time, until its sender is gone.
pub(crate) async fn run(mut bind: watch::Receiver<AdminBind>, router: Router, living: Living) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut living = living;
    loop {
        let wanted = bind.borrow_and_update().clone();
        let serving = async {
            let Some(socket) = open(&wanted, living).await else {
                return std::future::pending().await;
            };
            accept_all(&socket, &router, &places).await
        };
        tokio::select! {
            () = serving => {}
            changed = bind.changed() => if changed.is_err() { return },
        }
        living = Living::Stays; // the predecessor yields once
    }
}

/// Tries until it can be had; says once why it cannot.
async fn open(bind: &AdminBind, living: Living) -> Option<Socket> {
    let mut told = false;
    loop {
        let refusal = match socket::open(bind, living).await {
            Ok(socket) => {
                tell(socket.as_ref());
                return socket;
            }
            Err(refusal) => refusal,
        };
        if !told {
            told = true;
            match refusal {
                Refusal::Living(why) => tracing::warn!(
                    "admin API: {why}: this process goes on without, and takes the place when it is free"
                ),
                Refusal::Cannot(why) => tracing::warn!(
                    "admin API: {why}: going on without (`admin: {{ bind: … }}` chooses another place)"
                ),
            }
        }
        sleep(AGAIN).await;
    }
}

fn tell(socket: Option<&Socket>) {
    match socket {
        Some(Socket::Unix(_, place)) => {
            tracing::info!("admin API on unix:{}", place.path().display())
        }
        Some(Socket::Tcp(listener)) => match listener.local_addr() {
            Ok(address) => tracing::info!("admin API on http://{address}"),
            Err(error) => tracing::warn!("admin API: {error}"),
        },
        None => {}
    }
}

async fn accept_all(socket: &Socket, router: &Router, places: &Arc<Semaphore>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = match socket {
            Socket::Unix(listener, _) => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, _)| spawn(stream, Peer::Local, router, place))
            }
            Socket::Tcp(listener) => listener.accept().await.map(|(stream, from)| {
                let peer = Peer::Remote(from.ip().to_canonical());
                spawn(stream, peer, router, place);
            }),
        };
        if let Err(error) = accepted {
            tracing::debug!("admin API: accept: {error}");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: &Router,
    place: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router.clone());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    tokio::spawn(async move {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX)
            .max_headers(FIELDS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        if timeout(AGE_MAX, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(AGE_GRACE, connection).await;
        }
        drop(place);
    });
}
