//! One HTTP/2 connection to a server, shared by many exchanges of a worker. Owns its life from the
//! preface to its last stream: settings, pings, the GOAWAY of either side, and what its end means
//! for the streams on it. Whether there should be one is [`super::Links`]' question.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ::h2::client::{self, Connection as Http2, ResponseFuture, SendRequest};
use ::h2::{Ping, PingPong, Reason as Code, SendStream};
use ::http::Request;
use bytes::Bytes;
use evenkeel_balancer::Connection;
use evenkeel_runtime::{self as runtime, Timer};

use super::wire::{Seen, Wire};
use crate::channel::Channel;
use crate::failure::Reason;
use crate::http::multiplex::client::Loss;
use crate::http::upstream::flight::RESPONSE_LIMITS;
use crate::snapshot::PoolSettings;

/// Streams of ours at a time on one connection, if the server takes as many: beyond, another
/// connection spreads the work over its threads.
pub(super) const STREAMS_MAX: usize = 128;
/// What a server may send before it is read, for each stream; and for all, so that streams whose
/// clients are slow never stop the others. Bounds what a connection holds.
const STREAM_WINDOW: u32 = 64 * 1024;
const WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What the library holds for a stream that the server's windows allow and the socket does not take.
const SEND_BUFFER: usize = 64 * 1024;
/// A new connection waits so long for its first stream.
const UNUSED_MIN: Duration = Duration::from_secs(1);
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
pub(crate) struct Link {
    wire: Rc<Channel>,
    seen: Rc<Seen>,
    /// Opens streams; `None` once no more are opened.
    requests: RefCell<Option<SendRequest<Bytes>>>,
    opened: Instant,
    /// Since when it has had no stream.
    idle_since: Cell<Instant>,
    /// What it was opened by.
    settings: Arc<PoolSettings>,
    streams: Cell<usize>,
    /// Streams so far.
    begun: Cell<u64>,
    /// Counts it for as long as it is open.
    counted: RefCell<Option<Connection>>,
    /// Why it ended.
    ended: OnceCell<Reason>,
}

/// A place for one stream. Given back when it is dropped.
pub(crate) struct Lent {
    link: Rc<Link>,
    /// What had been written on the connection when it was lent.
    before: Cell<u64>,
}

impl Link {
    /// Speaks HTTP/2 on a connection and waits for the server's settings: before them nobody knows
    /// how many streams it takes, or whether it speaks it at all. Has no time limit of its own.
    pub(super) async fn begin(
        channel: Channel,
        settings: Arc<PoolSettings>,
        counted: Connection,
    ) -> Result<(Rc<Self>, Driver), Reason> {
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
        let now = runtime::now();
        let link = Rc::new(Self {
            wire,
            seen,
            requests: RefCell::new(Some(requests)),
            opened: now,
            idle_since: Cell::new(now),
            settings,
            streams: Cell::new(0),
            begun: Cell::new(0),
            counted: RefCell::new(Some(counted)),
            ended: OnceCell::new(),
        });
        let pings = connection.ping_pong();
        let driver = Driver { link: link.clone(), connection, pings: Pings::new(pings, now) };
        Ok((link, driver))
    }

    /// Whether it goes to one of the server's addresses, as the pool's servers are spoken to now.
    pub(super) fn may_serve(&self, settings: &PoolSettings, addresses: &[SocketAddr]) -> bool {
        addresses.contains(&self.wire.peer_addr()) && self.is_of(settings)
    }

    /// Whether it was opened as the pool's servers are spoken to now.
    fn is_of(&self, settings: &PoolSettings) -> bool {
        let tls = |settings: &PoolSettings| settings.tls.as_ref().map(Arc::as_ptr);
        tls(&self.settings) == tls(settings)
    }

    /// Streams on it.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// How many streams it may have.
    pub(super) fn streams_max(&self) -> usize {
        let requests = self.requests.borrow();
        let theirs = requests.as_ref().map_or(0, SendRequest::current_max_send_streams);
        theirs.min(STREAMS_MAX)
    }

    /// A place for one more stream, unless there is none or the connection is to end.
    pub(super) fn lend(self: &Rc<Self>, now: Instant) -> Option<(Lent, bool)> {
        if !self.has_room(now) {
            return None;
        }
        self.streams.set(self.streams.get().saturating_add(1));
        let before = Cell::new(self.wire.total_written());
        let begun = self.begun.get();
        self.begun.set(begun.saturating_add(1));
        Some((Lent { link: self.clone(), before }, begun > 0))
    }

