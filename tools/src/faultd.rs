//! A backend whose misbehaviour is chosen by the path of each request, and which remembers every
//! request id and, if asked to, every byte.
//!
//! | path | what it does |
//! |---|---|
//! | `/echo` (and anything unknown) | repeats method, target and the digest of the body |
//! | `/bytes/N`, `/chunked/N/SIZE`, `/until-close/N` | N patterned bytes, framed so |
//! | `/status/CODE` | that status |
//! | `/delay/MS/…` | waits, then goes on with the rest of the path |
//! | `/close/…` | closes after the response; `/idle-close/MS/…`: that much later |
//! | `/reset`, `/eof` | ends without an answer |
//! | `/truncate/N/M` | announces N bytes, sends M, closes; `/reset-after/N/M` resets |
//! | `/early/CODE` | answers before reading the body, and closes |
//! | `/unread/…` | does the rest of the path before reading the body, and goes on |
//! | `/raw/HOW/THEN/HEX` | exactly these bytes: `whole`, in two pieces (`N`, split there) or in `bytes`; then `keep`, `close` or `reset` |
//! | `/hints/N/…` | N interim 103 first |
//! | `/two-lengths`, `/length-and-chunks`, `/bad-status`, `/bad-field`, `/garbage`, `/extra` | breaks a rule |
//! | `/never` | does not answer |
//! | `/cut/N`, `/cut-chunked/N` | a response of N bytes, ended somewhere before its last byte |
//! | `/drip/SIZE/MS/COUNT` | COUNT pieces of SIZE bytes, each MS after the one before |
//! | `/cold/MS/WARM/…` | waits MS, less and less until it has run for WARM ms; then the rest |
//! | `/socket` | for a WebSocket: one that repeats every frame |

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::message::{Digest, Head, Reader, pattern};
use crate::websocket;

/// How it behaves beside what paths say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Told in `x-backend`.
    pub name: String,
    /// Closes every kept connection, once it has served a request, after an idle time drawn between
    /// these two, in microseconds.
    pub idle_close: Option<(u64, u64)>,
    /// Keeps every byte of every connection.
    pub record: bool,
    /// A line for each request that was read to its end, written before it is answered, so that it
    /// outlives the process: microseconds since 1970, connection, method, id.
    pub log: Option<PathBuf>,
    /// Steps in front of every request's path; may change at any time.
    pub behaviour: Behaviour,
}

/// Steps in front of every request's path, like `delay/20`; empty at first.
#[derive(Clone, Debug, Default)]
pub struct Behaviour(Arc<Mutex<String>>);

impl Behaviour {
    /// From now on.
    pub fn set(&self, steps: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = steps.trim_matches('/').to_owned();
    }

    fn before(&self, path: &str) -> String {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.is_empty() { path.to_owned() } else { format!("/{steps}{path}") }
    }
}

/// A request that was read to its end.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection, from 0.
    pub connection: u64,
    /// Method, target and version.
    pub line: String,
    /// Its `X-Id`, if it had one.
    pub id: Option<String>,
    /// Digest of its body.
    pub digest: String,
    /// Bytes of its body.
    pub length: u64,
    /// All of it as received, if every byte is kept.
    pub raw: Vec<u8>,
}

#[derive(Default)]
struct Memory {
    requests: Mutex<Vec<Request>>,
    bytes: Mutex<HashMap<u64, Vec<u8>>>,
    connections: AtomicU64,
    count: AtomicU64,
    answered: AtomicU64,
    log: Option<File>,
    since: Option<Instant>,
}

/// A running backend.
#[derive(Clone)]
pub struct Faultd {
    /// Where it listens.
    pub address: SocketAddr,
    memory: Arc<Memory>,
}

