//! A client that sends what it is told to, and waits for what comes of it. Owns one connection; its
//! reads have a limit of time, its writes do not block for ever.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{
    Frame, PREFACE, code, flag, headers, kind, ping, setting, settings, settings_ack, status,
};

/// How long an answer may take, unless said otherwise: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sent to learn that all before it has been looked at.
const MARK: [u8; 8] = *b"settled?";

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A frame.
    Frame(Frame),
    /// The server closed, or reset the connection.
    Closed,
    /// Nothing, in time.
    Silence,
}

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It lives: a PING was answered.
    Alive,
    /// GOAWAY with this code.
    Goaway(u32),
    /// Closed without a word.
    Closed,
    /// No answer, in time.
    Silence,
}

/// See the module's head.
pub struct Client<S = TcpStream> {
    /// What it writes to and reads from.
    pub stream: S,
    read: VecDeque<u8>,
    /// How long an answer may take.
    pub patience: Duration,
    /// All frames that came, in order.
    pub seen: Vec<Frame>,
    next: u32,
}

impl Client {
    /// Connects, and sends nothing.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self::over(stream))
    }

    /// Connects, and exchanges SETTINGS: `own`, and that no dynamic table is wanted.
    ///
    /// # Errors
    /// When there is no connection, or what answers speaks no HTTP/2.
    pub fn open(address: SocketAddr, own: &[(u16, u32)]) -> io::Result<Self> {
        let mut client = Self::connect(address)?;
        client.shake_hands(own)?;
        Ok(client)
    }
}

impl<S: Read + Write> Client<S> {
    /// Over a stream whose reads end with a time-out soon.
    pub fn over(stream: S) -> Self {
        Self { stream, read: VecDeque::new(), patience: PATIENCE, seen: Vec::new(), next: 1 }
    }

    /// See [`Client::open`].
    ///
    /// # Errors
    /// When what answers speaks no HTTP/2.
    pub fn shake_hands(&mut self, own: &[(u16, u32)]) -> io::Result<()> {
        let mut all = vec![(setting::HEADER_TABLE_SIZE, 0)];
        all.extend_from_slice(own);
        self.send(&[PREFACE, &settings(&all)].concat());
        let (mut told, mut acknowledged) = (false, false);
        while !told || !acknowledged {
            match self.receive() {
                Answer::Frame(frame) if frame.kind == kind::SETTINGS => {
                    if frame.has(flag::ACK) {
                        acknowledged = true;
                    } else {
                        told = true;
                        self.send(&settings_ack());
                    }
                }
                Answer::Frame(frame) if frame.kind != kind::GOAWAY => {}
                other => return Err(io::Error::other(format!("no SETTINGS: {other:?}"))),
            }
        }
        Ok(())
    }

    /// The next stream of this client's.
    pub fn new_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request without content; its stream.
    pub fn request(&mut self, block: &[u8]) -> u32 {
        let stream = self.new_stream();
        self.send(&headers(stream, true, block));
        stream
    }

    /// Sends a request whose content is to come; its stream.
    pub fn begin(&mut self, block: &[u8]) -> u32 {
        let stream = self.new_stream();
        self.send(&headers(stream, false, block));
        stream
    }

    /// Sends bytes; whether the connection took them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// What comes next.
    pub fn receive(&mut self) -> Answer {
        let deadline = Instant::now() + self.patience;
        self.receive_until(deadline)
    }

    /// What comes next, until then.
    pub fn receive_until(&mut self, deadline: Instant) -> Answer {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if let Some(frame) = self.parse() {
                self.seen.push(frame.clone());
                return Answer::Frame(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Answer::Closed,
                Ok(n) => self.read.extend(buffer.get(..n).unwrap_or_default()),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                        if Instant::now() >= deadline {
                            return Answer::Silence;
                        }
                    }
                    _ => return Answer::Closed,
                },
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let byte = |at: usize| self.read.get(at).copied();
        let number = |from: usize, length: usize| {
            (from..from + length).try_fold(0_u32, |all, at| Some(all << 8 | u32::from(byte(at)?)))
        };
        let (length, kind, flags, stream) = (number(0, 3)?, byte(3)?, byte(4)?, number(5, 4)?);
        let whole = 9 + length as usize;
        if self.read.len() < whole {
            return None;
        }
        let payload = self.read.drain(..whole).skip(9).collect();
        Some(Frame { kind, flags, stream: stream & 0x7fff_ffff, payload })
    }

    /// The first frame that fits, until the connection ends or nothing comes.
    pub fn until(&mut self, mut fits: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.receive_until(deadline) {
                Answer::Frame(frame) if fits(&frame) => return Some(frame),
                Answer::Frame(_) => {}
                Answer::Closed | Answer::Silence => return None,
            }
        }
    }

    /// The status of the final answer on a stream, once the stream has ended; else how it ended.
    ///
    /// # Errors
    /// The frame that ended it, if any.
    pub fn answer(&mut self, stream: u32) -> Result<(u16, Vec<u8>), Option<Frame>> {
        let (mut found, mut body) = (None, Vec::new());
        let ended = self.until(|frame| {
            let here = frame.stream == stream;
            match frame.kind {
                kind::GOAWAY => frame.code() != Some(code::NO_ERROR),
                kind::RST_STREAM => here,
                kind::HEADERS if here => {
                    found = status(&frame.payload).filter(|status| *status >= 200).or(found);
                    frame.has(flag::END_STREAM)
                }
                kind::DATA if here => {
                    body.extend_from_slice(&frame.payload);
                    frame.has(flag::END_STREAM)
                }
                _ => false,
            }
        });
        match (ended, found) {
            (Some(frame), Some(status))
                if frame.has(flag::END_STREAM) && frame.code().is_none() =>
            {
                Ok((status, body))
            }
            (ended, _) => Err(ended),
        }
    }

    /// Whether the connection lives, once all that was sent so far has been looked at; frames that
    /// come first are kept in `seen`.
    pub fn settle(&mut self) -> Settled {
        self.send(&ping(MARK));
        let deadline = Instant::now() + self.patience;
        loop {
            match self.receive_until(deadline) {
                Answer::Frame(frame) => match frame.kind {
                    kind::PING if frame.has(flag::ACK) && frame.payload == MARK => {
                        return Settled::Alive;
                    }
                    kind::GOAWAY if frame.code() != Some(code::NO_ERROR) => {
                        return Settled::Goaway(frame.code().unwrap_or_default());
                    }
                    _ => {}
                },
                Answer::Closed => return Settled::Closed,
                Answer::Silence => return Settled::Silence,
            }
        }
    }

    /// The code with which a stream was reset, as far as was seen.
    pub fn was_reset(&self, stream: u32) -> Option<u32> {
        let resets = |frame: &&Frame| frame.kind == kind::RST_STREAM && frame.stream == stream;
        self.seen.iter().find(resets).and_then(Frame::code)
    }

    /// Whether a stream's answer has ended, as far as was seen.
    pub fn was_answered(&self, stream: u32) -> bool {
        let is_message = |frame: &Frame| matches!(frame.kind, kind::DATA | kind::HEADERS);
        let ends = |frame: &Frame| is_message(frame) && frame.has(flag::END_STREAM);
        self.seen.iter().any(|frame| frame.stream == stream && ends(frame))
    }
}
