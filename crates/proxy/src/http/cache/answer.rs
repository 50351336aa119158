//! What a client gets of an answer that is at hand or on its way: a 304, a part, the head, or all of
//! it. A stored answer leaves in one write of its head and its content, which is not copied.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use evenkeel_codec::caching::{Fields, Ranges, Validators, Verdict, range};
use evenkeel_codec::{ResponseHead, Version};

use super::body::Reader;
use super::entry::{Entry, Head};
use crate::channel::Channel;
use crate::channel::pieces::Pieces;
use crate::failure::Reason;
use crate::http::body::{Pump, PumpError, Sink, Source, Waiting};
use crate::http::downstream::h1::Next;
use crate::http::exchange::{self, Exchange};
use crate::http::forwarded::{self, Framing};
use crate::http::local_reply;
use crate::http::patience::Patience;
use crate::http::transform::{Stations, Through};
use crate::policy::{self, Answered, Passing};

/// Pieces of one write.
const SLICES: usize = 32;
/// What is said of the answer beside its own head.
pub(super) struct Note<'n> {
    /// How old it is, if it is not new.
    pub(super) age: Option<Duration>,
    /// What the cache did; empty: nothing is said.
    pub(super) status: &'n str,
}

/// What is given.
struct Given {
    status: u16,
    /// Lines in place of those of the head.
    content_type: Option<String>,
    content_range: Option<String>,
    pieces: Vec<Bytes>,
    length: u64,
}

/// Gives a stored answer.
pub(super) async fn give(exchange: &mut Exchange<'_>, entry: &Entry, note: &Note<'_>) -> Next {
    let head = &entry.head;
    let seen = Answered {
        status: head.head.status,
        head: Some((&head.head, &head.bytes)),
        content_type: "",
    };
    // What is asked of a part or of a version is settled first: nobody changes what is not sent.
    let given = choose(exchange, entry);
    let passing = match given.status == head.head.status {
        true => policy::respond(exchange, &seen),
        false => policy::respond(exchange, &Answered { status: given.status, ..seen }),
    };
    let (mut stations, mut altered) = (Stations::default(), false);
    match passing {
        Passing::AsIs => {}
        Passing::Through(altering) => {
            altered = true;
            exchange.changes().response.append(altering.fields);
            let has_content =
                given.length > 0 && given.status != 304 && !exchange::is_head(exchange);
            let body = altering.body.filter(|_| has_content);
            stations.through = body.map(|body| Box::new(Through::new(body)));
        }
        Passing::Instead(reply) => {
            return Box::pin(local_reply::give_instead(exchange, &reply)).await;
        }
    }
    let is_slowed = exchange.changed.as_ref().is_some_and(|changed| changed.download.is_some())
        && !exchange::is_head(exchange)
        && given.length > 0;
    if stations.through.is_none() && !is_slowed {
        let out = write_head(exchange, head, &given, note, Sink::Identity, !altered);
        return send(exchange, out, given).await;
    }
    let pieces = Pieces::stored(exchange, given.pieces.clone());
    let source = (Channel::Pieces(Box::new(pieces)), Some(given.length));
    Box::pin(stream(exchange, head, &given, note, source, stations)).await
}

/// Gives an answer that is on its way.
pub(super) async fn pass_on(
    exchange: &mut Exchange<'_>,
    head: &Head,
    length: Option<u64>,
    reader: Reader,
    note: &Note<'_>,
) -> Next {
    let fields = Fields { fields: &exchange.head.fields, bytes: exchange.buffer.all() };
    let has_it = head.head.status == 200
        && Validators::of(head.fields()).judge(fields) == Verdict::NotModified;
    let status = if has_it { 304 } else { head.head.status };
    let seen = Answered { status, head: Some((&head.head, &head.bytes)), content_type: "" };
    let (mut stations, mut altered) = (Stations::default(), false);
    match policy::respond(exchange, &seen) {
        Passing::Instead(reply) => return local_reply::give_instead(exchange, &reply).await,
        Passing::Through(altering) => {
            altered = true;
            exchange.changes().response.append(altering.fields);
            let has_content = !has_it && length != Some(0) && !exchange::is_head(exchange);
            let body = altering.body.filter(|_| has_content);
            stations.through = body.map(|body| Box::new(Through::new(body)));
        }
        Passing::AsIs => {}
    }
    let given = Given {
        status,
        content_type: None,
        content_range: None,
        pieces: Vec::new(),
        length: length.unwrap_or(0),
    };
    let has_none = matches!(head.head.status, 204) || length == Some(0);
    if has_it || exchange::is_head(exchange) || has_none {
        let out = write_head(exchange, head, &given, note, Sink::Identity, !altered);
        return send(exchange, out, Given { length: 0, ..given }).await;
    }
    let source = (Channel::Pieces(Box::new(Pieces::coming(exchange, reader))), length);
    stream(exchange, head, &given, note, source, stations).await
}

