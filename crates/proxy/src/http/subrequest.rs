//! Requests of our own to a pool, made while an exchange is served: whether it may go on. Goes the way of
//! every exchange (tries, health, queues, the servers' counters) on a channel in memory, but is no
//! client's exchange: it is neither counted nor logged as one, and no policy sees it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::Write as _;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_codec::ResponseHead;
use evenkeel_config::model::PoolId;
use evenkeel_runtime::{self as runtime, Timer};

use crate::channel::Channel;
use crate::channel::memory::{MemoryStream, Received};
use crate::connection::Connection;
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::http::own::Origin;
use crate::http::{hops, tries};

/// Longest content of a request.
pub(crate) const BODY_MAX: usize = 1024 * 1024;
/// How long the end of one that is out of time may take.
const CUT_MAX: Duration = Duration::from_secs(1);

/// What is asked of a pool.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) pool: PoolId,
    pub(crate) method: &'a [u8],
    /// Path and query, normalised.
    pub(crate) target: &'a [u8],
    pub(crate) host: &'a [u8],
    /// Complete field lines, without `host`, framing and what is said of the client: that is added as
    /// for every request.
    pub(crate) fields: &'a [u8],
    /// More of them, which only this process may say and a client could not (`x-forwarded-uri`).
    pub(crate) said: &'a [u8],
    /// At most [`BODY_MAX`] bytes.
    pub(crate) body: &'a [u8],
    /// How long it may take in all.
    pub(crate) within: Duration,
    /// Bytes of content that are kept of the answer.
    pub(crate) body_max: usize,
    /// What is longer than that is thrown away; else it is a failure.
    pub(crate) discards: bool,
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its head, and the bytes that it refers to.
    pub(crate) head: Box<ResponseHead>,
    pub(crate) bytes: Vec<u8>,
    /// As much of its content as was to be kept.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The values of a field, a line after the other.
    pub(crate) fn values<'n>(&'n self, name: &'n [u8]) -> impl Iterator<Item = &'n [u8]> {
        let fields = self.head.fields.iter();
        let is = move |found: &[u8]| found.eq_ignore_ascii_case(name);
        fields
            .filter(move |field| is(field.name.of(&self.bytes)))
            .map(|field| field.value.of(&self.bytes))
    }
}

/// Asks. The future holds nothing of the exchange: it may be waited for, or spawned. It is ready once
/// the whole answer is there, or none will be.
///
/// # Errors
/// Why there is no answer: what clients would be told. One that is late is [`Reason::DeadlineExceeded`]
/// and nobody's fault.
pub(crate) fn ask(
    exchange: &Exchange<'_>,
    ask: &Ask<'_>,
) -> impl Future<Output = Result<Answer, Failure>> + use<> {
    let received = Received::new(ask.method == b"HEAD", ask.body_max, ask.discards);
    let prepared = Prepared::new(exchange, ask, Rc::new(RefCell::new(received)));
    let within = ask.within;
    // In a box: it is as large as an exchange.
    Box::pin(async move { prepared?.run(within).await })
}

struct Prepared {
    connection: Connection,
    origin: Origin,
    text: Vec<u8>,
    said: Vec<u8>,
    body: Vec<u8>,
    pool: PoolId,
    received: Rc<RefCell<Received>>,
}

impl Prepared {
    fn new(
        exchange: &Exchange<'_>,
        ask: &Ask<'_>,
        received: Rc<RefCell<Received>>,
    ) -> Result<Self, Failure> {
        if ask.body.len() > BODY_MAX {
            return Err(Failure::new(Reason::BodyTooLarge));
        }
        let mut text = Vec::with_capacity(512);
        for part in [ask.method, b" ", ask.target, b" HTTP/1.1\r\nhost: ", ask.host, b"\r\n"] {
            text.extend_from_slice(part);
        }
        // Who asks himself is found out, however many requests are between.
        let hops = hops::count(&exchange.head, exchange.buffer.all());
        let _ = write!(text, "x-evenkeel-hops: {hops}\r\n"); // a vector takes everything
        if !ask.body.is_empty() {
            let _ = write!(text, "content-length: {}\r\n", ask.body.len());
        }
        text.extend_from_slice(ask.fields);
        text.extend_from_slice(b"\r\n");
        let parent = exchange.connection;
        let stream = MemoryStream::new(parent.peer, parent.local, received.clone());
        Ok(Self {
            connection: Connection::of_stream(parent, Channel::Memory(stream)),
            origin: Origin::of(exchange),
            text,
            said: ask.said.to_vec(),
            body: ask.body.to_vec(),
            pool: ask.pool,
            received,
        })
    }

    async fn run(self, within: Duration) -> Result<Answer, Failure> {
        let deadline = runtime::now() + within;
        let Self { connection, origin, text, said, body, pool, received } = self;
        let worker = connection.worker.clone();
        let mut exchange = origin.begin(&connection, &text)?;
        exchange.buffer.append(&body);
        if !said.is_empty() {
            exchange.changes().request.lines = said;
        }
        let result = in_time(&connection, deadline, tries::forward(&mut exchange, pool)).await;
        let failure = exchange.failure;
        worker.heads.give_request(exchange.head);
        worker.stock.give(exchange.buffer);
        drop(connection);
        let received = received.take();
        match (result, failure) {
            (None, _) => Err(Failure::new(Reason::DeadlineExceeded)),
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(_)), _) if received.is_complete(failure.is_none()) => Ok(Answer {
                status: received.head.status,
                head: received.head,
                bytes: received.bytes,
                body: received.body.into(),
            }),
            (Some(Ok(_)), Some(reason)) if !received.is_long => Err(Failure::new(reason)),
            (Some(Ok(_)), _) => Err(Failure::new(Reason::ResponseTruncated)),
        }
    }
}

/// Waits for `served`, and ends it at the deadline: `None`. It is told first, so that it puts away what
/// it has; only what does not hear is dropped.
async fn in_time<T>(
    connection: &Connection,
    deadline: Instant,
    served: impl Future<Output = T>,
) -> Option<T> {
    let (mut served, timer) = (pin!(served), Timer::new());
    timer.set(deadline);
    let mut is_late = false;
    poll_fn(|cx| {
        loop {
            match served.as_mut().poll(cx) {
                Poll::Ready(_) if is_late => return Poll::Ready(None),
                Poll::Ready(result) => return Poll::Ready(Some(result)),
                Poll::Pending => {}
            }
            match timer.poll_expired(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if is_late => return Poll::Ready(None),
                Poll::Ready(()) => {
                    is_late = true;
                    let now = runtime::now();
                    timer.set(now + CUT_MAX);
                    connection.state.cut(now);
                }
            }
        }
    })
    .await
}
