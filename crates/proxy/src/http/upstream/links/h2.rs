//! HTTP/2 with a server: what carries a [`Link`]'s streams from the preface to the last of them:
//! settings, pings, the GOAWAY of either side, and what the connection's end means for the streams on
//! it.

mod wire;

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ::h2::client::{self, Connection as Http2, SendRequest};
use ::h2::ext::Protocol;
use ::h2::{Ping, PingPong, Reason as Code};
use ::http::Request;
use bytes::Bytes;
use evenkeel_balancer::Connection;
use evenkeel_runtime::{self as runtime, Timer};

use self::wire::{Seen, Wire};
use super::link::{self, Link, STREAMS_MAX};
use crate::channel::Channel;
use crate::failure::Reason;
use crate::http::multiplex::client::{Broken, Loss, Receiving, Sending};
use crate::http::upstream::flight::RESPONSE_LIMITS;
use crate::snapshot::PoolSettings;

/// What a server may send before it is read, for each stream; and for all, so that streams whose
/// clients are slow never stop the others. Bounds what a connection holds.
const STREAM_WINDOW: u32 = 64 * 1024;
const WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What the library holds for a stream that the server's windows allow and the socket does not take.
const SEND_BUFFER: usize = 64 * 1024;
/// After this much silence a server is asked whether it is still there …
const PING_AFTER: Duration = Duration::from_secs(3);
/// … and has to answer within this time.
const PONG_WITHIN: Duration = Duration::from_secs(4);
/// So often in one silence. After that seldom: some servers end the connection of who asks more than
/// twice in five minutes while they say nothing (gRPC's `too_many_pings`).
const PINGS_SOON: u32 = 2;
const PING_SELDOM: Duration = Duration::from_secs(310);

/// HEADERS frames for each stream, on average over the connection: more interim responses than an
/// exchange passes on, the response and its trailers; and for so many streams more.
const HEADS_MAX: u64 = 20;
const HEADS_FREE: u64 = 4;

type Connecting = Http2<Wire, Bytes>;

/// See the module's head.
pub(super) struct Carrier {
    wire: Rc<Channel>,
    seen: Rc<Seen>,
    /// Opens streams; `None` once no more are opened.
    requests: RefCell<Option<SendRequest<Bytes>>>,
}

/// Speaks HTTP/2 on a connection and waits for the server's settings: before them nobody knows how
/// many streams it takes, or whether it speaks it at all. Has no time limit of its own.
pub(super) async fn begin(
    channel: Channel,
    settings: Arc<PoolSettings>,
    counted: Connection,
) -> Result<(Rc<Link>, Driver), Reason> {
    let (wire, seen) = (Rc::new(channel), Rc::<Seen>::default());
    let handshake = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(RESPONSE_LIMITS.head as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(0)
        .handshake::<_, Bytes>(Wire::new(wire.clone(), seen.clone()));
    let (requests, mut connection) = handshake.await.map_err(|error| of_end(&error))?;
    poll_fn(|cx| {
        seen.begin_turn();
        match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(of_end(&error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(Reason::UpstreamClosed)),
            Poll::Pending if requests.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let carrier = Carrier { wire, seen: seen.clone(), requests: RefCell::new(Some(requests)) };
    let wire = carrier.wire.clone();
    let link = Link::new(link::Carrier::H2(carrier), settings, counted);
    let pings = Pings::new(connection.ping_pong(), runtime::now());
    Ok((link.clone(), Driver { link, wire, seen, connection, pings }))
}

impl Carrier {
    pub(super) fn peer_addr(&self) -> SocketAddr {
        self.wire.peer_addr()
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.wire.local_addr()
    }

    pub(super) fn is_secure(&self) -> bool {
        matches!(*self.wire, Channel::Tls(_))
    }

    pub(super) fn total_written(&self) -> u64 {
        self.wire.total_written()
    }

    /// How many streams the server takes.
    pub(super) fn streams_max(&self) -> usize {
        let requests = self.requests.borrow();
        requests.as_ref().map_or(0, SendRequest::current_max_send_streams)
    }

    /// There is room wherever there are fewer streams than the server takes.
    pub(super) fn has_place(&self) -> bool {
        true
    }

    /// Neither side has said that it ends.
    pub(super) fn is_open(&self) -> bool {
        let mut requests = self.requests.borrow_mut();
        let mut cx = Context::from_waker(Waker::noop());
        // Never waits: it has no stream pending. An error is the GOAWAY that has come.
        let ready = requests.as_mut().map(|requests| requests.poll_ready(&mut cx));
        matches!(ready, Some(Poll::Ready(Ok(()))))
    }

    /// Opens no more streams. When those that run have ended the library says GOAWAY and closes.
    pub(super) fn retire(&self) {
        self.requests.take();
    }

    /// The library counts itself.
    pub(super) fn has_one_less(&self) {}

    /// See [`Lent::takes_tunnels`](link::Lent::takes_tunnels).
    pub(super) fn takes_tunnels(&self) -> bool {
        let requests = self.requests.borrow();
        requests.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled)
    }

    /// See [`Lent::send`](link::Lent::send).
    pub(super) fn send(
        &self,
        mut request: Request<()>,
        protocol: Option<&str>,
        ends: bool,
    ) -> Result<(Receiving, Sending), Broken> {
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from(protocol));
        }
        let mut requests = self.requests.borrow_mut();
        let requests = requests.as_mut().ok_or(::h2::Error::from(Code::REFUSED_STREAM))?;
        let (response, stream) = requests.send_request(request, ends)?;
        Ok((Receiving::of_h2(response), Sending::H2(stream)))
    }

    /// What an error of a stream means, before which so much had been written.
    pub(super) fn judge(&self, error: &::h2::Error, before: u64, ended: Option<Reason>) -> Loss {
        let of = |reason, unprocessed| Loss { reason, unprocessed };
        match error.reason() {
            // Those at or below its last stream go on: this one is above (RFC 9113 §6.8).
            Some(Code::ENHANCE_YOUR_CALM) if error.is_remote() => {
                of(Reason::UpstreamCalm, error.is_go_away())
            }
            Some(_) if error.is_go_away() && error.is_remote() => of(Reason::UpstreamGoaway, true),
            Some(Code::REFUSED_STREAM) => of(Reason::StreamRefused, true),
            Some(_) if error.is_library() => of(Reason::UpstreamProtocol, false),
            Some(code) => of(of_code(code), false),
            None => of(ended.unwrap_or(Reason::UpstreamReset), self.was_not_seen(before)),
        }
    }

    /// The connection ended in order, and the server's kernel has acknowledged nothing that was
    /// written since then.
    fn was_not_seen(&self, before: u64) -> bool {
        let is_unsent = self.wire.total_written() == before;
        is_unsent || (self.seen.closed.get() && self.wire.peer_took_nothing_since(before))
    }
}

/// What moves a connection's frames.
pub(super) struct Driver {
    link: Rc<Link>,
    wire: Rc<Channel>,
    seen: Rc<Seen>,
    connection: Connecting,
    pings: Pings,
}

impl Driver {
    /// Moves frames until the connection ends: after its last stream, or with all of them. Then the
    /// streams know why.
    pub(super) async fn run(mut self) {
        let (link, seen, pings) = (&self.link, &self.seen, &mut self.pings);
        let connection = &mut self.connection;
        let reason = poll_fn(|cx| {
            seen.begin_turn();
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(match ended {
                    Ok(()) => Reason::UpstreamClosed,
                    Err(error) => of_end(&error),
                });
            }
            if seen.heads.get() > heads_max(link.begun()) {
                return Poll::Ready(Reason::UpstreamProtocol);
            }
            pings.poll_dead(cx, seen).map(|()| Reason::UpstreamSilent)
        })
        .await;
        link.end(reason);
        if matches!(reason, Reason::UpstreamSilent | Reason::UpstreamProtocol) {
            self.wire.abort();
        }
        // The streams that are left fail with the connection, in the order of things after this.
    }
}

