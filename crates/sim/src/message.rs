//! HTTP/1.1 as the people in a world speak it: written from RFC 9112, strict, and sharing nothing
//! with the proxy, so that a mistake of one shows against the other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_runtime::{self as runtime, ConnectOptions, TcpStream, Timer};

/// Why nothing more can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The other side has ended in order.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing came in time.
    TooLate,
    /// What came is not HTTP; why.
    Malformed(&'static str),
}

/// How long a message's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Exact(u64),
    Chunked,
    UntilClose,
}

/// A start line and its fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) minor: u8,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.fields.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    pub(crate) fn says_close(&self) -> bool {
        self.all("connection").any(|value| value.to_ascii_lowercase().contains("close"))
            || self.minor == 0
    }

    /// RFC 9112 §6.3, of a request.
    pub(crate) fn request_framing(&self) -> Result<Framing, Ending> {
        self.framing().map(|framing| framing.unwrap_or(Framing::Exact(0)))
    }

    /// RFC 9112 §6.3, of a response to a request with this method.
    pub(crate) fn response_framing(&self, method: &str) -> Result<Framing, Ending> {
        let stated = self.framing()?;
        if method == "HEAD" || self.status == 204 || self.status == 304 || self.status < 200 {
            return Ok(Framing::Exact(0));
        }
        Ok(stated.unwrap_or(Framing::UntilClose))
    }

    fn framing(&self) -> Result<Option<Framing>, Ending> {
        let mut codings = self.all("transfer-encoding");
        let mut lengths = self.all("content-length");
        match (codings.next(), lengths.next()) {
            (Some(_), Some(_)) => Err(Ending::Malformed("coding and length")),
            (Some("chunked"), None) if codings.next().is_none() => Ok(Some(Framing::Chunked)),
            (Some(_), None) => Err(Ending::Malformed("coding")),
            (None, Some(length)) if lengths.next().is_none() => {
                let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
                match length.parse() {
                    Ok(length) if digits => Ok(Some(Framing::Exact(length))),
                    _ => Err(Ending::Malformed("length")),
                }
            }
            (None, Some(_)) => Err(Ending::Malformed("lengths")),
            (None, None) => Ok(None),
        }
    }
}

