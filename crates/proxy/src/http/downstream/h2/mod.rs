//! One HTTP/2 client connection (RFC 9113): frames in, an exchange for each stream, frames out. Owns
//! the connection's settings, its deadlines and its end; what a stream's exchange does is the same as
//! everywhere, see [`multiplex`](crate::http::multiplex).

mod life;

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::http::Request;
use bytes::Bytes;
use evenkeel_codec::h2::{Budget, FrameGuard};
use evenkeel_config::model::Listener;
use evenkeel_runtime as runtime;
use h2::ext::Protocol as ConnectProtocol;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};

use self::life::{Act, Life, Look};
use crate::buffer::Buffer;
use crate::channel::wire::{ChannelIo, Wire};
use crate::connection::{Connection, Phase, Protocol};
use crate::http::downstream::stream;
use crate::http::multiplex::transport::{H2, Transport, Why};
use crate::http::multiplex::trunk::Trunk;

/// What a client that knows beforehand begins with (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams at once: the fewest that a client may count on (RFC 9113 §6.5.2). Each costs what an
/// exchange does.
const STREAMS_MAX: u32 = 100;
/// Bytes of content that a client may send unasked on one stream, and on all of them together. What
/// one connection can make us hold is bounded by this, by what waits to be written
/// ([`Trunk`]), and by a block for each stream.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of one stream that wait to be written: as many as keep a fast connection busy between two
/// turns of its task.
const SEND_BUFFER: usize = 64 * 1024;
/// What DATA frames that wait to be read may cost, 256 bytes for each short one: streams of gRPC are
/// made of them, and as many as a stream's window holds are no attack.
const DATA_BUDGET: usize = 2 * 1024 * 1024;
/// A client acknowledges our settings within this time at least (RFC 9113 §6.5.3), or within that for a
/// head if it is longer.
const SETTLE_MIN: Duration = Duration::from_secs(10);
/// Longest time for a last word to a client.
const GOODBYE: Duration = Duration::from_millis(500);
/// And to one that sends too much: it may not read at all.
const CALM_DOWN: Duration = Duration::from_millis(50);
/// Streams that this side has reset and remembers, so that what is on its way on them is no error,
/// and for how long: as many as there can be, and longer than a slow way is.
const RESET_STREAMS: usize = 2 * STREAMS_MAX as usize;
const RESET_REMEMBERED: Duration = Duration::from_secs(5);
/// What a client may pad and prioritize a header block with, beside the longest head there is.
const BLOCK_EXTRA: u32 = 4 * 1024;

type Served<'w, 'c> = h2::server::Connection<ChannelIo<'w, 'c>, Bytes>;

/// Serves a connection to its end. `early` has been read from it before.
pub(super) async fn converse(connection: &Connection, early: Buffer) {
    connection.protocol.set(Protocol::H2);
    let Some((generation, id)) = connection.serving() else { return };
    let Some(listener) = generation.snapshot.listener(id) else { return };
    let (config, timeouts) = (&listener.config, &listener.config.timeouts);
    let now = runtime::now();
    let first = connection.opened + timeouts.head;
    let life = Life::new(
        now,
        first,
        timeouts.idle,
        timeouts.send_idle,
        connection.opened + timeouts.age_max,
    );
    let requests_max = config.limits.requests_per_connection;
    let settle_until = connection.opened + timeouts.head.max(SETTLE_MIN);
    let settings = settings(config);
    let guard = FrameGuard::new(header_list(config).saturating_add(BLOCK_EXTRA), now);
    drop(generation);
    let worker = &connection.worker;
    let wire = Wire::new(&connection.stream, &worker.stock, early, Some(guard));
    connection.state.allow_until(first);
    let Some(served) = shake_hands(connection, &wire, &settings).await else { return };
    // Before, a drain has nobody to tell.
    connection.state.become_trunk();
    let trunk = Trunk::new(worker.clone(), connection.peer, connection.local);
    let mut talk = Talk {
        connection,
        wire: &wire,
        served,
        trunk,
        life,
        requests_max,
        settle_until,
        pings: None,
        over: false,
    };
    talk.pings = talk.served.ping_pong();
    poll_fn(|cx| talk.poll(cx)).await;
}

