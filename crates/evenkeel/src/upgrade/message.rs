//! What the two processes of an upgrade say to each other, and how: frames of JSON with sockets
//! attached, over a Unix stream, each with a deadline. Owns the words, not who says them when.
//!
//! A frame is `EVKL`, the length of its JSON and the number of its descriptors (big-endian `u32`
//! each), then the JSON. Fields a process does not know are ignored and missing ones have a default,
//! so that versions may differ; [`PROTOCOL`] changes only when that is not enough.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use evenkeel_runtime::{self as runtime, descriptors};
use serde::{Deserialize, Serialize};

/// The version of the words and their order; also the value of the environment variable that makes
/// a process a successor.
pub(crate) const PROTOCOL: u32 = 1;

const MAGIC: [u8; 4] = *b"EVKL";
const HEAD: usize = 12;
/// Bytes of one frame: far above what 10,000 changes by API and their history come to.
const FRAME_MAX: usize = 64 << 20;
/// Sockets in one hand-over: 1,000 addresses of 64 workers.
pub(crate) const SOCKETS_MAX: usize = 65_536;
/// Read at a time; memory grows with what has arrived, not with what was announced.
const CHUNK: usize = 64 * 1024;
/// How long a read waits before the caller's other worries are looked at.
const SLICE: Duration = Duration::from_millis(20);

/// A word of the hand-over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(super) enum Message {
    /// The new process: I am one that can take over.
    Hello { protocol: u32, version: String, pid: u32 },
    /// The old process: this is all there is; the sockets follow.
    Manifest(Box<Manifest>),
    /// The old process: the next sockets of the manifest, attached.
    Sockets,
    /// The new process: I could serve this moment; I accept nothing yet.
    Ready { adopted: usize },
    /// The new process: I cannot, and end.
    Refused { why: String },
    /// The old process: accept, as I do.
    Serve,
    /// The new process: I accept.
    Serving,
    /// The old process: it is yours; I drain.
    Yours,
    /// The new process: I do not stay, but finish what I accepted.
    Leaving { why: String },
}

impl Message {
    /// Its name, for the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Manifest(_) => "manifest",
            Self::Sockets => "sockets",
            Self::Ready { .. } => "ready",
            Self::Refused { .. } => "refused",
            Self::Serve => "serve",
            Self::Serving => "serving",
            Self::Yours => "yours",
            Self::Leaving { .. } => "leaving",
        }
    }
}

/// Everything the new process gets beside the sockets themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Manifest {
    /// Of the old process.
    pub(crate) version: String,
    /// Of the old process.
    pub(crate) pid: u32,
    /// How long it waits for the new one to serve, in milliseconds.
    pub(crate) patience_ms: u64,
    /// In the order in which they are attached.
    pub(crate) sockets: Vec<SocketEntry>,
    /// With what clients are bound to servers where no key is configured.
    pub(crate) sticky_key: Hidden,
    /// What the control plane knows beyond its files; its own business.
    pub(crate) carried: serde_json::Value,
}

/// Bytes that are never shown.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) Vec<u8>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketEntry {
    /// The listener's name.
    pub(crate) listener: String,
    /// Where it listens, as configured: port 0 stays 0.
    pub(crate) bind: String,
    /// The worker that accepted from it.
    #[serde(default)]
    pub(crate) worker: usize,
    /// It is for QUIC, over UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quic: Option<UdpPlace>,
}

/// Which of the UDP sockets of an address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UdpPlace {
    /// Among all, in the order in which they were bound.
    pub(crate) place: usize,
    /// The set that the old process reads.
    pub(crate) set: usize,
}