/// One end of a conversation.
pub(crate) struct Peer {
    stream: TcpStream,
    timer: Timer,
    pub(crate) buffer: Vec<u8>,
    /// Takes what comes while it writes, or two that only write would wait for each other.
    pub(crate) listens: bool,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, timer: Timer::new(), buffer: Vec::new(), listens: false }
    }

    pub(crate) async fn connect(to: SocketAddr, patience: Duration) -> Option<Self> {
        let timer = Timer::new();
        timer.set(runtime::now() + patience);
        let options = ConnectOptions::default();
        let mut connecting = pin!(TcpStream::connect(to, &options));
        let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(connected) => Poll::Ready(connected.ok()),
            Poll::Pending => timer.poll_expired(cx).map(|()| None),
        });
        connected.await.map(Self::new)
    }

    pub(crate) fn end(&self) {
        let _ = self.stream.shutdown_write();
    }

    pub(crate) fn abort(&self) {
        self.stream.abort();
    }

    pub(crate) async fn write(&mut self, bytes: &[u8], until: Instant) -> Result<(), Ending> {
        self.timer.set(until);
        let mut left = bytes;
        let mut piece = [0; 4096];
        let mut listens = self.listens;
        poll_fn(|cx| {
            while !left.is_empty() {
                match self.stream.poll_write(cx, left) {
                    Poll::Ready(Ok(n)) => left = &left[n..],
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::Reset)),
                    Poll::Pending if !listens => {
                        return self.timer.poll_expired(cx).map(|()| Err(Ending::TooLate));
                    }
                    Poll::Pending => match self.stream.poll_read(cx, &mut piece) {
                        Poll::Ready(Ok(n)) if n > 0 => self.buffer.extend_from_slice(&piece[..n]),
                        Poll::Ready(_) => listens = false, // there will be no more to hear
                        Poll::Pending => {
                            return self.timer.poll_expired(cx).map(|()| Err(Ending::TooLate));
                        }
                    },
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads more into the buffer.
    pub(crate) async fn fill(&mut self, until: Instant) -> Result<(), Ending> {
        self.timer.set(until);
        let mut piece = [0; 4096];
        let Self { stream, timer, .. } = self;
        let read = poll_fn(|cx| match stream.poll_read(cx, &mut piece) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Ending::Closed)),
            Poll::Ready(Ok(n)) => Poll::Ready(Ok(n)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Ending::Reset)),
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(Ending::TooLate)),
        });
        let read = read.await?;
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(())
    }

    /// The next head, taken off the buffer. `Closed` with an empty buffer is an ordinary end.
    pub(crate) async fn head(&mut self, request: bool, until: Instant) -> Result<Head, Ending> {
        loop {
            if let Some((head, length)) = parse(&self.buffer, request)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.buffer.len() > 256 * 1024 {
                return Err(Ending::Malformed("endless head"));
            }
            self.fill(until).await?;
        }
    }

    /// The content, taken off the buffer; trailers are added to `trailers`.
    pub(crate) async fn content(
        &mut self,
        framing: Framing,
        trailers: &mut Vec<String>,
        until: Instant,
    ) -> Result<Vec<u8>, Ending> {
        match framing {
            Framing::Exact(length) => {
                while (self.buffer.len() as u64) < length {
                    self.fill(until).await?;
                }
                Ok(self.buffer.drain(..length as usize).collect())
            }
            Framing::UntilClose => loop {
                match self.fill(until).await {
                    Ok(()) => {}
                    Err(Ending::Closed) => return Ok(std::mem::take(&mut self.buffer)),
                    Err(ending) => return Err(ending),
                }
            },
            Framing::Chunked => self.chunks(trailers, until).await,
        }
    }

    /// RFC 9112 §7.1, to the letter.
    async fn chunks(
        &mut self,
        trailers: &mut Vec<String>,
        until: Instant,
    ) -> Result<Vec<u8>, Ending> {
        let mut content = Vec::new();
        loop {
            let line = self.line(until).await?;
            let size = line.split(';').next().unwrap_or_default();
            let hex = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
            let size = match u64::from_str_radix(size, 16) {
                Ok(size) if hex && size < 1 << 32 => size as usize,
                _ => return Err(Ending::Malformed("chunk size")),
            };
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                self.fill(until).await?;
            }
            content.extend(self.buffer.drain(..size));
            let end: Vec<u8> = self.buffer.drain(..2).collect();
            if end != b"\r\n" {
                return Err(Ending::Malformed("no line end after a chunk"));
            }
        }
        loop {
            let line = self.line(until).await?;
            if line.is_empty() {
                return Ok(content);
            }
            trailers.push(line);
        }
    }

    async fn line(&mut self, until: Instant) -> Result<String, Ending> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").ok_or(Ending::Malformed("bare LF"))?;
                let text = String::from_utf8_lossy(line).into_owned();
                return match text.contains('\r') {
                    true => Err(Ending::Malformed("bare CR")),
                    false => Ok(text),
                };
            }
            self.fill(until).await?;
        }
    }
}

/// A head at the start of `bytes`, and its length.
fn parse(bytes: &[u8], request: bool) -> Result<Option<(Head, usize)>, Ending> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = &bytes[..end + 4];
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let crlfs = text.windows(2).filter(|two| two == b"\r\n").count();
    let returns = text.iter().filter(|byte| **byte == b'\r').count();
    if lines != crlfs || returns != crlfs {
        return Err(Ending::Malformed("bare CR or LF"));
    }
    let mut space = [httparse::EMPTY_HEADER; 256];
    let mut head = Head::default();
    let fields = if request {
        let mut parsed = httparse::Request::new(&mut space);
        match parsed.parse(text) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Ending::Malformed("request head")),
        }
        head.method = parsed.method.unwrap_or_default().into();
        head.target = parsed.path.unwrap_or_default().into();
        head.minor = parsed.version.unwrap_or_default();
        parsed.headers
    } else {
        let mut parsed = httparse::Response::new(&mut space);
        match parsed.parse(text) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Ending::Malformed("response head")),
        }
        head.status = parsed.code.unwrap_or_default();
        head.minor = parsed.version.unwrap_or_default();
        parsed.headers
    };
    head.fields = fields
        .iter()
        .map(|f| (f.name.to_ascii_lowercase(), String::from_utf8_lossy(f.value).into_owned()))
        .collect();
    Ok(Some((head, end + 4)))
}

/// `content` in chunks of odd sizes.
pub(crate) fn in_chunks(content: &[u8], chance: &mut crate::chance::Chance) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = content;
    while !left.is_empty() {
        let take = (chance.within(1..3000) as usize).min(left.len());
        let (chunk, rest) = left.split_at(take);
        out.extend(format!("{take:x}\r\n").bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        left = rest;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
