//! What end-to-end tests need: the real binary with a configuration, a scripted backend, a raw
//! client. Everything on real sockets; every wait is for an event and has a limit.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

pub mod admin;
pub mod authority;
pub mod h2;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No wait of a test is longer. Nothing takes nearly as long, but where a machine is slow and does
/// much else.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The binary under test, running.
pub struct Proxy {
    child: Child,
    pub addresses: Vec<SocketAddr>,
    lines: Arc<Mutex<Vec<String>>>,
    output: Arc<Mutex<Vec<String>>>,
    directory: Directory,
}

/// A directory that goes away.
pub struct Directory(pub std::path::PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("evenkeel-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Proxy {
    /// Starts with this configuration and waits until it listens.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    pub fn start_with(config: &str, arguments: &[&str]) -> Self {
        let directory = Directory::new();
        let file = directory.0.join("evenkeel.yaml");
        std::fs::write(&file, with_admin(config, &directory.0)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(["run", "-c"])
            .arg(&file)
            .args(arguments)
            .current_dir(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = collect(child.stderr.take().unwrap());
        let output = collect(child.stdout.take().unwrap());
        let mut proxy = Self { child, addresses: Vec::new(), lines, output, directory };
        let before_admin = config.split("\nadmin:").next().unwrap_or_default();
        let listeners = before_admin.matches("bind:").count();
        wait_for("the proxy to listen", || {
            proxy.addresses = proxy.log().iter().filter_map(|line| listening(line)).collect();
            if let Ok(Some(status)) = proxy.child.try_wait() {
                panic!("the proxy ended with {status}: {:#?}", proxy.log());
            }
            proxy.addresses.len() >= listeners
        });
        proxy
    }

    /// Replaces the configuration's file, in one step.
    pub fn write(&self, config: &str) {
        let next = self.directory.0.join("evenkeel.yaml.next");
        std::fs::write(&next, with_admin(config, &self.directory.0)).unwrap();
        std::fs::rename(next, self.directory.0.join("evenkeel.yaml")).unwrap();
    }

    /// Has another configuration taken over, or refused; what the log says about it.
    pub fn reload(&self, config: &str) -> String {
        let is_answer = |line: &&String| {
            ["changed: ", "nothing changed", "refused: "].iter().any(|word| line.contains(word))
        };
        let before = self.log().iter().filter(is_answer).count();
        self.write(config);
        self.signal("-HUP");
        let mut said = None;
        wait_for("the reload to be done", || {
            said = self.log().iter().filter(is_answer).nth(before).cloned();
            said.is_some()
        });
        said.unwrap()
    }

    /// The directory it runs in; its configuration is `evenkeel.yaml`.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory.0
    }

    /// Where its admin API is, unless the configuration says so itself.
    pub fn admin_socket(&self) -> std::path::PathBuf {
        self.directory.0.join("admin.sock")
    }

    /// The configuration's file.
    pub fn file(&self) -> std::path::PathBuf {
        self.directory.0.join("evenkeel.yaml")
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> Client {
        Client::connect(self.addresses[0])
    }

    /// One request on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client.response()
    }

    /// One request, given whole.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// Lines of the process log so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Lines on standard output so far.
    pub fn output(&self) -> Vec<String> {
        self.output.lock().unwrap().clone()
    }

    /// Bytes of memory that the process has for itself: pages of its binary that are read for the
    /// first time are no growth.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let mut status = None;
        wait_for("the proxy to end", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("process log: {:#?}", self.log());
        }
    }
}

pub fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let to = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    });
    lines
}

fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let (_, rest) = rest.split_once("://")?;
    let end =
        rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Waits for an event by looking every few milliseconds, within [`LIMIT`].
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// What a backend stands still at until the test goes on: where two things must overlap, one waits
/// for the other instead of taking long.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Until it is opened.
    pub fn pass(&self) {
        wait_for("the gate", || self.is_open());
    }
}

/// A raw client.
pub struct Client {
    pub stream: TcpStream,
    pending: Vec<u8>,
}

/// A response as received.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Trailer section, if the body was chunked and had one.
    pub trailers: String,
    /// The body ended as its framing said.
    pub complete: bool,
}