    /// Whether another stream may be opened.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.is_usable(now) && self.streams.get() < self.streams_max()
    }

    /// Whether streams may be opened at all: neither side has said that it ends, it is neither too
    /// old nor idle for too long, and the server was not found down since.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        let keep = &self.settings.config.keep_alive;
        let age = now.saturating_duration_since(self.opened);
        let idle = now.saturating_duration_since(self.idle_since.get());
        // Who had it opened gets it, however short it would be kept.
        let is_used = self.begun.get() > 0;
        let idle_max = if is_used { keep.idle } else { keep.idle.max(UNUSED_MIN) };
        let is_idle = self.streams.get() == 0 && idle >= idle_max;
        let is_trusted = self.counted.borrow().as_ref().is_some_and(Connection::is_trusted);
        is_trusted && age < keep.age_max && !is_idle && self.is_open()
    }

    /// Neither side has said that it ends.
    fn is_open(&self) -> bool {
        let mut requests = self.requests.borrow_mut();
        let mut cx = Context::from_waker(Waker::noop());
        // Never waits: it has no stream pending. An error is the GOAWAY that has come.
        let ready = requests.as_mut().map(|requests| requests.poll_ready(&mut cx));
        matches!(ready, Some(Poll::Ready(Ok(()))))
    }

    /// Opens no more streams. When those that run have ended it says GOAWAY and closes.
    pub(super) fn retire(&self) {
        self.requests.take();
    }

    /// HEADERS frames that a server may have sent by now.
    fn heads_max(&self) -> u64 {
        self.begun.get().saturating_add(HEADS_FREE).saturating_mul(HEADS_MAX)
    }

    /// One stream less.
    fn give_back(&self) {
        let left = self.streams.get().saturating_sub(1);
        self.streams.set(left);
        if left == 0 {
            self.idle_since.set(runtime::now());
            if self.settings.config.keep_alive.idle_max == 0 {
                self.retire();
            }
        }
    }
}

impl Lent {
    /// The same place, for what of its stream is left.
    pub(crate) fn again(&self) -> Self {
        let link = self.link.clone();
        link.streams.set(link.streams.get().saturating_add(1));
        Self { link, before: Cell::new(self.before.get()) }
    }

    pub(crate) fn wire(&self) -> &Channel {
        &self.link.wire
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(*self.link.wire, Channel::Tls(_))
    }

    /// Whether the server takes extended CONNECT (RFC 8441 §3).
    pub(crate) fn takes_tunnels(&self) -> bool {
        let requests = self.link.requests.borrow();
        requests.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled)
    }

    /// Opens the stream.
    ///
    /// # Errors
    /// When the connection has begun to end: then nothing is sent.
    pub(crate) fn send(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), ::h2::Error> {
        self.before.set(self.link.wire.total_written());
        match &mut *self.link.requests.borrow_mut() {
            Some(requests) => requests.send_request(request, ends),
            None => Err(Code::REFUSED_STREAM.into()),
        }
    }

    /// What an error of its stream means.
    pub(crate) fn judge(&self, error: &::h2::Error) -> Loss {
        let code = error.reason();
        let of = |reason, unprocessed| Loss { reason, unprocessed };
        match code {
            // Those at or below its last stream go on: this one is above (RFC 9113 §6.8).
            Some(Code::ENHANCE_YOUR_CALM) if error.is_remote() => {
                of(Reason::UpstreamCalm, error.is_go_away())
            }
            Some(_) if error.is_go_away() && error.is_remote() => of(Reason::UpstreamGoaway, true),
            Some(Code::REFUSED_STREAM) => of(Reason::StreamRefused, true),
            Some(_) if error.is_library() => of(Reason::UpstreamProtocol, false),
            Some(code) => of(of_code(code), false),
            None => {
                let reason = self.link.ended.get().copied();
                of(reason.unwrap_or(Reason::UpstreamReset), self.was_not_seen())
            }
        }
    }

    /// The connection ended in order, and the server's kernel has acknowledged nothing that was
    /// written since the stream was opened.
    fn was_not_seen(&self) -> bool {
        let before = self.before.get();
        let wire = &self.link.wire;
        let is_unsent = wire.total_written() == before;
        is_unsent || (self.link.seen.closed.get() && wire.peer_took_nothing_since(before))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.link.give_back();
    }
}

/// What moves a connection's frames.
pub(super) struct Driver {
    link: Rc<Link>,
    connection: Connecting,
    pings: Pings,
}

impl Driver {
    /// Moves frames until the connection ends: after its last stream, or with all of them. Then the
    /// streams know why.
    pub(super) async fn run(mut self) {
        let (link, pings) = (&self.link, &mut self.pings);
        let connection = &mut self.connection;
        let reason = poll_fn(|cx| {
            link.seen.begin_turn();
            if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(match ended {
                    Ok(()) => Reason::UpstreamClosed,
                    Err(error) => of_end(&error),
                });
            }
            if link.seen.heads.get() > link.heads_max() {
                return Poll::Ready(Reason::UpstreamProtocol);
            }
            pings.poll_dead(cx, &link.seen).map(|()| Reason::UpstreamSilent)
        })
        .await;
        let _ = link.ended.set(reason);
        link.retire();
        link.counted.take();
        if matches!(reason, Reason::UpstreamSilent | Reason::UpstreamProtocol) {
            link.wire.abort();
        }
        // The streams that are left fail with the connection, in the order of things after this.
    }
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
