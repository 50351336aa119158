//! One request of an HTTP/3 connection, from the head's first byte to the response's last: what its
//! exchange sees as a stream of its own, and what is left to send once that is over.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::http::header::HeaderValue;
use ::http::{HeaderMap, Response};
use bytes::Bytes;
use evenkeel_codec::RequestError;
use evenkeel_codec::h3::{Code, Resets};
use evenkeel_runtime::{self as runtime, Timer};

use super::close;
use crate::connection::Connection;
use crate::failure::Reason;
use crate::http::downstream::stream;
use crate::http::multiplex::h3::section::{self, Asked, Refusal};
use crate::http::multiplex::h3::stream::{Broken, Inward, Next, Outward};
use crate::http::multiplex::transport::{Transport, Why};
use crate::http::multiplex::trunk::Trunk;

/// Content that is handed over at once.
const PIECE: usize = 32 * 1024;
/// The end of a request without content may come in a packet of its own: so long is it waited for
/// before content is announced to a server that there will be none of.
const END_GRACE: Duration = Duration::from_millis(20);

/// A request stream, as an exchange has it: see [`Transport`].
pub(crate) struct H3 {
    connection: quinn::Connection,
    inward: Inward,
    /// Always there, until what is left of it is sent by a task of its own.
    outward: Option<Outward>,
    trailers: Option<HeaderMap>,
    section_max: u64,
    /// How long a client may take nothing of what is left.
    patience: Duration,
    resets: Rc<RefCell<Resets>>,
    /// It did not come to its end.
    given_up: bool,
}

/// What a stream is served with.
pub(super) struct Setting {
    pub(super) connection: Rc<Connection>,
    pub(super) trunk: Rc<Trunk>,
    /// Longest field section taken.
    pub(super) section_max: u64,
    /// The head is here by then.
    pub(super) deadline: Instant,
    pub(super) patience: Duration,
    /// Of the connection.
    pub(super) resets: Rc<RefCell<Resets>>,
}

/// Receives a request's head, and has it served.
pub(super) async fn serve(
    setting: Setting,
    quic: quinn::Connection,
    inward: Inward,
    outward: Outward,
) {
    let Setting { connection, trunk, section_max, deadline, patience, resets } = setting;
    let mut h3 = H3 {
        connection: quic,
        inward,
        outward: Some(outward),
        trailers: None,
        section_max,
        patience,
        resets,
        given_up: false,
    };
    let asked = match h3.receive_head(deadline).await {
        Some(Ok(asked)) => asked,
        Some(Err(Refusal::TooLong)) => {
            let Some((generation, id)) = connection.serving() else {
                return h3.give_up(Code::RequestRejected);
            };
            let why = Reason::BadRequest(RequestError::HeadTooLarge);
            let read = stream::Read::unread(&connection.worker, why);
            let transport = Transport::H3(Box::new(h3));
            return stream::spawn(&connection, &trunk, generation, id, transport, read);
        }
        Some(Err(refusal)) => {
            tracing::debug!(client = %connection.peer, ?refusal, "a malformed request");
            return drop(h3.refused(refusal));
        }
        None => return,
    };
    let ended = h3.has_ended().await;
    let Some((generation, id)) = connection.serving() else {
        return h3.give_up(Code::RequestRejected);
    };
    let Some(listener) = generation.snapshot.listener(id) else {
        return h3.give_up(Code::RequestRejected);
    };
    connection.requests.set(connection.requests.get().saturating_add(1));
    let Asked { mut parts, protocol } = asked;
    // It may be a replay (RFC 8470 §3, §5): only what changes nothing, and servers are told.
    let is_too_early = h3.inward.is_early() && !parts.method.is_safe();
    if h3.inward.is_early() {
        parts.headers.insert("early-data", HeaderValue::from_static("1"));
    }
    let mut read = stream::read(&trunk, &listener.config, &parts, protocol.as_deref(), ended);
    if let Ok(read) = &mut read
        && is_too_early
    {
        read.refuse(Reason::TooEarly);
    }
    match read {
        Ok(read) if !trunk.has_room(read.length()) => {
            read.forget(&connection.worker);
            h3.give_up(Code::RequestRejected); // it may be sent again
        }
        Ok(read) => {
            let transport = Transport::H3(Box::new(h3));
            stream::spawn(&connection, &trunk, generation.clone(), id, transport, read);
        }
        Err(why) => {
            tracing::debug!(client = %connection.peer, ?why, "a malformed request");
            h3.give_up(Code::MessageError);
        }
    }
}