impl Response {
    /// The value of a field, if there is exactly one of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "several {name}: {values:?}");
        values.first().copied()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        field_values(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> &str {
        self.field("x-evenkeel-reason").unwrap_or_default()
    }
}

/// Values of the field lines of this name, in any case.
pub fn field_values<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, pending: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the peer will take; it may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next response, interim ones included.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    pub fn response_to(&mut self, method: &str) -> Response {
        let head = self.head().expect("a response head");
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let mut response =
            Response { status, head, body: Vec::new(), trailers: String::new(), complete: true };
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return response;
        }
        if response.field("transfer-encoding").is_some() {
            response.complete = self.chunks(&mut response);
        } else if let Some(length) = response.field("content-length") {
            let length = length.parse().unwrap();
            while self.pending.len() < length && self.fill() {}
            response.complete = self.pending.len() >= length;
            response.body = self.take(length);
        } else {
            while self.fill() {}
            response.body = std::mem::take(&mut self.pending);
        }
        response
    }

    fn chunks(&mut self, response: &mut Response) -> bool {
        loop {
            let Some(line) = self.line() else { return false };
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            while self.pending.len() < size + 2 && self.fill() {}
            if self.pending.len() < size + 2 {
                return false;
            }
            response.body.extend(self.take(size));
            assert_eq!(self.take(2), b"\r\n", "a chunk's end");
        }
        loop {
            match self.line() {
                None => return false,
                Some(line) if line == "\r\n" => return true,
                Some(line) => response.trailers.push_str(&line),
            }
        }
    }

    fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                return Some(String::from_utf8_lossy(&self.take(at + 4)).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.pending.iter().position(|b| *b == b'\n') {
                return Some(String::from_utf8_lossy(&self.take(at + 1)).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let n = n.min(self.pending.len());
        self.pending.drain(..n).collect()
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.pending.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }

    /// Exactly `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.pending.len() < n && self.fill() {}
        self.take(n)
    }

    /// The peer closes without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        let begun = Instant::now();
        let rest = self.rest();
        assert!(begun.elapsed() < LIMIT, "waited in vain for a close");
        rest.is_empty()
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.pending)
    }
}

/// A request as a backend received it.
#[derive(Clone, Debug)]
pub struct Received {
    pub head: String,
    pub body: Vec<u8>,
    /// Bytes of head and body as they were on the wire.
    pub raw: Vec<u8>,
    /// Which of the backend's connections, from 0.
    pub connection: usize,
    /// Which request of that connection, from 0.
    pub turn: usize,
}

impl Received {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let values = field_values(&self.head, name);
        assert!(values.len() <= 1, "several {name}: {values:?}");
        values.first().copied()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        field_values(&self.head, name)
    }
}

/// What a scripted backend does with a connection after a request.
pub enum Then {
    Keep,
    Close,
    Reset,
}

type Script = dyn Fn(&Received, &mut TcpStream) -> Then + Send + Sync;

/// A backend that does what a closure says, and remembers every request.
pub struct Backend {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    raw: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Backend {
    /// Answers every request with 200 and its own name.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |_, stream| {
            reply(
                stream,
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Backend: {name}\r\n\r\n{name}",
                    name.len()
                ),
            );
            Then::Keep
        })
    }

    /// Answers every request with these bytes.
    pub fn replying(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |_, stream| {
            reply(stream, &response);
            Then::Keep
        })
    }

    pub fn start(
        script: impl Fn(&Received, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::run(TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(script), true)
    }

    /// As [`Self::start`], on a socket that is bound already.
    pub fn on(
        listener: TcpListener,
        script: impl Fn(&Received, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::run(listener, Arc::new(script), true)
    }

    /// As [`Self::start`], but the script runs as soon as the head is there; it reads the body
    /// itself if it wants it.
    pub fn on_head(
        script: impl Fn(&Received, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        Self::run(TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(script), false)
    }

    fn run(listener: TcpListener, script: Arc<Script>, with_body: bool) -> Self {
        let backend = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            connections: Arc::default(),
            raw: Arc::default(),
        };
        let (received, connections, raw) =
            (backend.received.clone(), backend.connections.clone(), backend.raw.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                raw.lock().unwrap().push(Vec::new());
                let (script, received, raw) = (script.clone(), received.clone(), raw.clone());
                std::thread::spawn(move || {
                    converse(stream, number, &*script, &received, &raw, with_body)
                });
            }
        });
        backend
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// The one request it received.
    pub fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received[0].clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Every byte received on a connection.
    pub fn raw(&self, connection: usize) -> Vec<u8> {
        self.raw.lock().unwrap().get(connection).cloned().unwrap_or_default()
    }
}

