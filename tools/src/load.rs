//! A load client that loses nothing silently: no retries, an id in every request, every body
//! checked, every outcome classified. With a rate it is an open loop: latency counts from the moment
//! at which a request was due, so a stalled server cannot hide behind clients that wait for it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::message::{Digest, Ending, Reader, pattern};
use crate::percentiles::Percentiles;

/// What to send, how much and how fast.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub address: SocketAddr,
    /// `Host`.
    pub host: String,
    /// Path and query; the id is added as a parameter.
    pub target: String,
    /// Method.
    pub method: String,
    /// Bytes of a patterned body; 0 sends none.
    pub body: usize,
    /// Connections.
    pub connections: usize,
    /// Requests a second over all connections; 0 is as fast as they are answered.
    pub rate: f64,
    /// Stop after this many requests.
    pub requests: u64,
    /// Stop after this time.
    pub duration: Duration,
    /// A new connection for each request.
    pub close: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether the response must repeat the id (in `x-id`).
    pub check_id: bool,
    /// In front of each id, so that those of several loads differ.
    pub tag: String,
    /// Field lines added to every request, each with its CRLF.
    pub fields: String,
}

impl Default for Load {
    /// GET as fast as answers come, until told to stop; ids are checked.
    fn default() -> Self {
        Self {
            address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 80),
            host: "test".into(),
            target: "/echo".into(),
            method: "GET".into(),
            body: 0,
            connections: 64,
            rate: 0.0,
            requests: u64::MAX,
            duration: Duration::MAX,
            close: false,
            timeout: Duration::from_secs(30),
            check_id: true,
            tag: String::new(),
            fields: String::new(),
        }
    }
}

/// Failures that are kept one by one.
const FAILURES_MAX: usize = 200;

/// A request that was not answered as it should be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it ended, from the start of the load.
    pub at: Duration,
    /// How.
    pub class: String,
    /// Its number.
    pub number: u64,
}

/// Length of a [`Slot`].
pub const SLOT: Duration = Duration::from_millis(100);

/// What ended within 100 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// Requests answered as they should be.
    pub ok: u64,
    /// All others.
    pub failed: u64,
    /// The longest latency of the former.
    pub worst: Duration,
}

/// What became of all requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// By class: `ok`, `refused`, `reset_before_byte`, `eof_before_byte`, `truncated`, `wrong_id`,
    /// `wrong_body`, `timeout`, `status_NNN`, …
    pub classes: BTreeMap<String, u64>,
    /// Connections the peer closed between requests: not a failure.
    pub closed_while_idle: u64,
    /// From the moment a request was due to its last byte.
    pub latency: Percentiles,
    /// From the start to the end.
    pub elapsed: Duration,
    /// Each tenth of a second from the start.
    pub slots: Vec<Slot>,
    /// The first failures.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Requests that were answered as they should be.
    pub fn ok(&self) -> u64 {
        self.classes.get("ok").copied().unwrap_or(0)
    }

    /// All others.
    pub fn failed(&self) -> u64 {
        self.classes.values().sum::<u64>() - self.ok()
    }

    /// All.
    pub fn sent(&self) -> u64 {
        self.classes.values().sum()
    }

    /// Adds what became of other requests.
    pub fn merge(&mut self, other: &Self) {
        for (class, n) in &other.classes {
            *self.classes.entry(class.clone()).or_default() += n;
        }
        self.closed_while_idle += other.closed_while_idle;
        self.latency.merge(&other.latency);
        self.elapsed = self.elapsed.max(other.elapsed);
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), Slot::default());
        }
        for (to, from) in self.slots.iter_mut().zip(&other.slots) {
            to.ok += from.ok;
            to.failed += from.failed;
            to.worst = to.worst.max(from.worst);
        }
        let room = FAILURES_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.iter().take(room).cloned());
    }

    fn record(&mut self, plan: &Plan, number: u64, due: Instant, class: String) {
        let at = plan.start.elapsed();
        let slot = (at.as_millis() / SLOT.as_millis()) as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Slot::default());
        }
        let is_ok = class == "ok";
        if let Some(slot) = self.slots.get_mut(slot) {
            if is_ok {
                slot.ok += 1;
                slot.worst = slot.worst.max(due.elapsed());
            } else {
                slot.failed += 1;
            }
        }
        if is_ok {
            self.latency.record(due.elapsed());
        } else {
            plan.failed.fetch_add(1, Relaxed);
            if self.failures.len() < FAILURES_MAX {
                self.failures.push(Failure { at, class: class.clone(), number });
            }
        }
        plan.ended.fetch_add(1, Relaxed);
        *self.classes.entry(class).or_default() += 1;
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let millis = |share: f64| self.latency.at(share).as_secs_f64() * 1e3;
        serde_json::json!({
            "ok": self.ok(),
            "failed": self.failed(),
            "classes": self.classes,
            "closed_while_idle": self.closed_while_idle,
            "seconds": self.elapsed.as_secs_f64(),
            "per_second": self.ok() as f64 / self.elapsed.as_secs_f64().max(1e-9),
            "latency_ms": {
                "p50": millis(0.5), "p90": millis(0.9), "p99": millis(0.99), "p99.9": millis(0.999),
                "max": self.latency.max().as_secs_f64() * 1e3,
            },
        })
    }
}