impl Faultd {
    /// Listens on `address` and serves until the runtime ends.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let append = |path| File::options().create(true).append(true).open(path);
        let log = options.log.as_ref().map(append).transpose()?;
        let memory = Memory { log, since: Some(Instant::now()), ..Memory::default() };
        let faultd = Self { address: listener.local_addr()?, memory: Arc::new(memory) };
        let (memory, options) = (faultd.memory.clone(), Arc::new(options));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = memory.connections.fetch_add(1, Relaxed);
                tokio::spawn(converse(stream, number, options.clone(), memory.clone()));
            }
        });
        Ok(faultd)
    }

    /// Requests read to their end so far; only those kept are listed (the first 100,000).
    pub fn requests(&self) -> Vec<Request> {
        self.memory.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the list away; it begins anew.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.memory.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests were read to their end.
    pub fn count(&self) -> u64 {
        self.memory.count.load(Relaxed)
    }

    /// How many requests were answered to the last byte, or to the end of the connection.
    pub fn answered(&self) -> u64 {
        self.memory.answered.load(Relaxed)
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.memory.connections.load(Relaxed)
    }

    /// How often each id was read: none may appear twice unless its request was repeated.
    pub fn by_id(&self) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        for id in self.requests().into_iter().filter_map(|request| request.id) {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// Every byte received on a connection, if they are recorded.
    pub fn bytes(&self, connection: u64) -> Vec<u8> {
        let bytes = self.memory.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.get(&connection).cloned().unwrap_or_default()
    }
}

/// Requests kept in memory.
const KEPT_MAX: usize = 100_000;

/// What to do after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
    Reset,
}

async fn converse(stream: TcpStream, number: u64, options: Arc<Options>, memory: Arc<Memory>) {
    let _ = stream.set_nodelay(true);
    let mut reader = Reader::new(stream);
    reader.record = options.record.then(Vec::new);
    let mut chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut used = 0; // bytes of the requests before
    for turn in 0_u64.. {
        let idle_close = options.idle_close.filter(|_| turn > 0);
        let Some(head) = next_head(&mut reader, idle_close, &mut chance).await else { break };
        let target = head.word(1).to_owned();
        let path = options.behaviour.before(target.split('?').next().unwrap_or_default());
        let early = path.starts_with("/early/") || path.starts_with("/unread/");
        let mut digest = Digest::default();
        let mut length = 0;
        if !early {
            if head.lists("expect", "100-continue") {
                let _ = reader.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            let mut sink = |piece: &[u8]| {
                digest.add(piece);
                length += piece.len() as u64;
            };
            if reader.body(&head, false, &mut sink).await.is_err() {
                break;
            }
        }
        let pending = reader.pending().len();
        let received = reader.record.as_deref().unwrap_or_default();
        let end = received.len().saturating_sub(pending);
        let raw = received.get(used..end).unwrap_or_default().to_vec();
        used = end;
        remember(&memory, number, &head, digest, length, raw);
        if path == "/socket" && head.lists("upgrade", "websocket") {
            let _ = websocket::serve(&mut reader, &head).await;
            break;
        }
        let age = memory.since.map_or(Duration::ZERO, |since| since.elapsed());
        let answer = Answer { head: &head, digest, name: &options.name, age, chance: &mut chance };
        let then = answer.give(&mut reader.stream, &path).await;
        memory.answered.fetch_add(1, Relaxed);
        if then != Then::Keep || head.lists("connection", "close") {
            if then == Then::Reset {
                let _ = socket2::SockRef::from(&reader.stream).set_linger(Some(Duration::ZERO));
            }
            break;
        }
    }
    if let Some(bytes) = reader.record {
        memory.bytes.lock().unwrap_or_else(PoisonError::into_inner).insert(number, bytes);
    }
}

async fn next_head<S: AsyncRead + Unpin>(
    reader: &mut Reader<S>,
    idle_close: Option<(u64, u64)>,
    chance: &mut u64,
) -> Option<Head> {
    let Some((least, most)) = idle_close else { return reader.head().await.ok() };
    let wait = Duration::from_micros(least + draw(chance) % (most - least + 1));
    tokio::time::timeout(wait, reader.head()).await.ok()?.ok()
}

/// The next of a series that looks random (xorshift).
fn draw(chance: &mut u64) -> u64 {
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    *chance
}

fn remember(
    memory: &Memory,
    connection: u64,
    head: &Head,
    digest: Digest,
    length: u64,
    raw: Vec<u8>,
) {
    memory.count.fetch_add(1, Relaxed);
    if let Some(mut log) = memory.log.as_ref() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (method, id) = (head.word(0), head.field("x-id").unwrap_or("-"));
        // One write, so that lines of several processes do not mix.
        let _ =
            log.write_all(format!("{} {connection} {method} {id}\n", now.as_micros()).as_bytes());
    }
    let mut requests = memory.requests.lock().unwrap_or_else(PoisonError::into_inner);
    if requests.len() < KEPT_MAX {
        requests.push(Request {
            connection,
            line: head.line.clone(),
            id: head.field("x-id").map(str::to_owned),
            digest: digest.text(),
            length,
            raw,
        });
    }
}