impl H3 {
    /// The head; `None` if the stream or the connection has ended instead.
    async fn receive_head(&mut self, deadline: Instant) -> Option<Result<Asked, Refusal>> {
        let timer = Timer::new();
        timer.set(deadline);
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = self.inward.poll_next(cx) {
                return Poll::Ready(Some(next));
            }
            timer.poll_expired(cx).map(|()| None)
        });
        match next.await {
            Some(Ok(Next::Fields(section))) => {
                Some(section::read_request(&section, self.section_max))
            }
            Some(Ok(Next::Body | Next::End)) => None, // neither comes first
            Some(Err(broken)) => {
                self.broken(broken);
                None
            }
            None => {
                self.give_up(Code::RequestIncomplete);
                None
            }
        }
    }

    /// Whether nothing follows the head.
    async fn has_ended(&mut self) -> bool {
        let timer = Timer::new();
        timer.set(runtime::now() + END_GRACE);
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = self.inward.poll_next(cx) {
                return Poll::Ready(Some(next));
            }
            timer.poll_expired(cx).map(|()| None)
        });
        match next.await {
            Some(Ok(Next::End)) => true,
            Some(Ok(Next::Fields(section))) => {
                if let Err(error) = self.take_section(&section) {
                    tracing::debug!(%error, "malformed trailers");
                }
                false
            }
            Some(Err(broken)) => {
                self.broken(broken);
                false
            }
            Some(Ok(Next::Body)) | None => false,
        }
    }

    fn take_section(&mut self, section: &[u8]) -> io::Result<()> {
        match section::read_trailers(section, self.section_max) {
            Ok(trailers) => {
                self.trailers = Some(trailers);
                Ok(())
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// What breaks the client's rules ends the stream or the connection.
    fn broken(&mut self, broken: Broken) -> io::Error {
        self.given_up = true;
        match broken {
            Broken::Gone | Broken::GivenUp(_) => {}
            Broken::Connection(code) => close(&self.connection, code),
            Broken::Stream(code) => self.give_up(code),
        }
        gone()
    }

    fn refused(&mut self, refusal: Refusal) -> io::Error {
        self.broken(match refusal {
            Refusal::Connection(code) => Broken::Connection(code),
            Refusal::Stream | Refusal::TooLong => Broken::Stream(Code::MessageError),
        })
    }

    /// Neither half goes on.
    fn give_up(&mut self, code: Code) {
        self.given_up = true;
        self.inward.stop(code);
        if let Some(outward) = &mut self.outward {
            outward.reset(code);
        }
    }

    pub(crate) fn reset(&mut self, why: Why) {
        self.give_up(match why {
            Why::Malformed => Code::MessageError,
            Why::Refused => Code::RequestRejected,
            Why::Internal => Code::InternalError,
            Why::Tunnel => Code::ConnectError,
        });
    }

    /// The next piece of content; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match ready!(self.inward.poll_body(cx)) {
                Ok(Some(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                Ok(None) => {}
                Err(broken) => return Poll::Ready(Err(self.broken(broken))),
            }
            match ready!(self.inward.poll_next(cx)) {
                Ok(Next::Body) => {}
                Ok(Next::Fields(section)) => self.take_section(&section)?,
                Ok(Next::End) => return Poll::Ready(Ok(None)),
                Err(broken) => return Poll::Ready(Err(self.broken(broken))),
            }
        }
    }

    /// The trailer section, after the end of the content.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Ready when the client has given the stream up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(outward) = &mut self.outward {
            ready!(outward.poll_refused(cx));
        }
        self.given_up = true;
        Poll::Ready(())
    }

    /// How many of `wanted` bytes of content are taken now; more than none.
    pub(crate) fn poll_capacity(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(outward) = &mut self.outward else { return Poll::Ready(Err(gone())) };
        match ready!(outward.poll_room(cx)) {
            Ok(()) => Poll::Ready(Ok(wanted.min(PIECE))),
            Err(_) => Poll::Ready(Err(gone())),
        }
    }

    /// Ready when QUIC has all that was sent.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.outward {
            Some(outward) => outward.poll_flush(cx).map_err(|_| gone()),
            None => Poll::Ready(Err(gone())),
        }
    }

    /// Sends a head; interim ones never end the stream.
    pub(crate) fn send_head(&mut self, head: &Response<()>, ended: bool) -> io::Result<()> {
        let section = section::write(Some(head.status().as_u16()), head.headers());
        self.send(|outward| outward.put_fields(section.map_err(Broken::Stream)?, ended))
    }

    /// Sends content.
    pub(crate) fn send_data(&mut self, bytes: Bytes, ended: bool) -> io::Result<()> {
        self.send(|outward| outward.put_body(bytes, ended))
    }

    /// Sends the trailer section, and ends.
    pub(crate) fn send_trailers(&mut self, trailers: &HeaderMap) -> io::Result<()> {
        let section = section::write(None, trailers);
        self.send(|outward| outward.put_fields(section.map_err(Broken::Stream)?, true))
    }

    fn send(&mut self, put: impl FnOnce(&mut Outward) -> Result<(), Broken>) -> io::Result<()> {
        let outward = self.outward.as_mut().ok_or_else(gone)?;
        put(outward).map_err(|broken| self.broken(broken))
    }
}

impl Drop for H3 {
    /// What was sent leaves, also when its exchange is over; what was not said to be the end is none.
    fn drop(&mut self) {
        let mut resets = self.resets.borrow_mut();
        match self.given_up {
            true => {
                if let Err(code) = resets.reset(runtime::now()) {
                    tracing::debug!(client = %self.connection.remote_address(), "too many resets");
                    close(&self.connection, code);
                }
            }
            false => resets.finished(),
        }
        let Some(mut outward) = self.outward.take() else { return };
        if !self.inward.has_ended() {
            self.inward.stop(Code::NoError); // nothing more is needed (RFC 9114 §4.1)
        }
        if !outward.has_ended() {
            return outward.reset(Code::InternalError);
        }
        if !outward.is_given_up() {
            runtime::spawn(deliver(outward, self.patience));
        }
    }
}

/// Sends what is left, if the client takes it in time, and counts as being served until the client has
/// all of it: a connection that is closed forgets what it has not delivered.
async fn deliver(mut outward: Outward, patience: Duration) {
    let timer = Timer::new();
    timer.set(runtime::now() + patience);
    poll_fn(|cx| match outward.poll_delivered(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => timer.poll_expired(cx),
    })
    .await;
    if !outward.is_sent() {
        outward.reset(Code::InternalError);
    }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