/// Requests are numbered over all connections.
struct Plan {
    load: Load,
    next: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    stopped: AtomicBool,
    start: Instant,
    bodies: Vec<(Vec<u8>, Digest)>,
}

/// Bodies that requests share in turn.
const BODIES: u64 = 16;

impl Plan {
    /// The next request's number and the moment it is due.
    fn take(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Relaxed);
        let due = match self.load.rate > 0.0 {
            true => self.start + Duration::from_secs_f64(number as f64 / self.load.rate),
            false => Instant::now(),
        };
        let ended = self.stopped.load(Relaxed)
            || number >= self.load.requests
            || due.duration_since(self.start) >= self.load.duration;
        (!ended).then_some((number, due))
    }
}

/// Runs a load to its end.
pub async fn run(load: Load) -> Outcome {
    Running::start(load).finish().await
}

/// A load under way.
pub struct Running {
    plan: Arc<Plan>,
    clients: Vec<JoinHandle<Outcome>>,
}

impl Running {
    /// Begins; within a tokio runtime.
    pub fn start(load: Load) -> Self {
        let connections = load.connections.max(1);
        let body = |seed| {
            let body = pattern(seed, 0, load.body);
            let mut digest = Digest::default();
            digest.add(&body);
            (body, digest)
        };
        let bodies = if load.body > 0 { (0..BODIES).map(body).collect() } else { Vec::new() };
        let plan = Arc::new(Plan {
            load,
            next: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            start: Instant::now(),
            bodies,
        });
        let clients = (0..connections).map(|_| tokio::spawn(client(plan.clone()))).collect();
        Self { plan, clients }
    }

    /// Requests that have ended so far.
    pub fn ended(&self) -> u64 {
        self.plan.ended.load(Relaxed)
    }

    /// Requests that have begun.
    pub fn begun(&self) -> u64 {
        self.plan.begun.load(Relaxed)
    }

    /// Requests that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.begun().saturating_sub(self.ended())
    }

    /// Those that ended and failed.
    pub fn failed(&self) -> u64 {
        self.plan.failed.load(Relaxed)
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.plan.start.elapsed()
    }

    /// No new requests; those under way end as they do.
    pub fn stop(&self) {
        self.plan.stopped.store(true, Relaxed);
    }

    /// Waits until all have ended.
    pub async fn finish(self) -> Outcome {
        let mut outcome = Outcome::default();
        for client in self.clients {
            match client.await {
                Ok(one) => outcome.merge(&one),
                Err(_) => *outcome.classes.entry("client_panicked".into()).or_default() += 1,
            }
        }
        outcome.elapsed = self.plan.start.elapsed();
        outcome
    }
}

