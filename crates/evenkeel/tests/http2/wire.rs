//! A client that sends frames as it likes: field sections are literals that nobody has looked at
//! (RFC 7541 §6.2.2).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::LIMIT;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) const PROTOCOL_ERROR: u32 = 1;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A head, and the status if it is one of the common ones.
    Answer(Option<u16>),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection is closed.
    Closed,
}

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

impl Wire {
    /// Connects and exchanges settings.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream };
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        wire.frame(SETTINGS, 0, 0, &[]);
        wire
    }

    /// As [`Self::connect`]; the windows of all streams and of the connection are as wide as can be.
    pub(crate) fn with_wide_windows(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address);
        wire.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        wire.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]);
        wire.settle();
        wire
    }

    /// Acknowledges the other side's settings; [`Self::came`] does so itself.
    pub(crate) fn settle(&mut self) {
        self.frame(SETTINGS, ACK, 0, &[]);
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes); // it may have been closed
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.send(&bytes);
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What comes of stream 1; settings and the like are read over.
    pub(crate) fn came(&mut self) -> Came {
        loop {
            let Some(frame) = self.next() else { return Came::Closed };
            let code = |at: usize| {
                let bytes = frame.payload.get(at..at + 4).unwrap();
                u32::from_be_bytes(bytes.try_into().unwrap())
            };
            match (frame.kind, frame.stream) {
                (SETTINGS, 0) if frame.flags & 1 == 0 => self.frame(SETTINGS, 1, 0, &[]),
                (HEADERS, 1) => {
                    // A table size update may come first (RFC 7541 §6.3).
                    let first = frame.payload.iter().find(|byte| *byte >> 5 != 1);
                    let status = match first {
                        Some(0x88) => Some(200),
                        Some(0x8c) => Some(400),
                        Some(0x8d) => Some(404),
                        _ => None,
                    };
                    return Came::Answer(status);
                }
                (RST_STREAM, 1) => return Came::Reset(code(0)),
                (GOAWAY, _) => return Came::GoAway(code(4)),
                _ => {}
            }
        }
    }
}

/// A field section of literals.
pub(crate) fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // a literal without indexing, with a new name
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return block.push(value as u8);
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}