fn settings(listener: &Listener) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(DATA_BUDGET)
        .max_header_list_size(header_list(listener))
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESET_REMEMBERED)
        .enable_connect_protocol();
    builder
}

/// The longest list of fields that is taken, as RFC 9113 §6.5.2 counts it.
fn header_list(listener: &Listener) -> u32 {
    u32::try_from(listener.limits.head).unwrap_or(u32::MAX)
}

/// Exchanges prefaces, in time.
async fn shake_hands<'w, 'c>(
    connection: &Connection,
    wire: &'w Wire<'c>,
    settings: &Builder,
) -> Option<Served<'w, 'c>> {
    let mut handshake = pin!(settings.handshake(wire.io()));
    let shaken = poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        if let Poll::Ready(Err(_)) = wire.poll_drain(cx) {
            return Poll::Ready(Ok(None));
        }
        match shaken {
            Poll::Ready(shaken) => Poll::Ready(shaken.map(Some)),
            Poll::Pending => connection.state.timer.poll_expired(cx).map(|()| Ok(None)),
        }
    });
    match shaken.await {
        Ok(served) => served,
        Err(error) => {
            tracing::debug!(client = %connection.peer, %error, "no HTTP/2 connection");
            None
        }
    }
}

/// A connection in use.
struct Talk<'w, 'c> {
    connection: &'c Connection,
    wire: &'w Wire<'c>,
    served: Served<'w, 'c>,
    trunk: Rc<Trunk>,
    life: Life,
    requests_max: u32,
    /// Our settings have been acknowledged by then.
    settle_until: Instant,
    pings: Option<PingPong>,
    /// The client has been told that it is over; only that has to leave.
    over: bool,
}

/// What the clock has brought.
enum Tick {
    /// Nothing, until it goes off again.
    Wait,
    /// Something to be sent.
    Said,
    /// The end.
    Over,
}