async fn client(plan: Arc<Plan>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection: Option<Reader<TcpStream>> = None;
    while let Some((number, due)) = plan.take() {
        tokio::time::sleep_until(due.into()).await;
        plan.begun.fetch_add(1, Relaxed);
        if let Some(kept) = &connection
            && is_closed(&kept.stream)
        {
            outcome.closed_while_idle += 1;
            connection = None;
        }
        let one = exchange(&plan, number, &mut connection);
        let class = match tokio::time::timeout(plan.load.timeout, one).await {
            Ok(class) => class,
            Err(_) => {
                connection = None;
                "timeout".to_owned()
            }
        };
        outcome.record(&plan, number, due, class);
    }
    outcome
}

/// Whether the peer has closed a connection on which nothing is under way.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    match stream.try_read(&mut byte) {
        Ok(_) => true, // the end, or bytes nobody asked for
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// One request; the class of its outcome.
async fn exchange(plan: &Plan, number: u64, connection: &mut Option<Reader<TcpStream>>) -> String {
    let load = &plan.load;
    let mut reader = match connection.take() {
        Some(reader) => reader,
        None => match TcpStream::connect(load.address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                Reader::new(stream)
            }
            Err(error) => return format!("connect_{}", error.kind()).replace(' ', "_"),
        },
    };
    let id = format!("{}{:08x}-{number}", load.tag, load.address.port());
    let separator = if load.target.contains('?') { '&' } else { '?' };
    let mut request = format!(
        "{} {}{separator}id={id} HTTP/1.1\r\nHost: {}\r\nX-Id: {id}\r\n",
        load.method, load.target, load.host
    );
    if load.body > 0 || !matches!(load.method.as_str(), "GET" | "HEAD") {
        request.push_str(&format!("Content-Length: {}\r\n", load.body));
    }
    request.push_str(&load.fields);
    if load.close {
        request.push_str("Connection: close\r\n");
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    let mut sent = Digest::default();
    if let Some((body, digest)) = plan.bodies.get((number % BODIES) as usize) {
        sent = *digest;
        bytes.extend_from_slice(body);
    }
    // A server may answer and close before it has read everything: its answer counts.
    let _ = reader.stream.write_all(&bytes).await;
    let head = loop {
        match reader.head().await {
            Ok(head) if (100..200).contains(&head.status()) => {}
            Ok(head) => break head,
            Err(Ending::Malformed) => return "malformed".into(),
            Err(ending) => {
                let how = if ending == Ending::Reset { "reset" } else { "eof" };
                let part = if reader.pending().is_empty() { "before_byte" } else { "in_head" };
                return format!("{how}_{part}");
            }
        }
    };
    let mut received = Digest::default();
    let mut length = 0_u64;
    let mut sink = |piece: &[u8]| {
        received.add(piece);
        length += piece.len() as u64;
    };
    let has_body = load.method != "HEAD" && !matches!(head.status(), 204 | 304);
    if has_body && reader.body(&head, true, &mut sink).await.is_err() {
        return "truncated".into();
    }
    let persists = !load.close && !head.lists("connection", "close");
    if persists && reader.pending().is_empty() {
        *connection = Some(reader);
    }
    judge(load, &head, &id, sent, received)
}

fn judge(
    load: &Load,
    head: &crate::message::Head,
    id: &str,
    sent: Digest,
    received: Digest,
) -> String {
    match head.status() {
        200..300 => {}
        status => return format!("status_{status}"),
    }
    if load.check_id && head.field("x-id") != Some(id) {
        return "wrong_id".into();
    }
    if load.body > 0
        && let Some(digest) = head.field("x-body-digest")
        && digest != sent.text()
    {
        return "wrong_body".into();
    }
    if let Some(digest) = head.field("x-content-digest")
        && digest != received.text()
    {
        return "wrong_body".into();
    }
    "ok".into()
}
