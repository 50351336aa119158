//! As much HTTP/1.1 as the demo's servers and its traffic need: reading a head, passing over a
//! body. Not the data path: that is `evenkeel-codec`.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};

/// Bytes of a head: more than Evenkeel lets through.
const HEAD_MAX: u64 = 128 << 10;

/// The head of a request or a response.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The request line or status line.
    pub(super) first: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The word at this place of the first line; empty if there is none.
    pub(super) fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }

    /// Whether a field has this word in its list.
    pub(super) fn says(&self, name: &str, word: &str) -> bool {
        self.field(name)
            .is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
    }
}

/// Reads a head; `None` if the peer has closed instead.
pub(super) async fn read_head(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut limited = from.take(HEAD_MAX);
    let mut head = Head::default();
    let mut line = String::new();
    if limited.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    head.first = line.trim_end().to_owned();
    loop {
        line.clear();
        if limited.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => return Ok(Some(head)),
        }
    }
}

/// Reads the body that `head` announces and forgets it. Without an announcement there is none.
pub(super) async fn skip_body(
    from: &mut (impl AsyncBufRead + Unpin),
    head: &Head,
) -> io::Result<()> {
    if head.says("transfer-encoding", "chunked") {
        return skip_chunks(from).await;
    }
    let length = head.field("content-length").map_or(Ok(0), str::parse);
    skip(from, length.map_err(|_| io::ErrorKind::InvalidData)?).await
}

async fn skip_chunks(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    loop {
        let size = read_line(from).await?;
        let size = size.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            break;
        }
        skip(from, size).await?;
        read_line(from).await?;
    }
    // What Evenkeel forwards as a trailer section is bounded already.
    while !read_line(from).await?.is_empty() {}
    Ok(())
}

async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    if from.take(HEAD_MAX).read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn skip(from: &mut (impl AsyncRead + Unpin), length: u64) -> io::Result<()> {
    let skipped = tokio::io::copy(&mut from.take(length), &mut tokio::io::sink()).await?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}