struct Answer<'a> {
    head: &'a Head,
    digest: Digest,
    name: &'a str,
    age: Duration,
    chance: &'a mut u64,
}

impl Answer<'_> {
    /// Does what `path` says, one step after the other.
    async fn give(mut self, stream: &mut TcpStream, path: &str) -> Then {
        let words: Vec<&str> = path.split('/').skip(1).collect();
        let mut rest = words.as_slice();
        let mut then = Then::Keep;
        loop {
            match rest {
                ["delay", millis, more @ ..] => {
                    tokio::time::sleep(Duration::from_millis(number(millis))).await;
                    rest = more;
                }
                ["cold", millis, warm, more @ ..] => {
                    let left = 1.0 - self.age.as_secs_f64() * 1e3 / number(warm).max(1) as f64;
                    let wait = number(millis) as f64 * left.max(0.0);
                    tokio::time::sleep(Duration::from_secs_f64(wait / 1e3)).await;
                    rest = more;
                }
                ["close", more @ ..] => {
                    then = Then::Close;
                    rest = more;
                }
                ["idle-close", millis, more @ ..] => {
                    if self.finish(stream, more).await == Then::Keep {
                        tokio::time::sleep(Duration::from_millis(number(millis))).await;
                    }
                    return Then::Close;
                }
                ["hints", count, more @ ..] => {
                    for _ in 0..number(count) {
                        let _ = stream
                            .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                            .await;
                    }
                    rest = more;
                }
                ["unread", more @ ..] => rest = more,
                ["raw", how, after, hex] => return write_raw(stream, how, after, hex).await,
                _ => {
                    let ended = self.finish(stream, rest).await;
                    return if ended == Then::Keep { then } else { ended };
                }
            }
        }
    }

    async fn finish(&mut self, stream: &mut TcpStream, words: &[&str]) -> Then {
        if let ["drip", size, millis, count] = words {
            return self.drip(stream, number(size), number(millis), number(count)).await;
        }
        let fields = self.fields();
        let (text, then): (Vec<u8>, Then) = match words {
            ["bytes", n] => (self.exact(number(n), number(n)), Then::Keep),
            ["truncate", n, m] => (self.exact(number(n), number(m)), Then::Close),
            ["reset-after", n, m] => (self.exact(number(n), number(m)), Then::Reset),
            ["cut", n] => {
                let whole = self.exact(number(n), number(n));
                (self.cut(whole), Then::Close)
            }
            ["cut-chunked", n] => {
                let whole = self.chunked(number(n), 1000);
                (self.cut(whole), Then::Close)
            }
            ["chunked", n, size] => (self.chunked(number(n), number(size)), Then::Keep),
            ["until-close", n] => {
                let mut text = format!("HTTP/1.0 200 OK\r\n{fields}\r\n").into_bytes();
                text.extend(pattern(0, 0, number(n) as usize));
                (text, Then::Close)
            }
            ["status" | "early", code, ..] => {
                let then = if words.first() == Some(&"early") { Then::Close } else { Then::Keep };
                (
                    format!("HTTP/1.1 {code} Status\r\n{fields}Content-Length: 0\r\n\r\n")
                        .into_bytes(),
                    then,
                )
            }
            ["reset", ..] => (Vec::new(), Then::Reset),
            ["eof", ..] => (Vec::new(), Then::Close),
            ["two-lengths"] => {
                raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
            }
            ["length-and-chunks"] => raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            ["bad-status"] => raw("HTTP/1.1 20x OK\r\nContent-Length: 0\r\n\r\n"),
            ["bad-field"] => raw("HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 0\r\n\r\n"),
            ["garbage"] => raw("\0\u{1}\u{2}not http at all"),
            ["extra"] => raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
            ),
            ["never", ..] => std::future::pending().await,
            _ => {
                let body = format!("{} {}\n", self.head.word(0), self.head.word(1));
                (
                    format!(
                        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .into_bytes(),
                    Then::Keep,
                )
            }
        };
        match stream.write_all(&text).await {
            Ok(()) => then,
            Err(_) => Then::Close,
        }
    }

    /// Pieces of a body, one after the other.
    async fn drip(&self, stream: &mut TcpStream, size: u64, millis: u64, count: u64) -> Then {
        let text = self.exact(size * count, 0);
        let mut written = stream.write_all(&text).await;
        for turn in 0..count {
            if written.is_err() {
                return Then::Close;
            }
            tokio::time::sleep(Duration::from_millis(millis)).await;
            written = stream.write_all(&pattern(0, turn * size, size as usize)).await;
        }
        Then::Keep
    }

    /// A message without its end: at least a byte is there, at least one is missing.
    fn cut(&mut self, mut text: Vec<u8>) -> Vec<u8> {
        let places = (text.len() as u64).saturating_sub(1).max(1);
        text.truncate(1 + (draw(self.chance) % places) as usize);
        text
    }

    fn fields(&self) -> String {
        let mut text =
            format!("X-Backend: {}\r\nX-Body-Digest: {}\r\n", self.name, self.digest.text());
        if let Some(id) = self.head.field("x-id") {
            text.push_str(&format!("X-Id: {id}\r\n"));
        }
        text
    }

    fn exact(&self, announced: u64, sent: u64) -> Vec<u8> {
        let body = pattern(0, 0, sent as usize);
        let digest = digest_of(&pattern(0, 0, announced as usize));
        let fields = self.fields();
        let mut text = format!("HTTP/1.1 200 OK\r\n{fields}X-Content-Digest: {digest}\r\nContent-Length: {announced}\r\n\r\n").into_bytes();
        text.extend(body);
        text
    }

    fn chunked(&self, length: u64, size: u64) -> Vec<u8> {
        let body = pattern(0, 0, length as usize);
        let (fields, digest) = (self.fields(), digest_of(&body));
        let mut text = format!("HTTP/1.1 200 OK\r\n{fields}X-Content-Digest: {digest}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(size.max(1) as usize) {
            text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            text.extend(chunk);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\n");
        text
    }
}