/// Why nothing was heard, or could be said.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The other end is closed: its process has ended.
    Closed,
    /// The deadline has passed.
    Silent,
    /// These are not our words.
    Garbage(String),
    /// The kernel refuses.
    Io(io::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("it closed the connection"),
            Self::Silent => f.write_str("it said nothing in time"),
            Self::Garbage(what) => write!(f, "it does not speak the language of upgrades: {what}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            io::ErrorKind::InvalidData => Self::Garbage(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// One end of the conversation.
pub(super) struct Line {
    stream: UnixStream,
    /// What has arrived of the next frame.
    partial: Vec<u8>,
    carried: Vec<OwnedFd>,
}

impl Line {
    /// Speaks over `stream`, which blocks.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(SLICE))?;
        Ok(Self { stream, partial: Vec::new(), carried: Vec::new() })
    }

    /// For saying something on another thread while this one is being listened to.
    pub(super) fn second_voice(&self) -> io::Result<Self> {
        Self::new(self.stream.try_clone()?)
    }

    /// Says `message`, with these descriptors attached, until a deadline.
    pub(super) fn say(
        &self,
        message: &Message,
        attached: &[BorrowedFd<'_>],
        until: Instant,
    ) -> Result<(), Trouble> {
        let json = serde_json::to_vec(message).map_err(|e| Trouble::Garbage(e.to_string()))?;
        if json.len() > FRAME_MAX {
            return Err(Trouble::Garbage(format!("{} bytes are too many", json.len())));
        }
        let mut frame = Vec::with_capacity(HEAD + json.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&(json.len() as u32).to_be_bytes());
        frame.extend_from_slice(&(attached.len() as u32).to_be_bytes());
        frame.extend_from_slice(&json);
        let mut attached = attached;
        // In pieces, so that the deadline holds for a receiver that reads a little now and then.
        for piece in frame.chunks(CHUNK) {
            let left = until.saturating_duration_since(runtime::now());
            if left.is_zero() {
                return Err(Trouble::Silent);
            }
            self.stream.set_write_timeout(Some(left))?;
            descriptors::send(&self.stream, piece, attached)?;
            attached = &[];
        }
        Ok(())
    }

    /// Says something that is no message.
    #[cfg(feature = "fault-injection")]
    pub(super) fn say_raw(&self, bytes: &[u8]) {
        let _ = descriptors::send(&self.stream, bytes, &[]);
    }

    /// The next message if it arrives within a few milliseconds; what has arrived is kept.
    pub(super) fn hear_a_little(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, Trouble> {
        loop {
            let wanted = match frame_length(&self.partial)? {
                None => HEAD,
                Some((json, count)) if self.partial.len() == HEAD + json => {
                    return self.take(count).map(Some);
                }
                Some((json, _)) => HEAD + json,
            };
            let mut buffer = [0; CHUNK];
            let missing = wanted.saturating_sub(self.partial.len()).min(CHUNK);
            let room = buffer.get_mut(..missing).unwrap_or_default();
            match descriptors::receive(&self.stream, room, &mut self.carried) {
                Ok(0) => return Err(Trouble::Closed),
                Ok(got) => self.partial.extend_from_slice(room.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if self.carried.len() > descriptors::PER_MESSAGE_MAX {
                return Err(Trouble::Garbage("more sockets than announced".into()));
            }
        }
    }

    /// The next message, until a deadline.
    pub(super) fn hear(&mut self, until: Instant) -> Result<(Message, Vec<OwnedFd>), Trouble> {
        loop {
            if let Some(heard) = self.hear_a_little()? {
                return Ok(heard);
            }
            if runtime::now() >= until {
                return Err(Trouble::Silent);
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<(Message, Vec<OwnedFd>), Trouble> {
        let carried = std::mem::take(&mut self.carried);
        let frame = std::mem::take(&mut self.partial);
        if carried.len() != count {
            let got = carried.len();
            return Err(Trouble::Garbage(format!("{count} sockets announced, {got} came")));
        }
        let json = frame.get(HEAD..).unwrap_or_default();
        let message = serde_json::from_slice(json).map_err(|e| Trouble::Garbage(e.to_string()))?;
        Ok((message, carried))
    }
}

/// Lengths a frame's head announces; `None` while the head is incomplete.
fn frame_length(frame: &[u8]) -> Result<Option<(usize, usize)>, Trouble> {
    let magic = frame.get(..MAGIC.len().min(frame.len())).unwrap_or_default();
    if !MAGIC.starts_with(magic) {
        let shown = String::from_utf8_lossy(magic).escape_debug().to_string();
        return Err(Trouble::Garbage(format!("it began with `{shown}`")));
    }
    let number = |at: usize| {
        let bytes = frame.get(at..at.saturating_add(4))?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    let (Some(length), Some(count)) = (number(4), number(8)) else { return Ok(None) };
    if length > FRAME_MAX || count > descriptors::PER_MESSAGE_MAX {
        let message = format!("a frame of {length} bytes with {count} sockets");
        return Err(Trouble::Garbage(message));
    }
    Ok(Some((length, count)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (Line, Line) {
        let (a, b) = UnixStream::pair().unwrap();
        (Line::new(a).unwrap(), Line::new(b).unwrap())
    }

    fn soon() -> Instant {
        runtime::now() + Duration::from_secs(5)
    }

    #[test]
    fn a_message_arrives_as_it_was_said_whatever_its_size() {
        let (a, mut b) = pair();
        let manifest = Manifest { version: "x".repeat(3 << 20), pid: 7, ..Manifest::default() };
        let said = std::thread::spawn(move || {
            a.say(&Message::Manifest(Box::new(manifest)), &[], soon()).map(|()| a)
        });
        let (Message::Manifest(heard), carried) = b.hear(soon()).unwrap() else { panic!() };
        assert_eq!((heard.version.len(), heard.pid, carried.len()), (3 << 20, 7, 0));
        drop(said.join().unwrap());
        assert!(matches!(b.hear(soon()), Err(Trouble::Closed)));
    }

    #[test]
    fn sockets_stay_with_their_message() {
        let (a, mut b) = pair();
        let (near, _far) = UnixStream::pair().unwrap();
        a.say(&Message::Sockets, &[near.as_fd(); 253], soon()).unwrap();
        a.say(&Message::Sockets, &[near.as_fd(); 2], soon()).unwrap();
        a.say(&Message::Yours, &[], soon()).unwrap();
        let mut count = || b.hear(soon()).unwrap().1.len();
        assert_eq!([count(), count(), count()], [253, 2, 0]);
    }

    #[test]
    fn other_words_are_garbage_and_what_came_with_them_is_closed() {
        for (bytes, sockets) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
            (b"EVKL\xff\xff\xff\xff\0\0\0\0".to_vec(), 0),
            (b"EVKL\0\0\0\x02\0\0\x01\0{}".to_vec(), 0),
            (b"EVKL\0\0\0\x02\0\0\0\0{}".to_vec(), 0),
            (b"EVKL\0\0\0\x11\0\0\0\0{\"say\":\"sockets\"}".to_vec(), 1),
            (b"EVKL\0\0\0\x11\0\0\0\x03{\"say\":\"sockets\"}".to_vec(), 2),
        ] {
            let (a, mut b) = pair();
            let (near, mut far) = UnixStream::pair().unwrap();
            descriptors::send(&a.stream, &bytes, &vec![near.as_fd(); sockets]).unwrap();
            let heard = b.hear(soon());
            assert!(matches!(heard, Err(Trouble::Garbage(_))), "{bytes:?}: {heard:?}");
            drop((a, b, near));
            assert!(far.write_all(b"x").is_err(), "somebody still holds it");
        }
    }

    #[test]
    fn words_of_a_later_version_are_understood_as_far_as_they_are_known() {
        let later = r#"{"say":"manifest","version":"9","mood":"good",
            "sockets":[{"listener":"web","bind":"[::]:80","colour":"red"}]}"#;
        let Message::Manifest(manifest) = serde_json::from_str(later).unwrap() else { panic!() };
        assert_eq!((manifest.sockets.len(), manifest.pid), (1, 0));
    }

    #[test]
    fn no_bytes_make_a_listener_fail_otherwise_than_by_saying_so() {
        let json = br#"{"say":"hello","protocol":1,"version":"1","pid":7}"#;
        let mut frame = b"EVKL\0\0\0\x32\0\0\0\0".to_vec();
        frame.extend_from_slice(json);
        let mut random = 0x9e37_79b9_u32;
        let mut draw = |below: usize| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random as usize % below
        };
        let mut understood = 0;
        for turn in 0..3000 {
            let mut bytes = frame.clone();
            for _ in 0..turn % 4 {
                let at = draw(bytes.len());
                match draw(3) {
                    0 => bytes[at] ^= 1 << draw(8),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"\0{\"9\xff"[draw(5)]),
                }
            }
            let (a, mut b) = pair();
            (&a.stream).write_all(&bytes).unwrap();
            drop(a);
            understood += usize::from(b.hear(soon()).is_ok());
        }
        assert!((750..2500).contains(&understood), "{understood}");
    }

    #[test]
    fn silence_ends_with_the_deadline_even_in_the_middle_of_a_frame() {
        let (a, mut b) = pair();
        (&a.stream).write_all(b"EVKL\0\0").unwrap();
        let begun = runtime::now();
        assert!(matches!(b.hear(begun + Duration::from_millis(50)), Err(Trouble::Silent)));
        (&a.stream).write_all(b"\0\x0f\0\0\0\0{\"say\":\"yours\"}").unwrap();
        assert!(matches!(b.hear(soon()), Ok((Message::Yours, _))));
    }

    #[test]
    fn a_listener_that_does_not_listen_does_not_hold_the_speaker() {
        let (a, _b) = pair();
        let manifest = Manifest { version: "x".repeat(8 << 20), ..Manifest::default() };
        let until = runtime::now() + Duration::from_millis(50);
        let said = a.say(&Message::Manifest(Box::new(manifest)), &[], until);
        assert!(matches!(said, Err(Trouble::Silent)), "{said:?}");
    }
}
