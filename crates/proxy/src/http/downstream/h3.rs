//! One HTTP/3 connection (RFC 9114): its control streams, its request streams, each an exchange of its
//! own, and how it ends. Owns no message; a stream's frames are read and written in `multiplex/h3`.

mod request;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_codec::h3::{Code, Resets, Settings, VARINT_MAX};
use evenkeel_config::model::Listener;
use evenkeel_runtime::{self as runtime, Timer};
use quinn::{ConnectionError, RecvStream, SendStream};

pub(crate) use self::request::H3;
use self::request::Setting;
use crate::connection::{Connection, Phase, Protocol};
use crate::http::multiplex::h3::stream::{Inward, Outward};
use crate::http::multiplex::h3::uni::{self, ControlStream, Hearing};
use crate::http::multiplex::h3::wire_max;
pub(crate) use crate::http::multiplex::h3::{close, code};
use crate::http::multiplex::trunk::{Live, Trunk};

/// While requests are served, a connection looks so often whether it is to end.
const LOOK: Duration = Duration::from_millis(200);
/// So long streams that are cut have to tell their clients why.
const CUT_WITHIN: Duration = Duration::from_millis(200);
/// The last stream there could be: before this GOAWAY a client learns that there will be another one,
/// and which of its requests on the way were not served (§5.2).
const LAST_STREAM: u64 = VARINT_MAX - 3;

/// Serves a connection to its end, or to the panic that ends it and nothing else.
pub(crate) async fn serve(trunk: Rc<Connection>, connection: quinn::Connection) {
    trunk.protocol.set(Protocol::H3);
    trunk.state.become_trunk();
    let conversation = Conversation::new(trunk.clone(), connection.clone());
    if let Err(panic) = runtime::isolate(converse(conversation)).await {
        trunk.worker.counters.panics.add(1);
        let listener = trunk.state.entrance.address;
        tracing::error!(client = %trunk.peer, %listener, %panic, "a connection was lost");
        close(&connection, Code::InternalError);
    }
}

/// The longest field section taken; each field counts 32 bytes more than it has (§4.2.2).
fn section_max(listener: &Listener) -> u64 {
    listener.limits.head as u64
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Not begun.
    No,
    /// The client knows that it should go elsewhere; what is on its way is still served.
    Announced(Instant),
    /// Nothing more is served but what has begun.
    Final,
}

struct Conversation {
    held: Rc<Connection>,
    connection: quinn::Connection,
    /// Its streams: being served, or with something still to be sent.
    trunk: Rc<Trunk>,
    requests: u32,
    /// Without streams until then, at most.
    idle_until: Option<Instant>,
    /// The number that follows the last request stream taken.
    next_stream: u64,
    leaving: Leaving,
    hearing: Rc<Hearing>,
    resets: Rc<RefCell<Resets>>,
}

enum Event {
    Request(SendStream, RecvStream),
    Uni(RecvStream),
    Lost(ConnectionError),
    Time,
}

async fn converse(mut conversation: Conversation) {
    let Some(mut control) = conversation.open().await else { return };
    let connection = conversation.connection.clone();
    let mut requests = pin!(connection.accept_bi());
    let mut others = pin!(connection.accept_uni());
    loop {
        let was_busy = conversation.wait_until();
        let event = poll_fn(|cx| {
            if let Poll::Ready(accepted) = others.as_mut().poll(cx) {
                others.set(connection.accept_uni());
                return Poll::Ready(accepted.map_or_else(Event::Lost, Event::Uni));
            }
            if let Poll::Ready(accepted) = requests.as_mut().poll(cx) {
                requests.set(connection.accept_bi());
                let request = |(send, receive)| Event::Request(send, receive);
                return Poll::Ready(accepted.map_or_else(Event::Lost, request));
            }
            conversation.trunk.watch(cx);
            let live = conversation.trunk.live();
            if live == 0 && was_busy {
                return Poll::Ready(Event::Time);
            }
            conversation.held.state.timer.poll_expired(cx).map(|()| Event::Time)
        });
        match event.await {
            Event::Request(send, receive) => conversation.take(send, receive),
            Event::Uni(stream) => {
                let hearing = conversation.hearing.clone();
                runtime::spawn(uni::hear(hearing, connection.clone(), stream));
            }
            Event::Lost(error) => {
                tracing::debug!(client = %conversation.held.peer, %error, "connection closed");
                return;
            }
            Event::Time => {
                if conversation.look(&mut control).await {
                    return close(&connection, Code::NoError);
                }
            }
        }
    }
}

impl Conversation {
    fn new(held: Rc<Connection>, connection: quinn::Connection) -> Self {
        let trunk = Trunk::new(held.worker.clone(), held.peer, held.local);
        Self {
            held,
            connection,
            trunk,
            requests: 0,
            idle_until: None,
            next_stream: 0,
            leaving: Leaving::No,
            hearing: Rc::default(),
            resets: Rc::new(RefCell::new(Resets::new(runtime::now()))),
        }
    }