/// What of it the request asks for (RFC 9110 §13.2.2).
fn choose(exchange: &Exchange<'_>, entry: &Entry) -> Given {
    let fields = Fields { fields: &exchange.head.fields, bytes: exchange.buffer.all() };
    let all = |status| Given {
        status,
        content_type: None,
        content_range: None,
        pieces: entry.body.to_vec(),
        length: entry.length,
    };
    let status = entry.head.head.status;
    if status != 200 {
        return all(status);
    }
    let validators = entry.validators();
    if validators.judge(fields) == Verdict::NotModified {
        return Given { pieces: Vec::new(), ..all(304) };
    }
    let Some(asked) = fields.value(b"range") else { return all(200) };
    if exchange::is_head(exchange) || !validators.allows_range(fields) {
        return all(200); // RFC 9110 §14.2: a range is of a GET
    }
    match range::ranges(asked, entry.length) {
        Ranges::All => all(200),
        Ranges::None => Given {
            content_range: Some(format!("bytes */{}", entry.length)),
            pieces: Vec::new(),
            length: 0,
            ..all(416)
        },
        Ranges::Some(ranges) => {
            // Not to be guessed: content could pretend that a part ends where it does not.
            let boundary = exchange.connection.worker.rng.borrow_mut().next_u64();
            parts(entry, &ranges, &format!("{boundary:016x}"))
        }
    }
}

/// RFC 9110 §15.3.7: one part as it is, several each with a head of its own.
fn parts(entry: &Entry, ranges: &[(u64, u64)], boundary: &str) -> Given {
    let shown = |(start, end): (u64, u64)| {
        format!("bytes {start}-{}/{}", end.saturating_sub(1), entry.length)
    };
    let (mut pieces, mut length) = (Vec::new(), 0_u64);
    let mut add = |bytes: Bytes| {
        length = length.saturating_add(bytes.len() as u64);
        pieces.push(bytes);
    };
    if let [one] = ranges {
        slices(entry, *one, &mut add);
        let (content_type, content_range) = (None, Some(shown(*one)));
        return Given { status: 206, content_type, content_range, pieces, length };
    }
    let own = entry.head.fields().value(b"content-type").unwrap_or_default();
    for range in ranges {
        let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
        if !own.is_empty() {
            forwarded::write_field(&mut head, b"content-type", own);
        }
        let _ = write!(head, "content-range: {}\r\n\r\n", shown(*range)); // a vector takes everything
        add(head.into());
        slices(entry, *range, &mut add);
    }
    add(format!("\r\n--{boundary}--\r\n").into());
    let content_type = Some(format!("multipart/byteranges; boundary={boundary}"));
    Given { status: 206, content_type, content_range: None, pieces, length }
}

/// The content from one place to another, uncopied.
fn slices(entry: &Entry, (start, end): (u64, u64), add: &mut impl FnMut(Bytes)) {
    let mut at = 0_u64;
    for piece in &entry.body {
        let length = piece.len() as u64;
        let from = start.saturating_sub(at).min(length);
        let to = end.saturating_sub(at).min(length);
        if from < to {
            add(piece.slice(from as usize..to as usize)); // within a piece in memory
        }
        at = at.saturating_add(length);
    }
}

