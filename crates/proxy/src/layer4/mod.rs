//! What is not HTTP, passed on as it is: datagrams (`udp`), and connections, from the listener to a
//! server of a pool. The order of everything about a connection is here: who it is for, which server,
//! there and back, one line about it. Owns no rule of balancing: pools, health, drains and counters
//! are those of HTTP.

mod connect;
pub(crate) mod direction;
mod first_bytes;
mod line;
mod relay;
pub(crate) mod udp;

use std::rc::Rc;
use std::time::{Duration, Instant};

use evenkeel_balancer::{FailureKind, Outcome};
use evenkeel_config::model::{ListenerId, ListenerKind, PoolId, Relay};
use evenkeel_runtime as runtime;

use crate::channel::Channel;
use crate::connection::{Connection, Phase};
use crate::failure::Reason;
use crate::generation::{Generation, KnownServer};
use crate::http::downstream::shake_hands;
use crate::snapshot::ListenerSettings;
use crate::tls::Alpn;

/// Serves a connection to its end, or to the panic that ends it and nothing else.
pub(crate) async fn serve(connection: Connection) {
    if let Err(panic) = runtime::isolate(converse(&connection)).await {
        connection.worker.counters.panics.add(1);
        let listener = connection.state.entrance.address;
        tracing::error!(client = %connection.peer, %listener, %panic, "a connection was lost");
        connection.stream.abort();
    }
}

async fn converse(connection: &Connection) {
    if let Channel::Tls(_) = connection.stream
        && !Box::pin(shake_hands(connection)).await
    {
        return;
    }
    if connection.tls.get().and_then(|session| session.alpn) == Some(Alpn::AcmeTls) {
        return; // the authority has seen what it asked for
    }
    let Some((generation, id)) = connection.serving() else { return };
    let mut session = Session::new(connection, generation, id);
    let ending = session.run().await;
    session.end(ending);
}

/// A connection being passed on, and what became known about it.
struct Session<'c> {
    connection: &'c Connection,
    generation: Rc<Generation>,
    listener: ListenerId,
    pool: Option<PoolId>,
    server: Option<Rc<KnownServer>>,
    /// The name that the client asks for, where TLS is passed through.
    server_name: Option<Box<str>>,
    /// What it offers first by ALPN there.
    offers: Option<Box<[u8]>>,
    tries: u32,
    /// How long it took until a server's connection stood.
    connected: Option<Duration>,
    started: Instant,
    /// Bytes from the client that the server took.
    bytes_in: u64,
    /// Bytes from the server that the client took.
    bytes_out: u64,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Both sides have said all they had to say.
    Closed,
    /// The client's connection broke.
    ClientReset,
    /// The server's did.
    ServerReset,
    /// Nothing moved for too long.
    IdleTimeout,
    /// It lasted as long as it may.
    Timeout,
    /// A drain came to its end, or the server was taken away.
    Cut,
    /// What it begins with is for no pool.
    NoMatch,
    /// No server could be reached.
    Failed(Reason),
}

impl Ending {
    /// A stable word for scripts; `docs/layer4.md` lists them.
    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientReset => "client_reset",
            Self::ServerReset => "server_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::NoMatch => "no_match",
            Self::Failed(reason) => reason.word(),
        }
    }
}

impl<'c> Session<'c> {
    fn new(connection: &'c Connection, generation: Rc<Generation>, listener: ListenerId) -> Self {
        Self {
            connection,
            generation,
            listener,
            pool: None,
            server: None,
            server_name: None,
            offers: None,
            tries: 0,
            connected: None,
            started: connection.opened,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    fn listener(&self) -> Option<&ListenerSettings> {
        self.generation.snapshot.listener(self.listener)
    }

    async fn run(&mut self) -> Ending {
        let generation = self.generation.clone();
        let Some(listener) = generation.snapshot.listener(self.listener) else {
            return Ending::Cut;
        };
        let relay = match &listener.config.kind {
            ListenerKind::Tcp(tcp) => &tcp.relay,
            ListenerKind::Passthrough(rules) => {
                let wait = listener.config.timeouts.handshake;
                match Box::pin(first_bytes::choose(self, rules, wait)).await {
                    Ok(relay) => relay,
                    Err(ending) => return ending,
                }
            }
            ListenerKind::Http | ListenerKind::Udp(_) => return Ending::Cut, // changed meanwhile
        };
        self.serve(relay).await
    }

    async fn serve(&mut self, relay: &Relay) -> Ending {
        let generation = self.generation.clone();
        self.pool = Some(relay.to);
        let (Some(pool), Some(settings)) =
            (generation.pool(relay.to), generation.snapshot.pool(relay.to))
        else {
            return Ending::Failed(Reason::NoServers);
        };
        let state = &self.connection.state;
        state.enter(Phase::Busy);
        let end = relay.timeout.map(|timeout| self.started + timeout);
        state.end_by(end);
        let reached = Box::pin(connect::reach(self, pool, settings, relay)).await;
        let mut reached = match reached {
            Ok(reached) => reached,
            Err(Reason::ClientGone) => return Ending::ClientReset,
            Err(_) if state.is_cut() => return Ending::Cut,
            Err(reason) => return Ending::Failed(reason),
        };
        state.enter(Phase::Tunnel);
        keep_alive(&self.connection.stream, relay.keepalive);
        keep_alive(&reached.channel, relay.keepalive);
        let idle = relay.idle_timeout.unwrap_or(settings.config.timeouts.tunnel);
        let mut ending = relay::relay(self, &reached.channel, idle).await;
        let is_late = end.is_some_and(|end| runtime::now() >= end);
        if ending == Ending::IdleTimeout && is_late {
            ending = Ending::Timeout;
        }
        let latency = self.connected.unwrap_or_default();
        let lease = &mut reached.lease;
        if ending == Ending::ServerReset && self.bytes_out == 0 {
            // It took the connection, and gave it up without a word.
            lease.known().counters.failures.add(1);
            let kind = FailureKind::Reset;
            lease.judge(Outcome::Failure { latency, kind }, runtime::now());
        }
        reached.lease.finish(Outcome::Success { latency }, runtime::now());
        ending
    }

    /// Accounts for it.
    fn end(&self, ending: Ending) {
        let counters = &self.connection.worker.counters;
        counters.sessions.add(1);
        if !matches!(ending, Ending::Closed) {
            self.connection.stream.abort();
        }
        if let Ending::Failed(_) = ending {
            counters.failures.add(1);
        }
        line::record(self, ending, runtime::now());
    }
}

/// Peers that are gone without a word are noticed.
fn keep_alive(channel: &Channel, after: Duration) {
    if let Some(tcp) = channel.tcp()
        && after > Duration::ZERO
    {
        tcp.keep_alive(after);
    }
}