pub fn reply(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

fn converse(
    mut stream: TcpStream,
    connection: usize,
    script: &Script,
    received: &Mutex<Vec<Received>>,
    raw: &Mutex<Vec<Vec<u8>>>,
    with_body: bool,
) {
    stream.set_read_timeout(Some(LIMIT * 3)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut pending = Vec::new();
    for turn in 0.. {
        let mut fill = |pending: &mut Vec<u8>| {
            let mut buffer = [0; 64 * 1024];
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => false,
                Ok(read) => {
                    pending.extend_from_slice(&buffer[..read]);
                    raw.lock().unwrap()[connection].extend_from_slice(&buffer[..read]);
                    true
                }
            }
        };
        let end = loop {
            if let Some(at) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !fill(&mut pending) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&pending[..end]).into_owned();
        let mut request = Received { head, body: Vec::new(), raw: Vec::new(), connection, turn };
        let mut used = end;
        if with_body {
            match body_end(&request, &mut pending, end, &mut fill) {
                Some((body, at)) => (request.body, used) = (body, at),
                None => return,
            }
        }
        request.raw = pending.drain(..used).collect();
        received.lock().unwrap().push(request.clone());
        match script(&request, &mut stream) {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                reset(&stream);
                return;
            }
        }
    }
}

fn body_end(
    request: &Received,
    pending: &mut Vec<u8>,
    start: usize,
    fill: &mut impl FnMut(&mut Vec<u8>) -> bool,
) -> Option<(Vec<u8>, usize)> {
    if let Some(length) = request.field("content-length") {
        let length: usize = length.parse().unwrap();
        while pending.len() < start + length {
            if !fill(pending) {
                return None;
            }
        }
        return Some((pending[start..start + length].to_vec(), start + length));
    }
    if request.field("transfer-encoding").is_none() {
        return Some((Vec::new(), start));
    }
    let (mut body, mut at) = (Vec::new(), start);
    loop {
        let line_end = loop {
            if let Some(n) = pending[at..].windows(2).position(|w| w == b"\r\n") {
                break at + n;
            }
            if !fill(pending) {
                return None;
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&pending[at..line_end]).unwrap(), 16)
            .unwrap();
        at = line_end + 2;
        if size == 0 {
            loop {
                if let Some(n) = pending[at..].windows(2).position(|w| w == b"\r\n") {
                    at += n + 2;
                    if n == 0 {
                        return Some((body, at));
                    }
                } else if !fill(pending) {
                    return None;
                }
            }
        }
        while pending.len() < at + size + 2 {
            if !fill(pending) {
                return None;
            }
        }
        body.extend_from_slice(&pending[at..at + size]);
        at += size + 2;
    }
}

/// Closes with a reset.
pub fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Processes of tests must not fight over the default place of the admin API.
fn with_admin(config: &str, directory: &std::path::Path) -> String {
    match config.lines().any(|line| line.starts_with("admin:")) || config.trim().starts_with('{') {
        true => config.to_owned(),
        false => {
            let socket = directory.join("admin.sock");
            format!("{}\nadmin: {{ bind: \"unix:{}\" }}\n", config.trim_end(), socket.display())
        }
    }
}

/// A configuration with one listener and one pool.
pub fn simple(backends: &[&Backend]) -> String {
    with_pool(backends, "")
}

/// As [`simple`], with more lines for the pool (indented by four).
pub fn with_pool(backends: &[&Backend], pool: &str) -> String {
    let servers: Vec<String> = backends.iter().map(|b| b.address.to_string()).collect();
    format!(
        "listeners:\n  web:\n    bind: 127.0.0.1:0\nroutes:\n  - to: app\npools:\n  app:\n    servers: [{}]\n{pool}",
        servers.join(", ")
    )
}

/// As [`simple`], with more lines for the listener (indented by four).
pub fn with_listener(backends: &[&Backend], listener: &str) -> String {
    simple(backends).replace("bind: 127.0.0.1:0\n", &format!("bind: 127.0.0.1:0\n{listener}"))
}
