//! Just enough HTTP/1 to be exact about it: heads and bodies read from a stream, byte for byte.
//! Written without the product's parser on purpose.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest head read; beyond it the peer is broken.
const HEAD_MAX: usize = 256 * 1024;

/// A start line and field lines.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Request line or status line.
    pub line: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The n-th word of the start line.
    pub fn word(&self, n: usize) -> &str {
        self.line.split(' ').nth(n).unwrap_or_default()
    }

    /// The status of a response head; 0 if it is none.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    /// Whether a comma-separated field contains this word.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.field(name).is_some_and(|value| {
            value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
        })
    }
}

/// How reading a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its framing says.
    Complete,
    /// The peer closed in order, too early.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// What came is no message.
    Malformed,
}

/// A stream with what was read of it and not used yet.
pub struct Reader<S> {
    /// The stream.
    pub stream: S,
    pending: Vec<u8>,
    at: usize,
    /// Every byte received, if that is wanted.
    pub record: Option<Vec<u8>>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Reads from `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, pending: Vec::with_capacity(16 * 1024), at: 0, record: None }
    }

    /// What is there and not used.
    pub fn pending(&self) -> &[u8] {
        self.pending.get(self.at..).unwrap_or_default()
    }

    /// Reads more; 0 is the end.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.at == self.pending.len() {
            self.pending.clear();
            self.at = 0;
        }
        let before = self.pending.len();
        self.pending.reserve(16 * 1024);
        let read = self.stream.read_buf(&mut self.pending).await?;
        if let Some(record) = &mut self.record {
            record.extend_from_slice(self.pending.get(before..).unwrap_or_default());
        }
        Ok(read)
    }

    async fn more(&mut self) -> Result<(), Ending> {
        match self.fill().await {
            Ok(0) => Err(Ending::Closed),
            Ok(_) => Ok(()),
            Err(_) => Err(Ending::Reset),
        }
    }

    /// The next head; `Closed` with nothing pending is an ordinary end between messages.
    ///
    /// # Errors
    /// How it ended instead.
    pub async fn head(&mut self) -> Result<Head, Ending> {
        loop {
            let pending = self.pending();
            if let Some(end) = find(pending, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(pending.get(..end).unwrap_or_default());
                let head = parse_head(&text);
                self.at += end + 4;
                return head.ok_or(Ending::Malformed);
            }
            if pending.len() > HEAD_MAX {
                return Err(Ending::Malformed);
            }
            self.more().await?;
        }
    }

    /// Exactly `length` bytes, handed over piece by piece.
    ///
    /// # Errors
    /// How it ended instead.
    pub async fn exact(&mut self, length: u64, sink: &mut impl FnMut(&[u8])) -> Result<(), Ending> {
        let mut left = length;
        while left > 0 {
            if self.pending().is_empty() {
                self.more().await?;
            }
            let take = self.pending().len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(self.pending().get(..take).unwrap_or_default());
            self.at += take;
            left -= take as u64;
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Ending> {
        loop {
            if let Some(end) = find(self.pending(), b"\r\n") {
                let line = String::from_utf8_lossy(self.pending().get(..end).unwrap_or_default());
                let line = line.into_owned();
                self.at += end + 2;
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// A body as `head` frames it; `until_close` for responses without a length.
    ///
    /// # Errors
    /// How it ended instead.
    pub async fn body(
        &mut self,
        head: &Head,
        until_close: bool,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<(), Ending> {
        if head.field("transfer-encoding").is_some() {
            return self.chunks(sink).await;
        }
        if let Some(length) = head.field("content-length") {
            let length = length.parse().map_err(|_| Ending::Malformed)?;
            return self.exact(length, sink).await;
        }
        if !until_close {
            return Ok(());
        }
        loop {
            match self.fill().await {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    sink(self.pending());
                    self.at = self.pending.len();
                }
                Err(_) => return Err(Ending::Reset),
            }
        }
    }

    async fn chunks(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Ending> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(|_| Ending::Malformed)?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exact(size, sink).await?;
            if !self.line().await?.is_empty() {
                return Err(Ending::Malformed);
            }
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let line = lines.next()?.to_owned();
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Head { line, fields })
}

/// A hash of a body (FNV-1a), to compare without keeping it.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes more bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// In hexadecimal.
    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The bytes at `offset..offset + length` of an endless pattern that depends on `seed`: a shifted,
/// repeated or lost byte shows.
pub fn pattern(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    (offset..offset + length as u64)
        .map(|at| {
            let mixed = (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            b'a' + ((mixed >> 40) % 26) as u8
        })
        .collect()
}