/// HEADERS frames that a server may have sent after so many streams.
fn heads_max(begun: u64) -> u64 {
    begun.saturating_add(HEADS_FREE).saturating_mul(HEADS_MAX)
}

/// Asks a silent server whether it is still there.
struct Pings {
    pings: Option<PingPong>,
    timer: Timer,
    reads: u64,
    /// How often it was asked in this silence.
    asked: u32,
    /// An answer is waited for.
    waits: bool,
}

impl Pings {
    fn new(pings: Option<PingPong>, now: Instant) -> Self {
        let timer = Timer::new();
        timer.set(now + PING_AFTER);
        Self { pings, timer, reads: 0, asked: 0, waits: false }
    }

    /// Ready when the server has not answered in time.
    fn poll_dead(&mut self, cx: &mut Context<'_>, seen: &Seen) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        if self.waits && matches!(pings.poll_pong(cx), Poll::Ready(Ok(_))) {
            self.waits = false;
            self.reads = seen.reads.get();
            let pause = if self.asked < PINGS_SOON { PING_AFTER } else { PING_SELDOM };
            self.timer.set(runtime::now() + pause);
        }
        while self.timer.poll_expired(cx).is_ready() {
            let is_silent =
                std::mem::replace(&mut self.reads, seen.reads.get()) == seen.reads.get();
            match (is_silent, self.waits) {
                // Whatever it says, it is there.
                (false, _) => (self.asked, self.waits) = (0, false),
                (true, true) => return Poll::Ready(()),
                (true, false) => {
                    self.waits = pings.send_ping(Ping::opaque()).is_ok();
                    self.asked = self.asked.saturating_add(1);
                }
            }
            let pause = if self.waits { PONG_WITHIN } else { PING_AFTER };
            self.timer.set(runtime::now() + pause);
        }
        Poll::Pending
    }
}

/// What the end of a connection means.
fn of_end(error: &::h2::Error) -> Reason {
    match error.reason() {
        Some(_) if error.is_library() => Reason::UpstreamProtocol,
        Some(Code::NO_ERROR) => Reason::UpstreamClosed,
        Some(code) => of_code(code),
        None => Reason::UpstreamReset,
    }
}

/// What the server's error code means (RFC 9113 §7).
fn of_code(code: Code) -> Reason {
    match code {
        Code::ENHANCE_YOUR_CALM => Reason::UpstreamCalm,
        Code::PROTOCOL_ERROR
        | Code::FLOW_CONTROL_ERROR
        | Code::SETTINGS_TIMEOUT
        | Code::FRAME_SIZE_ERROR
        | Code::COMPRESSION_ERROR
        | Code::INADEQUATE_SECURITY
        | Code::HTTP_1_1_REQUIRED => Reason::UpstreamProtocol,
        _ => Reason::UpstreamReset,
    }
}
