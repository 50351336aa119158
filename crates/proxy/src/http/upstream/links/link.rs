//! One connection to a server that many exchanges of a worker share. Owns what is the same for all
//! versions of HTTP that can do that: its streams' number, its age, its end. How frames travel is its
//! carrier's; whether there should be one is [`super::Links`]' question.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::Request;
use evenkeel_balancer::Connection;
use evenkeel_runtime as runtime;

use super::h2;
#[cfg(feature = "http3")]
use super::h3;
use crate::failure::Reason;
use crate::http::multiplex::client::{Broken, Loss, Receiving, Sending};
use crate::snapshot::PoolSettings;

/// Streams of ours at a time on one connection, if the server takes as many: beyond, another
/// connection spreads the work over its threads.
pub(super) const STREAMS_MAX: usize = 128;
/// A new connection waits so long for its first stream.
const UNUSED_MIN: Duration = Duration::from_secs(1);

/// See the module's head.
pub(crate) struct Link {
    pub(super) carrier: Carrier,
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
    pub(super) ended: OnceCell<Reason>,
}

/// What carries its streams.
pub(super) enum Carrier {
    H2(h2::Carrier),
    #[cfg(feature = "http3")]
    H3(Box<h3::Carrier>),
}

/// The same expression on whichever kind it is.
macro_rules! on {
    ($carrier:expr, $it:ident => $what:expr) => {
        match $carrier {
            Carrier::H2($it) => $what,
            #[cfg(feature = "http3")]
            Carrier::H3($it) => $what,
        }
    };
}

/// A place for one stream. Given back when it is dropped.
pub(crate) struct Lent {
    link: Rc<Link>,
    place: Place,
}

/// What of it only its version of HTTP knows.
enum Place {
    /// What had been written on the connection when it was lent.
    H2(Cell<u64>),
    #[cfg(feature = "http3")]
    H3(h3::Place),
}

impl Link {
    /// One that has just been opened.
    pub(super) fn new(
        carrier: Carrier,
        settings: Arc<PoolSettings>,
        counted: Connection,
    ) -> Rc<Self> {
        let now = runtime::now();
        Rc::new(Self {
            carrier,
            opened: now,
            idle_since: Cell::new(now),
            settings,
            streams: Cell::new(0),
            begun: Cell::new(0),
            counted: RefCell::new(Some(counted)),
            ended: OnceCell::new(),
        })
    }

    /// Whether it goes to one of the server's addresses, as the pool's servers are spoken to now.
    pub(super) fn may_serve(&self, settings: &PoolSettings, addresses: &[SocketAddr]) -> bool {
        addresses.contains(&on!(&self.carrier, it => it.peer_addr())) && self.is_of(settings)
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

    /// Streams that it has had.
    pub(super) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// How many streams it may have.
    pub(super) fn streams_max(&self) -> usize {
        on!(&self.carrier, it => it.streams_max()).min(STREAMS_MAX)
    }

    /// A place for one more stream, unless there is none or the connection is to end.
    pub(super) fn lend(self: &Rc<Self>, now: Instant) -> Option<(Lent, bool)> {
        if !self.has_room(now) {
            return None;
        }
        let place = match &self.carrier {
            Carrier::H2(it) => Place::H2(Cell::new(it.total_written())),
            #[cfg(feature = "http3")]
            Carrier::H3(it) => Place::H3(it.place()?),
        };
        self.streams.set(self.streams.get().saturating_add(1));
        let begun = self.begun.get();
        self.begun.set(begun.saturating_add(1));
        Some((Lent { link: self.clone(), place }, begun > 0))
    }

    /// Whether another stream may be opened.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.is_usable(now)
            && self.streams.get() < self.streams_max()
            && on!(&self.carrier, it => it.has_place())
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
        let is_open = || on!(&self.carrier, it => it.is_open());
        is_trusted && age < keep.age_max && !is_idle && is_open()
    }

    /// Opens no more streams. When those that run have ended it closes.
    pub(super) fn retire(&self) {
        on!(&self.carrier, it => it.retire());
    }

    /// It has ended, and this is why. The streams that are left fail.
    pub(super) fn end(&self, why: Reason) {
        let _ = self.ended.set(why);
        self.retire();
        self.counted.take();
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
        on!(&self.carrier, it => it.has_one_less());
    }
}

impl Lent {
    /// The same place, for what of its stream is left.
    pub(crate) fn again(&self) -> Self {
        let link = self.link.clone();
        link.streams.set(link.streams.get().saturating_add(1));
        let place = match &self.place {
            Place::H2(before) => Place::H2(before.clone()),
            #[cfg(feature = "http3")]
            Place::H3(place) => Place::H3(place.again()),
        };
        Self { link, place }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        on!(&self.link.carrier, it => it.peer_addr())
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        on!(&self.link.carrier, it => it.local_addr())
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        on!(&self.link.carrier, it => it.is_secure())
    }

    /// Whether the server takes extended CONNECT (RFC 8441 §3, RFC 9220 §3).
    pub(crate) fn takes_tunnels(&self) -> bool {
        on!(&self.link.carrier, it => it.takes_tunnels())
    }

    /// Opens the stream; `protocol` of a tunnel.
    ///
    /// # Errors
    /// When the connection has begun to end: then nothing is sent.
    pub(crate) fn send(
        &self,
        request: Request<()>,
        protocol: Option<&str>,
        ends: bool,
    ) -> Result<(Receiving, Sending), Broken> {
        match (&self.link.carrier, &self.place) {
            (Carrier::H2(it), Place::H2(before)) => {
                before.set(it.total_written());
                it.send(request, protocol, ends)
            }
            #[cfg(feature = "http3")]
            (Carrier::H3(it), Place::H3(place)) => it.send(place, &request, protocol, ends),
            #[cfg(feature = "http3")]
            _ => Err(Broken::Request), // a place is its carrier's
        }
    }

    /// What an error of its stream means.
    pub(crate) fn judge(&self, broken: &Broken) -> Loss {
        let of = |reason, unprocessed| Loss { reason, unprocessed };
        match (broken, &self.link.carrier, &self.place) {
            (Broken::Malformed, ..) => of(Reason::UpstreamProtocol, false),
            (Broken::Request, ..) => of(Reason::Unspeakable, true),
            (Broken::H2(error), Carrier::H2(it), Place::H2(before)) => {
                it.judge(error, before.get(), self.link.ended.get().copied())
            }
            #[cfg(feature = "http3")]
            (Broken::H3(failure), Carrier::H3(it), _) => it.judge(*failure),
            #[cfg(feature = "http3")]
            _ => of(Reason::UpstreamReset, false), // an error is its carrier's
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        #[cfg(feature = "http3")]
        if let (Carrier::H3(it), Place::H3(place)) = (&self.link.carrier, &self.place) {
            it.take_back(place);
        }
        self.link.give_back();
    }
}
