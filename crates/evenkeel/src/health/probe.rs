//! One check of one server: where it goes, what it may take, and what came of it. What is done with
//! the result is decided elsewhere (`balancer::health`); each kind of check has a file of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_codec::proxy_protocol;
use evenkeel_config::model::{HealthCheck, Probe, ProxyProtocolVersion};
use evenkeel_proxy::tls::ClientTls;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::target::Target;
use super::tls::Tls;
use super::{command, grpc, http, tcp, udp};

/// Programs that run at a time, of all pools: each costs a process.
const COMMANDS_MAX: usize = 8;
/// Longest text of a server that a reason repeats, in characters.
const SHOWN_MAX: usize = 160;

/// What came of a check.
pub(super) type Probed = Result<(), Miss>;

/// Why a check was no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The server's fault: what was got instead of what was expected.
    Failed(String),
    /// Ours: the check could not be made, which says nothing about the server.
    NotMade(String),
}

/// Whom a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aim {
    /// Its pool's name.
    pub(super) pool: Arc<str>,
    /// The server as written: `app.internal:8080`.
    pub(super) server: Box<str>,
    /// Host name or address without the port, for `Host` and certificates.
    pub(super) host: Box<str>,
    /// Where the check goes, with its port; tried in turn until one takes a connection.
    pub(super) addresses: Arc<[SocketAddr]>,
    /// It expects a header of the PROXY protocol: the check says that it is nobody's.
    pub(super) header: Option<ProxyProtocolVersion>,
}

impl Aim {
    /// `host:port` of where the check goes, as a `Host` or `:authority` has it (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        let port = self.addresses.first().map_or(0, SocketAddr::port);
        match self.host.contains(':') {
            true => format!("[{}]:{port}", self.host),
            false => format!("{}:{port}", self.host),
        }
    }
}

/// What all checks of a process share.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) commands: Arc<Semaphore>,
}

impl Default for Shop {
    fn default() -> Self {
        Self { commands: Arc::new(Semaphore::new(COMMANDS_MAX)) }
    }
}

/// A check as configured, with what takes long to prepare.
pub(super) struct Prepared {
    pub(super) check: Arc<HealthCheck>,
    keys: Option<Arc<ClientTls>>,
    tls: Tls,
    shop: Shop,
}

impl Prepared {
    /// `keys` are those of the pool, if the check speaks TLS as the pool does.
    pub(super) fn new(check: Arc<HealthCheck>, keys: Option<Arc<ClientTls>>, shop: Shop) -> Self {
        let tls = match &check.probe {
            Probe::Http(http) => Tls::new(http.tls.as_ref(), b"http/1.1", keys.clone()),
            Probe::Grpc(grpc) => Tls::new(grpc.tls.as_ref(), b"h2", keys.clone()),
            Probe::Tcp(_) | Probe::Udp(_) | Probe::Command(_) => Tls::new(None, b"", None),
        };
        Self { check, keys, tls, shop }
    }

    /// Whether it is what this target is checked by.
    pub(super) fn is_for(&self, target: &Target) -> bool {
        let (keys, wanted) = (self.keys.as_ref(), target.keys.as_ref());
        *self.check == *target.check && keys.map(Arc::as_ptr) == wanted.map(Arc::as_ptr)
    }

    /// Makes the check; takes at most its timeout, plus the wait for a turn of a command.
    pub(super) async fn make(&self, aim: &Aim) -> Probed {
        if aim.addresses.is_empty() && !matches!(self.check.probe, Probe::Command(_)) {
            return Err(Miss::Failed(format!("`{}` has no address", aim.host)));
        }
        let limit = self.check.timeout;
        match &self.check.probe {
            Probe::Http(probe) => {
                let tls = self.tls.connector().await?;
                within(limit, "answer", http::probe(probe, tls, aim)).await
            }
            Probe::Grpc(probe) => {
                let tls = self.tls.connector().await?;
                within(limit, "answer", grpc::probe(probe, tls, aim)).await
            }
            Probe::Tcp(exchange) => within(limit, "answer", tcp::probe(exchange, aim)).await,
            Probe::Udp(exchange) => within(limit, "answer", udp::probe(exchange, aim)).await,
            Probe::Command(probe) => {
                let turn = self.shop.commands.acquire().await;
                let _turn = turn.map_err(|_| Miss::NotMade("the process ends".into()))?;
                command::probe(probe, aim, limit).await
            }
        }
    }
}

/// Slower is a failure.
async fn within(limit: Duration, what: &str, probe: impl Future<Output = Probed>) -> Probed {
    match tokio::time::timeout(limit, probe).await {
        Ok(probed) => probed,
        Err(_) => Err(late(limit, what)),
    }
}

/// The failure of a check that took too long.
pub(super) fn late(limit: Duration, what: &str) -> Miss {
    Miss::Failed(format!("no {what} within {limit:?}"))
}

/// A connection to the first address that takes one.
pub(super) async fn connect(aim: &Aim) -> Result<TcpStream, Miss> {
    let mut miss = Miss::Failed(format!("`{}` has no address", aim.host));
    for address in aim.addresses.iter() {
        match TcpStream::connect(*address).await {
            Ok(mut stream) => {
                let header = header(aim.header);
                stream.write_all(&header).await.map_err(|e| blame("cannot send", &e))?;
                return Ok(stream);
            }
            Err(error) => miss = blame("cannot connect", &error),
        }
    }
    Err(miss)
}

/// What a server is told that expects to be told whose a connection is.
fn header(version: Option<ProxyProtocolVersion>) -> Vec<u8> {
    let mut header = Vec::new();
    match version {
        None => {}
        Some(ProxyProtocolVersion::V1) => proxy_protocol::write_v1(&mut header, None),
        Some(ProxyProtocolVersion::V2) => {
            proxy_protocol::write_v2(&mut header, &proxy_protocol::Outgoing::default());
        }
    }
    header
}

/// Whose fault an error of a socket or process is.
pub(super) fn blame(what: &str, error: &io::Error) -> Miss {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, ConnectionRefused, ConnectionReset, OutOfMemory,
    };
    let text = match error.kind() {
        ConnectionRefused => "connection refused".into(),
        ConnectionReset => "connection reset".into(),
        _ => format!("{what}: {error}"),
    };
    let ours = matches!(error.kind(), AddrInUse | AddrNotAvailable | OutOfMemory);
    match ours || evenkeel_runtime::is_out_of_descriptors(error) {
        true => Miss::NotMade(text),
        false => Miss::Failed(text),
    }
}

/// What a server sent, short and on one line.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    for (n, c) in text.trim().chars().enumerate() {
        if n == SHOWN_MAX {
            shown.push('…');
            break;
        }
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