/// Between two pieces, so that the peer reads them one by one; nothing tells when it has.
const PIECE_PAUSE: Duration = Duration::from_millis(1);

/// Writes bytes as they are, in the pieces that `how` says.
async fn write_raw(stream: &mut TcpStream, how: &str, after: &str, hex: &str) -> Then {
    let bytes = unhex(hex);
    let pieces: Vec<&[u8]> = match how {
        "whole" => vec![&bytes],
        "bytes" => bytes.chunks(1).collect(),
        at => {
            let (first, second) = bytes.split_at((number(at) as usize).min(bytes.len()));
            vec![first, second]
        }
    };
    for (turn, piece) in pieces.into_iter().enumerate() {
        if turn > 0 {
            tokio::time::sleep(PIECE_PAUSE).await;
        }
        if stream.write_all(piece).await.is_err() {
            return Then::Close;
        }
    }
    match after {
        "close" => Then::Close,
        "reset" => Then::Reset,
        _ => Then::Keep,
    }
}

/// Bytes from two digits each; what is no digit counts as 0.
fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0) as u8;
    let value = |pair: &[u8]| pair.iter().fold(0, |value, byte| value << 4 | digit(byte));
    hex.as_bytes().chunks(2).map(value).collect()
}

fn raw(text: &str) -> (Vec<u8>, Then) {
    (text.as_bytes().to_vec(), Then::Keep)
}

fn digest_of(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.add(bytes);
    digest.text()
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or(0)
}