impl Talk<'_, '_> {
    /// One turn: what came in is dealt with, what has to leave leaves. Ready at the connection's end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.trunk.watch(cx);
        loop {
            match self.served.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, mut respond)))) => {
                    let requests = self.connection.requests.get();
                    self.connection.requests.set(requests.saturating_add(1));
                    if respond.poll_reset(cx).is_ready() {
                        continue; // given up already: nobody hears of it
                    }
                    let is_room = self.trunk.live() < STREAMS_MAX as usize;
                    begin(self.connection, &self.trunk, request, respond, is_room);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.lament(&error);
                    let _ = self.wire.poll_drain(cx);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    let _ = self.wire.poll_drain(cx);
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            let is_stuck = match self.wire.poll_drain(cx) {
                Poll::Ready(Ok(())) => {
                    self.trunk.flushed();
                    false
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => true,
            };
            if let (false, Some(budget)) = (self.over, self.wire.exceeded()) {
                self.calm_down(budget);
                continue;
            }
            if let Some(pings) = &mut self.pings
                && let Poll::Ready(Ok(_)) = pings.poll_pong(cx)
            {
                self.life.ponged(runtime::now());
            }
            match self.tick(is_stuck) {
                Tick::Over => return Poll::Ready(()),
                Tick::Said => {}
                Tick::Wait if self.connection.state.timer.poll_expired(cx).is_pending() => {
                    self.wire.end_turn();
                    return Poll::Pending;
                }
                Tick::Wait => {}
            }
        }
    }

    /// Does what is due by the clock. `stuck`: the client does not take what waits for it.
    fn tick(&mut self, stuck: bool) -> Tick {
        let (state, live) = (&self.connection.state, self.trunk.live());
        state.enter(if live == 0 { Phase::Idle } else { Phase::Busy });
        let now = runtime::now();
        if self.over {
            let is_late = state.timer.deadline().is_none_or(|deadline| deadline <= now);
            return if is_late { Tick::Over } else { Tick::Wait };
        }
        let is_settled = self.wire.has_acknowledged();
        if !is_settled && now >= self.settle_until {
            tracing::debug!(client = %self.connection.peer, "our settings are not acknowledged");
            self.say_goodbye(Reason::SETTINGS_TIMEOUT, GOODBYE);
            return Tick::Said;
        }
        let look = Look {
            now,
            live,
            taken: self.connection.stream.total_written(),
            stuck,
            heard: self.wire.was_heard(),
            done: self.connection.drain().is_some()
                || self.connection.requests.get() >= self.requests_max,
            cut: state.is_cut(),
        };
        let (act, again) = self.life.look(look);
        state.timer.set(if is_settled { again } else { again.min(self.settle_until) });
        match act {
            Act::Nothing => return Tick::Wait,
            Act::Ping => {
                if let Some(pings) = &mut self.pings {
                    let _ = pings.send_ping(Ping::opaque()); // one is on its way already
                }
            }
            Act::Leave => self.served.graceful_shutdown(),
            Act::Abort => {
                self.connection.stream.abort();
                return Tick::Over;
            }
            Act::End => self.say_goodbye(Reason::NO_ERROR, GOODBYE),
        }
        Tick::Said
    }

    /// Says that the library has ended the connection.
    fn lament(&self, error: &h2::Error) {
        if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            self.tell("library", error);
        } else {
            tracing::debug!(client = %self.connection.peer, %error, "HTTP/2 ended");
        }
    }

    /// Counts a connection that ends because its client sent too much, and tells of it, in bounds.
    fn tell(&self, budget: &str, why: &dyn fmt::Display) {
        let worker = &self.connection.worker;
        worker.counters.floods.add(1);
        if let Some(untold) = worker.floods_told.tells(runtime::now()) {
            let client = self.connection.peer;
            let listener = self.connection.state.entrance.address;
            tracing::warn!(%client, %listener, budget, untold, "{why}");
        }
    }

    /// Ends a connection whose client asks for work that nobody has of it.
    fn calm_down(&mut self, budget: Budget) {
        self.tell(budget.name(), &budget);
        self.say_goodbye(Reason::ENHANCE_YOUR_CALM, CALM_DOWN);
    }

    /// Ends the connection at once, but says why.
    fn say_goodbye(&mut self, why: Reason, within: Duration) {
        self.over = true;
        self.served.abrupt_shutdown(why);
        self.connection.state.timer.set(runtime::now() + within);
    }
}

/// Serves a request in a task of its own.
fn begin(
    connection: &Connection,
    trunk: &Rc<Trunk>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    is_room: bool,
) {
    let (parts, receive) = request.into_parts();
    let ended = receive.is_end_stream();
    let protocol = parts.extensions.get::<ConnectProtocol>().map(ConnectProtocol::as_str);
    let serving = connection.serving();
    let serving = serving
        .as_ref()
        .and_then(|(generation, id)| Some((generation, *id, generation.snapshot.listener(*id)?)));
    let Some((generation, id, listener)) = serving.filter(|_| is_room) else {
        let mut transport = Transport::H2(H2::new(respond, receive));
        return transport.reset(Why::Refused); // may be sent again (RFC 9113 §8.7)
    };
    let read = match stream::read(trunk, &listener.config, &parts, protocol, ended) {
        Ok(read) => read,
        Err(why) => {
            tracing::debug!(client = %connection.peer, ?why, "a malformed request");
            return respond.send_reset(h2::Reason::PROTOCOL_ERROR);
        }
    };
    drop(parts);
    let mut transport = Transport::H2(H2::new(respond, receive));
    if !trunk.has_room(read.length()) {
        read.forget(&connection.worker);
        return transport.reset(Why::Refused);
    }
    stream::spawn(connection, trunk, generation.clone(), id, transport, read);
}