/// The head as the client gets it.
fn write_head(
    exchange: &mut Exchange<'_>,
    head: &Head,
    given: &Given,
    note: &Note<'_>,
    sink: Sink,
    keeps_length: bool,
) -> Vec<u8> {
    exchange.status = given.status;
    let mut out = exchange.connection.worker.stock.take_scratch();
    let persist = persists(exchange, sink, keeps_length);
    let framing = Framing { sink, keeps_length, persist };
    let plain = given.status == head.head.status && given.content_range.is_none();
    if plain {
        forwarded::write_response(&mut out, exchange, &head.head, &head.bytes, framing);
    } else {
        let changed = changed(head, given);
        forwarded::write_response(&mut out, exchange, &changed, &head.bytes, framing);
    }
    out.truncate(out.len().saturating_sub(2)); // the empty line, to be written again
    if let Some(age) = note.age {
        out.extend_from_slice(b"age: ");
        forwarded::write_number(&mut out, age.as_secs());
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in
        [("content-type", &given.content_type), ("content-range", &given.content_range)]
    {
        if let Some(value) = value {
            forwarded::write_field(&mut out, name.as_bytes(), value.as_bytes());
        }
    }
    if !note.status.is_empty() {
        forwarded::write_field(&mut out, b"cache-status", note.status.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The head of a part, or of none (RFC 9110 §15.4.5: what a 304 says is what could have changed).
fn changed(head: &Head, given: &Given) -> ResponseHead {
    let mut changed = ResponseHead::default();
    (changed.status, changed.version) = (given.status, head.head.version);
    changed.content_length = (given.status != 304).then_some(given.length);
    let is = |field: &evenkeel_codec::Field, names: &[&[u8]]| {
        let name = field.name.of(&head.bytes);
        names.iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    let about: &[&[u8]] = match given.status {
        304 => &[b"content-type", b"content-encoding", b"content-language", b"content-range"],
        416 => &[b"content-type", b"content-encoding", b"etag", b"last-modified"],
        _ if given.content_type.is_some() => &[b"content-type"],
        _ => &[],
    };
    changed.fields = head.head.fields.iter().filter(|field| !is(field, about)).copied().collect();
    changed
}

fn persists(exchange: &Exchange<'_>, sink: Sink, keeps_length: bool) -> bool {
    (sink == Sink::Chunked || keeps_length || exchange::is_head(exchange)) && exchange.may_persist()
}

/// Sends what is at hand.
async fn send(exchange: &mut Exchange<'_>, head: Vec<u8>, given: Given) -> Next {
    let persist = persists(exchange, Sink::Identity, true);
    let has_content = !exchange::is_head(exchange) && !matches!(given.status, 304 | 204);
    let pieces = if has_content { given.pieces } else { Vec::new() };
    let mut left = Left { head: &head, head_at: 0, pieces: &pieces, offset: 0 };
    let connection = exchange.connection;
    connection.state.end_by(None);
    // Only for its numbers: what is moved here is not pumped.
    let mut progress = Pump::new(Vec::new(), Source::Done, Sink::Identity, u64::MAX);
    let mut patience = None;
    let result = poll_fn(|cx| {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = left.fill(&mut slices);
            let written = match slices.get(..count) {
                None | Some([]) => return Poll::Ready(Ok(())),
                Some([one]) => connection.stream.poll_write(cx, one),
                Some(several) => connection.stream.poll_write_vectored(cx, several),
            };
            match written {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Reason::ClientGone)),
                Poll::Ready(Ok(written)) => {
                    left.advance(written);
                    progress.sent = progress.sent.saturating_add(written as u64);
                }
                Poll::Pending => break,
            }
        }
        if connection.stream.poll_given_up(cx).is_ready() {
            return Poll::Ready(Err(Reason::ClientGone));
        }
        let Some(timeouts) = timeouts(exchange) else { return Poll::Ready(Err(Reason::NoServers)) };
        let patience = patience.get_or_insert_with(|| Patience::new(exchange, timeouts));
        progress.waiting = Waiting::Sink;
        patience.watch_response(exchange, &progress);
        connection.state.timer.poll_expired(cx).map(|()| Err(Reason::ClientTooSlow))
    })
    .await;
    exchange.bytes_out = exchange.bytes_out.saturating_add(progress.sent);
    exchange.connection.worker.stock.give_scratch(head);
    end(exchange, result, persist)
}

fn timeouts<'e>(exchange: &'e Exchange<'_>) -> Option<&'e evenkeel_config::model::PoolTimeouts> {
    exchange
        .pool
        .and_then(|id| exchange.generation.snapshot.pool(id))
        .map(|pool| &pool.config.timeouts)
}

fn end(exchange: &mut Exchange<'_>, result: Result<(), Reason>, persist: bool) -> Next {
    match result {
        Ok(()) => Next::after_response(exchange, persist),
        Err(reason) => {
            exchange.failure = Some(reason);
            Next::Abort
        }
    }
}

/// What is still to be written.
struct Left<'l> {
    head: &'l [u8],
    head_at: usize,
    pieces: &'l [Bytes],
    /// Into the first piece.
    offset: usize,
}

impl<'l> Left<'l> {
    fn fill(&self, slices: &mut [IoSlice<'l>; SLICES]) -> usize {
        let mut count = 0;
        let mut add = |bytes: &'l [u8]| {
            if let Some(slice) = slices.get_mut(count)
                && !bytes.is_empty()
            {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
        };
        add(self.head.get(self.head_at..).unwrap_or_default());
        for (at, piece) in self.pieces.iter().take(SLICES).enumerate() {
            add(piece.get(if at == 0 { self.offset } else { 0 }..).unwrap_or_default());
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        let of_head = written.min(self.head.len().saturating_sub(self.head_at));
        self.head_at = self.head_at.saturating_add(of_head);
        written = written.saturating_sub(of_head);
        while let Some((first, rest)) = self.pieces.split_first() {
            let here = first.len().saturating_sub(self.offset);
            if written < here {
                self.offset = self.offset.saturating_add(written);
                return;
            }
            written = written.saturating_sub(here);
            (self.pieces, self.offset) = (rest, 0);
        }
    }
}

/// Sends what is changed on its way, or has not all come: a block at a time.
async fn stream(
    exchange: &mut Exchange<'_>,
    head: &Head,
    given: &Given,
    note: &Note<'_>,
    (from, length): (Channel, Option<u64>),
    stations: Stations,
) -> Next {
    let is_changed = stations.through.is_some();
    let sink = match length {
        Some(_) if !is_changed => Sink::Identity,
        _ if exchange.head.version == Version::Http11 => Sink::Chunked,
        _ => Sink::Identity,
    };
    let keeps_length = !is_changed && length.is_some();
    let persist = persists(exchange, sink, keeps_length);
    let out = write_head(exchange, head, given, note, sink, keeps_length);
    let source = length.map_or(Source::UntilClose, Source::Exact);
    let pump = Pump::new(out, source, sink, u64::MAX).through(stations);
    let brake = exchange.changed.as_mut().and_then(|changed| changed.download.take());
    let mut pump = pump.slowed(brake);
    let worker = exchange.connection.worker.clone();
    let mut buffer = worker.stock.take();
    exchange.connection.state.end_by(None);
    let result = match timeouts(exchange) {
        None => Err(Reason::NoServers),
        Some(timeouts) => {
            let mut patience = Patience::new(exchange, timeouts);
            let client = &exchange.connection.stream;
            poll_fn(|cx| {
                match pump.poll(cx, &from, client, &mut buffer) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(PumpError::Sink)) => {
                        return Poll::Ready(Err(Reason::ClientGone));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ResponseTruncated)),
                    Poll::Pending => {}
                }
                if client.poll_given_up(cx).is_ready() {
                    return Poll::Ready(Err(Reason::ClientGone));
                }
                patience.watch_response(exchange, &pump);
                exchange.connection.state.timer.poll_expired(cx).map(|()| {
                    Err(match pump.waiting {
                        Waiting::Source | Waiting::Turn => Reason::UpstreamIdle,
                        Waiting::Sink => Reason::ClientTooSlow,
                    })
                })
            })
            .await
        }
    };
    exchange.bytes_out = exchange.bytes_out.saturating_add(pump.sent);
    worker.stock.give_scratch(pump.settle(&mut buffer));
    worker.stock.give(buffer);
    end(exchange, result, persist)
}