    /// Says what we are like (§6.2.1). QPACK's streams would have nothing to say (RFC 9204 §4.2).
    async fn open(&self) -> Option<ControlStream> {
        let (generation, id) = self.held.serving()?;
        let listener = &generation.snapshot.listener(id)?.config;
        let settings =
            Settings { field_section_max: section_max(listener), connect_protocol: true };
        let deadline = runtime::now() + listener.timeouts.handshake;
        ControlStream::open(&self.connection, &settings, deadline).await
    }

    /// Sets how long to wait for the next event; whether streams are open.
    fn wait_until(&mut self) -> bool {
        let now = runtime::now();
        let state = &self.held.state;
        if self.trunk.live() > 0 {
            self.idle_until = None;
            state.enter(Phase::Busy);
            state.allow_until(now + LOOK);
            return true;
        }
        state.enter(Phase::Idle);
        let timeouts = self.held.serving().and_then(|(generation, id)| {
            Some(generation.snapshot.listener(id)?.config.timeouts.clone())
        });
        let idle = timeouts.map_or(Duration::ZERO, |timeouts| match self.requests {
            0 => timeouts.head,
            _ => timeouts.idle,
        });
        let idle_until = *self.idle_until.get_or_insert(now + idle);
        state.allow_until(match self.leaving {
            Leaving::No if self.held.drain().is_some() => now,
            Leaving::No => idle_until,
            Leaving::Announced(until) => until,
            Leaving::Final => now,
        });
        false
    }

    /// Serves a request on a stream of its own, unless the client knows that it would not be.
    fn take(&mut self, mut send: SendStream, mut receive: RecvStream) {
        if self.leaving == Leaving::Final {
            let rejected = code(Code::RequestRejected); // it may be repeated (§4.1.1)
            let _ = (receive.stop(rejected), send.reset(rejected));
            return;
        }
        let Some((generation, id)) = self.held.serving() else { return };
        let Some(listener) = generation.snapshot.listener(id) else { return };
        self.next_stream = u64::from(send.id()).saturating_add(4);
        self.requests = self.requests.saturating_add(1);
        let section_max = section_max(&listener.config);
        let inward = Inward::new(receive, wire_max(section_max));
        let outward = Outward::new(send, Some(Live::new(&self.trunk, 0)));
        let setting = Setting {
            connection: self.held.clone(),
            trunk: self.trunk.clone(),
            section_max,
            deadline: runtime::now() + listener.config.timeouts.head,
            patience: listener.config.timeouts.send_idle,
            resets: self.resets.clone(),
        };
        runtime::spawn(request::serve(setting, self.connection.clone(), inward, outward));
    }

    /// Some time has passed: whether the connection is over.
    async fn look(&mut self, control: &mut ControlStream) -> bool {
        let now = runtime::now();
        if self.held.state.is_cut() {
            self.end(control, now + CUT_WITHIN).await;
            return true;
        }
        let idle = self.trunk.live() == 0;
        match self.leaving {
            Leaving::No if self.is_to_leave(now) => {
                let grace = self.held.drain().map_or(LOOK, |drain| drain.idle_grace);
                self.leaving = Leaving::Announced(now + grace);
                !control.say_goaway(LAST_STREAM, now + grace).await
            }
            Leaving::Announced(until) if now >= until => {
                self.leaving = Leaving::Final;
                let said = control.say_goaway(self.next_stream, now + LOOK).await;
                !said || idle
            }
            Leaving::Final => idle,
            _ => false,
        }
    }

    /// Lets streams that are cut have their last word, within a moment: the client learns which of its
    /// requests were looked at. Others may come meanwhile, and are not.
    async fn end(&mut self, control: &mut ControlStream, until: Instant) {
        if self.leaving != Leaving::Final {
            self.leaving = Leaving::Final;
            let _ = control.say_goaway(self.next_stream, until).await; // the end comes in any case
        }
        let timer = Timer::new();
        timer.set(until);
        poll_fn(|cx| {
            self.trunk.watch(cx);
            match self.trunk.live() {
                0 => Poll::Ready(()),
                _ => timer.poll_expired(cx),
            }
        })
        .await;
    }

    /// Whether the client is to be told to go.
    fn is_to_leave(&self, now: Instant) -> bool {
        let Some((generation, id)) = self.held.serving() else { return true };
        let Some(listener) = generation.snapshot.listener(id) else { return true };
        let config = &listener.config;
        self.held.drain().is_some()
            || self.idle_until.is_some_and(|until| now >= until)
            || self.requests >= config.limits.requests_per_connection
            || now.saturating_duration_since(self.held.opened) >= config.timeouts.age_max
    }
}
